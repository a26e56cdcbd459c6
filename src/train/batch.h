// SPDX-License-Identifier: Apache-2.0
/* The sequences of one optimizer step, drawn before its first forward pass: so the number of targets, by which the
 * gradient is divided, is known. */
#ifndef GPTJT_TRAIN_BATCH_H
#define GPTJT_TRAIN_BATCH_H

#include "data/data.h"
#include "model/train_pass.h"

struct train_batch {
    int sequences, seq_len;
    int32_t *token, *lo, *hi, *target; /* [sequences][seq_len] */
    int *source, *n_targets;           /* [sequences] */
    int64_t targets;                   /* of all */
};

enum status train_batch_create(struct train_batch *out, int sequences, int seq_len);
void train_batch_free(struct train_batch *b);
size_t train_batch_bytes(int64_t sequences, int64_t seq_len);

/* Sequence i from data[i % n]. */
enum status train_batch_draw(struct train_batch *b, struct data *const *data, int n);

/* Sequences first .. first + n as rows of a micro-batch. Borrowed. */
struct train_rows train_batch_rows(const struct train_batch *b, int first, int n);

/* Floating-point operations of a forward pass of so many rows, pairs of a row and a position that it sees, and targets:
 * products and attention over visible intervals, the head for rows with targets only. */
double train_flops(const struct gptj_config *c, double rows, double pairs, double targets);

/* The same of the batch. */
double train_batch_flops(const struct train_batch *b, const struct gptj_config *c);

/* Losses of a batch, and of each source's sequences in it. */
struct loss_sum {
    double sum;
    int64_t n;
};

/* Adds the losses of those sequences, as train_pass_head() wrote them, to the batch's and their sources' sums. */
void train_batch_add_losses(const struct train_batch *b, int first, int n, const double *loss, struct loss_sum *all,
                            struct loss_sum *by_source);

#endif
