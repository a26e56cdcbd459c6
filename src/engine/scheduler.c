// SPDX-License-Identifier: Apache-2.0
#include "engine/scheduler.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"

/* Rows of a step that prompts are gathered for. A pass goes in blocks of FORWARD_BLOCK rows; from one block on, more
 * rows a step were no faster (bench/RESULTS.md), and answers that are being written stand still for a step. */
enum { STEP_ROWS = 2 * FORWARD_BLOCK };

void scheduler_open(struct scheduler *c, struct gptjt_session *s, job_failed_fn *failed)
{
    *c = (struct scheduler){.s = s, .failed = failed, .end = &c->first, .work = &c->own};
    c->row_budget = s->max_rows < STEP_ROWS ? s->max_rows : STEP_ROWS;
}

void scheduler_add(struct scheduler *c, struct job *j)
{
    if (j->n_prefix < 2) j->n_prefix = 0; /* a single token sees itself either way */
    j->next = NULL;
    *c->end = j;
    c->end = &j->next;
    c->work->all += j->work;
}

enum status scheduler_name(enum status status, size_t index, size_t of)
{
    return of > 1 ? fail(status, "request %zu: %s", index, status_message()) : status;
}

enum status scheduler_fail_all(struct scheduler *c, struct job *j)
{
    (void)c;
    return scheduler_name(j->status, j->index, j->of);
}

bool scheduler_idle(const struct scheduler *c)
{
    return !c->first;
}

int scheduler_pages(size_t n_prompt, size_t length)
{
    return kvcache_pages_for((int64_t)length) - (int)(n_prompt / KV_PAGE);
}

/* Takes *at, which is in c's list, out of it. */
static void leave(struct scheduler *c, struct job **at)
{
    struct job *j = *at;
    if (j->joined) c->n_promised -= j->n_promised;
    j->kind->leave(j, c->s->kv);
    kvcache_release(c->s->kv, &j->kv);
    *at = j->next;
    if (c->end == &j->next) c->end = at;
}

void scheduler_close(struct scheduler *c)
{
    while (c->first)
        leave(c, &c->first);
}

/* ---- Joining ---- */

/* How many leading rows of a prompt are what another one has or will have: the same tokens under the same mask. The
 * last one is computed in any case, since its activations are wanted. */
static size_t same_rows(const struct job *j, const int32_t *ids, size_t n, size_t n_prefix)
{
    size_t same = 0;
    while (same < n && same < j->prompt.n && ids[same] == j->prompt.ids[same])
        same++;
    if (n_prefix != j->n_prefix || n_prefix > same) return 0;
    return same < j->prompt.n ? same : same - 1;
}

/* Whose K/V j can begin with, and how many rows of them. */
struct origin {
    const struct kv_sequence *kv;
    size_t n;
};

static struct origin find_origin(const struct scheduler *c, const struct job *j)
{
    const struct gptjt_session *s = c->s;
    struct origin best = {&s->prompt, same_rows(j, s->cached, s->n_cached, s->cached_prefix)};
    for (const struct job *o = c->first; o && o->joined; o = o->next) {
        size_t n = same_rows(j, o->prompt.ids, o->prompt.n, o->n_prefix);
        if (!o->computed) n = n / KV_PAGE * KV_PAGE; /* a page that is not written yet can be shared but not copied */
        if (n > best.n) best = (struct origin){&o->kv, n};
    }
    return best;
}

/* Gives j its K/V if there is room for it now; what the session remembers goes if that makes room. */
static enum status take_room(struct scheduler *c, struct job *j, struct origin from)
{
    struct kvcache *kv = c->s->kv;
    const int n = (int)j->prompt.n;
    TRY(kvcache_fork(kv, &j->kv, from.kv, (int)from.n));
    if (kvcache_pages_to_extend(kv, &j->kv, n) + j->n_promised > kv->n_free - c->n_promised) session_forget(c->s);
    if (kvcache_pages_to_extend(kv, &j->kv, n) + j->n_promised > kv->n_free - c->n_promised) {
        kvcache_truncate(kv, &j->kv, 0);
        return OK;
    }
    TRY(kvcache_extend(kv, &j->kv, n));
    c->n_promised += j->n_promised;
    c->work->done += from.n;
    j->joined = true;
    j->joined_ns = clock_ns();
    j->n_reused = from.n;
    j->n_rows = (int)(j->prompt.n - from.n);
    return OK;
}

