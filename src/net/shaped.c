// SPDX-License-Identifier: Apache-2.0
/* A discrete-event simulation that its ranks drive: whoever comes in moves the world on, up to the earliest clock of
 * those who can still act. One mutex; a rank sleeps on its own condition until it is its turn.
 *
 * A message is made by whichever of its two sides comes first. Both sides are started on the inner transport before
 * they are known here, so by the time a message has virtually arrived, its bytes really have. */
#include "net/shaped.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/max_min.h"

static const double poll_s = 1e-6;

/* One end of a message. */
struct end {
    struct net_request *outer; /* NULL while it was not started, or when its rank let go of it */
    struct net_request inner;
    bool started, done, taken; /* done: in virtual time; taken: its rank knows */
};

struct message {
    int from, to, tag;
    enum net_purpose purpose;
    struct end send, receive;
    bool has_left, has_arrived;
    struct max_min_leaving leaving;
    double arrives_s;
    struct message *all;  /* of the world, for its end */
    struct message *next; /* in its pair's queue, or among the free ones */
    struct message *half; /* of the receiver's that lack one end */
    struct message *next_flying;
};

/* From one rank to another: messages leave one after the other. */
struct pair {
    struct message *first, *last;
    bool dead;
};

struct shaped_rank {
    struct transport base;
    struct shaped *world;
    struct transport *inner;
    pthread_cond_t turn;
    double clock_s, deadline_s;
    bool blocked, timed_out, gone;
    struct message *halves; /* oldest first */
};

struct failure {
    double at_s;
    struct pair *pair;
};

struct shaped {
    pthread_mutex_t mutex;
    int n;
    double now_s;
    struct shaped_rank *ranks; /* [n] */
    struct shaped_link *links; /* [n][n] */
    struct pair *pairs;        /* [n][n] */
    struct pair **leaving;     /* [n_leaving <= n * n]: whose first message is on its way out */
    int *hosts;                /* [n] */
    double *nics;              /* [n] */
    struct max_min cards;
    struct max_min_flow *flows; /* [n * n]: scratch of share() */
    double *rates;
    struct failure *failures; /* [n_failures], by time; those before next_failure have happened */
    struct message *flying;   /* have left and not arrived */
    struct message *free, *all;
    int n_leaving, n_failures, next_failure;
    bool is_shared, is_stale; /* rates are to be computed again */

    struct net_failure failure;
};

static struct shaped_rank *rank_of(struct transport *t)
{
    return (struct shaped_rank *)t;
}

static void set_failed(struct shaped *w, int rank, enum status status, const char *text)
{
    if (!net_failure_set(&w->failure, rank, status, text)) return;
    for (int i = 0; i < w->n; i++)
        pthread_cond_signal(&w->ranks[i].turn);
}

static void unblock(struct shaped_rank *r)
{
    r->blocked = false;
    r->clock_s = r->world->now_s;
}

static void finish(struct end *e)
{
    e->done = true;
    if (!e->outer) return;
    struct shaped_rank *owner = rank_of(e->outer->owner);
    if (owner->blocked && e->outer->awaited) unblock(owner);
}

static struct shaped_link *link_of(struct shaped *w, const struct message *m)
{
    return &w->links[m->from * w->n + m->to];
}

/* The first message of a pair begins to leave. */
static void begin_leaving(struct shaped *w, struct pair *p)
{
    struct message *m = p->first;
    max_min_leave(&m->leaving, (double)m->send.inner.bytes, link_of(w, m)->bytes_per_s, w->now_s);
    w->leaving[w->n_leaving++] = p;
    w->is_stale = w->is_shared;
}

static void share(struct shaped *w)
{
    for (int i = 0; i < w->n_leaving; i++) {
        const struct message *m = w->leaving[i]->first;
        w->flows[i] = (struct max_min_flow){w->hosts[m->from], w->hosts[m->to], link_of(w, m)->bytes_per_s};
    }
    max_min_rates(w->rates, w->flows, w->n_leaving, &w->cards);
    for (int i = 0; i < w->n_leaving; i++)
        max_min_set_rate(&w->leaving[i]->first->leaving, w->rates[i], w->now_s);
    w->is_stale = false;
}

