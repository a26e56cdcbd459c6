// SPDX-License-Identifier: Apache-2.0
#include "dist/traffic.h"

#include <math.h>
#include <stdlib.h>

#include "dist/pipeline.h"
#include "model/params.h"

void traffic_layers(const struct gptj_config *c, int stage, int stages, int *first, int *last)
{
    *first = (int)((int64_t)c->L * stage / stages);
    *last = (int)((int64_t)c->L * (stage + 1) / stages);
}

static size_t embedding_values(const struct gptj_config *c)
{
    return ((size_t)c->V * (size_t)c->D + PARAMS_ALIGN - 1) / PARAMS_ALIGN * PARAMS_ALIGN;
}

/* A last stage whose head is tied has an embedding that the first one synchronises. */
static size_t borrowed_values(const struct traffic_layout *l, int stage)
{
    const struct gptj_config *c = l->config;
    return c->tied && stage > 0 && stage + 1 == l->stages ? embedding_values(c) : 0;
}

/* As outer.h deals layers out: each with what a stage of it alone would have, but for a tied head's embedding. */
static size_t fragment_values(const struct sync_shape *s, int fragment)
{
    const struct traffic_layout *l = s->source;
    const struct gptj_config *c = l->config;
    int first, last;
    size_t values = 0;
    traffic_layers(c, s->stage, l->stages, &first, &last);
    for (int i = first; i < last; i++)
        if (i % l->recipe->sync_fragments == fragment) values += params_values(c, i, i + 1);
    const bool has_head = last == c->L && (c->L - 1) % l->recipe->sync_fragments == fragment;
    return values - (has_head && c->tied && c->L > 1 ? embedding_values(c) : 0);
}

struct sync_shape traffic_shape(const struct traffic_layout *l, int stage, int member)
{
    int first, last;
    traffic_layers(l->config, stage, l->stages, &first, &last);
    const size_t all = params_values(l->config, first, last);
    return (struct sync_shape){.recipe = l->recipe,
                               .n = l->replicas,
                               .me = member,
                               .values = all - borrowed_values(l, stage),
                               .all = all,
                               .fragment = fragment_values,
                               .source = l,
                               .stage = stage};
}

/* ---- Kinds of steps ---- */

/* What the first replica of each stage sends, as one number; *most is the largest of them. */
static uint64_t mark_of(const struct sync_shape *shapes, int stages, int64_t step, size_t *most)
{
    uint64_t mark = sync_sums(shapes[0].recipe, step);
    *most = 0;
    for (int s = 0; s < stages; s++) {
        const size_t bytes = sync_shape_bytes(&shapes[s], step);
        mark = mark * 1099511628211U + bytes; /* FNV's prime */
        if (bytes > *most) *most = bytes;
    }
    return mark;
}

static enum status sort_steps(struct traffic_kinds *out, const struct sync_shape *shapes, int stages, int64_t steps)
{
    out->n = 0;
    for (int64_t step = 0; step < steps; step++) {
        size_t bytes;
        const uint64_t mark = mark_of(shapes, stages, step, &bytes);
        int i = 0;
        while (i < out->n && out->all[i].mark != mark)
            i++;
        if (i == TRAFFIC_MAX_KINDS) return fail(E_LIMIT, "more than %d kinds of steps", TRAFFIC_MAX_KINDS);
        if (i == out->n) out->all[out->n++] = (struct traffic_kind){.step = step, .bytes = bytes, .mark = mark};
        out->all[i].steps++;
    }
    return OK;
}

enum status traffic_kinds_find(struct traffic_kinds *out, const struct traffic_layout *l, int64_t steps)
{
    struct sync_shape *shapes = calloc((size_t)l->stages, sizeof *shapes);
    if (!shapes) return fail(E_NOMEM, "out of memory for %d stages", l->stages);
    for (int s = 0; s < l->stages; s++)
        shapes[s] = traffic_shape(l, s, 0);
    const enum status status = sort_steps(out, shapes, l->stages, steps);
    free(shapes);
    return status;
}

/* ---- Sums ---- */

static double bytes_of(const struct sync_shape *s, const struct traffic_kinds *kinds)
{
    double bytes = 0;
    for (int i = 0; i < kinds->n; i++)
        bytes += (double)kinds->all[i].steps * (double)sync_shape_bytes(s, kinds->all[i].step);
    return bytes;
}

/* A stage's copies: half of what two replicas would send. */
static double copies_of(const struct traffic_layout *l, int stage, const struct traffic_kinds *kinds)
{
    struct sync_shape pair = traffic_shape(l, stage, 0);
    pair.n = 2;
    double bytes = bytes_of(&pair, kinds);
    pair.me = 1;
    bytes += bytes_of(&pair, kinds);
    return bytes / 2;
}

struct traffic traffic_sum(const struct traffic_layout *l, const struct traffic_kinds *kinds)
{
    struct traffic t = {0};
    for (int stage = 0; l->replicas > 1 && stage < l->stages; stage++) {
        struct sync_shape shape = traffic_shape(l, stage, 0);
        for (; shape.me < l->replicas; shape.me++)
            t.rank_bytes = fmax(t.rank_bytes, bytes_of(&shape, kinds));
        t.copies_bytes += copies_of(l, stage, kinds);
    }
    return t;
}

size_t traffic_pipeline_bytes(const struct traffic_layout *l, int stage)
{
    const struct pipeline_options o = pipeline_options_of(l->recipe, stage, l->stages, l->replicas, l->config->D);
    return pipeline_sent_bytes(&o);
}

size_t traffic_pipeline_most(const struct traffic_layout *l)
{
    size_t most = 0;
    for (int s = 0; s < l->stages; s++)
        if (traffic_pipeline_bytes(l, s) > most) most = traffic_pipeline_bytes(l, s);
    return most;
}
