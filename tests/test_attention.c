// SPDX-License-Identifier: Apache-2.0
/* The CPU backend's attention and K/V pages against plain loops in double, and its laws: neither the number of threads,
 * nor the other rows of a batch, nor where K/V pages lie or who shares them changes a bit. */
#include "backend.h"

#include "base/half.h"

enum { H = 3, K = 20, MAX_SEQUENCES = 6, MAX_ROWS = 160, MAX_PAGES = 17 };

static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16};

/* A few sequences in a K/V store, and one batch over all their positions. */
struct scene {
    struct ops *o;
    int n_sequences, length[MAX_SEQUENCES];
    int32_t pages[MAX_SEQUENCES][MAX_PAGES];
    const int32_t *const_pages[MAX_SEQUENCES];
    float *q, *k, *v; /* [T][H][K] */
    struct kv_pages kv;
    size_t kv_bytes; /* of kv.k, and of kv.v */
    int32_t token[MAX_ROWS], position[MAX_ROWS], lo[MAX_ROWS], hi[MAX_ROWS], sequence[MAX_ROWS];
    struct batch batch;
};

static size_t scene_floats(const struct scene *s)
{
    return (size_t)s->batch.T * H * K;
}

/* Page numbers: in order, or scattered over the store by a stride that is prime to its size. */
static void scene_open(struct scene *s, struct ops *o, enum dtype dtype, int n_sequences, const int *length,
                       bool scattered)
{
    *s = (struct scene){.o = o, .n_sequences = n_sequences};
    int used = 0, T = 0;
    for (int i = 0; i < n_sequences; i++) {
        s->length[i] = length[i];
        s->const_pages[i] = s->pages[i];
        for (int p = 0; p * KV_PAGE < length[i]; p++, used++)
            s->pages[i][p] = scattered ? (used * 7 + 11) % MAX_PAGES : used;
        for (int t = 0; t < length[i]; t++, T++) {
            s->position[T] = t;
            s->sequence[T] = i;
            s->hi[T] = t + 1;
        }
    }
    assert_true(used <= MAX_PAGES && T <= MAX_ROWS);
    s->batch = (struct batch){T, s->token, s->position, s->lo, s->hi, s->sequence, s->const_pages};
    s->q = numbers(scene_floats(s), 1);
    s->k = numbers(scene_floats(s), 2);
    s->v = numbers(scene_floats(s), 3);
    s->kv_bytes = MAX_PAGES * ops_kv_page_bytes(H, K, dtype);
    s->kv = (struct kv_pages){alloc(o, s->kv_bytes), alloc(o, s->kv_bytes), dtype};
    memset(s->kv.k, 0xff, s->kv_bytes); /* NaN: what nobody stored, nobody may read */
    memset(s->kv.v, 0xff, s->kv_bytes);
}

static void scene_close(struct scene *s)
{
    s->o->fn->free(s->o, s->kv.k, s->kv_bytes);
    s->o->fn->free(s->o, s->kv.v, s->kv_bytes);
    free(s->q);
    free(s->k);
    free(s->v);
}

static void scene_store(struct scene *s)
{
    s->o->fn->kv_store(s->o, &s->kv, s->k, s->v, &s->batch, 0, s->batch.T, H, K);
}

/* Rows first .. first + T; y is owned. */
static float *scene_attend(const struct scene *s, int first, int T)
{
    float *y = numbers((size_t)T * H * K, 4);
    s->o->fn->attention(s->o, y, NULL, s->q + first * H * K, &s->kv, &s->batch, first, T, H, K);
    return y;
}

/* Stores all K/V, then attends; y is owned. */
static float *scene_run(struct scene *s)
{
    scene_store(s);
    return scene_attend(s, 0, s->batch.T);
}

/* ---- The truth ---- */

static double rounded(float x, enum dtype dtype)
{
    return (double)(dtype == DTYPE_F16 ? f16_to_f32(f16_from_f32(x)) : x);
}

/* One head of one row, in double. A score is off by what a dot product is; twice the largest such error is what a
 * probability can be off by, relatively. On top come, in the weights and again in their sum: exp (2 eps) and the
 * rounding of its argument, which over all rescalings adds up to the distance from the largest score; for each of these
 * a factor, and two products with it; the sums themselves; and the division by one another. */
