// SPDX-License-Identifier: Apache-2.0
/* What the processor has and the operating system has enabled. False on other architectures. */
#ifndef GPTJT_KERNELS_X86_CPU_H
#define GPTJT_KERNELS_X86_CPU_H

#include <stdbool.h>

bool cpu_has_avx2(void);       /* AVX2, FMA and F16C, with YMM state saved by the OS */
bool cpu_has_avx512(void);     /* AVX-512 F, BW, DQ and VL, with ZMM and mask state saved by the OS */
bool cpu_has_avx512vnni(void); /* AVX-512 VNNI on top */
bool cpu_has_avx512bf16(void); /* AVX-512 VNNI and BF16 on top */

/* AMX tiles, BF16 and INT8 with tile state saved by the OS, on top of AVX-512 with BF16. Linux gives the state, which
 * is large, only to processes that ask; this asks. */
bool cpu_has_amx(void);

#endif
