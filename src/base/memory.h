// SPDX-License-Identifier: Apache-2.0
/* How much memory there is to take, and how much of it is cached. */
#ifndef GPTJT_BASE_MEMORY_H
#define GPTJT_BASE_MEMORY_H

#include <stdint.h>

/* Bytes that can be taken without swapping, as Linux estimates it (MemAvailable); INT64_MAX where nobody tells. */
int64_t memory_available(void);

/* Bytes of the last-level cache that CPU 0 uses, 32 MiB where nobody tells. */
int64_t memory_last_cache(void);

#endif
