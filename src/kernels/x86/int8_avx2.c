// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in int8, for q8 and q4 weights, by AVX2 + FMA + F16C.
 *
 * A lane is an output and takes four inputs a step. The integer sums are exact, so they have no order; groups are added
 * as kernels.h says, in streaming and by panels alike. No sum may saturate:
 *
 *   q8      the four bytes of a lane are parted into even and odd ones, 16 bits each, for vpmaddwd; a panel has them
 *           parted already, less their zero.
 *   q4      vpmaddubsw on 0..15 and -127..127: two products are at most 3810, so the 8 steps of a group of 32 add up
 *           to at most 30480 in 16 bits. */
#include "kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/quant.h"
#include "kernels/x86/lanes_avx2.h"
#include "kernels/x86/panels.h"

enum { STRIPS = 4, PANEL = STRIPS * QUANT_STRIP, DEPTH = 512, TILE = 6, STREAM_ROWS = 24 };

INLINE __m256i load256(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* The same four bytes in every lane. */
INLINE __m256i broadcast32(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

INLINE __m256 load_scales(const char *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* ---- Activations ---- */

/* Largest of |x| by its bits, so that NaN is above infinity (quant_activations()). n is a multiple of 8. */
INLINE float largest(const float *x, int n)
{
    const __m256i abs = _mm256_set1_epi32(0x7fffffff);
    __m256i max = _mm256_setzero_si256();
    for (int i = 0; i < n; i += LANES)
        max = _mm256_max_epi32(max, _mm256_and_si256(abs, load256(x + i)));
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(m));
}

/* A scale of activations, as quant_activations() has it, and what x is multiplied by. */
struct x_scale {
    float unit;
    __m256 inverse;
    __m256i keep; /* none: infinity times zero is no number */
};

/* Of n inputs, a multiple of 8. */
INLINE struct x_scale x_scale(const float *x, int n)
{
    const float max = largest(x, n);
    const int usable = max > QUANT_TINY && max <= 3.402823466e38f;
    return (struct x_scale){max > 0 && max <= QUANT_TINY ? 0 : max / 127, _mm256_set1_ps(usable ? 127 / max : 0),
                            _mm256_set1_epi32(usable ? -1 : 0)};
}

/* n values as 32-bit numbers, for the caller to narrow. Returns their sum. */
INLINE int32_t quantise(__m256i *value, const struct x_scale *scale, const float *x, int n)
{
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < n; i += LANES) {
        const __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), scale->inverse));
        value[i / LANES] = _mm256_and_si256(v, scale->keep);
        sum = _mm256_add_epi32(sum, value[i / LANES]);
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

/* A group of x, or the n of it that are left and zeros. */
INLINE const float *whole_group(float *padded, const float *x, int n, int group)
{
    if (n >= group) return x;
    memset(padded, 0, (size_t)group * sizeof *padded);
    memcpy(padded, x, (size_t)n * sizeof *padded);
    return padded;
}

