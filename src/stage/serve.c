// SPDX-License-Identifier: Apache-2.0
/* A stage that is not the head: runs each step through its layers, in the order in which they come. */
#include <stdlib.h>
#include <string.h>

#include "stage/message.h"
#include "stage/stage.h"

struct lane {
    struct kvcache *kv; /* its pages only: who has which is the head's to know. NULL: not open */
    struct workspace *workspace;
    const int32_t **pages; /* [max_rows] tables of a step */
    int max_rows;
};

enum { SENDS = 2 };

struct serving {
    const struct stage_ranks *ranks;
    int stage;
    const struct gptj *model; /* NULL: not yet */
    enum dtype kv_dtype;
    struct lane lanes[STAGE_MAX_LANES];
    struct stage_order order;
    char *body; /* [body_bytes] */
    size_t body_bytes;
    float *rows[SENDS + 1]; /* [n_rows][D] each, on the host: on their way to the next stage, and from the one before */
    struct net_request sends[SENDS];
    int n_rows, next_send;
};

/* ---- Lanes ---- */

static void lane_close(struct lane *l)
{
    kvcache_free(l->kv);
    workspace_free(l->workspace);
    free(l->pages);
    *l = (struct lane){0};
}

/* Room for messages of so many rows. */
static enum status make_rows(struct serving *s, int n_rows)
{
    if (n_rows <= s->n_rows) return OK;
    TRY(net_wait_all(s->ranks->t, s->sends, SENDS));
    for (int i = 0; i <= SENDS; i++) {
        free(s->rows[i]);
        s->rows[i] = calloc((size_t)n_rows * (size_t)s->model->cfg.D, sizeof **s->rows);
        if (!s->rows[i]) return fail(E_NOMEM, "out of memory for %d rows", n_rows);
    }
    s->n_rows = n_rows;
    return OK;
}

static enum status lane_open(struct serving *s, struct lane *l)
{
    const struct stage_order *o = &s->order;
    const struct gptj *m = s->model;
    if (!m || l->kv || o->n_pages < 1 || o->max_rows < 1) return fail(E_FORMAT, "a lane that cannot be opened");
    l->max_rows = o->max_rows;
    l->pages = calloc((size_t)o->max_rows, sizeof *l->pages);
    if (!l->pages) return fail(E_NOMEM, "out of memory for %d rows", o->max_rows);
    TRY(make_rows(s, o->max_rows));
    TRY(kvcache_create(&l->kv, m->ops, m->last - m->first, m->cfg.H, m->cfg.K, o->n_pages, s->kv_dtype));
    return workspace_create(&l->workspace, m, o->max_rows);
}

/* ---- A step ---- */

static enum status broken_step(void)
{
    return fail(E_FORMAT, "a step between stages is not what it should be");
}

static bool are_pages(const int32_t *pages, int n, const struct kvcache *kv)
{
    for (int i = 0; i < n; i++)
        if (pages[i] < 0 || pages[i] >= kv->n_pages) return false;
    return true;
}

/* Every position that a row has or sees lies in its sequence's pages; n_pages [n_sequences] there are of these. */
static bool rows_fit(const struct serving *s, const struct batch *b, const int32_t *n_pages)
{
    const struct gptj_config *c = &s->model->cfg;
    for (int t = 0; t < b->T; t++) {
        if (b->sequence[t] < 0 || b->sequence[t] >= s->order.n_sequences) return false;
        const int32_t end = n_pages[b->sequence[t]] * KV_PAGE;
        if (b->token[t] < 0 || b->token[t] >= c->V || b->position[t] < 0 || b->position[t] >= c->P) return false;
        if (b->position[t] >= end || b->lo[t] < 0 || b->lo[t] >= b->hi[t] || b->hi[t] > end) return false;
    }
    return true;
}

/* Tables and copies from at on, of left numbers. */
static enum status read_tables(const struct serving *s, struct lane *l, const struct batch *b, const int32_t *at,
                               size_t left)
{
    int32_t *n_pages = calloc((size_t)s->order.n_sequences + 1, sizeof *n_pages);
    bool ok = n_pages != NULL;
    for (int i = 0; ok && i < s->order.n_sequences; i++) {
        ok = left > 0 && at[0] >= 0 && (size_t)at[0] < left && are_pages(at + 1, at[0], l->kv);
        if (!ok) break;
        n_pages[i] = at[0];
        l->pages[i] = at + 1;
        left -= (size_t)at[0] + 1;
        at += at[0] + 1;
    }
    ok = ok && left == 2 * (size_t)s->order.n_copies && are_pages(at, 2 * s->order.n_copies, l->kv) &&
         rows_fit(s, b, n_pages);
    for (int i = 0; ok && i < s->order.n_copies; i++)
        kvcache_copy_page(l->kv, at[2 * i], at[2 * i + 1]);
    free(n_pages);
    return ok ? OK : broken_step();
}

