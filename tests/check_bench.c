// SPDX-License-Identifier: Apache-2.0
/* check_kernels --bench: every entry at GPT-J's sizes, at every level of this host that has its own version, as the
 * best of a few tries. What only moves data, or is bound by reading weights, is in GB/s of what must be read and
 * written; the rest in GFLOP/s. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/half.h"
#include "check_kernels.h"
#include "kernels/quant.h"

enum { D = 4096, H = 16, K = 256, R = 64, ROWS = 48, KEYS = 512, V = 50400, MAX_N = ROWS * D };
enum { BACK_ROWS = 96, SMALL_D = 768, TOKENS = 512, PARAMETERS = 1 << 22 }; /* of the backward pass */

struct arrays {
    float *x, *y, *w32, *sin, *cos;
    float *state; /* [4][PARAMETERS], positive */
    uint16_t *w16, *h;
};

typedef void bench_fn(const struct kernels *k, const struct arrays *a);

static void widen_f16(const struct kernels *k, const struct arrays *a)
{
    k->widen_f16(a->y, a->w16, MAX_N);
}

static void widen_bf16(const struct kernels *k, const struct arrays *a)
{
    k->widen_bf16(a->y, a->w16, MAX_N);
}

static void narrow_f16(const struct kernels *k, const struct arrays *a)
{
    k->narrow_f16(a->h, a->x, MAX_N);
}

static void narrow_bf16(const struct kernels *k, const struct arrays *a)
{
    k->narrow_bf16(a->h, a->x, MAX_N);
}

static void quantise(const struct kernels *k, const struct arrays *a, enum weight_type type)
{
    for (int strip = 0; strip < ROWS / QUANT_STRIP; strip++)
        k->quant_strip((char *)a->y + (size_t)strip * quant_strip_bytes(type, D), type,
                       a->x + (size_t)strip * QUANT_STRIP * D, D, QUANT_STRIP, D);
}

static void quantise_q8(const struct kernels *k, const struct arrays *a)
{
    quantise(k, a, WEIGHT_Q8);
}

static void quantise_q4(const struct kernels *k, const struct arrays *a)
{
    quantise(k, a, WEIGHT_Q4);
}

static void layer_norm(const struct kernels *k, const struct arrays *a)
{
    k->layer_norm(a->y, a->x, a->w32, a->w32 + D, D, 1e-5f);
}

/* It works in place, so it gets fresh numbers each time, or they would settle at zero. */
static void gelu(const struct kernels *k, const struct arrays *a)
{
    memcpy(a->y, a->x, 4 * D * sizeof *a->y);
    k->gelu(a->y, 4 * D);
}

static void rotary(const struct kernels *k, const struct arrays *a)
{
    k->rotary(a->y, a->sin, a->cos, H, K, R);
}

/* T rows through the pages of KEYS positions; the values lie behind the keys. */
static void attend(k_attention_fn *attention, const struct arrays *a, const void *pages, size_t bytes, int T)
{
    static const int32_t lo[ROWS] = {0};
    float max[ROWS], sum[ROWS], score[ROWS * KV_PAGE], keep[ROWS];
    int32_t hi[ROWS];
    for (int t = 0; t < T; t++) {
        max[t] = -INFINITY;
        sum[t] = 0;
        hi[t] = KEYS;
    }
    const struct attention_rows rows = {T, K, 0.0625f, K, a->x, lo, hi, a->y, max, sum, score, keep, NULL};
    for (int at = 0; at < KEYS; at += KV_PAGE)
        attention(&rows, (const char *)pages + (size_t)(at * K) * bytes,
                  (const char *)pages + (size_t)((KEYS + at) * K) * bytes, at);
}

static void attention_f32_row(const struct kernels *k, const struct arrays *a)
{
    attend(k->attention_f32, a, a->w32, 4, 1);
}

static void attention_f16_row(const struct kernels *k, const struct arrays *a)
{
    attend(k->attention_f16, a, a->w16, 2, 1);
}

static void attention_f32(const struct kernels *k, const struct arrays *a)
{
    attend(k->attention_f32, a, a->w32, 4, ROWS);
}

static void attention_f32_bf16(const struct kernels *k, const struct arrays *a)
{
    attend(k->attention_f32_bf16, a, a->w32, 4, ROWS);
}

static void attention_f16_bf16_row(const struct kernels *k, const struct arrays *a)
{
    attend(k->attention_f16_bf16, a, a->w16, 2, 1);
}

static void attention_f16_bf16(const struct kernels *k, const struct arrays *a)
{
    attend(k->attention_f16_bf16, a, a->w16, 2, ROWS);
}

static void attention_f16(const struct kernels *k, const struct arrays *a)
{
    attend(k->attention_f16, a, a->w16, 2, ROWS);
}

