// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in int8, for q8 and q4 weights, by AVX2 + FMA + F16C.
 *
 * A lane is an output and takes four inputs a step. The integer sums are exact, so they have no order; groups are added
 * in ascending order by one fused multiply-add each, in streaming and by panels alike. No sum may saturate:
 *
 *   q8      the four bytes of a lane are parted into even and odd ones, 16 bits each, for vpmaddwd.
 *   q4      vpmaddubsw on 0..15 and -127..127: two products are at most 3810, so the 8 steps of a group of 32 add up
 *           to at most 30480 in 16 bits.
 *   panels  both types are widened to 16 bits, less their zero, two inputs a step, for vpmaddwd. */
#include "kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/quant.h"
#include "kernels/x86/lanes_avx2.h"

enum { STRIPS = 4, PANEL = STRIPS * QUANT_STRIP, DEPTH = 512, TILE = 6, STREAM_ROWS = 8 };

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

/* One group as quant_activations() has it: values as 32-bit numbers, for the caller to narrow. */
struct group {
    float scale;
    int32_t sum;
};

INLINE struct group quantise(__m256i *value, const float *x, int n)
{
    const float max = largest(x, n);
    const int usable = max > QUANT_TINY && max <= 3.402823466e38f;
    const __m256 inverse = _mm256_set1_ps(usable ? 127 / max : 0);
    const __m256i keep = _mm256_set1_epi32(usable ? -1 : 0); /* infinity times zero is no number */
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < n; i += LANES) {
        const __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), inverse));
        value[i / LANES] = _mm256_and_si256(v, keep);
        sum = _mm256_add_epi32(sum, value[i / LANES]);
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return (struct group){max > 0 && max <= QUANT_TINY ? 0 : max / 127, _mm_cvtsi128_si32(s)};
}

/* A group of x, or what is left of it and zeros. */
INLINE const float *whole_group(float *padded, const float *x, int n, int group)
{
    if (n >= group) return x;
    memset(padded, 0, (size_t)group * sizeof *padded);
    if (n > 0) memcpy(padded, x, (size_t)n * sizeof *padded);
    return padded;
}

