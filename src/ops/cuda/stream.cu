// SPDX-License-Identifier: Apache-2.0
/* Products of few rows. Reading the weights is all that takes time, so each is read once, as it is stored, by blocks of
 * threads that stay, one a multiprocessor, and always have the next weights on their way: every thread copies what it
 * will need itself into a ring of its own in shared memory, so that nobody waits for anybody. The first copies are
 * under XX
 *
 * fp32, fp16, bf16: a warp takes OUTPUTS rows of w, PIECE weights a thread, in fp32 arithmetic; the order of a sum does
 * not depend on the type.
 * q8, q4 computed in int8: rows are quantised as quant.h says; a block takes a strip of 16 outputs, its warps share the
 * inputs. */
#include "ops/cuda/device.cuh"

enum {
    MAX_ROWS = 4,
    MAX_QUANT_ROWS = 8,
    PIECE = 8,
    WARPS = 8,
    THREADS = WARPS * WARP,
    OUTPUTS = 4,
    RING_BYTES = 128 * 1024, /* of a block                                             */
    STEP = PIECE * WARP,     /* inputs of a step                                       */
    STATIC_BYTES = 1024,     /* of shared memory, for sums */
};

static size_t rows_bytes(int T, int I)
{
    return (size_t)T * ((I + STEP - 1) / STEP * STEP) * sizeof(float);
}

/* Steps of a warp that lie in the ring: a power of two. */
template <class W> __host__ __device__ constexpr int ring_steps()
{
    return RING_BYTES / (THREADS * OUTPUTS * PIECE * sizeof(W));
}

/* The maps of one call, whose outputs are cut into units that are dealt out to those who compute. */
struct group {
    int n, I, units;
    struct {
        float *y;
        const void *w;
        const float *bias;
        int O, units;
        enum epilogue e;
    } of[LINEAR_GROUP];
};

static group group_of(const struct linear_map *maps, int n, int outputs)
{
    group g = {};
    g.n = n;
    g.I = maps->w->I;
    for (int i = 0; i < n; i++) {
        g.of[i].y = maps[i].y;
        g.of[i].w = maps[i].w->data;
        g.of[i].bias = maps[i].b ? (const float *)maps[i].b->data : NULL;
        g.of[i].O = maps[i].w->O;
        g.of[i].units = (maps[i].w->O + outputs - 1) / outputs;
        g.of[i].e = maps[i].e;
        g.units += g.of[i].units;
    }
    return g;
}

/* Which map a unit belongs to; *unit becomes its number within. */
__device__ static int map_of(const group &g, int *unit)
{
    int i = 0;
    for (; i < g.n - 1 && *unit >= g.of[i].units; i++)
        *unit -= g.of[i].units;
    return i;
}

__device__ static float finished(float z, float before, enum epilogue e)
{
    if (e == EPILOGUE_ADD || e == EPILOGUE_ADD_GELU) z += before;
    return e == EPILOGUE_GELU || e == EPILOGUE_ADD_GELU ? gelu_new(z) : z;
}

/* ---- Copies into shared memory, which only the thread that asked for them reads ---- */

