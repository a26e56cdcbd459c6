// SPDX-License-Identifier: Apache-2.0
/* The forward pass of a micro model: against float64 truth, and its laws. A row has the same bits alone and among
 * others, in one pass and token by token, in one model and in a chain of layer ranges. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "formats/safetensors.h"
#include "model/forward.h"
#include "model/gptj.h"
#include "model/kvcache.h"

#define MICRO_A "tests/data/goldens/micro-a/"

/* An fp32 implementation that is further away from the truth has a bug or a bad order of summation: transformers in
 * fp32 is within 1e-5. */
#define NEAR 3e-5

enum { MAX_ROWS = OPS_CPU_BLOCK_ROWS + 50, MAX_SEQUENCES = 8, PAGES = 32, PAGES_A_SEQUENCE = 4 };

/* ---- A model with all it needs ---- */

struct rig {
    struct ops *ops;
    struct source *src;
    struct checkpoint_config config;
    struct gptj *m;
    struct workspace *w;
    struct kvcache *kv;
};

static void must(enum status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

static void rig_open_range(struct rig *r, const char *dir, enum cpu_level level, int n_threads, int first, int last)
{
    *r = (struct rig){0};
    must(source_open_dir(&r->src, dir));
    must(checkpoint_config_read(&r->config, dir));
    const struct gptj_config *c = &r->config.model;
    const struct ops_cpu_limits limits = {.head = c->K, .inputs = c->F > c->D ? c->F : c->D};
    must(ops_cpu_create(&r->ops, level, COMPUTE_FP32, n_threads, limits));
    must(gptj_load(&r->m, c, r->src, r->ops, first, last < 0 ? c->L : last, WEIGHT_AS_STORED));
    must(workspace_create(&r->w, r->m, MAX_ROWS));
    must(kvcache_create(&r->kv, r->ops, r->m->last - r->m->first, c->H, c->K, PAGES, DTYPE_F32));
}

static void rig_open(struct rig *r)
{
    rig_open_range(r, MICRO_A "safetensors-fp32", kernels_best_level(), 2, 0, -1);
}

static void rig_close(struct rig *r)
{
    kvcache_free(r->kv);
    workspace_free(r->w);
    gptj_free(r->m);
    source_close(r->src);
    r->ops->fn->close(r->ops);
}

/* The residual stream of the rows of the last pass; owned. */
static float *stream_of(const struct rig *r, int T)
{
    const size_t n = (size_t)T * (size_t)r->config.model.D;
    float *x = malloc((n ? n : 1) * sizeof *x);
    assert_non_null(x);
    r->ops->fn->read(r->ops, x, r->w->x, n * sizeof *x);
    return x;
}

static float *copy_of_floats(const float *x, size_t n)
{
    float *y = malloc(n * sizeof *y);
    assert_non_null(y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static float *logits_of(const struct rig *r, int T)
{
    const size_t V = (size_t)r->config.model.V;
    float *logits = malloc((size_t)T * V * sizeof *logits);
    assert_non_null(logits);
    for (int32_t row = 0; row < T; row += LOGITS_BLOCK) {
        int32_t rows[LOGITS_BLOCK], n = 0;
        for (; n < LOGITS_BLOCK && row + n < T; n++)
            rows[n] = row + n;
        forward_logits(r->m, r->w, rows, n, logits + (size_t)row * V);
    }
    return logits;
}

/* ---- Batches ---- */

/* Sequence i has pages of its own: i, i + MAX_SEQUENCES, ... */
struct rows {
    int32_t token[MAX_ROWS], position[MAX_ROWS], lo[MAX_ROWS], hi[MAX_ROWS], sequence[MAX_ROWS];
    int32_t table[MAX_SEQUENCES][PAGES_A_SEQUENCE];
    const int32_t *pages[MAX_SEQUENCES];
    struct batch batch;
};

static void rows_begin(struct rows *r)
{
    *r = (struct rows){0};
    for (int i = 0; i < MAX_SEQUENCES; i++) {
        for (int p = 0; p < PAGES_A_SEQUENCE; p++)
            r->table[i][p] = MAX_SEQUENCES * p + i;
        r->pages[i] = r->table[i];
    }
    r->batch = (struct batch){0, r->token, r->position, r->lo, r->hi, r->sequence, r->pages, 0};
}

/* Positions from .. to-1 of a sequence whose first `prompt` positions see each other. */
static void rows_add(struct rows *r, int sequence, const int32_t *token, int from, int to, int prompt)
{
    for (int p = from; p < to; p++) {
        const int i = r->batch.T++;
        assert_true(i < MAX_ROWS);
        r->token[i] = token[p];
        r->position[i] = p;
        r->lo[i] = 0;
        r->hi[i] = p + 1 > prompt ? p + 1 : prompt;
        r->sequence[i] = sequence;
    }
}

static int run(struct rig *r, const struct batch *b)
{
    struct forward f;
    int steps = 0;
    forward_begin(&f, r->m, r->w, r->kv, b);
    while (forward_step(&f))
        steps++;
    assert_false(forward_step(&f));
    return steps;
}

/* n token ids, a function of the stream. */
static const int32_t *text(int32_t token[128], int stream)
{
    for (int i = 0; i < 128; i++)
        token[i] = (i * 37 + stream * 101 + i * i % 13) % 500;
    return token;
}

/* ---- Truth ---- */

static struct source *truth_open(void)
{
    struct source *s = NULL;
    must(safetensors_open(&s, MICRO_A "hidden.safetensors"));
    return s;
}

static const struct tensor *truth(const struct source *s, const char *name)
{
    const struct tensor *t = source_find(s, name);
    if (!t) fail_msg("no %s", name);
    return t;
}

static int integers(const struct source *s, const char *name, int32_t *out)
{
    const struct tensor *t = truth(s, name);
    const int64_t n = tensor_elements(t);
    assert_true(n <= MAX_ROWS);
    for (int64_t i = 0; i < n; i++)
        out[i] = (int32_t)tensor_value(t, i);
    return (int)n;
}

static void must_be_near(const float *have, const struct source *s, const char *name)
{
    const struct tensor *t = truth(s, name);
    for (int64_t i = 0; i < tensor_elements(t); i++)
        if (!(fabs((double)have[i] - tensor_value(t, i)) <= NEAR))
            fail_msg("%s at %d: %.9g, not %.9g", name, (int)i, (double)have[i], tensor_value(t, i));
}

static void every_layer_is_near_the_truth(void **state)
{
    (void)state;
    static const char *const dirs[] = {MICRO_A "safetensors-fp32", MICRO_A "safetensors-fp16-prefix"};
    static const char *const modes[] = {"causal", "prefix"};
    struct source *s = truth_open();
    int32_t token[MAX_ROWS];
    const int T = integers(s, "case2.ids", token);
    for (size_t d = 0; d < COUNT_OF(dirs); d++) {
        for (enum cpu_level level = 0; level <= kernels_best_level(); level++) {
            struct rig r;
            rig_open_range(&r, dirs[d], level, 2, 0, -1);
            for (int mode = 0; mode < 2; mode++) {
                struct rows rows;
                struct forward f;
                rows_begin(&rows);
                rows_add(&rows, 1, token, 0, T, mode ? T : 1);
                forward_begin(&f, r.m, r.w, r.kv, &rows.batch);
                for (int l = 0; l <= r.config.model.L; l++) { /* f.layer: how many layers are done */
                    char name[64];
                    while (f.layer < l)
                        assert_true(forward_step(&f));
                    snprintf(name, sizeof name, "case2.%s.hidden%d", modes[mode], l);
                    float *x = stream_of(&r, T);
                    must_be_near(x, s, name);
                    free(x);
                }
                assert_false(forward_step(&f));
            }
            rig_close(&r);
        }
    }
    source_close(s);
}

static void packed_documents_are_near_the_truth(void **state)
{
    (void)state;
    struct source *s = truth_open();
    struct rig r;
    struct rows rows;
    int32_t token[MAX_ROWS];
    rig_open(&r);
    const int T = integers(s, "score.ids", token);
    rows_begin(&rows);
    rows_add(&rows, 0, token, 0, T, 1);
    assert_int_equal(integers(s, "packed.lo", rows.lo), T);
    assert_int_equal(integers(s, "packed.hi", rows.hi), T);
    run(&r, &rows.batch);
    float *logits = logits_of(&r, T);
    must_be_near(logits, s, "packed.logits");
    free(logits);
    rig_close(&r);
    source_close(s);
}

/* ---- Steps ---- */

static void steps_are_two_phases_of_every_block_of_every_layer(void **state)
{
    (void)state;
    static const int some_T[] = {1, OPS_CPU_BLOCK_ROWS - 1, OPS_CPU_BLOCK_ROWS, OPS_CPU_BLOCK_ROWS + 1, MAX_ROWS};
    int32_t token[128];
    struct rig r;
    rig_open(&r);
    text(token, 0);
    for (size_t i = 0; i < COUNT_OF(some_T); i++) {
        struct rows rows;
        rows_begin(&rows);
        for (int at = 0, sequence = 0; at < some_T[i]; at += 80, sequence++)
            rows_add(&rows, sequence, token, 0, some_T[i] - at < 80 ? some_T[i] - at : 80, 1);
        assert_int_equal(rows.batch.T, some_T[i]);
        const int blocks = (some_T[i] + OPS_CPU_BLOCK_ROWS - 1) / OPS_CPU_BLOCK_ROWS;
        assert_int_equal(run(&r, &rows.batch), r.config.model.L * 2 * blocks);
    }
    rig_close(&r);
}

static void a_sequence_has_the_same_bits_alone_and_in_a_batch(void **state)
{
    (void)state;
    static const struct {
        int length, prompt;
    } sequences[] = {{70, 33}, {1, 1}, {60, 1}, {29, 29}, {126, 64}, {99, 1}, {120, 120}, {50, 3}}; /* two blocks */
    int32_t token[COUNT_OF(sequences)][128];
    struct rig r;
    struct rows all;
    rig_open(&r);
    const size_t D = (size_t)r.config.model.D, V = (size_t)r.config.model.V;
    rows_begin(&all);
    for (int i = 0; i < (int)COUNT_OF(sequences); i++)
        rows_add(&all, i, text(token[i], i), 0, sequences[i].length, sequences[i].prompt);
    assert_in_range(all.batch.T - OPS_CPU_BLOCK_ROWS, 1, sequences[7].length - 1); /* the cut is within a sequence */
    run(&r, &all.batch);
    float *x = stream_of(&r, all.batch.T), *logits = logits_of(&r, all.batch.T);

    for (int n_threads = 1, row = 0; n_threads <= 3; n_threads++, row = 0) {
        struct rig other;
        rig_open_range(&other, MICRO_A "safetensors-fp32", kernels_best_level(), n_threads, 0, -1);
        for (size_t i = 0; i < COUNT_OF(sequences); i++) {
            const int T = sequences[i].length;
            struct rows one;
            rows_begin(&one);
            rows_add(&one, MAX_SEQUENCES - 1 - (int)i, token[i], 0, T, sequences[i].prompt); /* in other pages, too */
            run(&other, &one.batch);
            float *x_alone = stream_of(&other, T), *logits_alone = logits_of(&other, T);
            assert_memory_equal(x_alone, x + (size_t)row * D, (size_t)T * D * sizeof *x);
            assert_memory_equal(logits_alone, logits + (size_t)row * V, (size_t)T * V * sizeof *logits);
            free(x_alone);
            free(logits_alone);
            row += T;
        }
        rig_close(&other);
    }
    free(x);
    free(logits);
    rig_close(&r);
}

/* After the prompt, tokens one at a time, or in uneven pieces, see the same K/V as in one pass. */
static void cached_decoding_equals_one_pass_bit_for_bit(void **state)
{
    (void)state;
    enum { LENGTH = 90 };
    static const struct {
        int prompt, pieces[4];
    } cases[] = {{1, {1, 1, 1, 1}}, {40, {1, 1, 1, 1}}, {32, {1, 7, 31, 2}}, {1, {64, 3, 1, 5}}};
    int32_t token[128];
    struct rig r;
    rig_open(&r);
    const size_t D = (size_t)r.config.model.D;
    text(token, 5);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rows rows;
        rows_begin(&rows);
        rows_add(&rows, 0, token, 0, LENGTH, cases[i].prompt);
        run(&r, &rows.batch);
        float *whole = stream_of(&r, LENGTH);
        for (int from = 0, piece = 0, to; from < LENGTH; from = to, piece++) {
            to = from ? from + cases[i].pieces[piece % 4] : cases[i].prompt;
            to = to < LENGTH ? to : LENGTH;
            rows_begin(&rows);
            rows_add(&rows, 2, token, from, to, cases[i].prompt);
            run(&r, &rows.batch);
            float *x = stream_of(&r, to - from);
            assert_memory_equal(x, whole + (size_t)from * D, (size_t)(to - from) * D * sizeof *x);
            free(x);
        }
        free(whole);
    }
    rig_close(&r);
}

static void a_chain_of_layer_ranges_equals_the_whole_model(void **state)
{
    (void)state;
    enum { LENGTH = 100 };
    const char *dir = MICRO_A "safetensors-fp32";
    int32_t token[128];
    struct rig whole, front, back;
    struct rows rows;
    rig_open(&whole);
    rig_open_range(&front, dir, kernels_best_level(), 2, 0, 2);
    rig_open_range(&back, dir, kernels_best_level(), 1, 2, 3);
    rows_begin(&rows);
    rows_add(&rows, 0, text(token, 7), 0, LENGTH, 50);

    run(&whole, &rows.batch);
    run(&front, &rows.batch);
    float *between = stream_of(&front, LENGTH);
    back.ops->fn->write(back.ops, back.w->x, between, (size_t)LENGTH * (size_t)back.config.model.D * sizeof *between);
    run(&back, &rows.batch);

    float *want = logits_of(&whole, LENGTH), *have = logits_of(&back, LENGTH);
    assert_memory_equal(have, want, (size_t)LENGTH * (size_t)whole.config.model.V * sizeof *want);
    free(between);
    free(want);
    free(have);
    rig_close(&whole);
    rig_close(&front);
    rig_close(&back);
}

static void a_range_binds_only_what_it_computes_with(void **state)
{
    (void)state;
    struct rig front, back;
    rig_open_range(&front, MICRO_A "safetensors-fp32", CPU_REF, 1, 0, 2);
    rig_open_range(&back, MICRO_A "safetensors-fp32", CPU_REF, 1, 2, 3);
    assert_non_null(front.m->wte.data);
    assert_null(front.m->head.data);
    assert_null(front.m->ln_f_w.data);
    assert_null(back.m->wte.data);
    assert_non_null(back.m->head.data);
    assert_non_null(back.m->ln_f_w.data);
    rig_close(&front);
    rig_close(&back);
}

/* ---- Memory ---- */

/* The CPU's memory, counted, and refused after a while. */
struct counting {
    struct ops base; /* first */
    struct ops *cpu;
    size_t bytes;
    int n_allocations, fail_at;
};

static enum status counting_alloc(struct ops *o, void **out, size_t bytes)
{
    struct counting *c = (struct counting *)o;
    if (c->n_allocations++ == c->fail_at) return fail(E_NOMEM, "out of memory, on purpose");
    c->bytes += bytes;
    return c->cpu->fn->alloc(c->cpu, out, bytes);
}

static void counting_free(struct ops *o, void *p, size_t bytes)
{
    struct counting *c = (struct counting *)o;
    if (p) c->bytes -= bytes;
    c->cpu->fn->free(c->cpu, p, bytes);
}

static void workspace_bytes_is_what_creation_allocates(void **state)
{
    (void)state;
    static const struct ops_table table = {.name = "counting", .alloc = counting_alloc, .free = counting_free};
    struct rig r;
    rig_open(&r);
    struct counting c = {{&table, NULL, OPS_CPU_BLOCK_ROWS}, r.ops, 0, 0, -1};
    const struct gptj m = {.cfg = r.config.model, .ops = &c.base};
    struct workspace *w = NULL;
    must(workspace_create(&w, &m, 77));
    assert_int_equal(c.bytes, workspace_bytes(&m.cfg, 77, OPS_CPU_BLOCK_ROWS));
    workspace_free(w);
    assert_int_equal(c.bytes, 0);
    const int n = c.n_allocations;
    for (int i = 0; i < n; i++) {
        c.n_allocations = 0;
        c.fail_at = i;
        assert_int_equal(workspace_create(&w, &m, 77), E_NOMEM);
        assert_int_equal(c.bytes, 0);
    }
    workspace_free(NULL);
    rig_close(&r);
}

/* What is not wanted is not computed, and what is has the same bits; K and V are stored of all rows, as a row decoded
 * afterwards tells. */
static void rows_that_nobody_wants_change_nothing_for_the_others(void **state)
{
    (void)state;
    enum { N = 70 };
    struct rig r;
    int32_t token[128];
    text(token, 1);
    rig_open_range(&r, MICRO_A "safetensors-fp32", kernels_best_level(), 2, 0, -1);
    float *all = NULL, *next = NULL;
    for (int first = 0; first < N; first = first ? first * 3 - 1 : 1) {
        struct rows rows;
        rows_begin(&rows);
        rows_add(&rows, 1, token, 0, N, N);
        rows.batch.first_wanted = first;
        const size_t D = (size_t)r.config.model.D, wanted = (size_t)(N - first) * D;
        const int steps = run(&r, &rows.batch);
        assert_int_equal(steps, forward_steps(r.m, &rows.batch));
        assert_int_equal(steps, 2 * r.config.model.L + (first > 0));
        float *x = stream_of(&r, N);
        if (first == 0) all = copy_of_floats(x, (size_t)N * D);
        assert_memory_equal(x + (size_t)first * D, all + (size_t)first * D, wanted * sizeof *x);
        free(x);

        rows_begin(&rows);
        rows_add(&rows, 1, token, N, N + 1, N);
        run(&r, &rows.batch);
        x = stream_of(&r, 1);
        if (first == 0) next = copy_of_floats(x, D);
        assert_memory_equal(x, next, D * sizeof *x);
        free(x);
    }
    free(all);
    free(next);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_is_near_the_truth),
        cmocka_unit_test(packed_documents_are_near_the_truth),
        cmocka_unit_test(steps_are_two_phases_of_every_block_of_every_layer),
        cmocka_unit_test(a_sequence_has_the_same_bits_alone_and_in_a_batch),
        cmocka_unit_test(cached_decoding_equals_one_pass_bit_for_bit),
        cmocka_unit_test(a_chain_of_layer_ranges_equals_the_whole_model),
        cmocka_unit_test(rows_that_nobody_wants_change_nothing_for_the_others),
        cmocka_unit_test(a_range_binds_only_what_it_computes_with),
        cmocka_unit_test(workspace_bytes_is_what_creation_allocates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
