// SPDX-License-Identifier: Apache-2.0
/* Linear maps over sixteen lanes, for whatever a lane of 32 bits holds: one input in fp32 or two in bf16. The file that
 * includes this defines what:
 *
 *     LANE_INPUTS, a macro   inputs in a lane
 *     DEPTH                  inputs of a block
 *     madd()                 see below
 *
 * Order of every sum, whatever the tile: inputs are cut into blocks of DEPTH; in a block, lane j of 16 takes what is in
 * lanes j of its vectors by madd, starting from zero; then the lanes are added to the result, lane 0 first.
 *
 *   Streaming keeps the lanes of an output in one register, so that a row of w is read as it lies.
 *   Panels keep 16 outputs in a register and go through a block lane by lane: all inputs of lane 0, then of lane 1, ...
 *   which is why they are packed in that order. A lane's part of a panel (16 KB) stays in L1 for all rows. */
#ifndef GPTJT_KERNELS_X86_LINEAR_AVX512_H
#define GPTJT_KERNELS_X86_LINEAR_AVX512_H

#if defined(__AVX512F__) && defined(LANE_INPUTS)

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/quant.h"
#include "kernels/x86/lanes_avx512.h"
#include "kernels/x86/panels.h"
#include "kernels/x86/quant_avx512.h"
#include "kernels/x86/stream.h"

/* STEP: inputs of a vector. TILE: rows that fill the registers, two vectors of outputs each. */
enum { STEP = LANES * LANE_INPUTS, PANEL = 64, WIDTH = 32, TILE = 12, STREAM_ROWS = 12 };

/* The sum of each lane with its products added. */
INLINE __m512 madd(__m512 sum, __m512i x, __m512i w);

/* The next STEP inputs of a row as a vector, the last of which are zeros where only n exist. */
typedef __m512i load_fn(const char *w, int n);

static size_t steps_of(int n)
{
    return ((size_t)n + STEP - 1) / STEP;
}

/* ---- Streaming ----
 *
 * One row goes through w one output after the other, as they lie in memory. The x of several rows is larger than L1:
 * they take a group of outputs, which lie side by side, a stretch of inputs at a time, and keep the lanes of their sums
 * in between; meanwhile the group after this one is asked for, in the order of memory. stream.h says how.
 *
 * A tile of rows by four outputs loads x least often. Where it has more sums than registers, half of its rows go first,
 * or, where converting w twice would cost more, it has two outputs.
 *
 * x prepared is [tile][half of a high tile][step][rows][16 lanes]. Tiles have a few heights only; rows that do not
 * exist are zeros. */
enum {
    OUTPUTS = 4,
    MOST_GROUP = 8,
    STRETCH = 32 * STEP,
    FEW_ROWS = 2,
    MOST_WHOLE = 6,
    MOST_HEIGHT = 12,
    MOST_SUMS = 24
};
_Static_assert(DEPTH % STRETCH == 0 && OUTPUTS * MOST_WHOLE <= MOST_SUMS, "");

INLINE int stream_height(int T)
{
    return T <= 4 ? T : T <= 6 ? 6 : T <= 8 ? 8 : MOST_HEIGHT;
}

/* Rows whose x lies together. */
INLINE int x_rows(int height)
{
    return height <= MOST_WHOLE ? height : height / 2;
}

static size_t prepared_bytes(int T, int I)
{
    int rows = 0;
    for (int t = 0; t < T; t += MOST_HEIGHT)
        rows += stream_height(T - t);
    return (size_t)rows * steps_of(I) * VECTOR_BYTES;
}

INLINE void prepare(load_fn *load, char *at, const float *x, size_t x_stride, int T, int I)
{
    for (int t = 0, rows, left = 0; t < T; t += rows, left -= rows) { /* left: rows of this tile */
        if (!left) left = stream_height(T - t);
        rows = x_rows(left);
        for (int i = 0; i < I; i += STEP) {
            for (int r = t; r < t + rows; r++, at += VECTOR_BYTES)
                store_vector(at, r < T ? load((const char *)(x + (size_t)r * x_stride + i), I - i)
                                       : _mm512_setzero_si512());
        }
    }
}

/* Of a tile of rows: outputs and rows at a time, and outputs of a group. dear: whether it takes several instructions to
 * make a vector of w what is multiplied. */
INLINE int tile_outputs(int height, int dear)
{
    return dear && height > MOST_WHOLE ? 2 : OUTPUTS;
}

INLINE int tile_rows(int height, int dear)
{
    return tile_outputs(height, dear) == OUTPUTS ? x_rows(height) : height;
}

