// SPDX-License-Identifier: Apache-2.0
/* How bytes travel between ranks: the seam that pipelines and data-parallel algorithms stand on.
 *
 * A rank is one worker of a run: a thread (net/local.h), a process (net/mpi.h), or either role in a simulation with
 * slow links (net/shaped.h). All a transport does is move bytes: start a send, start a receive, wait. Collectives are
 * built on these (net/collectives.h), so that they sum in the same order everywhere, and what is sent is counted in one
 * place.
 *
 * Matching. A receive takes the oldest send of that peer to this rank with the same purpose and tag; each purpose is a
 * space of tags of its own. Their sizes must be equal. There are no sends to oneself and no receives from anybody.
 *
 * Progress. A send may not be done before its receive has been started, so nobody may rely on buffering: start receives
 * early, then sends, then wait. While a rank computes it calls net_progress() now and then; some transports move bytes
 * only inside of calls.
 *
 * Ownership. Requests and buffers are the caller's: borrowed from the start until net_wait_*() or net_test() has said
 * that the request is done, or until a call on this transport failed. Nothing is allocated after opening.
 *
 * Errors. A wait has a bound, timeout_s. A rank that waited too long, found a message of another size, or calls
 * net_fail() because of an error of its own tells the others; their waits then fail too and name it, as in "rank 2:
 * waiting for 64 bytes from rank 1 (activations, tag 3): rank 1 failed: out of memory". After a failure a transport has
 * let go of all requests, every call returns the first failure again (E_IO, E_FORMAT for sizes), and only net_close()
 * is left to do. Wrong ranks and tags are bugs: asserts.
 *
 * Threads. A handle is used by one thread at a time; only net_waiting_text() is for others, and for signal handlers. */
#ifndef GPTJT_NET_TRANSPORT_H
#define GPTJT_NET_TRANSPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

/* What bytes are for. */
enum net_purpose {
    NET_ACTIVATIONS, /* of a stage for the next one                    */
    NET_GRADIENTS,   /* of activations, for the stage before           */
    NET_SYNC,        /* between replicas: gradients, parameters, deltas */
    NET_CONTROL,     /* decisions, norms, losses, shutdown              */
    NET_PURPOSES
};

const char *net_purpose_name(enum net_purpose purpose); /* static: "activations", ... */

enum {
    NET_MAX_TAG = (1 << 20) - 1, /* with the purpose in two more bits, what every MPI can carry */
    NET_MAX_PENDING = 1024,      /* requests of one rank that are not done: E_LIMIT beyond       */
};

enum net_state { NET_IDLE, NET_PENDING, NET_DONE, NET_WRONG_SIZE };

/* One send or receive. Zero-initialise; fields are to be read only. */
struct net_request {
    bool is_send;
    int peer, tag;
    enum net_purpose purpose;
    const void *from; /* [bytes], of a send */
    void *to;         /* [bytes], of a receive */
    size_t bytes;
    atomic_int state;   /* enum net_state; NET_IDLE again when it was reported as done */
    size_t other_bytes; /* NET_WRONG_SIZE: what the other side meant */

    struct transport *owner;
    struct net_request *next, *previous;    /* of the owner's pending ones */
    struct net_request *queued, *dequeuing; /* the implementation's */
    void *link;
    int n_left;
    bool awaited; /* by the wait that its owner is in */
};

struct net_count {
    uint64_t bytes, messages;
};

/* The wait a rank is in, for who looks from outside. Fields change one by one: a glance may mix two waits. */
struct net_glance {
    atomic_bool waiting, is_send;
    atomic_int peer, purpose, tag;
    atomic_llong bytes, since_ns; /* clock_ns() */
};

/* A handle: one rank's end. Implementations have it as their first member. */
struct transport {
    const struct transport_ops *ops;
    int rank, size;
    double timeout_s; /* of a wait, NET_TIMEOUT_S at first; INFINITY: none. Virtual seconds where time is virtual */

    struct net_count *sent, *received; /* [size][NET_PURPOSES]; counted when a request starts. Owned */
    struct net_request *pending;       /* started and not reported as done */
    int n_pending;
    struct net_glance glance;
    bool broken;
    enum status status; /* of the failure that broke it */
    char message[512];
};

#define NET_TIMEOUT_S 600.0

