// SPDX-License-Identifier: Apache-2.0
/* The kernel check's attention: one step, in which rows with some history pass one page.
 *
 * The truth is computed from the same history and for the same largest score as the kernel found, which itself must be
 * as near the true one as a dot product is. Whatever a row does not see is NaN, or of another row and possibly
 * infinite, and must not be noticed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "check_kernels.h"

enum { MAX_K = 256, AT = 3 * KV_PAGE }; /* the page's first position */

static const int head_sizes[] = {1, 7, 8, 9, 15, 16, 17, 33, 63, 64, 65, 80, 200, MAX_K};

/* Rows, their history and the page. */
struct step {
    enum dtype dtype;
    bool rounded; /* factors, to bf16 */
    int T, K;
    size_t stride;
    float scale;
    int32_t lo[MAX_T], hi[MAX_T];
    float *q, *y; /* [T][stride] */
    float max[MAX_T], sum[MAX_T];
    char *keys, *values; /* of the dtype, as kernels.h lays out a page */
};

/* What a row has become. */
struct outcome {
    float y[MAX_K], max, sum;
};

static size_t key_at(int k, int s)
{
    return (size_t)(k * KV_PAGE + s);
}

static size_t value_at(int k, int s)
{
    return (size_t)((k / KV_COLUMN * KV_PAGE + s) * KV_COLUMN + k % KV_COLUMN);
}

/* ---- Running it ---- */

enum { Y, MAX, SUM, SCORE, KEEP, OUTPUTS };

/* Rows first .. first + T of the step, every array between guards of its own. */
static void step_run(struct check *c, const struct step *s, int first, int T, enum place where, struct outcome *out)
{
    const size_t f = (size_t)first, n = (size_t)T, bytes = dtype_bytes(s->dtype);
    const size_t page = kernels_head_page(s->K) * bytes, y_n = n * s->stride;
    const size_t sizes[OUTPUTS] = {y_n, n, n, n * KV_PAGE, n};
    const float *from[OUTPUTS] = {s->y + f * s->stride, s->max + f, s->sum + f, NULL, NULL};
    struct guarded guards[OUTPUTS];
    float *at[OUTPUTS];
    for (int i = 0; i < OUTPUTS; i++) {
        guards[i] = i == Y ? c->out : guarded_open(sizes[i] * sizeof(float) + sizeof(float));
        at[i] = check_place(&guards[i], where, sizes[i] * sizeof(float), sizeof(float));
        if (from[i] && sizes[i]) memcpy(at[i], from[i], sizes[i] * sizeof(float));
    }
    const float *q = check_floats(&c->in[0], where, s->q + f * s->stride, y_n);
    const void *keys = check_place(&c->in[1], where, page, bytes), *values = check_place(&c->in[2], where, page, bytes);
    memcpy((void *)(uintptr_t)keys, s->keys, page);
    memcpy((void *)(uintptr_t)values, s->values, page);
    const struct attention_rows rows = {T,
                                        s->K,
                                        s->scale,
                                        s->stride,
                                        q,
                                        s->lo + f,
                                        s->hi + f,
                                        at[Y],
                                        at[MAX],
                                        at[SUM],
                                        at[SCORE],
                                        at[KEEP],
                                        first % 2 ? values : NULL};
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, rows %d+%d, place %d", c->what, first, T, (int)where);

    k_attention_fn *of_f32 = s->rounded ? c->k->attention_f32_bf16 : c->k->attention_f32;
    k_attention_fn *of_f16 = s->rounded ? c->k->attention_f16_bf16 : c->k->attention_f16;
    (s->dtype == DTYPE_F32 ? of_f32 : of_f16)(&rows, keys, values, AT);

    const struct input in[] = {
        {q, s->q + f * s->stride, y_n * sizeof *q}, {keys, s->keys, page}, {values, s->values, page}};
    check_clean(c, mode, at[Y], y_n * sizeof(float), in, 3);
    for (int t = 0; t < T; t++) {
        memcpy(out[t].y, at[Y] + (size_t)t * s->stride, (size_t)s->K * sizeof(float));
        out[t].max = at[MAX][t];
        out[t].sum = at[SUM][t];
    }
    for (int i = Y + 1; i < OUTPUTS; i++) {
        check_that(c, guarded_clean_outside(&guards[i], at[i], sizes[i] * sizeof(float)), "wrote outside its scratch");
        guarded_close(&guards[i]);
    }
}

