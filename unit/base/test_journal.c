/* SPDX-License-Identifier: Apache-2.0 */
/* Journals that are cut, damaged, mixed up and short of room: what is read is a prefix, always. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "digest.h"
#include "journal.h"
#include "le.h"

static char folder[] = "test_journal_XXXXXX";

enum { LIMIT = 1 << 16, OVERHEAD = JOURNAL_RECORD_HEADER + JOURNAL_DIGEST };

/* ---- the disk ---- */

int __real_fdatasync(int fd);
ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t at);
int __wrap_fdatasync(int fd);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t at);

static bool flush_fails;
static size_t most; /* bytes that one call writes; 0: as many as there are */
static unsigned interruptions;

int __wrap_fdatasync(int fd)
{
    if (flush_fails) {
        errno = EIO;
        return -1;
    }
    return __real_fdatasync(fd);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    for (int i = 0; i < n && most > 0; i++) {
        if (iov[i].iov_len > 0) {
            return pwrite(fd, iov[i].iov_base, iov[i].iov_len < most ? iov[i].iov_len : most, at);
        }
    }
    return __real_pwritev(fd, iov, n, at);
}

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

/* ---- records that are known by their number ---- */

static const size_t sizes[] = {5, 0, 1, 40, 17, 8};
enum { RECORDS = sizeof sizes / sizeof sizes[0] };

static size_t record_size(size_t i)
{
    return sizes[i % RECORDS];
}

static void record(size_t i, uint8_t out[64])
{
    for (size_t k = 0; k < 64; k++) {
        out[k] = (uint8_t)(31 * i + 7 * k + 1);
    }
}

/* In one part, in two, in three. */
static int append(struct journal *j, size_t i)
{
    uint8_t bytes[64];
    record(i, bytes);
    const size_t size = record_size(i), third = size / 3;
    const struct span parts[] = {
        {bytes, i % 3 == 0 ? size : third},
        {bytes + third, i % 3 == 1 ? size - third : third},
        {bytes + 2 * third, size - 2 * third},
    };
    return journal_append(j, (uint32_t)i + 100, parts, i % 3 + 1, NULL);
}

