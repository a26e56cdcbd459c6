// SPDX-License-Identifier: Apache-2.0
/* How weights are asked for while others are streamed, whatever the instruction set.
 *
 * A prefetch does nothing, without a word, where the core has no place left for what is on its way, and it has few. So
 * a line is asked for again and again, later each time, while lines further on are asked for the first time: one that
 * is in L2 by then costs little. Measured on Zen 4, docs/PERFORMANCE.md. */
#ifndef GPTJT_KERNELS_X86_STREAM_H
#define GPTJT_KERNELS_X86_STREAM_H

#include <immintrin.h>
#include <stdint.h>

/* Times, distance, and how far ahead a line is asked for the first time by those who read w as it lies. Once less
 * by those who have so much to compute that it would hold them up. */
enum {
    STREAM_REPEATS = 3,
    STREAM_REPEATS_FEW = 4,
    STREAM_REPEATS_APART = 4096,
    STREAM_AHEAD = (STREAM_REPEATS_FEW + 1) * STREAM_REPEATS_APART
};

/* The line at this address, which may lie behind all that there is, for the first time, and others for the next. */
static inline __attribute__((always_inline)) void ask_repeatedly(uintptr_t line, int repeats)
{
    for (int k = 0; k <= repeats; k++)
        _mm_prefetch((const char *)(line - (uintptr_t)k * STREAM_REPEATS_APART), _MM_HINT_T1);
}

#endif
