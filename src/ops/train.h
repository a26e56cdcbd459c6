// SPDX-License-Identifier: Apache-2.0
/* What a backend that can train does besides: the backward of every operation, and the optimizer's arithmetic. Letters
 * and conventions are those of ops.h: device addresses, row-major fp32, nothing fails. "+=" adds to its output, which
 * is otherwise overwritten; dy is the gradient of the loss with respect to y. */
#ifndef GPTJT_OPS_TRAIN_H
#define GPTJT_OPS_TRAIN_H

#include "ops/ops.h"

/* The backward of one of several linear maps y = x w^T + b. Where w has a gradient and x is given, linear_grad(); then,
 * where dx is given, linear_back(). */
struct linear_back_map {
    const struct weight *w, *b; /* b may be NULL */
    float *dx, *dy, *x;
    enum epilogue e, dw_e; /* of dx, and of w's gradient: EPILOGUE_STORE or _ADD */
    /* [T][O], [T][I], or NULL: first dy becomes gelu_back() of it, and x gelu(). That may happen on the way to the
     * product, so dy, which no other map may have then, and x are undefined afterwards. */
    const float *dy_gelu, *x_gelu;
};

struct ops_train {
    /* dx[T][I] = (EPILOGUE_ADD: +=) dy[T][O] w; w is not quantised. */
    void (*linear_back)(struct ops *o, float *dx, const float *dy, const struct weight *w, int T, enum epilogue e);

    /* dw[O][I] = (EPILOGUE_ADD: +=) dy^T x, db[O] += the sum of dy's rows; db may be NULL. x [T][I], dy [T][O]. */
    void (*linear_grad)(struct ops *o, float *dw, float *db, const float *dy, const float *x, int T, int O, int I,
                        enum epilogue e);

    /* n maps in their order; no dx is a dy or x. What several have in common is prepared for them once. NULL: each by
     * linear_grad() and linear_back(). */
    void (*linear_back_group)(struct ops *o, const struct linear_back_map *maps, int n, int T);

    /* linear() of g = gelu(z), z [T][I]; g is undefined afterwards. NULL: by gelu() and linear(). */
    void (*gelu_linear)(struct ops *o, float *y, float *g, const float *z, const struct weight *w,
                        const struct weight *b, int T, enum epilogue e);

    /* dx[T][D] +=, dw[D] +=, db[D] += (both or neither NULL); x is the norm's input, stats [T][2] scratch. */
    void (*layer_norm_back)(struct ops *o, float *dx, float *dw, float *db, const float *dy, const float *x,
                            const struct weight *w, float *stats, int T, float eps);

    void (*gelu)(struct ops *o, float *y, const float *z, size_t n);       /* y[n] = gelu(z) */
    void (*gelu_back)(struct ops *o, float *dy, const float *z, size_t n); /* dy[n] = dy gelu'(z) */

    /* The rotary's inverse rotation, which is its backward. */
    void (*rotary_back)(struct ops *o, float *x, const float *sin, const float *cos, const int32_t *position, int T,
                        int H, int K, int R);

    /* Rows first .. first + T are one whole sequence of at most ops_cpu_limits.sequence rows, positions 0 .. T-1, K/V
     * fp32. y, q, lse as attention() made and took them, dy, dq, dk, dv [T][H][K], lse [T][H]. */
    void (*attention_back)(struct ops *o, float *dq, float *dk, float *dv, const float *dy, const float *y,
                           const float *q, const float *lse, const struct kv_pages *kv, const struct batch *batch,
                           int first, int T, int H, int K);

    /* dwte[V][D] += dx[T][D] at the rows of the tokens. */
    void (*embed_back)(struct ops *o, float *dwte, const float *dx, const int32_t *token, int T, int D);

    /* z[T][V], logits, become (softmax(z) - onehot(target[t])) * scale; loss[T], on the host, log sum exp(z) -
     * z[target]. */
    void (*cross_entropy)(struct ops *o, double *loss, float *z, const int32_t *target, int T, int V, float scale);

    void (*add)(struct ops *o, float *y, const float *x, size_t n); /* y[n] += x */
    void (*scale)(struct ops *o, float *x, size_t n, float factor); /* x[n] *= factor */
    void (*zero)(struct ops *o, float *x, size_t n);                /* x[n] = 0 */
    void (*scatter)(struct ops *o, float *y, const float *x, const int32_t *index, int n,
                    int D); /* row index[i] of y = x[i] */

    /* x[n] rounded to fp16 or bf16 and back. */
    void (*round)(struct ops *o, float *x, size_t n, enum dtype dtype);

    /* A matrix of a narrow type from its master values[O][I]; w's data are owned by it. */
    void (*weight_write)(struct ops *o, struct weight *w, const float *values);

    /* Sum of x[i]^2; infinite or NaN when an element is. The same whatever the number of threads. */
    double (*sum_squares)(struct ops *o, const float *x, size_t n);

    /* copy, if there is one, is a matrix of a narrow type whose master is p[n]: it follows, as by weight_write(). */
    void (*adamw)(struct ops *o, float *p, float *m, float *v, const float *grad, size_t n,
                  const struct adamw_step *step, struct weight *copy);
};

static inline void ops_linear_back_group(struct ops *o, const struct linear_back_map *maps, int n, int T)
{
    const struct ops_train *train = o->train;
    if (train->linear_back_group) {
        train->linear_back_group(o, maps, n, T);
        return;
    }
    for (const struct linear_back_map *m = maps; m < maps + n; m++) {
        const struct weight *w = m->w;
        if (m->dy_gelu) train->gelu_back(o, m->dy, m->dy_gelu, (size_t)T * (size_t)w->O);
        if (m->x && w->grad) {
            if (m->x_gelu) train->gelu(o, m->x, m->x_gelu, (size_t)T * (size_t)w->I);
            train->linear_grad(o, w->grad, m->b ? m->b->grad : NULL, m->dy, m->x, T, w->O, w->I, m->dw_e);
        }
        if (m->dx) train->linear_back(o, m->dx, m->dy, w, T, m->e);
    }
}

static inline void ops_gelu_linear(struct ops *o, float *y, float *g, const float *z, const struct weight *w,
                                   const struct weight *b, int T, enum epilogue e)
{
    if (o->train->gelu_linear) {
        o->train->gelu_linear(o, y, g, z, w, b, T, e);
        return;
    }
    o->train->gelu(o, g, z, (size_t)T * (size_t)w->I);
    o->fn->linear(o, y, g, w, b, T, e);
}

#endif
