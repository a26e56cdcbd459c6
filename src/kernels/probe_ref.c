// SPDX-License-Identifier: Apache-2.0
/* Probes in plain C, as fast as the compiler makes them for the oldest processor of the architecture. The sums are
 * written as lanes, which it turns into vectors. */
#include "kernels/probes.h"

enum { LANES = 48, STREAMS = 4, WORDS = 8 }; /* WORDS of 8 bytes: a cache line */

static uint64_t k_probe_read_ref(const void *p, size_t bytes)
{
    const size_t words = bytes / STREAMS / sizeof(uint64_t);
    const uint64_t *x = p;
    uint64_t sum[STREAMS] = {0};
    for (size_t i = 0; i < words; i += WORDS)
        for (int s = 0; s < STREAMS; s++)
            for (size_t w = 0; w < WORDS; w++)
                sum[s] += x[(size_t)s * words + i + w];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static float k_probe_f32_ref(int64_t rounds)
{
    float sum[LANES], total = 0;
    for (int i = 0; i < LANES; i++)
        sum[i] = (float)i;
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < LANES; i++)
            sum[i] = sum[i] * 0.999f + 1e-3f;
    for (int i = 0; i < LANES; i++)
        total += sum[i];
    return total;
}

void probes_init_ref(struct probes *p)
{
    probes_add_read(p, "C, 4 streams", k_probe_read_ref);
    probes_add_peak(p, PROBE_F32, "C", k_probe_f32_ref, 2.0 * LANES);
}
