// SPDX-License-Identifier: Apache-2.0
/* Adapters beside the weights of a model. */
#include <assert.h>
#include <stdlib.h>

#include "model/gptj.h"

struct weight *gptj_module(struct gptj_layer *l, enum peft_module m)
{
    struct weight *const all[PEFT_MODULES] = {&l->q, &l->k, &l->v, &l->o, &l->fc_in, &l->fc_out};
    return all[m];
}

/* A tensor of the adapter's file, times scale, as fp32 on the device. */
static enum status bind(struct ops *o, struct weight *out, const struct tensor *t, double scale)
{
    const size_t n = (size_t)tensor_elements(t);
    float *wide = malloc(n * sizeof *wide);
    if (!wide) return fail(E_NOMEM, "adapter: out of memory");
    for (size_t i = 0; i < n; i++)
        wide[i] = (float)(tensor_value(t, (int64_t)i) * scale);
    void *at = NULL;
    const enum status s = o->fn->alloc(o, &at, n * sizeof *wide);
    if (s == OK) {
        o->fn->write(o, at, wide, n * sizeof *wide);
        *out = (struct weight){.data = at,
                               .type = WEIGHT_F32,
                               .O = (int)t->shape[0],
                               .I = (int)t->shape[1],
                               .owned_bytes = n * sizeof *wide};
    }
    free(wide);
    return s;
}

enum status gptj_adapt(struct gptj *m, const struct peft *adapter)
{
    if (adapter->config.r > m->cfg.D) /* forward.c has room for so much */
        return fail(E_UNSUPPORTED, "an adapter of rank %d, above the model's width of %d", adapter->config.r, m->cfg.D);
    for (int i = 0; i < adapter->n_targets; i++) {
        const struct peft_target *t = &adapter->targets[i];
        if (t->layer < m->first || t->layer >= m->last) continue;
        struct lora *l = &m->layers[t->layer - m->first].lora[t->module];
        assert(!l->a.O);
        TRY(bind(m->ops, &l->a, &t->a, 1));
        TRY(bind(m->ops, &l->b, &t->b, peft_scale(&adapter->config)));
    }
    return OK;
}