/* Eight 32-bit numbers as 16-bit ones. */
INLINE __m128i narrow16(__m256i v)
{
    return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* ---- Streaming ----
 *
 * Prepared rows are [block of 64 inputs][row]: the scale, which is the same in both blocks of a group of x, then for
 * each group of w minus zero times the sum of its values, then the values; q8: 16 bits in the order 0 2 1 3 of every
 * four; q4: 8 bits. Block after block all rows are multiplied by the same strips of all bands, so that w is read once
 * and x from L1. */
enum {
    Q4_GROUP = 32,
    Q8_HEAD = 8,
    Q4_HEAD = 12,
    Q8_BYTES = Q8_HEAD + 2 * QUANT_BLOCK,
    Q4_BYTES = Q4_HEAD + QUANT_BLOCK
};

INLINE size_t row_bytes(enum weight_type type)
{
    return type == WEIGHT_Q8 ? Q8_BYTES : Q4_BYTES;
}

static size_t prepared_q8_bytes(int T, int I)
{
    return (size_t)T * quant_blocks(I) * Q8_BYTES;
}

static size_t prepared_q4_bytes(int T, int I)
{
    return (size_t)T * quant_blocks(I) * Q4_BYTES;
}

/* A row of a block. */
INLINE void prepare_block(enum weight_type type, char *to, const struct x_scale *scale, const float *x)
{
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    const int group = quant_group(type), zero = quant_zero(type);
    char *out = to + (type == WEIGHT_Q8 ? Q8_HEAD : Q4_HEAD);
    memcpy(to, &scale->unit, sizeof scale->unit);
    for (int g = 0; g < QUANT_BLOCK / group; g++) {
        __m256i v[QUANT_BLOCK / LANES];
        const int32_t start = -zero * quantise(v, scale, x + g * group, group);
        memcpy(to + (1 + g) * (int)sizeof start, &start, sizeof start);
        for (int k = 0; k < group / LANES; k++) {
            const __m128i v16 = narrow16(v[k]);
            if (type == WEIGHT_Q8)
                _mm_storeu_si128((__m128i *)(void *)(out + k * 16), _mm_shuffle_epi8(v16, order));
            else
                _mm_storel_epi64((__m128i *)(void *)(out + g * group + k * 8), _mm_packs_epi16(v16, v16));
        }
    }
}

INLINE void prepare(enum weight_type type, char *to, const float *x, size_t x_stride, int T, int I)
{
    const int group = quant_x_group(type);
    for (int t = 0; t < T; t++, to += row_bytes(type), x += x_stride) {
        char *block = to;
        for (int i = 0; i < I; i += group) {
            float padded[QUANT_MOST_X_GROUP];
            const float *xi = whole_group(padded, x + i, I - i, group);
            const struct x_scale scale = x_scale(xi, group);
            for (int b = 0; b < group && b < I - i; b += QUANT_BLOCK, block += (size_t)T * row_bytes(type))
                prepare_block(type, block, &scale, xi + b);
        }
    }
}

static void prepare_q8(void *to, const float *x, size_t x_stride, int T, int I)
{
    prepare(WEIGHT_Q8, to, x, x_stride, T, I);
}

static void prepare_q4(void *to, const float *x, size_t x_stride, int T, int I)
{
    prepare(WEIGHT_Q4, to, x, x_stride, T, I);
}

/* A strip of each band, band_bytes apart: a block of it. */
struct strips {
    const char *w;
    size_t band_bytes;
};

/* What the outputs of the strips come to, row by row. */
typedef float strip_sums[STREAM_BANDS][QUANT_STRIP];

/* Accumulators of integers, which are rows by bands by halves; and how far ahead, in bytes, w is asked for. They
 * leave no registers for what gcc would keep beside them: x from half to half and w, unpacked, from row to row, which
 * is why both are forgotten. */
enum { SUMS = 8, AHEAD = 2048 };

/* a = a + scale_w * (start + sum) for R rows, whose groups of x begin at x, with `start` bytes from there their starts.
 * Where a group of w is all that there is of a group of x, z = z + scale_x * (scale_w * (start + sum)) at once. */
INLINE void add_group(enum weight_type type, int R, int bands, strip_sums *y, int band, const __m256i *sum,
                      const char *x, int start, const struct strips *s, size_t scales_at)
{
    const char *const scales = s->w + scales_at;
    for (int n = 0; n < bands; n++) {
        for (int h = 0; h < 2; h++) {
            const __m256 scale_w = load_scales(scales + (size_t)(band + n) * s->band_bytes +
                                               h * LANES * (int)sizeof(uint16_t));
            for (int r = 0; r < R; r++) {
                const char *head = x + (size_t)r * row_bytes(type);
                const __m256i total = _mm256_add_epi32(sum[(n * 2 + h) * R + r], broadcast32(head + start));
                const __m256 exact = _mm256_cvtepi32_ps(total), scale_x = _mm256_castsi256_ps(broadcast32(head));
                float *to = y[r][band + n] + h * LANES;
                const __m256 before = _mm256_loadu_ps(to);
                _mm256_storeu_ps(to, quant_same_groups(type)
                                         ? _mm256_fmadd_ps(_mm256_mul_ps(exact, scale_w), scale_x, before)
                                         : _mm256_fmadd_ps(exact, scale_w, before));
            }
        }
    }
}

/* z = z + scale_x * a for T rows of a block at x, which ends a group of x; a begins anew. */
INLINE void end_x_group(enum weight_type type, strip_sums *z, strip_sums *a, const char *x, int T)
{
    for (int t = 0; t < T; t++, x += row_bytes(type)) {
        const __m256 scale = _mm256_castsi256_ps(broadcast32(x));
        float *zt = z[t][0], *at = a[t][0];
        for (int i = 0; i < STREAM_BANDS * QUANT_STRIP; i += LANES) {
            _mm256_storeu_ps(zt + i, _mm256_fmadd_ps(_mm256_loadu_ps(at + i), scale, _mm256_loadu_ps(zt + i)));
            _mm256_storeu_ps(at + i, _mm256_setzero_ps());
        }
    }
}

/* A block of q8, R rows by strips of `bands` bands. */
INLINE void q8_block(int R, int bands, strip_sums *z, int band, const char *x, const struct strips *s)
{
    const __m256i low = _mm256_set1_epi32(0x00ff00ff);
    const char *w = s->w + (size_t)band * s->band_bytes;
    __m256i sum[SUMS];
    FORGET(w);
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm256_setzero_si256();
#pragma GCC unroll 16
    for (int step = 0; step < QUANT_BLOCK / QUANT_STEP; step++) {
        for (int n = 0; n < bands; n++) {
            const char *wn = w + (size_t)n * s->band_bytes + step * QUANT_STEP_BYTES, *xn = x;
            _mm_prefetch(wn + AHEAD, _MM_HINT_T0);
            for (int h = 0; h < 2; h++) {
                const __m256i v = load256(wn + h * LANES * QUANT_STEP);
                const __m256i even = _mm256_and_si256(v, low), odd = _mm256_srli_epi16(v, 8);
                if (R > 1) FORGET(xn);
                for (int r = 0; r < R; r++) {
                    const char *xr = xn + (size_t)r * Q8_BYTES + Q8_HEAD + step * 8;
                    __m256i *to = &sum[(n * 2 + h) * R + r];
                    *to = _mm256_add_epi32(*to, _mm256_madd_epi16(even, broadcast32(xr)));
                    *to = _mm256_add_epi32(*to, _mm256_madd_epi16(odd, broadcast32(xr + 4)));
                    COMPUTE_HERE(*to);
                }
            }
        }
    }
    add_group(WEIGHT_Q8, R, bands, z, band, sum, x, sizeof(float), s, quant_values_bytes(WEIGHT_Q8));
}

/* One group of q4: the low halves of a block's bytes, or the high ones. */
INLINE void q4_group(int R, int bands, strip_sums *a, int band, const char *x, const struct strips *s, int high)
{
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    const char *w = s->w + (size_t)band * s->band_bytes;
    __m256i sum[SUMS];
    FORGET(w);
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int step = 0; step < Q4_GROUP / QUANT_STEP; step++) {
        for (int n = 0; n < bands; n++) {
            const char *wn = w + (size_t)n * s->band_bytes + step * QUANT_STEP_BYTES, *xn = x;
            if (high) _mm_prefetch(wn + AHEAD, _MM_HINT_T0);
            __m256i v[2] = {load256(wn), load256(wn + LANES * QUANT_STEP)};
            for (int h = 0; h < 2; h++)
                v[h] = _mm256_and_si256(high ? _mm256_srli_epi16(v[h], 4) : v[h], low);
            if (R > 1) FORGET(xn);
            for (int r = 0; r < R; r++) {
                const __m256i xr = broadcast32(xn + (size_t)r * Q4_BYTES + Q4_HEAD + high * Q4_GROUP +
                                               step * QUANT_STEP);
                for (int h = 0; h < 2; h++) {
                    __m256i *to = &sum[(n * 2 + h) * R + r];
                    *to = _mm256_add_epi16(*to, _mm256_maddubs_epi16(v[h], xr));
                    COMPUTE_HERE(*to);
                }
            }
        }
    }
    for (int i = 0; i < R * bands * 2; i++)
        sum[i] = _mm256_madd_epi16(sum[i], ones);
    add_group(WEIGHT_Q4, R, bands, a, band, sum, x, (1 + high) * (int)sizeof(int32_t), s,
              quant_values_bytes(WEIGHT_Q4) + (size_t)high * QUANT_STRIP * sizeof(uint16_t));
}

