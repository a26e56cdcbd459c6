// SPDX-License-Identifier: Apache-2.0
/* Activations between two stages as differences from what both of them remember: AQ-SGD (Wang et al. 2022, "Fine-tuning
 * language models over slow networks using activation quantization with guarantees", arXiv:2206.01299).
 *
 * Both ends of a boundary keep a[i], the activations that the second worked with when micro-batch i of the epoch came
 * by last. The first time x travels whole, in fp16. Later, with a quantiser Q (dense.h):
 *
 *     sent   q = Q(x - a[i])                    both   a[i] = fp16(a[i] + Q^-1(q)), with which the receiver computes
 *
 * so a[i] is the same bits on both sides, and what quantising loses is a part of how far activations have moved since,
 * which falls as training comes to rest: with b bits and the largest of a row as its scale, |x - a| of a row is at most
 * 1 / (2^b - 2) of the largest |x - a| before (half a step; and a little for the scale's own rounding), down to where
 * fp16 rounds. Quantising x itself loses as much of x, however long one trains.
 *
 * A message in which something is no number, or too large for fp16, is forgotten by both: the next is whole again.
 * Nothing of this is in checkpoints, so a run that goes on begins with whole ones. */
#ifndef GPTJT_DIST_DELTA_CACHE_H
#define GPTJT_DIST_DELTA_CACHE_H

#include <stdbool.h>

#include "base/half.h"
#include "dist/dense.h"

struct delta_cache {
    size_t n, rows, cols;      /* micro-batches of an epoch, and what one is */
    struct dense whole, delta; /* codecs */
    f16 *last;                 /* [n][rows][cols]: a */
    bool *known;               /* [n] */
    float *moved;              /* [rows][cols]: room */
};

/* What open takes. */
size_t delta_cache_bytes(size_t n, size_t rows, size_t cols);
enum status delta_cache_open(struct delta_cache *c, size_t n, size_t rows, size_t cols, const struct dense *delta);
void delta_cache_close(struct delta_cache *c); /* accepts a zero-initialised one; also after a failed open */

/* Of the next message of micro-batch i, on either side. */
size_t delta_cache_message_bytes(const struct delta_cache *c, size_t i);

/* The sender's message of x [rows][cols], and what the receiver makes of it: both as a[i] was, which is another then.
 * E_FORMAT from the latter for a message that is none. */
enum status delta_cache_encode(struct delta_cache *c, size_t i, uint8_t *out, const float *x);
enum status delta_cache_decode(struct delta_cache *c, size_t i, float *x, const uint8_t *in);

#endif
