/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP proxy on one machine that does harm on command (command.h lists what), so that a test can
 * see how two nodes get along over a bad network without being root. One thread, ppoll, the
 * monotonic clock; link.c is where bytes go through.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "link.h"

/* ---- commands ---- */

static void open_listener(struct proxy *proxy)
{
    const int on = 1;
    socklen_t size = sizeof proxy->listen;
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (proxy->listener < 0 ||
        setsockopt(proxy->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(proxy->listener, (const struct sockaddr *)&proxy->listen, size) != 0 ||
        listen(proxy->listener, SOMAXCONN) != 0 ||
        getsockname(proxy->listener, (struct sockaddr *)&proxy->listen, &size) != 0) {
        give_up("cannot listen");
    }
}

static void print_stats(const struct proxy *proxy)
{
    unsigned open = 0;
    for (const struct link *link = proxy->links; link; link = link->next) {
        open += !link_is_over(link);
    }
    printf("{\"connections\": %llu, \"open\": %u, \"unreachable\": %llu, \"up\": %llu, "
           "\"down\": %llu",
           (unsigned long long)proxy->connections, open, (unsigned long long)proxy->unreachable,
           (unsigned long long)proxy->moved[UP], (unsigned long long)proxy->moved[DOWN]);
    for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++) {
        printf(", \"%s\": %llu", fault_names[kind], (unsigned long long)proxy->struck[kind]);
    }
    printf(", \"only\": {\"bytes\": %llu, \"first_s\": %.6f, \"last_s\": %.6f}",
           (unsigned long long)proxy->noted.bytes, 1e-9 * (double)proxy->noted.first_ns,
           1e-9 * (double)proxy->noted.last_ns);
    printf(", \"duplicate\": %llu, \"answers\": [", (unsigned long long)proxy->duplicates);
    size_t from = proxy->n_answers > ANSWERS ? proxy->n_answers - ANSWERS : 0;
    for (size_t i = from; i < proxy->n_answers; i++) {
        printf("%s%d", i > from ? ", " : "", proxy->answers[i % ANSWERS]);
    }
    printf("]}\n");
}

static void obey(struct proxy *proxy, char *line)
{
    const char *why = "";
    const enum command command = command_read(line, &proxy->faults, &why);
    if (command == COMMAND_BAD) {
        printf("error: %s\n", why);
        return;
    }
    if (command == COMMAND_STATS) {
        print_stats(proxy);
        return;
    }
    if (command == COMMAND_PASS) {
        links_pass(proxy);
    }
    for (struct link *link = command == COMMAND_DROP ? proxy->links : NULL; link;
         link = link->next) {
        link_end(link, true);
    }
    links_count_anew(proxy);
    if (proxy->faults.refuse) {
        close_socket(&proxy->listener, false);
    } else if (proxy->listener < 0) {
        open_listener(proxy);
    }
    proxy->quit = command == COMMAND_QUIT;
    printf("ok\n");
}

static void read_commands(struct proxy *proxy)
{
    ssize_t n = read(STDIN_FILENO, proxy->line + proxy->line_size,
                     sizeof proxy->line - 1 - proxy->line_size);
    if (n <= 0) {
        proxy->quit = proxy->quit || n == 0 || errno != EINTR;
        return;
    }
    proxy->line_size += (size_t)n;
    proxy->line[proxy->line_size] = 0;
    char *rest = proxy->line;
    for (char *end = strchr(rest, '\n'); end && !proxy->quit; end = strchr(rest, '\n')) {
        *end = 0;
        obey(proxy, rest);
        rest = end + 1;
    }
    proxy->line_size = strlen(rest);
    memmove(proxy->line, rest, proxy->line_size + 1);
    if (proxy->line_size == sizeof proxy->line - 1) {
        proxy->line_size = 0;
        printf("error: that line is too long\n");
    }
    (void)fflush(stdout);
}

/* ---- the loop ---- */

