// SPDX-License-Identifier: Apache-2.0
/* Attention's backward pass over one sequence (Dao et al. 2022), with p = exp(scale q.k - lse), ds = p (dy.v - delta):
 *
 *     dv = p^T dy    dk = scale ds^T q    dq = scale ds k        delta = dy.y
 *
 * One kernel's blocks have some positions each and pass all rows that see any of them, for dk and dv; another's have
 * some rows each and pass what they see, for dq. So p and ds are computed twice, but no sum is shared between blocks:
 * there are no atomics, and the result is the same every time. Because lo and hi do not decrease, the rows that see a
 * page stand together.
 *
 * In fp32, for heads of any size, threads multiply out of shared memory. With factors in bf16 the tensor cores do, for
 * heads of 64, 128 and 256. */
#include <assert.h>
#include <limits.h>
#include <math.h>

#include "ops/cuda/attention_back_tiles.cuh"

/* ---- In fp32 ---- */

enum { TILE = KV_PAGE, GROUP = 32 /* components that eight threads have of a row, four each */ };

/* A tile's row in shared memory: whole float4s, and an odd number of them, so that eight rows meet in no bank. */
__host__ __device__ static int tile_stride(int K)
{
    const int fours = (K + 3) / 4;
    return 4 * (fours % 2 ? fours : fours + 1);
}

struct tiles {
    float *q, *dy, *k, *v; /* [TILE][stride] */
    float *p, *ds;         /* [row][TILE + 1] */
    float *lse, *delta;    /* [TILE] */
    int *lo, *hi;          /* [TILE] */
    int stride, width;     /* width: components with their filling, which is 0 */
};

static size_t tiles_bytes(int K)
{
    return sizeof(float) * (4 * (size_t)TILE * (size_t)tile_stride(K) + 2 * TILE * (TILE + 1) + 4 * TILE);
}

__device__ static tiles tiles_in(float *shared, int K)
{
    tiles x;
    x.stride = tile_stride(K);
    x.width = (K + 3) / 4 * 4;
    x.q = shared;
    x.dy = x.q + TILE * x.stride;
    x.k = x.dy + TILE * x.stride;
    x.v = x.k + TILE * x.stride;
    x.p = x.v + TILE * x.stride;
    x.ds = x.p + TILE * (TILE + 1);
    x.lse = x.ds + TILE * (TILE + 1);
    x.delta = x.lse + TILE;
    x.lo = (int *)(x.delta + TILE);
    x.hi = x.lo + TILE;
    return x;
}

/* `rows` rows of K components, apart from each other; the rest of the tile is 0. */
__device__ static void tile_load(float *to, int stride, const float *from, size_t apart, int rows, int K)
{
    for (int r = threadIdx.x / WARP; r < TILE; r += TILE_THREADS / WARP)
        for (int k = threadIdx.x % WARP; k < stride; k += WARP)
            to[r * stride + k] = r < rows && k < K ? from[r * apart + k] : 0;
}

/* Rows t .. of head h. Those behind the last see nothing. */
__device__ static void tile_load_rows(const tiles &x, const back &a, const float *delta, int t, int h)
{
    const size_t apart = (size_t)a.H * a.K, at = (size_t)t * apart + (size_t)h * a.K;
    tile_load(x.q, x.stride, a.q + at, apart, a.T - t, a.K);
    tile_load(x.dy, x.stride, a.dy + at, apart, a.T - t, a.K);
    if (threadIdx.x >= TILE) return;
    const int r = threadIdx.x;
    const bool there = t + r < a.T;
    x.lse[r] = there ? a.lse[(size_t)(t + r) * a.H + h] : 0;
    x.delta[r] = there ? delta[(size_t)(t + r) * a.H + h] : 0;
    x.lo[r] = there ? a.lo[t + r] : INT_MAX;
    x.hi[r] = there ? a.hi[t + r] : 0;
}

