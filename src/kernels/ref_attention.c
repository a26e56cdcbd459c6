// SPDX-License-Identifier: Apache-2.0
/* Attention's reference: one row at a time, in double within a page. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"

typedef double load_fn(const void *p, int i);

static double load_f32(const void *p, int i)
{
    return (double)((const float *)p)[i];
}

static double load_f16(const void *p, int i)
{
    return (double)f16_to_f32(((const uint16_t *)p)[i]);
}

/* p[s] = scaled score, then exp(score - max), for from <= s < to; returns what sum and y so far are to be multiplied
 * by. */
static double soften(load_fn *load, const struct attention_rows *a, int t, const void *keys, int from, int to,
                     double p[KV_PAGE])
{
    const float *q = a->q + (size_t)t * a->stride;
    const float old_max = a->max[t];
    for (int s = from; s < to; s++) {
        double score = 0;
        for (int k = 0; k < a->K; k++)
            score += (double)q[k] * load(keys, k * KV_PAGE + s);
        p[s] = score * (double)a->scale;
        if (p[s] > (double)a->max[t]) a->max[t] = (float)p[s];
    }
    /* as long as all scores are -inf, any finite number will do: exp(-inf - it) is 0 */
    const double base = a->max[t] == -INFINITY ? 0 : (double)a->max[t], keep = exp((double)old_max - base);
    double sum = (double)a->sum[t] * keep;
    for (int s = from; s < to; s++)
        sum += p[s] = exp(p[s] - base);
    a->sum[t] = (float)sum;
    return keep;
}

static void attend(load_fn *load, const struct attention_rows *a, const void *keys, const void *values, int at)
{
    for (int t = 0; t < a->T; t++) {
        const int from = a->lo[t] > at ? a->lo[t] - at : 0, to = a->hi[t] < at + KV_PAGE ? a->hi[t] - at : KV_PAGE;
        if (from >= to) continue;
        double p[KV_PAGE];
        const double keep = soften(load, a, t, keys, from, to, p);
        float *y = a->y + (size_t)t * a->stride;
        for (int k = 0; k < a->K; k++) {
            double sum = (double)y[k] * keep;
            for (int s = from; s < to; s++)
                sum += p[s] * load(values, (k / KV_COLUMN * KV_PAGE + s) * KV_COLUMN + k % KV_COLUMN);
            y[k] = (float)sum;
        }
    }
}

static void k_attention_f32_ref(const struct attention_rows *a, const void *keys, const void *values, int at)
{
    attend(load_f32, a, keys, values, at);
}

static void k_attention_f16_ref(const struct attention_rows *a, const void *keys, const void *values, int at)
{
    attend(load_f16, a, keys, values, at);
}

void kernels_init_attention_ref(struct kernels *k)
{
    k->attention_f32 = k_attention_f32_ref;
    k->attention_f16 = k_attention_f16_ref;
}
