// SPDX-License-Identifier: Apache-2.0
/* RUN/metrics.jsonl: one object a line, of a step or of a validation, for `gptjt report` and whoever else. */
#ifndef GPTJT_TRAIN_METRICS_H
#define GPTJT_TRAIN_METRICS_H

#include "train/batch.h"

struct metrics;

/* Continues the file after step: what a killed run wrote about later steps, which will be done again, goes. */
enum status metrics_open(struct metrics **out, const char *path, int64_t step);
void metrics_close(struct metrics *m);       /* accepts NULL */
enum status metrics_sync(struct metrics *m); /* what was written is on disk */

struct metrics_step {
    int64_t step; /* 1: the first */
    double loss;
    int64_t targets;
    double learning_rate, grad_norm, loss_scale;
    bool skipped;
    int64_t tokens; /* so far */
    double tokens_per_s, flops_per_s, seconds;
};

/* by_source: [n], those without losses are left out. scaled: loss_scale and skipped mean something. */
enum status metrics_write_step(struct metrics *m, const struct metrics_step *step, bool scaled,
                               const struct data_source *sources, const struct loss_sum *by_source, int n);
enum status metrics_write_validation(struct metrics *m, int64_t step, const struct loss_sum *all,
                                     const struct data_source *sources, const struct loss_sum *by_source, int n);

#endif
