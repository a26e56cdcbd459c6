// SPDX-License-Identifier: Apache-2.0
/* config.json: what is taken from it, what is refused and how that is said. Each case changes the published config of
 * GPT-J a little. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "test.h"

#include "base/file.h"
#include "formats/gptj_config.h"

static const char published[] =
    "{\"activation_function\": \"gelu_new\", \"architectures\": [\"GPTJForCausalLM\"], \"attn_pdrop\": 0.0,"
    " \"bos_token_id\": 50256, \"embd_pdrop\": 0.0, \"eos_token_id\": 50256, \"gradient_checkpointing\": false,"
    " \"initializer_range\": 0.02, \"layer_norm_epsilon\": 1e-05, \"model_type\": \"gptj\", \"n_embd\": 4096,"
    " \"n_head\": 16, \"n_inner\": null, \"n_layer\": 28, \"n_positions\": 2048, \"resid_pdrop\": 0.0,"
    " \"rotary\": true, \"rotary_dim\": 64, \"scale_attn_weights\": true, \"summary_activation\": null,"
    " \"summary_first_dropout\": 0.1, \"summary_proj_to_labels\": true, \"summary_type\": \"cls_index\","
    " \"summary_use_proj\": true,"
    " \"task_specific_params\": {\"text-generation\": {\"do_sample\": true, \"max_length\": 50, \"temperature\": 1.0}},"
    " \"tie_word_embeddings\": false, \"tokenizer_class\": \"GPT2Tokenizer\", \"torch_dtype\": \"float16\","
    " \"transformers_version\": \"4.18.0.dev0\", \"use_cache\": true, \"vocab_size\": 50400}";

static json_t *json_of(const char *text)
{
    json_t *j = NULL;
    if (json_read_text(&j, text, strlen(text), "test") != OK) fail_msg("%s: %s", text, status_message());
    return j;
}

/* The published config with the members of change, a JSON object, put in and those named in without taken out. */
static enum status parse_changed(struct checkpoint_config *out, const char *change, const char *without,
                                 const char *generation)
{
    json_t *j = json_of(published), *c = json_of(change), *g = generation ? json_of(generation) : NULL;
    assert_int_equal(json_object_update(j, c), 0);
    if (without) assert_int_equal(json_object_del(j, without), 0);
    const enum status s = checkpoint_config_parse(out, j, g, "config.json");
    json_decref(g);
    json_decref(c);
    json_decref(j);
    return s;
}

static struct checkpoint_config parsed(const char *change, const char *without, const char *generation)
{
    struct checkpoint_config c;
    if (parse_changed(&c, change, without, generation) != OK) fail_msg("%s: %s", change, status_message());
    return c;
}

static void the_published_config_is_gpt_j(void **state)
{
    (void)state;
    const struct checkpoint_config c = parsed("{}", NULL, NULL);
    assert_int_equal(c.model.V, 50400);
    assert_int_equal(c.model.P, 2048);
    assert_int_equal(c.model.D, 4096);
    assert_int_equal(c.model.L, 28);
    assert_int_equal(c.model.H, 16);
    assert_int_equal(c.model.K, 256);
    assert_int_equal(c.model.R, 64);
    assert_int_equal(c.model.F, 16384);
    assert_true(c.model.eps == 1e-5);
    assert_false(c.model.tied);
    assert_int_equal(c.model.bos, 50256);
    assert_int_equal(c.model.eos, 50256);
    assert_int_equal(c.prompt_mask, CONFIG_MASK_NONE);
    assert_string_equal(c.torch_dtype, "float16");
    assert_string_equal(c.name_or_path, "");
    assert_true(gptj_config_parameters(&c.model) == 6050882784); /* the model card's number */
}

static void a_tied_head_is_counted_once(void **state)
{
    (void)state;
    const struct checkpoint_config c = parsed("{\"tie_word_embeddings\": true}", NULL, NULL);
    assert_true(c.model.tied);
    assert_true(gptj_config_parameters(&c.model) == 6050882784 - 50400 * 4096);
}

enum { V = 0, P, D, L, H, K, R, F, TIED, BOS, EOS, MASK };