/* Eight 32-bit numbers as 16-bit ones. */
INLINE __m128i narrow16(__m256i v)
{
    return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* ---- Streaming ----
 *
 * Prepared rows are [block of 64 inputs][row][group]: a group's scale, minus zero times its sum, and its values; q8: 16
 * bits in the order 0 2 1 3 of every four; q4: 8 bits. Block after block all rows are multiplied by the same strips of
 * all bands, so that w is read once and x from L1. */
enum { Q8_GROUP = 64, Q4_GROUP = 32, HEAD = 8, Q8_BYTES = HEAD + 2 * Q8_GROUP, Q4_BYTES = HEAD + Q4_GROUP };

static size_t prepared_q8_bytes(int T, int I)
{
    return (size_t)T * quant_blocks(I) * Q8_BYTES;
}

static size_t prepared_q4_bytes(int T, int I)
{
    return (size_t)T * quant_blocks(I) * 2 * Q4_BYTES;
}

INLINE void put_head(char *to, struct group g, int zero)
{
    const int32_t start = -zero * g.sum;
    memcpy(to, &g.scale, sizeof g.scale);
    memcpy(to + sizeof g.scale, &start, sizeof start);
}

INLINE void prepare(int group, int group_bytes, int zero, char *to, const float *x, size_t x_stride, int T, int I)
{
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    const int per_block = QUANT_BLOCK / group, groups = (int)quant_blocks(I) * per_block;
    for (int t = 0; t < T; t++) {
        for (int g = 0; g < groups; g++) {
            const int i = g * group, row = g / per_block * T + t;
            char *out = to + (size_t)(row * per_block + g % per_block) * (size_t)group_bytes;
            float padded[Q8_GROUP];
            __m256i v[Q8_GROUP / LANES];
            put_head(out,
                     quantise(v, whole_group(padded, x + (size_t)t * x_stride + (i < I ? i : 0), I - i, group), group),
                     zero);
            for (int k = 0; k < group / LANES; k++) {
                const __m128i v16 = narrow16(v[k]);
                if (group == Q8_GROUP)
                    _mm_storeu_si128((__m128i *)(void *)(out + HEAD + k * 16), _mm_shuffle_epi8(v16, order));
                else
                    _mm_storel_epi64((__m128i *)(void *)(out + HEAD + k * 8), _mm_packs_epi16(v16, v16));
            }
        }
    }
}

static void prepare_q8(void *to, const float *x, size_t x_stride, int T, int I)
{
    prepare(Q8_GROUP, Q8_BYTES, 128, to, x, x_stride, T, I);
}

static void prepare_q4(void *to, const float *x, size_t x_stride, int T, int I)
{
    prepare(Q4_GROUP, Q4_BYTES, 8, to, x, x_stride, T, I);
}

/* A strip of each band, band_bytes apart: a block of it and the block's scales. */
struct strips {
    const char *w, *scales;
    size_t band_bytes;
};

/* What the outputs of the strips come to, row by row. */
typedef __m256 strip_sums[STREAM_BANDS][2];

/* Accumulators of integers, which are rows by bands by halves; and how far ahead, in bytes, one row asks for w. */
enum { SUMS = 8, AHEAD = 1024 };

/* z = z + (scale_w * scale_x) * (start + sum) for R rows, x at their groups' heads. */
INLINE void add_group(int R, int bands, strip_sums *z, int band, const __m256i *sum, const char *x, size_t x_row,
                      const struct strips *s, size_t scales_at)
{
    for (int n = 0; n < bands; n++) {
        for (int h = 0; h < 2; h++) {
            const __m256 scale_w = load_scales(s->scales + (size_t)(band + n) * s->band_bytes + scales_at +
                                               h * LANES * (int)sizeof(uint16_t));
            for (int r = 0; r < R; r++) {
                const char *head = x + (size_t)r * x_row;
                const __m256 scale = _mm256_mul_ps(scale_w, _mm256_castsi256_ps(broadcast32(head)));
                const __m256i total = _mm256_add_epi32(sum[(n * 2 + h) * R + r], broadcast32(head + 4));
                z[r][band + n][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), scale, z[r][band + n][h]);
            }
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
            if (R == 1) _mm_prefetch(wn + AHEAD, _MM_HINT_T0);
            for (int h = 0; h < 2; h++) {
                const __m256i v = load256(wn + h * LANES * QUANT_STEP);
                const __m256i even = _mm256_and_si256(v, low), odd = _mm256_srli_epi16(v, 8);
                if (R > 1) FORGET(xn);
                for (int r = 0; r < R; r++) {
                    const char *xr = xn + (size_t)r * Q8_BYTES + HEAD + step * 8;
                    __m256i *to = &sum[(n * 2 + h) * R + r];
                    *to = _mm256_add_epi32(*to, _mm256_madd_epi16(even, broadcast32(xr)));
                    *to = _mm256_add_epi32(*to, _mm256_madd_epi16(odd, broadcast32(xr + 4)));
                    COMPUTE_HERE(*to);
                }
            }
        }
    }
    add_group(R, bands, z, band, sum, x, Q8_BYTES, s, 0);
}

/* One group of q4: the low halves of a block's bytes, or the high ones. */
INLINE void q4_group(int R, int bands, strip_sums *z, int band, const char *x, const struct strips *s, int high)
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
            if (R == 1 && high) _mm_prefetch(wn + AHEAD, _MM_HINT_T0);
            __m256i v[2] = {load256(wn), load256(wn + LANES * QUANT_STEP)};
            for (int h = 0; h < 2; h++)
                v[h] = _mm256_and_si256(high ? _mm256_srli_epi16(v[h], 4) : v[h], low);
            if (R > 1) FORGET(xn);
            for (int r = 0; r < R; r++) {
                const __m256i xr = broadcast32(xn + (size_t)(2 * r + high) * Q4_BYTES + HEAD + step * QUANT_STEP);
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
    add_group(R, bands, z, band, sum, x + high * Q4_BYTES, 2 * Q4_BYTES, s,
              (size_t)high * QUANT_STRIP * sizeof(uint16_t));
}

