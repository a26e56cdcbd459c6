// SPDX-License-Identifier: Apache-2.0
/* The CPU backend's training table: backward products by panels with factors that lie across, and loops over rows,
 * columns or pieces. Threads partition outputs, so no sum depends on how many there are. */
#include "ops/train.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "ops/cpu.h"

static int least(int a, int b)
{
    return a < b ? a : b;
}

static size_t least_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- Linear maps ---- */

/* dx[T][I] = dy[T][O] w[O][I]: w is the factor of outputs i, lying across. The sum over O goes in pieces. */
static void cpu_linear_back(struct ops *o, float *dx, const float *dy, const struct weight *w, int T, enum epilogue e)
{
    struct ops_cpu *c = ops_cpu(o);
    const struct linear_kernels *k = ops_cpu_kernels_for(c, w->type);
    const size_t O = (size_t)w->O, I = (size_t)w->I;
    pool_hold(c->pool);
    for (size_t at = 0; at < O; at += BACK_INPUTS) {
        const char *rows = (const char *)w->data + weight_bytes(w->type, (int)at, w->I);
        const struct operand x = {dy + at, WEIGHT_F32, O, false}, across = {rows, w->type, I, true};
        const struct product_map map = {{dx, I, NULL, at ? EPILOGUE_ADD : e}, across, w->I};
        ops_cpu_product(c, k, &map, 1, &x, T, (int)least_size(BACK_INPUTS, O - at));
    }
    pool_release(c->pool);
}

struct columns_job {
    struct ops_cpu *c;
    float *sum, *other;
    const float *x, *y, *stats;
    int T, n;
};

enum { COLUMNS_A_TASK = 64 };

static void sum_task(void *user, int task, int thread)
{
    (void)thread;
    const struct columns_job *j = user;
    const int at = task * COLUMNS_A_TASK;
    j->c->kernels.sum_rows(j->sum + at, j->x + at, (size_t)j->n, j->T, least(COLUMNS_A_TASK, j->n - at));
}

/* dw[O][I] = dy[T][O]^T x[T][I]: rows of the product are outputs of the map, and both factors lie across. The sum over
 * T goes in pieces. */
static void cpu_linear_grad(struct ops *o, float *dw, float *db, const float *dy, const float *x, int T, int O, int I,
                            enum epilogue e)
{
    struct ops_cpu *c = ops_cpu(o);
    const struct linear_kernels *k = ops_cpu_kernels_for(c, WEIGHT_F32);
    pool_hold(c->pool);
    for (int t = 0; t < T; t += BACK_INPUTS) {
        const struct operand rows = {dy + (size_t)t * (size_t)O, WEIGHT_F32, (size_t)O, true};
        const struct operand columns = {x + (size_t)t * (size_t)I, WEIGHT_F32, (size_t)I, true};
        const struct product_map map = {{dw, (size_t)I, NULL, t ? EPILOGUE_ADD : e}, columns, I};
        ops_cpu_product(c, k, &map, 1, &rows, O, least(BACK_INPUTS, T - t));
    }
    pool_release(c->pool);
    struct columns_job j = {c, db, NULL, dy, NULL, NULL, T, O};
    if (db) pool_run(c->pool, (O + COLUMNS_A_TASK - 1) / COLUMNS_A_TASK, sum_task, &j);
}

/* ---- Layer norm ---- */

enum { ROWS_A_TASK = 8 };

struct norm_back_job {
    struct ops_cpu *c;
    float *dx, *dw, *db, *stats;
    const float *dy, *x, *w;
    int T, D;
    float eps;
};

static void norm_back_task(void *user, int task, int thread)
{
    (void)thread;
    const struct norm_back_job *j = user;
    const int end = least(j->T, task * ROWS_A_TASK + ROWS_A_TASK);
    for (int t = task * ROWS_A_TASK; t < end; t++) {
        const size_t at = (size_t)t * (size_t)j->D;
        j->c->kernels.layer_norm_back(j->dx + at, j->stats + 2 * (size_t)t, j->dy + at, j->x + at, j->w, j->D, j->eps);
    }
}

