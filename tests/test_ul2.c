// SPDX-License-Identifier: Apache-2.0
/* The denoisers as pure functions, and the draws they rest on. */
#include "test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "data/ul2.h"

enum { N_MAX = 600, SENTINEL = 100000 };

static const struct ul2_denoiser denoisers[] = {{0.15, 3}, {0.15, 32}, {0.5, 3}, {0.01, 1}, {0.99, 8}, {0.9, 1}};

static struct draws draws_of(uint64_t number)
{
    return draws_begin(7, DRAWS_ROW, 0, 0, number);
}

struct case_ {
    int n, max_spans;
    struct ul2_count count;
    int begin[N_MAX], len[N_MAX];
};

/* Case i: another length, denoiser and number of sentinels for each. */
static struct case_ draw_case(int i)
{
    struct draws d = draws_of((uint64_t)i);
    struct case_ c = {.n = 2 + (int)draws_below(&d, N_MAX - 1)};
    if (i % 3 == 0) c.n = 2 + i % 7;
    c.max_spans = 1 + (int)draws_below(&d, 200);
    const struct ul2_denoiser *denoiser = &denoisers[i % (int)COUNT_OF(denoisers)];
    c.count = ul2_count(c.n, denoiser, c.max_spans);
    ul2_draw_spans(c.begin, c.len, c.n, c.count, &d);
    return c;
}

static void spans_never_overlap_or_touch(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        const struct case_ c = draw_case(i);
        int sum = 0, end = -1; /* the first span may begin at 0 */
        assert_in_range(c.count.spans, 1, c.max_spans);
        for (int k = 0; k < c.count.spans; k++) {
            assert_true(c.len[k] >= 1);
            assert_true(c.begin[k] > end);
            end = c.begin[k] + c.len[k];
            sum += c.len[k];
        }
        assert_true(end <= c.n);
        assert_int_equal(sum, c.count.corrupted);
    }
}

static void counts_are_the_rate_and_the_mean_span(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(denoisers); i++)
        for (int n = 2; n < 3000; n += n < 40 ? 1 : 37) {
            const struct ul2_denoiser *d = &denoisers[i];
            const struct ul2_count c = ul2_count(n, d, n);
            assert_in_range(c.corrupted, 1, n - 1);
            if (n * d->rate >= 1 && n * d->rate <= n - 1) assert_true(fabs(c.corrupted - n * d->rate) <= 0.5);
            const double spans = c.corrupted / d->mean_span;
            if (spans >= 1 && spans <= n - c.corrupted + 1) assert_true(fabs(c.spans - spans) <= 0.5);
            assert_int_equal(ul2_count(n, d, 1).spans, 1);
        }
}

/* Puts what the target says for each sentinel back in its place. */
static int rebuild(int32_t *text, const int32_t *tokens, int n_input, int all)
{
    int n = 0;
    for (int t = 0; t < n_input; t++) {
        if (tokens[t] < SENTINEL) {
            text[n++] = tokens[t];
            continue;
        }
        int from = n_input;
        while (from < all && tokens[from] != tokens[t])
            from++;
        for (from++; from < all && tokens[from] < SENTINEL; from++)
            text[n++] = tokens[from];
    }
    return n;
}

static void input_and_target_reconstruct_the_text(void **state)
{
    (void)state;
    int32_t text[N_MAX], tokens[3 * N_MAX + 2], again[N_MAX];
    for (int i = 0; i < 5000; i++) {
        const struct case_ c = draw_case(i);
        for (int t = 0; t < c.n; t++)
            text[t] = t; /* no two alike */
        int n_input;
        const int all = ul2_write(tokens, &n_input, text, c.n, c.begin, c.len, c.count.spans, SENTINEL);
        assert_int_equal(all, c.n + 2 * c.count.spans + 1);
        assert_int_equal(n_input, c.n - c.count.corrupted + c.count.spans);
        assert_int_equal(tokens[all - 1], SENTINEL + c.count.spans);
        assert_int_equal(tokens[n_input], SENTINEL);
        assert_int_equal(rebuild(again, tokens, n_input, all), c.n);
        for (int t = 0; t < c.n; t++)
            assert_int_equal(again[t], t);
    }
}

