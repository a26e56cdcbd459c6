// SPDX-License-Identifier: Apache-2.0
/* Few-shot prompts, label scoring arithmetic, and classifying files, on a stand-in for the engine. */
#include "scratch_directory.h"
#include "test.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/file.h"
#include "base/json.h"
#include "eval/classify_file.h"
#include "eval/shots.h"
#include "fake_gptjt.h"

/* cmocka's fail_msg() needs its fail(), which test.h hides behind ours. */
#define give_up(...)                                                                                                   \
    do {                                                                                                               \
        print_error(__VA_ARGS__);                                                                                      \
        assert_true(false);                                                                                            \
    } while (0)

static const char *const yes_no[] = {"yes", "no"};
static const char *const text_name[] = {"Text"};

static struct fewshot_spec plain_spec(void)
{
    return (struct fewshot_spec){.instruction = "Is it?",
                                 .labels = yes_no,
                                 .n_labels = 2,
                                 .label_name = "Label",
                                 .names = text_name,
                                 .n_fields = 1};
}

/* ---- Prompts ---- */

static void check_helm_fixture(const char *path)
{
    json_t *f;
    assert_int_equal(json_read_file(&f, path, 1 << 20), OK);
    const json_t *labels = json_object_get(f, "labels"), *shots = json_object_get(f, "shots");
    const char *label_texts[16], *shot_texts[16], *name = json_string_value(json_object_get(f, "text_name"));
    struct fewshot_shot shot_items[16];
    for (size_t i = 0; i < json_array_size(labels); i++)
        label_texts[i] = json_string_value(json_array_get(labels, i));
    for (size_t i = 0; i < json_array_size(shots); i++) {
        const json_t *shot = json_array_get(shots, i);
        shot_texts[i] = json_string_value(json_object_get(shot, "text"));
        shot_items[i] = (struct fewshot_shot){.values = &shot_texts[i],
                                              .label = json_string_value(json_object_get(shot, "label"))};
    }
    const struct fewshot_spec spec = {.instruction = json_string_value(json_object_get(f, "instruction")),
                                      .labels = label_texts,
                                      .n_labels = (int)json_array_size(labels),
                                      .list_labels = true,
                                      .label_name = "Label",
                                      .names = &name,
                                      .n_fields = 1,
                                      .shots = shot_items,
                                      .n_shots = (int)json_array_size(shots)};
    const char *query = json_string_value(json_object_get(f, "query"));
    struct buf out = {0};
    assert_int_equal(fewshot_build(&out, &spec, spec.n_shots, &query), OK);
    assert_string_equal(out.data, json_string_value(json_object_get(f, "prompt")));
    buf_free(&out);
    json_decref(f);
}

static void prompts_are_those_of_helm_byte_for_byte(void **state)
{
    (void)state;
    check_helm_fixture("tests/data/eval/helm_twitter_complaints.json");
    check_helm_fixture("tests/data/eval/helm_ade_corpus_v2.json");
}

