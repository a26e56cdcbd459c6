// SPDX-License-Identifier: Apache-2.0
/* Names of the tensors, as PEFT saves them for the model class GPTJForCausalLM:
 *     base_model.model.transformer.h.3.attn.q_proj.lora_A.weight */
#include "formats/peft.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"
#include "formats/safetensors.h"

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_RANK = 1 << 16, NAME_BYTES = 128 };

static const char prefix[] = "base_model.model.", weight_suffix[] = ".weight";

static const struct {
    const char *name, *path; /* path: within a block */
} modules[PEFT_MODULES] = {
    {"q_proj", "attn.q_proj"},     {"k_proj", "attn.k_proj"}, {"v_proj", "attn.v_proj"},
    {"out_proj", "attn.out_proj"}, {"fc_in", "mlp.fc_in"},    {"fc_out", "mlp.fc_out"},
};

const char *peft_module_name(enum peft_module m)
{
    return modules[m].name;
}

bool peft_module_from_name(enum peft_module *out, const char *name)
{
    for (enum peft_module m = 0; m < PEFT_MODULES; m++) {
        if (strcmp(modules[m].name, name)) continue;
        *out = m;
        return true;
    }
    return false;
}

double peft_scale(const struct peft_config *c)
{
    return c->alpha / (c->use_rslora ? sqrt(c->r) : c->r);
}

/* ---- adapter_config.json ---- */

/* Fields that the result does not depend on: of training, of other kinds of layer, or only words. The tensors
 * themselves say which matrices are adapted. */
static const char *const harmless[] = {
    "auto_mapping",    "base_model_name_or_path", "corda_config",   "ensure_weight_tying", "eva_config",
    "exclude_modules", "inference_mode",          "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_dropout",    "lora_ga_config",          "megatron_core",  "peft_version",        "qalora_group_size",
    "revision",        "target_modules",          "task_type",
};
static const char *const understood[] = {"peft_type", "r", "lora_alpha", "use_rslora", "bias", "init_lora_weights"};

static bool is_among(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(word, words[i])) return true;
    return false;
}

/* false, null, 0, "", [] and {}: a feature that is off. */
static bool is_off(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) || (json_is_array(v) && !json_array_size(v)) ||
           (json_is_object(v) && !json_object_size(v)) || (json_is_integer(v) && !json_integer_value(v)) ||
           (json_is_string(v) && !json_string_length(v));
}

static enum status refuse_features(const json_t *j, const char *where)
{
    for (void *at = json_object_iter((json_t *)(uintptr_t)j); at;
         at = json_object_iter_next((json_t *)(uintptr_t)j, at)) {
        const char *key = json_object_iter_key(at);
        if (is_among(key, harmless, COUNT_OF(harmless)) || is_among(key, understood, COUNT_OF(understood))) continue;
        if (!is_off(json_object_iter_value(at)))
            return fail(E_UNSUPPORTED, "%s: \"%.60s\" is set, which may change the result and is not done here", where,
                        key);
    }
    return OK;
}

/* Some ways to begin move a part of the base's weights into the adapter, which then fits the changed base only. */
static enum status check_init(const json_t *j, const char *where)
{
    static const char *const keeps_base[] = {"gaussian", "eva", "orthogonal"};
    const json_t *init = json_object_get(j, "init_lora_weights");
    if (!init || json_is_null(init) || json_is_boolean(init)) return OK;
    const char *word = json_is_string(init) ? json_string_value(init) : "not a word";
    if (is_among(word, keeps_base, COUNT_OF(keeps_base))) return OK;
    return fail(E_UNSUPPORTED, "%s: \"init_lora_weights\" is \"%.40s\", whose adapters need a changed base model",
                where, word);
}

static enum status check_words(const json_t *j, const char *where)
{
    const char *type = "", *bias = "none";
    TRY(json_get_string(j, where, "peft_type", &type));
    TRY(json_get_string(j, where, "bias", &bias));
    if (strcmp(type, "LORA"))
        return fail(E_UNSUPPORTED, "%s: \"peft_type\" is \"%.40s\", this program has LORA", where, type);
    if (strcmp(bias, "none"))
        return fail(E_UNSUPPORTED, "%s: \"bias\" is \"%.40s\": trained biases are not read", where, bias);
    return OK;
}

enum status peft_config_parse(struct peft_config *out, const json_t *j, const char *where)
{
    struct peft_config c = {.alpha = 8}; /* PEFT's own default; r has one, too, but a file without it is not one */
    int64_t r = 0;
    const char *base = NULL;
    if (!json_is_object(j)) return fail(E_FORMAT, "%s: is not a JSON object", where);
    TRY(check_words(j, where));
    TRY(json_get_int(j, where, "r", 1, MAX_RANK, &r));
    if (!r) return fail(E_FORMAT, "%s: no \"r\"", where);
    TRY(json_get_number(j, where, "lora_alpha", &c.alpha));
    TRY(json_get_bool(j, where, "use_rslora", &c.use_rslora));
    TRY(json_get_string(j, where, "base_model_name_or_path", &base));
    TRY(check_init(j, where));
    TRY(refuse_features(j, where));
    c.r = (int)r;
    if (base && strlen(base) < sizeof c.base_model) memcpy(c.base_model, base, strlen(base) + 1);
    *out = c;
    return OK;
}

