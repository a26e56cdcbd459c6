// SPDX-License-Identifier: Apache-2.0
/* Attention over visible intervals, and the K/V pages it reads.
 *
 * A task is one head of some rows, whose queries and results it keeps side by side in its thread's scratch while it
 * takes them, page after page, through all positions that any of them sees. Rows whose page tables name the same page
 * pass it together, whether they are of one sequence or of many that share a prompt, so it is read once for all. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "ops/cpu.h"

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int greatest(int a, int b)
{
    return a > b ? a : b;
}

/* ---- A task's rows and scratch ---- */

enum {
    MOST_ROWS = 192, /* with 256 components that is 400 KB of queries and results: they stay in the L2 cache */
    FEWEST_ROWS = 12,
    WIDEN_ROWS = 4, /* from so many rows on a page is widened once and not in every tile's registers */
};

static int rows_a_task(int K)
{
    const size_t fit = (size_t)MOST_ROWS * 256 / kernels_padded_head(K);
    return fit > MOST_ROWS ? MOST_ROWS : fit < FEWEST_ROWS ? FEWEST_ROWS : (int)fit;
}

/* q, y and scores of the rows; four numbers a row at most; a widened page of keys and one of values. */
size_t ops_cpu_attention_scratch(int K)
{
    const size_t rows = (size_t)rows_a_task(K);
    return rows * (2 * kernels_padded_head(K) + KV_PAGE) + 4 * MOST_ROWS + 2 * kernels_head_page(K);
}

struct attention_job {
    struct ops_cpu *c;
    float *y, *lse; /* lse may be NULL */
    const float *q;
    const struct kv_pages *kv;
    const struct batch *batch;
    int first, T, H, K;
    int rows, tiles; /* of one task; of one head */
};

struct tile {
    struct attention_rows rows;
    float *keys, *values; /* room for a widened page */
    int h, first;         /* head; the batch's row that is the first here */
};

static void tile_begin(struct tile *x, const struct attention_job *j, float *scratch, int h, int t, int T)
{
    const size_t stride = kernels_padded_head(j->K), page = kernels_head_page(j->K), n = (size_t)T;
    float *y = scratch, *q = y + n * stride, *keys = q + n * stride, *values = keys + page, *score = values + page;
    float *max = score + n * KV_PAGE, *sum = max + MOST_ROWS, *keep = sum + MOST_ROWS;
    const int32_t *lo = j->batch->lo + j->first + t, *hi = j->batch->hi + j->first + t;
    *x = (struct tile){{T, j->K, 1 / sqrtf((float)j->K), stride, q, lo, hi, y, max, sum, score, keep, NULL},
                       keys,
                       values,
                       h,
                       j->first + t};
    memset(y, 0, n * stride * sizeof *y);
    for (int i = 0; i < T; i++) {
        max[i] = -INFINITY;
        sum[i] = 0;
        memcpy(q + (size_t)i * stride, j->q + ((size_t)(t + i) * (size_t)j->H + (size_t)h) * (size_t)j->K,
               (size_t)j->K * sizeof *q);
    }
}

static void tile_end(const struct tile *x, const struct attention_job *j, int t)
{
    const struct attention_rows *r = &x->rows;
    for (int i = 0; i < r->T; i++) {
        const float scale = 1 / r->sum[i], *from = r->y + (size_t)i * r->stride;
        float *to = j->y + ((size_t)(t + i) * (size_t)j->H + (size_t)x->h) * (size_t)j->K;
        for (int k = 0; k < j->K; k++)
            to[k] = from[k] * scale;
        if (j->lse) j->lse[(size_t)(t + i) * (size_t)j->H + (size_t)x->h] = r->max[i] + logf(r->sum[i]);
    }
}

/* ---- Through the pages ---- */

/* The page that holds a position of a row's sequence, and the element of all pages where it has a head. */
static int32_t page_at(const struct batch *b, int row, int position)
{
    return b->pages[b->sequence[row]][position / KV_PAGE];
}

static size_t head_at(int H, int K, int32_t page, int h)
{
    return ((size_t)page * (size_t)H + (size_t)h) * kernels_head_page(K);
}