static void outcomes_are_the_same(struct check *c, const char *otherwise, const struct outcome *have,
                                  const struct outcome *want, int T, int K)
{
    for (int t = 0; t < T; t++) {
        for (int k = 0; k < K; k++)
            check_same(c, otherwise, (size_t)k, have[t].y[k], want[t].y[k]);
        check_same(c, otherwise, MAX_K, have[t].max, want[t].max);
        check_same(c, otherwise, MAX_K + 1, have[t].sum, want[t].sum);
    }
}

/* ---- The truth ---- */

/* What a row sees of the page, in long double. */
struct seen {
    int from, to;
    long double score[KV_PAGE], off[KV_PAGE]; /* and how far a computed score may be off */
    long double max;                          /* history and page together */
    long double max_off;
};

static long double factor(const struct step *s, float x)
{
    return s->rounded ? check_bf16(true, (long double)x) : (long double)x;
}

static void seen_of(struct seen *x, const struct step *s, int t)
{
    x->from = s->lo[t] <= AT ? 0 : s->lo[t] - AT;
    x->to = s->hi[t] >= AT + KV_PAGE ? KV_PAGE : s->hi[t] - AT;
    x->max = (long double)s->max[t];
    x->max_off = 0;
    for (int i = x->from; i < x->to; i++) {
        long double sum = 0, size = 0;
        for (int k = 0; k < s->K; k++) {
            const long double product = factor(s, s->q[(size_t)t * s->stride + (size_t)k]) *
                                        factor(s, check_load(s->keys, s->dtype, key_at(k, i))) * (long double)s->scale;
            sum += product;
            size += fabsl(product);
        }
        /* the scale is applied to a rounded sum: one rounding more */
        const long double K = s->K;
        x->score[i] = sum;
        x->off[i] = (8 + sqrtl(K)) * EPS * size + 2 * EPS * fabsl(sum) + (K + 2) * check_tiny(s->rounded);
        if (x->off[i] > x->max_off) x->max_off = x->off[i];
        if (sum > x->max) x->max = sum;
    }
}

/* Of a sum of weights times values: how far off a rounded weight may be, relatively, and what a step may lose. */
struct losses {
    long double weight, step;
};

/* One of a row's sums, of values or of ones: what was there, rescaled, and what the page adds. exp is off by 2 eps and
 * by its argument's rounding; an n-term sum as in check_kernels.c. */
static void sum_is_near_truth(struct check *c, const struct seen *x, size_t at, float have, float before,
                              long double old_max, long double base, const long double *value, struct losses losses)
{
    const long double keep = expl(old_max - base), n = x->to - x->from;
    long double sum = (long double)before * keep, size = fabsl(sum), off = 0;
    off += size > 0 ? size * EPS * (fabsl(old_max - base) + 3) : 0;
    long double greatest = fabsl((long double)before);
    for (int i = x->from; i < x->to; i++) {
        const long double d = x->score[i] - base, part = expl(d) * value[i];
        sum += part;
        size += fabsl(part);
        off += fabsl(part) > 0 ? fabsl(part) * (x->off[i] + EPS * (fabsl(d) + 2) + losses.weight) : 0;
        greatest = fmaxl(greatest, fabsl(value[i]));
    }
    check_near(c, at, have, sum,
               off * (1 + off) + (8 + sqrtl(n)) * EPS * size + EPS * fabsl(sum) +
                   (n + 2) * (greatest + 1) * losses.step);
}

static void row_is_near_truth(struct check *c, const struct step *s, int t, const struct outcome *have)
{
    struct seen x;
    long double values[KV_PAGE], ones[KV_PAGE];
    seen_of(&x, s, t);
    bool defined = true; /* no score is NaN */
    for (int i = x.from; i < x.to; i++) {
        defined = defined && !isnan(x.score[i]);
        ones[i] = 1;
    }
    if (defined) check_near(c, MAX_K, have->max, x.max, x.max_off);
    const long double base = have->max == -INFINITY ? 0 : (long double)have->max, old_max = (long double)s->max[t];
    sum_is_near_truth(c, &x, MAX_K + 1, have->sum, s->sum[t], old_max, base, ones, (struct losses){0, TINY});
    for (int k = 0; k < s->K; k++) {
        for (int i = x.from; i < x.to; i++)
            values[i] = factor(s, check_load(s->values, s->dtype, value_at(k, i)));
        sum_is_near_truth(c, &x, (size_t)k, have->y[k], s->y[(size_t)t * s->stride + (size_t)k], old_max, base, values,
                          (struct losses){s->rounded ? BF16_OFF : 0, check_tiny(s->rounded)});
    }
}

