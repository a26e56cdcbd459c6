// SPDX-License-Identifier: Apache-2.0
/* The leader of a crew; what it is and does is in crew.h, what it says in crew_message.h, and crew_help.c hears it. */
#include "engine/crew.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/crew_message.h"
#include "engine/identity.h"

/* A chunk that a helper has. Zero-initialise. */
struct errand {
    struct net_request head, body;
    struct crew_order order;
    struct buf text;
    struct crew_chunk chunk;
};

struct helper {
    int rank;
    struct net_request head, body; /* of what it says */
    struct crew_report report;
    char *answer;                        /* [report.bytes], while the body is under way */
    struct errand errands[CREW_IN_HAND]; /* a ring */
    int first, n;                        /* in hand, oldest first */
    size_t done;                         /* tokens of the oldest */
    struct net_request aside;            /* of an order that is no errand */
    struct crew_order aside_order;
};

struct crew {
    struct transport *t;
    struct gptjt_engine *engine; /* NULL: not equipped yet */
    struct helper *helpers;      /* [n] */
    struct net_request **waits;  /* [n] */
    int n, n_ranks;              /* n_ranks: with the stages of their models */
};

/* ---- Talking ---- */

static enum status listen_to(struct crew *c, struct helper *h)
{
    return net_recv(c->t, &h->head, h->rank, NET_CONTROL, CREW_REPORT_TAG, &h->report, sizeof h->report);
}

/* An order without a chunk; body is borrowed until it has been waited for. */
static enum status tell(struct crew *c, struct helper *h, uint64_t kind, const struct buf *body)
{
    TRY(net_wait(c->t, &h->aside));
    h->aside_order = (struct crew_order){.kind = kind, .bytes = body ? body->len : 0};
    TRY(net_send(c->t, &h->aside, h->rank, NET_CONTROL, CREW_ORDER_TAG, &h->aside_order, sizeof h->aside_order));
    if (!body) return OK;
    TRY(net_wait(c->t, &h->aside));
    return net_send(c->t, &h->aside, h->rank, NET_CONTROL, CREW_ORDER_BODY_TAG, body->data, body->len);
}

/* Waits for a report that has no body. */
static enum status hear_ready(struct crew *c, struct helper *h)
{
    TRY(net_wait(c->t, &h->head));
    if (h->report.kind != CREW_READY || h->report.bytes)
        return fail(E_FORMAT, "rank %d says something else than that it is ready", h->rank);
    return OK;
}

enum status crew_open(struct crew **out, struct transport *t, int stride)
{
    assert(t->rank == 0 && t->size % stride == 0);
    struct crew *c = calloc(1, sizeof *c);
    if (!c) return fail(E_NOMEM, "out of memory for %d ranks", t->size);
    *c = (struct crew){.t = t, .n = t->size / stride - 1, .n_ranks = t->size};
    c->helpers = calloc((size_t)t->size, sizeof *c->helpers);
    c->waits = calloc((size_t)t->size, sizeof *c->waits);
    enum status s = c->helpers && c->waits ? OK : fail(E_NOMEM, "out of memory for %d ranks", t->size);
    for (int i = 0; s == OK && i < c->n; i++) {
        c->helpers[i].rank = (i + 1) * stride;
        s = listen_to(c, &c->helpers[i]);
    }
    if (s == OK) {
        *out = c;
        return OK;
    }
    net_fail(t, s);
    free(c->helpers);
    free(c->waits);
    free(c);
    return s;
}

static enum status form(struct crew *c, const struct buf *identity)
{
    for (int i = 0; i < c->n; i++)
        TRY(tell(c, &c->helpers[i], CREW_FORM, identity));
    for (int i = 0; i < c->n; i++) {
        TRY(hear_ready(c, &c->helpers[i]));
        TRY(net_wait(c->t, &c->helpers[i].aside));
        TRY(listen_to(c, &c->helpers[i]));
    }
    return OK;
}

enum status crew_equip(struct crew *c, struct gptjt_engine *e, int n_here)
{
    struct buf identity = {0};
    enum status s = identity_put(&identity, e);
    if (s == OK) s = identity_put_scores(&identity, e);
    if (s == OK) {
        s = form(c, &identity);
        if (s != OK) net_fail(c->t, s); /* identity is about to go */
    }
    buf_free(&identity);
    TRY(s);
    c->engine = e;
    e->crew = c;
    e->n_ranks = c->n_ranks;
    e->n_ranks_here = n_here;
    return OK;
}

