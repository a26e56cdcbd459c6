// SPDX-License-Identifier: Apache-2.0
/* What a request asks for beyond text: how tokens are chosen, log-probabilities, and what else was likely, of its new
 * tokens, of its prompt's end and of scored continuations. All of it is computed again here, plainly and in double,
 * from the logits that one forward pass over all tokens gives (gptjt_logits()). */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mixed_requests.h"

enum { V = 500, P = 128, NEW = 12 };

/* ---- The reference ---- */

struct pair {
    double key;
    int id;
};

/* Ascending; of equals the lower id first. */
static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->id - y->id;
}

static void softmax(double p[V], const double score[V])
{
    double largest = -INFINITY, sum = 0;
    for (int v = 0; v < V; v++)
        largest = fmax(largest, score[v]);
    for (int v = 0; v < V; v++)
        sum += p[v] = exp(score[v] - largest);
    for (int v = 0; v < V; v++)
        p[v] /= sum;
}

static void sort_by(struct pair out[V], const double key[V], double sign)
{
    for (int v = 0; v < V; v++)
        out[v] = (struct pair){sign * key[v], v};
    qsort(out, V, sizeof *out, compare_pairs);
}

/* Bias and penalties; text: the new tokens so far. */
static void process(double score[V], const struct gptjt_generate_request *r, const int32_t *text, size_t n)
{
    int count[V] = {0};
    bool seen[V] = {false};
    for (size_t i = 0; i < r->n_prompt; i++)
        seen[r->prompt[i]] = true;
    for (size_t i = 0; i < n; i++) {
        seen[text[i]] = true;
        count[text[i]]++;
    }
    for (int i = 0; i < r->n_logit_bias; i++)
        score[r->logit_bias[i].id] += (double)r->logit_bias[i].bias;
    for (int v = 0; v < V; v++) {
        if (seen[v]) score[v] = score[v] > 0 ? score[v] / r->repetition_penalty : score[v] * r->repetition_penalty;
        if (count[v]) score[v] -= count[v] * r->frequency_penalty + r->presence_penalty;
    }
}

/* What is not among those kept becomes impossible. */
static void keep_top_k(double score[V], int k)
{
    struct pair s[V];
    if (k == 0 || k >= V) return;
    sort_by(s, score, -1);
    for (int v = 0; v < V; v++)
        if (score[v] < -s[k - 1].key) score[v] = -INFINITY;
}

static void keep_top_p(double score[V], double top_p)
{
    struct pair s[V];
    double p[V], sum = 0;
    if (top_p == 1) return;
    softmax(p, score);
    sort_by(s, score, 1);
    for (int i = 0; i < V - 1; i++) {
        sum += p[s[i].id];
        if (sum <= 1 - top_p) score[s[i].id] = -INFINITY;
    }
}

/* TypicalLogitsWarper of transformers, line by line. */
static void keep_typical(double score[V], double mass)
{
    struct pair s[V];
    double p[V], shifted[V], entropy = 0, sum = 0;
    int last = 0;
    if (mass == 1) return;
    softmax(p, score);
    for (int v = 0; v < V; v++)
        if (p[v] > 0) entropy -= p[v] * log(p[v]);
    for (int v = 0; v < V; v++)
        shifted[v] = p[v] > 0 ? fabs(-log(p[v]) - entropy) : INFINITY;
    sort_by(s, shifted, 1);
    for (int i = 0; i < V; i++) {
        sum += p[s[i].id];
        last += sum < mass;
    }
    if (last == V) last = V - 1;
    for (int v = 0; v < V; v++)
        if (shifted[v] > s[last].key) score[v] = -INFINITY;
}

/* The token at u of what is left, most likely first. */
static int draw_token(double score[V], const struct gptjt_generate_request *r, double u)
{
    struct pair s[V];
    double p[V], sum = 0;
    for (int v = 0; v < V; v++)
        score[v] = (double)(float)(score[v] / r->temperature); /* so that equals are the engine's */
    keep_top_k(score, r->top_k);
    keep_top_p(score, r->top_p);
    keep_typical(score, r->typical_p);
    softmax(p, score);
    sort_by(s, score, -1);
    int i = 0;
    for (; i < V - 1 && p[s[i + 1].id] > 0; i++) {
        sum += p[s[i].id];
        if (u < sum) break;
    }
    return s[i].id;
}

