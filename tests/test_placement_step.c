// SPDX-License-Identifier: Apache-2.0
/* A step's time, memory and traffic as a planner predicts them: by hand for small cases, as published for large ones.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

#include "base/compiler.h"
#include "dist/cluster.h"
#include "dist/placement.h"
#include "dist/placement_step.h"
#include "dist/traffic.h"
#include "model/params.h"
#include "model/synth.h"
#include "model/train_pass.h"
#include "planner.h"

/* ---- Simulated steps ---- */

/* Sizes whose head makes the last stage the slower one. */
static const struct gptj_config small_model = {
    .V = 700, .P = 64, .D = 32, .L = 3, .H = 4, .K = 8, .R = 8, .F = 96, .eps = 1e-5, .bos = -1, .eos = -1};

static struct recipe small_recipe(void)
{
    return (struct recipe){.steps = 1,
                           .batch_size = 24,
                           .micro_batch_size = 2,
                           .data = {.seq_len = 50},
                           .precision = PRECISION_BF16,
                           .wire_activations = TRAIN_WIRE_FP16,
                           .wire_gradients = TRAIN_WIRE_FP16,
                           .sync = SYNC_SHARDED};
}

static const char two_hosts[] = "machine: {tflops: 1.0e-3, memory_gb: 1}\n"
                                "link: {gbps: 0.08, latency_ms: 2}\n" /* 1e7 bytes a second */
                                "machines: [{name: a}, {name: b}, {name: c}, {name: d}]\n"
                                "links: [{within: [a, b], gbps: 1}, {between: [a, b], latency_ms: 0.5, gbps: 0.8}]\n";

/* Seconds of a pass over a micro-batch of small on the devices above, from the sizes of its matrices: a product of
 * [rows][I] and [I][O] is 2 rows I O operations, in F, in I and in W. */
static void pass_seconds(double out[3], int layers, bool head, bool recompute)
{
    const double rows = 2 * 50, pairs = 2 * (50 * 51 / 2.0), D = 32, F = 96, speed = 1e9;
    const double blocks = layers * 2 * rows * (4 * D * D + 2 * D * F);
    const double attention = layers * 2 * 2 * pairs * D; /* scores, and sums of values */
    const double products = blocks + (head ? 2 * rows * D * 700 : 0);
    out[0] = (products + attention) / speed;
    out[1] = (products + 2 * attention + (recompute ? blocks + attention : 0)) / speed;
    out[2] = products / speed;
}

/* Sums of some ten terms each rounded once: 64 epsilon is plenty. */
static const double rounded = 64 * DBL_EPSILON;

/* Where links are alike and nothing shares a card, the simulation has the estimate's time, or less where sums of
 * gradients overlap with the last pass. */
static void assert_simulated(const struct placement_step_model *m, const struct placement *p,
                             const struct placement_step *estimated, bool overlaps)
{
    struct placement_step s;
    assert_int_equal(placement_step_simulate(&s, m, p), OK);
    assert_near(s.pipeline_s, estimated->pipeline_s, rounded);
    assert_true(fabs(s.bubble - estimated->bubble) < 1e-12); /* a difference from 1 */
    assert_int_equal(s.short_rank, estimated->short_rank);
    assert_true(s.step_s <= estimated->step_s * (1 + rounded) && s.step_s >= s.pipeline_s);
    if (!overlaps) assert_near(s.step_s, estimated->step_s, rounded);
    if (!overlaps) assert_near(s.busy, estimated->busy, 1e-12);
}

static struct placement_step step_of(const struct recipe *recipe, int stages, int replicas, enum schedule_kind kind,
                                     const char *text)
{
    struct cluster c;
    struct placement p;
    struct placement_step_model *m;
    const struct placement_task size = {stages, replicas, 1, 1};
    const struct step_task task = {&small_model, recipe};
    read_text(&c, text);
    assert_int_equal(placement_create(&p, &size, c.n_devices), OK);
    if (placement_step_model_create(&m, &task, stages, replicas, kind, &c) != OK) fail_msg("%s", status_message());
    const struct placement_step s = placement_step_estimate(m, &p);
    assert_simulated(m, &p, &s, sync_sums(recipe, 0));
    placement_step_model_free(m);
    placement_free(&p);
    cluster_free(&c);
    return s;
}

