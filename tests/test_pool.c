// SPDX-License-Identifier: Apache-2.0
/* The thread pool: nothing is lost, nothing runs twice, and the quota of the control group is read right. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/pool.h"

enum { MAX_TASKS = 1000 };

struct tally {
    atomic_int runs[MAX_TASKS];
    atomic_int bad_threads, arrived;
    int n_threads, n_tasks;
};

static void count_task(void *user, int task, int thread)
{
    struct tally *t = user;
    if (task < 0 || task >= t->n_tasks || thread < 0 || thread >= t->n_threads)
        atomic_fetch_add(&t->bad_threads, 1);
    else
        atomic_fetch_add(&t->runs[task], 1);
}

static void every_task_runs_exactly_once(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 5, 16}, sizes[] = {0, 1, 2, 3, 4, 5, 15, 16, 17, 64, 999, 1000};
    static struct tally t;
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        struct pool *p = NULL;
        assert_int_equal(pool_create(&p, threads[i]), OK);
        assert_int_equal(pool_threads(p), threads[i]);
        for (size_t k = 0; k < 20 * COUNT_OF(sizes); k++) {
            memset(&t, 0, sizeof t);
            t.n_threads = threads[i];
            t.n_tasks = sizes[k % COUNT_OF(sizes)];
            pool_run(p, t.n_tasks, count_task, &t);
            assert_int_equal(t.bad_threads, 0);
            for (int task = 0; task < MAX_TASKS; task++)
                assert_int_equal(t.runs[task], task < t.n_tasks);
        }
        pool_free(p);
    }
}

static void square(void *user, int task, int thread)
{
    (void)thread;
    ((long *)user)[task] = (long)task * task;
}

/* What tasks write needs no atomics: pool_run() orders it before what its caller reads. */
static void results_are_visible_after_many_short_runs(void **state)
{
    (void)state;
    struct pool *p = NULL;
    assert_int_equal(pool_create(&p, 4), OK);
    for (int run = 0; run < 5000; run++) {
        long out[9];
        memset(out, 0xff, sizeof out);
        const int n = 2 + run % 8;
        pool_run(p, n, square, out);
        for (long i = 0; i < 9; i++)
            assert_int_equal(out[i], i < n ? i * i : -1);
        if (run % 1000 == 0) usleep(1000); /* long enough for the workers to fall asleep */
    }
    pool_free(p);
}

/* Threads that come late for the last task must find nothing: the more runs, the more of them meet there. */
static void no_thread_takes_a_task_that_is_not_there(void **state)
{
    (void)state;
    static struct tally t;
    struct pool *p = NULL;
    assert_int_equal(pool_create(&p, 3), OK);
    t = (struct tally){.n_threads = 3, .n_tasks = 2};
    for (int run = 0; run < 30000; run++)
        pool_run(p, t.n_tasks, count_task, &t);
    assert_int_equal(t.bad_threads, 0);
    assert_int_equal(t.runs[0], 30000);
    assert_int_equal(t.runs[1], 30000);
    pool_free(p);
}

static void wait_for_all(void *user, int task, int thread)
{
    (void)task;
    (void)thread;
    struct tally *t = user;
    atomic_fetch_add(&t->arrived, 1);
    while (atomic_load(&t->arrived) < t->n_tasks)
        sched_yield();
}

static void as_many_tasks_as_threads_run_at_once(void **state)
{
    (void)state;
    struct pool *p = NULL;
    static struct tally t;
    assert_int_equal(pool_create(&p, 6), OK);
    for (int run = 0; run < 20; run++) {
        atomic_store(&t.arrived, 0);
        t.n_tasks = 6;
        pool_run(p, 6, wait_for_all, &t); /* would never return if two tasks shared a thread */
        assert_int_equal(t.arrived, 6);
    }
    pool_free(p);
}

static void run_a_pool_of_its_own(void *user, int task, int thread)
{
    (void)thread;
    long out[16];
    struct pool *inner = NULL;
    if (pool_create(&inner, 2) != OK) return;
    pool_run(inner, 16, square, out);
    pool_free(inner);
    ((long *)user)[task] = out[15];
}

static void pools_run_beside_each_other(void **state)
{
    (void)state;
    struct pool *p = NULL;
    long out[12] = {0};
    assert_int_equal(pool_create(&p, 3), OK);
    pool_run(p, 12, run_a_pool_of_its_own, out);
    for (int i = 0; i < 12; i++)
        assert_int_equal(out[i], 225);
    pool_free(p);
    pool_free(NULL);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[512];
    struct file_writer w;
    assert_int_equal(file_join(path, sizeof path, dir, name), OK);
    for (char *c = path + strlen(dir) + 1; (c = strchr(c, '/')); c++) {
        *c = 0;
        mkdir(path, 0700);
        *c = '/';
    }
    assert_int_equal(file_writer_open(&w, path), OK);
    assert_int_equal(file_writer_write(&w, text, strlen(text)), OK);
    assert_int_equal(file_writer_commit(&w), OK);
}

