/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays whose size cannot overflow. */
#include <stdlib.h>
#include <string.h>

#include "sizes.h"

/* a cache line and the widest vector register */
enum { ALIGNMENT = 64 };

void *size_alloc_array(size_t n, size_t element_size)
{
    size_t bytes, padded;
    if (!size_mul(n, element_size, &bytes) || !size_add(bytes, ALIGNMENT - 1, &padded)) {
        return NULL;
    }
    padded -= padded % ALIGNMENT;
    if (padded == 0) {
        padded = ALIGNMENT; /* an empty array is not a failure */
    }
    void *array = aligned_alloc(ALIGNMENT, padded);
    if (array) {
        memset(array, 0, padded);
    }
    return array;
}