static enum status send_home(struct crew *c)
{
    for (int i = 0; i < c->n; i++)
        TRY(tell(c, &c->helpers[i], CREW_LEAVE, NULL));
    for (int i = 0; i < c->n; i++) {
        TRY(hear_ready(c, &c->helpers[i]));
        TRY(net_wait(c->t, &c->helpers[i].aside));
    }
    return OK;
}

enum status crew_close(struct crew *c)
{
    if (!c) return OK;
    const enum status s = send_home(c);
    if (s != OK) net_fail(c->t, s);
    for (int i = 0; i < c->n; i++) {
        free(c->helpers[i].answer);
        for (int k = 0; k < CREW_IN_HAND; k++)
            buf_free(&c->helpers[i].errands[k].text);
    }
    free(c->helpers);
    free(c->waits);
    free(c);
    return s;
}

/* ---- Chunks ---- */

struct item {
    size_t work, index;
};

/* Longest first, of equals in their order. */
static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->work != y->work) return x->work > y->work ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static size_t deal_out(size_t *order, struct crew_chunk *chunks, const struct item *items, size_t n, size_t n_ranks)
{
    const size_t n_chunks = n < n_ranks ? n : n_ranks;
    size_t at = 0;
    for (size_t k = 0; k < n_chunks; k++) {
        chunks[k] = (struct crew_chunk){.first = at};
        for (size_t i = k; i < n; i += n_chunks, at++) {
            order[at] = items[i].index;
            chunks[k].work += items[i].work;
        }
        chunks[k].n = at - chunks[k].first;
    }
    return n_chunks;
}

static size_t cut_smaller_and_smaller(size_t *order, struct crew_chunk *chunks, const struct item *items, size_t n,
                                      size_t n_ranks, size_t tokens)
{
    size_t left = 0, n_chunks = 0;
    for (size_t i = 0; i < n; i++)
        left += items[i].work;
    const size_t quarter = left / (4 * n_ranks), least = quarter < tokens ? quarter : tokens;
    for (size_t at = 0; at < n; n_chunks++) {
        const size_t share = left / (3 * n_ranks), enough = share > least ? share : least;
        struct crew_chunk *chunk = &chunks[n_chunks];
        *chunk = (struct crew_chunk){.first = at};
        while (at < n && (chunk->n == 0 || chunk->work + items[at].work <= enough)) {
            order[at] = items[at].index;
            chunk->work += items[at++].work;
            chunk->n++;
        }
        left -= chunk->work;
    }
    return n_chunks;
}

size_t crew_cut(size_t *order, struct crew_chunk *chunks, const size_t *work, size_t n, int n_ranks, size_t tokens)
{
    struct item *items = calloc(n, sizeof *items);
    if (!items) return 0;
    for (size_t i = 0; i < n; i++)
        items[i] = (struct item){work[i], i};
    qsort(items, n, sizeof *items, compare_items);
    const size_t n_chunks = tokens ? cut_smaller_and_smaller(order, chunks, items, n, (size_t)n_ranks, tokens)
                                   : deal_out(order, chunks, items, n, (size_t)n_ranks);
    free(items);
    return n_chunks;
}

/* ---- A call ---- */

struct call {
    struct crew *crew;
    struct gptjt_session *s;
    enum crew_order_kind number;
    const struct crew_call_kind *kind;
    const char *requests; /* [n][kind->request_bytes] */
    size_t n;
    char *results;     /* [n_results][kind->result_bytes] */
    size_t *result_at; /* [n + 1]: of requests, where in results theirs begin */
    size_t *work;      /* [n] tokens */
    size_t *order;     /* [n] */
    struct crew_chunk *chunks;
    size_t n_chunks, next;
    size_t all, done, own; /* tokens: of all; of chunks that are done; of this rank's own chunk */
    enum status status;    /* of a failure that ends the call, with its message */
    char message[1024];
};

static const void *request(const struct call *x, size_t i)
{
    return x->requests + i * x->kind->request_bytes;
}

static void *result(const struct call *x, size_t i)
{
    return x->results + i * x->kind->result_bytes;
}

static void note_failure(struct call *x, enum status s, const char *message)
{
    if (x->status != OK) return;
    x->status = s;
    snprintf(x->message, sizeof x->message, "%s", message);
}

/* ---- Chunks go out ---- */

