// SPDX-License-Identifier: Apache-2.0
/* Whoever measures asks: for a message of so many bytes, which the other side gets ready for before the clock is
 * started, or that it is over. */
#include "net/measure.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "net/collectives.h"

enum { TAG_ASK = 1, TAG_READY, TAG_DATA, TAG_ANSWER, TAG_ALL };
enum { FIRST_BYTES = 1 << 16, GROWTH = 4, REPEATS = 5, PARTS = 4 * REPEATS };

/* A card is one where all links together are slower than this part of their sum. */
static const double limited = 0.8;

static const uint64_t over = UINT64_MAX;

struct measuring {
    struct transport *t;
    const struct net_measure *set;
    int host, n;                   /* this rank's */
    int *first;                    /* [n]: of the hosts' ranks */
    int second;                    /* rank of this host; -1: there is none */
    char *room;                    /* [most_bytes]: of messages either way, which nobody reads */
    struct net_measured_link *row; /* [n]: from this host */
    double card;
};

/* ---- One message ---- */

static enum status receive(struct transport *t, int from, int tag, void *data, size_t bytes)
{
    return net_recv_wait(t, from, NET_CONTROL, tag, data, bytes);
}

static enum status give(struct transport *t, int to, int tag, const void *data, size_t bytes)
{
    return net_send_wait(t, to, NET_CONTROL, tag, data, bytes);
}

/* Answers until it is over. */
static enum status answer(const struct measuring *m, int peer)
{
    for (;;) {
        struct net_request r = {0};
        uint64_t bytes;
        TRY(receive(m->t, peer, TAG_ASK, &bytes, sizeof bytes));
        if (bytes == over) return OK;
        if (bytes > m->set->most_bytes)
            return fail(E_FORMAT, "rank %d asks for a message of %llu bytes", peer, (unsigned long long)bytes);
        TRY(net_recv(m->t, &r, peer, NET_CONTROL, TAG_DATA, m->room, (size_t)bytes));
        TRY(give(m->t, peer, TAG_READY, NULL, 0));
        TRY(net_wait(m->t, &r));
        TRY(give(m->t, peer, TAG_ANSWER, NULL, 0));
    }
}

static enum status ask(const struct measuring *m, int peer, uint64_t bytes)
{
    TRY(give(m->t, peer, TAG_ASK, &bytes, sizeof bytes));
    return bytes == over ? OK : receive(m->t, peer, TAG_READY, NULL, 0);
}

/* A message that is on its way, and its answer. */
struct flight {
    struct net_request out, back;
};

static enum status depart(struct flight *f, const struct measuring *m, int peer, size_t bytes)
{
    *f = (struct flight){0};
    TRY(net_recv(m->t, &f->back, peer, NET_CONTROL, TAG_ANSWER, NULL, 0));
    return net_send(m->t, &f->out, peer, NET_CONTROL, TAG_DATA, m->room, bytes);
}

