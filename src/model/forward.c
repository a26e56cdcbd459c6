// SPDX-License-Identifier: Apache-2.0
/* GPT-J's forward pass. With one norm in front of both branches, a block is
 *
 *     a = LN(x)        y = x + Wo Attention(Wq a, Wk a, Wv a) + (W2 gelu(W1 a + b1) + b2)
 *
 * and, after the last block, logits = Wh LN(x) + bh. Which rows attend to which is in the batch's lo and hi alone. */
#include "model/forward.h"

#include <assert.h>
#include <stdlib.h>

/* Each buffer of the workspace with its size; creation, release and accounting walk the same list. */
struct buffer_spec {
    float **at;
    size_t rows, columns;
};

enum { BUFFERS = 7, OWN_BESIDE = 2 }; /* of a workspace; of one beside another, the first ones */

/* Returns how many bytes they have. */
static size_t buffers_of(struct workspace *w, struct buffer_spec out[BUFFERS], int *n)
{
    const size_t T = (size_t)w->max_rows, D = (size_t)w->D, block = (size_t)w->block_rows;
    const struct buffer_spec all[BUFFERS] = {
        {&w->x, T, D},
        {&w->q, T, D},
        {&w->a, block, D},
        {&w->k, block, D},
        {&w->v, block, D},
        {&w->h, block, (size_t)w->F},
        {&w->z, LOGITS_BLOCK, (size_t)w->V},
    };
    size_t bytes = 0;
    *n = w->beside ? OWN_BESIDE : BUFFERS;
    for (int i = 0; i < *n; i++) {
        out[i] = all[i];
        bytes += all[i].rows * all[i].columns * sizeof(float);
    }
    return bytes;
}

static struct workspace sizes(const struct gptj_config *c, int max_rows, int block_rows)
{
    return (struct workspace){.max_rows = max_rows, .block_rows = block_rows, .D = c->D, .F = c->F, .V = c->V};
}

size_t workspace_bytes(const struct gptj_config *c, int max_rows, int block_rows)
{
    struct workspace w = sizes(c, max_rows, block_rows);
    struct buffer_spec b[BUFFERS];
    int n;
    return buffers_of(&w, b, &n);
}

size_t workspace_bytes_beside(const struct gptj_config *c, int max_rows)
{
    struct workspace w = sizes(c, max_rows, 0);
    struct buffer_spec b[BUFFERS];
    int n;
    w.beside = true;
    return buffers_of(&w, b, &n);
}

/* A workspace like as is, with buffers of its own where it should have them. */
static enum status create(struct workspace **out, const struct workspace *as)
{
    struct workspace *w = calloc(1, sizeof *w);
    if (!w) return fail(E_NOMEM, "workspace: out of memory");
    *w = *as;
    struct buffer_spec b[BUFFERS];
    int n;
    buffers_of(w, b, &n);
    for (int i = 0; i < n; i++)
        *b[i].at = NULL;
    for (int i = 0; i < n; i++) {
        void *p = NULL;
        const enum status s = w->ops->fn->alloc(w->ops, &p, b[i].rows * b[i].columns * sizeof(float));
        if (s != OK) {
            workspace_free(w);
            return s;
        }
        *b[i].at = p;
    }
    *out = w;
    return OK;
}

enum status workspace_create(struct workspace **out, const struct gptj *m, int max_rows)
{
    struct workspace w = sizes(&m->cfg, max_rows, m->ops->block_rows);
    w.ops = m->ops;
    return create(out, &w);
}

enum status workspace_create_beside(struct workspace **out, const struct workspace *w, int max_rows)
{
    struct workspace second = *w;
    second.beside = true;
    second.max_rows = max_rows;
    return create(out, &second);
}

void workspace_free(struct workspace *w)
{
    if (!w) return;
    struct buffer_spec b[BUFFERS];
    int n;
    buffers_of(w, b, &n);
    for (int i = 0; i < n; i++)
        w->ops->fn->free(w->ops, *b[i].at, b[i].rows * b[i].columns * sizeof(float));
    free(w);
}

void forward_begin(struct forward *f, const struct gptj *m, struct workspace *w, const struct kvcache *kv,
                   const struct batch *batch)
{
    assert(batch->T <= w->max_rows && kv->n_layers == m->last - m->first);
    *f = (struct forward){.m = m, .w = w, .kv = kv, .batch = batch};
    if (m->first == 0) m->ops->fn->embed(m->ops, w->x, &m->wte, batch->token, batch->T);
}

/* A linear map of the layer, with what an adapter adds to it. low: room for [T][r], r <= D. */
static void map(const struct forward *f, enum peft_module module, float *y, const float *x, const struct weight *b,
                int T, enum epilogue e, float *low)
{
    struct gptj_layer *l = &f->m->layers[f->layer];
    const struct weight *w = gptj_module(l, module);
    const struct lora *lora = &l->lora[module];
    const struct ops_table *fn = f->m->ops->fn;
    struct ops *o = f->m->ops;
    if (!lora->a.O) {
        fn->linear(o, y, x, w, b, T, e);
        return;
    }
    fn->linear(o, low, x, &lora->a, NULL, T, EPILOGUE_STORE);
    fn->linear(o, y, x, w, b, T, e == EPILOGUE_GELU ? EPILOGUE_STORE : e);
    fn->linear(o, y, low, &lora->b, NULL, T, e == EPILOGUE_GELU ? EPILOGUE_ADD_GELU : EPILOGUE_ADD);
}

/* Whether an adapter adds to any matrix of a layer. */
static bool is_adapted(const struct gptj_layer *l)
{
    for (int i = 0; i < PEFT_MODULES; i++)
        if (l->lora[i].a.O) return true;
    return false;
}

