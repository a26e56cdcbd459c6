// SPDX-License-Identifier: Apache-2.0
/* What eval/classify.c does in calls of its own is here a job for the desk: a prompt and its labels are one request for
 * scores; with calibration the prompt without content is one more, the last. */
#include "server/classify_call.h"

#include <stdlib.h>

#include "server/api_classify.h"

struct classify_call {
    struct service *service;
    struct served *served;
    struct exchange *exchange;
    struct classify_ask ask;
    int n;                            /* prompts: inputs, and one more to calibrate by */
    struct fewshot_prompt *prompts;   /* [n] */
    struct gptjt_span *continuations; /* [n_labels], ids owned */
    size_t *lengths;                  /* [n_labels] */
    struct gptjt_score_request *requests;
    struct desk_item *items; /* [n] */
    struct desk_job job;
};

static void call_free(void *user)
{
    struct classify_call *c = user;
    const size_t n_labels = (size_t)c->ask.spec.n_labels;
    for (int i = 0; i < c->n; i++) {
        if (c->prompts) fewshot_free(&c->prompts[i]);
        if (c->items && c->items[i].scores) {
            gptjt_scores_free(c->items[i].scores, n_labels);
            free(c->items[i].scores);
        }
    }
    for (size_t i = 0; c->continuations && i < n_labels; i++)
        gptjt_free((void *)(uintptr_t)c->continuations[i].ids);
    free(c->prompts);
    free(c->continuations);
    free(c->lengths);
    free(c->requests);
    free(c->items);
    classify_ask_free(&c->ask);
    free(c);
}

/* ---- In the desk's thread ---- */

/* totals [n_labels] S of prompt i. */
static void read_totals(const struct classify_call *c, int i, double *totals)
{
    for (int k = 0; k < c->ask.spec.n_labels; k++)
        totals[k] = c->items[i].scores[k].total;
}

/* Scores s [n_labels] and their totals for prompt i. */
static void read_scores(const struct classify_call *c, int i, double *totals, double *s)
{
    read_totals(c, i, totals);
    classify_scores(s, totals, c->lengths, c->ask.spec.n_labels, (enum classify_normalize)c->ask.normalize);
}

/* prior [n_labels] or NULL; room [3][n_labels]. */
static enum status add_result(const struct classify_call *c, int i, const double *prior, double *room, json_t **results)
{
    const int n = c->ask.spec.n_labels;
    double *totals = room, *s = room + n, *p = room + 2 * n;
    const struct fewshot_prompt *prompt = &c->prompts[i];
    int best;
    read_scores(c, i, totals, s);
    TRY(classify_softmax(p, s, prior, n, &best));
    const struct classify_result r = {.best = best,
                                      .probabilities = p,
                                      .log_likelihoods = totals,
                                      .prompt_tokens = prompt->n_ids,
                                      .n_shots = prompt->n_shots,
                                      .n_dropped = prompt->n_dropped};
    json_append(results, classify_result_json(&c->ask, &r, c->ask.details ? &prompt->text : NULL));
    return OK;
}

static enum status make_body(const struct classify_call *c, struct buf *body)
{
    const enum gptjt_mask asked = (enum gptjt_mask)c->ask.prompt_mask;
    const enum gptjt_mask mask = asked == GPTJT_MASK_AUTO ? c->service->info.prompt_mask : asked;
    const size_t n_labels = (size_t)c->ask.spec.n_labels;
    double *room = calloc(4 * n_labels, sizeof *room);
    if (!room) return fail(E_NOMEM, "out of memory");
    double *prior = c->ask.calibrate ? room + 3 * n_labels : NULL;
    if (prior) read_scores(c, c->n - 1, room, prior);
    json_t *results = json_array();
    enum status s = OK;
    for (int i = 0; s == OK && i < c->ask.n_inputs; i++)
        s = add_result(c, i, prior, room, &results);
    free(room);
    if (s == OK)
        classify_put(body, results, mask == GPTJT_MASK_PREFIX);
    else
        json_decref(results);
    return s == OK ? buf_status(body) : s;
}

