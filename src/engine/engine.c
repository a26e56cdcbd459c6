// SPDX-License-Identifier: Apache-2.0
/* Opening and describing an engine; the parts of the public API that are thin. */
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "engine/identity.h"
#include "hub/model_path.h"

/* Public and internal statuses are the same numbers. */
_Static_assert((int)GPTJT_E_ARG == (int)E_ARG && (int)GPTJT_E_IO == (int)E_IO && (int)GPTJT_E_FORMAT == (int)E_FORMAT &&
                   (int)GPTJT_E_NOMEM == (int)E_NOMEM && (int)GPTJT_E_LIMIT == (int)E_LIMIT &&
                   (int)GPTJT_E_UNSUPPORTED == (int)E_UNSUPPORTED && (int)GPTJT_E_NUMERIC == (int)E_NUMERIC &&
                   (int)GPTJT_E_CANCELLED == (int)E_CANCELLED,
               "gptjt.h and base/status.h disagree");

const char *gptjt_version(void)
{
    return GPTJT_VERSION;
}

const char *gptjt_error(void)
{
    return status_message();
}

void gptjt_set_log(gptjt_log_fn *sink, void *user, int max_level)
{
    log_set_sink(sink, user, (enum log_level)max_level);
}

void gptjt_free(void *p)
{
    free(p);
}

/* ---- Tokenizer ---- */

enum gptjt_status gptjt_tokenizer_open(struct gptjt_tokenizer **out, const char *dir)
{
    struct gptjt_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return (enum gptjt_status)fail(E_NOMEM, "tokenizer: out of memory");
    const enum status s = tokenizer_open(&t->bpe, dir);
    if (s == OK)
        *out = t;
    else
        free(t);
    return (enum gptjt_status)s;
}

void gptjt_tokenizer_close(struct gptjt_tokenizer *t)
{
    if (!t) return;
    tokenizer_close(t->bpe);
    free(t);
}

enum gptjt_status gptjt_encode(const struct gptjt_tokenizer *t, const char *text, size_t text_len, bool added_tokens,
                               int32_t **ids, size_t *n_ids)
{
    struct token_list list = {0};
    const enum status s = tokenizer_encode(t->bpe, &list, text, text_len, added_tokens);
    if (s != OK) {
        token_list_free(&list);
        return (enum gptjt_status)s;
    }
    *ids = list.ids;
    *n_ids = list.n;
    return GPTJT_OK;
}

enum gptjt_status gptjt_decode(const struct gptjt_tokenizer *t, const int32_t *ids, size_t n_ids, char **text,
                               size_t *text_len)
{
    struct buf b = {0};
    enum status s = tokenizer_decode(t->bpe, &b, ids, n_ids);
    buf_append(&b, "", 0); /* so that no tokens are an empty string, not NULL */
    if (s == OK) s = buf_status(&b);
    if (s != OK) {
        buf_free(&b);
        return (enum gptjt_status)s;
    }
    *text = b.data;
    *text_len = b.len;
    return GPTJT_OK;
}

int32_t gptjt_tokenizer_size(const struct gptjt_tokenizer *t)
{
    return tokenizer_size(t->bpe);
}

int32_t gptjt_tokenizer_find(const struct gptjt_tokenizer *t, const char *token)
{
    return tokenizer_find(t->bpe, token);
}

/* ---- Models by name ---- */

enum gptjt_status gptjt_find_model(char **dir, const char *model)
{
    struct model_path path;
    const enum status s = model_path_resolve(&path, model);
    if (s != OK) return (enum gptjt_status)s;
    char *copy = strdup(path.dir);
    if (!copy) return (enum gptjt_status)fail(E_NOMEM, "%s: out of memory", path.dir);
    *dir = copy;
    return GPTJT_OK;
}

/* ---- Engine ---- */

void gptjt_engine_options_init(struct gptjt_engine_options *o)
{
    *o = (struct gptjt_engine_options){.prompt_mask = GPTJT_MASK_AUTO};
}

/* The name people know the checkpoint by: "owner/name" in a hub cache (models--owner--name/snapshots/REV), else the
 * directory's own. */
