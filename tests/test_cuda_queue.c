// SPDX-License-Identifier: Apache-2.0
/* The order in which the CUDA backend's work reaches the device, without a device: queue.c and memory.c against a
 * runtime of their own below, which knows of streams and events only what they order. What runs is checked against what
 * the operations say they touch. */
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "ops/cuda/memory.c"
#include "ops/cuda/queue.c" /* NOLINT(bugprone-suspicious-include): to be tested with another runtime */

/* ---- The runtime: a stream is a clock for every stream, an event a copy of one ---- */

enum { STREAMS = 2, MAX_WORK = 256 };

struct clock {
    int of[STREAMS];
};

struct CUstream_st {
    int number;
    struct clock clock; /* what is before all that comes next */
};

struct CUevent_st {
    struct clock clock;
};

/* Done on a stream: a kernel, by its name, or a copy to a mirror. */
static struct work {
    char name;
    const void *read;
    int stream, time;
    struct clock before;
} works[MAX_WORK];

static struct CUstream_st streams[STREAMS];
static struct CUevent_st events[STREAMS];
static int n_works, n_streams, n_events, n_copies;
static struct clock waited; /* what the host has waited for */

static void work(struct CUstream_st *s, char name, const void *read)
{
    struct work *w = &works[n_works++];
    *w = (struct work){name, read, s->number, ++s->clock.of[s->number], s->clock};
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int priority)
{
    (void)flags;
    (void)priority;
    streams[n_streams] = (struct CUstream_st){.number = n_streams};
    *s = &streams[n_streams++];
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags)
{
    (void)flags;
    *e = &events[n_events++];
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    e->clock = s->clock;
    return cudaSuccess;
}

static void merge(struct clock *to, const struct clock *from)
{
    for (int i = 0; i < STREAMS; i++)
        if (from->of[i] > to->of[i]) to->of[i] = from->of[i];
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    (void)flags;
    merge(&s->clock, &e->clock);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    merge(&waited, &s->clock);
    return cudaSuccess;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *kernel, void **arguments)
{
    work(config->stream, *(const char *)kernel, arguments ? *(void **)arguments[0] : NULL);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t s)
{
    (void)kind;
    memcpy(to, from, bytes);
    n_copies++;
    work(s, '>', to);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    *p = malloc(bytes);
    return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *p)
{
    free(p);
    return cudaSuccess;
}

/* No graphs: lists are launched one by one. */
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    (void)s;
    (void)mode;
    return cudaErrorNotSupported;
}

#define NEVER(name, ...)                                                                                               \
    cudaError_t name(__VA_ARGS__)                                                                                      \
    {                                                                                                                  \
        return cudaErrorNotSupported;                                                                                  \
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
NEVER(cudaStreamEndCapture, cudaStream_t s, cudaGraph_t *g)
NEVER(cudaGraphInstantiate, cudaGraphExec_t *e, cudaGraph_t g, unsigned long long flags)
NEVER(cudaGraphDestroy, cudaGraph_t g)
NEVER(cudaGraphExecDestroy, cudaGraphExec_t e)
NEVER(cudaGraphLaunch, cudaGraphExec_t e, cudaStream_t s)
NEVER(cudaGetLastError, void)
NEVER(cudaEventDestroy, cudaEvent_t e)
NEVER(cudaStreamDestroy, cudaStream_t s)
#pragma GCC diagnostic pop

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *most)
{
    *least = *most = 0;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    (void)kernel;
    (void)attribute;
    (void)value;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t e)
{
    (void)e;
    return "an error";
}

void cuda_must(cudaError_t e, const char *what)
{
    if (e != cudaSuccess) fail_msg("%s", what);
}

/* ---- Operations ---- */

static struct ops_cuda *open_backend(void)
{
    struct ops_cuda *c = calloc(1, sizeof *c);
    assert_non_null(c);
    n_works = n_streams = n_events = n_copies = 0;
    waited = (struct clock){0};
    assert_int_equal(cuda_queue_open(c), OK);
    return c;
}

static void close_backend(struct ops_cuda *c)
{
    cuda_queue_close(c);
    for (struct mirror *m = c->mirrors; m < c->mirrors + CUDA_MIRRORS; m++) {
        free(m->device);
        free(m->host);
    }
    free(c->partial);
    free(c);
}

static void kernel(struct ops_cuda *c, const char *name, const void *read)
{
    const void *const arguments[] = {&read};
    const size_t bytes[] = {sizeof read};
    cuda_submit(c, name, (dim3){1, 1, 1}, (dim3){1, 1, 1}, 0, 1, arguments, bytes);
}

static const struct work *done(char name)
{
    for (int i = n_works - 1; i >= 0; i--)
        if (works[i].name == name) return &works[i];
    fail_msg("%c has not been done", name);
    return NULL;
}