static void missing_parts_leave_no_line_behind(void **state)
{
    (void)state;
    static const char *const names[] = {"Title", "Body"}, *const values[] = {"t", "b"}, *const old[] = {"T", "B"};
    static const struct fewshot_shot shot = {.values = old, .label = "no"};
    static const struct {
        const char *instruction;
        bool list;
        int n_shots, n_fields;
        const char *expected;
    } cases[] = {
        {NULL, false, 0, 1, "Title: t\nLabel:"},
        {"", false, 0, 1, "Title: t\nLabel:"},
        {"Do", false, 0, 1, "Do\n\nTitle: t\nLabel:"},
        {"Do\n", false, 0, 1, "Do\n\nTitle: t\nLabel:"},
        {NULL, true, 0, 1, "Possible labels:\n1. yes\n2. no\n\nTitle: t\nLabel:"},
        {NULL, false, 1, 1, "Title: T\nLabel: no\n\nTitle: t\nLabel:"},
        {"Do", true, 1, 2,
         "Do\nPossible labels:\n1. yes\n2. no\n\nTitle: T\nBody: B\nLabel: no\n\nTitle: t\nBody: b\nLabel:"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct fewshot_spec spec = {.instruction = cases[i].instruction,
                                          .labels = yes_no,
                                          .n_labels = 2,
                                          .list_labels = cases[i].list,
                                          .label_name = "Label",
                                          .names = names,
                                          .n_fields = cases[i].n_fields,
                                          .shots = &shot,
                                          .n_shots = 1};
        struct buf out = {0};
        assert_int_equal(fewshot_build(&out, &spec, cases[i].n_shots, values), OK);
        assert_string_equal(out.data, cases[i].expected);
        buf_free(&out);
    }
}

static void the_last_shots_go_first_when_the_window_is_small(void **state)
{
    (void)state;
    static const char *const texts[] = {"one", "two", "three"};
    const struct fewshot_shot shots[] = {{.values = &texts[0], .label = "yes"},
                                         {.values = &texts[1], .label = "no"},
                                         {.values = &texts[2], .label = "no"}};
    struct fewshot_spec spec = plain_spec();
    spec.shots = shots;
    spec.n_shots = 3;
    const char *query = "q";
    for (int keep = 0; keep <= 3; keep++) {
        struct buf expected = {0};
        struct fewshot_prompt p = {0};
        assert_int_equal(fewshot_build(&expected, &spec, keep, &query), OK);
        for (size_t room = expected.len; room < expected.len + 2; room++) {
            assert_int_equal(fewshot_fit(&p, &spec, NULL, &query, room), OK);
            assert_string_equal(p.text.data, expected.data);
            assert_int_equal(p.n_shots, keep);
            assert_int_equal(p.n_dropped, 0);
            assert_int_equal(p.n_ids, expected.len);
        }
        fewshot_free(&p);
        buf_free(&expected);
    }
}

static void a_long_query_loses_its_end_at_a_whole_character(void **state)
{
    (void)state;
    const struct fewshot_spec spec = plain_spec();
    static const struct {
        const char *query;
        size_t room;
        const char *expected; /* NULL: E_LIMIT */
        size_t dropped;
    } cases[] = {
        {"abcdef", 27, "Is it?\n\nText: abcdef\nLabel:", 0},
        {"abcdef", 26, "Is it?\n\nText: abcde\nLabel:", 1},
        {"abcd\xc3\xa9", 26, "Is it?\n\nText: abcd\nLabel:", 2},
        {"\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 28, "Is it?\n\nText: \xf0\x9f\x98\x80\nLabel:", 4},
        {"abcdef", 20, "Is it?\n\nText:\nLabel:", 7},
        {"abcdef", 19, NULL, 0},
        {"abcdef", 1, NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fewshot_prompt p = {0};
        const enum status s = fewshot_fit(&p, &spec, NULL, &cases[i].query, cases[i].room);
        if (cases[i].expected) {
            assert_int_equal(s, OK);
            assert_string_equal(p.text.data, cases[i].expected);
            assert_int_equal(p.n_dropped, cases[i].dropped);
        } else {
            assert_int_equal(s, E_LIMIT);
        }
        fewshot_free(&p);
    }
}

/* ---- Arithmetic ---- */

static void probabilities_follow_the_formulas(void **state)
{
    (void)state;
    const double S[] = {-2, -6, -3}, prior[] = {-1, -6, -3};
    const size_t k[] = {1, 3, 2};
    double s[3], p[3];
    int best;
    classify_scores(s, S, k, 3, CLASSIFY_NORMALIZE_NONE);
    assert_int_equal(classify_softmax(p, s, NULL, 3, &best), OK);
    const double sum = exp(-2) + exp(-6) + exp(-3);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(p[i] - exp(S[i]) / sum) < 1e-15);
    assert_int_equal(best, 0);

    classify_scores(s, S, k, 3, CLASSIFY_NORMALIZE_LENGTH); /* -2, -2, -1.5 */
    assert_int_equal(classify_softmax(p, s, NULL, 3, &best), OK);
    assert_int_equal(best, 2);
    assert_true(fabs(p[0] - p[1]) < 1e-15 && fabs(p[2] / p[0] - exp(0.5)) < 1e-14);

    /* p(l|x) / p(l|x0), renormalised: e^-1, 1, 1 */
    assert_int_equal(classify_softmax(p, S, prior, 3, &best), OK);
    assert_int_equal(best, 1); /* the first of equals */
    assert_true(fabs(p[0] - exp(-1) / (2 + exp(-1))) < 1e-15 && fabs(p[1] - p[2]) < 1e-15);
}

static void very_unlikely_labels_do_not_underflow_to_nothing(void **state)
{
    (void)state;
    const double S[] = {-2000, -2001};
    double p[2];
    int best;
    assert_int_equal(classify_softmax(p, S, NULL, 2, &best), OK);
    assert_true(fabs(p[0] - 1 / (1 + exp(-1))) < 1e-15 && fabs(p[0] + p[1] - 1) < 1e-15);
    const double bad[][2] = {{NAN, -1}, {-1, NAN}, {-INFINITY, -1}, {-1, INFINITY}};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(classify_softmax(p, bad[i], NULL, 2, &best), E_NUMERIC);
}

static void bad_labels_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *labels[3];
        int n;
        const char *error;
    } cases[] = {
        {{"a"}, 1, "1 given"},
        {{NULL}, 0, "0 given"},
        {{"a", ""}, 2, "empty"},
        {{"a", "b", "a"}, 3, "twice"},
        {{"a", "b\nc"}, 2, "line break"},
        {{"a", " b"}, 2, "white space"},
        {{"a", "b\t"}, 2, "white space"},
        {{"a", "b\xff"}, 2, "not UTF-8"},
        {{"a", "A", "a b"}, 3, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const enum status s = classify_check_labels(cases[i].labels, cases[i].n);
        assert_int_equal(s, cases[i].error ? E_ARG : OK);
        if (cases[i].error) assert_non_null(strstr(status_message(), cases[i].error));
    }
}

/* ---- The classifier ---- */

static void every_label_is_scored_with_its_terminator(void **state)
{
    (void)state;
    struct gptjt_engine *e = fake_engine(256);
    const struct fewshot_spec spec = plain_spec();
    const struct classify_options options = {0};
    struct classify *c;
    struct classify_result r;
    const char *query = "x";
    assert_int_equal(classify_create(&c, e, &spec, &options), OK);
    assert_int_equal(e->n_scored, 0);
    assert_int_equal(classify_run(c, &query, &r), OK);
    assert_string_equal(e->last_continuation, " yes\n no\n");
    assert_int_equal(e->n_scored, 1);
    assert_int_equal(r.prompt_tokens, strlen("Is it?\n\nText: x\nLabel:"));
    assert_true(fabs(r.probabilities[0] + r.probabilities[1] - 1) < 1e-15);
    assert_true(r.log_likelihoods[r.best] >= r.log_likelihoods[!r.best]);
    classify_free(c);
    fake_engine_free(e);
}

static void calibration_takes_the_content_free_answer_away_once(void **state)
{
    (void)state;
    struct gptjt_engine *e = fake_engine(256);
    const struct fewshot_spec spec = plain_spec();
    struct classify_options options = {0};
    struct classify *plain, *calibrated;
    struct classify_result r;
    const char *query = "x", *nothing = "N/A";
    double prior[2], total[2];
    assert_int_equal(classify_create(&plain, e, &spec, &options), OK);
    assert_int_equal(classify_run(plain, &nothing, &r), OK);
    memcpy(prior, r.log_likelihoods, sizeof prior);
    options.calibrate = true;
    e->n_scored = 0;
    assert_int_equal(classify_create(&calibrated, e, &spec, &options), OK);
    assert_int_equal(e->n_scored, 1);
    assert_int_equal(classify_run(calibrated, &query, &r), OK);
    assert_int_equal(classify_run(calibrated, &query, &r), OK);
    assert_int_equal(e->n_scored, 3);
    memcpy(total, r.log_likelihoods, sizeof total);
    const double a = exp(total[0] - prior[0]), b = exp(total[1] - prior[1]);
    assert_true(fabs(r.probabilities[0] - a / (a + b)) < 1e-12);
    assert_int_equal(classify_run(calibrated, &nothing, &r), OK);
    assert_true(fabs(r.probabilities[0] - 0.5) < 1e-15);
    classify_free(plain);
    classify_free(calibrated);
    fake_engine_free(e);
}

static void prompts_leave_room_for_the_longest_label(void **state)
{
    (void)state;
    struct gptjt_engine *e = fake_engine(40);
    const struct fewshot_spec spec = plain_spec();
    const struct classify_options options = {0};
    struct classify *c;
    struct classify_result r;
    const char *query = "a text of more characters than there is room for";
    assert_int_equal(classify_create(&c, e, &spec, &options), OK);
    assert_int_equal(classify_run(c, &query, &r), OK);
    assert_int_equal(r.prompt_tokens, 40 - strlen(" yes\n"));
    assert_int_equal(r.n_dropped, strlen("Is it?\n\nText: \nLabel:") + strlen(query) - r.prompt_tokens);
    classify_free(c);
    e->n_positions = 5;
    assert_int_equal(classify_create(&c, e, &spec, &options), E_LIMIT);
    fake_engine_free(e);
}

static void failures_of_the_engine_are_passed_on(void **state)
{
    (void)state;
    struct gptjt_engine *e = fake_engine(256);
    const struct fewshot_spec spec = plain_spec();
    struct classify_options options = {.calibrate = true};
    struct classify *c;
    struct classify_result r;
    const char *query = "x";
    e->fail_at = 1;
    assert_int_equal(classify_create(&c, e, &spec, &options), E_NUMERIC);
    assert_string_equal(status_message(), gptjt_error());
    e->failing = 0;
    assert_int_equal(classify_create(&c, e, &spec, &options), OK);
    e->poison = NAN;
    assert_int_equal(classify_run(c, &query, &r), E_NUMERIC);
    classify_free(c);
    e->has_tokenizer = false;
    assert_int_equal(classify_create(&c, e, &spec, &options), E_UNSUPPORTED);
    fake_engine_free(e);
}

/* ---- Files ---- */

static const char *in_directory(char out[static 256], const char *name)
{
    snprintf(out, 256, "%s/%s", directory, name);
    return out;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void shots_give_labels_in_order_of_appearance(void **state)
{
    (void)state;
    static const struct shots_query query = {.label_name = "Label"};
    char path[256];
    struct shots s;
    in_directory(path, "shots.csv");
    write_text(path, "id,text,label\n1,a,no\n2,\"b\nc\",yes\n3,d,no\n");
    assert_int_equal(shots_load(&s, path, &query, NULL, 0), OK);
    assert_int_equal(s.n, 3);
    assert_string_equal(s.items[1].values[0], "b\nc");
    assert_string_equal(s.items[1].label, "yes");
    assert_int_equal(s.n_labels, 2);
    assert_string_equal(s.labels[0], "no");
    assert_string_equal(s.labels[1], "yes");
    shots_free(&s);
    const char *const other[] = {"no", "maybe"};
    assert_int_equal(shots_load(&s, path, &query, other, 2), E_FORMAT);
    assert_non_null(strstr(status_message(), "line 3: label \"yes\" is not one of"));
    write_text(path, "text,id\nx,1\n");
    assert_int_equal(shots_load(&s, path, &query, NULL, 0), E_FORMAT);
    assert_non_null(strstr(status_message(), "no field \"Label\""));
    write_text(path, "text,label\n");
    assert_int_equal(shots_load(&s, path, &query, NULL, 0), E_FORMAT);
    const char *const fields[] = {"id", "text"};
    const struct shots_query two = {.fields = fields, .n_fields = 2, .label_field = "answer", .label_name = "Label"};
    write_text(path, "text,id,answer\nx,1,yes\n");
    assert_int_equal(shots_load(&s, path, &two, NULL, 0), OK);
    assert_string_equal(s.items[0].values[0], "1");
    assert_string_equal(s.items[0].values[1], "x");
    shots_free(&s);
    unlink(path);
}

static void gold_columns_are_found_only_where_they_hold_labels(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted, *gold, *error;
    } cases[] = {
        {"text,label\na,yes\nb,no\n", NULL, "label", NULL},
        {"text,LABEL\na,yes\n", NULL, "LABEL", NULL},
        {"text,label\na,yes\nb,\n", NULL, NULL, NULL},
        {"text,label\na,yes\nb,perhaps\n", NULL, NULL, NULL},
        {"text,label\na,yes\nb,\n", "label", "label", NULL},
        {"text,label\na,yes\nb,perhaps\n", "label", NULL, "line 3: \"perhaps\" in field \"label\""},
        {"text,answer\na,yes\n", "answer", "answer", NULL},
        {"text,answer\na,yes\n", "label", NULL, "no field \"label\""},
        {"text\nyes\n", "text", NULL, "cannot be part of the text"},
        {"label\nyes\n", NULL, NULL, NULL},
        {"text\n", NULL, NULL, "no rows"},
        {"text,b\nx,y\nz\n", NULL, NULL, "line 3"},
    };
    char path[256];
    in_directory(path, "in.csv");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        write_text(path, cases[i].text);
        const struct classify_input in = {.path = path,
                                          .format = ROWS_CSV,
                                          .gold = cases[i].wanted,
                                          .label_name = "Label",
                                          .labels = yes_no,
                                          .n_labels = 2};
        struct classify_survey s;
        const enum status e = classify_survey(&s, &in);
        if (cases[i].error) {
            assert_int_not_equal(e, OK);
            assert_non_null(strstr(status_message(), cases[i].error));
            continue;
        }
        if (e != OK) give_up("case %zu: %s", i, status_message());
        if (cases[i].gold) {
            assert_non_null(s.gold);
            assert_string_equal(s.gold, cases[i].gold);
        } else {
            assert_null(s.gold);
        }
        classify_survey_free(&s);
    }
    unlink(path);
}

