// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in fp32, or in bf16 by rounding the factors: AVX2 + FMA + F16C.
 *
 * Order of every sum, whatever the tile: inputs are cut into blocks of DEPTH; in a block, lane j of 8 takes inputs
 * j, j+8, j+16, ... by fused multiply-add, starting from zero; then the lanes are added to the result, lane 0 first.
 *
 *   Streaming keeps the 8 lanes of an output in one register, so that a row of w is read as it lies.
 *   Panels keep 8 outputs in a register and go through a block lane by lane: all inputs of lane 0, then of lane 1, ...
 *   which is why they are packed in that order. A lane's part of a panel (16 KB) stays in L1 for all rows. */
#include "kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <string.h>

#include "kernels/quant.h"
#include "kernels/x86/lanes_avx2.h"
#include "kernels/x86/panels.h"
#include "kernels/x86/tiles_avx2.h"

enum { DEPTH = 512, STRIPS = 4, PANEL = STRIPS * STRIP, STREAM_ROWS = 24, AHEAD = 1024 };

static size_t steps_of(int n)
{
    return ((size_t)n + LANES - 1) / LANES;
}

/* ---- Streaming ---- */

/* x prepared is [block of inputs][row][DEPTH], the end padded with zeros: a block of all rows lies together, so that
 * rows whose length is a power of two do not meet in the same sets of the cache. */
static size_t prepared_bytes(int T, int I)
{
    return (size_t)T * (size_t)((I + DEPTH - 1) / DEPTH) * DEPTH * sizeof(float);
}

INLINE void prepare(load_fn *load, float *to, const float *x, size_t x_stride, int T, int I)
{
    for (int at = 0; at < I; at += DEPTH)
        for (int t = 0; t < T; t++, to += DEPTH)
            for (int i = 0; i < DEPTH && at + i < I; i += LANES)
                _mm256_storeu_ps(
                    to + i, load_some(load, sizeof *x, (const char *)(x + (size_t)t * x_stride + at + i), I - at - i));
}

static void prepare_fp32(void *to, const float *x, size_t x_stride, int T, int I)
{
    prepare(load_f32, to, x, x_stride, T, I);
}

static void prepare_bf16(void *to, const float *x, size_t x_stride, int T, int I)
{
    prepare(load_f32_rounded, to, x, x_stride, T, I);
}

/* z of four outputs += their lanes, in order. */
INLINE __m128 add_lanes(__m128 z, const __m256 sum[4])
{
    const __m256 ab = _mm256_unpacklo_ps(sum[0], sum[1]), AB = _mm256_unpackhi_ps(sum[0], sum[1]);
    const __m256 cd = _mm256_unpacklo_ps(sum[2], sum[3]), CD = _mm256_unpackhi_ps(sum[2], sum[3]);
    const __m256 lane[4] = {_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee),
                            _mm256_shuffle_ps(AB, CD, 0x44), _mm256_shuffle_ps(AB, CD, 0xee)};
    for (int j = 0; j < 4; j++)
        z = _mm_add_ps(z, _mm256_castps256_ps128(lane[j]));
    for (int j = 0; j < 4; j++)
        z = _mm_add_ps(z, _mm256_extractf128_ps(lane[j], 1));
    return z;
}

/* T <= 2 rows of x by O rows of w, `apart` bytes from one to the next, over a block of n inputs. z[t] has the O outputs
 * of a row. Every `step`-th row of w from `first` on is asked for AHEAD bytes before it is needed. */
INLINE void stream_tile(load_fn *load, size_t bytes, int T, int O, __m128 *z, const float *x, const char *w,
                        size_t apart, int n, int first, int step)
{
    enum { TOGETHER = 4 * LANES }; /* at least a line of w */
    __m256 sum[2][4];
    UNROLL for (int t = 0; t < 2; t++) UNROLL for (int o = 0; o < 4; o++) sum[t][o] = _mm256_setzero_ps();
    int i = 0;
    for (; i + TOGETHER <= n; i += TOGETHER, w += TOGETHER * bytes) {
        for (int o = first; o < O; o += step)
            for (size_t line = 0; line < TOGETHER * bytes; line += 64)
                _mm_prefetch(w + (size_t)o * apart + line + AHEAD, _MM_HINT_T0);
        for (int k = 0; k < TOGETHER; k += LANES) {
            __m256 v[4];
            UNROLL for (int o = 0; o < O; o++) v[o] = load(w + (size_t)o * apart + (size_t)k * bytes);
            UNROLL for (int t = 0; t < T; t++)
            {
                const __m256 xt = _mm256_loadu_ps(x + t * DEPTH + i + k);
                UNROLL for (int o = 0; o < O; o++) sum[t][o] = _mm256_fmadd_ps(xt, v[o], sum[t][o]);
            }
        }
    }
    for (; i < n; i += LANES, w += LANES * bytes) {
        for (int o = 0; o < O; o++) {
            const __m256 v = load_some(load, bytes, w + (size_t)o * apart, n - i);
            for (int t = 0; t < T; t++)
                sum[t][o] = _mm256_fmadd_ps(_mm256_loadu_ps(x + t * DEPTH + i), v, sum[t][o]);
        }
    }
    for (int t = 0; t < T; t++)
        z[t] = add_lanes(z[t], sum[t]);
}

