/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret randomness: published keystreams, an operating system that answers
 * short, late or not at all, forks, and the change of keys.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "digest.h"
#include "random.h"
#include "random_internal.h"
#include "replay.h"

static const uint8_t *const zeros = (const uint8_t[64]){0};

/* Another one each time; CAIRN_TEST_SEED in the environment brings one back. */
static uint64_t property_seed(void)
{
    const char *text = getenv("CAIRN_TEST_SEED");
    uint64_t seed = text ? (uint64_t)strtoull(text, NULL, 0) : (uint64_t)getpid();
    print_message("CAIRN_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* An operating system that gives these bytes as its randomness, again and again. */
static uint8_t fake_seed[RANDOM_SEED_SIZE];
static size_t fake_limit; /* bytes per answer */
static size_t fake_at;
static unsigned fake_interrupts; /* EINTR this many times before each answer */
static unsigned fake_interrupted;

static ssize_t fake_getrandom(void *out, size_t size, unsigned flags)
{
    assert_int_equal(flags, 0); /* never GRND_NONBLOCK, never GRND_INSECURE */
    if (fake_interrupted < fake_interrupts) {
        fake_interrupted++;
        errno = EINTR;
        return -1;
    }
    fake_interrupted = 0;
    size_t n = size < fake_limit ? size : fake_limit;
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)out)[i] = fake_seed[fake_at++ % sizeof fake_seed];
    }
    return (ssize_t)n;
}

static int failing_errno;
static ssize_t failing_result;
static size_t failing_after; /* bytes that are still given, one at a time */

static ssize_t failing_getrandom(void *out, size_t size, unsigned flags)
{
    (void)flags;
    assert_true(size > 0);
    if (failing_after > 0) {
        failing_after--;
        *(uint8_t *)out = 0xaa;
        return 1;
    }
    errno = failing_errno;
    return failing_result;
}

static int reset(void **state)
{
    (void)state;
    random_getrandom = getrandom;
    memset(fake_seed, 0, sizeof fake_seed);
    fake_limit = SIZE_MAX;
    fake_at = 0;
    fake_interrupts = fake_interrupted = 0;
    failing_errno = 0;
    failing_result = -1;
    failing_after = 0;
    return 0;
}

static struct secret_rng *new_rng(enum random_cipher cipher)
{
    struct secret_rng *rng;
    assert_int_equal(random_new_with(cipher, &rng), CAIRN_OK);
    assert_non_null(rng);
    return rng;
}

/* NIST SP 800-38A, F.5.5 CTR-AES256.Encrypt: plaintext xor ciphertext is the keystream.
 * Its counter crosses a byte boundary between the first block and the second. */
static void test_random__aes_keystream_of_sp800_38a(void **state)
{
    (void)state;
    assert_int_equal(digest_from_hex("603deb1015ca71be2b73aef0857d7781"
                                     "1f352c073b6108d72d9810a30914dff4"
                                     "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
                                     fake_seed, sizeof fake_seed),
                     CAIRN_OK);
    uint8_t plain[64], cipher[64], out[64];
    assert_int_equal(digest_from_hex("6bc1bee22e409f96e93d7e117393172a"
                                     "ae2d8a571e03ac9c9eb76fac45af8e51"
                                     "30c81c46a35ce411e5fbc1191a0a52ef"
                                     "f69f2445df4f9b17ad2b417be66c3710",
                                     plain, 64),
                     CAIRN_OK);
    assert_int_equal(digest_from_hex("601ec313775789a5b7a7f504bbf3d228"
                                     "f443e3ca4d62b59aca84e990cacaf5c5"
                                     "2b0930daa23de94ce87017ba2d84988d"
                                     "dfc9c58db67aada613c2dd08457941a6",
                                     cipher, 64),
                     CAIRN_OK);
    random_getrandom = fake_getrandom;
    struct secret_rng *rng = new_rng(RANDOM_AES256);
    assert_int_equal(secret_rng_fill(rng, out, sizeof out), CAIRN_OK);
    for (size_t i = 0; i < sizeof out; i++) {
        assert_int_equal(out[i], plain[i] ^ cipher[i]);
    }
    secret_rng_free(rng);
}

