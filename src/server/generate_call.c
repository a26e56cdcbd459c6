// SPDX-License-Identifier: Apache-2.0
/* Parsed and submitted in the HTTP thread; then everything happens in the desk's: tokens come one by one, are added to
 * the answer and, if it is a stream, written as events. The call's memory belongs to the exchange.
 *
 * When time is up the next token of every text is made its last: a text that is cut short ends as one that has reached
 * its length. */
#include "server/generate_call.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "server/order.h"

struct generate_call;

/* What the callbacks of one prompt's request know. */
struct part {
    struct generate_call *call;
    int prompt;
    int n_live;     /* texts that go on */
    int64_t *at_ns; /* [n_texts] when each got its last token */
};

struct generate_call {
    struct service *service;
    struct served *served;
    struct exchange *exchange;
    const struct dialect *dialect;
    struct ask ask;
    struct order order;
    struct render render;
    struct part *parts;      /* [order.n] */
    struct desk_item *items; /* [order.n] */
    struct desk_job job;
    struct buf event;
    bool streaming; /* it has begun */
};

static void call_free(void *user)
{
    struct generate_call *c = user;
    for (int i = 0; c->parts && i < c->order.n; i++)
        free(c->parts[i].at_ns);
    free(c->parts);
    free(c->items);
    order_free(&c->order);
    ask_free(&c->ask);
    buf_free(&c->event);
    free(c);
}

/* ---- In the desk's thread ---- */

static void write_event(struct generate_call *c)
{
    exchange_write(c->exchange, c->event.data, c->event.len);
    buf_clear(&c->event);
}

static void begin_stream(struct generate_call *c)
{
    if (c->streaming) return;
    c->streaming = true;
    exchange_set_header(c->exchange, "Cache-Control", "no-cache");
    exchange_set_header(c->exchange, "X-Accel-Buffering", "no"); /* nginx would collect events */
    exchange_begin(c->exchange, 200, "text/event-stream");
}

static void measure(struct generate_call *c, struct part *p, const struct gptjt_token *t)
{
    const int64_t now = clock_ns();
    if (!c->served->new_tokens++) {
        c->served->first_token_s = clock_seconds(exchange_began_ns(c->exchange), now);
        metrics_first_token(c->service->metrics, c->served->first_token_s);
    }
    if (t->index) metrics_next_token(c->service->metrics, clock_seconds(p->at_ns[t->sequence], now));
    p->at_ns[t->sequence] = now;
}

static bool on_prompt(void *user, size_t n_scored, const float *logprobs, const struct gptjt_top *top)
{
    struct part *p = user;
    return answer_add_scores(&p->call->order.answer, p->prompt, n_scored, logprobs, top) == OK;
}

static bool on_token(void *user, const struct gptjt_token *token)
{
    struct part *p = user;
    struct generate_call *c = p->call;
    struct gptjt_token t = *token;
    const bool late = desk_job_late(&c->job);
    if (late && !t.last) {
        t.last = true;
        t.finish = GPTJT_FINISH_LENGTH;
        c->served->outcome = "late";
    }
    measure(c, p, &t);
    c->items[p->prompt].begun = true;
    if (answer_add_token(&c->order.answer, p->prompt, &t) != OK) return false;
    if (c->ask.stream) {
        begin_stream(c);
        c->dialect->token(&c->event, &c->ask, &c->order.answer, &c->render, p->prompt, &t);
        if (c->event.failed) return false;
        write_event(c);
    }
    if (t.last) p->n_live--;
    return !(late && p->n_live == 0);
}

/* A request that was cut short by its callback has not ended well for the engine, but its texts are whole. */
static bool complete(const struct generate_call *c)
{
    for (int i = 0; i < c->order.n; i++) {
        if (c->items[i].status == OK) continue;
        for (int k = 0; k < c->order.answer.prompts[i].n_texts; k++)
            if (!c->order.answer.prompts[i].texts[k].ended) return false;
    }
    return true;
}

