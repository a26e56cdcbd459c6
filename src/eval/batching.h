// SPDX-License-Identifier: Apache-2.0
/* How many questions go through the model in one call. A few fill the processor; more save nothing and keep longer from
 * the disk what is done. So calls grow while they take less than a second or two. Results do not depend on it: a
 * question has the bits that it has alone. */
#ifndef GPTJT_EVAL_BATCHING_H
#define GPTJT_EVAL_BATCHING_H

#include <stddef.h>
#include <stdint.h>

#include "gptjt.h"

enum { BATCHING_LEAST = 4, BATCHING_MOST = 64 };

struct batching { /* zero-initialise */
    int n;
    int64_t began_ns;
};

/* The next call's questions, of those that are left (>= 1); its time is taken from here to the next one. */
int batching_next(struct batching *b, size_t left);

/* The K/V rows for a session whose largest question needs `one`: room for several where they are small against the
 * memory that is free. */
size_t batching_room(const struct gptjt_engine *engine, size_t one);

#endif
