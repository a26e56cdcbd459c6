// SPDX-License-Identifier: Apache-2.0
/* DENSE_COCKTAIL of dense.h, for dense.c. */
#ifndef GPTJT_DIST_DENSE_COCKTAIL_H
#define GPTJT_DIST_DENSE_COCKTAIL_H

#include "dist/dense.h"

/* n % bucket == 0 or n < bucket. The number of bytes has been checked. */
size_t dense_cocktail_bytes(const struct dense *d, size_t n);
void dense_cocktail_encode(uint8_t *out, const struct dense *d, const float *x, size_t n);
enum status dense_cocktail_decode(float *x, const struct dense *d, size_t n, const uint8_t *in);

#endif
