// SPDX-License-Identifier: Apache-2.0
/* exp and what is made of it, eight at a time. Only files compiled for AVX2 and FMA include this.
 *
 * exp(x) = 2^n exp(r) with n = round(x log2 e), r = x - n ln 2, |r| <= ln 2 / 2 (Cody and Waite 1980), and
 * exp(r) = 1 + r (1 + r q(r)), q of degree 4 by tools/ref/minimax_exp.py, which is off by 0.07 e at most, relatively
 * (e = 2^-24). How far y = 1 + r p, p = 1 + r q, is off before it is scaled, in units of e:
 *
 *     n ln2_hi has 23 bits and its subtraction is exact (it cancels); that of n ln2_lo rounds r, which
 *         is below 1/2, by 0.25: 0.25 y
 *     q is rounded by 0.5 and what came before it less: 0.6 r^2
 *     p is rounded by 0.5 below 1 and by 1 above: |r| times that
 *     y is rounded by 0.5 below 1 and by 1 above
 *
 * The worst are both ends, r = -0.347 with (0.18 + 0.07 + 0.17 + 0.5 + 0.05) / 0.707 and r = 0.347 with
 * (0.35 + 0.07 + 0.35 + 1 + 0.1) / 1.414. So |y - exp(x)| <= 1.38 e exp(x), less than one unit in y's last place. Where
 * y is denormal, the last multiplication rounds it once more. */
#ifndef GPTJT_KERNELS_X86_MATH_AVX2_H
#define GPTJT_KERNELS_X86_MATH_AVX2_H

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

/* Overflows to infinity, underflows through the denormals to 0; exp(-inf) is 0, exp(0) is 1, of NaN it is NaN. */
static inline __m256 exp8(__m256 x)
{
    /* From here on outwards the results are 0 and infinity. The bound comes first: then max and min keep a NaN. */
    x = _mm256_max_ps(_mm256_set1_ps(-105), x);
    x = _mm256_min_ps(_mm256_set1_ps(89), x);

    /* Adding 1.5 2^23 rounds to an integer and leaves it in the low bits; 254 more make it two exponent biases. */
    const __m256 shift = _mm256_set1_ps(0x1.8p23f + 254);
    const __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(0x1.715476p+0f), shift);
    const __m256 n = _mm256_sub_ps(shifted, shift);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);

    __m256 q = _mm256_set1_ps(0x1.6a7032p-10f);
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(0x1.123746p-7f));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(0x1.55587ap-5f));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(0x1.555494p-3f));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(0x1.fffffcp-2f));
    const __m256 p = _mm256_fmadd_ps(q, r, _mm256_set1_ps(1)), y = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));

    /* 2^n as 2^a 2^b, each half of it: 2^n itself may be too large or too small for a float where y 2^n is not. The
     * shift by 23 drops what the number had above its two exponents. */
    const __m256i both = _mm256_castps_si256(shifted), a = _mm256_srli_epi32(both, 1), b = _mm256_sub_epi32(both, a);
    return _mm256_mul_ps(_mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(a, 23))),
                         _mm256_castsi256_ps(_mm256_slli_epi32(b, 23)));
}

/* "gelu_new": 0.5 y (1 + tanh(u)) = y / (1 + exp(-2u)), u = sqrt(2/pi) (y + 0.044715 y^3). Unlike 1 + tanh(u) it
 * cancels nowhere. */
static inline __m256 gelu8(__m256 y)
{
    const float twice = 1.5957691216057308f; /* 2 sqrt(2/pi) */
    const __m256 y2 = _mm256_mul_ps(y, y);
    const __m256 minus_2u_over_y = _mm256_fnmadd_ps(y2, _mm256_set1_ps(twice * 0.044715f), _mm256_set1_ps(-twice));
    const __m256 e = exp8(_mm256_mul_ps(y, minus_2u_over_y));
    return _mm256_div_ps(y, _mm256_add_ps(_mm256_set1_ps(1), e));
}

#endif
#endif
