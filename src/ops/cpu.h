// SPDX-License-Identifier: Apache-2.0
/* What the files of the CPU backend share. */
#ifndef GPTJT_OPS_CPU_H
#define GPTJT_OPS_CPU_H

#include "ops/ops.h"
#include "ops/train.h"

struct ops_cpu {
    struct ops base; /* first: the backend is passed around as struct ops * */
    struct kernels kernels;
    enum compute_type compute;
    struct pool *pool;
    void *scratch;        /* [threads][scratch_bytes] */
    size_t scratch_bytes; /* of one thread */
    void *x;              /* the rows of a linear map in the form its kernels take them */
    size_t x_bytes;
    float *turned; /* [PRODUCT_ROWS][BACK_INPUTS] rows that come as columns; NULL where nobody trains */
    void *panels;  /* what many rows are multiplied by, packed; NULL as before */
    size_t panels_bytes;
};

static inline struct ops_cpu *ops_cpu(struct ops *o)
{
    return (struct ops_cpu *)o;
}

static inline void *ops_cpu_scratch(struct ops_cpu *c, int thread)
{
    return (char *)c->scratch + (size_t)thread * c->scratch_bytes;
}

/* ---- Products ----
 *
 * y[T][O] = x[T][I] w[O][I]^T for factors that may lie the other way round: element (row, i) of an operand is
 * data[row * stride + i] or, across, data[i * stride + row]. x is fp32; a quantised w is never across. */
struct operand {
    const void *data;
    enum weight_type type;
    size_t stride; /* elements */
    bool across;
};

/* What becomes of y. */
struct product_output {
    float *at;
    size_t stride;
    const float *bias; /* [O], or NULL */
    enum epilogue epilogue;
};

/* One of several products of the same rows. */
struct product_map {
    struct product_output y;
    struct operand w;
    int O;
};

enum { PRODUCT_ROWS = 1024, PACK_ROWS = 96, BACK_INPUTS = 4096 };

/* n <= LINEAR_GROUP products by panels, as many rows at a time as stay in the last-level cache, PRODUCT_ROWS at most:
 * these are packed once, then each task packs one panel of outputs, a block of inputs at a time, and multiplies all of
 * them by it while it is in the cache; where w is across and there are more rows, all panels are packed first. The
 * caller holds the pool. All w are of k's type and lie the same way; where an operand is across, I <= BACK_INPUTS. */
void ops_cpu_product(struct ops_cpu *c, const struct linear_kernels *k, const struct product_map *maps, int n,
                     const struct operand *x, int T, int I);

/* T rows z[T][z_stride], all of which the epilogue may overwrite, become outputs from o on: n pieces that lie side by
 * side in z and `apart` outputs from each other in y. */
struct output_pieces {
    int n, length, apart;
};
void ops_cpu_output(const struct ops_cpu *c, const struct product_output *y, float *z, size_t z_stride, int T, int o,
                    struct output_pieces p);

const struct linear_kernels *ops_cpu_kernels_for(const struct ops_cpu *c, enum weight_type w);
size_t ops_cpu_packed_x_bytes(const struct linear_kernels *k, int T, int I);

/* Of a thread's scratch, and of the panels of up to BACK_INPUTS rows that come as columns. */
size_t ops_cpu_product_scratch_bytes(const struct linear_kernels *k, bool across);
size_t ops_cpu_panels_bytes(const struct kernels *k, enum compute_type compute, int max_outputs);

/* What ops_cpu_linear_group() needs: for the rows of x, and of each thread's scratch. */
size_t ops_cpu_linear_x_bytes(const struct kernels *k, int max_inputs);
size_t ops_cpu_linear_scratch_bytes(const struct kernels *k, bool trains);

/* The operations, by file. */
enum status ops_cpu_alloc(struct ops *o, void **out, size_t bytes);
void ops_cpu_free(struct ops *o, void *p, size_t bytes);
enum status ops_cpu_weight_bind(struct ops *o, struct weight *out, const struct weight *host, enum weight_type as);
void ops_cpu_weight_free(struct ops *o, struct weight *w);
void ops_cpu_weight_row(const struct kernels *k, float *y, const struct weight *w, int row); /* y[I], widened */
void ops_cpu_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                    enum epilogue e);
void ops_cpu_linear_group(struct ops *o, const struct linear_map *maps, int n, const float *x, int T);
void ops_cpu_attention(struct ops *o, float *y, float *lse, const float *q, const struct kv_pages *kv,
                       const struct batch *batch, int first, int T, int H, int K);
void ops_cpu_kv_store(struct ops *o, const struct kv_pages *kv, const float *k, const float *v,
                      const struct batch *batch, int first, int T, int H, int K);
size_t ops_cpu_attention_scratch(int K); /* floats a thread needs for it */
void ops_cpu_attention_back(struct ops *o, float *dq, float *dk, float *dv, const float *dy, const float *y,
                            const float *q, const float *lse, const struct kv_pages *kv, const struct batch *batch,
                            int first, int T, int H, int K);
size_t ops_cpu_attention_back_scratch(int K, int sequence);

extern const struct ops_train ops_cpu_train;

#endif
