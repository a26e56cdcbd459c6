// SPDX-License-Identifier: Apache-2.0
/* When a pipeline schedule's actions happen, computed from how long each takes: for planners, which try thousands of
 * layouts, and for pictures. No clocks, no ranks; about ten nanoseconds an action.
 *
 * The model. A stage carries out its list in order, one action at a time. An action begins when the one before it has
 * ended and the message that it works on has arrived; all receives have been started early enough. What an action made
 * is sent at its end, beside whatever the stage computes next. A boundary is a link each way, for activations up and
 * for gradients down: a message begins to leave when its action has ended and the one before it on that link has left,
 * leaves for transfer_s, and arrives latency_s after it has left. That is net/shaped.h's model where nothing is shared.
 */
#ifndef GPTJT_DIST_SCHEDULE_TIME_H
#define GPTJT_DIST_SCHEDULE_TIME_H

#include "dist/schedule.h"

/* Seconds, finite and not negative, all of them. */
struct schedule_stage_time {
    double forward_s, inputs_s, weights_s; /* of F, I and W of a micro-batch; B takes inputs_s + weights_s */
};

struct schedule_message_time {
    double latency_s, transfer_s; /* transfer: bytes / bytes a second */
};

struct schedule_boundary_time {
    struct schedule_message_time activation, gradient; /* from stage s to s + 1, and back */
};

/* Borrowed. Zero-initialised boundaries are free. */
struct schedule_times {
    struct schedule_stage_time stage;                /* of every stage, where stages is NULL */
    const struct schedule_stage_time *stages;        /* [n_stages] */
    struct schedule_boundary_time boundary;          /* of every boundary, where boundaries is NULL */
    const struct schedule_boundary_time *boundaries; /* [n_stages - 1]: boundary s is between stages s and s + 1 */
};

struct schedule_span {
    double start_s, end_s;
};

struct schedule_stage_run {
    struct schedule_span *spans; /* [length of the list]: of each action, from the batch's beginning on */
    double busy_s;               /* sum of its actions' durations */
    double busy;                 /* as a fraction of the makespan */
};

struct schedule_stage_state; /* how far a simulation is */

struct schedule_timeline {
    int n_stages;
    struct schedule_stage_run *stages; /* [n_stages] */
    double makespan_s;                 /* until the last action of all stages has ended */
    double
        bubble; /* idle part of all stages' time: 1 - sum of busy_s / (n_stages makespan_s); 0 if nothing takes time */

    struct schedule_stage_state *states; /* [n_stages] */
};

/* Room for simulations of s, and of others with as many stages whose lists have the same lengths. Owned:
 * schedule_timeline_free(). E_NOMEM. */
enum status schedule_timeline_create(struct schedule_timeline *out, const struct schedule *s);
void schedule_timeline_free(struct schedule_timeline *t); /* accepts a zeroed one */

/* Fills t. schedule_check() must have accepted s; asserts that it comes to its end. Allocates nothing. */
void schedule_simulate(struct schedule_timeline *t, const struct schedule *s, const struct schedule_times *times);

#endif
