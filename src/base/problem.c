/* SPDX-License-Identifier: Apache-2.0 */
/* Names, sentences and codes from the one list in err.h, and the sentence for people. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "problem.h"
#include "utf8.h"

struct row {
    int code;
    int http;
    int exit_code;
    const char *name;
    const char *sentence;
};

static const struct row rows[] = {
    {CAIRN_OK, 200, 0, "OK", "done"},
#define X_ROW(name_, value, http_, exit_, sentence_)                                              \
    {(value), (http_), (exit_), #name_, (sentence_)},
    CAIRN_ERRORS(X_ROW)
#undef X_ROW
};

/* A code that nobody defined is itself a bug, so it reads as one. */
static const struct row *find(int code)
{
    const struct row *bug = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].code == code) {
            return &rows[i];
        }
        if (rows[i].code == CAIRN_ERR_BUG) {
            bug = &rows[i];
        }
    }
    return bug;
}

const char *cairn_error_name(int code)
{
    return find(code)->name;
}

const char *cairn_error_sentence(int code)
{
    return find(code)->sentence;
}

int cairn_error_http(int code)
{
    return find(code)->http;
}

int cairn_error_exit(int code)
{
    return find(code)->exit_code;
}

/* Copy text that may be longer than its place, cut at a character. */
static void put_text(char *out, size_t capacity, const char *text)
{
    size_t size = strnlen(text, capacity);
    if (size == capacity) {
        size = utf8_whole(text, capacity - 1);
    }
    memcpy(out, text, size);
    out[size] = 0;
}

int problem_set(struct cairn_problem *problem, int code, const char *hint, const char *format, ...)
{
    if (!problem) {
        return code;
    }
    /* Through a second struct, because the arguments may point into *problem:
     * problem_set(why, code, why->hint, "config: %s", why->what). */
    struct cairn_problem fresh = {.code = code};
    char text[sizeof fresh.what + 1]; /* one more, so that put_text sees that it was cut */
    va_list args;
    va_start(args, format);
    int written = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_text(fresh.what, sizeof fresh.what, written < 0 ? format : text);
    put_text(fresh.hint, sizeof fresh.hint, hint ? hint : "");
    *problem = fresh;
    return code;
}
