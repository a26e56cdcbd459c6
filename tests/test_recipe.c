// SPDX-License-Identifier: Apache-2.0
/* Recipes: those that ship are complete and the card's; a broken one is refused by name. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "scratch_directory.h"
#include "test.h"

#include "base/compiler.h"
#include "train/recipe.h"

/* Every recipe begins with these unless a case says otherwise. */
static const char head[] = "model: m\noutput: o\nsteps: 7\n";
static const char source[] = "sources: [{format: prompt, paths: a.jsonl}]\n";

/* recipe_read() of the concatenation, then, if read, recipe_check(). */
static enum status read_text(struct recipe *r, const char *a, const char *b, const char *c)
{
    char text[4096], path[512];
    snprintf(text, sizeof text, "%s%s%s", a, b, c);
    scratch_put(directory, "r.yaml", text);
    assert_int_equal(file_join(path, sizeof path, directory, "r.yaml"), OK);
    option_given given = 0;
    enum status s = recipe_read(r, path, &given);
    scratch_drop(directory, "r.yaml");
    TRY(s);
    s = recipe_check(r);
    if (s != OK) recipe_free(r);
    return s;
}

static void assert_close(double a, double b)
{
    if (a < b || a > b) fail_msg("%.17g is not %.17g", a, b);
}

static void shipped_recipes_are_read_and_checked(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("recipes/*.yaml", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 4);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct recipe r;
        option_given given = 0;
        if (recipe_read(&r, found.gl_pathv[i], &given) != OK || recipe_check(&r) != OK)
            fail_msg("%s: %s", found.gl_pathv[i], status_message());
        recipe_free(&r);
    }
    globfree(&found);
}

static void the_card_is_a_recipe(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int64_t steps;
        int objective, n_sources;
    } stages[] = {
        {"recipes/gpt-jt-6b-stage1.yaml", 20000, OBJECTIVE_UL2R, 1},
        {"recipes/gpt-jt-6b-stage1-random-split.yaml", 20000, OBJECTIVE_PREFIX, 1},
        {"recipes/gpt-jt-6b-stage2.yaml", 7000, OBJECTIVE_PREFIX, 4},
    };
    for (size_t i = 0; i < COUNT_OF(stages); i++) {
        struct recipe r;
        option_given given = 0;
        assert_int_equal(recipe_read(&r, stages[i].path, &given), OK);
        assert_int_equal(r.steps, stages[i].steps);
        assert_int_equal(r.data.objective, stages[i].objective);
        assert_int_equal(r.data.documents, DOCUMENTS_JOIN);
        assert_int_equal(r.data.n_sources, stages[i].n_sources);
        assert_ptr_equal(r.data.sources, r.sources);
        assert_int_equal(r.batch_size * r.data.seq_len, 131072);
        assert_close(r.learning_rate, 1e-5);
        double weight = 0;
        for (int k = 0; k < r.data.n_sources; k++)
            weight += r.sources[k].weight;
        assert_true(weight > 1 - 1e-12 && weight < 1 + 1e-12);
        recipe_free(&r);
    }
}

static void what_a_recipe_does_not_say_is_the_card(void **state)
{
    (void)state;
    struct recipe r;
    if (read_text(&r, head, source, "") != OK) fail_msg("%s", status_message());
    assert_string_equal(r.model, "m");
    assert_string_equal(r.output, "o");
    assert_int_equal(r.steps, 7);
    assert_int_equal(r.data.seq_len, 2048);
    assert_int_equal(r.data.objective, OBJECTIVE_PREFIX);
    assert_int_equal(r.data.documents, DOCUMENTS_ISOLATE);
    assert_int_equal(r.precision, PRECISION_BF16);
    assert_close(r.adam_beta1, .9);
    assert_close(r.adam_beta2, .999);
    assert_close(r.adam_epsilon, 1e-6);
    assert_close(r.weight_decay, .01);
    assert_close(r.max_grad_norm, 1);
    assert_close(r.loss_scale, 32768);
    assert_int_equal(r.loss_scale_window, 1000);
    assert_int_equal(r.data.n_sources, 1);
    assert_string_equal(r.sources[0].name, "prompt");
    assert_int_equal(r.sources[0].format, DATA_PROMPT);
    assert_int_equal(r.sources[0].paths.n, 1);
    assert_string_equal(r.sources[0].paths.items[0], "a.jsonl");
    assert_close(r.sources[0].weight, 1);
    assert_int_equal(r.n_validation, 0);
    recipe_free(&r);
}

