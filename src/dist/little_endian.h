// SPDX-License-Identifier: Apache-2.0
/* Numbers in messages: the lowest byte first, whatever the machine, at any address. */
#ifndef GPTJT_DIST_LITTLE_ENDIAN_H
#define GPTJT_DIST_LITTLE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#include "base/half.h"

/* Swaps on machines that have the highest byte first; compilers see through it. */
static inline uint16_t little_endian_16(uint16_t x)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first ? x : (uint16_t)(x << 8 | x >> 8);
}

static inline void little_endian_put16(uint8_t *out, uint16_t x)
{
    x = little_endian_16(x);
    memcpy(out, &x, sizeof x);
}

static inline uint16_t little_endian_get16(const uint8_t *in)
{
    uint16_t x;
    memcpy(&x, in, sizeof x);
    return little_endian_16(x);
}

static inline uint32_t little_endian_32(uint32_t x)
{
    const uint16_t low = little_endian_16((uint16_t)x), high = little_endian_16((uint16_t)(x >> 16));
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first ? x : (uint32_t)low << 16 | high;
}

static inline void little_endian_put_f32(uint8_t *out, float x)
{
    const uint32_t u = little_endian_32(half_bits_of(x));
    memcpy(out, &u, sizeof u);
}

static inline float little_endian_get_f32(const uint8_t *in)
{
    uint32_t u;
    memcpy(&u, in, sizeof u);
    return half_float_of(little_endian_32(u));
}

#endif
