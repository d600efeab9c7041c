/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcairn without memory, randomness, ciphers or threads: whatever is refused, and whenever, the
 * answer is a typed error, outputs are as they were or zero, and nothing leaks (AddressSanitizer).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <cairn/files.h>
#include <cairn/he.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "torture.h"

static const int no_cipher[] = {CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_ENVIRONMENT, 0};

/* ---- in memory ---- */

enum { N = 9000 }; /* several chunks in either ring */

struct memory {
    enum cairn_profile profile;
    uint32_t contributors;
    struct cairn_params *params;
    struct cairn_secret_key *secret;
    struct cairn_public_key *key;
    uint8_t nonce[CAIRN_NONCE_SIZE];
    size_t size;
    uint8_t *payload;
    int32_t *values;
    int64_t *sums;
    uint8_t *key_bytes;
    size_t key_size;
    uint8_t secret_bytes[CAIRN_SECRET_KEY_MOST];
    size_t secret_size;
};

static void memory_new(struct memory *m)
{
    assert_int_equal(cairn_params_new(m->profile, 16, m->contributors, &m->params, NULL), 0);
    assert_int_equal(cairn_keygen(m->params, &m->secret, &m->key, NULL), 0);
    assert_int_equal(cairn_nonce_new(m->nonce, NULL), 0);
    m->size = cairn_payload_size(m->params, N);
    m->payload = malloc(m->size);
    m->values = calloc(N, sizeof *m->values);
    m->sums = calloc(N, sizeof *m->sums);
    for (int i = 0; i < N; i++) {
        m->values[i] = i - N / 2;
    }
    m->key_size = 0;
    (void)!cairn_public_key_write(m->key, NULL, &m->key_size, NULL);
    m->key_bytes = malloc(m->key_size);
    assert_int_equal(cairn_public_key_write(m->key, m->key_bytes, &m->key_size, NULL), 0);
    m->secret_size = sizeof m->secret_bytes;
    assert_int_equal(cairn_secret_key_write(m->secret, m->secret_bytes, &m->secret_size, NULL), 0);
    assert_int_equal(
        cairn_encrypt(m->params, m->key, m->nonce, 1, 2, m->values, N, m->payload, m->size, NULL),
        0);
}

static void memory_free(struct memory *m)
{
    cairn_params_free(m->params);
    cairn_secret_key_free(m->secret);
    cairn_public_key_free(m->key);
    free(m->payload);
    free(m->values);
    free(m->sums);
    free(m->key_bytes);
}

static int make_params(void *ctx)
{
    const struct memory *m = ctx;
    struct cairn_params *params = NULL;
    struct cairn_problem why = {0};
    const int rc = cairn_params_new(m->profile, 16, m->contributors, &params, &why);
    torture_over();
    assert_true(rc == 0 ? params != NULL : params == NULL && why.code == rc);
    cairn_params_free(params);
    return rc;
}

static int make_keys(void *ctx)
{
    const struct memory *m = ctx;
    struct cairn_secret_key *secret = NULL;
    struct cairn_public_key *key = NULL;
    struct cairn_problem why = {0};
    const int rc = cairn_keygen(m->params, &secret, &key, &why);
    torture_over();
    assert_true(rc == 0 ? secret != NULL && key != NULL
                        : secret == NULL && key == NULL && why.code == rc);
    cairn_secret_key_free(secret);
    cairn_public_key_free(key);
    return rc;
}

static int write_keys(void *ctx)
{
    const struct memory *m = ctx;
    struct cairn_problem why = {0};
    uint8_t secret_bytes[CAIRN_SECRET_KEY_MOST];
    static uint8_t key_bytes[1 << 17];
    size_t key_size = sizeof key_bytes, secret_size = sizeof secret_bytes;
    memset(key_bytes, 0, sizeof key_bytes);
    memset(secret_bytes, 0, sizeof secret_bytes);
    int rc = cairn_public_key_write(m->key, key_bytes, &key_size, &why);
    if (rc == 0) {
        rc = cairn_secret_key_write(m->secret, secret_bytes, &secret_size, &why);
        torture_over();
        for (size_t i = 0; rc != 0 && i < sizeof secret_bytes; i++) {
            assert_int_equal(secret_bytes[i], 0);
        }
    } else {
        torture_over();
        for (size_t i = 0; i < sizeof key_bytes; i++) {
            assert_int_equal(key_bytes[i], 0);
        }
    }
    assert_int_equal(why.code, rc);
    return rc;
}

