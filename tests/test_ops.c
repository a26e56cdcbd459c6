// SPDX-License-Identifier: Apache-2.0
/* The CPU backend against plain loops in double, and its laws: neither the number of threads, nor the other rows of a
 * batch change a bit. Tolerances are derived as in check_kernels.c. */
#include "backend.h"

#include "base/half.h"

static const char *const weight_names[WEIGHT_TYPES] = {"fp32", "fp16", "bf16", "q8", "q4"};

static struct weight bind(struct ops *o, const float *x, int rows, int columns, enum weight_type as)
{
    const struct weight host = {.data = x, .type = WEIGHT_F32, .O = rows, .I = columns};
    struct weight w = {0};
    if (o->fn->weight_bind(o, &w, &host, as) != OK) fail_msg("%s", status_message());
    return w;
}

static struct weight bind_vector(struct ops *o, const float *x, int n)
{
    return bind(o, x, n, 1, WEIGHT_F32);
}

/* What a bound matrix holds, [O][I] floats. */
static float *values_of(const struct weight *w)
{
    float *y = malloc((size_t)w->O * (size_t)w->I * sizeof *y);
    assert_non_null(y);
    struct kernels k;
    kernels_init(&k, CPU_REF);
    for (int o = 0; o < w->O; o++)
        ops_cpu_weight_row(&k, y + (size_t)o * (size_t)w->I, w, o);
    return y;
}

/* ---- Linear maps ---- */

static double gelu(double z)
{
    return 0.5 * z * (1 + tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)));
}

/* bound: of z, the sum with its bias; then what the epilogue makes of it. GELU's slope is below 1.13. */
static void finish(double *y, double *bound, double z, double before, enum epilogue e)
{
    if (e == EPILOGUE_GELU) {
        *y = gelu(z);
        *bound = 1.13 * *bound + 3 * EPS * fabs(z) + 2 * EPS * fabs(*y);
    } else if (e == EPILOGUE_ADD) {
        *y = before + z;
        *bound += EPS * fabs(*y);
    } else {
        *y = z;
    }
}

static void linear_is_near_truth(struct ops *o, int T, int O, int I, enum weight_type type, enum epilogue e,
                                 bool biased)
{
    float *x = numbers((size_t)T * (size_t)I, 1), *host = numbers((size_t)O * (size_t)I, 2);
    float *b = numbers((size_t)O, 3), *before = numbers((size_t)T * (size_t)O, 4);
    float *y = copy_of(before, (size_t)T * (size_t)O);
    struct weight w = bind(o, host, O, I, type), bias = bind_vector(o, b, O);
    float *values = values_of(&w);
    char what[96];
    snprintf(what, sizeof what, "T %d, O %d, I %d, %s, epilogue %d, bias %d", T, O, I, weight_names[type], (int)e,
             biased);

    o->fn->linear(o, y, x, &w, biased ? &bias : NULL, T, e);

    for (int t = 0; t < T; t++) {
        for (int k = 0; k < O; k++) {
            double z = 0, size = 0, truth;
            for (int i = 0; i < I; i++) {
                const double product = (double)x[t * I + i] * (double)values[k * I + i];
                z += product;
                size += fabs(product);
            }
            z += biased ? (double)b[k] : 0;
            double bound = (8 + sqrt(I)) * EPS * size + 2 * EPS * fabs(z);
            finish(&truth, &bound, z, (double)before[t * O + k], e);
            must_be_near((double)y[t * O + k], truth, bound, what, t, k);
        }
    }
    o->fn->weight_free(o, &w);
    o->fn->weight_free(o, &bias);
    free(values);
    free(x);
    free(host);
    free(b);
    free(before);
    free(y);
}