static double next_event(const struct shaped *w)
{
    double at = INFINITY;
    for (int i = 0; i < w->n_leaving; i++)
        at = fmin(at, w->leaving[i]->first->leaving.until_s);
    for (const struct message *m = w->flying; m; m = m->next_flying)
        at = fmin(at, m->arrives_s);
    for (int i = 0; i < w->n; i++)
        if (w->ranks[i].blocked) at = fmin(at, w->ranks[i].deadline_s);
    if (w->next_failure < w->n_failures) at = fmin(at, w->failures[w->next_failure].at_s);
    return at;
}

static void arrive(struct message *m)
{
    m->has_arrived = true;
    if (m->receive.started) finish(&m->receive);
}

static void end_leaving(struct shaped *w, int i)
{
    struct pair *p = w->leaving[i];
    struct message *m = p->first;
    w->leaving[i] = w->leaving[--w->n_leaving];
    w->is_stale = w->is_shared;
    p->first = m->next;
    if (p->first) begin_leaving(w, p);
    m->has_left = true;
    if (m->receive.started) finish(&m->send);
    m->arrives_s = w->now_s + link_of(w, m)->latency_s;
    m->next_flying = w->flying;
    w->flying = m;
}

/* Nothing on this pair arrives any more. */
static void kill_pair(struct shaped *w, struct pair *p)
{
    p->dead = true;
    for (int i = 0; i < w->n_leaving; i++) {
        if (w->leaving[i] != p) continue;
        w->leaving[i] = w->leaving[--w->n_leaving];
        w->is_stale = w->is_shared;
        break;
    }
    for (struct message **m = &w->flying; *m;) {
        if (&w->pairs[(*m)->from * w->n + (*m)->to] == p)
            *m = (*m)->next_flying;
        else
            m = &(*m)->next_flying;
    }
}

/* All that happens at w->now_s: first what ends well, then failures, then deadlines. */
static void do_events(struct shaped *w)
{
    for (int i = 0; i < w->n_leaving;)
        if (w->leaving[i]->first->leaving.until_s <= w->now_s)
            end_leaving(w, i);
        else
            i++;
    for (struct message **m = &w->flying; *m;) {
        struct message *here = *m;
        if (here->arrives_s <= w->now_s) {
            *m = here->next_flying;
            arrive(here);
        } else {
            m = &here->next_flying;
        }
    }
    while (w->next_failure < w->n_failures && w->failures[w->next_failure].at_s <= w->now_s)
        kill_pair(w, w->failures[w->next_failure++].pair);
    for (int i = 0; i < w->n; i++) {
        struct shaped_rank *r = &w->ranks[i];
        if (!r->blocked || r->deadline_s > w->now_s) continue;
        r->timed_out = true;
        unblock(r);
    }
}

/* The rank whose operation comes next; NULL: all wait or are gone. */
static struct shaped_rank *first_rank(const struct shaped *w)
{
    struct shaped_rank *first = NULL;
    for (int i = 0; i < w->n; i++) {
        struct shaped_rank *r = &w->ranks[i];
        if (!r->blocked && !r->gone && (!first || r->clock_s < first->clock_s)) first = r;
    }
    return first;
}

static bool somebody_waits(const struct shaped *w)
{
    for (int i = 0; i < w->n; i++)
        if (w->ranks[i].blocked) return true;
    return false;
}

/* Lets happen what nobody can come before any more, and wakes whose turn it is. */
static void settle(struct shaped *w)
{
    while (w->failure.status == OK) {
        if (w->is_stale) share(w);
        struct shaped_rank *first = first_rank(w);
        const double at = next_event(w);
        if (at < INFINITY && (!first || at <= first->clock_s)) {
            w->now_s = fmax(w->now_s, at);
            do_events(w);
            continue;
        }
        if (first)
            pthread_cond_signal(&first->turn);
        else if (somebody_waits(w))
            set_failed(w, -1, E_IO, "no rank can go on: all wait for each other");
        return;
    }
}

