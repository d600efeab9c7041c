/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server; the only includer of microhttpd.h.
 *
 * One thread of libmicrohttpd moves bytes for all connections; it never waits
 * for the program. When a request is complete its connection is suspended and
 * the request queued for our own workers, which call app.handle, keep the
 * reply and resume the connection; the byte thread then sends the reply. So a
 * handler that blocks holds up one worker and nobody's bytes.
 *
 * A program that can use parts of a body gets them in the same way, with the connection suspended.
 * A call goes through these states, all on the byte thread but CALL_PART and CALL_QUEUED:
 *
 *                 CALL_PART
 *                  ^     v
 *   CALL_NEW -> CALL_BODY -> CALL_QUEUED -> CALL_ANSWERED
 *        \          \-> CALL_DROPPING ---------^
 *         \-> (refused: answered on the spot, the library closes the connection)
 *
 * What libmicrohttpd 0.9.75 leaves to us: it accepts two Content-Lengths, and
 * one beside a Transfer-Encoding (counted in check_length); its timeout counts
 * from the last byte, so dripping peers live for ever (cutoff.h); a NUL byte
 * ends a path (has_hidden_rest); it closes with bytes unread after refusing a
 * body (cutoff_linger); without any timeout a connection whose peer has left in
 * mid-body is never closed, so one is always set; it counts to idle_timeout_s
 * before the first line of a next request, whose head then has HEADERS_S (on_line).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "clock.h"
#include "cutoff.h"
#include "http.h"
#include "listen.h"
#include "workers.h"

enum {
    /* Some handlers wait, for the program or for another node; a thread that waits costs 70 KiB. */
    DEFAULT_WORKERS = 16,
    DEFAULT_CONNECTIONS = 1024,
    DEFAULT_IDLE_S = 30,

    /* A request's headers are one packet: seconds are for a peer that is busy training. */
    HEADERS_S = 5,
    /* A body has to keep moving: 8 KiB/s, seen over 10 s. Slow enough for a link shared by many
     * nodes (20 on 2 Mbit/s), fast enough that a dripping peer is gone in 10 s. */
    BODY_WINDOW_S = 10,
    BODY_RATE = 8 * 1024,
    /* How long http_server_stop waits for replies to leave. They lie in memory by then, and a few
     * megabytes cross a local network in well under a second. */
    DRAIN_S = 2,
    /* Pool of one connection: the longest head of a request, and the run of bytes that one recv
     * brings. Also bounds what an idle connection costs. */
    CONNECTION_POOL = 64 * 1024,
    /* What the library opens for itself: an epoll set and an eventfd, and as many to spare. */
    LIBRARY_DESCRIPTORS = 4,
    /* Below this there would not be two each for being asked, asking, and files, and two to spare. */
    FEWEST_DESCRIPTORS = 8
};

struct http_server {
    struct http_app app;
    struct MHD_Daemon *daemon;
    struct workers *workers;
    struct cutoff *cutoff;
    unsigned idle_timeout_s;
    uint16_t port;
    atomic_bool stopping;
    atomic_uint_least64_t received;
    atomic_uint_least64_t sent;

    pthread_mutex_t mutex; /* guards owed */
    pthread_cond_t settled;
    size_t owed; /* requests that went to the workers and are not answered to the last byte */
};

/* One connection. */
struct visit {
    struct cutoff_entry cutoff;
    bool unread; /* a body was refused, and may be on its way */
    char peer[NI_MAXHOST];
};

enum call_state { CALL_NEW, CALL_BODY, CALL_PART, CALL_DROPPING, CALL_QUEUED, CALL_ANSWERED };

