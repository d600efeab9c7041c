/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_ADDRESS_H
#define FED_ADDRESS_H

#include <stdint.h>

#include "tree.h"

/**
 * Node addresses: host or host:port, where host is an IPv4 address, a host name, or an IPv6 address
 * in brackets. Two spellings of one address have one `text`, so text is what is compared.
 */
struct fed_address {
    char text[FED_ADDRESS_SIZE]; /* "host:port", lower case; IPv6 in its shortest form, in brackets
                                  */
    char host[FED_ADDRESS_SIZE]; /* without brackets */
    uint16_t port;
};

/**
 * @param[out] out  untouched on failure
 * @param[out] why  on failure: half a sentence that goes after the offending text, static
 * @return 0, or -1
 */
int fed_address_parse(const char *text, struct fed_address *out, const char **why);

#endif
