// SPDX-License-Identifier: Apache-2.0
/* Tensor operations as one backend table: the CPU now, other devices by another table.
 *
 * Only ops touches tensor memory. A `float *` or `void *` that came from ops_alloc() is an address on the device: above
 * this layer it is offset and passed on, never dereferenced; ops_write() and ops_read() move bytes. A step of the model
 * is a list of calls to the functions below, all on row-major fp32 activations. None of them can fail: sizes are
 * checked, and memory taken, before a step begins.
 *
 * Letters: T rows (tokens), D width, H heads, K head size, R rotary dims, O outputs, I inputs, V vocabulary. */
#ifndef GPTJT_OPS_OPS_H
#define GPTJT_OPS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

struct ops;

/* A matrix or vector of parameters, on the host or bound to a device. */
struct weight {
    const void *data; /* borrowed from the file mapping, or owned (see owned_bytes) */
    enum weight_type type;
    int O, I;           /* [O][I]; a vector has I 1 */
    size_t owned_bytes; /* 0: borrowed              */
    float *grad;        /* [O][I] borrowed, where the backward pass adds its gradient; NULL: it is not trained */
};

static inline bool weight_quantised(enum weight_type t)
{
    return t == WEIGHT_Q8 || t == WEIGHT_Q4;
}

/* "fp16", "q8"; static. */
const char *weight_type_name(enum weight_type t);

/* Bytes of an [O][I] matrix. */
size_t weight_bytes(enum weight_type t, int O, int I);

/* What happens to a matrix product before it is stored. */
enum epilogue {
    EPILOGUE_STORE,    /* y = z        */
    EPILOGUE_GELU,     /* y = gelu(z)  */
    EPILOGUE_ADD,      /* y = y + z    */
    EPILOGUE_ADD_GELU, /* y = gelu(y + z) */
};

/* One of several linear maps of the same rows. */
struct linear_map {
    float *y; /* [T][O] */
    const struct weight *w, *b;
    enum epilogue e;
};

/* The rows of one step, which may belong to many sequences. All arrays are on the host. Positions, lo and hi are
 * logical positions of the row's own sequence; the rows of one sequence stand together, positions ascending. */
struct batch {
    int T;
    const int32_t *token;        /* [T]                                                             */
    const int32_t *position;     /* [T] also the rotary position                                    */
    const int32_t *lo, *hi;      /* [T] the row sees K/V rows lo <= s < hi, 0 <= lo < hi            */
    const int32_t *sequence;     /* [T] index into pages                                            */
    const int32_t *const *pages; /* [sequence][position / KV_PAGE] -> page number in the K/V store */
    int first_wanted;            /* of rows before it only K and V are wanted, not what the last layer makes of them */
};

/* One layer's K/V pages on the device: page p of head h begins at element (p * H + h) * kernels_head_page(K) of both,
 * laid out as kernels.h says. */
struct kv_pages {
    void *k, *v;
    enum dtype dtype; /* F32, or F16: stored rounded to nearest even, computed with as fp32 */
};

/* Bytes of one page of K, or of V, of all heads of a layer. */
static inline size_t ops_kv_page_bytes(int H, int K, enum dtype dtype)
{
    return (size_t)H * kernels_head_page(K) * dtype_bytes(dtype);
}

enum { LINEAR_GROUP = 4 };

/* Sines and cosines of the rotary embedding, [positions][R/2] on the device. */
struct turns {
    const float *sin, *cos;
    int R;
};

struct ops_table {
    const char *name; /* "cpu" */
    void (*close)(struct ops *o);

    /* Memory. alloc: 64-byte aligned, contents undefined, large blocks not resident before they are written. */
    enum status (*alloc)(struct ops *o, void **out, size_t bytes);
    void (*free)(struct ops *o, void *p, size_t bytes);
    void (*write)(struct ops *o, void *to, const void *host, size_t bytes);
    void (*read)(struct ops *o, void *host, const void *from, size_t bytes);
    void (*copy)(struct ops *o, void *to, const void *from, size_t bytes);