/* One request, from its first line until its reply has left. */
struct call {
    struct workers_job job; /* first, so that a job is a call */
    struct http_server *server;
    struct MHD_Connection *connection;
    struct visit *visit;
    enum call_state state;
    const char *raw_uri; /* where the library keeps it; only for has_hidden_rest */
    size_t raw_uri_size;
    bool clean;        /* nothing in the URI that could mislead whoever reads or logs it */
    char *path;        /* owned; the query is its tail */
    const char *query; /* in path, or "" */
    const char *method;
    const char *accept; /* the library's, as long as the request lives */
    struct buf body;
    size_t length;       /* of all of it */
    size_t wanted;       /* at which the program is shown what there is of it */
    size_t progress;     /* the program's */
    size_t window_start; /* body.size when the deadline was last moved */
    struct http_reply reply;
    bool owed;
};

static struct visit *visit_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* A whole head has to come from here on, however its bytes are spread. */
static void await_head(struct http_server *server, struct visit *visit)
{
    cutoff_set(server->cutoff, &visit->cutoff,
               server->idle_timeout_s < HEADERS_S ? server->idle_timeout_s : HEADERS_S);
}

/* ---- replies ---- */

static void problem_reply(struct http_reply *reply, int code, int status, const char *what,
                          const char *hint)
{
    struct cairn_problem why = {0};
    (void)problem_set(&why, code, hint, "%s", what);
    http_reply_problem(reply, &why);
    reply->status = status;
}

static void stopping_reply(struct http_reply *reply)
{
    problem_reply(reply, CAIRN_ERR_BUSY, 503, "this node is stopping", "try again shortly");
    reply->retry_after_s = 1;
}

static void no_memory_reply(struct http_reply *reply)
{
    problem_reply(reply, CAIRN_ERR_NO_MEMORY, 503, "no memory for this request's body",
                  "try again shortly");
    reply->retry_after_s = 1;
}

static bool add_headers(struct MHD_Response *response, const struct call *call)
{
    const struct http_reply *reply = &call->reply;
    const char *type = reply->content_type ? reply->content_type : "application/json";
    bool ok = MHD_add_response_header(response, "Content-Type", type) == MHD_YES;
    if (reply->retry_after_s != 0) {
        char text[16];
        snprintf(text, sizeof text, "%u", reply->retry_after_s);
        ok = ok && MHD_add_response_header(response, "Retry-After", text) == MHD_YES;
    }
    if (reply->status == 405) {
        ok = ok && MHD_add_response_header(response, "Allow", "GET, POST") == MHD_YES;
    }
    if (atomic_load(&call->server->stopping)) {
        ok = ok && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    }
    return ok;
}

/* Hand the reply to the library. Its bytes stay the call's until on_completed. */
static enum MHD_Result send_reply(struct call *call)
{
    struct http_server *server = call->server;
    struct buf *body = &call->reply.body;
    if (call->reply.status == 0) {
        call->reply.status = 200;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body->size, body->size ? body->data : (void *)"", MHD_RESPMEM_PERSISTENT);
    if (!response) {
        return MHD_NO;
    }
    enum MHD_Result result = MHD_NO;
    if (add_headers(response, call)) {
        /* as for a body coming in: a reader slower than BODY_RATE is not waited for */
        cutoff_set(server->cutoff, &call->visit->cutoff,
                   server->idle_timeout_s + body->size / BODY_RATE);
        atomic_fetch_add(&server->sent, body->size);
        call->state = CALL_ANSWERED;
        result = MHD_queue_response(call->connection, (unsigned)call->reply.status, response);
    }
    MHD_destroy_response(response);
    return result;
}

/* ---- the head of a request ---- */

struct lengths {
    unsigned content_lengths;
    unsigned transfer_encodings;
    int64_t value; /* -1 without Content-Length, -2 when it is not a number of int64_t */
};

/* Digits only: no sign, no space, no list. */
static int64_t parse_length(const char *text)
{
    int64_t value = 0;
    if (!*text) {
        return -2;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *text - '0', &value)) {
            return -2;
        }
    }
    return value;
}