static void settings_and_sources_are_read(void **state)
{
    (void)state;
    struct recipe r;
    const enum status s = read_text(
        &r, head,
        "batch_size: 12\nmicro_batch_size: 4\nlearning_rate: 3e-4\nobjective: ul2r\nprecision: fp16\n"
        "adapter: lora\nlora_targets: [out_proj, fc_in]\nrecompute: false\nschedule: cosine\nseed: 5\n",
        "sources:\n  - {format: pile, paths: [a, b], weight: 3, field: body, end_of_text: true}\n"
        "  - {name: mine, format: ni, paths: c}\nvalidation:\n  - {format: p3, paths: d}\n");
    if (s != OK) fail_msg("%s", status_message());
    assert_int_equal(r.batch_size, 12);
    assert_int_equal(r.micro_batch_size, 4);
    assert_close(r.learning_rate, 3e-4);
    assert_int_equal(r.data.objective, OBJECTIVE_UL2R);
    assert_int_equal(r.precision, PRECISION_FP16);
    assert_int_equal(r.schedule, SCHEDULE_COSINE);
    assert_int_equal(r.data.seed, 5);
    assert_false(r.recompute);
    const struct option_strings targets = recipe_lora_targets(&r);
    assert_int_equal(targets.n, 2);
    assert_string_equal(targets.items[1], "fc_in");
    assert_int_equal(r.data.n_sources, 2);
    assert_string_equal(r.sources[0].field, "body");
    assert_true(r.sources[0].end_of_text);
    assert_close(r.sources[0].weight, 3);
    assert_int_equal(r.sources[0].paths.n, 2);
    assert_string_equal(r.sources[1].name, "mine");
    assert_int_equal(r.n_validation, 1);
    assert_string_equal(r.validation[0].name, "p3");
    recipe_free(&r);
}

static void broken_recipes_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message; /* the message without the file's name */
        bool without_sources;
    } cases[] = {
        {"learning_rat: 1\n", "unknown field \"learning_rat\"; did you mean \"learning_rate\"?"},
        {"soruces: []\n", "unknown field \"soruces\"; did you mean \"sources\"?"},
        {"validations: []\n", "unknown field \"validations\"; did you mean \"validation\"?"},
        {"xyzzy: 1\n", "unknown field \"xyzzy\""},
        {"max_steps: 1\n", "\"max_steps\" is refused: it is called steps here"},
        {"batch_size: 0\n", "\"batch_size\" is 0, not within 1..1048576"},
        {"batch_size: many\n", "\"batch_size\" is \"many\", not a whole number"},
        {"recompute: yes\n", "\"recompute\" is \"yes\", not true or false"},
        {"precision: fp8\n", "\"precision\" is fp8, not one of fp32|bf16|fp16"},
        {"adam_beta2: 1\n", "\"adam_beta2\" is 1, not within 0..0.9999999"},
        {"learning_rate: -1\n", "\"learning_rate\" is -1, not within 0..10"},
        {"batch_size: 10\nmicro_batch_size: 4\n", "\"batch_size\" is 10, not a multiple of \"micro_batch_size\", 4"},
        {"min_learning_rate: 2e-5\n", "\"min_learning_rate\" is 2e-05, above \"learning_rate\", 1e-05"},
        {"loss_scale_min: 65536\n", "\"loss_scale_min\" is 65536, above \"loss_scale\", 32768"},
        {"lora_rank: 4\n", "\"lora_rank\", \"lora_alpha\" and \"lora_targets\" need \"adapter\": lora"},
        {"lora_targets: q_proj\n", "\"lora_rank\", \"lora_alpha\" and \"lora_targets\" need \"adapter\": lora"},
        {"adapter: lora\nlora_targets: [q_prj]\n", "\"lora_targets\" has no q_prj; did you mean q_proj"},
        {"adapter: lora\nlora_targets: [fc_in, fc_in]\n", "\"lora_targets\" has fc_in twice"},
        {"", "the recipe has no \"sources\" to train on", true},
        {"sources: []\n", "the recipe has no \"sources\" to train on", true},
        {"sources: {format: pile}\n", "\"sources\" is not a list", true},
        {"sources: [1]\n", "sources[0]: is not a mapping of settings", true},
        {"sources: [{paths: a}]\n", "sources[0]: has no \"format\", which is one of pile|ni|p3|cot|prompt|tokens",
         true},
        {"sources: [{format: pile}]\n", "sources[0]: has no \"paths\"", true},
        {"sources: [{format: pile, paths: []}]\n", "sources[0]: has no \"paths\"", true},
        {"sources: [{format: pile, paths: a}, {format: pil, paths: a}]\n",
         "sources[1]: \"format\" is pil, not one of pile|ni|p3|cot|prompt|tokens", true},
        {"sources: [{format: pile, path: a}]\n", "sources[0]: unknown field \"path\"; did you mean \"paths\"?", true},
        {"sources: [{format: pile, paths: a, weight: 0}]\n", "sources[0] \"pile\": \"weight\" is 0, not above 0", true},
        {"sources: [{format: ni, paths: a}, {format: ni, paths: b}]\n",
         "sources[0] and [1] are both called \"ni\"; give them a \"name\"", true},
        {"sources: [{format: ni, paths: a, field: b}]\n",
         "sources[0] \"ni\": \"field\" is a setting of format pile, not of ni", true},
        {"validation: [{format: ni, paths: a, end_of_text: true}]\n",
         "validation[0] \"ni\": \"end_of_text\" is a setting of format pile or prompt, not of ni"},
        {"validation: [{format: ni}]\n", "validation[0]: has no \"paths\""},
        {"steps: 1\n", "4:1: \"steps\" is given twice"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct recipe r;
        if (read_text(&r, head, cases[i].text, cases[i].without_sources ? "" : source) == OK)
            fail_msg("accepted: %s", cases[i].text);
        const char *said = status_message();
        const size_t n = strlen(directory) + strlen("/r.yaml:");
        if (!strncmp(said, directory, strlen(directory))) said += said[n] == ' ' ? n + 1 : n;
        assert_string_equal(said, cases[i].message);
    }
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"output: o\nsteps: 1\n", "the recipe has no \"model\" to start from"},
        {"model: m\nsteps: 1\n", "the recipe has no \"output\" directory"},
        {"model: m\noutput: o\n", "the recipe has no \"steps\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct recipe r;
        assert_int_equal(read_text(&r, cases[i].text, source, ""), E_ARG);
        assert_string_equal(status_message(), cases[i].message);
    }
}

