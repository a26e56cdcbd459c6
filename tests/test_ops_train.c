// SPDX-License-Identifier: Apache-2.0
/* The CPU backend's training operations at sizes that need several panels, blocks, pages and pieces: products against
 * sums in double under derived bounds, attention's backward pass against formulas over whole matrices. */
#include "backend.h"
#include "base/half.h"

static struct ops *trainer(enum cpu_level level, enum compute_type compute, int n_threads, int sequence)
{
    struct ops *o = NULL;
    const struct ops_cpu_limits limits = {.head = 64, .inputs = 4096, .sequence = sequence};
    if (ops_cpu_create(&o, level, compute, n_threads, limits) != OK) fail_msg("%s", status_message());
    assert_non_null(o->train);
    return o;
}

/* ---- Products ---- */

static const struct shape {
    int T, O, I;
} shapes[] = {{1, 1, 1},      {5, 7, 9},     {3, 130, 65}, {300, 65, 17},
              {257, 16, 700}, {2, 5000, 33}, {4200, 3, 5}, {600, 1100, 130}};

/* For products by panels alone: rows in several passes, and panels that are written past the caches. */
static const struct shape large = {600, 4096, 600};

/* As products have it: factors may be rounded to bf16 first. */
static double factor(float x, enum compute_type compute)
{
    return (double)(compute == COMPUTE_BF16 ? bf16_to_f32(bf16_from_f32(x)) : x);
}

/* n terms whose absolute values sum up to `sum`; bf16 units take factors and sums below 2^-126 for 0. */
static double bound_of(int n, double sum)
{
    return (8 + sqrt(n)) * EPS * sum + n * 0x1p-120;
}

/* A matrix in a type, and its values. */
struct matrix {
    struct weight w;
    float *values; /* [O][I] */
    uint16_t *narrow;
};

static struct matrix make_matrix(enum weight_type type, int O, int I, uint64_t stream)
{
    const size_t n = (size_t)O * (size_t)I;
    struct matrix m = {.values = numbers(n, stream), .narrow = malloc(n * sizeof(uint16_t))};
    for (size_t i = 0; i < n && type != WEIGHT_F32; i++) {
        m.narrow[i] = type == WEIGHT_F16 ? f16_from_f32(m.values[i]) : bf16_from_f32(m.values[i]);
        m.values[i] = type == WEIGHT_F16 ? f16_to_f32(m.narrow[i]) : bf16_to_f32(m.narrow[i]);
    }
    m.w = (struct weight){.data = type == WEIGHT_F32 ? (const void *)m.values : m.narrow, .type = type, .O = O, .I = I};
    return m;
}

static void check_linear_back(struct ops *o, enum compute_type compute, enum weight_type type, const struct shape *s)
{
    const size_t T = (size_t)s->T, O = (size_t)s->O, I = (size_t)s->I;
    struct matrix m = make_matrix(type, s->O, s->I, 1);
    float *dy = numbers(T * O, 2), *before = numbers(T * I, 3), *dx = copy_of(before, T * I);
    for (int add = 0; add < 2; add++) {
        memcpy(dx, before, T * I * sizeof *dx);
        o->train->linear_back(o, dx, dy, &m.w, s->T, add ? EPILOGUE_ADD : EPILOGUE_STORE);
        for (size_t t = 0; t < T; t += 1 + T / 7) {
            for (size_t i = 0; i < I; i += 1 + I / 50) {
                double sum = add ? (double)before[t * I + i] : 0, most = fabs(sum);
                for (size_t k = 0; k < O; k++) {
                    const double term = factor(dy[t * O + k], compute) * factor(m.values[k * I + i], compute);
                    sum += term;
                    most += fabs(term);
                }
                must_be_near((double)dx[t * I + i], sum, bound_of(s->O, most), "linear_back", (int)t, (int)i);
            }
        }
    }
    free(dy);
    free(before);
    free(dx);
    free(m.values);
    free(m.narrow);
}

