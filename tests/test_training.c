// SPDX-License-Identifier: Apache-2.0
/* The backward pass and AdamW on a micro model: against float64 gradients and weights, and their laws. Neither the
 * number of threads, nor computing activations again, nor cutting a batch of rows into layer ranges changes a bit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/rng.h"
#include "formats/safetensors.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/trainee.h"

#define MICRO   "tests/data/goldens/micro-a/safetensors-fp32"
#define GOLDENS "tests/data/goldens/train/"

enum { SEQUENCES = 3, SEQ_LEN = 24, ROWS = SEQUENCES * SEQ_LEN };

static void must(enum status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

static struct trainee open_trainee(enum train_precision precision, enum cpu_level level, int threads, bool recompute)
{
    struct trainee t = {0};
    const struct trainee_options o = {.level = level,
                                      .threads = threads,
                                      .precision = precision,
                                      .sequences = SEQUENCES,
                                      .seq_len = SEQ_LEN,
                                      .recompute = recompute};
    must(trainee_open(&t, MICRO, &o));
    return t;
}

/* ---- Goldens ---- */

static const struct tensor *find(const struct source *src, const char *prefix, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct tensor *t = source_find(src, full);
    if (!t) fail_msg("golden %s is missing", full);
    return t;
}

static struct train_rows golden_rows(const struct source *src, const char *prefix)
{
    return (struct train_rows){SEQUENCES,
                               SEQ_LEN,
                               find(src, prefix, "ids")->data,
                               find(src, prefix, "lo")->data,
                               find(src, prefix, "hi")->data,
                               find(src, prefix, "target")->data};
}

/* Forward, head and backward of some rows: the mean loss; gradients are added up in t. */
static double gradients(struct trainee *t, const struct train_rows *rows, double scale)
{
    double loss[ROWS], sum = 0;
    int n = 0;
    for (int i = 0; i < ROWS; i++)
        n += rows->target[i] >= 0;
    train_pass_forward(t->pass, rows);
    assert_int_equal(train_pass_head(t->pass, (float)(scale / n), loss), n);
    train_pass_backward(t->pass);
    for (int i = 0; i < n; i++)
        sum += loss[i];
    return sum / n;
}

/* How far values are from a golden, as a fraction of what is allowed: floor + share of the tensor's largest. */
static double distance(const struct tensor *want, const float *have, double floor, double share)
{
    const int64_t n = tensor_elements(want);
    double most = 0, off = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(tensor_value(want, i)));
        off = fmax(off, fabs(tensor_value(want, i) - (double)have[i]));
    }
    return off / (floor + share * most);
}

static void must_be_gradients(const struct trainee *t, const struct source *src, double floor, double share)
{
    for (int i = 0; i < t->params->n; i++) {
        const struct param *p = &t->params->all[i];
        const double d = distance(find(src, "grad.", p->name), t->params->grad + p->at, floor, share);
        if (!(d <= 1)) fail_msg("%s is %.2f times the allowed distance from the truth", p->name, d);
    }
}

static const char *const kinds[] = {"causal", "prefix", "documents"};

static struct source *golden(const char *kind)
{
    char path[200];
    struct source *src = NULL;
    snprintf(path, sizeof path, GOLDENS "grads_%s.safetensors", kind);
    must(safetensors_open(&src, path));
    return src;
}

static void gradients_are_true_at_every_instruction_set(void **state)
{
    (void)state;
    for (int level = 0; level <= (int)kernels_best_level(); level++) {
        for (size_t k = 0; k < COUNT_OF(kinds); k++) {
            struct source *src = golden(kinds[k]);
            struct trainee t = open_trainee(PRECISION_FP32, (enum cpu_level)level, 2, false);
            const struct train_rows rows = golden_rows(src, "");
            const double loss = gradients(&t, &rows, 1), truth = tensor_value(find(src, "", "loss"), 0);
            if (!(fabs(loss - truth) < 5e-6)) fail_msg("%s: loss %.9g, not %.9g", kinds[k], loss, truth);
            must_be_gradients(&t, src, 2e-6, 1e-5);
            trainee_close(&t);
            source_close(src);
        }
    }
}

