// SPDX-License-Identifier: Apache-2.0
/* DT-FM's cost is made of maxima, over groups and over pairs, and nearly flat: most changes of a placement change
 * nothing, and a group that lacks one of eight fast links is as slow as one that has none. So the search anneals over
 * grids, stages by replicas, where a move changes few terms and is cheap, and its energy is at first mostly the means
 * of the terms whose maxima are wanted; the means fade out as it cools. Moves that carry a stretch of a pipeline along
 * matter as much as single swaps: good placements keep whole pipelines in one place. */
#include "dist/placement_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"

const struct placement_search placement_search_defaults = {
    .seed = 1, .restarts = 8, .moves = 1000000, .limit_s = INFINITY};

/* Chosen on DT-FM's five networks: temperatures as shares of the first energy, and what share of it is means. */
static const double hottest = 0.02, coldest = 0.0002, softest = 0.9;

struct random {
    uint64_t seed, stream, counter;
};

static int draw_below(struct random *r, int n)
{
    return (int)((rng_u64(r->seed, r->stream, r->counter++) >> 32) * (uint64_t)n >> 32);
}

static double draw_uniform(struct random *r)
{
    return rng_uniform(r->seed, r->stream, r->counter++);
}

/* The largest of several values, and their sum. */
struct terms {
    double max, sum;
};

static void add_term(struct terms *t, double value)
{
    t->sum += value;
    if (value > t->max) t->max = value;
}

struct grid {
    int n, stages, replicas;
    const double *sync, *hop; /* [n][n], the model's */
    int *slots;               /* [n]: devices, stage by stage, then the idle ones */
    double *sums;             /* [stages][replicas]: what each device adds up in its group */
    struct terms *groups;     /* [stages]: of sums */
    struct terms *steps;      /* [stages]: of the hops to the next stage; of the last one 0 */
    double softness;          /* what share of the energy is means */
};

/* ---- Energy ---- */

static void sum_group(struct grid *g, int stage)
{
    const int *group = g->slots + (size_t)stage * (size_t)g->replicas;
    double *sums = g->sums + (size_t)stage * (size_t)g->replicas;
    g->groups[stage] = (struct terms){0};
    for (int i = 0; i < g->replicas; i++) {
        const double *row = g->sync + (size_t)group[i] * (size_t)g->n;
        sums[i] = 0;
        for (int k = 0; k < g->replicas; k++)
            sums[i] += row[group[k]];
        add_term(&g->groups[stage], sums[i]);
    }
}

/* Slot x has another device than before; the sums of its group follow, but for rounding. */
static void update_group(struct grid *g, int x, int before)
{
    const int stage = x / g->replicas, first = stage * g->replicas;
    const double *row = g->sync + (size_t)g->slots[x] * (size_t)g->n;
    const double *row_before = g->sync + (size_t)before * (size_t)g->n;
    g->sums[x] = 0;
    for (int i = first; i < first + g->replicas; i++) {
        const int device = g->slots[i];
        if (i != x) g->sums[x] += row[device];
    }
    g->groups[stage] = (struct terms){0};
    for (int i = first; i < first + g->replicas; i++) {
        const int device = g->slots[i];
        if (i != x) g->sums[i] += row[device] - row_before[device];
        add_term(&g->groups[stage], g->sums[i]);
    }
}

static void sum_step(struct grid *g, int stage)
{
    if (stage < 0 || stage >= g->stages - 1) return;
    const int *from = g->slots + (size_t)stage * (size_t)g->replicas, *to = from + g->replicas;
    g->steps[stage] = (struct terms){0};
    for (int i = 0; i < g->replicas; i++)
        add_term(&g->steps[stage], g->hop[(size_t)from[i] * (size_t)g->n + (size_t)to[i]]);
}

static void sum_all(struct grid *g)
{
    for (int s = 0; s < g->stages; s++) {
        sum_group(g, s);
        sum_step(g, s);
    }
}

static double soften(const struct grid *g, double max, double mean)
{
    return max + g->softness * (mean - max);
}

