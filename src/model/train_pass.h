// SPDX-License-Identifier: Apache-2.0
/* One micro-batch forward and backward through a layer range of the model.
 *
 * Forward keeps what backward needs: each block's input, and, unless they are to be computed again (`recompute`, Chen
 * et al. 2016), its queries, K/V, attention and the MLP's hidden layer before gelu. Norms and gelus are always computed
 * again: they cost a percent and would keep half as much more. The head goes by chunks of rows that have targets:
 * logits become their own gradient in place, so no matrix of all rows by the vocabulary ever exists.
 *
 * Gradients are added where struct weight's grad points; a weight without one is frozen. With adapters the weights
 * themselves are frozen, and only the adapters' two factors have gradients. */
#ifndef GPTJT_MODEL_TRAIN_PASS_H
#define GPTJT_MODEL_TRAIN_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/gptj.h"

struct train_pass_options {
    int sequences, seq_len; /* of a micro-batch, at most; seq_len <= the model's positions */
    bool recompute;
    int lora_rank; /* of the model's adapters, 0 without; their product is added times lora_scale */
    float lora_scale;
    enum dtype round;            /* F16: stored activations and their gradients are rounded to it; F32: they are not */
    void (*between)(void *user); /* called behind each block, forward and backward; may be NULL */
    void *user;
};

/* The rows of a micro-batch, on the host: sequence after sequence, positions 0 .. seq_len-1 in each. lo and hi do not
 * decrease within a sequence. */
struct train_rows {
    int sequences, seq_len;
    const int32_t *token, *lo, *hi; /* [sequences * seq_len] */
    const int32_t *target;          /* the token to predict, or negative: none; not read without the head */
};

struct train_pass;

enum status train_pass_create(struct train_pass **out, const struct gptj *m, const struct train_pass_options *options);
void train_pass_free(struct train_pass *p); /* accepts NULL */

/* What create allocates for layers [first, last) of a model; the head's part with last == L. */
size_t train_pass_bytes(const struct gptj_config *c, int first, int last, const struct train_pass_options *options);

/* The residual stream in front of the first layer and behind the last, [rows][D] on the device, and its gradient. In a
 * whole model forward() fills the first from the embedding and head() the gradient; a pipeline stage is fed by others.
 */
float *train_pass_input(struct train_pass *p);
float *train_pass_output(struct train_pass *p);
float *train_pass_gradient(struct train_pass *p); /* of the output before backward(), of the input after it */

/* rows must stay as they are until backward() has returned. */
void train_pass_forward(struct train_pass *p, const struct train_rows *rows);

/* Norm, head and cross-entropy of every row with a target: loss[i] (host) of the i-th of them, and the gradient of
 * scale * sum of losses with respect to the output. Returns how many there are. */
int train_pass_head(struct train_pass *p, float scale, double *loss);

void train_pass_backward(struct train_pass *p);

/* The losses alone, for validation. */
int train_pass_loss(struct train_pass *p, double *loss);

#endif