static void make(const char *path, size_t n)
{
    struct journal j;
    assert_int_equal(journal_create(path, 0600, &j, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(append(&j, i), 0);
    }
    assert_int_equal(journal_publish(&j, NULL), 0);
    journal_close(&j);
}

/* Bytes of a journal with the first n records. */
static uint64_t length_of(size_t n)
{
    uint64_t length = JOURNAL_HEADER;
    for (size_t i = 0; i < n; i++) {
        length += record_size(i) + OVERHEAD;
    }
    return length;
}

/* How many of the records are read: the first ones, as they were written. */
static size_t count(const char *path, bool *damaged)
{
    struct journal_reader r;
    struct buf payload = {0};
    uint8_t expected[64];
    uint32_t type;
    size_t n = 0;
    int got;
    assert_int_equal(journal_reader_open(&r, path, LIMIT, NULL), 0);
    while ((got = journal_reader_next(&r, &type, &payload, NULL)) == 1) {
        record(n, expected);
        assert_int_equal(type, n + 100);
        assert_int_equal(payload.size, record_size(n));
        assert_memory_equal(payload.data, expected, payload.size);
        n++;
    }
    assert_int_equal(got, 0);
    assert_int_equal(payload.size, 0);
    assert_int_equal(journal_reader_next(&r, &type, &payload, NULL), 0);
    assert_int_equal(r.good, length_of(n));
    if (damaged != NULL) {
        *damaged = r.damaged;
    }
    journal_reader_close(&r);
    buf_release(&payload);
    return n;
}

static void put(const char *path, const uint8_t *bytes, size_t size)
{
    assert_int_equal(file_rewrite(path, bytes, size, 0600, NULL), 0);
}

static struct buf get(const char *path)
{
    struct buf b = {0};
    assert_int_equal(file_read(path, 1 << 20, &b, NULL), 0);
    return b;
}

/* ---- tests ---- */

static void test_journal__reads_what_was_written(void **state)
{
    (void)state;
    struct stat status;
    make("j", 3 * RECORDS);
    assert_int_equal(count("j", NULL), 3 * RECORDS);
    assert_int_equal(stat("j", &status), 0);
    assert_int_equal(status.st_size, length_of(3 * RECORDS));
    assert_int_equal(status.st_mode & 07777, 0600);
    make("j", 0);
    assert_int_equal(count("j", NULL), 0);
    assert_int_equal(unlink("j"), 0);
}

/* Interrupted, and a few bytes at a time. */
static void test_journal__short_writes_are_gone_on_with(void **state)
{
    (void)state;
    for (most = 1; most < 20; most += 3) {
        interruptions = (unsigned)most;
        make("j", RECORDS);
        assert_int_equal(count("j", NULL), RECORDS);
    }
    most = 0;
    assert_int_equal(unlink("j"), 0);
}

static void test_journal__the_old_one_stands_until_the_new_is_published(void **state)
{
    (void)state;
    struct journal j;
    make("j", 2);
    assert_int_equal(journal_create("j", 0600, &j, NULL), 0);
    assert_int_equal(append(&j, 0), 0);
    assert_int_equal(count("j", NULL), 2);
    assert_int_equal(journal_publish(&j, NULL), 0);
    assert_int_equal(count("j", NULL), 1);
    assert_int_equal(append(&j, 1), 0); /* and on */
    assert_int_equal(append(&j, 2), 0);
    assert_int_equal(journal_sync(&j, NULL), 0);
    assert_int_equal(count("j", NULL), 3);
    journal_close(&j);
    journal_close(&j);
    assert_int_equal(append(&j, 0), CAIRN_ERR_BUG);
    /* one that is not published leaves nothing */
    assert_int_equal(journal_create("k", 0600, &j, NULL), 0);
    assert_int_equal(append(&j, 0), 0);
    journal_close(&j);
    assert_int_equal(unlink("j"), 0);
}

static void test_journal__cut_at_every_byte_is_a_prefix(void **state)
{
    (void)state;
    make("whole", RECORDS);
    struct buf whole = get("whole");
    struct cairn_problem why;
    size_t expected = 0;
    for (size_t size = 0; size <= whole.size; size++) {
        struct journal j;
        struct journal_reader r;
        bool damaged = true;
        put("j", whole.data, size);
        if (size < JOURNAL_HEADER) {
            assert_int_equal(journal_reader_open(&r, "j", LIMIT, &why), CAIRN_ERR_INTEGRITY);
            assert_int_equal(journal_reopen("j", size, &j, &why), CAIRN_ERR_INTEGRITY);
            continue;
        }
        expected += size == length_of(expected + 1);
        assert_int_equal(count("j", &damaged), expected);
        assert_false(damaged);
        /* and goes on from there */
        assert_int_equal(journal_reopen("j", length_of(expected), &j, &why), 0);
        assert_int_equal(append(&j, expected), 0);
        assert_int_equal(journal_cut(&j, &why), 0);
        assert_int_equal(count("j", &damaged), expected + 1);
        assert_false(damaged);
        for (size_t i = expected + 1; i < RECORDS + 1; i++) {
            assert_int_equal(append(&j, i), 0);
        }
        journal_close(&j);
        assert_int_equal(count("j", &damaged), RECORDS + 1);
        assert_false(damaged);
    }
    assert_int_equal(expected, RECORDS);
    assert_int_equal(unlink("j"), 0);
    assert_int_equal(unlink("whole"), 0);
    buf_release(&whole);
}

static void test_journal__every_bit_flipped_ends_it_there(void **state)
{
    (void)state;
    make("whole", RECORDS);
    struct buf whole = get("whole");
    size_t before = 0; /* records that end before the byte */
    for (size_t at = 0; at < whole.size; at++) {
        before += at == length_of(before + 1);
        for (unsigned bit = 0; bit < 8; bit++) {
            whole.data[at] ^= (uint8_t)(1u << bit);
            put("j", whole.data, whole.size);
            whole.data[at] ^= (uint8_t)(1u << bit);
            if (at < JOURNAL_HEADER) {
                struct journal_reader r;
                assert_int_equal(journal_reader_open(&r, "j", LIMIT, NULL), CAIRN_ERR_INTEGRITY);
            } else {
                bool damaged = false;
                assert_int_equal(count("j", &damaged), before);
                assert_true(damaged);
            }
        }
    }
    assert_int_equal(unlink("j"), 0);
    assert_int_equal(unlink("whole"), 0);
    buf_release(&whole);
}

/* As the power leaves it when it goes: the right length, and zeros where nothing was flushed. */
static void test_journal__zeros_at_the_end_are_damage(void **state)
{
    (void)state;
    make("whole", RECORDS);
    struct buf whole = get("whole");
    size_t expected = RECORDS;
    for (size_t at = whole.size; at-- > JOURNAL_HEADER;) {
        bool damaged = false;
        if (whole.data[at] == 0) {
            continue; /* nothing is lost that way */
        }
        expected -= at < length_of(expected);
        whole.data[at] = 0;
        put("j", whole.data, whole.size);
        assert_int_equal(count("j", &damaged), expected);
        assert_true(damaged);
    }
    assert_int_equal(unlink("j"), 0);
    assert_int_equal(unlink("whole"), 0);
    buf_release(&whole);
}

/* Two records of one length change places; one is missing; one comes from another journal that holds
 * the very same; one is there twice. */
static void test_journal__records_fit_in_one_place_only(void **state)
{
    (void)state;
    const size_t at[] = {length_of(0), length_of(RECORDS)}; /* records 0 and RECORDS: 5 bytes */
    const size_t size = 5 + OVERHEAD;
    uint8_t spare[5 + OVERHEAD];
    make("whole", RECORDS + 1);
    make("other", RECORDS + 1);
    struct buf whole = get("whole"), other = get("other"), b = {0};
    memcpy(spare, whole.data + at[0], size);
    memcpy(whole.data + at[0], whole.data + at[1], size);
    memcpy(whole.data + at[1], spare, size);
    put("j", whole.data, whole.size);
    assert_int_equal(count("j", NULL), 0);
    memcpy(whole.data + at[1], whole.data + at[0], size);
    memcpy(whole.data + at[0], spare, size);
    memcpy(spare, whole.data + at[1], size);
    memcpy(whole.data + at[1], other.data + at[1], size);
    put("j", whole.data, whole.size);
    assert_int_equal(count("j", NULL), RECORDS);
    memcpy(whole.data + at[1], spare, size);
    put("j", whole.data, whole.size);
    assert_int_equal(count("j", NULL), RECORDS + 1);
    assert_int_equal(buf_append(&b, whole.data, at[0]), 0);
    assert_int_equal(buf_append(&b, whole.data + at[0] + size, whole.size - at[0] - size), 0);
    put("j", b.data, b.size);
    assert_int_equal(count("j", NULL), 0);
    assert_int_equal(buf_append(&whole, spare, size), 0);
    put("j", whole.data, whole.size);
    assert_int_equal(count("j", NULL), RECORDS + 1);
    buf_release(&whole);
    buf_release(&other);
    buf_release(&b);
    assert_int_equal(unlink("j"), 0);
    assert_int_equal(unlink("whole"), 0);
    assert_int_equal(unlink("other"), 0);
}

/* Lengths above the limit, above what the file has, and 2^32 - 1 in a file that is that long. */
static void test_journal__a_lying_length_asks_for_no_memory(void **state)
{
    (void)state;
    static const uint32_t lies[] = {6, 0xffff, LIMIT, LIMIT + 1, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < 2 * sizeof lies / sizeof lies[0]; i++) {
        struct journal_reader r;
        struct buf payload = {0};
        uint32_t type;
        uint8_t length[4];
        make("j", 1);
        int fd = open("j", O_WRONLY | O_CLOEXEC);
        le_put32(length, lies[i / 2]);
        assert_int_equal(pwrite(fd, length, sizeof length, JOURNAL_HEADER), sizeof length);
        assert_int_equal(i % 2 == 0 ? 0 : ftruncate(fd, (off_t)1 << 40), 0); /* sparse */
        (void)close(fd);
        assert_int_equal(journal_reader_open(&r, "j", LIMIT, NULL), 0);
        assert_int_equal(journal_reader_next(&r, &type, &payload, NULL), 0);
        assert_int_equal(r.good, JOURNAL_HEADER);
        assert_true(payload.capacity == 0 && r.damaged);
        journal_reader_close(&r);
        buf_release(&payload);
    }
    assert_int_equal(unlink("j"), 0);
}

/* Exactly at the limit, and one byte above. */
static void test_journal__the_limit_is_the_callers(void **state)
{
    (void)state;
    for (size_t limit = 4; limit <= 5; limit++) {
        struct journal_reader r;
        struct buf payload = {0};
        uint32_t type;
        make("j", 1);
        assert_int_equal(journal_reader_open(&r, "j", limit, NULL), 0);
        assert_int_equal(journal_reader_next(&r, &type, &payload, NULL), limit == 5);
        journal_reader_close(&r);
        buf_release(&payload);
    }
    assert_int_equal(unlink("j"), 0);
}

/* In a child: the limit of a file's size stands in for a full disk, at every byte of a record. */
static void run_out_of_room(void)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    struct journal j;
    (void)getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t all = limit.rlim_cur;
    make("j", 3);
    for (rlim_t room = 0; room < record_size(3) + OVERHEAD; room++) {
        struct stat status;
        struct cairn_problem why;
        const uint8_t bytes[64] = {0};
        const struct span part = {bytes, record_size(3)};
        assert_int_equal(journal_reopen("j", length_of(3), &j, NULL), 0);
        limit.rlim_cur = (rlim_t)length_of(3) + room;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(journal_append(&j, 103, &part, 1, &why), CAIRN_ERR_STORAGE);
        assert_non_null(strstr(why.what, "j: cannot append: File too large"));
        assert_true(strlen(why.hint) > 0);
        assert_int_equal(stat("j", &status), 0);
        assert_int_equal(status.st_size, length_of(3));
        limit.rlim_cur = all;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        /* there is room again */
        assert_int_equal(append(&j, 3), 0);
        assert_int_equal(append(&j, 4), 0);
        assert_int_equal(journal_sync(&j, NULL), 0);
        journal_close(&j);
        assert_int_equal(count("j", NULL), 5);
    }
}