static int read_keys(void *ctx)
{
    const struct memory *m = ctx;
    struct cairn_secret_key *secret = NULL;
    struct cairn_public_key *key = NULL;
    struct cairn_problem why = {0};
    int rc = cairn_public_key_read(m->params, m->key_bytes, m->key_size, &key, &why);
    const bool first = rc == 0;
    if (first) {
        rc = cairn_secret_key_read(m->params, m->secret_bytes, m->secret_size, &secret, &why);
    }
    torture_over();
    assert_true((key != NULL) == first && (secret != NULL) == (rc == 0));
    assert_int_equal(why.code, rc);
    cairn_secret_key_free(secret);
    cairn_public_key_free(key);
    return rc;
}

static int encrypt(void *ctx)
{
    const struct memory *m = ctx;
    struct cairn_problem why = {0};
    uint8_t *payload = malloc(m->size);
    if (payload == NULL) {
        return CAIRN_ERR_NO_MEMORY; /* the test's own */
    }
    memset(payload, 0x5a, m->size);
    const int rc =
        cairn_encrypt(m->params, m->key, m->nonce, 1, 2, m->values, N, payload, m->size, &why);
    torture_over();
    assert_int_equal(why.code, rc);
    for (size_t i = 0; rc != 0 && i < m->size; i++) {
        assert_int_equal(payload[i], 0);
    }
    free(payload);
    return rc;
}

static int open_one(void *ctx)
{
    const struct memory *m = ctx;
    struct cairn_problem why = {0};
    memset(m->sums, 0x5a, N * sizeof *m->sums);
    const int rc =
        cairn_open(m->params, m->secret, m->nonce, 1, 2, 1, m->payload, m->size, m->sums, N, &why);
    torture_over();
    assert_int_equal(why.code, rc);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(m->sums[i], rc == 0 ? m->values[i] : 0);
    }
    return rc;
}

static int nonce(void *ctx)
{
    (void)ctx;
    uint8_t bytes[CAIRN_NONCE_SIZE];
    static const uint8_t zeros[CAIRN_NONCE_SIZE];
    const int rc = cairn_nonce_new(bytes, NULL);
    torture_over();
    assert_true(rc == 0 || memcmp(bytes, zeros, sizeof bytes) == 0);
    return rc;
}

static void test_lib_torture__in_memory(void **state)
{
    (void)state;
    static const struct memory sets[] = {
        {.profile = CAIRN_PROFILE_BFV, .contributors = 3}, /* N = 2048 */
        {.profile = CAIRN_PROFILE_CAPSULE, .contributors = 3},
        {.profile = CAIRN_PROFILE_CAPSULE, .contributors = 1000}, /* N = 4096 */
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct memory m = sets[i];
        memory_new(&m);
        print_message("%s\n", cairn_params_id(m.params));
        torture("params", make_params, &m, NULL);
        torture("nonce", nonce, &m, no_cipher);
        torture("keygen", make_keys, &m, no_cipher);
        torture("key write", write_keys, &m, NULL);
        torture("key read", read_keys, &m, no_cipher);
        torture("encrypt", encrypt, &m, no_cipher);
        torture("open", open_one, &m, no_cipher);
        memory_free(&m);
    }
}

/* ---- on files ---- */

static char folder[] = "/tmp/cairn-torture-XXXXXX";
static struct cairn_problem said;

