// SPDX-License-Identifier: Apache-2.0
/* Adapters in PEFT's layout: what is read, what is refused by name, and that what is written is read again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "scratch_directory.h"
#include "test.h"

#include "base/compiler.h"
#include "formats/peft.h"
#include "formats/safetensors.h"

static const struct gptj_config model = {.V = 50, .P = 16, .D = 6, .L = 2, .H = 2, .K = 3, .R = 2, .F = 24};

/* As PEFT 0.21.2 wrote it. */
static const char published[] =
    "{\"alora_invocation_tokens\": null, \"alpha_pattern\": {}, \"arrow_config\": null, \"auto_mapping\": null,"
    " \"base_model_name_or_path\": \"togethercomputer/GPT-JT-6B-v1\", \"bias\": \"none\", \"corda_config\": null,"
    " \"ensure_weight_tying\": false, \"eva_config\": null, \"exclude_modules\": null, \"fan_in_fan_out\": false,"
    " \"inference_mode\": true, \"init_lora_weights\": true, \"kasa_config\": null, \"layer_replication\": null,"
    " \"layers_pattern\": null, \"layers_to_transform\": null, \"loftq_config\": {}, \"lora_alpha\": 16,"
    " \"lora_bias\": false, \"lora_dropout\": 0.05, \"lora_ga_config\": null, \"megatron_config\": null,"
    " \"megatron_core\": \"megatron.core\", \"modules_to_save\": null, \"monteclora_config\": null,"
    " \"peft_type\": \"LORA\", \"peft_version\": \"0.21.2\", \"qalora_group_size\": 16, \"r\": 4,"
    " \"rank_pattern\": {}, \"revision\": null, \"target_modules\": [\"v_proj\", \"q_proj\"],"
    " \"target_parameters\": null, \"task_type\": \"CAUSAL_LM\", \"trainable_token_indices\": null,"
    " \"use_bdlora\": null, \"use_dora\": false, \"use_qalora\": false, \"use_rslora\": false,"
    " \"velora_config\": null}";

static json_t *json_of(const char *text)
{
    json_t *j = NULL;
    if (json_read_text(&j, text, strlen(text), "test") != OK) fail_msg("%s: %s", text, status_message());
    return j;
}

/* The published config with the members of change put in. */
static enum status parse_changed(struct peft_config *out, const char *change)
{
    json_t *j = json_of(published), *c = json_of(change);
    assert_int_equal(json_object_update(j, c), 0);
    const enum status s = peft_config_parse(out, j, "adapter_config.json");
    json_decref(c);
    json_decref(j);
    return s;
}

static void a_published_config_is_read(void **state)
{
    (void)state;
    struct peft_config c;
    if (parse_changed(&c, "{}") != OK) fail_msg("%s", status_message());
    assert_int_equal(c.r, 4);
    assert_true(c.alpha == 16 && peft_scale(&c) == 4);
    assert_string_equal(c.base_model, "togethercomputer/GPT-JT-6B-v1");
    if (parse_changed(&c, "{\"use_rslora\": true, \"lora_alpha\": 2.5}") != OK) fail_msg("%s", status_message());
    assert_true(peft_scale(&c) == 1.25);
    if (parse_changed(&c, "{\"init_lora_weights\": \"gaussian\", \"a_new_feature\": [], \"another\": 0}") != OK)
        fail_msg("%s", status_message());
}

static void what_would_change_the_result_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *change, *message;
    } cases[] = {
        {"{\"use_dora\": true}", "\"use_dora\" is set, which may change the result and is not done here"},
        {"{\"modules_to_save\": [\"lm_head\"]}",
         "\"modules_to_save\" is set, which may change the result and is not done here"},
        {"{\"rank_pattern\": {\"q_proj\": 2}}",
         "\"rank_pattern\" is set, which may change the result and is not done here"},
        {"{\"alpha_pattern\": {\"q_proj\": 2}}",
         "\"alpha_pattern\" is set, which may change the result and is not done here"},
        {"{\"fan_in_fan_out\": true}", "\"fan_in_fan_out\" is set, which may change the result and is not done here"},
        {"{\"lora_bias\": true}", "\"lora_bias\" is set, which may change the result and is not done here"},
        {"{\"layer_replication\": [[0, 1]]}",
         "\"layer_replication\" is set, which may change the result and is not done here"},
        {"{\"a_new_feature\": 1.5}", "\"a_new_feature\" is set, which may change the result and is not done here"},
        {"{\"bias\": \"lora_only\"}", "\"bias\" is \"lora_only\": trained biases are not read"},
        {"{\"peft_type\": \"IA3\"}", "\"peft_type\" is \"IA3\", this program has LORA"},
        {"{\"peft_type\": null}", "\"peft_type\" is \"\", this program has LORA"},
        {"{\"init_lora_weights\": \"pissa\"}",
         "\"init_lora_weights\" is \"pissa\", whose adapters need a changed base model"},
        {"{\"r\": 0}", "\"r\" is 0, not within 1..65536"},
        {"{\"r\": null}", "no \"r\""},
        {"{\"r\": \"4\"}", "\"r\" is not an integer"},
        {"{\"lora_alpha\": \"4\"}", "\"lora_alpha\" is not a number"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct peft_config c;
        if (parse_changed(&c, cases[i].change) == OK) fail_msg("accepted: %s", cases[i].change);
        char want[256];
        snprintf(want, sizeof want, "adapter_config.json: %s", cases[i].message);
        assert_string_equal(status_message(), want);
    }
}