INLINE void stream_block(enum weight_type type, int R, int bands, strip_sums *y, int band, const char *x,
                         const struct strips *s)
{
    if (type == WEIGHT_Q8) {
        q8_block(R, bands, y, band, x, s);
    } else {
        q4_group(R, bands, y, band, x, s, 0);
        q4_group(R, bands, y, band, x, s, 1);
    }
}

/* All rows: four by one band at a time, or two by two, or one by four, for few rows wait for memory and bands that are
 * read line by line in turn come from there the fastest. */
INLINE void stream_rows(enum weight_type type, strip_sums *y, const char *x, const struct strips *s, int bands, int T)
{
    if (T == 1 && bands == STREAM_BANDS) {
        stream_block(type, 1, 4, y, 0, x, s);
        return;
    }
    if (T == 2 && bands == STREAM_BANDS) {
        stream_block(type, 2, 2, y, 0, x, s);
        stream_block(type, 2, 2, y, 2, x, s);
        return;
    }
    for (int b = 0; b < bands; b++) {
        for (int t = 0; t < T; t += 4) {
            const char *xt = x + (size_t)t * row_bytes(type);
            switch (T - t) {
            case 1: stream_block(type, 1, 1, y + t, b, xt, s); break;
            case 2: stream_block(type, 2, 1, y + t, b, xt, s); break;
            case 3: stream_block(type, 3, 1, y + t, b, xt, s); break;
            default: stream_block(type, 4, 1, y + t, b, xt, s); break;
            }
        }
    }
}

