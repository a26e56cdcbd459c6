// SPDX-License-Identifier: Apache-2.0
/* What HELM measures of the answer to one request. */
#ifndef GPTJT_EVAL_HELM_VALUES_H
#define GPTJT_EVAL_HELM_VALUES_H

#include "eval/helm_stats.h"

/* values [HELM_N_INSTANCE_METRICS], NaN on entry and where there is none: matches without a right answer to compare
 * with, lengths and probabilities without an answer, prompt tokens that nobody counted. */
enum status helm_values(double *values, const struct helm_run *run, const struct helm_request *q,
                        const struct helm_answer *answer, locale_t locale);

#endif
