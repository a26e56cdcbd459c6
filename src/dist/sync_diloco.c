// SPDX-License-Identifier: Apache-2.0
/* DiLoCo (Douillard et al. 2023, arXiv:2311.08105). All replicas take H steps of their own from the same parameters
 * theta; then the mean of how far they have come is the gradient of an outer optimizer (outer.h), and all go on from
 * where that leads. AdamW's moments stay each replica's own. An outer learning rate of 1 and no momentum are the plain
 * mean of parameters. Sends 2 (D - 1) / D * 4 / H bytes a parameter and step, or with a narrower `sync_wire` as many
 * bytes less, the mean then being a compressed one with feedback of what is left out (compressed_mean.h). */
#include "dist/outer_mean.h"

struct diloco {
    struct sync sync;
    struct outer outer; /* of one part */
    struct outer_mean mean;
};

static enum status open_all(struct sync *s)
{
    struct diloco *d = (struct diloco *)s;
    TRY(outer_open(&d->outer, &s->c, 1));
    return outer_mean_open(&d->mean, &d->outer);
}

static void close_all(struct sync *s)
{
    struct diloco *d = (struct diloco *)s;
    outer_mean_close(&d->mean);
    outer_close(&d->outer);
}

static enum status after_update(struct sync *s, int64_t step, double learning_rate)
{
    (void)learning_rate;
    struct diloco *d = (struct diloco *)s;
    outer_follow(&d->outer, s, step);
    if (!outer_due(s->c.recipe, step)) return OK;
    outer_take(&d->outer, 0);
    TRY(outer_mean_begin(&d->mean, 0));
    TRY(outer_mean_finish(&d->mean));
    outer_step(&d->outer, 0);
    outer_adopt(&d->outer, 0, 1);
    s->moved = true;
    return OK;
}

static enum status model(struct sync *s, float **values)
{
    *values = outer_model(&((struct diloco *)s)->outer);
    return OK;
}

static int vectors(struct sync *s, struct team_vector *out)
{
    struct diloco *d = (struct diloco *)s;
    const int n = outer_vectors(&d->outer, out);
    return n + outer_mean_vectors(&d->mean, out + n);
}

static enum status restore(struct sync *s, bool known)
{
    if (!known) outer_begin_anew(&((struct diloco *)s)->outer, s);
    return OK;
}

static size_t bytes(const struct sync_shape *s, int64_t step)
{
    return outer_due(s->recipe, step) ? outer_mean_bytes(s, s->values) : 0;
}

static size_t memory(const struct sync_shape *s)
{
    return outer_memory(s, s->values) + outer_mean_memory(s, s->values);
}

const struct sync_ops sync_diloco = {.size = sizeof(struct diloco),
                                     .own_steps = true,
                                     .open = open_all,
                                     .close = close_all,
                                     .after_update = after_update,
                                     .meets = outer_due,
                                     .directly = outer_mean_is_direct,
                                     .model = model,
                                     .vectors = vectors,
                                     .restore = restore,
                                     .bytes = bytes,
                                     .memory = memory};
