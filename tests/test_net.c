// SPDX-License-Identifier: Apache-2.0
/* Transports and collectives: matching, counts, what is said when somebody fails; sums in the order that is promised;
 * and virtual times against closed formulas. Ranks are threads, so they report failures as statuses: EXPECT(). */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "net/collectives.h"
#include "net/local.h"
#include "net/shaped.h"
#include "net_scenario.h"

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) return fail(E_NUMERIC, "line %d: not so: %s", __LINE__, #condition);                         \
    } while (0)

static void run(int n_ranks, local_rank_fn *fn, void *user)
{
    if (local_run(n_ranks, fn, user) != OK) fail_msg("%d ranks: %s", n_ranks, status_message());
}

static void expect_failure(enum status got, enum status status, const char *text)
{
    assert_int_equal(got, status);
    if (!strstr(status_message(), text)) fail_msg("'%s' does not say '%s'", status_message(), text);
}

static void expect_near(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance)) fail_msg("%.9g is not %.9g", got, expected);
}

/* Messages */

static enum status match(struct transport *t, void *user)
{
    (void)user;
    struct net_request r[5] = {0};
    if (t->rank == 0) {
        const char *const texts[] = {"one", "two", "six", "act", ""};
        TRY(net_send(t, &r[0], 1, NET_SYNC, 4, texts[0], 4));
        TRY(net_send(t, &r[1], 1, NET_SYNC, 4, texts[1], 4));
        TRY(net_send(t, &r[2], 1, NET_SYNC, 6, texts[2], 4));
        TRY(net_send(t, &r[3], 1, NET_ACTIVATIONS, 4, texts[3], 4));
        TRY(net_send(t, &r[4], 1, NET_CONTROL, NET_MAX_TAG, NULL, 0));
        return net_wait_all(t, r, 5);
    }
    char in[4][4];
    TRY(net_recv(t, &r[4], 0, NET_CONTROL, NET_MAX_TAG, NULL, 0));
    TRY(net_recv(t, &r[3], 0, NET_ACTIVATIONS, 4, in[3], 4));
    TRY(net_recv(t, &r[2], 0, NET_SYNC, 6, in[2], 4));
    TRY(net_wait(t, &r[3]));
    TRY(net_wait(t, &r[2]));
    TRY(net_recv(t, &r[0], 0, NET_SYNC, 4, in[0], 4));
    TRY(net_recv(t, &r[1], 0, NET_SYNC, 4, in[1], 4));
    TRY(net_wait_all(t, r, 5));
    EXPECT(!strcmp(in[0], "one") && !strcmp(in[1], "two") && !strcmp(in[2], "six") && !strcmp(in[3], "act"));
    EXPECT(net_received(t, NET_SYNC).bytes == 12 && net_received(t, NET_SYNC).messages == 3);
    EXPECT(net_received(t, NET_CONTROL).bytes == 0 && net_received(t, NET_CONTROL).messages == 1);
    EXPECT(net_sent(t, NET_SYNC).messages == 0 && net_received(t, NET_GRADIENTS).messages == 0);
    struct buf text = {0};
    net_traffic_text(&text, t);
    const bool said = text.data &&
                      strstr(text.data, "rank 1: sync, with rank 0: sent 0 bytes in 0 messages, received 12 in 3");
    buf_free(&text);
    EXPECT(said);
    return OK;
}

static void messages_are_matched_by_peer_purpose_and_tag_in_order(void **state)
{
    (void)state;
    struct shaped_link links[4];
    shaped_fill(links, 2, 0.1, 1e6);
    for (int i = 0; i < 20; i++)
        run(2, match, NULL);
    assert_int_equal(shaped_run(&(struct shaped_net){.n = 2, .links = links}, match, NULL, NULL), OK);
}