static bool is_before(const struct work *a, const struct clock *clock)
{
    return clock->of[a->stream] >= a->time;
}

static void must_be_before(char a, char b)
{
    if (!is_before(done(a), &done(b)->before)) fail_msg("%c need not be before %c", a, b);
}

static void may_overlap(char a, char b)
{
    if (is_before(done(a), &done(b)->before) || is_before(done(b), &done(a)->before)) fail_msg("%c waits for %c", a, b);
}

static const char memory[4][64];

static struct span at(int i)
{
    return (struct span){memory[i], sizeof memory[i]};
}

static void beside(struct ops_cuda *c, const char *name, int touched, const void *read)
{
    const struct span s = at(touched);
    cuda_part(c, &s, 1);
    kernel(c, name, read);
    cuda_part_end(c);
}

static void product(struct ops_cuda *c, const char *name, int touched)
{
    const struct span s = at(touched);
    cuda_check(c, &s, 1);
    kernel(c, name, NULL);
    cuda_checked(c);
}

static void what_touches_other_memory_runs_beside(void **state)
{
    (void)state;
    struct ops_cuda *c = open_backend();
    kernel(c, "a", NULL);
    beside(c, "b", 0, NULL);
    product(c, "c", 1);
    product(c, "d", 0);
    kernel(c, "e", NULL);
    cuda_now(c);
    must_be_before('a', 'b');
    must_be_before('a', 'c');
    may_overlap('b', 'c');
    must_be_before('b', 'd');
    must_be_before('d', 'e');
    close_backend(c);
}

static void kernels_that_were_not_checked_wait(void **state)
{
    (void)state;
    struct ops_cuda *c = open_backend();
    beside(c, "b", 0, NULL);
    kernel(c, "e", NULL);
    cuda_now(c);
    must_be_before('b', 'e');
    close_backend(c);
}

/* The bug that a GPU found: memory that had to grow for a kernel beside joined the streams under it. */
static void scratch_may_grow_beside(void **state)
{
    (void)state;
    struct ops_cuda *c = open_backend();
    const struct span s = at(0);
    product(c, "a", 1);
    cuda_part(c, &s, 1);
    const void *mirror = cuda_mirror(c, "numbers", 8);
    cuda_scratch(c, &c->partial, &c->partial_bytes, 100);
    kernel(c, "b", mirror);
    cuda_part_end(c);
    product(c, "c", 1);
    for (int i = 0; i < CUDA_MIRRORS + 3; i++) { /* none of which may be where b's is, before b is through */
        const void *other = cuda_mirror(c, &i, sizeof i);
        if (other == mirror) assert_true(is_before(done('b'), &waited));
    }
    kernel(c, "e", NULL);
    cudaStreamSynchronize(cuda_now(c));
    must_be_before('a', 'b');
    must_be_before('b', 'e');
    assert_true(is_before(done('b'), &waited));
    assert_ptr_equal(done('b')->read, mirror);
    close_backend(c);
}

static void a_copy_is_there_before_who_reads_it_and_stays(void **state)
{
    (void)state;
    struct ops_cuda *c = open_backend();
    for (int step = 0; step < 3; step++) {
        const int numbers[] = {step, 7};
        const int before = n_copies;
        const void *first = cuda_mirror(c, &numbers[0], sizeof(int)),
                   *second = cuda_mirror(c, &numbers[1], sizeof(int));
        assert_int_equal(n_copies - before, step ? 1 : 2); /* the second is the same every time */
        assert_ptr_not_equal(first, second);
        kernel(c, "a", first);
        beside(c, "b", 0, second);
        assert_ptr_equal(cuda_mirror(c, &numbers[0], sizeof(int)), first);
        assert_int_equal(*(const int *)first, step);
        cudaStreamSynchronize(cuda_now(c));
        must_be_before('>', 'a');
        must_be_before('>', 'b');
    }
    close_backend(c);
}

static void a_long_list_goes_in_pieces_and_keeps_what_it_reads(void **state)
{
    (void)state;
    struct ops_cuda *c = open_backend();
    const void *first = cuda_mirror(c, "first", 6);
    for (int i = 0; i < 100; i++)
        kernel(c, "x", first);
    const void *second = cuda_mirror(c, "second", 7);
    assert_ptr_not_equal(first, second);
    assert_string_equal(first, "first");
    beside(c, "b", 0, second);
    cudaStreamSynchronize(cuda_now(c));
    assert_true(is_before(done('x'), &waited) && is_before(done('b'), &waited));
    close_backend(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_touches_other_memory_runs_beside),
        cmocka_unit_test(kernels_that_were_not_checked_wait),
        cmocka_unit_test(scratch_may_grow_beside),
        cmocka_unit_test(a_copy_is_there_before_who_reads_it_and_stays),
        cmocka_unit_test(a_long_list_goes_in_pieces_and_keeps_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