static enum status arrive(struct flight *f, const struct measuring *m)
{
    TRY(net_wait(m->t, &f->back));
    return net_wait(m->t, &f->out);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* T(bytes): there, and the answer back. */
static enum status time_message(double *seconds, const struct measuring *m, int peer, size_t bytes)
{
    double all[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        struct flight f;
        TRY(ask(m, peer, bytes));
        const double start_s = net_now(m->t);
        TRY(depart(&f, m, peer, bytes));
        TRY(arrive(&f, m));
        all[i] = net_now(m->t) - start_s;
    }
    qsort(all, REPEATS, sizeof *all, compare);
    *seconds = all[REPEATS / 2];
    return OK;
}

/* ---- One link ---- */

/* Of what remains the next size may take all: it is done when a message takes one of so many parts of the limit. */
static enum status measure_link(struct net_measured_link *out, const struct measuring *m, int peer)
{
    const double enough_s = m->set->limit_s / PARTS;
    double empty_s, full_s = 0;
    size_t bytes = FIRST_BYTES < m->set->most_bytes ? FIRST_BYTES : m->set->most_bytes;
    TRY(time_message(&empty_s, m, peer, 0)); /* the first is one that connects */
    TRY(time_message(&empty_s, m, peer, 0));
    for (;; bytes *= GROWTH) {
        TRY(time_message(&full_s, m, peer, bytes));
        if (full_s - empty_s >= enough_s || bytes > m->set->most_bytes / GROWTH) break;
    }
    TRY(ask(m, peer, over));
    out->latency_s = empty_s / 2;
    out->bytes_per_s = (double)bytes / fmax(full_s - empty_s, 1e-9);
    return OK;
}

static enum status both_ways(struct net_measured_link *out, const struct measuring *m, int peer, bool begins)
{
    if (!begins) TRY(answer(m, peer));
    TRY(measure_link(out, m, peer));
    return begins ? answer(m, peer) : OK;
}

/* ---- All links ---- */

/* Of n players, an even number, whom h meets in a round of n - 1: i and k with i + k = round (mod n - 1), and who would
 * meet himself the last one. */
static int opponent(int h, int round, int n)
{
    if (h == n - 1) return round % 2 ? (round + n - 1) / 2 : round / 2; /* 2 k = round (mod n - 1) */
    const int k = (round - h + 2 * (n - 1)) % (n - 1);
    return k == h ? n - 1 : k;
}

static enum status measure_pairs(const struct measuring *m)
{
    const int players = m->n + m->n % 2;
    for (int round = 0; round + 1 < players; round++) {
        const int other = opponent(m->host, round, players);
        if (other >= m->n) continue; /* an odd one's rest */
        TRY(both_ways(&m->row[other], m, m->first[other], m->host < other));
    }
    return OK;
}

static enum status measure_inside(const struct measuring *m, bool leads)
{
    if (m->second < 0) return OK;
    if (!leads) return answer(m, m->first[m->host]);
    return measure_link(&m->row[m->host], m, m->second);
}

/* ---- Cards ---- */

static size_t burst_bytes(const struct measuring *m, int other)
{
    return (size_t)fmin(m->row[other].bytes_per_s * m->set->limit_s / PARTS, (double)m->set->most_bytes);
}

static enum status measure_card(struct measuring *m, struct flight *flights)
{
    double sum = 0, alone_s = 0, far_s = 0, bytes = 0;
    for (int other = 0; other < m->n; other++)
        if (other != m->host) TRY(ask(m, m->first[other], burst_bytes(m, other)));
    const double start_s = net_now(m->t);
    for (int other = 0; other < m->n; other++)
        if (other != m->host) TRY(depart(&flights[other], m, m->first[other], burst_bytes(m, other)));
    for (int other = 0; other < m->n; other++)
        if (other != m->host) TRY(arrive(&flights[other], m));
    const double seconds = net_now(m->t) - start_s;
    for (int other = 0; other < m->n; other++) {
        if (other == m->host) continue;
        TRY(ask(m, m->first[other], over));
        const struct net_measured_link *l = &m->row[other];
        sum += l->bytes_per_s;
        bytes += (double)burst_bytes(m, other);
        far_s = fmax(far_s, 2 * l->latency_s);
        alone_s = fmax(alone_s, (double)burst_bytes(m, other) / l->bytes_per_s);
    }
    const double rate = bytes / fmax(seconds - far_s, 1e-9);
    if (alone_s < limited * (seconds - far_s) && rate < limited * sum) m->card = rate;
    return OK;
}

static enum status measure_cards(struct measuring *m)
{
    struct flight *flights = calloc((size_t)m->n, sizeof *flights);
    if (!flights) return fail(E_NOMEM, "out of memory to measure %d hosts", m->n);
    enum status s = OK;
    for (int host = 0; s == OK && m->n > 2 && host < m->n; host++)
        s = host == m->host ? measure_card(m, flights) : answer(m, m->first[host]);
    if (s != OK) net_fail(m->t, s); /* they may be under way */
    free(flights);
    return s;
}

/* ---- Together ---- */

/* A row of each rank, and its card behind it. */
static enum status tell_all(struct net_measured_link *links, double *cards, const struct measuring *m)
{
    const size_t n = (size_t)m->n, ranks = (size_t)m->t->size;
    struct net_measured_link *all = calloc(ranks * (n + 1), sizeof *all);
    struct group g = {0};
    enum status s = all ? OK : fail(E_NOMEM, "out of memory to measure %d hosts", m->n);
    if (s == OK)
        s = group_open(&g, m->t, &(struct group_shape){.stride = 1, .n = m->t->size, .tag = TAG_ALL, .window = 1});
    m->row[n].bytes_per_s = m->card;
    if (s == OK) s = group_exchange(&g, all, m->row, (n + 1) * sizeof *all);
    for (int host = 0; s == OK && host < m->n; host++) {
        const struct net_measured_link *row = all + (size_t)m->first[host] * (n + 1);
        memcpy(links + (size_t)host * n, row, n * sizeof *links);
        cards[host] = row[n].bytes_per_s;
    }
    group_close(&g);
    free(all);
    return s;
}

static void find_ranks(struct measuring *m)
{
    m->second = -1;
    for (int host = 0; host < m->n; host++)
        m->first[host] = -1;
    for (int rank = 0; rank < m->t->size; rank++) {
        const int host = m->set->hosts[rank];
        if (m->first[host] < 0)
            m->first[host] = rank;
        else if (host == m->host && m->second < 0)
            m->second = rank;
    }
}

static enum status measure(struct measuring *m)
{
    const bool leads = m->first[m->host] == m->t->rank;
    m->row[m->host] = (struct net_measured_link){0, INFINITY};
    if (leads) TRY(measure_pairs(m));
    if (leads || m->second == m->t->rank) TRY(measure_inside(m, leads));
    return leads ? measure_cards(m) : OK;
}

enum status net_measure(struct net_measured_link *links, double *cards, struct transport *t,
                        const struct net_measure *set)
{
    struct measuring m = {.t = t, .set = set, .host = set->hosts[t->rank], .n = set->n_hosts, .card = INFINITY};
    m.first = calloc((size_t)m.n, sizeof *m.first);
    m.row = calloc((size_t)m.n + 1, sizeof *m.row);
    m.room = calloc(1, set->most_bytes);
    enum status s = m.first && m.row && m.room ? OK : fail(E_NOMEM, "out of memory to measure %d hosts", m.n);
    if (s == OK) {
        find_ranks(&m);
        s = measure(&m);
    }
    if (s == OK) s = tell_all(links, cards, &m);
    if (s != OK) net_fail(t, s); /* before its memory goes */
    free(m.first);
    free(m.row);
    free(m.room);
    return s;
}
