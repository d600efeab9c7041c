/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The field table in the forms that people and their editors read: JSON Schema (2020-12) and a
 * printed table.
 *
 * The schema says what one value can say. That nodes agree with each other is beyond it: `cairn
 * check` knows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_fields.h"

/* Add a member; false without memory. Takes the reference. */
static bool put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *whole_or_real(double value, bool whole)
{
    return whole ? json_integer((json_int_t)value) : json_real(value);
}

static bool put_range(json_t *schema, const struct config_field *field)
{
    bool whole = field->kind != CONFIG_NUMBER;
    return put(schema, "type", json_string(whole ? "integer" : "number")) &&
           put(schema, field->above_min ? "exclusiveMinimum" : "minimum",
               whole_or_real(field->min, whole)) &&
           put(schema, field->below_max ? "exclusiveMaximum" : "maximum",
               whole_or_real(field->max, whole));
}

static bool put_words(json_t *schema, const struct config_field *field)
{
    json_t *words = json_array();
    bool good = true;
    for (size_t i = 0; field->words[i] != NULL; i++) {
        good = json_array_append_new(words, json_string(field->words[i])) == 0 && good;
    }
    return put(schema, "enum", words) && good;
}

/* Text of 1 .. size - 1 bytes. The schema counts characters, which are at most as many. */
static bool put_text(json_t *schema, const struct config_field *field)
{
    bool name = field->kind == CONFIG_NAME;
    return put(schema, "type", json_string("string")) &&
           put(schema, "minLength", json_integer(1)) &&
           put(schema, "maxLength", json_integer((json_int_t)field->size - 1)) &&
           (!name || put(schema, "pattern", json_string("^[A-Za-z0-9_-][A-Za-z0-9._-]*$")));
}

static bool put_list(json_t *schema, const struct config_field *field)
{
    json_t *items = json_object();
    bool sizes = field->kind == CONFIG_SIZES;
    bool good = sizes ? put_range(items, field) : put(items, "type", json_string("string"));
    good = put(schema, "type", json_string("array")) && good;
    good = put(schema, "items", items) && good;
    if (sizes) {
        /* empty or at least two: anything but exactly one */
        good = put(schema, "maxItems", json_integer(FED_MAX_LAYERS)) &&
               put(schema, "not", json_pack("{s:i,s:i}", "minItems", 1, "maxItems", 1)) && good;
    }
    return good;
}

static json_t *object_schema(struct config_fields fields, const char *help);

