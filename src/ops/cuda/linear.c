// SPDX-License-Identifier: Apache-2.0
/* Linear maps: few rows read the weights as they are stored; many rows are a product of matrices in the type that
 * cuda_factor_of() says, for which weights of another type are unpacked a panel of outputs at a time. */
#include "ops/cuda/cuda.h"

static bool is_stored_as(enum weight_type w, enum cuda_factor f)
{
    return (w == WEIGHT_F32 && f == FACTOR_F32) || (w == WEIGHT_F16 && f == FACTOR_F16) ||
           (w == WEIGHT_BF16 && f == FACTOR_BF16);
}

enum cuda_factor cuda_factor_of(const struct ops_cuda *c, enum weight_type w)
{
    if (c->compute == COMPUTE_FP32 || (c->compute == COMPUTE_INT8 && w == WEIGHT_F32)) return FACTOR_F32;
    return w == WEIGHT_BF16 || w == WEIGHT_F32 ? FACTOR_BF16 : FACTOR_F16;
}

int cuda_panel(const struct weight *w, enum cuda_factor f)
{
    const int most = CUDA_PANEL / w->I / QUANT_STRIP * QUANT_STRIP;
    if (is_stored_as(w->type, f)) return w->O;
    return most < QUANT_STRIP ? QUANT_STRIP : most;
}

const void *cuda_weights(struct ops_cuda *c, const struct weight *w, int o, int n, enum cuda_factor f)
{
    if (is_stored_as(w->type, f)) return (const char *)w->data + weight_bytes(w->type, o, w->I);
    void *to = cuda_scratch(c, &c->panel, &c->panel_bytes, (size_t)n * (size_t)w->I * cuda_factor_bytes(f));
    cuda_unpack(c, to, w, o, n, f);
    return to;
}

/* x as a product with factors of type f takes it: itself, or narrowed in c->x. */
static const void *factor_rows(struct ops_cuda *c, const float *x, int T, int I, enum cuda_factor f)
{
    if (f == FACTOR_F32) return x;
    void *narrow = cuda_scratch(c, &c->x, &c->x_bytes, (size_t)T * (size_t)I * cuda_factor_bytes(f));
    cuda_narrow(c, narrow, x, (size_t)T * (size_t)I, f);
    return narrow;
}

void cuda_linear_rows(struct ops_cuda *c, const struct linear_map *m, const void *x, int T, enum cuda_factor f)
{
    const struct weight *w = m->w;
    const int O = w->O, I = w->I, panel = cuda_panel(w, f);
    const float *bias = m->b ? m->b->data : NULL;
    for (int o = 0; o < O; o += panel) {
        const int n = O - o < panel ? O - o : panel;
        const struct cuda_product p = {.factor = f,
                                       .m = T,
                                       .n = n,
                                       .k = I,
                                       .a = x,
                                       .b = cuda_weights(c, w, o, n, f),
                                       .transpose_b = true,
                                       .lda = I,
                                       .ldb = I,
                                       .ldy = O,
                                       .y = m->y + o,
                                       .beta = m->e == EPILOGUE_ADD || m->e == EPILOGUE_ADD_GELU ? 1 : 0,
                                       .bias = bias ? bias + o : NULL,
                                       .gelu = m->e == EPILOGUE_GELU};
        cuda_blas_product(c, &p);
    }
    if (m->e == EPILOGUE_ADD_GELU) cuda_finish(c, m->y, NULL, T, O, O, true);
}

void cuda_linear_group(struct ops *o, const struct linear_map *maps, int n, const float *x, int T)
{
    struct ops_cuda *c = ops_cuda(o);
    const size_t rows_bytes = (size_t)T * sizeof(float);
    struct span touched[LINEAR_GROUP + 1] = {{(const char *)x, rows_bytes * (size_t)maps->w->I}};
    for (int i = 0; i < n; i++)
        touched[1 + i] = (struct span){(const char *)maps[i].y, rows_bytes * (size_t)maps[i].w->O};
    pthread_mutex_lock(&c->lock);
    cuda_check(c, touched, n + 1);
    for (int i = 0, same; i < n; i += same) { /* maps of one type share what is made of x */
        const struct weight *w = maps[i].w;
        for (same = 1; i + same < n && maps[i + same].w->type == w->type; same++) {
        }
        if (T <= cuda_stream_rows(c, w->type, w->I)) {
            cuda_stream(c, maps + i, same, x, T, NULL);
            continue;
        }
        const enum cuda_factor f = cuda_factor_of(c, w->type);
        const void *rows = factor_rows(c, x, T, w->I, f);
        for (int k = i; k < i + same; k++)
            cuda_linear_rows(c, &maps[k], rows, T, f);
    }
    cuda_checked(c);
    pthread_mutex_unlock(&c->lock);
}

void cuda_linear(struct ops *o, float *y, const float *x, const struct weight *w, const struct weight *b, int T,
                 enum epilogue e)
{
    const struct linear_map m = {y, w, b, e};
    cuda_linear_group(o, &m, 1, x, T);
}

void cuda_norm_group(struct ops *o, const struct linear_map *maps, int n, float *a, const float *x,
                     const struct weight *w, const struct weight *b, int T, float eps)
{
    struct ops_cuda *c = ops_cuda(o);
    const enum weight_type type = maps->w->type;
    bool together = T <= cuda_stream_rows(c, type, maps->w->I) && maps->w->I <= CUDA_NORM_INPUTS;
    for (int i = 1; i < n; i++)
        together = together && maps[i].w->type == type;
    if (!together) {
        cuda_layer_norm(o, a, x, w, b, T, eps);
        cuda_linear_group(o, maps, n, a, T);
        return;
    }
    const struct cuda_norm before = {w, b, eps};
    pthread_mutex_lock(&c->lock);
    cuda_join(c);
    cuda_stream(c, maps, n, x, T, &before);
    pthread_mutex_unlock(&c->lock);
}
