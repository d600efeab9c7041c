/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_KERN_RUNGS_H
#define KERN_KERN_RUNGS_H

#include "cpu.h"
#include "kern.h"

/** One function per rung: each replaces the slots that it has something better for. For kern.c and
 * the tests that compare rungs; everybody else calls kern_get. */

/** Every slot, in portable C. */
void kern_fill_c(struct kern_ops *ops);

/** The ladder up to and including `rung`, which the processor must be able to run. */
void kern_fill(struct kern_ops *ops, enum cpu_rung rung);

#endif
