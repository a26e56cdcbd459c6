// SPDX-License-Identifier: Apache-2.0
/* Attention of few rows of a sequence, or of any in fp32 arithmetic ("flash decoding"). Reading keys and values is what
 * takes the time, so the positions that a row sees are split among blocks of threads and the parts merged.
 *
 * What a row becomes depends on the row alone, to the bit: its splits begin at multiples of ATTENTION_SPLIT, a warp has
 * the same positions of a split whoever else is in the block, every sum is made in the same order, and parts are merged
 * in ascending order by the same function, whether one block has them all or each comes from another. Where a product
 * is added, fmaf() says so, lest the compiler choose. */
#ifndef GPTJT_OPS_CUDA_ATTENTION_ITEMS_CUH
#define GPTJT_OPS_CUDA_ATTENTION_ITEMS_CUH

#include "ops/cuda/attention.cuh"

enum {
    ITEM_ROWS = 8, /* of a block at most */
    ITEM_THREADS = 256,
    ITEM_WARPS = ITEM_THREADS / WARP,
    ITEM_SHARE = ATTENTION_SPLIT / ITEM_WARPS, /* positions of a split that a warp has; they lie in one page */
    ITEM_SCORES = 8,                           /* summed over a warp at a time */
    EACH = ATTENTION_HEAD / WARP,              /* components that a lane has, one after the other */
};
static_assert(KV_PAGE % (int)ITEM_SHARE == 0 && (int)ITEM_THREADS >= (int)ATTENTION_HEAD &&
                  (int)ITEM_WARPS >= (int)ITEM_ROWS,
              "");

/* ---- Numbers of a page ---- */

/* EACH components as they are stored. */
template <class E> struct stored {
    uint4 word[EACH * sizeof(E) / sizeof(uint4)];
};

/* zeros if they are not wanted */
template <class E> __device__ inline stored<E> load_stored(const E *from, bool wanted)
{
    stored<E> to;
#pragma unroll
    for (size_t i = 0; i < sizeof to.word / sizeof *to.word; i++)
        to.word[i] = wanted ? __ldcg(reinterpret_cast<const uint4 *>(from) + i) : make_uint4(0, 0, 0, 0);
    return to;
}

__device__ inline void widen(float to[EACH], const stored<float> &from)
{
#pragma unroll
    for (int i = 0; i < EACH / 4; i++) {
        to[4 * i] = __uint_as_float(from.word[i].x);
        to[4 * i + 1] = __uint_as_float(from.word[i].y);
        to[4 * i + 2] = __uint_as_float(from.word[i].z);
        to[4 * i + 3] = __uint_as_float(from.word[i].w);
    }
}

__device__ inline void widen(float to[EACH], const stored<__half> &from)
{
    const uint32_t words[4] = {from.word[0].x, from.word[0].y, from.word[0].z, from.word[0].w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 two = __half22float2(*reinterpret_cast<const __half2 *>(&words[i]));
        to[2 * i] = two.x;
        to[2 * i + 1] = two.y;
    }
}

/* ---- Sums and softmax ---- */

/* Of ITEM_SCORES sums over a warp, number lane % ITEM_SCORES. Each lane gives away half of what it has and adds what it
 * is given to the other half, until it has one. */
__device__ inline float warp_sums(float x[ITEM_SCORES])
{
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int d = ITEM_SCORES / 2; d; d /= 2) {
        const bool upper = lane & d;
#pragma unroll
        for (int i = 0; i < d; i++) {
            const float mine = upper ? x[i + d] : x[i], given = upper ? x[i] : x[i + d];
            x[i] = mine + __shfl_xor_sync(0xffffffffu, given, d);
        }
    }
#pragma unroll
    for (int d = ITEM_SCORES; d < WARP; d *= 2)
        x[0] += __shfl_xor_sync(0xffffffffu, x[0], d);
    return x[0];
}

/* What a row has so far, relative to its largest score; the next part is merged as y = y keep + part weight. */
struct so_far {
    float max, sum, keep, weight;
};

__device__ inline void merge(so_far &s, float max, float sum)
{
    const float greatest = fmaxf(s.max, max), base = attention_base(greatest);
    s.keep = expf(s.max - base);
    s.weight = expf(max - base);
    s.max = greatest;
    s.sum = fmaf(sum, s.weight, __fmul_rn(s.sum, s.keep));
}

__device__ inline float merged(const so_far &s, float y, float part)
{
    return fmaf(part, s.weight, __fmul_rn(y, s.keep));
}