/* The page that holds positions at .. at + KV_PAGE of row i's sequence, -1 if the row sees none of them. */
static int32_t page_of(const struct tile *x, const struct batch *b, int i, int at)
{
    const bool sees = x->rows.lo[i] < at + KV_PAGE && x->rows.hi[i] > at;
    return sees ? page_at(b, x->first + i, at) : -1;
}

/* Where a page of K or V has a head. */
static const void *head_of(const struct attention_job *j, const void *pages, int32_t page, int h)
{
    return (const char *)pages + head_at(j->H, j->K, page, h) * dtype_bytes(j->kv->dtype);
}

/* Rows begin .. end of the tile through the page of that number. */
static void pass(const struct tile *x, const struct attention_job *j, int begin, int end, int32_t page, int at)
{
    const struct kernels *kernels = &j->c->kernels;
    const int32_t next = page_of(x, j->batch, begin, at + KV_PAGE);
    const void *keys = head_of(j, j->kv->k, page, x->h), *values = head_of(j, j->kv->v, page, x->h);
    const size_t n = kernels_head_page(j->K), first = (size_t)begin;
    struct attention_rows r = x->rows;
    r.T = end - begin;
    r.q += first * r.stride;
    r.y += first * r.stride;
    r.lo += begin;
    r.hi += begin;
    r.max += begin;
    r.sum += begin;
    r.next = next < 0 ? NULL : head_of(j, j->kv->k, next, x->h);
    const bool narrow = j->kv->dtype == DTYPE_F16, wide = !narrow || r.T >= WIDEN_ROWS;
    if (j->c->compute != COMPUTE_FP32 && kernels->attention_f16_bf16) {
        (narrow ? kernels->attention_f16_bf16 : kernels->attention_f32_bf16)(&r, keys, values, at);
        return;
    }
    if (narrow && wide) {
        kernels->widen_f16(x->keys, keys, n);
        kernels->widen_f16(x->values, values, n);
        keys = x->keys;
        values = x->values;
        r.next = NULL;
    }
    (wide ? kernels->attention_f32 : kernels->attention_f16)(&r, keys, values, at);
}

static void attention_task(void *user, int task, int thread)
{
    const struct attention_job *j = user;
    const int t = task % j->tiles * j->rows, T = least(j->rows, j->T - t);
    struct tile x;
    tile_begin(&x, j, ops_cpu_scratch(j->c, thread), task / j->tiles, t, T);
    int lo = x.rows.lo[0], hi = x.rows.hi[0];
    for (int i = 1; i < T; i++) {
        lo = least(lo, x.rows.lo[i]);
        hi = greatest(hi, x.rows.hi[i]);
    }
    for (int at = lo / KV_PAGE * KV_PAGE; at < hi; at += KV_PAGE) {
        for (int i = 0, end; i < T; i = end) {
            const int32_t page = page_of(&x, j->batch, i, at);
            for (end = i + 1; end < T && page_of(&x, j->batch, end, at) == page;)
                end++;
            if (page >= 0) pass(&x, j, i, end, page, at);
        }
    }
    tile_end(&x, j, t);
}

void ops_cpu_attention(struct ops *o, float *y, float *lse, const float *q, const struct kv_pages *kv,
                       const struct batch *batch, int first, int T, int H, int K)
{
    struct attention_job j = {ops_cpu(o), y, lse, q, kv, batch, first, T, H, K, rows_a_task(K), 0};
    assert(ops_cpu_attention_scratch(K) * sizeof(float) <= j.c->scratch_bytes);
    /* Large tiles read K/V less often; a few tasks for each thread keep all of them busy to the end. */
    while (j.rows > FEWEST_ROWS && (T + j.rows - 1) / j.rows * H < 4 * pool_threads(j.c->pool))
        j.rows = greatest(j.rows / 2, FEWEST_ROWS);
    j.tiles = (T + j.rows - 1) / j.rows;
    pool_run(j.c->pool, j.tiles * H, attention_task, &j); /* tiles of a head in a row, for its K/V's sake */
}

/* ---- Storing ---- */