/* T rows, of all_T that were prepared, against O outputs, block after block, so that a block of x and of w stays in L1.
 * Output o of a row goes to y[o * y_apart]. */
INLINE void stream_outputs(load_fn *load, size_t bytes, int O, float *y, size_t y_stride, size_t y_apart,
                           const float *x, const char *w, size_t apart, int T, int all_T, int I)
{
    const int pairs = (T + 1) / 2;
    __m128 z[STREAM_ROWS];
    for (int t = 0; t < T; t++)
        z[t] = _mm_setzero_ps();
    for (int at = 0; at < I; at += DEPTH, x += (size_t)all_T * DEPTH) {
        const int n = I - at < DEPTH ? I - at : DEPTH;
        const char *wt = w + (size_t)at * bytes;
        for (int p = 0; p < T / 2; p++)
            stream_tile(load, bytes, 2, O, z + 2 * p, x + 2 * p * DEPTH, wt, apart, n, p, pairs);
        if (T % 2) stream_tile(load, bytes, 1, O, z + T - 1, x + (T - 1) * DEPTH, wt, apart, n, pairs - 1, pairs);
    }
    for (int t = 0; t < T; t++) {
        float out[4];
        _mm_storeu_ps(out, z[t]);
        for (int o = 0; o < O; o++)
            y[(size_t)t * y_stride + (size_t)o * y_apart] = out[o];
    }
}

/* An output of each of four bands at a time: four streams that never break off. */
INLINE void stream(load_fn *load, size_t bytes, float *y, size_t y_stride, const float *x, const char *w,
                   size_t band_bytes, int bands, int T, int O, int I)
{
    const size_t row = (size_t)I * bytes;
    for (int t = 0; t < T; t += STREAM_ROWS) {
        const int rows = T - t < STREAM_ROWS ? T - t : STREAM_ROWS;
        float *yt = y + (size_t)t * y_stride;
        const float *xt = x + t * DEPTH;
        for (int o = 0; o < O; o++) {
            const char *wo = w + (size_t)o * row;
            if (bands == STREAM_BANDS)
                stream_outputs(load, bytes, 4, yt + o, y_stride, (size_t)O, xt, wo, band_bytes, rows, T, I);
            else
                for (int b = 0; b < bands; b++)
                    stream_outputs(load, bytes, 1, yt + b * O + o, y_stride, 1, xt, wo + (size_t)b * band_bytes, row,
                                   rows, T, I);
        }
    }
}

/* ---- Panels: packing ---- */

/* x packed is [lane 8][tile][step][rows of the tile]; a lane's part ends with room for what the last store of eight has
 * too many. */
static size_t x_lane_floats(int T, int n)
{
    return (size_t)T * steps_of(n) + LANES;
}

static size_t packed_x_bytes(int T, int n)
{
    return LANES * x_lane_floats(T, n) * sizeof(float);
}

INLINE void pack_x(load_fn *load, float *to, const float *x, size_t x_stride, int T, int n)
{
    const size_t lane = x_lane_floats(T, n);
    for (int tile = 0, rows; tile < T; tile += rows) {
        rows = tile_height(T - tile, TILE);
        for (int i = 0; i < n; i += LANES, to += rows) {
            __m256 v[LANES];
            for (int t = 0; t < LANES; t++)
                v[t] = t < rows
                           ? load_some(load, sizeof *x, (const char *)(x + (size_t)(tile + t) * x_stride + i), n - i)
                           : _mm256_setzero_ps();
            transpose8(v);
            for (int j = 0; j < LANES; j++)
                _mm256_storeu_ps(to + (size_t)j * lane, v[j]);
        }
    }
}

