// SPDX-License-Identifier: Apache-2.0
/* Checks the vector exp of every level this host can run against long double: in every binade of both signs, and where
 * its results end. The bound is the one derived in src/kernels/x86/math_avx2.h: 1.38 * 2^-24 of the truth, and half a
 * denormal where the result is one. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"
#include "vector_math.h"

enum { BLOCK = 4096, MAX_NAMED = 3 };

struct check {
    const char *name;
    vector_exp_fn *exp;
    float x[BLOCK], y[BLOCK];
    double worst; /* relative error of a normal result, in 2^-24 */
    int failures;
};

/* Infinity counts as 2^128, which is where the next float would be: near it a result may fall on either side. */
static long double clipped(long double y)
{
    return y > 0x1p128L ? 0x1p128L : y;
}

static void judge(struct check *c, float x, float y)
{
    const long double truth = clipped(expl((long double)x)), off = fabsl(clipped((long double)y) - truth);
    const bool normal = truth >= 0x1p-126L;
    if (isnan(x) ? !isnan(y) : !(off <= 1.38L * 0x1p-24L * truth + (normal ? 0 : 0x1p-150L))) {
        if (c->failures++ < MAX_NAMED)
            fprintf(stderr, "FAIL %s: exp(%a) is %a, not %La\n", c->name, (double)x, (double)y, truth);
    } else if (normal && !isnan(x)) {
        c->worst = fmax(c->worst, (double)(off / truth) * 0x1p24);
    }
}

static void run(struct check *c)
{
    c->exp(c->y, c->x, BLOCK);
    for (int i = 0; i < BLOCK; i++)
        judge(c, c->x[i], c->y[i]);
}

/* Fractions in steps that are odd, so that their low bits vary too; the exponent of all ones is infinity and NaNs. */
static void check_binades(struct check *c)
{
    const uint32_t step = (1u << 23) / BLOCK - 1;
    for (uint32_t binade = 0; binade < 512; binade++) {
        for (uint32_t i = 0; i < BLOCK; i++)
            c->x[i] = half_float_of(binade << 23 | i * step);
        run(c);
    }
}

/* The floats around x. */
static void check_around(struct check *c, float x)
{
    const uint32_t from = half_bits_of(x) - BLOCK / 2;
    for (uint32_t i = 0; i < BLOCK; i++)
        c->x[i] = half_float_of(from + i);
    run(c);
}

static void check_exact(struct check *c)
{
    static const float known[][2] = {{0, 1}, {-0.0f, 1}, {-INFINITY, 0}, {INFINITY, INFINITY}, {-104, 0}, {-3e38f, 0}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        for (int k = 0; k < BLOCK; k++)
            c->x[k] = known[i][0];
        c->exp(c->y, c->x, BLOCK);
        for (int k = 0; k < BLOCK; k++) {
            if (c->y[k] == known[i][1] && !signbit(c->y[k])) continue;
            if (c->failures++ < MAX_NAMED)
                fprintf(stderr, "FAIL %s: exp(%g) is %a\n", c->name, (double)known[i][0], (double)c->y[k]);
        }
    }
}

int main(void)
{
    static const struct {
        enum cpu_level level;
        vector_exp_fn *exp;
    } all[] = {{CPU_AVX2, vector_exp_avx2}, {CPU_AVX512, vector_exp_avx512}};
    static struct check c;
    int failures = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        c = (struct check){.name = kernels_level_name(all[i].level), .exp = all[i].exp};
        if (all[i].level > kernels_best_level()) {
            printf("  %-6s SKIPPED: this machine does not have it\n", c.name);
            continue;
        }
        check_exact(&c);
        check_binades(&c);
        check_around(&c, 88.72283f);   /* overflow */
        check_around(&c, -87.33654f);  /* the first denormal */
        check_around(&c, -103.97208f); /* half of the last one */
        for (int n = -150; n <= 128; n++)
            check_around(&c, (float)((n + 0.5) * 0.69314718055994531)); /* where x is reduced by another n ln 2 */
        printf("  %-6s exp %s, off by %.2f of 2^-24 at most\n", c.name, c.failures ? "FAIL" : "ok", c.worst);
        failures += c.failures;
    }
    return failures != 0;
}
