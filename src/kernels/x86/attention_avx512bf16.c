// SPDX-License-Identifier: Apache-2.0
/* Attention with factors rounded to bf16, by VDPBF16PS: queries and keys, weights and values, and all that is
 * multiplied on the way back. Sums, exponentials and what is kept between pages are fp32, as in attention.h and
 * attention_back.h, which say how rows and pages are gone through; here chains are over pairs: of components (scores),
 * of positions (y, dq) and of rows (dk, dv).
 *
 * The vectors of a page are rounded and paired once for all rows, a block that stays in L1 at a time. Of a pair of
 * positions a row may see one only: the other is zero on both sides, so that whatever is there is not noticed. On the
 * way back rows that see any of the page are multiplied by all of it, with weights of zero, so their numbers have to be
 * finite, which a gradient of anything else would not be. */
#include "kernels/x86/attention_back.h"

#if defined(VEC) && defined(__AVX512BF16__)

#include "kernels/x86/pairs_avx512.h"

enum { PAGE_PAIRS = KV_PAGE / 2, BLOCK_PAIRS = KEY_BLOCK / 2 };

/* ---- Pairs ---- */

/* n numbers side by side; the pairs behind them, up to whole vectors, are zeros. */
INLINE void pair_row(int32_t *to, const float *x, int n)
{
    for (int i = 0; i < n; i += 2 * VEC, to += VEC)
        store_vector(
            to, to_bf16(wide_f32((const char *)(x + i), n - i), wide_f32((const char *)(x + i + VEC), n - i - VEC)));
}

/* Component k of a vector of positions with the next one, if there are n. */
INLINE __m512i pair_of_components(load_fn *load, size_t bytes, const char *from, int k, int n)
{
    return pairs(load(from), k + 1 < n ? load(from + KV_PAGE * bytes) : vec_set1(0));
}

/* Column's components of a position with those of the next one. */
INLINE __m512i pair_of_positions(load_fn *load, size_t bytes, const char *from)
{
    return pairs(load(from), load(from + KV_COLUMN * bytes));
}

/* n components of all positions: [pair][KV_PAGE]. */
INLINE void pair_components(load_fn *load, size_t bytes, int32_t *to, const char *from, int n)
{
    for (int k = 0; k < n; k += 2, from += 2 * KV_PAGE * bytes, to += KV_PAGE)
        for (int s = 0; s < KV_PAGE; s += VEC)
            store_vector(to + s, pair_of_components(load, bytes, from + (size_t)s * bytes, k, n));
}

/* Columns of components, position by position: [column][pair of positions][KV_COLUMN]. */
INLINE void pair_positions(load_fn *load, size_t bytes, int32_t *to, const char *from, int columns)
{
    for (int i = 0; i < columns * PAGE_PAIRS; i++, from += 2 * KV_COLUMN * bytes, to += KV_COLUMN)
        store_vector(to, pair_of_positions(load, bytes, from));
}

/* ---- Products ---- */

/* out[r][.] = (keep ? out[r][.] keep[r] : out[r][.]) + sum over n pairs i of w[r][i] in[i][.], for R rows and so many
 * columns. Of the first and the last pair of `in` only the bits of the masks count. */
