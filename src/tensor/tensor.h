// SPDX-License-Identifier: Apache-2.0
/* Dtypes and borrowed views. A tensor never owns memory; it is row-major and contiguous, and its data may be
 * unaligned (files decide), so element access goes through the kernels or memcpy. */
#ifndef GPTJT_TENSOR_TENSOR_H
#define GPTJT_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F64,
    DTYPE_U8,
    DTYPE_BOOL,
    DTYPE_I8,
    DTYPE_I16,
    DTYPE_I32,
    DTYPE_I64,
    DTYPE_COUNT
};

enum { TENSOR_MAX_DIMS = 8 };

struct tensor {
    const void *data; /* borrowed; NULL when the tensor has no elements */
    enum dtype dtype;
    int n_dims;                     /* 0: a scalar, one element */
    int64_t shape[TENSOR_MAX_DIMS]; /* each >= 0 */
};

size_t dtype_bytes(enum dtype d);
const char *dtype_name(enum dtype d);                    /* safetensors' names: "F32", "BF16", ... */
bool dtype_from_name(enum dtype *out, const char *name); /* the same names */

/* Elements and bytes of a shape; E_FORMAT naming what when a dimension is negative or a product overflows int64. */
enum status tensor_size(const struct tensor *t, const char *what, int64_t *elements, int64_t *bytes);

/* The same for a tensor already checked. */
int64_t tensor_elements(const struct tensor *t);
int64_t tensor_bytes(const struct tensor *t);

/* "[50400, 4096]" into text, which is returned. */
const char *tensor_shape_text(const struct tensor *t, char *text, size_t text_bytes);

/* Element i of any dtype as a double. */
double tensor_value(const struct tensor *t, int64_t i);

#endif
