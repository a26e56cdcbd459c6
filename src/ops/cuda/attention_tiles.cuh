// SPDX-License-Identifier: Apache-2.0
/* Attention of many rows of a sequence by tensor cores (FlashAttention-2, Dao 2023): fp16 queries, keys, values and
 * weights, sums and softmax in fp32.
 *
 * A block has TILE_ROWS rows of one head, 16 a warp, whose results stay in registers while two pages after two pages
 * pass through shared memory: values are on their way while scores are computed, and the next keys while values are
 * added up. A row in shared memory is 16 bytes longer than its numbers, so that the eight rows of a matrix that
 * ldmatrix reads lie in different banks. */
#ifndef GPTJT_OPS_CUDA_ATTENTION_TILES_CUH
#define GPTJT_OPS_CUDA_ATTENTION_TILES_CUH

#include "ops/cuda/attention.cuh"

enum {
    TILE_ROWS = 64,
    TILE_STEP = 2 * KV_PAGE, /* positions at a time */
    TILE_WARPS = TILE_ROWS / 16,
    TILE_THREADS = TILE_WARPS * WARP,
    TILE_GAP = 8,
};

/* Shared memory of a block: queries, keys, values. With K 256 it is the 99 KiB that every device has. */
template <int K> constexpr size_t tile_shared_bytes()
{
    return (TILE_ROWS + 2 * TILE_STEP) * (K + TILE_GAP) * sizeof(__half);
}

/* ---- Instructions; addresses are of shared memory ---- */

