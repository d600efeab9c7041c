/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr. A line is made whole in memory and written in one go
 * under a lock, so threads do not mix and a pipe gets whole lines.
 *
 * Text that a peer chose may be in it, so what could move the cursor, end the
 * line or turn the reading direction is written as \xNN or \u{N}; so are bytes that are not UTF-8.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "utf8.h"

enum {
    NAME_SIZE = 80, /* 79 bytes and a zero */
    TEXT_SIZE = 1024, /* before escaping; problem texts are at most 400 + 240 */
    /* The longest escape of one byte is 4 bytes ("\x1b"); time, level and colours take under 64. */
    LINE_SIZE = 4 * (NAME_SIZE + TEXT_SIZE) + 64,
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const char *const level_colours[] = {"\033[31m", "\033[33m", "\033[32m", "\033[2m"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum log_level threshold = LOG_INFO; /* atomic */
static char line_name[NAME_SIZE];           /* under the lock */

struct line {
    char bytes[LINE_SIZE];
    size_t size;
};

static void put(struct line *line, const char *text)
{
    size_t n = strlen(text);
    memcpy(line->bytes + line->size, text, n);
    line->size += n;
}

/* C0, DEL and C1 controls; line and paragraph separators; bidirectional marks and overrides */
static bool is_harmless(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && c != 0x061c && c != 0x200e && c != 0x200f &&
           !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069);
}

static void put_escaped(struct line *line, const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t left = strlen(text);
    while (left > 0) {
        uint32_t c;
        size_t n = utf8_decode(s, left, &c);
        char escaped[16] = {0};
        if (n > 0 && is_harmless(c)) {
            memcpy(escaped, s, n);
        } else if (n > 1) {
            (void)snprintf(escaped, sizeof escaped, "\\u{%x}", (unsigned)c);
        } else {
            n = 1;
            const char *form = *s == '\n' ? "\\n" : *s == '\t' ? "\\t" : "\\x%02x";
            (void)snprintf(escaped, sizeof escaped, form, *s);
        }
        put(line, escaped);
        s += n;
        left -= n;
    }
}

static bool wants_colour(void)
{
    const char *no_color = getenv("NO_COLOR");
    return (!no_color || !*no_color) && isatty(STDERR_FILENO);
}

static void write_all(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* nobody to tell */
        }
        bytes += n;
        size -= (size_t)n;
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level > __atomic_load_n(&threshold, __ATOMIC_RELAXED)) {
        return;
    }
    int saved_errno = errno; /* a log line between a failure and its report changes nothing */
    char text[TEXT_SIZE + 1];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool cut = wanted > TEXT_SIZE;
    if (cut) {
        text[utf8_whole(text, TEXT_SIZE)] = 0;
    }
    char time[CLOCK_TEXT_SIZE];
    clock_format(clock_system.wall_us(clock_system.ctx), time);
    bool colour = wants_colour();

    struct line line;
    (void)pthread_mutex_lock(&lock);
    /* out of "2026-01-31T12:00:00.123456Z" the time of day to the millisecond */
    line.size = (size_t)snprintf(line.bytes, sizeof line.bytes, "%.12s %s%-5s%s ", time + 11,
                                 colour ? level_colours[level] : "", level_names[level],
                                 colour ? "\033[0m" : "");
    if (*line_name) {
        put_escaped(&line, line_name);
        put(&line, " ");
    }
    put_escaped(&line, wanted < 0 ? format : text);
    put(&line, cut ? "...\n" : "\n");
    write_all(line.bytes, line.size);
    (void)pthread_mutex_unlock(&lock);
    errno = saved_errno;
}

void log_set_level(enum log_level level)
{
    __atomic_store_n(&threshold, level, __ATOMIC_RELAXED);
}

void log_set_name(const char *name)
{
    size_t size = strnlen(name, NAME_SIZE);
    if (size == NAME_SIZE) {
        size = utf8_whole(name, NAME_SIZE - 1);
    }
    (void)pthread_mutex_lock(&lock);
    memcpy(line_name, name, size);
    line_name[size] = 0;
    (void)pthread_mutex_unlock(&lock);
}
