// SPDX-License-Identifier: Apache-2.0
#include "engine/sampling.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/half.h"

/* What logits are divided by, whatever tiny number was asked for: a divisor that is zero as a float, or a quotient that
 * overflows, would leave no order among the scores. */
static float divisor(double asked)
{
    return asked > 1e-20 ? (float)asked : 1e-20f;
}

static float bounded(float score)
{
    return score > FLT_MAX ? FLT_MAX : score < -FLT_MAX ? -FLT_MAX : score;
}

void sampling_bias(float *logits, const struct gptjt_bias *bias, int n)
{
    for (int i = 0; i < n; i++)
        logits[bias[i].id] = bounded(logits[bias[i].id] + bias[i].bias);
}

void sampling_penalise(float *logits, int V, const int32_t *seen, size_t n, double penalty, int32_t *counts)
{
    if (penalty == 1) return;
    const float p = divisor(penalty);
    memset(counts, 0, (size_t)V * sizeof *counts);
    for (size_t i = 0; i < n; i++) {
        float *l = &logits[seen[i]];
        if (counts[seen[i]]++ == 0) *l = bounded(*l < 0 ? *l * p : *l / p);
    }
}

void sampling_subtract(float *logits, int V, const int32_t *text, size_t n, double presence, double frequency,
                       int32_t *counts)
{
    if (presence == 0 && frequency == 0) return;
    memset(counts, 0, (size_t)V * sizeof *counts);
    for (size_t i = 0; i < n; i++)
        counts[text[i]]++;
    for (size_t i = 0; i < n; i++) {
        float *l = &logits[text[i]];
        const int32_t count = counts[text[i]];
        counts[text[i]] = 0; /* done, however often it comes */
        if (count) *l = bounded((float)((double)*l - (count * frequency + presence)));
    }
}

/* Moves heap[at] down to where it belongs: every number of the heap is at most the two below it. */
static void sift_down(float *heap, size_t n, size_t at)
{
    const float x = heap[at];
    for (size_t child = 2 * at + 1; child < n; at = child, child = 2 * at + 1) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (x <= heap[child]) break;
        heap[at] = heap[child];
    }
    heap[at] = x;
}

/* The k-th largest of score[V]: the smallest of the k largest, which are kept in a heap. Few of many numbers are among
 * the largest so far, so the kernel that skips those which are not does nearly all of the work. */
static float kth_largest(const struct kernels *kernels, const float *score, size_t V, size_t k, float *heap)
{
    memcpy(heap, score, k * sizeof *heap);
    for (size_t at = k / 2; at-- > 0;)
        sift_down(heap, k, at);
    for (size_t v = k; v < V; v++) {
        v += kernels->first_at_least(score + v, V - v, heap[0]);
        if (v == V || score[v] == heap[0]) continue;
        heap[0] = score[v];
        sift_down(heap, k, 0);
    }
    return heap[0];
}

/* Every id whose logit is at least the threshold, ascending, with its logit over the temperature t. */
static int collect(const struct kernels *k, struct candidate *candidates, const float *logits, int V, float threshold,
                   float t)
{
    int n = 0;
    for (int v = 0; v < V; v++) {
        if (logits[v] < threshold) v += (int)k->first_at_least(logits + v, (size_t)(V - v), threshold);
        if (v < V) candidates[n++] = (struct candidate){bounded(logits[v] / t), v};
    }
    return n;
}

/* A number that grows as the score falls; both zeros are one. */
static uint32_t descending_key(float score)
{
    const uint32_t u = half_bits_of(score + 0.0F);
    return u >> 31 ? u : ~u & 0x7fffffff;
}

/* Most likely first; of equals the lower id first, so that the order is one order. A radix sort: four stable passes
 * over a byte of the key each, to and fro between c and room. Ids come in ascending. */
static void sort_by_score(struct candidate *c, struct candidate *room, int n)
{
    enum { DIGITS = 4, VALUES = 256 };
    for (int digit = 0; digit < DIGITS; digit++) {
        int begin[VALUES] = {0}, sum = 0;
        for (int i = 0; i < n; i++)
            begin[descending_key(c[i].score) >> 8 * digit & 0xff]++;
        for (int v = 0; v < VALUES; v++) {
            const int count = begin[v];
            begin[v] = sum;
            sum += count;
        }
        for (int i = 0; i < n; i++)
            room[begin[descending_key(c[i].score) >> 8 * digit & 0xff]++] = c[i];
        struct candidate *const other = c;
        c = room;
        room = other;
    }
}

