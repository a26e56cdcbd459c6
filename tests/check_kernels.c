// SPDX-License-Identifier: Apache-2.0
/* Checks every entry of every kernel table this host can run, `ref` included, and with --bench times them.
 *
 * The truth is computed here, in the plainest way and in long double. What an implementation may differ by is derived,
 * not chosen: an n-term dot product in fp32 has rounding errors that add up like a random walk, so
 *
 *     |y - truth| <= (8 + sqrt(n)) eps sum|a_i b_i| + eps |truth|       eps = 2^-24, plus one fp32 denormal a step
 *
 * and data movement has none. On top come the laws of kernels.h: an output has the same bits whether it is computed
 * alone or among others, and wherever the arrays lie. Inputs and outputs end (or begin) at a page that cannot be
 * touched, outputs start as NaN, nothing around them may change, and the floating-point mode must come back as it was.
 *
 *     check_kernels [--seed N] [--only PART_OF_A_NAME] [--cpu LEVEL] [--bench] */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <xmmintrin.h>
#endif

#include "base/half.h"
#include "base/rng.h"
#include "check_kernels.h"

enum { MAX_NAMED = 3 };

const char *const check_kind_names[KINDS] = {"normal", "cancelling", "denormal x", "denormal w", "infinite"};

const int check_sizes[SIZES] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 80, 200, MAX_I};

/* The one global: a signal handler has no argument of ours. */
static const struct check *current;

static void on_fault(int signal)
{
    char text[256];
    const int n = snprintf(text, sizeof text,
                           "FAIL %s %s: %s: signal %d: touched memory outside its arrays, or asked for alignment\n",
                           current->k->name, current->entry, current->now, signal);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) _exit(2);
    _exit(1);
}

/* ---- Numbers ---- */

uint64_t check_u64(struct check *c)
{
    return rng_u64(c->seed, c->stream, c->counter++);
}

/* Both signs, a few binades. */
static float check_ordinary(struct check *c)
{
    const uint64_t u = check_u64(c);
    const double x = (double)(u >> 40) * 0x1p-23 - 1;
    return (float)ldexp(x, (int)(u % 9) - 4);
}

static float one_of(struct check *c, enum kind kind)
{
    const uint64_t u = check_u64(c);
    const float sign = u & 1 ? -1.0f : 1.0f;
    if (kind == TINY_X) return sign * (float)(u >> 44) * 0x1p-149f;
    if (kind == SPECIAL && u % 11 == 0) return u % 2 ? INFINITY : -INFINITY;
    if (kind == SPECIAL && u % 7 == 0) return 0;
    return check_ordinary(c);
}

void check_fill(struct check *c, float *x, size_t n, enum kind kind)
{
    for (size_t i = 0; i < n; i++)
        x[i] = one_of(c, kind);
}

/* Weights of the given dtype, from floats. */
float check_load(const char *w, enum dtype dtype, size_t i)
{
    uint16_t h;
    float x;
    if (dtype == DTYPE_F32) {
        memcpy(&x, w + i * sizeof x, sizeof x);
        return x;
    }
    memcpy(&h, w + i * sizeof h, sizeof h);
    return dtype == DTYPE_F16 ? f16_to_f32(h) : bf16_to_f32(h);
}

long double check_bf16(bool flushes, long double x)
{
    return flushes && fabsl(x) < (long double)FLT_MIN ? 0 : (long double)bf16_to_f32(bf16_from_f32((float)x));
}

long double check_tiny(bool flushes)
{
    return flushes ? (long double)FLT_MIN : (long double)TINY;
}

static void store(char *w, enum dtype dtype, size_t i, float x)
{
    const uint16_t h = dtype == DTYPE_F16 ? f16_from_f32(x) : bf16_from_f32(x);
    if (dtype == DTYPE_F32)
        memcpy(w + i * sizeof x, &x, sizeof x);
    else
        memcpy(w + i * sizeof h, &h, sizeof h);
}

static float smallest(enum dtype dtype)
{
    return dtype == DTYPE_F16 ? 0x1p-24f : dtype == DTYPE_BF16 ? 0x1p-133f : 0x1p-149f;
}

