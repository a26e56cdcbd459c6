// SPDX-License-Identifier: Apache-2.0
/* Attention's backward pass by tensor cores; attention_back.cu says how it goes. */
#ifndef GPTJT_OPS_CUDA_ATTENTION_BACK_TILES_CUH
#define GPTJT_OPS_CUDA_ATTENTION_BACK_TILES_CUH

#include "ops/cuda/attention_back.cuh"

/* ---- The tensor cores ----
 *
 * Factors lie in shared memory, a row's K components side by side and SKEW more between rows, so that the eight rows a
 * matrix is loaded from meet in no bank. A warp's products are of 32 rows, two fragments of 16, because each fragment
 * of the other factor is then loaded once for two instructions: loading is what bounds them. */

enum { SKEW = 8, PAD = 128 /* rows are filled up to a multiple of */ };

typedef __nv_bfloat16 bf16;

__device__ inline uint32_t address_of(const void *shared)
{
    return (uint32_t)__cvta_generic_to_shared(shared);
}

/* Four 8x8 matrices; lanes 8i .. 8i + 7 say where the rows of the i-th lie. */
__device__ inline void load4(uint32_t (&x)[4], uint32_t at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
}

/* The same, each transposed. */
__device__ inline void load4_across(uint32_t (&x)[4], uint32_t at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
}

