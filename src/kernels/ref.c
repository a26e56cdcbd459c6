// SPDX-License-Identifier: Apache-2.0
/* The reference kernels: the definition of what every other table computes, written to be read. Sums are in double, so
 * they are also the oracle that the fast versions are measured against. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"

static uint16_t load_u16(const void *w, size_t i)
{
    uint16_t x;
    memcpy(&x, (const char *)w + i * sizeof x, sizeof x);
    return x;
}

static float load_f16(const void *w, size_t i)
{
    return f16_to_f32(load_u16(w, i));
}

static float load_bf16(const void *w, size_t i)
{
    return bf16_to_f32(load_u16(w, i));
}

static void k_widen_f16_ref(float *y, const void *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = load_f16(w, i);
}

static void k_widen_bf16_ref(float *y, const void *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = load_bf16(w, i);
}

static void k_narrow_f16_ref(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = f16_from_f32(x[i]);
}

static void k_narrow_bf16_ref(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = bf16_from_f32(x[i]);
}

static void k_layer_norm_ref(float *y, const float *x, const float *w, const float *b, int D, float eps)
{
    double mean = 0, variance = 0;
    for (int i = 0; i < D; i++)
        mean += (double)x[i];
    mean /= D;
    for (int i = 0; i < D; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean);
    variance /= D;
    const double scale = 1 / sqrt(variance + (double)eps);
    for (int i = 0; i < D; i++)
        y[i] = (float)(((double)x[i] - mean) * scale * (double)w[i] + (double)b[i]);
}

static void k_gelu_ref(float *y, size_t n)
{
    const float sqrt_2_over_pi = 0.7978845608028654f;
    for (size_t i = 0; i < n; i++)
        y[i] = 0.5f * y[i] * (1 + tanhf(sqrt_2_over_pi * (y[i] + 0.044715f * y[i] * y[i] * y[i])));
}

static void k_rotary_ref(float *x, const float *sin, const float *cos, int H, int K, int R)
{
    for (int h = 0; h < H; h++) {
        for (int j = 0; j < R / 2; j++) {
            float *pair = x + (size_t)h * (size_t)K + 2 * j;
            const float even = pair[0], odd = pair[1];
            pair[0] = even * cos[j] - odd * sin[j];
            pair[1] = odd * cos[j] + even * sin[j];
        }
    }
}

static size_t k_argmax_ref(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static double k_log_sum_exp_ref(const float *x, size_t n)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)expf(x[i] - max);
    return (double)max + log(sum);
}

static size_t k_first_at_least_ref(const float *x, size_t n, float least)
{
    size_t i = 0;
    while (i < n && !(x[i] >= least))
        i++;
    return i;
}

static size_t k_first_not_finite_ref(const float *x, size_t n)
{
    size_t i = 0;
    while (i < n && isfinite(x[i]))
        i++;
    return i;
}

void kernels_init_ref(struct kernels *k)
{
    *k = (struct kernels){
        .name = "ref",
        .widen_f16 = k_widen_f16_ref,
        .widen_bf16 = k_widen_bf16_ref,
        .narrow_f16 = k_narrow_f16_ref,
        .narrow_bf16 = k_narrow_bf16_ref,
        .layer_norm = k_layer_norm_ref,
        .gelu = k_gelu_ref,
        .rotary = k_rotary_ref,
        .argmax = k_argmax_ref,
        .log_sum_exp = k_log_sum_exp_ref,
        .first_at_least = k_first_at_least_ref,
        .first_not_finite = k_first_not_finite_ref,
    };
}
