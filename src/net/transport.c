// SPDX-License-Identifier: Apache-2.0
/* What all transports have in common: checks, counts, the list of pending requests, and what is said when a wait fails.
 */
#include "net/transport.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

const char *net_purpose_name(enum net_purpose purpose)
{
    static const char *const names[NET_PURPOSES] = {"activations", "gradients", "sync", "control"};
    return names[purpose];
}

enum status net_init(struct transport *t, const struct transport_ops *ops, int rank, int size)
{
    struct net_count *counts = calloc((size_t)size * NET_PURPOSES * 2, sizeof *counts);
    if (!counts) return fail(E_NOMEM, "out of memory for the counters of %d ranks", size);
    t->ops = ops;
    t->rank = rank;
    t->size = size;
    t->timeout_s = NET_TIMEOUT_S;
    t->sent = counts;
    t->received = counts + (size_t)size * NET_PURPOSES;
    return OK;
}

void net_release(struct transport *t)
{
    free(t->sent);
}

static enum status again(const struct transport *t)
{
    return fail(t->status, "%s", t->message);
}

/* The first failure: kept, told to the others, and all requests are let go of. */
static enum status break_down(struct transport *t, enum status status)
{
    if (t->broken) return again(t);
    t->broken = true;
    t->status = status;
    snprintf(t->message, sizeof t->message, "%s", status_message());
    t->ops->fail(t, status, t->message);
    while (t->pending) {
        struct net_request *r = t->pending;
        t->pending = r->next;
        atomic_store(&r->state, NET_IDLE);
    }
    t->n_pending = 0;
    return again(t);
}

void net_fail(struct transport *t, enum status status)
{
    break_down(t, status);
}

static enum status start(struct transport *t, struct net_request *r)
{
    assert(r->peer >= 0 && r->peer < t->size && r->peer != t->rank);
    assert(r->tag >= 0 && r->tag <= NET_MAX_TAG && r->purpose < NET_PURPOSES);
    if (t->broken) return again(t);
    if (t->n_pending == NET_MAX_PENDING)
        return break_down(
            t, fail(E_LIMIT, "rank %d: more than %d sends and receives at a time", t->rank, NET_MAX_PENDING));
    struct net_count *c = (r->is_send ? t->sent : t->received) + r->peer * NET_PURPOSES + r->purpose;
    c->bytes += r->bytes;
    c->messages++;
    r->owner = t;
    r->next = t->pending;
    r->previous = NULL;
    if (r->next) r->next->previous = r;
    t->pending = r;
    t->n_pending++;
    atomic_store(&r->state, NET_PENDING);
    const enum status s = t->ops->start(t, r);
    return s == OK ? OK : break_down(t, s);
}

/* Fields one by one: a structure with an atomic in it is not assigned. */
static void fill(struct net_request *r, bool is_send, int peer, enum net_purpose purpose, int tag, size_t bytes)
{
    assert(atomic_load(&r->state) == NET_IDLE);
    r->is_send = is_send;
    r->peer = peer;
    r->purpose = purpose;
    r->tag = tag;
    r->bytes = bytes;
    r->other_bytes = 0;
    r->queued = r->dequeuing = NULL;
    r->link = NULL;
    r->n_left = 0;
    r->awaited = false;
}

enum status net_send(struct transport *t, struct net_request *r, int to, enum net_purpose purpose, int tag,
                     const void *data, size_t bytes)
{
    fill(r, true, to, purpose, tag, bytes);
    r->from = data;
    r->to = NULL;
    return start(t, r);
}

enum status net_recv(struct transport *t, struct net_request *r, int from, enum net_purpose purpose, int tag,
                     void *data, size_t bytes)
{
    fill(r, false, from, purpose, tag, bytes);
    r->from = NULL;
    r->to = data;
    return start(t, r);
}

/* "64 bytes from rank 1 (activations, tag 3)" */
static void describe(char *text, size_t size, const struct net_request *r)
{
    snprintf(text, size, "%zu bytes %s rank %d (%s, tag %d)", r->bytes, r->is_send ? "to be taken by" : "from", r->peer,
             net_purpose_name(r->purpose), r->tag);
}

enum status net_cannot(const struct transport *t, struct net_request *const *requests, int n, const char *why, ...)
{
    const struct net_request *first = NULL;
    int others = -1;
    for (int i = 0; i < n; i++) {
        if (atomic_load(&requests[i]->state) != NET_PENDING) continue;
        if (!first) first = requests[i];
        others++;
    }
    char reason[512], what[160] = "nothing", more[40] = "";
    va_list args;
    va_start(args, why);
    vsnprintf(reason, sizeof reason, why, args);
    va_end(args);
    if (first) describe(what, sizeof what, first);
    if (others > 0) snprintf(more, sizeof more, " or %d others", others);
    return fail(E_IO, "rank %d: waiting for %s%s: %s", t->rank, what, more, reason);
}

