// SPDX-License-Identifier: Apache-2.0
/* The backward pass's and the optimizer's work on rows for AVX-512 F, BW, DQ and VL. */
#include "kernels/x86/back.h"

void kernels_init_back_avx512(struct kernels *k)
{
    back_fill(k);
}
