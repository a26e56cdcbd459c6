// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in bf16 by AMX tiles; denormal factors and sums count as zero, whatever the floating-point mode.
 *
 * TDPBF16PS adds to C [16][16] the products of A [16][32 inputs] and B [16 pairs of inputs][16 columns][2], adding even
 * and odd inputs up apart and then together. Whether an output is a row of C or a column, its 32 products are summed
 * alike, so:
 *
 *     order of every sum: steps of 32 inputs (zeros where there are fewer) are added by one TDPBF16PS each to what
 *     starts from zero for each block of DEPTH; blocks are added in fp32.
 *
 *   f32, f16, bf16  16 outputs by 32 inputs of row-major weights are an A as they lie: no transposition, C is
 *                   transposed at the end. x is packed in pairs, as B.
 *   q8, q4          16 outputs are in the lanes already: weights are B, and x is A.
 *
 * Two A by two B fill the tiles: C is 0 .. 3, A is 4 and 5, B is 6 and 7. */
#include "kernels/kernels.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include <string.h>

#include "kernels/quant.h"
#include "kernels/x86/bf16_avx512.h"
#include "kernels/x86/panels.h"
#include "kernels/x86/quant_avx512.h"
#include "kernels/x86/tiles_amx.h"

/* CHUNK: steps whose packed weights (32 KB) stay in L1 for GROUP rows. */
enum { STEP = BF16_VECTOR, DEPTH = 4096, PANEL = 32, CHUNK = 16, GROUP = 128, STREAM_ROWS = 32 };

static const struct tile_config config = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

static size_t steps_of(int n)
{
    return ((size_t)n + STEP - 1) / STEP;
}

/* ---- Tiles ---- */

/* Where A or B comes from: its second tile, its rows, the next step. */
struct operand {
    const char *at;
    size_t tile, row, step;
    int fetch; /* whether its rows come from far away */
};

/* Into L2: rows that are a power of two apart do not fit into L1 together. */
INLINE void prefetch_rows(const char *w, size_t row, int rows)
{
    enum { AHEAD = 1024 };
    UNROLL for (int o = 0; o < rows; o++) _mm_prefetch(w + (size_t)o * row + AHEAD, _MM_HINT_T1);
}

static struct operand packed(const char *at, size_t steps)
{
    return (struct operand){at, steps * TILE_BYTES, TILE_ROW_BYTES, TILE_BYTES, 0};
}

