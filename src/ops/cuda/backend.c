// SPDX-License-Identifier: Apache-2.0
/* The CUDA backend's table, its memory and its parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ops/cuda/cuda.h"

void cuda_must(cudaError_t e, const char *what)
{
    if (e == cudaSuccess) return;
    fprintf(stderr, "gptjt: cuda: %s: %s\n", what, cudaGetErrorString(e));
    _Exit(1);
}

void cuda_allow_shared(const void *kernel, size_t bytes)
{
    int most = 0;
    cuda_must(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), "shared memory");
    const int allowed = bytes < (size_t)most ? (int)bytes : most;
    cuda_must(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, allowed), "shared memory");
}

static enum status no_memory(size_t bytes)
{
    size_t left = 0, total = 0;
    cudaMemGetInfo(&left, &total);
    cudaGetLastError(); /* the failed allocation is not an error of later calls */
    return fail(E_NOMEM, "cuda: out of memory: %.2f GB are asked for, %.2f GB of %.1f GB are free",
                (double)bytes * 1e-9, (double)left * 1e-9, (double)total * 1e-9);
}

static enum status cuda_alloc(struct ops *o, void **out, size_t bytes)
{
    (void)o;
    return cudaMalloc(out, bytes ? bytes : 1) == cudaSuccess ? OK : no_memory(bytes);
}

static void cuda_free(struct ops *o, void *p, size_t bytes)
{
    struct ops_cuda *c = ops_cuda(o);
    (void)bytes;
    pthread_mutex_lock(&c->lock);
    cuda_now(c);
    cuda_must(cudaFree(p), "free");
    pthread_mutex_unlock(&c->lock);
}

static void cuda_write(struct ops *o, void *to, const void *host, size_t bytes)
{
    struct ops_cuda *c = ops_cuda(o);
    pthread_mutex_lock(&c->lock);
    cuda_must(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, cuda_now(c)), "copy to the device");
    pthread_mutex_unlock(&c->lock);
}

static void cuda_read(struct ops *o, void *host, const void *from, size_t bytes)
{
    struct ops_cuda *c = ops_cuda(o);
    pthread_mutex_lock(&c->lock);
    cuda_now(c);
    for (size_t at = 0; at < bytes; at += c->staging_bytes) {
        const size_t n = bytes - at < c->staging_bytes ? bytes - at : c->staging_bytes;
        cuda_must(cudaMemcpyAsync(c->staging, (const char *)from + at, n, cudaMemcpyDeviceToHost, c->stream),
                  "copy from the device");
        cuda_must(cudaStreamSynchronize(c->stream), "waiting for the device");
        memcpy((char *)host + at, c->staging, n);
    }
    c->queue.idle = true;
    pthread_mutex_unlock(&c->lock);
}

static void cuda_copy(struct ops *o, void *to, const void *from, size_t bytes)
{
    struct ops_cuda *c = ops_cuda(o);
    pthread_mutex_lock(&c->lock);
    cuda_must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda_now(c)), "copy on the device");
    pthread_mutex_unlock(&c->lock);
}

/* ---- Beside ---- */

enum { BESIDE_ROWS = 64 }; /* more keep the device busy themselves */

/* K/V pages are touched by these two, which follow each other beside or not, and by copies, which join. */
static void turn_and_store(struct ops *o, const struct kv_pages *kv, float *q, float *k, const float *v,
                           const struct turns *turns, const struct batch *batch, int first, int T, int H, int K)
{
    struct ops_cuda *c = ops_cuda(o);
    const size_t bytes = (size_t)T * (size_t)H * (size_t)K * sizeof *q;
    const struct span touched[] = {{(char *)k, bytes}, {(const char *)v, bytes}, {(char *)q, q ? bytes : 0}};
    pthread_mutex_lock(&c->lock);
    if (T > BESIDE_ROWS)
        cuda_join(c);
    else
        cuda_part(c, touched, 3);
    cuda_turn_and_store(o, kv, q, k, v, turns, batch, first, T, H, K);
    cuda_part_end(c);
    pthread_mutex_unlock(&c->lock);
}

static void attention(struct ops *o, float *y, float *lse, const float *q, const struct kv_pages *kv,
                      const struct batch *batch, int first, int T, int H, int K)
{
    struct ops_cuda *c = ops_cuda(o);
    const size_t rows = (size_t)T * (size_t)H, bytes = rows * (size_t)K * sizeof *q;
    const struct span touched[] = {
        {(char *)y, bytes}, {(const char *)q, bytes}, {(char *)lse, lse ? rows * sizeof *lse : 0}};
    pthread_mutex_lock(&c->lock);
    if (T > BESIDE_ROWS)
        cuda_join(c);
    else
        cuda_part(c, touched, 3);
    cuda_attention(o, y, lse, q, kv, batch, first, T, H, K);
    cuda_part_end(c);
    pthread_mutex_unlock(&c->lock);
}

/* ---- Parameters: always copied ---- */

