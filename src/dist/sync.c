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

/* In shared steps, unless the algorithm is one that does it otherwise. */
bool sync_sums(const struct recipe *r, int64_t step)
{
    const struct sync_ops *ops = sync_ops((enum train_sync)r->sync);
    return sync_shares(r, step) && (ops->own_steps || !ops->combine);
}

bool sync_meets(const struct recipe *r, int64_t step)
{
    const struct sync_ops *ops = sync_ops((enum train_sync)r->sync);
    return sync_shares(r, step) || !ops->meets || ops->meets(r, step);
}

/* ---- Formulas ---- */

size_t sync_shape_bytes(const struct sync_shape *s, int64_t step)
{
    if (sync_sums(s->recipe, step)) return gradient_sum_bytes(s->n, s->me, s->values);
    return sync_ops((enum train_sync)s->recipe->sync)->bytes(s, step);
}

size_t sync_shape_memory(const struct sync_shape *s)
{
    const struct sync_ops *ops = sync_ops((enum train_sync)s->recipe->sync);
    return ops->memory ? ops->memory(s) : 0;
}

size_t sync_shape_mean_bytes(const struct sync_shape *s)
{
    return group_allreduce_bytes(s->n, s->me, s->values, sizeof(float), NULL);
}

size_t sync_shape_fragment(const struct sync_shape *s, int f)
{
    const int n = (int)s->recipe->sync_fragments;
    if (s->fragment) return s->fragment(s, f);
    return group_chunk(s->values, n, f + 1) - group_chunk(s->values, n, f);
}

size_t sync_shape_largest(const struct sync_shape *s)
{
    size_t most = 0;
    for (int f = 0; f < s->recipe->sync_fragments; f++)
        if (sync_shape_fragment(s, f) > most) most = sync_shape_fragment(s, f);
    return most;
}

/* ---- Replicas at work ---- */

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
    if (sync_sums(s->c.recipe, step))
        gradient_sum_progress(&s->sum, from > s->c.begin ? from - s->c.begin : 0);
    else if (s->ops->progress)
        s->ops->progress(s);
}

enum status sync_combine(struct sync *s, int64_t step)
{
    if (sync_sums(s->c.recipe, step)) return gradient_sum_finish(&s->sum);
    return s->ops->combine ? s->ops->combine(s, step) : OK;
}

struct sync_shape sync_shape_of(const struct sync *s)
{
    return (struct sync_shape){.recipe = s->c.recipe,
                               .n = s->c.peers->n,
                               .me = s->c.peers->me,
                               .values = sync_values(s),
                               .all = s->c.end,
                               .parts = s->parts,
                               .fragment = s->fragment,
                               .source = s->source};
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