INLINE int group_outputs(int height)
{
    return height <= FEW_ROWS ? OUTPUTS : MOST_GROUP;
}

/* x: of the first row of a tile; x_half: from half to half of it. */
INLINE void stream_step(load_fn *load, int height, int rows, int width, __m512 *sum, const char *x, size_t x_half,
                        const char *const *w, size_t at, int n)
{
    const int half = x_rows(height);
    __m512i v[OUTPUTS];
    UNROLL for (int o = 0; o < width; o++) v[o] = load(w[o] + at, n);
    UNROLL for (int t = 0; t < rows; t++)
    {
        __m512i xt = load_vector(x + (size_t)(t / half) * x_half + t % half * VECTOR_BYTES);
        COMPUTE_HERE(xt); /* or gcc reads it again for every product */
        UNROLL for (int o = 0; o < width; o++) sum[t * width + o] = madd(sum[t * width + o], xt, v[o]);
    }
}

/* Adds what inputs [at, end) give to the lanes of rows by width sums. `ask` bytes of what comes next are asked for in
 * every step. */
INLINE void stream_stretch(load_fn *load, size_t bytes, int height, int rows, int width, __m512 *lanes, const char *x,
                           size_t x_half, const char *const *w, int at, int end, uintptr_t next, size_t ask)
{
    const int sums = rows * width, repeats = height <= FEW_ROWS ? STREAM_REPEATS_FEW : STREAM_REPEATS;
    __m512 sum[MOST_SUMS];
    UNROLL for (int i = 0; i < sums; i++) sum[i] = lanes[i];
    for (; at + STEP <= end; at += STEP, x += x_rows(height) * VECTOR_BYTES, next += ask) {
        UNROLL for (size_t a = 0; a < ask; a += VECTOR_BYTES) ask_repeatedly(next + a, repeats);
        stream_step(load, height, rows, width, sum, x, x_half, w, (size_t)at * bytes, STEP);
    }
    if (at < end) stream_step(load, height, rows, width, sum, x, x_half, w, (size_t)at * bytes, end - at);
    UNROLL for (int i = 0; i < sums; i++) lanes[i] = sum[i];
}

/* Results of a tile of rows, T of which exist, by a group of outputs, O of which exist.
 * z: [group / width][height][width]. */
INLINE void store_streamed(float *y, size_t y_stride, const float *z, int height, int width, int T, int O)
{
    for (int o = 0; o < group_outputs(height) && o < O; o++) {
        for (int t = 0; t < height && t < T; t++)
            y[(size_t)t * y_stride + (size_t)o] = z[(o / width * height + t) * width + o % width];
    }
}

/* One tile of rows, T of which exist, by a group of outputs, O of which exist. */
INLINE void stream_group(load_fn *load, size_t bytes, int dear, int height, float *y, size_t y_stride, const char *x,
                         const char *w, int T, int O, int I)
{
    const int width = tile_outputs(height, dear), rows = tile_rows(height, dear), sums = rows * width;
    const int group = group_outputs(height);
    const size_t row_bytes = (size_t)I * bytes, x_half = steps_of(I) * (size_t)x_rows(height) * VECTOR_BYTES;
    const size_t ask = (size_t)width * STEP * bytes * (size_t)rows / (size_t)height;
    const char *row[MOST_GROUP];
    uintptr_t next = (uintptr_t)w + (size_t)group * row_bytes;
    __m512 lanes[MOST_GROUP * MOST_HEIGHT];
    __m128 z[MOST_GROUP * MOST_HEIGHT / 4];
    for (int o = 0; o < group; o++)
        row[o] = w + (size_t)(o < O ? o : O - 1) * row_bytes;
    for (int i = 0; i < group * height / 4; i++)
        z[i] = _mm_setzero_ps();
    for (int at = 0; at < I; at += STRETCH) {
        const int end = at + STRETCH < I ? at + STRETCH : I;
        const size_t steps = steps_of(end - at);
        __m512 *tile = lanes;
        __m128 *zt = z;
        for (int o = 0; o < group; o += width) {
            const char *xt = x;
            for (int r = 0; r < height; r += rows, xt += x_half, tile += sums, zt += sums / 4, next += steps * ask) {
                if (at % DEPTH == 0) UNROLL for (int i = 0; i < sums; i++) tile[i] = _mm512_setzero_ps();
                stream_stretch(load, bytes, height, rows, width, tile, xt, x_half, row + o, at, end, next, ask);
                if (end % DEPTH && end < I) continue;
                UNROLL for (int g = 0; g < sums / 4; g++) zt[g] = add_lanes(zt[g], tile + 4 * g);
            }
        }
        x += steps * (size_t)x_rows(height) * VECTOR_BYTES;
    }
    store_streamed(y, y_stride, (const float *)z, height, width, T, O);
}