static void attend_in_double(const struct scene *s, int t, int h, double truth[K], double bound[K])
{
    const int lo = s->lo[t], hi = s->hi[t], start = t - s->position[t];
    const float *q = s->q + ((size_t)t * H + (size_t)h) * K;
    double p[MAX_ROWS], max = -INFINITY, least = INFINITY, off = 0, sum = 0;
    int rescalings = 0;
    for (int j = lo; j < hi; j++) {
        const float *key = s->k + ((size_t)(start + j) * H + (size_t)h) * K;
        double size = 0;
        p[j] = 0;
        for (int i = 0; i < K; i++) {
            const double product = (double)q[i] * rounded(key[i], s->kv.dtype) / sqrt(K);
            p[j] += product;
            size += fabs(product);
        }
        off = fmax(off, (8 + sqrt(K)) * EPS * size + 3 * EPS * fabs(p[j])); /* 1/sqrt(K) is rounded too */
        rescalings += j % KV_PAGE == 0;
        max = fmax(max, p[j]);
        least = fmin(least, p[j]);
    }
    for (int j = lo; j < hi; j++)
        sum += p[j] = exp(p[j] - max);
    for (int i = 0; i < K; i++) {
        double size = 0;
        truth[i] = 0;
        for (int j = lo; j < hi; j++) {
            const float *value = s->v + ((size_t)(start + j) * H + (size_t)h) * K;
            const double part = p[j] / sum * rounded(value[i], s->kv.dtype);
            truth[i] += part;
            size += fabs(part);
        }
        const double weight = off + EPS * (max - least + 2 + 4 * rescalings), sums = (8 + sqrt(hi - lo)) * EPS;
        bound[i] = size * 2 * (weight + sums) + 3 * EPS * fabs(truth[i]);
    }
}

static void must_attend_as_told(struct scene *s, const char *what)
{
    float *y = scene_run(s);
    for (int t = 0; t < s->batch.T; t++) {
        for (int h = 0; h < H; h++) {
            double truth[K], bound[K];
            attend_in_double(s, t, h, truth, bound);
            for (int i = 0; i < K; i++)
                must_be_near((double)y[(t * H + h) * K + i], truth[i], bound[i], what, t, h * K + i);
        }
    }
    free(y);
}

static int greatest(int a, int b)
{
    return a > b ? a : b;
}

static int least_of(int a, int b)
{
    return a < b ? a : b;
}

static void see_a_prompt(struct scene *s, int prompt)
{
    for (int t = 0; t < s->batch.T; t++) {
        s->lo[t] = 0;
        s->hi[t] = greatest(s->position[t] + 1, least_of(prompt, s->length[s->sequence[t]]));
    }
}

static void see_anything(struct scene *s)
{
    for (int t = 0; t < s->batch.T; t++) {
        const int n = s->length[s->sequence[t]];
        s->lo[t] = (int)(rng_u64(1, 9, (uint64_t)t) % (uint64_t)n);
        s->hi[t] = s->lo[t] + 1 + (int)(rng_u64(1, 10, (uint64_t)t) % (uint64_t)(n - s->lo[t]));
    }
}

/* ---- Claims ---- */

static void attention_sees_exactly_its_interval(void **state)
{
    (void)state;
    static const int lengths[] = {100, 33, 1};
    static const int prefixes[] = {0, 1, 31, 32, 33, 64, 100};
    for (int variant = 0; variant < 2 * (int)(kernels_best_level() + 1); variant++) {
        struct ops *o = backend((enum cpu_level)(variant / 2), 2, K);
        struct scene s;
        scene_open(&s, o, dtypes[variant % 2], COUNT_OF(lengths), lengths, true);
        for (size_t p = 0; p < COUNT_OF(prefixes); p++) {
            see_a_prompt(&s, prefixes[p]);
            must_attend_as_told(&s, "prompt of given length");
        }
        for (int t = 0; t < s.batch.T; t++) { /* documents of 13, the first 5 a prompt */
            s.lo[t] = s.position[t] / 13 * 13;
            s.hi[t] = greatest(s.position[t] + 1, least_of(s.lo[t] + 5, s.length[s.sequence[t]]));
        }
        must_attend_as_told(&s, "documents");
        see_anything(&s);
        must_attend_as_told(&s, "any interval");
        scene_close(&s);
        o->fn->close(o);
    }
}

static void attention_bits_do_not_depend_on_pages_or_threads(void **state)
{
    (void)state;
    static const int lengths[] = {65, 40, 7};
    for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
        float *first = NULL;
        for (int variant = 0; variant < 6; variant++) {
            struct ops *o = backend(kernels_best_level(), variant / 2 + 1, K);
            struct scene s;
            scene_open(&s, o, dtypes[d], COUNT_OF(lengths), lengths, variant % 2);
            float *y = scene_run(&s);
            if (!first) first = copy_of(y, scene_floats(&s));
            assert_memory_equal(y, first, scene_floats(&s) * sizeof *y);
            free(y);
            scene_close(&s);
            o->fn->close(o);
        }
        free(first);
    }
}

