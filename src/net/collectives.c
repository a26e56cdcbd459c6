// SPDX-License-Identifier: Apache-2.0
/* Rings are state machines: what can be started is started, what has ended is taken, in the order of segments on either
 * side, until all four cursors are at the end. Segments of a chunk are cut alike by sender and receiver. */
#include "net/collectives.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEGMENT_BYTES = 1 << 20, /* 8 of them cover 1 Gbps at 67 ms */
    WINDOW = 8,
    ROUND = 64, /* direct messages of one rank under way, each way */
};

static int count_requests(int n, int window)
{
    const int round = n - 1 < ROUND ? n - 1 : ROUND;
    return 2 * (window > round ? window : round) + 2; /* a barrier needs two in any case */
}

static void apply_defaults(struct group_shape *s)
{
    if (!s->segment_bytes) s->segment_bytes = SEGMENT_BYTES;
    if (!s->window) s->window = WINDOW;
}

size_t group_bytes(const struct group_shape *shape)
{
    struct group_shape s = *shape;
    apply_defaults(&s);
    return s.segment_bytes * (size_t)s.window + (size_t)count_requests(s.n, s.window) * sizeof(struct net_request) +
           (size_t)s.n * GROUP_MAX_VALUES * sizeof(double);
}

enum status group_open(struct group *g, struct transport *t, const struct group_shape *shape)
{
    struct group_shape s = *shape;
    apply_defaults(&s);
    assert(s.n >= 1 && s.stride >= 1 && s.first >= 0 && s.first + s.stride * (s.n - 1) < t->size);
    assert(s.segment_bytes % 64 == 0 && s.window >= 1);
    const int me = (t->rank - s.first) / s.stride;
    assert(t->rank >= s.first && me < s.n && s.first + me * s.stride == t->rank);

    const int n_requests = count_requests(s.n, s.window);
    char *scratch = aligned_alloc(64, s.segment_bytes * (size_t)s.window);
    struct net_request *requests = calloc((size_t)n_requests, sizeof *requests);
    double *values = calloc((size_t)s.n * GROUP_MAX_VALUES, sizeof *values);
    if (!scratch || !requests || !values) {
        free(values);
        free(requests);
        free(scratch);
        return fail(E_NOMEM, "out of memory for a group of %d ranks (%zu bytes)", s.n, group_bytes(&s));
    }
    *g = (struct group){.t = t,
                        .first = s.first,
                        .stride = s.stride,
                        .n = s.n,
                        .me = me,
                        .tag = s.tag,
                        .segment_bytes = s.segment_bytes,
                        .window = s.window,
                        .scratch = scratch,
                        .requests = requests,
                        .n_requests = n_requests,
                        .values = values};
    return OK;
}

void group_close(struct group *g)
{
    free(g->values);
    free(g->requests);
    free(g->scratch);
    *g = (struct group){0};
}

/* The rank of a member, counted round. */
static int rank_of(const struct group *g, int member)
{
    return g->first + (member % g->n + g->n) % g->n * g->stride;
}

static enum status send_to(struct group *g, struct net_request *r, int member, enum net_purpose purpose,
                           const void *data, size_t bytes)
{
    return net_send(g->t, r, rank_of(g, member), purpose, g->tag, data, bytes);
}

static enum status recv_from(struct group *g, struct net_request *r, int member, enum net_purpose purpose, void *data,
                             size_t bytes)
{
    return net_recv(g->t, r, rank_of(g, member), purpose, g->tag, data, bytes);
}

size_t group_chunk(size_t count, int n, int c)
{
    const size_t parts = (size_t)n, at = (size_t)c, longer = count % parts;
    return count / parts * at + (at < longer ? at : longer);
}

static size_t chunk_begin(size_t count, const size_t *bounds, int n, int c)
{
    return bounds ? bounds[c] : group_chunk(count, n, c);
}

