/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http_probe.h"

enum { TEXT = 64 * 1024 };

/* Send bytes on a fresh connection and read what comes back until it closes (true) or `enough`
 * is there (false). */
static bool converse(uint16_t port, const void *bytes, size_t size, char text[TEXT],
                     const char *enough)
{
    int fd = probe_connect("127.0.0.1", port);
    assert_true(fd >= 0);
    probe_send(fd, bytes, size);
    bool closed = probe_read(fd, text, TEXT, enough);
    close(fd);
    return closed;
}

static void wait_for_descriptors(int expected)
{
    for (int i = 0; i < 200 && probe_descriptors() != expected; i++) {
        probe_sleep_ms(20);
    }
    assert_int_equal(probe_descriptors(), expected);
}

static void test_server__request_reaches_the_program_as_it_was_sent(void **state)
{
    (void)state;
    struct probe probe = {0};
    char text[TEXT];
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    static const char request[] = "POST /a/b%2fc?x=%41&y+z HTTP/1.1\r\nHost: h\r\nAccept: a/b\r\n"
                                  "content-length: 5\r\nConnection: close\r\n\r\nhello";
    assert_true(converse(port, request, sizeof request - 1, text, NULL));
    assert_non_null(strstr(text, "HTTP/1.1 200 "));
    assert_non_null(strstr(text, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(text, "\r\n\r\nPOST|/a/b%2fc|x=%41&y+z|127.0.0.1|a/b|5"));
    http_server_stop(probe.server);
}

static void test_server__ipv6_and_mapped_ipv4_peers(void **state)
{
    (void)state;
    struct probe probe = {0};
    char text[TEXT];
    uint16_t port = probe_start_at(&probe, (struct http_server_options){.listen = "::"});
    if (port == 0) {
        skip(); /* no IPv6 on this machine */
    }
    static const char request[] = "GET /a HTTP/1.0\r\n\r\n";
    assert_true(converse(port, request, sizeof request - 1, text, NULL));
    assert_non_null(strstr(text, "GET|/a||127.0.0.1||0"));
    http_server_stop(probe.server);
}

#define HEAD "POST /count HTTP/1.1\r\nHost: h\r\n"
#define BYTES(text) text, sizeof(text) - 1

static const struct bad {
    const char *name;
    const char *bytes;
    size_t size;
    int status; /* 0 = closed without a word */
} bad_requests[] = {
    {"no length", BYTES(HEAD "\r\n"), 411},
    {"two lengths", BYTES(HEAD "Content-Length: 3\r\nContent-Length: 5\r\n\r\nhello"), 400},
    {"same length twice", BYTES(HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), 400},
    {"two spellings", BYTES(HEAD "Content-Length: 5\r\ncONTENT-lENGTH: 3\r\n\r\nhello"), 400},
    {"length and chunked",
     BYTES(HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400},
    {"chunked and length",
     BYTES(HEAD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), 400},
    {"chunked", BYTES(HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), 411},
    {"other encoding", BYTES(HEAD "Transfer-Encoding: gzip\r\n\r\n"), 411},
    {"chunked GET", BYTES("GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), 411},
    {"negative", BYTES(HEAD "Content-Length: -1\r\n\r\n"), 400},
    {"plus", BYTES(HEAD "Content-Length: +5\r\n\r\nhello"), 400},
    {"list", BYTES(HEAD "Content-Length: 5, 5\r\n\r\nhello"), 400},
    {"hexadecimal", BYTES(HEAD "Content-Length: 0x5\r\n\r\nhello"), 400},
    {"empty length", BYTES(HEAD "Content-Length:\r\n\r\n"), 400},
    {"word", BYTES(HEAD "Content-Length: five\r\n\r\nhello"), 400},
    {"2^63 - 1", BYTES(HEAD "Content-Length: 9223372036854775807\r\n\r\n"), 413},
    {"2^63", BYTES(HEAD "Content-Length: 9223372036854775808\r\n\r\n"), 400},
    {"2^64", BYTES(HEAD "Content-Length: 18446744073709551616\r\n\r\n"), 413},
    {"one too long", BYTES("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n"), 413},
    {"length in a folded line", BYTES(HEAD "X: y\r\n Content-Length: 5\r\n\r\n"), 411},
    {"space before the colon", BYTES(HEAD "Content-Length : 5\r\n\r\nhello"), 411},
    {"refused by the program", BYTES("GET /closed HTTP/1.1\r\nHost: h\r\n\r\n"), 410},
    {"PUT", BYTES("PUT /count HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"), 405},
    {"unknown method", BYTES("BREW /count HTTP/1.1\r\nHost: h\r\n\r\n"), 405},
    {"lower case method", BYTES("get /count HTTP/1.1\r\nHost: h\r\n\r\n"), 405},
    {"NUL in the path", BYTES("GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {"NUL after the path", BYTES("GET /a\0 HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {"NUL in the query", BYTES("GET /a?b\0c HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {"escaped NUL in the path", BYTES("GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {"control character in the path", BYTES("GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {"escape character in the path", BYTES("GET /\x1b[2J HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {"path without slash", BYTES("GET a HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {"whole URL", BYTES("GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n"), 400},
    {"no path", BYTES("GET\r\n\r\n"), 0},
    {"HTTP/0.9", BYTES("GET /a\r\n\r\n"), 400},
    {"HTTP/2.0", BYTES("GET /a HTTP/2.0\r\nHost: h\r\n\r\n"), 505},
    {"no Host", BYTES("GET /a HTTP/1.1\r\n\r\n"), 400},
    {"garbage", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), 0},
    {"header without colon", BYTES("GET /a HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n"), 400},
    {"POST without length in HTTP/1.0", BYTES("POST /count HTTP/1.0\r\n\r\n"), 411},
};

static void test_server__bad_requests_are_refused(void **state)
{
    (void)state;
    int base = probe_descriptors();
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){.idle_timeout_s = 1});
    int with_server = probe_descriptors();
    for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
        const struct bad *bad = &bad_requests[i];
        char text[TEXT];
        /* closed by the server at once, or when it has been idle for a second */
        bool closed = converse(port, bad->bytes, bad->size, text, NULL);
        int status = 0;
        if (strncmp(text, "HTTP/1.", 7) == 0) {
            status = (int)strtol(text + 9, NULL, 10);
        }
        /* libmicrohttpd 0.9.75 sends the head of some of its own (HTML) refusals twice, with
         * "Connection: close" in both; ours must come once */
        const char *again = strlen(text) > 9 ? strstr(text + 9, "HTTP/1.") : NULL;
        again = strstr(text, "<html>") ? NULL : again;
        if (status != bad->status || !closed || again || atomic_load(&probe.handled) != 0) {
            fail_msg("%s: %d handled, %s, answer:\n%s", bad->name, atomic_load(&probe.handled),
                     closed ? "closed" : "open", text);
        }
    }
    wait_for_descriptors(with_server);
    http_server_stop(probe.server);
    assert_int_equal(probe_descriptors(), base);
}

static void test_server__our_refusals_are_json_with_a_hint(void **state)
{
    (void)state;
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){.idle_timeout_s = 1});
    static const char *const names[] = {"no length", "two lengths", "one too long", "PUT",
                                        "NUL in the path"};
    char text[TEXT];
    for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            if (strcmp(bad_requests[i].name, names[k]) == 0) {
                converse(port, bad_requests[i].bytes, bad_requests[i].size, text, NULL);
                assert_non_null(strstr(text, "Content-Type: application/json"));
                assert_non_null(strstr(text, "{\"error\": \""));
                assert_non_null(strstr(text, "\"hint\": \""));
            }
        }
    }
    static const char put[] = "PUT / HTTP/1.1\r\nHost: h\r\n\r\n";
    converse(port, put, sizeof put - 1, text, NULL);
    assert_non_null(strstr(text, "Allow: GET, POST\r\n"));
    http_server_stop(probe.server);
}

static void test_server__good_edge_requests_are_served(void **state)
{
    (void)state;
    struct probe probe = {0};
    char text[TEXT];
    uint16_t port = probe_start_at(&probe, (struct http_server_options){.idle_timeout_s = 1});
    static const struct {
        const char *bytes;
        const char *answer;
    } cases[] = {
        {"POST /count HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", "\r\n\r\n5"},
        {"POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "\r\n\r\n0"},
        {"POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 005\r\n\r\nhello", "\r\n\r\n5"},
        {"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "GET|/a||127.0.0.1||5"},
        {"\r\nGET /a HTTP/1.1\nHost: h\n\n", "GET|/a||127.0.0.1||0"},
        {"GET /a? HTTP/1.1\r\nHost: h\r\n\r\n", "GET|/a||127.0.0.1||0"},
        {"GET /?a?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET|/|a?b|127.0.0.1||0"},
        {"POST /big?0 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1", "Content-Length: 0\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        converse(port, cases[i].bytes, strlen(cases[i].bytes), text, NULL);
        if (strncmp(text, "HTTP/1.", 7) != 0 || strncmp(text + 9, "200", 3) != 0 ||
            !strstr(text, cases[i].answer)) {
            fail_msg("case %zu: %s", i, text);
        }
    }
    http_server_stop(probe.server);
}

static void test_server__two_requests_in_one_packet(void **state)
{
    (void)state;
    struct probe probe = {0};
    char text[TEXT];
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    static const char request[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\ntwo"
        "GET /end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert_true(converse(port, request, sizeof request - 1, text, NULL));
    const char *one = strstr(text, "\r\n\r\none");
    assert_non_null(one);
    const char *two = strstr(one, "\r\n\r\ntwo");
    assert_non_null(two);
    assert_non_null(strstr(two, "GET|/end|"));
    http_server_stop(probe.server);
}

static void test_server__very_long_head_is_refused_and_closed(void **state)
{
    (void)state;
    struct probe probe = {0};
    char text[TEXT];
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    size_t size = 200000;
    char *request = malloc(size);
    assert_non_null(request);
    memset(request, 'a', size);
    static const char in_path[] = "GET /";
    static const char in_header[] = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
    memcpy(request, in_path, sizeof in_path - 1);
    assert_true(converse(port, request, size, text, NULL));
    assert_true(text[0] == 0 || strncmp(text + 8, " 414", 4) == 0);
    memcpy(request, in_header, sizeof in_header - 1);
    assert_true(converse(port, request, size, text, NULL));
    assert_true(text[0] == 0 || strncmp(text + 8, " 431", 4) == 0);
    assert_int_equal(atomic_load(&probe.admitted), 0);
    free(request);
    http_server_stop(probe.server);
}

static void test_server__cut_bodies_never_reach_the_program(void **state)
{
    (void)state;
    int base = probe_descriptors();
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){.idle_timeout_s = 1});
    int with_server = probe_descriptors();
    static const char head[] = "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n";
    char *body = calloc(1, 100000);
    assert_non_null(body);
    static const size_t sent[] = {0, 1, 50000, 99999};
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        for (int how = 0; how < 3; how++) {
            int fd = probe_connect("127.0.0.1", port);
            struct linger reset = {.l_onoff = 1};
            assert_true(probe_send(fd, head, sizeof head - 1));
            assert_true(probe_send(fd, body, sent[i]));
            if (how == 1) { /* the end arrives with the bytes, or after they were read */
                probe_sleep_ms(50);
            } else if (how == 2) {
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            }
            close(fd);
        }
    }
    free(body);
    wait_for_descriptors(with_server);
    assert_int_equal(atomic_load(&probe.handled), 0);
    assert_true(atomic_load(&probe.admitted) >= 8); /* a reset may overtake the head */
    http_server_stop(probe.server);
    assert_int_equal(probe_descriptors(), base);
}

/* A long body whose bytes count up, in the air up to byte `sent`; the rest is for the caller. */
enum { COUNTED = 1000000 };
static int send_counted(uint16_t port, unsigned step, size_t sent, uint8_t **body)
{
    char head[200];
    const int size = snprintf(head, sizeof head,
                              "POST /parts?%u HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
                              step, COUNTED);
    const int fd = probe_connect("127.0.0.1", port);
    *body = malloc(COUNTED);
    assert_true(fd >= 0 && *body != NULL);
    for (size_t i = 0; i < COUNTED; i++) {
        (*body)[i] = (uint8_t)i;
    }
    assert_true(probe_send(fd, head, (size_t)size) && probe_send(fd, *body, sent));
    return fd;
}

static void wait_for_parts(struct probe *probe, int least)
{
    for (int i = 0; i < 500 && atomic_load(&probe->parts) < least; i++) {
        probe_sleep_ms(20);
    }
    assert_true(atomic_load(&probe->parts) >= least);
}

/* The program sees what has come while the rest has not been sent, and keeps count. */
static void test_server__parts_of_a_body_are_shown_before_its_end(void **state)
{
    (void)state;
    static const struct {
        unsigned step;
        size_t sent;
        int before, most;
    } rows[] = {{100000, 400000, 3, 10}, {100000, COUNTED - 1, 5, 10}, {0, 200000, 1, 1}};
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        char text[TEXT], expected[64];
        uint8_t *body;
        atomic_store(&probe.parts, 0);
        const int fd = send_counted(port, rows[r].step, rows[r].sent, &body);
        wait_for_parts(&probe, rows[r].before);
        assert_in_range(atomic_load(&probe.shown), HTTP_PART_FROM, rows[r].sent);
        assert_int_equal(atomic_load(&probe.handled), (int)r);
        assert_true(probe_send(fd, body + rows[r].sent, COUNTED - rows[r].sent));
        (void)probe_read(fd, text, TEXT, " bytes");
        const int parts = atomic_load(&probe.parts);
        assert_in_range(parts, rows[r].before, rows[r].most);
        (void)snprintf(expected, sizeof expected, "%d parts, %d bytes", parts, COUNTED);
        assert_non_null(strstr(text, expected));
        close(fd);
        free(body);
    }
    http_server_stop(probe.server);
}

/* A body that is cut behind a part is never handled; a server that stops there does not wait for the rest. */
static void test_server__the_rest_of_a_body_may_never_come(void **state)
{
    (void)state;
    struct probe probe = {0};
    uint8_t *body;
    const int before = probe_descriptors();
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    int fd = send_counted(port, 100000, 400000, &body);
    wait_for_parts(&probe, 3);
    close(fd);
    free(body);
    fd = send_counted(port, 100000, 400000, &body);
    wait_for_parts(&probe, 6);
    const uint64_t start = clock_now_ns(&clock_system);
    http_server_stop(probe.server);
    assert_true(probe_seconds_since(start) < 1.5);
    close(fd);
    free(body);
    assert_int_equal(atomic_load(&probe.handled), 0);
    wait_for_descriptors(before);
}

static size_t resident_bytes(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%*u %zu", &pages) != 1) {
            pages = 0;
        }
        fclose(f);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_server__announced_bytes_cost_nothing(void **state)
{
    (void)state;
    enum { LIARS = 40 };
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    static const char head[] =
        "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 64000000\r\n\r\nx";
    int fds[LIARS];
    size_t before = resident_bytes();
    for (int i = 0; i < LIARS; i++) {
        fds[i] = probe_connect("127.0.0.1", port);
        assert_true(probe_send(fds[i], head, sizeof head - 1));
    }
    uint64_t received = 0;
    uint64_t sent;
    for (int i = 0; i < 500 && received < LIARS; i++) {
        probe_sleep_ms(10);
        http_server_traffic(probe.server, &received, &sent);
    }
    assert_int_equal(received, LIARS);
    assert_true(resident_bytes() < before + 64000000); /* 40 times as much was announced */
    for (int i = 0; i < LIARS; i++) {
        close(fds[i]);
    }
    http_server_stop(probe.server);
}

static void test_server__expect_is_honoured(void **state)
{
    (void)state;
    struct probe probe = {0};
    char text[TEXT];
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    static const char *const refused[] = {"/closed", "/small"};
    for (int i = 0; i < 2; i++) {
        char head[200];
        int size = snprintf(head, sizeof head,
                            "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n"
                            "Expect: 100-continue\r\n\r\n",
                            refused[i]);
        assert_true(converse(port, head, (size_t)size, text, NULL)); /* answered, then closed */
        assert_null(strstr(text, "100 Continue"));
        assert_non_null(strstr(text, i ? "HTTP/1.1 413 " : "HTTP/1.1 410 "));
    }
    int fd = probe_connect("127.0.0.1", port);
    static const char head[] = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
                               "Expect: 100-continue\r\n\r\n";
    assert_true(probe_send(fd, head, sizeof head - 1));
    probe_read(fd, text, sizeof text, "\r\n\r\n");
    assert_memory_equal(text, "HTTP/1.1 100 ", 13);
    assert_true(probe_send(fd, "hello", 5));
    probe_read(fd, text, sizeof text, "hello");
    assert_memory_equal(text, "HTTP/1.1 200 ", 13);
    close(fd);
    http_server_stop(probe.server);
}

static void test_server__blocked_handlers_hold_up_only_their_workers(void **state)
{
    (void)state;
    enum { SLEEP_MS = 600 };
    struct probe probe = {0};
    char text[TEXT];
    uint16_t port = probe_start_at(&probe, (struct http_server_options){.workers = 3});
    static const char slow[] = "GET /slow?600 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    static const char quick[] = "GET /quick HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    static const char closed[] = "GET /closed HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    int fds[3];
    uint64_t start_ns = clock_now_ns(&clock_system);
    for (int i = 0; i < 2; i++) {
        fds[i] = probe_connect("127.0.0.1", port);
        assert_true(probe_send(fds[i], slow, sizeof slow - 1));
    }
    assert_true(converse(port, quick, sizeof quick - 1, text, NULL)); /* by the third worker */
    assert_non_null(strstr(text, "GET|/quick|"));
    assert_true(probe_seconds_since(start_ns) < SLEEP_MS / 2000.0);
    fds[2] = probe_connect("127.0.0.1", port);
    assert_true(probe_send(fds[2], slow, sizeof slow - 1));
    while (atomic_load(&probe.running) < 3) {
        probe_sleep_ms(1);
    }
    /* all are busy: what needs no worker is answered all the same, the rest waits its turn */
    assert_true(converse(port, closed, sizeof closed - 1, text, NULL));
    assert_true(probe_seconds_since(start_ns) < SLEEP_MS / 1000.0);
    assert_true(converse(port, quick, sizeof quick - 1, text, NULL));
    assert_true(probe_seconds_since(start_ns) >= SLEEP_MS / 1000.0);
    for (int i = 0; i < 3; i++) {
        assert_true(probe_read(fds[i], text, sizeof text, NULL));
        assert_non_null(strstr(text, "slept"));
        close(fds[i]);
    }
    http_server_stop(probe.server);
}

static void test_server__start_errors_say_what_to_do(void **state)
{
    (void)state;
    int base = probe_descriptors();
    struct probe probe = {0};
    struct http_app app = {.ctx = &probe, .admit = probe_admit, .handle = probe_handle};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    struct http_server *second = (void *)&probe;
    struct cairn_problem why = {0};
    struct http_server_options options = {.listen = "127.0.0.1", .port = port};
    char expected[32];
    assert_int_equal(http_server_start(&options, &app, &second, &why), CAIRN_ERR_ENVIRONMENT);
    assert_null(second);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", (unsigned)port);
    assert_non_null(strstr(why.what, expected));
    assert_non_null(strstr(why.hint, "another process listens there"));
    assert_non_null(strstr(why.hint, "--port"));

    static const char *const addresses[] = {"192.0.2.1", "localhost", "127.0.0.1:5000", ""};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        options = (struct http_server_options){.listen = addresses[i]};
        assert_int_equal(http_server_start(&options, &app, &second, &why), CAIRN_ERR_ENVIRONMENT);
        assert_non_null(strstr(why.what, addresses[i]));
        assert_true(why.hint[0] != 0);
    }
    http_server_stop(probe.server);
    http_server_stop(NULL);
    assert_int_equal(probe_descriptors(), base);
}

static void *stop_server(void *arg)
{
    struct probe *probe = arg;
    http_server_stop(probe->server);
    return NULL;
}

static void test_server__stop_lets_handlers_end_and_answers_the_rest(void **state)
{
    (void)state;
    enum { N = 6, RUNNING = 2 };
    int base = probe_descriptors();
    for (int round = 0; round < 3; round++) {
        struct probe probe = {0};
        char text[TEXT];
        uint16_t port = probe_start_at(&probe, (struct http_server_options){.workers = RUNNING});
        static const char slow[] = "GET /slow?300 HTTP/1.1\r\nHost: h\r\n\r\n";
        static const char half[] = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab";
        int fds[N];
        for (int i = 0; i < N; i++) {
            fds[i] = probe_connect("127.0.0.1", port);
            assert_true(probe_send(fds[i], slow, sizeof slow - 1));
        }
        int unfinished = probe_connect("127.0.0.1", port);
        assert_true(probe_send(unfinished, half, sizeof half - 1));
        int idle = probe_connect("127.0.0.1", port);
        while (atomic_load(&probe.running) < RUNNING || atomic_load(&probe.admitted) < N + 1) {
            probe_sleep_ms(1);
        }
        pthread_t stopper;
        assert_int_equal(pthread_create(&stopper, NULL, stop_server, &probe), 0);
        int slept = 0;
        int busy = 0;
        for (int i = 0; i < N; i++) {
            assert_true(probe_read(fds[i], text, sizeof text, NULL));
            slept += strstr(text, "slept") != NULL;
            busy += strncmp(text + 8, " 503", 4) == 0 && strstr(text, "is stopping") != NULL;
            close(fds[i]);
        }
        assert_int_equal(slept, RUNNING);
        assert_int_equal(busy, N - RUNNING);
        pthread_join(stopper, NULL);
        assert_true(probe_read(unfinished, text, sizeof text, NULL));
        assert_string_equal(text, "");
        close(unfinished);
        close(idle);
        assert_int_equal(atomic_load(&probe.handled), RUNNING);
        assert_int_equal(probe_connect("127.0.0.1", port), -1); /* nobody listens any more */
        assert_int_equal(probe_descriptors(), base);
        /* and the port is free for the next one at once */
        struct probe next = {0};
        assert_int_equal(probe_start_at(&next, (struct http_server_options){.port = port}), port);
        http_server_stop(next.server);
    }
}

static void *hammer(void *arg)
{
    uint16_t port = *(uint16_t *)arg;
    static const char request[] = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    char text[2048];
    for (int fd = probe_connect("127.0.0.1", port); fd >= 0;
         fd = probe_connect("127.0.0.1", port)) {
        while (probe_send(fd, request, sizeof request - 1) &&
               !probe_read(fd, text, sizeof text, "\r\n\r\n") && strstr(text, " 200 ")) {
        }
        close(fd);
    }
    return NULL;
}

static void test_server__stop_under_load(void **state)
{
    (void)state;
    int base = probe_descriptors();
    for (int round = 0; round < 10; round++) {
        struct probe probe = {0};
        uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
        assert_int_not_equal(port, 0);
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, hammer, &port), 0);
        }
        while (atomic_load(&probe.handled) < 50 * (round + 1)) {
            probe_sleep_ms(1);
        }
        http_server_stop(probe.server);
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(probe_descriptors(), base);
    }
}

static void test_server__connections_beyond_the_limit_wait(void **state)
{
    (void)state;
    struct probe probe = {0};
    char text[TEXT];
    /* 4 places, of which one address gets 3 */
    uint16_t port = probe_start_at(
        &probe, (struct http_server_options){.max_connections = 4, .idle_timeout_s = 5});
    static const char request[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = probe_connect("127.0.0.1", port);
        assert_true(probe_send(fds[i], request, sizeof request - 1));
        assert_false(probe_read(fds[i], text, sizeof text, "GET|/a"));
    }
    assert_true(converse(port, request, sizeof request - 1, text, "GET|/a")); /* turned away */
    assert_string_equal(text, "");
    close(fds[0]);
    bool served = false;
    for (int i = 0; i < 100 && !served; i++) {
        probe_sleep_ms(20);
        converse(port, request, sizeof request - 1, text, "GET|/a");
        served = strstr(text, "GET|/a") != NULL;
    }
    assert_true(served);
    close(fds[1]);
    close(fds[2]);
    http_server_stop(probe.server);
}

/* Drip one byte every 100 ms after `head`; seconds until the server ends it, at most `limit`.
 * Closes fd. */
static double drip_on(int fd, const char *head, double limit)
{
    char byte;
    assert_true(probe_send(fd, head, strlen(head)));
    uint64_t start_ns = clock_now_ns(&clock_system);
    while (probe_seconds_since(start_ns) < limit && probe_send(fd, "x", 1) &&
           recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        probe_sleep_ms(100);
    }
    close(fd);
    return probe_seconds_since(start_ns);
}

static double drip(uint16_t port, const char *head, double limit)
{
    return drip_on(probe_connect("127.0.0.1", port), head, limit);
}

static void test_server__dripping_peers_are_cut_off(void **state)
{
    (void)state;
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){.idle_timeout_s = 1});
    double head_s = drip(port, "GET /a HTTP/1.1\r\nX: ", 5);
    assert_true(head_s > 0.8 && head_s < 2.5);
    double body_s =
        drip(port, "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n", 20);
    assert_true(body_s > 9 && body_s < 12);
    assert_int_equal(atomic_load(&probe.handled), 0);
    http_server_stop(probe.server);
}

