// SPDX-License-Identifier: Apache-2.0
/* Task files, draws of shots, answers and what they come to, on a stand-in for the engine. */
#include "scratch_directory.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/file.h"
#include "eval/classify.h"
#include "eval/metrics.h"
#include "eval/task_page.h"
#include "eval/task_results.h"
#include "fake_gptjt.h"

/* ---- Task files ---- */

static enum status read_text(struct task *t, const char *text)
{
    return task_read_text(t, text, strlen(text), "some/where/mood.yaml");
}

static void what_a_task_leaves_out_has_a_default(void **state)
{
    (void)state;
    struct task t;
    assert_int_equal(read_text(&t, "fields: text\ntrain: a.csv\ntest: /b.csv\n"), OK);
    assert_string_equal(t.name, "mood");
    assert_string_equal(t.label, "label");
    assert_string_equal(t.label_name, "Label");
    assert_string_equal(t.train_path, "some/where/a.csv");
    assert_string_equal(t.test_path, "/b.csv");
    assert_int_equal(t.answer, TASK_CHOICE);
    assert_int_equal(t.shots, 5);
    assert_int_equal(t.trials, 3);
    assert_int_equal(t.fields.n, 1);
    assert_string_equal(t.fields.items[0], "text");
    assert_string_equal(t.names[0], "text");
    assert_true(t.list_labels);
    task_free(&t);
}

static void a_field_may_be_shown_under_another_name(void **state)
{
    (void)state;
    struct task t;
    assert_int_equal(read_text(&t, "fields: [title, body: Text]\nlabels: [a, b]\nshots: 0\ntest: b.csv\n"), OK);
    assert_int_equal(t.fields.n, 2);
    assert_string_equal(t.fields.items[0], "title");
    assert_string_equal(t.names[0], "title");
    assert_string_equal(t.fields.items[1], "body");
    assert_string_equal(t.names[1], "Text");
    assert_null(t.train_path);
    assert_int_equal(t.trials, 1); /* without shots there is nothing to draw */
    task_free(&t);
}

static void a_wrong_task_file_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"- a\n", "is not a task"},
        {"test: a.csv\n", "has no \"fields\""},
        {"fields: []\ntest: a.csv\n", "\"fields\" has 0 columns"},
        {"fields: [{a: b, c: d}]\ntest: a.csv\n", "neither a column nor"},
        {"fields: [1]\ntest: a.csv\n", "neither a column nor"},
        {"fields: [a: 1]\ntest: a.csv\n", "neither a column nor"},
        {"fields: [a, a]\ntest: a.csv\n", "\"a\" is in \"fields\" twice"},
        {"fields: [label]\ntest: a.csv\n", "cannot be part of the text"},
        {"fields: a\n", "has no \"test\""},
        {"fields: a\ntest: b\ntrial: 3\n", "did you mean \"trials\"?"},
        {"fields: a\ntest: b\nshots: 1001\n", "\"shots\""},
        {"fields: a\ntest: b\ntrials: 0\n", "\"trials\""},
        {"fields: a\ntest: b\nanswer: chose\n", "not one of choice|generate|free"},
        {"fields: a\ntest: b\nlabels: [x, y]\n", "no \"train\" file to take them from"},
        {"fields: a\ntest: b\nshots: 0\n", "neither \"labels\" nor"},
        {"fields: a\ntest: b\nshots: 0\nlabels: [x]\n", "two or more"},
        {"fields: a\ntest: b\nshots: 0\nlabels: [x, x]\n", "given twice"},
        {"fields: a\ntest: b\nshots: 0\ntrials: 2\nlabels: [x, y]\n", "trials differ by their shots"},
        {"fields: a\ntest: b\ntrain: c\nanswer: free\nlabels: [x, y]\n", "not to free"},
        {"fields: a\ntest: b\ntrain: c\nanswer: generate\ncalibrate: true\n", "belongs to answer choice"},
        {"fields: a\ntest: b\ntrain: c\nanswer: free\nnormalize: length\n", "belongs to answer choice"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct task t;
        assert_int_not_equal(read_text(&t, cases[i].text), OK);
        if (!strstr(status_message(), cases[i].error) || !strstr(status_message(), "mood.yaml"))
            fail_msg("case %zu: %s", i, status_message());
    }
}