static void sequences_in_one_batch_are_as_if_alone(void **state)
{
    (void)state;
    static const int lengths[] = {33, 64, 5, 21};
    struct ops *o = best_backend();
    for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
        struct scene all;
        scene_open(&all, o, dtypes[d], COUNT_OF(lengths), lengths, true);
        float *together = scene_run(&all);
        int first = 0;
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            struct scene one;
            scene_open(&one, o, dtypes[d], 1, &lengths[i], false);
            const size_t at = (size_t)first * H * K, n = scene_floats(&one);
            memcpy(one.q, all.q + at, n * sizeof *one.q);
            memcpy(one.k, all.k + at, n * sizeof *one.k);
            memcpy(one.v, all.v + at, n * sizeof *one.v);
            float *alone = scene_run(&one);
            assert_memory_equal(alone, together + at, n * sizeof *alone);
            free(alone);
            scene_close(&one);
            first += lengths[i];
        }
        free(together);
        scene_close(&all);
    }
    o->fn->close(o);
}

/* At every level, since a level decides which rows share a register tile. */
static void a_row_is_as_if_alone_whatever_the_others_see(void **state)
{
    (void)state;
    static const int lengths[] = {100, 40};
    for (int variant = 0; variant < 6 * (int)(kernels_best_level() + 1); variant++) {
        struct ops *o = backend((enum cpu_level)(variant / 6), 2, K);
        struct scene s;
        scene_open(&s, o, dtypes[variant % 2], COUNT_OF(lengths), lengths, true);
        if (variant / 2 % 3 == 1) see_a_prompt(&s, 50);
        if (variant / 2 % 3 == 2) see_anything(&s);
        float *together = scene_run(&s);
        for (int t = 0; t < s.batch.T; t++) {
            float *alone = scene_attend(&s, t, 1);
            assert_memory_equal(alone, together + t * H * K, H * K * sizeof *alone);
            free(alone);
        }
        free(together);
        scene_close(&s);
        o->fn->close(o);
    }
}

/* Labels of a classification: every sequence has the same two first pages, or copies of them, and goes on in a page of
 * its own. The batch is the last rows of each. */
enum { LABELS = 5, COMMON = 2 * KV_PAGE, LENGTH = COMMON + 10, ROWS_EACH = 3 };

static void store_label(struct scene *s, int label)
{
    float *k = numbers(LENGTH * H * K, 5), *v = numbers(LENGTH * H * K, 6);
    for (int j = COMMON * H * K; j < LENGTH * H * K; j++) /* what is its own */
        k[j] += (float)label;
    int32_t position[LENGTH], sequence[LENGTH];
    for (int t = 0; t < LENGTH; t++) {
        position[t] = t;
        sequence[t] = label;
    }
    const struct batch all = {LENGTH, NULL, position, NULL, NULL, sequence, s->const_pages};
    s->o->fn->kv_store(s->o, &s->kv, k, v, &all, 0, LENGTH, H, K);
    free(k);
    free(v);
}

static void labels_open(struct scene *s, struct ops *o, enum dtype dtype, bool shared)
{
    static const int lengths[LABELS] = {ROWS_EACH, ROWS_EACH, ROWS_EACH, ROWS_EACH, ROWS_EACH};
    scene_open(s, o, dtype, LABELS, lengths, false);
    for (int i = 0; i < LABELS; i++) {
        for (int p = 0; p < 3; p++)
            s->pages[i][p] = p < 2 && shared ? p : 3 * i + p;
        store_label(s, i);
    }
    for (int t = 0; t < s->batch.T; t++) {
        s->position[t] += LENGTH - ROWS_EACH;
        s->hi[t] = s->position[t] + 1;
    }
}

static void rows_that_share_pages_are_as_if_they_did_not(void **state)
{
    (void)state;
    struct ops *o = best_backend();
    for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
        struct scene s, apart;
        labels_open(&s, o, dtypes[d], true);
        labels_open(&apart, o, dtypes[d], false);
        const size_t n = ROWS_EACH * H * K;
        float *together = scene_attend(&s, 0, s.batch.T);
        for (int i = 0; i < LABELS; i++) {
            float *alone = scene_attend(&apart, i * ROWS_EACH, ROWS_EACH);
            assert_memory_equal(together + (size_t)i * n, alone, n * sizeof *alone);
            if (i) assert_memory_not_equal(together, alone, n * sizeof *alone);
            free(alone);
        }
        free(together);
        scene_close(&s);
        scene_close(&apart);
    }
    o->fn->close(o);
}