/* z[16][8] += x[16][16] w[16][8]. Lane 4g + i has z[g][2i], z[g][2i + 1], z[g + 8][2i], z[g + 8][2i + 1]. */
__device__ inline void multiply(float (&z)[4], const uint32_t (&x)[4], uint32_t w0, uint32_t w1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(z[0]), "+f"(z[1]), "+f"(z[2]), "+f"(z[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(w0), "r"(w1));
}

/* What this lane adds, in elements, to where a warp's factor begins: for a row factor, and for one that lies across,
 * 16 rows of 16; for a column factor, 16 outputs (rows, as they lie) of 16. */
__device__ inline int row_lane(int stride)
{
    const int lane = threadIdx.x % WARP;
    return lane % 16 * stride + lane / 16 * 8;
}

__device__ inline int column_lane(int stride)
{
    const int lane = threadIdx.x % WARP;
    return (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8;
}

/* z[32][8 N] += x[32][K] w[8 N][K]^T; x and w are addresses with row_lane and column_lane, both of this stride. */
template <int K, int N, int STRIDE> __device__ inline void add_product(float (&z)[2][N][4], uint32_t x, uint32_t w)
{
#pragma unroll
    for (int k = 0; k < K; k += 16) {
        uint32_t xs[2][4], ws[N / 2][4];
#pragma unroll
        for (int i = 0; i < 2; i++)
            load4(xs[i], x + 2 * (16 * i * STRIDE + k));
#pragma unroll
        for (int j = 0; j < N / 2; j++)
            load4(ws[j], w + 2 * (16 * j * STRIDE + k));
#pragma unroll
        for (int j = 0; j < N; j++)
#pragma unroll
            for (int i = 0; i < 2; i++)
                multiply(z[i][j], xs[i], ws[j / 2][j % 2 * 2], ws[j / 2][j % 2 * 2 + 1]);
    }
}

/* z[32][8 N] += x[32][16] w[16][8 N]; w is an address with row_lane. */
template <int N> __device__ inline void add_across(float (&z)[2][N][4], const uint32_t (&x)[2][4], uint32_t w)
{
#pragma unroll
    for (int j = 0; j < N; j += 2) {
        uint32_t ws[4];
        load4_across(ws, w + 2 * (8 * j));
#pragma unroll
        for (int i = 0; i < 2; i++) {
            multiply(z[i][j], x[i], ws[0], ws[1]);
            multiply(z[i][j + 1], x[i], ws[2], ws[3]);
        }
    }
}

__device__ inline uint32_t pair_of(float low, float high)
{
    const __nv_bfloat162 x = __floats2bfloat162_rn(low, high);
    return *(const uint32_t *)&x;
}

__device__ inline float exp2_of(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ inline void fetch16(uint32_t to, const void *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

__device__ inline void fetched_all()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
    asm volatile("cp.async.wait_group 0;" ::: "memory");
}

/* ROWS rows of K, which lie side by side. */
template <int ROWS, int K, int N> __device__ inline void fetch_rows(bf16 *to, const bf16 *from)
{
    const uint32_t at = address_of(to);
#pragma unroll
    for (int i = 0; i < ROWS * K / 8; i += N) {
        const int j = i + threadIdx.x;
        if (ROWS * K / 8 % N == 0 || j < ROWS * K / 8)
            fetch16(at + 2 * (j / (K / 8) * (K + SKEW) + j % (K / 8) * 8), from + 8 * j);
    }
}

/* Threads n of a warp group wait for each other; barrier 0 is __syncthreads(). */
template <int THREADS_MET> __device__ inline void meet(int barrier)
{
    if (THREADS_MET == WARP)
        __syncwarp();
    else
        asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(THREADS_MET) : "memory");
}

/* The sequence's factors by heads, [H][rows][K], and its rows' numbers: [H][rows] log2 of the softmax's denominator and
 * delta, [rows] lo and hi. Rows behind the last are 0 and see nothing. */
struct halves {
    bf16 *q, *dy, *k, *v;
    float *lse, *delta;
    int *lo, *hi;
    int rows;
};

static size_t halves_bytes(int rows, int H, int K)
{
    return (size_t)rows * ((size_t)H * (4 * (size_t)K * sizeof(bf16) + 2 * sizeof(float)) + 2 * sizeof(int));
}

static halves halves_in(void *memory, int rows, int H, int K)
{
    const size_t n = (size_t)rows * H;
    halves x;
    x.q = (bf16 *)memory;
    x.dy = x.q + n * K;
    x.k = x.dy + n * K;
    x.v = x.k + n * K;
    x.lse = (float *)(x.v + n * K);
    x.delta = x.lse + n;
    x.lo = (int *)(x.delta + n);
    x.hi = x.lo + rows;
    x.rows = rows;
    return x;
}

__device__ inline void store4(bf16 *to, float4 x)
{
    *(uint2 *)to = make_uint2(pair_of(x.x, x.y), pair_of(x.z, x.w));
}

/* A warp makes one row of one head. */
template <int K> __global__ static void __launch_bounds__(TILE_THREADS) halves_kernel(back a, halves to)
{
    cuda_wait();
    cuda_let_next_start();
    const int i = blockIdx.x * (TILE_THREADS / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int t = i / a.H, h = i % a.H;
    if (t >= to.rows) return;
    const bool there = t < a.T;
    const size_t from = ((size_t)t * a.H + h) * K, at = ((size_t)h * to.rows + t) * K;
    size_t page = 0;
    if (there) page = (((size_t)a.pages[t / KV_PAGE] * a.H + h) * KV_PAGE + t % KV_PAGE) * K;
    float delta = 0;
#pragma unroll
    for (int k = 4 * lane; k < K; k += 4 * WARP) {
        float4 q = {}, dy = {}, y = {}, key = {}, value = {};
        if (there) {
            q = *(const float4 *)(a.q + from + k);
            dy = *(const float4 *)(a.dy + from + k);
            y = *(const float4 *)(a.y + from + k);
            key = *(const float4 *)(a.k + page + k);
            value = *(const float4 *)(a.v + page + k);
        }
        store4(to.q + at + k, q);
        store4(to.dy + at + k, dy);
        store4(to.k + at + k, key);
        store4(to.v + at + k, value);
        delta = dot4(dy, y, delta);
    }
    delta = warp_sum(delta);
    if (lane) return;
    const float log2_e = 1.4426950408889634f;
    to.lse[(size_t)h * to.rows + t] = there ? a.lse[(size_t)t * a.H + h] * log2_e : 0;
    to.delta[(size_t)h * to.rows + t] = delta;
    if (h) return;
    to.lo[t] = there ? a.lo[t] : INT_MAX;
    to.hi[t] = there ? a.hi[t] : 0;
}

/* Two rows of a fragment, g and g + 8, to an output [T][H][K] from head h's component k on; N pairs of columns. */
template <int N>
__device__ inline void store_rows(float *to, const float (&x)[2][N][4], const back &a, int t, int h, int K, int k,
                                  float factor)
{
    const int lane = threadIdx.x % WARP, g = lane / 4;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = t + 16 * i + 8 * half + g;
            if (row >= a.T) continue;
            float *at = to + ((size_t)row * a.H + h) * K + k + lane % 4 * 2;
#pragma unroll
            for (int j = 0; j < N; j++)
                *(float2 *)(at + 8 * j) = make_float2(x[i][j][2 * half] * factor, x[i][j][2 * half + 1] * factor);
        }
}

/* ---- dk and dv ----
 *
 * A block has POSITIONS positions and passes ROWS rows at a time. p and ds are computed as they will be multiplied,
 * positions down and rows across. SHARE warps have the same 32 positions: each computes p and ds for its part of the
 * rows, passes them to the others through shared memory, and has dk and dv of 64 components. */
template <int K> struct dkv_shape {
    static constexpr int WARPS = K == 64 ? 4 : 8, SHARE = K / 64, POSITIONS = 32 * WARPS / SHARE;
    static constexpr int ROWS = K == 64 ? 32 : 64, PART = ROWS / SHARE, STRIDE = K + SKEW, WEIGHTS = ROWS + SKEW;

    struct stage {
        bf16 q[ROWS * STRIDE], dy[ROWS * STRIDE];
        float lse[ROWS], delta[ROWS];
        int lo[ROWS], hi[ROWS];
    };
    struct memory {
        bf16 k[POSITIONS * STRIDE], v[POSITIONS * STRIDE];
        bf16 p[POSITIONS * WEIGHTS], ds[POSITIONS * WEIGHTS];
        stage stages[1]; /* or two */
    };
    static constexpr size_t bytes(int stages)
    {
        return sizeof(memory) + (stages - 1) * sizeof(stage);
    }
};

template <int K> __device__ inline void dkv_fetch(typename dkv_shape<K>::stage *to, const halves &x, int t, int h)
{
    typedef dkv_shape<K> shape;
    enum { THREADS = WARP * shape::WARPS, ROWS = shape::ROWS, PIECES = ROWS / 4 };
    const size_t at = (size_t)h * x.rows + t;
    fetch_rows<ROWS, K, THREADS>(to->q, x.q + at * K);
    fetch_rows<ROWS, K, THREADS>(to->dy, x.dy + at * K);
    const int piece = threadIdx.x % PIECES * 4;
    const int which = threadIdx.x / PIECES;
    if (which == 0) fetch16(address_of(to->lse + piece), x.lse + at + piece);
    if (which == 1) fetch16(address_of(to->delta + piece), x.delta + at + piece);
    if (which == 2) fetch16(address_of(to->lo + piece), x.lo + t + piece);
    if (which == 3) fetch16(address_of(to->hi + piece), x.hi + t + piece);
}

template <int K, int STAGES>
__global__ static void __launch_bounds__(WARP *dkv_shape<K>::WARPS, 1) dkv_kernel(back a, halves x)
{
    typedef dkv_shape<K> shape;
    enum { THREADS = WARP * shape::WARPS, SHARE = shape::SHARE, N = shape::PART / 8 };
    extern __shared__ float4 shared[];
    typename shape::memory *m = (typename shape::memory *)shared;
    __shared__ int counts[2 * shape::WARPS];
    cuda_wait();
    cuda_let_next_start();
    const int h = blockIdx.x, at = blockIdx.y * shape::POSITIONS; /* causal rows: the first positions have most to do */
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, set = warp / SHARE, part = warp % SHARE;
    fetch_rows<shape::POSITIONS, K, THREADS>(m->k, x.k + ((size_t)h * x.rows + at) * K);
    fetch_rows<shape::POSITIONS, K, THREADS>(m->v, x.v + ((size_t)h * x.rows + at) * K);
    const rows_range rows = rows_that_see(a.lo, a.hi, a.T, at, shape::POSITIONS, counts);
    const int begin = rows.first / shape::ROWS * shape::ROWS;
    if (STAGES == 2 && begin < rows.end) dkv_fetch<K>(&m->stages[0], x, begin, h);

    const uint32_t keys = address_of(m->k + 32 * set * shape::STRIDE + row_lane(shape::STRIDE));
    const uint32_t values = address_of(m->v + 32 * set * shape::STRIDE + row_lane(shape::STRIDE));
    const uint32_t p_rows = address_of(m->p + 32 * set * shape::WEIGHTS + row_lane(shape::WEIGHTS));
    const uint32_t ds_rows = address_of(m->ds + 32 * set * shape::WEIGHTS + row_lane(shape::WEIGHTS));
    const int mine = (32 * set + lane / 4) * shape::WEIGHTS + part * shape::PART + lane % 4 * 2;
    const float log2_scale = a.scale * 1.4426950408889634f;
    float dk[2][8][4] = {}, dv[2][8][4] = {};
    int now = 0;
    for (int t = begin; t < rows.end; t += shape::ROWS) {
        if (STAGES == 1) {
            __syncthreads();
            dkv_fetch<K>(&m->stages[0], x, t, h);
        }
        fetched_all();
        __syncthreads();
        typename shape::stage *r = &m->stages[now];
        if (STAGES == 2) {
            now ^= 1;
            if (t + shape::ROWS < rows.end) dkv_fetch<K>(&m->stages[now], x, t + shape::ROWS, h);
        }

        const int columns = part * shape::PART;
        const bool all = r->lo[shape::ROWS - 1] <= at && r->hi[0] >= at + shape::POSITIONS;
        float p[2][N][4] = {}, ds[2][N][4] = {};
        add_product<K, N, shape::STRIDE>(p, keys,
                                         address_of(r->q + columns * shape::STRIDE + column_lane(shape::STRIDE)));
#pragma unroll
        for (int j = 0; j < N; j++) {
            const int column = columns + 8 * j + lane % 4 * 2;
            const float2 lse = *(const float2 *)&r->lse[column];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                p[i][j][0] = exp2_of(fmaf(p[i][j][0], log2_scale, -lse.x));
                p[i][j][1] = exp2_of(fmaf(p[i][j][1], log2_scale, -lse.y));
                p[i][j][2] = exp2_of(fmaf(p[i][j][2], log2_scale, -lse.x));
                p[i][j][3] = exp2_of(fmaf(p[i][j][3], log2_scale, -lse.y));
            }
            if (!all) {
                const int2 lo = *(const int2 *)&r->lo[column], hi = *(const int2 *)&r->hi[column];
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const int s = at + 32 * set + 16 * i + lane / 4;
                    if (s < lo.x || s >= hi.x) p[i][j][0] = 0;
                    if (s < lo.y || s >= hi.y) p[i][j][1] = 0;
                    if (s + 8 < lo.x || s + 8 >= hi.x) p[i][j][2] = 0;
                    if (s + 8 < lo.y || s + 8 >= hi.y) p[i][j][3] = 0;
                }
            }
#pragma unroll
            for (int i = 0; i < 2; i++) {
                bf16 *to = m->p + mine + 16 * i * shape::WEIGHTS + 8 * j;
                *(uint32_t *)to = pair_of(p[i][j][0], p[i][j][1]);
                *(uint32_t *)(to + 8 * shape::WEIGHTS) = pair_of(p[i][j][2], p[i][j][3]);
            }
        }
        add_product<K, N, shape::STRIDE>(ds, values,
                                         address_of(r->dy + columns * shape::STRIDE + column_lane(shape::STRIDE)));
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float2 delta = *(const float2 *)&r->delta[columns + 8 * j + lane % 4 * 2];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                bf16 *to = m->ds + mine + 16 * i * shape::WEIGHTS + 8 * j;
                *(uint32_t *)to = pair_of(p[i][j][0] * (ds[i][j][0] - delta.x), p[i][j][1] * (ds[i][j][1] - delta.y));
                *(uint32_t *)(to + 8 * shape::WEIGHTS) = pair_of(p[i][j][2] * (ds[i][j][2] - delta.x),
                                                                 p[i][j][3] * (ds[i][j][3] - delta.y));
            }
        }
        meet<WARP * SHARE>(1 + set);

        const uint32_t dys = address_of(r->dy + 64 * part + row_lane(shape::STRIDE));
        const uint32_t qs = address_of(r->q + 64 * part + row_lane(shape::STRIDE));