/* top-p as transformers has it: going up from the least likely, tokens go while their cumulative probability is at most
 * 1 - p. What is left is a leading part of the sorted candidates, never empty. */
static int keep_top_p(const double *probability, int n, double top_p)
{
    double tail = 0;
    while (n > 1 && tail + probability[n - 1] <= 1 - top_p)
        tail += probability[--n];
    return n;
}

static void normalise(double *probability, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += probability[i];
    for (int i = 0; i < n; i++)
        probability[i] /= sum;
}

/* -log p of a candidate; log_sum is the logarithm of the sum of exp(score - the first's score). */
static double surprise(const struct candidate *c, int i, double log_sum)
{
    return (double)c[0].score - (double)c[i].score + log_sum;
}

/* typical-p as transformers has it: tokens are taken in the order of how far -log p is from the entropy, until their
 * probabilities sum to p at least, and with the last one all that are as far. -log p ascends along the sorted
 * candidates, so what is taken is always a run of them, which grows at one end or the other. Returns where it begins;
 * *n: how many. */
static int keep_typical(const struct candidate *c, const double *probability, int *n, double typical_p)
{
    double sum = 0, entropy = 0, mass = 0, last = 0;
    for (int i = 0; i < *n; i++)
        sum += exp((double)c[i].score - (double)c[0].score);
    const double log_sum = log(sum);
    for (int i = 0; i < *n; i++)
        entropy += probability[i] * surprise(c, i, log_sum);
    int end = 0;
    while (end < *n && surprise(c, end, log_sum) < entropy)
        end++;
    for (int begin = end;;) {
        const double below = begin > 0 ? entropy - surprise(c, begin - 1, log_sum) : INFINITY;
        const double above = end < *n ? surprise(c, end, log_sum) - entropy : INFINITY;
        const double nearest = below < above ? below : above;
        if (nearest == INFINITY || (mass >= typical_p && nearest > last)) {
            *n = end - begin;
            return begin;
        }
        last = nearest;
        mass += below < above ? probability[--begin] : probability[end++];
    }
}

void sampling_distribution(const struct kernels *k, struct candidate *candidates, double *probability, int *n,
                           const float *logits, int V, const struct sampling *how)
{
    /* Temperature scales all scores alike, so the order, and the k largest, are found before it. The threshold's
     * scratch is the candidates' own room. */
    float threshold = -INFINITY;
    if (how->top_k > 0 && how->top_k < V)
        threshold = kth_largest(k, logits, (size_t)V, (size_t)how->top_k, (float *)candidates);
    int count = collect(k, candidates, logits, V, threshold, divisor(how->temperature));
    sort_by_score(candidates, candidates + V, count);
    for (int i = 0; i < count; i++)
        probability[i] = exp((double)candidates[i].score - (double)candidates[0].score);
    normalise(probability, count);
    if (how->top_p < 1) {
        count = keep_top_p(probability, count, how->top_p);
        normalise(probability, count);
    }
    if (how->typical_p < 1) {
        const int begin = keep_typical(candidates, probability, &count, how->typical_p);
        memmove(candidates, candidates + begin, (size_t)count * sizeof *candidates);
        memmove(probability, probability + begin, (size_t)count * sizeof *probability);
        normalise(probability, count);
    }
    *n = count;
}

int32_t sampling_pick(const struct candidate *candidates, const double *probability, int n, double u)
{
    double cumulative = 0;
    for (int i = 0; i < n; i++) {
        cumulative += probability[i];
        if (u < cumulative) return candidates[i].id;
    }
    return candidates[n - 1].id; /* rounding left the sum a little short of 1 */
}

void sampling_top(const struct kernels *k, struct gptjt_top *top, int n, const float *logits, int V, double log_sum,
                  struct candidate *candidates)
{
    const float threshold = kth_largest(k, logits, (size_t)V, (size_t)n, (float *)candidates);
    sort_by_score(candidates, candidates + V, collect(k, candidates, logits, V, threshold, 1));
    for (int i = 0; i < n; i++)
        top[i] = (struct gptjt_top){candidates[i].id, (float)((double)candidates[i].score - log_sum)};
}
