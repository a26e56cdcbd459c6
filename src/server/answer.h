// SPDX-License-Identifier: Apache-2.0
/* What came of an ask, in no dialect: the prompts as they were run and their continuations, gathered a token at a time,
 * so that an answer that is cut short is there as far as it came. */
#ifndef GPTJT_SERVER_ANSWER_H
#define GPTJT_SERVER_ANSWER_H

#include "base/buf.h"
#include "base/status.h"
#include "gptjt.h"

/* One continuation. */
struct answer_text {
    int32_t *ids;          /* [n] */
    float *logprobs;       /* [n] */
    struct gptjt_top *top; /* [n][n_top] */
    size_t n, cap;
    struct buf text;
    bool ended;               /* not cut short */
    enum gptjt_finish finish; /* LENGTH if it was */
};

struct answer_prompt {
    const int32_t *ids; /* [n_ids], borrowed */
    size_t n_ids;
    float *logprobs;       /* [n_scored] of its last tokens */
    struct gptjt_top *top; /* [n_scored][n_top] */
    size_t n_scored;
    uint64_t seed;
    struct answer_text *texts; /* [n_texts] as they were made */
    int n_texts;
};

struct answer {
    struct answer_prompt *prompts; /* [n], owned like all arrays but ids */
    int n;
    int n_top;
};

/* Adds a prompt's scores, a new token. E_NOMEM. */
enum status answer_add_scores(struct answer *a, int prompt, size_t n_scored, const float *logprobs,
                              const struct gptjt_top *top);
enum status answer_add_token(struct answer *a, int prompt, const struct gptjt_token *t);
void answer_free(struct answer *a);

size_t answer_new_tokens(const struct answer *a);    /* of all texts made */
size_t answer_prompt_tokens(const struct answer *a); /* of all prompts */

/* chosen [n]: which of a prompt's texts are shown: as they are; the best by mean log-probability, best first, where
 * more were made than are shown; one again and again where fewer were, being all the same (greedy). */
void answer_choose(const struct answer_prompt *p, int n, int *chosen);

#endif
