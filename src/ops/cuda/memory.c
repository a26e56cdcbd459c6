// SPDX-License-Identifier: Apache-2.0
/* Device memory that the backend has for itself: scratch, and copies of what lies on the host. */
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/cuda.h"

void *cuda_scratch(struct ops_cuda *c, void **at, size_t *have, size_t bytes)
{
    if (bytes <= *have) return *at;
    cuda_idle(c);
    cuda_must(cudaFree(*at), "free");
    *have = 0;
    *at = NULL;
    cuda_must(cudaMalloc(at, bytes), "scratch memory");
    *have = bytes;
    return *at;
}

/* ---- Copies of what lies on the host ---- */

static void mirror_fill(struct ops_cuda *c, struct mirror *m, const void *host, size_t bytes)
{
    if (bytes > m->cap) {
        m->cap = bytes < 4096 ? 4096 : 2 * bytes;
        cuda_must(cudaFree(m->device), "free"); /* waits for the device */
        cuda_must(cudaMalloc(&m->device, m->cap), "memory for a batch");
        free(m->host);
        m->host = malloc(m->cap);
        if (!m->host) cuda_must(cudaErrorMemoryAllocation, "memory for a batch");
    }
    memcpy(m->host, host, bytes);
    m->bytes = bytes;
    cuda_must(cudaMemcpyAsync(m->device, m->host, bytes, cudaMemcpyHostToDevice, c->stream), "copy to the device");
    if (c->queue.apart) { /* what runs beside does not see the main stream */
        cuda_must(cudaEventRecord(c->beside.parted, c->stream), "event");
        cuda_must(cudaStreamWaitEvent(c->beside.stream, c->beside.parted, 0), "event");
    }
}

/* The first that no kernel on the list reads: then a step finds its copies where the step before had them, and has the
 * same list of kernels. If there is none, the one that was asked for longest ago, when all kernels are through. */
static struct mirror *free_mirror(struct ops_cuda *c)
{
    struct mirror *oldest = c->mirrors;
    for (struct mirror *m = c->mirrors; m < c->mirrors + CUDA_MIRRORS; m++) {
        if (m->epoch != c->queue.epoch) return m;
        if (c->asked - m->used > c->asked - oldest->used) oldest = m;
    }
    cuda_idle(c);
    return oldest;
}

const void *cuda_mirror(struct ops_cuda *c, const void *host, size_t bytes)
{
    struct mirror *m = c->mirrors;
    while (m < c->mirrors + CUDA_MIRRORS && (m->bytes != bytes || memcmp(m->host, host, bytes)))
        m++;
    if (m == c->mirrors + CUDA_MIRRORS) {
        m = free_mirror(c);
        mirror_fill(c, m, host, bytes);
    }
    m->epoch = c->queue.epoch;
    m->used = ++c->asked;
    return m->device;
}
