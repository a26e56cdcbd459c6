// SPDX-License-Identifier: Apache-2.0
/* Weights of one type as the factors of a product of another. */
#include "ops/cuda/device.cuh"

__device__ static void put(float *to, float x)
{
    *to = x;
}

__device__ static void put(__half *to, float x)
{
    *to = __float2half_rn(x);
}

__device__ static void put(__nv_bfloat16 *to, float x)
{
    *to = __float2bfloat16_rn(x);
}

__device__ static float wide(float x)
{
    return x;
}

__device__ static float wide(__half x)
{
    return __half2float(x);
}

__device__ static float wide(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

template <class To, class From> __global__ static void convert_kernel(To *to, const From *from, size_t n)
{
    cuda_wait();
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        put(to + i, wide(from[i]));
}

/* A block of threads takes a block of a strip: thread (o, step) the four inputs that lie together, and in q4 the four
 * of the other half. Neighbouring threads write neighbouring inputs of an output. */
template <class To>
__global__ static void unpack_kernel(To *to, const uint8_t *strips, bool q4, int n, int I, size_t blocks)
{
    enum { STEPS = QUANT_BLOCK / QUANT_STEP };
    cuda_wait();
    const int o = threadIdx.x / STEPS, place = threadIdx.x % STEPS, steps = q4 ? STEPS / 2 : STEPS;
    const size_t values = QUANT_STRIP * QUANT_BLOCK / (q4 ? 2 : 1);
    const size_t block_bytes = values + QUANT_STRIP * 2 * (q4 ? 2 : 1);
    const int row = blockIdx.y * QUANT_STRIP + o;
    if (row >= n) return;
    for (size_t block = blockIdx.x; block < blocks; block += gridDim.x) {
        const int half = place / steps, step = place % steps; /* half is 0 in q8 */
        const uint8_t *const at = strips + (blockIdx.y * blocks + block) * block_bytes;
        const uint32_t four = *(const uint32_t *)(at + (step * QUANT_STRIP + o) * QUANT_STEP);
        const float scale = __half2float(((const __half *)(at + values))[half * QUANT_STRIP + o]);
        for (int j = 0; j < QUANT_STEP; j++) {
            const int byte = four >> (8 * j) & 255, value = q4 ? (half ? byte >> 4 : byte & 15) - 8 : byte - 128;
            const int i = (int)block * QUANT_BLOCK + place * QUANT_STEP + j;
            if (i < I) put(to + (size_t)row * I + i, scale * value);
        }
    }
}

template <class To> static void unpack(struct ops_cuda *c, To *to, const struct weight *w, int o, int n)
{
    enum { THREADS = 256, BLOCKS = 2048 };
    const char *from = (const char *)w->data + weight_bytes(w->type, o, w->I);
    const size_t count = (size_t)n * w->I;
    switch (w->type) {
    case WEIGHT_F32:
        cuda_launch(c, BLOCKS, THREADS, 0, convert_kernel<To, float>, to, (const float *)from, count);
        return;
    case WEIGHT_F16:
        cuda_launch(c, BLOCKS, THREADS, 0, convert_kernel<To, __half>, to, (const __half *)from, count);
        return;
    case WEIGHT_BF16:
        cuda_launch(c, BLOCKS, THREADS, 0, convert_kernel<To, __nv_bfloat16>, to, (const __nv_bfloat16 *)from, count);
        return;
    default: break;
    }
    const size_t blocks = quant_blocks(w->I);
    cuda_launch(c, dim3(blocks < 16 ? (unsigned)blocks : 16, (unsigned)quant_strips(n)), THREADS, 0, unpack_kernel<To>,
                to, (const uint8_t *)from, w->type == WEIGHT_Q4, n, w->I, blocks);
}

void cuda_unpack(struct ops_cuda *c, void *to, const struct weight *w, int o, int n, enum cuda_factor as)
{
    if (as == FACTOR_F32)
        unpack(c, (float *)to, w, o, n);
    else if (as == FACTOR_F16)
        unpack(c, (__half *)to, w, o, n);
    else
        unpack(c, (__nv_bfloat16 *)to, w, o, n);
}
