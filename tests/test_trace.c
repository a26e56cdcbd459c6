// SPDX-License-Identifier: Apache-2.0
/* Traces of runs on several ranks, read back: what they say has happened in the order that pipelines want, as often as
 * schedules say and with the bytes that the transport has counted; and that clocks of other machines are understood. */
#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#include "dist/trace_ranks.h"
#include "tiny_run.h"

enum { RANKS = 4, STAGES = 2, STEPS = 3, ROWS = 10 };

/* ---- Reading a trace ---- */

struct event {
    const char *name;
    int rank, row;
    int64_t step, micro_batch, bytes; /* -1: has none */
    double since, until;
};

struct events {
    json_t *file;
    struct event *all;
    int n;
    char rows[RANKS][ROWS][16];
};

static int64_t number_of(const json_t *args, const char *key)
{
    const json_t *v = json_object_get(args, key);
    return v ? json_integer_value(v) : -1;
}

static int by_row_and_time(const void *x, const void *y)
{
    const struct event *a = x, *b = y;
    if (a->rank != b->rank) return a->rank - b->rank;
    if (a->row != b->row) return a->row - b->row;
    return a->since < b->since ? -1 : a->since > b->since;
}

static void read_name(struct events *out, const json_t *e)
{
    const char *name = json_string_value(json_object_get(json_object_get(e, "args"), "name"));
    const int64_t rank = number_of(e, "pid"), row = number_of(e, "tid");
    char expected[64];
    if (!strcmp(json_string_value(json_object_get(e, "name")), "thread_name")) {
        assert_in_range(row, 1, ROWS - 1);
        snprintf(out->rows[rank][row], sizeof out->rows[rank][row], "%s", name);
    }
    snprintf(expected, sizeof expected, "rank %d: replica %d, stage %d", (int)rank, (int)rank / STAGES,
             (int)rank % STAGES);
    if (!strcmp(json_string_value(json_object_get(e, "name")), "process_name")) assert_string_equal(name, expected);
}

static void read_trace(struct events *out, const char *path)
{
    *out = (struct events){0};
    must(json_read_file(&out->file, path, 1 << 28));
    const json_t *list = json_object_get(out->file, "traceEvents");
    out->all = calloc(json_array_size(list), sizeof *out->all);
    assert_non_null(out->all);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i), *args = json_object_get(e, "args");
        const char *phase = json_string_value(json_object_get(e, "ph"));
        assert_in_range(number_of(e, "pid"), 0, RANKS - 1);
        if (*phase == 'M') read_name(out, e);
        if (*phase != 'X') continue;
        const double since = json_number_value(json_object_get(e, "ts"));
        out->all[out->n++] = (struct event){.name = json_string_value(json_object_get(e, "name")),
                                            .rank = (int)number_of(e, "pid"),
                                            .row = (int)number_of(e, "tid"),
                                            .step = number_of(args, "step"),
                                            .micro_batch = number_of(args, "micro_batch"),
                                            .bytes = number_of(args, "bytes"),
                                            .since = since,
                                            .until = since + json_number_value(json_object_get(e, "dur"))};
    }
    qsort(out->all, (size_t)out->n, sizeof *out->all, by_row_and_time);
}

static void free_trace(struct events *e)
{
    free(e->all);
    json_decref(e->file);
}

static const char *row_of(const struct events *all, const struct event *e)
{
    return all->rows[e->rank][e->row];
}

static const struct event *find(const struct events *all, int rank, const char *row, const char *name, int64_t step,
                                int64_t micro_batch)
{
    const struct event *found = NULL;
    for (int i = 0; i < all->n; i++) {
        const struct event *e = &all->all[i];
        if (e->rank != rank || e->step != step || e->micro_batch != micro_batch || strcmp(e->name, name) ||
            strcmp(row_of(all, e), row))
            continue;
        if (found) fail_msg("rank %d, step %d: %s of micro-batch %d twice", rank, (int)step, name, (int)micro_batch);
        found = e;
    }
    if (!found) fail_msg("rank %d, step %d: no %s of micro-batch %d", rank, (int)step, name, (int)micro_batch);
    return found;
}

