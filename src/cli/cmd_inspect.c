// SPDX-License-Identifier: Apache-2.0
/* gptjt inspect: what a model directory holds, how it would be run and what that takes. Weights stay on the disk,
 * unless --verify asks to look at all of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "cli/command.h"
#include "cli/common.h"
#include "engine/engine.h"
#include "hub/model_path.h"
#include "model/verify.h"

struct settings {
    struct common common;
    bool json, verify, tensors;
    int64_t context;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "one JSON object instead of text"},
    {.name = "verify",
     .type = OPTION_FLAG,
     FIELD(verify),
     .help = "read every weight once and name the tensors that hold NaN or infinity"},
    {.name = "tensors", .type = OPTION_FLAG, FIELD(tensors), .help = "list every tensor of the files"},
    {.name = "context",
     .type = OPTION_INT,
     FIELD(context),
     .min = 1,
     .max = 1 << 24,
     .meta = "N",
     .help = "also say what N tokens of context take (default 256, 512, ... up to n_positions)"},
    {.name = "prompt-mask",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct common, prompt_mask),
     .choices = "auto|prefix|causal",
     .help = "as the other commands take it; auto: what the checkpoint was trained for"},
    {.name = "threads",
     .type = OPTION_INT,
     .offset = offsetof(struct common, threads),
     .max = 1024,
     .meta = "N",
     .help = "threads for --verify (default 0: as many as this process may use)"},
    COMMON_LOG_OPTIONS,
    {0},
};

/* ---- Gathering ---- */

enum { MAX_CONTEXTS = 32, CHOICES = 6 };

/* What --weights can be. */
static const struct {
    const char *name;
    enum weight_type type;
} choices[CHOICES] = {
    {"auto", WEIGHT_AS_STORED}, {"fp32", WEIGHT_F32}, {"fp16", WEIGHT_F16},
    {"bf16", WEIGHT_BF16},      {"q8", WEIGHT_Q8},    {"q4", WEIGHT_Q4},
};

struct dtype_use {
    int64_t n_tensors, bytes;
};

struct context {
    int tokens;
    struct session_size fp32, fp16; /* by the type of K/V */
};

struct bad_tensor {
    char name[96];
    struct verify_result result;
};

struct report {
    const struct settings *set;
    struct gptjt_engine *engine; /* owned; its name, config, source, tokenizer and mask, no weights */
    const char *name, *dir;      /* borrowed */
    struct dtype_use dtypes[DTYPE_COUNT];
    struct gptj_memory weights[CHOICES];
    struct context contexts[MAX_CONTEXTS];
    int n_contexts;
    struct bad_tensor *bad; /* [n_bad], owned */
    int n_bad, n_verified;
};

static void add_context(struct report *r, int tokens)
{
    int at = r->n_contexts;
    while (at > 0 && r->contexts[at - 1].tokens > tokens)
        at--;
    if (at > 0 && r->contexts[at - 1].tokens == tokens) return;
    memmove(&r->contexts[at + 1], &r->contexts[at], (size_t)(r->n_contexts - at) * sizeof r->contexts[0]);
    const size_t session = gptjt_tokens_needed((size_t)tokens, 1, 0);
    const struct gptj_config *c = &r->engine->config.model;
    r->contexts[at] = (struct context){tokens, session_size_for(c, session, DTYPE_F32, OPS_CPU_BLOCK_ROWS),
                                       session_size_for(c, session, DTYPE_F16, OPS_CPU_BLOCK_ROWS)};
    r->n_contexts++;
}

