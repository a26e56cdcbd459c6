// SPDX-License-Identifier: Apache-2.0
/* `gptjt report`: training runs as one HTML page that needs nothing else: curves, settings, what has come out.
 *
 * A run's directory has
 *     metrics.jsonl   one object a line, every member but "step" may be missing:
 *                     {"step", "loss", "loss_by_source": {}, "targets", "learning_rate", "grad_norm", "loss_scale",
 *                      "skipped", "tokens", "tokens_per_s", "tflops", "seconds"}, tokens being those of the run so far,
 *                     the last three of this step alone;
 *                     {"step", "validation_loss", "validation_loss_by_source": {}}
 *     recipe.json     recipe_json(); the page goes without if it is missing
 *     checkpoint-N/   the model after step N */
#ifndef GPTJT_TRAIN_REPORT_H
#define GPTJT_TRAIN_REPORT_H

#include "base/buf.h"
#include "base/status.h"

enum { REPORT_MAX_RUNS = 8 };

/* Appends the page for the runs in these directories, 1 .. REPORT_MAX_RUNS, drawn over each other. */
enum status report_html(struct buf *out, const char *const *dirs, int n_dirs);

#endif
