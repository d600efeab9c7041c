/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node on a real machine: an eventfd that wakes it, a server that calls it, a courier for what it sends.
 *
 * SIGTERM and SIGINT have handlers that write to that eventfd. A signalfd would not do: it needs the signals blocked
 * in every thread, and OpenBLAS starts its threads when it is loaded, before main() can block anything.
 */
#include "serve.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ending.h"

struct serve {
    struct node *node;
    struct http_server *server;
    struct http_courier *courier;
    int wake_fd;
    void (*reload)(void *ctx);
    void *reload_ctx;
};

/* Of this process, beside ending_signal: who else has called, and the eventfd of the node that is to hear of it. */
enum { GRACE_S = 5 }; /* for ending in order: an exchange, a commit; service managers kill after 10 s or more */
static volatile sig_atomic_t status_asked, reload_asked, signal_wake_fd = -1;

static void serve_exchange(void *ctx, struct http_exchange *list, size_t n)
{
    const struct serve *serve = ctx;
    http_courier_exchange(serve->courier, list, n);
}

static void serve_send(void *ctx, struct http_exchange *x,
                       void (*done)(void *done_ctx, struct http_exchange *x), void *done_ctx)
{
    const struct serve *serve = ctx;
    http_courier_send(serve->courier, x, done, done_ctx);
}

static void serve_cancel(void *ctx, struct http_exchange *x)
{
    const struct serve *serve = ctx;
    http_courier_cancel(serve->courier, x);
}

static void serve_wake(void *ctx)
{
    const struct serve *serve = ctx;
    const uint64_t one = 1;
    /* A full counter (EAGAIN) means that a wake is under way already. */
    const ssize_t written = write(serve->wake_fd, &one, sizeof one);
    (void)written;
}

/* A step may take long: training does. A node has nothing to lose that a kill would not leave it, so it goes. */
static void end_late(int number)
{
    (void)number;
    (void)raise(ending_signal);
}

static void note_signal(int number)
{
    const int saved = errno;
    const uint64_t one = 1;
    if (number == SIGUSR1) {
        status_asked = 1;
    } else if (number == SIGHUP) {
        reload_asked = 1;
    } else {
        ending_signal = number;
        signal(number, SIG_DFL); /* whoever asks again means at once */
        alarm(GRACE_S);
    }
    const ssize_t written = write(signal_wake_fd, &one, sizeof one);
    (void)written;
    errno = saved;
}

static void handle_signal(int number, void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        sigaction(number, &action, NULL); /* who started us with it ignored, as nohup does, means it */
    }
}

static int open_descriptors(struct serve *serve, struct cairn_problem *why)
{
    serve->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (serve->wake_fd < 0) {
        return problem_set(why, CAIRN_ERR_ENVIRONMENT, "raise the limit of open files (ulimit -n)",
                           "no file descriptors: %s", strerror(errno));
    }
    ending_signal = status_asked = reload_asked = 0;
    signal_wake_fd = serve->wake_fd;
    handle_signal(SIGTERM, note_signal);
    handle_signal(SIGINT, note_signal);
    handle_signal(SIGUSR1, note_signal);
    handle_signal(SIGALRM, end_late);
    if (serve->reload != NULL) {
        handle_signal(SIGHUP, note_signal);
    }
    return 0;
}

static int new_courier(struct http_courier **courier, struct cairn_problem *why)
{
    const int err = http_courier_new(NULL, courier);
    return err == 0
               ? 0
               : problem_set(why, err, "check ulimit -u (threads) and ulimit -n (files)",
                             "nothing can be sent to other nodes: %s", cairn_error_sentence(err));
}

static int make_node(struct serve *serve, const struct serve_options *options,
                     struct cairn_problem *why)
{
    char own[FED_ADDRESS_SIZE];
    if (options->advertise != NULL) {
        snprintf(own, sizeof own, "%s", options->advertise);
    } else {
        snprintf(own, sizeof own, "%s:%u", options->listen, (unsigned)options->port);
    }
    const struct node_options node_options = {.address = own,
                                              .data_dir = options->data_dir,
                                              .log_dir = options->log_dir,
                                              .train_command = options->train_command,
                                              .train_environment = options->train_environment,
                                              .clock = &clock_system,
                                              .ctx = serve,
                                              .exchange = serve_exchange,
                                              .send = serve_send,
                                              .cancel = serve_cancel,
                                              .may_block = true,
                                              .wake = serve_wake};
    const int err = node_new(&node_options, &serve->node);
    return err == 0 ? 0
                    : problem_set(why, err, NULL, "a node cannot start: %s",
                                  cairn_error_sentence(err));
}

