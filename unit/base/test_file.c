/* SPDX-License-Identifier: Apache-2.0 */
/* Files in a folder of their own: whole or not at all, also when the disk refuses half-way. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"

static char folder[] = "test_file_XXXXXX";

static int enter(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    return chdir("..") == 0 && rmdir(folder) == 0 ? 0 : -1; /* each test cleans up */
}

static size_t entries(void)
{
    size_t n = 0;
    DIR *d = opendir(".");
    assert_non_null(d);
    while (readdir(d)) {
        n++;
    }
    (void)closedir(d);
    return n - 2; /* "." and ".." */
}

static void assert_content(const char *path, const char *expected)
{
    struct buf b = {0};
    assert_int_equal(file_read(path, 1 << 20, &b, NULL), CAIRN_OK);
    assert_string_equal(buf_text(&b), expected);
    buf_release(&b);
}

static void test_file__read_appends_within_its_limit(void **state)
{
    (void)state;
    struct cairn_problem why;
    struct buf b = {0};
    assert_int_equal(file_replace("f", "12345", 5, 0644, &why), CAIRN_OK);
    assert_int_equal(buf_append(&b, "<", 1), CAIRN_OK);
    assert_int_equal(file_read("f", 5, &b, &why), CAIRN_OK);
    assert_string_equal(buf_text(&b), "<12345");
    assert_int_equal(file_read("f", 4, &b, &why), CAIRN_ERR_STORAGE);
    assert_non_null(strstr(why.what, "f: longer than the 4 bytes"));
    assert_string_equal(buf_text(&b), "<12345");
    /* a terabyte of nothing: refused before memory is asked for */
    assert_int_equal(truncate("f", (off_t)1 << 40), 0);
    assert_int_equal(file_read("f", 5, &b, &why), CAIRN_ERR_STORAGE);
    assert_int_equal(unlink("f"), 0);
    buf_release(&b);
}

static void test_file__read_errors_name_path_and_reason(void **state)
{
    (void)state;
    struct cairn_problem why = {0};
    struct buf b = {0};
    assert_int_equal(file_read("none", 10, &b, &why), CAIRN_ERR_STORAGE);
    assert_int_equal(why.code, CAIRN_ERR_STORAGE);
    assert_string_equal(why.what, "none: cannot open: No such file or directory");
    assert_true(strlen(why.hint) > 0);
    assert_int_equal(file_read(".", 10, &b, &why), CAIRN_ERR_STORAGE);
    assert_string_equal(why.what, ".: cannot read: Is a directory");
    assert_int_equal(b.size, 0);
    assert_false(file_exists("none"));
    assert_true(file_exists("."));
    buf_release(&b);
}

static void test_file__a_draft_is_told_by_its_name(void **state)
{
    (void)state;
    static const char *const yes[] = {"f.1-0.tmp", "a.b.4711-99.tmp"};
    static const char *const no[] = {"", "f", ".tmp", "f.tmp", "f.1.tmp", "f.1-.tmp", "f.-1.tmp",
                                     "f1-0.tmp", ".1-0.tmp", "f.1-0.tmpx", "f.x1-0.tmp", "1-0.tmp"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        assert_true(file_draft_named(yes[i]));
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        assert_false(file_draft_named(no[i]));
    }
    struct file_draft draft;
    assert_int_equal(file_draft_open(&draft, "f", 0600, NULL), CAIRN_OK);
    assert_true(file_draft_named(draft.beside));
    file_draft_drop(&draft);
}

static void test_file__knows_whether_a_path_is_still_its_own(void **state)
{
    (void)state;
    assert_int_equal(file_replace("f", "1", 1, 0644, NULL), CAIRN_OK);
    int fd = open("f", O_RDONLY | O_CLOEXEC);
    assert_true(file_is_at(fd, "f"));
    assert_int_equal(symlink("f", "link"), 0);
    assert_false(file_is_at(fd, "link"));
    assert_int_equal(file_replace("f", "2", 1, 0644, NULL), CAIRN_OK);
    assert_false(file_is_at(fd, "f"));
    assert_int_equal(unlink("f"), 0);
    assert_false(file_is_at(fd, "f"));
    assert_int_equal(unlink("link"), 0);
    (void)close(fd);
}

