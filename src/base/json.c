/* SPDX-License-Identifier: Apache-2.0 */
/* One strict way to read JSON, and one way to write it. */
#include "json.h"

#include <string.h>

#include "digest.h"

/* jansson tells a lack of memory as a fault of the text, "invalid token"; and a digit of a number
 * that it has no memory for is left out without a word. So its requests are watched. */
static json_malloc_t watched_malloc;
static json_free_t watched_free;
static _Thread_local bool was_refused;

static void *watching_malloc(size_t size)
{
    void *memory = watched_malloc(size);
    was_refused |= memory == NULL;
    return memory;
}

/* Before there are threads: the hooks are jansson's globals, and read without a lock. */
__attribute__((constructor)) static void watch(void)
{
    json_get_alloc_funcs(&watched_malloc, &watched_free);
    json_set_alloc_funcs(watching_malloc, watched_free);
}

json_t *json_load(struct span text, size_t flags, json_error_t *error, bool *no_memory)
{
    was_refused = false;
    json_t *document = json_loadb((const char *)text.data, text.size, flags, error);
    *no_memory = was_refused;
    if (was_refused) {
        json_decref(document);
        document = NULL;
    }
    return document;
}

static json_t *parse(struct span text, size_t flags, const char *name, struct cairn_problem *why)
{
    if (text.size == 0) {
        (void)problem_set(why, CAIRN_ERR_MALFORMED, "a JSON document is { ... } or [ ... ]",
                          "%s: empty", name);
        return NULL;
    }
    if (text.size >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0) {
        (void)problem_set(why, CAIRN_ERR_MALFORMED, "save it as UTF-8 without byte order mark",
                          "%s:1:1: begins with a byte order mark", name);
        return NULL;
    }
    json_error_t error;
    bool no_memory;
    json_t *document = json_load(text, JSON_REJECT_DUPLICATES | flags, &error, &no_memory);
    if (no_memory) {
        (void)problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory to read it", name);
    } else if (!document) {
        (void)problem_set(why, CAIRN_ERR_MALFORMED, NULL, "%s:%d:%d: %s", name, error.line,
                          error.column, error.text);
    }
    return document;
}

json_t *json_parse(struct span text, const char *name, struct cairn_problem *why)
{
    return parse(text, 0, name, why);
}

json_t *json_parse_zeros(struct span text, const char *name, struct cairn_problem *why)
{
    return parse(text, JSON_ALLOW_NUL, name, why);
}

/* jansson does not look at the callback's answer for the names of members, so that text with some
 * of them missing would pass for whole. */
struct output {
    struct buf *buf;
    bool failed;
};

static int to_buf(const char *bytes, size_t size, void *arg)
{
    struct output *output = arg;
    output->failed = output->failed || buf_append(output->buf, bytes, size) != CAIRN_OK;
    return output->failed ? -1 : 0;
}

int json_append(struct buf *out, const json_t *document, int indent)
{
    size_t before = out->size;
    size_t flags = JSON_ENCODE_ANY | JSON_INDENT((size_t)(indent > 0 ? indent : 0));
    struct output output = {.buf = out};
    if (json_dump_callback(document, to_buf, &output, flags) != 0 || output.failed) {
        out->size = before;
        return CAIRN_ERR_NO_MEMORY;
    }
    return CAIRN_OK;
}

static int to_digest(const char *bytes, size_t size, void *state)
{
    digest_update(state, bytes, size);
    return 0;
}

int json_digest(const json_t *document, char *hex)
{
    struct digest_state state;
    uint8_t digest[DIGEST_SIZE];
    digest_init(&state);
    if (json_dump_callback(document, to_digest, &state,
                           JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_COMPACT) != 0) {
        return CAIRN_ERR_NO_MEMORY;
    }
    digest_final(&state, digest);
    digest_hex(digest, sizeof digest, hex);
    return CAIRN_OK;
}

const char *json_get_text(const json_t *object, const char *key, const char *otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : otherwise;
}

long long json_get_int(const json_t *object, const char *key, long long otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

double json_get_number(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

int json_get_bool(const json_t *object, const char *key, int otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}
