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

void sampling_penalise(float *logits, int V, const int32_t *seen, size_t n, double penalty, uint8_t *marks)
{
    if (penalty == 1) return;
    const float p = divisor(penalty);
    memset(marks, 0, (size_t)V);
    for (size_t i = 0; i < n; i++) {
        float *l = &logits[seen[i]];
        if (marks[seen[i]]) continue;
        marks[seen[i]] = 1;
        *l = bounded(*l < 0 ? *l * p : *l / p);
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