/*
 * Batches and pieces of a few megabytes come and go on many threads, and glibc keeps what each of
 * them has freed: a switch that folds 10^8 parameters peaked at 430 to 460 MB, with 64 MB in its
 * window. Mapped memory goes back at once: 99 to 116 MB, for 6 % of the time. Setting the threshold
 * also stops glibc from raising it.
 */
static void give_memory_back(void)
{
    /* Above what small models need, below any batch of a large one. */
    enum { MAPPED_FROM = 256 * 1024 };
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
}

int serve_start(const struct serve_options *options, struct serve **out,
                struct cairn_problem *why)
{
    give_memory_back();
    struct serve *serve = calloc(1, sizeof *serve);
    if (serve == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a node");
    }
    serve->wake_fd = -1;
    serve->reload = options->reload;
    serve->reload_ctx = options->reload_ctx;
    int err = open_descriptors(serve, why);
    if (err == 0) {
        err = new_courier(&serve->courier, why);
    }
    if (err == 0) {
        err = make_node(serve, options, why);
    }
    if (err == 0) {
        const struct http_app app = node_app(serve->node);
        const struct http_server_options server_options = {.listen = options->listen,
                                                           .port = options->port,
                                                           .workers = options->workers,
                                                           .max_connections =
                                                               options->max_connections};
        err = http_server_start(&server_options, &app, &serve->server, why);
    }
    if (err != 0) {
        serve_free(serve);
        return err;
    }
    *out = serve;
    return 0;
}

struct node *serve_node(struct serve *serve)
{
    return serve->node;
}

/* Milliseconds until a deadline for poll(2), rounded up; -1 = no deadline. */
static int poll_timeout(uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX) {
        return -1;
    }
    const uint64_t now = clock_now_ns(&clock_system);
    if (deadline_ns <= now) {
        return 0;
    }
    const uint64_t ms = (deadline_ns - now + 999999) / 1000000;
    return ms > 3600000 ? 3600000 : (int)ms;
}

/* What a signal asked for beside an end. */
static void answer_signals(struct serve *serve)
{
    if (status_asked != 0) {
        status_asked = 0;
        node_log_status(serve->node);
    }
    if (reload_asked != 0) {
        reload_asked = 0;
        serve->reload(serve->reload_ctx);
    }
}

int serve_run(struct serve *serve, bool (*until)(void *ctx), void *ctx)
{
    struct pollfd fd = {.fd = serve->wake_fd, .events = POLLIN};
    for (;;) {
        const uint64_t again = node_step(serve->node);
        if (until != NULL && until(ctx)) {
            return 0;
        }
        if (ending_signal != 0) {
            return ending_signal;
        }
        answer_signals(serve);
        if (poll(&fd, 1, poll_timeout(again)) < 0 && errno != EINTR) {
            return 0;
        }
        uint64_t wakes;
        const ssize_t drained = read(serve->wake_fd, &wakes, sizeof wakes);
        (void)drained; /* EAGAIN: it was the deadline that passed */
    }
}

void serve_free(struct serve *serve)
{
    if (serve == NULL) {
        return;
    }
    http_server_stop(serve->server);
    node_free(serve->node);
    http_courier_free(serve->courier);
    alarm(0); /* in order, and in time */
    if (serve->wake_fd >= 0) {
        signal_wake_fd = -1; /* a signal that still comes finds no one to wake */
        close(serve->wake_fd);
    }
    free(serve);
}

int serve_exchange_once(struct http_exchange *list, size_t n, struct cairn_problem *why)
{
    struct http_courier *courier;
    const int err = new_courier(&courier, why);
    if (err == 0) {
        http_courier_exchange(courier, list, n);
        http_courier_free(courier);
    }
    return err;
}
