// SPDX-License-Identifier: Apache-2.0
/* Compression for the wire: messages are those that numpy makes from the formulas, errors stay below their bounds, what
 * is no message is refused, sizes are what the formulas say, and positions take what entropy says they must. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test.h"

#include "base/compiler.h"
#include "base/half.h"
#include "base/json.h"
#include "base/rng.h"
#include "dist/bits.h"
#include "dist/sparse.h"
#include "dist/subset.h"
#include "dist/topk.h"
#include "guard.h"

/* ---- Numbers ---- */

static float normal(uint64_t i)
{
    const double u = rng_uniform(7, 1, i), v = rng_uniform(7, 2, i);
    return (float)(sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v));
}

static void *must(void *p)
{
    assert_non_null(p);
    return p;
}

static float *normals(size_t n)
{
    float *x = must(malloc((n + 1) * sizeof *x));
    for (size_t i = 0; i < n; i++)
        x[i] = normal(i);
    return x;
}

static double squares(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum;
}

/* y [rows][cols] = x there and back; what is written is the message and nothing else. */
static void there_and_back(float *y, const struct dense *d, const float *x, size_t rows, size_t cols)
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

static void expect_refused(enum status got, enum status status, const char *text)
{
    assert_int_equal(got, status);
    if (!strstr(status_message(), text)) fail_msg("'%s' does not say '%s'", status_message(), text);
}

/* ---- Messages of numpy ---- */

static const char *const kind_names[] = {"f32", "f16", "bf16", "zero", "odd", "signed", "cocktail"};
static const char *const scale_names[] = {"f32", "bf16", "f16"};
static const char *const code_names[] = {"bitmask", "golomb", "chunked"};

static int number_of(const json_t *object, const char *key, const char *const *names, size_t n)
{
    const char *name = json_string_value(json_object_get(object, key));
    for (size_t i = 0; name && i < n; i++)
        if (!strcmp(names[i], name)) return (int)i;
    fail_msg("%s: %s", key, name ? name : "none");
    return -1;
}

static size_t size_in(const json_t *object, const char *key)
{
    return (size_t)json_integer_value(json_object_get(object, key));
}

