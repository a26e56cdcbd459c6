// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "stage/message.h"
#include "stage/stage.h"

/* Orders to all other ranks at once. */
struct post {
    struct stage_order order;
    struct buf body;
    struct net_request *heads, *bodies; /* [n - 1] */
};

struct lane {
    bool open;
    int max_rows, T; /* T: rows under way, 0: none */
    struct post post;
    struct net_request arrives;
    float *x; /* [max_rows][D] on the host, as it arrives */
};

struct stage_head {
    struct stage_ranks ranks;
    const struct gptj *model; /* NULL: not formed yet */
    struct post post;         /* of what is no step */
    struct lane lanes[STAGE_MAX_LANES];
};

int stage_of_rank(const struct stage_ranks *r, int rank)
{
    return (rank - r->first + r->n - 1) % r->n;
}

void stage_layers(const struct stage_ranks *r, int stage, int L, int *first, int *last)
{
    *first = L * stage / r->n;
    *last = L * (stage + 1) / r->n;
}

const struct stage_ranks *stage_head_ranks(const struct stage_head *h)
{
    return &h->ranks;
}

/* ---- Orders ---- */

static enum status post_create(struct post *p, const struct stage_ranks *r)
{
    p->heads = calloc((size_t)r->n, sizeof *p->heads);
    p->bodies = calloc((size_t)r->n, sizeof *p->bodies);
    return p->heads && p->bodies ? OK : fail(E_NOMEM, "out of memory for %d stages", r->n);
}

static void post_free(struct post *p)
{
    free(p->heads);
    free(p->bodies);
    buf_free(&p->body);
    *p = (struct post){0};
}

/* What was sent before has arrived. */
static enum status post_wait(struct post *p, const struct stage_ranks *r)
{
    TRY(net_wait_all(r->t, p->heads, r->n - 1));
    return net_wait_all(r->t, p->bodies, r->n - 1);
}

static enum status post_send(struct post *p, const struct stage_ranks *r)
{
    TRY(buf_status(&p->body));
    p->order.bytes = p->body.len;
    for (int i = 0; i < r->n - 1; i++) {
        const int rank = r->first + 1 + i;
        TRY(net_send(r->t, &p->heads[i], rank, NET_CONTROL, STAGE_ORDER_TAG, &p->order, sizeof p->order));
        if (!p->body.len) continue;
        TRY(net_send(r->t, &p->bodies[i], rank, NET_CONTROL, STAGE_BODY_TAG, p->body.data, p->body.len));
    }
    return OK;
}

static enum status tell(struct stage_head *h, struct stage_order order)
{
    TRY(post_wait(&h->post, &h->ranks));
    h->post.order = order;
    return post_send(&h->post, &h->ranks);
}

/* ---- Opening and closing ---- */

enum status stage_head_open(struct stage_head **out, const struct stage_ranks *r)
{
    assert(r->t->rank == r->first && r->n >= 2);
    struct stage_head *h = calloc(1, sizeof *h);
    if (!h) return fail(E_NOMEM, "out of memory for %d stages", r->n);
    h->ranks = *r;
    const enum status s = post_create(&h->post, r);
    if (s == OK) {
        *out = h;
        return OK;
    }
    post_free(&h->post);
    free(h);
    return s;
}

enum status stage_head_form(struct stage_head *h, const struct gptj *m, const struct buf *identity)
{
    const struct stage_ranks *r = &h->ranks;
    TRY(post_wait(&h->post, r));
    h->post.order = (struct stage_order){.kind = STAGE_FORM};
    buf_append(&h->post.body, identity->data, identity->len);
    TRY(post_send(&h->post, r));
    for (int i = 0; i < r->n - 1; i++)
        TRY(net_recv_wait(r->t, r->first + 1 + i, NET_CONTROL, STAGE_READY_TAG, NULL, 0));
    TRY(post_wait(&h->post, r));
    buf_clear(&h->post.body);
    h->model = m;
    return OK;
}

enum status stage_head_close(struct stage_head *h)
{
    if (!h) return OK;
    enum status s = tell(h, (struct stage_order){.kind = STAGE_LEAVE});
    if (s == OK) s = post_wait(&h->post, &h->ranks);
    if (s != OK) net_fail(h->ranks.t, s);
    for (int i = 0; i < STAGE_MAX_LANES; i++) {
        post_free(&h->lanes[i].post);
        free(h->lanes[i].x);
    }
    post_free(&h->post);
    free(h);
    return s;
}

