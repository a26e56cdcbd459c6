// SPDX-License-Identifier: Apache-2.0
/* When a pipeline schedule's actions happen: closed formulas over many sizes, and two independent references (the
 * model's equations, relaxed; ranks over simulated links). And how that looks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/clock.h"
#include "dist/schedule_picture.h"
#include "net/shaped.h"
#include "schedule_samples.h"

static struct schedule_timeline simulate(const struct schedule *s, const struct schedule_times *times)
{
    struct schedule_timeline t;
    assert_int_equal(schedule_timeline_create(&t, s), OK);
    schedule_simulate(&t, s, times);
    return t;
}

/* Sums of small multiples of 1/64 are exact, and so are the formulas. That of ZB-H1 is the one in table 2 of Qi et al.,
 * (P - 1)(F + B - W), where W is the shortest; longer gradients of weights cannot fill more than there is to fill. */
static void takes(enum schedule_kind kind, int n_stages, int n_micro_batches)
{
    static const struct schedule_stage_time durations[] = {{1, 1, 1},    {0.5, 0.75, 0.25}, {3, 1.25, 0},
                                                           {0.25, 4, 2}, {1, 1.5, 2},       {2, 0.5, 1}};
    const int n = n_micro_batches, p = n_stages;
    struct schedule s = create(kind, p, n);
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        const struct schedule_stage_time d = durations[i];
        struct schedule_timeline t = simulate(&s, &(struct schedule_times){.stage = d});
        const double each_s = d.forward_s + d.inputs_s + d.weights_s, idle_s = t.makespan_s - n * each_s;
        if (kind != SCHEDULE_ZB_H1) {
            assert_true(t.makespan_s == (n + p - 1) * each_s);
            assert_true(fabs(t.bubble - (double)(p - 1) / (n + p - 1)) <= 4e-16);
        } else if (n >= p) {
            assert_true(idle_s == (p - 1) * fmax(fmax(d.forward_s, d.inputs_s), each_s - 2 * d.weights_s));
            if (i == 0) assert_true(idle_s == (p - 1) * (d.forward_s + d.inputs_s - d.weights_s));
        } else if (i == 0) { /* there and back again, then what is left to do: I and W of all others, and W */
            assert_true(t.makespan_s == 2 * p + 2 * (n - 1) + 1);
        }
        for (int k = 0; k < p; k++) {
            assert_true(t.stages[k].busy_s == n * each_s);
            assert_true(t.stages[k].busy == n * each_s / t.makespan_s);
        }
        schedule_timeline_free(&t);
    }
    schedule_free(&s);
}

static void makespans_and_bubbles_are_those_of_the_papers(void **state)
{
    (void)state;
    for_all_sizes(takes);
}

/* F = B = W and messages that take no time: splitting is no loss, and neither is beginning backward passes early. */
static void cleverer_schedules_are_not_slower(void **state)
{
    (void)state;
    for (size_t p = 0; p < COUNT_OF(all_stages); p++) {
        for (size_t m = 0; m < COUNT_OF(all_micro_batches); m++) {
            double makespans_s[SCHEDULE_KINDS];
            for (int kind = 0; kind < SCHEDULE_KINDS; kind++) {
                struct schedule s = create((enum schedule_kind)kind, all_stages[p], all_micro_batches[m]);
                struct schedule_timeline t = simulate(&s, &(struct schedule_times){.stage = {0.3, 0.3, 0.3}});
                makespans_s[kind] = t.makespan_s;
                schedule_timeline_free(&t);
                schedule_free(&s);
            }
            /* Sums of up to 3 (M + P) rounded numbers */
            const double error = 3 * (all_stages[p] + all_micro_batches[m]) * 0x1p-52 * makespans_s[SCHEDULE_GPIPE];
            assert_true(makespans_s[SCHEDULE_ZB_H1] <= makespans_s[SCHEDULE_1F1B] + error);
            assert_true(makespans_s[SCHEDULE_1F1B] <= makespans_s[SCHEDULE_GPIPE] + error);
            if (all_stages[p] > 1) assert_true(makespans_s[SCHEDULE_ZB_H1] < makespans_s[SCHEDULE_1F1B] - error);
        }
    }
}