static void blocks_of_rows_make_the_whole(void **state)
{
    (void)state;
    static const int lengths[] = {50, 30};
    enum { BLOCK = 9 };
    struct ops *o = best_backend();
    for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
        struct scene s, again;
        scene_open(&s, o, dtypes[d], COUNT_OF(lengths), lengths, true);
        scene_open(&again, o, dtypes[d], COUNT_OF(lengths), lengths, true);
        float *whole = scene_run(&s);
        for (int row = 0; row < s.batch.T; row += BLOCK) {
            const int T = least_of(BLOCK, s.batch.T - row);
            const size_t at = (size_t)row * H * K;
            o->fn->kv_store(o, &again.kv, s.k + at, s.v + at, &again.batch, row, T, H, K);
        }
        assert_memory_equal(again.kv.k, s.kv.k, s.kv_bytes);
        assert_memory_equal(again.kv.v, s.kv.v, s.kv_bytes);
        for (int row = 0; row < s.batch.T; row += BLOCK) {
            const int T = least_of(BLOCK, s.batch.T - row);
            float *part = scene_attend(&s, row, T);
            assert_memory_equal(part, whole + row * H * K, (size_t)T * H * K * sizeof *whole);
            free(part);
        }
        free(whole);
        scene_close(&s);
        scene_close(&again);
    }
    o->fn->close(o);
}

/* Element i of a store. */
static float stored(const void *store, enum dtype dtype, size_t i)
{
    return dtype == DTYPE_F16 ? f16_to_f32(((const f16 *)store)[i]) : ((const float *)store)[i];
}

static void kv_store_writes_the_rows_slots_and_nothing_else(void **state)
{
    (void)state;
    static const int lengths[] = {75, 3};
    struct ops *o = best_backend();
    for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
        struct scene s;
        scene_open(&s, o, dtypes[d], COUNT_OF(lengths), lengths, true);
        scene_store(&s);
        size_t count = 0;
        for (size_t i = 0; i < s.kv_bytes / dtype_bytes(dtypes[d]); i++)
            count += (size_t)(!isnan(stored(s.kv.k, dtypes[d], i)) + !isnan(stored(s.kv.v, dtypes[d], i)));
        assert_int_equal(count, 2 * scene_floats(&s));
        for (size_t n = 0; n < scene_floats(&s); n++) {
            const size_t t = n / (H * K), h = n / K % H, i = n % K, slot = (size_t)s.position[t] % KV_PAGE;
            const size_t page = (size_t)s.pages[s.sequence[t]][s.position[t] / KV_PAGE];
            const size_t head = (page * H + h) * kernels_head_page(K);
            const float k = stored(s.kv.k, dtypes[d], head + i * KV_PAGE + slot);
            const float v = stored(s.kv.v, dtypes[d],
                                   head + (i / KV_COLUMN * KV_PAGE + slot) * KV_COLUMN + i % KV_COLUMN);
            assert_true((double)k == rounded(s.k[n], dtypes[d]) && (double)v == rounded(s.v[n], dtypes[d]));
        }
        scene_close(&s);
    }
    o->fn->close(o);
}

/* Over a hundred pages: equal scores average the values. */
static void a_long_interval_has_its_mean(void **state)
{
    (void)state;
    enum { PAGES = 100, N = PAGES * KV_PAGE - 5, WIDE = 16 };
    struct ops *o = backend(kernels_best_level(), 2, WIDE);
    const size_t bytes = PAGES * ops_kv_page_bytes(1, WIDE, DTYPE_F32);
    const struct kv_pages kv = {alloc(o, bytes), alloc(o, bytes), DTYPE_F32};
    float q[WIDE] = {0}, y[WIDE];
    int32_t table[PAGES], lo = 0, hi = N, zero = 0, position = N - 1;
    for (int i = 0; i < PAGES; i++)
        table[i] = PAGES - 1 - i;
    for (int i = 0; i < PAGES * KV_PAGE * WIDE; i++)
        ((float *)kv.k)[i] = ((float *)kv.v)[i] = 3;
    const int32_t *tables[] = {table};
    const struct batch b = {1, &zero, &position, &lo, &hi, &zero, tables};
    o->fn->attention(o, y, NULL, q, &kv, &b, 0, 1, 1, WIDE);
    for (int i = 0; i < WIDE; i++) /* all rounding errors may agree: every p is the same */
        must_be_near((double)y[i], 3, 3 * (N + 8) * EPS, "mean", 0, i);
    o->fn->free(o, kv.k, bytes);
    o->fn->free(o, kv.v, bytes);
    o->fn->close(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_sees_exactly_its_interval),
        cmocka_unit_test(attention_bits_do_not_depend_on_pages_or_threads),
        cmocka_unit_test(sequences_in_one_batch_are_as_if_alone),
        cmocka_unit_test(a_row_is_as_if_alone_whatever_the_others_see),
        cmocka_unit_test(rows_that_share_pages_are_as_if_they_did_not),
        cmocka_unit_test(blocks_of_rows_make_the_whole),
        cmocka_unit_test(kv_store_writes_the_rows_slots_and_nothing_else),
        cmocka_unit_test(a_long_interval_has_its_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
