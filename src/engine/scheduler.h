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
 * one's (as reuse in engine.h says) takes those rows' pages, even if they are to be computed in this very step. */
#ifndef GPTJT_ENGINE_SCHEDULER_H
#define GPTJT_ENGINE_SCHEDULER_H

#include "engine/engine.h"

struct job;
struct scheduler;

struct job_kind {
    bool divisible; /* rows may be spread over several steps; otherwise all that rows() says go into one */
    int (*rows)(const struct job *j);                              /* how many it has for the next step */
    enum status (*add)(struct job *j, struct scheduler *c, int n); /* adds n of them with scheduler_add_row() */
    /* Reads the [V] logits of one of its rows, in their order; the first is the prompt's last. */
    enum status (*read)(struct job *j, struct scheduler *c, const struct target *t, const float *logits);
    void (*leave)(struct job *j, struct kvcache *kv); /* done, failed or sent away: gives back what it forked */
};

/* The owner zeroes it and sets the first lines; it stays where it is until it has left. */
struct job {
    const struct job_kind *kind;
    struct gptjt_span prompt;
    size_t n_prefix;  /* prompt tokens that see each other */
    size_t work;      /* what progress counts: rows of prompt and continuations */
    int n_promised;   /* pages for what follows the prompt, not yet taken: scheduler_pages() of each sequence */
    size_t index, of; /* which of its call's requests it is, of how many */
    bool done;        /* set by its kind: leaves after this step */

    enum status status; /* of a job that failed */
    struct job *next;
    bool joined, computed; /* has K/V; they hold the prompt */
    int n_rows;            /* of the step under construction */
    size_t n_reused;       /* prompt tokens that it had not to compute */
    int64_t joined_ns;
    struct kv_sequence kv; /* of the prompt */
};

/* Called when a job has failed, status_message() saying why. OK: the others go on; else the step ends with that. */
typedef enum status job_failed_fn(struct scheduler *c, struct job *j);

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
    struct job *first, **end;         /* in the order they came: those that joined, then those that wait */
    int n_promised;                   /* pages, of all jobs */
    int row_budget;                   /* of a step, exceeded for a single long prompt only */
    bool running;                     /* a step of it has been started */
    size_t step_work;                 /* of that step */
    struct scheduler_work own, *work; /* for the progress callback; schedulers that run together have one */
    size_t given;                     /* work, by scheduler_lanes_add() */
};

void scheduler_open(struct scheduler *c, struct gptjt_session *s, job_failed_fn *failed);
void scheduler_add(struct scheduler *c, struct job *j); /* session_admit() has been asked */
void scheduler_close(struct scheduler *c);              /* all jobs leave, done or not */
enum status scheduler_step(struct scheduler *c);        /* E_CANCELLED when the progress callback says so */
bool scheduler_idle(const struct scheduler *c);
enum status scheduler_run(struct scheduler *c); /* steps until nobody is left */

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