static long long field(const struct checkpoint_config *c, int which)
{
    const struct gptj_config *m = &c->model;
    const long long all[] = {m->V, m->P, m->D, m->L, m->H, m->K, m->R, m->F, m->tied, m->bos, m->eos, c->prompt_mask};
    return all[which];
}

static const struct {
    const char *change, *without;
    int which;
    long long value;
} accepted[] = {
    {"{\"n_inner\": 10000}", NULL, F, 10000},
    {"{}", "n_inner", F, 16384},
    {"{\"tie_word_embeddings\": true}", NULL, TIED, 1},
    {"{}", "tie_word_embeddings", TIED, 0},
    {"{\"max_position_embeddings\": 512}", "n_positions", P, 512},
    {"{\"max_position_embeddings\": 512}", NULL, P, 2048},
    {"{\"hidden_size\": 2048}", "n_embd", D, 2048},
    {"{\"num_hidden_layers\": 3}", "n_layer", L, 3},
    {"{\"num_attention_heads\": 32}", "n_head", K, 128},
    {"{\"n_head\": null, \"num_attention_heads\": 32}", NULL, H, 32},
    {"{\"n_layer\": 4096}", NULL, L, 4096},
    {"{\"n_positions\": 1048576}", NULL, P, 1048576},
    {"{\"n_positions\": 16777216, \"rotary_dim\": 4}", NULL, P, 16777216},
    {"{\"n_positions\": 16777216, \"rotary_dim\": 0}", NULL, P, 16777216},
    {"{\"rotary_dim\": 0}", NULL, R, 0},
    {"{\"rotary_dim\": 256}", NULL, R, 256},
    {"{\"vocab_size\": 16777216}", NULL, V, 16777216},
    {"{\"activation_function\": \"gelu_fast\"}", NULL, D, 4096},
    {"{\"activation_function\": \"gelu_pytorch_tanh\"}", NULL, D, 4096},
    {"{}", "activation_function", D, 4096},
    {"{}", "eos_token_id", EOS, -1},
    {"{\"eos_token_id\": null}", NULL, EOS, -1},
    {"{\"eos_token_id\": [7, 50256]}", NULL, EOS, 7},
    {"{\"eos_token_id\": []}", NULL, EOS, -1},
    {"{\"bos_token_id\": 0}", NULL, BOS, 0},
    {"{\"eos_token_id\": 50399}", NULL, EOS, 50399},
    {"{\"eos_token_id\": 50400}", NULL, EOS, -1},
    {"{\"eos_token_id\": -1}", NULL, EOS, -1},
    {"{\"bos_token_id\": 50256, \"vocab_size\": 257}", NULL, BOS, -1},
    {"{\"bos_token_id\": 4294967296}", NULL, BOS, -1},
    {"{\"prompt_mask\": \"prefix\"}", NULL, MASK, CONFIG_MASK_PREFIX},
    {"{\"prompt_mask\": \"causal\"}", NULL, MASK, CONFIG_MASK_CAUSAL},
    {"{\"prompt_mask\": null}", NULL, MASK, CONFIG_MASK_NONE},
    {"{\"task_specific_params\": 7}", NULL, D, 4096},
};

static void values_are_taken_by_both_names_and_defaults(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(accepted); i++) {
        const struct checkpoint_config c = parsed(accepted[i].change, accepted[i].without, NULL);
        if (field(&c, accepted[i].which) != accepted[i].value)
            fail_msg("%s without %s: %lld, not %lld", accepted[i].change,
                     accepted[i].without ? accepted[i].without : "nothing", field(&c, accepted[i].which),
                     accepted[i].value);
    }
}

