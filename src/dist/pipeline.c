// SPDX-License-Identifier: Apache-2.0
#include "dist/pipeline.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dist/delta_cache.h"

enum { AHEAD = 2 }; /* receives started before they are used */

/* Batches travel beside activations; validation's micro-batches have a number that no step's has. */
enum { TAG_ROWS = 1, TAG_NUMBERS, TAG_LOSSES = NET_MAX_TAG };

/* Messages of one direction to or from one neighbour, micro-batch after micro-batch. */
struct channel {
    struct transport *t;
    struct trace *trace;
    int peer; /* -1: there is no neighbour */
    enum net_purpose purpose;
    struct dense codec;
    size_t rows, cols, bytes; /* of a message, at most */
    struct delta_cache cache; /* n 0: messages are independent of each other */
    size_t epoch_at;          /* in it, of this step's first micro-batch */
    int n;                    /* buffers */
    uint8_t *buffers;         /* [n][bytes] */
    struct net_request *requests;
    int started, taken; /* of this step's messages: received or sent; decoded */
};

struct pipeline {
    struct pipeline_options o;
    struct schedule_action *actions;
    int n_actions, slots, late;
    struct channel activations_in, activations_out, gradients_in, gradients_out;
    struct net_request *shares; /* [2 * n_stages] */
    bool last_backward;         /* the action under way is the last that adds to gradients of weights */
    int blocks;                 /* of it that have been done */
};

/* ---- Opening ---- */

static struct schedule_memory memory_of(const struct pipeline_options *o, int stage)
{
    struct schedule_list list = {.n = schedule_length(o->schedule, o->n_micro_batches)};
    struct schedule_action *actions = calloc((size_t)list.n, sizeof *actions);
    struct schedule_memory all = {o->n_micro_batches, o->n_micro_batches, o->n_micro_batches};
    if (!actions) return all;
    schedule_fill(actions, o->schedule, o->n_stages, o->n_micro_batches, stage);
    list.actions = actions;
    all = schedule_memory(&list);
    free(actions);
    return all;
}

void pipeline_slots(const struct pipeline_options *o, int *slots, int *late)
{
    const struct schedule_memory m = memory_of(o, o->stage);
    *slots = m.activations;
    *late = m.waiting;
}

struct pipeline_options pipeline_options_of(const struct recipe *r, int stage, int n_stages, int replicas, int width)
{
    return (struct pipeline_options){.stage = stage,
                                     .n_stages = n_stages,
                                     .schedule = n_stages > 1 ? (enum schedule_kind)r->pipeline_schedule
                                                              : SCHEDULE_1F1B,
                                     .n_micro_batches = (int)(r->batch_size / replicas / r->micro_batch_size),
                                     .sequences = (int)r->micro_batch_size,
                                     .seq_len = (int)r->data.seq_len,
                                     .width = width,
                                     .activations = (enum train_wire)r->wire_activations,
                                     .gradients = (enum train_wire)r->wire_gradients,
                                     .epoch_steps = r->epoch_steps};
}

static size_t rows_of(const struct pipeline_options *o)
{
    return (size_t)o->sequences * (size_t)o->seq_len;
}

size_t pipeline_message_bytes(const struct pipeline_options *o, enum train_wire wire)
{
    const struct dense d = wire_is_remembered(wire) ? wire_of_moves(wire) : wire_of_rows(wire);
    return dense_bytes(&d, rows_of(o), (size_t)o->width);
}

/* The first time what is remembered later travels whole. */
static size_t buffer_bytes(const struct pipeline_options *o, enum train_wire wire)
{
    const struct dense d = wire_of_rows(wire);
    const size_t whole = dense_bytes(&d, rows_of(o), (size_t)o->width), usual = pipeline_message_bytes(o, wire);
    return whole > usual ? whole : usual;
}

/* Micro-batches that either side of a boundary remembers. */
static size_t remembered(const struct pipeline_options *o)
{
    return (size_t)o->epoch_steps * (size_t)o->n_micro_batches;
}

