// SPDX-License-Identifier: Apache-2.0
/* How likely a model finds pieces of text after what is before them: what perplexity and last-word accuracy are made
 * of.
 *
 * A span is a stretch of tokens: the ones it begins with are given, those from `split` on are scored. With out_path,
 * every result is a line of JSON there (part_file.h says how it is resumed):
 *     {"mask", "span", "tokens", "log_likelihood", "greedy"} */
#ifndef GPTJT_EVAL_SPAN_RUN_H
#define GPTJT_EVAL_SPAN_RUN_H

#include "eval/part_file.h"
#include "gptjt.h"

struct span {
    size_t begin, split, end; /* tokens [begin, split) are given, [split, end) scored; none of both is empty */
};

struct span_score {
    double log_likelihood; /* natural logarithm, of all scored tokens */
    bool greedy;           /* each of them is the likeliest at its place */
};

struct span_run {
    const int32_t *ids;       /* to be filled in, and borrowed */
    const struct span *spans; /* [n_spans], none longer than the model's window */
    size_t n_spans;
    enum gptjt_mask masks[2]; /* how the given tokens see each other */
    int n_masks;
    const char *out_path; /* NULL: none */
    const char *settings; /* text that is different whenever the model's numbers could be; for the fingerprint */

    struct span_score *scores;   /* [n_masks][n_spans] */
    size_t n, n_done, n_resumed; /* of scores: in all, there, found in the part file */
    struct part_file part;
};

/* Called after some spans. Return false to stop: the call then returns E_CANCELLED, the scores so far are safe. */
typedef bool span_progress_fn(void *user, size_t n_done);

/* Takes up what an earlier run has left in the part file. Owned: span_run_free(), also after an error. */
enum status span_run_open(struct span_run *r);
enum status span_run_all(struct span_run *r, struct gptjt_engine *engine, span_progress_fn *progress, void *user);
enum status span_run_finish(struct span_run *r); /* gives the part file its name */
void span_run_free(struct span_run *r);

#endif
