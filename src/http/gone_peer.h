/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_GONE_PEER_H
#define HTTP_GONE_PEER_H

/**
 * Have the kernel find out that a peer's machine is gone: the connection fails within
 * GONE_PEER_S + 5 s, whether bytes are on their way or nothing is being said. Inside http only.
 *
 * Connections accepted from a listening socket inherit this. Where the kernel refuses, nothing
 * happens: the deadlines of whole exchanges hold all the same.
 */
enum { GONE_PEER_S = 25 };

void gone_peer_watch(int fd);

#endif
