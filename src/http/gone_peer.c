/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that loses its power says nothing, and a TCP connection to it lives for hours (idle) or
 * a quarter of an hour (bytes on their way). TCP_USER_TIMEOUT bounds the second, and with keepalive
 * probes the first: on Linux the user timeout, when it is set, replaces the count of probes.
 */
#include "gone_peer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum {
    PROBE_AFTER_S = 10, /* of silence */
    PROBE_EVERY_S = 5   /* so that GONE_PEER_S is noticed at most this much late */
};

void gone_peer_watch(int fd)
{
    const int on = 1, after_s = PROBE_AFTER_S, every_s = PROBE_EVERY_S;
    const unsigned ms = GONE_PEER_S * 1000;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after_s, sizeof after_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}
