/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <cairn/files.h>

#include <math.h>
#include <sys/stat.h>
#include <time.h>

#include "model_files.h"
#include "quantiser.h"
#include "replay.h"
#include "session.h"

enum { CLIENTS = 7, N = 9000 };

/* ---- the four steps, short ---- */

static int keygen(const char *name, const char *profile, unsigned bits, uint64_t largest)
{
    struct cairn_keygen_options o;
    char secret[128];
    struct cairn_problem why = {0};
    cairn_keygen_options_init(&o);
    o.profile = profile;
    o.value_bits = bits;
    o.contributors = CLIENTS;
    o.largest_samples = largest;
    o.force = true;
    (void)snprintf(secret, sizeof secret, "%s.secret", in_folder(name));
    int rc = cairn_files_keygen(&o, in_folder(name), secret, NULL, &why);
    if (rc != 0) {
        print_error("keygen: %s\n", why.what);
    }
    return rc;
}

static struct cairn_problem said;

static int encrypt_with(struct cairn_encrypt_options *o, const char *key, const char *in,
                        const char *out, uint32_t index)
{
    o->public_path = in_folder(key);
    o->in = in_folder(in);
    o->out = in_folder(out);
    o->index = index;
    memset(&said, 0, sizeof said);
    return cairn_files_encrypt(o, NULL, &said);
}

static int encrypt(const char *key, const char *in, const char *out, uint32_t index)
{
    struct cairn_encrypt_options o;
    cairn_encrypt_options_init(&o);
    return encrypt_with(&o, key, in, out, index);
}

static int add(const char *out, const char *a, const char *b)
{
    const char *paths[] = {in_folder(a), in_folder(b)};
    memset(&said, 0, sizeof said);
    return cairn_files_add(paths, 2, in_folder(out), NULL, &said);
}

static int decrypt(const char *key, const char *in, const char *out, uint32_t floor)
{
    struct cairn_decrypt_options o;
    char secret[128];
    cairn_decrypt_options_init(&o);
    (void)snprintf(secret, sizeof secret, "%s.secret", in_folder(key));
    o.secret_path = secret;
    o.in = in_folder(in);
    o.out = in_folder(out);
    o.floor = floor;
    memset(&said, 0, sizeof said);
    return cairn_files_decrypt(&o, NULL, &said);
}