/* Scans of a row of logits; the last two find nothing, which is their usual case. */
static void argmax(const struct kernels *k, const struct arrays *a)
{
    a->y[0] = (float)k->argmax(a->w32, V);
}

static void log_sum_exp(const struct kernels *k, const struct arrays *a)
{
    a->y[0] = (float)k->log_sum_exp(a->w32, V);
}

static void first_at_least(const struct kernels *k, const struct arrays *a)
{
    a->y[0] = (float)k->first_at_least(a->w32, V, 100);
}

static void first_not_finite(const struct kernels *k, const struct arrays *a)
{
    a->y[0] = (float)k->first_not_finite(a->w32, V);
}

/* ---- Backward, optimizer ---- */

static void layer_norm_back(const struct kernels *k, const struct arrays *a)
{
    float stats[2];
    k->layer_norm_back(a->y, stats, a->x, a->x + D, a->w32, D, 1e-5f);
}

static void layer_norm_sums(const struct kernels *k, const struct arrays *a)
{
    k->layer_norm_sums(a->y, a->y + SMALL_D, a->w32, a->w32 + SMALL_D * TOKENS, SMALL_D, a->state, TOKENS, SMALL_D);
}

static void sum_rows(const struct kernels *k, const struct arrays *a)
{
    k->sum_rows(a->y, a->w32, SMALL_D, TOKENS, SMALL_D);
}

static void gelu_back(const struct kernels *k, const struct arrays *a)
{
    memcpy(a->y, a->x, 4 * D * sizeof *a->y);
    k->gelu_back(a->y, a->w32, 4 * D);
}

static void cross_entropy(const struct kernels *k, const struct arrays *a)
{
    memcpy(a->y, a->w32, V * sizeof *a->y);
    k->cross_entropy(a->y, V, 7, 0.5f);
}

static void transpose_32(const struct kernels *k, const struct arrays *a)
{
    k->transpose_32(a->state, TOKENS, a->w32, D, TOKENS, D);
}

static void transpose_16(const struct kernels *k, const struct arrays *a)
{
    k->transpose_16(a->state, TOKENS, a->w16, D, TOKENS, D);
}

/* BACK_ROWS rows of one head and one page, all of which they see. */
static void attend_back(k_attention_back_fn *attention_back, const struct arrays *a, int head)
{
    enum { ALL = BACK_ROWS * K, PAGE = KV_PAGE * K };
    static const int32_t lo[BACK_ROWS] = {0};
    int32_t hi[BACK_ROWS];
    float lse[BACK_ROWS], delta[BACK_ROWS], p[BACK_ROWS * KV_PAGE], ds[BACK_ROWS * KV_PAGE];
    for (int t = 0; t < BACK_ROWS; t++) {
        hi[t] = KV_PAGE;
        lse[t] = 10;
        delta[t] = 0.125f;
    }
    const struct attention_back_rows rows = {BACK_ROWS, head, 0.0625f, (size_t)head, a->x, a->x + ALL, lo,
                                             hi,        lse,  delta,   a->y,         p,    ds};
    const struct attention_back_page page = {a->w32,     a->w32 + PAGE,     a->w32 + (size_t)2 * PAGE,
                                             a->y + ALL, a->y + ALL + PAGE, 0};
    attention_back(&rows, &page);
}

static void attention_back_64(const struct kernels *k, const struct arrays *a)
{
    attend_back(k->attention_back, a, 64);
}

static void attention_back_256(const struct kernels *k, const struct arrays *a)
{
    attend_back(k->attention_back, a, K);
}

static void attention_back_bf16_64(const struct kernels *k, const struct arrays *a)
{
    attend_back(k->attention_back_bf16, a, 64);
}

static void round_f16(const struct kernels *k, const struct arrays *a)
{
    k->round_f16(a->y, MAX_N);
}

static void round_bf16(const struct kernels *k, const struct arrays *a)
{
    k->round_bf16(a->y, MAX_N);
}

static void zero(const struct kernels *k, const struct arrays *a)
{
    k->zero(a->state, PARAMETERS);
}

static void sum_squares(const struct kernels *k, const struct arrays *a)
{
    a->y[0] = (float)k->sum_squares(a->state, PARAMETERS);
}

static void adamw(const struct kernels *k, const struct arrays *a)
{
    const struct adamw_step step = {1e-4, 0.9, 0.95, 1e-8, 0.01, 0.1, 0.05, 1};
    float *s = a->state;
    k->adamw(s, s + PARAMETERS, s + (size_t)2 * PARAMETERS, s + (size_t)3 * PARAMETERS, PARAMETERS, &step);
}

