// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>

int64_t memory_available(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f) return INT64_MAX;
    int64_t kilobytes = INT64_MAX / 1024;
    char line[256];
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %" SCNd64 " kB", &kilobytes) == 1) break;
    fclose(f);
    return kilobytes * 1024;
}
