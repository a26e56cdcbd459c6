// SPDX-License-Identifier: Apache-2.0
/* HELM's statistics of a run.
 *
 * Every request has a value of each metric. A row of the statistics is about a metric, a split and a view of its
 * instances; in each trial it is the mean over the instances, and what stats.json has is count, sum, mean, ... of these
 * means over the trials. The views:
 *
 *     plain       the instances as they are
 *     perturbed   the copies that one perturbation made
 *     original    the instances of which it made a copy, as they are
 *     worst       the smaller value of the two, for every instance
 *     robustness, fairness: the smallest value over an instance and all its copies of that kind
 *
 * A few rows are no means over instances (perplexity, calibration, totals) and have the first two views only. Not
 * computed are the rows that need other people's tables or fits: estimated runtimes on other machines, training cost,
 * Platt scaling, bias and toxicity. */
#ifndef GPTJT_EVAL_HELM_STATS_H
#define GPTJT_EVAL_HELM_STATS_H

#include "eval/helm.h"

/* The first four are enum helm_match. */
enum helm_metric {
    HELM_EXACT_MATCH,
    HELM_QUASI_EXACT_MATCH,
    HELM_PREFIX_EXACT_MATCH,
    HELM_QUASI_PREFIX_EXACT_MATCH,
    HELM_EXACT_MATCH_K, /* the same four of the best of all completions, where more than one is asked for */
    HELM_QUASI_EXACT_MATCH_K,
    HELM_PREFIX_EXACT_MATCH_K,
    HELM_QUASI_PREFIX_EXACT_MATCH_K,
    HELM_MAX_PROB,
    HELM_LOGPROB,
    HELM_NUM_PERPLEXITY_TOKENS,
    HELM_NUM_BYTES,
    HELM_NUM_PROMPT_TOKENS,
    HELM_NUM_OUTPUT_TOKENS,
    HELM_NUM_REFERENCES,
    HELM_NUM_TRAIN_TRIALS,
    HELM_NUM_TRAIN_INSTANCES,
    HELM_PROMPT_TRUNCATED,
    HELM_INFERENCE_RUNTIME,
    HELM_BATCH_SIZE,
    HELM_INFERENCE_DENOISED_RUNTIME,
    HELM_FINISH_REASON_LENGTH,
    HELM_FINISH_REASON_STOP,
    HELM_FINISH_REASON_ENDOFTEXT,
    HELM_FINISH_REASON_UNKNOWN,
    HELM_N_INSTANCE_METRICS,
    /* from all instances of a view together */
    HELM_PERPLEXITY = HELM_N_INSTANCE_METRICS,
    HELM_BITS_PER_BYTE,
    HELM_LOGPROB_PER_BYTE,
    HELM_NUM_INSTANCES,
    HELM_ECE_1_BIN,
    HELM_SELECTIVE_COV_ACC_AREA,
    HELM_SELECTIVE_ACC_10,
    HELM_N_METRICS
};

struct helm_stat {
    int64_t count;
    double sum, sum_squared, min, max;
};

double helm_stat_mean(const struct helm_stat *s); /* NaN when it is of nothing */

/* What was answered to one request, and what is known beside it. */
struct helm_answer {
    const json_t *result;  /* as HELM writes it; NULL: no answer, which is wrong */
    const json_t *state;   /* the request as it was put, NULL: as it is in the run */
    int64_t prompt_tokens; /* -1: not known */
};

struct helm_stats;

/* answers [n_requests of the run], borrowed during the call. Owned: helm_stats_free(). */
enum status helm_stats_compute(struct helm_stats **out, const struct helm_run *run, const struct helm_answer *answers);
void helm_stats_free(struct helm_stats *s);

/* How many requests had no answer, and how many no right answer to compare with. */
int helm_stats_unanswered(const struct helm_stats *s);
int helm_stats_unlabelled(const struct helm_stats *s);

/* The row of a metric that people look at first: split "test" (or else the first), instances as they are. Borrowed. */
const struct helm_stat *helm_stats_headline(const struct helm_stats *s, enum helm_metric m);

/* The smallest over an instance and its perturbed copies: of the kind that changes no meaning (robustness), or of the
 * kind that changes who it is about or by (fairness). Borrowed; count 0 without such copies' instances. */
const struct helm_stat *helm_stats_robustness(const struct helm_stats *s, enum helm_metric m);
const struct helm_stat *helm_stats_fairness(const struct helm_stats *s, enum helm_metric m);

/* The headline's mean in each trial; NaN for one without requests. [n_trials of the run], borrowed */
const double *helm_stats_trials(const struct helm_stats *s, enum helm_metric m);

/* The rows as stats.json has them. *out is owned: json_decref(). */
enum status helm_stats_json(json_t **out, const struct helm_stats *s);

/* ours beside a stats.json: of the rows there that we compute, how many agree to 1e-9 (relative above 1) in count, sum,
 * mean, minimum and maximum; the names of metrics that do not go to different, an array. */
struct helm_agreement {
    int n_rows, n_computed, n_equal;
};
enum status helm_stats_compare(struct helm_agreement *out, json_t *different, const json_t *ours, const json_t *theirs);

const char *helm_metric_name(enum helm_metric m);

#endif
