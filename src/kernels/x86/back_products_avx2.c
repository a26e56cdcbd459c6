// SPDX-License-Identifier: Apache-2.0
/* The backward pass's products for AVX2: factors that lie across are packed as they lie, by copying, and a sum is one
 * chain over a block of DEPTH inputs, so that a tile's results pass through memory once a block. (Forward products sum
 * in eight lanes, because streaming does; linear_avx2.c.) */
#include "kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <string.h>

#include "kernels/x86/panels.h"
#include "kernels/x86/tiles_avx2.h"

/* A strip of w, 16 KB, stays in the L1 cache while all rows pass. */
enum { DEPTH = 256, STRIPS = 4, PANEL = STRIPS * STRIP };

/* x packed is [tile][input][rows of the tile], and room for what the last store of eight has too many. */
static size_t packed_x_bytes(int T, int n)
{
    return ((size_t)T * (size_t)n + LANES) * sizeof(float);
}

INLINE void pack_x(load_fn *load, float *to, const float *x, size_t stride, int T, int n)
{
    for (int t = 0, rows; t < T; t += rows, to += (size_t)rows * (size_t)n) {
        rows = tile_height(T - t, TILE);
        for (int i = 0; i < n; i += LANES) {
            __m256 v[LANES];
            for (int r = 0; r < LANES; r++)
                v[r] = r < rows ? load_some(load, sizeof *x, (const char *)(x + (size_t)(t + r) * stride + i), n - i)
                                : _mm256_setzero_ps();
            transpose8(v);
            for (int j = 0; j < LANES && i + j < n; j++) /* what is too many is overwritten by the next input or tile */
                _mm256_storeu_ps(to + (size_t)(i + j) * (size_t)rows, v[j]);
        }
    }
}

INLINE void pack_x_across(load_fn *load, float *to, const float *x, size_t stride, int T, int n)
{
    for (int t = 0, rows; t < T; t += rows, to += (size_t)rows * (size_t)n) {
        rows = tile_height(T - t, TILE);
        for (int i = 0; i < n; i++)
            _mm256_storeu_ps(to + (size_t)i * (size_t)rows,
                             load_some(load, sizeof *x, (const char *)(x + (size_t)i * stride + t), T - t));
    }
}

typedef void store_fn(float *to, __m256 v);

INLINE void store_lanes(float *to, __m256 v)
{
    _mm256_storeu_ps(to, v);
}

INLINE void stream_lanes(float *to, __m256 v)
{
    _mm256_stream_ps(to, v);
}

/* w packed is [strip][input][STRIP], of n inputs. */
INLINE float *output_at(float *to, int n, int o)
{
    return to + (size_t)(o / STRIP) * (size_t)n * STRIP + o % STRIP;
}

INLINE void pack_w_across(load_fn *load, size_t bytes, store_fn *store, float *to, const char *w, size_t stride, int O,
                          int n)
{
    for (int i = 0; i < n; i++, w += stride * bytes, to += STRIP) {
        ask_input(w, stride * bytes, (size_t)O * bytes);
        int o = 0;
        for (; o < O; o += LANES)
            store(output_at(to, n, o), load_some(load, bytes, w + (size_t)o * bytes, O - o));
        for (; o < PANEL; o += LANES)
            store(output_at(to, n, o), _mm256_setzero_ps());
    }
}

static void multiply(float *z, const void *x, const void *w, int T, int n, const struct ahead *next)
{
    const float *strip = w;
    struct asking a = asking(next, STRIPS * ((T + TILE - 1) / TILE));
    for (int s = 0; s < STRIPS; s++, strip += n * STRIP) {
        const float *at = x;
        for (int t = 0, rows; t < T; t += rows, at += (size_t)rows * (size_t)n) {
            rows = tile_height(T - t, TILE);
            ask(&a);
            tile_any(rows, z + t * PANEL + s * STRIP, PANEL, at, strip, (size_t)n);
        }
    }
}

#define PACK_X(name, function, load)                                                                                   \
    static void name(void *to, const float *x, size_t stride, int T, int n)                                            \
    {                                                                                                                  \
        function(load, to, x, stride, T, n);                                                                           \
    }
PACK_X(rows, pack_x, load_f32)
PACK_X(rows_rounded, pack_x, load_f32_rounded)
PACK_X(across, pack_x_across, load_f32)
PACK_X(across_rounded, pack_x_across, load_f32_rounded)

#define PACK_W(name, load, bytes)                                                                                      \
    static void name(void *to, const void *w, size_t stride, int O, int n, bool far)                                   \
    {                                                                                                                  \
        if (!far) {                                                                                                    \
            pack_w_across(load, bytes, store_lanes, to, w, stride, O, n);                                              \
        } else {                                                                                                       \
            pack_w_across(load, bytes, stream_lanes, to, w, stride, O, n);                                             \
            _mm_sfence();                                                                                              \
        }                                                                                                              \
    }
PACK_W(panel_f32, load_f32, 4)
PACK_W(panel_f16, load_f16, 2)
PACK_W(panel_bf16, load_bf16, 2)
PACK_W(panel_f32_rounded, load_f32_rounded, 4)
PACK_W(panel_f16_rounded, load_f16_rounded, 2)

void kernels_init_avx2_back_products(struct kernels *k)
{
    for (int rounded = 0; rounded < 2; rounded++)
        k->back[rounded ? COMPUTE_BF16 : COMPUTE_FP32] = (struct back_kernels){
            .panel = PANEL,
            .depth = DEPTH,
            .panel_bytes = (size_t)DEPTH * PANEL * sizeof(float),
            .packed_x_bytes = packed_x_bytes,
            .pack_x = rounded ? rows_rounded : rows,
            .pack_x_across = rounded ? across_rounded : across,
            .pack_w_across = {rounded ? panel_f32_rounded : panel_f32, rounded ? panel_f16_rounded : panel_f16,
                              panel_bf16},
            .multiply = multiply,
        };
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx2_back_products(struct kernels *k)
{
    (void)k;
}

#endif
