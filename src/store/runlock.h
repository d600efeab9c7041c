/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RUNLOCK_H
#define ROLE_RUNLOCK_H

#include <cairn/err.h>

/**
 * One aggregator per run's folder: a lock that the kernel lets go of when its process ends, however
 * it ends. The file says who holds it, for whoever is refused; its being there means nothing.
 */

/**
 * @param path     of the lock file
 * @param address  of the one who takes it
 * @param[out] fd  to be closed when it is over
 * @retval CAIRN_ERR_BUSY     held: process id, boot id and address of the holder are named
 * @retval CAIRN_ERR_STORAGE
 */
CAIRN_MUST_CHECK int runlock_take(const char *path, const char *address, int *fd,
                                  struct cairn_problem *why);
/** Remove the file; what is held stays held until fd is closed. */
void runlock_drop(const char *path, int fd);

#endif
