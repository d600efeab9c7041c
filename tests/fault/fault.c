/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the system that fail on request, linked into test programs only (cairn_fault is cairn and
 * this file).
 *
 *   CAIRN_FAULT=site:n            the n-th call of that site fails, with the errno that is natural
 *   CAIRN_FAULT=site:n+           and all after it, as on a disk that is full and stays so
 *   CAIRN_FAULT=site:n:ENOSPC     with this errno; several rules are separated by commas
 *   CAIRN_FAULT_COUNT=path        at exit, how often each site was called: lines "site calls"
 *   CAIRN_FAULT_TRACE=1           where it was called from, when it fails (addr2line -e PROGRAM)
 *
 * The program defines malloc, read and so on itself and exports them, so the dynamic linker gives
 * them to everybody: calls from our own code and from the libraries (libcurl's and libmicrohttpd's
 * send and recv, libsodium's mmap and getrandom, jansson's malloc) are all reached. ld's --wrap would
 * reach our own objects only, and most of what goes over the network is sent by the libraries. Not
 * reached are calls inside the C library itself, such as the write() below printf and the mmap()
 * below malloc and pthread_create, and what bypasses it (OpenBLAS's syscall()).
 *
 * Calls before main() are not counted: libraries set themselves up there and have no way to fail.
 *
 * malloc's real functions are found without dlsym, which may itself want memory: under
 * AddressSanitizer they are its interceptors, else the C library's own names for them.
 */
#undef _FORTIFY_SOURCE /* its inline functions have the names that are defined here */

#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

/* read and write belong to a site by what they are used on: `read` and `write` are regular files,
 * `recv` and `send` sockets; pipes and eventfds are left alone. */
#define SITES(X)                                                                                   \
    X(MALLOC, "malloc", ENOMEM) /* and calloc, realloc, aligned_alloc, strdup */                    \
    X(MMAP, "mmap", ENOMEM)     /* anonymous: libsodium's guarded memory */                         \
    X(OPEN, "open", EMFILE)     /* and fopen */                                                     \
    X(SOCKET, "socket", EMFILE) /* and accept, eventfd */                                           \
    X(READ, "read", EIO)                                                                           \
    X(WRITE, "write", ENOSPC)                                                                      \
    X(FSYNC, "fsync", EIO)                                                                         \
    X(RENAME, "rename", EIO)                                                                       \
    X(SEND, "send", ECONNRESET)                                                                    \
    X(RECV, "recv", ECONNRESET)                                                                    \
    X(GETRANDOM, "getrandom", ENOSYS)                                                              \
    X(THREAD, "thread", EAGAIN)

enum site {
#define X(name, text, error) SITE_##name,
    SITES(X)
#undef X
        N_SITES
};

static const struct {
    const char *name;
    int error;
} sites[N_SITES] = {
#define X(name, text, error) {text, error},
    SITES(X)
#undef X
};

struct rule {
    _Atomic uint64_t first, last; /* of the site's calls; first 0 = none */
    atomic_int error;
};

static _Atomic uint64_t calls[N_SITES];
static struct rule rules[N_SITES];
static atomic_bool active, loud, trace;

/* ---- when a call fails ---- */

static void say(const char *text, size_t size)
{
    (void)syscall(SYS_write, STDERR_FILENO, text, size); /* not through the write() below */
}

static void announce(enum site site, uint64_t call, int error)
{
    char line[160];
    if (!atomic_load(&loud)) {
        return;
    }
    int size = snprintf(line, sizeof line, "fault: %s call %llu fails: %s\n", sites[site].name,
                        (unsigned long long)call, strerrorname_np(error));
    say(line, (size_t)size);
    if (atomic_load(&trace)) {
        void *frames[40];
        backtrace_symbols_fd(frames, backtrace(frames, 40), STDERR_FILENO);
    }
}

/* Count a call. 0: let it happen; else the errno with which it is to fail. */
static int struck(enum site site)
{
    if (!atomic_load_explicit(&active, memory_order_relaxed)) {
        return 0;
    }
    const uint64_t call = atomic_fetch_add_explicit(&calls[site], 1, memory_order_relaxed) + 1;
    const uint64_t first = atomic_load(&rules[site].first);
    if (first == 0 || call < first || call > atomic_load(&rules[site].last)) {
        return 0;
    }
    const int error = atomic_load(&rules[site].error);
    announce(site, call, error);
    errno = error;
    return error;
}

/* ---- rules ---- */

static int error_called(const char *name)
{
    for (int error = 1; error < 134; error++) { /* EHWPOISON is 133 */
        const char *known = strerrorname_np(error);
        if (known && strcmp(known, name) == 0) {
            return error;
        }
    }
    return 0;
}

/* "site:n", "site:n+", either with ":ERRNO" */
static bool read_rule(char *text, struct rule list[N_SITES])
{
    const char *name = strsep(&text, ":");
    const char *number = strsep(&text, ":");
    int error = text ? error_called(text) : -1;
    char *end = NULL;
    uint64_t n = number ? strtoull(number, &end, 10) : 0;
    if (n == 0 || error == 0 || (*end && strcmp(end, "+") != 0)) {
        return false;
    }
    for (int site = 0; site < N_SITES; site++) {
        if (strcmp(sites[site].name, name) == 0) {
            const uint64_t first = atomic_load(&calls[site]) + n;
            atomic_store(&list[site].first, first);
            atomic_store(&list[site].last, *end ? UINT64_MAX : first);
            atomic_store(&list[site].error, error > 0 ? error : sites[site].error);
            return true;
        }
    }
    return false;
}

bool fault_arm(const char *text)
{
    char copy[512];
    struct rule list[N_SITES] = {0};
    char *rest = copy;
    if (text && strlen(text) >= sizeof copy) {
        return false;
    }
    (void)snprintf(copy, sizeof copy, "%s", text ? text : "");
    while (rest && *rest) {
        if (!read_rule(strsep(&rest, ","), list)) {
            return false;
        }
    }
    for (int site = 0; site < N_SITES; site++) {
        atomic_store(&rules[site].first, 0); /* never half of the old and half of the new */
        atomic_store(&rules[site].last, atomic_load(&list[site].last));
        atomic_store(&rules[site].error, atomic_load(&list[site].error));
        atomic_store(&rules[site].first, atomic_load(&list[site].first));
    }
    return true;
}

uint64_t fault_calls(const char *name)
{
    for (int site = 0; site < N_SITES; site++) {
        if (strcmp(sites[site].name, name) == 0) {
            return atomic_load(&calls[site]);
        }
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    static const char bad[] = "fault: CAIRN_FAULT is not site:n, site:n+ or site:n:ERRNO\n";
    void *frame;
    if (getenv("CAIRN_FAULT_TRACE")) {
        (void)backtrace(&frame, 1); /* loads what it needs now, not in the middle of a malloc */
        atomic_store(&trace, true);
    }
    if (!fault_arm(getenv("CAIRN_FAULT"))) {
        say(bad, sizeof bad - 1);
        _exit(2);
    }
    atomic_store(&loud, getenv("CAIRN_FAULT") != NULL); /* who calls fault_arm knows */
    atomic_store(&active, true);
}

__attribute__((destructor)) static void end(void)
{
    atomic_store(&active, false);
    const char *path = getenv("CAIRN_FAULT_COUNT");
    char text[N_SITES * 40];
    size_t size = 0;
    for (int site = 0; site < N_SITES; site++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "%s %llu\n", sites[site].name,
                                 (unsigned long long)atomic_load(&calls[site]));
    }
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
    if (fd >= 0) {
        (void)syscall(SYS_write, fd, text, size);
        (void)syscall(SYS_close, fd);
    }
}

/* ---- memory ---- */

#define WEAK __attribute__((weak))
extern void *__interceptor_malloc(size_t size) WEAK;
extern void *__interceptor_calloc(size_t n, size_t size) WEAK;
extern void *__interceptor_realloc(void *old, size_t size) WEAK;
extern void *__interceptor_memalign(size_t alignment, size_t size) WEAK;
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

SHOWN void *malloc(size_t size)
{
    return struck(SITE_MALLOC)    ? NULL
           : __interceptor_malloc ? __interceptor_malloc(size)
                                  : __libc_malloc(size);
}

SHOWN void *calloc(size_t n, size_t size)
{
    return struck(SITE_MALLOC)    ? NULL
           : __interceptor_calloc ? __interceptor_calloc(n, size)
                                  : __libc_calloc(n, size);
}

SHOWN void *realloc(void *old, size_t size)
{
    return struck(SITE_MALLOC)     ? NULL
           : __interceptor_realloc ? __interceptor_realloc(old, size)
                                   : __libc_realloc(old, size);
}

SHOWN void *reallocarray(void *old, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}

static void *aligned(size_t alignment, size_t size)
{
    return __interceptor_memalign ? __interceptor_memalign(alignment, size)
                                  : __libc_memalign(alignment, size);
}

SHOWN void *aligned_alloc(size_t alignment, size_t size)
{
    return struck(SITE_MALLOC) ? NULL : aligned(alignment, size);
}

SHOWN int posix_memalign(void **out, size_t alignment, size_t size)
{
    const int error = struck(SITE_MALLOC);
    void *memory = error ? NULL : aligned(alignment, size);
    if (!memory) {
        return error ? error : ENOMEM;
    }
    *out = memory;
    return 0;
}

/* ---- everything else: the next definition after the program's own ---- */

/* The C library's functions have nonnull attributes and the like; the pointers need not. */
#define REAL(name)                                                                                 \
    __extension__({                                                                                \
        static _Atomic(void *) found;                                                              \
        if (!atomic_load(&found)) {                                                                \
            atomic_store(&found, dlsym(RTLD_NEXT, #name));                                         \
        }                                                                                          \
        (__typeof__(&(name)))atomic_load(&found);                                                  \
    })

/* A function with one site, that answers -1. */
#define FAILS(site, type, name, parameters, arguments)                                             \
    SHOWN type name parameters                                                                     \
    {                                                                                              \
        return struck(site) ? -1 : REAL(name) arguments;                                           \
    }

SHOWN void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    const bool counts = flags & MAP_ANONYMOUS;
    return counts && struck(SITE_MMAP) ? MAP_FAILED
                                       : REAL(mmap)(at, size, protection, flags, fd, offset);
}

SHOWN int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                         void *arg)
{
    const int error = struck(SITE_THREAD);
    return error ? error : REAL(pthread_create)(thread, attr, start, arg);
}

FAILS(SITE_GETRANDOM, ssize_t, getrandom, (void *out, size_t size, unsigned flags),
      (out, size, flags))
FAILS(SITE_GETRANDOM, int, getentropy, (void *out, size_t size), (out, size))

/* ---- files ---- */

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

SHOWN int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_of(flags, args);
    va_end(args);
    return struck(SITE_OPEN) ? -1 : REAL(open)(path, flags, mode);
}

