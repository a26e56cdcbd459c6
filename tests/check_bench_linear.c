// SPDX-License-Identifier: Apache-2.0
/* check_kernels --bench, linear maps: one core, weights that no cache holds. Each speed is the 90th percentile of many
 * slices of about 0.1 ms, and is told as a fraction of what a probe's slices reached around it: streaming a few rows of
 * the longer of reading and multiplying, panels of multiplying. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "check_kernels.h"
#include "kernels/probes.h"
#include "kernels/quant.h"
#include "ops/ops.h"

enum { INPUTS = 4096, PANEL_ROWS = 256, SLICES = 64, MOST_PANEL = 128, STRIPS_A_SLICE = 4 };

static const size_t weights_bytes = (size_t)256 << 20;
static const int streamed_rows[] = {1, 2, 4, 8, 12};

struct linear_bench {
    struct kernels k;
    struct probes probes;
    char *w, *x_form, *panel; /* weights; rows as a kernel takes them; a packed block */
    float *x, *z;
};

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double *rates, int n)
{
    qsort(rates, (size_t)n, sizeof *rates, by_size);
    return rates[n * 9 / 10];
}

static double rate(double work, int64_t start)
{
    return work / clock_seconds(start, clock_ns());
}

/* ---- What the core can do ---- */

static double read_rate(const struct linear_bench *b)
{
    enum { BYTES = 4 << 20 };
    double best = 0, rates[SLICES];
    static volatile uint64_t sink;
    for (int way = 0; way < b->probes.n_read; way++) {
        for (int i = 0; i < SLICES; i++) {
            const int64_t start = clock_ns();
            sink += b->probes.read[way].run(b->w + (size_t)i * BYTES, BYTES);
            rates[i] = rate(BYTES, start);
        }
        best = fmax(best, percentile(rates, SLICES));
    }
    (void)sink;
    return best;
}

static double peak_rate(const struct linear_bench *b, enum probe_unit unit)
{
    enum { ROUNDS = 1 << 12 };
    double best = 0, rates[SLICES];
    static volatile float sink;
    for (int way = 0; way < b->probes.n_peak[unit]; way++) {
        for (int i = 0; i < SLICES; i++) {
            const int64_t start = clock_ns();
            sink += b->probes.peak[unit][way].run(ROUNDS);
            rates[i] = rate(ROUNDS * b->probes.peak[unit][way].ops, start);
        }
        best = fmax(best, percentile(rates, SLICES));
    }
    (void)sink;
    return best;
}

/* Of the unit that computes: bf16 without one is computed by fp32's. */
static double compute_rate(const struct linear_bench *b, enum compute_type compute)
{
    static const enum probe_unit units[COMPUTE_TYPES] = {PROBE_F32, PROBE_BF16, PROBE_I8};
    const double peak = peak_rate(b, units[compute]);
    return peak > 0 ? peak : peak_rate(b, PROBE_F32);
}

/* ---- What the kernels do ---- */

static size_t strip_bytes(enum weight_type t)
{
    return weight_bytes(t, QUANT_STRIP, INPUTS);
}

/* Bytes a second; strips of all bands that share the weights, one after the other. */
static double stream_rate(const struct linear_bench *b, const struct linear_kernels *l, enum weight_type t, int T)
{
    const int bands = l->stream_bands, strips = STRIPS_A_SLICE * STREAM_BANDS / bands;
    const size_t strip = strip_bytes(t), band = weights_bytes / (size_t)bands / strip * strip;
    double rates[SLICES];
    int n = 0;
    l->prepare(b->x_form, b->x, INPUTS, T, INPUTS);
    for (size_t at = 0; at + (size_t)strips * strip <= band && n < SLICES; n++) {
        const int64_t start = clock_ns();
        for (int s = 0; s < strips; s++, at += strip)
            l->stream(b->z, (size_t)bands * QUANT_STRIP, b->x_form, b->w + at, band, bands, T, QUANT_STRIP, INPUTS);
        rates[n] = rate(strips * bands * (double)strip, start);
    }
    return percentile(rates, n);
}

