/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "buf.h"

/**
 * HTTP as the rest of cairn sees it: whole requests in, whole replies out.
 * server.c is the only includer of microhttpd.h, transfer.h of curl.h.
 */

struct http_request {
    const char *method;  /* "GET", "POST" */
    const char *path;    /* "/s/receive", without the query */
    const char *query;   /* text after '?', "" when absent */
    const char *peer;    /* the sender's numeric address */
    const char *accept;  /* Accept header, "" when absent */
    struct span body;    /* borrowed for the call */
    size_t *progress;    /* a number that `part` leaves for itself and for `handle`, 0 before; NULL = 0 */
};

struct http_reply {
    int status;
    const char *content_type; /* static text; NULL = application/json */
    unsigned retry_after_s;   /* header Retry-After when not 0 */
    struct buf body;          /* owned by the reply */
};

/** Free what the reply owns. */
void http_reply_release(struct http_reply *reply);
/** Answer with a problem: its status, and {"error": what, "hint": hint, "code": name} as the body. */
void http_reply_problem(struct http_reply *reply, const struct cairn_problem *problem);

/**
 * The program behind a server.
 *
 * `admit` is called once per request when only its headers are known, on a
 * thread that must not block. It answers how many body bytes are allowed, or 0 for none.
 * To refuse, it fills *refusal with status >= 400; the body is then not read, and a peer that
 * asked first ("Expect: 100-continue") sends none of it. query is "" when absent.
 * content_length is -1 when the request has none (a GET); the server itself answers 411 to
 * a POST or PUT without Content-Length or with Transfer-Encoding, 400 to a doubled Content-Length,
 * and 413 to a body longer than what `admit` allows.
 *
 * `part`, where there is one, is called on a worker with what there is of a body so far, when that is
 * HTTP_PART_FROM bytes or more and not yet all. It answers at how many bytes it wants to be called again,
 * SIZE_MAX for not before all is there. No bytes are read meanwhile. Whether the rest ever comes is not known.
 *
 * `handle` is called with the whole body on one of the server's worker threads;
 * it may block. Several run at once. reply is zeroed; status 0 counts as 200.
 */
enum { HTTP_PART_FROM = 64 * 1024 /* what is shorter is there at once */ };

struct http_app {
    void *ctx;
    size_t (*admit)(void *ctx, const char *method, const char *path, const char *query,
                    int64_t content_length, struct http_reply *refusal);
    size_t (*part)(void *ctx, const struct http_request *request);
    void (*handle)(void *ctx, const struct http_request *request, struct http_reply *reply);
};

struct http_server_options {
    const char *listen;          /* numeric IPv4 or IPv6 address, "0.0.0.0" for all */
    uint16_t port;               /* 0 = any free one */
    unsigned workers;            /* threads that run `handle`; 0 = 16 */
    unsigned max_connections;    /* 0 = 1024 */
    unsigned idle_timeout_s;     /* 0 = 30 */
};

struct http_server;

/**
 * Start listening.
 * @retval CAIRN_ERR_ENVIRONMENT  the port is taken (the text names address and port) or may not be
 *                                bound; *out is NULL
 */
CAIRN_MUST_CHECK int http_server_start(const struct http_server_options *options,
                                       const struct http_app *app, struct http_server **out,
                                       struct cairn_problem *why);
/** The port that is really bound. */
uint16_t http_server_port(const struct http_server *server);
/** Body bytes received and sent since start; safe from any thread. */
void http_server_traffic(const struct http_server *server, uint64_t *received, uint64_t *sent);
/** Stop accepting, let running handlers end, free. NULL is ignored. */
void http_server_stop(struct http_server *server);

/**
 * One request to another node, and what came of it.
 * In: everything down to `body`. Out: the rest; the caller releases `answer`.
 */
struct http_exchange {
    const char *address;      /* host:port, IPv6 in brackets */
    const char *method;       /* "GET" or "POST" */
    const char *path;         /* with the query, if any */
    const char *content_type; /* NULL = application/octet-stream */
    struct span body;         /* borrowed until the exchange has ended */
    unsigned timeout_s;       /* for the whole exchange; 0 = 60 */

    int error;                /* 0 when an HTTP status came back, else CAIRN_ERR_NETWORK, _TIMEOUT,
                                 _NO_MEMORY, _TOO_LONG */
    char what[200];           /* sentence for `error`: which address, refused or timed out or cut */
    int status;               /* HTTP status when error is 0 */
    unsigned retry_after_s;   /* from the answer, 0 when absent */
    size_t sent;              /* bytes of the body that went out, also in vain */
    struct buf answer;        /* body of the answer, whatever the status */
};

void http_exchange_release(struct http_exchange *exchange);
/** Fill in the outcome of one that nobody can carry: CAIRN_ERR_NO_MEMORY. Releases nothing. */
void http_exchange_refuse(struct http_exchange *exchange);

/**
 * Carries any number of exchanges side by side, on one thread, over connections that it keeps
 * (TCP_NODELAY, keepalive; a peer's machine that is gone is found within 30 s).
 * No redirects, no proxies from the environment, HTTP only. "Expect: 100-continue" on bodies above
 * 1 MiB, so that a refusal costs no upload.
 */
struct http_courier;

struct http_client_options {
    unsigned connect_timeout_s; /* 0 = 3 */
    size_t max_answer;          /* bytes of an answer's body; 0 = 64 MiB */
};

/** @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_ENVIRONMENT (no thread, no descriptors): *out is NULL */
CAIRN_MUST_CHECK int http_courier_new(const struct http_client_options *options,
                                      struct http_courier **out);
/**
 * Begin an exchange and return at once. Any thread.
 *
 * `done` is called exactly once, when it has ended: on the courier's thread, or, when it cannot even
 * begin for want of memory, before this returns. Until then x, what it points to and its body
 * belong to the courier; from then on it is no longer touched. `done` must not block, and may send.
 * What was given up (http_courier_cancel, _free) it must not send again.
 */
void http_courier_send(struct http_courier *courier, struct http_exchange *x,
                       void (*done)(void *ctx, struct http_exchange *x), void *ctx);
/**
 * Give an exchange up: it ends with CAIRN_ERR_NETWORK and "given up". Returns when `done` has
 * returned and x is no longer touched; at once when x is not under way. Never from `done`.
 */
void http_courier_cancel(struct http_courier *courier, struct http_exchange *x);
/** Send all, and return when each has ended. Any thread, but never from `done`. */
void http_courier_exchange(struct http_courier *courier, struct http_exchange *list, size_t n);
/** Give up what is under way and free. Nobody else may be sending any more. NULL is ignored. */
void http_courier_free(struct http_courier *courier);

#endif
