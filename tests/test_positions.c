// SPDX-License-Identifier: Apache-2.0
/* Which values are sent: the largest, or a random subset in its turn, and positions that take what entropy says they
 * must. */
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/half.h"
#include "base/rng.h"
#include "compress_numbers.h"
#include "dist/positions.h"
#include "dist/subset.h"
#include "dist/topk.h"
#include "guard.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topk_is_what_sorting_gives),     cmocka_unit_test(positions_come_back),
        cmocka_unit_test(golomb_is_near_the_entropy),     cmocka_unit_test(wrong_positions_are_refused),
        cmocka_unit_test(rolling_is_that_of_the_authors), cmocka_unit_test(random_subsets_take_everyone_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
