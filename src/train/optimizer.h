// SPDX-License-Identifier: Apache-2.0
/* AdamW over all parameters, with its moments in fp32. */
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
    float *m, *v;    /* [params->n_values] on the device: means of the gradient and of its square */
    int64_t updates; /* so far */
};

enum status optimizer_create(struct optimizer **out, struct params *params, const struct optimizer_settings *set);
void optimizer_free(struct optimizer *o); /* accepts NULL */
size_t optimizer_bytes(size_t n_values);

/* The Euclidean norm of unit * gradient; infinite or NaN when an element of the gradient is. */
double optimizer_grad_norm(const struct optimizer *o, double unit);

/* One update with unit * gradient, clipped, whose norm is norm. The model's copies follow. */
void optimizer_update(struct optimizer *o, double unit, double norm, double learning_rate);

#endif
