// SPDX-License-Identifier: Apache-2.0
/* DT-FM's end-to-end comparison (Yuan et al. 2022, arXiv:2206.01288) in simulated time: what their system, their system
 * without its scheduler, and Megatron took for an iteration on five networks of 64 V100, as they report it, and what
 * our simulation says of each, and of ours.
 *
 *     build/bench/dtfm            (in the source root; about a minute)
 *
 * The task is their largest: 40 layers, 2048 wide, 4096 sequences of 2048 tokens in micro-batches of one, fp16, blocks
 * recomputed, in 8 stages of 8 replicas. How each system works, from their scripts and notes:
 *
 *   DT-FM      GPipe on 64 micro-batches, eight times, then gradients over the replicas, each owning a share of them
 *   Megatron   1F1B on all 512, P8 T1 D8 (what was fastest of theirs on networks 2 to 5; on network 1 P4 T2, which we
 * do not model, so P8 stands there), then a ring over fp16 gradients; a rank waits for what it sends. Reported twice:
 * with placements at random, which is what 4.8x is about, and in the order of machines, with the replicas of a stage
 * next to each other ours       the best schedule on all 512, a ring over fp32 gradients; and with CocktailSGD
 *
 * One number is fitted: how long a device takes for a micro-batch, from what eight times 64 more of them took DT-FM on
 * network 1, where a pipeline is inside of one machine: (53.80 - 16.70) s / 6 / (64 + 7). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/status.h"
#include "dist/placement_search.h"
#include "dist/placement_step.h"

enum { STAGES = 8, REPLICAS = 8, RANKS = STAGES * REPLICAS, NETWORKS = 5, SEEDS = 3, ACCUMULATED = 8 };

static const double micro_batch_s = (53.80 - 16.70) / 6 / (64 + 7);

/* Seconds an iteration; NAN: not reported. */
static const struct {
    const char *path;
    double dtfm, unscheduled, megatron, megatron_in_order;
} networks[NETWORKS] = {
    {"recipes/clusters/dtfm-1-datacenter.yaml", 53.80, 88.74, NAN, 111.58},
    {"recipes/clusters/dtfm-2-spot.yaml", 67.23, 77.20, 96.16, NAN},
    {"recipes/clusters/dtfm-3-universities.yaml", 78.23, 102.34, 121.98, 97.93},
    {"recipes/clusters/dtfm-4-regions.yaml", 95.46, 115.90, 216.38, 164.77},
    {"recipes/clusters/dtfm-5-world.yaml", 124.07, 331.25, 595.64, 337.69},
};

/* Embedding and loss of their task are next to nothing. */
static const struct gptj_config model = {
    .V = 64, .P = 2048, .D = 2048, .L = 40, .H = 16, .K = 128, .R = 64, .F = 8192, .eps = 1e-5, .bos = -1, .eos = -1};

struct network {
    struct cluster cluster;
    struct placement best, in_order, at_random[SEEDS];
};

static struct recipe recipe_of(enum train_sync sync, int64_t batch)
{
    struct recipe r = recipe_defaults;
    r.steps = 1;
    r.batch_size = batch;
    r.sync = (int)sync;
    r.sync_steps = 1;
    r.wire_activations = r.wire_gradients = TRAIN_WIRE_FP16;
    return r;
}

/* ---- Placements ---- */

static enum status find_best(struct network *n)
{
    struct placement_search search = placement_search_defaults;
    const struct recipe r = recipe_of(SYNC_SHARDED, 4096);
    const struct step_task task = {.config = &model, .recipe = &r};
    struct placement_model *m;
    struct placement_step_model *steps;
    struct placement_found found;
    search.restarts = 4;
    TRY(placement_model_create(&m, &placement_task_dtfm, &n->cluster));
    const enum status s = placement_search(&n->best, m, &search, &found);
    placement_model_free(m);
    TRY(s);
    TRY(placement_step_model_create(&steps, &task, STAGES, REPLICAS, SCHEDULE_1F1B, &n->cluster));
    const enum status ordered = placement_step_order(steps, &n->best);
    placement_step_model_free(steps);
    return ordered;
}

static void shuffle(struct placement *p, uint64_t seed)
{
    for (int i = RANKS - 1; i > 0; i--) {
        const int k = (int)(rng_u64(seed, 0, (uint64_t)i) % (uint64_t)(i + 1)), kept = p->devices[i];
        p->devices[i] = p->devices[k];
        p->devices[k] = kept;
    }
}

/* What a micro-batch of a stage takes, forward and backward with its recomputation: four times the forward pass. */
static double stage_flops(void)
{
    const double rows = 2048, D = 2048, pairs = rows * (rows + 1) / 2;
    const double products = 5 * 2 * rows * 12 * D * D, attention = 5 * 4 * pairs * D;
    return 4 * (products + attention);
}

