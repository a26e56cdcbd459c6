// SPDX-License-Identifier: Apache-2.0
/* Pipeline schedules: laws and formulas over many sizes, and every kind of fault in lists that do not come from us. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "test.h"

#include "base/buf.h"
#include "schedule_samples.h"

static void expect_failure(enum status got, enum status status, const char *text)
{
    assert_int_equal(got, status);
    if (!strstr(status_message(), text)) fail_msg("'%s' does not say '%s'", status_message(), text);
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static void expect_list(const struct schedule_list *l, const char *text)
{
    struct buf got = {0};
    for (int i = 0; i < l->n; i++)
        buf_printf(&got, "%s%s", i ? " " : "", schedule_action_text(l->actions[i]).text);
    assert_string_equal(got.data, text);
    buf_free(&got);
}

/* ---- Names ---- */

static void actions_are_printed_and_read(void **state)
{
    (void)state;
    static const int numbers[] = {0, 1, 9, 10, 512, SCHEDULE_MAX_MICRO_BATCHES - 1};
    for (int pass = 0; pass < PASSES; pass++) {
        for (size_t i = 0; i < COUNT_OF(numbers); i++) {
            const struct schedule_action a = {(enum schedule_pass)pass, numbers[i]};
            struct schedule_action b;
            assert_int_equal(schedule_action_parse(&b, schedule_action_text(a).text), OK);
            assert_true(b.pass == a.pass && b.micro_batch == a.micro_batch);
        }
    }
    assert_string_equal(schedule_action_text((struct schedule_action){PASS_WEIGHTS, 12}).text, "W12");
    static const char *const wrong[] = {"",    "F",   "3",  "f3",  "F-1",      "F+1",       "F03",         "F3 ", " F3",
                                        "F3x", "FF3", "X3", "F 3", "F1048576", "F99999999", "F4294967296", "B00"};
    struct schedule_action kept = {PASS_WEIGHTS, 77};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_int_equal(schedule_action_parse(&kept, wrong[i]), E_ARG);
        assert_true(kept.pass == PASS_WEIGHTS && kept.micro_batch == 77);
    }
}

static void names_are_those_of_the_command_line(void **state)
{
    (void)state;
    char names[64] = "";
    for (int kind = 0; kind < SCHEDULE_KINDS; kind++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", kind ? "|" : "",
                 schedule_name((enum schedule_kind)kind));
    assert_string_equal(names, SCHEDULE_NAMES);
}

/* ---- Lists ---- */

/* Figures 3 and 4 of Narayanan et al. 2021 (arXiv:2104.04473) and figure 3 of Qi et al. 2023 at their size, P = 4 and
 * M = 8, in our order of backward passes and our letters. */
static void lists_are_those_of_the_papers(void **state)
{
    (void)state;
    struct schedule s = create(SCHEDULE_GPIPE, 4, 8);
    for (int i = 0; i < 4; i++)
        expect_list(&s.lists[i], "F0 F1 F2 F3 F4 F5 F6 F7 B0 B1 B2 B3 B4 B5 B6 B7");
    schedule_free(&s);
    s = create(SCHEDULE_1F1B, 4, 8);
    expect_list(&s.lists[0], "F0 F1 F2 F3 B0 F4 B1 F5 B2 F6 B3 F7 B4 B5 B6 B7");
    expect_list(&s.lists[2], "F0 F1 B0 F2 B1 F3 B2 F4 B3 F5 B4 F6 B5 F7 B6 B7");
    expect_list(&s.lists[3], "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 F6 B6 F7 B7");
    schedule_free(&s);
    s = create(SCHEDULE_ZB_H1, 4, 8);
    expect_list(&s.lists[0], "F0 F1 F2 F3 I0 W0 F4 I1 W1 F5 I2 W2 F6 I3 W3 F7 I4 W4 I5 W5 I6 W6 I7 W7");
    expect_list(&s.lists[1], "F0 F1 F2 I0 F3 I1 W0 F4 I2 W1 F5 I3 W2 F6 I4 W3 F7 I5 W4 I6 W5 I7 W6 W7");
    expect_list(&s.lists[3], "F0 I0 F1 I1 F2 I2 F3 I3 W0 F4 I4 W1 F5 I5 W2 F6 I6 W3 F7 I7 W4 W5 W6 W7");
    schedule_free(&s);
    s = create(SCHEDULE_ZB_H1, 4, 2); /* fewer micro-batches than stages */
    expect_list(&s.lists[0], "F0 F1 I0 W0 I1 W1");
    expect_list(&s.lists[3], "F0 I0 F1 I1 W0 W1");
    schedule_free(&s);
    schedule_free(&s);
}

