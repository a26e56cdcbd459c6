// SPDX-License-Identifier: Apache-2.0
#include "kernels/quant.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/half.h"

/* ---- Where things are in a strip ---- */

static size_t value_at(enum weight_type t, int o, int i)
{
    const size_t block = (size_t)(i / QUANT_BLOCK), in_block = (size_t)(i % QUANT_BLOCK);
    const size_t within = t == WEIGHT_Q4 ? in_block % 32 : in_block;
    return block * quant_block_bytes(t) + within / QUANT_STEP * QUANT_STEP_BYTES + (size_t)o * QUANT_STEP +
           within % QUANT_STEP;
}

static size_t scale_at(enum weight_type t, int I, int o, int i)
{
    return quant_blocks(I) * quant_block_bytes(t) +
           ((size_t)(i / quant_group(t)) * QUANT_STRIP + (size_t)o) * sizeof(uint16_t);
}

static int shift_of(enum weight_type t, int i)
{
    return t == WEIGHT_Q4 && i % QUANT_BLOCK >= 32 ? 4 : 0;
}

int quant_value(const void *strip, enum weight_type t, int o, int i)
{
    const unsigned byte = ((const uint8_t *)strip)[value_at(t, o, i)];
    const unsigned stored = t == WEIGHT_Q4 ? byte >> shift_of(t, i) & 15 : byte;
    return (int)stored - quant_zero(t);
}

float quant_scale(const void *strip, enum weight_type t, int I, int o, int i)
{
    uint16_t h;
    memcpy(&h, (const char *)strip + scale_at(t, I, o, i), sizeof h);
    return f16_to_f32(h);
}

void quant_row(float *y, const void *strip, enum weight_type t, int I, int o, int at, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = quant_scale(strip, t, I, o, at + i) * (float)quant_value(strip, t, o, at + i);
}

/* ---- Quantising ---- */

static void put(void *strip, enum weight_type t, int o, int i, int value)
{
    uint8_t *byte = (uint8_t *)strip + value_at(t, o, i);
    *byte = (uint8_t)(*byte | (unsigned)(value + quant_zero(t)) << shift_of(t, i));
}

static int clamp(float x, int low, int high)
{
    const int v = (int)lrintf(x);
    return v < low ? low : v > high ? high : v;
}

/* q8 is symmetric. In q4 the largest weight, whatever its sign, becomes -8, which gives the others half a step more
 * than the symmetric -7..7 (as ggml's q4_0). */
static float scale_for(enum weight_type t, const float *w, int n)
{
    float extreme = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(w[i]) > fabsf(extreme)) extreme = w[i];
    return t == WEIGHT_Q4 ? extreme / -8 : fabsf(extreme) / 127;
}

static void quantise_group(void *strip, enum weight_type t, const float *w, int I, int o, int at, int n)
{
    const uint16_t half = f16_from_f32(scale_for(t, w, n));
    const float scale = f16_to_f32(half);
    memcpy((char *)strip + scale_at(t, I, o, at), &half, sizeof half);
    for (int i = 0; i < quant_group(t); i++) {
        const float x = i < n && scale != 0 ? w[i] / scale : 0;
        put(strip, t, o, at + i, t == WEIGHT_Q4 ? clamp(x, -8, 7) : clamp(x, -127, 127));
    }
}

void quant_strip(void *strip, enum weight_type t, const float *w, size_t w_stride, int O, int I)
{
    memset(strip, 0, quant_strip_bytes(t, I));
    const int group = quant_group(t), padded = (int)quant_blocks(I) * QUANT_BLOCK;
    for (int o = 0; o < QUANT_STRIP; o++) {
        for (int at = 0; at < padded; at += group) {
            const int left = o < O ? I - at : 0, n = left < 0 ? 0 : left < group ? left : group;
            quantise_group(strip, t, w + (size_t)(n ? o : 0) * w_stride + (n ? at : 0), I, o, at, n);
        }
    }
}

/* Bits of |x| order as numbers do, with NaN above infinity: a group that holds one has a scale that is not finite. */
static float largest(const float *x, int n)
{
    uint32_t max = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t bits = half_bits_of(x[i]) & 0x7fffffff;
        max = bits > max ? bits : max;
    }
    return half_float_of(max);
}

void quant_activations(int8_t *value, float *scale, int32_t *sum, const float *x, int I, int group)
{
    const int groups = (int)quant_blocks(I) * (QUANT_BLOCK / group);
    for (int g = 0; g < groups; g++) {
        const int left = I - g * group, n = left < 0 ? 0 : left < group ? left : group;
        const float max = largest(x + (n ? g * group : 0), n);
        const bool usable = max > QUANT_TINY && max <= FLT_MAX;
        const float inverse = usable ? 127 / max : 0;
        scale[g] = max > 0 && max <= QUANT_TINY ? 0 : max / 127;
        sum[g] = 0;
        for (int i = 0; i < group; i++) {
            const int v = usable && i < n ? (int)lrintf(x[g * group + i] * inverse) : 0;
            value[g * group + i] = (int8_t)v;
            sum[g] += v;
        }
    }
}
