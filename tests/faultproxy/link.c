/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in, harm, bytes out. All faults that go by a number of bytes are decided when bytes are
 * read, so they strike at exactly that byte, and carried out when what was read before has left.
 */
#include "link.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CHUNK = 16 * 1024,
    QUEUE_MAX = 4 * 1024 * 1024, /* of a pipe: a second of delay at 4 MB/s; then nothing is read */
    BURSTS_PER_S = 50            /* a limited rate is let out in portions of 20 ms */
};

static const uint64_t ns_per_s = 1000000000, ns_per_ms = 1000000;
const uint64_t never = UINT64_MAX;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * ns_per_s + (uint64_t)t.tv_nsec;
}

_Noreturn void give_up(const char *what)
{
    fprintf(stderr, "faultproxy: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* ---- links ---- */

static struct link *new_link(struct proxy *proxy)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link) {
        give_up("no memory");
    }
    link->fd[UP] = link->fd[DOWN] = -1;
    for (enum direction d = 0; d < DIRECTIONS; d++) {
        link->pipe[d].last = &link->pipe[d].first;
    }
    link->matched = proxy->faults.only[0] == 0;
    link->next = proxy->links;
    proxy->links = link;
    return link;
}

void close_socket(int *fd, bool reset)
{
    const struct linger at_once = {.l_onoff = 1};
    if (*fd >= 0) {
        if (reset) {
            (void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        }
        (void)close(*fd);
    }
    *fd = -1;
}

static void drop_first(struct pipe *pipe)
{
    struct chunk *chunk = pipe->first;
    pipe->first = chunk->next;
    if (!pipe->first) {
        pipe->last = &pipe->first;
    }
    pipe->queued -= chunk->size - chunk->at;
    free(chunk);
}

/* Closed for good; `links_sweep` frees it. */
void link_end(struct link *link, bool reset)
{
    close_socket(&link->fd[UP], reset);
    close_socket(&link->fd[DOWN], reset);
    for (enum direction d = 0; d < DIRECTIONS; d++) {
        while (link->pipe[d].first) {
            drop_first(&link->pipe[d]);
        }
        link->pipe[d].ended = link->pipe[d].shut = true;
    }
    if (link->source) {
        link->source->copy = NULL;
        link->source = NULL;
    }
    if (link->copy) {
        link_end(link->copy, reset); /* half a request is not repeated */
    }
    link->swallowing = false;
    link->end = ALIVE;
}

bool link_is_over(const struct link *link)
{
    return link->pipe[UP].shut && link->pipe[DOWN].shut && !link->swallowing;
}

void links_sweep(struct proxy *proxy)
{
    for (struct link **at = &proxy->links; *at;) {
        struct link *link = *at;
        if (link_is_over(link)) {
            link_end(link, false);
            *at = link->next;
            free(link);
        } else {
            at = &link->next;
        }
    }
}

static int open_target(struct proxy *proxy)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        give_up("socket");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&proxy->target, sizeof proxy->target) != 0 &&
        errno != EINPROGRESS) {
        proxy->unreachable++;
        close_socket(&fd, true);
    }
    return fd;
}

void link_accept(struct proxy *proxy)
{
    const int on = 1;
    int fd = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) {
            give_up("accept");
        }
        return; /* it has gone again */
    }
    proxy->connections++;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct link *link = new_link(proxy);
    link->fd[UP] = fd;
    link->fd[DOWN] = open_target(proxy);
    if (link->fd[DOWN] < 0) {
        link_end(link, true);
    }
}

/* ---- bytes in: where the faults are decided ---- */

static void enqueue(struct pipe *pipe, const uint8_t *bytes, size_t size, uint64_t due_ns)
{
    struct chunk *chunk = size ? malloc(sizeof *chunk + size) : NULL;
    if (size && !chunk) {
        give_up("no memory");
    }
    if (chunk) {
        *chunk = (struct chunk){.due_ns = due_ns, .size = size, .noted = pipe->noting};
        memcpy(chunk->bytes, bytes, size);
        *pipe->last = chunk;
        pipe->last = &chunk->next;
        pipe->queued += size;
    }
}

