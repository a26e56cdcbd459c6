// SPDX-License-Identifier: Apache-2.0
#include "dist/placement.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dist/matching.h"
#include "dist/route.h"

const struct placement_task placement_task_dtfm = {
    .stages = 8,
    .replicas = 8,
    .gradient_bytes = 1.3e9 * 4 * 3 / 24,
    .activation_bytes = 2024.0 * 2048 * 2 * (1.25e5 / 2048) / (1 << 30) * 1e9,
};

struct placement_task placement_task_of(int stages, int replicas, double n_params, double bytes_per_gradient,
                                        double tokens_per_replica, double width, double bytes_per_activation)
{
    return (struct placement_task){.stages = stages,
                                   .replicas = replicas,
                                   .gradient_bytes = n_params * bytes_per_gradient / stages,
                                   .activation_bytes = tokens_per_replica * width * bytes_per_activation};
}

/* ---- Placements ---- */

enum status placement_check(const struct placement_task *task, int n_devices)
{
    if (task->stages > PLACEMENT_MAX_STAGES)
        return fail(E_ARG, "%d stages are more than %d", task->stages, PLACEMENT_MAX_STAGES);
    if ((int64_t)task->stages * task->replicas > n_devices)
        return fail(E_ARG, "%d stages of %d replicas need %" PRId64 " devices, and there are %d", task->stages,
                    task->replicas, (int64_t)task->stages * task->replicas, n_devices);
    return OK;
}

enum status placement_create(struct placement *out, const struct placement_task *task, int n_devices)
{
    TRY(placement_check(task, n_devices));
    const int ranks = task->stages * task->replicas;
    int *devices = calloc((size_t)ranks, sizeof *devices);
    if (!devices) return fail(E_NOMEM, "out of memory for a placement of %d ranks", ranks);
    for (int i = 0; i < ranks; i++)
        devices[i] = i;
    *out = (struct placement){task->stages, task->replicas, devices};
    return OK;
}

enum status placement_copy(struct placement *out, const struct placement *p)
{
    const size_t bytes = (size_t)placement_ranks(p) * sizeof *p->devices;
    int *devices = malloc(bytes);
    if (!devices) return fail(E_NOMEM, "out of memory for a placement of %d ranks", placement_ranks(p));
    memcpy(devices, p->devices, bytes);
    *out = (struct placement){p->stages, p->replicas, devices};
    return OK;
}

void placement_free(struct placement *p)
{
    free(p->devices);
    *p = (struct placement){0};
}

void placement_invert(int *rank_of, const struct placement *p, int n_devices)
{
    for (int i = 0; i < n_devices; i++)
        rank_of[i] = -1;
    for (int rank = 0; rank < placement_ranks(p); rank++)
        rank_of[p->devices[rank]] = rank;
}

/* ---- What devices cost each other ---- */

struct placement_model {
    int n, stages, replicas;
    double *sync, *hop; /* [n][n] */
    double *steps;      /* [stages][stages]: the best matching of two groups */
    double *edges;      /* [replicas][replicas] */
    double *doubles;
    int *ints, *pairs, *order, *grid; /* scratch of matchings; [replicas]; [stages]; [stages][replicas] */
};

const double *placement_model_sync(const struct placement_model *m)
{
    return m->sync;
}

const double *placement_model_hop(const struct placement_model *m)
{
    return m->hop;
}

int placement_model_devices(const struct placement_model *m)
{
    return m->n;
}

static double transfer_s(const struct cluster *c, int from, int to, double bytes)
{
    const struct shaped_link l = cluster_link(c, from, to);
    return l.latency_s + bytes / l.bytes_per_s;
}

static void fill_pairs(struct placement_model *m, const struct placement_task *task, const struct cluster *c)
{
    const double share = task->gradient_bytes / task->replicas;
    for (int i = 0; i < m->n; i++) {
        for (int j = i + 1; j < m->n; j++) {
            const size_t at = (size_t)i * (size_t)m->n + (size_t)j, mirrored = (size_t)j * (size_t)m->n + (size_t)i;
            m->sync[at] = m->sync[mirrored] = transfer_s(c, i, j, share) + transfer_s(c, j, i, share);
            m->hop[at] = m->hop[mirrored] = (transfer_s(c, i, j, task->activation_bytes) +
                                             transfer_s(c, j, i, task->activation_bytes)) /
                                            2;
        }
    }
}

