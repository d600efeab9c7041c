/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded memory: alignment, zeros, and that a step beyond the end or a use after freeing dies. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secret.h"

static void test_secret__aligned_and_zero_at_every_size(void **state)
{
    (void)state;
    for (size_t n = 0; n < 400; n += 13) {
        uint8_t *s = secret_alloc(n);
        assert_non_null(s);
        assert_int_equal((uintptr_t)s % 64, 0);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(s[i], 0);
        }
        memset(s, 0xff, n);
        secret_free(s);
    }
    secret_free(NULL);
    assert_null(secret_alloc(SIZE_MAX));
    assert_null(secret_alloc(SIZE_MAX / 2));
}

enum { DIED = 1, LIVED = 0 };

/* In a child: read or write at `offset` of 64 secret bytes, perhaps after freeing. */
static int child_touches(ptrdiff_t offset, int write, int freed)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would only make it verbose */
        (void)signal(SIGBUS, SIG_DFL);
        volatile uint8_t *s = secret_alloc(64);
        if (freed) {
            secret_free((void *)(uintptr_t)s);
        }
        if (write) {
            s[offset] = 1;
        } else {
            (void)s[offset];
        }
        if (!freed) {
            secret_free((void *)(uintptr_t)s); /* looks at the canary */
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? DIED : LIVED;
}

static void test_secret__guards(void **state)
{
    (void)state;
    assert_int_equal(child_touches(63, 1, 0), LIVED);
    assert_int_equal(child_touches(64, 0, 0), DIED);  /* guard page behind */
    assert_int_equal(child_touches(-1, 1, 0), DIED);  /* canary in front */
    assert_int_equal(child_touches(0, 0, 1), DIED);   /* unmapped */
}

static void test_secret__wipe_and_equal(void **state)
{
    (void)state;
    uint8_t a[33], b[33];
    memset(a, 7, sizeof a);
    memset(b, 7, sizeof b);
    assert_int_equal(secret_equal(a, b, sizeof a), 1);
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] ^= 0x80;
        assert_int_equal(secret_equal(a, b, sizeof a), 0);
        b[i] ^= 0x80;
    }
    assert_int_equal(secret_equal(NULL, NULL, 0), 1);
    secret_wipe(a + 1, sizeof a - 2);
    assert_int_equal(a[0], 7);
    assert_int_equal(a[32], 7);
    for (size_t i = 1; i < 32; i++) {
        assert_int_equal(a[i], 0);
    }
    secret_wipe(NULL, 0);
}

static void test_secret__hardened_process_leaves_no_core(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        secret_harden_process();
        struct rlimit core;
        int ok = getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0 &&
                 prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret__aligned_and_zero_at_every_size),
        cmocka_unit_test(test_secret__guards),
        cmocka_unit_test(test_secret__wipe_and_equal),
        cmocka_unit_test(test_secret__hardened_process_leaves_no_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
