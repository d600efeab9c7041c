/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_KERN_RUNGS_H
#define KERN_KERN_RUNGS_H

#include "cpu.h"
#include "kern.h"

/** One function per rung: each replaces the slots that it has something better for. For kern.c and
 * the tests that compare rungs; everybody else calls kern_get. */

/** Every slot, in portable C. */
void kern_fill_c(struct kern_ops *ops);

/** As the slots: a rung hands them what its own version is not made for. */
void kern_pack_bits_c(uint8_t *out, const uint64_t *fields, size_t count, unsigned bits);
void kern_unpack_bits_c(uint64_t *fields, const uint8_t *in, size_t count, unsigned bits);
size_t kern_round_randomly_c(int32_t *out, const float *values, const uint32_t *words, size_t n,
                             double scale, int32_t limit);
void kern_take_off_c(float *values, const int32_t *whole, size_t n, double unit);

/** x86: what these instruction sets do better. Defined where KERN_X86 is. */
void kern_fill_avx2(struct kern_ops *ops);
void kern_fill_avx512(struct kern_ops *ops);

/** The ladder up to and including `rung`, which the processor must be able to run. */
void kern_fill(struct kern_ops *ops, enum cpu_rung rung);

#endif