enum status placement_model_create(struct placement_model **out, const struct placement_task *task,
                                   const struct cluster *c)
{
    TRY(placement_check(task, c->n_devices));
    struct placement_model *m = calloc(1, sizeof *m);
    if (!m) return fail(E_NOMEM, "out of memory for the costs of %d devices", c->n_devices);
    const size_t n = (size_t)c->n_devices, stages = (size_t)task->stages, replicas = (size_t)task->replicas;
    const size_t matching = matching_doubles(task->replicas), route = route_doubles(task->stages);
    m->n = c->n_devices;
    m->stages = task->stages;
    m->replicas = task->replicas;
    m->sync = calloc(n * n, sizeof *m->sync);
    m->hop = calloc(n * n, sizeof *m->hop);
    m->steps = calloc(stages * stages, sizeof *m->steps);
    m->edges = calloc(replicas * replicas, sizeof *m->edges);
    m->doubles = calloc(matching > route ? matching : route, sizeof *m->doubles);
    m->ints = calloc(matching_ints(task->replicas), sizeof *m->ints);
    m->pairs = calloc(replicas, sizeof *m->pairs);
    m->order = calloc(stages, sizeof *m->order);
    m->grid = calloc(stages * replicas, sizeof *m->grid);
    if (!m->sync || !m->hop || !m->steps || !m->edges || !m->doubles || !m->ints || !m->pairs || !m->order ||
        !m->grid) {
        placement_model_free(m);
        return fail(E_NOMEM, "out of memory for the costs of %d devices", c->n_devices);
    }
    fill_pairs(m, task, c);
    *out = m;
    return OK;
}

void placement_model_free(struct placement_model *m)
{
    if (!m) return;
    free(m->sync);
    free(m->hop);
    free(m->steps);
    free(m->edges);
    free(m->doubles);
    free(m->ints);
    free(m->pairs);
    free(m->order);
    free(m->grid);
    free(m);
}

static double hop_between(const struct placement_model *m, int a, int b)
{
    return m->hop[(size_t)a * (size_t)m->n + (size_t)b];
}

/* ---- Costs of placements ---- */

static double sync_of(const struct placement_model *m, const struct placement *p, int stage)
{
    double worst = 0;
    for (int i = 0; i < p->replicas; i++) {
        const double *row = m->sync + (size_t)placement_device(p, stage, i) * (size_t)m->n;
        double sum = 0;
        for (int j = 0; j < p->replicas; j++) /* the diagonal is 0 */
            sum += row[placement_device(p, stage, j)];
        worst = fmax(worst, sum);
    }
    return worst;
}

struct placement_cost placement_cost(const struct placement_model *m, const struct placement *p)
{
    struct placement_cost cost = {0};
    for (int s = 0; s < p->stages; s++)
        cost.sync_s = fmax(cost.sync_s, sync_of(m, p, s));
    for (int s = 0; s + 1 < p->stages; s++) {
        double slowest = 0;
        for (int r = 0; r < p->replicas; r++)
            slowest = fmax(slowest, hop_between(m, placement_device(p, s, r), placement_device(p, s + 1, r)));
        cost.pipeline_s += slowest;
    }
    cost.total_s = cost.sync_s + 2 * cost.pipeline_s;
    return cost;
}

/* Pairs of the groups at from and at to [replicas] into m->pairs; returns the slowest. */
static double match(struct placement_model *m, const int *from, const int *to)
{
    const size_t n = (size_t)m->replicas;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            m->edges[i * n + j] = hop_between(m, from[i], to[j]);
    return matching_bottleneck(m->pairs, m->edges, m->replicas, m->ints, m->doubles);
}

static int compare_pipelines(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b; /* by their first devices */
}

/* Among placements of the same cost, the one whose first ranks are on the first devices: the direction of all
 * pipelines, and which replica is the first, are free. */
static void number_from_first(struct placement *p)
{
    int first = p->devices[0], last = p->devices[p->stages - 1];
    for (int r = 1; r < p->replicas; r++) {
        if (placement_device(p, 0, r) < first) first = placement_device(p, 0, r);
        if (placement_device(p, p->stages - 1, r) < last) last = placement_device(p, p->stages - 1, r);
    }
    for (int r = 0; last < first && r < p->replicas; r++) {
        int *pipeline = p->devices + (size_t)r * (size_t)p->stages;
        for (int a = 0, b = p->stages - 1; a < b; a++, b--) {
            const int kept = pipeline[a];
            pipeline[a] = pipeline[b];
            pipeline[b] = kept;
        }
    }
    qsort(p->devices, (size_t)p->replicas, (size_t)p->stages * sizeof *p->devices, compare_pipelines);
}

struct placement_cost placement_arrange(struct placement_model *m, struct placement *p)
{
    const size_t n = (size_t)p->stages, replicas = (size_t)p->replicas;
    for (int s = 0; s < p->stages; s++)
        for (int r = 0; r < p->replicas; r++)
            m->grid[(size_t)s * replicas + (size_t)r] = placement_device(p, s, r);
    for (size_t a = 0; a < n; a++)
        for (size_t b = a + 1; b < n; b++)
            m->steps[a * n + b] = m->steps[b * n + a] = match(m, m->grid + a * replicas, m->grid + b * replicas);
    route_shortest(m->order, m->steps, p->stages, m->doubles);
    int *last = m->grid + (size_t)m->order[0] * replicas; /* in the order of replicas */
    for (int s = 0; s < p->stages; s++) {
        int *group = m->grid + (size_t)m->order[s] * replicas;
        if (s) match(m, last, group);
        for (int r = 0; r < p->replicas; r++)
            p->devices[r * p->stages + s] = group[s ? m->pairs[r] : r];
        for (int r = 0; r < p->replicas; r++)
            group[r] = placement_device(p, s, r);
        last = group;
    }
    number_from_first(p);
    return placement_cost(m, p);
}
