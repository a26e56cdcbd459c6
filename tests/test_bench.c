// SPDX-License-Identifier: Apache-2.0
/* What a measurement rests on: probes that do what they claim, operations counted as what ran, synthetic weights that
 * are weights. How fast anything is, is nobody's promise here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/half.h"
#include "base/rng.h"
#include "bench/bench.h"
#include "model/synth_source.h"

static void check(enum status s)
{
    if (s != OK) fail_msg("status %d: %s", s, status_message());
}

/* ---- Probes ---- */

static void read_probes_read_every_word(void **state)
{
    (void)state;
    enum { UNITS = 5, WORDS = UNITS * PROBE_READ_UNIT / 8 };
    uint64_t *x = aligned_alloc(64, WORDS * sizeof *x), sum = 0;
    assert_non_null(x);
    for (size_t i = 0; i < WORDS; i++)
        sum += x[i] = rng_u64(1, 0, i);
    struct probes p;
    probes_init(&p, kernels_best_level());
    assert_true(p.n_read >= 1);
    for (int i = 0; i < p.n_read; i++)
        if (p.read[i].run(x, WORDS * sizeof *x) != sum) fail_msg("%s: not the sum of all words", p.read[i].name);
    free(x);
}

/* Whatever the sums are of, more rounds give another. */
static void peak_probes_compute(void **state)
{
    (void)state;
    struct probes p;
    probes_init(&p, kernels_best_level());
    assert_true(p.n_peak[PROBE_F32] >= 1);
    for (int u = 0; u < PROBE_UNITS; u++) {
        for (int i = 0; i < p.n_peak[u]; i++) {
            const float none = p.peak[u][i].run(0), some = p.peak[u][i].run(1000), more = p.peak[u][i].run(2000);
            if (!isfinite(none) || !isfinite(some) || some == none || more == some)
                fail_msg("%s: %g, %g, %g", p.peak[u][i].name, (double)none, (double)some, (double)more);
            assert_true(p.peak[u][i].ops > 0);
        }
    }
}

static void a_machine_has_rates(void **state)
{
    (void)state;
    struct machine m = {0};
    check(machine_open(&m, 2, kernels_best_level()));
    assert_true(m.cache_bytes >= 1 << 16);
    assert_true((int64_t)m.buffer_bytes >= 8 * m.cache_bytes || m.buffer_bytes == (size_t)2 << 30);
    assert_true(m.read_rate > 0 && machine_read_rate(&m) > 0);
    assert_true(m.peak_rate[PROBE_F32] > 0 && machine_peak_rate(&m, PROBE_F32) > 0);
    for (enum probe_unit u = 0; u < PROBE_UNITS; u++)
        assert_true((m.peak_rate[u] > 0) == (m.peak[u].run != NULL));
    m.peak[PROBE_BF16].run = NULL;
    assert_true(machine_peak_rate(&m, PROBE_BF16) == 0);
    machine_close(&m);
    machine_close(&m);
}

/* ---- Counting ---- */

enum { D = 8, O = 24, H = 2, K = 4 };

static struct ops *counted_backend(void)
{
    struct ops *inner = NULL, *o = NULL;
    const struct ops_cpu_limits limits = {.head = K, .inputs = D};
    check(ops_cpu_create(&inner, CPU_REF, COMPUTE_FP32, 1, limits));
    check(ops_counted_create(&o, inner, 4));
    return o;
}

static struct op_count count_of(const struct ops *o, enum op op)
{
    struct ops_counts c;
    ops_counted_get(o, &c);
    return c.of[op];
}

static void weights_are_read_once_a_step(void **state)
{
    (void)state;
    struct ops *o = counted_backend();
    static const uint16_t values[2][O * D]; /* zeros */
    static float x[5 * D], y[5 * O];
    struct weight w[2];
    for (int i = 0; i < 2; i++) {
        const struct weight host = {.data = values[i], .type = WEIGHT_F16, .O = O, .I = D};
        check(o->fn->weight_bind(o, &w[i], &host, WEIGHT_F16));
    }
    const int32_t token = 3;
    for (int step = 1; step <= 3; step++) {
        o->fn->embed(o, x, &w[0], &token, 1);
        for (int block = 0; block < 2; block++)
            for (int i = 0; i < 2; i++)
                o->fn->linear(o, y, x, &w[i], NULL, 5 - block, EPILOGUE_STORE);
        const struct op_count c = count_of(o, OP_LINEAR);
        assert_int_equal(c.calls, 4 * step);
        assert_true(c.bytes == 2.0 * 2 * O * D * step);
        assert_true(c.flop == 2.0 * 2 * (5 + 4) * O * D * step);
        assert_true(count_of(o, OP_EMBED).bytes == 0);
    }
    ops_counted_reset(o);
    assert_true(count_of(o, OP_LINEAR).flop == 0 && count_of(o, OP_LINEAR).calls == 0);
    for (int i = 0; i < 2; i++)
        o->fn->weight_free(o, &w[i]);
    o->fn->close(o);
}

