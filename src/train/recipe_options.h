// SPDX-License-Identifier: Apache-2.0
/* The settings of a recipe as pieces of an option table, for the file and for the command line, whose settings have a
 * struct recipe somewhere in them; and their defaults. FIELD(name) is the offset of a member of that recipe. */
#ifndef GPTJT_TRAIN_RECIPE_OPTIONS_H
#define GPTJT_TRAIN_RECIPE_OPTIONS_H

#include "train/recipe.h"

#define RECIPE_OPTIONS(FIELD)                                                                                           \
    {"model",      'm',     OPTION_STRING,                                                                              \
     FIELD(model), 0,       0,                                                                                          \
     NULL,         "MODEL", "where training starts: a Hugging Face directory, or a name in its cache"},                 \
        {"output",      'o',   OPTION_STRING,                                                                           \
         FIELD(output), 0,     0,                                                                                       \
         NULL,          "DIR", "the run's directory: checkpoints, metrics.jsonl, recipe.json"},                         \
        {"steps", 0, OPTION_INT, FIELD(steps), 1, 1e9, NULL, "N", "optimizer steps (has no default)"},                  \
        {"batch-size", 0, OPTION_INT, FIELD(batch_size), 1, 1 << 20, NULL, "N", "sequences of one optimizer step"},     \
        {"micro-batch-size",                                                                                            \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(micro_batch_size),                                                                                       \
         1,                                                                                                             \
         1 << 20,                                                                                                       \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "sequences computed at once; divides the batch"},                                                              \
        {"seq-len", 0, OPTION_INT, FIELD(data.seq_len), 2, 1 << 16, NULL, "N", "tokens of a sequence"},                 \
        {"documents",           0,    OPTION_CHOICE,                                                                    \
         FIELD(data.documents), 0,    0,                                                                                \
         DATA_DOCUMENTS_NAMES,  NULL, "whether documents packed into one sequence see each other"},                     \
        {"objective",                                                                                                   \
         0,                                                                                                             \
         OPTION_CHOICE,                                                                                                 \
         FIELD(data.objective),                                                                                         \
         0,                                                                                                             \
         0,                                                                                                             \
         DATA_OBJECTIVE_NAMES,                                                                                          \
         NULL,                                                                                                          \
         "what is predicted: every token, those behind a random split, or the UL2R mix of the latter and denoising"},   \
        {"seed", 0, OPTION_SEED, FIELD(data.seed), 0, 0, NULL, "N", "of everything random"},                            \
        {"sentinel-first",                                                                                              \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(data.sentinel_first),                                                                                    \
         -1,                                                                                                            \
         INT32_MAX,                                                                                                     \
         NULL,                                                                                                          \
         "ID",                                                                                                          \
         "ul2r: the first sentinel's id (default: -1, the tokenizer's <|extratoken_1|>)"},                              \
        {"sentinels",                                                                                                   \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(data.sentinels),                                                                                         \
         1,                                                                                                             \
         1 << 16,                                                                                                       \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "ul2r: sentinels of one sequence at most"},                                                                    \
        {"mode-tokens",                                                                                                 \
         0,                                                                                                             \
         OPTION_FLAG,                                                                                                   \
         FIELD(data.mode_tokens),                                                                                       \
         0,                                                                                                             \
         0,                                                                                                             \
         NULL,                                                                                                          \
         NULL,                                                                                                          \
         "ul2r: [S2S], [NLU] or [NLG] in front of a sequence"},                                                         \
        {"data-workers", 0, OPTION_INT, FIELD(data_workers), 0, 256, NULL, "N", "threads that read ahead"},             \
        {"data-shards",                                                                                                 \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(data_shards),                                                                                            \
         0,                                                                                                             \
         4096,                                                                                                          \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "parts of the data, which replicas share out (default 0: one each)"},                                          \
        {"epoch-steps",                                                                                                 \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(epoch_steps),                                                                                            \
         0,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "steps after which the same sequences come again (default 0: never the same)"},                                \
        {"precision",           0,    OPTION_CHOICE,                                                                    \
         FIELD(precision),      0,    0,                                                                                \
         TRAIN_PRECISION_NAMES, NULL, "of products and stored activations; weights and moments are kept in fp32"},      \
        {"recompute",                                                                                                   \
         0,                                                                                                             \
         OPTION_FLAG,                                                                                                   \
         FIELD(recompute),                                                                                              \
         0,                                                                                                             \
         0,                                                                                                             \
         NULL,                                                                                                          \
         NULL,                                                                                                          \
         "keeps each block's input only and computes the rest again in the backward pass"},                             \
        {"loss-scale", 0, OPTION_NUMBER, FIELD(loss_scale), 0x1p-20, 0x1p40, NULL, "X", "fp16: the first loss scale"},  \
        {"loss-scale-min", 0,    OPTION_NUMBER, FIELD(loss_scale_min),          0x1p-20,                                \
         0x1p40,           NULL, "X",           "fp16: the smallest loss scale"},                                       \
        {"loss-scale-window",                                                                                           \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(loss_scale_window),                                                                                      \
         1,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "fp16: doubled after so many steps without overflow"},                                                         \
        {"loss-scale-hysteresis",                                                                                       \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(loss_scale_hysteresis),                                                                                  \
         1,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "fp16: halved at so many overflows"},                                                                          \
        {"learning-rate", 0, OPTION_NUMBER, FIELD(learning_rate), 0, 10, NULL, "X", "the largest learning rate"},       \
        {"min-learning-rate",          0, OPTION_NUMBER, FIELD(min_learning_rate), 0, 10, NULL, "X",                    \
         "where linear and cosine end"},                                                                                \
        {"schedule",           0,    OPTION_CHOICE,                                                                     \
         FIELD(schedule),      0,    0,                                                                                 \
         TRAIN_SCHEDULE_NAMES, NULL, "of the learning rate after the warm-up"},                                         \
        {"warmup-steps",                                                                                                \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(warmup_steps),                                                                                           \
         0,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "steps over which the learning rate rises linearly"},                                                          \
        {"adam-beta1", 0, OPTION_NUMBER, FIELD(adam_beta1), 0, 0.9999999, NULL, "X", "decay of the first moment"},      \
        {"adam-beta2", 0, OPTION_NUMBER, FIELD(adam_beta2), 0, 0.9999999, NULL, "X", "decay of the second moment"},     \
        {"adam-epsilon",                                                                                                \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(adam_epsilon),                                                                                           \
         1e-30,                                                                                                         \
         1,                                                                                                             \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "added to the root of the second moment"},                                                                     \
        {"weight-decay",                                                                                                \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(weight_decay),                                                                                           \
         0,                                                                                                             \
         100,                                                                                                           \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "decoupled, times the learning rate; none on biases and norms"},                                               \
        {"max-grad-norm",                                                                                               \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(max_grad_norm),                                                                                          \
         0,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "gradients are scaled down to this norm over all parameters; 0: never"},                                       \
        {"adapter",           0,    OPTION_CHOICE,                                                                      \
         FIELD(adapter),      0,    0,                                                                                  \
         TRAIN_ADAPTER_NAMES, NULL, "what is trained: all weights, or low-rank matrices beside some of them"},          \
        {"lora-rank", 0, OPTION_INT, FIELD(lora_rank), 1, 4096, NULL, "N", "rank of the added matrices"},               \
        {"lora-alpha", 0, OPTION_NUMBER, FIELD(lora_alpha), 1e-6, 1e6, NULL, "X", "they are added times alpha / rank"}, \
        {"lora-targets",                                                                                                \
         0,                                                                                                             \
         OPTION_STRINGS,                                                                                                \
         FIELD(lora_targets),                                                                                           \
         0,                                                                                                             \
         0,                                                                                                             \
         NULL,                                                                                                          \
         "NAME",                                                                                                        \
         "q_proj, k_proj, v_proj, out_proj, fc_in, fc_out (default: q_proj and v_proj)"},                               \
        {"pipeline-stages",                                                                                             \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(pipeline_stages),                                                                                        \
         1,                                                                                                             \
         4096,                                                                                                          \
         NULL,                                                                                                          \
         "P",                                                                                                           \
         "ranks that a replica has its layers on"},                                                                     \
        {"pipeline-schedule",      0,    OPTION_CHOICE,                                                                 \
         FIELD(pipeline_schedule), 0,    0,                                                                             \
         TRAIN_PIPELINE_NAMES,     NULL, "in which order stages do their micro-batches"},                               \
        {"wire-activations",           0,    OPTION_CHOICE,                                                             \
         FIELD(wire_activations),      0,    0,                                                                         \
         TRAIN_WIRE_ACTIVATIONS_NAMES, NULL, "how activations travel between stages"},                                  \
        {"aq-cache",                                                                                                    \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(aq_cache),                                                                                               \
         0,                                                                                                             \
         1e6,                                                                                                           \
         NULL,                                                                                                          \
         "GB",                                                                                                          \
         "wire-activations aq-*: memory of a rank for what it remembers, at most"},                                     \
        {"wire-gradients", 0,    OPTION_CHOICE,           FIELD(wire_gradients), 0, 0,                                  \
         TRAIN_WIRE_NAMES, NULL, "how their gradients do"},                                                             \
        {"sync",                                                                                                        \
         0,                                                                                                             \
         OPTION_CHOICE,                                                                                                 \
         FIELD(sync),                                                                                                   \
         0,                                                                                                             \
         0,                                                                                                             \
         TRAIN_SYNC_NAMES,                                                                                              \
         NULL,                                                                                                          \
         "how replicas are kept together: gradients summed in every step (allreduce; sharded: with the optimizer "      \
         "divided among them), or parameters now and then"},                                                            \
        {"sync-wire",      0,    OPTION_CHOICE,                                                                         \
         FIELD(sync_wire), 0,    0,                                                                                     \
         TRAIN_WIRE_NAMES, NULL, "diloco, streaming: how differences travel"},                                          \
        {"sync-warmup-steps",                                                                                           \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(sync_warmup_steps),                                                                                      \
         0,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "where replicas take steps of their own: steps at first whose gradients are summed"},                          \
        {"sync-probability",                                                                                            \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(sync_probability),                                                                                       \
         1e-6,                                                                                                          \
         1,                                                                                                             \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "proxskip: how often parameters are averaged"},                                                                \
        {"proxskip", 0, OPTION_CHOICE, FIELD(proxskip), 0, 0, TRAIN_PROXSKIP_NAMES, NULL, "which of its variants"},     \
        {"sync-steps",                                                                                                  \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(sync_steps),                                                                                             \
         1,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "diloco, streaming, sparse: steps between synchronisations"},                                                  \
        {"outer-learning-rate",                                                                                         \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(outer_learning_rate),                                                                                    \
         -1,                                                                                                            \
         10,                                                                                                            \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "diloco, streaming, sparse: of the outer optimizer (default: -1, which is 0.7, in sparse 1)"},                 \
        {"outer-momentum",                                                                                              \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(outer_momentum),                                                                                         \
         -1,                                                                                                            \
         0.9999999,                                                                                                     \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "diloco, streaming, sparse: of the outer optimizer, Nesterov's (default: -1, which is 0.9, in sparse 0)"},     \
        {"sync-fragments",                                                                                              \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(sync_fragments),                                                                                         \
         1,                                                                                                             \
         4096,                                                                                                          \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "streaming: parts of the model that are synchronised one after the other, layers in turn"},                    \
        {"sync-overlap",                                                                                                \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(sync_overlap),                                                                                           \
         0,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "streaming: steps that are computed while a part is on its way"},                                              \
        {"sync-mix",                                                                                                    \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(sync_mix),                                                                                               \
         1e-6,                                                                                                          \
         1,                                                                                                             \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "streaming: part of the result in the parameters that a replica goes on from"},                                \
        {"cocktail-sample",                                                                                             \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(cocktail_sample),                                                                                        \
         1e-6,                                                                                                          \
         1,                                                                                                             \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "cocktail: part of the parameters that takes part in a step"},                                                 \
        {"cocktail-keep",                                                                                               \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(cocktail_keep),                                                                                          \
         1e-6,                                                                                                          \
         1,                                                                                                             \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "cocktail: part of these that is sent, the largest"},                                                          \
        {"cocktail-bits",                                                                                               \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(cocktail_bits),                                                                                          \
         1,                                                                                                             \
         32,                                                                                                            \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "cocktail: bits of a value that is sent, 1 to 8, or 32"},                                                      \
        {"cocktail-positions",      0,    OPTION_CHOICE,                                                                \
         FIELD(cocktail_positions), 0,    0,                                                                            \
         TRAIN_POSITIONS_NAMES,     NULL, "cocktail: how it is said which are sent"},                                   \
        {"sparse-chunk",                                                                                                \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(sparse_chunk),                                                                                           \
         1,                                                                                                             \
         1 << 20,                                                                                                       \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "sparse: values of which the largest are sent"},                                                               \
        {"sparse-keep", 0, OPTION_NUMBER, FIELD(sparse_keep), 1e-6, 1, NULL, "X", "sparse: part of them that is sent"}, \
        {"sparse-bits",                                                                                                 \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(sparse_bits),                                                                                            \
         1,                                                                                                             \
         32,                                                                                                            \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "sparse: bits of a value that is sent, 1 to 8, or 32"},                                                        \
        {"sparse-decay",                                                                                                \
         0,                                                                                                             \
         OPTION_NUMBER,                                                                                                 \
         FIELD(sparse_decay),                                                                                           \
         0,                                                                                                             \
         1,                                                                                                             \
         NULL,                                                                                                          \
         "X",                                                                                                           \
         "sparse: what is left of what was not sent, at the next synchronisation"},                                     \
        {"sparse-positions",           0,    OPTION_CHOICE,                                                             \
         FIELD(sparse_positions),      0,    0,                                                                         \
         TRAIN_SPARSE_POSITIONS_NAMES, NULL, "sparse: how it is said which are sent"},                                  \
        {"save-steps",                                                                                                  \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(save_steps),                                                                                             \
         0,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "steps between checkpoints; 0: only at the end"},                                                              \
        {"save-total-limit",                                                                                            \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(save_total_limit),                                                                                       \
         0,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "how many checkpoints are kept; 0: all"},                                                                      \
        {"eval-steps", 0, OPTION_INT, FIELD(eval_steps), 0, 1e9, NULL, "N", "steps between evaluations; 0: never"},     \
        {"eval-sequences", 0, OPTION_INT, FIELD(eval_sequences), 1, 1e9, NULL, "N", "sequences of an evaluation"},      \
        {"logging-steps",                                                                                               \
         0,                                                                                                             \
         OPTION_INT,                                                                                                    \
         FIELD(logging_steps),                                                                                          \
         1,                                                                                                             \
         1e9,                                                                                                           \
         NULL,                                                                                                          \
         "N",                                                                                                           \
         "steps between lines of metrics.jsonl"},                                                                       \
        {"max-steps", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is called steps here"},                               \
        {"num-train-epochs", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "sources repeat for ever; there is steps"},        \
        {"lr-scheduler-type", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is called schedule here"},                    \
        {"per-device-train-batch-size", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is called micro_batch_size here"},  \
        {"gradient-accumulation-steps",                                                                                 \
         0,                                                                                                             \
         OPTION_REFUSED,                                                                                                \
         0,                                                                                                             \
         0,                                                                                                             \
         0,                                                                                                             \
         NULL,                                                                                                          \
         NULL,                                                                                                          \
         "it is batch_size divided by micro_batch_size"},                                                               \
        {"gradient-checkpointing", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is called recompute here"},              \
        {"fp16", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "there is precision"},                                         \
        {"bf16", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "there is precision"},                                         \
        {"sources", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is a list and belongs into the recipe"},                \
    {                                                                                                                   \
        "validation", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "it is a list and belongs into the recipe"                \
    }

/* GPT-JT's: the model card and the scripts that its authors published, except for precision (fp16 there, because of
 * their GPUs) and documents (joined there). */
#define RECIPE_DEFAULTS                                                                                                \
    {                                                                                                                  \
        .batch_size = 64, .micro_batch_size = 1,                                                                       \
        .data = {.seq_len = 2048,                                                                                      \
                 .documents = DOCUMENTS_ISOLATE,                                                                       \
                 .objective = OBJECTIVE_PREFIX,                                                                        \
                 .sentinel_first = -1,                                                                                 \
                 .sentinels = 80,                                                                                      \
                 .mode_tokens = true},                                                                                 \
        .data_workers = 1, .precision = PRECISION_BF16, .recompute = true, .loss_scale = 32768, .loss_scale_min = 1,   \
        .loss_scale_window = 1000, .loss_scale_hysteresis = 2, .learning_rate = 1e-5, .schedule = SCHEDULE_LINEAR,     \
        .warmup_steps = 10, .adam_beta1 = .9, .adam_beta2 = .999, .adam_epsilon = 1e-6, .weight_decay = .01,           \
        .max_grad_norm = 1, .adapter = ADAPTER_NONE, .lora_rank = 8, .lora_alpha = 16, .pipeline_stages = 1,           \
        .pipeline_schedule = PIPELINE_1F1B, .aq_cache = 4, .sync_probability = .02, .sync_steps = 100,                 \
        .outer_learning_rate = -1, .outer_momentum = -1, .sync_fragments = 4, .sync_overlap = 1, .sync_mix = .5,       \
        .cocktail_sample = .1, .cocktail_keep = .2, .cocktail_bits = 4, .sparse_chunk = 4096, .sparse_keep = 1. / 64,  \
        .sparse_decay = .95, .sparse_bits = 2, .save_steps = 500, .save_total_limit = 2, .eval_steps = 500,            \
        .eval_sequences = 64, .logging_steps = 1,                                                                      \
    }

#endif