static int count(const struct events *all, int rank, const char *row, const char *name)
{
    int n = 0;
    for (int i = 0; i < all->n; i++) {
        const struct event *e = &all->all[i];
        n += e->rank == rank && !strcmp(row_of(all, e), row) && (!name || !strcmp(e->name, name));
    }
    return n;
}

static uint64_t bytes_of(const struct events *all, int rank, const char *row)
{
    uint64_t bytes = 0;
    for (int i = 0; i < all->n; i++) {
        const struct event *e = &all->all[i];
        if (e->rank == rank && e->bytes > 0 && !strcmp(row_of(all, e), row)) bytes += (uint64_t)e->bytes;
    }
    return bytes;
}

/* ---- Runs ---- */

static void expect_rows_in_order(const struct events *all)
{
    for (int i = 0; i < all->n; i++) {
        const struct event *e = &all->all[i], *next = e + 1;
        assert_true(e->until >= e->since && e->step >= 1);
        if (i + 1 == all->n || next->rank != e->rank || next->row != e->row) continue;
        if (next->since < e->until - 1e-4) /* rounding of sums; times are whole nanoseconds, 1e-3 */
            fail_msg("rank %d, %s: %s at %.3f is not over when %s begins at %.3f", e->rank, row_of(all, e), e->name,
                     e->since, next->name, next->since);
    }
}

/* Before another stage's pass, the one whose result it has been sent; a message is not there before it was sent. */
static void expect_passes_in_order(const struct events *all, bool split)
{
    const char *backward = split ? "backward input" : "backward";
    for (int64_t step = 1; step <= STEPS; step++)
        for (int rank = 0; rank < RANKS; rank += STAGES)
            for (int i = 0; i < TINY_BATCH * STAGES / RANKS; i++) {
                const struct event *first = find(all, rank, "compute", "forward", step, i);
                const struct event *sent = find(all, rank, "send", "activations", step, i);
                const struct event *came = find(all, rank + 1, "receive", "activations", step, i);
                const struct event *second = find(all, rank + 1, "compute", "forward", step, i);
                const struct event *head = find(all, rank + 1, "compute", "head", step, i);
                const struct event *back = find(all, rank + 1, "compute", backward, step, i);
                const struct event *back_sent = find(all, rank + 1, "send", "gradients", step, i);
                const struct event *back_came = find(all, rank, "receive", "gradients", step, i);
                const struct event *end = find(all, rank, "compute", backward, step, i);
                assert_true(first->until <= sent->since && sent->since <= came->until && came->until <= second->since);
                assert_true(first->until <= second->since && second->until <= head->since);
                assert_true(head->until <= back->since && back->until <= back_sent->since);
                assert_true(back_sent->since <= back_came->until && back_came->until <= end->since);
                assert_int_equal(sent->bytes, 4 * TINY_SEQ_LEN * TINY_WIDTH);
                assert_int_equal(came->bytes, sent->bytes);
                if (split) assert_true(end->until <= find(all, rank, "compute", "backward weights", step, i)->since);
            }
}

static void expect_counts(const struct events *all, const struct tiny_run *r, bool split)
{
    const int passes = STEPS * TINY_BATCH * STAGES / RANKS;
    for (int rank = 0; rank < RANKS; rank++) {
        const bool first = rank % STAGES == 0;
        assert_int_equal(count(all, rank, "compute", "forward"), passes);
        assert_int_equal(count(all, rank, "compute", "head"), first ? 0 : passes);
        assert_int_equal(count(all, rank, "compute", split ? "backward input" : "backward"), passes);
        assert_int_equal(count(all, rank, "compute", "backward weights"), split ? passes : 0);
        assert_int_equal(count(all, rank, "steps", "step"), STEPS);
        assert_int_equal(count(all, rank, "steps", "checkpoint"), 1);
        assert_int_equal(count(all, rank, "data", "draw"), first ? STEPS : 0);
        assert_int_equal(count(all, rank, "optimizer", "update"), STEPS);
        assert_int_equal(bytes_of(all, rank, "send") + bytes_of(all, rank, "sync"),
                         r->sent[rank][NET_ACTIVATIONS] + r->sent[rank][NET_GRADIENTS] + r->sent[rank][NET_SYNC]);
        assert_true(bytes_of(all, rank, "send") > 0 && bytes_of(all, rank, "sync") > 0);
    }
}