/* Times of their own for every stage and boundary, some of them 0. */
enum { MOST_STAGES = 8, MOST_ACTIONS = 64 };
struct drawn_times {
    struct schedule_stage_time stages[MOST_STAGES];
    struct schedule_boundary_time boundaries[MOST_STAGES];
};

static double draw_time(struct dice *d)
{
    return roll(d, 4) ? rng_uniform(d->seed, 1, d->n++) : 0;
}

static void draw_times(struct drawn_times *out, struct dice *d)
{
    for (int i = 0; i < MOST_STAGES; i++) {
        out->stages[i].forward_s = draw_time(d);
        out->stages[i].inputs_s = draw_time(d);
        out->stages[i].weights_s = draw_time(d);
        out->boundaries[i].activation = (struct schedule_message_time){draw_time(d), draw_time(d)};
        out->boundaries[i].gradient = (struct schedule_message_time){draw_time(d), draw_time(d)};
    }
}

/* The equations of the model, computed again and again from nothing until no number changes: the least solution. */
struct solution {
    struct schedule_span spans[MOST_STAGES][MOST_ACTIONS];
    double activations[MOST_STAGES + 1][MOST_ACTIONS]; /* [stage][micro-batch]: when it arrives */
    double gradients[MOST_STAGES + 1][MOST_ACTIONS];
};

static void send_one(double *arrives_s, double *left_s, double end_s, struct schedule_message_time time, bool *changed)
{
    *left_s = fmax(*left_s, end_s) + time.transfer_s;
    const double at = *left_s + time.latency_s;
    *changed |= at != *arrives_s;
    *arrives_s = at;
}

static void solve(struct solution *x, const struct schedule *s, const struct drawn_times *times)
{
    memset(x, 0, sizeof *x);
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < s->n_stages; i++) {
            const struct schedule_stage_time d = times->stages[i];
            const double durations[PASSES] = {d.forward_s, d.inputs_s + d.weights_s, d.inputs_s, d.weights_s};
            double now_s = 0, up_s = 0, down_s = 0;
            for (int k = 0; k < s->lists[i].n; k++) {
                const struct schedule_action a = s->lists[i].actions[k];
                if (a.pass == PASS_FORWARD && i > 0) now_s = fmax(now_s, x->activations[i][a.micro_batch]);
                if ((a.pass == PASS_BACKWARD || a.pass == PASS_INPUTS) && i + 1 < s->n_stages)
                    now_s = fmax(now_s, x->gradients[i][a.micro_batch]);
                x->spans[i][k].start_s = now_s;
                x->spans[i][k].end_s = now_s += durations[a.pass];
                if (a.pass == PASS_FORWARD && i + 1 < s->n_stages)
                    send_one(&x->activations[i + 1][a.micro_batch], &up_s, now_s, times->boundaries[i].activation,
                             &changed);
                if ((a.pass == PASS_BACKWARD || a.pass == PASS_INPUTS) && i > 0)
                    send_one(&x->gradients[i - 1][a.micro_batch], &down_s, now_s, times->boundaries[i - 1].gradient,
                             &changed);
            }
        }
    }
}

static void expect_solution(const struct schedule *s, const struct drawn_times *drawn)
{
    static struct solution x;
    const struct schedule_times times = {.stages = drawn->stages, .boundaries = drawn->boundaries};
    struct schedule_timeline t = simulate(s, &times);
    solve(&x, s, drawn);
    double makespan_s = 0;
    for (int i = 0; i < s->n_stages; i++) {
        const size_t bytes = (size_t)s->lists[i].n * sizeof(struct schedule_span);
        assert_memory_equal(t.stages[i].spans, x.spans[i], bytes);
        makespan_s = fmax(makespan_s, x.spans[i][s->lists[i].n - 1].end_s);
    }
    assert_true(t.makespan_s == makespan_s);
    schedule_timeline_free(&t);
}

