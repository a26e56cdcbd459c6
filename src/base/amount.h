// SPDX-License-Identifier: Apache-2.0
/* Numbers as people read them. */
#ifndef GPTJT_BASE_AMOUNT_H
#define GPTJT_BASE_AMOUNT_H

#include <stdint.h>

struct amount {
    char text[32];
};

struct amount amount_bytes(uint64_t bytes); /* "12.1 GB", powers of 1000 as on a disk's label */
struct amount amount_count(int64_t n);      /* "6,053,381,344" */

#endif
