/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects and values, by the field table: which member is which, and is its value one that is
 * allowed.
 */
#include "config_read.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "digest.h"
#include "json.h"

enum {
    QUOTE_SIZE = 48, /* of an offending value in a fault: enough to find it by eye */
    KNOWN_SIZE = 220,
};

/* A value as it stands in the text, cut where it is long, at a whole character. */
static void quote(const struct config_place *place, char out[QUOTE_SIZE])
{
    size_t room = QUOTE_SIZE - 4; /* "..." and the end */
    size_t size = place->text.size;
    bool cut = size > room;
    if (cut) {
        size = room;
        while (size > 0 && (place->text.data[size] & 0xC0) == 0x80) {
            size--;
        }
    }
    memcpy(out, place->text.data, size);
    snprintf(out + size, QUOTE_SIZE - size, "%s", cut ? "..." : "");
}

static void refuse(struct config_reader *r, uint32_t place, const struct config_field *field,
                   const char *label, const char *reason)
{
    char value[QUOTE_SIZE];
    char allowed[CONFIG_ALLOWED_SIZE];
    quote(&r->doc.places[place], value);
    config_allowed(field, allowed);
    config_fault(r, place, "%s%s: %s %s; allowed: %s", label, field->name, value, reason, allowed);
}

/* What a value of the wrong type is. */
static const char *wrong_type(const struct config_field *field, const struct config_place *place)
{
    bool wants_number = field->kind == CONFIG_INTEGER || field->kind == CONFIG_NUMBER ||
                        field->kind == CONFIG_SIZES;
    switch (json_typeof(place->json)) {
    case JSON_STRING:
        return wants_number || field->kind == CONFIG_BOOL ? "is text in quotes" : "is text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "is a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "is true or false";
    case JSON_NULL:
        return "is no value";
    case JSON_ARRAY:
        return "is a list";
    case JSON_OBJECT:
        return "is an object";
    }
    return "is of the wrong type";
}

/* A number within the field's range. @return NULL, or what is wrong with it */
static const char *check_number(const struct config_field *field, const struct config_place *place,
                                bool whole, double *out)
{
    if (!json_is_number(place->json)) {
        return wrong_type(field, place);
    }
    if (place->too_large) {
        return place->text.data[0] == '-' ? "is far too small" : "is far too large";
    }
    double value = json_number_value(place->json);
    if (value < field->min || (field->above_min && value <= field->min)) {
        return "is too small";
    }
    /* 2^53 + 1 becomes 2^53 as a double: whole numbers are compared as such, and what is written
     * with a fraction or an exponent has no business up there */
    bool rounded = json_is_integer(place->json)
                       ? json_integer_value(place->json) > (json_int_t)field->max
                       : value >= CONFIG_EXACT_MAX;
    if (value > field->max || (field->below_max && value >= field->max) || (whole && rounded)) {
        return "is too large";
    }
    if (whole && value != floor(value)) {
        return "is no whole number";
    }
    *out = value;
    return NULL;
}

static void read_number(struct config_reader *r, uint32_t place, const struct config_field *field,
                        const char *label, uint8_t *at)
{
    double value;
    const char *wrong =
        check_number(field, &r->doc.places[place], field->kind == CONFIG_INTEGER, &value);
    if (wrong != NULL) {
        refuse(r, place, field, label, wrong);
        return;
    }
    /* every range in the table ends at 2^53 or below, so the double is exact */
    uint64_t whole = (uint64_t)value;
    uint32_t narrow = (uint32_t)whole;
    if (field->kind == CONFIG_NUMBER) {
        memcpy(at, &value, field->size);
    } else {
        memcpy(at, field->size == sizeof whole ? (void *)&whole : (void *)&narrow, field->size);
    }
}

