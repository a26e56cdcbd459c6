// SPDX-License-Identifier: Apache-2.0
/* Requests that come and go while others run: what is between the callers of gptjt_batch_...() and the scheduler's
 * turns.
 *
 * An entry is a request from when it is added until its rows are out of the scheduler. Its caller hears of its end
 * once: of a result when the entry leaves, of a failure or cancellation at once, while the entry, which has a status
 * now, may have to wait for the end of a step or pass that has rows of it. From then on nothing of the caller's is
 * touched. */
#include <assert.h>
#include <stdlib.h>

#include "engine/batch.h"
#include "engine/generation.h"
#include "engine/scoring.h"

struct entry {
    uint64_t id;
    void *user;
    bool told;                     /* its caller has heard of its end */
    gptjt_generated_fn *generated; /* NULL: it scores */
    struct gptjt_generate_request request;
    struct generation generation;
    gptjt_scored_fn *scored;
    struct scoring scoring;
    struct gptjt_score *scores; /* [n_scores] */
    struct kv_sequence *forks;  /* [n_scores] */
    size_t n_scores;
};

static struct job *job_of(struct entry *e)
{
    return e->generated ? &e->generation.job : &e->scoring.job;
}

static void entry_free(struct entry *e)
{
    if (e->generated) generation_close(&e->generation);
    if (e->scores) gptjt_scores_free(e->scores, e->n_scores);
    free(e->scores);
    free(e->forks);
    free(e);
}

/* ---- Ends ---- */

/* status_message() says why. */
static void tell_failure(struct gptjt_batch *b, struct entry *e, enum status status)
{
    assert(!e->told && status != OK);
    e->told = true;
    b->n_done++;
    if (e->generated)
        e->generated(e->user, e->id, (enum gptjt_status)status, NULL);
    else
        e->scored(e->user, e->id, (enum gptjt_status)status, NULL, 0);
}

static void tell_result(struct gptjt_batch *b, struct entry *e)
{
    e->told = true;
    b->n_done++;
    if (e->generated) {
        struct gptjt_generation result;
        generation_finish(&e->generation, &result);
        b->n_reused += result.n_reused;
        for (int i = 0; i < result.n; i++)
            b->n_new += result.completions[i].n_tokens;
        e->generated(e->user, e->id, GPTJT_OK, &result);
    } else {
        struct gptjt_score *scores = e->scores;
        e->scores = NULL; /* what is in them is the callback's */
        b->n_reused += e->scoring.job.n_reused;
        e->scored(e->user, e->id, GPTJT_OK, scores, e->n_scores);
        free(scores);
    }
}

static struct gptjt_batch *batch_of(struct scheduler *c)
{
    return (struct gptjt_batch *)(void *)((char *)c - offsetof(struct gptjt_batch, scheduler));
}

static enum status failed(struct scheduler *c, struct job *j)
{
    tell_failure(batch_of(c), j->owner, j->status);
    return OK; /* the others go on */
}

static void left(struct scheduler *c, struct job *j)
{
    struct entry *e = j->owner;
    if (!e->told) tell_result(batch_of(c), e);
    entry_free(e);
}

static void cancel(struct gptjt_batch *b, struct entry *e)
{
    struct job *j = job_of(e);
    j->status = fail(E_CANCELLED, "request %llu was cancelled", (unsigned long long)e->id);
    tell_failure(b, e, j->status);
}

/* ---- Opening and closing ---- */

void gptjt_batch_options_init(struct gptjt_batch_options *o)
{
    *o = (struct gptjt_batch_options){.longest_stall_s = 0.5};
}

static enum status check(const struct gptjt_session *s, const struct gptjt_batch_options *o)
{
    TRY(session_check_free(s));
    if (s->engine->crew || s->engine->stages)
        return fail(E_UNSUPPORTED, "a batch runs on one rank, and %d share this model's work", s->engine->n_ranks);
    if (!(o->longest_stall_s > 0 && o->longest_stall_s <= 3600))
        return fail(E_ARG, "longest_stall_s is %g, not above 0 and up to 3600", o->longest_stall_s);
    return OK;
}

enum gptjt_status gptjt_batch_open(struct gptjt_batch **out, struct gptjt_session *s,
                                   const struct gptjt_batch_options *options)
{
    struct gptjt_batch_options o;
    gptjt_batch_options_init(&o);
    if (options) o = *options;
    enum status st = check(s, &o);
    if (st != OK) return (enum gptjt_status)st;
    struct gptjt_batch *b = calloc(1, sizeof *b);
    st = b ? session_open_beside(s) : fail(E_NOMEM, "batch: out of memory");
    if (st != OK) {
        free(b);
        return (enum gptjt_status)st;
    }
    b->s = s;
    s->has_batch = true;
    scheduler_open(&b->scheduler, s, failed);
    scheduler_bound(&b->scheduler, (int64_t)(o.longest_stall_s * 1e9));
    b->scheduler.left = left;
    *out = b;
    return GPTJT_OK;
}

