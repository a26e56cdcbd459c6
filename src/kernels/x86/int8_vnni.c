// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in int8, for q8 and q4 weights, by AVX-512 VNNI.
 *
 * VPDPBUSD adds the products of four unsigned weights, stored with their zero added, and four signed activations to a
 * lane, which is an output. A group's sum starts at minus zero times the sum of its activations, so it is exact; groups
 * are added in ascending order by one fused multiply-add each: the bits of every other instruction set.
 *
 * Streaming and panels run the same loop, over strips as they are stored or over copies of a part of them, in which q4
 * has a byte for each weight. */
#include "kernels/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

#include <immintrin.h>
#include <string.h>

#include "kernels/quant.h"
#include "kernels/x86/lanes_avx512.h"
#include "kernels/x86/quant_avx512.h"

enum { PANEL = 2 * QUANT_STRIP, DEPTH = 1024, TILE = 12 };

/* ---- Activations ----
 *
 * Prepared or packed: for each tile of rows and block of 64 inputs, for each group the rows' starts and scales, then
 * [16 steps][rows] values, four inputs each. */
INLINE size_t block_units(int group, int rows)
{
    return (size_t)rows * (size_t)(2 * (QUANT_BLOCK / group) + STEPS);
}

INLINE size_t x_bytes(int group, int T, int n)
{
    return quant_blocks(n) * block_units(group, T) * sizeof(int32_t);
}

static size_t x_q8_bytes(int T, int n)
{
    return x_bytes(64, T, n);
}

static size_t x_q4_bytes(int T, int n)
{
    return x_bytes(32, T, n);
}

INLINE void put_x(enum weight_type type, int32_t *to, const float *x, size_t x_stride, int T, int n)
{
    const int group = type == WEIGHT_Q8 ? 64 : 32, groups = QUANT_BLOCK / group, zero = quant_zero(type);
    for (int t = 0, rows; t < T; t += rows) {
        rows = tile_height(T - t, TILE);
        for (int i = 0; i < n; i += QUANT_BLOCK, to += block_units(group, rows)) {
            for (int r = 0; r < rows; r++) {
                for (int g = 0; g < groups; g++)
                    quantise(group, zero, to + 2 * g * rows + r, to + (2 * g + 1) * rows + r,
                             to + (2 * groups + g * group / QUANT_STEP) * rows + r, rows,
                             x + (size_t)(t + r) * x_stride + i + g * group, n - i - g * group);
            }
        }
    }
}

static void put_x_q8(void *to, const float *x, size_t x_stride, int T, int n)
{
    put_x(WEIGHT_Q8, to, x, x_stride, T, n);
}

static void put_x_q4(void *to, const float *x, size_t x_stride, int T, int n)
{
    put_x(WEIGHT_Q4, to, x, x_stride, T, n);
}

/* ---- Rows by one strip ---- */

/* Sums of this type gcc keeps in place; __m512i, being of 64-bit lanes to it, it copies at every step. */
typedef int32_t sums __attribute__((vector_size(VECTOR_BYTES)));

/* What a loop over a strip is compiled for. */
struct form {
    int group, halves; /* halves: two weights a byte, as q4 is stored */
    int ahead;         /* bytes to prefetch ahead, or 0 */
};

INLINE size_t form_block_bytes(struct form f)
{
    return (size_t)QUANT_STRIP * QUANT_BLOCK / (f.halves ? 2 : 1);
}

