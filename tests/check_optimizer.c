// SPDX-License-Identifier: Apache-2.0
/* The kernel check's backward pass and optimizer where they go element by element: GELU, cross-entropy, rounding to
 * half floats, sums of squares, AdamW. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "check_kernels.h"

/* Input or output i of a call, beside a guard: c->in[i], c->out behind the last. */
static float *array(struct check *c, size_t i, enum place where, const float *x, size_t n)
{
    return check_floats(i < COUNT_OF(c->in) ? &c->in[i] : &c->out, where, x, n);
}

/* ---- GELU ---- */

/* With e = exp(-|2u|): 2u is off by 4 eps of itself, so e by 4 |2u| + 2 eps; L(2u) is 1 / (1 + e) or e / (1 + e), to
 * three roundings; the second term has ten. Denormal results of exp are multiplied by what is inside. */
static void gelu_back_is_near_truth(struct check *c, const float *have, const float *dy, const float *z, size_t n)
{
    const long double twice = 2 * 0.797884560802865355879892L, a = 0.044715L;
    for (size_t i = 0; i < n; i++) {
        const long double x = (long double)z[i], d = (long double)dy[i], two_u = twice * (x + a * x * x * x);
        const long double L = 1 / (1 + expl(-two_u)), other = 1 / (1 + expl(two_u)), small = fminl(L, other);
        const long double inner = small > 0 ? x * twice * (1 + 3 * a * x * x) : 0, term = L * other * inner;
        const long double truth = d * (L + term), e_off = small > 0 ? EPS * (4 * fabsl(two_u) + 2) : 0;
        const long double off = e_off * small + 3 * EPS * L + fabsl(term) * (e_off + 10 * EPS);
        check_near(c, i, have[i], truth,
                   fabsl(d) * (off + (1 + fabsl(inner)) * TINY) + 2 * EPS * fabsl(truth) + 2 * TINY);
    }
}

static void gelu_back_run(struct check *c, const float *dy, const float *z, size_t n)
{
    float *first = check_alloc(n);
    for (enum place where = 0; where < PLACES; where++) {
        const float *z_at = array(c, 0, where, z, n);
        float *y = check_floats(&c->out, where, dy, n);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "%s, place %d", c->what, (int)where);
        c->k->gelu_back(y, z_at, n);
        check_clean(c, mode, y, n * sizeof *y, &(struct input){z_at, z, n * sizeof *z}, 1);
        if (where == AT_END && n) memcpy(first, y, n * sizeof *y);
        for (size_t i = 0; i < n; i++)
            check_same(c, "other bits elsewhere", i, y[i], first[i]);
    }
    for (size_t i = 0; i < n; i++) {
        float alone = dy[i];
        c->k->gelu_back(&alone, &z[i], 1);
        check_same(c, "other bits alone", i, first[i], alone);
    }
    gelu_back_is_near_truth(c, first, dy, z, n);
    free(first);
}

void check_gelu_back(struct check *c)
{
    enum { STEPS = 4000 };
    static const float odd[] = {0,      -0.0f,  INFINITY, -INFINITY, NAN,    1e10f,   -1e10f, 3e38f,
                                -3e38f, 1e-40f, -1e-40f,  0x1p-149f, 11.99f, -12.01f, 9,      -9};
    float *z = check_alloc(MAX_I), *dy = check_alloc(MAX_I);
    for (size_t s = 0; s < SIZES; s++) {
        check_fill(c, z, (size_t)check_sizes[s], s % 3 ? NORMAL : TINY_X);
        check_fill(c, dy, (size_t)check_sizes[s], s % 4 == 1 ? TINY_X : s % 4 == 2 ? SPECIAL : NORMAL);
        for (int i = 0; i < check_sizes[s]; i++) /* infinity times a slope that is 0, or nearly so, may be either */
            if (isinf(dy[i]) && z[i] < -9) z[i] = -z[i];
        snprintf(c->what, sizeof c->what, "n %d", check_sizes[s]);
        gelu_back_run(c, dy, z, (size_t)check_sizes[s]);
    }
    for (int i = 0; i < STEPS; i++) {
        z[i] = (float)(i - STEPS / 2) * 0.01f; /* -20 .. 20 */
        dy[i] = i % 2 ? 1 : 1000;
    }
    snprintf(c->what, sizeof c->what, "from -20 to 20");
    gelu_back_run(c, dy, z, STEPS);
    snprintf(c->what, sizeof c->what, "extremes");
    gelu_back_run(c, dy, odd, COUNT_OF(odd));
    free(z);
    free(dy);
}

/* ---- Cross-entropy ---- */

