// SPDX-License-Identifier: Apache-2.0
/* UL2's denoisers (Tay et al. 2022, arXiv:2205.05131, mix of arXiv:2210.11399) as pure functions of tokens and draws.
 *
 * Some spans of a text are corrupted: the input shows a sentinel in place of each, the target repeats each sentinel
 * with what it stands for and ends with one sentinel more, as T5's does. Spans neither overlap nor touch.
 *
 *     text     the cat sat on the mat
 *     input    the <1> sat on <2> mat           sees itself
 *     target   <1> cat <2> the <3>              predicted from it: the first sentinel from the input's last position
 *
 * A text of n tokens with k spans takes n + 2k + 1 tokens, and the mode token's. */
#ifndef GPTJT_DATA_UL2_H
#define GPTJT_DATA_UL2_H

#include <stdint.h>

#include "data/draws.h"

struct ul2_denoiser {
    double rate, mean_span; /* share of tokens that are corrupted; tokens of a span on average */
};

enum ul2_mode { UL2_S, UL2_R, UL2_X, UL2_MODES };
extern const char *const ul2_mode_text[UL2_MODES]; /* "[S2S]", "[NLU]", "[NLG]" */

/* 50 % S, 25 % R (3 tokens, 15 %), 25 % X: half of them long spans (32, 15 %), half many (3, 50 %). denoiser is set for
 * R and X. */
enum ul2_mode ul2_draw_mode(struct draws *d, struct ul2_denoiser *denoiser);

/* How many of n >= 2 tokens are corrupted, and in how many spans: 1 <= spans <= min(max_spans, corrupted). */
struct ul2_count {
    int corrupted, spans;
};
struct ul2_count ul2_count(int n, const struct ul2_denoiser *denoiser, int max_spans);

/* The longest text that takes at most room tokens in all, without mode tokens, and whose spans are as long as they
 * should be with max_spans at most. Below 2 there is none. */
int ul2_fit(int room, const struct ul2_denoiser *denoiser, int max_spans);

/* begin, len [count.spans], ascending, in a text of n tokens: every choice of spans is as likely as any other. */
void ul2_draw_spans(int *begin, int *len, int n, struct ul2_count count, struct draws *d);

/* Input and target of text [n] into out; sentinels are first, first + 1, ... *n_input: tokens of the input. Returns all
 * tokens: n + 2 n_spans + 1. */
int ul2_write(int32_t *out, int *n_input, const int32_t *text, int n, const int *begin, const int *len, int n_spans,
              int32_t first);

#endif