INLINE void stream_block(enum weight_type type, int R, int bands, strip_sums *z, int band, const char *x,
                         const struct strips *s)
{
    if (type == WEIGHT_Q8) {
        q8_block(R, bands, z, band, x, s);
    } else {
        q4_group(R, bands, z, band, x, s, 0);
        q4_group(R, bands, z, band, x, s, 1);
    }
}

/* All rows: four by one band at a time, or two by two, or one by four, for few rows wait for memory and bands that are
 * read line by line in turn come from there the fastest. */
INLINE void stream_rows(enum weight_type type, strip_sums *z, const char *x, const struct strips *s, int bands, int T)
{
    const size_t row = type == WEIGHT_Q8 ? Q8_BYTES : 2 * Q4_BYTES;
    if (T == 1 && bands == 4) {
        stream_block(type, 1, 4, z, 0, x, s);
        return;
    }
    if (T == 2 && bands == 4) {
        stream_block(type, 2, 2, z, 0, x, s);
        stream_block(type, 2, 2, z, 2, x, s);
        return;
    }
    for (int b = 0; b < bands; b++) {
        for (int t = 0; t < T; t += 4) {
            const char *xt = x + (size_t)t * row;
            switch (T - t) {
            case 1: stream_block(type, 1, 1, z + t, b, xt, s); break;
            case 2: stream_block(type, 2, 1, z + t, b, xt, s); break;
            case 3: stream_block(type, 3, 1, z + t, b, xt, s); break;
            default: stream_block(type, 4, 1, z + t, b, xt, s); break;
            }
        }
    }
}

INLINE void stream_strips(enum weight_type type, float *y, size_t y_stride, size_t y_apart, const char *x,
                          size_t x_block, struct strips s, int bands, int T, int outputs, int I)
{
    strip_sums z[STREAM_ROWS];
    memset(z, 0, (size_t)T * sizeof *z);
    for (size_t block = 0; block < quant_blocks(I); block++) {
        stream_rows(type, z, x, &s, bands, T);
        x += x_block;
        s.w += quant_block_bytes(type);
        s.scales += quant_scale_bytes(type);
    }
    for (int t = 0; t < T; t++)
        for (int b = 0; b < bands; b++)
            memcpy(y + (size_t)t * y_stride + (size_t)b * y_apart, z[t][b], (size_t)outputs * sizeof *y);
}

