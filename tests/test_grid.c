// SPDX-License-Identifier: Apache-2.0
/* Runs on several ranks, as threads, against runs alone: every layout and schedule gives the weights that one process
 * gives, algorithms are what they become at the ends of their settings, what is sent is what formulas say, and a run
 * that goes on from a checkpoint is one that never stopped. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dist/traffic.h"
#include "formats/source.h"
#include "net/collectives.h"
#include "net/shaped.h"
#include "tiny_run.h"

enum { STEPS = 3 };

static char model_dir[64], tied_dir[64], odd_dir[64];

static int make_all(void **state)
{
    if (tiny_make(state)) return -1;
    snprintf(model_dir, sizeof model_dir, "%s/model", tiny_directory);
    snprintf(tied_dir, sizeof tied_dir, "%s/tied", tiny_directory);
    snprintf(odd_dir, sizeof odd_dir, "%s/odd", tiny_directory);
    tiny_model(odd_dir, 24, false); /* vectors that are filled up */
    return 0;
}

static void begin(struct tiny_run *r, const char *name)
{
    tiny_begin(r, name);
    r->recipe.save_steps = r->recipe.eval_steps = STEPS;
}

static struct source *weights_of(const struct tiny_run *r, int step)
{
    char dir[256];
    struct source *s = NULL;
    snprintf(dir, sizeof dir, "%s/checkpoint-%d", r->output, step);
    must(source_open_dir(&s, dir));
    return s;
}

/* The largest difference of all weights, and how far the second run has moved from the beginning at most. */
static double difference(const struct tiny_run *a, const struct tiny_run *b, int step, double *moved)
{
    struct source *x = weights_of(a, step), *y = weights_of(b, step), *start = NULL;
    double most = 0;
    must(source_open_dir(&start, b->recipe.model));
    *moved = 0;
    assert_int_equal(x->n_entries, y->n_entries);
    for (int i = 0; i < x->n_entries; i++) {
        const struct tensor *u = &x->entries[i].tensor, *v = source_find(y, x->entries[i].name);
        const struct tensor *w = source_find(start, x->entries[i].name);
        assert_non_null(v);
        assert_non_null(w);
        for (int64_t k = 0; k < tensor_elements(u); k++) {
            const double at = ((const float *)v->data)[k], d = fabs(((const float *)u->data)[k] - at);
            const double m = fabs(((const float *)w->data)[k] - at);
            if (!(d <= most)) most = d;
            if (m > *moved) *moved = m;
        }
    }
    source_close(x);
    source_close(y);
    source_close(start);
    return most;
}

/* Sums of the same terms in another order: each of a few hundred thousand additions of a gradient may round otherwise,
 * by 2^-24 of sums that stay below a few times their result; an update is a smooth function of it, its epsilon being
 * far above the gradients. */
static void expect_close(const struct tiny_run *a, const struct tiny_run *b, int step)
{
    double moved, d = difference(a, b, step, &moved);
    assert_true(moved > 0.001);
    if (!(d <= 1e-4 * moved)) fail_msg("%s and %s differ by %g, having moved by %g", a->output, b->output, d, moved);
}

static void expect_same_bits(const struct tiny_run *a, const struct tiny_run *b, int step)
{
    double moved, d = difference(a, b, step, &moved);
    assert_true(moved > 0.001);
    if (d != 0) fail_msg("%s and %s differ by %g, having moved by %g", a->output, b->output, d, moved);
}

/* ---- Layouts ---- */

static void every_layout_and_schedule_gives_the_weights_of_one_process(void **state)
{
    (void)state;
    static const int layouts[][2] = {{1, 1}, {2, 1}, {4, 1}, {1, 2}, {1, 4}, {2, 2}, {4, 2}};
    for (int tied = 0; tied < 2; tied++) {
        struct tiny_run alone;
        begin(&alone, tied ? "alone-tied" : "alone");
        if (tied) alone.recipe.model = tied_dir;
        tiny_train(&alone, 0);
        for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
            const int D = layouts[i][0], P = layouts[i][1];
            struct tiny_run runs[3];
            for (int schedule = PIPELINE_GPIPE; schedule <= PIPELINE_ZB_H1; schedule++) {
                struct tiny_run *r = &runs[schedule];
                char name[64];
                snprintf(name, sizeof name, "%d-%d-%d-%d", tied, D, P, schedule);
                begin(r, name);
                r->recipe.pipeline_stages = P;
                r->recipe.pipeline_schedule = schedule;
                if (tied) r->recipe.model = tied_dir;
                tiny_train(r, D * P);
                if (D == 1 && !tied)
                    expect_same_bits(r, &alone, STEPS);
                else
                    expect_close(r, &alone, STEPS);
                expect_same_bits(r, &runs[0], STEPS);
            }
            for (int schedule = 0; schedule < 3; schedule++)
                tiny_end(&runs[schedule]);
        }
        tiny_end(&alone);
    }
}

