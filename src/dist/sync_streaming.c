// SPDX-License-Identifier: Apache-2.0
/* Streaming DiLoCo (Douillard et al. 2025, arXiv:2501.18512): DiLoCo of a fragment of the model at a time, which is on
 * its way while replicas go on computing. The layers are dealt out to F fragments in turn (the paper's strided
 * pattern); each is synchronised every H steps, H / F steps after the one before it. After a replica's own step n
 *
 *     fragment f is sent       where n is (f + 1) H / F, rounded down, or multiples of H more
 *     and received             tau steps later: the outer step (outer.h), and x = (1 - mix) x + mix theta
 *
 * so that tau steps hide the exchange, and what they have moved x by since is not lost (the paper's alpha is 1 - mix).
 * One fragment is on its way at a time: tau <= H / F. With one fragment, tau 0 and mix 1 it is DiLoCo. Sends what
 * DiLoCo sends, in F pieces.
 *
 * The outer step only needs what was sent, so it can be taken as soon as that has arrived, and is when a checkpoint is
 * written: then nothing is on its way in it, and which fragment has still to be merged follows from the step. */
#include <assert.h>

#include "dist/outer_mean.h"

struct streaming {
    struct sync sync;
    struct outer outer;
    struct outer_mean mean;
    int late;     /* the fragment that was sent and has not been merged; -1: none */
    bool stepped; /* its outer step has been taken */
    bool resumed; /* no step has begun since */
};

static size_t fragment_values(const struct sync_shape *s, int fragment)
{
    const struct outer *o = s->source;
    return o->parts[fragment].n;
}

static enum status open_all(struct sync *s)
{
    struct streaming *k = (struct streaming *)s;
    k->late = -1;
    s->fragment = fragment_values;
    s->source = &k->outer;
    TRY(outer_open(&k->outer, &s->c, (int)s->c.recipe->sync_fragments));
    return outer_mean_open(&k->mean, &k->outer);
}

static void close_all(struct sync *s)
{
    struct streaming *k = (struct streaming *)s;
    outer_mean_close(&k->mean);
    outer_close(&k->outer);
}

/* ---- When ---- */

/* The steps of a replica's own up to this one, with it. */
static int64_t own_steps(const struct recipe *r, int64_t step)
{
    return step + 1 - r->sync_warmup_steps;
}

/* The fragment that was sent that many steps before the end of own step n; -1: none. */
static int sent_before(const struct recipe *r, int64_t n, int64_t steps)
{
    const int64_t F = r->sync_fragments, H = r->sync_steps;
    for (int f = 0; f < F; f++) {
        const int64_t since = n - steps - (f + 1) * H / F;
        if (since >= 0 && since % H == 0) return f;
    }
    return -1;
}

/* Once in H steps, when the last fragment is received. */
static bool meets(const struct recipe *r, int64_t step)
{
    return sent_before(r, own_steps(r, step), r->sync_overlap) == r->sync_fragments - 1;
}

/* ---- A step ---- */

static enum status send(struct streaming *k, int fragment)
{
    if (fragment < 0) return OK;
    outer_take(&k->outer, fragment);
    k->late = fragment;
    k->stepped = false;
    return outer_mean_begin(&k->mean, fragment);
}

static enum status receive(struct streaming *k)
{
    if (k->late < 0 || k->stepped) return OK;
    TRY(outer_mean_finish(&k->mean));
    outer_step(&k->outer, k->late);
    k->stepped = true;
    return OK;
}

static enum status merge(struct streaming *k, int fragment)
{
    if (fragment < 0) return OK;
    assert(fragment == k->late);
    TRY(receive(k));
    outer_adopt(&k->outer, fragment, (float)k->sync.c.recipe->sync_mix);
    k->late = -1;
    k->sync.moved = true;
    return OK;
}

static enum status begin(struct sync *s, int64_t step)
{
    struct streaming *k = (struct streaming *)s;
    if (!k->resumed) return OK;
    k->resumed = false;
    for (int64_t steps = 0; k->late < 0 && steps < s->c.recipe->sync_overlap; steps++)
        k->late = sent_before(s->c.recipe, own_steps(s->c.recipe, step - 1), steps);
    k->stepped = true;
    return OK;
}

static void progress(struct sync *s)
{
    outer_mean_progress(&((struct streaming *)s)->mean);
}

static enum status after_update(struct sync *s, int64_t step, double learning_rate)
{
    (void)learning_rate;
    struct streaming *k = (struct streaming *)s;
    const struct recipe *r = s->c.recipe;
    const int64_t n = own_steps(r, step), overlap = r->sync_overlap;
    outer_follow(&k->outer, s, step);
    if (overlap) TRY(merge(k, sent_before(r, n, overlap)));
    TRY(send(k, sent_before(r, n, 0)));
    return overlap ? OK : merge(k, k->late);
}

/* ---- State ---- */

static enum status model(struct sync *s, float **values)
{
    struct streaming *k = (struct streaming *)s;
    TRY(receive(k));
    *values = outer_model(&k->outer);
    return OK;
}

static int vectors(struct sync *s, struct team_vector *out)
{
    struct streaming *k = (struct streaming *)s;
    const int n = outer_vectors(&k->outer, out);
    return n + outer_mean_vectors(&k->mean, out + n);
}

static enum status restore(struct sync *s, bool known)
{
    struct streaming *k = (struct streaming *)s;
    k->resumed = true;
    if (!known) outer_begin_anew(&k->outer, s);
    return OK;
}

static size_t bytes(const struct sync_shape *s, int64_t step)
{
    const int fragment = sent_before(s->recipe, own_steps(s->recipe, step), 0);
    return fragment < 0 ? 0 : outer_mean_bytes(s, sync_shape_fragment(s, fragment));
}

static size_t memory(const struct sync_shape *s)
{
    const size_t most = sync_shape_largest(s);
    return outer_memory(s, most) + outer_mean_memory(s, most);
}

static int64_t beside(const struct recipe *r)
{
    return r->sync_overlap;
}

const struct sync_ops sync_streaming = {.size = sizeof(struct streaming),
                                        .own_steps = true,
                                        .open = open_all,
                                        .close = close_all,
                                        .begin = begin,
                                        .progress = progress,
                                        .after_update = after_update,
                                        .meets = meets,
                                        .directly = outer_mean_is_direct,
                                        .beside = beside,
                                        .model = model,
                                        .vectors = vectors,
                                        .restore = restore,
                                        .bytes = bytes,
                                        .memory = memory};
