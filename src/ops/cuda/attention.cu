// SPDX-License-Identifier: Apache-2.0
/* Attention over visible intervals, and the K/V pages it reads: what a call's rows are to the kernels.
 *
 * Rows of a sequence that has many in the call are multiplied by tensor cores, if products need not be in fp32; all
 * others, and other sizes of a head, are computed in fp32. Rows in tiles are not as if alone to the bit, since what a
 * tile sees decides where its steps begin; all others are. Neither kind lets anything into a row that the row does not
 * see.
 *
 * Tiles take fp16. Of pages of fp32, which training has, a call first makes copies: that is one pass over them, while
 * each is fetched by as many blocks of threads as there are tiles that see it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/attention.cuh"
#include "ops/cuda/attention_items.cuh"
#include "ops/cuda/attention_tiles.cuh"

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int greatest(int a, int b)
{
    return a > b ? a : b;
}

/* ---- int32 words for the device ---- */

struct words {
    int32_t *at;
    size_t n, room;
};

/* Room for n more, undefined. */
static int32_t *words_more(struct words *w, size_t n)
{
    if (w->n + n > w->room) {
        w->room = 2 * (w->n + n) + 1024;
        w->at = static_cast<int32_t *>(realloc(w->at, w->room * sizeof *w->at));
        if (!w->at) cuda_must(cudaErrorMemoryAllocation, "memory for a batch");
    }
    w->n += n;
    return w->at + w->n - n;
}

static void words_append(struct words *w, const void *from, size_t n)
{
    memcpy(words_more(w, n), from, n * sizeof *w->at);
}

static const int32_t *words_mirrored(struct ops_cuda *c, const struct words *w)
{
    return static_cast<const int32_t *>(cuda_mirror(c, w->at, w->n * sizeof *w->at));
}

/* ---- A call's rows ---- */

enum {
    FEWEST_IN_TILES = 16,               /* rows of one sequence */
    MOST_PART_BYTES = 64 * 1024 * 1024, /* of parts that wait to be merged */
};

/* What is to be done, and where it lies in the words. */
struct attention_plan {
    const struct batch *batch;
    int first, T, H, K;
    struct words words;
    bool tiled;  /* sequences of many rows are in tiles             */
    bool copied; /* those take copies of their pages, in this order */
    size_t lo, hi, table, slot, tiles, copies, items, merges;
    int n_tiles, n_copies, n_items, n_merges, n_slots;
    int item_rows; /* of an item at most */
};

/* Rows t .. t + the result are of one sequence. */
static int run_length(const struct attention_plan *p, int t)
{
    const int32_t *sequence = p->batch->sequence + p->first;
    int n = 1;
    while (t + n < p->T && sequence[t + n] == sequence[t])
        n++;
    return n;
}

static bool in_tiles(const struct attention_plan *p, int rows)
{
    return p->tiled && rows >= FEWEST_IN_TILES;
}

static struct attention_tile tile_of(const struct attention_plan *p, int t, int rows)
{
    const int32_t *lo = p->batch->lo + p->first + t, *hi = p->batch->hi + p->first + t;
    struct attention_tile x = {t, rows, lo[0], lo[0], hi[0], hi[0]};
    for (int i = 1; i < rows; i++) {
        x.least_lo = least(x.least_lo, lo[i]);
        x.greatest_lo = greatest(x.greatest_lo, lo[i]);
        x.least_hi = least(x.least_hi, hi[i]);
        x.greatest_hi = greatest(x.greatest_hi, hi[i]);
    }
    return x;
}

static int splits_end(int hi)
{
    return (hi + ATTENTION_SPLIT - 1) / ATTENTION_SPLIT;
}

/* The pages that any of rows t .. t + n of a sequence sees. */
struct page_range {
    const int32_t *pages; /* of the sequence */
    int begin, end;
};

static struct page_range pages_seen(const struct attention_plan *p, int t, int n)
{
    const struct attention_tile all = tile_of(p, t, n);
    const struct page_range r = {p->batch->pages[p->batch->sequence[p->first + t]], all.least_lo / KV_PAGE,
                                 (all.greatest_hi + KV_PAGE - 1) / KV_PAGE};
    return r;
}

/* Where a kernel finds each page of a sequence that any of its rows sees. */
static void plan_tables(struct attention_plan *p)
{
    for (int t = 0, n; t < p->T; t += n) {
        n = run_length(p, t);
        const struct page_range r = pages_seen(p, t, n);
        for (int i = t; i < t + n; i++)
            p->words.at[p->table + (size_t)i] = (int32_t)p->words.n - r.begin;
        if (p->copied && in_tiles(p, n))
            for (int page = r.begin; page < r.end; page++)
                *words_more(&p->words, 1) = p->n_copies++;
        else
            words_append(&p->words, r.pages + r.begin, (size_t)(r.end - r.begin));
        if (!in_tiles(p, n)) p->item_rows = greatest(p->item_rows, least(n, ITEM_ROWS));
    }
}

