// SPDX-License-Identifier: Apache-2.0
/* How long a training step of a placement takes, and what memory its ranks need: what DT-FM's cost (placement.h) leaves
 * out. A step is that of a recipe, with its synchronisation, on average over the steps of the run. There are two ways
 * to compute it: a simulation of every pass and message, and an estimate for searches that try thousands of placements.
 *
 *   passes      floating-point operations of the stage's layers, and of the head on the last, by the device's speed.
 *               Per micro-batch: F is products and attention; I as many products and twice the attention, and F again
 *               with recompute; W as many products. All tokens see those before them, and all are targets.
 *   messages    of the recipe's wires, over the link of the two devices
 *   rings       in the order of replicas. A replica of D sends B bytes in a step (sync.h), in 2 (D - 1) messages,
 *               each of which waits for the one before to have come round. Sums of gradients are many rings, one
 *               after the other (gradient_sum.h), with that many latencies
 *   directly    to the owner of each chunk, and its result to all, B / 2 (D - 1) bytes each (compressed_mean.h)
 *   when        what is exchanged in a step of one's own begins when a replica has come to the end of its list, or
 *               beside the passes of one or more steps where the algorithm does that (sync.h): of several, as if an
 *               equal part of it were in each. (A gathering ring, of `sparse`, is taken for a ring with twice as
 *               many messages.)
 *
 * Neither has an optimizer, codecs, or what it costs to move bytes; replicas begin steps together where they meet.
 *
 * The simulation has all of that on links and network cards that are shared as in simulation.h, and sums of gradients
 * that overlap with the backward pass: the last pass of a stage's list is cut into its layers, all of which are taken
 * to last equally long and to have as many values, and the rings of a layer may begin behind its part.
 *
 * The estimate has closed formulas for what is exchanged: behind the last replica's list, 2 (D - 1) max over neighbours
 * of (latency + B / (2 (D - 1) rate)) for a ring; directly twice the slowest of all pairs, or B / 2 through a network
 * card, if that takes longer; beside k steps, what of that is longer than their passes. A link between machines is as
 * fast as their cards allow, and nothing else is shared. So it is the simulation's time where all links are alike and
 * nothing is shared or overlaps, too much for rings of unequal links, and too little where a card has much to do. */
#ifndef GPTJT_DIST_PLACEMENT_STEP_H
#define GPTJT_DIST_PLACEMENT_STEP_H

#include "dist/placement.h"
#include "dist/schedule.h"
#include "dist/traffic.h"

/* What is trained, and how: of the recipe the batch of all replicas together, micro_batch_size, seq_len, precision,
 * recompute, the wires, synchronisation and steps. Borrowed. */
struct step_task {
    const struct gptj_config *config;
    const struct recipe *recipe;
    bool blocking; /* simulation only: a rank waits until what it sends has arrived. Ours do not; Megatron's do */
};

/* Steps to take the average over where a recipe does not say how many it has. */
enum { STEP_TASK_STEPS = 10000 };

/* What `gptjt train` allocates for a rank with AdamW, scratch of the kernels aside: masters and copies, gradients, two
 * moments, what the synchronisation holds, micro-batches as the schedule holds them, and messages between stages. */
struct step_memory {
    uint64_t weights, gradients, moments, sync, activations, messages;
};
uint64_t step_memory_bytes(const struct step_memory *m); /* the sum */

struct placement_step {
    double step_s;     /* of the whole */
    double pipeline_s; /* until the slowest replica's pipeline is empty */
    double sync_s;     /* what synchronisation adds to that */
    double bubble;     /* idle part of all ranks' time until pipeline_s */
    double busy;       /* part of all ranks' time in which they compute, until step_s */
    int short_rank;    /* the first rank whose device has too little memory; -1: none */
};

struct placement_step_model;

/* Why a task cannot be cut so, E_ARG, or OK: a stage needs a layer, a replica whole micro-batches. */
enum status step_task_check(const struct step_task *task, int stages, int replicas);

/* *out is owned; the rest is borrowed. E_ARG as step_task_check(), E_LIMIT as traffic_kinds_find(), E_NOMEM. */
enum status placement_step_model_create(struct placement_step_model **out, const struct step_task *task, int stages,
                                        int replicas, enum schedule_kind kind, const struct cluster *c);
void placement_step_model_free(struct placement_step_model *m); /* accepts NULL */

/* Gives the replicas other numbers, so that the slowest links of the rings are as fast as exchanging pairs of links can
 * make them; nothing else changes, and DT-FM's cost does not see it. E_NOMEM leaves p as it was. */
enum status placement_step_order(const struct placement_step_model *m, struct placement *p);

/* Of a placement with the model's stages and replicas: the simulation, a millisecond or so a thousand actions, E_NOMEM;
 * and the estimate, a hundredth of that, which allocates nothing. */
enum status placement_step_simulate(struct placement_step *out, const struct placement_step_model *m,
                                    const struct placement *p);
struct placement_step placement_step_estimate(struct placement_step_model *m, const struct placement *p);

const struct step_memory *placement_step_model_memory(const struct placement_step_model *m); /* [stages], borrowed */

/* In the whole run; borrowed. */
const struct traffic *placement_step_model_traffic(const struct placement_step_model *m);

#endif
