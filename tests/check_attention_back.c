// SPDX-License-Identifier: Apache-2.0
/* The kernel check's attention on its way back: rows pass one page.
 *
 * Whatever a row does not see is NaN, or of another row and possibly infinite, and must not be noticed; nor may what it
 * sees notice a row that does not look there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_kernels.h"

enum { MAX_K = 256, AT = 3 * KV_PAGE }; /* the page's first position */

static const int head_sizes[] = {1, 7, 8, 9, 15, 16, 17, 33, 63, 64, 65, 80, 200, MAX_K};

/* The arrays of a call: inputs, outputs, scratch. */
enum array { Q, DY, LSE, DELTA, KEYS_DOWN, KEYS_ACROSS, VALUES_DOWN, DQ, DK, DV, P, DS, ARRAYS };

struct step {
    bool rounded; /* factors, to bf16 */
    int T, K;
    size_t stride;
    float scale;
    int32_t lo[MAX_T], hi[MAX_T];
    float *x[ARRAYS]; /* before the call; no scratch */
    struct guarded guards[ARRAYS];
};

static size_t down(int k, int i)
{
    return (size_t)(k * KV_PAGE + i);
}

static size_t across(int k, int i)
{
    return (size_t)((k / KV_COLUMN * KV_PAGE + i) * KV_COLUMN + k % KV_COLUMN);
}

/* Floats of an array for T rows, and how many of them belong to a row; 0: the array is the page's. */
static size_t per_row(const struct step *s, enum array a)
{
    return a == Q || a == DY || a == DQ ? s->stride : a == LSE || a == DELTA ? 1 : a == P || a == DS ? KV_PAGE : 0;
}

static size_t size_of(const struct step *s, enum array a, int T)
{
    if (per_row(s, a)) return per_row(s, a) * (size_t)T;
    return a == KEYS_DOWN || a == VALUES_DOWN ? (size_t)s->K * KV_PAGE : kernels_head_page(s->K);
}

static bool looks_at(const struct step *s, int t, int i)
{
    return s->lo[t] <= AT + i && AT + i < s->hi[t];
}

static bool looks(const struct step *s, int t)
{
    return s->lo[t] < AT + KV_PAGE && s->hi[t] > AT;
}

/* ---- Running it ---- */

struct outcome {
    float *dq, *dk, *dv; /* [T][stride], of a page each */
};

static struct outcome outcome_alloc(void)
{
    const size_t page = kernels_head_page(MAX_K);
    return (struct outcome){check_alloc((size_t)MAX_T * MAX_K), check_alloc(page), check_alloc(page)};
}

static void outcome_free(struct outcome *o)
{
    free(o->dq);
    free(o->dk);
    free(o->dv);
}

/* Rows first .. first + T of the step, from the dk and dv that out holds on. */
static void run_rows(struct check *c, const struct step *s, int first, int T, enum place where, struct outcome *out)
{
    float *at[ARRAYS];
    const float *from[ARRAYS] = {0};
    for (enum array a = 0; a < ARRAYS; a++) {
        const size_t n = size_of(s, a, T);
        const struct guarded *g = a == DQ ? &c->out : &s->guards[a];
        from[a] = a == DK ? out->dk : a == DV ? out->dv : a < P ? s->x[a] + per_row(s, a) * (size_t)first : NULL;
        at[a] = check_place(g, where, n * sizeof(float), sizeof(float));
        if (from[a] && n) memcpy(at[a], from[a], n * sizeof(float));
    }
    const struct attention_back_rows rows = {.T = T,
                                             .K = s->K,
                                             .scale = s->scale,
                                             .stride = s->stride,
                                             .q = at[Q],
                                             .dy = at[DY],
                                             .lo = s->lo + first,
                                             .hi = s->hi + first,
                                             .lse = at[LSE],
                                             .delta = at[DELTA],
                                             .dq = at[DQ],
                                             .p = at[P],
                                             .ds = at[DS]};
    const struct attention_back_page page = {at[KEYS_DOWN], at[KEYS_ACROSS], at[VALUES_DOWN], at[DK], at[DV], AT};
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, rows %d+%d, place %d", c->what, first, T, (int)where);

    (s->rounded ? c->k->attention_back_bf16 : c->k->attention_back)(&rows, &page);

    struct input in[DQ];
    for (enum array a = 0; a < DQ; a++)
        in[a] = (struct input){at[a], from[a], size_of(s, a, T) * sizeof(float)};
    check_clean(c, mode, at[DQ], size_of(s, DQ, T) * sizeof(float), in, DQ);
    for (enum array a = DK; a < ARRAYS; a++)
        check_that(c, guarded_clean_outside(&s->guards[a], at[a], size_of(s, a, T) * sizeof(float)),
                   "wrote outside an array");
    if (T) memcpy(out->dq + (size_t)first * s->stride, at[DQ], size_of(s, DQ, T) * sizeof(float));
    memcpy(out->dk, at[DK], size_of(s, DK, T) * sizeof(float));
    memcpy(out->dv, at[DV], size_of(s, DV, T) * sizeof(float));
}