static void read_sizes(struct config_reader *r, uint32_t place, const struct config_field *field,
                       const char *label, uint8_t *at)
{
    size_t sizes[FED_MAX_LAYERS] = {0};
    size_t n = json_array_size(r->doc.places[place].json);
    if (!json_is_array(r->doc.places[place].json)) {
        refuse(r, place, field, label, wrong_type(field, &r->doc.places[place]));
        return;
    }
    if (n == 1 || n > FED_MAX_LAYERS) {
        refuse(r, place, field, label, n == 1 ? "has one number" : "has too many numbers");
        return;
    }
    size_t k = 0;
    for (uint32_t i = r->doc.places[place].first_child; i != 0; i = r->doc.places[i].next, k++) {
        double value;
        const char *wrong = check_number(field, &r->doc.places[i], true, &value);
        if (wrong != NULL) {
            refuse(r, i, field, label, wrong);
            r->doc.places[place].bad = true;
        } else {
            sizes[k] = (size_t)value;
        }
    }
    memcpy(at, sizes, sizeof sizes);
    memcpy(at + sizeof sizes, &n, sizeof n);
}

static const char *word_at(const void *ctx, size_t i)
{
    const struct config_field *field = ctx;
    return field->words[i];
}

static void read_word(struct config_reader *r, uint32_t place, const struct config_field *field,
                      const char *label, const char *text, uint8_t *at)
{
    int word = config_word(field, text);
    if (word < 0) {
        const char *nearest = config_nearest(r, text, word_at, field);
        char value[QUOTE_SIZE];
        char allowed[CONFIG_ALLOWED_SIZE];
        quote(&r->doc.places[place], value);
        config_allowed(field, allowed);
        config_fault(r, place, "%s%s: %s is not known; allowed: %s%s%s%s", label, field->name,
                     value, allowed, nearest != NULL ? "; did you mean \"" : "",
                     nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
        if (nearest == NULL) {
            return;
        }
        word = config_word(field, nearest);
    }
    uint32_t number = (uint32_t)word;
    if (field->kind == CONFIG_WORD) {
        memcpy(at, &number, sizeof number);
    } else {
        snprintf((char *)at, field->size, "%s", field->words[word]);
    }
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) {
            return true;
        }
    }
    return false;
}

static bool is_name(const char *text)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return text[0] != '.' && strspn(text, good) == strlen(text);
}

static void read_text(struct config_reader *r, uint32_t place, const struct config_field *field,
                      const char *label, const char *text, uint8_t *at)
{
    size_t size = strlen(text);
    const char *wrong = NULL;
    if (size == 0) {
        wrong = "is empty";
    } else if (size >= field->size) {
        wrong = "is too long";
    } else if (has_control(text)) {
        wrong = "has control characters";
    } else if (field->kind == CONFIG_NAME && !is_name(text)) {
        wrong = "has other characters";
    }
    if (wrong != NULL) {
        refuse(r, place, field, label, wrong);
        return;
    }
    memset(at, 0, field->size);
    memcpy(at, text, size);
}

static void read_address(struct config_reader *r, uint32_t place, const struct config_field *field,
                         const char *label, const char *text, uint8_t *at)
{
    struct fed_address address;
    const char *wrong;
    char value[QUOTE_SIZE];
    if (fed_address_parse(text, &address, &wrong) != 0) {
        quote(&r->doc.places[place], value);
        config_fault(r, place, "%s%s: %s %s", label, field->name, value, wrong);
        return;
    }
    memcpy(at, address.text, sizeof address.text);
}

static void read_hex(struct config_reader *r, uint32_t place, const struct config_field *field,
                     const char *label, const char *text, uint8_t *at)
{
    if (digest_from_hex(text, at, field->size) != 0) {
        refuse(r, place, field, label, "is something else");
    }
}

static void read_string(struct config_reader *r, uint32_t place, const struct config_field *field,
                        const char *label, uint8_t *at)
{
    const char *text = json_string_value(r->doc.places[place].json);
    if (text == NULL) {
        refuse(r, place, field, label, wrong_type(field, &r->doc.places[place]));
        return;
    }
    switch (field->kind) {
    case CONFIG_WORD:
    case CONFIG_WORD_TEXT:
        read_word(r, place, field, label, text, at);
        return;
    case CONFIG_ADDRESS:
        read_address(r, place, field, label, text, at);
        return;
    case CONFIG_HEX:
        read_hex(r, place, field, label, text, at);
        return;
    case CONFIG_BASE64:
        return;
    default:
        read_text(r, place, field, label, text, at);
        return;
    }
}

/* Objects and lists whose members their caller reads: only the type is checked here. */
static void check_type(struct config_reader *r, uint32_t place, const struct config_field *field,
                       const char *label)
{
    const struct config_place *at = &r->doc.places[place];
    bool good = field->kind == CONFIG_LIST ? json_is_array(at->json) : json_is_object(at->json);
    if (!good) {
        refuse(r, place, field, label, wrong_type(field, at));
    }
}

