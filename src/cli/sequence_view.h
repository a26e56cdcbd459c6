// SPDX-License-Identifier: Apache-2.0
/* A packed sequence of training data as people can look at it: what is given, what is to be predicted, who sees whom.
 */
#ifndef GPTJT_CLI_SEQUENCE_VIEW_H
#define GPTJT_CLI_SEQUENCE_VIEW_H

#include <stdbool.h>

#include "base/json.h"
#include "data/data.h"
#include "tokenizer/tokenizer.h"

/* A part of a sequence that is predicted by itself: a document, or a text of a denoiser. */
struct segment {
    int begin, end;
    int prefix; /* tokens that are given: they see each other. 0 for none and for one, which look alike */
};

/* The segments in order, one a call; *at is 0 at first. False at the end. Padding is none. */
bool sequence_segment(struct segment *out, const struct data_sequence *s, int seq_len, int *at);

/* What a source's sequences are made of, summed up. */
struct sequence_stats {
    int64_t sequences, tokens, targets, padding, segments, prefix_tokens;
};
void sequence_count(struct sequence_stats *stats, const struct data_sequence *s, int seq_len);

struct sequence_view {
    const struct tokenizer *tokenizer;
    int seq_len;
    bool colours; /* escape sequences for a terminal */
    bool full;    /* texts whole, however long */
};

/* Text and mask on stdout. */
enum status sequence_print(const struct sequence_view *v, const struct data_sequence *s);

/* The same for programs: token, lo, hi, target, and segments with their texts. New reference, NULL without memory. */
json_t *sequence_json(const struct sequence_view *v, const struct data_sequence *s);

#endif