static size_t bytes_in(uint8_t **out, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    const size_t n = strlen(text) / 2;
    *out = must(malloc(n + 1));
    for (size_t i = 0; i < n; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        (*out)[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

static size_t floats_in(float **out, const json_t *object, const char *key)
{
    uint8_t *bytes;
    const size_t n = bytes_in(&bytes, object, key) / 4;
    *out = must(malloc((n + 1) * sizeof **out));
    for (size_t i = 0; i < n; i++)
        (*out)[i] = half_float_of((uint32_t)bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 |
                                  (uint32_t)bytes[4 * i + 2] << 16 | (uint32_t)bytes[4 * i + 3] << 24);
    free(bytes);
    return n;
}

static void check_dense_golden(const json_t *c, size_t number)
{
    const struct dense d = {.kind = (enum dense_kind)number_of(c, "kind", kind_names, COUNT_OF(kind_names)),
                            .bits = (int)size_in(c, "bits"),
                            .group = size_in(c, "group"),
                            .scale = (enum dense_scale)number_of(c, "scale", scale_names, COUNT_OF(scale_names))};
    const size_t rows = size_in(c, "rows"), cols = size_in(c, "cols");
    float *x, *expected;
    uint8_t *message;
    const size_t bytes = bytes_in(&message, c, "message");
    assert_int_equal(floats_in(&x, c, "x"), rows * cols);
    assert_int_equal(floats_in(&expected, c, "y"), rows * cols);
    uint8_t *ours = must(calloc(1, bytes + 1));
    float *y = must(malloc((rows * cols + 1) * sizeof *y));
    assert_int_equal(dense_check(&d), OK);
    assert_int_equal(dense_bytes(&d, rows, cols), bytes);
    dense_encode(ours, &d, x, rows, cols);
    if (memcmp(ours, message, bytes)) fail_msg("message %zu (%s, %d bits) differs", number, kind_names[d.kind], d.bits);
    assert_int_equal(dense_decode(y, &d, rows, cols, message, bytes), OK);
    for (size_t i = 0; i < rows * cols; i++)
        if (half_bits_of(y[i]) != half_bits_of(expected[i]))
            fail_msg("message %zu, value %zu: %a is not %a", number, i, (double)y[i], (double)expected[i]);
    free(x);
    free(expected);
    free(message);
    free(ours);
    free(y);
}

static struct sparse_entries entries_for(const struct sparse *s)
{
    const size_t k = positions_count(&s->positions);
    return (struct sparse_entries){must(malloc((k + 1) * sizeof(uint32_t))), must(malloc((k + 1) * sizeof(float)))};
}

static void entries_free(struct sparse_entries *e)
{
    free(e->index);
    free(e->value);
}

static void expect_entries(const struct sparse_entries *e, const json_t *c, const float *y)
{
    const json_t *index = json_object_get(c, "index");
    for (size_t i = 0; i < json_array_size(index); i++) {
        assert_int_equal(e->index[i], json_integer_value(json_array_get(index, i)));
        assert_int_equal(half_bits_of(e->value[i]), half_bits_of(y[i]));
    }
}

static void check_sparse_golden(const json_t *c, size_t number)
{
    const enum dense_kind kind = (enum dense_kind)number_of(c, "kind", kind_names, COUNT_OF(kind_names));
    const bool theirs = kind == DENSE_COCKTAIL;
    const struct sparse s = {
        .positions = {.code = (enum positions_code)number_of(c, "code", code_names, COUNT_OF(code_names)),
                      .n = size_in(c, "n"),
                      .chunk = size_in(c, "chunk"),
                      .keep = size_in(c, "keep")},
        .values = {.kind = kind,
                   .bits = (int)size_in(c, "bits"),
                   .group = theirs ? 128 : 64,
                   .scale = theirs ? DENSE_SCALE_F16 : DENSE_SCALE_BF16}};
    float *x, *y;
    uint8_t *message, *ours = must(malloc(sparse_max_bytes(&s) + 1));
    const size_t bytes = bytes_in(&message, c, "message");
    assert_int_equal(floats_in(&x, c, "x"), s.positions.n);
    assert_int_equal(floats_in(&y, c, "y"), positions_count(&s.positions));
    struct sparse_entries sent = entries_for(&s), got = entries_for(&s);
    assert_int_equal(sparse_check(&s), OK);
    if (sparse_encode(ours, &s, x, &sent) != bytes || memcmp(ours, message, bytes)) fail_msg("message %zu", number);
    assert_int_equal(sparse_decode(&got, &s, message, bytes), OK);
    expect_entries(&sent, c, y);
    expect_entries(&got, c, y);
    entries_free(&sent);
    entries_free(&got);
    free(x);
    free(y);
    free(message);
    free(ours);
}

static void messages_are_those_of_numpy(void **state)
{
    (void)state;
    json_t *root;
    assert_int_equal(json_read_file(&root, "tests/data/compress/goldens.json", 1 << 22), OK);
    const json_t *dense = json_object_get(root, "dense"), *sparse = json_object_get(root, "sparse");
    assert_int_equal(json_array_size(dense), 96);
    assert_int_equal(json_array_size(sparse), 8);
    for (size_t i = 0; i < json_array_size(dense); i++)
        check_dense_golden(json_array_get(dense, i), i);
    for (size_t i = 0; i < json_array_size(sparse); i++)
        check_sparse_golden(json_array_get(sparse, i), i);
    json_decref(root);
}

/* ---- Bits ---- */

static void any_number_of_codes_is_packed_and_unpacked(void **state)
{
    (void)state;
    uint8_t code[70], bytes[70], back[70];
    for (int bits = 1; bits <= 8; bits++) {
        for (size_t n = 0; n < COUNT_OF(code); n++) {
            for (size_t i = 0; i < n; i++)
                code[i] = (uint8_t)(rng_u64(3, 0, i) & ((1u << bits) - 1));
            const size_t size = bits_bytes(n, bits);
            assert_int_equal(size, (n * (size_t)bits + 7) / 8);
            memset(bytes, 0xff, sizeof bytes);
            memset(back, 0xff, sizeof back);
            bits_pack(bytes, code, n, bits);
            bits_unpack(back, bytes, n, bits);
            for (size_t i = 0; i < n * (size_t)bits; i++) /* bit by bit, as the header says */
                assert_int_equal(bytes[i / 8] >> (7 - i % 8) & 1,
                                 code[i / (size_t)bits] >> ((size_t)bits - 1 - i % (size_t)bits) & 1);
            assert_true(bits_padded(bytes, n, bits) && !memcmp(code, back, n));
            assert_true(guarded_is_filled((char *)bytes + size, sizeof bytes - size));
            assert_true(guarded_is_filled((char *)back + n, sizeof back - n));
            if (n * (size_t)bits % 8) {
                bytes[size - 1] |= 1;
                assert_false(bits_padded(bytes, n, bits));
            }
        }
    }
}

/* ---- Dense ---- */

static const enum dense_kind level_kinds[] = {DENSE_ZERO, DENSE_ODD, DENSE_SIGNED};

/* Distance of neighbouring levels, as a part of the scale. */
static double step_of(enum dense_kind kind, int bits)
{
    return kind == DENSE_ZERO  ? 1.0 / ((1 << (bits - 1)) - 1)
           : kind == DENSE_ODD ? 2.0 / ((1 << bits) - 1)
                               : 1.0 / (1 << (bits - 1));
}

/* Half a step, and the fp32 roundings of x / scale, times top, level / top and times scale, which are at most the scale
 * each; in the gap around zero SIGNED is off by a step. A scale of 16 bits moves the ends by half a unit in its last
 * place: 2^-8 in bf16, 2^-11 in fp16. */
static void check_bounds(const struct dense *d, const float *x, const float *y, size_t n)
{
    const double half_bit[] = {0, 0x1p-8, 0x1p-11};
    const size_t group = d->group ? d->group : n;
    for (size_t at = 0; at < n; at += group) {
        const size_t end = at + group < n ? at + group : n;
        float max = 0;
        for (size_t i = at; i < end; i++)
            max = fmaxf(max, fabsf(x[i]));
        const double step = step_of(d->kind, d->bits) * (double)max,
                     slack = (double)max * (half_bit[d->scale] + 0x1p-21);
        for (size_t i = at; i < end; i++) {
            const bool in_gap = d->kind == DENSE_SIGNED && (double)fabsf(x[i]) < step / 2;
            const double bound = (in_gap ? step : step / 2) + slack;
            if (!(fabs((double)y[i] - (double)x[i]) <= bound))
                fail_msg("%s, %d bits: %a came out as %a", kind_names[d->kind], d->bits, (double)x[i], (double)y[i]);
            if (d->scale == DENSE_SCALE_F32 && fabsf(x[i]) == max) assert_true(x[i] == y[i]);
            if (d->kind == DENSE_ZERO && x[i] == 0) assert_true(half_bits_of(y[i]) == 0);
        }
    }
}

static void values_are_off_by_half_a_step_and_ends_are_exact(void **state)
{
    (void)state;
    enum { N = 3000 };
    float *x = normals(N), *y = must(malloc(N * sizeof *y));
    for (size_t i = 0; i < N; i += 50)
        x[i] = 0;
    for (size_t k = 0; k < COUNT_OF(level_kinds); k++) {
        for (int bits = level_kinds[k] == DENSE_ZERO ? 2 : 1; bits <= 8; bits++) {
            for (size_t group = 0; group <= 128; group += 64) {
                for (int scale = DENSE_SCALE_F32; scale <= DENSE_SCALE_F16; scale++) {
                    const struct dense d = {
                        .kind = level_kinds[k], .bits = bits, .group = group, .scale = (enum dense_scale)scale};
                    there_and_back(y, &d, x, 1, N);
                    check_bounds(&d, x, y, N);
                    there_and_back(y, &d, x, 1, 37);
                    check_bounds(&d, x, y, 37);
                }
            }
        }
    }
    free(x);
    free(y);
}

static void rows_have_scales_of_their_own(void **state)
{
    (void)state;
    enum { ROWS = 5, COLS = 77 };
    float *x = normals(ROWS * COLS), y[ROWS * COLS], alone[COLS];
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            x[r * COLS + c] = ldexpf(x[r * COLS + c], 3 * (int)r);
    for (size_t group = 0; group <= 32; group += 32) {
        for (int bits = 4; bits <= 8; bits += 4) {
            const struct dense d = {.kind = DENSE_ZERO, .bits = bits, .group = group, .scale = DENSE_SCALE_F16};
            assert_int_equal(dense_bytes(&d, ROWS, COLS),
                             (size_t)(ROWS * ((group ? 3 : 1) * 2 + (COLS * bits + 7) / 8)));
            there_and_back(y, &d, x, ROWS, COLS);
            for (size_t r = 0; r < ROWS; r++) {
                there_and_back(alone, &d, x + r * COLS, 1, COLS);
                assert_memory_equal(alone, y + r * COLS, sizeof alone);
            }
        }
    }
    free(x);
}

/* The largest fifth of normal numbers, in their order. */
static size_t largest_fifth(float *out, const float *x, size_t n)
{
    const size_t k = n / 5 / 128 * 128;
    uint32_t *index = must(malloc(k * sizeof *index));
    topk_select(index, x, n, k);
    for (size_t i = 0; i < k; i++)
        out[i] = x[index[i]];
    free(index);
    return k;
}

static double relative_squares(const struct dense *d, const float *x, size_t n)
{
    float *y = must(malloc(n * sizeof *y)), *zeros = must(calloc(n, sizeof *zeros));
    there_and_back(y, d, x, 1, n);
    const double error = squares(x, y, n) / squares(x, zeros, n);
    free(y);
    free(zeros);
    return error;
}

static void our_squares_of_errors_are_below_those_of_cocktail(void **state)
{
    (void)state;
    enum { N = 128 * 1000 };
    static const struct { /* what dense.h says */
        double odd, with_gap_kept;
    } table[] = {{0.363, 0.052}, {0.118, 0.032}, {0.036, 0.011}, {0.0103, 0.0038}};
    float *all = normals(N), *kept = must(malloc(N * sizeof *kept));
    const size_t n_kept = largest_fifth(kept, all, N);
    for (int bits = 1; bits <= 8; bits++) {
        const struct dense theirs = {.kind = DENSE_COCKTAIL, .bits = bits, .group = 128, .scale = DENSE_SCALE_F16};
        const double of_all = relative_squares(&theirs, all, N), of_kept = relative_squares(&theirs, kept, n_kept);
        struct dense ours = {.bits = bits, .group = 128, .scale = DENSE_SCALE_BF16, .fitted = true};
        print_message("%d bits: all: cocktail %.5f", bits, of_all);
        ours.kind = DENSE_ODD;
        const double odd = relative_squares(&ours, all, N), odd_kept = relative_squares(&ours, kept, n_kept);
        ours.kind = DENSE_SIGNED;
        const double with_gap = relative_squares(&ours, all, N), with_gap_kept = relative_squares(&ours, kept, n_kept);
        print_message(" odd %.5f signed %.5f; kept: cocktail %.5f odd %.5f signed %.5f\n", odd, with_gap, of_kept,
                      odd_kept, with_gap_kept);
        assert_true(odd <= of_all);
        assert_true(with_gap_kept <= of_kept);
        if (bits <= 4) {
            assert_true(fabs(odd / table[bits - 1].odd - 1) < 0.02);
            assert_true(fabs(with_gap_kept / table[bits - 1].with_gap_kept - 1) < 0.02);
        }
        ours.fitted = false;
        if (bits > 1) assert_true(relative_squares(&ours, kept, n_kept) <= of_kept);
        if (bits == 1) continue;
        ours.kind = DENSE_ZERO;
        print_message("        zero %.5f; kept: zero %.5f\n", relative_squares(&ours, all, N),
                      relative_squares(&ours, kept, n_kept));
    }
    free(all);
    free(kept);
}

static void without_a_zero_every_value_is_some_level(void **state)
{
    (void)state;
    for (int bits = 1; bits <= 8; bits++) {
        const float tie = ldexpf(1, -bits),
                    x[] = {1, -1, 0, -0.0f, tie, -tie, 1e-9f, -1e-9f}; /* half a step of SIGNED */
        float y[COUNT_OF(x)];
        there_and_back(y, &(struct dense){DENSE_SIGNED, bits, 0, DENSE_SCALE_F32, false}, x, 1, COUNT_OF(x));
        for (size_t i = 2; i < COUNT_OF(x); i++)
            assert_true(y[i] == (x[i] < 0 ? -2 * tie : 2 * tie));
        there_and_back(y, &(struct dense){DENSE_ODD, bits, 0, DENSE_SCALE_F32, false}, x, 1, COUNT_OF(x));
        for (size_t i = 0; i < COUNT_OF(x); i++)
            assert_true(y[i] != 0);
    }
}

/* Fitting goes on from the codes of max |x| to the best scale for them, and to the best codes for that: no step makes
 * it worse, but for roundings. */
static void fitting_makes_no_group_worse(void **state)
{
    (void)state;
    enum { GROUP = 64, N = 200 * GROUP };
    float *x = normals(N), *plain = must(malloc(N * sizeof *x)), *fitted = must(malloc(N * sizeof *x));
    for (size_t k = 0; k < COUNT_OF(level_kinds); k++) {
        for (int bits = level_kinds[k] == DENSE_ZERO ? 2 : 1; bits <= 8; bits++) {
            there_and_back(plain, &(struct dense){level_kinds[k], bits, GROUP, DENSE_SCALE_F32, false}, x, 1, N);
            there_and_back(fitted, &(struct dense){level_kinds[k], bits, GROUP, DENSE_SCALE_F32, true}, x, 1, N);
            for (size_t at = 0; at < N; at += GROUP)
                assert_true(squares(x + at, fitted + at, GROUP) <= (1 + 1e-4) * squares(x + at, plain + at, GROUP));
            assert_true(squares(x, fitted, N) < squares(x, plain, N));
        }
    }
    there_and_back(fitted, &(struct dense){DENSE_SIGNED, 1, GROUP, DENSE_SCALE_F32, true}, x, 1, N);
    for (size_t at = 0; at < N; at += GROUP) {
        double mean = 0;
        for (size_t i = at; i < at + GROUP; i++)
            mean += (double)fabsf(x[i]) / GROUP;
        for (size_t i = at; i < at + GROUP; i++)
            assert_true(fabs((double)fitted[i] - copysign(mean, (double)x[i])) <= 0x1p-20 * mean);
    }
    free(x);
    free(plain);
    free(fitted);
}

static void cocktail_has_the_bias_of_its_authors(void **state)
{
    (void)state;
    float x[128], y[128];
    for (size_t i = 0; i < COUNT_OF(x); i++)
        x[i] = i % 2 ? -0.5f : 0.5f;
    for (int bits = 2; bits <= 8; bits++) {
        const struct dense theirs = {.kind = DENSE_COCKTAIL, .bits = bits, .group = 128, .scale = DENSE_SCALE_F16};
        there_and_back(y, &theirs, x, 1, 128);
        assert_true(y[0] == 0.5f * (1 - ldexpf(1, 1 - bits)) && y[1] == -0.5f);
        const struct dense ours = {.kind = DENSE_SIGNED, .bits = bits, .group = 128, .scale = DENSE_SCALE_BF16};
        there_and_back(y, &ours, x, 1, 128);
        assert_true(y[0] == 0.5f && y[1] == -0.5f);
    }
}

static bool is_spoilt(float x)
{
    return !(fabsf(x) <= FLT_MAX);
}

/* Of three groups the second holds it. */
static void check_spoilt(const struct dense *d, float what)
{
    float x[192], y[192];
    for (size_t i = 0; i < COUNT_OF(x); i++)
        x[i] = normal(i);
    x[d->kind == DENSE_COCKTAIL ? 3 * 9 + 1 : 64 + 9] = what;
    there_and_back(y, d, x, 1, COUNT_OF(x));
    for (size_t i = 0; i < COUNT_OF(x); i++) {
        const bool in_group = d->kind == DENSE_COCKTAIL ? i % 3 == 1 : i / 64 == 1;
        if (is_spoilt(y[i]) != in_group)
            fail_msg("%s, %d bits, %g: value %zu came out as %g", kind_names[d->kind], d->bits, (double)what, i,
                     (double)y[i]);
    }
}

static void what_is_no_number_spoils_its_group_and_no_other(void **state)
{
    (void)state;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, half_float_of(0x7f800001)};
    for (size_t b = 0; b < COUNT_OF(bad); b++) {
        for (int bits = 1; bits <= 8; bits++) {
            check_spoilt(&(struct dense){DENSE_COCKTAIL, bits, 64, DENSE_SCALE_F16, false}, bad[b]);
            for (int scale = DENSE_SCALE_F32; scale <= DENSE_SCALE_F16; scale++) {
                for (size_t k = bits == 1; k < COUNT_OF(level_kinds); k++) {
                    for (int fitted = 0; fitted < 2; fitted++)
                        check_spoilt(&(struct dense){level_kinds[k], bits, 64, (enum dense_scale)scale, fitted},
                                     bad[b]);
                }
            }
        }
        for (int kind = DENSE_F32; kind <= DENSE_BF16; kind++) {
            float y;
            there_and_back(&y, &(struct dense){.kind = (enum dense_kind)kind}, &bad[b], 1, 1);
            assert_true(is_spoilt(y));
        }
    }
    check_spoilt(&(struct dense){DENSE_COCKTAIL, 4, 64, DENSE_SCALE_F16, false}, 65520); /* infinite in fp16 */
    check_spoilt(&(struct dense){DENSE_ZERO, 8, 64, DENSE_SCALE_F16, false}, -65520);
}

static void tiny_and_huge_values_need_a_scale_that_holds_them(void **state)
{
    (void)state;
    const float sizes[] = {FLT_MAX, 1e30f, 65520, 1e-9f, 1e-30f, FLT_MIN, 0x1p-149f};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        float x[64], y[64];
        for (size_t i = 0; i < COUNT_OF(x); i++)
            x[i] = i % 2 ? -sizes[s] : sizes[s] * 0.75f;
        for (size_t k = 0; k < COUNT_OF(level_kinds); k++) {
            for (int fitted = 0; fitted < 2; fitted++) {
                const struct dense exact = {level_kinds[k], 4, 64, DENSE_SCALE_F32, fitted};
                there_and_back(y, &exact, x, 1, COUNT_OF(x));
                for (size_t i = 0; i < COUNT_OF(x); i++) /* subnormals have steps of their own */
                    assert_true(fabs((double)x[i] - (double)y[i]) <= 0.15 * (double)sizes[s] + 0x1p-149);
                const struct dense rounded = {level_kinds[k], 4, 64, DENSE_SCALE_BF16, fitted};
                there_and_back(y, &rounded, x, 1, COUNT_OF(x));
                if (sizes[s] < FLT_MAX && sizes[s] >= 0x1p-133f)
                    assert_true(fabs((double)x[1] - (double)y[1]) <= 0.15 * (double)sizes[s] && y[1] < 0);
            }
        }
    }
    /* What is too small for fp16 is not there. The authors' deltas are fp16 themselves. */
    float x[64], y[64];
    for (size_t i = 0; i < COUNT_OF(x); i++)
        x[i] = 1e-9f;
    there_and_back(y, &(struct dense){DENSE_COCKTAIL, 4, 64, DENSE_SCALE_F16, false}, x, 1, 64);
    assert_true(y[0] == 0 && y[63] == 0);
    there_and_back(y, &(struct dense){DENSE_ODD, 4, 64, DENSE_SCALE_F16, false}, x, 1, 64);
    assert_true(y[0] == 0 && y[63] == 0);
}

static void settings_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    expect_refused(dense_check(&(struct dense){DENSE_ZERO, 1, 64, DENSE_SCALE_F32, false}), E_ARG, "2 to 8");
    expect_refused(dense_check(&(struct dense){DENSE_ODD, 0, 64, DENSE_SCALE_F32, false}), E_ARG, "0 bits");
    expect_refused(dense_check(&(struct dense){DENSE_ODD, 9, 64, DENSE_SCALE_F32, false}), E_ARG, "9 bits");
    expect_refused(dense_check(&(struct dense){DENSE_ODD, 4, 60, DENSE_SCALE_F32, false}), E_ARG, "multiple of 8");
    expect_refused(dense_check(&(struct dense){DENSE_COCKTAIL, 4, 128, DENSE_SCALE_F32, false}), E_ARG, "fp16");
    const struct dense v = {DENSE_COCKTAIL, 4, 128, DENSE_SCALE_F16, false};
    expect_refused(sparse_check(&(struct sparse){{POSITIONS_BITMASK, 1000, 1000, 200}, v}), E_ARG, "buckets of 128");
    expect_refused(sparse_check(&(struct sparse){{POSITIONS_BITMASK, 1000, 100, 0}, v}), E_ARG, "0 values of each");
    expect_refused(sparse_check(&(struct sparse){{POSITIONS_BITMASK, 1000, 100, 101}, v}), E_ARG, "chunk of 100");
    expect_refused(sparse_check(&(struct sparse){{POSITIONS_BITMASK, (size_t)1 << 32, 128, 1}, v}), E_ARG, "more than");
}

