/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over a JSON text: where is every value, or what is the first thing wrong with it.
 *
 * The grammar is that of RFC 8259 and the functions follow it: value, object, array, string,
 * number. What is more than a grammar is that each place where a text can go wrong knows what
 * people usually meant: a comma that is missing before a key, one too many before a bracket, single
 * quotes, comments, an address without quotes.
 */
#include "config_doc.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sizes.h"
#include "utf8.h"

struct cursor {
    const uint8_t *at;
    unsigned line, column; /* of *at; columns count characters */
};

struct scan {
    struct cursor now;
    const uint8_t *begin, *end;
    struct config_doc *doc;
    struct config_syntax *syntax;
    int err;
};

/* The byte under the cursor; 0 at the end (a zero byte in the text is refused before anything
 * else). */
static int peek(const struct scan *s)
{
    return s->now.at < s->end ? *s->now.at : 0;
}

static void step(struct scan *s)
{
    uint8_t byte = *s->now.at++;
    if (byte == '\n') {
        s->now.line++;
        s->now.column = 1;
    } else if (s->now.at == s->end || (*s->now.at & 0xC0) != 0x80) {
        /* a character ends where the next byte continues none */
        s->now.column++;
    }
}

/* Always false, so that a scanner can say  return refuse_at(...). */
CAIRN_PRINTF(3, 4)
static bool refuse_at(struct scan *s, struct cursor where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->syntax->text, sizeof s->syntax->text, format, args);
    va_end(args);
    s->syntax->line = where.line;
    s->syntax->column = where.column;
    s->err = CAIRN_ERR_MALFORMED;
    return false;
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c >= 0x80;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(struct scan *s)
{
    int c = peek(s);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        step(s);
        c = peek(s);
    }
}

/* A new place for a value that begins at the cursor; 0 without memory, as place 0 is made by the
 * caller. */
static bool add_place(struct scan *s, uint32_t *out)
{
    struct config_doc *doc = s->doc;
    if (doc->n == doc->capacity) {
        size_t capacity = doc->capacity == 0 ? 64 : 2 * doc->capacity;
        size_t bytes;
        struct config_place *more = NULL;
        if (size_mul(capacity, sizeof *more, &bytes)) {
            more = realloc(doc->places, bytes);
        }
        if (more == NULL) {
            s->err = CAIRN_ERR_NO_MEMORY;
            return false;
        }
        doc->places = more;
        doc->capacity = capacity;
    }
    doc->places[doc->n] = (struct config_place){.line = s->now.line,
                                                .column = s->now.column,
                                                .key_line = s->now.line,
                                                .key_column = s->now.column,
                                                .text.data = s->now.at,
                                                .name = ""};
    *out = (uint32_t)doc->n++;
    return true;
}

/* What people write where a value or a key belongs, and what to say about it. NULL: nothing known.
 */
static const char *usual_mistake(int c)
{
    switch (c) {
    case '\'':
    case '`':
        return "text goes in double quotes";
    case '/':
    case '#':
        return "JSON has no comments; remove it";
    case '=':
    case ';':
        return "JSON knows only ':' after a key and ',' between members";
    case '+':
    case '.':
        return "a number begins with a digit or '-'";
    default:
        return NULL;
    }
}

static bool refuse_end(struct scan *s, struct cursor open)
{
    return refuse_at(s, s->now,
                     "the text ends here, but the '%c' of line %u, column %u is still open",
                     *open.at, open.line, open.column);
}

/* One escape, cursor on the backslash. */
static bool scan_escape(struct scan *s)
{
    struct cursor start = s->now;
    step(s);
    int c = peek(s);
    if (c == 'u') {
        for (int i = 0; i < 4; i++) {
            step(s);
            c = peek(s);
            bool hex = is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
            if (!hex) {
                return refuse_at(s, start, "\\u needs four hexadecimal digits");
            }
        }
    } else if (c == 0 || strchr("\"\\/bfnrt", c) == NULL) {
        return refuse_at(s, start,
                         "JSON has no such escape; a backslash in a text is written \\\\");
    }
    step(s);
    return true;
}

/* Cursor on the opening quote. *out is what stands between the quotes. */
static bool scan_string(struct scan *s, struct span *out)
{
    struct cursor open = s->now;
    step(s);
    out->data = s->now.at;
    for (int c = peek(s); c != '"'; c = peek(s)) {
        if (s->now.at == s->end || c == '\n' || c == '\r') {
            return refuse_at(s, open, "this text has no closing quote on its line");
        }
        if (c < 0x20) {
            return refuse_at(s, s->now,
                             "a control character (0x%02x) in a text; a tab is written \\t",
                             (unsigned)c);
        }
        if (c != '\\') {
            step(s);
        } else if (!scan_escape(s)) {
            return false;
        }
    }
    out->size = (size_t)(s->now.at - out->data);
    step(s);
    return true;
}

