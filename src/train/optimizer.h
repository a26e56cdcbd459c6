// SPDX-License-Identifier: Apache-2.0
/* AdamW over all parameters or a run of them, with its moments in fp32. */
#ifndef GPTJT_TRAIN_OPTIMIZER_H
#define GPTJT_TRAIN_OPTIMIZER_H

#include "model/params.h"

struct optimizer_settings {
    double beta1, beta2, epsilon, weight_decay;
    double max_grad_norm; /* of the whole vector; 0: no clipping */
};

struct optimizer {
    struct params *params; /* borrowed */
    struct optimizer_settings set;
    int first, last; /* of params, which it updates */
    size_t begin;    /* the first one's place in the vector */
    size_t n_values; /* of all of them */
    float *m, *v;    /* [n_values] on the device: means of the gradient and of its square */
    int64_t updates; /* so far */
    int64_t frozen;  /* of the variance v, which stays what it was after so many updates; 0: it never does */
};

enum status optimizer_create(struct optimizer **out, struct params *params, int first, int last,
                             const struct optimizer_settings *set);
void optimizer_free(struct optimizer *o); /* accepts NULL */
size_t optimizer_bytes(size_t n_values);

/* The Euclidean norm of unit * gradient of all params; infinite or NaN when an element of the gradient is. */
double optimizer_grad_norm(const struct optimizer *o, double unit);

/* unit, and less where unit * gradient has a norm above the largest allowed. */
double optimizer_clip(const struct optimizer *o, double unit, double norm);

/* By which v is divided after the last update, so that it is not biased towards its beginning. */
double optimizer_correction2(const struct optimizer *o);

/* One update with scale * gradient. The model's copies follow. */
void optimizer_update(struct optimizer *o, double scale, double learning_rate);

#endif
