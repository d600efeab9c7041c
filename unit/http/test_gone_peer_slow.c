/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer whose machine is gone: both ends live in a network namespace of their own, whose loopback
 * interface is then taken down, so that nothing arrives and nobody says so. Passed over where users
 * may not make namespaces.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "http_probe.h"

enum { NO_NAMESPACE = 77, FOUND_WITHIN_S = 31, AT_LEAST_S = 15 };

static bool set_loopback(bool up)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    if (up) {
        request.ifr_flags |= IFF_UP;
    } else {
        request.ifr_flags &= (short)~IFF_UP;
    }
    ok = ok && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return ok;
}

static void *cut_the_wire(void *arg)
{
    (void)arg;
    probe_sleep_ms(1000);
    return set_loopback(false) ? NULL : arg;
}

/* The server's end of an idle connection, seen from the table of the kernel: how many there are. */
static int established(uint16_t port)
{
    char line[512];
    unsigned local, state;
    int n = 0;
    FILE *table = fopen("/proc/self/net/tcp", "r");
    while (table && fgets(line, sizeof line, table)) {
        if (sscanf(line, "%*d: %*x:%x %*x:%*x %x", &local, &state) == 2 && local == port &&
            state == 1) {
            n++;
        }
    }
    if (table) {
        fclose(table);
    }
    return n;
}

/* In the child. Exit codes say which expectation failed. */
static int peers_that_are_gone(void)
{
    struct probe probe = {0};
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 || !set_loopback(true)) {
        return NO_NAMESPACE;
    }
    uint16_t port = probe_start_at(&probe, (struct http_server_options){.idle_timeout_s = 600});
    char address[32];
    struct http_courier *client;
    pthread_t cutter;
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
    if (port == 0 || http_courier_new(NULL, &client) != 0 ||
        pthread_create(&cutter, NULL, cut_the_wire, &probe) != 0) {
        return 1;
    }
    /* the handler thinks for a minute: an answer would come, but for the wire */
    struct http_exchange x = {
        .address = address, .method = "GET", .path = "/slow?60000", .timeout_s = 100};
    uint64_t start_ns = clock_now_ns(&clock_system);
    http_courier_exchange(client, &x, 1);
    double client_s = probe_seconds_since(start_ns);
    while (established(port) > 0 && probe_seconds_since(start_ns) < 50) {
        probe_sleep_ms(100);
    }
    double server_s = probe_seconds_since(start_ns);
    print_message("found by the client after %.1f s, by the server after %.1f s\n", client_s,
                  server_s);
    if (x.error != CAIRN_ERR_NETWORK || client_s < AT_LEAST_S || client_s > FOUND_WITHIN_S) {
        print_message("%d %s\n", x.error, x.what);
        return 2;
    }
    return server_s > FOUND_WITHIN_S ? 3 : 0;
}

static void test_gone_peer__gone_machines_are_found_within_30_s(void **state)
{
    (void)state;
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(peers_that_are_gone());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_NAMESPACE) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gone_peer__gone_machines_are_found_within_30_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
