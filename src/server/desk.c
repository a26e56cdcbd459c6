// SPDX-License-Identifier: Apache-2.0
/* One mutex guards the clients' queues and the list of all jobs. The thread that owns the batch alone takes jobs off
 * that list, so it may go through it without the mutex once it has the beginning. Owners' functions are called without
 * it. A turn of the thread:
 *
 *     sweep   those cancelled or late end
 *     feed    requests, a client at a time, while the batch takes them
 *     step    of the batch: tokens, and ends of requests, by callback
 *     reap    jobs whose items have all ended are given back */
#include "server/desk.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "eval/api.h"

/* Requests that wait in the batch: enough to fill a step with prompts. */
enum { MOST_AHEAD = 4, CLIENT_MAX = 128 };

/* Somebody who has jobs waiting; in a ring, the next turn's first. */
struct desk_client {
    char name[CLIENT_MAX];
    struct desk_job *first, **end;
    size_t n_waiting; /* requests */
    struct desk_client *next;
};

struct desk {
    struct desk_options options;
    struct gptjt_session *session;
    struct gptjt_batch *batch;
    pthread_t thread;
    _Atomic bool hurry;

    pthread_mutex_t mutex;
    pthread_cond_t work;
    bool stopping;
    struct desk_job *jobs;
    size_t n_jobs;
    struct desk_client *clients, **clients_end; /* turns, in order */
    size_t n_waiting;
    struct gptjt_batch_state batch_state;

    size_t n_sequences; /* that the batch has been given and that have not ended; the thread's own */
};

/* ---- Queues, under the mutex ---- */

static struct desk_client *find_client(const struct desk *d, const char *name)
{
    for (struct desk_client *c = d->clients; c; c = c->next)
        if (!strncmp(c->name, name, CLIENT_MAX - 1)) return c;
    return NULL;
}

static void append_client(struct desk *d, struct desk_client *c)
{
    c->next = NULL;
    *d->clients_end = c;
    d->clients_end = &c->next;
}

static void remove_client(struct desk *d, const struct desk_client *c)
{
    struct desk_client **at = &d->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (d->clients_end == &c->next) d->clients_end = at;
}

static struct desk_client *add_client(struct desk *d, const char *name)
{
    struct desk_client *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    snprintf(c->name, sizeof c->name, "%s", name);
    c->end = &c->first;
    append_client(d, c);
    return c;
}

/* Nothing of the job waits any more; a client without jobs is forgotten. */
static void dequeue(struct desk *d, struct desk_job *job)
{
    struct desk_client *c = job->queue;
    if (!c) return;
    struct desk_job **at = &c->first;
    while (*at != job)
        at = &(*at)->next_waiting;
    *at = job->next_waiting;
    if (c->end == &job->next_waiting) c->end = at;
    job->queue = NULL;
    c->n_waiting -= job->n_items - job->n_fed;
    d->n_waiting -= job->n_items - job->n_fed;
    if (c->first) return;
    remove_client(d, c);
    free(c);
}

static void enqueue(struct desk *d, struct desk_client *c, struct desk_job *job)
{
    job->queue = c;
    job->next_waiting = NULL;
    *c->end = job;
    c->end = &job->next_waiting;
    c->n_waiting += job->n_items;
    d->n_waiting += job->n_items;
    job->next = d->jobs;
    job->at = &d->jobs;
    if (job->next) job->next->at = &job->next;
    d->jobs = job;
    d->n_jobs++;
}

enum status desk_submit(struct desk *d, struct desk_job *job)
{
    enum status s = OK;
    job->desk = d;
    for (size_t i = 0; i < job->n_items; i++)
        job->items[i].job = job;
    pthread_mutex_lock(&d->mutex);
    struct desk_client *c = find_client(d, job->client);
    if (d->stopping)
        s = fail(E_CANCELLED, "the server is ending");
    else if (d->n_waiting + job->n_items > d->options.most_waiting)
        s = fail(E_LIMIT, "%zu requests are waiting already; try again later", d->n_waiting);
    else if ((c ? c->n_waiting : 0) + job->n_items > d->options.most_waiting_each)
        s = fail(E_LIMIT, "%zu of your requests are waiting already; try again later", c ? c->n_waiting : 0);
    else if (!c && !(c = add_client(d, job->client)))
        s = fail(E_NOMEM, "out of memory");
    if (s == OK) {
        enqueue(d, c, job);
        pthread_cond_signal(&d->work);
    }
    pthread_mutex_unlock(&d->mutex);
    return s;
}