static void pack_x_fp32(void *to, const float *x, size_t x_stride, int T, int n)
{
    pack_x(load_f32, to, x, x_stride, T, n);
}

static void pack_x_bf16(void *to, const float *x, size_t x_stride, int T, int n)
{
    pack_x(load_f32_rounded, to, x, x_stride, T, n);
}

/* w packed is [lane 8][strip][step][STRIP]; a gap of a cache line between lanes keeps the eight streams of stores
 * apart. */
static size_t w_strip_floats(int n)
{
    return steps_of(n) * STRIP;
}

static size_t w_lane_floats(int n)
{
    return STRIPS * w_strip_floats(n) + STRIP;
}

INLINE void pack_w(load_fn *load, size_t bytes, float *to, const char *w, int O, int I, int at, int n)
{
    const size_t lane = w_lane_floats(n), row = (size_t)I * bytes;
    for (int first = 0; first < PANEL; first += LANES) {
        float *out = to + (size_t)(first / STRIP) * w_strip_floats(n) + first % STRIP;
        for (int i = 0; i < n; i += LANES, out += STRIP) {
            __m256 v[LANES];
            for (int o = 0; o < LANES; o++)
                v[o] = first + o < O
                           ? load_some(load, bytes, w + (size_t)(first + o) * row + (size_t)(at + i) * bytes, n - i)
                           : _mm256_setzero_ps();
            transpose8(v);
            for (int j = 0; j < LANES; j++)
                _mm256_storeu_ps(out + (size_t)j * lane, v[j]);
        }
    }
}

/* Eight outputs of a strip: the j-th bytes (q8) of their four inputs, as numbers. */
INLINE __m256 number(__m256i bytes, int shift, int mask, int zero)
{
    const __m256i stored = _mm256_and_si256(_mm256_srli_epi32(bytes, shift), _mm256_set1_epi32(mask));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(stored, _mm256_set1_epi32(zero)));
}

INLINE void put_number(float *to, size_t lane, int i, __m256 x, int rounded)
{
    _mm256_storeu_ps(to + (size_t)(i % LANES) * lane + (size_t)(i / LANES) * STRIP, rounded ? round_bf16(x) : x);
}

/* Outputs first .. first+7 of a block of 64 inputs, from input b of the panel on; n may end within it. */
INLINE void pack_quant_block(enum weight_type type, int rounded, float *to, size_t lane, const char *block, int first,
                             int b, int n)
{
    const int per_byte = type == WEIGHT_Q4 ? 2 : 1, steps = QUANT_BLOCK / QUANT_STEP / per_byte;
    const int bits = 8 / per_byte, mask = (1 << bits) - 1;
    __m256 scale[2];
    for (int g = 0; g < per_byte; g++)
        scale[g] = load_f16(block + quant_values_bytes(type) + (size_t)(g * QUANT_STRIP + first) * sizeof(uint16_t));
    for (int s = 0; s < steps; s++) {
        const __m256i v = _mm256_loadu_si256(
            (const __m256i *)(const void *)(block + first * QUANT_STEP + s * QUANT_STEP_BYTES));
        for (int part = 0; part < per_byte; part++)
            for (int j = 0; j < QUANT_STEP; j++) {
                const int i = b + part * 32 + s * QUANT_STEP + j;
                if (i >= n) continue;
                const __m256 x = number(v, j * 8 + part * bits, mask, quant_zero(type));
                put_number(to, lane, i, _mm256_mul_ps(scale[part], x), rounded);
            }
    }
}

/* A panel of quantised weights: strips that do not exist are zeros, as are the last step's missing inputs. */
INLINE void pack_quant(enum weight_type type, int rounded, float *to, const char *w, int O, int I, int at, int n)
{
    const size_t lane = w_lane_floats(n);
    for (int first = 0; first < PANEL; first += LANES) {
        float *out = to + (size_t)(first / STRIP) * w_strip_floats(n) + first % STRIP;
        const int half = first % QUANT_STRIP, known = first / QUANT_STRIP * QUANT_STRIP < O ? n : 0;
        const char *strip = w + (size_t)(first / QUANT_STRIP) * quant_strip_bytes(type, I);
        const char *block = strip + (size_t)at / QUANT_BLOCK * quant_block_bytes(type);
        for (int b = 0; b < known; b += QUANT_BLOCK, block += quant_block_bytes(type))
            pack_quant_block(type, rounded, out, lane, block, half, b, n);
        for (int i = known; i < n || i % LANES; i++)
            put_number(out, lane, i, _mm256_setzero_ps(), 0);
    }
}

