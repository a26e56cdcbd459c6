// SPDX-License-Identifier: Apache-2.0
#include "net_scenario.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "base/rng.h"
#include "net/collectives.h"

enum { MOST = 5000, LINE = 400 };

float net_scenario_value(int rank, size_t i)
{
    const double u = rng_uniform(7, (uint64_t)rank, i);
    return (float)ldexp(u - 0.5, (int)(rng_u64(8, (uint64_t)rank, i) % 24));
}

struct state {
    struct transport *t;
    float *x; /* [MOST] */
    uint64_t hash;
};

static void fill(struct state *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        s->x[i] = net_scenario_value(s->t->rank, i);
}

static void take(struct state *s, const void *data, size_t bytes)
{
    s->hash = hash_bytes(s->hash, data, bytes);
}

static enum status rings(struct state *s, struct group *g)
{
    static const size_t counts[] = {0, 1, 2, 3, 5, 64, 1000, MOST};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        const size_t n = counts[i];
        fill(s, n);
        TRY(group_allreduce(g, NET_SYNC, s->x, n));
        take(s, s->x, n * sizeof *s->x);
        fill(s, n);
        TRY(group_reduce_scatter(g, NET_GRADIENTS, s->x, n, NULL));
        const size_t begin = group_chunk(n, g->n, g->me), end = group_chunk(n, g->n, g->me + 1);
        take(s, s->x + begin, (end - begin) * sizeof *s->x);
        TRY(group_allgather(g, NET_SYNC, s->x, n, sizeof *s->x, NULL));
        take(s, s->x, n * sizeof *s->x);
    }
    return OK;
}

static enum status small_things(struct state *s, struct group *g)
{
    double values[3] = {net_scenario_value(s->t->rank, 1), 1.0 / (1 + s->t->rank), -s->t->rank}, all[64 * 2];
    TRY(group_sum(g, values, 3));
    take(s, values, sizeof values);
    TRY(group_max(g, values, 3));
    take(s, values, sizeof values);
    for (int root = 0; root < g->n; root++) {
        fill(s, 77);
        TRY(group_broadcast(g, NET_CONTROL, root, s->x, 77 * sizeof *s->x));
        take(s, s->x, 77 * sizeof *s->x);
        const double mine[2] = {s->t->rank, root};
        TRY(group_gather(g, root, all, mine, sizeof mine));
        if (g->me == root) take(s, all, sizeof mine * (size_t)g->n);
        TRY(group_barrier(g));
    }
    return OK;
}

/* Round the ranks: several messages under way, received in another order than sent. */
static enum status messages(struct state *s)
{
    enum { N = 6 };
    struct transport *t = s->t;
    struct net_request requests[2 * N] = {0};
    float in[N][100];
    fill(s, N * 100);
    for (int i = 0; i < N; i++)
        TRY(net_recv(t, &requests[i], (t->rank + t->size - 1) % t->size, NET_ACTIVATIONS, N - i, in[i],
                     (size_t)i * 80));
    for (int i = 0; i < N; i++)
        TRY(net_send(t, &requests[N + i], (t->rank + 1) % t->size, NET_ACTIVATIONS, N - i, s->x + i * 100,
                     (size_t)i * 80));
    TRY(net_wait_all(t, requests, 2 * N));
    for (int i = 0; i < N; i++)
        take(s, in[i], (size_t)i * 80);
    return OK;
}

static enum status work(struct state *s, struct group *all, struct group *pipeline, struct group *replicas)
{
    struct group *const groups[] = {all, pipeline, replicas};
    for (size_t i = 0; i < COUNT_OF(groups); i++) {
        TRY(rings(s, groups[i]));
        TRY(small_things(s, groups[i]));
    }
    return messages(s);
}

static enum status report(struct state *s, struct group *all, struct buf *out)
{
    char line[LINE] = "", lines[64 * LINE];
    int len = snprintf(line, sizeof line, "rank %d of %d: %016" PRIx64, s->t->rank, s->t->size, s->hash);
    for (enum net_purpose p = 0; p < NET_PURPOSES; p++) {
        const struct net_count sent = net_sent(s->t, p), received = net_received(s->t, p);
        len += snprintf(line + len, sizeof line - (size_t)len, " %s %" PRIu64 "/%" PRIu64 " %" PRIu64 "/%" PRIu64,
                        net_purpose_name(p), sent.bytes, sent.messages, received.bytes, received.messages);
    }
    TRY(group_gather(all, 0, lines, line, LINE));
    for (int i = 0; s->t->rank == 0 && i < s->t->size; i++)
        buf_printf(out, "%s\n", lines + (size_t)i * LINE);
    return buf_status(out);
}

enum status net_scenario(struct transport *t, struct buf *out)
{
    struct state s = {.t = t, .x = malloc(MOST * sizeof(float)), .hash = HASH_BEGIN};
    struct group groups[3] = {0};
    const int stages = 2, stage = t->rank % stages;
    const struct group_shape shapes[] = {
        {.stride = 1, .n = t->size, .tag = 1, .segment_bytes = 1024, .window = 3},
        {.first = t->rank - stage, .stride = 1, .n = stages, .tag = 2, .segment_bytes = 64, .window = 1},
        {.first = stage, .stride = stages, .n = t->size / stages, .tag = 3},
    };
    enum status status = s.x ? OK : fail(E_NOMEM, "out of memory");
    for (size_t i = 0; status == OK && i < COUNT_OF(shapes); i++)
        status = group_open(&groups[i], t, &shapes[i]);
    if (status == OK) status = work(&s, &groups[0], &groups[1], &groups[2]);
    if (status == OK) status = report(&s, &groups[0], out);
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        group_close(&groups[i]);
    free(s.x);
    return status;
}
