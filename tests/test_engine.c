// SPDX-License-Identifier: Apache-2.0
/* The engine through its public API: against float64 truth and transformers' own continuations, and by laws that must
 * hold for any model. The goldens are described in tests/data/goldens/README.md. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"

#include "base/json.h"
#include "formats/source.h"
/* fp32 sums in any sensible order come within 1e-5 of these logits (as transformers does); 3e-5 is a bug. */
static const double LOGIT_LIMIT = 3e-5;

struct table {
    float *at;
    size_t V;
};

static bool keep_row(void *user, size_t position, const float *logits)
{
    struct table *t = user;
    memcpy(t->at + position * t->V, logits, t->V * sizeof *logits);
    return true;
}

/* Logits of a whole row; owned. */
static float *logits_of(struct gptjt_engine *e, const int32_t *ids, size_t n, size_t prefix)
{
    struct gptjt_info info;
    gptjt_engine_info(e, &info);
    struct table t = {malloc(n * (size_t)info.vocab_size * sizeof(float)), (size_t)info.vocab_size};
    struct gptjt_session *s = open_session(e, 0);
    check(gptjt_logits(s, (struct gptjt_span){ids, n}, prefix, keep_row, &t));
    gptjt_session_close(s);
    return t.at;
}

static double log_softmax(const float *logits, int V, int32_t id)
{
    double sum = 0;
    for (int v = 0; v < V; v++)
        sum += exp((double)logits[v]);
    return (double)logits[id] - log(sum);
}

/* ---- Goldens ---- */

static const struct tensor *golden(struct source *g, const char *name)
{
    const struct tensor *t = source_find(g, name);
    if (!t) fail_msg("no golden %s", name);
    return t;
}

static size_t golden_ids(struct source *g, const char *name, int32_t *ids)
{
    const struct tensor *t = golden(g, name);
    const size_t n = (size_t)tensor_elements(t);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)tensor_value(t, (int64_t)i);
    return n;
}

static double worst(const struct tensor *want, const float *got)
{
    double w = 0;
    for (int64_t i = 0; i < tensor_elements(want); i++)
        w = fmax(w, fabs(tensor_value(want, i) - (double)got[i]));
    return w;
}

static void compare(struct gptjt_engine *e, struct source *g, const int32_t *ids, size_t n, size_t prefix,
                    const char *name)
{
    float *z = logits_of(e, ids, n, prefix);
    const double w = worst(golden(g, name), z);
    free(z);
    if (!(w < LOGIT_LIMIT)) fail_msg("%s: worst logit error %.2e", name, w);
}

static void compare_all(const char *model, const char *goldens, const char *cpu)
{
    struct source *g;
    assert_int_equal(source_open_file(&g, goldens), OK);
    struct gptjt_engine *e = open_in_fp32(model, 2, cpu);
    int32_t ids[256];
    for (int c = 0; c < 5; c++) {
        char name[64];
        snprintf(name, sizeof name, "case%d.ids", c);
        const size_t n = golden_ids(g, name, ids);
        snprintf(name, sizeof name, "case%d.causal.logits", c);
        compare(e, g, ids, n, 0, name);
        snprintf(name, sizeof name, "case%d.prefix.logits", c);
        compare(e, g, ids, n, n, name);
    }
    const size_t n = golden_ids(g, "score.ids", ids);
    for (size_t prefix = 1; prefix < n; prefix = prefix == 1 ? 13 : prefix == 13 ? 39 : n) {
        char name[64];
        snprintf(name, sizeof name, "score.prefix%zu.logits", prefix);
        compare(e, g, ids, n, prefix, name);
    }
    gptjt_engine_close(e);
    source_close(g);
}

static void logits_are_within_tolerance_of_float64(void **state)
{
    (void)state;
    static const char *const models[][2] = {
        {MICRO_A, GOLDENS "micro-a/logits.safetensors"},
        {GOLDENS "micro-b/bin-fp16-prefix", GOLDENS "micro-b/logits.safetensors"},
        {GOLDENS "micro-c/bin-fp16-prefix", GOLDENS "micro-c/logits.safetensors"},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        compare_all(models[i][0], models[i][1], "ref");
        compare_all(models[i][0], models[i][1], "auto");
    }
}

