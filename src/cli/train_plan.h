// SPDX-License-Identifier: Apache-2.0
/* gptjt train --dry-run: what a run would take, alone or on ranks. */
#ifndef GPTJT_CLI_TRAIN_PLAN_H
#define GPTJT_CLI_TRAIN_PLAN_H

#include "train/trainer.h"

/* Of the fp32 or bf16 unit of this machine, whichever the precision uses. Takes about a second. */
enum status train_peak_flops(double *out, const struct recipe *r, const struct trainer_options *o);

/* Prints it. n_ranks 0: alone. */
enum status train_plan_print(const struct recipe *r, const struct trainer_options *o, int n_ranks);

#endif