/* The law, with a counter a kind of work and nothing else. */
static void obeys(enum schedule_kind kind, int n_stages, int n_micro_batches)
{
    struct schedule s = create(kind, n_stages, n_micro_batches);
    if (schedule_check(&s, NULL) != OK) fail_msg("%s: %s", schedule_name(kind), status_message());
    for (int i = 0; i < n_stages; i++) {
        int forwards = 0, inputs = 0, weights = 0;
        assert_int_equal(s.lists[i].n, schedule_length(kind, n_micro_batches));
        for (int k = 0; k < s.lists[i].n; k++) {
            const struct schedule_action a = s.lists[i].actions[k];
            if (a.pass == PASS_FORWARD) assert_int_equal(a.micro_batch, forwards++);
            if (a.pass == PASS_BACKWARD || a.pass == PASS_INPUTS) assert_int_equal(a.micro_batch, inputs++);
            if (a.pass == PASS_BACKWARD || a.pass == PASS_WEIGHTS) assert_int_equal(a.micro_batch, weights++);
            assert_true(forwards >= inputs && inputs >= weights);
        }
        assert_true(forwards == n_micro_batches && inputs == n_micro_batches && weights == n_micro_batches);
    }
    schedule_free(&s);
}

static void all_schedules_pass_the_check_and_obey_the_law_of_order(void **state)
{
    (void)state;
    for_all_sizes(obeys);
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    struct schedule s;
    expect_failure(schedule_create(&s, SCHEDULE_1F1B, 0, 4), E_ARG, "a pipeline of 0 stages");
    expect_failure(schedule_create(&s, SCHEDULE_1F1B, SCHEDULE_MAX_STAGES + 1, 4), E_ARG, "of 4097 stages");
    expect_failure(schedule_create(&s, SCHEDULE_1F1B, 4, 0), E_ARG, "0 micro-batches");
    expect_failure(schedule_create(&s, SCHEDULE_1F1B, 1, SCHEDULE_MAX_MICRO_BATCHES + 1), E_ARG, "1048577 micro-");
    expect_failure(schedule_check(&(struct schedule){.n_stages = -1, .n_micro_batches = 1}, NULL), E_ARG, "-1 stages");
}

/* Who feeds whom, from the pipeline's definition: what a stage receives, its neighbour sends. */
static void neighbours_feed_each_other(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++) {
        for (int stage = 0; stage < n; stage++) {
            struct schedule_action own = {PASSES, -1};
            const struct schedule_action f = {PASS_FORWARD, 5}, w = {PASS_WEIGHTS, 5};
            assert_int_equal(schedule_receives(f, stage, n), stage == 0 ? -1 : stage - 1);
            assert_int_equal(schedule_sends(f, stage, n), stage == n - 1 ? -1 : stage + 1);
            assert_false(schedule_needs_own(f, &own));
            for (int pass = PASS_BACKWARD; pass <= PASS_INPUTS; pass++) {
                const struct schedule_action b = {(enum schedule_pass)pass, 5};
                assert_int_equal(schedule_receives(b, stage, n), stage == n - 1 ? -1 : stage + 1);
                assert_int_equal(schedule_sends(b, stage, n), stage == 0 ? -1 : stage - 1);
                assert_true(schedule_needs_own(b, &own) && own.pass == PASS_FORWARD && own.micro_batch == 5);
            }
            assert_int_equal(schedule_receives(w, stage, n), -1);
            assert_int_equal(schedule_sends(w, stage, n), -1);
            assert_true(schedule_needs_own(w, &own) && own.pass == PASS_INPUTS && own.micro_batch == 5);
        }
    }
}

/* ---- Memory ---- */

