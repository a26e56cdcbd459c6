// SPDX-License-Identifier: Apache-2.0
/* A block is (forward.c)
 *
 *     a = LN(x)    y = x + Wo Attention(Wq a, Wk a, Wv a) + (W2 gelu(z) + b2),  z = W1 a + b1
 *
 * so with dy at hand:  dz = (dy W2) gelu'(z),  da = dz W1 + dq Wq + dk Wk + dv Wv,  dx = dy + LN'(da).
 *
 * Weight gradients are products of what comes in and what goes back: dW2 = dy^T gelu(z), dWo = dy^T attention,
 * dW1 = dz^T a, dWq = dq^T a, ... Computed late, they want dy, dz, dq, dk, dv of every block. Attention's own backward
 * is then over, and queries, keys and values are not needed again, so dq, dk and dv take their places; dy and dz are
 * all that is kept besides. */
#include "model/train_pass.h"

#include <assert.h>
#include <stdlib.h>

#include "model/kvcache.h"
#include "ops/train.h"

enum { HEAD_ROWS = 1024 };

/* What is kept of one block. */
struct kept {
    float *q, *attention; /* [T][D] */
    float *lse;           /* [T][H] */
    float *z;             /* [T][F] */
    struct kv_pages kv;
};

/* What is kept of one block for its weight gradients alone, once the gradient of its input is known. */
struct late_block {
    float *dy, *dz;   /* [T][D], [T][F] */
    struct kept kept; /* with recompute, else it is the slot's; q, K and V hold dq, dk and dv [T][D] each */
};

struct late {
    bool taken; /* by a slot */
    struct late_block *blocks;
};

/* A micro-batch in flight. */
struct slot {
    float **x;         /* [n_layers + 1] of [T][D]: in front of each block, and behind the last */
    struct kept *kept; /* [n_layers], or none with recompute */
    struct late *late; /* while its weight gradients are to be computed; else NULL */
    struct train_rows rows;
    struct batch batch;
    int32_t *position, *sequence; /* host: [T] */
};

struct train_pass {
    const struct gptj *m;
    struct ops *ops;
    struct train_pass_options set;
    int T, n_layers;
    struct slot *slots, *slot; /* [set.slots]; the one in use */
    struct late *late;         /* [set.late] */
    bool *stale;               /* [n_layers + 1], of each block and the head: gradients of its matrices count as zero */
    struct kept again;         /* of the block that is being computed, with recompute */
    float *a, *g;              /* [T][D] norm, [T][F] gelu */
    float *dx, *da, *dq, *dk, *dv;              /* [T][D]; forward has K and V of a block in dk and dv */
    float *dz;                                  /* [T][F] */
    float *stats;                               /* [T][2] */
    float *low, *dlow;                          /* [T][lora_rank] */
    int head_rows;                              /* of a chunk, at most */
    float *logits;                              /* [head_rows][V] */
    float *hidden, *normed, *dnormed, *dhidden; /* [head_rows][D] */
    int32_t *page, *wanted;                     /* host: [sequences * pages], [T] */
    const int32_t **pages;                      /* host: [sequences] */
};

/* ---- Memory ---- */

/* Each buffer on the device with its size in floats; creation, release and accounting walk the same list. */
typedef enum status buffer_fn(void *user, float **at, size_t n);

static int pages_of(const struct train_pass_options *o)
{
    return o->sequences * kvcache_pages_for(o->seq_len);
}

static enum status each_of_kept(const struct train_pass *p, struct kept *k, const struct gptj_config *c,
                                buffer_fn *each, void *user)
{
    const size_t T = (size_t)p->T, D = (size_t)c->D, F = (size_t)c->F, H = (size_t)c->H;
    const size_t kv = (size_t)pages_of(&p->set) * ops_kv_page_bytes(c->H, c->K, DTYPE_F32) / sizeof(float);
    const struct {
        float **at;
        size_t n;
    } all[] = {{&k->q, T * D}, {&k->attention, T * D},           {&k->lse, T * H},
               {&k->z, T * F}, {(float **)(void *)&k->kv.k, kv}, {(float **)(void *)&k->kv.v, kv}};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        TRY(each(user, all[i].at, all[i].n));
    k->kv.dtype = DTYPE_F32;
    return OK;
}

