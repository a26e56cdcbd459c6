// SPDX-License-Identifier: Apache-2.0
/* The kernel check's backward pass, but for attention: layer norm, sums over rows, GELU, cross-entropy, transposing.
 *
 * What adds to its output starts from ordinary numbers instead of NaN, and the truth from the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_kernels.h"

/* An output that is added to: n floats, of which a copy lies where it is written. */
static float *added_to(const struct guarded *g, enum place where, const float *before, size_t n)
{
    float *y = check_place(g, where, n * sizeof *y, sizeof *y);
    if (n) memcpy(y, before, n * sizeof *y);
    return y;
}

/* ---- Layer norm ---- */

/* A row and its gradient; what the statistics of the row may be off by. */
struct norm {
    int D;
    float eps;
    const float *dx, *dy, *x, *w;
    long double mean, rate;         /* rate: 1 / sigma */
    long double mean_off, rate_off; /* the latter relatively */
};

/* As in check_rows.c: the mean is off by what its sum is, and shifts the variance by that squared. */
static void norm_of(struct norm *m)
{
    long double size = 0, variance = 0;
    m->mean = 0;
    for (int i = 0; i < m->D; i++) {
        m->mean += (long double)m->x[i];
        size += fabsl((long double)m->x[i]);
    }
    m->mean /= m->D;
    for (int i = 0; i < m->D; i++)
        variance += ((long double)m->x[i] - m->mean) * ((long double)m->x[i] - m->mean) / m->D;
    const long double walk = (9 + sqrtl(m->D)) * EPS, v = variance + (long double)m->eps;
    m->mean_off = walk * size / m->D + TINY;
    m->rate = 1 / sqrtl(v);
    m->rate_off = 0.5L * walk + 0.5L * m->mean_off * m->mean_off / v + 2 * EPS;
}

/* x^ of element i, and how far a computed one may be off. */
static long double normed(const struct norm *m, int i, long double *off)
{
    const long double z = ((long double)m->x[i] - m->mean) * m->rate;
    *off = m->mean_off * m->rate + fabsl(z) * (m->rate_off + 2 * EPS) + TINY;
    return z;
}

/* dx = before + rate (g - mean(g) - x^ mean(g x^)): the two means are sums of D products; x^ is off as above, in its
 * own place and within the mean; six more roundings of what is added up. */
static void norm_back_is_near_truth(struct check *c, const struct norm *m, const float *dx, const float stats[2])
{
    const long double D = m->D, walk = (9 + sqrtl(D)) * EPS;
    long double g_mean = 0, g_size = 0, gx_mean = 0, gx_size = 0, gx_off = 0, off;
    for (int i = 0; i < m->D; i++) {
        const long double g = (long double)m->dy[i] * (long double)m->w[i], z = normed(m, i, &off);
        g_mean += g / D;
        g_size += fabsl(g) / D;
        gx_mean += g * z / D;
        gx_size += fabsl(g * z) / D;
        gx_off += fabsl(g) * off / D;
    }
    gx_off += walk * gx_size + 2 * TINY;
    for (int i = 0; i < m->D; i++) {
        const long double g = (long double)m->dy[i] * (long double)m->w[i], z = normed(m, i, &off);
        const long double truth = (long double)m->dx[i] + m->rate * (g - g_mean - z * gx_mean);
        const long double size = fabsl(g) + fabsl(g_mean) + fabsl(z * gx_mean);
        const long double d = walk * g_size + off * fabsl(gx_mean) + (fabsl(z) + off) * gx_off + 6 * EPS * size +
                              6 * TINY;
        check_near(c, (size_t)i, dx[i], truth,
                   m->rate * (d + m->rate_off * (size + d)) + EPS * fabsl(truth) + 2 * TINY);
    }
    check_near(c, (size_t)m->D, stats[0], m->mean, m->mean_off + EPS * fabsl(m->mean));
    check_near(c, (size_t)m->D + 1, stats[1], m->rate, m->rate * (m->rate_off + EPS));
}

