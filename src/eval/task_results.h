// SPDX-License-Identifier: Apache-2.0
/* What the answers to tasks come to, as the JSON object that tables and pages are made of:
 *
 *     {"tasks": [{
 *        "name", "answer", "instances", "trials", "shots", "labels": [], "majority": of always giving the commonest
 * answer, "masks": {"prefix" and/or "causal": { "accuracy", "interval": [low, high], "by_trial": [], "exact_match",
 * "quasi_exact_match",                       generate and free "macro_f1", "confusion": [[]], with labels; rows: right,
 * columns: answered, the last one no label; summed over trials "ece", "reliability": [{"from", "to", "n",
 * "probability", "accuracy"}],      choice "groups": [{"name", "instances", "accuracy", "interval"}], "group_mean":
 * {"accuracy", "interval"}, "prompt_tokens": mean, "fewer_shots", "cut": prompts that did not fit whole}},
 *        "difference": {"accuracy": prefix - causal, "interval", "p",  two masks
 *                       "groups": [{"name", "accuracy", "interval", "p"}]},
 *        "wrong": [{"instance", "text", "gold", "prefix" and/or "causal": {"answer", "correct"}}], "n_wrong": of the
 * first trial, under either mask "settings": {}}], "mean": {"masks": {"prefix": {"accuracy", "interval"}},
 * "difference": {}}}      of two tasks and more
 *
 * metrics.h says what intervals and p are. */
#ifndef GPTJT_EVAL_TASK_RESULTS_H
#define GPTJT_EVAL_TASK_RESULTS_H

#include "base/json.h"
#include "eval/task_run.h"

/* All answers of all runs must be there, and all runs have the same masks. n_wrong: at most so many wrong answers of
 * each task's first trial. New reference. */
enum status task_results(json_t **out, const struct task_run *runs, int n_runs, int n_wrong);

#endif
