/* SPDX-License-Identifier: Apache-2.0 */
/* The names of formats, what each can hold, and the notes beside other programs' files. */
#include "files_format.h"

#include <string.h>

#include "digest.h"
#include "file.h"
#include "json.h"
#include "problem.h"

static const char *const names[] = {"cairn", "seal", "tenseal"};
enum { FORMATS = sizeof names / sizeof names[0] };
static const char *const version_names[] = {[SEAL_VERSION_4_1] = "4.1", [SEAL_VERSION_3_7] = "3.7"};
enum { VERSIONS = sizeof version_names / sizeof version_names[0] };

const char *files_format_name(enum files_format format)
{
    return names[format];
}

int files_format_read(const char *name, enum files_format *out, struct cairn_problem *why)
{
    *out = FILES_CAIRN;
    if (name == NULL) {
        return 0;
    }
    for (int f = 0; f < FORMATS; f++) {
        if (strcmp(name, names[f]) == 0) {
            *out = (enum files_format)f;
            return 0;
        }
    }
    return problem_set(why, CAIRN_ERR_USAGE, "cairn's own files are the smallest",
                       "there is no format \"%s\"; cairn, seal and tenseal are known", name);
}

static int find_version(const char *name, enum seal_version *out)
{
    for (int v = 0; v < VERSIONS; v++) {
        if (strcmp(name, version_names[v]) == 0) {
            *out = (enum seal_version)v;
            return 0;
        }
    }
    return CAIRN_ERR_MALFORMED;
}

int files_seal_version(enum files_format format, const char *name, enum seal_version *out,
                       struct cairn_problem *why)
{
    *out = format == FILES_TENSEAL ? SEAL_VERSION_3_7 : SEAL_VERSION_4_1;
    if (name == NULL) {
        return 0;
    }
    if (format == FILES_CAIRN) {
        return problem_set(why, CAIRN_ERR_USAGE, "add --format seal",
                           "cairn's own files have no version of SEAL");
    }
    if (find_version(name, out) != 0) {
        return problem_set(why, CAIRN_ERR_USAGE, "3.7 is read by every SEAL since 3.7",
                           "SEAL version \"%s\"; 4.1 and 3.7 can be written", name);
    }
    if (format == FILES_TENSEAL && *out != SEAL_VERSION_3_7) {
        return problem_set(why, CAIRN_ERR_USAGE, "leave --seal-version out",
                           "TenSEAL 0.3.18 does not read version %s", name);
    }
    return 0;
}

int files_format_takes(enum files_format format, enum he_profile profile,
                       struct cairn_problem *why)
{
    if (format == FILES_CAIRN || profile == HE_SEAL_CKKS ||
        (profile == HE_BFV && format == FILES_SEAL)) {
        return 0;
    }
    if (profile == HE_CAPSULE) {
        return problem_set(why, CAIRN_ERR_USAGE,
                           "--profile seal-ckks, or with --format seal also bfv; or --format cairn",
                           "profile capsule cannot be written for SEAL: each of its ciphertexts is "
                           "under a one-time key of its own, which no SEAL secret key is");
    }
    return problem_set(why, CAIRN_ERR_USAGE,
                       format == FILES_TENSEAL ? "--profile seal-ckks"
                                               : "--profile bfv or seal-ckks",
                       "profile %s cannot be written in format %s", he_profile_name(profile),
                       names[format]);
}

int files_format_params(const struct he_params *params, struct cairn_problem *why)
{
    if (params->profile == HE_BFV && params->bfv.plain_modulus == 0) {
        return problem_set(why, CAIRN_ERR_CONFIG, "fewer value bits or fewer clients take N = 2048",
                           "parameters %s: their lane words are longer than SEAL's plain moduli",
                           params->id);
    }
    return 0;
}

/* ---- notes ---- */

int note_path(const char *path, struct buf *out, struct cairn_problem *why)
{
    if (buf_printf(out, "%s.json", path) != 0 || buf_text(out) == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a path");
    }
    return 0;
}

bool note_exists(const char *path)
{
    struct buf beside = {0};
    const bool there = note_path(path, &beside, NULL) == 0 && file_exists(buf_text(&beside));
    buf_release(&beside);
    return there;
}

int note_write(json_t *document, enum files_format format, enum seal_version version,
               const uint8_t digest[32], struct buf *out, struct cairn_problem *why)
{
    json_t *note = json_pack("{s:s, s:s, s:o}", "file", names[format], "seal_version",
                             version_names[version], "digest",
                             container_hex_json(digest, DIGEST_SIZE));
    int error = document == NULL || note == NULL || json_object_update(note, document) != 0
                    ? CAIRN_ERR_NO_MEMORY
                    : json_append(out, note, 1);
    json_decref(note);
    json_decref(document);
    return error ? problem_set(why, error, "tensor names must be UTF-8", "cannot write a note") : 0;
}

static int read_members(const json_t *note, enum files_format format, const char *beside,
                        enum seal_version *version, uint8_t *digest, bool *has_digest,
                        struct cairn_problem *why)
{
    const char *file = json_string_value(json_object_get(note, "file"));
    const char *number = json_string_value(json_object_get(note, "seal_version"));
    if (file == NULL || strcmp(file, names[format]) != 0) {
        return problem_set(why, CAIRN_ERR_DATA, "give all steps the same --format",
                           "%s: \"file\" is not \"%s\"", beside, names[format]);
    }
    if (number == NULL || find_version(number, version) != 0) {
        return container_bad(beside, "seal_version", why);
    }
    *has_digest = json_object_get(note, "digest") != NULL;
    if (*has_digest && container_hex(note, "digest", digest, DIGEST_SIZE) != 0) {
        return container_bad(beside, "digest", why);
    }
    return 0;
}

int note_read(const char *path, enum files_format format, json_t **document,
              enum seal_version *version, uint8_t digest[32], bool *has_digest,
              struct cairn_problem *why)
{
    struct buf beside = {0};
    struct buf text = {0};
    struct cairn_problem inner = {0};
    json_t *note = NULL;
    int error = note_path(path, &beside, why);
    if (!error && file_read(buf_text(&beside), CONTAINER_JSON_LIMIT, &text, &inner) != 0) {
        error = problem_set(why, CAIRN_ERR_DATA,
                            "a file of another program's objects goes with its note, FILE.json",
                            "%s", inner.what);
    }
    if (!error && (note = json_parse(buf_span(&text), buf_text(&beside), &inner)) == NULL) {
        error = problem_set(
            why, inner.code == CAIRN_ERR_NO_MEMORY ? CAIRN_ERR_NO_MEMORY : CAIRN_ERR_DATA, NULL,
            "%s", inner.what);
    }
    if (!error) {
        error = read_members(note, format, buf_text(&beside), version, digest, has_digest, why);
    }
    if (error) {
        json_decref(note);
    } else {
        *document = note;
    }
    buf_release(&text);
    buf_release(&beside);
    return error;
}

json_t *note_of_any(const char *path)
{
    json_t *note = NULL;
    enum seal_version version;
    uint8_t digest[DIGEST_SIZE];
    bool has_digest;
    for (int f = FILES_SEAL; f < FORMATS; f++) {
        if (note_read(path, (enum files_format)f, &note, &version, digest, &has_digest, NULL) ==
            0) {
            return note;
        }
    }
    return NULL;
}