INLINE void add_pairs(int R, int columns, float *out, const float *keep, const int32_t *w, const int32_t *in, int n,
                      struct apart apart, int32_t first_mask, int32_t last_mask)
{
    vec sum[TILE_ROWS][TILE_COLUMNS];
    for (int r = 0; r < R; r++) {
        for (int v = 0; v < columns; v++) {
            sum[r][v] = vec_load(out + (size_t)r * apart.out_row + (size_t)v * apart.out_column);
            if (keep) sum[r][v] = vec_mul(sum[r][v], vec_set1(keep[r]));
        }
    }
    for (int i = 0; i < n; i++, w += apart.w_term, in += apart.in_term) {
        const __m512i mask = _mm512_set1_epi32((i ? -1 : first_mask) & (i < n - 1 ? -1 : last_mask));
        __m512i term[TILE_COLUMNS];
        for (int v = 0; v < columns; v++)
            term[v] = _mm512_and_si512(load_vector(in + (size_t)v * apart.in_column), mask);
        for (int r = 0; r < R; r++) {
            const __m512i number = _mm512_set1_epi32(w[(size_t)r * apart.w_row]);
            for (int v = 0; v < columns; v++)
                sum[r][v] = add_products(sum[r][v], number, term[v]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < columns; v++)
            vec_store(out + (size_t)r * apart.out_row + (size_t)v * apart.out_column, sum[r][v]);
}

/* Of a row's pairs of positions: where those begin and end that it sees, and what it sees of the first and last. */
struct seen_pairs {
    int begin, end;
    int32_t first_mask, last_mask;
};

static inline struct seen_pairs pairs_seen(struct seen s)
{
    return (struct seen_pairs){s.from / 2, (s.to + 1) / 2, s.from % 2 ? (int32_t)0xffff0000 : -1,
                               s.to % 2 ? 0xffff : -1};
}

/* The same for up to TILE_COLUMNS columns. */
INLINE void add_some_columns(int R, int columns, float *out, const float *keep, const int32_t *w, const int32_t *in,
                             int n, struct apart apart, int32_t first_mask, int32_t last_mask)
{
    if (columns == TILE_COLUMNS) {
        add_pairs(R, TILE_COLUMNS, out, keep, w, in, n, apart, first_mask, last_mask);
        return;
    }
    for (int v = 0; v < columns; v++, out += apart.out_column, in += apart.in_column)
        add_pairs(R, 1, out, keep, w, in, n, apart, first_mask, last_mask);
}

/* Rows t .. t + R, which see the same part of the page, by columns of paired positions: y or dq. w [R][PAGE_PAIRS]. */
INLINE void add_positions(int R, int columns, float *out, size_t stride, const float *keep, const int32_t *w,
                          const int32_t *in, struct seen seen)
{
    const struct apart apart = {stride, KV_COLUMN, PAGE_PAIRS, 1, KV_COLUMN, PAGE_PAIRS * KV_COLUMN};
    const struct seen_pairs p = pairs_seen(seen);
    if (columns == TILE_COLUMNS && seen.from == 0 && seen.to == KV_PAGE) {
        add_pairs(R, TILE_COLUMNS, out, keep, w, in, PAGE_PAIRS, apart, -1, -1);
        return;
    }
    add_some_columns(R, columns, out, keep, w + p.begin, in + p.begin * KV_COLUMN, p.end - p.begin, apart, p.first_mask,
                     p.last_mask);
}

/* ---- Scores ---- */

INLINE void score_pairs(int R, float *score, const int32_t *q, const int32_t *keys, int n, bool go_on)
{
    vec sum[TILE_ROWS][SCORE_VECS];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < SCORE_VECS; v++)
            sum[r][v] = go_on ? vec_load(score + r * KV_PAGE + v * VEC) : vec_set1(0);
    for (int i = 0; i < n; i++, keys += KV_PAGE) {
        const __m512i key[SCORE_VECS] = {load_vector(keys), load_vector(keys + VEC)};
        for (int r = 0; r < R; r++) {
            const __m512i component = _mm512_set1_epi32(q[r * BLOCK_PAIRS + i]);
            for (int v = 0; v < SCORE_VECS; v++)
                sum[r][v] = add_products(sum[r][v], component, key[v]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < SCORE_VECS; v++)
            vec_store(score + r * KV_PAGE + v * VEC, sum[r][v]);
}

INLINE void score_rows(int R, const struct attention_rows *a, int t, int k, int n, const int32_t *keys)
{
    int32_t q[TILE_ROWS * BLOCK_PAIRS];
    for (int r = 0; r < R; r++)
        pair_row(q + r * BLOCK_PAIRS, a->q + (size_t)(t + r) * a->stride + k, n);
    score_pairs(R, a->score + t * KV_PAGE, q, keys, (n + 1) / 2, k > 0);
}

/* What n components from k on give to the scores of all positions. */
INLINE void score_block(load_fn *load, size_t bytes, const struct attention_rows *a, const char *keys, int k, int n,
                        int at)
{
    int32_t paired[BLOCK_PAIRS * KV_PAGE];
    pair_components(load, bytes, paired, keys, n);
    for (int t = 0; t < a->T;) {
        const bool tile = t + TILE_ROWS <= a->T;
        if (tile && any_sees(a, t, TILE_ROWS, at))
            score_rows(TILE_ROWS, a, t, k, n, paired);
        else if (!tile && any_sees(a, t, 1, at))
            score_rows(1, a, t, k, n, paired);
        t += tile ? TILE_ROWS : 1;
    }
}

/* Of all positions of the page, as score_page() does. */
INLINE void score_page_pairs(load_fn *load, size_t bytes, const struct attention_rows *a, const char *keys, int at)
{
    int k = 0;
    for (; k + KEY_BLOCK <= a->K; k += KEY_BLOCK, keys += KEY_BLOCK * KV_PAGE * bytes)
        score_block(load, bytes, a, keys, k, KEY_BLOCK, at);
    if (k < a->K) score_block(load, bytes, a, keys, k, a->K - k, at);
}

/* ---- Forward ---- */

INLINE void mix_rows_pairs(int R, const struct attention_rows *a, int t, int c, int columns, const int32_t *values,
                           struct seen seen)
{
    int32_t p[TILE_ROWS * PAGE_PAIRS];
    for (int r = 0; r < R; r++)
        pair_row(p + r * PAGE_PAIRS, a->score + (t + r) * KV_PAGE, KV_PAGE);
    add_positions(R, columns, a->y + (size_t)t * a->stride + (size_t)c * KV_COLUMN, a->stride, a->keep + t, p, values,
                  seen);
}

/* Rows that pass the page together. */
INLINE void attend_together(load_fn *load, size_t bytes, const struct attention_rows *a, const char *keys,
                            const char *values, int at)
{
    const int columns = (a->K + KV_COLUMN - 1) / KV_COLUMN;
    int32_t paired[TILE_COLUMNS * PAGE_PAIRS * KV_COLUMN];
    score_page_pairs(load, bytes, a, keys, at);
    for (int t = 0; t < a->T; t++) {
        const struct seen seen = seen_by(a, t, at);
        if (seen.from < seen.to) soften(a, t, seen);
    }
    for (int c = 0; c < columns; c += TILE_COLUMNS) {
        const int n = columns - c < TILE_COLUMNS ? columns - c : TILE_COLUMNS;
        pair_positions(load, bytes, paired, values + (size_t)(c * KV_PAGE * KV_COLUMN) * bytes, n);
        for (int t = 0; t < a->T;) {
            const struct seen seen = seen_by(a, t, at);
            if (t + TILE_ROWS <= a->T && all_see(a, t, TILE_ROWS, at, seen)) {
                mix_rows_pairs(TILE_ROWS, a, t, c, n, paired, seen);
                t += TILE_ROWS;
            } else {
                if (seen.from < seen.to) mix_rows_pairs(1, a, t, c, n, paired, seen);
                t++;
            }
        }
    }
}

/* ---- Forward, a row alone ----
 *
 * The same sums, but pairs are made as they are met: the page is read once, and what is read next is asked for. */
INLINE void score_row(load_fn *load, size_t bytes, const struct attention_rows *a, int t, const char *keys,
                      const char *ahead)
{
    const size_t pair = 2 * KV_PAGE * bytes;
    int32_t q[BLOCK_PAIRS];
    vec sum[SCORE_VECS];
    for (int v = 0; v < SCORE_VECS; v++)
        sum[v] = vec_set1(0);
    for (int at = 0; at < a->K; at += KEY_BLOCK) {
        const int n = a->K - at < KEY_BLOCK ? a->K - at : KEY_BLOCK;
        pair_row(q, a->q + (size_t)t * a->stride + at, n);
        for (int k = 0; k < n; k += 2, keys += pair, ahead += pair) {
            const __m512i component = _mm512_set1_epi32(q[k / 2]);
            fetch(ahead, pair);
            for (int v = 0; v < SCORE_VECS; v++)
                sum[v] = add_products(sum[v], component,
                                      pair_of_components(load, bytes, keys + (size_t)(v * VEC) * bytes, k, n));
        }
    }
    for (int v = 0; v < SCORE_VECS; v++)
        vec_store(a->score + t * KV_PAGE + v * VEC, sum[v]);
}

/* So many columns from y's on. */
INLINE void mix_row(load_fn *load, size_t bytes, int columns, float *y, float keep, const int32_t *p,
                    const char *values, struct seen_pairs seen, const char *ahead)
{
    const size_t column = KV_PAGE * KV_COLUMN * bytes, pair = 2 * KV_COLUMN * bytes;
    vec sum[ROW_COLUMNS];
    for (int c = 0; c < columns; c++)
        sum[c] = vec_mul(vec_load(y + c * KV_COLUMN), vec_set1(keep));
    for (int i = seen.begin; i < seen.end; i++) {
        const __m512i weights = _mm512_set1_epi32(p[i]);
        const __m512i mask = _mm512_set1_epi32((i > seen.begin ? -1 : seen.first_mask) &
                                               (i < seen.end - 1 ? -1 : seen.last_mask));
        fetch(ahead + (size_t)(i * columns) * pair, (size_t)columns * pair);
        for (int c = 0; c < columns; c++) {
            const char *at = values + (size_t)c * column + (size_t)i * pair;
            sum[c] = add_products(sum[c], weights, _mm512_and_si512(pair_of_positions(load, bytes, at), mask));
        }
    }
    for (int c = 0; c < columns; c++)
        vec_store(y + c * KV_COLUMN, sum[c]);
}

INLINE void attend_alone(load_fn *load, size_t bytes, const struct attention_rows *a, int t, const char *keys,
                         const char *values, int at)
{
    const struct seen seen = seen_by(a, t, at);
    const size_t column = KV_PAGE * KV_COLUMN * bytes;
    const char *ahead = a->next ? a->next : keys;
    int32_t p[PAGE_PAIRS];
    float *y = a->y + (size_t)t * a->stride;
    if (seen.from >= seen.to) return;
    score_row(load, bytes, a, t, keys, values);
    soften(a, t, seen);
    pair_row(p, a->score + t * KV_PAGE, KV_PAGE);
    int n = (a->K + KV_COLUMN - 1) / KV_COLUMN;
    for (; n >= ROW_COLUMNS; n -= ROW_COLUMNS, y += ROW_COLUMNS * KV_COLUMN) {
        mix_row(load, bytes, ROW_COLUMNS, y, a->keep[t], p, values, pairs_seen(seen), ahead);
        values += ROW_COLUMNS * column;
        ahead += ROW_COLUMNS * column;
    }
    for (; n > 0; n--, y += KV_COLUMN, values += column, ahead += column)
        mix_row(load, bytes, 1, y, a->keep[t], p, values, pairs_seen(seen), ahead);
}

enum { FEW_ROWS = 3 }; /* pairing a page once for all rows takes longer than for each */

INLINE void attend_pairs(load_fn *load, size_t bytes, const struct attention_rows *a, const char *keys,
                         const char *values, int at)
{
    if (a->T > FEW_ROWS) {
        attend_together(load, bytes, a, keys, values, at);
    } else {
        for (int t = 0; t < a->T; t++)
            attend_alone(load, bytes, a, t, keys, values, at);
    }
}

static void attention_f32_bf16(const struct attention_rows *a, const void *keys, const void *values, int at)
{
    attend_pairs(load_f32, sizeof(float), a, keys, values, at);
}

static void attention_f16_bf16(const struct attention_rows *a, const void *keys, const void *values, int at)
{
    attend_pairs(vec_load_f16, sizeof(uint16_t), a, keys, values, at);
}

/* ---- Back ---- */

/* Rows that go through the page together, two by two for dk and dv. */
enum { ROW_PAIRS = ATTENTION_BACK_ROWS / 2 };

static void zero_unseen(const struct attention_back_rows *a, int t, struct seen seen)
{
    if (seen.from == 0 && seen.to == KV_PAGE) return;
    for (int s = 0; s < KV_PAGE; s++)
        if (s < seen.from || s >= seen.to) a->p[t * KV_PAGE + s] = a->ds[t * KV_PAGE + s] = 0;
}

INLINE void dq_rows_pairs(int R, const struct attention_back_rows *a, int t, int c, int columns, const int32_t *keys,
                          struct seen seen)
{
    int32_t ds[TILE_ROWS * PAGE_PAIRS];
    for (int r = 0; r < R; r++)
        pair_row(ds + r * PAGE_PAIRS, a->ds + (t + r) * KV_PAGE, KV_PAGE);
    add_positions(R, columns, a->dq + (size_t)t * a->stride + (size_t)c * KV_COLUMN, a->stride, NULL, ds, keys, seen);
}

static void dq_pairs(const struct attention_back_rows *a, const struct attention_rows *rows,
                     const struct attention_back_page *page, int c, int columns)
{
    int32_t keys[TILE_COLUMNS * PAGE_PAIRS * KV_COLUMN];
    pair_positions(load_f32, sizeof(float), keys, (const char *)(page->keys_across + c * KV_PAGE * KV_COLUMN), columns);
    for (int t = 0; t < a->T;) {
        const struct seen seen = seen_by(rows, t, page->at);
        if (t + TILE_ROWS <= a->T && all_see(rows, t, TILE_ROWS, page->at, seen)) {
            dq_rows_pairs(TILE_ROWS, a, t, c, columns, keys, seen);
            t += TILE_ROWS;
        } else {
            if (seen.from < seen.to) dq_rows_pairs(1, a, t, c, columns, keys, seen);
            t++;
        }
    }
}

/* Rows of weights or components, two by two; all those that see nothing, and one that does not exist, are zeros. */
struct row_pairs {
    int T, n;
    bool sees[ATTENTION_BACK_ROWS + 1];
};

INLINE vec part_of_row(const struct row_pairs *r, int t, const float *x)
{
    return r->sees[t] ? vec_load(x) : vec_set1(0);
}

/* Weights: [pair of rows][KV_PAGE]. */
INLINE void pair_weights(int32_t *to, const struct row_pairs *r, const float *w)
{
    for (int t = 0; t < r->T; t += 2, to += KV_PAGE)
        for (int s = 0; s < KV_PAGE; s += VEC)
            store_vector(to + s, pairs(part_of_row(r, t, w + t * KV_PAGE + s),
                                       part_of_row(r, t + 1, w + (t + 1) * KV_PAGE + s)));
}

/* Components: [column][pair of rows][KV_COLUMN]. */
INLINE void pair_columns(int32_t *to, const struct row_pairs *r, const float *x, size_t stride, int columns)
{
    for (int t = 0; t < r->T; t += 2, x += 2 * stride, to += KV_COLUMN)
        for (int v = 0; v < columns; v++)
            store_vector(to + v * ROW_PAIRS * KV_COLUMN, pairs(part_of_row(r, t, x + v * KV_COLUMN),
                                                               part_of_row(r, t + 1, x + stride + v * KV_COLUMN)));
}

/* out of all positions += what the rows' weights w make of their columns x. */
static void dkv_pairs(float *out, const int32_t *w, const int32_t *x, int row_pairs, int columns)
{
    enum { REST = KV_PAGE % TILE_ROWS, WHOLE = KV_PAGE - REST };
    const struct apart apart = {KV_COLUMN, KV_PAGE * KV_COLUMN, 1, KV_PAGE, KV_COLUMN, ROW_PAIRS * KV_COLUMN};
    for (int s = 0; s < WHOLE; s += TILE_ROWS)
        add_some_columns(TILE_ROWS, columns, out + s * KV_COLUMN, NULL, w + s, x, row_pairs, apart, -1, -1);
    add_some_columns(REST, columns, out + WHOLE * KV_COLUMN, NULL, w + WHOLE, x, row_pairs, apart, -1, -1);
}

static void attention_back_bf16(const struct attention_back_rows *a, const struct attention_back_page *page)
{
    const int columns = (a->K + KV_COLUMN - 1) / KV_COLUMN;
    struct row_pairs r = {.T = a->T, .n = (a->T + 1) / 2};
    struct attention_rows rows = {
        .T = a->T, .K = a->K, .stride = a->stride, .q = a->q, .lo = a->lo, .hi = a->hi, .score = a->p};
    int32_t p[ROW_PAIRS * KV_PAGE], ds[ROW_PAIRS * KV_PAGE], x[TILE_COLUMNS * ROW_PAIRS * KV_COLUMN];
    score_page_pairs(load_f32, sizeof(float), &rows, (const char *)page->keys_down, page->at);
    rows.q = a->dy;
    rows.score = a->ds;
    score_page_pairs(load_f32, sizeof(float), &rows, (const char *)page->values_down, page->at);
    for (int t = 0; t < a->T; t++) {
        r.sees[t] = any_sees(&rows, t, 1, page->at);
        if (r.sees[t]) soften_back(a, t);
        zero_unseen(a, t, seen_by(&rows, t, page->at));
    }
    pair_weights(p, &r, a->p);
    pair_weights(ds, &r, a->ds);
    for (int c = 0; c < columns; c += TILE_COLUMNS) {
        const int n = columns - c < TILE_COLUMNS ? columns - c : TILE_COLUMNS, at = c * KV_PAGE * KV_COLUMN;
        dq_pairs(a, &rows, page, c, n);
        pair_columns(x, &r, a->q + c * KV_COLUMN, a->stride, n);
        dkv_pairs(page->dk + at, ds, x, r.n, n);
        pair_columns(x, &r, a->dy + c * KV_COLUMN, a->stride, n);
        dkv_pairs(page->dv + at, p, x, r.n, n);
    }
}

void kernels_init_attention_avx512bf16(struct kernels *k)
{
    k->attention_f32_bf16 = attention_f32_bf16;
    k->attention_f16_bf16 = attention_f16_bf16;
    k->attention_back_bf16 = attention_back_bf16;
}

#else /* not an x86 compiler: kernels_best_level() never offers this level */

void kernels_init_attention_avx512bf16(struct kernels *k)
{
    (void)k;
}

#endif