/* Every arrow has both ends, and leads forward in time. */
static void expect_arrows(const struct events *all)
{
    const json_t *list = json_object_get(all->file, "traceEvents");
    json_t *open = json_object();
    size_t n = 0;
    for (int ends = 0; ends < 2; ends++)
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *e = json_array_get(list, i);
            const char *phase = json_string_value(json_object_get(e, "ph"));
            char id[64];
            if (*phase != (ends ? 'f' : 's')) continue;
            snprintf(id, sizeof id, "%s %s", json_string_value(json_object_get(e, "name")),
                     json_string_value(json_object_get(e, "id")));
            const json_t *begin = json_object_get(open, id);
            if (!ends == !!begin) fail_msg("arrow %s has %s", id, ends ? "no beginning" : "two beginnings");
            if (!ends) {
                json_object_set(open, id, json_object_get(e, "ts"));
                n++;
            } else {
                assert_true(json_number_value(begin) <= json_number_value(json_object_get(e, "ts")));
                json_object_del(open, id);
            }
        }
    assert_int_equal(n, STEPS * RANKS * TINY_BATCH * STAGES / RANKS);
    assert_int_equal(json_object_size(open), 0);
    json_decref(open);
}

static void a_trace_says_what_a_run_has_done(void **state)
{
    (void)state;
    static const int syncs[] = {SYNC_ALLREDUCE, SYNC_SHARDED,   SYNC_PROXSKIP, SYNC_DILOCO,
                                SYNC_COCKTAIL,  SYNC_STREAMING, SYNC_SPARSE};
    for (int i = 0; i < 2 * 7; i++) {
        struct tiny_run r;
        struct events all;
        char name[32], path[160], model[128];
        const int schedule = i % 3;
        snprintf(name, sizeof name, "run-%d", i);
        snprintf(model, sizeof model, "%s/tied", tiny_directory);
        tiny_begin(&r, name);
        r.trace_steps = i % 2 ? "1-3" : "20";
        r.recipe.pipeline_stages = STAGES;
        r.recipe.pipeline_schedule = schedule;
        r.recipe.sync = syncs[i / 2];
        r.recipe.sync_warmup_steps = i / 2 > 1;
        r.recipe.sync_probability = 1;
        r.recipe.sync_steps = 1;
        r.recipe.sync_fragments = 1;
        r.recipe.eval_steps = i == 9 ? 2 : 0;
        if (i / 2 != 1 && i % 2) r.recipe.model = model;
        tiny_train(&r, RANKS);
        tiny_trace_path(path, sizeof path, &r);
        read_trace(&all, path);
        expect_rows_in_order(&all);
        expect_passes_in_order(&all, schedule == PIPELINE_ZB_H1);
        expect_arrows(&all);
        expect_counts(&all, &r, schedule == PIPELINE_ZB_H1);
        assert_int_equal(count(&all, 0, "steps", "validation"), i == 9 ? 2 : 0);
        assert_int_equal(count(&all, 0, "compute", "losses"), i == 9 ? 2 * 3 : 0);
        free_trace(&all);
        tiny_end(&r);
    }
}

