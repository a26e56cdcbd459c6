// SPDX-License-Identifier: Apache-2.0
/* CocktailSGD (Wang et al. 2023, ICML): every replica takes steps of its own, and while it computes one, the replicas
 * average how far they have drifted, compressed three times: of the parameters only a part takes part in a step, of
 * these the values that have drifted most are sent, in few bits. g is what all replicas know of the model, M the
 * parameters of this step:
 *
 *     d_i = x_i[M] - g[M]    c_i = C(d_i)         what compression leaves out stays in x_i
 *     s = mean(c_i) + e[M]   u = C(s)             each chunk at its owner, whose e keeps what that leaves out
 *     x_i[M] += u - c_i      g[M] += u            after the backward pass, before AdamW's step
 *
 * so a replica takes part with the parameters that its last step led to: averaging is one step late. With all of the
 * parameters, uncompressed, x_i[M] becomes the mean. M goes round: every int(1 / p)-th parameter of a chunk, one
 * further in every step (the authors' random_rolling). Values have 1 to 8 bits with a scale each 128 (dense.h, SIGNED).
 *
 * Sends 2 (D - 1) / D p (k (b + 16 / 128) + 1) / 8 bytes a parameter and step, in each direction half of it. Takes g, e
 * and some sums: 8 bytes a parameter and 12 p. */
#include <stdlib.h>
#include <string.h>

#include "dist/compressed_mean.h"
#include "dist/subset.h"
#include "dist/sync.h"

enum { GROUP = 128, PIECE = 4096 };

struct cocktail {
    struct sync sync;
    struct compressed_mean mean;
    float *global, *error;     /* [n_values]: g; e, where this replica is the owner */
    float *sampled, *left_out; /* [sampled at most]: d, then u; e[M] of the own chunk */
    size_t *bounds;            /* [replicas + 1] of sampled */
    bool known;                /* g is: not before the first step that is not dense */
};

/* ---- Which parameters ---- */

static struct subset subset_of(const struct sync_shape *s, int member)
{
    return (struct subset){.kind = SUBSET_ROLLING,
                           .n = group_chunk(s->values, s->n, member + 1) - group_chunk(s->values, s->n, member),
                           .stride = subset_stride(s->recipe->cocktail_sample),
                           .multiple = 1};
}

/* Of a member's chunk, how many take part in a step. */
static size_t chunk_values(const void *shape, int member)
{
    const struct subset subset = subset_of(shape, member);
    return subset_count(&subset, 0);
}

/* Of all chunks and of the largest; bounds [replicas + 1] of them, or NULL. */
static void count_values(const struct sync_shape *s, size_t *all, size_t *most, size_t *bounds)
{
    *all = *most = 0;
    for (int member = 0; member < s->n; member++) {
        const size_t count = chunk_values(s, member);
        *all += count;
        if (count > *most) *most = count;
        if (bounds) bounds[member + 1] = *all;
    }
}

static uint64_t number_of(const struct sync *s, int64_t step)
{
    return (uint64_t)(step - s->c.recipe->sync_warmup_steps);
}

/* Calls each with pieces of a chunk's parameters of this step: where in sampled they begin, and where they are. */
typedef void piece_fn(struct cocktail *k, size_t at, const size_t *where, size_t n);

static void each_piece(struct cocktail *k, int64_t step, int member, piece_fn *each)
{
    const struct sync_shape shape = sync_shape_of(&k->sync);
    const struct subset subset = subset_of(&shape, member);
    const size_t n = k->bounds[member + 1] - k->bounds[member];
    const size_t begin = k->sync.c.begin + group_chunk(shape.values, shape.n, member);
    size_t where[PIECE];
    for (size_t done = 0; done < n; done += PIECE) {
        const size_t now = n - done < PIECE ? n - done : PIECE;
        subset_positions(where, &subset, number_of(&k->sync, step), done, now);
        for (size_t i = 0; i < now; i++)
            where[i] += begin;
        each(k, k->bounds[member] + done, where, now);
    }
}

static void each_member(struct cocktail *k, int64_t step, piece_fn *each)
{
    for (int member = 0; member < k->sync.c.peers->n; member++)
        each_piece(k, step, member, each);
}

/* ---- Opening ---- */

static void close_all(struct sync *s)
{
    struct cocktail *k = (struct cocktail *)s;
    compressed_mean_close(&k->mean);
    free(k->global);
    free(k->error);
    free(k->sampled);
    free(k->left_out);
    free(k->bounds);
}

static struct mean_codec codec_of(const struct recipe *r)
{
    struct mean_codec c = {.values = {.kind = DENSE_F32},
                           .sparse = r->cocktail_keep < 1,
                           .keep = r->cocktail_keep,
                           .multiple = GROUP,
                           .positions = r->cocktail_positions == TRAIN_POSITIONS_GOLOMB ? POSITIONS_GOLOMB
                                                                                        : POSITIONS_BITMASK};
    if (r->cocktail_bits < 32)
        c.values = (struct dense){.kind = c.sparse ? DENSE_SIGNED : DENSE_ODD,
                                  .bits = (int)r->cocktail_bits,
                                  .group = GROUP,
                                  .scale = DENSE_SCALE_BF16};
    return c;
}

