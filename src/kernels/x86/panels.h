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
 * a time, to be in L2 by then: packing would wait for it, row by row. L1 has few places for what is on its way. */
struct asking {
    struct ahead left;
    size_t done; /* bytes of the first piece */
    int lines;   /* of each call */
};

/* To be asked for in this many calls; next may be NULL. */
static inline struct asking asking(const struct ahead *next, int calls)
{
    struct asking a = {.lines = 0};
    size_t lines = 0;
    for (const struct ahead *n = next; n; n = n->then)
        lines += (size_t)n->pieces * (n->bytes / 64 + 1);
    if (!lines) return a;
    a.left = next->pieces ? *next : *next->then;
    a.lines = (int)(lines / (size_t)(calls ? calls : 1)) + 1;
    return a;
}

static inline void ask(struct asking *a)
{
    for (int i = 0; i < a->lines && a->left.pieces; i++) {
        _mm_prefetch(a->left.at + a->done, _MM_HINT_T1);
        a->done += 64;
        if (a->done < a->left.bytes) continue;
        a->done = 0;
        a->left.at += a->left.apart;
        if (--a->left.pieces == 0 && a->left.then) a->left = *a->left.then;
    }
}

/* Packed rows, which all panels share, are in L3 at best: further away than what the core sees ahead of itself can
 * hide. The line X_AHEAD bytes behind x is asked for; behind the last row that is in vain. */
enum { X_AHEAD = 4096 };
static inline void ask_x(const void *x)
{
    _mm_prefetch((const char *)x + X_AHEAD, _MM_HINT_T1);
}

/* Inputs of what lies across are pages apart, where no processor looks ahead by itself. The input at p has `bytes`; one
 * that comes later is asked for. */
enum { INPUTS_AHEAD = 24 };
static inline __attribute__((always_inline)) void ask_input(const char *p, size_t apart, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64)
        _mm_prefetch(p + INPUTS_AHEAD * apart + at, _MM_HINT_T1);
}

#endif