/* The rows of those in flight; returns how many. */
static int gather_joined(struct scheduler *c)
{
    int rows = 0;
    for (struct job *j = c->first; j && j->joined; j = j->next) {
        const int room = (j->kind->divisible ? c->row_budget : c->s->max_rows) - rows;
        j->n_rows = j->kind->rows(j);
        if (j->n_rows > room) j->n_rows = j->kind->divisible && room > 0 ? room : 0;
        rows += j->n_rows;
    }
    return rows;
}

/* Who waits joins while there is room, in order: nobody overtakes, so nobody waits for ever. rows: the step has so far.
 */
static enum status gather_waiting(struct scheduler *c, int rows)
{
    struct job **at = &c->first;
    while (*at && (*at)->joined)
        at = &(*at)->next;
    for (bool alone = true; *at; at = &(*at)->next, alone = false) {
        struct job *j = *at;
        const struct origin from = find_origin(c, j);
        rows += (int)(j->prompt.n - from.n);
        if (!alone && rows > c->row_budget) break;
        j->status = take_room(c, j, from);
        if (j->status != OK) {
            leave(c, at);
            return c->failed(c, j);
        }
        if (!j->joined) break;
        if (rows <= c->s->max_rows) continue;
        /* A long prompt, and more beside it than fit a step: the others stand still for this one. */
        for (struct job *o = c->first; o != j; o = o->next)
            o->n_rows = 0;
        break;
    }
    return OK;
}

/* ---- A step ---- */

enum status scheduler_fork(struct scheduler *c, struct job *j, struct kv_sequence *to, size_t length)
{
    struct kvcache *kv = c->s->kv;
    const int before = kv->n_free;
    TRY(kvcache_fork(kv, to, &j->kv, (int)j->prompt.n));
    TRY(kvcache_extend(kv, to, (int)length));
    j->n_promised -= before - kv->n_free;
    c->n_promised -= before - kv->n_free;
    assert(j->n_promised >= 0);
    return OK;
}

void scheduler_add_row(struct scheduler *c, int sequence, int32_t token, size_t position, struct target target)
{
    struct gptjt_session *s = c->s;
    s->targets[s->step.T] = target;
    step_add_row(s, sequence, token, position, 0, position + 1);
}

/* A prompt's last token is a sequence of its own here, with the prompt's pages, so that all rows whose logits are
 * wanted stand at the end. */
static enum status build(struct scheduler *c)
{
    struct gptjt_session *s = c->s;
    struct job *j;
    step_begin(s);
    for (j = c->first; j && j->joined; j = j->next)
        if (!j->computed && j->n_rows > 1)
            step_add_prompt(s, &j->kv, j->prompt.ids, j->n_reused, j->prompt.n - 1, j->n_prefix);
    s->step.first_wanted = s->step.T;
    for (j = c->first; j && j->joined; j = j->next) {
        if (!j->computed) {
            const size_t last = j->prompt.n - 1;
            scheduler_add_row(c, step_add_sequence(s, &j->kv), j->prompt.ids[last], last,
                              (struct target){j, TARGET_PROMPT, 0});
        } else if (j->n_rows > 0) {
            j->status = j->kind->add(j, c, j->n_rows);
            if (j->status != OK) TRY(c->failed(c, j));
        }
    }
    return OK;
}

/* Rows [first, first + n) of the step, whose logits are there. */
static enum status read_block(struct scheduler *c, int first, int n)
{
    struct gptjt_session *s = c->s;
    const size_t V = (size_t)s->engine->config.model.V;
    for (int k = 0; k < n; k++) {
        const struct target *t = &s->targets[first + k];
        struct job *j = t->job;
        if (j->status != OK) continue;
        const float *logits = s->logits + (size_t)k * V;
        j->status = step_check(s, first + k, logits);
        if (j->status == OK) j->status = j->kind->read(j, c, t, logits);
        if (j->status != OK) TRY(c->failed(c, j));
    }
    return OK;
}