static enum status wait_for_any(struct transport *t, void *user)
{
    (void)user;
    struct net_request r[3] = {0}, go = {0};
    struct net_request *const all[] = {&r[0], &r[1], &r[2]};
    int got[3], index;
    bool done;
    if (t->rank) {
        TRY(net_recv(t, &go, 0, NET_CONTROL, 0, NULL, 0)); /* in the order that rank 0 wants them */
        TRY(net_wait(t, &go));
        TRY(net_send(t, &go, 0, NET_SYNC, 1, &t->rank, sizeof t->rank));
        return net_wait(t, &go);
    }
    TRY(net_wait_any(t, all, 3, &index));
    EXPECT(index == -1);
    for (int i = 0; i < 3; i++)
        TRY(net_recv(t, &r[i], i + 1, NET_SYNC, 1, &got[i], sizeof got[i]));
    TRY(net_test(t, &r[0], &done));
    EXPECT(!done);
    for (int i = 2; i >= 0; i--) {
        TRY(net_send(t, &go, i + 1, NET_CONTROL, 0, NULL, 0));
        TRY(net_wait(t, &go));
        TRY(net_wait_any(t, all, 3, &index));
        EXPECT(index == i && got[i] == i + 1);
        TRY(net_test(t, &r[i], &done));
        EXPECT(done);
    }
    return OK;
}

static void waiting_for_any_skips_what_is_idle(void **state)
{
    (void)state;
    run(4, wait_for_any, NULL);
}

/* Failures */

static enum status second_fails(struct transport *t, void *user)
{
    (void)user;
    struct net_request r[2] = {0};
    int data;
    if (t->rank == 1) return fail(E_FORMAT, "shard 7 is cut off");
    TRY(net_recv(t, &r[0], 3 - t->rank, NET_SYNC, 9, &data, sizeof data)); /* 0 and 2 would wait for ever */
    TRY(net_recv(t, &r[1], 1, NET_SYNC, 9, &data, sizeof data));
    const enum status s = net_wait_all(t, r, 2);
    EXPECT(s == E_IO && strstr(status_message(), "rank 1 failed: shard 7 is cut off"));
    EXPECT(strstr(status_message(), "waiting for 4 bytes from rank"));
    EXPECT(net_send(t, &r[0], 1, NET_SYNC, 9, &data, sizeof data) == E_IO); /* the same again */
    EXPECT(strstr(status_message(), "shard 7 is cut off"));
    return s;
}

static void a_rank_that_fails_is_named_by_those_who_wait(void **state)
{
    (void)state;
    struct shaped_link links[16];
    shaped_fill(links, 4, 0.1, 1e6);
    for (int i = 0; i < 20; i++)
        expect_failure(local_run(4, second_fails, NULL), E_FORMAT, "rank 1 failed: shard 7 is cut off");
    expect_failure(shaped_run(&(struct shaped_net){.n = 4, .links = links}, second_fails, NULL, NULL), E_FORMAT,
                   "rank 1 failed: shard 7 is cut off");
}

static enum status wait_in_a_circle(struct transport *t, void *user)
{
    (void)user;
    struct net_request r = {0};
    char data[8] = "";
    TRY(net_send(t, &r, (t->rank + 1) % t->size, NET_ACTIVATIONS, 2, data, sizeof data)); /* nobody receives */
    return net_wait(t, &r);
}

static enum status leave_first(struct transport *t, void *user)
{
    struct net_request r = {0};
    char data[8];
    if (t->rank == 0) return OK;
    TRY(net_recv(t, &r, 0, NET_ACTIVATIONS, 2, user ? user : data, sizeof data));
    return net_wait(t, &r);
}

/* What is left pending lives longer than the rank, as the header asks. */
struct left_behind {
    struct net_request request;
    char data[8];
};

static enum status leave_requests(struct transport *t, void *user)
{
    struct left_behind *mine = (struct left_behind *)user + t->rank;
    return net_recv(t, &mine->request, 1 - t->rank, NET_ACTIVATIONS, 2, mine->data, sizeof mine->data);
}

static void nobody_waits_for_what_cannot_come(void **state)
{
    (void)state;
    expect_failure(local_run(3, wait_in_a_circle, NULL), E_IO,
                   "no rank can go on: rank 0 waits for rank 1 (sending activations, tag 2), rank 1 waits for rank 2");
    expect_failure(local_run(3, leave_first, NULL), E_IO, "from rank 0 (activations, tag 2): rank 0 has finished");
    struct left_behind left[2] = {0};
    expect_failure(local_run(2, leave_requests, left), E_IO, "left while 1 requests were pending: 8 bytes from rank");
    struct shaped_link links[9];
    shaped_fill(links, 3, 0.1, 1e6);
    const struct shaped_net net = {.n = 3, .links = links};
    expect_failure(shaped_run(&net, wait_in_a_circle, NULL, NULL), E_IO, "waited 600 s of virtual time");
}

