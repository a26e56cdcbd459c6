// SPDX-License-Identifier: Apache-2.0
/* The transport over MPI: the only file that includes mpi.h.
 *
 * Requests of MPI lie in one array, so that one MPI_Testsome() moves all of them; slot 0 receives the notice of a rank
 * that has failed. MPI moves bytes only inside of calls, so somebody has to call it.
 *
 * Who waits polls: with yields at first, then with sleeps of a sixteenth of what it has waited. No wait becomes longer
 * by more than that, and a long one takes a hundredth of a core from other ranks that compute on it.
 *
 * While the rank computes and something is under way, a thread of its own, the mover, polls every millisecond. Without
 * it a message gets on by what sockets hold between two calls of net_progress(), and between these may lie a block of a
 * large model: at 100 Mbps, of messages of 12 MB, which take a second, nothing had moved after a second and a half.
 *
 * They take turns by a lock, which is all that MPI_THREAD_SERIALIZED asks for. */
#include "net/mpi.h"

#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum {
    MAX_SLOTS = 4 * NET_MAX_PENDING,
    PIECE_BYTES = 1 << 30, /* MPI counts in int: longer messages go in pieces, which stay in order */
    NOTICE_BYTES = 512,
    NOTICE_TAG = (NET_MAX_TAG + 1) * NET_PURPOSES,
    YIELD_NS = 100000,
    SLEEP_SHARE = 16,
    SLEEP_MAX_NS = 1000000, /* sockets hold what arrives in that time; the mover's too */
    GRACE_MS = 300,         /* for the notice of a failure to get through before the job is ended */
    RETREAT_MS = 2000,      /* for the rank that failed to end the job itself */
};

struct mpi_rank {
    struct transport base;
    MPI_Comm comm;
    MPI_Request slots[MAX_SLOTS];
    struct net_request *owners[MAX_SLOTS]; /* NULL: the notice, or let go of */
    int indices[MAX_SLOTS];
    MPI_Status statuses[MAX_SLOTS];
    int n_slots;
    char notice[NOTICE_BYTES], own_notice[NOTICE_BYTES];
    int failed; /* the rank that sent the notice, or -1 */

    pthread_t mover;
    pthread_mutex_t lock; /* of MPI and everything above */
    pthread_cond_t work;  /* something is under way, or the rank leaves */
    bool leaves;
    atomic_bool waits;        /* the rank polls by itself */
    enum status mover_status; /* of its first poll that failed, for the rank's next one */
    char mover_message[512];
};

static struct mpi_rank *rank_of(struct transport *t)
{
    return (struct mpi_rank *)t;
}

static enum status mpi_error(const struct mpi_rank *m, const char *what, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int len;
    MPI_Error_string(code, text, &len);
    return fail(E_IO, "rank %d: %s: %s", m->base.rank, what, text);
}

static enum status start_piece(struct mpi_rank *m, struct net_request *r, size_t at, int bytes)
{
    if (m->n_slots == MAX_SLOTS)
        return fail(E_LIMIT, "rank %d: more than %d pieces at a time", m->base.rank, MAX_SLOTS);
    const int tag = r->tag * NET_PURPOSES + (int)r->purpose;
    MPI_Request *slot = &m->slots[m->n_slots];
    const int code = r->is_send
                         ? MPI_Isend(r->from ? (const char *)r->from + at : NULL, bytes, MPI_BYTE, r->peer, tag,
                                     m->comm, slot)
                         : MPI_Irecv(r->to ? (char *)r->to + at : NULL, bytes, MPI_BYTE, r->peer, tag, m->comm, slot);
    if (code != MPI_SUCCESS) return mpi_error(m, r->is_send ? "cannot send" : "cannot receive", code);
    m->owners[m->n_slots++] = r;
    r->n_left++;
    return OK;
}

static enum status start_pieces(struct mpi_rank *m, struct net_request *r)
{
    size_t at = 0;
    do {
        const size_t left = r->bytes - at;
        const int bytes = left < PIECE_BYTES ? (int)left : PIECE_BYTES;
        TRY(start_piece(m, r, at, bytes));
        at += (size_t)bytes;
    } while (at < r->bytes);
    return OK;
}

static enum status start(struct transport *t, struct net_request *r)
{
    struct mpi_rank *m = rank_of(t);
    pthread_mutex_lock(&m->lock);
    const enum status s = start_pieces(m, r);
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
    return s;
}