/* bf16 has 8 bits and fp16 11: a factor is off by half of the last, and sums of such errors stay below a few of them;
 * in bf16 attention's factors are rounded too, where the CPU has such products. */
static void narrow_precisions_are_as_near_as_their_bits_allow(void **state)
{
    (void)state;
    struct source *src = golden("documents");
    const struct train_rows rows = golden_rows(src, "");
    const struct {
        enum train_precision precision;
        double share, scale;
    } all[] = {{PRECISION_BF16, 12 * 0x1p-8, 1}, {PRECISION_FP16, 8 * 0x1p-11, 1024}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        struct trainee t = open_trainee(all[i].precision, kernels_best_level(), 2, false);
        gradients(&t, &rows, all[i].scale);
        bool differs = false;
        for (size_t j = 0; j < t.params->n_values; j++)
            t.params->grad[j] /= (float)all[i].scale;
        must_be_gradients(&t, src, 1e-5, all[i].share);
        for (int j = 0; j < t.params->n; j++) {
            const struct param *p = &t.params->all[j];
            differs |= distance(find(src, "grad.", p->name), t.params->grad + p->at, 2e-6, 1e-5) > 1;
        }
        assert_true(differs); /* else it was computed in fp32 */
        trainee_close(&t);
    }
    source_close(src);
}

/* ---- Laws ---- */

static void must_be_the_same_bits(const struct trainee *a, const struct trainee *b)
{
    for (int i = 0; i < a->params->n; i++) {
        const struct param *p = &a->params->all[i];
        if (memcmp(a->params->grad + p->at, b->params->grad + p->at, p->n * sizeof(float)))
            fail_msg("gradients of %s differ", p->name);
    }
}

static void threads_and_recomputing_change_no_bit(void **state)
{
    (void)state;
    struct source *src = golden("documents");
    const struct train_rows rows = golden_rows(src, "");
    for (int precision = PRECISION_FP32; precision <= PRECISION_FP16; precision++) {
        struct trainee a = open_trainee((enum train_precision)precision, kernels_best_level(), 1, false);
        struct trainee b = open_trainee((enum train_precision)precision, kernels_best_level(), 3, true);
        const double loss = gradients(&a, &rows, 1), other = gradients(&b, &rows, 1);
        assert_memory_equal(&loss, &other, sizeof loss);
        must_be_the_same_bits(&a, &b);
        trainee_close(&a);
        trainee_close(&b);
    }
    source_close(src);
}

/* Sequences one at a time add up to what they are together, but for the order of sums over rows. */
static void micro_batches_add_up(void **state)
{
    (void)state;
    struct source *src = golden("prefix");
    struct trainee t = open_trainee(PRECISION_FP32, kernels_best_level(), 2, false);
    const struct train_rows all = golden_rows(src, "");
    int targets = 0;
    for (int i = 0; i < ROWS; i++)
        targets += all.target[i] >= 0;
    for (int s = 0; s < SEQUENCES; s++) {
        const int at = s * SEQ_LEN;
        const struct train_rows one = {1, SEQ_LEN, all.token + at, all.lo + at, all.hi + at, all.target + at};
        double loss[SEQ_LEN];
        train_pass_forward(t.pass, &one);
        train_pass_head(t.pass, (float)(1.0 / targets), loss);
        train_pass_backward(t.pass);
    }
    must_be_gradients(&t, src, 2e-6, 1e-5);
    trainee_close(&t);
    source_close(src);
}

/* ---- A tied head ---- */

static const struct param *named(const struct params *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->all[i].name, name)) return &p->all[i];
    fail_msg("there is no parameter %s", name);
    return NULL;
}

#define TIED "tests/data/goldens/micro-c/bin-fp16-prefix"

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct source_entry *)a)->name, ((const struct source_entry *)b)->name);
}

/* The tensors of a tied checkpoint and, as a head of its own, its embedding once more. */
static struct source untied(const struct source *src, struct source_entry *entries)
{
    struct source out = *src;
    memcpy(entries, src->entries, (size_t)src->n_entries * sizeof *entries);
    entries[src->n_entries] = (struct source_entry){"lm_head.weight", *find(src, "", "transformer.wte.weight")};
    out.entries = entries;
    out.n_entries++;
    qsort(entries, (size_t)out.n_entries, sizeof *entries, by_name);
    return out;
}

