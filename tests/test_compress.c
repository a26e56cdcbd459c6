// SPDX-License-Identifier: Apache-2.0
/* Compression for the wire as a whole: messages are those that numpy makes from the formulas, sizes are what the
 * formulas say, and nothing is lost between what is sent and what is left. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test.h"

#include "base/compiler.h"
#include "base/half.h"
#include "base/json.h"
#include "compress_numbers.h"
#include "dist/sparse.h"
#include "dist/subset.h"

/* ---- Messages of numpy ---- */

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
        cmocka_unit_test(cocktail_sends_what_its_formula_says),
        cmocka_unit_test(sparse_chunks_send_what_their_formula_says),
        cmocka_unit_test(what_was_sent_and_what_is_left_are_the_input),
        cmocka_unit_test(nothing_is_lost_between_what_is_sent_sparsely_and_what_is_left),
        cmocka_unit_test(speeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
