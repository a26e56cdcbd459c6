// SPDX-License-Identifier: Apache-2.0
/* Panels of linear maps computed in int8 by AMX tiles, for q8 and q4 weights; few rows stream as VNNI does it.
 *
 * A block of a packed strip, [16 steps][16 outputs][4 inputs], is a B; 16 rows of x are an A. One TDPBSUD multiplies a
 * whole group, whose sums then leave the tile to be scaled: AMX leaves the vector units time for that, so the products
 * are as good as free. Integer sums are exact, groups are added as everywhere: same bits. */
#include "kernels/kernels.h"

#if defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__AVX512F__)

#include <string.h>

#include "kernels/quant.h"
#include "kernels/x86/panels.h"
#include "kernels/x86/quant_avx512.h"
#include "kernels/x86/tiles_amx.h"

enum { PANEL = 2 * QUANT_STRIP, DEPTH = 1024 };

/* C 0 and 1 of the groups of a block, A 2, B 3. A group of q4 is half as long: A has 32 bytes a row, B 8 rows. */
static const struct tile_config q8_config = {.palette = 1, .row_bytes = {64, 64, 64, 64}, .rows = {16, 16, 16, 16}};
static const struct tile_config q4_config = {.palette = 1, .row_bytes = {64, 64, 32, 64}, .rows = {16, 16, 16, 8}};

/* x packed: for each tile of 16 rows and block of 64 inputs 16 scales, 16 starts for each group of w, then [16
 * rows][64] values. The scales are the same in both blocks of a group of x. */
INLINE size_t block_bytes(enum weight_type type)
{
    return (size_t)(1 + QUANT_BLOCK / quant_group(type)) * TILE_ROW_BYTES + TILE_BYTES;
}

INLINE size_t x_bytes(enum weight_type type, int T, int n)
{
    return (size_t)((T + TILE_ROWS - 1) / TILE_ROWS) * quant_blocks(n) * block_bytes(type);
}

static size_t x_q8_bytes(int T, int n)
{
    return x_bytes(WEIGHT_Q8, T, n);
}

static size_t x_q4_bytes(int T, int n)
{
    return x_bytes(WEIGHT_Q4, T, n);
}

/* Blocks of one group of x, n inputs of at most quant_x_group(), and the rows of a tile of which T exist. */
INLINE void pack_group(enum weight_type type, int32_t *to, const float *x, size_t x_stride, int T, int n)
{
    const int group = quant_group(type), groups = QUANT_BLOCK / group, zero = quant_zero(type);
    const size_t units = block_bytes(type) / sizeof *to;
    if (T < TILE_ROWS) memset(to, 0, quant_blocks(n) * block_bytes(type));
    for (int t = 0; t < T && t < TILE_ROWS; t++, x += x_stride) {
        const struct x_scale scale = x_scale(type, x, n);
        int32_t *block = to + t;
        for (int b = 0; b < n; b += QUANT_BLOCK, block += units) {
            int32_t *values = block - t + (1 + groups) * TILE_ROWS + t * (QUANT_BLOCK / QUANT_STEP);
            *block = scale.unit;
            for (int g = 0; g < groups; g++)
                quantise(group, zero, block + (1 + g) * TILE_ROWS, values + g * (group / QUANT_STEP), 1, &scale,
                         x + b + g * group, n - b - g * group);
        }
    }
}

INLINE void pack_x(enum weight_type type, int32_t *to, const float *x, size_t x_stride, int T, int n)
{
    const size_t units = block_bytes(type) / sizeof *to;
    for (int t = 0; t < T; t += TILE_ROWS) {
        for (int i = 0; i < n; i += quant_x_group(type)) {
            const int inputs = n - i < quant_x_group(type) ? n - i : quant_x_group(type);
            pack_group(type, to, x + (size_t)t * x_stride + i, x_stride, T - t, inputs);
            to += quant_blocks(inputs) * units;
        }
    }
}

static void pack_x_q8(void *to, const float *x, size_t x_stride, int T, int n)
{
    pack_x(WEIGHT_Q8, to, x, x_stride, T, n);
}

static void pack_x_q4(void *to, const float *x, size_t x_stride, int T, int n)
{
    pack_x(WEIGHT_Q4, to, x, x_stride, T, n);
}

/* ---- Multiplying ---- */

/* sum [groups][16 rows][16 outputs] of a block. */
INLINE void block_sums(enum weight_type type, int32_t *sum, const char *x, const char *w)
{
    const int group = quant_group(type);
    const char *values = x + block_bytes(type) - TILE_BYTES;
    MEMORY_IS_READ();
    _tile_loadd(2, values, TILE_ROW_BYTES);
    _tile_loadd(3, w, TILE_ROW_BYTES);
    _tile_zero(0);
    _tile_dpbsud(0, 2, 3);
    _tile_stored(0, sum, TILE_ROW_BYTES);
    if (group == QUANT_BLOCK) return;
    _tile_loadd(2, values + group, TILE_ROW_BYTES);
    _tile_loadd(3, w + group * QUANT_STRIP, TILE_ROW_BYTES);
    _tile_zero(1);
    _tile_dpbsud(1, 2, 3);
    _tile_stored(1, sum + TILE_ROWS * LANES, TILE_ROW_BYTES);
}

/* a[16 rows] += one group of w; starts: of x. */
INLINE void add_group(__m512 a[TILE_ROWS], const int32_t *sum, const int32_t *starts, const char *scales)
{
    const __m512 scale = _mm512_cvtph_ps(load_half_vector(scales));
    UNROLL for (int t = 0; t < TILE_ROWS; t++)
    {
        const __m512i exact = _mm512_add_epi32(load_vector(sum + t * LANES), _mm512_set1_epi32(starts[t]));
        a[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), scale, a[t]);
    }
}