static enum MHD_Result count_lengths(void *cls, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    struct lengths *lengths = cls;
    (void)kind;
    if (strcasecmp(key, "Content-Length") == 0) {
        lengths->content_lengths++;
        lengths->value = parse_length(value ? value : "");
    } else if (strcasecmp(key, "Transfer-Encoding") == 0) {
        lengths->transfer_encodings++;
    }
    return MHD_YES;
}

/* Is it certain how long the body is? False: reply filled. Where two readers could disagree, one
 * request could be smuggled in another, so anything unusual is refused. */
static bool check_length(struct call *call, const struct lengths *lengths)
{
    struct http_reply *reply = &call->reply;
    if (lengths->content_lengths > 1 ||
        (lengths->content_lengths == 1 && lengths->transfer_encodings > 0)) {
        problem_reply(reply, CAIRN_ERR_MALFORMED, 400,
                      "the request says more than once how long its body is",
                      "send exactly one Content-Length and no Transfer-Encoding");
        return false;
    }
    if (lengths->transfer_encodings > 0 ||
        (lengths->content_lengths == 0 && strcmp(call->method, "POST") == 0)) {
        problem_reply(reply, CAIRN_ERR_NO_LENGTH, 411,
                      "the request does not say how long its body is",
                      "send Content-Length, not Transfer-Encoding");
        return false;
    }
    if (lengths->value == -2) {
        problem_reply(reply, CAIRN_ERR_MALFORMED, 400, "Content-Length is not a number",
                      "send it in decimal digits");
        return false;
    }
    return true;
}

/* The library hands over C strings, so a NUL byte in the request line would quietly cut the path.
 * The version stands behind the path, one byte apart; more than one, and something was cut. */
static bool has_hidden_rest(const struct call *call, const char *version)
{
    return (uintptr_t)version - (uintptr_t)call->raw_uri != call->raw_uri_size + 1;
}

static bool check_line(struct call *call, const char *method, const char *version)
{
    static const char *const known[] = {"GET", "POST"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(method, known[i]) == 0) {
            call->method = known[i];
        }
    }
    if (!call->method) {
        problem_reply(&call->reply, CAIRN_ERR_MALFORMED, 405, "only GET and POST are served here",
                      "use GET to read and POST to send");
        return false;
    }
    if (!call->clean || has_hidden_rest(call, version)) {
        problem_reply(&call->reply, CAIRN_ERR_MALFORMED, 400,
                      "the path is not one that can be asked for",
                      "a path begins with / and has no control characters");
        return false;
    }
    return true;
}

/* Ask the program. False: reply filled. */
static bool check_admitted(struct call *call, int64_t content_length)
{
    struct http_server *server = call->server;
    if (atomic_load(&server->stopping)) {
        stopping_reply(&call->reply);
        return false;
    }
    size_t allowed = server->app.admit(server->app.ctx, call->method, call->path, call->query,
                                       content_length, &call->reply);
    if (call->reply.status >= 400) {
        return false;
    }
    http_reply_release(&call->reply); /* whatever it holds, it is not a refusal */
    if (content_length > 0 && (uint64_t)content_length > allowed) {
        struct cairn_problem why = {0};
        (void)problem_set(&why, CAIRN_ERR_TOO_LONG,
                          "both ends must run the same config; the limit follows from it",
                          "a body of %" PRId64 " bytes, where at most %zu are allowed",
                          content_length, allowed);
        http_reply_problem(&call->reply, &why);
        return false;
    }
    return true;
}

static enum MHD_Result on_head(struct call *call, const char *method, const char *version)
{
    struct MHD_Connection *connection = call->connection;
    struct lengths lengths = {.value = -1};
    if (!call->visit) {
        return MHD_NO; /* there was no memory for it */
    }
    call->accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_lengths, &lengths);
    if (!check_line(call, method, version) || !check_length(call, &lengths) ||
        !check_admitted(call, lengths.value)) {
        call->visit->unread = lengths.content_lengths + lengths.transfer_encodings > 0;
        return send_reply(call);
    }
    call->state = CALL_BODY;
    call->length = lengths.value > 0 ? (size_t)lengths.value : 0;
    call->wanted = call->server->app.part ? HTTP_PART_FROM : SIZE_MAX;
    cutoff_set(call->server->cutoff, &call->visit->cutoff, BODY_WINDOW_S);
    return MHD_YES;
}

