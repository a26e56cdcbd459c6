// SPDX-License-Identifier: Apache-2.0
/* The kernel check's linear maps: every way of storing weights by every way of computing, streamed and by panels. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "check_kernels.h"
#include "kernels/quant.h"

static const char *const weight_names[WEIGHT_TYPES] = {"f32", "f16", "bf16", "q8", "q4"};
static const char *const compute_names[COMPUTE_TYPES] = {"fp32", "bf16", "int8"};

struct product {
    enum compute_type compute;
    enum weight_type type;
    int I;
    size_t x_stride;
    const float *x; /* [MAX_T][x_stride]                              */
    const char *w;  /* MAX_O rows of type                             */
    float *whole;   /* [MAX_T][MAX_O] as streamed, or else multiplied */
};

static bool quantised(enum weight_type t)
{
    return t == WEIGHT_Q8 || t == WEIGHT_Q4;
}

static size_t bytes_of(enum weight_type t, int O, int I)
{
    if (quantised(t)) return quant_strips(O) * quant_strip_bytes(t, I);
    return (size_t)O * (size_t)I * (t == WEIGHT_F32 ? 4 : 2);
}

static const struct linear_kernels *kernels_of(const struct check *c, const struct product *p)
{
    return &c->k->linear[p->compute][p->type];
}

/* ---- Truth ---- */

/* sum: the product by definition; size: the sum of the terms' magnitudes; terms: how many. */
struct truth {
    long double sum, size;
    int terms;
};

static void add_term(struct truth *t, long double term)
{
    t->sum += term;
    t->size += fabsl(term);
}

static long double weight(const struct product *p, int o, int i)
{
    const char *strip = p->w + (size_t)(o / QUANT_STRIP) * quant_strip_bytes(p->type, p->I);
    if (quantised(p->type))
        return (long double)quant_value(strip, p->type, o % QUANT_STRIP, i) *
               (long double)quant_scale(strip, p->type, o % QUANT_STRIP, i);
    static const enum dtype dtypes[] = {[WEIGHT_F32] = DTYPE_F32, [WEIGHT_F16] = DTYPE_F16, [WEIGHT_BF16] = DTYPE_BF16};
    return (long double)check_load(p->w, dtypes[p->type], (size_t)o * (size_t)p->I + (size_t)i);
}

static long double factor(const struct product *p, bool flushes, long double x)
{
    return p->compute == COMPUTE_FP32 ? x : check_bf16(flushes, x);
}

static struct truth float_truth(const struct product *p, bool flushes, const float *x, int o)
{
    struct truth t = {.terms = p->I};
    for (int i = 0; i < p->I; i++) {
        const long double xi = (long double)x[i];
        add_term(&t, factor(p, flushes, xi) * factor(p, flushes, weight(p, o, i)));
    }
    return t;
}

static struct truth int8_truth(const struct product *p, const float *x, int o)
{
    enum { MOST = MAX_I + CUT + QUANT_BLOCK };
    static int8_t value[MOST];
    static float scale[MOST];
    const int group = quant_group(p->type), groups = (int)quant_blocks(p->I) * (QUANT_BLOCK / group);
    struct truth t = {.terms = groups};
    quant_activations(value, scale, p->type, x, p->I);
    for (int g = 0; g < groups; g++) {
        const char *strip = p->w + (size_t)(o / QUANT_STRIP) * quant_strip_bytes(p->type, p->I);
        long double dot = 0;
        for (int i = g * group; i < (g + 1) * group; i++)
            dot += (long double)value[i] * quant_value(strip, p->type, o % QUANT_STRIP, i);
        add_term(&t, (long double)scale[g * group / quant_x_group(p->type)] *
                         (long double)quant_scale(strip, p->type, o % QUANT_STRIP, g * group) * dot);
    }
    return t;
}