/* The layer's norm, and what it goes into: K and V, and for rows that are wanted whole Q and the MLP's hidden layer;
 * the latter not where there is an adapter, which takes the place of w->k for it. */
static void map_norm(struct forward *f, int T, bool whole)
{
    const struct gptj_layer *l = &f->m->layers[f->layer];
    struct workspace *w = f->w;
    const struct linear_map maps[] = {
        {w->k, &l->k, NULL, EPILOGUE_STORE},
        {w->v, &l->v, NULL, EPILOGUE_STORE},
        {w->q + (size_t)f->row * (size_t)w->D, &l->q, NULL, EPILOGUE_STORE},
        {w->h, &l->fc_in, &l->fc_in_b, EPILOGUE_GELU},
    };
    static const enum peft_module modules[] = {PEFT_K_PROJ, PEFT_V_PROJ, PEFT_Q_PROJ};
    const struct ops_table *fn = f->m->ops->fn;
    const float *x = w->x + (size_t)f->row * (size_t)w->D;
    const float eps = (float)f->m->cfg.eps;
    if (!is_adapted(l)) {
        ops_norm_group(f->m->ops, maps, whole ? 4 : 2, w->a, x, &l->ln_w, &l->ln_b, T, eps);
        return;
    }
    fn->layer_norm(f->m->ops, w->a, x, &l->ln_w, &l->ln_b, T, eps);
    for (int i = 0; i < (whole ? 3 : 2); i++)
        map(f, modules[i], maps[i].y, w->a, NULL, T, EPILOGUE_STORE, w->h);
}

/* Phase 1, rows [row, row + T): everything that needs no other row. The MLP's share is added to x at once; attention's
 * share, the other half of the parallel residual, follows in phase 2. Of rows that are not wanted whole only K and V
 * are. */
static void row_local(struct forward *f, int T, bool whole)
{
    const struct gptj_config *c = &f->m->cfg;
    const struct gptj_layer *l = &f->m->layers[f->layer];
    struct ops *o = f->m->ops;
    struct workspace *w = f->w;
    float *x = w->x + (size_t)f->row * (size_t)c->D, *q = w->q + (size_t)f->row * (size_t)c->D;
    const struct turns turns = {f->m->sin, f->m->cos, c->R};

    map_norm(f, T, whole);
    ops_turn_and_store(o, &f->kv->layers[f->layer], whole ? q : NULL, w->k, w->v, &turns, f->batch, f->row, T, c->H,
                       c->K);
    if (!whole) return;
    if (is_adapted(l)) map(f, PEFT_FC_IN, w->h, w->a, &l->fc_in_b, T, EPILOGUE_GELU, w->k);
    map(f, PEFT_FC_OUT, x, w->h, &l->fc_out_b, T, EPILOGUE_ADD, w->k);
}

/* Phase 2, rows [row, row + T): all K/V of this layer are stored. */
static void attend(struct forward *f, int T)
{
    const struct gptj_config *c = &f->m->cfg;
    const struct ops_table *fn = f->m->ops->fn;
    struct ops *o = f->m->ops;
    struct workspace *w = f->w;
    float *x = w->x + (size_t)f->row * (size_t)c->D;
    const float *q = w->q + (size_t)f->row * (size_t)c->D;

    fn->attention(o, w->a, NULL, q, &f->kv->layers[f->layer], f->batch, f->row, T, c->H, c->K);
    map(f, PEFT_OUT_PROJ, x, w->a, NULL, T, EPILOGUE_ADD, w->k);
}

/* Rows before this one need no more than K and V in the layer that comes next. */
static int first_whole(const struct gptj *m, const struct batch *b, int layer)
{
    return m->first + layer == m->cfg.L - 1 ? b->first_wanted : 0;
}

bool forward_step(struct forward *f)
{
    if (f->layer == f->m->last - f->m->first) return false;
    const int whole = first_whole(f->m, f->batch, f->layer);
    const int end = f->row < whole ? whole : f->batch->T, left = end - f->row;
    const int most = f->w->block_rows, T = left < most ? left : most;
    if (f->phase == 0)
        row_local(f, T, f->row >= whole);
    else
        attend(f, T);
    f->row += T;
    if (f->row < f->batch->T) return true;
    f->layer += f->phase;
    f->phase ^= 1;
    f->row = f->phase ? whole : 0;
    return true;
}

static size_t blocks_of(int rows, int block)
{
    return (size_t)((rows + block - 1) / block);
}

size_t forward_steps(const struct gptj *m, const struct batch *batch)
{
    const int block = m->ops->block_rows;
    size_t steps = 0;
    for (int layer = 0; layer < m->last - m->first; layer++) {
        const int whole = first_whole(m, batch, layer);
        steps += blocks_of(whole, block) + 2 * blocks_of(batch->T - whole, block);
    }
    return steps;
}

void forward_logits(const struct gptj *m, struct workspace *w, const int32_t *rows, int n, float *logits)
{
    assert(m->last == m->cfg.L && n <= LOGITS_BLOCK);
    const struct ops_table *fn = m->ops->fn;
    fn->gather(m->ops, w->a, w->x, rows, n, m->cfg.D);
    fn->layer_norm(m->ops, w->a, w->a, &m->ln_f_w, &m->ln_f_b, n, (float)m->cfg.eps);
    fn->linear(m->ops, w->z, w->a, m->cfg.tied ? &m->wte : &m->head, &m->head_b, n, EPILOGUE_STORE);
    fn->read(m->ops, logits, w->z, (size_t)n * (size_t)m->cfg.V * sizeof *logits);
}
