// SPDX-License-Identifier: Apache-2.0
#include "dist/route.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Heuristic steps must win more than rounding, or two orders that are equal could replace each other for ever. */
static const double least_gain = 1e-12;

static double step(const double *cost, int n, int from, int to)
{
    return cost[(size_t)from * (size_t)n + (size_t)to];
}

size_t route_doubles(int n)
{
    return n <= ROUTE_MAX_EXACT ? (size_t)n << n : (size_t)n;
}

/* ---- Exact ---- */

/* best [2^n][n]: the shortest path through exactly the nodes of a set that ends in one of them. */
static void fill_subsets(double *best, const double *cost, int n)
{
    for (unsigned set = 1; set < 1u << n; set++) {
        double *here = best + (size_t)set * (size_t)n;
        for (int last = 0; last < n; last++) {
            const unsigned others = set & ~(1u << last);
            here[last] = others ? INFINITY : 0;
            if (!(set >> last & 1)) continue;
            const double *before = best + (size_t)others * (size_t)n;
            for (int i = 0; i < n; i++) {
                if (!(others >> i & 1)) continue;
                const double length = before[i] + step(cost, n, i, last);
                if (length < here[last]) here[last] = length;
            }
        }
    }
}

static int least_of(const double *values, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (values[i] < values[best]) best = i;
    return best;
}

static double exact(int *order, const double *cost, int n, double *best)
{
    fill_subsets(best, cost, n);
    unsigned set = (1u << n) - 1;
    int last = least_of(best + (size_t)set * (size_t)n, n);
    const double length = best[(size_t)set * (size_t)n + (size_t)last];
    for (int at = n - 1; at >= 0; at--) { /* backwards: whoever explains the value came before */
        order[at] = last;
        set &= ~(1u << last);
        const double *before = best + (size_t)set * (size_t)n;
        int from = -1;
        for (int i = 0; set && i < n; i++) {
            if (!(set >> i & 1)) continue;
            if (from < 0 || before[i] + step(cost, n, i, last) < before[from] + step(cost, n, from, last)) from = i;
        }
        last = from;
    }
    return length;
}

/* ---- Heuristic ---- */

static double length_of(const int *order, const double *cost, int n)
{
    double length = 0;
    for (int i = 1; i < n; i++)
        length += step(cost, n, order[i - 1], order[i]);
    return length;
}

static void nearest_neighbours(int *order, const double *cost, int n, int start)
{
    for (int i = 0; i < n; i++)
        order[i] = i;
    order[0] = start;
    order[start] = 0;
    for (int at = 1; at < n; at++) {
        int next = at;
        for (int i = at + 1; i < n; i++)
            if (step(cost, n, order[at - 1], order[i]) < step(cost, n, order[at - 1], order[next])) next = i;
        const int moved = order[at];
        order[at] = order[next];
        order[next] = moved;
    }
}

/* The step between positions i and j of an order, 0 beyond its ends. */
static double step_at(const int *order, const double *cost, int n, int i, int j)
{
    return i < 0 || j >= n ? 0 : step(cost, n, order[i], order[j]);
}

static void reverse(int *order, int from, int to)
{
    for (; from < to; from++, to--) {
        const int kept = order[from];
        order[from] = order[to];
        order[to] = kept;
    }
}

/* 2-opt: the stretch i .. j the other way round. */
static bool try_reversals(int *order, const double *cost, int n)
{
    bool better = false;
    for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
            const double now = step_at(order, cost, n, i - 1, i) + step_at(order, cost, n, j, j + 1);
            const double then = (i ? step(cost, n, order[i - 1], order[j]) : 0) +
                                (j < n - 1 ? step(cost, n, order[i], order[j + 1]) : 0);
            if (then >= now - least_gain) continue;
            reverse(order, i, j);
            better = true;
        }
    }
    return better;
}

/* Or-opt: the stretch i .. j behind position k > j, turned or not. Stretches that should go forward are met as what
 * stands between, moved back. */
static bool try_move(int *order, const double *cost, int n, int i, int j, int k)
{
    const double now = step_at(order, cost, n, i - 1, i) + step_at(order, cost, n, j, j + 1) +
                       step_at(order, cost, n, k, k + 1);
    const double shared = i ? step(cost, n, order[i - 1], order[j + 1]) : 0;
    const double kept = step(cost, n, order[k], order[i]) + (k < n - 1 ? step(cost, n, order[j], order[k + 1]) : 0);
    const double turned = step(cost, n, order[k], order[j]) + (k < n - 1 ? step(cost, n, order[i], order[k + 1]) : 0);
    if (shared + fmin(kept, turned) >= now - least_gain) return false;
    if (kept <= turned) reverse(order, i, j); /* turned once more below */
    reverse(order, j + 1, k);
    reverse(order, i, k);
    return true;
}

static bool try_moves(int *order, const double *cost, int n)
{
    enum { LONGEST = 3 };
    bool better = false;
    for (int i = 0; i < n; i++)
        for (int j = i; j < n && j < i + LONGEST; j++)
            for (int k = j + 1; k < n; k++)
                better |= try_move(order, cost, n, i, j, k);
    reverse(order, 0, n - 1); /* and the other direction next time */
    return better;
}

static double improve(int *order, const double *cost, int n)
{
    bool better = true;
    while (better) {
        better = try_reversals(order, cost, n);
        better |= try_moves(order, cost, n);
        better |= try_moves(order, cost, n);
    }
    return length_of(order, cost, n);
}

enum { MAX_STARTS = 16 };

static double heuristic(int *order, const double *cost, int n)
{
    int trial[ROUTE_MAX];
    for (int i = 0; i < n; i++)
        order[i] = i;
    double best = improve(order, cost, n);
    const int starts = n < MAX_STARTS ? n : MAX_STARTS;
    for (int s = 0; s < starts; s++) {
        nearest_neighbours(trial, cost, n, (int)((size_t)s * (size_t)n / (size_t)starts));
        const double length = improve(trial, cost, n);
        if (length >= best) continue;
        best = length;
        memcpy(order, trial, (size_t)n * sizeof *order);
    }
    return best;
}

double route_shortest(int *order, const double *cost, int n, double *doubles)
{
    return n <= ROUTE_MAX_EXACT ? exact(order, cost, n, doubles) : heuristic(order, cost, n);
}

/* Prim 1957. */
double route_lower_bound(const double *cost, int n, double *doubles)
{
    double total = 0;
    for (int i = 0; i < n; i++)
        doubles[i] = step(cost, n, 0, i);
    doubles[0] = -1; /* in the tree */
    for (int joined = 1; joined < n; joined++) {
        int next = -1;
        for (int i = 1; i < n; i++)
            if (doubles[i] >= 0 && (next < 0 || doubles[i] < doubles[next])) next = i;
        total += doubles[next];
        doubles[next] = -1;
        for (int i = 1; i < n; i++)
            if (doubles[i] >= 0) doubles[i] = fmin(doubles[i], step(cost, n, next, i));
    }
    return total;
}
