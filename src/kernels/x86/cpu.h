// SPDX-License-Identifier: Apache-2.0
/* What the processor has and the operating system has enabled. False on other architectures. */
#ifndef GPTJT_KERNELS_X86_CPU_H
#define GPTJT_KERNELS_X86_CPU_H

#include <stdbool.h>

bool cpu_has_avx2(void);   /* AVX2, FMA and F16C, with YMM state saved by the OS */
bool cpu_has_avx512(void); /* AVX-512 F, BW, DQ and VL, with ZMM and mask state saved by the OS */

#endif