static enum status wait_without_bound(struct transport *t, void *user)
{
    t->timeout_s = INFINITY;
    return wait_in_a_circle(t, user);
}

static void without_a_bound_a_simulation_still_ends(void **state)
{
    (void)state;
    struct shaped_link links[9];
    shaped_fill(links, 3, 0.1, 1e6);
    expect_failure(shaped_run(&(struct shaped_net){.n = 3, .links = links}, wait_without_bound, NULL, NULL), E_IO,
                   "no rank can go on");
}

static enum status wait_too_long(struct transport *t, void *user)
{
    atomic_bool *over = user;
    struct net_request r = {0};
    char data[8];
    if (t->rank == 1) {
        while (!atomic_load(over)) /* computes, and does not answer */
            CPU_RELAX();
        return net_progress(t);
    }
    t->timeout_s = 0.01;
    TRY(net_recv(t, &r, 1, NET_GRADIENTS, 3, data, sizeof data));
    const enum status s = net_wait(t, &r);
    atomic_store(over, true);
    return s;
}

static void a_wait_has_a_bound(void **state)
{
    (void)state;
    atomic_bool over = false;
    expect_failure(local_run(2, wait_too_long, &over), E_IO,
                   "rank 0: waiting for 8 bytes from rank 1 (gradients, tag 3): waited 0.01 s");
}

static enum status send_more(struct transport *t, void *user)
{
    (void)user;
    struct net_request r = {0};
    char data[8] = "";
    if (t->rank)
        TRY(net_send(t, &r, 0, NET_SYNC, 1, data, 8));
    else
        TRY(net_recv(t, &r, 1, NET_SYNC, 1, data, 6));
    return net_wait(t, &r);
}

static enum status start_too_many(struct transport *t, void *user)
{
    struct net_request *r = user;
    if (t->rank) return leave_first(t, &r[NET_MAX_PENDING + 1]);
    for (int i = 0; i <= NET_MAX_PENDING; i++)
        TRY(net_recv(t, &r[i], 1, NET_SYNC, i, NULL, 0));
    return OK;
}

static void sizes_must_agree_and_requests_are_limited(void **state)
{
    (void)state;
    struct shaped_link links[4];
    shaped_fill(links, 2, 0.1, 1e6);
    expect_failure(local_run(2, send_more, NULL), E_FORMAT, "the other side means");
    expect_failure(shaped_run(&(struct shaped_net){.n = 2, .links = links}, send_more, NULL, NULL), E_FORMAT,
                   "the other side means");
    struct net_request *r = calloc(NET_MAX_PENDING + 2, sizeof *r);
    assert_non_null(r);
    expect_failure(local_run(2, start_too_many, r), E_LIMIT, "more than 1024 sends and receives");
    free(r);
}

struct watched {
    _Atomic(struct transport *) waiting;
};

/* Rank 0 waits, and rank 1 looks at it until it has seen it wait. */
static enum status look_at_a_wait(struct transport *t, void *user)
{
    struct watched *w = user;
    struct net_request r = {0};
    if (t->rank == 0) {
        atomic_store(&w->waiting, t);
        TRY(net_recv(t, &r, 1, NET_SYNC, 12, NULL, 0));
        return net_wait(t, &r);
    }
    char text[200] = "", tiny[8];
    const struct transport *other;
    while (!(other = atomic_load(&w->waiting)) || !net_waiting_text(text, sizeof text, other))
        CPU_RELAX();
    EXPECT(!strncmp(text, "rank 0 has waited ", 18) && strstr(text, " ms for 0 bytes from rank 1 (sync, tag 12)"));
    EXPECT(net_waiting_text(tiny, sizeof tiny, other) == 7 && !strcmp(tiny, "rank 0 "));
    EXPECT(net_waiting_text(tiny, sizeof tiny, t) == 0 && !tiny[0]);
    TRY(net_send(t, &r, 0, NET_SYNC, 12, NULL, 0));
    return net_wait(t, &r);
}

static void a_wait_can_be_seen_from_outside(void **state)
{
    (void)state;
    struct watched w;
    atomic_init(&w.waiting, NULL);
    run(2, look_at_a_wait, &w);
}

/* Collectives */

struct ring_case {
    size_t count, segment_bytes;
    int window;
    const size_t *bounds;
};