__device__ static void copy_16(void *to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((uint32_t)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}

__device__ static void copies_end()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* All but the last n groups of copies are there. */
template <int N> __device__ static void copies_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* ---- Weights as numbers ---- */

template <class W> struct piece {
    uint4 of[PIECE * sizeof(W) / sizeof(uint4)];
};

__device__ static void widen(float to[PIECE], const piece<float> &from)
{
    for (int i = 0; i < 2; i++) {
        to[4 * i] = __uint_as_float(from.of[i].x);
        to[4 * i + 1] = __uint_as_float(from.of[i].y);
        to[4 * i + 2] = __uint_as_float(from.of[i].z);
        to[4 * i + 3] = __uint_as_float(from.of[i].w);
    }
}

__device__ static void widen(float to[PIECE], const piece<__half> &from)
{
    const uint32_t words[4] = {from.of[0].x, from.of[0].y, from.of[0].z, from.of[0].w};
    for (int i = 0; i < 4; i++) {
        const float2 two = __half22float2(*(const __half2 *)&words[i]);
        to[2 * i] = two.x;
        to[2 * i + 1] = two.y;
    }
}

__device__ static void widen(float to[PIECE], const piece<__nv_bfloat16> &from)
{
    const uint32_t words[4] = {from.of[0].x, from.of[0].y, from.of[0].z, from.of[0].w};
    for (int i = 0; i < 4; i++) {
        to[2 * i] = __uint_as_float(words[i] << 16);
        to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

/* A warp's way through its units, a step at a time. */
template <class W> struct cursor {
    int unit, step; /* of all units; within its rows */
    int map, o;     /* of this unit                  */
    const W *w;     /* row o, this thread's inputs   */

    __device__ void enter(const group &g)
    {
        int within = unit;
        step = 0;
        if (unit >= g.units) return;
        map = map_of(g, &within);
        o = within * OUTPUTS;
        w = (const W *)g.of[map].w + (size_t)o * g.I + threadIdx.x % WARP * PIECE;
    }

    __device__ void advance(const group &g, int steps)
    {
        if (++step < steps) return;
        unit += gridDim.x * WARPS;
        enter(g);
    }
};

/* ring: [OUTPUTS][pieces of 16 bytes][THREADS] of this step, this thread's. */
template <class W> __device__ static void fetch(uint4 *ring, const cursor<W> &at, const group &g)
{
    constexpr int words = sizeof(piece<W>) / sizeof(uint4);
    if (at.unit < g.units) {
        const bool inside = at.step * STEP + (int)(threadIdx.x % WARP) * PIECE < g.I;
        const int left = inside ? g.of[at.map].O - at.o : 0; /* what is not there is zeros */
#pragma unroll
        for (int r = 0; r < OUTPUTS; r++) {
            const W *from = r < left ? at.w + (size_t)r * g.I + at.step * STEP : (const W *)g.of[at.map].w;
#pragma unroll
            for (int k = 0; k < words; k++)
                copy_16(ring + (r * words + k) * THREADS, (const uint4 *)from + k, r < left);
        }
    }
    copies_end();
}

/* A layer norm of the rows before they are multiplied; w NULL: none. */
struct normed {
    const float *w, *b;
    float eps;
};

/* The place in shared memory of inputs at .. at + 3 of row t: [T][2 halves of a piece][half] float4. */
__device__ static float4 *row_at(float4 *rows, int t, int at, int half)
{
    return rows + (t * 2 + at / 4 % 2) * half + at / PIECE;
}

/* n pieces of 16 bytes by all threads of a block, many reads on their way at once; what find() has no address for is
 * zeros. Not by copies that are waited for: those of the ring would have to be there as well, and memory would idle. */
template <class Find, class Put> __device__ static void take(int n, Find find, Put put)
{
    enum { TOGETHER = 8 };
    for (int first = threadIdx.x; first < n; first += TOGETHER * THREADS) {
        uint4 v[TOGETHER];
#pragma unroll
        for (int j = 0; j < TOGETHER; j++) {
            const int i = first + j * THREADS;
            const uint4 *from = i < n ? find(i) : NULL;
            v[j] = from ? __ldcg(from) : make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int j = 0; j < TOGETHER; j++)
            if (first + j * THREADS < n) put(first + j * THREADS, v[j]);
    }
}

/* Rows as they are; what is beyond I is zeros. */
__device__ static void take_rows(float4 *rows, const float *x, int T, int I, int half)
{
    for (int t = 0; t < T; t++)
        take(
            2 * half, [&](int i) { return 4 * i < I ? (const uint4 *)(x + (size_t)t * I) + i : NULL; },
            [&](int i, uint4 v) { *(uint4 *)row_at(rows, t, 4 * i, half) = v; });
}

/* The same, and normed: every block does it for itself. A thread goes through what it copied. */
__device__ static void norm_rows(float4 *rows, const float *x, int T, int I, int half, const normed &n)
{
    __shared__ float sums[WARP];
    take_rows(rows, x, T, I, half);
    for (int t = 0; t < T; t++) {
        float sum = 0, squares = 0;
        for (int at = 4 * threadIdx.x; at < I; at += 4 * THREADS) {
            const float4 v = *row_at(rows, t, at, half);
            sum += v.x + v.y + (v.z + v.w);
        }
        const float mean = block_sum(sum, sums) / I;
        for (int at = 4 * threadIdx.x; at < I; at += 4 * THREADS) {
            const float4 v = *row_at(rows, t, at, half);
            squares += (v.x - mean) * (v.x - mean) + (v.y - mean) * (v.y - mean) +
                       ((v.z - mean) * (v.z - mean) + (v.w - mean) * (v.w - mean));
        }
        const float scale = 1 / sqrtf(block_sum(squares, sums) / I + n.eps);
#pragma unroll 4
        for (int at = 4 * threadIdx.x; at < I; at += 4 * THREADS) {
            float4 *const to = row_at(rows, t, at, half), v = *to;
            const float4 w = *(const float4 *)(n.w + at), b = *(const float4 *)(n.b + at);
            *to = make_float4((v.x - mean) * scale * w.x + b.x, (v.y - mean) * scale * w.y + b.y,
                              (v.z - mean) * scale * w.z + b.z, (v.w - mean) * scale * w.w + b.w);
        }
    }
}

template <class W, int T, bool NORM>
__global__ static void __launch_bounds__(THREADS) stream_kernel(const float *x, const group g, const normed n)
{
    constexpr int words = sizeof(piece<W>) / sizeof(uint4), slot = OUTPUTS * words * THREADS, RING = ring_steps<W>();
    extern __shared__ uint4 shared[];
    uint4 *const ring = shared + threadIdx.x;
    float4 *const rows = (float4 *)(shared + RING * slot);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, steps = (g.I + STEP - 1) / STEP,
              half = steps * WARP;

    cursor<W> ahead, now;
    ahead.unit = blockIdx.x + gridDim.x * warp;
    ahead.enter(g);
    now = ahead;
#pragma unroll
    for (int s = 0; s < RING - 1; s++) {
        fetch(ring + s * slot, ahead, g);
        ahead.advance(g, steps);
    }
    if (NORM)
        for (int at = threadIdx.x * 32; at < g.I; at += THREADS * 32) {
            asm volatile("prefetch.global.L2 [%0];" ::"l"(n.w + at));
            asm volatile("prefetch.global.L2 [%0];" ::"l"(n.b + at));
        }
    cuda_wait();
    cuda_let_next_start();
    if (NORM)
        norm_rows(rows, x, T, g.I, half, n);
    else
        take_rows(rows, x, T, g.I, half);
    __syncthreads();

    float sum[OUTPUTS][T] = {};
    for (int s = 0; now.unit < g.units; s = (s + 1) % RING) {
        fetch(ring + (s + RING - 1) % RING * slot, ahead, g);
        ahead.advance(g, steps);
        copies_wait<RING - 1>();
        float4 v[T][2];
#pragma unroll
        for (int t = 0; t < T; t++)
#pragma unroll
            for (int k = 0; k < 2; k++)
                v[t][k] = rows[(t * 2 + k) * half + now.step * WARP + lane];
#pragma unroll
        for (int r = 0; r < OUTPUTS; r++) {
            piece<W> p;
            float wide[PIECE];
#pragma unroll
            for (int k = 0; k < words; k++)
                p.of[k] = ring[s * slot + (r * words + k) * THREADS];
            widen(wide, p);
#pragma unroll
            for (int t = 0; t < T; t++)
#pragma unroll
                for (int k = 0; k < 2; k++) {
                    sum[r][t] = fmaf(v[t][k].x, wide[4 * k], sum[r][t]);
                    sum[r][t] = fmaf(v[t][k].y, wide[4 * k + 1], sum[r][t]);
                    sum[r][t] = fmaf(v[t][k].z, wide[4 * k + 2], sum[r][t]);
                    sum[r][t] = fmaf(v[t][k].w, wide[4 * k + 3], sum[r][t]);
                }
        }
        if (now.step == steps - 1) {
            const auto &m = g.of[now.map];
#pragma unroll
            for (int r = 0; r < OUTPUTS; r++)
#pragma unroll
                for (int t = 0; t < T; t++) {
                    const float z = warp_sum(sum[r][t]);
                    sum[r][t] = 0;
                    if (lane == (r * T + t) % WARP && now.o + r < m.O) {
                        float *at = m.y + (size_t)t * m.O + now.o + r;
                        *at = finished(z + (m.bias ? m.bias[now.o + r] : 0), *at, m.e);
                    }
                }
        }
        now.advance(g, steps);
    }
    copies_wait<0>();
}

template <class W, int T, bool NORM>
static void stream_launch(struct ops_cuda *c, const group &g, const float *x, const normed &n)
{
    static bool allowed; /* so much shared memory */
    if (!allowed) cuda_allow_shared((const void *)stream_kernel<W, T, NORM>, c->shared_bytes - STATIC_BYTES);
    allowed = true;
    const int warps = c->sms * WARPS, blocks = g.units < warps ? (g.units + WARPS - 1) / WARPS : c->sms;
    cuda_launch(c, blocks, THREADS, RING_BYTES + rows_bytes(T, g.I), stream_kernel<W, T, NORM>, x, g, n);
}

template <class W, int T> static void stream_rows(struct ops_cuda *c, const group &g, const float *x, const normed &n)
{
    if (n.w)
        stream_launch<W, T, true>(c, g, x, n);
    else
        stream_launch<W, T, false>(c, g, x, n);
}

template <class W>
static void stream(struct ops_cuda *c, const struct linear_map *maps, int n, const float *x, int T,
                   const normed &before)
{
    static_assert(MAX_ROWS == 4, "a case a number of rows");
    static void (*const rows[])(struct ops_cuda *, const group &, const float *, const normed &) = {
        stream_rows<W, 1>, stream_rows<W, 2>, stream_rows<W, 3>, stream_rows<W, 4>};
    rows[T - 1](c, group_of(maps, n, OUTPUTS), x, before);
}

/* ---- Rows in int8 ---- */

enum { QUANTISE_THREADS = 1024 };

/* [T] rows of values, each blocks * QUANT_BLOCK bytes, then [T] rows of scales, one a group. A thread has four
 * neighbours, a group is in sixteen threads or a warp. Grid: pieces of a row, rows; a row that
 * is normed first is one piece. */
template <bool NORM>
__global__ static void __launch_bounds__(QUANTISE_THREADS)
    quantise_kernel(int8_t *values, float *scales, const float *x, int I, int blocks, int group, const normed n)
{
    __shared__ float sums[WARP];
    const int at = 4 * (blockIdx.x * blockDim.x + threadIdx.x), inputs = blocks * QUANT_BLOCK, threads = group / 4;
    float v[4], w[4], b[4];
#pragma unroll
    for (int j = 0; j < 4 && NORM; j++) {
        w[j] = at + j < I ? n.w[at + j] : 0;
        b[j] = at + j < I ? n.b[at + j] : 0;
    }
    cuda_wait();
    cuda_let_next_start();
    const float *const row = x + (size_t)blockIdx.y * I;
#pragma unroll
    for (int j = 0; j < 4; j++)
        v[j] = at + j < I ? row[at + j] : 0;
    if (NORM) {
        const float mean = block_sum(v[0] + v[1] + (v[2] + v[3]), sums) / I;
        float squares = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v[j] = at + j < I ? v[j] - mean : 0;
            squares += v[j] * v[j];
        }
        const float over = 1 / sqrtf(block_sum(squares, sums) / I + n.eps);
#pragma unroll
        for (int j = 0; j < 4; j++)
            v[j] = v[j] * over * w[j] + b[j];
    }
    float most = 0;
    bool bad = false;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        bad = bad || !(fabsf(v[j]) <= FLT_MAX);
        most = fmaxf(most, fabsf(v[j]));
    }
    if (bad) most = INFINITY;
    for (int d = 1; d < threads; d *= 2)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, d));
    bad = most > FLT_MAX;
    const bool none = bad || most < QUANT_TINY;
    const float times = none ? 0 : 127 / most;
    if (at >= inputs) return;
    char4 four;
    four.x = none ? 0 : (signed char)__float2int_rn(v[0] * times);
    four.y = none ? 0 : (signed char)__float2int_rn(v[1] * times);
    four.z = none ? 0 : (signed char)__float2int_rn(v[2] * times);
    four.w = none ? 0 : (signed char)__float2int_rn(v[3] * times);
    *(char4 *)(values + (size_t)blockIdx.y * inputs + at) = four;
    if (at % group == 0)
        scales[(size_t)blockIdx.y * ((inputs + group - 1) / group) + at / group] = bad ? __int_as_float(0x7fffffff)
                                                                                   : most < QUANT_TINY ? 0
                                                                                                       : most / 127;
}