/* One row, one output after the other: w is read as it lies, from its beginning to its end. */
INLINE void stream_one(load_fn *load, size_t bytes, float *y, const char *x, const char *w, int O, int I)
{
    for (int o = 0; o < O; o++) {
        const char *xi = x;
        __m128 z = _mm_setzero_ps();
        for (int at = 0; at < I; at += DEPTH) {
            const int end = at + DEPTH < I ? at + DEPTH : I;
            __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
            int i = at;
            for (; i + STEP <= end; i += STEP, xi += VECTOR_BYTES, w += STEP * bytes) {
                UNROLL for (size_t a = 0; a < STEP * bytes; a += VECTOR_BYTES)
                    ask_repeatedly((uintptr_t)w + STREAM_AHEAD + a, STREAM_REPEATS_FEW);
                sum[0] = madd(sum[0], load_vector(xi), load(w, STEP));
            }
            if (i < end) {
                sum[0] = madd(sum[0], load_vector(xi), load(w, end - i));
                xi += VECTOR_BYTES;
                w += (size_t)(end - i) * bytes;
            }
            z = add_lanes(z, sum);
        }
        y[o] = _mm_cvtss_f32(z);
    }
}

/* One tile of rows by all outputs. */
INLINE void stream_outputs(load_fn *load, size_t bytes, int dear, int height, float *y, size_t y_stride, const char *x,
                           const char *w, int T, int O, int I)
{
    if (height == 1) {
        stream_one(load, bytes, y, x, w, O, I);
        return;
    }
    for (int o = 0; o < O; o += group_outputs(height))
        stream_group(load, bytes, dear, height, y + o, y_stride, x, w + (size_t)o * (size_t)I * bytes, T, O - o, I);
}

INLINE void stream(load_fn *load, size_t bytes, int dear, float *y, size_t y_stride, const char *x, const char *w,
                   int T, int O, int I)
{
    for (int t = 0, height; t < T; t += height, x += (size_t)height * steps_of(I) * VECTOR_BYTES) {
        float *yt = y + (size_t)t * y_stride;
        height = stream_height(T - t);
        switch (height) {
        case 1: stream_outputs(load, bytes, dear, 1, yt, y_stride, x, w, T - t, O, I); break;
        case 2: stream_outputs(load, bytes, dear, 2, yt, y_stride, x, w, T - t, O, I); break;
        case 3: stream_outputs(load, bytes, dear, 3, yt, y_stride, x, w, T - t, O, I); break;
        case 4: stream_outputs(load, bytes, dear, 4, yt, y_stride, x, w, T - t, O, I); break;
        case 6: stream_outputs(load, bytes, dear, 6, yt, y_stride, x, w, T - t, O, I); break;
        case 8: stream_outputs(load, bytes, dear, 8, yt, y_stride, x, w, T - t, O, I); break;
        default: stream_outputs(load, bytes, dear, MOST_HEIGHT, yt, y_stride, x, w, T - t, O, I); break;
        }
    }
}

/* ---- Panels: packing ---- */

/* x packed is [lane 16][tile][step][rows], and w is [lane 16][strip of WIDTH outputs][step][WIDTH]. A gap of a cache
 * line between lanes keeps their streams of stores apart. Units are what a lane holds. */
static size_t x_lane_units(int T, int n)
{
    return (size_t)T * steps_of(n) + LANES;
}

static size_t w_lane_units(int n)
{
    return steps_of(n) * PANEL + LANES;
}

static size_t packed_x_bytes(int T, int n)
{
    return LANES * x_lane_units(T, n) * sizeof(int32_t);
}

/* v[u] = unit u of the next STEP inputs, n of which exist, of up to 16 rows. */
INLINE void turn_rows(load_fn *load, __m512i v[LANES], const float *x, size_t stride, int rows, int n)
{
    UNROLL for (int t = 0; t < LANES; t++) v[t] = t < rows ? load((const char *)(x + (size_t)t * stride), n)
                                                           : _mm512_setzero_si512();
    transpose16(v);
}

INLINE void pack_x(load_fn *load, int32_t *at, const float *x, size_t x_stride, int T, int n)
{
    const size_t lane = x_lane_units(T, n);
    for (int tile = 0, rows; tile < T; tile += rows) {
        rows = tile_height(T - tile, TILE);
        for (int i = 0; i < n; i += STEP, at += rows) {
            __m512i v[LANES];
            turn_rows(load, v, x + (size_t)tile * x_stride + i, x_stride, rows, n - i);
            UNROLL for (int j = 0; j < LANES; j++) _mm512_mask_storeu_epi32(at + (size_t)j * lane, first(rows), v[j]);
        }
    }
}

