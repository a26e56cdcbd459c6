// SPDX-License-Identifier: Apache-2.0
/* Activations as differences from what both sides remember: the two sides stay the same bits, what quantising loses
 * falls from visit to visit as derived, and runs send what formulas say; and epochs, in which sequences come again. */
#include <math.h>

#include "base/half.h"
#include "base/rng.h"
#include "dist/delta_cache.h"
#include "dist/wire.h"
#include "formats/source.h"
#include "tiny_run.h"

enum { ROWS = 5, COLS = 37, N = ROWS * COLS, ENTRIES = 3, EPOCH = 2 };

/* ---- Both ends of a boundary ---- */

struct boundary {
    struct delta_cache sender, receiver;
    uint8_t message[4 * N];
    float got[N];
};

static void open_boundary(struct boundary *b, const struct dense *delta)
{
    *b = (struct boundary){0};
    must(delta_cache_open(&b->sender, ENTRIES, ROWS, COLS, delta));
    must(delta_cache_open(&b->receiver, ENTRIES, ROWS, COLS, delta));
}

static void close_boundary(struct boundary *b)
{
    delta_cache_close(&b->sender);
    delta_cache_close(&b->receiver);
}

/* Sends x and expects both to remember the same bits, which are what the receiver has. */
static void pass_on(struct boundary *b, size_t i, const float *x)
{
    const size_t bytes = delta_cache_message_bytes(&b->sender, i);
    assert_int_equal(bytes, delta_cache_message_bytes(&b->receiver, i));
    assert_true(bytes <= sizeof b->message);
    must(delta_cache_encode(&b->sender, i, b->message, x));
    must(delta_cache_decode(&b->receiver, i, b->got, b->message));
    assert_memory_equal(b->sender.last, b->receiver.last, ENTRIES * N * sizeof *b->sender.last);
    assert_memory_equal(b->sender.known, b->receiver.known, ENTRIES * sizeof *b->sender.known);
    for (size_t k = 0; k < N; k++) {
        const float remembered = f16_to_f32(b->receiver.last[i * N + k]);
        assert_memory_equal(&b->got[k], &remembered, sizeof remembered);
    }
}

/* Numbers of either sign, rows of different sizes. */
static void fill(float *x, uint64_t number)
{
    for (size_t k = 0; k < N; k++) {
        const double u = rng_uniform(11, number, k) - 0.5;
        x[k] = (float)(u * pow(4, (double)(k / COLS) - 2));
    }
}

static void both_sides_remember_the_same_and_send_as_many_bytes_as_said(void **state)
{
    (void)state;
    static const enum train_wire wires[] = {TRAIN_WIRE_AQ_INT8, TRAIN_WIRE_AQ_INT4};
    for (size_t w = 0; w < 2; w++) {
        const struct dense delta = wire_of_moves(wires[w]);
        const size_t bits = wires[w] == TRAIN_WIRE_AQ_INT8 ? 8 : 4;
        struct boundary b;
        float x[N];
        open_boundary(&b, &delta);
        for (uint64_t visit = 0; visit < 4; visit++)
            for (size_t i = 0; i < ENTRIES; i++) {
                const size_t expected = visit ? ROWS * (2 + (COLS * bits + 7) / 8) : 2 * (size_t)N;
                fill(x, visit * ENTRIES + i);
                assert_int_equal(delta_cache_message_bytes(&b.sender, i), expected);
                pass_on(&b, i, x);
                for (size_t k = 0; !visit && k < N; k++) /* the first time it is x in fp16 */
                    assert_int_equal(b.receiver.last[i * N + k], f16_from_f32(x[k]));
            }
        close_boundary(&b);
    }
}

static double largest(const float *x, const float *y, size_t n)
{
    double most = 0;
    for (size_t k = 0; k < n; k++)
        most = fmax(most, fabs((double)x[k] - (y ? (double)y[k] : 0)));
    return most;
}

/* x stays, as of a model that has come to rest, and what is remembered was something else. With the largest difference
 * m of a row before a visit, its scale is m (1 + d), |d| <= 2^-8 (bf16); a difference is off by half a step of it,
 * m (1 + 2^-8) / (2^b - 2), or, if the scale is too small, by 2^-8 m more than the largest level, which is less than
 * that for 4 bits, and for 8 at most m (1 + 2^-7) / (2^b - 2). Then the sum is rounded to fp16, 2^-11 of it, or 2^-25
 * where it is subnormal; products in fp32 are off by less than 2^-20 of that. */
