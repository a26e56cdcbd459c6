// SPDX-License-Identifier: Apache-2.0
/* Which of n coordinates take part in a synchronisation, a part p of them: a function of the settings and of the
 * synchronisation's number, the same on all ranks, without a byte for each coordinate.
 *
 *     ROLLING   CocktailSGD's random_rolling, exactly. Positions 0, s, 2s, ..., s = int(1/p), as many as are a multiple
 * of the quantiser's bucket, or all n coordinates if these are none; synchronisation t has them moved on by t, around
 * the end. (p = 0.4 is thus 0.5, and p = 0.15 is 0.1667.) RANDOM    Coordinates in blocks of s: one of each block,
 * drawn once for every s synchronisations, from where it moves on by one each time. So each coordinate takes part
 * exactly once in s synchronisations, as in a choice without replacement, and what takes part together is random;
 * positions ascend, and drawing one costs a quarter of a Philox block. The last, shorter block may have none.
 *
 * Positions come in ascending order. */
#ifndef GPTJT_DIST_SUBSET_H
#define GPTJT_DIST_SUBSET_H

#include <stddef.h>
#include <stdint.h>

enum subset_kind { SUBSET_ROLLING, SUBSET_RANDOM };

struct subset {
    enum subset_kind kind;
    size_t n;        /* coordinates */
    size_t stride;   /* s >= 1, < 2^32 */
    size_t multiple; /* ROLLING: of their number; 1: any will do */
    uint64_t seed;   /* RANDOM */
};

/* int(1/p), 0 < p <= 1. */
size_t subset_stride(double p);

/* How many take part in synchronisation t = 0, 1, ... */
size_t subset_count(const struct subset *s, uint64_t t);

/* position [n] = those of number first, first + 1, ... of subset_count(). */
void subset_positions(size_t *position, const struct subset *s, uint64_t t, size_t first, size_t n);

#endif