static void one_stage_computes_and_averages(void **state)
{
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        struct recipe task = small_recipe();
        double pass[3];
        task.recompute = recompute;
        pass_seconds(pass, 3, true, recompute);
        const double seconds = pass[0] + pass[1] + pass[2];
        for (int k = 0; k < SCHEDULE_KINDS; k++) {
            const struct placement_step alone = step_of(&task, 1, 1, (enum schedule_kind)k, two_hosts);
            assert_near(alone.step_s, 12 * seconds, rounded);
            assert_true(alone.sync_s == 0 && fabs(alone.bubble) < rounded && alone.short_rank == -1);
            const struct placement_step two = step_of(&task, 1, 2, (enum schedule_kind)k, two_hosts);
            const double bytes = 4.0 * (double)params_values(&small_model, 0, 3);
            assert_near(two.pipeline_s, 6 * seconds, rounded);
            assert_near(two.step_s, 6 * seconds + 2 * (0.5e-3 + bytes / 2 / 1e8), rounded);
        }
    }
}

/* The last stage is the slower one, so GPipe waits for the first micro-batch to come up and the last to go down; then
 * ring a-c, b-d over the slow links. */
static void two_stages_wait_for_messages(void **state)
{
    (void)state;
    double first[3], last[3];
    const struct recipe small = small_recipe();
    pass_seconds(first, 1, false, false);
    pass_seconds(last, 2, true, false);
    const double message = 2 * 2 * 50 * 32.0, fast = 0.5e-3 + message / 1e8, slow = 2e-3 + message / 1e7;
    const double once = first[0] + first[1] + first[2], again = last[0] + last[1] + last[2];
    assert_true(message / 1e7 < last[0] && first[1] + first[2] < last[1] + last[2]);
    const struct placement_step alone = step_of(&small, 2, 1, SCHEDULE_GPIPE, two_hosts);
    assert_near(alone.step_s, once + 12 * again + 2 * fast, rounded);
    assert_near(alone.bubble, 1 - 12 * (once + again) / (2 * alone.step_s), rounded);

    const struct placement_step both = step_of(&small, 2, 2, SCHEDULE_GPIPE, two_hosts); /* c to d is the slow one */
    const double bytes[2] = {4.0 * (double)params_values(&small_model, 0, 1),
                             4.0 * (double)params_values(&small_model, 1, 3)};
    const double ends[2] = {once + 6 * again + 2 * slow, first[0] + slow + 6 * again};
    assert_near(both.pipeline_s, ends[0], rounded);
    const double rings[2] = {2 * (2e-3 + bytes[0] / 2 / 1e7), 2 * (2e-3 + bytes[1] / 2 / 1e7)};
    assert_near(both.step_s, fmax(ends[0] + rings[0], ends[1] + rings[1]), rounded);
    assert_near(both.sync_s, both.step_s - both.pipeline_s, 0);
}

static void network_cards_limit_links(void **state)
{
    (void)state;
    static const char cards[] = "machine: {tflops: 1.0e-3, memory_gb: 1}\nlink: {gbps: 8, latency_ms: 0}\n"
                                "machines: [{name: a}, {name: b, nic_gbps: 0.08}]\n";
    const struct recipe small = small_recipe();
    const struct placement_step s = step_of(&small, 1, 2, SCHEDULE_1F1B, cards);
    assert_near(s.sync_s, 4.0 * (double)params_values(&small_model, 0, 3) / 1e7, 1e-12); /* a difference of sums */
}

