/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_SUMMARY_H
#define ROLE_SUMMARY_H

#include <jansson.h>

#include "config.h"
#include "plan.h"
#include "privacy.h"
#include "trainer.h"

/** A run that is over, as the aggregator knows it. All borrowed for the call. */
struct run_result {
    const struct fed_config *config;
    const struct fed_plan *plan;
    const float *model; /* n_params, the final one */
    uint32_t rounds;
    struct eval_metrics metrics; /* of the final model; samples 0 = not evaluated */
    const struct fed_privacy *privacy;
    double epsilon; /* that the run has come to; with noise */
    double wall_s;
    json_t *const *logs; /* n_nodes; [0] is the aggregator's own; NULL where none came */
};

/**
 * The run's document: experiment, profile, key_holder, in_network, clients, switches, rounds, params,
 * value_bits, accuracy, loss (null when not evaluated), model_digest (BLAKE2b-256 of the float32 weights in
 * order), bits_per_param and upload_bytes_per_client_round (as sent, headers and capsules included),
 * float32_bytes, failure_log2 (null where a sum cannot be wrong),
 * security_bits (null without encryption), wall_s, parameters,
 * nodes[] {address, role, byte_send, byte_received, cpu_s, peak_rss_bytes}.
 * @return new reference, NULL without memory
 */
json_t *run_summary(const struct run_result *result);

#endif