/* One rounding more than a dot product has: of what a group of x comes to. Each step may lose what is too small. */
static void is_near_truth(struct check *c, const struct product *p)
{
    const bool flushes = kernels_of(c, p)->flushes;
    const long double tiny = check_tiny(flushes);
    for (int t = 0; t < MAX_T; t++) {
        for (int o = 0; o < MAX_O; o++) {
            const float *x = p->x + (size_t)t * p->x_stride;
            const struct truth truth = p->compute == COMPUTE_INT8 ? int8_truth(p, x, o) : float_truth(p, flushes, x, o);
            const long double n = truth.terms;
            check_near(c, (size_t)(t * MAX_O + o), p->whole[t * MAX_O + o], truth.sum,
                       (9 + sqrtl(n)) * EPS * truth.size + EPS * fabsl(truth.sum) + (n + 1) * tiny);
        }
    }
}

/* ---- Running ---- */

/* Rows t0 .. t0 + T of x by outputs o0 .. o0 + O; the result is c->out's, valid until the next call. */
static const float *streamed(struct check *c, const struct product *p, int t0, int T, int o0, int O, size_t y_stride,
                             enum place where)
{
    const struct linear_kernels *k = kernels_of(c, p);
    const size_t I = (size_t)p->I, x_n = T ? (size_t)(T - 1) * p->x_stride + I : 0;
    const size_t y_n = T && O ? (size_t)(T - 1) * y_stride + (size_t)O : 0, w_bytes = bytes_of(p->type, O, p->I);
    const float *x_from = p->x + (size_t)t0 * p->x_stride;
    const char *w_from = p->w + bytes_of(p->type, o0, p->I);
    const float *x = check_floats(&c->in[0], where, x_from, x_n);
    const void *w = check_bytes(&c->in[1], where, w_from, w_bytes);
    void *prepared = check_place(&c->in[2], AT_END, (k->prepared_bytes(T, p->I) + 63) / 64 * 64, 1);
    float *y = check_place(&c->out, where, y_n * sizeof *y, sizeof *y);
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, streamed rows %d+%d, outputs %d+%d, place %d", c->what, t0, T, o0, O,
             (int)where);

    k->prepare(prepared, x, p->x_stride, T, p->I);
    k->stream(y, y_stride, prepared, w, 0, 1, T, O, p->I);

    const struct input in[] = {{x, x_from, x_n * sizeof *x}, {w, w_from, w_bytes}};
    check_clean(c, mode, y, y_n * sizeof *y, in, 2);
    for (int t = 0; t + 1 < T && O; t++)
        for (size_t i = (size_t)O; i < y_stride; i++)
            check_that(c, isnan(y[(size_t)t * y_stride + i]), "wrote between its rows");
    return y;
}

/* In bands: the first 16 outputs and the ones after them side by side, which is what one call of 32 gives. */
static void bands_are_the_whole(struct check *c, const struct product *p, int T)
{
    enum { BANDS = 2, O = 16 };
    const struct linear_kernels *k = kernels_of(c, p);
    const size_t w_bytes = bytes_of(p->type, BANDS * O, p->I), y_bytes = (size_t)T * BANDS * O * sizeof(float);
    const void *w = check_bytes(&c->in[1], AT_END, p->w, w_bytes);
    void *prepared = check_place(&c->in[2], AT_END, (k->prepared_bytes(T, p->I) + 63) / 64 * 64, 1);
    float *y = check_place(&c->out, AT_END, y_bytes, sizeof *y);
    snprintf(c->now, sizeof c->now, "%s, %d rows in bands", c->what, T);
    k->prepare(prepared, p->x, p->x_stride, T, p->I);
    k->stream(y, BANDS * O, prepared, w, bytes_of(p->type, O, p->I), BANDS, T, O, p->I);
    check_that(c, guarded_clean_outside(&c->out, y, y_bytes), "wrote outside its output");
    for (int t = 0; t < T; t++)
        for (int o = 0; o < BANDS * O; o++)
            check_same(c, "other bits in bands", (size_t)(t * BANDS * O + o), y[t * BANDS * O + o],
                       p->whole[t * MAX_O + o]);
}

