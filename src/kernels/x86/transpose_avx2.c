// SPDX-License-Identifier: Apache-2.0
/* Transposing with AVX2: blocks of 8 by 8 in registers. Higher levels use it too; it waits for memory. */
#include "kernels/kernels.h"

#if defined(__AVX2__)

#include <stdint.h>
#include <string.h>

#include "kernels/x86/lanes_avx2.h"

enum { SIDE = 8, LINE = 64, TILE_ROWS = 64 };

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

/* Whole blocks, and what is left of R rows and C columns one by one. */
INLINE void part_of_tile(block_fn *block, size_t bytes, char *to, size_t to_stride, const char *from,
                         size_t from_stride, size_t R, size_t C)
{
    const size_t whole_r = R - R % SIDE, whole_c = C - C % SIDE;
    for (size_t r = 0; r < whole_r; r += SIDE)
        for (size_t c = 0; c < whole_c; c += SIDE)
            block(to + c * to_stride + r * bytes, to_stride, from + r * from_stride + c * bytes, from_stride);
    for (size_t r = 0; r < R; r++)
        for (size_t c = r < whole_r ? whole_c : 0; c < C; c++)
            memcpy(to + c * to_stride + r * bytes, from + r * from_stride + c * bytes, bytes);
}

/* A tile is TILE_ROWS rows by a cache line of columns. It goes through a buffer, so that every line of either side is
 * dealt with once: rows that are a power of two apart share a few sets of the cache and push each other out. The lines
 * beside it, which are the next tile, are asked for meanwhile. */
INLINE void whole_tile(block_fn *block, size_t bytes, char *to, size_t to_stride, const char *from, size_t from_stride)
{
    ALIGNED(LINE) char buffer[LINE * TILE_ROWS];
    const size_t columns = LINE / bytes, row = TILE_ROWS * bytes;
    for (size_t r = 0; r < TILE_ROWS; r += SIDE) {
        for (size_t c = 0; c < columns; c += SIDE)
            block(buffer + c * row + r * bytes, row, from + r * from_stride + c * bytes, from_stride);
        for (size_t i = 0; i < SIDE; i++)
            __builtin_prefetch(from + (r + i) * from_stride + LINE);
    }
    for (size_t c = 0; c < columns; c++)
        for (size_t i = 0; i < row; i += sizeof(__m256))
            _mm256_storeu_ps((float *)(void *)(to + c * to_stride + i),
                             _mm256_load_ps((const float *)(const void *)(buffer + c * row + i)));
}

INLINE void transpose(block_fn *block, size_t bytes, char *to, size_t to_stride, const char *from, size_t from_stride,
                      int rows, int columns)
{
    const size_t R = (size_t)rows, C = (size_t)columns, tile_columns = LINE / bytes;
    for (size_t r = 0; r < R; r += TILE_ROWS) {
        const size_t some_r = R - r < TILE_ROWS ? R - r : TILE_ROWS;
        for (size_t c = 0; c < C; c += tile_columns) {
            const size_t some_c = C - c < tile_columns ? C - c : tile_columns;
            char *t = to + c * to_stride + r * bytes;
            const char *f = from + r * from_stride + c * bytes;
            if (some_r == TILE_ROWS && some_c == tile_columns)
                whole_tile(block, bytes, t, to_stride, f, from_stride);
            else
                part_of_tile(block, bytes, t, to_stride, f, from_stride, some_r, some_c);
        }
    }
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
