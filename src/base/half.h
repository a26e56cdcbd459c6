// SPDX-License-Identifier: Apache-2.0
/* IEEE half (fp16) and bfloat16, stored as uint16_t. Widening is exact; narrowing rounds to nearest even, overflows to
 * infinity and keeps NaN a NaN. */
#ifndef GPTJT_BASE_HALF_H
#define GPTJT_BASE_HALF_H

#include <stdint.h>
#include <string.h>

typedef uint16_t f16;
typedef uint16_t bf16;

static inline uint32_t half_bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float half_float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float bf16_to_f32(bf16 h)
{
    return half_float_of((uint32_t)h << 16);
}

static inline bf16 bf16_from_f32(float x)
{
    const uint32_t u = half_bits_of(x);
    if ((u & 0x7fffffff) > 0x7f800000) return (bf16)(u >> 16 | 0x40);
    return (bf16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float f16_to_f32(f16 h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00) return half_float_of(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    if (rest >= 0x0400) return half_float_of(sign | ((rest << 13) + ((127 - 15) << 23)));
    const float tiny = (float)rest * 0x1p-24f; /* subnormal: rest counts units of 2^-24, exact in fp32 */
    return half_float_of(half_bits_of(tiny) | sign);
}

static inline f16 f16_from_f32(float x)
{
    const uint32_t u = half_bits_of(x), sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
    if (rest > 0x7f800000) return (f16)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    if (rest >= 0x477ff000) return (f16)(sign | 0x7c00); /* from 65520 up it rounds to infinity */
    if (rest >= 0x38800000) {                            /* normal half: 2^-14 and up */
        const uint32_t shifted = rest - ((127 - 15) << 23);
        return (f16)(sign | (shifted + 0xfff + (shifted >> 13 & 1)) >> 13);
    }
    /* subnormal half: adding 0.5 leaves a unit of 2^-24 in the last bit, so the addition itself rounds to even */
    return (f16)(sign | (half_bits_of(half_float_of(rest) + 0.5f) - 0x3f000000));
}

#endif
