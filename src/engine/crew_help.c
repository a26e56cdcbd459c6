// SPDX-License-Identifier: Apache-2.0
/* A helper of a crew: hears orders while it works, works on them in their order, and answers. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/crew.h"
#include "engine/crew_message.h"
#include "engine/identity.h"

/* An order that has come with its body. */
struct received {
    struct crew_order order;
    char *body; /* [order.bytes], owned */
};

struct helping {
    struct transport *t;
    struct gptjt_engine *engine; /* NULL: not yet */
    struct gptjt_session *session;
    size_t max_tokens; /* of the session */

    struct net_request head, body; /* of what the leader says */
    struct received coming, inbox[CREW_IN_HAND];
    bool body_comes;
    int n_inbox;          /* oldest first */
    bool abandoned, left; /* what is in the inbox is not wanted any more; nothing more will come */

    struct net_request answer_head, answer_body, progress_head; /* of what it says */
    struct crew_report answer, progress;
    struct buf text; /* of the answer */
    int64_t told_ns;
};

static const int64_t TELL_EVERY_NS = 100000000;

/* ---- Hearing ---- */

static enum status listen_on(struct helping *h)
{
    return net_recv(h->t, &h->head, 0, NET_CONTROL, CREW_ORDER_TAG, &h->coming.order, sizeof h->coming.order);
}

static enum status keep_order(struct helping *h)
{
    if (h->n_inbox == CREW_IN_HAND) return fail(E_FORMAT, "rank 0 gives more orders than it may");
    h->inbox[h->n_inbox++] = h->coming;
    h->coming = (struct received){0};
    h->body_comes = false;
    return listen_on(h);
}

static enum status take_order(struct helping *h)
{
    switch (h->coming.order.kind) {
    case CREW_ABANDON: h->abandoned = true; return listen_on(h);
    case CREW_LEAVE: h->left = true; return OK;
    case CREW_SCORE:
    case CREW_GENERATE:
    case CREW_FORM: break;
    default: return fail(E_FORMAT, "rank 0 gives an order that is none");
    }
    h->coming.body = malloc(h->coming.order.bytes + 1);
    if (!h->coming.body) return fail(E_NOMEM, "out of memory for %zu bytes of work", (size_t)h->coming.order.bytes);
    h->body_comes = true;
    return net_recv(h->t, &h->body, 0, NET_CONTROL, CREW_ORDER_BODY_TAG, h->coming.body, h->coming.order.bytes);
}

/* All that has come, without waiting. */
static enum status hear_all(struct helping *h)
{
    bool there = true;
    while (there && !h->left) {
        const bool body = h->body_comes;
        TRY(net_test(h->t, body ? &h->body : &h->head, &there));
        if (there) TRY(body ? keep_order(h) : take_order(h));
    }
    return OK;
}

/* Until there is something to do, or to give up. */
static enum status hear_one(struct helping *h)
{
    while (!h->n_inbox && !h->left) {
        const bool body = h->body_comes;
        /* It may take the leader any time to have work. */
        TRY(body ? net_wait(h->t, &h->body) : net_wait_unbounded(h->t, &h->head));
        TRY(body ? keep_order(h) : take_order(h));
        if (!h->n_inbox) h->abandoned = false; /* it had been answered before this was said */
    }
    return OK;
}

/* ---- Saying ---- */

static enum status say(struct helping *h, enum crew_report_kind kind, enum status status)
{
    TRY(net_wait(h->t, &h->answer_head));
    h->answer = (struct crew_report){.kind = kind, .status = (uint64_t)status, .bytes = h->text.len};
    TRY(net_send(h->t, &h->answer_head, 0, NET_CONTROL, CREW_REPORT_TAG, &h->answer, sizeof h->answer));
    if (!h->text.len) return OK;
    return net_send(h->t, &h->answer_body, 0, NET_CONTROL, CREW_REPORT_BODY_TAG, h->text.data, h->text.len);
}

static enum status tell_progress(struct helping *h, size_t done)
{
    const int64_t now = clock_ns();
    bool heard;
    if (now - h->told_ns < TELL_EVERY_NS) return OK;
    TRY(net_test(h->t, &h->progress_head, &heard));
    if (!heard) return OK;
    h->told_ns = now;
    h->progress = (struct crew_report){.kind = CREW_PROGRESS, .done = done};
    return net_send(h->t, &h->progress_head, 0, NET_CONTROL, CREW_REPORT_TAG, &h->progress, sizeof h->progress);
}

static bool on_block(void *user, size_t done, size_t total)
{
    struct helping *h = user;
    (void)total;
    return hear_all(h) == OK && !h->abandoned && !h->left && tell_progress(h, done) == OK;
}

/* ---- Working ---- */

static enum status open_session(struct helping *h, size_t max_tokens)
{
    if (h->session && h->max_tokens == max_tokens) return OK;
    gptjt_session_close(h->session);
    h->session = NULL;
    TRY((enum status)gptjt_session_create(&h->session, h->engine, max_tokens));
    h->max_tokens = max_tokens;
    gptjt_session_set_progress(h->session, on_block, h);
    return OK;
}