INLINE __m512i load_step(struct form f, const char *block, int step)
{
    if (!f.halves) return load_vector(block + step * QUANT_STEP_BYTES);
    const __m512i v = load_vector(block + step % 8 * QUANT_STEP_BYTES);
    return _mm512_and_si512(step < 8 ? v : _mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}

INLINE void add_group(struct form f, int g, int rows, __m512 *z, const int32_t *x, const char *block,
                      const char *scales)
{
    const int32_t *head = x + 2 * g * rows, *values = x + 2 * (QUANT_BLOCK / f.group) * rows;
    sums sum[TILE];
    UNROLL for (int t = 0; t < rows; t++) sum[t] = (sums)_mm512_set1_epi32(head[t]);
    for (int s = g * f.group / QUANT_STEP; s < (g + 1) * f.group / QUANT_STEP; s++) {
        const __m512i v = load_step(f, block, s);
        UNROLL for (int t = 0; t < rows; t++)
            sum[t] = (sums)_mm512_dpbusd_epi32((__m512i)sum[t], v, _mm512_set1_epi32(values[s * rows + t]));
    }
    const __m512 scale_w = _mm512_cvtph_ps(load_half_vector(scales + g * QUANT_STRIP * (int)sizeof(uint16_t)));
    UNROLL for (int t = 0; t < rows; t++)
    {
        const __m512 scale = _mm512_mul_ps(scale_w, _mm512_castsi512_ps(_mm512_set1_epi32(head[rows + t])));
        z[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)sum[t]), scale, z[t]);
    }
}

/* y[t] = what it was, or zero, with the products of all blocks added. */
INLINE void strip_tile(struct form f, int rows, float *y, size_t y_stride, __mmask16 outputs, const int32_t *x,
                       const char *strip, size_t blocks)
{
    const char *scales = strip + blocks * form_block_bytes(f);
    const int groups = QUANT_BLOCK / f.group;
    __m512 z[TILE];
    UNROLL for (int t = 0; t < rows; t++) z[t] = f.ahead ? _mm512_setzero_ps()
                                                         : _mm512_loadu_ps(y + (size_t)t * y_stride);
    for (size_t b = 0; b < blocks; b++, x += block_units(f.group, rows)) {
        for (size_t line = 0; f.ahead && line < form_block_bytes(f); line += 64)
            _mm_prefetch(strip + line + f.ahead, _MM_HINT_T0);
        UNROLL for (int g = 0; g < groups; g++) add_group(f, g, rows, z, x, strip, scales);
        strip += form_block_bytes(f);
        scales += groups * QUANT_STRIP * (int)sizeof(uint16_t);
    }
    UNROLL for (int t = 0; t < rows; t++) _mm512_mask_storeu_ps(y + (size_t)t * y_stride, outputs, z[t]);
}

INLINE void any_tile(struct form f, int rows, float *y, size_t y_stride, __mmask16 outputs, const int32_t *x,
                     const char *strip, size_t blocks)
{
    switch (rows) {
    case 1: strip_tile(f, 1, y, y_stride, outputs, x, strip, blocks); break;
    case 2: strip_tile(f, 2, y, y_stride, outputs, x, strip, blocks); break;
    case 3: strip_tile(f, 3, y, y_stride, outputs, x, strip, blocks); break;
    case 4: strip_tile(f, 4, y, y_stride, outputs, x, strip, blocks); break;
    case 5: strip_tile(f, 5, y, y_stride, outputs, x, strip, blocks); break;
    case 6: strip_tile(f, 6, y, y_stride, outputs, x, strip, blocks); break;
    case 7: strip_tile(f, 7, y, y_stride, outputs, x, strip, blocks); break;
    case 8: strip_tile(f, 8, y, y_stride, outputs, x, strip, blocks); break;
    case 9: strip_tile(f, 9, y, y_stride, outputs, x, strip, blocks); break;
    case 10: strip_tile(f, 10, y, y_stride, outputs, x, strip, blocks); break;
    case 11: strip_tile(f, 11, y, y_stride, outputs, x, strip, blocks); break;
    default: strip_tile(f, TILE, y, y_stride, outputs, x, strip, blocks); break;
    }
}

/* ---- Streaming ---- */

INLINE void stream(enum weight_type type, float *y, size_t y_stride, const int32_t *x, const char *strip, int T, int O,
                   int I)
{
    const struct form f = {type == WEIGHT_Q8 ? 64 : 32, type == WEIGHT_Q4, 2048};
    const size_t blocks = quant_blocks(I);
    for (int o = 0; o < O; o += QUANT_STRIP, strip += quant_strip_bytes(type, I)) {
        const int32_t *tile = x;
        for (int t = 0, rows; t < T; t += rows, tile += blocks * block_units(f.group, rows)) {
            rows = tile_height(T - t, TILE);
            any_tile(f, rows, y + (size_t)t * y_stride + o, y_stride, first(O - o), tile, strip, blocks);
        }
    }
}