static enum status read_config(struct peft_config *out, const char *dir)
{
    char path[4096];
    json_t *j = NULL;
    TRY(file_join(path, sizeof path, dir, "adapter_config.json"));
    TRY(json_read_file(&j, path, MAX_CONFIG_BYTES));
    const enum status s = peft_config_parse(out, j, path);
    json_decref(j);
    return s;
}

/* ---- Tensors ---- */

/* "transformer.h.12.attn.q_proj" at the beginning of name; *rest is what follows. */
static bool parse_module(int *layer, enum peft_module *module, const char *name, const char **rest)
{
    static const char block[] = "transformer.h.";
    if (strncmp(name, block, strlen(block))) return false;
    const char *digits = name + strlen(block);
    const size_t n = strspn(digits, "0123456789");
    if (!n || n > 4 || digits[n] != '.' || (n > 1 && *digits == '0')) return false;
    *layer = atoi(digits);
    const char *path = digits + n + 1;
    for (enum peft_module m = 0; m < PEFT_MODULES; m++) {
        const size_t len = strlen(modules[m].path);
        if (strncmp(path, modules[m].path, len) || path[len] != '.') continue;
        *module = m;
        *rest = path + len;
        return true;
    }
    return false;
}

static bool parse_name(int *layer, enum peft_module *module, bool *is_b, const char *name)
{
    const char *rest;
    if (strncmp(name, prefix, strlen(prefix))) return false;
    if (!parse_module(layer, module, name + strlen(prefix), &rest)) return false;
    *is_b = !strcmp(rest, ".lora_B.weight");
    return *is_b || !strcmp(rest, ".lora_A.weight");
}

void peft_tensor_name(char *name, size_t bytes, int layer, enum peft_module module, bool is_b)
{
    snprintf(name, bytes, "%stransformer.h.%d.%s.lora_%c%s", prefix, layer, modules[module].path, is_b ? 'B' : 'A',
             weight_suffix);
}

/* A map's outputs and inputs. */
void peft_module_sizes(const struct gptj_config *c, enum peft_module m, int *O, int *I)
{
    *O = m == PEFT_FC_IN ? c->F : c->D;
    *I = m == PEFT_FC_OUT ? c->F : c->D;
}

static enum status check_tensor(const struct tensor *t, const char *name, int64_t rows, int64_t columns)
{
    char shape[128];
    if (t->n_dims != 2 || t->shape[0] != rows || t->shape[1] != columns)
        return fail(E_FORMAT, "%s is %s, model and rank say [%" PRId64 ", %" PRId64 "]", name,
                    tensor_shape_text(t, shape, sizeof shape), rows, columns);
    if (t->dtype != DTYPE_F32 && t->dtype != DTYPE_F16 && t->dtype != DTYPE_BF16)
        return fail(E_FORMAT, "%s is %s, not F32, F16 or BF16", name, dtype_name(t->dtype));
    return OK;
}

/* Entries are sorted by name, so each A comes right before its B. */
static enum status add_target(struct peft *p, int at, const struct gptj_config *model, const char *dir)
{
    const struct source_entry *e = &p->source->entries[at];
    struct peft_target t = {0};
    bool is_b;
    if (!parse_name(&t.layer, &t.module, &is_b, e->name))
        return fail(E_UNSUPPORTED, "%s: %.200s does not adapt a linear map of a gptj block", dir, e->name);
    if (t.layer >= model->L)
        return fail(E_FORMAT, "%s: %s is of layer %d, the model has %d", dir, e->name, t.layer, model->L);
    char name[NAME_BYTES];
    peft_tensor_name(name, sizeof name, t.layer, t.module, !is_b);
    const struct tensor *other = source_find(p->source, name);
    if (!other) return fail(E_FORMAT, "%s: %s is there and %s is not", dir, e->name, name);
    if (is_b) return OK;
    int O, I;
    peft_module_sizes(model, t.module, &O, &I);
    TRY(check_tensor(&e->tensor, e->name, p->config.r, I));
    TRY(check_tensor(other, name, O, p->config.r));
    if (e->tensor.dtype != other->dtype) return fail(E_FORMAT, "%s: %s and %s differ in dtype", dir, e->name, name);
    t.a = e->tensor;
    t.b = *other;
    p->targets[p->n_targets++] = t;
    return OK;
}

static int place(int layer, enum peft_module module)
{
    return layer * PEFT_MODULES + (int)module;
}

static int compare_targets(const void *a, const void *b)
{
    const struct peft_target *x = a, *y = b;
    return place(x->layer, x->module) - place(y->layer, y->module);
}