static void norm_sums_task(void *user, int task, int thread)
{
    (void)thread;
    const struct norm_back_job *j = user;
    const int at = task * COLUMNS_A_TASK;
    j->c->kernels.layer_norm_sums(j->dw + at, j->db + at, j->dy + at, j->x + at, (size_t)j->D, j->stats, j->T,
                                  least(COLUMNS_A_TASK, j->D - at));
}

static void cpu_layer_norm_back(struct ops *o, float *dx, float *dw, float *db, const float *dy, const float *x,
                                const struct weight *w, float *stats, int T, float eps)
{
    struct norm_back_job j = {ops_cpu(o), dx, dw, db, stats, dy, x, w->data, T, w->O, eps};
    pool_run(j.c->pool, (T + ROWS_A_TASK - 1) / ROWS_A_TASK, norm_back_task, &j);
    if (dw) pool_run(j.c->pool, (j.D + COLUMNS_A_TASK - 1) / COLUMNS_A_TASK, norm_sums_task, &j);
}

/* ---- Element by element ---- */

enum { PIECE = 1 << 14 };

struct pieces_job {
    struct ops_cpu *c;
    float *y, *m, *v;
    const float *x;
    size_t n;
    enum dtype dtype;
    const struct adamw_step *step;
    const struct weight *copy; /* written to, or NULL */
};

static int pieces(size_t n)
{
    return (int)((n + PIECE - 1) / PIECE);
}

/* The piece's first element; its length into n. */
static size_t piece(const struct pieces_job *j, int task, size_t *n)
{
    const size_t at = (size_t)task * PIECE;
    *n = least_size(PIECE, j->n - at);
    return at;
}

static void gelu_task(void *user, int task, int thread)
{
    (void)thread;
    const struct pieces_job *j = user;
    size_t n;
    const size_t at = piece(j, task, &n);
    memcpy(j->y + at, j->x + at, n * sizeof *j->y);
    j->c->kernels.gelu(j->y + at, n);
}

static void cpu_gelu(struct ops *o, float *y, const float *z, size_t n)
{
    struct pieces_job j = {.c = ops_cpu(o), .y = y, .x = z, .n = n};
    pool_run(j.c->pool, pieces(n), gelu_task, &j);
}

static void gelu_back_task(void *user, int task, int thread)
{
    (void)thread;
    const struct pieces_job *j = user;
    size_t n;
    const size_t at = piece(j, task, &n);
    j->c->kernels.gelu_back(j->y + at, j->x + at, n);
}

static void cpu_gelu_back(struct ops *o, float *dy, const float *z, size_t n)
{
    struct pieces_job j = {.c = ops_cpu(o), .y = dy, .x = z, .n = n};
    pool_run(j.c->pool, pieces(n), gelu_back_task, &j);
}

static void add_task(void *user, int task, int thread)
{
    (void)thread;
    const struct pieces_job *j = user;
    size_t n;
    const size_t at = piece(j, task, &n);
    for (size_t i = at; i < at + n; i++)
        j->y[i] += j->x[i];
}

static void cpu_add(struct ops *o, float *y, const float *x, size_t n)
{
    struct pieces_job j = {.c = ops_cpu(o), .y = y, .x = x, .n = n};
    pool_run(j.c->pool, pieces(n), add_task, &j);
}

