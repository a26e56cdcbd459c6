// SPDX-License-Identifier: Apache-2.0
/* The backward kernels' and the optimizer's reference: one element after the other, sums in double. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"

static void k_layer_norm_back_ref(float *dx, float stats[2], const float *dy, const float *x, const float *w, int D,
                                  float eps)
{
    double mean = 0, variance = 0, g_mean = 0, gx_mean = 0;
    for (int i = 0; i < D; i++)
        mean += (double)x[i];
    mean /= D;
    for (int i = 0; i < D; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double scale = 1 / sqrt(variance / D + (double)eps);
    for (int i = 0; i < D; i++) {
        const double g = (double)dy[i] * (double)w[i];
        g_mean += g;
        gx_mean += g * ((double)x[i] - mean) * scale;
    }
    g_mean /= D;
    gx_mean /= D;
    for (int i = 0; i < D; i++) {
        const double g = (double)dy[i] * (double)w[i], normed = ((double)x[i] - mean) * scale;
        dx[i] = (float)((double)dx[i] + scale * (g - g_mean - normed * gx_mean));
    }
    stats[0] = (float)mean;
    stats[1] = (float)scale;
}

static void k_layer_norm_sums_ref(float *dw, float *db, const float *dy, const float *x, size_t stride,
                                  const float *stats, int T, int n)
{
    for (int i = 0; i < n; i++) {
        double w = 0, b = 0;
        for (int t = 0; t < T; t++) {
            const double d = (double)dy[(size_t)t * stride + (size_t)i];
            w += d * ((double)x[(size_t)t * stride + (size_t)i] - (double)stats[2 * t]) * (double)stats[2 * t + 1];
            b += d;
        }
        dw[i] = (float)((double)dw[i] + w);
        db[i] = (float)((double)db[i] + b);
    }
}

static void k_sum_rows_ref(float *sum, const float *x, size_t stride, int T, int n)
{
    for (int i = 0; i < n; i++) {
        double s = 0;
        for (int t = 0; t < T; t++)
            s += (double)x[(size_t)t * stride + (size_t)i];
        sum[i] = (float)((double)sum[i] + s);
    }
}

/* With u = sqrt(2/pi) (z + 0.044715 z^3) and gelu = z (1 + tanh u) / 2 = z L, L = 1 / (1 + exp(-2u)):
 * gelu' = L + z L (1 - L) 2 sqrt(2/pi) (1 + 3 * 0.044715 z^2). Unlike 1 + tanh u, L cancels nowhere. */
static void k_gelu_back_ref(float *dy, const float *z, size_t n)
{
    const double c = 0.79788456080286535588, a = 0.044715;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)z[i], two_u = 2 * c * (x + a * x * x * x);
        const double L = 1 / (1 + exp(-two_u)), rest = 1 / (1 + exp(two_u)); /* 1 - L */
        const double slope = L + (L * rest == 0 ? 0 : x * L * rest * 2 * c * (1 + 3 * a * x * x));
        dy[i] = (float)((double)dy[i] * slope);
    }
}

static double k_cross_entropy_ref(float *z, size_t n, size_t target, float scale)
{
    double max = (double)z[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        if ((double)z[i] > max) max = (double)z[i];
    for (size_t i = 0; i < n; i++)
        sum += exp((double)z[i] - max);
    const double lse = max + log(sum), loss = lse - (double)z[target];
    for (size_t i = 0; i < n; i++)
        z[i] = (float)((exp((double)z[i] - lse) - (i == target)) * (double)scale);
    return loss;
}

static void transpose(size_t bytes, char *to, size_t to_stride, const char *from, size_t from_stride, int rows,
                      int columns)
{
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t c = 0; c < (size_t)columns; c++)
            memcpy(to + (c * to_stride + r) * bytes, from + (r * from_stride + c) * bytes, bytes);
}

static void k_transpose_32_ref(void *to, size_t to_stride, const void *from, size_t from_stride, int rows, int columns)
{
    transpose(sizeof(float), to, to_stride, from, from_stride, rows, columns);
}