/* z - max is rounded, exp off by 2 eps of itself, the sum by what its terms are; the factor scale / sum and its product
 * are two more roundings. All else is in double. */
static void cross_entropy_is_near_truth(struct check *c, const float *have, double loss, const float *z, size_t n,
                                        size_t target, float scale)
{
    long double max = -INFINITY, sum = 0, off = 0;
    bool nan = false;
    for (size_t i = 0; i < n; i++) {
        max = (long double)z[i] > max ? (long double)z[i] : max;
        nan = nan || isnan(z[i]);
    }
    if (nan || isinf(max)) max = NAN;
    for (size_t i = 0; i < n; i++) {
        const long double d = (long double)z[i] - max, e = expl(d);
        sum += e;
        off += e > 0 ? e * EPS * (fabsl(d) + 2) : 0;
    }
    off /= sum;
    const long double wanted = (long double)z[target] - max, truth = logl(sum) - wanted;
    const long double near = off + 0x1p-50L * (fabsl(max) + fabsl(wanted) + logl(sum) + 1);
    check_that(c,
               isnan(truth)   ? isnan(loss)
               : isinf(truth) ? isinf(loss)
                              : fabsl((long double)loss - truth) <= near,
               "wrong loss");
    for (size_t i = 0; i < n; i++) {
        const long double d = (long double)z[i] - max, p = expl(d) / sum, s = (long double)scale;
        const long double want = (p - (i == target)) * s, p_off = p > 0 ? p * (EPS * (fabsl(d) + 5) + off) : 0;
        check_near(c, i, have[i], want, fabsl(s) * (p_off + 2 * TINY) + EPS * fabsl(want) + 2 * TINY);
    }
}

static void cross_entropy_run(struct check *c, const float *z, size_t n, size_t target, float scale)
{
    float *first = check_alloc(n);
    double first_loss = 0;
    for (enum place where = 0; where < PLACES; where++) {
        float *y = check_floats(&c->out, where, z, n);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "%s, target %zu, place %d", c->what, target, (int)where);
        const double loss = c->k->cross_entropy(y, n, target, scale);
        check_clean(c, mode, y, n * sizeof *y, NULL, 0);
        if (where == AT_END) {
            memcpy(first, y, n * sizeof *y);
            first_loss = loss;
        }
        for (size_t i = 0; i < n; i++)
            check_same(c, "other bits elsewhere", i, y[i], first[i]);
        check_that(c, loss == first_loss || isnan(loss), "another loss elsewhere");
    }
    cross_entropy_is_near_truth(c, first, first_loss, z, n, target, scale);
    free(first);
}

void check_cross_entropy(struct check *c)
{
    enum { VOCABULARY = 50400 };
    static const float scales[] = {1, 1 / 2048.0f, 0x1p24f, -1};
    float *z = check_alloc(VOCABULARY);
    for (size_t s = 1; s <= SIZES; s++) {
        const size_t n = s < SIZES ? (size_t)check_sizes[s] : VOCABULARY;
        for (int row = 0; row < 8; row++) {
            check_fill(c, z, n, row == 1 ? TINY_X : NORMAL);
            const size_t target = row % 2 ? n - 1 : check_u64(c) % n, other = check_u64(c) % n;
            for (size_t i = 0; row == 2 && i < n; i++) /* nearly certain, all far below 0 */
                z[i] = z[i] * 0.01f - (i == target ? 1e4f : 1.0001e4f);
            for (size_t i = 0; row == 3 && i < n; i++)
                z[i] *= 10;
            if (row == 4) z[other] = -INFINITY;
            if (row == 5) z[target] = -INFINITY;
            if (row == 6) z[other] = INFINITY;
            if (row == 7) z[other] = NAN;
            snprintf(c->what, sizeof c->what, "n %zu, row %d", n, row);
            cross_entropy_run(c, z, n, target, scales[(s + (size_t)row) % COUNT_OF(scales)]);
        }
    }
    free(z);
}

/* ---- Rounding ---- */

typedef uint16_t narrow_fn(float x);
typedef float widen_fn(uint16_t h);

static void round_run(struct check *c, k_round_fn *to_half, narrow_fn *narrow, widen_fn *widen, const float *x,
                      size_t n, enum place where)
{
    float *y = check_floats(&c->out, where, x, n);
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, n %zu, place %d", c->what, n, (int)where);
    to_half(y, n);
    check_clean(c, mode, y, n * sizeof *y, NULL, 0);
    for (size_t i = 0; i < n; i++)
        check_same(c, "other bits", i, y[i], widen(narrow(x[i])));
}

