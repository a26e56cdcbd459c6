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
 * Two A by two B fill the tiles: C is 0 .. 3, A is 4 and 5, B is 6 and 7.
 *
 * A product takes 16 cycles and, by two A and two B, the lines of one tile: what L1 can give, but twice what L2 can,
 * and L3 gives a fifth of that. So a panel (512 KB, in L2) is wide, for x comes from L3 once for each; CHUNK steps of
 * some rows stay in L1 while the whole panel passes, and sums leave the tiles after each chunk. */
#include "kernels/kernels.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include <string.h>

#include "kernels/quant.h"
#include "kernels/x86/bf16_avx512.h"
#include "kernels/x86/panels.h"
#include "kernels/x86/quant_avx512.h"
#include "kernels/x86/tiles_amx.h"

/* PAIRS tiles of rows, two by two, of CHUNK steps stay in L1. */
enum { ROWS_AHEAD = 1024 };
enum { STEP = BF16_VECTOR, DEPTH = 1024, PANEL = 256, CHUNK = 8, PAIRS = 1, STREAM_ROWS = 32 };

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
    size_t ahead, apart; /* lines to be asked for at each step, of each tile: how far away, and from one to the next */
    int lines;
};

/* Into L2: rows that are a power of two apart do not fit into L1 together, and L1 is for what is at hand. */
INLINE void prefetch(const char *w, size_t apart, int lines)
{
    UNROLL for (int i = 0; i < lines; i++) _mm_prefetch(w + (size_t)i * apart, _MM_HINT_T1);
}

static struct operand packed(const char *at, size_t steps)
{
    return (struct operand){.at = at, .tile = steps * TILE_BYTES, .row = TILE_ROW_BYTES, .step = TILE_BYTES};
}

/* Weights as they lie. */
static struct operand rows_of(const char *at, size_t apart, size_t row)
{
    return (struct operand){at, apart, row, TILE_ROW_BYTES, ROWS_AHEAD, row, TILE_ROWS};
}

INLINE void prefetch_step(int tiles, const struct operand *o)
{
    prefetch(o->at + o->ahead, o->apart, o->lines);
    if (tiles == 2) prefetch(o->at + o->tile + o->ahead, o->apart, o->lines);
}

