/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client; the only includer of curl.h.
 *
 * One curl multi handle carries all exchanges of a call side by side and keeps
 * the connections for the next call. curl itself retries on a fresh connection
 * when a kept one turns out to be dead, so a restarted peer is not an error.
 *
 * Nothing waits for ever: connecting and the whole exchange have their
 * timeouts, and an exchange whose bytes stop moving in mid-body ends after
 * STALL_S. curl's own low-speed limit cannot be used for that, because it also
 * counts the time in which a handler at the other end thinks.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "clock.h"
#include "http.h"

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
    KEEP_IDLE_S = 10,
    KEEP_INTERVAL_S = 5,
    /* Unacknowledged bytes: after this the peer's machine is taken for gone. */
    USER_TIMEOUT_MS = 30 * 1000,
    MAX_KEPT = 128,
    SEND_BUFFER = 256 * 1024,
    POLL_MS = 1000 /* how often a stall is looked for */
};

struct http_client {
    CURLM *multi;
    struct slot *idle; /* easy handles that wait for their next use */
    unsigned connect_timeout_s;
    size_t max_answer;
    atomic_uint_least64_t received;
    atomic_uint_least64_t sent;
};

/* One easy handle and what it works on. */
struct slot {
    struct slot *next; /* in idle, or in the list of one call */
    CURL *easy;
    struct http_client *client;
    struct http_exchange *exchange;
    struct curl_slist *headers;
    char *url;
    bool added;    /* to the multi handle */
    bool too_long; /* the answer was */
    bool no_memory;
    bool stalled;
    bool head_whole;  /* the empty line after the answer's headers was seen */
    curl_off_t moved; /* bytes up and down when last looked at */
    uint64_t moved_ns;
};

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

static void fail_connect(struct slot *slot)
{
    struct http_exchange *x = slot->exchange;
    long number = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_OS_ERRNO, &number);
    if (number == ECONNREFUSED) {
        fail(x, CAIRN_ERR_NETWORK, "%s refused the connection: nothing listens there", x->address);
    } else if (number == ETIMEDOUT) {
        fail(x, CAIRN_ERR_TIMEOUT, "%s timed out: no answer to connecting", x->address);
    } else {
        fail(x, CAIRN_ERR_NETWORK, "%s cannot be reached: %s", x->address,
             number ? strerror((int)number) : "connecting failed");
    }
}

static void fail_timeout(struct slot *slot)
{
    struct http_exchange *x = slot->exchange;
    curl_off_t connected_us = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    unsigned whole = x->timeout_s ? x->timeout_s : DEFAULT_TIMEOUT_S;
    if (connected_us == 0) {
        unsigned wait = slot->client->connect_timeout_s;
        fail(x, CAIRN_ERR_TIMEOUT, "%s timed out: no connection within %u s", x->address,
             wait < whole ? wait : whole);
    } else {
        fail(x, CAIRN_ERR_TIMEOUT, "%s timed out: %s %s took longer than %u s", x->address,
             x->method, x->path, whole);
    }
}

static void fail_transfer(struct slot *slot, CURLcode code)
{
    struct http_exchange *x = slot->exchange;
    if (slot->too_long) {
        fail(x, CAIRN_ERR_TOO_LONG, "%s answered with more than %zu bytes", x->address,
             slot->client->max_answer);
        return;
    }
    if (slot->no_memory) {
        fail(x, CAIRN_ERR_NO_MEMORY, "no memory for the answer of %s", x->address);
        return;
    }
    if (slot->stalled) {
        fail(x, CAIRN_ERR_TIMEOUT, "%s timed out: no byte moved for %d s", x->address, STALL_S);
        return;
    }
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        fail_connect(slot);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        fail_timeout(slot);
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
    struct slot *slot = arg;
    struct buf *answer = &slot->exchange->answer;
    (void)one; /* always 1 */
    slot->too_long = size > slot->client->max_answer - answer->size;
    slot->no_memory = !slot->too_long && buf_append(answer, bytes, size) != CAIRN_OK;
    return slot->too_long || slot->no_memory ? 0 : size;
}

/* curl takes a connection that ends within the headers for the end of an empty answer. */
static size_t on_header(char *line, size_t one, size_t size, void *arg)
{
    struct slot *slot = arg;
    (void)one; /* always 1 */
    slot->head_whole = line[0] == '\r' || line[0] == '\n';
    return size;
}

