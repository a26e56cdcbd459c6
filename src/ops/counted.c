// SPDX-License-Identifier: Apache-2.0
#include "ops/counted.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"

const char *const ops_names[OPS] = {"embed",    "layer_norm", "linear", "rotary",
                                    "kv_store", "attention",  "gather", "read"};

struct counted {
    struct ops base; /* first */
    struct ops *inner;
    struct ops_counts counts;
    const void **seen; /* [n_seen] the matrices this step has read, room for max_seen */
    int n_seen, max_seen;
    const void *layer; /* whose K/V the step has read last, and of which sequence */
    int sequence;
};

static struct counted *counted(struct ops *o)
{
    return (struct counted *)o;
}

static void add(struct ops *o, enum op op, int64_t start, double flop, double bytes)
{
    struct op_count *c = &counted(o)->counts.of[op];
    c->calls++;
    c->ns += clock_ns() - start;
    c->flop += flop;
    c->bytes += bytes;
}

/* ---- What is only passed on ---- */

static void counted_close(struct ops *o)
{
    struct counted *c = counted(o);
    c->inner->fn->close(c->inner);
    free(c->seen);
    free(c);
}

static enum status counted_alloc(struct ops *o, void **out, size_t bytes)
{
    return counted(o)->inner->fn->alloc(counted(o)->inner, out, bytes);
}

static void counted_free(struct ops *o, void *p, size_t bytes)
{
    counted(o)->inner->fn->free(counted(o)->inner, p, bytes);
}

static void counted_write(struct ops *o, void *to, const void *host, size_t bytes)
{
    counted(o)->inner->fn->write(counted(o)->inner, to, host, bytes);
}

static void counted_copy(struct ops *o, void *to, const void *from, size_t bytes)
{
    counted(o)->inner->fn->copy(counted(o)->inner, to, from, bytes);
}

static enum status counted_weight_bind(struct ops *o, struct weight *out, const struct weight *host,
                                       enum weight_type as)
{
    return counted(o)->inner->fn->weight_bind(counted(o)->inner, out, host, as);
}

static void counted_weight_free(struct ops *o, struct weight *w)
{
    counted(o)->inner->fn->weight_free(counted(o)->inner, w);
}

/* ---- What is counted ---- */

static void counted_read(struct ops *o, void *host, const void *from, size_t bytes)
{
    const int64_t start = clock_ns();
    counted(o)->inner->fn->read(counted(o)->inner, host, from, bytes);
    add(o, OP_READ, start, 0, 0);
}

static void counted_embed(struct ops *o, float *y, const struct weight *wte, const int32_t *token, int T)
{
    const int64_t start = clock_ns();
    counted(o)->n_seen = 0;
    counted(o)->layer = NULL;
    counted(o)->inner->fn->embed(counted(o)->inner, y, wte, token, T);
    add(o, OP_EMBED, start, 0, 0);
}

static void counted_layer_norm(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b,
                               int T, float eps)
{
    const int64_t start = clock_ns();
    counted(o)->inner->fn->layer_norm(counted(o)->inner, y, x, w, b, T, eps);
    add(o, OP_LAYER_NORM, start, 0, 0);
}

/* True the first time in a step. */
static bool first_use(struct counted *c, const struct weight *w)
{
    for (int i = 0; i < c->n_seen; i++)
        if (c->seen[i] == w->data) return false;
    assert(c->n_seen < c->max_seen);
    c->seen[c->n_seen++] = w->data;
    return true;
}

static void counted_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b,
                           int T, enum epilogue e)
{
    const int64_t start = clock_ns();
    counted(o)->inner->fn->linear(counted(o)->inner, y, x, w, b, T, e);
    const double bytes = first_use(counted(o), w) ? (double)weight_bytes(w->type, w->O, w->I) : 0;
    add(o, OP_LINEAR, start, 2.0 * T * w->O * w->I, bytes);
}

static void count_maps(struct ops *o, int64_t start, const struct linear_map *maps, int n, int T)
{
    double flop = 0, bytes = 0;
    for (const struct linear_map *m = maps; m < maps + n; m++) {
        flop += 2.0 * T * m->w->O * m->w->I;
        if (first_use(counted(o), m->w)) bytes += (double)weight_bytes(m->w->type, m->w->O, m->w->I);
    }
    add(o, OP_LINEAR, start, flop, bytes);
}

static void counted_linear_group(struct ops *o, const struct linear_map *maps, int n, const float *x, int T)
{
    const int64_t start = clock_ns();
    ops_linear_group(counted(o)->inner, maps, n, x, T);
    count_maps(o, start, maps, n, T);
}

/* Where the backend has no such entry, it is the norm and the maps. */
static void counted_norm_group(struct ops *o, const struct linear_map *maps, int n, float *a, const float *x,
                               const struct weight *w, const struct weight *b, int T, float eps)
{
    struct ops *inner = counted(o)->inner;
    if (!inner->fn->norm_group) {
        o->fn->layer_norm(o, a, x, w, b, T, eps);
        o->fn->linear_group(o, maps, n, a, T);
        return;
    }
    const int64_t start = clock_ns();
    inner->fn->norm_group(inner, maps, n, a, x, w, b, T, eps);
    count_maps(o, start, maps, n, T);
}

