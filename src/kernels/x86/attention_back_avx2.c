// SPDX-License-Identifier: Apache-2.0
/* Attention's way back for AVX2, FMA and F16C. */
#include "kernels/x86/attention_back.h"

void kernels_init_attention_back_avx2(struct kernels *k)
{
    attention_back_fill(k);
}
