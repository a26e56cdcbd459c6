// SPDX-License-Identifier: Apache-2.0
/* The pool. A decoding step is hundreds of small pool_run() calls, so what matters is how soon the next one starts:
 * idle threads spin for a moment before they sleep.
 *
 * One counter hands out the work: pool_run() stores the number of tasks, every thread takes them by decrementing. A
 * thread that is late for one run and decrements during the next has simply taken a task of the next: what it reads
 * afterwards cannot change before it has reported that task as done. So no run ever waits for a thread to wake up. */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"

/* Longer than the serial gaps between two operations of a layer (a few us), shorter than waking a thread twice. */
enum { SPIN_NS = 40000, SPINS_PER_CLOCK = 64 };

struct worker {
    struct pool *pool;
    pthread_t thread;
    int id;
};

struct pool {
    /* Written by pool_run() before remaining is set, constant until every task is reported in done. */
    pool_task_fn *fn;
    void *user;
    int n_tasks;

    pthread_mutex_t turn; /* held by the caller whose run it is; recursive, for pool_hold() */
    int n_threads;
    struct worker *workers; /* [n_threads - 1]; worker i is thread i + 1 */
    pthread_mutex_t mutex;  /* only for going to sleep and waking up */
    pthread_cond_t work, finished;
    atomic_int sleepers;
    atomic_bool caller_sleeps, stop;

    ALIGNED(64) atomic_int remaining; /* tasks nobody has taken; below zero means none too */
    ALIGNED(64) atomic_int done;      /* tasks finished */
};

/* Takes tasks until there are none. Returns true if this thread finished the last one of the run. */
static bool work(struct pool *p, int thread)
{
    int count = 0, n_tasks = 0;
    while (atomic_load_explicit(&p->remaining, memory_order_relaxed) > 0) {
        const int left = atomic_fetch_sub(&p->remaining, 1);
        if (left <= 0) break;
        n_tasks = p->n_tasks;
        p->fn(p->user, n_tasks - left, thread);
        count++;
    }
    return count && atomic_fetch_add(&p->done, count) + count == n_tasks;
}

static bool has_work(struct pool *p)
{
    return atomic_load(&p->remaining) > 0 || atomic_load(&p->stop);
}

static bool is_done(struct pool *p)
{
    return atomic_load(&p->done) == p->n_tasks;
}

static bool spin_until(bool (*condition)(struct pool *), struct pool *p)
{
    const int64_t start = clock_ns();
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (condition(p)) return true;
            CPU_RELAX();
        }
    } while (clock_ns() - start < SPIN_NS);
    return false;
}

/* Whoever sleeps announces it before looking at the condition, whoever makes the condition true does so before looking
 * for sleepers (all sequentially consistent): one of the two sees the other. */
static void sleep_until_work(struct pool *p)
{
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (!has_work(p))
        pthread_cond_wait(&p->work, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void sleep_until_done(struct pool *p)
{
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->caller_sleeps, true);
    while (!is_done(p))
        pthread_cond_wait(&p->finished, &p->mutex);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->mutex);
}

static void wake(struct pool *p, pthread_cond_t *condition)
{
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(condition);
    pthread_mutex_unlock(&p->mutex);
}

static void *worker_main(void *user)
{
    const struct worker *w = user;
    struct pool *p = w->pool;
    while (!atomic_load(&p->stop)) {
        if (!spin_until(has_work, p)) sleep_until_work(p);
        if (work(p, w->id) && atomic_load(&p->caller_sleeps)) wake(p, &p->finished);
    }
    return NULL;
}

static void stop_workers(struct pool *p, int n)
{
    atomic_store(&p->stop, true);
    wake(p, &p->work);
    for (int i = 0; i < n; i++)
        pthread_join(p->workers[i].thread, NULL);
}

/* Signals stay with the program's own threads. */
static enum status start_workers(struct pool *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    enum status s = OK;
    int n = 0;
    while (s == OK && n < p->n_threads - 1) {
        struct worker *w = &p->workers[n];
        *w = (struct worker){.pool = p, .id = n + 1};
        const int error = pthread_create(&w->thread, NULL, worker_main, w);
        if (error)
            s = fail(E_IO, "cannot start thread %d of %d: %s", n + 2, p->n_threads, strerror(error));
        else
            n++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (s != OK) stop_workers(p, n);
    return s;
}

static void destroy(struct pool *p)
{
    pthread_cond_destroy(&p->finished);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mutex);
    pthread_mutex_destroy(&p->turn);
    free(p->workers);
    free(p);
}

enum status pool_create(struct pool **out, int n_threads)
{
    assert(n_threads >= 1);
    struct pool *p = aligned_alloc(_Alignof(struct pool), sizeof *p);
    struct worker *workers = calloc((size_t)n_threads, sizeof *workers);
    if (!p || !workers) {
        free(workers);
        free(p);
        return fail(E_NOMEM, "out of memory for %d threads", n_threads);
    }
    *p = (struct pool){.n_threads = n_threads, .workers = workers};
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&p->turn, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->finished, NULL);
    const enum status s = start_workers(p);
    if (s != OK) {
        destroy(p);
        return s;
    }
    *out = p;
    return OK;
}

