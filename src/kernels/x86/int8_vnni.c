// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in int8, for q8 and q4 weights, by AVX-512 VNNI.
 *
 * VPDPBUSD adds the products of four unsigned weights, stored with their zero added, and four signed activations to a
 * lane, which is an output. A group's sum starts at minus zero times the sum of its activations, so it is exact; groups
 * are added as kernels.h says: the bits of every other instruction set.
 *
 * Streaming and panels run the same loop over strips as they are stored: a packed panel is where its strips begin. */
#include "kernels/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/quant.h"
#include "kernels/x86/lanes_avx512.h"
#include "kernels/x86/panels.h"
#include "kernels/x86/quant_avx512.h"
#include "kernels/x86/stream.h"

enum { PANEL = 4 * QUANT_STRIP, DEPTH = 1024 };

/* Rows at a time: as many as can share a load from memory, and as few as have all their sums in registers. */
enum { STREAM_TILE = 12, PANEL_TILE = 6 };

/* ---- Activations ----
 *
 * Prepared or packed: for each tile of rows and block of 64 inputs the rows' scales, the rows' starts for each group
 * of w, then [16 steps][rows] values, four inputs each. The scale is the same in both blocks of a group of x. */
INLINE size_t block_units(enum weight_type type, int rows)
{
    return (size_t)rows * (size_t)(1 + QUANT_BLOCK / quant_group(type) + STEPS);
}

INLINE size_t x_bytes(enum weight_type type, int T, int n)
{
    return quant_blocks(n) * block_units(type, T) * sizeof(int32_t);
}

static size_t x_q8_bytes(int T, int n)
{
    return x_bytes(WEIGHT_Q8, T, n);
}

static size_t x_q4_bytes(int T, int n)
{
    return x_bytes(WEIGHT_Q4, T, n);
}

/* One row of a tile, blocks of one group of x. Its successor in the next tile lies pages apart and is asked for. */
INLINE void put_group(enum weight_type type, int32_t *to, int rows, const float *x, const float *next, int n)
{
    const int group = quant_group(type), groups = QUANT_BLOCK / group, zero = quant_zero(type);
    const int x_group = quant_x_group(type);
    const struct x_scale scale = x_scale(type, x, n);
    UNROLL for (int k = 0; k < x_group; k += LANES) _mm_prefetch((const char *)(next + k), _MM_HINT_T0);
    for (int b = 0; b < x_group && b < n; b += QUANT_BLOCK, to += block_units(type, rows)) {
        *to = scale.unit;
        UNROLL for (int g = 0; g < groups; g++)
            quantise(group, zero, to + (1 + g) * rows, to + (1 + groups + g * group / QUANT_STEP) * rows, rows, &scale,
                     x + b + g * group, n - b - g * group);
    }
}

INLINE void put_x(enum weight_type type, int most, int32_t *to, const float *x, size_t x_stride, int T, int n)
{
    const int x_group = quant_x_group(type);
    for (int t = 0, rows; t < T; t += rows) {
        rows = tile_height(T - t, most);
        for (int i = 0; i < n; i += x_group) {
            for (int r = 0; r < rows; r++) {
                const float *const row = x + (size_t)(t + r) * x_stride + i;
                put_group(type, to + r, rows, row, t + r + rows < T ? row + (size_t)rows * x_stride : row, n - i);
            }
            to += quant_blocks(n - i < x_group ? n - i : x_group) * block_units(type, rows);
        }
    }
}

static void put_x_q8(void *to, const float *x, size_t x_stride, int T, int n)
{
    put_x(WEIGHT_Q8, STREAM_TILE, to, x, x_stride, T, n);
}

static void pack_x_q8(void *to, const float *x, size_t x_stride, int T, int n)
{
    put_x(WEIGHT_Q8, PANEL_TILE, to, x, x_stride, T, n);
}

static void put_x_q4(void *to, const float *x, size_t x_stride, int T, int n)
{
    put_x(WEIGHT_Q4, STREAM_TILE, to, x, x_stride, T, n);
}

static void pack_x_q4(void *to, const float *x, size_t x_stride, int T, int n)
{
    put_x(WEIGHT_Q4, PANEL_TILE, to, x, x_stride, T, n);
}

