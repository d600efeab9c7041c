/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SODIUM_ONCE_H
#define BASE_SODIUM_ONCE_H

#include <stdbool.h>

/**
 * Initialise libsodium, the first time; thread-safe, cheap afterwards. Inside
 * base only. False when libsodium cannot work here (no randomness): secret.c and random.c must
 * then hand nothing out; hashes work all the same, only slower.
 */
bool sodium_once(void);

#endif