size_t group_ring_bytes(size_t count, size_t width, const size_t *bounds, int n, int me, bool reduces)
{
    const int left_out = reduces ? me : (me + 1) % n;
    const size_t all = chunk_begin(count, bounds, n, n) - chunk_begin(count, bounds, n, 0);
    return width * (all - (chunk_begin(count, bounds, n, left_out + 1) - chunk_begin(count, bounds, n, left_out)));
}

size_t group_allreduce_bytes(int n, int me, size_t count, size_t width, const size_t *bounds)
{
    return group_ring_bytes(count, width, bounds, n, me, true) + group_ring_bytes(count, width, bounds, n, me, false);
}

/* A segment: len bytes of x, 0 at the end of the ring. */
struct segment {
    char *data;
    size_t len;
};

/* In step s this member sends the chunk that it received in step s - 1, and receives the one it sends in step s + 1. */
static int chunk_of(const struct group *g, int step)
{
    const int c = g->me - step - (g->ring.reduces ? 1 : 0);
    return (c % g->n + g->n) % g->n;
}

/* The segment at a cursor, which is moved over chunks that are at their end. comes: whether it is about receiving. */
static struct segment segment_at(const struct group *g, struct ring_cursor *cursor, bool comes)
{
    const struct ring *r = &g->ring;
    while (cursor->step < g->n - 1) {
        const int c = chunk_of(g, cursor->step + (comes ? 1 : 0));
        const size_t begin = chunk_begin(r->count, r->bounds, g->n, c) * r->width;
        const size_t len = chunk_begin(r->count, r->bounds, g->n, c + 1) * r->width - begin;
        if (cursor->at < len) {
            const size_t left = len - cursor->at, most = g->segment_bytes / r->width * r->width;
            return (struct segment){r->x + begin + cursor->at, left < most ? left : most};
        }
        *cursor = (struct ring_cursor){.step = cursor->step + 1};
    }
    return (struct segment){NULL, 0};
}

static struct net_request *request_in(struct group *g, unsigned long long i)
{
    return &g->requests[i % (unsigned)g->window];
}

static struct net_request *request_out(struct group *g, unsigned long long i)
{
    return &g->requests[(unsigned)g->window + i % (unsigned)g->window];
}

static char *scratch_of(struct group *g, unsigned long long i)
{
    return g->scratch + i % (unsigned)g->window * g->segment_bytes;
}

/* What arrives in place must not overwrite what is still being sent: only a gathering ring receives in place, and there
 * what it sends are other chunks. */
static enum status start_receives(struct group *g)
{
    struct ring *r = &g->ring;
    while (r->started_in - r->ended_in < (unsigned)g->window) {
        const struct segment s = segment_at(g, &r->next_in, true);
        if (!s.len) break;
        char *to = r->reduces ? scratch_of(g, r->started_in) : s.data;
        TRY(recv_from(g, request_in(g, r->started_in), g->me - 1, r->purpose, to, s.len));
        r->started_in++;
        r->next_in.at += s.len;
    }
    return OK;
}

/* Whether the segment to be sent next has arrived, a step ago. */
static bool has_arrived(const struct ring *r, struct segment s)
{
    const int step = r->next_out.step - 1;
    return step < 0 || r->done_in.step > step || (r->done_in.step == step && r->done_in.at >= r->next_out.at + s.len);
}

static enum status start_sends(struct group *g)
{
    struct ring *r = &g->ring;
    while (r->started_out - r->ended_out < (unsigned)g->window) {
        const struct segment s = segment_at(g, &r->next_out, false);
        if (!s.len || !has_arrived(r, s)) break;
        TRY(send_to(g, request_out(g, r->started_out), g->me + 1, r->purpose, s.data, s.len));
        r->started_out++;
        r->next_out.at += s.len;
    }
    return OK;
}

static void add(float *restrict x, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = y[i] + x[i]; /* what came round, and then one's own */
}

/* The oldest receive is done. */
static void take_in(struct group *g)
{
    struct ring *r = &g->ring;
    const struct segment s = segment_at(g, &r->done_in, true);
    if (r->reduces)
        add((float *)(void *)s.data, (const float *)(const void *)scratch_of(g, r->ended_in), s.len / r->width);
    r->ended_in++;
    r->done_in.at += s.len;
}

