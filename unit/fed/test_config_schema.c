/* SPDX-License-Identifier: Apache-2.0 */
/* The schema and the printed table against what the reader really does. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config_text.h"

/* The good config with section.name set to a value, read. */
static int read_with(const char *section, const char *name, json_t *value)
{
    struct fed_config c;
    struct fed_faults faults;
    json_t *document = json_loads(good_config, 0, NULL);
    json_t *object = document;
    if (section != NULL) {
        object = json_object_get(document, section);
        if (object == NULL) {
            object = json_object();
            assert_int_equal(json_object_set_new(document, section, object), 0);
        }
    }
    assert_int_equal(json_object_set_new(object, name, value), 0);
    char *text = json_dumps(document, 0);
    int err = fed_config_read("x", text_span(text), &c, &faults);
    if (err == 0) {
        fed_config_release(&c);
    }
    fed_faults_release(&faults);
    free(text);
    json_decref(document);
    return err;
}

static json_t *number(double value, bool whole)
{
    return whole ? json_integer((json_int_t)value) : json_real(value);
}

/* The next number up or down. 2^53 + 1 exists only as an integer. */
static json_t *next(double value, int direction, bool whole)
{
    return whole ? json_integer((json_int_t)value + direction)
                 : json_real(nextafter(value, direction * DBL_MAX));
}

/* What the schema says of a number's ends is what the reader does at them. Some ends collide with
 * other settings of this small config, and are left out. */
static size_t check_number(const char *section, const char *name, const json_t *schema)
{
    static const char *const colliding[] = {"privacy_floor", "quorum", "frame_params", "batch_bytes",
                                            "noise_multiplier"};
    const char *type = json_string_value(json_object_get(schema, "type"));
    bool whole = type != NULL && strcmp(type, "integer") == 0;
    if (type == NULL || (!whole && strcmp(type, "number") != 0)) {
        return 0;
    }
    const json_t *min = json_object_get(schema, "minimum");
    const json_t *max = json_object_get(schema, "maximum");
    double low = json_number_value(min != NULL ? min : json_object_get(schema, "exclusiveMinimum"));
    double high =
        json_number_value(max != NULL ? max : json_object_get(schema, "exclusiveMaximum"));
    bool collides = false;
    for (size_t i = 0; i < sizeof colliding / sizeof colliding[0]; i++) {
        collides = collides || strcmp(name, colliding[i]) == 0;
    }
    if (!collides) {
        assert_int_equal(read_with(section, name, number(low, whole)) == 0, min != NULL);
        assert_int_equal(read_with(section, name, number(high, whole)) == 0, max != NULL);
    }
    assert_int_equal(read_with(section, name, next(low, -1, whole)), CAIRN_ERR_CONFIG);
    assert_int_equal(read_with(section, name, next(high, 1, whole)), CAIRN_ERR_CONFIG);
    return 1;
}

static void check_member(const char *section, const char *name, const json_t *schema,
                         size_t *numbers, size_t *words)
{
    const json_t *otherwise = json_object_get(schema, "default");
    size_t i;
    json_t *word;
    assert_non_null(json_object_get(schema, "description"));
    *numbers += check_number(section, name, schema);
    if (otherwise != NULL) {
        assert_int_equal(read_with(section, name, json_deep_copy(otherwise)), 0);
    }
    json_array_foreach(json_object_get(schema, "enum"), i, word)
    {
        /* a command needs train.samples beside it */
        const bool alone = strcmp(json_string_value(word), "command") != 0;
        assert_int_equal(read_with(section, name, json_copy(word)), alone ? 0 : CAIRN_ERR_CONFIG);
        (*words)++;
    }
}

static void test_schema__agrees_with_reader(void **state)
{
    (void)state;
    json_t *schema = fed_config_schema();
    const char *name;
    const char *inner;
    json_t *section;
    json_t *member;
    size_t numbers = 0;
    size_t words = 0;
    json_object_foreach(json_object_get(schema, "properties"), name, section)
    {
        json_t *members = json_object_get(section, "properties");
        if (strcmp(name, "aggregator") == 0 || strcmp(name, "others") == 0) {
            continue;
        }
        if (members == NULL) {
            check_member(NULL, name, section, &numbers, &words);
            continue;
        }
        assert_true(json_is_false(json_object_get(section, "additionalProperties")));
        json_object_foreach(members, inner, member)
        {
            check_member(name, inner, member, &numbers, &words);
        }
    }
    assert_int_equal(numbers, 41);
    assert_int_equal(words, 21);
    json_decref(schema);
}

/* Nobody can reason about many timeouts: at most six can be set, the others follow from them. */
static void test_schema__few_timeouts(void **state)
{
    (void)state;
    json_t *schema = fed_config_schema();
    const char *name, *inner;
    json_t *section, *member;
    size_t timeouts = 0;
    json_object_foreach(json_object_get(schema, "properties"), name, section)
    {
        json_object_foreach(json_object_get(section, "properties"), inner, member)
        {
            const size_t size = strlen(inner);
            timeouts += size > 2 && strcmp(inner + size - 2, "_s") == 0;
        }
    }
    assert_in_range(timeouts, 4, 6);
    json_decref(schema);
}

static void test_schema__form(void **state)
{
    (void)state;
    json_t *schema = fed_config_schema();
    assert_string_equal(json_string_value(json_object_get(schema, "$schema")),
                        "https://json-schema.org/draft/2020-12/schema");
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    const json_t *required = json_object_get(schema, "required");
    assert_int_equal(json_array_size(required), 2);
    const json_t *others = json_object_get(json_object_get(schema, "properties"), "others");
    const json_t *choices =
        json_object_get(json_object_get(others, "additionalProperties"), "oneOf");
    assert_int_equal(json_array_size(choices), 2);
    const json_t *rate = json_object_get(
        json_object_get(
            json_object_get(json_object_get(json_object_get(schema, "properties"), "train"),
                            "properties"),
            "learning_rate"),
        "exclusiveMinimum");
    assert_non_null(rate);
    json_decref(schema);
}

static void test_fields__text(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(fed_config_fields_text(&out), 0);
    const char *text = buf_text(&out);
    assert_non_null(strstr(text, "encryption.value_bits"));
    assert_non_null(strstr(text, "a whole number, 2 .. 24; default 16"));
    assert_non_null(strstr(text, "\"none\", \"bfv\", \"capsule\", \"seal-ckks\"; default \"capsule\""));
    assert_non_null(strstr(text, "train.learning_rate"));
    assert_non_null(strstr(text, "; default 0.1\n"));
    assert_non_null(strstr(text, "client.index"));
    assert_null(strstr(text, "session"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema__agrees_with_reader),
        cmocka_unit_test(test_schema__few_timeouts),
        cmocka_unit_test(test_schema__form),
        cmocka_unit_test(test_fields__text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
