// SPDX-License-Identifier: Apache-2.0
/* The vectors that a file is compiled for, under one set of names, so that a kernel can be written once and compiled
 * for each instruction set. Nothing at all where there are none. */
#ifndef GPTJT_KERNELS_X86_VEC_H
#define GPTJT_KERNELS_X86_VEC_H

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

#include "kernels/x86/math_avx2.h"

enum { VEC = 8 }; /* floats */
typedef __m256 vec;

static inline vec vec_set1(float x)
{
    return _mm256_set1_ps(x);
}

static inline vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void vec_store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}

static inline vec vec_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static inline vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

static inline vec vec_exp(vec x)
{
    return exp8(x);
}

/* x where from <= lane < to, else other. */
static inline vec vec_select(vec x, vec other, int from, int to)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(to), lane);
    const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32(from), lane);
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(_mm256_andnot_si256(before, below)));
}

/* Over the lanes, as a tree. */
static inline float vec_reduce_add(vec x)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float vec_first(vec x)
{
    return _mm256_cvtss_f32(x);
}

static inline float vec_reduce_max(vec x)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#endif
#endif