static void norm_back_run(struct check *c, const struct norm *m, float *first, float first_stats[2])
{
    const size_t n = (size_t)m->D, bytes = n * sizeof(float);
    for (enum place where = 0; where < PLACES; where++) {
        const float *dy = check_floats(&c->in[0], where, m->dy, n), *x = check_floats(&c->in[1], where, m->x, n);
        const float *w = check_floats(&c->in[2], where, m->w, n);
        float *stats = check_place(&c->in[3], where, 2 * sizeof *stats, sizeof *stats);
        float *dx = added_to(&c->out, where, m->dx, n);
        const unsigned mode = check_float_mode();
        snprintf(c->now, sizeof c->now, "%s, place %d", c->what, (int)where);
        c->k->layer_norm_back(dx, stats, dy, x, w, m->D, m->eps);
        const struct input in[] = {{dy, m->dy, bytes}, {x, m->x, bytes}, {w, m->w, bytes}};
        check_clean(c, mode, dx, bytes, in, 3);
        check_that(c, guarded_clean_outside(&c->in[3], stats, 2 * sizeof *stats), "wrote outside the statistics");
        if (where == AT_END) {
            memcpy(first, dx, bytes);
            memcpy(first_stats, stats, 2 * sizeof *stats);
        }
        for (size_t i = 0; i < n; i++)
            check_same(c, "other bits elsewhere", i, dx[i], first[i]);
        for (size_t i = 0; i < 2; i++)
            check_same(c, "other statistics elsewhere", i, stats[i], first_stats[i]);
    }
}

void check_layer_norm_back(struct check *c)
{
    static const struct {
        enum kind kind;
        float offset, scale, eps;
    } rows[] = {{NORMAL, 0, 1, 1e-5f},  {NORMAL, 1000, 1, 1e-5f}, {NORMAL, 0, 0, 1e-5f},     {NORMAL, 3, 0, 1e-6f},
                {TINY_X, 0, 1, 1e-12f}, {SPECIAL, 0, 1, 1e-5f},   {NORMAL, 0, 1e-3f, 1e-5f}, {NORMAL, -5, 1e6f, 1e-5f}};
    float *dx = check_alloc(MAX_I), *dy = check_alloc(MAX_I), *x = check_alloc(MAX_I), *w = check_alloc(MAX_I);
    float *have = check_alloc(MAX_I), stats[2];
    for (size_t s = 1; s < SIZES; s++) {
        for (size_t r = 0; r < COUNT_OF(rows); r++) {
            struct norm m = {.D = check_sizes[s], .eps = rows[r].eps, .dx = dx, .dy = dy, .x = x, .w = w};
            check_fill(c, x, (size_t)m.D, rows[r].kind);
            check_fill(c, dx, (size_t)m.D, NORMAL);
            check_fill(c, dy, (size_t)m.D, r % 2 ? NORMAL : rows[r].kind);
            check_fill(c, w, (size_t)m.D, NORMAL);
            for (int i = 0; i < m.D; i++)
                x[i] = rows[r].scale == 0 ? rows[r].offset : x[i] * rows[r].scale + rows[r].offset;
            norm_of(&m);
            snprintf(c->what, sizeof c->what, "D %d, row %zu", m.D, r);
            norm_back_run(c, &m, have, stats);
            norm_back_is_near_truth(c, &m, have, stats);
        }
    }
    free(dx);
    free(dy);
    free(x);
    free(w);
    free(have);
}

/* ---- Sums over rows ---- */

enum { ROWS_STRIDE = MAX_I + PAD };

/* T rows of n columns, what is added to, and what came of it. */
struct sums {
    int T, n;
    const float *dy, *x, *stats;        /* [T][stride], [T][stride], [T][2] */
    const float *dw_before, *db_before; /* [n] */
    float *dw, *db;
    size_t stride;
};

