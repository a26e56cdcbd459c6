// SPDX-License-Identifier: Apache-2.0
/* Probes for AVX-512 (F and BW): the same as AVX2's, twice as wide and with 32 registers. */
#include "kernels/probes.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)

#include <immintrin.h>

#include "kernels/x86/probe.h"

enum { LINE = 64 };

static inline __attribute__((always_inline)) uint64_t read_streams(const char *p, size_t bytes, int n, size_t ahead)
{
    const size_t stream = bytes / (size_t)n;
    __m512i sum[8];
    for (int s = 0; s < n; s++)
        sum[s] = _mm512_setzero_si512();
    for (size_t i = 0; i < stream; i += LINE) {
        for (int s = 0; s < n; s++) {
            const char *at = p + (size_t)s * stream + i;
            if (ahead) _mm_prefetch(at + ahead, _MM_HINT_T0);
            sum[s] = _mm512_add_epi64(sum[s], _mm512_load_si512((const void *)at));
        }
    }
    for (int s = 1; s < n; s++)
        sum[0] = _mm512_add_epi64(sum[0], sum[s]);
    uint64_t lanes[LINE / sizeof(uint64_t)], all = 0; /* the intrinsic that adds lanes is signed, and overflows */
    _mm512_storeu_si512(lanes, sum[0]);
    for (size_t i = 0; i < LINE / sizeof *lanes; i++)
        all += lanes[i];
    return all;
}

static uint64_t k_probe_read4_avx512(const void *p, size_t bytes)
{
    return read_streams(p, bytes, 4, 512);
}

#define F32_BEGIN(i) __m512 s##i = _mm512_set1_ps(i);
#define F32_END(i)   total = _mm512_add_ps(total, s##i);
#define I32_BEGIN(i) __m512i s##i = _mm512_set1_epi32(i);
#define I32_END(i)   total = _mm512_add_epi32(total, s##i);

static float k_probe_fma_avx512(int64_t rounds)
{
#define STEP(i) PROBE_FUSED("vfmadd231ps", s##i, x, y)
    const __m512 x = _mm512_set1_ps(1.234567e-3f), y = _mm512_set1_ps(0.987654f);
    __m512 total = _mm512_setzero_ps();
    PROBE_EACH_16(F32_BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        PROBE_EACH_16(STEP)
    }
    PROBE_EACH_16(F32_END)
    return _mm512_cvtss_f32(total);
#undef STEP
}

static float k_probe_madd_avx512(int64_t rounds)
{
#define STEP(i) PROBE_MADD(s##i, x, y)
    __m512i total = _mm512_setzero_si512();
    const __m512i x = _mm512_set1_epi16(97), y = _mm512_set1_epi16(-53);
    PROBE_EACH_16(I32_BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        PROBE_EACH_16(STEP)
    }
    PROBE_EACH_16(I32_END)
    return (float)_mm512_cvtsi512_si32(total);
#undef STEP
}

static float k_probe_maddubs_avx512(int64_t rounds)
{
#define STEP(i) PROBE_MADDUBS(s##i, x, y, ones)
    __m512i total = _mm512_setzero_si512();
    const __m512i x = _mm512_set1_epi8(97), y = _mm512_set1_epi8(-53), ones = _mm512_set1_epi16(1);
    PROBE_EACH_16(I32_BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        PROBE_EACH_16(STEP)
    }
    PROBE_EACH_16(I32_END)
    return (float)_mm512_cvtsi512_si32(total);
#undef STEP
}

void probes_init_avx512(struct probes *p)
{
    probes_add_read(p, "4 streams of 512 bits, prefetch", k_probe_read4_avx512);
    probes_add_peak(p, PROBE_F32, "vfmadd, 512 bits", k_probe_fma_avx512, 2.0 * 16 * 16);
    probes_add_peak(p, PROBE_I8, "vpmaddwd, 512 bits", k_probe_madd_avx512, 2.0 * 32 * 16);
    probes_add_peak(p, PROBE_I8, "vpmaddubsw, 512 bits", k_probe_maddubs_avx512, 2.0 * 64 * 16);
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void probes_init_avx512(struct probes *p)
{
    (void)p;
}

#endif