static void run_whole(struct check *c, const struct step *s, enum place where, struct outcome *out)
{
    memcpy(out->dk, s->x[DK], size_of(s, DK, 0) * sizeof(float));
    memcpy(out->dv, s->x[DV], size_of(s, DV, 0) * sizeof(float));
    run_rows(c, s, 0, s->T, where, out);
}

static void rows_are_the_same(struct check *c, const char *otherwise, const struct step *s, int first, int T,
                              const struct outcome *have, const struct outcome *want)
{
    for (int t = first; t < first + T; t++)
        for (size_t at = (size_t)t * s->stride; at < (size_t)t * s->stride + (size_t)s->K; at++)
            check_same(c, otherwise, at, have->dq[at], want->dq[at]);
}

static void pages_are_the_same(struct check *c, const char *otherwise, const struct step *s, const struct outcome *have,
                               const struct outcome *want)
{
    for (int i = 0; i < KV_PAGE; i++) {
        for (int k = 0; k < s->K; k++) {
            check_same(c, otherwise, across(k, i), have->dk[across(k, i)], want->dk[across(k, i)]);
            check_same(c, otherwise, across(k, i), have->dv[across(k, i)], want->dv[across(k, i)]);
        }
    }
}

/* ---- The truth ---- */

/* p and ds of every row and position, and how far computed ones may be off; 0 where a row does not look. */
struct weights {
    long double p[MAX_T][KV_PAGE], ds[MAX_T][KV_PAGE], p_off[MAX_T][KV_PAGE], ds_off[MAX_T][KV_PAGE];
};

static long double factor(const struct step *s, float x)
{
    return s->rounded ? check_bf16(true, (long double)x) : (long double)x;
}

/* A sum of n products, of which there is the size too. */
static long double dot(const struct step *s, const float *row, const float *page, int i, long double *size)
{
    long double sum = 0;
    *size = 0;
    for (int k = 0; k < s->K; k++) {
        const long double product = factor(s, row[k]) * factor(s, page[down(k, i)]);
        sum += product;
        *size += fabsl(product);
    }
    return sum;
}

/* The score is off as a dot product is, and its distance from lse is rounded; exp is off by 2 eps. dy.v is off as a dot
 * product is; its distance from delta, and two products, are rounded. */
static void weigh(const struct step *s, int t, int i, struct weights *w)
{
    const size_t row = (size_t)t * s->stride;
    const long double K = s->K, scale = (long double)s->scale, walk = (8 + sqrtl(K)) * EPS;
    long double score_size, dp_size;
    const long double score = scale * dot(s, s->x[Q] + row, s->x[KEYS_DOWN], i, &score_size);
    const long double dp = dot(s, s->x[DY] + row, s->x[VALUES_DOWN], i, &dp_size);
    const long double below = score - (long double)s->x[LSE][t], p = expl(below);
    const long double score_off = walk * scale * score_size + 2 * EPS * fabsl(score) +
                                  (K + 2) * check_tiny(s->rounded) + EPS * fabsl(below);
    const long double p_off = p > 0 ? p * (score_off * (1 + score_off) + 2 * EPS) + TINY : 0;
    const long double d = dp - (long double)s->x[DELTA][t],
                      d_off = walk * dp_size + EPS * fabsl(d) + (K + 1) * check_tiny(s->rounded);
    w->p[t][i] = p;
    w->p_off[t][i] = p_off;
    w->ds[t][i] = p * d * scale;
    w->ds_off[t][i] = scale * (p_off * fabsl(d) + (p + p_off) * d_off) + 3 * EPS * fabsl(w->ds[t][i]) + 2 * TINY;
}

