// SPDX-License-Identifier: Apache-2.0
/* Which k numbers of a vector are the largest in size: for compression that sends these only (sparse.h). */
#ifndef GPTJT_DIST_TOPK_H
#define GPTJT_DIST_TOPK_H

#include <stddef.h>
#include <stdint.h>

/* index [k], ascending, = where the k <= n largest |x| of x [n] are, n < 2^32: of equals those with lower indexes; NaN
 * counts as larger than infinity. Finds the k-th largest by counting bits of |x| from the top (radix selection): four
 * passes over x, whatever it is, and no memory. */
void topk_select(uint32_t *index, const float *x, size_t n, size_t k);

#endif
