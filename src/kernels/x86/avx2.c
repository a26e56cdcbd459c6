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

static void k_attention_scores_avx2(float *score, const float *q, const float *keys, int n, int K, float scale)
{
    for (int s = 0; s < n; s++) {
        const float *key = keys + (size_t)s * (size_t)K;
        __m256 sum = _mm256_setzero_ps();
        int k = 0;
        for (; k + LANES <= K; k += LANES)
            sum = _mm256_fmadd_ps(_mm256_loadu_ps(q + k), _mm256_loadu_ps(key + k), sum);
        score[s] = add_lanes(sum);
        for (; k < K; k++)
            score[s] = fmaf(q[k], key[k], score[s]);
        score[s] *= scale;
    }
}

/* V vectors of components, V accumulators: each component is still one chain over s. */
static inline __attribute__((always_inline)) void mix(int V, float *y, const float *p, const float *values, int n,
                                                      int K)
{
    __m256 sum[8];
    for (int v = 0; v < V; v++)
        sum[v] = _mm256_loadu_ps(y + v * LANES);
    for (int s = 0; s < n; s++) {
        const __m256 ps = _mm256_set1_ps(p[s]);
        for (int v = 0; v < V; v++)
            sum[v] = _mm256_fmadd_ps(ps, _mm256_loadu_ps(values + (size_t)s * (size_t)K + v * LANES), sum[v]);
    }
    for (int v = 0; v < V; v++)
        _mm256_storeu_ps(y + v * LANES, sum[v]);
}

static void k_attention_mix_avx2(float *y, const float *p, const float *values, int n, int K)
{
    int k = 0;
    for (; k + 8 * LANES <= K; k += 8 * LANES)
        mix(8, y + k, p, values + k, n, K);
    for (; k + LANES <= K; k += LANES)
        mix(1, y + k, p, values + k, n, K);
    for (; k < K; k++)
        for (int s = 0; s < n; s++)
            y[k] = fmaf(p[s], values[(size_t)s * (size_t)K + (size_t)k], y[k]);
}

void kernels_init_avx2(struct kernels *k)
{
    k->attention_scores = k_attention_scores_avx2;
    k->attention_mix = k_attention_mix_avx2;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx2(struct kernels *k)
{
    (void)k;
}

#endif