/* Of two stages. */
static void assert_memory(const struct placement_step_model *m, const struct gptj_config *c, const struct recipe *r)
{
    const struct step_memory *memory = placement_step_model_memory(m);
    for (int s = 0; s < 2; s++) {
        const size_t values = params_values(c, s, s ? 3 : 1);
        assert_int_equal(memory[s].gradients, 4 * values);
        assert_int_equal(memory[s].moments, r->sync == SYNC_SHARDED ? 4 * values : 8 * values); /* of two replicas */
        assert_int_equal(memory[s].sync, r->sync == SYNC_PROXSKIP ? 4 * values : 0);
        assert_true(memory[s].weights > 4 * values && memory[s].weights < 8 * values);
        const struct train_pass_options held = {.sequences = 2, .seq_len = 50, .slots = 6};
        assert_int_equal(memory[s].activations, train_pass_bytes(c, s, s ? 3 : 1, &held));
        assert_int_equal(step_memory_bytes(&memory[s]), memory[s].weights + memory[s].gradients + memory[s].moments +
                                                            memory[s].sync + memory[s].activations +
                                                            memory[s].messages);
    }
}

static void memory_is_checked_by_rank(void **state)
{
    (void)state;
    static const char text[] = "machine: {tflops: 1, memory_gb: 1}\nlink: {gbps: 1, latency_ms: 0}\n"
                               "machines: [{name: a, count: 2}, {name: b, memory_gb: 0.005}, {name: c}]\n";
    static const int syncs[] = {SYNC_ALLREDUCE, SYNC_SHARDED, SYNC_PROXSKIP};
    struct gptj_config model = small_model;
    struct recipe recipe = small_recipe();
    const struct step_task large = {&model, &recipe};
    struct cluster c;
    struct placement p;
    struct placement_step_model *m;
    model.V = 20000;
    read_text(&c, text);
    for (int replicas = 2; replicas; replicas--) {
        assert_int_equal(placement_create(&p, &(struct placement_task){2, replicas, 1, 1}, c.n_devices), OK);
        assert_int_equal(placement_step_model_create(&m, &large, 2, replicas, SCHEDULE_1F1B, &c), OK);
        assert_int_equal(placement_step_estimate(m, &p).short_rank, replicas == 2 ? 2 : -1);
        placement_step_model_free(m);
        placement_free(&p);
    }
    for (size_t i = 0; i < COUNT_OF(syncs); i++) {
        recipe.sync = syncs[i];
        assert_int_equal(placement_step_model_create(&m, &large, 2, 2, SCHEDULE_GPIPE, &c), OK);
        assert_memory(m, &model, &recipe);
        placement_step_model_free(m);
    }
    assert_int_equal(placement_step_model_create(&m, &large, 4, 1, SCHEDULE_GPIPE, &c), E_ARG);
    assert_string_equal(status_message(), "4 stages are more than the model's 3 layers");
    assert_int_equal(placement_step_model_create(&m, &large, 1, 5, SCHEDULE_GPIPE, &c), E_ARG);
    cluster_free(&c);
}

/* Own steps, each as long as the pipelines, and now and then an exchange. On two machines: 1e8 bytes a second, 0.5 ms.
 */
static void steps_are_means_over_the_run(void **state)
{
    (void)state;
    const double N = (double)params_values(&small_model, 0, 3), rate = 1e8, latency = 0.5e-3;
    struct recipe r = small_recipe();
    const double alone = step_of(&r, 1, 2, SCHEDULE_1F1B, two_hosts).pipeline_s;
    r.steps = 10;
    r.sync_steps = 4; /* steps 3 and 7 */
    r.sync = SYNC_DILOCO;
    struct placement_step s = step_of(&r, 1, 2, SCHEDULE_1F1B, two_hosts);
    assert_near(s.step_s, alone + 0.2 * 2 * (latency + 4 * N / 2 / rate), rounded);
    assert_near(s.busy, alone / s.step_s, rounded); /* one stage is never idle in its pipeline */
    r.sync_wire = TRAIN_WIRE_FP16;                  /* half of the values there, the mean of the other half's back */
    s = step_of(&r, 1, 2, SCHEDULE_1F1B, two_hosts);
    assert_near(s.step_s, alone + 0.2 * 2 * (latency + 2 * N / 2 / rate), rounded);
    r.sync_warmup_steps = 2; /* then steps 5 and 9, and twice the gradients, which are less than a bucket */
    s = step_of(&r, 1, 2, SCHEDULE_1F1B, two_hosts);
    assert_near(s.sync_s, 0.2 * 2 * (latency + 2 * N / 2 / rate) + 0.2 * 2 * (latency + 4 * N / 2 / rate), 1e-12);
    r = small_recipe();
    r.sync = SYNC_COCKTAIL;
    r.cocktail_sample = r.cocktail_keep = 1;
    r.cocktail_bits = 32; /* all of the values, beside the passes: the longer one counts */
    s = step_of(&r, 1, 2, SCHEDULE_1F1B, two_hosts);
    assert_near(s.step_s, fmax(alone, 2 * (latency + 4 * N / 2 / rate)), rounded);
    r.data.seq_len = 1;
    s = step_of(&r, 1, 2, SCHEDULE_1F1B, two_hosts);
    assert_near(s.step_s, fmax(s.pipeline_s, 2 * (latency + 4 * N / 2 / rate)), rounded);
    assert_true(s.pipeline_s < alone && s.step_s > s.pipeline_s);
}