static void attention_counts_what_is_visible(void **state)
{
    (void)state;
    struct ops *o = counted_backend();
    static float q[5 * H * K], y[5 * H * K];
    void *k = calloc(4, ops_kv_page_bytes(H, K, DTYPE_F16)), *v = calloc(4, ops_kv_page_bytes(H, K, DTYPE_F16));
    assert_true(k && v);
    const struct kv_pages layers[2] = {{k, v, DTYPE_F16}, {v, k, DTYPE_F16}};
    const int32_t pages[2][2] = {{0, 1}, {2, 3}}, *const tables[2] = {pages[0], pages[1]};
    const int32_t token[5] = {0}, position[5] = {0, 1, 2, 40, 41}, sequence[5] = {0, 0, 0, 1, 1};
    const int32_t lo[5] = {0, 0, 1, 8, 8}, hi[5] = {3, 3, 3, 41, 42};
    const struct batch b = {5, token, position, lo, hi, sequence, tables, 0};
    o->fn->attention(o, y, NULL, q, &layers[0], &b, 0, 2, H, K); /* in two blocks, as a long prompt goes */
    o->fn->attention(o, y, NULL, q, &layers[0], &b, 2, 3, H, K);
    struct op_count c = count_of(o, OP_ATTENTION);
    assert_true(c.flop == 4.0 * (3 + 3 + 2 + 33 + 34) * H * K);
    assert_true(c.bytes == 2.0 * (3 + 34) * H * K * sizeof(uint16_t));
    o->fn->attention(o, y, NULL, q, &layers[1], &b, 4, 1, H,
                     K); /* the last layer, of which only the last row is wanted */
    c = count_of(o, OP_ATTENTION);
    assert_true(c.flop == 4.0 * (3 + 3 + 2 + 33 + 34 + 34) * H * K);
    assert_true(c.bytes == 2.0 * (3 + 34 + 34) * H * K * sizeof(uint16_t));
    free(k);
    free(v);
    o->fn->close(o);
}

/* ---- Synthetic weights ---- */

static float value_at(const struct tensor *t, int64_t i)
{
    return (float)tensor_value(t, i);
}

/* n independent values of deviation 0.02: their mean has one of 0.02 / sqrt(n), their variance a relative one of about
 * sqrt(2 / n); five of those are beyond chance. */
static void check_values(const struct tensor *t, double mean)
{
    const int64_t n = tensor_elements(t);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = (double)value_at(t, i) - mean;
        sum += x;
        squares += x * x;
    }
    assert_true(fabs(sum / (double)n) < 5 * 0.02 / sqrt((double)n));
    assert_true(fabs(squares / (double)n / 4e-4 - 1) < 5 * sqrt(2 / (double)n) + 0.01); /* 0.01: rounding to bf16 */
}

static void synthetic_weights_are_weights(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    struct pool *pool = NULL;
    check(pool_create(&pool, 2));
    for (int i = 0; i < 6; i++) {
        struct synth s = {.config = {.V = 3000, .P = 64, .D = 64, .L = 2, .H = 4, .R = 8}, .dtype = dtypes[i / 2]};
        check(synth_complete(&s.config));
        struct source *src = NULL;
        check(synth_source_open(&src, &s, i % 2 ? SYNTH_SHARED : SYNTH_DISTINCT, pool));
        check(gptj_check(&s.config, src));
        const struct tensor *wte = source_find(src, "transformer.wte.weight");
        const struct tensor *q = source_find(src, "transformer.h.0.attn.q_proj.weight");
        assert_int_equal(wte->dtype, dtypes[i / 2]);
        check_values(wte, 0);
        check_values(q, 0);
        check_values(source_find(src, "lm_head.bias"), 0);
        assert_true(fabs((double)value_at(source_find(src, "transformer.ln_f.weight"), 5) - 1) < 0.08);
        assert_true(value_at(q, 0) != value_at(q, 1));
        source_close(src);
    }
    pool_free(pool);
}

/* ---- Rows ---- */

static bool go_on(void *user, size_t done)
{
    size_t *most = user;
    *most = done > *most ? done : *most;
    return true;
}

static bool stop(void *user, size_t done)
{
    (void)user;
    (void)done;
    return false;
}

