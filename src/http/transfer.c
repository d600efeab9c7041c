/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One transfer: what curl is told, and what its answer means.
 *
 * curl itself retries on a fresh connection when a kept one turns out to be
 * dead, so a restarted peer is not an error.
 *
 * Nothing waits for ever: connecting and the whole exchange have their
 * timeouts, and an exchange whose bytes stop moving in mid-body ends after
 * STALL_S. curl's own low-speed limit cannot be used for that, because it also
 * counts the time in which a handler at the other end thinks.
 */
#include "transfer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "gone_peer.h"

enum {
    DEFAULT_CONNECT_S = 3,
    DEFAULT_TIMEOUT_S = 60,
    DEFAULT_MAX_ANSWER = 64 * 1024 * 1024,

    STALL_S = 20,
    /* Above this a body waits for the peer's consent; asking costs a round trip, sending this
     * much in vain costs about 10 ms at a gigabit per second. */
    EXPECT_ABOVE = 1024 * 1024,
    /* A peer that never says "100 Continue" delays the body by this much. */
    EXPECT_MS = 500,
    /* The server side closes idle connections after 30 s; letting go a little earlier avoids
     * sending into one that is just being closed. */
    IDLE_S = 25,
    SEND_BUFFER = 256 * 1024
};

struct http_client_options transfer_options(const struct http_client_options *options)
{
    struct http_client_options filled = options ? *options : (struct http_client_options){0};
    if (filled.connect_timeout_s == 0) {
        filled.connect_timeout_s = DEFAULT_CONNECT_S;
    }
    if (filled.max_answer == 0) {
        filled.max_answer = DEFAULT_MAX_ANSWER;
    }
    return filled;
}

/* ---- outcomes ---- */

static void fail(struct http_exchange *x, int error, const char *format, ...) CAIRN_PRINTF(3, 4);

static void fail(struct http_exchange *x, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(x->what, sizeof x->what, format, args);
    va_end(args);
    x->error = error;
    x->status = 0;
    buf_release(&x->answer);
}

static void fail_connect(struct transfer *t)
{
    struct http_exchange *x = t->exchange;
    long number = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
    if (number == ECONNREFUSED) {
        fail(x, CAIRN_ERR_NETWORK, "%s refused the connection: nothing listens there", x->address);
    } else if (number == ETIMEDOUT) {
        fail(x, CAIRN_ERR_TIMEOUT, "%s timed out: no answer to connecting", x->address);
    } else {
        fail(x, CAIRN_ERR_NETWORK, "%s cannot be reached: %s", x->address,
             number ? strerror((int)number) : "connecting failed");
    }
}

static void fail_timeout(struct transfer *t)
{
    struct http_exchange *x = t->exchange;
    curl_off_t connected_us = 0;
    curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    unsigned whole = x->timeout_s ? x->timeout_s : DEFAULT_TIMEOUT_S;
    if (connected_us == 0) {
        unsigned wait = t->options->connect_timeout_s;
        fail(x, CAIRN_ERR_TIMEOUT, "%s timed out: no connection within %u s", x->address,
             wait < whole ? wait : whole);
    } else {
        fail(x, CAIRN_ERR_TIMEOUT, "%s timed out: %s %s took longer than %u s", x->address,
             x->method, x->path, whole);
    }
}

static void fail_given_up(struct http_exchange *x)
{
    fail(x, CAIRN_ERR_NETWORK, "%s %s to %s was given up", x->method, x->path,
         x->address ? x->address : "nobody");
}

