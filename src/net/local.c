// SPDX-License-Identifier: Apache-2.0
/* One mutex for all ranks: it guards queues and states, never a copy of data. */
#include "net/local.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

struct local_rank {
    struct transport base;
    struct world *world;
    pthread_t thread;
    pthread_cond_t changed;
    bool left;
    bool blocked;   /* in a wait that nothing has ended yet */
    bool detaching; /* waits for a copy by another rank to end */

    /* Sends to this rank, and its receives, that nothing matches yet; oldest first. */
    struct net_request *sends, *receives, **sends_end, **receives_end;
};

struct world {
    pthread_mutex_t mutex;
    struct local_rank *ranks; /* [n] */
    int n, n_live, n_blocked;
    bool started; /* all threads: no rank begins before, so none has to be waited for that never comes */
    local_rank_fn *fn;
    void *user;

    struct net_failure failure;
};

static struct local_rank *rank_of(struct transport *t)
{
    return (struct local_rank *)t;
}

static void unblock(struct local_rank *r)
{
    if (r->blocked) {
        r->blocked = false;
        r->world->n_blocked--;
    }
    pthread_cond_signal(&r->changed);
}

/* Everybody looks again. */
static void wake_all(struct world *w)
{
    for (int i = 0; i < w->n; i++)
        unblock(&w->ranks[i]);
}

static void set_failed(struct world *w, int rank, enum status status, const char *message)
{
    if (net_failure_set(&w->failure, rank, status, message)) wake_all(w);
}

static void finish(struct net_request *r, enum net_state state)
{
    struct local_rank *owner = rank_of(r->owner);
    const bool wakes = r->awaited || owner->detaching;
    atomic_store(&r->state, (int)state); /* from here on r may be used for something else */
    if (wakes) unblock(owner);
}

static void append(struct net_request ***end, struct net_request *r)
{
    r->queued = NULL;
    **end = r;
    *end = &r->queued;
}

/* false: r is not in the queue. */
static bool take_out(struct net_request **first, struct net_request ***end, struct net_request *r)
{
    struct net_request **at = first;
    while (*at && *at != r)
        at = &(*at)->queued;
    if (!*at) return false;
    *at = r->queued;
    if (*end == &r->queued) *end = at;
    return true;
}

/* The oldest request in the queue that r matches. */
static struct net_request *find(struct net_request *queue, const struct net_request *r)
{
    for (struct net_request *q = queue; q; q = q->queued)
        if (q->owner->rank == r->peer && q->peer == r->owner->rank && q->purpose == r->purpose && q->tag == r->tag)
            return q;
    return NULL;
}

/* Both are in no queue any more, so their ranks leave them alone until they are finished. */
static void copy(struct world *w, struct net_request *send, struct net_request *receive)
{
    const bool fits = send->bytes == receive->bytes;
    if (fits && send->bytes) {
        pthread_mutex_unlock(&w->mutex);
        memcpy(receive->to, send->from, send->bytes);
        pthread_mutex_lock(&w->mutex);
    }
    send->other_bytes = receive->bytes;
    receive->other_bytes = send->bytes;
    finish(send, fits ? NET_DONE : NET_WRONG_SIZE);
    finish(receive, fits ? NET_DONE : NET_WRONG_SIZE);
}

static enum status start(struct transport *t, struct net_request *r)
{
    struct local_rank *me = rank_of(t);
    struct world *w = me->world;
    struct local_rank *to = r->is_send ? &w->ranks[r->peer] : me;
    pthread_mutex_lock(&w->mutex);
    struct net_request *other = find(r->is_send ? to->receives : to->sends, r);
    if (!other) {
        append(r->is_send ? &to->sends_end : &to->receives_end, r);
    } else if (r->is_send) {
        take_out(&to->receives, &to->receives_end, other);
        copy(w, r, other);
    } else {
        take_out(&to->sends, &to->sends_end, other);
        copy(w, other, r);
    }
    pthread_mutex_unlock(&w->mutex);
    return OK;
}

static enum status no_progress_needed(struct transport *t)
{
    struct world *w = rank_of(t)->world;
    pthread_mutex_lock(&w->mutex); /* before what was copied is read */
    pthread_mutex_unlock(&w->mutex);
    return OK;
}

/* Nobody is left to end a wait: says who waits for whom. */
static void set_deadlocked(struct world *w)
{
    char text[sizeof w->failure.message] = "no rank can go on:";
    size_t len = strlen(text);
    for (int i = 0; i < w->n && len < sizeof text; i++) {
        if (w->ranks[i].left) continue;
        const struct net_glance *g = &w->ranks[i].base.glance;
        const int n = snprintf(text + len, sizeof text - len, "%s rank %d waits for rank %d (%s%s, tag %d)",
                               text[len - 1] == ':' ? "" : ",", i, atomic_load(&g->peer),
                               atomic_load(&g->is_send) ? "sending " : "",
                               net_purpose_name((enum net_purpose)atomic_load(&g->purpose)), atomic_load(&g->tag));
        len += n > 0 ? (size_t)n : 0;
    }
    set_failed(w, -1, E_IO, text);
}

/* Why none of these can become done, as a failure; OK if one still may. */
static enum status look_out(struct local_rank *me, struct net_request *const *requests, int n)
{
    struct world *w = me->world;
    TRY(net_failure_check(&w->failure, &me->base, requests, n));
    for (int i = 0; i < n; i++) {
        const struct net_request *r = requests[i];
        if (atomic_load(&r->state) == NET_PENDING && w->ranks[r->peer].left)
            return net_cannot(&me->base, requests, n, "rank %d has finished", r->peer);
    }
    return OK;
}