/* Where a packed panel of so many steps has output o. */
INLINE int32_t *output_at(int32_t *to, size_t steps, int o)
{
    return to + (size_t)(o / WIDTH) * steps * WIDTH + o % WIDTH;
}

/* One step of 16 outputs. */
INLINE void pack_step(load_fn *load, int32_t *to, size_t lane, const char *w, size_t row, int O, int n)
{
    __m512i v[LANES];
    UNROLL for (int o = 0; o < LANES; o++) v[o] = load(w + (size_t)(o < O ? o : 0) * row, o < O ? n : 0);
    transpose16(v);
    UNROLL for (int j = 0; j < LANES; j++) store_vector(to + (size_t)j * lane, v[j]);
}

INLINE void pack_w(load_fn *load, size_t bytes, int32_t *to, const char *w, int O, int I, int at, int n)
{
    const size_t lane = w_lane_units(n), row = (size_t)I * bytes;
    for (int o = 0; o < PANEL; o += LANES) {
        const char *from = w + (size_t)(o < O ? o : 0) * row + (size_t)at * bytes;
        int32_t *out = output_at(to, steps_of(n), o);
        int i = 0;
        for (; O - o >= LANES && i + STEP <= n; i += STEP, from += STEP * bytes, out += WIDTH)
            pack_step(load, out, lane, from, row, LANES, STEP);
        for (; i < n; i += STEP, from += STEP * bytes, out += WIDTH)
            pack_step(load, out, lane, from, row, O - o, n - i < STEP ? n - i : STEP);
    }
}

/* Where a packed panel has unit u of its block. */
INLINE int32_t *unit_at(int32_t *to, size_t lane, int u)
{
    return to + (size_t)(u % LANES) * lane + (size_t)(u / LANES) * WIDTH;
}

/* A panel of quantised weights: strips of 16 outputs, blocks of 64 inputs; what is beyond n in the last step is zero in
 * a block.
 */
INLINE void pack_quant(enum weight_type type, put_inputs_fn *put_inputs, int32_t *to, const char *w, int O, int I,
                       int at, int n)
{
    const size_t lane = w_lane_units(n), first = (size_t)at / QUANT_BLOCK;
    const int padded = (int)steps_of(n) * STEP;
    for (int o = 0; o < PANEL; o += LANES, w += quant_strip_bytes(type, I)) {
        if (o >= O) {
            for (int u = 0; u < padded / LANE_INPUTS; u++)
                store_vector(unit_at(output_at(to, steps_of(n), o), lane, u), _mm512_setzero_si512());
            continue;
        }
        const char *block = w + first * quant_block_bytes(type);
        for (int b = 0; b < n; b += QUANT_BLOCK, block += quant_block_bytes(type))
            pack_block(type, put_inputs, output_at(to, steps_of(n), o), lane, block, b, padded - b);
    }
}

/* ---- Panels: multiplying ---- */

/* What is wanted next is asked for every so many steps, as evenly as it can come: a burst would hold up the loads. The
 * strip behind this one is in L2 unless rows have driven it out: eight tiles ask for all of it. */
enum { ASK_STEPS = 2, ASK_STRIP_STEPS = 4, ASK_STRIP_BYTES = VECTOR_BYTES / ASK_STRIP_STEPS };

/* A row of z's tile, to which it is added at the end, is asked for into L1. */
INLINE void ask_z(const float *zt)
{
    _mm_prefetch((const char *)zt, _MM_HINT_T0);
    _mm_prefetch((const char *)(zt + LANES), _MM_HINT_T0);
}

/* rows x 32 outputs over one lane's steps. next: this tile's part of the next strip. */
INLINE void tile(int rows, float *z, const int32_t *x, const int32_t *w, size_t steps, const char *next,
                 struct asking *a)
{
    __m512 sum[TILE][2];
    UNROLL for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = _mm512_setzero_ps();
    for (size_t s = 0; s < steps; s++, x += rows, w += WIDTH) {
        if (a && s % ASK_STEPS == 0) ask(a);
        if (s < (size_t)rows) ask_z(z + s * PANEL);
        if (s % ASK_STRIP_STEPS == 0) _mm_prefetch(next + s * ASK_STRIP_BYTES, _MM_HINT_T1);
        ask_x(x);
        const __m512i w0 = load_vector(w), w1 = load_vector(w + LANES);
        UNROLL for (int t = 0; t < rows; t++)
        {
            const __m512i xt = _mm512_set1_epi32(x[t]);
            sum[t][0] = madd(sum[t][0], xt, w0);
            sum[t][1] = madd(sum[t][1], xt, w1);
        }
    }
    UNROLL for (int t = 0; t < rows; t++)
    {
        float *zt = z + t * PANEL;
        _mm512_storeu_ps(zt, _mm512_add_ps(_mm512_loadu_ps(zt), sum[t][0]));
        _mm512_storeu_ps(zt + LANES, _mm512_add_ps(_mm512_loadu_ps(zt + LANES), sum[t][1]));
    }
}

