// SPDX-License-Identifier: Apache-2.0
/* Compares answers with recorded ones; see helm_compare.h. */
#include "eval/helm_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/alphabet.h"

struct comparing {
    struct helm_comparison *out;
    double *differences; /* [n_logprobs] absolute ones; owned */
    size_t cap;
    double sum, sum_absolute;
};

static const json_t *first_completion(const json_t *result)
{
    return json_array_get(json_object_get(result, "completions"), 0);
}

static bool has_stop(const struct helm_request *q, const struct buf *text)
{
    for (int i = 0; text->len && i < q->n_stop; i++)
        if (memmem(text->data, text->len, q->stop[i], strlen(q->stop[i]))) return true;
    return false;
}

/* How many of the tokens it takes to say the stop sequence; all of them where none does. */
static size_t tokens_to_stop(const struct helm_request *q, const json_t *tokens)
{
    const size_t n = json_array_size(tokens);
    struct buf said = {0};
    size_t used = 0;
    while (used < n && !has_stop(q, &said)) {
        const struct helm_text text = helm_text_of(json_array_get(tokens, used), "text");
        if (!alphabet_decode(&said, text.data, text.len)) buf_append(&said, text.data, text.len);
        used++;
    }
    buf_free(&said);
    return used;
}

static void compare_tokens(struct comparing *c, const struct helm_request *q, const json_t *ours, const json_t *theirs)
{
    const json_t *a = json_object_get(ours, "tokens"), *b = json_object_get(theirs, "tokens");
    const size_t n = tokens_to_stop(q, b), n_ours = tokens_to_stop(q, a);
    size_t same = 0;
    while (
        same < n && same < n_ours &&
        json_equal(json_object_get(json_array_get(a, same), "text"), json_object_get(json_array_get(b, same), "text")))
        same++;
    c->out->n_tokens += (int64_t)n;
    c->out->n_agreeing += (int64_t)same;
    if (same == n && same == n_ours)
        c->out->n_same_tokens++;
    else
        c->out->first_difference[same < HELM_FIRST_DIFFERENCES ? same : HELM_FIRST_DIFFERENCES - 1]++;
}

static enum status take_difference(struct comparing *c, double difference, int request)
{
    struct helm_comparison *out = c->out;
    if ((size_t)out->n_logprobs == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 1024;
        double *grown = realloc(c->differences, cap * sizeof *grown);
        if (!grown) return fail(E_NOMEM, "out of memory");
        c->differences = grown;
        c->cap = cap;
    }
    const double size = fabs(difference);
    c->differences[out->n_logprobs++] = size;
    c->sum += difference;
    c->sum_absolute += size;
    if (out->max_request >= 0 && size <= out->max_absolute) return OK;
    out->max_absolute = size;
    out->max_request = request;
    return OK;
}

static enum status compare_logprobs(struct comparing *c, const json_t *ours, const json_t *theirs, int request)
{
    const json_t *tokens = json_object_get(theirs, "tokens");
    if (!json_array_size(ours)) c->out->n_unscored++;
    for (size_t i = 0; i < json_array_size(ours) && i < json_array_size(tokens); i++) {
        const json_t *x = json_array_get(ours, i), *y = json_object_get(json_array_get(tokens, i), "logprob");
        if (!json_is_number(x) || !json_is_number(y)) continue;
        TRY(take_difference(c, json_number_value(x) - json_number_value(y), request));
    }
    return OK;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarize(struct comparing *c)
{
    struct helm_comparison *out = c->out;
    const size_t n = (size_t)out->n_logprobs;
    out->mean = out->mean_absolute = out->median_absolute = (double)NAN;
    if (!n) {
        out->max_absolute = (double)NAN;
        return;
    }
    qsort(c->differences, n, sizeof *c->differences, by_size);
    out->mean = c->sum / (double)n;
    out->mean_absolute = c->sum_absolute / (double)n;
    out->median_absolute = (c->differences[(n - 1) / 2] + c->differences[n / 2]) / 2;
}

enum status helm_compare(struct helm_comparison *out, const struct helm_run *run, const struct helm_answer *answers,
                         json_t *const *recorded)
{
    *out = (struct helm_comparison){.max_request = -1};
    struct comparing c = {.out = out};
    enum status s = OK;
    for (int i = 0; s == OK && i < run->n_requests; i++) {
        const struct helm_request *q = &run->requests[i];
        const json_t *ours = first_completion(answers[i].result), *theirs = first_completion(q->result);
        if (!ours || !theirs) continue;
        if (answers[i].state) { /* another prompt */
            out->n_cut++;
            continue;
        }
        out->n_requests++;
        out->n_same_text += json_equal(json_object_get(ours, "text"), json_object_get(theirs, "text"));
        compare_tokens(&c, q, ours, theirs);
        s = compare_logprobs(&c, recorded[i], theirs, i);
    }
    summarize(&c);
    free(c.differences);
    return s;
}
