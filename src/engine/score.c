// SPDX-License-Identifier: Apache-2.0
/* Reading probabilities off the model: continuations after a prompt, or the logits of a whole row.
 *
 * The first token of a continuation is predicted from the last prompt position; token i from the row of token i-1,
 * which sees the prompt and the continuation's tokens before it. So a continuation of n tokens adds n-1 rows, and no
 * prompt row ever sees one of them. */
#include <stdlib.h>
#include <string.h>

#include "engine/crew.h"
#include "engine/scoring.h"

static void read_token(const struct gptjt_session *s, struct gptjt_score *score, size_t i, int32_t id,
                       const float *logits)
{
    const size_t V = (size_t)s->engine->config.model.V;
    score->total += session_read_token(s, logits, id, &score->logprobs[i],
                                       score->top ? score->top + i * (size_t)score->n_top : NULL, score->n_top);
    score->greedy &= s->engine->host.argmax(logits, V) == (size_t)id;
}

/* ---- What the scheduler asks for ---- */

static int rows_left(const struct job *j)
{
    return ((const struct scoring *)j)->n_left;
}

/* Up to n rows of the continuation that is next; returns how many there were. */
static enum status add_some(struct scoring *g, struct scheduler *c, int n, int *added)
{
    const struct gptjt_span *span = &g->c[g->at];
    const size_t n_prompt = g->job.prompt.n;
    *added = 0;
    if (g->token == 0 && span->n > 1) TRY(scheduler_fork(c, &g->job, &g->forks[g->at], n_prompt + span->n - 1));
    const int sequence = span->n > 1 ? step_add_sequence(c->step, &g->forks[g->at]) : 0;
    for (; *added < n && g->token + 1 < span->n; g->token++, (*added)++)
        scheduler_add_row(c, sequence, span->ids[g->token], n_prompt + g->token,
                          (struct target){&g->job, (int)g->at, (int)g->token + 1});
    if (g->token + 1 == span->n) {
        g->at++;
        g->token = 0;
    }
    return OK;
}

static enum status add_rows(struct job *j, struct scheduler *c, int n)
{
    struct scoring *g = (struct scoring *)j;
    g->n_left -= n;
    for (int added; n > 0; n -= added)
        TRY(add_some(g, c, n, &added));
    return OK;
}

static enum status read_row(struct job *j, struct scheduler *c, const struct target *t, const float *logits)
{
    struct scoring *g = (struct scoring *)j;
    if (t->sequence == TARGET_PROMPT) {
        for (size_t i = 0; i < g->n; i++)
            read_token(g->s, &g->scores[i], 0, g->c[i].ids[0], logits);
    } else {
        const size_t i = (size_t)t->sequence, k = (size_t)t->token;
        read_token(g->s, &g->scores[i], k, g->c[i].ids[k], logits);
        if (k + 1 == g->c[i].n) kvcache_truncate(c->s->kv, &g->forks[i], 0);
    }
    j->done = --g->n_unread == 0;
    return OK;
}

static void leave(struct job *j, struct kvcache *kv)
{
    struct scoring *g = (struct scoring *)j;
    for (size_t i = 0; i < g->n; i++)
        kvcache_release(kv, &g->forks[i]);
}

static const struct job_kind scoring_kind = {
    .divisible = true, .rows = rows_left, .add = add_rows, .read = read_row, .leave = leave};

/* ---- Calls ---- */

enum status scoring_check(const struct gptjt_session *s, const struct gptjt_score_request *r)
{
    size_t longest = 1;
    if (r->prompt.n == 0) return fail(E_ARG, "prompt is empty; its last token predicts the continuation's first");
    TRY(session_check_top(s, r->n_top));
    TRY(session_check_ids(s, r->prompt.ids, r->prompt.n, "prompt"));
    for (size_t i = 0; i < r->n; i++) {
        const struct gptjt_span *c = &r->continuations[i];
        if (c->n == 0) return fail(E_ARG, "continuation %zu is empty", i);
        TRY(session_check_ids(s, c->ids, c->n, "continuation"));
        longest = c->n > longest ? c->n : longest;
    }
    return session_admit(s, r->prompt.n, r->n, longest);
}

enum status scoring_open(struct scoring *g, struct gptjt_session *s, const struct gptjt_score_request *r,
                         struct gptjt_score *scores, struct kv_sequence *forks)
{
    const bool prefix = session_mask(s, r->prompt_mask) == GPTJT_MASK_PREFIX;
    *g = (struct scoring){.s = s, .c = r->continuations, .n = r->n, .scores = scores, .forks = forks};
    g->job = (struct job){
        .kind = &scoring_kind, .prompt = r->prompt, .n_prefix = prefix ? r->prompt.n : 0, .n_read = 1};
    for (size_t i = 0; i < r->n; i++) {
        const size_t n = r->continuations[i].n;
        scores[i] = (struct gptjt_score){
            .n = n, .n_top = r->n_top, .greedy = true, .logprobs = calloc(n, sizeof(float))};
        if (r->n_top) scores[i].top = calloc(n * (size_t)r->n_top, sizeof *scores[i].top);
        if (!scores[i].logprobs || (r->n_top && !scores[i].top)) return fail(E_NOMEM, "score: out of memory");
        if (n > 1) g->job.n_promised += scheduler_pages(r->prompt.n, r->prompt.n + n - 1);
        g->n_left += (int)n - 1;
    }
    g->n_unread = g->n_left + 1;
    g->job.work = r->prompt.n + (size_t)g->n_left;
    return OK;
}

