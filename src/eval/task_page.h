// SPDX-License-Identifier: Apache-2.0
/* The results of tasks as one HTML page that needs nothing else. */
#ifndef GPTJT_EVAL_TASK_PAGE_H
#define GPTJT_EVAL_TASK_PAGE_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"

/* Appends the page. results: the object of task_results.h; members besides "tasks" and "mean" are the run's settings.
 */
enum status task_page(struct buf *out, const json_t *results);

#endif
