// SPDX-License-Identifier: Apache-2.0
/* What both ways back through attention share. */
#ifndef GPTJT_OPS_CUDA_ATTENTION_BACK_CUH
#define GPTJT_OPS_CUDA_ATTENTION_BACK_CUH

#include "ops/cuda/device.cuh"

/* Everything on the device; lo and hi of the sequence's rows. */
struct back {
    float *dq, *dk, *dv; /* [T][H][K] */
    const float *dy, *y, *q, *lse, *k, *v;
    const int32_t *lo, *hi, *pages;
    int T, H, K;
    float scale;
};

/* Rows [first, end) of those that see any of the positions at .. at + n. All threads; shared: two ints a warp. */
struct rows_range {
    int first, end;
};

__device__ static rows_range rows_that_see(const int32_t *lo, const int32_t *hi, int T, int at, int n, int *shared)
{
    int over = 0, begun = 0; /* rows that end before at, and those that begin before at + n */
    for (int t = threadIdx.x; t < T; t += blockDim.x) {
        over += hi[t] <= at;
        begun += lo[t] < at + n;
    }
    over = __reduce_add_sync(0xffffffffu, over);
    begun = __reduce_add_sync(0xffffffffu, begun);
    if (threadIdx.x % WARP == 0) {
        shared[2 * (threadIdx.x / WARP)] = over;
        shared[2 * (threadIdx.x / WARP) + 1] = begun;
    }
    __syncthreads();
    rows_range r = {0, 0};
    for (int w = 0; w < (int)blockDim.x / WARP; w++) {
        r.first += shared[2 * w];
        r.end += shared[2 * w + 1];
    }
    return r;
}

enum { TILE_THREADS = 256 };

__device__ static float dot4(float4 a, float4 b, float sum)
{
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

#endif