static const struct {
    const char *name, *unit;
    bench_fn *run;
    double work;  /* bytes or operations a call */
    size_t entry; /* where the table has its function */
} benches[] = {
    {"widen_f16 48 x 4096", "GB/s", widen_f16, 6.0 * MAX_N, offsetof(struct kernels, widen_f16)},
    {"widen_bf16 48 x 4096", "GB/s", widen_bf16, 6.0 * MAX_N, offsetof(struct kernels, widen_bf16)},
    {"narrow_f16 48 x 4096", "GB/s", narrow_f16, 6.0 * MAX_N, offsetof(struct kernels, narrow_f16)},
    {"narrow_bf16 48 x 4096", "GB/s", narrow_bf16, 6.0 * MAX_N, offsetof(struct kernels, narrow_bf16)},
    {"quant_strip q8 48 x 4096", "GB/s", quantise_q8, 5.03125 * MAX_N, offsetof(struct kernels, quant_strip)},
    {"quant_strip q4 48 x 4096", "GB/s", quantise_q4, 4.5625 * MAX_N, offsetof(struct kernels, quant_strip)},
    {"layer_norm 4096", "GB/s", layer_norm, 16.0 * D, offsetof(struct kernels, layer_norm)},
    {"gelu 16384", "GB/s", gelu, 8.0 * 4 * D, offsetof(struct kernels, gelu)},
    {"rotary 16 x 256, 64", "GB/s", rotary, 8.0 * H *R, offsetof(struct kernels, rotary)},
    {"attention_f32 1 x 512, 256", "GB/s", attention_f32_row, 8.0 * KEYS *K, offsetof(struct kernels, attention_f32)},
    {"attention_f16 1 x 512, 256", "GB/s", attention_f16_row, 4.0 * KEYS *K, offsetof(struct kernels, attention_f16)},
    {"attention_f32 48 x 512, 256", "GFLOP/s", attention_f32, 4.0 * ROWS *KEYS *K,
     offsetof(struct kernels, attention_f32)},
    {"attention_f16_bf16 1 x 512, 256", "GB/s", attention_f16_bf16_row, 4.0 * KEYS *K,
     offsetof(struct kernels, attention_f16_bf16)},
    {"attention_f32_bf16 48 x 512, 256", "GFLOP/s", attention_f32_bf16, 4.0 * ROWS *KEYS *K,
     offsetof(struct kernels, attention_f32_bf16)},
    {"attention_f16_bf16 48 x 512, 256", "GFLOP/s", attention_f16_bf16, 4.0 * ROWS *KEYS *K,
     offsetof(struct kernels, attention_f16_bf16)},
    {"attention_f16 48 x 512, 256", "GFLOP/s", attention_f16, 4.0 * ROWS *KEYS *K,
     offsetof(struct kernels, attention_f16)},
    {"argmax 50400", "GB/s", argmax, 4.0 * V, offsetof(struct kernels, argmax)},
    {"log_sum_exp 50400", "GB/s", log_sum_exp, 4.0 * V, offsetof(struct kernels, log_sum_exp)},
    {"first_at_least 50400", "GB/s", first_at_least, 4.0 * V, offsetof(struct kernels, first_at_least)},
    {"first_not_finite 50400", "GB/s", first_not_finite, 4.0 * V, offsetof(struct kernels, first_not_finite)},

    {"layer_norm_back 4096", "GB/s", layer_norm_back, 20.0 * D, offsetof(struct kernels, layer_norm_back)},
    {"layer_norm_sums 512 x 768", "GB/s", layer_norm_sums, 8.0 * TOKENS *SMALL_D,
     offsetof(struct kernels, layer_norm_sums)},
    {"sum_rows 512 x 768", "GB/s", sum_rows, 4.0 * TOKENS *SMALL_D, offsetof(struct kernels, sum_rows)},
    {"gelu_back 16384", "GB/s", gelu_back, 12.0 * 4 * D, offsetof(struct kernels, gelu_back)},
    {"cross_entropy 50400", "GB/s", cross_entropy, 8.0 * V, offsetof(struct kernels, cross_entropy)},
    {"transpose_32 512 x 4096", "GB/s", transpose_32, 8.0 * TOKENS *D, offsetof(struct kernels, transpose_32)},
    {"transpose_16 512 x 4096", "GB/s", transpose_16, 4.0 * TOKENS *D, offsetof(struct kernels, transpose_16)},
    {"attention_back 96 x 32, 64", "GFLOP/s", attention_back_64, 10.0 * BACK_ROWS *KV_PAGE * 64,
     offsetof(struct kernels, attention_back)},
    {"attention_back 96 x 32, 256", "GFLOP/s", attention_back_256, 10.0 * BACK_ROWS *KV_PAGE *K,
     offsetof(struct kernels, attention_back)},
    {"attention_back_bf16 96 x 32, 64", "GFLOP/s", attention_back_bf16_64, 10.0 * BACK_ROWS *KV_PAGE * 64,
     offsetof(struct kernels, attention_back_bf16)},
    {"round_f16 48 x 4096", "GB/s", round_f16, 8.0 * MAX_N, offsetof(struct kernels, round_f16)},
    {"round_bf16 48 x 4096", "GB/s", round_bf16, 8.0 * MAX_N, offsetof(struct kernels, round_bf16)},
    {"zero 4 M", "GB/s", zero, 4.0 * PARAMETERS, offsetof(struct kernels, zero)},
    {"sum_squares 4 M", "GB/s", sum_squares, 4.0 * PARAMETERS, offsetof(struct kernels, sum_squares)},
    {"adamw 4 M", "GB/s", adamw, 28.0 * PARAMETERS, offsetof(struct kernels, adamw)},
};

