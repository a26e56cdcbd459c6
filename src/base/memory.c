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

/* The larger of best and what the file says, "32768K". */
static int64_t larger_size(int64_t best, const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f) return best;
    int64_t n = 0;
    char unit = 0;
    const int fields = fscanf(f, "%" SCNd64 "%c", &n, &unit);
    fclose(f);
    if (fields == 2 && unit == 'K') n *= 1024;
    if (fields == 2 && unit == 'M') n *= 1024 * 1024;
    return n > best ? n : best;
}

int64_t memory_last_cache(void)
{
    enum { INDICES = 8 };
    int64_t bytes = 0;
    for (int i = 0; i < INDICES; i++) {
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        bytes = larger_size(bytes, path);
    }
    return bytes ? bytes : 32 << 20;
}