static const struct {
    const char *change, *without;
    enum status status;
    const char *message; /* a part of it */
} refused[] = {
    {"{}", "model_type", E_FORMAT, "config.json: no \"model_type\""},
    {"{\"model_type\": \"gpt_neox\"}", NULL, E_UNSUPPORTED, "\"model_type\" is \"gpt_neox\", this program runs gptj"},
    {"{\"model_type\": 3}", NULL, E_FORMAT, "\"model_type\""},
    {"{\"activation_function\": \"relu\"}", NULL, E_UNSUPPORTED, "\"activation_function\" is \"relu\""},
    {"{\"activation_function\": \"gelu\"}", NULL, E_UNSUPPORTED, "\"activation_function\" is \"gelu\""},
    {"{}", "vocab_size", E_FORMAT, "config.json: no \"vocab_size\""},
    {"{}", "n_positions", E_FORMAT, "config.json: no \"n_positions\""},
    {"{}", "n_embd", E_FORMAT, "config.json: no \"n_embd\""},
    {"{}", "n_layer", E_FORMAT, "config.json: no \"n_layer\""},
    {"{}", "n_head", E_FORMAT, "config.json: no \"n_head\""},
    {"{}", "rotary_dim", E_FORMAT, "config.json: no \"rotary_dim\""},
    {"{\"rotary_dim\": null}", NULL, E_FORMAT, "config.json: no \"rotary_dim\""},
    {"{\"vocab_size\": 0}", NULL, E_FORMAT, "\"vocab_size\""},
    {"{\"vocab_size\": -1}", NULL, E_FORMAT, "\"vocab_size\""},
    {"{\"vocab_size\": 16777217}", NULL, E_FORMAT, "\"vocab_size\""},
    {"{\"vocab_size\": \"50400\"}", NULL, E_FORMAT, "\"vocab_size\""},
    {"{\"vocab_size\": 50400.0}", NULL, E_FORMAT, "\"vocab_size\""},
    {"{\"n_positions\": true}", NULL, E_FORMAT, "\"n_positions\""},
    {"{\"n_positions\": 1048577}", NULL, E_LIMIT, "\"n_positions\" 1048577 and \"rotary_dim\" 64 make a rotary table"},
    {"{\"n_positions\": 16777216, \"rotary_dim\": 6}", NULL, E_LIMIT, "of 50331648 angles"},
    {"{\"n_layer\": 4097}", NULL, E_FORMAT, "\"n_layer\" is 4097, more than 4096"},
    {"{\"n_layer\": 9223372036854775807}", NULL, E_FORMAT, "\"n_layer\""},
    {"{\"n_head\": 15}", NULL, E_FORMAT, "\"n_embd\" 4096 is not a multiple of \"n_head\" 15"},
    {"{\"n_head\": 8192}", NULL, E_FORMAT, "\"n_embd\" 4096 is not a multiple of \"n_head\" 8192"},
    {"{\"n_embd\": 16777216}", NULL, E_FORMAT, "\"n_embd\" 16777216 is too large"},
    {"{\"n_inner\": 0}", NULL, E_FORMAT, "\"n_inner\""},
    {"{\"n_inner\": []}", NULL, E_FORMAT, "\"n_inner\""},
    {"{\"rotary_dim\": 63}", NULL, E_FORMAT, "\"rotary_dim\" 63 is not an even number up to the head size 256"},
    {"{\"rotary_dim\": 258}", NULL, E_FORMAT, "\"rotary_dim\" 258 is not an even number up to the head size 256"},
    {"{\"rotary_dim\": -2}", NULL, E_FORMAT, "\"rotary_dim\""},
    {"{\"layer_norm_epsilon\": -1e-5}", NULL, E_FORMAT, "\"layer_norm_epsilon\" is -1e-05, not within 0..1"},
    {"{\"layer_norm_epsilon\": 1}", NULL, E_FORMAT, "\"layer_norm_epsilon\" is 1, not within 0..1"},
    {"{\"layer_norm_epsilon\": \"1e-5\"}", NULL, E_FORMAT, "\"layer_norm_epsilon\""},
    {"{\"tie_word_embeddings\": 1}", NULL, E_FORMAT, "\"tie_word_embeddings\""},
    {"{\"eos_token_id\": \"</s>\"}", NULL, E_FORMAT, "\"eos_token_id\" is not a token id"},
    {"{\"eos_token_id\": [[1]]}", NULL, E_FORMAT, "\"eos_token_id\" is not a token id"},
    {"{\"bos_token_id\": 1.0}", NULL, E_FORMAT, "\"bos_token_id\" is not a token id"},
    {"{\"prompt_mask\": \"bidirectional\"}", NULL, E_FORMAT,
     "\"prompt_mask\" is \"bidirectional\", neither \"prefix\" nor \"causal\""},
    {"{\"prompt_mask\": true}", NULL, E_FORMAT, "\"prompt_mask\""},
    {"{\"torch_dtype\": 16}", NULL, E_FORMAT, "\"torch_dtype\""},
    {"{\"task_specific_params\": {\"text-generation\": {\"temperature\": \"hot\"}}}", NULL, E_FORMAT,
     "config.json: \"temperature\""},
};

