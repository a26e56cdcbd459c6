// SPDX-License-Identifier: Apache-2.0
/* Synchronisation, above all DiLoCo and its streaming and its sparse successor, of replicas without a model, whose own
 * steps are numbers drawn from step, replica and place: against simple code that has all replicas in one place, bit for
 * bit, and against each other where one is a case of the other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/rng.h"
#include "dist/dense.h"
#include "dist/sync.h"
#include "dist/wire.h"
#include "net/local.h"

/* ---- A model of names and sizes ---- */

enum { MAX_REPLICAS = 4, MAX_STEPS = 24, LAYERS = 4 };

static const struct {
    const char *name;
    size_t n;
    int layer; /* that it is synchronised with */
} shapes[] = {{"transformer.wte.weight", 300, 0},
              {"transformer.h.0.ln_1.bias", 24, 0},
              {"transformer.h.0.mlp.fc_in.weight", 517, 0},
              {"transformer.h.1.ln_1.bias", 24, 1},
              {"transformer.h.1.mlp.fc_in.weight", 500, 1},
              {"transformer.h.2.ln_1.bias", 24, 2},
              {"transformer.h.2.mlp.fc_in.weight", 501, 2},
              {"transformer.h.3.ln_1.bias", 24, 3},
              {"transformer.h.3.mlp.fc_in.weight", 512, 3},
              {"transformer.ln_f.bias", 24, 3},
              {"lm_head.weight", 290, 3}};

enum { PARAMS = COUNT_OF(shapes), VALUES = 2832 };

static size_t padded(size_t n)
{
    return (n + PARAMS_ALIGN - 1) / PARAMS_ALIGN * PARAMS_ALIGN;
}

static size_t begin_of(int param)
{
    size_t at = 0;
    for (int i = 0; i < param; i++)
        at += padded(shapes[i].n);
    return at;
}

static float drawn(uint64_t seed, uint64_t stream, size_t i)
{
    return (float)(2 * rng_uniform(seed, stream, i) - 1);
}

static void first_values(float *x)
{
    memset(x, 0, VALUES * sizeof *x);
    for (int p = 0; p < PARAMS; p++)
        for (size_t i = 0; i < shapes[p].n; i++)
            x[begin_of(p) + i] = drawn(7, 0, begin_of(p) + i);
}

/* What a replica's own optimizer does in a step: of some parameters more than of others. */
static void own_step(float *x, int replica, int64_t step)
{
    for (int p = 0; p < PARAMS; p++)
        for (size_t i = begin_of(p); i < begin_of(p) + shapes[p].n; i++)
            x[i] += drawn(11 + (uint64_t)replica, (uint64_t)step, i) * 0.01F / (float)(1 + i % 7);
}

/* ---- The real thing ---- */

struct world {
    struct recipe recipe;
    int replicas;
    int64_t steps;
    float x[MAX_REPLICAS][MAX_STEPS][VALUES]; /* after each step */
    float theta[MAX_REPLICAS][VALUES];        /* in the end */
    float left[MAX_REPLICAS][VALUES];
    float drift[MAX_REPLICAS][MAX_STEPS][VALUES]; /* theta - x, before synchronisation */
    size_t sent[MAX_REPLICAS], should[MAX_REPLICAS];
};

static struct world *make_world(enum train_sync sync, int replicas, int64_t steps)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_int_equal(begin_of(PARAMS), VALUES);
    w->recipe = recipe_defaults;
    w->recipe.sync = (int)sync;
    w->recipe.steps = steps;
    w->recipe.sync_steps = 6;
    w->replicas = replicas;
    w->steps = steps;
    return w;
}

static void name_params(struct param *all)
{
    for (int p = 0; p < PARAMS; p++)
        all[p] = (struct param){.name = (char *)(uintptr_t)shapes[p].name, .at = begin_of(p), .n = shapes[p].n};
}

static const float *vector_called(struct sync *s, const char *name)
{
    struct team_vector all[TEAM_MAX_VECTORS];
    const int n = s->ops->vectors(s, all);
    for (int i = 0; i < n; i++)
        if (!strcmp(all[i].name, name)) return all[i].at;
    return NULL;
}

