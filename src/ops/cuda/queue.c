// SPDX-License-Identifier: Apache-2.0
/* What goes to the device, and in which order.
 *
 * Kernels are first put on a list, which goes to the device when it is long enough or somebody needs the stream. A step
 * of decoding puts the same kernels with the same arguments on the list as the step before (what changes lies in the
 * mirrors): a list that comes again is made a CUDA graph, and goes there by one call instead of a hundred.
 *
 * Beside: attention of few rows takes little of the device and the MLP, which does not depend on it, all of memory's
 * time, so they run side by side on two streams. While they are apart, what each has touched is known, and what touches
 * the other's waits for it. */
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/cuda.h"

enum kind { KERNEL, KERNEL_BESIDE, PART, JOIN };

enum {
    MAX_ARGUMENTS = 16,
    LIST_FIRST = 24, /* kernels that go to the device at once when it has nothing to do */
    LIST_LONG = 384, /* and when it has                                                 */
    LIST_GRAPH = 16, /* so many at least go as a graph                                  */
};

/* A record of the list, followed by the arguments, each of them aligned. */
struct record {
    const void *kernel;
    dim3 grid, block;
    uint32_t kind, shared, n, bytes; /* arguments; bytes of the record with them */
    uint32_t of[MAX_ARGUMENTS];      /* where each begins */
};

static void *grow(struct queue *q, size_t bytes)
{
    if (q->used + bytes > q->cap) {
        q->cap = 2 * (q->used + bytes);
        q->list = realloc(q->list, q->cap);
        if (!q->list) cuda_must(cudaErrorMemoryAllocation, "memory for a list of kernels");
    }
    void *at = q->list + q->used;
    memset(at, 0, bytes); /* lists are compared as bytes */
    q->used += bytes;
    q->n++;
    return at;
}

static size_t aligned(size_t n)
{
    return (n + 15) / 16 * 16;
}

static void append(struct ops_cuda *c, enum kind kind)
{
    struct record *r = grow(&c->queue, aligned(sizeof *r));
    r->kind = kind;
    r->bytes = (uint32_t)aligned(sizeof *r);
}

/* ---- To the device ---- */

static void follow(cudaStream_t who, cudaStream_t whom, cudaEvent_t event)
{
    cuda_must(cudaEventRecord(event, whom), "event");
    cuda_must(cudaStreamWaitEvent(who, event, 0), "event");
}

static void launch(struct ops_cuda *c, struct record *r)
{
    void *arguments[MAX_ARGUMENTS];
    for (uint32_t i = 0; i < r->n; i++)
        arguments[i] = (char *)r + r->of[i];
    cudaLaunchAttribute dependent = {.id = cudaLaunchAttributeProgrammaticStreamSerialization};
    dependent.val.programmaticStreamSerializationAllowed = 1;
    const cudaLaunchConfig_t config = {.gridDim = r->grid,
                                       .blockDim = r->block,
                                       .dynamicSmemBytes = r->shared,
                                       .stream = r->kind == KERNEL_BESIDE ? c->beside.stream : c->stream,
                                       .attrs = &dependent,
                                       .numAttrs = c->dependent ? 1 : 0};
    cuda_must(cudaLaunchKernelExC(&config, r->kernel, arguments), "kernel launch");
}

static void launch_all(struct ops_cuda *c)
{
    struct queue *q = &c->queue;
    struct beside *b = &c->beside;
    struct record *r;
    for (size_t at = 0; at < q->used; at += r->bytes) {
        r = (struct record *)(void *)(q->list + at);
        if (r->kind == PART)
            follow(b->stream, c->stream, b->parted);
        else if (r->kind == JOIN)
            follow(c->stream, b->stream, b->joined);
        else
            launch(c, r);
    }
}

/* NULL when the list cannot be one. */
static cudaGraphExec_t make_graph(struct ops_cuda *c)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    if (cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
        launch_all(c);
        if (cudaStreamEndCapture(c->stream, &graph) != cudaSuccess ||
            cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess)
            exec = NULL;
        if (graph) cudaGraphDestroy(graph);
    }
    if (!exec) cudaGetLastError(); /* a failure here is no later call's */
    return exec;
}

static void forget(struct graph *g)
{
    if (g->exec) cudaGraphExecDestroy(g->exec);
    free(g->list);
    *g = (struct graph){0};
}

static struct graph *graph_of(struct queue *q)
{
    struct graph *oldest = q->graphs;
    q->clock++;
    for (struct graph *g = q->graphs; g < q->graphs + CUDA_GRAPHS; g++) {
        if (g->bytes == q->used && !memcmp(g->list, q->list, q->used)) {
            g->used = q->clock;
            g->times++;
            return g;
        }
        if (q->clock - g->used > q->clock - oldest->used) oldest = g;
    }
    forget(oldest);
    oldest->list = malloc(q->used);
    if (!oldest->list) return NULL;
    memcpy(oldest->list, q->list, q->used);
    oldest->bytes = q->used;
    oldest->used = q->clock;
    return oldest;
}

/* next: what the list reads may be overwritten from here on, behind it on the stream. */
static void send(struct ops_cuda *c, bool next)
{
    struct queue *q = &c->queue;
    const bool whole = !q->apart && !c->beside.apart; /* parted and joined within the list */
    struct graph *g = q->n >= LIST_GRAPH && whole ? graph_of(q) : NULL;
    if (g && g->times == 1) g->exec = make_graph(c);
    if (g && g->exec)
        cuda_must(cudaGraphLaunch(g->exec, c->stream), "graph launch");
    else
        launch_all(c);
    q->idle = false;
    q->n = 0;
    q->used = 0;
    q->apart = c->beside.apart;
    if (next && !q->apart) q->epoch++;
}