/* A pipe has no size: 200000 bytes through a FIFO, with and without room for them. */
static void test_file__reads_a_pipe(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    for (size_t limit = SIZE - 1; limit <= SIZE; limit++) {
        assert_int_equal(mkfifo("pipe", 0600), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)signal(SIGPIPE, SIG_IGN);
            int fd = open("pipe", O_WRONLY | O_CLOEXEC);
            for (int i = 0; i < SIZE / 1000; i++) {
                char bytes[1000];
                memset(bytes, 'a' + i % 26, sizeof bytes);
                if (write(fd, bytes, sizeof bytes) < 0) {
                    break; /* the reader has seen enough */
                }
            }
            _exit(0);
        }
        struct buf b = {0};
        int error = file_read("pipe", limit, &b, NULL);
        assert_int_equal(error, limit == SIZE ? CAIRN_OK : CAIRN_ERR_STORAGE);
        assert_int_equal(b.size, limit == SIZE ? SIZE : 0);
        assert_true(b.size == 0 || b.data[SIZE - 1] == 'a' + (SIZE / 1000 - 1) % 26);
        buf_release(&b);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(unlink("pipe"), 0);
    }
}

static void test_file__replace(void **state)
{
    (void)state;
    struct cairn_problem why;
    struct stat s;
    mode_t mask = umask(022);
    assert_int_equal(file_replace("key", "old", 3, 0644, &why), CAIRN_OK);
    assert_int_equal(stat("key", &s), 0);
    assert_int_equal(s.st_mode & 0777, 0644);
    assert_int_equal(file_replace("key", "new!", 4, 0600, &why), CAIRN_OK);
    assert_int_equal(stat("key", &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    (void)umask(mask);
    assert_content("key", "new!");
    assert_int_equal(file_rewrite("key", "newer", 5, 0600, &why), CAIRN_OK);
    struct buf newer = {0};
    assert_int_equal(file_read("key", 100, &newer, &why), CAIRN_OK);
    assert_string_equal(buf_text(&newer), "newer");
    buf_release(&newer);
    assert_int_equal(file_replace("key", NULL, 0, 0600, &why), CAIRN_OK);
    assert_content("key", "");
    assert_int_equal(entries(), 1); /* nothing is left beside it */
    assert_int_equal(unlink("key"), 0);
    assert_int_equal(file_replace("none/key", "x", 1, 0600, &why), CAIRN_ERR_STORAGE);
    assert_non_null(strstr(why.what, "none/key: "));
    assert_int_equal(mkdir("d", 0755), 0);
    assert_int_equal(file_replace("d", "x", 1, 0600, &why), CAIRN_ERR_STORAGE);
    assert_int_equal(entries(), 1);
    assert_int_equal(rmdir("d"), 0);
}

/* A symbolic link planted at the path is replaced, and what it points to is left alone. */
static void test_file__replace_does_not_follow_links(void **state)
{
    (void)state;
    assert_int_equal(file_replace("victim", "v", 1, 0600, NULL), CAIRN_OK);
    assert_int_equal(symlink("victim", "link"), 0);
    assert_int_equal(file_replace("link", "x", 1, 0600, NULL), CAIRN_OK);
    assert_content("victim", "v");
    assert_content("link", "x");
    assert_int_equal(unlink("link"), 0);
    assert_int_equal(unlink("victim"), 0);
}

/* With a limit on file sizes, writing stops half-way as on a full disk. */
static void test_file__a_full_disk_loses_nothing(void **state)
{
    (void)state;
    assert_int_equal(file_replace("f", "whole line\n", 11, 0644, NULL), CAIRN_OK);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char bytes[100];
        memset(bytes, 'x', sizeof bytes);
        const struct rlimit small = {50, 50};
        (void)signal(SIGXFSZ, SIG_IGN);
        int ok = setrlimit(RLIMIT_FSIZE, &small) == 0 &&
                 file_replace("f", bytes, sizeof bytes, 0644, NULL) == CAIRN_ERR_STORAGE &&
                 file_append("f", bytes, sizeof bytes, NULL) == CAIRN_ERR_STORAGE;
        const int fd = open("f", O_WRONLY | O_CLOEXEC);
        /* half of it, and then none: the second half is not written in the place of the first */
        ok = ok && file_write_at(fd, "f", 40, bytes, 20, NULL) == CAIRN_ERR_STORAGE &&
             ftruncate(fd, sizeof "whole line\n" - 1) == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_content("f", "whole line\n");
    assert_int_equal(entries(), 1);
    assert_int_equal(unlink("f"), 0);
}

static void test_file__append(void **state)
{
    (void)state;
    struct cairn_problem why;
    assert_int_equal(file_append("log", "one\n", 4, &why), CAIRN_OK);
    assert_int_equal(file_append("log", "two\n", 4, &why), CAIRN_OK);
    assert_content("log", "one\ntwo\n");
    assert_int_equal(unlink("log"), 0);
    assert_int_equal(file_append("/dev/full", "x", 1, &why), CAIRN_ERR_STORAGE);
    assert_string_equal(why.what, "/dev/full: cannot append: No space left on device");
    assert_string_equal(why.hint, "free some space on that disk");
    assert_int_equal(file_append("none/log", "x", 1, &why), CAIRN_ERR_STORAGE);
}

static void test_file__make_folders(void **state)
{
    (void)state;
    struct cairn_problem why;
    assert_int_equal(file_make_folders("a/b//c/", &why), CAIRN_OK);
    assert_int_equal(file_make_folders("a/b/c", &why), CAIRN_OK);
    assert_int_equal(file_make_folders("/", &why), CAIRN_OK);
    assert_int_equal(file_make_folders(".", &why), CAIRN_OK);
    assert_true(file_exists("a/b/c"));
    assert_int_equal(file_make_folders("", &why), CAIRN_ERR_STORAGE);
    assert_int_equal(file_append("a/f", "x", 1, &why), CAIRN_OK);
    assert_int_equal(file_make_folders("a/f/g", &why), CAIRN_ERR_STORAGE);
    assert_string_equal(why.what, "a/f: cannot make this folder: File exists");
    assert_int_equal(unlink("a/f"), 0);
    assert_int_equal(rmdir("a/b/c"), 0);
    assert_int_equal(rmdir("a/b"), 0);
    assert_int_equal(rmdir("a"), 0);
}

static void test_file__draft(void **state)
{
    (void)state;
    struct file_draft draft = {0};
    file_draft_drop(&draft); /* empty: ignored */
    assert_int_equal(file_append("f", "old", 3, NULL), CAIRN_OK);
    assert_int_equal(file_draft_open(&draft, "f", 0644, NULL), CAIRN_OK);
    assert_int_equal(file_draft_write(&draft, "ne", 2, NULL), CAIRN_OK);
    assert_content("f", "old"); /* until it is whole */
    file_draft_drop(&draft);
    assert_content("f", "old");
    assert_int_equal(entries(), 1);
    assert_int_equal(file_draft_open(&draft, "f", 0644, NULL), CAIRN_OK);
    assert_int_equal(file_draft_write(&draft, "ne", 2, NULL), CAIRN_OK);
    assert_int_equal(file_draft_write(&draft, "w", 1, NULL), CAIRN_OK);
    assert_int_equal(file_draft_finish(&draft, true, NULL), CAIRN_OK);
    assert_content("f", "new");
    assert_int_equal(entries(), 1);
    assert_int_equal(file_draft_open(&draft, "no/f", 0644, NULL), CAIRN_ERR_STORAGE);
    assert_int_equal(unlink("f"), 0);
}

static void test_file__write_at(void **state)
{
    (void)state;
    struct cairn_problem why;
    int fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(file_write_at(fd, "f", 2, "cdef", 4, &why), CAIRN_OK);
    assert_int_equal(file_write_at(fd, "f", 0, "ab", 2, &why), CAIRN_OK);
    assert_int_equal(file_write_at(fd, "f", 3, "x", 0, &why), CAIRN_OK);
    assert_content("f", "abcdef");
    (void)close(fd);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(file_write_at(fd, "that file", 0, "x", 1, &why), CAIRN_ERR_STORAGE);
    assert_non_null(strstr(why.what, "that file: cannot write: No space left"));
    (void)close(fd);
    assert_int_equal(unlink("f"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file__read_appends_within_its_limit),
        cmocka_unit_test(test_file__read_errors_name_path_and_reason),
        cmocka_unit_test(test_file__a_draft_is_told_by_its_name),
        cmocka_unit_test(test_file__knows_whether_a_path_is_still_its_own),
        cmocka_unit_test(test_file__reads_a_pipe),
        cmocka_unit_test(test_file__replace),
        cmocka_unit_test(test_file__replace_does_not_follow_links),
        cmocka_unit_test(test_file__a_full_disk_loses_nothing),
        cmocka_unit_test(test_file__append),
        cmocka_unit_test(test_file__write_at),
        cmocka_unit_test(test_file__make_folders),
        cmocka_unit_test(test_file__draft),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
