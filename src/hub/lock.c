// SPDX-License-Identifier: Apache-2.0
#include "hub/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/retry.h"

/* Whether the file that was locked is the one that others will open: some versions of filelock remove it. */
static bool is_current(int fd, const char *path)
{
    struct stat ours, theirs;
    return !fstat(fd, &ours) && !stat(path, &theirs) && ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static enum status take(int *lock, bool *taken, const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (fd < 0) return fail(E_IO, "%s: %s", path, strerror(errno));
    fchmod(fd, 0664); /* whatever the umask: who shares a cache must be able to wait; not ours, no matter */
    const bool busy = flock(fd, LOCK_EX | LOCK_NB) && (errno == EWOULDBLOCK || errno == EINTR);
    *taken = !busy && is_current(fd, path);
    if (*taken)
        *lock = fd;
    else
        close(fd);
    return OK;
}

enum status hub_lock(int *lock, const char *path, const struct hub_watch *watch, void (*waiting)(void *user),
                     void *user)
{
    bool taken, told = false;
    for (;;) {
        TRY(take(lock, &taken, path));
        if (taken) return OK;
        if (!told) waiting(user);
        told = true;
        TRY(hub_retry_sleep(watch, 0.1));
    }
}
