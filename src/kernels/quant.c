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

static size_t scale_at(enum weight_type t, int o, int i)
{
    const size_t block = (size_t)(i / QUANT_BLOCK), group = (size_t)(i % QUANT_BLOCK / quant_group(t));
    return block * quant_block_bytes(t) + quant_values_bytes(t) + (group * QUANT_STRIP + (size_t)o) * sizeof(uint16_t);
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

float quant_scale(const void *strip, enum weight_type t, int o, int i)
{
    uint16_t h;
    memcpy(&h, (const char *)strip + scale_at(t, o, i), sizeof h);
    return f16_to_f32(h);
}

void quant_row(float *y, const void *strip, enum weight_type t, int o, int at, int n)
{
    const int end = at + n, group = quant_group(t);
    for (int i = at; i < end;) {
        const float scale = quant_scale(strip, t, o, i);
        const int group_end = i / group * group + group;
        for (; i < group_end && i < end; i++)
            y[i - at] = scale * (float)quant_value(strip, t, o, i);
    }
}

/* ---- Quantising ---- */

/* x to the nearest integer within [low, high], even on a tie. */
static float nearest(float x, float low, float high)
{
    const float bias = 0x1.8p23f; /* a float of that size has no fraction, so the addition rounds */
    x = x < low ? low : x;
    x = x > high ? high : x;
    return x + bias - bias;
}

/* The largest in size, with its sign. By bits NaN is above infinity, and so found. */
static float extreme_of(const float *w, int n)
{
    float extreme = 0;
    for (int i = 0; i < n; i++)
        if ((half_bits_of(w[i]) & 0x7fffffff) > (half_bits_of(extreme) & 0x7fffffff)) extreme = w[i];
    return extreme;
}

/* q4 has one value more below zero than above, so the largest weight, whatever its sign, is tried as -8 (ggml's q4_0)
 * and as what is around it: cutting it off, or leaving values unused, can make the others better.
 *
 * With the values v that one scale gives, the scale a/b, a = sum v w, b = sum v v, is the best for them: the squares of
 * the errors then add up to sum w w - a a / b. So of several scales the one with the largest a a / b is the best. */
static float q4_scale(const float *w, int n, float extreme)
{
    static const float ends[] = QUANT_Q4_ENDS;
    float best = 0, scale = 0;
    for (size_t k = 0; k < sizeof ends / sizeof ends[0]; k++) {
        const float inverse = ends[k] / extreme;
        float a = 0, b = 0;
        for (int i = 0; i < n; i++) {
            const float v = nearest(w[i] * inverse, -8, 7);
            a += v * w[i];
            b += v * v;
        }
        const float gain = a * a / b;
        if (gain > best) {
            best = gain;
            scale = a / b;
        }
    }
    return scale;
}

/* Where there is NaN or infinity, that is the scale. */
static float scale_for(enum weight_type t, const float *w, int n)
{
    const float extreme = extreme_of(w, n);
    if (fabsf(extreme) < QUANT_TINY) return 0;
    if (!(fabsf(extreme) <= FLT_MAX)) return extreme;
    return t == WEIGHT_Q4 ? q4_scale(w, n, extreme) : fabsf(extreme) / 127;
}

static void put(void *strip, enum weight_type t, int o, int i, int value)
{
    uint8_t *byte = (uint8_t *)strip + value_at(t, o, i);
    *byte = (uint8_t)(*byte | (unsigned)(value + quant_zero(t)) << shift_of(t, i));
}

static void quantise_group(void *strip, enum weight_type t, const float *w, int o, int at, int n)
{
    const uint16_t half = f16_from_f32(scale_for(t, w, n));
    const float scale = f16_to_f32(half), inverse = scale != 0 && fabsf(scale) <= FLT_MAX ? 1 / scale : 0;
    const float low = t == WEIGHT_Q4 ? -8 : -127, high = t == WEIGHT_Q4 ? 7 : 127;
    memcpy((char *)strip + scale_at(t, o, at), &half, sizeof half);
    for (int i = 0; i < quant_group(t); i++)
        put(strip, t, o, at + i, i < n && inverse != 0 ? (int)nearest(w[i] * inverse, low, high) : 0);
}

void quant_strip(void *strip, enum weight_type t, const float *w, size_t w_stride, int O, int I)
{
    memset(strip, 0, quant_strip_bytes(t, I));
    const int group = quant_group(t), padded = (int)quant_blocks(I) * QUANT_BLOCK;
    for (int o = 0; o < QUANT_STRIP; o++) {
        for (int at = 0; at < padded; at += group) {
            const int left = o < O ? I - at : 0, n = left < 0 ? 0 : left < group ? left : group;
            quantise_group(strip, t, w + (size_t)(n ? o : 0) * w_stride + (n ? at : 0), o, at, n);
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

void quant_activations(int8_t *value, float *scale, enum weight_type t, const float *x, int I)
{
    const int group = quant_x_group(t), padded = (int)quant_blocks(I) * QUANT_BLOCK;
    for (int at = 0; at < padded; at += group, scale++) {
        const int left = I - at < group ? I - at : group;
        const float max = largest(x + at, left);
        const bool usable = max > QUANT_TINY && max <= FLT_MAX;
        const float inverse = usable ? 127 / max : 0;
        *scale = max > 0 && max <= QUANT_TINY ? 0 : max / 127;
        for (int i = at; i < padded && i < at + group; i++)
            value[i] = (int8_t)(usable && i < I ? lrintf(x[i] * inverse) : 0);
    }
}
