// SPDX-License-Identifier: Apache-2.0
/* A float is not finite when all bits of its exponent are set, so nothing is converted and the loop runs at the speed
 * of memory. In a quantised matrix only scales can be bad, and one spoils its group. Blocks (of values, or a strip) are
 * looked at in parallel, some dozens at a time so that the progress bar moves. */
#include "model/verify.h"

#include <inttypes.h>
#include <string.h>

#include "kernels/quant.h"

enum { BLOCK_VALUES = 1 << 19, ROUND_BLOCKS = 32 };

struct job {
    const struct weight *w;
    int64_t n, block, begin; /* values or strips: of the matrix; of a block; where this round begins */
    struct verify_result found[ROUND_BLOCKS];
};

static int64_t values(const struct weight *w)
{
    return (int64_t)w->O * w->I;
}

static int64_t count_16(const char *data, int64_t n, uint16_t exponent)
{
    int64_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint16_t v;
        memcpy(&v, data + i * 2, sizeof v);
        bad += (v & exponent) == exponent;
    }
    return bad;
}

static int64_t count_32(const char *data, int64_t n)
{
    int64_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t v;
        memcpy(&v, data + i * 4, sizeof v);
        bad += (v & 0x7f800000) == 0x7f800000;
    }
    return bad;
}

static int64_t count(const struct weight *w, int64_t begin, int64_t n)
{
    const char *data = w->data;
    if (w->type == WEIGHT_F32) return count_32(data + begin * 4, n);
    return count_16(data + begin * 2, n, w->type == WEIGHT_F16 ? 0x7c00 : 0x7f80);
}

static struct verify_result look_at_values(const struct weight *w, int64_t begin, int64_t n)
{
    struct verify_result r = {count(w, begin, n), -1};
    for (int64_t i = begin; r.n_bad && r.first < 0; i++)
        if (count(w, i, 1)) r.first = i;
    return r;
}

static struct verify_result look_at_strip(const struct weight *w, int64_t strip)
{
    const char *data = (const char *)w->data + (size_t)strip * quant_strip_bytes(w->type, w->I);
    const int64_t left = w->O - strip * QUANT_STRIP;
    struct verify_result r = {0, -1};
    for (int o = 0; o < QUANT_STRIP && o < left; o++) {
        for (int i = 0; i < w->I; i += quant_group(w->type)) {
            const float scale = quant_scale(data, w->type, o, i);
            if (scale - scale == 0) continue;
            const int n = w->I - i < quant_group(w->type) ? w->I - i : quant_group(w->type);
            if (!r.n_bad) r.first = (strip * QUANT_STRIP + o) * w->I + i;
            r.n_bad += n;
        }
    }
    return r;
}

static int64_t block_units(const struct job *j, int64_t at)
{
    return j->n - at < j->block ? j->n - at : j->block;
}

static void look_at_block(void *user, int task, int thread)
{
    (void)thread;
    struct job *j = user;
    const int64_t at = j->begin + task * j->block;
    j->found[task] = weight_quantised(j->w->type) ? look_at_strip(j->w, at)
                                                  : look_at_values(j->w, at, block_units(j, at));
}

struct verify_result verify_weight(const struct weight *w, struct pool *pool, struct progress *bar)
{
    const bool strips = weight_quantised(w->type);
    struct verify_result r = {.first = -1};
    struct job j = {.w = w, .n = strips ? (int64_t)quant_strips(w->O) : values(w), .block = strips ? 1 : BLOCK_VALUES};
    const uint64_t unit = strips ? quant_strip_bytes(w->type, w->I) : weight_bytes(w->type, 1, 1);
    while (j.begin < j.n) {
        const int64_t blocks_left = (j.n - j.begin + j.block - 1) / j.block;
        const int n_blocks = blocks_left < ROUND_BLOCKS ? (int)blocks_left : ROUND_BLOCKS;
        const int64_t round_begin = j.begin;
        pool_run(pool, n_blocks, look_at_block, &j);
        for (int b = 0; b < n_blocks; b++) {
            if (r.first < 0) r.first = j.found[b].first;
            r.n_bad += j.found[b].n_bad;
            j.begin += block_units(&j, j.begin);
        }
        if (bar) progress_update(bar, bar->done + (uint64_t)(j.begin - round_begin) * unit);
    }
    return r;
}

enum status verify_conversion(const char *name, const struct weight *from, const struct weight *to, int64_t first,
                              struct pool *pool)
{
    const struct verify_result made = verify_weight(to, pool, NULL);
    if (!made.n_bad) return OK;
    const struct verify_result in = verify_weight(from, pool, NULL);
    const int64_t at = in.n_bad ? in.first : made.first;
    const int64_t row = first + at / from->I, column = at % from->I;
    if (in.n_bad)
        return fail(E_NUMERIC,
                    "%s: the value in row %" PRId64 ", column %" PRId64
                    " is NaN or infinity; gptjt inspect --verify lists all tensors that have such",
                    name, row, column);
    return fail(E_NUMERIC, "%s: values from row %" PRId64 ", column %" PRId64 " on are too large for %s", name, row,
                column, weight_type_name(to->type));
}
