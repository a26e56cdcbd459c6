// SPDX-License-Identifier: Apache-2.0
/* CPUID and XGETBV by hand: what compilers' own queries know differs from version to version. */
#include "kernels/x86/cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

bool cpu_has_avx512vnni(void)
{
    unsigned a, b, c, d;
    return cpu_has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_AVX512VNNI);
}

bool cpu_has_avx512bf16(void)
{
    unsigned a, b, c, d;
    return cpu_has_avx512vnni() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVX512BF16);
}

/* Whether this process, threads to come included, may use tiles from now on. */
static bool tiles_permitted(void)
{
#if defined(__linux__)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM of asm/prctl.h, since Linux 5.16 */
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

bool cpu_has_amx(void)
{
    enum { TILE_CONFIG_AND_DATA = 0x60000 };
    const unsigned wanted = 1u << 22 | 1u << 24 | 1u << 25; /* AMX-BF16, AMX-TILE, AMX-INT8 */
    unsigned a, b, c, d;
    if ((saved_states() & TILE_CONFIG_AND_DATA) != TILE_CONFIG_AND_DATA) return false;
    if (!cpu_has_avx512bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & wanted) != wanted) return false;
    return tiles_permitted();
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

bool cpu_has_avx512vnni(void)
{
    return false;
}

bool cpu_has_avx512bf16(void)
{
    return false;
}

bool cpu_has_amx(void)
{
    return false;
}

#endif
