// SPDX-License-Identifier: Apache-2.0
/* The kernel check's quantising: by what quant.h promises of a strip, and by the reference's bits. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "check_kernels.h"
#include "kernels/quant.h"

struct strip {
    enum weight_type type;
    int O, I;
    size_t stride;
    const float *w;
    const void *data;
};

/* The weight at an output and an input of the strip: zero where there is none. */
static float weight(const struct strip *s, int o, int i)
{
    return o < s->O && i < s->I ? s->w[(size_t)o * s->stride + (size_t)i] : 0;
}

static float extreme(const struct strip *s, int o, int at)
{
    float e = 0;
    for (int i = at; i < at + quant_group(s->type); i++) {
        const float x = weight(s, o, i);
        if (isnan(x) || fabsf(x) > fabsf(e)) e = x;
        if (isnan(x)) break;
    }
    return e;
}

/* Squares of the errors of a group under a scale with its nearest values, and of the values themselves. */
static double error_of(const struct strip *s, int o, int at, double scale, double *values)
{
    double error = 0;
    *values = 0;
    for (int i = at; i < at + quant_group(s->type); i++) {
        const double x = (double)weight(s, o, i), v = fmin(7, fmax(-8, rint(x / scale)));
        error += (x - scale * v) * (x - scale * v);
        *values += v * v;
    }
    return error;
}

/* No worse than the largest weight as -8. That candidate's scale S is here rounded to fp16, by at most D = 2^-11 S,
 * which moves the vector of a group by D |v|; the best scale for the values is rounded again and its error, which is
 * orthogonal to that, grows by (2^-11 s |v|)^2. New values for the rounded scale make nothing worse. fp32: 2^-18. */
static void q4_is_no_worse(struct check *c, const struct strip *s, int o, int at, double scale, float e)
{
    const double simple = (double)f16_to_f32(f16_from_f32(e / -8));
    if (fabs(scale) < 0x1p-14 || fabs(simple) < 0x1p-14) return; /* fp16 has fewer bits there */
    double v, simple_v;
    const double have = error_of(s, o, at, scale, &v), other = error_of(s, o, at, simple, &simple_v);
    const double moved = sqrt(other) + 0x1p-11 * fabs(simple) * sqrt(simple_v), rounded = 0x1p-11 * fabs(scale);
    check_that(c, have <= (moved * moved + rounded * rounded * v) * (1 + 0x1p-18),
               "a scale is worse than the largest weight as -8");
}

static void check_group(struct check *c, const struct strip *s, int o, int at)
{
    const int low = s->type == WEIGHT_Q4 ? -8 : -127, high = s->type == WEIGHT_Q4 ? 7 : 127;
    const float e = extreme(s, o, at), scale = quant_scale(s->data, s->type, o, at);
    const bool finite = isfinite(e) && isfinite(scale);
    if (!isfinite(e)) check_that(c, !isfinite(scale), "a group with NaN or infinity has a scale");
    if (isfinite(e) && s->type == WEIGHT_Q8)
        check_that(c, scale == f16_to_f32(f16_from_f32(fabsf(e) < QUANT_TINY ? 0 : fabsf(e) / 127)), "another scale");
    if (finite && s->type == WEIGHT_Q4) q4_is_no_worse(c, s, o, at, (double)scale, e);
    for (int i = at; i < at + quant_group(s->type); i++) {
        const int v = quant_value(s->data, s->type, o, i);
        const float want = finite && scale != 0 ? rintf(weight(s, o, i) * (1 / scale)) : 0;
        check_that(c, (float)v == fminf((float)high, fmaxf((float)low, want)), "not the nearest value");
    }
}

static void check_strip(struct check *c, const struct strip *s)
{
    const int padded = (int)quant_blocks(s->I) * QUANT_BLOCK;
    for (int o = 0; o < QUANT_STRIP; o++)
        for (int at = 0; at < padded; at += quant_group(s->type))
            check_group(c, s, o, at);
}

static void run(struct check *c, struct strip *s, const float *from, enum place where)
{
    const size_t n = (size_t)(s->O - 1) * s->stride + (size_t)s->I, bytes = quant_strip_bytes(s->type, s->I);
    const float *w = check_floats(&c->in[0], where, from, n);
    char *out = check_place(&c->out, where, bytes, sizeof(uint16_t)), *reference = malloc(bytes + 1);
    if (!reference) abort();
    const unsigned mode = check_float_mode();
    snprintf(c->now, sizeof c->now, "%s, type %d, %d rows, place %d", c->what, (int)s->type, s->O, (int)where);
    c->k->quant_strip(out, s->type, w, s->stride, s->O, s->I);
    const struct input in = {w, from, n * sizeof *w};
    check_clean(c, mode, out, bytes, &in, 1);
    quant_strip(reference, s->type, w, s->stride, s->O, s->I);
    check_that(c, !memcmp(out, reference, bytes), "other bits than the reference");
    free(reference);
    s->w = from;
    s->data = out;
    check_strip(c, s);
}

void check_quant_strip(struct check *c)
{
    static const int sizes[] = {1, 7, 8, 31, 32, 33, 63, 64, 65, 80, 200, 1000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            const size_t stride = (size_t)sizes[i] + PAD, n = QUANT_STRIP * stride;
            float *w = check_alloc(n);
            check_fill(c, w, n, kind);
            if (kind == SPECIAL) w[check_u64(c) % n] = NAN;
            snprintf(c->what, sizeof c->what, "I %d, %s", sizes[i], check_kind_names[kind]);
            for (int O = 1; O <= QUANT_STRIP; O += O < 9 || O > 14 ? 1 : 3) {
                for (int t = WEIGHT_Q8; t <= WEIGHT_Q4; t++) {
                    struct strip s = {.type = (enum weight_type)t, .O = O, .I = sizes[i], .stride = stride};
                    run(c, &s, w, (enum place)(O % PLACES));
                }
            }
            free(w);
        }
    }
}