/* ---- Panels: multiplying ---- */

static void multiply(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    const size_t steps = steps_of(n), strip = w_strip_floats(n);
    struct asking a = asking(next, LANES * ((T + TILE - 1) / TILE) * STRIPS);
    for (int j = 0; j < LANES; j++) {
        const float *xj = (const float *)x + (size_t)j * x_lane_floats(T, n);
        const float *wj = (const float *)w + (size_t)j * w_lane_floats(n);
        for (int t = 0, rows; t < T; t += rows, xj += (size_t)rows * steps) {
            rows = tile_height(T - t, TILE);
            for (int s = 0; s < STRIPS; s++) {
                ask(&a);
                tile_any(rows, z + t * PANEL + s * STRIP, PANEL, xj, wj + (size_t)s * strip, steps);
            }
        }
    }
}

/* ---- The table ---- */

#define STREAM(name, load, bytes)                                                                                      \
    static void name(float *y, size_t y_stride, const void *x, const void *w, size_t band_bytes, int bands, int T,     \
                     int O, int I)                                                                                     \
    {                                                                                                                  \
        stream(load, bytes, y, y_stride, x, w, band_bytes, bands, T, O, I);                                            \
    }
STREAM(stream_f32, load_f32, 4)
STREAM(stream_f16, load_f16, 2)
STREAM(stream_bf16, load_bf16, 2)
STREAM(stream_f32_rounded, load_f32_rounded, 4)
STREAM(stream_f16_rounded, load_f16_rounded, 2)

#define PACK_W(name, load, bytes)                                                                                      \
    static void name(void *to, const void *w, int O, int I, int at, int n)                                             \
    {                                                                                                                  \
        pack_w(load, bytes, to, w, O, I, at, n);                                                                       \
    }
PACK_W(pack_f32, load_f32, 4)
PACK_W(pack_f16, load_f16, 2)
PACK_W(pack_bf16, load_bf16, 2)
PACK_W(pack_f32_rounded, load_f32_rounded, 4)
PACK_W(pack_f16_rounded, load_f16_rounded, 2)

#define PACK_QUANT(name, type, rounded)                                                                                \
    static void name(void *to, const void *w, int O, int I, int at, int n)                                             \
    {                                                                                                                  \
        pack_quant(type, rounded, to, w, O, I, at, n);                                                                 \
    }
PACK_QUANT(pack_q8, WEIGHT_Q8, 0)
PACK_QUANT(pack_q4, WEIGHT_Q4, 0)
PACK_QUANT(pack_q8_rounded, WEIGHT_Q8, 1)
PACK_QUANT(pack_q4_rounded, WEIGHT_Q4, 1)

void kernels_init_avx2_linear(struct kernels *k)
{
    static k_stream_fn *const streams[2][WEIGHT_TYPES] = {
        {stream_f32, stream_f16, stream_bf16},
        {stream_f32_rounded, stream_f16_rounded, stream_bf16},
    };
    static k_pack_w_fn *const packs[2][WEIGHT_TYPES] = {
        {pack_f32, pack_f16, pack_bf16, pack_q8, pack_q4},
        {pack_f32_rounded, pack_f16_rounded, pack_bf16, pack_q8_rounded, pack_q4_rounded},
    };
    for (int rounded = 0; rounded < 2; rounded++) {
        for (int w = 0; w < WEIGHT_TYPES; w++) {
            k->linear[rounded ? COMPUTE_BF16 : COMPUTE_FP32][w] = (struct linear_kernels){
                .prepared_bytes = prepared_bytes,
                .prepare = rounded ? prepare_bf16 : prepare_fp32,
                .stream = streams[rounded][w],
                .stream_bands = STREAM_BANDS,
                .stream_rows = STREAM_ROWS,
                .panel = PANEL,
                .depth = DEPTH,
                .panel_bytes = LANES * w_lane_floats(DEPTH) * sizeof(float),
                .packed_x_bytes = packed_x_bytes,
                .pack_x = rounded ? pack_x_bf16 : pack_x_fp32,
                .pack_w = packs[rounded][w],
                .multiply = multiply,
            };
        }
    }
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx2_linear(struct kernels *k)
{
    (void)k;
}

#endif
