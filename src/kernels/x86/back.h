// SPDX-License-Identifier: Apache-2.0
/* The backward pass and the optimizer, row by row or element by element, for whatever vectors the file that includes
 * this is compiled for. As in rows.h, an element has the same bits in a vector's body and at a row's end, and sums
 * along a row depend on its length alone. */
#ifndef GPTJT_KERNELS_X86_BACK_H
#define GPTJT_KERNELS_X86_BACK_H

#include "kernels/x86/rows.h"

#ifdef VEC

/* The vector that begins at x, or as much of it as is left of n elements, filled up with zeros. */
static inline vec load_up_to(const float *x, size_t n)
{
    return n >= VEC ? vec_load(x) : vec_load_n(x, (int)n, 0);
}

static inline void store_up_to(float *x, size_t n, vec v)
{
    if (n >= VEC)
        vec_store(x, v);
    else
        vec_store_n(x, (int)n, v);
}

/* ---- Layer norm ---- */

/* sum[0] = sum of dy w, sum[1] = sum of dy w x^ over a row. */
static inline void normed_sums(double sum[2], const float *dy, const float *x, const float *w, int D, double mean,
                               double scale)
{
    const dvec m = dvec_set1(mean), s = dvec_set1(scale);
    dvec low = dvec_set1(0), high = low, low_x = low, high_x = low;
    for (int i = 0; i < D; i += VEC) {
        const size_t n = (size_t)(D - i);
        const vec d = load_up_to(dy + i, n), v = load_up_to(x + i, n), u = load_up_to(w + i, n);
        const dvec l = dvec_mul(dvec_low(d), dvec_low(u)), h = dvec_mul(dvec_high(d), dvec_high(u));
        low = dvec_add(low, l);
        high = dvec_add(high, h);
        low_x = dvec_fma(l, dvec_mul(dvec_sub(dvec_low(v), m), s), low_x);
        high_x = dvec_fma(h, dvec_mul(dvec_sub(dvec_high(v), m), s), high_x);
    }
    sum[0] = dvec_reduce_add(dvec_add(low, high));
    sum[1] = dvec_reduce_add(dvec_add(low_x, high_x));
}

static inline void k_layer_norm_back(float *dx, float stats[2], const float *dy, const float *x, const float *w, int D,
                                     float eps)
{
    const double mean = row_mean(x, D), scale = 1 / sqrt(row_variance(x, D, mean) + (double)eps);
    double sum[2];
    normed_sums(sum, dy, x, w, D, mean, scale);
    const dvec m = dvec_set1(mean), s = dvec_set1(scale);
    const vec g_mean = vec_set1((float)(sum[0] / D)), minus_gx_mean = vec_set1((float)(-sum[1] / D));
    const vec slope = vec_set1((float)scale);
    for (int i = 0; i < D; i += VEC) {
        const size_t n = (size_t)(D - i);
        const vec v = load_up_to(x + i, n), g = vec_mul(load_up_to(dy + i, n), load_up_to(w + i, n));
        const vec z = vec_of_halves(dvec_mul(dvec_sub(dvec_low(v), m), s), dvec_mul(dvec_sub(dvec_high(v), m), s));
        const vec d = vec_fma(z, minus_gx_mean, vec_sub(g, g_mean));
        store_up_to(dx + i, n, vec_fma(d, slope, load_up_to(dx + i, n)));
    }
    stats[0] = (float)mean;
    stats[1] = (float)scale;
}

/* ---- Sums over rows, in double ---- */

/* Columns whose sums stay in the L1 cache while all rows pass. */
enum { SUM_COLUMNS = 1024 };

/* sum[n] += those in double. */
static inline void add_sums(float *sum, const double *from, int n)
{
    for (int i = 0; i < n; i++)
        sum[i] = (float)((double)sum[i] + from[i]);
}

static inline void add_to_sums(double *sum, vec x)
{
    dvec_store(sum, dvec_add(dvec_load(sum), dvec_low(x)));
    dvec_store(sum + VEC / 2, dvec_add(dvec_load(sum + VEC / 2), dvec_high(x)));
}

