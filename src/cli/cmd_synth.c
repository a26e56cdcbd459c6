// SPDX-License-Identifier: Apache-2.0
/* gptjt synth: a model of any size with random weights, for measuring and for tests, or to train from scratch. */
#include <stdio.h>
#include <string.h>

#include "base/amount.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/output_dir.h"
#include "hub/model_path.h"
#include "model/induction.h"
#include "model/model_files.h"
#include "model/synth.h"
#include "tokenizer/tokenizer.h"

struct settings {
    struct common common;
    const char *preset, *out, *tokenizer;
    int dtype, prompt_mask; /* index of dtypes; enum config_mask */
    uint64_t seed;
    double initializer_range;
    bool force, tied, init, induction_heads;
    int64_t V, P, D, L, H, R, F;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .preset = "tiny", .initializer_range = 0.02};

#define FIELD(name) .offset = offsetof(struct settings, name)
#define SIZE_OPTION(name_, field, min_, help_)                                                                         \
    {                                                                                                                  \
        .name = name_, .type = OPTION_INT, FIELD(field), .min = min_, .max = 1 << 24, .meta = "N", .help = help_       \
    }

static const struct option options[] = {
    {.name = "out",
     .letter = 'o',
     .type = OPTION_STRING,
     FIELD(out),
     .meta = "DIR",
     .help = "where to write the model"},
    {.name = "preset",
     .type = OPTION_STRING,
     FIELD(preset),
     .meta = "SIZE",
     .help = "tiny, 125m, 350m, 1.3b, 2.7b or 6b, which is GPT-J's own"},
    {.name = "dtype",
     .type = OPTION_CHOICE,
     FIELD(dtype),
     .choices = "fp16|bf16|fp32",
     .help = "how the weights are stored (default fp16, with --init fp32)"},
    {.name = "init",
     .type = OPTION_FLAG,
     FIELD(init),
     .help = "a new model to train: as transformers initialises GPT-J, matrices normal, norms 1, biases 0"},
    {.name = "initializer-range",
     .type = OPTION_NUMBER,
     FIELD(initializer_range),
     .min = 1e-6,
     .max = 1,
     .meta = "X",
     .help =
         "--init: standard deviation of matrices; GPT-J's default is right for widths of thousands, a model of width "
         "128 learns faster from 0.06"},
    {.name = "induction-heads",
     .type = OPTION_FLAG,
     FIELD(induction_heads),
     .help = "--init: begin with the circuit that copies from the prompt (docs/MODEL.md), which small models do not "
             "find by "
             "themselves"},
    {.name = "seed", .type = OPTION_SEED, FIELD(seed), .meta = "N", .help = "same seed and sizes, same file"},
    {.name = "prompt-mask",
     .type = OPTION_CHOICE,
     FIELD(prompt_mask),
     .choices = "none|prefix|causal",
     .help = "recorded in config.json as the mask the model was made for"},
    SIZE_OPTION("n-layer", L, 1, "layers (default the preset's, as for all sizes)"),
    SIZE_OPTION("n-embd", D, 1, "width (default the preset's)"),
    SIZE_OPTION("n-head", H, 1, "attention heads (default the preset's)"),
    SIZE_OPTION("n-inner", F, 1, "width of the MLP's hidden layer (default 4 times n-embd)"),
    SIZE_OPTION("rotary-dim", R, 0, "rotary positions of a head (default the preset's)"),
    SIZE_OPTION("n-positions", P, 1, "the window (default the preset's)"),
    SIZE_OPTION("vocab-size", V, 1, "tokens (default the tokenizer's, else the preset's)"),
    {.name = "tie-word-embeddings", .type = OPTION_FLAG, FIELD(tied), .help = "one matrix for embedding and head"},
    {.name = "tokenizer",
     .type = OPTION_STRING,
     FIELD(tokenizer),
     .meta = "MODEL",
     .help = "a model, or what gptjt tokenizer has written, whose tokenizer files to copy, so that text can be used"},
    {.name = "force", .type = OPTION_FLAG, FIELD(force), .help = "write into a directory that is not empty"},
    {.name = "threads",
     .type = OPTION_INT,
     .offset = offsetof(struct common, threads),
     .max = 1024,
     .meta = "N",
     .help = "threads to make numbers with (default 0: as many as this process may use)"},
    COMMON_LOG_OPTIONS,
    {0},
};

static const enum dtype dtypes[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F32};

/* The token that tokenizer_config.json names as eos_token, or <|endoftext|>; -1: neither is there. */
static int32_t find_end_of_text(const struct tokenizer *t, const char *dir)
{
    enum { MOST = 16 << 20 };
    char path[MODEL_PATH_MAX];
    struct buf text = {0};
    json_t *config = NULL;
    int32_t id = -1;
    if (file_join(path, sizeof path, dir, "tokenizer_config.json") == OK && file_exists(path) &&
        file_read(&text, path, MOST) == OK && json_read_text_big(&config, text.data, text.len, path) == OK) {
        const json_t *eos = json_object_get(config, "eos_token");
        if (json_is_object(eos)) eos = json_object_get(eos, "content");
        if (json_is_string(eos)) id = tokenizer_find(t, json_string_value(eos));
    }
    json_decref(config);
    buf_free(&text);
    return id >= 0 ? id : tokenizer_find(t, "<|endoftext|>");
}

