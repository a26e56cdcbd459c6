// SPDX-License-Identifier: Apache-2.0
/* Stages are advanced as far as they come, up and down the pipeline, until all are at their ends. That needs no queue
 * of events: an action's start depends only on what was done before it, never on who is looked at first. By the law of
 * order messages are received in the order in which they are sent, so a link's state is one place in the sender's list.
 */
#include "dist/schedule_time.h"

#include <assert.h>
#include <stdlib.h>

/* What a stage receives from one neighbour. */
struct lane {
    const struct schedule_list *list; /* of the sender */
    const struct schedule_span *spans;
    const struct schedule_stage_state *sender; /* NULL: there is none */
    int at;                                    /* messages of actions before it have been received */
    double left_s;                             /* when the last of these had left */
    struct schedule_message_time time;
};

struct schedule_stage_state {
    int done; /* actions */
    double now_s;
    double duration_s[PASSES];
    struct lane activations, gradients;
};

enum status schedule_timeline_create(struct schedule_timeline *out, const struct schedule *s)
{
    const size_t n = (size_t)s->n_stages;
    size_t n_spans = 0;
    for (int i = 0; i < s->n_stages; i++)
        n_spans += (size_t)s->lists[i].n;
    struct schedule_timeline t = {s->n_stages, calloc(n, sizeof *t.stages), .states = calloc(n, sizeof *t.states)};
    struct schedule_span *spans = calloc(n_spans, sizeof *spans);
    if (!t.stages || !t.states || !spans) {
        free(t.stages);
        free(t.states);
        free(spans);
        return fail(E_NOMEM, "times of a schedule of %d stages and %zu actions: out of memory", s->n_stages, n_spans);
    }
    for (int i = 0; i < s->n_stages; i++) {
        t.stages[i].spans = spans;
        spans += s->lists[i].n;
    }
    *out = t;
    return OK;
}

void schedule_timeline_free(struct schedule_timeline *t)
{
    if (t->stages) free(t->stages[0].spans);
    free(t->stages);
    free(t->states);
    *t = (struct schedule_timeline){0};
}

static double later(double a, double b)
{
    return a > b ? a : b;
}

static struct lane lane_from(const struct schedule_timeline *t, const struct schedule *s, int from,
                             struct schedule_message_time time)
{
    assert(time.latency_s >= 0 && time.transfer_s >= 0);
    return (struct lane){&s->lists[from], t->stages[from].spans, &t->states[from], .time = time};
}

static void begin(struct schedule_timeline *t, const struct schedule *s, const struct schedule_times *times, int stage)
{
    const struct schedule_stage_time d = times->stages ? times->stages[stage] : times->stage;
    assert(d.forward_s >= 0 && d.inputs_s >= 0 && d.weights_s >= 0);
    struct schedule_stage_state *state = &t->states[stage];
    *state = (struct schedule_stage_state){.duration_s = {[PASS_FORWARD] = d.forward_s,
                                                          [PASS_BACKWARD] = d.inputs_s + d.weights_s,
                                                          [PASS_INPUTS] = d.inputs_s,
                                                          [PASS_WEIGHTS] = d.weights_s}};
    const struct schedule_boundary_time *all = times->boundaries;
    if (stage > 0)
        state->activations = lane_from(t, s, stage - 1, all ? all[stage - 1].activation : times->boundary.activation);
    if (stage + 1 < s->n_stages)
        state->gradients = lane_from(t, s, stage + 1, all ? all[stage].gradient : times->boundary.gradient);
    t->stages[stage].busy_s = 0;
}

/* The next message of a lane, with when it arrives; false: it is not known yet. */
static bool next_message(struct lane *l, bool forward, double *arrives_s)
{
    while (l->at < l->sender->done) {
        const enum schedule_pass pass = l->list->actions[l->at].pass;
        if (forward ? pass == PASS_FORWARD : pass == PASS_BACKWARD || pass == PASS_INPUTS) break;
        l->at++;
    }
    if (l->at == l->sender->done) return false;
    l->left_s = later(l->spans[l->at++].end_s, l->left_s) + l->time.transfer_s;
    *arrives_s = l->left_s + l->time.latency_s;
    return true;
}

static bool advance(struct schedule_timeline *t, const struct schedule *s, int stage)
{
    struct schedule_stage_state *state = &t->states[stage];
    const struct schedule_list *list = &s->lists[stage];
    const int before = state->done;
    for (; state->done < list->n; state->done++) {
        const enum schedule_pass pass = list->actions[state->done].pass;
        struct lane *lane = pass == PASS_FORWARD ? &state->activations : &state->gradients;
        double start_s = state->now_s, arrives_s;
        if (pass != PASS_WEIGHTS && lane->sender) {
            if (!next_message(lane, pass == PASS_FORWARD, &arrives_s)) break;
            start_s = later(start_s, arrives_s);
        }
        state->now_s = start_s + state->duration_s[pass];
        t->stages[stage].spans[state->done] = (struct schedule_span){start_s, state->now_s};
        t->stages[stage].busy_s += state->duration_s[pass];
    }
    return state->done > before;
}

static void sum_up(struct schedule_timeline *t, const struct schedule *s)
{
    double busy_s = 0;
    t->makespan_s = 0;
    for (int i = 0; i < t->n_stages; i++) {
        assert(t->states[i].done == s->lists[i].n); /* schedule_check() would have said so */
        t->makespan_s = later(t->makespan_s, t->states[i].now_s);
        busy_s += t->stages[i].busy_s;
    }
    for (int i = 0; i < t->n_stages; i++)
        t->stages[i].busy = t->makespan_s > 0 ? t->stages[i].busy_s / t->makespan_s : 0;
    t->bubble = t->makespan_s > 0 ? 1 - busy_s / (t->n_stages * t->makespan_s) : 0;
}

void schedule_simulate(struct schedule_timeline *t, const struct schedule *s, const struct schedule_times *times)
{
    assert(t->n_stages == s->n_stages);
    for (int i = 0; i < t->n_stages; i++)
        begin(t, s, times, i);
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < t->n_stages; i++)
            moved |= advance(t, s, i);
        for (int i = t->n_stages - 1; i >= 0; i--)
            moved |= advance(t, s, i);
    }
    sum_up(t, s);
}