static void the_resolved_recipe_is_a_recipe(void **state)
{
    (void)state;
    struct recipe r;
    option_given given = 0;
    assert_int_equal(recipe_read(&r, "recipes/gpt-jt-6b-stage2.yaml", &given), OK);
    json_t *first = recipe_json(&r);
    recipe_free(&r);
    assert_non_null(first);
    assert_close(json_real_value(json_object_get(first, "learning_rate")), 1e-5);
    assert_string_equal(json_string_value(json_object_get(first, "documents")), "join");
    assert_int_equal(json_array_size(json_object_get(first, "sources")), 4);

    char *text = json_dumps(first, JSON_INDENT(2));
    assert_non_null(text);
    if (read_text(&r, text, "", "") != OK) fail_msg("%s", status_message());
    free(text);
    json_t *second = recipe_json(&r);
    recipe_free(&r);
    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);
}

static void the_outer_optimizer_fits_the_algorithm(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double learning_rate, momentum;
    } cases[] = {{"sync: diloco\n", .7, .9},
                 {"sync: streaming\n", .7, .9},
                 {"sync: sparse\n", 1, 0},
                 {"sync: sparse\nouter_momentum: 0.5\n", 1, .5},
                 {"sync: diloco\nouter_learning_rate: 0\n", 0, .9}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct recipe r;
        if (read_text(&r, head, cases[i].text, source) != OK) fail_msg("%s", status_message());
        json_t *j = recipe_json(&r);
        assert_non_null(j);
        assert_close(json_number_value(json_object_get(j, "outer_learning_rate")), cases[i].learning_rate);
        assert_close(json_number_value(json_object_get(j, "outer_momentum")), cases[i].momentum);
        json_decref(j);
        recipe_free(&r);
    }
}

static void the_command_line_goes_on_where_the_file_ended(void **state)
{
    (void)state;
    struct recipe r;
    if (read_text(&r, head, "adapter: lora\nlora_targets: [q_proj]\nbatch_size: 8\n", source) != OK)
        fail_msg("%s", status_message());
    char *argv[] = {"--steps", "3", "--lora-targets", "fc_in", "--micro-batch-size", "3"};
    struct option_args args = {0};
    assert_int_equal(options_parse_args(recipe_options, &r, "train", COUNT_OF(argv), argv, &args), OK);
    assert_int_equal(r.steps, 3);
    assert_int_equal(r.lora_targets.n, 1);
    assert_string_equal(r.lora_targets.items[0], "fc_in");
    assert_int_equal(recipe_check(&r), E_ARG); /* 8 is no multiple of 3 */
    recipe_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_recipes_are_read_and_checked),
        cmocka_unit_test(the_card_is_a_recipe),
        cmocka_unit_test(what_a_recipe_does_not_say_is_the_card),
        cmocka_unit_test(settings_and_sources_are_read),
        cmocka_unit_test(broken_recipes_are_refused_by_name),
        cmocka_unit_test(what_is_missing_is_said),
        cmocka_unit_test(the_resolved_recipe_is_a_recipe),
        cmocka_unit_test(the_outer_optimizer_fits_the_algorithm),
        cmocka_unit_test(the_command_line_goes_on_where_the_file_ended),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
