// SPDX-License-Identifier: Apache-2.0
#include "dist/dense.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "dist/bits.h"
#include "dist/dense_cocktail.h"
#include "dist/little_endian.h"

enum { TILE = 1024, LANES = 8 }; /* values at a time, and terms added side by side */

#define MAGIC      0x1.8p23f /* added, it leaves no bits for a fraction: the addition rounds, to even on a tie */
#define INFINITE   0x7f800000u
#define SCALE_NONE 0x7fc00000u /* the scale of a group that holds NaN or infinity */

enum status dense_check(const struct dense *d)
{
    if (d->kind < DENSE_ZERO) return OK;
    const int fewest = d->kind == DENSE_ZERO ? 2 : 1;
    if (d->bits < fewest || d->bits > 8) return fail(E_ARG, "%d bits a value; there can be %d to 8", d->bits, fewest);
    if (d->kind != DENSE_COCKTAIL && d->group % 8)
        return fail(E_ARG, "%zu values share a scale; it must be a multiple of 8", d->group);
    if (d->kind == DENSE_COCKTAIL && (!d->group || d->scale != DENSE_SCALE_F16 || d->fitted))
        return fail(E_ARG, "CocktailSGD's quantiser has buckets, and fp16 scales that are not fitted");
    return OK;
}

/* ---- Sizes ---- */

static size_t scale_bytes(const struct dense *d)
{
    return d->scale == DENSE_SCALE_F32 ? 4 : 2;
}

static size_t group_of(const struct dense *d, size_t cols)
{
    return d->group && d->group < cols ? d->group : cols;
}

static size_t groups_of(const struct dense *d, size_t cols)
{
    const size_t group = group_of(d, cols);
    return group ? cols / group + (cols % group != 0) : 0;
}

static size_t row_bytes(const struct dense *d, size_t cols)
{
    return groups_of(d, cols) * scale_bytes(d) + bits_bytes(cols, d->bits);
}

size_t dense_bytes(const struct dense *d, size_t rows, size_t cols)
{
    switch (d->kind) {
    case DENSE_F32: return 4 * rows * cols;
    case DENSE_F16:
    case DENSE_BF16: return 2 * rows * cols;
    case DENSE_COCKTAIL: return dense_cocktail_bytes(d, rows * cols);
    default: return rows * row_bytes(d, cols);
    }
}

/* ---- Levels ---- */

static int top_of(const struct dense *d)
{
    switch (d->kind) {
    case DENSE_ZERO: return (1 << (d->bits - 1)) - 1;
    case DENSE_ODD: return (1 << d->bits) - 1;
    default: return 1 << (d->bits - 1);
    }
}

static void zero_codes(uint8_t *code, const float *x, size_t n, float scale, int top)
{
    const float most = (float)top;
    const uint32_t none = half_bits_of(MAGIC) - (uint32_t)top;
    for (size_t i = 0; i < n; i++) {
        float t = x[i] / scale * most;
        t = t < -most ? -most : t;
        t = t > most ? most : t;
        code[i] = (uint8_t)(half_bits_of(t + MAGIC) - none);
    }
}

/* The nearest odd number to t is 2 c - top, c = round((t + top) / 2). */
static void odd_codes(uint8_t *code, const float *x, size_t n, float scale, int top)
{
    const float most = (float)top, half = 0.5f * (float)top;
    for (size_t i = 0; i < n; i++) {
        float t = x[i] / scale * half + half;
        t = t < 0 ? 0 : t;
        t = t > most ? most : t;
        code[i] = (uint8_t)(half_bits_of(t + MAGIC) - half_bits_of(MAGIC));
    }
}

static void signed_codes(uint8_t *code, const float *x, size_t n, float scale, int top)
{
    const float most = (float)top;
    for (size_t i = 0; i < n; i++) {
        float t = fabsf(x[i]) / scale * most;
        t = t < 1 ? 1 : t;
        t = t > most ? most : t;
        const int level = (int)(half_bits_of(t + MAGIC) - half_bits_of(MAGIC));
        code[i] = (uint8_t)(x[i] < 0 ? top - level : top - 1 + level);
    }
}

/* scale is positive and finite. */
static void codes_of(uint8_t *code, const struct dense *d, const float *x, size_t n, float scale)
{
    const int top = top_of(d);
    if (d->kind == DENSE_ZERO)
        zero_codes(code, x, n, scale, top);
    else if (d->kind == DENSE_ODD)
        odd_codes(code, x, n, scale, top);
    else
        signed_codes(code, x, n, scale, top);
}