#define SAYS(text)                                                                                 \
    do {                                                                                           \
        if (strstr(said.what, text) == NULL && strstr(said.hint, text) == NULL) {                  \
            print_error("\"%s\" / \"%s\" does not say \"%s\"\n", said.what, said.hint, text);      \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

static bool there(const char *name)
{
    return file_exists(in_folder(name));
}

/* ---- the mean is exact ---- */

/* The mean as the quantiser alone defines it: no file, no encryption. */
static void expected_mean(const float *models, const uint64_t *samples, uint64_t largest,
                          unsigned bits, uint64_t seed, float *mean)
{
    static int32_t q[N];
    static int64_t sums[N];
    uint64_t weight = 0;
    uint64_t clamped = 0;
    double step = 1.0 / quantiser_limit(bits);
    struct model_shape shape = {0};
    const uint64_t n = N;
    assert_int_equal(model_shape_add(&shape, "w", &n, 1, NULL), 0);
    memset(sums, 0, sizeof sums);
    for (uint32_t c = 0; c < CLIENTS; c++) {
        const struct quantiser quantiser = {.shape = &shape,
                                            .steps = &step,
                                            .value_bits = bits,
                                            .samples = samples[c],
                                            .largest_samples = largest,
                                            .seed = seed,
                                            .round = 1,
                                            .client_index = c};
        quantiser_read(&quantiser, models + (size_t)c * N, 0, N, q, &clamped);
        for (size_t i = 0; i < N; i++) {
            sums[i] += q[i];
        }
        weight += samples[c];
    }
    memset(mean, 0, N * sizeof *mean);
    quantiser_apply_part(&shape, &step, largest, weight, 0, N, sums, mean, NULL);
    assert_int_equal(clamped, 0);
    model_shape_release(&shape);
}

/* Add the files 0 .. CLIENTS-1 two at a time, in an order that the generator draws. */
static void add_all(struct replay_rng *rng)
{
    char names[CLIENTS][24];
    for (int c = 0; c < CLIENTS; c++) {
        (void)snprintf(names[c], sizeof names[c], "u%d", c);
    }
    for (uint32_t left = CLIENTS; left > 1; left--) {
        const uint32_t a = replay_below(rng, left);
        uint32_t b = replay_below(rng, left - 1);
        b += b >= a;
        char out[24];
        (void)snprintf(out, sizeof out, "s%u", left);
        assert_int_equal(add(out, names[a], names[b]), 0);
        memcpy(names[a], out, sizeof out);
        memmove(names[b], names[left - 1], sizeof out);
    }
    assert_int_equal(rename(in_folder(names[0]), in_folder("sum")), 0);
}

/* Any profile, any grouping: bit for bit the mean that the quantiser defines. */
static void test_files__mean_is_exact_in_any_grouping(void **state)
{
    (void)state;
    static const char *const profiles[] = {"none", "bfv", "capsule", "seal-ckks"};
    static float models[CLIENTS * N];
    static float mean[N];
    static float opened[N];
    const uint64_t samples[CLIENTS] = {1, 9, 90, 0, 17, 3, 100};
    struct replay_rng rng;
    const uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    replay_init(&rng, "test", seed, 0, 0);
    for (size_t i = 0; i < CLIENTS * N; i++) {
        models[i] = 2 * replay_float(&rng) - 1;
    }
    models[0] = 1; /* the ends of the range are in it */
    models[1] = -1;
    expected_mean(models, samples, 100, 12, 42, mean);
    for (int p = 0; p < 4; p++) {
        assert_int_equal(keygen("key", profiles[p], 12, 100), 0);
        for (uint32_t c = 0; c < CLIENTS; c++) {
            struct cairn_encrypt_options o;
            const uint64_t rounding = 42;
            char name[8];
            write_model(in_folder("model"), models + (size_t)c * N, N);
            cairn_encrypt_options_init(&o);
            o.samples = samples[c];
            o.seed = &rounding;
            (void)snprintf(name, sizeof name, "u%u", c);
            assert_int_equal(encrypt_with(&o, "key", "model", name, c), 0);
        }
        for (int again = 0; again < 3; again++) {
            add_all(&rng);
            assert_int_equal(decrypt("key", "sum", "mean", 3), 0);
            read_model(in_folder("mean"), opened, N);
            assert_memory_equal(opened, mean, sizeof mean);
        }
    }
}

/* Frames of 4096 parameters: exactly full, one more, one less, and one parameter. */
static void test_files__sizes_around_a_frame(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 4095, 4096, 4097, 8192, 8193};
    static float model[8193];
    static float opened[8193];
    struct session session;
    struct buf bytes = {0};
    for (size_t i = 0; i < 8193; i++) {
        model[i] = (float)i / 16384;
    }
    assert_int_equal(keygen("key", "capsule", 16, 1), 0);
    assert_int_equal(session_read(in_folder("key"), &session, NULL), 0);
    session.frame_params = 4096;
    assert_int_equal(session_write(&session, &bytes), 0);
    write_bytes(in_folder("key"), bytes.data, bytes.size);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct cairn_files_report report;
        struct cairn_encrypt_options o;
        write_model(in_folder("model"), model, sizes[s]);
        cairn_encrypt_options_init(&o);
        o.public_path = in_folder("key");
        o.in = in_folder("model");
        o.out = in_folder("u0");
        o.index = 0;
        assert_int_equal(cairn_files_encrypt(&o, &report, &said), 0);
        assert_int_equal(report.frames, (sizes[s] + 4095) / 4096);
        assert_int_equal(decrypt("key", "u0", "mean", 1), 0);
        read_model(in_folder("mean"), opened, sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++) {
            assert_true(fabsf(opened[i] - model[i]) < 1.0f / 32767);
        }
    }
    session_release(&session);
    buf_release(&bytes);
}

