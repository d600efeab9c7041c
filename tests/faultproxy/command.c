/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that steer the proxy: a verb, a direction, numbers. */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const fault_names[FAULT_KINDS] = {"cut", "reset", "stall", "halfopen", "flip"};

const char command_help[] =
    "faultproxy LISTEN TARGET: forwards TCP from one address:port to another and does harm\n"
    "\n"
    "Lines on stdin, each answered by one line on stdout (ok, error: ..., or JSON):\n"
    "  delay up|down|both MS       every byte that much later\n"
    "  rate up|down|both BYTES     a second, shared by all connections; 0 = no limit\n"
    "  cut up|down N [once]        close both sides after N bytes\n"
    "  reset up|down N [once]      the same, with RST\n"
    "  stall up|down N [once]      after N bytes read no more in that direction, keep it open\n"
    "  halfopen up|down N [once]   after N bytes swallow everything, FINs too, in both directions\n"
    "  flip up|down N MASK [once]  byte N (the first is 0) exclusive-or MASK\n"
    "  duplicate MS [once]         send each whole HTTP request again on a connection of its own,\n"
    "                              MS after its end; 0 = side by side with it\n"
    "  refuse                      stop listening: connecting is refused\n"
    "  only PREFIX                 the faults with N, and duplicate, are for HTTP requests whose "
    "path\n"
    "                              begins so; N counts the bytes behind the request's head. stats\n"
    "                              tells how many of those have left, when the first came in and the\n"
    "                              last left (monotonic clock)\n"
    "  drop                        reset every connection there is\n"
    "  pass                        no more faults: what stalled goes on, what was half open is "
    "reset\n"
    "  stats                       what happened so far, as JSON\n"
    "  quit                        as does the end of stdin\n"
    "\n"
    "up is from who connects to the target. Without `only`, N counts each connection's bytes from "
    "the\n"
    "command on, or from when it was opened. once: the fault strikes one time, not every "
    "connection.\n";

enum { WORDS = 5 };

static size_t split(char *line, char *words[WORDS])
{
    size_t n = 0;
    for (char *word = strsep(&line, " \t\r\n"); word; word = strsep(&line, " \t\r\n")) {
        if (*word && n == WORDS) {
            return WORDS + 1;
        }
        if (*word) {
            words[n++] = word;
        }
    }
    return n;
}

static bool read_number(const char *word, uint64_t most, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(word, &end, 0);
    if (*word < '0' || *word > '9' || *end || errno || v > most) {
        return false;
    }
    *value = v;
    return true;
}

/* Bits 1 << direction; 0 = no direction. */
static unsigned read_directions(const char *word)
{
    return strcmp(word, "up") == 0     ? 1u << UP
           : strcmp(word, "down") == 0 ? 1u << DOWN
           : strcmp(word, "both") == 0 ? 1u << UP | 1u << DOWN
                                       : 0;
}

/* delay, rate */
static const char *set_both(char **words, size_t n, uint64_t values[DIRECTIONS])
{
    uint64_t value;
    unsigned directions = n == 3 ? read_directions(words[1]) : 0;
    if (!directions || !read_number(words[2], UINT32_MAX, &value)) {
        return "up, down or both and a number are wanted";
    }
    for (enum direction d = 0; d < DIRECTIONS; d++) {
        values[d] = directions & 1u << d ? value : values[d];
    }
    return NULL;
}

static bool take_once(char **words, size_t *n)
{
    bool once = strcmp(words[*n - 1], "once") == 0;
    *n -= once;
    return once;
}

static const char *set_fault(char **words, size_t n, enum fault_kind kind, struct faults *faults)
{
    uint64_t at, mask = 0;
    bool once = take_once(words, &n);
    unsigned directions = n == (kind == FAULT_FLIP ? 4u : 3u) ? read_directions(words[1]) : 0;
    if ((directions != 1u << UP && directions != 1u << DOWN) ||
        !read_number(words[2], UINT64_MAX, &at) ||
        (kind == FAULT_FLIP && (!read_number(words[3], UINT8_MAX, &mask) || mask == 0))) {
        return "up or down, the number of bytes (and for flip a mask) are wanted";
    }
    enum direction d = directions == 1u << UP ? UP : DOWN;
    faults->list[d][kind] = (struct fault){.on = true, .once = once, .at = at};
    faults->mask[d] = kind == FAULT_FLIP ? (uint8_t)mask : faults->mask[d];
    return NULL;
}

static const char *set_duplicate(char **words, size_t n, struct faults *faults)
{
    bool once = take_once(words, &n);
    if (n != 2 || !read_number(words[1], UINT32_MAX, &faults->duplicate_after_ms)) {
        return "milliseconds are wanted";
    }
    faults->duplicate = true;
    faults->duplicate_once = once;
    return NULL;
}

static const char *set_only(char **words, size_t n, struct faults *faults)
{
    size_t size = n == 2 ? strlen(words[1]) : 0;
    if (size == 0 || size >= sizeof faults->only || words[1][0] != '/') {
        return "the beginning of a path is wanted";
    }
    memcpy(faults->only, words[1], size + 1);
    return NULL;
}

static const char *set(char **words, size_t n, struct faults *faults)
{
    for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++) {
        if (strcmp(words[0], fault_names[kind]) == 0) {
            return set_fault(words, n, kind, faults);
        }
    }
    if (strcmp(words[0], "delay") == 0) {
        return set_both(words, n, faults->delay_ms);
    }
    if (strcmp(words[0], "rate") == 0) {
        return set_both(words, n, faults->rate);
    }
    if (strcmp(words[0], "duplicate") == 0) {
        return set_duplicate(words, n, faults);
    }
    if (strcmp(words[0], "only") == 0) {
        return set_only(words, n, faults);
    }
    if (strcmp(words[0], "refuse") == 0 && n == 1) {
        faults->refuse = true;
        return NULL;
    }
    return "no such command; --help lists them";
}

enum command command_read(char *line, struct faults *faults, const char **why)
{
    static const struct {
        const char *name;
        enum command command;
    } plain[] = {{"drop", COMMAND_DROP}, {"stats", COMMAND_STATS}, {"quit", COMMAND_QUIT}};
    char *words[WORDS];
    size_t n = split(line, words);
    if (n == 0 || n > WORDS) {
        *why = "a command is one to five words";
        return COMMAND_BAD;
    }
    if (n == 1 && strcmp(words[0], "pass") == 0) {
        *faults = (struct faults){0};
        return COMMAND_PASS;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (n == 1 && strcmp(words[0], plain[i].name) == 0) {
            return plain[i].command;
        }
    }
    *why = set(words, n, faults);
    return *why ? COMMAND_BAD : COMMAND_SET;
}
