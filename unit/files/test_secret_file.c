/* SPDX-License-Identifier: Apache-2.0 */
/* Removing a secret key: overwritten, unless the bytes are not its own to destroy. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "secret_file.h"

static char folder[] = "test_secret_file_XXXXXX";

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

/* Longer than the run of zeros, and not a multiple of it. */
static void test_secret_file__remove_leaves_zeros(void **state)
{
    (void)state;
    enum { SIZE = 10001 };
    static uint8_t bytes[SIZE + 1], zeros[SIZE];
    memset(bytes, 0x77, sizeof bytes);
    assert_int_equal(file_replace("k", bytes, SIZE, 0600, NULL), 0);
    int fd = open("k", O_RDONLY | O_CLOEXEC);
    assert_int_equal(secret_file_remove("k", NULL), 0);
    assert_false(file_exists("k"));
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), SIZE);
    assert_memory_equal(bytes, zeros, SIZE);
    (void)close(fd);
    assert_int_equal(secret_file_remove("k", NULL), 0); /* not there: no error */
}

static void test_secret_file__remove_destroys_nothing_else(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(file_replace("f", "12345", 5, 0600, NULL), 0);
    assert_int_equal(symlink("f", "k"), 0);
    assert_int_equal(secret_file_remove("k", NULL), 0);
    assert_int_equal(link("f", "k"), 0);
    assert_int_equal(secret_file_remove("k", NULL), 0);
    assert_int_equal(mkfifo("k", 0600), 0);
    assert_int_equal(secret_file_remove("k", NULL), 0);
    struct stat status;
    assert_int_not_equal(lstat("k", &status), 0);
    assert_int_equal(file_read("f", 10, &b, NULL), 0);
    assert_string_equal(buf_text(&b), "12345");
    buf_release(&b);
    assert_int_equal(unlink("f"), 0);
}

static void test_secret_file__a_folder_stays_and_is_told(void **state)
{
    (void)state;
    struct cairn_problem why;
    assert_int_equal(mkdir("k", 0700), 0);
    assert_int_equal(secret_file_remove("k", &why), CAIRN_ERR_STORAGE);
    assert_non_null(strstr(why.what, "k: cannot remove"));
    assert_int_equal(rmdir("k"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret_file__remove_leaves_zeros),
        cmocka_unit_test(test_secret_file__remove_destroys_nothing_else),
        cmocka_unit_test(test_secret_file__a_folder_stays_and_is_told),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