/* Every message of a vector with one byte changed, less, or more: refused, or numbers; and if it is not refused, the
 * same message is made of them where nothing is rounded, as positions are. */
static void wrong_dense_messages_are_refused(void **state)
{
    (void)state;
    enum { N = 21 };
    float *x = normals(N), y[N];
    uint8_t message[128];
    for (size_t k = 0; k < COUNT_OF(level_kinds); k++) {
        const struct dense d = {level_kinds[k], 4, 16, DENSE_SCALE_BF16, false};
        const size_t bytes = dense_bytes(&d, 1, N);
        assert_int_equal(bytes, 2 * 2 + 11);
        dense_encode(message, &d, x, 1, N);
        expect_refused(dense_decode(y, &d, 1, N, message, bytes - 1), E_FORMAT, "14 bytes where 1 x 21 values have 15");
        expect_refused(dense_decode(y, &d, 1, N, message, bytes + 1), E_FORMAT, "16 bytes where");
        message[bytes - 1] ^= 1;
        expect_refused(dense_decode(y, &d, 1, N, message, bytes), E_FORMAT, "behind the last of 21");
        message[bytes - 1] ^= 1;
        message[3] ^= 0x80;
        expect_refused(dense_decode(y, &d, 1, N, message, bytes), E_FORMAT, "a scale of -");
        message[3] = 0x7f, message[2] = 0x80;
        expect_refused(dense_decode(y, &d, 1, N, message, bytes), E_FORMAT, "a scale of inf");
        message[2] = 0xc0;
        assert_int_equal(dense_decode(y, &d, 1, N, message, bytes), OK);
        message[7] |= 0x0f;
        const enum status s = dense_decode(y, &d, 1, N, message, bytes);
        if (d.kind == DENSE_ZERO)
            expect_refused(s, E_FORMAT, "a code of no level");
        else
            assert_int_equal(s, OK);
    }
    const struct dense theirs = {DENSE_COCKTAIL, 3, 7, DENSE_SCALE_F16, false};
    dense_encode(message, &theirs, x, 1, N);
    message[3] ^= 0x80;
    expect_refused(dense_decode(y, &theirs, 1, N, message, dense_bytes(&theirs, 1, N)), E_FORMAT, "scale 1 of 3");
    message[3] ^= 0x80;
    message[6 + 7] ^= 1;
    expect_refused(dense_decode(y, &theirs, 1, N, message, dense_bytes(&theirs, 1, N)), E_FORMAT, "behind the last");
    free(x);
}

