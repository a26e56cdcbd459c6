// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in fp32, or in bf16 by rounding the factors: AVX-512 F, BW, DQ and VL. The order of sums is in
 * linear_avx512.h. */
#include "kernels/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>

#define LANE_INPUTS 1
enum { DEPTH = 2048 };

#include "kernels/x86/linear_avx512.h"

#include "kernels/x86/back_products_avx512.h"

INLINE __m512 madd(__m512 sum, __m512i x, __m512i w)
{
    return _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(w), sum);
}

/* ---- Weights, sixteen at a time ---- */

/* To bf16 and back: nearest even; NaN stays NaN. */
INLINE __m512i round_bf16(__m512i u)
{
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512 x = _mm512_castsi512_ps(u);
    const __mmask16 numbers = _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    return _mm512_mask_and_epi32(u, numbers, up, _mm512_set1_epi32((int)0xffff0000));
}

INLINE __m512i load_f32(const char *w, int n)
{
    return _mm512_castps_si512(wide_f32(w, n));
}

INLINE __m512i load_f16(const char *w, int n)
{
    return _mm512_castps_si512(wide_f16(w, n));
}

INLINE __m512i load_bf16(const char *w, int n)
{
    return _mm512_castps_si512(wide_bf16(w, n));
}

INLINE __m512i load_f32_rounded(const char *w, int n)
{
    return round_bf16(load_f32(w, n));
}

INLINE __m512i load_f16_rounded(const char *w, int n)
{
    return round_bf16(load_f16(w, n));
}

INLINE void put_inputs(int32_t *to, size_t lane, int i, const __m512 x[4])
{
    for (int j = 0; j < QUANT_STEP; j++)
        _mm512_storeu_ps(unit_at(to, lane, i + j), x[j]);
}

INLINE void put_inputs_rounded(int32_t *to, size_t lane, int i, const __m512 x[4])
{
    for (int j = 0; j < QUANT_STEP; j++)
        store_vector(unit_at(to, lane, i + j), round_bf16(_mm512_castps_si512(x[j])));
}

/* ---- The table ---- */

X_FORMS(prepare_fp32, pack_x_fp32, load_f32)
X_FORMS(prepare_bf16, pack_x_bf16, load_f32_rounded)

STREAM(stream_f32, load_f32, 4, 0)
STREAM(stream_f16, load_f16, 2, 0)
STREAM(stream_bf16, load_bf16, 2, 0)
STREAM(stream_f32_rounded, load_f32_rounded, 4, 1)
STREAM(stream_f16_rounded, load_f16_rounded, 2, 1)

PACK_W(pack_f32, load_f32, 4)
PACK_W(pack_f16, load_f16, 2)
PACK_W(pack_bf16, load_bf16, 2)
PACK_W(pack_f32_rounded, load_f32_rounded, 4)
PACK_W(pack_f16_rounded, load_f16_rounded, 2)

PACK_QUANT(pack_q8, WEIGHT_Q8, put_inputs)
PACK_QUANT(pack_q4, WEIGHT_Q4, put_inputs)
PACK_QUANT(pack_q8_rounded, WEIGHT_Q8, put_inputs_rounded)
PACK_QUANT(pack_q4_rounded, WEIGHT_Q4, put_inputs_rounded)

INLINE __m512i unit(const __m512 inputs[1])
{
    return _mm512_castps_si512(inputs[0]);
}

INLINE __m512i unit_rounded(const __m512 inputs[1])
{
    return round_bf16(unit(inputs));
}

BACK_X_FORMS(back_rows, back_across, load_f32, unit)
BACK_X_FORMS(back_rows_rounded, back_across_rounded, load_f32_rounded, unit_rounded)
BACK_PACK_W(back_f32, wide_f32, 4, unit)
BACK_PACK_W(back_f16, wide_f16, 2, unit)
BACK_PACK_W(back_bf16, wide_bf16, 2, unit)
BACK_PACK_W(back_f32_rounded, wide_f32, 4, unit_rounded)
BACK_PACK_W(back_f16_rounded, wide_f16, 2, unit_rounded)

void kernels_init_avx512_linear(struct kernels *k)
{
    static k_stream_fn *const streams[2][WEIGHT_TYPES] = {
        {stream_f32, stream_f16, stream_bf16},
        {stream_f32_rounded, stream_f16_rounded, stream_bf16},
    };
    static k_pack_w_fn *const packs[2][WEIGHT_TYPES] = {
        {pack_f32, pack_f16, pack_bf16, pack_q8, pack_q4},
        {pack_f32_rounded, pack_f16_rounded, pack_bf16, pack_q8_rounded, pack_q4_rounded},
    };
    for (int rounded = 0; rounded < 2; rounded++) {
        for (int w = 0; w < WEIGHT_TYPES; w++) {
            k->linear[rounded ? COMPUTE_BF16 : COMPUTE_FP32][w] = (struct linear_kernels){
                .prepared_bytes = prepared_bytes,
                .prepare = rounded ? prepare_bf16 : prepare_fp32,
                .stream = streams[rounded][w],
                .stream_bands = 1,
                .stream_rows = STREAM_ROWS,
                .panel = PANEL,
                .depth = DEPTH,
                .panel_bytes = LANES * w_lane_units(DEPTH) * sizeof(int32_t),
                .packed_x_bytes = packed_x_bytes,
                .pack_x = rounded ? pack_x_bf16 : pack_x_fp32,
                .pack_w = packs[rounded][w],
                .multiply = multiply,
            };
        }
        k->back[rounded ? COMPUTE_BF16 : COMPUTE_FP32] = (struct back_kernels){
            .panel = PANEL,
            .depth = BACK_DEPTH,
            .panel_bytes = BACK_PANEL_BYTES,
            .packed_x_bytes = back_packed_x_bytes,
            .pack_x = rounded ? back_rows_rounded : back_rows,
            .pack_x_across = rounded ? back_across_rounded : back_across,
            .pack_w_across = {rounded ? back_f32_rounded : back_f32, rounded ? back_f16_rounded : back_f16, back_bf16},
            .multiply = back_multiply,
        };
    }
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx512_linear(struct kernels *k)
{
    (void)k;
}

#endif
