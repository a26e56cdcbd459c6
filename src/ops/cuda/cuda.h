// SPDX-License-Identifier: Apache-2.0
/* What the files of the CUDA backend share. Host code is C (*.c); kernels and the functions that launch them are CUDA
 * C++ (*.cu), called through the declarations at the end.
 *
 * All work is done in the order of the calls, as if on one stream (queue.c); only read() waits. The arrays of a batch
 * (positions, bounds, page tables) lie in host memory and are the same for every layer: cuda_mirror() keeps device
 * copies by content.
 *
 * Programmatic dependent launch (compute capability 9.0): a kernel may start while the one before it still runs, and
 * fetch weights, which nobody writes, before it waits. So every kernel here begins with cuda_wait() before it reads or
 * writes anything that another kernel writes or reads, and cuda_launch() starts it. */
#ifndef GPTJT_OPS_CUDA_CUDA_H
#define GPTJT_OPS_CUDA_CUDA_H

#include <pthread.h>

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "kernels/quant.h"
#include "ops/ops.h"
#include "ops/train.h"

struct cuda_blas;

enum {
    CUDA_BLOCK_ROWS = 2048,
    CUDA_MIRRORS = 32,             /* host arrays whose device copies are remembered */
    CUDA_PANEL = 32 * 1024 * 1024, /* weights that are unpacked at a time            */
};

struct mirror {
    void *host, *device; /* the content, and its copy; room for cap bytes */
    size_t bytes, cap;
    unsigned epoch; /* of the list that reads it         */
    unsigned used;  /* when it was last asked for        */
};

/* A piece of device memory. */
struct span {
    const char *at;
    size_t bytes;
};

/* Two streams; queue.c says what for. */
enum { BESIDE_SPANS = 16, CUDA_GRAPHS = 64, CUDA_KERNELS = 128 };
struct beside {
    cudaStream_t stream;
    cudaEvent_t parted, joined;
    bool apart;   /* something is beside what the main stream does                          */
    bool inside;  /* what is submitted now goes beside                                      */
    bool checked; /* what the main stream does now has been compared with what is beside it */
    int n_here, n_there;
    struct span here[BESIDE_SPANS], there[BESIDE_SPANS]; /* touched on the main stream, and on the other */
};

/* A list of kernels that has been seen; a graph of it when it came again. */
struct graph {
    char *list;
    size_t bytes;
    cudaGraphExec_t exec;
    int times;
    unsigned used;
};

struct queue {
    char *list;
    size_t used, cap;
    int n;
    bool apart;     /* on the device, what is beside was so before the list */
    bool idle;      /* the device has nothing to do                         */
    unsigned epoch; /* of the list: what kernels on it read must stay       */
    unsigned clock;
    const void *prepared[CUDA_KERNELS]; /* kernels that have been launched before */
    int n_prepared;
    struct graph graphs[CUDA_GRAPHS];
};

struct ops_cuda {
    struct ops base; /* first */
    enum compute_type compute;
    pthread_mutex_t lock; /* held by each operation: sessions on several threads share a backend */
    cudaStream_t stream;
    struct beside beside;
    struct queue queue;
    int sms;
    int64_t cache_bytes; /* of the L2 */
    size_t shared_bytes; /* of shared memory, that a block may have */
    bool dependent;      /* programmatic dependent launch is there */
    struct kernels host;
    struct pool *pool; /* converts weights at loading */
    struct cuda_blas *blas;
    struct mirror mirrors[CUDA_MIRRORS];
    unsigned asked; /* how often for mirrors */
    void *staging;  /* pinned, for what is read */
    size_t staging_bytes;
    /* Scratch: rows and gradients as a product takes them, unpacked weights, parts of attention, its pages in fp16. */
    void *x, *dy, *panel, *partial, *half;
    size_t x_bytes, dy_bytes, panel_bytes, partial_bytes, half_bytes;
};

static inline struct ops_cuda *ops_cuda(struct ops *o)
{
    return (struct ops_cuda *)o;
}

/* Ends the program with one line when a call did not succeed: like a fault on the CPU, there is nothing to go on with.
 */
void cuda_must(cudaError_t e, const char *what);

/* Lets a kernel have so much dynamic shared memory, as far as the device has it. */
void cuda_allow_shared(const void *kernel, size_t bytes);

/* The device's copy of n bytes that lie in host memory, for kernels that are submitted next. */
const void *cuda_mirror(struct ops_cuda *c, const void *host, size_t bytes);