/* A step as dist/grid.c takes it, without a gradient. */
static enum status one_step(struct sync *s, struct world *w, int replica, int64_t step)
{
    float *x = s->c.params->value;
    const float *theta = vector_called(s, "outer_parameters");
    if (s->ops->begin) TRY(s->ops->begin(s, step));
    for (int i = 0; i < 3; i++)
        sync_progress(s, step, 0);
    TRY(sync_combine(s, step));
    own_step(x, sync_shares(&w->recipe, step) ? 0 : replica, step);
    for (size_t i = 0; i < VALUES; i++)
        w->drift[replica][step][i] = theta ? theta[i] - x[i] : 0;
    if (s->ops->after_update) TRY(s->ops->after_update(s, step, 0));
    memcpy(w->x[replica][step], x, VALUES * sizeof *x);
    const struct sync_shape shape = sync_shape_of(s);
    w->should[replica] += sync_shape_bytes(&shape, step);
    return OK;
}

static enum status all_steps(struct sync *s, struct world *w, int replica)
{
    float *model;
    for (int64_t step = 0; step < w->steps; step++)
        TRY(one_step(s, w, replica, step));
    TRY(s->ops->model(s, &model));
    memcpy(w->theta[replica], model, VALUES * sizeof *model);
    const float *left = vector_called(s, "worker_error");
    if (left) memcpy(w->left[replica], left, VALUES * sizeof *left);
    return OK;
}

static enum status replica_main(struct transport *t, void *user)
{
    struct world *w = user;
    struct param all[PARAMS];
    float *value = calloc(VALUES, sizeof *value), *grad = calloc(VALUES, sizeof *grad);
    struct params params = {.all = all, .n = PARAMS, .n_values = VALUES, .value = value, .grad = grad};
    struct group peers = {0};
    struct sync *s = NULL;
    if (!value || !grad) abort();
    name_params(all);
    first_values(value);
    TRY(group_open(&peers, t, &(struct group_shape){.stride = 1, .n = w->replicas, .tag = 1}));
    TRY(sync_create(&s,
                    &(struct sync_context){.recipe = &w->recipe, .peers = &peers, .params = &params, .end = VALUES}));
    const enum status status = all_steps(s, w, t->rank);
    w->sent[t->rank] = net_sent(t, NET_SYNC).bytes;
    if (status != OK) net_fail(t, status);
    sync_free(s);
    group_close(&peers);
    free(value);
    free(grad);
    return status;
}

static void play(struct world *w)
{
    if (local_run(w->replicas, replica_main, w) != OK) fail_msg("%s", status_message());
}

static void expect_bits(const float *x, const float *y, const char *what, int replica, int64_t step)
{
    for (size_t i = 0; i < VALUES; i++)
        if (x[i] < y[i] || x[i] > y[i] || isnan(x[i]) || isnan(y[i]))
            fail_msg("%s: replica %d, step %d, value %zu: %a and %a", what, replica, (int)step, i, (double)x[i],
                     (double)y[i]);
}

static void expect_same_worlds(const struct world *a, const struct world *b, const char *what)
{
    for (int r = 0; r < a->replicas; r++) {
        for (int64_t step = 0; step < a->steps; step++)
            expect_bits(a->x[r][step], b->x[r][step], what, r, step);
        expect_bits(a->theta[r], b->theta[r], what, r, a->steps);
    }
}

/* ---- Simple code: all replicas in one place ---- */

struct simple {
    const struct recipe *r;
    int replicas;
    float x[MAX_REPLICAS][VALUES], theta[VALUES], momentum[VALUES];
    float left[MAX_REPLICAS][VALUES], error[VALUES];
    float mean[VALUES]; /* of a message */
};

