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
#include "train/recipe_options.h"

#define FIELD(name) offsetof(struct recipe, name)

enum { MAX_SOURCES = 1000, MAX_WHERE = 512 };

const struct option recipe_options[] = {RECIPE_OPTIONS(FIELD), {0}};

const struct recipe recipe_defaults = RECIPE_DEFAULTS;

static const char *const format_names[] = {"pile", "ni", "p3", "cot", "prompt", "tokens"};
static_assert(COUNT_OF(format_names) == DATA_FORMATS, "a name for each format of data.h");

static const char *const lora_names[] = {"q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"};

const char *train_precision_name(enum train_precision p)
{
    static const char *const names[] = {
        [PRECISION_FP32] = "fp32", [PRECISION_BF16] = "bf16", [PRECISION_FP16] = "fp16"};
    return names[p];
}

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

/* Of DiLoCo's first paper, which streaming keeps; in SparseLoCo what is left over is the momentum, and there is no
 * other.
 */
double recipe_outer_learning_rate(const struct recipe *r)
{
    return r->outer_learning_rate >= 0 ? r->outer_learning_rate : r->sync == SYNC_SPARSE ? 1 : .7;
}

double recipe_outer_momentum(const struct recipe *r)
{
    return r->outer_momentum >= 0 ? r->outer_momentum : r->sync == SYNC_SPARSE ? 0 : .9;
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
    const char *wrong = NULL, *of = "pile";
    if (s->format != DATA_PILE && strcmp(s->field, data_source_defaults.field)) wrong = "field";
    if (s->format != DATA_PILE && s->format != DATA_PROMPT && s->end_of_text) {
        wrong = "end_of_text";
        of = "pile or prompt";
    }
    if (s->format != DATA_PROMPT && (s->prompt || s->completion)) {
        wrong = s->prompt ? "prompt" : "completion";
        of = "prompt";
    }
    if (wrong)
        return fail(E_ARG, "%s[%d] \"%s\": \"%s\" is a setting of format %s, not of %s", list, i, s->name, wrong, of,
                    format_names[s->format]);
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

/* What is to be remembered must come again. */
static enum status check_epochs(const struct recipe *r)
{
    if (r->wire_activations < TRAIN_WIRE_AQ_INT8) return OK;
    if (!r->epoch_steps)
        return fail(E_ARG, "\"wire_activations\" sends how activations have changed since a sequence came by last, "
                           "but no sequence comes twice; give \"epoch_steps\"");
    if (r->steps > r->epoch_steps) return OK;
    return fail(E_ARG,
                "\"wire_activations\" sends how activations have changed since a sequence came by last, but in %" PRId64
                " \"steps\" none comes twice, as \"epoch_steps\" is %" PRId64,
                r->steps, r->epoch_steps);
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
    TRY(check_epochs(r));
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
    full.outer_learning_rate = recipe_outer_learning_rate(r);
    full.outer_momentum = recipe_outer_momentum(r);
    json_t *j = options_json(recipe_options, &full);
    if (!j) return NULL;
    if (json_object_set_new(j, "sources", sources_json(r->sources, r->data.n_sources)) ||
        json_object_set_new(j, "validation", sources_json(r->validation, r->n_validation))) {
        json_decref(j);
        return NULL;
    }
    return j;
}
