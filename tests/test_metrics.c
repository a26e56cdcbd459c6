// SPDX-License-Identifier: Apache-2.0
/* Metrics against numbers computed by hand, and against what they must obey. */
#include "test.h"

#include <math.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "eval/metrics.h"

static void near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance)) fail_msg("%.17g is not within %g of %.17g", a, tolerance, b);
}

/* ---- Intervals ---- */

static void a_mean_of_samples_weighs_them_alike(void **state)
{
    (void)state;
    const double a[] = {1, 0}, b[] = {1, 1, 1, 0};
    const struct metrics_sample samples[] = {{a, 2}, {b, 4}};
    near(metrics_mean(samples, 2, 1).value, (0.5 + 0.75) / 2, 1e-15);
}

/* The mean of n coin throws is binomial: for 30 of 100 its 2.5 % and 97.5 % quantiles are 0.21 and 0.39 (sums of the
 * binomial distribution). METRICS_RESAMPLES means find a quantile q with a standard error of sqrt(q (1 - q) / N) in
 * probability, 0.0035, which is less than the steps of the distribution beside them (P(21) = 0.012, P(39) = 0.014): one
 * step of 0.01 either way. */
static void the_interval_is_that_of_the_binomial_distribution(void **state)
{
    (void)state;
    double x[100];
    for (int i = 0; i < 100; i++)
        x[i] = i < 30;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        const struct metrics_interval v = metrics_mean(&(struct metrics_sample){x, 100}, 1, seed);
        near(v.value, 0.3, 1e-15);
        near(v.low, 0.21, 0.0101);
        near(v.high, 0.39, 0.0101);
    }
}

/* An instance is resampled whole: three equal trials of it know no more than one. */
static void samples_of_few_instances_have_wide_intervals(void **state)
{
    (void)state;
    const double x[] = {0, 1, 0, 1};
    const struct metrics_interval v = metrics_mean(&(struct metrics_sample){x, 4}, 1, 7);
    near(v.low, 0, 1e-15); /* (1/2)^4 of the means are 0 */
    near(v.high, 1, 1e-15);
}

static void the_same_seed_gives_the_same_interval(void **state)
{
    (void)state;
    double x[50];
    for (int i = 0; i < 50; i++)
        x[i] = i * i % 7 / 7.0;
    const struct metrics_sample s = {x, 50};
    const struct metrics_interval a = metrics_mean(&s, 1, 3), b = metrics_mean(&s, 1, 3), c = metrics_mean(&s, 1, 4);
    assert_true(a.low == b.low && a.high == b.high);
    assert_true(a.low != c.low || a.high != c.high);
}

