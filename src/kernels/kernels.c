// SPDX-License-Identifier: Apache-2.0
/* Fills the table: ref first, then one overlay after the other up to the level asked for. */
#include "kernels/kernels.h"

#include <assert.h>

#include "kernels/x86/cpu.h"

const char *kernels_level_name(enum cpu_level level)
{
    static const char *const names[CPU_LEVELS] = {[CPU_REF] = "ref", [CPU_AVX2] = "avx2", [CPU_AVX512] = "avx512"};
    return names[level];
}

enum cpu_level kernels_best_level(void)
{
    if (!cpu_has_avx2()) return CPU_REF;
    if (!cpu_has_avx512()) return CPU_AVX2;
    return CPU_AVX512;
}

void kernels_init(struct kernels *k, enum cpu_level level)
{
    assert(level <= kernels_best_level());
    kernels_init_ref(k);
    kernels_init_ref_linear(k);
    kernels_init_attention_ref(k);
    if (level >= CPU_AVX2) {
        kernels_init_rows_avx2(k);
        kernels_init_attention_avx2(k);
        kernels_init_avx2_linear(k);
        kernels_init_avx2_int8(k);
        kernels_init_avx2_quant(k);
    }
    if (level >= CPU_AVX512) {
        kernels_init_rows_avx512(k);
        kernels_init_attention_avx512(k);
    }
    k->name = kernels_level_name(level);
}