static void sums_run(struct check *c, const struct sums *s, enum place where, int from, int n, float *dw, float *db)
{
    /* of the last row, only the columns that are summed are there */
    const size_t rows = s->T ? (size_t)(s->T - 1) * s->stride + (size_t)n : 0, bytes = rows * sizeof(float);
    const size_t stats_n = 2 * (size_t)s->T, out = (size_t)n * sizeof(float);
    const float *dy = check_floats(&c->in[0], where, s->dy + from, rows),
                *x = check_floats(&c->in[1], where, s->x + from, rows);
    const float *stats = check_floats(&c->in[2], where, s->stats, stats_n);
    float *w = added_to(&c->out, where, s->dw_before + from, (size_t)n),
          *b = added_to(&c->in[3], where, s->db_before + from, (size_t)n);
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, columns %d+%d, place %d", c->what, from, n, (int)where);
    if (s->dw)
        c->k->layer_norm_sums(w, b, dy, x, s->stride, stats, s->T, n);
    else
        c->k->sum_rows(b, dy, s->stride, s->T, n);
    const struct input in[] = {
        {dy, s->dy + from, bytes}, {x, s->x + from, bytes}, {stats, s->stats, stats_n * sizeof *stats}};
    check_clean(c, mode, w, out, in, 3);
    check_that(c, guarded_clean_outside(&c->in[3], b, out), "wrote outside its second output");
    memcpy(dw, w, out);
    memcpy(db, b, out);
}

/* In double there is nothing but the last rounding; in fp32 T-term sums, and x^ is rounded twice. */
static void sums_are_near_truth(struct check *c, const struct sums *s)
{
    const long double walk = (8 + sqrtl(s->T + 1)) * EPS;
    for (int i = 0; i < s->n; i++) {
        long double w = (long double)s->dw_before[i], b = (long double)s->db_before[i];
        long double w_size = fabsl(w), b_size = fabsl(b), greatest = 0;
        for (int t = 0; t < s->T; t++) {
            const size_t at = (size_t)t * s->stride + (size_t)i;
            const long double d = (long double)s->dy[at];
            const long double z = ((long double)s->x[at] - (long double)s->stats[2 * t]) *
                                  (long double)s->stats[2 * t + 1];
            w += d * z;
            b += d;
            w_size += fabsl(d * z) * (1 + 2 * EPS / walk);
            b_size += fabsl(d);
            greatest = fmaxl(greatest, fabsl(d));
        }
        check_near(c, (size_t)i, s->db[i], b, walk * b_size + EPS * fabsl(b) + (s->T + 1) * TINY);
        if (s->dw)
            check_near(c, (size_t)i, s->dw[i], w, walk * w_size + EPS * fabsl(w) + (s->T + 1) * (1 + greatest) * TINY);
    }
}

/* As a whole anywhere, and in two pieces. */
static void check_one_sum(struct check *c, struct sums *s, bool of_norm)
{
    float *dw = check_alloc((size_t)s->n), *db = check_alloc((size_t)s->n);
    float *again_w = check_alloc((size_t)s->n), *again_b = check_alloc((size_t)s->n);
    const int cut = s->n ? (int)(check_u64(c) % (uint64_t)s->n) : 0;
    s->dw = of_norm ? dw : NULL;
    s->db = db;
    sums_run(c, s, AT_END, 0, s->n, dw, db);
    sums_are_near_truth(c, s);
    for (enum place where = 0; where < PLACES; where++) {
        sums_run(c, s, where, 0, where == AT_END ? cut : s->n, again_w, again_b);
        if (where == AT_END) sums_run(c, s, where, cut, s->n - cut, again_w + cut, again_b + cut);
        for (int i = 0; i < s->n; i++) {
            check_same(c, "other bits elsewhere or in pieces", (size_t)i, again_w[i], dw[i]);
            check_same(c, "other bits elsewhere or in pieces", (size_t)i, again_b[i], db[i]);
        }
    }
    free(dw);
    free(db);
    free(again_w);
    free(again_b);
}

