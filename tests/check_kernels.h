// SPDX-License-Identifier: Apache-2.0
/* What the parts of the kernel check share: numbers to compute on, arrays beside forbidden pages, verdicts. */
#ifndef GPTJT_TESTS_CHECK_KERNELS_H
#define GPTJT_TESTS_CHECK_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

#define EPS  0x1p-24
#define TINY 0x1p-149 /* the spacing of fp32's denormals */

/* What the numbers are like. */
enum kind { NORMAL, CANCEL, TINY_X, TINY_W, SPECIAL, KINDS };
extern const char *const check_kind_names[KINDS];

/* Where arrays lie: flush with the guard behind, one unit before it (weights: one byte), flush with the one in front.
 */
enum place { AT_END, NEAR_END, AT_START, PLACES };

enum { MAX_T = 13, MAX_O = 35, MAX_I = 4096, CUT = 76, PAD = 3, MAX_HALVES = 65536 };

enum { SIZES = 15 };
extern const int check_sizes[SIZES]; /* ascending, the first is 0, the last MAX_I */

struct check {
    const struct kernels *k;
    const char *entry, *only; /* only: a part of the names of the entries to check, or NULL */
    uint64_t seed, stream, counter;
    struct guarded in[4], out; /* each for one array of a call */
    char what[64], now[160];   /* the case, and the call; also for the signal handler */
    int failures, entry_failures, calls;
};

/* Numbers. Special ones include zeros and infinities. */
uint64_t check_u64(struct check *c);
void check_fill(struct check *c, float *x, size_t n, enum kind kind);

/* x [rows][stride] against w [O][I]; cancelling: the products of neighbours add up to nothing. */
void check_fill_matrices(struct check *c, float *x, int rows, size_t stride, char *w, enum dtype dtype, int O, int I,
                         enum kind kind);
float check_load(const char *w, enum dtype dtype, size_t i); /* element i of an array of weights */
float *check_alloc(size_t n);                                /* zeroed; does not return without memory */

/* Arrays: room for an output, and copies of inputs, laid out as asked. */
void *check_place(const struct guarded *g, enum place where, size_t bytes, size_t unit);
float *check_floats(const struct guarded *g, enum place where, const float *x, size_t n);
void *check_bytes(const struct guarded *g, enum place where, const char *w, size_t n);

/* x rounded to bf16; what a step of a sum may lose; both for an entry that flushes, or not, what is below 2^-126 to
 * zero. And how far a number rounded to bf16 may be off, relatively. */
long double check_bf16(bool flushes, long double x);
long double check_tiny(bool flushes);
#define BF16_OFF 0x1p-8

/* Verdicts. Each failure names the call in c->now; only an entry's first few are printed. */
void check_that(struct check *c, bool holds, const char *otherwise);
void check_near(struct check *c, size_t at, float have, long double truth, long double bound);
void check_same(struct check *c, const char *otherwise, size_t at, float have, float want); /* bits; all NaNs are one */

/* The floating-point environment, without the bits that record what happened. */
unsigned check_float_mode(void);

/* After every call: mode as before, nothing written around the output, inputs as they were. */
struct input {
    const void *at, *original;
    size_t bytes;
};
void check_clean(struct check *c, unsigned mode, const void *y, size_t y_bytes, const struct input *in, int n);

/* The entries. */
typedef void check_fn(struct check *c);
check_fn check_attention_f32, check_attention_f16, check_attention_f32_bf16, check_attention_f16_bf16;
check_fn check_narrow_f16, check_narrow_bf16, check_argmax, check_log_sum_exp, check_first_at_least,
    check_first_not_finite;
check_fn check_quant_strip;
check_fn check_widen_f16, check_widen_bf16, check_layer_norm, check_gelu, check_rotary;
check_fn check_layer_norm_back, check_layer_norm_sums, check_sum_rows, check_transpose_32, check_transpose_16;
check_fn check_gelu_back, check_cross_entropy, check_round_f16, check_round_bf16, check_zero, check_sum_squares,
    check_adamw;
check_fn check_attention_back, check_attention_back_bf16;

/* Products computed in compute with weights of type, which the table has; and what they are called. */
void check_linear(struct check *c, enum compute_type compute, enum weight_type type);
bool check_same_product(const struct linear_kernels *a, const struct linear_kernels *b);
const char *check_linear_name(enum compute_type compute, enum weight_type type);

/* Time every entry of every table this host can run; of the linear maps those whose names have `only` in them, at the
 * level cpu; NULL: all. */
void kernels_bench(void);
void kernels_bench_linear(const char *only, const char *cpu);

#endif
