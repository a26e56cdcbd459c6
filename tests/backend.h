// SPDX-License-Identifier: Apache-2.0
/* What the tests of the CPU backend share: the backend, its memory, numbers to compute on, a verdict. */
#ifndef GPTJT_TESTS_BACKEND_H
#define GPTJT_TESTS_BACKEND_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/rng.h"
#include "ops/cpu.h"

#define EPS 0x1p-24

static inline struct ops *backend(enum cpu_level level, int n_threads, int max_K)
{
    struct ops *o = NULL;
    const struct ops_cpu_limits limits = {.head = max_K, .inputs = 4096};
    if (ops_cpu_create(&o, level, COMPUTE_FP32, n_threads, limits) != OK) fail_msg("%s", status_message());
    return o;
}

static inline struct ops *best_backend(void)
{
    return backend(kernels_best_level(), 2, 256);
}

static inline void *alloc(struct ops *o, size_t bytes)
{
    void *p = NULL;
    if (o->fn->alloc(o, &p, bytes) != OK) fail_msg("%s", status_message());
    return p;
}

/* n numbers in (-1, 1), a function of the stream. */
static inline float *numbers(size_t n, uint64_t stream)
{
    float *x = malloc((n ? n : 1) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(rng_uniform(1, stream, i) * 2 - 1);
    return x;
}

static inline float *copy_of(const float *x, size_t n)
{
    float *y = malloc((n ? n : 1) * sizeof *y);
    assert_non_null(y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static inline void must_be_near(double have, double truth, double bound, const char *what, int t, int o)
{
    if (!(fabs(have - truth) <= bound))
        fail_msg("%s, row %d, output %d: %.9g, not %.9g +- %.3g", what, t, o, have, truth, bound);
}

#endif