void cuda_flush(struct ops_cuda *c)
{
    send(c, true);
}

void cuda_idle(struct ops_cuda *c)
{
    struct beside *b = &c->beside;
    cuda_join(c);
    send(c, false);
    cuda_must(cudaStreamSynchronize(c->stream), "waiting for the device");
    if (!b->inside) return;
    append(c, PART);
    b->apart = true;
    b->n_here = 0;
}

/* Once a kernel: all want the same division of a multiprocessor's memory, for changing it waits until it is idle. */
static void prepare(struct ops_cuda *c, const void *kernel)
{
    struct queue *q = &c->queue;
    for (int i = 0; i < q->n_prepared; i++)
        if (q->prepared[i] == kernel) return;
    if (q->n_prepared == CUDA_KERNELS) return;
    q->prepared[q->n_prepared++] = kernel;
    cuda_must(
        cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
        "shared memory");
}

void cuda_submit(struct ops_cuda *c, const void *kernel, dim3 grid, dim3 block, size_t shared, int n,
                 const void *const *arguments, const size_t *bytes)
{
    cuda_settle(c);
    prepare(c, kernel);
    if (c->queue.n >= 2 * LIST_LONG && !c->beside.apart) send(c, false);
    size_t all = aligned(sizeof(struct record));
    uint32_t of[MAX_ARGUMENTS];
    if (n > MAX_ARGUMENTS) cuda_must(cudaErrorInvalidValue, "too many arguments of a kernel");
    for (int i = 0; i < n; i++) {
        of[i] = (uint32_t)all;
        all += aligned(bytes[i]);
    }
    struct record *r = grow(&c->queue, all);
    *r = (struct record){.kernel = kernel,
                         .grid = grid,
                         .block = block,
                         .kind = c->beside.inside ? KERNEL_BESIDE : KERNEL,
                         .shared = (uint32_t)shared,
                         .n = (uint32_t)n,
                         .bytes = (uint32_t)all};
    for (int i = 0; i < n; i++) {
        r->of[i] = of[i];
        memcpy((char *)r + of[i], arguments[i], bytes[i]);
    }
}

cudaStream_t cuda_now(struct ops_cuda *c)
{
    cuda_join(c);
    cuda_flush(c);
    return c->stream;
}

enum status cuda_queue_open(struct ops_cuda *c)
{
    struct beside *b = &c->beside;
    int least = 0, most = 0; /* the greatest priority is the smallest number */
    cudaDeviceGetStreamPriorityRange(&least, &most);
    if (cudaStreamCreateWithPriority(&c->stream, cudaStreamNonBlocking, least) != cudaSuccess ||
        cudaStreamCreateWithPriority(&b->stream, cudaStreamNonBlocking, most) != cudaSuccess ||
        cudaEventCreateWithFlags(&b->parted, cudaEventDisableTiming) != cudaSuccess ||
        cudaEventCreateWithFlags(&b->joined, cudaEventDisableTiming) != cudaSuccess)
        return fail(E_UNSUPPORTED, "cuda: no stream: %s", cudaGetErrorString(cudaGetLastError()));
    c->queue.epoch = 1; /* no mirror is of it */
    return OK;
}

void cuda_queue_close(struct ops_cuda *c)
{
    struct beside *b = &c->beside;
    for (int i = 0; i < CUDA_GRAPHS; i++)
        forget(&c->queue.graphs[i]);
    free(c->queue.list);
    if (b->joined) cudaEventDestroy(b->joined);
    if (b->parted) cudaEventDestroy(b->parted);
    if (b->stream) cudaStreamDestroy(b->stream);
    if (c->stream) cudaStreamDestroy(c->stream);
}

/* ---- Beside ---- */

static bool meet(const struct span *a, int n_a, const struct span *b, int n_b)
{
    for (int i = 0; i < n_a; i++)
        for (int k = 0; k < n_b; k++)
            if (a[i].at < b[k].at + b[k].bytes && b[k].at < a[i].at + a[i].bytes) return true;
    return false;
}

void cuda_join(struct ops_cuda *c)
{
    if (c->beside.apart) append(c, JOIN);
    c->beside.apart = false;
}

void cuda_check(struct ops_cuda *c, const struct span *spans, int n)
{
    struct beside *b = &c->beside;
    if (b->apart && (meet(spans, n, b->there, b->n_there) || b->n_here + n > BESIDE_SPANS)) cuda_join(c);
    for (int i = 0; i < n && b->apart; i++)
        b->here[b->n_here++] = spans[i];
    b->checked = true;
}

void cuda_checked(struct ops_cuda *c)
{
    c->beside.checked = false;
}

void cuda_part(struct ops_cuda *c, const struct span *spans, int n)
{
    struct beside *b = &c->beside;
    if (b->apart && (meet(spans, n, b->here, b->n_here) || b->n_there + n > BESIDE_SPANS)) cuda_join(c);
    if (!b->apart) {
        if (c->queue.n >= (c->queue.idle ? LIST_FIRST : LIST_LONG)) cuda_flush(c);
        append(c, PART);
        b->apart = true;
        b->n_here = b->n_there = 0;
    }
    for (int i = 0; i < n; i++)
        b->there[b->n_there++] = spans[i];
    b->inside = true;
}

void cuda_part_end(struct ops_cuda *c)
{
    c->beside.inside = false;
}
