// SPDX-License-Identifier: Apache-2.0
/* Transposing with AVX2: blocks of 8 by 8 in registers. Higher levels use it too; it waits for memory. */
#include "kernels/kernels.h"

#if defined(__AVX2__)

#include <stdint.h>
#include <string.h>

#include "kernels/x86/lanes_avx2.h"

enum { SIDE = 8 };

/* to[c][r] = from[r][c] for 8 rows and 8 columns; strides are in bytes. */
typedef void block_fn(char *to, size_t to_stride, const char *from, size_t from_stride);

INLINE void block_32(char *to, size_t to_stride, const char *from, size_t from_stride)
{
    __m256 v[SIDE];
    UNROLL for (size_t i = 0; i < SIDE; i++)
        v[i] = _mm256_loadu_ps((const float *)(const void *)(from + i * from_stride));
    transpose8(v);
    UNROLL for (size_t i = 0; i < SIDE; i++) _mm256_storeu_ps((float *)(void *)(to + i * to_stride), v[i]);
}

INLINE void block_16(char *to, size_t to_stride, const char *from, size_t from_stride)
{
    __m128i a[SIDE], b[SIDE];
    UNROLL for (size_t i = 0; i < SIDE; i++)
        a[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + i * from_stride));
    UNROLL for (int i = 0; i < SIDE / 2; i++) /* pairs of rows 2i, 2i + 1: columns 0..3, and 4..7 */
    {
        b[i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
        b[i + 4] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
    }
    UNROLL for (int i = 0; i < SIDE / 2; i++) /* rows 0..3, and 4..7, of columns 2i, 2i + 1 */
    {
        const int half = i / 2 * 4;
        a[i] = i % 2 ? _mm_unpackhi_epi32(b[half], b[half + 1]) : _mm_unpacklo_epi32(b[half], b[half + 1]);
        a[i + 4] = i % 2 ? _mm_unpackhi_epi32(b[half + 2], b[half + 3]) : _mm_unpacklo_epi32(b[half + 2], b[half + 3]);
    }
    UNROLL for (size_t i = 0; i < SIDE; i++)
    {
        const __m128i column = i % 2 ? _mm_unpackhi_epi64(a[i / 2], a[i / 2 + 4])
                                     : _mm_unpacklo_epi64(a[i / 2], a[i / 2 + 4]);
        _mm_storeu_si128((__m128i *)(void *)(to + i * to_stride), column);
    }
}

INLINE void transpose(block_fn *block, size_t bytes, char *to, size_t to_stride, const char *from, size_t from_stride,
                      int rows, int columns)
{
    const size_t R = (size_t)rows, C = (size_t)columns, whole_r = R - R % SIDE, whole_c = C - C % SIDE;
    for (size_t r = 0; r < whole_r; r += SIDE)
        for (size_t c = 0; c < whole_c; c += SIDE)
            block(to + c * to_stride + r * bytes, to_stride, from + r * from_stride + c * bytes, from_stride);
    for (size_t r = 0; r < R; r++)
        for (size_t c = r < whole_r ? whole_c : 0; c < C; c++)
            memcpy(to + c * to_stride + r * bytes, from + r * from_stride + c * bytes, bytes);
}

static void k_transpose_32_avx2(void *to, size_t to_stride, const void *from, size_t from_stride, int rows, int columns)
{
    transpose(block_32, sizeof(float), to, to_stride * sizeof(float), from, from_stride * sizeof(float), rows, columns);
}

static void k_transpose_16_avx2(void *to, size_t to_stride, const void *from, size_t from_stride, int rows, int columns)
{
    transpose(block_16, sizeof(uint16_t), to, to_stride * sizeof(uint16_t), from, from_stride * sizeof(uint16_t), rows,
              columns);
}

void kernels_init_transpose_avx2(struct kernels *k)
{
    k->transpose_32 = k_transpose_32_avx2;
    k->transpose_16 = k_transpose_16_avx2;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_transpose_avx2(struct kernels *k)
{
    (void)k;
}

#endif
