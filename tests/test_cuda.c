// SPDX-License-Identifier: Apache-2.0
/* The CUDA backend beside the CPU's reference kernels, operation by operation: the same numbers go to both. Where both
 * compute in fp32 they may differ by rounding of sums; where one computes in 16 bits, by the rounding of its factors.
 * Without a GPU there is nothing to show, and the test counts as skipped. */
#include "backend.h"

#include "kernels/quant.h"

static const char *const weight_names[WEIGHT_TYPES] = {"fp32", "fp16", "bf16", "q8", "q4"};

static struct ops *cpu_of[COMPUTE_TYPES], *gpu_of[COMPUTE_TYPES];

/* n floats on the device; owned. */
static float *there(struct ops *o, const float *x, size_t n)
{
    float *p = alloc(o, n * sizeof *p);
    o->fn->write(o, p, x, n * sizeof *p);
    return p;
}

/* The same, back; owned. And the device's are freed. */
static float *back(struct ops *o, float *x, size_t n)
{
    float *p = malloc((n ? n : 1) * sizeof *p);
    assert_non_null(p);
    o->fn->read(o, p, x, n * sizeof *p);
    o->fn->free(o, x, n * sizeof *p);
    return p;
}

static struct weight bind(struct ops *o, const float *x, int rows, int columns, enum weight_type as)
{
    const struct weight host = {.data = x, .type = WEIGHT_F32, .O = rows, .I = columns};
    struct weight w = {0};
    if (o->fn->weight_bind(o, &w, &host, as) != OK) fail_msg("%s", status_message());
    return w;
}

/* ---- Linear maps ---- */

struct map_case {
    enum compute_type compute;
    enum weight_type type;
    int T, O, I;
    enum epilogue e;
    bool biased;
};

static float *mapped(struct ops *o, const struct map_case *m, const float *x, const float *w, const float *b,
                     const float *before)
{
    struct weight weight = bind(o, w, m->O, m->I, m->type), bias = bind(o, b, m->O, 1, WEIGHT_F32);
    float *rows = there(o, x, (size_t)m->T * (size_t)m->I), *y = there(o, before, (size_t)m->T * (size_t)m->O);
    o->fn->linear(o, y, rows, &weight, m->biased ? &bias : NULL, m->T, m->e);
    float *out = back(o, y, (size_t)m->T * (size_t)m->O);
    o->fn->free(o, rows, (size_t)m->T * (size_t)m->I * sizeof *rows);
    o->fn->weight_free(o, &weight);
    o->fn->weight_free(o, &bias);
    return out;
}

/* What a factor is rounded to; the worst of the types that a product of this kind may use. */
static double factor_unit(const struct map_case *m)
{
    if (m->compute == COMPUTE_FP32 || (m->compute == COMPUTE_INT8 && m->type == WEIGHT_F32)) return 0;
    return m->type == WEIGHT_F32 || m->type == WEIGHT_BF16 ? 0x1p-9 : 0x1p-12;
}

static void map_agrees(const struct map_case *m)
{
    const size_t n_x = (size_t)m->T * (size_t)m->I, n_w = (size_t)m->O * (size_t)m->I,
                 n_y = (size_t)m->T * (size_t)m->O;
    float *x = numbers(n_x, 1), *w = numbers(n_w, 2), *b = numbers((size_t)m->O, 3), *before = numbers(n_y, 4);
    /* int8 rounds activations: only a CPU that does so too has the same numbers. */
    const bool int8 = m->compute == COMPUTE_INT8 && weight_quantised(m->type) && m->T <= 8;
    float *want = mapped(cpu_of[int8 ? COMPUTE_INT8 : COMPUTE_FP32], m, x, w, b, before);
    float *have = mapped(gpu_of[m->compute], m, x, w, b, before);
    char what[128];
    snprintf(what, sizeof what, "compute %d, %s, T %d, O %d, I %d, epilogue %d, bias %d", (int)m->compute,
             weight_names[m->type], m->T, m->O, m->I, (int)m->e, m->biased);
    for (int t = 0; t < m->T; t++)
        for (int o = 0; o < m->O; o++) {
            double size = 1;
            for (int i = 0; i < m->I; i++)
                size += fabs((double)x[t * m->I + i] * (double)w[o * m->I + i]);
            const double bound = 1.2 * size * (2 * (8 + sqrt(m->I)) * EPS + 2 * factor_unit(m));
            must_be_near((double)have[t * m->O + o], (double)want[t * m->O + o], bound, what, t, o);
        }
    free(x);
    free(w);
    free(b);
    free(before);
    free(want);
    free(have);
}