static void bf16_weights_are_within_tolerance_of_float64(void **state)
{
    (void)state;
    struct source *g;
    int32_t ids[256];
    assert_int_equal(source_open_file(&g, GOLDENS "micro-a/logits_bf16.safetensors"), OK);
    struct gptjt_engine *e = open_in_fp32(GOLDENS "micro-a/safetensors-bf16", 2, NULL);
    const size_t n = golden_ids(g, "ids", ids);
    compare(e, g, ids, n, 0, "causal.logits");
    gptjt_engine_close(e);
    source_close(g);
}

/* The same fp16-exact weights in every layout, and converted to fp32 at load: the same bits. */
static void every_layout_gives_the_same_bits(void **state)
{
    (void)state;
    static const char *const layouts[] = {"bin-fp16-prefix",         "bin-fp16-causal",  "bin-fp16-legacy",
                                          "bin-fp32-prefix-sharded", "safetensors-fp32", "safetensors-fp16-prefix",
                                          "safetensors-fp16-sharded"};
    int32_t ids[90];
    float *first = NULL;
    for (int i = 0; i < 90; i++)
        ids[i] = i * 37 % 499;
    for (size_t l = 0; l <= sizeof layouts / sizeof *layouts; l++) {
        const bool widened = l == sizeof layouts / sizeof *layouts;
        char dir[128];
        struct gptjt_engine_options o;
        struct gptjt_engine *e;
        gptjt_engine_options_init(&o);
        o.compute = GPTJT_COMPUTE_FP32;
        if (widened) o.weights = GPTJT_WEIGHTS_FP32;
        snprintf(dir, sizeof dir, GOLDENS "micro-a/%s", layouts[widened ? 0 : l]);
        check(gptjt_engine_open(&e, dir, &o));
        float *z = logits_of(e, ids, 90, 40);
        if (first) assert_memory_equal(z, first, 90 * 500 * sizeof *z);
        if (!first)
            first = z;
        else
            free(z);
        gptjt_engine_close(e);
    }
    free(first);
}

static void generate(struct gptjt_session *s, const struct gptjt_generate_request *r, struct gptjt_generation *out)
{
    check(gptjt_generate(s, r, out));
}

static size_t json_ids(const json_t *array, int32_t *ids)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return json_array_size(array);
}

static void greedy_is_transformers(const char *model, const char *goldens)
{
    json_t *all;
    assert_int_equal(json_read_file(&all, goldens, 1 << 20), OK);
    struct gptjt_engine *e = open_in_fp32(model, 2, NULL);
    struct gptjt_session *s = open_session(e, 0);
    struct gptjt_info info;
    gptjt_engine_info(e, &info);
    assert_true(json_array_size(all) > 0);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *c = json_array_get(all, i);
        const json_t *prompt = json_object_get(c, json_object_get(c, "ids") ? "ids" : "prompt");
        int32_t ids[512], want[64];
        struct gptjt_generate_request r;
        struct gptjt_generation g;
        gptjt_generate_init(&r);
        r.prompt = ids;
        r.n_prompt = json_ids(prompt, ids);
        r.max_new_tokens = (int)json_ids(json_object_get(c, "continuation"), want);
        const bool prefix = !strcmp(json_string_value(json_object_get(c, "mask")), "prefix");
        r.prompt_mask = prefix ? GPTJT_MASK_PREFIX : GPTJT_MASK_CAUSAL;
        generate(s, &r, &g);
        const struct gptjt_completion *got = &g.completions[0];
        for (size_t k = 0; k < got->n_tokens; k++)
            if (got->tokens[k] != want[k])
                fail_msg("%s case %zu token %zu: %d, not %d", goldens, i, k, got->tokens[k], want[k]);
        assert_true(got->n_tokens == (size_t)r.max_new_tokens || got->tokens[got->n_tokens - 1] == info.eos_token_id);
        const char *text = json_string_value(json_object_get(c, "text"));
        if (text) assert_string_equal(got->text, text);
        gptjt_generation_free(&g);
    }
    gptjt_session_close(s);
    gptjt_engine_close(e);
    json_decref(all);
}

static void greedy_continuations_are_those_of_transformers(void **state)
{
    (void)state;
    greedy_is_transformers(MICRO_A, GOLDENS "micro-a/greedy.json");
    greedy_is_transformers(GOLDENS "micro-b/bin-fp16-prefix", GOLDENS "micro-b/greedy.json");
    greedy_is_transformers(GOLDENS "micro-c/bin-fp16-prefix", GOLDENS "micro-c/greedy.json");
    greedy_is_transformers(TINY, TINY "/golden_answers.json");
}