static inline void k_layer_norm_sums(float *dw, float *db, const float *dy, const float *x, size_t stride,
                                     const float *stats, int T, int n)
{
    for (int at = 0; at < n; at += SUM_COLUMNS, dy += SUM_COLUMNS, x += SUM_COLUMNS) {
        double w[SUM_COLUMNS] = {0}, b[SUM_COLUMNS] = {0};
        const int columns = n - at < SUM_COLUMNS ? n - at : SUM_COLUMNS;
        for (int t = 0; t < T; t++) {
            const float *d = dy + (size_t)t * stride, *z = x + (size_t)t * stride;
            const vec mean = vec_set1(stats[2 * t]), scale = vec_set1(stats[2 * t + 1]);
            for (int i = 0; i < columns; i += VEC) {
                const size_t left = (size_t)(columns - i);
                const vec g = load_up_to(d + i, left);
                const vec normed = vec_mul(vec_sub(load_up_to(z + i, left), mean), scale);
                dvec_store(w + i, dvec_fma(dvec_low(g), dvec_low(normed), dvec_load(w + i)));
                dvec_store(w + i + VEC / 2, dvec_fma(dvec_high(g), dvec_high(normed), dvec_load(w + i + VEC / 2)));
                add_to_sums(b + i, g);
            }
        }
        add_sums(dw + at, w, columns);
        add_sums(db + at, b, columns);
    }
}

static inline void k_sum_rows(float *sum, const float *x, size_t stride, int T, int n)
{
    for (int at = 0; at < n; at += SUM_COLUMNS, x += SUM_COLUMNS) {
        double s[SUM_COLUMNS] = {0};
        const int columns = n - at < SUM_COLUMNS ? n - at : SUM_COLUMNS;
        for (int t = 0; t < T; t++)
            for (int i = 0; i < columns; i += VEC)
                add_to_sums(s + i, load_up_to(x + (size_t)t * stride + i, (size_t)(columns - i)));
        add_sums(sum + at, s, columns);
    }
}

/* ---- GELU ---- */

/* With c = sqrt(2/pi), a = 0.044715, u = c (z + a z^3) and the logistic function L(2u) = (1 + tanh u) / 2:
 *
 *     gelu'(z) = L(2u) + z L(2u) L(-2u) 2c (1 + 3 a z^2)
 *
 * With e = exp(-|2u|), which cannot overflow, L is 1 / (1 + e) on the one side of 0 and e / (1 + e) on the other. From
 * |z| = 12 on the slope is 0 or 1, as exp(-142) says. */
static inline vec gelu_slope(vec x)
{
    const float twice = 1.5957691216057308f, a = 0.044715f; /* 2c */
    const vec z = vec_min(vec_set1(12), vec_max(vec_set1(-12), x)), z2 = vec_mul(z, z);
    const vec two_u = vec_mul(z, vec_fma(z2, vec_set1(twice * a), vec_set1(twice)));
    const vec e = vec_exp(vec_sub(vec_set1(0), vec_abs(two_u)));
    const vec large = vec_div(vec_set1(1), vec_add(vec_set1(1), e)), small = vec_mul(e, large);
    const vec inner = vec_mul(z, vec_fma(z2, vec_set1(3 * twice * a), vec_set1(twice)));
    return vec_fma(vec_mul(large, small), inner, vec_if_negative(z, small, large));
}

static inline void k_gelu_back(float *dy, const float *z, size_t n)
{
    for (size_t i = 0; i < n; i += VEC)
        store_up_to(dy + i, n - i, vec_mul(load_up_to(dy + i, n - i), gelu_slope(load_up_to(z + i, n - i))));
}

/* ---- Cross-entropy ---- */

/* x[i] = exp(x[i] - max); returns their sum. */
static inline double store_exp(float *x, size_t n, float max)
{
    const vec maxima = vec_set1(max);
    dvec low = dvec_set1(0), high = dvec_set1(0);
    for (size_t i = 0; i < n; i += VEC) {
        const vec v = n - i >= VEC ? vec_load(x + i) : vec_load_n(x + i, (int)(n - i), -INFINITY);
        const vec e = vec_exp(vec_sub(v, maxima));
        store_up_to(x + i, n - i, e);
        low = dvec_add(low, dvec_low(e));
        high = dvec_add(high, dvec_high(e));
    }
    return dvec_reduce_add(dvec_add(low, high));
}

static inline double k_cross_entropy(float *z, size_t n, size_t target, float scale)
{
    const float max = row_max(z, n);
    const double wanted = (double)z[target] - (double)max, sum = store_exp(z, n, max), loss = log(sum) - wanted;
    const vec factor = vec_set1((float)((double)scale / sum));
    for (size_t i = 0; i < n; i += VEC)
        store_up_to(z + i, n - i, vec_mul(load_up_to(z + i, n - i), factor));
    z[target] = (float)(expm1(-loss) * (double)scale);
    return loss;
}

/* ---- Half floats ---- */