/* ---- Lanes ---- */

enum status stage_lane_open(int *lane, struct stage_head *h, int n_pages, int max_rows)
{
    int i = 0;
    while (i < STAGE_MAX_LANES && h->lanes[i].open)
        i++;
    if (i == STAGE_MAX_LANES) return fail(E_LIMIT, "more than %d lanes through one pipeline", STAGE_MAX_LANES);
    struct lane *l = &h->lanes[i];
    *l = (struct lane){.open = true, .max_rows = max_rows};
    l->x = calloc((size_t)max_rows * (size_t)h->model->cfg.D, sizeof *l->x);
    enum status s = l->x ? post_create(&l->post, &h->ranks) : fail(E_NOMEM, "out of memory for %d rows", max_rows);
    if (s == OK)
        s = tell(h, (struct stage_order){.kind = STAGE_OPEN_LANE, .lane = i, .n_pages = n_pages, .max_rows = max_rows});
    if (s == OK) {
        *lane = i;
        return OK;
    }
    post_free(&l->post);
    free(l->x);
    *l = (struct lane){0};
    return s;
}

void stage_lane_close(struct stage_head *h, int lane)
{
    struct lane *l = &h->lanes[lane];
    assert(l->open && (!l->T || h->ranks.t->broken));
    /* A transport that fails here fails again where somebody hears of it. */
    const enum status s = tell(h, (struct stage_order){.kind = STAGE_CLOSE_LANE, .lane = lane});
    if (s == OK) post_wait(&l->post, &h->ranks);
    post_free(&l->post);
    free(l->x);
    *l = (struct lane){0};
}

static void put(struct buf *out, const int32_t *numbers, int n)
{
    buf_append(out, numbers, (size_t)n * sizeof *numbers);
}

/* Of every sequence the pages that its rows, which stand together, in the order of sequences, are in or see. */
static void put_pages(struct buf *out, const struct batch *b, int n_sequences)
{
    int t = 0;
    for (int i = 0; i < n_sequences; i++) {
        int32_t end = 0;
        for (; t < b->T && b->sequence[t] == i; t++) {
            end = b->hi[t] > end ? b->hi[t] : end;
            end = b->position[t] >= end ? b->position[t] + 1 : end;
        }
        const int32_t n = kvcache_pages_for(end);
        put(out, &n, 1);
        put(out, b->pages[i], n);
    }
    assert(t == b->T);
}

enum status stage_lane_start(struct stage_head *h, int lane, const struct batch *b, int n_sequences, struct buf *copies)
{
    struct lane *l = &h->lanes[lane];
    const struct stage_ranks *r = &h->ranks;
    assert(l->open && !l->T && b->T > 0 && b->T <= l->max_rows);
    TRY(buf_status(copies));
    TRY(post_wait(&l->post, r));
    buf_clear(&l->post.body);
    const int32_t *const columns[] = {b->token, b->position, b->lo, b->hi, b->sequence};
    for (int i = 0; i < 5; i++)
        put(&l->post.body, columns[i], b->T);
    put_pages(&l->post.body, b, n_sequences);
    if (copies->len) buf_append(&l->post.body, copies->data, copies->len);
    l->post.order = (struct stage_order){.kind = STAGE_STEP,
                                         .lane = lane,
                                         .T = b->T,
                                         .first_wanted = b->first_wanted,
                                         .n_sequences = n_sequences,
                                         .n_copies = (int32_t)(copies->len / (2 * sizeof(int32_t)))};
    buf_clear(copies);
    const size_t bytes = (size_t)b->T * (size_t)h->model->cfg.D * sizeof *l->x;
    TRY(net_recv(r->t, &l->arrives, r->first + r->n - 1, NET_ACTIVATIONS, STAGE_ROWS_TAG, l->x, bytes));
    l->T = b->T;
    return post_send(&l->post, r);
}

enum status stage_lane_finish(struct stage_head *h, int lane, struct workspace *w)
{
    struct lane *l = &h->lanes[lane];
    assert(l->T > 0);
    TRY(net_wait(h->ranks.t, &l->arrives));
    const size_t bytes = (size_t)l->T * (size_t)h->model->cfg.D * sizeof *l->x;
    if (w) w->ops->fn->write(w->ops, w->x, l->x, bytes);
    l->T = 0;
    return OK;
}
