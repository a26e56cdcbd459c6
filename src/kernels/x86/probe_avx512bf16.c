// SPDX-License-Identifier: Apache-2.0
/* The probe for AVX512-BF16: vdpbf16ps adds two products a lane. */
#include "kernels/probes.h"

#if defined(__AVX512F__) && defined(__AVX512BF16__)

#include <immintrin.h>

#include "kernels/x86/probe.h"

static float k_probe_dpbf16_avx512bf16(int64_t rounds)
{
#define BEGIN(i) __m512 s##i = _mm512_set1_ps(i);
#define STEP(i)  PROBE_FUSED("vdpbf16ps", s##i, x, x)
#define END(i)   total = _mm512_add_ps(total, s##i);
    const __m512bh x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1.234567e-3f), _mm512_set1_ps(0.987654f));
    __m512 total = _mm512_setzero_ps();
    PROBE_EACH_16(BEGIN)
    for (int64_t r = 0; r < rounds; r++) {
        PROBE_EACH_16(STEP)
    }
    PROBE_EACH_16(END)
    return _mm512_cvtss_f32(total);
}

void probes_init_avx512bf16(struct probes *p)
{
    probes_add_peak(p, PROBE_BF16, "vdpbf16ps, 512 bits", k_probe_dpbf16_avx512bf16, 2.0 * 32 * 16);
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void probes_init_avx512bf16(struct probes *p)
{
    (void)p;
}

#endif