/* Buffers of the four channels: activations in and out, gradients in and out. */
static void buffers_of(const struct pipeline_options *o, int n[4])
{
    const bool before = o->stage > 0, behind = o->stage < o->n_stages - 1;
    n[0] = before ? AHEAD : 0;
    n[1] = behind ? memory_of(o, o->stage).whole : 0;
    n[2] = behind ? AHEAD : 0;
    n[3] = before ? memory_of(o, o->stage - 1).whole : 0;
}

static size_t cache_bytes(const struct pipeline_options *o)
{
    const size_t boundaries = (size_t)(o->stage > 0) + (size_t)(o->stage < o->n_stages - 1);
    if (!wire_is_remembered(o->activations)) return 0;
    return boundaries * delta_cache_bytes(remembered(o), rows_of(o), (size_t)o->width);
}

size_t pipeline_bytes(const struct pipeline_options *o)
{
    int n[4];
    buffers_of(o, n);
    return (size_t)(n[0] + n[1]) * buffer_bytes(o, o->activations) +
           (size_t)(n[2] + n[3]) * buffer_bytes(o, o->gradients) + cache_bytes(o);
}

size_t pipeline_sent_bytes(const struct pipeline_options *o)
{
    const size_t n = (size_t)o->n_micro_batches;
    const size_t up = o->stage + 1 < o->n_stages ? pipeline_message_bytes(o, o->activations) : 0;
    const size_t down = o->stage > 0 ? pipeline_message_bytes(o, o->gradients) : 0;
    return n * (up + down);
}

static enum status channel_open(struct channel *c, const struct pipeline_options *o, int stage,
                                enum net_purpose purpose, int n)
{
    const enum train_wire wire = purpose == NET_ACTIVATIONS ? o->activations : o->gradients;
    *c = (struct channel){.t = o->transport,
                          .trace = o->trace,
                          .peer = n ? o->first_rank + stage : -1,
                          .purpose = purpose,
                          .codec = wire_of_rows(wire),
                          .rows = rows_of(o),
                          .cols = (size_t)o->width,
                          .bytes = buffer_bytes(o, wire),
                          .n = n};
    if (!n) return OK;
    c->buffers = malloc((size_t)n * c->bytes);
    c->requests = calloc((size_t)n, sizeof *c->requests);
    if (!c->buffers || !c->requests) return fail(E_NOMEM, "pipeline: out of memory for messages");
    if (!wire_is_remembered(wire)) return OK;
    const struct dense moves = wire_of_moves(wire);
    return delta_cache_open(&c->cache, remembered(o), c->rows, c->cols, &moves);
}

static void channel_close(struct channel *c)
{
    delta_cache_close(&c->cache);
    free(c->buffers);
    free(c->requests);
}

static enum status open_parts(struct pipeline *p)
{
    const struct pipeline_options *o = &p->o;
    int n[4];
    buffers_of(o, n);
    p->n_actions = schedule_length(o->schedule, o->n_micro_batches);
    p->actions = calloc((size_t)p->n_actions, sizeof *p->actions);
    p->shares = calloc(2 * (size_t)o->n_stages, sizeof *p->shares);
    if (!p->actions || !p->shares) return fail(E_NOMEM, "pipeline: out of memory");
    schedule_fill(p->actions, o->schedule, o->n_stages, o->n_micro_batches, o->stage);
    pipeline_slots(o, &p->slots, &p->late);
    TRY(channel_open(&p->activations_in, o, o->stage - 1, NET_ACTIVATIONS, n[0]));
    TRY(channel_open(&p->activations_out, o, o->stage + 1, NET_ACTIVATIONS, n[1]));
    TRY(channel_open(&p->gradients_in, o, o->stage + 1, NET_GRADIENTS, n[2]));
    return channel_open(&p->gradients_out, o, o->stage - 1, NET_GRADIENTS, n[3]);
}