/* Called about once a second and whenever bytes move; not 0 ends the exchange. Waiting for the
 * handler at the other end, all sent and nothing received yet, is not a stall. */
static int on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
    struct slot *slot = arg;
    uint64_t now_ns = clock_now_ns(&clock_system);
    bool half_way = up < up_all || (down > 0 && down < down_all);
    if (!half_way || up + down != slot->moved || slot->moved_ns == 0) {
        slot->moved = up + down;
        slot->moved_ns = now_ns;
    }
    slot->stalled = clock_seconds(slot->moved_ns, now_ns) >= STALL_S;
    return slot->stalled;
}

/* As curl would, but closed on exec, and with a limit for bytes that nobody acknowledges. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *at)
{
    (void)arg;
    (void)purpose;
    int fd = socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
    if (fd >= 0) {
        unsigned ms = USER_TIMEOUT_MS;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
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

static bool add_header(struct slot *slot, const char *name, const char *value)
{
    char line[256];
    snprintf(line, sizeof line, "%s:%s%s", name, *value ? " " : "", value);
    struct curl_slist *longer = curl_slist_append(slot->headers, line);
    if (!longer) {
        return false;
    }
    slot->headers = longer;
    return true;
}

#define SET(option, value) (ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK)

static bool set_connection(struct slot *slot)
{
    CURL *easy = slot->easy;
    struct http_exchange *x = slot->exchange;
    bool ok = true;
    SET(CURLOPT_URL, slot->url);
    SET(CURLOPT_PROTOCOLS_STR, "http");
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, (long)KEEP_IDLE_S);
    SET(CURLOPT_TCP_KEEPINTVL, (long)KEEP_INTERVAL_S);
    SET(CURLOPT_MAXAGE_CONN, (long)IDLE_S);
    SET(CURLOPT_CONNECTTIMEOUT, (long)slot->client->connect_timeout_s);
    SET(CURLOPT_TIMEOUT, (long)(x->timeout_s ? x->timeout_s : DEFAULT_TIMEOUT_S));
    return ok;
}

static bool set_transfer(struct slot *slot)
{
    CURL *easy = slot->easy;
    struct http_exchange *x = slot->exchange;
    bool ok = true;
    if (strcmp(x->method, "POST") == 0) {
        ok = add_header(slot, "Content-Type",
                        x->content_type ? x->content_type : "application/octet-stream") &&
             add_header(slot, "Expect", x->body.size > EXPECT_ABOVE ? "100-continue" : "");
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.size);
        SET(CURLOPT_POSTFIELDS, x->body.size ? (const char *)x->body.data : "");
        SET(CURLOPT_EXPECT_100_TIMEOUT_MS, (long)EXPECT_MS);
        SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_HTTPHEADER, slot->headers);
    SET(CURLOPT_WRITEFUNCTION, on_answer);
    SET(CURLOPT_WRITEDATA, slot);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, slot);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, slot);
    SET(CURLOPT_PRIVATE, slot);
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

/* ---- slots ---- */

static void free_slot(struct slot *slot)
{
    if (!slot) {
        return;
    }
    if (slot->easy) {
        curl_easy_cleanup(slot->easy);
    }
    free(slot);
}

static struct slot *take_slot(struct http_client *client)
{
    struct slot *slot = client->idle;
    if (slot) {
        client->idle = slot->next;
        return slot;
    }
    slot = calloc(1, sizeof *slot);
    if (slot) {
        slot->client = client;
        slot->easy = curl_easy_init();
    }
    if (slot && !slot->easy) {
        free_slot(slot);
        slot = NULL;
    }
    return slot;
}

static void give_back(struct slot *slot)
{
    struct http_client *client = slot->client;
    if (slot->added) {
        curl_multi_remove_handle(client->multi, slot->easy);
    }
    curl_easy_reset(slot->easy); /* forgets the options, such as the pointers freed below */
    curl_slist_free_all(slot->headers);
    free(slot->url);
    *slot = (struct slot){.next = client->idle, .easy = slot->easy, .client = client};
    client->idle = slot;
}

