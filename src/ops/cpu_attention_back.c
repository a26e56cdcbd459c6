// SPDX-License-Identifier: Apache-2.0
/* Attention's backward pass. A task is one head of one sequence: it has the sequence's queries and gradients side by
 * side in its thread's scratch and goes from page to page; all rows that see a page pass it, in ascending order, and
 * leave its dK and dV complete. So no sum is shared between threads, and attention's probabilities never exist but for
 * some rows of one page. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "ops/cpu.h"

struct back_job {
    struct ops_cpu *c;
    float *dq, *dk, *dv; /* [T][H][K] */
    const float *dy, *y, *q, *lse;
    const struct kv_pages *kv;
    const int32_t *lo, *hi, *pages;
    int T, H, K;
};

/* One head's numbers in a thread's scratch. */
struct head {
    struct attention_back_rows rows; /* of the whole sequence */
    float *q, *dy, *lse, *delta;     /* what rows shows as const */
    float *keys_across, *values_down, *dk, *dv;
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* q, dy and dq; lse and delta; four pages; p and ds. */
size_t ops_cpu_attention_back_scratch(int K, int sequence)
{
    const size_t S = (size_t)sequence;
    return S * (3 * kernels_padded_head(K) + 2) + 4 * kernels_head_page(K) + 2 * ATTENTION_BACK_ROWS * KV_PAGE;
}

static void head_layout(struct head *x, const struct back_job *j, float *scratch)
{
    const size_t T = (size_t)j->T, stride = kernels_padded_head(j->K), page = kernels_head_page(j->K);
    x->keys_across = scratch;
    x->values_down = x->keys_across + page;
    x->dk = x->values_down + page;
    x->dv = x->dk + page;
    x->q = x->dv + page;
    x->dy = x->q + T * stride;
    float *dq = x->dy + T * stride, *p = dq + T * stride, *ds = p + ATTENTION_BACK_ROWS * KV_PAGE;
    x->lse = ds + ATTENTION_BACK_ROWS * KV_PAGE;
    x->delta = x->lse + T;
    x->rows = (struct attention_back_rows){
        j->T, j->K, 1 / sqrtf((float)j->K), stride, x->q, x->dy, j->lo, j->hi, x->lse, x->delta, dq, p, ds};
}

static void head_begin(struct head *x, const struct back_job *j, float *scratch, int h)
{
    head_layout(x, j, scratch);
    const size_t K = (size_t)j->K, H = (size_t)j->H, stride = x->rows.stride;
    memset(x->q, 0, (size_t)j->T * stride * 3 * sizeof *x->q); /* dy and dq too, and their filling */
    for (size_t t = 0; t < (size_t)j->T; t++) {
        const size_t from = (t * H + (size_t)h) * K;
        memcpy(x->q + t * stride, j->q + from, K * sizeof *x->q);
        memcpy(x->dy + t * stride, j->dy + from, K * sizeof *x->dy);
        double delta = 0;
        for (size_t k = 0; k < K; k++)
            delta += (double)j->dy[from + k] * (double)j->y[from + k];
        x->delta[t] = (float)delta;
        x->lse[t] = j->lse[t * H + (size_t)h];
    }
}

/* A page's column of KV_COLUMN components of KV_PAGE positions is turned from one layout into the other. */
static void turn_page(const struct back_job *j, float *to, const float *from, bool across)
{
    for (size_t k = 0; k < kernels_padded_head(j->K); k += KV_COLUMN) {
        const int n = least(KV_COLUMN, j->K - (int)k);
        if (across)
            j->c->kernels.transpose_32(to + k * KV_PAGE, KV_COLUMN, from + k * KV_PAGE, KV_PAGE, n, KV_PAGE);
        else
            j->c->kernels.transpose_32(to + k * KV_PAGE, KV_PAGE, from + k * KV_PAGE, KV_COLUMN, KV_PAGE, n);
    }
}

/* Rows first .. end through the page. */
static void pass(const struct head *x, const struct back_job *j, const struct attention_back_page *page, int first,
                 int end)
{
    const struct kernels *k = &j->c->kernels;
    const bool rounded = j->c->compute == COMPUTE_BF16 && k->attention_back_bf16;
    for (int t = first; t < end; t += ATTENTION_BACK_ROWS) {
        struct attention_back_rows r = x->rows;
        const size_t skip = (size_t)t * r.stride;
        r.T = least(ATTENTION_BACK_ROWS, end - t);
        r.q += skip;
        r.dy += skip;
        r.dq += skip;
        r.lo += t;
        r.hi += t;
        r.lse += t;
        r.delta += t;
        (rounded ? k->attention_back_bf16 : k->attention_back)(&r, page);
    }
}

/* Gradients of the n positions of a page to their rows. */
static void page_end(const struct back_job *j, float *to, const float *from, int at, int h, int n)
{
    const size_t K = (size_t)j->K;
    for (size_t s = 0; s < (size_t)n; s++) {
        float *row = to + (((size_t)at + s) * (size_t)j->H + (size_t)h) * K;
        for (size_t k = 0; k < K; k += KV_COLUMN)
            memcpy(row + k, from + (k * KV_PAGE + s * KV_COLUMN),
                   (K - k < KV_COLUMN ? K - k : KV_COLUMN) * sizeof *row);
    }
}

static void back_task(void *user, int h, int thread)
{
    const struct back_job *j = user;
    const size_t K = (size_t)j->K, stride = kernels_padded_head(j->K), page_n = kernels_head_page(j->K);
    struct head x;
    head_begin(&x, j, ops_cpu_scratch(j->c, thread), h);
    for (int at = 0, first = 0; at < j->T; at += KV_PAGE) {
        const size_t from = ((size_t)j->pages[at / KV_PAGE] * (size_t)j->H + (size_t)h) * page_n;
        const float *keys = (const float *)j->kv->k + from, *values = (const float *)j->kv->v + from;
        const struct attention_back_page page = {keys, x.keys_across, x.values_down, x.dk, x.dv, at};
        turn_page(j, x.keys_across, keys, true);
        turn_page(j, x.values_down, values, false);
        memset(x.dk, 0, page_n * sizeof *x.dk);
        memset(x.dv, 0, page_n * sizeof *x.dv);
        while (first < j->T && j->hi[first] <= at) /* hi does not decrease: these see nothing of what follows either */
            first++;
        int end = first;
        while (end < j->T && j->lo[end] < at + KV_PAGE)
            end++;
        pass(&x, j, &page, first, end);
        page_end(j, j->dk, x.dk, at, h, least(KV_PAGE, j->T - at));
        page_end(j, j->dv, x.dv, at, h, least(KV_PAGE, j->T - at));
    }
    for (size_t t = 0; t < (size_t)j->T; t++)
        memcpy(j->dq + (t * (size_t)j->H + (size_t)h) * K, x.rows.dq + t * stride, K * sizeof *j->dq);
}

void ops_cpu_attention_back(struct ops *o, float *dq, float *dk, float *dv, const float *dy, const float *y,
                            const float *q, const float *lse, const struct kv_pages *kv, const struct batch *batch,
                            int first, int T, int H, int K)
{
    struct back_job j = {ops_cpu(o),
                         dq,
                         dk,
                         dv,
                         dy,
                         y,
                         q,
                         lse,
                         kv,
                         batch->lo + first,
                         batch->hi + first,
                         batch->pages[batch->sequence[first]],
                         T,
                         H,
                         K};
    assert(kv->dtype == DTYPE_F32 && ops_cpu_attention_back_scratch(K, T) * sizeof(float) <= j.c->scratch_bytes);
    for (int t = 0; t < T; t++)
        assert(batch->position[first + t] == t && j.hi[t] <= T &&
               (!t || (j.lo[t] >= j.lo[t - 1] && j.hi[t] >= j.hi[t - 1])));
    pool_run(j.c->pool, H, back_task, &j);
}
