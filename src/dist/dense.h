// SPDX-License-Identifier: Apache-2.0
/* Compression for the wire, of every value of a vector or of a matrix: as fp32, fp16, bf16, or in 1 to 8 bits with a
 * scale that some neighbours share. (sparse.h sends some of the values only.)
 *
 * x [rows][cols]: a vector is one row; activations and their gradients are a row a token, with scales of their own. A
 * message is rows one behind the other, a row its scales and then its codes:
 *
 *     F32, F16, BF16   [cols] numbers
 *     in bits          [ceil(cols / group)] scales, [ceil(cols * bits / 8)] bytes of codes (bits.h)
 *     COCKTAIL         x as one vector: [n / bucket] scales, [ceil(n * bits / 8)] bytes of codes
 *
 * A value in bits is level / top * scale, computed as ((float)level * (1.0f / top)) * scale; its code says which
 * level. With scale = max |x| of the group, the default, +max and -max are exactly what they were (to the rounding of
 * the scale, if it is not fp32), and a value is off by half a step at most, a step being the distance of two levels.
 *
 *     ZERO    top = 2^(bits-1) - 1   levels -top .. top              b >= 2. zeros stay zeros: activations, 8 bits
 *     ODD     top = 2^bits - 1       levels -top, -top + 2 .. top    no zero, all codes used: dense deltas in few bits
 *     SIGNED  top = 2^(bits-1)       levels -top .. -1, 1 .. top     no zero, zero lies in a gap: what top-k has kept
 *
 * fitted takes of 4 scales (max |x| and less) the one whose codes fit best, and then the scale that is best for these
 * codes, sum x l / sum l l: the smallest sum of squares of errors of the four (as Lloyd and Max would go on). In 1 bit
 * it is mean |x|, and nothing else makes sense there.
 *
 * COCKTAIL is the quantiser of CocktailSGD (Wang et al. 2023, ICML), exactly, with its flaws. Values are seen as
 * [bucket][n / bucket], so a bucket is a column; its scale is fp16(max |x|), q = round(x / (scale + 1e-6) 2^(b-1))
 * within -2^(b-1) .. 2^(b-1) - 1, and q 2^-(b-1) scale comes out: +max becomes 1 - 2^-(b-1) of itself, -max does
 * not, which is a bias. In 1 bit: the sign of x times the root of the mean square. There n is a multiple of the bucket,
 * or smaller than it, and then the bucket.
 *
 * Which to take, by measured sum of squares of errors over that of x, groups of 128, bf16 scales:
 *
 *                         normal, all of it               the largest 20 % of it
 *     bits             1     2     3     4     8        1     2     3     4     8
 *     COCKTAIL       .404  .187  .045  .0111 4e-5     .053  .050  .019  .0046 2e-5
 *     ZERO             -   .585  .075  .0138 4e-5       -   .569  .036  .0056 2e-5
 *     ODD, fitted    .363  .118  .036  .0103 4e-5     .052  .052  .016  .0041 2e-5
 *     SIGNED, fitted .363  .160  .053  .0149 4e-5     .052  .032  .011  .0038 2e-5
 *
 * Not a number. A group that holds NaN or infinity is NaN as a whole at the receiver, in fp16 also one whose scale
 * is beyond 65504 (COCKTAIL: NaN or infinite), so that a step that went wrong is seen to have; F16 rounds what is
 * beyond to infinity. An fp16 scale below 2^-25 is zero, and so are the values then: deltas of weights have bf16 or
 * fp32 scales.
 *
 * Nothing is allocated; the same input gives the same bytes on every machine. */
#ifndef GPTJT_DIST_DENSE_H
#define GPTJT_DIST_DENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum dense_kind { DENSE_F32, DENSE_F16, DENSE_BF16, DENSE_ZERO, DENSE_ODD, DENSE_SIGNED, DENSE_COCKTAIL };
enum dense_scale { DENSE_SCALE_F32, DENSE_SCALE_BF16, DENSE_SCALE_F16 };

struct dense {
    enum dense_kind kind;
    /* The rest is for values in bits. */
    int bits;               /* 1..8 */
    size_t group;           /* that share a scale: a multiple of 8; 0: the whole row. COCKTAIL: the bucket, any > 0 */
    enum dense_scale scale; /* COCKTAIL: F16 */
    bool fitted;            /* not COCKTAIL */
};

/* E_ARG where a field is none of these. All else is only for what has passed. */
enum status dense_check(const struct dense *d);

/* Bytes of a message, exactly. */
size_t dense_bytes(const struct dense *d, size_t rows, size_t cols);

/* out [dense_bytes()] = x [rows][cols]. */
void dense_encode(uint8_t *out, const struct dense *d, const float *x, size_t rows, size_t cols);

/* x [rows][cols] = in [bytes]. E_FORMAT where these are not bytes that dense_encode() writes: their number, codes
 * without a level, scales that are negative or infinite, bits behind the end; x is spoilt then. */
enum status dense_decode(float *x, const struct dense *d, size_t rows, size_t cols, const uint8_t *in, size_t bytes);

#endif
