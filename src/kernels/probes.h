// SPDX-License-Identifier: Apache-2.0
/* Probes: loops that do nothing but load one part of the machine, so that a speed can be told as a fraction of what the
 * machine can do. A read probe streams memory; a peak probe multiplies and adds in registers, with as many independent
 * sums as the latency of the instruction needs and no memory at all. Several ways of doing the same are listed side by
 * side and the caller takes the fastest: which one that is differs from machine to machine.
 *
 * One thread each; whoever calls them brings threads, buffers and a clock. */
#ifndef GPTJT_KERNELS_PROBES_H
#define GPTJT_KERNELS_PROBES_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Reads bytes bytes at p, which is aligned to 64; bytes is a multiple of PROBE_READ_UNIT. The result depends on all. */
typedef uint64_t k_probe_read_fn(const void *p, size_t bytes);

enum { PROBE_READ_UNIT = 1 << 12 };

/* rounds times a fixed number of operations. The result depends on all. */
typedef float k_probe_peak_fn(int64_t rounds);

struct probe_read {
    const char *name;
    k_probe_read_fn *run;
};

struct probe_peak {
    const char *name; /* the instruction */
    k_probe_peak_fn *run;
    double ops; /* of a round; a multiplication and its addition are two */
};

/* What a machine multiplies: fp32 by fp32, bf16 by bf16 summed in fp32, int8 by int8 summed in int32, int4 by int8
 * summed in int32; the last only where an instruction set has a faster way for it than as int8 by int8. */
enum probe_unit { PROBE_F32, PROBE_BF16, PROBE_I8, PROBE_I4, PROBE_UNITS };

enum { PROBE_WAYS = 8 };

struct probes {
    struct probe_read read[PROBE_WAYS];
    struct probe_peak peak[PROBE_UNITS][PROBE_WAYS];
    int n_read, n_peak[PROBE_UNITS]; /* n_peak 0: there is no such unit at this level */
};

/* Fills p up to level, which must not exceed kernels_best_level(). */
void probes_init(struct probes *p, enum cpu_level level);

void probes_add_read(struct probes *p, const char *name, k_probe_read_fn *run);
void probes_add_peak(struct probes *p, enum probe_unit unit, const char *name, k_probe_peak_fn *run, double ops);

/* Implementation: one function a file, each adding what it has. */
void probes_init_ref(struct probes *p);
void probes_init_avx2(struct probes *p);
void probes_init_avx512(struct probes *p);
void probes_init_avx512bf16(struct probes *p);
void probes_init_avx512vnni(struct probes *p);
void probes_init_amx(struct probes *p);

#endif
