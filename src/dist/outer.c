// SPDX-License-Identifier: Apache-2.0
#include "dist/outer.h"

#include <stdlib.h>
#include <string.h>

/* ---- Parts ---- */

/* That of a parameter: its own, or that of the one before it. */
static int layer_of(const struct param *p, int before)
{
    const char *at = strstr(p->name, ".h.");
    return at ? atoi(at + sizeof ".h." - 1) : before;
}

/* The parameters of one part that are synchronised, into pieces. */
static void find_pieces(struct outer_part *out, struct outer_piece *pieces, const struct outer *o, int part)
{
    const struct params *p = o->c.params;
    int layer = 0;
    *out = (struct outer_part){.pieces = pieces};
    for (int i = 0; i < p->n; i++) {
        const struct param *x = &p->all[i];
        const size_t next = i + 1 < p->n ? p->all[i + 1].at : p->n_values;
        layer = layer_of(x, layer);
        if (x->at < o->c.begin || layer % o->n_parts != part) continue;
        pieces[out->n_pieces++] = (struct outer_piece){.at = x->at, .n = x->n, .begin = out->n};
        out->n += next - x->at;
    }
}

static enum status open_parts(struct outer *o)
{
    o->pieces = calloc((size_t)o->c.params->n, sizeof *o->pieces);
    o->parts = calloc((size_t)o->n_parts, sizeof *o->parts);
    if (!o->pieces || !o->parts) return fail(E_NOMEM, "outer optimizer: out of memory");
    struct outer_piece *next = o->pieces;
    for (int part = 0; part < o->n_parts; part++) {
        find_pieces(&o->parts[part], next, o, part);
        next += o->parts[part].n_pieces;
        if (o->parts[part].n > o->most) o->most = o->parts[part].n;
    }
    return OK;
}

/* ---- Opening ---- */

enum status outer_open(struct outer *o, const struct sync_context *c, int n_parts)
{
    const size_t n = c->params->n_values;
    *o = (struct outer){.c = *c,
                        .learning_rate = (float)recipe_outer_learning_rate(c->recipe),
                        .momentum_decay = (float)recipe_outer_momentum(c->recipe),
                        .n_parts = n_parts};
    TRY(open_parts(o));
    o->theta = malloc(n * sizeof *o->theta);
    o->momentum = calloc(n, sizeof *o->momentum);
    o->delta = malloc(o->most * sizeof *o->delta);
    if (!o->theta || !o->momentum || !o->delta)
        return fail(E_NOMEM, "outer optimizer: out of memory for %zu parameters", n);
    memcpy(o->theta, c->params->value, n * sizeof *o->theta);
    return OK;
}

void outer_close(struct outer *o)
{
    free(o->theta);
    free(o->momentum);
    free(o->delta);
    free(o->pieces);
    free(o->parts);
    *o = (struct outer){0};
}

size_t outer_memory(const struct sync_shape *s, size_t most)
{
    return (2 * s->all + most) * sizeof(float);
}

void outer_begin_anew(struct outer *o, struct sync *s)
{
    const struct params *p = o->c.params;
    struct team_vector all[TEAM_MAX_VECTORS];
    const int n = s->ops->vectors(s, all);
    for (int i = 0; i < n; i++)
        memset(all[i].at, 0, p->n_values * sizeof *all[i].at);
    memcpy(o->theta, p->value, p->n_values * sizeof *o->theta);
}

int outer_vectors(const struct outer *o, struct team_vector *out)
{
    out[0] = (struct team_vector){"outer_parameters", o->theta};
    out[1] = (struct team_vector){"outer_momentum", o->momentum};
    return 2;
}

void outer_follow(struct outer *o, struct sync *s, int64_t step)
{
    const struct recipe *r = o->c.recipe;
    o->dense = sync_shares(r, step);
    if (o->dense && !sync_shares(r, step + 1)) outer_begin_anew(o, s);
}

bool outer_due(const struct recipe *r, int64_t step)
{
    return !sync_shares(r, step) && (step + 1 - r->sync_warmup_steps) % r->sync_steps == 0;
}

float *outer_model(const struct outer *o)
{
    return o->dense ? o->c.params->value : o->theta;
}

/* ---- Steps ---- */

void outer_take(struct outer *o, int part)
{
    const struct outer_part *p = &o->parts[part];
    const float *x = o->c.params->value;
    memset(o->delta, 0, p->n * sizeof *o->delta);
    for (int k = 0; k < p->n_pieces; k++) {
        const struct outer_piece *piece = &p->pieces[k];
        const float *theta = o->theta + piece->at, *value = x + piece->at;
        float *delta = o->delta + piece->begin;
        for (size_t i = 0; i < piece->n; i++)
            delta[i] = theta[i] - value[i];
    }
}

void outer_add_left(struct outer *o, int part, const float *left, float decay)
{
    const struct outer_part *p = &o->parts[part];
    for (int k = 0; k < p->n_pieces; k++) {
        const float *from = left + p->pieces[k].at;
        float *delta = o->delta + p->pieces[k].begin;
        for (size_t i = 0; i < p->pieces[k].n; i++)
            delta[i] += decay * from[i];
    }
}

void outer_step(struct outer *o, int part)
{
    const struct outer_part *p = &o->parts[part];
    const float lr = o->learning_rate, mu = o->momentum_decay;
    for (int k = 0; k < p->n_pieces; k++) {
        const struct outer_piece *piece = &p->pieces[k];
        const float *delta = o->delta + piece->begin;
        float *theta = o->theta + piece->at, *momentum = o->momentum + piece->at;
        for (size_t i = 0; i < piece->n; i++) {
            momentum[i] = mu * momentum[i] + delta[i];
            theta[i] -= lr * (delta[i] + mu * momentum[i]);
        }
    }
}

void outer_adopt(struct outer *o, int part, float mix)
{
    const struct outer_part *p = &o->parts[part];
    for (int k = 0; k < p->n_pieces; k++) {
        const struct outer_piece *piece = &p->pieces[k];
        const float *theta = o->theta + piece->at;
        float *x = o->c.params->value + piece->at;
        for (size_t i = 0; i < piece->n; i++)
            x[i] = (1 - mix) * x[i] + mix * theta[i];
    }
}