static bool all_scored(const struct classify_call *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->items[i].status != OK) return false;
    return true;
}

static void ended(struct desk_job *job)
{
    struct classify_call *c = job->user;
    struct buf body = {0};
    enum trouble what = TROUBLE_GENERATION;
    const char *message;
    if (!all_scored(c)) {
        service_why(job, &what, &message);
        service_refuse(c->exchange, &dialect_tgi, what, message);
    } else if (make_body(c, &body) == OK) {
        exchange_answer(c->exchange, 200, "application/json", &body);
    } else {
        service_refuse(c->exchange, &dialect_tgi, what, status_message());
    }
    buf_free(&body);
    exchange_release(c->exchange);
}

/* ---- In the HTTP thread ---- */

static enum status fit(struct classify_call *c, int i, const char *const *values, size_t max_tokens)
{
    struct fewshot_prompt *p = &c->prompts[i];
    TRY(fewshot_fit(p, &c->ask.spec, c->service->tokenizer, values, max_tokens));
    c->requests[i] = (struct gptjt_score_request){.prompt = {.ids = p->ids, .n = p->n_ids},
                                                  .prompt_mask = (enum gptjt_mask)c->ask.prompt_mask,
                                                  .continuations = c->continuations,
                                                  .n = (size_t)c->ask.spec.n_labels};
    c->items[i].score = &c->requests[i];
    atomic_fetch_add(&c->served->prompt_tokens, p->n_ids);
    return OK;
}

static enum status fit_all(struct classify_call *c, size_t max_tokens)
{
    const int n_fields = c->ask.spec.n_fields;
    for (int i = 0; i < c->ask.n_inputs; i++)
        TRY(fit(c, i, c->ask.values + i * n_fields, max_tokens));
    if (!c->ask.calibrate) return OK;
    const char **nothing = calloc((size_t)n_fields, sizeof *nothing);
    if (!nothing) return fail(E_NOMEM, "out of memory");
    for (int i = 0; i < n_fields; i++)
        nothing[i] = c->ask.content_free;
    const enum status s = fit(c, c->n - 1, nothing, max_tokens);
    free(nothing);
    return s;
}

static enum status prepare(struct classify_call *c)
{
    const struct classify_ask *a = &c->ask;
    const size_t n = (size_t)a->n_inputs + a->calibrate, n_labels = (size_t)a->spec.n_labels;
    size_t max_prompt;
    if (!c->service->tokenizer) return fail(E_UNSUPPORTED, "this model has no tokenizer files, which labels need");
    c->n = (int)n;
    c->prompts = calloc(n, sizeof *c->prompts);
    c->requests = calloc(n, sizeof *c->requests);
    c->items = calloc(n, sizeof *c->items);
    c->continuations = calloc(n_labels, sizeof *c->continuations);
    c->lengths = calloc(n_labels, sizeof *c->lengths);
    if (!c->prompts || !c->requests || !c->items || !c->continuations || !c->lengths)
        return fail(E_NOMEM, "out of memory");
    TRY(classify_encode_labels(c->continuations, c->lengths, &max_prompt, c->service->engine, &a->spec));
    return fit_all(c, max_prompt);
}

void classify_start(struct service *s, struct exchange *x)
{
    struct served *served = exchange_data(x);
    struct classify_call *c = calloc(1, sizeof *c);
    if (!c) {
        service_refuse(x, &dialect_tgi, TROUBLE_GENERATION, "out of memory");
        return;
    }
    served->call = c;
    served->release = call_free;
    c->service = s;
    c->served = served;
    c->exchange = x;
    size_t len;
    const char *body = exchange_body(x, &len);
    enum status status = classify_ask_parse(&c->ask, body, len, &s->limits);
    if (status == OK) status = prepare(c);
    enum trouble what = service_trouble(status);
    c->job = (struct desk_job){.items = c->items, .n_items = (size_t)c->n, .ended = ended, .user = c};
    if (status == OK) status = service_submit(s, x, &c->job, 0, &what);
    if (status != OK) service_refuse(x, &dialect_tgi, what, status_message());
}