/* As the header says: from member c + 1 on, round to member c. */
static float ring_sum(int n, int c, size_t i)
{
    float sum = net_scenario_value((c + 1) % n, i);
    for (int hop = 2; hop <= n; hop++)
        sum += net_scenario_value((c + hop) % n, i);
    return sum;
}

static enum status check_ring(struct transport *t, const struct ring_case *c, struct group *g, float *x)
{
    const int n = t->size, me = t->rank;
    const size_t chunk_bytes = group_ring_bytes(c->count, sizeof *x, c->bounds, n, me, true);
    const size_t gather_bytes = group_ring_bytes(c->count, sizeof *x, c->bounds, n, me, false);
    for (size_t i = 0; i < c->count; i++)
        x[i] = net_scenario_value(me, i);
    TRY(group_reduce_scatter(g, NET_GRADIENTS, x, c->count, c->bounds));
    EXPECT(net_sent(t, NET_GRADIENTS).bytes == chunk_bytes);
    EXPECT(net_sent(t, NET_SYNC).messages == 0);
    const size_t begin = c->bounds ? c->bounds[me] : group_chunk(c->count, n, me);
    const size_t end = c->bounds ? c->bounds[me + 1] : group_chunk(c->count, n, me + 1);
    for (size_t i = begin; i < end; i++)
        EXPECT(x[i] == ring_sum(n, me, i));
    TRY(group_allgather(g, NET_SYNC, x, c->count, sizeof *x, c->bounds));
    EXPECT(net_sent(t, NET_SYNC).bytes == gather_bytes);
    for (int chunk = 0; chunk < n; chunk++) {
        const size_t to = c->bounds ? c->bounds[chunk + 1] : group_chunk(c->count, n, chunk + 1);
        for (size_t i = c->bounds ? c->bounds[chunk] : group_chunk(c->count, n, chunk); i < to; i++)
            EXPECT(x[i] == ring_sum(n, chunk, i));
    }
    if (c->bounds) return OK;
    for (size_t i = 0; i < c->count; i++)
        x[i] = net_scenario_value(me, i);
    TRY(group_allreduce(g, NET_SYNC, x, c->count));
    EXPECT(net_sent(t, NET_SYNC).bytes == chunk_bytes + 2 * gather_bytes);
    for (int chunk = 0; chunk < n; chunk++)
        for (size_t i = group_chunk(c->count, n, chunk); i < group_chunk(c->count, n, chunk + 1); i++)
            EXPECT(x[i] == ring_sum(n, chunk, i));
    return OK;
}

static enum status one_ring(struct transport *t, void *user)
{
    const struct ring_case *c = user;
    struct group g;
    float x[1200];
    TRY(group_open(&g, t,
                   &(struct group_shape){
                       .stride = 1, .n = t->size, .tag = 3, .segment_bytes = c->segment_bytes, .window = c->window}));
    const enum status s = check_ring(t, c, &g, x);
    group_close(&g);
    return s;
}

static void rings_sum_in_their_order_and_send_what_formulas_say(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 7, 16, 17, 1000, 1200};
    for (int n = 1; n <= 6; n++)
        for (size_t i = 0; i < COUNT_OF(counts); i++)
            for (int window = 1; window <= 3; window += 2) {
                struct ring_case c = {counts[i], 64, window, NULL};
                run(n, one_ring, &c);
                c.segment_bytes = 0;
                run(n, one_ring, &c);
            }
    static const size_t bounds[] = {0, 500, 500, 501, 1200};
    struct ring_case uneven = {1200, 128, 2, bounds};
    run(4, one_ring, &uneven);
}

static enum status poll_two_groups(struct transport *t, void *user)
{
    (void)user;
    enum { N = 3000 };
    struct group g[2] = {0};
    float *x = malloc(2 * N * sizeof *x);
    enum status s = x ? OK : fail(E_NOMEM, "out of memory");
    for (int i = 0; s == OK && i < 2; i++)
        s = group_open(&g[i], t,
                       &(struct group_shape){.stride = 1, .n = t->size, .tag = i, .segment_bytes = (size_t)64 << i});
    for (size_t i = 0; s == OK && i < 2 * N; i++)
        x[i] = net_scenario_value(t->rank, i % N);
    bool done[2] = {false, false};
    for (int i = 0; s == OK && i < 2; i++)
        s = group_begin_allreduce(&g[i], NET_SYNC, x + i * N, N);
    while (s == OK && !(done[0] && done[1])) {
        s = group_test(&g[t->rank % 2], &done[t->rank % 2]);
        if (s == OK) s = group_test(&g[1 - t->rank % 2], &done[1 - t->rank % 2]);
        net_compute(t, 1e-4);
    }
    for (int c = 0; s == OK && c < t->size; c++)
        for (size_t i = group_chunk(N, t->size, c); s == OK && i < group_chunk(N, t->size, c + 1); i++)
            if (x[i] != ring_sum(t->size, c, i) || x[N + i] != x[i]) s = fail(E_NUMERIC, "element %zu differs", i);
    group_close(&g[1]);
    group_close(&g[0]);
    free(x);
    return s;
}