static void linear_equals_plain_loops_for_every_dtype_epilogue_and_odd_size(void **state)
{
    (void)state;
    static const int some_T[] = {0, 1, 2, 3, 9, 48, 256, 257 + 5}; /* streamed, by panels */
    static const int some_O[] = {1, 3, 63, 64, 65, 131};
    static const int some_I[] = {1, 7, 8, 80, 131};
    for (enum cpu_level level = 0; level <= kernels_best_level(); level++) {
        struct ops *o = backend(level, 2, 1);
        int variant = 0; /* every shape meets two of the 30 combinations, every combination many shapes */
        for (size_t t = 0; t < COUNT_OF(some_T); t++)
            for (size_t k = 0; k < COUNT_OF(some_O); k++)
                for (size_t i = 0; i < COUNT_OF(some_I); i++)
                    for (int twice = 0; twice < 2; twice++, variant += 7)
                        linear_is_near_truth(o, some_T[t], some_O[k], some_I[i], (enum weight_type)(variant % 5),
                                             (enum epilogue)(variant / 5 % 3), variant / 15 % 2);
        o->fn->close(o);
    }
}

static void linear_bits_are_the_same_for_any_threads_and_any_rows(void **state)
{
    (void)state;
    enum { T = 101, O = 203, I = 83 };
    float *x = numbers(T * I, 1), *host = numbers(O * I, 2), *b = numbers(O, 3), *before = numbers(T * O, 4);
    for (enum weight_type type = 0; type < WEIGHT_TYPES; type++) {
        for (enum epilogue e = EPILOGUE_STORE; e <= EPILOGUE_ADD; e++) {
            float *first = NULL;
            for (int n_threads = 1; n_threads <= 3; n_threads++) {
                struct ops *o = backend(kernels_best_level(), n_threads, 1);
                struct weight w = bind(o, host, O, I, type), bias = bind_vector(o, b, O);
                float *y = copy_of(before, T * O);
                o->fn->linear(o, y, x, &w, &bias, T, e);
                if (!first) first = copy_of(y, T * O);
                assert_memory_equal(y, first, T * O * sizeof *y);
                for (int t = 0; t < T; t++) {
                    memcpy(y, before + t * O, O * sizeof *y);
                    o->fn->linear(o, y, x + t * I, &w, &bias, 1, e);
                    assert_memory_equal(y, first + t * O, O * sizeof *y);
                }
                free(y);
                o->fn->weight_free(o, &w);
                o->fn->weight_free(o, &bias);
                o->fn->close(o);
            }
            free(first);
        }
    }
    free(x);
    free(host);
    free(b);
    free(before);
}

enum { GROUP_I = 83, GROUP_O = 203, GROUP_T = PRODUCT_ROWS + 6, LAST_ROWS = 7 };

struct group_data {
    float *x, *host, *b, *before, *alone; /* [GROUP_T][I], [GROUP_O][I], [GROUP_O]; twice [GROUP_T][GROUP_O] */
};

/* What m->y has from a group of T rows is what m makes alone, of all rows and of the last. */
static void has_the_bits_of(struct ops *o, const struct group_data *d, const struct linear_map *m, int T)
{
    const size_t O = (size_t)m->w->O, first = T > LAST_ROWS ? (size_t)(T - LAST_ROWS) : 0;
    const float *const y = m->y;
    const size_t bytes = GROUP_T * GROUP_O * sizeof *y;
    memcpy(d->alone, d->before, bytes);
    o->fn->linear(o, d->alone, d->x, m->w, m->b, T, m->e);
    assert_memory_equal(y, d->alone, bytes);
    memcpy(d->alone, d->before, bytes);
    o->fn->linear(o, d->alone + first * O, d->x + first * GROUP_I, m->w, m->b, T - (int)first, m->e);
    assert_memory_equal(y + first * O, d->alone + first * O, ((size_t)T - first) * O * sizeof *y);
}

