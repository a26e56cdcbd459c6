// SPDX-License-Identifier: Apache-2.0
#include "dist/positions.h"

#include <string.h>

#include "base/compiler.h"
#include "dist/bits.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int width_of(uint64_t n_values) /* bits that tell so many apart */
{
    int width = 0;
    while (n_values > 1ull << width)
        width++;
    return width;
}

size_t positions_count(const struct positions *p)
{
    return p->n / p->chunk * p->keep + min_size(p->n % p->chunk, p->keep);
}

static enum status wrong(const struct positions *p, const char *what)
{
    return fail(E_FORMAT, "positions of %zu of %zu values: %s", positions_count(p), p->n, what);
}

/* ---- Golomb's code ---- */

struct golomb {
    uint64_t divisor;
    int width;       /* bits of a remainder, ... */
    uint64_t n_less; /* ... but for the first so many, which have one less */
};

/* The divisor is the smallest m with q^m + q^(m+1) <= 1, q = 1 - k/n. For k much smaller than n it is near n/k ln 2,
 * and any value near that serves as well. Multiplications only, so that all machines agree. */
static struct golomb golomb_for(size_t n, size_t k)
{
    struct golomb g = {.divisor = 1};
    if (k < n / 64) {
        g.divisor = (uint64_t)(n / k) * 45426 >> 16;
    } else {
        const double q = 1 - (double)k / (double)n;
        for (double power = q; power * (1 + q) > 1; power *= q)
            g.divisor++;
    }
    g.width = width_of(g.divisor);
    g.n_less = (1ull << g.width) - g.divisor;
    return g;
}

static size_t golomb_max_bytes(size_t n, size_t k)
{
    const struct golomb g = golomb_for(n, k);
    return ((n - k) / g.divisor + k * (1 + (size_t)g.width) + 7) / 8;
}

static size_t golomb_encode(uint8_t *out, const uint32_t *index, size_t n, size_t k)
{
    const struct golomb g = golomb_for(n, k);
    struct bits_writer w = {.bytes = out};
    uint64_t next = 0;
    for (size_t i = 0; i < k; i++) {
        uint64_t zeros = (index[i] - next) / g.divisor;
        const uint64_t rest = (index[i] - next) % g.divisor;
        for (; zeros >= 32; zeros -= 32)
            bits_put(&w, 0, 32);
        bits_put(&w, 1, (int)zeros + 1);
        if (rest < g.n_less)
            bits_put(&w, rest, g.width - 1);
        else
            bits_put(&w, rest + g.n_less, g.width);
        next = (uint64_t)index[i] + 1;
    }
    return bits_end(&w);
}

/* Zeros before the next one. Where none comes the reader ends up behind the end, or zeros above limit. */
static uint64_t count_zeros(struct bits_reader *r, uint64_t limit)
{
    uint64_t zeros = 0;
    while (zeros <= limit && r->at <= 8 * r->n) {
        const uint64_t window = bits_peek(r);
        const int run = window ? LEADING_ZEROS(window) : 64;
        if (run < 57) { /* so many bits are surely there */
            r->at += (size_t)run + 1;
            return zeros + (uint64_t)run;
        }
        zeros += 57;
        r->at += 57;
    }
    return zeros;
}

static uint64_t get_rest(struct bits_reader *r, const struct golomb *g)
{
    if (!g->width) return 0;
    const uint64_t rest = bits_get(r, g->width - 1);
    return rest < g->n_less ? rest : (rest << 1 | bits_get(r, 1)) - g->n_less;
}

static enum status golomb_decode(uint32_t *index, const struct positions *p, const uint8_t *in, size_t bytes)
{
    const size_t k = positions_count(p);
    const struct golomb g = golomb_for(p->n, k);
    const uint64_t most_zeros = p->n / g.divisor;
    struct bits_reader r = {.bytes = in, .n = bytes};
    uint64_t next = 0;
    for (size_t i = 0; i < k; i++) {
        const uint64_t zeros = count_zeros(&r, most_zeros);
        next += zeros * g.divisor + get_rest(&r, &g);
        if (next >= p->n || r.at > 8 * bytes) return wrong(p, "they go on behind the end");
        index[i] = (uint32_t)next++;
    }
    return bits_at_end(&r) ? OK : wrong(p, "bytes are left over");
}

