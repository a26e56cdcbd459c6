// SPDX-License-Identifier: Apache-2.0
/* The vector functions of src/kernels/x86/math_*.h as loops that a test can call; each is compiled for its level. */
#ifndef GPTJT_TESTS_VECTOR_MATH_H
#define GPTJT_TESTS_VECTOR_MATH_H

#include <stddef.h>

/* y[i] = exp(x[i]), n a multiple of the vector's length. */
typedef void vector_exp_fn(float *y, const float *x, size_t n);
vector_exp_fn vector_exp_avx2, vector_exp_avx512;

#endif