/* The middle between every two halves, the floats beside that, and any bits at all. base/half.h, which
 * tests/test_base.c checks, says what they round to. */
static void check_round(struct check *c, k_round_fn *to_half, narrow_fn *narrow, widen_fn *widen)
{
    static float x[MAX_HALVES];
    static const char *const what[] = {"between halves", "just below", "just above", "any bits"};
    for (size_t set = 0; set < COUNT_OF(what); set++) {
        snprintf(c->what, sizeof c->what, "%s", what[set]);
        for (size_t i = 0; i < MAX_HALVES; i++) {
            const uint16_t h = (uint16_t)(i * 40503); /* odd, so every half occurs, and neighbours are unlike */
            const float middle = (float)(((double)widen(h) + (double)widen((uint16_t)(h + 1))) / 2);
            x[i] = set == 0   ? middle
                   : set == 1 ? nextafterf(middle, -INFINITY)
                   : set == 2 ? nextafterf(middle, INFINITY)
                              : half_float_of((uint32_t)check_u64(c));
        }
        for (enum place where = 0; where < PLACES; where++) {
            round_run(c, to_half, narrow, widen, x, MAX_HALVES, where);
            for (size_t s = 0; s < SIZES; s++)
                round_run(c, to_half, narrow, widen, x + check_u64(c) % 1000, (size_t)check_sizes[s], where);
        }
    }
}

void check_round_f16(struct check *c)
{
    check_round(c, c->k->round_f16, f16_from_f32, f16_to_f32);
}

void check_round_bf16(struct check *c)
{
    check_round(c, c->k->round_bf16, bf16_from_f32, bf16_to_f32);
}

/* ---- Zeros ---- */

void check_zero(struct check *c)
{
    float *x = check_alloc(MAX_I);
    check_fill(c, x, MAX_I, NORMAL);
    for (size_t s = 0; s < SIZES; s++) {
        const size_t n = (size_t)check_sizes[s];
        for (enum place where = 0; where < PLACES; where++) {
            float *at = check_floats(&c->out, where, x, n);
            const unsigned mode = check_float_mode();
            snprintf(c->now, sizeof c->now, "n %zu, place %d", n, (int)where);
            c->k->zero(at, n);
            check_clean(c, mode, at, n * sizeof *at, NULL, 0);
            for (size_t i = 0; i < n; i++)
                check_same(c, "not zero", i, at[i], 0);
        }
    }
    free(x);
}

/* ---- Sum of squares ---- */

/* A sum of n squares in double. */
void check_sum_squares(struct check *c)
{
    float *x = check_alloc(MAX_I);
    for (size_t s = 0; s < SIZES; s++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            const size_t n = (size_t)check_sizes[s];
            long double truth = 0;
            double first = 0;
            check_fill(c, x, n, kind);
            for (size_t i = 0; i < n; i++) {
                x[i] *= kind == CANCEL && i % 3 ? 1e30f : 1; /* too large for fp32's squares */
                truth += (long double)x[i] * (long double)x[i];
            }
            for (enum place where = 0; where < PLACES; where++) {
                const float *at = array(c, 0, where, x, n), *none = check_place(&c->out, where, 0, 1);
                const unsigned mode = check_float_mode();
                snprintf(c->now, sizeof c->now, "n %zu, %s, place %d", n, check_kind_names[kind], (int)where);
                const double sum = c->k->sum_squares(at, n);
                check_clean(c, mode, none, 0, &(struct input){at, x, n * sizeof *x}, 1);
                first = where == AT_END ? sum : first;
                check_that(c, sum == first, "another sum elsewhere");
            }
            const long double off = fabsl((long double)first - truth);
            check_that(c, isinf(truth) ? isinf(first) : off <= (8 + sqrtl(n)) * 0x1p-53L * truth, "wrong sum");
        }
    }
    x[2] = NAN;
    check_that(c, isnan(c->k->sum_squares(x, 9)), "lost a NaN");
    free(x);
}

/* ---- AdamW ---- */

enum { P, M, V, GRAD, ARRAYS };

/* What an element has become, from what it was: m and v by their definitions, with three roundings of what moves them
 * (g has two, and g^2 twice as many) and one of the result; p from the m and v found, m / c1 and v / c2 with two
 * roundings each, of which the root halves one, four more up to the step, and one of the result. */
