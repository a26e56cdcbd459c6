// SPDX-License-Identifier: Apache-2.0
/* Numbers to be compressed, and what is asked of what comes back. */
#ifndef GPTJT_TESTS_COMPRESS_NUMBERS_H
#define GPTJT_TESTS_COMPRESS_NUMBERS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "dist/dense.h"
#include "guard.h"
#include "test.h"

/* Of enum dense_kind. */
static const char *const kind_names[] = {"f32", "f16", "bf16", "zero", "odd", "signed", "cocktail"};

static inline float normal(uint64_t i)
{
    const double u = rng_uniform(7, 1, i), v = rng_uniform(7, 2, i);
    return (float)(sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v));
}

static inline void *must(void *p)
{
    assert_non_null(p);
    return p;
}

static inline float *normals(size_t n)
{
    float *x = must(malloc((n + 1) * sizeof *x));
    for (size_t i = 0; i < n; i++)
        x[i] = normal(i);
    return x;
}

static inline double squares(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum;
}

/* y [rows][cols] = x there and back; what is written is the message and nothing else. */
static inline void there_and_back(float *y, const struct dense *d, const float *x, size_t rows, size_t cols)
{
    const size_t bytes = dense_bytes(d, rows, cols);
    struct guarded g = guarded_open(bytes + 1);
    uint8_t *message = guarded_end(&g, bytes, 0);
    assert_int_equal(dense_check(d), OK);
    dense_encode(message, d, x, rows, cols);
    assert_true(guarded_clean_outside(&g, message, bytes));
    assert_int_equal(dense_decode(y, d, rows, cols, message, bytes), OK);
    guarded_close(&g);
}

static inline void expect_refused(enum status got, enum status status, const char *text)
{
    assert_int_equal(got, status);
    if (!strstr(status_message(), text)) fail_msg("'%s' does not say '%s'", status_message(), text);
}

static inline double entropy(double p)
{
    return p <= 0 || p >= 1 ? 0 : -(p * log2(p) + (1 - p) * log2(1 - p));
}

#endif
