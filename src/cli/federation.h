/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FEDERATION_H
#define CLI_FEDERATION_H

#include <jansson.h>

#include "cli.h"

/** A whole federation on this machine: what `run`, `compare` and `demo` have in common. */
struct federation_options {
    const char *data_dir; /* NULL: the config's, in these three */
    const char *log_dir;
    const char *runs_dir;
    bool verbose; /* the nodes' lines go to stderr too, instead of into files */
};

enum { FEDERATION_OPTIONS = 4 };
/** The four as command line options. */
void federation_options_list(struct federation_options *options,
                             struct cli_option list[FEDERATION_OPTIONS]);

/**
 * Run a config: one process for each node on loopback addresses, one for the aggregator, and wait
 * for the end. Progress goes to stderr. Afterwards no process is left.
 *
 * @param name      the config's file name, which also names an experiment that has no name
 * @param config    a config that has been checked; not changed
 * @param[out] document  the run's document, with each process's usage as the operating system
 * counted it; new reference, NULL on failure
 * @retval CAIRN_ERR_ENVIRONMENT  a port is taken, a process cannot be started
 * @retval any error of the aggregator's, or of the node that died
 */
CAIRN_MUST_CHECK int federation_run(struct cli *cli, const char *name, const json_t *config,
                                    const struct federation_options *options, json_t **document,
                                    struct cairn_problem *why);

#endif