/* What a message of a fragment is made of: places in the vector, VALUES where it is filled up. Returns how many. */
static size_t places_of(size_t *place, int fragment, int n_fragments)
{
    size_t n = 0;
    for (int p = 0; p < PARAMS; p++) {
        if (shapes[p].layer % n_fragments != fragment) continue;
        for (size_t i = 0; i < padded(shapes[p].n); i++)
            place[n++] = i < shapes[p].n ? begin_of(p) + i : VALUES;
    }
    return n;
}

static float at_place(const float *x, size_t place)
{
    return place < VALUES ? x[place] : 0;
}

static size_t chunk_of(size_t n, int replicas, int c)
{
    const size_t each = n / (size_t)replicas, more = n % (size_t)replicas, k = (size_t)c;
    return k * each + (k < more ? k : more);
}

/* As a ring adds: chunk c begins at the member behind c. */
static void simple_ring(struct simple *s, float delta[][VALUES], size_t n)
{
    const int D = s->replicas;
    for (int c = 0; c < D; c++) {
        for (size_t i = chunk_of(n, D, c); i < chunk_of(n, D, c + 1); i++) {
            float sum = delta[(c + 1) % D][i];
            for (int k = 2; k <= D; k++)
                sum += delta[(c + k) % D][i];
            s->mean[i] = sum * (1.0F / (float)D);
        }
    }
}

/* x [n] as its receiver sees it. */
static void there_and_back(float *x, const struct dense *d, size_t n)
{
    const size_t bytes = dense_bytes(d, 1, n);
    uint8_t *message = malloc(bytes + 1);
    assert_non_null(message);
    dense_encode(message, d, x, 1, n);
    assert_int_equal(dense_decode(x, d, 1, n, message, bytes), OK);
    free(message);
}

/* Compressed on both ways, what is left out being kept for the next time. */
static void simple_narrow(struct simple *s, float delta[][VALUES], const size_t *place, size_t n)
{
    static float said[MAX_REPLICAS][VALUES], kept[VALUES];
    const struct dense d = wire_of_deltas((enum train_wire)s->r->sync_wire);
    const int D = s->replicas;
    for (int c = 0; c < D; c++) {
        const size_t begin = chunk_of(n, D, c), end = chunk_of(n, D, c + 1);
        for (int r = 0; r < D; r++) {
            for (size_t i = begin; i < end; i++)
                said[r][i] = delta[r][i] += at_place(s->left[r], place[i]);
            there_and_back(said[r] + begin, &d, end - begin);
            for (size_t i = begin; i < end; i++)
                if (place[i] < VALUES) s->left[r][place[i]] = delta[r][i] - said[r][i];
        }
        for (size_t i = begin; i < end; i++) {
            float sum = 0;
            for (int r = 0; r < D; r++)
                sum += said[r][i];
            kept[i] = s->mean[i] = sum * (1.0F / (float)D) + at_place(s->error, place[i]);
        }
        there_and_back(s->mean + begin, &d, end - begin);
        for (size_t i = begin; i < end; i++)
            if (place[i] < VALUES) s->error[place[i]] = kept[i] - s->mean[i];
    }
}

static void simple_outer(struct simple *s, const size_t *place, size_t n)
{
    const float lr = (float)s->r->outer_learning_rate, mu = (float)s->r->outer_momentum;
    for (size_t i = 0; i < n; i++) {
        if (place[i] == VALUES) continue;
        float *u = &s->momentum[place[i]];
        *u = mu * *u + s->mean[i];
        s->theta[place[i]] -= lr * (s->mean[i] + mu * *u);
    }
}

static void simple_drift(const struct simple *s, float delta[][VALUES], const size_t *place, size_t n)
{
    for (int r = 0; r < s->replicas; r++)
        for (size_t i = 0; i < n; i++)
            delta[r][i] = at_place(s->theta, place[i]) - at_place(s->x[r], place[i]);
}

static void simple_begin(struct simple *s, const struct world *w)
{
    s->r = &w->recipe;
    s->replicas = w->replicas;
    first_values(s->theta);
    for (int r = 0; r < s->replicas; r++)
        first_values(s->x[r]);
}

static void simple_own_step(struct simple *s, int64_t step)
{
    for (int r = 0; r < s->replicas; r++)
        own_step(s->x[r], r, step);
}

