// SPDX-License-Identifier: Apache-2.0
/* A training run: steps, validation, metrics, checkpoints. Everything that a step depends on is in the recipe, the
 * files and the last checkpoint, so a run that was killed and resumed has the bits of one that was not. */
#ifndef GPTJT_TRAIN_TRAINER_H
#define GPTJT_TRAIN_TRAINER_H

#include "ops/ops.h"
#include "train/recipe.h"
#include "train/team.h"

struct trainer_options {
    enum cpu_level level;
    enum ops_device device;
    int threads;
    bool resume;         /* from the last checkpoint, if there is one */
    bool quiet;          /* no progress */
    double peak_flops;   /* of the machine, for the fraction in the progress line; 0: unknown */
    bool (*stop)(void);  /* asked after every step; may be NULL */
    struct team *team;   /* those who train together; NULL: this process alone */
    struct trace *trace; /* what is done when, of the steps that it is for; NULL: none */
};

/* Trains as the recipe says; with a team all its ranks do, each its part. Where `stop` asks for it, a checkpoint is
 * written and the status is E_CANCELLED. */
enum status trainer_run(const struct recipe *recipe, const struct trainer_options *options);

/* What a run would take, before it begins, or what a rank of a team's would. Weights that are to be trained need not be
 * there yet: their sizes follow from config.json. */
struct trainer_plan {
    int64_t parameters, trained;   /* of the model, and those that change */
    int64_t tokens_a_step, tokens; /* with padding and prefixes */
    double flops_a_step;           /* of products and attention, forward and backward; recomputing not counted */
    size_t mapped_bytes;           /* weights that are read where the file lies */
    size_t weight_bytes, gradient_bytes, optimizer_bytes, activation_bytes, scratch_bytes;
};
enum status trainer_plan(struct trainer_plan *out, const struct recipe *recipe, const struct trainer_options *options);

#endif