static int choose(const struct gptjt_generate_request *r, const float *logits, const int32_t *text, size_t n, int seq)
{
    double score[V];
    struct pair s[V];
    for (int v = 0; v < V; v++)
        score[v] = (double)logits[v];
    process(score, r, text, n);
    if (r->do_sample && r->temperature > 0) return draw_token(score, r, rng_uniform(r->seed, (uint64_t)seq, n));
    sort_by(s, score, -1);
    return s[0].id;
}

/* exp in fp32, two units in the last place each, summed in double; then rounding. */
static void check_logprob(float got, const float *logits, int id)
{
    double sum = 0, largest = -INFINITY;
    for (int v = 0; v < V; v++)
        largest = fmax(largest, (double)logits[v]);
    for (int v = 0; v < V; v++)
        sum += exp((double)logits[v] - largest);
    const double want = (double)logits[id] - largest - log(sum);
    if (!(fabs((double)got - want) <= ldexp(1, -22) + fabs(want) * ldexp(1, -24)))
        fail_msg("token %d: %.9g, by double %.9g", id, (double)got, want);
}

static void check_top(const struct gptjt_top *top, int n, const float *logits)
{
    double score[V];
    struct pair s[V];
    assert_true(!top == !n);
    for (int v = 0; v < V; v++)
        score[v] = (double)logits[v];
    sort_by(s, score, -1);
    for (int i = 0; i < n; i++) {
        assert_int_equal(top[i].id, s[i].id);
        check_logprob(top[i].logprob, logits, top[i].id);
    }
}

/* ---- Logits of whole rows ---- */

struct table {
    float logits[P][V];
};

static bool keep_row(void *user, size_t position, const float *logits)
{
    memcpy(((struct table *)user)->logits[position], logits, V * sizeof *logits);
    return true;
}

/* Of a prompt, whose first n_prefix tokens see each other, and what follows it. */
static void fill_table(struct table *t, struct gptjt_session *s, struct gptjt_span prompt, size_t n_prefix,
                       const int32_t *next, size_t n)
{
    int32_t row[P];
    assert_true(prompt.n + n <= P);
    memcpy(row, prompt.ids, prompt.n * sizeof *row);
    memcpy(row + prompt.n, next, n * sizeof *row);
    check(gptjt_logits(s, (struct gptjt_span){row, prompt.n + n}, n_prefix, keep_row, t));
}

/* ---- Choosing ---- */

static const struct gptjt_bias biases[] = {{7, 4.5F}, {21, -100}, {7, 1.25F}, {300, 3}};

struct setting {
    bool do_sample;
    double temperature;
    int top_k;
    double top_p, typical_p, repetition_penalty, presence_penalty, frequency_penalty;
    int n_bias;
};

static const struct setting settings[] = {
    {false, 1, 0, 1, 1, 1, 0, 0, 4},         {false, 1, 0, 1, 1, 1, 2, 0, 0},
    {false, 1, 0, 1, 1, 1, 0, 0.75, 0},      {false, 1, 0, 1, 1, 1, -1, -0.5, 0},
    {false, 1, 0, 1, 1, 1.4, 1, 0.5, 3},     {true, 1, 0, 1, 0.3, 1, 0, 0, 0},
    {true, 1.5, 0, 1, 0.9, 1, 0, 0, 0},      {true, 0.7, 40, 1, 0.5, 1, 0, 0, 0},
    {true, 1, 0, 0.8, 0.6, 1, 0, 0, 0},      {true, 2, 60, 0.9, 0.7, 1.2, 0.5, 0.25, 4},
    {true, 1, 0, 1, 0.0001, 1, 0.5, 0, 1},   {true, 1, 0, 1, 0.9999999, 1, 0, 1, 2},
    {true, 0, 0, 1, 0.5, 1, 3, 0, 4},        {true, 1, 1, 1, 0.5, 1, 0, 0, 0},
    {true, 1e-3, 0, 0.5, 0.5, 1, 1.5, 0, 4},
};