static bool holds_texts(const struct config_reader *r, uint32_t place)
{
    for (uint32_t i = r->doc.places[place].first_child; i != 0; i = r->doc.places[i].next) {
        const char *text = json_string_value(r->doc.places[i].json);
        if (text == NULL || (json_is_array(r->doc.places[place].json) && text[0] == '\0')) {
            return false;
        }
    }
    return true;
}

/* What is kept as JSON text. */
static void read_kept(struct config_reader *r, uint32_t place, const struct config_field *field,
                      const char *label, uint8_t *at)
{
    const struct config_place *here = &r->doc.places[place];
    const bool list = field->kind == CONFIG_TEXTS;
    struct buf text = {0};
    if (list ? !json_is_array(here->json) : !json_is_object(here->json)) {
        refuse(r, place, field, label, wrong_type(field, here));
        return;
    }
    if (field->kind != CONFIG_FREE && !holds_texts(r, place)) {
        refuse(r, place, field, label, "holds something else than texts");
        return;
    }
    memset(at, 0, field->size);
    if (json_array_size(here->json) + json_object_size(here->json) == 0) {
        return;
    }
    if (json_append(&text, here->json, 0) != 0) {
        r->no_memory = true;
    } else if (text.size >= field->size) {
        refuse(r, place, field, label, "is too long");
    } else {
        memcpy(at, text.data, text.size);
    }
    buf_release(&text);
}

static void read_section(struct config_reader *r, uint32_t place, const struct config_field *field,
                         const char *label, void *base)
{
    char inner[CONFIG_LABEL_SIZE];
    check_type(r, place, field, label);
    if (json_is_object(r->doc.places[place].json)) {
        struct config_object section = {
            .groups = {{.fields = {field->members, field->n_members}, .base = base}},
            .n_groups = 1};
        snprintf(inner, sizeof inner, "%s%s.", label, field->name);
        config_read_object(r, place, inner, &section);
    }
}

static void read_value(struct config_reader *r, uint32_t place, const struct config_field *field,
                       const char *label, void *base)
{
    uint8_t *at = base != NULL ? (uint8_t *)base + field->offset : NULL;
    bool yes = json_is_true(r->doc.places[place].json);
    switch (field->kind) {
    case CONFIG_OBJECT:
        read_section(r, place, field, label, base);
        return;
    case CONFIG_INTEGER:
    case CONFIG_NUMBER:
        read_number(r, place, field, label, at);
        return;
    case CONFIG_SIZES:
        read_sizes(r, place, field, label, at);
        return;
    case CONFIG_BOOL:
        if (!json_is_boolean(r->doc.places[place].json)) {
            refuse(r, place, field, label, wrong_type(field, &r->doc.places[place]));
        } else {
            memcpy(at, &yes, sizeof yes);
        }
        return;
    case CONFIG_TEXTS:
    case CONFIG_TEXT_MAP:
    case CONFIG_FREE:
        read_kept(r, place, field, label, at);
        return;
    case CONFIG_LIST:
    case CONFIG_NODE:
        check_type(r, place, field, label);
        return;
    case CONFIG_IGNORED:
        return;
    default:
        read_string(r, place, field, label, at);
        return;
    }
}

/* The i-th field of all groups in a row; NULL at the end. */
static const struct config_field *field_at(const struct config_object *object, size_t i,
                                           void **base)
{
    for (size_t g = 0; g < object->n_groups; g++) {
        if (i < object->groups[g].fields.n) {
            *base = object->groups[g].base;
            return &object->groups[g].fields.list[i];
        }
        i -= object->groups[g].fields.n;
    }
    return NULL;
}

/* Names that may be meant by a misspelt one: those that have not been found under their own. */
struct absent {
    const struct config_object *object;
};

static const char *absent_name_at(const void *ctx, size_t i)
{
    const struct absent *absent = ctx;
    void *base;
    for (size_t k = 0;; k++) {
        const struct config_field *field = field_at(absent->object, k, &base);
        if (field == NULL) {
            return NULL;
        }
        if (absent->object->found[k] == 0 && i-- == 0) {
            return field->name;
        }
    }
}

