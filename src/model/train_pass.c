// SPDX-License-Identifier: Apache-2.0
/* A block is (forward.c)
 *
 *     a = LN(x)    y = x + Wo Attention(Wq a, Wk a, Wv a) + (W2 gelu(z) + b2),  z = W1 a + b1
 *
 * so with dy at hand:  dz = (dy W2) gelu'(z),  da = dz W1 + dq Wq + dk Wk + dv Wv,  dx = dy + LN'(da). */
#include "model/train_pass.h"

#include <assert.h>
#include <stdlib.h>

#include "model/kvcache.h"
#include "ops/train.h"

enum { HEAD_ROWS = 512 };

/* What is kept of one block. */
struct kept {
    float *q, *attention; /* [T][D] */
    float *lse;           /* [T][H] */
    float *z;             /* [T][F] */
    struct kv_pages kv;
};

struct train_pass {
    const struct gptj *m;
    struct ops *ops;
    struct train_pass_options set;
    int T, n_layers;
    float **x;                     /* [n_layers + 1] of [T][D]: in front of each block, and behind the last */
    struct kept *kept;             /* [n_layers], or 1 with recompute */
    float *a, *g;                  /* [T][D] norm, [T][F] gelu */
    float *dx, *da, *dq, *dk, *dv; /* [T][D]; forward has K and V of a block in dk and dv */
    float *dz;                     /* [T][F] */
    float *stats;                  /* [T][2] */
    float *low, *dlow;             /* [T][lora_rank] */
    float *logits;                 /* [HEAD_ROWS][V] */
    float *hidden, *normed, *dnormed, *dhidden; /* [HEAD_ROWS][D] */
    struct train_rows rows;
    struct batch batch;
    int32_t *position, *sequence, *page, *wanted; /* host: [T], [T], [sequences * pages], [T] */
    const int32_t **pages;                        /* host: [sequences] */
};

/* ---- Memory ---- */

/* Each buffer on the device with its size in floats; creation, release and accounting walk the same list. */
typedef enum status buffer_fn(void *user, float **at, size_t n);

static int pages_of(const struct train_pass_options *o)
{
    return o->sequences * kvcache_pages_for(o->seq_len);
}

static enum status each_buffer(struct train_pass *p, const struct gptj_config *c, bool head, buffer_fn *each,
                               void *user)
{
    const size_t T = (size_t)p->T, D = (size_t)c->D, F = (size_t)c->F, H = (size_t)c->H, V = (size_t)c->V;
    const size_t kv = (size_t)pages_of(&p->set) * ops_kv_page_bytes(c->H, c->K, DTYPE_F32) / sizeof(float);
    const int n_kept = p->set.recompute ? 1 : p->n_layers;
    for (int l = 0; l <= p->n_layers; l++)
        TRY(each(user, p->x ? &p->x[l] : NULL, T * D));
    for (int l = 0; l < n_kept; l++) {
        struct kept none = {0}, *k = p->kept ? &p->kept[l] : &none;
        const struct {
            float **at;
            size_t n;
        } all[] = {{&k->q, T * D}, {&k->attention, T * D},           {&k->lse, T * H},
                   {&k->z, T * F}, {(float **)(void *)&k->kv.k, kv}, {(float **)(void *)&k->kv.v, kv}};
        for (size_t i = 0; i < COUNT_OF(all); i++)
            TRY(each(user, all[i].at, all[i].n));
        k->kv.dtype = DTYPE_F32;
    }
    const size_t chunk = head ? HEAD_ROWS : 0;
    const struct {
        float **at;
        size_t n;
    } shared[] = {{&p->a, T * D},
                  {&p->g, T * F},
                  {&p->dx, T * D},
                  {&p->da, T * D},
                  {&p->dq, T * D},
                  {&p->dk, T * D},
                  {&p->dv, T * D},
                  {&p->low, T * (size_t)p->set.lora_rank},
                  {&p->dlow, T * (size_t)p->set.lora_rank},
                  {&p->dz, T * F},
                  {&p->stats, 2 * T},
                  {&p->logits, chunk * V},
                  {&p->hidden, chunk * D},
                  {&p->normed, chunk * D},
                  {&p->dnormed, chunk * D},
                  {&p->dhidden, chunk * D}};
    for (size_t i = 0; i < COUNT_OF(shared); i++)
        TRY(each(user, shared[i].at, shared[i].n));
    return OK;
}