static void clipping_and_precisions_are_those_of_one_process(void **state)
{
    (void)state;
    for (int precision = PRECISION_FP32; precision <= PRECISION_FP16; precision++) {
        struct tiny_run alone, grid;
        begin(&alone, precision == PRECISION_FP32 ? "clip" : precision == PRECISION_BF16 ? "clip-bf16" : "clip-fp16");
        begin(&grid, precision == PRECISION_FP32 ? "clip4" : precision == PRECISION_BF16 ? "clip4-bf16" : "clip4-fp16");
        struct tiny_run *both[] = {&alone, &grid};
        for (int i = 0; i < 2; i++) {
            both[i]->recipe.max_grad_norm = 0.2;
            both[i]->recipe.precision = precision;
        }
        grid.recipe.pipeline_stages = 2;
        tiny_train(&alone, 0);
        tiny_train(&grid, 4);
        if (precision == PRECISION_FP32) expect_close(&grid, &alone, STEPS);
        double moved, d = difference(&grid, &alone, STEPS, &moved);
        if (!(d <= 0.05 * moved)) fail_msg("precision %d: differ by %g of %g", precision, d, moved);
        tiny_end(&alone);
        tiny_end(&grid);
    }
}

/* ---- Validation ---- */

static double last_validation(const struct tiny_run *r)
{
    char path[256], line[4096], *at;
    double loss = NAN;
    snprintf(path, sizeof path, "%s/metrics.jsonl", r->output);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if ((at = strstr(line, "\"validation_loss\": "))) loss = strtod(at + strlen("\"validation_loss\": "), NULL);
    fclose(f);
    return loss;
}

/* Replicas that have gone apart validate what the checkpoint has: a process of its own finds the same loss, but for
 * the order of its sum, and without validations the run has the same bits. */
static void validation_is_of_the_model_that_a_checkpoint_has(void **state)
{
    (void)state;
    static const int syncs[] = {SYNC_PROXSKIP, SYNC_DILOCO, SYNC_COCKTAIL, SYNC_STREAMING, SYNC_SPARSE};
    for (int i = 0; i < 10; i++) {
        struct tiny_run apart, without, alone;
        char names[3][32], checkpoint[256];
        snprintf(names[0], sizeof names[0], "validated-%d", i);
        snprintf(names[1], sizeof names[1], "not-validated-%d", i);
        snprintf(names[2], sizeof names[2], "validated-alone-%d", i);
        begin(&apart, names[0]);
        begin(&without, names[1]);
        begin(&alone, names[2]);
        for (int k = 0; k < 2; k++) {
            struct recipe *r = k ? &without.recipe : &apart.recipe;
            r->sync = syncs[i / 2];
            r->sync_probability = 0.1;
            r->sync_steps = 2;
            r->sync_fragments = 1;
            r->pipeline_stages = 2;
            r->eval_steps = k ? 0 : 1;
            if (i % 2) r->model = tied_dir;
            tiny_train(k ? &without : &apart, 4);
        }
        expect_same_bits(&apart, &without, STEPS);
        snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint-%d", apart.output, STEPS);
        alone.recipe.model = checkpoint;
        alone.recipe.learning_rate = 0;
        alone.recipe.steps = alone.recipe.eval_steps = 1;
        tiny_train(&alone, 0);
        const double loss = last_validation(&apart), should = last_validation(&alone);
        if (!(fabs(loss - should) <= 1e-6 * should)) fail_msg("%s: %.9g, not %.9g", apart.output, loss, should);
        tiny_end(&apart);
        tiny_end(&without);
        tiny_end(&alone);
    }
}

/* ---- Algorithms ---- */

static void a_divided_optimizer_gives_the_weights_of_a_whole_one(void **state)
{
    (void)state;
    struct tiny_run whole, divided;
    for (int D = 2; D <= 4; D += 2) {
        begin(&whole, D == 2 ? "whole-2" : "whole-4");
        begin(&divided, D == 2 ? "divided-2" : "divided-4");
        divided.recipe.sync = SYNC_SHARDED;
        tiny_train(&whole, D);
        tiny_train(&divided, D);
        if (D == 2) /* a sum of two terms has one order */
            expect_same_bits(&divided, &whole, STEPS);
        else
            expect_close(&divided, &whole, STEPS);
        tiny_end(&whole);
        tiny_end(&divided);
    }
}