static void group_has_the_bits_of_each(struct ops *o, const struct group_data *d,
                                       const enum weight_type types[LINEAR_GROUP], int T)
{
    static const int some_O[LINEAR_GROUP] = {64, 3, GROUP_O, 65};
    struct weight w[LINEAR_GROUP], bias[LINEAR_GROUP];
    struct linear_map maps[LINEAR_GROUP];
    for (int m = 0; m < LINEAR_GROUP; m++) {
        w[m] = bind(o, d->host, some_O[m], GROUP_I, types[m]);
        bias[m] = bind_vector(o, d->b, some_O[m]);
        maps[m] = (struct linear_map){copy_of(d->before, GROUP_T * GROUP_O), &w[m], m % 2 ? &bias[m] : NULL,
                                      (enum epilogue)m};
    }
    o->fn->linear_group(o, maps, LINEAR_GROUP, d->x, T);
    for (int m = 0; m < LINEAR_GROUP; m++) {
        has_the_bits_of(o, d, &maps[m], T);
        free(maps[m].y);
        o->fn->weight_free(o, &w[m]);
        o->fn->weight_free(o, &bias[m]);
    }
}

/* Maps of the same rows, in one call, of one type or several; rows of another go too. */
static void linear_group_has_the_bits_of_each_map_alone(void **state)
{
    (void)state;
    static const int some_T[] = {0, 1, 7, 40, GROUP_T};
    static const enum weight_type types[][LINEAR_GROUP] = {{WEIGHT_Q8, WEIGHT_Q8, WEIGHT_Q8, WEIGHT_Q8},
                                                           {WEIGHT_BF16, WEIGHT_BF16, WEIGHT_BF16, WEIGHT_BF16},
                                                           {WEIGHT_F16, WEIGHT_Q4, WEIGHT_Q4, WEIGHT_F32}};
    const struct group_data d = {numbers(GROUP_T * GROUP_I, 1), numbers(GROUP_O * GROUP_I, 2), numbers(GROUP_O, 3),
                                 numbers(GROUP_T * GROUP_O, 4), numbers(GROUP_T * GROUP_O, 5)};
    for (enum cpu_level level = 0; level <= kernels_best_level(); level++) {
        struct ops *o = backend(level, 2, 1);
        for (size_t v = 0; v < COUNT_OF(types); v++)
            for (size_t t = 0; t < COUNT_OF(some_T); t++)
                group_has_the_bits_of_each(o, &d, types[v], some_T[t]);
        o->fn->close(o);
    }
    free(d.x);
    free(d.host);
    free(d.b);
    free(d.before);
    free(d.alone);
}

/* Rows so long that they pass a stretch of inputs at a time, in several passes: the bits of a row alone, which streams
 * the weights. */
static void long_rows_have_the_bits_of_each_alone(void **state)
{
    (void)state;
    enum { T = 601, O = 70, I = 25001 };
    static const int some_rows[] = {0, 299, T - 1};
    static const struct ops_cpu_limits limits = {.head = 1, .inputs = I};
    float *x = numbers(T * I, 1), *host = numbers(O * I, 2), *b = numbers(O, 3), *before = numbers(T * O, 4);
    for (enum cpu_level level = CPU_AVX2; level <= kernels_best_level(); level++) {
        for (enum compute_type compute = 0; compute < COMPUTE_TYPES; compute++) {
            struct ops *o = NULL;
            if (ops_cpu_create(&o, level, compute, 2, limits) != OK) fail_msg("%s", status_message());
            struct weight w = bind(o, host, O, I, compute == COMPUTE_INT8 ? WEIGHT_Q8 : WEIGHT_BF16);
            struct weight bias = bind_vector(o, b, O);
            float *y = copy_of(before, T * O), *alone = copy_of(before, T * O);
            o->fn->linear(o, y, x, &w, &bias, T, EPILOGUE_ADD);
            for (size_t r = 0; r < COUNT_OF(some_rows); r++) {
                const int t = some_rows[r];
                o->fn->linear(o, alone + t * O, x + t * I, &w, &bias, 1, EPILOGUE_ADD);
                assert_memory_equal(y + t * O, alone + t * O, O * sizeof *y);
            }
            free(y);
            free(alone);
            o->fn->weight_free(o, &w);
            o->fn->weight_free(o, &bias);
            o->fn->close(o);
        }
    }
    free(x);
    free(host);
    free(b);
    free(before);
}