static void stream_q8(float *y, size_t y_stride, const void *x, const void *w, int T, int O, int I)
{
    stream(WEIGHT_Q8, y, y_stride, x, w, T, O, I);
}

static void stream_q4(float *y, size_t y_stride, const void *x, const void *w, int T, int O, int I)
{
    stream(WEIGHT_Q4, y, y_stride, x, w, T, O, I);
}

/* ---- Panels: two strips ---- */

INLINE void pack_strip(enum weight_type type, char *to, const char *strip, int I, int at, size_t blocks)
{
    const struct form stored = {0, type == WEIGHT_Q4, 0};
    const size_t from = (size_t)at / QUANT_BLOCK;
    const char *scales = strip + quant_blocks(I) * quant_block_bytes(type) + from * quant_scale_bytes(type);
    strip += from * quant_block_bytes(type);
    for (size_t b = 0; b < blocks; b++, strip += quant_block_bytes(type))
        UNROLL for (int s = 0; s < STEPS; s++, to += QUANT_STEP_BYTES) store_vector(to, load_step(stored, strip, s));
    memcpy(to, scales, blocks * quant_scale_bytes(type));
}

INLINE void pack_w(enum weight_type type, char *to, const char *w, int O, int I, int at, int n)
{
    const size_t blocks = quant_blocks(n), bytes = packed_strip_bytes(type, blocks);
    for (int o = 0; o < PANEL; o += QUANT_STRIP, to += bytes, w += quant_strip_bytes(type, I)) {
        if (o < O)
            pack_strip(type, to, w, I, at, blocks);
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

INLINE void multiply(enum weight_type type, float *z, const int32_t *x, const char *w, int T, int n)
{
    const struct form f = {type == WEIGHT_Q8 ? 64 : 32, 0, 0};
    const size_t blocks = quant_blocks(n);
    for (int t = 0, rows; t < T; t += rows, x += blocks * block_units(f.group, rows)) {
        rows = tile_height(T - t, TILE);
        for (int s = 0; s < PANEL / QUANT_STRIP; s++)
            any_tile(f, rows, z + t * PANEL + s * QUANT_STRIP, PANEL, first(LANES), x,
                     w + (size_t)s * packed_strip_bytes(type, blocks), blocks);
    }
}

static void multiply_q8(float *z, const void *x, const void *w, int T, int n)
{
    multiply(WEIGHT_Q8, z, x, w, T, n);
}

static void multiply_q4(float *z, const void *x, const void *w, int T, int n)
{
    multiply(WEIGHT_Q4, z, x, w, T, n);
}

/* ---- The table ---- */

void kernels_init_vnni_int8(struct kernels *k)
{
    const struct linear_kernels q8 = {
        .prepared_bytes = x_q8_bytes,
        .prepare = put_x_q8,
        .stream = stream_q8,
        .stream_rows = TILE,
        .panel = PANEL,
        .depth = DEPTH,
        .panel_bytes = 2 * packed_strip_bytes(WEIGHT_Q8, DEPTH / QUANT_BLOCK),
        .packed_x_bytes = x_q8_bytes,
        .pack_x = put_x_q8,
        .pack_w = pack_q8,
        .multiply = multiply_q8,
    };
    k->linear[COMPUTE_INT8][WEIGHT_Q8] = q8;
    k->linear[COMPUTE_INT8][WEIGHT_Q4] = (struct linear_kernels){
        .prepared_bytes = x_q4_bytes,
        .prepare = put_x_q4,
        .stream = stream_q4,
        .stream_rows = TILE,
        .panel = PANEL,
        .depth = DEPTH,
        .panel_bytes = 2 * packed_strip_bytes(WEIGHT_Q4, DEPTH / QUANT_BLOCK),
        .packed_x_bytes = x_q4_bytes,
        .pack_x = put_x_q4,
        .pack_w = pack_q4,
        .multiply = multiply_q4,
    };
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_vnni_int8(struct kernels *k)
{
    (void)k;
}

#endif
