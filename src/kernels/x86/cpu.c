// SPDX-License-Identifier: Apache-2.0
#include "kernels/x86/cpu.h"

bool cpu_has_avx2(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init(); /* it also asks XGETBV whether the OS saves the registers */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#else
    return false;
#endif
}
