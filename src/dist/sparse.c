// SPDX-License-Identifier: Apache-2.0
#include "dist/sparse.h"

#include <assert.h>

#include "dist/topk.h"

enum status sparse_check(const struct sparse *s)
{
    const struct positions *p = &s->positions;
    TRY(dense_check(&s->values));
    if (p->n > UINT32_MAX) return fail(E_ARG, "%zu values are more than one message can have", p->n);
    if (!p->keep || p->keep > p->chunk) return fail(E_ARG, "%zu values of each chunk of %zu", p->keep, p->chunk);
    const size_t count = positions_count(p), bucket = s->values.group;
    if (s->values.kind == DENSE_COCKTAIL && count > bucket && count % bucket)
        return fail(E_ARG, "%zu values do not fill buckets of %zu", count, bucket);
    return OK;
}

size_t sparse_cocktail_keep(size_t n, double fraction, size_t bucket)
{
    const size_t k = (size_t)(fraction * (double)n);
    if (k < bucket) return k ? k : 1;
    return k / bucket * bucket;
}

size_t sparse_max_bytes(const struct sparse *s)
{
    return dense_bytes(&s->values, 1, positions_count(&s->positions)) + positions_max_bytes(&s->positions);
}

/* In every chunk, and their values. */
static void select_largest(const struct sparse_entries *e, const struct positions *p, const float *x)
{
    size_t found = 0;
    for (size_t at = 0; at < p->n; at += p->chunk) {
        const size_t n = p->n - at < p->chunk ? p->n - at : p->chunk, k = n < p->keep ? n : p->keep;
        topk_select(e->index + found, x + at, n, k);
        for (const size_t end = found + k; found < end; found++) {
            e->index[found] += (uint32_t)at;
            e->value[found] = x[e->index[found]];
        }
    }
}

size_t sparse_encode(uint8_t *out, const struct sparse *s, const float *x, const struct sparse_entries *entries)
{
    const size_t count = positions_count(&s->positions), value_bytes = dense_bytes(&s->values, 1, count);
    select_largest(entries, &s->positions, x);
    dense_encode(out, &s->values, entries->value, 1, count);
    const enum status read = dense_decode(entries->value, &s->values, 1, count, out, value_bytes);
    assert(read == OK);
    (void)read;
    return value_bytes + positions_encode(out + value_bytes, &s->positions, entries->index);
}

enum status sparse_decode(const struct sparse_entries *entries, const struct sparse *s, const uint8_t *in, size_t bytes)
{
    const size_t count = positions_count(&s->positions), value_bytes = dense_bytes(&s->values, 1, count);
    if (bytes < value_bytes)
        return fail(E_FORMAT, "compressed vector: %zu bytes, of which %zu values take %zu", bytes, count, value_bytes);
    TRY(dense_decode(entries->value, &s->values, 1, count, in, value_bytes));
    return positions_decode(entries->index, &s->positions, in + value_bytes, bytes - value_bytes);
}
