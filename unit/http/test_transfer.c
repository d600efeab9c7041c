/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_probe.h"

static struct http_courier *new_courier(struct http_client_options options)
{
    struct http_courier *courier;
    assert_int_equal(http_courier_new(&options, &courier), 0);
    return courier;
}

static void write_address(char address[32], const char *host, uint16_t port)
{
    snprintf(address, 32, "%s:%u", host, (unsigned)port);
}

/* A peer that does one thing to one connection. */
struct peer {
    int listener;
    uint16_t port;
    const char *answer; /* NULL = say nothing until `hold_ms` has passed */
    unsigned hold_ms;
    pthread_t thread;
};

static void *run_peer(void *arg)
{
    struct peer *peer = arg;
    char request[4096];
    int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
    ssize_t n = recv(fd, request, sizeof request, 0);
    if (n > 0 && peer->answer) {
        probe_send(fd, peer->answer, strlen(peer->answer));
    }
    probe_sleep_ms(peer->hold_ms);
    close(fd);
    return NULL;
}

static void open_listener(struct peer *peer, int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(peer->listener, backlog), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&at, &size), 0);
    peer->port = ntohs(at.sin_port);
}

static void start_peer(struct peer *peer)
{
    open_listener(peer, 8);
    assert_int_equal(pthread_create(&peer->thread, NULL, run_peer, peer), 0);
}