static struct gptjt_generate_request request(const struct setting *how, const int32_t *ids, size_t n)
{
    struct gptjt_generate_request r;
    gptjt_generate_init(&r);
    r.prompt = ids;
    r.n_prompt = n;
    r.max_new_tokens = NEW;
    r.do_sample = how->do_sample;
    r.num_return_sequences = how->do_sample && how->temperature > 0 ? 3 : 1;
    r.temperature = how->temperature;
    r.top_k = how->top_k;
    r.top_p = how->top_p;
    r.typical_p = how->typical_p;
    r.repetition_penalty = how->repetition_penalty;
    r.presence_penalty = how->presence_penalty;
    r.frequency_penalty = how->frequency_penalty;
    r.logit_bias = biases;
    r.n_logit_bias = how->n_bias;
    r.seed = 5;
    return r;
}

/* Tokens of all sequences; returns how many are others than greedy decoding of the bare logits had taken. */
static int check_choices(struct gptjt_session *s, const struct gptjt_generate_request *r, struct table *t)
{
    struct gptjt_generation g;
    int others = 0;
    check(gptjt_generate(s, r, &g));
    for (int i = 0; i < g.n; i++) {
        const struct gptjt_completion *c = &g.completions[i];
        const size_t n_prefix = r->prompt_mask == GPTJT_MASK_PREFIX ? r->n_prompt : 0;
        assert_int_equal(c->n_top, r->n_top);
        fill_table(t, s, (struct gptjt_span){r->prompt, r->n_prompt}, n_prefix, c->tokens, c->n_tokens);
        for (size_t k = 0; k < c->n_tokens; k++) {
            const float *logits = t->logits[r->n_prompt - 1 + k];
            const int want = choose(r, logits, c->tokens, k, i);
            if (c->tokens[k] != want) fail_msg("sequence %d, token %zu: %d, not %d", i, k, (int)c->tokens[k], want);
            check_logprob(c->logprobs[k], logits, want);
            check_top(c->top ? c->top + k * (size_t)c->n_top : NULL, c->n_top, logits);
            for (int v = 0; v < V; v++)
                if (logits[v] > logits[want]) {
                    others++;
                    break;
                }
        }
    }
    gptjt_generation_free(&g);
    return others;
}

static struct gptjt_engine *open_micro(void)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.threads = 1;
    return open_engine(MICRO_A, &o);
}

static void tokens_are_chosen_as_documented(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, 1024);
    struct table *t = malloc(sizeof *t);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int others = 0;
        for (unsigned k = 0; k < 4; k++) {
            int32_t ids[40];
            const size_t n = 1 + 13 * (size_t)k;
            fill_prompt(ids, n, V - 1, 3 * k + 2);
            struct gptjt_generate_request r = request(&settings[i], ids, n);
            r.prompt_mask = k % 2 ? GPTJT_MASK_CAUSAL : GPTJT_MASK_PREFIX;
            r.n_top = k == 3 ? GPTJT_MOST_TOP : (int)k;
            others += check_choices(s, &r, t);
        }
        if (settings[i].top_k != 1 && others < 2) fail_msg("setting %zu changed %d choices", i, others);
    }
    free(t);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

/* ---- The prompt's end ---- */

struct heard {
    int n_prompts, n_tokens;
    size_t n_scored;
    float logprobs[P];
    struct gptjt_top top[P * GPTJT_MOST_TOP];
    int n_top;
    int stop_at; /* the n-th callback says no; 0: none */
};

static bool hear_prompt(void *user, size_t n_scored, const float *logprobs, const struct gptjt_top *top)
{
    struct heard *h = user;
    assert_int_equal(h->n_tokens, 0);
    h->n_prompts++;
    h->n_scored = n_scored;
    assert_true(!logprobs == !n_scored && !top == !(n_scored && h->n_top));
    if (logprobs) memcpy(h->logprobs, logprobs, n_scored * sizeof *logprobs);
    if (top) memcpy(h->top, top, n_scored * (size_t)h->n_top * sizeof *top);
    return h->stop_at != 1;
}