/* ---- what is refused ---- */

static void test_files__values_that_cannot_be_encrypted(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *said;
    } bad[] = {
        {NAN, "element 3 is"},
        {INFINITY, "element 3 is inf"},
        {-INFINITY, "element 3 is -inf"},
        {1.0001f, "outside +-1"},
        {-1e30f, "outside +-1"},
    };
    float model[5] = {0.5f, 1, -1, 0, 0.25f};
    assert_int_equal(keygen("key", "capsule", 16, 1), 0);
    write_bytes(in_folder("old"), "old", 3);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t size = 0;
        model[3] = bad[i].value;
        write_model(in_folder("model"), model, 5);
        assert_int_equal(encrypt("key", "model", "old", 0), CAIRN_ERR_DATA);
        SAYS("\"w\"");
        SAYS(bad[i].said);
        uint8_t *bytes = read_bytes(in_folder("old"), &size);
        assert_int_equal(size, 3); /* untouched */
        free(bytes);
    }
}

static void test_files__clip_counts(void **state)
{
    (void)state;
    const float model[4] = {2, -3, 0.5f, 1};
    float opened[4];
    struct cairn_encrypt_options o;
    struct cairn_files_report report;
    assert_int_equal(keygen("key", "bfv", 16, 1), 0);
    write_model(in_folder("model"), model, 4);
    cairn_encrypt_options_init(&o);
    o.public_path = in_folder("key");
    o.in = in_folder("model");
    o.out = in_folder("u");
    o.index = 2;
    o.clip = true;
    assert_int_equal(cairn_files_encrypt(&o, &report, &said), 0);
    assert_int_equal(report.clamped, 2);
    assert_int_equal(decrypt("key", "u", "mean", 1), 0);
    read_model(in_folder("mean"), opened, 4);
    assert_float_equal(opened[0], 1, 1e-6);
    assert_float_equal(opened[1], -1, 1e-6);
}

static void test_files__clients_are_added_once(void **state)
{
    (void)state;
    const float model[4] = {0.5f};
    assert_int_equal(keygen("key", "capsule", 16, 1), 0);
    write_model(in_folder("model"), model, 4);
    assert_int_equal(encrypt("key", "model", "u0", 0), 0);
    assert_int_equal(encrypt("key", "model", "u1", 1), 0);
    assert_int_equal(encrypt("key", "model", "u1 again", 1), 0);
    assert_int_equal(add("none", "u0", "u0"), CAIRN_ERR_REFUSED);
    assert_int_equal(add("s01", "u0", "u1"), 0);
    assert_int_equal(add("none", "s01", "u1 again"), CAIRN_ERR_REFUSED);
    SAYS("client 1 is in");
    SAYS("s01");
    SAYS("u1 again");
    assert_false(there("none"));
    assert_int_equal(encrypt("key", "model", "u7", CLIENTS), CAIRN_ERR_USAGE);
    SAYS("client 7 of at most 7");
}