/* C += A B over steps; as and bs, 1 or 2, are constants. */
INLINE void products(int as, int bs, struct operand a, struct operand b, size_t steps)
{
    MEMORY_IS_READ();
    for (size_t s = 0; s < steps; s++, a.at += a.step, b.at += b.step) {
        if (a.fetch) prefetch_rows(a.at, a.row, TILE_ROWS);
        if (a.fetch && as == 2) prefetch_rows(a.at + a.tile, a.row, TILE_ROWS);
        _tile_loadd(4, a.at, a.row);
        _tile_loadd(6, b.at, b.row);
        _tile_dpbf16ps(0, 4, 6);
        if (bs == 2) {
            _tile_loadd(7, b.at + b.tile, b.row);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (as == 2) {
            _tile_loadd(5, a.at + a.tile, a.row);
            _tile_dpbf16ps(2, 5, 6);
            if (bs == 2) _tile_dpbf16ps(3, 5, 7);
        }
    }
}

INLINE void c_zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* c is [2][2] tiles by A and B; those that are not in use come along. */
INLINE void c_load(const float *c)
{
    MEMORY_IS_READ();
    _tile_loadd(0, c, TILE_ROW_BYTES);
    _tile_loadd(1, c + 256, TILE_ROW_BYTES);
    _tile_loadd(2, c + 512, TILE_ROW_BYTES);
    _tile_loadd(3, c + 768, TILE_ROW_BYTES);
}

INLINE void c_store(float *c)
{
    _tile_stored(0, c, TILE_ROW_BYTES);
    _tile_stored(1, c + 256, TILE_ROW_BYTES);
    _tile_stored(2, c + 512, TILE_ROW_BYTES);
    _tile_stored(3, c + 768, TILE_ROW_BYTES);
}

/* ---- Activations ---- */

/* [tile of 16 rows][step][1 KB], as A: [16 rows][32 inputs], or as B: [16 pairs][16 rows]. */
static size_t x_bytes(int T, int n)
{
    return (size_t)((T + TILE_ROWS - 1) / TILE_ROWS) * steps_of(n) * TILE_BYTES;
}

INLINE void put_x(int as_b, char *to, const float *x, size_t x_stride, int T, int n)
{
    for (int t = 0; t < T; t += TILE_ROWS) {
        for (int i = 0; i < n; i += STEP, to += TILE_BYTES) {
            __m512i v[TILE_ROWS];
            UNROLL for (int r = 0; r < TILE_ROWS; r++)
                v[r] = t + r < T ? load_f32((const char *)(x + (size_t)(t + r) * x_stride + i), n - i)
                                 : _mm512_setzero_si512();
            if (as_b) transpose16(v);
            UNROLL for (int r = 0; r < TILE_ROWS; r++) store_vector(to + r * TILE_ROW_BYTES, v[r]);
        }
    }
}

static void put_x_as_a(void *to, const float *x, size_t x_stride, int T, int n)
{
    put_x(0, to, x, x_stride, T, n);
}

static void put_x_as_b(void *to, const float *x, size_t x_stride, int T, int n)
{
    put_x(1, to, x, x_stride, T, n);
}

/* ---- Row-major weights as A ---- */

typedef __m512i load_fn(const char *w, int n);

/* n inputs of O <= 16 rows, in whole steps: [step][16 outputs][32 inputs]. */
INLINE void convert(load_fn *load, size_t bytes, char *to, const char *w, size_t row, int O, int n)
{
    for (; n > 0; n -= STEP, w += STEP * bytes, to += TILE_BYTES) {
        if (O >= TILE_ROWS && n >= STEP) {
            UNROLL for (int o = 0; o < TILE_ROWS; o++)
                store_vector(to + o * TILE_ROW_BYTES, load(w + (size_t)o * row, STEP));
            for (size_t line = 0; line < STEP * bytes; line += 64)
                prefetch_rows(w + line, row, TILE_ROWS);
        } else {
            for (int o = 0; o < TILE_ROWS; o++)
                store_vector(to + o * TILE_ROW_BYTES,
                             o < O ? load(w + (size_t)o * row, n < STEP ? n : STEP) : _mm512_setzero_si512());
        }
    }
}

/* Two tiles of A: rows of w from w on and from w + apart on, of which O[0] and O[1] exist. */
INLINE void convert2(load_fn *load, size_t bytes, char *to, const char *w, size_t apart, size_t row, const int O[2],
                     int n)
{
    convert(load, bytes, to, w, row, O[0], n);
    convert(load, bytes, to + steps_of(n) * TILE_BYTES, w + apart, row, O[1], n);
}

/* ---- Streaming ---- */

/* C of two tiles of outputs by bs tiles of rows over n inputs. Whole bf16 tiles need no conversion. */
INLINE void stream_block(load_fn *load, size_t bytes, int bs, struct operand x, const char *w, size_t apart, size_t row,
                         const int O[2], int n)
{
    enum { MOST = 8 * STEP };
    _Alignas(64) char scratch[2 * MOST / STEP * TILE_BYTES];
    for (int i = 0, inputs; i < n; i += inputs, w += (size_t)inputs * bytes) {
        const int as_it_lies = load == load_bf16 && O[0] >= TILE_ROWS && O[1] >= TILE_ROWS && n - i >= STEP;
        inputs = n - i < MOST ? n - i : MOST;
        if (as_it_lies) {
            inputs -= inputs % STEP;
            products(2, bs, (struct operand){w, apart, row, TILE_ROW_BYTES, 1}, x, (size_t)(inputs / STEP));
        } else {
            convert2(load, bytes, scratch, w, apart, row, O, inputs);
            products(2, bs, packed(scratch, steps_of(inputs)), x, steps_of(inputs));
        }
        x.at += steps_of(inputs) * TILE_BYTES;
    }
}

/* y of bs tiles of rows, T rows of which exist, by O outputs, from c [bs][16 outputs][16 rows]. */
INLINE void store_outputs(int bs, float *y, size_t y_stride, const float *c, int T, int O)
{
    for (int b = 0; b < bs; b++) {
        __m512i v[TILE_ROWS];
        UNROLL for (int o = 0; o < TILE_ROWS; o++) v[o] = load_vector(c + b * 256 + o * TILE_ROWS);
        transpose16(v);
        for (int t = 0; t < TILE_ROWS && b * TILE_ROWS + t < T; t++)
            _mm512_mask_storeu_epi32(y + (size_t)(b * TILE_ROWS + t) * y_stride, first(O), v[t]);
    }
}

/* What a call reads. Tiles of outputs are numbered so that neighbours are of different bands: tile q is number
 * q / bands of band q % bands. */
struct streamed {
    const char *w;
    size_t row_bytes, band_bytes;
    int bands, O, I;
};

static const char *tile_at(const struct streamed *s, int q)
{
    return s->w + (size_t)(q % s->bands) * s->band_bytes + (size_t)(q / s->bands) * TILE_ROWS * s->row_bytes;
}

static int tile_outputs(const struct streamed *s, int q)
{
    const int left = s->O - q / s->bands * TILE_ROWS;
    return left < 0 ? 0 : left < TILE_ROWS ? left : TILE_ROWS;
}

/* Tiles q and q + 1 by bs tiles of rows. */
INLINE void stream_rows(load_fn *load, size_t bytes, int bs, float *y, size_t y_stride, const char *x,
                        const struct streamed *s, int q, int T)
{
    const int O[2] = {tile_outputs(s, q), tile_outputs(s, q + 1)};
    const char *w = tile_at(s, q);
    const size_t apart = O[1] ? (size_t)((uintptr_t)tile_at(s, q + 1) - (uintptr_t)w) : 0;
    _Alignas(64) float z[4 * 256] = {0}, c[4 * 256];
    for (int at = 0; at < s->I; at += DEPTH) {
        const int n = s->I - at < DEPTH ? s->I - at : DEPTH;
        const struct operand b = packed(x + steps_of(at) * TILE_BYTES, steps_of(s->I));
        c_zero();
        stream_block(load, bytes, bs, b, w + (size_t)at * bytes, apart, s->row_bytes, O, n);
        c_store(c);
        for (int i = 0; i < 4 * 256; i++)
            z[i] += c[i];
    }
    for (int a = 0; a < 2; a++)
        store_outputs(bs, y + (q + a) % s->bands * s->O + (q + a) / s->bands * TILE_ROWS, y_stride, z + a * 512, T,
                      O[a]);
}

INLINE void stream(load_fn *load, size_t bytes, float *y, size_t y_stride, const char *x, const struct streamed *s,
                   int T)
{
    const int tiles = s->bands * ((s->O + TILE_ROWS - 1) / TILE_ROWS);
    TILES_ON(&config);
    for (int q = 0; q < tiles; q += 2) {
        for (int t = 0; t < T; t += 2 * TILE_ROWS) {
            const char *xt = x + x_bytes(t, s->I);
            float *yt = y + (size_t)t * y_stride;
            if (T - t > TILE_ROWS)
                stream_rows(load, bytes, 2, yt, y_stride, xt, s, q, T - t);
            else
                stream_rows(load, bytes, 1, yt, y_stride, xt, s, q, T - t);
        }
    }
    TILES_OFF();
}

/* ---- Panels ---- */

INLINE void pack_w(load_fn *load, size_t bytes, char *to, const char *w, int O, int I, int at, int n)
{
    const size_t row = (size_t)I * bytes;
    const int exist[2] = {O, O - TILE_ROWS}; /* a tile of none or less is zeros */
    convert2(load, bytes, to, w + (size_t)at * bytes, O > TILE_ROWS ? TILE_ROWS * row : 0, row, exist, n);
}

/* B of quantised weights: [strip][step][16 pairs][16 outputs], so pairs follow each other. */
INLINE void put_inputs(int32_t *to, size_t lane, int i, const __m512 x[4])
{
    (void)lane;
    store_vector(to + i / 2 * LANES, pairs(x[0], x[1]));
    store_vector(to + (i / 2 + 1) * LANES, pairs(x[2], x[3]));
}

INLINE void pack_quant(enum weight_type type, char *to, const char *w, int O, int I, int at, int n)
{
    const size_t bytes = steps_of(n) * TILE_BYTES, from = (size_t)at / QUANT_BLOCK;
    for (int o = 0; o < PANEL; o += QUANT_STRIP, to += bytes, w += quant_strip_bytes(type, I)) {
        if (o >= O) {
            memset(to, 0, bytes);
            continue;
        }
        const char *data = w + from * quant_block_bytes(type);
        const char *scales = w + quant_blocks(I) * quant_block_bytes(type) + from * quant_scale_bytes(type);
        for (int b = 0; b < n; b += QUANT_BLOCK) {
            pack_block(type, put_inputs, (int32_t *)(void *)to, 0, data, scales, b, (int)steps_of(n) * STEP - b);
            data += quant_block_bytes(type);
            scales += quant_scale_bytes(type);
        }
    }
}

/* z[T][PANEL] of a tile += c, whose rows or, w being A, columns are rows of z. */
INLINE void add_tile(int w_is_a, float *z, const float *c, int T)
{
    __m512i v[TILE_ROWS];
    UNROLL for (int r = 0; r < TILE_ROWS; r++) v[r] = load_vector(c + r * TILE_ROWS);
    if (w_is_a) transpose16(v);
    UNROLL for (int t = 0; t < TILE_ROWS; t++)
    {
        if (t >= T) break;
        float *zt = z + t * PANEL;
        _mm512_storeu_ps(zt, _mm512_add_ps(_mm512_loadu_ps(zt), _mm512_castsi512_ps(v[t])));
    }
}

/* One or two tiles of rows by a panel over a chunk of steps; c as before, or from zero. */
INLINE void multiply_chunk(int w_is_a, int xs, float *c, int from_zero, struct operand x, struct operand w,
                           size_t steps)
{
    if (from_zero)
        c_zero();
    else
        c_load(c);
    if (w_is_a)
        products(2, xs, w, x, steps);
    else
        products(xs, 2, x, w, steps);
    c_store(c);
}

/* Up to GROUP rows. */
INLINE void multiply_group(int w_is_a, float *z, const char *x, const char *w, int T, size_t steps, struct asking *a)
{
    _Alignas(64) float c[GROUP / (2 * TILE_ROWS)][4 * 256];
    for (size_t s = 0; s < steps; s += CHUNK) {
        const size_t n = steps - s < CHUNK ? steps - s : CHUNK;
        const struct operand ws = packed(w + s * TILE_BYTES, steps);
        for (int t = 0; t < T; t += 2 * TILE_ROWS) {
            const struct operand xs = packed(x + ((size_t)(t / TILE_ROWS) * steps + s) * TILE_BYTES, steps);
            ask(a);
            if (T - t > TILE_ROWS)
                multiply_chunk(w_is_a, 2, c[t / (2 * TILE_ROWS)], s == 0, xs, ws, n);
            else
                multiply_chunk(w_is_a, 1, c[t / (2 * TILE_ROWS)], s == 0, xs, ws, n);
        }
    }
    for (int t = 0; t < T; t += TILE_ROWS) {
        for (int half = 0; half < 2; half++) {
            const int second = t / TILE_ROWS % 2, tile = w_is_a ? 2 * half + second : 2 * second + half;
            add_tile(w_is_a, z + t * PANEL + half * TILE_ROWS, c[t / (2 * TILE_ROWS)] + tile * 256, T - t);
        }
    }
}

INLINE void multiply(int w_is_a, float *z, const char *x, const char *w, int T, int n, const struct ahead *next)
{
    const size_t chunks = (steps_of(n) + CHUNK - 1) / CHUNK;
    struct asking a = asking(next, (int)chunks * ((T + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS)));
    TILES_ON(&config);
    for (int t = 0; t < T; t += GROUP)
        multiply_group(w_is_a, z + t * PANEL, x + x_bytes(t, n), w, T - t < GROUP ? T - t : GROUP, steps_of(n), &a);
    TILES_OFF();
}

static void multiply_plain(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    multiply(1, z, x, w, T, n, next);
}

static void multiply_quant(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    multiply(0, z, x, w, T, n, next);
}

/* ---- The table ---- */

#define PLAIN(stream_name, pack_name, load, bytes)                                                                     \
    static void stream_name(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands,     \
                            int T, int O, int I)                                                                       \
    {                                                                                                                  \
        const struct streamed s = {w, (size_t)I * (bytes), band_bytes, bands, O, I};                                   \
        stream(load, bytes, y, y_stride, x, &s, T);                                                                    \
    }                                                                                                                  \
    static void pack_name(void *to, const void *w, int O, int I, int at, int n)                                        \
    {                                                                                                                  \
        pack_w(load, bytes, to, w, O, I, at, n);                                                                       \
    }
PLAIN(stream_f32, pack_f32, load_f32, 4)
PLAIN(stream_f16, pack_f16, load_f16, 2)
PLAIN(stream_bf16, pack_bf16, load_bf16, 2)

static void pack_q8(void *to, const void *w, int O, int I, int at, int n)
{
    pack_quant(WEIGHT_Q8, to, w, O, I, at, n);
}

static void pack_q4(void *to, const void *w, int O, int I, int at, int n)
{
    pack_quant(WEIGHT_Q4, to, w, O, I, at, n);
}

void kernels_init_amx_linear(struct kernels *k)
{
    static k_stream_fn *const streams[WEIGHT_TYPES] = {stream_f32, stream_f16, stream_bf16};
    static k_pack_w_fn *const packs[WEIGHT_TYPES] = {pack_f32, pack_f16, pack_bf16, pack_q8, pack_q4};
    for (int w = 0; w < WEIGHT_TYPES; w++) {
        const bool plain = streams[w] != NULL;
        k->linear[COMPUTE_BF16][w] = (struct linear_kernels){
            .flushes = true,
            .prepared_bytes = x_bytes,
            .prepare = put_x_as_b,
            .stream = streams[w],
            .stream_rows = STREAM_ROWS,
            .panel = PANEL,
            .depth = DEPTH,
            .panel_bytes = 2 * DEPTH / STEP * TILE_BYTES,
            .packed_x_bytes = x_bytes,
            .pack_x = plain ? put_x_as_b : put_x_as_a,
            .pack_w = packs[w],
            .multiply = plain ? multiply_plain : multiply_quant,
        };
    }
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_amx_linear(struct kernels *k)
{
    (void)k;
}

#endif