/* Peaks by the definition: for each action, the micro-batches that are held from one action to another around it. */
static struct schedule_memory counted_memory(const struct schedule_list *l, int n_micro_batches, uint64_t whole_bytes,
                                             uint64_t waiting_bytes, uint64_t *bytes)
{
    struct schedule_memory most = {0};
    *bytes = 0;
    for (int at = 0; at < l->n; at++) {
        struct schedule_memory held = {0};
        for (int m = 0; m < n_micro_batches; m++) {
            int where[PASSES] = {-1, -1, -1, -1};
            for (int i = 0; i < l->n; i++)
                if (l->actions[i].micro_batch == m) where[l->actions[i].pass] = i;
            const bool split = where[PASS_INPUTS] >= 0;
            const int inputs = where[split ? PASS_INPUTS : PASS_BACKWARD];
            const int weights = where[split ? PASS_WEIGHTS : PASS_BACKWARD];
            held.activations += where[PASS_FORWARD] <= at && at <= weights;
            held.whole += where[PASS_FORWARD] <= at && at <= inputs;
            held.waiting += split && inputs <= at && at <= weights;
        }
        if (held.activations > most.activations) most.activations = held.activations;
        if (held.whole > most.whole) most.whole = held.whole;
        if (held.waiting > most.waiting) most.waiting = held.waiting;
        const uint64_t now = (uint64_t)held.whole * whole_bytes + (uint64_t)held.waiting * waiting_bytes;
        if (now > *bytes) *bytes = now;
    }
    return most;
}

static void holds(enum schedule_kind kind, int n_stages, int n_micro_batches)
{
    struct schedule s = create(kind, n_stages, n_micro_batches);
    for (int i = 0; i < n_stages; i++) {
        const struct schedule_memory m = schedule_memory(&s.lists[i]);
        const int first = smaller(n_stages, n_micro_batches), own = smaller(n_stages - i, n_micro_batches);
        const bool gpipe = kind == SCHEDULE_GPIPE, split = kind == SCHEDULE_ZB_H1;
        assert_int_equal(m.whole, gpipe ? n_micro_batches : own);
        assert_int_equal(m.activations, gpipe ? n_micro_batches : split ? first : own);
        assert_int_equal(m.waiting, split ? smaller(i + 1, n_micro_batches) : 0);
        if (n_micro_batches > 20) continue;
        uint64_t bytes;
        const struct schedule_memory counted = counted_memory(&s.lists[i], n_micro_batches, 1000, 300, &bytes);
        assert_memory_equal(&m, &counted, sizeof m);
        assert_int_equal(schedule_peak_bytes(&s.lists[i], 1000, 300), bytes);
    }
    schedule_free(&s);
}

static void memory_is_what_formulas_say(void **state)
{
    (void)state;
    for_all_sizes(holds);
    /* A peak of the sum is not the sum of peaks: stage 1 of 4 in ZB-H1, M = 8. While I1 runs, F0 to F3 are begun, W0 is
     * not done: 3 whole, I0 and I1 waiting. */
    struct schedule s = create(SCHEDULE_ZB_H1, 4, 8);
    assert_int_equal(schedule_peak_bytes(&s.lists[1], 10, 1), 3 * 10 + 2);
    assert_int_equal(schedule_peak_bytes(&s.lists[1], 0, 1), 2);
    schedule_free(&s);
    struct schedule_action list[8];
    const struct schedule_list apart = {list, parse_list(list, 8, "F0 F1 B0 B1 F2 I2 W2")};
    assert_int_equal(schedule_peak_bytes(&apart, 10, 5), 20);
}

/* ---- Check ---- */

