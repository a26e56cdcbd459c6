// SPDX-License-Identifier: Apache-2.0
#include "dist/schedule.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

/* ---- Actions ---- */

static const char letters[PASSES + 1] = "FBIW";

struct schedule_action_text schedule_action_text(struct schedule_action a)
{
    struct schedule_action_text out;
    snprintf(out.text, sizeof out.text, "%c%d", letters[a.pass], a.micro_batch);
    return out;
}

enum status schedule_action_parse(struct schedule_action *out, const char *text)
{
    const char *letter = *text ? strchr(letters, *text) : NULL;
    const size_t digits = letter ? strspn(text + 1, "0123456789") : 0;
    if (!digits || text[1 + digits] || digits > 7 || (text[1] == '0' && digits > 1))
        return fail(E_ARG, "'%s' is not an action such as F0, B0, I0 or W0", text);
    const int micro_batch = atoi(text + 1);
    if (micro_batch >= SCHEDULE_MAX_MICRO_BATCHES)
        return fail(E_ARG, "'%s': micro-batches go up to %d", text, SCHEDULE_MAX_MICRO_BATCHES - 1);
    *out = (struct schedule_action){(enum schedule_pass)(letter - letters), micro_batch};
    return OK;
}

const char *schedule_pass_name(enum schedule_pass pass)
{
    static const char *const names[PASSES] = {"forward", "backward", "gradients of inputs", "gradients of weights"};
    return names[pass];
}

int schedule_receives(struct schedule_action a, int stage, int n_stages)
{
    if (a.pass == PASS_WEIGHTS) return -1;
    if (a.pass == PASS_FORWARD) return stage - 1;
    return stage + 1 < n_stages ? stage + 1 : -1;
}

int schedule_sends(struct schedule_action a, int stage, int n_stages)
{
    if (a.pass == PASS_WEIGHTS) return -1;
    if (a.pass != PASS_FORWARD) return stage - 1;
    return stage + 1 < n_stages ? stage + 1 : -1;
}

bool schedule_needs_own(struct schedule_action a, struct schedule_action *own)
{
    if (a.pass == PASS_FORWARD) return false;
    *own = (struct schedule_action){a.pass == PASS_WEIGHTS ? PASS_INPUTS : PASS_FORWARD, a.micro_batch};
    return true;
}

/* ---- Schedules ---- */

const char *schedule_name(enum schedule_kind kind)
{
    static const char *const names[SCHEDULE_KINDS] = {"gpipe", "1f1b", "zb-h1"};
    return names[kind];
}

