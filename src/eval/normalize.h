// SPDX-License-Identifier: Apache-2.0
/* When an answer in the model's own words counts as the right one, as HELM has it.
 *
 *   exact         the same but for white space at both ends
 *   quasi-exact   the same after normalize_text(): small letters, no ASCII punctuation, no a, an, the, white space as
 *                 single spaces and none at the ends
 *
 * An empty answer is never right. */
#ifndef GPTJT_EVAL_NORMALIZE_H
#define GPTJT_EVAL_NORMALIZE_H

#include <stdbool.h>

#include "base/buf.h"

bool normalize_exact_match(const char *answer, const char *gold);

/* Appends the normalised text. */
void normalize_text(struct buf *out, const char *text);

#endif