static enum status send_errand(struct call *x, struct helper *h, const struct crew_chunk *chunk)
{
    struct transport *t = x->crew->t;
    struct errand *e = &h->errands[(h->first + h->n) % CREW_IN_HAND];
    buf_clear(&e->text);
    for (size_t i = 0; i < chunk->n; i++)
        parcel_put_number(&e->text, x->order[chunk->first + i]);
    for (size_t i = 0; i < chunk->n; i++)
        x->kind->put_request(&e->text, request(x, x->order[chunk->first + i]));
    TRY(buf_status(&e->text));
    e->chunk = *chunk;
    e->order = (struct crew_order){.kind = x->number,
                                   .bytes = e->text.len,
                                   .n = chunk->n,
                                   .of = x->n,
                                   .max_tokens = (uint64_t)x->s->kv->n_pages * KV_PAGE};
    h->n++;
    TRY(net_send(t, &e->head, h->rank, NET_CONTROL, CREW_ORDER_TAG, &e->order, sizeof e->order));
    return net_send(t, &e->body, h->rank, NET_CONTROL, CREW_ORDER_BODY_TAG, e->text.data, e->text.len);
}

/* So that every helper has that many chunks, as long as there are some. */
static enum status hand_out(struct call *x, int in_hand)
{
    for (int round = 1; round <= in_hand; round++)
        for (int i = 0; i < x->crew->n && x->next < x->n_chunks; i++) {
            struct helper *h = &x->crew->helpers[i];
            if (h->n < round) TRY(send_errand(x, h, &x->chunks[x->next++]));
        }
    return OK;
}

/* ---- Answers come in ---- */

static enum status take_results(struct call *x, const struct crew_chunk *chunk, struct parcel *p)
{
    for (size_t i = 0; i < chunk->n; i++) {
        const size_t k = x->order[chunk->first + i];
        for (size_t r = x->result_at[k]; r < x->result_at[k + 1]; r++)
            TRY(x->kind->take_result(p, result(x, r)));
    }
    return parcel_end(p);
}

/* The request's failure, if it is one; what is wrong with the rank gets its name. */
static void take_failure(struct call *x, const struct helper *h)
{
    const enum status s = (enum status)h->report.status;
    char text[1024];
    snprintf(text, sizeof text, "%.*s", (int)h->report.bytes, h->answer ? h->answer : "");
    if (s == E_NOMEM) {
        fail(s, "rank %d: %s", h->rank, text);
        note_failure(x, s, status_message());
    } else {
        note_failure(x, s, text);
    }
}

/* The answer to the oldest errand is there. */
static enum status end_errand(struct call *x, struct helper *h)
{
    struct errand *e = &h->errands[h->first];
    enum status s = net_wait(x->crew->t, &e->head);
    if (s == OK) s = net_wait(x->crew->t, &e->body);
    if (s == OK && h->report.status != OK) {
        take_failure(x, h);
    } else if (s == OK && x->status == OK) {
        struct parcel p = {h->answer, h->report.bytes, false};
        s = take_results(x, &e->chunk, &p);
        x->done += e->chunk.work;
    }
    free(h->answer);
    h->answer = NULL;
    h->first = (h->first + 1) % CREW_IN_HAND;
    h->n--;
    h->done = 0;
    TRY(s);
    return listen_to(x->crew, h);
}

/* A report's head is there. */
static enum status take_report(struct call *x, struct helper *h)
{
    if (h->report.kind == CREW_PROGRESS) {
        h->done = h->report.done;
        return listen_to(x->crew, h);
    }
    if (h->report.kind != CREW_ANSWER || !h->n) return fail(E_FORMAT, "rank %d answers what was not asked", h->rank);
    if (!h->report.bytes) return end_errand(x, h);
    h->answer = malloc(h->report.bytes);
    if (!h->answer) return fail(E_NOMEM, "out of memory for the answers of rank %d", h->rank);
    return net_recv(x->crew->t, &h->body, h->rank, NET_CONTROL, CREW_REPORT_BODY_TAG, h->answer, h->report.bytes);
}

/* All that has come, without waiting. */
static enum status hear_all(struct call *x)
{
    struct transport *t = x->crew->t;
    for (int i = 0; i < x->crew->n; i++) {
        struct helper *h = &x->crew->helpers[i];
        bool there = true;
        for (int said = 0; said < 2 * CREW_IN_HAND && there; said++) {
            const bool body = h->answer != NULL;
            TRY(net_test(t, body ? &h->body : &h->head, &there));
            if (there) TRY(body ? end_errand(x, h) : take_report(x, h));
        }
    }
    return OK;
}

static bool are_busy(const struct crew *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->helpers[i].n) return true;
    return false;
}