static enum status gather(struct report *r)
{
    const struct gptj_config *c = &r->engine->config.model;
    const struct source *src = r->engine->source;
    if (r->set->context > c->P)
        return fail(E_LIMIT, "--context is %" PRId64 ", more than the model's window of %d", r->set->context, c->P);
    for (int i = 0; i < src->n_entries; i++) {
        const struct tensor *t = &src->entries[i].tensor;
        r->dtypes[t->dtype].n_tensors++;
        r->dtypes[t->dtype].bytes += tensor_bytes(t);
    }
    for (int t = 0; t < CHOICES; t++)
        r->weights[t] = gptj_memory(c, src, choices[t].type);
    for (int64_t n = 256; n < c->P; n *= 2)
        add_context(r, (int)n);
    add_context(r, c->P);
    if (r->set->context) add_context(r, (int)r->set->context);
    return OK;
}

/* ---- Verifying ---- */

struct verifying {
    struct report *report;
    struct pool *pool;
    struct progress bar;
};

static enum status verify_one(void *user, const struct gptj_tensor_spec *spec)
{
    struct verifying *v = user;
    struct report *r = v->report;
    struct weight w;
    if (!gptj_stored_weight(&w, r->engine->source, spec)) return OK;
    const struct verify_result result = verify_weight(&w, v->pool, &v->bar);
    r->n_verified++;
    if (!result.n_bad) return OK;
    struct bad_tensor *more = realloc(r->bad, (size_t)(r->n_bad + 1) * sizeof *more);
    if (!more) return fail(E_NOMEM, "out of memory");
    r->bad = more;
    struct bad_tensor *b = &r->bad[r->n_bad++];
    snprintf(b->name, sizeof b->name, "%s", spec->name);
    b->result = result;
    return OK;
}

static enum status sum_bytes(void *user, const struct gptj_tensor_spec *spec)
{
    struct verifying *v = user;
    v->bar.total += (uint64_t)tensor_bytes(source_find(v->report->engine->source, spec->name));
    return OK;
}

/* The parameters, and not the old versions' buffers: masked_bias is -1e9, which fp16 has to store as minus infinity. */
static enum status verify(struct report *r)
{
    const struct common *common = &r->set->common;
    const struct gptj_config *c = &r->engine->config.model;
    struct verifying v = {.report = r};
    TRY(pool_create(&v.pool, common->threads ? (int)common->threads : pool_default_threads()));
    gptj_each_tensor(c, sum_bytes, &v);
    progress_begin(&v.bar, "verify", "B", v.bar.total, common->quiet);
    const enum status s = gptj_each_tensor(c, verify_one, &v);
    progress_end(&v.bar);
    pool_free(v.pool);
    return s;
}

/* ---- Text ---- */

/* With --weights as choices[choice] and everything else as it is by default. */
static int64_t total_bytes(const struct report *r, const struct context *c, int choice)
{
    const enum compute_type compute = engine_auto_compute(
        gptj_held_type(&r->engine->config.model, r->engine->source, choices[choice].type), kernels_best_level());
    const struct session_size *size = engine_kv_dtype(compute) == DTYPE_F32 ? &c->fp32 : &c->fp16;
    return r->weights[choice].mapped + r->weights[choice].heap + (int64_t)(size->kv_bytes + size->work_bytes);
}

static const char *mask_name(const struct report *r)
{
    return r->engine->mask.mask == GPTJT_MASK_PREFIX ? "prefix" : "causal";
}

/* The sizes under config.json's own names. */
static enum status config_json(json_t **out, const struct report *r)
{
    const struct checkpoint_config *c = &r->engine->config;
    TRY(checkpoint_config_json(out, &c->model, c->torch_dtype, c->prompt_mask));
    if (!*c->torch_dtype) json_object_del(*out, "torch_dtype");
    return OK;
}

static enum status print_config(const struct report *r)
{
    json_t *config = NULL;
    TRY(config_json(&config, r));
    const char *key;
    json_t *value;
    json_object_foreach (config, key, value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        if (json_is_string(value))
            printf("  %-22s %s\n", key, json_string_value(value));
        else if (json_is_null(value))
            printf("  %-22s %d (4 n_embd)\n", key, r->engine->config.model.F);
        else if (text && !json_is_array(value))
            printf("  %-22s %s\n", key, text);
        free(text);
    }
    json_decref(config);
    return OK;
}

