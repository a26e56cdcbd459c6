// SPDX-License-Identifier: Apache-2.0
/* The outer optimizer of DiLoCo (Douillard et al. 2023, arXiv:2311.08105) and of what came after it. Replicas take
 * steps of their own from theta, which all of them know; how far they have come, theta - x, in the mean of all
 * replicas, is the gradient D of SGD with Nesterov momentum:
 *
 *     u = mu u + D        theta = theta - lr (D + mu u)
 *
 * It goes part by part: the whole model, or some layers of it at a time. In a message a part is what it is in the
 * vector of parameters, with the zeros that lie between them; these are never read back, so they stay zeros. */
#ifndef GPTJT_DIST_OUTER_H
#define GPTJT_DIST_OUTER_H

#include "dist/sync.h"

/* Values [at, at + n) of the vector are those of the part from begin on. */
struct outer_piece {
    size_t at, n, begin;
};

struct outer_part {
    struct outer_piece *pieces; /* [n_pieces], one a parameter */
    int n_pieces;
    size_t n; /* 0 where this stage has no layer of it */
};

struct outer {
    struct sync_context c;
    float learning_rate, momentum_decay; /* lr, mu */
    float *theta, *momentum;             /* [n_values] */
    float *delta;                        /* [most]: of the part at hand */
    struct outer_piece *pieces;          /* of all parts */
    struct outer_part *parts;            /* [n_parts] */
    int n_parts;
    size_t most; /* values of the largest part */
    bool dense;  /* the last step was, so the parameters are everybody's */
};

/* Layer i is in part i modulo n_parts; an embedding goes with the first layer, the head with the last. */
enum status outer_open(struct outer *o, const struct sync_context *c, int n_parts);
void outer_close(struct outer *o); /* accepts a zero-initialised one */

/* What it allocates, where the largest part has that many values. */
size_t outer_memory(const struct sync_shape *s, size_t most);

/* From the parameters as they are; all of the algorithm's vectors (sync_ops.vectors) become zero but theta. */
void outer_begin_anew(struct outer *o, struct sync *s);

/* theta and momentum, for a checkpoint. Returns how many. */
int outer_vectors(const struct outer *o, struct team_vector *out);

/* Behind each step: with the last dense one it begins. */
void outer_follow(struct outer *o, struct sync *s, int64_t step);

/* Where the whole model is synchronised at once: H steps after the last dense one, or the beginning, and every H from
 * there. */
bool outer_due(const struct recipe *r, int64_t step);

/* theta, or the parameters after a dense step: what is shown as the model. */
float *outer_model(const struct outer *o);

/* delta [n] = theta - x of a part, zeros in between. */
void outer_take(struct outer *o, int part);

/* delta += decay times what is left of a part from before, left [n_values]. */
void outer_add_left(struct outer *o, int part, const float *left, float decay);

/* The optimizer's step, with delta as D. */
void outer_step(struct outer *o, int part);

/* x = (1 - mix) x + mix theta. */
void outer_adopt(struct outer *o, int part, float mix);

#endif
