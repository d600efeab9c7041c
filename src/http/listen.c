/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening socket. It is opened here and not by the HTTP library because
 * a port that is taken is the commonest way for a node not to start, and the
 * library would only say that it failed.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"
#include "gone_peer.h"

static const char *hint_for(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "another process listens there (ss -ltnp shows which); stop it, or choose another "
               "port with --port";
    case EACCES:
    case EPERM:
        return "ports below 1024 need privileges; choose a higher one with --port";
    case EADDRNOTAVAIL:
        return "the address is not one of this machine's (ip addr shows them); 0.0.0.0 listens on "
               "all";
    case EMFILE:
    case ENFILE:
        return "too many open files; raise the limit with ulimit -n";
    default:
        return "";
    }
}

static int refuse(struct cairn_problem *why, const char *address, uint16_t port, int error)
{
    bool v6 = strchr(address, ':') != NULL;
    return problem_set(why, CAIRN_ERR_ENVIRONMENT, hint_for(error),
                       "cannot listen on %s%s%s:%u: %s", v6 ? "[" : "", address, v6 ? "]" : "",
                       (unsigned)port, strerror(error));
}

/* Bind and listen. Returns 0 or errno. */
static int occupy(int fd, const struct addrinfo *at)
{
    /* Without SO_REUSEADDR the connections of the last run, which the kernel remembers for a
     * minute, would keep a restarted node from its own port. Two listeners at once are still
     * refused. */
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        return errno;
    }
    gone_peer_watch(fd);
    return 0;
}

static int port_of(int fd, uint16_t *port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    socklen_t size = sizeof at;
    if (getsockname(fd, &at.any, &size) != 0) {
        return errno;
    }
    *port = ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
    return 0;
}

int listen_open(const char *address, uint16_t port, int *fd, uint16_t *bound,
                struct cairn_problem *why)
{
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    struct addrinfo wanted = {.ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *at = NULL;
    int failed = getaddrinfo(address, service, &wanted, &at);
    if (failed) {
        return problem_set(why, CAIRN_ERR_ENVIRONMENT,
                           "write it in numbers, such as 192.168.1.7, ::1 or 0.0.0.0",
                           "cannot listen on \"%s\": not a numeric address", address);
    }
    int error = 0;
    uint16_t really = 0;
    int s = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    if (s < 0) {
        error = errno;
        goto cleanup;
    }
    error = occupy(s, at);
    if (!error) {
        error = port_of(s, &really);
    }
    if (error) {
        close(s);
        goto cleanup;
    }
    *fd = s;
    *bound = really;
cleanup:
    freeaddrinfo(at);
    return error ? refuse(why, address, port, error) : CAIRN_OK;
}