static void name_of(char *out, size_t out_bytes, const char *dir)
{
    char real[PATH_MAX];
    const char *path = realpath(dir, real) ? real : dir;
    const char *hub = strstr(path, "/models--");
    if (hub && strstr(hub, "/snapshots/")) {
        hub += strlen("/models--");
        const char *dashes = strstr(hub, "--"), *end = strchr(hub, '/');
        if (dashes && end && dashes < end) {
            snprintf(out, out_bytes, "%.*s/%.*s", (int)(dashes - hub), hub, (int)(end - dashes - 2), dashes + 2);
            return;
        }
    }
    const char *slash = strrchr(path, '/');
    snprintf(out, out_bytes, "%.200s", slash && slash[1] ? slash + 1 : path);
}

enum status engine_choose_cpu(enum cpu_level *out, const char *asked)
{
    const enum cpu_level best = kernels_best_level();
    *out = best;
    if (!asked || !strcmp(asked, "auto")) return OK;
    for (int l = 0; l < CPU_LEVELS; l++) {
        if (strcmp(asked, kernels_level_name((enum cpu_level)l))) continue;
        if (l > (int)best)
            return fail(E_ARG, "cpu level %s is not available on this machine, %s is", asked, kernels_level_name(best));
        *out = (enum cpu_level)l;
        return OK;
    }
    return fail(E_ARG, "cpu level \"%.40s\" is not known: ref, avx2, avx512, avx512bf16, amx or auto", asked);
}

/* A GPU computes in the 16 bits that weights have. */
static const char *compute_name(enum compute_type t, enum ops_device device, enum weight_type weights)
{
    static const char *const names[COMPUTE_TYPES] = {"fp32", "bf16", "int8"};
    const bool wide = weights == WEIGHT_BF16 || weights == WEIGHT_F32;
    return device == DEVICE_CUDA && t == COMPUTE_BF16 && !wide ? "fp16" : names[t];
}

enum dtype engine_kv_dtype(enum compute_type compute)
{
    return compute == COMPUTE_FP32 ? DTYPE_F32 : DTYPE_F16;
}

enum compute_type engine_auto_compute(enum weight_type weights, enum cpu_level level)
{
    if (weight_quantised(weights)) return COMPUTE_INT8;
    return weights != WEIGHT_F32 && level >= CPU_AVX512BF16 ? COMPUTE_BF16 : COMPUTE_FP32;
}

static enum status choose_compute(enum compute_type *out, enum gptjt_compute asked, enum weight_type weights,
                                  enum cpu_level level, enum ops_device device)
{
    const bool quantised = weight_quantised(weights);
    if (asked == GPTJT_COMPUTE_INT8 && !quantised)
        return fail(E_ARG, "compute int8 needs q8 or q4 weights, these are %s", weight_type_name(weights));
    if (asked == GPTJT_COMPUTE_AUTO) /* every GPU that we use has the 16-bit units that the best CPUs have */
        *out = engine_auto_compute(weights, device == DEVICE_CUDA ? CPU_AVX512BF16 : level);
    else
        *out = asked == GPTJT_COMPUTE_INT8 ? COMPUTE_INT8 : asked == GPTJT_COMPUTE_BF16 ? COMPUTE_BF16 : COMPUTE_FP32;
    return OK;
}

/* A model can be run by ids alone, so what is wrong here is told only to who asks for text. */
static void open_tokenizer(struct gptjt_engine *e, const char *dir)
{
    if (!tokenizer_exists(dir))
        snprintf(e->no_tokenizer, sizeof e->no_tokenizer,
                 "%.200s has no tokenizer files (vocab.json + merges.txt or tokenizer.json)", e->name);
    else if (tokenizer_open(&e->tokenizer.bpe, dir) != OK)
        snprintf(e->no_tokenizer, sizeof e->no_tokenizer, "%.500s", status_message());
}

enum status engine_read_checkpoint(struct gptjt_engine *e, const char *dir, enum gptjt_mask asked)
{
    if (!file_is_dir(dir)) return fail(E_IO, "%s: is not a directory", dir);
    name_of(e->name, sizeof e->name, dir);
    TRY(checkpoint_config_read(&e->config, dir));
    TRY(source_open_dir(&e->source, dir));
    const enum status fits = gptj_check(&e->config.model, e->source);
    if (fits != OK) {
        char why[900];
        snprintf(why, sizeof why, "%s", status_message());
        return fail(fits, "%s: %s", dir, why);
    }
    TRY(engine_choose_mask(&e->mask, asked, &e->config, e->source, e->name));
    open_tokenizer(e, dir);
    return OK;
}