static enum status read_all(struct scheduler *c)
{
    struct gptjt_session *s = c->s;
    for (int row = s->step.first_wanted; row < s->step.T; row += LOGITS_BLOCK) {
        const int left = s->step.T - row, n = left < LOGITS_BLOCK ? left : LOGITS_BLOCK;
        int32_t rows[LOGITS_BLOCK];
        for (int k = 0; k < n; k++)
            rows[k] = row + k;
        step_logits(s, rows, n);
        TRY(read_block(c, row, n));
    }
    return OK;
}

/* Rows that progress counts: answers in the making are not known beforehand. */
static size_t work_of(const struct scheduler *c)
{
    size_t n = 0;
    for (const struct job *j = c->first; j && j->joined; j = j->next)
        if (!j->computed || j->kind->divisible) n += (size_t)j->n_rows;
    return n;
}

/* The prompts of those that joined are in the K/V store; the session remembers the last one. */
static enum status mark_computed(struct scheduler *c)
{
    const struct job *last = NULL;
    for (struct job *j = c->first; j && j->joined; j = j->next) {
        if (!j->computed) last = j;
        j->computed = true;
    }
    return last ? session_remember(c->s, &last->kv, last->prompt, last->n_prefix) : OK;
}

static enum status start(struct scheduler *c)
{
    TRY(gather_waiting(c, gather_joined(c)));
    TRY(build(c));
    if (c->s->step.T == 0) { /* the only one that could join has failed: any other one fits alone */
        assert(!c->first || !c->first->joined);
        return OK;
    }
    c->step_work = work_of(c);
    TRY(step_start(c->s));
    c->running = true;
    return OK;
}

static enum status end(struct scheduler *c)
{
    const struct step_work work = {c->work->done, c->step_work, c->work->all};
    c->running = false;
    TRY(step_end(c->s, &work));
    c->work->done += work.now;
    TRY(mark_computed(c));
    TRY(read_all(c));
    for (struct job **at = &c->first; *at && (*at)->joined;) {
        if ((*at)->done || (*at)->status != OK)
            leave(c, at);
        else
            at = &(*at)->next;
    }
    return OK;
}

enum status scheduler_step(struct scheduler *c)
{
    TRY(start(c));
    return c->running ? end(c) : OK;
}

enum status scheduler_run(struct scheduler *c)
{
    while (!scheduler_idle(c))
        TRY(scheduler_step(c));
    return OK;
}

/* ---- Several ---- */

void scheduler_lanes_open(struct scheduler *all, int n, struct gptjt_session *s, job_failed_fn *failed)
{
    assert(n == 1 + s->n_others);
    for (int i = 0; i < n; i++) {
        scheduler_open(&all[i], i ? s->others[i - 1] : s, failed);
        all[i].work = &all[0].own;
    }
}

struct gptjt_session *scheduler_lanes_add(struct scheduler *all, int n, struct job *j)
{
    int least = 0;
    for (int i = 1; i < n; i++)
        if (all[i].given < all[least].given) least = i;
    all[least].given += j->work;
    scheduler_add(&all[least], j);
    return all[least].s;
}

/* Starts a step of each that has something to do and is not under way; then the oldest is ended, and goes to the end of
 * the queue. */
enum status scheduler_lanes_run(struct scheduler *all, int n)
{
    for (int at = 0, n_running = 1; n_running;) {
        n_running = 0;
        for (int i = 0; i < n; i++) {
            struct scheduler *c = &all[(at + i) % n];
            while (!c->running && !scheduler_idle(c))
                TRY(start(c));
            n_running += c->running;
        }
        while (n_running && !all[at].running)
            at = (at + 1) % n;
        if (n_running) TRY(end(&all[at]));
        at = (at + 1) % n;
    }
    return OK;
}

void scheduler_lanes_close(struct scheduler *all, int n)
{
    for (int i = 0; i < n; i++) {
        if (all[i].running)
            step_drop(all[i].s); /* a transport that fails here fails again where somebody hears of it */
        scheduler_close(&all[i]);
    }
}
