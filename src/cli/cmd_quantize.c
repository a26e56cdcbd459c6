// SPDX-License-Identifier: Apache-2.0
/* gptjt quantize: a model rewritten with smaller weights. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/output_dir.h"
#include "engine/engine.h"
#include "hub/model_path.h"
#include "model/quantize.h"

struct settings {
    struct common common;
    const char *out;
    int type; /* index of types */
    bool keep_head, force;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const enum weight_type types[] = {WEIGHT_Q8, WEIGHT_Q4, WEIGHT_BF16, WEIGHT_F16, WEIGHT_F32};

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "out",
     .letter = 'o',
     .type = OPTION_STRING,
     FIELD(out),
     .meta = "DIR",
     .help = "where to write the new model"},
    {.name = "type",
     .type = OPTION_CHOICE,
     FIELD(type),
     .choices = "q8|q4|bf16|fp16|fp32",
     .help = "of its matrices; vectors become fp32"},
    {.name = "keep-head", .type = OPTION_FLAG, FIELD(keep_head), .help = "leave embedding and head as they are"},
    {.name = "prompt-mask",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct common, prompt_mask),
     .choices = "auto|prefix|causal",
     .help = "recorded in the new config.json; auto: the mask that inspect tells"},
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

struct job {
    struct quantize quantize;
    const struct gptjt_engine *model;
    const struct common *common;
};

static enum status write_weights(const void *what, const char *dir, struct pool *pool, progress_bytes_fn *progress,
                                 void *user)
{
    const struct job *job = what;
    const struct mask_choice *mask = &job->model->mask;
    struct kernels kernels;
    kernels_init(&kernels, kernels_best_level());
    cli_print_mask(job->common, mask->mask == GPTJT_MASK_PREFIX, mask->guessed, mask->reason);
    return quantize_write(&job->quantize, dir, &kernels, pool, progress, user);
}

/* e is a checkpoint that has been read. */
static enum status quantize(const struct settings *set, const struct gptjt_engine *e, const char *from)
{
    const struct gptj_config *c = &e->config.model;
    const struct quantize q = {
        .config = c,
        .src = e->source,
        .from = from,
        .prompt_mask = e->mask.mask == GPTJT_MASK_PREFIX ? CONFIG_MASK_PREFIX : CONFIG_MASK_CAUSAL,
        .type = types[set->type],
        .keep_head = set->keep_head,
    };
    const enum weight_type already = gptj_quantised_type(c, e->source);
    if (already != WEIGHT_TYPES)
        return fail(E_UNSUPPORTED, "%s: is quantised already (%s); give the model it was made from", from,
                    weight_type_name(already));
    struct output_model out = {.dir = set->out,
                               .force = set->force,
                               .label = "quantize",
                               .weight_bytes = (uint64_t)quantize_bytes(&q),
                               .write = write_weights,
                               .what = &(struct job){q, e, &set->common}};
    snprintf(out.summary, sizeof out.summary, "%s, was %s", amount_bytes(out.weight_bytes).text,
             amount_bytes(q.src->file_bytes).text);
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
    if (!e) return fail(E_NOMEM, "out of memory");
    enum status s = engine_read_checkpoint(e, path.dir, (enum gptjt_mask)set->common.prompt_mask);
    if (s == OK) s = quantize(set, e, path.dir);
    gptjt_engine_close(e);
    return s;
}

const struct command command_quantize = {
    .name = "quantize",
    .summary = "write a model with smaller weights: q8, q4, or another float type",
    .usage = "[MODEL] --type q8|q4|bf16|fp16|fp32 -o DIR [options]",
    .about =
        "Writes a directory that the other commands take like any model, its weights mapped, not converted.\n"
        "q8 (8.25 bits a weight) and q4 (4.5; embedding and head q8) are for this program only, the float types for\n"
        "every program.",
    .examples = "  gptjt quantize togethercomputer/GPT-JT-6B-v1 --type q8 -o GPT-JT-6B-q8\n"
                "  gptjt quantize GPT-JT-6B-v1 --type q4 -o GPT-JT-6B-q4 && gptjt classify -m GPT-JT-6B-q4 ...",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
