// SPDX-License-Identifier: Apache-2.0
/* A recipe: everything a training run is made of, as a YAML file whose keys are the names of the command line's options
 * (with underscores). `gptjt train RECIPE --steps 10` reads the file, then the command line, into one struct. */
#ifndef GPTJT_TRAIN_RECIPE_H
#define GPTJT_TRAIN_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/options.h"
#include "base/status.h"
#include "data/data.h"

enum train_precision { PRECISION_FP32, PRECISION_BF16, PRECISION_FP16 };
#define TRAIN_PRECISION_NAMES "fp32|bf16|fp16"
const char *train_precision_name(enum train_precision p); /* static */

enum train_schedule { SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_CONSTANT };
#define TRAIN_SCHEDULE_NAMES "linear|cosine|constant"

enum train_adapter { ADAPTER_NONE, ADAPTER_LORA };
#define TRAIN_ADAPTER_NAMES "none|lora"

/* How replicas are kept together (src/dist/sync_*.c has each). */
enum train_sync {
    SYNC_ALLREDUCE,
    SYNC_SHARDED,
    SYNC_PROXSKIP,
    SYNC_DILOCO,
    SYNC_COCKTAIL,
    SYNC_STREAMING,
    SYNC_SPARSE
};
#define TRAIN_SYNC_NAMES "allreduce|sharded|proxskip|diloco|cocktail|streaming|sparse"

/* What GPT-JT's authors had under one name in the end and before (src/dist/sync_proxskip.c). */
enum train_proxskip { PROXSKIP_LOCAL, PROXSKIP_SHIFTED, PROXSKIP_FROZEN };
#define TRAIN_PROXSKIP_NAMES "local|shifted|frozen"

enum train_pipeline { PIPELINE_GPIPE, PIPELINE_1F1B, PIPELINE_ZB_H1 };
#define TRAIN_PIPELINE_NAMES "gpipe|1f1b|zb-h1"

/* The last two are for activations only: differences from what both sides remember (src/dist/delta_cache.h). */
enum train_wire {
    TRAIN_WIRE_FP32,
    TRAIN_WIRE_FP16,
    TRAIN_WIRE_BF16,
    TRAIN_WIRE_INT8,
    TRAIN_WIRE_INT4,
    TRAIN_WIRE_AQ_INT8,
    TRAIN_WIRE_AQ_INT4
};
#define TRAIN_WIRE_NAMES             "fp32|fp16|bf16|int8|int4"
#define TRAIN_WIRE_ACTIVATIONS_NAMES TRAIN_WIRE_NAMES "|aq-int8|aq-int4"

/* How CocktailSGD says which values it has kept: a bit for each, or Golomb's code (src/dist/positions.h). */
enum train_positions { TRAIN_POSITIONS_BITMASK, TRAIN_POSITIONS_GOLOMB };
#define TRAIN_POSITIONS_NAMES "bitmask|golomb"

/* How SparseLoCo does: numbers within chunks, or Golomb's code. */
enum train_sparse_positions { SPARSE_POSITIONS_CHUNKED, SPARSE_POSITIONS_GOLOMB };
#define TRAIN_SPARSE_POSITIONS_NAMES "chunked|golomb"

struct recipe {
    const char *model;                    /* where training starts: a Hugging Face directory */
    const char *output;                   /* the run's directory: checkpoints, metrics.jsonl, the recipe as resolved */
    int64_t steps;                        /* optimizer steps */
    int64_t batch_size, micro_batch_size; /* sequences of one optimizer step in all; computed at once */
    struct data_settings data;            /* seq_len, documents, objective, seed, sentinels, sources */
    struct data_source *sources, *validation; /* owned, [n_*]: data.sources points at the first */
    int n_validation;
    int64_t data_workers;
    int64_t data_shards; /* as train/data_shards.h says; 0: as many as replicas */
    int64_t epoch_steps; /* after which the same sequences come again, in the same order; 0: never */

    int precision;                     /* of products and stored activations; masters and moments are fp32 */
    bool recompute;                    /* keep only each block's input, compute the rest again in the backward pass */
    double loss_scale, loss_scale_min; /* fp16: to begin with, and never less */
    int64_t loss_scale_window, loss_scale_hysteresis; /* doubled after so many clean steps, halved after so many bad */

    double learning_rate, min_learning_rate;
    int schedule;
    int64_t warmup_steps;
    double adam_beta1, adam_beta2, adam_epsilon, weight_decay, max_grad_norm; /* 0: no clipping */

    int adapter;
    int64_t lora_rank;
    double lora_alpha;
    struct option_strings lora_targets; /* as given; read them with recipe_lora_targets() */

    /* Of a team (train/team.h). */
    int64_t pipeline_stages; /* that a replica's layers are divided among */
    int pipeline_schedule, wire_activations, wire_gradients;
    double aq_cache; /* GB that a rank may take to remember activations */
    int sync, sync_wire;
    int64_t sync_warmup_steps; /* dense steps first, where replicas take steps of their own */
    double sync_probability;   /* proxskip: of a synchronisation in a step */
    int proxskip;
    int64_t sync_steps;                         /* diloco, streaming, sparse: steps between synchronisations */
    double outer_learning_rate, outer_momentum; /* of these; negative: read them with the functions below */
    int64_t sync_fragments, sync_overlap;       /* streaming: parts of the model; steps that an exchange may take */
    double sync_mix;                            /* of its result in what a replica goes on from */
    double cocktail_sample, cocktail_keep; /* parts of the parameters: that take part, and of these, that are sent */
    int64_t cocktail_bits;                 /* of a value that is sent; 32: as it is */
    int cocktail_positions;
    int64_t sparse_chunk;             /* sparse: values among which the largest are sent, */
    double sparse_keep, sparse_decay; /* which part of them; what of the rest comes again */
    int64_t sparse_bits;              /* of a value that is sent; 32: as it is */
    int sparse_positions;

    int64_t save_steps, save_total_limit, eval_steps, eval_sequences, logging_steps;

    json_t *file; /* owned; strings point into it */
};

/* The table of the scalar settings, for the command line too: offsets are into struct recipe. */
extern const struct option recipe_options[];
extern const struct recipe recipe_defaults;

/* Reads a YAML recipe: recipe_options, and the lists `sources` and `validation` of data_source_options. Unknown keys
 * are E_ARG with the nearest name. Relative paths in it are relative to the working directory. given as in options.h.
 */
enum status recipe_read(struct recipe *r, const char *path, option_given *given);

/* What no single option can say: E_ARG for a recipe without sources, batch sizes that do not divide, ... */
enum status recipe_check(const struct recipe *r);
void recipe_free(struct recipe *r);

/* The names (q_proj, ...) of the matrices that get an adapter: those given, else the usual ones. Borrowed. */
struct option_strings recipe_lora_targets(const struct recipe *r);

/* The outer optimizer's settings: those given, else what fits the algorithm. */
double recipe_outer_learning_rate(const struct recipe *r);
double recipe_outer_momentum(const struct recipe *r);

/* The recipe with every default filled in, as an object of its keys, which recipe_read() reads as well. New reference,
 * NULL without memory. */
json_t *recipe_json(const struct recipe *r);

#endif
