/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of nodes, brought to one spelling: nodes are told apart by comparing text, so
 * "Node1" and "node1:5000" must not become two machines.
 */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    LABEL_MAX = 63, /* of a host name, RFC 1035 */
    /* what is left of FED_ADDRESS_SIZE beside ":65535" and the end of the text */
    HOST_MAX = FED_ADDRESS_SIZE - 7,
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* NULL, or what is wrong with the port that follows a colon. */
static const char *parse_port(const char *text, uint16_t *out)
{
    unsigned port = 0;
    size_t n = 0;
    while (is_digit(text[n]) && n < 6) {
        port = port * 10 + (unsigned)(text[n] - '0');
        n++;
    }
    if (n == 0 || text[n] != '\0' || text[0] == '0' || port > UINT16_MAX) {
        return "has no good port after the colon; allowed: 1 .. 65535";
    }
    *out = (uint16_t)port;
    return NULL;
}

/* Letters, digits, '-' and '_' in labels that are joined by dots. Underscores are no
 * host names by the book, but container networks hand out names that have them. */
static bool is_host_name(const char *host)
{
    size_t label = 0;
    for (size_t i = 0;; i++) {
        if (host[i] == '.' || host[i] == '\0') {
            if (label == 0 || label > LABEL_MAX || host[i - 1] == '-') {
                return false;
            }
            if (host[i] == '\0') {
                return true;
            }
            label = 0;
            continue;
        }
        bool good = is_letter(host[i]) || is_digit(host[i]) || host[i] == '_' ||
                    (host[i] == '-' && label > 0);
        if (!good) {
            return false;
        }
        label++;
    }
}

static const char *parse_name_or_ipv4(const char *host, char *out)
{
    struct in_addr ip;
    if (strspn(host, "0123456789.") == strlen(host)) {
        if (inet_pton(AF_INET, host, &ip) != 1) {
            return "is no IPv4 address: four numbers, 0 .. 255 each";
        }
        if (ip.s_addr == htonl(INADDR_ANY)) {
            return "means every interface of a machine, not one machine; write the address that "
                   "the "
                   "other nodes reach it by";
        }
    } else if (!is_host_name(host)) {
        return "is no address; write host or host:port, with letters, digits, '-' and '.' in the "
               "host";
    }
    for (size_t i = 0; i <= strlen(host); i++) {
        out[i] = to_lower(host[i]);
    }
    return NULL;
}

static const char *parse_ipv6(const char *host, char *out)
{
    struct in6_addr ip;
    if (inet_pton(AF_INET6, host, &ip) != 1) {
        return "is no IPv6 address in brackets";
    }
    if (IN6_IS_ADDR_UNSPECIFIED(&ip)) {
        return "means every interface of a machine, not one machine; write the address that the "
               "other nodes reach it by";
    }
    if (inet_ntop(AF_INET6, &ip, out, FED_ADDRESS_SIZE) == NULL) {
        return "is too long";
    }
    return NULL;
}

/* Cut "host:port" or "[host]:port" in two; *port is what follows the host, "" or ":...". */
static const char *split(const char *text, char host[FED_ADDRESS_SIZE], bool *ipv6,
                         const char **port)
{
    if (strstr(text, "://") != NULL) {
        return "is a URL; write host or host:port only";
    }
    *ipv6 = text[0] == '[';
    const char *start = *ipv6 ? text + 1 : text;
    const char *end = *ipv6 ? strchr(start, ']') : strchr(start, ':');
    if (*ipv6 && end == NULL) {
        return "has no closing bracket";
    }
    if (!*ipv6 && end != NULL && strchr(end + 1, ':') != NULL) {
        return "has more than one colon; an IPv6 address goes in brackets, such as [::1]:5000";
    }
    size_t size = end != NULL ? (size_t)(end - start) : strlen(start);
    if (size == 0) {
        return "has no host";
    }
    if (size > HOST_MAX) {
        return "is too long: a host has at most 73 characters";
    }
    memcpy(host, start, size);
    host[size] = '\0';
    *port = end == NULL ? "" : end + (*ipv6 ? 1 : 0);
    return NULL;
}

int fed_address_parse(const char *text, struct fed_address *out, const char **why)
{
    _Static_assert(HOST_MAX == 73, "the sentence about long hosts names this number");
    char host[FED_ADDRESS_SIZE];
    char clean[FED_ADDRESS_SIZE];
    const char *port_text = "";
    uint16_t port = FED_DEFAULT_PORT;
    bool ipv6;
    *why = split(text, host, &ipv6, &port_text);
    if (*why == NULL && port_text[0] != '\0') {
        *why = port_text[0] == ':' ? parse_port(port_text + 1, &port)
                                   : "has text between the bracket and the port";
    }
    if (*why == NULL) {
        *why = ipv6 ? parse_ipv6(host, clean) : parse_name_or_ipv4(host, clean);
    }
    if (*why != NULL) {
        return -1;
    }
    memcpy(out->host, clean, sizeof clean);
    int n =
        snprintf(out->text, sizeof out->text, ipv6 ? "[%s]:%u" : "%s:%u", clean, (unsigned)port);
    out->port = port;
    return n > 0 && (size_t)n < sizeof out->text ? 0 : -1;
}
