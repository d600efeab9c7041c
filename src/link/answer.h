/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_ANSWER_H
#define ROLE_ANSWER_H

#include <jansson.h>

#include "http.h"

/** Small JSON answers of a node, and reading those of others. */

/** Answer with a document; takes the reference. status 200 unless set before. */
void answer_json(struct http_reply *reply, json_t *document);
/** Answer with a problem (error, hint, code) and one number beside it, such as "next" or "round". */
void answer_problem_with(struct http_reply *reply, const struct cairn_problem *problem,
                         const char *key, long long value);
/**
 * Turn the answer of an exchange that did not end in 200 into a problem: transport errors as they are, HTTP errors with
 * the peer's own "error", "hint" and "code" where it gave them, and the address in front.
 * @return the code, never 0
 */
int answer_to_problem(const struct http_exchange *exchange, struct cairn_problem *why);
/** The answer as JSON, or NULL. New reference. */
json_t *answer_document(const struct http_exchange *exchange);
/**
 * Will trying again help? True for a connection that failed, for 425, 429, 503 and 507, and where the peer
 * found the bytes damaged (INTEGRITY, MALFORMED); every other refusal stays one.
 */
bool answer_is_temporary(const struct http_exchange *exchange);

#endif