/* Until a helper that has something in hand says something. */
static enum status wait_for_one(struct call *x)
{
    struct crew *c = x->crew;
    int n = 0, which;
    for (int i = 0; i < c->n; i++)
        if (c->helpers[i].n) c->waits[n++] = c->helpers[i].answer ? &c->helpers[i].body : &c->helpers[i].head;
    TRY(net_wait_any(c->t, c->waits, n, &which));
    struct helper *h = &c->helpers[0];
    while (&h->head != c->waits[which] && &h->body != c->waits[which])
        h++;
    return c->waits[which] == &h->body ? end_errand(x, h) : take_report(x, h);
}

/* Nothing of the call is left with anybody. */
static enum status abandon(struct call *x)
{
    struct crew *c = x->crew;
    for (int i = 0; i < c->n; i++)
        if (c->helpers[i].n) TRY(tell(c, &c->helpers[i], CREW_ABANDON, NULL));
    while (are_busy(c))
        TRY(wait_for_one(x));
    return OK;
}

/* ---- The leader's own chunks ---- */

static bool may_go_on(const struct call *x, gptjt_progress_fn *progress, void *user)
{
    size_t done = x->done + x->own;
    for (int i = 0; i < x->crew->n; i++)
        done += x->crew->helpers[i].done;
    return !progress || progress(user, done < x->all ? done : x->all, x->all);
}

struct own {
    struct call *call;
    gptjt_progress_fn *progress; /* the session's */
    void *user;
};

static bool on_block(void *user, size_t done, size_t total)
{
    struct own *o = user;
    struct call *x = o->call;
    (void)total;
    x->own = done;
    enum status s = hear_all(x);
    if (s == OK && x->status == OK) s = hand_out(x, CREW_IN_HAND);
    if (s != OK) note_failure(x, s, status_message());
    return x->status == OK && may_go_on(x, o->progress, o->user);
}

/* requests [chunk->n], index [chunk->n] and results: room. */
static enum status run_own(struct call *x, const struct crew_chunk *chunk, char *requests, uint64_t *index,
                           char *results)
{
    const struct crew_call_kind *k = x->kind;
    for (size_t i = 0; i < chunk->n; i++) {
        index[i] = x->order[chunk->first + i];
        memcpy(requests + i * k->request_bytes, request(x, index[i]), k->request_bytes);
    }
    struct gptjt_session *s = x->s;
    struct own own = {.call = x, .progress = s->progress, .user = s->progress_user};
    gptjt_session_set_progress(s, on_block, &own);
    const enum status st = k->run(s, requests, chunk->n, index, x->n, results);
    gptjt_session_set_progress(s, own.progress, own.user);
    x->own = 0;
    TRY(st);
    for (size_t i = 0, at = 0; i < chunk->n; i++) {
        const size_t first = x->result_at[index[i]], n = x->result_at[index[i] + 1] - first;
        memcpy(result(x, first), results + at * k->result_bytes, n * k->result_bytes);
        at += n;
    }
    x->done += chunk->work;
    return OK;
}

static enum status do_own(struct call *x, const struct crew_chunk *chunk)
{
    size_t n_results = 0;
    for (size_t i = 0; i < chunk->n; i++) {
        const size_t k = x->order[chunk->first + i];
        n_results += x->result_at[k + 1] - x->result_at[k];
    }
    char *requests = calloc(chunk->n, x->kind->request_bytes), *results = calloc(n_results + 1, x->kind->result_bytes);
    uint64_t *index = calloc(chunk->n, sizeof *index);
    const enum status s = requests && results && index ? run_own(x, chunk, requests, index, results)
                                                       : fail(E_NOMEM, "out of memory for %zu requests", chunk->n);
    free(requests);
    free(results);
    free(index);
    return s;
}

/* ---- All of a call ---- */

static enum status work_together(struct call *x)
{
    TRY(hand_out(x, 1));
    while (x->next < x->n_chunks && x->status == OK) {
        const struct crew_chunk *own = &x->chunks[x->next++];
        TRY(hand_out(x, CREW_IN_HAND));
        TRY(do_own(x, own));
        TRY(hear_all(x));
    }
    while (are_busy(x->crew) && x->status == OK) {
        if (!may_go_on(x, x->s->progress, x->s->progress_user)) return fail(E_CANCELLED, "stopped by the caller");
        TRY(wait_for_one(x));
    }
    return OK;
}

static enum status finish(struct call *x)
{
    const enum status s = work_together(x);
    if (s != OK) note_failure(x, s, status_message());
    if (x->status == OK) return OK;
    const enum status left = x->crew->t->broken ? OK : abandon(x);
    if (left != OK && x->status != E_CANCELLED) net_fail(x->crew->t, left);
    return fail(x->status, "%s", x->message);
}

