// SPDX-License-Identifier: Apache-2.0
/* What the commands share: the options that say which model to open and how, opening it, and small helpers for JSON
 * output. Every command's settings begin with a struct common, so that these pieces of option table fit all of them. */
#ifndef GPTJT_CLI_COMMON_H
#define GPTJT_CLI_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/status.h"
#include "gptjt.h"

struct common {
    const char *model;
    int prompt_mask; /* enum gptjt_mask    */
    int weights;     /* enum gptjt_weights */
    int compute;     /* enum gptjt_compute */
    int64_t threads; /* 0: automatic       */
    const char *cpu, *device, *adapter;
    int log; /* enum log_level */
    bool quiet;
    int64_t ranks;           /* threads that are ranks; 0: none are asked for */
    int64_t pipeline_stages; /* ranks that share a model's layers; 0: 1       */
    /* No options: shared_run() sets who shares the work of models that are opened, and who has their other layers. */
    struct crew *crew;
    struct stage_head *stages;
};

#define COMMON_DEFAULTS                                                                                                \
    {                                                                                                                  \
        .cpu = "auto", .log = LOG_WARN                                                                                 \
    }

#define COMMON_MODEL_OPTIONS                                                                                           \
    {                                                                                                                  \
        .name = "model", .letter = 'm', .type = OPTION_STRING, .offset = offsetof(struct common, model),               \
        .meta = "MODEL",                                                                                               \
        .help = "Hugging Face directory of a gptj model, or OWNER/NAME[@REVISION] that gptjt pull has downloaded "     \
                "(default "                                                                                            \
                "$GPTJT_MODEL, else the gpt-jt-tiny that ships with gptjt)"                                            \
    }

/* What --weights and --compute take, in the order of enum gptjt_weights and enum gptjt_compute. */
#define COMMON_WEIGHTS "auto|fp32|fp16|bf16|q8|q4"
#define COMMON_COMPUTE "auto|fp32|bf16|int8"

#define COMMON_MASK_OPTION                                                                                             \
    {                                                                                                                  \
        .name = "prompt-mask", .type = OPTION_CHOICE, .offset = offsetof(struct common, prompt_mask),                  \
        .choices = "auto|prefix|causal",                                                                               \
        .help = "prefix: all prompt tokens see each other; causal: each sees those before it; auto: what the "         \
                "checkpoint was trained for"                                                                           \
    }

#define COMMON_COMPUTE_OPTION                                                                                          \
    {                                                                                                                  \
        .name = "compute", .type = OPTION_CHOICE, .offset = offsetof(struct common, compute),                          \
        .choices = COMMON_COMPUTE,                                                                                     \
        .help = "factors of matrix products; auto: int8 for q8 and q4, bf16 where the CPU has it, "                    \
                "else fp32"                                                                                            \
    }

#define COMMON_THREAD_OPTIONS                                                                                          \
    {.name = "threads",                                                                                                \
     .type = OPTION_INT,                                                                                               \
     .offset = offsetof(struct common, threads),                                                                       \
     .max = 1024,                                                                                                      \
     .meta = "N",                                                                                                      \
     .help = "threads to compute with (default 0: as many as this process may use)"},                                  \
    {                                                                                                                  \
        .name = "cpu", .type = OPTION_STRING, .offset = offsetof(struct common, cpu), .meta = "ISA",                   \
        .help = "instruction set of the kernels: auto, ref, avx2, avx512, avx512bf16, amx"                             \
    }

#define COMMON_DEVICE_OPTION                                                                                           \
    {                                                                                                                  \
        .name = "device", .type = OPTION_STRING, .offset = offsetof(struct common, device), .meta = "DEVICE",          \
        .help = "what computes: cpu, or cuda, the first NVIDIA GPU that CUDA_VISIBLE_DEVICES leaves (default "         \
                "$GPTJT_DEVICE, else cpu)"                                                                             \
    }

#define COMMON_ENGINE_OPTIONS                                                                                          \
    COMMON_MASK_OPTION,                                                                                                \
        {.name = "weights",                                                                                            \
         .type = OPTION_CHOICE,                                                                                        \
         .offset = offsetof(struct common, weights),                                                                   \
         .choices = COMMON_WEIGHTS,                                                                                    \
         .help = "how matrices are held in memory; auto: as stored, without a copy"},                                  \
        {.name = "adapter",                                                                                            \
         .type = OPTION_STRING,                                                                                        \
         .offset = offsetof(struct common, adapter),                                                                   \
         .meta = "DIR",                                                                                                \
         .help = "a LoRA adapter in PEFT's format (from gptjt train, or PEFT itself) to use with the model"},          \
        COMMON_COMPUTE_OPTION, COMMON_DEVICE_OPTION, COMMON_THREAD_OPTIONS