/* With the lock. Returns when nothing can come before this rank's operation, or the run has failed. */
static void take_turn(struct shaped_rank *me)
{
    struct shaped *w = me->world;
    settle(w);
    while (w->failure.status == OK && first_rank(w) != me)
        pthread_cond_wait(&me->turn, &w->mutex);
    if (w->failure.status == OK) w->now_s = fmax(w->now_s, me->clock_s);
}

static struct end *end_of(const struct net_request *outer)
{
    struct message *m = outer->link;
    return outer->is_send ? &m->send : &m->receive;
}

static struct message *new_message(struct shaped *w)
{
    struct message *m = w->free;
    if (m) {
        w->free = m->next;
        struct message *all = m->all;
        memset(m, 0, sizeof *m);
        m->all = all;
        return m;
    }
    m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->all = w->all;
    w->all = m;
    return m;
}

/* The oldest message that has only the other end of r, taken out of the receiver's list; else a new one, put into it.
 */
static struct message *message_for(struct shaped *w, const struct net_request *r)
{
    const int from = r->is_send ? r->owner->rank : r->peer, to = r->is_send ? r->peer : r->owner->rank;
    struct message **at = &w->ranks[to].halves;
    for (; *at; at = &(*at)->half) {
        struct message *m = *at;
        if (m->from != from || m->purpose != r->purpose || m->tag != r->tag) continue;
        if (r->is_send ? m->send.started : m->receive.started) continue;
        *at = m->half;
        return m;
    }
    struct message *m = new_message(w);
    if (!m) return NULL;
    m->from = from;
    m->to = to;
    m->purpose = r->purpose;
    m->tag = r->tag;
    *at = m;
    return m;
}

static void enqueue(struct shaped *w, struct message *m)
{
    struct pair *p = &w->pairs[m->from * w->n + m->to];
    m->next = NULL;
    if (p->first) {
        p->last->next = m;
        p->last = m;
        return;
    }
    p->first = p->last = m;
    if (!p->dead) begin_leaving(w, p);
}

static enum status start_inner(struct transport *inner, struct net_request *to, const struct net_request *r)
{
    if (r->is_send) return net_send(inner, to, r->peer, r->purpose, r->tag, r->from, r->bytes);
    return net_recv(inner, to, r->peer, r->purpose, r->tag, r->to, r->bytes);
}

/* With the lock, when it is this rank's turn: nobody sees a message of which an end has not been started really. */
static enum status start_end(struct shaped_rank *me, struct net_request *r)
{
    struct shaped *w = me->world;
    struct message *m = message_for(w, r);
    if (!m) return fail(E_NOMEM, "out of memory for messages under way");
    r->link = m;
    struct end *e = end_of(r);
    e->outer = r;
    e->started = true;
    TRY(start_inner(me->inner, &e->inner, r));
    if (r->is_send) {
        enqueue(w, m);
    } else {
        if (m->has_left) finish(&m->send);
        if (m->has_arrived) finish(&m->receive);
    }
    return OK;
}

static enum status start(struct transport *t, struct net_request *r)
{
    struct shaped_rank *me = rank_of(t);
    struct shaped *w = me->world;
    pthread_mutex_lock(&w->mutex);
    take_turn(me);
    enum status s = net_failure_check(&w->failure, &me->base, &r, 1);
    if (s == OK) s = start_end(me, r);
    pthread_mutex_unlock(&w->mutex);
    return s;
}

/* Tells the rank which of its requests are done. Their bytes are there: waiting for them does not block. */
static enum status take_done(struct shaped_rank *me, bool *any)
{
    struct shaped *w = me->world;
    for (struct net_request *r = me->base.pending; r; r = r->next) {
        if (atomic_load(&r->state) != NET_PENDING) continue;
        struct end *e = end_of(r);
        if (!e->done) continue;
        TRY(net_wait(me->inner, &e->inner));
        *any = true;
        e->taken = true;
        struct message *m = r->link;
        atomic_store(&r->state, NET_DONE);
        if (m->send.taken && m->receive.taken) {
            m->next = w->free;
            w->free = m;
        }
    }
    return OK;
}

