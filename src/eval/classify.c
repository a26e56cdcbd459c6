// SPDX-License-Identifier: Apache-2.0
/* Scores labels through the public API and turns log-likelihoods into probabilities; formulas in classify.h. */
#include "eval/classify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "eval/api.h"

struct classify {
    const struct gptjt_engine *engine;
    const struct fewshot_spec *spec;
    struct classify_options options;
    struct gptjt_session *session;
    const struct gptjt_tokenizer *tokenizer;
    size_t max_prompt;                /* tokens that leave room for the longest label */
    struct gptjt_span *continuations; /* [n_labels], ids owned */
    struct gptjt_score *scores;       /* [CLASSIFY_MANY][n_labels] */
    size_t *lengths;                  /* [n_labels] tokens of each continuation */
    double *numbers;                  /* the block that the next four lie in */
    double *totals, *p;               /* [CLASSIFY_MANY][n_labels] S, p(l|x) */
    double *mean, *prior;             /* [n_labels] s, s(x0) */
    struct fewshot_prompt prompts[CLASSIFY_MANY];
    struct gptjt_score_request requests[CLASSIFY_MANY];
};

static enum status check_label(const char *label)
{
    static const char space[] = " \t\r\n\v\f";
    const size_t len = strlen(label);
    if (!len) return fail(E_ARG, "labels: one is empty");
    if (!utf8_valid(label, len)) return fail(E_ARG, "labels: \"%s\" is not UTF-8", label);
    if (strpbrk(label, "\r\n")) return fail(E_ARG, "labels: \"%s\" holds a line break, which ends an answer", label);
    if (strchr(space, label[0]) || strchr(space, label[len - 1]))
        return fail(E_ARG, "labels: \"%s\" begins or ends in white space", label);
    return OK;
}

enum status classify_check_labels(const char *const *labels, int n_labels)
{
    if (n_labels < 2) return fail(E_ARG, "labels: %d given, two or more are needed", n_labels);
    for (int i = 0; i < n_labels; i++) {
        TRY(check_label(labels[i]));
        for (int k = 0; k < i; k++)
            if (!strcmp(labels[i], labels[k])) return fail(E_ARG, "labels: \"%s\" is given twice", labels[i]);
    }
    return OK;
}

void classify_scores(double *s, const double *S, const size_t *k, int n, enum classify_normalize normalize)
{
    for (int i = 0; i < n; i++)
        s[i] = normalize == CLASSIFY_NORMALIZE_LENGTH ? S[i] / (double)k[i] : S[i];
}

enum status classify_softmax(double *p, const double *s, const double *prior, int n, int *best)
{
    int top = 0;
    for (int i = 0; i < n; i++) {
        p[i] = s[i] - (prior ? prior[i] : 0);
        if (!isfinite(p[i])) return fail(E_NUMERIC, "the score of label %d is not a finite number", i + 1);
        if (p[i] > p[top]) top = i;
    }
    const double highest = p[top];
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += p[i] = exp(p[i] - highest);
    for (int i = 0; i < n; i++)
        p[i] /= sum;
    *best = top;
    return OK;
}

enum status classify_encode_labels(struct gptjt_span *continuations, size_t *lengths, size_t *max_prompt,
                                   const struct gptjt_engine *engine, const struct fewshot_spec *spec)
{
    struct gptjt_info info;
    struct buf text = {0};
    enum status s = OK;
    size_t longest = 0;
    for (int i = 0; i < spec->n_labels && s == OK; i++) {
        int32_t *ids;
        buf_clear(&text);
        s = fewshot_continuation(&text, spec->labels[i]);
        if (s == OK)
            s = api_status(gptjt_encode(gptjt_engine_tokenizer(engine), text.data, text.len, false, &ids, &lengths[i]));
        if (s != OK) break;
        continuations[i] = (struct gptjt_span){.ids = ids, .n = lengths[i]};
        if (lengths[i] > longest) longest = lengths[i];
    }
    buf_free(&text);
    if (s != OK) return s;
    gptjt_engine_info(engine, &info);
    const size_t window = (size_t)info.n_positions;
    if (longest >= window)
        return fail(E_LIMIT, "the longest label takes %zu tokens, the model's window is %zu", longest, window);
    *max_prompt = window - longest;
    return OK;
}

static enum status open_session(struct classify *c, struct gptjt_engine *engine)
{
    struct gptjt_info info;
    gptjt_engine_info(engine, &info);
    const size_t longest = (size_t)info.n_positions - c->max_prompt;
    const size_t rows = gptjt_tokens_needed(c->max_prompt, (size_t)c->spec->n_labels, longest);
    const enum gptjt_status e = gptjt_session_create(&c->session, engine, batching_room(engine, rows));
    if (e != GPTJT_OK) return api_status(e);
    gptjt_session_set_progress(c->session, c->options.progress, c->options.user);
    return OK;
}

