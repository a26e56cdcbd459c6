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
#include "kernels/x86/panels.h"
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

/* How a strip's data lie: halves: two weights a byte, as q4 is stored; panel: in a packed panel. */
struct form {
    int group, halves, panel;
};

INLINE size_t form_block_bytes(struct form f)
{
    return (size_t)QUANT_STRIP * QUANT_BLOCK / (f.halves ? 2 : 1);
}

INLINE size_t form_scale_bytes(struct form f)
{
    return QUANT_STRIP * sizeof(uint16_t) * (size_t)(QUANT_BLOCK / f.group);
}

INLINE __m512i load_step(struct form f, const char *block, int step)
{
    if (!f.halves) return load_vector(block + step * QUANT_STEP_BYTES);
    const __m512i v = load_vector(block + step % 8 * QUANT_STEP_BYTES);
    return _mm512_and_si512(step < 8 ? v : _mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}

/* z[rows] += the products of a block's group g. */
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

INLINE void add_block(struct form f, int rows, __m512 *z, const int32_t *x, const char *block, const char *scales)
{
    add_group(f, 0, rows, z, x, block, scales);
    if (f.group < QUANT_BLOCK) add_group(f, 1, rows, z, x, block, scales);
}

/* What a tile of rows is multiplied by: a strip, or one of each band, outputs of which exist. Row t of the result for
 * band b goes to y + t * y_stride + b * y_apart; a panel's is what is there with the products added. */
struct strips {
    const char *w;
    size_t blocks, band_bytes, y_stride, y_apart;
    int bands;
    __mmask16 outputs;
};

/* Bands side by side, block by block. */
INLINE void stream_tile(struct form f, int rows, float *y, const int32_t *x, const struct strips *s)
{
    const char *block = s->w, *scales = block + s->blocks * form_block_bytes(f);
    __m512 z[STREAM_BANDS][TILE];
    for (int b = 0; b < s->bands; b++)
        UNROLL for (int t = 0; t < rows; t++) z[b][t] = _mm512_setzero_ps();
    for (size_t i = 0; i < s->blocks; i++, x += block_units(f.group, rows)) {
        for (int b = 0; b < s->bands; b++)
            add_block(f, rows, z[b], x, block + (size_t)b * s->band_bytes, scales + (size_t)b * s->band_bytes);
        block += form_block_bytes(f);
        scales += form_scale_bytes(f);
    }
    for (int b = 0; b < s->bands; b++, y += s->y_apart)
        UNROLL for (int t = 0; t < rows; t++) _mm512_mask_storeu_ps(y + (size_t)t * s->y_stride, s->outputs, z[b][t]);
}

INLINE void panel_tile(struct form f, int rows, float *y, const int32_t *x, const struct strips *s)
{
    const char *block = s->w, *scales = block + s->blocks * form_block_bytes(f);
    __m512 z[TILE];
    UNROLL for (int t = 0; t < rows; t++) z[t] = _mm512_loadu_ps(y + (size_t)t * s->y_stride);
    for (size_t i = 0; i < s->blocks; i++, x += block_units(f.group, rows)) {
        add_block(f, rows, z, x, block, scales);
        block += form_block_bytes(f);
        scales += form_scale_bytes(f);
    }
    UNROLL for (int t = 0; t < rows; t++) _mm512_storeu_ps(y + (size_t)t * s->y_stride, z[t]);
}

INLINE void tile(struct form f, int rows, float *y, const int32_t *x, const struct strips *s)
{
    if (f.panel)
        panel_tile(f, rows, y, x, s);
    else
        stream_tile(f, rows, y, x, s);
}

INLINE void any_tile(struct form f, int rows, float *y, const int32_t *x, const struct strips *s)
{
    switch (rows) {
    case 1: tile(f, 1, y, x, s); break;
    case 2: tile(f, 2, y, x, s); break;
    case 3: tile(f, 3, y, x, s); break;
    case 4: tile(f, 4, y, x, s); break;
    case 5: tile(f, 5, y, x, s); break;
    case 6: tile(f, 6, y, x, s); break;
    case 7: tile(f, 7, y, x, s); break;
    case 8: tile(f, 8, y, x, s); break;
    case 9: tile(f, 9, y, x, s); break;
    case 10: tile(f, 10, y, x, s); break;
    case 11: tile(f, 11, y, x, s); break;
    default: tile(f, TILE, y, x, s); break;
    }
}

/* ---- Streaming ---- */

INLINE void stream(enum weight_type type, float *y, size_t y_stride, const int32_t *x, const char *w, size_t band_bytes,
                   int bands, int T, int O, int I)
{
    const struct form f = {type == WEIGHT_Q8 ? 64 : 32, type == WEIGHT_Q4, 0};
    for (int o = 0; o < O; o += QUANT_STRIP, w += quant_strip_bytes(type, I)) {
        const struct strips s = {w, quant_blocks(I), band_bytes, y_stride, (size_t)O, bands, first(O - o)};
        const int32_t *xt = x;
        for (int t = 0, rows; t < T; t += rows, xt += s.blocks * block_units(f.group, rows)) {
            rows = tile_height(T - t, TILE);
            any_tile(f, rows, y + (size_t)t * y_stride + o, xt, &s);
        }
    }
}

static void stream_q8(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,
                      int O, int I)
{
    stream(WEIGHT_Q8, y, y_stride, x, w, band_bytes, bands, T, O, I);
}

static void stream_q4(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,
                      int O, int I)
{
    stream(WEIGHT_Q4, y, y_stride, x, w, band_bytes, bands, T, O, I);
}

/* ---- Panels: two strips ---- */

INLINE void pack_strip(enum weight_type type, char *to, const char *strip, int I, int at, size_t blocks)
{
    const struct form stored = {0, type == WEIGHT_Q4, 1};
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

INLINE void multiply(enum weight_type type, float *z, const int32_t *x, const char *w, int T, int n,
                     const struct ahead *next)
{
    const struct form f = {type == WEIGHT_Q8 ? 64 : 32, 0, 1};
    const size_t blocks = quant_blocks(n);
    struct asking a = asking(next, T, (T + TILE - 1) / TILE);
    for (int t = 0, rows; t < T; t += rows, x += blocks * block_units(f.group, rows)) {
        rows = tile_height(T - t, TILE);
        ask(&a);
        for (int half = 0; half < PANEL / QUANT_STRIP; half++) {
            const struct strips s = {
                .w = w + (size_t)half * packed_strip_bytes(type, blocks), .blocks = blocks, .y_stride = PANEL};
            any_tile(f, rows, z + t * PANEL + half * QUANT_STRIP, x, &s);
        }
    }
}

static void multiply_q8(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    multiply(WEIGHT_Q8, z, x, w, T, n, next);
}

static void multiply_q4(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    multiply(WEIGHT_Q4, z, x, w, T, n, next);
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
