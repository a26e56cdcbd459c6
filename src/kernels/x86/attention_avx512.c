// SPDX-License-Identifier: Apache-2.0
/* Attention for AVX-512 F, BW, DQ and VL. */
#include "kernels/x86/attention.h"

void kernels_init_attention_avx512(struct kernels *k)
{
    attention_fill(k);
}
