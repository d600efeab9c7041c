/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The courier: one thread, one curl multi handle, and the list of what is under way.
 *
 * Only the courier's thread touches curl, without exception: whoever sends or
 * cancels wakes it by an eventfd (curl_multi_wakeup sends on a socket, and what it sends can
 * fail). Everything else between threads is the list and its
 * marks, under one mutex. An errand stays in the list until its `done` has returned, so that
 * cancelling is: mark it, wake the thread, wait until it is not in the list.
 *
 *   send --> list: ... begun, begun, begun, | fresh, fresh --> thread hands it to curl
 *
 * The list is in the order of sending; `fresh` points to the first that the thread has not seen.
 * The thread sleeps until bytes move, somebody wakes it, or a timeout is due: curl knows its own,
 * next_stall_ms the one that curl has not got.
 */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "transfer.h"

enum {
    /* Idle connections. The server takes three quarters of the descriptors, a process usually may
     * open 1024; half of what is left is kept, the other half is for files. */
    MAX_KEPT = 128,
    /* curl cannot even wait, for want of memory: do not ask again at full speed. */
    BREAK_MS = 100
};

struct errand {
    struct transfer transfer; /* first, so that a transfer is an errand */
    void (*done)(void *ctx, struct http_exchange *x);
    void *ctx;
    bool begun; /* curl has it; only the thread looks */

    struct errand *previous, *next; /* the courier's mutex guards these three */
    bool given_up;
};

struct http_courier {
    int wake_fd; /* -1 = none */
    CURLM *multi;
    struct http_client_options options;
    pthread_t thread;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t ended;  /* an errand has left the list */
    struct errand *first, *last;
    struct errand *fresh; /* in the list: not seen by the thread, like all behind it */
    struct errand *spare; /* with their handles, for the next exchanges */
    bool giving_up;       /* something in the list is marked */
    bool stopping;
};

/* ---- the list; the caller holds the mutex ---- */

static void append(struct http_courier *c, struct errand *e)
{
    e->next = NULL;
    e->previous = c->last;
    if (c->last) {
        c->last->next = e;
    } else {
        c->first = e;
    }
    c->last = e;
    if (!c->fresh) {
        c->fresh = e;
    }
}

static void unlink_errand(struct http_courier *c, struct errand *e)
{
    if (e->previous) {
        e->previous->next = e->next;
    } else {
        c->first = e->next;
    }
    if (e->next) {
        e->next->previous = e->previous;
    } else {
        c->last = e->previous;
    }
}

/* The first that is marked, of those that the thread has seen. */
static struct errand *find_given_up(const struct http_courier *c)
{
    struct errand *e = c->first;
    while (e != c->fresh && !e->given_up && !c->stopping) {
        e = e->next;
    }
    return e == c->fresh ? NULL : e;
}

static struct errand *find_exchange(const struct http_courier *c, const struct http_exchange *x)
{
    struct errand *e = c->first;
    while (e && e->transfer.exchange != x) {
        e = e->next;
    }
    return e;
}

/* ---- on the courier's thread ---- */

/* An errand has ended: tell its owner, and let go of it. */
static void land(struct http_courier *c, struct errand *e, CURLcode code)
{
    struct http_exchange *x = e->transfer.exchange;
    if (e->begun) {
        transfer_settle(&e->transfer, code);
        curl_multi_remove_handle(c->multi, e->transfer.easy);
        e->begun = false;
    }
    e->done(e->ctx, x);
    pthread_mutex_lock(&c->mutex);
    unlink_errand(c, e);
    transfer_clear(&e->transfer);
    e->next = c->spare;
    c->spare = e;
    pthread_cond_broadcast(&c->ended);
    pthread_mutex_unlock(&c->mutex);
}

static void begin(struct http_courier *c, struct errand *e, bool given_up)
{
    e->transfer.given_up = given_up;
    if (!transfer_prepare(&e->transfer)) {
        land(c, e, CURLE_OK);
        return;
    }
    e->begun = curl_multi_add_handle(c->multi, e->transfer.easy) == CURLM_OK;
    if (!e->begun) {
        http_exchange_refuse(e->transfer.exchange);
        land(c, e, CURLE_OK);
    }
}

