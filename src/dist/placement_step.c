// SPDX-License-Identifier: Apache-2.0
#include "dist/placement_step.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dist/pipeline.h"
#include "dist/schedule_time.h"
#include "train/batch.h"
#include "train/trainee.h"

enum { MESSAGE_BYTES = 2 }; /* of a value: fp16 */

/* Floating-point operations of a micro-batch. */
struct stage_work {
    double forward, inputs, weights;
};

struct placement_step_model {
    struct step_task task;
    const struct cluster *c;
    int stages, replicas;
    struct schedule schedule;
    struct schedule_timeline timeline;
    double message_bytes;
    struct stage_work *work;                   /* [stages] */
    struct step_memory *memory;                /* [stages] */
    struct schedule_stage_time *stage_times;   /* [stages] of a replica */
    struct schedule_boundary_time *boundaries; /* [stages], the last one unused */
    double *ends;                              /* [stages]: when the last replica has done its list */
};

uint64_t step_memory_bytes(const struct step_memory *m)
{
    return m->weights + m->gradients + m->moments + m->activations + m->messages;
}

/* ---- Model ---- */

enum status step_task_check(const struct step_task *task, int stages, int replicas)
{
    const int64_t a_round = (int64_t)replicas * task->micro_batch_size;
    if (stages > task->config.L)
        return fail(E_ARG, "%d stages are more than the model's %d layers", stages, task->config.L);
    if (task->batch_size % a_round)
        return fail(E_ARG,
                    "a batch of %" PRId64 " sequences cannot be divided among %d replicas in micro-batches of %d",
                    task->batch_size, replicas, task->micro_batch_size);
    if (task->batch_size / a_round > SCHEDULE_MAX_MICRO_BATCHES)
        return fail(E_ARG, "%" PRId64 " micro-batches are more than %d", task->batch_size / a_round,
                    SCHEDULE_MAX_MICRO_BATCHES);
    return OK;
}

/* As every run cuts a model: grid.c. */
static int first_layer(const struct placement_step_model *m, int stage)
{
    return (int)((int64_t)m->task.config.L * stage / m->stages);
}

static struct stage_work work_of(const struct placement_step_model *m, int stage)
{
    struct gptj_config layers = m->task.config;
    layers.L = first_layer(m, stage + 1) - first_layer(m, stage);
    const double sequences = m->task.micro_batch_size, length = m->task.seq_len, rows = sequences * length;
    const double pairs = sequences * length * (length + 1) / 2;
    const double products = train_flops(&layers, rows, 0, stage + 1 < m->stages ? 0 : rows);
    const double attention = train_flops(&layers, 0, pairs, 0);
    const double again = m->task.recompute ? train_flops(&layers, rows, pairs, 0) : 0;
    return (struct stage_work){products + attention, products + 2 * attention + again, products};
}

static struct step_memory memory_of(const struct placement_step_model *m, int stage, enum schedule_kind kind)
{
    const struct step_task *task = &m->task;
    const struct schedule_memory held = schedule_memory(&m->schedule.lists[stage]);
    const struct trainee_options o = {.threads = 1,
                                      .precision = PRECISION_BF16,
                                      .sequences = task->micro_batch_size,
                                      .seq_len = task->seq_len,
                                      .recompute = task->recompute,
                                      .first = first_layer(m, stage),
                                      .last = first_layer(m, stage + 1),
                                      .slots = held.activations,
                                      .late = held.waiting};
    const struct trainee_memory t = trainee_memory(&task->config, NULL, &o);
    const struct pipeline_options messages = {.stage = stage,
                                              .n_stages = m->stages,
                                              .schedule = kind,
                                              .n_micro_batches = m->schedule.n_micro_batches,
                                              .sequences = task->micro_batch_size,
                                              .seq_len = task->seq_len,
                                              .width = task->config.D,
                                              .activations = TRAIN_WIRE_FP16,
                                              .gradients = TRAIN_WIRE_FP16};
    return (struct step_memory){t.weight_bytes, t.gradient_bytes, 2 * sizeof(float) * t.values, t.activation_bytes,
                                pipeline_bytes(&messages)};
}

