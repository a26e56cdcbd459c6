// SPDX-License-Identifier: Apache-2.0
/* The reference's backward kernels are the gradients of its forward kernels.
 *
 * Each case is a function L(x) = sum of c[i] y[i](x) of all inputs together, with random c. Its gradient, which the
 * backward kernels compute from dy = c, times a random direction d must be the derivative of L along d, which is
 *
 *     D(h) = (8 (L(x + hd) - L(x - hd)) - (L(x + 2hd) - L(x - 2hd))) / 12h     off by O(h^4)
 *
 * Inputs and directions are multiples of small powers of two, so that no x + hd is rounded. What remains is known:
 * D(2h) - D(h) is 15 times what the formula is off by, and each y[i] is a rounded number, so that D may be off by
 * 18/12h times what the terms of L are. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/kernels.h"

enum { MAX_N = 8192, DIRECTIONS = 5 };

#define EPS 0x1p-24
#define H   0x1p-7

struct gradcase {
    const char *name;
    int n;            /* inputs */
    double roundings; /* of an output, in units of its last place's half */
    double (*loss)(const struct gradcase *g, const float *x, double *size); /* size: sum of |c y| */
    void (*gradient)(const struct gradcase *g, const float *x, float *dx);  /* dx[n], zeroed */
    float c[MAX_N];
};

static struct kernels ref;
static uint64_t seed, counter;

/* Multiples of 2^-9 between -2 and 2. */
static float number(void)
{
    return (float)((int)(rng_u64(seed, 0, counter++) % 2047) - 1023) * 0x1p-9f;
}

static void numbers(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = number();
}

static double total(const float *c, const float *y, int n, double *size)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += (double)c[i] * (double)y[i];
        *size += fabs((double)c[i] * (double)y[i]);
    }
    return sum;
}

/* ---- The derivative along a direction ---- */

static double loss_at(const struct gradcase *g, const float *x, const float *d, double h, double *size)
{
    float moved[MAX_N];
    for (int i = 0; i < g->n; i++) {
        moved[i] = (float)((double)x[i] + h * (double)d[i]);
        assert_true((double)moved[i] == (double)x[i] + h * (double)d[i]);
    }
    *size = 0;
    return g->loss(g, moved, size);
}

static double derivative(const struct gradcase *g, const float *x, const float *d, double h, double *size)
{
    const double near = loss_at(g, x, d, h, size) - loss_at(g, x, d, -h, size);
    const double far = loss_at(g, x, d, 2 * h, size) - loss_at(g, x, d, -2 * h, size);
    return (8 * near - far) / (12 * h);
}

static void check_gradient(struct gradcase *g)
{
    float x[MAX_N], d[MAX_N], dx[MAX_N];
    for (int i = 0; i < DIRECTIONS; i++) {
        numbers(x, g->n);
        numbers(d, g->n);
        numbers(g->c, MAX_N);
        memset(dx, 0, sizeof dx);
        g->gradient(g, x, dx);
        double along = 0, along_size = 0, size;
        for (int j = 0; j < g->n; j++) {
            along += (double)dx[j] * (double)d[j];
            along_size += fabs((double)dx[j] * (double)d[j]);
        }
        const double want = derivative(g, x, d, H, &size), coarse = derivative(g, x, d, 2 * H, &size);
        const double bound = fabs(coarse - want) + 1.5 * g->roundings * EPS * size / H + 16 * EPS * along_size;
        if (!(fabs(along - want) <= bound) || bound > 0.02 * along_size)
            fail_msg("%s with seed %llu: %.9g along the direction, not %.9g +- %.3g", g->name, (unsigned long long)seed,
                     along, want, bound);
    }
}

/* ---- Layer norm: rows, weight, bias ---- */

enum { NORM_T = 5, NORM_D = 37, NORM_X = NORM_T * NORM_D };

