// SPDX-License-Identifier: Apache-2.0
/* The kernel check's row by row work: widening and narrowing, layer norm, GELU, rotary embedding. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "check_kernels.h"

/* ---- Widening ---- */

/* By the definition of the formats: sign, exponent of the given bits and bias, the rest a fraction. */
static float widened(uint16_t h, int fraction_bits, int bias)
{
    const int exponent_ones = (1 << (15 - fraction_bits)) - 1;
    const int exponent = h >> fraction_bits & exponent_ones, fraction = h & ((1 << fraction_bits) - 1);
    double x = exponent ? ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits)
                        : ldexp(fraction, 1 - bias - fraction_bits);
    if (exponent == exponent_ones) x = fraction ? (double)NAN : (double)INFINITY;
    return (float)(h & 0x8000 ? -x : x);
}

static void widen_run(struct check *c, k_widen_fn *widen, const uint16_t *h, size_t n, enum place where,
                      int fraction_bits, int bias)
{
    const void *w = check_bytes(&c->in[0], where, (const char *)h, n * sizeof *h);
    float *y = check_place(&c->out, where, n * sizeof *y, sizeof *y);
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "n %zu, place %d", n, (int)where);
    widen(y, w, n);
    check_clean(c, mode, y, n * sizeof *y, &(struct input){w, h, n * sizeof *h}, 1);
    for (size_t i = 0; i < n; i++)
        check_same(c, "inexact", i, y[i], widened(h[i], fraction_bits, bias));
}

static void check_widen(struct check *c, k_widen_fn *widen, int fraction_bits, int bias)
{
    static uint16_t all[MAX_HALVES];
    for (size_t i = 0; i < MAX_HALVES; i++)
        all[i] = (uint16_t)(i * 40503); /* odd, so every half occurs, and neighbours are unlike */
    for (enum place where = 0; where < PLACES; where++) {
        widen_run(c, widen, all, MAX_HALVES, where, fraction_bits, bias);
        for (size_t s = 0; s < SIZES; s++)
            widen_run(c, widen, all + check_u64(c) % 1000, (size_t)check_sizes[s], where, fraction_bits, bias);
    }
}

void check_widen_f16(struct check *c)
{
    check_widen(c, c->k->widen_f16, 10, 15);
}

void check_widen_bf16(struct check *c)
{
    check_widen(c, c->k->widen_bf16, 7, 127);
}

/* ---- Narrowing ---- */

typedef uint16_t narrow_fn(float x);
typedef float widen_fn(uint16_t h);

/* To the bit, NaNs too, as base/half.h, which tests/test_base.c checks. */
static void narrow_run(struct check *c, k_narrow_fn *narrow, narrow_fn *one, const float *x, size_t n, enum place where)
{
    const float *x_at = check_floats(&c->in[0], where, x, n);
    uint16_t *y = check_place(&c->out, where, n * sizeof *y, sizeof *y);
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, n %zu, place %d", c->what, n, (int)where);
    narrow(y, x_at, n);
    check_clean(c, mode, y, n * sizeof *y, &(struct input){x_at, x, n * sizeof *x}, 1);
    for (size_t i = 0; i < n; i++)
        check_same(c, "other bits", i, y[i], one(x[i]));
}

static void narrow_places(struct check *c, k_narrow_fn *narrow, narrow_fn *one, const float *x, size_t n)
{
    for (enum place where = 0; where < PLACES; where++) {
        narrow_run(c, narrow, one, x, n, where);
        for (size_t s = 0; n == MAX_HALVES && s < SIZES; s++)
            narrow_run(c, narrow, one, x + check_u64(c) % 1000, (size_t)check_sizes[s], where);
    }
}

