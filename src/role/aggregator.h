/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_AGGREGATOR_H
#define ROLE_AGGREGATOR_H

#include "role.h"

/** What to do with an unfinished run of the same config. */
enum aggregator_resume {
    AGGREGATOR_EITHER, /* go on with it if there is one */
    AGGREGATOR_RESUME, /* go on with it; there must be one */
    AGGREGATOR_ANEW,   /* give it up */
};

/**
 * The aggregator: gives every node its config, opens rounds, opens sums, keeps the model.
 *
 * @param config   borrowed for the role's life
 * @param text     the config file as it was read, kept beside the results; copied
 * @param init     safetensors file whose model a new run begins with, and whose order, types and
 *                 metadata the models that it writes have; NULL: the trainer's. A run that is gone on
 *                 with must have begun with the same.
 * @param host     borrowed
 * @retval CAIRN_ERR_BUSY  another aggregator runs this experiment, which is named
 * @retval CAIRN_ERR_DATA, CAIRN_ERR_CONFIG, CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_STORAGE, ...
 */
CAIRN_MUST_CHECK int aggregator_new(const struct fed_config *config, struct span text,
                                    enum aggregator_resume wanted, const char *init,
                                    const struct role_host *host, struct role **out,
                                    struct cairn_problem *why);

/** Called with one line per event worth a line (progress); any time after aggregator_new. */
void aggregator_on_progress(struct role *self, void (*progress)(void *ctx, const char *line),
                            void *ctx);

/** true once the experiment is over; *problem is zeroed when it went well. */
bool aggregator_finished(struct role *self, struct cairn_problem *problem);

/**
 * The run's document, once finished: what `cairn agg --json` prints and runs/<experiment>/summary.json
 * holds. New reference.
 */
json_t *aggregator_summary(struct role *self);

#endif