/* One element of a sum of products of weights with numbers: it starts from `before`. */
struct sum {
    long double truth, size, off;
    int n;
};

static void sum_add(struct sum *x, const struct step *s, long double weight, long double off, float number)
{
    const long double f = factor(s, number), part = weight * f;
    x->truth += part;
    x->size += fabsl(part);
    x->off += off * fabsl(f) + check_tiny(s->rounded);
    if (s->rounded) x->off += BF16_OFF * fabsl(part) + fabsl(f) * check_tiny(true); /* the weight may be flushed */
    x->n++;
}

static void sum_is_near_truth(struct check *c, const struct step *s, const struct sum *x, size_t at, float have)
{
    check_near(c, at, have, x->truth,
               x->off + (8 + sqrtl(x->n + 1)) * EPS * x->size + EPS * fabsl(x->truth) + check_tiny(s->rounded));
}

static struct sum sum_from(float before)
{
    return (struct sum){(long double)before, fabsl((long double)before), 0, 0};
}

static void rows_are_near_truth(struct check *c, const struct step *s, const struct weights *w, const float *dq)
{
    for (int t = 0; t < s->T; t++) {
        for (int k = 0; k < s->K; k++) {
            const size_t at = (size_t)t * s->stride + (size_t)k;
            struct sum sum = sum_from(s->x[DQ][at]);
            for (int i = 0; i < KV_PAGE; i++)
                if (looks_at(s, t, i)) sum_add(&sum, s, w->ds[t][i], w->ds_off[t][i], s->x[KEYS_ACROSS][across(k, i)]);
            if (looks(s, t))
                sum_is_near_truth(c, s, &sum, at, dq[at]);
            else
                check_same(c, "changed a row that sees nothing of the page", at, dq[at], s->x[DQ][at]);
        }
    }
}

static void pages_are_near_truth(struct check *c, const struct step *s, const struct weights *w,
                                 const struct outcome *have)
{
    for (int i = 0; i < KV_PAGE; i++) {
        for (int k = 0; k < s->K; k++) {
            const size_t at = across(k, i);
            struct sum dk = sum_from(s->x[DK][at]), dv = sum_from(s->x[DV][at]);
            for (int t = 0; t < s->T; t++) {
                if (!looks_at(s, t, i)) continue;
                sum_add(&dk, s, w->ds[t][i], w->ds_off[t][i], s->x[Q][(size_t)t * s->stride + (size_t)k]);
                sum_add(&dv, s, w->p[t][i], w->p_off[t][i], s->x[DY][(size_t)t * s->stride + (size_t)k]);
            }
            sum_is_near_truth(c, s, &dk, at, have->dk[at]);
            sum_is_near_truth(c, s, &dv, at, have->dv[at]);
        }
    }
}

/* ---- Making steps up ---- */

/* Rows see all of the page, a part, one position, nothing; or as much of it as causal rows do. */
static void choose_interval(struct check *c, struct step *s, int t, int variety)
{
    const int from = (int)(check_u64(c) % KV_PAGE), n = 1 + (int)(check_u64(c) % (uint64_t)(KV_PAGE - from));
    const int lo[] = {AT - 7, check_u64(c) % 2 ? AT - 5 : AT + KV_PAGE, 0, AT + from, AT + from};
    const int hi[] = {AT + KV_PAGE + from, lo[1] < AT ? AT : AT + 2 * KV_PAGE, AT + from + 1, AT + 3 * KV_PAGE,
                      AT + from + n};
    const uint64_t one = variety == 2 ? check_u64(c) % COUNT_OF(lo) : 0;
    s->lo[t] = variety == 1 ? 0 : lo[one];
    s->hi[t] = variety == 1 ? AT + 9 + t : hi[one];
}

/* K numbers of a kind at every position that a row looks at. Special ones are rare: an infinity makes NaNs of all that
 * meets it. */
