// SPDX-License-Identifier: Apache-2.0
/* Eight lanes of 32 bits: what the products and the quantiser of AVX2 share. */
#ifndef GPTJT_KERNELS_X86_LANES_AVX2_H
#define GPTJT_KERNELS_X86_LANES_AVX2_H

#if defined(__AVX2__)

#include <immintrin.h>

#include "base/compiler.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8 };

/* Row i, lane j to row j, lane i. */
INLINE void transpose8(__m256 v[8])
{
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

#endif
#endif
