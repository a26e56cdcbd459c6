// SPDX-License-Identifier: Apache-2.0
/* Quantised weights and activations, sixteen lanes at a time. */
#ifndef GPTJT_KERNELS_X86_QUANT_AVX512_H
#define GPTJT_KERNELS_X86_QUANT_AVX512_H

#if defined(__AVX512F__)

#include <float.h>
#include <string.h>

#include "kernels/quant.h"
#include "kernels/x86/lanes_avx512.h"

enum { STEPS = QUANT_BLOCK / QUANT_STEP };

/* ---- Weights as numbers ---- */

/* Sixteen outputs of a strip: one of the four bytes in each lane, or a half of it, as numbers. */
INLINE __m512 number(__m512i bytes, int shift, int mask, int zero)
{
    const __m512i stored = _mm512_and_si512(_mm512_srli_epi32(bytes, (unsigned)shift), _mm512_set1_epi32(mask));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(stored, _mm512_set1_epi32(zero)));
}

/* Step 0 .. 15 of a block as it is stored: for each of 16 outputs, four inputs with their zero added. */
INLINE __m512i stored_step(enum weight_type type, const char *block, int step)
{
    if (type == WEIGHT_Q8) return load_vector(block + step * QUANT_STEP_BYTES);
    const __m512i v = load_vector(block + step % 8 * QUANT_STEP_BYTES);
    return _mm512_and_si512(step < 8 ? v : _mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}

/* Stores 16 outputs' inputs i .. i+3 of a block. */
typedef void put_inputs_fn(int32_t *to, size_t lane, int i, const __m512 x[4]);

/* A block of 64 inputs of one strip, of which the panel has the first n. */
INLINE void pack_block(enum weight_type type, put_inputs_fn *put_inputs, int32_t *to, size_t lane, const char *block,
                       int at, int n)
{
    const int per_byte = type == WEIGHT_Q4 ? 2 : 1, steps = QUANT_BLOCK / QUANT_STEP / per_byte;
    const int bits = 8 / per_byte, mask = (1 << bits) - 1;
    __m512 scale[2];
    for (int g = 0; g < per_byte; g++)
        scale[g] = _mm512_cvtph_ps(load_half_vector(block + quant_values_bytes(type) + g * 32));
    for (int s = 0; s < steps; s++) {
        const __m512i v = load_vector(block + s * QUANT_STEP_BYTES);
        UNROLL for (int part = 0; part < per_byte; part++)
        {
            const int i = part * 32 + s * QUANT_STEP;
            if (i >= n) continue;
            __m512 x[QUANT_STEP];
            UNROLL for (int j = 0; j < QUANT_STEP; j++)
                x[j] = _mm512_mul_ps(scale[part], number(v, j * 8 + part * bits, mask, quant_zero(type)));
            put_inputs(to, lane, at + i, x);
        }
    }
}

/* ---- Activations for int8 products ---- */

/* A scale of activations, as quant_activations() has it: the bits of x's unit, and what x is multiplied by. */
struct x_scale {
    int32_t unit;
    __m512 inverse;
    __mmask16 keep; /* none: infinity times zero is no number */
};

/* Of a group of which n inputs exist. */
INLINE struct x_scale x_scale(enum weight_type type, const float *x, int n)
{
    __m512i bits = _mm512_setzero_si512();
    UNROLL for (int k = 0; k < quant_x_group(type); k += LANES)
    {
        const __m512i v = _mm512_castps_si512(_mm512_maskz_loadu_ps(first(n - k), x + k));
        bits = _mm512_max_epi32(bits, _mm512_and_si512(v, _mm512_set1_epi32(0x7fffffff)));
    }
    const float max = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(bits))));
    const int usable = max > QUANT_TINY && max <= FLT_MAX;
    const float unit = max > 0 && max <= QUANT_TINY ? 0 : max / 127;
    struct x_scale s = {.inverse = _mm512_set1_ps(usable ? 127 / max : 0), .keep = usable ? 0xffff : 0};
    memcpy(&s.unit, &unit, sizeof unit);
    return s;
}

/* As many inputs as a group of w has, of which n exist: start is minus zero times their sum, values are put four to a
 * unit, units stride apart. */
INLINE void quantise(int group, int zero, int32_t *start, int32_t *values, int stride, const struct x_scale *scale,
                     const float *x, int n)
{
    __m512i sum = _mm512_setzero_si512();
    UNROLL for (int k = 0; k < group / LANES; k++)
    {
        const __m512 v = _mm512_maskz_loadu_ps(first(n - k * LANES), x + k * LANES);
        const __m512i value = _mm512_maskz_cvtps_epi32(scale->keep, _mm512_mul_ps(v, scale->inverse));
        int32_t four[4];
        _mm_storeu_si128((__m128i *)(void *)four, _mm512_cvtepi32_epi8(value));
        UNROLL for (int s = 0; s < 4; s++) values[(k * 4 + s) * stride] = four[s];
        sum = _mm512_add_epi32(sum, value);
    }
    *start = -zero * _mm512_reduce_add_epi32(sum);
}

/* ---- Panels for int8 products ---- */

/* Of a strip: blocks of [16 steps][16 outputs][4 inputs] bytes, q4 too, then the scales of all. */
INLINE size_t packed_strip_bytes(enum weight_type type, size_t blocks)
{
    return blocks * (QUANT_STRIP * QUANT_BLOCK + quant_scale_bytes(type));
}

#endif
#endif
