/* SPDX-License-Identifier: Apache-2.0 */
/* .npz archives over minizip, which reads through the functions below, from the file that is open. */
#include "npz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <minizip/unzip.h>

#include "sizes.h"

enum { ENCRYPTED = 1, STORED = 0, DEFLATED = 8 }; /* APPNOTE 4.4.4, bit 0, and 4.4.5 */
static const char ending[] = ".npy";
enum { ENDING = sizeof ending - 1 };

struct npz {
    const struct input *in;
    uint64_t at; /* where minizip reads next */
    bool short_read;
    unzFile zip;
    bool begun; /* a member is current, and */
    bool open;  /* open */
    char name[MODEL_NAME_SIZE + ENDING];
    uint64_t packed;                 /* bytes of the members up to here */
    uint8_t start[NPY_HEADER_LIMIT]; /* of the member: its header, and elements that are read ahead */
    size_t taken, held;
};

static const char hint_again[] = "copy the file again, or save it again with numpy.savez";

bool npz_begins(struct span start)
{
    return start.size >= 4 && (memcmp(start.data, "PK\3\4", 4) == 0 ||
                               memcmp(start.data, "PK\5\6", 4) == 0 /* empty */);
}

enum model_dtype npz_dtype(enum npy_type type)
{
    static const enum model_dtype dtypes[] = {
        [NPY_FLOAT32] = MODEL_F32, [NPY_FLOAT64] = MODEL_F64, [NPY_UINT8] = MODEL_U8,
        [NPY_INT8] = MODEL_I8,     [NPY_UINT16] = MODEL_U16,  [NPY_INT16] = MODEL_I16,
        [NPY_UINT32] = MODEL_U32,  [NPY_INT32] = MODEL_I32,   [NPY_UINT64] = MODEL_U64,
        [NPY_INT64] = MODEL_I64,   [NPY_FLOAT16] = MODEL_F16, [NPY_BOOL] = MODEL_BOOL};
    return dtypes[type];
}

/* ---- what minizip reads through ---- */

static voidpf begin_input(voidpf opaque, const void *name, int mode)
{
    (void)name;
    (void)mode;
    return opaque;
}

static uLong read_input(voidpf opaque, voidpf stream, void *out, uLong size)
{
    struct npz *npz = opaque;
    const uint64_t left = npz->in->size - npz->at;
    (void)stream;
    /* it asks for what should be there; `at` never passes the end, even if the file has grown */
    npz->short_read = npz->short_read || size > left ||
                      input_read(npz->in, npz->at, out, size, NULL) != 0;
    npz->at += npz->short_read ? 0 : size;
    return npz->short_read ? 0 : size;
}

static ZPOS64_T tell_input(voidpf opaque, voidpf stream)
{
    const struct npz *npz = opaque;
    (void)stream;
    return npz->at;
}

static long seek_input(voidpf opaque, voidpf stream, ZPOS64_T offset, int origin)
{
    struct npz *npz = opaque;
    const uint64_t size = npz->in->size;
    const uint64_t from = origin == ZLIB_FILEFUNC_SEEK_SET   ? 0
                          : origin == ZLIB_FILEFUNC_SEEK_CUR ? npz->at
                                                             : size;
    (void)stream;
    if (offset > size - from) {
        return -1;
    }
    npz->at = from + offset;
    return 0;
}

static int end_input(voidpf opaque, voidpf stream)
{
    (void)opaque;
    (void)stream;
    return 0;
}

static int error_of_input(voidpf opaque, voidpf stream)
{
    const struct npz *npz = opaque;
    (void)stream;
    return npz->short_read;
}

/* ---- opening ---- */

static int no_archive(const struct input *in, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_DATA, hint_again,
                       "%s: the zip archive is empty, cut off or damaged", in->path);
}

static int check_count(const struct npz *npz, struct cairn_problem *why)
{
    unz_global_info64 facts;
    if (unzGetGlobalInfo64(npz->zip, &facts) != UNZ_OK || facts.number_entry == 0) {
        return no_archive(npz->in, why);
    }
    if (facts.number_entry > MODEL_MAX_TENSORS) {
        return problem_set(why, CAIRN_ERR_DATA, "merge tensors",
                           "%s: %" PRIu64 " members; at most %d tensors are possible", npz->in->path,
                           (uint64_t)facts.number_entry, MODEL_MAX_TENSORS);
    }
    return 0;
}

