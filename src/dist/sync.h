// SPDX-License-Identifier: Apache-2.0
/* What happens between the replicas of a stage: one algorithm a file (sync_*.c), one table for all.
 *
 * Either replicas share their steps: their gradients become one, and all take the same optimizer step. Or each takes
 * steps of its own, and what they exchange now and then is parameters (own_steps). The latter begin with steps that are
 * shared (warm-up), while all is far from where it will stay.
 *
 * All calls are made by all replicas of a stage, in the same order. Vectors are on the host. */
#ifndef GPTJT_DIST_SYNC_H
#define GPTJT_DIST_SYNC_H

#include "net/collectives.h"
#include "train/team.h"

/* Where an algorithm works. All borrowed but for what recipe says. */
struct sync_context {
    const struct recipe *recipe;
    struct group *peers; /* the replicas of this stage */
    struct params *params;
    struct optimizer *optimizer;
    size_t begin, end; /* the vector's values that are synchronised: all but an embedding that another stage owns */
};

struct sync;

struct sync_ops {
    bool own_steps;

    /* The parameters [*begin, *end) that a replica updates; NULL: all. */
    void (*updates)(const struct params *p, const struct group *peers, int *begin, int *end);

    enum status (*create)(struct sync **out, const struct sync_context *c);
    void (*free)(struct sync *s); /* accepts NULL */

    /* A step begins; NULL: nothing. */
    enum status (*begin)(struct sync *s, int64_t step);

    /* A step's gradients have been made complete from value `from` of the vector on, or nothing new: called while the
     * backward pass goes on. May be NULL. */
    void (*progress)(struct sync *s, int64_t step, size_t from);

    /* The gradients are complete; makes them one where the step is shared. */
    enum status (*combine)(struct sync *s, int64_t step);

    /* As in team.h; NULL: nothing. */
    enum status (*before_update)(struct sync *s, int64_t step, double *scale);
    enum status (*after_update)(struct sync *s, int64_t step, double learning_rate);

    /* Whether replicas exchange something in this step, so that each knows what the others have done. */
    bool (*meets)(const struct sync *s, int64_t step);

    /* The rest as in team.h; NULL: nothing, and the model is the parameters. */
    enum status (*model)(struct sync *s, const float **values);
    int (*vectors)(struct sync *s, struct team_vector *vectors);
    enum status (*restore)(struct sync *s, bool known);

    /* What this replica sends in a step: the formula, which the transport's count must agree with. Also when the run
     * has ended and its parameters are gone. */
    size_t (*bytes)(const struct sync *s, int64_t step);
};

/* An implementation has it as its first member. */
struct sync {
    const struct sync_ops *ops;
    struct sync_context c;
};

/* By enum train_sync. */
const struct sync_ops *sync_ops(enum train_sync which);

extern const struct sync_ops sync_allreduce, sync_sharded, sync_proxskip, sync_diloco, sync_cocktail;

/* Whether replicas take this step together. */
bool sync_shares(const struct recipe *r, int64_t step);

#endif
