// SPDX-License-Identifier: Apache-2.0
/* The training table's passes over elements, rows and columns. Nothing is added up by whoever comes first: an output is
 * summed by one thread, or by threads and blocks whose partial sums meet in an order that depends on sizes only. */
#include <assert.h>
#include <math.h>

#include "ops/cuda/device.cuh"

enum { THREADS = 256, EACH = 4 };

static unsigned blocks_for(size_t n)
{
    return (unsigned)((n + THREADS * EACH - 1) / (THREADS * EACH));
}

__device__ static bool aligned(const void *p)
{
    return (uintptr_t)p % sizeof(float4) == 0;
}

/* ---- Element by element ---- */

/* y[i] = f(y[i], x[i]); f says which of the two it wants read. */
template <class F> __global__ static void each_kernel(float *y, const float *x, size_t n, F f)
{
    cuda_wait();
    cuda_let_next_start();
    const size_t i = EACH * ((size_t)blockIdx.x * THREADS + threadIdx.x);
    if (i + EACH <= n && aligned(y) && (!F::reads_x || aligned(x))) {
        float4 a = {}, b = {};
        if (F::reads_y) a = *(const float4 *)(y + i);
        if (F::reads_x) b = *(const float4 *)(x + i);
        *(float4 *)(y + i) = make_float4(f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w));
    } else {
        for (size_t j = i; j < n && j < i + EACH; j++)
            y[j] = f(F::reads_y ? y[j] : 0, F::reads_x ? x[j] : 0);
    }
}

template <class F> static void each(struct ops *o, float *y, const float *x, size_t n, F f)
{
    if (n) cuda_launch(ops_cuda(o), blocks_for(n), THREADS, 0, each_kernel<F>, y, x, n, f);
}

struct only_x {
    static constexpr bool reads_y = false, reads_x = true;
};

struct only_y {
    static constexpr bool reads_y = true, reads_x = false;
};

struct both {
    static constexpr bool reads_y = true, reads_x = true;
};

struct gelu_of : only_x {
    __device__ float operator()(float, float z) const
    {
        return gelu_new(z);
    }
};

/* With u = sqrt(2/pi) (z + 0.044715 z^3) and L = 1 / (1 + exp(-2u)): gelu' = L + z L (1 - L) 2 u'. By e = exp(-|2u|),
 * which overflows nowhere, L is 1 / (1 + e) or e / (1 + e), and L (1 - L) their product; where that is 0, so is the
 * second term, however large the rest of it. */
struct gelu_back_of : both {
    __device__ float operator()(float dy, float z) const
    {
        const float twice = 1.5957691216057308f, a = 0.044715f; /* 2 sqrt(2/pi) */
        const float two_u = twice * (z + a * z * z * z), e = expf(-fabsf(two_u));
        const float greater = 1 / (1 + e), smaller = e * greater, hill = greater * smaller;
        const float slope = (two_u < 0 ? smaller : greater) + (hill == 0 ? 0 : z * hill * twice * (1 + 3 * a * z * z));
        return dy * slope;
    }
};

struct sum_of : both {
    __device__ float operator()(float y, float x) const
    {
        return y + x;
    }
};

struct times : only_y {
    float factor;
    __device__ float operator()(float y, float) const
    {
        return y * factor;
    }
};

struct nothing {
    static constexpr bool reads_y = false, reads_x = false;
    __device__ float operator()(float, float) const
    {
        return 0;
    }
};

struct copy_of : only_x {
    __device__ float operator()(float, float x) const
    {
        return x;
    }
};

struct rounded_f16 : only_y {
    __device__ float operator()(float y, float) const
    {
        return __half2float(__float2half_rn(y));
    }
};

struct rounded_bf16 : only_y {
    __device__ float operator()(float y, float) const
    {
        return __bfloat162float(__float2bfloat16_rn(y));
    }
};

