// SPDX-License-Identifier: Apache-2.0
/* Reads config.json strictly where a value changes the computation, and ignores the rest (dropout, initialisers, ...).
 */
#include "formats/gptj_config.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_DIM = 1 << 24, MAX_ROTARY = 1 << 25 };

/* A required integer, under either of two names. */
static enum status get_size(const json_t *j, const char *where, const char *key, const char *alias, int *out)
{
    int64_t v = -1;
    TRY(json_get_int(j, where, key, 1, MAX_DIM, &v));
    if (v < 0 && alias) TRY(json_get_int(j, where, alias, 1, MAX_DIM, &v));
    if (v < 0) return fail(E_FORMAT, "%s: no \"%s\"", where, key);
    *out = (int)v;
    return OK;
}

static enum status get_sizes(struct gptj_config *c, const json_t *j, const char *where)
{
    int64_t inner = 0, rotary = -1;
    TRY(get_size(j, where, "vocab_size", NULL, &c->V));
    TRY(get_size(j, where, "n_positions", "max_position_embeddings", &c->P));
    TRY(get_size(j, where, "n_embd", "hidden_size", &c->D));
    TRY(get_size(j, where, "n_layer", "num_hidden_layers", &c->L));
    TRY(get_size(j, where, "n_head", "num_attention_heads", &c->H));
    TRY(json_get_int(j, where, "n_inner", 1, MAX_DIM, &inner));
    TRY(json_get_int(j, where, "rotary_dim", 0, MAX_DIM, &rotary));
    if (c->L > 4096) return fail(E_FORMAT, "%s: \"n_layer\" is %d, more than 4096", where, c->L);
    if (c->D % c->H) return fail(E_FORMAT, "%s: \"n_embd\" %d is not a multiple of \"n_head\" %d", where, c->D, c->H);
    c->K = c->D / c->H;
    if (!inner && c->D > MAX_DIM / 4) return fail(E_FORMAT, "%s: \"n_embd\" %d is too large", where, c->D);
    c->F = inner ? (int)inner : 4 * c->D;
    if (rotary < 0) return fail(E_FORMAT, "%s: no \"rotary_dim\"", where);
    if (rotary % 2 || rotary > c->K)
        return fail(E_FORMAT, "%s: \"rotary_dim\" %d is not an even number up to the head size %d", where, (int)rotary,
                    c->K);
    c->R = (int)rotary;
    /* The one thing whose size no tensor of the file backs: a kilobyte of config.json must not ask for gigabytes. A
     * million positions of GPT-J's 64 dimensions are allowed. */
    if ((int64_t)c->P * (c->R / 2) > MAX_ROTARY)
        return fail(E_LIMIT,
                    "%s: \"n_positions\" %d and \"rotary_dim\" %d make a rotary table of %" PRId64
                    " angles, more than %d",
                    where, c->P, c->R, (int64_t)c->P * (c->R / 2), MAX_ROTARY);
    return OK;
}

/* An id, or in newer files a list of ids of which the first is the one we stop at. One beyond the vocabulary is what
 * small models come with whose author left GPT-J's 50256 in place: no text ever has it, so it is as good as none. */
static enum status get_token(const json_t *j, const char *where, const char *key, int V, int32_t *out)
{
    const json_t *v = json_object_get(j, key);
    if (json_is_array(v)) v = json_array_get(v, 0);
    if (!v || json_is_null(v)) return OK;
    if (!json_is_integer(v)) return fail(E_FORMAT, "%s: \"%s\" is not a token id", where, key);
    const json_int_t id = json_integer_value(v);
    *out = id >= 0 && id < V ? (int32_t)id : -1;
    return OK;
}

static enum status check_kind(const json_t *j, const char *where)
{
    const char *type = NULL, *act = "gelu_new";
    if (!json_is_object(j)) return fail(E_FORMAT, "%s: is not a JSON object", where);
    TRY(json_get_string(j, where, "model_type", &type));
    if (!type) return fail(E_FORMAT, "%s: no \"model_type\"", where);
    if (strcmp(type, "gptj"))
        return fail(E_UNSUPPORTED, "%s: \"model_type\" is \"%s\", this program runs gptj", where, type);
    TRY(json_get_string(j, where, "activation_function", &act));
    if (strcmp(act, "gelu_new") && strcmp(act, "gelu_fast") &&
        strcmp(act, "gelu_pytorch_tanh")) /* one function, three names */
        return fail(E_UNSUPPORTED, "%s: \"activation_function\" is \"%s\", this program has gelu_new", where, act);
    return OK;
}

static enum status get_generation(struct generation_config *g, const json_t *j, const char *where, const char *origin)
{
    int64_t top_k = g->top_k, max_length = 0, max_new = 0;
    TRY(json_get_bool(j, where, "do_sample", &g->do_sample));
    TRY(json_get_number(j, where, "temperature", &g->temperature));
    TRY(json_get_number(j, where, "top_p", &g->top_p));
    TRY(json_get_number(j, where, "repetition_penalty", &g->repetition_penalty));
    TRY(json_get_int(j, where, "top_k", 0, MAX_DIM, &top_k));
    TRY(json_get_int(j, where, "max_length", 0, MAX_DIM, &max_length));
    TRY(json_get_int(j, where, "max_new_tokens", 0, MAX_DIM, &max_new));
    g->top_k = (int)top_k;
    g->max_length = (int)max_length;
    g->max_new_tokens = (int)max_new;
    g->origin = origin;
    return OK;
}

