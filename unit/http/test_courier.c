/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The courier as what it is: many exchanges under way at once, begun and given up from any thread.
 * What becomes of one exchange is in test_transfer.c. Kept short: ThreadSanitizer runs all of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <netdb.h>

#include "http_probe.h"

/* How many have ended, and a bell for who waits for it. */
struct landing {
    pthread_mutex_t mutex;
    pthread_cond_t bell;
    unsigned landed;
    unsigned failed; /* of them */
};

/* clang-format off */
#define LANDING {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0}
/* clang-format on */

static void land(void *ctx, struct http_exchange *x)
{
    struct landing *landing = ctx;
    pthread_mutex_lock(&landing->mutex);
    landing->landed++;
    landing->failed += x->error != 0;
    pthread_cond_broadcast(&landing->bell);
    pthread_mutex_unlock(&landing->mutex);
}

static unsigned landed(struct landing *landing)
{
    pthread_mutex_lock(&landing->mutex);
    unsigned n = landing->landed;
    pthread_mutex_unlock(&landing->mutex);
    return n;
}

static void wait_for(struct landing *landing, unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&landing->mutex);
    while (landing->landed < n) {
        assert_int_equal(pthread_cond_timedwait(&landing->bell, &landing->mutex, &until), 0);
    }
    assert_int_equal(landing->landed, n);
    pthread_mutex_unlock(&landing->mutex);
}

static struct http_courier *new_courier(void)
{
    struct http_courier *courier;
    assert_int_equal(http_courier_new(NULL, &courier), 0);
    return courier;
}

static void write_address(char address[32], uint16_t port)
{
    assert_int_not_equal(port, 0);
    snprintf(address, 32, "127.0.0.1:%u", (unsigned)port);
}

/* A socket whose connections the kernel makes, and from which nobody reads. */
static int deaf_listener(char address[32], int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    write_address(address, ntohs(at.sin_port));
    return fd;
}

static void assert_given_up(const struct http_exchange *x)
{
    assert_int_equal(x->error, CAIRN_ERR_NETWORK);
    assert_non_null(strstr(x->what, "given up"));
    assert_non_null(strstr(x->what, x->address));
    assert_int_equal(x->status, 0);
    assert_null(x->answer.data);
}

/* ---- many at once ---- */

enum { SENDERS = 4, EACH = 100, BODY = 5000 };

struct sender {
    struct http_courier *courier;
    const char *address;
    struct http_exchange list[EACH];
    uint8_t bodies[EACH][BODY];
    struct landing landing;
};

static void *send_many(void *arg)
{
    struct sender *s = arg;
    for (unsigned i = 0; i < EACH; i++) {
        memset(s->bodies[i], (int)i, BODY);
        s->list[i] = (struct http_exchange){.address = s->address,
                                            .method = "POST",
                                            .path = "/echo",
                                            .body = {s->bodies[i], BODY - i}};
        http_courier_send(s->courier, &s->list[i], land, &s->landing);
    }
    return NULL;
}

static void test_courier__many_threads_send_many(void **state)
{
    (void)state;
    int base = probe_descriptors();
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier();
    static struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.courier = courier, .address = address, .landing = LANDING};
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        wait_for(&senders[i].landing, EACH);
        for (unsigned k = 0; k < EACH; k++) {
            struct http_exchange *x = &senders[i].list[k];
            assert_int_equal(x->error, 0);
            assert_int_equal(x->status, 200);
            assert_int_equal(x->sent, BODY - k);
            assert_int_equal(x->answer.size, BODY - k);
            assert_memory_equal(x->answer.data, senders[i].bodies[k], BODY - k);
            http_exchange_release(x);
        }
    }
    http_courier_free(courier);
    http_server_stop(probe.server);
    assert_int_equal(probe_descriptors(), base);
}

static void test_courier__a_slow_one_holds_up_nobody(void **state)
{
    (void)state;
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier();
    struct landing slow_landing = LANDING;
    struct http_exchange slow = {.address = address, .method = "GET", .path = "/slow?700"};
    http_courier_send(courier, &slow, land, &slow_landing);
    for (int i = 0; i < 50; i++) {
        struct http_exchange x = {.address = address, .method = "GET", .path = "/x"};
        http_courier_exchange(courier, &x, 1);
        assert_int_equal(x.error, 0);
        http_exchange_release(&x);
    }
    assert_int_equal(landed(&slow_landing), 0);
    wait_for(&slow_landing, 1);
    assert_int_equal(slow.error, 0);
    assert_string_equal(buf_text(&slow.answer), "slept");
    http_exchange_release(&slow);
    http_courier_free(courier);
    http_server_stop(probe.server);
}