static enum status take(void *user, float **at, size_t n)
{
    struct ops *o = user;
    void *p = NULL;
    TRY(o->fn->alloc(o, &p, n * sizeof(float)));
    *at = p;
    return OK;
}

static enum status give_back(void *user, float **at, size_t n)
{
    struct ops *o = user;
    o->fn->free(o, *at, n * sizeof(float));
    return OK;
}

static enum status count(void *user, float **at, size_t n)
{
    (void)at;
    *(size_t *)user += n * sizeof(float);
    return OK;
}

static bool has_head(const struct gptj_config *c, int last)
{
    return last == c->L;
}

size_t train_pass_bytes(const struct gptj_config *c, int first, int last, const struct train_pass_options *options)
{
    struct train_pass p = {.set = *options, .T = options->sequences * options->seq_len, .n_layers = last - first};
    size_t bytes = 0;
    each_buffer(&p, c, has_head(c, last), count, &bytes);
    return bytes;
}

static void host_free(struct train_pass *p)
{
    free(p->x);
    free(p->kept);
    free(p->position);
    free(p->sequence);
    free(p->page);
    free(p->wanted);
    free(p->pages);
    free(p);
}

/* The host's arrays; which page of the store a position lies in never changes. */
static enum status host_arrays(struct train_pass *p)
{
    const size_t T = (size_t)p->T, per = (size_t)kvcache_pages_for(p->set.seq_len), S = (size_t)p->set.sequences;
    p->x = calloc((size_t)p->n_layers + 1, sizeof *p->x);
    p->kept = calloc(p->set.recompute ? 1 : (size_t)p->n_layers, sizeof *p->kept);
    p->position = calloc(T, sizeof *p->position);
    p->sequence = calloc(T, sizeof *p->sequence);
    p->page = calloc(S * per, sizeof *p->page);
    p->wanted = calloc(T, sizeof *p->wanted);
    p->pages = calloc(S, sizeof *p->pages);
    if (!p->x || !p->kept || !p->position || !p->sequence || !p->page || !p->wanted || !p->pages)
        return fail(E_NOMEM, "training: out of memory");
    for (size_t i = 0; i < S * per; i++)
        p->page[i] = (int32_t)i;
    for (size_t s = 0; s < S; s++)
        p->pages[s] = p->page + s * per;
    return OK;
}

enum status train_pass_create(struct train_pass **out, const struct gptj *m, const struct train_pass_options *options)
{
    assert(m->ops->train && options->seq_len <= m->cfg.P);
    struct train_pass *p = calloc(1, sizeof *p);
    if (!p) return fail(E_NOMEM, "training: out of memory");
    *p = (struct train_pass){.m = m, .ops = m->ops, .set = *options};
    p->T = options->sequences * options->seq_len;
    p->n_layers = m->last - m->first;
    enum status s = host_arrays(p);
    if (s == OK) s = each_buffer(p, &m->cfg, has_head(&m->cfg, m->last), take, m->ops);
    if (s != OK) {
        train_pass_free(p);
        return s;
    }
    *out = p;
    return OK;
}

void train_pass_free(struct train_pass *p)
{
    if (!p) return;
    if (p->x && p->kept) each_buffer(p, &p->m->cfg, has_head(&p->m->cfg, p->m->last), give_back, p->ops);
    host_free(p);
}

float *train_pass_input(struct train_pass *p)
{
    return p->x[0];
}

float *train_pass_output(struct train_pass *p)
{
    return p->x[p->n_layers];
}

float *train_pass_gradient(struct train_pass *p)
{
    return p->dx;
}

/* ---- Pieces ---- */

/* Rounds rows of n numbers as they are stored. */
static void store(const struct train_pass *p, float *x, int n)
{
    if (p->set.round != DTYPE_F32) p->ops->train->round(p->ops, x, (size_t)p->batch.T * (size_t)n, p->set.round);
}

