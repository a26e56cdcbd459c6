// SPDX-License-Identifier: Apache-2.0
/* From named tensors to a bound model. The list of tensors a gptj checkpoint has is written once, in the tables of
 * struct tensor_place and walk(); checking, loading and accounting walk it. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/gptj.h"

/* A tensor: its name, the letters of its shape, and where it is kept. */
struct tensor_place {
    const char *name;
    char rows, cols; /* 'D', 'F', 'V', or 0 for a vector's missing second dimension */
    size_t offset;   /* in struct gptj_layer, or in struct gptj */
};

static const struct tensor_place layer_specs[] = {
    {"ln_1.weight", 'D', 0, offsetof(struct gptj_layer, ln_w)},
    {"ln_1.bias", 'D', 0, offsetof(struct gptj_layer, ln_b)},
    {"attn.k_proj.weight", 'D', 'D', offsetof(struct gptj_layer, k)},
    {"attn.v_proj.weight", 'D', 'D', offsetof(struct gptj_layer, v)},
    {"attn.q_proj.weight", 'D', 'D', offsetof(struct gptj_layer, q)},
    {"attn.out_proj.weight", 'D', 'D', offsetof(struct gptj_layer, o)},
    {"mlp.fc_in.weight", 'F', 'D', offsetof(struct gptj_layer, fc_in)},
    {"mlp.fc_in.bias", 'F', 0, offsetof(struct gptj_layer, fc_in_b)},
    {"mlp.fc_out.weight", 'D', 'F', offsetof(struct gptj_layer, fc_out)},
    {"mlp.fc_out.bias", 'D', 0, offsetof(struct gptj_layer, fc_out_b)},
};

static const struct tensor_place embedding_spec = {"transformer.wte.weight", 'V', 'D', offsetof(struct gptj, wte)};
static const struct tensor_place norm_specs[] = {
    {"transformer.ln_f.weight", 'D', 0, offsetof(struct gptj, ln_f_w)},
    {"transformer.ln_f.bias", 'D', 0, offsetof(struct gptj, ln_f_b)},
};
static const struct tensor_place head_specs[] = {
    {"lm_head.weight", 'V', 'D', offsetof(struct gptj, head)}, /* not where it is tied to the embedding */
    {"lm_head.bias", 'V', 0, offsetof(struct gptj, head_b)},
};

static int64_t letter(const struct gptj_config *c, char which)
{
    return which == 'D' ? c->D : which == 'F' ? c->F : which == 'V' ? c->V : 0;
}

static struct gptj_tensor_spec spec_of(const struct gptj_config *c, const char *name, char rows, char cols)
{
    return (struct gptj_tensor_spec){name, cols ? 2 : 1, {letter(c, rows), letter(c, cols)}};
}

static void layer_tensor_name(char *name, size_t bytes, int layer, const char *rest)
{
    snprintf(name, bytes, "transformer.h.%d.%s", layer, rest);
}

enum { NAME_BYTES = 96 };

/* A walk over layers [first, last). m has that range, or is NULL: then there are no weights to show. */
struct walk {
    const struct gptj_config *c;
    int first, last;
    struct gptj *m;
    gptj_weight_fn *each;
    void *user;
};

/* Some tensors of the struct at base. */
static enum status walk_places(const struct walk *w, const struct tensor_place *place, size_t n, void *base)
{
    for (size_t i = 0; i < n; i++, place++) {
        const struct gptj_tensor_spec spec = spec_of(w->c, place->name, place->rows, place->cols);
        TRY(w->each(w->user, &spec, base ? (struct weight *)(void *)((char *)base + place->offset) : NULL));
    }
    return OK;
}

static enum status walk_layer(const struct walk *w, int l)
{
    struct gptj_layer *layer = w->m ? &w->m->layers[l - w->first] : NULL;
    for (size_t i = 0; i < COUNT_OF(layer_specs); i++) {
        char name[NAME_BYTES];
        struct tensor_place place = layer_specs[i];
        layer_tensor_name(name, sizeof name, l, place.name);
        place.name = name;
        TRY(walk_places(w, &place, 1, layer));
    }
    return OK;
}

