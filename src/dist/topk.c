// SPDX-License-Identifier: Apache-2.0
#include "dist/topk.h"

#include <assert.h>

#include "base/half.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* Bits of |x| order as numbers do. */
static uint32_t size_of(float x)
{
    return half_bits_of(x) & 0x7fffffff;
}

/* Counts digits, DIGIT_BITS of them from shift on, of the sizes that begin with prefix. */
static void count_digits(uint32_t count[DIGITS], const float *x, size_t n, uint32_t prefix, uint32_t known, int shift)
{
    for (size_t c = 0; c < DIGITS; c++)
        count[c] = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t size = size_of(x[i]);
        if ((size & known) == prefix) count[size >> shift & (DIGITS - 1)]++;
    }
}

/* The k-th largest size. *n_equal: how many of that size are among the k. */
static uint32_t kth_size(const float *x, size_t n, size_t k, size_t *n_equal)
{
    static const int shifts[] = {20, 9, 0}; /* 31 bits: the last digit overlaps two bits that are known by then */
    uint32_t prefix = 0, known = 0, count[DIGITS];
    size_t left = k;
    for (size_t pass = 0; pass < sizeof shifts / sizeof shifts[0]; pass++) {
        const int shift = shifts[pass];
        count_digits(count, x, n, prefix, known, shift);
        uint32_t digit = DIGITS - 1;
        for (; count[digit] < left; digit--)
            left -= count[digit];
        prefix |= digit << shift;
        known |= (uint32_t)(DIGITS - 1) << shift;
    }
    *n_equal = left;
    return prefix;
}

void topk_select(uint32_t *index, const float *x, size_t n, size_t k)
{
    assert(k <= n && n <= UINT32_MAX);
    if (!k) return;
    size_t n_equal, n_found = 0;
    const uint32_t kth = kth_size(x, n, k, &n_equal);
    for (uint32_t i = 0; n_found < k; i++) { /* without a branch on what comes in no order */
        const uint32_t size = size_of(x[i]);
        const size_t equal = (size == kth) & (n_equal > 0);
        index[n_found] = i;
        n_found += (size > kth) | equal;
        n_equal -= equal;
    }
}
