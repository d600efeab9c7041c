/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULTPROXY_SNIFF_H
#define FAULTPROXY_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Where the requests in a stream of bytes begin and end. Zeroed at a connection's start. */
struct sniff {
    char head[8192]; /* of the request at hand, terminated */
    size_t head_size;
    bool in_body;
    bool lost; /* this is not HTTP, or not what is understood here */
    uint64_t body_left;
};

enum sniff_event {
    SNIFF_MORE,    /* in the middle of something */
    SNIFF_HEAD,    /* the run ends a head; its path can be asked for */
    SNIFF_REQUEST, /* the run ends a request; when it has no body, instead of SNIFF_HEAD */
};

/** How many of these bytes (size > 0) belong together, and what they end. */
size_t sniff_run(struct sniff *sniff, const uint8_t *bytes, size_t size, enum sniff_event *event);
/** Does the path of the request whose head was last whole begin so? */
bool sniff_path_begins(const struct sniff *sniff, const char *prefix);

#endif