INLINE void stream(enum weight_type type, float *y, size_t y_stride, const char *x, const char *w, size_t band_bytes,
                   int bands, int T, int O, int I)
{
    const size_t row = type == WEIGHT_Q8 ? Q8_BYTES : 2 * Q4_BYTES;
    for (int o = 0; o < O; o += QUANT_STRIP, w += quant_strip_bytes(type, I)) {
        const struct strips s = {w, w + quant_blocks(I) * quant_block_bytes(type), band_bytes};
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

/* ---- Panels ----
 *
 * x packed is, for each tile of TILE rows and each group of inputs: TILE scales, then [group / 2 steps][TILE] pairs of
 * 16-bit values. w packed is, for each group: PANEL scales (fp32), then for each
 * strip [group / 2 steps][16 outputs] pairs. */
INLINE int groups_of(int n, int group)
{
    return (n + QUANT_BLOCK - 1) / QUANT_BLOCK * (QUANT_BLOCK / group);
}

INLINE size_t x_group_bytes(int group)
{
    return TILE * sizeof(float) + (size_t)(group / 2) * TILE * sizeof(int32_t);
}

INLINE size_t strip_group_bytes(int group)
{
    return (size_t)(group / 2) * QUANT_STRIP * sizeof(int32_t);
}

INLINE size_t w_group_bytes(int group)
{
    return PANEL * sizeof(float) + STRIPS * strip_group_bytes(group);
}

INLINE size_t packed_x_bytes(int group, int T, int n)
{
    return (size_t)((T + TILE - 1) / TILE) * (size_t)groups_of(n, group) * x_group_bytes(group);
}

static size_t packed_x_q8_bytes(int T, int n)
{
    return packed_x_bytes(Q8_GROUP, T, n);
}

static size_t packed_x_q4_bytes(int T, int n)
{
    return packed_x_bytes(Q4_GROUP, T, n);
}

INLINE void pack_x(int group, char *to, const float *x, size_t x_stride, int T, int n)
{
    const int groups = groups_of(n, group);
    const size_t tile_bytes = (size_t)groups * x_group_bytes(group);
    for (int t = 0; t < (T + TILE - 1) / TILE * TILE; t++) {
        char *tile = to + (size_t)(t / TILE) * tile_bytes;
        for (int g = 0; g < groups; g++, tile += x_group_bytes(group)) {
            float padded[Q8_GROUP];
            __m256i v[Q8_GROUP / LANES];
            const int left = t < T ? n - g * group : 0;
            const float *from = x + (left > 0 ? (size_t)t * x_stride + (size_t)(g * group) : 0);
            const struct group q = quantise(v, whole_group(padded, from, left, group), group);
            memcpy(tile + (size_t)(t % TILE) * sizeof(float), &q.scale, sizeof q.scale);
            int32_t *pairs = (int32_t *)(void *)(tile + TILE * sizeof(float)) + t % TILE;
            for (int k = 0; k < group / LANES; k++) {
                int32_t pair[4];
                _mm_storeu_si128((__m128i *)(void *)pair, narrow16(v[k]));
                for (int j = 0; j < 4; j++)
                    pairs[(k * 4 + j) * TILE] = pair[j];
            }
        }
    }
}

static void pack_x_q8(void *to, const float *x, size_t x_stride, int T, int n)
{
    pack_x(Q8_GROUP, to, x, x_stride, T, n);
}

static void pack_x_q4(void *to, const float *x, size_t x_stride, int T, int n)
{
    pack_x(Q4_GROUP, to, x, x_stride, T, n);
}

/* Bytes of one step of 8 outputs, four inputs each, as pairs (0, 1) and (2, 3) of 16-bit numbers less zero. */
INLINE void widen_step(char *to, __m256i bytes, __m256i zero)
{
    const __m256i first = _mm256_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1, 4,
                                           -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1);
    const __m256i second = _mm256_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1, 2, -1, 3, -1, 6,
                                            -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_sub_epi16(_mm256_shuffle_epi8(bytes, first), zero));
    _mm256_storeu_si256((__m256i *)(void *)(to + QUANT_STRIP * sizeof(int32_t)),
                        _mm256_sub_epi16(_mm256_shuffle_epi8(bytes, second), zero));
}

/* One strip of one group: its scales to `scales`, its steps to `to`, which are a whole panel's steps apart. */
INLINE void pack_group(enum weight_type type, char *to, float *scale, const char *block, const char *scales, int high)
{
    const __m256i low = _mm256_set1_epi8(15), zero = _mm256_set1_epi16((short)quant_zero(type));
    for (int half = 0; half < QUANT_STRIP; half += LANES) {
        char *out = to + (size_t)half * sizeof(int32_t);
        _mm256_storeu_ps(scale + half, load_scales(scales + half * 2));
        for (int s = 0; s < quant_group(type) / QUANT_STEP; s++, out += 2 * QUANT_STRIP * sizeof(int32_t)) {
            __m256i v = load256(block + s * QUANT_STEP_BYTES + half * QUANT_STEP);
            if (type == WEIGHT_Q4) v = _mm256_and_si256(high ? _mm256_srli_epi16(v, 4) : v, low);
            widen_step(out, v, zero);
        }
    }
}