/* Better one line now than the kernel's choice of a process to kill later. */
static enum status check_memory(const struct gptjt_engine *e, int first, int last, enum weight_type type)
{
    if (e->on == DEVICE_CUDA) return OK; /* what the device has is asked of it when weights are copied there */
    const int64_t heap = gptj_memory_in(&e->config.model, first, last, e->source, type).heap,
                  available = memory_available();
    if (heap <= available) return OK;
    return fail(E_NOMEM,
                "%s: weights in another type than they are stored in take %.1f GB of memory, %.1f GB are available; "
                "as stored they are mapped, not copied",
                e->name, (double)heap * 1e-9, (double)available * 1e-9);
}

static const enum weight_type weight_types[] = {WEIGHT_AS_STORED, WEIGHT_F32, WEIGHT_F16,
                                                WEIGHT_BF16,      WEIGHT_Q8,  WEIGHT_Q4};

static enum status check_options(enum cpu_level *level, enum ops_device *device, const struct gptjt_engine_options *o)
{
    if ((unsigned)o->prompt_mask > GPTJT_MASK_CAUSAL) return fail(E_ARG, "prompt_mask is %d", (int)o->prompt_mask);
    if ((unsigned)o->weights >= COUNT_OF(weight_types)) return fail(E_ARG, "weights is %d", (int)o->weights);
    if ((unsigned)o->compute > GPTJT_COMPUTE_INT8) return fail(E_ARG, "compute is %d", (int)o->compute);
    if (o->threads < 0 || o->threads > 1024) return fail(E_ARG, "threads is %d, not within 0..1024", o->threads);
    TRY(ops_choose_device(device, o->device));
    return engine_choose_cpu(level, o->cpu);
}

static enum status adapt(struct gptjt_engine *e, const char *dir)
{
    struct peft *adapter = NULL;
    TRY(peft_open(&adapter, dir, &e->config.model));
    const enum status s = gptj_adapt(e->model, adapter);
    if (s == OK)
        log_line(LOG_INFO, "%s: adapter of rank %d beside %d matrices", dir, adapter->config.r, adapter->n_targets);
    peft_close(adapter);
    return s;
}

static enum status open_device(struct gptjt_engine *e, enum cpu_level level, enum compute_type compute)
{
    const struct gptj_config *c = &e->config.model;
    const struct ops_cpu_limits limits = {.head = c->K, .inputs = c->F > c->D ? c->F : c->D};
    if (e->on == DEVICE_CUDA) return ops_cuda_create(&e->ops, compute, e->threads);
    return ops_cpu_create(&e->ops, level, compute, e->threads, limits);
}

static enum status load_layers(struct gptjt_engine *e, const struct gptjt_engine_options *o, int first, int last)
{
    enum cpu_level level = CPU_REF;
    enum compute_type compute = COMPUTE_FP32;
    TRY(check_options(&level, &e->on, o));
    const struct gptj_config *c = &e->config.model;
    const enum weight_type type = weight_types[o->weights];
    TRY(check_memory(e, first, last, type));
    TRY(choose_compute(&compute, o->compute, gptj_held_type(c, e->source, type), level, e->on));
    e->threads = o->threads ? o->threads : pool_default_threads();
    e->cpu = kernels_level_name(level);
    e->device = ops_device_name(e->on);
    kernels_init(&e->host, level);
    TRY(open_device(e, level, compute));
    TRY(gptj_load(&e->model, c, e->source, e->ops, first, last, type));
    if (o->adapter) TRY(adapt(e, o->adapter));
    e->kv_dtype = engine_kv_dtype(compute);
    e->weights = weight_type_name(e->model->layers[0].q.type);
    e->compute = compute_name(compute, e->on, e->model->layers[0].q.type);
    const double millions = (double)gptj_config_parameters(&e->config.model) * 1e-6;
    log_line(LOG_INFO, "%s: %d layers, %.1f million parameters as %s, computed in %s on %s, %s kernels, %d threads",
             e->name, e->config.model.L, millions, e->weights, e->compute, e->device, e->cpu, e->threads);
    return OK;
}