/* RFC 8439, A.1, test vectors 1 and 2: key and nonce zero, blocks 0 and 1 */
static void test_random__chacha_keystream_of_rfc8439(void **state)
{
    (void)state;
    uint8_t expected[128], out[128];
    assert_int_equal(digest_from_hex("76b8e0ada0f13d90405d6ae55386bd28"
                                     "bdd219b8a08ded1aa836efcc8b770dc7"
                                     "da41597c5157488d7724e03fb8d84a37"
                                     "6a43b8f41518a11cc387b669b2ee6586"
                                     "9f07e7be5551387a98ba977c732d080d"
                                     "cb0f29a048e3656912c6533e32ee7aed"
                                     "29b721769ce64e43d57133b074d839d5"
                                     "31ed1f28510afb45ace10a1f4b794d6f",
                                     expected, 128),
                     CAIRN_OK);
    random_getrandom = fake_getrandom;
    struct secret_rng *rng = new_rng(RANDOM_CHACHA20);
    assert_int_equal(secret_rng_fill(rng, out, sizeof out), CAIRN_OK);
    assert_memory_equal(out, expected, sizeof out);
    secret_rng_free(rng);
}

/* NIST AESAVS, KeySbox and VarKey for AES-256: the encryption of zeros is keystream block 0. */
static void test_random__expand_known_answers(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"c47b0294dbbbee0fec4757f22ffeee3587ca4730c3d33b691df38bab076bc558",
         "46f2fb342d6f0ab477476fc501242c5f"},
        {"8000000000000000000000000000000000000000000000000000000000000000",
         "e35a6dcb19b201a01ebcfa8aa22b5759"},
    };
    for (size_t i = 0; i < 2; i++) {
        uint8_t key[32], expected[16], out[16];
        assert_int_equal(digest_from_hex(rows[i][0], key, 32), CAIRN_OK);
        assert_int_equal(digest_from_hex(rows[i][1], expected, 16), CAIRN_OK);
        assert_int_equal(random_expand(key, 0, out, 16), CAIRN_OK);
        assert_memory_equal(out, expected, 16);
    }
}

/* The counter is big-endian over 128 bits: block 0x0102 at offset 0x1020 is the DRBG's first
 * block when it is seeded with that counter. The largest counters carry across all bytes. */
static void test_random__expand_counts_big_endian(void **state)
{
    (void)state;
    static const uint64_t blocks[] = {1, 0x0102, 0xffffffff, 0x0123456789abcde, 0x0fffffffffffffff};
    random_getrandom = fake_getrandom;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        uint8_t out[64], expected[64];
        memset(fake_seed, 0, sizeof fake_seed);
        memset(fake_seed, 0x5c, 32);
        for (size_t b = 0; b < 8; b++) {
            fake_seed[47 - b] = (uint8_t)(blocks[i] >> (8 * b));
        }
        fake_at = 0;
        struct secret_rng *rng = new_rng(RANDOM_AES256);
        assert_int_equal(secret_rng_fill(rng, expected, 64), CAIRN_OK);
        assert_int_equal(random_expand(fake_seed, blocks[i] * 16, out, 64), CAIRN_OK);
        assert_memory_equal(out, expected, 64);
        secret_rng_free(rng);
    }
}

/* Any piece of the stream is the same piece of the whole: 200 pieces around the chunk size. */
static void test_random__expand_has_random_access(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    uint8_t key[32] = {1, 2, 3}, *whole = malloc(SIZE), *piece = malloc(SIZE);
    assert_non_null(whole);
    assert_non_null(piece);
    assert_int_equal(random_expand(key, 0, whole, SIZE), CAIRN_OK);
    struct replay_rng r;
    uint64_t seed = property_seed();
    replay_init(&r, "test", seed, 0, 0);
    for (int i = 0; i < 200; i++) {
        size_t at = (size_t)replay_below(&r, SIZE / 16) * 16;
        size_t size = replay_below(&r, (uint32_t)(SIZE - at) + 1);
        assert_int_equal(random_expand(key, at, piece, size), CAIRN_OK);
        assert_memory_equal(piece, whole + at, size);
    }
    assert_int_equal(random_expand(key, 8, piece, 16), CAIRN_ERR_BUG);
    free(whole);
    free(piece);
}