static void cpu_scale(struct ops *o, float *x, size_t n, float factor)
{
    (void)o; /* of some rows of a low rank: sooner done than told to others */
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

enum { LARGE = 1 << 24 }; /* elements: more than caches hold */

static void zero_task(void *user, int task, int thread)
{
    (void)thread;
    const struct pieces_job *j = user;
    size_t n;
    const size_t at = piece(j, task, &n);
    if (j->n > LARGE)
        j->c->kernels.zero(j->y + at, n);
    else
        memset(j->y + at, 0, n * sizeof *j->y);
}

static void cpu_zero(struct ops *o, float *x, size_t n)
{
    struct pieces_job j = {.c = ops_cpu(o), .y = x, .n = n};
    pool_run(j.c->pool, pieces(n), zero_task, &j);
}

static void round_task(void *user, int task, int thread)
{
    (void)thread;
    const struct pieces_job *j = user;
    size_t n;
    const size_t at = piece(j, task, &n);
    (j->dtype == DTYPE_F16 ? j->c->kernels.round_f16 : j->c->kernels.round_bf16)(j->y + at, n);
}

static void cpu_round(struct ops *o, float *x, size_t n, enum dtype dtype)
{
    assert(dtype == DTYPE_F16 || dtype == DTYPE_BF16);
    struct pieces_job j = {.c = ops_cpu(o), .y = x, .n = n, .dtype = dtype};
    pool_run(j.c->pool, pieces(n), round_task, &j);
}

/* A piece of w, a matrix of a narrow type, from its master's. */
static void narrow(const struct kernels *k, const struct weight *w, size_t at, const float *from, size_t n)
{
    (w->type == WEIGHT_F16 ? k->narrow_f16 : k->narrow_bf16)((uint16_t *)(uintptr_t)w->data + at, from, n);
}

static void check_narrow(const struct weight *w)
{
    assert(w->owned_bytes && (w->type == WEIGHT_F16 || w->type == WEIGHT_BF16));
    (void)w;
}

static void narrow_task(void *user, int task, int thread)
{
    (void)thread;
    const struct pieces_job *j = user;
    size_t n;
    const size_t at = piece(j, task, &n);
    narrow(&j->c->kernels, j->copy, at, j->x + at, n);
}

static void cpu_weight_write(struct ops *o, struct weight *w, const float *values)
{
    check_narrow(w);
    struct pieces_job j = {.c = ops_cpu(o), .x = values, .n = (size_t)w->O * (size_t)w->I, .copy = w};
    pool_run(j.c->pool, pieces(j.n), narrow_task, &j);
}

/* The copy of a piece is made while the piece is in the cache. */
static void adamw_task(void *user, int task, int thread)
{
    (void)thread;
    const struct pieces_job *j = user;
    size_t n;
    const size_t at = piece(j, task, &n);
    j->c->kernels.adamw(j->y + at, j->m + at, j->v + at, j->x + at, n, j->step);
    if (j->copy) narrow(&j->c->kernels, j->copy, at, j->y + at, n);
}

static void cpu_adamw(struct ops *o, float *p, float *m, float *v, const float *grad, size_t n,
                      const struct adamw_step *step, struct weight *copy)
{
    if (copy) check_narrow(copy);
    struct pieces_job j = {.c = ops_cpu(o), .y = p, .m = m, .v = v, .x = grad, .n = n, .step = step, .copy = copy};
    pool_run(j.c->pool, pieces(n), adamw_task, &j);
}

/* ---- Sums of squares ---- */

enum { PARTS = 256 };

struct squares_job {
    struct ops_cpu *c;
    const float *x;
    size_t n;
    double part[PARTS]; /* of consecutive pieces */
};

static void squares_task(void *user, int task, int thread)
{
    (void)thread;
    struct squares_job *j = user;
    const size_t at = (size_t)task * PIECE;
    j->part[task] = j->c->kernels.sum_squares(j->x + at, least_size(PIECE, j->n - at));
}

static double cpu_sum_squares(struct ops *o, const float *x, size_t n)
{
    const size_t most = (size_t)PARTS * PIECE;
    double sum = 0;
    for (size_t at = 0; at < n; at += most) {
        struct squares_job j = {.c = ops_cpu(o), .x = x + at, .n = least_size(most, n - at)};
        const int tasks = pieces(j.n);
        pool_run(j.c->pool, tasks, squares_task, &j);
        for (int i = 0; i < tasks; i++)
            sum += j.part[i];
    }
    return sum;
}

/* ---- Rotary ---- */

struct rotary_back_job {
    struct ops_cpu *c;
    float *x;
    const float *sin, *cos;
    const int32_t *position;
    int T, H, K, R;
};

static void rotary_back_task(void *user, int task, int thread)
{
    const struct rotary_back_job *j = user;
    float *negative = ops_cpu_scratch(j->c, thread);
    const int end = least(j->T, task * ROWS_A_TASK + ROWS_A_TASK);
    for (int t = task * ROWS_A_TASK; t < end; t++) {
        const size_t half = (size_t)j->R / 2, at = (size_t)j->position[t] * half;
        for (size_t i = 0; i < half; i++)
            negative[i] = -j->sin[at + i];
        j->c->kernels.rotary(j->x + (size_t)t * (size_t)j->H * (size_t)j->K, negative, j->cos + at, j->H, j->K, j->R);
    }
}

static void cpu_rotary_back(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T,
                            int H, int K, int R)
{
    struct rotary_back_job j = {ops_cpu(o), x, sin, cos, position, T, H, K, R};
    pool_run(j.c->pool, (T + ROWS_A_TASK - 1) / ROWS_A_TASK, rotary_back_task, &j);
}

/* ---- The ends of the model ---- */

struct embed_back_job {
    float *dwte;
    const float *dx;
    const int32_t *token;
    int T, D;
};

/* Some components of all rows, in order: rows of the same token meet in one task. */
static void embed_back_task(void *user, int task, int thread)
{
    (void)thread;
    const struct embed_back_job *j = user;
    const size_t D = (size_t)j->D, at = (size_t)task * COLUMNS_A_TASK, n = least_size(COLUMNS_A_TASK, D - at);
    for (int t = 0; t < j->T; t++) {
        float *to = j->dwte + (size_t)j->token[t] * D + at;
        const float *from = j->dx + (size_t)t * D + at;
        for (size_t i = 0; i < n; i++)
            to[i] += from[i];
    }
}

static void cpu_embed_back(struct ops *o, float *dwte, const float *dx, const int32_t *token, int T, int D)
{
    struct embed_back_job j = {dwte, dx, token, T, D};
    pool_run(ops_cpu(o)->pool, (D + COLUMNS_A_TASK - 1) / COLUMNS_A_TASK, embed_back_task, &j);
}

struct loss_job {
    struct ops_cpu *c;
    double *loss;
    float *z;
    const int32_t *target;
    int V;
    float scale;
};

static void loss_task(void *user, int t, int thread)
{
    (void)thread;
    const struct loss_job *j = user;
    const size_t V = (size_t)j->V;
    j->loss[t] = j->c->kernels.cross_entropy(j->z + (size_t)t * V, V, (size_t)j->target[t], j->scale);
}

static void cpu_cross_entropy(struct ops *o, double *loss, float *z, const int32_t *target, int T, int V, float scale)
{
    struct loss_job j = {ops_cpu(o), loss, z, target, V, scale};
    pool_run(j.c->pool, T, loss_task, &j);
}

static void cpu_scatter(struct ops *o, float *y, const float *x, const int32_t *index, int n, int D)
{
    (void)o;
    for (int i = 0; i < n; i++)
        memcpy(y + (size_t)index[i] * (size_t)D, x + (size_t)i * (size_t)D, (size_t)D * sizeof *y);
}

const struct ops_train ops_cpu_train = {
    .linear_back = cpu_linear_back,
    .linear_grad = cpu_linear_grad,
    .layer_norm_back = cpu_layer_norm_back,
    .gelu = cpu_gelu,
    .gelu_back = cpu_gelu_back,
    .rotary_back = cpu_rotary_back,
    .attention_back = ops_cpu_attention_back,
    .embed_back = cpu_embed_back,
    .cross_entropy = cpu_cross_entropy,
    .add = cpu_add,
    .scale = cpu_scale,
    .zero = cpu_zero,
    .scatter = cpu_scatter,
    .round = cpu_round,
    .weight_write = cpu_weight_write,
    .sum_squares = cpu_sum_squares,
    .adamw = cpu_adamw,
};