static bool stop_after(void *user, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    return done < *(const uint64_t *)user;
}

struct setting {
    struct gptjt_engine *engine;
    struct classify *classify;
    struct fewshot_spec spec;
    struct classify_input input;
    struct classify_survey survey;
    char in[256], out[256];
};

static void set_up(struct setting *t, const char *in, const char *out, const char *text)
{
    const struct classify_options options = {0};
    *t = (struct setting){.engine = fake_engine(512), .spec = plain_spec()};
    in_directory(t->in, in);
    in_directory(t->out, out);
    write_text(t->in, text);
    t->input = (struct classify_input){.path = t->in, .label_name = "Label", .labels = yes_no, .n_labels = 2};
    assert_int_equal(rows_format_of(&t->input.format, in), OK);
    assert_int_equal(classify_survey(&t->survey, &t->input), OK);
    assert_int_equal(classify_create(&t->classify, t->engine, &t->spec, &options), OK);
}

static void tear_down(struct setting *t)
{
    classify_free(t->classify);
    classify_survey_free(&t->survey);
    fake_engine_free(t->engine);
    unlink(t->in);
    unlink(t->out);
}

static enum status run_until(struct setting *t, uint64_t n_rows, struct classify_report *report)
{
    struct classify_job job = {.input = &t->input,
                               .survey = &t->survey,
                               .out_path = t->out,
                               .settings = "these",
                               .progress = stop_after,
                               .user = &n_rows};
    assert_int_equal(rows_format_of(&job.out_format, t->out), OK);
    return classify_file(t->classify, &job, report);
}