/* Where epsilon is far above all gradients a step is linear in its gradient, and the mean of steps is a step with the
 * mean, as all replicas have the same number of targets. */
static void averaging_in_every_step_is_one_thing_by_any_name(void **state)
{
    (void)state;
    struct tiny_run runs[5];
    static const char *const names[] = {"mean-allreduce", "mean-proxskip", "mean-diloco", "mean-shifted", "mean-bf16"};
    for (int i = 0; i < 5; i++) {
        begin(&runs[i], names[i]);
        struct recipe *r = &runs[i].recipe;
        r->adam_epsilon = 1e3;
        r->learning_rate = 10;
        r->weight_decay = 0;
        r->sync = i == 0 ? SYNC_ALLREDUCE : i == 2 || i == 4 ? SYNC_DILOCO : SYNC_PROXSKIP;
        if (i == 4) r->sync_wire = TRAIN_WIRE_BF16;
        r->sync_probability = 1;
        r->sync_steps = 1;
        r->outer_learning_rate = 1;
        r->outer_momentum = 0;
        r->proxskip = i == 3 ? PROXSKIP_SHIFTED : PROXSKIP_LOCAL;
        tiny_train(&runs[i], 4);
    }
    for (int i = 1; i < 4; i++)
        expect_close(&runs[i], &runs[0], STEPS);
    expect_close(&runs[2], &runs[1], STEPS);
    /* Each of two ways rounds by 2^-9 of what is moved in the last of the steps; the feedback mends those before. */
    double moved, d = difference(&runs[4], &runs[0], STEPS, &moved);
    if (!(d > 0 && d <= 0x1p-8 * moved)) fail_msg("bf16 differs by %g, having moved by %g", d, moved);
    for (int i = 0; i < 5; i++)
        tiny_end(&runs[i]);
}

/* Cocktail averages what the last step led to, before this one: after the last step a replica is off by its own step.
 * With a learning rate of zero in that step all have the mean of what the others before led to, which is allreduce's.
 */
static void cocktail_with_all_its_values_is_the_mean_one_step_late(void **state)
{
    (void)state;
    struct tiny_run mean, late;
    begin(&mean, "late-mean");
    begin(&late, "late-cocktail");
    struct tiny_run *both[] = {&mean, &late};
    for (int i = 0; i < 2; i++) {
        struct recipe *r = &both[i]->recipe;
        r->adam_epsilon = 1e3;
        r->learning_rate = 10;
        r->weight_decay = 0;
        r->steps = i + 1;
        r->sync = i ? SYNC_COCKTAIL : SYNC_ALLREDUCE;
        r->cocktail_sample = 1;
        r->cocktail_keep = 1;
        r->cocktail_bits = 32;
        tiny_train(both[i], 4);
    }
    struct source *x = weights_of(&mean, 1), *y = weights_of(&late, 2);
    double most = 0;
    for (int i = 0; i < x->n_entries; i++) {
        const struct tensor *u = &x->entries[i].tensor, *v = source_find(y, x->entries[i].name);
        for (int64_t k = 0; k < tensor_elements(u); k++)
            most = fmax(most, fabs((double)((const float *)u->data)[k] - ((const float *)v->data)[k]));
    }
    source_close(x);
    source_close(y);
    if (!(most <= 1e-6)) fail_msg("differ by %g", most); /* of weights up to one, in fp32 */
    tiny_end(&mean);
    tiny_end(&late);
}

/* The same two replicas, in one piece and in two: sums of two have one order. A tied embedding has its gradient from
 * two ranks, in another order. */
static void stages_do_not_change_what_replicas_do(void **state)
{
    (void)state;
    static const int syncs[] = {SYNC_PROXSKIP, SYNC_PROXSKIP, SYNC_DILOCO, SYNC_COCKTAIL, SYNC_STREAMING, SYNC_SPARSE};
    for (int i = 0; i < 2 * (int)(sizeof syncs / sizeof *syncs); i++) {
        struct tiny_run runs[2];
        for (int k = 0; k < 2; k++) {
            char name[32];
            snprintf(name, sizeof name, "stages-%d-%d", i, k + 1);
            begin(&runs[k], name);
            struct recipe *r = &runs[k].recipe;
            r->model = i % 2 ? tied_dir : model_dir;
            r->sync = syncs[i / 2];
            r->proxskip = i / 2 ? PROXSKIP_SHIFTED : PROXSKIP_LOCAL;
            r->sync_probability = 0.5;
            r->sync_steps = r->sync_fragments = 2;
            r->cocktail_sample = r->cocktail_keep = r->sparse_keep = 1;
            r->cocktail_bits = r->sparse_bits = 32;
            r->pipeline_stages = k + 1;
            r->steps = 5;
            r->save_steps = 0;
            tiny_train(&runs[k], 2 * (k + 1));
        }
        if (i % 2)
            expect_close(&runs[1], &runs[0], 5);
        else
            expect_same_bits(&runs[1], &runs[0], 5);
        tiny_end(&runs[0]);
        tiny_end(&runs[1]);
    }
}