/* ---- Laws ---- */

static void fill(int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        ids[i] = (i * i * 31 + i * 7 + 3) % 499;
}

/* Every decoding step, with its cached K/V, gives the bits of one forward pass over the whole row. */
static void cached_decode_is_the_full_forward(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_in_fp32(MICRO_A, 2, NULL);
    for (int mask = GPTJT_MASK_PREFIX; mask <= GPTJT_MASK_CAUSAL; mask++) {
        for (int n = 1; n <= 97; n += 32) {
            int32_t ids[128];
            struct gptjt_generate_request r;
            struct gptjt_generation g;
            fill(ids, n);
            gptjt_generate_init(&r);
            r.prompt = ids;
            r.n_prompt = (size_t)n;
            r.prompt_mask = (enum gptjt_mask)mask;
            r.max_new_tokens = 31;
            struct gptjt_session *s = open_session(e, 0);
            generate(s, &r, &g);
            const struct gptjt_completion *c = &g.completions[0];
            memcpy(ids + n, c->tokens, c->n_tokens * sizeof *ids);
            float *z = logits_of(e, ids, (size_t)n + c->n_tokens, mask == GPTJT_MASK_PREFIX ? (size_t)n : 0);
            struct gptjt_score score;
            check(gptjt_score(s, (struct gptjt_span){ids, (size_t)n}, r.prompt_mask,
                              &(struct gptjt_span){c->tokens, c->n_tokens}, 1, &score));
            assert_true(score.greedy);
            for (size_t k = 0; k < c->n_tokens; k++) {
                const float *row = z + (size_t)(n - 1 + (int)k) * 500;
                assert_true(c->logprobs[k] == score.logprobs[k]); /* decoding one by one, and all rows at once */
                assert_true(fabs((double)c->logprobs[k] - log_softmax(row, 500, c->tokens[k])) < 1e-5);
            }
            gptjt_scores_free(&score, 1);
            free(z);
            gptjt_generation_free(&g);
            gptjt_session_close(s);
        }
    }
    gptjt_engine_close(e);
}

static void label_scores_sum_to_the_log_probability_of_a_full_forward(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_in_fp32(MICRO_A, 2, NULL);
    int32_t row[64];
    fill(row, 64);
    const size_t n_prompt = 45, n = 19;
    for (int mask = GPTJT_MASK_PREFIX; mask <= GPTJT_MASK_CAUSAL; mask++) {
        struct gptjt_session *s = open_session(e, 0);
        struct gptjt_score score;
        check(gptjt_score(s, (struct gptjt_span){row, n_prompt}, (enum gptjt_mask)mask,
                          &(struct gptjt_span){row + n_prompt, n}, 1, &score));
        float *z = logits_of(e, row, 64, mask == GPTJT_MASK_PREFIX ? n_prompt : 0);
        double total = 0;
        for (size_t i = 0; i < n; i++)
            total += log_softmax(z + (n_prompt - 1 + i) * 500, 500, row[n_prompt + i]);
        assert_true(fabs(total - score.total) < 1e-5);
        free(z);
        gptjt_scores_free(&score, 1);
        gptjt_session_close(s);
    }
    gptjt_engine_close(e);
}

/* Twenty continuations of different lengths, together and each alone: the same bits. */
static void a_batch_of_labels_is_each_label_alone(void **state)
{
    (void)state;
    enum { N = 20 };
    struct gptjt_engine *e = open_in_fp32(MICRO_A, 2, NULL);
    int32_t prompt[50], label[N][24];
    struct gptjt_span spans[N];
    struct gptjt_score together[N], alone;
    fill(prompt, 50);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 24; k++)
            label[i][k] = (i * 101 + k * 13) % 499;
        spans[i] = (struct gptjt_span){label[i], (size_t)(1 + i)};
    }
    struct gptjt_session *s = open_session(e, gptjt_tokens_needed(50, N, 24)), *small = open_session(e, 0);
    const struct gptjt_span p = {prompt, 50};
    check(gptjt_score(s, p, GPTJT_MASK_PREFIX, spans, N, together));
    for (int i = 0; i < N; i++) {
        check(gptjt_score(small, p, GPTJT_MASK_PREFIX, &spans[i], 1, &alone));
        assert_memory_equal(alone.logprobs, together[i].logprobs, spans[i].n * sizeof(float));
        assert_true(alone.total == together[i].total);
        gptjt_scores_free(&alone, 1);
    }
    gptjt_scores_free(together, N);
    gptjt_session_close(small);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

