// SPDX-License-Identifier: Apache-2.0
/* The reference kernels: the definition of what every other table computes, written to be read. Sums are in double, so
 * they are also the oracle that the fast versions are measured against. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"

static float load_f32(const void *w, size_t i)
{
    float x;
    memcpy(&x, (const char *)w + i * sizeof x, sizeof x);
    return x;
}

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

typedef float load_fn(const void *w, size_t i);

static void matmul(load_fn *load, float *y, size_t y_stride, const float *x, size_t x_stride, const void *w, int T,
                   int O, int I)
{
    for (int o = 0; o < O; o++) {
        for (int t = 0; t < T; t++) {
            double sum = 0;
            for (int i = 0; i < I; i++)
                sum += (double)x[(size_t)t * x_stride + (size_t)i] * (double)load(w, (size_t)o * (size_t)I + (size_t)i);
            y[(size_t)t * y_stride + (size_t)o] = (float)sum;
        }
    }
}

static void k_matmul_f32_ref(float *y, size_t y_stride, const float *x, size_t x_stride, const void *w, int T, int O,
                             int I)
{
    matmul(load_f32, y, y_stride, x, x_stride, w, T, O, I);
}

static void k_matmul_f16_ref(float *y, size_t y_stride, const float *x, size_t x_stride, const void *w, int T, int O,
                             int I)
{
    matmul(load_f16, y, y_stride, x, x_stride, w, T, O, I);
}

static void k_matmul_bf16_ref(float *y, size_t y_stride, const float *x, size_t x_stride, const void *w, int T, int O,
                              int I)
{
    matmul(load_bf16, y, y_stride, x, x_stride, w, T, O, I);
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

static void k_softmax_ref(float *p, int n)
{
    float max = p[0];
    for (int s = 1; s < n; s++)
        max = p[s] > max ? p[s] : max;
    double sum = 0;
    for (int s = 0; s < n; s++) {
        p[s] = expf(p[s] - max);
        sum += (double)p[s];
    }
    for (int s = 0; s < n; s++)
        p[s] = (float)((double)p[s] / sum);
}

void kernels_init_ref(struct kernels *k)
{
    *k = (struct kernels){
        .name = "ref",
        .matmul_f32 = k_matmul_f32_ref,
        .matmul_f16 = k_matmul_f16_ref,
        .matmul_bf16 = k_matmul_bf16_ref,
        .widen_f16 = k_widen_f16_ref,
        .widen_bf16 = k_widen_bf16_ref,
        .layer_norm = k_layer_norm_ref,
        .gelu = k_gelu_ref,
        .rotary = k_rotary_ref,
        .softmax = k_softmax_ref,
    };
}
