// SPDX-License-Identifier: Apache-2.0
#include "dist/wire.h"

#include <string.h>

#include "base/half.h"

size_t wire_bytes(enum wire_type type, size_t n)
{
    return n * (type == WIRE_FP32 ? sizeof(float) : sizeof(uint16_t));
}

void wire_encode(enum wire_type type, void *out, const float *x, size_t n)
{
    uint16_t *narrow = out;
    switch (type) {
    case WIRE_FP16:
        for (size_t i = 0; i < n; i++)
            narrow[i] = f16_from_f32(x[i]);
        return;
    case WIRE_BF16:
        for (size_t i = 0; i < n; i++)
            narrow[i] = bf16_from_f32(x[i]);
        return;
    case WIRE_FP32:
    case WIRE_TYPES: memcpy(out, x, n * sizeof *x);
    }
}

void wire_decode(enum wire_type type, float *x, const void *in, size_t n)
{
    const uint16_t *narrow = in;
    switch (type) {
    case WIRE_FP16:
        for (size_t i = 0; i < n; i++)
            x[i] = f16_to_f32(narrow[i]);
        return;
    case WIRE_BF16:
        for (size_t i = 0; i < n; i++)
            x[i] = bf16_to_f32(narrow[i]);
        return;
    case WIRE_FP32:
    case WIRE_TYPES: memcpy(x, in, n * sizeof *x);
    }
}