/* sum + four products of signed bytes */
__device__ static int dot4(uint32_t a, int b, int sum)
{
    return __dp4a((int)a, b, sum);
}

/* A thread takes four outputs (a quarter of a strip) and whole units of UNIT_STEPS steps, 512 bytes of the strip: half
 * a block of q8, a block of q4. The threads of a block share the units of a strip. */
enum {
    UNIT_STEPS = 8,
    UNIT_BYTES = UNIT_STEPS * QUANT_STEP_BYTES,
    QUARTERS = 4,
    QUARTER = QUANT_STRIP / QUARTERS,
    UNITS = THREADS / QUARTERS, /* at a time */
};

/* A warp's units in the ring, as they lie in the strip but UNIT_STRIDE bytes apart, so that threads of different units
 * read different banks; and their scales, the second half of them in q4 only. A warp copies them together: 512 bytes
 * that are neighbours at a time. */
enum { WARP_UNITS = WARP / QUARTERS, UNIT_STRIDE = UNIT_BYTES + 64 };
struct unit_slot {
    uint8_t step[WARP_UNITS][UNIT_STRIDE];
    uint8_t scale[WARP_UNITS][2][QUANT_STRIP * 2];
};

/* Slots of a warp. More rows take more of the shared memory themselves. */
__host__ __device__ constexpr int quant_ring(int T)
{
    return T == 1 ? 4 : 2;
}

