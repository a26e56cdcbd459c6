// SPDX-License-Identifier: Apache-2.0
#include "engine/scheduler.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"

/* Rows that go with running answers in any case: products with so few take hardly longer than with one (the weights are
 * read once), and who has them gets on. And of how many rows what a row takes can be told. */
enum { RIDE_ROWS = 16, MEASURED_ROWS = 32 };

void scheduler_open(struct scheduler *c, struct gptjt_session *s, job_failed_fn *failed)
{
    *c = (struct scheduler){
        .s = s, .failed = failed, .end = &c->first, .step = &s->step, .work = &c->own, .clock = clock_ns};
    /* Rows of a step that prompts are gathered for. More than one of the backend's blocks of rows were no faster
     * (bench/RESULTS.md), and answers that are being written stand still for a step. */
    const int step_rows = s->engine->ops->block_rows;
    c->row_budget = s->step.max_rows < step_rows ? s->step.max_rows : step_rows;
}

void scheduler_bound(struct scheduler *c, int64_t bound)
{
    c->bound = bound;
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

/* ---- Leaving ---- */

/* Takes *at, which is in c's list, out of it. */
static void leave(struct scheduler *c, struct job **at)
{
    struct job *j = *at;
    if (j->joined) c->n_promised -= j->n_promised;
    j->kind->leave(j, c->s->kv);
    kvcache_release(c->s->kv, &j->kv);
    *at = j->next;
    if (c->end == &j->next) c->end = at;
    if (c->left) c->left(c, j);
}

/* Who is done or has failed leaves, unless rows of it are under way. */
static void sweep(struct scheduler *c)
{
    for (struct job **at = &c->first; *at;) {
        const struct job *j = *at;
        if ((j->done || j->status != OK) && !j->in_pass)
            leave(c, at);
        else
            at = &(*at)->next;
    }
}

static void end_pass(struct scheduler *c)
{
    c->under_way = c->owed = false;
    for (struct job *j = c->first; j; j = j->next)
        j->in_pass = false;
}

void scheduler_tidy(struct scheduler *c)
{
    bool wanted = false;
    for (const struct job *j = c->first; j; j = j->next)
        wanted |= j->in_pass && j->status == OK;
    if (c->under_way && !wanted) end_pass(c);
    sweep(c);
}

void scheduler_close(struct scheduler *c)
{
    end_pass(c);
    while (c->first)
        leave(c, &c->first);
}

/* ---- Joining ---- */

/* How many leading rows of a prompt are what another one has or will have: the same tokens under the same mask. Those
 * that are read are computed in any case, since their activations are wanted. */
static size_t same_rows(const struct job *j, const int32_t *ids, size_t n, size_t n_prefix)
{
    const size_t most = j->prompt.n - (size_t)j->n_read;
    size_t same = 0;
    while (same < n && same < j->prompt.n && ids[same] == j->prompt.ids[same])
        same++;
    if (n_prefix != j->n_prefix || n_prefix > same) return 0;
    return same < most ? same : most;
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
        if (o->in_pass || o->status != OK) continue; /* not computed yet; not there any more */
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

/* A step in the making. */
struct gathering {
    int rows, others; /* rows so far; those of them that no running answer waits for */
    int answers;      /* running answers' */
    int budget;       /* for others */
};

static bool in_turns(const struct scheduler *c)
{
    return c->bound > 0;
}

/* How many rows may go with those of running answers without keeping these for longer than the bound. */
static int ride_rows(const struct scheduler *c)
{
    const double rows = c->row_time > 0 ? (double)(c->bound - c->held) / c->row_time : 0;
    return rows > c->row_budget ? c->row_budget : rows > RIDE_ROWS ? (int)rows : RIDE_ROWS;
}

/* The rows of those in flight: of answers a row of each sequence, of the rest what fits. */
static struct gathering gather_joined(struct scheduler *c)
{
    struct gathering g = {0};
    for (struct job *j = c->first; j && j->joined; j = j->next) {
        j->n_rows = j->in_pass || j->status != OK ? 0 : j->kind->rows(j);
        if (j->kind->divisible) continue;
        if (j->n_rows > c->step->max_rows - g.rows) j->n_rows = 0;
        g.answers += j->n_rows;
        g.rows += j->n_rows;
    }
    g.budget = !in_turns(c) ? c->row_budget - g.answers : g.answers || c->under_way ? ride_rows(c) : c->row_budget;
    for (struct job *j = c->first; j && j->joined; j = j->next) {
        const int fit = c->step->max_rows - g.rows, allowed = g.budget - g.others, room = fit < allowed ? fit : allowed;
        if (!j->kind->divisible) continue;
        if (j->n_rows > room) j->n_rows = room > 0 ? room : 0;
        g.others += j->n_rows;
        g.rows += j->n_rows;
    }
    return g;
}

/* Whether a prompt's pass may begin: there is none, and running answers have had a step since the last one. */
static bool may_stand_still(const struct scheduler *c, const struct gathering *g)
{
    return !c->under_way && (g->answers == 0 || c->held == 0);
}

/* Leaves running answers, and who else has rows if that is too many, out of the step: it is a pass of prompts. */
static void set_aside(struct scheduler *c, struct gathering *g, const struct job *prompt)
{
    const bool all = g->rows > c->step->max_rows;
    for (struct job *j = c->first; j != prompt; j = j->next) {
        if (j->kind->divisible && !all) continue;
        if (j->kind->divisible) g->others -= j->n_rows;
        g->rows -= j->n_rows;
        j->n_rows = 0;
    }
    g->answers = 0;
    g->budget = c->row_budget;
}

/* Who waits joins while there is room, in order: nobody overtakes, so nobody waits for ever. The first one joins
 * however long its prompt is, unless one like it is under way. */
static enum status gather_waiting(struct scheduler *c, struct gathering *g)
{
    struct job **at = &c->first;
    while (*at && (*at)->joined)
        at = &(*at)->next;
    for (bool first = true; *at; at = &(*at)->next, first = false) {
        struct job *j = *at;
        const struct origin from = find_origin(c, j);
        const int n = (int)(j->prompt.n - from.n);
        const bool fits = g->others + n <= g->budget && g->rows + n <= c->step->max_rows;
        if (!fits && (!first || !may_stand_still(c, g))) break;
        j->status = take_room(c, j, from);
        if (j->status != OK) return c->failed(c, j);
        c->full = !j->joined;
        if (!j->joined) break;
        g->rows += n;
        g->others += n;
        /* A long prompt: running answers stand still for a step, or, in turns, go on beside it. */
        if (!fits && (in_turns(c) || g->rows > c->step->max_rows)) set_aside(c, g, j);
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
    c->step->targets[c->step->T] = target;
    step_add_row(c->step, sequence, token, position, 0, position + 1);
}

/* The rows of j's prompt that are read, as a sequence of their own. */
static void add_read(struct scheduler *c, struct job *j)
{
    struct step *t = c->step;
    const size_t from = j->prompt.n - (size_t)j->n_read;
    for (int i = 0; i < j->n_read; i++)
        t->targets[t->T + i] = (struct target){j, TARGET_PROMPT, i};
    step_add_prompt(t, &j->kv, j->prompt.ids, from, j->prompt.n, j->n_prefix);
}

/* Its prompt is to be computed in this step; not if another's failure has ended it since it joined. */
static bool joins(const struct job *j)
{
    return !j->computed && !j->in_pass && j->status == OK;
}

/* A prompt's rows that are read are a sequence of their own here, with the prompt's pages, so that all rows whose
 * logits are wanted stand at the end. */
static enum status build(struct scheduler *c)
{
    struct step *t = c->step;
    struct job *j;
    step_begin(t);
    for (j = c->first; j && j->joined; j = j->next)
        if (joins(j) && j->n_rows > j->n_read)
            step_add_prompt(t, &j->kv, j->prompt.ids, j->n_reused, j->prompt.n - (size_t)j->n_read, j->n_prefix);
    t->first_wanted = t->T;
    for (j = c->first; j && j->joined; j = j->next) {
        if (joins(j)) {
            add_read(c, j);
        } else if (j->n_rows > 0 && j->status == OK) {
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
    const struct step *step = c->step;
    const size_t V = (size_t)s->engine->config.model.V;
    step_logits(s, step, first, n);
    for (int k = 0; k < n; k++) {
        const struct target *t = &step->targets[first + k];
        struct job *j = t->job;
        if (j->status != OK) continue;
        const float *logits = s->logits + (size_t)k * V;
        enum status st = step_check(s, step, first + k, logits);
        if (st == OK) st = j->kind->read(j, c, t, logits);
        if (st == OK || j->status != OK) continue; /* what has a status already is known to have failed */
        j->status = st;
        TRY(c->failed(c, j));
    }
    return OK;
}

/* The next rows, from row on, that are read together; returns how many. */
static enum status read_next(struct scheduler *c, int row, int *n)
{
    const int left = c->step->T - row;
    *n = left < LOGITS_BLOCK ? left : LOGITS_BLOCK;
    return read_block(c, row, *n);
}

static enum status read_all(struct scheduler *c)
{
    for (int row = c->step->first_wanted, n; row < c->step->T; row += n)
        TRY(read_next(c, row, &n));
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

/* The prompts of those that were in the step are in the K/V store; the session remembers the last one. */
static void mark_computed(struct scheduler *c, bool pass)
{
    const struct job *last = NULL;
    for (struct job *j = c->first; j && j->joined; j = j->next) {
        if (j->computed || j->in_pass != pass) continue;
        j->computed = true;
        if (j->status != OK) continue; /* whose prompt may be gone */
        c->n_computed += j->prompt.n - j->n_reused;
        last = j;
    }
    if (last) session_remember(c->s, &last->kv, last->prompt, last->n_prefix);
}

static enum status assemble(struct scheduler *c, struct gathering *g)
{
    *g = gather_joined(c);
    TRY(gather_waiting(c, g));
    return build(c);
}

static enum status start(struct scheduler *c)
{
    struct gathering g;
    TRY(assemble(c, &g));
    if (c->step->T == 0) { /* the only one that could join has failed: any other one fits alone */
        sweep(c);
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
    mark_computed(c, false);
    TRY(read_all(c));
    sweep(c);
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

/* ---- In turns ---- */

/* Whether somebody could go with the next step who is kept waiting now, beside running answers. */
static bool riders_wait(const struct scheduler *c)
{
    for (const struct job *j = c->first; j; j = j->next) {
        if (j->in_pass || j->status != OK) continue;
        if (!j->joined) return !c->full && (double)j->prompt.n * c->row_time <= (double)c->bound / 2;
        if (j->kind->divisible && j->kind->rows(j) > 0) return true;
    }
    return false;
}

static void measure(struct scheduler *c, int64_t spent)
{
    if (c->step->T >= MEASURED_ROWS) c->row_time = (double)spent / c->step->T;
}

/* The pass's next block or, once it is through the layers, the next of its rows that are read: there may be many. */
static enum status pass_block(struct scheduler *c)
{
    if (c->through && c->next_read < c->step->T) {
        int n;
        TRY(read_next(c, c->next_read, &n));
        c->next_read += n;
    } else if (!c->through) {
        const int64_t begun = c->clock();
        c->through = !step_block(c->step);
        c->spent += c->clock() - begun;
        if (c->through) measure(c, c->spent);
        if (c->through) mark_computed(c, true);
    }
    if (c->through && c->next_read == c->step->T) end_pass(c);
    return OK;
}

/* The pass goes on, for a block at least, until running answers have been kept for as long as they may; if others can
 * go with their next step, half of that is left for these. */
static enum status go_on(struct scheduler *c)
{
    const int64_t begun = c->clock(), most = (riders_wait(c) ? c->bound / 2 : c->bound) - c->held;
    int64_t taken;
    c->step = &c->s->step;
    c->owed = false;
    do {
        TRY(pass_block(c));
        taken = c->clock() - begun;
    } while (c->under_way && taken < most);
    c->held += taken;
    return OK;
}

/* No running answer has a row in the step that has been assembled: it can be put down. */
static enum status begin_pass(struct scheduler *c)
{
    for (struct job *j = c->first; j && j->joined; j = j->next)
        j->in_pass = j->n_rows > 0;
    c->under_way = true;
    c->through = false;
    c->next_read = c->step->first_wanted;
    c->spent = 0;
    step_enter(c->s, c->step);
    return go_on(c);
}

/* A step of running answers and who goes with them; then it is the pass's turn, if there is one. */
static enum status take_step(struct scheduler *c)
{
    const int64_t begun = c->clock();
    step_enter(c->s, c->step);
    while (step_block(c->step))
        continue;
    measure(c, c->clock() - begun);
    mark_computed(c, false);
    TRY(read_all(c));
    c->held = 0;
    c->owed = c->under_way;
    return OK;
}

static enum status turn(struct scheduler *c)
{
    struct gathering g;
    if (c->owed) return go_on(c);
    c->step = c->under_way ? &c->s->beside : &c->s->step;
    TRY(assemble(c, &g));
    if (c->step->T == 0 || (g.answers == 0 && !c->under_way)) c->held = 0; /* nobody is kept waiting */
    if (c->step->T == 0) return c->under_way ? go_on(c) : OK;
    return g.answers > 0 || c->under_way ? take_step(c) : begin_pass(c);
}

enum status scheduler_turn(struct scheduler *c)
{
    scheduler_tidy(c);
    TRY(turn(c));
    scheduler_tidy(c);
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