    /* Binds host, which lies in host memory, to the device as type `as`: borrowed when nothing has to change. A vector
     * (I 1) is bound as WEIGHT_F32. weight_free accepts a zeroed weight. */
    enum status (*weight_bind)(struct ops *o, struct weight *out, const struct weight *host, enum weight_type as);
    void (*weight_free)(struct ops *o, struct weight *w);

    /* y[T][D] = row token[t] of wte [V][D] */
    void (*embed)(struct ops *o, float *y, const struct weight *wte, const int32_t *token, int T);

    /* y[T][D] = layer norm of each row of x[T][D]; w, b [D] */
    void (*layer_norm)(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                       float eps);

    /* z[T][O] = x[T][I] w^T + b; b may be NULL; stored in y[T][O] as the epilogue says */
    void (*linear)(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                   enum epilogue e);

    /* n <= LINEAR_GROUP linear maps of x[T][I], none of which has what another makes. NULL: each by linear(). */
    void (*linear_group)(struct ops *o, const struct linear_map *maps, int n, const float *x, int T);

    /* The same of a layer norm of x[T][D]; a[T][D] is room for it, what is left there is undefined. NULL: the same by
     * layer_norm() and the maps of a. */
    void (*norm_group)(struct ops *o, const struct linear_map *maps, int n, float *a, const float *x,
                       const struct weight *w, const struct weight *b, int T, float eps);

    /* x[T][H][K] in place: each row turned by its position; sin, cos [positions][R/2] on the device */
    void (*rotary)(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T, int H,
                   int K, int R);

    /* Stores rows first .. first + T of the batch, k and v [T][H][K], in one layer's pages. */
    void (*kv_store)(struct ops *o, const struct kv_pages *kv, const float *k, const float *v,
                     const struct batch *batch, int first, int T, int H, int K);

    /* rotary() of q, unless it is NULL, and of k, and kv_store() of k, which may be left unturned. NULL: by them. */
    void (*turn_and_store)(struct ops *o, const struct kv_pages *kv, float *q, float *k, const float *v,
                           const struct turns *turns, const struct batch *batch, int first, int T, int H, int K);

    /* y[T][H][K]: attention of rows first .. first + T of the batch, q [T][H][K], each over its own interval of its own
     * sequence; scores scaled by 1/sqrt(K), softmax in fp32. lse[T][H]: the logarithm of each softmax's denominator,
     * for the backward pass; may be NULL. */
    void (*attention)(struct ops *o, float *y, float *lse, const float *q, const struct kv_pages *kv,
                      const struct batch *batch, int first, int T, int H, int K);

    /* y[n][D] = row index[i] of x[.][D] */
    void (*gather)(struct ops *o, float *y, const float *x, const int32_t *index, int n, int D);
};

/* What every backend has in common; a backend embeds it first. */
struct ops {
    const struct ops_table *fn;
    const struct ops_train *train; /* ops/train.h; NULL: this backend cannot train */
    int block_rows;                /* so many rows at a time keep the device busy  */
};

static inline void ops_linear_group(struct ops *o, const struct linear_map *maps, int n, const float *x, int T)
{
    if (o->fn->linear_group) {
        o->fn->linear_group(o, maps, n, x, T);
        return;
    }
    for (const struct linear_map *m = maps; m < maps + n; m++)
        o->fn->linear(o, m->y, x, m->w, m->b, T, m->e);
}

static inline void ops_norm_group(struct ops *o, const struct linear_map *maps, int n, float *a, const float *x,
                                  const struct weight *w, const struct weight *b, int T, float eps)
{
    if (o->fn->norm_group) {
        o->fn->norm_group(o, maps, n, a, x, w, b, T, eps);
        return;
    }
    o->fn->layer_norm(o, a, x, w, b, T, eps);
    ops_linear_group(o, maps, n, a, T);
}