static void check_linear_grad(struct ops *o, enum compute_type compute, const struct shape *s)
{
    const size_t T = (size_t)s->T, O = (size_t)s->O, I = (size_t)s->I;
    float *dy = numbers(T * O, 2), *x = numbers(T * I, 4), *before = numbers(O * I, 5), *dw = copy_of(before, O * I);
    float *bias = numbers(O, 6), *db = copy_of(bias, O);
    for (int add = 0; add < 2; add++) {
        memcpy(dw, before, O * I * sizeof *dw);
        memcpy(db, bias, O * sizeof *db);
        o->train->linear_grad(o, dw, db, dy, x, s->T, s->O, s->I, add ? EPILOGUE_ADD : EPILOGUE_STORE);
        for (size_t k = 0; k < O; k += 1 + O / 60) {
            double column = (double)bias[k], most_column = fabs(column);
            for (size_t t = 0; t < T; t++) {
                column += (double)dy[t * O + k];
                most_column += fabs((double)dy[t * O + k]);
            }
            must_be_near((double)db[k], column, bound_of(s->T, most_column), "bias", 0, (int)k);
            for (size_t i = 0; i < I; i += 1 + I / 60) {
                double sum = add ? (double)before[k * I + i] : 0, most = fabs(sum);
                for (size_t t = 0; t < T; t++) {
                    const double term = factor(dy[t * O + k], compute) * factor(x[t * I + i], compute);
                    sum += term;
                    most += fabs(term);
                }
                must_be_near((double)dw[k * I + i], sum, bound_of(s->T, most), "linear_grad", (int)k, (int)i);
            }
        }
    }
    free(dy);
    free(x);
    free(before);
    free(dw);
    free(bias);
    free(db);
}

static void backward_products_are_sums_of_products(void **state)
{
    (void)state;
    static const enum weight_type types[] = {WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16};
    for (int level = 0; level <= (int)kernels_best_level(); level++) {
        for (enum compute_type compute = COMPUTE_FP32; compute <= COMPUTE_BF16; compute++) {
            struct ops *o = trainer((enum cpu_level)level, compute, 2, 32);
            for (size_t i = 0; i < COUNT_OF(shapes); i++) {
                for (size_t k = 0; k < COUNT_OF(types); k++)
                    check_linear_back(o, compute, types[k], &shapes[i]);
                check_linear_grad(o, compute, &shapes[i]);
            }
            for (size_t k = 0; level > 0 && k < COUNT_OF(types); k++)
                check_linear_back(o, compute, types[k], &large);
            o->fn->close(o);
        }
    }
}

/* ---- Attention ---- */

enum { H = 3, K = 20, T = 230, PAGES = (T + KV_PAGE - 1) / KV_PAGE, ROW = H * K, N = T * ROW };

struct step {
    struct kv_pages kv;
    struct batch batch;
    int32_t lo[T], hi[T], position[T], sequence[T], pages[PAGES];
    const int32_t *table[1];
};

/* A prompt of 40 that sees itself, a document of 150 behind it, and the rest, which is causal. Pages lie backwards. */
static void make_step(struct ops *o, struct step *s, const float *k, const float *v)
{
    for (int t = 0; t < T; t++) {
        const int begin = t < 40 ? 0 : t < 190 ? 40 : 190, end = t < 40 ? 40 : t + 1;
        s->lo[t] = begin;
        s->hi[t] = end;
        s->position[t] = t;
        s->sequence[t] = 0;
    }
    for (int i = 0; i < PAGES; i++)
        s->pages[i] = PAGES - 1 - i;
    s->table[0] = s->pages;
    s->batch = (struct batch){
        .T = T, .position = s->position, .lo = s->lo, .hi = s->hi, .sequence = s->sequence, .pages = s->table};
    s->kv.dtype = DTYPE_F32;
    s->kv.k = alloc(o, PAGES * ops_kv_page_bytes(H, K, DTYPE_F32));
    s->kv.v = alloc(o, PAGES * ops_kv_page_bytes(H, K, DTYPE_F32));
    o->fn->kv_store(o, &s->kv, k, v, &s->batch, 0, T, H, K);
}