static void faults_are_named(void **state)
{
    (void)state;
    static const struct {
        int n_micro_batches;
        const char *lists[3];
        const char *says; /* NULL: nothing */
    } cases[] = {
        {2, {"F0 F1 B0 B1", "F0 B0 F1 B1"}, NULL},
        {2, {"F0 F1 I0 I1 W0 W1", "F0 B0 F1 I1 W1"}, NULL}, /* kinds of backward passes may be mixed */
        {3, {"F0 F1 F2 B0 I1 I2 W1 W2", "F0 I0 W0 F1 B1 F2 B2"}, NULL},
        /* order */
        {2,
         {"F0 F1 B0 B1", "F1 F0 B0 B1"},
         "stage 1, action 0 (F1): forward out of order: micro-batch 0 is due, and comes only in action 1"},
        {2,
         {"F0 F1 B1 B0", "F0 F1 B0 B1"},
         "stage 0, action 2 (B1): gradients of inputs out of order: micro-batch 0 is due, and comes only in action 3"},
        {2,
         {"F0 F1 I0 I1 W1 W0", "F0 F1 B0 B1"},
         "stage 0, action 4 (W1): gradients of weights out of order: micro-batch 0 is due, and comes only in action 5"},
        {2,
         {"F0 F1 I0 B1 W0", "F0 F1 B0 B1"},
         "stage 0, action 3 (B1): gradients of weights out of order: micro-batch 0 is due, and comes only in action 4"},
        {2, {"F0 F1 B0 B1", "B0 F0 F1 B1"}, "stage 1, action 0 (B0): needs F0 of its stage, which comes later"},
        {2, {"F0 F1 B0 B1", "F0 W0 I0 F1 B1"}, "stage 1, action 1 (W0): needs I0 of its stage, which comes later"},
        {2, {"I0 F0 W0 F1 B1", "F0 F1 B0 B1"}, "stage 0, action 0 (I0): needs F0 of its stage, which comes later"},
        /* once each */
        {2,
         {"F0 F1 F1 B0 B1", "F0 F1 B0 B1"},
         "stage 0, action 2 (F1): forward of micro-batch 1 for the second time, after action 1"},
        {2,
         {"F0 F1 B0 B1 W1", "F0 F1 B0 B1"},
         "stage 0, action 4 (W1): gradients of weights of micro-batch 1 for the second time, after action 3"},
        {2,
         {"F0 F1 B0 I0 B1", "F0 F1 B0 B1"},
         "stage 0, action 3 (I0): gradients of inputs of micro-batch 0 for the second time, after action 2"},
        {2, {"F0 F1 I0 B0 B1", "F0 F1 B0 B1"}, "stage 0, action 3 (B0): gradients of inputs of micro-batch 0 for the"},
        {2, {"F0 B0 B1", "F0 F1 B0 B1"}, "stage 0, action 2 (B1): needs F1 of its stage, which is missing"},
        {2,
         {"F1 B0 B1", "F0 F1 B0 B1"},
         "stage 0, action 0 (F1): forward out of order: micro-batch 0 is due, and missing"},
        {2, {"F0 F1 B0 B1", "F0 F1 B0"}, "stage 1: ends after 3 actions without gradients of inputs of micro-batch 1"},
        {2,
         {"F0 F1 B0 B1", "F0 F1 I0 I1 W0"},
         "stage 1: ends after 5 actions without gradients of weights of micro-batch 1"},
        {2, {"F0 F1 B0 B1", "F0 B0"}, "stage 1: ends after 2 actions without forward of micro-batch 1"},
        {2, {"", "F0 B0"}, "stage 0: ends after 0 actions without forward of micro-batch 0"},
        {2, {"F0 F1 B0 B1 F2", "F0 F1 B0 B1"}, "stage 0, action 4 (F2): micro-batches are 0 to 1"},
        /* deadlock */
        {2,
         {"F0 B0 F1 B1", "F0 F1 B0 B1"},
         "stage 0, action 1 (B0): waits forever for gradients of micro-batch 0: stage 1 stops before action 1 (F1), "
         "which waits for activations of micro-batch 1 from stage 0"},
        {2,
         {"F0 F1 B0 B1", "F0 I0 F1 I1 W0 W1", "F0 F1 B0 B1"},
         "stage 1, action 1 (I0): waits forever for gradients of micro-batch 0: stage 2 stops before action 1 (F1), "
         "which waits for activations of micro-batch 1 from stage 1"},
        {3,
         {"F0 F1 F2 B0 B1 B2", "F0 F1 B0 B1 F2 B2", "F0 B0 F1 F2 B1 B2"},
         "stage 1, action 3 (B1): waits forever for gradients of micro-batch 1: stage 2 stops before action 3 (F2), "
         "which waits for activations of micro-batch 2 from stage 1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct written w;
        write_schedule(&w, cases[i].n_micro_batches, cases[i].lists[2] ? 3 : 2, cases[i].lists);
        if (cases[i].says)
            expect_failure(schedule_check(&w.s, NULL), E_FORMAT, cases[i].says);
        else if (schedule_check(&w.s, NULL) != OK)
            fail_msg("case %zu: %s", i, status_message());
    }
    struct written w;
    write_schedule(&w, 1, 1, (const char *const[]){"F0 B0"});
    w.actions[0][1].pass = PASSES;
    expect_failure(schedule_check(&w.s, NULL), E_FORMAT, "stage 0, action 1: no such pass");
    w.actions[0][1] = (struct schedule_action){PASS_BACKWARD, -1};
    expect_failure(schedule_check(&w.s, NULL), E_FORMAT, "stage 0, action 1 (B-1): micro-batches are 0 to 0");
}

static void memory_has_limits(void **state)
{
    (void)state;
    for (int kind = 0; kind < SCHEDULE_KINDS; kind++) {
        struct schedule s = create((enum schedule_kind)kind, 4, 8);
        struct schedule_memory most[4];
        for (int i = 0; i < 4; i++)
            most[i] = schedule_memory(&s.lists[i]);
        assert_int_equal(schedule_check(&s, most), OK);
        for (int i = 0; i < 4; i++) {
            int *const fields[] = {&most[i].activations, &most[i].whole, &most[i].waiting};
            for (size_t k = 0; k < COUNT_OF(fields); k++) {
                if (!*fields[k]) continue;
                --*fields[k];
                char says[32];
                snprintf(says, sizeof says, "stage %d, action ", i);
                expect_failure(schedule_check(&s, most), E_LIMIT, says);
                *fields[k] = INT_MAX;
                assert_int_equal(schedule_check(&s, most), OK);
                most[i] = schedule_memory(&s.lists[i]);
            }
        }
        schedule_free(&s);
    }
    struct schedule s = create(SCHEDULE_ZB_H1, 4, 8);
    struct schedule_memory most[4];
    for (int i = 0; i < 4; i++)
        most[i] = (struct schedule_memory){INT_MAX, INT_MAX, INT_MAX};
    most[2].activations = 3;
    expect_failure(schedule_check(&s, most), E_LIMIT,
                   "stage 2, action 5 (F3): holds activations of 4 micro-batches, more than 3");
    most[2] = (struct schedule_memory){INT_MAX, 1, INT_MAX};
    expect_failure(schedule_check(&s, most), E_LIMIT, "stage 2, action 1 (F1): holds activations for whole backward");
    most[2] = (struct schedule_memory){INT_MAX, INT_MAX, 2};
    expect_failure(schedule_check(&s, most), E_LIMIT,
                   "stage 2, action 6 (I2): holds gradients that wait for W of 3 micro-batches, more than 2");
    schedule_free(&s);
}

/* Whether lists can be carried out, by another way: an action is done in a round when all that it needs was done in
 * earlier ones, until a round does nothing; sets of done actions instead of counters, so no order is taken for granted.
 */
static bool can_be_carried_out(const struct schedule *s)
{
    enum { P = 8, M = 32 };
    static bool done[P][PASSES][M];
    int at[P] = {0}, ended = 0;
    memset(done, 0, sizeof done);
    for (bool moved = true; moved;) {
        moved = false;
        bool next[P] = {false};
        for (int i = 0; i < s->n_stages; i++) {
            if (at[i] == s->lists[i].n) continue;
            const struct schedule_action a = s->lists[i].actions[at[i]];
            const int m = a.micro_batch;
            if (a.pass == PASS_FORWARD)
                next[i] = i == 0 || done[i - 1][PASS_FORWARD][m];
            else if (a.pass == PASS_WEIGHTS)
                next[i] = true;
            else
                next[i] = i == s->n_stages - 1 || done[i + 1][PASS_BACKWARD][m] || done[i + 1][PASS_INPUTS][m];
        }
        for (int i = 0; i < s->n_stages; i++) {
            if (!next[i]) continue;
            const struct schedule_action a = s->lists[i].actions[at[i]++];
            done[i][a.pass][a.micro_batch] = true;
            moved = true;
        }
    }
    for (int i = 0; i < s->n_stages; i++)
        ended += at[i] == s->lists[i].n;
    return ended == s->n_stages;
}

/* The law by itself, of one list: within each kind of work numbers rise by one from 0 to M, and each pass follows what
 * it needs. */
static bool is_lawful(const struct schedule_list *l, int n_micro_batches)
{
    int forwards = 0, inputs = 0, weights = 0;
    for (int i = 0; i < l->n; i++) {
        const struct schedule_action a = l->actions[i];
        const bool whole = a.pass == PASS_BACKWARD;
        if (a.pass == PASS_FORWARD && a.micro_batch != forwards++) return false;
        if ((whole || a.pass == PASS_INPUTS) && (a.micro_batch >= forwards || a.micro_batch != inputs++)) return false;
        if ((whole || a.pass == PASS_WEIGHTS) && (a.micro_batch >= inputs || a.micro_batch != weights++)) return false;
    }
    return forwards == n_micro_batches && inputs == n_micro_batches && weights == n_micro_batches;
}

/* A random change to a random list: two actions swapped, one moved, left out, doubled, another pass or number. */
static void mutate(struct schedule_action *a, int *n, int room, int n_micro_batches, struct dice *d)
{
    const int i = roll(d, *n), k = roll(d, *n);
    const struct schedule_action taken = a[i];
    switch (roll(d, 6)) {
    case 0:
        a[i] = a[k];
        a[k] = taken;
        break;
    case 1:
        memmove(a + i, a + i + 1, (size_t)(*n - i - 1) * sizeof *a);
        memmove(a + k + 1, a + k, (size_t)(*n - k - 1) * sizeof *a);
        a[k] = taken;
        break;
    case 2:
        if (*n > 1) memmove(a + i, a + i + 1, (size_t)(--*n - i) * sizeof *a);
        break;
    case 3:
        if (*n == room) break;
        memmove(a + k + 1, a + k, (size_t)((*n)++ - k) * sizeof *a);
        a[k] = taken;
        break;
    case 4: a[i].pass = (enum schedule_pass)roll(d, PASSES); break;
    default: a[i].micro_batch = roll(d, n_micro_batches);
    }
}

/* A random list that obeys the law. */
static int draw_lawful(struct schedule_action *a, int n_micro_batches, struct dice *d)
{
    int forwards = 0, inputs = 0, weights = 0, n = 0;
    while (weights < n_micro_batches) {
        const enum schedule_pass pass = (enum schedule_pass)roll(d, PASSES);
        if (pass == PASS_FORWARD && forwards < n_micro_batches)
            a[n++] = (struct schedule_action){pass, forwards++};
        else if (pass == PASS_INPUTS && inputs < forwards)
            a[n++] = (struct schedule_action){pass, inputs++};
        else if (pass == PASS_WEIGHTS && weights < inputs)
            a[n++] = (struct schedule_action){pass, weights++};
        else if (pass == PASS_BACKWARD && inputs < forwards && weights == inputs)
            a[n++] = (struct schedule_action){pass, (weights++, inputs++)};
    }
    return n;
}

/* The check says yes exactly where the law and the other way of carrying lists out do; all three answers are frequent.
 */
static void mutated_lists_are_judged_right(void **state)
{
    (void)state;
    enum { P = 4, M = 5, ROUNDS = 40000, LONG = 3 * M + 4 };
    int accepted = 0, unlawful = 0, stuck = 0;
    struct dice d = {20240121, 0};
    for (int round = 0; round < ROUNDS; round++) {
        struct schedule s = create((enum schedule_kind)(round % SCHEDULE_KINDS), P, M);
        struct schedule_action actions[P][LONG];
        struct schedule_list lists[P];
        int n[P];
        for (int i = 0; i < P; i++) {
            n[i] = s.lists[i].n;
            memcpy(actions[i], s.lists[i].actions, (size_t)n[i] * sizeof *actions[i]);
        }
        for (int k = 1 + roll(&d, 3); k > 0; k--) {
            const int i = roll(&d, P);
            const int how = roll(&d, 4);
            if (how == 0) {
                n[i] = draw_lawful(actions[i], M, &d);
            } else if (how < 3) {
                const int at = roll(&d, n[i] - 1);
                const struct schedule_action first = actions[i][at];
                actions[i][at] = actions[i][at + 1];
                actions[i][at + 1] = first;
            } else {
                mutate(actions[i], &n[i], LONG, M, &d);
            }
        }
        bool lawful = true;
        for (int i = 0; i < P; i++) {
            lists[i] = (struct schedule_list){actions[i], n[i]};
            lawful &= is_lawful(&lists[i], M);
        }
        const struct schedule mutated = {P, M, lists};
        const bool runs = lawful && can_be_carried_out(&mutated), ok = schedule_check(&mutated, NULL) == OK;
        if (ok != runs) fail_msg("round %d: %s", round, ok ? "accepted" : status_message());
        if (!ok) assert_int_equal(strstr(status_message(), "waits forever") != NULL, lawful);
        accepted += ok;
        unlawful += !lawful;
        stuck += lawful && !runs;
        schedule_free(&s);
    }
    print_message("%d lists mutated: %d right, %d break the law, %d get stuck\n", ROUNDS, accepted, unlawful, stuck);
    assert_true(accepted > ROUNDS / 50 && unlawful > ROUNDS / 4 && stuck > ROUNDS / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions_are_printed_and_read),
        cmocka_unit_test(names_are_those_of_the_command_line),
        cmocka_unit_test(lists_are_those_of_the_papers),
        cmocka_unit_test(all_schedules_pass_the_check_and_obey_the_law_of_order),
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test(neighbours_feed_each_other),
        cmocka_unit_test(memory_is_what_formulas_say),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(memory_has_limits),
        cmocka_unit_test(mutated_lists_are_judged_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