static nfds_t collect(struct proxy *proxy, struct pollfd **set, size_t *capacity, uint64_t *wake)
{
    size_t needed = 2;
    for (const struct link *link = proxy->links; link; link = link->next) {
        needed += DIRECTIONS;
    }
    if (needed > *capacity) {
        *capacity = 2 * needed;
        *set = realloc(*set, *capacity * sizeof **set);
        if (!*set) {
            give_up("no memory");
        }
    }
    (*set)[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    (*set)[1] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
    nfds_t n = 2;
    for (struct link *link = proxy->links; link; link = link->next) {
        for (enum direction d = 0; d < DIRECTIONS; d++) {
            const uint64_t at = link_wake(proxy, link, d);
            *wake = at < *wake ? at : *wake;
            const short events = link_wants(link, d);
            link->polled[d] = events ? n : 0;
            if (events) {
                (*set)[n++] = (struct pollfd){.fd = link->fd[d], .events = events};
            }
        }
    }
    return n;
}

static void wait_for_events(struct pollfd *set, nfds_t n, uint64_t wake)
{
    const uint64_t now = now_ns();
    const uint64_t left = wake > now ? wake - now : 0;
    const struct timespec t = {.tv_sec = (time_t)(left / 1000000000),
                               .tv_nsec = (long)(left % 1000000000)};
    if (ppoll(set, n, wake == never ? NULL : &t, NULL) < 0 && errno != EINTR) {
        give_up("ppoll");
    }
}

static void run(struct proxy *proxy)
{
    struct pollfd *set = NULL;
    size_t capacity = 0;
    while (!proxy->quit) {
        uint64_t wake = never;
        nfds_t n = collect(proxy, &set, &capacity, &wake);
        wait_for_events(set, n, wake);
        for (struct link *link = proxy->links; link; link = link->next) {
            for (enum direction d = 0; d < DIRECTIONS; d++) {
                if (link->polled[d] && link->fd[d] >= 0 && link->end == ALIVE &&
                    set[link->polled[d]].revents & (POLLIN | POLLHUP | POLLERR)) {
                    link_receive(proxy, link, d);
                }
            }
        }
        if (set[0].revents) {
            read_commands(proxy);
        }
        if (set[1].revents && proxy->listener >= 0) {
            link_accept(proxy);
        }
        const uint64_t now = now_ns();
        links_fill_tokens(proxy, now);
        for (struct link *link = proxy->links; link; link = link->next) {
            link_serve(proxy, link, now);
        }
        links_sweep(proxy);
    }
    free(set);
}

static bool read_address(const char *text, struct sockaddr_in *at)
{
    char host[INET_ADDRSTRLEN], *end;
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host) {
        return false;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return colon[1] && !*end && port <= UINT16_MAX && inet_pton(AF_INET, host, &at->sin_addr) == 1;
}

static bool is_loopback(const struct sockaddr_in *at)
{
    return ntohl(at->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

int main(int argc, char **argv)
{
    struct proxy proxy = {.listener = -1};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(command_help, stdout);
        return EXIT_SUCCESS;
    }
    if (argc != 3 || !read_address(argv[1], &proxy.listen) ||
        !read_address(argv[2], &proxy.target) || !is_loopback(&proxy.listen)) {
        (void)fputs(
            "faultproxy: two addresses 127.x.y.z:port are wanted, where to listen and where "
            "to forward to; --help says more\n",
            stderr);
        return 2;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    open_listener(&proxy);
    char host[INET_ADDRSTRLEN];
    (void)inet_ntop(AF_INET, &proxy.listen.sin_addr, host, sizeof host);
    printf("{\"listening\": \"%s:%u\"}\n", host, (unsigned)ntohs(proxy.listen.sin_port));
    (void)fflush(stdout);
    proxy.filled_ns = now_ns();
    run(&proxy);
    for (struct link *link = proxy.links; link; link = link->next) {
        link_end(link, false);
    }
    links_sweep(&proxy);
    close_socket(&proxy.listener, false);
    return EXIT_SUCCESS;
}