static double energy(const struct grid *g)
{
    struct terms sync = {0};
    double slowest = 0, all = 0;
    for (int s = 0; s < g->stages; s++) {
        sync.sum += g->groups[s].sum;
        if (g->groups[s].max > sync.max) sync.max = g->groups[s].max;
        slowest += g->steps[s].max;
        all += g->steps[s].sum;
    }
    return soften(g, sync.max, sync.sum / (g->stages * g->replicas)) + 2 * soften(g, slowest, all / g->replicas);
}

/* ---- Moves; each made twice is none ---- */

static void swap_ints(int *a, int *b)
{
    const int kept = *a;
    *a = *b;
    *b = kept;
}

static void swap_doubles(double *a, double *b)
{
    const double kept = *a;
    *a = *b;
    *b = kept;
}

/* Within a group sums go with their devices. Steps are left to the caller. */
static void swap_slots(struct grid *g, int x, int y)
{
    const int stage_x = x / g->replicas, stage_y = y / g->replicas;
    swap_ints(&g->slots[x], &g->slots[y]);
    if (stage_x == stage_y) {
        if (stage_x < g->stages) swap_doubles(&g->sums[x], &g->sums[y]);
        return;
    }
    if (stage_x < g->stages) update_group(g, x, g->slots[y]);
    if (stage_y < g->stages) update_group(g, y, g->slots[x]);
}

struct move {
    enum { SWAP, STRETCH, REVERSE } kind;
    int a, b; /* slots; the first slots of two stretches of different replicas; the first and the last stage */
    int len;  /* of the stretches */
};

static void swap_stretches(struct grid *g, const struct move *m)
{
    for (int i = 0; i < m->len; i++)
        swap_slots(g, m->a + i * g->replicas, m->b + i * g->replicas);
    for (int i = -1; i < m->len; i++) {
        sum_step(g, m->a / g->replicas + i);
        if (m->a / g->replicas != m->b / g->replicas) sum_step(g, m->b / g->replicas + i);
    }
}

static void swap_stages(struct grid *g, int a, int b)
{
    for (int r = 0; r < g->replicas; r++) {
        swap_ints(&g->slots[a * g->replicas + r], &g->slots[b * g->replicas + r]);
        swap_doubles(&g->sums[a * g->replicas + r], &g->sums[b * g->replicas + r]);
    }
    const struct terms kept = g->groups[a];
    g->groups[a] = g->groups[b];
    g->groups[b] = kept;
}

static void reverse_stages(struct grid *g, int first, int last)
{
    for (int a = first, b = last; a < b; a++, b--)
        swap_stages(g, a, b);
    for (int s = first - 1; s <= last; s++)
        sum_step(g, s);
}

static void make(struct grid *g, const struct move *m)
{
    switch (m->kind) {
    case SWAP:
        swap_slots(g, m->a, m->b);
        for (int i = -1; i <= 0; i++) {
            sum_step(g, m->a / g->replicas + i);
            sum_step(g, m->b / g->replicas + i);
        }
        break;
    case STRETCH: swap_stretches(g, m); break;
    case REVERSE: reverse_stages(g, m->a, m->b); break;
    }
}

/* False where the draw is no move. Half of the stretches lie beside each other, which changes pairs and no group. */
static bool draw_move(struct move *m, const struct grid *g, struct random *random)
{
    const int kind = draw_below(random, 8);
    *m = (struct move){.kind = kind < 4 ? SWAP : kind < 7 ? STRETCH : REVERSE};
    if (m->kind == SWAP) {
        m->a = draw_below(random, g->stages * g->replicas);
        m->b = draw_below(random, g->n);
        return m->a != m->b;
    }
    const int a = draw_below(random, g->stages);
    const int b = m->kind == STRETCH && draw_below(random, 2) ? a : draw_below(random, g->stages);
    if (m->kind == REVERSE) {
        m->a = a < b ? a : b;
        m->b = a < b ? b : a;
        return a != b;
    }
    const int r = draw_below(random, g->replicas), q = draw_below(random, g->replicas);
    m->a = a * g->replicas + r;
    m->b = b * g->replicas + q;
    m->len = 1 + draw_below(random, g->stages - (a > b ? a : b));
    return r != q;
}