static struct errand *take_fresh(struct http_courier *c, bool *given_up)
{
    pthread_mutex_lock(&c->mutex);
    struct errand *e = c->fresh;
    if (e) {
        c->fresh = e->next;
        *given_up = e->given_up || c->stopping;
    }
    pthread_mutex_unlock(&c->mutex);
    return e;
}

static struct errand *take_given_up(struct http_courier *c)
{
    struct errand *e = NULL;
    pthread_mutex_lock(&c->mutex);
    if (c->giving_up || c->stopping) {
        e = find_given_up(c);
        c->giving_up = e != NULL;
    }
    pthread_mutex_unlock(&c->mutex);
    return e;
}

/* Begins what is fresh now. What a `done` sends meanwhile has its turn after the others' bytes. */
static void hear_the_news(struct http_courier *c)
{
    bool given_up = false;
    pthread_mutex_lock(&c->mutex);
    const struct errand *last = c->last;
    pthread_mutex_unlock(&c->mutex);
    for (struct errand *e = take_fresh(c, &given_up); e;
         e = e == last ? NULL : take_fresh(c, &given_up)) {
        begin(c, e, given_up);
    }
    for (struct errand *e = take_given_up(c); e; e = take_given_up(c)) {
        e->transfer.given_up = true;
        land(c, e, CURLE_OK);
    }
}

static void land_finished(struct http_courier *c)
{
    int left;
    for (CURLMsg *message = curl_multi_info_read(c->multi, &left); message;
         message = curl_multi_info_read(c->multi, &left)) {
        struct transfer *t = NULL;
        const CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        land(c, (struct errand *)t, code); /* removes the handle, and the message with it */
    }
}

/* curl has broken down: nothing of what it has will ever end. */
static void land_all(struct http_courier *c)
{
    pthread_mutex_lock(&c->mutex);
    struct errand *e = c->first;
    pthread_mutex_unlock(&c->mutex);
    while (e) {
        pthread_mutex_lock(&c->mutex);
        struct errand *next = e->next;
        pthread_mutex_unlock(&c->mutex);
        if (e->begun) {
            land(c, e, CURLE_OUT_OF_MEMORY);
        }
        e = next;
    }
}

/* Milliseconds until an exchange counts as stalled; INT_MAX = none can. */
static int next_stall_ms(struct http_courier *c)
{
    uint64_t at_ns = UINT64_MAX;
    pthread_mutex_lock(&c->mutex);
    for (const struct errand *e = c->first; e != c->fresh; e = e->next) {
        const uint64_t stalls_ns = transfer_stalls_at(&e->transfer);
        at_ns = stalls_ns < at_ns ? stalls_ns : at_ns;
    }
    pthread_mutex_unlock(&c->mutex);
    if (at_ns == UINT64_MAX) {
        return INT_MAX;
    }
    const uint64_t now_ns = clock_now_ns(&clock_system);
    return at_ns <= now_ns ? 0 : (int)((at_ns - now_ns) / 1000000) + 1;
}

static bool is_over(struct http_courier *c)
{
    pthread_mutex_lock(&c->mutex);
    const bool over = c->stopping && !c->first;
    pthread_mutex_unlock(&c->mutex);
    return over;
}

static void wake(const struct http_courier *c)
{
    const uint64_t one = 1;
    /* A full counter (EAGAIN) means that a wake is under way already. */
    const ssize_t written = write(c->wake_fd, &one, sizeof one);
    (void)written;
}

static void *carry(void *arg)
{
    struct http_courier *c = arg;
    for (hear_the_news(c); !is_over(c); hear_the_news(c)) {
        int running;
        CURLMcode broken = curl_multi_perform(c->multi, &running);
        land_finished(c);
        if (broken == CURLM_OK) {
            struct curl_waitfd woken = {.fd = c->wake_fd, .events = CURL_WAIT_POLLIN};
            broken = curl_multi_poll(c->multi, &woken, 1, next_stall_ms(c), NULL);
            uint64_t wakes;
            const ssize_t drained = read(c->wake_fd, &wakes, sizeof wakes);
            (void)drained; /* EAGAIN: it was something else */
        }
        if (broken != CURLM_OK) {
            land_all(c);
            clock_system.sleep_ns(clock_system.ctx, BREAK_MS * UINT64_C(1000000));
        }
    }
    return NULL;
}

/* ---- from any thread ---- */

