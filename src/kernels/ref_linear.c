// SPDX-License-Identifier: Apache-2.0
/* The reference products: for every way of storing weights and of computing, y = x w^T as kernels.h and quant.h define
 * it, with sums in double. Streaming only, any number of rows. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"
#include "kernels/quant.h"

static float round_bf16(float x)
{
    return bf16_to_f32(bf16_from_f32(x));
}

/* ---- Activations ---- */

static size_t floats_bytes(int T, int I)
{
    return (size_t)T * (size_t)I * sizeof(float);
}

static void prepare_f32(void *to, const float *x, size_t x_stride, int T, int I)
{
    for (int t = 0; t < T; t++)
        memcpy((float *)to + (size_t)t * (size_t)I, x + (size_t)t * x_stride, floats_bytes(1, I));
}

static void prepare_bf16(void *to, const float *x, size_t x_stride, int T, int I)
{
    for (int t = 0; t < T; t++)
        for (int i = 0; i < I; i++)
            ((float *)to)[(size_t)t * (size_t)I + (size_t)i] = round_bf16(x[(size_t)t * x_stride + (size_t)i]);
}

/* A quantised row. */
struct int8_row {
    float *scale;
    int8_t *value;
};

static size_t int8_bytes(int T, int I)
{
    return (size_t)T * quant_blocks(I) * (sizeof(float) + QUANT_BLOCK); /* q4 has half as many scales */
}

static struct int8_row int8_row(const void *x, int t, int I)
{
    char *at = (char *)(uintptr_t)x + int8_bytes(t, I);
    return (struct int8_row){(float *)(void *)at, (int8_t *)at + quant_blocks(I) * sizeof(float)};
}

static void prepare_int8(enum weight_type type, void *to, const float *x, size_t x_stride, int T, int I)
{
    for (int t = 0; t < T; t++) {
        const struct int8_row row = int8_row(to, t, I);
        quant_activations(row.value, row.scale, type, x + (size_t)t * x_stride, I);
    }
}

static void prepare_q8(void *to, const float *x, size_t x_stride, int T, int I)
{
    prepare_int8(WEIGHT_Q8, to, x, x_stride, T, I);
}

static void prepare_q4(void *to, const float *x, size_t x_stride, int T, int I)
{
    prepare_int8(WEIGHT_Q4, to, x, x_stride, T, I);
}

/* ---- Products in fp32 and bf16 ---- */

typedef float weight_fn(const void *w, int I, int o, int i);

static float weight_f32(const void *w, int I, int o, int i)
{
    float x;
    memcpy(&x, (const char *)w + ((size_t)o * (size_t)I + (size_t)i) * sizeof x, sizeof x);
    return x;
}

static uint16_t weight_u16(const void *w, int I, int o, int i)
{
    uint16_t x;
    memcpy(&x, (const char *)w + ((size_t)o * (size_t)I + (size_t)i) * sizeof x, sizeof x);
    return x;
}

static float weight_f16(const void *w, int I, int o, int i)
{
    return f16_to_f32(weight_u16(w, I, o, i));
}

static float weight_bf16(const void *w, int I, int o, int i)
{
    return bf16_to_f32(weight_u16(w, I, o, i));
}

static float weight_quant(enum weight_type t, const void *w, int I, int o, int i)
{
    const char *strip = (const char *)w + (size_t)(o / QUANT_STRIP) * quant_strip_bytes(t, I);
    return quant_scale(strip, t, o % QUANT_STRIP, i) * (float)quant_value(strip, t, o % QUANT_STRIP, i);
}

static float weight_q8(const void *w, int I, int o, int i)
{
    return weight_quant(WEIGHT_Q8, w, I, o, i);
}

static float weight_q4(const void *w, int I, int o, int i)
{
    return weight_quant(WEIGHT_Q4, w, I, o, i);
}

static float rounded_f32(const void *w, int I, int o, int i)
{
    return round_bf16(weight_f32(w, I, o, i));
}

static float rounded_f16(const void *w, int I, int o, int i)
{
    return round_bf16(weight_f16(w, I, o, i));
}

static float rounded_q8(const void *w, int I, int o, int i)
{
    return round_bf16(weight_q8(w, I, o, i));
}

static float rounded_q4(const void *w, int I, int o, int i)
{
    return round_bf16(weight_q4(w, I, o, i));
}

