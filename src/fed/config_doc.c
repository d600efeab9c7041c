/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text, its places and its jansson document, tied together. Faults of the text itself are
 * told by the scanner; jansson, which decides what is JSON, comes second and rarely has anything to
 * add.
 */
#include "config_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "sizes.h"

void config_doc_release(struct config_doc *doc)
{
    free(doc->places);
    free(doc->copy);
    free(doc->names);
    json_decref(doc->root);
    *doc = (struct config_doc){0};
}

/* A zero-terminated decoded key at *names, which moves on. Keys with escapes are rare: jansson
 * decodes them. */
static int decode_key(struct span key, char **names)
{
    char *out = *names;
    size_t size = key.size;
    if (memchr(key.data, '\\', key.size) == NULL) {
        memcpy(out, key.data, size);
    } else {
        /* the quotes stand right before and after the key */
        const struct span quoted = {key.data - 1, key.size + 2};
        bool no_memory;
        json_t *text = json_load(quoted, JSON_DECODE_ANY, NULL, &no_memory);
        if (text == NULL) { /* it was decoded before, as a part of the whole text */
            return CAIRN_ERR_NO_MEMORY;
        }
        size = json_string_length(text);
        memcpy(out, json_string_value(text), size);
        json_decref(text);
    }
    out[size] = '\0';
    *names += size + 1;
    return 0;
}

/* Name and json of each member. A key that comes twice: jansson keeps the last, so the earlier one
 * is shadowed. `seen` maps a name to its latest place. */
static int tie_members(struct config_doc *doc, uint32_t parent, json_t *seen, char **names)
{
    json_t *object = doc->places[parent].json;
    for (uint32_t i = doc->places[parent].first_child; i != 0; i = doc->places[i].next) {
        struct config_place *place = &doc->places[i];
        place->name = *names;
        int err = decode_key(place->key, names);
        if (err != 0) {
            return err;
        }
        json_t *earlier = json_object_get(seen, place->name);
        if (earlier != NULL) {
            place->repeats = (uint32_t)json_integer_value(earlier);
            doc->places[place->repeats].shadowed = true;
        }
        if (json_object_set_new_nocheck(seen, place->name, json_integer((json_int_t)i)) != 0) {
            return CAIRN_ERR_NO_MEMORY;
        }
        place->json = json_object_get(object, place->name);
    }
    return 0;
}

/* Parents come before their children, so one pass in order ties everything. What lies below a
 * shadowed key stays without json: only its repeated keys are of interest. */
static int tie_places(struct config_doc *doc)
{
    char *names = doc->names;
    doc->places[0].json = doc->root;
    for (uint32_t i = 0; i < doc->n; i++) {
        if (doc->places[i].shadowed) {
            doc->places[i].json = NULL;
        }
        size_t element = 0;
        if (doc->places[i].text.data[0] == '{') {
            json_t *seen = json_object();
            int err = seen != NULL ? tie_members(doc, i, seen, &names) : CAIRN_ERR_NO_MEMORY;
            json_decref(seen);
            if (err != 0) {
                return err;
            }
        } else if (doc->places[i].text.data[0] == '[') {
            for (uint32_t c = doc->places[i].first_child; c != 0; c = doc->places[c].next) {
                doc->places[c].json = json_array_get(doc->places[i].json, element++);
            }
        }
    }
    return 0;
}

static int parse_copy(struct span text, struct config_doc *doc, struct config_syntax *syntax)
{
    json_error_t error;
    bool no_memory;
    doc->root = json_load((struct span){(const uint8_t *)doc->copy, text.size}, JSON_DECODE_ANY,
                          &error, &no_memory);
    if (doc->root != NULL || no_memory) {
        return doc->root != NULL ? 0 : CAIRN_ERR_NO_MEMORY;
    }
    syntax->line = error.line > 0 ? (unsigned)error.line : 1;
    syntax->column = error.column > 0 ? (unsigned)error.column : 1;
    snprintf(syntax->text, sizeof syntax->text, "%s", error.text);
    return CAIRN_ERR_MALFORMED;
}

/* NULL, or what is wrong with the text as a whole. */
static const char *wrong_kind(struct span text)
{
    if (text.size > CONFIG_MAX_TEXT) {
        return "the text is longer than 64 MiB";
    }
    if (text.size >= 2 &&
        (memcmp(text.data, "\xFF\xFE", 2) == 0 || memcmp(text.data, "\xFE\xFF", 2) == 0)) {
        return "this is UTF-16 text; save the file as UTF-8";
    }
    return NULL;
}

int config_doc_read(struct span text, struct config_doc *doc, struct config_syntax *syntax)
{
    *doc = (struct config_doc){0};
    const char *wrong = wrong_kind(text);
    if (wrong != NULL) {
        *syntax = (struct config_syntax){.line = 1, .column = 1};
        snprintf(syntax->text, sizeof syntax->text, "%s", wrong);
        return CAIRN_ERR_MALFORMED;
    }
    if (text.size == 0) {
        text.data = (const uint8_t *)""; /* pointers into the text must be pointers */
    }
    if (text.size >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) {
        text.data += 3;
        text.size -= 3;
    }
    int err = CAIRN_ERR_NO_MEMORY;
    doc->copy = malloc(text.size + 1);
    /* a decoded key and its zero are shorter than the key with its quotes */
    doc->names = malloc(text.size + 1);
    if (doc->copy == NULL || doc->names == NULL) {
        goto cleanup;
    }
    memcpy(doc->copy, text.data, text.size);
    doc->copy[text.size] = '\0';
    err = config_scan(text, doc, syntax);
    if (err == 0) {
        err = parse_copy(text, doc, syntax);
    }
    if (err == 0) {
        err = tie_places(doc);
    }
cleanup:
    if (err != 0) {
        config_doc_release(doc);
    }
    return err;
}

uint32_t config_doc_member(const struct config_doc *doc, uint32_t parent, const char *name)
{
    for (uint32_t i = doc->places[parent].first_child; i != 0; i = doc->places[i].next) {
        if (!doc->places[i].shadowed && strcmp(doc->places[i].name, name) == 0) {
            return i;
        }
    }
    return 0;
}