/* Everything that must be equal, one at a time. */
static void test_files__what_does_not_belong_together(void **state)
{
    (void)state;
    const float model[4] = {0.5f};
    struct cairn_encrypt_options o;
    assert_int_equal(keygen("key", "capsule", 16, 9), 0);
    write_model(in_folder("model"), model, 4);
    assert_int_equal(encrypt("key", "model", "u0", 0), 0);

    cairn_encrypt_options_init(&o);
    o.round = 2;
    assert_int_equal(encrypt_with(&o, "key", "model", "u1", 1), 0);
    assert_int_equal(add("none", "u0", "u1"), CAIRN_ERR_REFUSED);
    SAYS("round differs: 1 in");

    cairn_encrypt_options_init(&o);
    o.range = 2;
    assert_int_equal(encrypt_with(&o, "key", "model", "u1", 1), 0);
    assert_int_equal(add("none", "u0", "u1"), CAIRN_ERR_REFUSED);
    SAYS("--range");

    cairn_encrypt_options_init(&o);
    o.largest_samples = 10;
    assert_int_equal(encrypt_with(&o, "key", "model", "u1", 1), 0);
    assert_int_equal(add("none", "u0", "u1"), CAIRN_ERR_REFUSED);
    SAYS("samples differs: 9 in");

    cairn_encrypt_options_init(&o);
    o.profile = "bfv";
    assert_int_equal(encrypt_with(&o, "key", "model", "u1", 1), 0);
    assert_int_equal(add("none", "u0", "u1"), CAIRN_ERR_REFUSED);
    SAYS("capsule-2048"); /* both ids */
    SAYS("bfv-2048");

    cairn_encrypt_options_init(&o);
    o.base = in_folder("model");
    assert_int_equal(encrypt_with(&o, "key", "model", "u1", 1), 0);
    assert_int_equal(add("none", "u0", "u1"), CAIRN_ERR_REFUSED);
    SAYS("--base");

    assert_int_equal(keygen("key 2", "capsule", 16, 9), 0);
    assert_int_equal(encrypt("key 2", "model", "u1", 1), 0);
    assert_int_equal(add("none", "u0", "u1"), CAIRN_ERR_REFUSED);
    SAYS("the key differs");
    assert_int_equal(decrypt("key", "u1", "none", 1), CAIRN_ERR_IDENTITY);

    write_model(in_folder("model 2"), model, 3);
    assert_int_equal(encrypt("key", "model 2", "u1", 1), 0);
    assert_int_equal(add("none", "u0", "u1"), CAIRN_ERR_REFUSED);
    SAYS("\"w\" has another shape");
    assert_false(there("none"));
}

static void test_files__floor(void **state)
{
    (void)state;
    const float model[4] = {0.5f};
    struct cairn_decrypt_options defaults;
    struct cairn_encrypt_options o;
    cairn_decrypt_options_init(&defaults);
    assert_int_equal(defaults.floor, 3);
    assert_int_equal(keygen("key", "capsule", 16, 1), 0);
    write_model(in_folder("model"), model, 4);
    assert_int_equal(encrypt("key", "model", "u0", 0), 0);
    assert_int_equal(encrypt("key", "model", "u1", 1), 0);
    assert_int_equal(add("s", "u0", "u1"), 0);
    assert_int_equal(decrypt("key", "s", "none", 3), CAIRN_ERR_QUORUM);
    SAYS("2 clients; the floor is 3");
    assert_false(there("none"));
    assert_int_equal(decrypt("key", "s", "mean", 2), 0);

    cairn_encrypt_options_init(&o);
    o.samples = 0;
    assert_int_equal(encrypt_with(&o, "key", "model", "u0", 0), 0);
    assert_int_equal(decrypt("key", "u0", "none", 1), CAIRN_ERR_QUORUM);
    SAYS("samples");
    o.samples = 2;
    assert_int_equal(encrypt_with(&o, "key", "model", "none", 0), CAIRN_ERR_USAGE);
    SAYS("--largest-samples");
}