static void print_generation(const struct generation_config *g)
{
    if (!g->origin) return;
    printf("  %-22s do_sample %s, temperature %g, top_k %d, top_p %g, repetition_penalty %g", "generation settings",
           g->do_sample ? "true" : "false", g->temperature, g->top_k, g->top_p, g->repetition_penalty);
    if (g->max_length) printf(", max_length %d", g->max_length);
    if (g->max_new_tokens) printf(", max_new_tokens %d", g->max_new_tokens);
    printf("\n  %-22s (from %s; applied only with --hf-defaults)\n", "", g->origin);
}

/* "; embedding and head q8", where that is something else. */
static const char *head_note(const struct gptjt_engine *e)
{
    const struct gptj_tensor_spec spec = {"transformer.wte.weight", 2, {e->config.model.V, e->config.model.D}};
    struct weight w = {0};
    if (!gptj_stored_weight(&w, e->source, &spec) || w.type == gptj_quantised_type(&e->config.model, e->source))
        return "";
    return w.type == WEIGHT_Q8 ? "; embedding and head q8, 8.25" : "; embedding and head as they were";
}

static void print_files(const struct report *r)
{
    const struct gptjt_engine *e = r->engine;
    printf("  %-22s %s, %s\n", "weights", e->source->ops->kind, amount_bytes(e->source->file_bytes).text);
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (r->dtypes[d].n_tensors)
            printf("  %-22s %-4s %6" PRId64 " tensors %10s\n", "", dtype_name((enum dtype)d), r->dtypes[d].n_tensors,
                   amount_bytes((uint64_t)r->dtypes[d].bytes).text);
    const enum weight_type quantised = gptj_quantised_type(&e->config.model, e->source);
    if (quantised != WEIGHT_TYPES)
        printf("  %-22s %s, %.2f bits a weight%s\n", "quantised matrices", weight_type_name(quantised),
               (double)weight_bytes(quantised, 16, 64) * 8 / (16 * 64), head_note(e));
    if (e->tokenizer.bpe)
        printf("  %-22s %d tokens\n", "tokenizer", tokenizer_size(e->tokenizer.bpe));
    else
        printf("  %-22s none: %s; token ids only\n", "tokenizer", e->no_tokenizer);
}

static void print_memory(const struct report *r)
{
    printf("\nmemory for weights        mapped file       heap\n");
    for (int t = 0; t < CHOICES; t++)
        printf("  --weights %-12s %12s %10s\n", choices[t].name, amount_bytes((uint64_t)r->weights[t].mapped).text,
               amount_bytes((uint64_t)r->weights[t].heap).text);
    printf("\nmemory by context                              total with --weights\n");
    printf("  %-8s %10s %10s %10s  ", "tokens", "K/V fp32", "K/V fp16", "work");
    for (int t = 0; t < CHOICES; t++)
        printf(" %10s", choices[t].name);
    printf("\n");
    for (int i = 0; i < r->n_contexts; i++) {
        const struct context *c = &r->contexts[i];
        printf("  %-8d %10s %10s %10s  ", c->tokens, amount_bytes(c->fp32.kv_bytes).text,
               amount_bytes(c->fp16.kv_bytes).text, amount_bytes(c->fp32.work_bytes).text);
        for (int t = 0; t < CHOICES; t++)
            printf(" %10s", amount_bytes((uint64_t)total_bytes(r, c, t)).text);
        printf("\n");
    }
}

static void print_tensors(const struct report *r)
{
    const struct source *src = r->engine->source;
    printf("\n%-44s %-5s %-16s %14s\n", "tensor", "dtype", "shape", "bytes");
    for (int i = 0; i < src->n_entries; i++) {
        const struct tensor *t = &src->entries[i].tensor;
        char shape[256];
        printf("%-44s %-5s %-16s %14" PRId64 "\n", src->entries[i].name, dtype_name(t->dtype),
               tensor_shape_text(t, shape, sizeof shape), tensor_bytes(t));
    }
}