static void strike(struct proxy *proxy, enum direction d, enum fault_kind kind)
{
    struct fault *fault = &proxy->faults.list[d][kind];
    fault->on = fault->on && !fault->once;
    proxy->struck[kind]++;
}

/* The faults on one run of bytes that belong together. The bytes may be changed. */
static void harm(struct proxy *proxy, struct link *link, enum direction d, uint8_t *bytes,
                 size_t size, uint64_t due_ns)
{
    struct pipe *pipe = &link->pipe[d];
    const struct fault *list = proxy->faults.list[d];
    const struct fault *flip = &list[FAULT_FLIP];
    if (flip->on && flip->at >= pipe->count && flip->at - pipe->count < size) {
        bytes[flip->at - pipe->count] ^= proxy->faults.mask[d];
        strike(proxy, d, FAULT_FLIP);
    }
    enum fault_kind first = FAULT_FLIP; /* none */
    for (enum fault_kind kind = 0; kind < FAULT_FLIP; kind++) {
        if (list[kind].on && list[kind].at <= pipe->count + size &&
            (first == FAULT_FLIP || list[kind].at < list[first].at)) {
            first = kind;
        }
    }
    size_t good = size;
    if (first != FAULT_FLIP) {
        good = list[first].at > pipe->count ? (size_t)(list[first].at - pipe->count) : 0;
        strike(proxy, d, first);
    }
    pipe->count += good;
    enqueue(pipe, bytes, good, due_ns);
    if (first == FAULT_STALL) {
        pipe->stalled = true;
        enqueue(pipe, bytes + good, size - good, never);
    } else if (first == FAULT_HALFOPEN) {
        link->swallowing = true;
    } else if (first != FAULT_FLIP) {
        link->end = first == FAULT_CUT ? CUTTING : RESETTING;
        link->last_pipe = d;
    }
}

static void begin_request(struct proxy *proxy, struct link *link)
{
    const char *only = proxy->faults.only;
    if (only[0]) {
        link->matched = sniff_path_begins(&link->sniff, only);
        link->pipe[UP].count = link->pipe[DOWN].count = 0;
    }
    if (proxy->faults.duplicate && link->matched && !link->sniff.lost) {
        proxy->faults.duplicate = !proxy->faults.duplicate_once;
        proxy->duplicates++;
        link->copy = new_link(proxy);
        link->copy->is_copy = true;
        link->copy->source = link;
        link->copy->matched = false;
        enqueue(&link->copy->pipe[UP], (const uint8_t *)link->sniff.head, strlen(link->sniff.head),
                proxy->faults.duplicate_after_ms ? never : 0);
    }
}

static void end_request(struct proxy *proxy, struct link *link, uint64_t now)
{
    const uint64_t due_ns = now + proxy->faults.duplicate_after_ms * ns_per_ms;
    for (struct chunk *c = link->copy ? link->copy->pipe[UP].first : NULL; c; c = c->next) {
        c->due_ns = c->due_ns == never ? due_ns : c->due_ns;
    }
    if (link->copy) {
        link->copy->source = NULL;
        link->copy = NULL;
    }
}

/* What a client sent, cut where heads and requests end. */
static void feed_up(struct proxy *proxy, struct link *link, uint8_t *bytes, size_t size,
                    uint64_t now, uint64_t due_ns)
{
    while (size > 0 && link->end == ALIVE && !link->swallowing) {
        enum sniff_event event;
        const bool in_body = link->sniff.in_body;
        size_t run = sniff_run(&link->sniff, bytes, size, &event);
        if (link->copy) {
            enqueue(&link->copy->pipe[UP], bytes, run,
                    proxy->faults.duplicate_after_ms ? never : 0);
        }
        const bool counts = link->matched && (in_body || !proxy->faults.only[0]);
        if (link->pipe[UP].stalled) {
            enqueue(&link->pipe[UP], bytes, run, never);
        } else if (counts) {
            link->pipe[UP].noting = proxy->faults.only[0] != 0;
            if (link->pipe[UP].noting && proxy->noted.first_ns == 0) {
                proxy->noted.first_ns = now;
            }
            harm(proxy, link, UP, bytes, run, due_ns);
            link->pipe[UP].noting = false;
        } else {
            enqueue(&link->pipe[UP], bytes, run, due_ns);
        }
        if (!in_body && event != SNIFF_MORE) {
            begin_request(proxy, link);
            if (proxy->faults.only[0] && link->matched) {
                harm(proxy, link, UP, bytes, 0, due_ns); /* what strikes after 0 bytes */
            }
        }
        if (event == SNIFF_REQUEST) {
            end_request(proxy, link, now);
        }
        bytes += run;
        size -= run;
    }
}