/* ---- its body, and the handler ---- */

static void enqueue_part(struct call *call);

/* Bytes of the body. The buffer doubles with what has really come, so an announced length costs
 * nothing until it is sent. */
static void on_body(struct call *call, const char *bytes, size_t size)
{
    atomic_fetch_add(&call->server->received, size);
    if (call->state == CALL_DROPPING) {
        return;
    }
    if (buf_append(&call->body, bytes, size)) {
        buf_release(&call->body);
        no_memory_reply(&call->reply);
        call->state = CALL_DROPPING; /* the library takes no reply in mid-body */
        return;
    }
    if (call->body.size - call->window_start >= (size_t)BODY_RATE * BODY_WINDOW_S) {
        call->window_start = call->body.size;
        cutoff_set(call->server->cutoff, &call->visit->cutoff, BODY_WINDOW_S);
    }
    if (call->body.size >= call->wanted && call->body.size < call->length) {
        enqueue_part(call);
    }
}

static struct http_request request_of(struct call *call)
{
    return (struct http_request){.method = call->method,
                                 .path = call->path,
                                 .query = call->query,
                                 .peer = call->visit->peer,
                                 .accept = call->accept ? call->accept : "",
                                 .body = buf_span(&call->body),
                                 .progress = &call->progress};
}

/* On a worker. */
static void run_part(struct call *call)
{
    struct http_server *server = call->server;
    const struct http_request request = request_of(call);
    call->wanted =
        atomic_load(&server->stopping) ? SIZE_MAX : server->app.part(server->app.ctx, &request);
    call->state = CALL_BODY;
    MHD_resume_connection(call->connection);
}

/* On a worker. */
static void run_call(struct workers_job *job)
{
    struct call *call = (struct call *)job;
    struct http_server *server = call->server;
    if (call->state == CALL_PART) {
        run_part(call);
        return;
    }
    if (atomic_load(&server->stopping)) {
        stopping_reply(&call->reply);
    } else {
        const struct http_request request = request_of(call);
        server->app.handle(server->app.ctx, &request, &call->reply);
    }
    buf_release(&call->body);
    /* from here on the byte thread may end the call at any moment */
    MHD_resume_connection(call->connection);
}

static void count_owed(struct http_server *server, bool more)
{
    pthread_mutex_lock(&server->mutex);
    if (more) {
        server->owed++;
    } else if (--server->owed == 0) {
        pthread_cond_signal(&server->settled);
    }
    pthread_mutex_unlock(&server->mutex);
}

/* The deadline stays as it is: a worker is soon done with a part, and the peer is not asked to wait long. */
static void enqueue_part(struct call *call)
{
    call->state = CALL_PART;
    MHD_suspend_connection(call->connection);
    if (!workers_push(call->server->workers, &call->job)) {
        call->state = CALL_BODY;
        call->wanted = SIZE_MAX;
        MHD_resume_connection(call->connection);
    }
}

/* The request is whole. */
static void submit(struct call *call)
{
    struct http_server *server = call->server;
    cutoff_set(server->cutoff, &call->visit->cutoff, 0); /* a handler takes as long as it takes */
    call->state = CALL_QUEUED;
    call->owed = true;
    count_owed(server, true);
    /* first suspend: a worker may be done before workers_push has returned */
    MHD_suspend_connection(call->connection);
    if (!workers_push(server->workers, &call->job)) {
        stopping_reply(&call->reply);
        MHD_resume_connection(call->connection);
    }
}

/* ---- called by the library, all on its one thread ---- */