/* ---- The largest values ---- */

struct ranked {
    uint32_t size, index;
};

static int by_size_then_index(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    if (p->size != q->size) return p->size < q->size ? 1 : -1;
    return p->index < q->index ? -1 : p->index > q->index;
}

static int ascending(const void *a, const void *b)
{
    const uint32_t p = *(const uint32_t *)a, q = *(const uint32_t *)b;
    return p < q ? -1 : p > q;
}

static void check_topk(const float *x, size_t n, size_t k)
{
    struct ranked *ranked = must(malloc((n + 1) * sizeof *ranked));
    uint32_t *expected = must(malloc((k + 1) * sizeof *expected));
    struct guarded g = guarded_open((k + 1) * sizeof(uint32_t));
    uint32_t *index = guarded_end(&g, k * sizeof *index, 0);
    for (size_t i = 0; i < n; i++)
        ranked[i] = (struct ranked){half_bits_of(x[i]) & 0x7fffffff, (uint32_t)i};
    qsort(ranked, n, sizeof *ranked, by_size_then_index);
    for (size_t i = 0; i < k; i++)
        expected[i] = ranked[i].index;
    qsort(expected, k, sizeof *expected, ascending);
    topk_select(index, x, n, k);
    assert_true(guarded_clean_outside(&g, index, k * sizeof *index));
    if (memcmp(index, expected, k * sizeof *index)) fail_msg("%zu of %zu", k, n);
    guarded_close(&g);
    free(ranked);
    free(expected);
}