SHOWN int openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_of(flags, args);
    va_end(args);
    return struck(SITE_OPEN) ? -1 : REAL(openat)(folder, path, flags, mode);
}

SHOWN FILE *fopen(const char *path, const char *mode)
{
    return struck(SITE_OPEN) ? NULL : REAL(fopen)(path, mode);
}

FAILS(SITE_FSYNC, int, fsync, (int fd), (fd))
FAILS(SITE_FSYNC, int, fdatasync, (int fd), (fd))
FAILS(SITE_RENAME, int, rename, (const char *from, const char *to), (from, to))

/* Is a read or write of this descriptor to fail? Regular files count as one site, sockets as
 * another. */
static bool struck_on(int fd, enum site file, enum site socket)
{
    struct stat about;
    const int before = errno;
    const bool known = fstat(fd, &about) == 0;
    errno = before;
    return known && ((S_ISREG(about.st_mode) && struck(file)) ||
                     (S_ISSOCK(about.st_mode) && struck(socket)));
}

#define FAILS_ON(file, socket, name, parameters, arguments)                                        \
    SHOWN ssize_t name parameters                                                                  \
    {                                                                                              \
        return struck_on(fd, file, socket) ? -1 : REAL(name) arguments;                            \
    }

FAILS_ON(SITE_READ, SITE_RECV, read, (int fd, void *out, size_t size), (fd, out, size))
FAILS_ON(SITE_READ, SITE_RECV, readv, (int fd, const struct iovec *list, int n), (fd, list, n))
FAILS_ON(SITE_READ, SITE_RECV, pread64, (int fd, void *out, size_t size, off64_t offset),
         (fd, out, size, offset))
