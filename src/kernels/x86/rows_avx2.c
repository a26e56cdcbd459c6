// SPDX-License-Identifier: Apache-2.0
/* Row by row work for AVX2, FMA and F16C. */
#include "kernels/x86/rows.h"

void kernels_init_rows_avx2(struct kernels *k)
{
    rows_fill(k);
}