/* The library calls this once per step of a request: when the head is there, for each run of body
 * bytes, when the body has ended, and again after the connection was resumed. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    struct call *call = *context;
    (void)cls;
    (void)connection;
    (void)url;
    if (!call) {
        return MHD_NO; /* there was no memory for it in on_line */
    }
    if (call->state == CALL_NEW) {
        return on_head(call, method, version);
    }
    if (*upload_size != 0) {
        on_body(call, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (call->state == CALL_BODY) {
        submit(call);
        return MHD_YES;
    }
    return send_reply(call);
}

static bool is_clean(const char *uri)
{
    for (const char *c = uri; *c; c++) {
        if ((unsigned char)*c <= 0x20 || *c == 0x7f) {
            return false;
        }
    }
    return uri[0] == '/' && !strstr(uri, "%00");
}

/* The first line has come. The library is about to take the URI apart, so keep it as it was sent:
 * paths are compared as they are, without unescaping. */
static void *on_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct call *call = calloc(1, sizeof *call);
    char *copy = call && uri ? strdup(uri) : NULL;
    if (!copy) {
        free(call);
        return NULL;
    }
    call->server = cls;
    call->connection = connection;
    call->visit = visit_of(connection);
    if (call->visit) {
        await_head(call->server, call->visit);
    }
    call->raw_uri = uri;
    call->raw_uri_size = strlen(uri);
    call->clean = is_clean(uri);
    call->path = copy;
    call->query = "";
    char *mark = strchr(copy, '?');
    if (mark) {
        *mark = 0;
        call->query = mark + 1;
    }
    return call;
}

static size_t leave_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

/* The reply has left, or the connection is lost, or the server stops. */
static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct http_server *server = cls;
    struct call *call = *context;
    (void)connection;
    (void)how;
    if (!call) {
        return;
    }
    *context = NULL;
    if (call->visit) {
        /* idle until the library's own timeout, then as long as a head may take */
        cutoff_set(server->cutoff, &call->visit->cutoff, server->idle_timeout_s + HEADERS_S);
    }
    if (call->owed) {
        count_owed(server, false);
    }
    buf_release(&call->body);
    http_reply_release(&call->reply);
    free(call->path);
    free(call);
}

static void name_peer(struct visit *visit, struct MHD_Connection *connection)
{
    static const char mapped[] = "::ffff:"; /* IPv4 seen through an IPv6 socket */
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr) {
        return;
    }
    socklen_t size = info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                              : sizeof(struct sockaddr_in);
    if (getnameinfo(info->client_addr, size, visit->peer, sizeof visit->peer, NULL, 0,
                    NI_NUMERICHOST) != 0) {
        visit->peer[0] = 0;
    }
    if (strncmp(visit->peer, mapped, sizeof mapped - 1) == 0 && strchr(visit->peer, '.')) {
        memmove(visit->peer, visit->peer + sizeof mapped - 1,
                strlen(visit->peer + sizeof mapped - 1) + 1);
    }
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = cls;
    struct visit *visit = *context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (visit) {
            if (visit->unread) {
                cutoff_linger(server->cutoff, visit->cutoff.fd);
            }
            cutoff_remove(server->cutoff, &visit->cutoff);
            free(visit);
            *context = NULL;
        }
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    visit = calloc(1, sizeof *visit);
    if (!visit || !info) {
        free(visit);
        return; /* on_head closes the connection */
    }
    name_peer(visit, connection);
    cutoff_add(server->cutoff, &visit->cutoff, info->connect_fd);
    await_head(server, visit);
    *context = visit;
}

/* ---- start and stop ---- */

/* Connections at once: what was asked for, but at most three quarters of the descriptors that this
 * process may still open. The rest is for files and for asking other nodes. 0: too few to serve
 * anybody; the library would listen all the same, and wait for descriptors at full speed. */