static void test_journal__a_full_disk_leaves_it_usable(void **state)
{
    (void)state;
    int status = -1;
    (void)fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run_out_of_room();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(unlink("j"), 0);
}

static void test_journal__a_flush_that_failed_is_final(void **state)
{
    (void)state;
    struct journal j;
    struct cairn_problem why;
    make("j", 1);
    assert_int_equal(journal_reopen("j", length_of(1), &j, NULL), 0);
    assert_int_equal(append(&j, 1), 0);
    flush_fails = true;
    assert_int_equal(journal_sync(&j, &why), CAIRN_ERR_STORAGE);
    assert_non_null(strstr(why.what, "j: cannot flush: Input/output error"));
    flush_fails = false;
    assert_int_equal(journal_sync(&j, &why), CAIRN_ERR_STORAGE);
    assert_int_equal(append(&j, 2), CAIRN_ERR_STORAGE);
    journal_close(&j);
    assert_int_equal(count("j", NULL), 2);
    assert_int_equal(unlink("j"), 0);
}

static void test_journal__refuses_what_is_no_journal(void **state)
{
    (void)state;
    struct journal_reader r;
    struct journal j;
    struct cairn_problem why;
    static const uint8_t text[100] = "{\"this\": \"is none\"}";
    assert_int_equal(journal_reader_open(&r, "none", LIMIT, &why), CAIRN_ERR_STORAGE);
    assert_int_equal(journal_reopen("none", JOURNAL_HEADER, &j, &why), CAIRN_ERR_STORAGE);
    put("j", text, sizeof text);
    assert_int_equal(journal_reader_open(&r, "j", LIMIT, &why), CAIRN_ERR_INTEGRITY);
    assert_string_equal(why.what, "j does not begin as a journal");
    assert_int_equal(symlink("j", "link"), 0);
    assert_int_equal(journal_reader_open(&r, "link", LIMIT, &why), CAIRN_ERR_STORAGE);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(journal_reader_open(&r, "pipe", LIMIT, &why), CAIRN_ERR_INTEGRITY);
    assert_int_equal(journal_reader_open(&r, ".", LIMIT, &why), CAIRN_ERR_INTEGRITY);
    assert_int_equal(journal_create("none/j", 0600, &j, &why), CAIRN_ERR_STORAGE);
    journal_close(&j);
    assert_int_equal(unlink("link"), 0);
    assert_int_equal(unlink("pipe"), 0);
    assert_int_equal(unlink("j"), 0);
}