static enum status progress(struct transport *t)
{
    struct shaped_rank *me = rank_of(t);
    struct shaped *w = me->world;
    bool any = false;
    pthread_mutex_lock(&w->mutex);
    take_turn(me);
    enum status s = net_failure_check(&w->failure, &me->base, &t->pending, t->pending ? 1 : 0);
    if (s == OK) s = take_done(me, &any);
    if (s == OK && !any) {
        me->clock_s += poll_s;
        settle(w);
    }
    pthread_mutex_unlock(&w->mutex);
    return s;
}

static enum status wait_any(struct transport *t, struct net_request *const *requests, int n)
{
    struct shaped_rank *me = rank_of(t);
    struct shaped *w = me->world;
    bool any;
    pthread_mutex_lock(&w->mutex);
    take_turn(me);
    enum status s = net_failure_check(&w->failure, &me->base, requests, n);
    if (s == OK) s = take_done(me, &any);
    if (s == OK && !net_any_done(requests, n)) {
        net_set_awaited(requests, n, true);
        me->blocked = true;
        me->timed_out = false;
        me->deadline_s = me->clock_s + t->timeout_s;
        take_turn(me);
        me->blocked = false;
        net_set_awaited(requests, n, false);
        s = net_failure_check(&w->failure, &me->base, requests, n);
        if (s == OK) s = take_done(me, &any);
        if (s == OK && !net_any_done(requests, n))
            s = net_cannot(t, requests, n, "waited %.3g s of virtual time", t->timeout_s);
    }
    pthread_mutex_unlock(&w->mutex);
    return s;
}

/* The inner transport first: whoever sees this run failed must find the reason there. */
static void tell_and_detach(struct transport *t, enum status status, const char *message)
{
    struct shaped_rank *me = rank_of(t);
    pthread_mutex_lock(&me->world->mutex);
    fail(status, "%s", message);
    net_fail(me->inner, status);
    set_failed(me->world, t->rank, status, message);
    for (struct net_request *r = t->pending; r; r = r->next)
        if (r->link) end_of(r)->outer = NULL;
    pthread_mutex_unlock(&me->world->mutex);
}

static double now(struct transport *t)
{
    struct shaped_rank *me = rank_of(t);
    pthread_mutex_lock(&me->world->mutex);
    const double clock_s = me->clock_s;
    pthread_mutex_unlock(&me->world->mutex);
    return clock_s;
}

static void compute(struct transport *t, double seconds)
{
    struct shaped_rank *me = rank_of(t);
    assert(seconds >= 0);
    pthread_mutex_lock(&me->world->mutex);
    me->clock_s += seconds;
    settle(me->world);
    pthread_mutex_unlock(&me->world->mutex);
}

static void leave(struct transport *t)
{
    struct shaped_rank *me = rank_of(t);
    pthread_mutex_lock(&me->world->mutex);
    me->gone = true;
    settle(me->world);
    pthread_mutex_unlock(&me->world->mutex);
}

static const struct transport_ops operations = {.start = start,
                                                .progress = progress,
                                                .wait = wait_any,
                                                .fail = tell_and_detach,
                                                .now = now,
                                                .compute = compute,
                                                .close = leave};

void shaped_fill(struct shaped_link *links, int n, double latency_s, double bytes_per_s)
{
    for (int i = 0; i < n * n; i++)
        links[i] = (struct shaped_link){latency_s, bytes_per_s, INFINITY};
}

static int by_time(const void *a, const void *b)
{
    const double x = ((const struct failure *)a)->at_s, y = ((const struct failure *)b)->at_s;
    return (x > y) - (x < y);
}

static void fill_world(struct shaped *w, const struct shaped_net *net)
{
    const int n = w->n;
    memcpy(w->links, net->links, (size_t)n * (size_t)n * sizeof *w->links);
    w->is_shared = net->hosts != NULL;
    for (int i = 0; i < n; i++) {
        w->hosts[i] = net->hosts ? net->hosts[i] : i;
        assert(w->hosts[i] >= 0 && w->hosts[i] < n);
    }
    for (int i = 0; i < n; i++)
        w->nics[w->hosts[i]] = net->hosts ? net->nic_bytes_per_s[w->hosts[i]] : INFINITY;
    for (int i = 0; i < n * n; i++) {
        assert(w->links[i].bytes_per_s > 0 && w->links[i].latency_s >= 0);
        if (w->links[i].fails_at_s < INFINITY)
            w->failures[w->n_failures++] = (struct failure){w->links[i].fails_at_s, &w->pairs[i]};
    }
    qsort(w->failures, (size_t)w->n_failures, sizeof *w->failures, by_time);
}

