// SPDX-License-Identifier: Apache-2.0
/* What the machine can do at this moment, all threads together: bytes read from memory and operations computed in
 * registers, by the fastest of several ways. These machines drift, by half within minutes where they are shared, so a
 * figure is worth something only beside a measurement made at the same time; see meter.h. */
#ifndef GPTJT_BENCH_MACHINE_H
#define GPTJT_BENCH_MACHINE_H

#include "base/pool.h"
#include "base/status.h"
#include "kernels/probes.h"
#include "ops/ops.h"

struct machine {
    struct pool *pool;
    struct ops *device; /* what is measured instead of the CPU, by copying and by large products; NULL: the CPU */
    char *buffer;       /* many times the last-level cache */
    size_t buffer_bytes;
    int64_t cache_bytes; /* of the last-level cache */
    struct probe_read read;
    struct probe_peak peak[PROBE_UNITS];
    int64_t rounds[PROBE_UNITS];   /* of one task: a fraction of a millisecond */
    double read_rate;              /* bytes/s when it was opened, and operations/s */
    double peak_rate[PROBE_UNITS]; /* 0: there is no such unit, or none that is measured */
};

/* Takes about a second, and brings the processor up to speed. Peaks are those of the given level, reading that of the
 * best one. *m is zeroed before; machine_close() it also after a failure. */
enum status machine_open(struct machine *m, int threads, enum cpu_level level);

/* The same for an NVIDIA GPU. Its units are fp32 and bf16, which stands for fp16 as well. */
enum status machine_open_cuda(struct machine *m, int threads);
void machine_close(struct machine *m);

/* Now: the median of a few bursts of milliseconds, so that neither an interruption nor a lucky moment counts. */
double machine_read_rate(const struct machine *m); /* bytes/s */
double machine_peak_rate(const struct machine *m,
                         enum probe_unit unit); /* operations/s; 0 where there is no such unit */

#endif