static void read_whole(struct buf *out, const char *path)
{
    buf_clear(out);
    assert_int_equal(file_read(out, path, 1 << 20), OK);
}

static const char csv_input[] = "id,text,label\n1,\"two\nlines, \"\"quoted\"\"\",yes\n2,,no\n3,x,yes\n4,\"y\n\",no\n";
static const char jsonl_input[] = "{\"text\": \"two\\nlines\", \"label\": \"yes\", \"n\": 0.10}\n"
                                  "{\"text\": \"\", \"label\": \"no\", \"n\": null}\n"
                                  "{\"text\": \"x\", \"label\": \"yes\", \"n\": [1]}\n"
                                  "{\"text\": \"y\\n\", \"label\": \"no\", \"n\": {}}\n";

/* Runs once without a break; then stops after every number of rows, cuts the part file at every third byte (an fsync
 * each), and goes on. */
static void check_resume(const char *in, const char *out, const char *text)
{
    struct setting t;
    struct classify_report whole, report;
    struct buf expected = {0}, part = {0}, got = {0};
    set_up(&t, in, out, text);
    assert_int_equal(run_until(&t, UINT64_MAX, &whole), OK);
    assert_int_equal(whole.n_rows, 4);
    assert_int_equal(whole.n_gold, 4);
    assert_false(file_exists(whole.part));
    read_whole(&expected, t.out);
    unlink(t.out);

    assert_int_equal(run_until(&t, 4, &report), E_CANCELLED);
    assert_false(file_exists(t.out));
    read_whole(&part, report.part);
    for (size_t keep = 0; keep <= part.len; keep += 3) {
        FILE *f = fopen(report.part, "wb");
        fwrite(part.data, 1, keep, f);
        fclose(f);
        t.engine->n_scored = 0;
        struct classify_report resumed;
        if (run_until(&t, UINT64_MAX, &resumed) != OK) give_up("cut at %zu: %s", keep, status_message());
        assert_int_equal(resumed.n_resumed + (uint64_t)t.engine->n_scored, 4);
        assert_int_equal(resumed.n_correct, whole.n_correct);
        assert_int_equal(resumed.n_gold, 4);
        read_whole(&got, t.out);
        assert_string_equal(got.data, expected.data);
        assert_false(file_exists(report.part));
        unlink(t.out);
    }
    buf_free(&expected);
    buf_free(&part);
    buf_free(&got);
    tear_down(&t);
}

