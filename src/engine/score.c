// SPDX-License-Identifier: Apache-2.0
/* Reading probabilities off the model: continuations after a prompt, or the logits of a whole row.
 *
 * The first token of a continuation is predicted from the last prompt position; token i from the row of token i-1,
 * which sees the prompt and the continuation's tokens before it. So a continuation of n tokens adds n-1 rows, and no
 * prompt row ever sees one of them. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

static void read_token(const struct gptjt_engine *e, struct gptjt_score *score, size_t i, int32_t id,
                       const float *logits)
{
    const size_t V = (size_t)e->config.model.V;
    const double logprob = (double)logits[id] - e->host.log_sum_exp(logits, V);
    score->logprobs[i] = (float)logprob;
    score->total += logprob;
    score->greedy &= e->host.argmax(logits, V) == (size_t)id;
}

/* Which token a row of the step predicts. */
struct target {
    int continuation;
    size_t token;
};

/* Reads the targets of all rows of the step. */
static enum status read_step(struct gptjt_session *s, const struct gptjt_span *c, struct gptjt_score *scores,
                             const struct target *targets)
{
    const size_t V = (size_t)s->engine->config.model.V;
    for (int row = 0; row < s->step.T; row += LOGITS_BLOCK) {
        int32_t rows[LOGITS_BLOCK];
        int n = 0;
        while (n < LOGITS_BLOCK && row + n < s->step.T) {
            rows[n] = row + n;
            n++;
        }
        TRY(step_logits(s, rows, n));
        for (int k = 0; k < n; k++) {
            const struct target *t = &targets[row + k];
            read_token(s->engine, &scores[t->continuation], t->token, c[t->continuation].ids[t->token],
                       s->logits + (size_t)k * V);
        }
    }
    return OK;
}

/* Continuations [first, *end) as forks of the prompt in one step; as many as fit max_rows. */
static enum status score_some(struct gptjt_session *s, const struct gptjt_span *c, size_t n, size_t first, size_t *end,
                              struct gptjt_score *scores, struct kv_sequence *forks, struct target *targets)
{
    const int n_prompt = s->prompt.length;
    step_begin(s);
    size_t i = first;
    for (; i < n && s->step.T + (int)c[i].n - 1 <= s->max_rows; i++) {
        if (c[i].n == 1) continue; /* the prompt's last row said it all */
        TRY(kvcache_fork(s->kv, &forks[i], &s->prompt, n_prompt));
        TRY(kvcache_extend(s->kv, &forks[i], n_prompt + (int)c[i].n - 1));
        const int sequence = step_add_sequence(s, &forks[i]);
        for (size_t k = 0; k + 1 < c[i].n; k++) {
            const size_t position = (size_t)n_prompt + k;
            targets[s->step.T] = (struct target){(int)i, k + 1};
            step_add_row(s, sequence, c[i].ids[k], position, 0, position + 1);
        }
    }
    *end = i;
    if (s->step.T == 0) return OK;
    TRY(step_run(s));
    return read_step(s, c, scores, targets);
}

static enum status check(struct gptjt_session *s, struct gptjt_span prompt, const struct gptjt_span *c, size_t n)
{
    size_t longest = 1;
    if (prompt.n == 0) return fail(E_ARG, "prompt is empty; its last token predicts the continuation's first");
    TRY(session_check_ids(s, prompt.ids, prompt.n, "prompt"));
    for (size_t i = 0; i < n; i++) {
        if (c[i].n == 0) return fail(E_ARG, "continuation %zu is empty", i);
        TRY(session_check_ids(s, c[i].ids, c[i].n, "continuation"));
        longest = c[i].n > longest ? c[i].n : longest;
    }
    return session_admit(s, prompt.n, n, longest);
}

static enum status alloc_scores(struct gptjt_score *scores, const struct gptjt_span *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        scores[i] = (struct gptjt_score){.n = c[i].n, .greedy = true, .logprobs = calloc(c[i].n, sizeof(float))};
        if (!scores[i].logprobs) return fail(E_NOMEM, "score: out of memory");
    }
    return OK;
}