static void end_peer(struct peer *peer)
{
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

/* Ask `host:port` for /x and return the error; its text goes to `what`. */
static int ask(uint16_t port, struct http_client_options options, unsigned timeout_s,
               char what[200])
{
    struct http_courier *courier = new_courier(options);
    char address[32];
    write_address(address, "127.0.0.1", port);
    struct http_exchange x = {
        .address = address, .method = "GET", .path = "/x", .timeout_s = timeout_s};
    http_courier_exchange(courier, &x, 1);
    memcpy(what, x.what, sizeof x.what);
    int error = x.error;
    if (error) {
        assert_int_equal(x.answer.size, 0);
        assert_non_null(strstr(what, address));
    }
    http_exchange_release(&x);
    http_courier_free(courier);
    return error;
}

static void test_transfer__five_megabytes_both_ways_counted_exactly(void **state)
{
    (void)state;
    enum { SIZE = 5 * 1000 * 1000 + 7 };
    int base = probe_descriptors();
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    assert_int_not_equal(port, 0);
    struct http_courier *courier = new_courier((struct http_client_options){0});
    char address[32];
    write_address(address, "127.0.0.1", port);
    uint8_t *body = malloc(SIZE);
    assert_non_null(body);
    for (size_t i = 0; i < SIZE; i++) {
        body[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    uint64_t expected = 0;
    static const size_t sizes[] = {0, 1, 1000, 64 * 1024, 1024 * 1024, 1024 * 1024 + 1, SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct http_exchange x = {
            .address = address, .method = "POST", .path = "/echo", .body = {body, sizes[i]}};
        http_courier_exchange(courier, &x, 1);
        assert_int_equal(x.error, 0);
        assert_int_equal(x.status, 200);
        assert_int_equal(x.answer.size, sizes[i]);
        assert_true(sizes[i] == 0 || memcmp(x.answer.data, body, sizes[i]) == 0);
        assert_int_equal(x.sent, sizes[i]);
        http_exchange_release(&x);
        expected += sizes[i];
    }
    uint64_t received = 0;
    uint64_t sent = 0;
    http_server_traffic(probe.server, &received, &sent);
    assert_int_equal(received, expected);
    assert_int_equal(sent, expected);
    free(body);
    http_courier_free(courier);
    http_server_stop(probe.server);
    assert_int_equal(probe_descriptors(), base);
}

static void test_transfer__twenty_exchanges_run_side_by_side(void **state)
{
    (void)state;
    enum { N = 20, SLEEP_MS = 200 };
    int base = probe_descriptors();
    struct probe probes[2] = {0};
    char addresses[2][32];
    for (int i = 0; i < 2; i++) {
        const char *host = i ? "127.0.0.3" : "127.0.0.2";
        uint16_t port =
            probe_start_at(&probes[i], (struct http_server_options){.listen = host, .workers = N});
        assert_int_not_equal(port, 0);
        write_address(addresses[i], host, port);
    }
    struct http_courier *courier = new_courier((struct http_client_options){0});
    for (int again = 0; again < 3; again++) {
        struct http_exchange list[N];
        memset(list, 0xee, sizeof list); /* what is out need not be set */
        for (int i = 0; i < N; i++) {
            list[i].address = addresses[i % 2];
            list[i].method = i % 3 ? "POST" : "GET";
            list[i].path = "/slow?200";
            list[i].content_type = NULL;
            list[i].body = (struct span){(const uint8_t *)"abc", 3};
            list[i].timeout_s = 0;
        }
        uint64_t start_ns = clock_now_ns(&clock_system);
        http_courier_exchange(courier, list, N);
        /* one after the other they would take 4 s */
        assert_true(probe_seconds_since(start_ns) < 2.0);
        for (int i = 0; i < N; i++) {
            assert_int_equal(list[i].error, 0);
            assert_int_equal(list[i].status, 200);
            assert_memory_equal(list[i].answer.data, "slept", 5);
            assert_int_equal(list[i].retry_after_s, 0);
            http_exchange_release(&list[i]);
        }
    }
    http_courier_free(courier);
    http_server_stop(probes[0].server);
    http_server_stop(probes[1].server);
    assert_int_equal(probe_descriptors(), base);
}

static void test_transfer__refused_connection_says_so(void **state)
{
    (void)state;
    struct peer peer = {0};
    char what[200];
    open_listener(&peer, 1);
    close(peer.listener); /* now nothing listens there */
    assert_int_equal(ask(peer.port, (struct http_client_options){0}, 0, what), CAIRN_ERR_NETWORK);
    assert_non_null(strstr(what, "refused"));
}

static void test_transfer__connecting_times_out(void **state)
{
    (void)state;
    struct peer peer = {0};
    char what[200];
    int fillers[3];
    open_listener(&peer, 0);
    /* Two wait in a queue of length 0; the kernel drops the first packet of whoever comes then.
     * The third is such a one and never connects. */
    for (int i = 0; i < 3; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(peer.port)};
        inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (struct sockaddr *)&at, sizeof at);
    }
    uint64_t start_ns = clock_now_ns(&clock_system);
    struct http_client_options options = {.connect_timeout_s = 1};
    assert_int_equal(ask(peer.port, options, 0, what), CAIRN_ERR_TIMEOUT);
    assert_non_null(strstr(what, "timed out: no connection within 1 s"));
    assert_true(probe_seconds_since(start_ns) < 2.5);
    for (int i = 0; i < 3; i++) {
        close(fillers[i]);
    }
    close(peer.listener);
}

static void test_transfer__silent_peer_times_out(void **state)
{
    (void)state;
    struct peer peer = {.hold_ms = 1500};
    char what[200];
    start_peer(&peer);
    uint64_t start_ns = clock_now_ns(&clock_system);
    assert_int_equal(ask(peer.port, (struct http_client_options){0}, 1, what), CAIRN_ERR_TIMEOUT);
    assert_non_null(strstr(what, "timed out: GET /x took longer than 1 s"));
    assert_true(probe_seconds_since(start_ns) < 1.45);
    end_peer(&peer);
}

static void test_transfer__peers_that_misbehave(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int error;
        const char *says;
    } cases[] = {
        {"", CAIRN_ERR_NETWORK, "cut the connection"},
        {"HTTP/1.1 200 OK\r\nContent-Le", CAIRN_ERR_NETWORK, "cut the connection"},
        {"HTTP/1.1 100 Continue\r\n\r\n", CAIRN_ERR_NETWORK, "cut the connection"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", CAIRN_ERR_NETWORK,
         "cut the connection"},
        {"SSH-2.0-OpenSSH_9.2\r\n", CAIRN_ERR_NETWORK, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", CAIRN_ERR_NETWORK, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 0, ""},
        {"HTTP/1.1 200 OK\r\n\r\nuntil it closes", 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer peer = {.answer = cases[i].answer};
        char what[200];
        start_peer(&peer);
        int error = ask(peer.port, (struct http_client_options){0}, 5, what);
        if (error != cases[i].error || !strstr(what, cases[i].says)) {
            fail_msg("case %zu: error %d, \"%s\"", i, error, what);
        }
        end_peer(&peer);
    }
}

static void test_transfer__answer_too_long(void **state)
{
    (void)state;
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    struct http_courier *courier = new_courier((struct http_client_options){.max_answer = 1000});
    char address[32];
    write_address(address, "127.0.0.1", port);
    struct http_exchange list[] = {
        {.address = address, .method = "GET", .path = "/big?1000"},
        {.address = address, .method = "GET", .path = "/big?1001"},
        {.address = address, .method = "GET", .path = "/big?30000000"},
    };
    http_courier_exchange(courier, list, 3);
    assert_int_equal(list[0].error, 0);
    assert_int_equal(list[0].answer.size, 1000);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(list[i].error, CAIRN_ERR_TOO_LONG);
        assert_int_equal(list[i].status, 0);
        assert_non_null(strstr(list[i].what, "more than 1000 bytes"));
        assert_null(list[i].answer.data);
    }
    http_exchange_release(&list[0]);
    http_courier_free(courier);
    http_server_stop(probe.server);
}

static void test_transfer__survives_a_server_restart(void **state)
{
    (void)state;
    struct http_courier *courier = new_courier((struct http_client_options){0});
    struct http_server_options options = {0};
    char address[32];
    uint8_t *body = calloc(1, 2000000);
    assert_non_null(body);
    for (int i = 0; i < 6; i++) {
        struct probe probe = {0};
        options.port = probe_start_at(&probe, options); /* the first one's from then on */
        assert_int_not_equal(options.port, 0);
        write_address(address, "127.0.0.1", options.port);
        struct http_exchange list[3];
        for (int k = 0; k < 3; k++) {
            list[k] = (struct http_exchange){.address = address,
                                             .method = "POST",
                                             .path = "/count",
                                             .body = {body, k == 0 ? 10 : (size_t)k * 1000000}};
        }
        http_courier_exchange(courier, list, 3);
        for (int k = 0; k < 3; k++) {
            if (list[k].error) {
                fail_msg("after restart %d: %s", i, list[k].what);
            }
            assert_int_equal(list[k].status, 200);
            http_exchange_release(&list[k]);
        }
        assert_int_equal(atomic_load(&probe.handled), 3);
        http_server_stop(probe.server);
    }
    free(body);
    http_courier_free(courier);
}

static void test_transfer__status_retry_after_and_no_redirects(void **state)
{
    (void)state;
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    struct http_courier *courier = new_courier((struct http_client_options){0});
    char address[32];
    write_address(address, "127.0.0.1", port);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody there: must not be asked */
    struct http_exchange list[] = {
        {.address = address, .method = "GET", .path = "/busy"},
        {.address = address, .method = "GET", .path = "/moved"},
        {.address = address, .method = "GET", .path = "/closed"},
        {.address = address, .method = "GET", .path = "/a?b=c%20d&e"},
    };
    http_courier_exchange(courier, list, 4);
    unsetenv("http_proxy");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(list[i].error, 0);
    }
    assert_int_equal(list[0].status, 503);
    assert_int_equal(list[0].retry_after_s, 7);
    assert_int_equal(list[1].status, 302);
    assert_int_equal(list[2].status, 410);
    assert_non_null(strstr(buf_text(&list[2].answer), "round 7 is \\\"closed\\\""));
    assert_string_equal(buf_text(&list[3].answer), "GET|/a|b=c%20d&e|127.0.0.1|*/*|0");
    for (int i = 0; i < 4; i++) {
        http_exchange_release(&list[i]);
    }
    http_courier_free(courier);
    http_server_stop(probe.server);
}