/* A linear map of block l, and what its adapter adds. The caller keeps x. */
static void map(const struct train_pass *p, int l, enum peft_module module, float *y, const float *x,
                const struct weight *b, enum epilogue e)
{
    struct gptj_layer *layer = &p->m->layers[l];
    const struct lora *lora = &layer->lora[module];
    const struct ops_table *fn = p->ops->fn;
    const int T = p->batch.T;
    fn->linear(p->ops, y, x, gptj_module(layer, module), b, T, e);
    if (!lora->a.O) return;
    fn->linear(p->ops, p->low, x, &lora->a, NULL, T, EPILOGUE_STORE);
    p->ops->train->scale(p->ops, p->low, (size_t)T * (size_t)lora->a.O, p->set.lora_scale);
    store(p, p->low, lora->a.O);
    fn->linear(p->ops, y, p->low, &lora->b, NULL, T, EPILOGUE_ADD);
}

/* The gradients of a linear map's weights, where they are trained, and of its x. */
static void linear_back(const struct train_pass *p, float *dx, const float *dy, const float *x, const struct weight *w,
                        const struct weight *b, int T, enum epilogue e)
{
    const struct ops_train *train = p->ops->train;
    if (w->grad) train->linear_grad(p->ops, w->grad, b ? b->grad : NULL, dy, x, T, w->O, w->I);
    train->linear_back(p->ops, dx, dy, w, T, e);
}

/* With h = s A x and y = W x + B h:  dB = dy^T h,  dh = s dy B,  dA = dh^T x,  dx = dy W + dh A. */
static void map_back(const struct train_pass *p, int l, enum peft_module module, float *dx, const float *dy,
                     const float *x, const struct weight *b, enum epilogue e)
{
    struct gptj_layer *layer = &p->m->layers[l];
    const struct lora *lora = &layer->lora[module];
    const int T = p->batch.T, r = lora->a.O;
    linear_back(p, dx, dy, x, gptj_module(layer, module), b, T, e);
    if (!r) return;
    p->ops->fn->linear(p->ops, p->low, x, &lora->a, NULL, T, EPILOGUE_STORE);
    p->ops->train->scale(p->ops, p->low, (size_t)T * (size_t)r, p->set.lora_scale);
    store(p, p->low, r);
    linear_back(p, p->dlow, dy, p->low, &lora->b, NULL, T, EPILOGUE_STORE);
    p->ops->train->scale(p->ops, p->dlow, (size_t)T * (size_t)r, p->set.lora_scale);
    store(p, p->dlow, r);
    linear_back(p, dx, p->dlow, x, &lora->a, NULL, T, EPILOGUE_ADD);
}

static void norm(const struct train_pass *p, int l)
{
    const struct gptj_layer *w = &p->m->layers[l];
    p->ops->fn->layer_norm(p->ops, p->a, p->x[l], &w->ln_w, &w->ln_b, p->batch.T, (float)p->m->cfg.eps);
    store(p, p->a, p->m->cfg.D);
}

static void gelu(const struct train_pass *p, const struct kept *k)
{
    p->ops->train->gelu(p->ops, p->g, k->z, (size_t)p->batch.T * (size_t)p->m->cfg.F);
    store(p, p->g, p->m->cfg.F);
}

static struct kept *kept_of(const struct train_pass *p, int l)
{
    return &p->kept[p->set.recompute ? 0 : l];
}

/* ---- Forward ---- */

/* All of block l that backward wants kept. */
static void inside(struct train_pass *p, int l)
{
    const struct gptj_config *c = &p->m->cfg;
    const struct gptj_layer *w = &p->m->layers[l];
    const struct ops_table *fn = p->ops->fn;
    const struct kept *k = kept_of(p, l);
    struct ops *o = p->ops;
    const int T = p->batch.T;

    norm(p, l);
    map(p, l, PEFT_K_PROJ, p->dk, p->a, NULL, EPILOGUE_STORE);
    map(p, l, PEFT_V_PROJ, p->dv, p->a, NULL, EPILOGUE_STORE);
    map(p, l, PEFT_Q_PROJ, k->q, p->a, NULL, EPILOGUE_STORE);
    fn->rotary(o, p->dk, p->m->sin, p->m->cos, p->position, T, c->H, c->K, c->R);
    fn->rotary(o, k->q, p->m->sin, p->m->cos, p->position, T, c->H, c->K, c->R);
    store(p, p->dk, c->D);
    store(p, p->dv, c->D);
    store(p, k->q, c->D);
    fn->kv_store(o, &k->kv, p->dk, p->dv, &p->batch, 0, T, c->H, c->K);
    fn->attention(o, k->attention, k->lse, k->q, &k->kv, &p->batch, 0, T, c->H, c->K);
    store(p, k->attention, c->D);
    map(p, l, PEFT_FC_IN, k->z, p->a, &w->fc_in_b, EPILOGUE_STORE);
    store(p, k->z, c->F);
}

