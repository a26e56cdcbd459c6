// SPDX-License-Identifier: Apache-2.0
/* Attention of rows of queries over one page of keys and values, for whatever vectors the file that includes this is
 * compiled for.
 *
 * A score is one chain of fused multiply-adds over the components, with positions in the lanes; a component of the
 * result is one chain over the positions, with components in the lanes. So nothing is ever added across lanes but a
 * row's 32 weights, and a tile of some rows by some vectors is that many independent chains: it hides the latency of an
 * FMA and loads each vector of the page once for all its rows, without changing any bit. */
#ifndef GPTJT_KERNELS_X86_ATTENTION_H
#define GPTJT_KERNELS_X86_ATTENTION_H

#include "kernels/kernels.h"
#include "kernels/x86/vec.h"

#ifdef VEC

#include <math.h>
#include <stdbool.h>

enum {
    SCORE_VECS = KV_PAGE / VEC,    /* of one row */
    COLUMN_VECS = KV_COLUMN / VEC, /* of one position */

    /* A tile: 3 rows by 4 vectors are 12 accumulators of 16 registers; 6 by 4 are 24 of 32. */
    TILE_ROWS = VEC == 16 ? 6 : 3,
    TILE_COLUMNS = 4 / COLUMN_VECS,
    /* As many columns for a single row would be one chain after the other. */
    ROW_COLUMNS = 2 * TILE_COLUMNS,

    /* Components of keys that all rows pass over before the next ones: 16 KB of fp32, which stay in the L1 cache. */
    KEY_BLOCK = 128,
};

typedef vec load_fn(const void *p);