/* ---- Rows ---- */

static void embed_takes_rows_exactly(void **state)
{
    (void)state;
    enum { V = 11, D = 37 };
    static const int32_t token[] = {10, 0, 3, 3, 9};
    struct ops *o = best_backend();
    float *host = numbers(V * D, 1), y[COUNT_OF(token) * D];
    for (enum weight_type type = 0; type < WEIGHT_TYPES; type++) {
        struct weight w = bind(o, host, V, D, type);
        float *values = values_of(&w);
        o->fn->embed(o, y, &w, token, COUNT_OF(token));
        for (size_t t = 0; t < COUNT_OF(token); t++)
            for (int i = 0; i < D; i++)
                assert_true((double)y[t * D + (size_t)i] == (double)values[token[t] * D + i]);
        free(values);
        o->fn->weight_free(o, &w);
    }
    free(host);
    o->fn->close(o);
}

static void layer_norm_treats_each_row_as_if_alone(void **state)
{
    (void)state;
    enum { T = 19, D = 80 };
    const float eps = 1e-5f;
    struct kernels k;
    kernels_init(&k, kernels_best_level());
    float *x = numbers(T * D, 1), *w = numbers(D, 2), *b = numbers(D, 3), *want = numbers(T * D, 4);
    for (int t = 0; t < T; t++)
        k.layer_norm(want + t * D, x + t * D, w, b, D, eps);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        struct ops *o = backend(kernels_best_level(), n_threads, 1);
        struct weight ww = bind_vector(o, w, D), bb = bind_vector(o, b, D);
        for (int rows = 0; rows <= T; rows++) {
            float *y = numbers(T * D, 5), *after = numbers(T * D, 5);
            o->fn->layer_norm(o, y, x, &ww, &bb, rows, eps);
            assert_memory_equal(y, want, (size_t)rows * D * sizeof *y);
            assert_memory_equal(y + rows * D, after + rows * D, (size_t)(T - rows) * D * sizeof *y);
            free(y);
            free(after);
        }
        o->fn->close(o);
    }
    free(x);
    free(w);
    free(b);
    free(want);
}

static void rotary_turns_each_row_by_its_own_position(void **state)
{
    (void)state;
    enum { P = 50, H = 3, K = 16, R = 12 };
    static const int32_t position[] = {0, 1, 49, 7, 7, 8, 9, 10, 48, 2, 30}; /* more than one task */
    struct ops *o = best_backend();
    float sin_table[P * R / 2], cos_table[P * R / 2];
    for (int i = 0; i < P * R / 2; i++) {
        const double angle = i / (R / 2) * pow(10000, -2.0 * (i % (R / 2)) / R);
        sin_table[i] = (float)sin(angle);
        cos_table[i] = (float)cos(angle);
    }
    float *x = numbers(COUNT_OF(position) * H * K, 1), *y = copy_of(x, COUNT_OF(position) * H * K);
    o->fn->rotary(o, y, sin_table, cos_table, position, COUNT_OF(position), H, K, R);
    for (int i = 0; i < (int)COUNT_OF(position) * H * K; i++) {
        const int j = i % K / 2, even = i - i % 2;
        const double angle = position[i / (H * K)] * pow(10000, -2.0 * j / R);
        const double a = (double)x[even] * (i % 2 ? sin(angle) : cos(angle));
        const double b = (double)x[even + 1] * (i % 2 ? cos(angle) : -sin(angle));
        if (i % K >= R)
            assert_true(y[i] == x[i]);
        else /* the tables' roundings on top of the three of the rotation */
            must_be_near((double)y[i], a + b, 3 * EPS * (fabs(a) + fabs(b)) + EPS * fabs(a + b), "rotary", i / (H * K),
                         i);
    }
    free(x);
    free(y);
    o->fn->close(o);
}

