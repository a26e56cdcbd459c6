// SPDX-License-Identifier: Apache-2.0
/* Linear maps computed in bf16 by VDPBF16PS, which adds the products of two neighbouring inputs to each lane; denormal
 * factors and sums count as zero, whatever the floating-point mode. Order of sums: linear_avx512.h. */
#include "kernels/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BF16__)

#include <immintrin.h>

#define LANE_INPUTS 2
enum { DEPTH = 4096 };

#include "kernels/x86/bf16_avx512.h"
#include "kernels/x86/linear_avx512.h"

#include "kernels/x86/back_products_avx512.h"

INLINE __m512 madd(__m512 sum, __m512i x, __m512i w)
{
    return add_products(sum, x, w);
}

INLINE void put_inputs(int32_t *to, size_t lane, int i, const __m512 x[4])
{
    store_vector(unit_at(to, lane, i / 2), pairs(x[0], x[1]));
    store_vector(unit_at(to, lane, i / 2 + 1), pairs(x[2], x[3]));
}

/* ---- The table ---- */

X_FORMS(prepare_bf16, pack_x_bf16, load_f32)

STREAM(stream_f32, load_f32, 4, 0)
STREAM(stream_f16, load_f16, 2, 1)
STREAM(stream_bf16, load_bf16, 2, 0)

PACK_W(pack_f32, load_f32, 4)
PACK_W(pack_f16, load_f16, 2)
PACK_W(pack_bf16, load_bf16, 2)

PACK_QUANT(pack_q8, WEIGHT_Q8, put_inputs)
PACK_QUANT(pack_q4, WEIGHT_Q4, put_inputs)

INLINE __m512i unit(const __m512 inputs[2])
{
    return pairs(inputs[0], inputs[1]);
}

BACK_X_FORMS(back_rows, back_across, load_f32, unit)
BACK_PACK_W(back_f32, wide_f32, 4, unit)
BACK_PACK_W(back_f16, wide_f16, 2, unit)
BACK_PACK_W(back_bf16, wide_bf16, 2, unit)

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
            .stream_bands = 1,
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
    k->back[COMPUTE_BF16] = (struct back_kernels){
        .panel = PANEL,
        .depth = BACK_DEPTH,
        .panel_bytes = BACK_PANEL_BYTES,
        .packed_x_bytes = back_packed_x_bytes,
        .pack_x = back_rows,
        .pack_x_across = back_across,
        .pack_w_across = {back_f32, back_f16, back_bf16},
        .multiply = back_multiply,
    };
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx512bf16_linear(struct kernels *k)
{
    (void)k;
}

#endif