static void topk_is_what_sorting_gives(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 7, 64, 1000, 4096};
    float x[4096];
    for (int way = 0; way < 4; way++) {
        for (size_t i = 0; i < COUNT_OF(x); i++) {
            const uint64_t random = rng_u64(11, (uint64_t)way, i);
            x[i] = way == 0   ? normal(i)
                   : way == 1 ? (float)(random % 5) - 2                                    /* ties */
                   : way == 2 ? half_float_of((uint32_t)random)                            /* NaN and subnormals too */
                              : half_float_of(0x3f800000 | (uint32_t)(random & 0x800003)); /* low bits decide */
        }
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            for (size_t k = 0; k <= sizes[s]; k += 1 + sizes[s] / 9)
                check_topk(x, sizes[s], k);
        check_topk(x, 4096, 4096);
    }
}

/* ---- Positions ---- */

/* Each of n is taken with probability k / n, exactly k of them; clustered ones are at the end. */
static void random_positions(uint32_t *index, size_t n, size_t k, bool clustered, uint64_t seed)
{
    size_t found = 0;
    for (size_t i = 0; i < n && found < k; i++) {
        const bool take = clustered ? n - i <= k : rng_uniform(seed, 0, i) * (double)(n - i) < (double)(k - found);
        if (take) index[found++] = (uint32_t)i;
    }
    assert_int_equal(found, k);
}

static double entropy(double p)
{
    return p <= 0 || p >= 1 ? 0 : -(p * log2(p) + (1 - p) * log2(1 - p));
}

static size_t check_positions(const struct positions *p, const uint32_t *index)
{
    const size_t k = positions_count(p), most = positions_max_bytes(p);
    struct guarded g = guarded_open(most + 1);
    uint8_t *message = guarded_end(&g, most, 0);
    uint32_t *back = must(malloc((k + 1) * sizeof *back));
    const size_t bytes = positions_encode(message, p, index);
    assert_true(bytes <= most && guarded_clean_outside(&g, message, bytes));
    if (p->code != POSITIONS_GOLOMB) assert_int_equal(bytes, most);
    memmove(message + most - bytes, message, bytes); /* so that reading on is seen */
    assert_int_equal(positions_decode(back, p, message + most - bytes, bytes), OK);
    assert_memory_equal(back, index, k * sizeof *back);
    guarded_close(&g);
    free(back);
    return bytes;
}

static void positions_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 8, 9, 63, 64, 65, 1000, 5000};
    uint32_t index[5000];
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        const size_t n = sizes[s];
        for (size_t k = 1; k <= n; k += 1 + n / 13) {
            for (int clustered = 0; clustered < 2; clustered++) {
                random_positions(index, n, k, clustered, k);
                check_positions(&(struct positions){POSITIONS_BITMASK, n, n, k}, index);
                check_positions(&(struct positions){POSITIONS_GOLOMB, n, n, k}, index);
                check_positions(&(struct positions){POSITIONS_CHUNKED, n, n, k}, index);
            }
        }
    }
    const struct positions none = {POSITIONS_GOLOMB, 0, 8, 8};
    assert_int_equal(positions_count(&none), 0);
    assert_int_equal(check_positions(&none, index), 0);
    const uint32_t last[] = {UINT32_MAX - 1}; /* a run of zeros longer than any window */
    check_positions(&(struct positions){POSITIONS_GOLOMB, UINT32_MAX, UINT32_MAX, 1}, last);
}

static void golomb_is_near_the_entropy(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    static const struct {
        double fraction, worst;
    } cases[] = {{0.0005, 1.01}, {0.005, 1.01}, {1.0 / 64, 1.01}, {0.05, 1.01}, {0.1, 1.01},
                 {0.15, 1.01},   {0.2, 1.01},   {0.25, 1.015},    {0.3, 1.015}, {0.33, 1.02},
                 {0.36, 1.03},   {0.38, 1.045}, {0.41, 1.03},     {0.5, 1.001}};
    uint32_t *index = must(malloc(N * sizeof *index));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const size_t k = (size_t)(cases[i].fraction * N);
        random_positions(index, N, k, false, 5);
        const size_t bytes = check_positions(&(struct positions){POSITIONS_GOLOMB, N, N, k}, index);
        const double bits = 8.0 * (double)bytes / N, least = entropy((double)k / N);
        print_message("kept %.4f: %.5f bits a value, entropy %.5f, %.2f %% above\n", cases[i].fraction, bits, least,
                      100 * (bits / least - 1));
        assert_true(bits <= cases[i].worst * least + 16.0 / N);
        assert_true(bits >= 0.99 * least); /* N draws tell the entropy to a percent; less is a code that loses some */
    }
    free(index);
}