enum status engine_load(struct gptjt_engine *e, const struct gptjt_engine_options *o)
{
    return load_layers(e, o, 0, e->config.model.L);
}

static enum status open_parts(struct gptjt_engine *e, const char *dir, const struct gptjt_engine_options *o,
                              const struct stage_ranks *r)
{
    enum cpu_level level = CPU_REF;
    TRY(check_options(&level, &e->on, o));
    TRY(engine_read_checkpoint(e, dir, o->prompt_mask));
    const int L = e->config.model.L;
    if (!r) return load_layers(e, o, 0, L);
    if (L < r->n) return fail(E_ARG, "%s: has %d layers, too few for %d pipeline stages", dir, L, r->n);
    int first, last;
    stage_layers(r, stage_of_rank(r, r->t->rank), L, &first, &last);
    return load_layers(e, o, first, last);
}

enum status engine_open_stage(struct gptjt_engine **out, const char *dir, const struct gptjt_engine_options *o,
                              const struct stage_ranks *r)
{
    struct gptjt_engine *e = calloc(1, sizeof *e);
    if (!e) return fail(E_NOMEM, "engine: out of memory");
    const enum status s = open_parts(e, dir, o, r);
    if (s == OK)
        *out = e;
    else
        gptjt_engine_close(e);
    return s;
}

enum status engine_form_stages(struct gptjt_engine *e, struct stage_head *h)
{
    struct buf identity = {0};
    enum status s = identity_put(&identity, e);
    if (s == OK) s = stage_head_form(h, e->model, &identity);
    buf_free(&identity);
    TRY(s);
    e->stages = h;
    e->n_ranks = e->n_ranks_here = stage_head_ranks(h)->n;
    return OK;
}

enum gptjt_status gptjt_engine_open(struct gptjt_engine **out, const char *dir,
                                    const struct gptjt_engine_options *options)
{
    struct gptjt_engine_options defaults;
    gptjt_engine_options_init(&defaults);
    return (enum gptjt_status)engine_open_stage(out, dir, options ? options : &defaults, NULL);
}

void gptjt_engine_close(struct gptjt_engine *e)
{
    if (!e) return;
    gptj_free(e->model);
    if (e->ops) e->ops->fn->close(e->ops);
    source_close(e->source);
    tokenizer_close(e->tokenizer.bpe);
    free(e);
}

const struct gptjt_tokenizer *gptjt_engine_tokenizer(const struct gptjt_engine *e)
{
    if (e->tokenizer.bpe) return &e->tokenizer;
    fail(E_FORMAT, "%s", e->no_tokenizer);
    return NULL;
}

void gptjt_engine_info(const struct gptjt_engine *e, struct gptjt_info *out)
{
    const struct gptj_config *c = &e->config.model;
    const struct generation_config *g = &e->config.generation;
    *out = (struct gptjt_info){
        .name = e->name,
        .vocab_size = c->V,
        .n_positions = c->P,
        .n_layers = c->L,
        .n_embd = c->D,
        .n_heads = c->H,
        .eos_token_id = c->eos,
        .prompt_mask = e->mask.mask,
        .prompt_mask_reason = e->mask.reason,
        .prompt_mask_guessed = e->mask.guessed,
        .weights = e->weights,
        .compute = e->compute,
        .cpu = e->cpu,
        .device = e->device,
        .threads = e->threads,
        .n_ranks = e->n_ranks ? e->n_ranks : 1,
        .n_ranks_here = e->n_ranks_here ? e->n_ranks_here : 1,
        .parameters = gptj_config_parameters(c),
        .weight_bytes = gptj_weight_bytes(c, e->model->layers[0].q.type),
        .hf_defaults = {.present = g->origin != NULL,
                        .do_sample = g->do_sample,
                        .temperature = g->temperature,
                        .top_p = g->top_p,
                        .repetition_penalty = g->repetition_penalty,
                        .top_k = g->top_k,
                        .max_length = g->max_length,
                        .max_new_tokens = g->max_new_tokens},
    };
}
