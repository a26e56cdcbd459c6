// SPDX-License-Identifier: Apache-2.0
/* exp and what is made of it, sixteen at a time. Only files compiled for AVX-512F include this. math_avx2.h explains
 * the method and derives the bound, 1.38 * 2^-24: up to its scaling this is the same sequence of operations, and so the
 * same bits. */
#ifndef GPTJT_KERNELS_X86_MATH_AVX512_H
#define GPTJT_KERNELS_X86_MATH_AVX512_H

#if defined(__AVX512F__)

#include <immintrin.h>

/* Overflows to infinity, underflows through the denormals to 0; exp(-inf) is 0, exp(0) is 1, of NaN it is NaN. */
static inline __m512 exp16(__m512 x)
{
    /* From here on outwards the results are 0 and infinity. The bound comes first: then max and min keep a NaN. */
    x = _mm512_max_ps(_mm512_set1_ps(-105), x);
    x = _mm512_min_ps(_mm512_set1_ps(89), x);

    /* Adding 1.5 2^23 rounds to an integer. */
    const __m512 shift = _mm512_set1_ps(0x1.8p23f);
    const __m512 n = _mm512_sub_ps(_mm512_fmadd_ps(x, _mm512_set1_ps(0x1.715476p+0f), shift), shift);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);

    __m512 q = _mm512_set1_ps(0x1.6a7032p-10f);
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.123746p-7f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.55587ap-5f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.555494p-3f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.fffffcp-2f));
    const __m512 p = _mm512_fmadd_ps(q, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(_mm512_fmadd_ps(p, r, _mm512_set1_ps(1)), n); /* y 2^n, rounded once */
}

/* "gelu_new": 0.5 y (1 + tanh(u)) = y / (1 + exp(-2u)), u = sqrt(2/pi) (y + 0.044715 y^3). Unlike 1 + tanh(u) it
 * cancels nowhere. */
static inline __m512 gelu16(__m512 y)
{
    const float twice = 1.5957691216057308f; /* 2 sqrt(2/pi) */
    const __m512 y2 = _mm512_mul_ps(y, y);
    const __m512 minus_2u_over_y = _mm512_fnmadd_ps(y2, _mm512_set1_ps(twice * 0.044715f), _mm512_set1_ps(-twice));
    const __m512 e = exp16(_mm512_mul_ps(y, minus_2u_over_y));
    return _mm512_div_ps(y, _mm512_add_ps(_mm512_set1_ps(1), e));
}

#endif
#endif