/* The batch of the order at hand, borrowed from its body; its page copies are made. */
static enum status read_step(struct batch *b, const struct serving *s, struct lane *l)
{
    const struct stage_order *o = &s->order;
    const size_t n = o->bytes / sizeof(int32_t);
    if (!l->kv || o->T < 1 || o->T > l->max_rows || o->n_sequences < 1 || o->n_sequences > l->max_rows ||
        o->n_copies < 0 || o->first_wanted < 0 || o->first_wanted > o->T || n < 5 * (size_t)o->T)
        return broken_step();
    const int32_t *columns = (const int32_t *)(const void *)s->body;
    const size_t T = (size_t)o->T;
    *b = (struct batch){o->T,     columns + 0 * T, columns + 1 * T, columns + 2 * T, columns + 3 * T, columns + 4 * T,
                        l->pages, o->first_wanted};
    return read_tables(s, l, b, columns + 5 * T, n - 5 * T);
}

static enum status take_rows(struct serving *s, const struct lane *l, size_t bytes)
{
    struct transport *t = s->ranks->t;
    TRY(net_recv_wait(t, t->rank - 1, NET_ACTIVATIONS, STAGE_ROWS_TAG, s->rows[SENDS], bytes));
    s->model->ops->fn->write(s->model->ops, l->workspace->x, s->rows[SENDS], bytes);
    return OK;
}

static enum status pass_on(struct serving *s, const struct lane *l, size_t bytes)
{
    const struct stage_ranks *r = s->ranks;
    const int i = s->next_send, to = s->stage == r->n - 2 ? r->first : r->t->rank + 1;
    TRY(net_wait(r->t, &s->sends[i]));
    s->model->ops->fn->read(s->model->ops, s->rows[i], l->workspace->x, bytes);
    s->next_send = (i + 1) % SENDS;
    return net_send(r->t, &s->sends[i], to, NET_ACTIVATIONS, STAGE_ROWS_TAG, s->rows[i], bytes);
}

static enum status do_step(struct serving *s, struct lane *l)
{
    struct batch b;
    struct forward f;
    TRY(read_step(&b, s, l));
    const size_t bytes = (size_t)b.T * (size_t)s->model->cfg.D * sizeof(float);
    if (s->stage > 0) TRY(take_rows(s, l, bytes));
    forward_begin(&f, s->model, l->workspace, l->kv, &b);
    while (forward_step(&f))
        TRY(net_progress(s->ranks->t));
    return pass_on(s, l, bytes);
}

/* ---- Orders ---- */

static enum status hear_order(struct serving *s)
{
    struct transport *t = s->ranks->t;
    struct net_request r = {0};
    TRY(net_recv(t, &r, s->ranks->first, NET_CONTROL, STAGE_ORDER_TAG, &s->order, sizeof s->order));
    TRY(net_wait_unbounded(t, &r)); /* it may take the head any time to have work */
    if (!s->order.bytes) return OK;
    if (s->order.bytes > s->body_bytes) {
        free(s->body);
        s->body_bytes = 0;
        s->body = malloc(s->order.bytes);
        if (!s->body) return fail(E_NOMEM, "out of memory for a step of %zu bytes", (size_t)s->order.bytes);
        s->body_bytes = s->order.bytes;
    }
    return net_recv_wait(t, s->ranks->first, NET_CONTROL, STAGE_BODY_TAG, s->body, s->order.bytes);
}

static enum status form(struct serving *s, stage_open_fn *open, void *user)
{
    if (s->model) return fail(E_FORMAT, "a pipeline that is formed twice");
    TRY(open(&s->model, &s->kv_dtype, user, s->body, s->order.bytes));
    return net_send_wait(s->ranks->t, s->ranks->first, NET_CONTROL, STAGE_READY_TAG, NULL, 0);
}

static enum status obey(struct serving *s, stage_open_fn *open, void *user)
{
    const struct stage_order *o = &s->order;
    if (o->kind == STAGE_FORM) return form(s, open, user);
    if (o->lane < 0 || o->lane >= STAGE_MAX_LANES) return broken_step();
    struct lane *l = &s->lanes[o->lane];
    switch (o->kind) {
    case STAGE_OPEN_LANE: return lane_open(s, l);
    case STAGE_CLOSE_LANE: lane_close(l); return OK;
    case STAGE_STEP: return do_step(s, l);
    default: return broken_step();
    }
}

static enum status serve(struct serving *s, stage_open_fn *open, void *user)
{
    for (;;) {
        TRY(hear_order(s));
        if (s->order.kind == STAGE_LEAVE) return net_wait_all(s->ranks->t, s->sends, SENDS);
        TRY(obey(s, open, user));
    }
}

enum status stage_serve(const struct stage_ranks *r, stage_open_fn *open, void *user)
{
    struct serving *s = calloc(1, sizeof *s);
    if (!s) return fail(E_NOMEM, "out of memory for a stage");
    s->ranks = r;
    s->stage = stage_of_rank(r, r->t->rank);
    const enum status st = serve(s, open, user);
    if (st != OK) net_fail(r->t, st); /* before the buffers of messages go */
    for (int i = 0; i < STAGE_MAX_LANES; i++)
        lane_close(&s->lanes[i]);
    for (int i = 0; i <= SENDS; i++)
        free(s->rows[i]);
    free(s->body);
    free(s);
    return st;
}
