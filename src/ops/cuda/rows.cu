// SPDX-License-Identifier: Apache-2.0
/* The operations that are one pass over rows of activations. */
#include "ops/cuda/device.cuh"

/* ---- Embedding ---- */

/* Weight i of a row of an [O][I] matrix, widened exactly (quant.h has the layouts). */
__device__ static float weight_at(const void *data, enum weight_type type, int row, int i, int I)
{
    const size_t at = (size_t)row * I + i;
    switch (type) {
    case WEIGHT_F32: return ((const float *)data)[at];
    case WEIGHT_F16: return __half2float(((const __half *)data)[at]);
    case WEIGHT_BF16: return __bfloat162float(((const __nv_bfloat16 *)data)[at]);
    default: break;
    }
    const bool q4 = type == WEIGHT_Q4;
    const size_t blocks = (I + QUANT_BLOCK - 1) / QUANT_BLOCK, values = QUANT_STRIP * QUANT_BLOCK / (q4 ? 2 : 1),
                 block_bytes = values + QUANT_STRIP * 2 * (q4 ? 2 : 1);
    const uint8_t *block = (const uint8_t *)data +
                           ((size_t)(row / QUANT_STRIP) * blocks + i / QUANT_BLOCK) * block_bytes;
    const int o = row % QUANT_STRIP, in = i % QUANT_BLOCK, half = q4 ? in / 32 : 0;
    const int place = q4 ? in % 32 : in;
    const uint8_t byte = block[(place / 4 * QUANT_STRIP + o) * 4 + place % 4];
    const int value = q4 ? (half ? byte >> 4 : byte & 15) - 8 : byte - 128;
    const __half *scales = (const __half *)(block + values);
    return __half2float(scales[half * QUANT_STRIP + o]) * value;
}

__global__ static void embed_kernel(float *y, const void *wte, enum weight_type type, const int32_t *token, int D)
{
    cuda_wait();
    cuda_let_next_start();
    const int row = token[blockIdx.x];
    for (int i = threadIdx.x; i < D; i += blockDim.x)
        y[(size_t)blockIdx.x * D + i] = weight_at(wte, type, row, i, D);
}

void cuda_embed(struct ops *o, float *y, const struct weight *wte, const int32_t *token, int T)
{
    const held lock(o);
    struct ops_cuda *c = ops_cuda(o);
    const int32_t *tokens = (const int32_t *)cuda_mirror(c, token, (size_t)T * sizeof *token);
    cuda_launch(c, T, 256, 0, embed_kernel, y, wte->data, wte->type, tokens, wte->I);
}

/* ---- Layer norm: mean, then variance, as the CPU does ---- */

/* D <= 4 NORM_THREADS, a multiple of 4: a row stays in registers, and the weights are there before it is. */
enum { NORM_THREADS = 1024 };

__global__ static void __launch_bounds__(NORM_THREADS)
    layer_norm_at_once(float4 *y, const float4 *x, const float4 *w, const float4 *b, int fours, float eps)
{
    __shared__ float sums[WARP];
    const int i = threadIdx.x, D = 4 * fours;
    const bool there = i < fours;
    float4 scale = make_float4(0, 0, 0, 0), shift = scale, v = scale;
    if (there) {
        scale = w[i];
        shift = b[i];
    }
    cuda_wait();
    cuda_let_next_start();
    if (there) v = x[(size_t)blockIdx.x * fours + i];
    const float mean = block_sum(v.x + v.y + (v.z + v.w), sums) / D;
    if (there) v = make_float4(v.x - mean, v.y - mean, v.z - mean, v.w - mean);
    const float one_over = 1 / sqrtf(block_sum(v.x * v.x + v.y * v.y + (v.z * v.z + v.w * v.w), sums) / D + eps);
    if (there)
        y[(size_t)blockIdx.x * fours + i] = make_float4(
            v.x * one_over * scale.x + shift.x, v.y * one_over * scale.y + shift.y, v.z * one_over * scale.z + shift.z,
            v.w * one_over * scale.w + shift.w);
}

__global__ static void layer_norm_kernel(float *y, const float *x, const float *w, const float *b, int D, float eps)
{
    __shared__ float sums[WARP];
    cuda_wait();
    cuda_let_next_start();
    x += (size_t)blockIdx.x * D;
    y += (size_t)blockIdx.x * D;
    const float2 moments = row_moments(x, D, eps, sums);
    const float mean = moments.x, scale = moments.y;
    for (int i = threadIdx.x; i < D; i += blockDim.x)
        y[i] = (x[i] - mean) * scale * w[i] + b[i];
}