template <bool Q4> struct quant_shape {
    static constexpr int values_bytes = QUANT_STRIP * QUANT_BLOCK / (Q4 ? 2 : 1),
                         block_units = values_bytes / UNIT_BYTES,
                         block_bytes = values_bytes + QUANT_STRIP * 2 * (Q4 ? 2 : 1);
    int blocks, units, rounds; /* of a strip: of QUANT_BLOCK inputs, of UNIT_BYTES, of UNITS units */
    size_t strip_bytes;

    __host__ __device__ explicit quant_shape(int I)
    {
        blocks = (I + QUANT_BLOCK - 1) / QUANT_BLOCK;
        units = blocks * block_units;
        rounds = (units + UNITS - 1) / UNITS;
        strip_bytes = (size_t)blocks * block_bytes;
    }

    /* Where the block of a unit begins in its strip. */
    __device__ static int block_at(int unit)
    {
        return unit / block_units * block_bytes;
    }
};

/* A block's way through its strips, UNITS units at a time. */
struct quant_cursor {
    int strip, round;
    const uint8_t *at; /* the strip */

    template <bool Q4> __device__ void enter(const group &g, const quant_shape<Q4> &q)
    {
        int within = strip;
        round = 0;
        if (strip >= g.units) return;
        const int map = map_of(g, &within);
        at = (const uint8_t *)g.of[map].w + (size_t)within * q.strip_bytes;
    }

