/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough of HTTP/1.1 to tell one request from the next: a head, and Content-Length bytes. */
#include "sniff.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static uint64_t content_length(const char *head)
{
    static const char name[] = "\r\nContent-Length:";
    const char *at = strcasestr(head, name);
    return at ? strtoull(at + sizeof name - 1, NULL, 10) : 0;
}

/* One byte at a time: heads are short. */
static size_t run_of_head(struct sniff *s, const uint8_t *bytes, size_t size,
                          enum sniff_event *event)
{
    for (size_t i = 0; i < size; i++) {
        if (s->head_size + 1 >= sizeof s->head) {
            s->lost = true;
            return size;
        }
        s->head[s->head_size++] = (char)bytes[i];
        s->head[s->head_size] = 0;
        if (s->head_size >= 4 && memcmp(s->head + s->head_size - 4, "\r\n\r\n", 4) == 0) {
            s->body_left = content_length(s->head);
            s->in_body = s->body_left > 0;
            *event = s->in_body ? SNIFF_HEAD : SNIFF_REQUEST;
            s->head_size = 0; /* the text stays until the next head begins */
            return i + 1;
        }
    }
    return size;
}

size_t sniff_run(struct sniff *s, const uint8_t *bytes, size_t size, enum sniff_event *event)
{
    *event = SNIFF_MORE;
    if (s->lost) {
        return size;
    }
    if (!s->in_body) {
        return run_of_head(s, bytes, size, event);
    }
    size_t run = size < s->body_left ? size : (size_t)s->body_left;
    s->body_left -= run;
    if (s->body_left == 0) {
        s->in_body = false;
        *event = SNIFF_REQUEST;
    }
    return run;
}

bool sniff_path_begins(const struct sniff *s, const char *prefix)
{
    const char *space = strchr(s->head, ' ');
    return !s->lost && space && strncmp(space + 1, prefix, strlen(prefix)) == 0;
}
