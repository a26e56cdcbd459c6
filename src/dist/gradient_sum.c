// SPDX-License-Identifier: Apache-2.0
#include "dist/gradient_sum.h"

void gradient_sum_open(struct gradient_sum *d, struct group *g, float *x, size_t n, struct trace *trace)
{
    *d = (struct gradient_sum){.g = g, .x = x, .n = n, .bucket = gradient_sum_bucket(n), .done = n, .trace = trace};
}

size_t gradient_sum_bucket(size_t n)
{
    const size_t times = n / ((size_t)GRADIENT_SUM_MOST * GRADIENT_SUM_SMALLEST);
    return (times + 1) * GRADIENT_SUM_SMALLEST;
}

/* Where the bucket that ends at `end` begins: at multiples of the bucket's size. */
static size_t begin_of(const struct gradient_sum *d, size_t end)
{
    return end ? (end - 1) / d->bucket * d->bucket : 0;
}

static enum status begin_next(struct gradient_sum *d)
{
    const size_t begin = begin_of(d, d->done), n = d->done - begin;
    d->done = begin;
    d->active = true;
    d->since_ns = trace_now(d->trace);
    if (d->since_ns) d->ring_bytes = group_allreduce_bytes(d->g->n, d->g->me, n, sizeof(float), NULL);
    return group_begin_allreduce(d->g, NET_SYNC, d->x + begin, n);
}

static void end_ring(struct gradient_sum *d)
{
    d->active = false;
    trace_add(d->trace, d->since_ns, (struct trace_event){.kind = TRACE_RING, .bytes = d->ring_bytes});
}

void gradient_sum_progress(struct gradient_sum *d, size_t from)
{
    if (d->g->n == 1) return;
    bool over = !d->active;
    if (d->active && group_test(d->g, &over) != OK) return;
    if (!over) return;
    if (d->active) end_ring(d);
    if (d->done && begin_of(d, d->done) >= from) (void)begin_next(d);
}

enum status gradient_sum_finish(struct gradient_sum *d)
{
    if (d->g->n == 1) return OK;
    while (d->active || d->done) {
        if (!d->active) TRY(begin_next(d));
        TRY(group_wait(d->g));
        end_ring(d);
    }
    d->done = d->n;
    return OK;
}

static size_t bucket_bytes(int members, int me, size_t n)
{
    return group_allreduce_bytes(members, me, n, sizeof(float), NULL);
}

size_t gradient_sum_bytes(int members, int me, size_t n)
{
    const size_t bucket = gradient_sum_bucket(n);
    return n / bucket * bucket_bytes(members, me, bucket) + bucket_bytes(members, me, n % bucket);
}

size_t gradient_sum_rings(size_t n)
{
    return (n + gradient_sum_bucket(n) - 1) / gradient_sum_bucket(n);
}
