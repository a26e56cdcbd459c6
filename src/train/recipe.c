// SPDX-License-Identifier: Apache-2.0
/* Recipes: the table of settings, the card's values as defaults, and what must hold between settings. */
#include "train/recipe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/yaml.h"

#define FIELD(name) offsetof(struct recipe, name)

enum { MAX_SOURCES = 1000, MAX_WHERE = 512 };

const struct option recipe_options[] = {
    {"model", 'm', OPTION_STRING, FIELD(model), 0, 0, NULL, "MODEL",
     "where training starts: a Hugging Face directory, or a name in its cache"},
    {"output", 'o', OPTION_STRING, FIELD(output), 0, 0, NULL, "DIR",
     "the run's directory: checkpoints, metrics.jsonl, recipe.json"},
    {"steps", 0, OPTION_INT, FIELD(steps), 1, 1e9, NULL, "N", "optimizer steps (has no default)"},
    {"batch-size", 0, OPTION_INT, FIELD(batch_size), 1, 1 << 20, NULL, "N", "sequences of one optimizer step"},
    {"micro-batch-size", 0, OPTION_INT, FIELD(micro_batch_size), 1, 1 << 20, NULL, "N",
     "sequences computed at once; divides the batch"},
    {"seq-len", 0, OPTION_INT, FIELD(data.seq_len), 2, 1 << 16, NULL, "N", "tokens of a sequence"},
    {"documents", 0, OPTION_CHOICE, FIELD(data.documents), 0, 0, DATA_DOCUMENTS_NAMES, NULL,
     "whether documents packed into one sequence see each other"},
    {"objective", 0, OPTION_CHOICE, FIELD(data.objective), 0, 0, DATA_OBJECTIVE_NAMES, NULL,
     "what is predicted: every token, those behind a random split, or the UL2R mix of the latter and denoising"},
    {"seed", 0, OPTION_SEED, FIELD(data.seed), 0, 0, NULL, "N", "of everything random"},
    {"sentinel-first", 0, OPTION_INT, FIELD(data.sentinel_first), -1, INT32_MAX, NULL, "ID",
     "ul2r: the first sentinel's id (default: -1, the tokenizer's <|extratoken_1|>)"},
    {"sentinels", 0, OPTION_INT, FIELD(data.sentinels), 1, 1 << 16, NULL, "N",
     "ul2r: sentinels of one sequence at most"},
    {"mode-tokens", 0, OPTION_FLAG, FIELD(data.mode_tokens), 0, 0, NULL, NULL,
     "ul2r: [S2S], [NLU] or [NLG] in front of a sequence"},
    {"data-workers", 0, OPTION_INT, FIELD(data_workers), 0, 256, NULL, "N", "threads that read ahead"},

    {"precision", 0, OPTION_CHOICE, FIELD(precision), 0, 0, TRAIN_PRECISION_NAMES, NULL,
     "of products and stored activations; weights and moments are kept in fp32"},
    {"recompute", 0, OPTION_FLAG, FIELD(recompute), 0, 0, NULL, NULL,
     "keeps each block's input only and computes the rest again in the backward pass"},
    {"loss-scale", 0, OPTION_NUMBER, FIELD(loss_scale), 0x1p-20, 0x1p40, NULL, "X", "fp16: the first loss scale"},
    {"loss-scale-min", 0, OPTION_NUMBER, FIELD(loss_scale_min), 0x1p-20, 0x1p40, NULL, "X",
     "fp16: the smallest loss scale"},
    {"loss-scale-window", 0, OPTION_INT, FIELD(loss_scale_window), 1, 1e9, NULL, "N",
     "fp16: doubled after so many steps without overflow"},
    {"loss-scale-hysteresis", 0, OPTION_INT, FIELD(loss_scale_hysteresis), 1, 1e9, NULL, "N",
     "fp16: halved at so many overflows"},

    {"learning-rate", 0, OPTION_NUMBER, FIELD(learning_rate), 0, 10, NULL, "X", "the largest learning rate"},
    {"min-learning-rate", 0, OPTION_NUMBER, FIELD(min_learning_rate), 0, 10, NULL, "X", "where linear and cosine end"},
    {"schedule", 0, OPTION_CHOICE, FIELD(schedule), 0, 0, TRAIN_SCHEDULE_NAMES, NULL,
     "of the learning rate after the warm-up"},
    {"warmup-steps", 0, OPTION_INT, FIELD(warmup_steps), 0, 1e9, NULL, "N",
     "steps over which the learning rate rises linearly"},
    {"adam-beta1", 0, OPTION_NUMBER, FIELD(adam_beta1), 0, 0.9999999, NULL, "X", "decay of the first moment"},
    {"adam-beta2", 0, OPTION_NUMBER, FIELD(adam_beta2), 0, 0.9999999, NULL, "X", "decay of the second moment"},
    {"adam-epsilon", 0, OPTION_NUMBER, FIELD(adam_epsilon), 1e-30, 1, NULL, "X",
     "added to the root of the second moment"},
    {"weight-decay", 0, OPTION_NUMBER, FIELD(weight_decay), 0, 100, NULL, "X",
     "decoupled, times the learning rate; none on biases and norms"},
    {"max-grad-norm", 0, OPTION_NUMBER, FIELD(max_grad_norm), 0, 1e9, NULL, "X",
     "gradients are scaled down to this norm over all parameters; 0: never"},

    {"adapter", 0, OPTION_CHOICE, FIELD(adapter), 0, 0, TRAIN_ADAPTER_NAMES, NULL,
     "what is trained: all weights, or low-rank matrices beside some of them"},
    {"lora-rank", 0, OPTION_INT, FIELD(lora_rank), 1, 4096, NULL, "N", "rank of the added matrices"},
    {"lora-alpha", 0, OPTION_NUMBER, FIELD(lora_alpha), 1e-6, 1e6, NULL, "X", "they are added times alpha / rank"},
    {"lora-targets", 0, OPTION_STRINGS, FIELD(lora_targets), 0, 0, NULL, "NAME",
     "q_proj, k_proj, v_proj, out_proj, fc_in, fc_out (default: q_proj and v_proj)"},

    {"save-steps", 0, OPTION_INT, FIELD(save_steps), 0, 1e9, NULL, "N",
     "steps between checkpoints; 0: only at the end"},
    {"save-total-limit", 0, OPTION_INT, FIELD(save_total_limit), 0, 1e9, NULL, "N",
     "how many checkpoints are kept; 0: all"},
    {"eval-steps", 0, OPTION_INT, FIELD(eval_steps), 0, 1e9, NULL, "N", "steps between evaluations; 0: never"},
    {"eval-sequences", 0, OPTION_INT, FIELD(eval_sequences), 1, 1e9, NULL, "N", "sequences of an evaluation"},
    {"logging-steps", 0, OPTION_INT, FIELD(logging_steps), 1, 1e9, NULL, "N", "steps between lines of metrics.jsonl"},

    {"max-steps", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is called steps here"},
    {"num-train-epochs", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "sources repeat for ever; there is steps"},
    {"lr-scheduler-type", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is called schedule here"},
    {"per-device-train-batch-size", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is called micro_batch_size here"},
    {"gradient-accumulation-steps", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL,
     "it is batch_size divided by micro_batch_size"},
    {"gradient-checkpointing", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is called recompute here"},
    {"fp16", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "there is precision"},
    {"bf16", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "there is precision"},
    {"sources", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is a list and belongs into the recipe"},
    {"validation", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is a list and belongs into the recipe"},
    {0},
};

/* GPT-JT's: the model card and the scripts that its authors published, except for precision (fp16 there, because of
 * their GPUs) and documents (joined there). */
const struct recipe recipe_defaults = {
    .batch_size = 64,
    .micro_batch_size = 1,
    .data = {.seq_len = 2048,
             .documents = DOCUMENTS_ISOLATE,
             .objective = OBJECTIVE_PREFIX,
             .sentinel_first = -1,
             .sentinels = 80,
             .mode_tokens = true},
    .data_workers = 1,
    .precision = PRECISION_BF16,
    .recompute = true,
    .loss_scale = 32768,
    .loss_scale_min = 1,
    .loss_scale_window = 1000,
    .loss_scale_hysteresis = 2,
    .learning_rate = 1e-5,
    .schedule = SCHEDULE_LINEAR,
    .warmup_steps = 10,
    .adam_beta1 = .9,
    .adam_beta2 = .999,
    .adam_epsilon = 1e-6,
    .weight_decay = .01,
    .max_grad_norm = 1,
    .adapter = ADAPTER_NONE,
    .lora_rank = 8,
    .lora_alpha = 16,
    .save_steps = 500,
    .save_total_limit = 2,
    .eval_steps = 500,
    .eval_sequences = 64,
    .logging_steps = 1,
};

static const char *const format_names[] = {"pile", "ni", "p3", "cot", "prompt", "tokens"};
static_assert(COUNT_OF(format_names) == DATA_FORMATS, "a name for each format of data.h");

static const char *const lora_names[] = {"q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"};

static enum status read_source(struct data_source *s, const char *where, const json_t *entry)
{
    option_given given = 0;
    *s = data_source_defaults;
    if (!json_is_object(entry)) return fail(E_ARG, "%s: is not a mapping of settings", where);
    TRY(options_parse_json(data_source_options, s, where, entry, &given));
    if (s->format < 0) return fail(E_ARG, "%s: has no \"format\", which is one of " DATA_FORMAT_NAMES, where);
    if (!s->paths.n) return fail(E_ARG, "%s: has no \"paths\"", where);
    if (!s->name) s->name = format_names[s->format];
    return OK;
}

/* On an error *n counts what must be freed. */
static enum status read_sources(struct data_source **sources, int *n, const char *path, const json_t *file,
                                const char *key)
{
    const json_t *list = json_object_get(file, key);
    if (!list || json_is_null(list)) return OK;
    if (!json_is_array(list)) return fail(E_ARG, "%s: \"%s\" is not a list", path, key);
    const size_t count = json_array_size(list);
    if (count > MAX_SOURCES) return fail(E_LIMIT, "%s: more than %d \"%s\"", path, MAX_SOURCES, key);
    *sources = calloc(count ? count : 1, sizeof **sources);
    if (!*sources) return fail(E_NOMEM, "%s: out of memory", path);
    for (size_t i = 0; i < count; i++) {
        char where[MAX_WHERE];
        snprintf(where, sizeof where, "%s: %s[%zu]", path, key, i);
        *n = (int)i + 1;
        TRY(read_source(&(*sources)[i], where, json_array_get(list, i)));
    }
    return OK;
}

/* The lists are not in the table, so a misspelt one would get no suggestion from it. */
static enum status refuse_near_lists(const char *path, const json_t *settings)
{
    static const char *const lists[] = {"sources", "validation"};
    for (void *at = json_object_iter((json_t *)(uintptr_t)settings); at;
         at = json_object_iter_next((json_t *)(uintptr_t)settings, at)) {
        const char *key = json_object_iter_key(at), *near = options_nearest(key, lists, COUNT_OF(lists));
        if (near) return fail(E_ARG, "%s: unknown field \"%s\"; did you mean \"%s\"?", path, key, near);
    }
    return OK;
}

static enum status read_settings(struct recipe *r, const char *path, option_given *given)
{
    json_t *settings = json_copy(r->file); /* shallow: strings stay where r->file has them */
    if (!settings) return fail(E_NOMEM, "%s: out of memory", path);
    json_object_del(settings, "sources");
    json_object_del(settings, "validation");
    enum status s = refuse_near_lists(path, settings);
    if (s == OK) s = options_parse_json(recipe_options, r, path, settings, given);
    json_decref(settings);
    return s;
}

enum status recipe_read(struct recipe *r, const char *path, option_given *given)
{
    struct recipe read = recipe_defaults;
    int n_sources = 0;
    TRY(yaml_read_file(&read.file, path));
    enum status s = OK;
    if (!json_is_object(read.file)) s = fail(E_ARG, "%s: is not a recipe, a mapping of settings", path);
    if (s == OK) s = read_settings(&read, path, given);
    if (s == OK) s = read_sources(&read.sources, &n_sources, path, read.file, "sources");
    read.data.sources = read.sources;
    read.data.n_sources = n_sources;
    if (s == OK) s = read_sources(&read.validation, &read.n_validation, path, read.file, "validation");
    if (s == OK)
        *r = read;
    else
        recipe_free(&read);
    return s;
}

static void free_sources(struct data_source *sources, int n)
{
    for (int i = 0; i < n; i++)
        options_free(data_source_options, &sources[i]);
    free(sources);
}

void recipe_free(struct recipe *r)
{
    free_sources(r->sources, r->data.n_sources);
    free_sources(r->validation, r->n_validation);
    options_free(recipe_options, r);
    json_decref(r->file);
    *r = (struct recipe){0};
}

struct option_strings recipe_lora_targets(const struct recipe *r)
{
    static const char *usual[] = {"q_proj", "v_proj"};
    return r->lora_targets.n ? r->lora_targets : (struct option_strings){usual, COUNT_OF(usual)};
}

/* A setting of one format is not silently ignored by another. */
static enum status check_source(const struct data_source *sources, int i, const char *list)
{
    const struct data_source *s = &sources[i];
    if (s->weight <= 0)
        return fail(E_ARG, "%s[%d] \"%s\": \"weight\" is %.9g, not above 0", list, i, s->name, s->weight);
    for (int k = 0; k < i; k++)
        if (!strcmp(sources[k].name, s->name))
            return fail(E_ARG, "%s[%d] and [%d] are both called \"%s\"; give them a \"name\"", list, k, i, s->name);
    if (s->format == DATA_PILE) return OK;
    if (s->end_of_text || strcmp(s->field, data_source_defaults.field))
        return fail(E_ARG, "%s[%d] \"%s\": \"%s\" is a setting of format pile, not of %s", list, i, s->name,
                    s->end_of_text ? "end_of_text" : "field", format_names[s->format]);
    return OK;
}

static enum status check_data(const struct recipe *r)
{
    if (!r->data.n_sources) return fail(E_ARG, "the recipe has no \"sources\" to train on");
    for (int i = 0; i < r->data.n_sources; i++)
        TRY(check_source(r->sources, i, "sources"));
    for (int i = 0; i < r->n_validation; i++)
        TRY(check_source(r->validation, i, "validation"));
    if (r->data.seed > INT64_MAX) return fail(E_ARG, "\"seed\" is %" PRIu64 ", above 2^63 - 1", r->data.seed);
    return OK;
}

static enum status check_adapter(const struct recipe *r)
{
    const struct recipe *d = &recipe_defaults;
    const bool usual = r->lora_rank == d->lora_rank && r->lora_alpha >= d->lora_alpha &&
                       r->lora_alpha <= d->lora_alpha && !r->lora_targets.n;
    if (r->adapter == ADAPTER_NONE && !usual)
        return fail(E_ARG, "\"lora_rank\", \"lora_alpha\" and \"lora_targets\" need \"adapter\": lora");
    for (int i = 0; i < r->lora_targets.n; i++) {
        const char *name = r->lora_targets.items[i];
        bool known = false;
        for (size_t k = 0; k < COUNT_OF(lora_names); k++)
            known |= !strcmp(name, lora_names[k]);
        for (int k = 0; k < i; k++)
            if (!strcmp(name, r->lora_targets.items[k])) return fail(E_ARG, "\"lora_targets\" has %.60s twice", name);
        if (known) continue;
        const char *near = options_nearest(name, lora_names, COUNT_OF(lora_names));
        return fail(E_ARG, "\"lora_targets\" has no %.60s; %s%s", name, near ? "did you mean " : "there is q_proj, ",
                    near ? near : "k_proj, v_proj, out_proj, fc_in and fc_out");
    }
    return OK;
}

enum status recipe_check(const struct recipe *r)
{
    if (!r->model) return fail(E_ARG, "the recipe has no \"model\" to start from");
    if (!r->output) return fail(E_ARG, "the recipe has no \"output\" directory");
    if (!r->steps) return fail(E_ARG, "the recipe has no \"steps\"");
    if (r->batch_size % r->micro_batch_size)
        return fail(E_ARG, "\"batch_size\" is %" PRId64 ", not a multiple of \"micro_batch_size\", %" PRId64,
                    r->batch_size, r->micro_batch_size);
    if (r->min_learning_rate > r->learning_rate)
        return fail(E_ARG, "\"min_learning_rate\" is %.9g, above \"learning_rate\", %.9g", r->min_learning_rate,
                    r->learning_rate);
    if (r->loss_scale_min > r->loss_scale)
        return fail(E_ARG, "\"loss_scale_min\" is %.9g, above \"loss_scale\", %.9g", r->loss_scale_min, r->loss_scale);
    TRY(check_data(r));
    return check_adapter(r);
}

static json_t *sources_json(const struct data_source *sources, int n)
{
    json_t *list = json_array();
    for (int i = 0; list && i < n; i++) {
        if (!json_array_append_new(list, options_json(data_source_options, &sources[i]))) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

json_t *recipe_json(const struct recipe *r)
{
    struct recipe full = *r;
    if (r->adapter == ADAPTER_LORA) full.lora_targets = recipe_lora_targets(r);
    json_t *j = options_json(recipe_options, &full);
    if (!j) return NULL;
    if (json_object_set_new(j, "sources", sources_json(r->sources, r->data.n_sources)) ||
        json_object_set_new(j, "validation", sources_json(r->validation, r->n_validation))) {
        json_decref(j);
        return NULL;
    }
    return j;
}