/* Any number of threads opens the same; too many are refused before a file is made. */
static void test_files__threads(void **state)
{
    (void)state;
    enum { MANY = 30000 }; /* several chunks */
    static float model[MANY], first[MANY], opened[MANY];
    struct cairn_encrypt_options o;
    struct cairn_decrypt_options d;
    char secret[128];
    for (size_t i = 0; i < MANY; i++) {
        model[i] = (float)(i % 1000) / 1000;
    }
    assert_int_equal(keygen("key", "capsule", 16, 1), 0);
    write_model(in_folder("model"), model, MANY);
    const uint64_t seed = 5;
    for (unsigned threads = 0; threads <= 3; threads++) {
        cairn_encrypt_options_init(&o);
        assert_int_equal(o.threads, 0);
        o.seed = &seed;
        o.threads = threads;
        assert_int_equal(encrypt_with(&o, "key", "model", "u0", 0), 0);
        cairn_decrypt_options_init(&d);
        assert_int_equal(d.threads, 0);
        (void)snprintf(secret, sizeof secret, "%s.secret", in_folder("key"));
        d.secret_path = secret;
        d.in = in_folder("u0");
        d.out = in_folder("mean");
        d.floor = 1;
        d.threads = 3 - threads;
        assert_int_equal(cairn_files_decrypt(&d, NULL, &said), 0);
        read_model(in_folder("mean"), threads == 0 ? first : opened, MANY);
        if (threads > 0) {
            assert_memory_equal(opened, first, sizeof first);
        }
        assert_float_equal(first[999], model[999], 1e-4);
    }
    o.threads = 257;
    assert_int_equal(encrypt_with(&o, "key", "model", "none", 0), CAIRN_ERR_USAGE);
    SAYS("257 threads; at most 256");
    d.threads = 257;
    d.out = in_folder("none");
    assert_int_equal(cairn_files_decrypt(&d, NULL, &said), CAIRN_ERR_USAGE);
    assert_false(there("none"));
}

/* in - base is sent, base + mean comes out, and another base is noticed. */
static void test_files__base(void **state)
{
    (void)state;
    const float base[3] = {10, 20, 30};
    const float local[3] = {10.5f, 19.5f, 30};
    float opened[3];
    struct cairn_encrypt_options o;
    struct cairn_decrypt_options d;
    char secret[128];
    assert_int_equal(keygen("key", "capsule", 16, 1), 0);
    write_model(in_folder("base"), base, 3);
    write_model(in_folder("local"), local, 3);
    assert_int_equal(encrypt("key", "local", "u0", 0), CAIRN_ERR_DATA); /* out of range alone */
    cairn_encrypt_options_init(&o);
    o.base = in_folder("base");
    assert_int_equal(encrypt_with(&o, "key", "local", "u0", 0), 0);
    assert_int_equal(decrypt("key", "u0", "difference", 1), 0);
    read_model(in_folder("difference"), opened, 3);
    assert_float_equal(opened[0], 0.5f, 1e-4);

    cairn_decrypt_options_init(&d);
    (void)snprintf(secret, sizeof secret, "%s.secret", in_folder("key"));
    d.secret_path = secret;
    d.in = in_folder("u0");
    d.out = in_folder("new");
    d.base = in_folder("base");
    d.floor = 1;
    assert_int_equal(cairn_files_decrypt(&d, NULL, &said), 0);
    read_model(in_folder("new"), opened, 3);
    assert_float_equal(opened[1], 19.5f, 1e-4);
    d.base = in_folder("local");
    d.out = in_folder("none");
    assert_int_equal(cairn_files_decrypt(&d, NULL, &said), CAIRN_ERR_REFUSED);
    assert_false(there("none"));
}

/* ---- damaged files ---- */

/* Cut at every byte and flipped at every byte of its header and of a frame: a typed error each
 * time, and whatever is opened is opened right. */
static void test_files__update_cut_and_flipped(void **state)
{
    (void)state;
    const float model[2] = {0.5f, 0.25f};
    size_t size = 0;
    assert_int_equal(keygen("key", "capsule", 8, 1), 0);
    write_model(in_folder("model"), model, 2);
    assert_int_equal(encrypt("key", "model", "whole", 0), 0);
    uint8_t *bytes = read_bytes(in_folder("whole"), &size);
    const size_t header = bytes[8] + 256u * bytes[9];
    for (size_t n = 0; n < size; n = n < header + 40 ? n + 1 : n + 401) {
        write_bytes(in_folder("bad"), bytes, n);
        int rc = decrypt("key", "bad", "none", 1);
        assert_true(rc == CAIRN_ERR_DATA || rc == CAIRN_ERR_INTEGRITY);
    }
    for (size_t i = 0; i < size; i = i < header + 40 ? i + 1 : i + 401) {
        bytes[i] ^= 0x20;
        write_bytes(in_folder("bad"), bytes, size);
        int rc = decrypt("key", "bad", "none", 1);
        assert_true(rc == CAIRN_ERR_DATA || rc == CAIRN_ERR_INTEGRITY);
        bytes[i] ^= 0x20;
    }
    assert_false(there("none"));
    free(bytes);
}