/* ---- A task on disk ---- */

static const char *in_directory(char out[static 256], const char *name)
{
    snprintf(out, 256, "%s/%s", directory, name);
    return out;
}

struct setting {
    struct gptjt_engine *engine;
    struct task task;
    struct task_data data;
    struct task_run run;
    char yaml[256], train[256], test[256], out[256];
};

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(text, 1, strlen(text), f);
    fclose(f);
}

static const char train_csv[] = "text,mood\na1,joy\na2,joy\na3,joy\na4,joy\nb1,fear\nb2,fear\nc1,anger\nc2,anger\n";
static const char test_csv[] =
    "text,mood,who\none,joy,x\n\"two\nlines\",fear,y\n<three>,joy,x\nfour,anger,x\nfive,joy,y\n";

static void set_up(struct setting *t, const char *more)
{
    struct buf yaml = {0};
    *t = (struct setting){.engine = fake_engine(512)};
    in_directory(t->yaml, "mood.yaml");
    in_directory(t->train, "train.csv");
    in_directory(t->test, "test.csv");
    in_directory(t->out, "mood.jsonl");
    buf_printf(&yaml, "fields: text\nlabel: mood\ntrain: train.csv\ntest: test.csv\n%s", more);
    write_text(t->yaml, yaml.data);
    write_text(t->train, train_csv);
    write_text(t->test, test_csv);
    buf_free(&yaml);
    if (task_read(&t->task, t->yaml) != OK || task_load(&t->data, &t->task, 0) != OK) fail_msg("%s", status_message());
    t->run = (struct task_run){.task = &t->task,
                               .data = &t->data,
                               .masks = {GPTJT_MASK_PREFIX, GPTJT_MASK_CAUSAL},
                               .n_masks = 2,
                               .out_path = t->out,
                               .settings = "these"};
}

static void tear_down(struct setting *t)
{
    task_run_free(&t->run);
    task_data_free(&t->data);
    task_free(&t->task);
    fake_engine_free(t->engine);
    unlink(t->yaml);
    unlink(t->train);
    unlink(t->test);
    unlink(t->out);
}

static bool always(void *user, size_t n_done)
{
    (void)user;
    (void)n_done;
    return true;
}

static bool until(void *user, size_t n_done)
{
    return n_done < *(const size_t *)user;
}

static void rows_have_their_group_behind_the_fields(void **state)
{
    (void)state;
    struct setting t;
    set_up(&t, "group: who\n");
    assert_int_equal(t.data.test.n, 5);
    assert_string_equal(t.data.test.items[1].values[0], "two\nlines");
    assert_string_equal(t.data.test.items[1].values[1], "y");
    assert_string_equal(t.data.test.items[1].label, "fear");
    assert_int_equal(t.data.n_labels, 3);
    task_data_free(&t.data);
    assert_int_equal(task_load(&t.data, &t.task, 2), OK);
    assert_int_equal(t.data.test.n, 2);
    tear_down(&t);
}

static void groups_are_found_when_rows_are_read(void **state)
{
    (void)state;
    struct setting t;
    struct task_data d;
    struct buf text = {0};
    set_up(&t, "group: who\n");
    assert_int_equal(t.data.n_groups, 2);
    assert_string_equal(t.data.groups[0], "x");
    assert_int_equal(t.data.group_of[1], 1);
    assert_int_equal(t.data.group_of[3], 0);
    buf_puts(&text, "text,mood,who\n");
    for (int i = 0; i <= TASK_MAX_GROUPS; i++)
        buf_printf(&text, "a,joy,%d\n", i);
    write_text(t.test, text.data);
    assert_int_equal(task_load(&d, &t.task, 0), E_LIMIT);
    assert_non_null(strstr(status_message(), "column \"who\""));
    assert_int_equal(task_load(&d, &t.task, TASK_MAX_GROUPS), OK);
    task_data_free(&d);
    buf_free(&text);
    tear_down(&t);
}