static void take_out(struct group *g)
{
    g->ring.done_out.at += segment_at(g, &g->ring.done_out, false).len;
    g->ring.ended_out++;
}

static void reset(struct ring *r)
{
    r->next_in = r->next_out = r->done_in = r->done_out = (struct ring_cursor){0};
    r->started_in = r->started_out = r->ended_in = r->ended_out = 0;
}

static bool is_at_end(struct group *g)
{
    struct ring *r = &g->ring;
    return !segment_at(g, &r->done_in, true).len && !segment_at(g, &r->done_out, false).len;
}

/* Starts what can be; at the end of one ring goes over to the next, or sets the group to rest. */
static enum status push(struct group *g)
{
    struct ring *r = &g->ring;
    if (is_at_end(g)) {
        r->active = r->then_gathers;
        r->then_gathers = r->reduces = false;
        reset(r);
        if (!r->active || is_at_end(g)) {
            r->active = false;
            return OK;
        }
    }
    TRY(start_receives(g));
    return start_sends(g);
}

static enum status begin(struct group *g, const struct ring *ring)
{
    assert(!g->ring.active && ring->width <= g->segment_bytes);
    g->ring = *ring;
    g->ring.active = true;
    return push(g);
}

enum status group_begin_reduce_scatter(struct group *g, enum net_purpose purpose, float *x, size_t count,
                                       const size_t *bounds)
{
    return begin(
        g,
        &(struct ring){
            .reduces = true, .purpose = purpose, .x = (char *)x, .count = count, .width = sizeof *x, .bounds = bounds});
}

enum status group_begin_allgather(struct group *g, enum net_purpose purpose, void *x, size_t count, size_t width,
                                  const size_t *bounds)
{
    return begin(g, &(struct ring){.purpose = purpose, .x = x, .count = count, .width = width, .bounds = bounds});
}

enum status group_begin_allreduce(struct group *g, enum net_purpose purpose, float *x, size_t count)
{
    return begin(g, &(struct ring){.reduces = true,
                                   .then_gathers = true,
                                   .purpose = purpose,
                                   .x = (char *)x,
                                   .count = count,
                                   .width = sizeof *x});
}

enum status group_test(struct group *g, bool *done)
{
    struct ring *r = &g->ring;
    while (r->active) {
        bool came = false, went = false;
        if (r->ended_in < r->started_in) TRY(net_test(g->t, request_in(g, r->ended_in), &came));
        if (came) take_in(g);
        if (r->ended_out < r->started_out) TRY(net_test(g->t, request_out(g, r->ended_out), &went));
        if (went) take_out(g);
        if (!came && !went) break;
        TRY(push(g));
    }
    *done = !r->active;
    return OK;
}

enum status group_wait(struct group *g)
{
    struct ring *r = &g->ring;
    while (r->active) {
        struct net_request *const oldest[] = {request_in(g, r->ended_in), request_out(g, r->ended_out)};
        int index;
        TRY(net_wait_any(g->t, oldest, 2, &index));
        assert(index >= 0);
        if (index == 0) {
            take_in(g);
        } else {
            take_out(g);
        }
        TRY(push(g));
    }
    return OK;
}

enum status group_reduce_scatter(struct group *g, enum net_purpose purpose, float *x, size_t count,
                                 const size_t *bounds)
{
    TRY(group_begin_reduce_scatter(g, purpose, x, count, bounds));
    return group_wait(g);
}

enum status group_allgather(struct group *g, enum net_purpose purpose, void *x, size_t count, size_t width,
                            const size_t *bounds)
{
    TRY(group_begin_allgather(g, purpose, x, count, width, bounds));
    return group_wait(g);
}

enum status group_allreduce(struct group *g, enum net_purpose purpose, float *x, size_t count)
{
    TRY(group_begin_allreduce(g, purpose, x, count));
    return group_wait(g);
}