static enum status walk(const struct walk *w)
{
    const bool head = w->last == w->c->L, tied = w->c->tied;
    if (w->first == 0 || (head && tied)) TRY(walk_places(w, &embedding_spec, 1, w->m));
    for (int l = w->first; l < w->last; l++)
        TRY(walk_layer(w, l));
    if (!head) return OK;
    TRY(walk_places(w, norm_specs, COUNT_OF(norm_specs), w->m));
    return walk_places(w, head_specs + tied, COUNT_OF(head_specs) - tied, w->m);
}

enum status gptj_each_weight(struct gptj *m, gptj_weight_fn *each, void *user)
{
    const struct walk w = {&m->cfg, m->first, m->last, m, each, user};
    return walk(&w);
}

struct spec_only {
    gptj_tensor_fn *each;
    void *user;
};

static enum status show_spec(void *user, const struct gptj_tensor_spec *spec, struct weight *w)
{
    (void)w;
    const struct spec_only *s = user;
    return s->each(s->user, spec);
}

enum status gptj_each_tensor_in(const struct gptj_config *c, int first, int last, gptj_tensor_fn *each, void *user)
{
    struct spec_only s = {each, user};
    const struct walk w = {c, first, last, NULL, show_spec, &s};
    return walk(&w);
}

enum status gptj_each_tensor(const struct gptj_config *c, gptj_tensor_fn *each, void *user)
{
    return gptj_each_tensor_in(c, 0, c->L, each, user);
}

/* ---- Checking ---- */

struct check {
    const struct source *src;
    struct buf wrong;
    int n_wrong;
};

enum { MAX_NAMED = 6 };

static void complain(struct check *k, const char *text)
{
    if (k->n_wrong++ < MAX_NAMED) buf_printf(&k->wrong, "%s%s", k->wrong.len ? "; " : "", text);
}

static enum status check_tensor(void *user, const struct gptj_tensor_spec *spec)
{
    struct check *k = user;
    const struct tensor *t = source_find(k->src, spec->name);
    char text[400], have[128], want[128];
    if (!t) {
        snprintf(text, sizeof text, "%s is missing", spec->name);
        complain(k, text);
        return OK;
    }
    const bool quantised = gptj_is_quantised(t, spec);
    struct tensor like = {.n_dims = spec->n_dims};
    struct weight stored = {.type = WEIGHT_F32};
    gptj_stored_weight(&stored, k->src, spec);
    gptj_stored_shape(like.shape, spec, stored.type);
    const bool same = t->n_dims == like.n_dims &&
                      !memcmp(t->shape, like.shape, (size_t)like.n_dims * sizeof like.shape[0]);
    if (!same) {
        snprintf(text, sizeof text, "%s is %s, config.json says %s%s", spec->name,
                 tensor_shape_text(t, have, sizeof have), tensor_shape_text(&like, want, sizeof want),
                 quantised ? " in that quantization" : "");
        complain(k, text);
    } else if (!quantised && t->dtype != DTYPE_F32 && t->dtype != DTYPE_F16 && t->dtype != DTYPE_BF16) {
        snprintf(text, sizeof text, "%s is %s, not F32, F16 or BF16", spec->name, dtype_name(t->dtype));
        complain(k, text);
    }
    return OK;
}

/* True for names a gptj checkpoint may have: parameters, the buffers old versions stored, and a tied head's copy. */
static bool known_name(const struct gptj_config *c, const char *name)
{
    static const char *const outside[] = {"transformer.wte.weight", "transformer.ln_f.weight", "transformer.ln_f.bias",
                                          "lm_head.weight", "lm_head.bias"};
    static const char *const buffers[] = {"attn.bias", "attn.masked_bias"};
    for (size_t i = 0; i < COUNT_OF(outside); i++)
        if (!strcmp(name, outside[i])) return true;

    int layer = -1, used = 0;
    if (sscanf(name, "transformer.h.%5d.%n", &layer, &used) != 1 || !used || layer < 0 || layer >= c->L) return false;
    for (size_t i = 0; i < COUNT_OF(layer_specs); i++)
        if (!strcmp(name + used, layer_specs[i].name)) return true;
    for (size_t i = 0; i < COUNT_OF(buffers); i++)
        if (!strcmp(name + used, buffers[i])) return true;
    return false;
}