/* The vocabulary's size and end of text as the tokenizer in dir has them. */
static enum status fit_tokenizer(struct gptj_config *c, const struct settings *set, const char *dir)
{
    struct tokenizer *t;
    TRY(tokenizer_open(&t, dir));
    const int32_t n = tokenizer_size(t), end_of_text = find_end_of_text(t, dir);
    tokenizer_close(t);
    if (!set->V) c->V = n;
    if (c->V < n) return fail(E_ARG, "--vocab-size %d is less than the %d tokens of %s", c->V, n, dir);
    if (end_of_text > 0) c->eos = end_of_text;
    return OK;
}

/* tokenizer_dir: NULL for none. */
static enum status plan(struct synth *out, const struct settings *set, option_given given, const char *tokenizer_dir)
{
    const struct synth_preset *p = synth_find_preset(set->preset);
    if (!p) return fail(E_ARG, "--preset is \"%.40s\", not one of tiny, 125m, 350m, 1.3b, 2.7b, 6b", set->preset);
    struct gptj_config c = {.V = set->V ? (int)set->V : p->V,
                            .P = set->P ? (int)set->P : p->P,
                            .D = set->D ? (int)set->D : p->D,
                            .L = set->L ? (int)set->L : p->L,
                            .H = set->H ? (int)set->H : p->H,
                            .R = options_given(options, given, "rotary-dim") ? (int)set->R : p->R,
                            .F = (int)set->F,
                            .tied = set->tied};
    if (tokenizer_dir) TRY(fit_tokenizer(&c, set, tokenizer_dir));
    TRY(synth_complete(&c));
    if (!set->init && options_given(options, given, "initializer-range"))
        return fail(E_ARG, "--initializer-range is for new models; give --init, too");
    if (!set->init && set->induction_heads) return fail(E_ARG, "--induction-heads is for new models; give --init, too");
    if (set->induction_heads) TRY(induction_check(&c));
    const bool fp32 = set->init && !options_given(options, given, "dtype");
    *out = (struct synth){.config = c,
                          .dtype = fp32 ? DTYPE_F32 : dtypes[set->dtype],
                          .prompt_mask = (enum config_mask)set->prompt_mask,
                          .seed = set->seed,
                          .init = set->init,
                          .initializer_range = set->initializer_range,
                          .induction_heads = set->induction_heads};
    return OK;
}

/* ---- Running ---- */

static enum status write_weights(const void *what, const char *dir, struct pool *pool, progress_bytes_fn *progress,
                                 void *user)
{
    return synth_write(what, dir, pool, progress, user);
}

static enum status run(void *settings, const struct option_args *args)
{
    const struct settings *set = settings;
    struct synth synth;
    struct model_path tokenizer;
    if (!set->out || !*set->out) return fail(E_ARG, "no output: give -o DIR");
    if (set->tokenizer) TRY(model_path_resolve(&tokenizer, set->tokenizer));
    TRY(plan(&synth, set, args->given, set->tokenizer ? tokenizer.dir : NULL));

    struct output_model out = {.dir = set->out,
                               .force = set->force,
                               .label = "write",
                               .weight_bytes = (uint64_t)synth_bytes(&synth),
                               .write = write_weights,
                               .what = &synth};
    snprintf(out.summary, sizeof out.summary, "%s parameters, %s",
             amount_count(gptj_config_parameters(&synth.config)).text, amount_bytes(out.weight_bytes).text);
    TRY(output_model(&out, &set->common));
    if (!set->tokenizer) return OK;
    return model_files_copy_tokenizer(&(struct model_files){.from = tokenizer.dir, .dir = set->out});
}

const struct command command_synth = {
    .name = "synth",
    .summary = "write a model of any size with random weights, for measuring or to train",
    .usage = "[--preset SIZE] [--init] [--tokenizer MODEL] [--dtype fp16|bf16|fp32] -o DIR [options]",
    .about = "Writes config.json and model.safetensors. It runs like a model of that size and says nothing sensible.\n"
             "The weights are nearly normal (standard deviation 0.02, norms around 1) and depend on the seed alone.\n"
             "With --init they are what training from scratch begins with.",
    .examples = "  gptjt synth --preset 6b -o gpt-j-random\n"
                "  gptjt synth --n-layer 4 --n-embd 192 --n-head 6 --rotary-dim 16 --dtype bf16 -o small\n"
                "  gptjt synth --init --tokenizer my-tokenizer --n-layer 4 --n-embd 128 --n-head 4 --rotary-dim 16 "
                "--seed 1 -o new",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .run = run,
};
