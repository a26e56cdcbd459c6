// SPDX-License-Identifier: Apache-2.0
/* A backend around a backend that counts: what an operation did and how long it took. Because it sits in the table, it
 * sees what really ran: a row that nobody computes is not counted, whoever decided so.
 *
 * A step begins with an embedding. Within one, a weight counts as read from memory once, however many blocks of rows
 * pass it, and so does each sequence's K/V in each layer: that is the least a step can read. What FLOP are counted are
 * those of linear maps and of attention over visible intervals; the rest does a thousandth of them. */
#ifndef GPTJT_OPS_COUNTED_H
#define GPTJT_OPS_COUNTED_H

#include "ops/ops.h"

enum op { OP_EMBED, OP_LAYER_NORM, OP_LINEAR, OP_ROTARY, OP_KV_STORE, OP_ATTENTION, OP_GATHER, OP_READ, OPS };

extern const char *const ops_names[OPS];

struct op_count {
    int64_t calls, ns;
    double flop, bytes; /* bytes: weights, scales included, or K/V */
};

struct ops_counts {
    struct op_count of[OPS];
};

/* Takes inner, which must have been created and be unused, over on success: *out closes it. max_weights: how many
 * different matrices one step may use. */
enum status ops_counted_create(struct ops **out, struct ops *inner, int max_weights);

void ops_counted_reset(struct ops *o);
void ops_counted_get(const struct ops *o, struct ops_counts *out);

#endif
