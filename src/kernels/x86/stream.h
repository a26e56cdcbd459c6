// SPDX-License-Identifier: Apache-2.0
/* How weights are asked for while others are streamed, whatever the instruction set.
 *
 * A line asked for is on its way in a place of the L1 cache, of which there are few, and where none is free nothing is
 * asked for, without a word. So a line is asked for again and again, later each time, while lines further on are asked
 * for the first time: one that is in L2 by then costs little. Measured on Zen 4 in docs/PERFORMANCE.md. */
#ifndef GPTJT_KERNELS_X86_STREAM_H
#define GPTJT_KERNELS_X86_STREAM_H

#include <immintrin.h>

/* Times, distance, and how far ahead a line is asked for the first time by those who read w as it lies. STREAM_REPEATS
 * is for kernels that have enough to compute to be held up by it. */
enum {
    STREAM_REPEATS = 3,
    STREAM_REPEATS_FEW = 4,
    STREAM_REPEATS_APART = 4096,
    STREAM_AHEAD = (STREAM_REPEATS_FEW + 1) * STREAM_REPEATS_APART
};

/* p: the line that is asked for the first time. */
static inline __attribute__((always_inline)) void ask_repeatedly(const char *p, int repeats)
{
    _mm_prefetch(p, _MM_HINT_T1);
    for (int k = 1; k <= repeats; k++)
        _mm_prefetch(p - k * STREAM_REPEATS_APART, _MM_HINT_T1);
}

#endif