static void times_are_the_solution_of_the_models_equations(void **state)
{
    (void)state;
    struct dice d = {7, 0};
    struct drawn_times times;
    for (int round = 0; round < 300; round++) {
        draw_times(&times, &d);
        struct schedule s = create((enum schedule_kind)roll(&d, SCHEDULE_KINDS), 1 + roll(&d, MOST_STAGES),
                                   1 + roll(&d, 20));
        expect_solution(&s, &times);
        schedule_free(&s);
    }
    struct written w;
    write_schedule(&w, 3, 3,
                   (const char *const[]){"F0 F1 F2 B0 I1 I2 W1 W2", "F0 F1 I0 F2 W0 B1 I2 W2", "F0 I0 W0 F1 B1 F2 B2"});
    assert_int_equal(schedule_check(&w.s, NULL), OK);
    for (int round = 0; round < 20; round++) {
        draw_times(&times, &d);
        expect_solution(&w.s, &times);
    }
}

/* One value for all is the same as it in every place, and a timeline can be used again. */
static void times_of_all_stages_can_be_given_once(void **state)
{
    (void)state;
    const struct schedule_stage_time stage = {0.1, 0.15, 0.12};
    const struct schedule_boundary_time boundary = {{0.01, 0.03}, {0.02, 0.07}};
    struct schedule_stage_time stages[5];
    struct schedule_boundary_time boundaries[4];
    for (int i = 0; i < 5; i++)
        stages[i] = stage;
    for (int i = 0; i < 4; i++)
        boundaries[i] = boundary;
    struct schedule s = create(SCHEDULE_ZB_H1, 5, 7);
    struct schedule_timeline t = simulate(&s, &(struct schedule_times){.stage = stage, .boundary = boundary});
    const double makespan_s = t.makespan_s, bubble = t.bubble, busy_s = t.stages[2].busy_s;
    schedule_simulate(&t, &s, &(struct schedule_times){0});
    assert_true(t.makespan_s == 0 && t.bubble == 0 && t.stages[2].busy_s == 0 && t.stages[2].busy == 0);
    schedule_simulate(&t, &s, &(struct schedule_times){.stages = stages, .boundaries = boundaries});
    assert_true(t.makespan_s == makespan_s && t.bubble == bubble && t.stages[2].busy_s == busy_s);
    schedule_timeline_free(&t);
    schedule_free(&s);
}

/* Two stages, one link that is the bottleneck: M activations leave one after the other, the last one is what the second
 * stage waits for; latencies overlap. */
static void a_slow_link_is_what_a_pipeline_waits_for(void **state)
{
    (void)state;
    enum { M = 6 };
    struct schedule s = create(SCHEDULE_GPIPE, 2, M);
    struct schedule_timeline t = simulate(&s,
                                          &(struct schedule_times){.stage = {1, 1, 1}, .boundary = {{16, 4}, {8, 0}}});
    assert_true(t.stages[0].spans[M - 1].end_s == M);                /* sends do not hold up computing */
    assert_true(t.stages[1].spans[0].start_s == 1 + 4 + 16);         /* F, then its message */
    assert_true(t.stages[1].spans[M - 1].start_s == 1 + 4 * M + 16); /* transfers add up, the latency is there once */
    assert_true(t.makespan_s == 1 + 4 * M + 16 + 1 + 2 * M + 8 + 2); /* all its B, then the last gradient and B */
    schedule_timeline_free(&t);
    schedule_free(&s);
}

/* ---- The same schedule carried out by ranks, whose clocks are those of simulated links ---- */

struct carried_out {
    const struct schedule *s;
    const struct drawn_times *times;
    struct schedule_span (*spans)[MOST_ACTIONS]; /* [n_stages] */
};
enum { ACTIVATION_BYTES = 1000, GRADIENT_BYTES = 1500, MOST_MICRO_BATCHES = 16 };

struct messages {
    struct net_request requests[MOST_MICRO_BATCHES];
    char bytes[MOST_MICRO_BATCHES][GRADIENT_BYTES];
};

static enum status receive_early(struct transport *t, struct messages *in, int n, enum schedule_pass pass)
{
    const int from = schedule_receives((struct schedule_action){pass, 0}, t->rank, t->size);
    for (int m = 0; m < n && from >= 0; m++)
        TRY(net_recv(t, &in->requests[m], from, pass == PASS_FORWARD ? NET_ACTIVATIONS : NET_GRADIENTS, m, in->bytes[m],
                     pass == PASS_FORWARD ? ACTIVATION_BYTES : GRADIENT_BYTES));
    return OK;
}