/* ---- queue.c ---- */
enum status cuda_queue_open(struct ops_cuda *c);
void cuda_queue_close(struct ops_cuda *c);

/* Puts a kernel on the list; cuda_launch() of device.cuh is what calls it. */
void cuda_submit(struct ops_cuda *c, const void *kernel, dim3 grid, dim3 block, size_t shared, int n,
                 const void *const *arguments, const size_t *bytes);

/* Sends the list to the device. */
void cuda_flush(struct ops_cuda *c);

/* Sends the list, and waits until the device has nothing to do. An operation that needs more memory calls it anywhere:
 * what goes beside goes on beside, and the mirrors that it has asked for stay. */
void cuda_idle(struct ops_cuda *c);

/* For who uses the stream itself: the main stream, with all before on it and nothing beside. */
cudaStream_t cuda_now(struct ops_cuda *c);

/* The main stream waits, on the device, for what is beside. cuda_settle(): unless it was checked, which is what every
 * kernel and product on the main stream does. */
void cuda_join(struct ops_cuda *c);
static inline void cuda_settle(struct ops_cuda *c)
{
    if (c->beside.apart && !c->beside.inside && !c->beside.checked) cuda_join(c);
}

/* Between these, work on the main stream that touches n spans only, and waits only if the other has touched them. */
void cuda_check(struct ops_cuda *c, const struct span *spans, int n);
void cuda_checked(struct ops_cuda *c);

/* Between these, kernels that touch n spans only go beside. */
void cuda_part(struct ops_cuda *c, const struct span *spans, int n);
void cuda_part_end(struct ops_cuda *c);

/* Scratch of at least so many bytes; grows, contents undefined. The stream is waited for when it has to grow. */
void *cuda_scratch(struct ops_cuda *c, void **at, size_t *have, size_t bytes);

/* ---- blas.c: products of matrices on cuBLASLt, which is loaded at run time ---- */
enum cuda_factor { FACTOR_F32, FACTOR_F16, FACTOR_BF16 };
enum status cuda_blas_create(struct cuda_blas **out);
void cuda_blas_free(struct cuda_blas *b); /* accepts NULL */

/* A product of matrices as they lie, row-major: y[m][n] (row stride ldy) = beta y + op(a)[m][k] op(b)[k][n], where
 * op(a) is a, [m][k], or with transpose_a the transpose of a [k][m]; the same for b. lda, ldb: elements from row to
 * row as they are stored. bias [n] fp32 or NULL is added to every row; gelu is applied last (beta must be 0). */
struct cuda_product {
    enum cuda_factor factor;
    int m, n, k;
    const void *a, *b;
    bool transpose_a, transpose_b;
    int lda, ldb, ldy;
    float *y, beta;
    const float *bias;
    bool gelu;
};

/* Factors of the given type, sums and y in fp32. */
void cuda_blas_product(struct ops_cuda *c, const struct cuda_product *p);

/* ---- backend.c, linear.c ---- */
enum status cuda_weight_bind(struct ops *o, struct weight *out, const struct weight *host, enum weight_type as);
void cuda_weight_free(struct ops *o, struct weight *w);
void cuda_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                 enum epilogue e);

void cuda_linear_group(struct ops *o, const struct linear_map *maps, int n, const float *x, int T);
void cuda_norm_group(struct ops *o, const struct linear_map *maps, int n, float *a, const float *x,
                     const struct weight *w, const struct weight *b, int T, float eps);

/* What both factors of a product of many rows are rounded to: nothing where compute is fp32; else a 16-bit matrix's own
 * type, fp16 for a quantised one, bf16 for one of fp32. */
enum cuda_factor cuda_factor_of(const struct ops_cuda *c, enum weight_type w);