/* ---- Files ---- */

struct set {
    struct peft_target targets[4];
    float values[4][2 * 24 * 3];
};

/* Rank 3, in an order that is not the sorted one. */
static void fill(struct set *s)
{
    static const struct {
        int layer;
        enum peft_module module;
        int64_t O, I;
    } places[] = {{1, PEFT_FC_OUT, 6, 24}, {0, PEFT_FC_IN, 24, 6}, {1, PEFT_Q_PROJ, 6, 6}, {0, PEFT_OUT_PROJ, 6, 6}};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        for (size_t k = 0; k < COUNT_OF(s->values[i]); k++)
            s->values[i][k] = (float)(i * 1000 + k);
        s->targets[i] = (struct peft_target){.layer = places[i].layer, .module = places[i].module};
        s->targets[i].a = (struct tensor){s->values[i], DTYPE_F32, 2, {3, places[i].I}};
        s->targets[i].b = (struct tensor){s->values[i] + 3 * places[i].I, DTYPE_F32, 2, {places[i].O, 3}};
    }
}

static void drop_files(void)
{
    scratch_drop(directory, "adapter_config.json");
    scratch_drop(directory, "adapter_model.safetensors");
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    struct set s;
    struct peft *p;
    const struct peft_config c = {.r = 3, .alpha = 4.5, .use_rslora = true, .base_model = "some/model"};
    fill(&s);
    if (peft_write(directory, &c, s.targets, 4) != OK) fail_msg("%s", status_message());
    if (peft_open(&p, directory, &model) != OK) fail_msg("%s", status_message());
    assert_int_equal(p->config.r, 3);
    assert_true(p->config.alpha == 4.5 && p->config.use_rslora);
    assert_string_equal(p->config.base_model, "some/model");
    assert_int_equal(p->n_targets, 4);
    for (int i = 0; i < 4; i++) {
        const struct peft_target *t = peft_find(p, s.targets[i].layer, s.targets[i].module);
        assert_non_null(t);
        assert_memory_equal(t->a.data, s.targets[i].a.data, (size_t)tensor_bytes(&s.targets[i].a));
        assert_memory_equal(t->b.data, s.targets[i].b.data, (size_t)tensor_bytes(&s.targets[i].b));
    }
    assert_ptr_equal(peft_find_parameter(p, "transformer.h.1.mlp.fc_out.weight"), peft_find(p, 1, PEFT_FC_OUT));
    assert_null(peft_find(p, 0, PEFT_Q_PROJ));
    assert_null(peft_find_parameter(p, "transformer.h.0.attn.q_proj.weight"));
    assert_null(peft_find_parameter(p, "transformer.h.1.mlp.fc_out.bias"));
    assert_null(peft_find_parameter(p, "transformer.h.1.mlp.fc_out"));
    assert_null(peft_find_parameter(p, "lm_head.weight"));
    peft_close(p);
    drop_files();
}