/* Its gradient is the sum of those of embedding and head. */
static void a_tied_head_adds_both_gradients(void **state)
{
    (void)state;
    struct checkpoint_config config;
    struct source *src = NULL, *batch = golden("prefix");
    struct train_rows rows = golden_rows(batch, "");
    int32_t token[ROWS], target[ROWS];
    const struct trainee_options o = {
        .level = kernels_best_level(), .threads = 2, .sequences = SEQUENCES, .seq_len = SEQ_LEN};
    struct trainee tied = {0}, apart = {0};
    must(checkpoint_config_read(&config, TIED));
    must(source_open_dir(&src, TIED));
    assert_true(config.model.tied);
    for (int i = 0; i < ROWS; i++) { /* its vocabulary is smaller than the golden's */
        token[i] = rows.token[i] % config.model.V;
        target[i] = rows.target[i] < 0 ? rows.target[i] : rows.target[i] % config.model.V;
    }
    rows.token = token;
    rows.target = target;
    must(trainee_open_source(&tied, TIED, &config.model, src, &o));
    struct source_entry entries[256];
    assert_true(src->n_entries < (int)COUNT_OF(entries));
    const struct source two = untied(src, entries);
    config.model.tied = false;
    must(trainee_open_source(&apart, TIED, &config.model, &two, &o));
    assert_int_equal(apart.params->n, tied.params->n + 1);

    const double loss = gradients(&tied, &rows, 1), other = gradients(&apart, &rows, 1);
    assert_memory_equal(&loss, &other, sizeof loss);
    const struct param *both = named(tied.params, "transformer.wte.weight");
    const struct param *embedding = named(apart.params, "transformer.wte.weight");
    const struct param *head = named(apart.params, "lm_head.weight");
    double largest = 0; /* what partial sums, which are rounded too, may be as large as */
    for (size_t i = 0; i < both->n; i++)
        largest = fmax(largest, fabs((double)tied.params->grad[both->at + i]));
    for (size_t i = 0; i < both->n; i++) {
        const double a = (double)apart.params->grad[embedding->at + i], b = (double)apart.params->grad[head->at + i];
        const double have = (double)tied.params->grad[both->at + i];
        if (!(fabs(have - (a + b)) <= 8 * 0x1p-24 * (fabs(a) + fabs(b) + largest)))
            fail_msg("element %zu: %.9g, not %.9g + %.9g", i, have, a, b);
    }
    trainee_close(&tied);
    trainee_close(&apart);
    source_close(src);
    source_close(batch);
}

/* ---- Adapters ---- */

enum { RANK = 3 };

static const struct lora_shape all_modules = {.r = RANK, .modules = (1u << PEFT_MODULES) - 1, .scale = 1.5f};

/* "base_model.model.transformer.h.0.attn.q_proj.lora_A.weight" adapts "transformer.h.0.attn.q_proj.weight". */
static void adapted_name(char *out, size_t bytes, const char *lora)
{
    snprintf(out, bytes, "%s", lora + strlen("base_model.model."));
    strcpy(strstr(out, "lora_A"), "weight");
}