/* What an implementation provides; called by the functions below only. */
struct transport_ops {
    enum status (*start)(struct transport *t, struct net_request *r); /* of either kind; r->state is NET_PENDING */

    /* Without blocking: marks as done what is. */
    enum status (*progress)(struct transport *t);

    /* Returns when one of requests, some of which may be idle and at least one of which is pending, is no longer
     * pending; fails with net_cannot() after timeout_s, or when another rank failed. */
    enum status (*wait)(struct transport *t, struct net_request *const *requests, int n);

    /* Tells the others that this rank failed and why, unless it does so because of them; lets go of its requests. */
    void (*fail)(struct transport *t, enum status status, const char *message);

    double (*now)(struct transport *t);                   /* seconds since some start; NULL: of clock_ns() */
    void (*compute)(struct transport *t, double seconds); /* NULL where time passes by itself */
    void (*close)(struct transport *t);                   /* frees what t is part of; calls net_release() */
};

/* Starts sending data [bytes] to rank to, or receiving it. *r must be idle. */
enum status net_send(struct transport *t, struct net_request *r, int to, enum net_purpose purpose, int tag,
                     const void *data, size_t bytes);
enum status net_recv(struct transport *t, struct net_request *r, int from, enum net_purpose purpose, int tag,
                     void *data, size_t bytes);

/* Whether r is done; true for an idle one. Where time is virtual, a test that finds nothing done takes a microsecond.
 */
enum status net_test(struct transport *t, struct net_request *r, bool *done);

/* Waits for the first of requests [n] to be done and sets *index to it (of several the lowest), -1 if all are idle. */
enum status net_wait_any(struct transport *t, struct net_request *const *requests, int n, int *index);
enum status net_wait(struct transport *t, struct net_request *r);
enum status net_wait_all(struct transport *t, struct net_request *requests, int n);

/* Without a bound: for what others may take any time to say. */
enum status net_wait_unbounded(struct transport *t, struct net_request *r);

/* One message, started and waited for. */
enum status net_send_wait(struct transport *t, int to, enum net_purpose purpose, int tag, const void *data,
                          size_t bytes);
enum status net_recv_wait(struct transport *t, int from, enum net_purpose purpose, int tag, void *data, size_t bytes);

/* For while a rank computes. */
enum status net_progress(struct transport *t);

/* This rank has computed for that long: moves its clock where time is virtual, else does nothing. */
void net_compute(struct transport *t, double seconds);
double net_now(struct transport *t);

/* This rank cannot go on, for the reason in this thread's status_message(): the others are told, with status. To be
 * called before memory of pending requests is freed, and before net_close(). */
void net_fail(struct transport *t, enum status status);

/* Ends this rank's part; accepts NULL. With mpi it waits for the other ranks to do the same. */
void net_close(struct transport *t);

/* Bytes and messages sent or received for one purpose, to or from all ranks. */
struct net_count net_sent(const struct transport *t, enum net_purpose purpose);
struct net_count net_received(const struct transport *t, enum net_purpose purpose);

/* Appends lines for people: per purpose in total, then per peer; what is zero is left out. */
void net_traffic_text(struct buf *out, const struct transport *t);

/* What the rank waits for and since when, one line without an end; "" if it does not wait. Callable from other threads
 * and from signal handlers: no locks, no stdio. Returns its length, less than size. */
size_t net_waiting_text(char *text, size_t size, const struct transport *t);

/* For implementations. */
enum status net_init(struct transport *t, const struct transport_ops *ops, int rank, int size); /* E_NOMEM */
void net_release(struct transport *t);

/* fail(E_IO) that names the first pending one of requests, and why: a format. */
enum status net_cannot(const struct transport *t, struct net_request *const *requests, int n, const char *why, ...)
    FMT(4, 5);

/* One of requests is no longer pending. */
bool net_any_done(struct net_request *const *requests, int n);

void net_set_awaited(struct net_request *const *requests, int n, bool awaited);

/* The first failure among ranks that share memory. Zero-initialise; status is OK while there is none. */
struct net_failure {
    enum status status;
    int rank; /* whose it is; -1: nobody's */
    char message[1024];
};

/* Keeps the first; false: there was one. */
bool net_failure_set(struct net_failure *f, int rank, enum status status, const char *message);

/* net_cannot() because of f, if there is one. */
enum status net_failure_check(const struct net_failure *f, const struct transport *t,
                              struct net_request *const *requests, int n);

#endif
