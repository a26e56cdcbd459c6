// SPDX-License-Identifier: Apache-2.0
/* The CUDA backend's training table, and what of it is products of matrices or begins on the host. */
#include "ops/train.h"

#include <assert.h>
#include <stdlib.h>

#include "ops/cuda/cuda.h"

/* ---- Linear maps ---- */

/* What a scratch memory holds during a call: rows that are narrowed. */
struct narrowed {
    const float *of, *gelu; /* NULL: nothing */
    size_t n;
    enum cuda_factor as;
};

static bool holds(struct narrowed *s, const float *of, const float *gelu, size_t n, enum cuda_factor as)
{
    if (s->of == of && s->gelu == gelu && s->n == n && s->as == as) return true;
    *s = (struct narrowed){of, gelu, n, as};
    return false;
}

/* x[n], or gelu of what is given for it, as a product takes it: itself, or narrowed. */
static const void *x_factor(struct ops_cuda *c, struct narrowed *s, float *x, const float *gelu, size_t n,
                            enum cuda_factor f)
{
    if (f == FACTOR_F32) {
        if (gelu) cuda_gelu(&c->base, x, gelu, n);
        return x;
    }
    void *to = cuda_scratch(c, &c->x, &c->x_bytes, n * cuda_factor_bytes(f));
    if (holds(s, x, gelu, n, f)) return to;
    if (gelu)
        cuda_gelu_narrow(c, to, gelu, n, f);
    else
        cuda_narrow(c, to, x, n, f);
    return to;
}

/* The same of dy[T][O], without gelu where it is not narrowed. With db, which needs a pass over it anyway, db += the
 * sum of its rows. */
static const void *dy_factor(struct ops_cuda *c, struct narrowed *s, float *db, const float *dy, const float *gelu,
                             int T, int O, enum cuda_factor f)
{
    const size_t n = (size_t)T * (size_t)O;
    if (f == FACTOR_F32) {
        if (db) cuda_rows_sum(c, db, dy, T, O);
        return dy;
    }
    void *to = cuda_scratch(c, &c->dy, &c->dy_bytes, n * cuda_factor_bytes(f));
    if (holds(s, dy, gelu, n, f) && !db) return to;
    if (gelu || db)
        cuda_narrow_rows(c, to, db, dy, gelu, T, O, f);
    else
        cuda_narrow(c, to, dy, n, f);
    return to;
}

/* dx[T][I] = dy[T][O] w[O][I], as both lie; dy as a factor of type f. The sum over O goes in panels where w has to be
 * unpacked. */
static void product_back(struct ops_cuda *c, float *dx, const char *dy, const struct weight *w, int T, enum epilogue e,
                         enum cuda_factor f)
{
    const int panel = cuda_panel(w, f);
    for (int o = 0; o < w->O; o += panel) {
        const int n = w->O - o < panel ? w->O - o : panel;
        const struct cuda_product p = {.factor = f,
                                       .m = T,
                                       .n = w->I,
                                       .k = n,
                                       .a = dy + (size_t)o * cuda_factor_bytes(f),
                                       .b = cuda_weights(c, w, o, n, f),
                                       .lda = w->O,
                                       .ldb = w->I,
                                       .ldy = w->I,
                                       .y = dx,
                                       .beta = o || e == EPILOGUE_ADD ? 1 : 0};
        cuda_blas_product(c, &p);
    }
}

/* dw[O][I] = dy[T][O]^T x[T][I], both as factors of type f. */
static void product_grad(struct ops_cuda *c, float *dw, const void *dy, const void *x, int T, int O, int I,
                         enum epilogue e, enum cuda_factor f)
{
    const struct cuda_product p = {.factor = f,
                                   .m = O,
                                   .n = I,
                                   .k = T,
                                   .a = dy,
                                   .b = x,
                                   .transpose_a = true,
                                   .lda = O,
                                   .ldb = I,
                                   .ldy = I,
                                   .y = dw,
                                   .beta = e == EPILOGUE_ADD ? 1 : 0};
    cuda_blas_product(c, &p);
}

/* No weight says what type to compute gradients of weights in: bf16 it is, whose range they need. */
static enum cuda_factor grad_factor(const struct ops_cuda *c)
{
    return c->compute == COMPUTE_BF16 ? FACTOR_BF16 : FACTOR_F32;
}

static void linear_back_group(struct ops *o, const struct linear_back_map *maps, int n, int T)
{
    struct ops_cuda *c = ops_cuda(o);
    struct narrowed in_dy = {0}, in_x = {0};
    for (const struct linear_back_map *m = maps; m < maps + n; m++) {
        const struct weight *w = m->w;
        const enum cuda_factor grad = grad_factor(c), back = cuda_factor_of(c, w->type);
        const bool weights = m->x && w->grad, wide = (weights && grad == FACTOR_F32) || (m->dx && back == FACTOR_F32);
        const float *gelu = wide ? NULL : m->dy_gelu;
        if (wide && m->dy_gelu) cuda_gelu_back(o, m->dy, m->dy_gelu, (size_t)T * (size_t)w->O);
        if (weights) {
            const void *x = x_factor(c, &in_x, m->x, m->x_gelu, (size_t)T * (size_t)w->I, grad);
            const void *dy = dy_factor(c, &in_dy, m->b ? m->b->grad : NULL, m->dy, gelu, T, w->O, grad);
            product_grad(c, w->grad, dy, x, T, w->O, w->I, m->dw_e, grad);
        }
        if (m->dx) product_back(c, m->dx, dy_factor(c, &in_dy, NULL, m->dy, gelu, T, w->O, back), w, T, m->e, back);
    }
}