static int remove_tree(const char *dir)
{
    char command[512];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    return system(command);
}

struct sharing {
    struct pool *pool;
    int shared; /* what several callers prepare in turn */
    atomic_int wrong;
};

struct sharer {
    struct sharing *sharing;
    int number;
};

static void expect_number(void *user, int task, int thread)
{
    struct sharer *s = user;
    (void)task;
    (void)thread;
    if (s->sharing->shared != s->number) atomic_fetch_add(&s->sharing->wrong, 1);
}

static void *hold_and_run(void *user)
{
    struct sharer *s = user;
    for (int i = 0; i < 2000; i++) {
        pool_hold(s->sharing->pool);
        s->sharing->shared = s->number;
        pool_run(s->sharing->pool, 4, expect_number, s);
        pool_run(s->sharing->pool, 4, expect_number, s);
        pool_release(s->sharing->pool);
    }
    return NULL;
}

static void who_holds_a_pool_shares_memory_with_its_own_runs_only(void **state)
{
    (void)state;
    enum { N = 3 };
    struct sharing sharing = {0};
    struct sharer sharers[N];
    pthread_t threads[N];
    assert_int_equal(pool_create(&sharing.pool, 2), OK);
    for (int i = 0; i < N; i++) {
        sharers[i] = (struct sharer){&sharing, i};
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_run, &sharers[i]), 0);
    }
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(sharing.wrong, 0);
    pool_free(sharing.pool);
}

static void quota_is_the_smallest_on_the_way_up(void **state)
{
    (void)state;
    static const struct {
        const char *membership;
        int cpus;
    } cases[] = {
        {"0::/\n", 6},                          /* the mount's root is the container's own group */
        {"0::/a\n", 6},                         /* "max" here, bound above                       */
        {"0::/a/b\n", 2},                       /* 250000 / 100000, rounded down                 */
        {"0::/a/b/not/mounted\n", 2},           /* the nearest group that exists                 */
        {"0::/small\n", 1},                     /* a tenth of a CPU is one thread                */
        {"4:cpu,cpuacct:/job\n0::/\n", 3},      /* version 1 beside version 2                    */
        {"4:cpuacct,cpu:/free\n", 0},           /* -1: no quota                                  */
        {"4:cpuset:/job\n3:cpuacct:/job\n", 0}, /* other controllers                             */
        {"garbage\n\n:\n::\n0:/a/b\n", 6},      /* "::" is the root of version 2                 */
        {"", 0},
    };
    char dir[] = P_tmpdir "/gptjt-test-XXXXXX", path[512], mount[512];
    assert_non_null(mkdtemp(dir));
    write_text(dir, "mount/cpu.max", "600000 100000\n");
    write_text(dir, "mount/a/cpu.max", "max 100000\n");
    write_text(dir, "mount/a/b/cpu.max", "250000 100000\n");
    write_text(dir, "mount/small/cpu.max", "10000 100000\n");
    write_text(dir, "mount/cpu/job/cpu.cfs_quota_us", "300000\n");
    write_text(dir, "mount/cpu/job/cpu.cfs_period_us", "100000\n");
    write_text(dir, "mount/cpu/free/cpu.cfs_quota_us", "-1\n");
    write_text(dir, "mount/cpu/free/cpu.cfs_period_us", "100000\n");
    assert_int_equal(file_join(path, sizeof path, dir, "membership"), OK);
    assert_int_equal(file_join(mount, sizeof mount, dir, "mount"), OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        write_text(dir, "membership", cases[i].membership);
        assert_int_equal(pool_cgroup_cpus(path, mount), cases[i].cpus);
    }
    assert_int_equal(pool_cgroup_cpus("does/not/exist", mount), 0);
    assert_int_equal(remove_tree(dir), 0);
}

static void default_is_within_the_affinity_mask(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_in_range(pool_default_threads(), 1, CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(pool_default_threads(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_exactly_once),
        cmocka_unit_test(results_are_visible_after_many_short_runs),
        cmocka_unit_test(no_thread_takes_a_task_that_is_not_there),
        cmocka_unit_test(as_many_tasks_as_threads_run_at_once),
        cmocka_unit_test(pools_run_beside_each_other),
        cmocka_unit_test(who_holds_a_pool_shares_memory_with_its_own_runs_only),
        cmocka_unit_test(quota_is_the_smallest_on_the_way_up),
        cmocka_unit_test(default_is_within_the_affinity_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