/* Fills totals (S) for n queries. */
static enum status score(struct classify *c, const char *const *values, int n)
{
    const size_t n_labels = (size_t)c->spec->n_labels;
    for (int i = 0; i < n; i++) {
        struct fewshot_prompt *p = &c->prompts[i];
        TRY(fewshot_fit(p, c->spec, c->tokenizer, values + i * c->spec->n_fields, c->max_prompt));
        c->requests[i] = (struct gptjt_score_request){.prompt = {.ids = p->ids, .n = p->n_ids},
                                                      .prompt_mask = c->options.prompt_mask,
                                                      .continuations = c->continuations,
                                                      .n = n_labels};
    }
    const enum gptjt_status e = gptjt_score_many(c->session, c->requests, (size_t)n, c->scores);
    if (e != GPTJT_OK) return api_status(e);
    for (size_t i = 0; i < (size_t)n * n_labels; i++)
        c->totals[i] = c->scores[i].total;
    gptjt_scores_free(c->scores, (size_t)n * n_labels);
    return OK;
}

static enum status calibrate(struct classify *c)
{
    const char **values = calloc((size_t)c->spec->n_fields, sizeof *values);
    if (!values) return fail(E_NOMEM, "classify: out of memory");
    for (int i = 0; i < c->spec->n_fields; i++)
        values[i] = c->options.content_free ? c->options.content_free : "N/A";
    const enum status s = score(c, values, 1);
    if (s == OK) classify_scores(c->prior, c->totals, c->lengths, c->spec->n_labels, c->options.normalize);
    free(values);
    return s;
}

static enum status allocate(struct classify *c)
{
    const size_t n = (size_t)c->spec->n_labels, all = n * CLASSIFY_MANY;
    c->continuations = calloc(n, sizeof *c->continuations);
    c->scores = calloc(all, sizeof *c->scores);
    c->lengths = calloc(n, sizeof *c->lengths);
    c->numbers = calloc(2 * (all + n), sizeof *c->numbers);
    if (!c->continuations || !c->scores || !c->lengths || !c->numbers)
        return fail(E_NOMEM, "classify: out of memory for %zu labels", n);
    c->totals = c->numbers;
    c->p = c->numbers + all;
    c->mean = c->numbers + 2 * all;
    c->prior = c->numbers + 2 * all + n;
    return OK;
}

enum status classify_create(struct classify **out, struct gptjt_engine *engine, const struct fewshot_spec *spec,
                            const struct classify_options *options)
{
    TRY(classify_check_labels(spec->labels, spec->n_labels));
    const struct gptjt_tokenizer *tokenizer = gptjt_engine_tokenizer(engine);
    if (!tokenizer) return fail(E_UNSUPPORTED, "%s", gptjt_error());
    struct classify *c = calloc(1, sizeof *c);
    if (!c) return fail(E_NOMEM, "classify: out of memory");
    c->engine = engine;
    c->spec = spec;
    c->options = *options;
    c->tokenizer = tokenizer;
    enum status s = allocate(c);
    if (s == OK) s = classify_encode_labels(c->continuations, c->lengths, &c->max_prompt, engine, spec);
    if (s == OK) s = open_session(c, engine);
    if (s == OK && options->calibrate) s = calibrate(c);
    if (s != OK) {
        classify_free(c);
        return s;
    }
    *out = c;
    return OK;
}

void classify_free(struct classify *c)
{
    if (!c) return;
    if (c->continuations)
        for (int i = 0; i < c->spec->n_labels; i++)
            gptjt_free((void *)(uintptr_t)c->continuations[i].ids);
    free(c->continuations);
    free(c->scores);
    free(c->lengths);
    free(c->numbers);
    for (int i = 0; i < CLASSIFY_MANY; i++)
        fewshot_free(&c->prompts[i]);
    gptjt_session_close(c->session);
    free(c);
}

/* From the scores of query i. */
static enum status read_result(struct classify *c, int i, struct classify_result *out)
{
    const int n = c->spec->n_labels;
    double *totals = c->totals + i * n, *p = c->p + i * n;
    int best;
    classify_scores(c->mean, totals, c->lengths, n, c->options.normalize);
    TRY(classify_softmax(p, c->mean, c->options.calibrate ? c->prior : NULL, n, &best));
    *out = (struct classify_result){
        .best = best,
        .probabilities = p,
        .log_likelihoods = totals,
        .prompt_tokens = c->prompts[i].n_ids,
        .n_shots = c->prompts[i].n_shots,
        .n_dropped = c->prompts[i].n_dropped,
    };
    return OK;
}

enum status classify_run_many(struct classify *c, const char *const *values, int n, struct classify_result *out)
{
    TRY(score(c, values, n));
    for (int i = 0; i < n; i++)
        TRY(read_result(c, i, &out[i]));
    return OK;
}

enum status classify_run(struct classify *c, const char *const *values, struct classify_result *out)
{
    return classify_run_many(c, values, 1, out);
}

struct batching classify_batching(const struct classify *c)
{
    return batching_for(c->engine);
}

enum status classify_prompt(struct classify *c, const char *const *values, const struct fewshot_prompt **out)
{
    TRY(fewshot_fit(&c->prompts[0], c->spec, c->tokenizer, values, c->max_prompt));
    *out = &c->prompts[0];
    return OK;
}