void desk_cancel(struct desk *d, struct desk_job *job)
{
    atomic_store(&job->cancelled, true); /* seen between two steps: there is a step as long as there is a job */
    pthread_mutex_lock(&d->mutex);
    pthread_cond_signal(&d->work);
    pthread_mutex_unlock(&d->mutex);
}

bool desk_job_late(const struct desk_job *job)
{
    return atomic_load(&job->desk->hurry) || (job->deadline_ns && job->deadline_ns <= clock_ns());
}

void desk_hurry(struct desk *d)
{
    atomic_store(&d->hurry, true);
}

void desk_state(struct desk *d, struct desk_state *out)
{
    pthread_mutex_lock(&d->mutex);
    *out = (struct desk_state){.jobs = d->n_jobs, .waiting = d->n_waiting, .batch = d->batch_state};
    pthread_mutex_unlock(&d->mutex);
}

/* ---- Items ---- */

static size_t sequences_of(const struct desk_item *item)
{
    return item->generate ? (size_t)item->generate->num_return_sequences : item->score->n;
}

static void item_ended(struct desk_item *item, enum status status, const char *message)
{
    item->status = status;
    snprintf(item->message, sizeof item->message, "%s", status == OK ? "" : message);
    item->ended = true;
    item->job->n_ended++;
    if (item->id) item->job->desk->n_sequences -= sequences_of(item);
}

static void generated(void *user, uint64_t id, enum gptjt_status status, struct gptjt_generation *g)
{
    (void)id;
    if (g) gptjt_generation_free(g); /* its tokens have been called out */
    item_ended(user, (enum status)status, gptjt_error());
}

static void scored(void *user, uint64_t id, enum gptjt_status status, struct gptjt_score *scores, size_t n)
{
    (void)id;
    struct desk_item *item = user;
    if (status == GPTJT_OK) item->scores = malloc(n * sizeof *scores);
    if (item->scores) {
        memcpy(item->scores, scores, n * sizeof *scores);
    } else if (status == GPTJT_OK) {
        gptjt_scores_free(scores, n);
        item_ended(item, E_NOMEM, "out of memory");
        return;
    }
    item_ended(item, (enum status)status, gptjt_error());
}

static void give_to_batch(struct desk *d, struct desk_item *item)
{
    const enum gptjt_status s = item->generate
                                    ? gptjt_batch_generate(d->batch, item->generate, generated, item, &item->id)
                                    : gptjt_batch_score(d->batch, item->score, scored, item, &item->id);
    if (s == GPTJT_OK) {
        d->n_sequences += sequences_of(item);
    } else {
        item->id = 0;
        item_ended(item, (enum status)s, gptjt_error());
    }
}

static void cancel_items(struct desk *d, struct desk_job *job, bool begun_too)
{
    pthread_mutex_lock(&d->mutex);
    dequeue(d, job);
    pthread_mutex_unlock(&d->mutex);
    for (size_t i = 0; i < job->n_items; i++) {
        struct desk_item *item = &job->items[i];
        if (item->ended || (item->begun && !begun_too)) continue;
        if (item->id)
            gptjt_batch_cancel(d->batch, item->id);
        else
            item_ended(item, E_CANCELLED, "cancelled");
    }
}

/* ---- The thread ---- */

static struct desk_job *first_job(struct desk *d)
{
    pthread_mutex_lock(&d->mutex);
    struct desk_job *first = d->jobs;
    pthread_mutex_unlock(&d->mutex);
    return first;
}

static void sweep(struct desk *d, bool all)
{
    for (struct desk_job *j = first_job(d); j; j = j->next) {
        if (j->n_ended == j->n_items) continue;
        if (all || atomic_load(&j->cancelled)) {
            cancel_items(d, j, true);
        } else if (desk_job_late(j)) {
            j->late = true;
            cancel_items(d, j, false);
        }
    }
}

