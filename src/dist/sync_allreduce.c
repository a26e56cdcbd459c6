// SPDX-License-Identifier: Apache-2.0
/* Gradients are summed in every step: what one process with the whole batch would do, up to the order of the sum. Sends
 * 2 (D - 1) / D * 4 bytes a parameter. */
#include <stdlib.h>

#include "dist/gradient_sum.h"
#include "dist/sync.h"

struct allreduce {
    struct sync sync;
    struct gradient_sum sum;
};

static enum status create(struct sync **out, const struct sync_context *c)
{
    struct allreduce *a = calloc(1, sizeof *a);
    if (!a) return fail(E_NOMEM, "allreduce: out of memory");
    a->sync = (struct sync){&sync_allreduce, *c};
    gradient_sum_open(&a->sum, c->peers, c->params->grad + c->begin, c->end - c->begin);
    *out = &a->sync;
    return OK;
}

static void release(struct sync *s)
{
    free(s);
}

static void progress(struct sync *s, int64_t step, size_t from)
{
    (void)step;
    gradient_sum_progress(&((struct allreduce *)s)->sum, from > s->c.begin ? from - s->c.begin : 0);
}

static enum status combine(struct sync *s, int64_t step)
{
    (void)step;
    return gradient_sum_finish(&((struct allreduce *)s)->sum);
}

static bool always(const struct sync *s, int64_t step)
{
    (void)s;
    (void)step;
    return true;
}

static size_t bytes(const struct sync *s, int64_t step)
{
    (void)step;
    return gradient_sum_bytes(s->c.peers, s->c.end - s->c.begin);
}

const struct sync_ops sync_allreduce = {
    .create = create, .free = release, .progress = progress, .combine = combine, .meets = always, .bytes = bytes};