static void linear_maps_agree(void **state)
{
    (void)state;
    static const int some_T[] = {1, 2, 3, 4, 5, 8, 9, 33}, some_O[] = {1, 16, 50, 130},
                     some_I[] = {8, 64, 72, 200, 1100};
    int count = 0;
    for (int compute = 0; compute < COMPUTE_TYPES; compute++)
        for (int type = 0; type < WEIGHT_TYPES; type++)
            for (size_t t = 0; t < COUNT_OF(some_T); t++)
                for (size_t o = 0; o < COUNT_OF(some_O); o++)
                    for (size_t i = 0; i < COUNT_OF(some_I); i++, count++) {
                        const struct map_case m = {
                            (enum compute_type)compute, (enum weight_type)type, some_T[t], some_O[o], some_I[i],
                            (enum epilogue)(count % 4), count % 3 > 0};
                        map_agrees(&m);
                    }
}

static void a_width_that_no_vector_divides_is_computed_too(void **state)
{
    (void)state;
    for (int type = 0; type < WEIGHT_TYPES; type++)
        for (int T = 1; T <= 17; T += 16) {
            const struct map_case m = {COMPUTE_FP32, (enum weight_type)type, T, 7, 83, EPILOGUE_GELU, true};
            map_agrees(&m);
        }
}

/* ---- Rows ---- */

static void rows_agree(void **state)
{
    (void)state;
    enum { T = 5, V = 40, D = 72, H = 3, K = 24, R = 16, P = 50 };
    static const int32_t token[T] = {3, 0, 39, 3, 17}, position[T] = {0, 7, 49, 1, 30}, index[T] = {4, 4, 0, 2, 1};
    float *table = numbers(V * D, 1), *w = numbers(D, 2), *b = numbers(D, 3), *turns = numbers(2 * P * R, 4);
    float *out[2][WEIGHT_TYPES], *norm[2], *turned[2], *picked[2];
    for (int side = 0; side < 2; side++) {
        struct ops *o = side ? gpu_of[COMPUTE_FP32] : cpu_of[COMPUTE_FP32];
        for (int type = 0; type < WEIGHT_TYPES; type++) {
            struct weight wte = bind(o, table, V, D, (enum weight_type)type);
            float *y = alloc(o, sizeof(float) * T * D);
            o->fn->embed(o, y, &wte, token, T);
            out[side][type] = back(o, y, T * D);
            o->fn->weight_free(o, &wte);
        }
        struct weight scale = bind(o, w, D, 1, WEIGHT_F32), shift = bind(o, b, D, 1, WEIGHT_F32);
        float *x = there(o, table, T * D), *y = alloc(o, sizeof(float) * T * D), *z = alloc(o, sizeof(float) * T * D);
        o->fn->layer_norm(o, y, x, &scale, &shift, T, 1e-5f);
        o->fn->gather(o, z, x, index, T, D);
        norm[side] = back(o, y, T * D);
        picked[side] = back(o, z, T * D);
        float *sin = there(o, turns, P * R / 2), *cos = there(o, turns + P * R, P * R / 2);
        o->fn->rotary(o, x, sin, cos, position, T, H, K, R);
        turned[side] = back(o, x, T * D);
        o->fn->free(o, sin, sizeof(float) * P * R / 2);
        o->fn->free(o, cos, sizeof(float) * P * R / 2);
        o->fn->weight_free(o, &scale);
        o->fn->weight_free(o, &shift);
    }
    for (int type = 0; type < WEIGHT_TYPES; type++)
        assert_memory_equal(out[0][type], out[1][type], sizeof(float) * T * D);
    assert_memory_equal(picked[0], picked[1], sizeof(float) * T * D);
    for (int i = 0; i < T * D; i++) {
        must_be_near((double)norm[1][i], (double)norm[0][i], 60 * EPS * 3, "layer norm", i / D, i % D);
        must_be_near((double)turned[1][i], (double)turned[0][i], 4 * EPS * 2, "rotary", i / D, i % D);
    }
    for (int side = 0; side < 2; side++) {
        for (int type = 0; type < WEIGHT_TYPES; type++)
            free(out[side][type]);
        free(norm[side]);
        free(turned[side]);
        free(picked[side]);
    }
    free(table);
    free(w);
    free(b);
    free(turns);
}

