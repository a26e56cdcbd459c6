// SPDX-License-Identifier: Apache-2.0
/* A build without a CUDA compiler. */
#include "ops/ops.h"

enum status ops_cuda_create(struct ops **out, enum compute_type compute, int n_threads)
{
    (void)out;
    (void)compute;
    (void)n_threads;
    return fail(E_UNSUPPORTED, "cuda: this gptjt was built without it: no nvcc was there");
}

double ops_cuda_copy_rate(struct ops *o)
{
    (void)o;
    return 0;
}

int64_t ops_cuda_cache_bytes(struct ops *o)
{
    (void)o;
    return 0;
}

double ops_cuda_peak_rate(struct ops *o, enum compute_type compute)
{
    (void)o;
    (void)compute;
    return 0;
}