/* The bytes that came are counted; what did not fit, or was less, is a message of the wrong size. */
static enum status end_piece(struct mpi_rank *m, struct net_request *r, const MPI_Status *status, int code)
{
    int class = MPI_SUCCESS, bytes = 0;
    if (code != MPI_SUCCESS) MPI_Error_class(code, &class);
    if (code != MPI_SUCCESS && class != MPI_ERR_TRUNCATE) return mpi_error(m, "a message failed", code);
    if (!r->is_send) MPI_Get_count(status, MPI_BYTE, &bytes);
    r->other_bytes += r->is_send ? 0 : (size_t)bytes;
    if (class == MPI_ERR_TRUNCATE && r->other_bytes <= r->bytes) r->other_bytes = r->bytes + 1; /* at least */
    if (--r->n_left) return OK;
    atomic_store(&r->state, r->is_send || r->other_bytes == r->bytes ? NET_DONE : NET_WRONG_SIZE);
    return OK;
}

static void compact(struct mpi_rank *m)
{
    int n = 1;
    for (int i = 1; i < m->n_slots; i++) {
        if (m->slots[i] == MPI_REQUEST_NULL) continue;
        m->slots[n] = m->slots[i];
        m->owners[n++] = m->owners[i];
    }
    m->n_slots = n;
}

static enum status move_all(struct mpi_rank *m)
{
    int n = 0;
    const int code = MPI_Testsome(m->n_slots, m->slots, &n, m->indices, m->statuses);
    if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) return mpi_error(m, "MPI_Testsome", code);
    if (n == MPI_UNDEFINED || n == 0) return OK;
    enum status s = OK;
    for (int i = 0; i < n; i++) {
        const MPI_Status *status = &m->statuses[i];
        struct net_request *r = m->owners[m->indices[i]];
        if (m->indices[i] == 0)
            m->failed = status->MPI_SOURCE;
        else if (r && s == OK)
            s = end_piece(m, r, status, code == MPI_ERR_IN_STATUS ? status->MPI_ERROR : MPI_SUCCESS);
    }
    compact(m);
    return s;
}

static enum status poll(struct transport *t)
{
    struct mpi_rank *m = rank_of(t);
    pthread_mutex_lock(&m->lock);
    const enum status s = m->mover_status == OK ? move_all(m) : fail(m->mover_status, "%s", m->mover_message);
    pthread_mutex_unlock(&m->lock);
    return s;
}

static void pause_between_polls(int64_t waited_ns)
{
    const int64_t share = waited_ns / SLEEP_SHARE;
    if (waited_ns < YIELD_NS) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = share < SLEEP_MAX_NS ? share : SLEEP_MAX_NS}, NULL);
    }
}

static enum status poll_until_any(struct mpi_rank *m, struct net_request *const *requests, int n)
{
    struct transport *t = &m->base;
    const int64_t begin = clock_ns();
    for (;;) {
        TRY(poll(t));
        if (net_any_done(requests, n)) return OK;
        if (m->failed >= 0) return net_cannot(t, requests, n, "rank %d failed: %s", m->failed, m->notice);
        const int64_t waited_ns = clock_ns() - begin;
        if ((double)waited_ns * 1e-9 > t->timeout_s) return net_cannot(t, requests, n, "waited %.3g s", t->timeout_s);
        pause_between_polls(waited_ns);
    }
}

static enum status wait_any(struct transport *t, struct net_request *const *requests, int n)
{
    struct mpi_rank *m = rank_of(t);
    atomic_store(&m->waits, true);
    const enum status s = poll_until_any(m, requests, n);
    atomic_store(&m->waits, false);
    return s;
}

/* ---- The mover ---- */

static void sleep_and_move(struct mpi_rank *m)
{
    if (m->n_slots == 1 || m->mover_status != OK) {
        pthread_cond_wait(&m->work, &m->lock);
        return;
    }
    pthread_mutex_unlock(&m->lock);
    nanosleep(&(struct timespec){.tv_nsec = SLEEP_MAX_NS}, NULL);
    pthread_mutex_lock(&m->lock);
    if (m->leaves || atomic_load(&m->waits)) return;
    m->mover_status = move_all(m);
    if (m->mover_status != OK) snprintf(m->mover_message, sizeof m->mover_message, "%s", status_message());
}

