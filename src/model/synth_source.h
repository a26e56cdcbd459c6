// SPDX-License-Identifier: Apache-2.0
/* A synthetic model in memory, without a file: for measuring. Its values are those of a synthetic checkpoint (synth.h)
 * over and over again: one block of BLOCK random values is made, and every matrix is a run of copies of it, each from
 * another place in the block, at the speed of memory. */
#ifndef GPTJT_MODEL_SYNTH_SOURCE_H
#define GPTJT_MODEL_SYNTH_SOURCE_H

#include "base/pool.h"
#include "formats/source.h"
#include "model/synth.h"

enum synth_memory {
    SYNTH_DISTINCT, /* every byte is memory of its own, as a model that runs from it needs                           */
    SYNTH_SHARED,   /* the block is mapped again and again: hardly any memory, for a model that will be converted    */
};

/* All tensors of s->config: matrices as s->dtype, vectors as fp32. E_NOMEM when that is more than there is. *out is
 * owned: source_close(). */
enum status synth_source_open(struct source **out, const struct synth *s, enum synth_memory memory, struct pool *pool);

#endif
