// SPDX-License-Identifier: Apache-2.0
/* What is done row by row, for whatever vectors the file that includes this is compiled for.
 *
 * What works element by element gives an element the same bits in a vector's body and at a row's end: the end is
 * computed by the same instructions on a partly filled vector, or by others that round alike. Sums depend on a row's
 * length alone: lane j adds up elements j, j + VEC, ... in double, the lanes are added as a tree. */
#ifndef GPTJT_KERNELS_X86_ROWS_H
#define GPTJT_KERNELS_X86_ROWS_H

#include "kernels/kernels.h"
#include "kernels/x86/vec.h"

#ifdef VEC

#include <math.h>
#include <string.h>

#include "base/half.h"

/* ---- Half floats ---- */

typedef vec load_halves_fn(const void *p);
typedef void store_halves_fn(void *p, vec x);
typedef float widen_fn(uint16_t h);
typedef uint16_t narrow_fn(float x);

static inline __attribute__((always_inline)) void widen(load_halves_fn *load, widen_fn *one, float *y, const char *w,
                                                        size_t n)
{
    size_t i = 0;
    for (; i + VEC <= n; i += VEC)
        vec_store(y + i, load(w + i * sizeof(uint16_t)));
    for (; i < n; i++) {
        uint16_t h;
        memcpy(&h, w + i * sizeof h, sizeof h);
        y[i] = one(h);
    }
}

static inline __attribute__((always_inline)) void narrow(store_halves_fn *store, narrow_fn *one, uint16_t *y,
                                                         const float *x, size_t n)
{
    size_t i = 0;
    for (; i + VEC <= n; i += VEC)
        store(y + i, vec_load(x + i));
    for (; i < n; i++)
        y[i] = one(x[i]);
}

static inline void k_widen_f16(float *y, const void *w, size_t n)
{
    widen(vec_load_f16, f16_to_f32, y, w, n);
}

static inline void k_widen_bf16(float *y, const void *w, size_t n)
{
    widen(vec_load_bf16, bf16_to_f32, y, w, n);
}

static inline void k_narrow_f16(uint16_t *y, const float *x, size_t n)
{
    narrow(vec_store_f16, f16_from_f32, y, x, n);
}

static inline void k_narrow_bf16(uint16_t *y, const float *x, size_t n)
{
    narrow(vec_store_bf16, bf16_from_f32, y, x, n);
}

/* ---- Activations ---- */

static inline double row_mean(const float *x, int D)
{
    dvec low = dvec_set1(0), high = dvec_set1(0);
    int i = 0;
    for (; i + VEC <= D; i += VEC) {
        const vec v = vec_load(x + i);
        low = dvec_add(low, dvec_low(v));
        high = dvec_add(high, dvec_high(v));
    }
    double sum = dvec_reduce_add(dvec_add(low, high));
    for (; i < D; i++)
        sum += (double)x[i];
    return sum / D;
}

