// SPDX-License-Identifier: Apache-2.0
/* Numbers in few bits: codes are packed and unpacked, errors stay below their bounds, settings and messages that make
 * no sense are refused. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/half.h"
#include "base/rng.h"
#include "compress_numbers.h"
#include "dist/bits.h"
#include "dist/sparse.h"
#include "dist/topk.h"
#include "guard.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
