// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>

#include "ops/train.h"

size_t optimizer_bytes(size_t n_values)
{
    return 2 * n_values * sizeof(float);
}

enum status optimizer_create(struct optimizer **out, struct params *params, const struct optimizer_settings *set)
{
    struct optimizer *o = calloc(1, sizeof *o);
    if (!o) return fail(E_NOMEM, "optimizer: out of memory");
    *o = (struct optimizer){.params = params, .set = *set};
    struct ops *ops = params->ops;
    const size_t n = params->n_values;
    void *m = NULL, *v = NULL;
    enum status s = ops->fn->alloc(ops, &m, n * sizeof(float));
    if (s == OK) s = ops->fn->alloc(ops, &v, n * sizeof(float));
    o->m = m;
    o->v = v;
    if (s != OK) {
        optimizer_free(o);
        return s;
    }
    ops->train->zero(ops, o->m, n);
    ops->train->zero(ops, o->v, n);
    *out = o;
    return OK;
}

void optimizer_free(struct optimizer *o)
{
    if (!o) return;
    struct ops *ops = o->params->ops;
    ops->fn->free(ops, o->m, o->params->n_values * sizeof(float));
    ops->fn->free(ops, o->v, o->params->n_values * sizeof(float));
    free(o);
}

double optimizer_grad_norm(const struct optimizer *o, double unit)
{
    struct ops *ops = o->params->ops;
    return sqrt(ops->train->sum_squares(ops, o->params->grad, o->params->n_values)) * unit;
}

void optimizer_update(struct optimizer *o, double unit, double norm, double learning_rate)
{
    const struct optimizer_settings *set = &o->set;
    struct params *p = o->params;
    struct ops *ops = p->ops;
    const double most = set->max_grad_norm, clip = most > 0 && norm > most ? most / norm : 1;
    o->updates++;
    struct adamw_step step = {.lr = learning_rate,
                              .beta1 = set->beta1,
                              .beta2 = set->beta2,
                              .eps = set->epsilon,
                              .correction1 = 1 - pow(set->beta1, (double)o->updates),
                              .correction2 = 1 - pow(set->beta2, (double)o->updates),
                              .scale = unit * clip};
    for (int i = 0; i < p->n; i++) {
        const struct param *x = &p->all[i];
        step.decay = x->decays ? set->weight_decay : 0;
        ops->train->adamw(ops, p->value + x->at, o->m + x->at, o->v + x->at, p->grad + x->at, x->n, &step);
    }
    params_changed(p);
}
