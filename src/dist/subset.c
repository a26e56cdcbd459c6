// SPDX-License-Identifier: Apache-2.0
#include "dist/subset.h"

#include <assert.h>

#include "base/rng.h"

size_t subset_stride(double p)
{
    assert(p > 0 && p <= 1);
    return (size_t)(1 / p);
}

/* ---- Rolling ---- */

/* What is rolled: count numbers, stride apart. */
struct comb {
    size_t stride, count;
};

static struct comb comb_of(const struct subset *s)
{
    const size_t count = (s->n + s->stride - 1) / s->stride / s->multiple * s->multiple;
    return count ? (struct comb){s->stride, count} : (struct comb){1, s->n};
}

static void rolling_positions(size_t *position, const struct subset *s, uint64_t t, size_t first, size_t n)
{
    const struct comb c = comb_of(s);
    const size_t shift = (size_t)(t % s->n);
    const size_t n_inside = (s->n - shift + c.stride - 1) / c.stride; /* teeth from here on go around the end */
    const size_t n_around = c.count > n_inside ? c.count - n_inside : 0;
    for (size_t i = first; i < first + n; i++)
        position[i - first] = i < n_around ? (i + n_inside) * c.stride + shift - s->n
                                           : (i - n_around) * c.stride + shift;
}

/* ---- Random ---- */

/* The streams of the data's draws (data/draws.c) have this bit zero. */
#define STREAM (1ull << 62)

static size_t position_in_block(const struct subset *s, uint64_t t, size_t block, uint32_t random)
{
    const uint64_t start = (uint64_t)random * s->stride >> 32;
    return block * s->stride + (size_t)((start + t % s->stride) % s->stride);
}

static void random_positions(size_t *position, const struct subset *s, uint64_t t, size_t first, size_t n)
{
    uint32_t random[4];
    for (size_t block = first; block < first + n; block++) {
        if (block == first || block % 4 == 0) rng_block(random, s->seed, STREAM | t / s->stride, block / 4);
        position[block - first] = position_in_block(s, t, block, random[block % 4]);
    }
}

/* ---- Both ---- */

size_t subset_count(const struct subset *s, uint64_t t)
{
    if (!s->n) return 0;
    if (s->kind == SUBSET_ROLLING) return comb_of(s).count;
    const size_t whole = s->n / s->stride;
    if (s->n % s->stride == 0) return whole;
    size_t last;
    random_positions(&last, s, t, whole, 1);
    return whole + (last < s->n);
}

void subset_positions(size_t *position, const struct subset *s, uint64_t t, size_t first, size_t n)
{
    assert(first + n <= subset_count(s, t));
    if (!n) return;
    if (s->kind == SUBSET_ROLLING)
        rolling_positions(position, s, t, first, n);
    else
        random_positions(position, s, t, first, n);
}
