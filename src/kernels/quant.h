// SPDX-License-Identifier: Apache-2.0
/* Quantised weights: one layout for memory, files and every instruction set, made to be streamed with outputs in the
 * lanes. docs/FORMATS.md has it as a drawing.
 *
 * The rows (outputs) of a matrix [O][I] are cut into strips of QUANT_STRIP = 16; the inputs of a strip into blocks of
 * QUANT_BLOCK = 64. What is missing at the edges is there as zeros. A block holds its values, then their scales, so
 * that a strip is one stream of memory:
 *
 *     q8   values  u8  [16 steps][16 outputs][4 inputs]    value + 128, value in -127..127
 *          scales  f16 [16 outputs]                        one for 64 inputs
 *     q4   values  u8  [8 steps][16 outputs][4 bytes]      low half: value + 8 of input 4 step + byte (0..31),
 *                                                          high half: the same of input 32 + 4 step + byte; -8..7
 *          scales  f16 [2 halves][16 outputs]              one for 32 inputs
 *
 * A weight is scale * value, exactly. Four inputs of an output are 32 neighbouring bits because that is what one lane
 * of vpdpbusd, vpmaddubsw and of an AMX tile row takes. */
#ifndef GPTJT_KERNELS_QUANT_H
#define GPTJT_KERNELS_QUANT_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

enum { QUANT_STRIP = 16, QUANT_BLOCK = 64, QUANT_STEP = 4, QUANT_STEP_BYTES = QUANT_STRIP * QUANT_STEP };

/* Of one type: inputs that share a scale, the value zero is stored as, and bytes. */
static inline int quant_group(enum weight_type t)
{
    return t == WEIGHT_Q4 ? 32 : 64;
}

static inline int quant_zero(enum weight_type t)
{
    return t == WEIGHT_Q4 ? 8 : 128;
}

/* Blocks of activations that share a scale in a product with weights of this type, fewer at the end. Those of q4 are so
 * much coarser that it costs nothing that could be measured (docs/QUALITY.md). */
static inline int quant_x_blocks(enum weight_type t)
{
    return t == WEIGHT_Q4 ? 2 : 1;
}

enum { QUANT_MOST_X_BLOCKS = 2, QUANT_MOST_X_GROUP = QUANT_MOST_X_BLOCKS * QUANT_BLOCK };

static inline int quant_x_group(enum weight_type t) /* inputs */
{
    return quant_x_blocks(t) * QUANT_BLOCK;
}

/* Whether a group of weights is all that a group of activations meets, so that a sum has both scales at once. */
static inline int quant_same_groups(enum weight_type t)
{
    return quant_x_group(t) == quant_group(t);
}

/* Whether a group of activations ends with this block of so many. */
static inline int quant_ends_x_group(enum weight_type t, size_t block, size_t blocks)
{
    return (block + 1) % (size_t)quant_x_blocks(t) == 0 || block + 1 == blocks;
}

static inline size_t quant_values_bytes(enum weight_type t) /* of a block, before its scales */
{
    return (size_t)QUANT_STRIP * QUANT_BLOCK / (t == WEIGHT_Q4 ? 2 : 1);
}

static inline size_t quant_scale_bytes(enum weight_type t) /* of a block */
{
    return (size_t)QUANT_STRIP * (size_t)(QUANT_BLOCK / quant_group(t)) * sizeof(uint16_t);
}

static inline size_t quant_block_bytes(enum weight_type t)
{
    return quant_values_bytes(t) + quant_scale_bytes(t);
}

static inline size_t quant_blocks(int I)
{
    return ((size_t)I + QUANT_BLOCK - 1) / QUANT_BLOCK;
}

static inline size_t quant_x_groups(enum weight_type t, int I)
{
    return (quant_blocks(I) + (size_t)quant_x_blocks(t) - 1) / (size_t)quant_x_blocks(t);
}

static inline size_t quant_strip_bytes(enum weight_type t, int I)
{
    return quant_blocks(I) * quant_block_bytes(t);
}

static inline size_t quant_strips(int O)
{
    return ((size_t)O + QUANT_STRIP - 1) / QUANT_STRIP;
}

#define QUANT_TINY 0x1p-100f

/* Quantises O <= 16 rows of I floats, w [O][I] with rows w_stride apart, into one strip; the reference for
 * kernels->quant_strip. A value is the nearest even of w * (1 / scale), cut off at the ends of its range; the scale,
 * rounded to fp16 first, is q8: max |w| / 127; q4: the best of some (quant.c). It is zero where max |w| is below
 * QUANT_TINY, and a group that holds NaN or infinity has such a scale. */
void quant_strip(void *strip, enum weight_type t, const float *w, size_t w_stride, int O, int I);

/* What q4 tries the largest weight as. docs/QUALITY.md has what that gains over -8 alone. */
#define QUANT_Q4_ENDS                                                                                                  \
    {                                                                                                                  \
        -8, -9, -8.5f, -7.5f, -7                                                                                       \
    }

/* y[n] = the weights of output o < 16 of a strip for inputs [at, at + n), exact to fp32 rounding of scale * value. */
void quant_row(float *y, const void *strip, enum weight_type t, int o, int at, int n);

/* The value (-127..127 or -8..7) and the scale of one weight. */
int quant_value(const void *strip, enum weight_type t, int o, int i);
float quant_scale(const void *strip, enum weight_type t, int o, int i);

/* One row of activations as the int8 products with weights of type t take it, in groups of quant_x_group(t) inputs,
 * padded with zeros to blocks: scale = max |x| / 127, value = nearest even of x * (127 / max |x|), both in fp32. A
 * group below QUANT_TINY is zero; one that holds NaN or infinity has such a scale and so spoils every output, as it
 * should. The arrays have quant_blocks(I) * 64 values and quant_x_groups(t, I) scales. */
void quant_activations(int8_t *value, float *scale, enum weight_type t, const float *x, int I);

#endif