static void finish(struct generate_call *c)
{
    if (c->ask.stream) {
        c->dialect->end(&c->event, &c->ask, &c->order.answer, &c->render);
        if (c->event.len) write_event(c);
        exchange_end(c->exchange);
        return;
    }
    struct buf body = {0};
    c->dialect->whole(&body, &c->ask, &c->order.answer, &c->render);
    if (!body.failed) {
        exchange_answer(c->exchange, 200, "application/json", &body);
        return;
    }
    buf_free(&body);
    service_refuse(c->exchange, c->dialect, TROUBLE_GENERATION, "out of memory");
}

static void give_up(struct generate_call *c)
{
    enum trouble what;
    const char *message;
    service_why(&c->job, &what, &message);
    c->served->outcome = what == TROUBLE_LATE ? "late" : "failed";
    if (!c->streaming) {
        service_refuse(c->exchange, c->dialect, what, message);
        return;
    }
    buf_clear(&c->event);
    struct buf body = {0};
    c->dialect->trouble(&body, TROUBLE_INCOMPLETE, message);
    buf_printf(&c->event, "data: %s\n\n", body.data ? body.data : "{}");
    buf_free(&body);
    if (!c->event.failed) write_event(c);
    exchange_end(c->exchange);
}

static void ended(struct desk_job *job)
{
    struct generate_call *c = job->user;
    if (complete(c))
        finish(c);
    else
        give_up(c);
    exchange_release(c->exchange);
}

/* ---- In the HTTP thread ---- */

static enum status connect_parts(struct generate_call *c)
{
    const size_t n = (size_t)c->order.n;
    c->parts = calloc(n, sizeof *c->parts);
    c->items = calloc(n, sizeof *c->items);
    if (!c->parts || !c->items) return fail(E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct gptjt_generate_request *r = &c->order.requests[i];
        struct part *p = &c->parts[i];
        *p = (struct part){.call = c, .prompt = (int)i, .n_live = r->num_return_sequences};
        p->at_ns = calloc((size_t)r->num_return_sequences, sizeof *p->at_ns);
        if (!p->at_ns) return fail(E_NOMEM, "out of memory");
        r->on_prompt = on_prompt;
        r->on_token = on_token;
        r->user = p;
        c->items[i].generate = r;
    }
    return OK;
}

static enum status submit(struct generate_call *c, enum trouble *what)
{
    *what = TROUBLE_REQUEST;
    enum status s = order_make(&c->order, &c->ask, c->service->engine);
    if (s == OK) s = connect_parts(c);
    if (s != OK) {
        *what = service_trouble(s);
        return s;
    }
    c->served->prompt_tokens = answer_prompt_tokens(&c->order.answer);
    c->job = (struct desk_job){.items = c->items, .n_items = (size_t)c->order.n, .ended = ended, .user = c};
    return service_submit(c->service, c->exchange, &c->job, c->ask.max_time, what);
}

static enum status understand(struct generate_call *c, enum ask_stream as, enum trouble *what)
{
    size_t len;
    const char *body = exchange_body(c->exchange, &len);
    struct ask_limits limits = c->service->limits;
    limits.stream = as;
    const enum status s = c->dialect->parse(&c->ask, body, len, &limits);
    *what = service_trouble(s);
    if (s != OK) return s;
    *what = TROUBLE_NOT_FOUND;
    return service_check_model(c->service, c->ask.model);
}

void generate_start(struct service *s, struct exchange *x, const struct dialect *d, enum ask_stream as)
{
    struct served *served = exchange_data(x);
    struct generate_call *c = calloc(1, sizeof *c);
    if (!c) {
        service_refuse(x, d, TROUBLE_GENERATION, "out of memory");
        return;
    }
    served->call = c;
    served->release = call_free;
    c->service = s;
    c->served = served;
    c->exchange = x;
    c->dialect = d;
    c->render = (struct render){.tokenizer = s->tokenizer,
                                .eos = s->info.eos_token_id,
                                .model = s->names[0],
                                .id = served->id,
                                .created = (int64_t)time(NULL)};
    enum trouble what;
    if (understand(c, as, &what) != OK || submit(c, &what) != OK) service_refuse(x, d, what, status_message());
}
