// SPDX-License-Identifier: Apache-2.0
/* Attention on AVX2, FMA and F16C: see x86/attention.h. */
#include "kernels/kernels.h"
#include "kernels/x86/attention.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

static void k_attention_f32_avx2(const struct attention_rows *a, const void *keys, const void *values, int at)
{
    attend(load_f32, 4, a, keys, values, at);
}

static void k_attention_f16_avx2(const struct attention_rows *a, const void *keys, const void *values, int at)
{
    attend(load_f16, 2, a, keys, values, at);
}

void kernels_init_attention_avx2(struct kernels *k)
{
    k->attention_f32 = k_attention_f32_avx2;
    k->attention_f16 = k_attention_f16_avx2;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_attention_avx2(struct kernels *k)
{
    (void)k;
}

#endif
