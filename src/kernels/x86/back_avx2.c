// SPDX-License-Identifier: Apache-2.0
/* The backward pass's and the optimizer's work on rows for AVX2, FMA and F16C. */
#include "kernels/x86/back.h"

void kernels_init_back_avx2(struct kernels *k)
{
    back_fill(k);
}