/* A warp's: a split's scores become exp(score - max), merged into what its row has so far. */
__device__ inline void soften_split(float score[ATTENTION_SPLIT], so_far &s)
{
    static_assert(ATTENTION_SPLIT == 4 * WARP, "four scores a lane");
    const int lane = threadIdx.x % WARP;
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        x[i] = score[lane + i * WARP];
    const float max = warp_max(fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3]))), base = attention_base(max);
#pragma unroll
    for (int i = 0; i < 4; i++)
        score[lane + i * WARP] = x[i] = expf(x[i] - base);
    const float sum = warp_sum(__fadd_rn(x[0], x[1]) + __fadd_rn(x[2], x[3]));
    if (lane == 0) merge(s, max, sum);
}

/* sums += weight x value of one position, for the rows that see it, which are all if it is even: 0 times infinity would
 * be NaN. */
template <class E, int R>
__device__ inline void add_value(float sums[R][EACH], const stored<E> &value, const float score[R][ATTENTION_SPLIT],
                                 const int *row_lo, const int *row_hi, int position, bool even)
{
    float v[EACH];
    widen(v, value);
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (!even && (position < row_lo[r] || position >= row_hi[r])) continue;
        const float p = score[r][position % ATTENTION_SPLIT];
#pragma unroll
        for (int j = 0; j < EACH; j++)
            sums[r][j] = fmaf(p, v[j], sums[r][j]);
    }
}

__device__ inline void finish_row(const struct attention_call &a, size_t head, const so_far &s, float y)
{
    const int k = threadIdx.x;
    if (k < a.K) a.y[head * a.K + k] = y / s.sum;
    if (k == 0 && a.lse) a.lse[head] = __fadd_rn(s.max, logf(s.sum));
}

/* ---- The kernels ---- */

/* Grid: items, heads. E: type of keys and values; R: room for rows of an item. */
template <class E, int R>
__global__ static void __launch_bounds__(ITEM_THREADS, 2)
    attention_items(struct attention_call a, const struct attention_item *items)
{
    constexpr int at_once = ITEM_SCORES / R;          /* positions whose scores are summed over the warp together */
    constexpr int ahead = R > 1 ? 2 : 24 / sizeof(E); /* values asked for before they are needed */
    static_assert(ahead <= ITEM_SHARE, "a warp's values");
    __shared__ float score[R][ATTENTION_SPLIT];
    __shared__ float part[2][ITEM_WARPS][ATTENTION_HEAD];
    __shared__ so_far state[R];
    __shared__ int row_lo[R], row_hi[R];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, h = blockIdx.y;
    const int padded = (a.K + KV_COLUMN - 1) / KV_COLUMN * KV_COLUMN, component = lane * EACH;
    cuda_wait();
    cuda_let_next_start();
    const struct attention_item item = items[blockIdx.x];
    const int32_t *const pages = a.words + a.table[item.row];
    if (threadIdx.x < R) {
        const int row = threadIdx.x;
        row_lo[row] = row < item.rows ? a.lo[item.row + row] : 0; /* who is not there sees nothing */
        row_hi[row] = row < item.rows ? a.hi[item.row + row] : 0;
        state[row] = {-INFINITY, 0, 0, 0};
    }
    __syncthreads();
    int least_lo = row_lo[0], greatest_lo = row_lo[0], least_hi = row_hi[0], greatest_hi = row_hi[0];
    for (int r = 1; r < item.rows; r++) {
        least_lo = min(least_lo, row_lo[r]);
        greatest_lo = max(greatest_lo, row_lo[r]);
        least_hi = min(least_hi, row_hi[r]);
        greatest_hi = max(greatest_hi, row_hi[r]);
    }

    float y[R] = {}; /* component threadIdx.x of each row */
    int turn = 0;
#pragma unroll 1
    for (int split = item.begin; split < item.end; split++) {
        const int from = split * ATTENTION_SPLIT, at = from + warp * ITEM_SHARE;
        const bool seen = at < greatest_hi && at + ITEM_SHARE > least_lo && component < padded;
        const size_t begin = seen ? attention_head_at(a, pages[at / KV_PAGE], h, padded) +
                                        (size_t)(at % KV_PAGE) * padded + component
                                  : 0;
        const E *const keys = static_cast<const E *>(a.k) + begin, *const values = static_cast<const E *>(a.v) + begin;
        float q[R][EACH];
#pragma unroll
        for (int r = 0; r < R; r++) {
            const size_t head = (size_t)(item.row + r) * a.H + h;
#pragma unroll
            for (int i = 0; i < EACH; i++)
                q[r][i] = r < item.rows && component + i < a.K ? a.q[head * a.K + component + i] : 0;
        }
#pragma unroll(R > 1 ? 2 : ITEM_SHARE / at_once)
        for (int s = 0; s < ITEM_SHARE; s += at_once) {
            stored<E> key[at_once];
#pragma unroll
            for (int i = 0; i < at_once; i++) {
                const int position = at + s + i;
                key[i] = load_stored(keys + (s + i) * padded, seen && position >= least_lo && position < greatest_hi);
            }
            float sums[ITEM_SCORES];
#pragma unroll
            for (int i = 0; i < at_once; i++) {
                float k[EACH];
                widen(k, key[i]);
#pragma unroll
                for (int r = 0; r < R; r++) {
                    float sum = q[r][0] * k[0];
#pragma unroll
                    for (int j = 1; j < EACH; j++)
                        sum = fmaf(q[r][j], k[j], sum);
                    sums[i * R + r] = sum;
                }
            }
            const float sum = warp_sums(sums);
            if (lane < ITEM_SCORES) {
                const int r = lane % R, i = s + lane / R, position = at + i;
                const bool sees = position >= row_lo[r] && position < row_hi[r];
                score[r][warp * ITEM_SHARE + i] = sees ? sum * a.scale : -INFINITY;
            }
        }
        stored<E> soon[ahead];
#pragma unroll
        for (int i = 0; i < ahead; i++)
            soon[i] = load_stored(values + i * padded, seen && at + i >= least_lo && at + i < greatest_hi);
        __syncthreads();
        if (warp < item.rows && max(row_lo[warp], from) < min(row_hi[warp], from + ATTENTION_SPLIT))
            soften_split(score[warp], state[warp]);
        __syncthreads();

        float sums[R][EACH] = {};
        const bool even = at >= greatest_lo && at + ITEM_SHARE <= least_hi;
#pragma unroll
        for (int i = 0; i < ahead; i++)
            add_value<E, R>(sums, soon[i], score, row_lo, row_hi, at + i, even);
#pragma unroll(R > 1 ? 2 : ITEM_SHARE)
        for (int i = ahead; i < ITEM_SHARE; i++) {
            const bool wanted = seen && at + i >= least_lo && at + i < greatest_hi;
            add_value<E, R>(sums, load_stored(values + i * padded, wanted), score, row_lo, row_hi, at + i, even);
        }
        /* The warps' sums of a row, in the warps' order. The other half of part may still be read. */
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r >= item.rows || max(row_lo[r], from) >= min(row_hi[r], from + ATTENTION_SPLIT)) continue;
            float(*const parts)[ATTENTION_HEAD] = part[turn++ % 2];
#pragma unroll
            for (int j = 0; j < EACH; j++)
                parts[warp][component + j] = sums[r][j];
            __syncthreads();
            float sum = parts[0][threadIdx.x];
#pragma unroll
            for (int w = 1; w < ITEM_WARPS; w++)
                sum += parts[w][threadIdx.x];
            y[r] = merged(state[r], y[r], sum);
        }
    }