/* A message with any one bit changed is refused, or is the message of other positions. */
static void check_changed_positions(const struct positions *p, const uint32_t *index)
{
    uint8_t message[256], again[256];
    uint32_t other[256];
    const size_t bytes = positions_encode(message, p, index), k = positions_count(p);
    size_t n_refused = 0;
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        message[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        if (positions_decode(other, p, message, bytes) == OK) {
            for (size_t i = 0; i < k; i++)
                assert_true(other[i] < p->n && (i == 0 || other[i - 1] < other[i]));
            assert_int_equal(positions_encode(again, p, other), bytes);
            assert_memory_equal(again, message, bytes);
        } else {
            assert_non_null(strstr(status_message(), "positions of "));
            n_refused++;
        }
        message[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    }
    assert_true(n_refused > 0);
    const char *const cut[] = {"another size", "they go on behind the end", "another size"};
    expect_refused(positions_decode(other, p, message, bytes - 1), E_FORMAT, cut[p->code]);
    message[bytes] = 0;
    expect_refused(positions_decode(other, p, message, bytes + 1), E_FORMAT, "positions of ");
    expect_refused(positions_decode(other, p, message, 0), E_FORMAT, "positions of ");
}

static void wrong_positions_are_refused(void **state)
{
    (void)state;
    uint32_t index[256];
    for (int code = POSITIONS_BITMASK; code <= POSITIONS_CHUNKED; code++) {
        for (size_t n = 150; n < 170; n += 3) {
            random_positions(index, n, 33, false, n);
            check_changed_positions(&(struct positions){(enum positions_code)code, n, n, 33}, index);
        }
    }
    const struct positions p = {POSITIONS_BITMASK, 12, 12, 2};
    const uint8_t more[] = {0x80, 0x50}, fewer[] = {0x80, 0x00}, behind[] = {0x80, 0x18};
    expect_refused(positions_decode(index, &p, more, 2), E_FORMAT, "there are more");
    expect_refused(positions_decode(index, &p, fewer, 2), E_FORMAT, "there are fewer");
    expect_refused(positions_decode(index, &p, behind, 2), E_FORMAT, "bits behind the end");
    const struct positions chunks = {POSITIONS_CHUNKED, 20, 16, 1}; /* the second has four values */
    const uint8_t inside[] = {0xf3}, outside[] = {0xf4};
    assert_int_equal(positions_decode(index, &chunks, inside, 1), OK);
    assert_true(index[0] == 15 && index[1] == 19);
    expect_refused(positions_decode(index, &chunks, outside, 1), E_FORMAT, "do not ascend within their chunk");
    const struct positions far = {POSITIONS_GOLOMB, UINT32_MAX, UINT32_MAX, 3};
    const uint8_t zeros[16] = {0};
    expect_refused(positions_decode(index, &far, zeros, sizeof zeros), E_FORMAT, "behind the end");
}

/* ---- Subsets ---- */

static void rolling_is_that_of_the_authors(void **state)
{
    (void)state;
    static const struct subset cases[] = {{SUBSET_ROLLING, 103, 10, 4, 0}, {SUBSET_ROLLING, 100, 10, 1, 0},
                                          {SUBSET_ROLLING, 57, 3, 8, 0},   {SUBSET_ROLLING, 40, 10, 128, 0},
                                          {SUBSET_ROLLING, 9, 1, 2, 0},    {SUBSET_ROLLING, 1, 10, 1, 0}};
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        const struct subset *s = &cases[c];
        bool mask[103] = {0};
        size_t n_true = 0, position[103];
        for (size_t i = 0; i < s->n; i += s->stride)
            mask[i] = true, n_true++;
        const size_t keep = n_true / s->multiple * s->multiple;
        for (size_t i = 0, seen = 0; i < s->n; i++) /* the first ones; all, if none are left */
            mask[i] = keep ? mask[i] && ++seen <= keep : true;
        for (uint64_t t = 0; t < 2 * s->n + 3; t++) {
            size_t n = 0;
            subset_positions(position, s, t, 0, subset_count(s, t));
            for (size_t i = 0; i < s->n; i++) /* mask rolled by t */
                if (mask[(i + s->n - t % s->n) % s->n]) assert_int_equal(position[n++], i);
            assert_int_equal(n, subset_count(s, t));
            for (size_t first = 0; first < n; first++) {
                size_t one;
                subset_positions(&one, s, t, first, 1);
                assert_int_equal(one, position[first]);
            }
        }
    }
    assert_int_equal(subset_stride(0.1), 10);
    assert_int_equal(subset_stride(0.02), 50);
    assert_int_equal(subset_stride(0.4), 2);
    assert_int_equal(subset_stride(1), 1);
}

static void random_subsets_take_everyone_in_turn(void **state)
{
    (void)state;
    enum { N = 4003, STRIDE = 10 };
    const struct subset s = {.kind = SUBSET_RANDOM, .n = N, .stride = STRIDE, .seed = 99};
    size_t position[N / STRIDE + 1], one;
    unsigned together = 0, per_offset[STRIDE] = {0};
    for (uint64_t cycle = 0; cycle < 20; cycle++) {
        unsigned seen[N] = {0};
        for (uint64_t t = cycle * STRIDE; t < (cycle + 1) * STRIDE; t++) {
            const size_t n = subset_count(&s, t);
            subset_positions(position, &s, t, 0, n);
            for (size_t i = 0; i < n; i++) {
                assert_true(position[i] < N && (i == 0 || position[i - 1] < position[i]));
                seen[position[i]]++;
                subset_positions(&one, &s, t, i, 1);
                assert_int_equal(one, position[i]);
                if (t == cycle * STRIDE) per_offset[position[i] % STRIDE]++;
                together += i && position[i] == position[i - 1] + STRIDE;
            }
        }
        for (size_t i = 0; i < N; i++)
            assert_int_equal(seen[i], 1);
    }
    /* Of 8000 blocks each offset is the first in 800, standard deviation 27; neighbours are a stride apart in one of
     * ten of 80000 pairs, in steps of ten: 8000, standard deviation 270. */
    for (size_t i = 0; i < STRIDE; i++)
        assert_true(per_offset[i] > 800 - 5 * 27 && per_offset[i] < 800 + 5 * 27);
    assert_true(together > 8000 - 5 * 270 && together < 8000 + 5 * 270);
    const struct subset other = {.kind = SUBSET_RANDOM, .n = N, .stride = STRIDE, .seed = 100};
    size_t n_same = 0;
    for (size_t i = 0; i < 400; i++) {
        size_t a, b;
        subset_positions(&a, &s, 0, i, 1);
        subset_positions(&b, &other, 0, i, 1);
        n_same += a == b;
    }
    assert_true(n_same < 40 + 5 * 6);
}

/* ---- Sizes ---- */