static enum status carry_out(struct transport *t, void *user)
{
    static const char payload[GRADIENT_BYTES];
    const struct carried_out *c = user;
    const struct schedule_list *l = &c->s->lists[t->rank];
    const struct schedule_stage_time d = c->times->stages[t->rank];
    const double durations[PASSES] = {d.forward_s, d.inputs_s + d.weights_s, d.inputs_s, d.weights_s};
    struct messages *all = calloc(4, sizeof *all); /* in and out, forward and backward */
    if (!all) return fail(E_NOMEM, "no memory");
    enum status s = receive_early(t, &all[0], c->s->n_micro_batches, PASS_FORWARD);
    if (s == OK) s = receive_early(t, &all[1], c->s->n_micro_batches, PASS_BACKWARD);
    for (int k = 0; k < l->n && s == OK; k++) {
        const struct schedule_action a = l->actions[k];
        const bool forward = a.pass == PASS_FORWARD;
        const int to = schedule_sends(a, t->rank, t->size);
        if (schedule_receives(a, t->rank, t->size) >= 0) s = net_wait(t, &all[!forward].requests[a.micro_batch]);
        c->spans[t->rank][k].start_s = net_now(t);
        net_compute(t, durations[a.pass]);
        c->spans[t->rank][k].end_s = net_now(t);
        if (s == OK && to >= 0)
            s = net_send(t, &all[2 + !forward].requests[a.micro_batch], to, forward ? NET_ACTIVATIONS : NET_GRADIENTS,
                         a.micro_batch, payload, forward ? ACTIVATION_BYTES : GRADIENT_BYTES);
    }
    for (int i = 2; i < 4 && s == OK; i++)
        s = net_wait_all(t, all[i].requests, c->s->n_micro_batches);
    if (s != OK) net_fail(t, s);
    free(all);
    return s;
}

static struct shaped_link link_for(struct schedule_message_time time, double bytes)
{
    return (struct shaped_link){time.latency_s, bytes / time.transfer_s, INFINITY};
}

static void times_are_those_of_ranks_over_simulated_links(void **state)
{
    (void)state;
    enum { P = 4, M = 6 };
    struct dice d = {99, 0};
    static struct schedule_span spans[P][MOST_ACTIONS];
    for (int round = 0; round < 12; round++) {
        struct schedule s = create((enum schedule_kind)(round % SCHEDULE_KINDS), P, M);
        struct drawn_times times;
        draw_times(&times, &d);
        struct shaped_link links[P * P];
        shaped_fill(links, P, 0, INFINITY);
        for (int i = 0; i + 1 < P; i++) {
            links[i * P + i + 1] = link_for(times.boundaries[i].activation, ACTIVATION_BYTES);
            links[(i + 1) * P + i] = link_for(times.boundaries[i].gradient, GRADIENT_BYTES);
        }
        struct carried_out c = {&s, &times, spans};
        const struct shaped_net net = {.n = P, .links = links};
        if (shaped_run(&net, carry_out, &c, NULL) != OK) fail_msg("%s", status_message());
        struct schedule_timeline t = simulate(
            &s, &(struct schedule_times){.stages = times.stages, .boundaries = times.boundaries});
        /* Rates there, times here: a rounding for each of at most 3 M + 2 P steps of a path, and one for each rate. */
        const double error = 4 * (3 * M + 2 * P) * 0x1p-52 * t.makespan_s;
        for (int i = 0; i < P; i++) {
            for (int k = 0; k < s.lists[i].n; k++) {
                const struct schedule_span got = t.stages[i].spans[k], expected = spans[i][k];
                if (!(fabs(got.start_s - expected.start_s) <= error && fabs(got.end_s - expected.end_s) <= error))
                    fail_msg("round %d, stage %d, action %d: %.17g to %.17g, not %.17g to %.17g", round, i, k,
                             got.start_s, got.end_s, expected.start_s, expected.end_s);
            }
        }
        schedule_timeline_free(&t);
        schedule_free(&s);
    }
}

/* ---- Pictures ---- */

