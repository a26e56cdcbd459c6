// SPDX-License-Identifier: Apache-2.0
/* How long a training step of a placement takes, and what memory its ranks need: what DT-FM's cost (placement.h) leaves
 * out. Each replica's pipeline is simulated, pass by pass and message by message (schedule_time.h); then the replicas
 * of each stage average its gradients in a ring.
 *
 *   passes      floating-point operations of the stage's layers, and of the head on the last, by the device's speed.
 *               Per micro-batch: F is products and attention; I as many products and twice the attention, and F again
 *               with recompute; W as many products. All tokens see those before them, and all are targets.
 *   messages    micro_batch_size seq_len D values of two bytes, either way, over the link of the two devices
 *   ring        in the order of replicas, begun when the last replica has come to the end of the stage's list. With N
 *               bytes of fp32 gradients of D replicas: 2 (D - 1) max over neighbours of (latency + N / (D rate)), the
 *               formula of net/collectives.h where the slowest link decides
 *
 * A link between two machines is as fast as their network cards allow; apart from that nothing is shared: pipelines and
 * rings of other stages do not slow each other down. No overlap of a ring with backward passes, no optimizer. */
#ifndef GPTJT_DIST_PLACEMENT_STEP_H
#define GPTJT_DIST_PLACEMENT_STEP_H

#include "dist/placement.h"
#include "dist/schedule.h"
#include "formats/gptj_config.h"

/* What is trained; the batch is that of all replicas together, in sequences. */
struct step_task {
    struct gptj_config config;
    int64_t batch_size;
    int micro_batch_size, seq_len;
    bool recompute; /* keep only each block's input, compute the rest again in the backward pass */
};

/* What `gptjt train` allocates for a rank in bf16 with AdamW, scratch of the kernels aside: masters and copies,
 * gradients, two moments, micro-batches as the schedule holds them, and messages in fp16. */
struct step_memory {
    uint64_t weights, gradients, moments, activations, messages;
};
uint64_t step_memory_bytes(const struct step_memory *m); /* the sum */

struct placement_step {
    double step_s;     /* of the whole */
    double pipeline_s; /* until the slowest replica's pipeline is empty */
    double sync_s;     /* what the rings add to that */
    double bubble;     /* idle part of all ranks' time until pipeline_s */
    int short_rank;    /* the first rank whose device has too little memory; -1: none */
};

struct placement_step_model;

/* Why a task cannot be cut so, E_ARG, or OK: a stage needs a layer, a replica whole micro-batches. */
enum status step_task_check(const struct step_task *task, int stages, int replicas);

/* *out is owned; c is borrowed. E_ARG as step_task_check(), E_NOMEM. */
enum status placement_step_model_create(struct placement_step_model **out, const struct step_task *task, int stages,
                                        int replicas, enum schedule_kind kind, const struct cluster *c);
void placement_step_model_free(struct placement_step_model *m); /* accepts NULL */

/* Gives the replicas other numbers, so that the slowest links of the rings are as fast as exchanging pairs of links can
 * make them; nothing else changes, and DT-FM's cost does not see it. E_NOMEM leaves p as it was. */
enum status placement_step_order(const struct placement_step_model *m, struct placement *p);

/* Of a placement with the model's stages and replicas. Some ten microseconds a thousand actions; allocates nothing. */
struct placement_step placement_step(struct placement_step_model *m, const struct placement *p);

const struct step_memory *placement_step_model_memory(const struct placement_step_model *m); /* [stages], borrowed */

#endif