/* The next request of the client whose turn it is, unless it has to wait: NULL. */
static struct desk_item *take_turn(struct desk *d)
{
    struct desk_client *c = d->clients;
    if (!c) return NULL;
    struct desk_job *job = c->first;
    struct desk_item *item = &job->items[job->n_fed];
    if (d->n_sequences && d->n_sequences + sequences_of(item) > d->options.most_running) return NULL;
    remove_client(d, c);
    append_client(d, c);
    job->n_fed++;
    c->n_waiting--;
    d->n_waiting--;
    if (job->n_fed == job->n_items) dequeue(d, job);
    return item;
}

static void feed(struct desk *d)
{
    for (;;) {
        struct gptjt_batch_state state;
        gptjt_batch_state(d->batch, &state);
        if (state.n_waiting >= MOST_AHEAD) return;
        pthread_mutex_lock(&d->mutex);
        struct desk_item *item = take_turn(d);
        pthread_mutex_unlock(&d->mutex);
        if (!item) return;
        give_to_batch(d, item);
    }
}

static void reap(struct desk *d)
{
    struct desk_job *next;
    for (struct desk_job *j = first_job(d); j; j = next) {
        next = j->next;
        if (j->n_ended < j->n_items) continue;
        pthread_mutex_lock(&d->mutex);
        dequeue(d, j);
        *j->at = j->next;
        if (j->next) j->next->at = j->at;
        d->n_jobs--;
        pthread_mutex_unlock(&d->mutex);
        j->ended(j);
    }
}

static void publish(struct desk *d)
{
    struct gptjt_batch_state state;
    gptjt_batch_state(d->batch, &state);
    pthread_mutex_lock(&d->mutex);
    d->batch_state = state;
    pthread_mutex_unlock(&d->mutex);
}

/* Until there is a job. False: the desk closes. */
static bool wait_for_work(struct desk *d)
{
    pthread_mutex_lock(&d->mutex);
    while (!d->jobs && !d->stopping)
        pthread_cond_wait(&d->work, &d->mutex);
    const bool goes_on = !d->stopping;
    pthread_mutex_unlock(&d->mutex);
    return goes_on;
}

static void *work(void *user)
{
    struct desk *d = user;
    while (wait_for_work(d)) {
        sweep(d, false);
        feed(d);
        gptjt_batch_step(d->batch);
        publish(d); /* before anybody hears that a job is over */
        reap(d);
    }
    sweep(d, true);
    reap(d);
    return NULL;
}

/* ---- Life ---- */

static enum status open_batch(struct desk *d, struct gptjt_engine *engine)
{
    struct gptjt_batch_options o;
    gptjt_batch_options_init(&o);
    o.longest_stall_s = d->options.longest_stall_s;
    TRY(api_status(gptjt_session_create(&d->session, engine, d->options.max_tokens)));
    return api_status(gptjt_batch_open(&d->batch, d->session, &o));
}

static void free_desk(struct desk *d)
{
    gptjt_batch_close(d->batch);
    gptjt_session_close(d->session);
    pthread_cond_destroy(&d->work);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

enum status desk_open(struct desk **out, struct gptjt_engine *engine, const struct desk_options *o)
{
    struct desk *d = calloc(1, sizeof *d);
    if (!d) return fail(E_NOMEM, "server: out of memory");
    d->options = *o;
    d->clients_end = &d->clients;
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->work, NULL);
    enum status s = open_batch(d, engine);
    if (s == OK) {
        gptjt_batch_state(d->batch, &d->batch_state);
        const int error = pthread_create(&d->thread, NULL, work, d);
        if (error) s = fail(E_IO, "server: cannot start the model's thread: %s", strerror(error));
    }
    if (s != OK) {
        free_desk(d);
        return s;
    }
    *out = d;
    return OK;
}

void desk_close(struct desk *d)
{
    if (!d) return;
    pthread_mutex_lock(&d->mutex);
    d->stopping = true;
    pthread_cond_signal(&d->work);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->thread, NULL);
    free_desk(d);
}
