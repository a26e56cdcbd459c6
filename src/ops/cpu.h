// SPDX-License-Identifier: Apache-2.0
/* What the files of the CPU backend share. */
#ifndef GPTJT_OPS_CPU_H
#define GPTJT_OPS_CPU_H

#include "ops/ops.h"

struct ops_cpu {
    struct ops base; /* first: the backend is passed around as struct ops * */
    struct kernels kernels;
    struct pool *pool;
    float *scratch;        /* [threads][scratch_floats] */
    size_t scratch_floats; /* of one thread */
};

static inline struct ops_cpu *ops_cpu(struct ops *o)
{
    return (struct ops_cpu *)o;
}

static inline float *ops_cpu_scratch(struct ops_cpu *c, int thread)
{
    return c->scratch + (size_t)thread * c->scratch_floats;
}

/* A linear map's tile of outputs, computed by one task in its thread's scratch. */
enum { CPU_TILE_ROWS = 48, CPU_TILE_OUTPUTS = 64 };

/* The operations, by file. */
enum status ops_cpu_alloc(struct ops *o, void **out, size_t bytes);
void ops_cpu_free(struct ops *o, void *p, size_t bytes);
enum status ops_cpu_weight_bind(struct ops *o, struct weight *out, const struct tensor *host, enum dtype as);
void ops_cpu_weight_free(struct ops *o, struct weight *w);
void ops_cpu_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                    enum epilogue e);
void ops_cpu_attention(struct ops *o, float *y, const float *q, const struct kv_pages *kv, const struct batch *batch,
                       int first, int T, int H, int K);
void ops_cpu_kv_store(struct ops *o, const struct kv_pages *kv, const float *k, const float *v,
                      const struct batch *batch, int first, int T, int H, int K);
size_t ops_cpu_attention_scratch(int K); /* floats a thread needs for it */

#endif
