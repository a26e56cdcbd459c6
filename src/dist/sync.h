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

/* The replicas of a stage and what they keep together: all that traffic and memory depend on. Who plans has it without
 * any ranks (traffic.h); what is planned and what is counted against the transport are the same functions of it. */
struct sync_shape;
typedef size_t sync_fragment_fn(const struct sync_shape *s, int fragment);

struct sync_shape {
    const struct recipe *recipe;
    int n, me;           /* replicas, and which one */
    size_t values;       /* that are synchronised */
    size_t all;          /* of the stage's vector */
    const size_t *parts; /* [n + 1], of sharded: which values each updates; NULL: equally many */

    /* Values of a fragment, of streaming; NULL: equally many in each. And what it looks at. */
    sync_fragment_fn *fragment;
    const void *source;
    int stage;
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

    /* Whether replicas exchange something in this step of their own; NULL: always. And whether they do so by messages
     * to each other (compressed_mean.h); else, and where it is NULL, in a ring. */
    bool (*meets)(const struct recipe *r, int64_t step);
    bool (*directly)(const struct recipe *r);

    /* Steps whose passes go on while what is exchanged in one of one's own travels; NULL: 0. */
    int64_t (*beside)(const struct recipe *r);

    /* As in team.h; without a model it is the parameters. */
    enum status (*model)(struct sync *s, float **values);
    int (*vectors)(struct sync *s, struct team_vector *vectors);
    enum status (*restore)(struct sync *s, bool known);

    /* What a replica sends in a step whose gradients are not summed here; and what open() allocates. */
    size_t (*bytes)(const struct sync_shape *s, int64_t step);
    size_t (*memory)(const struct sync_shape *s);
};

struct sync {
    const struct sync_ops *ops;
    struct sync_context c;
    struct gradient_sum sum; /* of shared steps */
    bool moved;              /* set where an algorithm has changed parameters: their copies have to follow */
    const size_t *parts;     /* as in sync_shape, and the next two */
    sync_fragment_fn *fragment;
    const void *source;
};

/* By enum train_sync. */
const struct sync_ops *sync_ops(enum train_sync which);

extern const struct sync_ops sync_allreduce, sync_sharded, sync_proxskip, sync_diloco, sync_cocktail, sync_streaming,
    sync_sparse;

/* Whether replicas take this step together. */
bool sync_shares(const struct recipe *r, int64_t step);

/* Of those, whether gradients are summed by gradient_sum.h, while the backward pass goes on. */
bool sync_sums(const struct recipe *r, int64_t step);

/* Whether each replica knows after this step what the others have done. */
bool sync_meets(const struct recipe *r, int64_t step);

/* What replica s->me sends in a step: the formula, which the transport's count must agree with. At most, where its
 * messages have positions in Golomb's code. */
size_t sync_shape_bytes(const struct sync_shape *s, int64_t step);

/* Of fragment f; the largest one's; and how many there are. */
size_t sync_shape_fragment(const struct sync_shape *s, int f);
size_t sync_shape_largest(const struct sync_shape *s);

/* What its algorithm allocates for itself, beside parameters, gradients and moments. */
size_t sync_shape_memory(const struct sync_shape *s);

/* What a mean of that many values in fp32 sends. */
size_t sync_shape_mean_bytes(const struct sync_shape *s);

/* ---- For the grid ---- */

enum status sync_create(struct sync **out, const struct sync_context *c);
void sync_free(struct sync *s); /* accepts NULL */

/* While passes go on: gradients are complete from value `from` of the vector on. A failure is the transport's to keep.
 */
void sync_progress(struct sync *s, int64_t step, size_t from);

/* The gradients are complete; makes them one where the step is shared. */
enum status sync_combine(struct sync *s, int64_t step);

/* What this replica has to do with; also when the run has ended and its parameters are gone. parts are borrowed. */
struct sync_shape sync_shape_of(const struct sync *s);

/* ---- For algorithms ---- */

size_t sync_values(const struct sync *s); /* that are synchronised */

/* x [n_values]: what lies between parameters, which no checkpoint has, becomes zero again. */
void sync_clear_gaps(const struct sync *s, float *x);

/* x [n_values]: those of them become the mean of all replicas'. */
enum status sync_mean(const struct sync *s, float *x);

#endif
