/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_INSPECT_SEAL_H
#define CLI_INSPECT_SEAL_H

#include <stdbool.h>

#include <jansson.h>

#include "buf.h"

/** What cairn inspect tells of other programs' files: SEAL objects, TenSEAL contexts and vectors,
 * and the notes beside them. Nothing secret is told. */

/** A file of SEAL objects, one after the other. @retval CAIRN_ERR_DATA  the first that is none */
CAIRN_MUST_CHECK int inspect_seal(const char *path, json_t *document, struct cairn_problem *why);
/** @return false: neither a context nor a vector of TenSEAL's, and nothing has been done */
bool inspect_tenseal(const char *path, struct span bytes, json_t *document);
/** @return false: no note */
bool inspect_note(const json_t *note, json_t *document);

#endif