static void end_copy(struct proxy *proxy, struct link *link, int status)
{
    proxy->answers[proxy->n_answers++ % ANSWERS] = status;
    link_end(link, false);
}

/* The status of a repeated request's answer, behind any "100 Continue". */
static void note_answer(struct proxy *proxy, struct link *link, const uint8_t *bytes, size_t size)
{
    size_t room = sizeof link->answer - 1 - link->answer_size;
    memcpy(link->answer + link->answer_size, bytes, size < room ? size : room);
    link->answer_size += size < room ? size : room;
    link->answer[link->answer_size] = 0;
    const char *at = link->answer;
    while (at && strncmp(at, "HTTP/1.1 1", 10) == 0) {
        at = strstr(at, "\r\n\r\n");
        at = at ? at + 4 : NULL;
    }
    if (at && strncmp(at, "HTTP/1.", 7) == 0 && strlen(at) >= 12) {
        end_copy(proxy, link, (int)strtol(at + 9, NULL, 10));
    }
}

static void feed(struct proxy *proxy, struct link *link, enum direction d, uint8_t *bytes,
                 size_t size)
{
    const uint64_t now = now_ns();
    const uint64_t due_ns = now + proxy->faults.delay_ms[d] * ns_per_ms;
    if (link->swallowing) {
        return;
    }
    if (link->is_copy) {
        note_answer(proxy, link, bytes, size);
    } else if (d == UP) {
        feed_up(proxy, link, bytes, size, now, due_ns);
    } else if (link->matched) {
        harm(proxy, link, DOWN, bytes, size, due_ns);
    } else {
        enqueue(&link->pipe[DOWN], bytes, size, due_ns);
    }
}

/* A socket has failed: pass it on. */
static void fail_link(struct proxy *proxy, struct link *link)
{
    proxy->unreachable += errno == ECONNREFUSED;
    if (link->is_copy) {
        end_copy(proxy, link, 0);
    } else {
        link_end(link, true);
    }
}

void link_receive(struct proxy *proxy, struct link *link, enum direction d)
{
    uint8_t bytes[CHUNK];
    struct pipe *pipe = &link->pipe[d];
    ssize_t n = recv(link->fd[d], bytes, sizeof bytes, 0);
    if (n > 0) {
        feed(proxy, link, d, bytes, (size_t)n);
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    } else if (link->swallowing) {
        pipe->ended = pipe->shut = true;
    } else if (n == 0 && link->is_copy) {
        end_copy(proxy, link, 0); /* without an answer */
    } else if (n == 0) {
        pipe->ended = true;
    } else {
        fail_link(proxy, link);
    }
}

/* ---- bytes out ---- */

void links_fill_tokens(struct proxy *proxy, uint64_t now)
{
    const double seconds = (double)(now - proxy->filled_ns) / (double)ns_per_s;
    for (enum direction d = 0; d < DIRECTIONS; d++) {
        const double rate = (double)proxy->faults.rate[d];
        const double most = rate / BURSTS_PER_S < 1 ? 1 : rate / BURSTS_PER_S;
        const double more = proxy->tokens[d] + rate * seconds;
        proxy->tokens[d] = more < most ? more : most;
    }
    proxy->filled_ns = now;
}

