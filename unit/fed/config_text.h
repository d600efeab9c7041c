/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_FED_CONFIG_TEXT_H
#define UNIT_FED_CONFIG_TEXT_H

#include <stdint.h>
#include <string.h>

#include "buf.h"
#include "config.h"

/* What the tests of configs share: a small good config, and changes to it. */

static const char good_config[] =
    "{\n"
    "  \"aggregator\": {\"iteration\": 10, \"ip\": \"10.0.0.1\"},\n"
    "  \"train\": {\"epochs\": 2},\n"
    "  \"others\": {\n"
    "    \"10.0.0.2\": {\"type\": \"switch\", \"receive\": [\"10.0.0.4\", \"10.0.0.5\"], "
    "\"send\": \"10.0.0.1\", \"ip\": \"10.0.0.2\"},\n"
    "    \"10.0.0.3\": {\"type\": \"switch\", \"receive\": [\"10.0.0.6\"], \"send\": "
    "\"10.0.0.1\"},\n"
    "    \"10.0.0.4\": {\"type\": \"client\", \"client_number\": 3, \"index\": 0, \"send\": "
    "\"10.0.0.2\"},\n"
    "    \"10.0.0.5\": {\"type\": \"client\", \"client_number\": 3, \"index\": 1, \"send\": "
    "\"10.0.0.2\"},\n"
    "    \"10.0.0.6\": {\"type\": \"client\", \"client_number\": 3, \"index\": 2, \"send\": "
    "\"10.0.0.3\"}\n"
    "  }\n"
    "}\n";

static inline struct span text_span(const char *text)
{
    return (struct span){.data = (const uint8_t *)text, .size = strlen(text)};
}

#endif