#pragma unroll
    for (int r = 0; r < R; r++) {
        if (r >= item.rows) break;
        const int row = item.row + r, split = row_lo[r] / ATTENTION_SPLIT, slot = a.slot[row];
        const size_t head = (size_t)row * a.H + h;
        if (slot < 0) {
            if (split >= item.begin && split < item.end) finish_row(a, head, state[r], y[r]);
        } else if (split <= item.begin && row_hi[r] > item.begin * ATTENTION_SPLIT) {
            const size_t to = (size_t)(slot + item.begin - split) * a.H + h;
            if (threadIdx.x < a.K) a.parts[to * a.K + threadIdx.x] = y[r];
            if (threadIdx.x == 0) a.stats[to] = make_float2(state[r].max, state[r].sum);
        }
    }
}

/* Grid: rows that were made in parts, heads. */
__global__ static void __launch_bounds__(ITEM_THREADS) attention_merge(struct attention_call a, const int32_t *rows)
{
    cuda_wait();
    cuda_let_next_start();
    const int row = rows[blockIdx.x], h = blockIdx.y, k = threadIdx.x;
    const int splits = (a.hi[row] - 1) / ATTENTION_SPLIT - a.lo[row] / ATTENTION_SPLIT + 1;
    const size_t first = (size_t)a.slot[row] * a.H + h;
    so_far s = {-INFINITY, 0, 0, 0};
    float y = 0;
#pragma unroll 4
    for (int i = 0; i < splits; i++) {
        const size_t at = first + (size_t)i * a.H;
        const float2 stats = a.stats[at];
        const float part = k < a.K ? a.parts[at * a.K + k] : 0;
        merge(s, stats.x, stats.y);
        y = merged(s, y, part);
    }
    finish_row(a, (size_t)row * a.H + h, s, y);
}

#endif
