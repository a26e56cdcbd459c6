// SPDX-License-Identifier: Apache-2.0
/* Classification: which of n labels does the model expect after a prompt?
 *
 * Each label l is scored as the continuation t_1..t_k = " l\n" of the prompt x (see fewshot_continuation()):
 *
 *     S_l(x) = sum_i log p(t_i | x, t_1..t_{i-1})        log-likelihood, the newline included
 *     s_l(x) = S_l(x)                                    by default
 *              S_l(x) / k                                normalised by length (mean over its k tokens)
 *     z_l(x) = s_l(x)                                    by default
 *              s_l(x) - s_l(x0)                          calibrated by the prior
 *     p(l|x) = exp z_l / sum_m exp z_m                   softmax over the labels
 *
 * x0 is the same prompt with a content-free query ("N/A" in every field): p(l|x) then is proportional to
 * p(l|x) / p(l|x0), which takes away a label's head start for being a common word or the last shot's answer. This is
 * the contextual calibration of Zhao et al. 2021 ("Calibrate Before Use", W = diag(p_cf)^-1, b = 0) in log space. x0 is
 * scored once, when the classifier is made. */
#ifndef GPTJT_EVAL_CLASSIFY_H
#define GPTJT_EVAL_CLASSIFY_H

#include "eval/batching.h"
#include "eval/fewshot.h"

enum classify_normalize { CLASSIFY_NORMALIZE_NONE, CLASSIFY_NORMALIZE_LENGTH };

struct classify_options {
    enum classify_normalize normalize;
    bool calibrate;
    const char *content_free;    /* NULL: "N/A" */
    enum gptjt_mask prompt_mask; /* AUTO: the engine's */
    gptjt_progress_fn *progress; /* NULL, or asked while the model runs whether to go on */
    void *user;
};

/* All arrays are borrowed until the next call with the same classifier. */
struct classify_result {
    int best;                      /* the most probable label; the first of equals */
    const double *probabilities;   /* [n_labels] p(l|x), sum 1 */
    const double *log_likelihoods; /* [n_labels] S_l(x) */
    size_t prompt_tokens;
    int n_shots;      /* shots the prompt had room for */
    size_t n_dropped; /* tokens cut from the end of the query */
};

struct classify;

/* E_ARG for fewer than two labels, one that is empty, given twice, is not UTF-8, holds a line break, or begins or
 * ends in white space. spec and engine are borrowed until classify_free(). With options->calibrate this already runs
 * the model. */
enum status classify_create(struct classify **out, struct gptjt_engine *engine, const struct fewshot_spec *spec,
                            const struct classify_options *options);
void classify_free(struct classify *c);

/* values [n_fields] of the spec. E_NUMERIC when a score is not finite. */
enum status classify_run(struct classify *c, const char *const *values, struct classify_result *out);

/* n <= CLASSIFY_MANY queries through the model together, each with the bits that it has alone: values [n][n_fields],
 * out [n]. All or nothing. */
enum { CLASSIFY_MANY = BATCHING_MOST };
enum status classify_run_many(struct classify *c, const char *const *values, int n, struct classify_result *out);

/* How many to run together, at first. */
struct batching classify_batching(const struct classify *c);

/* The prompt that classify_run() would score, without running the model. Borrowed until the next call. */
enum status classify_prompt(struct classify *c, const char *const *values, const struct fewshot_prompt **out);

/* The same checks as in classify_create(), for callers that want them before a model is loaded. */
enum status classify_check_labels(const char *const *labels, int n_labels);

/* The labels of a spec as they are scored: continuations [n_labels], whose ids are the caller's (gptjt_free(), also
 * after a failure), their lengths [n_labels], and how many tokens a prompt may have beside the longest of them. The
 * engine has a tokenizer. E_LIMIT if none fits. */
enum status classify_encode_labels(struct gptjt_span *continuations, size_t *lengths, size_t *max_prompt,
                                   const struct gptjt_engine *engine, const struct fewshot_spec *spec);

/* The arithmetic above: p [n] from log-likelihoods S [n], token counts k [n], and prior, s_l(x0) [n] or NULL.
 * classify_scores() gives s [n]; classify_softmax() p [n] and the index of its largest, E_NUMERIC if a z is not finite.
 */
void classify_scores(double *s, const double *S, const size_t *k, int n, enum classify_normalize normalize);
enum status classify_softmax(double *p, const double *s, const double *prior, int n, int *best);

#endif
