// SPDX-License-Identifier: Apache-2.0
/* A lock file as Python's filelock takes it, so that two who download the same blob, in whatever language, do not do it
 * at once. The file stays when the lock is given back: whoever waits for it has it open. */
#ifndef GPTJT_HUB_LOCK_H
#define GPTJT_HUB_LOCK_H

#include "base/status.h"
#include "hub/watch.h"

/* Waits until path is ours; calls waiting(user) once if somebody else has it. *lock is the descriptor to close; where
 * the file system has no locks, it is open and nothing is locked. */
enum status hub_lock(int *lock, const char *path, const struct hub_watch *watch, void (*waiting)(void *user),
                     void *user);

#endif