static bool skip_digits(struct scan *s)
{
    bool any = false;
    while (is_digit(peek(s))) {
        step(s);
        any = true;
    }
    return any;
}

/* A number that overflows would stop jansson. It gets a 0 instead, and the place remembers. */
static void mark_if_too_large(struct scan *s, struct config_place *place, bool integer)
{
    size_t offset = (size_t)(place->text.data - s->begin);
    size_t size = (size_t)(s->now.at - place->text.data);
    char *copy = s->doc->copy + offset;
    errno = 0;
    if (integer) {
        (void)strtoll(copy, NULL, 10);
        place->too_large = errno == ERANGE;
    } else {
        place->too_large = isinf(strtod(copy, NULL));
    }
    if (place->too_large) {
        memset(copy, ' ', size);
        copy[0] = '0';
    }
}

static bool scan_number(struct scan *s, uint32_t place)
{
    struct cursor start = s->now;
    bool integer = true;
    bool good = true;
    if (peek(s) == '-') {
        step(s);
    }
    bool zero = peek(s) == '0';
    const uint8_t *digits = s->now.at;
    good = skip_digits(s);
    if (zero && s->now.at - digits > 1) {
        return refuse_at(s, start, "a number does not begin with 0; text goes in double quotes");
    }
    if (good && peek(s) == '.') {
        integer = false;
        step(s);
        good = skip_digits(s);
    }
    if (good && (peek(s) == 'e' || peek(s) == 'E')) {
        integer = false;
        step(s);
        if (peek(s) == '+' || peek(s) == '-') {
            step(s);
        }
        good = skip_digits(s);
    }
    int after = peek(s);
    if (!good || after == '.' || after == ':' || after == '-' || after == '+' || is_letter(after)) {
        return refuse_at(s, start,
                         "this is no number; text such as an address goes in double quotes");
    }
    mark_if_too_large(s, &s->doc->places[place], integer);
    return true;
}

static bool scan_word(struct scan *s)
{
    struct cursor start = s->now;
    while (is_letter(peek(s)) || is_digit(peek(s))) {
        step(s);
    }
    size_t size = (size_t)(s->now.at - start.at);
    static const char *const known[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (size == strlen(known[i]) && memcmp(start.at, known[i], size) == 0) {
            return true;
        }
    }
    int shown = size > 40 ? 40 : (int)size;
    return refuse_at(
        s, start,
        "\"%.*s\" is not JSON here: text goes in double quotes, and the words are true, "
        "false and null",
        shown, (const char *)start.at);
}

static bool scan_value(struct scan *s, unsigned depth, uint32_t *out);

/* A comma or the closing bracket after a member. *more says which. `again` is what a forgotten
 * comma stood before. */
static bool scan_separator(struct scan *s, struct cursor open, const char *again, bool *more)
{
    char close = *open.at == '{' ? '}' : ']';
    skip_space(s);
    int c = peek(s);
    if (s->now.at == s->end) {
        return refuse_end(s, open);
    }
    if (c == close || c == ',') {
        *more = c == ',';
        step(s);
        return true;
    }
    if (c == '}' || c == ']') {
        return refuse_at(s, s->now, "the '%c' of line %u, column %u is closed with '%c'", *open.at,
                         open.line, open.column, c);
    }
    if (c == '"' || c == '{' || c == '[' || c == '-' || is_digit(c) || is_letter(c)) {
        return refuse_at(s, s->now, "a comma is missing before this %s", again);
    }
    const char *mistake = usual_mistake(c);
    return refuse_at(s, s->now, "expected ',' or '%c'%s%s", close, mistake != NULL ? ": " : "",
                     mistake != NULL ? mistake : "");
}

/* The bracket that closes right after a comma, or nothing at all. */
static bool refuse_empty(struct scan *s, struct cursor open)
{
    int c = peek(s);
    if (s->now.at == s->end) {
        return refuse_end(s, open);
    }
    if (c == '}' || c == ']') {
        return refuse_at(s, s->now, "a comma stands before this '%c'; remove the comma", c);
    }
    return refuse_at(s, s->now, "two commas in a row; remove one");
}

static bool scan_key(struct scan *s, struct cursor open, struct span *key)
{
    skip_space(s);
    int c = peek(s);
    if (c == '"') {
        return scan_string(s, key);
    }
    if (s->now.at == s->end || c == '}' || c == ']' || c == ',') {
        return refuse_empty(s, open);
    }
    const char *mistake = usual_mistake(c);
    return refuse_at(s, s->now, "expected a key: %s",
                     mistake != NULL ? mistake : "keys go in double quotes");
}

