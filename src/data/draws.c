// SPDX-License-Identifier: Apache-2.0
#include "data/draws.h"

#include "base/rng.h"

struct draws draws_begin(uint64_t seed, enum draws_purpose purpose, int source, int rank, uint64_t number)
{
    return (struct draws){.seed = seed,
                          .stream = (uint64_t)purpose << 56 | (uint64_t)source << 32 | (uint64_t)rank,
                          .counter = number << 24};
}

double draws_uniform(struct draws *d)
{
    return rng_uniform(d->seed, d->stream, d->counter++);
}

uint64_t draws_below(struct draws *d, uint64_t n)
{
    const uint64_t i = (uint64_t)(draws_uniform(d) * (double)n);
    return i < n ? i : n - 1; /* the product may have been rounded up */
}

/* The network's rounds have streams of their own: bit 63 is in no other's. */
static uint64_t round_function(const struct draws *d, uint64_t key, int round, uint64_t half)
{
    return rng_u64(key, d->stream | 1ull << 63, (uint64_t)round << 32 | half);
}

uint64_t draws_permute(const struct draws *d, uint64_t i, uint64_t n)
{
    enum { ROUNDS = 12 }; /* with 6 the orders of four things were not equally likely, as counted */
    int bits = 1;
    while (bits < 31 && n > 1ull << (2 * bits))
        bits++;
    const uint64_t mask = (1ull << bits) - 1, key = rng_u64(d->seed, d->stream, d->counter);
    do {
        uint64_t left = i >> bits, right = i & mask;
        for (int round = 0; round < ROUNDS; round++) {
            const uint64_t next = left ^ (round_function(d, key, round, right) & mask);
            left = right;
            right = next;
        }
        i = left << bits | right;
    } while (i >= n);
    return i;
}