bool net_any_done(struct net_request *const *requests, int n)
{
    for (int i = 0; i < n; i++) {
        const int state = atomic_load(&requests[i]->state);
        if (state == NET_DONE || state == NET_WRONG_SIZE) return true;
    }
    return false;
}

void net_set_awaited(struct net_request *const *requests, int n, bool awaited)
{
    for (int i = 0; i < n; i++)
        requests[i]->awaited = awaited;
}

bool net_failure_set(struct net_failure *f, int rank, enum status status, const char *message)
{
    if (f->status != OK) return false;
    f->status = status;
    f->rank = rank;
    snprintf(f->message, sizeof f->message, "%s", message);
    return true;
}

enum status net_failure_check(const struct net_failure *f, const struct transport *t,
                              struct net_request *const *requests, int n)
{
    if (f->status == OK) return OK;
    if (f->rank >= 0) return net_cannot(t, requests, n, "rank %d failed: %s", f->rank, f->message);
    return net_cannot(t, requests, n, "%s", f->message);
}

/* r is no longer pending: it leaves the list. */
static enum status settle(struct transport *t, struct net_request *r)
{
    if (atomic_load(&r->state) == NET_WRONG_SIZE) {
        char what[160];
        describe(what, sizeof what, r);
        return break_down(t,
                          fail(E_FORMAT, "rank %d: %s: the other side means %zu bytes", t->rank, what, r->other_bytes));
    }
    *(r->previous ? &r->previous->next : &t->pending) = r->next;
    if (r->next) r->next->previous = r->previous;
    t->n_pending--;
    atomic_store(&r->state, NET_IDLE);
    return OK;
}

enum status net_progress(struct transport *t)
{
    if (t->broken) return again(t);
    const enum status s = t->ops->progress(t);
    return s == OK ? OK : break_down(t, s);
}

enum status net_test(struct transport *t, struct net_request *r, bool *done)
{
    if (t->broken) return again(t);
    if (atomic_load(&r->state) == NET_PENDING) TRY(net_progress(t));
    const int state = atomic_load(&r->state);
    if (state == NET_DONE || state == NET_WRONG_SIZE) TRY(settle(t, r));
    *done = state != NET_PENDING;
    return OK;
}

static void begin_glance(struct transport *t, const struct net_request *r)
{
    struct net_glance *g = &t->glance;
    atomic_store_explicit(&g->is_send, r->is_send, memory_order_relaxed);
    atomic_store_explicit(&g->peer, r->peer, memory_order_relaxed);
    atomic_store_explicit(&g->purpose, (int)r->purpose, memory_order_relaxed);
    atomic_store_explicit(&g->tag, r->tag, memory_order_relaxed);
    atomic_store_explicit(&g->bytes, (long long)r->bytes, memory_order_relaxed);
    atomic_store_explicit(&g->since_ns, clock_ns(), memory_order_relaxed);
    atomic_store_explicit(&g->waiting, true, memory_order_release);
}

static enum status wait_for_one(struct transport *t, struct net_request *const *requests, int n,
                                const struct net_request *first_pending)
{
    begin_glance(t, first_pending);
    const enum status s = t->ops->wait(t, requests, n);
    atomic_store_explicit(&t->glance.waiting, false, memory_order_release);
    return s == OK ? OK : break_down(t, s);
}

enum status net_wait_any(struct transport *t, struct net_request *const *requests, int n, int *index)
{
    if (t->broken) return again(t);
    const struct net_request *pending = NULL;
    *index = -1;
    for (int i = 0; i < n && !pending; i++)
        if (atomic_load(&requests[i]->state) == NET_PENDING) pending = requests[i];
    if (pending && !net_any_done(requests, n)) TRY(wait_for_one(t, requests, n, pending));
    for (int i = 0; i < n; i++) {
        const int state = atomic_load(&requests[i]->state);
        if (state != NET_DONE && state != NET_WRONG_SIZE) continue;
        TRY(settle(t, requests[i]));
        *index = i;
        return OK;
    }
    return OK;
}

enum status net_wait(struct transport *t, struct net_request *r)
{
    int index;
    return net_wait_any(t, &r, 1, &index);
}

enum status net_wait_all(struct transport *t, struct net_request *requests, int n)
{
    for (int i = 0; i < n; i++)
        TRY(net_wait(t, &requests[i]));
    return OK;
}