/* One connection for exchanges that come one after the other: its two ends are what is open. */
static void test_courier__connections_are_kept_and_used_again(void **state)
{
    (void)state;
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier();
    int base = probe_descriptors();
    for (int i = 0; i < 40; i++) {
        struct landing landing = LANDING;
        struct http_exchange x = {.address = address,
                                  .method = i % 2 ? "GET" : "POST",
                                  .path = "/count",
                                  .timeout_s = 5,
                                  .body = {(const uint8_t *)"x", i % 2 ? 0 : 1}};
        http_courier_send(courier, &x, land, &landing);
        wait_for(&landing, 1);
        assert_int_equal(x.error, 0);
        assert_int_equal(probe_descriptors(), base + 2);
        http_exchange_release(&x);
    }
    http_courier_free(courier);
    http_server_stop(probe.server);
}

/* ---- sending from done ---- */

struct chain {
    struct http_courier *courier;
    struct http_exchange x;
    const char *address;
    unsigned left;
    struct landing landing;
};

static void send_next(void *ctx, struct http_exchange *x)
{
    struct chain *chain = ctx;
    if (x->error || --chain->left == 0) {
        land(&chain->landing, x);
        return;
    }
    http_exchange_release(x);
    *x = (struct http_exchange){.address = chain->address, .method = "GET", .path = "/chain"};
    http_courier_send(chain->courier, x, send_next, chain);
}

static void test_courier__done_sends_the_next(void **state)
{
    (void)state;
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier();
    struct chain chain = {.courier = courier, .address = address, .left = 50, .landing = LANDING};
    chain.x = (struct http_exchange){.address = address, .method = "GET", .path = "/chain"};
    http_courier_send(courier, &chain.x, send_next, &chain);
    wait_for(&chain.landing, 1);
    assert_int_equal(chain.landing.failed, 0);
    assert_int_equal(atomic_load(&probe.handled), 50);
    http_exchange_release(&chain.x);
    http_courier_free(courier);
    http_server_stop(probe.server);
}

static void send_same(void *ctx, struct http_exchange *x)
{
    struct chain *chain = ctx;
    if (strstr(x->what, "given up")) {
        land(&chain->landing, x);
        return;
    }
    http_courier_send(chain->courier, x, send_same, chain);
}

/* One that fails at once and is sent again for ever leaves the others their turn, and its end is
 * waited for even though it was sent again meanwhile. */
static void test_courier__one_that_is_always_sent_again(void **state)
{
    (void)state;
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier();
    struct chain chain = {.courier = courier, .landing = LANDING};
    chain.x = (struct http_exchange){.address = "no address", .method = "GET", .path = "/"};
    http_courier_send(courier, &chain.x, send_same, &chain);
    struct http_exchange x = {.address = address, .method = "GET", .path = "/x", .timeout_s = 10};
    http_courier_exchange(courier, &x, 1);
    assert_int_equal(x.error, 0);
    http_exchange_release(&x);
    http_courier_cancel(courier, &chain.x);
    assert_int_equal(landed(&chain.landing), 1);
    http_courier_send(courier, &chain.x, send_same, &chain);
    http_courier_free(courier);
    assert_int_equal(chain.landing.landed, 2);
    http_server_stop(probe.server);
}

/* ---- giving up ---- */

/* Send to `address`, let it get as far as it gets in `ms`, cancel. */
static void give_up_after(const char *address, struct span body, unsigned ms)
{
    struct http_courier *courier = new_courier();
    struct landing landing = LANDING;
    struct http_exchange x = {.address = address,
                              .method = body.size ? "POST" : "GET",
                              .path = "/slow?400",
                              .body = body};
    http_courier_send(courier, &x, land, &landing);
    probe_sleep_ms(ms);
    assert_int_equal(landed(&landing), 0);
    uint64_t start_ns = clock_now_ns(&clock_system);
    http_courier_cancel(courier, &x);
    assert_true(probe_seconds_since(start_ns) < 0.3);
    assert_int_equal(landed(&landing), 1); /* when cancel returns, not some time later */
    assert_given_up(&x);
    assert_true(x.sent < body.size || body.size <= 5);
    http_courier_cancel(courier, &x);
    assert_int_equal(landed(&landing), 1);
    http_courier_free(courier);
    assert_int_equal(landed(&landing), 1);
}

