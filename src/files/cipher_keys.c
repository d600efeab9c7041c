/* SPDX-License-Identifier: Apache-2.0 */
/* SEAL keys and TenSEAL contexts as files, with the rules of secret_file.h for what is secret. */
#include "cipher_keys.h"

#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "file.h"
#include "he_ckks.h"
#include "input_kind.h"
#include "problem.h"
#include "quantiser.h"
#include "seal_look.h"
#include "secret.h"
#include "secret_file.h"
#include "tenseal.h"

/* A public key of seal-ckks has 2 MiB, a secret one half of that; a context that another program
 * wrote also holds keys for rotating, some dozens of public keys. */
enum { LARGEST = 1 << 28 };

static const double global_scale = (double)(UINT64_C(1) << HE_CKKS_SCALE_BITS);

/* ---- making ---- */

struct pair {
    struct seal_secret_key secret;
    struct seal_public_key open;
};

static void pair_release(struct pair *pair)
{
    seal_secret_key_release(&pair->secret);
    seal_public_key_release(&pair->open);
}

static int make_pair(const struct seal_codec *codec, struct pair *pair, struct cairn_problem *why)
{
    struct secret_rng *rng = NULL;
    int error = secret_rng_new(&rng);
    if (error) {
        return problem_set(why, error, NULL, "cannot make a key pair: %s",
                           cairn_error_sentence(error));
    }
    error = seal_keygen(codec->context, rng, &pair->secret, why);
    if (!error) {
        error = seal_public_key_make(codec->context, &pair->secret, rng, false, &pair->open, why);
    }
    secret_rng_free(rng);
    return error;
}

/* The files' bytes. */
struct content {
    struct buf params, open, secret, note, secret_note, params_path, note_path, secret_note_path;
};

static void wipe(struct buf *b)
{
    if (b->data != NULL) {
        secret_wipe(b->data, b->size);
    }
    buf_release(b);
}

static void content_release(struct content *c)
{
    buf_release(&c->params);
    buf_release(&c->open);
    wipe(&c->secret);
    buf_release(&c->note);
    buf_release(&c->secret_note);
    buf_release(&c->secret_note_path);
    buf_release(&c->params_path);
    buf_release(&c->note_path);
}

/* Wraps keys in contexts: the holder's has both. */
static int wrap(struct content *c)
{
    struct buf open = {0}, secret = {0};
    struct tenseal_context context = {.params = buf_span(&c->params),
                                      .public_key = buf_span(&c->open),
                                      .scale = global_scale,
                                      .flags = TENSEAL_FLAGS};
    int error = tenseal_context_write(&context, &open);
    context.secret_key = buf_span(&c->secret);
    if (!error) {
        error = tenseal_context_write(&context, &secret);
    }
    wipe(&c->secret);
    buf_release(&c->open);
    c->secret = secret;
    c->open = open;
    return error;
}

static int make_content(const struct seal_codec *codec, enum files_format format,
                        enum seal_version version, struct content *c, struct cairn_problem *why)
{
    const struct seal_options options = {version, SEAL_PLAIN};
    struct pair pair = {0};
    int error = make_pair(codec, &pair, why);
    if (error) {
        goto cleanup;
    }
    error = seal_params_write(seal_context_params(codec->context), &options, &c->params);
    if (!error) {
        error = seal_public_key_write(codec->context, &pair.open, &options, &c->open);
    }
    if (!error) {
        error = seal_secret_key_write(codec->context, &pair.secret, version, &c->secret);
    }
    if (!error && format == FILES_TENSEAL) {
        error = wrap(c);
    }
    if (error) {
        problem_set(why, error, NULL, "no memory for a key pair");
    }
cleanup:
    pair_release(&pair);
    return error;
}

/* What may be there already is asked before anything is written, and no file may take the place of
 * another: a note that is called as the secret key would be written over it. */
static int check_paths(const struct content *c, const char *public_path, const char *secret_path,
                       bool replace, struct cairn_problem *why)
{
    const char *paths[] = {secret_path, public_path, (const char *)c->note_path.data,
                           (const char *)c->secret_note_path.data,
                           (const char *)c->params_path.data};
    int error = 0;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0] && paths[i] != NULL && !error; i++) {
        for (size_t j = 0; j < i && !error; j++) {
            if (strcmp(paths[i], paths[j]) == 0) {
                error = problem_set(why, CAIRN_ERR_USAGE,
                                    "keys in this format have notes, FILE.json",
                                    "two files would be called %s", paths[i]);
            }
        }
        error = error ? error : secret_file_absent(paths[i], replace, why);
    }
    return error;
}