void cuda_gelu(struct ops *o, float *y, const float *z, size_t n)
{
    each(o, y, z, n, gelu_of());
}

void cuda_gelu_back(struct ops *o, float *dy, const float *z, size_t n)
{
    each(o, dy, z, n, gelu_back_of());
}

void cuda_add(struct ops *o, float *y, const float *x, size_t n)
{
    each(o, y, x, n, sum_of());
}

void cuda_scale(struct ops *o, float *x, size_t n, float factor)
{
    times f;
    f.factor = factor;
    each(o, x, NULL, n, f);
}

void cuda_zero(struct ops *o, float *x, size_t n)
{
    each(o, x, NULL, n, nothing());
}

void cuda_round(struct ops *o, float *x, size_t n, enum dtype dtype)
{
    assert(dtype == DTYPE_F16 || dtype == DTYPE_BF16);
    if (dtype == DTYPE_F16)
        each(o, x, NULL, n, rounded_f16());
    else
        each(o, x, NULL, n, rounded_bf16());
}

/* ---- A matrix from its master ---- */

/* Unlike a product's factors, what does not fit fp16 becomes infinite, as on the CPU. */
__device__ static uint16_t half_bits(float x, bool f16)
{
    return f16 ? __half_as_ushort(__float2half_rn(x)) : __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

__global__ static void weight_write_kernel(uint16_t *to, const float *from, size_t n, bool f16)
{
    cuda_wait();
    cuda_let_next_start();
    const size_t i = EACH * ((size_t)blockIdx.x * THREADS + threadIdx.x);
    if (i + EACH <= n && aligned(from) && (uintptr_t)to % sizeof(ushort4) == 0) {
        const float4 v = *(const float4 *)(from + i);
        *(ushort4 *)(to + i) = make_ushort4(half_bits(v.x, f16), half_bits(v.y, f16), half_bits(v.z, f16),
                                            half_bits(v.w, f16));
    } else {
        for (size_t j = i; j < n && j < i + EACH; j++)
            to[j] = half_bits(from[j], f16);
    }
}

void cuda_weight_write(struct ops *o, struct weight *w, const float *values)
{
    assert(w->owned_bytes && (w->type == WEIGHT_F32 || w->type == WEIGHT_F16 || w->type == WEIGHT_BF16));
    const size_t n = (size_t)w->O * (size_t)w->I;
    void *to = (void *)(uintptr_t)w->data;
    if (w->type == WEIGHT_F32)
        each(o, (float *)to, values, n, copy_of());
    else if (n)
        cuda_launch(ops_cuda(o), blocks_for(n), THREADS, 0, weight_write_kernel, (uint16_t *)to, values, n,
                    w->type == WEIGHT_F16);
}

/* ---- A product's factors ---- */

/* As cuda_narrow() has them: fp16 saturates, NaN stays. */
__device__ static uint16_t factor_bits(float x, bool f16)
{
    const float most = 65504;
    return half_bits(!f16 ? x : x > most ? most : x < -most ? -most : x, f16);
}

/* At most four numbers of a row, in one piece if they lie in fours; zeros behind the row's end. */
__device__ static float4 four_at(const float *x, int left, bool in_fours)
{
    if (in_fours) return *(const float4 *)x;
    return make_float4(x[0], left > 1 ? x[1] : 0, left > 2 ? x[2] : 0, left > 3 ? x[3] : 0);
}

__device__ static void put_factors(uint16_t *to, float4 x, int left, bool in_fours, bool f16)
{
    const uint16_t bits[EACH] = {factor_bits(x.x, f16), factor_bits(x.y, f16), factor_bits(x.z, f16),
                                 factor_bits(x.w, f16)};
    if (in_fours) {
        *(ushort4 *)to = make_ushort4(bits[0], bits[1], bits[2], bits[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (i < left) to[i] = bits[i];
}

__global__ static void gelu_narrow_kernel(uint16_t *to, const float *z, size_t n, bool f16)
{
    cuda_wait();
    cuda_let_next_start();
    const size_t i = EACH * ((size_t)blockIdx.x * THREADS + threadIdx.x);
    if (i >= n) return;
    const int left = (int)min(n - i, (size_t)EACH);
    const bool in_fours = left == EACH && aligned(z);
    const float4 v = four_at(z + i, left, in_fours);
    put_factors(to + i, make_float4(gelu_new(v.x), gelu_new(v.y), gelu_new(v.z), gelu_new(v.w)), left, in_fours, f16);
}

void cuda_gelu_narrow(struct ops_cuda *c, void *to, const float *z, size_t n, enum cuda_factor as)
{
    assert(as != FACTOR_F32);
    if (n) cuda_launch(c, blocks_for(n), THREADS, 0, gelu_narrow_kernel, (uint16_t *)to, z, n, as == FACTOR_F16);
}

/* ---- AdamW ---- */

struct adamw_floats {
    float part1, part2, scale, eps, decay, per_c1, per_c2, minus_lr;
};

/* The moments move by a part of the way, m + (1 - b1) (g - m): in fp32 b2 m + (1 - b2) g^2 would settle beside g^2, for
 * b2 and 1 - b2, each rounded, do not add up to 1. */
__device__ static void adamw_one(float &p, float &m, float &v, float grad, const adamw_floats &s)
{
    const float g = grad * s.scale;
    m = fmaf(s.part1, g - m, m);
    v = fmaf(s.part2, fmaf(g, g, -v), v);
    const float root = sqrtf(v * s.per_c2) + s.eps;
    p = fmaf(s.minus_lr, fmaf(s.decay, p, m * s.per_c1 / root), p);
}

__global__ static void adamw_kernel(float *p, float *m, float *v, const float *grad, size_t n, adamw_floats s)
{
    cuda_wait();
    cuda_let_next_start();
    const size_t i = EACH * ((size_t)blockIdx.x * THREADS + threadIdx.x);
    if (i + EACH <= n && aligned(p) && aligned(m) && aligned(v) && aligned(grad)) {
        float4 p4 = *(float4 *)(p + i), m4 = *(float4 *)(m + i), v4 = *(float4 *)(v + i);
        const float4 g4 = *(const float4 *)(grad + i);
        adamw_one(p4.x, m4.x, v4.x, g4.x, s);
        adamw_one(p4.y, m4.y, v4.y, g4.y, s);
        adamw_one(p4.z, m4.z, v4.z, g4.z, s);
        adamw_one(p4.w, m4.w, v4.w, g4.w, s);
        *(float4 *)(p + i) = p4;
        *(float4 *)(m + i) = m4;
        *(float4 *)(v + i) = v4;
    } else {
        for (size_t j = i; j < n && j < i + EACH; j++)
            adamw_one(p[j], m[j], v[j], grad[j], s);
    }
}

void cuda_adamw(struct ops *o, float *p, float *m, float *v, const float *grad, size_t n, const struct adamw_step *s,
                struct weight *copy)
{
    const adamw_floats floats = {
        (float)(1 - s->beta1),       (float)(1 - s->beta2),       (float)s->scale, (float)s->eps, (float)s->decay,
        (float)(1 / s->correction1), (float)(1 / s->correction2), (float)-s->lr};
    if (n) cuda_launch(ops_cuda(o), blocks_for(n), THREADS, 0, adamw_kernel, p, m, v, grad, n, floats);
    if (copy) cuda_weight_write(o, copy, p);
}

/* ---- Sums of squares ---- */

/* The sum over a block, in its first thread. shared: one a warp. */
__device__ static double block_sum_double(double x, double *shared)
{
    const int warps = (int)blockDim.x / WARP, warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    for (int d = WARP / 2; d; d /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, d);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    x = lane < warps ? shared[lane] : 0;
    for (int d = WARP / 2; d; d /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, d);
    __syncthreads();
    return x;
}

enum { SQUARES = 1 << 14 }; /* elements of a block, whatever the device: the sum is then the same on all of them */

/* Four elements, zeros behind the end. */
__device__ static float4 four_of(const float *x, size_t i, size_t n)
{
    if (i + EACH <= n && aligned(x)) return *(const float4 *)(x + i);
    return make_float4(i < n ? x[i] : 0, i + 1 < n ? x[i + 1] : 0, i + 2 < n ? x[i + 2] : 0, i + 3 < n ? x[i + 3] : 0);
}

__global__ static void squares_kernel(double *part, const float *x, size_t n)
{
    __shared__ double sums[WARP];
    cuda_wait();
    cuda_let_next_start();
    const size_t at = (size_t)blockIdx.x * SQUARES;
    double a = 0, b = 0;
#pragma unroll 4
    for (int i = threadIdx.x * EACH; i < SQUARES; i += THREADS * EACH) {
        const float4 v = four_of(x, at + i, n);
        a = fma((double)v.x, (double)v.x, a);
        b = fma((double)v.y, (double)v.y, b);
        a = fma((double)v.z, (double)v.z, a);
        b = fma((double)v.w, (double)v.w, b);
    }
    a = block_sum_double(a + b, sums);
    if (threadIdx.x == 0) part[blockIdx.x] = a;
}

/* One block adds n partial sums. */
__global__ static void parts_sum_kernel(double *sum, const double *part, size_t n)
{
    __shared__ double sums[WARP];
    cuda_wait();
    cuda_let_next_start();
    double a = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        a += part[i];
    a = block_sum_double(a, sums);
    if (threadIdx.x == 0) *sum = a;
}

double cuda_sum_squares(struct ops *o, const float *x, size_t n)
{
    if (!n) return 0;
    struct ops_cuda *c = ops_cuda(o);
    const size_t parts = (n + SQUARES - 1) / SQUARES;
    double *part = (double *)cuda_scratch(c, &c->partial, &c->partial_bytes, (parts + 1) * sizeof *part), sum = 0;
    cuda_launch(c, (unsigned)parts, THREADS, 0, squares_kernel, part, x, n);
    cuda_launch(c, 1, 1024, 0, parts_sum_kernel, part + parts, part, parts);
    o->fn->read(o, &sum, part + parts, sizeof sum);
    return sum;
}

/* ---- Sums of columns ---- */

enum { SUM_COLUMNS = 32, SUM_LANES = 16, SUM_ROWS = 256 }; /* of a block; SUM_ROWS so that few columns fill a device */

/* part[2 or 1][gridDim.y][n]: the sums over a block's rows of dy, and of dy times the normed x. */
template <bool NORM>
__global__ static void columns_kernel(double *part, const float *dy, const float *x, const float *stats, int T, int n)
{
    __shared__ double sums[NORM ? 2 : 1][SUM_LANES][SUM_COLUMNS];
    cuda_wait();
    cuda_let_next_start();
    const int column = blockIdx.x * SUM_COLUMNS + threadIdx.x, lane = threadIdx.y;
    const int first = blockIdx.y * SUM_ROWS, end = min(T, first + SUM_ROWS);
    double b = 0, w = 0;
    if (column < n) {
#pragma unroll 4
        for (int t = first + lane; t < end; t += SUM_LANES) {
            const double d = dy[(size_t)t * n + column];
            b += d;
            if (NORM) w += d * (((double)x[(size_t)t * n + column] - (double)stats[2 * t]) * (double)stats[2 * t + 1]);
        }
    }
    sums[0][lane][threadIdx.x] = b;
    if (NORM) sums[NORM ? 1 : 0][lane][threadIdx.x] = w;
    __syncthreads();
    if (lane >= (NORM ? 2 : 1) || column >= n) return;
    double sum = 0;
    for (int i = 0; i < SUM_LANES; i++)
        sum += sums[lane][i][threadIdx.x];
    part[((size_t)lane * gridDim.y + blockIdx.y) * n + column] = sum;
}

/* b[n] += the first sums, w[n] += the second; w may be NULL. */
__global__ static void columns_end_kernel(float *b, float *w, const double *part, int parts, int n)
{
    cuda_wait();
    cuda_let_next_start();
    const int column = blockIdx.x * THREADS + threadIdx.x;
    if (column >= n) return;
    for (int which = 0; which < (w ? 2 : 1); which++) {
        double sum = 0;
        for (int i = 0; i < parts; i++)
            sum += part[((size_t)which * parts + i) * n + column];
        float *to = which ? w : b;
        to[column] = (float)((double)to[column] + sum);
    }
}

static void columns_sum(struct ops_cuda *c, float *b, float *w, const float *dy, const float *x, const float *stats,
                        int T, int n)
{
    const int parts = (T + SUM_ROWS - 1) / SUM_ROWS, blocks = (n + SUM_COLUMNS - 1) / SUM_COLUMNS;
    if (!parts || !blocks) return;
    double *part = (double *)cuda_scratch(c, &c->partial, &c->partial_bytes,
                                          (size_t)parts * (size_t)n * (w ? 2 : 1) * sizeof(double));
    cuda_launch(c, dim3(blocks, parts), dim3(SUM_COLUMNS, SUM_LANES), 0,
                w ? columns_kernel<true> : columns_kernel<false>, part, dy, x, stats, T, n);
    cuda_launch(c, (n + THREADS - 1) / THREADS, THREADS, 0, columns_end_kernel, b, w, part, parts, n);
}

void cuda_rows_sum(struct ops_cuda *c, float *sum, const float *x, int T, int n)
{
    columns_sum(c, sum, NULL, x, NULL, NULL, T, n);
}

/* A block narrows NARROW_ROWS rows of four columns a lane, and adds them up on the way: part[gridDim.y][n]. A warp has
 * several rows on their way at a time. */
enum { NARROW_ROWS = 64, NARROW_WARPS = THREADS / WARP, NARROW_COLUMNS = EACH * WARP, NARROW_AHEAD = 4 };

template <bool GELU, bool SUM, bool IN_FOURS>
__global__ static void __launch_bounds__(THREADS)
    narrow_rows_kernel(uint16_t *to, double *part, const float *dy, const float *z, int T, int n, bool f16)
{
    cuda_wait();
    cuda_let_next_start();
    const int warp = threadIdx.x / WARP, mine = threadIdx.x % WARP * EACH, column = blockIdx.x * NARROW_COLUMNS + mine;
    const int left = n - column, end = min(T, (int)(blockIdx.y + 1) * NARROW_ROWS);
    double sum[EACH] = {};
    for (int t = blockIdx.y * NARROW_ROWS + warp; t < end && left > 0; t += NARROW_AHEAD * NARROW_WARPS) {
        float4 x[NARROW_AHEAD] = {}, v[NARROW_AHEAD] = {};
        const size_t at = (size_t)t * n + column, apart = (size_t)NARROW_WARPS * n;
#pragma unroll
        for (int i = 0; i < NARROW_AHEAD; i++) {
            if (t + i * NARROW_WARPS >= end) continue;
            x[i] = four_at(dy + at + i * apart, left, IN_FOURS);
            if (GELU) v[i] = four_at(z + at + i * apart, left, IN_FOURS);
        }
#pragma unroll
        for (int i = 0; i < NARROW_AHEAD; i++) {
            if (t + i * NARROW_WARPS >= end) continue;
            const gelu_back_of f;
            if (GELU) x[i] = make_float4(f(x[i].x, v[i].x), f(x[i].y, v[i].y), f(x[i].z, v[i].z), f(x[i].w, v[i].w));
            put_factors(to + at + i * apart, x[i], left, IN_FOURS, f16);
            sum[0] += x[i].x;
            sum[1] += x[i].y;
            sum[2] += x[i].z;
            sum[3] += x[i].w;
        }
    }
    if constexpr (SUM) {
        __shared__ double sums[NARROW_WARPS][NARROW_COLUMNS];
#pragma unroll
        for (int i = 0; i < EACH; i++)
            sums[warp][mine + i] = sum[i];
        __syncthreads();
        const int whose = blockIdx.x * NARROW_COLUMNS + threadIdx.x;
        if (threadIdx.x >= NARROW_COLUMNS || whose >= n) return;
        double all = 0;
        for (int i = 0; i < NARROW_WARPS; i++)
            all += sums[i][threadIdx.x];
        part[(size_t)blockIdx.y * n + whose] = all;
    }
}

typedef void narrow_rows_fn(uint16_t *to, double *part, const float *dy, const float *z, int T, int n, bool f16);

template <bool IN_FOURS> static narrow_rows_fn *narrow_rows_for(bool gelu, bool sum)
{
    if (gelu) return sum ? narrow_rows_kernel<true, true, IN_FOURS> : narrow_rows_kernel<true, false, IN_FOURS>;
    return sum ? narrow_rows_kernel<false, true, IN_FOURS> : narrow_rows_kernel<false, false, IN_FOURS>;
}

void cuda_narrow_rows(struct ops_cuda *c, void *to, float *sum, const float *dy, const float *z, int T, int n,
                      enum cuda_factor as)
{
    const int parts = (T + NARROW_ROWS - 1) / NARROW_ROWS, blocks = (n + NARROW_COLUMNS - 1) / NARROW_COLUMNS;
    const bool in_fours = n % EACH == 0 && ((uintptr_t)dy | (uintptr_t)z) % sizeof(float4) == 0;
    assert(as != FACTOR_F32);
    if (!parts || !blocks) return;
    double *part = NULL;
    if (sum) part = (double *)cuda_scratch(c, &c->partial, &c->partial_bytes, (size_t)parts * (size_t)n * sizeof *part);
    cuda_launch(c, dim3(blocks, parts), THREADS, 0,
                in_fours ? narrow_rows_for<true>(z, sum) : narrow_rows_for<false>(z, sum), (uint16_t *)to, part, dy, z,
                T, n, as == FACTOR_F16);
    if (sum)
        cuda_launch(c, (n + THREADS - 1) / THREADS, THREADS, 0, columns_end_kernel, sum, (float *)NULL, part, parts, n);
}

/* ---- Layer norm ---- */

/* A block has a row, which stays in the first-level cache from pass to pass. */
__global__ static void layer_norm_back_kernel(float *dx, float *stats, const float *dy, const float *x, const float *w,
                                              int D, float eps)
{
    __shared__ float sums[WARP];
    cuda_wait();
    cuda_let_next_start();
    const size_t at = (size_t)blockIdx.x * D;
    dx += at;
    dy += at;
    x += at;
    float g_sum = 0, gx_sum = 0;
    const float2 moments = row_moments(x, D, eps, sums);
    const float mean = moments.x, scale = moments.y;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
        const float g = dy[i] * w[i];
        g_sum += g;
        gx_sum += g * ((x[i] - mean) * scale);
    }
    const float g_mean = block_sum(g_sum, sums) / D, gx_mean = block_sum(gx_sum, sums) / D;
    for (int i = threadIdx.x; i < D; i += blockDim.x)
        dx[i] += scale * (dy[i] * w[i] - g_mean - (x[i] - mean) * scale * gx_mean);
    if (threadIdx.x == 0) {
        stats[2 * (size_t)blockIdx.x] = mean;
        stats[2 * (size_t)blockIdx.x + 1] = scale;
    }
}

void cuda_layer_norm_back(struct ops *o, float *dx, float *dw, float *db, const float *dy, const float *x,
                          const struct weight *w, float *stats, int T, float eps)
{
    struct ops_cuda *c = ops_cuda(o);
    const int D = w->O, threads = D >= 2048 ? 512 : 128;
    if (!T) return;
    cuda_launch(c, T, threads, 0, layer_norm_back_kernel, dx, stats, dy, x, (const float *)w->data, D, eps);
    if (dw) columns_sum(c, db, dw, dy, x, stats, T, D);
}

/* ---- Rotary ---- */

__global__ static void rotary_back_kernel(float *x, const float *sin, const float *cos, const int32_t *position, int H,
                                          int K, int R)
{
    cuda_wait();
    cuda_let_next_start();
    const int pairs = R / 2;
    const size_t at = (size_t)position[blockIdx.x] * pairs;
    for (int i = threadIdx.x; i < H * pairs; i += blockDim.x) {
        const int h = i / pairs, j = i % pairs;
        float *pair = x + ((size_t)blockIdx.x * H + h) * K + 2 * j;
        const float s = sin[at + j], c = cos[at + j], even = pair[0], odd = pair[1];
        pair[0] = even * c + odd * s;
        pair[1] = odd * c - even * s;
    }
}

void cuda_rotary_back(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T,
                      int H, int K, int R)
{
    struct ops_cuda *c = ops_cuda(o);
    if (T < 1 || R < 2) return;
    const int32_t *positions = (const int32_t *)cuda_mirror(c, position, (size_t)T * sizeof *position);
    cuda_launch(c, T, THREADS, 0, rotary_back_kernel, x, sin, cos, positions, H, K, R);
}

/* ---- The ends of the model ---- */

/* list: the tokens, where the rows of each begin and the last end, the rows. */
__global__ static void embed_back_kernel(float *dwte, const float *dx, const int32_t *list, int tokens, int D)
{
    cuda_wait();
    cuda_let_next_start();
    const int32_t *begin = list + tokens, *row = begin + tokens + 1;
    const int column = blockIdx.y * THREADS + threadIdx.x, end = begin[blockIdx.x + 1];
    if (column >= D) return;
    float *to = dwte + (size_t)list[blockIdx.x] * D + column, sum = *to;
#pragma unroll 8
    for (int i = begin[blockIdx.x]; i < end; i++)
        sum += dx[(size_t)row[i] * D + column];
    *to = sum;
}

void cuda_embed_rows_add(struct ops_cuda *c, float *dwte, const float *dx, const int32_t *list, int tokens, int D)
{
    cuda_launch(c, dim3(tokens, (D + THREADS - 1) / THREADS), THREADS, 0, embed_back_kernel, dwte, dx, list, tokens, D);
}

__global__ static void scatter_kernel(float *y, const float *x, const int32_t *index, int D)
{
    cuda_wait();
    cuda_let_next_start();
    float *to = y + (size_t)index[blockIdx.x] * D;
    for (int i = threadIdx.x; i < D; i += blockDim.x)
        to[i] = x[(size_t)blockIdx.x * D + i];
}

void cuda_scatter(struct ops *o, float *y, const float *x, const int32_t *index, int n, int D)
{
    struct ops_cuda *c = ops_cuda(o);
    if (n < 1) return;
    const int32_t *rows = (const int32_t *)cuda_mirror(c, index, (size_t)n * sizeof *index);
    cuda_launch(c, n, THREADS, 0, scatter_kernel, y, x, rows, D);
}

enum { LOSS_THREADS = 1024 };

/* A row is read once and stays in shared memory, if it is staged: a thread meets the same elements in all passes, so
 * nobody waits for anybody else's. A NaN is larger than nothing, but makes one of the sum, as infinities do. */
template <bool STAGED>
__global__ static void __launch_bounds__(LOSS_THREADS)
    cross_entropy_kernel(double *loss, float *z, const int32_t *target, int V, float scale)
{
    extern __shared__ float4 staged[];
    __shared__ float maxima[WARP];
    __shared__ double sums[WARP];
    cuda_wait();
    cuda_let_next_start();
    z += (size_t)blockIdx.x * V;
    const int wanted = target[blockIdx.x], fours = aligned(z) ? V / EACH : 0, warp = threadIdx.x / WARP;
    const float at_target = z[wanted];
    float4 *z4 = (float4 *)z, *row4 = STAGED ? staged : z4;
    float *row = (float *)row4, most = -INFINITY;
    for (int i = threadIdx.x; i < fours; i += LOSS_THREADS) {
        const float4 v = z4[i];
        if (STAGED) row4[i] = v;
        most = fmaxf(fmaxf(most, fmaxf(v.x, v.y)), fmaxf(v.z, v.w));
    }
    for (int i = EACH * fours + threadIdx.x; i < V; i += LOSS_THREADS) {
        const float v = z[i];
        if (STAGED) row[i] = v;
        most = fmaxf(most, v);
    }
    most = warp_max(most);
    if (threadIdx.x % WARP == 0) maxima[warp] = most;
    __syncthreads();
    most = warp_max(maxima[threadIdx.x % WARP]);

    double sum = 0;
    for (int i = threadIdx.x; i < fours; i += LOSS_THREADS) {
        const float4 v = row4[i];
        sum += (double)expf(v.x - most) + (double)expf(v.y - most);
        sum += (double)expf(v.z - most) + (double)expf(v.w - most);
    }
    for (int i = EACH * fours + threadIdx.x; i < V; i += LOSS_THREADS)
        sum += (double)expf(row[i] - most);
    sum = block_sum_double(sum, sums);

    const float factor = (float)((double)scale / sum);
    for (int i = threadIdx.x; i < fours; i += LOSS_THREADS) {
        const float4 v = row4[i];
        const int k = wanted - EACH * i;
        z4[i] = make_float4(
            fmaf(expf(v.x - most), factor, k == 0 ? -scale : 0), fmaf(expf(v.y - most), factor, k == 1 ? -scale : 0),
            fmaf(expf(v.z - most), factor, k == 2 ? -scale : 0), fmaf(expf(v.w - most), factor, k == 3 ? -scale : 0));
    }
    for (int i = EACH * fours + threadIdx.x; i < V; i += LOSS_THREADS)
        z[i] = fmaf(expf(row[i] - most), factor, i == wanted ? -scale : 0);
    if (threadIdx.x == 0) loss[blockIdx.x] = (double)most + log(sum) - (double)at_target;
}

void cuda_cross_entropy(struct ops *o, double *loss, float *z, const int32_t *target, int T, int V, float scale)
{
    struct ops_cuda *c = ops_cuda(o);
    if (T < 1) return;
    enum { STATIC = 1024 }; /* more than the kernel's own shared memory */
    int device = 0, most = 0;
    cuda_must(cudaGetDevice(&device), "device");
    cuda_must(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
    const size_t bytes = ((size_t)V * sizeof *z + sizeof(float4) - 1) / sizeof(float4) * sizeof(float4);
    const bool staged = bytes + STATIC <= (size_t)most;
    const int32_t *targets = (const int32_t *)cuda_mirror(c, target, (size_t)T * sizeof *target);
    double *losses = (double *)cuda_scratch(c, &c->partial, &c->partial_bytes, (size_t)T * sizeof *losses);
    if (staged)
        cuda_must(cudaFuncSetAttribute((const void *)cross_entropy_kernel<true>,
                                       cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                  "shared memory");
    cuda_launch(c, T, LOSS_THREADS, staged ? bytes : 0,
                staged ? cross_entropy_kernel<true> : cross_entropy_kernel<false>, losses, z, targets, V, scale);
    o->fn->read(o, loss, losses, (size_t)T * sizeof *loss);
}
