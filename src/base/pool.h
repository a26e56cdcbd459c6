// SPDX-License-Identifier: Apache-2.0
/* A small pthread pool: one parallel-for, one pool per engine or rank.
 *
 * Threads partition outputs, never a sum, so results do not depend on how many there are or who runs which task. */
#ifndef GPTJT_BASE_POOL_H
#define GPTJT_BASE_POOL_H

#include "base/status.h"

struct pool;

/* task in [0, n_tasks); thread in [0, pool_threads()), for per-thread scratch. */
typedef void pool_task_fn(void *user, int task, int thread);

/* n_threads >= 1 counts the caller, which works too: a pool of 1 creates no thread. Owned: pool_free(). */
enum status pool_create(struct pool **out, int n_threads);
void pool_free(struct pool *p);

/* Runs fn for every task and returns when all are done. Several callers take turns;
 * a task must not call it. */
void pool_run(struct pool *p, int n_tasks, pool_task_fn *fn, void *user);

/* Between these two, which nest, only this thread's runs begin: for memory that belongs to the pool's owner and is used
 * by several runs, one after the other. */
void pool_hold(struct pool *p);
void pool_release(struct pool *p);

int pool_threads(const struct pool *p);

/* What this process may use: the smaller of the affinity mask and the cgroup (v1 or v2) CPU quota, at least 1. */
int pool_default_threads(void);

/* The quota alone, in whole CPUs (rounded down, at least 1), 0 if there is none: membership_path is /proc/self/cgroup,
 * mount /sys/fs/cgroup. The smallest of the group's and of those above it counts. */
int pool_cgroup_cpus(const char *membership_path, const char *mount);

#endif