static void levels_of(float *level, const struct dense *d, const uint8_t *code, size_t n)
{
    const int top = top_of(d);
    if (d->kind == DENSE_ZERO) {
        for (size_t i = 0; i < n; i++)
            level[i] = (float)((int)code[i] - top);
    } else if (d->kind == DENSE_ODD) {
        for (size_t i = 0; i < n; i++)
            level[i] = (float)(2 * (int)code[i] - top);
    } else {
        for (size_t i = 0; i < n; i++)
            level[i] = (float)((int)code[i] - top + (code[i] >= top));
    }
}

/* ---- Scales ---- */

/* Bits of |x| order as numbers do, with NaN above infinity. */
static uint32_t largest_bits(const float *x, size_t n)
{
    int32_t max = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t size = (int32_t)(half_bits_of(x[i]) & 0x7fffffff);
        max = size > max ? size : max;
    }
    return (uint32_t)max;
}

struct fit {
    double a, b; /* sums of x l / max and of l l */
};

static void fit_add(struct fit *f, const float *x, const float *level, size_t n, float max)
{
    float a[LANES] = {0}, b[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            a[j] += x[i + j] / max * level[i + j];
            b[j] += level[i + j] * level[i + j];
        }
    }
    for (size_t j = 0; i < n; i++, j++) {
        a[j] += x[i] / max * level[i];
        b[j] += level[i] * level[i];
    }
    for (size_t j = 0; j < LANES; j++) {
        f->a += (double)a[j];
        f->b += (double)b[j];
    }
}

static struct fit fit_to(const struct dense *d, const float *x, size_t n, float scale, float max)
{
    struct fit f = {0};
    uint8_t code[TILE];
    float level[TILE];
    for (size_t at = 0; at < n; at += TILE) {
        const size_t m = n - at < TILE ? n - at : TILE;
        codes_of(code, d, x + at, m, scale);
        levels_of(level, d, code, m);
        fit_add(&f, x + at, level, m, max);
    }
    return f;
}

/* With levels l given, the squares of the errors are least for the scale a / b, and then sum x x - a a / b. */
static float fitted_scale(const struct dense *d, const float *x, size_t n, float max)
{
    static const float tried[] = {1, 0.85f, 0.7f, 0.55f};
    const size_t n_tried = d->bits == 1 ? 1 : COUNT_OF(tried); /* one bit is the sign, whatever the scale */
    double best = 0, factor = 1;
    for (size_t i = 0; i < n_tried; i++) {
        const float scale = max * tried[i];
        if (scale == 0) break;
        const struct fit f = fit_to(d, x, n, scale, max);
        if (!(f.b > 0) || !(f.a * f.a / f.b > best)) continue;
        best = f.a * f.a / f.b;
        factor = f.a / f.b * top_of(d);
    }
    const double scale = (double)max * factor;
    return scale < (double)FLT_MAX ? (float)scale : FLT_MAX;
}

/* As it will be read; not rounded to a size that is none. */
static float rounded_scale(const struct dense *d, float scale)
{
    if (d->scale == DENSE_SCALE_BF16) return bf16_to_f32(bf16_from_f32(scale));
    return d->scale == DENSE_SCALE_F16 ? f16_to_f32(f16_from_f32(scale)) : scale;
}

static float scale_for(const struct dense *d, const float *x, size_t n)
{
    const uint32_t max = largest_bits(x, n);
    if (max >= INFINITE) return half_float_of(SCALE_NONE);
    if (!max) return 0;
    const float largest = half_float_of(max);
    const float scale = rounded_scale(d, d->fitted ? fitted_scale(d, x, n, largest) : largest);
    return half_bits_of(scale) < INFINITE ? scale : half_float_of(SCALE_NONE);
}

static void put_scale(uint8_t *out, const struct dense *d, float scale)
{
    switch (d->scale) {
    case DENSE_SCALE_F32: little_endian_put_f32(out, scale); break;
    case DENSE_SCALE_BF16: little_endian_put16(out, bf16_from_f32(scale)); break;
    default: little_endian_put16(out, f16_from_f32(scale)); break;
    }
}

static float get_scale(const uint8_t *in, const struct dense *d)
{
    switch (d->scale) {
    case DENSE_SCALE_F32: return little_endian_get_f32(in);
    case DENSE_SCALE_BF16: return bf16_to_f32(little_endian_get16(in));
    default: return f16_to_f32(little_endian_get16(in));
    }
}

/* ---- Rows in bits ---- */

/* Groups begin at multiples of 8, where codes begin with a byte. */
static void encode_group(uint8_t *codes, const struct dense *d, const float *x, size_t n, float scale)
{
    const bool all_alike = scale == 0 || half_bits_of(scale) == SCALE_NONE;
    uint8_t code[TILE];
    for (size_t at = 0; at < n; at += TILE) {
        const size_t m = n - at < TILE ? n - at : TILE;
        if (all_alike)
            memset(code, d->kind == DENSE_ZERO ? top_of(d) : 1 << (d->bits - 1), m); /* the lowest level from +0 on */
        else
            codes_of(code, d, x + at, m, scale);
        bits_pack(codes + at / 8 * (size_t)d->bits, code, m, d->bits);
    }
}

