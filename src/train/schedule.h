// SPDX-License-Identifier: Apache-2.0
/* The learning rate and the loss scale of a step: arithmetic without state, or with a state of three numbers. */
#ifndef GPTJT_TRAIN_SCHEDULE_H
#define GPTJT_TRAIN_SCHEDULE_H

#include <stdbool.h>

#include "train/recipe.h"

/* Of step 0, 1, ...: up in warmup_steps equal steps, then down to min_learning_rate at `steps`, which no step reaches.
 */
double schedule_learning_rate(const struct recipe *r, int64_t step);

/* Dynamic loss scaling (Micikevicius et al. 2018, arXiv:1710.03740): halved when gradients overflowed as often as
 * hysteresis says, doubled after a window of clean steps in a row, which also forgives all overflows. */
struct loss_scale {
    double scale;
    int64_t clean, overflows;
};
struct loss_scale loss_scale_begin(const struct recipe *r); /* 1 unless the precision is fp16 */

/* After a step. False: it overflowed at the least scale, so scaling cannot help. */
bool loss_scale_update(struct loss_scale *s, const struct recipe *r, bool overflowed);

#endif