static void dense_steps_at_first_are_those_of_allreduce(void **state)
{
    (void)state;
    struct tiny_run dense, warm;
    begin(&dense, "dense");
    tiny_train(&dense, 4);
    for (int sync = SYNC_PROXSKIP; sync <= SYNC_SPARSE; sync++) {
        char name[32];
        snprintf(name, sizeof name, "warm-%d", sync);
        begin(&warm, name);
        warm.recipe.sync = sync;
        warm.recipe.sync_warmup_steps = STEPS;
        tiny_train(&warm, 4);
        if (sync == SYNC_PROXSKIP)
            expect_close(&warm, &dense, STEPS); /* the checkpoint has a mean of equal numbers */
        else
            expect_same_bits(&warm, &dense, STEPS);
        tiny_end(&warm);
    }
    tiny_end(&dense);
}

/* Four members' rings over n values, in fp32. */
static size_t ring_bytes(size_t n, int me)
{
    return group_ring_bytes(n, 4, NULL, 4, me, true) + group_ring_bytes(n, 4, NULL, 4, me, false);
}

/* Bytes by rank, once as they are and once as they should be. */
struct counted {
    struct tiny_run run;
    size_t sent[TINY_MAX_RANKS], should[TINY_MAX_RANKS];
};

static void count_bytes(struct tiny_run *r, struct transport *t, struct team *team)
{
    struct counted *c = (struct counted *)r;
    c->sent[t->rank] = r->sent[t->rank][NET_SYNC];
    c->should[t->rank] = 0;
    for (int64_t step = 0; step < r->recipe.steps; step++)
        c->should[t->rank] += grid_sync_bytes(team, step);
}