static void test_server__dripping_second_head_is_cut_off(void **state)
{
    (void)state;
    struct probe probe = {0};
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    static const char first[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    char text[TEXT];
    int fd = probe_connect("127.0.0.1", port);
    assert_true(probe_send(fd, first, sizeof first - 1));
    assert_false(probe_read(fd, text, sizeof text, "GET|/a||127.0.0.1||0"));
    /* idle connections may live for 30 s, half a head for 5 */
    double head_s = drip_on(fd, "GET /b HTTP/1.1\r\nX: ", 20);
    assert_true(head_s > 4.5 && head_s < 7);
    assert_int_equal(atomic_load(&probe.handled), 1);
    http_server_stop(probe.server);
}

/* Of a descriptor of this process whose connection has its own end at `port`. */
static int accepted_socket(uint16_t port)
{
    for (int fd = 0; fd < 256; fd++) {
        struct sockaddr_in own = {0}, peer;
        socklen_t size = sizeof own, peer_size = sizeof peer;
        if (getsockname(fd, (struct sockaddr *)&own, &size) == 0 && ntohs(own.sin_port) == port &&
            getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0) {
            return fd;
        }
    }
    return -1;
}

static void test_server__connections_are_watched_for_dead_peers(void **state)
{
    (void)state;
    struct probe probe = {0};
    char text[TEXT];
    uint16_t port = probe_start_at(&probe, (struct http_server_options){0});
    static const char request[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    int client = probe_connect("127.0.0.1", port);
    assert_true(probe_send(client, request, sizeof request - 1));
    probe_read(client, text, sizeof text, "GET|/a|");
    int fd = accepted_socket(port);
    assert_true(fd >= 0);
    int on = 0;
    unsigned ms = 0;
    socklen_t size = sizeof on;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &size), 0);
    assert_true(on && ms > 0 && ms <= 30000);
    close(client);
    http_server_stop(probe.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server__request_reaches_the_program_as_it_was_sent),
        cmocka_unit_test(test_server__ipv6_and_mapped_ipv4_peers),
        cmocka_unit_test(test_server__bad_requests_are_refused),
        cmocka_unit_test(test_server__our_refusals_are_json_with_a_hint),
        cmocka_unit_test(test_server__good_edge_requests_are_served),
        cmocka_unit_test(test_server__two_requests_in_one_packet),
        cmocka_unit_test(test_server__very_long_head_is_refused_and_closed),
        cmocka_unit_test(test_server__cut_bodies_never_reach_the_program),
        cmocka_unit_test(test_server__announced_bytes_cost_nothing),
        cmocka_unit_test(test_server__expect_is_honoured),
        cmocka_unit_test(test_server__parts_of_a_body_are_shown_before_its_end),
        cmocka_unit_test(test_server__the_rest_of_a_body_may_never_come),
        cmocka_unit_test(test_server__blocked_handlers_hold_up_only_their_workers),
        cmocka_unit_test(test_server__start_errors_say_what_to_do),
        cmocka_unit_test(test_server__stop_lets_handlers_end_and_answers_the_rest),
        cmocka_unit_test(test_server__stop_under_load),
        cmocka_unit_test(test_server__connections_beyond_the_limit_wait),
        cmocka_unit_test(test_server__dripping_peers_are_cut_off),
        cmocka_unit_test(test_server__dripping_second_head_is_cut_off),
        cmocka_unit_test(test_server__connections_are_watched_for_dead_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