/* Each fragment as a DiLoCo of its own, at its own times. */
static void expect_diloco_of_fragments(const struct world *w, int n_fragments, int64_t overlap, double mix)
{
    static float delta[MAX_REPLICAS][VALUES], mean[LAYERS][VALUES];
    static size_t place[VALUES];
    struct simple *s = calloc(1, sizeof *s);
    const float m = (float)mix;
    assert_non_null(s);
    simple_begin(s, w);
    for (int64_t step = 0; step < w->steps; step++) {
        simple_own_step(s, step);
        for (int64_t when = overlap; when >= 0; when -= overlap ? overlap : 1) { /* what comes back; what is sent */
            for (int f = 0; f < n_fragments; f++) {
                const int64_t H = w->recipe.sync_steps, since = step + 1 - (f + 1) * H / n_fragments;
                const size_t n = places_of(place, f, n_fragments);
                if (when == 0 && since >= 0 && since % H == 0) {
                    simple_drift(s, delta, place, n);
                    if (w->recipe.sync_wire == TRAIN_WIRE_FP32)
                        simple_ring(s, delta, n);
                    else
                        simple_narrow(s, delta, place, n);
                    memcpy(mean[f], s->mean, sizeof s->mean);
                }
                if (when != overlap || since < overlap || (since - overlap) % H) continue;
                memcpy(s->mean, mean[f], sizeof s->mean);
                simple_outer(s, place, n);
                for (int r = 0; r < w->replicas; r++)
                    for (size_t i = 0; i < n; i++)
                        if (place[i] < VALUES) s->x[r][place[i]] = (1 - m) * s->x[r][place[i]] + m * s->theta[place[i]];
            }
        }
        for (int r = 0; r < w->replicas; r++)
            expect_bits(w->x[r][step], s->x[r], "x", r, step);
    }
    free(s);
}

/* ---- DiLoCo and Streaming DiLoCo ---- */

static void diloco_is_what_its_formula_says(void **state)
{
    (void)state;
    for (int wire = TRAIN_WIRE_FP32; wire <= TRAIN_WIRE_INT4; wire++) {
        struct world *w = make_world(SYNC_DILOCO, 3, 20);
        w->recipe.sync_wire = wire;
        w->recipe.outer_learning_rate = 0.7;
        w->recipe.outer_momentum = 0.9;
        play(w);
        expect_diloco_of_fragments(w, 1, 0, 1);
        free(w);
    }
}

static void streaming_one_fragment_without_overlap_is_diloco(void **state)
{
    (void)state;
    for (int wire = TRAIN_WIRE_FP32; wire <= TRAIN_WIRE_INT4; wire++) {
        struct world *a = make_world(SYNC_DILOCO, 4, 20), *b = make_world(SYNC_STREAMING, 4, 20);
        b->recipe.sync_fragments = 1;
        b->recipe.sync_overlap = 0;
        b->recipe.sync_mix = 1;
        a->recipe.sync_wire = b->recipe.sync_wire = wire;
        play(a);
        play(b);
        expect_same_worlds(a, b, "one fragment");
        for (int r = 0; r < 4; r++)
            assert_int_equal(a->sent[r], b->sent[r]);
        free(a);
        free(b);
    }
}

