/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_MADE_ZIP_H
#define UNIT_MADE_ZIP_H

#include <stdint.h>
#include <string.h>

#include <zlib.h>

#include "le.h"

/**
 * Zip archives as PKWARE's APPNOTE.TXT section 4.3 lays them out, with whatever lies are asked for: local headers
 * and members, then the central directory (4.3.12) and its end record (4.3.16).
 */
struct made_member {
    const char *name;
    size_t name_size;     /* 0: strlen(name) */
    const uint8_t *bytes; /* as they are stored or deflated */
    size_t packed;
    size_t size; /* unpacked */
    uint32_t crc;
    unsigned flag, method;
};

static inline void made_put16(uint8_t **to, unsigned value)
{
    le_put16(*to, (uint16_t)value);
    *to += 2;
}

static inline void made_put32(uint8_t **to, size_t value)
{
    le_put32(*to, (uint32_t)value);
    *to += 4;
}

static inline size_t made_name_size(const struct made_member *m)
{
    return m->name_size > 0 ? m->name_size : strlen(m->name);
}

/* What a local header and one of the directory have in common, from "version needed" on. */
static inline void made_facts(uint8_t **to, const struct made_member *m)
{
    made_put16(to, 20); /* version 2.0 */
    made_put16(to, m->flag);
    made_put16(to, m->method);
    made_put32(to, 0x21 << 16); /* 1980-01-01 */
    made_put32(to, m->crc);
    made_put32(to, m->packed);
    made_put32(to, m->size);
    made_put16(to, (unsigned)made_name_size(m));
    made_put16(to, 0);
}

static inline void made_bytes(uint8_t **to, const void *bytes, size_t size)
{
    memcpy(*to, bytes, size);
    *to += size;
}

/** Room that an archive needs. */
static inline size_t made_zip_size(const struct made_member *members, size_t n)
{
    size_t size = 22;
    for (size_t i = 0; i < n; i++) {
        size += 30 + 46 + 2 * made_name_size(&members[i]) + members[i].packed;
    }
    return size;
}

enum { MADE_MOST = 8 };

/** @param n  at most MADE_MOST. @param[out] out  made_zip_size(members, n) */
static inline void made_zip(const struct made_member *members, size_t n, uint8_t *out)
{
    uint8_t *to = out;
    uint32_t begin[MADE_MOST];
    for (size_t i = 0; i < n; i++) {
        begin[i] = (uint32_t)(to - out);
        made_put32(&to, 0x04034b50);
        made_facts(&to, &members[i]);
        made_bytes(&to, members[i].name, made_name_size(&members[i]));
        made_bytes(&to, members[i].bytes, members[i].packed);
    }
    const size_t directory = (size_t)(to - out);
    for (size_t i = 0; i < n; i++) {
        made_put32(&to, 0x02014b50);
        made_put16(&to, 20);
        made_facts(&to, &members[i]);
        made_put16(&to, 0); /* comment, disk and attributes */
        made_put16(&to, 0);
        made_put16(&to, 0);
        made_put32(&to, 0);
        made_put32(&to, begin[i]);
        made_bytes(&to, members[i].name, made_name_size(&members[i]));
    }
    const size_t end = (size_t)(to - out);
    made_put32(&to, 0x06054b50);
    made_put32(&to, 0); /* disks */
    made_put16(&to, (unsigned)n);
    made_put16(&to, (unsigned)n);
    made_put32(&to, end - directory);
    made_put32(&to, directory);
    made_put16(&to, 0);
}

/** A stored member, with nothing to hide. */
static inline struct made_member made_stored(const char *name, const uint8_t *bytes, size_t size)
{
    return (struct made_member){.name = name,
                                .bytes = bytes,
                                .packed = size,
                                .size = size,
                                .crc = (uint32_t)crc32(0, bytes, (uInt)size)};
}

#endif
