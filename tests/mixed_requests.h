// SPDX-License-Identifier: Apache-2.0
/* Requests of all kinds for tests of the ..._many calls, what each of them gives alone, and comparing to the bit. */
#ifndef GPTJT_TESTS_MIXED_REQUESTS_H
#define GPTJT_TESTS_MIXED_REQUESTS_H

#include <string.h>

#include "engines.h"

#include "base/rng.h"

enum { N = 20, MOST = 4 }; /* requests; continuations of one, or sequences */

/* ---- Requests ---- */

/* A deterministic random number below n. */
static inline size_t draw(uint64_t seed, uint64_t i, size_t n)
{
    return (size_t)(rng_u64(17, seed, i) % n);
}

struct mix {
    int32_t ids[N][160];
    struct gptjt_generate_request generate[N];
    struct gptjt_bias bias[N][2];
    struct gptjt_span spans[N][MOST];
    struct gptjt_score_request score[N];
    size_t n, n_scores;
    size_t room, most; /* tokens all need side by side; the greediest one alone */
};

/* Some prompts begin alike, so that K/V are shared; some are one another's, so that all but the last row is. */
static inline void fill_prompt(int32_t *ids, size_t n, size_t V, unsigned i)
{
    const size_t common = i % 3 == 0 ? n : i % 3 == 1 ? n / 2 : 0;
    for (size_t k = 0; k < n; k++)
        ids[k] = (int32_t)(k < common ? draw(1000 + i / 6 % 2, k, V) : draw(i, k, V));
}

/* What changes the choice of tokens, and what is to be told of them. */
static inline void fill_settings(struct mix *x, unsigned i, size_t V)
{
    struct gptjt_generate_request *r = &x->generate[i];
    r->temperature = i % 8 == 5 ? 0.7 : 1;
    r->top_k = i % 5 == 0 ? 40 : 0;
    r->top_p = i % 7 == 1 ? 0.9 : 1;
    r->typical_p = i % 4 == 1 ? 0.8 : 1;
    r->repetition_penalty = i % 4 == 2 ? 1.3 : 1;
    r->presence_penalty = i % 5 == 3 ? 0.5 : 0;
    r->frequency_penalty = i % 5 >= 3 ? 0.75 : 0;
    x->bias[i][0] = (struct gptjt_bias){(int32_t)draw(52, i, V), 3};
    x->bias[i][1] = (struct gptjt_bias){(int32_t)draw(53, i, V), -100};
    r->logit_bias = x->bias[i];
    r->n_logit_bias = i % 7 == 4 ? 2 : 0;
    r->n_top = i % 3 == 1 ? 1 + (int)i : 0;
    r->n_scored = i % 5 == 2 ? r->n_prompt / 2 : i % 10 == 5 ? r->n_prompt - 1 : 0;
    r->seed = i / 2;
    x->score[i].n_top = i % 3 == 2 ? 3 : 0;
}

/* n short and long ones, of both masks, greedy and drawn, one sequence and several. P: the window. */
static inline void mix_requests(struct mix *x, size_t n, size_t V, size_t P)
{
    *x = (struct mix){.n = n};
    for (unsigned i = 0; i < n; i++) {
        struct gptjt_generate_request *r = &x->generate[i];
        struct gptjt_score_request *c = &x->score[i];
        const size_t longest = i % 8 == 7 ? P - 10 : P / 2;
        gptjt_generate_init(r);
        r->n_prompt = i % 6 == 3 ? x->generate[i - 3].n_prompt : 1 + draw(50, i, longest);
        fill_prompt(x->ids[i], r->n_prompt, V, i);
        r->prompt = x->ids[i];
        r->prompt_mask = i / 6 % 2 ? GPTJT_MASK_CAUSAL : GPTJT_MASK_PREFIX;
        r->max_new_tokens = i == 5 ? 0 : 1 + (int)draw(51, i, 9);
        r->do_sample = i % 2;
        r->num_return_sequences = i % 4 == 1 ? 3 : 1;
        *c = (struct gptjt_score_request){
            {r->prompt, r->n_prompt}, r->prompt_mask, x->spans[i], i == 9 ? 0 : i % 4 + 1, 0};
        fill_settings(x, i, V);
        for (size_t k = 0; k < c->n; k++) /* parts of another prompt; some of one token, which need no row */
            x->spans[i][k] = (struct gptjt_span){x->ids[(i + 1 + k) % n], 1 + draw(i, 60 + k, 9)};
        const size_t generating = gptjt_tokens_needed(r->n_prompt, (size_t)r->num_return_sequences, 9);
        const size_t scoring = gptjt_tokens_needed(r->n_prompt, c->n, 9);
        const size_t needed = generating > scoring ? generating : scoring;
        x->n_scores += c->n;
        x->room += needed;
        x->most = x->most > needed ? x->most : needed;
    }
    for (size_t i = 0; i < n; i++) /* continuations may have run past the end of a short prompt */
        for (size_t k = 0; k < 160; k++)
            x->ids[i][k] = k < x->generate[i].n_prompt ? x->ids[i][k] : (int32_t)draw(i + 200, k, V);
}

