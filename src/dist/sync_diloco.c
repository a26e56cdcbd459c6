// SPDX-License-Identifier: Apache-2.0
/* DiLoCo (Douillard et al. 2023, arXiv:2311.08105). All replicas take H steps of their own from the same parameters
 * theta; then the mean of how far they have come, D = mean(theta - x), is the gradient of an outer optimizer, SGD with
 * Nesterov momentum, and all go on from where that leads:
 *
 *     u = mu u + D        theta = theta - lr (D + mu u)        x = theta
 *
 * AdamW's moments stay each replica's own. lr 1 and mu 0 are the plain mean of parameters. Sends 2 (D - 1) / D * 4 / H
 * bytes a parameter and step, or with a narrower `sync_wire` as many bytes less, the mean then being a compressed one
 * with feedback of what is left out (compressed_mean.h). */
#include <stdlib.h>
#include <string.h>

#include "dist/compressed_mean.h"
#include "dist/sync.h"
#include "dist/wire.h"

struct diloco {
    struct sync sync;
    float *theta, *momentum, *delta; /* [n_values] */
    bool dense;                      /* the last step was, so the parameters are everybody's */

    /* Of narrow deltas only. */
    struct compressed_mean mean;
    float *left, *error; /* [n_values]: what this replica's messages have left out; what its chunk's results have */
    size_t *bounds;      /* [replicas + 1] of the synchronised vector */
};

static void close_vectors(struct sync *s)
{
    struct diloco *d = (struct diloco *)s;
    compressed_mean_close(&d->mean);
    free(d->theta);
    free(d->momentum);
    free(d->delta);
    free(d->left);
    free(d->error);
    free(d->bounds);
}

static void begin_anew(struct diloco *d)
{
    const struct params *p = d->sync.c.params;
    memcpy(d->theta, p->value, p->n_values * sizeof *d->theta);
    memset(d->momentum, 0, p->n_values * sizeof *d->momentum);
    if (d->left) memset(d->left, 0, p->n_values * sizeof *d->left);
    if (d->error) memset(d->error, 0, p->n_values * sizeof *d->error);
}

static bool travels_narrow(const struct recipe *r)
{
    return r->sync_wire != TRAIN_WIRE_FP32;
}

static bool is_narrow(const struct sync *s)
{
    return travels_narrow(s->c.recipe) && s->c.peers->n > 1;
}

static struct mean_codec codec_of(const struct recipe *r)
{
    return (struct mean_codec){.values = wire_of_deltas((enum train_wire)r->sync_wire)};
}

static enum status open_narrow(struct diloco *d)
{
    const struct sync_context *c = &d->sync.c;
    const int members = c->peers->n;
    const size_t n = sync_values(&d->sync);
    const struct mean_codec codec = codec_of(c->recipe);
    d->left = calloc(c->params->n_values, sizeof *d->left);
    d->error = calloc(c->params->n_values, sizeof *d->error);
    d->bounds = calloc((size_t)members + 1, sizeof *d->bounds);
    if (!d->left || !d->error || !d->bounds)
        return fail(E_NOMEM, "diloco: out of memory for %zu parameters", c->params->n_values);
    for (int member = 0; member <= members; member++)
        d->bounds[member] = group_chunk(n, members, member);
    return compressed_mean_open(&d->mean, c->peers, n, d->bounds[1], &codec);
}

static enum status open_vectors(struct sync *s)
{
    struct diloco *d = (struct diloco *)s;
    const size_t n = s->c.params->n_values;
    d->theta = calloc(n, sizeof *d->theta);
    d->momentum = calloc(n, sizeof *d->momentum);
    d->delta = calloc(n, sizeof *d->delta);
    if (!d->theta || !d->momentum || !d->delta) return fail(E_NOMEM, "diloco: out of memory for %zu parameters", n);
    if (is_narrow(s)) TRY(open_narrow(d));
    begin_anew(d);
    return OK;
}

/* H steps after the last dense one, or the beginning, and every H from there. */
static bool is_outer(const struct recipe *r, int64_t step)
{
    return !sync_shares(r, step) && (step + 1 - r->sync_warmup_steps) % r->sync_steps == 0;
}

/* delta = the mean of all replicas' deltas. */
static enum status average(struct diloco *d)
{
    const size_t n = sync_values(&d->sync);
    if (!is_narrow(&d->sync)) return sync_mean(&d->sync, d->delta);
    float *delta = d->delta + d->sync.c.begin, *left = d->left + d->sync.c.begin;
    for (size_t i = 0; i < n; i++)
        delta[i] += left[i];
    TRY(compressed_mean_begin(&d->mean, delta, d->bounds, d->error + d->sync.c.begin + d->bounds[d->sync.c.peers->me]));
    for (size_t i = 0; i < n; i++)
        left[i] = delta[i] - d->mean.sent[i];
    return compressed_mean_finish(&d->mean, delta);
}

static enum status outer_step(struct diloco *d)
{
    const struct recipe *r = d->sync.c.recipe;
    float *x = d->sync.c.params->value;
    const float lr = (float)r->outer_learning_rate, mu = (float)r->outer_momentum;
    for (size_t i = d->sync.c.begin; i < d->sync.c.end; i++)
        d->delta[i] = d->theta[i] - x[i];
    TRY(average(d));
    for (size_t i = d->sync.c.begin; i < d->sync.c.end; i++) {
        d->momentum[i] = mu * d->momentum[i] + d->delta[i];
        d->theta[i] -= lr * (d->delta[i] + mu * d->momentum[i]);
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
    return is_outer(s->c.recipe, step) ? outer_step(d) : OK;
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
    if (!is_narrow(s)) return 2;
    out[2] = (struct team_vector){"worker_error", d->left};
    out[3] = (struct team_vector){"server_error", d->error};
    return 4;
}

static enum status restore(struct sync *s, bool known)
{
    if (!known) begin_anew((struct diloco *)s);
    return OK;
}

static size_t chunk_values(const void *user, int c)
{
    const struct sync_shape *s = user;
    return group_chunk(s->values, s->n, c + 1) - group_chunk(s->values, s->n, c);
}

static size_t bytes(const struct sync_shape *s, int64_t step)
{
    if (!is_outer(s->recipe, step)) return 0;
    if (!travels_narrow(s->recipe)) return sync_shape_mean_bytes(s);
    const struct mean_codec codec = codec_of(s->recipe);
    return compressed_mean_bytes(&codec, s->n, s->me, chunk_values, s);
}

static size_t memory(const struct sync_shape *s)
{
    const size_t vector = s->all * sizeof(float);
    if (!travels_narrow(s->recipe) || s->n == 1) return 3 * vector;
    const struct mean_codec codec = codec_of(s->recipe);
    return 5 * vector + compressed_mean_memory(&codec, s->n, s->values, chunk_values(s, 0));
}

const struct sync_ops sync_diloco = {.size = sizeof(struct diloco),
                                     .own_steps = true,
                                     .open = open_vectors,
                                     .close = close_vectors,
                                     .after_update = after_update,
                                     .meets = is_outer,
                                     .directly = travels_narrow,
                                     .model = model,
                                     .vectors = vectors,
                                     .restore = restore,
                                     .bytes = bytes,
                                     .memory = memory};
