/* SPDX-License-Identifier: Apache-2.0 */
/* flock(2) on a file that names its holder. */
#include "runlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "problem.h"

enum { TEXT_SIZE = 256 };

/* Changes with every start of the machine; empty where it cannot be known. */
static void read_boot_id(char out[64])
{
    struct buf text = {0};
    out[0] = '\0';
    if (file_read("/proc/sys/kernel/random/boot_id", 63, &text, NULL) == 0 && buf_text(&text)) {
        (void)snprintf(out, 64, "%s", (const char *)text.data);
        out[strcspn(out, "\n")] = '\0';
    }
    buf_release(&text);
}

/* The holder's line, fit to be printed whatever is in the file. */
static void read_holder(int fd, char out[TEXT_SIZE])
{
    ssize_t got = pread(fd, out, TEXT_SIZE - 1, 0);
    out[got > 0 ? got : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    for (char *c = out; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' ? '?' : *c;
    }
    if (out[0] == '\0') {
        (void)snprintf(out, TEXT_SIZE, "a process that has not said who it is");
    }
}

static int write_holder(int fd, const char *address)
{
    char text[TEXT_SIZE], boot[64];
    read_boot_id(boot);
    const int n = snprintf(text, sizeof text, "aggregator %.100s, process %ld, boot %s\n", address,
                           (long)getpid(), boot);
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n ? 0 : -1;
}

/* One try. *gone: the file was removed by its holder in between, and another one may be there. */
static int try_once(const char *path, const char *address, int *fd, bool *gone,
                    struct cairn_problem *why)
{
    char holder[TEXT_SIZE];
    const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    const int lock = open(path, flags, 0644);
    int err = 0;
    if (lock < 0) {
        return file_failed(why, path, "open");
    }
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        *gone = !file_is_at(lock, path);
        err = *gone || write_holder(lock, address) == 0 ? 0 : file_failed(why, path, "write");
    } else if (errno == EWOULDBLOCK) {
        read_holder(lock, holder);
        err = problem_set(why, CAIRN_ERR_BUSY,
                          "wait until that one has ended, or give this run another experiment name",
                          "%s is held by %s: two aggregators cannot run one experiment", path,
                          holder);
    } else {
        err = file_failed(why, path, "lock");
    }
    if (err != 0 || *gone) {
        (void)close(lock);
        return err;
    }
    *fd = lock;
    return 0;
}

int runlock_take(const char *path, const char *address, int *fd, struct cairn_problem *why)
{
    bool gone = true;
    int err = 0;
    while (err == 0 && gone) { /* once for each holder that ends just now */
        gone = false;
        err = try_once(path, address, fd, &gone, why);
    }
    return err;
}

void runlock_drop(const char *path, int fd)
{
    if (fd >= 0 && file_is_at(fd, path)) {
        (void)unlink(path);
    }
}
