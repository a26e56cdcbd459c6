// SPDX-License-Identifier: Apache-2.0
/* Sampling against transformers' logits processors (tests/data/goldens/sampling.jsonl), and stop strings. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/json.h"
#include "base/rng.h"
#include "engine/sampling.h"
#include "engine/stop.h"

enum { MAX_V = 512 };

static struct kernels kernels; /* each level in turn: see main() */

static int read_numbers(const json_t *array, double *out)
{
    size_t i;
    json_t *v;
    json_array_foreach (array, i, v)
        out[i] = json_number_value(v);
    return (int)json_array_size(array);
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* Probabilities of all V tokens by our functions. */
static void distribution(double *p, const json_t *c)
{
    double logits[MAX_V], seen[64];
    float score[MAX_V];
    int32_t ids[64];
    int32_t counts[MAX_V];
    struct candidate candidates[2 * MAX_V];
    double probability[MAX_V];
    int n, V = read_numbers(json_object_get(c, "logits"), logits),
           n_seen = read_numbers(json_object_get(c, "seen"), seen);
    for (int v = 0; v < V; v++)
        score[v] = (float)logits[v];
    for (int i = 0; i < n_seen; i++)
        ids[i] = (int32_t)seen[i];
    const struct sampling how = {number(c, "temperature"), (int)number(c, "top_k"), number(c, "top_p"), 1,
                                 number(c, "repetition_penalty")};
    sampling_penalise(score, V, ids, (size_t)n_seen, how.repetition_penalty, counts);
    sampling_distribution(&kernels, candidates, probability, &n, score, V, &how);
    for (int v = 0; v < V; v++)
        p[v] = 0;
    for (int i = 0; i < n; i++)
        p[candidates[i].id] = probability[i];
}

/* The golden probabilities are fp32 softmaxes: 1e-6 is a few of their last bits. Kept sets must be the same. */
static void distributions_are_those_of_transformers(void **state)
{
    (void)state;
    FILE *f = fopen("tests/data/goldens/sampling.jsonl", "r");
    assert_non_null(f);
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int cases = 0;
    while ((len = getline(&line, &cap, f)) > 0) {
        json_t *c;
        assert_int_equal(json_read_text(&c, line, (size_t)len, "sampling.jsonl"), OK);
        double want[MAX_V], got[MAX_V];
        const int V = read_numbers(json_object_get(c, "prob"), want);
        distribution(got, c);
        for (int v = 0; v < V; v++) {
            if ((got[v] > 0) != (want[v] > 0) || fabs(got[v] - want[v]) > 1e-6)
                fail_msg("case %d token %d: %.9g, transformers has %.9g", cases, v, got[v], want[v]);
        }
        json_decref(c);
        cases++;
    }
    free(line);
    fclose(f);
    assert_int_equal(cases, 60);
}

/* The k-th largest is found by another way than sorting everything: compare with sorting everything. */
static void top_k_keeps_the_k_largest(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        float score[MAX_V];
        struct candidate c[2 * MAX_V];
        double p[MAX_V];
        for (int v = 0; v < MAX_V; v++)
            score[v] = (float)rng_uniform(11, (uint64_t)round, (uint64_t)v);
        const int k = 1 + round * 10;
        int n;
        sampling_distribution(&kernels, c, p, &n, score, MAX_V, &(struct sampling){1, k, 1, 1, 1});
        assert_int_equal(n, k);
        double sum = 0;
        for (int i = 0; i < n; i++) {
            int larger = 0;
            for (int v = 0; v < MAX_V; v++)
                larger += score[v] > score[c[i].id];
            assert_int_equal(larger, i);
            sum += p[i];
        }
        assert_true(fabs(sum - 1) < 1e-12);
    }
}

