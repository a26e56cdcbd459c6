// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a compressed vector: they are refused, or are positions that ascend, in the one way to write them. And
 * any floats as a vector: what is made of them is accepted.
 *
 * Input: way, kind, bits, group / 8, scale, code of positions, values, chunk, keep; the message, or floats. */
#include <stdlib.h>
#include <string.h>

#include "dist/sparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 9, MOST = 255 };

static void check_entries(const struct sparse *s, const struct sparse_entries *e, const uint8_t *message, size_t bytes)
{
    const size_t count = positions_count(&s->positions), value_bytes = dense_bytes(&s->values, 1, count);
    uint8_t again[2 * MOST]; /* Golomb's code takes two bits a position at most, and one a value */
    for (size_t i = 0; i < count; i++) {
        if (e->index[i] >= s->positions.n) abort();
        if (i && e->index[i - 1] >= e->index[i]) abort();
    }
    const size_t n = positions_encode(again, &s->positions, e->index);
    if (n != bytes - value_bytes || memcmp(again, message + value_bytes, n) != 0) abort();
}

static void encode(const struct sparse *s, const uint8_t *data, size_t size)
{
    float x[MOST] = {0}, value[MOST];
    uint32_t index[MOST];
    const struct sparse_entries e = {index, value};
    memcpy(x, data, size < s->positions.n * sizeof *x ? size : s->positions.n * sizeof *x);
    uint8_t *message = malloc(sparse_max_bytes(s) + 1);
    if (!message) abort();
    const size_t bytes = sparse_encode(message, s, x, &e);
    if (bytes > sparse_max_bytes(s) || sparse_decode(&e, s, message, bytes) != OK) abort();
    check_entries(s, &e, message, bytes);
    free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) return 0;
    const struct sparse s = {
        .positions = {.code = (enum positions_code)(data[5] % 3), .n = data[6], .chunk = data[7], .keep = data[8]},
        .values = {.kind = (enum dense_kind)(data[1] % 7),
                   .bits = data[2],
                   .group = (size_t)data[3] * 8,
                   .scale = (enum dense_scale)(data[4] % 3),
                   .fitted = data[0] & 2}};
    float value[MOST];
    uint32_t index[MOST];
    const struct sparse_entries e = {index, value};
    if (sparse_check(&s) != OK) return 0;
    if (data[0] & 1)
        encode(&s, data + HEAD, size - HEAD);
    else if (sparse_decode(&e, &s, data + HEAD, size - HEAD) == OK)
        check_entries(&s, &e, data + HEAD, size - HEAD);
    return 0;
}