/* P(all n right) = p^n = 0.025 at the bound: 0.025^(1/10) = 0.6915. */
static void all_right_is_not_certain(void **state)
{
    (void)state;
    const double ones[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, zeros[10] = {0};
    const struct metrics_interval all = metrics_accuracy(&(struct metrics_sample){ones, 10}, 1);
    const struct metrics_interval none = metrics_accuracy(&(struct metrics_sample){zeros, 10}, 1);
    near(all.low, 0.6915, 5e-5);
    near(all.high, 1, 0);
    near(none.low, 0, 0);
    near(none.high, 1 - 0.6915, 5e-5);
}

/* ---- The paired test ---- */

/* McNemar's exact test by hand: b = 8, c = 2 discordant pairs: 2 (1 + 10 + 45) / 2^10. */
static void with_one_trial_it_is_mcnemars_exact_test(void **state)
{
    (void)state;
    int d[100] = {0};
    double p;
    for (int i = 0; i < 10; i++)
        d[7 * i] = i < 8 ? 1 : -1;
    assert_int_equal(metrics_sign_flip(&p, d, 100, 1), OK);
    near(p, 2 * 56.0 / 1024, 1e-12);
    assert_int_equal(metrics_sign_flip(&p, d + 1, 6, 1), OK); /* nobody differs */
    near(p, 1, 1e-15);
}

/* All 2^n sets of signs, counted. */
static double enumerated(const int *d, int n)
{
    int observed = 0, as_far = 0;
    for (int i = 0; i < n; i++)
        observed += d[i];
    for (int signs = 0; signs < 1 << n; signs++) {
        int sum = 0;
        for (int i = 0; i < n; i++)
            sum += signs >> i & 1 ? d[i] : -d[i];
        as_far += abs(sum) >= abs(observed);
    }
    return as_far / (double)(1 << n);
}

static void with_more_it_is_the_enumeration_of_all_signs(void **state)
{
    (void)state;
    static const int cases[][10] = {
        {3, 1, 0, -2, 1, 1, 2, 0, -1, 3},     {1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
        {3, -3, 3, -3, 1, 0, 0, 0, 0, 0},     {2, 2, 2, 0, 0, -1},
        {-3, -3, -3, -2, -2, -3, 1, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double p;
        assert_int_equal(metrics_sign_flip(&p, cases[i], 10, 3), OK);
        near(p, enumerated(cases[i], 10), 1e-12);
    }
}

/* METRICS_FLIPS draws of a probability p have a standard error of sqrt(p (1 - p) / N); five of them. */
static void sampled_signs_agree_with_all_of_them(void **state)
{
    (void)state;
    static const int d[10] = {3, 1, 0, -2, 1, 1, 2, 0, -1, 3};
    double x[10];
    for (int i = 0; i < 10; i++)
        x[i] = d[i] / 3.0;
    const double p = enumerated(d, 10);
    near(metrics_sign_flip_sampled(&(struct metrics_sample){x, 10}, 1, 1), p, 5 * sqrt(p * (1 - p) / METRICS_FLIPS));
}

/* 40,000 discordant instances are too many to convolve. Their sum is 1,600, its variance under random signs
 * 40,000 (1 + 4 + 9) / 3, so it is 3.70 standard deviations from 0: p = 2.1e-4 by the normal distribution, which is
 * good here; of METRICS_FLIPS sums 2.1 are expected to be as far, and more than 9 once in 10^4 seeds. */
static void many_instances_are_sampled(void **state)
{
    (void)state;
    enum { N = 40000 };
    int *d = calloc(N, sizeof *d);
    double p;
    for (int i = 0; i < N; i++)
        d[i] = (i < 20400 ? 1 : -1) * (1 + i % 3);
    assert_int_equal(metrics_sign_flip(&p, d, N, 3), OK);
    assert_true(p > 0 && p < 11.0 / METRICS_FLIPS);
    free(d);
}

/* ---- Labels ---- */

/* Three labels, and an answer that is none:
 *     a: tp 2, fp 1, fn 2 -> 4/7     b: tp 1, fp 1, fn 0 -> 2/3     c: tp 0, fp 1, fn 1 -> 0 */
static void macro_f1_and_majority_are_those_computed_by_hand(void **state)
{
    (void)state;
    const uint64_t counts[] = {2, 1, 0, 1, /* a */ 0, 1, 0, 0, /* b */ 1, 0, 0, 0};
    near(metrics_macro_f1(counts, 3), (4 / 7.0 + 2 / 3.0 + 0) / 3, 1e-15);
    near(metrics_majority(counts, 3), 4 / 6.0, 1e-15);
}

static void labels_that_never_occur_do_not_count(void **state)
{
    (void)state;
    const uint64_t counts[] = {3, 0, 0, /* a */ 0, 0, 0};
    near(metrics_macro_f1(counts, 2), 1, 1e-15);
    near(metrics_majority(counts, 2), 1, 1e-15);
    near(metrics_macro_f1((const uint64_t[2]){0}, 1), 0, 0);
}

/* ---- Calibration ---- */

/* Two bins: (0.9, 1] with 0.95 right, 0.91 wrong; (0.5, 0.6] with 0.6 right: |1 - 1.86| + |1 - 0.6| over 3. */
static void ece_is_that_computed_by_hand(void **state)
{
    (void)state;
    struct metrics_bin bins[METRICS_BINS] = {0};
    near(metrics_ece(bins), 0, 0);
    metrics_bin_add(bins, 0.95, true);
    metrics_bin_add(bins, 0.91, false);
    metrics_bin_add(bins, 0.6, true);
    assert_int_equal(bins[9].n, 2);
    assert_int_equal(bins[9].n_correct, 1);
    assert_int_equal(bins[5].n, 1);
    near(metrics_ece(bins), (0.86 + 0.4) / 3, 1e-15);
    metrics_bin_add(bins, 0, false);
    metrics_bin_add(bins, 1, true);
    assert_int_equal(bins[0].n, 1);
    assert_int_equal(bins[9].n, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mean_of_samples_weighs_them_alike),
        cmocka_unit_test(the_interval_is_that_of_the_binomial_distribution),
        cmocka_unit_test(samples_of_few_instances_have_wide_intervals),
        cmocka_unit_test(the_same_seed_gives_the_same_interval),
        cmocka_unit_test(all_right_is_not_certain),
        cmocka_unit_test(with_one_trial_it_is_mcnemars_exact_test),
        cmocka_unit_test(with_more_it_is_the_enumeration_of_all_signs),
        cmocka_unit_test(sampled_signs_agree_with_all_of_them),
        cmocka_unit_test(many_instances_are_sampled),
        cmocka_unit_test(macro_f1_and_majority_are_those_computed_by_hand),
        cmocka_unit_test(labels_that_never_occur_do_not_count),
        cmocka_unit_test(ece_is_that_computed_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