enum status pipeline_create(struct pipeline **out, const struct pipeline_options *o)
{
    struct pipeline *p = calloc(1, sizeof *p);
    if (!p) return fail(E_NOMEM, "pipeline: out of memory");
    p->o = *o;
    const enum status s = open_parts(p);
    if (s != OK) {
        pipeline_free(p);
        return s;
    }
    *out = p;
    return OK;
}

void pipeline_free(struct pipeline *p)
{
    if (!p) return;
    channel_close(&p->activations_in);
    channel_close(&p->activations_out);
    channel_close(&p->gradients_in);
    channel_close(&p->gradients_out);
    free(p->actions);
    free(p->shares);
    free(p);
}

/* ---- Batches ---- */

static size_t rows_bytes(const struct train_batch *b)
{
    return 4 * (size_t)b->sequences * (size_t)b->seq_len * sizeof *b->token;
}

static size_t numbers_bytes(const struct train_batch *b)
{
    return 2 * (size_t)b->sequences * sizeof *b->source;
}

static enum status receive_batch(struct pipeline *p, struct train_batch *b)
{
    struct transport *t = p->o.transport;
    struct net_request *r = p->shares;
    TRY(net_recv(t, &r[0], p->o.first_rank, NET_CONTROL, TAG_ROWS, b->token, rows_bytes(b)));
    TRY(net_recv(t, &r[1], p->o.first_rank, NET_CONTROL, TAG_NUMBERS, b->source, numbers_bytes(b)));
    TRY(net_wait_all(t, r, 2));
    b->targets = 0;
    for (int i = 0; i < b->sequences; i++)
        b->targets += b->n_targets[i];
    return OK;
}

/* The sends are waited for at the end of pipeline_run(). */
enum status pipeline_share(struct pipeline *p, struct train_batch *b)
{
    struct transport *t = p->o.transport;
    if (p->o.stage > 0) return receive_batch(p, b);
    for (int stage = 1; stage < p->o.n_stages; stage++) {
        struct net_request *r = &p->shares[2 * stage];
        const int to = p->o.first_rank + stage;
        TRY(net_send(t, &r[0], to, NET_CONTROL, TAG_ROWS, b->token, rows_bytes(b)));
        TRY(net_send(t, &r[1], to, NET_CONTROL, TAG_NUMBERS, b->source, numbers_bytes(b)));
    }
    return OK;
}

/* ---- Messages ---- */

static uint8_t *buffer_of(const struct channel *c, int i)
{
    return c->buffers + (size_t)(i % c->n) * c->bytes;
}

/* What is remembered of micro-batch i changes with its message only, so this can be asked before that comes. */
static size_t bytes_of(const struct channel *c, int i)
{
    return c->cache.n ? delta_cache_message_bytes(&c->cache, c->epoch_at + (size_t)i) : c->bytes;
}

static enum status encode(struct channel *c, int i, const float *x)
{
    if (c->cache.n) return delta_cache_encode(&c->cache, c->epoch_at + (size_t)i, buffer_of(c, i), x);
    dense_encode(buffer_of(c, i), &c->codec, x, c->rows, c->cols);
    return OK;
}

static enum status decode(struct channel *c, int i, float *x)
{
    if (c->cache.n) return delta_cache_decode(&c->cache, c->epoch_at + (size_t)i, x, buffer_of(c, i));
    return dense_decode(x, &c->codec, c->rows, c->cols, buffer_of(c, i), c->bytes);
}

/* Starts receives of a step's first `all` messages as far as there are buffers. */
static enum status receive_ahead(struct channel *c, int all)
{
    for (; c->peer >= 0 && c->started < all && c->started < c->taken + c->n; c->started++)
        TRY(net_recv(c->t, &c->requests[c->started % c->n], c->peer, c->purpose, c->started, buffer_of(c, c->started),
                     bytes_of(c, c->started)));
    return OK;
}

