// SPDX-License-Identifier: Apache-2.0
/* Numbers of a few bits one behind the other in bytes, the first and its highest bit first, as numpy.packbits() has it
 * and so the authors of CocktailSGD. What is left of the last byte is zero. */
#ifndef GPTJT_DIST_BITS_H
#define GPTJT_DIST_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bits_bytes(size_t n, int bits) /* of n numbers; n * bits < 2^64 */
{
    return n / 8 * (size_t)bits + (n % 8 * (size_t)bits + 7) / 8;
}

/* code [n], each below 2^bits, bits 1..8, to and from bytes [bits_bytes(n, bits)]. */
void bits_pack(uint8_t *bytes, const uint8_t *code, size_t n, int bits);
void bits_unpack(uint8_t *code, const uint8_t *bytes, size_t n, int bits);

/* Whether the bits behind n numbers are zero. */
bool bits_padded(const uint8_t *bytes, size_t n, int bits);

/* Codes of changing lengths. window holds what is not yet a byte in its upper bits, fewer than 8. */
struct bits_writer {
    uint8_t *bytes;
    size_t n; /* written */
    uint64_t window;
    int held;
};

/* value < 2^width, 0 <= width <= 56. */
static inline void bits_put(struct bits_writer *w, uint64_t value, int width)
{
    if (!width) return;
    w->window |= value << (64 - w->held - width);
    for (w->held += width; w->held >= 8; w->held -= 8) {
        w->bytes[w->n++] = (uint8_t)(w->window >> 56);
        w->window <<= 8;
    }
}

/* Pads the last byte. Returns the number of bytes. */
static inline size_t bits_end(struct bits_writer *w)
{
    if (w->held) w->bytes[w->n++] = (uint8_t)(w->window >> 56);
    w->held = 0;
    return w->n;
}

struct bits_reader {
    const uint8_t *bytes;
    size_t n, at; /* bytes there are; bits read */
};

/* The next bits, at least 57 of them, in the upper part; zeros come behind the end. */
static inline uint64_t bits_peek(const struct bits_reader *r)
{
    const size_t byte = r->at / 8;
    uint64_t window = 0;
    if (r->n >= 8 && byte <= r->n - 8) {
        for (size_t i = 0; i < 8; i++) /* one load */
            window = window << 8 | r->bytes[byte + i];
    } else {
        for (size_t i = byte; i < r->n; i++)
            window |= (uint64_t)r->bytes[i] << (56 - 8 * (i - byte));
    }
    return window << r->at % 8;
}

/* width <= 32 bits. */
static inline uint32_t bits_get(struct bits_reader *r, int width)
{
    const uint64_t window = bits_peek(r);
    r->at += (size_t)width;
    return width ? (uint32_t)(window >> (64 - width)) : 0;
}

/* Whether everything has been read and nothing else, but for zeros in the last byte. */
static inline bool bits_at_end(const struct bits_reader *r)
{
    return r->at <= r->n * 8 && r->n * 8 - r->at < 8 && !bits_peek(r);
}

#endif