/* ---- Rows by strips ---- */

/* Sums of this type gcc keeps in place; __m512i, being of 64-bit lanes to it, it copies at every step. */
typedef int32_t sums __attribute__((vector_size(VECTOR_BYTES)));

/* Strips side by side: the block of each that comes next. AT_ONCE: so few sums of all groups are computed at once. */
enum { STRIPS = PANEL / QUANT_STRIP, MOST_WIDTH = 2, MOST_SUMS = MOST_WIDTH * PANEL_TILE, AT_ONCE = 16 };
_Static_assert((int)MOST_SUMS >= (int)STREAM_TILE, "");
struct strips {
    const char *block[STRIPS];
};

/* y[rows][width] += the products of n groups of a block, from group g on, for strips that begin at block[]; without the
 * scale of x, unless no other group has it too. Both groups of q4 at once take a line of w a single time. ahead: the
 * values of a block further on are asked for, a line in each step of the first group. */
INLINE void add_groups(enum weight_type type, int g, int n, int rows, int width, __m512 *y, const int32_t *x,
                       const char *const *block, bool ahead)
{
    const int steps = quant_group(type) / QUANT_STEP;
    const int32_t *starts = x + (1 + g) * rows, *values = x + (1 + QUANT_BLOCK / quant_group(type) + g * steps) * rows;
    sums sum[2][MOST_SUMS];
    UNROLL for (int k = 0; k < n; k++) UNROLL for (int t = 0; t < rows; t++) UNROLL for (int b = 0; b < width; b++)
        sum[k][t * width + b] = (sums)_mm512_set1_epi32(starts[k * rows + t]);
    for (int s = 0; s < steps; s++) {
        __m512i v[2][MOST_WIDTH];
        UNROLL for (int b = 0; b < width; b++)
        {
            UNROLL for (int k = 0; k < n; k++) v[k][b] = stored_step(type, block[b], (g + k) * steps + s);
            if (ahead && !g)
                ask_repeatedly((uintptr_t)block[b] + STREAM_AHEAD + (size_t)s * QUANT_STEP_BYTES, STREAM_REPEATS_FEW);
        }
        UNROLL for (int k = 0; k < n; k++) UNROLL for (int t = 0; t < rows; t++)
        {
            __m512i xt = _mm512_set1_epi32(values[(k * steps + s) * rows + t]);
            COMPUTE_HERE(xt); /* or gcc reads it again for every product */
            UNROLL for (int b = 0; b < width; b++)
                sum[k][t * width + b] = (sums)_mm512_dpbusd_epi32((__m512i)sum[k][t * width + b], v[k][b], xt);
        }
    }
    UNROLL for (int k = 0; k < n; k++)
    {
        const size_t scales_at = quant_values_bytes(type) + (size_t)(g + k) * QUANT_STRIP * sizeof(uint16_t);
        __m512 scale_w[MOST_WIDTH];
        UNROLL for (int b = 0; b < width; b++) scale_w[b] = _mm512_cvtph_ps(load_half_vector(block[b] + scales_at));
        UNROLL for (int t = 0; t < rows; t++)
        {
            const __m512 scale_x = _mm512_castsi512_ps(_mm512_set1_epi32(x[t]));
            UNROLL for (int b = 0; b < width; b++)
            {
                __m512 *const at = y + t * width + b;
                const __m512 exact = _mm512_cvtepi32_ps((__m512i)sum[k][t * width + b]);
                *at = quant_same_groups(type) ? _mm512_fmadd_ps(_mm512_mul_ps(exact, scale_w[b]), scale_x, *at)
                                              : _mm512_fmadd_ps(exact, scale_w[b], *at);
            }
        }
    }
}

/* The next block of all strips. ahead: one further on is asked for. */
INLINE void add_block(enum weight_type type, int rows, int width, __m512 *y, const int32_t *x, struct strips *w,
                      bool ahead)
{
    const int groups = QUANT_BLOCK / quant_group(type), n = groups * rows * width <= AT_ONCE ? groups : 1;
    UNROLL for (int g = 0; g < groups; g += n) add_groups(type, g, n, rows, width, y, x, w->block, ahead);
    UNROLL for (int b = 0; b < width; b++)
    {
        if (ahead) ask_repeatedly((uintptr_t)w->block[b] + STREAM_AHEAD + quant_values_bytes(type), STREAM_REPEATS_FEW);
        w->block[b] += quant_block_bytes(type);
    }
}

