/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of cairn's own files: written in one run, read without believing a length. */
#include "container.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "input_kind.h"
#include "json.h"
#include "le.h"
#include "problem.h"
#include "sizes.h"

enum { FIXED = 24 };
_Static_assert(FIXED + (int)DIGEST_SIZE == CONTAINER_OVERHEAD, "the header around its JSON");

static const char damaged[] = "copy the file again";

static void header_digest(const uint8_t *bytes, size_t size, uint8_t out[DIGEST_SIZE])
{
    static const char label[32] = "cairn file v1";
    struct digest_state state;
    digest_init(&state);
    digest_update(&state, label, sizeof label);
    digest_update(&state, bytes, size);
    digest_final(&state, out);
}

int container_header(const struct container_kind *kind, const json_t *document, uint64_t body,
                     struct buf *out)
{
    const size_t start = out->size;
    const uint8_t zeros[FIXED] = {0};
    int error = buf_append(out, zeros, sizeof zeros);
    if (!error) {
        error = json_append(out, document, 0);
    }
    const size_t length = out->size - start + DIGEST_SIZE;
    if (!error && length > CONTAINER_OVERHEAD + CONTAINER_JSON_LIMIT) {
        error = CAIRN_ERR_TOO_LONG;
    }
    if (!error) {
        error = buf_reserve(out, DIGEST_SIZE);
    }
    if (error) {
        out->size = start;
        return error;
    }
    uint8_t *header = out->data + start;
    memcpy(header, kind->magic, sizeof kind->magic);
    le_put16(header + 4, kind->version);
    le_put32(header + 8, (uint32_t)length);
    le_put64(header + 16, length + body);
    header_digest(header, length - DIGEST_SIZE, header + length - DIGEST_SIZE);
    out->size += DIGEST_SIZE;
    return 0;
}

/* What can be said from the first bytes. */
static int check_fixed(const struct input *in, const uint8_t fixed[FIXED],
                       const struct container_kind *kind, struct cairn_problem *why)
{
    if (in->size < 4 || memcmp(fixed, kind->magic, sizeof kind->magic) != 0) {
        return problem_set(why, CAIRN_ERR_DATA, NULL, "%s is %s; %s is needed here", in->path,
                           input_kind(in), kind->what);
    }
    if (in->size < FIXED) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, damaged,
                           "%s is cut off within its header: %" PRIu64 " bytes", in->path,
                           in->size);
    }
    if (le_get16(fixed + 4) != kind->version) {
        return problem_set(why, CAIRN_ERR_DATA, "use the same version of cairn everywhere",
                           "%s has version %u, this program reads version %u", in->path,
                           (unsigned)le_get16(fixed + 4), (unsigned)kind->version);
    }
    const uint32_t length = le_get32(fixed + 8);
    if (le_get16(fixed + 6) != 0 || le_get32(fixed + 12) != 0 ||
        length < CONTAINER_OVERHEAD + 2 || length > CONTAINER_OVERHEAD + CONTAINER_JSON_LIMIT ||
        length > le_get64(fixed + 16)) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, damaged, "%s: its header is damaged",
                           in->path);
    }
    if (le_get64(fixed + 16) != in->size) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, damaged,
                           "%s has %" PRIu64 " bytes and should have %" PRIu64, in->path, in->size,
                           le_get64(fixed + 16));
    }
    return 0;
}

int container_read(const struct input *in, const struct container_kind *kind, json_t **document,
                   uint64_t *body_at, struct cairn_problem *why)
{
    uint8_t fixed[FIXED] = {0};
    uint8_t digest[DIGEST_SIZE];
    struct buf header = {0};
    struct cairn_problem inner;
    int error =
        input_read(in, 0, fixed, in->size < FIXED ? (size_t)in->size : FIXED, why);
    if (!error) {
        error = check_fixed(in, fixed, kind, why);
    }
    if (!error) {
        error = input_append(in, 0, le_get32(fixed + 8), &header, why);
    }
    if (error) {
        goto cleanup;
    }
    const size_t covered = header.size - DIGEST_SIZE;
    header_digest(header.data, covered, digest);
    if (memcmp(digest, header.data + covered, DIGEST_SIZE) != 0) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY, damaged, "%s: its header is damaged",
                            in->path);
        goto cleanup;
    }
    json_t *found =
        json_parse((struct span){header.data + FIXED, covered - FIXED}, in->path, &inner);
    if (!found) {
        error = problem_set(
            why, inner.code == CAIRN_ERR_NO_MEMORY ? CAIRN_ERR_NO_MEMORY : CAIRN_ERR_DATA, NULL,
            "%s", inner.what);
        goto cleanup;
    }
    *document = found;
    *body_at = header.size;
cleanup:
    buf_release(&header);
    return error;
}

int container_bad(const char *path, const char *what, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_DATA, "was it written by another version of cairn?",
                       "%s: its header has no usable \"%s\"", path, what);
}

int container_hex(const json_t *document, const char *key, uint8_t *out, size_t size)
{
    const char *text = json_string_value(json_object_get(document, key));
    return text ? digest_from_hex(text, out, size) : CAIRN_ERR_MALFORMED;
}

json_t *container_hex_json(const uint8_t *bytes, size_t size)
{
    char *text = size_alloc_array(2 * size + 1, 1);
    json_t *json = NULL;
    if (text != NULL) {
        digest_hex(bytes, size, text);
        json = json_string(text);
    }
    free(text);
    return json;
}