/* 16 bytes on their way; zeros if bytes is 0. */
__device__ inline void copy_16(uint32_t to, const void *from, int bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

__device__ inline void copies_done()
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

/* Four matrices of 8 x 8, the lanes' addresses being those of their 32 rows. */
__device__ inline void load_matrices(uint32_t to[4], uint32_t at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}

__device__ inline void load_transposed(uint32_t to[4], uint32_t at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}

/* c[16][8] += a[16][16] b[16][8]. A lane has of c the columns 2 (lane % 4) and the next of rows lane / 4 and 8 on. */
__device__ inline void multiply(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* 2^x; 0 where that is below 2^-126 */
__device__ inline float power_of_2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ inline uint32_t packed(float low, float high)
{
    const __half2 two = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&two);
}

/* NaN stays NaN. */
__device__ inline float saturated(float x)
{
    return fabsf(x) > 65504.0f ? copysignf(65504.0f, x) : x;
}

/* The same for the four lanes that share rows of a product. */
__device__ inline float quad_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ inline float quad_sum(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* ---- What passes through shared memory ---- */

/* Two pages of a head, positions at .. at + TILE_STEP. What lies outside lo .. hi, which may never have been stored, is
 * zeros. */
template <int K>
__device__ inline void fetch_pages(uint32_t to, const __half *first, const __half *second, int at, int lo, int hi)
{
    constexpr int pieces = K / 8, stride = K + TILE_GAP, turns = TILE_STEP * pieces / TILE_THREADS;
    /* row r is seen if begin + r < seen, without signs */
    const unsigned begin = (unsigned)(at - lo), seen = (unsigned)(hi - lo);
    if constexpr (TILE_THREADS % pieces == 0 && turns % 2 == 0) { /* rows a constant apart, half of them of each page */
        constexpr int apart = TILE_THREADS / pieces;
        const int row = threadIdx.x / pieces, piece = threadIdx.x % pieces;
        to += (row * stride + piece * 8) * 2;
        first += row * K + piece * 8;
        second += row * K + piece * 8;
#pragma unroll
        for (int i = 0; i < turns; i++) {
            const __half *from = i < turns / 2 ? first + i * apart * K : second + (i - turns / 2) * apart * K;
            copy_16(to + i * apart * stride * 2, from, begin + row + i * apart < seen ? 16 : 0);
        }
    } else {
#pragma unroll
        for (int i = 0; i < turns; i++) {
            const int n = threadIdx.x + i * TILE_THREADS, row = n / pieces, piece = n % pieces;
            const __half *from = (row < KV_PAGE ? first : second) + row % KV_PAGE * K + piece * 8;
            copy_16(to + (row * stride + piece * 8) * 2, from, begin + row < seen ? 16 : 0);
        }
    }
}

/* The same of what may be stored: an infinity stays one, too. */
__device__ inline float narrowable(float x)
{
    return fabsf(x) == INFINITY ? x : saturated(x);
}

/* A piece of a K/V page of fp32 as tiles take it. */
__device__ inline uint4 narrowed_8(const float *from)
{
    const float4 x = reinterpret_cast<const float4 *>(from)[0], z = reinterpret_cast<const float4 *>(from)[1];
    return make_uint4(packed(narrowable(x.x), narrowable(x.y)), packed(narrowable(x.z), narrowable(x.w)),
                      packed(narrowable(z.x), narrowable(z.y)), packed(narrowable(z.z), narrowable(z.w)));
}

/* Copies pages of fp32, `pieces` of 8 numbers each with all heads: they lie one after the other then. What was never
 * stored is copied like the rest. Grid: blocks for the pieces, pages. */
__global__ static void narrow_pages(__half *to_k, __half *to_v, const float *k, const float *v, const int32_t *pages,
                                    int pieces)
{
    cuda_wait();
    cuda_let_next_start();
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= pieces) return;
    const size_t from = ((size_t)pages[blockIdx.y] * pieces + i) * 8, to = ((size_t)blockIdx.y * pieces + i) * 8;
    const uint4 key = narrowed_8(k + from), value = narrowed_8(v + from);
    *reinterpret_cast<uint4 *>(to_k + to) = key;
    *reinterpret_cast<uint4 *>(to_v + to) = value;
}

/* q's rows, rounded; rows that are not there are zeros. */
template <int K> __device__ inline void put_queries(__half *to, const float *q, int stride, int rows)
{
    constexpr int pieces = K / 8;
    for (int n = threadIdx.x; n < TILE_ROWS * pieces; n += TILE_THREADS) {
        const int row = n / pieces, piece = n % pieces;
        uint4 rounded = make_uint4(0, 0, 0, 0);
        if (row < rows) {
            const float4 *from = reinterpret_cast<const float4 *>(q + (size_t)row * stride + piece * 8);
            const float4 x = from[0], z = from[1];
            rounded = make_uint4(packed(saturated(x.x), saturated(x.y)), packed(saturated(x.z), saturated(x.w)),
                                 packed(saturated(z.x), saturated(z.y)), packed(saturated(z.z), saturated(z.w)));
        }
        *reinterpret_cast<uint4 *>(to + row * (K + TILE_GAP) + piece * 8) = rounded;
    }
}

/* Whether this thread's share of a step's values has an infinity or a NaN. */
template <int K> __device__ inline bool not_finite(const __half *values)
{
    constexpr int pieces = K / 8;
    uint32_t found = 0;
    for (int n = threadIdx.x; n < TILE_STEP * pieces; n += TILE_THREADS) {
        const uint4 x = *reinterpret_cast<const uint4 *>(values + n / pieces * (K + TILE_GAP) + n % pieces * 8);
        const uint32_t words[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
        for (int i = 0; i < 4; i++) /* an exponent of all ones carries into the sign's place */
            found |= ((words[i] & 0x7c007c00u) + 0x04000400u) & 0x80008000u;
    }
    return found != 0;
}

/* ---- The kernel ---- */

/* The two rows of a tile that a lane has in every product. */
struct row_pair {
    int lo[2], hi[2];
    float max[2]; /* largest score, in units of ln 2 */
    float sum[2]; /* of 2^(score - max), of this lane's columns */
};

__device__ inline bool sees(const row_pair &r, int i, int position)
{
    return position >= r.lo[i] && position < r.hi[i];
}

/* y += weights x values for one step's positions, each row over what it sees: 0 times infinity would be NaN in a
 * product of matrices. A row's weights are in the lanes that share it, and are used up. */
template <int K>
__device__ inline void add_values_one_by_one(float y[K / 8][4], const row_pair &r, uint32_t weights[TILE_STEP / 16][4],
                                             const __half *values, int at)
{
    const int lane = threadIdx.x % WARP;
#pragma unroll 1
    for (int s = 0; s < TILE_STEP; s++) {
        float p[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint32_t two = __shfl_sync(0xffffffffu, weights[0][i], lane / 4 * 4 + s % 8 / 2);
            p[i] = __half2float(__ushort_as_half((unsigned short)(s % 2 ? two >> 16 : two)));
        }
        const __half *value = values + s * (K + TILE_GAP) + lane % 4 * 2;
        const bool first = sees(r, 0, at + s), second = sees(r, 1, at + s);
#pragma unroll
        for (int n = 0; n < K / 8; n++) {
            const float2 v = __half22float2(*reinterpret_cast<const __half2 *>(value + n * 8));
            if (first) {
                y[n][0] = fmaf(p[0], v.x, y[n][0]);
                y[n][1] = fmaf(p[0], v.y, y[n][1]);
            }
            if (second) {
                y[n][2] = fmaf(p[1], v.x, y[n][2]);
                y[n][3] = fmaf(p[1], v.y, y[n][3]);
            }
        }
        if (s % 8 < 7) continue;
#pragma unroll
        for (int n = 0; n < TILE_STEP / 8; n++) /* the next eight positions' come to the front */
#pragma unroll
            for (int i = 0; i < 2; i++)
                weights[n / 2][n % 2 * 2 + i] = n + 1 < TILE_STEP / 8 ? weights[(n + 1) / 2][(n + 1) % 2 * 2 + i] : 0;
    }
}

/* scores become 2^(score - max), those of what a row does not see 0; returns what y so far is to be multiplied by. */
__device__ inline float2 soften(float scores[TILE_STEP / 8][4], row_pair &r, float scale, int at, bool masked)
{
    const int column = threadIdx.x % 4 * 2;
    if (masked) {
#pragma unroll
        for (int n = 0; n < TILE_STEP / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (!sees(r, i / 2, at + n * 8 + column + i % 2)) scores[n][i] = -INFINITY;
    }
    float keep[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float max = -INFINITY;
#pragma unroll
        for (int n = 0; n < TILE_STEP / 8; n++)
            max = fmaxf(max, fmaxf(scores[n][2 * i], scores[n][2 * i + 1]));
        max = fmaxf(r.max[i], quad_max(max) * scale);
        const float base = attention_base(max);
        keep[i] = power_of_2(r.max[i] - base);
        r.max[i] = max;
        float sum = r.sum[i] * keep[i];
#pragma unroll
        for (int n = 0; n < TILE_STEP / 8; n++)
#pragma unroll
            for (int j = 2 * i; j < 2 * i + 2; j++)
                sum += scores[n][j] = power_of_2(fmaf(scores[n][j], scale, -base));
        r.sum[i] = sum;
    }
    return make_float2(keep[0], keep[1]);
}

/* K is a multiple of 16; q and y are aligned to 16 bytes. Grid: tiles, heads. */
template <int K>
__global__ static void __launch_bounds__(TILE_THREADS, 2)
    attention_tiles(struct attention_call a, const struct attention_tile *tiles)
{
    constexpr int stride = K + TILE_GAP;
    extern __shared__ __align__(16) unsigned char shared[];
    __half *const queries = reinterpret_cast<__half *>(shared);
    __half *const keys = queries + TILE_ROWS * stride, *const values = keys + TILE_STEP * stride;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, h = blockIdx.y;
    cuda_wait();
    cuda_let_next_start();

    /* Later rows tend to see more: they begin first. */
    const struct attention_tile t = tiles[gridDim.x - 1 - blockIdx.x];
    const int32_t *const pages = a.words + a.table[t.row];
    const int end = (t.greatest_hi + KV_PAGE - 1) / KV_PAGE;
    const __half *const all_keys = static_cast<const __half *>(a.k);
    const __half *const all_values = static_cast<const __half *>(a.v);
    const uint32_t keys_at = (uint32_t)__cvta_generic_to_shared(keys);
    const uint32_t values_at = (uint32_t)__cvta_generic_to_shared(values);
    int page = t.least_lo / KV_PAGE;
    int first = pages[page], second = pages[min(page + 1, end - 1)];
    fetch_pages<K>(keys_at, all_keys + attention_head_at(a, first, h, K), all_keys + attention_head_at(a, second, h, K),
                   page * KV_PAGE, t.least_lo, t.greatest_hi);
    put_queries<K>(queries, a.q + ((size_t)t.row * a.H + h) * K, a.H * K, t.rows);

    row_pair r;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = warp * 16 + lane / 4 + i * 8;
        r.lo[i] = row < t.rows ? a.lo[t.row + row] : t.least_lo;
        r.hi[i] = row < t.rows ? a.hi[t.row + row] : t.greatest_hi;
        r.max[i] = -INFINITY;
        r.sum[i] = 0;
    }
    float y[K / 8][4] = {};
    /* This lane's rows of the matrices that the warp loads. */
    const uint32_t q_at = (uint32_t)__cvta_generic_to_shared(queries) +
                          ((warp * 16 + lane % 16) * stride + lane / 16 * 8) * 2;
    const uint32_t k_at = keys_at + ((lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8) * 2;
    const uint32_t v_at = values_at + (lane % 16 * stride + lane / 16 * 8) * 2;
    const float scale = a.scale * 1.4426950408889634f;

#pragma unroll 1
    for (; page < end; page += 2) {
        const int at = page * KV_PAGE;
        copies_done();
        __syncthreads(); /* keys are there, and nobody needs the values before these any more */
        fetch_pages<K>(values_at, all_values + attention_head_at(a, first, h, K),
                       all_values + attention_head_at(a, second, h, K), at, t.least_lo, t.greatest_hi);
        if (page + 2 < end) {
            first = pages[page + 2];
            second = pages[min(page + 3, end - 1)];
        }

        float scores[TILE_STEP / 8][4] = {};
#pragma unroll
        for (int k = 0; k < K; k += 16) {
            uint32_t q[4];
            load_matrices(q, q_at + k * 2);
#pragma unroll
            for (int n = 0; n < TILE_STEP; n += 16) {
                uint32_t b[4];
                load_matrices(b, k_at + (n * stride + k) * 2);
                multiply(scores[n / 8], q, b[0], b[1]);
                multiply(scores[n / 8 + 1], q, b[2], b[3]);
            }
        }
        const bool masked = at < t.greatest_lo || at + TILE_STEP > t.least_hi;
        const float2 keep = soften(scores, r, scale, at, masked);
        if (__any_sync(0xffffffffu, keep.x != 1 || keep.y != 1)) {
#pragma unroll
            for (int n = 0; n < K / 8; n++) {
                y[n][0] *= keep.x;
                y[n][1] *= keep.x;
                y[n][2] *= keep.y;
                y[n][3] *= keep.y;
            }
        }
        uint32_t p[TILE_STEP / 16][4];
#pragma unroll
        for (int n = 0; n < TILE_STEP / 16; n++) {
            p[n][0] = packed(scores[2 * n][0], scores[2 * n][1]);
            p[n][1] = packed(scores[2 * n][2], scores[2 * n][3]);
            p[n][2] = packed(scores[2 * n + 1][0], scores[2 * n + 1][1]);
            p[n][3] = packed(scores[2 * n + 1][2], scores[2 * n + 1][3]);
        }

        copies_done();
        __syncthreads(); /* values are there, and nobody needs the keys any more */
        if (page + 2 < end)
            fetch_pages<K>(keys_at, all_keys + attention_head_at(a, first, h, K),
                           all_keys + attention_head_at(a, second, h, K), at + TILE_STEP, t.least_lo, t.greatest_hi);

        /* What some rows see and others do not must be finite to leave the others alone. */
        const bool uneven = max(at, t.least_lo) < t.greatest_lo || min(at + TILE_STEP, t.greatest_hi) > t.least_hi;
        if (uneven && __syncthreads_or(not_finite<K>(values))) {
            add_values_one_by_one<K>(y, r, p, values, at);
            continue;
        }
#pragma unroll
        for (int s = 0; s < TILE_STEP; s += 16)
#pragma unroll
            for (int n = 0; n < K; n += 16) {
                uint32_t b[4];
                load_transposed(b, v_at + (s * stride + n) * 2);
                multiply(y[n / 8], p[s / 16], b[0], b[1]);
                multiply(y[n / 8 + 1], p[s / 16], b[2], b[3]);
            }
    }

#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = warp * 16 + lane / 4 + i * 8;
        const float sum = quad_sum(r.sum[i]), share = 1 / sum;
        if (row >= t.rows) continue;
        const size_t head = (size_t)(t.row + row) * a.H + h;
        float2 *const to = reinterpret_cast<float2 *>(a.y + head * K + lane % 4 * 2);
#pragma unroll
        for (int n = 0; n < K / 8; n++)
            to[n * 4] = make_float2(y[n][2 * i] * share, y[n][2 * i + 1] * share);
        if (a.lse && lane % 4 == 0) a.lse[head] = (r.max[i] + log2f(sum)) * 0.6931471805599453f;
    }
}

#endif