INLINE void any_tile(int rows, float *z, const int32_t *x, const int32_t *w, size_t steps, const char *next,
                     struct asking *a)
{
    switch (rows) {
    case 1: tile(1, z, x, w, steps, next, a); break;
    case 2: tile(2, z, x, w, steps, next, a); break;
    case 3: tile(3, z, x, w, steps, next, a); break;
    case 4: tile(4, z, x, w, steps, next, a); break;
    case 5: tile(5, z, x, w, steps, next, a); break;
    case 6: tile(6, z, x, w, steps, next, a); break;
    case 7: tile(7, z, x, w, steps, next, a); break;
    case 8: tile(8, z, x, w, steps, next, a); break;
    case 9: tile(9, z, x, w, steps, next, a); break;
    case 10: tile(10, z, x, w, steps, next, a); break;
    case 11: tile(11, z, x, w, steps, next, a); break;
    default: tile(TILE, z, x, w, steps, next, a); break;
    }
}

/* All rows by a strip of w over `steps` steps; z's rows are PANEL apart. */
INLINE void all_tiles(float *z, const int32_t *x, const int32_t *w, int T, size_t steps, struct asking *a)
{
    const char *next = (const char *)(w + steps * WIDTH);
    for (int t = 0, rows; t < T; t += rows, x += (size_t)rows * steps, next += steps * ASK_STRIP_BYTES) {
        rows = tile_height(T - t, TILE);
        any_tile(rows, z + t * PANEL, x, w, steps, next, a);
    }
}

/* To be asked for while all rows pass so many strips. */
static struct asking ask_in_strips(const struct ahead *next, int strips, int T, size_t steps)
{
    return asking(next, strips * ((T + TILE - 1) / TILE) * (int)((steps + ASK_STEPS - 1) / ASK_STEPS));
}

static void multiply(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    enum { STRIPS = PANEL / WIDTH };
    const size_t steps = steps_of(n);
    struct asking a = ask_in_strips(next, LANES * STRIPS, T, steps);
    for (int j = 0; j < LANES * STRIPS; j++) {
        const int32_t *xj = (const int32_t *)x + (size_t)(j / STRIPS) * x_lane_units(T, n);
        const int32_t *wj = (const int32_t *)w + (size_t)(j / STRIPS) * w_lane_units(n) +
                            (size_t)(j % STRIPS) * steps * WIDTH;
        all_tiles(z + j % STRIPS * WIDTH, xj, wj, T, steps, a.lines ? &a : NULL);
    }
}

/* ---- The table ---- */

#define X_FORMS(prepare_name, pack_name, load)                                                                         \
    static void prepare_name(void *to, const float *x, size_t x_stride, int T, int I)                                  \
    {                                                                                                                  \
        prepare(load, to, x, x_stride, T, I);                                                                          \
    }                                                                                                                  \
    static void pack_name(void *to, const float *x, size_t x_stride, int T, int n)                                     \
    {                                                                                                                  \
        pack_x(load, to, x, x_stride, T, n);                                                                           \
    }

#define STREAM(name, load, bytes, dear)                                                                                \
    static void name(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,     \
                     int O, int I)                                                                                     \
    {                                                                                                                  \
        (void)band_bytes, (void)bands; /* one */                                                                       \
        stream(load, bytes, dear, y, y_stride, x, w, T, O, I);                                                         \
    }

#define PACK_W(name, load, bytes)                                                                                      \
    static void name(void *to, const void *w, int O, int I, int at, int n)                                             \
    {                                                                                                                  \
        pack_w(load, bytes, to, w, O, I, at, n);                                                                       \
    }

#define PACK_QUANT(name, type, put_inputs)                                                                             \
    static void name(void *to, const void *w, int O, int I, int at, int n)                                             \
    {                                                                                                                  \
        pack_quant(type, put_inputs, to, w, O, I, at, n);                                                              \
    }

#endif
#endif