static void what_is_lost_falls_from_visit_to_visit(void **state)
{
    (void)state;
    static const enum train_wire wires[] = {TRAIN_WIRE_AQ_INT8, TRAIN_WIRE_AQ_INT4};
    for (size_t w = 0; w < 2; w++) {
        const struct dense delta = wire_of_moves(wires[w]);
        const double levels = wires[w] == TRAIN_WIRE_AQ_INT8 ? 254 : 14;
        struct boundary b;
        float x[N], before[N];
        open_boundary(&b, &delta);
        fill(x, 100);
        pass_on(&b, 1, x);
        fill(x, 101);
        for (int visit = 0; visit < 6; visit++) {
            memcpy(before, b.got, sizeof before);
            pass_on(&b, 1, x);
            for (size_t r = 0; r < N; r += COLS) {
                const double m = largest(x + r, before + r, COLS), now = largest(x + r, b.got + r, COLS);
                const double most = m * (1 + 0x1p-7) / levels * (1 + 0x1p-20);
                if (!(now <= most + 0x1p-11 * (largest(x + r, NULL, COLS) + most) * (1 + 0x1p-20) + 0x1p-25))
                    fail_msg("%g levels, visit %d, row %zu: off by %g, before by %g", levels, visit, r / COLS, now, m);
                if (visit == 0)
                    assert_true(now > 0x1p-11 * largest(x + r, NULL, COLS)); /* there is something to lose */
                /* in the end it is fp16's rounding, and what the last visit has left of the one before */
                if (visit == 5) assert_true(now <= 0x1p-11 * 1.1 * largest(x + r, NULL, COLS));
            }
        }
        close_boundary(&b);
    }
}

/* x - a and a + (x - a) are rounded to fp32, each by 2^-24 of |x| + |a|, and the result to fp16. */
static void differences_in_fp32_are_the_activations_in_fp16(void **state)
{
    (void)state;
    const struct dense exact = {.kind = DENSE_F32};
    struct boundary b;
    float x[N], before[N];
    open_boundary(&b, &exact);
    for (uint64_t visit = 0; visit < 3; visit++) {
        memcpy(before, b.got, sizeof before);
        fill(x, 200 + visit);
        pass_on(&b, 0, x);
        for (size_t k = 0; k < N; k++) {
            const double size = fabs((double)x[k]), was = fabs((double)before[k]);
            const double sum = 0x1p-23 * (2 * size + was);
            assert_true(fabs((double)b.got[k] - (double)x[k]) <= sum + 0x1p-11 * (size + sum) + 0x1p-25);
        }
    }
    close_boundary(&b);
}

static void what_is_no_number_is_forgotten_by_both(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -70000};
    const struct dense delta = wire_of_moves(TRAIN_WIRE_AQ_INT4);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int first = 0; first < 2; first++) {
            struct boundary b;
            float x[N];
            open_boundary(&b, &delta);
            fill(x, 300);
            if (!first) pass_on(&b, 2, x);
            x[COLS + 3] = bad[i];
            pass_on(&b, 2, x);
            assert_false(b.sender.known[2]);
            fill(x, 301);
            assert_int_equal(delta_cache_message_bytes(&b.receiver, 2), 2 * N);
            pass_on(&b, 2, x);
            assert_true(b.sender.known[2]);
            for (size_t k = 0; k < N; k++)
                assert_int_equal(b.receiver.last[2 * N + k], f16_from_f32(x[k]));
            close_boundary(&b);
        }
}

static void a_message_that_is_none_is_refused(void **state)
{
    (void)state;
    const struct dense delta = wire_of_moves(TRAIN_WIRE_AQ_INT4);
    struct boundary b;
    float x[N];
    open_boundary(&b, &delta);
    fill(x, 400);
    pass_on(&b, 0, x);
    must(delta_cache_encode(&b.sender, 0, b.message, x));
    b.message[2 + (COLS * 4 + 7) / 8 - 1] |= 0xf0; /* behind the last code of the first row */
    assert_int_equal(delta_cache_decode(&b.receiver, 0, b.got, b.message), E_FORMAT);
    close_boundary(&b);
}

/* ---- Runs ---- */

static void read_output(struct buf *out, const struct tiny_run *r, int step, const char *file)
{
    char path[256];
    snprintf(path, sizeof path, "%s/checkpoint-%d/%s", r->output, step, file);
    must(file_read(out, path, 1 << 28));
}

static void expect_same_weights(const struct tiny_run *a, const struct tiny_run *b, int step, const char *file)
{
    struct buf x = {0}, y = {0};
    read_output(&x, a, step, file);
    read_output(&y, b, step, file);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buf_free(&x);
    buf_free(&y);
}

