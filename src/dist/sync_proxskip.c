// SPDX-License-Identifier: Apache-2.0
/* What GPT-JT was trained with: every replica takes AdamW steps of its own, and after a step, with probability p, all
 * go on from the mean of their parameters. ProxSkip (Mishchenko et al. 2022, arXiv:2202.09357) around AdamW, at p =
 * 0.02 a fiftieth of the traffic. Its authors' code had three variants, of which nobody knows which made the weights:
 *
 *     local    nothing else. What their code did from eleven days before the release on
 *     shifted  control variates h, as in ProxSkip: AdamW sees g - h
 *     frozen   the same inside of the step: x moves by eta (m - h) / d, and d stays what it was after the dense steps
 *
 * where a step of AdamW is x -= eta m / d with d = sqrt(v / (1 - beta2^t)) + epsilon and eta = lr / (1 - beta1^t). With
 * h, an averaging is
 *
 *     x' = x - eta h / (p d)        x'' = mean(x')        h += p d (x'' - x) / eta
 *
 * so that h comes to be how a replica's gradient differs from the mean of all, and replicas stay together without being
 * averaged. Whether a step is followed by averaging depends on seed and step only: no rank asks another. Moments stay
 * each replica's own. Sends 2 (D - 1) / D * 4 p bytes a parameter and step. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "dist/sync.h"

enum { STREAM_COIN = 0x70726f78 };

struct proxskip {
    struct sync sync;
    float *h;      /* [n_values], NULL in the local variant: control variates */
    float *before; /* [n_values]: parameters before an averaging; and their mean, for a checkpoint */
};

static void close_vectors(struct sync *s)
{
    struct proxskip *p = (struct proxskip *)s;
    free(p->h);
    free(p->before);
}

static enum status open_vectors(struct sync *s)
{
    struct proxskip *p = (struct proxskip *)s;
    const size_t n = s->c.params->n_values;
    const bool controls = s->c.recipe->proxskip != PROXSKIP_LOCAL;
    p->before = calloc(n, sizeof *p->before);
    if (controls) p->h = calloc(n, sizeof *p->h);
    if (!p->before || (controls && !p->h)) return fail(E_NOMEM, "proxskip: out of memory for %zu parameters", n);
    if (s->c.recipe->proxskip == PROXSKIP_FROZEN) s->c.optimizer->frozen = s->c.recipe->sync_warmup_steps;
    return OK;
}

/* ---- Steps ---- */

static bool coin(const struct recipe *r, int64_t step)
{
    return !sync_shares(r, step) && rng_uniform(r->data.seed, STREAM_COIN, (uint64_t)step) < r->sync_probability;
}

/* What one step of AdamW divides by, and eta. */
struct adam {
    const float *v;
    double correction2, epsilon, eta;
};

static struct adam adam_of(const struct sync *s, double learning_rate)
{
    const struct optimizer *o = s->c.optimizer;
    return (struct adam){.v = o->v,
                         .correction2 = optimizer_correction2(o),
                         .epsilon = o->set.epsilon,
                         .eta = learning_rate / (1 - pow(o->set.beta1, (double)o->updates))};
}

static double divisor(const struct adam *a, size_t i)
{
    return sqrt((double)a->v[i] / a->correction2) + a->epsilon;
}

static enum status before_update(struct sync *s, double *scale)
{
    const struct proxskip *p = (const struct proxskip *)s;
    float *g = s->c.params->grad;
    if (s->c.recipe->proxskip != PROXSKIP_SHIFTED) return OK;
    for (size_t i = s->c.begin; i < s->c.end; i++)
        g[i] = (float)(*scale * (double)g[i] - (double)p->h[i]);
    for (size_t i = 0; i < s->c.begin; i++)
        g[i] = (float)(*scale * (double)g[i]);
    *scale = 1;
    s->moved = true; /* otherwise than a copy that another stage has of them and updates without h */
    return OK;
}

static enum status average(struct proxskip *p, const struct adam *a)
{
    const struct sync *s = &p->sync;
    const double probability = s->c.recipe->sync_probability;
    const bool controls = p->h && s->c.optimizer->updates > 0;
    float *x = s->c.params->value;
    for (size_t i = s->c.begin; controls && i < s->c.end; i++) {
        p->before[i] = x[i];
        x[i] = (float)((double)x[i] - a->eta * (double)p->h[i] / (probability * divisor(a, i)));
    }
    TRY(sync_mean(s, x));
    for (size_t i = s->c.begin; controls && i < s->c.end; i++)
        p->h[i] += (float)(probability * divisor(a, i) * ((double)x[i] - (double)p->before[i]) / a->eta);
    return OK;
}

static enum status after_update(struct sync *s, int64_t step, double learning_rate)
{
    struct proxskip *p = (struct proxskip *)s;
    float *x = s->c.params->value;
    if (sync_shares(s->c.recipe, step)) return OK;
    const struct adam a = adam_of(s, learning_rate);
    const bool shift = s->c.recipe->proxskip == PROXSKIP_FROZEN && s->c.optimizer->updates > 0;
    for (size_t i = s->c.begin; shift && i < s->c.end; i++)
        x[i] = (float)((double)x[i] + a.eta * (double)p->h[i] / divisor(&a, i));
    if (coin(s->c.recipe, step)) TRY(average(p, &a));
    s->moved = shift || coin(s->c.recipe, step);
    return OK;
}

/* A mean for this once: nobody goes on from it. */
static enum status model(struct sync *s, float **values)
{
    struct proxskip *p = (struct proxskip *)s;
    const struct params *all = s->c.params;
    for (size_t i = 0; i < all->n_values; i++)
        p->before[i] = all->value[i];
    *values = p->before;
    return sync_mean(s, p->before);
}

static int vectors(struct sync *s, struct team_vector *out)
{
    const struct proxskip *p = (const struct proxskip *)s;
    out[0] = (struct team_vector){"control_variate", p->h};
    return p->h ? 1 : 0;
}

static size_t bytes(const struct sync_shape *s, int64_t step)
{
    return coin(s->recipe, step) ? sync_shape_mean_bytes(s) : 0;
}

static size_t memory(const struct sync_shape *s)
{
    return s->all * sizeof(float) * (s->recipe->proxskip == PROXSKIP_LOCAL ? 1 : 2);
}

const struct sync_ops sync_proxskip = {.size = sizeof(struct proxskip),
                                       .own_steps = true,
                                       .open = open_vectors,
                                       .close = close_vectors,
                                       .before_update = before_update,
                                       .after_update = after_update,
                                       .meets = coin,
                                       .model = model,
                                       .vectors = vectors,
                                       .bytes = bytes,
                                       .memory = memory};
