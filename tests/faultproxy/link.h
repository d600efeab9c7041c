/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULTPROXY_LINK_H
#define FAULTPROXY_LINK_H

#include <netinet/in.h>

#include "command.h"
#include "sniff.h"

/**
 * A connection through the proxy is a `link`: two sockets, and for each direction a pipe, which is
 * a queue of chunks with a time before which each may not leave. A request that is sent again is a
 * link without a client, whose queue is fed copies.
 */

enum { ANSWERS = 64 };

struct chunk {
    struct chunk *next;
    uint64_t due_ns; /* never: until `pass`, or until a request that is to be repeated is whole */
    size_t size, at;
    bool noted; /* when it leaves is */
    uint8_t bytes[];
};

struct pipe {
    struct chunk *first, **last;
    size_t queued;
    uint64_t count; /* bytes read that the faults see */
    bool noting;    /* what is queued now belongs to `only` */
    bool ended;     /* nothing more comes */
    bool shut;      /* and the other side was told, or is not to know */
    bool stalled;
    bool blocked; /* the receiver takes no more at the moment */
};

enum end { ALIVE, CUTTING, RESETTING };

struct link {
    struct link *next;
    int fd[DIRECTIONS]; /* UP: the client's, DOWN: the target's. -1 = none (yet) */
    struct pipe pipe[DIRECTIONS];
    struct sniff sniff;
    bool matched;    /* the faults with a number of bytes are for what passes now */
    bool swallowing; /* half open */
    enum end end;
    enum direction last_pipe; /* `end` waits until this one is empty */
    struct link *copy;        /* gets what this client sends */
    struct link *source;      /* of a copy, until the request is whole */
    bool is_copy;
    char answer[512]; /* of a copy: the beginning, for its status */
    size_t answer_size;
    size_t polled[DIRECTIONS]; /* where its sockets are in the poll set, 0 = nowhere */
};

/* The bodies of the requests that `only` names. */
struct noted {
    uint64_t bytes;    /* that have left */
    uint64_t first_ns; /* when the first came in; 0 = not yet */
    uint64_t last_ns;  /* when the newest left */
};

struct proxy {
    struct sockaddr_in listen, target;
    int listener;
    struct faults faults;
    struct link *links;
    double tokens[DIRECTIONS]; /* bytes that may leave now */
    uint64_t filled_ns;
    char line[1024];
    size_t line_size;
    bool quit;
    struct noted noted;
    uint64_t connections, unreachable, moved[DIRECTIONS], struck[FAULT_KINDS], duplicates;
    int answers[ANSWERS];
    size_t n_answers;
};

extern const uint64_t never;

uint64_t now_ns(void);
_Noreturn void give_up(const char *what);
void close_socket(int *fd, bool reset);

/** Take in whoever knocks at the listener. */
void link_accept(struct proxy *proxy);
/** What its sockets are to be asked for, events of poll(2); 0 = nothing. */
short link_wants(const struct link *link, enum direction side);
/** When a pipe wants to be looked at again even if nothing happens; `never`. */
uint64_t link_wake(const struct proxy *proxy, const struct link *link, enum direction d);
/** Read from the socket that sends in this direction. */
void link_receive(struct proxy *proxy, struct link *link, enum direction d);
/** Send what may leave now. */
void link_serve(struct proxy *proxy, struct link *link, uint64_t now);
/** Close both sides for good; links_sweep frees it. */
void link_end(struct link *link, bool reset);
bool link_is_over(const struct link *link);

void links_sweep(struct proxy *proxy);
/** Let go what `never` held, and reset what is half open. */
void links_pass(struct proxy *proxy);
/** Numbers of bytes count from now on, or from the next request on. */
void links_count_anew(struct proxy *proxy);
/** As much as a limited rate lets out by now. */
void links_fill_tokens(struct proxy *proxy, uint64_t now);

#endif
