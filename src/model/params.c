// SPDX-License-Identifier: Apache-2.0
#include "model/params.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ops/train.h"

static size_t elements(const struct gptj_tensor_spec *spec)
{
    return (size_t)spec->shape[0] * (size_t)(spec->n_dims == 2 ? spec->shape[1] : 1);
}

static size_t padded(size_t n)
{
    return (n + PARAMS_ALIGN - 1) / PARAMS_ALIGN * PARAMS_ALIGN;
}

static enum status count_weight(void *user, const struct gptj_tensor_spec *spec, struct weight *w)
{
    (void)w;
    struct params *p = user;
    p->n++;
    p->n_values += padded(elements(spec));
    return OK;
}

static enum status add_param(void *user, const struct gptj_tensor_spec *spec, struct weight *w)
{
    struct params *p = user;
    const struct param *last = p->n ? &p->all[p->n - 1] : NULL;
    struct param *next = &p->all[p->n];
    *next = (struct param){.name = strdup(spec->name),
                           .n_dims = spec->n_dims,
                           .shape = {spec->shape[0], spec->shape[1]},
                           .at = last ? last->at + padded(last->n) : 0,
                           .n = elements(spec),
                           .decays = spec->n_dims == 2,
                           .weight = w};
    if (!next->name) return fail(E_NOMEM, "training: out of memory");
    p->n++;
    return OK;
}

static enum status allocate(struct params *p, struct gptj *m)
{
    TRY(gptj_each_weight(m, count_weight, p));
    p->all = calloc((size_t)p->n, sizeof *p->all);
    if (!p->all) return fail(E_NOMEM, "training: out of memory");
    p->n = 0;
    TRY(gptj_each_weight(m, add_param, p));
    void *at = NULL;
    TRY(p->ops->fn->alloc(p->ops, &at, p->n_values * sizeof(float)));
    p->value = at;
    TRY(p->ops->fn->alloc(p->ops, &at, p->n_values * sizeof(float)));
    p->grad = at;
    p->ops->train->zero(p->ops, p->value, p->n_values);
    p->ops->train->zero(p->ops, p->grad, p->n_values);
    return OK;
}

/* The master's values are src's; the model's weight becomes the master or a narrow copy of it. */
static enum status take_over(struct params *p, const struct param *x, const struct source *src, enum weight_type type)
{
    struct ops *o = p->ops;
    const struct gptj_tensor_spec spec = {x->name, x->n_dims, {x->shape[0], x->shape[1]}};
    struct weight host, wide;
    if (!gptj_stored_weight(&host, src, &spec)) return fail(E_FORMAT, "%s is missing", x->name);
    TRY(o->fn->weight_bind(o, &wide, &host, WEIGHT_F32));
    o->fn->copy(o, p->value + x->at, wide.data, x->n * sizeof(float));
    const struct weight master = {.data = p->value + x->at, .type = WEIGHT_F32, .O = wide.O, .I = wide.I};
    o->fn->weight_free(o, &wide);
    o->fn->weight_free(o, x->weight);
    TRY(o->fn->weight_bind(o, x->weight, &master, x->n_dims == 2 ? type : WEIGHT_F32));
    x->weight->grad = p->grad + x->at;
    return OK;
}

enum status params_create(struct params **out, struct gptj *m, const struct source *src, enum weight_type matrices)
{
    assert(!weight_quantised(matrices));
    struct params *p = calloc(1, sizeof *p);
    if (!p) return fail(E_NOMEM, "training: out of memory");
    p->ops = m->ops;
    enum status s = allocate(p, m);
    for (int i = 0; s == OK && i < p->n; i++)
        s = take_over(p, &p->all[i], src, matrices);
    if (s != OK) {
        params_free(p);
        return s;
    }
    *out = p;
    return OK;
}

void params_free(struct params *p)
{
    if (!p) return;
    for (int i = 0; p->all && i < p->n; i++)
        free(p->all[i].name);
    p->ops->fn->free(p->ops, p->value, p->n_values * sizeof(float));
    p->ops->fn->free(p->ops, p->grad, p->n_values * sizeof(float));
    free(p->all);
    free(p);
}

struct size_count {
    size_t values, copy_bytes;
    enum weight_type matrices;
};

static enum status count_size(void *user, const struct gptj_tensor_spec *spec)
{
    struct size_count *c = user;
    c->values += padded(elements(spec));
    if (spec->n_dims == 2 && c->matrices != WEIGHT_F32)
        c->copy_bytes += weight_bytes(c->matrices, (int)spec->shape[0], (int)spec->shape[1]);
    return OK;
}

size_t params_values(const struct gptj_config *c)
{
    struct size_count n = {.matrices = WEIGHT_F32};
    gptj_each_tensor(c, count_size, &n);
    return n.values;
}

size_t params_copy_bytes(const struct gptj_config *c, enum weight_type matrices)
{
    struct size_count n = {.matrices = matrices};
    gptj_each_tensor(c, count_size, &n);
    return n.copy_bytes;
}

void params_zero_grad(struct params *p)
{
    p->ops->train->zero(p->ops, p->grad, p->n_values);
}

void params_changed(struct params *p)
{
    for (int i = 0; i < p->n; i++)
        if (p->all[i].weight->type != WEIGHT_F32)
            p->ops->train->weight_write(p->ops, p->all[i].weight, p->value + p->all[i].at);
}