/* Requests and results of a chunk. */
struct chunk {
    const struct crew_call_kind *kind;
    size_t n, n_results, n_taken;
    const uint64_t *index; /* [n] */
    char *requests;        /* [n][kind->request_bytes], n_taken of them there */
    char *results;         /* [n_results][kind->result_bytes] */
};

static enum status take_requests(struct chunk *c, const struct received *r)
{
    struct parcel p = {r->body, r->order.bytes, false};
    if (r->order.n > r->order.bytes) return fail(E_FORMAT, "rank 0 gives an order that is none");
    c->n = r->order.n;
    c->index = parcel_take(&p, c->n * sizeof *c->index);
    c->requests = calloc(c->n, c->kind->request_bytes);
    if (!c->requests) return fail(E_NOMEM, "out of memory for %zu requests", c->n);
    for (; c->n_taken < c->n; c->n_taken++) {
        char *request = c->requests + c->n_taken * c->kind->request_bytes;
        TRY(c->kind->take_request(&p, request));
        c->n_results += c->kind->n_results(request);
    }
    return parcel_end(&p);
}

static enum status compute(struct helping *h, struct chunk *c, const struct received *r)
{
    TRY(open_session(h, r->order.max_tokens));
    TRY(take_requests(c, r));
    c->results = calloc(c->n_results + 1, c->kind->result_bytes);
    if (!c->results) return fail(E_NOMEM, "out of memory for %zu results", c->n_results);
    return c->kind->run(h->session, c->requests, c->n, c->index, r->order.of, c->results);
}

static void free_chunk(struct chunk *c)
{
    for (size_t i = 0; i < c->n_taken; i++)
        c->kind->free_request(c->requests + i * c->kind->request_bytes);
    for (size_t i = 0; c->results && i < c->n_results; i++)
        c->kind->free_result(c->results + i * c->kind->result_bytes);
    free(c->requests);
    free(c->results);
}

/* Computes what r asks for, and answers. What goes wrong is the leader's to judge, unless it is the transport. */
static enum status do_chunk(struct helping *h, const struct received *r)
{
    struct chunk c = {.kind = crew_call_kind((enum crew_order_kind)r->order.kind)};
    enum status s = h->abandoned || h->left ? E_CANCELLED : compute(h, &c, r);
    enum status sent = net_wait(h->t, &h->answer_body); /* the one before */
    if (sent == OK) {
        buf_clear(&h->text);
        for (size_t i = 0; s == OK && i < c.n_results; i++)
            c.kind->put_result(&h->text, c.results + i * c.kind->result_bytes);
        if (s == OK) s = buf_status(&h->text);
        if (s != OK) {
            h->text.failed = false;
            buf_clear(&h->text);
            buf_puts(&h->text, s == E_CANCELLED ? "" : status_message());
        }
        sent = say(h, CREW_ANSWER, s);
    }
    free_chunk(&c);
    return sent;
}

/* ---- Who one is ---- */

static enum status form(struct helping *h, const struct received *r, crew_open_fn *open, void *user)
{
    struct buf mine = {0};
    if (h->engine) return fail(E_FORMAT, "rank 0 forms a crew twice");
    TRY(open(&h->engine, user));
    enum status s = identity_put(&mine, h->engine);
    if (s == OK) s = identity_put_scores(&mine, h->engine);
    if (s == OK) s = identity_compare(&mine, r->body, r->order.bytes);
    buf_free(&mine);
    return s == OK ? say(h, CREW_READY, OK) : s;
}

static enum status obey(struct helping *h, const struct received *r, crew_open_fn *open, void *user)
{
    if (r->order.kind == CREW_FORM) return form(h, r, open, user);
    return h->engine ? do_chunk(h, r) : fail(E_FORMAT, "rank 0 gives work before there is a crew");
}

static enum status work(struct helping *h, crew_open_fn *open, void *user)
{
    TRY(listen_on(h));
    for (;;) {
        TRY(hear_one(h));
        if (!h->n_inbox) break;
        const enum status s = obey(h, &h->inbox[0], open, user);
        free(h->inbox[0].body);
        memmove(h->inbox, h->inbox + 1, (size_t)--h->n_inbox * sizeof *h->inbox);
        if (!h->n_inbox) h->abandoned = false;
        TRY(s);
    }
    TRY(net_wait(h->t, &h->answer_body));
    buf_clear(&h->text);
    TRY(say(h, CREW_READY, OK));
    TRY(net_wait(h->t, &h->progress_head));
    return net_wait(h->t, &h->answer_head);
}

enum status crew_help(struct transport *t, crew_open_fn *open, void *user)
{
    struct helping h = {.t = t};
    const enum status s = work(&h, open, user);
    if (s != OK) net_fail(t, s); /* before the buffers of messages go */
    free(h.coming.body);
    for (int i = 0; i < h.n_inbox; i++)
        free(h.inbox[i].body);
    buf_free(&h.text);
    gptjt_session_close(h.session);
    gptjt_engine_close(h.engine);
    return s;
}