static void expect_text(enum schedule_kind kind, int n_stages, int n_micro_batches, struct schedule_stage_time stage,
                        int max_columns, const char *expected)
{
    struct schedule s = create(kind, n_stages, n_micro_batches);
    struct schedule_timeline t = simulate(&s, &(struct schedule_times){.stage = stage});
    struct buf out = {0};
    schedule_text(&out, &s, &t, max_columns, false);
    assert_int_equal(buf_status(&out), OK);
    assert_string_equal(out.data, expected);
    buf_free(&out);
    schedule_timeline_free(&t);
    schedule_free(&s);
}

static void text_shows_every_action_where_it_is(void **state)
{
    (void)state;
    expect_text(SCHEDULE_1F1B, 3, 4, (struct schedule_stage_time){1, 1, 1}, 100,
                "stage 0 |F0F1F2        B0--F3B1--  B2--  B3--|  67 %\n"
                "stage 1 |  F0F1    B0--F2B1--F3B2--  B3--    |  67 %\n"
                "stage 2 |    F0B0--F1B1--F2B2--F3B3--        |  67 %\n"
                "seconds  0         5         10        15\n"
                "F forward, B backward; 18 seconds, bubble 33.3 %\n");
    expect_text(SCHEDULE_ZB_H1, 2, 3, (struct schedule_stage_time){0.01, 0.02, 0.01}, 100,
                "stage 0 |F0F1    I0--W0F2I1--W1I2--W2|  86 %\n"
                "stage 1 |  F0I0--F1I1--W0F2I2--W1W2  |  86 %\n"
                "seconds  0         0.05      0.1\n"
                "F forward, I gradients of inputs, W gradients of weights; 0.14 seconds, bubble 14.3 %\n");
    /* More than nine stages and micro-batches; too narrow for numbers of two digits, then for any. */
    struct schedule_stage_time unit = {1, 1, 0};
    expect_text(SCHEDULE_GPIPE, 1, 11, unit, 44,
                "stage 0 |F0F1F2F3F4F5F6F7F8F9F-B0B1B2B3B4B5B6B7B8B9B-| 100 %\n"
                "seconds  0         5         10        15        20\n"
                "F forward, B backward; 22 seconds, bubble 0.0 %\n");
    expect_text(SCHEDULE_GPIPE, 1, 11, unit, 11,
                "stage 0 |FFFFFFBBBBB| 100 %\n"
                "seconds  0         20\n"
                "F forward, B backward; 22 seconds, bubble 0.0 %\n");
    expect_text(SCHEDULE_GPIPE, 1, 1, (struct schedule_stage_time){0, 0, 0}, 80,
                "stage 0 ||   0 %\n"
                "seconds  0\n"
                "F forward, B backward; 0 seconds, bubble 0.0 %\n");
}

