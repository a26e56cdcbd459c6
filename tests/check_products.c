// SPDX-License-Identifier: Apache-2.0
/* The kernel check's matrix products. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_kernels.h"

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