static void rings_of_two_groups_go_on_side_by_side(void **state)
{
    (void)state;
    run(3, poll_two_groups, NULL);
    struct shaped_link links[9];
    shaped_fill(links, 3, 0.01, 1e6);
    if (shaped_run(&(struct shaped_net){.n = 3, .links = links}, poll_two_groups, NULL, NULL) != OK)
        fail_msg("%s", status_message());
}

static enum status small(struct transport *t, struct group *g)
{
    const int n = t->size, me = t->rank;
    double v[2] = {0.1 * (me + 1), me == n - 1 ? (double)NAN : me}, sum = 0;
    uint64_t all[100];
    for (int i = 0; i < n; i++)
        sum += 0.1 * (i + 1);
    TRY(group_sum(g, v, 1));
    EXPECT(v[0] == sum);
    v[0] = -me;
    TRY(group_max(g, v, 2));
    EXPECT(v[0] == 0 && isnan(v[1]));
    EXPECT(net_sent(t, NET_CONTROL).bytes == 3 * 8 * (uint64_t)(n - 1));
    for (int root = 0; root < n; root += 1 + n / 3) {
        const uint64_t before = net_sent(t, NET_SYNC).bytes, one = (uint64_t)me * 7;
        uint64_t word = me == root ? 1234 + (uint64_t)root : 0;
        double sent;
        TRY(group_broadcast(g, NET_SYNC, root, &word, sizeof word));
        EXPECT(word == 1234 + (uint64_t)root);
        sent = (double)(net_sent(t, NET_SYNC).bytes - before);
        TRY(group_sum(g, &sent, 1));
        EXPECT(sent == 8.0 * (n - 1));
        memset(all, 0xff, sizeof all);
        TRY(group_gather(g, root, all, &one, sizeof one));
        for (int i = 0; i < n; i++)
            EXPECT(all[i] == (me == root ? (uint64_t)i * 7 : UINT64_MAX));
        TRY(group_exchange(g, all, &one, sizeof one));
        for (int i = 0; i < n; i++)
            EXPECT(all[i] == (uint64_t)i * 7);
    }
    return OK;
}

static enum status small_things(struct transport *t, void *user)
{
    (void)user;
    struct group g;
    TRY(group_open(&g, t, &(struct group_shape){.stride = 1, .n = t->size, .segment_bytes = 64}));
    const enum status s = small(t, &g);
    group_close(&g);
    return s;
}

static void small_collectives_are_exact_at_every_size(void **state)
{
    (void)state;
    for (int n = 1; n <= 9; n++)
        run(n, small_things, NULL);
    run(70, small_things, NULL); /* more than one round of direct messages */
}

static enum status meet(struct transport *t, void *user)
{
    atomic_int *arrived = user;
    struct group g;
    TRY(group_open(&g, t, &(struct group_shape){.stride = 1, .n = t->size, .segment_bytes = 64}));
    enum status s = OK;
    for (int i = 1; s == OK && i <= 20; i++) {
        atomic_fetch_add(arrived, 1);
        s = group_barrier(&g);
        if (s == OK && atomic_load(arrived) < i * t->size)
            s = fail(E_NUMERIC, "barrier %d let rank %d through", i, t->rank);
        if (s == OK) s = group_barrier(&g);
    }
    group_close(&g);
    return s;
}

static void nobody_passes_a_barrier_early(void **state)
{
    (void)state;
    for (int n = 1; n <= 7; n++) {
        atomic_int arrived = 0;
        run(n, meet, &arrived);
    }
}

static enum status scenario(struct transport *t, void *user)
{
    return net_scenario(t, user);
}