/* x [rows][stride] against w [O][I]. Cancelling: neighbours' products with the even rows of w add up to nothing. */
void check_fill_matrices(struct check *c, float *x, int rows, size_t stride, char *w, enum dtype dtype, int O, int I,
                         enum kind kind)
{
    check_fill(c, x, (size_t)rows * stride, kind == TINY_W || kind == CANCEL ? NORMAL : kind);
    for (size_t i = 0; i < (size_t)O * (size_t)I; i++) {
        float v = one_of(c, kind == SPECIAL ? SPECIAL : NORMAL);
        if (kind == TINY_W) v = (float)((int)(check_u64(c) % 255) - 127) * smallest(dtype);
        store(w, dtype, i, v);
    }
    if (kind != CANCEL) return;
    for (int t = 0; t < rows; t++)
        for (size_t i = 1; i < (size_t)I; i += 2)
            x[(size_t)t * stride + i] = x[(size_t)t * stride + i - 1] *= 1024;
    for (int o = 0; o < O; o++)
        for (size_t i = (size_t)o * (size_t)I + 1; i < (size_t)(o + 1) * (size_t)I; i += 2)
            store(w, dtype, i, -check_load(w, dtype, i - 1));
}

/* ---- Verdicts ---- */

static void complain(struct check *c, const char *what, size_t at, double have, double want, double bound)
{
    c->failures++;
    if (c->entry_failures++ >= MAX_NAMED) return;
    fprintf(stderr, "FAIL %s %s: %s: %s", c->k->name, c->entry, c->now, what);
    if (bound >= 0) fprintf(stderr, " at %zu: %.9g, not %.9g +- %.3g", at, have, want, bound);
    fprintf(stderr, "\n");
}

void check_that(struct check *c, bool holds, const char *what)
{
    if (!holds) complain(c, what, 0, 0, 0, -1);
}

void check_near(struct check *c, size_t at, float have, long double truth, long double bound)
{
    const double want = (double)truth;
    const bool near = isnan(want)   ? isnan(have)
                      : isinf(want) ? (double)have == want
                                    : fabsl((long double)have - truth) <= bound;
    if (!near) complain(c, "wrong", at, (double)have, want, (double)bound);
}

/* NaNs count as one value: which of its many bit patterns comes out is nobody's concern. */
static bool same_bits(float a, float b)
{
    return !memcmp(&a, &b, sizeof a) || (isnan(a) && isnan(b));
}

void check_same(struct check *c, const char *what, size_t at, float have, float want)
{
    if (!same_bits(have, want)) complain(c, what, at, (double)have, (double)want, 0);
}

unsigned check_float_mode(void)
{
#if defined(__x86_64__)
    return _mm_getcsr() & ~0x3fu; /* the low six bits record which exceptions happened, which computing may change */
#else
    return 0;
#endif
}

/* Whether AMX tiles hold something, which costs every task switch: XGETBV 1 tells on CPUs that have them. */
static bool tiles_in_use(void)
{
#if defined(__x86_64__)
    enum { IN_USE_SUPPORTED = 1 << 2, TILE_CONFIG_AND_DATA = 0x60000 };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return false;
    if (!__get_cpuid_count(0xd, 1, &a, &b, &c, &d) || !(a & IN_USE_SUPPORTED)) return false;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    return a & TILE_CONFIG_AND_DATA;
#else
    return false;
#endif
}

/* ---- Arrays ---- */

void *check_place(const struct guarded *g, enum place where, size_t bytes, size_t unit)
{
    return where == AT_START ? guarded_start(g, bytes) : guarded_end(g, bytes, where == NEAR_END ? unit : 0);
}

/* Copies an input of n floats to where it is read. */
float *check_floats(const struct guarded *g, enum place where, const float *x, size_t n)
{
    float *p = check_place(g, where, n * sizeof *p, sizeof *p);
    if (n) memcpy(p, x, n * sizeof *p);
    return p;
}

void *check_bytes(const struct guarded *g, enum place where, const char *w, size_t n)
{
    char *p = check_place(g, where, n, 1);
    if (n) memcpy(p, w, n);
    return p;
}