static void an_answer_that_is_no_label_is_refused(void **state)
{
    (void)state;
    struct setting t;
    struct task_data d;
    set_up(&t, "");
    write_text(t.test, "text,mood\na,joy\nb,jox\n");
    assert_int_equal(task_load(&d, &t.task, 0), E_FORMAT);
    assert_non_null(strstr(status_message(), "test.csv line 3: label \"jox\""));
    tear_down(&t);
}

/* ---- Shots ---- */

static char label_of(const struct fewshot_shot *s)
{
    return s->label[0];
}

/* The most frequent label first; fear and anger, of two rows each, in either order; the same again; when fear and anger
 * are used up, joy alone. */
static void shots_come_one_a_label_in_order_of_frequency(void **state)
{
    (void)state;
    struct setting t;
    struct fewshot_shot shots[20];
    int n, anger_first = 0;
    set_up(&t, "shots: 20\n");
    for (int trial = 0; trial < 64; trial++) {
        assert_int_equal(task_draw(shots, &n, &t.task, &t.data, trial), OK);
        assert_int_equal(n, 8);
        char labels[9] = "";
        for (int i = 0; i < 8; i++)
            labels[i] = label_of(&shots[i]);
        if (strcmp(labels, "jafjafjj") && strcmp(labels, "jfajfajj")) fail_msg("trial %d: %s", trial, labels);
        anger_first += labels[1] == 'a';
        for (int i = 0; i < 8; i++)
            for (int k = 0; k < i; k++)
                assert_string_not_equal(shots[i].values[0], shots[k].values[0]);
    }
    assert_in_range(anger_first, 16, 48); /* of 64 throws of a coin, by chance outside once in 10^5 */
    tear_down(&t);
}

static void trials_draw_differently_and_again_alike(void **state)
{
    (void)state;
    struct setting t;
    struct fewshot_shot a[3], b[3];
    int n, first_rows = 0;
    set_up(&t, "shots: 3\n");
    for (int trial = 0; trial < 64; trial++) {
        assert_int_equal(task_draw(a, &n, &t.task, &t.data, trial), OK);
        assert_int_equal(task_draw(b, &n, &t.task, &t.data, trial), OK);
        assert_int_equal(n, 3);
        for (int i = 0; i < 3; i++)
            assert_ptr_equal(a[i].values, b[i].values);
        first_rows += !strcmp(a[0].values[0], "a1");
    }
    assert_in_range(first_rows, 4, 30); /* of 64 draws of one in four, by chance outside once in 10^4 */
    tear_down(&t);
}

static void free_answers_draw_any_rows(void **state)
{
    (void)state;
    struct setting t;
    struct fewshot_shot shots[20];
    int n;
    set_up(&t, "shots: 20\nanswer: free\n");
    assert_int_equal(t.data.n_labels, 0);
    assert_int_equal(task_draw(shots, &n, &t.task, &t.data, 0), OK);
    assert_int_equal(n, 8);
    tear_down(&t);
}

/* ---- Answers ---- */

static void answers_are_those_of_the_classifier(void **state)
{
    (void)state;
    struct setting t;
    set_up(&t, "shots: 2\ntrials: 2\n");
    assert_int_equal(task_run_open(&t.run), OK);
    assert_int_equal(task_run_all(&t.run, t.engine, always, NULL), OK);
    assert_int_equal(t.run.n_done, 2 * 2 * 5);
    assert_true(t.engine->most_at_once > 1);
    for (int trial = 0; trial < 2; trial++) {
        struct fewshot_shot shots[2];
        struct fewshot_spec spec = {.labels = t.data.labels,
                                    .n_labels = 3,
                                    .list_labels = true,
                                    .label_name = "Label",
                                    .names = t.task.names,
                                    .n_fields = 1,
                                    .shots = shots};
        const struct classify_options options = {0};
        struct classify *c;
        assert_int_equal(task_draw(shots, &spec.n_shots, &t.task, &t.data, trial), OK);
        assert_int_equal(classify_create(&c, t.engine, &spec, &options), OK);
        for (int i = 0; i < 5; i++) {
            struct classify_result r;
            const struct task_answer *a = task_run_answer(&t.run, 1, trial, i);
            assert_int_equal(classify_run(c, t.data.test.items[i].values, &r), OK);
            assert_int_equal(a->label, r.best);
            assert_true(a->probability == r.probabilities[r.best]);
            assert_int_equal(a->prompt_tokens, r.prompt_tokens);
            assert_int_equal(a->correct, !strcmp(t.data.labels[r.best], t.data.test.items[i].label));
        }
        classify_free(c);
    }
    assert_int_equal(task_run_finish(&t.run), OK);
    tear_down(&t);
}