/* All names being off is one thing to say, not hundreds. */
static enum status check_naming(const struct source *src)
{
    static const char expected[] = "transformer.wte.weight", end[] = "wte.weight";
    if (source_find(src, expected)) return OK;
    for (int i = 0; i < src->n_entries; i++) {
        const char *name = src->entries[i].name;
        const size_t len = strlen(name);
        if (len >= sizeof end - 1 && !strcmp(name + len - (sizeof end - 1), end))
            return fail(E_FORMAT,
                        "weights do not fit config.json: the embedding is called %.200s, not %s: saved from something "
                        "else than a GPTJForCausalLM, maybe from a GPTJModel, which has no head",
                        name, expected);
    }
    return OK;
}

enum status gptj_check(const struct gptj_config *cfg, const struct source *src)
{
    TRY(check_naming(src));
    TRY(gptj_check_quantised(cfg, src));
    struct check k = {.src = src};
    enum status s = gptj_each_tensor(cfg, check_tensor, &k);
    for (int i = 0; i < src->n_entries; i++) {
        if (known_name(cfg, src->entries[i].name)) continue;
        char text[400];
        snprintf(text, sizeof text, "%.200s is not a tensor of this model", src->entries[i].name);
        complain(&k, text);
    }
    if (s == OK && k.n_wrong > MAX_NAMED) buf_printf(&k.wrong, "; and %d more", k.n_wrong - MAX_NAMED);
    if (s == OK) s = buf_status(&k.wrong);
    if (s == OK && k.n_wrong) s = fail(E_FORMAT, "weights do not fit config.json: %s", k.wrong.data);
    buf_free(&k.wrong);
    return s;
}

/* ---- Loading ---- */

static enum weight_type held_as(const struct gptj_tensor_spec *spec, const struct weight *host, enum weight_type asked)
{
    if (host->I == 1) return WEIGHT_F32;
    return asked == WEIGHT_AS_STORED ? host->type : gptj_type_for(spec, asked);
}

enum weight_type gptj_held_type(const struct gptj_config *cfg, const struct source *src, enum weight_type asked)
{
    const struct gptj_tensor_spec spec = spec_of(cfg, "transformer.h.0.attn.q_proj.weight", 'D', 'D');
    struct weight host;
    return gptj_stored_weight(&host, src, &spec) ? held_as(&spec, &host, asked) : asked;
}

struct bind {
    struct ops *ops;
    const struct source *src;
    enum weight_type type;
};

static enum status bind_weight(void *user, const struct gptj_tensor_spec *spec, struct weight *w)
{
    const struct bind *b = user;
    struct weight host;
    if (!gptj_stored_weight(&host, b->src, spec))
        return fail(E_FORMAT, "weights do not fit config.json: %s is missing", spec->name);
    return b->ops->fn->weight_bind(b->ops, w, &host, held_as(spec, &host, b->type));
}

static enum status free_weight(void *user, const struct gptj_tensor_spec *spec, struct weight *w)
{
    (void)spec;
    struct ops *o = user;
    o->fn->weight_free(o, w);
    return OK;
}

static size_t rotary_bytes(const struct gptj_config *c)
{
    return (size_t)c->P * (size_t)(c->R / 2) * sizeof(float);
}

