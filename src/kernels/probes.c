// SPDX-License-Identifier: Apache-2.0
/* Fills the table of probes, one instruction set after the other. Nothing is replaced: a newer unit need not be the
 * faster one, and the caller measures all. */
#include "kernels/probes.h"

#include <assert.h>

#include "kernels/x86/cpu.h"

void probes_add_read(struct probes *p, const char *name, k_probe_read_fn *run)
{
    assert(p->n_read < PROBE_WAYS);
    p->read[p->n_read++] = (struct probe_read){name, run};
}

void probes_add_peak(struct probes *p, enum probe_unit unit, const char *name, k_probe_peak_fn *run, double ops)
{
    assert(p->n_peak[unit] < PROBE_WAYS);
    p->peak[unit][p->n_peak[unit]++] = (struct probe_peak){name, run, ops};
}

void probes_init(struct probes *p, enum cpu_level level)
{
    assert(level <= kernels_best_level());
    *p = (struct probes){0};
    probes_init_ref(p);
    if (level >= CPU_AVX2) probes_init_avx2(p);
    if (level >= CPU_AVX512) {
        probes_init_avx512(p);
        if (cpu_has_avx512vnni()) probes_init_avx512vnni(p);
    }
    if (level >= CPU_AVX512BF16) probes_init_avx512bf16(p);
    if (level >= CPU_AMX) probes_init_amx(p);
}