#pragma unroll
        for (int k = 0; k < shape::ROWS; k += 16) {
            uint32_t w[2][4];
            load4(w[0], p_rows + 2 * k);
            load4(w[1], p_rows + 2 * (16 * shape::WEIGHTS + k));
            add_across<8>(dv, w, dys + 2 * k * shape::STRIDE);
        }
#pragma unroll
        for (int k = 0; k < shape::ROWS; k += 16) {
            uint32_t w[2][4];
            load4(w[0], ds_rows + 2 * k);
            load4(w[1], ds_rows + 2 * (16 * shape::WEIGHTS + k));
            add_across<8>(dk, w, qs + 2 * k * shape::STRIDE);
        }
    }
    fetched_all(); /* nothing is on its way when the block ends */
    store_rows<8>(a.dk, dk, a, at + 32 * set, h, K, 64 * part, a.scale);
    store_rows<8>(a.dv, dv, a, at + 32 * set, h, K, 64 * part, 1);
}

/* ---- dq ----
 *
 * A block has ROWS rows and passes POSITIONS positions at a time. SHARE warps have the same 32 rows: as above they
 * compute ds for a part of the positions each; dq they have of up to 128 components each. */
template <int K> struct dq_shape {
    static constexpr int SHARE = K == 256 ? 2 : 1, WARPS = 4 * SHARE, ROWS = 128, WIDTH = K / SHARE;
    static constexpr int POSITIONS = 32, PART = POSITIONS / SHARE, STRIDE = K + SKEW, WEIGHTS = POSITIONS + SKEW;

    struct stage {
        bf16 k[POSITIONS * STRIDE], v[POSITIONS * STRIDE];
    };
    struct memory {
        bf16 q[ROWS * STRIDE], dy[ROWS * STRIDE];
        bf16 ds[SHARE == 1 ? 8 : ROWS * WEIGHTS]; /* one warp alone hands on what is in its registers */
        float lse[ROWS], delta[ROWS];
        int lo[ROWS], hi[ROWS];
        stage stages[1]; /* or two */
    };
    static constexpr size_t bytes(int stages)
    {
        return sizeof(memory) + (stages - 1) * sizeof(stage);
    }
};

