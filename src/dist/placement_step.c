// SPDX-License-Identifier: Apache-2.0
#include "dist/placement_step.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dist/pipeline.h"
#include "dist/placement_step_model.h"
#include "train/batch.h"
#include "train/optimizer.h"
#include "train/trainee.h"

uint64_t step_memory_bytes(const struct step_memory *m)
{
    return m->weights + m->gradients + m->moments + m->sync + m->activations + m->messages;
}

/* ---- Model ---- */

enum status step_task_check(const struct step_task *task, int stages, int replicas)
{
    const struct recipe *r = task->recipe;
    const int64_t a_round = replicas * r->micro_batch_size;
    if (stages > task->config->L)
        return fail(E_ARG, "%d stages are more than the model's %d layers", stages, task->config->L);
    if (r->batch_size % a_round)
        return fail(E_ARG,
                    "a batch of %" PRId64 " sequences cannot be divided among %d replicas in micro-batches of %" PRId64,
                    r->batch_size, replicas, r->micro_batch_size);
    if (r->batch_size / a_round > SCHEDULE_MAX_MICRO_BATCHES)
        return fail(E_ARG, "%" PRId64 " micro-batches are more than %d", r->batch_size / a_round,
                    SCHEDULE_MAX_MICRO_BATCHES);
    return OK;
}

static struct stage_work work_of(const struct placement_step_model *m, int stage)
{
    const struct recipe *r = m->task.recipe;
    struct gptj_config layers = *m->task.config;
    int first, last;
    traffic_layers(&layers, stage, m->stages, &first, &last);
    layers.L = last - first;
    const double sequences = (double)r->micro_batch_size, length = (double)r->data.seq_len, rows = sequences * length;
    const double pairs = sequences * length * (length + 1) / 2;
    const double products = train_flops(&layers, rows, 0, stage + 1 < m->stages ? 0 : rows);
    const double attention = train_flops(&layers, 0, pairs, 0);
    const double again = r->recompute ? train_flops(&layers, rows, pairs, 0) : 0;
    return (struct stage_work){products + attention, products + 2 * attention + again, products};
}

static struct pipeline_options messages_of(const struct placement_step_model *m, int stage, enum schedule_kind kind)
{
    struct pipeline_options o = pipeline_options_of(m->task.recipe, stage, m->stages, m->replicas, m->task.config->D);
    o.schedule = kind;
    return o;
}

static struct step_memory memory_of(const struct placement_step_model *m, int stage, enum schedule_kind kind)
{
    const struct recipe *r = m->task.recipe;
    const struct schedule_memory held = schedule_memory(&m->schedule.lists[stage]);
    const struct traffic_layout layout = placement_step_layout(m);
    const struct sync_shape shape = traffic_shape(&layout, stage, 0);
    const struct pipeline_options messages = messages_of(m, stage, kind);
    struct trainee_options o = {.threads = 1,
                                .precision = (enum train_precision)r->precision,
                                .sequences = (int)r->micro_batch_size,
                                .seq_len = (int)r->data.seq_len,
                                .recompute = r->recompute,
                                .slots = held.activations,
                                .late = held.waiting};
    traffic_layers(m->task.config, stage, m->stages, &o.first, &o.last);
    const struct trainee_memory t = trainee_memory(m->task.config, NULL, &o);
    const size_t divided = sync_ops((enum train_sync)r->sync)->updates ? (size_t)m->replicas : 1;
    return (struct step_memory){.weights = t.weight_bytes,
                                .gradients = t.gradient_bytes,
                                .moments = optimizer_bytes(t.values / divided),
                                .sync = sync_shape_memory(&shape),
                                .activations = t.activation_bytes,
                                .messages = pipeline_bytes(&messages)};
}

