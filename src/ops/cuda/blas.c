// SPDX-License-Identifier: Apache-2.0
/* Matrix products on cuBLASLt. The library (hundreds of megabytes) belongs to the machine with the GPU, so it is loaded
 * when a backend is created, and the program starts without it elsewhere. Which of its kernels suits a shape is asked
 * once a shape. */
#include <cublasLt.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/cuda.h"

#define BLAS_FUNCTIONS(X)                                                                                              \
    X(cublasLtCreate)                                                                                                  \
    X(cublasLtDestroy)                                                                                                 \
    X(cublasLtMatmul)                                                                                                  \
    X(cublasLtMatmulAlgoGetHeuristic)                                                                                  \
    X(cublasLtMatmulDescCreate)                                                                                        \
    X(cublasLtMatmulDescDestroy)                                                                                       \
    X(cublasLtMatmulDescSetAttribute)                                                                                  \
    X(cublasLtMatmulPreferenceCreate)                                                                                  \
    X(cublasLtMatmulPreferenceDestroy)                                                                                 \
    X(cublasLtMatmulPreferenceSetAttribute)                                                                            \
    X(cublasLtMatrixLayoutCreate)                                                                                      \
    X(cublasLtMatrixLayoutDestroy)

enum { PLANS = 256, MAX_ALIGNMENT = 256 };

/* What a plan is for. Compared as bytes: zeroed before it is filled. */
struct shape {
    int factor, m, n, k, lda, ldb, ldy, alignment;
    int transpose_a, transpose_b, add, bias, gelu; /* flags; no padding */
};

struct plan {
    struct shape shape;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, y;
    cublasLtMatmulAlgo_t algorithm;
    bool fused; /* bias and GELU are part of the product */
    unsigned used;
};

struct cuda_blas {
    void *library;
    cublasLtHandle_t handle;
    void *workspace;
    struct plan plans[PLANS];
    int n_plans;
    unsigned clock;
#define X(name) __typeof__(name) *name;
    BLAS_FUNCTIONS(X)
#undef X
};

static const size_t workspace_bytes = (size_t)32 << 20;

static enum status load(struct cuda_blas *b)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !b->library; i++)
        b->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!b->library) return fail(E_UNSUPPORTED, "cuda: cuBLASLt cannot be loaded: %s", dlerror());
#define X(name)                                                                                                        \
    *(void **)(void *)&b->name = dlsym(b->library, #name);                                                             \
    if (!b->name) return fail(E_UNSUPPORTED, "cuda: cuBLASLt has no %s", #name);
    BLAS_FUNCTIONS(X)
#undef X
    return OK;
}

enum status cuda_blas_create(struct cuda_blas **out)
{
    struct cuda_blas *b = calloc(1, sizeof *b);
    if (!b) return fail(E_NOMEM, "cuda: out of memory");
    enum status s = load(b);
    if (s == OK && b->cublasLtCreate(&b->handle) != CUBLAS_STATUS_SUCCESS)
        s = fail(E_UNSUPPORTED, "cuda: cuBLASLt does not start on this device");
    if (s == OK && cudaMalloc(&b->workspace, workspace_bytes) != cudaSuccess)
        s = fail(E_NOMEM, "cuda: out of memory: %zu bytes for cuBLASLt", workspace_bytes);
    if (s != OK) {
        cuda_blas_free(b);
        return s;
    }
    *out = b;
    return OK;
}

static void plan_free(struct cuda_blas *b, struct plan *p)
{
    if (p->a) b->cublasLtMatrixLayoutDestroy(p->a);
    if (p->b) b->cublasLtMatrixLayoutDestroy(p->b);
    if (p->y) b->cublasLtMatrixLayoutDestroy(p->y);
    if (p->product) b->cublasLtMatmulDescDestroy(p->product);
    *p = (struct plan){0};
}

void cuda_blas_free(struct cuda_blas *b)
{
    if (!b) return;
    for (int i = 0; i < b->n_plans; i++)
        plan_free(b, &b->plans[i]);
    if (b->workspace) cudaFree(b->workspace);
    if (b->handle) b->cublasLtDestroy(b->handle);
    if (b->library) dlclose(b->library);
    free(b);
}

static void must(cublasStatus_t s, const char *what)
{
    if (s == CUBLAS_STATUS_SUCCESS) return;
    char text[96];
    snprintf(text, sizeof text, "cuBLASLt, %s: status %d", what, (int)s);
    cuda_must(cudaErrorUnknown, text);
}

/* The best kernel for the plan's shape, fused with bias and GELU or not; false if there is none. */
static bool choose(struct cuda_blas *b, struct plan *p, cublasLtMatmulPreference_t preference, bool fused)
{
    const cublasLtEpilogue_t epilogue = !fused                           ? CUBLASLT_EPILOGUE_DEFAULT
                                        : p->shape.gelu && p->shape.bias ? CUBLASLT_EPILOGUE_GELU_BIAS
                                        : p->shape.gelu                  ? CUBLASLT_EPILOGUE_GELU
                                        : p->shape.bias                  ? CUBLASLT_EPILOGUE_BIAS
                                                                         : CUBLASLT_EPILOGUE_DEFAULT;
    cublasLtMatmulHeuristicResult_t result;
    int n = 0;
    must(b->cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
         "epilogue");
    const cublasStatus_t s = b->cublasLtMatmulAlgoGetHeuristic(b->handle, p->product, p->a, p->b, p->y, p->y,
                                                               preference, 1, &result, &n);
    if (s != CUBLAS_STATUS_SUCCESS || n < 1) return false;
    p->algorithm = result.algo;
    p->fused = fused;
    return true;
}

/* cuBLASLt thinks in columns: what is row-major here is the transpose there, so y^T = op(b)^T op(a)^T, and the first
 * factor there is b. */
static void make_plan(struct cuda_blas *b, struct plan *p, const struct shape *shape)
{
    static const cudaDataType_t types[] = {
        [FACTOR_F32] = CUDA_R_32F, [FACTOR_F16] = CUDA_R_16F, [FACTOR_BF16] = CUDA_R_16BF};
    *p = (struct plan){.shape = *shape};
    const cudaDataType_t factor = types[shape->factor];
    const cublasOperation_t first = shape->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                            second = shape->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint64_t m = (uint64_t)shape->m, n = (uint64_t)shape->n, k = (uint64_t)shape->k;
    must(b->cublasLtMatmulDescCreate(&p->product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "descriptor");
    must(b->cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first), "transpose");
    must(b->cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second),
         "transpose");
    must(b->cublasLtMatrixLayoutCreate(&p->b, factor, shape->transpose_b ? k : n, shape->transpose_b ? n : k,
                                       shape->ldb),
         "layout");
    must(b->cublasLtMatrixLayoutCreate(&p->a, factor, shape->transpose_a ? m : k, shape->transpose_a ? k : m,
                                       shape->lda),
         "layout");
    must(b->cublasLtMatrixLayoutCreate(&p->y, CUDA_R_32F, n, m, shape->ldy), "layout");

    cublasLtMatmulPreference_t preference = NULL;
    must(b->cublasLtMatmulPreferenceCreate(&preference), "preference");
    const uint64_t workspace = workspace_bytes;
    must(b->cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                 sizeof workspace),
         "workspace");
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t alignment = (uint32_t)shape->alignment;
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++)
        must(b->cublasLtMatmulPreferenceSetAttribute(preference, alignments[i], &alignment, sizeof alignment),
             "alignment");
    /* Asking for the layouts in the library's order: b is its first factor, see above. */
    struct plan swapped = *p;
    swapped.a = p->b;
    swapped.b = p->a;
    /* Its GELU is less exact than fp32. */
    const bool fuse = !(shape->gelu && shape->factor == FACTOR_F32);
    if (!(fuse && choose(b, &swapped, preference, true)) && !choose(b, &swapped, preference, false))
        must(CUBLAS_STATUS_NOT_SUPPORTED, "no kernel for a product");
    p->algorithm = swapped.algorithm;
    p->fused = swapped.fused;
    b->cublasLtMatmulPreferenceDestroy(preference);
}