float *check_alloc(size_t n)
{
    float *p = calloc(n ? n : 1, sizeof *p);
    if (!p) abort();
    return p;
}

void check_clean(struct check *c, unsigned mode, const void *y, size_t y_bytes, const struct input *in, int n)
{
    c->calls++;
    check_that(c, check_float_mode() == mode, "the floating-point mode has changed");
    check_that(c, !tiles_in_use(), "left something in tiles");
    check_that(c, guarded_clean_outside(&c->out, y, y_bytes), "wrote outside its output");
    for (int i = 0; i < n; i++)
        check_that(c, !in[i].bytes || !memcmp(in[i].at, in[i].original, in[i].bytes), "changed an input");
}

/* ---- All of them ---- */

typedef void any_fn(void); /* only to tell whether two tables share a function */

/* Entry i of a table; false past the last. */
static bool entry(const struct kernels *k, int i, const char **name, any_fn **fn, check_fn **check)
{
    const struct {
        const char *name;
        any_fn *fn;
        check_fn *check;
    } all[] = {
        {"quant_strip", (any_fn *)k->quant_strip, check_quant_strip},
        {"widen_f16", (any_fn *)k->widen_f16, check_widen_f16},
        {"widen_bf16", (any_fn *)k->widen_bf16, check_widen_bf16},
        {"narrow_f16", (any_fn *)k->narrow_f16, check_narrow_f16},
        {"narrow_bf16", (any_fn *)k->narrow_bf16, check_narrow_bf16},
        {"layer_norm", (any_fn *)k->layer_norm, check_layer_norm},
        {"gelu", (any_fn *)k->gelu, check_gelu},
        {"rotary", (any_fn *)k->rotary, check_rotary},
        {"attention_f32", (any_fn *)k->attention_f32, check_attention_f32},
        {"attention_f16", (any_fn *)k->attention_f16, check_attention_f16},
        {"attention_f32_bf16", (any_fn *)k->attention_f32_bf16, check_attention_f32_bf16},
        {"attention_f16_bf16", (any_fn *)k->attention_f16_bf16, check_attention_f16_bf16},
        {"argmax", (any_fn *)k->argmax, check_argmax},
        {"log_sum_exp", (any_fn *)k->log_sum_exp, check_log_sum_exp},
        {"first_at_least", (any_fn *)k->first_at_least, check_first_at_least},
        {"first_not_finite", (any_fn *)k->first_not_finite, check_first_not_finite},
        {"layer_norm_back", (any_fn *)k->layer_norm_back, check_layer_norm_back},
        {"layer_norm_sums", (any_fn *)k->layer_norm_sums, check_layer_norm_sums},
        {"sum_rows", (any_fn *)k->sum_rows, check_sum_rows},
        {"gelu_back", (any_fn *)k->gelu_back, check_gelu_back},
        {"cross_entropy", (any_fn *)k->cross_entropy, check_cross_entropy},
        {"transpose_32", (any_fn *)k->transpose_32, check_transpose_32},
        {"transpose_16", (any_fn *)k->transpose_16, check_transpose_16},
        {"attention_back", (any_fn *)k->attention_back, check_attention_back},
        {"attention_back_bf16", (any_fn *)k->attention_back_bf16, check_attention_back_bf16},
        {"round_f16", (any_fn *)k->round_f16, check_round_f16},
        {"round_bf16", (any_fn *)k->round_bf16, check_round_bf16},
        {"zero", (any_fn *)k->zero, check_zero},
        {"sum_squares", (any_fn *)k->sum_squares, check_sum_squares},
        {"adamw", (any_fn *)k->adamw, check_adamw},
    };
    _Static_assert(COUNT_OF(all) == (sizeof *k - sizeof k->linear - sizeof k->back) / sizeof(any_fn *) - 1,
                   "a new entry of struct kernels has no check");
    if (i >= (int)COUNT_OF(all)) return false;
    *name = all[i].name;
    *fn = all[i].fn;
    *check = all[i].check;
    return true;
}

bool check_same_product(const struct linear_kernels *a, const struct linear_kernels *b)
{
    return a->stream == b->stream && a->multiply == b->multiply && a->pack_w == b->pack_w;
}

