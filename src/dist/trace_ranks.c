// SPDX-License-Identifier: Apache-2.0
#include "dist/trace_ranks.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum { ROUNDS = 8, PIECE_BYTES = 1 << 20 };

struct trace_ranks {
    struct group *all;
    int tag;
    const struct trace *trace;
    struct trace_rank *ranks; /* [ranks] on rank 0, of which the others have their own alone */
    struct trace_rank *own;
    char *piece; /* [PIECE_BYTES] */
};

/* ---- Messages ---- */

static enum status send_to(struct transport *t, int to, int tag, const void *data, size_t bytes)
{
    return net_send_wait(t, to, NET_CONTROL, tag, data, bytes);
}

static enum status receive_from(struct transport *t, int from, int tag, void *data, size_t bytes)
{
    return net_recv_wait(t, from, NET_CONTROL, tag, data, bytes);
}

/* ---- Clocks ---- */

static enum status ask(struct trace_clock *out, struct transport *t, int peer, int tag, trace_clock_fn *clock,
                       void *user)
{
    double low = -INFINITY, high = INFINITY;
    int64_t other = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const int64_t left = clock(user);
        TRY(send_to(t, peer, tag, NULL, 0));
        TRY(receive_from(t, peer, tag, &other, sizeof other));
        const int64_t back = clock(user);
        low = fmax(low, (double)(other - back));
        high = fmin(high, (double)(other - left));
    }
    const bool same = low <= 0 && high >= 0;
    *out = (struct trace_clock){other, same ? 0 : low / 2 + high / 2, fabs(high - low) / 2};
    return send_to(t, peer, tag, out, sizeof *out);
}

static enum status answer(struct trace_clock *out, struct transport *t, int tag, trace_clock_fn *clock, void *user)
{
    for (int i = 0; i < ROUNDS; i++) {
        TRY(receive_from(t, 0, tag, NULL, 0));
        const int64_t now = clock(user);
        TRY(send_to(t, 0, tag, &now, sizeof now));
    }
    return receive_from(t, 0, tag, out, sizeof *out);
}

enum status trace_ranks_compare_clocks(struct trace_clock *out, struct transport *t, int peer, int tag,
                                       trace_clock_fn *clock, void *user)
{
    return t->rank == 0 ? ask(out, t, peer, tag, clock, user) : answer(out, t, tag, clock, user);
}

static int64_t own_clock(void *user)
{
    (void)user;
    return clock_ns();
}

static struct trace_clock *clock_of(struct trace_rank *r, bool at_end)
{
    return at_end ? &r->end : &r->begin;
}

/* Rank by rank, so that no message waits for another's. */
static enum status compare_all(struct trace_ranks *t, bool at_end)
{
    const int me = t->all->me;
    if (me) return trace_ranks_compare_clocks(clock_of(t->own, at_end), t->all->t, me, t->tag, own_clock, NULL);
    *clock_of(t->own, at_end) = (struct trace_clock){.at_ns = clock_ns()};
    for (int peer = 1; peer < t->all->n; peer++)
        TRY(trace_ranks_compare_clocks(clock_of(&t->ranks[peer], at_end), t->all->t, peer, t->tag, own_clock, NULL));
    return OK;
}

/* ---- Opening ---- */

static void name_ranks(struct trace_ranks *t, const struct team *team)
{
    const int me = t->all->me, n = me ? 1 : t->all->n;
    for (int i = 0; i < n; i++) {
        const int rank = me ? me : i;
        t->ranks[i] = (struct trace_rank){
            .rank = rank, .replica = rank / team->n_stages, .stage = rank % team->n_stages};
    }
    t->own = t->ranks;
    t->own->origin_ns = clock_ns();
}

enum status trace_ranks_open(struct trace_ranks **out, struct group *all, int tag, const struct team *team,
                             const struct trace *trace)
{
    struct trace_ranks *t = calloc(1, sizeof *t);
    if (!t) return fail(E_NOMEM, "trace: out of memory");
    *t = (struct trace_ranks){.all = all, .tag = tag, .trace = trace};
    t->ranks = calloc(all->me ? 1 : (size_t)all->n, sizeof *t->ranks);
    t->piece = malloc(PIECE_BYTES);
    enum status s = t->ranks && t->piece ? OK : fail(E_NOMEM, "trace: out of memory");
    if (s == OK) name_ranks(t, team);
    if (s == OK) s = group_broadcast(all, NET_CONTROL, 0, &t->own->origin_ns, sizeof t->own->origin_ns);
    if (s == OK) s = compare_all(t, false);
    if (s != OK) {
        trace_ranks_close(t);
        return s;
    }
    *out = t;
    return OK;
}

void trace_ranks_close(struct trace_ranks *t)
{
    if (!t) return;
    free(t->ranks);
    free(t->piece);
    free(t);
}

/* ---- Writing ---- */

/* What goes ahead of a rank's text. */
struct announcement {
    uint64_t bytes;
    int64_t dropped;
};

static size_t piece_of(uint64_t left)
{
    return left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
}

static enum status send_text(struct trace_ranks *t, const struct buf *text)
{
    const struct announcement a = {text->len, t->trace->dropped};
    TRY(send_to(t->all->t, 0, t->tag, &a, sizeof a));
    for (size_t at = 0, n; at < text->len; at += n) {
        n = piece_of(text->len - at);
        TRY(send_to(t->all->t, 0, t->tag, text->data + at, n));
    }
    return OK;
}

static enum status receive_text(struct trace_ranks *t, int rank, struct file_writer *w)
{
    struct announcement a;
    TRY(receive_from(t->all->t, rank, t->tag, &a, sizeof a));
    t->ranks[rank].dropped = a.dropped;
    for (uint64_t left = a.bytes; left;) {
        const size_t n = piece_of(left);
        TRY(receive_from(t->all->t, rank, t->tag, t->piece, n));
        TRY(file_writer_write(w, t->piece, n));
        left -= n;
    }
    return OK;
}

struct writing {
    struct trace_ranks *t;
    const struct buf *own;
};

static enum status put_rank(void *user, int rank, struct file_writer *w)
{
    const struct writing *writing = user;
    if (rank) return receive_text(writing->t, rank, w);
    return file_writer_write(w, writing->own->data, writing->own->len);
}

static enum status write_file(struct trace_ranks *t, const struct buf *own, const char *path)
{
    struct writing writing = {t, own};
    int64_t dropped = 0;
    t->own->dropped = t->trace->dropped;
    TRY(trace_write_ranks(path, t->ranks, t->all->n, put_rank, &writing));
    for (int i = 0; i < t->all->n; i++)
        dropped += t->ranks[i].dropped;
    if (dropped)
        log_line(LOG_WARN, "%s: %lld events beyond %d of a rank are missing", path, (long long)dropped,
                 TRACE_MAX_EVENTS);
    return OK;
}

enum status trace_ranks_write(struct trace_ranks *t, const char *path)
{
    struct buf text = {0};
    TRY(compare_all(t, true));
    trace_put(&text, t->trace, t->own);
    enum status s = buf_status(&text);
    if (s == OK) s = t->all->me ? send_text(t, &text) : write_file(t, &text, path);
    buf_free(&text);
    return s;
}