static enum status open_all(struct sync *s)
{
    struct cocktail *k = (struct cocktail *)s;
    const struct sync_context *c = &s->c;
    const size_t n = c->params->n_values, members = (size_t)c->peers->n;
    const struct mean_codec codec = codec_of(c->recipe);
    const struct sync_shape shape = sync_shape_of(s);
    size_t all, most;
    k->bounds = calloc(members + 1, sizeof *k->bounds);
    if (!k->bounds) return fail(E_NOMEM, "cocktail: out of memory");
    count_values(&shape, &all, &most, k->bounds);
    k->global = calloc(n, sizeof *k->global);
    k->error = calloc(n, sizeof *k->error);
    k->sampled = calloc(all, sizeof *k->sampled);
    k->left_out = calloc(most, sizeof *k->left_out);
    if (!k->global || !k->error || !k->sampled || !k->left_out)
        return fail(E_NOMEM, "cocktail: out of memory for %zu parameters", n);
    return compressed_mean_open(&k->mean, c->peers, all, most, &codec);
}

/* ---- A step ---- */

static void take_drift(struct cocktail *k, size_t at, const size_t *where, size_t n)
{
    const float *x = k->sync.c.params->value;
    for (size_t i = 0; i < n; i++)
        k->sampled[at + i] = x[where[i]] - k->global[where[i]];
}

static void take_error(struct cocktail *k, size_t at, const size_t *where, size_t n)
{
    at -= k->bounds[k->sync.c.peers->me];
    for (size_t i = 0; i < n; i++)
        k->left_out[at + i] = k->error[where[i]];
}

static void put_error(struct cocktail *k, size_t at, const size_t *where, size_t n)
{
    at -= k->bounds[k->sync.c.peers->me];
    for (size_t i = 0; i < n; i++)
        k->error[where[i]] = k->left_out[at + i];
}

static void put_mean(struct cocktail *k, size_t at, const size_t *where, size_t n)
{
    float *x = k->sync.c.params->value;
    for (size_t i = 0; i < n; i++) {
        x[where[i]] += k->sampled[at + i] - k->mean.sent[at + i];
        k->global[where[i]] += k->sampled[at + i];
    }
}

static enum status begin(struct sync *s, int64_t step)
{
    struct cocktail *k = (struct cocktail *)s;
    if (sync_shares(s->c.recipe, step)) {
        k->known = false;
        return OK;
    }
    if (!k->known) memcpy(k->global, s->c.params->value, s->c.params->n_values * sizeof *k->global);
    k->known = true;
    each_member(k, step, take_drift);
    each_piece(k, step, s->c.peers->me, take_error);
    return compressed_mean_begin(&k->mean, k->sampled, k->bounds, k->left_out);
}

static void progress(struct sync *s)
{
    compressed_mean_progress(&((struct cocktail *)s)->mean);
}

/* Before the optimizer's step, so it goes on from the mean. */
static enum status combine(struct sync *s, int64_t step)
{
    struct cocktail *k = (struct cocktail *)s;
    TRY(compressed_mean_finish(&k->mean, k->sampled));
    each_piece(k, step, s->c.peers->me, put_error);
    each_member(k, step, put_mean);
    sync_clear_gaps(s, s->c.params->value);
    sync_clear_gaps(s, k->global);
    sync_clear_gaps(s, k->error);
    s->moved = true;
    return OK;
}

/* What all know. */
static enum status model(struct sync *s, float **values)
{
    struct cocktail *k = (struct cocktail *)s;
    *values = k->known ? k->global : s->c.params->value;
    return OK;
}

static int vectors(struct sync *s, struct team_vector *out)
{
    struct cocktail *k = (struct cocktail *)s;
    out[0] = (struct team_vector){"global_parameters", k->global};
    out[1] = (struct team_vector){"server_error", k->error};
    return 2;
}

static enum status restore(struct sync *s, bool known)
{
    struct cocktail *k = (struct cocktail *)s;
    k->known = known;
    if (!known) memset(k->error, 0, s->c.params->n_values * sizeof *k->error);
    return OK;
}

static size_t bytes(const struct sync_shape *s, int64_t step)
{
    (void)step;
    const struct mean_codec codec = codec_of(s->recipe);
    return compressed_mean_bytes(&codec, s->n, s->me, chunk_values, s);
}

static size_t memory(const struct sync_shape *s)
{
    const struct mean_codec codec = codec_of(s->recipe);
    size_t sampled, most;
    count_values(s, &sampled, &most, NULL);
    return sizeof(float) * (2 * s->all + sampled + most) + compressed_mean_memory(&codec, s->n, sampled, most);
}

static bool directly(const struct recipe *r)
{
    (void)r;
    return true;
}

static int64_t beside(const struct recipe *r)
{
    (void)r;
    return 1;
}

const struct sync_ops sync_cocktail = {.size = sizeof(struct cocktail),
                                       .own_steps = true,
                                       .beside = beside,
                                       .directly = directly,
                                       .open = open_all,
                                       .close = close_all,
                                       .begin = begin,
                                       .progress = progress,
                                       .combine = combine,
                                       .model = model,
                                       .vectors = vectors,
                                       .restore = restore,
                                       .bytes = bytes,
                                       .memory = memory};
