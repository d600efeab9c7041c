/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ENDING_H
#define BASE_ENDING_H

#include <signal.h>

/**
 * The signal that has asked this process to end; 0 = none has. Of the process, as signals are. Whoever handles
 * SIGTERM and SIGINT sets it (role/serve.c); whoever waits long and is woken by a signal (EINTR) looks here
 * whether it meant an end.
 */
extern volatile sig_atomic_t ending_signal;

#endif