#define COMMON_RANKS_OPTIONS                                                                                           \
    {.name = "ranks",                                                                                                  \
     .type = OPTION_INT,                                                                                               \
     .offset = offsetof(struct common, ranks),                                                                         \
     .min = 1,                                                                                                         \
     .max = 1024,                                                                                                      \
     .meta = "N",                                                                                                      \
     .help = "share the work among that many ranks, each some threads of this process; processes, on one machine or "  \
             "on many, are mpirun's to start"},                                                                        \
    {                                                                                                                  \
        .name = "pipeline-stages", .type = OPTION_INT, .offset = offsetof(struct common, pipeline_stages), .min = 1,   \
        .max = 1024, .meta = "N",                                                                                      \
        .help = "ranks: divide the model's layers among N of them, for one that no machine has memory for"             \
    }

#define COMMON_LOG_OPTIONS                                                                                             \
    {.name = "log",                                                                                                    \
     .type = OPTION_CHOICE,                                                                                            \
     .offset = offsetof(struct common, log),                                                                           \
     .choices = "error|warn|info|debug",                                                                               \
     .help = "how much to say on stderr"},                                                                             \
    {                                                                                                                  \
        .name = "quiet", .type = OPTION_FLAG, .offset = offsetof(struct common, quiet),                                \
        .help = "nothing on stderr but errors"                                                                         \
    }

/* What --device says, else the environment; NULL: nothing. */
const char *cli_device(const struct common *common);

/* What the options above say about opening an engine. */
void cli_engine_options(struct gptjt_engine_options *out, const struct common *common);

/* The model may be named by --model or stand as the first of what is no option, but not both. */
enum status cli_take_model(struct common *common, const struct option_args *args);

/* The status of an API call as ours; a failure keeps its message. */
enum status cli_status(enum gptjt_status s);

struct cli_model {
    struct gptjt_engine *engine; /* owned */
    struct gptjt_info info;
    const char *name; /* for output: OWNER/NAME when that is how it was found, else the directory's name */
};

/* Finds the model and opens it. Owned: cli_model_close(). */
enum status cli_model_open(struct cli_model *out, const struct common *common);
void cli_model_close(struct cli_model *m);

/* Appends text that is different whenever the numbers that a model gives could be, for names of results: where it is,
 * weights, adapter, mask, what is computed in, instruction set (sums round differently). The number of threads does not
 * belong to it. */
enum status cli_model_describe(struct buf *out, const struct cli_model *m, const struct common *common);

const char *cli_mask_name(const struct cli_model *m); /* "prefix" or "causal" */

/* One line on stderr, unless quiet: the mask, why, and how to choose where the checkpoint does not say. */
void cli_print_mask(const struct common *common, bool prefix, bool guessed, const char *reason);

/* Says on stderr, unless quiet, which mask is on and why: the one thing that silently differs elsewhere. */
void cli_mask_note(const struct cli_model *m, const struct common *common);

/* The tokenizer, or an error that says which option (e.g. "--ids") does without. Borrowed from m. */
enum status cli_tokenizer(const struct gptjt_tokenizer **out, const struct cli_model *m, const char *instead);

/* E_ARG naming what unless every id is in the model's vocabulary. */
enum status cli_check_ids(const struct cli_model *m, const char *what, const int32_t *ids, size_t n);

/* A progress bar for prompts that take long. Zero-initialise all but the first two; must outlive the session's use. */
struct cli_watch {
    const char *label;
    bool quiet;
    struct progress bar;
    bool begun;
};
void cli_watch(struct gptjt_session *s, struct cli_watch *w);
void cli_unwatch(struct gptjt_session *s, struct cli_watch *w); /* wipes the bar */

/* The text of one token as valid UTF-8, appended to out; nothing for an id the tokenizer does not know, which a model
 * with a larger vocabulary may well produce. */
void cli_token_text(struct buf *out, const struct gptjt_tokenizer *t, int32_t id);

/* New references for json_pack(), which passes a NULL on; cli_json_print() makes E_NOMEM of it. Text gets its broken
 * UTF-8 replaced; a number that JSON cannot express is null. */
json_t *cli_json_text(const char *text, size_t len);
json_t *cli_json_number(double number);
json_t *cli_json_numbers(const float *numbers, size_t n);
json_t *cli_json_ids(const int32_t *ids, size_t n);
json_t *cli_json_tokens(const struct gptjt_tokenizer *t, const int32_t *ids, size_t n); /* texts; null without t */

/* Writes a page to a file that appears whole, and says so unless quiet; "-" is standard output. */
enum status cli_write_page(const struct common *common, const char *path, const struct buf *page);

/* Whether standard output is a terminal that shows colours, and the user did not say no. */
bool cli_wants_colours(void);

/* One line on stdout. Takes the reference. */
enum status cli_json_print(json_t *value);

#endif