static void test_random__short_answers_and_interrupts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof fake_seed; i++) {
        fake_seed[i] = (uint8_t)(i + 1);
    }
    random_getrandom = fake_getrandom;
    for (size_t limit = 1; limit < 20; limit++) {
        uint8_t out[sizeof fake_seed] = {0};
        fake_limit = limit;
        fake_at = 0;
        fake_interrupts = (unsigned)limit % 4;
        assert_int_equal(random_from_system(out, sizeof out), CAIRN_OK);
        assert_memory_equal(out, fake_seed, sizeof out);
    }
    assert_int_equal(random_from_system(NULL, 0), CAIRN_OK);
}

static void test_random__fails_closed(void **state)
{
    (void)state;
    static const struct {
        ssize_t result;
        int number;
    } rows[] = {{-1, ENOSYS}, {-1, EAGAIN}, {-1, EFAULT}, {-1, EPERM}, {0, 0}, {1000, 0}, {-5, 0}};
    random_getrandom = failing_getrandom;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t after = 0; after < 48; after += 9) {
            uint8_t out[48];
            memset(out, 0xff, sizeof out);
            failing_result = rows[i].result;
            failing_errno = rows[i].number;
            failing_after = after;
            assert_int_equal(random_from_system(out, sizeof out), CAIRN_ERR_NO_ENTROPY);
            assert_memory_equal(out, zeros, sizeof out);
            struct secret_rng *rng = (void *)out;
            failing_after = after;
            assert_int_equal(secret_rng_new(&rng), CAIRN_ERR_NO_ENTROPY);
            assert_null(rng);
        }
    }
    secret_rng_free(NULL);
}

/* What the processor's choice gives: the system's real randomness, not the same twice, all bits. */
static void test_random__real_bytes_look_random(void **state)
{
    (void)state;
    struct secret_rng *a, *b;
    assert_int_equal(secret_rng_new(&a), CAIRN_OK);
    assert_int_equal(secret_rng_new(&b), CAIRN_OK);
    static uint8_t x[1 << 16], y[1 << 16];
    assert_int_equal(secret_rng_fill(a, x, sizeof x), CAIRN_OK);
    assert_int_equal(secret_rng_fill(b, y, sizeof y), CAIRN_OK);
    long ones = 0, same = 0;
    for (size_t i = 0; i < sizeof x; i++) {
        ones += __builtin_popcount(x[i]);
        same += __builtin_popcount((uint8_t)~(x[i] ^ y[i]));
    }
    /* 2^19 fair coins: 2^18 heads, standard deviation 362; 8 of them fail once in 10^15 runs */
    assert_true(labs(ones - (1L << 18)) < 8 * 362);
    assert_true(labs(same - (1L << 18)) < 8 * 362);
    assert_int_equal(secret_rng_fill(a, NULL, 0), CAIRN_OK);
    secret_rng_free(a);
    secret_rng_free(b);
}

/* The stream is one stream, whatever pieces it is asked in: small ones from the buffer, large
 * ones past it. */
static void test_random__pieces_make_one_stream(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    uint8_t *whole = malloc(SIZE), *pieces = malloc(SIZE);
    assert_non_null(whole);
    assert_non_null(pieces);
    random_getrandom = fake_getrandom;
    struct replay_rng r;
    uint64_t seed = property_seed();
    replay_init(&r, "test", seed, 0, 0);
    for (unsigned i = 0; i < 40; i++) {
        struct secret_rng *a = new_rng(i % 2 ? RANDOM_AES256 : RANDOM_CHACHA20);
        struct secret_rng *b = new_rng(i % 2 ? RANDOM_AES256 : RANDOM_CHACHA20);
        assert_int_equal(secret_rng_fill(a, whole, SIZE), CAIRN_OK);
        for (size_t at = 0; at < SIZE;) {
            size_t n = replay_below(&r, i % 4 < 2 ? 300 : 60000);
            n = n < SIZE - at ? n : SIZE - at;
            assert_int_equal(secret_rng_fill(b, pieces + at, n), CAIRN_OK);
            at += n;
        }
        assert_memory_equal(whole, pieces, SIZE);
        secret_rng_free(a);
        secret_rng_free(b);
    }
    free(whole);
    free(pieces);
}