static void the_longest_text_that_fits_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(denoisers); i++)
        for (int room = 5; room < 2100; room += room < 50 ? 1 : 119)
            for (int max_spans = 1; max_spans < 200; max_spans += 7) {
                const int n = ul2_fit(room, &denoisers[i], max_spans);
                if (n >= 2) {
                    const struct ul2_count c = ul2_count(n, &denoisers[i], N_MAX * 10);
                    assert_true(n + 2 * c.spans + 1 <= room && c.spans <= max_spans);
                }
                const struct ul2_count more = ul2_count(n + 1, &denoisers[i], N_MAX * 10);
                assert_true(n + 1 + 2 * more.spans + 1 > room || more.spans > max_spans);
            }
}

/* k of n draws of probability p: five standard deviations, which chance exceeds once in 1.7 million. */
static void assert_share(int k, int n, double p)
{
    assert_true(fabs(k - n * p) <= 5 * sqrt(n * p * (1 - p)));
}

static void modes_come_half_a_quarter_and_a_quarter(void **state)
{
    (void)state;
    enum { N = 40000 };
    int modes[UL2_MODES] = {0}, longs = 0, manys = 0;
    for (int i = 0; i < N; i++) {
        struct draws d = draws_of((uint64_t)i);
        struct ul2_denoiser denoiser;
        const enum ul2_mode mode = ul2_draw_mode(&d, &denoiser);
        modes[mode]++;
        if (mode == UL2_R) assert_true(denoiser.rate == 0.15 && denoiser.mean_span == 3);
        longs += mode == UL2_X && denoiser.rate == 0.15 && denoiser.mean_span == 32;
        manys += mode == UL2_X && denoiser.rate == 0.5 && denoiser.mean_span == 3;
    }
    assert_share(modes[UL2_S], N, 0.5);
    assert_share(modes[UL2_R], N, 0.25);
    assert_share(modes[UL2_X], N, 0.25);
    assert_share(longs, N, 0.125);
    assert_share(manys, N, 0.125);
    assert_int_equal(longs + manys, modes[UL2_X]);
}

/* Two spans of one token in six: ten ways, each as often as any other. */
static void every_choice_of_spans_is_as_likely(void **state)
{
    (void)state;
    enum { N = 20000 };
    int counts[36] = {0}, kinds = 0;
    for (int i = 0; i < N; i++) {
        struct draws d = draws_of((uint64_t)i);
        int begin[2], len[2];
        ul2_draw_spans(begin, len, 6, (struct ul2_count){2, 2}, &d);
        counts[begin[0] * 6 + begin[1]]++;
    }
    for (int i = 0; i < 36; i++) {
        if (!counts[i]) continue;
        kinds++;
        assert_share(counts[i], N, 0.1);
    }
    assert_int_equal(kinds, 10);
}

static void permutations_are_permutations(void **state)
{
    (void)state;
    bool seen[300];
    for (uint64_t n = 1; n < 300; n++) {
        const struct draws d = draws_of(n);
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t to = draws_permute(&d, i, n);
            assert_true(to < n && !seen[to]);
            seen[to] = true;
        }
    }
    const struct draws d = draws_of(0);
    assert_true(draws_permute(&d, 12345, (uint64_t)1 << 62) < (uint64_t)1 << 62);
}

/* Four things have 24 orders: over many keys each as often. */
static void every_order_is_as_likely(void **state)
{
    (void)state;
    enum { N = 24000 };
    int counts[256] = {0}, kinds = 0;
    for (uint64_t i = 0; i < N; i++) {
        const struct draws d = draws_of(i);
        int order = 0;
        for (uint64_t k = 0; k < 4; k++)
            order = order * 4 + (int)draws_permute(&d, k, 4);
        counts[order]++;
    }
    for (int i = 0; i < 256; i++) {
        if (!counts[i]) continue;
        kinds++;
        assert_share(counts[i], N, 1. / 24);
    }
    assert_int_equal(kinds, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_never_overlap_or_touch),
        cmocka_unit_test(counts_are_the_rate_and_the_mean_span),
        cmocka_unit_test(input_and_target_reconstruct_the_text),
        cmocka_unit_test(the_longest_text_that_fits_is_found),
        cmocka_unit_test(modes_come_half_a_quarter_and_a_quarter),
        cmocka_unit_test(every_choice_of_spans_is_as_likely),
        cmocka_unit_test(permutations_are_permutations),
        cmocka_unit_test(every_order_is_as_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
