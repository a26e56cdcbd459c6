// SPDX-License-Identifier: Apache-2.0
/* A model, or a pipeline's stage of one, opened for training: its masters, gradients and activations, on a backend of
 * its own. */
#ifndef GPTJT_TRAIN_TRAINEE_H
#define GPTJT_TRAIN_TRAINEE_H

#include "formats/gptj_config.h"
#include "formats/source.h"
#include "model/params.h"
#include "model/train_pass.h"
#include "train/recipe.h"

struct trainee_options {
    enum cpu_level level;
    enum ops_device device;
    int threads;
    enum train_precision precision;
    int sequences, seq_len; /* of a micro-batch */
    bool recompute;
    int first, last;             /* layers [first, last) of the model; last 0: to its end */
    int slots, late;             /* as in train_pass_options */
    struct lora_shape lora;      /* r 0: all weights are trained */
    uint64_t seed;               /* of the adapters' first values */
    void (*between)(void *user); /* as in train_pass_options */
    void *user;
};

struct trainee {
    struct checkpoint_config config;
    struct source *source; /* owned, of a model that is trained by adapters: its weights stay in the files */
    struct ops *ops;
    struct gptj *model;
    struct params *params;
    struct train_pass *pass;
};

/* What training this model, or these layers of it, allocates, before it does. */
struct trainee_memory {
    size_t values; /* numbers that are trained, padding included */
    size_t weight_bytes, gradient_bytes, activation_bytes;
    size_t mapped_bytes;  /* of weights that stay in their files */
    size_t scratch_bytes; /* of the backend */
};
struct trainee_memory trainee_memory(const struct gptj_config *c, const struct source *src,
                                     const struct trainee_options *o);

/* Opens the Hugging Face directory dir. *out is zeroed by the caller; close also after a failure. E_ARG where the model
 * has no such layers or a shorter window, E_NOMEM where memory will not do. */
enum status trainee_open(struct trainee *out, const char *dir, const struct trainee_options *o);

/* The same from weights that are not in a directory; src may be closed after it, unless adapters are trained. name is
 * for errors. */
enum status trainee_open_source(struct trainee *out, const char *name, const struct gptj_config *config,
                                const struct source *src, const struct trainee_options *o);
void trainee_close(struct trainee *t);

#endif