static void fill_page(struct check *c, struct step *s, enum kind kind, int special)
{
    float key[MAX_K], value[MAX_K];
    for (size_t i = 0; i < size_of(s, KEYS_DOWN, 0); i++)
        s->x[KEYS_DOWN][i] = s->x[VALUES_DOWN][i] = NAN;
    for (int i = 0; i < KV_PAGE; i++) {
        bool seen = false;
        for (int t = 0; t < s->T; t++)
            seen = seen || looks_at(s, t, i);
        check_fill(c, key, (size_t)s->K, kind == TINY_X ? kind : NORMAL);
        check_fill(c, value, (size_t)s->K, kind == TINY_W ? TINY_X : NORMAL);
        if (special == 1 && i % 5 == 0) key[s->K / 2] = INFINITY;
        if (special == 2 && i % 5 == 0) value[s->K / 2] = INFINITY;
        for (int k = 0; seen && k < s->K; k++) {
            if (kind == CANCEL && k % 2) key[k] = -key[k - 1];
            if (special == 2) key[k] *= 0x1p-6f; /* or whether a weight underflows decides between infinity and NaN */
            s->x[KEYS_DOWN][down(k, i)] = s->x[KEYS_ACROSS][across(k, i)] = key[k];
            s->x[VALUES_DOWN][down(k, i)] = kind == CANCEL && k % 2 ? -value[k] : value[k];
        }
    }
}

/* The softmax's denominator is a little more than what the row sees here. Rows that see nothing are NaN. */
static void fill_row(struct check *c, struct step *s, int t)
{
    float *q = s->x[Q] + (size_t)t * s->stride, *dy = s->x[DY] + (size_t)t * s->stride;
    long double greatest = -INFINITY, size;
    for (int i = 0; i < KV_PAGE; i++) {
        const long double score = looks_at(s, t, i) ? dot(s, q, s->x[KEYS_DOWN], i, &size) * (long double)s->scale
                                                    : -INFINITY;
        greatest = isfinite(score) ? fmaxl(greatest, score) : greatest;
    }
    s->x[LSE][t] = (isfinite(greatest) ? (float)greatest : 0) + (float)(check_u64(c) % 100) * 0.05f;
    check_fill(c, &s->x[DELTA][t], 1, NORMAL);
    for (int k = 0; !looks(s, t) && k < s->K; k++)
        q[k] = dy[k] = NAN;
    if (!looks(s, t)) s->x[LSE][t] = NAN;
}

/* Filling: 0, or NaN of all inputs. */
static void fill_step(struct check *c, struct step *s, enum kind kind, int variety)
{
    const int special = kind == SPECIAL ? 1 + (int)(check_u64(c) % 3) : 0;
    const float filling = variety ? NAN : 0;
    for (enum array a = DQ; a <= DV; a++)
        check_fill(c, s->x[a], size_of(s, a, s->T), NORMAL);
    check_fill(c, s->x[Q], size_of(s, Q, s->T), kind == TINY_X ? TINY_X : NORMAL);
    check_fill(c, s->x[DY], size_of(s, DY, s->T), kind == TINY_W ? TINY_X : NORMAL);
    for (size_t i = 0; i < size_of(s, KEYS_ACROSS, 0); i++)
        s->x[KEYS_ACROSS][i] = variety ? NAN : 0;
    for (int t = 0; t < s->T; t++) {
        float *q = s->x[Q] + (size_t)t * s->stride, *dy = s->x[DY] + (size_t)t * s->stride;
        choose_interval(c, s, t, variety);
        for (int k = 1; kind == CANCEL && k < s->K; k += 2) {
            q[k] = q[k - 1];
            dy[k] = dy[k - 1];
        }
        if (special == 3 && t % 3 == 0) q[s->K / 2] = INFINITY;
        for (size_t k = (size_t)s->K; k < s->stride; k++)
            q[k] = dy[k] = filling;
    }
    fill_page(c, s, kind, special);
    for (int t = 0; t < s->T; t++)
        fill_row(c, s, t);
}

/* ---- Verdicts on a step ---- */