/* On its query alone. Not a byte goes out: seen by who sends, and by who would have received. */
static void test_transfer__large_refused_body_is_not_sent(void **state)
{
    (void)state;
    enum { SIZE = 8000000 };
    static const char *const paths[] = {"/window?first=7", "/window", "/window?first=3"};
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    struct http_courier *courier = new_courier((struct http_client_options){0});
    char address[32];
    write_address(address, "127.0.0.1", port);
    uint8_t *body = calloc(1, SIZE);
    assert_non_null(body);
    for (int i = 0; i < 3; i++) {
        struct http_exchange x = {
            .address = address, .method = "POST", .path = paths[i], .body = {body, SIZE}};
        http_courier_exchange(courier, &x, 1);
        uint64_t received, sent;
        http_server_traffic(probe.server, &received, &sent);
        assert_int_equal(x.error, 0);
        assert_int_equal(x.status, i < 2 ? 503 : 200);
        assert_int_equal(x.retry_after_s, i < 2 ? 2 : 0);
        assert_int_equal(x.sent, i < 2 ? 0 : SIZE);
        assert_int_equal(received, i < 2 ? 0 : SIZE);
        assert_int_equal(atomic_load(&probe.handled), i < 2 ? 0 : 1);
        if (i < 2) {
            assert_string_equal(buf_text(&x.answer), i ? "{\"next\": 3, \"not\": \"\"}"
                                                       : "{\"next\": 3, \"not\": \"first=7\"}");
        }
        http_exchange_release(&x);
    }
    free(body);
    http_courier_free(courier);
    http_server_stop(probe.server);
}

/* A peer that says nothing to "Expect: 100-continue" and refuses when the body is on its way: it
 * reads `take` bytes of it, answers, and reads no more. */
struct refuser {
    struct peer peer;
    size_t take;
};

