// SPDX-License-Identifier: Apache-2.0
/* The CPU backend's memory: anonymous mappings for what is large (K/V, activations), and parameters, which stay in the
 * file mapping they came in unless another dtype is asked for. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ops/cpu.h"

enum status ops_cpu_alloc(struct ops *o, void **out, size_t bytes)
{
    (void)o;
    void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return fail(E_NOMEM, "out of memory: %zu bytes for buffers: %s", bytes, strerror(errno));
    *out = p;
    return OK;
}

void ops_cpu_free(struct ops *o, void *p, size_t bytes)
{
    (void)o;
    if (p) munmap(p, bytes ? bytes : 1);
}

struct convert_job {
    const struct kernels *k;
    char *to;
    const char *from;
    enum dtype to_dtype, from_dtype;
    size_t n;
};

enum { CONVERT_BLOCK = 4096 };

static void convert_task(void *user, int task, int thread)
{
    (void)thread;
    const struct convert_job *j = user;
    const size_t begin = (size_t)task * CONVERT_BLOCK, n = j->n - begin < CONVERT_BLOCK ? j->n - begin : CONVERT_BLOCK;
    const char *from = j->from + begin * dtype_bytes(j->from_dtype);
    void *to = j->to + begin * dtype_bytes(j->to_dtype);
    float wide[CONVERT_BLOCK];
    if (j->from_dtype == DTYPE_F16)
        j->k->widen_f16(wide, from, n);
    else if (j->from_dtype == DTYPE_BF16)
        j->k->widen_bf16(wide, from, n);
    else
        memcpy(wide, from, n * sizeof *wide);
    if (j->to_dtype == DTYPE_F32)
        memcpy(to, wide, n * sizeof *wide);
    else if (j->to_dtype == DTYPE_F16)
        j->k->narrow_f16(to, wide, n);
    else
        j->k->narrow_bf16(to, wide, n);
}

size_t ops_cpu_weight_bytes(const struct tensor *host, enum dtype as)
{
    /* Vectors are read as fp32 arrays, so a file that leaves one unaligned has it copied; matrices are read byte-wise.
     */
    const bool readable = host->n_dims == 2 || (uintptr_t)host->data % sizeof(float) == 0;
    return host->dtype == as && readable ? 0 : (size_t)tensor_elements(host) * dtype_bytes(as);
}

enum status ops_cpu_weight_bind(struct ops *o, struct weight *out, const struct tensor *host, enum dtype as)
{
    assert(host->n_dims == 1 || host->n_dims == 2);
    struct weight w = {.data = host->data, .dtype = as, .O = (int)host->shape[0]};
    w.I = host->n_dims == 2 ? (int)host->shape[1] : 1;
    w.owned_bytes = ops_cpu_weight_bytes(host, as);
    if (w.owned_bytes) {
        const size_t n = (size_t)tensor_elements(host);
        void *copy = NULL;
        TRY(ops_cpu_alloc(o, &copy, w.owned_bytes));
        struct convert_job j = {&ops_cpu(o)->kernels, copy, host->data, as, host->dtype, n};
        pool_run(ops_cpu(o)->pool, (int)((n + CONVERT_BLOCK - 1) / CONVERT_BLOCK), convert_task, &j);
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
