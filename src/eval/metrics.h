// SPDX-License-Identifier: Apache-2.0
/* How good a set of answers is, and how surely that is known. Pure arithmetic; nothing here knows models or files.
 *
 * The unit that was drawn at random is the instance: its answers under several draws of shots (trials) share a text and
 * are right or wrong together more often than not. So an instance enters as one number, the mean over its trials, and
 * it is instances that are resampled or flipped; counting trials as if they were independent would make every interval
 * too narrow by up to the square root of their number. */
#ifndef GPTJT_EVAL_METRICS_H
#define GPTJT_EVAL_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* One task's numbers, one an instance. */
struct metrics_sample {
    const double *x; /* [n], n >= 1; borrowed */
    size_t n;
};

struct metrics_interval {
    double value, low, high;
};

/* The mean over samples of each sample's mean, and its 95 % bootstrap interval (percentile method, Efron 1979): the
 * 2.5 % and 97.5 % quantiles of METRICS_RESAMPLES means, each of as many instances drawn with replacement within every
 * sample. The same seed gives the same interval. n_samples >= 1. */
enum { METRICS_RESAMPLES = 2000 };
struct metrics_interval metrics_mean(const struct metrics_sample *samples, int n_samples, uint64_t seed);

/* The same for shares of right answers of one sample. Where all are 1, or all 0, resampling knows no doubt; the
 * interval then is the exact one of n successes or failures (Clopper and Pearson 1934): a bound of 0.025^(1/n), or one
 * minus it. */
struct metrics_interval metrics_accuracy(const struct metrics_sample *sample, uint64_t seed);

/* Whether two ways of answering the same instances differ: the two-sided p value of the sign-flip (paired permutation)
 * test on d_i = right answers of the one minus right answers of the other, over the trials of instance i. If the two
 * were alike, d_i would as well have been -d_i, for every i on its own; p is the probability that random signs make the
 * sum as far from 0 as it is. d [n], whole numbers within [-most, most].
 *
 * With one trial this is McNemar's exact test (b against c of b + c discordant pairs, binomial); with more it stays
 * exact, which McNemar's test over all pairs is not, since pairs of one instance are not independent. The distribution
 * is computed whole, as a convolution; where that would take too long (tens of thousands of discordant instances) it
 * is sampled instead. */
enum status metrics_sign_flip(double *p, const int *d, size_t n, int most);

/* The same for the mean over samples of mean differences, which are no whole numbers: METRICS_FLIPS random sets of
 * signs, p = (1 + those as far from 0) / (1 + all). */
enum { METRICS_FLIPS = 10000 };
double metrics_sign_flip_sampled(const struct metrics_sample *differences, int n_samples, uint64_t seed);

/* Counts [n][n + 1]: row the right label, column the answer, the last column for answers that are no label. */

/* Mean over labels of F1 = 2 tp / (2 tp + fp + fn), labels that are neither right nor answered anywhere left out. */
double metrics_macro_f1(const uint64_t *confusion, int n);

/* The share of the most frequent right label: what always answering it would score. */
double metrics_majority(const uint64_t *confusion, int n);

/* Reliability: answers sorted into equal intervals of the probability that the model gave them. Bin b has those in
 * (b / METRICS_BINS, (b + 1) / METRICS_BINS], the first one 0, too. */
enum { METRICS_BINS = 10 };
struct metrics_bin {
    uint64_t n, n_correct;
    double confidence; /* sum of the probabilities */
};
void metrics_bin_add(struct metrics_bin *bins, double confidence, bool correct); /* bins [METRICS_BINS] */

/* Expected calibration error: mean over answers of |share of right ones - mean probability| of their bin. 0 without
 * answers. */
double metrics_ece(const struct metrics_bin *bins);

#endif
