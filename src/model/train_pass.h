// SPDX-License-Identifier: Apache-2.0
/* Micro-batches forward and backward through a layer range of the model.
 *
 * Forward keeps what backward needs: each block's input, and, unless they are to be computed again (`recompute`, Chen
 * et al. 2016), its queries, K/V, attention and the MLP's hidden layer before gelu. Norms and gelus are always computed
 * again: they cost a percent and would keep half as much more. The head goes by chunks of rows that have targets:
 * logits become their own gradient in place, so no matrix of all rows by the vocabulary ever exists.
 *
 * Gradients are added up where struct weight's grad points; a weight without one is frozen. With adapters the weights
 * themselves are frozen, and only the adapters' two factors have gradients.
 *
 * A stage of a pipeline has several micro-batches in flight: what forward keeps exists once for each, in a slot, and
 * everything else once. Its backward may also be split (zero bubble pipelines, Qi et al. 2023, arXiv:2401.10241): the
 * gradient of the stage's input, which another stage waits for, comes first, and the weight gradients, which nobody
 * waits for before the step's end, when there is time.
 *
 * Whatever is interleaved, sums have the order of the calls: if micro-batches come in the same order to head and
 * backward_input, each pair without another in between, and in the same order to backward_weights, then gradients are
 * bit for bit those of one micro-batch after the other through forward, head and backward. */
#ifndef GPTJT_MODEL_TRAIN_PASS_H
#define GPTJT_MODEL_TRAIN_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/gptj.h"

struct train_pass_options {
    int sequences, seq_len; /* of a micro-batch, at most; seq_len <= the model's positions */
    bool recompute;
    int slots;     /* micro-batches that are kept at a time, from forward to the end of their backward; 0: one */
    int late;      /* micro-batches between backward_input and backward_weights at a time; 0: backward is not split */
    int lora_rank; /* of the model's adapters, 0 without; their product is added times lora_scale */
    float lora_scale;
    enum dtype round;            /* F16: stored activations and their gradients are rounded to it; F32: they are not */
    void (*between)(void *user); /* called behind each block, forward and in each part of backward; may be NULL */
    void *user;
};

/* The rows of a micro-batch, on the host: sequence after sequence, positions 0 .. seq_len-1 in each. lo and hi do not
 * decrease within a sequence. */
struct train_rows {
    int sequences, seq_len;
    const int32_t *token, *lo, *hi; /* [sequences * seq_len]; token is read with the embedding alone */
    const int32_t *target;          /* the token to predict, or negative: none; read with the head alone */
};

struct train_pass;

enum status train_pass_create(struct train_pass **out, const struct gptj *m, const struct train_pass_options *options);
void train_pass_free(struct train_pass *p); /* accepts NULL */

/* What create allocates for layers [first, last) of a model; the head's part with last == L. Per layer, and row of a
 * micro-batch, in floats, besides what exists once:
 *
 *     a slot                 D (its input), and without recompute 4 D + F + H, K and V filled up to whole pages
 *     a late micro-batch     D + F, and with recompute those 4 D + F + H
 *
 * With recompute, where F is 4 D, a late one takes 13 D. It could do with 8 D if attention and z were computed a third
 * time, but that is more than half of a forward pass, and time is what splitting is to save. */
size_t train_pass_bytes(const struct gptj_config *c, int first, int last, const struct train_pass_options *options);

/* All calls below mean this slot from now on; at first it is 0. */
void train_pass_use(struct train_pass *p, int slot);

/* The residual stream in front of the first layer and behind the last, [rows][D] on the device, and its gradient. In a
 * whole model forward() fills the first from the embedding and head() the gradient; a pipeline stage is fed by others.
 * The gradient exists once for all slots: nothing but backward may come between filling and using it. */
float *train_pass_input(struct train_pass *p);
float *train_pass_output(struct train_pass *p);
float *train_pass_gradient(struct train_pass *p); /* of the output before backward, of the input after it */

/* rows must stay as they are until the last part of backward has returned. */
void train_pass_forward(struct train_pass *p, const struct train_rows *rows);

/* Norm, head and cross-entropy of every row with a target: loss[i] (host) of the i-th of them, and the gradient of
 * scale * sum of losses with respect to the output. Returns how many there are. The head's own weight gradients are
 * never late: they would want the logits of all rows. */
int train_pass_head(struct train_pass *p, float scale, double *loss);

void train_pass_backward(struct train_pass *p);

/* All gradients are zero from now on. Those of matrices are only said to be, and overwritten by the next micro-batch:
 * until that has been through head and backward, they are undefined. */
void train_pass_zero_grad(struct train_pass *p);

/* Backward in two halves. The first includes the gradients of norms and embedding, which cost next to nothing; the
 * second can be had any time before the slot's next forward, and frees the slot. At most `late` micro-batches of all
 * slots may be between the two. */
void train_pass_backward_input(struct train_pass *p);
void train_pass_backward_weights(struct train_pass *p);

/* The losses alone, for validation. */
int train_pass_loss(struct train_pass *p, double *loss);

#endif