/* A spare errand or a new one; NULL without memory. */
static struct errand *make_errand(struct http_courier *c)
{
    pthread_mutex_lock(&c->mutex);
    struct errand *e = c->spare;
    if (e) {
        c->spare = e->next;
    }
    pthread_mutex_unlock(&c->mutex);
    return e ? e : calloc(1, sizeof *e);
}

void http_courier_send(struct http_courier *c, struct http_exchange *x,
                       void (*done)(void *ctx, struct http_exchange *x), void *ctx)
{
    http_exchange_refuse(x);
    struct errand *e = make_errand(c);
    if (!e) {
        done(ctx, x);
        return;
    }
    *e = (struct errand){.transfer = e->transfer, .done = done, .ctx = ctx};
    e->transfer.options = &c->options;
    e->transfer.exchange = x;
    pthread_mutex_lock(&c->mutex);
    append(c, e);
    pthread_mutex_unlock(&c->mutex);
    wake(c);
}

void http_courier_cancel(struct http_courier *c, struct http_exchange *x)
{
    pthread_mutex_lock(&c->mutex);
    for (struct errand *e = find_exchange(c, x); e; e = find_exchange(c, x)) {
        e->given_up = true;
        c->giving_up = true;
        wake(c);
        pthread_cond_wait(&c->ended, &c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
}

/* ---- waiting for it ---- */

struct wait {
    pthread_mutex_t mutex;
    pthread_cond_t none_left;
    size_t left;
};

static void count_down(void *ctx, struct http_exchange *x)
{
    struct wait *wait = ctx;
    (void)x;
    pthread_mutex_lock(&wait->mutex);
    if (--wait->left == 0) {
        pthread_cond_signal(&wait->none_left);
    }
    pthread_mutex_unlock(&wait->mutex);
}

void http_courier_exchange(struct http_courier *c, struct http_exchange *list, size_t n)
{
    struct wait wait = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, n};
    for (size_t i = 0; i < n; i++) {
        http_courier_send(c, &list[i], count_down, &wait);
    }
    pthread_mutex_lock(&wait.mutex);
    while (wait.left > 0) {
        pthread_cond_wait(&wait.none_left, &wait.mutex);
    }
    pthread_mutex_unlock(&wait.mutex);
    pthread_cond_destroy(&wait.none_left);
    pthread_mutex_destroy(&wait.mutex);
}

/* ---- birth and death ---- */

static CURLcode global_state;

static void global_init(void)
{
    global_state = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void release(struct http_courier *c)
{
    while (c->spare) {
        struct errand *next = c->spare->next;
        transfer_release(&c->spare->transfer);
        free(c->spare);
        c->spare = next;
    }
    curl_multi_cleanup(c->multi);
    if (c->wake_fd >= 0) {
        close(c->wake_fd);
    }
    pthread_cond_destroy(&c->ended);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

static int start(struct http_courier *c)
{
    if (!c->multi) {
        return CAIRN_ERR_NO_MEMORY;
    }
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)MAX_KEPT);
    /* without descriptors curl makes a handle that nobody can wake, and says so only here */
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->wake_fd < 0 || curl_multi_wakeup(c->multi) != CURLM_OK ||
        pthread_create(&c->thread, NULL, carry, c) != 0) {
        return CAIRN_ERR_ENVIRONMENT;
    }
    return CAIRN_OK;
}

int http_courier_new(const struct http_client_options *options, struct http_courier **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    pthread_once(&once, global_init);
    if (global_state != CURLE_OK) {
        return CAIRN_ERR_ENVIRONMENT;
    }
    struct http_courier *c = calloc(1, sizeof *c);
    if (!c) {
        return CAIRN_ERR_NO_MEMORY;
    }
    c->wake_fd = -1;
    c->options = transfer_options(options);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->ended, NULL);
    c->multi = curl_multi_init();
    int error = start(c);
    if (error) {
        release(c);
        return error;
    }
    *out = c;
    return CAIRN_OK;
}

void http_courier_free(struct http_courier *c)
{
    if (!c) {
        return;
    }
    pthread_mutex_lock(&c->mutex);
    c->stopping = true;
    pthread_mutex_unlock(&c->mutex);
    wake(c);
    pthread_join(c->thread, NULL);
    release(c);
}
