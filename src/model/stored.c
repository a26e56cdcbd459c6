// SPDX-License-Identifier: Apache-2.0
/* How a checkpoint stores its tensors: floats in the shape of the parameter, or a quantised matrix as the bytes the
 * kernels stream, which only the metadata and config.json together explain. */
#include <stdio.h>
#include <string.h>

#include "kernels/quant.h"
#include "model/gptj.h"

bool gptj_can_quantise(const struct gptj_tensor_spec *spec)
{
    return spec->n_dims == 2 && spec->shape[1] > 1;
}

bool gptj_is_quantised(const struct tensor *t, const struct gptj_tensor_spec *spec)
{
    return gptj_can_quantise(spec) && t->dtype == DTYPE_U8;
}

bool gptj_is_head(const struct gptj_tensor_spec *spec)
{
    return !strcmp(spec->name, "transformer.wte.weight") || !strcmp(spec->name, "lm_head.weight");
}

enum weight_type gptj_type_for(const struct gptj_tensor_spec *spec, enum weight_type asked)
{
    return asked == WEIGHT_Q4 && gptj_is_head(spec) ? WEIGHT_Q8 : asked;
}

/* WEIGHT_TYPES: the metadata names no type we know. */
static enum weight_type noted_type(const struct source *src, const char *note)
{
    const char *type = source_note(src, note);
    for (enum weight_type t = 0; type && t < WEIGHT_TYPES; t++)
        if (weight_quantised(t) && !strcmp(type, weight_type_name(t))) return t;
    return WEIGHT_TYPES;
}

static enum weight_type quantised_type(const struct source *src, const struct gptj_tensor_spec *spec)
{
    return noted_type(src, gptj_is_head(spec) && source_note(src, GPTJ_NOTE_HEAD) ? GPTJ_NOTE_HEAD : GPTJ_NOTE_TYPE);
}

bool gptj_stored_weight(struct weight *out, const struct source *src, const struct gptj_tensor_spec *spec)
{
    const struct tensor *t = source_find(src, spec->name);
    if (!t) return false;
    *out = (struct weight){.data = t->data,
                           .type = gptj_is_quantised(t, spec) ? quantised_type(src, spec)
                                   : t->dtype == DTYPE_F16    ? WEIGHT_F16
                                   : t->dtype == DTYPE_BF16   ? WEIGHT_BF16
                                                              : WEIGHT_F32,
                           .O = (int)spec->shape[0],
                           .I = spec->n_dims == 2 ? (int)spec->shape[1] : 1};
    return true;
}

void gptj_stored_shape(int64_t shape[2], const struct gptj_tensor_spec *spec, enum weight_type type)
{
    shape[0] = spec->shape[0];
    shape[1] = spec->shape[1];
    if (!weight_quantised(type)) return;
    shape[0] = (int64_t)quant_strips((int)spec->shape[0]);
    shape[1] = (int64_t)quant_strip_bytes(type, (int)spec->shape[1]);
}

/* ---- Is there a quantised matrix? ---- */

struct search {
    const struct source *src;
    char name[96]; /* "": none */
};

static enum status note_first(void *user, const struct gptj_tensor_spec *spec)
{
    struct search *s = user;
    const struct tensor *t = source_find(s->src, spec->name);
    if (!s->name[0] && t && gptj_is_quantised(t, spec)) snprintf(s->name, sizeof s->name, "%s", spec->name);
    return OK;
}

static struct search find_quantised(const struct gptj_config *cfg, const struct source *src)
{
    struct search s = {.src = src};
    gptj_each_tensor(cfg, note_first, &s);
    return s;
}

enum weight_type gptj_quantised_type(const struct gptj_config *cfg, const struct source *src)
{
    return find_quantised(cfg, src).name[0] ? noted_type(src, GPTJ_NOTE_TYPE) : WEIGHT_TYPES;
}

static enum status check_type(const struct source *src, const char *note)
{
    const char *type = source_note(src, note);
    if (!type || noted_type(src, note) != WEIGHT_TYPES) return OK;
    return fail(E_UNSUPPORTED, "\"%s\" in the file's metadata is \"%.40s\", this program has q8 and q4", note, type);
}

enum status gptj_check_quantised(const struct gptj_config *cfg, const struct source *src)
{
    const struct search found = find_quantised(cfg, src);
    if (!found.name[0]) return OK;
    const char *type = source_note(src, GPTJ_NOTE_TYPE), *layout = source_note(src, GPTJ_NOTE_LAYOUT);
    if (!type || !layout)
        return fail(E_FORMAT, "%s is U8, and the file's metadata has no \"%s\" to say what its bytes mean", found.name,
                    type ? GPTJ_NOTE_LAYOUT : GPTJ_NOTE_TYPE);
    TRY(check_type(src, GPTJ_NOTE_TYPE));
    TRY(check_type(src, GPTJ_NOTE_HEAD));
    if (strcmp(layout, GPTJ_LAYOUT))
        return fail(E_UNSUPPORTED,
                    "\"%s\" in the file's metadata is \"%.40s\", this program has %s: quantize the model again",
                    GPTJ_NOTE_LAYOUT, layout, GPTJ_LAYOUT);
    return OK;
}
