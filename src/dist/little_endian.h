// SPDX-License-Identifier: Apache-2.0
/* Numbers in messages: the lowest byte first, whatever the machine, at any address. */
#ifndef GPTJT_DIST_LITTLE_ENDIAN_H
#define GPTJT_DIST_LITTLE_ENDIAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/half.h"

/* Whether this machine stores numbers like that; compilers see through it. */
static inline bool little_endian_here(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 1;
}

/* There and back. */
static inline uint16_t little_endian_16(uint16_t x)
{
    if (little_endian_here()) return x;
    return (uint16_t)(x << 8 | x >> 8);
}

static inline uint32_t little_endian_32(uint32_t x)
{
    if (little_endian_here()) return x;
    return x << 24 | (x & 0xff00) << 8 | (x >> 8 & 0xff00) | x >> 24;
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
