// SPDX-License-Identifier: Apache-2.0
/* How rows of numbers travel: as they are, or narrower. */
#ifndef GPTJT_DIST_WIRE_H
#define GPTJT_DIST_WIRE_H

#include <stddef.h>

#include "base/status.h"

enum wire_type { WIRE_FP32, WIRE_FP16, WIRE_BF16, WIRE_TYPES };
#define WIRE_NAMES "fp32|fp16|bf16"

size_t wire_bytes(enum wire_type type, size_t n);

/* x [n] into out [wire_bytes()], and back. fp16 and bf16 round to nearest even; what is beyond fp16's range arrives as
 * infinity, which a training step recognises. */
void wire_encode(enum wire_type type, void *out, const float *x, size_t n);
void wire_decode(enum wire_type type, float *x, const void *in, size_t n);

#endif
