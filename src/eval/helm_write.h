// SPDX-License-Identifier: Apache-2.0
/* Results in the form of HELM's own: a directory for a run, with scenario_state.json (the requests as they were put,
 * with our answers), stats.json and, where the run had one, run_spec.json. Each file appears whole or not at all. */
#ifndef GPTJT_EVAL_HELM_WRITE_H
#define GPTJT_EVAL_HELM_WRITE_H

#include "eval/helm_stats.h"

/* dir of a run of this name in out, which is made; E_ARG when that is where the run itself is. */
enum status helm_output_dir(char dir[HELM_PATH_MAX], const char *out, const struct helm_run *run);

/* model: how it is named in what is written; NULL: as it was. rows: of helm_stats_json(). answers NULL: statistics
 * only. */
enum status helm_write(const char *dir, const struct helm_run *run, const struct helm_answer *answers,
                       const json_t *rows, const char *model);

#endif
