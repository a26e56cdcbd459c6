// SPDX-License-Identifier: Apache-2.0
/* From logits to the next token, as transformers' logits processors do it and in their order: bias, penalties,
 * temperature, top-k, top-p, typical-p (struct gptjt_generate_request says what each does). Pure functions of their
 * arguments. Numbers are finite. */
#ifndef GPTJT_ENGINE_SAMPLING_H
#define GPTJT_ENGINE_SAMPLING_H

#include <stddef.h>
#include <stdint.h>

#include "gptjt.h"
#include "kernels/kernels.h"

struct sampling {
    double temperature;        /* > 0 */
    int top_k;                 /* 0: off; ties with the k-th stay, as in transformers */
    double top_p;              /* 1: off */
    double typical_p;          /* 1: off */
    double repetition_penalty; /* 1: off; a seen token's logit l becomes l / penalty if l > 0, else l * penalty */
    double presence_penalty, frequency_penalty; /* 0: off */
};

struct candidate {
    float score;
    int32_t id;
};

/* Room for choosing a token among V, allocated once. */
struct sampling_room {
    int32_t *seen;                /* [P] a prompt and its continuation */
    float *scores;                /* [V] */
    int32_t *counts;              /* [V] */
    struct candidate *candidates; /* [2 V] */
    double *probability;          /* [V] */
};

/* In place on logits: bias[n] is added. */
void sampling_bias(float *logits, const struct gptjt_bias *bias, int n);

/* In place on logits[V]: every id in seen[0..n) is penalised once. counts: [V], scratch. */
void sampling_penalise(float *logits, int V, const int32_t *seen, size_t n, double penalty, int32_t *counts);

/* In place on logits[V]: of every id in text[0..n), how often it comes times frequency, and presence, are subtracted.
 */
void sampling_subtract(float *logits, int V, const int32_t *text, size_t n, double presence, double frequency,
                       int32_t *counts);

/* Temperature, top-k, top-p and typical-p over logits[V] (already penalised). Writes the *n candidates left, most
 * likely first, and their probabilities, which sum to 1. candidates has room for 2 V, half of it for sorting,
 * probability for V. */
void sampling_distribution(const struct kernels *k, struct candidate *candidates, double *probability, int *n,
                           const float *logits, int V, const struct sampling *how);

/* The candidate at u in [0, 1) of the cumulative distribution. */
int32_t sampling_pick(const struct candidate *candidates, const double *probability, int n, double u);

/* The n <= V most likely tokens, most likely first and of equals the lower id, with their logits less log_sum. */
void sampling_top(const struct kernels *k, struct gptjt_top *top, int n, const float *logits, int V, double log_sum,
                  struct candidate *candidates);

#endif