static double norm_loss(const struct gradcase *g, const float *x, double *size)
{
    float y[NORM_X];
    for (int t = 0; t < NORM_T; t++)
        ref.layer_norm(y + t * NORM_D, x + t * NORM_D, x + NORM_X, x + NORM_X + NORM_D, NORM_D, 1e-5f);
    return total(g->c, y, NORM_X, size);
}

static void norm_gradient(const struct gradcase *g, const float *x, float *dx)
{
    float stats[2 * NORM_T];
    for (int t = 0; t < NORM_T; t++)
        ref.layer_norm_back(dx + t * NORM_D, stats + 2 * t, g->c + t * NORM_D, x + t * NORM_D, x + NORM_X, NORM_D,
                            1e-5f);
    ref.layer_norm_sums(dx + NORM_X, dx + NORM_X + NORM_D, g->c, x, NORM_D, stats, NORM_T, NORM_D);
}

static void layer_norm_back_is_the_gradient_of_layer_norm(void **state)
{
    (void)state;
    check_gradient(&(struct gradcase){"layer norm", NORM_X + 2 * NORM_D, 1, norm_loss, norm_gradient, {0}});
}

/* ---- A bias added to every row ---- */

static double bias_loss(const struct gradcase *g, const float *x, double *size)
{
    float y[NORM_X];
    for (int i = 0; i < NORM_X; i++)
        y[i] = x[i % NORM_D];
    return total(g->c, y, NORM_X, size);
}

static void bias_gradient(const struct gradcase *g, const float *x, float *dx)
{
    (void)x;
    ref.sum_rows(dx, g->c, NORM_D, NORM_T, NORM_D);
}

static void sum_rows_is_the_gradient_of_a_bias(void **state)
{
    (void)state;
    check_gradient(&(struct gradcase){"bias", NORM_D, 0, bias_loss, bias_gradient, {0}});
}

/* ---- GELU ---- */

enum { GELU_N = 64 };

static double gelu_loss(const struct gradcase *g, const float *x, double *size)
{
    float y[GELU_N];
    memcpy(y, x, sizeof y);
    ref.gelu(y, GELU_N);
    return total(g->c, y, GELU_N, size);
}

static void gelu_gradient(const struct gradcase *g, const float *x, float *dx)
{
    memcpy(dx, g->c, GELU_N * sizeof *dx);
    ref.gelu_back(dx, x, GELU_N);
}

static void gelu_back_is_the_gradient_of_gelu(void **state)
{
    (void)state;
    check_gradient(&(struct gradcase){"gelu", GELU_N, 8, gelu_loss, gelu_gradient, {0}});
}

/* ---- Cross-entropy: its loss against its gradient, and both against log_sum_exp ---- */

enum { LOGITS = 50, TARGET = 17 };

static double cross_entropy_loss(const struct gradcase *g, const float *x, double *size)
{
    const double loss = ref.log_sum_exp(x, LOGITS) - (double)x[TARGET];
    float copy[LOGITS];
    memcpy(copy, x, sizeof copy);
    /* exp in fp32 of terms that are off by at most 2 eps, and by the rounding of what each is below the largest */
    assert_true(fabs(ref.cross_entropy(copy, LOGITS, TARGET, 1) - loss) < 8 * EPS);
    memcpy(copy, x, sizeof copy);
    *size = 0; /* nothing is rounded to fp32 */
    return (double)g->c[0] * ref.cross_entropy(copy, LOGITS, TARGET, 1);
}

static void cross_entropy_gradient(const struct gradcase *g, const float *x, float *dx)
{
    memcpy(dx, x, LOGITS * sizeof *dx);
    ref.cross_entropy(dx, LOGITS, TARGET, g->c[0]);
}

static void cross_entropy_gives_its_own_gradient(void **state)
{
    (void)state;
    check_gradient(&(struct gradcase){"cross-entropy", LOGITS, 0, cross_entropy_loss, cross_entropy_gradient, {0}});
}

/* ---- Rotary embedding: back by the negative angles ---- */

