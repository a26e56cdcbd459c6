// SPDX-License-Identifier: Apache-2.0
/* Which k of n values a message has, in as few bits as possible: three codes of an ascending list of positions, index
 * [k], below n < 2^32. All begin with the first and highest bit (bits.h).
 *
 *     BITMASK   n bits, one for each value, as CocktailSGD sends them.
 *     GOLOMB    the gaps between neighbours, in Golomb's code (1966, "Run-length encodings"), whose divisor m follows
 * from n and k (Gallager and van Voorhis 1975): gap / m zeros, a one, and gap % m in truncated binary. The best code of
 * whole bits a gap when every value is as likely to be kept: 0.3 % above the entropy H(k/n) for k/n = 0.01, 0.8 % for
 * 0.2, at most 1.5 % up to 0.33 and 4.2 % at worst, near 0.382, where the divisor turns to 1 and the code to the
 * bitmask, which it is from there on. An arithmetic coder would gain these percents, for a step with every value
 * instead of every gap. CHUNKED   the k of each chunk as numbers of ceil(log2 chunk) bits: 12 for 4096 (SparseLoCo).
 *
 * Nothing is allocated; the same list gives the same bytes on every machine. */
#ifndef GPTJT_DIST_POSITIONS_H
#define GPTJT_DIST_POSITIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum positions_code { POSITIONS_BITMASK, POSITIONS_GOLOMB, POSITIONS_CHUNKED };

/* A list as top-k of chunks makes it: keep of each chunk of n values, of the last, shorter one its size at most. */
struct positions {
    enum positions_code code;
    size_t n, chunk, keep; /* 1 <= chunk, 1 <= keep <= chunk; n < 2^32 */
};

size_t positions_count(const struct positions *p); /* k of the whole */

/* Bytes at most; exactly, unless code is GOLOMB. */
size_t positions_max_bytes(const struct positions *p);

/* Returns the number of bytes written to out [positions_max_bytes()]. */
size_t positions_encode(uint8_t *out, const struct positions *p, const uint32_t *index);

/* index [positions_count()] = in [bytes], ascending, all below n. E_FORMAT where these are not bytes that
 * positions_encode() writes, except that BITMASK and GOLOMB do not look how many there are in each chunk. index is
 * spoilt then. */
enum status positions_decode(uint32_t *index, const struct positions *p, const uint8_t *in, size_t bytes);

#endif