static void slow_links_give_the_same_bits(void **state)
{
    (void)state;
    struct buf fast = {0}, slow = {0};
    struct shaped_link links[36];
    shaped_fill(links, 6, 0.05, 1e5);
    links[7].bytes_per_s = 1e3;
    run(6, scenario, &fast);
    if (shaped_run(&(struct shaped_net){.n = 6, .links = links}, scenario, &slow, NULL) != OK)
        fail_msg("%s", status_message());
    assert_string_equal(fast.data, slow.data);
    buf_free(&fast);
    buf_free(&slow);
}

/* Virtual time */

struct timed_ring {
    size_t count, segment_bytes;
    int window;
};

static enum status timed_allreduce(struct transport *t, void *user)
{
    const struct timed_ring *r = user;
    struct group g;
    float *x = calloc(r->count + 1, sizeof *x);
    if (!x) return fail(E_NOMEM, "out of memory");
    enum status s = group_open(
        &g, t,
        &(struct group_shape){.stride = 1, .n = t->size, .segment_bytes = r->segment_bytes, .window = r->window});
    if (s == OK) {
        s = group_allreduce(&g, NET_SYNC, x, r->count);
        group_close(&g);
    }
    free(x);
    return s;
}

static double seconds_of(const struct shaped_net *net, local_rank_fn *fn, void *user)
{
    double seconds = NAN;
    if (shaped_run(net, fn, user, &seconds) != OK) fail_msg("%d ranks: %s", net->n, status_message());
    return seconds;
}

static void a_ring_takes_what_its_formula_says(void **state)
{
    (void)state;
    static struct shaped_link links[64 * 64];
    static const int sizes[] = {2, 3, 4, 8};
    const double latency = 0.03, rate = 1e6;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const int n = sizes[i];
        const struct shaped_net net = {.n = n, .links = links};
        struct timed_ring whole = {(size_t)n * 6000, 1 << 20, 1}, cut = {(size_t)n * 6000, 24000 / 10 / 64 * 64, 64};
        shaped_fill(links, n, latency, rate);
        const double chunk = 6000 * 4 / rate, steps = 2 * (n - 1);
        expect_near(seconds_of(&net, timed_allreduce, &whole), steps * (latency + chunk), 1e-9);
        /* One link a hundred times as slow: all chunks but one pass it in each half, without a rest, and one latency
         * remains. */
        links[1].bytes_per_s = rate / 100; /* from 0 to 1 */
        expect_near(seconds_of(&net, timed_allreduce, &whole), steps * 100 * chunk + latency, 1e-9);
        /* In segments the link never rests, where a chunk takes longer than a segment and the latency: one latency a
         * half. */
        shaped_fill(links, n, chunk / 2, rate);
        expect_near(seconds_of(&net, timed_allreduce, &cut), steps * chunk + 2 * chunk / 2, 1e-9);
        /* Latency alone. */
        shaped_fill(links, n, latency, INFINITY);
        expect_near(seconds_of(&net, timed_allreduce, &whole), steps * latency, 1e-9);
    }
}

static enum status timed_barrier(struct transport *t, void *user)
{
    (void)user;
    struct group g;
    TRY(group_open(&g, t, &(struct group_shape){.stride = 1, .n = t->size, .segment_bytes = 64}));
    const enum status s = group_barrier(&g);
    group_close(&g);
    return s;
}

static enum status timed_sum(struct transport *t, void *user)
{
    (void)user;
    struct group g;
    double one = 1;
    TRY(group_open(&g, t, &(struct group_shape){.stride = 1, .n = t->size, .segment_bytes = 64}));
    const enum status s = group_sum(&g, &one, 1);
    group_close(&g);
    return s;
}

static void small_collectives_take_latencies(void **state)
{
    (void)state;
    static struct shaped_link links[64 * 64];
    for (int n = 2; n <= 64; n = 2 * n + 1) {
        const struct shaped_net net = {.n = n, .links = links};
        shaped_fill(links, n, 0.25, INFINITY);
        expect_near(seconds_of(&net, timed_barrier, NULL), 0.25 * ceil(log2(n)), 1e-9);
        expect_near(seconds_of(&net, timed_sum, NULL), 0.25, 1e-9);
    }
}

struct flow {
    int from, to;
    size_t bytes;
    double begins_s, ends_s;
};

struct flows {
    struct flow *flows;
    int n;
};