int schedule_length(enum schedule_kind kind, int n_micro_batches)
{
    return n_micro_batches * (kind == SCHEDULE_ZB_H1 ? 3 : 2);
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* All three are one pattern: some forward passes ahead, then one forward and one backward each while there are any.
 * GPipe is all of them ahead. In ZB-H1 the gradients of weights follow those of inputs, `late` micro-batches later. */
void schedule_fill(struct schedule_action *actions, enum schedule_kind kind, int n_stages, int n_micro_batches,
                   int stage)
{
    assert(stage >= 0 && stage < n_stages && n_micro_batches >= 1);
    const int n = n_micro_batches;
    const bool split = kind == SCHEDULE_ZB_H1;
    const int ahead = kind == SCHEDULE_GPIPE ? n : smaller(n_stages - 1 - stage, n);
    const int late = smaller(stage, n);
    struct schedule_action *a = actions;
    for (int i = 0; i < ahead; i++)
        *a++ = (struct schedule_action){PASS_FORWARD, i};
    for (int i = 0; i < n; i++) {
        if (ahead + i < n) *a++ = (struct schedule_action){PASS_FORWARD, ahead + i};
        *a++ = (struct schedule_action){split ? PASS_INPUTS : PASS_BACKWARD, i};
        if (split && i >= late) *a++ = (struct schedule_action){PASS_WEIGHTS, i - late};
    }
    for (int i = n - late; split && i < n; i++)
        *a++ = (struct schedule_action){PASS_WEIGHTS, i};
    assert(a - actions == schedule_length(kind, n));
}

static enum status check_sizes(int n_stages, int n_micro_batches)
{
    if (n_stages < 1 || n_stages > SCHEDULE_MAX_STAGES)
        return fail(E_ARG, "a pipeline of %d stages: 1 to %d are possible", n_stages, SCHEDULE_MAX_STAGES);
    if (n_micro_batches < 1 || n_micro_batches > SCHEDULE_MAX_MICRO_BATCHES)
        return fail(E_ARG, "%d micro-batches: 1 to %d are possible", n_micro_batches, SCHEDULE_MAX_MICRO_BATCHES);
    return OK;
}

enum status schedule_create(struct schedule *out, enum schedule_kind kind, int n_stages, int n_micro_batches)
{
    TRY(check_sizes(n_stages, n_micro_batches));
    const size_t stages = (size_t)n_stages, each = (size_t)schedule_length(kind, n_micro_batches);
    struct schedule_list *lists = malloc(stages * sizeof *lists);
    struct schedule_action *actions = malloc(stages * each * sizeof *actions);
    if (!lists || !actions) {
        free(lists);
        free(actions);
        return fail(E_NOMEM, "a schedule of %d stages and %d micro-batches: out of memory", n_stages, n_micro_batches);
    }
    for (int s = 0; s < n_stages; s++) {
        struct schedule_action *own = actions + (size_t)s * each;
        schedule_fill(own, kind, n_stages, n_micro_batches, s);
        lists[s] = (struct schedule_list){own, (int)each};
    }
    *out = (struct schedule){n_stages, n_micro_batches, lists};
    return OK;
}

void schedule_free(struct schedule *s)
{
    if (s->lists) free((void *)s->lists[0].actions);
    free((void *)s->lists);
    *s = (struct schedule){0};
}

/* ---- Memory ---- */

/* How many micro-batches a stage has passed: of each kind of work those done are 0 .. n - 1. */
struct tally {
    int forwards, inputs, weights;
};

/* What is held during a, which then is done. */
static struct schedule_memory tally_step(struct tally *t, struct schedule_action a)
{
    if (a.pass == PASS_FORWARD) t->forwards++;
    const struct schedule_memory held = {.activations = t->forwards - t->weights,
                                         .whole = t->forwards - t->inputs,
                                         .waiting = t->inputs - t->weights + (a.pass == PASS_INPUTS)};
    if (a.pass == PASS_BACKWARD || a.pass == PASS_INPUTS) t->inputs++;
    if (a.pass == PASS_BACKWARD || a.pass == PASS_WEIGHTS) t->weights++;
    return held;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

struct schedule_memory schedule_memory(const struct schedule_list *list)
{
    struct tally t = {0};
    struct schedule_memory most = {0};
    for (int i = 0; i < list->n; i++) {
        const struct schedule_memory held = tally_step(&t, list->actions[i]);
        most.activations = larger(most.activations, held.activations);
        most.whole = larger(most.whole, held.whole);
        most.waiting = larger(most.waiting, held.waiting);
    }
    return most;
}

uint64_t schedule_peak_bytes(const struct schedule_list *list, uint64_t whole_bytes, uint64_t waiting_bytes)
{
    struct tally t = {0};
    uint64_t most = 0;
    for (int i = 0; i < list->n; i++) {
        const struct schedule_memory held = tally_step(&t, list->actions[i]);
        const uint64_t bytes = (uint64_t)held.whole * whole_bytes + (uint64_t)held.waiting * waiting_bytes;
        if (bytes > most) most = bytes;
    }
    return most;
}

/* ---- Check ---- */

/* One action in its list, for messages: "stage 1, action 3 (F2)". */
struct place {
    char text[64];
};

static struct place place_of(int stage, int at, struct schedule_action a)
{
    struct place out;
    snprintf(out.text, sizeof out.text, "stage %d, action %d (%s)", stage, at, schedule_action_text(a).text);
    return out;
}

static bool does(enum schedule_pass did, enum schedule_pass work)
{
    return did == work || (did == PASS_BACKWARD && work != PASS_FORWARD);
}

/* Where, from `from` on, a list does this work (F, I or W; B does the latter two) of a micro-batch; its length if it
 * never does. */
static int find(const struct schedule_list *l, int from, enum schedule_pass work, int micro_batch)
{
    int i = from;
    while (i < l->n && !(does(l->actions[i].pass, work) && l->actions[i].micro_batch == micro_batch))
        i++;
    return i;
}

/* The action at `at` does this work of a.micro_batch; all below `done` are done. */
static enum status check_order(const struct schedule_list *l, int stage, int at, enum schedule_pass work, int done)
{
    const struct schedule_action a = l->actions[at];
    if (!does(a.pass, work) || a.micro_batch == done) return OK;
    const char *what = schedule_pass_name(work);
    const struct place where = place_of(stage, at, a);
    if (a.micro_batch < done)
        return fail(E_FORMAT, "%s: %s of micro-batch %d for the second time, after action %d", where.text, what,
                    a.micro_batch, find(l, 0, work, a.micro_batch));
    const int later = find(l, at, work, done);
    if (later < l->n)
        return fail(E_FORMAT, "%s: %s out of order: micro-batch %d is due, and comes only in action %d", where.text,
                    what, done, later);
    return fail(E_FORMAT, "%s: %s out of order: micro-batch %d is due, and missing", where.text, what, done);
}

static enum status check_most(int stage, int at, struct schedule_action a, const struct schedule_memory *held,
                              const struct schedule_memory *most)
{
    const struct {
        int held, most;
        const char *what;
    } each[] = {{held->activations, most->activations, "activations"},
                {held->whole, most->whole, "activations for whole backward passes"},
                {held->waiting, most->waiting, "gradients that wait for W"}};
    for (size_t i = 0; i < COUNT_OF(each); i++)
        if (each[i].held > each[i].most)
            return fail(E_LIMIT, "%s: holds %s of %d micro-batches, more than %d", place_of(stage, at, a).text,
                        each[i].what, each[i].held, each[i].most);
    return OK;
}

static enum status check_action(const struct schedule *s, int stage, int at, const struct tally *t)
{
    const struct schedule_list *l = &s->lists[stage];
    const struct schedule_action a = l->actions[at];
    if ((unsigned)a.pass >= PASSES) return fail(E_FORMAT, "stage %d, action %d: no such pass: %d", stage, at, a.pass);
    if (a.micro_batch < 0 || a.micro_batch >= s->n_micro_batches)
        return fail(E_FORMAT, "%s: micro-batches are 0 to %d", place_of(stage, at, a).text, s->n_micro_batches - 1);
    TRY(check_order(l, stage, at, PASS_FORWARD, t->forwards));
    TRY(check_order(l, stage, at, PASS_INPUTS, t->inputs));
    TRY(check_order(l, stage, at, PASS_WEIGHTS, t->weights));
    struct schedule_action own;
    if (!schedule_needs_own(a, &own)) return OK;
    if (a.micro_batch < (own.pass == PASS_FORWARD ? t->forwards : t->inputs)) return OK;
    const char *why = find(l, at, own.pass, own.micro_batch) < l->n ? "comes later" : "is missing";
    return fail(E_FORMAT, "%s: needs %s of its stage, which %s", place_of(stage, at, a).text,
                schedule_action_text(own).text, why);
}

/* One stage by itself: what it does, in which order, with how much memory. */
static enum status check_list(const struct schedule *s, int stage, const struct schedule_memory *most)
{
    const struct schedule_list *l = &s->lists[stage];
    struct tally t = {0};
    for (int at = 0; at < l->n; at++) {
        TRY(check_action(s, stage, at, &t));
        const struct schedule_memory held = tally_step(&t, l->actions[at]);
        if (most) TRY(check_most(stage, at, l->actions[at], &held, &most[stage]));
    }
    const int done[] = {t.forwards, t.inputs, t.weights};
    static const enum schedule_pass works[] = {PASS_FORWARD, PASS_INPUTS, PASS_WEIGHTS};
    for (size_t i = 0; i < COUNT_OF(works); i++)
        if (done[i] < s->n_micro_batches)
            return fail(E_FORMAT, "stage %d: ends after %d actions without %s of micro-batch %d", stage, l->n,
                        schedule_pass_name(works[i]), done[i]);
    return OK;
}

/* A stage that is on its way through its list. */
struct walker {
    int at;
    struct tally done;
};

static bool can_go_on(const struct schedule *s, const struct walker *walkers, int stage)
{
    const struct walker *w = &walkers[stage];
    if (w->at == s->lists[stage].n) return false;
    const struct schedule_action a = s->lists[stage].actions[w->at];
    const int from = schedule_receives(a, stage, s->n_stages);
    if (from < 0) return true;
    const struct tally *sent = &walkers[from].done;
    return a.micro_batch < (a.pass == PASS_FORWARD ? sent->forwards : sent->inputs);
}

static bool go_on(const struct schedule *s, struct walker *walkers, int stage)
{
    bool moved = false;
    while (can_go_on(s, walkers, stage)) {
        tally_step(&walkers[stage].done, s->lists[stage].actions[walkers[stage].at++]);
        moved = true;
    }
    return moved;
}

static const char *message_name(struct schedule_action a)
{
    return a.pass == PASS_FORWARD ? "activations" : "gradients";
}

/* Everybody who stopped waits for a neighbour, which has stopped too, as all lists are complete. Going from one to the
 * one that it waits for, one comes back, and between neighbours in a row that is possible only if two of them wait for
 * each other. */
static enum status stopped(const struct schedule *s, const struct walker *walkers)
{
    int first = 0;
    while (walkers[first].at == s->lists[first].n)
        first++;
    for (;;) {
        const struct schedule_action a = s->lists[first].actions[walkers[first].at];
        const int other = schedule_receives(a, first, s->n_stages), other_at = walkers[other].at;
        const struct schedule_action b = s->lists[other].actions[other_at];
        if (schedule_receives(b, other, s->n_stages) == first)
            return fail(E_FORMAT,
                        "%s: waits forever for %s of micro-batch %d: stage %d stops before action %d (%s), which waits "
                        "for %s of micro-batch %d from stage %d",
                        place_of(first, walkers[first].at, a).text, message_name(a), a.micro_batch, other, other_at,
                        schedule_action_text(b).text, message_name(b), b.micro_batch, first);
        first = other;
    }
}

/* Sends never hold anybody up, so what can begin once can begin whatever else goes on first: any order of trying finds
 * out how far all stages come. Up and down, as activations and gradients travel. */
static enum status check_ends(const struct schedule *s)
{
    assert(s->n_stages >= 1);
    struct walker *walkers = calloc((size_t)s->n_stages, sizeof *walkers);
    if (!walkers) return fail(E_NOMEM, "checking a schedule of %d stages: out of memory", s->n_stages);
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < s->n_stages; i++)
            moved |= go_on(s, walkers, i);
        for (int i = s->n_stages - 1; i >= 0; i--)
            moved |= go_on(s, walkers, i);
    }
    bool ended = true;
    for (int i = 0; i < s->n_stages; i++)
        ended &= walkers[i].at == s->lists[i].n;
    const enum status status = ended ? OK : stopped(s, walkers);
    free(walkers);
    return status;
}

enum status schedule_check(const struct schedule *s, const struct schedule_memory *most)
{
    TRY(check_sizes(s->n_stages, s->n_micro_batches));
    for (int stage = 0; stage < s->n_stages; stage++)
        TRY(check_list(s, stage, most));
    return check_ends(s);
}