/* After 2^26 bytes the key is the next 48 bytes of the old stream: a generator that is seeded
 * with those goes on the same way. With the counter zero, that stream is random_expand's. */
static void test_random__takes_a_new_key(void **state)
{
    (void)state;
    enum { STEP = 1 << 20 };
    uint8_t *bytes = malloc(STEP), key[32], expected[200], out[200];
    assert_non_null(bytes);
    memset(fake_seed, 0x21, 32);
    memcpy(key, fake_seed, 32);
    random_getrandom = fake_getrandom;
    struct secret_rng *rng = new_rng(RANDOM_AES256);
    for (size_t at = 0; at < RANDOM_REKEY_BYTES; at += STEP) {
        assert_int_equal(secret_rng_fill(rng, bytes, STEP), CAIRN_OK);
    }
    assert_int_equal(random_expand(key, RANDOM_REKEY_BYTES - 64, expected, 64), CAIRN_OK);
    assert_memory_equal(bytes + STEP - 64, expected, 64); /* up to there, the first key */
    assert_int_equal(random_expand(key, RANDOM_REKEY_BYTES, fake_seed, sizeof fake_seed), CAIRN_OK);
    fake_at = 0;
    struct secret_rng *second = new_rng(RANDOM_AES256);
    assert_int_equal(secret_rng_fill(second, expected, sizeof expected), CAIRN_OK);
    assert_int_equal(secret_rng_fill(rng, out, sizeof out), CAIRN_OK);
    assert_memory_equal(out, expected, sizeof out);
    secret_rng_free(rng);
    secret_rng_free(second);
    free(bytes);
}

/* In a child: fill, and send the bytes (or nothing, when the fill fails as it should). */
static size_t child_fill(struct secret_rng *rng, int without_entropy, uint8_t out[64])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        uint8_t bytes[64];
        memset(bytes, 0xff, sizeof bytes);
        if (without_entropy) {
            failing_errno = ENOSYS;
            random_getrandom = failing_getrandom;
        }
        int error = secret_rng_fill(rng, bytes, sizeof bytes);
        int closed = error == CAIRN_ERR_NO_ENTROPY && memcmp(bytes, zeros, sizeof bytes) == 0;
        ssize_t sent = error ? 0 : write(ends[1], bytes, sizeof bytes);
        _exit((error ? closed : sent == sizeof bytes) ? 0 : 1);
    }
    (void)close(ends[1]);
    ssize_t got = read(ends[0], out, 64);
    (void)close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return got > 0 ? (size_t)got : 0;
}

/* What the kernel says to advice: its own word, or, as an emulator may, yes to everything; or no. */
static enum { REAL, NODS, REFUSES } advice;
int __real_madvise(void *at, size_t size, int what);
int __wrap_madvise(void *at, size_t size, int what);

int __wrap_madvise(void *at, size_t size, int what)
{
    if (advice == REFUSES) {
        errno = EINVAL;
        return -1;
    }
    return advice == NODS ? 0 : __real_madvise(at, size, what);
}

static void check_forks(enum random_cipher cipher)
{
    struct secret_rng *rng = new_rng(cipher);
    uint8_t out[4][64];
    assert_int_equal(secret_rng_fill(rng, out[0], 64), CAIRN_OK); /* the buffer is half used */
    assert_int_equal(child_fill(rng, 0, out[1]), 64);
    assert_int_equal(child_fill(rng, 0, out[2]), 64);
    assert_int_equal(secret_rng_fill(rng, out[3], 64), CAIRN_OK);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(out[i], out[j], 64);
        }
    }
    assert_int_equal(child_fill(rng, 1, out[1]), 0);
    secret_rng_free(rng);
}

static void test_random__forks_do_not_repeat_each_other(void **state)
{
    (void)state;
    for (advice = REAL; advice <= REFUSES; advice++) {
        check_forks(RANDOM_AES256);
        check_forks(RANDOM_CHACHA20);
    }
    advice = REAL;
}