static enum status score_all(struct gptjt_session *s, struct gptjt_span prompt, bool prefix, const struct gptjt_span *c,
                             size_t n, struct gptjt_score *scores, struct kv_sequence *forks, struct target *targets)
{
    size_t first;
    TRY(session_prefill(s, prompt.ids, prompt.n, prefix ? prompt.n : 0, false, &first));
    const int32_t last = (int32_t)(prompt.n - 1 - first);
    TRY(step_logits(s, &last, 1));
    for (size_t i = 0; i < n; i++)
        read_token(s->engine, &scores[i], 0, c[i].ids[0], s->logits);
    for (size_t i = 0; i < n;)
        TRY(score_some(s, c, n, i, &i, scores, forks, targets));
    return OK;
}

enum gptjt_status gptjt_score(struct gptjt_session *s, struct gptjt_span prompt, enum gptjt_mask prompt_mask,
                              const struct gptjt_span *continuations, size_t n, struct gptjt_score *scores)
{
    const enum status bad = check(s, prompt, continuations, n);
    if (bad != OK || n == 0) return (enum gptjt_status)bad;
    struct gptjt_score *result = calloc(n, sizeof *result);
    struct kv_sequence *forks = calloc(n, sizeof *forks);
    struct target *targets = calloc((size_t)s->max_rows, sizeof *targets);
    enum status st = result && forks && targets ? OK : fail(E_NOMEM, "score: out of memory");
    if (st == OK) st = alloc_scores(result, continuations, n);
    if (st == OK) {
        const bool prefix = session_mask(s, prompt_mask) == GPTJT_MASK_PREFIX;
        st = score_all(s, prompt, prefix, continuations, n, result, forks, targets);
    }
    for (size_t i = 0; forks && i < n; i++)
        kvcache_release(s->kv, &forks[i]);
    if (st == OK)
        memcpy(scores, result, n * sizeof *scores);
    else if (result)
        gptjt_scores_free(result, n);
    free(result);
    free(forks);
    free(targets);
    return (enum gptjt_status)st;
}

void gptjt_scores_free(struct gptjt_score *scores, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(scores[i].logprobs);
        scores[i] = (struct gptjt_score){0};
    }
}

static enum status each_row(struct gptjt_session *s, struct gptjt_span row, size_t n_prefix, gptjt_logits_fn *each,
                            void *user)
{
    const size_t V = (size_t)s->engine->config.model.V;
    size_t first;
    s->n_cached = 0; /* every row's logits are wanted, so every row is computed */
    TRY(session_prefill(s, row.ids, row.n, n_prefix, true, &first));
    for (size_t t = 0; t < row.n; t += LOGITS_BLOCK) {
        int32_t rows[LOGITS_BLOCK];
        int n = 0;
        while (n < LOGITS_BLOCK && t + (size_t)n < row.n) {
            rows[n] = (int32_t)t + n;
            n++;
        }
        TRY(step_logits(s, rows, n));
        for (int k = 0; k < n; k++)
            if (!each(user, t + (size_t)k, s->logits + (size_t)k * V))
                return fail(E_CANCELLED, "logits were cancelled");
    }
    return OK;
}

enum gptjt_status gptjt_logits(struct gptjt_session *s, struct gptjt_span row, size_t n_prefix, gptjt_logits_fn *each,
                               void *user)
{
    if (n_prefix == SIZE_MAX) n_prefix = s->engine->mask.mask == GPTJT_MASK_PREFIX ? row.n : 0;
    enum status st = OK;
    if (row.n == 0) st = fail(E_ARG, "no tokens given");
    if (st == OK && n_prefix > row.n) st = fail(E_ARG, "prefix is %zu, the row has %zu tokens", n_prefix, row.n);
    if (st == OK) st = session_check_ids(s, row.ids, row.n, "ids");
    if (st == OK) st = session_admit(s, row.n, 0, 0);
    if (st == OK) st = each_row(s, row, n_prefix, each, user);
    return (enum gptjt_status)st;
}