static void test_courier__gives_up_while_connecting(void **state)
{
    (void)state;
    char address[32];
    int fillers[3];
    int listener = deaf_listener(address, 0);
    /* as in test_transfer.c: the queue of length 0 is full, the fourth never connects */
    for (int i = 0; i < 3; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET};
        at.sin_port = htons((uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10));
        inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (struct sockaddr *)&at, sizeof at);
    }
    give_up_after(address, (struct span){NULL, 0}, 100);
    for (int i = 0; i < 3; i++) {
        close(fillers[i]);
    }
    close(listener);
}

static void test_courier__gives_up_in_the_middle_of_the_body(void **state)
{
    (void)state;
    enum { SIZE = 30000000 };
    char address[32];
    int listener = deaf_listener(address, 8);
    uint8_t *body = calloc(1, SIZE);
    assert_non_null(body);
    give_up_after(address, (struct span){body, SIZE}, 100); /* waits for "100 Continue" */
    give_up_after(address, (struct span){body, SIZE}, 700); /* sends without */
    free(body);
    close(listener);
}

static void test_courier__gives_up_waiting_for_the_answer(void **state)
{
    (void)state;
    int base = probe_descriptors();
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    give_up_after(address, (struct span){(const uint8_t *)"hello", 5}, 100);
    http_server_stop(probe.server);
    assert_int_equal(probe_descriptors(), base);
}

/* A peer that begins to answer and then says nothing more. */
static void *answer_by_half(void *arg)
{
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    char request[1000];
    const int *listener = arg;
    int fd = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
    (void)recv(fd, request, sizeof request, 0);
    probe_send(fd, half, sizeof half - 1);
    (void)recv(fd, request, sizeof request, 0); /* until the other end closes */
    close(fd);
    return NULL;
}

static void test_courier__gives_up_in_the_middle_of_the_answer(void **state)
{
    (void)state;
    char address[32];
    int listener = deaf_listener(address, 8);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_by_half, &listener), 0);
    give_up_after(address, (struct span){NULL, 0}, 200);
    pthread_join(thread, NULL);
    close(listener);
}

/* At once: often before the courier's thread has seen it. */
static void test_courier__gives_up_what_was_just_sent(void **state)
{
    (void)state;
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier();
    struct landing landing = LANDING;
    for (unsigned i = 0; i < 200; i++) {
        struct http_exchange x = {.address = address, .method = "GET", .path = "/x"};
        http_courier_send(courier, &x, land, &landing);
        if (i % 2) {
            probe_sleep_ms(i % 4); /* 1 or 3: it is under way, or just ending, or done */
        }
        http_courier_cancel(courier, &x);
        assert_int_equal(landed(&landing), i + 1);
        if (x.error) {
            assert_given_up(&x);
        }
        http_exchange_release(&x);
    }
    http_courier_free(courier);
    http_server_stop(probe.server);
}

static void test_courier__giving_one_up_leaves_the_others(void **state)
{
    (void)state;
    enum { N = 12 };
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier();
    struct landing landing = LANDING;
    struct http_exchange list[N];
    for (int i = 0; i < N; i++) {
        list[i] = (struct http_exchange){.address = address, .method = "GET", .path = "/slow?300"};
        http_courier_send(courier, &list[i], land, &landing);
    }
    for (int i = 0; i < N; i += 3) {
        http_courier_cancel(courier, &list[i]);
        assert_given_up(&list[i]);
    }
    wait_for(&landing, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(list[i].error, i % 3 ? 0 : CAIRN_ERR_NETWORK);
        http_exchange_release(&list[i]);
    }
    struct http_exchange never_sent = {.address = address};
    http_courier_cancel(courier, &never_sent);
    http_courier_free(courier);
    http_server_stop(probe.server);
}

static void test_courier__free_gives_up_what_is_under_way(void **state)
{
    (void)state;
    enum { N = 10 };
    int base = probe_descriptors();
    char address[32];
    int listener = deaf_listener(address, N);
    static uint8_t body[3000000];
    struct http_courier *courier = new_courier();
    struct landing landing = LANDING;
    struct http_exchange list[2 * N];
    for (int i = 0; i < 2 * N; i++) {
        list[i] = (struct http_exchange){.address = address, .method = "POST", .path = "/x"};
        list[i].body = (struct span){body, i % 2 ? 10 : sizeof body};
        if (i == N) {
            probe_sleep_ms(50); /* half of them are under way, half have not been looked at */
        }
        http_courier_send(courier, &list[i], land, &landing);
    }
    uint64_t start_ns = clock_now_ns(&clock_system);
    http_courier_free(courier);
    assert_true(probe_seconds_since(start_ns) < 0.5);
    assert_int_equal(landing.landed, 2 * N);
    for (int i = 0; i < 2 * N; i++) {
        assert_given_up(&list[i]);
    }
    close(listener);
    assert_int_equal(probe_descriptors(), base);
}