template <int K> __device__ inline void dq_fetch(typename dq_shape<K>::stage *to, const halves &x, int at, int h)
{
    typedef dq_shape<K> shape;
    const size_t from = ((size_t)h * x.rows + at) * K;
    fetch_rows<shape::POSITIONS, K, WARP * shape::WARPS>(to->k, x.k + from);
    fetch_rows<shape::POSITIONS, K, WARP * shape::WARPS>(to->v, x.v + from);
}

/* Which tile of rows a block has: the last first, for causal rows there have most to do. If all blocks run at once,
 * there is nothing to begin first; then the second half of them, which joins the first on the same processors, has the
 * easiest first. */
__device__ inline int tile_of_block(bool at_once)
{
    const int n = gridDim.y, y = blockIdx.y, half = (n + 1) / 2;
    return !at_once || y < half ? n - 1 - y : y - half;
}

template <int K, int STAGES>
__global__ static void __launch_bounds__(WARP *dq_shape<K>::WARPS, K == 256 ? 1 : 2)
    dq_kernel(back a, halves x, bool at_once)
{
    typedef dq_shape<K> shape;
    enum { THREADS = WARP * shape::WARPS, SHARE = shape::SHARE, N = shape::PART / 8, WIDTH = shape::WIDTH };
    extern __shared__ float4 shared[];
    typename shape::memory *m = (typename shape::memory *)shared;
    cuda_wait();
    cuda_let_next_start();
    const int h = blockIdx.x, t = tile_of_block(at_once) * shape::ROWS;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, set = warp / SHARE, part = warp % SHARE;
    const int begin = a.lo[t] / shape::POSITIONS * shape::POSITIONS, end = a.hi[min(t + shape::ROWS, a.T) - 1];
    const size_t rows_at = (size_t)h * x.rows + t;
    fetch_rows<shape::ROWS, K, THREADS>(m->q, x.q + rows_at * K);
    fetch_rows<shape::ROWS, K, THREADS>(m->dy, x.dy + rows_at * K);
    if (threadIdx.x < shape::ROWS / 4) {
        const int piece = 4 * threadIdx.x;
        fetch16(address_of(m->lse + piece), x.lse + rows_at + piece);
        fetch16(address_of(m->delta + piece), x.delta + rows_at + piece);
        fetch16(address_of(m->lo + piece), x.lo + t + piece);
        fetch16(address_of(m->hi + piece), x.hi + t + piece);
    }
    if (STAGES == 2 && begin < end) dq_fetch<K>(&m->stages[0], x, begin, h);

    const uint32_t qs = address_of(m->q + 32 * set * shape::STRIDE + row_lane(shape::STRIDE));
    const uint32_t dys = address_of(m->dy + 32 * set * shape::STRIDE + row_lane(shape::STRIDE));
    const uint32_t ds_rows = address_of(m->ds +
                                        (SHARE == 1 ? 0 : 32 * set * shape::WEIGHTS + row_lane(shape::WEIGHTS)));
    const float log2_scale = a.scale * 1.4426950408889634f;
    float dq[2][WIDTH / 8][4] = {};
    int now = 0;
    for (int at = begin; at < end; at += shape::POSITIONS) {
        if (STAGES == 1) {
            __syncthreads();
            dq_fetch<K>(&m->stages[0], x, at, h);
        }
        fetched_all();
        __syncthreads();
        typename shape::stage *s = &m->stages[now];
        if (STAGES == 2) {
            now ^= 1;
            if (at + shape::POSITIONS < end) dq_fetch<K>(&m->stages[now], x, at + shape::POSITIONS, h);
        }

        const int columns = part * shape::PART;
        const bool all = m->lo[shape::ROWS - 1] <= at && m->hi[0] >= at + shape::POSITIONS;
        float p[2][N][4] = {}, ds[2][N][4] = {};
        add_product<K, N, shape::STRIDE>(p, qs,
                                         address_of(s->k + columns * shape::STRIDE + column_lane(shape::STRIDE)));
        add_product<K, N, shape::STRIDE>(ds, dys,
                                         address_of(s->v + columns * shape::STRIDE + column_lane(shape::STRIDE)));
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = 32 * set + 16 * i + 8 * half + lane / 4;
                const float lse = m->lse[row], delta = m->delta[row];
                const int lo = all ? 0 : m->lo[row], hi = all ? INT_MAX : m->hi[row];
#pragma unroll
                for (int j = 0; j < N; j++)
#pragma unroll
                    for (int e = 2 * half; e < 2 * half + 2; e++) {
                        const int position = at + columns + 8 * j + lane % 4 * 2 + e % 2;
                        const float weight = exp2_of(fmaf(p[i][j][e], log2_scale, -lse));
                        ds[i][j][e] = lo <= position && position < hi ? weight * (ds[i][j][e] - delta) : 0;
                    }
            }
        if (SHARE > 1) {
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < N; j++) {
                    bf16 *to = m->ds + (32 * set + 16 * i + lane / 4) * shape::WEIGHTS + columns + 8 * j + lane % 4 * 2;
                    *(uint32_t *)to = pair_of(ds[i][j][0], ds[i][j][1]);
                    *(uint32_t *)(to + 8 * shape::WEIGHTS) = pair_of(ds[i][j][2], ds[i][j][3]);
                }
            meet<WARP * SHARE>(1 + set);
        }
        const uint32_t keys = address_of(s->k + WIDTH * part + row_lane(shape::STRIDE));
#pragma unroll
        for (int k = 0; k < shape::POSITIONS; k += 16) {
            uint32_t w[2][4];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (SHARE > 1) {
                    load4(w[i], ds_rows + 2 * (16 * i * shape::WEIGHTS + k));
                } else {
                    const int j = k / 8 % N;
                    w[i][0] = pair_of(ds[i][j][0], ds[i][j][1]);
                    w[i][1] = pair_of(ds[i][j][2], ds[i][j][3]);
                    w[i][2] = pair_of(ds[i][(j + 1) % N][0], ds[i][(j + 1) % N][1]);
                    w[i][3] = pair_of(ds[i][(j + 1) % N][2], ds[i][(j + 1) % N][3]);
                }
            }
            add_across<WIDTH / 8>(dq, w, keys + 2 * k * shape::STRIDE);
        }
    }
    fetched_all();
    store_rows<WIDTH / 8>(a.dq, dq, a, t + 32 * set, h, K, WIDTH * part, a.scale);
}

#endif
