// SPDX-License-Identifier: Apache-2.0
/* Ends that are known, of computing and of messages on their way, wait in a heap; those of messages that still leave
 * may move whenever another one comes or goes, and are looked through each time: they are no more than pairs. */
#include "dist/simulation.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "net/max_min.h"

struct task {
    int from, to;  /* ranks; to -1: computing on from */
    double amount; /* seconds, or bytes */
    double latency_s;
    int waits_for;        /* so many that have not ended */
    int edges, last_edge; /* those that wait for it, in the order in which they said so; -1: none */
    int next;             /* of its pair's queue, or -1 */
    struct max_min_leaving leaving;
    double start_s, end_s;
};

struct edge {
    int to, next;
};

/* Messages that have not left. */
struct queue {
    int first, last; /* -1: none */
};

struct event {
    double at_s;
    int task;
};

struct simulation {
    struct shaped_net net;
    enum status status;
    struct task *tasks;
    struct edge *edges;
    int n_tasks, n_edges, room_tasks, room_edges;
    double now_s, makespan_s;
    int n_ended;

    struct queue *queues; /* [n][n] */
    struct event *heap;   /* [n_tasks]: the earliest first, of equals the task that was made first */
    int n_events;
    int *leaving; /* [n_leaving <= n_tasks] */
    int n_leaving;
    bool is_stale;              /* rates are to be computed again */
    struct max_min cards;       /* where they are shared */
    double *doubles, *rates;    /* [2 hosts], [n_tasks] */
    int *ints;                  /* [2 hosts] */
    struct max_min_flow *flows; /* [n_tasks] */
};

/* ---- Making it ---- */

enum status simulation_create(struct simulation **out, const struct shaped_net *net)
{
    const size_t n = (size_t)net->n;
    struct simulation *s = calloc(1, sizeof *s);
    if (!s) return fail(E_NOMEM, "out of memory for a simulation of %d ranks", net->n);
    s->net = *net;
    s->queues = calloc(n * n, sizeof *s->queues);
    s->doubles = calloc(2 * n, sizeof *s->doubles);
    s->ints = calloc(2 * n, sizeof *s->ints);
    if (!s->queues || !s->doubles || !s->ints) {
        simulation_free(s);
        return fail(E_NOMEM, "out of memory for a simulation of %d ranks", net->n);
    }
    for (size_t i = 0; i < n * n; i++)
        s->queues[i] = (struct queue){-1, -1};
    s->cards = (struct max_min){.n_hosts = net->n,
                                .cards = net->nic_bytes_per_s,
                                .spare_out = s->doubles,
                                .spare_in = s->doubles + n,
                                .users_out = s->ints,
                                .users_in = s->ints + n};
    if (net->hosts) { /* numbers go up to the largest only */
        s->cards.n_hosts = 0;
        for (int i = 0; i < net->n; i++)
            if (net->hosts[i] >= s->cards.n_hosts) s->cards.n_hosts = net->hosts[i] + 1;
    }
    *out = s;
    return OK;
}

void simulation_free(struct simulation *s)
{
    if (!s) return;
    free(s->tasks);
    free(s->edges);
    free(s->queues);
    free(s->doubles);
    free(s->ints);
    free(s->heap);
    free(s->leaving);
    free(s->rates);
    free(s->flows);
    free(s);
}

/* Room for one more; false: there is none, and never will be. */
static bool make_room(struct simulation *s, void **array, int n, int *room, size_t size)
{
    if (s->status != OK) return false;
    if (n < *room) return true;
    const int more = *room ? 2 * *room : 1024;
    void *larger = realloc(*array, (size_t)more * size);
    if (!larger) {
        s->status = E_NOMEM;
        return false;
    }
    *array = larger;
    *room = more;
    return true;
}

static int add_task(struct simulation *s, struct task task)
{
    void *tasks = s->tasks;
    const bool ok = make_room(s, &tasks, s->n_tasks, &s->room_tasks, sizeof *s->tasks);
    s->tasks = tasks;
    if (!ok) return -1;
    task.edges = task.last_edge = task.next = -1;
    s->tasks[s->n_tasks] = task;
    return s->n_tasks++;
}

int simulation_compute(struct simulation *s, int rank, double seconds)
{
    assert(seconds >= 0);
    return add_task(s, (struct task){.from = rank, .to = -1, .amount = seconds});
}

static const struct shaped_link *link_of(const struct simulation *s, int from, int to)
{
    return &s->net.links[from * s->net.n + to];
}

int simulation_message(struct simulation *s, int from, int to, double bytes, double latencies)
{
    assert(from != to && bytes >= 0);
    return add_task(
        s, (struct task){
               .from = from, .to = to, .amount = bytes, .latency_s = latencies * link_of(s, from, to)->latency_s});
}

void simulation_after(struct simulation *s, int task, int before)
{
    void *edges = s->edges;
    if (before < 0) return;
    const bool ok = make_room(s, &edges, s->n_edges, &s->room_edges, sizeof *s->edges);
    s->edges = edges;
    if (!ok) return;
    struct task *t = &s->tasks[before];
    s->edges[s->n_edges] = (struct edge){task, -1};
    if (t->edges < 0)
        t->edges = s->n_edges;
    else
        s->edges[t->last_edge].next = s->n_edges;
    t->last_edge = s->n_edges++;
    s->tasks[task].waits_for++;
}

