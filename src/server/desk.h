// SPDX-License-Identifier: Apache-2.0
/* Where work waits for the model, and the one thread that runs it.
 *
 * A job is some requests to the engine for one client. Clients take turns, whatever each has waiting: the next request
 * that begins is of the client that was served longest ago. Requests begin as the engine's batch has room for them,
 * so that a few wait there and the rest here, where a turn can still be given to somebody who comes now. */
#ifndef GPTJT_SERVER_DESK_H
#define GPTJT_SERVER_DESK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "gptjt.h"

struct desk;
struct desk_job;

struct desk_options {
    size_t max_tokens;        /* K/V rows of the session, see gptjt_session_create() */
    size_t most_waiting;      /* requests of all clients together */
    size_t most_waiting_each; /* of one client */
    size_t most_running;      /* answers that get tokens side by side */
    double longest_stall_s;   /* see struct gptjt_batch_options */
};

/* One request; one of the first two is set. */
struct desk_item {
    const struct gptjt_generate_request *generate;
    const struct gptjt_score_request *score;

    /* How it ended, for the job's function. */
    enum status status;         /* E_CANCELLED: of desk_cancel() or the deadline */
    char message[256];          /* unless OK */
    struct gptjt_score *scores; /* [score->n], the owner's from then on: gptjt_scores_free(), then free() */

    /* Set by the owner, in callbacks of the request: it has tokens, and will itself end it at the deadline. */
    bool begun;

    struct desk_job *job; /* the desk's from here on */
    uint64_t id;          /* in the batch; 0: not there */
    bool ended;
};

struct desk_job {
    /* Set by the owner, zero the rest. It stays where it is until ended() is called. */
    const char *client;      /* whose turn it takes: key or address */
    struct desk_item *items; /* [n_items] */
    size_t n_items;
    int64_t deadline_ns;                 /* 0: none. What has not begun by then is cancelled */
    void (*ended)(struct desk_job *job); /* once, in the desk's thread, when all items have; it may free the job */
    void *user;

    bool late; /* for ended(): the deadline did it, or desk_hurry() */

    struct desk *desk; /* the desk's from here on */
    _Atomic bool cancelled;
    size_t n_fed, n_ended;         /* items, in their order; that have ended */
    struct desk_client *queue;     /* NULL: nothing of it waits here */
    struct desk_job *next_waiting; /* in its client's queue */
    struct desk_job *next, **at;   /* of all */
};

/* Opens a session and a batch on the engine, and starts the thread. Owned: desk_close(), which cancels what is there.
 */
enum status desk_open(struct desk **out, struct gptjt_engine *engine, const struct desk_options *o);
void desk_close(struct desk *d);

/* From here on the job is the desk's. E_LIMIT: too much is waiting, and nothing has happened. */
enum status desk_submit(struct desk *d, struct desk_job *job);

/* Any thread; the job may be over. Its items end with E_CANCELLED, soon. The job must not be freed meanwhile. */
void desk_cancel(struct desk *d, struct desk_job *job);

/* The job's deadline has passed, or desk_hurry() was called: callbacks make this token the last. In the desk's thread.
 */
bool desk_job_late(const struct desk_job *job);

/* All jobs are late from here on. */
void desk_hurry(struct desk *d);

struct desk_state {
    size_t jobs, waiting; /* jobs there are, requests that have not been given to the batch */
    struct gptjt_batch_state batch;
};
void desk_state(struct desk *d, struct desk_state *out);

#endif
