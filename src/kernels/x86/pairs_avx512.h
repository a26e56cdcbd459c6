// SPDX-License-Identifier: Apache-2.0
/* Numbers rounded to bf16 by AVX512-BF16, two to a lane, as VDPBF16PS multiplies them. */
#ifndef GPTJT_KERNELS_X86_PAIRS_AVX512_H
#define GPTJT_KERNELS_X86_PAIRS_AVX512_H

#if defined(__AVX512F__) && defined(__AVX512BF16__)

#include "kernels/x86/lanes_avx512.h"

/* Nearest even; NaN stays NaN, denormals become zero. */
INLINE __m512i to_bf16(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Two neighbours of each of 16 lanes as pairs: inputs of outputs, components of positions, positions of components. */
INLINE __m512i pairs(__m512 even, __m512 odd)
{
    const __m512i zip = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(zip, to_bf16(even, odd));
}

/* sum + the products of both numbers of each pair; what is below 2^-126 counts as zero. */
INLINE __m512 add_products(__m512 sum, __m512i a, __m512i b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

#endif
#endif