/* The losses of a run's steps. */
static void read_losses(double *loss, int n, const struct tiny_run *r)
{
    char path[256];
    struct buf text = {0};
    snprintf(path, sizeof path, "%s/metrics.jsonl", r->output);
    must(file_read(&text, path, 1 << 20));
    const char *at = text.data;
    for (int i = 0; i < n; i++) {
        at = strstr(at, "\"loss\":");
        assert_non_null(at);
        at += strlen("\"loss\":");
        loss[i] = strtod(at, NULL);
    }
    assert_null(strstr(at, "\"loss\":"));
    buf_free(&text);
}

/* A model that does not learn has the same losses when the same sequences come again, prefixes included. */
static void sequences_of_an_epoch_come_again(void **state)
{
    (void)state;
    for (int layout = 0; layout < 3; layout++) {
        struct tiny_run r;
        char name[32];
        double loss[3 * EPOCH];
        snprintf(name, sizeof name, "again-%d", layout);
        tiny_begin(&r, name);
        r.recipe.learning_rate = 0;
        r.recipe.weight_decay = 0;
        r.recipe.steps = 3 * EPOCH;
        r.recipe.epoch_steps = EPOCH;
        r.recipe.data.objective = OBJECTIVE_PREFIX;
        r.recipe.data_workers = layout;
        tiny_train(&r, layout == 2 ? 2 : 0);
        read_losses(loss, 3 * EPOCH, &r);
        assert_true(loss[0] != loss[1]);
        for (int i = EPOCH; i < 3 * EPOCH; i++)
            assert_true(loss[i] == loss[i - EPOCH]);
        tiny_end(&r);
    }
}

static void a_run_stopped_within_an_epoch_goes_on_to_the_bit(void **state)
{
    (void)state;
    struct tiny_run whole, parts;
    tiny_begin(&whole, "epochs-whole");
    tiny_begin(&parts, "epochs-parts");
    whole.recipe.epoch_steps = parts.recipe.epoch_steps = 3;
    whole.recipe.steps = 8;
    tiny_train(&whole, 0);
    for (int steps = 2; steps <= 8; steps += 2) { /* 6: where an epoch ends */
        parts.recipe.steps = steps;
        tiny_train(&parts, 0);
        parts.resume = true;
    }
    expect_same_weights(&parts, &whole, 8, "model.safetensors");
    expect_same_weights(&parts, &whole, 8, "trainer_state.json");
    tiny_end(&whole);
    tiny_end(&parts);
}

static void begin_stages(struct tiny_run *r, const char *name, int stages, int wire, int steps)
{
    tiny_begin(r, name);
    r->recipe.pipeline_stages = stages;
    r->recipe.wire_activations = wire;
    r->recipe.epoch_steps = EPOCH;
    r->recipe.steps = steps;
}

static void the_first_epoch_is_one_of_fp16(void **state)
{
    (void)state;
    struct tiny_run aq, fp16;
    begin_stages(&aq, "first-aq", 2, TRAIN_WIRE_AQ_INT4, EPOCH + 1);
    begin_stages(&fp16, "first-fp16", 2, TRAIN_WIRE_FP16, EPOCH + 1);
    aq.recipe.save_steps = fp16.recipe.save_steps = EPOCH;
    tiny_train(&aq, 4);
    tiny_train(&fp16, 4);
    for (int stage = 1; stage <= 2; stage++) {
        char file[64];
        snprintf(file, sizeof file, "model-%05d-of-00002.safetensors", stage);
        expect_same_weights(&aq, &fp16, EPOCH, file);
    }
    tiny_end(&aq);
    tiny_end(&fp16);
}

/* Of a stage: so many messages whole, so many as differences, of one sequence each. */
static uint64_t bytes_of(int whole, int moves, int bits)
{
    const int rows = TINY_SEQ_LEN, cols = TINY_WIDTH;
    return (uint64_t)(whole * 2 * rows * cols + moves * rows * (2 + cols * bits / 8));
}

static void what_is_sent_is_what_the_formula_says(void **state)
{
    (void)state;
    static const int schedules[] = {PIPELINE_GPIPE, PIPELINE_1F1B, PIPELINE_ZB_H1};
    for (int i = 0; i < 3; i++) {
        const int bits = i % 2 ? 8 : 4, stages = i == 2 ? 4 : 2, steps = 3 * EPOCH + 1, M = TINY_BATCH / (4 / stages);
        struct tiny_run r;
        char name[32];
        snprintf(name, sizeof name, "bytes-%d", i);
        begin_stages(&r, name, stages, bits == 8 ? TRAIN_WIRE_AQ_INT8 : TRAIN_WIRE_AQ_INT4, steps);
        r.recipe.pipeline_schedule = schedules[i];
        tiny_train(&r, 4);
        for (int rank = 0; rank < 4; rank++) {
            const bool last = rank % stages == stages - 1;
            assert_int_equal(r.sent[rank][NET_ACTIVATIONS], last ? 0 : bytes_of(M * EPOCH, M * (steps - EPOCH), bits));
        }
        /* What is remembered is not in checkpoints. */
        r.resume = true;
        r.recipe.steps = steps + 2 * EPOCH;
        tiny_train(&r, 4);
        assert_int_equal(r.sent[0][NET_ACTIVATIONS], bytes_of(M * EPOCH, M * EPOCH, bits));
        tiny_end(&r);
    }
}