static void block(struct train_pass *p, int l)
{
    const struct gptj_layer *w = &p->m->layers[l];
    const struct kept *k = kept_of(p, l);
    const size_t bytes = (size_t)p->batch.T * (size_t)p->m->cfg.D * sizeof(float);
    inside(p, l);
    gelu(p, k);
    p->ops->fn->copy(p->ops, p->x[l + 1], p->x[l], bytes);
    map(p, l, PEFT_FC_OUT, p->x[l + 1], p->g, &w->fc_out_b, EPILOGUE_ADD);
    map(p, l, PEFT_OUT_PROJ, p->x[l + 1], k->attention, NULL, EPILOGUE_ADD);
    store(p, p->x[l + 1], p->m->cfg.D);
}

void train_pass_forward(struct train_pass *p, const struct train_rows *rows)
{
    assert(rows->sequences <= p->set.sequences && rows->seq_len <= p->set.seq_len);
    const int T = rows->sequences * rows->seq_len;
    p->rows = *rows;
    for (int t = 0; t < T; t++) {
        p->sequence[t] = t / rows->seq_len;
        p->position[t] = t % rows->seq_len;
    }
    p->batch = (struct batch){.T = T,
                              .token = rows->token,
                              .position = p->position,
                              .lo = rows->lo,
                              .hi = rows->hi,
                              .sequence = p->sequence,
                              .pages = p->pages};
    if (p->m->first == 0) {
        p->ops->fn->embed(p->ops, p->x[0], &p->m->wte, rows->token, T);
        store(p, p->x[0], p->m->cfg.D);
    }
    for (int l = 0; l < p->n_layers; l++) {
        block(p, l);
        if (p->set.between) p->set.between(p->set.user);
    }
}

/* ---- Head ---- */

static void store_chunk(const struct train_pass *p, float *x, int rows, int n)
{
    if (p->set.round != DTYPE_F32) p->ops->train->round(p->ops, x, (size_t)rows * (size_t)n, p->set.round);
}

/* Rows wanted[0..n), whose targets are target[0..n): the losses, and scale times their gradients for the logits. */
static void head_forward(struct train_pass *p, const int32_t *wanted, const int32_t *target, int n, float scale,
                         double *loss)
{
    const struct gptj *m = p->m;
    const struct gptj_config *c = &m->cfg;
    const struct ops_table *fn = p->ops->fn;
    struct ops *o = p->ops;
    fn->gather(o, p->hidden, p->x[p->n_layers], wanted, n, c->D);
    fn->layer_norm(o, p->normed, p->hidden, &m->ln_f_w, &m->ln_f_b, n, (float)c->eps);
    store_chunk(p, p->normed, n, c->D);
    fn->linear(o, p->logits, p->normed, c->tied ? &m->wte : &m->head, &m->head_b, n, EPILOGUE_STORE);
    store_chunk(p, p->logits, n, c->V);
    p->ops->train->cross_entropy(o, loss, p->logits, target, n, c->V, scale);
    store_chunk(p, p->logits, n, c->V);
}

static void head_back(struct train_pass *p, const int32_t *wanted, int n)
{
    const struct gptj *m = p->m;
    const struct gptj_config *c = &m->cfg;
    const struct ops_train *train = p->ops->train;
    struct ops *o = p->ops;
    linear_back(p, p->dnormed, p->logits, p->normed, c->tied ? &m->wte : &m->head, &m->head_b, n, EPILOGUE_STORE);
    store_chunk(p, p->dnormed, n, c->D);
    train->zero(o, p->dhidden, (size_t)n * (size_t)c->D);
    train->layer_norm_back(o, p->dhidden, m->ln_f_w.grad, m->ln_f_b.grad, p->dnormed, p->hidden, &m->ln_f_w, p->stats,
                           n, (float)c->eps);
    store_chunk(p, p->dhidden, n, c->D);
    train->scatter(o, p->dx, p->dhidden, wanted, n, c->D);
}