/* The frames of another version end in other digests: its files are refused for what they are. */
static void test_files__update_of_another_version(void **state)
{
    (void)state;
    const float model[2] = {0.5f, 0.25f};
    size_t size = 0;
    assert_int_equal(keygen("key", "capsule", 8, 1), 0);
    write_model(in_folder("model"), model, 2);
    assert_int_equal(encrypt("key", "model", "whole", 0), 0);
    uint8_t *bytes = read_bytes(in_folder("whole"), &size);
    bytes[4] = 1;
    write_bytes(in_folder("old"), bytes, size);
    assert_int_equal(decrypt("key", "old", "none", 1), CAIRN_ERR_DATA);
    SAYS("old has version 1, this program reads version 2");
    SAYS("use the same version of cairn everywhere");
    free(bytes);
}

static void test_files__public_cut_and_flipped(void **state)
{
    (void)state;
    const float model[2] = {0.5f, 0.25f};
    size_t size = 0;
    assert_int_equal(keygen("key", "capsule", 8, 1), 0);
    write_model(in_folder("model"), model, 2);
    uint8_t *bytes = read_bytes(in_folder("key"), &size);
    const size_t header = bytes[8] + 256u * bytes[9];
    for (size_t n = 0; n < size; n = n < header + 100 ? n + 1 : n + 301) {
        write_bytes(in_folder("bad"), bytes, n);
        int rc = encrypt("bad", "model", "none", 0);
        assert_true(rc == CAIRN_ERR_DATA || rc == CAIRN_ERR_INTEGRITY);
    }
    for (size_t i = 0; i < size; i = i < header + 100 ? i + 1 : i + 301) {
        bytes[i] ^= 0x20;
        write_bytes(in_folder("bad"), bytes, size);
        int rc = encrypt("bad", "model", "none", 0);
        assert_true(rc == CAIRN_ERR_DATA || rc == CAIRN_ERR_INTEGRITY);
        bytes[i] ^= 0x20;
    }
    assert_false(there("none"));
    free(bytes);
}

/* A frame that fails its digest and one that no key opens are told apart by nobody. */
static void test_files__openings_fail_in_one_way(void **state)
{
    (void)state;
    const float model[2] = {0.5f, 0.25f};
    struct cairn_problem damaged;
    size_t size = 0;
    assert_int_equal(keygen("key", "capsule", 8, 1), 0);
    write_model(in_folder("model"), model, 2);
    assert_int_equal(encrypt("key", "model", "u", 0), 0);
    uint8_t *bytes = read_bytes(in_folder("u"), &size);
    bytes[size - 200] ^= 1;
    write_bytes(in_folder("u"), bytes, size);
    assert_int_equal(decrypt("key", "u", "none", 1), CAIRN_ERR_INTEGRITY);
    damaged = said;
    free(bytes);

    struct session other;

    assert_int_equal(keygen("other", "capsule", 8, 1), 0);
    assert_int_equal(session_read(in_folder("other"), &other, NULL), 0);
    assert_int_equal(encrypt("other", "model", "u", 0), 0);
    /* the secret of "key" in a file that names "other" */
    struct he_secret_key *secret = NULL;
    uint8_t id[HE_KEY_ID_SIZE];
    uint8_t *key_bytes = read_bytes(in_folder("key.secret"), &size);
    assert_int_equal(he_secret_key_read((struct span){key_bytes, size}, &secret, id, NULL), 0);
    assert_int_equal(he_secret_key_write(secret, other.key_id, key_bytes), 0);
    write_bytes(in_folder("other.secret"), key_bytes, size);
    assert_int_equal(decrypt("other", "u", "none", 1), CAIRN_ERR_INTEGRITY);
    assert_string_equal(said.what, damaged.what);
    assert_string_equal(said.hint, damaged.hint);
    assert_false(there("none"));
    he_secret_key_free(secret);
    session_release(&other);
    free(key_bytes);
}

