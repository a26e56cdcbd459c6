// SPDX-License-Identifier: Apache-2.0
/* Attention's way back over one page, for whatever vectors the file that includes this is compiled for.
 *
 * Five products: scores and dy.v as on the way forward (attention.h), then dq, dk and dv, which are sums of vectors of
 * components, each times a number. Like all there, they are chains of fused multiply-adds that begin with what the
 * output holds, over the positions (dq) or the rows (dk, dv) in ascending order, so that neither tiles nor the cutting
 * of rows into calls changes a bit. What a row does not see is left out of the chains rather than multiplied by 0,
 * which would let an infinity through. */
#ifndef GPTJT_KERNELS_X86_ATTENTION_BACK_H
#define GPTJT_KERNELS_X86_ATTENTION_BACK_H

#include "kernels/x86/attention.h"

#ifdef VEC

/* Where the operands of a tile of products lie: from row to row and from column to column of the output, from row to
 * row and from term to term of the numbers, from term to term and from column to column of the vectors. */
struct apart {
    size_t out_row, out_column, w_row, w_term, in_term, in_column;
};

/* out[r][.] += sum over n terms i of w[r][i] * in[i][.], for R rows and so many columns. */
static inline __attribute__((always_inline)) void add_tile(int R, int columns, float *out, const float *w,
                                                           const float *in, int n, struct apart apart)
{
    const int vecs = columns * COLUMN_VECS;
    vec sum[TILE_ROWS][ROW_COLUMNS * COLUMN_VECS];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < vecs; v++)
            sum[r][v] = vec_load(out + (size_t)r * apart.out_row + (size_t)(v / COLUMN_VECS) * apart.out_column +
                                 v % COLUMN_VECS * VEC);
    for (int i = 0; i < n; i++, w += apart.w_term, in += apart.in_term) {
        vec term[ROW_COLUMNS * COLUMN_VECS];
        for (int v = 0; v < vecs; v++)
            term[v] = vec_load(in + (size_t)(v / COLUMN_VECS) * apart.in_column + v % COLUMN_VECS * VEC);
        for (int r = 0; r < R; r++) {
            const vec number = vec_set1(w[(size_t)r * apart.w_row]);
            for (int v = 0; v < vecs; v++)
                sum[r][v] = vec_fma(number, term[v], sum[r][v]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < vecs; v++)
            vec_store(out + (size_t)r * apart.out_row + (size_t)(v / COLUMN_VECS) * apart.out_column +
                          v % COLUMN_VECS * VEC,
                      sum[r][v]);
}

/* The same for any number of columns, `most` at once. */
static inline __attribute__((always_inline)) void add_columns(int R, int most, int columns, float *out, const float *w,
                                                              const float *in, int n, struct apart apart)
{
    if (n <= 0) return;
    for (; columns >= most; columns -= most) {
        add_tile(R, most, out, w, in, n, apart);
        out += (size_t)most * apart.out_column;
        in += (size_t)most * apart.in_column;
    }
    for (; columns > 0; columns--, out += apart.out_column, in += apart.in_column)
        add_tile(R, 1, out, w, in, n, apart);
}

/* ---- p and ds ---- */

/* p holds the scores and ds what dy.v is, of the whole page; afterwards both are right where the row looks. */
static inline void soften_back(const struct attention_back_rows *a, int t)
{
    float *p = a->p + t * KV_PAGE, *ds = a->ds + t * KV_PAGE;
    const vec scale = vec_set1(a->scale), minus_lse = vec_set1(-a->lse[t]), delta = vec_set1(a->delta[t]);
    for (int s = 0; s < KV_PAGE; s += VEC) {
        const vec weight = vec_exp(vec_fma(vec_load(p + s), scale, minus_lse));
        vec_store(p + s, weight);
        vec_store(ds + s, vec_mul(vec_mul(weight, vec_sub(vec_load(ds + s), delta)), scale));
    }
}

/* ---- dq ---- */

/* R rows from t on, which see the same part of the page; n columns from column c on. */
static inline __attribute__((always_inline)) void dq_rows(int R, int most, const struct attention_back_rows *a,
                                                          const struct attention_back_page *page, int t,
                                                          struct seen seen, int c, int n)
{
    const struct apart apart = {a->stride, KV_COLUMN, KV_PAGE, 1, KV_COLUMN, KV_PAGE * KV_COLUMN};
    add_columns(R, most, n, a->dq + (size_t)t * a->stride + (size_t)c * KV_COLUMN, a->ds + t * KV_PAGE + seen.from,
                page->keys_across + (c * KV_PAGE + seen.from) * KV_COLUMN, seen.to - seen.from, apart);
}

static inline void dq_row(const struct attention_back_rows *a, const struct attention_back_page *page, int t, int from,
                          int to, int c, int n)
{
    dq_rows(1, ROW_COLUMNS, a, page, t, (struct seen){from, to}, c, n);
}

/* What all of R rows see of the page. */
static inline struct seen common_part(const struct attention_rows *rows, int t, int R, int at)
{
    struct seen common = {0, KV_PAGE};
    for (int r = 0; r < R; r++) {
        const struct seen s = seen_by(rows, t + r, at);
        if (s.from > common.from) common.from = s.from;
        if (s.to < common.to) common.to = s.to;
    }
    return common;
}

/* Each row's positions in ascending order: its own before what the tile shares, the tile's, its own behind. */
static inline void dq_tile(const struct attention_back_rows *a, const struct attention_rows *rows,
                           const struct attention_back_page *page, int t, int R, int c, int n)
{
    struct seen common = common_part(rows, t, R, page->at);
    const bool tile = R == TILE_ROWS && common.from < common.to;
    for (int r = 0; r < R; r++) {
        const struct seen s = seen_by(rows, t + r, page->at);
        dq_row(a, page, t + r, s.from, tile ? common.from : s.to, c, n);
    }
    if (!tile) return;
    dq_rows(TILE_ROWS, TILE_COLUMNS, a, page, t, common, c, n);
    for (int r = 0; r < TILE_ROWS; r++)
        dq_row(a, page, t + r, common.to, seen_by(rows, t + r, page->at).to, c, n);
}

/* ---- dk and dv ---- */

/* How many rows from t on see all of R positions from s on. */
static inline int rows_seeing(const struct attention_back_rows *a, int t, int s, int R)
{
    int n = 0;
    while (t + n < a->T && a->lo[t + n] <= s && s + R <= a->hi[t + n])
        n++;
    return n;
}

/* What n rows from t on add to R positions from s on, in n_columns columns from column c on. */
static inline __attribute__((always_inline)) void dkv_rows(int R, int most, const struct attention_back_rows *a,
                                                           const struct attention_back_page *page, int s, int t, int n,
                                                           int c, int n_columns)
{
    const struct apart apart = {KV_COLUMN, KV_PAGE * KV_COLUMN, 1, KV_PAGE, a->stride, KV_COLUMN};
    const int out = (c * KV_PAGE + s) * KV_COLUMN, w = t * KV_PAGE + s;
    const size_t in = (size_t)t * a->stride + (size_t)c * KV_COLUMN;
    add_columns(R, most, n_columns, page->dk + out, a->ds + w, a->q + in, n, apart);
    add_columns(R, most, n_columns, page->dv + out, a->p + w, a->dy + in, n, apart);
}

/* R positions from s on; whole: all rows see the whole page. */
static inline __attribute__((always_inline)) void dkv_positions(int R, const struct attention_back_rows *a,
                                                                const struct attention_back_page *page, int s,
                                                                bool whole, int c, int n_columns)
{
    for (int t = 0; t < a->T;) {
        const int n = whole ? a->T : rows_seeing(a, t, page->at + s, R);
        dkv_rows(R, TILE_COLUMNS, a, page, s, t, n, c, n_columns);
        t += n;
        if (t == a->T) break;
        for (int r = 0; r < R; r++) /* the row in between may see some */
            if (a->lo[t] <= page->at + s + r && page->at + s + r < a->hi[t])
                dkv_rows(1, ROW_COLUMNS, a, page, s + r, t, 1, c, n_columns);
        t++;
    }
}

static inline void dkv_page(const struct attention_back_rows *a, const struct attention_back_page *page, int c,
                            int n_columns)
{
    enum { REST = KV_PAGE % TILE_ROWS };
    _Static_assert(REST == 2, "a last tile of positions of its own size");
    bool whole = true;
    for (int t = 0; t < a->T; t++)
        whole = whole && a->lo[t] <= page->at && page->at + KV_PAGE <= a->hi[t];
    for (int s = 0; s + TILE_ROWS <= KV_PAGE; s += TILE_ROWS)
        dkv_positions(TILE_ROWS, a, page, s, whole, c, n_columns);
    dkv_positions(REST, a, page, KV_PAGE - REST, whole, c, n_columns);
}

/* ---- The page ---- */

static inline void k_attention_back(const struct attention_back_rows *a, const struct attention_back_page *page)
{
    const int columns = (a->K + KV_COLUMN - 1) / KV_COLUMN;
    struct attention_rows rows = {
        .T = a->T, .K = a->K, .stride = a->stride, .q = a->q, .lo = a->lo, .hi = a->hi, .score = a->p};
    score_page(load_f32, sizeof(float), &rows, (const char *)page->keys_down, (const char *)page->keys_down, page->at);
    rows.q = a->dy;
    rows.score = a->ds;
    score_page(load_f32, sizeof(float), &rows, (const char *)page->values_down, (const char *)page->values_down,
               page->at);
    for (int t = 0; t < a->T; t++)
        if (any_sees(&rows, t, 1, page->at)) soften_back(a, t);
    for (int c = 0; c < columns; c += TILE_COLUMNS) {
        const int n = columns - c < TILE_COLUMNS ? columns - c : TILE_COLUMNS;
        for (int t = 0; t < a->T; t += TILE_ROWS)
            dq_tile(a, &rows, page, t, a->T - t < TILE_ROWS ? a->T - t : TILE_ROWS, c, n);
        dkv_page(a, page, c, n);
    }
}

static inline void attention_back_fill(struct kernels *k)
{
    k->attention_back = k_attention_back;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

static inline void attention_back_fill(struct kernels *k)
{
    (void)k;
}

#endif
#endif