static void each_fragment_is_a_diloco_of_its_own(void **state)
{
    (void)state;
    static const struct {
        int fragments, overlap;
        double mix;
        int wire, steps;
    } cases[] = {{2, 0, 1, TRAIN_WIRE_FP32, 6},   {2, 0, 1, TRAIN_WIRE_INT4, 6},    {2, 3, 1, TRAIN_WIRE_FP32, 6},
                 {2, 2, 0.5, TRAIN_WIRE_INT4, 6}, {3, 2, 0.25, TRAIN_WIRE_INT8, 6}, {4, 1, 0.5, TRAIN_WIRE_BF16, 6},
                 {4, 1, 0.5, TRAIN_WIRE_FP32, 7}, {1, 6, 0.5, TRAIN_WIRE_FP32, 6},  {1, 4, 0.75, TRAIN_WIRE_FP16, 5}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world *w = make_world(SYNC_STREAMING, 3, 20);
        w->recipe.sync_fragments = cases[i].fragments;
        w->recipe.sync_overlap = cases[i].overlap;
        w->recipe.sync_mix = cases[i].mix;
        w->recipe.sync_wire = cases[i].wire;
        w->recipe.sync_steps = cases[i].steps;
        w->recipe.outer_learning_rate = 0.7;
        w->recipe.outer_momentum = 0.9;
        play(w);
        expect_diloco_of_fragments(w, cases[i].fragments, cases[i].overlap, cases[i].mix);
        for (int r = 0; r < 3; r++)
            assert_int_equal(w->sent[r], w->should[r]);
        free(w);
    }
}

/* ---- SparseLoCo ---- */

static void sparse_with_everything_kept_is_diloco(void **state)
{
    (void)state;
    struct world *a = make_world(SYNC_DILOCO, 2, 20), *b = make_world(SYNC_SPARSE, 2, 20);
    for (int i = 0; i < 2; i++) {
        struct recipe *r = i ? &b->recipe : &a->recipe;
        r->outer_learning_rate = 0.7;
        r->outer_momentum = 0.9;
    }
    b->recipe.sparse_keep = 1;
    b->recipe.sparse_chunk = 100;
    b->recipe.sparse_bits = 32;
    play(a);
    play(b);
    expect_same_worlds(a, b, "everything kept"); /* a sum of two terms has one order */
    free(a);
    free(b);
}

/* The largest of a chunk, the earlier of equals: one after the other. */
static void mark_largest(bool *kept, const float *x, size_t n, size_t keep)
{
    memset(kept, 0, n * sizeof *kept);
    for (size_t k = 0; k < keep && k < n; k++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (!kept[i] && (best == n || fabsf(x[i]) > fabsf(x[best]))) best = i;
        kept[best] = true;
    }
}

/* What e [n] becomes as a message: what is kept of each chunk, in few bits. */
static void simple_compress(float *sent, const struct recipe *r, const float *e, size_t n)
{
    static bool kept[VALUES];
    static float value[VALUES];
    const size_t chunk = (size_t)r->sparse_chunk, keep = (size_t)(r->sparse_keep * (double)chunk);
    const struct dense d = {DENSE_SIGNED, (int)r->sparse_bits, 64, DENSE_SCALE_BF16, true};
    size_t count = 0;
    for (size_t at = 0; at < n; at += chunk)
        mark_largest(kept + at, e + at, n - at < chunk ? n - at : chunk, keep);
    for (size_t i = 0; i < n; i++)
        if (kept[i]) value[count++] = e[i];
    if (r->sparse_bits < 32) there_and_back(value, &d, count);
    count = 0;
    for (size_t i = 0; i < n; i++)
        sent[i] = kept[i] ? value[count++] : 0;
}

static void simple_sparse(struct simple *s)
{
    static float delta[MAX_REPLICAS][VALUES], sent[VALUES];
    static size_t place[VALUES];
    const size_t n = places_of(place, 0, 1);
    memset(s->mean, 0, sizeof s->mean);
    simple_drift(s, delta, place, n);
    for (int r = 0; r < s->replicas; r++) {
        for (size_t i = 0; i < n; i++)
            delta[r][i] += (float)s->r->sparse_decay * at_place(s->left[r], place[i]);
        simple_compress(sent, s->r, delta[r], n);
        for (size_t i = 0; i < n; i++) {
            if (place[i] < VALUES) s->left[r][place[i]] = delta[r][i] - sent[i];
            s->mean[i] += sent[i];
        }
    }
    for (size_t i = 0; i < n; i++)
        s->mean[i] *= 1.0F / (float)s->replicas;
    simple_outer(s, place, n);
    for (int r = 0; r < s->replicas; r++)
        memcpy(s->x[r], s->theta, sizeof s->theta);
}

