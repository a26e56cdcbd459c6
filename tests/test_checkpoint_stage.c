// SPDX-License-Identifier: Apache-2.0
/* Checkpoints of a pipeline's stage: a part of the whole model's, by the same names. */
#include <stdio.h>

#include "test.h"

#include "base/file.h"
#include "base/rng.h"
#include "formats/safetensors.h"
#include "scratch_directory.h"
#include "train/checkpoint.h"
#include "train/optimizer.h"
#include "train/trainee.h"

enum { RANK = 3 };

static void must(enum status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

#define MICRO "tests/data/goldens/micro-a/safetensors-fp32"

static struct trainee open_micro(bool lora, int first, struct optimizer **optimizer)
{
    static const struct optimizer_settings set = {0.9, 0.999, 1e-6, 0.01, 1};
    struct trainee_options o = {
        .level = kernels_best_level(), .threads = 1, .sequences = 2, .seq_len = 20, .seed = 7, .first = first};
    struct trainee t = {0};
    if (lora) o.lora = (struct lora_shape){.r = RANK, .modules = (1u << PEFT_MODULES) - 1, .scale = 1.5f};
    must(trainee_open(&t, MICRO, &o));
    must(optimizer_create(optimizer, t.params, 0, t.params->n, &set));
    return t;
}

static void fill(float *x, size_t n, uint64_t stream)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_uniform(17, stream, i);
}

static struct checkpoint checkpoint_of(struct team_alone *one, struct trainee *t, struct optimizer *o, bool lora)
{
    struct team *team = team_alone(one);
    must(team_begin(team, &(struct team_parts){.trainee = t, .optimizer = o}));
    return (struct checkpoint){.team = team,
                               .config = &t->config.model,
                               .model = MICRO,
                               .optimizer = o,
                               .lora = {.r = lora ? RANK : 0, .modules = (1u << PEFT_MODULES) - 1, .scale = 1.5f},
                               .lora_alpha = 1.5 * RANK};
}

/* Saves as the run called name. */
static void save(char path[512], struct trainee *t, struct optimizer *o, bool lora, const char *name)
{
    struct team_alone one;
    char run[256];
    json_t *state = json_pack("{s:i, s:[]}", "replicas", 1, "data");
    struct checkpoint c = checkpoint_of(&one, t, o, lora);
    c.state = state;
    snprintf(run, sizeof run, "%s/%s", directory, name);
    snprintf(path, 512, "%s/checkpoint-7", run);
    must(file_make_dirs(run));
    must(checkpoint_save(&c, run, 7, 0));
    json_decref(state);
}

static void load(struct trainee *t, struct optimizer *o, const char *path, bool lora)
{
    struct team_alone one;
    const struct checkpoint c = checkpoint_of(&one, t, o, lora);
    json_t *state = NULL;
    must(checkpoint_load(&c, &state, path));
    json_decref(state);
}

static void must_hold_the_same(const struct optimizer *a, const struct optimizer *b)
{
    for (int i = 0; i < a->params->n; i++) {
        const struct param *x = &a->params->all[i], *y = params_find(b->params, x->name);
        const size_t bytes = x->n * sizeof(float);
        assert_non_null(y);
        assert_memory_equal(a->params->value + x->at, b->params->value + y->at, bytes);
        assert_memory_equal(a->m + x->at, b->m + y->at, bytes);
        assert_memory_equal(a->v + x->at, b->v + y->at, bytes);
    }
}

/* A stage reads its part of a whole checkpoint, and what it writes is that part. */
static void checkpoints_can_be_of_a_stage(void **state)
{
    (void)state;
    for (int lora = 0; lora < 2; lora++) {
        struct optimizer *whole_o, *stage_o, *again_o;
        char whole_path[512], stage_path[512], file[600], run[256];
        struct trainee whole = open_micro(lora, 0, &whole_o), stage = open_micro(lora, 1, &stage_o);
        struct trainee again = open_micro(lora, 1, &again_o);
        fill(whole.params->value, whole.params->n_values, 0);
        fill(whole_o->m, whole.params->n_values, 1);
        fill(whole_o->v, whole.params->n_values, 2);
        save(whole_path, &whole, whole_o, lora, "whole");
        load(&stage, stage_o, whole_path, lora);
        must_hold_the_same(stage_o, whole_o);
        save(stage_path, &stage, stage_o, lora, "stage");
        load(&again, again_o, stage_path, lora);
        must_hold_the_same(again_o, whole_o);

        struct source *src = NULL;
        snprintf(file, sizeof file, "%s/%s", stage_path, lora ? "adapter_model.safetensors" : "model.safetensors");
        must(safetensors_open(&src, file));
        assert_int_equal(src->n_entries, stage.params->n);
        for (int i = 0; i < src->n_entries; i++)
            assert_non_null(params_find(stage.params, src->entries[i].name));
        source_close(src);
        struct optimizer *all_o[] = {whole_o, stage_o, again_o};
        struct trainee *all[] = {&whole, &stage, &again};
        for (int i = 0; i < 3; i++) {
            optimizer_free(all_o[i]);
            trainee_close(all[i]);
        }
        for (int i = 0; i < 2; i++) {
            must(file_remove_dir(i ? stage_path : whole_path));
            snprintf(run, sizeof run, "%s/%s", directory, i ? "stage" : "whole");
            must(file_remove_dir(run));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_can_be_of_a_stage),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
