/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULT_FAULT_H
#define FAULT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * For tests that arm faults themselves instead of through the environment (fault.c says how that
 * reads). The counts go on from where they are; a rule counts from the moment it is armed.
 */

/** Replace all rules. NULL or "" = none. False: not a rule, nothing changed. */
bool fault_arm(const char *rules);
/** Calls of a site since the program began, or 0 for an unknown one. */
uint64_t fault_calls(const char *site);

#endif
