// SPDX-License-Identifier: Apache-2.0
/* CPUID and XGETBV by hand: what compilers' own queries know differs from version to version. */
#include "kernels/x86/cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>

/* The register states the operating system saves at a task switch (XCR0), 0 if it does not tell. */
static unsigned saved_states(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

bool cpu_has_avx2(void)
{
    enum { XMM_AND_YMM = 0x6 };
    unsigned a, b, c, d;
    if ((saved_states() & XMM_AND_YMM) != XMM_AND_YMM) return false;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA) || !(c & bit_F16C)) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

bool cpu_has_avx512(void)
{
    enum { XMM_TO_ZMM_AND_MASKS = 0xe6 };
    const unsigned wanted = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    unsigned a, b, c, d;
    if ((saved_states() & XMM_TO_ZMM_AND_MASKS) != XMM_TO_ZMM_AND_MASKS) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & wanted) == wanted;
}

#else

bool cpu_has_avx2(void)
{
    return false;
}

bool cpu_has_avx512(void)
{
    return false;
}

#endif
