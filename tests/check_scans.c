// SPDX-License-Identifier: Apache-2.0
/* The kernel check's scans: one number out of a row of logits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_kernels.h"

enum { LOGITS = 50400 };

/* Row sizes: those of all checks, and a row of logits. */
static size_t size_of(size_t s)
{
    return s < SIZES ? (size_t)check_sizes[s] : LOGITS;
}

typedef double scan_fn(const struct kernels *k, const float *x, size_t n, float argument);

/* Scans the row wherever it may lie; the same bits must come out. */
static double scan(struct check *c, scan_fn *run, const float *x, size_t n, float argument)
{
    double first = 0;
    for (enum place where = 0; where < PLACES; where++) {
        const float *at = check_floats(&c->in[0], where, x, n);
        const void *nothing = check_place(&c->out, where, 0, 1);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "n %zu, %s, place %d", n, c->what, (int)where);
        const double y = run(c->k, at, n, argument);
        check_clean(c, mode, nothing, 0, &(struct input){at, x, n * sizeof *x}, 1);
        if (where == AT_END) first = y;
        check_that(c, !memcmp(&y, &first, sizeof y) || (isnan(y) && isnan(first)), "other bits elsewhere");
    }
    return first;
}

/* ---- Where something is ---- */

static double argmax(const struct kernels *k, const float *x, size_t n, float unused)
{
    (void)unused;
    return (double)k->argmax(x, n);
}

static double first_at_least(const struct kernels *k, const float *x, size_t n, float least)
{
    return (double)k->first_at_least(x, n, least);
}

static double first_not_finite(const struct kernels *k, const float *x, size_t n, float unused)
{
    (void)unused;
    return (double)k->first_not_finite(x, n);
}

static void check_argmax_of(struct check *c, const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    check_same(c, "not the first of the largest", best, (float)scan(c, argmax, x, n, 0), (float)best);
}

static void check_first_at_least_of(struct check *c, const float *x, size_t n, float least)
{
    size_t i = 0;
    while (i < n && !(x[i] >= least))
        i++;
    check_same(c, "not the first", i, (float)scan(c, first_at_least, x, n, least), (float)i);
}

/* Ordinary numbers below 16, but for one at `at`. */
static void fill_but(struct check *c, float *x, size_t n, size_t at, float value)
{
    check_fill(c, x, n, NORMAL);
    x[at] = value;
}

/* Where to look for something: everywhere in short rows, at the ends and somewhere in long ones. */
static size_t position(struct check *c, size_t n, size_t i)
{
    enum { SHORT = 200, EDGE = 40 };
    if (n <= SHORT || i < EDGE) return i;
    return i < 2 * (size_t)EDGE ? n - 1 - (i - EDGE) : check_u64(c) % n;
}

static size_t positions(size_t n)
{
    return n < 100 ? n : 100;
}

void check_argmax(struct check *c)
{
    static const float odd[] = {INFINITY, -INFINITY, NAN, 0, -0.0f};
    float *x = check_alloc(LOGITS);
    for (size_t s = 1; s <= SIZES; s++) {
        const size_t n = size_of(s);
        snprintf(c->what, sizeof c->what, "one is largest");
        for (size_t i = 0; i < positions(n); i++) {
            const size_t at = position(c, n, i);
            fill_but(c, x, n, at, 100);
            check_argmax_of(c, x, n);
            x[check_u64(c) % n] = 100; /* and another, before or behind it */
            check_argmax_of(c, x, n);
            for (size_t nan = 1 + at % 2; nan < n; nan += 2) /* and no numbers all around */
                x[nan] = NAN;
            check_argmax_of(c, x, n);
        }
        snprintf(c->what, sizeof c->what, "infinities and NaN");
        for (int round = 0; round < 8; round++) {
            check_fill(c, x, n, SPECIAL);
            x[check_u64(c) % n] = NAN;
            check_argmax_of(c, x, n);
        }
        for (size_t o = 0; o < COUNT_OF(odd); o++) {
            for (size_t i = 0; i < n; i++)
                x[i] = odd[o];
            snprintf(c->what, sizeof c->what, "all are %g", (double)odd[o]);
            check_argmax_of(c, x, n);
            x[check_u64(c) % n] = 0;
            check_argmax_of(c, x, n);
        }
    }
    free(x);
}