static enum status get_mask(enum config_mask *out, const json_t *j, const char *where)
{
    const char *mask = NULL;
    TRY(json_get_string(j, where, "prompt_mask", &mask));
    if (!mask) return OK;
    if (!strcmp(mask, "prefix")) {
        *out = CONFIG_MASK_PREFIX;
    } else if (!strcmp(mask, "causal")) {
        *out = CONFIG_MASK_CAUSAL;
    } else {
        return fail(E_FORMAT, "%s: \"prompt_mask\" is \"%s\", neither \"prefix\" nor \"causal\"", where, mask);
    }
    return OK;
}

static enum status copy_text(char *out, size_t out_bytes, const json_t *j, const char *where, const char *key)
{
    const char *text = NULL;
    TRY(json_get_string(j, where, key, &text));
    if (text && strlen(text) < out_bytes) memcpy(out, text, strlen(text) + 1);
    return OK;
}

enum status checkpoint_config_parse(struct checkpoint_config *out, const json_t *config, const json_t *generation,
                                    const char *where)
{
    struct checkpoint_config c = {.generation = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .top_k = 50}};
    c.model.eps = 1e-5;
    c.model.bos = c.model.eos = -1;
    c.model.tied = false; /* GPTJConfig's own default; a file that ties says so */
    TRY(check_kind(config, where));
    TRY(get_sizes(&c.model, config, where));
    TRY(json_get_number(config, where, "layer_norm_epsilon", &c.model.eps));
    if (!(c.model.eps >= 0 && c.model.eps < 1))
        return fail(E_FORMAT, "%s: \"layer_norm_epsilon\" is %g, not within 0..1", where, c.model.eps);
    TRY(json_get_bool(config, where, "tie_word_embeddings", &c.model.tied));
    TRY(get_token(config, where, "bos_token_id", c.model.V, &c.model.bos));
    TRY(get_token(config, where, "eos_token_id", c.model.V, &c.model.eos));
    TRY(get_mask(&c.prompt_mask, config, where));
    TRY(copy_text(c.name_or_path, sizeof c.name_or_path, config, where, "_name_or_path"));
    TRY(copy_text(c.torch_dtype, sizeof c.torch_dtype, config, where, "torch_dtype"));
    if (!*c.torch_dtype) TRY(copy_text(c.torch_dtype, sizeof c.torch_dtype, config, where, "dtype")); /* since 4.56 */

    const json_t *task = json_object_get(json_object_get(config, "task_specific_params"), "text-generation");
    if (generation) {
        if (!json_is_object(generation)) return fail(E_FORMAT, "generation_config.json: is not a JSON object");
        TRY(get_generation(&c.generation, generation, "generation_config.json", "generation_config.json"));
        TRY(get_token(generation, "generation_config.json", "eos_token_id", c.model.V, &c.model.eos));
    } else if (json_is_object(task)) {
        TRY(get_generation(&c.generation, task, where, "task_specific_params"));
    }
    *out = c;
    return OK;
}

enum status checkpoint_config_read(struct checkpoint_config *out, const char *dir)
{
    char path[4096], generation_path[4096];
    json_t *config = NULL, *generation = NULL;
    TRY(file_join(path, sizeof path, dir, "config.json"));
    TRY(file_join(generation_path, sizeof generation_path, dir, "generation_config.json"));
    TRY(json_read_file(&config, path, MAX_CONFIG_BYTES));
    enum status s = OK;
    if (file_exists(generation_path)) s = json_read_file(&generation, generation_path, MAX_CONFIG_BYTES);
    if (s == OK) s = checkpoint_config_parse(out, config, generation, path);
    json_decref(generation);
    json_decref(config);
    return s;
}

enum status checkpoint_config_json(json_t **out, const struct gptj_config *c, const char *torch_dtype,
                                   enum config_mask prompt_mask)
{
    json_t *j = json_pack("{s:[s], s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:b, s:s}", "architectures",
                          "GPTJForCausalLM", "model_type", "gptj", "activation_function", "gelu_new", "vocab_size",
                          c->V, "n_positions", c->P, "n_embd", c->D, "n_layer", c->L, "n_head", c->H, "rotary_dim",
                          c->R, "layer_norm_epsilon", c->eps, "tie_word_embeddings", c->tied, "torch_dtype",
                          torch_dtype);
    if (!j) return fail(E_NOMEM, "config.json: out of memory");
    json_object_set_new(j, "n_inner", c->F == 4 * c->D ? json_null() : json_integer(c->F));
    if (c->bos >= 0) json_object_set_new(j, "bos_token_id", json_integer(c->bos));
    if (c->eos >= 0) json_object_set_new(j, "eos_token_id", json_integer(c->eos));
    if (prompt_mask != CONFIG_MASK_NONE)
        json_object_set_new(j, "prompt_mask", json_string(prompt_mask == CONFIG_MASK_PREFIX ? "prefix" : "causal"));
    *out = j;
    return OK;
}

int64_t gptj_config_parameters(const struct gptj_config *c)
{
    const int64_t V = c->V, D = c->D, F = c->F;
    const int64_t layer = 2 * D + 4 * D * D + F * D + F + D * F + D;
    return V * D + c->L * layer + 2 * D + (c->tied ? 0 : V * D) + V;
}