static void transmit(struct proxy *proxy, struct link *link, enum direction d, uint64_t now)
{
    struct pipe *pipe = &link->pipe[d];
    int *to = &link->fd[1 - d];
    if (*to < 0 && link->is_copy && pipe->first && pipe->first->due_ns <= now) {
        *to = open_target(proxy);
        if (*to < 0) {
            end_copy(proxy, link, 0);
            return;
        }
    }
    pipe->blocked = false;
    while (*to >= 0 && pipe->first && pipe->first->due_ns <= now) {
        struct chunk *chunk = pipe->first;
        size_t size = chunk->size - chunk->at;
        if (proxy->faults.rate[d]) {
            size = (double)size < proxy->tokens[d] ? size : (size_t)proxy->tokens[d];
        }
        ssize_t n = size ? send(*to, chunk->bytes + chunk->at, size, MSG_NOSIGNAL) : 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            fail_link(proxy, link);
            return;
        }
        if (n <= 0) {
            pipe->blocked = size > 0;
            return;
        }
        proxy->tokens[d] -= proxy->faults.rate[d] ? (double)n : 0;
        proxy->moved[d] += (size_t)n;
        pipe->queued -= (size_t)n;
        if (chunk->noted) {
            proxy->noted.bytes += (size_t)n;
            proxy->noted.last_ns = now_ns();
        }
        chunk->at += (size_t)n;
        if (chunk->at == chunk->size) {
            drop_first(pipe);
        }
    }
    if (pipe->ended && !pipe->shut && !pipe->first && !link->swallowing && *to >= 0) {
        (void)shutdown(*to, SHUT_WR);
        pipe->shut = true;
    }
}

void link_serve(struct proxy *proxy, struct link *link, uint64_t now)
{
    for (enum direction d = 0; d < DIRECTIONS && !link_is_over(link); d++) {
        transmit(proxy, link, d, now);
    }
    if (link->end != ALIVE && !link->pipe[link->last_pipe].first) {
        link_end(link, link->end == RESETTING);
    }
}

/* ---- for the loop ---- */

/* When a pipe wants to be looked at again without an event. */
uint64_t link_wake(const struct proxy *proxy, const struct link *link, enum direction d)
{
    const struct pipe *pipe = &link->pipe[d];
    if (!pipe->first || pipe->blocked || pipe->first->due_ns == never) {
        return never;
    }
    const double rate = (double)proxy->faults.rate[d];
    if (rate > 0 && proxy->tokens[d] < 1) {
        const uint64_t filled =
            proxy->filled_ns + (uint64_t)((1 - proxy->tokens[d]) / rate * (double)ns_per_s) + 1;
        return filled > pipe->first->due_ns ? filled : pipe->first->due_ns;
    }
    return pipe->first->due_ns;
}

/* Sockets from which nothing is wanted stay out of the poll set: their hang-ups would wake us for
 * ever. */
short link_wants(const struct link *link, enum direction side)
{
    const struct pipe *in = &link->pipe[side], *out = &link->pipe[1 - side];
    short events = 0;
    if (link->fd[side] < 0) {
        return 0;
    }
    if (!in->ended && !in->stalled && in->queued < QUEUE_MAX && link->end == ALIVE) {
        events |= POLLIN;
    }
    if (out->blocked) {
        events |= POLLOUT;
    }
    return events;
}

/* Numbers of bytes count from the command on, or from the next request on. */
void links_count_anew(struct proxy *proxy)
{
    proxy->noted = (struct noted){0};
    for (struct link *link = proxy->links; link; link = link->next) {
        link->matched = !link->is_copy && !proxy->faults.only[0];
        link->pipe[UP].count = link->pipe[DOWN].count = 0;
    }
}

void links_pass(struct proxy *proxy)
{
    const uint64_t now = now_ns();
    for (struct link *link = proxy->links; link; link = link->next) {
        if (link->swallowing) {
            link_end(link, true);
        }
        for (enum direction d = 0; d < DIRECTIONS; d++) {
            link->pipe[d].stalled = false;
            for (struct chunk *c = link->pipe[d].first; c && !link->is_copy; c = c->next) {
                c->due_ns = c->due_ns == never ? now : c->due_ns;
            }
        }
    }
}
