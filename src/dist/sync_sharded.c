// SPDX-License-Identifier: Apache-2.0
/* As allreduce, with the optimizer divided among the replicas: each sums the gradients of its part of the parameters,
 * updates these, and sends them to the others. Moments take 8 / D bytes a parameter instead of 8, and as much is sent.
 * Rajbhandari et al. 2020, "ZeRO", arXiv:1910.02054, stage 1. Parts are whole parameters. */
#include <stdlib.h>

#include "dist/sync.h"

struct sharded {
    struct sync sync;
    size_t *bounds; /* [replicas + 1] of the vector: sync.parts */
};

/* The first parameter of member k's part: those before it have k / n of all values, or the next number above. */
static int first_of(const struct params *p, int k, int n)
{
    const double goal = (double)p->n_values * k / n;
    int i = 0;
    while (i < p->n && (double)p->all[i].at < goal)
        i++;
    return k == n ? p->n : i;
}

static void updates(const struct params *p, const struct group *peers, int *begin, int *end)
{
    *begin = first_of(p, peers->me, peers->n);
    *end = first_of(p, peers->me + 1, peers->n);
}

static enum status open_bounds(struct sync *sync)
{
    struct sharded *s = (struct sharded *)sync;
    const struct params *p = sync->c.params;
    const int n = sync->c.peers->n;
    s->bounds = calloc((size_t)n + 1, sizeof *s->bounds);
    if (!s->bounds) return fail(E_NOMEM, "sharded: out of memory");
    for (int k = 0; k <= n; k++) {
        const int first = first_of(p, k, n);
        s->bounds[k] = first < p->n ? p->all[first].at : p->n_values;
    }
    sync->parts = s->bounds;
    return OK;
}

static void close_bounds(struct sync *s)
{
    free(((struct sharded *)s)->bounds);
}

static enum status combine(struct sync *s, int64_t step)
{
    (void)step;
    const struct params *p = s->c.params;
    return group_reduce_scatter(s->c.peers, NET_SYNC, p->grad, p->n_values, s->parts);
}

static enum status after_update(struct sync *s, int64_t step, double learning_rate)
{
    (void)step;
    (void)learning_rate;
    struct params *p = s->c.params;
    TRY(group_allgather(s->c.peers, NET_SYNC, p->value, p->n_values, sizeof *p->value, s->parts));
    s->moved = true;
    return OK;
}

static size_t bytes(const struct sync_shape *s, int64_t step)
{
    (void)step;
    return group_allreduce_bytes(s->n, s->me, s->all, sizeof(float), s->parts);
}

const struct sync_ops sync_sharded = {.size = sizeof(struct sharded),
                                      .updates = updates,
                                      .open = open_bounds,
                                      .close = close_bounds,
                                      .combine = combine,
                                      .after_update = after_update,
                                      .bytes = bytes};