static size_t position(const struct config_object *object, const char *name)
{
    void *base;
    size_t i = 0;
    for (const struct config_field *field = field_at(object, 0, &base); field != NULL;
         field = field_at(object, ++i, &base)) {
        if (strcmp(field->name, name) == 0) {
            return i;
        }
    }
    return CONFIG_MAX_MEMBERS;
}

uint32_t config_found(const struct config_object *object, const char *name)
{
    size_t i = position(object, name);
    return i < CONFIG_MAX_MEMBERS ? object->found[i] : 0;
}

/* The section that has a setting of this name; NULL when there is none. */
static const char *section_of(const char *name)
{
    for (size_t i = 0; i < config_settings.n; i++) {
        const struct config_field *section = &config_settings.list[i];
        for (size_t k = 0; k < section->n_members; k++) {
            if (strcmp(section->members[k].name, name) == 0) {
                return section->name;
            }
        }
    }
    return NULL;
}

static void list_known(const struct config_object *object, char out[KNOWN_SIZE])
{
    size_t at = 0;
    void *base;
    out[0] = '\0';
    for (size_t i = 0; i < CONFIG_MAX_MEMBERS && at < KNOWN_SIZE; i++) {
        const struct config_field *field = field_at(object, i, &base);
        if (field == NULL) {
            return;
        }
        int n = snprintf(out + at, KNOWN_SIZE - at, "%s%s", i > 0 ? ", " : "", field->name);
        at += n > 0 ? (size_t)n : 0;
    }
}

/* A key that is no member's name. If it is a slip of one that is absent, it is read as that one. */
static void unknown_member(struct config_reader *r, uint32_t place, const char *label,
                           struct config_object *object)
{
    enum { SHOWN = 60 };
    const char *name = r->doc.places[place].name;
    const char *section = section_of(name);
    struct absent absent = {object};
    const char *nearest = config_nearest(r, name, absent_name_at, &absent);
    char known[KNOWN_SIZE];
    if (section != NULL) {
        config_fault_at_key(r, place,
                            "%s\"%.*s\" is not known here; it belongs in \"%s\" at the top", label,
                            SHOWN, name, section);
    } else if (nearest != NULL) {
        config_fault_at_key(r, place, "%s\"%.*s\" is not known here; did you mean \"%s\"?", label,
                            SHOWN, name, nearest);
        object->found[position(object, nearest)] = place;
    } else if (strcmp(name, "dumb") == 0) {
        config_fault_at_key(r, place, "%s\"dumb\" belongs to switches only", label);
    } else {
        list_known(object, known);
        config_fault_at_key(r, place, "%s\"%.*s\" is not known here; known: %s", label, SHOWN, name,
                            known[0] != '\0' ? known : "nothing yet");
    }
}

/* Where is which member? Names that are right come first: what is left over may be a slip of what
 * is absent. */
static void match_members(struct config_reader *r, uint32_t place, const char *label,
                          struct config_object *object)
{
    const struct config_doc *doc = &r->doc;
    for (uint32_t i = doc->places[place].first_child; i != 0; i = doc->places[i].next) {
        size_t at = position(object, doc->places[i].name);
        if (at < CONFIG_MAX_MEMBERS && !doc->places[i].shadowed) {
            object->found[at] = i;
        }
    }
    for (uint32_t i = doc->places[place].first_child; i != 0; i = doc->places[i].next) {
        bool known = position(object, doc->places[i].name) < CONFIG_MAX_MEMBERS;
        if (!known && !doc->places[i].shadowed) {
            unknown_member(r, i, label, object);
        }
    }
}

void config_read_object(struct config_reader *r, uint32_t place, const char *label,
                        struct config_object *object)
{
    memset(object->found, 0, sizeof object->found);
    match_members(r, place, label, object);
    void *base;
    size_t i = 0;
    for (const struct config_field *field = field_at(object, 0, &base); field != NULL;
         field = field_at(object, ++i, &base)) {
        if (object->found[i] != 0) {
            read_value(r, object->found[i], field, label, base);
        } else if (field->required) {
            char allowed[CONFIG_ALLOWED_SIZE];
            config_allowed(field, allowed);
            config_fault_at_key(r, place, "%s\"%s\" is missing: %s (%s)", label, field->name,
                                field->help, allowed);
        }
    }
}