/* The page of positions at .. of head h. What lies behind the sequence's end may be anything and is not read. */
__device__ static void tile_load_page(const tiles &x, const back &a, int at, int h)
{
    const size_t stride = (a.K + KV_COLUMN - 1) / KV_COLUMN * KV_COLUMN;
    const size_t from = ((size_t)a.pages[at / KV_PAGE] * a.H + h) * stride * KV_PAGE;
    tile_load(x.k, x.stride, a.k + from, stride, a.T - at, a.K);
    tile_load(x.v, x.stride, a.v + from, stride, a.T - at, a.K);
}

__device__ static float4 add4(float4 sum, float w, float4 x)
{
    return make_float4(fmaf(w, x.x, sum.x), fmaf(w, x.y, sum.y), fmaf(w, x.z, sum.z), fmaf(w, x.w, sum.w));
}

__device__ static bool sees(const tiles &x, int row, int s)
{
    return x.lo[row] <= s && s < x.hi[row];
}

/* p and ds, both rows against positions at .. : a thread computes two by two of each. */
__device__ static void tile_weights(const tiles &x, int at, float scale)
{
    const int row = threadIdx.x / 16, s = threadIdx.x % 16;
    float score[2][2] = {}, dp[2][2] = {};
    for (int k = 0; k < x.width; k += 4) {
        float4 q[2], dy[2], key[2], value[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            q[i] = *(const float4 *)&x.q[(row + 16 * i) * x.stride + k];
            dy[i] = *(const float4 *)&x.dy[(row + 16 * i) * x.stride + k];
            key[i] = *(const float4 *)&x.k[(s + 16 * i) * x.stride + k];
            value[i] = *(const float4 *)&x.v[(s + 16 * i) * x.stride + k];
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                score[i][j] = dot4(q[i], key[j], score[i][j]);
                dp[i][j] = dot4(dy[i], value[j], dp[i][j]);
            }
    }
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int r = row + 16 * i, c = s + 16 * j;
            const bool seen = sees(x, r, at + c);
            const float p = seen ? expf(score[i][j] * scale - x.lse[r]) : 0;
            x.p[r * (TILE + 1) + c] = p;
            x.ds[r * (TILE + 1) + c] = seen ? p * (dp[i][j] - x.delta[r]) * scale : 0;
        }
}

/* Row t of head h of an output, of which this thread has four components of each group. */
template <int GROUPS>
__device__ static void row_store(float *to, const float4 *x, const back &a, int t, int h, int column)
{
    if (t >= a.T) return;
    to += ((size_t)t * a.H + h) * a.K;
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        const int k = GROUP * g + column;
        if (k < a.K) to[k] = x[g].x;
        if (k + 1 < a.K) to[k + 1] = x[g].y;
        if (k + 2 < a.K) to[k + 2] = x[g].z;
        if (k + 3 < a.K) to[k + 3] = x[g].w;
    }
}

/* In all loops over a tile below, a pair that does not see each other is passed over rather than added with weight 0:
 * an infinity in one row must not make NaNs in others. What threads read beyond a row's end they do not store. */
template <int GROUPS>
__global__ static void __launch_bounds__(TILE_THREADS, 1) fp32_dq_kernel(back a, const float *delta)
{
    extern __shared__ float4 memory[];
    cuda_wait();
    cuda_let_next_start();
    const tiles x = tiles_in((float *)memory, a.K);
    const int h = blockIdx.x, t = (gridDim.y - 1 - blockIdx.y) * TILE; /* causal rows at the end have most to do */
    const int row = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
    tile_load_rows(x, a, delta, t, h);
    float4 dq[GROUPS] = {};
    const int end = a.hi[min(t + TILE, a.T) - 1];
    for (int at = a.lo[t] / TILE * TILE; at < end; at += TILE) {
        __syncthreads();
        tile_load_page(x, a, at, h);
        __syncthreads();
        tile_weights(x, at, a.scale);
        __syncthreads();
        for (int s = 0; s < TILE; s++) {
            if (!sees(x, row, at + s)) continue;
            const float w = x.ds[row * (TILE + 1) + s];
#pragma unroll
            for (int g = 0; g < GROUPS; g++)
                dq[g] = add4(dq[g], w, *(const float4 *)&x.k[s * x.stride + GROUP * g + column]);
        }
    }
    row_store<GROUPS>(a.dq, dq, a, t + row, h, column);
}

