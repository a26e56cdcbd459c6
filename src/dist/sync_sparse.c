// SPDX-License-Identifier: Apache-2.0
/* SparseLoCo (Sarfi et al. 2025, arXiv:2508.15706): DiLoCo with the largest few of what each replica has come, in few
 * bits. Every H steps of its own, replica i
 *
 *     e_i = beta e_i + theta - x_i        c_i = C(e_i)        e_i = e_i - c_i
 *
 * sends c_i to all others, and their mean is the gradient of the outer optimizer (outer.h). C keeps the `sparse_keep`
 * largest of each `sparse_chunk` values, in `sparse_bits` bits with a scale each 64 (dense.h, SIGNED). What is left in
 * e comes again, a little less each time: it is what momentum would be, so the outer optimizer has none by default.
 * With everything kept, in 32 bits, it is DiLoCo.
 *
 * Messages are not summed on their way, as sums of sparse vectors are not sparse: sends (D - 1) k (b + 16 / 64 + 12) /
 * 8 / H bytes a parameter and step with the defaults' 12-bit positions in chunks of 4096, k = 1 / 64. Takes 16 bytes a
 * parameter, for e and the outer optimizer, and messages of all replicas. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dist/outer.h"
#include "dist/sparse.h"

enum { GROUP = 64 };

struct sparse_sync {
    struct sync sync;
    struct outer outer; /* of one part */
    struct sparse codec;
    size_t max_bytes; /* of a message */
    float *left;      /* [n_values]: e */
    struct sparse_entries entries;
    uint8_t *messages; /* [replicas][max_bytes] */
    uint64_t *sizes;   /* [replicas] of them */
    size_t *bounds;    /* [replicas + 1]: where they begin when all are there */
};

/* ---- Opening ---- */

static struct sparse codec_of(const struct recipe *r, size_t n)
{
    const size_t chunk = (size_t)r->sparse_chunk;
    struct sparse s = {
        .positions = {.code = r->sparse_positions == SPARSE_POSITIONS_GOLOMB ? POSITIONS_GOLOMB : POSITIONS_CHUNKED,
                      .n = n,
                      .chunk = chunk,
                      .keep = sparse_cocktail_keep(chunk, r->sparse_keep, 1)},
        .values = {.kind = DENSE_F32}};
    if (r->sparse_bits < 32)
        s.values = (struct dense){.kind = DENSE_SIGNED,
                                  .bits = (int)r->sparse_bits,
                                  .group = GROUP,
                                  .scale = DENSE_SCALE_BF16,
                                  .fitted = true};
    return s;
}

static enum status open_all(struct sync *s)
{
    struct sparse_sync *k = (struct sparse_sync *)s;
    const size_t members = (size_t)s->c.peers->n;
    TRY(outer_open(&k->outer, &s->c, 1));
    k->codec = codec_of(s->c.recipe, k->outer.most);
    TRY(sparse_check(&k->codec));
    const size_t count = positions_count(&k->codec.positions);
    k->max_bytes = sparse_max_bytes(&k->codec);
    k->left = calloc(s->c.params->n_values, sizeof *k->left);
    k->entries.index = malloc(count * sizeof *k->entries.index);
    k->entries.value = malloc(count * sizeof *k->entries.value);
    k->messages = malloc(members * k->max_bytes);
    k->bounds = calloc(members + 1, sizeof *k->bounds);
    k->sizes = calloc(members, sizeof *k->sizes);
    if (k->left && k->entries.index && k->entries.value && k->messages && k->bounds && k->sizes) return OK;
    return fail(E_NOMEM, "sparse: out of memory for %zu parameters", s->c.params->n_values);
}

static void close_all(struct sync *s)
{
    struct sparse_sync *k = (struct sparse_sync *)s;
    outer_close(&k->outer);
    free(k->left);
    free(k->entries.index);
    free(k->entries.value);
    free(k->messages);
    free(k->bounds);
    free(k->sizes);
}

/* ---- A synchronisation ---- */

/* e = delta. */
static void keep_left(struct sparse_sync *k)
{
    const struct outer_part *p = &k->outer.parts[0];
    for (int i = 0; i < p->n_pieces; i++)
        memcpy(k->left + p->pieces[i].at, k->outer.delta + p->pieces[i].begin, p->pieces[i].n * sizeof *k->left);
}

