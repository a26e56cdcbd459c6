// SPDX-License-Identifier: Apache-2.0
/* Those who train together, as the trainer sees them: a grid of n_replicas x n_stages ranks, where a replica is a
 * pipeline of stages with their layers each, and replicas have batches of their own. The trainer knows when something
 * has to be done with others, and this table does it. Alone it is team_alone(), in which nothing has to be done; with
 * others it is src/dist/, which knows about schedules, synchronisation and transports.
 *
 * Which ranks take an optimizer step together is the synchronisation's affair: all of them where gradients are
 * averaged, those of one replica where every replica takes steps of its own and parameters are averaged now and then.
 * The trainer's decisions about a step (its gradient's norm, whether it is skipped) are taken by these.
 *
 * Every call is made by all ranks that it concerns, in the same order. After a failure the run is over. What is NULL
 * in a table is nothing to do, so that the wrappers below are what is called. */
#ifndef GPTJT_TRAIN_TEAM_H
#define GPTJT_TRAIN_TEAM_H

#include "train/batch.h"
#include "train/optimizer.h"
#include "train/trace.h"
#include "train/trainee.h"

/* What a rank trains with, from the opening of its parts on. All borrowed. */
struct team_parts {
    const struct recipe *recipe;
    struct trainee *trainee;
    struct optimizer *optimizer;
    double *loss;        /* [rows of a micro-batch]: room for train_pass_head() */
    struct trace *trace; /* NULL: none */
};

/* Losses of a replica's batch: complete on its last stage, zero on the others. */
struct team_losses {
    struct loss_sum *all, *by_source; /* by_source: [sources] */
};

enum team_scope {
    TEAM_STEP, /* ranks whose optimizer step is the same */
    TEAM_ALL,
};

/* A vector of the parameters' shape that belongs to a rank's state, to be kept in checkpoints. */
struct team_vector {
    const char *name; /* "control_variate", ...; static */
    float *at;        /* [params->n_values] */
};
enum { TEAM_MAX_VECTORS = 4 };

struct team;

struct team_ops {
    /* Layers [*first, *last) are that stage. */
    void (*layers)(const struct team *t, const struct gptj_config *c, int stage, int *first, int *last);

    /* How many micro-batches this stage keeps at a time, and how many of these wait for their weight gradients, as in
     * train_pass_options; n_micro_batches of a replica's batch. */
    void (*slots)(const struct team *t, int n_micro_batches, int *slots, int *late);

    /* The parameters [*begin, *end) of the stage's list that this rank keeps moments of and updates. */
    void (*updates)(const struct team *t, const struct params *p, int *begin, int *end);

    /* The parts are there; they stay until the run ends. */
    enum status (*begin)(struct team *t, const struct team_parts *parts);

    /* A step (0: the first) begins: the batch that a replica's first stage has drawn comes to its other stages. */
    enum status (*share)(struct team *t, int64_t step, struct train_batch *b);

    /* Adds the gradient of unit * sum of losses of this replica's batch to the stage's gradients. */
    enum status (*gradient)(struct team *t, const struct train_batch *b, double unit, const struct team_losses *out);

    /* Called between blocks of forward and backward passes: a chance to move bytes. */
    void (*progress)(struct team *t);

    /* The gradients of those who share a step become one, where they do; *squares is its sum of squares. */
    enum status (*combine)(struct team *t, double *squares);

    /* Around the optimizer's update of the step, whose gradient is scale times what the vector has. Before, unless it
     * is skipped: may change the gradient, and the scale then. After, also if it was. */
    enum status (*before_update)(struct team *t, double *scale);
    enum status (*after_update)(struct team *t, double learning_rate);

    /* Forward only, the losses of sequences [0, n) of a batch. */
    enum status (*losses)(struct team *t, const struct train_batch *b, int n, const struct team_losses *out);

    /* values [n] = their sums over the scope. */
    enum status (*sum)(struct team *t, enum team_scope scope, double *values, int n);

    /* *wanted of any rank becomes everybody's, once all can hear of it. */
    enum status (*stop)(struct team *t, bool *wanted);

    /* Everybody is here; the least of their values. */
    enum status (*meet)(struct team *t);
    enum status (*least)(struct team *t, int64_t *value);

    /* The parameters that are shown as the model's, in checkpoints and validations: the rank's own, or what replicas
     * agree on. *values [n_values], borrowed until the next call, before which they must be what they were. */
    enum status (*model)(struct team *t, float **values);

    /* What else a rank's state is made of: vectors [TEAM_MAX_VECTORS], of which it returns how many; numbers in a new
     * JSON object (NULL without memory). */
    int (*vectors)(struct team *t, struct team_vector *vectors);
    json_t *(*state)(const struct team *t);

    /* The vectors are what they were; state NULL: they are not, as it was another number of replicas, and the team
     * begins anew from the parameters. */
    enum status (*restore)(struct team *t, const json_t *state);
};

/* An implementation has it as its first member. */
struct team {
    const struct team_ops *ops;
    int replica, n_replicas, stage, n_stages;
    bool own_steps; /* replicas take optimizer steps of their own, so their parameters and moments differ */
    int n_updaters; /* replicas that a stage's moments are divided among, about equally (updates() says how) */

    /* Of the ranks that see the same output directory: the lowest, and the lowest of this stage. */
    bool owns_output, writes_stage;
};

/* Replica 0, stage 0: the one that talks. */
static inline bool team_leads(const struct team *t)
{
    return t->replica == 0 && t->stage == 0;
}

/* The table's calls, with what is done where it has none. */
void team_layers(const struct team *t, const struct gptj_config *c, int stage, int *first, int *last);
void team_slots(const struct team *t, int n_micro_batches, int *slots, int *late);
void team_updates(const struct team *t, const struct params *p, int *begin, int *end);
enum status team_begin(struct team *t, const struct team_parts *parts);
enum status team_share(struct team *t, int64_t step, struct train_batch *b);
enum status team_gradient(struct team *t, const struct train_batch *b, double unit, const struct team_losses *out);
void team_progress(struct team *t);
enum status team_combine(struct team *t, double *squares);
enum status team_before_update(struct team *t, double *scale);
enum status team_after_update(struct team *t, double learning_rate);
enum status team_losses(struct team *t, const struct train_batch *b, int n, const struct team_losses *out);
enum status team_sum(struct team *t, enum team_scope scope, double *values, int n);
enum status team_stop(struct team *t, bool *wanted);
enum status team_meet(struct team *t);
enum status team_least(struct team *t, int64_t *value);
enum status team_model(struct team *t, float **values);
int team_vectors(struct team *t, struct team_vector *vectors);
json_t *team_state(const struct team *t);
enum status team_restore(struct team *t, const json_t *state);

/* A team of one. One run at a time. */
struct team_alone {
    struct team team;
    struct team_parts parts;
};
struct team *team_alone(struct team_alone *t);

#endif
