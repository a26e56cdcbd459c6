// SPDX-License-Identifier: Apache-2.0
/* The kernel check's dot products: matrix products, and the two halves of attention. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_kernels.h"

/* ---- Matrix products ---- */

struct product {
    enum dtype dtype;
    int I;
    size_t x_stride;
    const float *x; /* [MAX_T][x_stride] */
    const char *w;  /* [MAX_O][I]        */
    float *whole;   /* [MAX_T][MAX_O] as computed in one call */
};

static k_matmul_fn *matmul_of(const struct kernels *k, enum dtype d)
{
    return d == DTYPE_F32 ? k->matmul_f32 : d == DTYPE_F16 ? k->matmul_f16 : k->matmul_bf16;
}

/* Rows t0 .. t0 + T of x by rows o0 .. o0 + O of w; the result is c->out's, valid until the next call. */
static const float *product_run(struct check *c, const struct product *p, int t0, int T, int o0, int O, size_t y_stride,
                                enum place where)
{
    const size_t I = (size_t)p->I, x_n = T ? (size_t)(T - 1) * p->x_stride + I : 0, bytes = dtype_bytes(p->dtype);
    const size_t y_n = T && O ? (size_t)(T - 1) * y_stride + (size_t)O : 0;
    const float *x_from = p->x + (size_t)t0 * p->x_stride;
    const char *w_from = p->w + (size_t)o0 * I * bytes;
    const float *x = check_floats(&c->in[0], where, x_from, x_n);
    const void *w = check_bytes(&c->in[1], where, w_from, (size_t)O * I * bytes);
    float *y = check_place(&c->out, where, y_n * sizeof *y, sizeof *y);
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, rows %d+%d, outputs %d+%d, place %d", c->what, t0, T, o0, O, (int)where);

    matmul_of(c->k, p->dtype)(y, y_stride, x, p->x_stride, w, T, O, p->I);

    const struct input in[] = {{x, x_from, x_n * sizeof *x}, {w, w_from, (size_t)O * I * bytes}};
    check_clean(c, mode, y, y_n * sizeof *y, in, 2);
    for (int t = 0; t + 1 < T && O; t++)
        for (size_t i = (size_t)O; i < y_stride; i++)
            check_that(c, isnan(y[(size_t)t * y_stride + i]), "wrote between its rows");
    return y;
}

static void product_is_near_truth(struct check *c, const struct product *p)
{
    const float *y = product_run(c, p, 0, MAX_T, 0, MAX_O, MAX_O, AT_END);
    memcpy(p->whole, y, sizeof(float) * MAX_T * MAX_O);
    for (int t = 0; t < MAX_T; t++) {
        for (int o = 0; o < MAX_O; o++) {
            long double sum = 0, size = 0;
            for (int i = 0; i < p->I; i++) {
                const long double product = (long double)p->x[(size_t)t * p->x_stride + (size_t)i] *
                                            (long double)check_load(p->w, p->dtype,
                                                                    (size_t)o * (size_t)p->I + (size_t)i);
                sum += product;
                size += fabsl(product);
            }
            const long double n = p->I;
            check_near(c, (size_t)(t * MAX_O + o), p->whole[t * MAX_O + o], sum,
                       (8 + sqrtl(n)) * EPS * size + EPS * fabsl(sum) + (n + 1) * TINY);
        }
    }
}

static void product_part_is_the_same(struct check *c, const struct product *p, int t0, int T, int o0, int O,
                                     enum place where)
{
    const size_t y_stride = (size_t)O + (where == AT_END ? 0 : PAD);
    const float *y = product_run(c, p, t0, T, o0, O, y_stride, where);
    for (int t = 0; t < T; t++)
        for (int o = 0; o < O; o++)
            check_same(c, "other bits than in the whole", (size_t)(t * O + o), y[(size_t)t * y_stride + (size_t)o],
                       p->whole[(t0 + t) * MAX_O + o0 + o]);
}

static void check_product(struct check *c, const struct product *p)
{
    static const int some_T[] = {0, 1, 2, 3, 4, 5, 6, 7, 12, MAX_T};
    static const int some_O[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, MAX_O};
    product_is_near_truth(c, p);
    for (size_t i = 0; i < COUNT_OF(some_T); i++) {
        for (size_t j = 0; j < COUNT_OF(some_O); j++) {
            const int T = some_T[i], O = some_O[j];
            if (T * O * p->I > 100000) continue; /* the work done twice; shorter rows have covered these shapes */
            for (enum place where = 0; where < PLACES; where++)
                product_part_is_the_same(c, p, MAX_T - T, T, MAX_O - O, O, where);
        }
    }
    for (int t = 0; t < MAX_T; t++)
        product_part_is_the_same(c, p, t, 1, 0, p->I > 200 ? 5 : MAX_O, NEAR_END);
    for (int o = 0; o < MAX_O; o++)
        product_part_is_the_same(c, p, 0, p->I > 200 ? 4 : MAX_T, o, 1, NEAR_END);
    for (int i = 0; i < MAX_T; i++)
        product_part_is_the_same(c, p, i, 1, 2 * i, 1, AT_END);
}

static void check_matmul(struct check *c, enum dtype dtype)
{
    for (size_t s = 0; s < SIZES; s++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            const int I = check_sizes[s];
            const size_t stride = (size_t)I + PAD;
            float *x = check_alloc(MAX_T * stride), whole[MAX_T * MAX_O];
            char *w = malloc((size_t)MAX_O * (size_t)I * dtype_bytes(dtype) + 1);
            if (!w) abort();
            check_fill_matrices(c, x, MAX_T, stride, w, dtype, MAX_O, I, kind);
            snprintf(c->what, sizeof c->what, "I %d, %s", I, check_kind_names[kind]);
            const struct product p = {dtype, I, stride, x, w, whole};
            check_product(c, &p);
            free(w);
            free(x);
        }
    }
}

void check_matmul_f32(struct check *c)
{
    check_matmul(c, DTYPE_F32);
}

void check_matmul_f16(struct check *c)
{
    check_matmul(c, DTYPE_F16);
}

void check_matmul_bf16(struct check *c)
{
    check_matmul(c, DTYPE_BF16);
}

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
