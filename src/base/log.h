/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "problem.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/**
 * Lines on stderr: "12:00:00.123 info  switch 127.0.0.2:5000 text" (UTC). Control characters in the
 * text are escaped, so nothing that a peer names can forge a line. Internally locked.
 * Colour only on a terminal and without NO_COLOR.
 * Never pass keys, weights or ciphertext bytes.
 */
void log_line(enum log_level level, const char *format, ...) CAIRN_PRINTF(2, 3);

/** What is printed: this level and more urgent ones. Default LOG_INFO. */
void log_set_level(enum log_level level);
/** Prefix of every line, such as the node's role and address; copied, cut at 79 bytes. */
void log_set_name(const char *name);

#endif