static void sparse_is_what_its_formula_says(void **state)
{
    (void)state;
    static const struct {
        int bits, positions;
        double keep, momentum;
    } cases[] = {{32, SPARSE_POSITIONS_CHUNKED, 0.0625, 0},
                 {2, SPARSE_POSITIONS_CHUNKED, 0.0625, 0},
                 {2, SPARSE_POSITIONS_GOLOMB, 0.0625, 0.5},
                 {4, SPARSE_POSITIONS_CHUNKED, 0.25, 0}};
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        struct world *w = make_world(SYNC_SPARSE, 3, 20);
        struct simple *s = calloc(1, sizeof *s);
        assert_non_null(s);
        w->recipe.outer_learning_rate = 1;
        w->recipe.outer_momentum = cases[c].momentum;
        w->recipe.sparse_chunk = 128;
        w->recipe.sparse_keep = cases[c].keep;
        w->recipe.sparse_bits = cases[c].bits;
        w->recipe.sparse_positions = cases[c].positions;
        play(w);
        simple_begin(s, w);
        for (int64_t step = 0; step < w->steps; step++) {
            simple_own_step(s, step);
            if ((step + 1) % w->recipe.sync_steps == 0) simple_sparse(s);
            for (int r = 0; r < 3; r++)
                expect_bits(w->x[r][step], s->x[r], "x", r, step);
        }
        for (int r = 0; r < 3; r++) {
            expect_bits(w->left[r], s->left[r], "what is left", r, w->steps);
            if (cases[c].positions == SPARSE_POSITIONS_CHUNKED)
                assert_int_equal(w->sent[r], w->should[r]);
            else
                assert_true(w->sent[r] < w->should[r]);
        }
        free(w);
        free(s);
    }
}

/* Without decay, momentum and with an outer learning rate of one, D (theta before - theta after) is the sum of what was
 * sent; with what is left it is the sum of all drifts. Of each value, in each round: a drift and what was left are
 * added (u |e|), what was sent is taken off (u |e|), D terms of at most 2 |e| are added and divided by D (D + 1 times u
 * of at most 2 D |e|), and theta moves (u times 1 or a little more): u = 2^-24. */
static void what_sparse_leaves_out_is_not_lost(void **state)
{
    (void)state;
    enum { D = 3 };
    struct world *w = make_world(SYNC_SPARSE, D, 24);
    static float first[VALUES];
    double most_left = 0, most_lost = 0, e = 0;
    w->recipe.sync_steps = 2;
    w->recipe.sparse_chunk = 128;
    w->recipe.sparse_keep = 0.0625;
    w->recipe.sparse_decay = 1;
    play(w);
    first_values(first);
    for (size_t i = 0; i < VALUES; i++) {
        double lost = -D * ((double)first[i] - (double)w->theta[0][i]);
        for (int r = 0; r < D; r++) {
            double before = 0;
            for (int64_t step = 1; step < w->steps; step += 2) {
                before += fabs((double)w->drift[r][step][i]);
                lost += (double)w->drift[r][step][i];
            }
            lost -= (double)w->left[r][i];
            most_left = fmax(most_left, fabs((double)w->left[r][i]));
            e = fmax(e, before);
        }
        most_lost = fmax(most_lost, fabs(lost));
    }
    const double rounds = 12, bound = rounds * 0x1p-24 * (2 * D * e + (D + 1) * 2 * D * e + D * 1.5);
    print_message("of drifts of %.3g at most %.3g are left and %.3g lost, bound %.3g\n", e, most_left, most_lost,
                  bound);
    assert_true(most_left > 100 * bound);
    assert_true(most_lost <= bound);
    free(w);
}

/* ---- What does not depend on the algorithm ---- */