int npz_open(const struct input *in, struct npz **out, struct cairn_problem *why)
{
    struct npz *npz = calloc(1, sizeof *npz);
    if (npz == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s", in->path);
    }
    npz->in = in;
    zlib_filefunc64_def functions = {.zopen64_file = begin_input,
                                     .zread_file = read_input,
                                     .ztell64_file = tell_input,
                                     .zseek64_file = seek_input,
                                     .zclose_file = end_input,
                                     .zerror_file = error_of_input,
                                     .opaque = npz};
    npz->zip = unzOpen2_64(in->path, &functions);
    const int err = npz->zip != NULL ? check_count(npz, why) : no_archive(in, why);
    if (err != 0) {
        npz_close(npz);
        return err;
    }
    *out = npz;
    return 0;
}

void npz_close(struct npz *npz)
{
    if (npz != NULL && npz->zip != NULL) {
        (void)unzCloseCurrentFile(npz->zip);
        (void)unzClose(npz->zip);
    }
    free(npz);
}

/* ---- members ---- */

static int bad(const struct npz *npz, const char *hint, const char *what, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_DATA, hint, "%s: member \"%s\" %s", npz->in->path, npz->name,
                       what);
}

/* @param error  minizip's or zlib's */
static int damaged(const struct npz *npz, int error, struct cairn_problem *why)
{
    if (error == UNZ_INTERNALERROR || error == Z_MEM_ERROR) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s", npz->in->path);
    }
    return bad(npz, hint_again,
               error == UNZ_CRCERROR ? "is damaged: its checksum is another one"
                                     : "is damaged: it cannot be unpacked",
               why);
}

/* A name that climbs is no tensor's. Nothing is written under it; whoever unpacks the file elsewhere might. */
static bool is_path(const char *name)
{
    const char *part = name;
    bool path = strchr(name, '\\') != NULL;
    while (!path && part != NULL) {
        const size_t n = strcspn(part, "/");
        path = n == 0 || (n == 1 && part[0] == '.') || (n == 2 && memcmp(part, "..", 2) == 0);
        part = part[n] == '/' ? part + n + 1 : NULL;
    }
    return path;
}

static int check_name(const struct npz *npz, const unz_file_info64 *facts, char *out,
                      struct cairn_problem *why)
{
    const size_t length = strlen(npz->name);
    if (facts->size_filename >= sizeof npz->name) {
        return bad(npz, "rename it", "has a longer name than a tensor can have", why);
    }
    if (length != facts->size_filename) {
        return bad(npz, "rename it", "has a zero byte in its name", why);
    }
    if (length < ENDING || strcmp(npz->name + length - ENDING, ending) != 0) {
        return bad(npz, "numpy.savez(path, **arrays) writes what can be read; a .pt file holds pickles, which "
                        "can run code and are never read", "is no .npy array", why);
    }
    memcpy(out, npz->name, length - ENDING);
    out[length - ENDING] = '\0';
    return is_path(out) ? bad(npz, "rename it", "is named like a path", why) : 0;
}

static int check_facts(struct npz *npz, const unz_file_info64 *facts, struct cairn_problem *why)
{
    if ((facts->flag & ENCRYPTED) != 0) {
        return bad(npz, "save it without a password", "is encrypted", why);
    }
    if (facts->compression_method != STORED && facts->compression_method != DEFLATED) {
        return problem_set(why, CAIRN_ERR_DATA, "save it with numpy.savez or numpy.savez_compressed",
                           "%s: member \"%s\" is packed by method %lu; stored and deflated ones can "
                           "be read", npz->in->path, npz->name, facts->compression_method);
    }
    const uint64_t packed = facts->compressed_size, size = facts->uncompressed_size;
    if (packed > npz->in->size - npz->packed) {
        return bad(npz, hint_again, "would take more room than the file has", why);
    }
    npz->packed += packed;
    if (facts->compression_method == STORED ? size != packed : size / SIZE_DEFLATE_RATIO > packed) {
        return problem_set(why, CAIRN_ERR_DATA, hint_again,
                           "%s: member \"%s\" claims %" PRIu64 " bytes, which cannot be in %" PRIu64,
                           npz->in->path, npz->name, size, packed);
    }
    return 0;
}

