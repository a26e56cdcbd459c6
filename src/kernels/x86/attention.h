// SPDX-License-Identifier: Apache-2.0
/* Attention of rows of queries over one page of keys and values, for whatever vectors the file that includes this is
 * compiled for.
 *
 * A score is one chain of fused multiply-adds over the components, with positions in the lanes; a component of the
 * result is one chain over the positions, with components in the lanes. So nothing is ever added across lanes but a
 * row's 32 probabilities, and a tile of R rows by some vectors holds that many independent chains: it hides the FMA's
 * latency and loads each vector of the page once for R rows, without changing any bit. */
#ifndef GPTJT_KERNELS_X86_ATTENTION_H
#define GPTJT_KERNELS_X86_ATTENTION_H

#include "kernels/x86/vec.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <math.h>
#include <stdbool.h>

#include "kernels/kernels.h"

enum {
    SCORE_VECS = KV_PAGE / VEC,    /* of one row */
    COLUMN_VECS = KV_COLUMN / VEC, /* of one position */
    ROWS = 3,                      /* a tile's: with 4 vectors that is 12 accumulators of 16 registers */
    TILE_COLUMNS = 4 / COLUMN_VECS,
    /* Components of keys that all rows pass over before the next ones: 16 KB of fp32, which stay in the L1 cache. */
    KEY_BLOCK = 128,
};

typedef vec load_fn(const char *p);

static inline vec load_f32(const char *p)
{
    return vec_load((const float *)(const void *)p);
}

static inline vec load_f16(const char *p)
{
    return vec_load_f16(p);
}

