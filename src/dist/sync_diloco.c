// SPDX-License-Identifier: Apache-2.0
/* DiLoCo (Douillard et al. 2023, arXiv:2311.08105). All replicas take H steps of their own from the same parameters
 * theta; then the mean of how far they have come, D = mean(theta - x), is the gradient of an outer optimizer, SGD with
 * Nesterov momentum, and all go on from where that leads:
 *
 *     u = mu u + D        theta = theta - lr (D + mu u)        x = theta
 *
 * AdamW's moments stay each replica's own. lr 1 and mu 0 are the plain mean of parameters. Sends 2 (D - 1) / D * 4 / H
 * bytes a parameter and step, in fp32. */
#include <stdlib.h>
#include <string.h>

#include "dist/gradient_sum.h"
#include "dist/sync.h"

struct diloco {
    struct sync sync;
    struct gradient_sum warmup;
    float *theta, *momentum, *delta; /* [n_values] */
    bool dense;                      /* the last step was, so the parameters are everybody's */
};

static size_t n_of(const struct sync *s)
{
    return s->c.end - s->c.begin;
}

static void release(struct sync *s)
{
    struct diloco *d = (struct diloco *)s;
    if (!d) return;
    free(d->theta);
    free(d->momentum);
    free(d->delta);
    free(d);
}

static void begin_anew(struct diloco *d)
{
    const struct params *p = d->sync.c.params;
    memcpy(d->theta, p->value, p->n_values * sizeof *d->theta);
    memset(d->momentum, 0, p->n_values * sizeof *d->momentum);
}

static enum status create(struct sync **out, const struct sync_context *c)
{
    const size_t n = c->params->n_values;
    struct diloco *d = calloc(1, sizeof *d);
    if (!d) return fail(E_NOMEM, "diloco: out of memory");
    d->sync = (struct sync){&sync_diloco, *c};
    d->theta = calloc(n, sizeof *d->theta);
    d->momentum = calloc(n, sizeof *d->momentum);
    d->delta = calloc(n, sizeof *d->delta);
    if (!d->theta || !d->momentum || !d->delta) {
        release(&d->sync);
        return fail(E_NOMEM, "diloco: out of memory for %zu parameters", n);
    }
    gradient_sum_open(&d->warmup, c->peers, c->params->grad + c->begin, c->end - c->begin);
    begin_anew(d);
    *out = &d->sync;
    return OK;
}

static void progress(struct sync *s, int64_t step, size_t from)
{
    if (sync_shares(s->c.recipe, step))
        gradient_sum_progress(&((struct diloco *)s)->warmup, from > s->c.begin ? from - s->c.begin : 0);
}

static enum status combine(struct sync *s, int64_t step)
{
    return sync_shares(s->c.recipe, step) ? gradient_sum_finish(&((struct diloco *)s)->warmup) : OK;
}

/* H steps after the last dense one, or the beginning, and every H from there. */
static bool is_outer(const struct sync *s, int64_t step)
{
    const struct recipe *r = s->c.recipe;
    return !sync_shares(r, step) && (step + 1 - r->sync_warmup_steps) % r->sync_steps == 0;
}

static bool meets(const struct sync *s, int64_t step)
{
    return sync_shares(s->c.recipe, step) || is_outer(s, step);
}

static enum status outer_step(struct diloco *d)
{
    const struct recipe *r = d->sync.c.recipe;
    struct group *g = d->sync.c.peers;
    float *x = d->sync.c.params->value;
    const float mean = 1.0F / (float)g->n, lr = (float)r->outer_learning_rate, mu = (float)r->outer_momentum;
    for (size_t i = d->sync.c.begin; i < d->sync.c.end; i++)
        d->delta[i] = d->theta[i] - x[i];
    if (g->n > 1) TRY(group_allreduce(g, NET_SYNC, d->delta + d->sync.c.begin, n_of(&d->sync)));
    for (size_t i = d->sync.c.begin; i < d->sync.c.end; i++) {
        const float gradient = d->delta[i] * mean;
        d->momentum[i] = mu * d->momentum[i] + gradient;
        d->theta[i] -= lr * (gradient + mu * d->momentum[i]);
        x[i] = d->theta[i];
    }
    params_changed(d->sync.c.params);
    return OK;
}

static enum status after_update(struct sync *s, int64_t step, double learning_rate)
{
    (void)learning_rate;
    struct diloco *d = (struct diloco *)s;
    d->dense = sync_shares(s->c.recipe, step);
    if (d->dense && !sync_shares(s->c.recipe, step + 1)) begin_anew(d);
    return is_outer(s, step) ? outer_step(d) : OK;
}

/* Where all began their last steps. */
static enum status model(struct sync *s, const float **values)
{
    struct diloco *d = (struct diloco *)s;
    *values = d->dense ? s->c.params->value : d->theta;
    return OK;
}

static int vectors(struct sync *s, struct team_vector *out)
{
    struct diloco *d = (struct diloco *)s;
    out[0] = (struct team_vector){"outer_parameters", d->theta};
    out[1] = (struct team_vector){"outer_momentum", d->momentum};
    return 2;
}

static enum status restore(struct sync *s, bool known)
{
    if (!known) begin_anew((struct diloco *)s);
    return OK;
}

static size_t bytes(const struct sync *s, int64_t step)
{
    const struct group *g = s->c.peers;
    if (g->n == 1) return 0;
    if (sync_shares(s->c.recipe, step)) return gradient_sum_bytes(g, n_of(s));
    if (!is_outer(s, step)) return 0;
    return group_ring_bytes(n_of(s), sizeof(float), NULL, g->n, g->me, true) +
           group_ring_bytes(n_of(s), sizeof(float), NULL, g->n, g->me, false);
}

const struct sync_ops sync_diloco = {.own_steps = true,
                                     .create = create,
                                     .free = release,
                                     .progress = progress,
                                     .combine = combine,
                                     .after_update = after_update,
                                     .meets = meets,
                                     .model = model,
                                     .vectors = vectors,
                                     .restore = restore,
                                     .bytes = bytes};
