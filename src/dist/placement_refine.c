// SPDX-License-Identifier: Apache-2.0
/* Swaps over a cost of which nothing is known. All swaps have numbers; they are tried in steps of a stride that has no
 * factor in common with their count, which meets each once a round, in no order that the devices' numbers suggest, and
 * needs no list of them. */
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "dist/placement_search.h"

struct refinement {
    struct placement *p;
    const struct cluster *c;
    int *idle; /* [n_idle]: devices without a rank */
    int n_idle;
};

static void swap_ints(int *a, int *b)
{
    const int kept = *a;
    *a = *b;
    *b = kept;
}

static int64_t count_swaps(const struct refinement *r)
{
    const int64_t ranks = placement_ranks(r->p), stages = r->p->stages;
    return ranks * (ranks + r->n_idle) + stages * stages;
}

static void swap_stages(struct placement *p, int a, int b)
{
    for (int i = 0; i < p->replicas; i++)
        swap_ints(&p->devices[i * p->stages + a], &p->devices[i * p->stages + b]);
}

/* Swap number k of all; made twice it is none. False where it is none or has another number, too. */
static bool make_swap(const struct refinement *r, int64_t k)
{
    struct placement *p = r->p;
    const int64_t ranks = placement_ranks(p), slots = ranks + r->n_idle;
    if (k >= ranks * slots) {
        const int a = (int)((k - ranks * slots) / p->stages), b = (int)((k - ranks * slots) % p->stages);
        if (a >= b || p->replicas == 1) return false; /* with one replica that is a swap of two devices */
        swap_stages(p, a, b);
        return true;
    }
    const int64_t x = k / slots, y = k % slots;
    int *other = y < ranks ? &p->devices[y] : &r->idle[y - ranks];
    if (x >= y || r->c->hosts[p->devices[x]] == r->c->hosts[*other]) return false;
    swap_ints(&p->devices[x], other);
    return true;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static enum status find_idle(struct refinement *r)
{
    int *rank_of = calloc((size_t)r->c->n_devices, sizeof *rank_of);
    r->idle = calloc((size_t)r->c->n_devices, sizeof *r->idle);
    if (!rank_of || !r->idle) {
        free(rank_of);
        free(r->idle);
        return fail(E_NOMEM, "out of memory for a search over %d devices", r->c->n_devices);
    }
    placement_invert(rank_of, r->p, r->c->n_devices);
    for (int i = 0; i < r->c->n_devices; i++)
        if (rank_of[i] < 0) r->idle[r->n_idle++] = i;
    free(rank_of);
    return OK;
}

enum status placement_refine(struct placement *p, const struct cluster *c, const struct placement_objective *objective,
                             uint64_t seed, double limit_s, int64_t max_costs, double *cost)
{
    const int64_t begun = clock_ns();
    struct refinement r = {.p = p, .c = c};
    TRY(find_idle(&r));
    const int64_t n = count_swaps(&r);
    int64_t at = (int64_t)(rng_u64(seed, 0, 0) % (uint64_t)n),
            stride = 1 + (int64_t)(rng_u64(seed, 0, 1) % (uint64_t)n);
    while (common_divisor(stride, n) != 1)
        stride++;
    double best = objective->cost(p, objective->user);
    int64_t costs = 1;
    for (int64_t failures = 0; failures < n && costs < max_costs; at = (at + stride) % n) {
        failures++;
        if (clock_seconds(begun, clock_ns()) >= limit_s) break;
        if (!make_swap(&r, at)) continue;
        costs++;
        const double then = objective->cost(p, objective->user);
        if (then < best) {
            best = then;
            failures = 0;
        } else {
            make_swap(&r, at);
        }
    }
    free(r.idle);
    *cost = best;
    return OK;
}
