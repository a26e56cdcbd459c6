// SPDX-License-Identifier: Apache-2.0
/* gptjt export: a model, or a training run's checkpoint, as a Hugging Face directory that every program reads. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/output_dir.h"
#include "engine/engine.h"
#include "formats/peft.h"
#include "hub/model_path.h"
#include "model/export.h"

struct settings {
    struct common common;
    const char *out, *adapter, *max_shard_size;
    int dtype; /* index of types */
    bool force;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .max_shard_size = "5GB"};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const enum weight_type types[] = {WEIGHT_F16, WEIGHT_BF16, WEIGHT_F32};

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "out",
     .letter = 'o',
     .type = OPTION_STRING,
     FIELD(out),
     .meta = "DIR",
     .help = "where to write the new model"},
    {.name = "dtype", .type = OPTION_CHOICE, FIELD(dtype), .choices = "fp16|bf16|fp32", .help = "of all weights"},
    {.name = "adapter",
     .type = OPTION_STRING,
     FIELD(adapter),
     .meta = "DIR",
     .help = "a LoRA adapter in PEFT's format, which is merged into the weights"},
    {.name = "prompt-mask",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct common, prompt_mask),
     .choices = "auto|prefix|causal",
     .help = "recorded in the new config.json, and prefix as attn.bias, too, which transformers up to 4.28 honours; "
             "auto: the mask that inspect tells"},
    {.name = "max-shard-size",
     .type = OPTION_STRING,
     FIELD(max_shard_size),
     .meta = "SIZE",
     .help = "a larger model becomes several files: bytes, or with KB, MB, GB behind the number"},
    {.name = "force", .type = OPTION_FLAG, FIELD(force), .help = "write into a directory that is not empty"},
    {.name = "threads",
     .type = OPTION_INT,
     .offset = offsetof(struct common, threads),
     .max = 1024,
     .meta = "N",
     .help = "threads to compute with (default 0: as many as this process may use)"},
    COMMON_LOG_OPTIONS,
    {0},
};

/* "5GB", "500 MB", "123456": powers of 1000, as transformers has it. */
static enum status parse_size(int64_t *out, const char *text)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1}, {"B", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}};
    char *end;
    const double number = strtod(text, &end);
    end += strspn(end, " ");
    for (size_t i = 0; end > text && number > 0 && i < COUNT_OF(units); i++) {
        if (strcmp(end, units[i].unit)) continue;
        const double bytes = number * units[i].bytes;
        if (bytes < 1 || bytes > 1e18) break;
        *out = (int64_t)bytes;
        return OK;
    }
    return fail(E_ARG, "--max-shard-size is %.40s, not a size like 5GB", text);
}

static void notes(const struct gptjt_engine *e, const struct peft *adapter, const struct common *common)
{
    cli_print_mask(common, e->mask.mask == GPTJT_MASK_PREFIX, e->mask.guessed, e->mask.reason);
    if (common->quiet || !adapter) return;
    fprintf(stderr, "adapter: rank %d, scale %.6g, %d matrices\n", adapter->config.r, peft_scale(&adapter->config),
            adapter->n_targets);
}

struct job {
    struct export export;
    const struct gptjt_engine *model;
    const struct common *common;
};

static enum status write_weights(const void *what, const char *dir, struct pool *pool, progress_bytes_fn *progress,
                                 void *user)
{
    const struct job *job = what;
    struct kernels kernels;
    kernels_init(&kernels, kernels_best_level());
    notes(job->model, job->export.adapter, job->common);
    return export_write(&job->export, dir, &kernels, pool, progress, user);
}

/* e is a checkpoint that has been read. */
static enum status export_model(const struct settings *set, const struct gptjt_engine *e, const char *from,
                                const struct peft *adapter)
{
    const struct gptj_config *c = &e->config.model;
    struct export x = {
        .config = c,
        .src = e->source,
        .from = from,
        .prompt_mask = e->mask.mask == GPTJT_MASK_PREFIX ? CONFIG_MASK_PREFIX : CONFIG_MASK_CAUSAL,
        .type = types[set->dtype],
        .adapter = adapter,
    };
    TRY(parse_size(&x.max_shard_bytes, set->max_shard_size));
    const enum weight_type quantised = gptj_quantised_type(c, e->source);
    if (quantised != WEIGHT_TYPES)
        return fail(E_UNSUPPORTED, "%s: is quantised (%s); give the model it was made from", from,
                    weight_type_name(quantised));
    const struct export_size size = export_size(&x);
    struct output_model out = {.dir = set->out,
                               .force = set->force,
                               .label = "export",
                               .weight_bytes = (uint64_t)size.bytes,
                               .write = write_weights,
                               .what = &(struct job){x, e, &set->common}};
    snprintf(out.summary, sizeof out.summary, "%s in %d file%s", amount_bytes(out.weight_bytes).text, size.n_files,
             size.n_files == 1 ? "" : "s");
    return output_model(&out, &set->common);
}

static enum status run(void *settings, const struct option_args *args)
{
    struct settings *set = settings;
    TRY(cli_take_model(&set->common, args));
    if (!set->out || !*set->out) return fail(E_ARG, "no output: give -o DIR");
    struct model_path path;
    TRY(model_path_resolve(&path, set->common.model));
    struct gptjt_engine *e = calloc(1, sizeof *e);
    struct peft *adapter = NULL;
    if (!e) return fail(E_NOMEM, "out of memory");
    enum status s = engine_read_checkpoint(e, path.dir, (enum gptjt_mask)set->common.prompt_mask);
    if (s == OK && set->adapter) s = peft_open(&adapter, set->adapter, &e->config.model);
    if (s == OK) s = export_model(set, e, path.dir, adapter);
    peft_close(adapter);
    gptjt_engine_close(e);
    return s;
}

const struct command command_export = {
    .name = "export",
    .summary = "write a model, or a run's checkpoint, as a directory that other programs read",
    .usage = "[MODEL] -o DIR [--dtype fp16|bf16|fp32] [--adapter DIR] [options]",
    .about = "Writes a Hugging Face directory: safetensors, config.json, tokenizer files. An adapter is added to the\n"
             "weights before they are rounded.",
    .examples = "  gptjt export runs/gpt-jt-6b-stage2/checkpoint-7000 -o GPT-JT-6B\n"
                "  gptjt export GPT-JT-6B-v1 --adapter runs/mine/adapter -o GPT-JT-mine",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
