// SPDX-License-Identifier: Apache-2.0
#include "model/params.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
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

static enum status append(struct params *p, const char *name, const struct gptj_tensor_spec *spec, struct weight *w)
{
    const struct param *last = p->n ? &p->all[p->n - 1] : NULL;
    struct param *next = &p->all[p->n];
    *next = (struct param){.name = strdup(name),
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

static enum status add_param(void *user, const struct gptj_tensor_spec *spec, struct weight *w)
{
    return append(user, spec->name, spec, w);
}

/* Room for n parameters, and for their values and gradients, which are zero. */
static enum status allocate_list(struct params *p, int n)
{
    p->all = calloc((size_t)n, sizeof *p->all);
    return p->all ? OK : fail(E_NOMEM, "training: out of memory");
}

static enum status allocate_values(struct params *p)
{
    void *at = NULL;
    TRY(p->ops->fn->alloc(p->ops, &at, p->n_values * sizeof(float)));
    p->value = at;
    TRY(p->ops->fn->alloc(p->ops, &at, p->n_values * sizeof(float)));
    p->grad = at;
    p->ops->train->zero(p->ops, p->value, p->n_values);
    p->ops->train->zero(p->ops, p->grad, p->n_values);
    return OK;
}

static enum status allocate(struct params *p, struct gptj *m)
{
    TRY(gptj_each_weight(m, count_weight, p));
    const int n = p->n;
    p->n = 0;
    TRY(allocate_list(p, n));
    TRY(gptj_each_weight(m, add_param, p));
    return allocate_values(p);
}

/* w, an fp32 master, becomes a copy of itself in a narrow type. */
static enum status narrow_copy(struct ops *o, struct weight *w, enum weight_type type)
{
    const float *values = w->data;
    const size_t bytes = weight_bytes(type, w->O, w->I);
    void *copy = NULL;
    TRY(o->fn->alloc(o, &copy, bytes));
    *w = (struct weight){.data = copy, .type = type, .O = w->O, .I = w->I, .owned_bytes = bytes, .grad = w->grad};
    o->train->weight_write(o, w, values);
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
    *x->weight = master;
    x->weight->grad = p->grad + x->at;
    return x->n_dims == 2 && type != WEIGHT_F32 ? narrow_copy(o, x->weight, type) : OK;
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

/* ---- Adapters ---- */

/* The shapes of a module's two matrices. */
static void lora_specs(struct gptj_tensor_spec *a, struct gptj_tensor_spec *b, const struct gptj_config *c,
                       enum peft_module module, int r)
{
    int O, I;
    peft_module_sizes(c, module, &O, &I);
    *a = (struct gptj_tensor_spec){NULL, 2, {r, I}};
    *b = (struct gptj_tensor_spec){NULL, 2, {O, r}};
}

size_t params_lora_values(const struct gptj_config *c, int first, int last, const struct lora_shape *shape)
{
    size_t n = 0;
    for (enum peft_module i = 0; i < PEFT_MODULES; i++) {
        struct gptj_tensor_spec a, b;
        lora_specs(&a, &b, c, i, shape->r);
        if (shape->modules >> i & 1) n += padded(elements(&a)) + padded(elements(&b));
    }
    return n * (size_t)(last - first);
}

static enum status add_lora(struct params *p, struct gptj *m, int layer, enum peft_module module, int r)
{
    struct lora *l = &m->layers[layer - m->first].lora[module];
    struct gptj_tensor_spec a, b;
    char name[PEFT_NAME_BYTES];
    lora_specs(&a, &b, &m->cfg, module, r);
    peft_tensor_name(name, sizeof name, layer, module, false);
    TRY(append(p, name, &a, &l->a));
    peft_tensor_name(name, sizeof name, layer, module, true);
    return append(p, name, &b, &l->b);
}

static enum status fill_uniform(struct params *p, const struct param *x, double bound, uint64_t seed, uint64_t stream)
{
    float *host = malloc(x->n * sizeof *host);
    if (!host) return fail(E_NOMEM, "training: out of memory");
    for (size_t i = 0; i < x->n; i++)
        host[i] = (float)((2 * rng_uniform(seed, stream, i) - 1) * bound);
    p->ops->fn->write(p->ops, p->value + x->at, host, x->n * sizeof *host);
    free(host);
    return OK;
}

static enum status build_lora(struct params *p, struct gptj *m, const struct lora_shape *shape, uint64_t seed)
{
    TRY(allocate_list(p, 2 * PEFT_MODULES * (m->last - m->first)));
    for (int layer = m->first; layer < m->last; layer++)
        for (enum peft_module i = 0; i < PEFT_MODULES; i++)
            if (shape->modules >> i & 1) TRY(add_lora(p, m, layer, i, shape->r));
    for (int i = 0; i < p->n; i++)
        p->n_values += padded(p->all[i].n);
    TRY(allocate_values(p));
    /* Numbers of their own for all layers of the model, whichever are here. */
    const uint64_t before = (uint64_t)m->first * (uint64_t)(p->n / (m->last - m->first));
    for (int i = 0; i < p->n; i++) {
        const struct param *x = &p->all[i];
        *x->weight = (struct weight){.data = p->value + x->at,
                                     .type = WEIGHT_F32,
                                     .O = (int)x->shape[0],
                                     .I = (int)x->shape[1],
                                     .grad = p->grad + x->at};
        if (i % 2 == 0) TRY(fill_uniform(p, x, 1 / sqrt((double)x->shape[1]), seed, before + (uint64_t)i));
    }
    return OK;
}

enum status params_create_lora(struct params **out, struct gptj *m, const struct lora_shape *shape, uint64_t seed)
{
    struct params *p = calloc(1, sizeof *p);
    if (!p) return fail(E_NOMEM, "training: out of memory");
    p->ops = m->ops;
    const enum status s = build_lora(p, m, shape, seed);
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

size_t params_values(const struct gptj_config *c, int first, int last)
{
    struct size_count n = {.matrices = WEIGHT_F32};
    gptj_each_tensor_in(c, first, last, count_size, &n);
    return n.values;
}

size_t params_copy_bytes(const struct gptj_config *c, int first, int last, enum weight_type matrices)
{
    struct size_count n = {.matrices = matrices};
    gptj_each_tensor_in(c, first, last, count_size, &n);
    return n.copy_bytes;
}

const struct param *params_find(const struct params *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->all[i].name, name)) return &p->all[i];
    return NULL;
}

void params_copy(struct params *p, int first, int last)
{
    for (int i = first; i < last; i++)
        if (p->all[i].weight->type != WEIGHT_F32)
            p->ops->train->weight_write(p->ops, p->all[i].weight, p->value + p->all[i].at);
}

void params_changed(struct params *p)
{
    params_copy(p, 0, p->n);
}
