// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>

#include "ops/train.h"

size_t optimizer_bytes(size_t n_values)
{
    return 2 * n_values * sizeof(float);
}

enum status optimizer_create(struct optimizer **out, struct params *params, int first, int last,
                             const struct optimizer_settings *set)
{
    struct optimizer *o = calloc(1, sizeof *o);
    if (!o) return fail(E_NOMEM, "optimizer: out of memory");
    *o = (struct optimizer){.params = params, .set = *set, .first = first, .last = last};
    if (first < last) {
        o->begin = params->all[first].at;
        o->n_values = (last < params->n ? params->all[last].at : params->n_values) - o->begin;
    }
    struct ops *ops = params->ops;
    void *m = NULL, *v = NULL;
    enum status s = ops->fn->alloc(ops, &m, o->n_values * sizeof(float));
    if (s == OK) s = ops->fn->alloc(ops, &v, o->n_values * sizeof(float));
    o->m = m;
    o->v = v;
    if (s != OK) {
        optimizer_free(o);
        return s;
    }
    ops->train->zero(ops, o->m, o->n_values);
    ops->train->zero(ops, o->v, o->n_values);
    *out = o;
    return OK;
}

void optimizer_free(struct optimizer *o)
{
    if (!o) return;
    struct ops *ops = o->params->ops;
    ops->fn->free(ops, o->m, o->n_values * sizeof(float));
    ops->fn->free(ops, o->v, o->n_values * sizeof(float));
    free(o);
}

double optimizer_grad_norm(const struct optimizer *o, double unit)
{
    struct ops *ops = o->params->ops;
    return sqrt(ops->train->sum_squares(ops, o->params->grad, o->params->n_values)) * unit;
}

double optimizer_clip(const struct optimizer *o, double unit, double norm)
{
    const double most = o->set.max_grad_norm;
    return most > 0 && norm > most ? unit * (most / norm) : unit;
}

double optimizer_correction2(const struct optimizer *o)
{
    const int64_t n = o->frozen && o->updates > o->frozen ? o->frozen : o->updates;
    return 1 - pow(o->set.beta2, (double)n);
}

void optimizer_update(struct optimizer *o, double scale, double learning_rate)
{
    const struct optimizer_settings *set = &o->set;
    struct params *p = o->params;
    struct ops *ops = p->ops;
    o->updates++;
    const bool is_frozen = o->frozen && o->updates > o->frozen;
    struct adamw_step step = {.lr = learning_rate,
                              .beta1 = set->beta1,
                              .beta2 = is_frozen ? 1 : set->beta2,
                              .eps = set->epsilon,
                              .correction1 = 1 - pow(set->beta1, (double)o->updates),
                              .correction2 = optimizer_correction2(o),
                              .scale = scale};
    for (int i = o->first; i < o->last; i++) {
        const struct param *x = &p->all[i];
        const size_t at = x->at - o->begin;
        step.decay = x->decays ? set->weight_decay : 0;
        struct weight *copy = x->weight->type == WEIGHT_F32 ? NULL : x->weight;
        ops->train->adamw(ops, p->value + x->at, o->m + at, o->v + at, p->grad + x->at, x->n, &step, copy);
    }
    params_copy(p, 0, o->first); /* others' may have been changed by synchronisation */
    params_copy(p, o->last, p->n);
}