static void what_changes_the_computation_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct checkpoint_config c = {.model = {.V = -77}};
        const enum status s = parse_changed(&c, refused[i].change, refused[i].without, NULL);
        const char *text = s == OK ? "accepted" : status_message();
        if (s != refused[i].status || !strstr(text, refused[i].message))
            fail_msg("%s: status %d: %s", refused[i].change, (int)s, text);
        if (!strstr(text, "config.json") || strchr(text, '\n')) fail_msg("%s: not one line of config.json", text);
        assert_int_equal(c.model.V, -77); /* outputs are written only on success */
    }
}

static void a_config_that_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"[]", "[{\"model_type\": \"gptj\"}]"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct checkpoint_config c;
        json_t *j = json_of(texts[i]);
        assert_int_equal(checkpoint_config_parse(&c, j, NULL, "config.json"), E_FORMAT);
        assert_string_equal(status_message(), "config.json: is not a JSON object");
        json_decref(j);
    }
}

static void long_names_are_left_out(void **state)
{
    (void)state;
    assert_string_equal(parsed("{\"_name_or_path\": \"togethercomputer/GPT-JT-6B-v1\"}", NULL, NULL).name_or_path,
                        "togethercomputer/GPT-JT-6B-v1");
    char change[400];
    snprintf(change, sizeof change, "{\"_name_or_path\": \"%0300d\"}", 0);
    assert_string_equal(parsed(change, NULL, NULL).name_or_path, "");
}

/* ---- Generation settings ---- */

static void generation_config_goes_before_task_specific_params(void **state)
{
    (void)state;
    struct generation_config g = parsed("{}", NULL, NULL).generation;
    assert_string_equal(g.origin, "task_specific_params");
    assert_true(g.do_sample);
    assert_int_equal(g.max_length, 50);
    assert_int_equal(g.top_k, 50); /* transformers' own default */

    g = parsed("{}", NULL,
               "{\"top_k\": 7, \"top_p\": 0.5, \"repetition_penalty\": 1.25, \"max_new_tokens\": 9, "
               "\"_from_model_config\": true, \"eos_token_id\": 50256}")
            .generation;
    assert_string_equal(g.origin, "generation_config.json");
    assert_false(g.do_sample);
    assert_int_equal(g.max_length, 0); /* nothing of task_specific_params is mixed in */
    assert_int_equal(g.max_new_tokens, 9);
    assert_int_equal(g.top_k, 7);
    assert_true(g.top_p == 0.5 && g.repetition_penalty == 1.25 && g.temperature == 1);

    g = parsed("{}", "task_specific_params", NULL).generation;
    assert_null(g.origin);
    assert_false(g.do_sample);
    assert_true(g.temperature == 1 && g.top_p == 1 && g.repetition_penalty == 1);
}

/* As transformers' generate() does, and since version 5 config.json may be without one. */
static void text_ends_where_generation_config_says(void **state)
{
    (void)state;
    static const struct {
        const char *without, *generation;
        int eos;
    } cases[] = {
        {NULL, "{\"eos_token_id\": 7}", 7},           {NULL, "{\"eos_token_id\": [8, 7]}", 8},
        {"eos_token_id", "{\"eos_token_id\": 7}", 7}, {NULL, "{}", 50256},
        {NULL, "{\"eos_token_id\": null}", 50256},    {NULL, "{\"eos_token_id\": 60000}", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(parsed("{}", cases[i].without, cases[i].generation).model.eos, cases[i].eos);
}

static void the_dtype_is_taken_by_both_names(void **state)
{
    (void)state;
    assert_string_equal(parsed("{\"dtype\": \"bfloat16\"}", "torch_dtype", NULL).torch_dtype, "bfloat16");
    assert_string_equal(parsed("{\"torch_dtype\": \"float32\", \"dtype\": \"x\"}", NULL, NULL).torch_dtype, "float32");
}

static void a_bad_generation_config_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "generation_config.json: is not a JSON object"},
        {"{\"top_k\": -1}", "generation_config.json: \"top_k\""},
        {"{\"top_k\": 0.5}", "generation_config.json: \"top_k\""},
        {"{\"do_sample\": 1}", "generation_config.json: \"do_sample\""},
        {"{\"max_length\": 1000000000000}", "generation_config.json: \"max_length\""},
        {"{\"top_p\": \"all\"}", "generation_config.json: \"top_p\""},
        {"{\"eos_token_id\": \"</s>\"}", "generation_config.json: \"eos_token_id\" is not a token id"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct checkpoint_config c;
        assert_int_equal(parse_changed(&c, "{}", NULL, cases[i].text), E_FORMAT);
        if (!strstr(status_message(), cases[i].message)) fail_msg("%s: %s", cases[i].text, status_message());
    }
}

