// SPDX-License-Identifier: Apache-2.0
#include "server/answer.h"

#include <stdlib.h>
#include <string.h>

enum status answer_add_scores(struct answer *a, int prompt, size_t n_scored, const float *logprobs,
                              const struct gptjt_top *top)
{
    struct answer_prompt *p = &a->prompts[prompt];
    if (!n_scored) return OK;
    const size_t n_top = (size_t)a->n_top;
    p->logprobs = calloc(n_scored, sizeof *p->logprobs);
    p->top = n_top ? calloc(n_scored * n_top, sizeof *p->top) : NULL;
    if (!p->logprobs || (n_top && !p->top)) return fail(E_NOMEM, "answer: out of memory");
    memcpy(p->logprobs, logprobs, n_scored * sizeof *p->logprobs);
    if (n_top) memcpy(p->top, top, n_scored * n_top * sizeof *p->top);
    p->n_scored = n_scored;
    return OK;
}

/* *array then has room for cap items. */
static bool grow(void *array, size_t cap, size_t bytes)
{
    void **old = array;
    void *more = realloc(*old, cap * bytes);
    if (more) *old = more;
    return more != NULL;
}

static enum status reserve(struct answer_text *t, size_t n_top)
{
    if (t->n < t->cap) return OK;
    const size_t cap = t->cap ? 2 * t->cap : 32;
    if (!grow(&t->ids, cap, sizeof *t->ids) || !grow(&t->logprobs, cap, sizeof *t->logprobs) ||
        (n_top && !grow(&t->top, cap * n_top, sizeof *t->top)))
        return fail(E_NOMEM, "answer: out of memory");
    t->cap = cap;
    return OK;
}

enum status answer_add_token(struct answer *a, int prompt, const struct gptjt_token *token)
{
    struct answer_text *t = &a->prompts[prompt].texts[token->sequence];
    const size_t n_top = (size_t)a->n_top;
    TRY(reserve(t, n_top));
    t->ids[t->n] = token->id;
    t->logprobs[t->n] = token->logprob;
    if (n_top) memcpy(t->top + t->n * n_top, token->top, n_top * sizeof *t->top);
    t->n++;
    if (token->text) buf_append(&t->text, token->text, token->text_len);
    t->ended = token->last;
    if (token->last) t->finish = token->finish;
    return buf_status(&t->text);
}

void answer_free(struct answer *a)
{
    for (int i = 0; i < a->n; i++) {
        struct answer_prompt *p = &a->prompts[i];
        for (int k = 0; k < p->n_texts; k++) {
            free(p->texts[k].ids);
            free(p->texts[k].logprobs);
            free(p->texts[k].top);
            buf_free(&p->texts[k].text);
        }
        free(p->texts);
        free(p->logprobs);
        free(p->top);
    }
    free(a->prompts);
    *a = (struct answer){0};
}

size_t answer_new_tokens(const struct answer *a)
{
    size_t n = 0;
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < a->prompts[i].n_texts; k++)
            n += a->prompts[i].texts[k].n;
    return n;
}

size_t answer_prompt_tokens(const struct answer *a)
{
    size_t n = 0;
    for (int i = 0; i < a->n; i++)
        n += a->prompts[i].n_ids;
    return n;
}

static double mean_logprob(const struct answer_text *t)
{
    double sum = 0;
    for (size_t i = 0; i < t->n; i++)
        sum += (double)t->logprobs[i];
    return t->n ? sum / (double)t->n : 0;
}

/* Whether text i comes before text k. */
static bool better(const struct answer_prompt *p, int i, int k)
{
    const double a = mean_logprob(&p->texts[i]), b = mean_logprob(&p->texts[k]);
    return a > b || (a == b && i < k);
}

void answer_choose(const struct answer_prompt *p, int n, int *chosen)
{
    for (int i = 0; i < n; i++)
        chosen[i] = i < p->n_texts ? i : 0;
    if (n >= p->n_texts) return;
    for (int i = 0; i < p->n_texts; i++) {
        int rank = 0;
        for (int k = 0; k < p->n_texts; k++)
            rank += k != i && better(p, k, i);
        if (rank < n) chosen[rank] = i;
    }
}