static void what_is_sent_is_what_the_formulas_say(void **state)
{
    (void)state;
    static const struct {
        int sync, warmup, wire;
    } cases[] = {{SYNC_ALLREDUCE, 0, 0},
                 {SYNC_SHARDED, 0, 0},
                 {SYNC_PROXSKIP, 2, 0},
                 {SYNC_DILOCO, 0, 0},
                 {SYNC_DILOCO, 3, 0},
                 {SYNC_DILOCO, 0, TRAIN_WIRE_INT8},
                 {SYNC_DILOCO, 0, TRAIN_WIRE_INT4},
                 {SYNC_COCKTAIL, 2, 0},
                 {SYNC_STREAMING, 0, 0},
                 {SYNC_STREAMING, 3, TRAIN_WIRE_FP16},
                 {SYNC_STREAMING, 0, TRAIN_WIRE_INT4},
                 {SYNC_SPARSE, 0, 0},
                 {SYNC_SPARSE, 3, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct counted x;
        struct tiny_run *r = &x.run;
        char name[32];
        snprintf(name, sizeof name, "bytes-%zu", i);
        begin(r, name);
        r->look = count_bytes;
        r->recipe.steps = 9;
        r->recipe.save_steps = 0;
        r->recipe.eval_steps = 9; /* and a checkpoint, for both of which proxskip's parameters are averaged once */
        r->recipe.sync = cases[i].sync;
        r->recipe.sync_warmup_steps = cases[i].warmup;
        r->recipe.sync_wire = cases[i].wire;
        r->recipe.sync_probability = 0.4;
        r->recipe.sync_steps = r->recipe.sync_fragments = 3;
        tiny_train(r, 4);
        struct source *w = weights_of(r, 9);
        size_t n = 0;
        for (int k = 0; k < w->n_entries; k++)
            n += ((size_t)tensor_elements(&w->entries[k].tensor) + 15) / 16 * 16;
        source_close(w);
        for (int rank = 0; rank < 4; rank++) {
            if (cases[i].sync == SYNC_PROXSKIP) x.should[rank] += ring_bytes(n, rank); /* that mean */
            assert_int_equal(x.sent[rank], x.should[rank]);
        }
        if (cases[i].sync == SYNC_ALLREDUCE) assert_int_equal(x.sent[1], 9 * ring_bytes(n, 1));
        const double dense = (double)ring_bytes(n, 1);
        const bool outer = cases[i].sync == SYNC_DILOCO || cases[i].sync == SYNC_STREAMING;
        if (outer && !cases[i].warmup && !cases[i].wire) /* fragments are multiples of four values */
            assert_int_equal(x.sent[1], 3 * ring_bytes(n, 1));
        if (cases[i].wire && !cases[i].warmup) { /* a bf16 scale for 128 values */
            const double bits = cases[i].wire == TRAIN_WIRE_INT8 ? 8.125 : 4.125;
            if (!(fabs((double)x.sent[1] / (3 * dense) - bits / 32) < 1e-3)) fail_msg("%zu bytes", x.sent[1]);
        }
        if (cases[i].sync == SYNC_SPARSE && !cases[i].warmup) { /* to three others; 2 bits, a scale each 64, 12 bits */
            const size_t kept = n / 4096 * 64 + (n % 4096 < 64 ? n % 4096 : 64);
            assert_int_equal(x.sent[1], 3 * 3 * (kept * 2 / 8 + (kept + 63) / 64 * 2 + kept * 12 / 8));
        }
        if (cases[i].sync == SYNC_COCKTAIL) { /* of a tenth a bit each, and for a fifth of these 4 and a scale */
            const double bits = 0.1 * (1 + 0.2 * 4.125);
            if (!(fabs(((double)x.sent[1] - 2 * dense) / (7 * dense) - bits / 32) < 1e-3)) fail_msg("%zu", x.sent[1]);
        }
        tiny_end(r);
    }
}

static uint64_t between_stages(const struct tiny_run *r, int rank)
{
    return r->sent[rank][NET_ACTIVATIONS] + r->sent[rank][NET_GRADIENTS];
}

static void stages_send_what_the_formula_says(void **state)
{
    (void)state;
    static const struct {
        int schedule, activations, gradients;
    } cases[] = {{PIPELINE_1F1B, TRAIN_WIRE_FP32, TRAIN_WIRE_FP32},
                 {PIPELINE_GPIPE, TRAIN_WIRE_BF16, TRAIN_WIRE_INT8},
                 {PIPELINE_ZB_H1, TRAIN_WIRE_INT4, TRAIN_WIRE_FP16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny_run r;
        struct checkpoint_config c;
        char name[32];
        snprintf(name, sizeof name, "messages-%zu", i);
        begin(&r, name);
        r.recipe.eval_steps = 0;
        r.recipe.pipeline_stages = 4;
        r.recipe.pipeline_schedule = cases[i].schedule;
        r.recipe.wire_activations = cases[i].activations;
        r.recipe.wire_gradients = cases[i].gradients;
        tiny_train(&r, 8);
        must(checkpoint_config_read(&c, model_dir));
        const struct traffic_layout l = {&r.recipe, &c.model, 4, 2};
        for (int rank = 0; rank < 8; rank++)
            assert_int_equal(between_stages(&r, rank), STEPS * traffic_pipeline_bytes(&l, rank % 4));
        if (i == 0) /* four micro-batches of 16 tokens, 16 wide, in fp32, up and down */
            assert_int_equal(between_stages(&r, 1), STEPS * 4 * 2 * 16 * 16 * 4);
        tiny_end(&r);
    }
}

/* What is planned without ranks is what ranks then do; parts of `sharded` end where parameters do, so these differ by
 * rank, and agree in all. */
static void compare_plan(struct tiny_run *r, struct transport *t, struct team *team)
{
    struct counted *x = (struct counted *)r;
    struct checkpoint_config c;
    must(checkpoint_config_read(&c, r->recipe.model));
    const struct traffic_layout l = {&r->recipe, &c.model, team->n_stages, team->n_replicas};
    const struct sync_shape shape = traffic_shape(&l, team->stage, team->replica);
    x->sent[t->rank] = x->should[t->rank] = 0;
    for (int64_t step = 0; step < r->recipe.steps; step++) {
        x->sent[t->rank] += grid_sync_bytes(team, step);
        x->should[t->rank] += sync_shape_bytes(&shape, step);
    }
}

static void plans_have_the_bytes_of_runs(void **state)
{
    (void)state;
    static const struct {
        int sync, wire;
        bool tied;
    } cases[] = {{SYNC_ALLREDUCE, 0, false},
                 {SYNC_ALLREDUCE, 0, true},
                 {SYNC_SHARDED, 0, false},
                 {SYNC_PROXSKIP, 0, true},
                 {SYNC_DILOCO, TRAIN_WIRE_INT4, true},
                 {SYNC_STREAMING, TRAIN_WIRE_INT4, true},
                 {SYNC_STREAMING, 0, false},
                 {SYNC_SPARSE, 0, true},
                 {SYNC_COCKTAIL, 0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct counted x;
        struct tiny_run *r = &x.run;
        char name[32];
        size_t sent = 0, should = 0;
        snprintf(name, sizeof name, "planned-%zu", i);
        begin(r, name);
        r->look = compare_plan;
        if (cases[i].tied) r->recipe.model = tied_dir;
        r->recipe.pipeline_stages = 2;
        r->recipe.sync = cases[i].sync;
        r->recipe.sync_wire = cases[i].wire;
        r->recipe.sync_steps = r->recipe.sync_fragments = 2;
        r->recipe.sync_probability = 0.5;
        tiny_train(r, 8);
        for (int rank = 0; rank < 8; rank++) {
            if (cases[i].sync != SYNC_SHARDED) assert_int_equal(x.sent[rank], x.should[rank]);
            sent += x.sent[rank];
            should += x.should[rank];
        }
        assert_true(sent > 0 && sent == should);
        tiny_end(r);
    }
}

/* ---- Going on ---- */

static void a_run_that_goes_on_is_one_that_never_stopped(void **state)
{
    (void)state;
    static const int syncs[] = {SYNC_ALLREDUCE, SYNC_SHARDED,  SYNC_PROXSKIP, SYNC_PROXSKIP,
                                SYNC_PROXSKIP,  SYNC_DILOCO,   SYNC_DILOCO,   SYNC_COCKTAIL,
                                SYNC_COCKTAIL,  SYNC_COCKTAIL, SYNC_SPARSE,   SYNC_SPARSE};
    for (size_t i = 0; i < sizeof syncs / sizeof *syncs; i++) {
        struct tiny_run whole, parts;
        char name[32];
        snprintf(name, sizeof name, "whole-run-%zu", i);
        begin(&whole, name);
        snprintf(name, sizeof name, "parts-run-%zu", i);
        begin(&parts, name);
        struct tiny_run *both[] = {&whole, &parts};
        for (int k = 0; k < 2; k++) {
            struct recipe *r = &both[k]->recipe;
            r->steps = k ? 3 : 6;
            r->sync = syncs[i];
            r->pipeline_stages = 2;
            r->sync_warmup_steps = 1;
            r->sync_probability = 0.5;
            r->sync_steps = 2;
            if (i == 3) r->proxskip = PROXSKIP_SHIFTED;
            if (i == 4) r->proxskip = PROXSKIP_FROZEN;
            if (i == 6) r->sync_wire = TRAIN_WIRE_INT4;
            if (i == 8) r->cocktail_positions = TRAIN_POSITIONS_GOLOMB;
            if (i == 9) r->cocktail_sample = r->cocktail_keep = 1;
            if (i == 11) r->sparse_positions = SPARSE_POSITIONS_GOLOMB;
            if (i == 6 || i >= 9) r->model = odd_dir;
            tiny_train(both[k], 4);
        }
        parts.recipe.steps = 6;
        parts.resume = true;
        tiny_train(&parts, 4);
        expect_same_bits(&parts, &whole, 6);
        tiny_end(&whole);
        tiny_end(&parts);
    }
}

static void another_layout_goes_on_from_a_checkpoint(void **state)
{
    (void)state;
    static const int ranks[] = {1, 4, 2, 4}, stages[] = {1, 2, 1, 1};
    struct tiny_run whole, other;
    begin(&whole, "layout-whole");
    whole.recipe.steps = 6;
    tiny_train(&whole, 0);
    for (int sync = SYNC_ALLREDUCE; sync <= SYNC_SHARDED; sync++) {
        begin(&other, sync ? "layout-other-sharded" : "layout-other");
        other.recipe.sync = sync;
        other.recipe.save_steps = 1;
        for (int i = 0; i < 4; i++) {
            other.recipe.steps = i < 3 ? i + 1 : 6;
            other.recipe.pipeline_stages = stages[i];
            tiny_train(&other, ranks[i]);
            other.resume = true;
        }
        expect_close(&other, &whole, 6);
        tiny_end(&other);
    }
    tiny_end(&whole);
    for (int sync = SYNC_PROXSKIP; sync <= SYNC_SPARSE; sync++) {
        char name[32]; /* replicas are not what they were, so only that it goes on */
        snprintf(name, sizeof name, "layout-%d", sync);
        begin(&other, name);
        other.recipe.sync = sync;
        other.recipe.sync_steps = 3;
        other.recipe.sync_fragments = 2;
        tiny_train(&other, 4);
        other.resume = true;
        other.recipe.steps = 6;
        tiny_train(&other, 2);
        tiny_end(&other);
    }
}

static void stream(struct tiny_run *r, const char *name, int steps)
{
    begin(r, name);
    r->recipe.model = odd_dir;
    r->recipe.sync = SYNC_STREAMING;
    r->recipe.sync_wire = TRAIN_WIRE_INT4;
    r->recipe.sync_warmup_steps = 1;
    r->recipe.sync_steps = 5;
    r->recipe.sync_fragments = r->recipe.sync_overlap = 2;
    r->recipe.pipeline_stages = 2;
    r->recipe.save_steps = 0;
    r->recipe.steps = steps;
}

/* From checkpoints of a fragment that has just been sent, is on its way, has just been merged, and in between. */
static void streaming_goes_on_from_every_step(void **state)
{
    (void)state;
    enum { END = 9 };
    struct tiny_run whole, parts;
    stream(&whole, "streamed", END);
    tiny_train(&whole, 4);
    for (int step = 1; step < END; step++) {
        char name[32];
        snprintf(name, sizeof name, "streamed-%d", step);
        stream(&parts, name, step);
        tiny_train(&parts, 4);
        parts.recipe.steps = END;
        parts.resume = true;
        tiny_train(&parts, 4);
        expect_same_bits(&parts, &whole, END);
        tiny_end(&parts);
    }
    tiny_end(&whole);
}

/* Asked for from the first step on. */
static void a_stop_comes_when_replicas_next_meet(void **state)
{
    (void)state;
    static const struct {
        int sync, step;
    } cases[] = {{SYNC_DILOCO, 5}, {SYNC_STREAMING, 7}, {SYNC_SPARSE, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny_run runs[2];
        for (int k = 0; k < 2; k++) {
            char name[32];
            snprintf(name, sizeof name, "stop-%zu-%d", i, k);
            stream(&runs[k], name, 9);
            runs[k].recipe.sync = cases[i].sync;
            runs[k].recipe.sync_warmup_steps = 0;
            runs[k].stop = k == 1;
            tiny_train(&runs[k], 4);
        }
        char last[256];
        snprintf(last, sizeof last, "%s/checkpoint-%d", runs[1].output, cases[i].step);
        assert_true(file_is_dir(last));
        runs[1].stop = false;
        runs[1].resume = true;
        tiny_train(&runs[1], 4);
        expect_same_bits(&runs[1], &runs[0], 9);
        tiny_end(&runs[0]);
        tiny_end(&runs[1]);
    }
}

/* Every second step overflows and is skipped: what was averaged in it is in the narrow weights all the same, as those
 * see to it who begin with them. */
static void a_skipped_step_keeps_what_was_averaged(void **state)
{
    (void)state;
    struct tiny_run whole, parts;
    for (int k = 0; k < 2; k++) {
        struct tiny_run *r = k ? &parts : &whole;
        begin(r, k ? "skipped-parts" : "skipped");
        r->recipe.sync = SYNC_COCKTAIL;
        r->recipe.cocktail_sample = 1;
        r->recipe.precision = PRECISION_FP16;
        r->recipe.loss_scale = 0x1p16;
        r->recipe.loss_scale_window = 1;
        r->recipe.loss_scale_hysteresis = 1;
        r->recipe.save_steps = 0;
    }
    enum { END = 12 };
    whole.recipe.steps = END;
    tiny_train(&whole, 2);
    for (int step = 9; step < 11; step++) {
        parts.recipe.steps = step;
        tiny_train(&parts, 2);
        parts.resume = true;
    }
    parts.recipe.steps = END;
    tiny_train(&parts, 2);
    expect_same_bits(&parts, &whole, END);
    tiny_end(&whole);
    tiny_end(&parts);
}

/* ---- What cannot be ---- */

static void ranks_that_cannot_be_laid_out_are_refused(void **state)
{
    (void)state;
    static const struct {
        int ranks, stages, batch, micro, shards, adapter;
        const char *message;
    } cases[] = {
        {3, 2, 8, 1, 0, ADAPTER_NONE, "3 ranks cannot be divided into replicas of 2 \"pipeline_stages\""},
        {3, 1, 8, 1, 0, ADAPTER_NONE,
         "\"batch_size\" is 8, not a multiple of 3 replicas times \"micro_batch_size\", 1"},
        {2, 1, 8, 8, 0, ADAPTER_NONE, "\"batch_size\" is 8, not a multiple of 2 replicas times"},
        {2, 1, 8, 1, 3, ADAPTER_NONE, "\"data_shards\" is 3, which 2 replicas do not divide"},
        {2, 1, 8, 1, 6, ADAPTER_NONE, "\"data_shards\" is 6, which 2 replicas do not divide, or which does not divide"},
        {2, 2, 8, 1, 0, ADAPTER_LORA, "adapters are trained without \"pipeline_stages\""},
        {8, 8, 8, 1, 0, ADAPTER_NONE, "model has 4 layers, too few for 8 \"pipeline_stages\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny_run r;
        begin(&r, "refused");
        r.recipe.pipeline_stages = cases[i].stages;
        r.recipe.batch_size = cases[i].batch;
        r.recipe.micro_batch_size = cases[i].micro;
        r.recipe.data_shards = cases[i].shards;
        r.recipe.adapter = cases[i].adapter;
        assert_true(local_run(cases[i].ranks, tiny_rank, &r) != OK);
        if (!strstr(status_message(), cases[i].message))
            fail_msg("'%s' does not say '%s'", status_message(), cases[i].message);
        tiny_end(&r);
    }
}

static void synchronisations_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        int sync, fragments, overlap, steps, bits;
        const char *message;
    } cases[] = {
        {SYNC_STREAMING, 5, 0, 10, 2,
         "\"sync_fragments\" is 5, more than the model's 4 layers, or than \"sync_steps\", 10"},
        {SYNC_STREAMING, 4, 0, 3, 2,
         "\"sync_fragments\" is 4, more than the model's 4 layers, or than \"sync_steps\", 3"},
        {SYNC_STREAMING, 3, 4, 10, 2,
         "\"sync_overlap\" is 4, more than the 3 steps from one of 3 \"sync_fragments\" to the next in 10"},
        {SYNC_SPARSE, 5, 4, 3, 9, "\"sparse_bits\" is 9, neither 1 to 8 nor 32"},
        {SYNC_COCKTAIL, 5, 4, 3, 9, "\"cocktail_bits\" is 9, neither 1 to 8 nor 32"},
        {SYNC_PROXSKIP, 5, 4, 3, 9, "frozen needs \"sync_warmup_steps\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny_run r;
        begin(&r, "refused");
        r.recipe.sync = cases[i].sync;
        r.recipe.sync_fragments = cases[i].fragments;
        r.recipe.sync_overlap = cases[i].overlap;
        r.recipe.sync_steps = cases[i].steps;
        r.recipe.sparse_bits = r.recipe.cocktail_bits = cases[i].bits;
        r.recipe.proxskip = PROXSKIP_FROZEN;
        assert_true(local_run(2, tiny_rank, &r) != OK);
        if (!strstr(status_message(), cases[i].message))
            fail_msg("'%s' does not say '%s'", status_message(), cases[i].message);
        tiny_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_and_schedule_gives_the_weights_of_one_process),
        cmocka_unit_test(clipping_and_precisions_are_those_of_one_process),
        cmocka_unit_test(validation_is_of_the_model_that_a_checkpoint_has),
        cmocka_unit_test(a_divided_optimizer_gives_the_weights_of_a_whole_one),
        cmocka_unit_test(averaging_in_every_step_is_one_thing_by_any_name),
        cmocka_unit_test(cocktail_with_all_its_values_is_the_mean_one_step_late),
        cmocka_unit_test(stages_do_not_change_what_replicas_do),
        cmocka_unit_test(dense_steps_at_first_are_those_of_allreduce),
        cmocka_unit_test(what_is_sent_is_what_the_formulas_say),
        cmocka_unit_test(stages_send_what_the_formula_says),
        cmocka_unit_test(plans_have_the_bytes_of_runs),
        cmocka_unit_test(a_run_that_goes_on_is_one_that_never_stopped),
        cmocka_unit_test(another_layout_goes_on_from_a_checkpoint),
        cmocka_unit_test(streaming_goes_on_from_every_step),
        cmocka_unit_test(a_stop_comes_when_replicas_next_meet),
        cmocka_unit_test(a_skipped_step_keeps_what_was_averaged),
        cmocka_unit_test(synchronisations_that_cannot_be_are_refused),
        cmocka_unit_test(ranks_that_cannot_be_laid_out_are_refused),
    };
    return cmocka_run_group_tests(tests, make_all, tiny_remove);
}