/* score[r][s] (+)= sum over n components of q[r][k] * keys[k][s] */
static inline __attribute__((always_inline)) void score_tile(load_fn *load, size_t bytes, int R, float *score,
                                                             const float *q, size_t stride, const char *keys, int n,
                                                             bool go_on)
{
    vec sum[ROWS][SCORE_VECS];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < SCORE_VECS; v++)
            sum[r][v] = go_on ? vec_load(score + r * KV_PAGE + v * VEC) : vec_set1(0);
    for (int k = 0; k < n; k++, keys += KV_PAGE * bytes) {
        vec key[SCORE_VECS];
        for (int v = 0; v < SCORE_VECS; v++)
            key[v] = load(keys + (size_t)(v * VEC) * bytes);
        for (int r = 0; r < R; r++) {
            const vec component = vec_set1(q[(size_t)r * stride + (size_t)k]);
            for (int v = 0; v < SCORE_VECS; v++)
                sum[r][v] = vec_fma(component, key[v], sum[r][v]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < SCORE_VECS; v++)
            vec_store(score + r * KV_PAGE + v * VEC, sum[r][v]);
}

/* y[r][.] = y[r][.] * keep[r] + sum over positions from <= s < to of p[r][s] * values[s][.], for `columns` columns */
static inline __attribute__((always_inline)) void mix_tile(load_fn *load, size_t bytes, int R, int columns, float *y,
                                                           size_t stride, const float *keep, const float *p,
                                                           const char *values, int from, int to)
{
    const int n = columns * COLUMN_VECS;
    vec sum[ROWS][2 * TILE_COLUMNS * COLUMN_VECS];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < n; v++)
            sum[r][v] = vec_mul(vec_load(y + (size_t)r * stride + v * VEC), vec_set1(keep[r]));
    values += (size_t)from * KV_COLUMN * bytes;
    for (int s = from; s < to; s++, values += KV_COLUMN * bytes) {
        vec value[2 * TILE_COLUMNS * COLUMN_VECS];
        for (int v = 0; v < n; v++)
            value[v] = load(values + (size_t)(v / COLUMN_VECS * KV_PAGE * KV_COLUMN + v % COLUMN_VECS * VEC) * bytes);
        for (int r = 0; r < R; r++) {
            const vec weight = vec_set1(p[r * KV_PAGE + s]);
            for (int v = 0; v < n; v++)
                sum[r][v] = vec_fma(weight, value[v], sum[r][v]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < n; v++)
            vec_store(y + (size_t)r * stride + v * VEC, sum[r][v]);
}

/* What row t sees of the page that begins at position `at`. */
struct seen {
    int from, to;
};

static inline int clamp_to_page(int s)
{
    return s < 0 ? 0 : s > KV_PAGE ? KV_PAGE : s;
}

static inline struct seen seen_by(const struct attention_rows *a, int t, int at)
{
    return (struct seen){clamp_to_page(a->lo[t] - at), clamp_to_page(a->hi[t] - at)};
}

static inline bool any_sees(const struct attention_rows *a, int t, int R, int at)
{
    for (int r = 0; r < R; r++) {
        const struct seen s = seen_by(a, t + r, at);
        if (s.from < s.to) return true;
    }
    return false;
}

/* Whether R rows see the same part of the page, and do see some. */
static inline bool all_see(const struct attention_rows *a, int t, int R, int at, struct seen same)
{
    for (int r = 1; r < R; r++) {
        const struct seen s = seen_by(a, t + r, at);
        if (s.from != same.from || s.to != same.to) return false;
    }
    return same.from < same.to;
}

/* Scores become exp(score - max), and the sum so far and max become those with this page. */
static inline void soften(const struct attention_rows *a, int t, struct seen s)
{
    float *p = a->score + t * KV_PAGE;
    vec x[SCORE_VECS], max = vec_set1(-INFINITY), sum = vec_set1(0);
    for (int v = 0; v < SCORE_VECS; v++) {
        x[v] = vec_mul(vec_load(p + v * VEC), vec_set1(a->scale));
        if (s.from > v * VEC || s.to < (v + 1) * VEC) /* the others are of another row or were never stored */
            x[v] = vec_select(x[v], vec_set1(-INFINITY), s.from - v * VEC, s.to - v * VEC);
        max = vec_max(max, x[v]);
    }
    const float page_max = vec_reduce_max(max), new_max = page_max > a->max[t] ? page_max : a->max[t];
    /* as long as all scores are -inf, any finite number will do: exp(-inf - it) is 0 */
    const float base = new_max == -INFINITY ? 0 : new_max;
    for (int v = 0; v < SCORE_VECS; v++) {
        x[v] = vec_exp(vec_add(x[v], vec_set1(-base)));
        vec_store(p + v * VEC, x[v]);
        sum = vec_add(sum, x[v]);
    }
    a->keep[t] = vec_first(vec_exp(vec_set1(a->max[t] - base)));
    a->sum[t] = a->sum[t] * a->keep[t] + vec_reduce_add(sum);
    a->max[t] = new_max;
}

static inline __attribute__((always_inline)) void
score_rows(load_fn *load, size_t bytes, int R, const struct attention_rows *a, int t, const char *keys, int k)
{
    const int left = a->K - k, n = left < KEY_BLOCK ? left : KEY_BLOCK;
    score_tile(load, bytes, R, a->score + t * KV_PAGE, a->q + (size_t)t * a->stride + k, a->stride,
               keys + (size_t)(k * KV_PAGE) * bytes, n, k > 0);
}

static inline __attribute__((always_inline)) void score_page(load_fn *load, size_t bytes,
                                                             const struct attention_rows *a, const char *keys, int at)
{
    for (int k = 0; k < a->K; k += KEY_BLOCK) {
        int t = 0;
        for (; t + ROWS <= a->T; t += ROWS)
            if (any_sees(a, t, ROWS, at)) score_rows(load, bytes, ROWS, a, t, keys, k);
        for (; t < a->T; t++)
            if (any_sees(a, t, 1, at)) score_rows(load, bytes, 1, a, t, keys, k);
    }
}

/* n columns from column c on. */
static inline __attribute__((always_inline)) void mix_rows(load_fn *load, size_t bytes, int R,
                                                           const struct attention_rows *a, int t, const char *values,
                                                           struct seen s, int c, int n)
{
    const int most = R == 1 ? 2 * TILE_COLUMNS : TILE_COLUMNS;
    for (int step; n; c += step, n -= step) {
        step = n >= most ? most : 1;
        float *y = a->y + (size_t)t * a->stride + (size_t)c * KV_COLUMN;
        const char *v = values + (size_t)(c * KV_PAGE * KV_COLUMN) * bytes;
        const float *keep = a->keep + t, *p = a->score + t * KV_PAGE;
        if (step == most)
            mix_tile(load, bytes, R, most, y, a->stride, keep, p, v, s.from, s.to);
        else
            mix_tile(load, bytes, R, 1, y, a->stride, keep, p, v, s.from, s.to);
    }
}

static inline __attribute__((always_inline)) void mix_page(load_fn *load, size_t bytes, const struct attention_rows *a,
                                                           const char *values, int at)
{
    const int columns = (a->K + KV_COLUMN - 1) / KV_COLUMN, most = 2 * TILE_COLUMNS;
    for (int c = 0; c < columns; c += most) {
        const int n = columns - c < most ? columns - c : most;
        for (int t = 0; t < a->T;) {
            const struct seen s = seen_by(a, t, at);
            if (t + ROWS <= a->T && all_see(a, t, ROWS, at, s)) {
                mix_rows(load, bytes, ROWS, a, t, values, s, c, n);
                t += ROWS;
            } else {
                if (s.from < s.to) mix_rows(load, bytes, 1, a, t, values, s, c, n);
                t++;
            }
        }
    }
}

static inline __attribute__((always_inline)) void attend(load_fn *load, size_t bytes, const struct attention_rows *a,
                                                         const char *keys, const char *values, int at)
{
    score_page(load, bytes, a, keys, at);
    for (int t = 0; t < a->T; t++) {
        const struct seen s = seen_by(a, t, at);
        if (s.from < s.to) soften(a, t, s);
    }
    mix_page(load, bytes, a, values, at);
}

#endif
#endif
