// SPDX-License-Identifier: Apache-2.0
/* Attention's way back for AVX-512 F, BW, DQ and VL. */
#include "kernels/x86/attention_back.h"

void kernels_init_attention_back_avx512(struct kernels *k)
{
    attention_back_fill(k);
}