static void *refuse_in_mid_body(void *arg)
{
    struct refuser *refuser = arg;
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 4\r\n"
                                 "Content-Length: 11\r\n\r\n{\"next\": 3}";
    static char bytes[64 * 1024];
    int fd = accept4(refuser->peer.listener, NULL, NULL, SOCK_CLOEXEC);
    for (size_t had = 0; had < refuser->take;) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0) {
            break;
        }
        had += (size_t)n;
    }
    probe_send(fd, answer, sizeof answer - 1);
    probe_sleep_ms(refuser->peer.hold_ms);
    close(fd);
    return NULL;
}

static void test_transfer__answer_in_mid_body_ends_the_sending(void **state)
{
    (void)state;
    enum { SIZE = 60000000 };
    uint8_t *body = calloc(1, SIZE);
    assert_non_null(body);
    /* at once behind the head; while the body is under way */
    static const size_t takes[] = {1, 200000, 5000000};
    for (int i = 0; i < 3; i++) {
        struct refuser refuser = {.peer = {.hold_ms = 1500}, .take = takes[i]};
        open_listener(&refuser.peer, 8);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, refuse_in_mid_body, &refuser), 0);
        struct http_courier *courier = new_courier((struct http_client_options){0});
        char address[32];
        write_address(address, "127.0.0.1", refuser.peer.port);
        struct http_exchange x = {
            .address = address, .method = "POST", .path = "/x", .body = {body, SIZE}};
        uint64_t start_ns = clock_now_ns(&clock_system);
        http_courier_exchange(courier, &x, 1);
        assert_true(probe_seconds_since(start_ns) < 1.2); /* not when the peer closes */
        assert_int_equal(x.error, 0);
        assert_int_equal(x.status, 503);
        assert_int_equal(x.retry_after_s, 4);
        assert_string_equal(buf_text(&x.answer), "{\"next\": 3}");
        assert_true(i == 0 ? x.sent == 0 : x.sent < SIZE);
        http_exchange_release(&x);
        http_courier_free(courier);
        pthread_join(thread, NULL);
        close(refuser.peer.listener);
    }
    free(body);
}

/* Bodies up to 1 MiB are sent without asking. The answer to a refused one has to arrive although
 * the server closes with bytes unread. */
static void test_transfer__small_refused_body_still_gets_its_answer(void **state)
{
    (void)state;
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    struct http_courier *courier = new_courier((struct http_client_options){0});
    char address[32];
    write_address(address, "127.0.0.1", port);
    uint8_t *body = calloc(1, 1024 * 1024);
    assert_non_null(body);
    int lost = 0;
    for (int i = 0; i < 1000; i++) {
        struct http_exchange x = {.address = address,
                                  .method = "POST",
                                  .path = "/closed",
                                  .body = {body, i % 2 ? 1024 * 1024 : 100000}};
        http_courier_exchange(courier, &x, 1);
        lost += x.error || x.status != 410;
        http_exchange_release(&x);
    }
    if (lost) {
        fail_msg("%d of 1000 answers were lost", lost);
    }
    free(body);
    http_courier_free(courier);
    http_server_stop(probe.server);
}

static void note_time(void *ctx, struct http_exchange *x)
{
    (void)x;
    atomic_store((atomic_ullong *)ctx, clock_now_ns(&clock_system));
}

/* A peer that stops reading in mid-body is given up after 20 s; one whose handler thinks for longer
 * than that is waited for. */