static void filling_stays(struct check *c, const struct step *s, const struct outcome *have)
{
    for (int t = 0; t < s->T; t++)
        for (size_t at = (size_t)t * s->stride + (size_t)s->K; at < (size_t)(t + 1) * s->stride; at++)
            check_same(c, "changed dq's filling", at, have->dq[at], s->x[DQ][at]);
    for (int i = 0; i < KV_PAGE; i++) {
        for (int k = s->K; k < (int)kernels_padded_head(s->K); k++) {
            check_same(c, "changed dk's filling", across(k, i), have->dk[across(k, i)], s->x[DK][across(k, i)]);
            check_same(c, "changed dv's filling", across(k, i), have->dv[across(k, i)], s->x[DV][across(k, i)]);
        }
    }
}

static void check_step(struct check *c, const struct step *s, bool filled, struct outcome *whole, struct outcome *again)
{
    struct weights w = {0};
    for (int t = 0; t < s->T; t++)
        for (int i = 0; i < KV_PAGE; i++)
            if (looks_at(s, t, i)) weigh(s, t, i, &w);
    run_whole(c, s, AT_END, whole);
    rows_are_near_truth(c, s, &w, whole->dq);
    pages_are_near_truth(c, s, &w, whole);
    if (filled) filling_stays(c, s, whole);
    for (enum place where = NEAR_END; where < PLACES; where++) {
        run_whole(c, s, where, again);
        rows_are_the_same(c, "other bits elsewhere", s, 0, s->T, again, whole);
        pages_are_the_same(c, "other bits elsewhere", s, again, whole);
    }
    memcpy(again->dk, s->x[DK], size_of(s, DK, 0) * sizeof(float));
    memcpy(again->dv, s->x[DV], size_of(s, DV, 0) * sizeof(float));
    for (int t = 0, n; t < s->T; t += n) { /* dk and dv go on from call to call */
        n = (1 + (int)(check_u64(c) % 4)) * (s->rounded ? 2 : 1);
        if (n > s->T - t) n = s->T - t;
        run_rows(c, s, t, n, t % 2 ? AT_START : AT_END, again);
    }
    rows_are_the_same(c, "other bits in pieces", s, 0, s->T, again, whole);
    if (s->T) pages_are_the_same(c, "other bits in pieces", s, again, whole);
}

static void check_back(struct check *c, bool rounded)
{
    static const int some_T[] = {0, 1, 2, 3, 4, 5, 6, 7, 12, MAX_T};
    enum { VARIETIES = 3 };
    struct step s = {.rounded = rounded, .K = MAX_K, .stride = MAX_K};
    struct outcome whole = outcome_alloc(), again = outcome_alloc();
    for (enum array a = 0; a < ARRAYS; a++) {
        s.x[a] = check_alloc(size_of(&s, a, MAX_T));
        s.guards[a] = guarded_open(size_of(&s, a, MAX_T) * sizeof(float) + sizeof(float));
    }
    for (size_t i = 0; i < COUNT_OF(head_sizes); i++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            if (rounded && kind == SPECIAL) continue; /* all numbers have to be finite */
            for (int variety = 0; variety < VARIETIES; variety++) {
                const size_t chosen = i + (size_t)kind + 3 * (size_t)variety;
                for (size_t j = 0; j < COUNT_OF(some_T); j++) {
                    if (head_sizes[i] > 17 && j != chosen % COUNT_OF(some_T)) continue; /* all have been met by then */
                    s.T = some_T[j];
                    s.K = head_sizes[i];
                    s.stride = kernels_padded_head(s.K);
                    s.scale = 1 / sqrtf((float)s.K);
                    snprintf(c->what, sizeof c->what, "T %d, K %d, %s, rows %d", s.T, s.K, check_kind_names[kind],
                             variety);
                    fill_step(c, &s, kind, variety);
                    check_step(c, &s, variety == 0 && kind != SPECIAL, &whole, &again);
                }
            }
        }
    }
    for (enum array a = 0; a < ARRAYS; a++) {
        free(s.x[a]);
        guarded_close(&s.guards[a]);
    }
    outcome_free(&whole);
    outcome_free(&again);
}

void check_attention_back(struct check *c)
{
    check_back(c, false);
}

void check_attention_back_bf16(struct check *c)
{
    check_back(c, true);
}