/* ---- Annealing ---- */

/* Simulated annealing (Kirkpatrick et al. 1983) with Metropolis's rule. */
static void anneal(struct grid *g, struct random *random, int64_t moves)
{
    enum { EPOCHS = 200 };
    g->softness = softest;
    sum_all(g);
    const double first = energy(g);
    for (int e = 0; e < EPOCHS; e++) {
        const double done = (double)e / (EPOCHS - 1);
        const double temperature = first * hottest * pow(coldest / hottest, done);
        g->softness = softest * (1 - done);
        sum_all(g);
        double now = energy(g);
        const int64_t end = moves / EPOCHS + (e < moves % EPOCHS);
        for (int64_t i = 0; i < end; i++) {
            struct move m;
            if (!draw_move(&m, g, random)) continue;
            make(g, &m);
            const double then = energy(g);
            if (then <= now || draw_uniform(random) < exp((now - then) / temperature))
                now = then;
            else
                make(g, &m);
        }
    }
}

static void shuffle(struct grid *g, struct random *random)
{
    for (int i = 0; i < g->n; i++)
        g->slots[i] = i;
    for (int i = g->n - 1; i > 0; i--)
        swap_ints(&g->slots[i], &g->slots[draw_below(random, i + 1)]);
}

/* ---- Searches ---- */

static void free_grid(struct grid *g)
{
    free(g->slots);
    free(g->sums);
    free(g->groups);
    free(g->steps);
}

static enum status create_grid(struct grid *g, const struct placement_model *m, const struct placement *p)
{
    const size_t n = (size_t)placement_model_devices(m), stages = (size_t)p->stages, replicas = (size_t)p->replicas;
    *g = (struct grid){.n = (int)n,
                       .stages = p->stages,
                       .replicas = p->replicas,
                       .sync = placement_model_sync(m),
                       .hop = placement_model_hop(m)};
    g->slots = calloc(n, sizeof *g->slots);
    g->sums = calloc(stages * replicas, sizeof *g->sums);
    g->groups = calloc(stages, sizeof *g->groups);
    g->steps = calloc(stages, sizeof *g->steps);
    if (g->slots && g->sums && g->groups && g->steps) return OK;
    free_grid(g);
    return fail(E_NOMEM, "out of memory for a search over %zu devices", n);
}

static void take_devices(struct placement *p, const struct grid *g)
{
    for (int s = 0; s < g->stages; s++)
        for (int r = 0; r < g->replicas; r++)
            p->devices[r * g->stages + s] = g->slots[s * g->replicas + r];
}

enum status placement_search(struct placement *p, struct placement_model *m, const struct placement_search *search,
                             struct placement_found *found)
{
    const int64_t begun = clock_ns();
    struct grid g;
    struct placement trial;
    TRY(placement_copy(&trial, p));
    const enum status s = create_grid(&g, m, p);
    if (s != OK) {
        placement_free(&trial);
        return s;
    }
    struct placement_found best = {.cost = placement_arrange(m, p)};
    bool more = true;
    while (more && best.restarts < search->restarts && clock_seconds(begun, clock_ns()) <= search->limit_s) {
        struct random random = {search->seed, (uint64_t)best.restarts++, 0};
        shuffle(&g, &random);
        anneal(&g, &random, search->moves);
        take_devices(&trial, &g);
        const struct placement_cost cost = placement_arrange(m, &trial);
        if (search->progress) more = search->progress(search->user, best.restarts);
        if (cost.total_s >= best.cost.total_s) continue;
        best.cost = cost;
        memcpy(p->devices, trial.devices, (size_t)placement_ranks(p) * sizeof *p->devices);
    }
    best.seconds = clock_seconds(begun, clock_ns());
    placement_free(&trial);
    free_grid(&g);
    if (found) *found = best;
    return OK;
}
