// SPDX-License-Identifier: Apache-2.0
#include "dist/sync.h"

#include <stdlib.h>
#include <string.h>

const struct sync_ops *sync_ops(enum train_sync which)
{
    static const struct sync_ops *const all[] = {
        [SYNC_ALLREDUCE] = &sync_allreduce, [SYNC_SHARDED] = &sync_sharded,   [SYNC_PROXSKIP] = &sync_proxskip,
        [SYNC_DILOCO] = &sync_diloco,       [SYNC_COCKTAIL] = &sync_cocktail, [SYNC_STREAMING] = &sync_streaming,
        [SYNC_SPARSE] = &sync_sparse};
    return all[which];
}

bool sync_shares(const struct recipe *r, int64_t step)
{
    return !sync_ops((enum train_sync)r->sync)->own_steps || step < r->sync_warmup_steps;
}

/* Gradients are summed here: in shared steps, unless the algorithm is one that does it otherwise. */
static bool sums(const struct sync *s, int64_t step)
{
    return sync_shares(s->c.recipe, step) && (s->ops->own_steps || !s->ops->combine);
}

enum status sync_create(struct sync **out, const struct sync_context *c)
{
    const struct sync_ops *ops = sync_ops((enum train_sync)c->recipe->sync);
    struct sync *s = calloc(1, ops->size);
    if (!s) return fail(E_NOMEM, "synchronisation: out of memory");
    s->ops = ops;
    s->c = *c;
    gradient_sum_open(&s->sum, c->peers, c->params->grad + c->begin, c->end - c->begin, c->trace);
    const enum status opened = ops->open ? ops->open(s) : OK;
    if (opened != OK) {
        sync_free(s);
        return opened;
    }
    *out = s;
    return OK;
}

void sync_free(struct sync *s)
{
    if (s && s->ops->close) s->ops->close(s);
    free(s);
}

void sync_progress(struct sync *s, int64_t step, size_t from)
{
    if (sums(s, step))
        gradient_sum_progress(&s->sum, from > s->c.begin ? from - s->c.begin : 0);
    else if (s->ops->progress)
        s->ops->progress(s);
}

enum status sync_combine(struct sync *s, int64_t step)
{
    if (sums(s, step)) return gradient_sum_finish(&s->sum);
    return s->ops->combine ? s->ops->combine(s, step) : OK;
}

bool sync_meets(const struct sync *s, int64_t step)
{
    return sync_shares(s->c.recipe, step) || !s->ops->meets || s->ops->meets(s, step);
}

size_t sync_bytes(const struct sync *s, int64_t step)
{
    return sums(s, step) ? gradient_sum_bytes(s->c.peers, sync_values(s)) : s->ops->bytes(s, step);
}

size_t sync_values(const struct sync *s)
{
    return s->c.end - s->c.begin;
}

void sync_clear_gaps(const struct sync *s, float *x)
{
    const struct params *p = s->c.params;
    for (int i = 0; i < p->n; i++) {
        const size_t end = p->all[i].at + p->all[i].n, next = i + 1 < p->n ? p->all[i + 1].at : p->n_values;
        memset(x + end, 0, (next - end) * sizeof *x);
    }
}

enum status sync_mean(const struct sync *s, float *x)
{
    struct group *g = s->c.peers;
    if (g->n == 1) return OK;
    TRY(group_allreduce(g, NET_SYNC, x + s->c.begin, sync_values(s)));
    const float share = 1.0F / (float)g->n;
    for (size_t i = s->c.begin; i < s->c.end; i++)
        x[i] *= share;
    return OK;
}

size_t sync_mean_bytes(const struct sync *s)
{
    return group_allreduce_bytes(s->c.peers, sync_values(s), sizeof(float), NULL);
}