static inline size_t cuda_factor_bytes(enum cuda_factor f)
{
    return f == FACTOR_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* Outputs o .. o + n of w as a product's factor [n][I] of type f: as they are stored, or unpacked into the scratch
 * memory. They go so many at a time: all of them, or what that memory is to have at most. */
int cuda_panel(const struct weight *w, enum cuda_factor f);
const void *cuda_weights(struct ops_cuda *c, const struct weight *w, int o, int n, enum cuda_factor f);

/* The product of many rows, which are of type f already. */
void cuda_linear_rows(struct ops_cuda *c, const struct linear_map *m, const void *x, int T, enum cuda_factor f);

/* ---- rows.cu: one pass over the rows ---- */
void cuda_embed(struct ops *o, float *y, const struct weight *wte, const int32_t *token, int T);
void cuda_layer_norm(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                     float eps);
void cuda_rotary(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T, int H,
                 int K, int R);
void cuda_gather(struct ops *o, float *y, const float *x, const int32_t *index, int n, int D);
void cuda_narrow(struct ops_cuda *c, void *to, const float *x, size_t n, enum cuda_factor as); /* fp16 saturates */
/* y[T][O] += bias, unless it is NULL; then y = gelu(y), if gelu; rows are stride apart */
void cuda_finish(struct ops_cuda *c, float *y, const float *bias, int T, int O, int stride, bool gelu);

enum { CUDA_NORM_INPUTS = 4096 }; /* of rows that are normed before they are multiplied */

/* ---- stream.cu: products of few rows, which read the weights once as they are stored ---- */
int cuda_stream_rows(const struct ops_cuda *c, enum weight_type w, int I); /* up to so many; 0: none */
struct cuda_norm {
    const struct weight *w, *b;
    float eps;
};
void cuda_stream(struct ops_cuda *c, const struct linear_map *maps, int n, const float *x, int T,
                 const struct cuda_norm *before); /* maps of one type; before: of the rows, may be NULL */

/* ---- unpack.cu: n outputs of a matrix from output o on (a multiple of 16), as to [n][I] ---- */
void cuda_unpack(struct ops_cuda *c, void *to, const struct weight *w, int o, int n, enum cuda_factor as);

/* ---- attention.cu ---- */
void cuda_kv_store(struct ops *o, const struct kv_pages *kv, const float *k, const float *v, const struct batch *batch,
                   int first, int T, int H, int K);
void cuda_turn_and_store(struct ops *o, const struct kv_pages *kv, float *q, float *k, const float *v,
                         const struct turns *turns, const struct batch *batch, int first, int T, int H, int K);
void cuda_attention(struct ops *o, float *y, float *lse, const float *q, const struct kv_pages *kv,
                    const struct batch *batch, int first, int T, int H, int K);

/* ---- train.c ---- */
extern const struct ops_train cuda_train;

/* ---- train.cu: one pass each ---- */
void cuda_gelu_narrow(struct ops_cuda *c, void *to, const float *z, size_t n, enum cuda_factor as); /* gelu(z) */
/* to = dy[T][n], times gelu'(z[T][n]) unless z is NULL; sum[n], unless it is NULL, += its rows, which are not rounded.
 */
void cuda_narrow_rows(struct ops_cuda *c, void *to, float *sum, const float *dy, const float *z, int T, int n,
                      enum cuda_factor as);
void cuda_rows_sum(struct ops_cuda *c, float *sum, const float *x, int T, int n); /* sum[n] += the rows of x[T][n] */
void cuda_embed_rows_add(struct ops_cuda *c, float *dwte, const float *dx, const int32_t *list, int tokens, int D);
void cuda_layer_norm_back(struct ops *o, float *dx, float *dw, float *db, const float *dy, const float *x,
                          const struct weight *w, float *stats, int T, float eps);
void cuda_gelu(struct ops *o, float *y, const float *z, size_t n);
void cuda_gelu_back(struct ops *o, float *dy, const float *z, size_t n);
void cuda_rotary_back(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T,
                      int H, int K, int R);
void cuda_cross_entropy(struct ops *o, double *loss, float *z, const int32_t *target, int T, int V, float scale);
void cuda_add(struct ops *o, float *y, const float *x, size_t n);
void cuda_scale(struct ops *o, float *x, size_t n, float factor);
void cuda_zero(struct ops *o, float *x, size_t n);
void cuda_scatter(struct ops *o, float *y, const float *x, const int32_t *index, int n, int D);
void cuda_round(struct ops *o, float *x, size_t n, enum dtype dtype);
void cuda_weight_write(struct ops *o, struct weight *w, const float *values);
double cuda_sum_squares(struct ops *o, const float *x, size_t n);
void cuda_adamw(struct ops *o, float *p, float *m, float *v, const float *grad, size_t n, const struct adamw_step *step,
                struct weight *copy);

/* ---- attention_back.cu ---- */
void cuda_attention_back(struct ops *o, float *dq, float *dk, float *dv, const float *dy, const float *y,
                         const float *q, const float *lse, const struct kv_pages *kv, const struct batch *batch,
                         int first, int T, int H, int K);

#ifdef __cplusplus
}
#endif

#endif
