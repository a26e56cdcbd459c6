// SPDX-License-Identifier: Apache-2.0
#include "dist/delta_cache.h"

#include <stdlib.h>

size_t delta_cache_bytes(size_t n, size_t rows, size_t cols)
{
    return n * rows * cols * sizeof(f16) + n * sizeof(bool) + rows * cols * sizeof(float);
}

enum status delta_cache_open(struct delta_cache *c, size_t n, size_t rows, size_t cols, const struct dense *delta)
{
    *c = (struct delta_cache){.n = n, .rows = rows, .cols = cols, .whole = {.kind = DENSE_F16}, .delta = *delta};
    c->last = calloc(n * rows * cols, sizeof *c->last);
    c->known = calloc(n, sizeof *c->known);
    c->moved = calloc(rows * cols, sizeof *c->moved);
    if (c->last && c->known && c->moved) return OK;
    return fail(E_NOMEM, "pipeline: out of memory for %zu bytes of activations that are remembered",
                delta_cache_bytes(n, rows, cols));
}

void delta_cache_close(struct delta_cache *c)
{
    free(c->last);
    free(c->known);
    free(c->moved);
    *c = (struct delta_cache){0};
}

static const struct dense *codec_of(const struct delta_cache *c, size_t i)
{
    return c->known[i] ? &c->delta : &c->whole;
}

size_t delta_cache_message_bytes(const struct delta_cache *c, size_t i)
{
    return dense_bytes(codec_of(c, i), c->rows, c->cols);
}

static f16 *last_of(const struct delta_cache *c, size_t i)
{
    return c->last + i * c->rows * c->cols;
}

/* What both sides do with a message of micro-batch i: a[i], and whether it is good for the next time. */
static enum status take_in(struct delta_cache *c, size_t i, const uint8_t *in)
{
    const bool adds = c->known[i];
    f16 *a = last_of(c, i);
    bool finite = true;
    TRY(dense_decode(c->moved, codec_of(c, i), c->rows, c->cols, in, delta_cache_message_bytes(c, i)));
    for (size_t k = 0; k < c->rows * c->cols; k++) {
        a[k] = f16_from_f32(adds ? f16_to_f32(a[k]) + c->moved[k] : c->moved[k]);
        finite = finite && (a[k] & 0x7c00) != 0x7c00;
    }
    c->known[i] = finite;
    return OK;
}

enum status delta_cache_encode(struct delta_cache *c, size_t i, uint8_t *out, const float *x)
{
    const f16 *a = last_of(c, i);
    for (size_t k = 0; c->known[i] && k < c->rows * c->cols; k++)
        c->moved[k] = x[k] - f16_to_f32(a[k]);
    dense_encode(out, codec_of(c, i), c->known[i] ? c->moved : x, c->rows, c->cols);
    return take_in(c, i, out);
}

enum status delta_cache_decode(struct delta_cache *c, size_t i, float *x, const uint8_t *in)
{
    const f16 *a = last_of(c, i);
    TRY(take_in(c, i, in));
    for (size_t k = 0; k < c->rows * c->cols; k++)
        x[k] = f16_to_f32(a[k]);
    return OK;
}