void gptjt_batch_close(struct gptjt_batch *b)
{
    if (!b) return;
    assert(!b->inside);
    b->inside = b->closing = true;
    for (struct job *j = b->scheduler.first; j; j = j->next) {
        struct entry *e = j->owner;
        if (!e->told) cancel(b, e);
    }
    scheduler_close(&b->scheduler);
    session_close_beside(b->s);
    b->s->has_batch = false;
    free(b);
}

/* ---- Adding ---- */

static struct entry *entry_new(struct gptjt_batch *b, void *user)
{
    struct entry *e = calloc(1, sizeof *e);
    if (!e) {
        fail(E_NOMEM, "request: out of memory");
        return NULL;
    }
    e->id = b->last_id + 1;
    e->user = user;
    return e;
}

/* Opened as opened says, e is added or given up. has_work: else it ends with the next step. */
static enum status add(struct gptjt_batch *b, struct entry *e, enum status opened, bool has_work, uint64_t *id)
{
    if (opened != OK) {
        entry_free(e);
        return opened;
    }
    b->last_id = e->id;
    if (id) *id = e->id;
    struct job *j = job_of(e);
    j->owner = e;
    j->done = !has_work;
    scheduler_add(&b->scheduler, j);
    return OK;
}

static enum status check_open(const struct gptjt_batch *b)
{
    return b->closing ? fail(E_ARG, "the batch is being closed") : OK;
}

enum gptjt_status gptjt_batch_generate(struct gptjt_batch *b, const struct gptjt_generate_request *r,
                                       gptjt_generated_fn *done, void *user, uint64_t *id)
{
    enum status st = check_open(b);
    if (st == OK) st = generation_check(b->s, r);
    if (st != OK) return (enum gptjt_status)st;
    struct entry *e = entry_new(b, user);
    if (!e) return GPTJT_E_NOMEM;
    e->generated = done;
    e->request = *r;
    st = generation_open(&e->generation, b->s, &e->request);
    return (enum gptjt_status)add(b, e, st, st == OK && generation_has_work(&e->generation), id);
}

static enum status open_scoring(struct entry *e, struct gptjt_session *s, const struct gptjt_score_request *r)
{
    e->scores = calloc(r->n + 1, sizeof *e->scores);
    e->forks = calloc(r->n + 1, sizeof *e->forks);
    if (!e->scores || !e->forks) return fail(E_NOMEM, "score: out of memory");
    e->n_scores = r->n;
    return scoring_open(&e->scoring, s, r, e->scores, e->forks);
}

enum gptjt_status gptjt_batch_score(struct gptjt_batch *b, const struct gptjt_score_request *r, gptjt_scored_fn *done,
                                    void *user, uint64_t *id)
{
    enum status st = check_open(b);
    if (st == OK) st = scoring_check(b->s, r);
    if (st != OK) return (enum gptjt_status)st;
    struct entry *e = entry_new(b, user);
    if (!e) return GPTJT_E_NOMEM;
    e->scored = done;
    return (enum gptjt_status)add(b, e, open_scoring(e, b->s, r), r->n > 0, id);
}

/* ---- Going on ---- */

bool gptjt_batch_cancel(struct gptjt_batch *b, uint64_t id)
{
    struct job *j = b->scheduler.first;
    while (j && ((struct entry *)j->owner)->id != id)
        j = j->next;
    if (!j || ((struct entry *)j->owner)->told) return false;
    const bool inside = b->inside;
    b->inside = true;
    cancel(b, j->owner);
    if (!inside) scheduler_tidy(&b->scheduler);
    b->inside = inside;
    return true;
}

bool gptjt_batch_step(struct gptjt_batch *b)
{
    assert(!b->inside);
    b->inside = true;
    const enum status st = scheduler_turn(&b->scheduler);
    assert(st == OK); /* what fails is a request */
    (void)st;
    b->inside = false;
    return !scheduler_idle(&b->scheduler);
}

/* ---- Looking ---- */

/* Pages that only what the session remembers has: they are given up for who needs them. */
static int n_remembered(const struct gptjt_session *s)
{
    int n = 0;
    for (int i = 0; i < s->prompt.n_pages; i++)
        n += s->kv->references[s->prompt.pages[i]] == 1;
    return n;
}

void gptjt_batch_state(const struct gptjt_batch *b, struct gptjt_batch_state *out)
{
    const struct scheduler *c = &b->scheduler;
    const struct kvcache *kv = b->s->kv;
    const int free_pages = kv->n_free + n_remembered(b->s) - c->n_promised;
    *out = (struct gptjt_batch_state){.tokens_free = (size_t)free_pages * KV_PAGE,
                                      .tokens_all = (size_t)kv->n_pages * KV_PAGE,
                                      .n_done = b->n_done,
                                      .prompt_tokens = c->n_computed,
                                      .reused_tokens = b->n_reused,
                                      .new_tokens = b->n_new};
    for (const struct job *j = c->first; j; j = j->next) {
        if (j->status != OK) continue;
        out->n_waiting += !j->joined;
        out->n_running += j->joined;
        if (j->joined && j->computed && !j->kind->divisible) out->n_sequences += (size_t)j->kind->rows(j);
    }
}