static void check_sums(struct check *c, bool of_norm)
{
    static const int some_T[] = {0, 1, 2, 5, MAX_T};
    const size_t most = (size_t)MAX_T * ROWS_STRIDE;
    float *dy = check_alloc(most), *x = check_alloc(most), *before = check_alloc(2 * MAX_I), stats[2 * MAX_T];
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t j = 0; j < COUNT_OF(some_T); j++) {
            const enum kind kind = (enum kind)((i + j) % KINDS);
            struct sums s = {some_T[j], check_sizes[i], dy,   x,    stats,
                             before,    before + MAX_I, NULL, NULL, (size_t)check_sizes[i] + PAD};
            const size_t n = (size_t)s.T * s.stride;
            check_fill(c, dy, n, kind == TINY_W ? TINY_X : kind);
            check_fill(c, x, n, NORMAL);
            check_fill(c, before, 2 * MAX_I, NORMAL);
            for (int t = 0; t < s.T; t++) {
                check_fill(c, &stats[2 * t], 1, NORMAL);
                stats[2 * t + 1] = 0.5f + (float)(check_u64(c) % 1000) * 1e-2f;
                for (size_t k = 0; kind == CANCEL && t % 2 && k < s.stride; k++)
                    dy[(size_t)t * s.stride + k] = -dy[(size_t)(t - 1) * s.stride + k];
            }
            snprintf(c->what, sizeof c->what, "T %d, n %d, %s", s.T, s.n, check_kind_names[kind]);
            check_one_sum(c, &s, of_norm);
        }
    }
    free(dy);
    free(x);
    free(before);
}

void check_layer_norm_sums(struct check *c)
{
    check_sums(c, true);
}

void check_sum_rows(struct check *c)
{
    check_sums(c, false);
}

/* ---- Transposing ---- */

static void transpose_run(struct check *c, k_transpose_fn *transpose, size_t bytes, const char *from, int rows,
                          int columns, size_t pad, enum place where)
{
    const size_t R = (size_t)rows, C = (size_t)columns, from_stride = C + pad, to_stride = R + pad;
    const size_t from_n = R ? (R - 1) * from_stride + C : 0, to_n = C ? (C - 1) * to_stride + R : 0;
    const char *from_at = check_bytes(&c->in[0], where, from, R && C ? from_n * bytes : 0);
    char *to = check_place(&c->out, where, R && C ? to_n * bytes : 0, bytes);
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%d x %d, %zu apart, place %d", rows, columns, pad, (int)where);
    transpose(to, to_stride, from_at, from_stride, rows, columns);
    check_clean(c, mode, to, R && C ? to_n * bytes : 0, &(struct input){from_at, from, R && C ? from_n * bytes : 0}, 1);
    bool moved = true, kept = true;
    for (size_t k = 0; R && k < C; k++) {
        for (size_t r = 0; r < R; r++)
            moved = moved && !memcmp(to + (k * to_stride + r) * bytes, from + (r * from_stride + k) * bytes, bytes);
        if (k + 1 < C) kept = kept && guarded_is_filled(to + (k * to_stride + R) * bytes, pad * bytes);
    }
    check_that(c, moved, "not transposed");
    check_that(c, kept, "wrote between its rows");
}

/* Bytes are random, so that every bit is looked at and two elements are hardly ever alike. */
static void check_transpose(struct check *c, k_transpose_fn *transpose, size_t bytes)
{
    static const int sides[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 33, 65, 130};
    static char from[(130 + PAD) * 130 * sizeof(float)];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (char)check_u64(c);
    for (size_t i = 0; i < COUNT_OF(sides); i++)
        for (size_t j = 0; j < COUNT_OF(sides); j++)
            for (enum place where = 0; where < PLACES; where++)
                transpose_run(c, transpose, bytes, from, sides[i], sides[j], (i + j) % 2 ? PAD : 0, where);
}

void check_transpose_32(struct check *c)
{
    check_transpose(c, c->k->transpose_32, 4);
}

void check_transpose_16(struct check *c)
{
    check_transpose(c, c->k->transpose_16, 2);
}