static void counted_rotary(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T,
                           int H, int K, int R)
{
    const int64_t start = clock_ns();
    counted(o)->inner->fn->rotary(counted(o)->inner, x, sin, cos, position, T, H, K, R);
    add(o, OP_ROTARY, start, 0, 0);
}

static void counted_kv_store(struct ops *o, const struct kv_pages *kv, const float *k, const float *v,
                             const struct batch *batch, int first, int T, int H, int K)
{
    const int64_t start = clock_ns();
    counted(o)->inner->fn->kv_store(counted(o)->inner, kv, k, v, batch, first, T, H, K);
    add(o, OP_KV_STORE, start, 0, 0);
}

static void counted_turn_and_store(struct ops *o, const struct kv_pages *kv, float *q, float *k, const float *v,
                                   const struct turns *turns, const struct batch *batch, int first, int T, int H, int K)
{
    const int64_t start = clock_ns();
    ops_turn_and_store(counted(o)->inner, kv, q, k, v, turns, batch, first, T, H, K);
    add(o, OP_KV_STORE, start, 0, 0);
}

/* K/V positions that the rows of a sequence from row on see between them: the union of their intervals, which is one
 * interval, for all of them are read from lo up and the largest hi reaches over the others. */
static int seen_positions(const struct batch *b, int row)
{
    int lo = b->lo[row], hi = b->hi[row];
    for (int r = row + 1; r < b->T && b->sequence[r] == b->sequence[row]; r++) {
        lo = b->lo[r] < lo ? b->lo[r] : lo;
        hi = b->hi[r] > hi ? b->hi[r] : hi;
    }
    return hi - lo;
}

/* Positions of this layer that the step has not read before, by rows [first, first + T): blocks of rows come in order,
 * so a sequence is new when it is not that of the row before. */
static double new_positions(struct counted *c, const void *layer, const struct batch *b, int first, int T)
{
    double positions = 0;
    if (c->layer != layer) c->sequence = -1;
    c->layer = layer;
    for (int r = first; r < first + T; r++) {
        if (b->sequence[r] != c->sequence) positions += seen_positions(b, r);
        c->sequence = b->sequence[r];
    }
    return positions;
}

static void counted_attention(struct ops *o, float *y, float *lse, const float *q, const struct kv_pages *kv,
                              const struct batch *batch, int first, int T, int H, int K)
{
    const int64_t start = clock_ns();
    counted(o)->inner->fn->attention(counted(o)->inner, y, lse, q, kv, batch, first, T, H, K);
    double pairs = 0; /* of a row and a position it sees */
    for (int r = first; r < first + T; r++)
        pairs += batch->hi[r] - batch->lo[r];
    const double positions = new_positions(counted(o), kv->k, batch, first, T);
    add(o, OP_ATTENTION, start, 4.0 * pairs * H * K, 2 * positions * H * K * (double)dtype_bytes(kv->dtype));
}

static void counted_gather(struct ops *o, float *y, const float *x, const int32_t *index, int n, int D)
{
    const int64_t start = clock_ns();
    counted(o)->inner->fn->gather(counted(o)->inner, y, x, index, n, D);
    add(o, OP_GATHER, start, 0, 0);
}

static const struct ops_table counted_table = {
    .name = "counted",
    .close = counted_close,
    .alloc = counted_alloc,
    .free = counted_free,
    .write = counted_write,
    .read = counted_read,
    .copy = counted_copy,
    .weight_bind = counted_weight_bind,
    .weight_free = counted_weight_free,
    .embed = counted_embed,
    .layer_norm = counted_layer_norm,
    .linear = counted_linear,
    .linear_group = counted_linear_group,
    .norm_group = counted_norm_group,
    .rotary = counted_rotary,
    .kv_store = counted_kv_store,
    .turn_and_store = counted_turn_and_store,
    .attention = counted_attention,
    .gather = counted_gather,
};

enum { ENTRIES = 19 };
_Static_assert(sizeof(struct ops_table) == ENTRIES * sizeof(void *), "a new entry of struct ops_table is not counted");

enum status ops_counted_create(struct ops **out, struct ops *inner, int max_weights)
{
    struct counted *c = calloc(1, sizeof *c);
    const void **seen = calloc((size_t)max_weights, sizeof *seen);
    if (!c || !seen) {
        free(seen);
        free(c);
        return fail(E_NOMEM, "counting backend: out of memory");
    }
    *c = (struct counted){.base = {&counted_table, .block_rows = inner->block_rows},
                          .inner = inner,
                          .seen = seen,
                          .max_seen = max_weights};
    *out = &c->base;
    return OK;
}

void ops_counted_reset(struct ops *o)
{
    counted(o)->counts = (struct ops_counts){0};
}

void ops_counted_get(const struct ops *o, struct ops_counts *out)
{
    *out = ((const struct counted *)o)->counts;
}