/* A group of x, which is n blocks, against `width` strips; z is [rows][width]. */
INLINE void add_x_group(enum weight_type type, int n, int rows, int width, __m512 *z, const int32_t *x,
                        struct strips *w, bool ahead)
{
    if (quant_same_groups(type)) {
        add_block(type, rows, width, z, x, w, ahead);
        return;
    }
    const size_t units = block_units(type, rows);
    __m512 a[MOST_SUMS];
    UNROLL for (int i = 0; i < rows * width; i++) a[i] = _mm512_setzero_ps();
    UNROLL for (int i = 0; i < n; i++) add_block(type, rows, width, a, x + (size_t)i * units, w, ahead);
    UNROLL for (int t = 0; t < rows; t++)
    {
        const __m512 scale = _mm512_castsi512_ps(_mm512_set1_epi32(x[t]));
        UNROLL for (int b = 0; b < width; b++)
            z[t * width + b] = _mm512_fmadd_ps(a[t * width + b], scale, z[t * width + b]);
    }
}

/* The group of x that comes next when `left` blocks are left. Returns how many blocks it has. */
INLINE size_t next_x_group(enum weight_type type, size_t left, int rows, int width, __m512 *z, const int32_t *x,
                           struct strips *w, bool ahead)
{
    const size_t whole = (size_t)quant_x_blocks(type);
    if (left < whole) {
        add_x_group(type, 1, rows, width, z, x, w, ahead);
        return 1;
    }
    add_x_group(type, (int)whole, rows, width, z, x, w, ahead);
    return whole;
}
_Static_assert(QUANT_MOST_X_BLOCKS == 2, "");

/* In a switch over the number of rows: call(rows, ...) with a constant. */
#define CASES_TO_6(call, ...)                                                                                          \
    case 1: call(1, __VA_ARGS__); break;                                                                               \
    case 2: call(2, __VA_ARGS__); break;                                                                               \
    case 3: call(3, __VA_ARGS__); break;                                                                               \
    case 4: call(4, __VA_ARGS__); break;                                                                               \
    case 5: call(5, __VA_ARGS__); break;                                                                               \
    case 6:                                                                                                            \
        call(6, __VA_ARGS__);                                                                                          \
        break;
#define CASES_TO_12(call, ...)                                                                                         \
    CASES_TO_6(call, __VA_ARGS__)                                                                                      \
    case 7: call(7, __VA_ARGS__); break;                                                                               \
    case 8: call(8, __VA_ARGS__); break;                                                                               \
    case 9: call(9, __VA_ARGS__); break;                                                                               \
    case 10: call(10, __VA_ARGS__); break;                                                                             \
    case 11: call(11, __VA_ARGS__); break;                                                                             \
    case 12: call(12, __VA_ARGS__); break;

/* ---- Streaming ----
 *
 * Strip after strip, as they lie. */
INLINE void stream_tile(int rows, enum weight_type type, float *y, size_t y_stride, const int32_t *x, const char *w,
                        __mmask16 outputs, size_t blocks)
{
    __m512 z[STREAM_TILE];
    struct strips strip = {{w}};
    UNROLL for (int t = 0; t < rows; t++) z[t] = _mm512_setzero_ps();
    for (size_t i = 0, n; i < blocks; i += n, x += n * block_units(type, rows))
        n = next_x_group(type, blocks - i, rows, 1, z, x, &strip, true);
    UNROLL for (int t = 0; t < rows; t++) _mm512_mask_storeu_ps(y + (size_t)t * y_stride, outputs, z[t]);
}

INLINE void stream(enum weight_type type, float *y, size_t y_stride, const int32_t *x, const char *w, int T, int O,
                   int I)
{
    const size_t blocks = quant_blocks(I);
    for (int o = 0; o < O; o += QUANT_STRIP, w += quant_strip_bytes(type, I)) {
        const int32_t *xt = x;
        for (int t = 0, rows; t < T; t += rows, xt += blocks * block_units(type, rows)) {
            rows = tile_height(T - t, STREAM_TILE);
            switch (rows) {
                CASES_TO_12(stream_tile, type, y + (size_t)t * y_stride + o, y_stride, xt, w, first(O - o), blocks)
            }
        }
    }
}