/* delta += times the values of a message. */
static void add_entries(struct sparse_sync *k, float times)
{
    const size_t count = positions_count(&k->codec.positions);
    for (size_t i = 0; i < count; i++)
        k->outer.delta[k->entries.index[i]] += times * k->entries.value[i];
}

/* bytes: of this replica's message, which lies where it would be if all had the largest size. */
static enum status exchange(struct sparse_sync *k, uint64_t bytes)
{
    struct group *g = k->sync.c.peers;
    TRY(group_exchange(g, k->sizes, &bytes, sizeof bytes));
    for (int member = 0; member < g->n; member++) {
        if (k->sizes[member] > k->max_bytes)
            return fail(E_FORMAT, "replica %d announces a message of %" PRIu64 " bytes, %zu are the most", member,
                        k->sizes[member], k->max_bytes);
        k->bounds[member + 1] = k->bounds[member] + (size_t)k->sizes[member];
    }
    memmove(k->messages + k->bounds[g->me], k->messages + (size_t)g->me * k->max_bytes, bytes);
    return group_allgather(g, NET_SYNC, k->messages, k->bounds[g->n], 1, k->bounds);
}

/* delta = the mean of what all have sent. */
static enum status average(struct sparse_sync *k)
{
    const struct group *g = k->sync.c.peers;
    float *delta = k->outer.delta;
    const size_t n = k->outer.most;
    if (g->n == 1) return OK;
    outer_add_left(&k->outer, 0, k->left, (float)k->sync.c.recipe->sparse_decay);
    const size_t bytes = sparse_encode(k->messages + (size_t)g->me * k->max_bytes, &k->codec, delta, &k->entries);
    add_entries(k, -1);
    keep_left(k);
    TRY(exchange(k, bytes));
    memset(delta, 0, n * sizeof *delta);
    for (int member = 0; member < g->n; member++) {
        TRY(sparse_decode(&k->entries, &k->codec, k->messages + k->bounds[member], (size_t)k->sizes[member]));
        add_entries(k, 1);
    }
    const float share = 1.0F / (float)g->n;
    for (size_t i = 0; i < n; i++)
        delta[i] *= share;
    return OK;
}

static enum status after_update(struct sync *s, int64_t step, double learning_rate)
{
    (void)learning_rate;
    struct sparse_sync *k = (struct sparse_sync *)s;
    outer_follow(&k->outer, s, step);
    if (!outer_due(s->c.recipe, step)) return OK;
    outer_take(&k->outer, 0);
    TRY(average(k));
    outer_step(&k->outer, 0);
    outer_adopt(&k->outer, 0, 1);
    s->moved = true;
    return OK;
}

/* ---- State ---- */

static enum status model(struct sync *s, float **values)
{
    *values = outer_model(&((struct sparse_sync *)s)->outer);
    return OK;
}

static int vectors(struct sync *s, struct team_vector *out)
{
    struct sparse_sync *k = (struct sparse_sync *)s;
    const int n = outer_vectors(&k->outer, out);
    out[n] = (struct team_vector){"worker_error", k->left};
    return n + 1;
}

static enum status restore(struct sync *s, bool known)
{
    if (!known) outer_begin_anew(&((struct sparse_sync *)s)->outer, s);
    return OK;
}

/* At most, where positions are coded as GOLOMB. */
static size_t bytes(const struct sync_shape *s, int64_t step)
{
    const struct sparse codec = codec_of(s->recipe, s->values);
    return outer_due(s->recipe, step) ? (size_t)(s->n - 1) * sparse_max_bytes(&codec) : 0;
}

static size_t memory(const struct sync_shape *s)
{
    const struct sparse codec = codec_of(s->recipe, s->values);
    return outer_memory(s, s->values) + s->all * sizeof(float) +
           positions_count(&codec.positions) * (sizeof(uint32_t) + sizeof(float)) +
           (size_t)s->n * sparse_max_bytes(&codec);
}

const struct sync_ops sync_sparse = {.size = sizeof(struct sparse_sync),
                                     .own_steps = true,
                                     .open = open_all,
                                     .close = close_all,
                                     .after_update = after_update,
                                     .meets = outer_due,
                                     .model = model,
                                     .vectors = vectors,
                                     .restore = restore,
                                     .bytes = bytes,
                                     .memory = memory};
