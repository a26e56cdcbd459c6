// SPDX-License-Identifier: Apache-2.0
/* What the two ways to compute a step's time have in common (placement_step.c, placement_simulate.c). */
#ifndef GPTJT_DIST_PLACEMENT_STEP_MODEL_H
#define GPTJT_DIST_PLACEMENT_STEP_MODEL_H

#include "dist/placement_step.h"
#include "dist/schedule_time.h"

/* Floating-point operations of a micro-batch. */
struct stage_work {
    double forward, inputs, weights;
};

struct placement_step_model {
    struct step_task task;
    const struct cluster *c;
    int stages, replicas;
    struct schedule schedule;
    struct schedule_timeline timeline;
    double activation_bytes, gradient_bytes; /* of a message */
    struct traffic_kinds kinds;
    struct traffic traffic;
    double *exchanged;                         /* [kinds][stages]: bytes that a replica sends */
    struct stage_work *work;                   /* [stages] */
    struct step_memory *memory;                /* [stages] */
    struct schedule_stage_time *stage_times;   /* [stages] of a replica */
    struct schedule_boundary_time *boundaries; /* [stages], the last one unused */
    double *ends;                              /* [stages]: when the last replica has done its list */
};

static inline struct traffic_layout placement_step_layout(const struct placement_step_model *m)
{
    return (struct traffic_layout){m->task.recipe, m->task.config, m->stages, m->replicas};
}

static inline const struct cluster_machine *placement_step_machine(const struct placement_step_model *m, int device)
{
    return &m->c->machines[m->c->hosts[device]];
}

/* Whether what is exchanged in a step goes directly from each replica to each; travels while passes go on. */
static inline bool placement_step_is_direct(const struct recipe *r, int64_t step)
{
    const struct sync_ops *ops = sync_ops((enum train_sync)r->sync);
    return !sync_shares(r, step) && ops->directly && ops->directly(r);
}

/* Steps beside whose passes it travels. */
static inline int64_t placement_step_beside(const struct recipe *r, int64_t step)
{
    const struct sync_ops *ops = sync_ops((enum train_sync)r->sync);
    return !sync_shares(r, step) && ops->beside ? ops->beside(r) : 0;
}

/* What a replica sends of B bytes in one of the 2 (D - 1) steps of a ring, or in a message to another replica. */
static inline double placement_step_share(const struct placement_step_model *m, double bytes)
{
    return bytes / (2 * (m->replicas - 1));
}

/* That a sum of a stage's gradients is made of. */
static inline double placement_step_rings(const struct placement_step_model *m, int stage)
{
    const struct traffic_layout layout = placement_step_layout(m);
    return (double)gradient_sum_rings(traffic_shape(&layout, stage, 0).values);
}

int placement_step_short_rank(const struct placement_step_model *m, const struct placement *p);

#endif