static void print_verified(const struct report *r)
{
    printf("\n");
    for (int i = 0; i < r->n_bad; i++) {
        const struct bad_tensor *b = &r->bad[i];
        printf("%s: %" PRId64 " values are NaN or infinity, the first at %" PRId64 "\n", b->name, b->result.n_bad,
               b->result.first);
    }
    if (!r->n_bad) printf("all values of %d tensors are finite\n", r->n_verified);
}

static enum status print_text(const struct report *r)
{
    const struct gptjt_engine *e = r->engine;
    printf("%s (%s)\n", r->name, r->dir);
    TRY(print_config(r));
    printf("  %-22s %s\n", "parameters", amount_count(gptj_config_parameters(&e->config.model)).text);
    printf("  %-22s %s (%s)\n", "mask", mask_name(r), e->mask.reason);
    print_generation(&e->config.generation);
    print_files(r);
    print_memory(r);
    if (r->set->tensors) print_tensors(r);
    if (r->set->verify) print_verified(r);
    return OK;
}

/* ---- JSON: each function makes one member's value, NULL without memory ---- */

static json_t *dtypes_json(const struct report *r)
{
    json_t *list = json_array();
    for (int d = 0; d < DTYPE_COUNT; d++) {
        const struct dtype_use *u = &r->dtypes[d];
        if (u->n_tensors)
            json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "dtype", dtype_name((enum dtype)d), "tensors",
                                                  (json_int_t)u->n_tensors, "bytes", (json_int_t)u->bytes));
    }
    return list;
}

static json_t *generation_json(const struct generation_config *g)
{
    if (!g->origin) return json_null();
    json_t *j = json_pack("{s:s, s:s, s:b, s:f, s:i, s:f, s:f}", "origin", g->origin, "applied_with", "--hf-defaults",
                          "do_sample", g->do_sample, "temperature", g->temperature, "top_k", g->top_k, "top_p",
                          g->top_p, "repetition_penalty", g->repetition_penalty);
    if (g->max_length) json_object_set_new(j, "max_length", json_integer(g->max_length));
    if (g->max_new_tokens) json_object_set_new(j, "max_new_tokens", json_integer(g->max_new_tokens));
    return j;
}

static json_t *memory_json(const struct report *r)
{
    json_t *weights = json_array(), *contexts = json_array();
    for (int t = 0; t < CHOICES; t++)
        json_array_append_new(weights, json_pack("{s:s, s:I, s:I}", "weights", choices[t].name, "mapped_bytes",
                                                 (json_int_t)r->weights[t].mapped, "heap_bytes",
                                                 (json_int_t)r->weights[t].heap));
    for (int i = 0; i < r->n_contexts; i++) {
        const struct context *c = &r->contexts[i];
        json_t *totals = json_object();
        for (int t = 0; t < CHOICES; t++)
            json_object_set_new(totals, choices[t].name, json_integer(total_bytes(r, c, t)));
        json_array_append_new(contexts,
                              json_pack("{s:i, s:I, s:I, s:I, s:o}", "tokens", c->tokens, "kv_bytes",
                                        (json_int_t)c->fp32.kv_bytes, "kv_fp16_bytes", (json_int_t)c->fp16.kv_bytes,
                                        "work_bytes", (json_int_t)c->fp32.work_bytes, "total_bytes", totals));
    }
    return json_pack("{s:o, s:o}", "weights", weights, "contexts", contexts);
}

