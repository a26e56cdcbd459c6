// SPDX-License-Identifier: Apache-2.0
/* How much memory there is to take. */
#ifndef GPTJT_BASE_MEMORY_H
#define GPTJT_BASE_MEMORY_H

#include <stdint.h>

/* Bytes that can be taken without swapping, as Linux estimates it (MemAvailable); INT64_MAX where nobody tells. */
int64_t memory_available(void);

#endif
