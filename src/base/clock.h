// SPDX-License-Identifier: Apache-2.0
/* Monotonic time. */
#ifndef GPTJT_BASE_CLOCK_H
#define GPTJT_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_ns(void); /* nanoseconds since an arbitrary start; never goes back */

static inline double clock_seconds(int64_t from_ns, int64_t to_ns)
{
    return (double)(to_ns - from_ns) * 1e-9;
}

#endif