static void a_resumed_run_gives_the_same_bytes(void **state)
{
    (void)state;
    check_resume("in.csv", "out.csv", csv_input);
    check_resume("in.csv", "out.jsonl", csv_input);
    check_resume("in.jsonl", "out.jsonl", jsonl_input);
    check_resume("in.jsonl", "out.csv", jsonl_input);
}

static void other_settings_do_not_touch_a_part_file(void **state)
{
    (void)state;
    struct setting t;
    struct classify_report a, b;
    set_up(&t, "in.csv", "out.csv", csv_input);
    assert_int_equal(run_until(&t, 2, &a), E_CANCELLED);
    assert_int_equal(a.n_rows, 2);
    t.survey.modified_ns++;
    assert_int_equal(run_until(&t, 3, &b), E_CANCELLED);
    assert_int_equal(b.n_resumed, 0);
    assert_string_not_equal(a.part, b.part);
    t.survey.modified_ns--;
    assert_int_equal(run_until(&t, 2, &b), E_CANCELLED);
    assert_int_equal(b.n_resumed, 2);
    assert_string_equal(a.part, b.part);
    unlink(a.part);
    t.survey.modified_ns++;
    assert_int_equal(run_until(&t, 3, &b), E_CANCELLED);
    assert_int_equal(b.n_resumed, 3);
    unlink(b.part);
    tear_down(&t);
}