struct store_job {
    struct ops_cpu *c;
    const struct kv_pages *kv;
    const float *k, *v;
    const struct batch *batch;
    int first, T, H, K;
};

/* How many rows from t on, before end, go to one page, position after position. */
static int run_length(const struct store_job *j, int t, int end)
{
    const int row = j->first + t, *position = j->batch->position;
    int n = 1;
    while (t + n < end && position[row + n] == position[row] + n &&
           page_at(j->batch, row + n, position[row + n]) == page_at(j->batch, row, position[row]))
        n++;
    return n;
}

/* n rows of one head, stride apart, become the page's: keys lie KV_PAGE apart, values in columns. */
static void put(const struct store_job *j, char *keys, char *values, const char *k, const char *v, size_t stride, int n)
{
    const size_t bytes = dtype_bytes(j->kv->dtype), column = KV_PAGE * KV_COLUMN * bytes, K = (size_t)j->K;
    k_transpose_fn *transpose = bytes == 4 ? j->c->kernels.transpose_32 : j->c->kernels.transpose_16;
    transpose(keys, KV_PAGE, k, stride, n, j->K);
    for (size_t c = 0; c < K; c += KV_COLUMN, values += column)
        for (int t = 0; t < n; t++)
            memcpy(values + (size_t)t * KV_COLUMN * bytes, v + ((size_t)t * stride + c) * bytes,
                   (K - c < KV_COLUMN ? K - c : KV_COLUMN) * bytes);
}

/* n rows of a head, which begin at k and v, as fp16 in the thread's scratch: keys, and behind them values. */
static const f16 *narrowed(const struct store_job *j, int thread, const float *k, const float *v, int n)
{
    f16 *to = ops_cpu_scratch(j->c, thread);
    const size_t K = (size_t)j->K, stride = (size_t)j->H * K;
    assert(2 * (size_t)n * K * sizeof *to <= j->c->scratch_bytes);
    for (size_t t = 0; t < (size_t)n; t++) {
        j->c->kernels.narrow_f16(to + t * K, k + t * stride, K);
        j->c->kernels.narrow_f16(to + ((size_t)n + t) * K, v + t * stride, K);
    }
    return to;
}

/* Up to KV_PAGE rows of one head. */
static void store_task(void *user, int task, int thread)
{
    const struct store_job *j = user;
    const int h = task % j->H, begin = task / j->H * KV_PAGE, end = least(begin + KV_PAGE, j->T);
    const size_t H = (size_t)j->H, K = (size_t)j->K, bytes = dtype_bytes(j->kv->dtype);
    for (int t = begin, n; t < end; t += n) {
        n = run_length(j, t, end);
        const int position = j->batch->position[j->first + t];
        const size_t slot = (size_t)(position % KV_PAGE);
        const size_t page = head_at(j->H, j->K, page_at(j->batch, j->first + t, position), h);
        char *keys = (char *)j->kv->k + (page + slot) * bytes;
        char *values = (char *)j->kv->v + (page + slot * KV_COLUMN) * bytes;
        const float *k = j->k + ((size_t)t * H + (size_t)h) * K, *v = j->v + ((size_t)t * H + (size_t)h) * K;
        if (j->kv->dtype == DTYPE_F32) {
            put(j, keys, values, (const char *)k, (const char *)v, H * K, n);
        } else {
            const f16 *rows = narrowed(j, thread, k, v, n);
            put(j, keys, values, (const char *)rows, (const char *)(rows + (size_t)n * K), K, n);
        }
    }
}

void ops_cpu_kv_store(struct ops *o, const struct kv_pages *kv, const float *k, const float *v,
                      const struct batch *batch, int first, int T, int H, int K)
{
    struct store_job j = {ops_cpu(o), kv, k, v, batch, first, T, H, K};
    const int n_tasks = (T + KV_PAGE - 1) / KV_PAGE * H;
    if (T > 1) {
        pool_run(j.c->pool, n_tasks, store_task, &j);
    } else { /* sooner done than told to others, in the scratch of their first thread */
        pool_hold(j.c->pool);
        for (int task = 0; task < n_tasks; task++)
            store_task(&j, task, 0);
        pool_release(j.c->pool);
    }
}