static void *move(void *user)
{
    struct mpi_rank *m = user;
    pthread_mutex_lock(&m->lock);
    while (!m->leaves)
        sleep_and_move(m);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

/* Signals are for the rank's own threads. */
static enum status start_mover(struct mpi_rank *m)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->work, NULL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&m->mover, NULL, move, m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code ? fail(E_NOMEM, "cannot start the thread that calls MPI: %s", strerror(code)) : OK;
}

static void end_mover(struct mpi_rank *m)
{
    pthread_mutex_lock(&m->lock);
    m->leaves = true;
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->mover, NULL);
}

/* ---- Failures, and the end ---- */

/* Lets MPI work for a while, whatever comes of it. */
static void linger(struct mpi_rank *m, int ms)
{
    const int64_t begin = clock_ns();
    while (clock_ns() - begin < (int64_t)ms * 1000000) {
        poll(&m->base);
        pause_between_polls(YIELD_NS);
    }
}

/* Lets go of all requests and starts to send the notice, unless the others have heard of it from where we have. */
static void send_notices(struct mpi_rank *m)
{
    for (int i = 1; i < m->n_slots; i++)
        m->owners[i] = NULL;
    for (int peer = 0; peer < m->base.size && m->failed < 0; peer++) {
        if (peer == m->base.rank || m->n_slots == MAX_SLOTS) continue;
        m->owners[m->n_slots] = NULL;
        if (MPI_Isend(m->own_notice, NOTICE_BYTES, MPI_CHAR, peer, NOTICE_TAG, m->comm, &m->slots[m->n_slots]) ==
            MPI_SUCCESS)
            m->n_slots++;
    }
}

static void tell_and_detach(struct transport *t, enum status status, const char *message)
{
    struct mpi_rank *m = rank_of(t);
    (void)status;
    pthread_mutex_lock(&m->lock);
    snprintf(m->own_notice, sizeof m->own_notice, "%s", message);
    m->mover_status = OK;
    send_notices(m);
    const bool first = m->failed < 0;
    pthread_mutex_unlock(&m->lock);
    if (first) linger(m, GRACE_MS);
}

static void leave(struct transport *t)
{
    struct mpi_rank *m = rank_of(t);
    end_mover(m);
    if (t->broken) {
        if (m->failed >= 0) linger(m, RETREAT_MS);
        MPI_Abort(m->comm, 1);
    }
    if (m->slots[0] != MPI_REQUEST_NULL) {
        MPI_Cancel(&m->slots[0]);
        MPI_Wait(&m->slots[0], MPI_STATUS_IGNORE);
    }
    MPI_Comm_free(&m->comm);
    MPI_Finalize();
    pthread_cond_destroy(&m->work);
    pthread_mutex_destroy(&m->lock);
    net_release(t);
    free(m);
}

static const struct transport_ops operations = {
    .start = start, .progress = poll, .wait = wait_any, .fail = tell_and_detach, .close = leave};

bool net_mpi_built(void)
{
    return true;
}

static enum status check_tags(struct mpi_rank *m)
{
    int *most, found;
    MPI_Comm_get_attr(m->comm, MPI_TAG_UB, &most, &found);
    if (found && *most >= NOTICE_TAG) return OK;
    return fail(E_UNSUPPORTED, "this MPI has tags up to %d only, %d are needed", found ? *most : 0, NOTICE_TAG);
}

static enum status listen_for_failures(struct mpi_rank *m)
{
    m->failed = -1;
    m->n_slots = 1;
    const int code = MPI_Irecv(m->notice, NOTICE_BYTES, MPI_CHAR, MPI_ANY_SOURCE, NOTICE_TAG, m->comm, &m->slots[0]);
    return code == MPI_SUCCESS ? OK : mpi_error(m, "cannot receive", code);
}

enum status net_mpi_open(struct transport **out)
{
    int given, rank, size;
    struct mpi_rank *m = calloc(1, sizeof *m);
    if (!m) return fail(E_NOMEM, "out of memory for MPI's requests");
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &given) != MPI_SUCCESS || given < MPI_THREAD_SERIALIZED) {
        free(m);
        return fail(E_UNSUPPORTED, "MPI does not start, or not for programs with threads");
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &m->comm);
    MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(m->comm, &rank);
    MPI_Comm_size(m->comm, &size);
    enum status s = check_tags(m);
    if (s == OK) s = net_init(&m->base, &operations, rank, size);
    if (s == OK) s = listen_for_failures(m);
    if (s == OK) s = start_mover(m);
    if (s != OK) {
        net_release(&m->base);
        free(m);
        return s;
    }
    *out = &m->base;
    return OK;
}
