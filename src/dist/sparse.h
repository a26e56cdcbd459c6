// SPDX-License-Identifier: Apache-2.0
/* Compression for the wire: of a vector, or of each chunk of it, the keep values that are largest in size, with where
 * they were. A message is the values, in ascending order of their positions, as one row of dense.h, and then the
 * positions as in positions.h.
 *
 *     CocktailSGD   chunk = n, keep = sparse_cocktail_keep(), BITMASK, DENSE_COCKTAIL; or GOLOMB and DENSE_SIGNED
 *     SparseLoCo    chunk = 4096, keep = 64, CHUNKED (12 bits) or GOLOMB (7.5 bits), DENSE_SIGNED in 2 bits
 *
 * Error feedback is the caller's: after encoding, entries hold what was sent, and input - sent is what is left. That
 * difference is exact in fp32, so that left + sent is the input, bit for bit, for what was not sent, for DENSE_F32,
 * F16, BF16 and ZERO, and wherever else sent / 2 <= input <= 2 sent (Sterbenz); ODD and SIGNED make values much smaller
 * than a step larger, and their difference is then rounded by up to half a unit in sent's last place. */
#ifndef GPTJT_DIST_SPARSE_H
#define GPTJT_DIST_SPARSE_H

#include "dist/dense.h"
#include "dist/positions.h"

struct sparse {
    struct positions positions; /* n, chunk, keep and how they are coded */
    struct dense values;
};

/* The caller's, for the values of a message: both [positions_count()]. */
struct sparse_entries {
    uint32_t *index; /* ascending */
    float *value;
};

/* E_ARG where the fields do not go together. All else is only for what has passed. */
enum status sparse_check(const struct sparse *s);

/* CocktailSGD's number of values: int(fraction * n), at least 1; a multiple of the bucket if there are so many. */
size_t sparse_cocktail_keep(size_t n, double fraction, size_t bucket);

/* Bytes of a message at most; exactly, unless positions are coded as GOLOMB. */
size_t sparse_max_bytes(const struct sparse *s);

/* Returns the number of bytes written to out [sparse_max_bytes()] for x [n]. *entries are then as sparse_decode() will
 * make them. */
size_t sparse_encode(uint8_t *out, const struct sparse *s, const float *x, const struct sparse_entries *entries);

/* *entries = in [bytes]; errors as of dense_decode() and positions_decode(). */
enum status sparse_decode(const struct sparse_entries *entries, const struct sparse *s, const uint8_t *in,
                          size_t bytes);

#endif