/* ---- Traffic ---- */

static struct recipe card(enum train_sync sync)
{
    struct recipe r = recipe_defaults;
    r.sync = (int)sync;
    r.steps = 27000; /* 3.54e9 tokens of 64 x 2048 */
    r.data.seed = 1;
    return r;
}

static struct traffic traffic_of(const struct recipe *r, const struct gptj_config *c, int replicas)
{
    const struct traffic_layout l = {r, c, 2, replicas};
    struct traffic_kinds kinds;
    assert_int_equal(traffic_kinds_find(&kinds, &l, r->steps), OK);
    return traffic_sum(&l, &kinds);
}

/* "633 TB" and "12.7 TB": copies of the whole model, in fp32, in each of 27000 steps and in a fiftieth of them. What
 * exactly was counted nobody knows. It lies between all parameters and all without the embedding; whose N is
 * 6,050,882,784 and V D less. */
static void what_is_published_comes_out(void **state)
{
    (void)state;
    struct gptj_config c = {.V = 50400, .P = 2048, .D = 4096, .L = 28, .H = 16, .R = 64};
    assert_int_equal(synth_complete(&c), OK);
    const double N = 6050882784.0, all = 4 * N * 27000, least = 4 * (N - 50400.0 * 4096) * 27000;
    assert_true(least < 633e12 && 633e12 < all);
    const struct recipe dense = card(SYNC_ALLREDUCE), skip = card(SYNC_PROXSKIP);
    const struct traffic a = traffic_of(&dense, &c, 4), b = traffic_of(&skip, &c, 4);
    const double padding = 1e-6; /* vectors are filled up to 16 values, matrices and norms need none here */
    assert_near(a.copies_bytes, all, padding);
    assert_near(a.rank_bytes, 1.5 * all / 2,
                0.001); /* 2 (D - 1) / D of a stage; the second one has 50,400 biases more */
    assert_true(least / 50 < 12.7e12 && 12.7e12 < all / 50);
    /* The coin of a seed: 540 of 27000 are expected, with a standard deviation of 23. */
    const double coins = b.copies_bytes / (4 * N);
    assert_near(coins, floor(coins + 0.5), padding);
    assert_true(fabs(coins - 540) < 4 * 23);
    assert_near(b.rank_bytes / b.copies_bytes, a.rank_bytes / a.copies_bytes, 1e-9);
    assert_near(traffic_of(&dense, &c, 1).copies_bytes, 0, 0);
}

/* decentralized training's usual numbers for N = 6.05e9, D = 4, of a whole model; ours are of two stages each. */
static void other_algorithms_send_what_papers_say(void **state)
{
    (void)state;
    struct gptj_config c = {.V = 50400, .P = 2048, .D = 4096, .L = 28, .H = 16, .R = 64};
    const double N = 6050882784.0;
    assert_int_equal(synth_complete(&c), OK);
    struct recipe r = card(SYNC_COCKTAIL);
    r.steps = 500;
    assert_near(traffic_of(&r, &c, 4).copies_bytes / 500, 0.1 * (0.2 * (0.5 + 2 / 128.0) + 0.125) * N, 1e-4);
    assert_near(traffic_of(&r, &c, 4).rank_bytes / 500, 1.5 * 0.0228125 * N / 2, 0.001);
    r.sync = SYNC_DILOCO;
    r.sync_steps = 500;
    r.sync_wire = TRAIN_WIRE_FP16;
    assert_near(traffic_of(&r, &c, 4).rank_bytes, 1.5 * 2 * N / 2, 0.001); /* one outer step */
    r.sync_steps = 100;
    r.sync_wire = TRAIN_WIRE_INT4;
    assert_near(traffic_of(&r, &c, 4).rank_bytes, 5 * 1.5 * (0.5 + 2 / 128.0) * N / 2, 0.001);
    r.sync = SYNC_SHARDED;
    assert_near(traffic_of(&r, &c, 4).copies_bytes, 500 * 4 * N, 1e-6);
    r.wire_activations = r.wire_gradients = TRAIN_WIRE_FP16;
    const struct traffic_layout l = {&r, &c, 2, 4};
    for (int s = 0; s < 2; s++) /* 16 micro-batches of 16.78 MB, one way each */
        assert_int_equal(traffic_pipeline_bytes(&l, s), 16 * 2048 * 4096 * 2);
}

