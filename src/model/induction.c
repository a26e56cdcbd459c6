// SPDX-License-Identifier: Apache-2.0
#include "model/induction.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double embedding = 0.3, constant = 8, positions = 8, match = 1.7; /* e, b, |q| = |k| of layer 0, g */

/* The shared matrices are hashed as tensors that no checkpoint has. */
enum { WTE = 0, SHARED = 1 << 24, P, S1, S2, S3, Q, U };

/* A value of one matrix element, or of a vector's with row 0. */
struct element {
    const struct synth *synth;
    int tensor;
    int64_t row, col, cols;
};

static double normal(const struct element *e, int tensor)
{
    return synth_normal(e->synth, tensor, e->row * e->cols + e->col);
}

static double usual(const struct element *e)
{
    return e->synth->initializer_range * normal(e, e->tensor);
}

static double shared(const struct element *e, int matrix, int64_t row, int64_t col)
{
    const int D = e->synth->config.D;
    return synth_normal(e->synth, matrix, row * D + col) / sqrt(D);
}

static double u(const struct element *e, int64_t i)
{
    return (synth_normal(e->synth, U, i) < 0 ? -1 : 1) / sqrt(e->synth->config.D);
}

/* ---- The tensors ---- */

static double wte(const struct element *e)
{
    return embedding * normal(e, WTE);
}

static double lm_head(const struct element *e)
{
    return e->synth->initializer_range * normal(e, WTE);
}

static double residual(const struct element *e)
{
    return usual(e) / sqrt(2.0 * e->synth->config.L);
}

static double constant_bias(const struct element *e)
{
    return constant * u(e, e->col);
}

/* Heads of layer 0 that note the token before, the one before that, ... */
enum { NOTES = 3 };
static const int note[NOTES] = {S1, S2, S3};

static int head_dim(const struct element *e)
{
    return e->synth->config.D / e->synth->config.H;
}

/* Row r of a head's query and key for the constant b u. Pair i turns by theta_i a position: a query turned back by
 * distance times that fits the key so many positions before. The first pairs, which turn fastest, tell neighbours
 * apart. */
static double positional(const struct element *e, bool query)
{
    enum { PAIRS = 3 };
    const struct gptj_config *c = &e->synth->config;
    const int64_t r = e->row % head_dim(e), pair = r / 2, odd = r % 2, distance = e->row / head_dim(e) + 1;
    if (pair >= PAIRS || 2 * pair >= c->R) return 0;
    const double angle = (double)distance * pow(10000, -2.0 * (double)pair / c->R);
    const double turned = query ? (odd ? -sin(angle) : cos(angle)) : (odd ? 0 : 1);
    return positions / constant * turned * u(e, e->col);
}

static bool notes(const struct element *e, int64_t unit)
{
    return unit < NOTES * head_dim(e);
}

static double query_0(const struct element *e)
{
    return notes(e, e->row) ? positional(e, true) : usual(e);
}

static double key_0(const struct element *e)
{
    return notes(e, e->row) ? positional(e, false) : usual(e);
}

static double value_0(const struct element *e)
{
    return notes(e, e->row) ? shared(e, P, e->row % head_dim(e), e->col) : usual(e);
}

static double out_0(const struct element *e)
{
    if (!notes(e, e->col)) return residual(e);
    return embedding * shared(e, note[e->col / head_dim(e)], e->col % head_dim(e), e->row);
}

/* Of the dimensions that turn slowly or not at all, each of NOTES equal parts compares with a matrix of its own. */
static double matching(const struct element *e, const int matrices[NOTES])
{
    const int64_t d = head_dim(e), begin = e->synth->config.R / 2, r = e->row % d;
    return r < begin ? usual(e) : match * shared(e, matrices[(r - begin) * NOTES / (d - begin)], r, e->col);
}

static double query_1(const struct element *e)
{
    static const int here[NOTES] = {P, S1, S2};
    return matching(e, here);
}

static double key_1(const struct element *e)
{
    return matching(e, note);
}

static double value_1(const struct element *e)
{
    return shared(e, Q, e->row, e->col);
}

static double out_1(const struct element *e)
{
    return 2 * embedding * shared(e, Q, e->col, e->row);
}

enum { EVERY_LAYER = -1 };

/* By the end of the name; the first that fits. */
static const struct {
    const char *name;
    int layer;
    double (*value)(const struct element *);
} tensors[] = {
    {"wte.weight", EVERY_LAYER, wte},
    {"lm_head.weight", EVERY_LAYER, lm_head},
    {"ln_1.bias", 0, constant_bias},
    {"attn.q_proj.weight", 0, query_0},
    {"attn.k_proj.weight", 0, key_0},
    {"attn.v_proj.weight", 0, value_0},
    {"attn.out_proj.weight", 0, out_0},
    {"attn.q_proj.weight", 1, query_1},
    {"attn.k_proj.weight", 1, key_1},
    {"attn.v_proj.weight", 1, value_1},
    {"attn.out_proj.weight", 1, out_1},
    {"attn.out_proj.weight", EVERY_LAYER, residual},
    {"mlp.fc_out.weight", EVERY_LAYER, residual},
};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

static int find(const char *name)
{
    int layer = EVERY_LAYER;
    sscanf(name, "transformer.h.%d.", &layer);
    const size_t n = strlen(name);
    for (int i = 0; i < N_TENSORS; i++) {
        const size_t m = strlen(tensors[i].name);
        const bool fits = n >= m && !strcmp(name + n - m, tensors[i].name);
        if (fits && (tensors[i].layer == EVERY_LAYER || tensors[i].layer == layer)) return i;
    }
    return -1;
}

enum status induction_check(const struct gptj_config *c)
{
    if (c->L < 2) return fail(E_ARG, "induction heads need two layers");
    if (c->H < NOTES) return fail(E_ARG, "induction heads need three heads a layer");
    if (c->R < 2) return fail(E_ARG, "induction heads need rotary positions, and rotary_dim is %d", c->R);
    if (c->tied) return fail(E_ARG, "induction heads need a head that is not the embedding itself");
    return OK;
}

bool induction_values(void *out, const struct synth *s, const struct gptj_tensor_spec *spec, int tensor, int64_t begin,
                      int64_t n)
{
    const int t = find(spec->name);
    if (t < 0) return false;
    const int64_t cols = spec->shape[spec->n_dims - 1];
    for (int64_t i = 0; i < n; i++) {
        const struct element e = {s, tensor, (begin + i) / cols, (begin + i) % cols, cols};
        synth_put(out, s->dtype, i, (float)tensors[t].value(&e));
    }
    return true;
}
