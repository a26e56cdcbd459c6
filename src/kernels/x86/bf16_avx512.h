// SPDX-License-Identifier: Apache-2.0
/* Conversion to bf16 by AVX512-BF16, thirty-two numbers at a time: the first n of which exist, the others are zero. */
#ifndef GPTJT_KERNELS_X86_BF16_AVX512_H
#define GPTJT_KERNELS_X86_BF16_AVX512_H

#if defined(__AVX512F__) && defined(__AVX512BF16__)

#include "kernels/x86/pairs_avx512.h"

enum { BF16_VECTOR = 2 * LANES };

INLINE __m512i load_f32(const char *w, int n)
{
    const char *high = w + VECTOR_BYTES;
    if (n >= BF16_VECTOR) return to_bf16(_mm512_loadu_ps((const void *)w), _mm512_loadu_ps((const void *)high));
    const __mmask32 some = (1u << n) - 1;
    return to_bf16(_mm512_maskz_loadu_ps((__mmask16)some, w), _mm512_maskz_loadu_ps((__mmask16)(some >> LANES), high));
}

INLINE __m512i load_bf16(const char *w, int n)
{
    return n >= BF16_VECTOR ? load_vector(w) : _mm512_maskz_loadu_epi16((1u << n) - 1, w);
}

INLINE __m512i load_f16(const char *w, int n)
{
    const __m512i v = load_bf16(w, n);
    return to_bf16(_mm512_cvtph_ps(_mm512_castsi512_si256(v)), _mm512_cvtph_ps(_mm512_extracti64x4_epi64(v, 1)));
}

#endif
#endif
