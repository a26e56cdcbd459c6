// SPDX-License-Identifier: Apache-2.0
/* How many questions go through the model in one call. A few fill the processor; more save nothing and keep longer from
 * the disk what is done. So calls grow while they take less than a second or two. Where ranks share a call
 * (gptjt_info.n_ranks), each of them wants so many, and twice the least: what is left over at the end of a call, when
 * some have nothing to do any more, is then small. Results do not depend on it: a question has the bits that it has
 * alone. */
#ifndef GPTJT_EVAL_BATCHING_H
#define GPTJT_EVAL_BATCHING_H

#include <stddef.h>
#include <stdint.h>

#include "gptjt.h"

/* BATCHING_MOST: of any call. */
enum { BATCHING_LEAST = 4, BATCHING_MOST_A_RANK = 64, BATCHING_MOST = 512 };

struct batching {
    int least, most; /* of a call */
    int n;
    int64_t began_ns;
};

struct batching batching_for(const struct gptjt_engine *engine);

/* The next call's questions, of those that are left (>= 1); its time is taken from here to the next one. */
int batching_next(struct batching *b, size_t left);

/* The K/V rows for a session whose largest question needs `one`: room for several where they are small against the
 * memory that is free. */
size_t batching_room(const struct gptjt_engine *engine, size_t one);

#endif