/* Every half, what lies in the middle between two, and the floats beside that; where the halves end; any bits. */
static void check_narrow(struct check *c, k_narrow_fn *narrow, narrow_fn *one, widen_fn *wide)
{
    static const float odd[] = {65504,
                                65519.996f,
                                65520,
                                65520.004f,
                                0x1.fep127f,
                                0x1.fefffep127f,
                                0x1.ffp127f,
                                0x1.ff0002p127f,
                                3.4e38f,
                                INFINITY,
                                0x1p-149f,
                                0x1p-127f,
                                0};
    static float exact[MAX_HALVES], middle[MAX_HALVES], below[MAX_HALVES], above[MAX_HALVES], any[MAX_HALVES];
    float minus[COUNT_OF(odd)];
    for (size_t i = 0; i < MAX_HALVES; i++) {
        const uint16_t h = (uint16_t)(i * 40503);
        exact[i] = wide(h);
        middle[i] = (float)(((double)wide(h) + (double)wide((uint16_t)(h + 1))) / 2);
        below[i] = nextafterf(middle[i], -INFINITY);
        above[i] = nextafterf(middle[i], INFINITY);
        any[i] = half_float_of((uint32_t)(check_u64(c) | (i % 8 ? 0 : 0x7f800000))); /* every eighth a NaN */
    }
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        minus[i] = -odd[i];
    const struct {
        const char *what;
        const float *x;
        size_t n;
    } all[] = {{"halves", exact, MAX_HALVES},       {"between halves", middle, MAX_HALVES},
               {"just below", below, MAX_HALVES},   {"just above", above, MAX_HALVES},
               {"any bits", any, MAX_HALVES},       {"ends", odd, COUNT_OF(odd)},
               {"lower ends", minus, COUNT_OF(odd)}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        snprintf(c->what, sizeof c->what, "%s", all[i].what);
        narrow_places(c, narrow, one, all[i].x, all[i].n);
    }
}

void check_narrow_f16(struct check *c)
{
    check_narrow(c, c->k->narrow_f16, f16_from_f32, f16_to_f32);
}

void check_narrow_bf16(struct check *c)
{
    check_narrow(c, c->k->narrow_bf16, bf16_from_f32, bf16_to_f32);
}

/* ---- Layer norm ---- */

/* The mean is off by dm; it shifts every x, and the variance by dm^2. The variance is a sum of D squares. Four more
 * roundings: x - mean, the root, the division and the product with w. */
static void layer_norm_is_near_truth(struct check *c, const float *y, const float *x, const float *w, const float *b,
                                     int D, float eps)
{
    long double mean = 0, size = 0, variance = 0;
    for (int i = 0; i < D; i++) {
        mean += (long double)x[i];
        size += fabsl((long double)x[i]);
    }
    mean /= D;
    for (int i = 0; i < D; i++)
        variance += ((long double)x[i] - mean) * ((long double)x[i] - mean) / D;
    const long double walk = (9 + sqrtl(D)) * EPS, dm = walk * size / D + TINY, v = variance + (long double)eps;
    for (int i = 0; i < D; i++) {
        const long double z = ((long double)x[i] - mean) / sqrtl(v) * (long double)w[i];
        const long double truth = z + (long double)b[i];
        check_near(c, (size_t)i, y[i], truth,
                   fabsl((long double)w[i]) * dm / sqrtl(v) + fabsl(z) * (0.5L * walk + 0.5L * dm * dm / v + 4 * EPS) +
                       EPS * fabsl(truth) + 2 * TINY);
    }
}

static void layer_norm_run(struct check *c, const float *x, const float *w, const float *b, int D, float eps,
                           float *first)
{
    const size_t n = (size_t)D, bytes = n * sizeof *x;
    for (enum place where = 0; where < PLACES; where++) {
        for (int in_place = 0; in_place < 2; in_place++) {
            const float *w_at = check_floats(&c->in[1], where, w, n), *b_at = check_floats(&c->in[2], where, b, n);
            const float *x_at = check_floats(&c->in[0], where, x, n);
            float *y = check_floats(&c->out, where, x, in_place ? n : 0);
            if (!in_place) y = check_place(&c->out, where, bytes, sizeof *y);
            const unsigned mode = check_float_mode();
            snprintf(c->now, sizeof c->now, "%s, place %d%s", c->what, (int)where, in_place ? ", in place" : "");
            c->k->layer_norm(y, in_place ? y : x_at, w_at, b_at, D, eps);
            const struct input in[] = {{x_at, x, bytes}, {w_at, w, bytes}, {b_at, b, bytes}};
            check_clean(c, mode, y, bytes, in, 3);
            if (where == AT_END && !in_place) memcpy(first, y, bytes);
            for (size_t i = 0; i < n; i++)
                check_same(c, "other bits elsewhere", i, y[i], first[i]);
        }
    }
}