static enum status open_network(struct network *n, const char *path)
{
    *n = (struct network){0};
    TRY(cluster_read(&n->cluster, path));
    for (int i = 0; i < n->cluster.n_machines; i++)
        n->cluster.machines[i].flops_per_s = stage_flops() / micro_batch_s;
    TRY(placement_create(&n->best, &placement_task_dtfm, RANKS));
    TRY(placement_create(&n->in_order, &placement_task_dtfm, RANKS));
    for (int r = 0; r < REPLICAS; r++)
        for (int s = 0; s < STAGES; s++)
            n->in_order.devices[r * STAGES + s] = s * REPLICAS + r;
    for (int k = 0; k < SEEDS; k++) {
        TRY(placement_create(&n->at_random[k], &placement_task_dtfm, RANKS));
        shuffle(&n->at_random[k], (uint64_t)k + 1);
    }
    return find_best(n);
}

static void close_network(struct network *n)
{
    placement_free(&n->best);
    placement_free(&n->in_order);
    for (int k = 0; k < SEEDS; k++)
        placement_free(&n->at_random[k]);
    cluster_free(&n->cluster);
}

/* ---- Systems ---- */

static enum status simulate(struct placement_step *out, const struct network *n, const struct placement *p,
                            const struct recipe *r, enum schedule_kind kind, bool blocking)
{
    struct placement_step_model *m;
    const struct step_task task = {&model, r, blocking};
    TRY(placement_step_model_create(&m, &task, STAGES, REPLICAS, kind, &n->cluster));
    const enum status s = placement_step_simulate(out, m, p);
    placement_step_model_free(m);
    return s;
}

/* blocking: as if no message of theirs travelled while something is computed. */
static enum status dtfm(double *seconds, const struct network *n, const struct placement *p, bool blocking)
{
    struct recipe r = recipe_of(SYNC_DILOCO, 4096 / ACCUMULATED); /* whose exchange is like theirs */
    struct placement_step s;
    r.sync_wire = TRAIN_WIRE_FP16;
    TRY(simulate(&s, n, p, &r, SCHEDULE_GPIPE, blocking));
    *seconds = ACCUMULATED * s.pipeline_s + s.sync_s;
    return OK;
}

static enum status megatron(double *seconds, const struct network *n, const struct placement *p)
{
    const struct recipe r = recipe_of(SYNC_SHARDED, 4096);
    struct placement_step s;
    TRY(simulate(&s, n, p, &r, SCHEDULE_1F1B, true));
    *seconds = s.pipeline_s + s.sync_s / 2; /* a ring over half as many bytes */
    return OK;
}

static enum status ours(double *seconds, const struct network *n, enum train_sync sync)
{
    const struct recipe r = recipe_of(sync, 4096);
    *seconds = INFINITY;
    for (int kind = 0; kind < SCHEDULE_KINDS; kind++) {
        struct placement_step s;
        if (kind == SCHEDULE_GPIPE) continue; /* 512 micro-batches at a time need too much memory */
        TRY(simulate(&s, n, &n->best, &r, (enum schedule_kind)kind, false));
        *seconds = fmin(*seconds, s.step_s);
    }
    return OK;
}

/* ---- The table ---- */

static void put(const char *system, double reported, double simulated)
{
    if (isnan(reported))
        printf("  %-46s %8s  %8.1f s\n", system, "", simulated);
    else
        printf("  %-46s %8.1f  %8.1f s  %5.2f\n", system, reported, simulated, simulated / reported);
}

static enum status show(const struct network *n, int i)
{
    double scheduled, serial, dense, cocktail, in_order, at_random = 0, unscheduled = 0;
    TRY(dtfm(&scheduled, n, &n->best, false));
    TRY(dtfm(&serial, n, &n->best, true));
    TRY(megatron(&in_order, n, &n->in_order));
    TRY(ours(&dense, n, SYNC_SHARDED));
    TRY(ours(&cocktail, n, SYNC_COCKTAIL));
    for (int k = 0; k < SEEDS; k++) {
        double a, b;
        TRY(megatron(&a, n, &n->at_random[k]));
        TRY(dtfm(&b, n, &n->at_random[k], false));
        at_random += a / SEEDS;
        unscheduled += b / SEEDS;
    }
    printf("%s\n", n->cluster.name);
    put("Megatron, placed at random", networks[i].megatron, at_random);
    put("Megatron, in the machines' order", networks[i].megatron_in_order, in_order);
    put("DT-FM, placed at random", networks[i].unscheduled, unscheduled);
    put("DT-FM", networks[i].dtfm, scheduled);
    put("DT-FM, if nothing overlaps", networks[i].dtfm, serial);
    put("ours, sharded", NAN, dense);
    put("ours, cocktail", NAN, cocktail);
    printf("  Megatron at random over DT-FM: reported %.2f, simulated %.2f; over ours: %.2f\n",
           networks[i].megatron / networks[i].dtfm, at_random / scheduled, at_random / dense);
    return OK;
}

int main(void)
{
    printf("%-48s %8s  %10s  %5s\n", "seconds an iteration", "reported", "simulated", "ratio");
    for (int i = 0; i < NETWORKS; i++) {
        struct network n;
        enum status s = open_network(&n, networks[i].path);
        if (s == OK) s = show(&n, i);
        close_network(&n);
        if (s != OK) {
            fprintf(stderr, "dtfm: %s\n", status_message());
            return 1;
        }
    }
    return 0;
}
