// SPDX-License-Identifier: Apache-2.0
/* Where a step's time goes: what this rank does and when, kept while it happens and written at the end, for
 * ui.perfetto.dev and chrome://tracing (Trace Event Format: "traceEvents" in JSON, times in microseconds).
 *
 * A rank is a process of the file, and has a row for each kind of work. Events of one row follow each other, those of
 * different rows may be at the same time. Arrows lead from the sending of a micro-batch's message to its receiving.
 *
 * Whoever does something worth knowing takes the time before, and says behind it what it was:
 *
 *     const int64_t since = trace_now(trace);
 *     ...
 *     trace_add(trace, since, (struct trace_event){.kind = TRACE_FORWARD, .micro_batch = i});
 *
 * which is a test of a pointer where there is no trace, and a reading of the clock where there is one. Not for two
 * threads at once: a rank has its own. */
#ifndef GPTJT_TRAIN_TRACE_H
#define GPTJT_TRAIN_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"

enum trace_kind {
    /* row "steps" */
    TRACE_STEP,
    TRACE_VALIDATION,
    TRACE_CHECKPOINT,
    /* row "data" */
    TRACE_DRAW,  /* sequences are read, or waited for where threads read them */
    TRACE_SHARE, /* they go to the other stages */
    /* row "compute" */
    TRACE_FORWARD,
    TRACE_HEAD, /* norm, head, loss and the gradient of these: the last stage's */
    TRACE_BACKWARD,
    TRACE_BACKWARD_INPUT,
    TRACE_BACKWARD_WEIGHTS,
    TRACE_LOSSES, /* a forward pass of a validation, on the last stage with its head */
    /* row "receive": waiting for a message that is needed now, and decoding it */
    TRACE_RECEIVE_ACTIVATIONS,
    TRACE_RECEIVE_GRADIENTS,
    TRACE_RECEIVE_EMBEDDING, /* of a tied head */
    /* row "send": encoding and starting, and waiting for room; messages then travel by themselves */
    TRACE_SEND_ACTIVATIONS,
    TRACE_SEND_GRADIENTS,
    TRACE_SEND_EMBEDDING,
    TRACE_SEND_REST, /* a step's last messages have to be taken by others before it ends */
    /* row "sync": in which the rank waits for others. Bytes: sent for it since the last such event of the step, also
     * while something else was done */
    TRACE_SYNC_BEGIN,
    TRACE_SYNC_GRADIENTS,
    TRACE_SYNC_PARAMETERS,
    TRACE_SYNC_MODEL, /* for a checkpoint */
    TRACE_NORM,
    TRACE_AGREE, /* on losses, on going on */
    /* row "rings": sums of gradients that go round while the rank computes */
    TRACE_RING,
    /* row "optimizer" */
    TRACE_UPDATE,
    TRACE_KINDS
};

struct trace_event {
    int64_t since_ns, until_ns; /* clock_ns() */
    int64_t step;               /* as in metrics.jsonl, from 1 */
    size_t bytes;               /* of a message */
    enum trace_kind kind;
    int micro_batch; /* -1: none */
    int peer;        /* rank, of a message */
};

enum { TRACE_MAX_EVENTS = 1 << 18 }; /* 12 MB; events beyond are counted only */

struct trace {
    int64_t first, last; /* steps that are recorded */
    bool counted;        /* first and last are known; before, last is how many there are to be */
    bool on;
    int64_t step;
    struct buf events; /* of struct trace_event */
    int64_t n, dropped;
};

/* steps: "20", the first of this run, or "101-120". E_ARG for anything else. */
enum status trace_open(struct trace *out, const char *steps);
void trace_close(struct trace *t); /* accepts a zero-initialised one */

/* A step begins; t may be NULL. */
void trace_begin_step(struct trace *t, int64_t step);

static inline bool trace_is_on(const struct trace *t)
{
    return t && t->on;
}

/* 0 where nothing is recorded. */
static inline int64_t trace_now(const struct trace *t)
{
    return trace_is_on(t) ? clock_ns() : 0;
}

void trace_keep(struct trace *t, int64_t since_ns, const struct trace_event *e);

/* since_ns: a trace_now(). Step and times of e are filled in. */
static inline void trace_add(struct trace *t, int64_t since_ns, struct trace_event e)
{
    if (since_ns) trace_keep(t, since_ns, &e);
}

/* The same, and the time for what comes next. */
static inline int64_t trace_next(struct trace *t, int64_t since_ns, struct trace_event e)
{
    trace_add(t, since_ns, e);
    return trace_now(t);
}

/* ---- Writing ---- */

/* How a rank's clock and rank 0's differed at some time: own time minus rank 0's is offset_ns, to error_ns. */
struct trace_clock {
    int64_t at_ns; /* own time */
    double offset_ns, error_ns;
};

/* Whose events they are, and how their times are to be understood: clocks drift, so there is one comparison from before
 * the first event and one from behind the last, and a line between them. */
struct trace_rank {
    int rank, replica, stage;
    struct trace_clock begin, end;
    int64_t origin_ns; /* rank 0's time that is 0 in the file */
    int64_t dropped;   /* events */
};

/* Appends a rank's events as JSON, with commas between them. */
void trace_put(struct buf *out, const struct trace *t, const struct trace_rank *who);

/* Writes what trace_put() has made of ranks[i]. */
typedef enum status trace_text_fn(void *user, int i, struct file_writer *w);

/* Writes a file of ranks [n], which appears whole or not at all. */
enum status trace_write_ranks(const char *path, const struct trace_rank *ranks, int n, trace_text_fn *text, void *user);

/* The file of a run on one rank. */
enum status trace_write(const struct trace *t, const char *path);

/* Whether there can be such a file: better known before a run than behind it. */
enum status trace_check(const char *path);

#endif