/* The secret key first, as for cairn's own; the public file last, without which nobody encrypts. */
static int write_content(struct content *c, const char *public_path, const char *secret_path,
                         bool replace, struct cairn_problem *why)
{
    int error = check_paths(c, public_path, secret_path, replace, why);
    if (!error) {
        error = secret_file_put(secret_path, buf_span(&c->secret), replace, why);
    }
    if (error) {
        return error;
    }
    error = secret_file_put(buf_text(&c->secret_note_path), buf_span(&c->secret_note), replace,
                            why);
    if (!error && c->params_path.size > 0) {
        error = file_replace(buf_text(&c->params_path), c->params.data, c->params.size, 0644, why);
    }
    if (!error) {
        error = file_replace(buf_text(&c->note_path), c->note.data, c->note.size, 0644, why);
    }
    if (!error) {
        error = file_replace(public_path, c->open.data, c->open.size, 0644, why);
    }
    if (error && !replace) { /* ours, and of no use alone */
        (void)unlink(secret_path);
        (void)unlink(buf_text(&c->secret_note_path));
        (void)unlink(buf_text(&c->note_path));
        if (c->params_path.size > 0) {
            (void)unlink(buf_text(&c->params_path));
        }
    }
    return error;
}

/* Which pair a secret key is of. A wrong one would not be noticed: where lanes are full, any words
 * open to sums. */
static int note_secret(struct content *c, enum files_format format, enum seal_version version,
                       const uint8_t key_id[HE_KEY_ID_SIZE], struct cairn_problem *why)
{
    uint8_t digest[DIGEST_SIZE];
    digest_of(c->secret.data, c->secret.size, digest);
    return note_write(json_pack("{s:o}", "key", container_hex_json(key_id, HE_KEY_ID_SIZE)), format,
                      version, digest, &c->secret_note, why);
}

double cipher_session_unit(const struct session *session, enum files_format format)
{
    return seal_codec_unit(format, session->range / quantiser_limit(session->params.value_bits),
                           session->largest_samples);
}

int cipher_keys_make(struct session *session, enum files_format format, enum seal_version version,
                     const char *public_path, const char *secret_path, bool replace,
                     uint64_t *bytes, struct cairn_problem *why)
{
    struct seal_codec codec = {0};
    struct content c = {0};
    int error =
        seal_codec_init(&codec, &session->params, cipher_session_unit(session, format), why);
    if (!error) {
        error = make_content(&codec, format, version, &c, why);
    }
    if (!error) {
        digest_of(c.open.data, c.open.size, session->key_id);
        error = note_write(session_json(session), format, version, session->key_id, &c.note, why);
    }
    if (!error) {
        error = note_secret(&c, format, version, session->key_id, why);
    }
    if (!error) {
        error = note_path(public_path, &c.note_path, why);
    }
    if (!error) {
        error = note_path(secret_path, &c.secret_note_path, why);
    }
    if (!error && format == FILES_SEAL &&
        (buf_printf(&c.params_path, "%s.parms", public_path) != 0 ||
         buf_text(&c.params_path) == NULL)) {
        error = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a path");
    }
    if (!error) {
        error = write_content(&c, public_path, secret_path, replace, why);
    }
    *bytes = c.open.size;
    content_release(&c);
    seal_codec_release(&codec);
    return error;
}

/* ---- reading ---- */

static int read_public(const char *path, struct buf *out, struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    int error = file_read(path, LARGEST, out, &inner);
    return error ? problem_set(why, CAIRN_ERR_DATA, inner.hint, "%s", inner.what) : 0;
}

int cipher_session_read(const char *path, enum files_format format, struct session *session,
                        enum seal_version *version, struct cairn_problem *why)
{
    json_t *note = NULL;
    struct buf beside = {0};
    struct buf bytes = {0};
    struct session found = {0};
    uint8_t digest[DIGEST_SIZE];
    bool has_digest = false;
    int error = note_read(path, format, &note, version, digest, &has_digest, why);
    if (!error) {
        error = note_path(path, &beside, why);
    }
    if (!error) {
        error = session_parse(note, buf_text(&beside), &found, why);
    }
    if (!error) {
        error = files_format_takes(format, found.params.profile, why);
    }
    if (!error) {
        error = read_public(path, &bytes, why);
    }
    if (!error) {
        digest_of(bytes.data, bytes.size, digest);
        if (memcmp(digest, found.key_id, sizeof digest) != 0) {
            error = problem_set(why, CAIRN_ERR_INTEGRITY, "copy both files again",
                                "%s is not the public file that %s is about", path,
                                buf_text(&beside));
        }
    }
    json_decref(note);
    buf_release(&beside);
    buf_release(&bytes);
    if (!error) {
        *session = found;
    }
    return error;
}

/* An object that cannot be read, with the file that it is in. */
static int named(int error, const char *path, const struct cairn_problem *inner,
                 struct cairn_problem *why)
{
    return error == 0 ? 0
                      : problem_set(why, error == CAIRN_ERR_MALFORMED ? CAIRN_ERR_DATA : error,
                                    inner->hint, "%s: %s", path, inner->what);
}