/* ---- Making steps up ---- */

static void put(char *page, enum dtype dtype, size_t i, float x)
{
    const f16 h = f16_from_f32(x);
    if (dtype == DTYPE_F32)
        memcpy(page + i * sizeof x, &x, sizeof x);
    else
        memcpy(page + i * sizeof h, &h, sizeof h);
}

/* Rows see all of the page, a part, one position, nothing. */
static void choose_interval(struct check *c, struct step *s, int t, int variety)
{
    const int from = (int)(check_u64(c) % KV_PAGE), n = 1 + (int)(check_u64(c) % (uint64_t)(KV_PAGE - from));
    switch (variety ? check_u64(c) % 6 : 0) {
    case 0: /* all, and more */
        s->lo[t] = AT - (int)(check_u64(c) % 40);
        s->hi[t] = AT + KV_PAGE + (int)(check_u64(c) % 40);
        break;
    case 1: /* nothing: ends before, or begins behind */
        s->lo[t] = check_u64(c) % 2 ? 5 : AT + KV_PAGE;
        s->hi[t] = s->lo[t] == 5 ? AT : AT + 2 * KV_PAGE;
        break;
    case 2: /* up to somewhere */
        s->lo[t] = 0;
        s->hi[t] = AT + from + 1;
        break;
    case 3: /* from somewhere on */
        s->lo[t] = AT + from;
        s->hi[t] = AT + 3 * KV_PAGE;
        break;
    case 4: /* what the row before sees */
        s->lo[t] = t ? s->lo[t - 1] : AT;
        s->hi[t] = t ? s->hi[t - 1] : AT + 1;
        break;
    default: s->lo[t] = AT + from; s->hi[t] = AT + from + n;
    }
}

/* History: none, or what a page with scores of about the same size may have left. */
static void choose_history(struct check *c, struct step *s, int t, enum kind kind)
{
    float *y = s->y + (size_t)t * s->stride;
    if (check_u64(c) % 3 == 0) {
        s->max[t] = -INFINITY;
        s->sum[t] = 0;
        memset(y, 0, s->stride * sizeof *y);
        return;
    }
    check_fill(c, y, s->stride, kind == TINY_W ? TINY_X : NORMAL);
    check_fill(c, &s->max[t], 1, kind == TINY_X ? TINY_X : NORMAL);
    s->sum[t] = 1 + (float)(check_u64(c) % 1000) * 0.1f;
}

/* K numbers of a kind, denormal ones in the page's dtype. */
static void fill_vector(struct check *c, const struct step *s, float *x, enum kind kind)
{
    check_fill(c, x, (size_t)s->K, kind);
    for (int k = 0; kind == TINY_X && s->dtype == DTYPE_F16 && k < s->K; k++)
        x[k] *= 0x1p116f;
}

/* The page: numbers of the kind where a row looks, NaN elsewhere. Special ones are in the keys, or in the values; not
 * in both, or whether a weight underflows to zero would decide between infinity and NaN. */
static void fill_page(struct check *c, struct step *s, enum kind kind)
{
    const bool special_values = kind == SPECIAL && check_u64(c) % 2;
    const enum kind key_kind = kind == TINY_X || (kind == SPECIAL && !special_values) ? kind : NORMAL;
    const enum kind value_kind = kind == TINY_W ? TINY_X : special_values ? SPECIAL : NORMAL;
    float key[MAX_K], value[MAX_K];
    for (size_t i = 0; i < kernels_head_page(s->K); i++) {
        put(s->keys, s->dtype, i, NAN);
        put(s->values, s->dtype, i, NAN);
    }
    for (int i = 0; i < KV_PAGE; i++) {
        bool seen = false;
        for (int t = 0; t < s->T; t++)
            seen = seen || (s->lo[t] <= AT + i && AT + i < s->hi[t]);
        if (!seen) continue;
        fill_vector(c, s, key, key_kind);
        fill_vector(c, s, value, value_kind);
        for (int k = 0; k < s->K; k++) {
            /* cancelling: neighbouring components of a score, neighbouring positions of a result */
            if (kind == CANCEL && k % 2) key[k] = -key[k - 1];
            put(s->keys, s->dtype, key_at(k, i), special_values ? key[k] * 0x1p-6f : key[k]);
            put(s->values, s->dtype, value_at(k, i), kind == CANCEL && i % 2 ? -value[k] : value[k]);
        }
    }
}

