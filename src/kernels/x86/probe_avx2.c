// SPDX-License-Identifier: Apache-2.0
/* Probes for AVX2 + FMA. There is no instruction for bf16 and none for int8 alone: int8 products go through int16, in
 * pairs (vpmaddwd on widened values) or in fours (vpmaddubsw, vpmaddwd by ones), and both ways are listed. */
#include "kernels/probes.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

#include "base/compiler.h"
#include "kernels/x86/probe.h"

enum { LINE = 64 };

/* The buffer as n streams that advance together, each line asked for `ahead` bytes before it is read. One stream is
 * not enough: on Zen 3 four read half as much again, for the prefetcher runs ahead of each by only so much. */
static inline __attribute__((always_inline)) uint64_t read_streams(const char *p, size_t bytes, int n, size_t ahead)
{
    const size_t stream = bytes / (size_t)n;
    __m256i sum[8];
    for (int s = 0; s < n; s++)
        sum[s] = _mm256_setzero_si256();
    for (size_t i = 0; i < stream; i += LINE) {
        for (int s = 0; s < n; s++) {
            const char *at = p + (size_t)s * stream + i;
            if (ahead) _mm_prefetch(at + ahead, _MM_HINT_T0);
            sum[s] = _mm256_add_epi64(sum[s], _mm256_load_si256((const __m256i *)(const void *)at));
            sum[s] = _mm256_add_epi64(sum[s], _mm256_load_si256((const __m256i *)(const void *)(at + LINE / 2)));
        }
    }
    for (int s = 1; s < n; s++)
        sum[0] = _mm256_add_epi64(sum[0], sum[s]);
    ALIGNED(32) uint64_t lanes[4];
    _mm256_store_si256((__m256i *)(void *)lanes, sum[0]);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

static uint64_t k_probe_read2_avx2(const void *p, size_t bytes)
{
    return read_streams(p, bytes, 2, 512);
}

static uint64_t k_probe_read4_avx2(const void *p, size_t bytes)
{
    return read_streams(p, bytes, 4, 512);
}

static uint64_t k_probe_read8_avx2(const void *p, size_t bytes)
{
    return read_streams(p, bytes, 8, 512);
}

static uint64_t k_probe_read2_plain_avx2(const void *p, size_t bytes)
{
    return read_streams(p, bytes, 2, 0);
}

static uint64_t k_probe_read4_plain_avx2(const void *p, size_t bytes)
{
    return read_streams(p, bytes, 4, 0);
}

static uint64_t k_probe_read8_plain_avx2(const void *p, size_t bytes)
{
    return read_streams(p, bytes, 8, 0);
}

#define F32_BEGIN(i) __m256 s##i = _mm256_set1_ps(i);
#define F32_END(i)   total = _mm256_add_ps(total, s##i);
#define I32_BEGIN(i) __m256i s##i = _mm256_set1_epi32(i);
#define I32_END(i)   total = _mm256_add_epi32(total, s##i);

static float k_probe_fma_avx2(int64_t rounds)
{
#define STEP(i) PROBE_FUSED("vfmadd231ps", s##i, x, y)
    const __m256 x = _mm256_set1_ps(1.234567e-3f), y = _mm256_set1_ps(0.987654f);
    __m256 total = _mm256_setzero_ps();
    PROBE_EACH_12(F32_BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        PROBE_EACH_12(STEP)
    }
    PROBE_EACH_12(F32_END)
    return _mm256_cvtss_f32(total);
#undef STEP
}

static float k_probe_madd_avx2(int64_t rounds)
{
#define STEP(i) PROBE_MADD(s##i, x, y)
    __m256i total = _mm256_setzero_si256();
    const __m256i x = _mm256_set1_epi16(97), y = _mm256_set1_epi16(-53);
    PROBE_EACH_10(I32_BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        PROBE_EACH_10(STEP)
    }
    PROBE_EACH_10(I32_END)
    return (float)_mm256_cvtsi256_si32(total);
#undef STEP
}

static float k_probe_maddubs_avx2(int64_t rounds)
{
#define STEP(i) PROBE_MADDUBS(s##i, x, y, ones)
    __m256i total = _mm256_setzero_si256();
    const __m256i x = _mm256_set1_epi8(97), y = _mm256_set1_epi8(-53), ones = _mm256_set1_epi16(1);
    PROBE_EACH_10(I32_BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        PROBE_EACH_10(STEP)
    }
    PROBE_EACH_10(I32_END)
    return (float)_mm256_cvtsi256_si32(total);
#undef STEP
}

/* Numbers of four bits: two products are at most 15 * 127 * 2, so eight pairs fit 16 bits before they are widened. */
static float k_probe_maddubs16_avx2(int64_t rounds)
{
#define STEP(i)  PROBE_MADDUBS_16(s##i, x, y)
#define WIDEN(i) PROBE_WIDEN_16(total, s##i, ones)
    __m256i total = _mm256_setzero_si256();
    const __m256i x = _mm256_set1_epi8(13), y = _mm256_set1_epi8(-53), ones = _mm256_set1_epi16(1);
    PROBE_EACH_10(I32_BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        for (int pair = 0; pair < 8; pair++) {
            PROBE_EACH_10(STEP)
        }
        PROBE_EACH_10(WIDEN)
    }
    return (float)_mm256_cvtsi256_si32(total);
#undef STEP
#undef WIDEN
}

void probes_init_avx2(struct probes *p)
{
    probes_add_read(p, "2 streams, prefetch", k_probe_read2_avx2);
    probes_add_read(p, "4 streams, prefetch", k_probe_read4_avx2);
    probes_add_read(p, "8 streams, prefetch", k_probe_read8_avx2);
    probes_add_read(p, "2 streams", k_probe_read2_plain_avx2);
    probes_add_read(p, "4 streams", k_probe_read4_plain_avx2);
    probes_add_read(p, "8 streams", k_probe_read8_plain_avx2);
    probes_add_peak(p, PROBE_F32, "vfmadd, 256 bits", k_probe_fma_avx2, 2.0 * 8 * 12);
    probes_add_peak(p, PROBE_I8, "vpmaddwd, 256 bits", k_probe_madd_avx2, 2.0 * 16 * 10);
    probes_add_peak(p, PROBE_I8, "vpmaddubsw, 256 bits", k_probe_maddubs_avx2, 2.0 * 32 * 10);
    probes_add_peak(p, PROBE_I4, "vpmaddubsw, sums in 16 bits", k_probe_maddubs16_avx2, 2.0 * 32 * 10 * 8);
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void probes_init_avx2(struct probes *p)
{
    (void)p;
}

#endif
