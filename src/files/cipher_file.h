/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_CIPHER_FILE_H
#define FILES_CIPHER_FILE_H

#include "digest.h"
#include "file.h"
#include "seal_codec.h"
#include "tenseal.h"
#include "update_file.h"

/**
 * Updates in another program's format: a file of ciphertexts, chunk by chunk of the flattened
 * model, and its note (files_format.h).
 *
 * Reading first walks over the whole file, so that what does not belong there is found before
 * anything is written; then one ciphertext at a time. TenSEAL's protocol buffer is held in memory
 * while it is walked over and while it is written; SEAL's objects never more than one.
 */
struct cipher_file {
    const char *path; /* borrowed */
    uint64_t size;
    size_t n;          /* ciphertexts */
    uint64_t *at;      /* (n) */
    size_t *sizes;     /* (n) bytes */
    uint64_t values;   /* tenseal: in all ciphertexts; else 0 */
    uint8_t digest[DIGEST_SIZE];
};

/**
 * @param n  ciphertexts that there must be; 0 for TenSEAL: as many as there are
 * @retval CAIRN_ERR_DATA, CAIRN_ERR_NO_MEMORY  nothing to release
 */
CAIRN_MUST_CHECK int cipher_file_walk(struct cipher_file *file, const char *path,
                                      enum files_format format, const struct seal_codec *codec,
                                      size_t n, struct cairn_problem *why);
void cipher_file_release(struct cipher_file *file);
/** Ciphertext i. The file is opened for each: there may be any number of them.
 * @param work  memory. @retval as seal_codec_read; CAIRN_ERR_INTEGRITY  it has changed meanwhile */
CAIRN_MUST_CHECK int cipher_file_read(const struct cipher_file *file,
                                      const struct seal_codec *codec, size_t i, struct buf *work,
                                      struct seal_cipher *out, struct cairn_problem *why);

/** The note of an update. @param header  zero-initialised; update_header_release, on failure too
 * @param has_digest  false: the note has none */
CAIRN_MUST_CHECK int cipher_note_read(const char *path, enum files_format format,
                                      struct update_header *header, enum seal_version *version,
                                      uint8_t digest[DIGEST_SIZE], bool *has_digest,
                                      struct cairn_problem *why);
/** A walked file against the digest of its note. @retval CAIRN_ERR_INTEGRITY */
CAIRN_MUST_CHECK int cipher_file_match(const struct cipher_file *file,
                                       const uint8_t digest[DIGEST_SIZE],
                                       struct cairn_problem *why);
/** seal_codec_unit of an update. */
double cipher_unit(enum files_format format, const struct update_header *header);
/** Ciphertexts of a model. */
size_t cipher_count(const struct update_header *header);

/** A file that is written. Zero-initialised is closed. */
struct cipher_writer {
    const struct seal_codec *codec; /* borrowed */
    enum files_format format;
    enum seal_version version;
    struct file_draft draft;
    struct digest_state digest;
    uint64_t bytes;
    struct buf work;    /* tenseal: all ciphertexts so far */
    struct buf extents; /* tenseal: struct cipher_extent for each */
};
/** @param path  borrowed */
CAIRN_MUST_CHECK int cipher_writer_open(struct cipher_writer *w, const char *path,
                                        enum files_format format, enum seal_version version,
                                        const struct seal_codec *codec, struct cairn_problem *why);
/** @param count  values in it */
CAIRN_MUST_CHECK int cipher_writer_put(struct cipher_writer *w, const struct seal_cipher *cipher,
                                       size_t count, struct cairn_problem *why);
/** Both files appear, or neither unless the disk fails between two renamings; an old file beside a
 * new note, or the reverse, is told by the digest. */
CAIRN_MUST_CHECK int cipher_writer_finish(struct cipher_writer *w,
                                          const struct update_header *header,
                                          struct cairn_problem *why);
/** After finish too; what has not been finished leaves the old files. */
void cipher_writer_release(struct cipher_writer *w);

#endif
