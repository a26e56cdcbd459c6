// SPDX-License-Identifier: Apache-2.0
/* Text files as spans to be scored (span_run.h).
 *
 *   windows      all of a file's tokens once, each in a window of the model's size: the first window is scored whole,
 * each later one only in its last `stride` tokens, the rest of it being what they are predicted from. The file's first
 * token is predicted from <|endoftext|>, as lm-evaluation-harness has it; where the model has none, it is not scored.
 *   last words   the last word of every text, predicted from all before it, as LAMBADA asks (Paperno et al. 2016):
 * white space at the end dropped, the word scored with the white space in front of it. What is too long for the window
 * loses its beginning. */
#ifndef GPTJT_EVAL_TEXT_H
#define GPTJT_EVAL_TEXT_H

#include "eval/span_run.h"

struct text_spans {
    int32_t *ids; /* [n_ids] */
    size_t n_ids, ids_cap;
    struct span *spans; /* [n] */
    size_t n, spans_cap;
    uint64_t tokens, bytes; /* that are scored */
};

/* limit: spans at most, 0: all. Owned: text_free(). E_ARG for a stride outside [1, window). */
enum status text_windows(struct text_spans *out, const char *path, const struct gptjt_engine *engine, int64_t stride,
                         int64_t limit);
enum status text_last_words(struct text_spans *out, const char *path, const struct gptjt_engine *engine, int64_t limit);
void text_free(struct text_spans *t);

#endif