/* The norm of a run's weights' difference from another's. */
static double distance(const struct tiny_run *a, const struct tiny_run *b)
{
    struct source *x = NULL, *y = NULL;
    char dir[256];
    double sum = 0;
    snprintf(dir, sizeof dir, "%s/checkpoint-%d", a->output, (int)a->recipe.steps);
    must(source_open_dir(&x, dir));
    snprintf(dir, sizeof dir, "%s/checkpoint-%d", b->output, (int)b->recipe.steps);
    must(source_open_dir(&y, dir));
    for (int i = 0; i < x->n_entries; i++) {
        const struct tensor *u = &x->entries[i].tensor, *v = source_find(y, x->entries[i].name);
        assert_non_null(v);
        for (int64_t k = 0; k < tensor_elements(u); k++)
            sum += pow((double)((const float *)u->data)[k] - (double)((const float *)v->data)[k], 2);
    }
    source_close(x);
    source_close(y);
    return sqrt(sum);
}

/* Four epochs with a small step: activations move little from one to the next, so their differences are small. */
static void differences_train_as_uncompressed_activations_do(void **state)
{
    (void)state;
    static const int wires[] = {TRAIN_WIRE_FP32, TRAIN_WIRE_INT4, TRAIN_WIRE_AQ_INT4};
    struct tiny_run runs[3];
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "train-%d", i);
        begin_stages(&runs[i], name, 4, wires[i], 4 * EPOCH);
        runs[i].recipe.learning_rate = 0.002;
        tiny_train(&runs[i], 4);
    }
    const double direct = distance(&runs[1], &runs[0]), differences = distance(&runs[2], &runs[0]);
    if (!(direct > 0 && differences < direct / 4))
        fail_msg("weights differ by %g, and %g where int4 is direct", differences, direct);
    for (int i = 0; i < 3; i++)
        tiny_end(&runs[i]);
}

/* ---- What cannot be ---- */

static void what_cannot_be_remembered_is_refused(void **state)
{
    (void)state;
    struct tiny_run r;
    begin_stages(&r, "refused", 2, TRAIN_WIRE_AQ_INT8, 3);
    must(recipe_check(&r.recipe));
    r.recipe.epoch_steps = 0;
    assert_int_equal(recipe_check(&r.recipe), E_ARG);
    assert_non_null(strstr(status_message(), "no sequence comes twice; give \"epoch_steps\""));
    r.recipe.epoch_steps = 3;
    assert_int_equal(recipe_check(&r.recipe), E_ARG);
    assert_non_null(strstr(status_message(), "in 3 \"steps\" none comes twice, as \"epoch_steps\" is 3"));
    r.recipe.epoch_steps = 2;
    r.recipe.aq_cache = 2e-6; /* 2 steps of 4 sequences of 16 x 16 values take 4096 bytes */
    assert_int_equal(local_run(4, tiny_rank, &r), E_ARG);
    if (!strstr(status_message(),
                "to remember 8 sequences of an epoch a rank takes 4.1e-06 GB, and \"aq_cache\" is 2e-06"))
        fail_msg("%s", status_message());
    r.recipe.aq_cache = 4.097e-6;
    tiny_train(&r, 4);
    tiny_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_remember_the_same_and_send_as_many_bytes_as_said),
        cmocka_unit_test(what_is_lost_falls_from_visit_to_visit),
        cmocka_unit_test(differences_in_fp32_are_the_activations_in_fp16),
        cmocka_unit_test(what_is_no_number_is_forgotten_by_both),
        cmocka_unit_test(a_message_that_is_none_is_refused),
        cmocka_unit_test(sequences_of_an_epoch_come_again),
        cmocka_unit_test(a_run_stopped_within_an_epoch_goes_on_to_the_bit),
        cmocka_unit_test(the_first_epoch_is_one_of_fp16),
        cmocka_unit_test(what_is_sent_is_what_the_formula_says),
        cmocka_unit_test(differences_train_as_uncompressed_activations_do),
        cmocka_unit_test(what_cannot_be_remembered_is_refused),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_remove);
}