enum { ROTARY_H = 3, ROTARY_K = 10, ROTARY_R = 6, ROTARY_N = ROTARY_H * ROTARY_K };

static const float sines[ROTARY_R / 2] = {0.6f, -0.8f, 0.28f}, cosines[ROTARY_R / 2] = {0.8f, 0.6f, -0.96f};

static double rotary_loss(const struct gradcase *g, const float *x, double *size)
{
    float y[ROTARY_N];
    memcpy(y, x, sizeof y);
    ref.rotary(y, sines, cosines, ROTARY_H, ROTARY_K, ROTARY_R);
    return total(g->c, y, ROTARY_N, size);
}

static void rotary_gradient(const struct gradcase *g, const float *x, float *dx)
{
    (void)x;
    float minus[ROTARY_R / 2];
    for (int j = 0; j < ROTARY_R / 2; j++)
        minus[j] = -sines[j];
    memcpy(dx, g->c, ROTARY_N * sizeof *dx);
    ref.rotary(dx, minus, cosines, ROTARY_H, ROTARY_K, ROTARY_R);
}

static void rotary_goes_back_by_the_negative_angle(void **state)
{
    (void)state;
    /* two products and a sum, in fp32: a result that cancels is off by more than its own roundings */
    check_gradient(&(struct gradcase){"rotary", ROTARY_N, 12, rotary_loss, rotary_gradient, {0}});
}

/* ---- Attention: several pages, rows with intervals ---- */

enum {
    HEAD_T = 9,
    HEAD_K = 20,
    HEAD_STRIDE = 32,
    HEAD_PAGES = 3,
    HEAD_S = HEAD_PAGES * KV_PAGE - 7,
    HEAD_PAGE = HEAD_STRIDE * KV_PAGE,
    HEAD_Q = HEAD_T * HEAD_K,
    HEAD_KV = HEAD_S * HEAD_K
};

/* Causal, a prefix seen both ways, a window, one position, one page of the middle. */
static const int32_t head_lo[HEAD_T] = {0, 0, 0, 0, 0, 20, 33, 80, 32};
static const int32_t head_hi[HEAD_T] = {41, 42, 70, 89, 1, 60, 34, 89, 64};

/* x as the kernels want it: q [T][K], then keys [S][K], then values [S][K], into rows and pages. */
struct head {
    float q[HEAD_T * HEAD_STRIDE], y[HEAD_T * HEAD_STRIDE], max[HEAD_T], sum[HEAD_T];
    float p[HEAD_T * KV_PAGE], ds[HEAD_T * KV_PAGE];
    float keys_down[HEAD_PAGES * HEAD_PAGE], keys_across[HEAD_PAGES * HEAD_PAGE];
    float values_down[HEAD_PAGES * HEAD_PAGE], values_across[HEAD_PAGES * HEAD_PAGE];
};

static size_t down(int s, int k)
{
    return (size_t)(s / KV_PAGE * HEAD_PAGE + k * KV_PAGE + s % KV_PAGE);
}

static size_t across(int s, int k)
{
    return (size_t)(s / KV_PAGE * HEAD_PAGE + (k / KV_COLUMN * KV_PAGE + s % KV_PAGE) * KV_COLUMN + k % KV_COLUMN);
}

static void spread(float *rows, const float *x)
{
    for (int i = 0; i < HEAD_Q; i++)
        rows[i / HEAD_K * HEAD_STRIDE + i % HEAD_K] = x[i];
}