static int64_t time_of(bench_fn *run, const struct kernels *k, const struct arrays *a, int n)
{
    const int64_t from = clock_ns();
    for (int i = 0; i < n; i++)
        run(k, a);
    return clock_ns() - from;
}

/* Seconds a call: the best of five batches of about 20 ms (of one call, where a call takes longer). */
static double seconds(bench_fn *run, const struct kernels *k, const struct arrays *a)
{
    enum { BATCH_NS = 20000000, MANY_NS = 200000000, BATCHES = 5 };
    int64_t best = time_of(run, k, a, 1); /* the first call also brings the arrays in */
    if (best > MANY_NS) return (double)best * 1e-9;
    best = time_of(run, k, a, 1);
    const int n = best < BATCH_NS ? (int)(BATCH_NS / (best + 1)) + 1 : 1;
    best = INT64_MAX;
    for (int i = 0; i < BATCHES; i++) {
        const int64_t t = time_of(run, k, a, n);
        best = t < best ? t : best;
    }
    return (double)best * 1e-9 / n;
}

static bool arrays_fill(struct arrays *a)
{
    a->x = malloc(MAX_N * sizeof *a->x);
    a->y = malloc(MAX_N * sizeof *a->y);
    a->w32 = malloc((size_t)D * D * sizeof *a->w32);
    a->w16 = malloc((size_t)D * D * sizeof *a->w16);
    a->h = malloc(MAX_N * sizeof *a->h);
    a->sin = malloc(R / 2 * sizeof *a->sin);
    a->cos = malloc(R / 2 * sizeof *a->cos);
    a->state = malloc((size_t)4 * PARAMETERS * sizeof *a->state);
    if (!a->x || !a->y || !a->w32 || !a->w16 || !a->h || !a->sin || !a->cos || !a->state) return false;
    for (size_t i = 0; i < (size_t)4 * PARAMETERS; i++)
        a->state[i] = (float)(1 + i * 2654435761u % 1000) * 1e-3f;
    for (size_t i = 0; i < MAX_N; i++)
        a->x[i] = a->y[i] = (float)(i * 2654435761u % 1000) * 2e-3f - 1;
    for (size_t i = 0; i < (size_t)D * D; i++) {
        a->w32[i] = (float)(i * 2654435761u % 1021) * 2e-3f - 1;
        a->w16[i] = (uint16_t)(0x3800 + i * 2654435761u % 1024); /* an ordinary number in both formats */
    }
    for (int j = 0; j < R / 2; j++)
        a->sin[j] = 0.6f, a->cos[j] = 0.8f;
    return true;
}

/* Has the level this entry, and not from the level below? */
static bool has_own(enum cpu_level level, size_t entry)
{
    static k_gelu_fn *const none = NULL;
    struct kernels k, below;
    kernels_init(&k, level);
    kernels_init(&below, level ? level - 1 : level);
    const char *own = (const char *)&k + entry;
    return memcmp(own, &none, sizeof none) && (!level || memcmp(own, (const char *)&below + entry, sizeof none));
}

void kernels_bench(void)
{
    struct arrays a = {0};
    if (arrays_fill(&a)) {
        for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++) {
            double of_ref = NAN;
            for (enum cpu_level level = 0; level <= kernels_best_level(); level++) {
                struct kernels k;
                if (!has_own(level, benches[i].entry)) continue;
                kernels_init(&k, level);
                const double s = seconds(benches[i].run, &k, &a);
                if (level == CPU_REF) of_ref = s;
                printf("%-32s %-6s %9.2f %-7s %7.1f x ref %10.2f us\n", benches[i].name, k.name,
                       benches[i].work / s * 1e-9, benches[i].unit, of_ref / s, s * 1e6);
            }
        }
    }
    free(a.x);
    free(a.y);
    free(a.w32);
    free(a.w16);
    free(a.h);
    free(a.sin);
    free(a.cos);
    free(a.state);
}
