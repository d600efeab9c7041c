/* SPDX-License-Identifier: Apache-2.0 */
#include "ending.h"

volatile sig_atomic_t ending_signal;