/* Sleeps until unblock() or the time. false: it is time. */
static bool sleep_until(struct local_rank *me, int64_t deadline_ns)
{
    struct world *w = me->world;
    const struct timespec until = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};
    bool in_time = true;
    me->blocked = true;
    w->n_blocked++;
    if (w->n_blocked == w->n_live) set_deadlocked(w);
    while (me->blocked && in_time)
        in_time = pthread_cond_timedwait(&me->changed, &w->mutex, &until) != ETIMEDOUT;
    if (!me->blocked) return true;
    me->blocked = false;
    w->n_blocked--;
    return false;
}

static enum status wait_any(struct transport *t, struct net_request *const *requests, int n)
{
    struct local_rank *me = rank_of(t);
    const int64_t begin = clock_ns();
    const int64_t deadline = t->timeout_s < 1e9 ? begin + (int64_t)(t->timeout_s * 1e9) : INT64_MAX / 2;
    enum status s = OK;
    pthread_mutex_lock(&me->world->mutex);
    net_set_awaited(requests, n, true);
    bool in_time = true;
    while (s == OK && !net_any_done(requests, n)) {
        s = look_out(me, requests, n);
        if (s == OK && !in_time) s = net_cannot(t, requests, n, "waited %.3g s", t->timeout_s);
        if (s == OK) in_time = sleep_until(me, deadline);
    }
    net_set_awaited(requests, n, false);
    pthread_mutex_unlock(&me->world->mutex);
    return s;
}

/* Takes it out of its queue; false: it is not there, as another rank is copying it or has. */
static bool detach(struct local_rank *me, struct net_request *r)
{
    struct local_rank *to = r->is_send ? &me->world->ranks[r->peer] : me;
    return take_out(r->is_send ? &to->sends : &to->receives, r->is_send ? &to->sends_end : &to->receives_end, r);
}

static void tell_and_detach(struct transport *t, enum status status, const char *message)
{
    struct local_rank *me = rank_of(t);
    struct world *w = me->world;
    pthread_mutex_lock(&w->mutex);
    set_failed(w, t->rank, status, message);
    me->detaching = true;
    for (struct net_request *r = t->pending; r; r = r->next)
        while (atomic_load(&r->state) == NET_PENDING && !detach(me, r))
            pthread_cond_wait(&me->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static void leave(struct transport *t)
{
    struct local_rank *me = rank_of(t);
    pthread_mutex_lock(&me->world->mutex);
    me->left = true;
    me->world->n_live--;
    wake_all(me->world);
    pthread_mutex_unlock(&me->world->mutex);
}

static const struct transport_ops operations = {
    .start = start, .progress = no_progress_needed, .wait = wait_any, .fail = tell_and_detach, .close = leave};

static void *rank_main(void *user)
{
    struct local_rank *me = user;
    struct world *w = me->world;
    pthread_mutex_lock(&w->mutex);
    while (!w->started && w->failure.status == OK)
        pthread_cond_wait(&me->changed, &w->mutex);
    const bool begins = w->started;
    pthread_mutex_unlock(&w->mutex);
    if (!begins) return NULL;
    const enum status s = w->fn(&me->base, w->user);
    if (s != OK) net_fail(&me->base, s);
    net_close(&me->base);
    return NULL;
}

static void free_world(struct world *w)
{
    for (int i = 0; i < w->n; i++) {
        net_release(&w->ranks[i].base);
        pthread_cond_destroy(&w->ranks[i].changed);
    }
    pthread_mutex_destroy(&w->mutex);
    free(w->ranks);
}

static enum status init_world(struct world *w, int n_ranks, local_rank_fn *fn, void *user)
{
    *w = (struct world){.n = n_ranks, .n_live = n_ranks, .fn = fn, .user = user};
    w->ranks = calloc((size_t)n_ranks, sizeof *w->ranks);
    if (!w->ranks) return fail(E_NOMEM, "out of memory for %d ranks", n_ranks);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    enum status s = OK;
    for (int i = 0; i < n_ranks; i++) {
        struct local_rank *r = &w->ranks[i];
        r->world = w;
        r->sends_end = &r->sends;
        r->receives_end = &r->receives;
        pthread_cond_init(&r->changed, &monotonic);
        if (s == OK) s = net_init(&r->base, &operations, i, n_ranks);
    }
    pthread_condattr_destroy(&monotonic);
    if (s != OK) free_world(w);
    return s;
}

/* Ranks 1 and up; signals stay with the program's own threads. Returns how many ranks there are then, with this one. */
static int start_threads(struct world *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int n = 1, error = 0;
    while (n < w->n && !error) {
        error = pthread_create(&w->ranks[n].thread, NULL, rank_main, &w->ranks[n]);
        if (!error) n++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_lock(&w->mutex);
    if (error) {
        fail(E_IO, "cannot start thread %d of %d ranks: %s", n + 1, w->n, strerror(error));
        set_failed(w, -1, E_IO, status_message());
    } else {
        w->started = true;
        wake_all(w);
    }
    pthread_mutex_unlock(&w->mutex);
    return n;
}

enum status local_run(int n_ranks, local_rank_fn *fn, void *user)
{
    struct world w;
    TRY(init_world(&w, n_ranks, fn, user));
    const int n = start_threads(&w);
    if (n == n_ranks) rank_main(&w.ranks[0]);
    for (int i = 1; i < n; i++)
        pthread_join(w.ranks[i].thread, NULL);
    enum status s = w.failure.status;
    if (s != OK && w.failure.rank >= 0 && n_ranks > 1)
        s = fail(s, "rank %d failed: %s", w.failure.rank, w.failure.message);
    else if (s != OK)
        s = fail(s, "%s", w.failure.message);
    free_world(&w);
    return s;
}
