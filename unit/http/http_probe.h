/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of http share: a small program to serve, and bare sockets to be rude with. */
#ifndef UNIT_HTTP_PROBE_H
#define UNIT_HTTP_PROBE_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "http.h"

enum { PROBE_SMALL = 100, PROBE_LARGE = 96 * 1024 * 1024 };

/* The program behind the server, and what the tests ask of it. */
struct probe {
    atomic_int handled;
    atomic_int admitted;
    atomic_int running;  /* handlers inside /slow */
    atomic_size_t bytes; /* of the bodies that reached `handle` */
    atomic_size_t shown; /* bytes of the newest part */
    atomic_int parts;
    struct http_server *server;
};

/* /closed is refused with 410; /window with 503, Retry-After and a body, unless the query is first=3;
 * /small bounds the body */
static inline size_t probe_admit(void *ctx, const char *method, const char *path, const char *query,
                                 int64_t content_length, struct http_reply *refusal)
{
    struct probe *probe = ctx;
    (void)method;
    (void)content_length;
    atomic_fetch_add(&probe->admitted, 1);
    if (strcmp(path, "/window") == 0 && strcmp(query, "first=3") != 0) {
        refusal->status = 503;
        refusal->retry_after_s = 2;
        if (buf_printf(&refusal->body, "{\"next\": 3, \"not\": \"%s\"}", query)) {
            refusal->status = 500;
        }
        return 0;
    }
    if (strcmp(path, "/closed") == 0) {
        struct cairn_problem why = {0};
        (void)problem_set(&why, CAIRN_ERR_CLOSED, "wait for round 8", "round 7 is \"closed\"");
        http_reply_problem(refusal, &why);
        return 0;
    }
    return strcmp(path, "/small") == 0 ? PROBE_SMALL : PROBE_LARGE;
}

static inline void probe_sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* /parts?STEP: again after so many bytes more, 0 for never again; the body's bytes count up */
static inline size_t probe_part(void *ctx, const struct http_request *request)
{
    struct probe *probe = ctx;
    const size_t step = strtoul(request->query, NULL, 10);
    if (strcmp(request->path, "/parts") != 0) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i < request->body.size; i++) {
        if (request->body.data[i] != (uint8_t)i) {
            abort();
        }
    }
    ++*request->progress;
    atomic_store(&probe->shown, request->body.size);
    atomic_fetch_add(&probe->parts, 1);
    return step > 0 ? request->body.size + step : SIZE_MAX;
}

/* /parts: how many there were of the body; /echo: the body back; /count: its length; /slow?MS: sleep, "slept"; /big?BYTES; /busy: 503 with
 * Retry-After 7; /moved: 302; anything else: what the request was */
static inline void probe_handle(void *ctx, const struct http_request *request,
                                struct http_reply *reply)
{
    struct probe *probe = ctx;
    int failed = 0;
    atomic_fetch_add(&probe->handled, 1);
    atomic_fetch_add(&probe->bytes, request->body.size);
    if (strcmp(request->path, "/echo") == 0) {
        reply->content_type = "application/octet-stream";
        failed = buf_append(&reply->body, request->body.data, request->body.size);
    } else if (strcmp(request->path, "/parts") == 0) {
        failed = buf_printf(&reply->body, "%zu parts, %zu bytes", *request->progress,
                            request->body.size);
    } else if (strcmp(request->path, "/count") == 0) {
        failed = buf_printf(&reply->body, "%zu", request->body.size);
    } else if (strcmp(request->path, "/slow") == 0) {
        atomic_fetch_add(&probe->running, 1);
        probe_sleep_ms((unsigned)strtoul(request->query, NULL, 10));
        atomic_fetch_sub(&probe->running, 1);
        failed = buf_printf(&reply->body, "slept");
    } else if (strcmp(request->path, "/big") == 0) {
        size_t size = strtoul(request->query, NULL, 10);
        failed = buf_reserve(&reply->body, size);
        if (!failed && size > 0) {
            memset(reply->body.data, 'b', size);
            reply->body.size = size;
        }
    } else if (strcmp(request->path, "/busy") == 0) {
        reply->status = 503;
        reply->retry_after_s = 7;
    } else if (strcmp(request->path, "/moved") == 0) {
        reply->status = 302;
    } else {
        failed = buf_printf(&reply->body, "%s|%s|%s|%s|%s|%zu", request->method, request->path,
                            request->query, request->peer, request->accept, request->body.size);
    }
    if (failed) {
        reply->status = 500;
    }
}

/* Returns the port, 0 when it did not start. */
static inline uint16_t probe_start_at(struct probe *probe, struct http_server_options options)
{
    struct http_app app = {.ctx = probe, .admit = probe_admit, .part = probe_part, .handle = probe_handle};
    struct cairn_problem why = {0};
    if (!options.listen) {
        options.listen = "127.0.0.1";
    }
    if (http_server_start(&options, &app, &probe->server, &why)) {
        fprintf(stderr, "%s (%s)\n", why.what, why.hint);
        return 0;
    }
    return http_server_port(probe->server);
}

static inline int probe_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

/* Connected, with 15 s for each read; -1 on failure. */
static inline int probe_connect(const char *address, uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval wait = {.tv_sec = 15};
    inet_pton(AF_INET, address, &at.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static inline bool probe_send(int fd, const void *bytes, size_t size)
{
    const char *p = bytes;
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        p += n;
        size -= (size_t)n;
    }
    return true;
}

/* Read until the other side closes or `enough` is found; text is terminated. True: it closed. */
static inline bool probe_read(int fd, char *text, size_t capacity, const char *enough)
{
    size_t size = 0;
    bool closed = false;
    text[0] = 0;
    while (size + 1 < capacity && !(enough && strstr(text, enough))) {
        ssize_t n = recv(fd, text + size, capacity - 1 - size, 0);
        if (n <= 0) {
            closed = n == 0 || errno == ECONNRESET;
            break;
        }
        size += (size_t)n;
        text[size] = 0;
    }
    return closed;
}

static inline double probe_seconds_since(uint64_t start_ns)
{
    return clock_seconds(start_ns, clock_now_ns(&clock_system));
}

#endif