enum status net_wait_unbounded(struct transport *t, struct net_request *r)
{
    const double bound = t->timeout_s;
    t->timeout_s = (double)INFINITY;
    const enum status s = net_wait(t, r);
    t->timeout_s = bound;
    return s;
}

enum status net_send_wait(struct transport *t, int to, enum net_purpose purpose, int tag, const void *data,
                          size_t bytes)
{
    struct net_request r = {0};
    TRY(net_send(t, &r, to, purpose, tag, data, bytes));
    return net_wait(t, &r);
}

enum status net_recv_wait(struct transport *t, int from, enum net_purpose purpose, int tag, void *data, size_t bytes)
{
    struct net_request r = {0};
    TRY(net_recv(t, &r, from, purpose, tag, data, bytes));
    return net_wait(t, &r);
}

void net_compute(struct transport *t, double seconds)
{
    if (t->ops->compute && !t->broken) t->ops->compute(t, seconds);
}

double net_now(struct transport *t)
{
    return t->ops->now ? t->ops->now(t) : (double)clock_ns() * 1e-9;
}

void net_close(struct transport *t)
{
    if (!t) return;
    if (t->pending) {
        char what[160];
        describe(what, sizeof what, t->pending);
        break_down(t, fail(E_IO, "rank %d: left while %d requests were pending: %s", t->rank, t->n_pending, what));
    }
    t->ops->close(t);
}

static struct net_count total(const struct transport *t, const struct net_count *counts, enum net_purpose purpose)
{
    struct net_count sum = {0};
    for (int peer = 0; peer < t->size; peer++) {
        sum.bytes += counts[peer * NET_PURPOSES + (int)purpose].bytes;
        sum.messages += counts[peer * NET_PURPOSES + (int)purpose].messages;
    }
    return sum;
}

struct net_count net_sent(const struct transport *t, enum net_purpose purpose)
{
    return total(t, t->sent, purpose);
}

struct net_count net_received(const struct transport *t, enum net_purpose purpose)
{
    return total(t, t->received, purpose);
}

static void put_counts(struct buf *out, struct net_count sent, struct net_count received)
{
    buf_printf(out, ": sent %" PRIu64 " bytes in %" PRIu64 " messages, received %" PRIu64 " in %" PRIu64 "\n",
               sent.bytes, sent.messages, received.bytes, received.messages);
}

void net_traffic_text(struct buf *out, const struct transport *t)
{
    for (enum net_purpose p = 0; p < NET_PURPOSES; p++) {
        const struct net_count sent = net_sent(t, p), received = net_received(t, p);
        if (!sent.messages && !received.messages) continue;
        buf_printf(out, "rank %d: %s", t->rank, net_purpose_name(p));
        put_counts(out, sent, received);
        for (int peer = 0; peer < t->size; peer++) {
            const int at = peer * NET_PURPOSES + (int)p;
            if (!t->sent[at].messages && !t->received[at].messages) continue;
            buf_printf(out, "rank %d: %s, with rank %d", t->rank, net_purpose_name(p), peer);
            put_counts(out, t->sent[at], t->received[at]);
        }
    }
}

struct line {
    char *text;
    size_t size, len;
};

static void line_puts(struct line *l, const char *text)
{
    for (; *text && l->len + 1 < l->size; text++)
        l->text[l->len++] = *text;
    if (l->size) l->text[l->len] = 0;
}

static void line_number(struct line *l, long long number)
{
    char digits[24], *at = digits + sizeof digits - 1;
    *at = 0;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    line_puts(l, at);
}

size_t net_waiting_text(char *text, size_t size, const struct transport *t)
{
    const struct net_glance *g = &t->glance;
    struct line l = {text, size, 0};
    line_puts(&l, "");
    if (!atomic_load_explicit(&g->waiting, memory_order_acquire)) return 0;
    line_puts(&l, "rank ");
    line_number(&l, t->rank);
    line_puts(&l, " has waited ");
    line_number(&l, (clock_ns() - atomic_load(&g->since_ns)) / 1000000);
    line_puts(&l, " ms for ");
    line_number(&l, atomic_load(&g->bytes));
    line_puts(&l, atomic_load(&g->is_send) ? " bytes to be taken by rank " : " bytes from rank ");
    line_number(&l, atomic_load(&g->peer));
    line_puts(&l, " (");
    line_puts(&l, net_purpose_name((enum net_purpose)atomic_load(&g->purpose)));
    line_puts(&l, ", tag ");
    line_number(&l, atomic_load(&g->tag));
    line_puts(&l, ")");
    return l.len;
}
