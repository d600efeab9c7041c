/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines, read back from where stderr went: their form, and that nobody can forge one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static const char path[] = "test_log.txt";
static char text[1 << 20];
static int real_stderr;

static int begin(void **state)
{
    (void)state;
    log_set_level(LOG_INFO);
    log_set_name("");
    real_stderr = dup(STDERR_FILENO);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (real_stderr < 0 || fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
        return -1;
    }
    return close(fd);
}

/* What was logged since begin. */
static const char *logged(void)
{
    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    (void)unlink(path);
    assert_true(n >= 0);
    text[n] = 0;
    return text;
}

static void test_log__form_of_a_line(void **state)
{
    (void)state;
    log_set_name("switch 127.0.0.2:5000");
    errno = ENOSPC;
    log_line(LOG_INFO, "text %d", 5);
    assert_int_equal(errno, ENOSPC);
    const char *line = logged();
    /* "12:00:00.123 " and the rest; no colour, this is no terminal */
    static const char shape[] = "dd:dd:dd.ddd ";
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        assert_true(shape[i] == 'd' ? line[i] >= '0' && line[i] <= '9' : line[i] == shape[i]);
    }
    assert_string_equal(line + sizeof shape - 1, "info  switch 127.0.0.2:5000 text 5\n");
}

static void test_log__levels(void **state)
{
    (void)state;
    log_line(LOG_DEBUG, "one");
    log_line(LOG_WARNING, "two");
    log_set_level(LOG_ERROR);
    log_line(LOG_WARNING, "three");
    log_line(LOG_ERROR, "four");
    log_set_level(LOG_DEBUG);
    log_line(LOG_DEBUG, "five");
    const char *t = logged();
    assert_null(strstr(t, "one"));
    assert_non_null(strstr(t, "warning two\n"));
    assert_null(strstr(t, "three"));
    assert_non_null(strstr(t, "error four\n"));
    assert_non_null(strstr(t, "debug five\n"));
}

static void test_log__nothing_forges_a_line(void **state)
{
    (void)state;
    log_set_name("evil\nname");
    log_line(LOG_INFO, "%s", "a\n12:00:00.000 error b\r\t\x1b[2J\x7f\x01");
    log_line(LOG_INFO, "%s", "c1 \xc2\x9b bidi \xe2\x80\xae sep \xe2\x80\xa8 "
                             "bad \xff\xc0\x8a cut \xe2\x82");
    log_line(LOG_INFO, "%s", "Gr\xc3\xbc\xc3\x9f" "e \xe6\x97\xa5 \xf0\x9f\x97\xbb");
    const char *t = logged();
    size_t lines = 0;
    for (const char *p = t; *p; p++) {
        lines += *p == '\n';
        assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
    }
    assert_int_equal(lines, 3);
    assert_non_null(strstr(t, "evil\\nname a\\n12:00:00.000 error b\\x0d\\t\\x1b[2J\\x7f\\x01\n"));
    assert_non_null(strstr(
        t, "c1 \\u{9b} bidi \\u{202e} sep \\u{2028} bad \\xff\\xc0\\x8a cut \\xe2\\x82\n"));
    assert_non_null(strstr(t, "Gr\xc3\xbc\xc3\x9f" "e \xe6\x97\xa5 \xf0\x9f\x97\xbb\n"));
}

/* Every byte escaped, a name of full length, a text of more than full length: the longest line. */
static void test_log__longest_line(void **state)
{
    (void)state;
    char long_text[4000], name[200];
    memset(long_text, '\x1b', sizeof long_text);
    memset(name, '\x02', sizeof name);
    long_text[sizeof long_text - 1] = name[sizeof name - 1] = 0;
    log_set_name(name);
    log_line(LOG_WARNING, "%s", long_text);
    const char *t = logged();
    size_t n = strlen(t);
    assert_string_equal(t + n - 8, "\\x1b...\n");
    const char *first = strstr(t, "\\x02"), *last = strstr(t, " \\x1b");
    assert_non_null(first);
    assert_non_null(last);
    assert_int_equal(last - first, 79 * 4);
}

enum { THREADS = 4, LINES = 300 };

static void *many_lines(void *arg)
{
    for (int i = 0; i < LINES; i++) {
        log_line(LOG_INFO, "begin %s end", (const char *)arg);
    }
    return NULL;
}

static void test_log__threads_do_not_mix(void **state)
{
    (void)state;
    static char words[THREADS][100];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        memset(words[i], 'a' + i, sizeof words[i] - 1);
        assert_int_equal(pthread_create(&threads[i], NULL, many_lines, words[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    const char *line = logged();
    int lines = 0;
    for (const char *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        assert_int_equal(end - line, 13 + 6 + 6 + 99 + 4);
        const char *word = line + 13 + 6 + 6;
        assert_int_equal(strspn(word, (const char[]){*word, 0}), 99);
    }
    assert_int_equal(lines, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_log__form_of_a_line, begin),
        cmocka_unit_test_setup(test_log__levels, begin),
        cmocka_unit_test_setup(test_log__nothing_forges_a_line, begin),
        cmocka_unit_test_setup(test_log__longest_line, begin),
        cmocka_unit_test_setup(test_log__threads_do_not_mix, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