void cuda_layer_norm(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                     float eps)
{
    const held lock(o);
    const int D = w->O, threads = D >= 2048 ? 512 : 128;
    if (D % 4 == 0 && D <= 4 * NORM_THREADS && ((uintptr_t)x | (uintptr_t)y) % 16 == 0) {
        const int four_threads = (D / 4 + WARP - 1) / WARP * WARP;
        cuda_launch(ops_cuda(o), T, four_threads, 0, layer_norm_at_once, (float4 *)y, (const float4 *)x,
                    (const float4 *)w->data, (const float4 *)b->data, D / 4, eps);
        return;
    }
    cuda_launch(ops_cuda(o), T, threads, 0, layer_norm_kernel, y, x, (const float *)w->data, (const float *)b->data, D,
                eps);
}

/* ---- Rotary ---- */

__global__ static void rotary_kernel(float *x, const float *sin, const float *cos, const int32_t *position, int H,
                                     int K, int R)
{
    cuda_wait();
    cuda_let_next_start();
    const int pairs = R / 2, at = position[blockIdx.x] * pairs;
    for (int i = threadIdx.x; i < H * pairs; i += blockDim.x) {
        const int h = i / pairs, j = i % pairs;
        float *pair = x + ((size_t)blockIdx.x * H + h) * K + 2 * j;
        const float s = sin[at + j], c = cos[at + j], a = pair[0], b = pair[1];
        pair[0] = a * c - b * s;
        pair[1] = b * c + a * s;
    }
}

void cuda_rotary(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T, int H,
                 int K, int R)
{
    const held lock(o);
    struct ops_cuda *c = ops_cuda(o);
    const int32_t *positions = (const int32_t *)cuda_mirror(c, position, (size_t)T * sizeof *position);
    if (R > 0) cuda_launch(c, T, 256, 0, rotary_kernel, x, sin, cos, positions, H, K, R);
}

/* ---- Gather ---- */

__global__ static void gather_kernel(float *y, const float *x, const int32_t *index, int D)
{
    cuda_wait();
    cuda_let_next_start();
    const float *from = x + (size_t)index[blockIdx.x] * D;
    for (int i = threadIdx.x; i < D; i += blockDim.x)
        y[(size_t)blockIdx.x * D + i] = from[i];
}

void cuda_gather(struct ops *o, float *y, const float *x, const int32_t *index, int n, int D)
{
    const held lock(o);
    struct ops_cuda *c = ops_cuda(o);
    const int32_t *rows = (const int32_t *)cuda_mirror(c, index, (size_t)n * sizeof *index);
    cuda_launch(c, n, 256, 0, gather_kernel, y, x, rows, D);
}

/* ---- To 16 bits ---- */

__device__ static uint16_t narrow(float x, enum cuda_factor as)
{
    if (as == FACTOR_BF16) return __bfloat16_as_ushort(__float2bfloat16_rn(x));
    const float most = 65504;
    return __half_as_ushort(__float2half_rn(x > most ? most : x < -most ? -most : x)); /* NaN stays */
}

__global__ static void narrow_kernel(uint16_t *to, const float *x, size_t n, enum cuda_factor as)
{
    cuda_wait();
    cuda_let_next_start();
    const size_t i = 4 * ((size_t)blockIdx.x * blockDim.x + threadIdx.x);
    if (i + 4 <= n && ((uintptr_t)x % 16 | (uintptr_t)to % 8) == 0) {
        const float4 v = *(const float4 *)(x + i);
        *(ushort4 *)(to + i) = make_ushort4(narrow(v.x, as), narrow(v.y, as), narrow(v.z, as), narrow(v.w, as));
    } else {
        for (size_t j = i; j < n && j < i + 4; j++)
            to[j] = narrow(x[j], as);
    }
}

void cuda_narrow(struct ops_cuda *c, void *to, const float *x, size_t n, enum cuda_factor as)
{
    enum { THREADS = 256, EACH = 4 };
    const unsigned blocks = (unsigned)((n + THREADS * EACH - 1) / (THREADS * EACH));
    if (blocks) cuda_launch(c, blocks, THREADS, 0, narrow_kernel, (uint16_t *)to, x, n, as);
}

/* ---- What a product could not do itself ---- */

__global__ static void finish_kernel(float *y, const float *bias, int O, int stride, bool gelu)
{
    cuda_wait();
    cuda_let_next_start();
    const int o = blockIdx.x * blockDim.x + threadIdx.x;
    if (o >= O) return;
    float *at = y + (size_t)blockIdx.y * stride + o;
    const float z = *at + (bias ? bias[o] : 0);
    *at = gelu ? gelu_new(z) : z;
}

void cuda_finish(struct ops_cuda *c, float *y, const float *bias, int T, int O, int stride, bool gelu)
{
    enum { THREADS = 256 };
    cuda_launch(c, dim3((O + THREADS - 1) / THREADS, T), THREADS, 0, finish_kernel, y, bias, O, stride, gelu);
}