/* Of another version and otherwise whole: which one is said, and that it is another's. */
static void test_journal__another_version(void **state)
{
    (void)state;
    struct journal_reader r;
    struct cairn_problem why;
    uint8_t header[JOURNAL_HEADER] = "CRNJ\x01", digest[DIGEST_SIZE];
    digest_of(header, JOURNAL_HEADER - JOURNAL_DIGEST, digest);
    memcpy(header + JOURNAL_HEADER - JOURNAL_DIGEST, digest, JOURNAL_DIGEST);
    put("j", header, sizeof header);
    assert_int_equal(journal_reader_open(&r, "j", LIMIT, &why), CAIRN_ERR_INTEGRITY);
    assert_string_equal(why.what, "j: a journal of version 1, this program reads version 2");
    assert_string_equal(why.hint, "use the version of cairn that wrote it");
    assert_int_equal(unlink("j"), 0);
}

/* Another name has taken the place: a folder cannot be replaced, and what was there stands. */
static void test_journal__publishing_can_fail(void **state)
{
    (void)state;
    struct journal j;
    assert_int_equal(mkdir("j", 0755), 0);
    assert_int_equal(journal_create("j", 0600, &j, NULL), 0);
    assert_int_equal(journal_publish(&j, NULL), CAIRN_ERR_STORAGE);
    assert_null(j.path);
    assert_int_equal(rmdir("j"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal__reads_what_was_written),
        cmocka_unit_test(test_journal__short_writes_are_gone_on_with),
        cmocka_unit_test(test_journal__the_old_one_stands_until_the_new_is_published),
        cmocka_unit_test(test_journal__cut_at_every_byte_is_a_prefix),
        cmocka_unit_test(test_journal__every_bit_flipped_ends_it_there),
        cmocka_unit_test(test_journal__zeros_at_the_end_are_damage),
        cmocka_unit_test(test_journal__records_fit_in_one_place_only),
        cmocka_unit_test(test_journal__a_lying_length_asks_for_no_memory),
        cmocka_unit_test(test_journal__the_limit_is_the_callers),
        cmocka_unit_test(test_journal__a_full_disk_leaves_it_usable),
        cmocka_unit_test(test_journal__a_flush_that_failed_is_final),
        cmocka_unit_test(test_journal__refuses_what_is_no_journal),
        cmocka_unit_test(test_journal__another_version),
        cmocka_unit_test(test_journal__publishing_can_fail),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