/* Large, small, negative and denormal scores, and each of them twice; both zeros are equal. */
static void candidates_come_by_score_and_equals_by_id(void **state)
{
    (void)state;
    static const float some[] = {1, -1, 0, -0.0F, 3e38F, -3e38F, 1e-40F, -1e-40F, 1.0000001F, 2, 255, -256.5F};
    enum { N = 2 * COUNT_OF(some) };
    float logits[N];
    struct candidate c[2 * N];
    double p[N];
    int n;
    for (size_t i = 0; i < N; i++)
        logits[i] = some[i * 7 % COUNT_OF(some)];
    for (int k = 0; k <= N; k++) {
        sampling_distribution(&kernels, c, p, &n, logits, N, &(struct sampling){1, k, 1, 1, 1});
        assert_true(n >= (k ? k : N));
        for (int i = 0; i < n; i++) {
            assert_true(c[i].score == logits[c[i].id]);
            if (i) assert_true(c[i - 1].score > c[i].score || (c[i - 1].score == c[i].score && c[i - 1].id < c[i].id));
        }
        for (int i = k; k && i < n; i++)
            assert_true(c[i].score == c[k - 1].score);
    }
}

static void draws_follow_the_distribution(void **state)
{
    (void)state;
    const float logits[4] = {0, 1, 2, -1};
    struct candidate c[2 * 4];
    double p[4];
    int n, count[4] = {0};
    enum { DRAWS = 100000 };
    sampling_distribution(&kernels, c, p, &n, logits, 4, &(struct sampling){1, 0, 1, 1, 1});
    for (int i = 0; i < DRAWS; i++)
        count[sampling_pick(c, p, n, rng_uniform(5, 0, (uint64_t)i))]++;
    for (int i = 0; i < n; i++) { /* four standard deviations */
        const double mean = DRAWS * p[i], deviation = sqrt(DRAWS * p[i] * (1 - p[i]));
        assert_true(fabs(count[c[i].id] - mean) < 4 * deviation);
    }
}

static void penalty_applies_once_however_often_seen(void **state)
{
    (void)state;
    float score[3] = {2, -2, 1};
    int32_t counts[3];
    const int32_t seen[] = {0, 0, 1, 1, 0};
    sampling_penalise(score, 3, seen, 5, 2, counts);
    assert_true(score[0] == 1 && score[1] == -4 && score[2] == 1);
}

static void bias_and_penalties_add_up(void **state)
{
    (void)state;
    float score[4] = {2, -2, 1, FLT_MAX};
    int32_t counts[4] = {5, 5, 5, 5}; /* scratch: what is in it does not matter */
    static const struct gptjt_bias bias[] = {{0, 1}, {2, -0.5F}, {0, 2}, {3, FLT_MAX}};
    static const int32_t text[] = {1, 2, 1, 1};
    sampling_bias(score, bias, 4);
    assert_true(score[0] == 5 && score[1] == -2 && score[2] == 0.5F && score[3] == FLT_MAX);
    sampling_subtract(score, 4, text, 4, 0.25, 0.5, counts);
    assert_true(score[0] == 5 && score[1] == -3.75F && score[2] == -0.25F && score[3] == FLT_MAX);
    sampling_subtract(score, 4, text, 4, 0, -1, counts);
    assert_true(score[0] == 5 && score[1] == -0.75F && score[2] == 0.75F);
}