static json_t *field_schema(const struct config_field *field)
{
    json_t *schema;
    bool good = true;
    if (field->kind == CONFIG_OBJECT) {
        return object_schema((struct config_fields){field->members, field->n_members}, field->help);
    }
    schema = json_object();
    switch (field->kind) {
    case CONFIG_INTEGER:
    case CONFIG_NUMBER:
        good = put_range(schema, field);
        break;
    case CONFIG_BOOL:
        good = put(schema, "type", json_string("boolean"));
        break;
    case CONFIG_WORD:
    case CONFIG_WORD_TEXT:
        good = put_words(schema, field);
        break;
    case CONFIG_TEXT:
    case CONFIG_NAME:
        good = put_text(schema, field);
        break;
    case CONFIG_SIZES:
    case CONFIG_LIST:
        good = put_list(schema, field);
        break;
    case CONFIG_ADDRESS:
    case CONFIG_HEX:
    case CONFIG_BASE64:
        good = put(schema, "type", json_string("string"));
        break;
    case CONFIG_TEXTS:
        good = put(schema, "type", json_string("array")) &&
               put(schema, "items", json_pack("{s:s}", "type", "string"));
        break;
    case CONFIG_TEXT_MAP:
        good = put(schema, "type", json_string("object")) &&
               put(schema, "additionalProperties", json_pack("{s:s}", "type", "string"));
        break;
    case CONFIG_FREE:
        good = put(schema, "type", json_string("object"));
        break;
    case CONFIG_OBJECT:
    case CONFIG_NODE:
    case CONFIG_IGNORED:
        break;
    }
    json_t *otherwise = config_default_json(field);
    good = put(schema, "description", json_string(field->help)) && good;
    good = (otherwise == NULL || put(schema, "default", otherwise)) && good;
    if (!good) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

static json_t *object_schema(struct config_fields fields, const char *help)
{
    json_t *schema = json_object();
    json_t *properties = json_object();
    json_t *required = json_array();
    bool good = put(schema, "type", json_string("object"));
    for (size_t i = 0; i < fields.n; i++) {
        const struct config_field *field = &fields.list[i];
        good = put(properties, field->name, field_schema(field)) && good;
        if (field->required) {
            good = json_array_append_new(required, json_string(field->name)) == 0 && good;
        }
    }
    good = put(schema, "description", json_string(help)) && good;
    good = put(schema, "properties", properties) && good;
    good = put(schema, "required", required) && good;
    good = put(schema, "additionalProperties", json_false()) && good;
    if (!good) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

/* A client or a switch: "type" says which, so it is one word and not a choice. */
static json_t *node_schema(struct config_fields fields, const char *type, const char *help)
{
    json_t *schema = object_schema(fields, help);
    json_t *word = json_pack("{s:s}", "const", type);
    if (json_object_set_new(json_object_get(schema, "properties"), "type", word) != 0) {
        json_decref(schema);
        return NULL;
    }
    if (strcmp(type, "switch") == 0) {
        json_t *receive = json_object_get(json_object_get(schema, "properties"), "receive");
        if (!put(receive, "minItems", json_integer(1))) {
            json_decref(schema);
            return NULL;
        }
    }
    return schema;
}

static json_t *others_schema(const char *help)
{
    return json_pack("{s:s,s:s,s:i,s:{s:[o,o]}}", "type", "object", "description", help,
                     "minProperties", 1, "additionalProperties", "oneOf",
                     node_schema(config_client, "client", "trains on its slice of the data"),
                     node_schema(config_switch, "switch", "adds up what its children send"));
}

json_t *fed_config_schema(void)
{
    json_t *schema = object_schema(config_settings, "a federation: its nodes and its settings");
    json_t *properties = json_object_get(schema, "properties");
    bool good = schema != NULL;
    good =
        good && put(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    good = good && put(schema, "title", json_string("cairn config.json"));
    for (size_t i = 0; i < config_nodes.n && good; i++) {
        const struct config_field *field = &config_nodes.list[i];
        bool root = strcmp(field->name, "aggregator") == 0;
        good =
            put(properties, field->name,
                root ? object_schema(config_aggregator, field->help) : others_schema(field->help));
        good = good && json_array_append_new(json_object_get(schema, "required"),
                                             json_string(field->name)) == 0;
    }
    if (!good) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

static int append_field(struct buf *out, const char *section, const struct config_field *field)
{
    char path[64];
    char allowed[CONFIG_ALLOWED_SIZE];
    json_t *json = config_default_json(field);
    char *otherwise =
        json != NULL ? json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
    config_allowed(field, allowed);
    snprintf(path, sizeof path, "%s%s%s", section, section[0] != '\0' ? "." : "", field->name);
    int err = buf_printf(out, "%-24s %s\n%-24s %s%s%s\n", path, field->help, "", allowed,
                         otherwise != NULL ? "; default " : "", otherwise != NULL ? otherwise : "");
    free(otherwise);
    json_decref(json);
    return err;
}

static int append_fields(struct buf *out, const char *section, struct config_fields fields)
{
    int err = 0;
    for (size_t i = 0; i < fields.n && err == 0; i++) {
        const struct config_field *field = &fields.list[i];
        if (field->kind == CONFIG_IGNORED) {
            continue;
        }
        if (field->kind != CONFIG_OBJECT) {
            err = append_field(out, section, field);
        } else if (field->n_members == 0) {
            err = buf_printf(out, "%-24s %s\n", field->name, field->help);
        } else {
            err = append_fields(out, field->name,
                                (struct config_fields){field->members, field->n_members});
        }
    }
    return err;
}

int fed_config_fields_text(struct buf *out)
{
    int err = append_fields(out, "aggregator", config_aggregator);
    if (err == 0) {
        err = append_fields(out, "client", config_client);
    }
    if (err == 0) {
        err = append_fields(out, "switch", config_switch);
    }
    return err != 0 ? err : append_fields(out, "", config_settings);
}
