/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_CONFIG_DOC_H
#define FED_CONFIG_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "config.h"

/**
 * A JSON text together with where everything stands in it.
 *
 * jansson says where a syntax error is, but keeps no positions of what it accepts. So the text is
 * read twice: config_scan (config_scan.c) goes over it and notes the PLACE of every value, or the
 * first syntax error and its likely cause; config_doc_read then has jansson parse it and ties each
 * place to its json_t.
 */

/** One value of the document. Places are in the order of the text; number 0 is the whole document.
 */
struct config_place {
    struct span key;  /* of an object's member, as written, without quotes; elsewhere empty */
    struct span text; /* the value as written; borrowed from the document's text */
    unsigned key_line, key_column; /* the value's own where there is no key */
    unsigned line, column;
    uint32_t first_child, next; /* 0 = none */
    const char *name;           /* the key decoded; "" where there is none */
    json_t *json;               /* borrowed from the document */
    bool too_large;             /* a number that fits no type; json is 0 */
    bool shadowed;              /* its key comes again later in the same object */
    uint32_t repeats; /* the place before it in the same object that has its key; 0 = none */
    bool bad;         /* a fault has been found in it: draw no conclusions from it */
};

struct config_doc {
    struct config_place *places;
    size_t n;
    size_t capacity;
    json_t *root;
    char *copy;  /* the text with a zero at its end, and 0 in place of too large numbers */
    char *names; /* decoded keys */
};

/** A syntax error. */
struct config_syntax {
    unsigned line, column;
    char text[240];
};

enum {
    /* A config needs 4 levels. Bounds the recursion of everything that walks a document. */
    CONFIG_MAX_DEPTH = 32,
    /* 10,000 clients and their switches are about 3 MB. Bounds line and place numbers. */
    CONFIG_MAX_TEXT = 64 << 20,
};

/**
 * Note the places of a text into doc->places, and overwrite too large numbers in doc->copy.
 * @param text  without byte order mark; doc->copy holds a copy of it
 * @retval CAIRN_ERR_MALFORMED  `syntax` says where and why
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int config_scan(struct span text, struct config_doc *doc,
                                 struct config_syntax *syntax);

/**
 * Read a text whole. `text` must live as long as the document.
 * @retval CAIRN_ERR_MALFORMED, CAIRN_ERR_NO_MEMORY  nothing to release
 */
CAIRN_MUST_CHECK int config_doc_read(struct span text, struct config_doc *doc,
                                     struct config_syntax *syntax);
void config_doc_release(struct config_doc *doc);

/** The first place below `parent` that is not shadowed and has this name; 0 when there is none. */
uint32_t config_doc_member(const struct config_doc *doc, uint32_t parent, const char *name);

#endif