/* Four bands of as many outputs as fit. */
static void four_bands_are_the_whole(struct check *c, const struct product *p, int T)
{
    enum { BANDS = STREAM_BANDS, O = 8 };
    const struct linear_kernels *k = kernels_of(c, p);
    void *prepared = check_place(&c->in[2], AT_END, (k->prepared_bytes(T, p->I) + 63) / 64 * 64, 1);
    float *y = check_place(&c->out, AT_END, (size_t)T * BANDS * O * sizeof *y, sizeof *y);
    snprintf(c->now, sizeof c->now, "%s, %d rows in four bands", c->what, T);
    k->prepare(prepared, p->x, p->x_stride, T, p->I);
    if (quantised(p->type)) /* bands begin at strips: the same one four times */
        k->stream(y, BANDS * O, prepared, p->w, 0, BANDS, T, O, p->I);
    else
        k->stream(y, BANDS * O, prepared, p->w, bytes_of(p->type, O, p->I), BANDS, T, O, p->I);
    for (int t = 0; t < T; t++)
        for (int o = 0; o < BANDS * O; o++)
            check_same(c, "other bits in four bands", (size_t)(t * BANDS * O + o), y[t * BANDS * O + o],
                       p->whole[t * MAX_O + (quantised(p->type) ? o % O : o)]);
}

/* The panel that begins at o0, over all blocks of inputs; the result has T rows of k->panel. */
static const float *multiplied(struct check *c, const struct product *p, int t0, int T, int o0, enum place where)
{
    const struct linear_kernels *k = kernels_of(c, p);
    const int O = MAX_O - o0 < k->panel ? MAX_O - o0 : k->panel;
    const size_t w_bytes = bytes_of(p->type, O, p->I), z_bytes = (size_t)T * (size_t)k->panel * sizeof(float);
    const char *w_from = p->w + bytes_of(p->type, o0, p->I);
    const void *w = check_bytes(&c->in[1], where, w_from, w_bytes);
    float *z = check_place(&c->out, AT_END, (z_bytes + 63) / 64 * 64, 1);
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, panel at %d, rows %d+%d, place %d", c->what, o0, t0, T, (int)where);
    memset(z, 0, z_bytes);
    for (int at = 0; at < p->I; at += k->depth) {
        const int n = p->I - at < k->depth ? p->I - at : k->depth;
        const float *x_from = p->x + (size_t)t0 * p->x_stride + at;
        const size_t x_n = (size_t)(T - 1) * p->x_stride + (size_t)n;
        const float *x = check_floats(&c->in[0], where, x_from, x_n);
        void *packed_x = check_place(&c->in[2], AT_END, (k->packed_x_bytes(T, n) + 63) / 64 * 64, 1);
        void *packed_w = check_place(&c->in[3], AT_END, (k->panel_bytes + 63) / 64 * 64, 1);
        k->pack_x(packed_x, x, p->x_stride, T, n);
        k->pack_w(packed_w, w, O, p->I, at, n);
        const size_t row_bytes = p->type >= WEIGHT_Q8 ? bytes_of(p->type, QUANT_STRIP, p->I)
                                                      : bytes_of(p->type, 1, p->I);
        const struct ahead next = {(const char *)w, row_bytes, (size_t)n, 3};
        k->multiply(z, packed_x, packed_w, T, n, at / k->depth % 2 ? NULL : &next);
        const struct input in[] = {{x, x_from, x_n * sizeof *x}, {w, w_from, w_bytes}};
        check_clean(c, mode, z, (z_bytes + 63) / 64 * 64, in, 2);
    }
    return z;
}

static void must_be_as_in_the_whole(struct check *c, const struct product *p, const float *y, size_t y_stride, int t0,
                                    int T, int o0, int O)
{
    for (int t = 0; t < T; t++)
        for (int o = 0; o < O; o++)
            check_same(c, "other bits than in the whole", (size_t)(t * O + o), y[(size_t)t * y_stride + (size_t)o],
                       p->whole[(t0 + t) * MAX_O + o0 + o]);
}