static void test_transfer__tells_a_stalled_peer_from_a_thinking_one(void **state)
{
    (void)state;
    struct probe probe = {0};
    struct peer peer = {0};
    char thinking[32];
    char stalled[32];
    open_listener(&peer, 8); /* the kernel connects, nobody reads */
    write_address(stalled, "127.0.0.1", peer.port);
    write_address(thinking, "127.0.0.1", probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier((struct http_client_options){0});
    uint8_t *body = calloc(1, 30000000);
    assert_non_null(body);
    struct http_exchange list[] = {
        {.address = stalled, .method = "POST", .path = "/x", .body = {body, 30000000}},
        {.address = thinking, .method = "POST", .path = "/slow?23000", .body = {body, 2000000}},
    };
    atomic_ullong ended_ns = 0;
    uint64_t start_ns = clock_now_ns(&clock_system);
    http_courier_send(courier, &list[0], note_time, &ended_ns);
    http_courier_exchange(courier, &list[1], 1);
    double stalled_s = clock_seconds(start_ns, atomic_load(&ended_ns));
    assert_true(stalled_s > 20 && stalled_s < 22);
    assert_true(probe_seconds_since(start_ns) < 30);
    assert_int_equal(list[0].error, CAIRN_ERR_TIMEOUT);
    assert_non_null(strstr(list[0].what, "no byte moved for 20 s"));
    assert_int_equal(list[1].error, 0);
    assert_string_equal(buf_text(&list[1].answer), "slept");
    http_exchange_release(&list[0]);
    http_exchange_release(&list[1]);
    free(body);
    close(peer.listener);
    http_courier_free(courier);
    http_server_stop(probe.server);
}

static void test_transfer__odd_addresses_and_paths(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        const char *method;
        const char *path;
        int error;
    } cases[] = {
        {"", "GET", "/", CAIRN_ERR_NETWORK},
        {"127.0.0.1:1/x?", "GET", "/", CAIRN_ERR_NETWORK},
        {"user@127.0.0.1:1", "GET", "/", CAIRN_ERR_NETWORK},
        {"127.0.0.1:1#", "GET", "/", CAIRN_ERR_NETWORK},
        {"127.0.0.1:99999", "GET", "/", CAIRN_ERR_NETWORK},
        {"127.0.0.1:x", "GET", "/", CAIRN_ERR_NETWORK},
        {"a b:1", "GET", "/", CAIRN_ERR_NETWORK},
        {"127.0.0.1:1\r\nX: y", "GET", "/", CAIRN_ERR_NETWORK},
        {"127.0.0.1:1", "PUT", "/", CAIRN_ERR_BUG},
        {"127.0.0.1:1", "GET", "x", CAIRN_ERR_BUG},
        {"127.0.0.1:1", "GET", "/ HTTP/1.1\r\nX: y", CAIRN_ERR_BUG},
    };
    struct http_courier *courier = new_courier((struct http_client_options){0});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_exchange x = {
            .address = cases[i].address, .method = cases[i].method, .path = cases[i].path};
        http_courier_exchange(courier, &x, 1);
        const char *says = x.error == CAIRN_ERR_BUG ? "cannot be asked" : "is not an address";
        if (x.error != cases[i].error || !strstr(x.what, says)) {
            fail_msg("case %zu: error %d, \"%s\"", i, x.error, x.what);
        }
        http_exchange_release(&x);
    }
    http_courier_exchange(courier, NULL, 0);
    http_courier_free(courier);
    http_courier_free(NULL);
}

static void test_transfer__unknown_name_cannot_be_resolved(void **state)
{
    (void)state;
    struct http_courier *courier =
        new_courier((struct http_client_options){.connect_timeout_s = 2});
    struct http_exchange x = {.address = "no-such-name.invalid:5000", .method = "GET", .path = "/"};
    http_courier_exchange(courier, &x, 1);
    /* a machine whose name server does not answer sees a timeout instead */
    assert_true(x.error == CAIRN_ERR_NETWORK || x.error == CAIRN_ERR_TIMEOUT);
    assert_non_null(strstr(x.what, "no-such-name.invalid:5000"));
    http_exchange_release(&x);
    http_courier_free(courier);
}

static void *make_courier(void *arg)
{
    (void)arg;
    struct http_courier *courier = NULL;
    int error = http_courier_new(NULL, &courier);
    http_courier_free(courier);
    return error ? (void *)"failed" : NULL;
}

static void test_transfer__made_by_many_threads_at_once(void **state)
{
    (void)state;
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, make_courier, NULL), 0);
    }
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer__made_by_many_threads_at_once),
        cmocka_unit_test(test_transfer__five_megabytes_both_ways_counted_exactly),
        cmocka_unit_test(test_transfer__twenty_exchanges_run_side_by_side),
        cmocka_unit_test(test_transfer__refused_connection_says_so),
        cmocka_unit_test(test_transfer__connecting_times_out),
        cmocka_unit_test(test_transfer__silent_peer_times_out),
        cmocka_unit_test(test_transfer__peers_that_misbehave),
        cmocka_unit_test(test_transfer__answer_too_long),
        cmocka_unit_test(test_transfer__survives_a_server_restart),
        cmocka_unit_test(test_transfer__status_retry_after_and_no_redirects),
        cmocka_unit_test(test_transfer__large_refused_body_is_not_sent),
        cmocka_unit_test(test_transfer__answer_in_mid_body_ends_the_sending),
        cmocka_unit_test(test_transfer__small_refused_body_still_gets_its_answer),
        cmocka_unit_test(test_transfer__tells_a_stalled_peer_from_a_thinking_one),
        cmocka_unit_test(test_transfer__odd_addresses_and_paths),
        cmocka_unit_test(test_transfer__unknown_name_cannot_be_resolved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
