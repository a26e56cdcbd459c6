// SPDX-License-Identifier: Apache-2.0
/* Quantising with AVX2: quant.c's arithmetic, operation by operation, with eight of a strip's outputs in the lanes. So
 * sums over the inputs of a group have the reference's order, and all bits are the same. */
#include "kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <string.h>

#include "kernels/quant.h"
#include "kernels/x86/lanes_avx2.h"

enum { GROUPS = QUANT_BLOCK / 32 };

/* Eight outputs of a block, inputs first. */
struct block {
    __m256 x[QUANT_BLOCK];
};

/* n inputs of O <= 8 rows, the rest zeros. */
INLINE void load_block(struct block *b, const float *w, size_t w_stride, int O, int n)
{
    for (int i = 0; i < QUANT_BLOCK; i += LANES) {
        for (int o = 0; o < LANES; o++) {
            float last[LANES] = {0};
            const float *from = w + (size_t)o * w_stride + i;
            if (o < O && i < n && n - i < LANES) memcpy(last, from, (size_t)(n - i) * sizeof *last);
            b->x[i + o] = _mm256_loadu_ps(o < O && i + LANES <= n ? from : last);
        }
        transpose8(b->x + i);
    }
}

INLINE __m256 size_of(__m256 x)
{
    return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
}

INLINE __m256 larger_int(__m256 a, __m256 b)
{
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}

INLINE __m256 extreme_of(const __m256 *x, int n)
{
    __m256 extreme = _mm256_setzero_ps();
    for (int i = 0; i < n; i++)
        extreme = _mm256_blendv_ps(extreme, x[i], larger_int(size_of(x[i]), size_of(extreme)));
    return extreme;
}

/* The nearest integer as nearest() has it, plus the bias. */
INLINE __m256 biased(__m256 x, float low, float high)
{
    x = _mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), x));
    return _mm256_add_ps(x, _mm256_set1_ps(0x1.8p23f));
}

INLINE __m256 q4_scale(const __m256 *x, int n, __m256 extreme)
{
    static const float ends[] = QUANT_Q4_ENDS;
    __m256 best = _mm256_setzero_ps(), scale = _mm256_setzero_ps();
    for (size_t k = 0; k < sizeof ends / sizeof ends[0]; k++) {
        const __m256 inverse = _mm256_div_ps(_mm256_set1_ps(ends[k]), extreme);
        __m256 a = _mm256_setzero_ps(), b = _mm256_setzero_ps();
        for (int i = 0; i < n; i++) {
            const __m256 v = _mm256_sub_ps(biased(_mm256_mul_ps(x[i], inverse), -8, 7), _mm256_set1_ps(0x1.8p23f));
            a = _mm256_add_ps(a, _mm256_mul_ps(v, x[i]));
            b = _mm256_add_ps(b, _mm256_mul_ps(v, v));
        }
        const __m256 gain = _mm256_div_ps(_mm256_mul_ps(a, a), b), better = _mm256_cmp_ps(gain, best, _CMP_GT_OQ);
        scale = _mm256_blendv_ps(scale, _mm256_div_ps(a, b), better);
        best = _mm256_blendv_ps(best, gain, better);
    }
    return scale;
}

/* Of a group: stores its scales, sets inverse to what its inputs are multiplied by, and clears the inputs of an output
 * whose values are all zero whatever they are. */
INLINE void choose_scales(enum weight_type t, char *scales, __m256 *inverse, __m256 *x, int n)
{
    const __m256 zero = _mm256_setzero_ps(), most = _mm256_set1_ps(3.402823466e38f), extreme = extreme_of(x, n);
    const __m256 size = size_of(extreme), finite = _mm256_cmp_ps(size, most, _CMP_LE_OQ);
    const __m256 tiny = _mm256_cmp_ps(size, _mm256_set1_ps(QUANT_TINY), _CMP_LT_OQ);
    __m256 scale = t == WEIGHT_Q4 ? q4_scale(x, n, extreme) : _mm256_div_ps(size, _mm256_set1_ps(127));
    scale = _mm256_blendv_ps(extreme, _mm256_andnot_ps(tiny, scale), finite);

    const __m128i half = _mm256_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT);
    memcpy(scales, &half, sizeof half);
    const __m256 rounded = _mm256_cvtph_ps(half);
    const __m256 usable = _mm256_and_ps(_mm256_cmp_ps(rounded, zero, _CMP_NEQ_OQ),
                                        _mm256_cmp_ps(size_of(rounded), most, _CMP_LE_OQ));
    *inverse = _mm256_and_ps(usable, _mm256_div_ps(_mm256_set1_ps(1), rounded));
    if (_mm256_movemask_ps(usable) == 0xff) return;
    for (int i = 0; i < n; i++)
        x[i] = _mm256_and_ps(usable, x[i]);
}

/* A step of eight outputs: four inputs (eight of q4) are the bytes of a lane. */
INLINE __m256i step_of(enum weight_type t, const struct block *b, const __m256 *inverse, int first)
{
    const int parts = t == WEIGHT_Q4 ? 2 : 1;
    const float low = t == WEIGHT_Q4 ? -8 : -127, high = t == WEIGHT_Q4 ? 7 : 127;
    const __m256i stored_zero = _mm256_set1_epi32(quant_zero(t) - 0x4b400000); /* less the bits of the bias */
    __m256i word = _mm256_setzero_si256();
    for (int part = 0; part < parts; part++) {
        for (int j = 0; j < QUANT_STEP; j++) {
            const __m256 v = biased(_mm256_mul_ps(b->x[first + 32 * part + j], inverse[part]), low, high);
            const __m256i stored = _mm256_add_epi32(_mm256_castps_si256(v), stored_zero);
            word = _mm256_or_si256(word, _mm256_slli_epi32(stored, 8 * j + 4 * part));
        }
    }
    return word;
}

/* Outputs o .. o+7 of a block. */
INLINE void quantise_block(enum weight_type t, char *to, int o, struct block *b)
{
    const int group = quant_group(t);
    char *values = to + o * QUANT_STEP, *scales = to + quant_values_bytes(t) + (size_t)o * sizeof(uint16_t);
    __m256 inverse[GROUPS];
    for (int g = 0; g < QUANT_BLOCK / group; g++)
        choose_scales(t, scales + (size_t)g * QUANT_STRIP * sizeof(uint16_t), &inverse[g], b->x + g * group, group);
    for (int i = 0; i < group; i += QUANT_STEP)
        _mm256_storeu_si256((__m256i *)(void *)(values + i / QUANT_STEP * QUANT_STEP_BYTES), step_of(t, b, inverse, i));
}

INLINE void quantise(enum weight_type t, char *strip, const float *w, size_t w_stride, int O, int I)
{
    for (int i = 0; i < I; i += QUANT_BLOCK, strip += quant_block_bytes(t)) {
        for (int o = 0; o < QUANT_STRIP; o += LANES) {
            struct block b;
            load_block(&b, w + (o < O ? (size_t)o * w_stride : 0) + i, w_stride, O - o, I - i);
            quantise_block(t, strip, o, &b);
        }
    }
}

static void k_quant_strip_avx2(void *strip, enum weight_type t, const float *w, size_t w_stride, int O, int I)
{
    if (t == WEIGHT_Q4)
        quantise(WEIGHT_Q4, strip, w, w_stride, O, I);
    else
        quantise(WEIGHT_Q8, strip, w, w_stride, O, I);
}

void kernels_init_avx2_quant(struct kernels *k)
{
    k->quant_strip = k_quant_strip_avx2;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_avx2_quant(struct kernels *k)
{
    (void)k;
}

#endif
