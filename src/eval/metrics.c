// SPDX-License-Identifier: Apache-2.0
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* Additions and multiplications that an exact distribution may take: a second or so. */
static const double MAX_CONVOLUTION = 1e9;

/* ---- Bootstrap ---- */

static double mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

static double mean_of_means(const struct metrics_sample *samples, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += mean(samples[i].x, samples[i].n);
    return sum / n;
}

/* The mean of as many draws with replacement as there are numbers. */
static double resampled_mean(const struct metrics_sample *s, uint64_t seed, uint64_t stream, uint64_t *counter)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += s->x[(size_t)(rng_uniform(seed, stream, (*counter)++) * (double)s->n)];
    return sum / (double)s->n;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of sorted values, by linear interpolation between the two nearest. */
static double quantile(const double *sorted, int n, double q)
{
    const double at = q * (n - 1);
    const int below = (int)at, above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

struct metrics_interval metrics_mean(const struct metrics_sample *samples, int n_samples, uint64_t seed)
{
    double means[METRICS_RESAMPLES];
    for (int k = 0; k < METRICS_RESAMPLES; k++) {
        uint64_t counter = 0;
        double sum = 0;
        for (int i = 0; i < n_samples; i++)
            sum += resampled_mean(&samples[i], seed, (uint64_t)k, &counter);
        means[k] = sum / n_samples;
    }
    qsort(means, METRICS_RESAMPLES, sizeof *means, ascending);
    return (struct metrics_interval){.value = mean_of_means(samples, n_samples),
                                     .low = quantile(means, METRICS_RESAMPLES, 0.025),
                                     .high = quantile(means, METRICS_RESAMPLES, 0.975)};
}

struct metrics_interval metrics_accuracy(const struct metrics_sample *sample, uint64_t seed)
{
    struct metrics_interval v = metrics_mean(sample, 1, seed);
    const double bound = pow(0.025, 1 / (double)sample->n);
    if (v.value >= 1) v.low = bound;
    if (v.value <= 0) v.high = 1 - bound;
    return v;
}

/* ---- Paired test ---- */

double metrics_sign_flip_sampled(const struct metrics_sample *differences, int n_samples, uint64_t seed)
{
    /* Sums of the same terms in the same order differ by their signs only, but signs change how they round. */
    const double observed = fabs(mean_of_means(differences, n_samples)), least = observed - 1e-12;
    int as_far = 0;
    for (int k = 0; k < METRICS_FLIPS; k++) {
        uint64_t counter = 0, bits = 0;
        double sum = 0;
        for (int i = 0; i < n_samples; i++) {
            double part = 0;
            for (size_t j = 0; j < differences[i].n; j++, counter++) {
                if (counter % 64 == 0) bits = rng_u64(seed, (uint64_t)k, counter / 64);
                part += bits >> counter % 64 & 1 ? differences[i].x[j] : -differences[i].x[j];
            }
            sum += part / (double)differences[i].n;
        }
        as_far += fabs(sum / n_samples) >= least;
    }
    return (1.0 + as_far) / (1.0 + METRICS_FLIPS);
}

/* The instances whose |d| is `size`, m of them, add size * (2 j - m) where j of their signs are positive:
 * P(j) = (m over j) / 2^m. sums [2 reach + 1] are the probabilities of the sum so far, the middle one of sum 0. */
static void convolve(double *next, const double *sums, size_t reach, size_t size, size_t m)
{
    const double all = lgamma((double)m + 1) - (double)m * log(2);
    memset(next, 0, (2 * (reach + size * m) + 1) * sizeof *next);
    for (size_t j = 0; j <= m; j++) {
        const double p = exp(all - lgamma((double)j + 1) - lgamma((double)(m - j) + 1));
        for (size_t i = 0; i <= 2 * reach; i++)
            next[i + 2 * size * j] += p * sums[i];
    }
}

/* What lies as far from the middle as observed, at both ends; the smallest terms first. */
static double both_tails(const double *sums, size_t reach, size_t observed)
{
    double tail = 0;
    for (size_t i = 0; i + observed <= reach; i++)
        tail += sums[i] + (reach != i ? sums[2 * reach - i] : 0);
    return fmin(tail, 1);
}

static enum status exact(double *p, const size_t *counts, int most, size_t reach, size_t observed)
{
    double *sums = calloc(2 * reach + 1, sizeof *sums), *next = calloc(2 * reach + 1, sizeof *next);
    enum status s = sums && next ? OK : fail(E_NOMEM, "paired test: out of memory");
    if (s == OK) {
        size_t so_far = 0;
        sums[0] = 1;
        for (int size = 1; size <= most; size++) {
            if (!counts[size]) continue;
            convolve(next, sums, so_far, (size_t)size, counts[size]);
            so_far += (size_t)size * counts[size];
            double *swap = sums;
            sums = next;
            next = swap;
        }
        *p = both_tails(sums, reach, observed);
    }
    free(sums);
    free(next);
    return s;
}

static enum status sampled(double *p, const int *d, size_t n)
{
    double *x = calloc(n, sizeof *x);
    if (!x) return fail(E_NOMEM, "paired test: out of memory");
    for (size_t i = 0; i < n; i++)
        x[i] = d[i];
    *p = metrics_sign_flip_sampled(&(struct metrics_sample){x, n}, 1, 0);
    free(x);
    return OK;
}

enum status metrics_sign_flip(double *p, const int *d, size_t n, int most)
{
    size_t *counts = calloc((size_t)most + 1, sizeof *counts), reach = 0;
    if (!counts) return fail(E_NOMEM, "paired test: out of memory");
    int64_t sum = 0;
    double work = 0;
    for (size_t i = 0; i < n; i++) {
        counts[abs(d[i])]++;
        sum += d[i];
    }
    for (int size = 1; size <= most; size++) {
        work += (double)(2 * reach + 1) * (double)(counts[size] + 1);
        reach += (size_t)size * counts[size];
    }
    const enum status s = work > MAX_CONVOLUTION ? sampled(p, d, n) : exact(p, counts, most, reach, (size_t)llabs(sum));
    free(counts);
    return s;
}

/* ---- Labels ---- */

double metrics_macro_f1(const uint64_t *confusion, int n)
{
    double sum = 0;
    int n_used = 0;
    for (int label = 0; label < n; label++) {
        uint64_t gold = 0, answered = 0;
        for (int k = 0; k <= n; k++)
            gold += confusion[label * (n + 1) + k];
        for (int k = 0; k < n; k++)
            answered += confusion[k * (n + 1) + label];
        if (!gold && !answered) continue;
        sum += 2 * (double)confusion[label * (n + 1) + label] / (double)(gold + answered);
        n_used++;
    }
    return n_used ? sum / n_used : 0;
}

double metrics_majority(const uint64_t *confusion, int n)
{
    uint64_t most = 0, all = 0;
    for (int label = 0; label < n; label++) {
        uint64_t gold = 0;
        for (int k = 0; k <= n; k++)
            gold += confusion[label * (n + 1) + k];
        all += gold;
        most = gold > most ? gold : most;
    }
    return all ? (double)most / (double)all : 0;
}

/* ---- Calibration ---- */

void metrics_bin_add(struct metrics_bin *bins, double confidence, bool correct)
{
    int b = (int)ceil(confidence * METRICS_BINS) - 1;
    b = b < 0 ? 0 : b >= METRICS_BINS ? METRICS_BINS - 1 : b;
    bins[b].n++;
    bins[b].n_correct += correct;
    bins[b].confidence += confidence;
}

double metrics_ece(const struct metrics_bin *bins)
{
    double sum = 0, n = 0;
    for (int b = 0; b < METRICS_BINS; b++) {
        sum += fabs((double)bins[b].n_correct - bins[b].confidence);
        n += (double)bins[b].n;
    }
    return n > 0 ? sum / n : 0;
}
