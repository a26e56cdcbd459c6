// SPDX-License-Identifier: Apache-2.0
/* Vectors of AVX-512 F, BW, DQ and VL; vec.h includes this and says what the functions do. */
#ifndef GPTJT_KERNELS_X86_VEC_AVX512_H
#define GPTJT_KERNELS_X86_VEC_AVX512_H

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>

#include "kernels/x86/math_avx512.h"

#define VEC 16

typedef __m512 vec;
typedef __m512d dvec;

static inline vec vec_set1(float x)
{
    return _mm512_set1_ps(x);
}

/* ---- Memory ---- */

static inline vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void vec_store(float *p, vec x)
{
    _mm512_storeu_ps(p, x);
}

static inline void vec_stream(float *p, vec x)
{
    _mm512_stream_ps(p, x);
}

static inline __mmask16 vec_first_lanes(int n)
{
    return (__mmask16)((1u << n) - 1);
}

static inline vec vec_load_n(const float *p, int n, float others)
{
    return _mm512_mask_loadu_ps(vec_set1(others), vec_first_lanes(n), p);
}

static inline void vec_store_n(float *p, int n, vec x)
{
    _mm512_mask_storeu_ps(p, vec_first_lanes(n), x);
}

static inline vec vec_load_pairs(const float *p)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}

static inline vec vec_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline vec vec_load_bf16(const void *p)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline void vec_store_f16(void *p, vec x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* As bf16_from_f32() in base/half.h. */
static inline void vec_store_bf16(void *p, vec x)
{
    const __m512i u = _mm512_castps_si512(x), upper = _mm512_srli_epi32(u, 16), one = _mm512_set1_epi32(1);
    const __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), _mm512_and_si512(upper, one));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(u, half), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i wide = _mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(wide));
}

/* ---- Arithmetic ---- */

static inline vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vec vec_fma_pairs(vec a, vec b, vec c)
{
    return _mm512_fmaddsub_ps(a, b, c);
}

static inline vec vec_swap_pairs(vec x)
{
    return _mm512_permute_ps(x, 0xb1);
}

static inline vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

static inline vec vec_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}

static inline vec vec_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

static inline vec vec_sqrt(vec x)
{
    return _mm512_sqrt_ps(x);
}

static inline vec vec_abs(vec x)
{
    return _mm512_abs_ps(x);
}

static inline vec vec_if_negative(vec x, vec a, vec b)
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), b, a);
}

static inline vec vec_exp(vec x)
{
    return exp16(x);
}

static inline vec vec_gelu(vec x)
{
    return gelu16(x);
}

/* ---- Across lanes ---- */

static inline unsigned vec_at_least(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}

static inline unsigned vec_is_nan(vec x)
{
    return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
}

static inline float vec_reduce_max(vec x)
{
    return _mm512_reduce_max_ps(x);
}

/* ---- Doubles ---- */

static inline dvec dvec_set1(double x)
{
    return _mm512_set1_pd(x);
}

static inline dvec dvec_load(const double *p)
{
    return _mm512_loadu_pd(p);
}

static inline void dvec_store(double *p, dvec x)
{
    _mm512_storeu_pd(p, x);
}

static inline dvec dvec_low(vec x)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}

static inline dvec dvec_high(vec x)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
}

static inline vec vec_of_halves(dvec low, dvec high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
}

static inline dvec dvec_add(dvec a, dvec b)
{
    return _mm512_add_pd(a, b);
}

static inline dvec dvec_sub(dvec a, dvec b)
{
    return _mm512_sub_pd(a, b);
}

static inline dvec dvec_mul(dvec a, dvec b)
{
    return _mm512_mul_pd(a, b);
}

static inline dvec dvec_fma(dvec a, dvec b, dvec c)
{
    return _mm512_fmadd_pd(a, b, c);
}

static inline double dvec_reduce_add(dvec x)
{
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd(x, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

#endif
#endif