static void gather_picks_rows_in_the_order_asked(void **state)
{
    (void)state;
    enum { D = 9 };
    static const int32_t index[] = {4, 0, 4, 2};
    struct ops *o = best_backend();
    float *x = numbers(5 * D, 1), y[COUNT_OF(index) * D];
    o->fn->gather(o, y, x, index, COUNT_OF(index), D);
    for (size_t i = 0; i < COUNT_OF(index); i++)
        assert_memory_equal(y + i * D, x + index[i] * D, D * sizeof *y);
    free(x);
    o->fn->close(o);
}

static void bytes_survive_the_way_to_the_device_and_back(void **state)
{
    (void)state;
    enum { N = 12345 };
    struct ops *o = best_backend();
    char *a = alloc(o, N), *b = alloc(o, N), host[N], back[N];
    assert_int_equal((uintptr_t)a % 64, 0);
    for (int i = 0; i < N; i++)
        host[i] = (char)(i % 251);
    o->fn->write(o, a, host, N);
    o->fn->copy(o, b, a, N);
    o->fn->read(o, back, b, N);
    assert_memory_equal(back, host, N);
    o->fn->free(o, a, N);
    o->fn->free(o, b, N);
    o->fn->close(o);
}

/* ---- Parameters ---- */

static void what_fits_is_borrowed(void **state)
{
    (void)state;
    struct ops *o = best_backend();
    static char bytes[4096];
    for (enum weight_type type = 0; type < WEIGHT_TYPES; type++) {
        for (int odd = 0; odd < 2; odd++) { /* a matrix may lie anywhere */
            const struct weight host = {.data = bytes + odd, .type = type, .O = 2, .I = 8};
            struct weight w = {0};
            assert_int_equal(o->fn->weight_bind(o, &w, &host, type), OK);
            assert_ptr_equal(w.data, bytes + odd);
            assert_int_equal(w.owned_bytes, 0);
            assert_int_equal(w.O, 2);
            assert_int_equal(w.I, 8);
            o->fn->weight_free(o, &w);
            assert_null(w.data);
        }
    }
    const float values[3] = {1, 2, 3};
    struct weight w = bind_vector(o, values, 3);
    assert_ptr_equal(w.data, values);
    assert_int_equal(w.owned_bytes, 0);
    assert_int_equal(w.O, 3);
    assert_int_equal(w.I, 1);
    o->fn->weight_free(o, &w);
    o->fn->weight_free(o, &w); /* zeroed now */
    o->fn->close(o);
}

static void unaligned_vectors_are_copied(void **state)
{
    (void)state;
    const float values[3] = {1, -2, 3e-40f};
    char bytes[sizeof values + 4];
    struct ops *o = best_backend();
    for (int odd = 1; odd < 4; odd++) {
        memcpy(bytes + odd, values, sizeof values);
        struct weight w = bind_vector(o, (const float *)(const void *)(bytes + odd), 3);
        assert_int_equal((uintptr_t)w.data % sizeof(float), 0);
        assert_int_equal(w.owned_bytes, sizeof values);
        assert_memory_equal(w.data, values, sizeof values);
        o->fn->weight_free(o, &w);
    }
    o->fn->close(o);
}

static double half_value(enum weight_type type, uint16_t h)
{
    return (double)(type == WEIGHT_F16 ? f16_to_f32(h) : bf16_to_f32(h));
}

