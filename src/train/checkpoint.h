// SPDX-License-Identifier: Apache-2.0
/* A run's checkpoints: RUN/checkpoint-STEP/, each a Hugging Face directory with the fp32 masters as its weights
 * (model.safetensors, config.json, tokenizer files), or an adapter as PEFT lays it out (adapter_model.safetensors,
 * adapter_config.json), and beside them what training needs to go on: AdamW's moments (optimizer.safetensors) and
 * everything else (trainer_state.json).
 *
 * Of a team, every stage writes its layers, as model-00001-of-0000P.safetensors with an index, and the first ranks'
 * files have the names above; others' have replica and stage in them: optimizer-00001-00000.safetensors. Where replicas
 * take steps of their own, the weights are what they agree on, and a replica's own masters are in its optimizer file.
 * Tensors are looked for by name, so another number of stages or replicas can go on from them. Where machines share
 * no directory, each has its own ranks' files.
 *
 * A checkpoint is written under another name, made durable, and renamed when all ranks have written; so whatever ends
 * the program, what is called checkpoint-STEP is whole. */
#ifndef GPTJT_TRAIN_CHECKPOINT_H
#define GPTJT_TRAIN_CHECKPOINT_H

#include "base/json.h"
#include "formats/gptj_config.h"
#include "train/optimizer.h"
#include "train/team.h"

struct checkpoint {
    struct team *team;
    const struct gptj_config *config;
    enum config_mask mask; /* the prompt mask that the model is trained for */
    const char *model;     /* the directory it comes from, whose tokenizer files go along */
    struct optimizer *optimizer;
    const json_t *state;    /* all that is neither weight nor vector; an object */
    struct lora_shape lora; /* r 0: the model itself */
    double lora_alpha;
};

/* Writes RUN/checkpoint-STEP, then removes the oldest beyond keep (0: none). All ranks call it. */
enum status checkpoint_save(const struct checkpoint *c, const char *run, int64_t step, int64_t keep);

/* Removes what a killed run left half written. */
enum status checkpoint_clean(const char *run);

/* The run's last checkpoint up to step `upto`; *step -1 if there is none, or no such run. */
enum status checkpoint_last(int64_t *step, const char *run, int64_t upto);
enum status checkpoint_name(char *dir, size_t dir_bytes, const char *run, int64_t step);

/* The masters, moments and vectors of c's rank from a checkpoint of the same model; c->state is not read. *state is
 * owned: that of the rank's replica, with "data" having every replica's entries. */
enum status checkpoint_load(const struct checkpoint *c, json_t **state, const char *dir);

#endif
