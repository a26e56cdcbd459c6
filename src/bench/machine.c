// SPDX-License-Identifier: Apache-2.0
#include "bench/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/memory.h"

/* Work is handed out in small tasks, so that a thread which is held up does not hold up the burst. */
enum {
    TASK_BYTES = 4 << 20,
    TASK_NS = 200000,
    TASKS_A_THREAD = 24,
    BURSTS = 5,
    TRIES = 4, /* of every way, at opening */
    CACHES = 16,
};

static const size_t least_buffer = (size_t)256 << 20, most_buffer = (size_t)2 << 30;

_Static_assert(TASK_BYTES % PROBE_READ_UNIT == 0, "a task is read as a whole");

/* What probes return goes somewhere, or they would not have to be computed. */
struct burst {
    const struct machine *m;
    const struct probe_read *read;
    const struct probe_peak *peak;
    int64_t rounds;
    atomic_uint_fast64_t sink;
};

static void read_task(void *user, int task, int thread)
{
    (void)thread;
    struct burst *b = user;
    atomic_fetch_add(&b->sink, b->read->run(b->m->buffer + (size_t)task * TASK_BYTES, TASK_BYTES));
}

static void peak_task(void *user, int task, int thread)
{
    (void)task;
    (void)thread;
    struct burst *b = user;
    atomic_fetch_add(&b->sink, b->peak->run(b->rounds) != 0);
}

static double read_burst(const struct machine *m, const struct probe_read *way)
{
    struct burst b = {.m = m, .read = way};
    const int64_t start = clock_ns();
    pool_run(m->pool, (int)(m->buffer_bytes / TASK_BYTES), read_task, &b);
    return (double)m->buffer_bytes / clock_seconds(start, clock_ns());
}

