// SPDX-License-Identifier: Apache-2.0
/* Counter-based random numbers: a pure function of (seed, stream, counter), so nothing has to be carried along to
 * resume a run or to give every sequence numbers of its own. Philox 4x32-10, Salmon et al. 2011 (SC'11). */
#ifndef GPTJT_BASE_RNG_H
#define GPTJT_BASE_RNG_H

#include <stdint.h>

void rng_block(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t counter);

uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t counter);
double rng_uniform(uint64_t seed, uint64_t stream, uint64_t counter); /* [0, 1), 53 random bits */

/* A seed nobody chose, from the operating system. */
uint64_t rng_fresh_seed(void);

#endif
