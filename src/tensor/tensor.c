// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/half.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F32] = {"F32", 4}, [DTYPE_F16] = {"F16", 2},   [DTYPE_BF16] = {"BF16", 2}, [DTYPE_F64] = {"F64", 8},
    [DTYPE_U8] = {"U8", 1},   [DTYPE_BOOL] = {"BOOL", 1}, [DTYPE_I8] = {"I8", 1},     [DTYPE_I16] = {"I16", 2},
    [DTYPE_I32] = {"I32", 4}, [DTYPE_I64] = {"I64", 8},
};

size_t dtype_bytes(enum dtype d)
{
    return dtypes[d].bytes;
}

const char *dtype_name(enum dtype d)
{
    return dtypes[d].name;
}

bool dtype_from_name(enum dtype *out, const char *name)
{
    for (int d = 0; d < DTYPE_COUNT; d++) {
        if (strcmp(dtypes[d].name, name)) continue;
        *out = (enum dtype)d;
        return true;
    }
    return false;
}

enum status tensor_size(const struct tensor *t, const char *what, int64_t *elements, int64_t *bytes)
{
    int64_t n = 1, b;
    for (int i = 0; i < t->n_dims; i++) {
        if (t->shape[i] < 0) return fail(E_FORMAT, "%s: dimension %d is %" PRId64, what, i, t->shape[i]);
        if (__builtin_mul_overflow(n, t->shape[i], &n))
            return fail(E_FORMAT, "%s: shape overflows at dimension %d (%" PRId64 ")", what, i, t->shape[i]);
    }
    if (__builtin_mul_overflow(n, (int64_t)dtype_bytes(t->dtype), &b))
        return fail(E_FORMAT, "%s: %" PRId64 " elements of %s overflow", what, n, dtype_name(t->dtype));
    *elements = n;
    *bytes = b;
    return OK;
}

int64_t tensor_elements(const struct tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= t->shape[i];
    return n;
}

int64_t tensor_bytes(const struct tensor *t)
{
    return tensor_elements(t) * (int64_t)dtype_bytes(t->dtype);
}

const char *tensor_shape_text(const struct tensor *t, char *text, size_t text_bytes)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i <= t->n_dims && at < text_bytes; i++) {
        const int n = i < t->n_dims ? snprintf(text + at, text_bytes - at, "%s%" PRId64, i ? ", " : "[", t->shape[i])
                                    : snprintf(text + at, text_bytes - at, t->n_dims ? "]" : "[]");
        at += n > 0 ? (size_t)n : 0;
    }
    return text;
}

double tensor_value(const struct tensor *t, int64_t i)
{
    const char *p = (const char *)t->data + (size_t)i * dtype_bytes(t->dtype);
    union {
        float f32;
        double f64;
        uint16_t u16;
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        uint8_t u8;
    } v;
    memcpy(&v, p, dtype_bytes(t->dtype));
    switch (t->dtype) {
    case DTYPE_F32: return (double)v.f32;
    case DTYPE_F64: return v.f64;
    case DTYPE_F16: return (double)f16_to_f32(v.u16);
    case DTYPE_BF16: return (double)bf16_to_f32(v.u16);
    case DTYPE_U8:
    case DTYPE_BOOL: return v.u8;
    case DTYPE_I8: return v.i8;
    case DTYPE_I16: return v.i16;
    case DTYPE_I32: return v.i32;
    case DTYPE_I64: return (double)v.i64;
    case DTYPE_COUNT: break;
    }
    assert(0 && "dtype");
    return 0;
}
