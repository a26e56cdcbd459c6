// SPDX-License-Identifier: Apache-2.0
/* A new model that can copy from its first step on.
 *
 * What lets a transformer say again what its prompt says is a circuit of two layers (Elhage et al. 2021; Olsson et al.
 * 2022, arXiv:2209.11895): previous-token heads note at every position which tokens stood before it, and an induction
 * head looks for a position whose notes are the present tokens and says what stands there. Large models find it within
 * their first few billion tokens. One of a few million parameters, given a few million tokens, does not (docs/MODEL.md
 * has numbers), and no training of that size makes up for it. So the circuit is put into the random weights, and
 * training takes it from there; Trockman and Kolter 2023 (arXiv:2305.09828) begin from what trained attention looks
 * like for the same reason.
 *
 * Of the usual initial weights (synth.h) these differ; D is the width, d that of a head, rows are outputs. P, S1, S2
 * and S3 [d][D] and Q [D][D] are random with variance 1/D, so that P' P is about the identity on d dimensions, and u
 * [D] has length 1:
 *
 *     wte                  deviation e = 0.3, more than all that layers add at first: positions begin as their tokens
 *     lm_head              wte, scaled to initializer_range: what looks like a token says it
 *     out_proj, fc_out     initializer_range / sqrt(2 L), as GPT-2's
 *     layer 0, ln_1.bias   b u: something that every position has, for the rotary embedding to turn
 *     layer 0, head 0      q and k are b u turned so that q' k is greatest one position before; v = P, out = e S1'
 *     layer 0, heads 1, 2  two and three positions before; v = P, out = e S2', e S3'
 *     layer 1, all heads   in the dimensions that do not turn or turn slowly, a third: q = g P, k = g S1, so the token
 * here is the one noted there; a third: q = g S1, k = g S2, and a third: q = g S2, k = g S3, so are those before;
 * v = Q, out = 2 e Q'
 *
 * Three notes, because single tokens such as digits are ambiguous. */
#ifndef GPTJT_MODEL_INDUCTION_H
#define GPTJT_MODEL_INDUCTION_H

#include "model/gptj.h"
#include "model/synth.h"

/* E_ARG where the circuit does not fit: less than two layers or three heads, no rotary positions, a head that is the
 * embedding. */
enum status induction_check(const struct gptj_config *c);

/* Values [begin, begin + n) of the tensor that is number tensor in checkpoint order, into out as s->dtype, if it is one
 * of those above; else false. */
bool induction_values(void *out, const struct synth *s, const struct gptj_tensor_spec *spec, int tensor, int64_t begin,
                      int64_t n);

#endif