static const char *in_folder(const char *name)
{
    static char paths[32][96];
    static unsigned turn;
    char *path = paths[turn++ % 32];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static unsigned files_there(void)
{
    unsigned n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

/* A file that was made is as long as it was the first time, when nothing was refused. */
static void check_size(const char *name)
{
    static struct {
        const char *name;
        off_t size;
    } known[8];
    struct stat status;
    size_t i = 0;
    assert_int_equal(stat(in_folder(name), &status), 0);
    while (known[i].name != NULL && strcmp(known[i].name, name) != 0) {
        i++;
    }
    assert_true(i + 1 < sizeof known / sizeof known[0]);
    if (known[i].name == NULL) {
        known[i].name = name;
        known[i].size = status.st_size;
    }
    assert_int_equal(status.st_size, known[i].size);
}

/* No step that fails may leave a file, whole or in part. */
static void check_files(int rc, unsigned before, const char *first, const char *second)
{
    torture_over();
    assert_int_equal(said.code, rc);
    if (rc == 0) {
        check_size(first);
        (void)unlink(in_folder(first));
        if (second != NULL) {
            check_size(second);
            (void)unlink(in_folder(second));
        }
    }
    assert_int_equal(files_there(), before);
}

static int files_keygen(void *ctx)
{
    struct cairn_keygen_options o;
    (void)ctx;
    const unsigned before = files_there();
    cairn_keygen_options_init(&o);
    o.contributors = 3;
    memset(&said, 0, sizeof said);
    const int rc = cairn_files_keygen(&o, in_folder("new"), in_folder("new.secret"), NULL, &said);
    check_files(rc, before, "new", "new.secret");
    return rc;
}

static int files_encrypt(void *ctx)
{
    struct cairn_encrypt_options o;
    const char *out = strstr(ctx, ".npy") != NULL ? "update.n" : "update.s";
    const unsigned before = files_there();
    cairn_encrypt_options_init(&o);
    o.public_path = in_folder("key");
    o.in = in_folder(ctx);
    o.out = in_folder(out);
    o.base = in_folder(ctx);
    o.index = 0;
    o.threads = 2;
    memset(&said, 0, sizeof said);
    const int rc = cairn_files_encrypt(&o, NULL, &said);
    check_files(rc, before, out, NULL);
    return rc;
}

static int files_add(void *ctx)
{
    (void)ctx;
    const unsigned before = files_there();
    const char *paths[] = {in_folder("u0"), in_folder("u1"), in_folder("u2")};
    memset(&said, 0, sizeof said);
    const int rc = cairn_files_add(paths, 3, in_folder("total"), NULL, &said);
    check_files(rc, before, "total", NULL);
    return rc;
}

static int files_decrypt(void *ctx)
{
    struct cairn_decrypt_options o;
    (void)ctx;
    const unsigned before = files_there();
    cairn_decrypt_options_init(&o);
    o.secret_path = in_folder("key.secret");
    o.in = in_folder("sum");
    o.out = in_folder("mean");
    o.base = in_folder("model.safetensors");
    o.threads = 2;
    memset(&said, 0, sizeof said);
    const int rc = cairn_files_decrypt(&o, NULL, &said);
    check_files(rc, before, "mean", NULL);
    return rc;
}

static void write_model(const char *name, const char *head, size_t head_size)
{
    static float values[N];
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(head, 1, head_size, f), head_size);
    assert_int_equal(fwrite(values, sizeof values[0], N, f), N);
    assert_int_equal(fclose(f), 0);
}

/* One tensor of zeros in each of the two formats. */
static void write_models(void)
{
    char text[256];
    char head[256] = {0};
    const int size =
        snprintf(text, sizeof text,
                 "{\"w\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", N, 4 * N);
    head[0] = (char)size;
    memcpy(head + 8, text, (size_t)size);
    write_model("model.safetensors", head, 8 + (size_t)size);
    const int written = snprintf(text, sizeof text,
                                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }", N);
    memset(head, ' ', 128);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(head + 10, text, (size_t)written);
    head[127] = '\n';
    write_model("model.npy", head, 128);
}

static int files_setup(void **state)
{
    (void)state;
    struct cairn_keygen_options k;
    struct cairn_encrypt_options e;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    write_models();
    cairn_keygen_options_init(&k);
    k.contributors = 3;
    int rc = cairn_files_keygen(&k, in_folder("key"), in_folder("key.secret"), NULL, &said);
    const char *paths[] = {in_folder("u0"), in_folder("u1"), in_folder("u2")};
    for (unsigned i = 0; rc == 0 && i < 3; i++) {
        cairn_encrypt_options_init(&e);
        e.public_path = in_folder("key");
        e.in = in_folder("model.safetensors");
        e.base = e.in;
        e.out = paths[i];
        e.index = i;
        rc = cairn_files_encrypt(&e, NULL, &said);
    }
    rc = rc != 0 ? rc : cairn_files_add(paths, 3, in_folder("sum"), NULL, &said);
    if (rc != 0) {
        print_error("%s\n", said.what);
    }
    return rc;
}

static int files_teardown(void **state)
{
    (void)state;
    static const char *const names[] = {
        "model.safetensors", "model.npy", "key", "key.secret", "u0", "u1", "u2", "sum"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unlink(in_folder(names[i]));
    }
    return rmdir(folder);
}

static void test_lib_torture__on_files(void **state)
{
    (void)state;
    char safetensors[] = "model.safetensors", npy[] = "model.npy";
    torture("files keygen", files_keygen, NULL, no_cipher);
    torture("files encrypt, safetensors", files_encrypt, safetensors, no_cipher);
    torture("files encrypt, npy", files_encrypt, npy, no_cipher);
    torture("files add", files_add, NULL, no_cipher);
    /* jansson has one answer for a name that is no UTF-8 and for one that it has no memory for */
    static const int no_name[] = {CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_ENVIRONMENT, CAIRN_ERR_DATA, 0};
    torture("files decrypt", files_decrypt, NULL, no_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lib_torture__in_memory),
        cmocka_unit_test_setup_teardown(test_lib_torture__on_files, files_setup, files_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