INLINE void stream_strips(enum weight_type type, float *y, size_t y_stride, size_t y_apart, const char *x,
                          size_t x_block, struct strips s, int bands, int T, int outputs, int I)
{
    strip_sums z[STREAM_ROWS], a[STREAM_ROWS];
    memset(z, 0, (size_t)T * sizeof *z);
    if (!quant_same_groups(type)) memset(a, 0, (size_t)T * sizeof *a);
    for (size_t block = 0; block < quant_blocks(I); block++) {
        stream_rows(type, quant_same_groups(type) ? z : a, x, &s, bands, T);
        if (!quant_same_groups(type) && quant_ends_x_group(type, block, quant_blocks(I))) end_x_group(type, z, a, x, T);
        x += x_block;
        s.w += quant_block_bytes(type);
    }
    for (int t = 0; t < T; t++)
        for (int b = 0; b < bands; b++)
            memcpy(y + (size_t)t * y_stride + (size_t)b * y_apart, z[t][b], (size_t)outputs * sizeof *y);
}

INLINE void stream(enum weight_type type, float *y, size_t y_stride, const char *x, const char *w, size_t band_bytes,
                   int bands, int T, int O, int I)
{
    const size_t row = row_bytes(type);
    for (int o = 0; o < O; o += QUANT_STRIP, w += quant_strip_bytes(type, I)) {
        const struct strips s = {w, band_bytes};
        for (int t = 0; t < T; t += STREAM_ROWS)
            stream_strips(type, y + (size_t)t * y_stride + o, y_stride, (size_t)O, x + (size_t)t * row, (size_t)T * row,
                          s, bands, T - t < STREAM_ROWS ? T - t : STREAM_ROWS,
                          O - o < QUANT_STRIP ? O - o : QUANT_STRIP, I);
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

/* ---- Panels of q4 ----
 *
 * The strips of a panel are its bands: x and the multiplication are those of streaming, w is copied as it is. */
static void pack_q4(void *to, const void *w, int O, int I, int at, int n)
{
    const size_t bytes = quant_strip_bytes(WEIGHT_Q4, n);
    const char *from = (const char *)w + (size_t)at / QUANT_BLOCK * quant_block_bytes(WEIGHT_Q4);
    char *out = to;
    for (int o = 0; o < PANEL; o += QUANT_STRIP, out += bytes, from += quant_strip_bytes(WEIGHT_Q4, I)) {
        if (o < O)
            memcpy(out, from, bytes);
        else
            memset(out, 0, bytes);
    }
}

static void multiply_q4(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    enum { ROWS = 32 }; /* whose sums, and a block of x, stay in L1 */
    const size_t blocks = quant_blocks(n);
    struct asking asking_next = asking(next, (int)blocks * ((T + ROWS - 1) / ROWS));
    strip_sums a[ROWS];
    memset(a, 0, sizeof a);
    for (int t = 0; t < T; t += ROWS, z += ROWS * PANEL) {
        const int rows = T - t < ROWS ? T - t : ROWS;
        struct strips s = {w, quant_strip_bytes(WEIGHT_Q4, n)};
        for (size_t b = 0; b < blocks; b++, s.w += quant_block_bytes(WEIGHT_Q4)) {
            const char *xb = (const char *)x + (b * (size_t)T + (size_t)t) * Q4_BYTES;
            ask(&asking_next);
            stream_rows(WEIGHT_Q4, a, xb, &s, STRIPS, rows);
            if (quant_ends_x_group(WEIGHT_Q4, b, blocks)) end_x_group(WEIGHT_Q4, (strip_sums *)z, a, xb, rows);
        }
    }
}
_Static_assert((int)STRIPS == (int)STREAM_BANDS, "a row of z is one of strip_sums");

/* ---- Panels of q8 ----
 *
 * x packed is, for each tile of rows and each block of inputs: a scale a row, then [32 steps][rows] pairs of 16-bit
 * values. w packed is, for each block: PANEL scales (fp32), then for each strip [32 steps][16 outputs] pairs. */
enum {
    PAIR_STEPS = QUANT_BLOCK / 2,
    STRIP_BYTES = PAIR_STEPS * QUANT_STRIP * 4,
    W_BYTES = PANEL * 4 + STRIPS * STRIP_BYTES, /* a block of w  */
    X_BYTES = 4 + PAIR_STEPS * 4,               /* of x, one row */
};

static size_t packed_x_bytes(int T, int n)
{
    return (size_t)T * quant_blocks(n) * X_BYTES;
}

/* Row t of a tile: one block, x may end within it. */
INLINE void pack_x_block(char *tile, int rows, int t, const float *x, int left)
{
    float padded[QUANT_BLOCK];
    __m256i v[QUANT_BLOCK / LANES];
    const float *const whole = whole_group(padded, x, left, QUANT_BLOCK);
    const struct x_scale scale = x_scale(whole, QUANT_BLOCK);
    quantise(v, &scale, whole, QUANT_BLOCK);
    memcpy(tile + (size_t)t * sizeof(float), &scale.unit, sizeof scale.unit);
    int32_t *pairs = (int32_t *)(void *)(tile + (size_t)rows * sizeof(float)) + t;
    for (int k = 0; k < QUANT_BLOCK / LANES; k++) {
        int32_t pair[4];
        _mm_storeu_si128((__m128i *)(void *)pair, narrow16(v[k]));
        for (int j = 0; j < 4; j++)
            pairs[(k * 4 + j) * rows] = pair[j];
    }
}

static void pack_x(void *to, const float *x, size_t x_stride, int T, int n)
{
    char *out = to;
    for (int tile = 0, rows; tile < T; tile += rows) {
        rows = tile_height(T - tile, TILE);
        for (int at = 0; at < n; at += QUANT_BLOCK, out += rows * X_BYTES)
            for (int t = 0; t < rows; t++)
                pack_x_block(out, rows, t, x + (size_t)(tile + t) * x_stride + at, n - at);
    }
}

/* Bytes of one step of 8 outputs, four inputs each, as pairs (0, 1) and (2, 3) of 16-bit numbers less zero. */
INLINE void widen_step(char *to, __m256i bytes)
{
    const __m256i zero = _mm256_set1_epi16(128);
    const __m256i first = _mm256_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1, 4,
                                           -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1);
    const __m256i second = _mm256_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1, 2, -1, 3, -1, 6,
                                            -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_sub_epi16(_mm256_shuffle_epi8(bytes, first), zero));
    _mm256_storeu_si256((__m256i *)(void *)(to + QUANT_STRIP * sizeof(int32_t)),
                        _mm256_sub_epi16(_mm256_shuffle_epi8(bytes, second), zero));
}

