// SPDX-License-Identifier: Apache-2.0
/* The only place that names compiler extensions. */
#ifndef GPTJT_BASE_COMPILER_H
#define GPTJT_BASE_COMPILER_H

#define FMT(string, first) __attribute__((format(printf, string, first)))
#define ALIGNED(bytes)     __attribute__((aligned(bytes)))

/* Tells the core that this is a spinning loop. */
#if defined(__x86_64__) || defined(__i386__)
#define CPU_RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define CPU_RELAX() __asm__ volatile("yield")
#else
#define CPU_RELAX() ((void)0)
#endif

/* The compiler computes v (a vector) here and not later: gcc otherwise starts all products of a tile before it adds the
 * first, runs out of registers and spills its accumulators. */
#if defined(__x86_64__)
#define COMPUTE_HERE(v) __asm__ volatile("" : "+v"(v))
#endif

/* The loop after it is unrolled whole, and early: an array of accumulators becomes registers only then. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 24")
#endif

/* Of a uint64_t that is not zero. */
#define LEADING_ZEROS(x) __builtin_clzll(x)

/* The compiler no longer knows where p points, so that it reads again what lies there instead of keeping it. */
#define FORGET(p) __asm__ volatile("" : "+r"(p))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