/* What the copies are of. */
static void plan_copies(struct attention_plan *p)
{
    p->copies = p->words.n;
    for (int t = 0, n; t < p->T; t += n) {
        n = run_length(p, t);
        if (!in_tiles(p, n)) continue;
        const struct page_range r = pages_seen(p, t, n);
        words_append(&p->words, r.pages + r.begin, (size_t)(r.end - r.begin));
    }
}

static void plan_tiles(struct attention_plan *p)
{
    p->tiles = p->words.n;
    for (int t = 0, n; t < p->T; t += n) {
        n = run_length(p, t);
        if (!in_tiles(p, n)) continue;
        for (int i = 0; i < n; i += TILE_ROWS, p->n_tiles++) {
            const struct attention_tile tile = tile_of(p, t + i, least(TILE_ROWS, n - i));
            words_append(&p->words, &tile, sizeof tile / sizeof(int32_t));
        }
    }
}

/* Gives the rows that several items make places for their parts, and lists them. */
static void plan_slots(struct attention_plan *p)
{
    p->merges = p->words.n;
    for (int t = 0, n; t < p->T; t += n) {
        n = run_length(p, t);
        for (int i = in_tiles(p, n) ? n : 0; i < n; i++) {
            const int lo = p->batch->lo[p->first + t + i], hi = p->batch->hi[p->first + t + i];
            const int splits = splits_end(hi) - lo / ATTENTION_SPLIT;
            if (splits == 1) continue;
            p->words.at[p->slot + (size_t)(t + i)] = p->n_slots;
            p->n_slots += splits;
            *words_more(&p->words, 1) = t + i;
            p->n_merges++;
        }
    }
}

/* Items of one split each, or of all that their rows see. */
static void plan_items(struct attention_plan *p, bool whole)
{
    p->items = p->words.n;
    for (int t = 0, n; t < p->T; t += n) {
        n = run_length(p, t);
        for (int i = in_tiles(p, n) ? n : 0; i < n; i += p->item_rows) {
            const struct attention_tile x = tile_of(p, t + i, least(p->item_rows, n - i));
            const int end = splits_end(x.greatest_hi);
            for (int at = x.least_lo / ATTENTION_SPLIT, next; at < end; at = next, p->n_items++) {
                next = whole ? end : at + 1;
                const struct attention_item item = {x.row, x.rows, at, next};
                words_append(&p->words, &item, sizeof item / sizeof(int32_t));
            }
        }
    }
}

/* Whether items should have all splits of their rows: there are enough to keep the device busy, or too many parts. */
static bool plan_is_whole(const struct attention_plan *p, int sms)
{
    enum { BLOCKS_A_MULTIPROCESSOR = 2, ROUNDS = 4 };
    long long items = 0, slots = 0;
    for (int t = 0, n; t < p->T; t += n) {
        n = run_length(p, t);
        if (in_tiles(p, n)) continue;
        items += (n + p->item_rows - 1) / p->item_rows;
        for (int i = p->first + t; i < p->first + t + n; i++)
            slots += splits_end(p->batch->hi[i]) - p->batch->lo[i] / ATTENTION_SPLIT;
    }
    if (slots * p->H * (p->K + 2) * (long long)sizeof(float) > MOST_PART_BYTES) return true;
    return p->item_rows > 1 && items * p->H >= (long long)sms * BLOCKS_A_MULTIPROCESSOR * ROUNDS;
}

static void plan_make(struct attention_plan *p, int sms)
{
    const size_t T = (size_t)p->T;
    p->lo = p->words.n;
    words_append(&p->words, p->batch->lo + p->first, T);
    p->hi = p->words.n;
    words_append(&p->words, p->batch->hi + p->first, T);
    p->table = p->words.n;
    words_more(&p->words, T);
    p->slot = p->words.n;
    memset(words_more(&p->words, T), 0xff, T * sizeof(int32_t));
    plan_tables(p);
    if (p->tiled) plan_tiles(p);
    if (p->n_copies) plan_copies(p);
    if (p->item_rows == 0) return;
    if (p->item_rows > 1) p->item_rows = ITEM_ROWS; /* there are kernels for one row and for so many */
    const bool whole = plan_is_whole(p, sms);
    if (!whole) plan_slots(p);
    plan_items(p, whole);
}

/* ---- Launches ---- */