/* W + s B A and its gradient dW must give  dA = s B^T dW  and  dB = s dW A^T. */
static void must_follow_from_whole(const struct params *lora, const struct param *a, const struct param *b,
                                   const struct params *whole, const struct param *w)
{
    const int64_t O = w->shape[0], I = w->shape[1];
    const double s = (double)all_modules.scale;
    double most_a = 0, most_b = 0, off_a = 0, off_b = 0;
    for (int64_t r = 0; r < RANK; r++) {
        for (int64_t i = 0; i < I; i++) {
            double want = 0;
            for (int64_t o = 0; o < O; o++)
                want += s * (double)lora->value[b->at + (size_t)(o * RANK + r)] *
                        (double)whole->grad[w->at + (size_t)(o * I + i)];
            most_a = fmax(most_a, fabs(want));
            off_a = fmax(off_a, fabs(want - (double)lora->grad[a->at + (size_t)(r * I + i)]));
        }
        for (int64_t o = 0; o < O; o++) {
            double want = 0;
            for (int64_t i = 0; i < I; i++)
                want += s * (double)whole->grad[w->at + (size_t)(o * I + i)] *
                        (double)lora->value[a->at + (size_t)(r * I + i)];
            most_b = fmax(most_b, fabs(want));
            off_b = fmax(off_b, fabs(want - (double)lora->grad[b->at + (size_t)(o * RANK + r)]));
        }
    }
    if (!(off_a <= 2e-6 + 1e-5 * most_a)) fail_msg("%s: %.3g from the truth, of at most %.3g", a->name, off_a, most_a);
    if (!(off_b <= 2e-6 + 1e-5 * most_b)) fail_msg("%s: %.3g from the truth, of at most %.3g", b->name, off_b, most_b);
}

static void adapters_have_the_gradients_that_follow_from_whole_weights(void **state)
{
    (void)state;
    struct source *src = golden("documents");
    const struct train_rows rows = golden_rows(src, "");
    struct trainee whole = open_trainee(PRECISION_FP32, kernels_best_level(), 2, false), lora = {0};
    const struct trainee_options o = {.level = kernels_best_level(),
                                      .threads = 2,
                                      .sequences = SEQUENCES,
                                      .seq_len = SEQ_LEN,
                                      .recompute = true,
                                      .lora = all_modules,
                                      .seed = 1};
    must(trainee_open(&lora, MICRO, &o));
    for (int i = 0; i < lora.params->n; i += 2) {
        const struct param *a = &lora.params->all[i], *b = a + 1;
        char name[200];
        adapted_name(name, sizeof name, a->name);
        const struct param *w = named(whole.params, name);
        for (size_t k = 0; k < b->n; k++)
            lora.params->value[b->at + k] = (float)(0.1 * rng_uniform(3, (uint64_t)i, k) - 0.05);
        for (size_t k = 0; k < w->n; k++) {
            const size_t row = k / (size_t)w->shape[1], column = k % (size_t)w->shape[1];
            double sum = (double)whole.params->value[w->at + k];
            for (size_t r = 0; r < RANK; r++)
                sum += (double)all_modules.scale * (double)lora.params->value[b->at + row * RANK + r] *
                       (double)lora.params->value[a->at + r * (size_t)w->shape[1] + column];
            whole.params->value[w->at + k] = (float)sum;
        }
    }
    const double loss = gradients(&whole, &rows, 1), other = gradients(&lora, &rows, 1);
    if (!(fabs(loss - other) < 5e-6)) fail_msg("loss %.9g with adapters, %.9g with merged weights", other, loss);
    for (int i = 0; i < lora.params->n; i += 2) {
        char name[200];
        adapted_name(name, sizeof name, lora.params->all[i].name);
        must_follow_from_whole(lora.params, &lora.params->all[i], &lora.params->all[i + 1], whole.params,
                               named(whole.params, name));
    }
    trainee_close(&lora);
    trainee_close(&whole);
    source_close(src);
}

/* ---- AdamW ---- */

/* The golden's run: warm-up over 3 of 10 steps, then linearly to zero. */
static const struct recipe golden_recipe = {
    .steps = 10, .warmup_steps = 3, .learning_rate = 1e-3, .schedule = SCHEDULE_LINEAR, .precision = PRECISION_FP32};