static void test_courier__peer_that_never_answers_times_out(void **state)
{
    (void)state;
    char address[32];
    int listener = deaf_listener(address, 8);
    struct http_courier *courier = new_courier();
    struct http_exchange list[2] = {
        {.address = address, .method = "GET", .path = "/x", .timeout_s = 1},
        {.address = address, .method = "GET", .path = "/x", .timeout_s = 2},
    };
    uint64_t start_ns = clock_now_ns(&clock_system);
    http_courier_exchange(courier, list, 2);
    double s = probe_seconds_since(start_ns);
    assert_true(s > 1.9 && s < 2.5);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(list[i].error, CAIRN_ERR_TIMEOUT);
        assert_non_null(strstr(list[i].what, i ? "longer than 2 s" : "longer than 1 s"));
    }
    http_courier_free(courier);
    close(listener);
}

/* ---- a name server that takes its time ---- */

__attribute__((visibility("default"))) int getaddrinfo(const char *restrict node,
                                                       const char *restrict service,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict out);

/* libcurl's, too: the program's own symbol comes first. */
int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    if (node && strcmp(node, "slow.invalid") == 0) {
        probe_sleep_ms(2500);
        return EAI_NONAME;
    }
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, out);
}

static void test_courier__a_name_that_resolves_slowly_holds_up_nobody(void **state)
{
    (void)state;
    struct probe probe = {0};
    char address[32];
    write_address(address, probe_start_at(&probe, (struct http_server_options){0}));
    struct http_courier *courier = new_courier();
    struct landing landing = LANDING;
    struct http_exchange slow[2] = {
        {.address = "slow.invalid:5000", .method = "GET", .path = "/", .timeout_s = 1},
        {.address = "slow.invalid:5000", .method = "GET", .path = "/"},
    };
    http_courier_send(courier, &slow[0], land, &landing);
    http_courier_send(courier, &slow[1], land, &landing);
    probe_sleep_ms(100);
    uint64_t start_ns = clock_now_ns(&clock_system);
    http_courier_cancel(courier, &slow[1]);
    assert_true(probe_seconds_since(start_ns) < 0.3);
    assert_given_up(&slow[1]);
    for (int i = 0; i < 20; i++) { /* the first times out meanwhile */
        struct http_exchange x = {.address = address, .method = "GET", .path = "/x"};
        start_ns = clock_now_ns(&clock_system);
        http_courier_exchange(courier, &x, 1);
        assert_int_equal(x.error, 0);
        assert_true(probe_seconds_since(start_ns) < 0.3);
        http_exchange_release(&x);
        probe_sleep_ms(75);
    }
    wait_for(&landing, 2);
    assert_int_equal(slow[0].error, CAIRN_ERR_TIMEOUT);
    http_courier_free(courier);
    probe_sleep_ms(1500); /* the resolver's threads end, or they would count as leaks */
    http_server_stop(probe.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_courier__many_threads_send_many),
        cmocka_unit_test(test_courier__a_slow_one_holds_up_nobody),
        cmocka_unit_test(test_courier__connections_are_kept_and_used_again),
        cmocka_unit_test(test_courier__done_sends_the_next),
        cmocka_unit_test(test_courier__one_that_is_always_sent_again),
        cmocka_unit_test(test_courier__gives_up_while_connecting),
        cmocka_unit_test(test_courier__gives_up_in_the_middle_of_the_body),
        cmocka_unit_test(test_courier__gives_up_waiting_for_the_answer),
        cmocka_unit_test(test_courier__gives_up_in_the_middle_of_the_answer),
        cmocka_unit_test(test_courier__gives_up_what_was_just_sent),
        cmocka_unit_test(test_courier__giving_one_up_leaves_the_others),
        cmocka_unit_test(test_courier__free_gives_up_what_is_under_way),
        cmocka_unit_test(test_courier__peer_that_never_answers_times_out),
        cmocka_unit_test(test_courier__a_name_that_resolves_slowly_holds_up_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
