/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_UPDATE_FILE_H
#define FILES_UPDATE_FILE_H

#include "digest.h"
#include "file.h"
#include "frame.h"
#include "plan.h"
#include "session.h"
#include "tensor_file.h"

/**
 * Update files: one client's model, or the sum of several, in frames.
 *
 * A container (container.h) "CRNU" whose body is the frames 0, 1, ... of wire/frame.h, one behind
 * the other, with the first 16 bytes of the nonce as experiment and stream 1. Every frame has the
 * contributors, the weight and the set that the header says, so the length of the file follows from
 * its header.
 */
struct update_header {
    struct he_params params;
    uint8_t nonce[HE_NONCE_SIZE];
    uint8_t key_id[HE_KEY_ID_SIZE];
    uint32_t round;
    uint64_t largest_samples;
    uint32_t frame_params;
    bool has_base;
    uint8_t base[DIGEST_SIZE]; /* of the model that is subtracted from each client's */
    enum tensor_format format; /* that the models had */
    struct model_shape shape;  /* owned; by name */
    double *steps;             /* owned; one a tensor */
    struct fed_plan plan;      /* follows from the above */
    /* what adds up */
    uint32_t contributors;
    uint64_t weight;
    struct buf set; /* fed_plan_set_bytes */
};

void update_header_release(struct update_header *header);
/** Fill in the plan. @retval CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int update_header_plan(struct update_header *header, struct cairn_problem *why);
/** Write the header to the draft. @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int update_header_write(const struct update_header *header,
                                         struct file_draft *draft, struct cairn_problem *why);
/** The same as JSON. New reference, or NULL: no memory, or a name that is not UTF-8. */
json_t *update_header_json(const struct update_header *header);
/** @param header  zero-initialised; update_header_release, on failure too
 * @retval CAIRN_ERR_DATA, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int update_header_parse(const json_t *document, struct update_header *header,
                                         const char *path, struct cairn_problem *why);
/** Do two files belong to one sum? @retval CAIRN_ERR_REFUSED  what differs, in both */
CAIRN_MUST_CHECK int update_header_match(const struct update_header *a, const char *a_path,
                                         const struct update_header *b, const char *b_path,
                                         struct cairn_problem *why);
/** What the frames of this file are digested with. */
struct wire_context update_context(const struct update_header *header);

/** An update file that is read. */
struct update_file {
    struct input in;
    struct update_header header;
    uint64_t body_at;
};

/** @retval CAIRN_ERR_DATA, CAIRN_ERR_INTEGRITY, CAIRN_ERR_NO_MEMORY  nothing to close */
CAIRN_MUST_CHECK int update_file_open(struct update_file *file, const char *path,
                                      struct cairn_problem *why);
void update_file_close(struct update_file *file);
/**
 * Read a frame and check it against its digest, the plan and the header.
 * @param bytes      work; the frame borrows from it
 * @retval CAIRN_ERR_INTEGRITY, CAIRN_ERR_DATA, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int update_file_frame(const struct update_file *file, uint32_t index,
                                       struct buf *bytes, struct wire_frame *frame,
                                       struct cairn_problem *why);
/** Bytes of all frames. */
uint64_t update_body_size(const struct update_header *header);

#endif
