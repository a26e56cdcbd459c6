// SPDX-License-Identifier: Apache-2.0
/* The probe for AVX512-VNNI: vpdpbusd adds four products a lane. */
#include "kernels/probes.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

#include <immintrin.h>

#include "kernels/x86/probe.h"

static float k_probe_dpbusd_avx512vnni(int64_t rounds)
{
#define BEGIN(i) __m512i s##i = _mm512_set1_epi32(i);
#define STEP(i)  PROBE_FUSED("vpdpbusd", s##i, x, y)
#define END(i)   total = _mm512_add_epi32(total, s##i);
    const __m512i x = _mm512_set1_epi8(97), y = _mm512_set1_epi8(-53);
    __m512i total = _mm512_setzero_si512();
    PROBE_EACH_16(BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        PROBE_EACH_16(STEP)
    }
    PROBE_EACH_16(END)
    return (float)_mm512_cvtsi512_si32(total);
}

void probes_init_avx512vnni(struct probes *p)
{
    probes_add_peak(p, PROBE_I8, "vpdpbusd, 512 bits", k_probe_dpbusd_avx512vnni, 2.0 * 64 * 16);
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void probes_init_avx512vnni(struct probes *p)
{
    (void)p;
}

#endif