/* Operations a second with PANEL_ROWS rows; *packing becomes packing's share of the time. */
static double panel_rate(const struct linear_bench *b, const struct linear_kernels *l, enum weight_type t,
                         double *packing)
{
    const size_t panel = (size_t)(l->panel / QUANT_STRIP) * strip_bytes(t),
                 block = l->packed_x_bytes(PANEL_ROWS, l->depth);
    double rates[SLICES], packs[SLICES];
    for (int at = 0; at < INPUTS; at += l->depth)
        l->pack_x(b->x_form + (size_t)(at / l->depth) * block, b->x + at, INPUTS, PANEL_ROWS,
                  l->depth < INPUTS - at ? l->depth : INPUTS - at);
    for (int i = 0; i < SLICES; i++) {
        const int64_t start = clock_ns();
        int64_t packed = 0;
        for (int at = 0; at < INPUTS; at += l->depth) {
            const int n = l->depth < INPUTS - at ? l->depth : INPUTS - at;
            const int64_t before = clock_ns();
            l->pack_w(b->panel, b->w + (size_t)i * panel, l->panel, INPUTS, at, n);
            packed += clock_ns() - before;
            l->multiply(b->z, b->x_form + (size_t)(at / l->depth) * block, b->panel, PANEL_ROWS, n, NULL);
        }
        rates[i] = rate(2.0 * PANEL_ROWS * l->panel * INPUTS, start);
        packs[i] = 2.0 * PANEL_ROWS * l->panel * INPUTS / ((double)packed * 1e-9);
    }
    const double best = percentile(rates, SLICES);
    *packing = best / percentile(packs, SLICES);
    return best;
}

static void bench_entry(const struct linear_bench *b, enum compute_type compute, enum weight_type t)
{
    const struct linear_kernels *l = &b->k.linear[compute][t];
    const double peak = compute_rate(b, compute), read = read_rate(b);
    printf("%-10s %-16s", b->k.name, check_linear_name(compute, t));
    for (size_t i = 0; i < sizeof streamed_rows / sizeof *streamed_rows; i++) {
        const int T = streamed_rows[i];
        if (!l->stream || T > l->stream_rows) break;
        const double bytes = stream_rate(b, l, t, T);
        const double products = 2.0 * T * QUANT_STRIP * INPUTS / (double)strip_bytes(t); /* for each byte */
        printf(" %d: %6.1f GB/s %5.1f %%,", T, bytes * 1e-9, 100 * bytes * fmax(1 / read, products / peak));
    }
    if (l->multiply) {
        double packing;
        const double ops = panel_rate(b, l, t, &packing);
        printf(" %d: %7.1f Gop/s %5.1f %%, packing %4.1f %%", PANEL_ROWS, ops * 1e-9, 100 * ops / peak, 100 * packing);
    }
    putchar('\n');
}

static bool own(const struct kernels *k, const struct kernels *below, enum compute_type compute, enum weight_type t)
{
    const struct linear_kernels *l = &k->linear[compute][t];
    return (l->stream || l->multiply) && !check_same_product(l, &below->linear[compute][t]);
}

void kernels_bench_linear(const char *only, const char *cpu)
{
    struct linear_bench b = {.z = check_alloc(PANEL_ROWS * MOST_PANEL), .x = check_alloc(PANEL_ROWS * INPUTS)};
    const size_t forms = PANEL_ROWS * INPUTS * sizeof(float) * 2;
    b.w = mmap(NULL, weights_bytes + 2 * forms, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.w == MAP_FAILED) return;
    madvise(b.w, weights_bytes + 2 * forms, MADV_HUGEPAGE);
    b.x_form = b.w + weights_bytes;
    b.panel = b.x_form + forms;
    for (size_t i = 0; i < weights_bytes / 2; i++) /* ordinary numbers in every format */
        ((uint16_t *)(void *)b.w)[i] = (uint16_t)(0x3800 + i * 2654435761u % 1024);
    for (size_t i = 0; i < (size_t)PANEL_ROWS * INPUTS; i++)
        b.x[i] = (float)(i * 2654435761u % 1000) * 2e-3f - 1;
    for (enum cpu_level level = CPU_AVX2; level <= kernels_best_level(); level++) {
        if (cpu && strcmp(cpu, kernels_level_name(level))) continue;
        struct kernels below;
        kernels_init(&below, level - 1);
        kernels_init(&b.k, level);
        b.probes = (struct probes){.n_read = 0};
        probes_init(&b.probes, level);
        for (enum compute_type compute = 0; compute < COMPUTE_TYPES; compute++)
            for (enum weight_type t = 0; t < WEIGHT_TYPES; t++)
                if (own(&b.k, &below, compute, t) && (!only || strstr(check_linear_name(compute, t), only)))
                    bench_entry(&b, compute, t);
    }
    munmap(b.w, weights_bytes + 2 * forms);
    free(b.x);
    free(b.z);
}