static void read_whole(struct buf *out, const char *path)
{
    buf_clear(out);
    assert_int_equal(file_read(out, path, 1 << 20), OK);
}

static void results_text(struct buf *out, const struct task_run *run)
{
    json_t *results;
    assert_int_equal(task_results(&results, run, 1, 10), OK);
    char *text = json_dumps(results, JSON_COMPACT);
    buf_clear(out);
    buf_puts(out, text);
    free(text);
    json_decref(results);
}

/* Stops after each number of answers, cuts the part file at every 23rd byte, and goes on. */
static void check_resume(const char *more)
{
    static const char *const says[] = {"joy", "Fear.", "who knows", "anger"};
    struct setting t;
    struct buf whole = {0}, got = {0}, expected = {0}, part = {0};
    char part_path[4096];
    set_up(&t, more);
    t.engine->says = says;
    t.engine->n_says = 4;
    assert_int_equal(task_run_open(&t.run), OK);
    strcpy(part_path, t.run.part.path);
    assert_int_equal(task_run_all(&t.run, t.engine, always, NULL), OK);
    read_whole(&part, part_path);
    assert_int_equal(task_run_finish(&t.run), OK);
    read_whole(&whole, t.out);
    results_text(&expected, &t.run);
    for (size_t keep = 0; keep <= part.len; keep += 23) {
        task_run_free(&t.run);
        FILE *f = fopen(part_path, "wb");
        fwrite(part.data, 1, keep, f);
        fclose(f);
        t.run.n_done = t.run.n_resumed = 0;
        if (task_run_open(&t.run) != OK) fail_msg("cut at %zu: %s", keep, status_message());
        assert_int_equal(task_run_all(&t.run, t.engine, always, NULL), OK);
        assert_int_equal(task_run_finish(&t.run), OK);
        read_whole(&got, t.out);
        assert_string_equal(got.data, whole.data);
        results_text(&got, &t.run);
        assert_string_equal(got.data, expected.data);
    }
    buf_free(&whole);
    buf_free(&got);
    buf_free(&expected);
    buf_free(&part);
    tear_down(&t);
}

static void a_resumed_run_has_the_same_answers(void **state)
{
    (void)state;
    check_resume("trials: 2\nshots: 2\ngroup: who\n");
    check_resume("trials: 1\nshots: 2\nanswer: generate\n");
}

static void a_stopped_run_keeps_what_it_has(void **state)
{
    (void)state;
    struct setting t;
    size_t stop = 6;
    set_up(&t, "trials: 2\n");
    assert_int_equal(task_run_open(&t.run), OK);
    assert_int_equal(task_run_all(&t.run, t.engine, until, &stop), E_CANCELLED);
    const size_t done = t.run.n_done;
    assert_in_range(done, 6, 19);
    assert_false(file_exists(t.out));
    task_run_free(&t.run);
    t.run.n_done = 0;
    assert_int_equal(task_run_open(&t.run), OK);
    assert_int_equal(t.run.n_resumed, done);
    t.run.settings = "others";
    task_run_free(&t.run);
    unlink(t.run.part.path);
    t.run.n_done = t.run.n_resumed = 0;
    assert_int_equal(task_run_open(&t.run), OK);
    assert_int_equal(t.run.n_resumed, 0);
    unlink(t.run.part.path);
    tear_down(&t);
}

static void a_question_that_fails_is_named_and_those_before_it_are_kept(void **state)
{
    (void)state;
    struct setting t;
    set_up(&t, "trials: 1\n");
    t.engine->fail_at = 3;
    assert_int_equal(task_run_open(&t.run), OK);
    assert_int_equal(task_run_all(&t.run, t.engine, always, NULL), E_NUMERIC);
    assert_non_null(strstr(status_message(), "test.csv row 3: "));
    assert_int_equal(t.run.n_done, 2);
    unlink(t.run.part.path);
    tear_down(&t);
}

