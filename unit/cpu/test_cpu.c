/* SPDX-License-Identifier: Apache-2.0 */
/* The rung: every word against every processor, and this processor against the kernel's list. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "cpu_internal.h"

static void test_cpu__words_cap_what_is_there(void **state)
{
    (void)state;
    static const enum cpu_rung rungs[] = {CPU_RUNG_C, CPU_RUNG_AVX2, CPU_RUNG_AVX512};
    for (size_t best = 0; best < 3; best++) {
        enum cpu_rung out;
        assert_int_equal(cpu_rung_choose(NULL, rungs[best], &out, NULL), CAIRN_OK);
        assert_int_equal(out, rungs[best]);
        assert_int_equal(cpu_rung_choose("", rungs[best], &out, NULL), CAIRN_OK);
        assert_int_equal(out, rungs[best]);
        for (size_t asked = 0; asked < 3; asked++) {
            struct cairn_problem why = {0};
            out = (enum cpu_rung)99;
            int error = cpu_rung_choose(cpu_rung_name(rungs[asked]), rungs[best], &out, &why);
            assert_int_equal(error, asked <= best ? CAIRN_OK : CAIRN_ERR_USAGE);
            assert_int_equal(out, asked <= best ? (int)rungs[asked] : 99);
            assert_int_equal(why.code, error);
        }
    }
}

static void test_cpu__other_words_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"C", "avx", "avx2 ", " avx2", "avx5122", "none", "0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum cpu_rung out = (enum cpu_rung)99;
        struct cairn_problem why;
        assert_int_equal(cpu_rung_choose(bad[i], CPU_RUNG_AVX512, &out, &why), CAIRN_ERR_USAGE);
        assert_int_equal(out, 99);
        assert_non_null(strstr(why.what, bad[i]));
        assert_true(strlen(why.hint) > 0);
    }
}

static void test_cpu__environment_is_read(void **state)
{
    (void)state;
    enum cpu_rung out;
    assert_int_equal(setenv("CAIRN_CPU", "c", 1), 0);
    assert_int_equal(cpu_rung(&out, NULL), CAIRN_OK);
    assert_int_equal(out, CPU_RUNG_C);
    assert_int_equal(setenv("CAIRN_CPU", "sse", 1), 0);
    assert_int_equal(cpu_rung(&out, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(unsetenv("CAIRN_CPU"), 0);
}

/* The first line of /proc/cpuinfo that begins with `key`, without key; 0 when there is none. */
static int cpuinfo(const char *key, char *line, int size)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) {
        return 0;
    }
    int found = 0;
    while (!found && fgets(line, size, f)) {
        found = strncmp(line, key, strlen(key)) == 0;
    }
    (void)fclose(f);
    return found;
}

static int has_flag(const char *line, const char *flag)
{
    char padded[32];
    (void)snprintf(padded, sizeof padded, " %s ", flag);
    return strstr(line, padded) != NULL;
}

static void test_cpu__agrees_with_the_kernel(void **state)
{
    (void)state;
    static char line[16384];
#if !defined(__x86_64__) /* where under qemu the file is about the machine around it */
    enum cpu_rung only;
    assert_int_equal(cpu_rung(&only, NULL), CAIRN_OK);
    assert_int_equal(only, CPU_RUNG_C);
    skip();
#endif
    if (!cpuinfo("flags", line, sizeof line)) {
        skip();
    }
    *strchr(line, '\n') = ' ';
    static const char *const avx512[] = {"avx512f",  "avx512dq",   "avx512vl",
                                         "avx512bw", "avx512vbmi", "avx512_vpopcntdq"};
    enum cpu_rung expected = CPU_RUNG_C, out;
    if (has_flag(line, "avx2") && has_flag(line, "fma")) {
        expected = CPU_RUNG_AVX512;
        for (size_t i = 0; i < sizeof avx512 / sizeof avx512[0]; i++) {
            if (!has_flag(line, avx512[i])) {
                expected = CPU_RUNG_AVX2;
            }
        }
    }
    assert_int_equal(unsetenv("CAIRN_CPU"), 0);
    assert_int_equal(cpu_rung(&out, NULL), CAIRN_OK);
    assert_int_equal(out, expected);
    if (cpuinfo("model name", line, sizeof line)) {
        assert_non_null(strstr(line, cpu_model_name()));
    }
}

static void test_cpu__names(void **state)
{
    (void)state;
    assert_string_equal(cpu_rung_name(CPU_RUNG_C), "c");
    assert_string_equal(cpu_rung_name(CPU_RUNG_AVX2), "avx2");
    assert_string_equal(cpu_rung_name(CPU_RUNG_AVX512), "avx512");
    assert_string_equal(cpu_rung_name((enum cpu_rung)3), "unknown");
    const char *name = cpu_model_name();
    assert_true(strlen(name) > 0);
    assert_true(name[0] != ' ' && name[strlen(name) - 1] != ' ');
    assert_ptr_equal(cpu_model_name(), name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu__words_cap_what_is_there),
        cmocka_unit_test(test_cpu__other_words_are_refused),
        cmocka_unit_test(test_cpu__environment_is_read),
        cmocka_unit_test(test_cpu__agrees_with_the_kernel),
        cmocka_unit_test(test_cpu__names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