static void fill_step(struct check *c, struct step *s, enum kind kind, int variety)
{
    check_fill(c, s->q, (size_t)s->T * s->stride, kind == TINY_X ? TINY_X : NORMAL);
    for (int t = 0; t < s->T; t++) {
        float *q = s->q + (size_t)t * s->stride;
        for (int k = 1; kind == CANCEL && k < s->K; k += 2)
            q[k] = q[k - 1];
        choose_interval(c, s, t, variety);
        choose_history(c, s, t, kind);
    }
    fill_page(c, s, kind);
}

/* ---- Verdicts on a step ---- */

static void row_is_untouched(struct check *c, const struct step *s, int t, const struct outcome *have)
{
    const bool same = !memcmp(have->y, s->y + (size_t)t * s->stride, (size_t)s->K * sizeof(float)) &&
                      !memcmp(&have->max, &s->max[t], sizeof have->max) &&
                      !memcmp(&have->sum, &s->sum[t], sizeof have->sum);
    check_that(c, same, "changed a row that sees nothing of the page");
}

static void widened_is_the_same(struct check *c, const struct step *s, const struct outcome *whole)
{
    struct outcome again[MAX_T];
    struct step wide = *s;
    const size_t n = kernels_head_page(s->K);
    float *keys = check_alloc(n), *values = check_alloc(n);
    for (size_t i = 0; i < n; i++) {
        keys[i] = check_load(s->keys, s->dtype, i);
        values[i] = check_load(s->values, s->dtype, i);
    }
    wide.dtype = DTYPE_F32;
    wide.keys = (char *)keys;
    wide.values = (char *)values;
    step_run(c, &wide, 0, s->T, AT_END, again);
    outcomes_are_the_same(c, "other bits than of a widened page", again, whole, s->T, s->K);
    free(keys);
    free(values);
}

static void check_step(struct check *c, const struct step *s)
{
    struct outcome whole[MAX_T], again[MAX_T];
    step_run(c, s, 0, s->T, AT_END, whole);
    for (int t = 0; t < s->T; t++) {
        if (s->lo[t] < AT + KV_PAGE && s->hi[t] > AT)
            row_is_near_truth(c, s, t, &whole[t]);
        else
            row_is_untouched(c, s, t, &whole[t]);
        step_run(c, s, t, 1, t % 2 ? AT_START : NEAR_END, again);
        outcomes_are_the_same(c, "other bits alone", again, &whole[t], 1, s->K);
    }
    for (enum place where = NEAR_END; where < PLACES; where++) {
        step_run(c, s, 0, s->T, where, again);
        outcomes_are_the_same(c, "other bits elsewhere", again, whole, s->T, s->K);
    }
    if (s->dtype == DTYPE_F16) widened_is_the_same(c, s, whole);
}

static void check_attention(struct check *c, enum dtype dtype, bool rounded)
{
    static const int some_T[] = {0, 1, 2, 3, 4, 5, 6, 7, 12, MAX_T};
    const size_t most = (size_t)MAX_T * MAX_K;
    struct step s = {.dtype = dtype, .rounded = rounded, .q = check_alloc(most), .y = check_alloc(most)};
    s.keys = (char *)check_alloc(kernels_head_page(MAX_K));
    s.values = (char *)check_alloc(kernels_head_page(MAX_K));
    for (size_t i = 0; i < COUNT_OF(head_sizes); i++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            for (int variety = 0; variety < 2; variety++) {
                const size_t chosen = (i * KINDS * 2 + (size_t)kind * 2 + (size_t)variety) % COUNT_OF(some_T);
                for (size_t j = 0; j < COUNT_OF(some_T); j++) {
                    if (head_sizes[i] > 17 && j != chosen) continue; /* all shapes have been met by then */
                    s.T = some_T[j];
                    s.K = head_sizes[i];
                    s.stride = kernels_padded_head(s.K);
                    s.scale = 1 / sqrtf((float)s.K);
                    snprintf(c->what, sizeof c->what, "T %d, K %d, %s", s.T, s.K, check_kind_names[kind]);
                    fill_step(c, &s, kind, variety);
                    check_step(c, &s);
                }
            }
        }
    }
    free(s.q);
    free(s.y);
    free(s.keys);
    free(s.values);
}

void check_attention_f32(struct check *c)
{
    check_attention(c, DTYPE_F32, false);
}

void check_attention_f16(struct check *c)
{
    check_attention(c, DTYPE_F16, false);
}

void check_attention_f32_bf16(struct check *c)
{
    check_attention(c, DTYPE_F32, true);
}

void check_attention_f16_bf16(struct check *c)
{
    check_attention(c, DTYPE_F16, true);
}