/* A tiny model on a machine that was not measured: its rates are made up, so that no time is lost. */
static void open_bench(struct bench *b, struct machine *m, const struct synth *s)
{
    struct probes p;
    *m = (struct machine){.cache_bytes = 1 << 10};
    check(pool_create(&m->pool, 2));
    m->buffer_bytes = 4 << 20;
    m->buffer = aligned_alloc(64, m->buffer_bytes);
    assert_non_null(m->buffer);
    memset(m->buffer, 1, m->buffer_bytes);
    probes_init(&p, CPU_REF);
    m->read = p.read[0];
    m->peak[PROBE_F32] = p.peak[PROBE_F32][0];
    m->rounds[PROBE_F32] = 1000;
    struct gptjt_engine *e = calloc(1, sizeof *e);
    struct gptjt_engine_options o;
    assert_non_null(e);
    gptjt_engine_options_init(&o);
    o.threads = 2;
    e->config.model = s->config;
    e->mask.mask = GPTJT_MASK_PREFIX;
    check(synth_source_open(&e->source, s, SYNTH_SHARED, m->pool));
    check(engine_load(e, &o));
    check(bench_count(e));
    *b = (struct bench){.machine = m, .engine = e, .unit = PROBE_F32, .repeats = 3, .progress = go_on};
}

static void close_bench(struct bench *b, struct machine *m)
{
    gptjt_engine_close(b->engine);
    free(m->buffer);
    m->buffer = NULL;
    machine_close(m);
}

static void rows_count_what_ran(void **state)
{
    (void)state;
    enum { CONTEXT = 33, BATCH = 18, STEPS = 4 }; /* more sequences than one block of logits */
    struct synth s = {.config = {.V = 300, .P = 128, .D = 32, .L = 3, .H = 4, .R = 4}, .dtype = DTYPE_BF16};
    struct machine m;
    struct bench b;
    struct bench_row row;
    size_t done = 0;
    check(synth_complete(&s.config));
    open_bench(&b, &m, &s);
    b.user = &done;
    const double matrices = 3 * (4.0 * 32 * 32 + 2.0 * 32 * 128), head = 300.0 * 32;

    check(bench_decode(&row, &b, CONTEXT, BATCH, STEPS));
    assert_int_equal(done, 3 * BATCH * STEPS);
    assert_true(row.counts.of[OP_LINEAR].bytes == 3.0 * STEPS * 2 * (matrices + head));
    assert_true(row.counts.of[OP_LINEAR].flop == 3.0 * STEPS * BATCH * 2 * (matrices + head));
    double visible = 0;
    for (int i = 0; i < STEPS; i++)
        visible += BATCH * (CONTEXT + i + 1.0);
    assert_true(row.counts.of[OP_ATTENTION].flop == 3.0 * 4 * visible * 32 * 3);
    assert_true(row.fraction > 0 && row.seconds > 0);
    assert_true(fabs(row.tokens_per_s * row.seconds - BATCH) < 1e-9 * BATCH);

    done = 0;
    check(bench_prefill(&row, &b, 100));
    assert_int_equal(done, 300);
    assert_true(row.counts.of[OP_LINEAR].bytes == 3.0 * 2 * (matrices + head));
    assert_true(row.counts.of[OP_ATTENTION].flop <= 3.0 * 4 * 100 * 100 * 32 * 3);
    assert_true(fabs(row.tokens_per_s * row.seconds - 100) < 1e-9 * 100);

    b.progress = stop;
    assert_int_equal(bench_prefill(&row, &b, 10), E_CANCELLED);
    assert_int_equal(bench_decode(&row, &b, 10, 2, 3), E_CANCELLED);
    close_bench(&b, &m);
}

/* What stays in a cache is not read from memory, however often it is used. */
static void a_cached_model_has_no_floor_of_reading(void **state)
{
    (void)state;
    struct synth s = {.config = {.V = 300, .P = 128, .D = 32, .L = 1, .H = 4, .R = 4}, .dtype = DTYPE_F16};
    struct machine m;
    struct bench b;
    struct bench_row row;
    size_t done = 0;
    check(synth_complete(&s.config));
    open_bench(&b, &m, &s);
    b.user = &done;
    m.peak[PROBE_F32].ops *= 1e6; /* so that computing takes no time */
    check(bench_decode(&row, &b, 8, 1, 2));
    assert_true(row.memory);
    m.cache_bytes = 1 << 20;
    check(bench_decode(&row, &b, 8, 1, 2));
    assert_false(row.memory);
    close_bench(&b, &m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_probes_read_every_word),
        cmocka_unit_test(peak_probes_compute),
        cmocka_unit_test(a_machine_has_rates),
        cmocka_unit_test(weights_are_read_once_a_step),
        cmocka_unit_test(attention_counts_what_is_visible),
        cmocka_unit_test(synthetic_weights_are_weights),
        cmocka_unit_test(rows_count_what_ran),
        cmocka_unit_test(a_cached_model_has_no_floor_of_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
