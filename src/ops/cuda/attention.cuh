// SPDX-License-Identifier: Apache-2.0
/* What attention's kernels share. A page of one head is [KV_PAGE][padded K] here, of keys and of values: position after
 * position, so that a vector lies in one piece. */
#ifndef GPTJT_OPS_CUDA_ATTENTION_CUH
#define GPTJT_OPS_CUDA_ATTENTION_CUH

#include "ops/cuda/device.cuh"

/* Where splits of a row's positions begin: at multiples of it, whatever the row sees. */
enum { ATTENTION_SPLIT = 4 * KV_PAGE, ATTENTION_HEAD = 256 /* the largest K */ };

/* A call as the kernels see it. The batch's arrays and lists of work are int32 words in one copy on the device. */
struct attention_call {
    float *y, *lse; /* lse may be NULL */
    const float *q;
    const void *k, *v; /* pages */
    int H, K;
    float scale;
    const int32_t *words;
    const int32_t *lo, *hi; /* [T] */
    const int32_t *table;   /* [T] page p of the row's sequence is words[table + p] */
    const int32_t *slot;    /* [T] where the parts of the row's first split lie; -1: it is made in one piece */
    float2 *stats;          /* [slots][H] of a part: the largest score, and the sum of exp(score - it) */
    float *parts;           /* [slots][H][K] sum of exp(score - largest) * value */
};

/* Rows of one sequence for a block of threads that multiplies by tensor cores. */
struct attention_tile {
    int32_t row, rows;
    int32_t least_lo, greatest_lo, least_hi, greatest_hi; /* of its rows */
};

/* Rows of one sequence, and which splits of their positions: begin .. end. */
struct attention_item {
    int32_t row, rows, begin, end;
};

__device__ inline size_t attention_head_at(const struct attention_call &a, int page, int h, int padded)
{
    return ((size_t)page * a.H + h) * KV_PAGE * padded;
}

/* Subtracted from scores before exp(): as long as all of them are -inf, any finite number will do. */
__device__ inline float attention_base(float max)
{
    return max == -INFINITY ? 0 : max;
}

#endif