/* The bits are those of a run without, and of the other steps nothing is kept. */
static void recording_changes_nothing_and_keeps_to_its_steps(void **state)
{
    (void)state;
    struct tiny_run without, with;
    struct events all;
    char path[160];
    tiny_begin(&without, "without");
    tiny_begin(&with, "with");
    with.trace_steps = "2-2";
    tiny_train(&without, 0);
    tiny_train(&with, 0);
    struct buf files[2] = {{0}};
    const char *const outputs[] = {without.output, with.output};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/checkpoint-3/model.safetensors", outputs[i]);
        must(file_read(&files[i], path, 1 << 28));
    }
    assert_int_equal(files[0].len, files[1].len);
    assert_memory_equal(files[0].data, files[1].data, files[0].len);
    tiny_trace_path(path, sizeof path, &with);
    read_trace(&all, path);
    expect_rows_in_order(&all);
    for (int i = 0; i < all.n; i++)
        assert_int_equal(all.all[i].step, 2);
    assert_int_equal(count(&all, 0, "compute", "forward"), TINY_BATCH);
    assert_int_equal(count(&all, 0, "compute", "backward"), TINY_BATCH);
    assert_int_equal(count(&all, 0, "steps", NULL), 1);
    free_trace(&all);
    for (int i = 0; i < 2; i++)
        buf_free(&files[i]);
    tiny_end(&without);
    tiny_end(&with);
}

/* "3": of a run that goes on, the first three that it makes. */
static void a_run_that_goes_on_counts_from_where_it_does(void **state)
{
    (void)state;
    struct tiny_run r;
    struct events all;
    char path[160];
    tiny_begin(&r, "goes-on");
    tiny_train(&r, 0);
    r.resume = true;
    r.recipe.steps = 9;
    r.trace_steps = "3";
    tiny_train(&r, 0);
    tiny_trace_path(path, sizeof path, &r);
    read_trace(&all, path);
    int64_t first = INT64_MAX, last = 0;
    for (int i = 0; i < all.n; i++) {
        first = all.all[i].step < first ? all.all[i].step : first;
        last = all.all[i].step > last ? all.all[i].step : last;
    }
    assert_int_equal(first, 4);
    assert_int_equal(last, 6);
    free_trace(&all);
    tiny_end(&r);
}

/* ---- Clocks ---- */

struct clocks {
    int64_t ahead; /* rank 1's of rank 0's, in ns */
    struct trace_clock found[2];
};

struct one_clock {
    int64_t ahead;
};

static int64_t clock_ahead(void *user)
{
    return clock_ns() + ((const struct one_clock *)user)->ahead;
}

static enum status compare(struct transport *t, void *user)
{
    struct clocks *c = user;
    struct one_clock own = {t->rank ? c->ahead : 0};
    return trace_ranks_compare_clocks(&c->found[t->rank], t, 1 - t->rank, 7, clock_ahead, &own);
}

static void clocks_are_compared_within_the_error_that_is_told(void **state)
{
    (void)state;
    static const int64_t ahead[] = {0, 3600000000000, -86400000000000, 1000000000};
    for (size_t i = 0; i < sizeof ahead / sizeof *ahead; i++) {
        struct clocks c = {.ahead = ahead[i]};
        must(local_run(2, compare, &c));
        assert_true(c.found[0].offset_ns == c.found[1].offset_ns && c.found[0].error_ns == c.found[1].error_ns);
        if (!ahead[i])
            assert_true(c.found[0].offset_ns == 0);
        else if (!(fabs(c.found[0].offset_ns - (double)ahead[i]) <= c.found[0].error_ns + 1)) /* of two halves */
            fail_msg("%" PRId64 " ns ahead, found %.0f to %.0f", ahead[i], c.found[0].offset_ns, c.found[0].error_ns);
    }
}

/* A clock that gains 1 ms in the 10 s of a run: an event of its fifth second. */
static void drifting_clocks_are_set_right_in_between(void **state)
{
    (void)state;
    const int64_t second = 1000000000, ahead = 77 * second;
    const struct trace_rank who = {.rank = 2,
                                   .replica = 1,
                                   .begin = {ahead + 100 * second, (double)ahead, 0},
                                   .end = {ahead + 110 * second, (double)ahead + 1e6, 0},
                                   .origin_ns = 99 * second};
    const struct trace_event e = {
        .since_ns = ahead + 105 * second, .until_ns = ahead + 105 * second + 3000, .step = 1, .kind = TRACE_UPDATE};
    struct trace t = {0};
    struct buf text = {0};
    buf_append(&t.events, &e, sizeof e);
    trace_put(&text, &t, &who);
    assert_non_null(strstr(text.data, "\"ph\":\"X\",\"pid\":2,\"tid\":8,\"ts\":5999500.000,\"dur\":3.000,"));
    buf_free(&text);
    trace_close(&t);
}