static void linear_back(struct ops *o, float *dx, const float *dy, const struct weight *w, int T, enum epilogue e)
{
    struct ops_cuda *c = ops_cuda(o);
    struct narrowed nothing = {0};
    const enum cuda_factor f = cuda_factor_of(c, w->type);
    product_back(c, dx, dy_factor(c, &nothing, NULL, dy, NULL, T, w->O, f), w, T, e, f);
}

static void linear_grad(struct ops *o, float *dw, float *db, const float *dy, const float *x, int T, int O, int I,
                        enum epilogue e)
{
    const struct weight w = {.O = O, .I = I, .grad = dw}, b = {.grad = db};
    const struct linear_back_map m = {
        .w = &w, .b = &b, .dy = (float *)(uintptr_t)dy, .x = (float *)(uintptr_t)x, .dw_e = e};
    linear_back_group(o, &m, 1, T);
}

static void gelu_linear(struct ops *o, float *y, float *g, const float *z, const struct weight *w,
                        const struct weight *b, int T, enum epilogue e)
{
    struct ops_cuda *c = ops_cuda(o);
    struct narrowed nothing = {0};
    const size_t n = (size_t)T * (size_t)w->I;
    const enum cuda_factor f = cuda_factor_of(c, w->type);
    if (f == FACTOR_F32 || T <= cuda_stream_rows(c, w->type, w->I)) {
        cuda_gelu(o, g, z, n);
        cuda_linear(o, y, g, w, b, T, e);
        return;
    }
    const struct linear_map m = {y, w, b, e};
    cuda_linear_rows(c, &m, x_factor(c, &nothing, g, z, n, f), T, f);
}

/* ---- Embedding ---- */

static int by_token_then_row(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Rows of the same token have to meet in one block, which adds them in their order, as the CPU does. So they are
 * sorted here; what the device gets are the tokens, where the rows of each begin (and the last end), and the rows. */
static void embed_back_some(struct ops_cuda *c, float *dwte, const float *dx, const int32_t *token, int T, int D)
{
    uint64_t sorted[CUDA_BLOCK_ROWS];
    int32_t list[3 * CUDA_BLOCK_ROWS + 1];
    int tokens = 0;
    for (int t = 0; t < T; t++)
        sorted[t] = (uint64_t)(uint32_t)token[t] << 32 | (uint32_t)t;
    qsort(sorted, (size_t)T, sizeof *sorted, by_token_then_row);
    for (int i = 0; i < T; i++)
        tokens += !i || sorted[i] >> 32 != sorted[i - 1] >> 32;
    int32_t *begin = list + tokens, *row = begin + tokens + 1;
    for (int i = 0, n = 0; i < T; i++) {
        if (!i || sorted[i] >> 32 != sorted[i - 1] >> 32) {
            list[n] = (int32_t)(sorted[i] >> 32);
            begin[n++] = i;
        }
        row[i] = (int32_t)(uint32_t)sorted[i];
    }
    begin[tokens] = T;
    const size_t n = 2 * (size_t)tokens + 1 + (size_t)T;
    cuda_embed_rows_add(c, dwte, dx, cuda_mirror(c, list, n * sizeof *list), tokens, D);
}

static void embed_back(struct ops *o, float *dwte, const float *dx, const int32_t *token, int T, int D)
{
    for (int t = 0; t < T; t += CUDA_BLOCK_ROWS)
        embed_back_some(ops_cuda(o), dwte, dx + (size_t)t * (size_t)D, token + t,
                        T - t < CUDA_BLOCK_ROWS ? T - t : CUDA_BLOCK_ROWS, D);
}

const struct ops_train cuda_train = {
    .linear_back = linear_back,
    .linear_grad = linear_grad,
    .linear_back_group = linear_back_group,
    .gelu_linear = gelu_linear,
    .layer_norm_back = cuda_layer_norm_back,
    .gelu = cuda_gelu,
    .gelu_back = cuda_gelu_back,
    .rotary_back = cuda_rotary_back,
    .attention_back = cuda_attention_back,
    .embed_back = embed_back,
    .cross_entropy = cuda_cross_entropy,
    .add = cuda_add,
    .scale = cuda_scale,
    .zero = cuda_zero,
    .scatter = cuda_scatter,
    .round = cuda_round,
    .weight_write = cuda_weight_write,
    .sum_squares = cuda_sum_squares,
    .adamw = cuda_adamw,
};
