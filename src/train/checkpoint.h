// SPDX-License-Identifier: Apache-2.0
/* A run's checkpoints: RUN/checkpoint-STEP/, each a Hugging Face directory with the fp32 masters as its weights
 * (model.safetensors, config.json, tokenizer files), or an adapter as PEFT lays it out (adapter_model.safetensors,
 * adapter_config.json), and beside them what training needs to go on: AdamW's moments
 * (optimizer.safetensors) and everything else (trainer_state.json).
 *
 * Of a stage, a model of some layers only, both files have the parameters that it has, under the same names; and from a
 * whole checkpoint, or any that has them, it reads its own.
 *
 * A checkpoint is written under another name, made durable, and renamed; so whatever ends the program, what is called
 * checkpoint-STEP is whole. */
#ifndef GPTJT_TRAIN_CHECKPOINT_H
#define GPTJT_TRAIN_CHECKPOINT_H

#include "base/json.h"
#include "formats/gptj_config.h"
#include "train/optimizer.h"

struct checkpoint {
    const struct gptj_config *config;
    enum config_mask mask; /* the prompt mask that the model is trained for */
    const char *model;     /* the directory it comes from, whose tokenizer files go along */
    struct optimizer *optimizer;
    const json_t *state;    /* all that is neither weight nor moment; an object */
    struct lora_shape lora; /* r 0: the model itself */
    double lora_alpha;
};

/* Writes RUN/checkpoint-STEP, then removes the oldest beyond keep (0: none). */
enum status checkpoint_save(const struct checkpoint *c, const char *run, int64_t step, int64_t keep);

/* Removes what a killed run left half written. */
enum status checkpoint_clean(const char *run);

/* The run's last checkpoint into dir; *step -1 if there is none, or no such run. */
enum status checkpoint_last(int64_t *step, char *dir, size_t dir_bytes, const char *run);

/* Masters, moments and state of a checkpoint of the same model. *state is owned. */
enum status checkpoint_load(struct optimizer *o, json_t **state, const char *dir, bool adapter);

#endif