static void head_forward(struct head *h, const float *x)
{
    *h = (struct head){.q = {0}};
    spread(h->q, x);
    for (int i = 0; i < HEAD_KV; i++) {
        const int s = i / HEAD_K, k = i % HEAD_K;
        h->keys_down[down(s, k)] = h->keys_across[across(s, k)] = x[HEAD_Q + i];
        h->values_down[down(s, k)] = h->values_across[across(s, k)] = x[HEAD_Q + HEAD_KV + i];
    }
    for (int t = 0; t < HEAD_T; t++)
        h->max[t] = -INFINITY;
    float keep[HEAD_T];
    const struct attention_rows rows = {.T = HEAD_T,
                                        .K = HEAD_K,
                                        .scale = 0.25f,
                                        .stride = HEAD_STRIDE,
                                        .q = h->q,
                                        .lo = head_lo,
                                        .hi = head_hi,
                                        .y = h->y,
                                        .max = h->max,
                                        .sum = h->sum,
                                        .score = h->p,
                                        .keep = keep};
    for (int page = 0; page < HEAD_PAGES; page++)
        ref.attention_f32(&rows, h->keys_down + page * HEAD_PAGE, h->values_across + page * HEAD_PAGE, page * KV_PAGE);
    for (int i = 0; i < HEAD_T * HEAD_STRIDE; i++)
        h->y[i] /= h->sum[i / HEAD_STRIDE];
}

static double head_loss(const struct gradcase *g, const float *x, double *size)
{
    static struct head h;
    double sum = 0;
    head_forward(&h, x);
    for (int t = 0; t < HEAD_T; t++)
        sum += total(g->c + t * HEAD_K, h.y + t * HEAD_STRIDE, HEAD_K, size);
    return sum;
}

static void head_gradient(const struct gradcase *g, const float *x, float *dx)
{
    static struct head h;
    static float dk[HEAD_PAGES * HEAD_PAGE], dv[HEAD_PAGES * HEAD_PAGE];
    float dy[HEAD_T * HEAD_STRIDE] = {0}, dq[HEAD_T * HEAD_STRIDE] = {0}, lse[HEAD_T], delta[HEAD_T] = {0};
    memset(dk, 0, sizeof dk);
    memset(dv, 0, sizeof dv);
    head_forward(&h, x);
    spread(dy, g->c);
    for (int t = 0; t < HEAD_T; t++) {
        lse[t] = h.max[t] + logf(h.sum[t]);
        for (int k = 0; k < HEAD_STRIDE; k++)
            delta[t] += dy[t * HEAD_STRIDE + k] * h.y[t * HEAD_STRIDE + k];
    }
    const struct attention_back_rows rows = {HEAD_T,  HEAD_K, 0.25f, HEAD_STRIDE, h.q, dy,  head_lo,
                                             head_hi, lse,    delta, dq,          h.p, h.ds};
    for (int i = 0; i < HEAD_PAGES; i++) {
        const int at = i * HEAD_PAGE;
        const struct attention_back_page page = {h.keys_down + at, h.keys_across + at, h.values_down + at, dk + at,
                                                 dv + at,          i * KV_PAGE};
        ref.attention_back(&rows, &page);
    }
    for (int i = 0; i < HEAD_Q; i++)
        dx[i] = dq[i / HEAD_K * HEAD_STRIDE + i % HEAD_K];
    for (int i = 0; i < HEAD_KV; i++) {
        dx[HEAD_Q + i] = dk[across(i / HEAD_K, i % HEAD_K)];
        dx[HEAD_Q + HEAD_KV + i] = dv[across(i / HEAD_K, i % HEAD_K)];
    }
}

/* Each page rounds y and its sum, and the last division once more. */
static void attention_back_is_the_gradient_of_attention(void **state)
{
    (void)state;
    check_gradient(
        &(struct gradcase){"attention", HEAD_Q + 2 * HEAD_KV, 2 * HEAD_PAGES + 1, head_loss, head_gradient, {0}});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm_back_is_the_gradient_of_layer_norm),
        cmocka_unit_test(sum_rows_is_the_gradient_of_a_bias),
        cmocka_unit_test(gelu_back_is_the_gradient_of_gelu),
        cmocka_unit_test(cross_entropy_gives_its_own_gradient),
        cmocka_unit_test(rotary_goes_back_by_the_negative_angle),
        cmocka_unit_test(attention_back_is_the_gradient_of_attention),
    };
    seed = rng_fresh_seed();
    kernels_init(&ref, CPU_REF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