/* ---- Files, and writing ---- */

static void a_directory_is_read_with_its_generation_config(void **state)
{
    (void)state;
    char dir[] = P_tmpdir "/gptjt-test-XXXXXX";
    struct checkpoint_config c;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(checkpoint_config_read(&c, dir), E_IO);
    assert_non_null(strstr(status_message(), "/config.json: No such file"));

    scratch_put(dir, "config.json", published);
    assert_int_equal(checkpoint_config_read(&c, dir), OK);
    assert_string_equal(c.generation.origin, "task_specific_params");
    scratch_put(dir, "generation_config.json", "{\"temperature\": 0.25}");
    assert_int_equal(checkpoint_config_read(&c, dir), OK);
    assert_true(c.generation.temperature == 0.25);
    scratch_put(dir, "generation_config.json", "{\"temperature\": ");
    assert_int_equal(checkpoint_config_read(&c, dir), E_FORMAT);
    assert_non_null(strstr(status_message(), "generation_config.json"));

    scratch_drop(dir, "generation_config.json");
    scratch_drop(dir, "config.json");
    rmdir(dir);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const struct {
        struct gptj_config c;
        enum config_mask mask;
    } cases[] = {
        {{50400, 2048, 4096, 28, 16, 256, 64, 16384, 1e-5, false, 50256, 50256}, CONFIG_MASK_PREFIX},
        {{517, 96, 96, 2, 3, 32, 32, 200, 1e-6, true, -1, 516}, CONFIG_MASK_CAUSAL},
        {{1, 1, 1, 1, 1, 1, 0, 1, 0, false, 0, -1}, CONFIG_MASK_NONE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *j = NULL;
        struct checkpoint_config back;
        const struct gptj_config *c = &cases[i].c, *b = &back.model;
        assert_int_equal(checkpoint_config_json(&j, c, "bfloat16", cases[i].mask), OK);
        assert_int_equal(checkpoint_config_parse(&back, j, NULL, "config.json"), OK);
        json_decref(j);
        assert_true(b->V == c->V && b->P == c->P && b->D == c->D && b->L == c->L && b->H == c->H && b->K == c->K &&
                    b->R == c->R && b->F == c->F);
        assert_true(b->eps == c->eps && b->tied == c->tied && b->bos == c->bos && b->eos == c->eos);
        assert_int_equal(back.prompt_mask, cases[i].mask);
        assert_string_equal(back.torch_dtype, "bfloat16");
        assert_null(back.generation.origin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_config_is_gpt_j),
        cmocka_unit_test(a_tied_head_is_counted_once),
        cmocka_unit_test(values_are_taken_by_both_names_and_defaults),
        cmocka_unit_test(what_changes_the_computation_is_refused_by_name),
        cmocka_unit_test(a_config_that_is_no_object_is_refused),
        cmocka_unit_test(long_names_are_left_out),
        cmocka_unit_test(generation_config_goes_before_task_specific_params),
        cmocka_unit_test(text_ends_where_generation_config_says),
        cmocka_unit_test(the_dtype_is_taken_by_both_names),
        cmocka_unit_test(a_bad_generation_config_is_named),
        cmocka_unit_test(a_directory_is_read_with_its_generation_config),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