void check_layer_norm(struct check *c)
{
    static const struct {
        enum kind kind;
        float offset, scale, eps;
    } rows[] = {{NORMAL, 0, 1, 1e-5f},  {NORMAL, 1000, 1, 1e-5f}, {NORMAL, 0, 0, 1e-5f},     {NORMAL, 3, 0, 1e-6f},
                {TINY_X, 0, 1, 1e-12f}, {SPECIAL, 0, 1, 1e-5f},   {NORMAL, 0, 1e-3f, 1e-5f}, {NORMAL, -5, 1e6f, 1e-5f}};
    float *x = check_alloc(MAX_I), *w = check_alloc(MAX_I), *b = check_alloc(MAX_I), *y = check_alloc(MAX_I);
    for (size_t s = 1; s < SIZES; s++) {
        for (size_t r = 0; r < COUNT_OF(rows); r++) {
            check_fill(c, x, (size_t)check_sizes[s], rows[r].kind);
            check_fill(c, w, (size_t)check_sizes[s], NORMAL);
            check_fill(c, b, (size_t)check_sizes[s], NORMAL);
            for (int i = 0; i < check_sizes[s]; i++)
                x[i] = rows[r].scale == 0 ? rows[r].offset : x[i] * rows[r].scale + rows[r].offset;
            snprintf(c->what, sizeof c->what, "D %d, row %zu", check_sizes[s], r);
            layer_norm_run(c, x, w, b, check_sizes[s], rows[r].eps, y);
            layer_norm_is_near_truth(c, y, x, w, b, check_sizes[s], rows[r].eps);
        }
    }
    free(x);
    free(w);
    free(b);
    free(y);
}

/* ---- In place, element by element ---- */

/* tanh's argument is off by 5 eps of itself at most, which moves tanh by 0.45 * 5 eps; tanh and the sum with 1 add 3;
 * half of that, times |y|. */
static void gelu_is_near_truth(struct check *c, const float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const long double v = (long double)x[i];
        const long double u = 0.797884560802865355879892L * (v + 0.044715L * v * v * v);
        const long double truth = 0.5L * v * (1 + tanhl(u));
        check_near(c, i, y[i], truth, 3 * EPS * fabsl(v) + 2 * EPS * fabsl(truth) + 2 * TINY);
    }
}

static void gelu_run(struct check *c, const float *x, size_t n)
{
    float *first = check_alloc(n);
    for (enum place where = 0; where < PLACES; where++) {
        float *y = check_floats(&c->out, where, x, n);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "%s, place %d", c->what, (int)where);
        c->k->gelu(y, n);
        check_clean(c, mode, y, n * sizeof *y, NULL, 0);
        if (where == AT_END) memcpy(first, y, n * sizeof *y);
        for (size_t i = 0; i < n; i++)
            check_same(c, "other bits elsewhere", i, y[i], first[i]);
    }
    for (size_t i = 0; i < n; i++) {
        float alone = x[i];
        c->k->gelu(&alone, 1);
        check_same(c, "other bits alone", i, first[i], alone);
    }
    gelu_is_near_truth(c, first, x, n);
    free(first);
}

