// SPDX-License-Identifier: Apache-2.0
/* A step as a graph of tasks (simulation.h): every pass of every rank, every message between stages, and what replicas
 * exchange, over links and network cards that all of them share. */
#include <math.h>
#include <stdlib.h>

#include "dist/placement_step_model.h"
#include "dist/simulation.h"

struct graph {
    const struct placement_step_model *m;
    const struct placement *p;
    struct simulation *sim;
    int *first;    /* [ranks]: the task of each rank's first action; the others follow */
    int *received; /* [stages][2][micro-batches]: the action that works on activations, or on gradients, of each */
    int *ready;    /* [ranks]: the task that a part of the gradients is complete with */
    int *came;     /* [ranks]: the last task of an exchange so far, or -1 */
    int *sent;     /* [replicas][replicas]: an exchange's messages; of a ring only the first two rows */
    bool overlaps; /* the last pass of each list is cut into its layers, behind each of which gradients are complete */
};

/* ---- Passes ---- */

static int layers_of(const struct graph *g, int stage)
{
    int first, last;
    traffic_layers(g->m->task.config, stage, g->m->stages, &first, &last);
    return last - first;
}

static int length_of(const struct graph *g, int stage)
{
    return g->m->schedule.lists[stage].n;
}

/* The last action's first part has its number; the others follow. */
static int parts_of(const struct graph *g, int stage)
{
    return g->overlaps ? layers_of(g, stage) : 1;
}

static int begin_of(const struct graph *g, int rank, int action)
{
    return g->first[rank] + action;
}

static int end_of(const struct graph *g, int rank, int action)
{
    const int stage = rank % g->m->stages;
    return g->first[rank] + action + (action + 1 == length_of(g, stage) ? parts_of(g, stage) - 1 : 0);
}

static double pass_s(const struct graph *g, int rank, enum schedule_pass pass)
{
    const struct stage_work *w = &g->m->work[rank % g->m->stages];
    const double work[PASSES] = {[PASS_FORWARD] = w->forward,
                                 [PASS_BACKWARD] = w->inputs + w->weights,
                                 [PASS_INPUTS] = w->inputs,
                                 [PASS_WEIGHTS] = w->weights};
    return work[pass] / placement_step_machine(g->m, g->p->devices[rank])->flops_per_s;
}

static void add_passes(struct graph *g, int rank)
{
    const int stage = rank % g->m->stages;
    const struct schedule_list *list = &g->m->schedule.lists[stage];
    int before = -1;
    for (int i = 0; i < list->n; i++) {
        const int parts = i + 1 == list->n ? parts_of(g, stage) : 1;
        for (int k = 0; k < parts; k++) {
            const int task = simulation_compute(g->sim, rank, pass_s(g, rank, list->actions[i].pass) / parts);
            if (before < 0) g->first[rank] = task;
            simulation_after(g->sim, task, before);
            before = task;
        }
    }
}

static int *received_at(const struct graph *g, int stage, struct schedule_action a)
{
    const int n = g->m->schedule.n_micro_batches;
    return &g->received[(2 * stage + (a.pass != PASS_FORWARD)) * n + a.micro_batch];
}

static void find_receivers(struct graph *g)
{
    for (int stage = 0; stage < g->m->stages; stage++) {
        const struct schedule_list *list = &g->m->schedule.lists[stage];
        for (int i = 0; i < list->n; i++)
            if (list->actions[i].pass != PASS_WEIGHTS) *received_at(g, stage, list->actions[i]) = i;
    }
}