/* The scores of all continuations of all requests, and a fork for each. */
struct scored {
    struct scoring *all;        /* [n] */
    struct gptjt_score *scores; /* [n_scores] */
    struct kv_sequence *forks;  /* [n_scores] */
    size_t n_scores;
};

static enum status score_all(struct scored *x, struct gptjt_session *s, const struct gptjt_score_request *r, size_t n,
                             const uint64_t *index, size_t of)
{
    struct scheduler c[SESSION_MOST_LANES];
    const int n_lanes = 1 + s->n_others;
    if (!x->all || !x->scores || !x->forks) return fail(E_NOMEM, "score: out of memory");
    for (size_t i = 0, at = 0; i < n; at += r[i++].n) {
        TRY(scoring_open(&x->all[i], s, &r[i], x->scores + at, x->forks + at));
        x->all[i].job.index = index ? index[i] : i;
        x->all[i].job.of = of;
    }
    scheduler_lanes_open(c, n_lanes, s, scheduler_fail_all);
    for (size_t i = 0; i < n; i++)
        if (r[i].n) x->all[i].s = scheduler_lanes_add(c, n_lanes, &x->all[i].job);
    const enum status st = scheduler_lanes_run(c, n_lanes);
    scheduler_lanes_close(c, n_lanes);
    return st;
}

enum status score_here(struct gptjt_session *s, const struct gptjt_score_request *requests, size_t n,
                       const uint64_t *index, size_t of, struct gptjt_score *scores)
{
    struct scored x = {0};
    for (size_t i = 0; i < n; i++)
        x.n_scores += requests[i].n;
    if (x.n_scores == 0) return OK;
    x.all = calloc(n, sizeof *x.all);
    x.scores = calloc(x.n_scores, sizeof *x.scores);
    x.forks = calloc(x.n_scores, sizeof *x.forks);
    const enum status st = score_all(&x, s, requests, n, index, of);
    if (st == OK)
        memcpy(scores, x.scores, x.n_scores * sizeof *scores);
    else if (x.scores)
        gptjt_scores_free(x.scores, x.n_scores);
    free(x.all);
    free(x.scores);
    free(x.forks);
    return st;
}

enum gptjt_status gptjt_score_many(struct gptjt_session *s, const struct gptjt_score_request *requests, size_t n,
                                   struct gptjt_score *scores)
{
    const enum status taken = session_check_free(s);
    if (taken != OK) return (enum gptjt_status)taken;
    for (size_t i = 0; i < n; i++) {
        const enum status bad = scoring_check(s, &requests[i]);
        if (bad != OK) return (enum gptjt_status)scheduler_name(bad, i, n);
    }
    if (s->engine->crew && n > 1) return (enum gptjt_status)crew_score(s, requests, n, scores);
    return (enum gptjt_status)score_here(s, requests, n, NULL, n, scores);
}

enum gptjt_status gptjt_score(struct gptjt_session *s, struct gptjt_span prompt, enum gptjt_mask prompt_mask,
                              const struct gptjt_span *continuations, size_t n, struct gptjt_score *scores)
{
    const struct gptjt_score_request one = {prompt, prompt_mask, continuations, n, 0};
    return gptjt_score_many(s, &one, 1, scores);
}

void gptjt_scores_free(struct gptjt_score *scores, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(scores[i].logprobs);
        free(scores[i].top);
        scores[i] = (struct gptjt_score){0};
    }
}

static enum status each_row(struct gptjt_session *s, struct gptjt_span row, size_t n_prefix, gptjt_logits_fn *each,
                            void *user)
{
    const size_t V = (size_t)s->engine->config.model.V;
    TRY(session_prefill(s, row, n_prefix, true));
    for (size_t t = 0; t < row.n; t += LOGITS_BLOCK) {
        const int n = row.n - t < LOGITS_BLOCK ? (int)(row.n - t) : LOGITS_BLOCK;
        step_logits(s, &s->step, (int)t, n);
        for (int k = 0; k < n; k++) {
            TRY(step_check(s, &s->step, (int)t + k, s->logits + (size_t)k * V));
            if (!each(user, t + (size_t)k, s->logits + (size_t)k * V))
                return fail(E_CANCELLED, "logits were cancelled");
        }
    }
    return OK;
}

enum gptjt_status gptjt_logits(struct gptjt_session *s, struct gptjt_span row, size_t n_prefix, gptjt_logits_fn *each,
                               void *user)
{
    if (n_prefix == SIZE_MAX) n_prefix = s->engine->mask.mask == GPTJT_MASK_PREFIX ? row.n : 0;
    enum status st = session_check_free(s);
    if (st == OK && row.n == 0) st = fail(E_ARG, "no tokens given");
    if (st == OK && n_prefix > row.n) st = fail(E_ARG, "prefix is %zu, the row has %zu tokens", n_prefix, row.n);
    if (st == OK) st = session_check_ids(s, row.ids, row.n, "ids");
    if (st == OK) st = session_admit(s, row.n, 0, 0);
    if (st == OK) st = each_row(s, row, n_prefix, each, user);
    return (enum gptjt_status)st;
}