static void adamw_is_near_truth(struct check *c, size_t i, const float have[ARRAYS], const float was[ARRAYS],
                                const struct adamw_step *s)
{
    const long double g = (long double)was[GRAD] * (long double)s->scale, m = (long double)was[M],
                      v = (long double)was[V];
    const long double b1 = (long double)s->beta1, b2 = (long double)s->beta2, p = (long double)was[P];
    const long double new_m = b1 * m + (1 - b1) * g, new_v = b2 * v + (1 - b2) * g * g;
    check_near(c, i, have[M], new_m, 6 * EPS * (1 - b1) * (fabsl(g) + fabsl(m)) + EPS * fabsl(new_m) + 2 * TINY);
    check_near(c, i, have[V], new_v, 8 * EPS * (1 - b2) * (g * g + v) + EPS * new_v + 4 * TINY);
    const long double root = sqrtl((long double)have[V] / (long double)s->correction2) + (long double)s->eps;
    const long double step = (long double)have[M] / (long double)s->correction1 / root, lr = (long double)s->lr;
    const long double decay = (long double)s->decay * p, new_p = p - lr * (step + decay);
    check_near(c, i, have[P], new_p,
               lr * (10 * EPS * (fabsl(step) + fabsl(decay)) + 2 * TINY / root) + EPS * fabsl(new_p) + 2 * TINY);
}

static void adamw_run(struct check *c, float *const x[ARRAYS], size_t n, const struct adamw_step *s)
{
    float *first[3] = {check_alloc(n), check_alloc(n), check_alloc(n)};
    for (enum place where = 0; where < PLACES; where++) {
        float *at[ARRAYS];
        at[P] = check_floats(&c->out, where, x[P], n);
        for (size_t a = M; a < ARRAYS; a++)
            at[a] = array(c, a, where, x[a], n);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "%s, place %d", c->what, (int)where);
        c->k->adamw(at[P], at[M], at[V], at[GRAD], n, s);
        check_clean(c, mode, at[P], n * sizeof(float), &(struct input){at[GRAD], x[GRAD], n * sizeof(float)}, 1);
        for (size_t a = P; a < GRAD; a++) {
            if (a) check_that(c, guarded_clean_outside(&c->in[a], at[a], n * sizeof(float)), "wrote outside a moment");
            if (where == AT_END && n) memcpy(first[a], at[a], n * sizeof(float));
            for (size_t i = 0; i < n; i++)
                check_same(c, "other bits elsewhere", i, at[a][i], first[a][i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        const float was[ARRAYS] = {x[P][i], x[M][i], x[V][i], x[GRAD][i]};
        float alone[ARRAYS] = {was[P], was[M], was[V], was[GRAD]};
        c->k->adamw(&alone[P], &alone[M], &alone[V], &alone[GRAD], 1, s);
        const float have[ARRAYS] = {first[P][i], first[M][i], first[V][i], was[GRAD]};
        for (size_t a = P; a < GRAD; a++)
            check_same(c, "other bits alone", i, have[a], alone[a]);
        adamw_is_near_truth(c, i, have, was, s);
    }
    for (size_t a = P; a < GRAD; a++)
        free(first[a]);
}

void check_adamw(struct check *c)
{
    static const struct adamw_step steps[] = {
        {1e-4, 0.9, 0.95, 1e-8, 0.01, 0.1, 0.05, 1},             /* the first */
        {1e-5, 0.9, 0.999, 1e-8, 0, 0.99, 0.18, 0x1p-24},        /* unscaled */
        {3e-3, 0, 0.99, 1e-6, 0.1, 1, 1 - 0.99 * 0.99, 0.37e-2}, /* clipped */
    };
    float *x[ARRAYS];
    for (int a = 0; a < ARRAYS; a++)
        x[a] = check_alloc(MAX_I);
    for (size_t i = 0; i < SIZES; i++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            const size_t n = (size_t)check_sizes[i];
            check_fill(c, x[P], n, kind == TINY_W ? TINY_X : NORMAL);
            check_fill(c, x[M], n, kind == TINY_X ? TINY_X : NORMAL);
            check_fill(c, x[V], n, kind == TINY_X ? TINY_X : NORMAL);
            check_fill(c, x[GRAD], n, kind);
            for (size_t j = 0; j < n; j++) { /* none yet; as a gradient has left it; cancelling */
                x[V][j] = j % 5 ? fabsf(x[V][j]) : 0;
                if (j % 5 == 0) x[M][j] = 0;
                if (kind == CANCEL) x[GRAD][j] = -9 * x[M][j];
            }
            snprintf(c->what, sizeof c->what, "n %zu, %s", n, check_kind_names[kind]);
            adamw_run(c, x, n, &steps[(i + (size_t)kind) % COUNT_OF(steps)]);
        }
    }
    for (int a = 0; a < ARRAYS; a++)
        free(x[a]);
}