static void stream_part(struct check *c, const struct product *p, int t0, int T, int o0, int O, enum place where)
{
    const size_t y_stride = (size_t)O + (where == AT_END ? 0 : PAD);
    must_be_as_in_the_whole(c, p, streamed(c, p, t0, T, o0, O, y_stride, where), y_stride, t0, T, o0, O);
}

static void panel_part(struct check *c, const struct product *p, int t0, int T, int o0, enum place where)
{
    const int panel = kernels_of(c, p)->panel;
    must_be_as_in_the_whole(c, p, multiplied(c, p, t0, T, o0, where), (size_t)panel, t0, T, o0,
                            MAX_O - o0 < panel ? MAX_O - o0 : panel);
}

/* ---- The laws ---- */

static void compute_whole(struct check *c, const struct product *p)
{
    const struct linear_kernels *k = kernels_of(c, p);
    if (k->stream) {
        memcpy(p->whole, streamed(c, p, 0, MAX_T, 0, MAX_O, MAX_O, AT_END), sizeof(float) * MAX_T * MAX_O);
        return;
    }
    for (int o = 0; o < MAX_O; o += k->panel) {
        const float *z = multiplied(c, p, 0, MAX_T, o, AT_END);
        for (int t = 0; t < MAX_T; t++)
            memcpy(p->whole + t * MAX_O + o, z + t * k->panel,
                   sizeof(float) * (size_t)(MAX_O - o < k->panel ? MAX_O - o : k->panel));
    }
}

static void check_streaming(struct check *c, const struct product *p)
{
    static const int some_T[] = {0, 1, 2, 3, 4, 5, 6, 7, 12, MAX_T};
    static const int some_O[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, MAX_O};
    for (size_t i = 0; i < COUNT_OF(some_T); i++) {
        for (size_t j = 0; j < COUNT_OF(some_O); j++) {
            const int T = some_T[i], O = some_O[j], last = MAX_O - O;
            if (T * O * p->I > 100000) continue; /* the work done twice; shorter rows have covered these shapes */
            for (enum place where = 0; where < PLACES; where++)
                stream_part(c, p, MAX_T - T, T, quantised(p->type) ? last / QUANT_STRIP * QUANT_STRIP : last, O, where);
        }
    }
    for (int t = 0; t < MAX_T; t++)
        stream_part(c, p, t, 1, 0, p->I > 200 ? 5 : MAX_O, NEAR_END);
    for (int T = 1; T <= 9; T++) {
        if (kernels_of(c, p)->stream_bands > 1) {
            bands_are_the_whole(c, p, T);
            four_bands_are_the_whole(c, p, T);
        }
    }
    for (int o = 0; o < MAX_O; o += quantised(p->type) ? QUANT_STRIP : 1)
        stream_part(c, p, 0, p->I > 200 ? 4 : MAX_T, o, 1, NEAR_END);
}

static void check_panels(struct check *c, const struct product *p)
{
    const int panel = kernels_of(c, p)->panel;
    for (int o = 0; o < MAX_O; o += panel) {
        panel_part(c, p, 0, MAX_T, o, AT_END);
        for (int T = 1; T < MAX_T && p->I <= 200; T++)
            panel_part(c, p, MAX_T - T, T, o, (enum place)(T % PLACES));
        panel_part(c, p, 3, 1, o, NEAR_END);
    }
}

