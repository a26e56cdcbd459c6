// SPDX-License-Identifier: Apache-2.0
/* What products by panels share, whatever the instruction set. */
#ifndef GPTJT_KERNELS_X86_PANELS_H
#define GPTJT_KERNELS_X86_PANELS_H

#include <immintrin.h>

#include "kernels/kernels.h"

/* The next tile of T rows, of at most this many: tiles differ by one row at most. */
static inline int tile_height(int T, int most)
{
    const int tiles = (T + most - 1) / most;
    return (T + tiles - 1) / tiles;
}

/* Memory idles while a panel is multiplied. So what the next one is packed from is asked for meanwhile, a few lines at
 * a time, to be in the cache by then: packing would wait for it, row by row. */
struct asking {
    struct ahead left;
    size_t done; /* bytes of the first piece */
    int lines;   /* of each call */
};

/* To be asked for in this many calls; next may be NULL. */
static inline struct asking asking(const struct ahead *next, int calls)
{
    struct asking a = {.lines = 0};
    if (!next) return a;
    a.left = *next;
    a.lines = (int)((size_t)next->pieces * (next->bytes / 64 + 1) / (size_t)(calls ? calls : 1)) + 1;
    return a;
}

static inline void ask(struct asking *a)
{
    for (int i = 0; i < a->lines && a->left.pieces; i++) {
        _mm_prefetch(a->left.at + a->done, _MM_HINT_T0);
        a->done += 64;
        if (a->done < a->left.bytes) continue;
        a->done = 0;
        a->left.at += a->left.apart;
        a->left.pieces--;
    }
}

#endif