INLINE void pack_w(enum weight_type type, char *to, const char *w, int O, int I, int at, int n)
{
    const int group = quant_group(type), groups = groups_of(n, group);
    const size_t per_block = (size_t)(QUANT_BLOCK / group), block_bytes = quant_block_bytes(type);
    for (int strip = 0; strip < STRIPS; strip++, w += quant_strip_bytes(type, I)) {
        const char *scales = w + quant_blocks(I) * block_bytes;
        for (int g = 0; g < groups; g++) {
            const size_t in_strip = (size_t)at / (size_t)group + (size_t)g;
            char *out = to + (size_t)g * w_group_bytes(group);
            float *scale = (float *)(void *)out + strip * QUANT_STRIP;
            char *steps = out + PANEL * sizeof(float) + (size_t)strip * strip_group_bytes(group);
            if (strip * QUANT_STRIP < O)
                pack_group(type, steps, scale, w + in_strip / per_block * block_bytes,
                           scales + in_strip * QUANT_STRIP * sizeof(uint16_t), (int)(in_strip % per_block));
            else
                memset(scale, 0, QUANT_STRIP * sizeof *scale);
        }
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

/* rows by the 16 outputs of a strip over one group; z's rows are PANEL apart. */
INLINE void tile(int rows, int group, float *z, const char *x, const char *w, const float *scales)
{
    __m256i sum[TILE][2];
    for (int t = 0; t < rows; t++)
        sum[t][0] = sum[t][1] = _mm256_setzero_si256();
    const char *xs = x + TILE * sizeof(float), *ws = w;
    for (int s = 0; s < group / 2; s++, xs += TILE * sizeof(int32_t), ws += QUANT_STRIP * sizeof(int32_t)) {
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
            _mm256_storeu_ps(zt, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t][half]), _mm256_mul_ps(scale[half], scale_x),
                                                 _mm256_loadu_ps(zt)));
        }
    }
}

INLINE void any_tile(int rows, int group, float *z, const char *x, const char *w, const float *scales)
{
    switch (rows) {
    case 1: tile(1, group, z, x, w, scales); break;
    case 2: tile(2, group, z, x, w, scales); break;
    case 3: tile(3, group, z, x, w, scales); break;
    case 4: tile(4, group, z, x, w, scales); break;
    case 5: tile(5, group, z, x, w, scales); break;
    default: tile(6, group, z, x, w, scales); break;
    }
}

/* While a group of the panel (8 KB of q8) stays in L1, all rows pass, a tile of them by one strip after the other. */
INLINE void multiply(int group, float *z, const char *x, const char *w, int T, int n)
{
    const int groups = groups_of(n, group);
    const size_t tile_bytes = (size_t)groups * x_group_bytes(group);
    for (int g = 0; g < groups; g++, x += x_group_bytes(group), w += w_group_bytes(group))
        for (int t = 0; t < T; t += TILE)
            for (int strip = 0; strip < STRIPS; strip++)
                any_tile(T - t, group, z + t * PANEL + strip * QUANT_STRIP, x + (size_t)(t / TILE) * tile_bytes,
                         w + PANEL * sizeof(float) + (size_t)strip * strip_group_bytes(group),
                         (const float *)(const void *)w + strip * QUANT_STRIP);
}

static void multiply_q8(float *z, const void *x, const void *w, int T, int n)
{
    multiply(Q8_GROUP, z, x, w, T, n);
}

static void multiply_q4(float *z, const void *x, const void *w, int T, int n)
{
    multiply(Q4_GROUP, z, x, w, T, n);
}

/* ---- The table ---- */

void kernels_init_avx2_int8(struct kernels *k)
{
    k->linear[COMPUTE_INT8][WEIGHT_Q8] = (struct linear_kernels){
        .prepared_bytes = prepared_q8_bytes,
        .prepare = prepare_q8,
        .stream = stream_q8,
        .stream_rows = STREAM_ROWS,
        .panel = PANEL,
        .depth = DEPTH,
        .panel_bytes = DEPTH / Q8_GROUP * w_group_bytes(Q8_GROUP),
        .packed_x_bytes = packed_x_q8_bytes,
        .pack_x = pack_x_q8,
        .pack_w = pack_q8,
        .multiply = multiply_q8,
    };
    k->linear[COMPUTE_INT8][WEIGHT_Q4] = (struct linear_kernels){
        .prepared_bytes = prepared_q4_bytes,
        .prepare = prepare_q4,
        .stream = stream_q4,
        .stream_rows = STREAM_ROWS,
        .panel = PANEL,
        .depth = DEPTH,
        .panel_bytes = DEPTH / Q4_GROUP * w_group_bytes(Q4_GROUP),
        .packed_x_bytes = packed_x_q4_bytes,
        .pack_x = pack_x_q4,
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