/* Rows over and over again, more than any tile or group of tiles has. */
static void check_many_rows(struct check *c, const struct product *p)
{
    enum { MANY = 150 };
    const struct linear_kernels *k = kernels_of(c, p);
    const size_t I = (size_t)p->I;
    float *x = check_alloc(MANY * I), *whole = check_alloc(MANY * MAX_O);
    for (size_t t = 0; t < MANY; t++) {
        memcpy(x + t * I, p->x + t % MAX_T * p->x_stride, I * sizeof *x);
        memcpy(whole + t * MAX_O, p->whole + t % MAX_T * MAX_O, MAX_O * sizeof *whole);
    }
    const struct product many = {p->compute, p->type, p->I, I, x, p->w, whole};
    for (int o = 0; k->multiply && o < MAX_O; o += k->panel)
        panel_part(c, &many, 0, MANY, o, AT_END);
    for (int T = 14; k->stream && T <= 50; T += 6)
        stream_part(c, &many, 0, T, 0, MAX_O, AT_END);
    free(x);
    free(whole);
}

/* Sums of int8 products are exact and groups have an order, so all instruction sets agree. */
static void must_be_as_with_avx2(struct check *c, const struct product *p)
{
    struct kernels avx2;
    const struct kernels *own = c->k;
    kernels_init(&avx2, CPU_AVX2);
    c->k = &avx2;
    const float *y = streamed(c, p, 0, MAX_T, 0, MAX_O, MAX_O, AT_END);
    c->k = own;
    for (size_t i = 0; i < MAX_T * MAX_O; i++)
        check_same(c, "other bits than avx2's", i, p->whole[i], y[i]);
}

static char *quantise(const float *w, enum weight_type type, int O, int I)
{
    const size_t strip = quant_strip_bytes(type, I);
    char *q = malloc(bytes_of(type, O, I) + 1);
    if (!q) abort();
    for (int o = 0; o < O; o += QUANT_STRIP)
        quant_strip(q + (size_t)(o / QUANT_STRIP) * strip, type, w + (size_t)o * (size_t)I, (size_t)I,
                    O - o < QUANT_STRIP ? O - o : QUANT_STRIP, I);
    return q;
}

/* Infinite weights cannot be quantised; infinite activations can. */
static char *fill(struct check *c, float *x, size_t x_stride, enum weight_type type, int I, enum kind kind)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F32, DTYPE_F32};
    const size_t n = (size_t)MAX_O * (size_t)I;
    char *w = malloc(n * sizeof(float) + 1);
    if (!w) abort();
    check_fill_matrices(c, x, MAX_T, x_stride, w, dtypes[type], MAX_O, I, kind);
    if (!quantised(type)) return w;
    if (kind == SPECIAL) check_fill(c, (float *)(void *)w, n, NORMAL);
    char *q = quantise((const float *)(const void *)w, type, MAX_O, I);
    free(w);
    return q;
}

void check_linear(struct check *c, enum compute_type compute, enum weight_type type)
{
    static const int sizes[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 80, 200};
    const int longest = c->k->linear[compute][type].depth + CUT; /* a whole block of inputs and a cut one */
    for (size_t s = 0; s <= COUNT_OF(sizes); s++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            const int I = s < COUNT_OF(sizes) ? sizes[s] : longest;
            const size_t stride = (size_t)I + PAD;
            float *x = check_alloc(MAX_T * stride), whole[MAX_T * MAX_O];
            char *w = fill(c, x, stride, type, I, kind);
            snprintf(c->what, sizeof c->what, "I %d, %s", I, check_kind_names[kind]);
            const struct product p = {compute, type, I, stride, x, w, whole};
            compute_whole(c, &p);
            is_near_truth(c, &p);
            if (kernels_of(c, &p)->stream) check_streaming(c, &p);
            if (kernels_of(c, &p)->multiply) check_panels(c, &p);
            if (I == 80 && kind == NORMAL) check_many_rows(c, &p);
            if (compute == COMPUTE_INT8 && strcmp(c->k->name, "ref")) must_be_as_with_avx2(c, &p);
            free(w);
            free(x);
        }
    }
}

const char *check_linear_name(enum compute_type compute, enum weight_type type)
{
    static char names[COMPUTE_TYPES][WEIGHT_TYPES][24];
    snprintf(names[compute][type], sizeof names[compute][type], "linear %s x %s", compute_names[compute],
             weight_names[type]);
    return names[compute][type];
}
