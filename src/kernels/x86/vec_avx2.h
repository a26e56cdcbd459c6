// SPDX-License-Identifier: Apache-2.0
/* Vectors of AVX2, FMA and F16C; vec.h includes this and says what the functions do. */
#ifndef GPTJT_KERNELS_X86_VEC_AVX2_H
#define GPTJT_KERNELS_X86_VEC_AVX2_H

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <stdint.h>

#include "kernels/x86/math_avx2.h"

#define VEC 8

typedef __m256 vec;
typedef __m256d dvec;

static inline vec vec_set1(float x)
{
    return _mm256_set1_ps(x);
}

/* ---- Memory ---- */

static inline vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void vec_store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}

/* Past the caches; p is a multiple of the vector's size. */
static inline void vec_stream(float *p, vec x)
{
    _mm256_stream_ps(p, x);
}

static inline __m256i vec_first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vec vec_load_n(const float *p, int n, float others)
{
    const __m256i first = vec_first_lanes(n);
    return _mm256_blendv_ps(vec_set1(others), _mm256_maskload_ps(p, first), _mm256_castsi256_ps(first));
}

static inline void vec_store_n(float *p, int n, vec x)
{
    _mm256_maskstore_ps(p, vec_first_lanes(n), x);
}

static inline vec vec_load_pairs(const float *p)
{
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3); /* of either half, which hold the same */
    return _mm256_permutevar_ps(_mm256_broadcast_ps((const __m128 *)(const void *)p), twice);
}

static inline vec vec_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* Both halves of a register get all eight, then one shuffle within halves puts each above 16 zeros: widening and
 * shifting them takes three times as many instructions of the shuffle unit. */
static inline vec vec_load_bf16(const void *p)
{
    const __m256i upper = _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7, /* low half */
                                           -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15);
    const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(twice, upper));
}

static inline void vec_store_f16(void *p, vec x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* As bf16_from_f32() in base/half.h. */
static inline void vec_store_bf16(void *p, vec x)
{
    const __m256i u = _mm256_castps_si256(x), upper = _mm256_srli_epi32(u, 16), one = _mm256_set1_epi32(1);
    const __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(upper, one));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(u, half), 16);
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i wide = _mm256_blendv_epi8(rounded, quiet, nan);
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1)));
}

/* ---- Arithmetic ---- */

static inline vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec vec_fma_pairs(vec a, vec b, vec c)
{
    return _mm256_fmaddsub_ps(a, b, c);
}

static inline vec vec_swap_pairs(vec x)
{
    return _mm256_permute_ps(x, 0xb1);
}

static inline vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

static inline vec vec_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

static inline vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

static inline vec vec_sqrt(vec x)
{
    return _mm256_sqrt_ps(x);
}

static inline vec vec_abs(vec x)
{
    return _mm256_andnot_ps(vec_set1(-0.0f), x);
}

static inline vec vec_if_negative(vec x, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, x);
}

static inline vec vec_exp(vec x)
{
    return exp8(x);
}

static inline vec vec_gelu(vec x)
{
    return gelu8(x);
}

/* ---- Across lanes ---- */

static inline unsigned vec_at_least(vec a, vec b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ));
}

static inline unsigned vec_is_nan(vec x)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

static inline float vec_reduce_max(vec x)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* ---- Doubles ---- */

static inline dvec dvec_set1(double x)
{
    return _mm256_set1_pd(x);
}

static inline dvec dvec_load(const double *p)
{
    return _mm256_loadu_pd(p);
}

static inline void dvec_store(double *p, dvec x)
{
    _mm256_storeu_pd(p, x);
}

static inline dvec dvec_low(vec x)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}

static inline dvec dvec_high(vec x)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}

static inline vec vec_of_halves(dvec low, dvec high)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low));
}

static inline dvec dvec_add(dvec a, dvec b)
{
    return _mm256_add_pd(a, b);
}

static inline dvec dvec_sub(dvec a, dvec b)
{
    return _mm256_sub_pd(a, b);
}

static inline dvec dvec_mul(dvec a, dvec b)
{
    return _mm256_mul_pd(a, b);
}

static inline dvec dvec_fma(dvec a, dvec b, dvec c)
{
    return _mm256_fmadd_pd(a, b, c);
}

static inline double dvec_reduce_add(dvec x)
{
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

#endif
#endif