FAILS_ON(SITE_WRITE, SITE_SEND, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
FAILS_ON(SITE_WRITE, SITE_SEND, writev, (int fd, const struct iovec *list, int n), (fd, list, n))

/* ---- the network ---- */

FAILS(SITE_SOCKET, int, socket, (int family, int type, int protocol), (family, type, protocol))
FAILS(SITE_SOCKET, int, eventfd, (unsigned value, int flags), (value, flags))
FAILS(SITE_SOCKET, int, accept, (int fd, struct sockaddr *from, socklen_t *size), (fd, from, size))
FAILS(SITE_SOCKET, int, accept4, (int fd, struct sockaddr *from, socklen_t *size, int flags),
      (fd, from, size, flags))
FAILS(SITE_SEND, ssize_t, send, (int fd, const void *bytes, size_t size, int flags),
      (fd, bytes, size, flags))
FAILS(SITE_SEND, ssize_t, sendto,
      (int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to,
       socklen_t to_size),
      (fd, bytes, size, flags, to, to_size))
FAILS(SITE_SEND, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
      (fd, message, flags))
FAILS(SITE_SEND, ssize_t, sendfile64, (int to, int from, off64_t *offset, size_t size),
      (to, from, offset, size))
FAILS(SITE_RECV, ssize_t, recv, (int fd, void *out, size_t size, int flags),
      (fd, out, size, flags))
FAILS(SITE_RECV, ssize_t, recvfrom,
      (int fd, void *out, size_t size, int flags, struct sockaddr *from, socklen_t *from_size),
      (fd, out, size, flags, from, from_size))
FAILS(SITE_RECV, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags),
      (fd, message, flags))
