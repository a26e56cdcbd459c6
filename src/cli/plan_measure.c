// SPDX-License-Identifier: Apache-2.0
/* gptjt plan --measure: every rank trains a little, all at the same time as in a run, then the links between their
 * hosts are measured, and rank 0 writes the cluster file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "bench/train.h"
#include "cli/plan.h"
#include "cli/ranks.h"
#include "dist/cluster_write.h"
#include "engine/engine.h"
#include "model/synth_source.h"
#include "net/collectives.h"

enum { TAG_MEASURE = 32, MOST_BYTES = 1 << 26, SEQ_LEN = 128, REPEATS = 3 };

/* What is trained: a layer of a small model and a head that is little work, some 2.5e9 operations a step. */
static const struct gptj_config sample = {.V = 512, .P = SEQ_LEN, .D = 512, .L = 1, .H = 8, .R = 64};

/* ---- The device ---- */

static enum status train(double *flops_per_s, struct machine *m, const struct bench_train *b)
{
    struct synth s = {.config = sample, .dtype = DTYPE_F32, .seed = 1};
    struct source *src = NULL;
    struct bench_train_row row;
    TRY(synth_complete(&s.config));
    TRY(synth_source_open(&src, &s, SYNTH_SHARED, m->pool));
    const enum status status = bench_train(&row, b, "a sample", &s.config, src);
    source_close(src);
    if (status == OK) *flops_per_s = row.flop_per_s;
    return status;
}

static enum status measure_device(double *flops_per_s, const struct plan_settings *set)
{
    struct machine m = {0};
    struct bench_train b = {.machine = &m,
                            .threads = ranks_default_threads(0),
                            .repeats = REPEATS,
                            .precision = PRECISION_BF16,
                            .sequences = 1,
                            .seq_len = SEQ_LEN};
    TRY(engine_choose_cpu(&b.level, set->common.cpu));
    enum status s = machine_open(&m, b.threads, b.level);
    b.unit = m.peak_rate[PROBE_BF16] > 0 ? PROBE_BF16 : PROBE_F32;
    if (s == OK) s = train(flops_per_s, &m, &b);
    machine_close(&m);
    return s;
}

/* ---- All of them ---- */

static struct measured_machine own_machine(double flops_per_s)
{
    struct measured_machine own = {.devices = 1,
                                   .cores = (int)sysconf(_SC_NPROCESSORS_ONLN),
                                   .flops_per_s = flops_per_s,
                                   .memory_bytes = (double)memory_available()};
    gethostname(own.name, sizeof own.name - 1);
    return own;
}

/* machines [size] of ranks become those of hosts; hosts [size]. Returns how many. A device is as fast as the host's
 * slowest, and has its part of the memory. */
static int gather_hosts(struct measured_machine *machines, int *hosts, int size)
{
    int n = 0;
    for (int rank = 0; rank < size; rank++) {
        const struct measured_machine own = machines[rank];
        int host = 0;
        while (host < n && strcmp(machines[host].name, own.name) != 0)
            host++;
        hosts[rank] = host;
        if (host == n) {
            machines[n++] = own;
            continue;
        }
        struct measured_machine *m = &machines[host];
        m->devices++;
        if (own.flops_per_s < m->flops_per_s) m->flops_per_s = own.flops_per_s;
        if (own.memory_bytes < m->memory_bytes) m->memory_bytes = own.memory_bytes;
    }
    for (int host = 0; host < n; host++)
        machines[host].memory_bytes /= machines[host].devices;
    return n;
}

struct measured {
    struct measured_machine *machines; /* [ranks], of which [n] are hosts */
    int *hosts;                        /* [ranks] */
    struct net_measured_link *links;   /* [ranks][ranks], of which [n][n] */
    double *cards;                     /* [ranks] */
    int n;
};

static enum status allocate(struct measured *m, size_t size)
{
    m->machines = calloc(size, sizeof *m->machines);
    m->hosts = calloc(size, sizeof *m->hosts);
    m->links = calloc(size * size, sizeof *m->links);
    m->cards = calloc(size, sizeof *m->cards);
    if (m->machines && m->hosts && m->links && m->cards) return OK;
    return fail(E_NOMEM, "out of memory to measure %zu ranks", size);
}

static void release(struct measured *m)
{
    free(m->machines);
    free(m->hosts);
    free(m->links);
    free(m->cards);
}

static enum status measure_all(struct measured *m, struct transport *t, const struct plan_settings *set)
{
    struct group g;
    struct measured_machine own;
    double flops_per_s = 0;
    TRY(group_open(&g, t, &(struct group_shape){.stride = 1, .n = t->size, .tag = TAG_MEASURE, .window = 1}));
    enum status s = group_barrier(&g);
    if (s == OK) s = measure_device(&flops_per_s, set);
    own = own_machine(flops_per_s);
    if (s == OK) s = group_exchange(&g, m->machines, &own, sizeof own);
    if (s != OK) net_fail(t, s);
    group_close(&g);
    TRY(s);
    m->n = gather_hosts(m->machines, m->hosts, t->size);
    const struct net_measure how = {m->hosts, m->n, set->measure_s, MOST_BYTES};
    return net_measure(m->links, m->cards, t, &how);
}

/* No launcher: this machine with one device. */
static enum status measure_alone(struct measured *m, const struct plan_settings *set)
{
    double flops_per_s;
    TRY(measure_device(&flops_per_s, set));
    m->machines[0] = own_machine(flops_per_s);
    m->cards[0] = m->links[0].bytes_per_s = INFINITY;
    m->n = 1;
    return OK;
}

static enum status write_file(const struct measured *m, const struct plan_settings *set)
{
    struct buf out = {0};
    cluster_write(&out, m->machines, m->n, m->links, m->cards);
    enum status s = buf_status(&out);
    if (s == OK) s = cli_write_page(&set->common, set->measure, &out);
    buf_free(&out);
    return s;
}

static enum status one_rank(struct transport *t, void *user)
{
    const struct plan_settings *set = user;
    struct measured m = {0};
    enum status s = allocate(&m, t ? (size_t)t->size : 1);
    if (s == OK) s = t ? measure_all(&m, t, set) : measure_alone(&m, set);
    if (s == OK && (!t || t->rank == 0)) s = write_file(&m, set);
    release(&m);
    return s;
}

enum status plan_measure(struct plan_settings *set)
{
    return ranks_run(0, one_rank, set);
}