/* Bytes of the member that is open. @param[out] got  how many there were. @return 0, or minizip's error */
static int unpack(const struct npz *npz, uint8_t *out, size_t size, size_t *got)
{
    enum { MOST = 1 << 30 }; /* what it is asked for is an unsigned, what it answers an int */
    int n = 1;
    for (*got = 0; n > 0 && *got < size; *got += n > 0 ? (size_t)n : 0) {
        const size_t left = size - *got;
        n = unzReadCurrentFile(npz->zip, out + *got, (unsigned)(left < MOST ? left : MOST));
    }
    return n < 0 ? n : 0;
}

static int read_array(struct npz *npz, uint64_t size, struct npz_array *out,
                      struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    struct npy npy;
    char quoted[sizeof npz->name + 2];
    const size_t want = size < sizeof npz->start ? (size_t)size : sizeof npz->start;
    int err = unzOpenCurrentFile(npz->zip);
    npz->open = err == UNZ_OK;
    if (err == 0) {
        err = unpack(npz, npz->start, want, &npz->held);
    }
    if (err != 0 || npz->held < want) {
        return damaged(npz, err, why);
    }
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", npz->name);
    err = npy_parse_any((struct span){npz->start, npz->held}, size, quoted, &npy, &inner);
    if (err != 0) {
        return problem_set(why, err, inner.hint, "%s: member %s", npz->in->path, inner.what);
    }
    npz->taken = (size_t)npy.data_at;
    out->dtype = npz_dtype(npy.type);
    out->n_dims = npy.n_dims;
    out->bytes = size - npy.data_at;
    memcpy(out->dims, npy.dims, sizeof out->dims);
    return 0;
}

/* What was read to its end is now compared with its checksum. */
static int end_member(struct npz *npz, struct cairn_problem *why)
{
    const int err = npz->open ? unzCloseCurrentFile(npz->zip) : UNZ_OK;
    npz->open = false;
    return err == UNZ_OK ? 0 : damaged(npz, err, why);
}

int npz_next(struct npz *npz, bool *at_end, struct npz_array *out, struct cairn_problem *why)
{
    unz_file_info64 facts;
    int err = end_member(npz, why);
    if (err != 0) {
        return err;
    }
    err = npz->begun ? unzGoToNextFile(npz->zip) : unzGoToFirstFile(npz->zip);
    *at_end = npz->begun && err == UNZ_END_OF_LIST_OF_FILE;
    npz->packed = npz->begun ? npz->packed : 0;
    npz->begun = !*at_end;
    if (*at_end) {
        return 0;
    }
    memset(npz->name, 0, sizeof npz->name);
    if (err != UNZ_OK || unzGetCurrentFileInfo64(npz->zip, &facts, npz->name, sizeof npz->name - 1,
                                                 NULL, 0, NULL, 0) != UNZ_OK) {
        return problem_set(why, CAIRN_ERR_DATA, hint_again, "%s: the zip archive's list of members is damaged",
                           npz->in->path);
    }
    err = check_name(npz, &facts, out->name, why);
    if (err == 0) {
        err = check_facts(npz, &facts, why);
    }
    return err != 0 ? err : read_array(npz, facts.uncompressed_size, out, why);
}

int npz_read(struct npz *npz, void *out, size_t size, struct cairn_problem *why)
{
    uint8_t *to = out;
    const size_t ahead = npz->held - npz->taken;
    const size_t first = size < ahead ? size : ahead;
    size_t got = 0;
    memcpy(to, npz->start + npz->taken, first);
    npz->taken += first;
    const int err = unpack(npz, to + first, size - first, &got);
    return err == 0 && got == size - first ? 0 : damaged(npz, err, why);
}