static inline vec load_f32(const void *p)
{
    return vec_load(p);
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

static inline bool all_see(const struct attention_rows *a, int t, int R, int at, struct seen part)
{
    for (int r = 0; r < R; r++) {
        const struct seen s = seen_by(a, t + r, at);
        if (s.from != part.from || s.to != part.to) return false;
    }
    return part.from < part.to;
}

/* Asks for memory that will be read soon. A row alone is done with a page in less time than the next one takes to come;
 * the processor's own prefetching stops where a page does. (Inlined by force: gcc 12 drops the call as one that does
 * nothing.) */
static inline __attribute__((always_inline)) void fetch(const char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(p + i);
}

/* ---- Scores ---- */

/* score[r][s] = (go_on ? score[r][s] : 0) + sum over n components of q[r][k] * keys[k][s], for R rows. ahead: as much
 * memory as the keys are, wanted next. */
static inline __attribute__((always_inline)) void score_tile(load_fn *load, size_t bytes, int R, float *score,
                                                             const float *q, size_t stride, const char *keys, int n,
                                                             bool go_on, const char *ahead)
{
    vec sum[TILE_ROWS][SCORE_VECS];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < SCORE_VECS; v++)
            sum[r][v] = go_on ? vec_load(score + r * KV_PAGE + v * VEC) : vec_set1(0);
    for (int k = 0; k < n; k++, keys += KV_PAGE * bytes) {
        vec key[SCORE_VECS];
        for (int v = 0; v < SCORE_VECS; v++)
            key[v] = load(keys + (size_t)(v * VEC) * bytes);
        if (R == 1) fetch(ahead + (size_t)k * KV_PAGE * bytes, KV_PAGE * bytes);
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

/* Of all positions of the page: what a row does not see, soften() drops. */
static inline __attribute__((always_inline)) void
score_page(load_fn *load, size_t bytes, const struct attention_rows *a, const char *keys, const char *ahead, int at)
{
    const size_t block = KEY_BLOCK * KV_PAGE * bytes;
    for (int k = 0; k < a->K; k += KEY_BLOCK, keys += block, ahead += block) {
        const int n = a->K - k < KEY_BLOCK ? a->K - k : KEY_BLOCK;
        for (int t = 0; t < a->T;) {
            float *score = a->score + t * KV_PAGE;
            const float *q = a->q + (size_t)t * a->stride + k;
            const bool tile = t + TILE_ROWS <= a->T;
            if (tile && any_sees(a, t, TILE_ROWS, at))
                score_tile(load, bytes, TILE_ROWS, score, q, a->stride, keys, n, k > 0, ahead);
            else if (!tile && any_sees(a, t, 1, at))
                score_tile(load, bytes, 1, score, q, a->stride, keys, n, k > 0, ahead);
            t += tile ? TILE_ROWS : 1;
        }
    }
}

/* Row t's scores become weights, exp(score - max); its max and sum so far become those with this page. */
static inline void soften(const struct attention_rows *a, int t, struct seen seen)
{
    float *p = a->score + t * KV_PAGE;
    vec x[SCORE_VECS], max = vec_set1(-INFINITY), sum = vec_set1(0);
    for (int s = 0; s < seen.from; s++) /* of positions that only other rows see, or that were never stored */
        p[s] = -INFINITY;
    for (int s = seen.to; s < KV_PAGE; s++)
        p[s] = -INFINITY;
    for (int v = 0; v < SCORE_VECS; v++) {
        x[v] = vec_mul(vec_load(p + v * VEC), vec_set1(a->scale));
        max = vec_max(max, x[v]);
    }
    const float page_max = vec_reduce_max(max), old_max = a->max[t], new_max = page_max > old_max ? page_max : old_max;
    /* as long as all scores are -inf, any finite number will do: exp(-inf - it) is 0 */
    const float base = new_max == -INFINITY ? 0 : new_max;
    for (int v = 0; v < SCORE_VECS; v++) {
        x[v] = vec_exp(vec_sub(x[v], vec_set1(base)));
        vec_store(p + v * VEC, x[v]);
        sum = vec_add(sum, x[v]);
    }
    vec_store_n(a->keep + t, 1, vec_exp(vec_set1(old_max - base)));
    a->sum[t] = a->sum[t] * a->keep[t] + (float)dvec_reduce_add(dvec_add(dvec_low(sum), dvec_high(sum)));
    a->max[t] = new_max;
}

/* ---- Values ---- */

/* y[r][.] = y[r][.] * keep[r] + sum over positions s that are seen of p[r][s] * values[s][.], for R rows and so many
 * columns. ahead: as much memory as the columns are, wanted next. */
static inline __attribute__((always_inline)) void mix_tile(load_fn *load, size_t bytes, int R, int columns, float *y,
                                                           size_t stride, const float *keep, const float *p,
                                                           const char *values, struct seen seen, const char *ahead)
{
    const int n = columns * COLUMN_VECS;
    vec sum[TILE_ROWS][ROW_COLUMNS * COLUMN_VECS];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < n; v++)
            sum[r][v] = vec_mul(vec_load(y + (size_t)r * stride + v * VEC), vec_set1(keep[r]));
    values += (size_t)seen.from * KV_COLUMN * bytes;
    for (int s = seen.from; s < seen.to; s++, values += KV_COLUMN * bytes) {
        vec value[ROW_COLUMNS * COLUMN_VECS];
        for (int v = 0; v < n; v++)
            value[v] = load(values + (size_t)(v / COLUMN_VECS * KV_PAGE * KV_COLUMN + v % COLUMN_VECS * VEC) * bytes);
        if (R == 1) fetch(ahead + (size_t)(s * columns * KV_COLUMN) * bytes, (size_t)(columns * KV_COLUMN) * bytes);
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

/* R rows from t on, n columns from column c on, `most` at once. */
static inline __attribute__((always_inline)) void mix_rows(load_fn *load, size_t bytes, int R, int most,
                                                           const struct attention_rows *a, int t, const char *values,
                                                           const char *ahead, struct seen seen, int c, int n)
{
    const size_t column = KV_PAGE * KV_COLUMN * bytes;
    const float *keep = a->keep + t, *p = a->score + t * KV_PAGE;
    float *y = a->y + (size_t)t * a->stride + (size_t)c * KV_COLUMN;
    values += (size_t)c * column;
    ahead += (size_t)c * column;
    for (; n >= most; n -= most, y += most * KV_COLUMN, values += (size_t)most * column, ahead += (size_t)most * column)
        mix_tile(load, bytes, R, most, y, a->stride, keep, p, values, seen, ahead);
    for (; n > 0; n--, y += KV_COLUMN, values += column, ahead += column)
        mix_tile(load, bytes, R, 1, y, a->stride, keep, p, values, seen, ahead);
}

/* A few columns of the page stay in the L1 cache while all rows pass. */
static inline __attribute__((always_inline)) void mix_page(load_fn *load, size_t bytes, const struct attention_rows *a,
                                                           const char *values, const char *ahead, int at)
{
    const int columns = (a->K + KV_COLUMN - 1) / KV_COLUMN;
    for (int c = 0; c < columns; c += ROW_COLUMNS) {
        const int n = columns - c < ROW_COLUMNS ? columns - c : ROW_COLUMNS;
        for (int t = 0; t < a->T;) {
            const struct seen seen = seen_by(a, t, at);
            if (t + TILE_ROWS <= a->T && all_see(a, t, TILE_ROWS, at, seen)) {
                mix_rows(load, bytes, TILE_ROWS, TILE_COLUMNS, a, t, values, ahead, seen, c, n);
                t += TILE_ROWS;
            } else {
                if (seen.from < seen.to) mix_rows(load, bytes, 1, ROW_COLUMNS, a, t, values, ahead, seen, c, n);
                t++;
            }
        }
    }
}

/* ---- The page ---- */

static inline __attribute__((always_inline)) void attend(load_fn *load, size_t bytes, const struct attention_rows *a,
                                                         const char *keys, const char *values, int at)
{
    score_page(load, bytes, a, keys, values, at);
    for (int t = 0; t < a->T; t++) {
        const struct seen seen = seen_by(a, t, at);
        if (seen.from < seen.to) soften(a, t, seen);
    }
    mix_page(load, bytes, a, values, a->next ? a->next : keys, at);
}

static inline void k_attention_f32(const struct attention_rows *a, const void *keys, const void *values, int at)
{
    attend(load_f32, sizeof(float), a, keys, values, at);
}

static inline void k_attention_f16(const struct attention_rows *a, const void *keys, const void *values, int at)
{
    attend(vec_load_f16, sizeof(uint16_t), a, keys, values, at);
}

static inline void attention_fill(struct kernels *k)
{
    k->attention_f32 = k_attention_f32;
    k->attention_f16 = k_attention_f16;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

static inline void attention_fill(struct kernels *k)
{
    (void)k;
}

#endif
#endif
