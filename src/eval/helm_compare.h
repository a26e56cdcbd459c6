// SPDX-License-Identifier: Apache-2.0
/* How far a model's answers agree with the recorded ones: what they say, and what probability the model gives the
 * recorded tokens. For a checkpoint that the recording was made with, this is a check of the whole program. */
#ifndef GPTJT_EVAL_HELM_COMPARE_H
#define GPTJT_EVAL_HELM_COMPARE_H

#include "eval/helm_stats.h"

enum { HELM_FIRST_DIFFERENCES = 8 };

struct helm_comparison {
    int n_requests;    /* with an answer on both sides, to the same prompt                         */
    int n_cut;         /* others, whose prompts had to be cut                                      */
    int n_same_text;   /* the same text up to the stop sequence                                    */
    int n_same_tokens; /* the same tokens up to the stop sequence, or to the end without one       */
    int first_difference[HELM_FIRST_DIFFERENCES]; /* requests that differ from token i on; the last also later */
    int64_t n_tokens, n_agreeing; /* recorded tokens up to the stop; those before the first that differs */
    int n_unscored;               /* requests whose recorded tokens are none of this tokenizer */
    int64_t n_logprobs;
    double mean, mean_absolute, median_absolute, max_absolute; /* ours less recorded; NaN of nothing */
    int max_request;                                           /* where the largest difference is, -1 */
};

/* recorded [n_requests]: arrays of the model's log-probabilities of the recorded tokens, NULL where there are none. */
enum status helm_compare(struct helm_comparison *out, const struct helm_run *run, const struct helm_answer *answers,
                         json_t *const *recorded);

#endif
