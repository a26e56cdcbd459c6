// SPDX-License-Identifier: Apache-2.0
/* What a model says after a few-shot prompt in its own words: greedy, up to the end of the line or max_tokens, without
 * the white space around it. HELM asks for labels so, too, instead of comparing likelihoods. */
#ifndef GPTJT_EVAL_REPLY_H
#define GPTJT_EVAL_REPLY_H

#include "eval/batching.h"
#include "eval/fewshot.h"

struct reply;

struct reply_result {
    const char *text; /* borrowed until the next call */
    size_t prompt_tokens;
    int n_shots;      /* shots the prompt had room for */
    size_t n_dropped; /* tokens cut from the end of the query */
};

struct reply_options {
    int max_tokens; /* of an answer; prompts leave room for them in the model's window */
    enum gptjt_mask prompt_mask;
    gptjt_progress_fn *progress; /* NULL, or asked while the model runs whether to go on */
    void *user;
};

/* spec and engine are borrowed until reply_free(). */
enum status reply_create(struct reply **out, struct gptjt_engine *engine, const struct fewshot_spec *spec,
                         const struct reply_options *options);
void reply_free(struct reply *r);

/* n <= REPLY_MANY queries through the model together, each with the answer that it gets alone: values [n][n_fields],
 * out [n]. All or nothing. */
enum { REPLY_MANY = BATCHING_MOST };
enum status reply_run_many(struct reply *r, const char *const *values, int n, struct reply_result *out);

#endif