static bool wanted(const struct check *c)
{
    return !c->only || strstr(c->entry, c->only);
}

static void check_products(struct check *c, const struct kernels *below)
{
    for (enum compute_type compute = 0; compute < COMPUTE_TYPES; compute++) {
        for (enum weight_type type = 0; type < WEIGHT_TYPES; type++) {
            const struct linear_kernels *k = &c->k->linear[compute][type];
            c->entry = check_linear_name(compute, type);
            if (!wanted(c) || (!k->stream && !k->multiply)) continue;
            if (check_same_product(k, &below->linear[compute][type])) {
                printf("  %-10s %-19s as the level below\n", c->k->name, c->entry);
                continue;
            }
            c->stream = 100 + (uint64_t)compute * WEIGHT_TYPES + (uint64_t)type;
            c->counter = 0;
            c->calls = c->entry_failures = 0;
            check_linear(c, compute, type);
            printf("  %-10s %-19s %s, %d calls\n", c->k->name, c->entry, c->entry_failures ? "FAIL" : "ok", c->calls);
            fflush(stdout);
        }
    }
}

/* Everything that this level does not share with the one below. */
static void check_level(struct check *c, enum cpu_level level)
{
    struct kernels k, below = {0};
    kernels_init(&k, level);
    if (level > CPU_REF) kernels_init(&below, level - 1);
    c->k = &k;
    current = c;
    any_fn *fn, *fn_below;
    check_fn *check;
    for (int i = 0; entry(&below, i, &c->entry, &fn_below, &check); i++) {
        entry(&k, i, &c->entry, &fn, &check);
        if (!wanted(c) || !fn) continue;
        if (fn == fn_below) {
            printf("  %-10s %-19s as the level below\n", k.name, c->entry);
            continue;
        }
        c->stream = (uint64_t)i;
        c->counter = 0;
        c->calls = c->entry_failures = 0;
        check(c);
        printf("  %-10s %-19s %s, %d calls\n", k.name, c->entry, c->entry_failures ? "FAIL" : "ok", c->calls);
        fflush(stdout);
    }
    check_products(c, &below);
    current = NULL;
}

static int check_all(uint64_t seed, const char *only, const char *cpu)
{
    struct check c = {.seed = seed, .only = only};
    const size_t bytes = sizeof(float) * (size_t)MAX_O * (MAX_I + CUT + PAD);
    for (size_t i = 0; i < COUNT_OF(c.in); i++)
        c.in[i] = guarded_open(bytes);
    c.out = guarded_open(sizeof(float) * MAX_HALVES + sizeof(float));
    printf("rerun with --seed %" PRIu64 "\n", seed);
    for (enum cpu_level level = 0; level < CPU_LEVELS; level++) {
        if (cpu && strcmp(cpu, kernels_level_name(level))) continue;
        if (level <= kernels_best_level())
            check_level(&c, level);
        else
            printf("  %-10s SKIPPED: this machine does not have it\n", kernels_level_name(level));
    }
    for (size_t i = 0; i < COUNT_OF(c.in); i++)
        guarded_close(&c.in[i]);
    guarded_close(&c.out);
    if (c.failures) fprintf(stderr, "%d failures with --seed %" PRIu64 "\n", c.failures, seed);
    return c.failures != 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = rng_fresh_seed();
    const char *only = NULL, *cpu = NULL;
    bool bench = false;
    for (int i = 1; i < argc; i++) {
        const bool value = i + 1 < argc;
        if (value && !strcmp(argv[i], "--seed")) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (value && !strcmp(argv[i], "--only")) {
            only = argv[++i];
        } else if (value && !strcmp(argv[i], "--cpu")) {
            cpu = argv[++i];
        } else if (!strcmp(argv[i], "--bench")) {
            bench = true;
        } else {
            fprintf(stderr, "usage: check_kernels [--seed N] [--only PART_OF_A_NAME] [--cpu LEVEL] [--bench]\n");
            return 2;
        }
    }
    if (bench) {
        if (!only && !cpu) kernels_bench();
        kernels_bench_linear(only, cpu);
        return 0;
    }
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    return check_all(seed, only, cpu);
}