static void k_transpose_16_ref(void *to, size_t to_stride, const void *from, size_t from_stride, int rows, int columns)
{
    transpose(sizeof(uint16_t), to, to_stride, from, from_stride, rows, columns);
}

static int across(int s, int k)
{
    return (k / KV_COLUMN * KV_PAGE + s) * KV_COLUMN + k % KV_COLUMN;
}

static void add(float *to, double x)
{
    *to = (float)((double)*to + x);
}

/* p and ds of row t for positions from <= s < to of the page. */
static void weights(const struct attention_back_rows *a, const struct attention_back_page *page, int t, int from,
                    int to)
{
    const float *q = a->q + (size_t)t * a->stride, *dy = a->dy + (size_t)t * a->stride;
    for (int s = from; s < to; s++) {
        double score = 0, dp = 0;
        for (int k = 0; k < a->K; k++) {
            score += (double)q[k] * (double)page->keys_down[k * KV_PAGE + s];
            dp += (double)dy[k] * (double)page->values_down[k * KV_PAGE + s];
        }
        const double p = exp(score * (double)a->scale - (double)a->lse[t]);
        a->p[t * KV_PAGE + s] = (float)p;
        a->ds[t * KV_PAGE + s] = (float)(p * (dp - (double)a->delta[t]) * (double)a->scale);
    }
}

static void k_attention_back_ref(const struct attention_back_rows *a, const struct attention_back_page *page)
{
    for (int t = 0; t < a->T; t++) {
        const int from = a->lo[t] > page->at ? a->lo[t] - page->at : 0;
        const int to = a->hi[t] < page->at + KV_PAGE ? a->hi[t] - page->at : KV_PAGE;
        if (from >= to) continue;
        weights(a, page, t, from, to);
        const float *q = a->q + (size_t)t * a->stride, *dy = a->dy + (size_t)t * a->stride;
        const float *p = a->p + t * KV_PAGE, *ds = a->ds + t * KV_PAGE;
        for (int k = 0; k < a->K; k++) {
            double dq = 0;
            for (int s = from; s < to; s++) {
                dq += (double)ds[s] * (double)page->keys_across[across(s, k)];
                add(&page->dk[across(s, k)], (double)ds[s] * (double)q[k]);
                add(&page->dv[across(s, k)], (double)p[s] * (double)dy[k]);
            }
            add(&a->dq[(size_t)t * a->stride + (size_t)k], dq);
        }
    }
}

static void k_round_f16_ref(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = f16_to_f32(f16_from_f32(x[i]));
}

static void k_round_bf16_ref(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = bf16_to_f32(bf16_from_f32(x[i]));
}

static void k_zero_ref(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = 0;
}

static double k_sum_squares_ref(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static void k_adamw_ref(float *p, float *m, float *v, const float *grad, size_t n, const struct adamw_step *s)
{
    for (size_t i = 0; i < n; i++) {
        const double g = (double)grad[i] * s->scale;
        m[i] = (float)(s->beta1 * (double)m[i] + (1 - s->beta1) * g);
        v[i] = (float)(s->beta2 * (double)v[i] + (1 - s->beta2) * g * g);
        const double mean = (double)m[i] / s->correction1;
        const double root = sqrt((double)v[i] / s->correction2) + s->eps;
        p[i] = (float)((double)p[i] - s->lr * (mean / root + s->decay * (double)p[i]));
    }
}

void kernels_init_back_ref(struct kernels *k)
{
    k->layer_norm_back = k_layer_norm_back_ref;
    k->layer_norm_sums = k_layer_norm_sums_ref;
    k->sum_rows = k_sum_rows_ref;
    k->gelu_back = k_gelu_back_ref;
    k->cross_entropy = k_cross_entropy_ref;
    k->transpose_32 = k_transpose_32_ref;
    k->transpose_16 = k_transpose_16_ref;
    k->attention_back = k_attention_back_ref;
    k->round_f16 = k_round_f16_ref;
    k->round_bf16 = k_round_bf16_ref;
    k->zero = k_zero_ref;
    k->sum_squares = k_sum_squares_ref;
    k->adamw = k_adamw_ref;
}
