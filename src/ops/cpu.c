// SPDX-License-Identifier: Apache-2.0
/* The CPU backend's table, its scratch, and the operations that are one loop over rows. */
#include "ops/cpu.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void cpu_write(struct ops *o, void *to, const void *host, size_t bytes)
{
    (void)o;
    memcpy(to, host, bytes);
}

static void cpu_read(struct ops *o, void *host, const void *from, size_t bytes)
{
    (void)o;
    memcpy(host, from, bytes);
}

static void cpu_embed(struct ops *o, float *y, const struct weight *wte, const int32_t *token, int T)
{
    for (int t = 0; t < T; t++)
        ops_cpu_weight_row(&ops_cpu(o)->kernels, y + (size_t)t * (size_t)wte->I, wte, token[t]);
}

/* Rows share nothing, so a few of them make a task. */
enum { ROWS_A_TASK = 8 };

struct norm_job {
    struct ops_cpu *c;
    float *y;
    const float *x, *w, *b;
    int T, D;
    float eps;
};

static void norm_task(void *user, int task, int thread)
{
    (void)thread;
    const struct norm_job *j = user;
    const int end = task * ROWS_A_TASK + ROWS_A_TASK;
    for (int t = task * ROWS_A_TASK; t < end && t < j->T; t++)
        j->c->kernels.layer_norm(j->y + (size_t)t * (size_t)j->D, j->x + (size_t)t * (size_t)j->D, j->w, j->b, j->D,
                                 j->eps);
}

static void cpu_layer_norm(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b,
                           int T, float eps)
{
    assert(w->type == WEIGHT_F32 && b->type == WEIGHT_F32);
    struct norm_job j = {ops_cpu(o), y, x, w->data, b->data, T, w->O, eps};
    pool_run(j.c->pool, (T + ROWS_A_TASK - 1) / ROWS_A_TASK, norm_task, &j);
}

struct rotary_job {
    struct ops_cpu *c;
    float *x;
    const float *sin, *cos;
    const int32_t *position;
    int T, H, K, R;
};

static void rotary_task(void *user, int task, int thread)
{
    (void)thread;
    const struct rotary_job *j = user;
    const int end = task * ROWS_A_TASK + ROWS_A_TASK;
    for (int t = task * ROWS_A_TASK; t < end && t < j->T; t++) {
        const size_t at = (size_t)j->position[t] * ((size_t)j->R / 2);
        j->c->kernels.rotary(j->x + (size_t)t * (size_t)j->H * (size_t)j->K, j->sin + at, j->cos + at, j->H, j->K,
                             j->R);
    }
}

static void cpu_rotary(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T,
                       int H, int K, int R)
{
    struct rotary_job j = {ops_cpu(o), x, sin, cos, position, T, H, K, R};
    pool_run(j.c->pool, (T + ROWS_A_TASK - 1) / ROWS_A_TASK, rotary_task, &j);
}

static void cpu_gather(struct ops *o, float *y, const float *x, const int32_t *index, int n, int D)
{
    (void)o;
    for (int i = 0; i < n; i++)
        memcpy(y + (size_t)i * (size_t)D, x + (size_t)index[i] * (size_t)D, (size_t)D * sizeof *y);
}

static const size_t turned_bytes = sizeof(float) * PRODUCT_ROWS * BACK_INPUTS;

static void cpu_close(struct ops *o)
{
    struct ops_cpu *c = ops_cpu(o);
    ops_cpu_free(o, c->scratch, (size_t)pool_threads(c->pool) * c->scratch_bytes);
    pool_free(c->pool);
    ops_cpu_free(o, c->x, c->x_bytes);
    ops_cpu_free(o, c->turned, turned_bytes);
    ops_cpu_free(o, c->panels, c->panels_bytes);
    free(c);
}