static enum status fill_model(struct placement_step_model *m, enum schedule_kind kind)
{
    const size_t n = (size_t)m->stages;
    const struct step_task *task = &m->task;
    const int n_micro_batches = (int)(task->batch_size / m->replicas / task->micro_batch_size);
    TRY(schedule_create(&m->schedule, kind, m->stages, n_micro_batches));
    TRY(schedule_timeline_create(&m->timeline, &m->schedule));
    m->work = calloc(n, sizeof *m->work);
    m->memory = calloc(n, sizeof *m->memory);
    m->stage_times = calloc(n, sizeof *m->stage_times);
    m->boundaries = calloc(n, sizeof *m->boundaries);
    m->ends = calloc(n, sizeof *m->ends);
    if (!m->work || !m->memory || !m->stage_times || !m->boundaries || !m->ends)
        return fail(E_NOMEM, "out of memory for the simulation of %d stages", m->stages);
    m->message_bytes = (double)MESSAGE_BYTES * task->micro_batch_size * task->seq_len * task->config.D;
    for (int s = 0; s < m->stages; s++) {
        m->work[s] = work_of(m, s);
        m->memory[s] = memory_of(m, s, kind);
    }
    return OK;
}

enum status placement_step_model_create(struct placement_step_model **out, const struct step_task *task, int stages,
                                        int replicas, enum schedule_kind kind, const struct cluster *c)
{
    TRY(step_task_check(task, stages, replicas));
    struct placement_step_model *m = calloc(1, sizeof *m);
    if (!m) return fail(E_NOMEM, "out of memory for the simulation of %d stages", stages);
    m->task = *task;
    m->c = c;
    m->stages = stages;
    m->replicas = replicas;
    const enum status s = fill_model(m, kind);
    if (s != OK) {
        placement_step_model_free(m);
        return s;
    }
    *out = m;
    return OK;
}

void placement_step_model_free(struct placement_step_model *m)
{
    if (!m) return;
    schedule_timeline_free(&m->timeline);
    schedule_free(&m->schedule);
    free(m->work);
    free(m->memory);
    free(m->stage_times);
    free(m->boundaries);
    free(m->ends);
    free(m);
}

const struct step_memory *placement_step_model_memory(const struct placement_step_model *m)
{
    return m->memory;
}

/* ---- Simulation ---- */

static struct shaped_link link_of(const struct cluster *c, int from, int to)
{
    struct shaped_link l = cluster_link(c, from, to);
    if (c->hosts[from] == c->hosts[to]) return l;
    l.bytes_per_s = fmin(l.bytes_per_s, c->machines[c->hosts[from]].nic_bytes_per_s);
    l.bytes_per_s = fmin(l.bytes_per_s, c->machines[c->hosts[to]].nic_bytes_per_s);
    return l;
}

static struct schedule_message_time message_of(const struct placement_step_model *m, int from, int to)
{
    const struct shaped_link l = link_of(m->c, from, to);
    return (struct schedule_message_time){l.latency_s, m->message_bytes / l.bytes_per_s};
}

static const struct cluster_machine *machine_of(const struct placement_step_model *m, int device)
{
    return &m->c->machines[m->c->hosts[device]];
}

static void simulate_replica(struct placement_step_model *m, const struct placement *p, int replica)
{
    for (int s = 0; s < m->stages; s++) {
        const int device = placement_device(p, s, replica);
        const double speed = machine_of(m, device)->flops_per_s;
        const struct stage_work *w = &m->work[s];
        m->stage_times[s] = (struct schedule_stage_time){w->forward / speed, w->inputs / speed, w->weights / speed};
        if (s + 1 == m->stages) break;
        const int next = placement_device(p, s + 1, replica);
        m->boundaries[s] = (struct schedule_boundary_time){message_of(m, device, next), message_of(m, next, device)};
    }
    const struct schedule_times times = {.stages = m->stage_times, .boundaries = m->boundaries};
    schedule_simulate(&m->timeline, &m->schedule, &times);
}

/* One step of a stage's ring from a replica to another. */
static double ring_step_s(const struct placement_step_model *m, const struct placement *p, int stage, int from, int to)
{
    const struct shaped_link l = link_of(m->c, placement_device(p, stage, from), placement_device(p, stage, to));
    return l.latency_s + (double)m->memory[stage].gradients / p->replicas / l.bytes_per_s;
}

static double ring_s(const struct placement_step_model *m, const struct placement *p, int stage)
{
    const int n = p->replicas;
    double slowest_s = 0;
    for (int r = 0; n > 1 && r < n; r++)
        slowest_s = fmax(slowest_s, ring_step_s(m, p, stage, r, (r + 1) % n));
    return 2 * (n - 1) * slowest_s;
}

