/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_CUTOFF_H
#define HTTP_CUTOFF_H

#include <stdbool.h>
#include <stdint.h>

#include <cairn/err.h>

/**
 * Deadlines after which a connection is shut down whatever it is doing. Inside
 * http only. The HTTP library's own timeout counts from the last byte, so a
 * peer that sends one byte now and then would hold its place for ever.
 *
 * One thread, which sleeps until the next deadline and not at all otherwise.
 */
struct cutoff_entry {
    int fd;
    uint64_t due_ns; /* of clock_system; 0 = none */
    bool lingering;  /* made by cutoff_linger */
    struct cutoff_entry *previous;
    struct cutoff_entry *next;
};

struct cutoff;

/** @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_ENVIRONMENT (no thread): *out is NULL */
CAIRN_MUST_CHECK int cutoff_start(struct cutoff **out);
/** End the thread and free, when no entry is left. NULL is ignored. */
void cutoff_stop(struct cutoff *cutoff);

/** Watch a socket. The caller owns the entry, and removes it before the descriptor is closed. */
void cutoff_add(struct cutoff *cutoff, struct cutoff_entry *entry, int fd);
/** Shut it down `seconds` from now unless called again; 0 = let it live. */
void cutoff_set(struct cutoff *cutoff, struct cutoff_entry *entry, uint64_t seconds);
void cutoff_remove(struct cutoff *cutoff, struct cutoff_entry *entry);

/**
 * Keep a socket's connection from being torn down when its owner closes `fd`
 * after this call: a second descriptor holds it for a moment. Closing a socket with unread bytes
 * resets the connection, and the peer may lose the reply that was sent just before.
 * Without memory or descriptors it does nothing.
 */
void cutoff_linger(struct cutoff *cutoff, int fd);

#endif