static enum status read_tensors(struct peft *p, const char *dir, const struct gptj_config *model)
{
    char path[4096];
    TRY(file_join(path, sizeof path, dir, "adapter_model.safetensors"));
    if (!file_exists(path)) TRY(file_join(path, sizeof path, dir, "adapter_model.bin")); /* PEFT's before 2023 */
    TRY(source_open_file(&p->source, path));
    if (!p->source->n_entries) return fail(E_FORMAT, "%s: holds no tensors", path);
    p->targets = calloc((size_t)p->source->n_entries, sizeof *p->targets);
    if (!p->targets) return fail(E_NOMEM, "%s: out of memory", path);
    for (int i = 0; i < p->source->n_entries; i++)
        TRY(add_target(p, i, model, dir));
    qsort(p->targets, (size_t)p->n_targets, sizeof *p->targets, compare_targets);
    return OK;
}

enum status peft_open(struct peft **out, const char *dir, const struct gptj_config *model)
{
    struct peft *p = calloc(1, sizeof *p);
    if (!p) return fail(E_NOMEM, "%s: out of memory", dir);
    enum status s = read_config(&p->config, dir);
    if (s == OK) s = read_tensors(p, dir, model);
    if (s == OK)
        *out = p;
    else
        peft_close(p);
    return s;
}

void peft_close(struct peft *p)
{
    if (!p) return;
    source_close(p->source);
    free(p->targets);
    free(p);
}

const struct peft_target *peft_find(const struct peft *p, int layer, enum peft_module module)
{
    const struct peft_target key = {.layer = layer, .module = module};
    return bsearch(&key, p->targets, (size_t)p->n_targets, sizeof key, compare_targets);
}

const struct peft_target *peft_find_parameter(const struct peft *p, const char *name)
{
    int layer;
    enum peft_module module;
    const char *rest;
    if (!parse_module(&layer, &module, name, &rest) || strcmp(rest, weight_suffix)) return NULL;
    return peft_find(p, layer, module);
}

/* ---- Writing ---- */

static json_t *module_names(const struct peft_target *targets, int n)
{
    json_t *names = json_array();
    for (enum peft_module m = 0; names && m < PEFT_MODULES; m++) {
        bool has = false;
        for (int i = 0; i < n; i++)
            has |= targets[i].module == m;
        if (!has || !json_array_append_new(names, json_string(modules[m].name))) continue;
        json_decref(names);
        names = NULL;
    }
    return names;
}

/* PEFT writes whole numbers without a point and reads both. */
static json_t *number_json(double x)
{
    return floor(x) < x ? json_real(x) : json_integer((json_int_t)x);
}

static json_t *config_json(const struct peft_config *c, const struct peft_target *targets, int n)
{
    return json_pack("{s:{}, s:s?, s:s, s:b, s:b, s:b, s:o, s:f, s:n, s:s, s:i, s:{}, s:o, s:s, s:b, s:b}",
                     "alpha_pattern", "base_model_name_or_path", *c->base_model ? c->base_model : NULL, "bias", "none",
                     "fan_in_fan_out", 0, "inference_mode", 1, "init_lora_weights", 1, "lora_alpha",
                     number_json(c->alpha), "lora_dropout", 0.0, "modules_to_save", "peft_type", "LORA", "r", c->r,
                     "rank_pattern", "target_modules", module_names(targets, n), "task_type", "CAUSAL_LM", "use_dora",
                     0, "use_rslora", c->use_rslora);
}

static enum status write_config(const char *dir, const struct peft_config *c, const struct peft_target *targets, int n)
{
    char path[4096];
    TRY(file_join(path, sizeof path, dir, "adapter_config.json"));
    json_t *j = config_json(c, targets, n);
    if (!j) return fail(E_NOMEM, "%s: out of memory", path);
    const enum status s = json_write_file(j, path);
    json_decref(j);
    return s;
}

static enum status write_tensors(struct safetensors_writer *w, const struct peft_target *targets, int n)
{
    char name[NAME_BYTES];
    TRY(safetensors_writer_metadata(w, "format", "pt"));
    for (int i = 0; i < n; i++) {
        peft_tensor_name(name, sizeof name, targets[i].layer, targets[i].module, false);
        TRY(safetensors_writer_declare(w, name, &targets[i].a));
        peft_tensor_name(name, sizeof name, targets[i].layer, targets[i].module, true);
        TRY(safetensors_writer_declare(w, name, &targets[i].b));
    }
    for (int i = 0; i < n; i++) {
        TRY(safetensors_writer_data(w, targets[i].a.data, (size_t)tensor_bytes(&targets[i].a)));
        TRY(safetensors_writer_data(w, targets[i].b.data, (size_t)tensor_bytes(&targets[i].b)));
    }
    return OK;
}

enum status peft_write(const char *dir, const struct peft_config *c, const struct peft_target *targets, int n_targets)
{
    char path[4096];
    struct safetensors_writer *w;
    TRY(file_join(path, sizeof path, dir, "adapter_model.safetensors"));
    TRY(safetensors_writer_open(&w, path));
    enum status s = write_tensors(w, targets, n_targets);
    if (s == OK) s = write_config(dir, c, targets, n_targets);
    if (s == OK) return safetensors_writer_commit(w);
    safetensors_writer_abort(w);
    return s;
}