template <int K>
static void launch_tiles(struct ops_cuda *c, const struct attention_call *a, const struct attention_tile *tiles, int n)
{
    static bool allowed; /* so much shared memory */
    const size_t bytes = tile_shared_bytes<K>();
    if (!allowed) cuda_allow_shared((const void *)attention_tiles<K>, bytes);
    allowed = true;
    cuda_launch(c, dim3((unsigned)n, (unsigned)a->H), dim3(TILE_THREADS), bytes, attention_tiles<K>, *a, tiles);
}

typedef void launch_tiles_fn(struct ops_cuda *c, const struct attention_call *a, const struct attention_tile *tiles,
                             int n);

/* NULL: heads of this size are not computed in tiles. */
static launch_tiles_fn *tiles_of(int K)
{
    switch (K) {
    case 16: return launch_tiles<16>;
    case 32: return launch_tiles<32>;
    case 48: return launch_tiles<48>;
    case 64: return launch_tiles<64>;
    case 80: return launch_tiles<80>;
    case 96: return launch_tiles<96>;
    case 128: return launch_tiles<128>;
    case 256: return launch_tiles<256>;
    default: return NULL;
    }
}

static bool aligned(const void *p)
{
    return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

/* Makes copies of pages, and lets the call take them. */
static void launch_copies(struct ops_cuda *c, const struct attention_plan *p, struct attention_call *a)
{
    enum { THREADS = 256 };
    const int pieces = p->H * KV_PAGE * p->K / 8;
    const size_t n = (size_t)p->n_copies * (size_t)pieces * 8;
    __half *const k = static_cast<__half *>(cuda_scratch(c, &c->half, &c->half_bytes, 2 * n * sizeof(__half)));
    cuda_launch(c, dim3((unsigned)((pieces + THREADS - 1) / THREADS), (unsigned)p->n_copies), dim3(THREADS), 0,
                narrow_pages, k, k + n, static_cast<const float *>(a->k), static_cast<const float *>(a->v),
                a->words + p->copies, pieces);
    a->k = k;
    a->v = k + n;
}

static void launch_items(struct ops_cuda *c, const struct attention_plan *p, struct attention_call *a, enum dtype dtype)
{
    if (p->n_slots) {
        const size_t n = (size_t)p->n_slots * (size_t)p->H;
        void *at = cuda_scratch(c, &c->partial, &c->partial_bytes, n * (sizeof(float2) + (size_t)p->K * sizeof(float)));
        a->stats = static_cast<float2 *>(at);
        a->parts = reinterpret_cast<float *>(a->stats + n);
    }
    const struct attention_item *items = reinterpret_cast<const struct attention_item *>(a->words + p->items);
    const dim3 grid((unsigned)p->n_items, (unsigned)p->H);
    if (dtype == DTYPE_F16)
        cuda_launch(c, grid, dim3(ITEM_THREADS), 0,
                    p->item_rows == 1 ? attention_items<__half, 1> : attention_items<__half, ITEM_ROWS>, *a, items);
    else
        cuda_launch(c, grid, dim3(ITEM_THREADS), 0,
                    p->item_rows == 1 ? attention_items<float, 1> : attention_items<float, ITEM_ROWS>, *a, items);
    if (p->n_merges)
        cuda_launch(c, dim3((unsigned)p->n_merges, (unsigned)p->H), dim3(ITEM_THREADS), 0, attention_merge, *a,
                    a->words + p->merges);
}

void cuda_attention(struct ops *o, float *y, float *lse, const float *q, const struct kv_pages *kv,
                    const struct batch *batch, int first, int T, int H, int K)
{
    struct ops_cuda *c = ops_cuda(o);
    assert(K <= ATTENTION_HEAD);
    launch_tiles_fn *const launch = c->compute != COMPUTE_FP32 ? tiles_of(K) : NULL;
    struct attention_plan p = {};
    p.batch = batch;
    p.first = first;
    p.T = T;
    p.H = H;
    p.K = K;
    p.tiled = launch && aligned(q) && aligned(y);
    p.copied = kv->dtype != DTYPE_F16;
    plan_make(&p, c->sms);

    const int32_t *words = words_mirrored(c, &p.words);
    struct attention_call a = {};
    a.y = y;
    a.lse = lse;
    a.q = q;
    a.k = kv->k;
    a.v = kv->v;
    a.H = H;
    a.K = K;
    a.scale = 1 / sqrtf((float)K);
    a.words = words;
    a.lo = words + p.lo;
    a.hi = words + p.hi;
    a.table = words + p.table;
    a.slot = words + p.slot;
    if (p.n_tiles) {
        struct attention_call tiled = a;
        if (p.n_copies) launch_copies(c, &p, &tiled);
        launch(c, &tiled, reinterpret_cast<const struct attention_tile *>(words + p.tiles), p.n_tiles);
    }
    if (p.n_items) launch_items(c, &p, &a, kv->dtype);
    free(p.words.at);
}

/* ---- Storing ---- */

__device__ static void store_8(float *to, const float x[8])
{
    reinterpret_cast<float4 *>(to)[0] = make_float4(x[0], x[1], x[2], x[3]);
    reinterpret_cast<float4 *>(to)[1] = make_float4(x[4], x[5], x[6], x[7]);
}

__device__ static void store_8(__half *to, const float x[8])
{
    *reinterpret_cast<uint4 *>(to) = make_uint4(packed(x[0], x[1]), packed(x[2], x[3]), packed(x[4], x[5]),
                                                packed(x[6], x[7]));
}

/* What a thread of store_kernel needs besides its numbers. */
struct storing {
    const int32_t *slots, *positions; /* [T] page * KV_PAGE + place in it */
    struct turns turns;               /* R 0: nothing is turned           */
    float *q;                         /* NULL: there is none              */
    int n, H, K, padded;
};

/* The pairs among 8 components from `component` on, each by its own angle at this position. */
__device__ static void turn_8(float x[8], const struct turns &turns, int position, int component)
{
    const int pairs = turns.R / 2, first = component / 2;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        if (first + j >= pairs) break;
        const float s = turns.sin[position * pairs + first + j], c = turns.cos[position * pairs + first + j];
        const float a = x[2 * j], b = x[2 * j + 1];
        x[2 * j] = a * c - b * s;
        x[2 * j + 1] = b * c + a * s;
    }
}