/* Colours add escape sequences and take the dashes away, nothing else. */
static void colours_change_no_column(void **state)
{
    (void)state;
    struct schedule s = create(SCHEDULE_ZB_H1, 4, 12);
    struct schedule_timeline t = simulate(&s, &(struct schedule_times){.stage = {1, 1.3, 0.9}});
    struct buf plain = {0}, coloured = {0}, stripped = {0};
    schedule_text(&plain, &s, &t, 120, false);
    schedule_text(&coloured, &s, &t, 120, true);
    int sequences = 0;
    for (const char *c = coloured.data; *c; c++) {
        if (*c == '\x1b') {
            c += strcspn(c, "m");
            sequences++;
        } else {
            buf_append(&stripped, c, 1);
        }
    }
    for (char *c = plain.data; *c; c++)
        if (*c == '-') *c = ' ';
    assert_string_equal(stripped.data, plain.data);
    assert_int_equal(sequences, 2 * (4 * s.lists[0].n + 3)); /* on and off, for actions and the legend's letters */
    assert_non_null(strstr(coloured.data, "\x1b[44;97mF0 \x1b[0m\x1b[104;30mF1 \x1b[0m"));
    buf_free(&plain);
    buf_free(&coloured);
    buf_free(&stripped);
    schedule_timeline_free(&t);
    schedule_free(&s);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void an_svg_has_a_box_with_times_for_every_action(void **state)
{
    (void)state;
    struct schedule s = create(SCHEDULE_ZB_H1, 3, 5);
    struct schedule_timeline t = simulate(&s, &(struct schedule_times){.stage = {1, 1.5, 0.5}});
    struct buf out = {0};
    schedule_svg(&out, &s, &t, "3 < 4 & \"so on\"");
    assert_int_equal(buf_status(&out), OK);
    assert_true(!strncmp(out.data, "<svg xmlns=", 11) && !strcmp(out.data + out.len - 7, "</svg>\n"));
    assert_int_equal(count(out.data, "<title>3 &lt; 4 &amp; &quot;so on&quot;</title>"), 1);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < s.lists[i].n; k++) {
            const struct schedule_span span = t.stages[i].spans[k];
            char says[128], name[32];
            const struct schedule_action_text action = schedule_action_text(s.lists[i].actions[k]);
            snprintf(says, sizeof says, "<title>%s: %.6g to %.6g s</title>", action.text, span.start_s, span.end_s);
            snprintf(name, sizeof name, ">%s</text>", action.text);
            assert_true(count(out.data, says) >= 1);
            assert_int_equal(count(out.data, name), 3); /* there is room for each stage's */
        }
    }
    assert_int_equal(count(out.data, " s</title>"), 3 * s.lists[0].n);
    static const char *const open[] = {"<svg", "<rect", "<text", "<path", "<title", "<style"};
    static const char *const close[] = {"</svg>", "</rect>", "</text>", "/>", "</title>", "</style>"};
    int self_closed = count(out.data, "/>");
    for (size_t i = 0; i < COUNT_OF(open); i++)
        if (strcmp(close[i], "/>") != 0) self_closed -= count(out.data, open[i]) - count(out.data, close[i]);
    assert_int_equal(self_closed, count(out.data, "<path")); /* every element ends */
    static const char *const legend[] = {">forward<", ">gradients of inputs<", ">gradients of weights<"};
    for (size_t i = 0; i < COUNT_OF(legend); i++)
        assert_int_equal(count(out.data, legend[i]), 1);
    assert_int_equal(count(out.data, ">backward<"), 0); /* not in this schedule */
    buf_free(&out);
    schedule_simulate(&t, &s, &(struct schedule_times){0});
    schedule_svg(&out, &s, &t, "nothing takes time");
    assert_true(!strstr(out.data, "nan") && !strstr(out.data, "inf") && count(out.data, " s</title>") == 0);
    buf_free(&out);
    schedule_timeline_free(&t);
    schedule_free(&s);
}

/* ---- Speed ---- */

/* What a planner pays, printed. */
static void a_large_simulation_is_fast(void **state)
{
    (void)state;
    for (int kind = 0; kind < SCHEDULE_KINDS; kind++) {
        struct schedule s = create((enum schedule_kind)kind, 64, 512);
        const struct schedule_times times = {.stage = {0.1, 0.1, 0.1}, .boundary = {{0.05, 0.02}, {0.05, 0.02}}};
        struct schedule_timeline t = simulate(&s, &times);
        const double first_s = t.makespan_s;
        const int64_t begin = clock_ns();
        for (int i = 0; i < 10; i++)
            schedule_simulate(&t, &s, &times);
        print_message("%s, 64 stages, 512 micro-batches: %.2f virtual s in %.2f ms\n",
                      schedule_name((enum schedule_kind)kind), t.makespan_s,
                      1e3 * clock_seconds(begin, clock_ns()) / 10);
        assert_true(t.makespan_s == first_s);
        schedule_timeline_free(&t);
        schedule_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makespans_and_bubbles_are_those_of_the_papers),
        cmocka_unit_test(cleverer_schedules_are_not_slower),
        cmocka_unit_test(times_are_the_solution_of_the_models_equations),
        cmocka_unit_test(times_of_all_stages_can_be_given_once),
        cmocka_unit_test(a_slow_link_is_what_a_pipeline_waits_for),
        cmocka_unit_test(times_are_those_of_ranks_over_simulated_links),
        cmocka_unit_test(text_shows_every_action_where_it_is),
        cmocka_unit_test(colours_change_no_column),
        cmocka_unit_test(an_svg_has_a_box_with_times_for_every_action),
        cmocka_unit_test(a_large_simulation_is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
