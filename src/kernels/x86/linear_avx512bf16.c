// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in bf16 by VDPBF16PS, which adds the products of two neighbouring inputs to each lane; denormal
 * factors and sums count as zero, whatever the floating-point mode. Order of sums: linear_avx512.h. */
#include "kernels/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BF16__)

#include <immintrin.h>

enum { LANE_INPUTS = 2, DEPTH = 4096 };

#include "kernels/x86/linear_avx512.h"

INLINE __m512 madd(__m512 sum, __m512i x, __m512i w)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
}

/* ---- Weights, thirty-two at a time ---- */

/* Nearest even; NaN stays NaN, denormals become zero. */
INLINE __m512i to_bf16(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

INLINE __m512i load_f32(const char *w, int n)
{
    const char *high = w + VECTOR_BYTES;
    if (n >= STEP) return to_bf16(_mm512_loadu_ps((const void *)w), _mm512_loadu_ps((const void *)high));
    const __mmask32 some = (1u << n) - 1;
    return to_bf16(_mm512_maskz_loadu_ps((__mmask16)some, w), _mm512_maskz_loadu_ps((__mmask16)(some >> LANES), high));
}

INLINE __m512i load_bf16(const char *w, int n)
{
    return n >= STEP ? load_vector(w) : _mm512_maskz_loadu_epi16((1u << n) - 1, w);
}

INLINE __m512i load_f16(const char *w, int n)
{
    const __m512i v = load_bf16(w, n);
    return to_bf16(_mm512_cvtph_ps(_mm512_castsi512_si256(v)), _mm512_cvtph_ps(_mm512_extracti64x4_epi64(v, 1)));
}

/* Two neighbouring inputs of 16 outputs as pairs. */
INLINE __m512i pairs(__m512 even, __m512 odd)
{
    const __m512i zip = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(zip, to_bf16(even, odd));
}

INLINE void put_inputs(int32_t *to, size_t lane, int i, const __m512 x[4])
{
    store_vector(unit_at(to, lane, i / 2), pairs(x[0], x[1]));
    store_vector(unit_at(to, lane, i / 2 + 1), pairs(x[2], x[3]));
}

/* ---- The table ---- */

X_FORMS(prepare_bf16, pack_x_bf16, load_f32)

STREAM(stream_f32, load_f32, 4)
STREAM(stream_f16, load_f16, 2)
STREAM(stream_bf16, load_bf16, 2)

PACK_W(pack_f32, load_f32, 4)
PACK_W(pack_f16, load_f16, 2)
PACK_W(pack_bf16, load_bf16, 2)

PACK_QUANT(pack_q8, WEIGHT_Q8, put_inputs)
PACK_QUANT(pack_q4, WEIGHT_Q4, put_inputs)

void kernels_init_avx512bf16_linear(struct kernels *k)
{
    static k_stream_fn *const streams[WEIGHT_TYPES] = {stream_f32, stream_f16, stream_bf16};
    static k_pack_w_fn *const packs[WEIGHT_TYPES] = {pack_f32, pack_f16, pack_bf16, pack_q8, pack_q4};
    for (int w = 0; w < WEIGHT_TYPES; w++) {
        k->linear[COMPUTE_BF16][w] = (struct linear_kernels){
            .flushes = true,
            .prepared_bytes = prepared_bytes,
            .prepare = prepare_bf16,
            .stream = streams[w],
            .stream_rows = STREAM_ROWS,
            .panel = PANEL,
            .depth = DEPTH,
            .panel_bytes = LANES * w_lane_units(DEPTH) * sizeof(int32_t),
            .packed_x_bytes = packed_x_bytes,
            .pack_x = pack_x_bf16,
            .pack_w = packs[w],
            .multiply = multiply,
        };
    }
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx512bf16_linear(struct kernels *k)
{
    (void)k;
}

#endif