static json_t *tensors_json(const struct report *r)
{
    const struct source *src = r->engine->source;
    json_t *list = json_array();
    for (int i = 0; i < src->n_entries; i++) {
        const struct tensor *t = &src->entries[i].tensor;
        json_t *shape = json_array();
        for (int d = 0; d < t->n_dims; d++)
            json_array_append_new(shape, json_integer(t->shape[d]));
        json_array_append_new(list,
                              json_pack("{s:o, s:s, s:o, s:I}", "name",
                                        cli_json_text(src->entries[i].name, strlen(src->entries[i].name)), "dtype",
                                        dtype_name(t->dtype), "shape", shape, "bytes", (json_int_t)tensor_bytes(t)));
    }
    return list;
}

static json_t *bad_json(const struct report *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_bad; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", r->bad[i].name, "values",
                                              (json_int_t)r->bad[i].result.n_bad, "first",
                                              (json_int_t)r->bad[i].result.first));
    return list;
}

static enum status print_json(const struct report *r)
{
    const struct gptjt_engine *e = r->engine;
    json_t *config = NULL;
    TRY(config_json(&config, r));
    const enum weight_type quantised = gptj_quantised_type(&e->config.model, e->source);
    json_t *quantisation = quantised == WEIGHT_TYPES ? json_null() : json_string(weight_type_name(quantised));
    json_t *tokenizer = e->tokenizer.bpe ? json_pack("{s:i}", "size", tokenizer_size(e->tokenizer.bpe)) : json_null();
    json_t *j = json_pack("{s:o, s:o, s:o, s:I, s:s, s:s, s:o, s:{s:s, s:I, s:o, s:o}, s:o, s:o}", "model",
                          cli_json_text(r->name, strlen(r->name)), "directory", cli_json_text(r->dir, strlen(r->dir)),
                          "config", config, "parameters", (json_int_t)gptj_config_parameters(&e->config.model),
                          "prompt_mask", mask_name(r), "prompt_mask_reason", e->mask.reason, "generation_config",
                          generation_json(&e->config.generation), "weights", "kind", e->source->ops->kind, "file_bytes",
                          (json_int_t)e->source->file_bytes, "dtypes", dtypes_json(r), "quantization", quantisation,
                          "tokenizer", tokenizer, "memory", memory_json(r));
    if (r->set->tensors) json_object_set_new(j, "tensors", tensors_json(r));
    if (r->set->verify) json_object_set_new(j, "non_finite", bad_json(r));
    return cli_json_print(j);
}

/* ---- Running ---- */

static enum status execute(struct report *r, const struct model_path *path)
{
    const struct settings *set = r->set;
    TRY(engine_read_checkpoint(r->engine, path->dir, (enum gptjt_mask)set->common.prompt_mask));
    r->name = path->hub_name ? path->hub_name : r->engine->name;
    TRY(gather(r));
    if (set->verify) TRY(verify(r));
    TRY(set->json ? print_json(r) : print_text(r));
    if (r->n_bad)
        return fail(E_NUMERIC, "%s: %d of %d tensors have values that are NaN or infinity, the first is %s", path->dir,
                    r->n_bad, r->n_verified, r->bad[0].name);
    return OK;
}

static enum status run(void *settings, const struct option_args *args)
{
    struct settings *set = settings;
    TRY(cli_take_model(&set->common, args));
    struct model_path path;
    TRY(model_path_resolve(&path, set->common.model));
    struct report r = {.set = set, .dir = path.dir, .engine = calloc(1, sizeof *r.engine)};
    if (!r.engine) return fail(E_NOMEM, "out of memory");
    const enum status s = execute(&r, &path);
    free(r.bad);
    gptjt_engine_close(r.engine);
    return s;
}

const struct command command_inspect = {
    .name = "inspect",
    .summary = "say what a model is, which mask it gets and what memory it takes",
    .usage = "[MODEL] [--verify] [--tensors] [--json] [options]",
    .about =
        "Reads the headers of a model's files and not its weights, so it is quick for any size. --verify reads all\n"
        "weights and exits with 1 if any is NaN or infinity.",
    .examples = "  gptjt inspect MODEL --context 1500\n"
                "  gptjt inspect MODEL --verify",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