/* Every rank sends and receives what is its own; flows are in the order of their beginnings. */
static enum status run_flows(struct transport *t, void *user)
{
    static char zeros[8000000], ground[8000000];
    struct flows *f = user;
    struct net_request r[16] = {0}, s[16] = {0};
    struct net_request *waits[16];
    for (int i = 0; i < f->n; i++) {
        waits[i] = &r[i];
        if (f->flows[i].to == t->rank) /* what comes is zeros, so all may come to one place */
            TRY(net_recv(t, &r[i], f->flows[i].from, NET_SYNC, i, ground + f->flows[i].to * 1000000,
                         f->flows[i].bytes));
    }
    for (int i = 0; i < f->n; i++) {
        if (f->flows[i].from != t->rank) continue;
        net_compute(t, f->flows[i].begins_s - net_now(t));
        TRY(net_send(t, &s[i], f->flows[i].to, NET_SYNC, i, zeros, f->flows[i].bytes));
    }
    for (int index = 0; index >= 0;) {
        TRY(net_wait_any(t, waits, f->n, &index));
        if (index >= 0) f->flows[index].ends_s = net_now(t);
    }
    return net_wait_all(t, s, f->n);
}

static void check_flows(const struct shaped_net *net, struct flow *flows, int n, const double *ends)
{
    struct flows f = {flows, n};
    seconds_of(net, run_flows, &f);
    for (int i = 0; i < n; i++)
        expect_near(flows[i].ends_s, ends[i], 1e-6); /* a MB at 1 MB/s is 1 s: rounding is 1e-10 of it */
}

static void messages_share_links_and_network_cards(void **state)
{
    (void)state;
    struct shaped_link links[16];
    shaped_fill(links, 4, 0.5, 1e6);
    struct shaped_net net = {.n = 4, .links = links};
    /* Two on one link go one after the other, two links do not mind each other. */
    struct flow own[] = {{0, 1, 100000, 0, 0}, {0, 1, 200000, 0, 0}, {0, 2, 100000, 0, 0}, {3, 1, 100000, 0.05, 0}};
    check_flows(&net, own, 4, (double[]){0.6, 0.8, 0.6, 0.65});
    /* Ranks 0 and 1 are one host with a card of 1 MB/s: while both send, each has half. */
    static const int hosts[] = {0, 0, 1, 2};
    double nics[] = {1e6, 1e9, 1e9};
    net.hosts = hosts;
    net.nic_bytes_per_s = nics;
    struct flow shared[] = {{0, 2, 100000, 0, 0}, {1, 3, 200000, 0, 0}, {0, 1, 300000, 0, 0}};
    check_flows(&net, shared, 3, (double[]){0.7, 0.8, 0.8});
    /* Max-min: a link of 0.2 MB/s leaves 0.8 MB/s of the card to the other. */
    links[1 * 4 + 3].bytes_per_s = 0.2e6;
    struct flow unequal[] = {{0, 2, 400000, 0, 0}, {1, 3, 200000, 0, 0}};
    check_flows(&net, unequal, 2, (double[]){1.0, 1.5});
    /* Receiving is shared as well, and links without a limit have the card's. */
    shaped_fill(links, 4, 0, INFINITY);
    struct flow in[] = {{2, 0, 100000, 0, 0}, {3, 1, 100000, 0.05, 0}};
    check_flows(&net, in, 2, (double[]){0.15, 0.2});
}

static enum status poll_while_computing(struct transport *t, void *user)
{
    (void)user;
    struct net_request r = {0};
    char data[100] = "";
    bool done = false;
    if (t->rank) {
        net_compute(t, 1e-3);
        TRY(net_send(t, &r, 0, NET_SYNC, 0, data, sizeof data));
        return net_wait(t, &r);
    }
    TRY(net_recv(t, &r, 1, NET_SYNC, 0, data, sizeof data));
    while (!done) /* until the clock is at a thousandth for each: computing, leaving, flying */
        TRY(net_test(t, &r, &done));
    EXPECT(fabs(net_now(t) - 3e-3) < 1.1e-6);
    return OK;
}

static void tests_see_a_message_when_it_has_arrived(void **state)
{
    (void)state;
    struct shaped_link links[4];
    shaped_fill(links, 2, 1e-3, 1e5);
    for (int i = 0; i < 3; i++)
        seconds_of(&(struct shaped_net){.n = 2, .links = links}, poll_while_computing, NULL);
}