static inline double row_variance(const float *x, int D, double mean)
{
    const dvec m = dvec_set1(mean);
    dvec low = dvec_set1(0), high = dvec_set1(0);
    int i = 0;
    for (; i + VEC <= D; i += VEC) {
        const vec v = vec_load(x + i);
        const dvec l = dvec_sub(dvec_low(v), m), h = dvec_sub(dvec_high(v), m);
        low = dvec_fma(l, l, low);
        high = dvec_fma(h, h, high);
    }
    double sum = dvec_reduce_add(dvec_add(low, high));
    for (; i < D; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum / D;
}

static inline void k_layer_norm(float *y, const float *x, const float *w, const float *b, int D, float eps)
{
    const double mean = row_mean(x, D), scale = 1 / sqrt(row_variance(x, D, mean) + (double)eps);
    const dvec m = dvec_set1(mean), s = dvec_set1(scale);
    int i = 0;
    for (; i + VEC <= D; i += VEC) {
        const vec v = vec_load(x + i);
        const vec z = vec_of_halves(dvec_mul(dvec_sub(dvec_low(v), m), s), dvec_mul(dvec_sub(dvec_high(v), m), s));
        vec_store(y + i, vec_fma(z, vec_load(w + i), vec_load(b + i)));
    }
    for (; i < D; i++)
        y[i] = fmaf((float)(((double)x[i] - mean) * scale), w[i], b[i]);
}

static inline void k_gelu(float *y, size_t n)
{
    size_t i = 0;
    for (; i + VEC <= n; i += VEC)
        vec_store(y + i, vec_gelu(vec_load(y + i)));
    const int rest = (int)(n - i);
    if (rest) vec_store_n(y + i, rest, vec_gelu(vec_load_n(y + i, rest, 0)));
}

static inline void k_rotary(float *x, const float *sin, const float *cos, int H, int K, int R)
{
    enum { PAIRS = VEC / 2 };
    for (int h = 0; h < H; h++, x += K) {
        int j = 0;
        for (; j + PAIRS <= R / 2; j += PAIRS) {
            const vec v = vec_load(x + 2 * j), other = vec_mul(vec_swap_pairs(v), vec_load_pairs(sin + j));
            vec_store(x + 2 * j, vec_fma_pairs(v, vec_load_pairs(cos + j), other));
        }
        for (; j < R / 2; j++) {
            const float even = x[2 * j], odd = x[2 * j + 1];
            x[2 * j] = fmaf(even, cos[j], -(odd * sin[j]));
            x[2 * j + 1] = fmaf(odd, cos[j], even * sin[j]);
        }
    }
}

/* ---- Rows of scores and logits ---- */

/* The largest number; NaNs are passed over. */
static inline float row_max(const float *x, size_t n)
{
    enum { CHAINS = 4 }; /* the latency of a maximum is hidden by others */
    vec max[CHAINS];
    size_t i = 0;
    for (int v = 0; v < CHAINS; v++)
        max[v] = vec_set1(-INFINITY);
    for (; i + CHAINS * VEC <= n; i += CHAINS * VEC)
        for (size_t v = 0; v < CHAINS; v++)
            max[v] = vec_max(vec_load(x + i + v * VEC), max[v]);
    for (; i + VEC <= n; i += VEC)
        max[0] = vec_max(vec_load(x + i), max[0]);
    if (i < n) max[1] = vec_max(vec_load_n(x + i, (int)(n - i), -INFINITY), max[1]);
    return vec_reduce_max(vec_max(vec_max(max[0], max[1]), vec_max(max[2], max[3])));
}

/* The sum of exp(x[i] - max). */
static inline double sum_exp(const float *x, size_t n, float max)
{
    const vec maxima = vec_set1(max);
    dvec low = dvec_set1(0), high = dvec_set1(0);
    size_t i = 0;
    for (; i + VEC <= n; i += VEC) {
        const vec e = vec_exp(vec_sub(vec_load(x + i), maxima));
        low = dvec_add(low, dvec_low(e));
        high = dvec_add(high, dvec_high(e));
    }
    const int rest = (int)(n - i);
    if (rest) { /* exp(-inf - max) adds nothing, unless there is no finite max, and then the sum is NaN as it is */
        const vec e = vec_exp(vec_sub(vec_load_n(x + i, rest, -INFINITY), maxima));
        low = dvec_add(low, dvec_low(e));
        high = dvec_add(high, dvec_high(e));
    }
    return dvec_reduce_add(dvec_add(low, high));
}

static inline double k_log_sum_exp(const float *x, size_t n)
{
    const float max = row_max(x, n);
    return (double)max + log(sum_exp(x, n, max));
}

/* Where lane 0 of a vector is element i, the element of the lowest bit. */
static inline size_t element_of(size_t i, unsigned bits)
{
    return i + (size_t)__builtin_ctz(bits);
}

static inline size_t k_first_at_least(const float *x, size_t n, float least)
{
    const vec wanted = vec_set1(least);
    size_t i = 0;
    for (; i + 4 * VEC <= n; i += 4 * VEC) { /* four at once: almost always there is none */
        const vec a = vec_max(vec_load(x + i), vec_set1(-INFINITY)), b = vec_max(vec_load(x + i + VEC), a);
        const vec c = vec_max(vec_load(x + i + 2 * VEC), b), d = vec_max(vec_load(x + i + 3 * VEC), c);
        if (vec_at_least(d, wanted)) break;
    }
    for (; i + VEC <= n; i += VEC) {
        const unsigned found = vec_at_least(vec_load(x + i), wanted);
        if (found) return element_of(i, found);
    }
    const unsigned found = i < n ? vec_at_least(vec_load_n(x + i, (int)(n - i), NAN), wanted) : 0;
    return found ? element_of(i, found) : n;
}

/* x - x is 0, or NaN if x is NaN or infinite. */
static inline size_t k_first_not_finite(const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 * VEC <= n; i += 4 * VEC) {
        const vec a = vec_load(x + i), b = vec_load(x + i + VEC), c = vec_load(x + i + 2 * VEC),
                  d = vec_load(x + i + 3 * VEC);
        if (vec_is_nan(vec_add(vec_add(vec_sub(a, a), vec_sub(b, b)), vec_add(vec_sub(c, c), vec_sub(d, d))))) break;
    }
    for (; i + VEC <= n; i += VEC) {
        const vec v = vec_load(x + i);
        const unsigned found = vec_is_nan(vec_sub(v, v));
        if (found) return element_of(i, found);
    }
    const vec v = vec_load_n(x + i, (int)(n - i), 0);
    const unsigned found = vec_is_nan(vec_sub(v, v));
    return found ? element_of(i, found) : n;
}

static inline size_t k_argmax(const float *x, size_t n)
{
    return isnan(x[0]) ? 0 : k_first_at_least(x, n, row_max(x, n));
}

static inline void rows_fill(struct kernels *k)
{
    k->widen_f16 = k_widen_f16;
    k->widen_bf16 = k_widen_bf16;
    k->narrow_f16 = k_narrow_f16;
    k->narrow_bf16 = k_narrow_bf16;
    k->layer_norm = k_layer_norm;
    k->gelu = k_gelu;
    k->rotary = k_rotary;
    k->argmax = k_argmax;
    k->log_sum_exp = k_log_sum_exp;
    k->first_at_least = k_first_at_least;
    k->first_not_finite = k_first_not_finite;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

static inline void rows_fill(struct kernels *k)
{
    (void)k;
}

#endif
#endif