/* ---- keys on disk ---- */

static void test_files__secret_key_file(void **state)
{
    (void)state;
    const float model[2] = {0.5f};
    struct stat status;
    assert_int_equal(keygen("key", "capsule", 8, 1), 0);
    write_model(in_folder("model"), model, 2);
    assert_int_equal(encrypt("key", "model", "u", 0), 0);
    assert_int_equal(stat(in_folder("key.secret"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);

    static const mode_t open_modes[] = {0644, 0640, 0604, 0620, 0602, 0610, 0777};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod(in_folder("key.secret"), open_modes[i]), 0);
        assert_int_equal(decrypt("key", "u", "none", 1), CAIRN_ERR_ENVIRONMENT);
        SAYS("chmod 600 '");
    }
    assert_int_equal(chmod(in_folder("key.secret"), 0400), 0);
    assert_int_equal(decrypt("key", "u", "mean", 1), 0);
    assert_int_equal(rename(in_folder("key.secret"), in_folder("moved")), 0);
    assert_int_equal(symlink(in_folder("moved"), in_folder("key.secret")), 0);
    assert_int_equal(decrypt("key", "u", "none", 1), CAIRN_ERR_ENVIRONMENT);
    SAYS("symbolic link");
    assert_int_equal(keygen("key", "capsule", 8, 1), CAIRN_ERR_STORAGE); /* with force */
    assert_int_equal(unlink(in_folder("key.secret")), 0);
    assert_int_equal(decrypt("key", "u", "none", 1), CAIRN_ERR_DATA);
    assert_false(there("none"));
}

/* Without force nothing is replaced, and a pair is made whole or not at all. */
static void test_files__keygen_replaces_nothing(void **state)
{
    (void)state;
    struct cairn_keygen_options o;
    cairn_keygen_options_init(&o);
    o.contributors = 3;
    const char *public_path = in_folder("fresh");
    const char *secret_path = in_folder("fresh.secret");
    write_bytes(public_path, "old", 3);
    assert_int_equal(cairn_files_keygen(&o, public_path, secret_path, NULL, &said),
                     CAIRN_ERR_STORAGE);
    assert_false(file_exists(secret_path));
    assert_int_equal(unlink(public_path), 0);
    write_bytes(secret_path, "old", 3);
    assert_int_equal(cairn_files_keygen(&o, public_path, secret_path, NULL, &said),
                     CAIRN_ERR_STORAGE);
    assert_false(file_exists(public_path));
    assert_int_equal(unlink(secret_path), 0);
    assert_int_equal(cairn_files_keygen(&o, public_path, secret_path, NULL, &said), 0);
}

/* Files of the other formats have notes; one called as the secret key would be written over it. */
static void test_files__two_files_of_one_name(void **state)
{
    struct cairn_keygen_options o;
    struct cairn_problem why = {0};
    char path[128], secret[160];
    (void)state;
    cairn_keygen_options_init(&o);
    o.format = "seal";
    o.profile = "bfv";
    o.contributors = CLIENTS;
    o.force = true;
    (void)snprintf(path, sizeof path, "%s", in_folder("collide"));
    (void)snprintf(secret, sizeof secret, "%s.json", path);
    assert_int_equal(cairn_files_keygen(&o, path, secret, NULL, &why), CAIRN_ERR_USAGE);
    assert_non_null(strstr(why.what, "collide.json"));
    struct stat status;
    assert_int_not_equal(stat(path, &status), 0);
    assert_int_not_equal(stat(secret, &status), 0);
}

