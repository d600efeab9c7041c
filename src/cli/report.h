/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "roundlog.h"

/**
 * What a run's document says, for people. All nodes of one role taken together.
 */
struct report_role {
    unsigned nodes;
    uint64_t received, sent; /* bytes, summed */
    double cpu_s;            /* summed */
    uint64_t peak_rss_bytes; /* of the largest node */
    /* means over its nodes and their rounds, in the order of roundlog_durations */
    double round_s[ROUNDLOG_DURATIONS];
};

/** role: "aggregator", "switch" or "client". */
struct report_role report_role_of(const json_t *document, const char *role);
/** CPU seconds of all nodes together. */
double report_cpu(const json_t *document);
/** The largest peak of any node, bytes. */
uint64_t report_peak(const json_t *document);
/** "97.35 %", or "not evaluated". */
enum { REPORT_TEXT_SIZE = 32 };
const char *report_accuracy(const json_t *document, char text[REPORT_TEXT_SIZE]);
/** What of an encrypted run went in plain, on a line; nothing where there is no such thing. */
void report_print_in_plain(const json_t *document, FILE *to);
/** The lines and the table that `agg`, `run` and `demo` end with. */
void report_print(const json_t *document, FILE *to);

#endif
