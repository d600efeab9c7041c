/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for secrets, on libsodium's guarded heap. */
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <sodium.h>

#include "secret.h"
#include "sizes.h"
#include "sodium_once.h"

/* a cache line and the widest vector register */
enum { ALIGNMENT = 64 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready;

static void init(void)
{
    ready = sodium_init() >= 0; /* 1: somebody else in this process was first */
}

bool sodium_once(void)
{
    return pthread_once(&once, init) == 0 && ready;
}

void *secret_alloc(size_t size)
{
    size_t padded;
    if (!sodium_once() || !size_add(size, ALIGNMENT - 1, &padded)) {
        return NULL;
    }
    /* libsodium puts the data at the very end of its pages, against the guard
     * page, so a size that is a multiple of 64 is what aligns its beginning */
    padded -= padded % ALIGNMENT;
    if (padded == 0) {
        padded = ALIGNMENT;
    }
    void *memory = sodium_malloc(padded);
    if (memory) {
        memset(memory, 0, padded);
    }
    return memory;
}

void secret_free(void *memory)
{
    sodium_free(memory);
}

void secret_wipe(void *memory, size_t size)
{
    if (size != 0) {
        sodium_memzero(memory, size);
    }
}

int secret_equal(const void *a, const void *b, size_t size)
{
    return size == 0 || sodium_memcmp(a, b, size) == 0;
}

void secret_harden_process(void)
{
    /* Failure leaves the process as safe as it was; there is nothing better to do. */
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