/* The part of a context that is wanted, or the bytes themselves in format seal. */
static int find_key(const char *path, enum files_format format, const struct seal_codec *codec,
                    struct span bytes, bool secret, struct span *out, struct cairn_problem *why)
{
    struct tenseal_context context = {0};
    struct seal_params params;
    struct cairn_problem inner = {0};
    *out = bytes;
    if (format != FILES_TENSEAL) {
        return 0;
    }
    int error = tenseal_context_read(bytes, &context, &inner);
    if (!error && context.params.size != 0) {
        error = seal_params_read(context.params, NULL, &params, &inner);
    }
    if (error) {
        return named(error, path, &inner, why);
    }
    const struct seal_params *wanted = seal_context_params(codec->context);
    if (context.params.size != 0 &&
        (params.scheme != wanted->scheme || params.degree != wanted->degree ||
         params.primes != wanted->primes ||
         memcmp(params.q, wanted->q, params.primes * sizeof params.q[0]) != 0)) {
        return problem_set(why, CAIRN_ERR_REFUSED, "use the context that cairn keygen wrote",
                           "%s: other parameters than CKKS, N 8192, {60, 40, 40, 60}", path);
    }
    *out = secret ? context.secret_key : context.public_key;
    if (out->size == 0) {
        return problem_set(why, CAIRN_ERR_DATA, secret ? "keep the context that holds it" : NULL,
                           "%s has no %s key", path, secret ? "secret" : "public");
    }
    return 0;
}

int cipher_public_key_read(const char *path, enum files_format format,
                           const struct seal_codec *codec, struct seal_public_key *out,
                           struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    struct buf bytes = {0};
    struct span key;
    int error = read_public(path, &bytes, why);
    if (!error) {
        error = find_key(path, format, codec, buf_span(&bytes), false, &key, why);
    }
    if (!error) {
        error = seal_public_key_read(codec->context, key, NULL, out, &inner);
        error = named(error, path, &inner, why);
    }
    buf_release(&bytes);
    return error;
}

/* Is it the key of that pair, and the file that its note is about? */
static int check_secret(const char *path, enum files_format format, struct span bytes,
                        const uint8_t key_id[HE_KEY_ID_SIZE], struct cairn_problem *why)
{
    json_t *note = NULL;
    enum seal_version version;
    uint8_t noted[DIGEST_SIZE], digest[DIGEST_SIZE], key[HE_KEY_ID_SIZE];
    bool has_digest = false;
    int error = note_read(path, format, &note, &version, noted, &has_digest, why);
    if (error) {
        return error;
    }
    digest_of(bytes.data, bytes.size, digest);
    if (container_hex(note, "key", key, sizeof key) != 0) {
        error = container_bad(path, "key", why);
    } else if (memcmp(key, key_id, sizeof key) != 0) {
        char of[17], wanted[17];
        digest_hex(key, 8, of);
        digest_hex(key_id, 8, wanted);
        error = problem_set(why, CAIRN_ERR_IDENTITY, "give the secret key of that pair",
                            "%s is of key pair %s; the sum is encrypted for %s", path, of, wanted);
    } else if (has_digest && memcmp(noted, digest, sizeof digest) != 0) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY, "copy both files again",
                            "%s is not the key that its note, %s.json, is about", path, path);
    }
    json_decref(note);
    return error;
}

int cipher_secret_key_read(const char *path, enum files_format format,
                           const struct seal_codec *codec, const uint8_t key_id[HE_KEY_ID_SIZE],
                           struct seal_secret_key *out, struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct span key;
    int error = secret_file_get(path, LARGEST, &bytes, &size, why);
    if (!error) {
        error = check_secret(path, format, (struct span){bytes, size}, key_id, why);
    }
    if (!error) {
        error = find_key(path, format, codec, (struct span){bytes, size}, true, &key, why);
    }
    if (!error) {
        error = seal_secret_key_read(codec->context, key, NULL, out, &inner);
        error = named(error, path, &inner, why);
    }
    secret_free(bytes);
    return error;
}

/* ---- not writing over them ---- */

/* A public key has the note of a session, and a secret key's bytes say what they are. */
static bool is_key(struct span bytes)
{
    struct seal_look look;
    struct tenseal_context context;
    size_t consumed = 0;
    if (seal_look_begins(bytes)) {
        return seal_look(bytes, &consumed, &look, NULL) == 0 && look.kind == SEAL_KIND_SECRET;
    }
    return tenseal_context_read(bytes, &context, NULL) == 0;
}

static bool has_session(const char *path)
{
    json_t *note = note_of_any(path);
    const bool found = json_object_get(note, "range") != NULL;
    json_decref(note);
    return found;
}

int cipher_keep_keys(const char *out, struct cairn_problem *why)
{
    struct buf bytes = {0};
    int error = input_keep_keys(out, why);
    if (error || !file_exists(out)) {
        return error;
    }
    if (has_session(out) ||
        (file_read(out, LARGEST, &bytes, NULL) == 0 && is_key(buf_span(&bytes)))) {
        error = problem_set(why, CAIRN_ERR_USAGE, "choose another name for the output",
                            "%s is a key, and would be lost", out);
    }
    wipe(&bytes);
    return error;
}
