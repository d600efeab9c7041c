/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies. A problem's text may quote what a peer sent, so it is escaped here
 * byte by byte and can neither end the string nor make the JSON invalid.
 */
#include <string.h>

#include "http.h"
#include "utf8.h"

/* Append as a JSON string. Bytes that are not UTF-8 become '?'. */
static int append_string(struct buf *out, const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t left = strlen(text);
    int error = buf_append(out, "\"", 1);
    while (left > 0 && !error) {
        uint32_t code;
        size_t n = utf8_decode(s, left, &code);
        if (n == 0) {
            error = buf_append(out, "?", 1);
            n = 1;
        } else if (code < 0x20 || code == 0x7f) {
            error = buf_printf(out, "\\u%04x", (unsigned)code);
        } else if (code == '"' || code == '\\') {
            error = buf_printf(out, "\\%c", (int)code);
        } else {
            error = buf_append(out, s, n);
        }
        s += n;
        left -= n;
    }
    return error ? error : buf_append(out, "\"", 1);
}

static int append_member(struct buf *out, const char *start, const char *text)
{
    int error = buf_append(out, start, strlen(start));
    return error ? error : append_string(out, text);
}

void http_reply_problem(struct http_reply *reply, const struct cairn_problem *problem)
{
    const char *what = problem->what[0] ? problem->what : cairn_error_sentence(problem->code);
    reply->status = cairn_error_http(problem->code);
    reply->content_type = NULL;
    buf_clear(&reply->body);
    if (append_member(&reply->body, "{\"error\": ", what) ||
        append_member(&reply->body, ", \"hint\": ", problem->hint) ||
        append_member(&reply->body, ", \"code\": ", cairn_error_name(problem->code)) ||
        buf_append(&reply->body, "}\n", 2)) {
        buf_clear(&reply->body); /* the status alone still says it */
    }
}

void http_reply_release(struct http_reply *reply)
{
    buf_release(&reply->body);
    *reply = (struct http_reply){0};
}