static void test_files__outputs_never_replace_inputs_or_keys(void **state)
{
    (void)state;
    const float model[2] = {0.5f};
    assert_int_equal(keygen("key", "capsule", 8, 1), 0);
    write_model(in_folder("model"), model, 2);
    assert_int_equal(encrypt("key", "model", "model", 0), CAIRN_ERR_USAGE);
    assert_int_equal(encrypt("key", "model", "key", 0), CAIRN_ERR_USAGE);
    assert_int_equal(encrypt("key", "model", "key.secret", 0), CAIRN_ERR_USAGE);
    assert_int_equal(encrypt("key", "model", "u", 0), 0);
    assert_int_equal(encrypt("key", "model", "v", 1), 0);
    assert_int_equal(add("key.secret", "u", "v"), CAIRN_ERR_USAGE);
    assert_int_equal(decrypt("key", "u", "key.secret", 1), CAIRN_ERR_USAGE);
    assert_int_equal(decrypt("key", "u", "u", 1), CAIRN_ERR_USAGE);
}

/* Every function, every pointer. */
static void test_files__null_arguments(void **state)
{
    (void)state;
    struct cairn_keygen_options k;
    struct cairn_encrypt_options e;
    struct cairn_decrypt_options d;
    const char *path = "x";
    const char *no_path = NULL;
    cairn_keygen_options_init(NULL);
    cairn_encrypt_options_init(NULL);
    cairn_decrypt_options_init(NULL);
    cairn_keygen_options_init(&k);
    cairn_encrypt_options_init(&e);
    cairn_decrypt_options_init(&d);
    k.contributors = 3;
    e.index = 0;
    assert_int_equal(cairn_files_keygen(NULL, "a", "b", NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_keygen(&k, NULL, "b", NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_keygen(&k, "a", NULL, NULL, NULL), CAIRN_ERR_USAGE);
    k.size--;
    assert_int_equal(cairn_files_keygen(&k, "a", "b", NULL, NULL), CAIRN_ERR_USAGE);
    k.size++;
    k.profile = "capsul";
    assert_int_equal(cairn_files_keygen(&k, "a", "b", NULL, NULL), CAIRN_ERR_USAGE);
    k.profile = NULL;
    k.value_bits = 99;
    assert_int_equal(cairn_files_keygen(&k, "a", "b", NULL, NULL), CAIRN_ERR_CONFIG);
    assert_int_equal(cairn_files_encrypt(NULL, NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_encrypt(&e, NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_add(NULL, 1, "x", NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_add(&path, 0, "x", NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_add(&path, 1, NULL, NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_add(&no_path, 1, "x", NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_decrypt(NULL, NULL, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_files_decrypt(&d, NULL, NULL), CAIRN_ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files__mean_is_exact_in_any_grouping),
        cmocka_unit_test(test_files__sizes_around_a_frame),
        cmocka_unit_test(test_files__values_that_cannot_be_encrypted),
        cmocka_unit_test(test_files__clip_counts),
        cmocka_unit_test(test_files__clients_are_added_once),
        cmocka_unit_test(test_files__what_does_not_belong_together),
        cmocka_unit_test(test_files__floor),
        cmocka_unit_test(test_files__threads),
        cmocka_unit_test(test_files__base),
        cmocka_unit_test(test_files__update_cut_and_flipped),
        cmocka_unit_test(test_files__update_of_another_version),
        cmocka_unit_test(test_files__public_cut_and_flipped),
        cmocka_unit_test(test_files__openings_fail_in_one_way),
        cmocka_unit_test(test_files__secret_key_file),
        cmocka_unit_test(test_files__keygen_replaces_nothing),
        cmocka_unit_test(test_files__two_files_of_one_name),
        cmocka_unit_test(test_files__outputs_never_replace_inputs_or_keys),
        cmocka_unit_test(test_files__null_arguments),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
