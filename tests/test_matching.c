// SPDX-License-Identifier: Apache-2.0
/* Matchings and routes are the best of all where all can be tried, and good where they cannot. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "test.h"

#include "base/compiler.h"
#include "base/rng.h"
#include "dist/matching.h"
#include "dist/route.h"
#include "planner.h"

/* ---- Matchings and routes ---- */

static void try_rest(int *order, int n, double (*value)(const int *, const double *, int), const double *cost,
                     int fixed, double *best)
{
    if (fixed == n) {
        *best = fmin(*best, value(order, cost, n));
        return;
    }
    for (int i = fixed; i < n; i++) {
        const int kept = order[fixed];
        order[fixed] = order[i];
        order[i] = kept;
        try_rest(order, n, value, cost, fixed + 1, best);
        order[i] = order[fixed];
        order[fixed] = kept;
    }
}

/* The least value over all permutations of n. */
static double try_all(double (*value)(const int *, const double *, int), const double *cost, int n)
{
    int order[8];
    double best = INFINITY;
    for (int i = 0; i < n; i++)
        order[i] = i;
    try_rest(order, n, value, cost, 0, &best);
    return best;
}

static double slowest_pair(const int *column_of, const double *cost, int n)
{
    double slowest = 0;
    for (int i = 0; i < n; i++)
        slowest = fmax(slowest, cost[i * n + column_of[i]]);
    return slowest;
}

static double route_length(const int *order, const double *cost, int n)
{
    double length = 0;
    for (int i = 1; i < n; i++)
        length += cost[order[i - 1] * n + order[i]];
    return length;
}

static void assert_permutation(const int *order, int n)
{
    bool seen[ROUTE_MAX] = {false};
    for (int i = 0; i < n; i++) {
        assert_in_range(order[i], 0, n - 1);
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
    }
}

/* Of as many values as levels; few make many ties. */
static void fill_random(double *cost, int n, uint64_t seed, int levels, bool symmetric)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            const int a = symmetric && k < i ? k : i, b = symmetric && k < i ? i : k;
            cost[i * n + k] = (double)(rng_u64(seed, (uint64_t)a, (uint64_t)b) % (uint64_t)levels) / 7;
        }
}

static void matchings_are_the_best_of_all(void **state)
{
    (void)state;
    for (int n = 1; n <= 6; n++) {
        for (uint64_t seed = 0; seed < 200; seed++) {
            double cost[36], doubles[6];
            int columns[6], ints[12];
            assert_true(matching_ints(n) <= COUNT_OF(ints) && matching_doubles(n) <= COUNT_OF(doubles));
            fill_random(cost, n, seed, seed % 2 ? 3 : 1000, false);
            const double found = matching_bottleneck(columns, cost, n, ints, doubles);
            assert_permutation(columns, n);
            assert_memory_equal(&(double){slowest_pair(columns, cost, n)}, &found, sizeof found);
            assert_memory_equal(&(double){try_all(slowest_pair, cost, n)}, &found, sizeof found);
        }
    }
}

static bool augment(const double *cost, int n, double below, int row, bool *seen, int *row_of)
{
    for (int c = 0; c < n; c++) {
        if (seen[c] || cost[row * n + c] >= below) continue;
        seen[c] = true;
        if (row_of[c] >= 0 && !augment(cost, n, below, row_of[c], seen, row_of)) continue;
        row_of[c] = row;
        return true;
    }
    return false;
}

/* Whether edges below a bound hold a perfect matching (Kuhn 1955). */
static bool is_feasible(const double *cost, int n, double below)
{
    int row_of[64];
    for (int i = 0; i < n; i++)
        row_of[i] = -1;
    for (int row = 0; row < n; row++) {
        bool seen[64] = {false};
        if (!augment(cost, n, below, row, seen, row_of)) return false;
    }
    return true;
}

static void no_matching_beats_large_ones(void **state)
{
    (void)state;
    enum { N = 64 };
    double *cost = calloc(N * N, sizeof *cost), *doubles = calloc(matching_doubles(N), sizeof *doubles);
    int columns[N], *ints = calloc(matching_ints(N), sizeof *ints);
    assert_true(cost && doubles && ints);
    for (uint64_t seed = 0; seed < 20; seed++) {
        fill_random(cost, N, seed, seed % 2 ? 40 : 100000, false);
        const double found = matching_bottleneck(columns, cost, N, ints, doubles);
        assert_permutation(columns, N);
        assert_memory_equal(&(double){slowest_pair(columns, cost, N)}, &found, sizeof found);
        assert_false(is_feasible(cost, N, found));
        assert_true(is_feasible(cost, N, nextafter(found, INFINITY)));
    }
    free(ints);
    free(doubles);
    free(cost);
}

static void short_routes_are_the_best_of_all(void **state)
{
    (void)state;
    for (int n = 1; n <= 7; n++) {
        for (uint64_t seed = 0; seed < 30; seed++) {
            double cost[49], doubles[7 << 7];
            int order[7];
            assert_true(route_doubles(n) <= COUNT_OF(doubles));
            fill_random(cost, n, seed, seed % 2 ? 4 : 1000, true);
            const double found = route_shortest(order, cost, n, doubles);
            assert_permutation(order, n);
            const double rounding = n * DBL_EPSILON; /* of n sums in another order */
            assert_near(found, route_length(order, cost, n), rounding);
            assert_near(found, try_all(route_length, cost, n), rounding);
            assert_true(route_lower_bound(cost, n, doubles) <= found * (1 + rounding));
        }
    }
}

/* Points of a line, shuffled: the best route goes from end to end. */
static void long_routes_are_good(void **state)
{
    (void)state;
    static const int sizes[] = {ROUTE_MAX_EXACT, ROUTE_MAX_EXACT + 1, 30, 100, ROUTE_MAX};
    double *cost = calloc(ROUTE_MAX * ROUTE_MAX, sizeof *cost), *doubles = NULL;
    assert_non_null(cost);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const int n = sizes[i];
        int order[ROUTE_MAX];
        for (int a = 0; a < n; a++)
            for (int b = 0; b < n; b++) /* 97 and n have no factor in common */
                cost[a * n + b] = abs(a * 97 % n - b * 97 % n);
        doubles = calloc(route_doubles(n), sizeof *doubles);
        assert_non_null(doubles);
        const double found = route_shortest(order, cost, n, doubles);
        assert_permutation(order, n);
        assert_near(found, n - 1, 0);
        assert_near(route_length(order, cost, n), n - 1, 0);
        assert_near(route_lower_bound(cost, n, doubles), n - 1, 0);
        free(doubles);
    }
    free(cost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matchings_are_the_best_of_all),
        cmocka_unit_test(no_matching_beats_large_ones),
        cmocka_unit_test(short_routes_are_the_best_of_all),
        cmocka_unit_test(long_routes_are_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