/* Bytes for each of N parameters of a synchronisation of part p, of which the largest fraction is sent. */
static double bytes_a_parameter(enum positions_code code, const struct dense *values, double p, double fraction)
{
    enum { N = 1 << 22 };
    const struct subset subset = {.kind = SUBSET_ROLLING, .n = N, .stride = subset_stride(p), .multiple = 128};
    const size_t n = subset_count(&subset, 0), keep = sparse_cocktail_keep(n, fraction, 128);
    const struct sparse s = {{code, n, n, keep}, *values};
    float *x = normals(n);
    uint8_t *message = must(malloc(sparse_max_bytes(&s)));
    struct sparse_entries e = entries_for(&s);
    assert_int_equal(sparse_check(&s), OK);
    const size_t bytes = sparse_encode(message, &s, x, &e);
    assert_true(bytes <= sparse_max_bytes(&s));
    if (code == POSITIONS_BITMASK) {
        assert_int_equal(bytes, sparse_max_bytes(&s));
        if (values->kind == DENSE_COCKTAIL)
            assert_int_equal(bytes, keep / 128 * 2 + (keep * (size_t)values->bits + 7) / 8 + (n + 7) / 8);
    }
    free(x);
    free(message);
    entries_free(&e);
    return (double)bytes / N;
}

static void cocktail_sends_what_its_formula_says(void **state)
{
    (void)state;
    const struct dense theirs = {DENSE_COCKTAIL, 4, 128, DENSE_SCALE_F16, false};
    const struct dense ours = {DENSE_SIGNED, 4, 128, DENSE_SCALE_BF16, true};
    const double p = 0.1, k = 0.2, formula = p * (k * (4.0 / 8 + 2.0 / 128) + 1.0 / 8);
    const double bitmask = bytes_a_parameter(POSITIONS_BITMASK, &theirs, p, k);
    const double golomb = bytes_a_parameter(POSITIONS_GOLOMB, &ours, p, k);
    print_message("p 0.1, k 0.2, 4 bits: bitmask %.5f bytes a parameter (formula %.5f), %.1f times less than fp16; "
                  "golomb %.5f, %.1f times\n",
                  bitmask, formula, 2 / bitmask, golomb, 2 / golomb);
    assert_true(fabs(formula - 0.02281) < 5e-6);
    assert_true(fabs(bitmask / formula - 1) < 1e-3); /* keep is rounded to buckets */
    const double least = p * (k * (4.0 / 8 + 2.0 / 128) + entropy(k) / 8);
    assert_true(golomb < 1.01 * least && golomb > 0.995 * least);
    assert_int_equal(sparse_cocktail_keep(1000, 0.2, 128), 128);
    assert_int_equal(sparse_cocktail_keep(1000, 0.1, 128), 100);
    assert_int_equal(sparse_cocktail_keep(5, 0.1, 128), 1);
}

static void sparse_chunks_send_what_their_formula_says(void **state)
{
    (void)state;
    enum { N = 4096 * 40, KEEP = 64 };
    const struct dense v = {DENSE_SIGNED, 2, 64, DENSE_SCALE_BF16, true};
    const struct sparse chunked = {{POSITIONS_CHUNKED, N, 4096, KEEP}, v},
                        golomb = {{POSITIONS_GOLOMB, N, 4096, KEEP}, v};
    float *x = normals(N);
    uint8_t *message = must(malloc(sparse_max_bytes(&golomb) + sparse_max_bytes(&chunked)));
    struct sparse_entries e = entries_for(&chunked), back = entries_for(&chunked);
    const size_t bytes = sparse_encode(message, &chunked, x, &e);
    assert_int_equal(bytes, sparse_max_bytes(&chunked));
    assert_int_equal(bytes, 40 * (KEEP * (12 + 2) / 8 + 2));
    const size_t less = sparse_encode(message, &golomb, x, &back);
    assert_memory_equal(e.index, back.index, 40 * KEEP * sizeof *e.index);
    print_message(
        "64 of 4096 in 2 bits: %.5f bytes a parameter with 12-bit indexes, %.5f with golomb (%.2f bits each)\n",
        (double)bytes / N, (double)less / N, 8.0 * (double)(less - 40 * (KEEP / 4 + 2)) / (40 * KEEP));
    assert_true(less < bytes);
    assert_int_equal(sparse_decode(&back, &golomb, message, less), OK);
    expect_refused(sparse_decode(&back, &golomb, message, 500), E_FORMAT, "500 bytes, of which 2560 values take");
    expect_refused(sparse_decode(&back, &golomb, message, less - 1), E_FORMAT, "positions of 2560 of 163840 values");
    free(x);
    free(message);
    entries_free(&e);
    entries_free(&back);
}

/* ---- Error feedback ---- */

/* left = x - sent and left + sent, in fp32: is it x, and if not, by how much more than half a unit in sent's last
 * place? */
static bool check_left(float x, float sent)
{
    const float left = x - sent, again = left + sent;
    if (!(fabs((double)again - (double)x) <= 0x1p-23 * (double)fmaxf(fabsf(sent), fabsf(x))))
        fail_msg("%a, of which %a was sent, became %a", (double)x, (double)sent, (double)again);
    return again == x;
}

static void what_was_sent_and_what_is_left_are_the_input(void **state)
{
    (void)state;
    enum { N = 20000 };
    float *x = normals(N), *y = must(malloc(N * sizeof *y));
    static const struct dense cases[] = {{.kind = DENSE_F32},
                                         {.kind = DENSE_F16},
                                         {.kind = DENSE_BF16},
                                         {DENSE_ZERO, 4, 128, DENSE_SCALE_F32, false},
                                         {DENSE_ZERO, 8, 128, DENSE_SCALE_BF16, false},
                                         {DENSE_ODD, 4, 128, DENSE_SCALE_F32, true},
                                         {DENSE_SIGNED, 2, 128, DENSE_SCALE_BF16, true}};
    for (size_t i = 0; i < N; i += 7)
        x[i] *= 1e-6f;
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        size_t n_inexact = 0;
        there_and_back(y, &cases[c], x, 1, N);
        for (size_t i = 0; i < N; i++)
            n_inexact += !check_left(x[i], y[i]);
        print_message("%s, %d bits: %zu of %d inexact\n", kind_names[cases[c].kind], cases[c].bits, n_inexact, N);
        if (cases[c].kind <= DENSE_ZERO) assert_int_equal(n_inexact, 0);
    }
    free(x);
    free(y);
}

