// SPDX-License-Identifier: Apache-2.0
/* Runs of HELM (Stanford's Holistic Evaluation of Language Models) as it writes them: a directory with
 *
 *     scenario_state.json   how prompts are made ("adapter_spec") and every request ("request_states"): the instance it
 *                           is about with its right answers, prompt and sampling settings, and what a model answered
 *     stats.json            the metrics of those answers
 *
 * or, of the first, only scenario_state_slim.json, which lacks all but two tokens of each answer
 *
 * An instance is asked about once a trial (a draw of shots), and again in perturbed copies. Everything is kept as the
 * JSON it came in, checked once when it is opened; what is used of a request is found beside it. */
#ifndef GPTJT_EVAL_HELM_H
#define GPTJT_EVAL_HELM_H

#include "base/json.h"
#include "base/status.h"
#include "eval/helm_text.h"

enum { HELM_PATH_MAX = 4096, HELM_MAX_REQUESTS = 1 << 20, HELM_MAX_TOKENS = 1 << 20 };

struct helm_request {
    const json_t *state;  /* the member of request_states */
    const json_t *result; /* its "result" with "completions", NULL without one */
    struct helm_text prompt;
    const char **stop; /* [n_stop], owned by the run */
    int n_stop;
    int max_tokens, num_completions, top_k;
    double temperature, top_p;
    int trial;        /* train_trial_index                                              */
    int instance;     /* which of the run's instances, in the order of the file         */
    int split;        /* which of the run's splits                                      */
    int perturbation; /* which of the run's perturbations, -1: none                     */
};

/* Everything borrowed in it lives as long as the run. */
struct helm_run {
    char *name;     /* the directory's own name */
    char *path;     /* of its scenario_state.json, or ..._slim.json */
    json_t *root;   /* all of it */
    json_t *splits; /* array of {"split": ..., "sub_split": ...} as a statistic's name has them */
    json_t *perturbations;
    const json_t *adapter; /* adapter_spec */
    struct helm_request *requests;
    int n_requests, n_instances, n_trials; /* n_trials: the largest index and 1 */
    int num_outputs;
};

/* Which requests are wanted; all of them when zero. */
struct helm_filter {
    int n_instances; /* only those about the first instances; 0: all */
    bool original;   /* only those about instances as they are, not about perturbed copies */
};

/* One run. E_FORMAT names the file and the request that is wrong. Owned: helm_run_close(). */
enum status helm_run_open(struct helm_run **out, const char *dir, struct helm_filter filter);
enum status helm_run_read_text(struct helm_run **out, const char *text, size_t len, const char *path,
                               struct helm_filter filter);
void helm_run_close(struct helm_run *run);

/* The directories of runs that path names: itself, or those in it, by name. [*n] strings, owned: helm_free_list(). */
enum status helm_find_runs(char ***out, int *n, const char *path);
void helm_free_list(char **list, int n);

/* E_FORMAT unless result is an object with an array "completions" as HELM writes them; where begins the message. */
enum status helm_check_result(const json_t *result, const char *where);

/* The text of a member that is a string, or an object with a "text" (HELM from 0.3 on); data NULL: there is none. */
struct helm_text helm_text_of(const json_t *object, const char *key);

#endif