static struct plan *plan_for(struct cuda_blas *b, const struct shape *shape)
{
    struct plan *oldest = b->plans;
    for (int i = 0; i < b->n_plans; i++) {
        struct plan *p = &b->plans[i];
        if (!memcmp(&p->shape, shape, sizeof *shape)) return p;
        if (b->clock - p->used > b->clock - oldest->used) oldest = p;
    }
    if (b->n_plans < PLANS)
        oldest = &b->plans[b->n_plans++];
    else
        plan_free(b, oldest);
    make_plan(b, oldest, shape);
    return oldest;
}

/* The largest power of two that divides all addresses, up to MAX_ALIGNMENT. */
static int alignment_of(const struct cuda_product *p)
{
    const uintptr_t all = (uintptr_t)p->a | (uintptr_t)p->b | (uintptr_t)p->y | (uintptr_t)p->bias | MAX_ALIGNMENT;
    return (int)(all & -all);
}

void cuda_blas_product(struct ops_cuda *c, const struct cuda_product *p)
{
    struct cuda_blas *b = c->blas;
    cuda_settle(c);
    cuda_flush(c);
    struct shape shape;
    memset(&shape, 0, sizeof shape);
    shape.factor = (int)p->factor;
    shape.m = p->m;
    shape.n = p->n;
    shape.k = p->k;
    shape.lda = p->lda;
    shape.ldb = p->ldb;
    shape.ldy = p->ldy;
    shape.alignment = alignment_of(p);
    shape.transpose_a = p->transpose_a;
    shape.transpose_b = p->transpose_b;
    shape.add = p->beta != 0;
    shape.bias = p->bias != NULL;
    shape.gelu = p->gelu;

    struct plan *plan = plan_for(b, &shape);
    plan->used = ++b->clock;
    if (plan->fused && p->bias)
        must(b->cublasLtMatmulDescSetAttribute(plan->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias,
                                               sizeof p->bias),
             "bias");
    const float one = 1;
    must(b->cublasLtMatmul(b->handle, plan->product, &one, p->b, plan->b, p->a, plan->a, &p->beta, p->y, plan->y, p->y,
                           plan->y, &plan->algorithm, b->workspace, workspace_bytes, c->stream),
         "product");
    if (!plan->fused && (p->bias || p->gelu)) cuda_finish(c, p->y, p->bias, p->m, p->n, p->ldy, p->gelu);
}
