/* SPDX-License-Identifier: Apache-2.0 */
#include "torture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <gcrypt.h>
#include <jansson.h>
#include <sodium.h>

#include <cairn/err.h>

#include "random_internal.h"

static atomic_bool armed;
static atomic_ulong requests; /* of this run */
static atomic_bool refused_one;
static atomic_long guarded; /* pieces of sodium_malloc's: LeakSanitizer does not see them */
static unsigned long refuse_at;
static enum torture how;

static bool refused(void)
{
    if (!armed) {
        return false;
    }
    const unsigned long number = ++requests;
    const bool no = how == TORTURE_ONCE ? number == refuse_at : number >= refuse_at;
    if (no) {
        refused_one = true;
    }
    return no;
}

static bool no_memory(void)
{
    const bool no = refused();
    if (no) {
        errno = ENOMEM;
    }
    return no;
}

/* ---- what the linker puts in the place of the real ones ---- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return no_memory() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    return no_memory() ? NULL : __real_calloc(n, size);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
    return no_memory() ? NULL : __real_realloc(old, size);
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return no_memory() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    return no_memory() ? NULL : __real_strdup(text);
}

char *__real_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n)
{
    return no_memory() ? NULL : __real_strndup(text, n);
}

int __wrap_asprintf(char **out, const char *format, ...) CAIRN_PRINTF(2, 3);
int __wrap_asprintf(char **out, const char *format, ...)
{
    if (no_memory()) {
        *out = (char *)(uintptr_t)1; /* undefined after failure: nobody may free it */
        return -1;
    }
    va_list args;
    va_start(args, format);
    const int size = vasprintf(out, format, args);
    va_end(args);
    return size;
}

void *__real_sodium_malloc(size_t size);
void *__wrap_sodium_malloc(size_t size);
void *__wrap_sodium_malloc(size_t size)
{
    void *memory = no_memory() ? NULL : __real_sodium_malloc(size);
    guarded += memory != NULL;
    return memory;
}

void __real_sodium_free(void *memory);
void __wrap_sodium_free(void *memory);
void __wrap_sodium_free(void *memory)
{
    guarded -= memory != NULL;
    __real_sodium_free(memory);
}

gcry_error_t __real_gcry_cipher_open(gcry_cipher_hd_t *out, int algo, int mode, unsigned flags);
gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *out, int algo, int mode, unsigned flags);
gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *out, int algo, int mode, unsigned flags)
{
    return no_memory() ? gcry_error(GPG_ERR_ENOMEM)
                       : __real_gcry_cipher_open(out, algo, mode, flags);
}

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    return refused() ? EAGAIN : __real_pthread_create(out, attributes, run, arg);
}

/* ---- hooks of others ---- */

static ssize_t system_randomness(void *out, size_t size, unsigned flags)
{
    if (refused()) {
        errno = ENOSYS;
        return -1;
    }
    return getrandom(out, size, flags);
}

static void *json_malloc(size_t size)
{
    return no_memory() ? NULL : __real_malloc(size);
}

/* Before cairn's own hook, which calls what it finds: 101 is the first of the priorities that are not the compiler's. */
__attribute__((constructor(101))) static void hook_jansson(void)
{
    json_set_alloc_funcs(json_malloc, free);
}

/* ---- the driver ---- */

void torture_over(void)
{
    armed = false;
}

bool torture_refused(void)
{
    return refused_one;
}

static bool is_allowed(int rc, const int *allowed)
{
    bool found = rc == CAIRN_ERR_NO_MEMORY;
    for (; allowed != NULL && *allowed != 0; allowed++) {
        found |= rc == *allowed;
    }
    return found;
}

static void run_until_it_passes(const char *name, int (*scenario)(void *ctx), void *ctx,
                                const int *allowed)
{
    enum { MOST = 100000 }; /* a scenario that never passes is a mistake of its own */
    for (refuse_at = 1; refuse_at < MOST; refuse_at++) {
        requests = 0;
        refused_one = false;
        armed = true;
        const long before = guarded;
        const int rc = scenario(ctx);
        armed = false;
        assert_int_equal(guarded, before);
        if (!refused_one) {
            assert_int_equal(rc, 0);
            print_message("%s: %lu requests, each refused %s\n", name, refuse_at - 1,
                          how == TORTURE_ONCE ? "once" : "with all after it");
            return;
        }
        /* buf_reserve, refused what it would like, asks again for what it needs */
        const bool got_by = rc == 0 && how == TORTURE_ONCE;
        if (!got_by && !is_allowed(rc, allowed)) {
            print_error("%s: request %lu refused: %d, %s\n", name, refuse_at, rc,
                        cairn_error_name(rc));
            fail();
        }
    }
    fail_msg("%s does not pass", name);
}

void torture(const char *name, int (*scenario)(void *ctx), void *ctx, const int *allowed)
{
    random_getrandom = system_randomness;
    assert_int_equal(scenario(ctx), 0); /* what is made once in a process is there */
    for (how = TORTURE_ONCE; how <= TORTURE_ALWAYS; how++) {
        run_until_it_passes(name, scenario, ctx, allowed);
    }
}