/* Sampled sequences step together but each is what its own score says, and the first is what it would be alone. */
static void sequences_sampled_together_do_not_see_each_other(void **state)
{
    (void)state;
    enum { N = 19 }; /* more than one block of logits rows */
    struct gptjt_engine *e = open_in_fp32(MICRO_A, 2, NULL);
    int32_t prompt[40];
    fill(prompt, 40);
    struct gptjt_generate_request r;
    struct gptjt_generation many, one;
    gptjt_generate_init(&r);
    r.prompt = prompt;
    r.n_prompt = 40;
    r.do_sample = true;
    r.seed = 7;
    r.max_new_tokens = 15;
    r.num_return_sequences = N;
    struct gptjt_session *s = open_session(e, gptjt_tokens_needed(40, N, 15));
    generate(s, &r, &many);
    int distinct = 0;
    for (int i = 0; i < N; i++) {
        const struct gptjt_completion *c = &many.completions[i];
        struct gptjt_score score;
        check(gptjt_score(s, (struct gptjt_span){prompt, 40}, GPTJT_MASK_AUTO,
                          &(struct gptjt_span){c->tokens, c->n_tokens}, 1, &score));
        assert_memory_equal(score.logprobs, c->logprobs, c->n_tokens * sizeof(float));
        gptjt_scores_free(&score, 1);
        distinct += memcmp(c->tokens, many.completions[0].tokens, c->n_tokens * sizeof(int32_t)) != 0;
    }
    assert_true(distinct > N / 2);
    r.num_return_sequences = 1;
    generate(s, &r, &one);
    assert_memory_equal(one.completions[0].tokens, many.completions[0].tokens,
                        one.completions[0].n_tokens * sizeof(int32_t));
    gptjt_generation_free(&one);
    gptjt_generation_free(&many);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

static void prefix_on_one_token_is_causal(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_in_fp32(MICRO_A, 2, NULL);
    int32_t ids[30];
    fill(ids, 30);
    float *prefix = logits_of(e, ids, 30, 1), *causal = logits_of(e, ids, 30, 0), *wide = logits_of(e, ids, 30, 2);
    assert_memory_equal(prefix, causal, 30 * 500 * sizeof *prefix);
    assert_true(memcmp(wide, causal, 500 * sizeof *wide) != 0); /* row 0 does see row 1 */
    free(prefix);
    free(causal);
    free(wide);
    gptjt_engine_close(e);
}

static void the_number_of_threads_changes_no_bit(void **state)
{
    (void)state;
    int32_t ids[128];
    fill(ids, 128);
    float *first = NULL;
    for (int threads = 1; threads <= 5; threads += 2) {
        struct gptjt_engine *e = open_in_fp32(MICRO_A, threads, NULL);
        float *z = logits_of(e, ids, 128, 77);
        if (first) assert_memory_equal(z, first, 128 * 500 * sizeof *z);
        if (!first)
            first = z;
        else
            free(z);
        gptjt_engine_close(e);
    }
    free(first);
}

/* ---- Sessions ---- */

static void run_prompt(struct gptjt_session *s, const int32_t *ids, size_t n, enum gptjt_mask mask, size_t reused)
{
    struct gptjt_generate_request r;
    struct gptjt_generation warm, cold;
    gptjt_generate_init(&r);
    r.prompt = ids;
    r.n_prompt = n;
    r.prompt_mask = mask;
    r.max_new_tokens = 10;
    generate(s, &r, &warm);
    assert_int_equal(warm.n_reused, reused);
    struct gptjt_engine *e = open_in_fp32(MICRO_A, 1, NULL);
    struct gptjt_session *fresh = open_session(e, 0);
    generate(fresh, &r, &cold);
    assert_int_equal(cold.n_reused, 0);
    assert_memory_equal(warm.completions[0].logprobs, cold.completions[0].logprobs, 10 * sizeof(float));
    gptjt_generation_free(&warm);
    gptjt_generation_free(&cold);
    gptjt_session_close(fresh);
    gptjt_engine_close(e);
}

static void a_session_reuses_only_what_is_the_same(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_in_fp32(MICRO_A, 2, NULL);
    struct gptjt_session *s = open_session(e, 0);
    int32_t ids[80];
    fill(ids, 80);
    run_prompt(s, ids, 50, GPTJT_MASK_CAUSAL, 0);
    run_prompt(s, ids, 80, GPTJT_MASK_CAUSAL, 50); /* longer: incremental */
    run_prompt(s, ids, 40, GPTJT_MASK_CAUSAL, 39); /* shorter: the last row anew */
    ids[20]++;
    run_prompt(s, ids, 60, GPTJT_MASK_CAUSAL, 20); /* changed at 20 */
    run_prompt(s, ids, 60, GPTJT_MASK_PREFIX, 0);  /* another mask */
    run_prompt(s, ids, 60, GPTJT_MASK_PREFIX, 59); /* the same again */
    run_prompt(s, ids, 61, GPTJT_MASK_PREFIX, 0);  /* a longer prompt is another prompt everywhere */
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

enum { CALLS = 40 };

struct caller {
    struct gptjt_engine *engine;
    size_t n_prompt;
    float logprobs[20], expected[20];
    int n_wrong;
};

static void generate_once(struct caller *c)
{
    int32_t ids[64];
    fill(ids, (int)c->n_prompt);
    struct gptjt_generate_request r;
    struct gptjt_generation g;
    struct gptjt_session *s;
    gptjt_generate_init(&r);
    r.prompt = ids;
    r.n_prompt = c->n_prompt;
    memset(c->logprobs, 0, sizeof c->logprobs);
    if (gptjt_session_create(&s, c->engine, 0) != GPTJT_OK) return;
    if (gptjt_generate(s, &r, &g) == GPTJT_OK) {
        memcpy(c->logprobs, g.completions[0].logprobs, g.completions[0].n_tokens * sizeof(float));
        gptjt_generation_free(&g);
    }
    gptjt_session_close(s);
}

static void *generate_in_a_thread(void *user)
{
    struct caller *c = user;
    for (int i = 0; i < CALLS; i++) {
        generate_once(c);
        c->n_wrong += memcmp(c->logprobs, c->expected, sizeof c->logprobs) != 0;
    }
    return NULL;
}

/* Different prompts, so that a number of another session's shows. */
static void share_an_engine(enum gptjt_compute compute, int n_threads)
{
    enum { N = 4 };
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.compute = compute;
    o.threads = n_threads;
    struct gptjt_engine *e = open_engine(MICRO_A, &o);
    struct caller callers[N];
    pthread_t threads[N];
    memset(callers, 0, sizeof callers);
    for (int i = 0; i < N; i++) {
        callers[i].engine = e;
        callers[i].n_prompt = (size_t)(7 + 13 * i);
        generate_once(&callers[i]);
        assert_true(callers[i].logprobs[0] < 0);
        memcpy(callers[i].expected, callers[i].logprobs, sizeof callers[i].expected);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, generate_in_a_thread, &callers[i]), 0);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < N; i++)
        assert_int_equal(callers[i].n_wrong, 0);
    gptjt_engine_close(e);
}

static void sessions_on_several_threads_share_an_engine(void **state)
{
    (void)state;
    share_an_engine(GPTJT_COMPUTE_FP32, 2);
    share_an_engine(GPTJT_COMPUTE_BF16, 2); /* whose K/V is fp16, made of fp32 in scratch memory */
    share_an_engine(GPTJT_COMPUTE_BF16, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_within_tolerance_of_float64),
        cmocka_unit_test(bf16_weights_are_within_tolerance_of_float64),
        cmocka_unit_test(every_layout_gives_the_same_bits),
        cmocka_unit_test(greedy_continuations_are_those_of_transformers),
        cmocka_unit_test(cached_decode_is_the_full_forward),
        cmocka_unit_test(label_scores_sum_to_the_log_probability_of_a_full_forward),
        cmocka_unit_test(a_batch_of_labels_is_each_label_alone),
        cmocka_unit_test(sequences_sampled_together_do_not_see_each_other),
        cmocka_unit_test(prefix_on_one_token_is_causal),
        cmocka_unit_test(the_number_of_threads_changes_no_bit),
        cmocka_unit_test(a_session_reuses_only_what_is_the_same),
        cmocka_unit_test(sessions_on_several_threads_share_an_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