/* P[T][T] of one head in double: exp(scale q.k) over what a row sees, divided by its sum. */
static void probabilities(double *p, const struct step *s, const float *q, const float *k, int h)
{
    memset(p, 0, T * T * sizeof *p);
    for (int t = 0; t < T; t++) {
        double sum = 0;
        for (int i = s->lo[t]; i < s->hi[t]; i++) {
            double score = 0;
            for (int c = 0; c < K; c++)
                score += (double)q[t * ROW + h * K + c] * (double)k[i * ROW + h * K + c];
            sum += p[t * T + i] = exp(score / sqrt(K));
        }
        for (int i = s->lo[t]; i < s->hi[t]; i++)
            p[t * T + i] /= sum;
    }
}

/* The formulas of the header, over whole matrices. */
static void attention_truth(double *dq, double *dk, double *dv, const struct step *s, const float *q, const float *k,
                            const float *v, const float *dy, int h)
{
    static double p[T * T];
    probabilities(p, s, q, k, h);
    memset(dq, 0, T * K * sizeof *dq);
    memset(dk, 0, T * K * sizeof *dk);
    memset(dv, 0, T * K * sizeof *dv);
    for (int t = 0; t < T; t++) {
        double dp[T] = {0}, mean = 0;
        for (int i = s->lo[t]; i < s->hi[t]; i++) {
            for (int c = 0; c < K; c++)
                dp[i] += (double)dy[t * ROW + h * K + c] * (double)v[i * ROW + h * K + c];
            mean += p[t * T + i] * dp[i];
        }
        for (int i = s->lo[t]; i < s->hi[t]; i++) {
            const double ds = p[t * T + i] * (dp[i] - mean) / sqrt(K);
            for (int c = 0; c < K; c++) {
                dq[t * K + c] += ds * (double)k[i * ROW + h * K + c];
                dk[i * K + c] += ds * (double)q[t * ROW + h * K + c];
                dv[i * K + c] += p[t * T + i] * (double)dy[t * ROW + h * K + c];
            }
        }
    }
}

static void compare_head(const float *have, const double *truth, int h, const char *what)
{
    double most = 0;
    for (int i = 0; i < T * K; i++)
        most = fmax(most, fabs(truth[i]));
    for (int t = 0; t < T; t++)
        for (int c = 0; c < K; c++)
            must_be_near((double)have[t * ROW + h * K + c], truth[t * K + c], 2e-6 + 1e-5 * most, what, t, h * K + c);
}

static void attention_goes_back_through_all_pages(void **state)
{
    (void)state;
    float *q = numbers(N, 1), *k = numbers(N, 2), *v = numbers(N, 3), *dy = numbers(N, 4), *first = NULL;
    static float y[N], lse[T * H], gradients[3][N];
    static double truth[3][T * K];
    for (int level = 0; level <= (int)kernels_best_level(); level++) {
        for (int threads = 1; threads <= 3; threads += 2) {
            struct ops *o = trainer((enum cpu_level)level, COMPUTE_FP32, threads, T);
            struct step s;
            make_step(o, &s, k, v);
            for (int i = 0; i < N; i++)
                gradients[0][i] = gradients[1][i] = gradients[2][i] = NAN;
            o->fn->attention(o, y, lse, q, &s.kv, &s.batch, 0, T, H, K);
            o->train->attention_back(o, gradients[0], gradients[1], gradients[2], dy, y, q, lse, &s.kv, &s.batch, 0, T,
                                     H, K);
            for (int h = 0; h < H; h++) {
                static const char *const names[] = {"dq", "dk", "dv"};
                attention_truth(truth[0], truth[1], truth[2], &s, q, k, v, dy, h);
                for (int i = 0; i < 3; i++)
                    compare_head(gradients[i], truth[i], h, names[i]);
            }
            if (threads == 1)
                first = copy_of(gradients[0], 3 * N);
            else
                assert_memory_equal(first, gradients[0], 3 * N * sizeof *first);
            if (threads == 3) free(first);
            o->fn->free(o, s.kv.k, PAGES * ops_kv_page_bytes(H, K, DTYPE_F32));
            o->fn->free(o, s.kv.v, PAGES * ops_kv_page_bytes(H, K, DTYPE_F32));
            o->fn->close(o);
        }
    }
    free(q);
    free(k);
    free(v);
    free(dy);
}

