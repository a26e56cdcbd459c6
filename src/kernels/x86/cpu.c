// SPDX-License-Identifier: Apache-2.0
#include "kernels/x86/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* clang 14 does not know the name "f16c", so its bit is read here. The registers it needs are those of AVX2. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

bool cpu_has_avx2(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init(); /* it also asks XGETBV whether the OS saves the registers */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
#else
    return false;
#endif
}