static void steps_come_in_kinds(void **state)
{
    (void)state;
    struct recipe r = small_recipe();
    struct traffic_kinds kinds;
    const struct traffic_layout l = {&r, &small_model, 1, 2};
    r.sync = SYNC_DILOCO;
    r.sync_warmup_steps = 3;
    r.sync_steps = 10;
    assert_int_equal(traffic_kinds_find(&kinds, &l, 103), OK);
    assert_int_equal(kinds.n, 3);
    static const int64_t steps[] = {3, 90, 10}, first[] = {0, 3, 12};
    const size_t dense = 4 * params_values(&small_model, 0, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kinds.all[i].steps, steps[i]);
        assert_int_equal(kinds.all[i].step, first[i]);
        assert_int_equal(kinds.all[i].bytes, i == 1 ? 0 : dense);
    }
}

/* Eight machines of a line, each with fast links to its neighbours only, out of order: the ring that goes up over the
 * even ones and down over the odd ones has no link over more than two, and any has one over two at least. */
static void rings_take_fast_links(void **state)
{
    (void)state;
    enum { N = 8 };
    struct recipe recipe = small_recipe();
    const struct step_task task = {&small_model, &recipe};
    struct buf text = {0};
    struct cluster c;
    struct placement_step_model *m;
    struct placement p;
    static const int places[N] = {3, 6, 0, 5, 1, 7, 4, 2};
    buf_puts(&text, "machine: {tflops: 1, memory_gb: 1}\nlink: {gbps: 1, latency_ms: 0}\nmachines:\n");
    for (int i = 0; i < N; i++)
        buf_printf(&text, "  - {name: m%d}\n", places[i]);
    buf_puts(&text, "links:\n");
    for (int i = 0; i < N; i++)
        for (int k = 0; k < i; k++)
            buf_printf(&text, "  - {between: [m%d, m%d], latency_ms: %d}\n", i, k, 1000 * (i - k));
    read_text(&c, text.data);
    recipe.batch_size = 2 * N;
    assert_int_equal(placement_step_model_create(&m, &task, 1, N, SCHEDULE_1F1B, &c), OK);
    assert_int_equal(placement_create(&p, &(struct placement_task){1, N, 1, 1}, N), OK);
    assert_true(placement_step_estimate(m, &p).sync_s > 2 * (N - 1) * 5.0);
    assert_int_equal(placement_step_order(m, &p), OK);
    assert_each_device_once(&p, N);
    const double sync_s = placement_step_estimate(m, &p).sync_s;
    assert_true(sync_s > 2 * (N - 1) * 2.0 && sync_s < 2 * (N - 1) * 2.1);
    placement_step_model_free(m);
    placement_free(&p);
    cluster_free(&c);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_stage_computes_and_averages),
        cmocka_unit_test(two_stages_wait_for_messages),
        cmocka_unit_test(network_cards_limit_links),
        cmocka_unit_test(memory_is_checked_by_rank),
        cmocka_unit_test(steps_are_means_over_the_run),
        cmocka_unit_test(what_is_published_comes_out),
        cmocka_unit_test(other_algorithms_send_what_papers_say),
        cmocka_unit_test(steps_come_in_kinds),
        cmocka_unit_test(rings_take_fast_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
