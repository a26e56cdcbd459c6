// SPDX-License-Identifier: Apache-2.0
/* The vectors that a file is compiled for, under one set of names, so that a kernel is written once and compiled for
 * each instruction set. Where there are none, nothing is defined, not even VEC.
 *
 *     vec, dvec                VEC floats (8 or 16), and half as many doubles; what is called low and high are the
 *                              halves of a vec
 *     vec_load_n, vec_store_n  only the first n < VEC; no other byte is touched
 *     vec_load_pairs           VEC / 2 floats, each twice
 *     vec_swap_pairs           lanes 0 and 1, 2 and 3, ... change places
 *     vec_fma_pairs            a * b - c in even lanes, a * b + c in odd ones, rounded once
 *     vec_max, vec_min         b where one is NaN
 *     vec_if_negative          a where x has its sign set, b elsewhere
 *     vec_at_least             bit j: lane j of a >= lane j of b (no NaN is)
 *     vec_is_nan               bit j: lane j is NaN
 *     vec_reduce_*             over the lanes, as a tree
 *     vec_exp, vec_gelu        see math_avx2.h
 *
 * Nothing needs alignment. */
#ifndef GPTJT_KERNELS_X86_VEC_H
#define GPTJT_KERNELS_X86_VEC_H

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include "kernels/x86/vec_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "kernels/x86/vec_avx2.h"
#endif

#endif
