// SPDX-License-Identifier: Apache-2.0
/* The kernel check's two halves of attention. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_kernels.h"

/* ---- Attention ---- */

static const int head_sizes[] = {1, 7, 8, 9, 16, 17, 63, 64, 65, 80, 200, 256};
static const int key_counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32};

enum { MAX_KEYS = 32, MAX_K = 256 };

static void scores_run(struct check *c, const float *q, const float *keys, int n, int K, float scale)
{
    const size_t q_n = (size_t)K, keys_n = (size_t)n * (size_t)K;
    float first[MAX_KEYS];
    for (enum place where = 0; where < PLACES; where++) {
        const float *q_at = check_floats(&c->in[0], where, q, q_n),
                    *keys_at = check_floats(&c->in[1], where, keys, keys_n);
        float *score = check_place(&c->out, where, (size_t)n * sizeof *score, sizeof *score);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "%s, place %d", c->what, (int)where);
        c->k->attention_scores(score, q_at, keys_at, n, K, scale);
        const struct input in[] = {{q_at, q, q_n * sizeof *q}, {keys_at, keys, keys_n * sizeof *q}};
        check_clean(c, mode, score, (size_t)n * sizeof *score, in, 2);
        if (where == AT_END) memcpy(first, score, (size_t)n * sizeof *score);
        for (int s = 0; s < n; s++)
            check_same(c, "other bits elsewhere", (size_t)s, score[s], first[s]);
    }
    for (int s = 0; s < n; s++) {
        float alone = NAN;
        long double sum = 0, size = 0;
        for (int k = 0; k < K; k++) {
            const long double product = (long double)q[k] * (long double)keys[s * K + k] * (long double)scale;
            sum += product;
            size += fabsl(product);
        }
        c->k->attention_scores(&alone, q, keys + (size_t)s * q_n, 1, K, scale);
        check_same(c, "other bits alone", (size_t)s, first[s], alone);
        /* the scale may be applied to a rounded sum: one rounding more */
        check_near(c, (size_t)s, first[s], sum,
                   (8 + sqrtl(K)) * EPS * size + 2 * EPS * fabsl(sum) + (K + 2) * (long double)TINY);
    }
}

void check_scores(struct check *c)
{
    float *q = check_alloc(MAX_K), *keys = check_alloc((size_t)MAX_KEYS * MAX_K);
    for (size_t i = 0; i < COUNT_OF(head_sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(key_counts); j++) {
            for (enum kind kind = 0; kind < KINDS; kind++) {
                const int K = head_sizes[i], n = key_counts[j];
                check_fill_matrices(c, q, 1, (size_t)K, (char *)keys, DTYPE_F32, n, K, kind);
                snprintf(c->what, sizeof c->what, "n %d, K %d, %s", n, K, check_kind_names[kind]);
                scores_run(c, q, keys, n, K, 1 / sqrtf((float)K));
            }
        }
    }
    free(q);
    free(keys);
}

static void mix_run(struct check *c, const float *y0, const float *p, const float *values, int n, int K)
{
    const size_t y_n = (size_t)K, v_n = (size_t)n * y_n;
    float first[MAX_K], again[MAX_K];
    for (enum place where = 0; where < PLACES; where++) {
        const float *p_at = check_floats(&c->in[0], where, p, (size_t)n);
        const float *v_at = check_floats(&c->in[1], where, values, v_n);
        float *y = check_floats(&c->out, where, y0, y_n);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "%s, place %d", c->what, (int)where);
        c->k->attention_mix(y, p_at, v_at, n, K);
        const struct input in[] = {{p_at, p, (size_t)n * sizeof *p}, {v_at, values, v_n * sizeof *p}};
        check_clean(c, mode, y, y_n * sizeof *y, in, 2);
        if (where == AT_END) memcpy(first, y, y_n * sizeof *y);
        for (size_t k = 0; k < y_n; k++)
            check_same(c, "other bits elsewhere", k, y[k], first[k]);
    }
    /* in two calls, as when a page ends between them */
    const int cut = (int)(check_u64(c) % (uint64_t)(n + 1));
    memcpy(again, y0, y_n * sizeof *again);
    c->k->attention_mix(again, p, values, cut, K);
    c->k->attention_mix(again, p + cut, values + (size_t)cut * y_n, n - cut, K);
    for (int k = 0; k < K; k++) {
        long double sum = (long double)y0[k], size = fabsl(sum);
        for (int s = 0; s < n; s++) {
            const long double product = (long double)p[s] * (long double)values[s * K + k];
            sum += product;
            size += fabsl(product);
        }
        check_same(c, "other bits in two calls", (size_t)k, first[k], again[k]);
        /* a product and a sum may round apart: twice the errors of a fused step */
        check_near(c, (size_t)k, first[k], sum,
                   (8 + sqrtl(n)) * EPS * size + EPS * fabsl(sum) + 2 * (n + 1) * (long double)TINY);
    }
}

void check_mix(struct check *c)
{
    float y0[MAX_K], p[MAX_KEYS], *values = check_alloc((size_t)MAX_KEYS * MAX_K);
    for (size_t i = 0; i < COUNT_OF(head_sizes); i++) {
        for (size_t j = 0; j < COUNT_OF(key_counts); j++) {
            for (enum kind kind = 0; kind < KINDS; kind++) {
                const int K = head_sizes[i], n = key_counts[j];
                check_fill(c, p, (size_t)n, kind == TINY_X ? TINY_X : NORMAL);
                check_fill(c, values, (size_t)n * (size_t)K, kind == TINY_W ? TINY_X : kind);
                check_fill(c, y0, (size_t)K, kind == TINY_X ? TINY_X : NORMAL);
                for (int s = 1; kind == CANCEL && s < n; s += 2) {
                    p[s] = p[s - 1] *= 1024;
                    for (int x = 0; x < K; x++)
                        values[s * K + x] = -values[(s - 1) * K + x];
                }
                snprintf(c->what, sizeof c->what, "n %d, K %d, %s", n, K, check_kind_names[kind]);
                mix_run(c, y0, p, values, n, K);
            }
        }
    }
    free(values);
}