static void dense_steps_come_first_and_count_from_their_end(void **state)
{
    (void)state;
    static const enum train_sync syncs[] = {SYNC_DILOCO, SYNC_STREAMING, SYNC_SPARSE};
    for (size_t i = 0; i < COUNT_OF(syncs); i++) {
        struct world *w = make_world(syncs[i], 3, 9);
        w->recipe.sync_warmup_steps = 4;
        w->recipe.sync_steps = 4;
        w->recipe.sync_fragments = 2;
        w->recipe.sparse_chunk = 128;
        play(w);
        for (int64_t step = 0; step < 4; step++)
            for (int r = 1; r < 3; r++)
                expect_bits(w->x[r][step], w->x[0][step], "dense", r, step);
        assert_memory_not_equal(w->x[1][4], w->x[0][4], sizeof w->x[0][4]);
        for (int r = 1; r < 3; r++)
            if (syncs[i] != SYNC_STREAMING) expect_bits(w->x[r][7], w->x[0][7], "outer", r, 7);
        free(w);
    }
}

/* No checkpoint has it, so a run that goes on would have zeros there. */
static void what_lies_between_parameters_stays_zero(void **state)
{
    (void)state;
    for (int sync = SYNC_DILOCO; sync <= SYNC_SPARSE; sync++) {
        struct world *w = make_world((enum train_sync)sync, 3, 20);
        struct recipe *r = &w->recipe;
        r->sync_wire = TRAIN_WIRE_INT4;
        r->sparse_keep = r->cocktail_keep = r->cocktail_sample = 1;
        play(w);
        for (int replica = 0; replica < 3; replica++) {
            for (int p = 0; p < PARAMS; p++) {
                for (size_t i = begin_of(p) + shapes[p].n; i < begin_of(p + 1); i++) {
                    const float x = w->x[replica][19][i], theta = w->theta[replica][i], left = w->left[replica][i];
                    if (fabsf(x) + fabsf(theta) + fabsf(left) > 0) fail_msg("sync %d: value %zu", sync, i);
                }
            }
        }
        free(w);
    }
}

static void one_replica_sends_nothing(void **state)
{
    (void)state;
    struct world *a = make_world(SYNC_DILOCO, 1, 20);
    play(a);
    for (int sync = SYNC_STREAMING; sync <= SYNC_SPARSE; sync++) {
        struct world *b = make_world((enum train_sync)sync, 1, 20);
        b->recipe.sync_fragments = 1;
        b->recipe.sync_overlap = 0;
        b->recipe.sync_mix = 1;
        b->recipe.sync_wire = TRAIN_WIRE_INT4;
        b->recipe.outer_learning_rate = 0.7;
        b->recipe.outer_momentum = 0.9;
        play(b);
        expect_same_worlds(a, b, "alone");
        assert_int_equal(b->sent[0] + b->should[0], 0);
        free(b);
    }
    free(a);
}

/* A 6B stage is 64 rings, whose bytes are those of one; a small model's buckets are the smallest. */
static void buckets_are_few(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 1 << 20, (1 << 26) - 1, 1 << 26, 1 << 27, 3025362944, 50000000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = sizes[i], bucket = gradient_sum_bucket(n), rings = gradient_sum_rings(n);
        assert_true(rings <= GRADIENT_SUM_MOST && (rings - 1) * bucket < n && n <= rings * bucket);
        assert_true(n < 1 << 26 ? bucket == GRADIENT_SUM_SMALLEST : rings > GRADIENT_SUM_MOST / 2 - 1);
        const double ring = 2.0 * 3 / 4 * 4 * (double)n, sent = (double)gradient_sum_bytes(4, 1, n);
        assert_true(fabs(sent - ring) <= 24.0 * (double)rings); /* chunks are whole values */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diloco_is_what_its_formula_says),
        cmocka_unit_test(streaming_one_fragment_without_overlap_is_diloco),
        cmocka_unit_test(each_fragment_is_a_diloco_of_its_own),
        cmocka_unit_test(sparse_with_everything_kept_is_diloco),
        cmocka_unit_test(sparse_is_what_its_formula_says),
        cmocka_unit_test(what_sparse_leaves_out_is_not_lost),
        cmocka_unit_test(dense_steps_come_first_and_count_from_their_end),
        cmocka_unit_test(what_lies_between_parameters_stays_zero),
        cmocka_unit_test(buckets_are_few),
        cmocka_unit_test(one_replica_sends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