static void add_messages(struct graph *g, int rank)
{
    const struct placement_step_model *m = g->m;
    const int stage = rank % m->stages;
    const struct schedule_list *list = &m->schedule.lists[stage];
    for (int i = 0; i < list->n; i++) {
        const struct schedule_action a = list->actions[i];
        const int to_stage = schedule_sends(a, stage, m->stages);
        if (to_stage < 0) continue;
        const int to = rank - stage + to_stage;
        const double bytes = a.pass == PASS_FORWARD ? m->activation_bytes : m->gradient_bytes;
        const int message = simulation_message(g->sim, rank, to, bytes, 1);
        simulation_after(g->sim, message, end_of(g, rank, i));
        if (m->task.blocking && i + 1 < list->n) simulation_after(g->sim, begin_of(g, rank, i + 1), message);
        simulation_after(g->sim, begin_of(g, to, *received_at(g, to_stage, a)), message);
    }
}

/* ---- Exchanges ---- */

static int rank_of(const struct graph *g, int stage, int replica)
{
    return replica * g->m->stages + stage;
}

/* One round of a stage's ring behind ready and came: 2 (D - 1) messages of each replica, each of which passes on what
 * came in the one before. */
static void add_ring(struct graph *g, int stage, double bytes, double latencies)
{
    const int n = g->m->replicas;
    int *before = g->sent, *now = g->sent + n; /* what has come to each */
    for (int r = 0; r < n; r++)
        before[r] = g->came[rank_of(g, stage, r)];
    for (int step = 0; step < 2 * (n - 1); step++) {
        for (int r = 0; r < n; r++) {
            const int from = rank_of(g, stage, r), to = rank_of(g, stage, (r + 1) % n);
            const int message = simulation_message(g->sim, from, to, placement_step_share(g->m, bytes), latencies);
            simulation_after(g->sim, message, g->ready[from]);
            simulation_after(g->sim, message, before[r]);
            now[(r + 1) % n] = message;
        }
        int *kept = before;
        before = now;
        now = kept;
    }
    for (int r = 0; r < n; r++)
        g->came[rank_of(g, stage, r)] = before[r];
}

/* Contributions to the owners of all chunks, and their results back. */
static void add_direct(struct graph *g, int stage, double bytes)
{
    const int n = g->m->replicas;
    for (int phase = 0; phase < 2; phase++) {
        for (int r = 0; r < n; r++)
            for (int other = 0; other < n; other++) {
                const int from = rank_of(g, stage, r);
                if (other == r) continue;
                const int message = simulation_message(g->sim, from, rank_of(g, stage, other),
                                                       placement_step_share(g->m, bytes), 1);
                simulation_after(g->sim, message, g->ready[from]);
                g->sent[r * n + other] = message;
            }
        for (int r = 0; r < n; r++) { /* all has come */
            const int rank = rank_of(g, stage, r), all = simulation_compute(g->sim, rank, 0);
            for (int other = 0; other < n; other++)
                if (other != r) simulation_after(g->sim, all, g->sent[other * n + r]);
            simulation_after(g->sim, all, g->ready[rank]);
            g->came[rank] = all;
        }
        for (int r = 0; r < n; r++)
            g->ready[rank_of(g, stage, r)] = g->came[rank_of(g, stage, r)];
    }
}

static void set_ready(struct graph *g, int stage, int part)
{
    for (int r = 0; r < g->m->replicas; r++) {
        const int rank = rank_of(g, stage, r);
        g->ready[rank] = begin_of(g, rank, length_of(g, stage) - 1) + part;
    }
}

static void add_exchange(struct graph *g, int stage, int kind)
{
    const struct placement_step_model *m = g->m;
    const struct recipe *r = m->task.recipe;
    const int64_t step = m->kinds.all[kind].step;
    const int64_t beside = placement_step_beside(r, step);
    const double bytes = m->exchanged[kind * m->stages + stage] / (beside > 1 ? (double)beside : 1);
    const int parts = parts_of(g, stage);
    if (bytes <= 0) return;
    for (int replica = 0; replica < m->replicas; replica++)
        g->ready[rank_of(g, stage, replica)] = g->came[rank_of(g, stage, replica)] = -1;
    for (int part = 0; part < parts; part++) {
        if (!beside) set_ready(g, stage, part);
        if (placement_step_is_direct(r, step))
            add_direct(g, stage, bytes);
        else
            add_ring(g, stage, bytes / parts, sync_sums(r, step) ? placement_step_rings(m, stage) / parts : 1);
    }
}