void check_first_at_least(struct check *c)
{
    static const float least[] = {-INFINITY, INFINITY, NAN, 0, 1, 15.9f, 16};
    float *x = check_alloc(LOGITS);
    for (size_t s = 0; s <= SIZES; s++) {
        const size_t n = size_of(s);
        for (size_t i = 0; i < positions(n); i++) {
            const size_t at = position(c, n, i);
            fill_but(c, x, n, at, 100);
            x[check_u64(c) % n] = NAN;
            snprintf(c->what, sizeof c->what, "at %zu", at);
            check_first_at_least_of(c, x, n, 100);
            check_first_at_least_of(c, x, n, nextafterf(100, 101));
        }
        for (size_t k = 0; k < COUNT_OF(least); k++) {
            snprintf(c->what, sizeof c->what, "at least %g", (double)least[k]);
            check_fill(c, x, n, SPECIAL);
            check_first_at_least_of(c, x, n, least[k]);
            for (size_t i = 0; i < n; i++)
                x[i] = i % 100 == 99 ? -INFINITY : NAN;
            check_first_at_least_of(c, x, n, least[k]);
        }
    }
    free(x);
}

void check_first_not_finite(struct check *c)
{
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    float *x = check_alloc(LOGITS);
    for (size_t s = 0; s <= SIZES; s++) {
        const size_t n = size_of(s);
        check_fill(c, x, n, NORMAL);
        for (size_t i = 0; i < n; i += 3)
            x[i] = i % 2 ? 3.4e38f : -3.4e38f; /* their sums and differences are infinite */
        snprintf(c->what, sizeof c->what, "all are finite");
        check_same(c, "is finite", n, (float)scan(c, first_not_finite, x, n, 0), (float)n);
        for (size_t i = 0; i < positions(n); i++) {
            const size_t at = position(c, n, i), behind = at + check_u64(c) % (n - at);
            const float before[] = {x[at], x[behind]};
            x[behind] = bad[(i + 1) % COUNT_OF(bad)];
            x[at] = bad[i % COUNT_OF(bad)];
            snprintf(c->what, sizeof c->what, "%g at %zu", (double)x[at], at);
            check_same(c, "not the first", at, (float)scan(c, first_not_finite, x, n, 0), (float)at);
            x[behind] = before[1];
            x[at] = before[0];
        }
    }
    free(x);
}

/* ---- log sum exp ---- */

static double log_sum_exp(const struct kernels *k, const float *x, size_t n, float unused)
{
    (void)unused;
    return k->log_sum_exp(x, n);
}

/* A difference d = x - max is off by EPS |d|, and so is exp(d), relatively; exp itself by 2 ulp. So a term is off by
 * EPS (|d| + 4), relatively, the sum by the mean of that over its terms, and so is its logarithm, absolutely. Terms may
 * be denormal. The rest is in double: some roundings of what is added up. */
static void log_sum_exp_is_near_truth(struct check *c, const float *x, size_t n)
{
    long double max = -INFINITY, sum = 0, off = 0;
    for (size_t i = 0; i < n; i++)
        max = (long double)x[i] > max ? (long double)x[i] : max;
    for (size_t i = 0; i < n; i++) {
        const long double d = (long double)x[i] - max, e = expl(d);
        sum += e;
        off += e > 0 ? e * EPS * (fabsl(d) + 4) + TINY : 0;
    }
    const double y = scan(c, log_sum_exp, x, n, 0);
    const long double truth = max + logl(sum), bound = off / sum + 0x1p-50L * (fabsl(max) + logl(sum) + 1);
    check_near(c, 0, (float)((long double)y - truth), isnan(truth) ? (long double)NAN : 0, bound);
}

void check_log_sum_exp(struct check *c)
{
    static const float scales[] = {1, 0, 30, 1e-3f, 1e4f};
    float *x = check_alloc(LOGITS);
    for (size_t s = 1; s <= SIZES; s++) {
        const size_t n = size_of(s);
        for (size_t k = 0; k < COUNT_OF(scales); k++) {
            check_fill(c, x, n, NORMAL);
            for (size_t i = 0; i < n; i++)
                x[i] = i % 7 == 3 ? -INFINITY : x[i] * scales[k] - 5;
            snprintf(c->what, sizeof c->what, "scale %g", (double)scales[k]);
            log_sum_exp_is_near_truth(c, x, n);
        }
        snprintf(c->what, sizeof c->what, "not finite");
        for (int round = 0; round < 3; round++) {
            check_fill(c, x, n, NORMAL);
            x[check_u64(c) % n] = round ? INFINITY : NAN;
            for (size_t i = 0; round == 2 && i < n; i++)
                x[i] = -INFINITY;
            check_that(c, isnan(scan(c, log_sum_exp, x, n, 0)), "is a number");
        }
    }
    free(x);
}