    template <bool Q4> __device__ void advance(const group &g, const quant_shape<Q4> &q)
    {
        if (++round < q.rounds) return;
        strip += gridDim.x;
        enter(g, q);
    }
};

template <bool Q4>
__device__ static void fetch_units(unit_slot &slot, const quant_cursor &at, const group &g, const quant_shape<Q4> &q)
{
    const int lane = threadIdx.x % WARP, first = at.round * UNITS + (int)threadIdx.x / WARP * WARP_UNITS;
    if (at.strip < g.units && first < q.units) {
        const int here = min(WARP_UNITS, q.units - first);
        for (int u = 0; u < here; u++)
            copy_16(&slot.step[u][lane * 16],
                    at.at + q.block_at(first + u) + (first + u) % q.block_units * UNIT_BYTES + lane * 16, true);
        const int u = lane / QUARTERS, quarter = lane % QUARTERS;
        const uint8_t *const scales = at.at + q.block_at(first + u) + q.values_bytes + quarter * 16;
        if (u < here) {
            if (Q4) /* two halves of 32 bytes for every unit */
                copy_16(&slot.scale[u][quarter / 2][quarter % 2 * 16], scales, true);
            else if (quarter < 2) /* two units of a block share theirs */
                copy_16(&slot.scale[u][0][quarter * 16], scales, true);
        }
    }
    copies_end();
}

