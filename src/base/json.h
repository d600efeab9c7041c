/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

/**
 * Small helpers over jansson, so that every JSON document that comes from
 * outside is read with the same strictness: UTF-8, no duplicate keys, nothing
 * after the document, nesting bounded by jansson's own limit. A number that a
 * double cannot hold (1e999) is refused, and so is a zero byte, written or escaped. The document
 * is an object or an array.
 */

/** @param name  what the text is, for the message: a path or "POST /config"
 *  @return a new reference (json_decref), or NULL with `why` saying line and column */
json_t *json_parse(struct span text, const char *name, struct cairn_problem *why);

/** The same of a document whose texts may have zero bytes, written \u0000: json_string_length tells how long they
 * are. The names of members may not. */
json_t *json_parse_zeros(struct span text, const char *name, struct cairn_problem *why);

/** json_loadb that tells a lack of memory from a fault of the text. @return a new reference or NULL */
json_t *json_load(struct span text, size_t flags, json_error_t *error, bool *no_memory);

/** Append the document. Keys in insertion order. indent 0 = one line. Numbers are written so
 * that they read back the same. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int json_append(struct buf *out, const json_t *document, int indent);

/** Digest of the document in canonical form (sorted keys, no spaces): equal documents have equal
 * digests whatever their layout. hex holds DIGEST_HEX_SIZE. */
CAIRN_MUST_CHECK int json_digest(const json_t *document, char *hex);

/** Members by name with a default when absent or of another type. Borrowed. */
const char *json_get_text(const json_t *object, const char *key, const char *otherwise);
long long json_get_int(const json_t *object, const char *key, long long otherwise);
double json_get_number(const json_t *object, const char *key, double otherwise);
int json_get_bool(const json_t *object, const char *key, int otherwise);

#endif
