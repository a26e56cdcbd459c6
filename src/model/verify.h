// SPDX-License-Identifier: Apache-2.0
/* Looks at every value of a weight for NaN and infinity: what a broken download, a bad conversion or a diverged
 * training run leaves in a checkpoint. */
#ifndef GPTJT_MODEL_VERIFY_H
#define GPTJT_MODEL_VERIFY_H

#include <stdint.h>

#include "base/pool.h"
#include "base/progress.h"
#include "ops/ops.h"

struct verify_result {
    int64_t n_bad; /* values that are not finite */
    int64_t first; /* index of the first one, row-major; -1: none */
};

/* bar moves by the weight's bytes; it may be NULL. */
struct verify_result verify_weight(const struct weight *w, struct pool *pool, struct progress *bar);

/* E_NUMERIC unless all values of to, which was made from from, are finite: bad in the source, or by the conversion.
 * Row 0 of both is row `first` of the tensor called name. */
enum status verify_conversion(const char *name, const struct weight *from, const struct weight *to, int64_t first,
                              struct pool *pool);

#endif