static bool hear_token(void *user, const struct gptjt_token *t)
{
    struct heard *h = user;
    assert_int_equal(h->n_prompts, 1);
    h->n_tokens++;
    assert_int_equal(t->n_top, h->n_top);
    assert_true(t->logprob <= 0);
    for (int i = 0; i < t->n_top; i++)
        if (t->top[i].id == t->id) assert_true(t->top[i].logprob == t->logprob);
    return h->stop_at != 1 + h->n_tokens;
}

static void check_prompt_end(struct gptjt_session *s, const struct gptjt_generate_request *r, struct table *t)
{
    struct gptjt_generation g;
    struct heard *h = calloc(1, sizeof *h);
    struct gptjt_generate_request heard = *r;
    h->n_top = r->n_top;
    heard.on_prompt = hear_prompt;
    heard.on_token = hear_token;
    heard.user = h;
    check(gptjt_generate(s, &heard, &g));
    const struct gptjt_completion *c = &g.completions[0];
    const size_t n = r->n_prompt - r->n_scored;
    assert_int_equal(g.n_scored, r->n_scored);
    assert_int_equal(c->n_tokens, r->max_new_tokens);
    assert_int_equal(h->n_prompts, r->max_new_tokens || r->n_scored);
    assert_int_equal(h->n_tokens, c->n_tokens);
    fill_table(t, s, (struct gptjt_span){r->prompt, r->n_prompt}, r->prompt_mask == GPTJT_MASK_PREFIX ? n : 0,
               c->tokens, c->n_tokens);
    for (size_t i = 0; i < r->n_scored; i++) {
        check_logprob(g.prompt_logprobs[i], t->logits[n - 1 + i], r->prompt[n + i]);
        check_top(g.prompt_top ? g.prompt_top + i * (size_t)r->n_top : NULL, r->n_top, t->logits[n - 1 + i]);
    }
    for (size_t k = 0; k < c->n_tokens; k++)
        assert_int_equal(c->tokens[k], choose(r, t->logits[r->n_prompt - 1 + k], c->tokens, k, 0));
    if (h->n_prompts) assert_int_equal(h->n_scored, g.n_scored);
    if (g.n_scored) assert_memory_equal(h->logprobs, g.prompt_logprobs, g.n_scored * sizeof(float));
    if (g.prompt_top) same_top(h->top, g.prompt_top, g.n_scored * (size_t)g.n_top);
    gptjt_generation_free(&g);
    free(h);
}

