// SPDX-License-Identifier: Apache-2.0
/* A recorded prompt for a model with a smaller window than it was made for, cut down as HELM does it: the last shots
 * go, as many as it takes; then the end of the text that is asked about, never what comes behind it ("Label:"). What
 * belongs to a shot is recognised by the run's adapter_spec; where a prompt is not made like that, its right end is
 * kept. */
#ifndef GPTJT_EVAL_HELM_FIT_H
#define GPTJT_EVAL_HELM_FIT_H

#include "eval/helm.h"
#include "gptjt.h"

enum helm_cut { HELM_CUT_NOTHING, HELM_CUT_SHOTS, HELM_CUT_TEXT, HELM_CUT_LEFT };

struct helm_prompt {
    struct buf text;
    int32_t *ids; /* [n_ids] */
    size_t n_ids;
    enum helm_cut cut;
    int n_shots; /* left in it, where they could be recognised, else -1 */
};

/* The prompt of q in at most max_tokens >= 1 tokens. Added tokens in it (<|endoftext|>) are such, as with Hugging
 * Face's tokenizer. *out: owned, helm_prompt_free(); contents replaced by the next call that is given it. */
enum status helm_fit(struct helm_prompt *out, const struct helm_run *run, const struct helm_request *q,
                     const struct gptjt_tokenizer *tokenizer, size_t max_tokens);
void helm_prompt_free(struct helm_prompt *p);

/* How a prompt is made up: head, shots one behind the other, and a query. */
struct helm_blocks {
    size_t *shots; /* [n_shots + 1] where each begins and the last ends, which is where the query begins; owned */
    int n_shots;
    size_t text, text_end; /* the query's own text, which may be cut */
};

/* False when the prompt is not made like that. *out is owned then: free(out->shots). */
bool helm_blocks(struct helm_blocks *out, const struct helm_run *run, const struct helm_request *q);

#endif
