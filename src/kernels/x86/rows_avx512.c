// SPDX-License-Identifier: Apache-2.0
/* Row by row work for AVX-512 F, BW, DQ and VL. */
#include "kernels/x86/rows.h"

void kernels_init_rows_avx512(struct kernels *k)
{
    rows_fill(k);
}