static const struct ops_table cpu_table = {
    .name = "cpu",
    .close = cpu_close,
    .alloc = ops_cpu_alloc,
    .free = ops_cpu_free,
    .write = cpu_write,
    .read = cpu_read,
    .copy = cpu_write,
    .weight_bind = ops_cpu_weight_bind,
    .weight_free = ops_cpu_weight_free,
    .embed = cpu_embed,
    .layer_norm = cpu_layer_norm,
    .linear = ops_cpu_linear,
    .linear_group = ops_cpu_linear_group,
    .rotary = cpu_rotary,
    .kv_store = ops_cpu_kv_store,
    .attention = ops_cpu_attention,
    .gather = cpu_gather,
};

static size_t greatest(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* A thread needs what the most demanding operation does. */
static size_t scratch_bytes(const struct kernels *k, struct ops_cpu_limits limits)
{
    const bool trains = limits.sequence > 0;
    size_t floats = ops_cpu_attention_scratch(limits.head);
    if (trains) floats = greatest(floats, ops_cpu_attention_back_scratch(limits.head, limits.sequence));
    return (greatest(ops_cpu_linear_scratch_bytes(k, trains), floats * sizeof(float)) + 63) / 64 * 64;
}

static size_t x_bytes(const struct kernels *k, struct ops_cpu_limits limits)
{
    const bool trains = limits.sequence > 0;
    return ops_cpu_linear_x_bytes(k, trains && limits.inputs < BACK_INPUTS ? BACK_INPUTS : limits.inputs);
}

size_t ops_cpu_bytes(enum cpu_level level, enum compute_type compute, int n_threads, struct ops_cpu_limits limits)
{
    struct kernels k;
    kernels_init(&k, level);
    const size_t training = turned_bytes + ops_cpu_panels_bytes(&k, compute, limits.inputs);
    return x_bytes(&k, limits) + (size_t)n_threads * scratch_bytes(&k, limits) + (limits.sequence > 0 ? training : 0);
}

/* What only training needs. */
static enum status alloc_training(struct ops_cpu *c, int max_inputs)
{
    void *turned = NULL;
    TRY(ops_cpu_alloc(&c->base, &turned, turned_bytes));
    c->turned = turned;
    c->panels_bytes = ops_cpu_panels_bytes(&c->kernels, c->compute, max_inputs);
    TRY(ops_cpu_alloc(&c->base, &c->panels, c->panels_bytes));
    c->base.train = &ops_cpu_train;
    return OK;
}

enum status ops_cpu_create(struct ops **out, enum cpu_level level, enum compute_type compute, int n_threads,
                           struct ops_cpu_limits limits)
{
    struct ops_cpu *c = calloc(1, sizeof *c);
    if (!c) return fail(E_NOMEM, "cpu backend: out of memory");
    c->base.fn = &cpu_table;
    c->base.block_rows = OPS_CPU_BLOCK_ROWS;
    c->compute = compute;
    kernels_init(&c->kernels, level);

    enum status s = pool_create(&c->pool, n_threads);
    if (s != OK) goto free_c;

    c->scratch_bytes = scratch_bytes(&c->kernels, limits);
    s = ops_cpu_alloc(&c->base, &c->scratch, (size_t)n_threads * c->scratch_bytes);
    if (s != OK) goto free_pool;
    c->x_bytes = x_bytes(&c->kernels, limits);
    s = ops_cpu_alloc(&c->base, &c->x, c->x_bytes);
    if (s != OK) goto free_scratch;
    if (limits.sequence > 0) s = alloc_training(c, limits.inputs);
    if (s != OK) goto free_training;
    *out = &c->base;
    return OK;

free_training:
    ops_cpu_free(&c->base, c->panels, c->panels_bytes);
    ops_cpu_free(&c->base, c->turned, turned_bytes);
    ops_cpu_free(&c->base, c->x, c->x_bytes);
free_scratch:
    ops_cpu_free(&c->base, c->scratch, (size_t)n_threads * c->scratch_bytes);
free_pool:
    pool_free(c->pool);
free_c:
    free(c);
    return s;
}
