/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes. The test program starts itself, as the program under test does: see child(). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "processes.h"

/* What a child does: exit N | say TEXT | sleep | stubborn (does not end when asked to) */
static int child(int argc, char **argv)
{
    if (strcmp(argv[1], "exit") == 0) {
        return atoi(argv[2]);
    }
    if (strcmp(argv[1], "say") == 0) {
        for (int i = 2; i < argc; i++) {
            puts(argv[i]);
        }
        return 0;
    }
    if (strcmp(argv[1], "stubborn") == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        puts("ready");
        (void)fflush(stdout);
    }
    for (;;) {
        pause();
    }
}

static struct processes new_set(size_t most)
{
    struct processes set;
    struct cairn_problem why;
    assert_int_equal(processes_init(&set, most, &why), 0);
    return set;
}

static void start(struct processes *set, const char *what, const char *argument, const char *errors,
                  int *output)
{
    const char *const argv[] = {"child", what, argument, NULL};
    struct cairn_problem why;
    assert_int_equal(processes_start(set, what, argv, errors, output, &why), 0);
}

static void test_processes__exit_status_and_usage(void **state)
{
    (void)state;
    struct processes set = new_set(1);
    int number = 0;
    start(&set, "exit", "42", NULL, NULL);
    assert_int_equal(processes_wait(&set, -1, 10000, &number), PROCESSES_ENDED);
    assert_int_equal(set.list[0].pid, 0);
    assert_int_equal(set.list[0].exit_status, 42);
    assert_true(set.list[0].peak_rss_bytes > 500000);
    assert_true(set.list[0].cpu_s >= 0 && set.list[0].cpu_s < 10);
    processes_release(&set);
}

/* An end and the last of the output may come together; neither may be lost. */
static void test_processes__output_and_end(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct processes set = new_set(1);
        int output = -1, number = 0;
        char text[64] = {0};
        size_t n = 0;
        bool ended = false, open = true;
        start(&set, "say", "hello", NULL, &output);
        while (!ended || open) {
            switch (processes_wait(&set, open ? output : -1, 10000, &number)) {
            case PROCESSES_ENDED:
                ended = true;
                break;
            case PROCESSES_OUTPUT: {
                ssize_t got = read(output, text + n, sizeof text - 1 - n);
                n += got > 0 ? (size_t)got : 0;
                open = got > 0;
                break;
            }
            default:
                fail_msg("round %d: an end or output was lost", round);
            }
        }
        assert_string_equal(text, "hello\n");
        (void)close(output);
        processes_release(&set);
    }
}

static void test_processes__timeout(void **state)
{
    (void)state;
    struct processes set = new_set(1);
    int number = 0;
    start(&set, "sleep", NULL, NULL, NULL);
    assert_int_equal(processes_wait(&set, -1, 50, &number), PROCESSES_TIMEOUT);
    processes_release(&set);
}

static void test_processes__signal_to_us(void **state)
{
    (void)state;
    struct processes set = new_set(1);
    int number = 0;
    start(&set, "sleep", NULL, NULL, NULL);
    (void)kill(getpid(), SIGTERM);
    assert_int_equal(processes_wait(&set, -1, 10000, &number), PROCESSES_SIGNAL);
    assert_int_equal(number, SIGTERM);
    processes_release(&set);
}

static void test_processes__stop_ends_all(void **state)
{
    (void)state;
    struct processes set = new_set(3);
    char byte[8];
    int output = -1;
    start(&set, "sleep", NULL, NULL, NULL);
    start(&set, "stubborn", NULL, NULL, &output);
    start(&set, "exit", "3", NULL, NULL);
    assert_true(read(output, byte, sizeof byte) > 0); /* it ignores SIGTERM by now */
    int number = 0;
    assert_int_equal(processes_wait(&set, -1, 10000, &number), PROCESSES_ENDED);
    pid_t pids[2] = {set.list[0].pid, set.list[1].pid};
    uint64_t begin = clock_now_ns(&clock_system);
    processes_stop(&set, 200);
    assert_true(clock_seconds(begin, clock_now_ns(&clock_system)) < 5);
    assert_int_equal(set.list[0].exit_status, 128 + SIGTERM);
    assert_int_equal(set.list[1].exit_status, 128 + SIGKILL);
    assert_int_equal(set.list[2].exit_status, 3);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kill(pids[i], 0), -1); /* reaped, too: not even a zombie is left */
    }
    (void)close(output);
    processes_release(&set);
}

static void test_processes__release_ends_what_runs(void **state)
{
    (void)state;
    struct processes set = new_set(1);
    start(&set, "sleep", NULL, NULL, NULL);
    pid_t pid = set.list[0].pid;
    processes_release(&set);
    assert_int_equal(kill(pid, 0), -1);
    sigset_t now;
    (void)sigprocmask(SIG_BLOCK, NULL, &now);
    assert_int_equal(sigismember(&now, SIGTERM), 0); /* signals are as they were before */
}

static void test_processes__last_words(void **state)
{
    (void)state;
    char path[] = "/tmp/cairn-unit-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    struct processes set = new_set(1);
    struct buf words = {0};
    int number = 0;
    start(&set, "say", "it went wrong", path, NULL);
    assert_int_equal(processes_wait(&set, -1, 10000, &number), PROCESSES_ENDED);
    process_last_words(&set.list[0], 6, &words);
    assert_string_equal(buf_text(&words), "wrong\n");
    buf_release(&words);
    processes_release(&set);
    (void)unlink(path);
}

static void test_processes__errors_file_that_cannot_be(void **state)
{
    (void)state;
    struct processes set = new_set(1);
    const char *const argv[] = {"child", "exit", "0", NULL};
    struct cairn_problem why;
    assert_int_equal(processes_start(&set, "x", argv, "/nonexistent/folder/x.err", NULL, &why),
                     CAIRN_ERR_STORAGE);
    assert_int_equal(set.n, 0);
    processes_release(&set);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return child(argc, argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processes__exit_status_and_usage),
        cmocka_unit_test(test_processes__output_and_end),
        cmocka_unit_test(test_processes__timeout),
        cmocka_unit_test(test_processes__signal_to_us),
        cmocka_unit_test(test_processes__stop_ends_all),
        cmocka_unit_test(test_processes__release_ends_what_runs),
        cmocka_unit_test(test_processes__last_words),
        cmocka_unit_test(test_processes__errors_file_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