/* ---- Events ---- */

static bool is_earlier(const struct event *a, const struct event *b)
{
    return a->at_s < b->at_s || (a->at_s <= b->at_s && a->task < b->task);
}

static void push(struct simulation *s, int task, double at_s)
{
    const struct event e = {at_s, task};
    int i = s->n_events++;
    for (; i > 0 && is_earlier(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

static int pop(struct simulation *s)
{
    const int task = s->heap[0].task;
    const struct event last = s->heap[--s->n_events];
    int i = 0;
    for (int child = 1; child < s->n_events; child = 2 * i + 1) {
        if (child + 1 < s->n_events && is_earlier(&s->heap[child + 1], &s->heap[child])) child++;
        if (!is_earlier(&s->heap[child], &last)) break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return task;
}

static double next_time(const struct simulation *s)
{
    double at_s = s->n_events ? s->heap[0].at_s : INFINITY;
    for (int i = 0; i < s->n_leaving; i++)
        at_s = fmin(at_s, s->tasks[s->leaving[i]].leaving.until_s);
    return at_s;
}

/* ---- Messages ---- */

static void begin_leaving(struct simulation *s, int task)
{
    struct task *t = &s->tasks[task];
    max_min_leave(&t->leaving, t->amount, link_of(s, t->from, t->to)->bytes_per_s, s->now_s);
    s->leaving[s->n_leaving++] = task;
    s->is_stale = s->net.hosts != NULL;
}

static void share(struct simulation *s)
{
    const int *hosts = s->net.hosts;
    for (int i = 0; i < s->n_leaving; i++) {
        const struct task *t = &s->tasks[s->leaving[i]];
        s->flows[i] = (struct max_min_flow){hosts[t->from], hosts[t->to], link_of(s, t->from, t->to)->bytes_per_s};
    }
    max_min_rates(s->rates, s->flows, s->n_leaving, &s->cards);
    for (int i = 0; i < s->n_leaving; i++)
        max_min_set_rate(&s->tasks[s->leaving[i]].leaving, s->rates[i], s->now_s);
    s->is_stale = false;
}

static void enqueue(struct simulation *s, int task)
{
    struct queue *q = &s->queues[s->tasks[task].from * s->net.n + s->tasks[task].to];
    if (q->first < 0) {
        q->first = q->last = task;
        begin_leaving(s, task);
        return;
    }
    s->tasks[q->last].next = task;
    q->last = task;
}

static void end_leaving(struct simulation *s, int i)
{
    const int task = s->leaving[i];
    const struct task *t = &s->tasks[task];
    struct queue *q = &s->queues[t->from * s->net.n + t->to];
    s->leaving[i] = s->leaving[--s->n_leaving];
    s->is_stale = s->net.hosts != NULL;
    q->first = t->next;
    if (q->first >= 0) begin_leaving(s, q->first);
    push(s, task, s->now_s + t->latency_s);
}

/* ---- Tasks ---- */

static void begin(struct simulation *s, int task)
{
    struct task *t = &s->tasks[task];
    t->start_s = s->now_s;
    if (t->to < 0)
        push(s, task, s->now_s + t->amount);
    else
        enqueue(s, task);
}

static void end(struct simulation *s, int task)
{
    s->tasks[task].end_s = s->now_s;
    s->n_ended++;
    for (int e = s->tasks[task].edges; e >= 0; e = s->edges[e].next)
        if (--s->tasks[s->edges[e].to].waits_for == 0) begin(s, s->edges[e].to);
}

static void do_events(struct simulation *s)
{
    for (int i = 0; i < s->n_leaving;)
        if (s->tasks[s->leaving[i]].leaving.until_s <= s->now_s)
            end_leaving(s, i);
        else
            i++;
    while (s->n_events && s->heap[0].at_s <= s->now_s)
        end(s, pop(s));
}

static enum status allocate(struct simulation *s)
{
    const size_t n = (size_t)s->n_tasks + 1;
    s->heap = calloc(n, sizeof *s->heap);
    s->leaving = calloc(n, sizeof *s->leaving);
    s->rates = calloc(n, sizeof *s->rates);
    s->flows = calloc(n, sizeof *s->flows);
    return s->heap && s->leaving && s->rates && s->flows ? OK : E_NOMEM;
}

enum status simulation_run(struct simulation *s)
{
    if (s->status == OK) s->status = allocate(s);
    if (s->status != OK) return fail(E_NOMEM, "out of memory for a simulation of %d tasks", s->n_tasks);
    for (int i = 0; i < s->n_tasks; i++)
        if (s->tasks[i].waits_for == 0) begin(s, i);
    while (s->n_events || s->n_leaving) {
        if (s->is_stale) share(s);
        s->now_s = next_time(s);
        do_events(s);
    }
    assert(s->n_ended == s->n_tasks);
    s->makespan_s = s->now_s;
    return OK;
}

double simulation_start(const struct simulation *s, int task)
{
    return s->tasks[task].start_s;
}

double simulation_end(const struct simulation *s, int task)
{
    return s->tasks[task].end_s;
}

double simulation_makespan(const struct simulation *s)
{
    return s->makespan_s;
}
