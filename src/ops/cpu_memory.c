// SPDX-License-Identifier: Apache-2.0
/* The CPU backend's memory: anonymous mappings for what is large (K/V, activations), and parameters, which stay in the
 * file mapping they came in unless another dtype is asked for. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/quant.h"
#include "ops/cpu.h"

static const size_t large_page = (size_t)2 << 20;

enum status ops_cpu_alloc(struct ops *o, void **out, size_t bytes)
{
    (void)o;
    void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return fail(E_NOMEM, "out of memory: %zu bytes for buffers: %s", bytes, strerror(errno));
    /* Products go through all of it, rows or panels far apart: of 4 KiB pages each is a miss of the TLB, and each costs
     * its first user a fault. Where there are no large ones, so be it. */
    if (bytes >= large_page) madvise(p, bytes, MADV_HUGEPAGE);
    *out = p;
    return OK;
}

void ops_cpu_free(struct ops *o, void *p, size_t bytes)
{
    (void)o;
    if (p) munmap(p, bytes ? bytes : 1);
}

/* ---- Weights ---- */

const char *weight_type_name(enum weight_type t)
{
    static const char *const names[WEIGHT_TYPES] = {"fp32", "fp16", "bf16", "q8", "q4"};
    return names[t];
}

size_t weight_bytes(enum weight_type t, int O, int I)
{
    switch (t) {
    case WEIGHT_F32: return (size_t)O * (size_t)I * sizeof(float);
    case WEIGHT_F16:
    case WEIGHT_BF16: return (size_t)O * (size_t)I * sizeof(uint16_t);
    case WEIGHT_Q8:
    case WEIGHT_Q4: return quant_strips(O) * quant_strip_bytes(t, I);
    case WEIGHT_TYPES: break;
    }
    assert(0 && "not a weight type");
    return 0;
}

static void widen(const struct kernels *k, float *y, const char *from, enum weight_type t, size_t n)
{
    if (t == WEIGHT_F16)
        k->widen_f16(y, from, n);
    else if (t == WEIGHT_BF16)
        k->widen_bf16(y, from, n);
    else
        memcpy(y, from, n * sizeof *y);
}

void ops_cpu_weight_row(const struct kernels *k, float *y, const struct weight *w, int row)
{
    if (weight_quantised(w->type))
        quant_row(y, (const char *)w->data + weight_bytes(w->type, row / QUANT_STRIP * QUANT_STRIP, w->I), w->type,
                  row % QUANT_STRIP, 0, w->I);
    else
        widen(k, y, (const char *)w->data + weight_bytes(w->type, row, w->I), w->type, (size_t)w->I);
}

/* A task converts a strip of rows; vectors, which have rows of one, go block by block. */
struct convert_job {
    const struct kernels *k;
    const struct weight *from;
    char *to;
    enum weight_type type;
    int rows;    /* of a task                       */
    float *wide; /* [threads][rows][I], of a thread */
};

static void narrow(const struct kernels *k, char *to, enum weight_type t, const float *x, size_t n)
{
    if (t == WEIGHT_F16)
        k->narrow_f16((uint16_t *)(void *)to, x, n);
    else if (t == WEIGHT_BF16)
        k->narrow_bf16((uint16_t *)(void *)to, x, n);
    else
        memcpy(to, x, n * sizeof *x);
}

static void convert_task(void *user, int task, int thread)
{
    const struct convert_job *j = user;
    const int I = j->from->I, first = task * j->rows, left = j->from->O - first, n = left < j->rows ? left : j->rows;
    float *wide = j->wide + (size_t)thread * (size_t)j->rows * (size_t)I;
    char *to = j->to + weight_bytes(j->type, first, I);
    if (I == 1)
        widen(j->k, wide, (const char *)j->from->data + weight_bytes(j->from->type, first, 1), j->from->type,
              (size_t)n);
    else
        for (int r = 0; r < n; r++)
            ops_cpu_weight_row(j->k, wide + (size_t)r * (size_t)I, j->from, first + r);
    if (weight_quantised(j->type))
        j->k->quant_strip(to, j->type, wide, (size_t)I, n, I);
    else
        narrow(j->k, to, j->type, wide, (size_t)n * (size_t)I);
}

enum status ops_cpu_weight_convert(const struct kernels *k, struct pool *pool, void *to, const struct weight *host,
                                   enum weight_type as)
{
    enum { VECTOR_ROWS = 4096 };
    const int rows = host->I == 1 ? VECTOR_ROWS : QUANT_STRIP;
    const size_t wide_bytes = (size_t)pool_threads(pool) * (size_t)rows * (size_t)host->I * sizeof(float);
    void *wide = NULL;
    TRY(ops_cpu_alloc(NULL, &wide, wide_bytes));
    struct convert_job j = {k, host, to, as, rows, wide};
    pool_run(pool, (host->O + rows - 1) / rows, convert_task, &j);
    ops_cpu_free(NULL, wide, wide_bytes);
    return OK;
}

size_t ops_cpu_weight_bytes(const struct weight *host, enum weight_type as)
{
    /* Vectors are read as fp32 arrays, so a file that leaves one unaligned has it copied; matrices are read byte-wise.
     */
    const bool readable = host->I > 1 || (uintptr_t)host->data % sizeof(float) == 0;
    return host->type == as && readable ? 0 : weight_bytes(as, host->O, host->I);
}

enum status ops_cpu_weight_bind(struct ops *o, struct weight *out, const struct weight *host, enum weight_type as)
{
    struct weight w = {.data = host->data, .type = as, .O = host->O, .I = host->I};
    w.owned_bytes = ops_cpu_weight_bytes(host, as);
    if (w.owned_bytes) {
        void *copy = NULL;
        TRY(ops_cpu_alloc(o, &copy, w.owned_bytes));
        struct ops_cpu *c = ops_cpu(o);
        const enum status s = ops_cpu_weight_convert(&c->kernels, c->pool, copy, host, as);
        if (s != OK) {
            ops_cpu_free(o, copy, w.owned_bytes);
            return s;
        }
        w.data = copy;
    }
    *out = w;
    return OK;
}

void ops_cpu_weight_free(struct ops *o, struct weight *w)
{
    if (w->owned_bytes) ops_cpu_free(o, (void *)(uintptr_t)w->data, w->owned_bytes);
    *w = (struct weight){0};
}
