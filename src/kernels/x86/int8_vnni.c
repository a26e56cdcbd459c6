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

/* ---- Rows by strips ---- */

/* Sums of this type gcc keeps in place; __m512i, being of 64-bit lanes to it, it copies at every step. */
typedef int32_t sums __attribute__((vector_size(VECTOR_BYTES)));

/* How a strip's data lie: halves: two weights a byte, as q4 is stored. */
struct form {
    int group, halves;
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

/* Strips side by side: where the blocks and scales of each are that come next. */
enum { MOST_STRIPS = STREAM_BANDS, MOST_SUMS = 2 * TILE };
struct strips {
    const char *block[MOST_STRIPS], *scales[MOST_STRIPS];
};

/* Asks for the part of a block that is `ahead` bytes behind what step s reads: lines as evenly as they are used up. */
INLINE void ask_step(struct form f, const char *block, int s, size_t ahead)
{
    if (f.halves && s % 2) return;
    _mm_prefetch(block + ahead + (f.halves ? s / 2 : s) * QUANT_STEP_BYTES, _MM_HINT_T0);
}

/* z[rows][width] += the products of a block's group g, for the strips from first on. ahead 0: nothing is asked for. */
INLINE void add_group(struct form f, int g, int rows, int width, __m512 *z, const int32_t *x, const struct strips *w,
                      int first, size_t ahead)
{
    const int32_t *head = x + 2 * g * rows, *values = x + 2 * (QUANT_BLOCK / f.group) * rows;
    sums sum[MOST_SUMS];
    UNROLL for (int t = 0; t < rows; t++) UNROLL for (int b = 0; b < width; b++)
        sum[t * width + b] = (sums)_mm512_set1_epi32(head[t]);
    for (int s = g * f.group / QUANT_STEP; s < (g + 1) * f.group / QUANT_STEP; s++) {
        __m512i v[MOST_STRIPS];
        UNROLL for (int b = 0; b < width; b++)
        {
            v[b] = load_step(f, w->block[first + b], s);
            if (ahead) ask_step(f, w->block[first + b], s, ahead);
        }
        UNROLL for (int t = 0; t < rows; t++)
        {
            __m512i xt = _mm512_set1_epi32(values[s * rows + t]);
            COMPUTE_HERE(xt); /* or gcc reads it again for every product */
            UNROLL for (int b = 0; b < width; b++)
                sum[t * width + b] = (sums)_mm512_dpbusd_epi32((__m512i)sum[t * width + b], v[b], xt);
        }
    }
    __m512 scale_w[MOST_STRIPS];
    UNROLL for (int b = 0; b < width; b++)
        scale_w[b] = _mm512_cvtph_ps(load_half_vector(w->scales[first + b] + g * QUANT_STRIP * (int)sizeof(uint16_t)));
    UNROLL for (int t = 0; t < rows; t++)
    {
        const __m512 scale_x = _mm512_castsi512_ps(_mm512_set1_epi32(head[rows + t]));
        UNROLL for (int b = 0; b < width; b++)
        {
            __m512 *const at = z + t * width + b;
            *at = _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)sum[t * width + b]), _mm512_mul_ps(scale_w[b], scale_x),
                                  *at);
        }
    }
}

/* The next block of `strips` strips, width at a time; z is [strips / width][rows][width]. */
INLINE void add_block(struct form f, int rows, int width, int strips, __m512 *z, const int32_t *x, struct strips *w,
                      size_t ahead)
{
    for (int first = 0; first < strips; first += width, z += rows * width) {
        add_group(f, 0, rows, width, z, x, w, first, ahead);
        if (f.group < QUANT_BLOCK) add_group(f, 1, rows, width, z, x, w, first, ahead);
    }
    UNROLL for (int b = 0; b < strips; b++)
    {
        w->block[b] += form_block_bytes(f);
        w->scales[b] += form_scale_bytes(f);
    }
}

/* call(rows, ...) with a constant. */
#define ANY_ROWS(rows, call, ...)                                                                                      \
    switch (rows) {                                                                                                    \
    case 1: call(1, __VA_ARGS__); break;                                                                               \
    case 2: call(2, __VA_ARGS__); break;                                                                               \
    case 3: call(3, __VA_ARGS__); break;                                                                               \
    case 4: call(4, __VA_ARGS__); break;                                                                               \
    case 5: call(5, __VA_ARGS__); break;                                                                               \
    case 6: call(6, __VA_ARGS__); break;                                                                               \
    case 7: call(7, __VA_ARGS__); break;                                                                               \
    case 8: call(8, __VA_ARGS__); break;                                                                               \
    case 9: call(9, __VA_ARGS__); break;                                                                               \
    case 10: call(10, __VA_ARGS__); break;                                                                             \
    case 11: call(11, __VA_ARGS__); break;                                                                             \
    default: call(TILE, __VA_ARGS__); break;                                                                           \
    }