static void nothing_is_lost_between_what_is_sent_sparsely_and_what_is_left(void **state)
{
    (void)state;
    enum { N = 10000 };
    const struct sparse s = {{POSITIONS_GOLOMB, N, N, 1280}, {DENSE_SIGNED, 4, 128, DENSE_SCALE_BF16, false}};
    float *x = normals(N), *left = must(malloc(N * sizeof *left)), *sum = must(calloc(N, sizeof *sum));
    uint8_t *message = must(malloc(sparse_max_bytes(&s)));
    struct sparse_entries sent = entries_for(&s), got = entries_for(&s);
    memcpy(left, x, N * sizeof *x);
    for (int round = 0; round < 40; round++) {
        float *before = must(malloc(N * sizeof *before));
        memcpy(before, left, N * sizeof *left);
        const size_t bytes = sparse_encode(message, &s, left, &sent);
        assert_int_equal(sparse_decode(&got, &s, message, bytes), OK);
        assert_memory_equal(got.value, sent.value, 1280 * sizeof(float));
        for (size_t i = 0; i < 1280; i++) {
            left[sent.index[i]] -= sent.value[i];
            sum[got.index[i]] += got.value[i];
        }
        for (size_t i = 0, j = 0; i < N; i++) {
            const float part = j < 1280 && sent.index[j] == i ? sent.value[j++] : 0;
            if (part == 0) assert_true(left[i] == before[i]);
            assert_true(check_left(before[i], part) || round > 0); /* the largest eighth: no value is in the gap */
        }
        free(before);
    }
    /* What receivers have summed up converges to the input: every round took the largest of what was left. */
    float *zeros = must(calloc(N, sizeof *zeros));
    print_message("after 40 rounds %.2g of the input is left\n", squares(x, sum, N) / squares(x, zeros, N));
    assert_true(squares(x, sum, N) < 1e-3 * squares(x, zeros, N));
    free(zeros);
    free(x);
    free(left);
    free(sum);
    free(message);
    entries_free(&sent);
    entries_free(&got);
}

/* ---- Speed, to be read and not judged ---- */

/* Of this process's time, as others may be running. */
static double seconds_used(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void show_dense_speed(const char *name, const struct dense *d, const float *x, size_t n)
{
    uint8_t *message = must(malloc(dense_bytes(d, 1, n)));
    float *y = must(malloc(n * sizeof *y));
    double encode = INFINITY, decode = INFINITY;
    for (int i = 0; i < 3; i++) {
        const double start = seconds_used();
        dense_encode(message, d, x, 1, n);
        const double half_way = seconds_used();
        assert_int_equal(dense_decode(y, d, 1, n, message, dense_bytes(d, 1, n)), OK);
        encode = fmin(encode, half_way - start);
        decode = fmin(decode, seconds_used() - half_way);
    }
    const double gigabytes = 4e-9 * (double)n;
    print_message("%-24s encode %.2f GB/s, decode %.2f GB/s\n", name, gigabytes / encode, gigabytes / decode);
    free(message);
    free(y);
}

static void show_sparse_speed(const char *name, const struct sparse *s, const float *x)
{
    uint8_t *message = must(malloc(sparse_max_bytes(s)));
    struct sparse_entries e = entries_for(s);
    double encode = INFINITY, decode = INFINITY;
    for (int i = 0; i < 3; i++) {
        const double start = seconds_used();
        const size_t bytes = sparse_encode(message, s, x, &e);
        const double half_way = seconds_used();
        assert_int_equal(sparse_decode(&e, s, message, bytes), OK);
        encode = fmin(encode, half_way - start);
        decode = fmin(decode, seconds_used() - half_way);
    }
    const double gigabytes = 4e-9 * (double)s->positions.n;
    print_message("%-24s encode %.2f GB/s, decode %.2f GB/s\n", name, gigabytes / encode, gigabytes / decode);
    free(message);
    entries_free(&e);
}

static void speeds(void **state)
{
    (void)state;
    enum { N = 1 << 19 };
    float *x = normals(N);
    show_dense_speed("fp16", &(struct dense){.kind = DENSE_F16}, x, N);
    show_dense_speed("bf16", &(struct dense){.kind = DENSE_BF16}, x, N);
    show_dense_speed("zero, 8 bits", &(struct dense){DENSE_ZERO, 8, 128, DENSE_SCALE_BF16, false}, x, N);
    show_dense_speed("zero, 4 bits", &(struct dense){DENSE_ZERO, 4, 128, DENSE_SCALE_BF16, false}, x, N);
    show_dense_speed("signed, 4 bits", &(struct dense){DENSE_SIGNED, 4, 128, DENSE_SCALE_BF16, false}, x, N);
    show_dense_speed("odd, 4 bits, fitted", &(struct dense){DENSE_ODD, 4, 128, DENSE_SCALE_BF16, true}, x, N);
    show_dense_speed("signed, 2 bits, fitted", &(struct dense){DENSE_SIGNED, 2, 128, DENSE_SCALE_BF16, true}, x, N);
    show_dense_speed("cocktail, 4 bits", &(struct dense){DENSE_COCKTAIL, 4, 128, DENSE_SCALE_F16, false}, x, N);
    const struct dense v = {DENSE_SIGNED, 4, 128, DENSE_SCALE_BF16, true};
    show_sparse_speed("20 %, bitmask", &(struct sparse){{POSITIONS_BITMASK, N, N, N / 5 / 128 * 128}, v}, x);
    show_sparse_speed("20 %, golomb", &(struct sparse){{POSITIONS_GOLOMB, N, N, N / 5 / 128 * 128}, v}, x);
    show_sparse_speed("64 of 4096, 12 bits", &(struct sparse){{POSITIONS_CHUNKED, N, 4096, 64}, v}, x);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_those_of_numpy),
        cmocka_unit_test(any_number_of_codes_is_packed_and_unpacked),
        cmocka_unit_test(values_are_off_by_half_a_step_and_ends_are_exact),
        cmocka_unit_test(rows_have_scales_of_their_own),
        cmocka_unit_test(our_squares_of_errors_are_below_those_of_cocktail),
        cmocka_unit_test(without_a_zero_every_value_is_some_level),
        cmocka_unit_test(fitting_makes_no_group_worse),
        cmocka_unit_test(cocktail_has_the_bias_of_its_authors),
        cmocka_unit_test(what_is_no_number_spoils_its_group_and_no_other),
        cmocka_unit_test(tiny_and_huge_values_need_a_scale_that_holds_them),
        cmocka_unit_test(settings_that_make_no_sense_are_refused),
        cmocka_unit_test(wrong_dense_messages_are_refused),
        cmocka_unit_test(topk_is_what_sorting_gives),
        cmocka_unit_test(positions_come_back),
        cmocka_unit_test(golomb_is_near_the_entropy),
        cmocka_unit_test(wrong_positions_are_refused),
        cmocka_unit_test(rolling_is_that_of_the_authors),
        cmocka_unit_test(random_subsets_take_everyone_in_turn),
        cmocka_unit_test(cocktail_sends_what_its_formula_says),
        cmocka_unit_test(sparse_chunks_send_what_their_formula_says),
        cmocka_unit_test(what_was_sent_and_what_is_left_are_the_input),
        cmocka_unit_test(nothing_is_lost_between_what_is_sent_sparsely_and_what_is_left),
        cmocka_unit_test(speeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