__device__ static void add_scaled(float y[QUARTER], const int sum[QUARTER], uint2 scale, float x_scale)
{
    const float2 low = __half22float2(*(const __half2 *)&scale.x), high = __half22float2(*(const __half2 *)&scale.y);
    y[0] = fmaf(x_scale * low.x, (float)sum[0], y[0]);
    y[1] = fmaf(x_scale * low.y, (float)sum[1], y[1]);
    y[2] = fmaf(x_scale * high.x, (float)sum[2], y[2]);
    y[3] = fmaf(x_scale * high.y, (float)sum[3], y[3]);
}

/* T rows against one unit; x: the first row's bytes of the unit. Four steps at a time are made signed bytes, for all
 * rows; q4 goes through the low halves first, then through the high ones, which have a scale of their own. */
template <bool Q4, int T>
__device__ static void multiply(float y[T][QUARTER], const uint4 *steps_of, const uint2 *scales_of, const int8_t *x,
                                size_t x_stride, const float *scale, size_t scale_stride)
{
    enum { TOGETHER = 4 };
#pragma unroll
    for (int half = 0; half < (Q4 ? 2 : 1); half++) {
        int part[T][QUARTER] = {};
#pragma unroll
        for (int s = 0; s < UNIT_STEPS; s += TOGETHER) {
            uint32_t words[TOGETHER][QUARTER];
#pragma unroll
            for (int i = 0; i < TOGETHER; i++) {
                const uint4 w = steps_of[s + i];
                const uint32_t stored[QUARTER] = {w.x, w.y, w.z, w.w};
#pragma unroll
                for (int j = 0; j < QUARTER; j++)
                    words[i][j] = Q4 ? stored[j] >> (4 * half) & 0x0f0f0f0fu : stored[j] ^ 0x80808080u;
            }
#pragma unroll
            for (int t = 0; t < T; t++) {
                const int4 four = *(const int4 *)(x + t * x_stride + (half * UNIT_STEPS + s) * QUANT_STEP);
                const int steps[TOGETHER] = {four.x, four.y, four.z, four.w};
                int more = 0; /* than the product: q4 is stored with 8 added */
#pragma unroll
                for (int i = 0; i < TOGETHER && Q4; i++)
                    more = dot4(0x08080808u, steps[i], more);
#pragma unroll
                for (int j = 0; j < QUARTER; j++) {
                    int sum = part[t][j] - more;
#pragma unroll
                    for (int i = 0; i < TOGETHER; i++)
                        sum = dot4(words[i][j], steps[i], sum);
                    part[t][j] = sum;
                }
            }
        }
#pragma unroll
        for (int t = 0; t < T; t++)
            add_scaled(y[t], part[t], scales_of[half], scale[t * scale_stride]);
    }
}

/* Strips whose parts are kept until they are summed up. */
__host__ __device__ constexpr int quant_kept(int T)
{
    return 32 / T;
}