static unsigned connection_limit(int listener, unsigned wanted)
{
    struct rlimit files;
    const unsigned limit = wanted ? wanted : DEFAULT_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) {
        return limit;
    }
    const int next = fcntl(listener, F_DUPFD_CLOEXEC, 0); /* so many are in use */
    if (next < 0) {
        return 0;
    }
    close(next);
    const rlim_t used = (rlim_t)next + LIBRARY_DESCRIPTORS;
    const rlim_t left = files.rlim_cur > used ? files.rlim_cur - used : 0;
    return left < FEWEST_DESCRIPTORS ? 0 : left / 4 * 3 < limit ? (unsigned)(left / 4 * 3) : limit;
}

/* Takes fd over. */
static int start_daemon(struct http_server *server, int fd, unsigned connections)
{
    /* one address gets at most three quarters of the places, so that none can have them all */
    unsigned per_address = connections - connections / 4;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)connections, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, (intptr_t)per_address, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)server->idle_timeout_s, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_POOL, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_line, server},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_escaped, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, server},
        {MHD_OPTION_END, 0, NULL}};
    server->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                         on_request, server, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    return server->daemon ? CAIRN_OK : CAIRN_ERR_ENVIRONMENT;
}

static void free_server(struct http_server *server)
{
    cutoff_stop(server->cutoff);
    workers_free(server->workers);
    pthread_cond_destroy(&server->settled);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

static struct http_server *new_server(const struct http_server_options *options,
                                      const struct http_app *app)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (!server) {
        return NULL;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&server->settled, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&server->mutex, NULL);
    server->app = *app;
    server->idle_timeout_s = options->idle_timeout_s ? options->idle_timeout_s : DEFAULT_IDLE_S;
    return server;
}

int http_server_start(const struct http_server_options *options, const struct http_app *app,
                      struct http_server **out, struct cairn_problem *why)
{
    *out = NULL;
    struct http_server *server = new_server(options, app);
    if (!server) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for an HTTP server");
    }
    int fd;
    int error = listen_open(options->listen, options->port, &fd, &server->port, why);
    if (error) {
        free_server(server);
        return error;
    }
    const unsigned connections = connection_limit(fd, options->max_connections);
    if (connections == 0) {
        close(fd);
        free_server(server);
        return problem_set(
            why, CAIRN_ERR_ENVIRONMENT, "raise the limit of open files: ulimit -n 1024",
            "cannot start the HTTP server on %s: too few files may be open", options->listen);
    }
    error = cutoff_start(&server->cutoff);
    if (!error) {
        error = workers_start(options->workers ? options->workers : DEFAULT_WORKERS, run_call,
                              &server->workers);
    }
    if (!error) {
        /* When this fails the library has closed fd in some cases and not in others; the process
         * is out of memory or threads then, and closing another's descriptor would be worse. */
        error = start_daemon(server, fd, connections);
    } else {
        close(fd);
    }
    if (error) {
        if (server->workers) {
            workers_stop(server->workers);
        }
        free_server(server);
        return problem_set(why, error, "check ulimit -u (threads) and ulimit -n (files)",
                           "cannot start the HTTP server on %s: no threads or no memory",
                           options->listen);
    }
    *out = server;
    return CAIRN_OK;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_traffic(const struct http_server *server, uint64_t *received, uint64_t *sent)
{
    *received = atomic_load(&server->received);
    *sent = atomic_load(&server->sent);
}

/* Until the last reply has left, or DRAIN_S. */
static void drain(struct http_server *server)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += DRAIN_S;
    pthread_mutex_lock(&server->mutex);
    while (server->owed > 0 &&
           pthread_cond_timedwait(&server->settled, &server->mutex, &until) == 0) {
    }
    pthread_mutex_unlock(&server->mutex);
}

void http_server_stop(struct http_server *server)
{
    if (!server) {
        return;
    }
    /* New requests get 503 and a closed connection from here on. The socket goes on listening:
     * MHD_quiesce_daemon races with the library's thread, which then aborts the program. */
    atomic_store(&server->stopping, true);
    workers_stop(server->workers); /* resumes every suspended connection; see submit */
    drain(server);
    MHD_stop_daemon(server->daemon);
    free_server(server);
}