/* What has been done with a message of micro-batch i since then. */
static void record(const struct channel *c, int64_t since, bool sent, int i, size_t bytes)
{
    const bool gradients = c->purpose == NET_GRADIENTS;
    const enum trace_kind to = gradients ? TRACE_SEND_GRADIENTS : TRACE_SEND_ACTIVATIONS;
    const enum trace_kind from = gradients ? TRACE_RECEIVE_GRADIENTS : TRACE_RECEIVE_ACTIVATIONS;
    trace_add(c->trace, since,
              (struct trace_event){.kind = sent ? to : from, .bytes = bytes, .micro_batch = i, .peer = c->peer});
}

/* The next message, into x. */
static enum status take(struct channel *c, float *x, int all)
{
    const int64_t since = trace_now(c->trace);
    TRY(net_wait(c->t, &c->requests[c->taken % c->n]));
    const size_t bytes = bytes_of(c, c->taken);
    TRY(decode(c, c->taken, x));
    record(c, since, false, c->taken, bytes);
    c->taken++;
    return receive_ahead(c, all);
}

static enum status put(struct channel *c, const float *x)
{
    const int i = c->started++;
    const int64_t since = trace_now(c->trace);
    struct net_request *r = &c->requests[i % c->n];
    TRY(net_wait(c->t, r));
    const size_t bytes = bytes_of(c, i);
    TRY(encode(c, i, x));
    TRY(net_send(c->t, r, c->peer, c->purpose, i, buffer_of(c, i), bytes));
    record(c, since, true, i, bytes);
    return OK;
}

static enum status finish_sends(struct channel *c)
{
    TRY(net_wait_all(c->t, c->requests, c->n));
    c->started = 0;
    return OK;
}

/* ---- The list ---- */

struct step {
    struct train_pass *pass;
    const struct train_batch *batch;
    double unit, *loss;
    const struct team_losses *out;
};

static int64_t computed(struct pipeline *p, int64_t since, enum trace_kind kind, int micro_batch)
{
    return trace_next(p->o.trace, since, (struct trace_event){.kind = kind, .micro_batch = micro_batch});
}

static enum status forward(struct pipeline *p, const struct step *s, int micro_batch)
{
    const int n = p->o.sequences;
    const struct train_rows rows = train_batch_rows(s->batch, micro_batch * n, n);
    if (p->activations_in.n) TRY(take(&p->activations_in, train_pass_input(s->pass), p->o.n_micro_batches));
    const int64_t since = trace_now(p->o.trace);
    train_pass_forward(s->pass, &rows);
    computed(p, since, TRACE_FORWARD, micro_batch);
    return p->activations_out.n ? put(&p->activations_out, train_pass_output(s->pass)) : OK;
}

static enum status backward(struct pipeline *p, const struct step *s, int micro_batch, bool inputs_only)
{
    const int n = p->o.sequences;
    int64_t since;
    if (p->gradients_in.n) {
        TRY(take(&p->gradients_in, train_pass_gradient(s->pass), p->o.n_micro_batches));
        since = trace_now(p->o.trace);
    } else {
        since = trace_now(p->o.trace);
        train_pass_head(s->pass, (float)s->unit, s->loss);
        since = computed(p, since, TRACE_HEAD, micro_batch);
        train_batch_add_losses(s->batch, micro_batch * n, n, s->loss, s->out->all, s->out->by_source);
    }
    if (inputs_only)
        train_pass_backward_input(s->pass);
    else
        train_pass_backward(s->pass);
    computed(p, since, inputs_only ? TRACE_BACKWARD_INPUT : TRACE_BACKWARD, micro_batch);
    return p->gradients_out.n ? put(&p->gradients_out, train_pass_gradient(s->pass)) : OK;
}

static enum status backward_weights(struct pipeline *p, const struct step *s, int micro_batch)
{
    const int64_t since = trace_now(p->o.trace);
    train_pass_backward_weights(s->pass);
    computed(p, since, TRACE_BACKWARD_WEIGHTS, micro_batch);
    return OK;
}