static inline void ops_turn_and_store(struct ops *o, const struct kv_pages *kv, float *q, float *k, const float *v,
                                      const struct turns *turns, const struct batch *batch, int first, int T, int H,
                                      int K)
{
    if (o->fn->turn_and_store) {
        o->fn->turn_and_store(o, kv, q, k, v, turns, batch, first, T, H, K);
        return;
    }
    const int32_t *position = batch->position + first;
    o->fn->rotary(o, k, turns->sin, turns->cos, position, T, H, K, turns->R);
    o->fn->kv_store(o, kv, k, v, batch, first, T, H, K);
    if (q) o->fn->rotary(o, q, turns->sin, turns->cos, position, T, H, K, turns->R);
}

/* What computes, and what --device takes: "cpu", "cuda"; NULL is "cpu". */
enum ops_device { DEVICE_CPU, DEVICE_CUDA };
enum status ops_choose_device(enum ops_device *out, const char *asked);
const char *ops_device_name(enum ops_device d); /* static */

enum { OPS_CPU_BLOCK_ROWS = 512 }; /* the block_rows of the CPU backend */

/* The largest sizes the CPU backend will be asked for, from which it computes its scratch memory. */
struct ops_cpu_limits {
    int inputs;   /* I of a linear map                                       */
    int head;     /* K, the size of a head                                   */
    int sequence; /* rows of one sequence in a backward pass; 0: no training */
};

/* The CPU backend: kernels at the given level, products of the given compute type (int8 holds for q8 and q4 weights,
 * others are then computed in fp32), a pool of its own. *out is owned: out->fn->close(out). */
enum status ops_cpu_create(struct ops **out, enum cpu_level level, enum compute_type compute, int n_threads,
                           struct ops_cpu_limits limits);

/* The CUDA backend, on the first device that CUDA_VISIBLE_DEVICES leaves visible; E_UNSUPPORTED where this build has
 * none, or the machine has no such device. Weights are copied to it, after a conversion by n_threads threads where they
 * are asked for in another type. Products of many rows are computed
 *
 *   COMPUTE_FP32  in fp32,
 *   COMPUTE_BF16  on tensor cores in 16 bits: the weights' own type, bf16 for fp32, fp16 for q8 and q4; fp16
 * activations saturate. Up to four rows by weights of 16 bits are computed in fp32, COMPUTE_INT8  as COMPUTE_BF16, but
 * up to eight rows by q8 and q4 weights in int8 as on the CPU.
 *
 * Results are the same from run to run. Unlike the CPU's, a row's may differ by rounding with how many rows go
 * together: different numbers of rows take different kernels. */
enum status ops_cuda_create(struct ops **out, enum compute_type compute, int n_threads);

/* What a CUDA backend's device can do now: bytes a second that a large copy on it reads and writes, and FLOP a second
 * of a large product of bf16 factors, or fp32 ones. A few milliseconds each; 0 without memory for it. */
double ops_cuda_copy_rate(struct ops *o);
double ops_cuda_peak_rate(struct ops *o, enum compute_type compute);
int64_t ops_cuda_cache_bytes(struct ops *o); /* of its L2 */

/* What ops_cpu_create() allocates. */
size_t ops_cpu_bytes(enum cpu_level level, enum compute_type compute, int n_threads, struct ops_cpu_limits limits);

/* What the CPU backend's weight_bind() allocates: 0 where it borrows. */
size_t ops_cpu_weight_bytes(const struct weight *host, enum weight_type as);

/* What weight_bind() makes of host as another type, for a file: weight_bytes(as, O, I) bytes at to. Takes scratch
 * memory for 16 rows a thread. */
enum status ops_cpu_weight_convert(const struct kernels *k, struct pool *pool, void *to, const struct weight *host,
                                   enum weight_type as);

#endif
