// SPDX-License-Identifier: Apache-2.0
/* Tiles of products for AVX2, FMA and F16C: factors of any float type, eight at a time, and six rows by sixteen outputs
 * in twelve registers. */
#ifndef GPTJT_KERNELS_X86_TILES_AVX2_H
#define GPTJT_KERNELS_X86_TILES_AVX2_H

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <string.h>

#include "kernels/x86/lanes_avx2.h"

enum { STRIP = 16, TILE = 6 };

/* ---- Factors, eight at a time ---- */

/* To bf16 and back: nearest even; NaN stays NaN. */
INLINE __m256 round_bf16(__m256 x)
{
    const __m256i u = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256 rounded = _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32((int)0xffff0000)));
    return _mm256_blendv_ps(rounded, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

INLINE __m256 load_f32(const char *w)
{
    return _mm256_loadu_ps((const float *)(const void *)w);
}

INLINE __m256 load_f16(const char *w)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
}

INLINE __m256 load_bf16(const char *w)
{
    const __m256i to_high = _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7, -1, -1, 8, 9, -1,
                                             -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15);
    const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)w));
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(twice, to_high));
}

INLINE __m256 load_f32_rounded(const char *w)
{
    return round_bf16(load_f32(w));
}

INLINE __m256 load_f16_rounded(const char *w)
{
    return round_bf16(load_f16(w));
}

typedef __m256 load_fn(const char *w);

/* The last n < 8 of a row, then zeros. */
INLINE __m256 load_last(load_fn *load, size_t bytes, const char *w, int n)
{
    char last[LANES * sizeof(float)] = {0};
    memcpy(last, w, (size_t)n * bytes);
    return load(last);
}

INLINE __m256 load_some(load_fn *load, size_t bytes, const char *w, int n)
{
    return n >= LANES ? load(w) : load_last(load, bytes, w, n);
}

/* ---- Tiles ---- */

/* z[rows][STRIP] += x w over so many steps: x [step][rows], w [step][STRIP]; z's rows are z_stride apart. */
INLINE void tile(int rows, float *z, size_t z_stride, const float *x, const float *w, size_t steps)
{
    __m256 sum[TILE][2];
    UNROLL for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = _mm256_setzero_ps();
#pragma GCC unroll 4
    for (size_t s = 0; s < steps; s++) {
        const __m256 w0 = _mm256_loadu_ps(w + s * STRIP), w1 = _mm256_loadu_ps(w + s * STRIP + LANES);
        UNROLL for (int t = 0; t < rows; t++)
        {
            const __m256 xt = _mm256_broadcast_ss(x + s * (size_t)rows + t);
            sum[t][0] = _mm256_fmadd_ps(xt, w0, sum[t][0]);
            sum[t][1] = _mm256_fmadd_ps(xt, w1, sum[t][1]);
        }
    }
    UNROLL for (int t = 0; t < rows; t++)
    {
        float *zt = z + (size_t)t * z_stride;
        _mm256_storeu_ps(zt, _mm256_add_ps(_mm256_loadu_ps(zt), sum[t][0]));
        _mm256_storeu_ps(zt + LANES, _mm256_add_ps(_mm256_loadu_ps(zt + LANES), sum[t][1]));
    }
}

static void tile_low(int rows, float *z, size_t z_stride, const float *x, const float *w, size_t steps)
{
    switch (rows) {
    case 1: tile(1, z, z_stride, x, w, steps); break;
    case 2: tile(2, z, z_stride, x, w, steps); break;
    case 3: tile(3, z, z_stride, x, w, steps); break;
    case 4: tile(4, z, z_stride, x, w, steps); break;
    default: tile(5, z, z_stride, x, w, steps); break;
    }
}

static inline void tile_any(int rows, float *z, size_t z_stride, const float *x, const float *w, size_t steps)
{
    if (rows == TILE)
        tile(TILE, z, z_stride, x, w, steps);
    else
        tile_low(rows, z, z_stride, x, w, steps);
}

#endif
#endif