static void encode_row(uint8_t *out, const struct dense *d, const float *x, size_t cols)
{
    const size_t group = group_of(d, cols);
    uint8_t *scales = out, *codes = out + groups_of(d, cols) * scale_bytes(d);
    for (size_t at = 0; at < cols; at += group) {
        const size_t n = cols - at < group ? cols - at : group;
        const float scale = scale_for(d, x + at, n);
        put_scale(scales, d, scale);
        encode_group(codes + at / 8 * (size_t)d->bits, d, x + at, n, scale);
        scales += scale_bytes(d);
    }
}

static bool codes_have_levels(const struct dense *d, const uint8_t *code, size_t n)
{
    if (d->kind != DENSE_ZERO) return true;
    uint8_t max = 0;
    for (size_t i = 0; i < n; i++)
        max = code[i] > max ? code[i] : max;
    return max <= 2 * top_of(d);
}

static enum status decode_group(float *x, const struct dense *d, size_t n, const uint8_t *codes, float scale)
{
    const uint32_t bits = half_bits_of(scale);
    if (bits >= INFINITE && bits != SCALE_NONE) return fail(E_FORMAT, "quantised values: a scale of %g", (double)scale);
    const float inverse = 1.0f / (float)top_of(d);
    uint8_t code[TILE];
    for (size_t at = 0; at < n; at += TILE) {
        const size_t m = n - at < TILE ? n - at : TILE;
        bits_unpack(code, codes + at / 8 * (size_t)d->bits, m, d->bits);
        if (!codes_have_levels(d, code, m)) return fail(E_FORMAT, "quantised values: a code of no level");
        levels_of(x + at, d, code, m);
        for (size_t i = at; i < at + m; i++)
            x[i] = x[i] * inverse * scale;
    }
    return OK;
}

static enum status decode_row(float *x, const struct dense *d, size_t cols, const uint8_t *in)
{
    const size_t group = group_of(d, cols);
    const uint8_t *scales = in, *codes = in + groups_of(d, cols) * scale_bytes(d);
    if (!bits_padded(codes, cols, d->bits))
        return fail(E_FORMAT, "quantised values: bits behind the last of %zu", cols);
    for (size_t at = 0; at < cols; at += group) {
        const size_t n = cols - at < group ? cols - at : group;
        TRY(decode_group(x + at, d, n, codes + at / 8 * (size_t)d->bits, get_scale(scales, d)));
        scales += scale_bytes(d);
    }
    return OK;
}

/* ---- All kinds ---- */

void dense_encode(uint8_t *out, const struct dense *d, const float *x, size_t rows, size_t cols)
{
    const size_t n = rows * cols;
    switch (d->kind) {
    case DENSE_F32:
        for (size_t i = 0; i < n; i++)
            little_endian_put_f32(out + 4 * i, x[i]);
        break;
    case DENSE_F16:
        for (size_t i = 0; i < n; i++)
            little_endian_put16(out + 2 * i, f16_from_f32(x[i]));
        break;
    case DENSE_BF16:
        for (size_t i = 0; i < n; i++)
            little_endian_put16(out + 2 * i, bf16_from_f32(x[i]));
        break;
    case DENSE_COCKTAIL: dense_cocktail_encode(out, d, x, n); break;
    default:
        for (size_t r = 0; r < rows; r++)
            encode_row(out + r * row_bytes(d, cols), d, x + r * cols, cols);
        break;
    }
}

enum status dense_decode(float *x, const struct dense *d, size_t rows, size_t cols, const uint8_t *in, size_t bytes)
{
    const size_t n = rows * cols;
    if (bytes != dense_bytes(d, rows, cols))
        return fail(E_FORMAT, "compressed values: %zu bytes where %zu x %zu values have %zu", bytes, rows, cols,
                    dense_bytes(d, rows, cols));
    switch (d->kind) {
    case DENSE_F32:
        for (size_t i = 0; i < n; i++)
            x[i] = little_endian_get_f32(in + 4 * i);
        return OK;
    case DENSE_F16:
        for (size_t i = 0; i < n; i++)
            x[i] = f16_to_f32(little_endian_get16(in + 2 * i));
        return OK;
    case DENSE_BF16:
        for (size_t i = 0; i < n; i++)
            x[i] = bf16_to_f32(little_endian_get16(in + 2 * i));
        return OK;
    case DENSE_COCKTAIL: return dense_cocktail_decode(x, d, n, in);
    default:
        for (size_t r = 0; r < rows; r++)
            TRY(decode_row(x + r * cols, d, cols, in + r * row_bytes(d, cols)));
        return OK;
    }
}