/* ---- What cannot be ---- */

static void steps_are_a_number_or_a_range(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "0", "-3", "3-2", "2-", "a", "1 ", " 1", "1-2-3", "0-4", "+4", "1e3", "99999999999999999999"};
    static const struct {
        const char *text;
        int64_t from, to; /* recorded of steps 5 .. 12 */
    } right[] = {{"1", 5, 5}, {"3", 5, 7}, {"7-9", 7, 9}, {"1-6", 5, 6}, {"10-10", 10, 10}};
    struct trace t;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(trace_open(&t, wrong[i]), E_ARG);
        assert_non_null(strstr(status_message(), "neither a number of steps nor a range"));
    }
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        must(trace_open(&t, right[i].text));
        assert_int_equal(trace_now(&t), 0);
        for (int64_t step = 5; step <= 12; step++) {
            trace_begin_step(&t, step);
            const bool wanted = step >= right[i].from && step <= right[i].to;
            assert_int_equal(trace_now(&t) != 0, wanted);
            trace_add(&t, trace_now(&t), (struct trace_event){.kind = TRACE_UPDATE});
        }
        assert_int_equal(t.n, right[i].to - right[i].from + 1);
        trace_close(&t);
    }
}

static void memory_is_bounded_and_what_is_left_out_is_told(void **state)
{
    (void)state;
    struct trace t;
    struct events all;
    char path[128];
    must(trace_open(&t, "1"));
    trace_begin_step(&t, 1);
    for (int i = 0; i < TRACE_MAX_EVENTS + 5; i++)
        trace_add(&t, trace_now(&t), (struct trace_event){.kind = TRACE_UPDATE});
    assert_int_equal(t.n, TRACE_MAX_EVENTS);
    assert_int_equal(t.events.len, TRACE_MAX_EVENTS * sizeof(struct trace_event));
    snprintf(path, sizeof path, "%s/full.trace", tiny_directory);
    must(trace_write(&t, path));
    trace_close(&t);
    read_trace(&all, path);
    assert_int_equal(all.n, TRACE_MAX_EVENTS);
    const json_t *rank = json_array_get(json_object_get(json_object_get(all.file, "otherData"), "ranks"), 0);
    assert_int_equal(number_of(rank, "dropped_events"), 5);
    free_trace(&all);
}

static void a_file_that_cannot_be_is_known_before(void **state)
{
    (void)state;
    char path[128], beside[160];
    snprintf(path, sizeof path, "%s/absent/run.trace", tiny_directory);
    assert_int_equal(trace_check(path), E_IO);
    assert_int_equal(trace_check(tiny_directory), E_IO);
    snprintf(path, sizeof path, "%s/can.trace", tiny_directory);
    must(trace_check(path));
    snprintf(beside, sizeof beside, "%s.tmp.%ld", path, (long)getpid());
    assert_false(file_exists(path) || file_exists(beside));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_says_what_a_run_has_done),
        cmocka_unit_test(recording_changes_nothing_and_keeps_to_its_steps),
        cmocka_unit_test(a_run_that_goes_on_counts_from_where_it_does),
        cmocka_unit_test(clocks_are_compared_within_the_error_that_is_told),
        cmocka_unit_test(drifting_clocks_are_set_right_in_between),
        cmocka_unit_test(steps_are_a_number_or_a_range),
        cmocka_unit_test(memory_is_bounded_and_what_is_left_out_is_told),
        cmocka_unit_test(a_file_that_cannot_be_is_known_before),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_remove);
}