/* ---- Attention ---- */

enum { MAX_ROWS = 400, SEQUENCES = 3, PAGES = 40 };

struct scene {
    int H, K;
    enum dtype dtype;
    int length[SEQUENCES];
    bool causal;
};

/* y[T][H][K] and then lse[T][H]; owned. Pages are scattered, and what nobody stores is NaN. */
static float *attended(struct ops *o, const struct scene *s, int *rows)
{
    static int32_t pages[SEQUENCES][PAGES], token[MAX_ROWS], position[MAX_ROWS], lo[MAX_ROWS], hi[MAX_ROWS],
        sequence[MAX_ROWS];
    const int32_t *tables[SEQUENCES];
    int T = 0, used = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        tables[i] = pages[i];
        for (int p = 0; p * KV_PAGE < s->length[i]; p++)
            pages[i][p] = (used++ * 7 + 11) % PAGES;
        for (int t = 0; t < s->length[i]; t++, T++) {
            position[T] = t;
            sequence[T] = i;
            lo[T] = s->causal ? t / 50 * 20 : 0;
            hi[T] = s->causal || t >= s->length[i] * 2 / 3 ? t + 1 : s->length[i] * 2 / 3;
        }
    }
    assert_true(T <= MAX_ROWS && used <= PAGES);
    const struct batch batch = {T, token, position, lo, hi, sequence, tables, 0};
    const size_t n = (size_t)T * (size_t)s->H * (size_t)s->K, page = ops_kv_page_bytes(s->H, s->K, s->dtype);
    float *q = numbers(n, 1), *k = numbers(n, 2), *v = numbers(n, 3), *y = malloc((n + n) * sizeof *y);
    void *nan = malloc(PAGES * page);
    memset(nan, 0xff, PAGES * page);
    struct kv_pages kv = {alloc(o, PAGES * page), alloc(o, PAGES * page), s->dtype};
    o->fn->write(o, kv.k, nan, PAGES * page);
    o->fn->write(o, kv.v, nan, PAGES * page);
    float *q_there = there(o, q, n), *k_there = there(o, k, n), *v_there = there(o, v, n);
    float *y_there = alloc(o, n * sizeof *y), *lse = alloc(o, (size_t)T * (size_t)s->H * sizeof *y);
    o->fn->kv_store(o, &kv, k_there, v_there, &batch, 0, T, s->H, s->K);
    /* In two calls, of which the second begins within a sequence. */
    const int cut = T * 5 / 8;
    const size_t row = (size_t)s->H * (size_t)s->K;
    o->fn->attention(o, y_there, lse, q_there, &kv, &batch, 0, cut, s->H, s->K);
    o->fn->attention(o, y_there + (size_t)cut * row, lse + (size_t)cut * (size_t)s->H, q_there + (size_t)cut * row, &kv,
                     &batch, cut, T - cut, s->H, s->K);
    o->fn->read(o, y, y_there, n * sizeof *y);
    o->fn->read(o, y + n, lse, (size_t)T * (size_t)s->H * sizeof *y);
    float *const all[] = {q_there, k_there, v_there, y_there};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        o->fn->free(o, all[i], n * sizeof *y);
    o->fn->free(o, lse, (size_t)T * (size_t)s->H * sizeof *y);
    o->fn->free(o, kv.k, PAGES * page);
    o->fn->free(o, kv.v, PAGES * page);
    free(q);
    free(k);
    free(v);
    free(nan);
    *rows = T;
    return y;
}

/* Values are below 1, so a weight's relative error is y's; a score of K products, each below 1/sqrt(K), is off by the
 * rounding of its factors; and with 16-bit factors the probabilities are rounded as well. */