static enum status act(struct pipeline *p, const struct step *s, struct schedule_action a)
{
    train_pass_use(s->pass, a.micro_batch % p->slots);
    switch (a.pass) {
    case PASS_FORWARD: return forward(p, s, a.micro_batch);
    case PASS_BACKWARD: return backward(p, s, a.micro_batch, false);
    case PASS_INPUTS: return backward(p, s, a.micro_batch, true);
    case PASS_WEIGHTS: return backward_weights(p, s, a.micro_batch);
    case PASSES: break;
    }
    return OK;
}

enum status pipeline_run(struct pipeline *p, int64_t step, struct train_pass *pass, const struct train_batch *b,
                         double unit, const struct team_losses *out, double *loss)
{
    const struct step s = {pass, b, unit, loss, out};
    const int all = p->o.n_micro_batches;
    if (p->o.epoch_steps)
        p->activations_in.epoch_at = p->activations_out.epoch_at = (size_t)(step % p->o.epoch_steps) * (size_t)all;
    p->activations_in.started = p->activations_in.taken = p->gradients_in.started = p->gradients_in.taken = 0;
    TRY(receive_ahead(&p->activations_in, all));
    TRY(receive_ahead(&p->gradients_in, all));
    for (int i = 0; i < p->n_actions; i++) {
        p->blocks = 0;
        p->last_backward = i == p->n_actions - 1;
        TRY(act(p, &s, p->actions[i]));
    }
    p->last_backward = false;
    const int64_t since = trace_now(p->o.trace);
    TRY(finish_sends(&p->activations_out));
    TRY(finish_sends(&p->gradients_out));
    TRY(net_wait_all(p->o.transport, p->shares, 2 * p->o.n_stages));
    trace_add(p->o.trace, since, (struct trace_event){.kind = TRACE_SEND_REST});
    return OK;
}

int pipeline_ready(const struct pipeline *p)
{
    return p->last_backward ? p->blocks : 0;
}

void pipeline_progress(struct pipeline *p)
{
    p->blocks++;
    net_progress(p->o.transport); /* a failure is kept, and what is called next says it */
}

/* ---- Losses alone ---- */

enum status pipeline_losses(struct pipeline *p, struct train_pass *pass, const struct train_batch *b, int n,
                            const struct team_losses *out, double *loss)
{
    struct transport *t = p->o.transport;
    struct channel *in = &p->activations_in, *to = &p->activations_out;
    const size_t rows_n = (size_t)n * (size_t)p->o.seq_len, width = (size_t)p->o.width;
    const size_t in_bytes = dense_bytes(&in->codec, rows_n, width), to_bytes = dense_bytes(&to->codec, rows_n, width);
    const struct train_rows rows = train_batch_rows(b, 0, n);
    int64_t since = trace_now(p->o.trace);
    train_pass_use(pass, 0);
    if (in->n) {
        TRY(net_recv_wait(t, in->peer, NET_ACTIVATIONS, TAG_LOSSES, in->buffers, in_bytes));
        TRY(dense_decode(train_pass_input(pass), &in->codec, rows_n, width, in->buffers, in_bytes));
        record(in, since, false, -1, in_bytes);
    }
    since = trace_now(p->o.trace);
    train_pass_forward(pass, &rows);
    if (!to->n) train_pass_loss(pass, loss);
    since = computed(p, since, TRACE_LOSSES, -1);
    if (!to->n) {
        train_batch_add_losses(b, 0, n, loss, out->all, out->by_source);
        return OK;
    }
    dense_encode(to->buffers, &to->codec, train_pass_output(pass), rows_n, width);
    TRY(net_send_wait(t, to->peer, NET_ACTIVATIONS, TAG_LOSSES, to->buffers, to_bytes));
    record(to, since, true, -1, to_bytes);
    return OK;
}