/* ---- Results ---- */

static double at(const json_t *o, const char *path)
{
    char copy[200], *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        char *end;
        const unsigned long index = strtoul(part, &end, 10);
        o = *end ? json_object_get(o, part) : json_array_get(o, index);
    }
    if (!json_is_number(o)) fail_msg("%s is no number", path);
    return json_number_value(o);
}

static void is(const json_t *o, const char *path, double expected)
{
    if (fabs(at(o, path) - expected) > 1e-12) fail_msg("%s is %.12g, not %.12g", path, at(o, path), expected);
}

static void set_answer(struct task_run *r, int mask, int trial, int i, const char *text, double probability)
{
    struct task_answer *a = (struct task_answer *)(uintptr_t)task_run_answer(r, mask, trial, i);
    const char *gold = r->data->test.items[i].label;
    *a = (struct task_answer){.text = strdup(text), .probability = probability, .prompt_tokens = 10, .n_shots = 5};
    a->label = shots_label_index(text, r->data->labels, r->data->n_labels);
    a->exact = a->quasi = a->correct = !strcmp(text, gold);
}

/* Right are joy, fear, joy, anger, joy. Prefix says joy, fear, joy, anger, anger in trial 0 and joy five times in trial
 * 1; causal joy five times in both. */
static void results_are_those_computed_by_hand(void **state)
{
    (void)state;
    static const char *const first[] = {"joy", "fear", "joy", "anger", "anger"};
    struct setting t;
    json_t *results;
    set_up(&t, "trials: 2\ngroup: who\n");
    t.run.out_path = NULL;
    assert_int_equal(task_run_open(&t.run), OK);
    for (int i = 0; i < 5; i++) {
        set_answer(&t.run, 0, 0, i, first[i], 0.95);
        set_answer(&t.run, 0, 1, i, "joy", 0.55);
        set_answer(&t.run, 1, 0, i, "joy", 0.65);
        set_answer(&t.run, 1, 1, i, "joy", 0.65);
    }
    assert_int_equal(task_results(&results, &t.run, 1, 1), OK);
    const json_t *o = json_array_get(json_object_get(results, "tasks"), 0);
    is(o, "majority", 3 / 5.0);
    is(o, "masks/prefix/by_trial/0", 4 / 5.0);
    is(o, "masks/prefix/by_trial/1", 3 / 5.0);
    is(o, "masks/prefix/accuracy", 7 / 10.0);
    is(o, "masks/causal/accuracy", 6 / 10.0);
    /* F1 of joy, fear, anger: trial 0: 4/5, 1, 2/3; trial 1: 6/8, 0, 0 */
    is(o, "masks/prefix/macro_f1", ((0.8 + 1 + 2 / 3.0) / 3 + 0.75 / 3) / 2);
    is(o, "masks/prefix/confusion/0/0", 5); /* joy as joy: 2 + 3 */
    is(o, "masks/prefix/confusion/0/2", 1); /* joy as anger */
    is(o, "masks/prefix/confusion/1/0", 1);
    is(o, "masks/prefix/ece", (fabs(4 - 4.75) + fabs(3 - 2.75)) / 10);
    is(o, "masks/causal/ece", 0.05);
    is(o, "masks/prefix/groups/0/accuracy", (1 + 1 + 0.5) / 3); /* x: instances 0, 2, 3 */
    is(o, "masks/prefix/groups/1/accuracy", (0.5 + 0.5) / 2);   /* y: 1, 4 */
    is(o, "masks/prefix/group_mean/accuracy", (2.5 / 3 + 0.5) / 2);
    is(o, "difference/accuracy", 0.1);
    is(o, "difference/p", 1); /* differences 0, 1, 0, 1, -1: every sum of three signs is at least as far from 0 as 1 */
    is(o, "difference/groups/0/p", 1);
    is(o, "masks/causal/interval/1",
       metrics_mean(&(struct metrics_sample){(const double[]){1, 0, 1, 0, 1}, 5}, 1, 1).high);
    is(o, "n_wrong", 3);
    assert_int_equal(json_array_size(json_object_get(o, "wrong")), 1);
    is(o, "wrong/0/instance", 1);
    assert_null(json_object_get(results, "mean"));
    json_decref(results);

    struct task_run two[2] = {t.run, t.run};
    assert_int_equal(task_results(&results, two, 2, 0), OK);
    is(results, "mean/masks/prefix/accuracy", 0.7);
    is(results, "mean/difference/accuracy", 0.1);
    json_decref(results);
    tear_down(&t);
}