static void stream(weight_fn *weight, float *y, size_t y_stride, const float *x, const void *w, int T, int O, int I)
{
    for (int o = 0; o < O; o++) {
        for (int t = 0; t < T; t++) {
            double sum = 0;
            for (int i = 0; i < I; i++)
                sum += (double)x[(size_t)t * (size_t)I + (size_t)i] * (double)weight(w, I, o, i);
            y[(size_t)t * y_stride + (size_t)o] = (float)sum;
        }
    }
}

#define STREAM(name, weight)                                                                                           \
    static void name(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,     \
                     int O, int I)                                                                                     \
    {                                                                                                                  \
        for (int b = 0; b < bands; b++)                                                                                \
            stream(weight, y + b * O, y_stride, x, (const char *)w + (size_t)b * band_bytes, T, O, I);                 \
    }
STREAM(stream_f32, weight_f32)
STREAM(stream_f16, weight_f16)
STREAM(stream_bf16, weight_bf16)
STREAM(stream_q8, weight_q8)
STREAM(stream_q4, weight_q4)
STREAM(stream_f32_rounded, rounded_f32)
STREAM(stream_f16_rounded, rounded_f16)
STREAM(stream_q8_rounded, rounded_q8)
STREAM(stream_q4_rounded, rounded_q4)

/* ---- Products in int8 ---- */

static double int8_dot(enum weight_type type, const struct int8_row *x, const void *strip, int o, int I)
{
    const int group = quant_group(type), groups = (int)quant_blocks(I) * (QUANT_BLOCK / group);
    double y = 0;
    for (int g = 0; g < groups; g++) {
        int32_t sum = 0;
        for (int i = g * group; i < (g + 1) * group; i++)
            sum += x->value[i] * quant_value(strip, type, o, i);
        y += (double)x->scale[g * group / quant_x_group(type)] * (double)quant_scale(strip, type, o, g * group) * sum;
    }
    return y;
}

static void stream_int8(enum weight_type type, float *y, size_t y_stride, const void *x, const void *w, int T, int O,
                        int I)
{
    for (int t = 0; t < T; t++) {
        const struct int8_row row = int8_row(x, t, I);
        for (int o = 0; o < O; o++) {
            const char *strip = (const char *)w + (size_t)(o / QUANT_STRIP) * quant_strip_bytes(type, I);
            y[(size_t)t * y_stride + (size_t)o] = (float)int8_dot(type, &row, strip, o % QUANT_STRIP, I);
        }
    }
}

static void stream_q8_int8(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,
                           int O, int I)
{
    for (int b = 0; b < bands; b++)
        stream_int8(WEIGHT_Q8, y + b * O, y_stride, x, (const char *)w + (size_t)b * band_bytes, T, O, I);
}

static void stream_q4_int8(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,
                           int O, int I)
{
    for (int b = 0; b < bands; b++)
        stream_int8(WEIGHT_Q4, y + b * O, y_stride, x, (const char *)w + (size_t)b * band_bytes, T, O, I);
}

static struct linear_kernels streamed(k_prepared_bytes_fn *bytes, k_prepare_fn *prepare, k_stream_fn *fn)
{
    return (struct linear_kernels){.prepared_bytes = bytes,
                                   .prepare = prepare,
                                   .stream = fn,
                                   .stream_bands = STREAM_BANDS,
                                   .stream_rows = INT_MAX};
}

void kernels_init_ref_linear(struct kernels *k)
{
    k->quant_strip = quant_strip;
    static k_stream_fn *const plain[WEIGHT_TYPES] = {stream_f32, stream_f16, stream_bf16, stream_q8, stream_q4};
    static k_stream_fn *const rounded[WEIGHT_TYPES] = {stream_f32_rounded, stream_f16_rounded, stream_bf16,
                                                       stream_q8_rounded, stream_q4_rounded};
    for (int w = 0; w < WEIGHT_TYPES; w++) {
        k->linear[COMPUTE_FP32][w] = streamed(floats_bytes, prepare_f32, plain[w]);
        k->linear[COMPUTE_BF16][w] = streamed(floats_bytes, prepare_bf16, rounded[w]);
    }
    k->linear[COMPUTE_INT8][WEIGHT_Q8] = streamed(int8_bytes, prepare_q8, stream_q8_int8);
    k->linear[COMPUTE_INT8][WEIGHT_Q4] = streamed(int8_bytes, prepare_q4, stream_q4_int8);
}