/* Any number of tokens, after a prompt of either mask, that the session has seen before or not. */
static void the_prompts_end_is_scored_as_a_continuation(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 32, 33, 64, 100};
    static const struct setting greedy = {false, 1, 0, 1, 1, 1, 0, 0, 0};
    static const struct gptjt_bias never_ends = {499, -1e6F};
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, 512), *other = open_session(e, 256);
    struct table *t = malloc(sizeof *t);
    int32_t ids[P];
    fill_prompt(ids, P, V - 1, 2);
    for (int way = 0; way < 4; way++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            for (size_t n_scored = 0; n_scored < lengths[i]; n_scored += 1 + lengths[i] / 5) {
                struct gptjt_generate_request r = request(&greedy, ids, lengths[i]);
                r.logit_bias = &never_ends;
                r.n_logit_bias = 1;
                r.prompt_mask = way % 2 ? GPTJT_MASK_CAUSAL : GPTJT_MASK_PREFIX;
                r.max_new_tokens = way / 2 ? 0 : 2;
                r.n_scored = n_scored;
                r.n_top = (int)(n_scored % 3);
                check_prompt_end(i % 2 ? s : other, &r, t);
            }
    free(t);
    gptjt_session_close(other);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

static void callbacks_stop_at_the_prompt_and_after(void **state)
{
    (void)state;
    static const int32_t ids[] = {4, 5, 6};
    static const struct setting greedy = {false, 1, 0, 1, 1, 1, 0, 0, 0};
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, 512);
    for (int n = 1; n < 4; n++) {
        struct heard *h = calloc(1, sizeof *h);
        struct gptjt_generate_request r = request(&greedy, ids, 3);
        struct gptjt_generation g;
        h->stop_at = n;
        h->n_top = 2;
        r.n_scored = 2;
        r.n_top = 2;
        r.on_prompt = hear_prompt;
        r.on_token = hear_token;
        r.user = h;
        assert_int_equal(gptjt_generate(s, &r, &g), GPTJT_E_CANCELLED);
        assert_int_equal(h->n_tokens, n - 1);
        free(h);
    }
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

/* ---- Continuations ---- */

static void what_else_was_likely_beside_scored_tokens(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, 2048);
    struct table *t = malloc(sizeof *t);
    struct gptjt_score scores[N * MOST];
    struct mix x;
    mix_requests(&x, N, V, P);
    for (size_t i = 0; i < N; i++) {
        struct gptjt_score_request *r = &x.score[i];
        r->n_top = (int)(i * 3 % (GPTJT_MOST_TOP + 1));
        check(gptjt_score_many(s, r, 1, scores));
        for (size_t k = 0; k < r->n; k++) {
            const struct gptjt_span *c = &r->continuations[k];
            assert_int_equal(scores[k].n_top, r->n_top);
            fill_table(t, s, r->prompt, r->prompt_mask == GPTJT_MASK_PREFIX ? r->prompt.n : 0, c->ids, c->n);
            for (size_t j = 0; j < c->n; j++) {
                check_logprob(scores[k].logprobs[j], t->logits[r->prompt.n - 1 + j], c->ids[j]);
                check_top(scores[k].top ? scores[k].top + j * (size_t)r->n_top : NULL, r->n_top,
                          t->logits[r->prompt.n - 1 + j]);
            }
        }
        gptjt_scores_free(scores, r->n);
    }
    free(t);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

/* ---- Refusals ---- */

static void settings_outside_their_range_are_refused(void **state)
{
    (void)state;
    static const int32_t ids[] = {4, 5, 6};
    static const struct gptjt_bias bad[] = {{500, 1}, {-1, 1}, {1, NAN}, {1, INFINITY}};
    static const struct setting greedy = {false, 1, 0, 1, 1, 1, 0, 0, 0};
    static const char *const says[] = {"typical_p is 0",
                                       "typical_p is 1.5",
                                       "presence_penalty is nan",
                                       "frequency_penalty is 1e+07",
                                       "n_top is 21",
                                       "n_top is -1",
                                       "n_scored is 3",
                                       "n_logit_bias is -1",
                                       "logit_bias: token 0 is 500",
                                       "logit_bias: token 0 is -1",
                                       "logit_bias of token 1",
                                       "logit_bias of token 1"};
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, 512);
    for (int i = 0; i < 12; i++) {
        struct gptjt_generate_request r = request(&greedy, ids, 3);
        struct gptjt_generation g;
        switch (i) {
        case 0: r.typical_p = 0; break;
        case 1: r.typical_p = 1.5; break;
        case 2: r.presence_penalty = NAN; break;
        case 3: r.frequency_penalty = 1e7; break;
        case 4: r.n_top = 21; break;
        case 5: r.n_top = -1; break;
        case 6: r.n_scored = 3; break;
        case 7: r.n_logit_bias = -1; break;
        default: r.logit_bias = &bad[i - 8]; r.n_logit_bias = 1;
        }
        assert_int_equal(gptjt_generate(s, &r, &g), GPTJT_E_ARG);
        if (!strstr(gptjt_error(), says[i])) fail_msg("case %d: \"%s\" lacks \"%s\"", i, gptjt_error(), says[i]);
    }
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_chosen_as_documented),
        cmocka_unit_test(the_prompts_end_is_scored_as_a_continuation),
        cmocka_unit_test(callbacks_stop_at_the_prompt_and_after),
        cmocka_unit_test(what_else_was_likely_beside_scored_tokens),
        cmocka_unit_test(settings_outside_their_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
