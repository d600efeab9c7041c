/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to nodes that take them, refuse them or are not there; what is said of it in the log. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "downlink.h"

/* Answers at once, as it is told to. */
struct peer {
    struct role_host host;
    uint64_t now_ns;
    int error, status;
    const char *answer;
    unsigned asked;
};

static uint64_t now(void *ctx)
{
    return ((struct peer *)ctx)->now_ns;
}

static void send(void *ctx, struct http_exchange *x,
                 void (*done)(void *done_ctx, struct http_exchange *x), void *done_ctx)
{
    struct peer *peer = ctx;
    peer->asked++;
    x->error = peer->error;
    x->status = peer->error == 0 ? peer->status : 0;
    snprintf(x->what, sizeof x->what, "connection refused");
    if (buf_append(&x->answer, peer->answer, strlen(peer->answer)) != 0) {
        abort();
    }
    done(done_ctx, x);
}

static void cancel(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
}

static void wake(void *ctx)
{
    (void)ctx;
}

/* What is written to standard error while the downlink has its turns. */
static void turns(struct downlink *down, struct peer *peer, unsigned n, char *said, size_t size)
{
    char path[] = "/tmp/cairn-test-XXXXXX";
    const int to = mkstemp(path), before = dup(STDERR_FILENO);
    uint64_t next;
    struct cairn_problem why;
    fflush(stderr);
    assert_true(to >= 0 && unlink(path) == 0 && dup2(to, STDERR_FILENO) >= 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(downlink_step(down, &next, &why), 0);
        peer->now_ns += UINT64_C(3600) * 1000000000; /* beyond any backoff */
    }
    fflush(stderr);
    (void)dup2(before, STDERR_FILENO);
    const ssize_t got = pread(to, said, size - 1, 0);
    said[got > 0 ? got : 0] = '\0';
    close(to);
    close(before);
}

static unsigned times(const char *text, const char *part)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        n++;
    }
    return n;
}

static void test_downlink__a_refusal_is_heard_once(void **state)
{
    struct peer peer = {.status = 400,
                        .answer = "{\"error\": \"model message: version 4, this is version 3\", "
                                  "\"hint\": \"run one version\", \"code\": \"MALFORMED\"}"};
    struct downlink down;
    char said[4096];
    (void)state;
    const struct clock_source clock = {.monotonic_ns = now, .ctx = &peer};
    peer.host = (struct role_host){.clock = &clock, .send = send, .cancel = cancel, .wake = wake, .ctx = &peer};
    assert_int_equal(downlink_init(&down, &peer.host, 1), 0);
    snprintf(down.targets[0].address, sizeof down.targets[0].address, "127.0.0.7:5000");
    down.targets[0].path = "/c/model";
    downlink_again(&down, 0);
    turns(&down, &peer, 9, said, sizeof said);
    assert_true(peer.asked >= 4);
    assert_int_equal(times(said, "127.0.0.7:5000/c/model answered 400: model message: version 4"), 1);
    assert_int_equal(times(said, "run one version"), 1);
    assert_int_equal(times(said, "\n"), 1);
    peer.answer = "{\"error\": \"something else\", \"code\": \"REFUSED\"}";
    turns(&down, &peer, 4, said, sizeof said);
    assert_int_equal(times(said, "something else"), 1);
    peer.error = CAIRN_ERR_NETWORK; /* who cannot be reached has not refused anything */
    turns(&down, &peer, 4, said, sizeof said);
    assert_string_equal(said, "");
    peer.error = 0;
    peer.status = 503; /* nor who is busy */
    turns(&down, &peer, 4, said, sizeof said);
    assert_string_equal(said, "");
    peer.status = 200;
    turns(&down, &peer, 4, said, sizeof said);
    assert_true(downlink_done(&down));
    downlink_release(&down);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_downlink__a_refusal_is_heard_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
