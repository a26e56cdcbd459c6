// SPDX-License-Identifier: Apache-2.0
/* What the AVX-512 linear maps share: sixteen lanes of 32 bits. */
#ifndef GPTJT_KERNELS_X86_LANES_AVX512_H
#define GPTJT_KERNELS_X86_LANES_AVX512_H

#if defined(__AVX512F__)

#include <immintrin.h>

#include "base/compiler.h"
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, VECTOR_BYTES = 64 };

/* The first n of 16 lanes. */
INLINE __mmask16 first(int n)
{
    return (__mmask16)(n >= LANES ? 0xffff : n > 0 ? (1u << n) - 1 : 0);
}

INLINE __m512i load_vector(const void *p)
{
    return _mm512_loadu_si512(p);
}

INLINE __m256i load_half_vector(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Sixteen numbers, the first n of which exist; the others are zero. */
typedef __m512 wide_fn(const char *w, int n);

INLINE __m512 wide_f32(const char *w, int n)
{
    return n >= LANES ? _mm512_loadu_ps((const void *)w) : _mm512_maskz_loadu_ps(first(n), w);
}

INLINE __m256i wide_halves(const char *w, int n)
{
    return n >= LANES ? load_half_vector(w) : _mm256_maskz_loadu_epi16(first(n), w);
}

INLINE __m512 wide_f16(const char *w, int n)
{
    return _mm512_cvtph_ps(wide_halves(w, n));
}

INLINE __m512 wide_bf16(const char *w, int n)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(wide_halves(w, n)), 16));
}

typedef void store_fn(void *p, __m512i v);

INLINE void store_vector(void *p, __m512i v)
{
    _mm512_storeu_si512(p, v);
}

/* Past the caches; p is aligned. Others see it after an sfence. */
INLINE void stream_vector(void *p, __m512i v)
{
    _mm512_stream_si512(p, v);
}

/* Lane j of v[i] becomes lane i of v[j]. */
INLINE void transpose16(__m512i v[LANES])
{
    __m512i a[LANES];
    UNROLL for (int i = 0; i < LANES; i += 2)
    {
        a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < LANES; i += 4)
    {
        v[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    /* v[4g + k] now holds lanes k, 4 + k, 8 + k, 12 + k of four inputs each */
    UNROLL for (int k = 0; k < 4; k++)
    {
        const __m512i low = _mm512_shuffle_i32x4(v[k], v[4 + k], 0x44);
        const __m512i high = _mm512_shuffle_i32x4(v[k], v[4 + k], 0xee);
        const __m512i low2 = _mm512_shuffle_i32x4(v[8 + k], v[12 + k], 0x44);
        const __m512i high2 = _mm512_shuffle_i32x4(v[8 + k], v[12 + k], 0xee);
        a[k] = _mm512_shuffle_i32x4(low, low2, 0x88);
        a[4 + k] = _mm512_shuffle_i32x4(low, low2, 0xdd);
        a[8 + k] = _mm512_shuffle_i32x4(high, high2, 0x88);
        a[12 + k] = _mm512_shuffle_i32x4(high, high2, 0xdd);
    }
    UNROLL for (int i = 0; i < LANES; i++) v[i] = a[i];
}

/* z[i] += the lanes of sum[i], lane 0 first. */
INLINE __m128 add_lanes(__m128 z, const __m512 sum[4])
{
    const __m512 ab = _mm512_unpacklo_ps(sum[0], sum[1]), AB = _mm512_unpackhi_ps(sum[0], sum[1]);
    const __m512 cd = _mm512_unpacklo_ps(sum[2], sum[3]), CD = _mm512_unpackhi_ps(sum[2], sum[3]);
    __m512 lane[4] = {_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee), _mm512_shuffle_ps(AB, CD, 0x44),
                      _mm512_shuffle_ps(AB, CD, 0xee)}; /* each: lane j, 4 + j, 8 + j, 12 + j of all four */
    UNROLL for (int quarter = 0; quarter < 4; quarter++)
    {
        UNROLL for (int j = 0; j < 4; j++)
        {
            z = _mm_add_ps(z, _mm512_castps512_ps128(lane[j]));
            lane[j] = _mm512_shuffle_f32x4(lane[j], lane[j], 0x39);
        }
    }
    return z;
}

#endif
#endif