void check_gelu(struct check *c)
{
    enum { STEPS = 4000 };
    static const float odd[] = {0, -0.0f, INFINITY, NAN, 1e10f, -1e10f, 3e38f, -3e38f, 1e-40f, -1e-40f, 0x1p-149f};
    float *x = check_alloc(MAX_I);
    for (size_t s = 0; s < SIZES; s++) {
        check_fill(c, x, (size_t)check_sizes[s], s % 3 ? NORMAL : TINY_X);
        snprintf(c->what, sizeof c->what, "n %d", check_sizes[s]);
        gelu_run(c, x, (size_t)check_sizes[s]);
    }
    for (int i = 0; i < STEPS; i++)
        x[i] = (float)(i - STEPS / 2) * 0.01f; /* -20 .. 20 */
    snprintf(c->what, sizeof c->what, "from -20 to 20");
    gelu_run(c, x, STEPS);
    snprintf(c->what, sizeof c->what, "extremes");
    gelu_run(c, odd, COUNT_OF(odd));
    free(x);
}

/* Two products and a sum, each rounded. */
static void rotary_is_near_truth(struct check *c, const float *y, const float *x, const float *sin, const float *cos,
                                 int H, int K, int R)
{
    for (int i = 0; i < H * K; i++) {
        const int j = i % K / 2, pair = i - i % K % 2;
        if (i % K >= R) {
            check_same(c, "changed what is not rotated", (size_t)i, y[i], x[i]);
            continue;
        }
        const long double own = (long double)x[i] * (long double)cos[j];
        const long double other = (long double)x[i == pair ? i + 1 : pair] * (long double)sin[j];
        const long double truth = i == pair ? own - other : own + other;
        check_near(c, (size_t)i, y[i], truth, 2 * EPS * (fabsl(own) + fabsl(other)) + EPS * fabsl(truth) + 2 * TINY);
    }
}

static void rotary_run(struct check *c, int H, int K, int R, enum kind kind)
{
    const size_t n = (size_t)H * (size_t)K, half = (size_t)R / 2;
    float *x = check_alloc(n), *first = check_alloc(n), *sin = check_alloc(half), *cos = check_alloc(half);
    check_fill(c, x, n, kind);
    for (size_t j = 0; j < half; j++) {
        const double angle = (double)(check_u64(c) >> 40) * 1e-3;
        sin[j] = sinf((float)angle);
        cos[j] = cosf((float)angle);
    }
    for (enum place where = 0; where < PLACES; where++) {
        const float *sin_at = check_floats(&c->in[0], where, sin, half),
                    *cos_at = check_floats(&c->in[1], where, cos, half);
        float *y = check_floats(&c->out, where, x, n);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "H %d, K %d, R %d, %s, place %d", H, K, R, check_kind_names[kind], (int)where);
        c->k->rotary(y, sin_at, cos_at, H, K, R);
        const struct input in[] = {{sin_at, sin, half * sizeof *sin}, {cos_at, cos, half * sizeof *cos}};
        check_clean(c, mode, y, n * sizeof *y, in, 2);
        if (where == AT_END) memcpy(first, y, n * sizeof *y);
        for (size_t i = 0; i < n; i++)
            check_same(c, "other bits elsewhere", i, y[i], first[i]);
    }
    rotary_is_near_truth(c, first, x, sin, cos, H, K, R);
    for (size_t h = 0; h < (size_t)H; h++) { /* each pair alone, in x: it is not needed any more */
        for (size_t j = 0; j < half; j++)
            c->k->rotary(x + h * (size_t)K + 2 * j, sin + j, cos + j, 1, 2, 2);
        for (size_t i = h * (size_t)K; i < (h + 1) * (size_t)K; i++)
            check_same(c, "other bits alone", i, first[i], x[i]);
    }
    free(x);
    free(first);
    free(sin);
    free(cos);
}

void check_rotary(struct check *c)
{
    static const int shapes[][3] = {{1, 2, 2},     {1, 2, 0},   {5, 16, 12},   {7, 10, 10}, {3, 18, 14}, {2, 64, 64},
                                    {16, 256, 64}, {3, 33, 30}, {4, 256, 256}, {1, 16, 16}, {0, 16, 8},  {3, 17, 16}};
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        rotary_run(c, shapes[s][0], shapes[s][1], shapes[s][2], NORMAL);
        rotary_run(c, shapes[s][0], shapes[s][1], shapes[s][2], TINY_X);
        rotary_run(c, shapes[s][0], shapes[s][1], shapes[s][2], SPECIAL);
    }
}
