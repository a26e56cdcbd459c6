// SPDX-License-Identifier: Apache-2.0
/* What a model says after a few-shot prompt in its own words: greedy, up to the end of the line or max_tokens, without
 * the white space around it. HELM asks for labels so, too, instead of comparing likelihoods. */
#ifndef GPTJT_EVAL_REPLY_H
#define GPTJT_EVAL_REPLY_H

#include "eval/fewshot.h"

struct reply;

struct reply_result {
    const char *text; /* borrowed until the next call */
    size_t prompt_tokens;
    int n_shots;      /* shots the prompt had room for */
    size_t n_dropped; /* tokens cut from the end of the query */
};

/* spec and engine are borrowed until reply_free(). Prompts leave room for max_tokens in the model's window. */
enum status reply_create(struct reply **out, struct gptjt_engine *engine, const struct fewshot_spec *spec,
                         int max_tokens, enum gptjt_mask prompt_mask);
void reply_free(struct reply *r);

enum status reply_run(struct reply *r, const char *const *values, struct reply_result *out); /* values [n_fields] */

#endif
