/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_NPZ_H
#define MODEL_NPZ_H

#include "npy.h"
#include "shape.h"

/**
 * NumPy's .npz: a zip archive whose members are .npy arrays, stored or deflated. Read member by member,
 * in their order, in the memory of one header.
 *
 *     npz_open -> { npz_next -> npz_read* }* -> npz_close
 *
 * Nothing that a member claims is believed: it cannot unpack to more than deflate can pack, all
 * members together cannot take more room than the file has, the array's shape takes just the member's bytes.
 * Nothing is ever unpacked under a member's name, and no pickle is read.
 * Sources: PKWARE's APPNOTE.TXT, section 4.4; numpy's documentation of savez.
 */
struct npz;

struct npz_array {
    char name[MODEL_NAME_SIZE]; /* of the member, without ".npy" */
    enum model_dtype dtype;
    uint64_t dims[NPY_MAX_DIMS];
    unsigned n_dims;
    uint64_t bytes; /* of its elements */
};

/** Does a file that begins so look like a zip archive? */
bool npz_begins(struct span start);
/** The type of a tensor with such elements. */
enum model_dtype npz_dtype(enum npy_type type);

/**
 * @param in  borrowed until npz_close
 * @retval CAIRN_ERR_DATA  no zip archive, cut off, empty, too many members
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int npz_open(const struct input *in, struct npz **out, struct cairn_problem *why);
void npz_close(struct npz *npz);
/**
 * The next array; whatever is left of the one before is passed over.
 * @param[out] at_end  there was none; from then on as after npz_open
 * @retval CAIRN_ERR_NO_MEMORY
 * @retval CAIRN_ERR_DATA  names file and member: encrypted, packed in another way, a name that is none of an array,
 *                         no array, one that npy_parse_any refuses, sizes that cannot be, damage in
 *                         the one before, when it was read to its end
 */
CAIRN_MUST_CHECK int npz_next(struct npz *npz, bool *at_end, struct npz_array *out,
                              struct cairn_problem *why);
/** The array's next elements, as they are. @retval CAIRN_ERR_DATA damage, or fewer than `size` bytes are left */
CAIRN_MUST_CHECK int npz_read(struct npz *npz, void *out, size_t size, struct cairn_problem *why);

#endif