/* Which tokens typical_p leaves of few, by hand: -log p is 2.65, 0.65, 3.65, 1.65, 1.65, the entropy 1.25. */
static void typical_tokens_come_by_their_distance_and_equals_together(void **state)
{
    (void)state;
    static const float logits[] = {0, 2, -1, 1, 1};
    static const struct {
        double p;
        const char *left;
    } cases[] = {{1e-9, "34"}, {0.2, "34"}, {0.44, "134"}, {0.9, "134"}, {0.95, "0134"}, {0.999, "01234"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct candidate c[2 * 5];
        double p[5], sum = 0;
        char left[6] = "";
        int n;
        sampling_distribution(&kernels, c, p, &n, logits, 5, &(struct sampling){1, 0, 1, cases[i].p, 1});
        for (int v = 0; v < 5; v++)
            for (int k = 0; k < n; k++)
                if (c[k].id == v) snprintf(left + strlen(left), 2, "%d", v);
        if (strcmp(left, cases[i].left)) fail_msg("typical_p %g: %s, not %s", cases[i].p, left, cases[i].left);
        for (int k = 0; k < n; k++) {
            sum += p[k];
            assert_true(fabs(p[k] / p[0] - exp((double)c[k].score - (double)c[0].score)) < 1e-12);
        }
        assert_true(fabs(sum - 1) < 1e-12);
    }
}

static void the_most_likely_come_by_score_and_equals_by_id(void **state)
{
    (void)state;
    static const float logits[] = {1, 3, 2, 3, -1, 2, 3};
    static const int32_t order[] = {1, 3, 6, 2, 5, 0, 4};
    for (int n = 1; n <= 7; n++) {
        struct candidate c[2 * 7];
        struct gptjt_top top[7];
        sampling_top(&kernels, top, n, logits, 7, 4, c);
        for (int i = 0; i < n; i++) {
            assert_int_equal(top[i].id, order[i]);
            assert_true(top[i].logprob == logits[order[i]] - 4);
        }
    }
}

static void stop_strings_are_found_and_held_back(void **state)
{
    (void)state;
    static const char *const strings[] = {"\n\n", "END", "ENDING", "aab"};
    const struct stop_list l = {strings, 4};
    static const struct {
        const char *text;
        size_t found, safe;
    } cases[] = {
        {"", 0, 0},     {"hello", 5, 5}, {"hello\n", 6, 5},     {"hello\n\nworld", 5, 12},
        {"xEN", 3, 1},  {"xEND", 1, 1},  {"the ENDING", 4, 10}, {"aaa", 3, 1},
        {"aaab", 1, 4}, {"E\nE", 3, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t len = strlen(cases[i].text);
        assert_int_equal(stop_find(&l, cases[i].text, len, 0), cases[i].found);
        assert_int_equal(stop_safe(&l, cases[i].text, len), cases[i].safe);
    }
    assert_int_equal(stop_longest(&l), 6);
}

/* Divisors that are zero as a float, quotients beyond its range: still an order, still probabilities. */
static void extreme_settings_leave_a_distribution(void **state)
{
    (void)state;
    static const double tiny[] = {5e-324, 1e-300, 1e-46, 1e-40, 1e-30, 1e-10, 1, 1e6};
    static const float logits[] = {-3, 0, 2.5F, 2, -1e30F, 3e38F};
    enum { LEAST = 5 };
    for (int V = LEAST; V <= 6; V++) {
        for (size_t i = 0; i < COUNT_OF(tiny); i++) {
            for (size_t k = 0; k < COUNT_OF(tiny); k++) {
                float scores[6];
                int32_t counts[6];
                struct candidate candidates[2 * 6];
                double probability[6], sum = 0;
                int n;
                const int32_t seen[] = {0, 1, 4};
                const struct sampling how = {tiny[i], 0, 1, 1, tiny[k]};
                memcpy(scores, logits, sizeof scores);
                sampling_penalise(scores, V, seen, 3, tiny[k], counts);
                sampling_distribution(&kernels, candidates, probability, &n, scores, V, &how);
                for (int c = 0; c < n; c++)
                    sum += probability[c];
                assert_int_equal(n, V);
                assert_true(fabs(sum - 1) < 1e-9);
                assert_int_equal(candidates[0].id, V == LEAST ? 2 : 5);
                if (tiny[i] < 1e-9)
                    assert_int_equal(sampling_pick(candidates, probability, n, 0.999), candidates[0].id);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extreme_settings_leave_a_distribution),
        cmocka_unit_test(distributions_are_those_of_transformers),
        cmocka_unit_test(top_k_keeps_the_k_largest),
        cmocka_unit_test(candidates_come_by_score_and_equals_by_id),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(penalty_applies_once_however_often_seen),
        cmocka_unit_test(bias_and_penalties_add_up),
        cmocka_unit_test(typical_tokens_come_by_their_distance_and_equals_together),
        cmocka_unit_test(the_most_likely_come_by_score_and_equals_by_id),
        cmocka_unit_test(stop_strings_are_found_and_held_back),
    };
    int failures = 0;
    for (enum cpu_level level = 0; level <= kernels_best_level(); level++) {
        kernels_init(&kernels, level);
        failures += cmocka_run_group_tests_name(kernels.name, tests, NULL, NULL);
    }
    return failures;
}
