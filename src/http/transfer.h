/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_TRANSFER_H
#define HTTP_TRANSFER_H

#include <curl/curl.h>

#include "http.h"

/**
 * One exchange in the hands of curl: its options, and what came of it. Inside http only; the only
 * header that includes curl.h. Which transfers run when is the business of courier.c.
 *
 * One thread at a time.
 */
struct transfer {
    const struct http_client_options *options; /* with the defaults filled in */
    struct http_exchange *exchange;
    CURL *easy; /* kept from one exchange to the next; NULL before the first */
    struct curl_slist *headers;
    char *url;
    bool given_up;
    bool too_long; /* the answer was */
    bool no_memory;
    bool stalled;
    bool head_whole;   /* the empty line after the answer's headers was seen */
    curl_off_t moved;  /* bytes up and down when last looked at */
    uint64_t moved_ns; /* when they last changed in mid-body; 0 = it is not in mid-body */
};

/** Zero means a default. */
struct http_client_options transfer_options(const struct http_client_options *options);

/** Take t->exchange on. @return false: it cannot begin, and says why */
bool transfer_prepare(struct transfer *t);
/** It has ended, well or badly: fill in the outcome. After transfer_prepare only. */
void transfer_settle(struct transfer *t, CURLcode code);
/** Monotonic time at which it has stalled unless bytes move; UINT64_MAX = it cannot stall now. */
uint64_t transfer_stalls_at(const struct transfer *t);
/** Forget the exchange. Not while a multi handle has it. */
void transfer_clear(struct transfer *t);
void transfer_release(struct transfer *t);

#endif