static inline void same_top(const struct gptjt_top *a, const struct gptjt_top *b, size_t n)
{
    assert_true(!a == !b);
    if (a) assert_memory_equal(a, b, n * sizeof *a);
}

static inline void same_generation(const struct gptjt_generation *a, const struct gptjt_generation *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->n_scored, b->n_scored);
    assert_int_equal(a->n_top, b->n_top);
    assert_memory_equal(a->prompt_logprobs, b->prompt_logprobs, a->n_scored * sizeof(float));
    same_top(a->prompt_top, b->prompt_top, a->n_scored * (size_t)a->n_top);
    for (int i = 0; i < a->n; i++) {
        const struct gptjt_completion *x = &a->completions[i], *y = &b->completions[i];
        assert_int_equal(x->n_tokens, y->n_tokens);
        assert_memory_equal(x->tokens, y->tokens, x->n_tokens * sizeof *x->tokens);
        assert_memory_equal(x->logprobs, y->logprobs, x->n_tokens * sizeof *x->logprobs);
        assert_int_equal(x->n_top, y->n_top);
        same_top(x->top, y->top, x->n_tokens * (size_t)x->n_top);
        assert_int_equal(x->finish, y->finish);
        assert_int_equal(x->text_len, y->text_len);
        if (x->text) assert_memory_equal(x->text, y->text, x->text_len + 1);
    }
}

static inline void same_scores(const struct gptjt_score *a, const struct gptjt_score *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].n, b[i].n);
        assert_memory_equal(a[i].logprobs, b[i].logprobs, a[i].n * sizeof(float));
        assert_int_equal(a[i].n_top, b[i].n_top);
        same_top(a[i].top, b[i].top, a[i].n * (size_t)a[i].n_top);
        assert_memory_equal(&a[i].total, &b[i].total, sizeof a[i].total);
        assert_int_equal(a[i].greedy, b[i].greedy);
    }
}

/* ---- What each request gives alone ---- */

struct truth {
    struct gptjt_generation generations[N];
    struct gptjt_score scores[N * MOST];
};

static inline void alone(struct gptjt_engine *e, const struct mix *x, struct truth *t)
{
    for (size_t i = 0, at = 0; i < x->n; at += x->score[i++].n) {
        const struct gptjt_score_request *c = &x->score[i];
        struct gptjt_session *s = open_session(e, x->most);
        check(gptjt_generate(s, &x->generate[i], &t->generations[i]));
        gptjt_session_close(s);
        s = open_session(e, x->most);
        check(gptjt_score_many(s, c, 1, t->scores + at));
        gptjt_session_close(s);
    }
}

static inline void free_truth(struct truth *t, const struct mix *x)
{
    for (size_t i = 0; i < x->n; i++)
        gptjt_generation_free(&t->generations[i]);
    gptjt_scores_free(t->scores, x->n_scores);
}

/* A progress that never goes back, and stops at a call of it. */
struct meter {
    size_t last, total, calls, stop_at; /* stop_at 0: never */
};

static inline bool advance(void *user, size_t done, size_t total)
{
    struct meter *m = user;
    assert_true(done >= m->last && done <= total);
    assert_true(m->total == 0 || m->total == total);
    m->last = done;
    m->total = total;
    return ++m->calls != m->stop_at;
}

/* All together on s, which may remember a prompt. */
static inline void compare_on(struct gptjt_session *s, const struct mix *x, const struct truth *t)
{
    struct truth got;
    check(gptjt_generate_many(s, x->generate, x->n, got.generations));
    check(gptjt_score_many(s, x->score, x->n, got.scores));
    for (size_t i = 0; i < x->n; i++)
        same_generation(&got.generations[i], &t->generations[i]);
    same_scores(got.scores, t->scores, x->n_scores);
    free_truth(&got, x);
}

#endif