static void words_are_matched_with_labels(void **state)
{
    (void)state;
    static const char *const says[] = {"The JOY!"};
    struct setting t;
    json_t *results;
    set_up(&t, "trials: 1\nanswer: generate\n");
    t.engine->says = says;
    t.engine->n_says = 1;
    t.run.n_masks = 1;
    t.run.out_path = NULL;
    assert_int_equal(task_run_open(&t.run), OK);
    assert_int_equal(task_run_all(&t.run, t.engine, always, NULL), OK);
    assert_string_equal(task_run_answer(&t.run, 0, 0, 0)->text, "The JOY!");
    assert_int_equal(task_results(&results, &t.run, 1, 0), OK);
    const json_t *o = json_array_get(json_object_get(results, "tasks"), 0);
    is(o, "masks/prefix/accuracy", 0.6);
    is(o, "masks/prefix/quasi_exact_match", 0.6);
    is(o, "masks/prefix/exact_match", 0);
    is(o, "masks/prefix/confusion/1/0", 1);
    assert_null(json_object_get(json_object_get(o, "masks"), "causal"));
    json_decref(results);
    tear_down(&t);
}

/* ---- The page ---- */

static void the_page_shows_what_is_in_the_results_and_runs_nothing(void **state)
{
    (void)state;
    struct setting t;
    json_t *results;
    struct buf page = {0};
    set_up(&t, "trials: 1\ngroup: who\n");
    assert_int_equal(task_run_open(&t.run), OK);
    assert_int_equal(task_run_all(&t.run, t.engine, always, NULL), OK);
    assert_int_equal(task_results(&results, &t.run, 1, 10), OK);
    json_object_set_new(results, "model", json_string("<b>&co"));
    json_object_set_new(json_array_get(json_object_get(results, "tasks"), 0), "name", json_string("a<script>b"));
    assert_int_equal(task_page(&page, results), OK);
    assert_non_null(strstr(page.data, "<title>Evaluation of &lt;b&gt;&amp;co</title>"));
    assert_non_null(strstr(page.data, "<h2>a&lt;script&gt;b</h2>"));
    assert_non_null(strstr(page.data, "Accuracy by group"));
    assert_non_null(strstr(page.data, "Right label (rows) and answer, causal"));
    assert_non_null(strstr(page.data, "Reliability"));
    assert_null(strstr(page.data, "<three>"));
    assert_null(strstr(page.data, "<script"));
    assert_null(strstr(page.data, "http"));
    assert_null(strstr(page.data, "nan"));
    buf_free(&page);
    json_decref(results);
    unlink(t.run.part.path);
    tear_down(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_task_leaves_out_has_a_default),
        cmocka_unit_test(a_field_may_be_shown_under_another_name),
        cmocka_unit_test(a_wrong_task_file_is_refused_by_name),
        cmocka_unit_test(rows_have_their_group_behind_the_fields),
        cmocka_unit_test(groups_are_found_when_rows_are_read),
        cmocka_unit_test(an_answer_that_is_no_label_is_refused),
        cmocka_unit_test(shots_come_one_a_label_in_order_of_frequency),
        cmocka_unit_test(trials_draw_differently_and_again_alike),
        cmocka_unit_test(free_answers_draw_any_rows),
        cmocka_unit_test(answers_are_those_of_the_classifier),
        cmocka_unit_test(a_resumed_run_has_the_same_answers),
        cmocka_unit_test(a_stopped_run_keeps_what_it_has),
        cmocka_unit_test(a_question_that_fails_is_named_and_those_before_it_are_kept),
        cmocka_unit_test(results_are_those_computed_by_hand),
        cmocka_unit_test(words_are_matched_with_labels),
        cmocka_unit_test(the_page_shows_what_is_in_the_results_and_runs_nothing),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
