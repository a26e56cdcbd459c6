// SPDX-License-Identifier: Apache-2.0
/* Few-shot classification prompts, byte for byte as HELM writes them for RAFT, which is the form GPT-JT was tuned on.
 *
 *     Label the tweet text based on whether it contains a complaint.       instruction
 *     Possible labels:                                                     list of labels
 *     1. complaint
 *     2. no complaint
 *
 *     Tweet text: Thank you for your interest!                             shots: one line a field, then the label
 *     Label: no complaint
 *
 *     Tweet text: your streaming is stop and start every minute            query
 *     Label:
 *
 * Blocks are separated by one empty line; what is missing (instruction, list, shots) leaves no line behind. The prompt
 * ends in "Label:" without a space: the space belongs to the first token of the answer. */
#ifndef GPTJT_EVAL_FEWSHOT_H
#define GPTJT_EVAL_FEWSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "gptjt.h"

struct fewshot_shot {
    const char *const *values; /* [n_fields of the spec] */
    const char *label;
};

/* What all prompts of one task share. Everything is borrowed for as long as the spec is used. */
struct fewshot_spec {
    const char *instruction;   /* NULL or "": none; a final newline is added where it lacks one */
    const char *const *labels; /* [n_labels] */
    int n_labels;
    bool list_labels;                 /* write the "Possible labels:" list */
    const char *label_name;           /* "Label" */
    const char *const *names;         /* [n_fields] as the prompt shows them, before ": " */
    int n_fields;                     /* >= 1 */
    const struct fewshot_shot *shots; /* [n_shots] */
    int n_shots;
};

/* Appends the prompt for one query, values [n_fields], with the first n_shots shots. */
enum status fewshot_build(struct buf *out, const struct fewshot_spec *spec, int n_shots, const char *const *values);

struct fewshot_prompt {
    struct buf text;
    int32_t *ids; /* [n_ids] */
    size_t n_ids;
    int n_shots;      /* how many of the shots it holds            */
    size_t n_dropped; /* tokens cut from the end of the query      */
};

/* The prompt for a query in at most max_tokens tokens, as HELM does it: the last shots go first, as many as it takes;
 * when the query is too long without any, the end of its text is cut (at a whole character), never the final "Label:".
 * E_LIMIT when even an empty query does not fit. Text that looks like <|endoftext|> is ordinary text.
 * *out: owned, fewshot_free(); contents replaced by the next call that is given it. */
enum status fewshot_fit(struct fewshot_prompt *out, const struct fewshot_spec *spec,
                        const struct gptjt_tokenizer *tokenizer, const char *const *values, size_t max_tokens);
void fewshot_free(struct fewshot_prompt *p);

/* The text scored for a label after a prompt: a space, the label and a newline. The newline is what ends an answer in
 * the prompt's format; scoring it, too, is what tells "no" from the beginning of "not sure". */
enum status fewshot_continuation(struct buf *out, const char *label);

#endif