static void ten_steps_of_adamw_land_on_the_golden_weights(void **state)
{
    (void)state;
    static const double norms[] = {4.771850437866959,  6.206658611725535,  5.768573192271373, 4.933564747423214,
                                   5.6943914027194324, 5.7089148083675285, 4.587419727801407, 4.9974761031144075,
                                   4.601772776661838,  4.438916630441733}; /* adamw.json */
    struct source *src = NULL;
    must(safetensors_open(&src, GOLDENS "adamw.safetensors"));
    struct trainee t = open_trainee(PRECISION_FP32, kernels_best_level(), 2, false);
    const struct optimizer_settings set = {0.9, 0.999, 1e-6, 0.01, 1};
    struct optimizer *o = NULL;
    must(optimizer_create(&o, t.params, 0, t.params->n, &set));
    for (int step = 0; step < 10; step++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "step%d.", step);
        const struct train_rows rows = golden_rows(src, prefix);
        memset(t.params->grad, 0, t.params->n_values * sizeof(float));
        gradients(&t, &rows, 1);
        const double norm = optimizer_grad_norm(o, 1);
        if (!(fabs(norm - norms[step]) < 1e-5 * norms[step]))
            fail_msg("step %d: gradient norm %.9g, not %.9g", step, norm, norms[step]);
        optimizer_update(o, optimizer_clip(o, 1, norm), schedule_learning_rate(&golden_recipe, step));
    }
    for (int i = 0; i < t.params->n; i++) {
        const struct param *p = &t.params->all[i];
        const double d = distance(find(src, "final.", p->name), t.params->value + p->at, 2e-6, 1e-5);
        if (!(d <= 1)) fail_msg("%s is %.2f times the allowed distance from the golden weights", p->name, d);
    }
    optimizer_free(o);
    trainee_close(&t);
    source_close(src);
}

/* ---- Schedules ---- */

static void learning_rates_are_those_of_the_golden_run(void **state)
{
    (void)state;
    static const double want[] = {1e-3 / 3,       2e-3 / 3,       1e-3,           1e-3,           6.0 / 7 * 1e-3,
                                  5.0 / 7 * 1e-3, 4.0 / 7 * 1e-3, 3.0 / 7 * 1e-3, 2.0 / 7 * 1e-3, 1.0 / 7 * 1e-3};
    for (int step = 0; step < 10; step++)
        assert_true(fabs(schedule_learning_rate(&golden_recipe, step) - want[step]) < 1e-12);
    struct recipe r = golden_recipe;
    r.schedule = SCHEDULE_COSINE;
    r.warmup_steps = 0;
    r.min_learning_rate = 1e-4;
    assert_true(fabs(schedule_learning_rate(&r, 0) - 1e-3) < 1e-12);
    assert_true(fabs(schedule_learning_rate(&r, 5) - 5.5e-4) < 1e-12);
    r.schedule = SCHEDULE_CONSTANT;
    assert_true(fabs(schedule_learning_rate(&r, 9) - 1e-3) < 1e-12);
}

static void the_loss_scale_backs_off_and_grows_again(void **state)
{
    (void)state;
    const struct recipe r = {.precision = PRECISION_FP16,
                             .loss_scale = 8,
                             .loss_scale_min = 2,
                             .loss_scale_window = 3,
                             .loss_scale_hysteresis = 2};
    struct loss_scale s = loss_scale_begin(&r);
    const struct {
        bool overflowed, helps;
        double scale;
    } steps[] = {{true, true, 8},  {true, true, 4},  {true, true, 2}, {true, false, 2}, {false, true, 2},
                 {false, true, 2}, {false, true, 4}, {true, true, 4}, {false, true, 4}, {true, true, 2}};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        assert_int_equal(loss_scale_update(&s, &r, steps[i].overflowed), steps[i].helps);
        if (s.scale != steps[i].scale) fail_msg("step %zu: scale %g, not %g", i, s.scale, steps[i].scale);
    }
    const struct recipe fp32 = {.precision = PRECISION_FP32, .loss_scale = 8};
    s = loss_scale_begin(&fp32);
    assert_true(s.scale == 1 && loss_scale_update(&s, &fp32, false) && !loss_scale_update(&s, &fp32, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_true_at_every_instruction_set),
        cmocka_unit_test(narrow_precisions_are_as_near_as_their_bits_allow),
        cmocka_unit_test(threads_and_recomputing_change_no_bit),
        cmocka_unit_test(micro_batches_add_up),
        cmocka_unit_test(a_tied_head_adds_both_gradients),
        cmocka_unit_test(adapters_have_the_gradients_that_follow_from_whole_weights),
        cmocka_unit_test(ten_steps_of_adamw_land_on_the_golden_weights),
        cmocka_unit_test(learning_rates_are_those_of_the_golden_run),
        cmocka_unit_test(the_loss_scale_backs_off_and_grows_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