static enum status allocate(struct shaped *w)
{
    const size_t n = (size_t)w->n;
    w->ranks = calloc(n, sizeof *w->ranks);
    w->links = calloc(n * n, sizeof *w->links);
    w->pairs = calloc(n * n, sizeof *w->pairs);
    w->leaving = calloc(n * n, sizeof *w->leaving);
    w->failures = calloc(n * n, sizeof *w->failures);
    w->hosts = calloc(n * 3, sizeof *w->hosts);
    w->nics = calloc(n * 3, sizeof *w->nics);
    w->flows = calloc(n * n, sizeof *w->flows);
    w->rates = calloc(n * n, sizeof *w->rates);
    if (!w->ranks || !w->links || !w->pairs || !w->leaving || !w->failures || !w->hosts || !w->nics || !w->flows ||
        !w->rates)
        return fail(E_NOMEM, "out of memory for a network of %d ranks", w->n);
    w->cards = (struct max_min){.n_hosts = w->n,
                                .cards = w->nics,
                                .spare_out = w->nics + n,
                                .spare_in = w->nics + 2 * n,
                                .users_out = w->hosts + n,
                                .users_in = w->hosts + 2 * n};
    for (int i = 0; i < w->n; i++) {
        struct shaped_rank *r = &w->ranks[i];
        r->world = w;
        pthread_cond_init(&r->turn, NULL);
        TRY(net_init(&r->base, &operations, i, w->n));
    }
    return OK;
}

enum status shaped_create(struct shaped **out, const struct shaped_net *net)
{
    struct shaped *w = calloc(1, sizeof *w);
    if (!w) return fail(E_NOMEM, "out of memory for a network of %d ranks", net->n);
    w->n = net->n;
    pthread_mutex_init(&w->mutex, NULL);
    const enum status s = allocate(w);
    if (s != OK) {
        shaped_free(w);
        return s;
    }
    fill_world(w, net);
    *out = w;
    return OK;
}

void shaped_free(struct shaped *w)
{
    if (!w) return;
    for (int i = 0; w->ranks && i < w->n; i++) {
        if (w->ranks[i].world) pthread_cond_destroy(&w->ranks[i].turn);
        net_release(&w->ranks[i].base);
    }
    for (struct message *m = w->all, *next; m; m = next) {
        next = m->all;
        free(m);
    }
    pthread_mutex_destroy(&w->mutex);
    free(w->rates);
    free(w->flows);
    free(w->nics);
    free(w->hosts);
    free(w->failures);
    free(w->leaving);
    free(w->pairs);
    free(w->links);
    free(w->ranks);
    free(w);
}

struct transport *shaped_attach(struct shaped *w, struct transport *inner)
{
    assert(inner->size == w->n);
    struct shaped_rank *r = &w->ranks[inner->rank];
    r->inner = inner;
    return &r->base;
}

struct shaped_job {
    struct shaped *world;
    local_rank_fn *fn;
    void *user;
};

static enum status run_rank(struct transport *inner, void *user)
{
    const struct shaped_job *job = user;
    struct transport *t = shaped_attach(job->world, inner);
    enum status s = job->fn(t, job->user);
    if (s != OK) net_fail(t, s);
    net_close(t);
    return s;
}

enum status shaped_run(const struct shaped_net *net, local_rank_fn *fn, void *user, double *seconds)
{
    struct shaped_job job = {.fn = fn, .user = user};
    TRY(shaped_create(&job.world, net));
    const enum status s = local_run(net->n, run_rank, &job);
    if (s == OK && seconds) {
        *seconds = 0;
        for (int i = 0; i < net->n; i++)
            *seconds = fmax(*seconds, job.world->ranks[i].clock_s);
    }
    shaped_free(job.world);
    return s;
}
