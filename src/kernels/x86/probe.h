// SPDX-License-Identifier: Apache-2.0
/* The loops of the peak probes of x86. The instructions are written as they are to be executed: a compiler that knew
 * what they compute would take products of constants out of the loop, and gcc 12 moves sums between registers and the
 * stack. Sums are variables s0, s1, ... and not an array, which stays in memory where a loop over it is not unrolled.
 */
#ifndef GPTJT_KERNELS_X86_PROBE_H
#define GPTJT_KERNELS_X86_PROBE_H

/* X(i) once for every sum. Latencies are 4 to 6 cycles at up to two instructions a cycle; together with operands and
 * products, 10 and 12 sums fit AVX2's 16 registers, 16 fit AVX-512's 32. */
#define PROBE_EACH_10(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
#define PROBE_EACH_12(X) PROBE_EACH_10(X) X(10) X(11)
#define PROBE_EACH_16(X) PROBE_EACH_12(X) X(12) X(13) X(14) X(15)

/* s += x * y by one instruction that multiplies and adds. */
#define PROBE_FUSED(instruction, s, x, y) __asm__ volatile(instruction " %2, %1, %0" : "+v"(s) : "v"(x), "v"(y));

/* s += pairs of int16 products, summed. */
#define PROBE_MADD(s, x, y)                                                                                            \
    {                                                                                                                  \
        __typeof__(s) product;                                                                                         \
        __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+v"(s), "=&v"(product) : "v"(x), "v"(y));       \
    }

/* s += fours of uint8 x int8 products, summed by way of int16. */
#define PROBE_MADDUBS(s, x, y, ones)                                                                                   \
    {                                                                                                                  \
        __typeof__(s) product;                                                                                         \
        __asm__ volatile("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"                           \
                         : "+v"(s), "=&v"(product)                                                                     \
                         : "v"(x), "v"(y), "v"(ones));                                                                 \
    }

/* s += pairs of uint8 x int8 products in int16, where they are small enough not to saturate. */
#define PROBE_MADDUBS_16(s, x, y)                                                                                      \
    {                                                                                                                  \
        __typeof__(s) product;                                                                                         \
        __asm__ volatile("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+v"(s), "=&v"(product) : "v"(x), "v"(y));     \
    }

/* total += s by way of int32, and s starts again from zero. */
#define PROBE_WIDEN_16(total, s, ones)                                                                                 \
    __asm__ volatile("vpmaddwd %2, %1, %1\n\tvpaddd %1, %0, %0\n\tvpxor %1, %1, %1" : "+v"(total), "+v"(s) : "v"(ones));

#endif
