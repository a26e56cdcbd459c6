// SPDX-License-Identifier: Apache-2.0
/* AVX2 + FMA + F16C. Compiled with those flags and reached only through the table.
 *
 * Order of every dot product here, whatever the tile: lane j of one 8-lane accumulator takes i = j, j+8, j+16, ...
 * by fused multiply-add; the lanes are added as a tree; what is left of I (less than 8) follows one by one. A tile of
 * T x O outputs holds that many accumulators, so tiling hides the FMA latency without changing any bit. */
#include "kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "base/half.h"

enum { LANES = 8 };

static inline float add_lanes(__m256 v)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Eight weights, and one, of each dtype. */
static inline __m256 load8_f32(const char *w)
{
    return _mm256_loadu_ps((const float *)(const void *)w);
}

static inline __m256 load8_f16(const char *w)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
}

static inline __m256 load8_bf16(const char *w)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)w));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline float load1_f32(const char *w)
{
    float x;
    memcpy(&x, w, sizeof x);
    return x;
}

static inline float load1_f16(const char *w)
{
    uint16_t h;
    memcpy(&h, w, sizeof h);
    return _cvtsh_ss(h);
}

static inline float load1_bf16(const char *w)
{
    uint16_t h;
    memcpy(&h, w, sizeof h);
    return bf16_to_f32(h);
}

typedef __m256 load8_fn(const char *w);
typedef float load1_fn(const char *w);

/* One tile, T <= 3 rows of x by O <= 4 rows of w (T x O accumulators live in registers once this is inlined with
 * constants). bytes: of one weight. */
static inline __attribute__((always_inline)) void tile(load8_fn *load8, load1_fn *load1, size_t bytes, int T, int O,
                                                       float *y, size_t y_stride, const float *x, size_t x_stride,
                                                       const char *w, int I)
{
    __m256 sum[3][4];
    const size_t row = (size_t)I * bytes;
    for (int t = 0; t < T; t++)
        for (int o = 0; o < O; o++)
            sum[t][o] = _mm256_setzero_ps();
    int i = 0;
    for (; i + LANES <= I; i += LANES) {
        __m256 xi[3];
        for (int t = 0; t < T; t++)
            xi[t] = _mm256_loadu_ps(x + (size_t)t * x_stride + i);
        for (int o = 0; o < O; o++) {
            const __m256 wi = load8(w + (size_t)o * row + (size_t)i * bytes);
            for (int t = 0; t < T; t++)
                sum[t][o] = _mm256_fmadd_ps(xi[t], wi, sum[t][o]);
        }
    }
    for (int t = 0; t < T; t++) {
        for (int o = 0; o < O; o++) {
            float s = add_lanes(sum[t][o]);
            for (int k = i; k < I; k++)
                s = fmaf(x[(size_t)t * x_stride + (size_t)k], load1(w + (size_t)o * row + (size_t)k * bytes), s);
            y[(size_t)t * y_stride + (size_t)o] = s;
        }
    }
}

/* T rows against O <= 4 rows of w, three at a time. */
static inline __attribute__((always_inline)) void panel(load8_fn *load8, load1_fn *load1, size_t bytes, int O, float *y,
                                                        size_t y_stride, const float *x, size_t x_stride, const char *w,
                                                        int T, int I)
{
    int t = 0;
    for (; t + 3 <= T; t += 3)
        tile(load8, load1, bytes, 3, O, y + (size_t)t * y_stride, y_stride, x + (size_t)t * x_stride, x_stride, w, I);
    if (T - t == 2)
        tile(load8, load1, bytes, 2, O, y + (size_t)t * y_stride, y_stride, x + (size_t)t * x_stride, x_stride, w, I);
    if (T - t == 1)
        tile(load8, load1, bytes, 1, O, y + (size_t)t * y_stride, y_stride, x + (size_t)t * x_stride, x_stride, w, I);
}

static inline __attribute__((always_inline)) void matmul(load8_fn *load8, load1_fn *load1, size_t bytes, float *y,
                                                         size_t y_stride, const float *x, size_t x_stride,
                                                         const void *w, int T, int O, int I)
{
    const char *row = w;
    int o = 0;
    for (; o + 4 <= O; o += 4, row += 4 * (size_t)I * bytes)
        panel(load8, load1, bytes, 4, y + o, y_stride, x, x_stride, row, T, I);
    for (; o < O; o++, row += (size_t)I * bytes)
        panel(load8, load1, bytes, 1, y + o, y_stride, x, x_stride, row, T, I);
}

static void k_matmul_f32_avx2(float *y, size_t y_stride, const float *x, size_t x_stride, const void *w, int T, int O,
                              int I)
{
    matmul(load8_f32, load1_f32, 4, y, y_stride, x, x_stride, w, T, O, I);
}

static void k_matmul_f16_avx2(float *y, size_t y_stride, const float *x, size_t x_stride, const void *w, int T, int O,
                              int I)
{
    matmul(load8_f16, load1_f16, 2, y, y_stride, x, x_stride, w, T, O, I);
}

static void k_matmul_bf16_avx2(float *y, size_t y_stride, const float *x, size_t x_stride, const void *w, int T, int O,
                               int I)
{
    matmul(load8_bf16, load1_bf16, 2, y, y_stride, x, x_stride, w, T, O, I);
}

void kernels_init_avx2(struct kernels *k)
{
    k->matmul_f32 = k_matmul_f32_avx2;
    k->matmul_f16 = k_matmul_f16_avx2;
    k->matmul_bf16 = k_matmul_bf16_avx2;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx2(struct kernels *k)
{
    (void)k;
}

#endif