static void an_engine_failure_names_the_row_and_keeps_the_others(void **state)
{
    (void)state;
    struct setting t;
    struct classify_report r;
    set_up(&t, "in.csv", "out.csv", csv_input);
    t.engine->fail_at = 3;
    assert_int_equal(run_until(&t, UINT64_MAX, &r), E_NUMERIC);
    assert_non_null(strstr(status_message(), "in.csv line 5: the fake engine"));
    assert_int_equal(r.n_rows, 2);
    t.engine->failing = 0;
    assert_int_equal(run_until(&t, UINT64_MAX, &r), OK);
    assert_int_equal(r.n_resumed, 2);
    tear_down(&t);
}

static void rows_with_other_fields_fit_jsonl_but_not_csv(void **state)
{
    (void)state;
    struct setting t;
    struct classify_report r;
    static const char text[] = "{\"text\": \"a\"}\n{\"text\": \"b\", \"label\": 7, \"predicted_label\": 8}\n";
    set_up(&t, "in.jsonl", "out.csv", text);
    assert_int_equal(run_until(&t, UINT64_MAX, &r), E_FORMAT);
    assert_non_null(strstr(status_message(), "line 2: its fields"));
    assert_int_equal(t.engine->n_scored, 0);
    in_directory(t.out, "out.jsonl");
    assert_int_equal(run_until(&t, UINT64_MAX, &r), OK);
    struct buf got = {0};
    read_whole(&got, t.out);
    assert_int_equal(strncmp(got.data, "{\"text\": \"a\", \"predicted_predicted_label\": \"", 44), 0);
    buf_free(&got);
    tear_down(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_are_those_of_helm_byte_for_byte),
        cmocka_unit_test(missing_parts_leave_no_line_behind),
        cmocka_unit_test(the_last_shots_go_first_when_the_window_is_small),
        cmocka_unit_test(a_long_query_loses_its_end_at_a_whole_character),
        cmocka_unit_test(probabilities_follow_the_formulas),
        cmocka_unit_test(very_unlikely_labels_do_not_underflow_to_nothing),
        cmocka_unit_test(bad_labels_are_refused),
        cmocka_unit_test(every_label_is_scored_with_its_terminator),
        cmocka_unit_test(calibration_takes_the_content_free_answer_away_once),
        cmocka_unit_test(prompts_leave_room_for_the_longest_label),
        cmocka_unit_test(failures_of_the_engine_are_passed_on),
        cmocka_unit_test(shots_give_labels_in_order_of_appearance),
        cmocka_unit_test(gold_columns_are_found_only_where_they_hold_labels),
        cmocka_unit_test(a_resumed_run_gives_the_same_bytes),
        cmocka_unit_test(other_settings_do_not_touch_a_part_file),
        cmocka_unit_test(an_engine_failure_names_the_row_and_keeps_the_others),
        cmocka_unit_test(rows_with_other_fields_fit_jsonl_but_not_csv),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
