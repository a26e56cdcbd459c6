// SPDX-License-Identifier: Apache-2.0
/* What the device can do, measured: the floor that speeds are told as fractions of. */
#include <stdlib.h>

#include "base/clock.h"
#include "ops/cuda/cuda.h"

/* Seconds that n rounds take, after one that does not count. */
static double timed(struct ops_cuda *c, void (*round)(struct ops_cuda *c, void *user), void *user, int n)
{
    round(c, user);
    cuda_must(cudaStreamSynchronize(cuda_now(c)), "waiting for the device");
    const int64_t start = clock_ns();
    for (int i = 0; i < n; i++)
        round(c, user);
    cuda_must(cudaStreamSynchronize(cuda_now(c)), "waiting for the device");
    return clock_seconds(start, clock_ns()) / n;
}

int64_t ops_cuda_cache_bytes(struct ops *o)
{
    return ops_cuda(o)->cache_bytes;
}

struct copying {
    void *from, *to;
    size_t bytes;
};

static void copy_round(struct ops_cuda *c, void *user)
{
    const struct copying *j = user;
    cuda_must(cudaMemcpyAsync(j->to, j->from, j->bytes, cudaMemcpyDeviceToDevice, cuda_now(c)), "copy on the device");
}

double ops_cuda_copy_rate(struct ops *o)
{
    enum { ROUNDS = 4 };
    struct copying j = {.bytes = (size_t)2 << 30};
    double rate = 0;
    if (o->fn->alloc(o, &j.from, j.bytes) == OK && o->fn->alloc(o, &j.to, j.bytes) == OK)
        rate = 2 * (double)j.bytes / timed(ops_cuda(o), copy_round, &j, ROUNDS);
    o->fn->free(o, j.from, j.bytes);
    o->fn->free(o, j.to, j.bytes);
    return rate;
}

static void product_round(struct ops_cuda *c, void *user)
{
    cuda_blas_product(c, user);
}

/* Numbers like a model's: on zeros the device draws less power and is faster. */
static void fill(struct ops_cuda *c, void *to, size_t n, enum cuda_factor factor)
{
    enum { PIECE = 1 << 20 };
    float *x = malloc(PIECE * sizeof *x);
    if (!x) cuda_must(cudaErrorMemoryAllocation, "memory for a probe");
    uint64_t state = 1;
    for (int i = 0; i < PIECE; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
    const size_t each = factor == FACTOR_F32 ? sizeof(float) : sizeof(uint16_t);
    float *staged = cuda_scratch(c, &c->partial, &c->partial_bytes, PIECE * sizeof *x);
    c->base.fn->write(&c->base, staged, x, PIECE * sizeof *x);
    free(x);
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t count = n - at < PIECE ? n - at : PIECE;
        char *piece = (char *)to + at * each;
        if (factor == FACTOR_F32)
            c->base.fn->copy(&c->base, piece, staged, count * each);
        else
            cuda_narrow(c, piece, staged, count, factor);
    }
}

double ops_cuda_peak_rate(struct ops *o, enum compute_type compute)
{
    const int n = compute == COMPUTE_FP32 ? 4096 : 8192, rounds = compute == COMPUTE_FP32 ? 4 : 10;
    const enum cuda_factor factor = compute == COMPUTE_FP32 ? FACTOR_F32 : FACTOR_BF16;
    const size_t count = (size_t)n * (size_t)n, bytes = count * sizeof(float);
    void *x[3] = {0};
    double rate = 0;
    bool have = true;
    for (int i = 0; i < 3; i++)
        have = have && o->fn->alloc(o, &x[i], bytes) == OK;
    if (have) {
        fill(ops_cuda(o), x[0], count, factor);
        fill(ops_cuda(o), x[1], count, factor);
        struct cuda_product p = {.factor = factor, .m = n, .n = n, .k = n, .a = x[0], .b = x[1], .transpose_b = true};
        p.lda = p.ldb = p.ldy = n;
        p.y = x[2];
        rate = 2.0 * n * n * n / timed(ops_cuda(o), product_round, &p, rounds);
    }
    for (int i = 0; i < 3; i++)
        o->fn->free(o, x[i], bytes);
    return rate;
}