/* One strip of one block. */
INLINE void pack_block(char *to, float *scale, const char *block)
{
    for (int half = 0; half < QUANT_STRIP; half += LANES) {
        char *out = to + (size_t)half * sizeof(int32_t);
        _mm256_storeu_ps(scale + half, load_scales(block + quant_values_bytes(WEIGHT_Q8) + half * 2));
        for (int s = 0; s < QUANT_BLOCK / QUANT_STEP; s++, out += 2 * QUANT_STRIP * sizeof(int32_t))
            widen_step(out, load256(block + s * QUANT_STEP_BYTES + half * QUANT_STEP));
    }
}

static void pack_q8(void *to, const void *w, int O, int I, int at, int n)
{
    for (int s = 0; s < STRIPS; s++) {
        const char *strip = (const char *)w + (size_t)s * quant_strip_bytes(WEIGHT_Q8, I);
        for (size_t b = 0; b < quant_blocks(n); b++) {
            const size_t from = (size_t)at / QUANT_BLOCK + b;
            float *scale = (float *)(void *)((char *)to + b * W_BYTES) + s * QUANT_STRIP;
            if (s * QUANT_STRIP < O)
                pack_block((char *)to + b * W_BYTES + PANEL * sizeof(float) + s * STRIP_BYTES, scale,
                           strip + from * quant_block_bytes(WEIGHT_Q8));
            else
                memset(scale, 0, QUANT_STRIP * sizeof *scale);
        }
    }
}