/* T rows of z += a group of x, whose scales are these; a begins anew. */
INLINE void end_x_group(float *z, __m512 a[TILE_ROWS], const int32_t *scales, int T)
{
    UNROLL for (int t = 0; t < TILE_ROWS; t++)
    {
        const __m512 scale = _mm512_castsi512_ps(_mm512_set1_epi32(scales[t]));
        if (t < T) _mm512_storeu_ps(z + t * PANEL, _mm512_fmadd_ps(a[t], scale, _mm512_loadu_ps(z + t * PANEL)));
        a[t] = _mm512_setzero_ps();
    }
}

/* T rows of z, 16 at most, by one strip. The tiles are a block ahead of the vectors. */
INLINE void multiply_strip(enum weight_type type, float *z, const char *x, const char *strip, int T, size_t blocks)
{
    const int group = quant_group(type), groups = QUANT_BLOCK / group;
    const char *scales = strip + blocks * QUANT_STRIP * QUANT_BLOCK;
    _Alignas(64) int32_t sum[2][2 * TILE_ROWS * LANES];
    __m512 a[TILE_ROWS];
    UNROLL for (int t = 0; t < TILE_ROWS; t++) a[t] = _mm512_setzero_ps();
    block_sums(type, sum[0], x, strip);
    for (size_t b = 0; b < blocks; b++, x += block_bytes(type)) {
        const int32_t *head = (const int32_t *)(const void *)x;
        strip += QUANT_STRIP * QUANT_BLOCK;
        if (b + 1 < blocks) block_sums(type, sum[(b + 1) % 2], x + block_bytes(type), strip);
        UNROLL for (int g = 0; g < groups; g++, scales += QUANT_STRIP * (int)sizeof(uint16_t))
            add_group(a, sum[b % 2] + g * TILE_ROWS * LANES, head + (1 + g) * TILE_ROWS, scales);
        if (quant_ends_x_group(type, b, blocks)) end_x_group(z, a, head, T);
    }
}

INLINE void multiply(enum weight_type type, float *z, const char *x, const char *w, int T, int n,
                     const struct ahead *next)
{
    const size_t blocks = quant_blocks(n);
    struct asking a = asking(next, (T + TILE_ROWS - 1) / TILE_ROWS * (PANEL / QUANT_STRIP));
    TILES_ON(type == WEIGHT_Q8 ? &q8_config : &q4_config);
    for (int t = 0; t < T; t += TILE_ROWS, x += blocks * block_bytes(type)) {
        for (int s = 0; s < PANEL / QUANT_STRIP; s++) {
            ask(&a);
            multiply_strip(type, z + t * PANEL + s * QUANT_STRIP, x, w + (size_t)s * packed_strip_bytes(type, blocks),
                           T - t, blocks);
        }
    }
    TILES_OFF();
}

static void multiply_q8(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    multiply(WEIGHT_Q8, z, x, w, T, n, next);
}

static void multiply_q4(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    multiply(WEIGHT_Q4, z, x, w, T, n, next);
}

/* ---- Panels: two strips ---- */

INLINE void pack_strip(enum weight_type type, char *to, const char *strip, int at, size_t blocks)
{
    char *scales = to + blocks * QUANT_STRIP * QUANT_BLOCK;
    const char *block = strip + (size_t)at / QUANT_BLOCK * quant_block_bytes(type);
    for (size_t b = 0; b < blocks; b++, block += quant_block_bytes(type), scales += quant_scale_bytes(type)) {
        UNROLL for (int s = 0; s < STEPS; s++, to += QUANT_STEP_BYTES) store_vector(to, stored_step(type, block, s));
        memcpy(scales, block + quant_values_bytes(type), quant_scale_bytes(type));
    }
}

INLINE void pack_w(enum weight_type type, char *to, const char *w, int O, int I, int at, int n)
{
    const size_t blocks = quant_blocks(n), bytes = packed_strip_bytes(type, blocks);
    for (int o = 0; o < PANEL; o += QUANT_STRIP, to += bytes, w += quant_strip_bytes(type, I)) {
        if (o < O)
            pack_strip(type, to, w, at, blocks);
        else
            memset(to, 0, bytes);
    }
}

static void pack_q8(void *to, const void *w, int O, int I, int at, int n)
{
    pack_w(WEIGHT_Q8, to, w, O, I, at, n);
}

static void pack_q4(void *to, const void *w, int O, int I, int at, int n)
{
    pack_w(WEIGHT_Q4, to, w, O, I, at, n);
}

/* ---- The table ---- */

/* Streaming stays VNNI's. */
void kernels_init_amx_int8(struct kernels *k)
{
    struct linear_kernels *q8 = &k->linear[COMPUTE_INT8][WEIGHT_Q8], *q4 = &k->linear[COMPUTE_INT8][WEIGHT_Q4];
    q8->panel = q4->panel = PANEL;
    q8->depth = q4->depth = DEPTH;
    q8->panel_bytes = 2 * packed_strip_bytes(WEIGHT_Q8, DEPTH / QUANT_BLOCK);
    q8->packed_x_bytes = x_q8_bytes;
    q8->pack_x = pack_x_q8;
    q8->pack_w = pack_q8;
    q8->multiply = multiply_q8;
    q4->panel_bytes = 2 * packed_strip_bytes(WEIGHT_Q4, DEPTH / QUANT_BLOCK);
    q4->packed_x_bytes = x_q4_bytes;
    q4->pack_x = pack_x_q4;
    q4->pack_w = pack_q4;
    q4->multiply = multiply_q4;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_amx_int8(struct kernels *k)
{
    (void)k;
}

#endif
