// SPDX-License-Identifier: Apache-2.0
/* Attention over visible intervals, and the K/V pages it reads. A task is one head of a few rows; a row's scores over
 * its whole interval are laid out in the thread's scratch, page after page, so where pages lie changes nothing. */
#include <math.h>
#include <string.h>

#include "ops/cpu.h"

enum { ROWS_A_TASK = 4 };

struct attention_job {
    struct ops_cpu *c;
    float *y;
    const float *q, *k_pages, *v_pages;
    const struct batch *batch;
    int first, T, H, K;
};

static size_t page_at(const int32_t *pages, int position, int h, int H, int K)
{
    const size_t page = (size_t)pages[position / KV_PAGE], slot = (size_t)(position % KV_PAGE);
    return ((page * (size_t)H + (size_t)h) * KV_PAGE + slot) * (size_t)K;
}

/* How many positions from s on, below hi, lie in the same page. */
static int run_length(int s, int hi)
{
    const int left = KV_PAGE - s % KV_PAGE;
    return left < hi - s ? left : hi - s;
}

static void attend(const struct attention_job *j, float *score, int t, int h)
{
    const struct kernels *kernels = &j->c->kernels;
    const struct batch *b = j->batch;
    const int row = j->first + t, lo = b->lo[row], hi = b->hi[row];
    const int32_t *pages = b->pages[b->sequence[row]];
    const size_t at = ((size_t)t * (size_t)j->H + (size_t)h) * (size_t)j->K;
    const float scale = 1 / sqrtf((float)j->K);

    for (int s = lo, n; s < hi; s += n) {
        n = run_length(s, hi);
        kernels->attention_scores(score + (s - lo), j->q + at, j->k_pages + page_at(pages, s, h, j->H, j->K), n, j->K,
                                  scale);
    }
    kernels->softmax(score, hi - lo);
    memset(j->y + at, 0, (size_t)j->K * sizeof *j->y);
    for (int s = lo, n; s < hi; s += n) {
        n = run_length(s, hi);
        kernels->attention_mix(j->y + at, score + (s - lo), j->v_pages + page_at(pages, s, h, j->H, j->K), n, j->K);
    }
}

static void attention_task(void *user, int task, int thread)
{
    const struct attention_job *j = user;
    const int h = task % j->H, begin = task / j->H * ROWS_A_TASK;
    for (int t = begin; t < begin + ROWS_A_TASK && t < j->T; t++)
        attend(j, ops_cpu_scratch(j->c, thread), t, h);
}

void ops_cpu_attention(struct ops *o, float *y, const float *q, const float *k_pages, const float *v_pages,
                       const struct batch *batch, int first, int T, int H, int K)
{
    struct attention_job j = {ops_cpu(o), y, q, k_pages, v_pages, batch, first, T, H, K};
    pool_run(j.c->pool, (T + ROWS_A_TASK - 1) / ROWS_A_TASK * H, attention_task, &j);
}

void ops_cpu_kv_store(struct ops *o, float *k_pages, float *v_pages, const float *k, const float *v,
                      const struct batch *batch, int first, int T, int H, int K)
{
    (void)o;
    const size_t bytes = (size_t)K * sizeof *k;
    for (int t = 0; t < T; t++) {
        const int row = first + t;
        const int32_t *pages = batch->pages[batch->sequence[row]];
        for (int h = 0; h < H; h++) {
            const size_t to = page_at(pages, batch->position[row], h, H, K);
            const size_t from = ((size_t)t * (size_t)H + (size_t)h) * (size_t)K;
            memcpy(k_pages + to, k + from, bytes);
            memcpy(v_pages + to, v + from, bytes);
        }
    }
}