static int head(struct train_pass *p, float scale, double *loss, bool back)
{
    assert(has_head(&p->m->cfg, p->m->last));
    int32_t target[HEAD_ROWS];
    int n = 0;
    for (int t = 0; t < p->batch.T; t++)
        if (p->rows.target[t] >= 0) p->wanted[n++] = t;
    for (int at = 0; at < n; at += HEAD_ROWS) {
        const int rows = n - at < HEAD_ROWS ? n - at : HEAD_ROWS;
        for (int i = 0; i < rows; i++)
            target[i] = p->rows.target[p->wanted[at + i]];
        head_forward(p, p->wanted + at, target, rows, scale, loss + at);
        if (back) head_back(p, p->wanted + at, rows);
    }
    return n;
}

int train_pass_head(struct train_pass *p, float scale, double *loss)
{
    p->ops->train->zero(p->ops, p->dx, (size_t)p->batch.T * (size_t)p->m->cfg.D);
    return head(p, scale, loss, true);
}

int train_pass_loss(struct train_pass *p, double *loss)
{
    return head(p, 1, loss, false);
}

/* ---- Backward ---- */

static void attention_back(struct train_pass *p, const struct kept *k, const float *dy)
{
    const struct gptj_config *c = &p->m->cfg;
    const int S = p->rows.seq_len;
    for (int i = 0; i < p->rows.sequences; i++) {
        const size_t at = (size_t)i * (size_t)S * (size_t)c->D, lse_at = (size_t)i * (size_t)S * (size_t)c->H;
        p->ops->train->attention_back(p->ops, p->dq + at, p->dk + at, p->dv + at, dy + at, k->attention + at, k->q + at,
                                      k->lse + lse_at, &k->kv, &p->batch, i * S, S, c->H, c->K);
    }
    p->ops->train->rotary_back(p->ops, p->dq, p->m->sin, p->m->cos, p->position, p->batch.T, c->H, c->K, c->R);
    p->ops->train->rotary_back(p->ops, p->dk, p->m->sin, p->m->cos, p->position, p->batch.T, c->H, c->K, c->R);
    store(p, p->dq, c->D);
    store(p, p->dk, c->D);
    store(p, p->dv, c->D);
}

static void block_back(struct train_pass *p, int l)
{
    const struct gptj_config *c = &p->m->cfg;
    const struct gptj_layer *w = &p->m->layers[l];
    const struct kept *k = kept_of(p, l);
    const int T = p->batch.T;
    if (p->set.recompute)
        inside(p, l);
    else
        norm(p, l);
    gelu(p, k);

    map_back(p, l, PEFT_FC_OUT, p->dz, p->dx, p->g, &w->fc_out_b, EPILOGUE_STORE);
    store(p, p->dz, c->F);
    p->ops->train->gelu_back(p->ops, p->dz, k->z, (size_t)T * (size_t)c->F);
    store(p, p->dz, c->F);

    map_back(p, l, PEFT_OUT_PROJ, p->da, p->dx, k->attention, NULL, EPILOGUE_STORE);
    store(p, p->da, c->D);
    attention_back(p, k, p->da);

    map_back(p, l, PEFT_FC_IN, p->da, p->dz, p->a, &w->fc_in_b, EPILOGUE_STORE);
    map_back(p, l, PEFT_Q_PROJ, p->da, p->dq, p->a, NULL, EPILOGUE_ADD);
    map_back(p, l, PEFT_K_PROJ, p->da, p->dk, p->a, NULL, EPILOGUE_ADD);
    map_back(p, l, PEFT_V_PROJ, p->da, p->dv, p->a, NULL, EPILOGUE_ADD);
    store(p, p->da, c->D);
    p->ops->train->layer_norm_back(p->ops, p->dx, w->ln_w.grad, w->ln_b.grad, p->da, p->x[l], &w->ln_w, p->stats, T,
                                   (float)c->eps);
    store(p, p->dx, c->D);
}

void train_pass_backward(struct train_pass *p)
{
    for (int l = p->n_layers; l-- > 0;) {
        block_back(p, l);
        if (p->set.between) p->set.between(p->set.user);
    }
    if (p->m->first == 0 && p->m->wte.grad)
        p->ops->train->embed_back(p->ops, p->m->wte.grad, p->dx, p->rows.token, p->batch.T, p->m->cfg.D);
}
