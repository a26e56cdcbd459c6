// SPDX-License-Identifier: Apache-2.0
/* Fills the table: ref first, then one overlay after the other up to the level asked for. */
#include "kernels/kernels.h"

#include <assert.h>
#include <string.h>

#include "kernels/x86/cpu.h"

const char *kernels_level_name(enum cpu_level level)
{
    static const char *const names[CPU_LEVELS] = {
        [CPU_REF] = "ref", [CPU_AVX2] = "avx2", [CPU_AVX512] = "avx512", [CPU_AVX512BF16] = "avx512bf16",
        [CPU_AMX] = "amx",
    };
    return names[level];
}

enum cpu_level kernels_best_level(void)
{
    if (!cpu_has_avx2()) return CPU_REF;
    if (!cpu_has_avx512()) return CPU_AVX2;
    if (!cpu_has_avx512bf16()) return CPU_AVX512;
    if (!cpu_has_amx()) return CPU_AVX512BF16;
    return CPU_AMX;
}

void kernels_init(struct kernels *k, enum cpu_level level)
{
    assert(level <= kernels_best_level());
    *k = (struct kernels){0};
    kernels_init_ref(k);
    kernels_init_ref_linear(k);
    kernels_init_attention_ref(k);
    kernels_init_back_ref(k);
    if (level >= CPU_AVX2) {
        kernels_init_rows_avx2(k);
        kernels_init_attention_avx2(k);
        kernels_init_back_avx2(k);
        kernels_init_attention_back_avx2(k);
        kernels_init_transpose_avx2(k);
        kernels_init_avx2_linear(k);
        kernels_init_avx2_back_products(k);
        kernels_init_avx2_int8(k);
        kernels_init_avx2_quant(k);
    }
    if (level >= CPU_AVX512) {
        kernels_init_rows_avx512(k);
        kernels_init_attention_avx512(k);
        kernels_init_back_avx512(k);
        kernels_init_attention_back_avx512(k);
        kernels_init_avx512_linear(k);
        if (cpu_has_avx512vnni()) kernels_init_vnni_int8(k);
    }
    if (level >= CPU_AVX512BF16) {
        kernels_init_avx512bf16_linear(k);
        kernels_init_attention_avx512bf16(k);
    }
    if (level >= CPU_AMX) {
        k->back[COMPUTE_BF16] = (struct back_kernels){0}; /* with tiles linear maps are faster, factors turned first */
        kernels_init_amx_linear(k);
        kernels_init_amx_int8(k);
    }
    k->name = kernels_level_name(level);
}
