/* SPDX-License-Identifier: Apache-2.0 */
/* Flights over a transport that is told when to end what; its ends come from another thread. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "flight.h"

/* Ends what is sent to it on its own thread, or not at all until it is cancelled. */
struct transport {
    struct role_host host;
    bool at_once; /* before send returns */
    bool never;
    atomic_uint woken, cancelled;
    pthread_t thread;
    bool running;
    struct http_exchange *x;
    void (*done)(void *ctx, struct http_exchange *x);
    void *done_ctx;
};

static void finish(struct transport *t, int error)
{
    struct http_exchange *x = t->x;
    x->error = error;
    x->status = error == 0 ? 200 : 0;
    if (buf_append(&x->answer, "answer", 6) != 0) {
        abort();
    }
    t->x = NULL;
    t->done(t->done_ctx, x);
}

static void *finish_later(void *arg)
{
    const struct timespec moment = {.tv_nsec = 200000};
    nanosleep(&moment, NULL);
    finish(arg, 0);
    return NULL;
}

static void send(void *ctx, struct http_exchange *x,
                 void (*done)(void *done_ctx, struct http_exchange *x), void *done_ctx)
{
    struct transport *t = ctx;
    t->x = x;
    t->done = done;
    t->done_ctx = done_ctx;
    if (t->at_once) {
        finish(t, 0);
    } else if (!t->never) {
        t->running = pthread_create(&t->thread, NULL, finish_later, t) == 0;
        assert_true(t->running);
    }
}

static void cancel(void *ctx, struct http_exchange *x)
{
    struct transport *t = ctx;
    (void)x;
    t->cancelled++;
    if (t->running) {
        pthread_join(t->thread, NULL);
        t->running = false;
    }
    if (t->x != NULL) {
        finish(t, CAIRN_ERR_NETWORK);
    }
}

static void wake(void *ctx)
{
    struct transport *t = ctx;
    t->woken++;
}

static void make_host(struct transport *t)
{
    t->host = (struct role_host){.ctx = t, .send = send, .cancel = cancel, .wake = wake};
}

static void assert_landed_whole(struct flight *flight)
{
    assert_true(flight_landed(flight));
    assert_false(flight_idle(flight));
    assert_int_equal(flight->x.status, 200);
    assert_string_equal(buf_text(&flight->x.answer), "answer");
    flight_clear(flight);
    assert_true(flight_idle(flight));
    assert_false(flight_landed(flight));
    assert_null(flight->x.answer.data);
}

static void test_flight__may_land_before_start_returns(void **state)
{
    (void)state;
    struct transport t = {.at_once = true};
    make_host(&t);
    struct flight flight = {0};
    assert_true(flight_idle(&flight));
    for (unsigned i = 0; i < 3; i++) {
        flight.x = (struct http_exchange){.address = "a:1", .method = "GET", .path = "/"};
        flight_start(&flight, &t.host);
        assert_landed_whole(&flight);
        assert_int_equal(t.woken, i + 1);
    }
    flight_abandon(&flight);
}

static void test_flight__lands_from_another_thread(void **state)
{
    (void)state;
    struct transport t = {0};
    make_host(&t);
    for (unsigned i = 0; i < 50; i++) {
        struct flight *flight = calloc(1, sizeof *flight);
        assert_non_null(flight);
        flight->x = (struct http_exchange){.address = "a:1", .method = "GET", .path = "/"};
        flight_start(flight, &t.host);
        while (!flight_landed(flight)) {
            assert_false(flight_idle(flight));
        }
        assert_landed_whole(flight);
        flight_abandon(flight); /* the other thread may not be through with it */
        free(flight);
        assert_int_equal(t.woken, i + 1);
    }
    assert_int_equal(t.cancelled, 50);
}

static void test_flight__is_abandoned_whatever_it_does(void **state)
{
    (void)state;
    struct flight unused = {0};
    flight_abandon(&unused);
    assert_true(flight_idle(&unused));
    struct transport t = {.never = true};
    make_host(&t);
    struct flight flight = {0};
    flight_start(&flight, &t.host);
    assert_false(flight_landed(&flight));
    assert_false(flight_idle(&flight));
    flight_abandon(&flight);
    assert_true(flight_idle(&flight));
    assert_null(flight.x.answer.data);
    assert_int_equal(t.cancelled, 1);
    t.never = false;
    flight_start(&flight, &t.host); /* lands or is cancelled, as it happens */
    flight_abandon(&flight);
    assert_true(flight_idle(&flight));
    assert_null(t.x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flight__may_land_before_start_returns),
        cmocka_unit_test(test_flight__lands_from_another_thread),
        cmocka_unit_test(test_flight__is_abandoned_whatever_it_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