/* x: [T] rows of values and then [T] rows of scales, as quantise_kernel leaves them; they go to shared memory. */
template <bool Q4, int T> __global__ static void __launch_bounds__(THREADS) quant_kernel(const uint4 *x, const group g)
{
    constexpr int kept = quant_kept(T), QUANT_RING = quant_ring(T);
    __shared__ float parts[kept][WARPS][T][QUANT_STRIP]; /* sums of the warps for the block's latest strips */
    extern __shared__ uint4 shared[];
    unit_slot *const ring = (unit_slot *)shared + threadIdx.x / WARP * QUANT_RING;
    const quant_shape<Q4> q(g.I);
    const int groups = Q4 ? (q.blocks + 1) / 2 : q.blocks, row_bytes = q.blocks * QUANT_BLOCK;
    uint4 *const rows = shared + sizeof(unit_slot) * QUANT_RING * WARPS / sizeof(uint4);
    const int8_t *const values = (const int8_t *)rows;
    const float *const scales = (const float *)(values + (size_t)T * row_bytes);
    const int quarter = threadIdx.x % QUARTERS, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;

    quant_cursor ahead, now;
    ahead.strip = blockIdx.x;
    ahead.enter(g, q);
    now = ahead;
#pragma unroll
    for (int s = 0; s < QUANT_RING - 1; s++) {
        fetch_units<Q4>(ring[s], ahead, g, q);
        ahead.advance(g, q);
    }
    cuda_wait();
    cuda_let_next_start();
    const int all = (T * (row_bytes + groups * (int)sizeof(float)) + 15) / 16;
    take(
        all, [&](int i) { return x + i; }, [&](int i, uint4 v) { rows[i] = v; });
    __syncthreads();

    float sum[T][QUARTER] = {};
    int done = 0, first = now.strip; /* strips in parts, and the first of them */
    for (int s = 0; now.strip < g.units; s = (s + 1) % QUANT_RING) {
        __syncwarp(); /* all have read what is overwritten now */
        fetch_units<Q4>(ring[(s + QUANT_RING - 1) % QUANT_RING], ahead, g, q);
        ahead.advance(g, q);
        copies_wait<QUANT_RING - 1>();
        __syncwarp(); /* the others' copies are there as well */
        const int unit = now.round * UNITS + threadIdx.x / QUARTERS;
        if (unit < q.units) {
            const int u = lane / QUARTERS;
            uint4 step[UNIT_STEPS];
            uint2 scale[2];
#pragma unroll
            for (int i = 0; i < UNIT_STEPS; i++)
                step[i] = *(const uint4 *)&ring[s].step[u][i * QUANT_STEP_BYTES + quarter * 16];
#pragma unroll
            for (int half = 0; half < 2; half++)
                scale[half] = *(const uint2 *)&ring[s].scale[u][half][quarter * QUARTER * 2];
            multiply<Q4, T>(sum, step, scale, values + (size_t)unit * (Q4 ? QUANT_BLOCK : QUANT_BLOCK / 2), row_bytes,
                            scales + unit / 2, groups);
        }
        if (now.round == q.rounds - 1) {
#pragma unroll
            for (int t = 0; t < T; t++)
#pragma unroll
                for (int j = 0; j < QUARTER; j++) {
                    float z = sum[t][j];
                    sum[t][j] = 0;
                    for (int d = QUARTERS; d < WARP; d *= 2)
                        z += __shfl_xor_sync(0xffffffffu, z, d);
                    if (lane < QUARTERS) parts[done][warp][t][quarter * QUARTER + j] = z;
                }
            done++;
        }
        now.advance(g, q);
        if (done < kept && now.strip < g.units) continue;
        __syncthreads();
        for (int i = threadIdx.x; i < done * T * QUANT_STRIP; i += THREADS) {
            const int k = i % QUANT_STRIP, t = i / QUANT_STRIP % T, strip = i / QUANT_STRIP / T;
            int within = first + strip * (int)gridDim.x;
            const auto &m = g.of[map_of(g, &within)];
            const int o = within * QUANT_STRIP + k;
            float z = 0;
            for (int w = 0; w < WARPS; w++)
                z += parts[strip][w][t][k];
            if (o < m.O) {
                float *to = m.y + (size_t)t * m.O + o;
                *to = finished(z + (m.bias ? m.bias[o] : 0), *to, m.e);
            }
        }
        __syncthreads();
        first = now.strip;
        done = 0;
    }
    copies_wait<0>();
}

enum { PARTS_BYTES = 32 * WARPS * QUANT_STRIP * sizeof(float) }; /* at most */

static size_t quant_row_bytes(enum weight_type type, int T, int I) /* values and scales, a multiple of 16 */
{
    return (T * (quant_blocks(I) * QUANT_BLOCK + quant_x_groups(type, I) * sizeof(float)) + 15) / 16 * 16;
}

/* How many rows' values have room beside the ring and the parts; 0: not even one's. */
static int quant_rows_that_fit(enum weight_type type, int I, size_t shared_bytes)
{
    int T = MAX_QUANT_ROWS;
    while (T > 0 &&
           sizeof(unit_slot) * quant_ring(T) * WARPS + quant_row_bytes(type, T, I) + PARTS_BYTES > shared_bytes)
        T--;
    return T;
}