/* s may lack its arrays, as late's may be missing: then there are no buffers yet, or none any more. */
static enum status each_of_slot(const struct train_pass *p, struct slot *s, const struct gptj_config *c,
                                buffer_fn *each, void *user)
{
    float *no_x = NULL;
    for (int l = 0; l <= p->n_layers; l++)
        TRY(each(user, s->x ? &s->x[l] : &no_x, (size_t)p->T * (size_t)c->D));
    for (int l = 0; l < p->n_layers && !p->set.recompute; l++) {
        struct kept none = {0};
        TRY(each_of_kept(p, s->kept ? &s->kept[l] : &none, c, each, user));
    }
    return OK;
}

static enum status each_of_late(const struct train_pass *p, struct late *late, const struct gptj_config *c,
                                buffer_fn *each, void *user)
{
    for (int l = 0; l < p->n_layers; l++) {
        struct late_block none = {0}, *b = late->blocks ? &late->blocks[l] : &none;
        TRY(each(user, &b->dy, (size_t)p->T * (size_t)c->D));
        TRY(each(user, &b->dz, (size_t)p->T * (size_t)c->F));
        if (p->set.recompute) TRY(each_of_kept(p, &b->kept, c, each, user));
    }
    return OK;
}

static enum status each_buffer(struct train_pass *p, const struct gptj_config *c, bool head, buffer_fn *each,
                               void *user)
{
    const size_t T = (size_t)p->T, D = (size_t)c->D, F = (size_t)c->F, V = (size_t)c->V;
    for (int i = 0; i < p->set.slots; i++) {
        struct slot none = {0};
        TRY(each_of_slot(p, p->slots ? &p->slots[i] : &none, c, each, user));
    }
    if (p->set.recompute) TRY(each_of_kept(p, &p->again, c, each, user));
    for (int i = 0; i < p->set.late; i++) {
        struct late none = {0};
        TRY(each_of_late(p, p->late ? &p->late[i] : &none, c, each, user));
    }
    const size_t chunk = head ? (size_t)p->head_rows : 0;
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

/* A pass without its memory. */
static struct train_pass described(int n_layers, const struct train_pass_options *options)
{
    struct train_pass p = {.set = *options, .T = options->sequences * options->seq_len, .n_layers = n_layers};
    if (!p.set.slots) p.set.slots = 1;
    p.head_rows = p.T < HEAD_ROWS ? p.T : HEAD_ROWS;
    return p;
}

size_t train_pass_bytes(const struct gptj_config *c, int first, int last, const struct train_pass_options *options)
{
    struct train_pass p = described(last - first, options);
    size_t bytes = 0;
    each_buffer(&p, c, has_head(c, last), count, &bytes);
    return bytes;
}

static void host_free(struct train_pass *p)
{
    for (int i = 0; p->slots && i < p->set.slots; i++) {
        free(p->slots[i].x);
        free(p->slots[i].kept);
        free(p->slots[i].position);
        free(p->slots[i].sequence);
    }
    for (int i = 0; p->late && i < p->set.late; i++)
        free(p->late[i].blocks);
    free(p->slots);
    free(p->late);
    free(p->stale);
    free(p->page);
    free(p->wanted);
    free(p->pages);
    free(p);
}

static bool slot_arrays(const struct train_pass *p, struct slot *s)
{
    s->x = calloc((size_t)p->n_layers + 1, sizeof *s->x);
    s->kept = p->set.recompute ? NULL : calloc((size_t)p->n_layers, sizeof *s->kept);
    s->position = calloc((size_t)p->T, sizeof *s->position);
    s->sequence = calloc((size_t)p->T, sizeof *s->sequence);
    return s->x && (s->kept || p->set.recompute) && s->position && s->sequence;
}

/* The arrays of slots and late sets. */
static bool flight_arrays(struct train_pass *p)
{
    p->slots = calloc((size_t)p->set.slots, sizeof *p->slots);
    p->late = p->set.late ? calloc((size_t)p->set.late, sizeof *p->late) : NULL;
    bool ok = p->slots && (p->late || !p->set.late);
    for (int i = 0; ok && i < p->set.slots; i++)
        ok = slot_arrays(p, &p->slots[i]);
    for (int i = 0; ok && i < p->set.late; i++)
        ok = (p->late[i].blocks = calloc((size_t)p->n_layers, sizeof *p->late[i].blocks));
    return ok;
}

/* The host's arrays; which page of its slot's store a position lies in never changes. */
static enum status host_arrays(struct train_pass *p)
{
    const size_t T = (size_t)p->T, per = (size_t)kvcache_pages_for(p->set.seq_len), S = (size_t)p->set.sequences;
    p->page = calloc(S * per, sizeof *p->page);
    p->wanted = calloc(T, sizeof *p->wanted);
    p->pages = calloc(S, sizeof *p->pages);
    p->stale = calloc((size_t)p->n_layers + 1, sizeof *p->stale);
    if (!flight_arrays(p) || !p->page || !p->wanted || !p->pages || !p->stale)
        return fail(E_NOMEM, "training: out of memory");
    for (size_t i = 0; i < S * per; i++)
        p->page[i] = (int32_t)i;
    for (size_t s = 0; s < S; s++)
        p->pages[s] = p->page + s * per;
    return OK;
}

enum status train_pass_create(struct train_pass **out, const struct gptj *m, const struct train_pass_options *options)
{
    assert(m->ops->train && options->seq_len <= m->cfg.P && options->slots >= 0 && options->late >= 0);
    struct train_pass *p = calloc(1, sizeof *p);
    if (!p) return fail(E_NOMEM, "training: out of memory");
    *p = described(m->last - m->first, options);
    p->m = m;
    p->ops = m->ops;
    enum status s = host_arrays(p);
    if (s == OK) s = each_buffer(p, &m->cfg, has_head(&m->cfg, m->last), take, m->ops);
    if (s != OK) {
        train_pass_free(p);
        return s;
    }
    p->slot = p->slots;
    *out = p;
    return OK;
}

void train_pass_free(struct train_pass *p)
{
    if (!p) return;
    each_buffer(p, &p->m->cfg, has_head(&p->m->cfg, p->m->last), give_back, p->ops);
    host_free(p);
}

void train_pass_use(struct train_pass *p, int slot)
{
    assert(0 <= slot && slot < p->set.slots);
    p->slot = &p->slots[slot];
}

float *train_pass_input(struct train_pass *p)
{
    return p->slot->x[0];
}

float *train_pass_output(struct train_pass *p)
{
    return p->slot->x[p->n_layers];
}

float *train_pass_gradient(struct train_pass *p)
{
    return p->dx;
}

/* ---- Gradients that count as zero ---- */

static void zero_grad(const struct train_pass *p, const struct weight *w)
{
    if (w->grad) p->ops->train->zero(p->ops, w->grad, (size_t)w->O * (size_t)w->I);
}

static const struct weight *head_matrix(const struct gptj *m)
{
    return m->cfg.tied ? &m->wte : &m->head;
}

/* What a block's matrices, or with n_layers the head's, do with their next gradient. */
static enum epilogue grad_epilogue(const struct train_pass *p, int l)
{
    return p->stale[l] ? EPILOGUE_STORE : EPILOGUE_ADD;
}

void train_pass_zero_grad(struct train_pass *p)
{
    const struct gptj *m = p->m;
    const bool head = has_head(&m->cfg, m->last);
    for (int l = 0; l < p->n_layers; l++) {
        const struct gptj_layer *w = &m->layers[l];
        const struct weight *const added_to[] = {&w->ln_w, &w->ln_b, &w->fc_in_b, &w->fc_out_b};
        for (size_t i = 0; i < COUNT_OF(added_to); i++)
            zero_grad(p, added_to[i]);
        p->stale[l] = true;
    }
    if (m->first == 0 && !(head && m->cfg.tied)) zero_grad(p, &m->wte);
    if (!head) return;
    zero_grad(p, &m->ln_f_w);
    zero_grad(p, &m->ln_f_b);
    zero_grad(p, &m->head_b);
    p->stale[p->n_layers] = true;
}

/* ---- Pieces ---- */

/* Rounds rows of n numbers as they are stored. */
static void store(const struct train_pass *p, float *x, int n)
{
    if (p->set.round != DTYPE_F32) p->ops->train->round(p->ops, x, (size_t)p->slot->batch.T * (size_t)n, p->set.round);
}

static struct lora *adapter_of(const struct train_pass *p, int l, enum peft_module module)
{
    struct lora *lora = &p->m->layers[l].lora[module];
    return lora->a.O ? lora : NULL;
}

/* One of several linear maps of block l. */
struct map {
    enum peft_module module;
    float *y;
    const struct weight *b;
};

/* Maps of x, and what their adapters add to them. The caller keeps x. */
static void maps(const struct train_pass *p, int l, const struct map *list, int n, const float *x, enum epilogue e)
{
    const struct ops_table *fn = p->ops->fn;
    const int T = p->slot->batch.T;
    struct linear_map group[LINEAR_GROUP];
    assert(n <= LINEAR_GROUP);
    for (int i = 0; i < n; i++)
        group[i] = (struct linear_map){list[i].y, gptj_module(&p->m->layers[l], list[i].module), list[i].b, e};
    ops_linear_group(p->ops, group, n, x, T);
    for (int i = 0; i < n; i++) {
        const struct lora *lora = adapter_of(p, l, list[i].module);
        if (!lora) continue;
        fn->linear(p->ops, p->low, x, &lora->a, NULL, T, EPILOGUE_STORE);
        p->ops->train->scale(p->ops, p->low, (size_t)T * (size_t)lora->a.O, p->set.lora_scale);
        store(p, p->low, lora->a.O);
        fn->linear(p->ops, list[i].y, p->low, &lora->b, NULL, T, EPILOGUE_ADD);
    }
}

/* One of several linear maps of block l on the way back; map->w and dw_e are filled in. */
struct map_back {
    enum peft_module module;
    struct linear_back_map map;
};

/* With h = s A x and y = W x + B h:  dB = dy^T h,  dh = s dy B,  dA = dh^T x,  dx = dy W + dh A. The latter is m's. */
static void adapter_back(const struct train_pass *p, const struct lora *lora, const struct linear_back_map *m)
{
    const int T = p->slot->batch.T, r = lora->a.O;
    if (m->x) {
        p->ops->fn->linear(p->ops, p->low, m->x, &lora->a, NULL, T, EPILOGUE_STORE);
        p->ops->train->scale(p->ops, p->low, (size_t)T * (size_t)r, p->set.lora_scale);
        store(p, p->low, r);
    }
    const struct linear_back_map up = {
        .w = &lora->b, .dx = p->dlow, .dy = m->dy, .x = m->x ? p->low : NULL, .dw_e = m->dw_e};
    ops_linear_back_group(p->ops, &up, 1, T);
    p->ops->train->scale(p->ops, p->dlow, (size_t)T * (size_t)r, p->set.lora_scale);
    store(p, p->dlow, r);
    const struct linear_back_map down = {
        .w = &lora->a, .dx = m->dx, .dy = p->dlow, .x = m->x, .e = EPILOGUE_ADD, .dw_e = m->dw_e};
    ops_linear_back_group(p->ops, &down, 1, T);
}

/* In the order of the list, each map with its adapter: sums in a dx that several have keep their order. */
static void maps_back_each(const struct train_pass *p, int l, const struct map_back *list, int n)
{
    struct linear_back_map group[LINEAR_GROUP];
    assert(n <= LINEAR_GROUP);
    for (int i = 0, size = 0; i < n; i++) {
        const struct lora *lora = adapter_of(p, l, list[i].module);
        struct linear_back_map *m = &group[size++];
        *m = list[i].map;
        m->w = gptj_module(&p->m->layers[l], list[i].module);
        m->dw_e = grad_epilogue(p, l);
        if (!lora && i + 1 < n) continue;
        ops_linear_back_group(p->ops, group, size, p->slot->batch.T);
        if (lora) adapter_back(p, lora, m);
        size = 0;
    }
}

static void norm(const struct train_pass *p, int l)
{
    const struct gptj_layer *w = &p->m->layers[l];
    p->ops->fn->layer_norm(p->ops, p->a, p->slot->x[l], &w->ln_w, &w->ln_b, p->slot->batch.T, (float)p->m->cfg.eps);
    store(p, p->a, p->m->cfg.D);
}

static void gelu(const struct train_pass *p, const struct kept *k)
{
    p->ops->train->gelu(p->ops, p->g, k->z, (size_t)p->slot->batch.T * (size_t)p->m->cfg.F);
    store(p, p->g, p->m->cfg.F);
}

/* Whether gelu and its backward may be computed on the way to the products of this map: their results are neither
 * rounded nor wanted by anything else. */
static bool on_the_way(const struct train_pass *p, int l, enum peft_module module)
{
    return p->set.round == DTYPE_F32 && !adapter_of(p, l, module);
}

/* z, of which fc_out's backward computes gelu; or NULL, and it is there. */
static const float *gelu_for_back(const struct train_pass *p, int l, const struct kept *k)
{
    if (on_the_way(p, l, PEFT_FC_OUT)) return k->z;
    gelu(p, k);
    return NULL;
}

static void between(const struct train_pass *p)
{
    if (p->set.between) p->set.between(p->set.user);
}

/* Where forward, and a backward pass that is not split, have what is inside block l. */
static const struct kept *kept_of(const struct train_pass *p, int l)
{
    return p->set.recompute ? &p->again : &p->slot->kept[l];
}

/* ---- Forward ---- */

/* All of block l that backward wants kept. */
static void inside(struct train_pass *p, int l, const struct kept *k)
{
    const struct gptj_config *c = &p->m->cfg;
    const struct gptj_layer *w = &p->m->layers[l];
    const struct ops_table *fn = p->ops->fn;
    struct ops *o = p->ops;
    const int T = p->slot->batch.T;

    const struct map from_norm[] = {{PEFT_K_PROJ, p->dk, NULL},
                                    {PEFT_V_PROJ, p->dv, NULL},
                                    {PEFT_Q_PROJ, k->q, NULL},
                                    {PEFT_FC_IN, k->z, &w->fc_in_b}};
    norm(p, l);
    maps(p, l, from_norm, COUNT_OF(from_norm), p->a, EPILOGUE_STORE);
    store(p, k->z, c->F);
    if (p->set.round == DTYPE_F32) {
        const struct turns turns = {p->m->sin, p->m->cos, c->R};
        ops_turn_and_store(o, &k->kv, k->q, p->dk, p->dv, &turns, &p->slot->batch, 0, T, c->H, c->K);
    } else {
        fn->rotary(o, p->dk, p->m->sin, p->m->cos, p->slot->position, T, c->H, c->K, c->R);
        fn->rotary(o, k->q, p->m->sin, p->m->cos, p->slot->position, T, c->H, c->K, c->R);
        store(p, p->dk, c->D);
        store(p, p->dv, c->D);
        store(p, k->q, c->D);
        fn->kv_store(o, &k->kv, p->dk, p->dv, &p->slot->batch, 0, T, c->H, c->K);
    }
    fn->attention(o, k->attention, k->lse, k->q, &k->kv, &p->slot->batch, 0, T, c->H, c->K);
    store(p, k->attention, c->D);
}

static void block(struct train_pass *p, int l)
{
    const struct gptj_layer *w = &p->m->layers[l];
    const struct kept *k = kept_of(p, l);
    const int T = p->slot->batch.T;
    float *y = p->slot->x[l + 1];
    const struct map fc_out = {PEFT_FC_OUT, y, &w->fc_out_b}, out_proj = {PEFT_OUT_PROJ, y, NULL};
    inside(p, l, k);
    p->ops->fn->copy(p->ops, y, p->slot->x[l], (size_t)T * (size_t)p->m->cfg.D * sizeof *y);
    if (on_the_way(p, l, PEFT_FC_OUT)) {
        ops_gelu_linear(p->ops, y, p->g, k->z, &w->fc_out, &w->fc_out_b, T, EPILOGUE_ADD);
    } else {
        gelu(p, k);
        maps(p, l, &fc_out, 1, p->g, EPILOGUE_ADD);
    }
    maps(p, l, &out_proj, 1, k->attention, EPILOGUE_ADD);
    store(p, p->slot->x[l + 1], p->m->cfg.D);
}

void train_pass_forward(struct train_pass *p, const struct train_rows *rows)
{
    assert(rows->sequences <= p->set.sequences && rows->seq_len <= p->set.seq_len && !p->slot->late);
    const int T = rows->sequences * rows->seq_len;
    p->slot->rows = *rows;
    for (int t = 0; t < T; t++) {
        p->slot->sequence[t] = t / rows->seq_len;
        p->slot->position[t] = t % rows->seq_len;
    }
    p->slot->batch = (struct batch){.T = T,
                                    .token = rows->token,
                                    .position = p->slot->position,
                                    .lo = rows->lo,
                                    .hi = rows->hi,
                                    .sequence = p->slot->sequence,
                                    .pages = p->pages};
    if (p->m->first == 0) {
        p->ops->fn->embed(p->ops, p->slot->x[0], &p->m->wte, rows->token, T);
        store(p, p->slot->x[0], p->m->cfg.D);
    }
    for (int l = 0; l < p->n_layers; l++) {
        block(p, l);
        between(p);
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
    fn->gather(o, p->hidden, p->slot->x[p->n_layers], wanted, n, c->D);
    fn->layer_norm(o, p->normed, p->hidden, &m->ln_f_w, &m->ln_f_b, n, (float)c->eps);
    store_chunk(p, p->normed, n, c->D);
    fn->linear(o, p->logits, p->normed, head_matrix(m), &m->head_b, n, EPILOGUE_STORE);
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
    const struct linear_back_map to_logits = {.w = head_matrix(m),
                                              .b = &m->head_b,
                                              .dx = p->dnormed,
                                              .dy = p->logits,
                                              .x = p->normed,
                                              .dw_e = grad_epilogue(p, p->n_layers)};
    ops_linear_back_group(o, &to_logits, 1, n);
    p->stale[p->n_layers] = false;
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
    for (int t = 0; t < p->slot->batch.T; t++)
        if (p->slot->rows.target[t] >= 0) p->wanted[n++] = t;
    for (int at = 0; at < n; at += HEAD_ROWS) {
        const int rows = n - at < HEAD_ROWS ? n - at : HEAD_ROWS;
        for (int i = 0; i < rows; i++)
            target[i] = p->slot->rows.target[p->wanted[at + i]];
        head_forward(p, p->wanted + at, target, rows, scale, loss + at);
        if (back) head_back(p, p->wanted + at, rows);
    }
    return n;
}

int train_pass_head(struct train_pass *p, float scale, double *loss)
{
    p->ops->train->zero(p->ops, p->dx, (size_t)p->slot->batch.T * (size_t)p->m->cfg.D);
    const int n = head(p, scale, loss, true);
    if (p->stale[p->n_layers]) zero_grad(p, head_matrix(p->m)); /* no row has a target */
    p->stale[p->n_layers] = false;
    return n;
}

int train_pass_loss(struct train_pass *p, double *loss)
{
    return head(p, 1, loss, false);
}

/* ---- Backward ---- */

static void attention_back(struct train_pass *p, const struct kept *k, const float *dy)
{
    const struct gptj_config *c = &p->m->cfg;
    const int S = p->slot->rows.seq_len;
    for (int i = 0; i < p->slot->rows.sequences; i++) {
        const size_t at = (size_t)i * (size_t)S * (size_t)c->D, lse_at = (size_t)i * (size_t)S * (size_t)c->H;
        p->ops->train->attention_back(p->ops, p->dq + at, p->dk + at, p->dv + at, dy + at, k->attention + at, k->q + at,
                                      k->lse + lse_at, &k->kv, &p->slot->batch, i * S, S, c->H, c->K);
    }
    p->ops->train->rotary_back(p->ops, p->dq, p->m->sin, p->m->cos, p->slot->position, p->slot->batch.T, c->H, c->K,
                               c->R);
    p->ops->train->rotary_back(p->ops, p->dk, p->m->sin, p->m->cos, p->slot->position, p->slot->batch.T, c->H, c->K,
                               c->R);
    store(p, p->dq, c->D);
    store(p, p->dk, c->D);
    store(p, p->dv, c->D);
}

/* Through the maps of block l, from the gradient of its output in dx to that of its norm in da; what is inside the
 * block is in k. With weights, their gradients too: then a is as forward had it. Without, dz is kept for them. */
static void maps_back(struct train_pass *p, int l, const struct kept *k, float *dz, bool weights)
{
    const struct gptj_config *c = &p->m->cfg;
    const struct gptj_layer *w = &p->m->layers[l];
    float *a = weights ? p->a : NULL, *g = weights ? p->g : NULL, *attention = weights ? k->attention : NULL;
    const bool later = weights && on_the_way(p, l, PEFT_FC_IN);
    const struct map_back from_output[] = {
        {PEFT_FC_OUT,
         {.b = &w->fc_out_b, .dx = dz, .dy = p->dx, .x = g, .x_gelu = weights ? gelu_for_back(p, l, k) : NULL}},
        {PEFT_OUT_PROJ, {.dx = p->da, .dy = p->dx, .x = attention}}};
    const struct map_back to_norm[] = {
        {PEFT_FC_IN, {.b = &w->fc_in_b, .dx = p->da, .dy = dz, .x = a, .dy_gelu = later ? k->z : NULL}},
        {PEFT_Q_PROJ, {.dx = p->da, .dy = p->dq, .x = a, .e = EPILOGUE_ADD}},
        {PEFT_K_PROJ, {.dx = p->da, .dy = p->dk, .x = a, .e = EPILOGUE_ADD}},
        {PEFT_V_PROJ, {.dx = p->da, .dy = p->dv, .x = a, .e = EPILOGUE_ADD}}};

    maps_back_each(p, l, from_output, COUNT_OF(from_output));
    store(p, dz, c->F);
    if (!later) p->ops->train->gelu_back(p->ops, dz, k->z, (size_t)p->slot->batch.T * (size_t)c->F);
    store(p, dz, c->F);
    store(p, p->da, c->D);
    attention_back(p, k, p->da);
    maps_back_each(p, l, to_norm, COUNT_OF(to_norm));
    store(p, p->da, c->D);
}

/* From da to the gradient of the block's input in dx. */
static void norm_back(struct train_pass *p, int l)
{
    const struct gptj_config *c = &p->m->cfg;
    const struct gptj_layer *w = &p->m->layers[l];
    p->ops->train->layer_norm_back(p->ops, p->dx, w->ln_w.grad, w->ln_b.grad, p->da, p->slot->x[l], &w->ln_w, p->stats,
                                   p->slot->batch.T, (float)c->eps);
    store(p, p->dx, c->D);
}

static void block_back(struct train_pass *p, int l)
{
    const struct kept *k = kept_of(p, l);
    if (p->set.recompute)
        inside(p, l, k);
    else
        norm(p, l);
    maps_back(p, l, k, p->dz, true);
    p->stale[l] = false;
    norm_back(p, l);
}

static void embedding_back(struct train_pass *p)
{
    if (p->m->first == 0 && p->m->wte.grad)
        p->ops->train->embed_back(p->ops, p->m->wte.grad, p->dx, p->slot->rows.token, p->slot->batch.T, p->m->cfg.D);
}

void train_pass_backward(struct train_pass *p)
{
    for (int l = p->n_layers; l-- > 0;) {
        block_back(p, l);
        between(p);
    }
    embedding_back(p);
}

/* ---- Backward in two halves ---- */

static const struct kept *late_kept(const struct train_pass *p, int l)
{
    return p->set.recompute ? &p->slot->late->blocks[l].kept : &p->slot->kept[l];
}

static struct late *take_late(struct train_pass *p)
{
    int i = 0;
    while (i < p->set.late && p->late[i].taken)
        i++;
    assert(i < p->set.late);
    p->late[i].taken = true;
    return &p->late[i];
}

static void block_back_input(struct train_pass *p, int l)
{
    const struct kept *k = late_kept(p, l);
    const struct late_block *b = &p->slot->late->blocks[l];
    const struct ops_table *fn = p->ops->fn;
    const size_t bytes = (size_t)p->slot->batch.T * (size_t)p->m->cfg.D * sizeof(float);
    if (p->set.recompute) inside(p, l, k);
    fn->copy(p->ops, b->dy, p->dx, bytes);
    maps_back(p, l, k, b->dz, false);
    norm_back(p, l);
    fn->copy(p->ops, k->q, p->dq, bytes);
    fn->copy(p->ops, k->kv.k, p->dk, bytes);
    fn->copy(p->ops, k->kv.v, p->dv, bytes);
}

void train_pass_backward_input(struct train_pass *p)
{
    assert(!p->slot->late);
    p->slot->late = take_late(p);
    for (int l = p->n_layers; l-- > 0;) {
        block_back_input(p, l);
        between(p);
    }
    embedding_back(p);
}

static void block_back_weights(struct train_pass *p, int l)
{
    const struct gptj_layer *w = &p->m->layers[l];
    const struct kept *k = late_kept(p, l);
    const struct late_block *b = &p->slot->late->blocks[l];
    norm(p, l);
    const struct map_back all[] = {
        {PEFT_FC_OUT, {.b = &w->fc_out_b, .dy = b->dy, .x = p->g, .x_gelu = gelu_for_back(p, l, k)}},
        {PEFT_OUT_PROJ, {.dy = b->dy, .x = k->attention}},
        {PEFT_FC_IN, {.b = &w->fc_in_b, .dy = b->dz, .x = p->a}},
        {PEFT_Q_PROJ, {.dy = k->q, .x = p->a}},
        {PEFT_K_PROJ, {.dy = k->kv.k, .x = p->a}},
        {PEFT_V_PROJ, {.dy = k->kv.v, .x = p->a}}};
    maps_back_each(p, l, all, 2);
    maps_back_each(p, l, all + 2, 4);
    p->stale[l] = false;
}

void train_pass_backward_weights(struct train_pass *p)
{
    assert(p->slot->late);
    for (int l = p->n_layers; l-- > 0;) {
        block_back_weights(p, l);
        between(p);
    }
    p->slot->late->taken = false;
    p->slot->late = NULL;
}