static int find_short_rank(const struct placement_step_model *m, const struct placement *p)
{
    for (int rank = 0; rank < placement_ranks(p); rank++)
        if ((double)step_memory_bytes(&m->memory[rank % m->stages]) > machine_of(m, p->devices[rank])->memory_bytes)
            return rank;
    return -1;
}

struct placement_step placement_step(struct placement_step_model *m, const struct placement *p)
{
    struct placement_step step = {.short_rank = find_short_rank(m, p)};
    double busy_s = 0;
    memset(m->ends, 0, (size_t)m->stages * sizeof *m->ends);
    for (int r = 0; r < m->replicas; r++) {
        simulate_replica(m, p, r);
        step.pipeline_s = fmax(step.pipeline_s, m->timeline.makespan_s);
        for (int s = 0; s < m->stages; s++) {
            const struct schedule_stage_run *run = &m->timeline.stages[s];
            busy_s += run->busy_s;
            m->ends[s] = fmax(m->ends[s], run->spans[m->schedule.lists[s].n - 1].end_s);
        }
    }
    step.step_s = step.pipeline_s;
    for (int s = 0; s < m->stages; s++)
        step.step_s = fmax(step.step_s, m->ends[s] + ring_s(m, p, s));
    step.sync_s = step.step_s - step.pipeline_s;
    step.bubble = 1 - busy_s / (placement_ranks(p) * step.pipeline_s);
    return step;
}

/* ---- Order of replicas ---- */

/* A ring through all replicas, whose edges are what the slowest stage takes for them. */
struct tour {
    int n;
    double *edges; /* [n][n], symmetric */
    int *order;    /* [n] */
};

static double edge(const struct tour *t, int a, int b)
{
    return t->edges[(size_t)t->order[a] * (size_t)t->n + (size_t)t->order[b % t->n]];
}

static void fill_edges(struct tour *t, const struct placement_step_model *m, const struct placement *p)
{
    for (int a = 0; a < t->n; a++) {
        t->order[a] = a;
        for (int b = 0; b < t->n; b++) {
            double slowest_s = 0;
            for (int s = 0; s < p->stages; s++)
                slowest_s = fmax(slowest_s, fmax(ring_step_s(m, p, s, a, b), ring_step_s(m, p, s, b, a)));
            t->edges[(size_t)a * (size_t)t->n + (size_t)b] = slowest_s;
        }
    }
}

/* Replaces the edges behind i and j by i to j and i + 1 to j + 1, by turning what lies between them round, if the
 * slower one of the two becomes faster, or stays and the other does. All edges, the slowest first, then come earlier in
 * the order of words each time: it ends. */
static bool exchange(struct tour *t, int i, int j)
{
    const double old[2] = {edge(t, i, i + 1), edge(t, j, j + 1)}, new[2] = {edge(t, i, j), edge(t, i + 1, j + 1)};
    const double old_max = fmax(old[0], old[1]), new_max = fmax(new[0], new[1]);
    if (new_max > old_max || (new_max >= old_max && fmin(new[0], new[1]) >= fmin(old[0], old[1]))) return false;
    for (int a = i + 1, b = j; a < b; a++, b--) {
        const int kept = t->order[a];
        t->order[a] = t->order[b];
        t->order[b] = kept;
    }
    return true;
}

static void improve(struct tour *t)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i + 2 < t->n; i++)
            for (int j = i + 2; j < t->n; j++)
                changed |= exchange(t, i, j);
    }
}

enum status placement_step_order(const struct placement_step_model *m, struct placement *p)
{
    const size_t n = (size_t)p->replicas;
    struct placement old;
    TRY(placement_copy(&old, p));
    struct tour t = {.n = p->replicas, .edges = calloc(n * n, sizeof *t.edges), .order = calloc(n, sizeof *t.order)};
    const bool ok = t.edges && t.order;
    if (ok) {
        fill_edges(&t, m, p);
        improve(&t);
        for (int r = 0; r < p->replicas; r++)
            memcpy(p->devices + (size_t)r * (size_t)p->stages, old.devices + (size_t)t.order[r] * (size_t)p->stages,
                   (size_t)p->stages * sizeof *p->devices);
    }
    free(t.edges);
    free(t.order);
    placement_free(&old);
    return ok ? OK : fail(E_NOMEM, "out of memory for a ring of %zu replicas", n);
}