static void fail_transfer(struct transfer *t, CURLcode code)
{
    struct http_exchange *x = t->exchange;
    if (t->given_up) {
        fail_given_up(x);
        return;
    }
    if (t->too_long) {
        fail(x, CAIRN_ERR_TOO_LONG, "%s answered with more than %zu bytes", x->address,
             t->options->max_answer);
        return;
    }
    if (t->no_memory) {
        fail(x, CAIRN_ERR_NO_MEMORY, "no memory for the answer of %s", x->address);
        return;
    }
    if (t->stalled) {
        fail(x, CAIRN_ERR_TIMEOUT, "%s timed out: no byte moved for %d s", x->address, STALL_S);
        return;
    }
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        fail_connect(t);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        fail_timeout(t);
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
        fail(x, CAIRN_ERR_NETWORK, "cannot resolve the name in %s", x->address);
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
        fail(x, CAIRN_ERR_NETWORK, "%s cut the connection during %s %s", x->address, x->method,
             x->path);
        break;
    case CURLE_URL_MALFORMAT:
        fail(x, CAIRN_ERR_NETWORK, "\"%s\" is not an address: host:port is wanted", x->address);
        break;
    case CURLE_OUT_OF_MEMORY:
        fail(x, CAIRN_ERR_NO_MEMORY, "no memory for asking %s", x->address);
        break;
    default:
        fail(x, CAIRN_ERR_NETWORK, "%s: %s", x->address, curl_easy_strerror(code));
    }
}

/* ---- callbacks of curl ---- */

static size_t on_answer(char *bytes, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    struct buf *answer = &t->exchange->answer;
    (void)one; /* always 1 */
    t->too_long = size > t->options->max_answer - answer->size;
    t->no_memory = !t->too_long && buf_append(answer, bytes, size) != CAIRN_OK;
    return t->too_long || t->no_memory ? 0 : size;
}

/* curl takes a connection that ends within the headers for the end of an empty answer. */
static size_t on_header(char *line, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    (void)one; /* always 1 */
    t->head_whole = line[0] == '\r' || line[0] == '\n';
    return size;
}

/* Called whenever curl looks after the transfer; not 0 ends it. Waiting for the handler at the
 * other end, all sent and nothing received yet, is not a stall. */
static int on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
    struct transfer *t = arg;
    uint64_t now_ns = clock_now_ns(&clock_system);
    bool half_way = up < up_all || (down > 0 && down < down_all);
    if (!half_way) {
        t->moved_ns = 0;
        return 0;
    }
    if (up + down != t->moved || t->moved_ns == 0) {
        t->moved = up + down;
        t->moved_ns = now_ns;
    }
    t->stalled = now_ns >= transfer_stalls_at(t);
    return t->stalled;
}

/* As curl would, but closed on exec, and with a limit for bytes that nobody acknowledges. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *at)
{
    (void)arg;
    (void)purpose;
    int fd = socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
    if (fd >= 0) {
        gone_peer_watch(fd);
    }
    return fd;
}

/* ---- setting up one exchange ---- */

/* What goes into the URL and the request line unescaped must not be able to change either. */
static bool is_plain(const char *text, const char *forbidden)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= 0x20 || *text == 0x7f || strchr(forbidden, *text)) {
            return false;
        }
    }
    return true;
}

static bool check_exchange(struct http_exchange *x)
{
    if (!x->address || !*x->address || !is_plain(x->address, "/?#@\\%")) {
        fail(x, CAIRN_ERR_NETWORK, "\"%s\" is not an address: host:port is wanted",
             x->address ? x->address : "");
        return false;
    }
    bool post = strcmp(x->method, "POST") == 0;
    if ((!post && strcmp(x->method, "GET") != 0) || x->path[0] != '/' || !is_plain(x->path, "#")) {
        fail(x, CAIRN_ERR_BUG, "%s %s cannot be asked of %s", x->method, x->path, x->address);
        return false;
    }
    return true;
}

static bool add_header(struct transfer *t, const char *name, const char *value)
{
    char line[256];
    snprintf(line, sizeof line, "%s:%s%s", name, *value ? " " : "", value);
    struct curl_slist *longer = curl_slist_append(t->headers, line);
    if (!longer) {
        return false;
    }
    t->headers = longer;
    return true;
}

#define SET(option, value) (ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK)