/* sin and cos of p * 10000^(-2j/R), computed in double so that position 2047 is as exact as position 1. */
static enum status make_rotary(struct gptj *m)
{
    const struct gptj_config *c = &m->cfg;
    const size_t half = (size_t)c->R / 2, n = (size_t)c->P * half;
    struct ops *o = m->ops;
    void *p = NULL;
    TRY(o->fn->alloc(o, &p, rotary_bytes(c)));
    m->sin = p;
    TRY(o->fn->alloc(o, &p, rotary_bytes(c)));
    m->cos = p;
    float *host = malloc(n ? n * sizeof *host : 1);
    double *frequency = malloc(half ? half * sizeof *frequency : 1);
    const bool ok = host && frequency;
    for (size_t j = 0; ok && j < half; j++)
        frequency[j] = pow(10000, -2 * (double)j / c->R);
    for (int of_cos = 0; ok && of_cos < 2; of_cos++) {
        for (size_t i = 0; i < n; i++) {
            const size_t position = i / half;
            const double angle = (double)position * frequency[i % half];
            host[i] = (float)(of_cos ? cos(angle) : sin(angle));
        }
        o->fn->write(o, of_cos ? m->cos : m->sin, host, n * sizeof *host);
    }
    free(frequency);
    free(host);
    return ok ? OK : fail(E_NOMEM, "out of memory for the rotary table");
}

enum status gptj_load(struct gptj **out, const struct gptj_config *cfg, const struct source *src, struct ops *ops,
                      int first, int last, enum weight_type type)
{
    assert(0 <= first && first < last && last <= cfg->L);
    struct gptj *m = calloc(1, sizeof *m);
    if (!m) return fail(E_NOMEM, "model: out of memory");
    *m = (struct gptj){.cfg = *cfg, .ops = ops, .first = first, .last = last};
    m->layers = calloc((size_t)(last - first), sizeof *m->layers);
    enum status s = m->layers ? OK : fail(E_NOMEM, "model: out of memory");
    struct bind b = {ops, src, type};
    if (s == OK) s = gptj_each_weight(m, bind_weight, &b);
    if (s == OK) s = make_rotary(m);
    if (s != OK) {
        gptj_free(m);
        return s;
    }
    *out = m;
    return OK;
}

void gptj_free(struct gptj *m)
{
    if (!m) return;
    struct ops *o = m->ops;
    if (m->layers) gptj_each_weight(m, free_weight, o);
    for (int l = 0; m->layers && l < m->last - m->first; l++) {
        for (int i = 0; i < PEFT_MODULES; i++) {
            o->fn->weight_free(o, &m->layers[l].lora[i].a);
            o->fn->weight_free(o, &m->layers[l].lora[i].b);
        }
    }
    o->fn->free(o, m->sin, rotary_bytes(&m->cfg));
    o->fn->free(o, m->cos, rotary_bytes(&m->cfg));
    free(m->layers);
    free(m);
}

struct count {
    int64_t bytes;
    enum weight_type matrices;
};

static enum status count_tensor(void *user, const struct gptj_tensor_spec *spec)
{
    struct count *c = user;
    const bool matrix = spec->n_dims == 2;
    c->bytes += (int64_t)weight_bytes(matrix ? gptj_type_for(spec, c->matrices) : WEIGHT_F32, (int)spec->shape[0],
                                      matrix ? (int)spec->shape[1] : 1);
    return OK;
}

int64_t gptj_weight_bytes(const struct gptj_config *c, enum weight_type matrices)
{
    struct count n = {.matrices = matrices};
    gptj_each_tensor(c, count_tensor, &n);
    return n.bytes;
}

struct memory_count {
    struct gptj_memory total;
    const struct source *src;
    enum weight_type type;
};

static enum status count_memory(void *user, const struct gptj_tensor_spec *spec)
{
    struct memory_count *c = user;
    struct weight host;
    if (!gptj_stored_weight(&host, c->src, spec)) return OK;
    const int64_t owned = (int64_t)ops_cpu_weight_bytes(&host, held_as(spec, &host, c->type));
    c->total.heap += owned;
    if (!owned) c->total.mapped += (int64_t)weight_bytes(host.type, host.O, host.I);
    return OK;
}

struct gptj_memory gptj_memory_in(const struct gptj_config *cfg, int first, int last, const struct source *src,
                                  enum weight_type type)
{
    struct memory_count c = {.src = src, .type = type};
    gptj_each_tensor_in(cfg, first, last, count_memory, &c);
    c.total.heap += 2 * (int64_t)rotary_bytes(cfg);
    return c.total;
}

struct gptj_memory gptj_memory(const struct gptj_config *cfg, const struct source *src, enum weight_type type)
{
    return gptj_memory_in(cfg, 0, cfg->L, src, type);
}