template <int GROUPS>
__global__ static void __launch_bounds__(TILE_THREADS, 1) fp32_dkv_kernel(back a, const float *delta)
{
    extern __shared__ float4 memory[];
    __shared__ int counts[2 * TILE_THREADS / WARP];
    cuda_wait();
    cuda_let_next_start();
    const tiles x = tiles_in((float *)memory, a.K);
    const int h = blockIdx.x, at = blockIdx.y * TILE;
    const int s = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
    const rows_range rows = rows_that_see(a.lo, a.hi, a.T, at, TILE, counts);
    tile_load_page(x, a, at, h);
    float4 dk[GROUPS] = {}, dv[GROUPS] = {};
    for (int t = rows.first / TILE * TILE; t < rows.end; t += TILE) {
        __syncthreads();
        tile_load_rows(x, a, delta, t, h);
        __syncthreads();
        tile_weights(x, at, a.scale);
        __syncthreads();
        for (int r = 0; r < TILE; r++) {
            if (!sees(x, r, at + s)) continue;
            const float p = x.p[r * (TILE + 1) + s], ds = x.ds[r * (TILE + 1) + s];
#pragma unroll
            for (int g = 0; g < GROUPS; g++) {
                dk[g] = add4(dk[g], ds, *(const float4 *)&x.q[r * x.stride + GROUP * g + column]);
                dv[g] = add4(dv[g], p, *(const float4 *)&x.dy[r * x.stride + GROUP * g + column]);
            }
        }
    }
    row_store<GROUPS>(a.dk, dk, a, at + s, h, column);
    row_store<GROUPS>(a.dv, dv, a, at + s, h, column);
}

/* delta[n] = dy.y of K components, a warp each. */
__global__ static void __launch_bounds__(TILE_THREADS)
    delta_kernel(float *delta, const float *dy, const float *y, int n, int K)
{
    cuda_wait();
    cuda_let_next_start();
    const int i = blockIdx.x * (TILE_THREADS / WARP) + threadIdx.x / WARP;
    if (i >= n) return;
    float sum = 0;
    for (int k = threadIdx.x % WARP; k < K; k += WARP)
        sum = fmaf(dy[(size_t)i * K + k], y[(size_t)i * K + k], sum);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) delta[i] = sum;
}

static void allow_shared(const void *kernel, size_t bytes)
{
    cuda_must(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes), "shared memory");
}

template <int GROUPS> static void fp32_launch(struct ops_cuda *c, const back &a, const float *delta)
{
    const dim3 grid(a.H, (a.T + TILE - 1) / TILE);
    const size_t bytes = tiles_bytes(a.K);
    allow_shared((const void *)fp32_dkv_kernel<GROUPS>, bytes);
    allow_shared((const void *)fp32_dq_kernel<GROUPS>, bytes);
    cuda_launch(c, grid, TILE_THREADS, bytes, fp32_dkv_kernel<GROUPS>, a, delta);
    cuda_launch(c, grid, TILE_THREADS, bytes, fp32_dq_kernel<GROUPS>, a, delta);
}

static void fp32_back(struct ops_cuda *c, const back &a)
{
    const int n = a.T * a.H, warps = TILE_THREADS / WARP;
    float *delta = (float *)cuda_scratch(c, &c->partial, &c->partial_bytes, (size_t)n * sizeof *delta);
    cuda_launch(c, (n + warps - 1) / warps, TILE_THREADS, 0, delta_kernel, delta, a.dy, a.y, n, a.K);
    assert(a.K <= 256);
    if (a.K <= 32)
        fp32_launch<1>(c, a, delta);
    else if (a.K <= 64)
        fp32_launch<2>(c, a, delta);
    else if (a.K <= 128)
        fp32_launch<4>(c, a, delta);
    else
        fp32_launch<8>(c, a, delta);
}

/* ---- Choosing ---- */

