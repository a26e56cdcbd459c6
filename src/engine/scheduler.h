// SPDX-License-Identifier: Apache-2.0
/* Many requests through one session, a step at a time; between steps requests join and leave.
 *
 * A job is a prompt and the sequences that follow it. It waits in a queue until there is K/V room for all it may ever
 * need, then its prompt is rows of the next step, and after that it adds rows to every step until it is done:
 *
 *     rows of a step    [ prompts of those that join, but for their last tokens | their last tokens | later rows ]
 *     what of them           K and V only in the last layer                       logits wanted
 *
 * Rows do not see other jobs, and every product gives a row the same bits whatever rows stand beside it, so a job's
 * results are those it has alone. Nor does it matter who computed a prompt's K/V: a job whose prompt begins as another
 * one's (as reuse in engine.h says) takes those rows' pages, even if they are to be computed in this very step.
 *
 * For calls that have all their requests beforehand a step is gone through at once (scheduler_step()). Where answers
 * are awaited token by token, scheduler_turn() bounds how long others' work keeps a running answer from its next one:
 *
 *     turn      1       2           3       4           5       6           7
 *               step    pass ...    step    pass ...    step    pass end    step
 *               a b c   L           a b d   L           a b d   L           a b d L
 *
 * A step has a row of each running answer, and with them go the rows that are expected to take no longer than the
 * bound: prompts that wait, and continuations to be scored, a few at least. A prompt that is longer becomes a pass of
 * its own, which is put down between blocks (model/forward.h) when the bound is reached, and taken up again after a
 * step; so answers are slowed but never stalled, and the pass goes on for as long after each step. Only one pass is
 * under way; when nothing runs beside it, it has all the time. Who waits joins in order: a short prompt goes with a
 * step while a pass is under way, but overtakes nobody. The pass has activations of its own. Its pages are shared only
 * once they are computed, and are given back only when no row of the pass writes to them any more: with the pass's end,
 * or at once when nobody in it is left. */
#ifndef GPTJT_ENGINE_SCHEDULER_H
#define GPTJT_ENGINE_SCHEDULER_H

#include "engine/engine.h"

struct job;
struct scheduler;

struct job_kind {
    bool divisible; /* rows may be spread over several steps, and nobody waits for each; otherwise all that rows() says
                       go into one */
    int (*rows)(const struct job *j);                              /* how many it has for the next step */
    enum status (*add)(struct job *j, struct scheduler *c, int n); /* adds n of them with scheduler_add_row() */
    /* Reads the [V] logits of one of its rows, in their order; the first are those of the prompt that are read. */
    enum status (*read)(struct job *j, struct scheduler *c, const struct target *t, const float *logits);
    void (*leave)(struct job *j, struct kvcache *kv); /* done, failed or sent away: gives back what it forked */
};

/* The owner zeroes it and sets the first lines; it stays where it is until it has left. */
struct job {
    const struct job_kind *kind;
    struct gptjt_span prompt;
    size_t n_prefix;  /* prompt tokens that see each other; none of them after the first of those read */
    int n_read;       /* >= 1: the prompt's last rows, whose logits are read; the last one's tells what follows it */
    size_t work;      /* what progress counts: rows of prompt and continuations */
    int n_promised;   /* pages for what follows the prompt, not yet taken: scheduler_pages() of each sequence */
    size_t index, of; /* which of its call's requests it is, of how many */
    void *owner;      /* whoever added it */
    bool done;        /* set by its kind: leaves after this step */

    enum status status; /* not OK: it has failed, or its owner wants no more of it; leaves after this step */
    struct job *next;
    bool joined, computed; /* has K/V; they hold the prompt */
    bool in_pass;          /* its rows are in the pass that is under way */
    int n_rows;            /* of the step under construction */
    size_t n_reused;       /* prompt tokens that it had not to compute */
    int64_t joined_ns;
    struct kv_sequence kv; /* of the prompt */
};

/* Called when a job has failed, status_message() saying why. OK: the others go on; else the step ends with that. */
typedef enum status job_failed_fn(struct scheduler *c, struct job *j);

/* Called when a job, done or not, is out of the scheduler and has given back its K/V. */
typedef void job_left_fn(struct scheduler *c, struct job *j);

/* The one for calls that give all results or none: ends the step, the message naming the request. */
job_failed_fn scheduler_fail_all;

/* status, its message preceded by which request it is about if there are several. */
enum status scheduler_name(enum status status, size_t index, size_t of);

struct scheduler_work {
    size_t done, all;
};

/* Stays where it is while it is open. */
struct scheduler {
    struct gptjt_session *s;
    job_failed_fn *failed;
    job_left_fn *left;        /* may be NULL */
    struct job *first, **end; /* in the order they came: those that joined, then those that wait */
    struct step *step;        /* under construction, or being read */
    int n_promised;           /* pages, of all jobs */
    int row_budget;           /* of a step, exceeded for a single long prompt only */
    bool running;             /* a step of it has been started */
    size_t step_work;         /* of that step */

    /* Of scheduler_turn(); times in ns. */
    int64_t (*clock)(void);
    int64_t bound;        /* 0: steps are not put down */
    int64_t held;         /* how long others have kept running answers waiting since their last step */
    bool under_way, owed; /* the session's step is put down; the next turn is its */
    bool through;         /* through the layers: ... */
    int next_read;        /* ... its rows before this one have been read */
    bool full;            /* who waits has found no room */
    int64_t spent;        /* on the pass so far */
    double row_time;      /* what a row took last; 0: not known */
    uint64_t n_computed;  /* prompt tokens */

    struct scheduler_work own, *work; /* for the progress callback; schedulers that run together have one */
    size_t given;                     /* work, by scheduler_lanes_add() */
};

void scheduler_open(struct scheduler *c, struct gptjt_session *s, job_failed_fn *failed);
void scheduler_add(struct scheduler *c, struct job *j); /* session_admit() has been asked */
void scheduler_close(struct scheduler *c);              /* all jobs leave, done or not; a pass is dropped */
enum status scheduler_step(struct scheduler *c);        /* E_CANCELLED when the progress callback says so */
bool scheduler_idle(const struct scheduler *c);
enum status scheduler_run(struct scheduler *c); /* steps until nobody is left */

/* The other way to go on, instead of scheduler_step(): one turn as above, on a session with a step beside its own
 * (session_open_beside()) and without lanes. bound: > 0 */
void scheduler_bound(struct scheduler *c, int64_t bound);
enum status scheduler_turn(struct scheduler *c);

/* Between turns: whoever has a status leaves, and the pass is dropped if nobody is left in it. */
void scheduler_tidy(struct scheduler *c);

/* Several schedulers, on a session and its others: n = 1 + s->n_others of them, whose steps are under way at the same
 * time where the model has stages. Who is added goes to the one that has the least to do. */
void scheduler_lanes_open(struct scheduler *all, int n, struct gptjt_session *s, job_failed_fn *failed);
struct gptjt_session *scheduler_lanes_add(struct scheduler *all, int n, struct job *j); /* returns whose it is then */
enum status scheduler_lanes_run(struct scheduler *all, int n);
void scheduler_lanes_close(struct scheduler *all, int n);

/* Pages a sequence of length positions takes beyond its prompt's whole ones. */
int scheduler_pages(size_t n_prompt, size_t length);

/* For a kind's functions: to (empty) goes on from j's prompt, up to length positions; its pages are those promised. */
enum status scheduler_fork(struct scheduler *c, struct job *j, struct kv_sequence *to, size_t length);
void scheduler_add_row(struct scheduler *c, int sequence, int32_t token, size_t position, struct target target);

#endif
