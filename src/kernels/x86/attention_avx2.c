// SPDX-License-Identifier: Apache-2.0
/* Attention for AVX2, FMA and F16C. */
#include "kernels/x86/attention.h"

void kernels_init_attention_avx2(struct kernels *k)
{
    attention_fill(k);
}
