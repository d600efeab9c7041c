/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_CONFIG_READ_H
#define FED_CONFIG_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "config_doc.h"
#include "config_fields.h"

/**
 * Reading a document by the field table. Faults are collected, never thrown: after each one the
 * reader goes on as if the likeliest meaning had been written, so that one slip is told once and
 * hides nothing else.
 */
struct config_reader {
    struct config_doc doc;
    struct fed_faults faults;
    size_t faults_capacity;
    size_t nearest_left; /* names that may still be compared in search of what was meant */
    bool no_memory;      /* some fault could not be kept */
};

/** Names to choose from. @return NULL at the end */
typedef const char *config_name_fn(const void *ctx, size_t i);

enum { CONFIG_LABEL_SIZE = 104 };

/** Groups of fields that share one object, and where each of its members was found. */
struct config_object {
    struct {
        struct config_fields fields;
        void *base; /* what is read into; NULL leaves the values to the caller */
    } groups[3];
    size_t n_groups;
    uint32_t found[CONFIG_MAX_MEMBERS]; /* place by position in the groups; 0 = absent */
};

void config_reader_init(struct config_reader *r);
void config_reader_release(struct config_reader *r);

/** A fault at a value's place, or at its key. The value is marked bad. Control characters in the
 * text are replaced, for the text quotes what others wrote. */
void config_fault(struct config_reader *r, uint32_t place, const char *format, ...)
    CAIRN_PRINTF(3, 4);
void config_fault_at_key(struct config_reader *r, uint32_t place, const char *format, ...)
    CAIRN_PRINTF(3, 4);
void config_warning(struct config_reader *r, uint32_t place, const char *format, ...)
    CAIRN_PRINTF(3, 4);
void config_syntax_fault(struct config_reader *r, const struct config_syntax *syntax);
/** Bring the faults into the order of their places. */
void config_faults_sort(struct fed_faults *faults);

/** The name that `text` is likeliest a slip of; NULL when none is near. */
const char *config_nearest(struct config_reader *r, const char *text, config_name_fn *names,
                           const void *ctx);

/**
 * Read an object: its members by name, and the value of each into its group's base.
 * Unknown, missing and wrong members become faults. `object->found` is filled.
 * @param label  goes before a member's name in faults: "", "train.", "127.0.0.4: "
 */
void config_read_object(struct config_reader *r, uint32_t place, const char *label,
                        struct config_object *object);
/** Where the member of that name was found, also one that was misspelt; 0 = absent. */
uint32_t config_found(const struct config_object *object, const char *name);

#endif
