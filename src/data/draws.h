// SPDX-License-Identifier: Apache-2.0
/* Random choices of the data, each a function of the seed, what it is for, the source, the rank and a number: nothing
 * has to be remembered to draw the same again. */
#ifndef GPTJT_DATA_DRAWS_H
#define GPTJT_DATA_DRAWS_H

#include <stdint.h>

enum draws_purpose { DRAWS_MIXTURE, DRAWS_FILES, DRAWS_BLOCK, DRAWS_TEXT, DRAWS_ROW };

struct draws {
    uint64_t seed, stream, counter;
};

/* A sequence of up to 2^24 draws; number < 2^40 is that of a block, row or epoch. */
struct draws draws_begin(uint64_t seed, enum draws_purpose purpose, int source, int rank, uint64_t number);

double draws_uniform(struct draws *d);             /* [0, 1) */
uint64_t draws_below(struct draws *d, uint64_t n); /* 0 .. n - 1; 1 <= n <= 2^53 */

/* Where i goes in a random permutation of 0 .. n - 1 (n <= 2^62) that depends on d as it stands, without a table of it:
 * a Feistel network over the next even number of bits, walked on until it lands below n (Black and Rogaway 2002). */
uint64_t draws_permute(const struct draws *d, uint64_t i, uint64_t n);

#endif