static enum status lose_a_message(struct transport *t, void *user)
{
    double *noticed = user;
    struct net_request r = {0};
    char data[1000] = "";
    t->timeout_s = 30;
    for (int i = 0; i < 5; i++) {
        if (t->rank == 0)
            TRY(net_send(t, &r, 1, NET_SYNC, i, data, sizeof data));
        else
            TRY(net_recv(t, &r, 0, NET_SYNC, i, data, sizeof data));
        const enum status s = net_wait(t, &r);
        if (t->rank == 1) noticed[0] = net_now(t), noticed[1] = i;
        TRY(s);
    }
    return OK;
}

static void a_dead_link_is_noticed_in_bounded_virtual_time(void **state)
{
    (void)state;
    struct shaped_link links[4];
    double noticed[2] = {0};
    shaped_fill(links, 2, 0.5, 1000);
    links[1].fails_at_s = 3; /* messages arrive at 1.5, 2.5, and the next would at 3.5 */
    expect_failure(shaped_run(&(struct shaped_net){.n = 2, .links = links}, lose_a_message, noticed, NULL), E_IO,
                   "rank 1: waiting for 1000 bytes from rank 0 (sync, tag 2): waited 30 s of virtual time");
    expect_near(noticed[0], 32.5, 1e-9);
    expect_near(noticed[1], 2, 0);
}

/* Eight cities with eight ranks each: all-reduce over a planet, the same time whenever. */
static void a_planet_is_the_same_every_time(void **state)
{
    (void)state;
    static struct shaped_link links[64 * 64];
    int hosts[64];
    double nics[64];
    shaped_fill(links, 64, 0.005, 2e9 / 8);
    for (int i = 0; i < 64; i++) {
        hosts[i] = i / 2;
        nics[i] = 1e9 / 8;
        for (int k = 0; k < 64; k++)
            if (i / 8 != k / 8)
                links[i * 64 + k] = (struct shaped_link){0.01 * (1 + abs(i / 8 - k / 8)), 0.5e9 / 8, INFINITY};
    }
    const struct shaped_net net = {.n = 64, .links = links, .hosts = hosts, .nic_bytes_per_s = nics};
    struct timed_ring r = {64 * 1000, 0, 0};
    const int64_t begin = clock_ns();
    const double first = seconds_of(&net, timed_allreduce, &r);
    print_message("64 ranks: %.3f virtual s in %.3f s\n", first, clock_seconds(begin, clock_ns()));
    assert_true(seconds_of(&net, timed_allreduce, &r) == first);
    /* A chunk goes round twice, but for two hops; the last one to come is that which leaves out two short ones. Of the
     * 64 hops 32 stay on a host, 24 in a city (the card is what limits them), 7 go to the next city, one from the last
     * to the first. */
    const double host = 0.005 + 4000 / (2e9 / 8), city = 0.005 + 4000 / (1e9 / 8), far = 4000 / (0.5e9 / 8);
    expect_near(first, 2 * (32 * host + 24 * city + 7 * (0.02 + far) + 0.08 + far) - host - city, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_matched_by_peer_purpose_and_tag_in_order),
        cmocka_unit_test(waiting_for_any_skips_what_is_idle),
        cmocka_unit_test(a_rank_that_fails_is_named_by_those_who_wait),
        cmocka_unit_test(nobody_waits_for_what_cannot_come),
        cmocka_unit_test(without_a_bound_a_simulation_still_ends),
        cmocka_unit_test(a_wait_has_a_bound),
        cmocka_unit_test(sizes_must_agree_and_requests_are_limited),
        cmocka_unit_test(a_wait_can_be_seen_from_outside),
        cmocka_unit_test(rings_sum_in_their_order_and_send_what_formulas_say),
        cmocka_unit_test(rings_of_two_groups_go_on_side_by_side),
        cmocka_unit_test(small_collectives_are_exact_at_every_size),
        cmocka_unit_test(nobody_passes_a_barrier_early),
        cmocka_unit_test(slow_links_give_the_same_bits),
        cmocka_unit_test(a_ring_takes_what_its_formula_says),
        cmocka_unit_test(small_collectives_take_latencies),
        cmocka_unit_test(messages_share_links_and_network_cards),
        cmocka_unit_test(tests_see_a_message_when_it_has_arrived),
        cmocka_unit_test(a_dead_link_is_noticed_in_bounded_virtual_time),
        cmocka_unit_test(a_planet_is_the_same_every_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
