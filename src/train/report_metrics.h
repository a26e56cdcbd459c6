// SPDX-License-Identifier: Apache-2.0
/* A run's metrics.jsonl as curves: every number of every line becomes a point of the curve named after its member
 * ("loss"), a number within an object one of "loss_by_source/pile". */
#ifndef GPTJT_TRAIN_REPORT_METRICS_H
#define GPTJT_TRAIN_REPORT_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct report_curve {
    char *name;    /* owned */
    double *x, *y; /* owned, [n]; x is the step, ascending */
    size_t n, room;
};

struct report_metrics {
    struct report_curve *curves; /* owned, in the order of their first points */
    int n_curves;
};

/* Lines are JSON objects with a member "step"; those that are no number, null or missing are no points. "skipped": true
 * is the point 1. When a run was resumed and steps come again, the later lines count. A last line without its newline
 * that is not whole is what a kill leaves, and is ignored. Zero-initialise; free it whatever happens. */
enum status report_metrics_read(struct report_metrics *m, const char *path);

/* The same of a text that is there already; path is for errors. */
enum status report_metrics_parse(struct report_metrics *m, const char *text, size_t bytes, const char *path);
void report_metrics_free(struct report_metrics *m);

/* The curve of this name, or NULL. */
const struct report_curve *report_metrics_find(const struct report_metrics *m, const char *name);

/* What the name has behind "group/", or NULL if it does not begin so. */
const char *report_metrics_member(const struct report_curve *c, const char *group);

#endif