/* C += A B over steps; as and bs, 1 or 2, are constants. far: what to ask for besides, or NULL. */
INLINE void products(int as, int bs, struct operand a, struct operand b, size_t steps, struct asking *far)
{
    MEMORY_IS_READ();
    for (size_t s = 0; s < steps; s++, a.at += a.step, b.at += b.step) {
        prefetch_step(as, &a);
        prefetch_step(bs, &b);
        if (far) ask(far);
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
                prefetch(w + line + ROWS_AHEAD, row, TILE_ROWS);
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
            products(2, bs, rows_of(w, apart, row), x, (size_t)(inputs / STEP), NULL);
        } else {
            convert2(load, bytes, scratch, w, apart, row, O, inputs);
            products(2, bs, packed(scratch, steps_of(inputs)), x, steps_of(inputs), NULL);
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

/* [tile of 16 outputs][step][1 KB]; a tile of no outputs is zeros. */
INLINE void pack_w(load_fn *load, size_t bytes, char *to, const char *w, int O, int I, int at, int n)
{
    const size_t row = (size_t)I * bytes;
    w += (size_t)at * bytes;
    for (int o = 0; o < PANEL; o += TILE_ROWS, to += steps_of(n) * TILE_BYTES) {
        if (o < O)
            convert(load, bytes, to, w + (size_t)o * row, row, O - o, n);
        else
            memset(to, 0, steps_of(n) * TILE_BYTES);
    }
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
        const char *block = w + from * quant_block_bytes(type);
        for (int b = 0; b < n; b += QUANT_BLOCK, block += quant_block_bytes(type))
            pack_block(type, put_inputs, (int32_t *)(void *)to, 0, block, b, (int)steps_of(n) * STEP - b);
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

/* Sums of 32 rows by 32 outputs, [2][2] tiles by A and B. */
typedef float sums[4 * 256];

enum { WIDTH = PANEL / (2 * TILE_ROWS) }; /* sums side by side */

/* What goes to z. */
struct result {
    float *z;
    const float *c;
    int T;
};

/* Nothing if there is no c. */
INLINE void add_result(int w_is_a, struct result r)
{
    if (!r.c) return;
    for (int i = 0; i < 4; i++) {
        const int second = w_is_a ? i % 2 : i / 2, half = w_is_a ? i / 2 : i % 2;
        if (second * TILE_ROWS >= r.T) continue;
        add_tile(w_is_a, r.z + second * TILE_ROWS * PANEL + half * TILE_ROWS, r.c + i * 256, r.T - second * TILE_ROWS);
    }
}

/* One or two tiles of rows by 32 outputs over a chunk of steps; c as before, or from zero. */
INLINE void multiply_chunk(int w_is_a, int xs, float *c, int from_zero, struct operand x, struct operand w,
                           size_t steps, struct asking *far)
{
    if (from_zero)
        c_zero();
    else
        c_load(c);
    if (w_is_a)
        products(2, xs, w, x, steps, far);
    else
        products(xs, 2, x, w, steps, far);
    c_store(c);
}

/* The chunk of x that follows, of which every WIDTH-th part is asked for with one of WIDTH sums. */
static struct operand packed_x(const char *at, size_t steps, size_t ahead, int part)
{
    enum { LINES = TILE_ROWS / WIDTH ? TILE_ROWS / WIDTH : 1 };
    struct operand x = packed(at, steps);
    x.ahead = ahead + (size_t)(part % TILE_ROWS * LINES * TILE_ROW_BYTES);
    x.apart = TILE_ROW_BYTES;
    x.lines = LINES;
    return x;
}

/* Up to PAIRS * 32 rows. The last chunk's sums go to z while the tiles have the next ones to do. */
INLINE void multiply_group(int w_is_a, float *z, const char *x, const char *w, int T, size_t steps, struct asking *far)
{
    _Alignas(64) sums c[WIDTH][PAIRS];
    struct result done = {.c = NULL};
    for (size_t s = 0; s < steps; s += CHUNK) {
        const size_t n = steps - s < CHUNK ? steps - s : CHUNK;
        for (int o = 0; o < WIDTH; o++) {
            const struct operand ws = packed(w + ((size_t)(2 * o) * steps + s) * TILE_BYTES, steps);
            for (int p = 0; p * 2 * TILE_ROWS < T; p++) {
                const int rows = T - p * 2 * TILE_ROWS;
                const struct operand xs = packed_x(x + ((size_t)(2 * p) * steps + s) * TILE_BYTES, steps,
                                                   n * TILE_BYTES, o);
                if (rows > TILE_ROWS)
                    multiply_chunk(w_is_a, 2, c[o][p], s == 0, xs, ws, n, far);
                else
                    multiply_chunk(w_is_a, 1, c[o][p], s == 0, xs, ws, n, far);
                if (s + n < steps) continue;
                add_result(w_is_a, done);
                done = (struct result){z + (p * PANEL + o) * 2 * TILE_ROWS, c[o][p], rows};
            }
        }
    }
    add_result(w_is_a, done);
}

INLINE void multiply(int w_is_a, float *z, const char *x, const char *w, int T, int n, const struct ahead *next)
{
    enum { GROUP = PAIRS * 2 * TILE_ROWS };
    struct asking far = asking(next, (int)steps_of(n) * WIDTH * ((T + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS)));
    TILES_ON(&config);
    for (int t = 0; t < T; t += GROUP)
        multiply_group(w_is_a, z + t * PANEL, x + x_bytes(t, n), w, T - t < GROUP ? T - t : GROUP, steps_of(n), &far);
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
            .stream_bands = STREAM_BANDS,
            .stream_rows = STREAM_ROWS,
            .panel = PANEL,
            .depth = DEPTH,
            .panel_bytes = PANEL / TILE_ROWS * (DEPTH / STEP) * TILE_BYTES,
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