/* All 65536 halves: widening is exact, so coming back gives the same bits, NaNs aside. */
static void halves_are_widened_exactly(void **state)
{
    (void)state;
    enum { N = 65536 };
    static uint16_t halves[N];
    for (size_t i = 0; i < N; i++)
        halves[i] = (uint16_t)i;
    struct ops *o = best_backend();
    for (enum weight_type type = WEIGHT_F16; type <= WEIGHT_BF16; type++) {
        const struct weight narrow = {.data = halves, .type = type, .O = 256, .I = 256};
        struct weight wide = {0};
        assert_int_equal(o->fn->weight_bind(o, &wide, &narrow, WEIGHT_F32), OK);
        assert_int_equal(wide.owned_bytes, N * sizeof(float));
        for (size_t i = 0; i < N; i++) {
            const double x = (double)((const float *)wide.data)[i], want = half_value(type, halves[i]);
            if (!isnan(want)) assert_true(x == want && !signbit(x) == !signbit(want));
            if (isnan(want)) assert_true(isnan(x));
        }
        struct weight back = bind(o, wide.data, 256, 256, type);
        for (size_t i = 0; i < N; i++)
            if (!isnan(((const float *)wide.data)[i]))
                assert_memory_equal((const uint16_t *)back.data + i, halves + i, 2);
        o->fn->weight_free(o, &back);
        o->fn->weight_free(o, &wide);
    }
    o->fn->close(o);
}

/* Narrowing leaves the nearest number of the format: no neighbour of the result is nearer. */
static void narrowing_rounds_to_nearest(void **state)
{
    (void)state;
    enum { ROWS = 19, COLUMNS = 419 }; /* more than one conversion task, the last one short */
    float *x = numbers(ROWS * COLUMNS, 1);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = ldexpf(x[i], (int)(rng_u64(1, 5, (uint64_t)i) % 40) - 26);
    struct ops *o = best_backend();
    for (enum weight_type type = WEIGHT_F16; type <= WEIGHT_BF16; type++) {
        struct weight w = bind(o, x, ROWS, COLUMNS, type);
        assert_int_equal(w.owned_bytes, ROWS * COLUMNS * 2);
        for (size_t i = 0; i < ROWS * COLUMNS; i++) {
            uint16_t h;
            memcpy(&h, (const uint16_t *)w.data + i, sizeof h);
            const double off = fabs(half_value(type, h) - (double)x[i]);
            for (int step = -1; step <= 1; step += 2) {
                const uint16_t next = (uint16_t)((h & 0x7fff) == 0 && step < 0 ? 0x8001 : h + step);
                const double other = fabs(half_value(type, next) - (double)x[i]);
                if (!(off < other || (off == other && h % 2 == 0)))
                    fail_msg("%.9g became %s 0x%04x", (double)x[i], weight_names[type], h);
            }
        }
        o->fn->weight_free(o, &w);
    }
    const uint16_t third = 0x3555; /* f16 0.33325; bf16 has 8 significant bits: 0x3eab is 0.33398, 0x3eaa 0.33203 */
    const struct weight host = {.data = &third, .type = WEIGHT_F16, .O = 1, .I = 1};
    struct weight w = {0};
    assert_int_equal(o->fn->weight_bind(o, &w, &host, WEIGHT_BF16), OK);
    assert_memory_equal(w.data, &(uint16_t){0x3eab}, 2);
    o->fn->weight_free(o, &w);
    free(x);
    o->fn->close(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_equals_plain_loops_for_every_dtype_epilogue_and_odd_size),
        cmocka_unit_test(linear_bits_are_the_same_for_any_threads_and_any_rows),
        cmocka_unit_test(linear_group_has_the_bits_of_each_map_alone),
        cmocka_unit_test(long_rows_have_the_bits_of_each_alone),
        cmocka_unit_test(embed_takes_rows_exactly),
        cmocka_unit_test(layer_norm_treats_each_row_as_if_alone),
        cmocka_unit_test(rotary_turns_each_row_by_its_own_position),
        cmocka_unit_test(gather_picks_rows_in_the_order_asked),
        cmocka_unit_test(bytes_survive_the_way_to_the_device_and_back),
        cmocka_unit_test(what_fits_is_borrowed),
        cmocka_unit_test(unaligned_vectors_are_copied),
        cmocka_unit_test(halves_are_widened_exactly),
        cmocka_unit_test(narrowing_rounds_to_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
