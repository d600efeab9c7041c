/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_RELOAD_H
#define CLI_RELOAD_H

#include "buf.h"

/** The config of a run, and the file that it came from. */
struct reload {
    const char *path;
    struct span text; /* as it was when the run began */
};

/**
 * Read the file again and say, line by line in the log, what is wrong with it or where it differs from the run's config.
 * Nothing is taken over: a run is its config, by whose digest the nodes and the ledger know it.
 *
 * @param reload  struct reload
 */
void reload_check(void *reload);

#endif