static double peak_burst(const struct machine *m, const struct probe_peak *way, int64_t rounds)
{
    struct burst b = {.m = m, .peak = way, .rounds = rounds};
    const int tasks = TASKS_A_THREAD * pool_threads(m->pool);
    const int64_t start = clock_ns();
    pool_run(m->pool, tasks, peak_task, &b);
    return tasks * (double)rounds * way->ops / clock_seconds(start, clock_ns());
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of_bursts(double rates[BURSTS])
{
    qsort(rates, BURSTS, sizeof *rates, by_size);
    return rates[BURSTS / 2];
}

double machine_read_rate(const struct machine *m)
{
    double rates[BURSTS];
    if (m->device) return ops_cuda_copy_rate(m->device);
    for (int i = 0; i < BURSTS; i++)
        rates[i] = read_burst(m, &m->read);
    return median_of_bursts(rates);
}

double machine_peak_rate(const struct machine *m, enum probe_unit unit)
{
    double rates[BURSTS];
    if (m->device && unit <= PROBE_BF16)
        return ops_cuda_peak_rate(m->device, unit == PROBE_BF16 ? COMPUTE_BF16 : COMPUTE_FP32);
    if (!m->peak[unit].run) return 0;
    for (int i = 0; i < BURSTS; i++)
        rates[i] = peak_burst(m, &m->peak[unit], m->rounds[unit]);
    return median_of_bursts(rates);
}

/* ---- Choosing the way ---- */

/* A way that was far behind twice is not tried again; once may be the machine's fault. */
static bool hopeless(int try, double seen, double best)
{
    return try >= 2 && seen < 0.7 * best;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void choose_read(struct machine *m, const struct probes *p)
{
    double best = 0, seen[PROBE_WAYS] = {0};
    for (int try = 0; try < TRIES; try++) {
        for (int i = 0; i < p->n_read; i++) {
            if (hopeless(try, seen[i], best)) continue;
            const double rate = read_burst(m, &p->read[i]);
            seen[i] = larger(seen[i], rate);
            if (rate <= best) continue;
            best = rate;
            m->read = p->read[i];
        }
    }
    m->read_rate = machine_read_rate(m);
}

static int64_t run_ns(const struct probe_peak *way, int64_t rounds)
{
    const int64_t start = clock_ns();
    const volatile float keep = way->run(rounds);
    (void)keep;
    return clock_ns() - start;
}

/* How many rounds take TASK_NS, every time: a thread that was interrupted once took long over few. */
static int64_t calibrate(const struct probe_peak *way)
{
    int64_t rounds = 1 << 6;
    for (int long_enough = 0; long_enough < TRIES;) {
        if (run_ns(way, rounds) >= TASK_NS) {
            long_enough++;
        } else {
            long_enough = 0;
            rounds *= 2;
        }
    }
    return rounds;
}

static void choose_peak(struct machine *m, const struct probes *p, enum probe_unit unit)
{
    int64_t rounds[PROBE_WAYS];
    double best = 0, seen[PROBE_WAYS] = {0};
    for (int i = 0; i < p->n_peak[unit]; i++)
        rounds[i] = calibrate(&p->peak[unit][i]);
    for (int try = 0; try < TRIES; try++) {
        for (int i = 0; i < p->n_peak[unit]; i++) {
            if (hopeless(try, seen[i], best)) continue;
            const double rate = peak_burst(m, &p->peak[unit][i], rounds[i]);
            seen[i] = larger(seen[i], rate);
            if (rate <= best) continue;
            best = rate;
            m->peak[unit] = p->peak[unit][i];
            m->rounds[unit] = rounds[i];
        }
    }
    m->peak_rate[unit] = machine_peak_rate(m, unit);
}

/* ---- Opening ---- */

static void touch_task(void *user, int task, int thread)
{
    (void)thread;
    const struct machine *m = user;
    memset(m->buffer + (size_t)task * TASK_BYTES, task + 1, TASK_BYTES);
}

static enum status take_buffer(struct machine *m)
{
    size_t bytes = CACHES * (size_t)m->cache_bytes;
    bytes = bytes < least_buffer ? least_buffer : bytes > most_buffer ? most_buffer : bytes;
    bytes = bytes / TASK_BYTES * TASK_BYTES;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return fail(E_NOMEM, "%zu bytes to measure reading with: %s", bytes, strerror(errno));
    m->buffer = p;
    m->buffer_bytes = bytes;
    madvise(p, bytes, MADV_HUGEPAGE); /* where there are none, reading is slower and that is what there is */
    pool_run(m->pool, (int)(bytes / TASK_BYTES), touch_task, m);
    return OK;
}

enum status machine_open(struct machine *m, int threads, enum cpu_level level)
{
    struct probes best, peaks;
    m->cache_bytes = memory_last_cache();
    TRY(pool_create(&m->pool, threads));
    TRY(take_buffer(m));
    probes_init(&best, kernels_best_level());
    probes_init(&peaks, level);
    for (enum probe_unit u = 0; u < PROBE_UNITS; u++)
        choose_peak(m, &peaks, u);
    choose_read(m, &best);
    return OK;
}

enum status machine_open_cuda(struct machine *m, int threads)
{
    static const char *const ways[] = {
        [PROBE_F32] = "product of fp32 matrices", [PROBE_BF16] = "product of bf16 matrices"};
    TRY(pool_create(&m->pool, threads));
    TRY(ops_cuda_create(&m->device, COMPUTE_FP32, threads));
    m->cache_bytes = ops_cuda_cache_bytes(m->device);
    m->read.name = "copy on the device, bytes read and written";
    m->read_rate = machine_read_rate(m);
    for (enum probe_unit u = PROBE_F32; u <= PROBE_BF16; u++) {
        m->peak[u].name = ways[u];
        m->peak_rate[u] = machine_peak_rate(m, u);
    }
    return OK;
}

void machine_close(struct machine *m)
{
    if (m->device) m->device->fn->close(m->device);
    if (m->buffer) munmap(m->buffer, m->buffer_bytes);
    pool_free(m->pool);
    *m = (struct machine){0};
}
