// SPDX-License-Identifier: Apache-2.0
#include "dist/dense_cocktail.h"

#include <assert.h>
#include <math.h>

#include "dist/bits.h"
#include "dist/little_endian.h"

enum { TILE = 1024, STRIPE = 256 }; /* values and columns at a time */

static size_t columns_of(const struct dense *d, size_t n)
{
    assert(n < d->group || n % d->group == 0);
    return n < d->group ? n != 0 : n / d->group;
}

size_t dense_cocktail_bytes(const struct dense *d, size_t n)
{
    return 2 * columns_of(d, n) + bits_bytes(n, d->bits);
}

/* Bits of |x| order as numbers do, with NaN above infinity: a bucket that holds one has such a scale. */
static void column_maxima(float *scale, const float *x, size_t rows, size_t columns, size_t width)
{
    int32_t max[STRIPE] = {0};
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < width; c++) {
            const int32_t size = (int32_t)(half_bits_of(x[r * columns + c]) & 0x7fffffff);
            max[c] = size > max[c] ? size : max[c];
        }
    }
    for (size_t c = 0; c < width; c++)
        scale[c] = half_float_of((uint32_t)max[c]);
}

static void column_root_mean_squares(float *scale, const float *x, size_t rows, size_t columns, size_t width)
{
    double sum[STRIPE] = {0};
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < width; c++)
            sum[c] += (double)x[r * columns + c] * (double)x[r * columns + c];
    for (size_t c = 0; c < width; c++)
        scale[c] = (float)sqrt(sum[c] / (double)rows);
}

static void put_scales(uint8_t *out, const struct dense *d, const float *x, size_t rows, size_t columns)
{
    for (size_t at = 0; at < columns; at += STRIPE) {
        const size_t width = columns - at < STRIPE ? columns - at : STRIPE;
        float scale[STRIPE];
        if (d->bits == 1)
            column_root_mean_squares(scale, x + at, rows, columns, width);
        else
            column_maxima(scale, x + at, rows, columns, width);
        for (size_t c = 0; c < width; c++)
            little_endian_put16(out + 2 * (at + c), f16_from_f32(isnan(scale[c]) ? NAN : scale[c])); /* one NaN */
    }
}

/* scale [n] = those of values at, at + 1, ... */
static void get_scales(float *scale, const uint8_t *scales, size_t columns, size_t at, size_t n)
{
    size_t c = at % columns;
    for (size_t i = 0; i < n; i++) {
        scale[i] = f16_to_f32(little_endian_get16(scales + 2 * c));
        if (++c == columns) c = 0;
    }
}

/* Adding 1.5 * 2^23 leaves no bits for a fraction, so the addition rounds, to even on a tie. */
static void codes_of(uint8_t *code, const float *x, const float *scale, size_t n, int bits)
{
    const float half = (float)(1 << (bits - 1)), magic = 0x1.8p23f;
    for (size_t i = 0; i < n; i++) {
        float t = x[i] / (scale[i] + 1e-6f) * half;
        t = t >= -half ? t : -half; /* also where it is NaN */
        t = t <= half - 1 ? t : half - 1;
        code[i] = (uint8_t)(half_bits_of(t + magic) - half_bits_of(magic) + (uint32_t)half);
    }
}

static void signs_of(uint8_t *code, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        code[i] = x[i] >= 0;
}

void dense_cocktail_encode(uint8_t *out, const struct dense *d, const float *x, size_t n)
{
    const size_t columns = columns_of(d, n);
    uint8_t *codes = out + 2 * columns, code[TILE];
    float scale[TILE];
    if (!n) return;
    put_scales(out, d, x, n / columns, columns);
    for (size_t at = 0; at < n; at += TILE) {
        const size_t m = n - at < TILE ? n - at : TILE;
        get_scales(scale, out, columns, at, m);
        if (d->bits == 1)
            signs_of(code, x + at, m);
        else
            codes_of(code, x + at, scale, m, d->bits);
        bits_pack(codes + at / 8 * (size_t)d->bits, code, m, d->bits);
    }
}

static void values_of(float *x, const uint8_t *code, const float *scale, size_t n, int bits)
{
    const int half = 1 << (bits - 1);
    const float inverse = 1.0f / (float)half; /* of a power of two: exact */
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((int)code[i] - half) * inverse * scale[i];
}

static void signed_values_of(float *x, const uint8_t *code, const float *scale, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(2 * (int)code[i] - 1) * scale[i];
}

enum status dense_cocktail_decode(float *x, const struct dense *d, size_t n, const uint8_t *in)
{
    const size_t columns = columns_of(d, n);
    const uint8_t *codes = in + 2 * columns;
    uint8_t code[TILE];
    float scale[TILE];
    for (size_t c = 0; c < columns; c++)
        if (in[2 * c + 1] & 0x80) return fail(E_FORMAT, "quantised values: scale %zu of %zu is negative", c, columns);
    if (!bits_padded(codes, n, d->bits)) return fail(E_FORMAT, "quantised values: bits behind the last of %zu", n);
    for (size_t at = 0; at < n; at += TILE) {
        const size_t m = n - at < TILE ? n - at : TILE;
        get_scales(scale, in, columns, at, m);
        bits_unpack(code, codes + at / 8 * (size_t)d->bits, m, d->bits);
        if (d->bits == 1)
            signed_values_of(x + at, code, scale, m);
        else
            values_of(x + at, code, scale, m, d->bits);
    }
    return OK;
}