static enum status upload(struct ops *o, struct weight *w, const void *host)
{
    void *to = NULL;
    const size_t bytes = weight_bytes(w->type, w->O, w->I);
    TRY(cuda_alloc(o, &to, bytes));
    w->data = to;
    w->owned_bytes = bytes;
    cuda_write(o, to, host, bytes);
    return OK;
}

enum status cuda_weight_bind(struct ops *o, struct weight *out, const struct weight *host, enum weight_type as)
{
    struct ops_cuda *c = ops_cuda(o);
    struct weight w = {.type = as, .O = host->O, .I = host->I};
    if (host->type == as) {
        TRY(upload(o, &w, host->data));
        *out = w;
        return OK;
    }
    void *converted = malloc(weight_bytes(as, host->O, host->I));
    if (!converted) return fail(E_NOMEM, "cuda: out of memory for a converted matrix");
    enum status s = ops_cpu_weight_convert(&c->host, c->pool, converted, host, as);
    if (s == OK) s = upload(o, &w, converted);
    free(converted);
    if (s == OK) *out = w;
    return s;
}

void cuda_weight_free(struct ops *o, struct weight *w)
{
    if (w->owned_bytes) cuda_free(o, (void *)(uintptr_t)w->data, w->owned_bytes);
    *w = (struct weight){0};
}

/* ---- The backend ---- */

static void cuda_close(struct ops *o)
{
    struct ops_cuda *c = ops_cuda(o);
    cudaDeviceSynchronize();
    for (struct mirror *m = c->mirrors; m < c->mirrors + CUDA_MIRRORS; m++) {
        cudaFree(m->device);
        free(m->host);
    }
    void *const scratch[] = {c->x, c->dy, c->panel, c->partial, c->half};
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        cudaFree(scratch[i]);
    cudaFreeHost(c->staging);
    cuda_blas_free(c->blas);
    cuda_queue_close(c);
    pool_free(c->pool);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static const struct ops_table cuda_table = {
    .name = "cuda",
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .write = cuda_write,
    .read = cuda_read,
    .copy = cuda_copy,
    .weight_bind = cuda_weight_bind,
    .weight_free = cuda_weight_free,
    .embed = cuda_embed,
    .layer_norm = cuda_layer_norm,
    .linear = cuda_linear,
    .linear_group = cuda_linear_group,
    .norm_group = cuda_norm_group,
    .rotary = cuda_rotary,
    .kv_store = cuda_kv_store,
    .turn_and_store = turn_and_store,
    .attention = attention,
    .gather = cuda_gather,
};

/* The first device; which that is, CUDA_VISIBLE_DEVICES says. */
static enum status find_device(struct ops_cuda *c, struct cudaDeviceProp *device)
{
    int n = 0;
    const cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess || n < 1)
        return fail(E_UNSUPPORTED, "cuda: no NVIDIA GPU can be used: %s",
                    e == cudaSuccess ? "none is visible" : cudaGetErrorString(e));
    if (cudaGetDeviceProperties(device, 0) != cudaSuccess)
        return fail(E_UNSUPPORTED, "cuda: the GPU does not answer: %s", cudaGetErrorString(cudaGetLastError()));
    if (device->major < 8)
        return fail(E_UNSUPPORTED, "cuda: %s has compute capability %d.%d, 8.0 or newer is needed", device->name,
                    device->major, device->minor);
    c->sms = device->multiProcessorCount;
    c->cache_bytes = device->l2CacheSize;
    c->shared_bytes = device->sharedMemPerBlockOptin;
    c->dependent = device->major >= 9;
    return OK;
}

static enum status start(struct ops_cuda *c)
{
    enum { STAGING_BYTES = 16 << 20 };
    TRY(cuda_queue_open(c));
    if (cudaMallocHost(&c->staging, STAGING_BYTES) != cudaSuccess) return no_memory(STAGING_BYTES);
    c->staging_bytes = STAGING_BYTES;
    return cuda_blas_create(&c->blas);
}

enum status ops_cuda_create(struct ops **out, enum compute_type compute, int n_threads)
{
    struct ops_cuda *c = calloc(1, sizeof *c);
    if (!c) return fail(E_NOMEM, "cuda: out of memory");
    pthread_mutex_init(&c->lock, NULL);
    c->base.fn = &cuda_table;
    c->base.train = &cuda_train;
    c->base.block_rows = CUDA_BLOCK_ROWS;
    c->compute = compute;
    kernels_init(&c->host, kernels_best_level());
    struct cudaDeviceProp device;
    enum status s = find_device(c, &device);
    if (s == OK) s = pool_create(&c->pool, n_threads);
    if (s == OK) s = start(c);
    if (s != OK) {
        cuda_close(&c->base);
        return s;
    }
    log_line(LOG_INFO, "cuda: %s, %d multiprocessors, %.1f GB", device.name, c->sms,
             (double)device.totalGlobalMem * 1e-9);
    *out = &c->base;
    return OK;
}