static bool scan_colon(struct scan *s, struct span key)
{
    int shown = key.size > 40 ? 40 : (int)key.size;
    skip_space(s);
    int c = peek(s);
    if (c != ':') {
        bool value = c == '"' || c == '{' || c == '[' || c == '-' || is_digit(c) || is_letter(c);
        return refuse_at(s, s->now,
                         value ? "a colon is missing between the key \"%.*s\" and this value"
                               : "expected ':' after the key \"%.*s\"",
                         shown, (const char *)key.data);
    }
    step(s);
    skip_space(s);
    c = peek(s);
    if (c == ',' || c == '}') {
        return refuse_at(s, s->now, "the key \"%.*s\" has no value", shown, (const char *)key.data);
    }
    return true;
}

/* Members of an object or elements of an array, cursor after the opening bracket. */
static bool scan_members(struct scan *s, struct cursor open, unsigned depth, uint32_t parent)
{
    bool object = *open.at == '{';
    uint32_t last = 0;
    skip_space(s);
    if (peek(s) == (object ? '}' : ']')) {
        step(s);
        return true;
    }
    for (bool more = true; more;) {
        struct span key = {0};
        skip_space(s);
        struct cursor key_at = s->now;
        uint32_t place = 0;
        if (object && (!scan_key(s, open, &key) || !scan_colon(s, key))) {
            return false;
        }
        int c = peek(s);
        if (!object && (c == ']' || c == '}' || c == ',')) {
            return refuse_empty(s, open);
        }
        if (s->now.at == s->end) {
            return refuse_end(s, open);
        }
        if (!scan_value(s, depth + 1, &place)) {
            return false;
        }
        struct config_place *places = s->doc->places;
        if (object) {
            places[place].key = key;
            places[place].key_line = key_at.line;
            places[place].key_column = key_at.column;
        }
        if (last == 0) {
            places[parent].first_child = place;
        } else {
            places[last].next = place;
        }
        last = place;
        if (!scan_separator(s, open, object ? "key" : "value", &more)) {
            return false;
        }
    }
    return true;
}

/* Cursor on the value's first character. */
static bool scan_value(struct scan *s, unsigned depth, uint32_t *out)
{
    struct cursor start = s->now;
    struct span ignored;
    int c = peek(s);
    bool good;
    if (!add_place(s, out)) {
        return false;
    }
    if (c == '{' || c == '[') {
        if (depth == CONFIG_MAX_DEPTH) {
            return refuse_at(s, start, "brackets are nested deeper than %d levels",
                             CONFIG_MAX_DEPTH);
        }
        step(s);
        good = scan_members(s, start, depth, *out);
    } else if (c == '"') {
        good = scan_string(s, &ignored);
    } else if (c == '-' || is_digit(c)) {
        good = scan_number(s, *out);
    } else if (is_letter(c)) {
        good = scan_word(s);
    } else {
        const char *mistake = usual_mistake(c);
        return refuse_at(s, start, "expected a value%s%s", mistake != NULL ? ": " : "",
                         mistake != NULL ? mistake : "");
    }
    s->doc->places[*out].text.size = (size_t)(s->now.at - start.at);
    return good;
}

static bool check_utf8(struct scan *s)
{
    struct cursor start = s->now;
    while (s->now.at < s->end) {
        uint32_t code = 0;
        size_t size = utf8_decode(s->now.at, (size_t)(s->end - s->now.at), &code);
        if (size == 0 || code == 0) {
            return refuse_at(s, s->now, "byte 0x%02x is not UTF-8 text; save the file as UTF-8",
                             (unsigned)*s->now.at);
        }
        for (size_t i = 0; i < size; i++) {
            step(s);
        }
    }
    s->now = start;
    return true;
}

static bool scan_document(struct scan *s)
{
    uint32_t root;
    if (!check_utf8(s)) {
        return false;
    }
    skip_space(s);
    if (s->now.at == s->end) {
        return refuse_at(s, s->now, "the text is empty");
    }
    if (!scan_value(s, 0, &root)) {
        return false;
    }
    skip_space(s);
    if (s->now.at == s->end) {
        return true;
    }
    int c = peek(s);
    if (c == '}' || c == ']') {
        return refuse_at(s, s->now, "one closing '%c' too many", c);
    }
    return refuse_at(s, s->now,
                     "text after the end of the document; there must be only one { ... }");
}

int config_scan(struct span text, struct config_doc *doc, struct config_syntax *syntax)
{
    struct scan s = {.now = {.at = text.data, .line = 1, .column = 1},
                     .begin = text.data,
                     .end = text.data + text.size,
                     .doc = doc,
                     .syntax = syntax};
    return scan_document(&s) ? 0 : s.err;
}