static enum status lay_out(struct call *x)
{
    if (!x->result_at || !x->work || !x->order || !x->chunks)
        return fail(E_NOMEM, "out of memory for %zu requests", x->n);
    for (size_t i = 0; i < x->n; i++) {
        x->result_at[i + 1] = x->result_at[i] + x->kind->n_results(request(x, i));
        x->work[i] = x->kind->work(request(x, i));
        x->all += x->work[i];
    }
    x->results = calloc(x->result_at[x->n] + 1, x->kind->result_bytes);
    const int n_models = x->crew->n + 1, n_stages = x->crew->n_ranks / n_models;
    const size_t tokens = x->kind->whole ? 0 : (size_t)n_stages * CREW_CHUNK_TOKENS;
    x->n_chunks = crew_cut(x->order, x->chunks, x->work, x->n, n_models, tokens);
    return x->results && x->n_chunks ? OK : fail(E_NOMEM, "out of memory for %zu requests", x->n);
}

/* out gets all results, or none. */
static enum status share(struct gptjt_session *s, enum crew_order_kind kind, const void *requests, size_t n, void *out)
{
    struct call x = {.crew = s->engine->crew,
                     .s = s,
                     .number = kind,
                     .kind = crew_call_kind(kind),
                     .requests = requests,
                     .n = n,
                     .result_at = calloc(n + 1, sizeof *x.result_at),
                     .work = calloc(n, sizeof *x.work),
                     .order = calloc(n, sizeof *x.order),
                     .chunks = calloc(n, sizeof *x.chunks)};
    enum status st = lay_out(&x);
    if (st == OK) st = finish(&x);
    for (size_t i = 0; x.results && i < x.result_at[n]; i++)
        if (st == OK)
            memcpy((char *)out + i * x.kind->result_bytes, result(&x, i), x.kind->result_bytes);
        else
            x.kind->free_result(result(&x, i));
    free(x.result_at);
    free(x.work);
    free(x.order);
    free(x.chunks);
    free(x.results);
    return st;
}

enum status crew_score(struct gptjt_session *s, const struct gptjt_score_request *requests, size_t n,
                       struct gptjt_score *scores)
{
    return share(s, CREW_SCORE, requests, n, scores);
}

/* Callbacks of requests that others have done hear of all tokens at once, and of the text with the last one. */
static enum status tell_tokens(const struct gptjt_generate_request *r, const struct gptjt_generation *g)
{
    const bool computed = r->max_new_tokens > 0 || r->n_scored > 0;
    if (r->on_prompt && computed && !r->on_prompt(r->user, g->n_scored, g->prompt_logprobs, g->prompt_top))
        return fail(E_CANCELLED, "generation was cancelled");
    if (!r->on_token) return OK;
    for (int i = 0; i < g->n; i++) {
        const struct gptjt_completion *c = &g->completions[i];
        for (size_t k = 0; k < c->n_tokens; k++) {
            const bool last = k + 1 == c->n_tokens;
            const struct gptjt_token token = {.sequence = i,
                                              .index = k,
                                              .id = c->tokens[k],
                                              .logprob = c->logprobs[k],
                                              .top = c->n_top ? c->top + k * (size_t)c->n_top : NULL,
                                              .n_top = c->n_top,
                                              .text = !c->text ? NULL
                                                      : last   ? c->text
                                                               : "",
                                              .text_len = last ? c->text_len : 0,
                                              .last = last,
                                              .finish = c->finish};
            if (!r->on_token(r->user, &token)) return fail(E_CANCELLED, "generation was cancelled");
        }
    }
    return OK;
}

enum status crew_generate(struct gptjt_session *s, const struct gptjt_generate_request *requests, size_t n,
                          struct gptjt_generation *out)
{
    struct gptjt_generate_request *silent = calloc(n, sizeof *silent);
    if (!silent) return fail(E_NOMEM, "out of memory for %zu requests", n);
    for (size_t i = 0; i < n; i++) {
        silent[i] = requests[i];
        silent[i].on_prompt = NULL;
        silent[i].on_token = NULL;
    }
    enum status st = share(s, CREW_GENERATE, silent, n, out);
    for (size_t i = 0; st == OK && i < n; i++) {
        st = tell_tokens(&requests[i], &out[i]);
        if (st != OK)
            for (size_t k = 0; k < n; k++)
                gptjt_generation_free(&out[k]);
    }
    free(silent);
    return st;
}
