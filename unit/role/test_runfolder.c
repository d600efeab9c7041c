/* SPDX-License-Identifier: Apache-2.0 */
/* rounds.jsonl after an interruption. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "runfolder.h"

static char folder[] = "test_runfolder_XXXXXX";
static const struct span config = {(const uint8_t *)"{}", 2};

static int enter(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    const int removed = system("rm -rf runs");
    return removed == 0 && chdir("..") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

#define LINE(n) "{\"round\": " #n ", \"loss\": 0.5}\n"

static void test_runfolder__resume_keeps_lines_of_committed_rounds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t committed;
        const char *kept;
    } cases[] = {
        {LINE(1) LINE(2), 2, LINE(1) LINE(2)},
        {LINE(1) LINE(2), 1, LINE(1)},
        {LINE(1) LINE(2), 0, ""},
        {"", 3, ""},
        {LINE(1) "{\"round\": 2, \"lo", 2, LINE(1)}, /* torn */
        {LINE(1) "{\"round\": 2}", 2, LINE(1)},      /* and where nobody sees it */
        {LINE(1) "\0\0\0\n" LINE(2), 2, LINE(1)},
        {LINE(1) "{\"round\": \"2\"}\n", 2, LINE(1)},
        {LINE(1) "{\"round\": -1}\n", 2, LINE(1)},
        {LINE(1) LINE(3) LINE(2), 2, LINE(1)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct runfolder run;
        struct buf b = {0};
        assert_int_equal(runfolder_begin(&run, "runs", "x", config, NULL), 0);
        assert_string_equal(run.path, "runs/x");
        assert_false(file_exists("runs/x/rounds.jsonl"));
        assert_int_equal(file_replace("runs/x/rounds.jsonl", cases[i].text, strlen(cases[i].text),
                                      0644, NULL), 0);
        assert_int_equal(file_replace("runs/x/summary.json", "{}", 2, 0644, NULL), 0);
        assert_int_equal(runfolder_resume(&run, "runs", "x", config, cases[i].committed, NULL), 0);
        assert_int_equal(file_read("runs/x/rounds.jsonl", 1000, &b, NULL), 0);
        assert_string_equal(buf_text(&b), cases[i].kept);
        assert_false(file_exists("runs/x/summary.json"));
        buf_release(&b);
    }
}

/* Killed before anything was written there. */
static void test_runfolder__resume_makes_what_is_missing(void **state)
{
    (void)state;
    struct runfolder run;
    assert_int_equal(runfolder_resume(&run, "runs", "y", config, 0, NULL), 0);
    assert_true(file_exists("runs/y/nodes"));
    assert_true(file_exists("runs/y/config.json"));
    assert_false(file_exists("runs/y/rounds.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runfolder__resume_keeps_lines_of_committed_rounds),
        cmocka_unit_test(test_runfolder__resume_makes_what_is_missing),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