enum status group_barrier(struct group *g)
{
    assert(!g->ring.active);
    for (int hop = 1; hop < g->n; hop *= 2) { /* after each round one has heard of twice as many */
        TRY(recv_from(g, &g->requests[0], g->me - hop, NET_CONTROL, NULL, 0));
        TRY(send_to(g, &g->requests[1], g->me + hop, NET_CONTROL, NULL, 0));
        TRY(net_wait_all(g->t, g->requests, 2));
    }
    return OK;
}

enum status group_exchange(struct group *g, void *all, const void *one, size_t bytes)
{
    assert(!g->ring.active);
    char *to = all;
    memcpy(to + (size_t)g->me * bytes, one, bytes);
    for (int begin = 1; begin < g->n; begin += ROUND) {
        const int end = begin + ROUND < g->n ? begin + ROUND : g->n;
        struct net_request *r = g->requests;
        for (int hop = begin; hop < end; hop++) {
            const int from = (g->me - hop + g->n) % g->n;
            TRY(recv_from(g, r++, from, NET_CONTROL, to + (size_t)from * bytes, bytes));
        }
        for (int hop = begin; hop < end; hop++)
            TRY(send_to(g, r++, g->me + hop, NET_CONTROL, to + (size_t)g->me * bytes, bytes));
        TRY(net_wait_all(g->t, g->requests, 2 * (end - begin)));
    }
    return OK;
}

enum status group_gather(struct group *g, int root, void *all, const void *one, size_t bytes)
{
    assert(!g->ring.active);
    if (g->me != root) {
        TRY(send_to(g, &g->requests[0], root, NET_CONTROL, one, bytes));
        return net_wait(g->t, &g->requests[0]);
    }
    char *to = all;
    memcpy(to + (size_t)root * bytes, one, bytes);
    for (int begin = 1; begin < g->n; begin += ROUND) {
        const int end = begin + ROUND < g->n ? begin + ROUND : g->n;
        for (int hop = begin; hop < end; hop++) {
            const int from = (root + hop) % g->n;
            TRY(recv_from(g, &g->requests[hop - begin], from, NET_CONTROL, to + (size_t)from * bytes, bytes));
        }
        TRY(net_wait_all(g->t, g->requests, end - begin));
    }
    return OK;
}

enum status group_sum(struct group *g, double *values, int n_values)
{
    assert(n_values <= GROUP_MAX_VALUES);
    TRY(group_exchange(g, g->values, values, (size_t)n_values * sizeof *values));
    for (int i = 0; i < n_values; i++) {
        values[i] = 0;
        for (int member = 0; member < g->n; member++)
            values[i] += g->values[member * n_values + i];
    }
    return OK;
}

enum status group_max(struct group *g, double *values, int n_values)
{
    assert(n_values <= GROUP_MAX_VALUES);
    TRY(group_exchange(g, g->values, values, (size_t)n_values * sizeof *values));
    for (int i = 0; i < n_values; i++) {
        values[i] = g->values[i];
        for (int member = 1; member < g->n; member++) {
            const double v = g->values[member * n_values + i];
            if (isnan(v) || v > values[i]) values[i] = v;
            if (isnan(values[i])) break;
        }
    }
    return OK;
}

/* Counted from the root, member v gets it from v without its highest bit, and passes it to v + each higher power of
 * two. */
enum status group_broadcast(struct group *g, enum net_purpose purpose, int root, void *data, size_t bytes)
{
    assert(!g->ring.active);
    const int v = (g->me - root + g->n) % g->n;
    int hop = 1;
    while (hop <= v)
        hop *= 2;
    if (v > 0) {
        TRY(recv_from(g, &g->requests[0], g->me - hop / 2, purpose, data, bytes));
        TRY(net_wait(g->t, &g->requests[0]));
    }
    for (; v + hop < g->n; hop *= 2) {
        TRY(send_to(g, &g->requests[0], g->me + hop, purpose, data, bytes));
        TRY(net_wait(g->t, &g->requests[0]));
    }
    return OK;
}
