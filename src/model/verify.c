// SPDX-License-Identifier: Apache-2.0
/* A value is not finite when all bits of its exponent are set, so nothing is converted and the loop runs at the speed
 * of memory. Blocks are counted in parallel, some dozens at a time so that the progress bar moves. */
#include "model/verify.h"

#include <assert.h>
#include <string.h>

enum { BLOCK_VALUES = 1 << 19, ROUND_BLOCKS = 32 };

struct job {
    const struct tensor *t;
    int64_t n, begin; /* of the tensor; of this round */
    int64_t bad[ROUND_BLOCKS];
};

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

static int64_t count(const struct tensor *t, int64_t begin, int64_t n)
{
    const char *data = (const char *)t->data + begin * (int64_t)dtype_bytes(t->dtype);
    switch (t->dtype) {
    case DTYPE_F32: return count_32(data, n);
    case DTYPE_F16: return count_16(data, n, 0x7c00);
    case DTYPE_BF16: return count_16(data, n, 0x7f80);
    default: break;
    }
    assert(0 && "a dtype gptj_check() refuses");
    return 0;
}

static int64_t block_values(const struct job *j, int64_t at)
{
    return j->n - at < BLOCK_VALUES ? j->n - at : BLOCK_VALUES;
}

static void count_block(void *user, int task, int thread)
{
    (void)thread;
    struct job *j = user;
    const int64_t at = j->begin + (int64_t)task * BLOCK_VALUES;
    j->bad[task] = count(j->t, at, block_values(j, at));
}

static int64_t first_within(const struct tensor *t, int64_t at)
{
    while (!count(t, at, 1))
        at++;
    return at;
}

struct verify_result verify_tensor(const struct tensor *t, struct pool *pool, struct progress *bar)
{
    struct verify_result r = {.first = -1};
    struct job j = {.t = t, .n = tensor_elements(t)};
    while (j.begin < j.n) {
        const int64_t blocks_left = (j.n - j.begin + BLOCK_VALUES - 1) / BLOCK_VALUES;
        const int n_blocks = blocks_left < ROUND_BLOCKS ? (int)blocks_left : ROUND_BLOCKS;
        const int64_t round_begin = j.begin;
        pool_run(pool, n_blocks, count_block, &j);
        for (int b = 0; b < n_blocks; b++) {
            if (j.bad[b] && r.first < 0) r.first = first_within(t, round_begin + (int64_t)b * BLOCK_VALUES);
            r.n_bad += j.bad[b];
            j.begin += block_values(&j, j.begin);
        }
        progress_update(bar, bar->done + (uint64_t)(j.begin - round_begin) * dtype_bytes(t->dtype));
    }
    return r;
}