/* Writes an adapter_model.safetensors of these tensors, each of zeros. */
static void put_tensors(const struct tensor *tensors, const char *const *names, int n)
{
    static const float zeros[64];
    char path[512];
    struct safetensors_writer *w;
    assert_int_equal(file_join(path, sizeof path, directory, "adapter_model.safetensors"), OK);
    assert_int_equal(safetensors_writer_open(&w, path), OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(safetensors_writer_declare(w, names[i], &tensors[i]), OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(safetensors_writer_data(w, zeros, (size_t)tensor_bytes(&tensors[i])), OK);
    assert_int_equal(safetensors_writer_commit(w), OK);
}

#define HEAD "base_model.model.transformer.h."

static void broken_adapters_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *message;
        struct tensor a_like, b_like;
    } cases[] = {
        {HEAD "0.attn.q_proj.lora_A.weight",
         HEAD "0.attn.k_proj.lora_B.weight",
         HEAD "0.attn.k_proj.lora_B.weight is there and " HEAD "0.attn.k_proj.lora_A.weight is not",
         {NULL, DTYPE_F32, 2, {4, 6}},
         {NULL, DTYPE_F32, 2, {6, 4}}},
        {HEAD "2.attn.q_proj.lora_A.weight",
         HEAD "2.attn.q_proj.lora_B.weight",
         HEAD "2.attn.q_proj.lora_A.weight is of layer 2, the model has 2",
         {NULL, DTYPE_F32, 2, {4, 6}},
         {NULL, DTYPE_F32, 2, {6, 4}}},
        {HEAD "0.attn.q_proj.lora_A.weight",
         HEAD "0.attn.q_proj.lora_B.weight",
         HEAD "0.attn.q_proj.lora_A.weight is [3, 6], model and rank say [4, 6]",
         {NULL, DTYPE_F32, 2, {3, 6}},
         {NULL, DTYPE_F32, 2, {6, 3}}},
        {HEAD "0.attn.q_proj.lora_A.weight",
         HEAD "0.attn.q_proj.lora_B.weight",
         HEAD "0.attn.q_proj.lora_B.weight is [4, 6], model and rank say [6, 4]",
         {NULL, DTYPE_F32, 2, {4, 6}},
         {NULL, DTYPE_F32, 2, {4, 6}}},
        {HEAD "0.attn.q_proj.lora_A.weight",
         HEAD "0.attn.q_proj.lora_B.weight",
         HEAD "0.attn.q_proj.lora_A.weight is I32, not F32, F16 or BF16",
         {NULL, DTYPE_I32, 2, {4, 6}},
         {NULL, DTYPE_F32, 2, {6, 4}}},
        {HEAD "0.attn.q_proj.lora_A.weight",
         HEAD "0.attn.q_proj.lora_B.weight",
         HEAD "0.attn.q_proj.lora_A.weight and " HEAD "0.attn.q_proj.lora_B.weight differ in dtype",
         {NULL, DTYPE_F32, 2, {4, 6}},
         {NULL, DTYPE_F16, 2, {6, 4}}},
        {"base_model.model.lm_head.lora_A.weight",
         "base_model.model.lm_head.lora_B.weight",
         "base_model.model.lm_head.lora_A.weight does not adapt a linear map of a gptj block",
         {NULL, DTYPE_F32, 2, {4, 6}},
         {NULL, DTYPE_F32, 2, {6, 4}}},
        {HEAD "00.attn.q_proj.lora_A.weight",
         HEAD "0.attn.q_proj.lora_B.weight",
         HEAD "0.attn.q_proj.lora_B.weight is there and " HEAD "0.attn.q_proj.lora_A.weight is not",
         {NULL, DTYPE_F32, 2, {4, 6}},
         {NULL, DTYPE_F32, 2, {6, 4}}},
        {HEAD "0.attn.q_proj.lora_A.default.weight",
         HEAD "0.attn.q_proj.lora_B.default.weight",
         HEAD "0.attn.q_proj.lora_A.default.weight does not adapt a linear map of a gptj block",
         {NULL, DTYPE_F32, 2, {4, 6}},
         {NULL, DTYPE_F32, 2, {6, 4}}},
    };
    scratch_put(directory, "adapter_config.json", published);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct peft *p = NULL;
        put_tensors((const struct tensor[]){cases[i].a_like, cases[i].b_like},
                    (const char *const[]){cases[i].a, cases[i].b}, 2);
        assert_int_not_equal(peft_open(&p, directory, &model), OK);
        assert_null(p);
        if (!strstr(status_message(), cases[i].message)) fail_msg("%s, not %s", status_message(), cases[i].message);
    }
    struct peft *p = NULL;
    put_tensors(NULL, NULL, 0);
    assert_int_equal(peft_open(&p, directory, &model), E_FORMAT);
    assert_non_null(strstr(status_message(), "holds no tensors"));
    drop_files();
    assert_int_equal(peft_open(&p, directory, &model), E_IO);
}

static void modules_have_names(void **state)
{
    (void)state;
    for (enum peft_module m = 0; m < PEFT_MODULES; m++) {
        enum peft_module back = PEFT_MODULES;
        assert_true(peft_module_from_name(&back, peft_module_name(m)));
        assert_int_equal(back, m);
    }
    enum peft_module untouched = PEFT_FC_IN;
    assert_false(peft_module_from_name(&untouched, "lm_head"));
    assert_int_equal(untouched, PEFT_FC_IN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_published_config_is_read),
        cmocka_unit_test(what_would_change_the_result_is_refused_by_name),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(broken_adapters_are_refused),
        cmocka_unit_test(modules_have_names),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
