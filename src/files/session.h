/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_SESSION_H
#define FILES_SESSION_H

#include "container.h"
#include "he.h"

/**
 * The public file of a key pair: everything that clients have to agree on, in one place, so that
 * there is nothing left to agree on. A container (container.h) "CRNS" whose body is the public key
 * (he_public_key_write), empty for profile none. Zero-initialised is empty.
 */
struct session {
    struct he_params params;
    double range;             /* values lie within +-range */
    uint64_t largest_samples; /* of any client */
    uint32_t frame_params;    /* wanted parameters of a frame, as in fed_plan_init */
    uint8_t nonce[HE_NONCE_SIZE];
    uint8_t key_id[HE_KEY_ID_SIZE]; /* zeros for profile none */
    struct he_public_key *key;      /* owned; NULL for profile none */
};

/** 2^19 parameters: floats, integers and payload of one frame are some MB. */
enum { SESSION_FRAME_PARAMS = 1 << 19, SESSION_MOST_FRAME_PARAMS = 1 << 22 };
/** Samples are counted in double: with 2^12 clients of 2^40 each the total still is exact. */
#define SESSION_MOST_SAMPLES (UINT64_C(1) << 40)

/** Is this a range whose steps float32 and double can work with? */
bool session_range_is_good(double range);

/** Append the file's bytes. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int session_write(const struct session *session, struct buf *out);
/** @param out  session_release; untouched on failure.
 * @retval CAIRN_ERR_DATA, CAIRN_ERR_INTEGRITY, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int session_read(const char *path, struct session *out,
                                  struct cairn_problem *why);
/** All but the key, as JSON. New reference, or NULL without memory. */
json_t *session_json(const struct session *session);
/** And back. @retval CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int session_parse(const json_t *document, const char *path,
                                   struct session *session, struct cairn_problem *why);
void session_release(struct session *session);

/**
 * The parameters that a document names by profile, value_bits and most_contributors, which must
 * have the id that it says. @retval CAIRN_ERR_DATA both ids, or what is missing
 */
CAIRN_MUST_CHECK int session_params_read(const json_t *document, const char *path,
                                         struct he_params *out, struct cairn_problem *why);
/** The same members, to begin a document with. New reference, or NULL. */
json_t *session_params_json(const struct he_params *params);
/** A member that is a whole number in least..most. @retval CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int session_number(const json_t *document, const char *key, uint64_t least,
                                    uint64_t most, const char *path, uint64_t *out,
                                    struct cairn_problem *why);

#endif
