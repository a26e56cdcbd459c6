// SPDX-License-Identifier: Apache-2.0
/* The speed of whole training steps: forward, head, backward and AdamW on one micro-batch of random tokens, every one
 * of which is a target, under the causal mask. Operations are those of products and attention, the backward pass
 * counting twice the forward; what is computed again is not counted, so a step that recomputes is slower, not busier.
 */
#ifndef GPTJT_BENCH_TRAIN_H
#define GPTJT_BENCH_TRAIN_H

#include "bench/machine.h"
#include "train/trainee.h"

enum bench_train_phase {
    BENCH_TRAIN_FORWARD,
    BENCH_TRAIN_HEAD,
    BENCH_TRAIN_BACKWARD,
    BENCH_TRAIN_UPDATE,
    BENCH_TRAIN_PHASES
};
extern const char *const bench_train_phase_names[];

struct bench_train {
    struct machine *machine;
    enum probe_unit unit; /* that products are computed by */
    enum cpu_level level;
    enum ops_device device;
    int threads, repeats;
    enum train_precision precision;
    int sequences, seq_len;
    bool recompute;
};

/* The median step by fraction. */
struct bench_train_row {
    double seconds, phase_s[BENCH_TRAIN_PHASES];
    double tokens_per_s, flop_per_s, fraction, peak_rate;
    double loss; /* of the first step */
};

enum status bench_train(struct bench_train_row *out, const struct bench_train *b, const char *name,
                        const struct gptj_config *config, const struct source *src);

#endif