/* Branch `number` is the cipher's keystream under the root as key, from counter block (AES) or nonce
 * (ChaCha20) `number` on: compared with random_expand and libsodium. */
static void test_random__branches_are_parts_of_one_keystream(void **state)
{
    (void)state;
    enum { SIZE = 20000 };
    static uint8_t got[SIZE], want[SIZE];
    struct secret_root root;
    for (int c = RANDOM_AES256; c <= RANDOM_CHACHA20; c++) {
        struct secret_rng *rng = new_rng((enum random_cipher)c);
        struct secret_rng *branch = new_rng((enum random_cipher)c);
        assert_int_equal(secret_root_draw(&root, rng), CAIRN_OK);
        for (uint32_t number = 0; number < 4; number++) {
            const uint8_t nonce[8] = {(uint8_t)number};
            assert_int_equal(secret_rng_fill(branch, got, 10), CAIRN_OK); /* a rest is left over */
            assert_int_equal(secret_rng_branch(branch, &root, number), CAIRN_OK);
            assert_int_equal(secret_rng_fill(branch, got, 50), CAIRN_OK);
            assert_int_equal(secret_rng_fill(branch, got + 50, SIZE - 50), CAIRN_OK);
            if (c == RANDOM_CHACHA20) {
                crypto_stream_chacha20(want, SIZE, nonce, root.key);
            } else if (number == 0) {
                assert_int_equal(random_expand(root.key, 0, want, SIZE), CAIRN_OK);
            } else {
                assert_memory_not_equal(got, want, 32); /* that of the number before */
                memcpy(want, got, SIZE);
                assert_int_equal(secret_rng_branch(branch, &root, number), CAIRN_OK);
                assert_int_equal(secret_rng_fill(branch, got, SIZE), CAIRN_OK);
            }
            assert_memory_equal(got, want, SIZE);
        }
        secret_rng_free(branch);
        secret_rng_free(rng);
    }
}

static void test_random__a_root_fails_closed(void **state)
{
    (void)state;
    struct secret_root root;
    struct secret_rng *rng = new_rng(RANDOM_AES256);
    failing_errno = ENOSYS;
    failing_result = -1;
    failing_after = 0;
    /* a fork's child has to reseed */
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        random_getrandom = failing_getrandom;
        memset(&root, 0xaa, sizeof root);
        const int error = secret_root_draw(&root, rng);
        _exit(error == CAIRN_ERR_NO_ENTROPY && memcmp(root.key, zeros, sizeof root.key) == 0 ? 0
                                                                                             : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    secret_rng_free(rng);
}

/* Must run first: the child is to be the first in which the libraries are used. */
static void test_random__prepared_needs_no_descriptor(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        random_prepare();
        const struct rlimit none = {0};
        struct secret_rng *rng = NULL;
        uint8_t byte;
        const bool ok = setrlimit(RLIMIT_NOFILE, &none) == 0 && secret_rng_new(&rng) == CAIRN_OK &&
                        secret_rng_fill(rng, &byte, 1) == CAIRN_OK;
        secret_rng_free(rng);
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_random__prepared_needs_no_descriptor, reset),
        cmocka_unit_test_setup(test_random__aes_keystream_of_sp800_38a, reset),
        cmocka_unit_test_setup(test_random__chacha_keystream_of_rfc8439, reset),
        cmocka_unit_test_setup(test_random__expand_known_answers, reset),
        cmocka_unit_test_setup(test_random__expand_counts_big_endian, reset),
        cmocka_unit_test_setup(test_random__expand_has_random_access, reset),
        cmocka_unit_test_setup(test_random__short_answers_and_interrupts, reset),
        cmocka_unit_test_setup(test_random__fails_closed, reset),
        cmocka_unit_test_setup(test_random__real_bytes_look_random, reset),
        cmocka_unit_test_setup(test_random__pieces_make_one_stream, reset),
        cmocka_unit_test_setup(test_random__takes_a_new_key, reset),
        cmocka_unit_test_setup(test_random__forks_do_not_repeat_each_other, reset),
        cmocka_unit_test_setup(test_random__branches_are_parts_of_one_keystream, reset),
        cmocka_unit_test_setup(test_random__a_root_fails_closed, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
