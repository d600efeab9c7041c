/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <string.h>

#include "json.h"

void answer_json(struct http_reply *reply, json_t *document)
{
    if (reply->status == 0) {
        reply->status = 200;
    }
    if (document == NULL || json_append(&reply->body, document, 0) != 0) {
        struct cairn_problem why;
        problem_set(&why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for an answer");
        http_reply_problem(reply, &why);
    }
    json_decref(document);
}

void answer_problem_with(struct http_reply *reply, const struct cairn_problem *problem,
                         const char *key, long long value)
{
    reply->status = cairn_error_http(problem->code);
    answer_json(reply, json_pack("{s:s, s:s, s:s, s:I}", "error", problem->what, "hint",
                                 problem->hint, "code", cairn_error_name(problem->code), key,
                                 (json_int_t)value));
}

json_t *answer_document(const struct http_exchange *exchange)
{
    if (exchange->error != 0) {
        return NULL;
    }
    return json_parse(buf_span(&exchange->answer), exchange->address, NULL);
}

static int code_from_name(const char *name)
{
#define CAIRN_X(short_name, value, http, exit_code, sentence)                                      \
    if (strcmp(name, #short_name) == 0) {                                                          \
        return value;                                                                              \
    }
    CAIRN_ERRORS(CAIRN_X)
#undef CAIRN_X
    return CAIRN_ERR_NETWORK;
}

int answer_to_problem(const struct http_exchange *exchange, struct cairn_problem *why)
{
    if (exchange->error != 0) {
        return problem_set(why, exchange->error, "is a cairn node running there? try: cairn status",
                           "%s", exchange->what);
    }
    json_t *document = answer_document(exchange);
    const int code = code_from_name(json_get_text(document, "code", "NETWORK"));
    problem_set(why, code, json_get_text(document, "hint", ""), "%s%s answered %d: %s",
                exchange->address, exchange->path, exchange->status,
                json_get_text(document, "error", "(no reason given)"));
    json_decref(document);
    return code;
}

/* The peer got other bytes than were sent: the same ones may arrive whole the next time. */
static bool was_damaged(const struct http_exchange *exchange)
{
    if (exchange->status != 400 && exchange->status != 422) {
        return false;
    }
    json_t *document = answer_document(exchange);
    const int code = code_from_name(json_get_text(document, "code", ""));
    json_decref(document);
    return code == CAIRN_ERR_INTEGRITY || code == CAIRN_ERR_MALFORMED;
}

bool answer_is_temporary(const struct http_exchange *exchange)
{
    if (exchange->error != 0) {
        return exchange->error != CAIRN_ERR_TOO_LONG;
    }
    return exchange->status == 425 || exchange->status == 429 || exchange->status == 503 ||
           exchange->status == 507 || was_damaged(exchange);
}