int cuda_stream_rows(const struct ops_cuda *c, enum weight_type w, int I)
{
    if (weight_quantised(w))
        return c->compute == COMPUTE_INT8 && quant_rows_that_fit(w, I, c->shared_bytes) > 0 ? MAX_QUANT_ROWS : 0;
    const size_t room = c->shared_bytes > RING_BYTES + STATIC_BYTES ? c->shared_bytes - RING_BYTES - STATIC_BYTES : 0;
    int T = I % PIECE == 0 ? MAX_ROWS : 0;
    while (T > 0 && rows_bytes(T, I) > room)
        T--;
    return T;
}

template <bool Q4, int T> static void quant_rows(struct ops_cuda *c, const group &g, const void *x)
{
    static bool allowed;
    if (!allowed) cuda_allow_shared((const void *)quant_kernel<Q4, T>, c->shared_bytes - PARTS_BYTES);
    allowed = true;
    const size_t bytes = sizeof(unit_slot) * quant_ring(T) * WARPS +
                         quant_row_bytes(Q4 ? WEIGHT_Q4 : WEIGHT_Q8, T, g.I);
    cuda_launch(c, g.units < c->sms ? g.units : c->sms, THREADS, bytes, quant_kernel<Q4, T>, (const uint4 *)x, g);
}

template <bool Q4>
static void quant(struct ops_cuda *c, const struct linear_map *maps, int n, const float *x, int T, const normed &before)
{
    static_assert(MAX_QUANT_ROWS == 8, "a case a number of rows");
    static void (*const rows[])(struct ops_cuda *, const group &, const void *) = {
        quant_rows<Q4, 1>, quant_rows<Q4, 2>, quant_rows<Q4, 3>, quant_rows<Q4, 4>,
        quant_rows<Q4, 5>, quant_rows<Q4, 6>, quant_rows<Q4, 7>, quant_rows<Q4, 8>};
    const enum weight_type type = maps->w->type;
    const int I = maps->w->I, blocks = (int)quant_blocks(I), most = quant_rows_that_fit(type, I, c->shared_bytes),
              turns = (T + most - 1) / most, wanted = (blocks * QUANT_BLOCK / 4 + WARP - 1) / WARP * WARP,
              threads = before.w || wanted < THREADS ? wanted : THREADS;
    group g = group_of(maps, n, QUANT_STRIP);
    for (int turn = 0, done = 0; turn < turns; turn++) {
        const int here = (T - done + turns - turn - 1) / (turns - turn);
        int8_t *values = (int8_t *)cuda_scratch(c, &c->x, &c->x_bytes, quant_row_bytes(type, MAX_QUANT_ROWS, I));
        float *scales = (float *)(values + (size_t)here * blocks * QUANT_BLOCK);
        cuda_launch(c, dim3((wanted + threads - 1) / threads, here), threads, 0,
                    before.w ? quantise_kernel<true> : quantise_kernel<false>, values, scales, x + (size_t)done * I, I,
                    blocks, quant_x_group(type), before);
        rows[here - 1](c, g, values);
        done += here;
        for (int i = 0; i < n; i++)
            g.of[i].y = maps[i].y + (size_t)done * maps[i].w->O;
    }
}

void cuda_stream(struct ops_cuda *c, const struct linear_map *maps, int n, const float *x, int T,
                 const struct cuda_norm *before)
{
    normed first = {};
    if (before) {
        first.w = (const float *)before->w->data;
        first.b = (const float *)before->b->data;
        first.eps = before->eps;
    }
    switch (maps->w->type) {
    case WEIGHT_F32: stream<float>(c, maps, n, x, T, first); break;
    case WEIGHT_F16: stream<__half>(c, maps, n, x, T, first); break;
    case WEIGHT_BF16: stream<__nv_bfloat16>(c, maps, n, x, T, first); break;
    case WEIGHT_Q8: quant<false>(c, maps, n, x, T, first); break;
    default: quant<true>(c, maps, n, x, T, first); break;
    }
}