/* A thread has 8 components of k and of v, and turns those of k and of q. What fills a head up is zeros, since whoever
 * reads a key multiplies it. */
template <class E>
__global__ static void store_kernel(E *to_k, E *to_v, const float *k, const float *v, const struct storing s)
{
    cuda_wait();
    cuda_let_next_start();
    const int i = blockIdx.x * blockDim.x + threadIdx.x, pieces = s.padded / 8;
    if (i >= s.n) return;
    const int head = i / pieces, component = i % pieces * 8, slot = s.slots[head / s.H];
    const size_t to = (((size_t)(slot / KV_PAGE) * s.H + head % s.H) * KV_PAGE + slot % KV_PAGE) * s.padded + component;
    const size_t from = (size_t)head * s.K + component;
    float x[8], z[8];
#pragma unroll
    for (int j = 0; j < 8; j++) {
        x[j] = component + j < s.K ? k[from + j] : 0;
        z[j] = component + j < s.K ? v[from + j] : 0;
    }
    const bool turned = component < s.turns.R;
    if (turned) turn_8(x, s.turns, s.positions[head / s.H], component);
    store_8(to_k + to, x);
    store_8(to_v + to, z);
    if (!turned || !s.q) return;
#pragma unroll
    for (int j = 0; j < 8; j++)
        x[j] = component + j < s.K ? s.q[from + j] : 0;
    turn_8(x, s.turns, s.positions[head / s.H], component);
#pragma unroll
    for (int j = 0; j < 8; j++)
        if (component + j < s.turns.R) s.q[from + j] = x[j];
}

void cuda_turn_and_store(struct ops *o, const struct kv_pages *kv, float *q, float *k, const float *v,
                         const struct turns *turns, const struct batch *batch, int first, int T, int H, int K)
{
    enum { THREADS = 256 };
    struct ops_cuda *c = ops_cuda(o);
    struct words slots = {};
    int32_t *slot = words_more(&slots, 2 * (size_t)T);
    for (int t = 0; t < T; t++) {
        const int row = first + t, position = batch->position[row];
        slot[t] = batch->pages[batch->sequence[row]][position / KV_PAGE] * KV_PAGE + position % KV_PAGE;
        slot[T + t] = position;
    }
    const int32_t *on_device = words_mirrored(c, &slots);
    free(slots.at);
    struct storing s = {};
    s.slots = on_device;
    s.positions = on_device + T;
    if (turns) s.turns = *turns;
    s.q = q;
    s.H = H;
    s.K = K;
    s.padded = (int)kernels_padded_head(K);
    s.n = T * H * (s.padded / 8);
    const dim3 grid((unsigned)((s.n + THREADS - 1) / THREADS));
    if (kv->dtype == DTYPE_F16)
        cuda_launch(c, grid, dim3(THREADS), 0, store_kernel<__half>, static_cast<__half *>(kv->k),
                    static_cast<__half *>(kv->v), k, v, s);
    else
        cuda_launch(c, grid, dim3(THREADS), 0, store_kernel<float>, static_cast<float *>(kv->k),
                    static_cast<float *>(kv->v), k, v, s);
}

void cuda_kv_store(struct ops *o, const struct kv_pages *kv, const float *k, const float *v, const struct batch *batch,
                   int first, int T, int H, int K)
{
    const held lock(o);
    cuda_turn_and_store(o, kv, NULL, const_cast<float *>(k), v, NULL, batch, first, T, H, K);
}