/* ---- Steps ---- */

static enum status open_graph(struct graph *g, const struct placement_step_model *m, const struct placement *p)
{
    const size_t ranks = (size_t)placement_ranks(p), n = (size_t)m->replicas;
    *g = (struct graph){.m = m, .p = p};
    g->first = calloc(ranks, sizeof *g->first);
    g->received = calloc(2 * (size_t)m->stages * (size_t)m->schedule.n_micro_batches, sizeof *g->received);
    g->ready = calloc(ranks, sizeof *g->ready);
    g->came = calloc(ranks, sizeof *g->came);
    g->sent = calloc(n * n + 2 * n, sizeof *g->sent);
    if (!g->first || !g->received || !g->ready || !g->came || !g->sent)
        return fail(E_NOMEM, "out of memory for the simulation of %zu ranks", ranks);
    find_receivers(g);
    return OK;
}

static void close_graph(struct graph *g)
{
    free(g->first);
    free(g->received);
    free(g->ready);
    free(g->came);
    free(g->sent);
}

/* A step of a kind, or of none: nothing is exchanged. */
static enum status run(double *seconds, struct graph *g, const struct shaped_net *net, int kind)
{
    const struct placement_step_model *m = g->m;
    const int ranks = placement_ranks(g->p);
    g->overlaps = kind >= 0 && sync_sums(m->task.recipe, m->kinds.all[kind].step);
    TRY(simulation_create(&g->sim, net));
    for (int rank = 0; rank < ranks; rank++)
        add_passes(g, rank);
    for (int rank = 0; rank < ranks; rank++)
        add_messages(g, rank);
    for (int stage = 0; kind >= 0 && stage < m->stages; stage++)
        add_exchange(g, stage, kind);
    const enum status s = simulation_run(g->sim);
    if (s == OK) *seconds = simulation_makespan(g->sim);
    simulation_free(g->sim);
    return s;
}

static double busy_s(const struct graph *g)
{
    double seconds = 0;
    for (int rank = 0; rank < placement_ranks(g->p); rank++) {
        const struct schedule_list *list = &g->m->schedule.lists[rank % g->m->stages];
        for (int i = 0; i < list->n; i++)
            seconds += pass_s(g, rank, list->actions[i].pass);
    }
    return seconds;
}

static enum status simulate(struct placement_step *out, struct graph *g, const struct shaped_net *net)
{
    const struct placement_step_model *m = g->m;
    const double busy = busy_s(g) / placement_ranks(g->p);
    struct placement_step step = {.short_rank = placement_step_short_rank(m, g->p)};
    double steps = 0;
    TRY(run(&step.pipeline_s, g, net, -1));
    for (int k = 0; k < m->kinds.n; k++) {
        double seconds = step.pipeline_s;
        if (m->kinds.all[k].bytes) TRY(run(&seconds, g, net, k));
        const int64_t beside = placement_step_beside(m->task.recipe, m->kinds.all[k].step);
        if (beside > 1) seconds = step.pipeline_s + (double)beside * (seconds - step.pipeline_s);
        step.step_s += (double)m->kinds.all[k].steps * seconds;
        steps += (double)m->kinds.all[k].steps;
    }
    step.step_s /= steps;
    step.sync_s = step.step_s - step.pipeline_s;
    step.bubble = 1 - busy / step.pipeline_s;
    step.busy = busy / step.step_s;
    *out = step;
    return OK;
}

enum status placement_step_simulate(struct placement_step *out, const struct placement_step_model *m,
                                    const struct placement *p)
{
    struct graph g;
    struct shaped_net net = {0};
    enum status s = open_graph(&g, m, p);
    if (s == OK) s = cluster_net(&net, m->c, p->devices, placement_ranks(p));
    if (s == OK) s = simulate(out, &g, &net);
    cluster_net_free(&net);
    close_graph(&g);
    return s;
}