template <int K, int STAGES> static void bf16_launch(struct ops_cuda *c, const back &a, const halves &x)
{
    typedef dkv_shape<K> dkv;
    typedef dq_shape<K> dq;
    const int warps = TILE_THREADS / WARP, tiles = (a.T + dq::ROWS - 1) / dq::ROWS;
    const size_t dkv_bytes = dkv::bytes(STAGES), dq_bytes = dq::bytes(STAGES);
    allow_shared((const void *)dkv_kernel<K, STAGES>, dkv_bytes);
    allow_shared((const void *)dq_kernel<K, STAGES>, dq_bytes);
    cuda_launch(c, (x.rows * a.H + warps - 1) / warps, TILE_THREADS, 0, halves_kernel<K>, a, x);
    cuda_launch(c, dim3(a.H, (a.T + dkv::POSITIONS - 1) / dkv::POSITIONS), WARP * dkv::WARPS, dkv_bytes,
                dkv_kernel<K, STAGES>, a, x);
    const bool at_once = tiles * a.H > c->sms && tiles * a.H <= 2 * c->sms && K != 256;
    cuda_launch(c, dim3(a.H, tiles), WARP * dq::WARPS, dq_bytes, dq_kernel<K, STAGES>, a, x, at_once);
}

/* Whether it was done: not on a device with less shared memory than one stage takes. */
template <int K> static bool bf16_back(struct ops_cuda *c, const back &a)
{
    enum { OTHER = 256 }; /* at least what a kernel has besides */
    int device = 0, most = 0;
    cuda_must(cudaGetDevice(&device), "device");
    cuda_must(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
    const size_t one = dkv_shape<K>::bytes(1) > dq_shape<K>::bytes(1) ? dkv_shape<K>::bytes(1) : dq_shape<K>::bytes(1);
    const size_t two = dkv_shape<K>::bytes(2) > dq_shape<K>::bytes(2) ? dkv_shape<K>::bytes(2) : dq_shape<K>::bytes(2);
    if (one + OTHER > (size_t)most) return false;
    const int rows = (a.T + PAD - 1) / PAD * PAD;
    void *memory = cuda_scratch(c, &c->partial, &c->partial_bytes, halves_bytes(rows, a.H, K));
    const halves x = halves_in(memory, rows, a.H, K);
    if (two + OTHER <= (size_t)most)
        bf16_launch<K, 2>(c, a, x);
    else
        bf16_launch<K, 1>(c, a, x);
    return true;
}

/* Rows of an array that lies as allocated are read four components at a time. */
static bool in_fours(const back &a)
{
    return (((uintptr_t)a.dq | (uintptr_t)a.dk | (uintptr_t)a.dv | (uintptr_t)a.dy | (uintptr_t)a.y | (uintptr_t)a.q |
             (uintptr_t)a.k | (uintptr_t)a.v) %
            sizeof(float4)) == 0;
}

void cuda_attention_back(struct ops *o, float *dq, float *dk, float *dv, const float *dy, const float *y,
                         const float *q, const float *lse, const struct kv_pages *kv, const struct batch *batch,
                         int first, int T, int H, int K)
{
    struct ops_cuda *c = ops_cuda(o);
    if (T < 1) return;
    assert(kv->dtype == DTYPE_F32);
    const int32_t *pages = batch->pages[batch->sequence[first]];
    const size_t rows = (size_t)batch->T * sizeof(int32_t), n_pages = ((size_t)T + KV_PAGE - 1) / KV_PAGE;
    back a = {};
    a.dq = dq;
    a.dk = dk;
    a.dv = dv;
    a.dy = dy;
    a.y = y;
    a.q = q;
    a.lse = lse;
    a.k = (const float *)kv->k;
    a.v = (const float *)kv->v;
    a.lo = (const int32_t *)cuda_mirror(c, batch->lo, rows) + first;
    a.hi = (const int32_t *)cuda_mirror(c, batch->hi, rows) + first;
    a.pages = (const int32_t *)cuda_mirror(c, pages, n_pages * sizeof *pages);
    a.T = T;
    a.H = H;
    a.K = K;
    a.scale = 1 / sqrtf((float)K);
    const bool tensors = c->compute == COMPUTE_BF16 && in_fours(a);
    if (tensors && K == 64 && bf16_back<64>(c, a)) return;
    if (tensors && K == 128 && bf16_back<128>(c, a)) return;
    if (tensors && K == 256 && bf16_back<256>(c, a)) return;
    fp32_back(c, a);
}