/* ---- A bit for each value ---- */

static void bitmask_encode(uint8_t *out, const uint32_t *index, size_t n, size_t k)
{
    memset(out, 0, (n + 7) / 8);
    for (size_t i = 0; i < k; i++)
        out[index[i] / 8] = (uint8_t)(out[index[i] / 8] | 0x80 >> index[i] % 8);
}

static enum status bitmask_decode(uint32_t *index, const struct positions *p, const uint8_t *in, size_t bytes)
{
    const size_t k = positions_count(p);
    size_t found = 0;
    if (bytes != (p->n + 7) / 8) return wrong(p, "the mask has another size");
    if (!bits_padded(in, p->n, 1)) return wrong(p, "bits behind the end");
    for (size_t byte = 0; byte < bytes; byte++) {
        for (uint64_t rest = (uint64_t)in[byte] << 56; rest; found++) {
            const int bit = LEADING_ZEROS(rest);
            if (found == k) return wrong(p, "there are more");
            index[found] = (uint32_t)(byte * 8 + (size_t)bit);
            rest &= ~(1ull << (63 - bit));
        }
    }
    return found == k ? OK : wrong(p, "there are fewer");
}

/* ---- Numbers within chunks ---- */

static size_t chunked_encode(uint8_t *out, const struct positions *p, const uint32_t *index)
{
    struct bits_writer w = {.bytes = out};
    const int width = width_of(p->chunk);
    for (size_t at = 0; at < p->n; at += p->chunk)
        for (size_t i = min_size(p->n - at, p->keep); i; i--)
            bits_put(&w, *index++ - at, width);
    return bits_end(&w);
}

static enum status chunked_decode(uint32_t *index, const struct positions *p, const uint8_t *in, size_t bytes)
{
    struct bits_reader r = {.bytes = in, .n = bytes};
    const int width = width_of(p->chunk);
    if (bytes != positions_max_bytes(p)) return wrong(p, "their list has another size");
    for (size_t at = 0; at < p->n; at += p->chunk) {
        uint64_t next = at;
        for (size_t i = min_size(p->n - at, p->keep); i; i--) {
            const uint64_t position = at + bits_get(&r, width);
            if (position < next || position >= p->n || position >= at + p->chunk)
                return wrong(p, "they do not ascend within their chunk");
            *index++ = (uint32_t)position;
            next = position + 1;
        }
    }
    return bits_at_end(&r) ? OK : wrong(p, "bits behind the end");
}

/* ---- All codes ---- */

size_t positions_max_bytes(const struct positions *p)
{
    if (!p->n) return 0;
    const size_t k = positions_count(p);
    switch (p->code) {
    case POSITIONS_BITMASK: return (p->n + 7) / 8;
    case POSITIONS_GOLOMB: return golomb_max_bytes(p->n, k);
    default: return (k * (size_t)width_of(p->chunk) + 7) / 8;
    }
}

size_t positions_encode(uint8_t *out, const struct positions *p, const uint32_t *index)
{
    if (!p->n) return 0;
    switch (p->code) {
    case POSITIONS_BITMASK: bitmask_encode(out, index, p->n, positions_count(p)); return (p->n + 7) / 8;
    case POSITIONS_GOLOMB: return golomb_encode(out, index, p->n, positions_count(p));
    default: return chunked_encode(out, p, index);
    }
}

enum status positions_decode(uint32_t *index, const struct positions *p, const uint8_t *in, size_t bytes)
{
    if (!p->n) return bytes ? wrong(p, "bytes are left over") : OK;
    switch (p->code) {
    case POSITIONS_BITMASK: return bitmask_decode(index, p, in, bytes);
    case POSITIONS_GOLOMB: return golomb_decode(index, p, in, bytes);
    default: return chunked_decode(index, p, in, bytes);
    }
}