/* What replicas exchange in each kind of step, and in all. */
static enum status fill_traffic(struct placement_step_model *m)
{
    const struct traffic_layout layout = placement_step_layout(m);
    const int64_t steps = m->task.recipe->steps;
    TRY(traffic_kinds_find(&m->kinds, &layout, steps ? steps : STEP_TASK_STEPS));
    m->traffic = traffic_sum(&layout, &m->kinds);
    m->exchanged = calloc((size_t)m->kinds.n * (size_t)m->stages, sizeof *m->exchanged);
    if (!m->exchanged) return fail(E_NOMEM, "out of memory for the simulation of %d stages", m->stages);
    for (int s = 0; s < m->stages; s++) {
        const struct sync_shape shape = traffic_shape(&layout, s, 0);
        for (int k = 0; k < m->kinds.n; k++)
            m->exchanged[k * m->stages + s] = (double)sync_shape_bytes(&shape, m->kinds.all[k].step);
    }
    return OK;
}

static enum status fill_model(struct placement_step_model *m, enum schedule_kind kind)
{
    const size_t n = (size_t)m->stages;
    const struct recipe *r = m->task.recipe;
    TRY(schedule_create(&m->schedule, kind, m->stages, (int)(r->batch_size / m->replicas / r->micro_batch_size)));
    TRY(schedule_timeline_create(&m->timeline, &m->schedule));
    m->work = calloc(n, sizeof *m->work);
    m->memory = calloc(n, sizeof *m->memory);
    m->stage_times = calloc(n, sizeof *m->stage_times);
    m->boundaries = calloc(n, sizeof *m->boundaries);
    m->ends = calloc(n, sizeof *m->ends);
    if (!m->work || !m->memory || !m->stage_times || !m->boundaries || !m->ends)
        return fail(E_NOMEM, "out of memory for the simulation of %d stages", m->stages);
    const struct pipeline_options messages = messages_of(m, 0, kind);
    m->activation_bytes = (double)pipeline_message_bytes(&messages, messages.activations);
    m->gradient_bytes = (double)pipeline_message_bytes(&messages, messages.gradients);
    for (int s = 0; s < m->stages; s++) {
        m->work[s] = work_of(m, s);
        m->memory[s] = memory_of(m, s, kind);
    }
    return fill_traffic(m);
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
    free(m->exchanged);
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

const struct traffic *placement_step_model_traffic(const struct placement_step_model *m)
{
    return &m->traffic;
}

/* ---- Estimate ---- */

static struct shaped_link link_of(const struct cluster *c, int from, int to)
{
    struct shaped_link l = cluster_link(c, from, to);
    if (c->hosts[from] == c->hosts[to]) return l;
    l.bytes_per_s = fmin(l.bytes_per_s, c->machines[c->hosts[from]].nic_bytes_per_s);
    l.bytes_per_s = fmin(l.bytes_per_s, c->machines[c->hosts[to]].nic_bytes_per_s);
    return l;
}

static struct schedule_message_time message_of(const struct placement_step_model *m, int from, int to, double bytes)
{
    const struct shaped_link l = link_of(m->c, from, to);
    return (struct schedule_message_time){l.latency_s, bytes / l.bytes_per_s};
}

static void simulate_replica(struct placement_step_model *m, const struct placement *p, int replica)
{
    for (int s = 0; s < m->stages; s++) {
        const int device = placement_device(p, s, replica);
        const double speed = placement_step_machine(m, device)->flops_per_s;
        const struct stage_work *w = &m->work[s];
        m->stage_times[s] = (struct schedule_stage_time){w->forward / speed, w->inputs / speed, w->weights / speed};
        if (s + 1 == m->stages) break;
        const int next = placement_device(p, s + 1, replica);
        m->boundaries[s] = (struct schedule_boundary_time){message_of(m, device, next, m->activation_bytes),
                                                           message_of(m, next, device, m->gradient_bytes)};
    }
    const struct schedule_times times = {.stages = m->stage_times, .boundaries = m->boundaries};
    schedule_simulate(&m->timeline, &m->schedule, &times);
}

/* One step of a stage's ring from a replica to another. */
static double ring_step_s(const struct placement_step_model *m, const struct placement *p, int stage, int from, int to,
                          double share, double latencies)
{
    const struct shaped_link l = link_of(m->c, placement_device(p, stage, from), placement_device(p, stage, to));
    return latencies * l.latency_s + share / l.bytes_per_s;
}

static double ring_s(const struct placement_step_model *m, const struct placement *p, int stage, double bytes,
                     double latencies)
{
    const int n = p->replicas;
    double slowest_s = 0;
    for (int r = 0; r < n; r++)
        slowest_s = fmax(slowest_s,
                         ring_step_s(m, p, stage, r, (r + 1) % n, placement_step_share(m, bytes), latencies));
    return 2 * (n - 1) * slowest_s;
}

/* One way, of two: every replica's messages to all others. */
static double direct_s(const struct placement_step_model *m, const struct placement *p, int stage, double bytes)
{
    double slowest_s = 0;
    for (int r = 0; r < p->replicas; r++) {
        const struct cluster_machine *own = placement_step_machine(m, placement_device(p, stage, r));
        slowest_s = fmax(slowest_s, bytes / 2 / own->nic_bytes_per_s);
        for (int other = 0; other < p->replicas; other++)
            if (other != r)
                slowest_s = fmax(slowest_s, ring_step_s(m, p, stage, r, other, placement_step_share(m, bytes), 1));
    }
    return 2 * slowest_s;
}

static double exchange_s(const struct placement_step_model *m, const struct placement *p, int stage, int kind)
{
    const struct recipe *r = m->task.recipe;
    const int64_t step = m->kinds.all[kind].step;
    const double bytes = m->exchanged[kind * m->stages + stage];
    if (bytes <= 0) return 0;
    if (placement_step_is_direct(r, step)) return direct_s(m, p, stage, bytes);
    return ring_s(m, p, stage, bytes, sync_sums(r, step) ? placement_step_rings(m, stage) : 1);
}

/* Until all stages of all replicas are done, where the pipelines take pipeline_s and m->ends are known. */
static double kind_s(const struct placement_step_model *m, const struct placement *p, int kind, double pipeline_s)
{
    const double beside = (double)placement_step_beside(m->task.recipe, m->kinds.all[kind].step);
    double end_s = pipeline_s;
    for (int s = 0; s < m->stages; s++) {
        const double seconds = exchange_s(m, p, s, kind);
        end_s = fmax(end_s, beside > 0 ? pipeline_s + seconds - beside * pipeline_s : m->ends[s] + seconds);
    }
    return end_s;
}

int placement_step_short_rank(const struct placement_step_model *m, const struct placement *p)
{
    for (int rank = 0; rank < placement_ranks(p); rank++)
        if ((double)step_memory_bytes(&m->memory[rank % m->stages]) >
            placement_step_machine(m, p->devices[rank])->memory_bytes)
            return rank;
    return -1;
}

struct placement_step placement_step_estimate(struct placement_step_model *m, const struct placement *p)
{
    struct placement_step step = {.short_rank = placement_step_short_rank(m, p)};
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
    int64_t steps = 0;
    for (int k = 0; k < m->kinds.n; k++) {
        step.step_s += (double)m->kinds.all[k].steps * kind_s(m, p, k, step.pipeline_s);
        steps += m->kinds.all[k].steps;
    }
    step.step_s /= (double)steps;
    step.sync_s = step.step_s - step.pipeline_s;
    step.bubble = 1 - busy_s / (placement_ranks(p) * step.pipeline_s);
    step.busy = busy_s / (placement_ranks(p) * step.step_s);
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
            for (int s = 0; s < p->stages; s++) {
                const double bytes = (double)m->memory[s].gradients / p->replicas;
                slowest_s = fmax(slowest_s,
                                 fmax(ring_step_s(m, p, s, a, b, bytes, 1), ring_step_s(m, p, s, b, a, bytes, 1)));
            }
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