/* ---- The rest ---- */

static void sums_of_squares_do_not_depend_on_threads(void **state)
{
    (void)state;
    const size_t n = 5000003;
    float *x = numbers(n, 7);
    struct ops *one = trainer(kernels_best_level(), COMPUTE_FP32, 1, 32),
               *three = trainer(kernels_best_level(), COMPUTE_FP32, 3, 32);
    double truth = 0;
    for (size_t i = 0; i < n; i++)
        truth += (double)x[i] * (double)x[i];
    const double a = one->train->sum_squares(one, x, n), b = three->train->sum_squares(three, x, n);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(fabs(a - truth) <= 1e-12 * truth);
    x[n - 1] = INFINITY;
    assert_true(!isfinite(three->train->sum_squares(three, x, n)));
    x[n - 1] = NAN;
    assert_true(!isfinite(three->train->sum_squares(three, x, n)));
    one->fn->close(one);
    three->fn->close(three);
    free(x);
}

static void adamw_takes_the_narrow_copy_with_it(void **state)
{
    (void)state;
    enum { O = 70, I = 700, COUNT = O * I };
    const struct adamw_step step = {1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 0.5};
    struct ops *o = trainer(kernels_best_level(), COMPUTE_FP32, 3, 32);
    for (enum weight_type type = WEIGHT_F16; type <= WEIGHT_BF16; type++) {
        float *p = numbers(COUNT, 11), *alone = copy_of(p, COUNT), *m[2], *v[2], *grad = numbers(COUNT, 12);
        uint16_t *with = malloc(COUNT * sizeof *with), *after = malloc(COUNT * sizeof *after);
        for (int i = 0; i < 2; i++) {
            m[i] = calloc(COUNT, sizeof *m[i]);
            v[i] = calloc(COUNT, sizeof *v[i]);
        }
        struct weight copy = {.data = with, .type = type, .O = O, .I = I, .owned_bytes = COUNT * sizeof *with};
        o->train->adamw(o, p, m[0], v[0], grad, COUNT, &step, &copy);
        copy.data = after;
        o->train->adamw(o, alone, m[1], v[1], grad, COUNT, &step, NULL);
        o->train->weight_write(o, &copy, alone);
        assert_memory_equal(p, alone, COUNT * sizeof *p);
        assert_memory_equal(with, after, COUNT * sizeof *with);
        for (int i = 0; i < 2; i++) {
            free(m[i]);
            free(v[i]);
        }
        free(p);
        free(alone);
        free(grad);
        free(with);
        free(after);
    }
    o->fn->close(o);
}

static void embeddings_of_a_token_add_up(void **state)
{
    (void)state;
    enum { ROWS = 40, D = 150, V = 5 };
    struct ops *o = trainer(kernels_best_level(), COMPUTE_FP32, 3, 32);
    float *dx = numbers(ROWS * D, 8), dwte[V * D] = {0};
    int32_t token[ROWS];
    for (int t = 0; t < ROWS; t++)
        token[t] = t * t % V; /* 0, 1 and 4 only */
    o->train->embed_back(o, dwte, dx, token, ROWS, D);
    for (int v = 0; v < V; v++) {
        for (int d = 0; d < D; d++) {
            float sum = 0;
            for (int t = 0; t < ROWS; t++)
                if (token[t] == v) sum += dx[t * D + d];
            assert_true(dwte[v * D + d] == sum);
        }
    }
    o->fn->close(o);
    free(dx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_products_are_sums_of_products),
        cmocka_unit_test(attention_goes_back_through_all_pages),
        cmocka_unit_test(sums_of_squares_do_not_depend_on_threads),
        cmocka_unit_test(adamw_takes_the_narrow_copy_with_it),
        cmocka_unit_test(embeddings_of_a_token_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
