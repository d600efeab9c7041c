/* SPDX-License-Identifier: Apache-2.0 */
/* The public file of a key pair. */
#include "session.h"

#include <math.h>
#include <string.h>

#include "problem.h"

static const struct container_kind kind = {"CRNS", 1, "the public file that keygen wrote"};

/* Any model lies within; and a step of the widest quantiser is a normal float32 still. */
bool session_range_is_good(double range)
{
    return range >= 1e-20 && range <= 1e20; /* false for NaN */
}

/* ---- members that the public file and update files share ---- */

json_t *session_params_json(const struct he_params *params)
{
    return json_pack("{s:s, s:i, s:I, s:s}", "profile", he_profile_name(params->profile),
                     "value_bits", (int)params->value_bits, "most_contributors",
                     (json_int_t)params->max_contributors, "parameters", params->id);
}

int session_number(const json_t *document, const char *key, uint64_t least, uint64_t most,
                   const char *path, uint64_t *out, struct cairn_problem *why)
{
    const json_t *member = json_object_get(document, key);
    if (!json_is_integer(member) || json_integer_value(member) < 0 ||
        (uint64_t)json_integer_value(member) < least ||
        (uint64_t)json_integer_value(member) > most) {
        return container_bad(path, key, why);
    }
    *out = (uint64_t)json_integer_value(member);
    return 0;
}

int session_params_read(const json_t *document, const char *path, struct he_params *out,
                        struct cairn_problem *why)
{
    const char *name = json_string_value(json_object_get(document, "profile"));
    const char *id = json_string_value(json_object_get(document, "parameters"));
    enum he_profile profile;
    uint64_t bits = 0;
    uint64_t most = 0;
    struct he_params params;
    struct cairn_problem inner;
    int error = session_number(document, "value_bits", 2, 24, path, &bits, why);
    if (!error) {
        error = session_number(document, "most_contributors", 1, UINT32_MAX, path, &most, why);
    }
    if (error) {
        return error;
    }
    if (name == NULL || id == NULL || he_profile_from_name(name, &profile) != 0) {
        return container_bad(path, "profile", why);
    }
    error = he_params_choose(profile, (unsigned)bits, (uint32_t)most, &params, &inner);
    if (error) {
        return problem_set(why, CAIRN_ERR_DATA, inner.hint, "%s: %s", path, inner.what);
    }
    if (strcmp(params.id, id) != 0) {
        return problem_set(why, CAIRN_ERR_DATA, "use the same version of cairn everywhere",
                           "%s has parameter set %.90s; this program would choose %s", path, id,
                           params.id);
    }
    *out = params;
    return 0;
}

/* ---- the file ---- */

json_t *session_json(const struct session *session)
{
    json_t *document = session_params_json(&session->params);
    json_t *more = json_pack("{s:f, s:I, s:I, s:o, s:o}", "range", session->range,
                             "largest_samples", (json_int_t)session->largest_samples,
                             "frame_params", (json_int_t)session->frame_params, "nonce",
                             container_hex_json(session->nonce, HE_NONCE_SIZE), "key",
                             container_hex_json(session->key_id, HE_KEY_ID_SIZE));
    if (document == NULL || more == NULL || json_object_update(document, more) != 0) {
        json_decref(document);
        document = NULL;
    }
    json_decref(more);
    return document;
}

int session_write(const struct session *session, struct buf *out)
{
    const size_t start = out->size;
    struct buf key = {0};
    json_t *document = session_json(session);
    int error = document == NULL ? CAIRN_ERR_NO_MEMORY : 0;
    if (!error && session->key != NULL) {
        error = he_public_key_write(session->key, &key);
    }
    if (!error) {
        error = container_header(&kind, document, key.size, out);
    }
    if (!error) {
        error = buf_append(out, key.data, key.size);
    }
    if (error) {
        out->size = start;
    }
    json_decref(document);
    buf_release(&key);
    return error;
}

int session_parse(const json_t *document, const char *path, struct session *session,
                  struct cairn_problem *why)
{
    uint64_t frame_params = 0;
    int error = session_params_read(document, path, &session->params, why);
    if (!error) {
        error = session_number(document, "largest_samples", 1, SESSION_MOST_SAMPLES, path,
                               &session->largest_samples, why);
    }
    if (!error) {
        error = session_number(document, "frame_params", 1, SESSION_MOST_FRAME_PARAMS, path,
                               &frame_params, why);
    }
    if (error) {
        return error;
    }
    session->frame_params = (uint32_t)frame_params;
    session->range = json_number_value(json_object_get(document, "range"));
    if (!session_range_is_good(session->range)) {
        return container_bad(path, "range", why);
    }
    if (container_hex(document, "nonce", session->nonce, HE_NONCE_SIZE) != 0) {
        return container_bad(path, "nonce", why);
    }
    if (container_hex(document, "key", session->key_id, HE_KEY_ID_SIZE) != 0) {
        return container_bad(path, "key", why);
    }
    return 0;
}

static int read_key(const struct input *in, uint64_t at, struct session *session,
                    struct cairn_problem *why)
{
    struct buf bytes = {0};
    struct cairn_problem inner = {0};
    uint8_t id[HE_KEY_ID_SIZE];
    if (session->params.profile == HE_NONE) {
        return at == in->size ? 0 : container_bad(in->path, "profile", why);
    }
    int error = input_append(in, at, (size_t)(in->size - at), &bytes, why);
    if (error) {
        goto cleanup;
    }
    error = he_public_key_read(buf_span(&bytes), &session->params, &session->key, &inner);
    if (error) {
        error = problem_set(why, error == CAIRN_ERR_MALFORMED ? CAIRN_ERR_DATA : error, inner.hint,
                            "%s: %s", in->path, inner.what);
        goto cleanup;
    }
    error = he_public_key_id(session->key, id);
    if (error) {
        problem_set(why, error, NULL, "no memory for a public key");
    } else if (memcmp(id, session->key_id, sizeof id) != 0) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY, "copy the file again",
                            "%s: holds another key than it says", in->path);
    }
cleanup:
    buf_release(&bytes);
    return error;
}

int session_read(const char *path, struct session *out, struct cairn_problem *why)
{
    struct session session = {0};
    struct input in;
    json_t *document = NULL;
    uint64_t body_at = 0;
    int error = input_open(&in, path, why);
    if (error) {
        return error;
    }
    error = container_read(&in, &kind, &document, &body_at, why);
    if (!error) {
        error = session_parse(document, path, &session, why);
    }
    if (!error) {
        error = read_key(&in, body_at, &session, why);
    }
    json_decref(document);
    input_close(&in);
    if (error) {
        session_release(&session);
        return error;
    }
    *out = session;
    return 0;
}

void session_release(struct session *session)
{
    he_public_key_free(session->key);
    session->key = NULL;
}