void pool_free(struct pool *p)
{
    if (!p) return;
    stop_workers(p, p->n_threads - 1);
    destroy(p);
}

static void run_together(struct pool *p, int n_tasks, pool_task_fn *fn, void *user)
{
    p->fn = fn;
    p->user = user;
    p->n_tasks = n_tasks;
    atomic_store(&p->done, 0);
    atomic_store(&p->remaining, n_tasks);
    if (atomic_load(&p->sleepers)) wake(p, &p->work);
    if (work(p, 0)) return;
    if (!spin_until(is_done, p)) sleep_until_done(p);
}

void pool_hold(struct pool *p)
{
    pthread_mutex_lock(&p->turn);
}

void pool_release(struct pool *p)
{
    pthread_mutex_unlock(&p->turn);
}

void pool_run(struct pool *p, int n_tasks, pool_task_fn *fn, void *user)
{
    pthread_mutex_lock(&p->turn);
    if (p->n_threads > 1 && n_tasks > 1)
        run_together(p, n_tasks, fn, user);
    else
        for (int task = 0; task < n_tasks; task++)
            fn(user, task, 0);
    pthread_mutex_unlock(&p->turn);
}

int pool_threads(const struct pool *p)
{
    return p->n_threads;
}

/* The first two words of a file as numbers; a word that is none ("max") leaves -1. */
static bool read_two(double out[2], const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    char words[2][32] = {"", ""};
    const int n = fscanf(f, "%31s %31s", words[0], words[1]);
    fclose(f);
    for (int i = 0; i < 2; i++) {
        char *end;
        const double v = strtod(words[i], &end);
        out[i] = words[i][0] && !*end ? v : -1;
    }
    return n >= 1;
}

static void apply_quota(int *limit, double quota, double period)
{
    if (!(quota > 0 && period > 0) || quota / period >= 1e6) return;
    const int cpus = quota < period ? 1 : (int)(quota / period);
    if (!*limit || cpus < *limit) *limit = cpus;
}

/* A group is also bound by every group above it. In a container the path may name groups that are not mounted there;
 * the walk then ends at the mount's root, which is the container's own group. */
static void apply_groups(int *limit, const char *mount, const char *group)
{
    char path[4096];
    int at = snprintf(path, sizeof path, "%s%s", mount, group);
    if (at < 0 || (size_t)at > sizeof path - 32) return;
    for (;;) {
        double v[2], period[2];
        char *end = path + strlen(path);
        const size_t room = sizeof path - strlen(path);
        snprintf(end, room, "/cpu.max");
        if (read_two(v, path)) apply_quota(limit, v[0], v[1]);
        snprintf(end, room, "/cpu.cfs_quota_us");
        const bool has_quota = read_two(v, path);
        snprintf(end, room, "/cpu.cfs_period_us");
        if (has_quota && read_two(period, path)) apply_quota(limit, v[0], period[0]);
        *end = 0;
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < strlen(mount)) return;
        *slash = 0;
    }
}

/* Whether "cpu" is one of the comma separated names. */
static bool lists_cpu(const char *names)
{
    for (const char *at = names; *at; at += strspn(at, ",")) {
        const size_t n = strcspn(at, ",");
        if (n == 3 && !memcmp(at, "cpu", 3)) return true;
        at += n;
    }
    return false;
}

int pool_cgroup_cpus(const char *membership_path, const char *mount)
{
    FILE *f = fopen(membership_path, "re");
    if (!f) return 0;
    int limit = 0;
    char line[4096], v1[4096];
    const int n = snprintf(v1, sizeof v1, "%s/cpu", mount);
    while (fgets(line, sizeof line, f)) { /* "0::/group" (v2) or "4:cpu,cpuacct:/group" (v1) */
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *group = names ? strchr(names + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        names++;
        if (!strcmp(group, "/")) group = "";
        if (!*names) apply_groups(&limit, mount, group);
        if (lists_cpu(names) && n > 0 && (size_t)n < sizeof v1) apply_groups(&limit, v1, group);
    }
    fclose(f);
    return limit;
}

static int affinity_cpus(void)
{
    for (int n = 1024; n <= 1 << 16; n *= 2) { /* a mask shorter than the kernel's is EINVAL */
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        if (!set) return 1;
        const bool ok = sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)n), set) == 0;
        const int count = ok ? CPU_COUNT_S(CPU_ALLOC_SIZE((size_t)n), set) : 0;
        CPU_FREE(set);
        if (ok) return count > 0 ? count : 1;
    }
    return 1;
}

int pool_default_threads(void)
{
    const int cpus = affinity_cpus(), quota = pool_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota && quota < cpus ? quota : cpus;
}