/* rows by the 16 outputs of a strip over one block; z's rows are PANEL apart. */
INLINE void tile(int rows, float *z, const char *x, const char *w, const float *scales)
{
    __m256i sum[TILE][2];
    for (int t = 0; t < rows; t++)
        sum[t][0] = sum[t][1] = _mm256_setzero_si256();
    const char *xs = x + (size_t)rows * sizeof(float), *ws = w;
    for (int s = 0; s < PAIR_STEPS; s++, xs += (size_t)rows * sizeof(int32_t), ws += QUANT_STRIP * sizeof(int32_t)) {
        const __m256i w0 = load256(ws), w1 = load256(ws + 32);
        for (int t = 0; t < rows; t++) {
            const __m256i xt = broadcast32(xs + (size_t)t * sizeof(int32_t));
            sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(w0, xt));
            COMPUTE_HERE(sum[t][0]);
            sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(w1, xt));
            COMPUTE_HERE(sum[t][1]);
        }
    }
    const __m256 scale[2] = {_mm256_loadu_ps(scales), _mm256_loadu_ps(scales + LANES)};
    for (int t = 0; t < rows; t++) {
        const __m256 scale_x = _mm256_castsi256_ps(broadcast32(x + (size_t)t * sizeof(float)));
        for (int half = 0; half < 2; half++) {
            float *zt = z + t * PANEL + half * LANES;
            const __m256 a = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[t][half]), scale[half]);
            _mm256_storeu_ps(zt, _mm256_fmadd_ps(a, scale_x, _mm256_loadu_ps(zt)));
        }
    }
}

INLINE void any_tile(int rows, float *z, const char *x, const char *w, const float *scales)
{
    switch (rows) {
    case 1: tile(1, z, x, w, scales); break;
    case 2: tile(2, z, x, w, scales); break;
    case 3: tile(3, z, x, w, scales); break;
    case 4: tile(4, z, x, w, scales); break;
    case 5: tile(5, z, x, w, scales); break;
    default: tile(6, z, x, w, scales); break;
    }
}

/* While a block of the panel (16 KB) stays in L1, all rows pass, a tile of them by one strip after the other. */
static void multiply_q8(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    const size_t blocks = quant_blocks(n);
    struct asking a = asking(next, (int)blocks * ((T + TILE - 1) / TILE) * STRIPS);
    for (size_t b = 0; b < blocks; b++) {
        const char *wb = (const char *)w + b * W_BYTES;
        for (int t = 0, rows; t < T; t += rows) {
            rows = tile_height(T - t, TILE);
            const char *xt = (const char *)x + ((size_t)t * blocks + (size_t)rows * b) * X_BYTES;
            for (int s = 0; s < STRIPS; s++) {
                ask(&a);
                any_tile(rows, z + t * PANEL + s * QUANT_STRIP, xt, wb + PANEL * sizeof(float) + s * STRIP_BYTES,
                         (const float *)(const void *)wb + s * QUANT_STRIP);
            }
        }
    }
}

/* ---- The table ---- */

void kernels_init_avx2_int8(struct kernels *k)
{
    k->linear[COMPUTE_INT8][WEIGHT_Q8] = (struct linear_kernels){
        .prepared_bytes = prepared_q8_bytes,
        .prepare = prepare_q8,
        .stream = stream_q8,
        .stream_bands = STREAM_BANDS,
        .stream_rows = 12,
        .panel = PANEL,
        .depth = DEPTH,
        .panel_bytes = (size_t)(DEPTH / QUANT_BLOCK) * W_BYTES,
        .packed_x_bytes = packed_x_bytes,
        .pack_x = pack_x,
        .pack_w = pack_q8,
        .multiply = multiply_q8,
    };
    k->linear[COMPUTE_INT8][WEIGHT_Q4] = (struct linear_kernels){
        .prepared_bytes = prepared_q4_bytes,
        .prepare = prepare_q4,
        .stream = stream_q4,
        .stream_bands = STREAM_BANDS,
        .stream_rows = STREAM_ROWS,
        .panel = PANEL,
        .depth = DEPTH,
        .panel_bytes = STRIPS * quant_strip_bytes(WEIGHT_Q4, DEPTH),
        .packed_x_bytes = prepared_q4_bytes,
        .pack_x = prepare_q4,
        .pack_w = pack_q4,
        .multiply = multiply_q4,
    };
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx2_int8(struct kernels *k)
{
    (void)k;
}

#endif
