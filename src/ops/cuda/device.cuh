// SPDX-License-Identifier: Apache-2.0
/* What the kernels share. */
#ifndef GPTJT_OPS_CUDA_DEVICE_CUH
#define GPTJT_OPS_CUDA_DEVICE_CUH

#include <cfloat>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/cuda/cuda.h"

enum { WARP = 32 };

/* Holds the backend as long as it lives. */
struct held {
    struct ops_cuda *c;
    explicit held(struct ops *o) : c(ops_cuda(o))
    {
        pthread_mutex_lock(&c->lock);
    }
    ~held()
    {
        pthread_mutex_unlock(&c->lock);
    }
};

/* Until the kernels before this one have finished; before it only what nobody writes may be read. */
__device__ inline void cuda_wait()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* The next kernel may start to run as soon as there is room. */
__device__ inline void cuda_let_next_start()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

template <class... Parameters, class... Arguments>
static void cuda_launch(struct ops_cuda *c, dim3 grid, dim3 block, size_t shared, void (*kernel)(Parameters...),
                        Arguments... arguments)
{
    const auto submit = [&](const Parameters &...as) {
        const void *const at[] = {&as...};
        const size_t bytes[] = {sizeof(Parameters)...};
        cuda_submit(c, (const void *)kernel, grid, block, shared, (int)sizeof...(Parameters), at, bytes);
    };
    submit(static_cast<Parameters>(arguments)...);
}

__device__ inline float warp_sum(float x)
{
    for (int d = WARP / 2; d; d /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, d);
    return x;
}

__device__ inline float warp_max(float x)
{
    for (int d = WARP / 2; d; d /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, d));
    return x;
}

/* The sum over a block of `threads` threads, the same in all of them and from run to run. shared: one float a warp. */
__device__ inline float block_sum(float x, float *shared)
{
    const int warps = (int)blockDim.x / WARP, warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    x = warp_sum(x);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    x = warp_sum(lane < warps ? shared[lane] : 0);
    __syncthreads();
    return x;
}

/* Mean, and 1 / sqrt(variance + eps), of a row by all threads of a block; shared as block_sum() takes it. */
__device__ inline float2 row_moments(const float *x, int D, float eps, float *shared)
{
    float sum = 0, squares = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x)
        sum += x[i];
    const float mean = block_sum(sum, shared) / D;
    for (int i = threadIdx.x; i < D; i += blockDim.x)
        squares += (x[i] - mean) * (x[i] - mean);
    return make_float2(mean, 1 / sqrtf(block_sum(squares, shared) / D + eps));
}

/* 0.5 y (1 + tanh(sqrt(2/pi) (y + 0.044715 y^3))) */
__device__ inline float gelu_new(float y)
{
    const float inner = 0.7978845608028654f * (y + 0.044715f * y * y * y);
    return 0.5f * y * (1 + tanhf(inner));
}

#endif
