// SPDX-License-Identifier: Apache-2.0
/* What eval/classify.c does in calls of its own is here a job for the desk: a prompt and its labels are one request for
 * scores; with calibration the prompt without content is one more, the last. */
#include "server/classify_call.h"

#include <stdlib.h>

#include "eval/api.h"
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

/* room [4][n_labels]. */
static enum status add_result(const struct classify_call *c, int i, double *room, json_t **results)
{
    const int n = c->ask.spec.n_labels;
    const enum classify_normalize normalize = (enum classify_normalize)c->ask.normalize;
    double *totals = room, *s = room + n, *p = room + 2 * n, *prior = room + 3 * n;
    const struct fewshot_prompt *prompt = &c->prompts[i];
    int best;
    if (c->ask.calibrate) {
        read_totals(c, c->n - 1, totals);
        classify_scores(prior, totals, c->lengths, n, normalize);
    }
    read_totals(c, i, totals);
    classify_scores(s, totals, c->lengths, n, normalize);
    TRY(classify_softmax(p, s, c->ask.calibrate ? prior : NULL, n, &best));
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
    double *room = calloc(4 * (size_t)c->ask.spec.n_labels, sizeof *room);
    if (!room) return fail(E_NOMEM, "out of memory");
    json_t *results = json_array();
    enum status s = OK;
    for (int i = 0; s == OK && i < c->ask.n_inputs; i++)
        s = add_result(c, i, room, &results);
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

static void client_gone(void *user)
{
    struct classify_call *c = user;
    desk_cancel(c->service->desk, &c->job);
}

static enum status encode_labels(struct classify_call *c, size_t *longest)
{
    struct buf text = {0};
    enum status s = OK;
    *longest = 0;
    for (int i = 0; s == OK && i < c->ask.spec.n_labels; i++) {
        int32_t *ids;
        buf_clear(&text);
        s = fewshot_continuation(&text, c->ask.spec.labels[i]);
        if (s == OK)
            s = api_status(gptjt_encode(c->service->tokenizer, text.data, text.len, false, &ids, &c->lengths[i]));
        if (s != OK) break;
        c->continuations[i] = (struct gptjt_span){.ids = ids, .n = c->lengths[i]};
        if (c->lengths[i] > *longest) *longest = c->lengths[i];
    }
    buf_free(&text);
    return s;
}

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
    const size_t window = (size_t)c->service->info.n_positions;
    size_t longest;
    if (!c->service->tokenizer) return fail(E_UNSUPPORTED, "this model has no tokenizer files, which labels need");
    c->n = (int)n;
    c->prompts = calloc(n, sizeof *c->prompts);
    c->requests = calloc(n, sizeof *c->requests);
    c->items = calloc(n, sizeof *c->items);
    c->continuations = calloc(n_labels, sizeof *c->continuations);
    c->lengths = calloc(n_labels, sizeof *c->lengths);
    if (!c->prompts || !c->requests || !c->items || !c->continuations || !c->lengths)
        return fail(E_NOMEM, "out of memory");
    TRY(encode_labels(c, &longest));
    if (longest >= window)
        return fail(E_LIMIT, "the longest label takes %zu tokens, the model's window is %zu", longest, window);
    return fit_all(c, window - longest);
}

static enum status submit(struct classify_call *c, enum trouble *what)
{
    const double seconds = c->service->time_limit_s;
    const int64_t began = exchange_began_ns(c->exchange);
    c->job = (struct desk_job){.client = c->served->client,
                               .items = c->items,
                               .n_items = (size_t)c->n,
                               .deadline_ns = seconds > 0 ? began + (int64_t)(seconds * 1e9) : 0,
                               .ended = ended,
                               .user = c};
    exchange_hold(c->exchange);
    exchange_on_gone(c->exchange, client_gone, c);
    const enum status s = desk_submit(c->service->desk, &c->job);
    if (s == OK) return OK;
    *what = s == E_LIMIT ? TROUBLE_OVERLOADED : s == E_CANCELLED ? TROUBLE_DRAINING : TROUBLE_GENERATION;
    exchange_on_gone(c->exchange, NULL, NULL);
    exchange_release(c->exchange);
    return s;
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
    if (status == OK) status = submit(c, &what);
    if (status != OK) service_refuse(x, &dialect_tgi, what, status_message());
}
