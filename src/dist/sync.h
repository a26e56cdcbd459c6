// SPDX-License-Identifier: Apache-2.0
/* What happens between the replicas of a stage: one algorithm a file (sync_*.c), one table for all.
 *
 * Either replicas share their steps: their gradients become one, and all take the same optimizer step. Or each takes
 * steps of its own, and what they exchange now and then is parameters (own_steps). The latter begin with steps that are
 * shared (warm-up), while all is far from where it will stay.
 *
 * Gradients of shared steps are summed here, for all algorithms: a table has what is different. All calls are made by
 * all replicas of a stage, in the same order. Vectors are on the host. */
#ifndef GPTJT_DIST_SYNC_H
#define GPTJT_DIST_SYNC_H

#include "dist/gradient_sum.h"
#include "net/collectives.h"
#include "train/team.h"

/* Where an algorithm works. All borrowed but for what recipe says. */
struct sync_context {
    const struct recipe *recipe;
    struct group *peers; /* the replicas of this stage */
    struct params *params;
    struct optimizer *optimizer;
    struct trace *trace; /* NULL: none */
    size_t begin, end;   /* the vector's values that are synchronised: all but an embedding that another stage owns */
};

struct sync;

/* What is NULL is nothing to do. */
struct sync_ops {
    size_t size; /* of the implementation's struct, whose first member is a struct sync */
    bool own_steps;

    /* The parameters [*begin, *end) that a replica updates; NULL: all. */
    void (*updates)(const struct params *p, const struct group *peers, int *begin, int *end);

    /* The struct is zero but for its first member. close() comes also after a failure. */
    enum status (*open)(struct sync *s);
    void (*close)(struct sync *s);

    /* A step begins. */
    enum status (*begin)(struct sync *s, int64_t step);

    /* Of steps whose gradients are not summed here: called while forward and backward passes go on, and behind them.
     * An algorithm that shares all steps and has the second sums by itself. */
    void (*progress)(struct sync *s);
    enum status (*combine)(struct sync *s, int64_t step);

    /* Around the optimizer's update, as in team.h; before: of a replica's own steps. */
    enum status (*before_update)(struct sync *s, double *scale);
    enum status (*after_update)(struct sync *s, int64_t step, double learning_rate);

    /* Whether replicas exchange something in this step of their own; NULL: always. */
    bool (*meets)(const struct sync *s, int64_t step);

    /* As in team.h; without a model it is the parameters. */
    enum status (*model)(struct sync *s, float **values);
    int (*vectors)(struct sync *s, struct team_vector *vectors);
    enum status (*restore)(struct sync *s, bool known);

    /* What this replica sends in a step whose gradients are not summed here. */
    size_t (*bytes)(const struct sync *s, int64_t step);
};

struct sync {
    const struct sync_ops *ops;
    struct sync_context c;
    struct gradient_sum sum; /* of shared steps */
    bool moved;              /* set where an algorithm has changed parameters: their copies have to follow */
};

/* By enum train_sync. */
const struct sync_ops *sync_ops(enum train_sync which);

extern const struct sync_ops sync_allreduce, sync_sharded, sync_proxskip, sync_diloco, sync_cocktail, sync_streaming,
    sync_sparse;

/* Whether replicas take this step together. */
bool sync_shares(const struct recipe *r, int64_t step);

/* ---- For the grid ---- */

enum status sync_create(struct sync **out, const struct sync_context *c);
void sync_free(struct sync *s); /* accepts NULL */

/* While passes go on: gradients are complete from value `from` of the vector on. A failure is the transport's to keep.
 */
void sync_progress(struct sync *s, int64_t step, size_t from);

/* The gradients are complete; makes them one where the step is shared. */
enum status sync_combine(struct sync *s, int64_t step);

/* Whether each replica knows after this step what the others have done. */
bool sync_meets(const struct sync *s, int64_t step);

/* What this replica sends in a step: the formula, which the transport's count must agree with. Also when the run has
 * ended and its parameters are gone. */
size_t sync_bytes(const struct sync *s, int64_t step);

/* ---- For algorithms ---- */

size_t sync_values(const struct sync *s); /* that are synchronised */

/* x [n_values]: what lies between parameters, which no checkpoint has, becomes zero again. */
void sync_clear_gaps(const struct sync *s, float *x);

/* x [n_values]: those of them become the mean of all replicas'. */
enum status sync_mean(const struct sync *s, float *x);
size_t sync_mean_bytes(const struct sync *s); /* that it sends */

#endif