static void attention_agrees_with(enum compute_type compute, const struct scene *s)
{
    int T = 0;
    float *want = attended(cpu_of[COMPUTE_FP32], s, &T), *have = attended(gpu_of[compute], s, &T);
    const int columns = s->H * s->K;
    const size_t n = (size_t)T * (size_t)columns;
    const double u = compute == COMPUTE_FP32 ? 0 : 0x1p-11, score = sqrt(s->K) * (u + (8 + sqrt(s->K)) * EPS);
    char what[96];
    snprintf(what, sizeof what, "attention, compute %d, K %d, %s, %s", (int)compute, s->K, dtype_name(s->dtype),
             s->causal ? "causal" : "prefix");
    for (int t = 0; t < T; t++) {
        for (int i = 0; i < columns; i++)
            must_be_near((double)have[t * columns + i], (double)want[t * columns + i], 2 * score + u + 64 * EPS, what,
                         t, i);
        for (int h = 0; h < s->H; h++)
            must_be_near((double)have[n + (size_t)(t * s->H + h)], (double)want[n + (size_t)(t * s->H + h)],
                         score + 64 * EPS, what, t, -1 - h);
    }
    free(want);
    free(have);
}

static void attention_agrees(void **state)
{
    (void)state;
    static const int heads[] = {16, 20, 64, 80, 128, 256},
                     lengths[][SEQUENCES] = {{1, 1, 1}, {33, 70, 5}, {200, 1, 130}};
    for (size_t k = 0; k < COUNT_OF(heads); k++)
        for (size_t l = 0; l < COUNT_OF(lengths); l++)
            for (int kind = 0; kind < 4; kind++) {
                struct scene s = {.H = 2, .K = heads[k], .dtype = kind & 1 ? DTYPE_F16 : DTYPE_F32, .causal = kind & 2};
                memcpy(s.length, lengths[l], sizeof s.length);
                attention_agrees_with(COMPUTE_FP32, &s);
                if (s.dtype == DTYPE_F16) attention_agrees_with(COMPUTE_BF16, &s);
            }
}

/* ---- Laws of its own ---- */

static void results_are_the_same_every_time(void **state)
{
    (void)state;
    const struct map_case m = {COMPUTE_BF16, WEIGHT_F16, 37, 130, 1100, EPILOGUE_GELU, true};
    const struct scene s = {.H = 2, .K = 64, .dtype = DTYPE_F16, .length = {100, 30, 65}};
    float *x = numbers(37 * 1100, 1), *w = numbers(130 * 1100, 2), *b = numbers(130, 3), *z = numbers(37 * 130, 4);
    int T = 0;
    float *first = mapped(gpu_of[COMPUTE_BF16], &m, x, w, b, z), *seen = attended(gpu_of[COMPUTE_BF16], &s, &T);
    for (int i = 0; i < 3; i++) {
        float *again = mapped(gpu_of[COMPUTE_BF16], &m, x, w, b, z), *other = attended(gpu_of[COMPUTE_BF16], &s, &T);
        assert_memory_equal(again, first, sizeof(float) * 37 * 130);
        assert_memory_equal(other, seen, sizeof(float) * (size_t)T * 2 * 64);
        free(again);
        free(other);
    }
    free(x);
    free(w);
    free(b);
    free(z);
    free(first);
    free(seen);
}

static void memory_that_is_not_there_is_said(void **state)
{
    (void)state;
    struct ops *o = gpu_of[COMPUTE_FP32];
    void *p = NULL;
    assert_int_equal(o->fn->alloc(o, &p, (size_t)1 << 44), E_NOMEM);
    assert_non_null(strstr(status_message(), "out of memory"));
    p = alloc(o, 64);
    o->fn->free(o, p, 64);
}

int main(void)
{
    enum { SKIPPED = 77 };
    for (int i = 0; i < COMPUTE_TYPES; i++) {
        const struct ops_cpu_limits limits = {.head = 256, .inputs = 4096};
        if (ops_cuda_create(&gpu_of[i], (enum compute_type)i, 2) != OK) {
            print_message("%s\n", status_message());
            return SKIPPED;
        }
        if (ops_cpu_create(&cpu_of[i], CPU_REF, (enum compute_type)i, 2, limits) != OK) return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_maps_agree),
        cmocka_unit_test(a_width_that_no_vector_divides_is_computed_too),
        cmocka_unit_test(rows_agree),
        cmocka_unit_test(attention_agrees),
        cmocka_unit_test(results_are_the_same_every_time),
        cmocka_unit_test(memory_that_is_not_there_is_said),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < COMPUTE_TYPES; i++) {
        gpu_of[i]->fn->close(gpu_of[i]);
        cpu_of[i]->fn->close(cpu_of[i]);
    }
    return failed;
}