static bool set_connection(struct transfer *t)
{
    CURL *easy = t->easy;
    struct http_exchange *x = t->exchange;
    bool ok = true;
    SET(CURLOPT_URL, t->url);
    SET(CURLOPT_PROTOCOLS_STR, "http");
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* Ending a transfer whose name is being resolved would otherwise wait for the resolver, and all
     * other transfers with it. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_MAXAGE_CONN, (long)IDLE_S);
    SET(CURLOPT_CONNECTTIMEOUT, (long)t->options->connect_timeout_s);
    SET(CURLOPT_TIMEOUT, (long)(x->timeout_s ? x->timeout_s : DEFAULT_TIMEOUT_S));
    return ok;
}

static bool set_transfer(struct transfer *t)
{
    CURL *easy = t->easy;
    struct http_exchange *x = t->exchange;
    bool ok = true;
    if (strcmp(x->method, "POST") == 0) {
        ok = add_header(t, "Content-Type",
                        x->content_type ? x->content_type : "application/octet-stream") &&
             add_header(t, "Expect", x->body.size > EXPECT_ABOVE ? "100-continue" : "");
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.size);
        SET(CURLOPT_POSTFIELDS, x->body.size ? (const char *)x->body.data : "");
        SET(CURLOPT_EXPECT_100_TIMEOUT_MS, (long)EXPECT_MS);
        SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_WRITEFUNCTION, on_answer);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, t);
    SET(CURLOPT_PRIVATE, t);
    return ok;
}

#undef SET

static char *url_of(const struct http_exchange *x)
{
    size_t size = strlen("http://") + strlen(x->address) + strlen(x->path) + 1;
    char *url = malloc(size);
    if (url) {
        snprintf(url, size, "http://%s%s", x->address, x->path);
    }
    return url;
}

/* ---- from the outside ---- */

void http_exchange_refuse(struct http_exchange *x)
{
    x->answer = (struct buf){0};
    x->sent = 0;
    x->retry_after_s = 0;
    fail(x, CAIRN_ERR_NO_MEMORY, "no memory for asking %s", x->address ? x->address : "a node");
}

bool transfer_prepare(struct transfer *t)
{
    struct http_exchange *x = t->exchange;
    if (t->given_up) {
        fail_given_up(x);
        return false;
    }
    if (!check_exchange(x)) {
        return false;
    }
    if (!t->easy) {
        t->easy = curl_easy_init();
    }
    t->url = url_of(x);
    if (!t->easy || !t->url || !set_connection(t) || !set_transfer(t)) {
        http_exchange_refuse(x);
        return false;
    }
    return true;
}

void transfer_settle(struct transfer *t, CURLcode code)
{
    struct http_exchange *x = t->exchange;
    curl_off_t sent = 0;
    curl_off_t retry_after_s = 0;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    x->sent = (size_t)sent;
    if (code == CURLE_OK && (!t->head_whole || status < 200)) {
        code = CURLE_PARTIAL_FILE;
    }
    if (code != CURLE_OK || t->given_up) {
        fail_transfer(t, code);
        return;
    }
    curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    x->error = CAIRN_OK;
    x->what[0] = 0;
    x->status = (int)status;
    if (retry_after_s > 0 && retry_after_s <= INT32_MAX) {
        x->retry_after_s = (unsigned)retry_after_s;
    }
}

uint64_t transfer_stalls_at(const struct transfer *t)
{
    return t->moved_ns == 0 ? UINT64_MAX : t->moved_ns + STALL_S * UINT64_C(1000000000);
}

void transfer_clear(struct transfer *t)
{
    if (t->easy) {
        curl_easy_reset(t->easy); /* forgets the options, such as the pointers freed below */
    }
    curl_slist_free_all(t->headers);
    free(t->url);
    *t = (struct transfer){.options = t->options, .easy = t->easy};
}

void transfer_release(struct transfer *t)
{
    transfer_clear(t);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
}

void http_exchange_release(struct http_exchange *exchange)
{
    buf_release(&exchange->answer);
}
