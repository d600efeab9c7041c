/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines of sockets, in an unsorted list: they are few (the connection
 * limit) and nearly always postponed, so the thread looks through all of them
 * only when the earliest that it last saw has come.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "cutoff.h"

enum {
    NS_PER_S = 1000000000,
    /* enough for a reply to cross the network, even when it has to be sent twice */
    LINGER_S = 2,
    /* Lingering sockets count against no connection limit, so they have their own: the peers of
     * one large federation, refused all at once. Beyond it the oldest goes early. */
    LINGER_MAX = 64
};

struct cutoff {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct cutoff_entry *first;
    unsigned lingering;
    uint64_t wake_ns; /* what the thread sleeps for; 0 = nothing */
    bool stopping;
    pthread_t thread;
};

static void hook_in(struct cutoff *c, struct cutoff_entry *entry)
{
    entry->next = c->first;
    if (c->first) {
        c->first->previous = entry;
    }
    c->first = entry;
}

static void unhook(struct cutoff *c, struct cutoff_entry *entry)
{
    if (entry->previous) {
        entry->previous->next = entry->next;
    } else {
        c->first = entry->next;
    }
    if (entry->next) {
        entry->next->previous = entry->previous;
    }
}

static void end_lingering(struct cutoff *c, struct cutoff_entry *entry)
{
    unhook(c, entry);
    close(entry->fd);
    free(entry);
    c->lingering--;
}

/* New entries are hooked in at the front, so the last is the oldest. */
static void end_oldest_lingering(struct cutoff *c)
{
    struct cutoff_entry *oldest = NULL;
    for (struct cutoff_entry *e = c->first; e; e = e->next) {
        oldest = e->lingering ? e : oldest;
    }
    end_lingering(c, oldest);
}

/* End what is due; the earliest deadline of the rest, or 0. */
static uint64_t sweep(struct cutoff *c, uint64_t now_ns)
{
    uint64_t earliest = 0;
    struct cutoff_entry *next;
    for (struct cutoff_entry *e = c->first; e; e = next) {
        next = e->next;
        if (e->due_ns == 0) {
            continue;
        }
        if (e->due_ns > now_ns) {
            earliest = earliest == 0 || e->due_ns < earliest ? e->due_ns : earliest;
        } else if (e->lingering) {
            end_lingering(c, e);
        } else {
            /* not close: the descriptor is the library's, which sees the end and closes it */
            shutdown(e->fd, SHUT_RDWR);
            e->due_ns = 0;
        }
    }
    return earliest;
}

static void *watch(void *arg)
{
    struct cutoff *c = arg;
    pthread_mutex_lock(&c->mutex);
    while (!c->stopping) {
        c->wake_ns = sweep(c, clock_now_ns(&clock_system));
        if (c->wake_ns == 0) {
            pthread_cond_wait(&c->changed, &c->mutex);
        } else {
            struct timespec until = {.tv_sec = (time_t)(c->wake_ns / NS_PER_S),
                                     .tv_nsec = (long)(c->wake_ns % NS_PER_S)};
            pthread_cond_timedwait(&c->changed, &c->mutex, &until);
        }
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

int cutoff_start(struct cutoff **out)
{
    *out = NULL;
    struct cutoff *c = calloc(1, sizeof *c);
    if (!c) {
        return CAIRN_ERR_NO_MEMORY;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the clock of clock_system */
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&c->mutex, NULL);
    if (pthread_create(&c->thread, NULL, watch, c) != 0) {
        pthread_cond_destroy(&c->changed);
        pthread_mutex_destroy(&c->mutex);
        free(c);
        return CAIRN_ERR_ENVIRONMENT;
    }
    *out = c;
    return CAIRN_OK;
}

void cutoff_stop(struct cutoff *c)
{
    if (!c) {
        return;
    }
    pthread_mutex_lock(&c->mutex);
    c->stopping = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->mutex);
    pthread_join(c->thread, NULL);
    while (c->first) {
        end_lingering(c, c->first);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

/* The lock is held. */
static void set_due(struct cutoff *c, struct cutoff_entry *entry, uint64_t due_ns)
{
    entry->due_ns = due_ns;
    /* a later deadline needs no waking: the thread finds out when it looks */
    if (due_ns != 0 && (c->wake_ns == 0 || due_ns < c->wake_ns)) {
        pthread_cond_signal(&c->changed);
    }
}

static uint64_t from_now(uint64_t seconds)
{
    return clock_now_ns(&clock_system) + seconds * NS_PER_S;
}

void cutoff_add(struct cutoff *c, struct cutoff_entry *entry, int fd)
{
    pthread_mutex_lock(&c->mutex);
    *entry = (struct cutoff_entry){.fd = fd};
    hook_in(c, entry);
    pthread_mutex_unlock(&c->mutex);
}

void cutoff_set(struct cutoff *c, struct cutoff_entry *entry, uint64_t seconds)
{
    pthread_mutex_lock(&c->mutex);
    set_due(c, entry, seconds == 0 ? 0 : from_now(seconds));
    pthread_mutex_unlock(&c->mutex);
}

void cutoff_remove(struct cutoff *c, struct cutoff_entry *entry)
{
    pthread_mutex_lock(&c->mutex);
    unhook(c, entry);
    pthread_mutex_unlock(&c->mutex);
}

void cutoff_linger(struct cutoff *c, int fd)
{
    struct cutoff_entry *entry = calloc(1, sizeof *entry);
    int copy = entry ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) {
        free(entry);
        return;
    }
    *entry = (struct cutoff_entry){.fd = copy, .lingering = true};
    pthread_mutex_lock(&c->mutex);
    if (c->lingering == LINGER_MAX) {
        end_oldest_lingering(c);
    }
    hook_in(c, entry);
    c->lingering++;
    set_due(c, entry, from_now(LINGER_S));
    pthread_mutex_unlock(&c->mutex);
}
