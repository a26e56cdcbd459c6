// SPDX-License-Identifier: Apache-2.0
/* Reading a row of logits on the host. */
#ifndef GPTJT_ENGINE_LOGITS_H
#define GPTJT_ENGINE_LOGITS_H

#include <stdint.h>

/* log sum exp of logits[V], summed in double: log p(i) = logits[i] - this. */
double logits_log_partition(const float *logits, int V);

int32_t logits_argmax(const float *logits, int V); /* the first of equals */

/* The first token whose logit is NaN or infinite, or -1. */
int32_t logits_not_finite(const float *logits, int V);

#endif