static void stream_q8(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,
                      int O, int I)
{
    (void)band_bytes, (void)bands; /* one */
    stream(WEIGHT_Q8, y, y_stride, x, w, T, O, I);
}

static void stream_q4(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,
                      int O, int I)
{
    (void)band_bytes, (void)bands; /* one */
    stream(WEIGHT_Q4, y, y_stride, x, w, T, O, I);
}

/* ---- Panels ----
 *
 * Strips where they are stored, two at a time; one that does not exist is the first once more. */
INLINE void pack_w(enum weight_type type, struct strips *p, const char *w, int O, int I, int at)
{
    for (int b = 0; b < STRIPS; b++)
        p->block[b] = w + (b * QUANT_STRIP < O ? (size_t)b * quant_strip_bytes(type, I) : 0) +
                      (size_t)at / QUANT_BLOCK * quant_block_bytes(type);
}

static void pack_q8(void *to, const void *w, int O, int I, int at, int n)
{
    (void)n;
    pack_w(WEIGHT_Q8, to, w, O, I, at);
}

static void pack_q4(void *to, const void *w, int O, int I, int at, int n)
{
    (void)n;
    pack_w(WEIGHT_Q4, to, w, O, I, at);
}

/* z[rows][2 strips] += the products of strips first and first + 1. */
INLINE void panel_tile(int rows, enum weight_type type, float *z, const int32_t *x, const struct strips *panel,
                       int first, size_t blocks, struct asking *a)
{
    __m512 sum[PANEL_TILE * 2];
    struct strips w = {{panel->block[first], panel->block[first + 1]}};
    UNROLL for (int i = 0; i < rows * 2; i++) sum[i] = _mm512_loadu_ps(z + i / 2 * PANEL + i % 2 * LANES);
    for (size_t i = 0, n; i < blocks; i += n, x += n * block_units(type, rows)) {
        const size_t units = (size_t)quant_x_blocks(type) * block_units(type, rows);
        ask(a);
        UNROLL for (size_t u = 0; u < units; u += LANES) ask_x(x + u);
        n = next_x_group(type, blocks - i, rows, 2, sum, x, &w, false);
    }
    UNROLL for (int i = 0; i < rows * 2; i++) _mm512_storeu_ps(z + i / 2 * PANEL + i % 2 * LANES, sum[i]);
}

INLINE void multiply(enum weight_type type, float *z, const int32_t *x, const struct strips *w, int T, int n,
                     const struct ahead *next)
{
    const size_t blocks = quant_blocks(n);
    struct asking a = asking(next, STRIPS / 2 * ((T + PANEL_TILE - 1) / PANEL_TILE) * (int)quant_x_groups(type, n));
    for (int first = 0; first < STRIPS; first += 2) {
        const int32_t *xt = x;
        for (int t = 0, rows; t < T; t += rows, xt += blocks * block_units(type, rows)) {
            rows = tile_height(T - t, PANEL_TILE);
            float *zt = z + t * PANEL + first * QUANT_STRIP;
            switch (rows) {
                CASES_TO_6(panel_tile, type, zt, xt, w, first, blocks, &a)
            }
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
        .stream_bands = 1,
        .stream_rows = STREAM_TILE,
        .panel = PANEL,
        .depth = DEPTH,
        .panel_bytes = sizeof(struct strips),
        .packed_x_bytes = x_q8_bytes,
        .pack_x = pack_x_q8,
        .pack_w = pack_q8,
        .multiply = multiply_q8,
    };
    k->linear[COMPUTE_INT8][WEIGHT_Q8] = q8;
    k->linear[COMPUTE_INT8][WEIGHT_Q4] = (struct linear_kernels){
        .prepared_bytes = x_q4_bytes,
        .prepare = put_x_q4,
        .stream = stream_q4,
        .stream_bands = 1,
        .stream_rows = 8,
        .panel = PANEL,
        .depth = DEPTH,
        .panel_bytes = sizeof(struct strips),
        .packed_x_bytes = x_q4_bytes,
        .pack_x = pack_x_q4,
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
