// SPDX-License-Identifier: Apache-2.0
#include "engine/sampling.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* Most likely first; of equals the lower id first, so that the order is one order. */
static int by_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_float_descending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The k-th largest of score[V], found with a heap of the k largest: k is small where this matters. Few of many numbers
 * are among the largest so far, so the kernel that skips those which are not does nearly all of the work. */
static float kth_largest(const struct kernels *kernels, const float *score, int V, int k, float *heap)
{
    memcpy(heap, score, (size_t)k * sizeof *heap);
    qsort(heap, (size_t)k, sizeof *heap, by_float_descending);
    for (size_t v = (size_t)k, end = (size_t)V; v < end; v++) {
        v += kernels->first_at_least(score + v, end - v, heap[k - 1]);
        if (v == end || score[v] == heap[k - 1]) continue;
        int at = k - 1;
        for (; at > 0 && heap[at - 1] < score[v]; at--)
            heap[at] = heap[at - 1];
        heap[at] = score[v];
    }
    return heap[k - 1];
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

static void softmax(double *probability, const struct candidate *c, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += probability[i] = exp((double)c[i].score - (double)c[0].score);
    for (int i = 0; i < n; i++)
        probability[i] /= sum;
}

void sampling_distribution(const struct kernels *k, struct candidate *candidates, double *probability, int *n,
                           const float *logits, int V, const struct sampling *how)
{
    /* Temperature scales all scores alike, so the order, and the k largest, are found before it. The threshold's
     * scratch is the candidates' own room. */
    float threshold = -INFINITY;
    if (how->top_k > 0 && how->top_k < V) threshold = kth_largest(k, logits, V, how->top_k, (float *)candidates);
    const float t = divisor(how->temperature);
    int count = 0;
    for (int v = 0; v < V; v++) {
        v += (int)k->first_at_least(logits + v, (size_t)(V - v), threshold);
        if (v < V) candidates[count++] = (struct candidate){bounded(logits[v] / t), v};
    }
    qsort(candidates, (size_t)count, sizeof *candidates, by_score);
    softmax(probability, candidates, count);
    if (how->top_p < 1) {
        count = keep_top_p(probability, count, how->top_p);
        softmax(probability, candidates, count);
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
