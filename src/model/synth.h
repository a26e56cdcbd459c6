// SPDX-License-Identifier: Apache-2.0
/* Checkpoints with random weights of any size, without downloading anything, of two kinds.
 *
 * Synthetic ones are for measuring, and for making broken files of. Every value has mean 0 (1 for the weights of norms)
 * and standard deviation 0.02, which is GPT-J's initializer_range: through norms and residuals activations then stay
 * around one at any depth, and logits differ. No two pages of the file are equal.
 *
 * New ones are for training: as transformers initialises GPT-J, matrices are normal with a standard deviation of
 * initializer_range, the weights of norms 1 and all biases 0.
 *
 * A value is a function of (seed, tensor, index) alone, whoever computes it. */
#ifndef GPTJT_MODEL_SYNTH_H
#define GPTJT_MODEL_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/progress.h"
#include "base/status.h"
#include "formats/gptj_config.h"
#include "tensor/tensor.h"

struct synth {
    struct gptj_config config;
    enum dtype dtype; /* F32, F16 or BF16, of every tensor */
    enum config_mask prompt_mask;
    uint64_t seed;
    bool init;                /* synth_write() makes a new model, to train */
    double initializer_range; /* of a new model */
    bool induction_heads;     /* a new model has them (induction.h) */
};

/* GPT-J's shapes in several sizes. */
struct synth_preset {
    const char *name;
    int V, P, D, L, H, R;
};
extern const struct synth_preset synth_presets[]; /* ended by an entry without a name */

/* The preset called name, or NULL. */
const struct synth_preset *synth_find_preset(const char *name);

/* Checks and completes sizes by the rules for a config.json: V, P, D, L, H, R, F (0: 4 D), tied and eos (0: GPT-2's
 * <|endoftext|>, or the last id) are read, the rest is set. E_ARG naming what does not fit. */
enum status synth_complete(struct gptj_config *c);

/* Bytes of weights. */
int64_t synth_bytes(const struct synth *s);

/* The mean of a tensor's values: 1 for the weight of a norm, else 0. */
double synth_mean(const char *name);

/* Values [begin, begin + n) of the tensor that is number tensor in checkpoint order, into out as s->dtype. mean: 0
 * or 1. */
void synth_values(void *out, const struct synth *s, int tensor, double mean, int64_t begin, int64_t n);

/* Value i of tensor, normal with mean 0 and standard deviation 1. */
double synth_normal(const struct synth *s, int tensor, int64_t i);

void synth_put(void *out, enum dtype dtype, int64_t i, float x); /* out[i] = x */

/* synth_values() of a new model's matrix. */
void synth_init_values(void *out, const struct synth *s, int tensor, int64_t begin, int64_t n);

/* Writes config.json and model.safetensors into dir, which exists. The latter appears when it is complete; memory use
 * does not depend on the model. E_CANCELLED when progress says so, and then no file is left. */
enum status synth_write(const struct synth *s, const char *dir, struct pool *pool, progress_bytes_fn *progress,
                        void *user);

#endif
