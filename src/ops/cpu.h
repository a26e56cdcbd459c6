// SPDX-License-Identifier: Apache-2.0
/* What the files of the CPU backend share. */
#ifndef GPTJT_OPS_CPU_H
#define GPTJT_OPS_CPU_H

#include "ops/ops.h"

struct ops_cpu {
    struct ops base; /* first: the backend is passed around as struct ops * */
    struct kernels kernels;
    enum compute_type compute;
    struct pool *pool;
    char *scratch;        /* [threads][scratch_bytes] */
    size_t scratch_bytes; /* of one thread */
    void *x;              /* the rows of a linear map in the form its kernels take them */
    size_t x_bytes;
};

static inline struct ops_cpu *ops_cpu(struct ops *o)
{
    return (struct ops_cpu *)o;
}

static inline void *ops_cpu_scratch(struct ops_cpu *c, int thread)
{
    return c->scratch + (size_t)thread * c->scratch_bytes;
}

/* What ops_cpu_linear() needs: for the rows of x, and of each thread's scratch. */
size_t ops_cpu_linear_x_bytes(const struct kernels *k, int max_inputs);
size_t ops_cpu_linear_scratch_bytes(const struct kernels *k);

/* The operations, by file. */
enum status ops_cpu_alloc(struct ops *o, void **out, size_t bytes);
void ops_cpu_free(struct ops *o, void *p, size_t bytes);
enum status ops_cpu_weight_bind(struct ops *o, struct weight *out, const struct weight *host, enum weight_type as);
void ops_cpu_weight_free(struct ops *o, struct weight *w);
void ops_cpu_weight_row(const struct kernels *k, float *y, const struct weight *w, int row); /* y[I], widened */
void ops_cpu_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                    enum epilogue e);
void ops_cpu_attention(struct ops *o, float *y, const float *q, const struct kv_pages *kv, const struct batch *batch,
                       int first, int T, int H, int K);
void ops_cpu_kv_store(struct ops *o, const struct kv_pages *kv, const float *k, const float *v,
                      const struct batch *batch, int first, int T, int H, int K);
size_t ops_cpu_attention_scratch(int K); /* floats a thread needs for it */

#endif