/* Begin one exchange. The slot, or NULL with the exchange failed. */
static struct slot *begin(struct http_client *client, struct http_exchange *x)
{
    if (!check_exchange(x)) {
        return NULL;
    }
    struct slot *slot = take_slot(client);
    if (!slot) {
        fail(x, CAIRN_ERR_NO_MEMORY, "no memory for asking %s", x->address);
        return NULL;
    }
    slot->exchange = x;
    slot->url = url_of(x);
    if (!slot->url || !set_connection(slot) || !set_transfer(slot) ||
        curl_multi_add_handle(client->multi, slot->easy) != CURLM_OK) {
        fail(x, CAIRN_ERR_NO_MEMORY, "no memory for asking %s", x->address);
        give_back(slot);
        return NULL;
    }
    slot->added = true;
    return slot;
}

/* An exchange has ended, well or badly. */
static void end(struct slot *slot, CURLcode code)
{
    struct http_exchange *x = slot->exchange;
    struct http_client *client = slot->client;
    curl_off_t sent = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    atomic_fetch_add(&client->sent, (uint64_t)sent);
    atomic_fetch_add(&client->received, x->answer.size);
    long status = 0;
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && (!slot->head_whole || status < 200)) {
        code = CURLE_PARTIAL_FILE;
    }
    if (code != CURLE_OK) {
        fail_transfer(slot, code);
        return;
    }
    curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    x->error = CAIRN_OK;
    x->what[0] = 0;
    x->status = (int)status;
    if (retry_after_s > 0 && retry_after_s <= INT32_MAX) {
        x->retry_after_s = (unsigned)retry_after_s;
    }
}

/* Run what is in the multi handle to its end. */
static void run(struct http_client *client)
{
    int running = 1;
    while (running > 0) {
        if (curl_multi_perform(client->multi, &running) != CURLM_OK) {
            return; /* what has not ended is failed by http_client_exchange */
        }
        int left;
        for (CURLMsg *message = curl_multi_info_read(client->multi, &left); message;
             message = curl_multi_info_read(client->multi, &left)) {
            struct slot *slot = NULL;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
            end(slot, message->data.result);
        }
        if (running > 0 && curl_multi_poll(client->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK) {
            return;
        }
    }
}

void http_client_exchange(struct http_client *client, struct http_exchange *list, size_t n)
{
    struct slot *busy = NULL;
    for (size_t i = 0; i < n; i++) {
        struct http_exchange *x = &list[i];
        x->answer = (struct buf){0};
        x->retry_after_s = 0;
        /* stands when curl itself breaks down */
        fail(x, CAIRN_ERR_NO_MEMORY, "the HTTP client could not run");
        struct slot *slot = begin(client, x);
        if (slot) {
            slot->next = busy;
            busy = slot;
        }
    }
    if (busy) {
        run(client);
    }
    while (busy) {
        struct slot *next = busy->next;
        give_back(busy);
        busy = next;
    }
}

void http_exchange_release(struct http_exchange *exchange)
{
    buf_release(&exchange->answer);
}

/* ---- the client ---- */

static CURLcode global_state;

static void global_init(void)
{
    global_state = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_client_new(const struct http_client_options *options, struct http_client **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    pthread_once(&once, global_init);
    if (global_state != CURLE_OK) {
        return CAIRN_ERR_ENVIRONMENT;
    }
    struct http_client *client = calloc(1, sizeof *client);
    CURLM *multi = curl_multi_init();
    if (!client || !multi) {
        free(client);
        curl_multi_cleanup(multi);
        return CAIRN_ERR_NO_MEMORY;
    }
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)MAX_KEPT);
    client->multi = multi;
    client->connect_timeout_s =
        options && options->connect_timeout_s ? options->connect_timeout_s : DEFAULT_CONNECT_S;
    client->max_answer =
        options && options->max_answer ? options->max_answer : (size_t)DEFAULT_MAX_ANSWER;
    *out = client;
    return CAIRN_OK;
}

void http_client_traffic(const struct http_client *client, uint64_t *received, uint64_t *sent)
{
    *received = atomic_load(&client->received);
    *sent = atomic_load(&client->sent);
}

void http_client_free(struct http_client *client)
{
    if (!client) {
        return;
    }
    while (client->idle) {
        struct slot *next = client->idle->next;
        free_slot(client->idle);
        client->idle = next;
    }
    curl_multi_cleanup(client->multi);
    free(client);
}