static inline __attribute__((always_inline)) void round_to(store_halves_fn *store, load_halves_fn *load, float *x,
                                                           size_t n)
{
    uint16_t halves[VEC];
    for (size_t i = 0; i < n; i += VEC) {
        store(halves, load_up_to(x + i, n - i));
        store_up_to(x + i, n - i, load(halves));
    }
}

static inline void k_round_f16(float *x, size_t n)
{
    round_to(vec_store_f16, vec_load_f16, x, n);
}

static inline void k_round_bf16(float *x, size_t n)
{
    round_to(vec_store_bf16, vec_load_bf16, x, n);
}

/* ---- Optimizer ---- */

/* Elements in front of the first whole vector, whose address is a multiple of its size; there may be fewer. */
static inline size_t unaligned_head(const float *x, size_t n)
{
    const size_t head = (size_t)(-(uintptr_t)x / sizeof *x) % VEC;
    return head < n ? head : n;
}

static inline void k_zero(float *x, size_t n)
{
    const vec zero = vec_set1(0);
    size_t i = unaligned_head(x, n);
    if (i) vec_store_n(x, (int)i, zero);
    for (; n - i >= VEC; i += VEC)
        vec_stream(x + i, zero);
    if (n - i) vec_store_n(x + i, (int)(n - i), zero);
    _mm_sfence(); /* others read it after this */
}

static inline double k_sum_squares(const float *x, size_t n)
{
    enum { CHAINS = 4 }; /* of either half; the latency of an addition is hidden by others */
    dvec low[CHAINS], high[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        low[c] = high[c] = dvec_set1(0);
    for (size_t i = 0; i < n; i += CHAINS * VEC) {
        for (size_t c = 0; c < CHAINS && i + c * VEC < n; c++) {
            const vec v = load_up_to(x + i + c * VEC, n - i - c * VEC);
            low[c] = dvec_fma(dvec_low(v), dvec_low(v), low[c]);
            high[c] = dvec_fma(dvec_high(v), dvec_high(v), high[c]);
        }
    }
    for (int c = 0; c < CHAINS; c++)
        low[c] = dvec_add(low[c], high[c]);
    return dvec_reduce_add(dvec_add(dvec_add(low[0], low[1]), dvec_add(low[2], low[3])));
}

/* The moments move by a part of the way, m + (1 - b1) (g - m): in fp32 b2 m + (1 - b2) g^2 would settle beside g^2, for
 * b2 and 1 - b2, each rounded, do not add up to 1. */
static inline void k_adamw(float *p, float *m, float *v, const float *grad, size_t n, const struct adamw_step *s)
{
    const vec part1 = vec_set1((float)(1 - s->beta1)), part2 = vec_set1((float)(1 - s->beta2));
    const vec scale = vec_set1((float)s->scale), eps = vec_set1((float)s->eps), decay = vec_set1((float)s->decay);
    const vec per_c1 = vec_set1((float)(1 / s->correction1)), per_c2 = vec_set1((float)(1 / s->correction2));
    const vec minus_lr = vec_set1((float)-s->lr);
    for (size_t i = 0; i < n; i += VEC) {
        const size_t left = n - i;
        const vec g = vec_mul(load_up_to(grad + i, left), scale);
        const vec old_m = load_up_to(m + i, left), old_v = load_up_to(v + i, left), old_p = load_up_to(p + i, left);
        const vec new_m = vec_fma(part1, vec_sub(g, old_m), old_m);
        const vec new_v = vec_fma(part2, vec_fma(g, g, vec_sub(vec_set1(0), old_v)), old_v);
        const vec root = vec_add(vec_sqrt(vec_mul(new_v, per_c2)), eps);
        const vec step = vec_fma(decay, old_p, vec_div(vec_mul(new_m, per_c1), root));
        store_up_to(m + i, left, new_m);
        store_up_to(v + i, left, new_v);
        store_up_to(p + i, left, vec_fma(minus_lr, step, old_p));
    }
}

static inline void back_fill(struct kernels *k)
{
    k->layer_norm_back = k_layer_norm_back;
    k->layer_norm_sums = k_layer_norm_sums;
    k->sum_rows = k_sum_rows;
    k->gelu_back = k_gelu_back;
    k->cross_entropy = k_cross_entropy;
    k->round_f16 = k_round_f16;
    k->round_bf16 = k_round_bf16;
    k->zero = k_zero;
    k->sum_squares = k_sum_squares;
    k->adamw = k_adamw;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

static inline void back_fill(struct kernels *k)
{
    (void)k;
}

#endif
#endif