/* ---- Streaming ----
 *
 * A strip of each band side by side, block by block. Bands that do not exist are the last one once more. With few rows
 * the core looks far enough ahead by itself, and asking for lines faster than they can come holds it up. */
enum { FEW_ROWS = 2, STREAM_AHEAD = 2048, SCALES_AHEAD = 512 };

struct streamed {
    const char *w;
    size_t blocks, band_bytes, y_stride, y_apart; /* y_apart: from band to band of y */
    int bands;
    __mmask16 outputs;
};

INLINE void stream_tile(int rows, struct form f, float *y, const int32_t *x, const struct streamed *s)
{
    const int width = rows <= 4 ? 4 : 2;
    __m512 z[STREAM_BANDS * TILE];
    struct strips w;
    for (int b = 0; b < STREAM_BANDS; b++) {
        w.block[b] = s->w + (size_t)(b < s->bands ? b : s->bands - 1) * s->band_bytes;
        w.scales[b] = w.block[b] + s->blocks * form_block_bytes(f);
    }
    for (int b = 0; b < STREAM_BANDS; b++)
        for (int at = 0; at < SCALES_AHEAD; at += VECTOR_BYTES)
            _mm_prefetch(w.scales[b] + s->blocks * (form_block_bytes(f) + form_scale_bytes(f)) + at, _MM_HINT_T0);
    UNROLL for (int i = 0; i < STREAM_BANDS * rows; i++) z[i] = _mm512_setzero_ps();
    for (size_t i = 0; i < s->blocks; i++, x += block_units(f.group, rows)) {
        for (int b = 0; b < STREAM_BANDS; b++)
            _mm_prefetch(w.scales[b] + SCALES_AHEAD, _MM_HINT_T0);
        add_block(f, rows, width, STREAM_BANDS, z, x, &w, rows <= FEW_ROWS ? 0 : STREAM_AHEAD);
    }
    for (int b = 0; b < s->bands; b++, y += s->y_apart)
        for (int t = 0; t < rows; t++)
            _mm512_mask_storeu_ps(y + (size_t)t * s->y_stride, s->outputs,
                                  z[(b / width * rows + t) * width + b % width]);
}

INLINE void stream(enum weight_type type, float *y, size_t y_stride, const int32_t *x, const char *w, size_t band_bytes,
                   int bands, int T, int O, int I)
{
    const struct form f = {type == WEIGHT_Q8 ? 64 : 32, type == WEIGHT_Q4};
    for (int o = 0; o < O; o += QUANT_STRIP, w += quant_strip_bytes(type, I)) {
        const struct streamed s = {w, quant_blocks(I), band_bytes, y_stride, (size_t)O, bands, first(O - o)};
        const int32_t *xt = x;
        for (int t = 0, rows; t < T; t += rows, xt += s.blocks * block_units(f.group, rows)) {
            rows = tile_height(T - t, TILE);
            ANY_ROWS(rows, stream_tile, f, y + (size_t)t * y_stride + o, xt, &s)
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
    const struct form stored = {0, type == WEIGHT_Q4};
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

/* z[rows][PANEL] += the products of both strips. */
INLINE void panel_tile(int rows, int group, float *z, const int32_t *x, const char *panel, size_t blocks)
{
    enum { STRIPS = PANEL / QUANT_STRIP };
    const struct form f = {group, 0};
    __m512 sum[TILE * STRIPS];
    struct strips w;
    for (int b = 0; b < STRIPS; b++) {
        w.block[b] = panel + (size_t)b * blocks * (form_block_bytes(f) + form_scale_bytes(f));
        w.scales[b] = w.block[b] + blocks * form_block_bytes(f);
    }
    UNROLL for (int i = 0; i < rows * STRIPS; i++) sum[i] = _mm512_loadu_ps(z + i * LANES);
    for (size_t i = 0; i < blocks; i++, x += block_units(group, rows))
        add_block(f, rows, STRIPS, STRIPS, sum, x, &w, 0);
    UNROLL for (int i = 0; i < rows * STRIPS; i++) _mm512_storeu_ps(z + i * LANES, sum[i]);
}

INLINE void multiply(enum weight_type type, float *z, const int32_t *x, const char *w, int T, int n,
                     const struct ahead *next)
{
    const int group = type == WEIGHT_Q8 ? 64 : 32;
    const size_t blocks = quant_blocks(n);
    struct asking a = asking(next, (T + TILE - 1) / TILE);
    for (int t = 0, rows; t < T; t += rows, x += blocks * block_units(group, rows)) {
        rows = tile_height(T - t, TILE);
        ask(&a);
        ANY_ROWS(rows, panel_tile, group, z + t * PANEL, x, w, blocks)
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
