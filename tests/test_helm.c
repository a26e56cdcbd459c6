// SPDX-License-Identifier: Apache-2.0
/* HELM's runs: reading, matching, statistics, prompts. The runs in tests/data/helm and their statistics come from
 * tools/ref/make_helm_data.py, which computes them on its own; with GPTJT_HELM_DIR in the environment whole runs of
 * HELM are checked, too. The model is a stand-in whose tokens are bytes. */
#include "scratch_directory.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"
#include "eval/fewshot.h"
#include "eval/helm_compare.h"
#include "eval/helm_json.h"
#include "eval/helm_run.h"
#include "eval/helm_write.h"
#include "fake_gptjt.h"

static const char excerpt[] = "tests/data/helm/twitter_complaints", cases[] = "tests/data/helm/cases";
static const struct helm_filter all;

/* ---- Texts ---- */

static struct helm_text text_of(const char *s)
{
    return (struct helm_text){s, strlen(s)};
}

static void texts_are_normalised_as_python_does_it(void **state)
{
    (void)state;
    static const struct {
        const char *text, *normal;
    } table[] = {
        {"", ""},
        {"The  quick, brown\tFOX!\n", "quick brown fox"},
        {"a an the", ""},
        {"a.n the-ory", "theory"}, /* punctuation goes first: "an theory" */
        {"the_re", "there"},
        {"A\u00a0b\u2003c\u3000d", "b c d"},
        {"\u00c9T\u00c9 \u0394", "\u00e9t\u00e9 \u03b4"},
        {"an\u2019 x", "\u2019 x"},                   /* that quote is no ASCII punctuation, and ends a word */
        {"\u00e9an the\u00e9", "\u00e9an the\u00e9"}, /* not of their own */
        {"it's 3.50 $", "its 350"},
        {"\U0001f600a\U0001f600", "\U0001f600 \U0001f600"},
        {"\x1c\x1f x \x85", "x \x85"},
    };
    locale_t locale;
    assert_int_equal(helm_text_locale(&locale), OK);
    for (size_t i = 0; i + 1 < COUNT_OF(table); i++) {
        struct buf out = {0};
        helm_normalize(&out, text_of(table[i].text), locale);
        assert_string_equal(out.data ? out.data : "", table[i].normal);
        buf_free(&out);
    }
    freelocale(locale);
}

static void an_answer_is_right_in_four_ways(void **state)
{
    (void)state;
    static const struct {
        const char *gold, *prediction;
        bool right[HELM_N_MATCHES]; /* exact, quasi, prefix, quasi-prefix */
    } table[] = {
        {"yes", " yes\n", {true, true, true, true}},
        {"yes", " Yes.", {false, true, false, true}},
        {"yes", "yes, it is", {false, false, true, true}},
        {"yes", "YES it is", {false, false, false, true}},
        {"yes", "no", {false, false, false, false}},
        {"yes", "", {false, false, false, false}},
        {"", " \u2003", {false, false, false, false}},
        {"the", "x", {false, false, false, true}}, /* what begins with nothing */
        {"\u00a0yes", "yes\u2029", {true, true, true, true}},
    };
    locale_t locale;
    assert_int_equal(helm_text_locale(&locale), OK);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        bool right[HELM_N_MATCHES];
        assert_int_equal(helm_match(right, text_of(table[i].gold), text_of(table[i].prediction), locale), OK);
        assert_memory_equal(right, table[i].right, sizeof right);
    }
    freelocale(locale);
}

static void what_only_python_calls_json_is_made_json(void **state)
{
    (void)state;
    static const struct {
        const char *text, *strict;
    } table[] = {
        {"[NaN, Infinity,-Infinity,-1]", "[null, null,null,-1]"},
        {"{\"NaN\": \"-Infinity \\\" NaN\"}", "{\"NaN\": \"-Infinity \\\" NaN\"}"},
        {"\"\\ud83d\\ude00\"", "\"\\ud83d\\ude00\""},
        {"\"\\uD83Dx\\uDE00\"", "\"\\ufffdx\\ufffd\""},
        {"\"\\ud83d\\ud83d\\ude00\"", "\"\\ufffd\\ud83d\\ude00\""},
        {"\"\\\\ud83d\\u00e9\"", "\"\\\\ud83d\\u00e9\""},
        {"\"\\ud8", "\"\\ud8"},
        {"\"\\", "\"\\"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct buf out = {0};
        helm_json_strict(&out, table[i].text, strlen(table[i].text));
        assert_string_equal(out.data, table[i].strict);
        buf_free(&out);
    }
}

/* ---- Reading ---- */

static enum status read_text(struct helm_run **run, const char *text)
{
    return helm_run_read_text(run, text, strlen(text), "dir/run/scenario_state.json", all);
}

static void an_error_names_file_and_request(void **state)
{
    (void)state;
    static const char good[] = "{\"instance\": {\"id\": \"a\"}, \"request\": {\"prompt\": \"x\"}}";
    static const struct {
        const char *adapter, *request, *message;
        enum status status;
    } table[] = {
        {"3", good, "dir/run/scenario_state.json: has no \"adapter_spec\"", E_FORMAT},
        {"{\"method\": \"language_modeling\"}", good, "made by the method \"language_modeling\"", E_UNSUPPORTED},
        {"{\"num_outputs\": 0}", good, "\"num_outputs\" is 0", E_FORMAT},
        {"{}", "[]", "run/scenario_state.json: request 1: is not an object", E_FORMAT},
        {"{}", "{}", "request 1: has no \"instance\"", E_FORMAT},
        {"{}", "{\"instance\": {}}", "request 1: has no \"request\"", E_FORMAT},
        {"{}", "{\"instance\": {}, \"request\": {\"prompt\": 1}}", "request 1: \"prompt\" is not a string", E_FORMAT},
        {"{}", "{\"instance\": {}, \"request\": {\"prompt\": \"\", \"max_tokens\": -1}}", "\"max_tokens\" is -1",
         E_FORMAT},
        {"{}", "{\"instance\": {}, \"request\": {\"prompt\": \"\", \"top_p\": 2}}", "\"top_p\" is 2", E_FORMAT},
        {"{}", "{\"instance\": {}, \"request\": {\"prompt\": \"\", \"stop_sequences\": [\"\"]}}", "stop sequence 0",
         E_FORMAT},
        {"{}", "{\"instance\": {\"references\": [{}]}, \"request\": {\"prompt\": \"\"}}", "reference 0 lacks",
         E_FORMAT},
        {"{}", "{\"instance\": {\"perturbation\": 1}, \"request\": {\"prompt\": \"\"}}", "\"perturbation\"", E_FORMAT},
        {"{}", "{\"instance\": {}, \"train_trial_index\": 1e9, \"request\": {\"prompt\": \"\"}}", "train_trial_index",
         E_FORMAT},
        {"{}", "{\"instance\": {}, \"reference_index\": 0, \"request\": {\"prompt\": \"\"}}", "scores a given answer",
         E_UNSUPPORTED},
        {"{}", "{\"instance\": {}, \"request\": {\"prompt\": \"\"}, \"result\": 1}", "\"completions\"", E_FORMAT},
        {"{}", "{\"instance\": {}, \"request\": {\"prompt\": \"\"}, \"result\": {\"completions\": [{\"text\": \"\"}]}}",
         "\"tokens\"", E_FORMAT},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char text[1024];
        struct helm_run *run;
        snprintf(text, sizeof text, "{\"adapter_spec\": %s, \"request_states\": [%s, %s]}", table[i].adapter, good,
                 table[i].request);
        assert_int_equal(read_text(&run, text), table[i].status);
        if (!strstr(status_message(), table[i].message)) fail_msg("%s", status_message());
    }
}

static void requests_can_be_chosen(void **state)
{
    (void)state;
    static const struct {
        struct helm_filter filter;
        int n_requests, n_instances;
    } table[] = {{{0}, 18, 2}, {{.n_instances = 1}, 9, 1}, {{.original = true}, 6, 2}, {{1, true}, 3, 1}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct helm_run *run;
        assert_int_equal(helm_run_open(&run, excerpt, table[i].filter), OK);
        assert_string_equal(run->name, "twitter_complaints");
        assert_int_equal(run->n_requests, table[i].n_requests);
        assert_int_equal(run->n_instances, table[i].n_instances);
        assert_int_equal(run->n_trials, 3);
        helm_run_close(run);
    }
}

static void a_directory_is_a_run_or_has_runs_in_it(void **state)
{
    (void)state;
    char **list;
    int n;
    assert_int_equal(helm_find_runs(&list, &n, cases), OK);
    assert_int_equal(n, 1);
    helm_free_list(list, n);
    assert_int_equal(helm_find_runs(&list, &n, "tests/data/helm"), OK);
    assert_int_equal(n, 2);
    assert_string_equal(list[0], "tests/data/helm/cases");
    helm_free_list(list, n);
    assert_int_equal(helm_find_runs(&list, &n, "tests/data/tokenizer"), E_IO);
    assert_non_null(strstr(status_message(), "no scenario_state.json in it"));
}

/* ---- Statistics ---- */

static struct helm_answer *recorded_answers(const struct helm_run *run)
{
    struct helm_answer *answers = calloc((size_t)run->n_requests, sizeof *answers);
    for (int i = 0; i < run->n_requests; i++)
        answers[i] = (struct helm_answer){.result = run->requests[i].result, .prompt_tokens = -1};
    return answers;
}

/* Every row of dir's stats.json that we compute; at least some metrics must be there. */
static void check_statistics(const char *dir, int least)
{
    struct helm_run *run;
    struct helm_stats *stats;
    struct helm_agreement a;
    json_t *rows, *theirs, *different = json_array();
    char path[HELM_PATH_MAX];
    assert_int_equal(helm_run_open(&run, dir, all), OK);
    struct helm_answer *answers = recorded_answers(run);
    assert_int_equal(helm_stats_compute(&stats, run, answers), OK);
    assert_int_equal(helm_stats_json(&rows, stats), OK);
    assert_int_equal(file_join(path, sizeof path, dir, "stats.json"), OK);
    assert_int_equal(helm_json_read_file(&theirs, path), OK);
    assert_int_equal(helm_stats_compare(&a, different, rows, theirs), OK);
    if (a.n_equal != a.n_computed) fail_msg("%s: %d of %d rows", path, a.n_equal, a.n_computed);
    assert_true(a.n_computed >= least);
    json_decref(theirs);
    json_decref(rows);
    json_decref(different);
    helm_stats_free(stats);
    free(answers);
    helm_run_close(run);
}

static void statistics_are_those_of_helm(void **state)
{
    (void)state;
    check_statistics(excerpt, 205);
    check_statistics(cases, 300);
    const char *more = getenv("GPTJT_HELM_DIR");
    char **list = NULL;
    int n = 0;
    if (more) assert_int_equal(helm_find_runs(&list, &n, more), OK);
    for (int i = 0; i < n; i++)
        check_statistics(list[i], 205);
    helm_free_list(list, n);
}

/* The comparison is what the test above rests on. */
static void rows_that_differ_are_found(void **state)
{
    (void)state;
    static const char ours[] =
        "[{\"name\": {\"name\": \"m\", \"split\": \"test\"}, \"count\": 3, \"sum\": 1.5, \"min\": "
        "0.5, \"max\": 0.5, \"mean\": 0.5}]";
    static const struct {
        const char *theirs;
        struct helm_agreement a;
    } table[] = {
        {"[{\"name\": {\"split\": \"test\", \"name\": \"m\"}, \"count\": 3, \"sum\": 1.5, \"min\": 0.5, \"max\": 0.5, "
         "\"mean\": 0.5000000005}]",
         {1, 1, 1}},
        {"[{\"name\": {\"split\": \"test\", \"name\": \"m\"}, \"count\": 3, \"sum\": 1.5, \"min\": 0.5, \"max\": 0.5, "
         "\"mean\": 0.500000002}]",
         {1, 1, 0}},
        {"[{\"name\": {\"split\": \"valid\", \"name\": \"m\"}, \"count\": 3, \"sum\": 1.5, \"min\": 0.5, \"max\": 0.5, "
         "\"mean\": 0.5}, {\"name\": {\"name\": \"other\"}}]",
         {2, 1, 0}},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        json_t *a, *b, *different = json_array();
        struct helm_agreement got;
        assert_int_equal(json_read_text(&a, ours, strlen(ours), "ours"), OK);
        assert_int_equal(json_read_text(&b, table[i].theirs, strlen(table[i].theirs), "theirs"), OK);
        assert_int_equal(helm_stats_compare(&got, different, a, b), OK);
        assert_memory_equal(&got, &table[i].a, sizeof got);
        assert_int_equal(json_array_size(different), got.n_computed - got.n_equal);
        json_decref(a);
        json_decref(b);
        json_decref(different);
    }
}

/* ---- Prompts from raw rows ---- */

/* A row of the task's csv file: what HELM made "Field: text" of. */
struct raw {
    char *field, *text, *label;
};

/* From text, which is cut up: "Field: text", and with label "\nLabel: label\n" behind it. */
static struct raw take_raw(char *text, bool labelled)
{
    struct raw raw = {.field = text};
    raw.text = strstr(text, ": ");
    assert_non_null(raw.text);
    *raw.text = 0;
    raw.text += 2;
    if (!labelled) return raw;
    char *end = strstr(raw.text, "\nLabel: ");
    assert_non_null(end);
    *end = 0;
    raw.label = end + strlen("\nLabel: ");
    raw.label[strcspn(raw.label, "\n")] = 0;
    return raw;
}

/* The labels of "Possible labels:\n1. a\n2. b\n" at the end of the instructions, which is cut off. */
static int take_labels(char *instructions, const char **labels, int most)
{
    char *list = strstr(instructions, "Possible labels:\n");
    assert_non_null(list);
    *list = 0;
    list += strlen("Possible labels:\n");
    int n = 0;
    for (char *line; (line = strsep(&list, "\n")) && *line;) {
        assert_true(n < most);
        labels[n++] = strstr(line, ". ") + 2;
    }
    return n;
}

/* Builds the prompt of q from rows that are taken out of the run, as fewshot.h does for anybody's. */
static void check_prompt(const struct helm_run *run, const struct helm_request *q)
{
    struct helm_blocks b;
    assert_true(helm_blocks(&b, run, q));
    assert_int_equal(b.n_shots, 5);
    char *prompt = strdup(q->prompt.data), *instructions = strdup(helm_text_of(run->adapter, "instructions").data);
    char *query = strdup(helm_text_of(json_object_get(q->state, "instance"), "input").data), *parts[5];
    const char *labels[100], *values[5];
    struct fewshot_shot shots[5];
    for (int i = 0; i < 5; i++) {
        parts[i] = strndup(prompt + b.shots[i] + 1, b.shots[i + 1] - b.shots[i] - 1); /* without the empty line */
        const struct raw raw = take_raw(parts[i], true);
        values[i] = raw.text;
        shots[i] = (struct fewshot_shot){.values = &values[i], .label = raw.label};
    }
    const struct raw row = take_raw(query, false);
    const char *name = row.field, *value = row.text;
    const struct fewshot_spec spec = {.labels = labels,
                                      .n_labels = take_labels(instructions, labels, COUNT_OF(labels)),
                                      .instruction = instructions,
                                      .list_labels = true,
                                      .label_name = "Label",
                                      .names = &name,
                                      .n_fields = 1,
                                      .shots = shots,
                                      .n_shots = 5};
    struct buf out = {0};
    assert_int_equal(fewshot_build(&out, &spec, 5, &value), OK);
    assert_string_equal(out.data, q->prompt.data);
    buf_free(&out);
    for (int i = 0; i < 5; i++)
        free(parts[i]);
    free(query);
    free(instructions);
    free(prompt);
    free(b.shots);
}

static void check_prompts(const char *dir, int least)
{
    struct helm_run *run;
    assert_int_equal(helm_run_open(&run, dir, (struct helm_filter){.original = true}), OK);
    for (int i = 0; i < run->n_requests; i++)
        check_prompt(run, &run->requests[i]);
    assert_true(run->n_requests >= least);
    helm_run_close(run);
}

static void prompts_from_raw_rows_are_those_of_helm(void **state)
{
    (void)state;
    check_prompts(excerpt, 6);
    const char *more = getenv("GPTJT_HELM_DIR");
    char **list = NULL;
    int n = 0;
    if (more) assert_int_equal(helm_find_runs(&list, &n, more), OK);
    for (int i = 0; i < n; i++)
        check_prompts(list[i], 120);
    helm_free_list(list, n);
}

/* ---- Prompts that must be cut ---- */

struct fit_setting {
    struct helm_run *run;
    struct gptjt_engine *engine;
    const struct gptjt_tokenizer *tokenizer;
    struct helm_prompt prompt;
};

static void set_up_fit(struct fit_setting *t, const char *input, const char *prompt)
{
    static const char form[] =
        "{\"adapter_spec\": {\"instructions\": \"Do.\\n\", \"input_prefix\": \"\", \"input_suffix\": \"\\n\", "
        "\"output_prefix\": \"L: \", \"output_suffix\": \"\\n\", \"instance_prefix\": \"\\n\"}, \"request_states\": "
        "[{\"instance\": {\"id\": \"a\", \"input\": \"%s\"}, \"request\": {\"prompt\": \"%s\"}}]}";
    char text[2048];
    snprintf(text, sizeof text, form, input, prompt);
    *t = (struct fit_setting){.engine = fake_engine(1000)};
    t->tokenizer = gptjt_engine_tokenizer(t->engine);
    if (read_text(&t->run, text) != OK) fail_msg("%s", status_message());
}

static void tear_down_fit(struct fit_setting *t)
{
    helm_prompt_free(&t->prompt);
    helm_run_close(t->run);
    fake_engine_free(t->engine);
}

static void check_fit(struct fit_setting *t, size_t max_tokens, enum helm_cut cut, int n_shots, const char *text)
{
    assert_int_equal(helm_fit(&t->prompt, t->run, &t->run->requests[0], t->tokenizer, max_tokens), OK);
    assert_string_equal(t->prompt.text.data, text);
    assert_int_equal(t->prompt.n_ids, strlen(text)); /* a token is a byte */
    assert_int_equal(t->prompt.cut, cut);
    assert_int_equal(t->prompt.n_shots, n_shots);
    for (size_t i = 0; i < t->prompt.n_ids; i++)
        assert_int_equal(t->prompt.ids[i], (unsigned char)text[i]);
}

static void shots_go_first_then_the_end_of_the_text(void **state)
{
    (void)state;
    struct fit_setting t;
    set_up_fit(&t, "T: qu\u00e9ry", "Do.\\n\\nT: a\\n\\nb\\nL: x\\n\\nT: c\\nL: y\\n\\nT: qu\u00e9ry\\nL:");
    const char *whole = "Do.\n\nT: a\n\nb\nL: x\n\nT: c\nL: y\n\nT: qu\u00e9ry\nL:";
    check_fit(&t, strlen(whole), HELM_CUT_NOTHING, -1, whole);
    check_fit(&t, strlen(whole) - 1, HELM_CUT_SHOTS, 1, "Do.\n\nT: a\n\nb\nL: x\n\nT: qu\u00e9ry\nL:");
    check_fit(&t, 27, HELM_CUT_SHOTS, 0, "Do.\n\nT: qu\u00e9ry\nL:");
    check_fit(&t, 15, HELM_CUT_TEXT, 0, "Do.\n\nT: qu\u00e9\nL:");
    tear_down_fit(&t);
}

static void a_text_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    struct fit_setting t;
    set_up_fit(&t, "T: qu\u00e9ry", "Do.\\n\\nT: qu\u00e9ry\\nL:");
    check_fit(&t, 14, HELM_CUT_TEXT, 0, "Do.\n\nT: qu\nL:"); /* half of the letter would fit */
    tear_down_fit(&t);
}

static void other_prompts_lose_their_beginning(void **state)
{
    (void)state;
    struct fit_setting t;
    set_up_fit(&t, "T: query", "Something else. T: query\\nL:");
    check_fit(&t, 9, HELM_CUT_LEFT, -1, " query\nL:");
    tear_down_fit(&t);
}

/* ---- Estimates and comparison ---- */

static void an_estimate_is_what_was_measured_times_what_is_left(void **state)
{
    (void)state;
    const struct helm_pace p = {
        .n_requests = 4, .n_prompt_tokens = 400, .n_new_tokens = 20, .prompt_s = 8, .new_s = 2, .score_s = 4};
    const struct helm_estimate e = helm_pace_estimate(&p, 100, 10000, 3000);
    assert_true(fabs(e.likely_s - (300 + 50)) < 1e-9);
    assert_true(fabs(e.longest_s - (300 + 300)) < 1e-9);
    const struct helm_pace none = {0};
    assert_true(isnan(helm_pace_estimate(&none, 1, 1, 1).likely_s));
}

/* A result whose completion is made of tokens, each with log-probability -1. */
static json_t *result_of(const char *text, const char *const *tokens, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{ss sf}", "text", tokens[i], "logprob", -1.0));
    return json_pack("{s[{ss so}]}", "completions", "text", text, "tokens", list);
}

static void a_comparison_counts_tokens_up_to_the_stop(void **state)
{
    (void)state;
    static const char
        form[] = "{\"adapter_spec\": {}, \"request_states\": [%s, %s, %s]}",
        request[] = "{\"instance\": {}, \"request\": {\"prompt\": \"x\", \"stop_sequences\": [\"\\n\"]}, \"result\": "
                    "{\"completions\": [{\"text\": \" a b\", \"tokens\": [{\"text\": \"\u0120a\", \"logprob\": -0.5}, "
                    "{\"text\": \"\u0120b\", \"logprob\": -0.5}, {\"text\": \"\u010a\", \"logprob\": -2}, "
                    "{\"text\": \"c\", \"logprob\": -4}]}]}}";
    static const char *const same[] = {"\u0120a", "\u0120b", "\u010a"}, *const other[] = {"\u0120a", "\u010a"};
    char text[4096];
    struct helm_run *run;
    struct helm_comparison c;
    snprintf(text, sizeof text, form, request, request, request);
    assert_int_equal(read_text(&run, text), OK);
    json_t *answers[] = {result_of(" a b", same, 3), result_of(" a", other, 2), result_of(" a b", same, 3)};
    json_t *recorded[] = {json_pack("[ffff]", -1.5, -0.75, -2.0, -4.5), NULL, NULL};
    const struct helm_answer all_answers[] = {
        {.result = answers[0]}, {.result = answers[1]}, {.result = answers[2], .state = run->requests[2].state}};
    assert_int_equal(helm_compare(&c, run, all_answers, recorded), OK);
    assert_int_equal(c.n_requests, 2); /* the third was put with another prompt */
    assert_int_equal(c.n_cut, 1);
    assert_int_equal(c.n_same_text, 1);
    assert_int_equal(c.n_same_tokens, 1);
    assert_int_equal(c.n_tokens, 6); /* what follows the stop is not counted */
    assert_int_equal(c.n_agreeing, 4);
    assert_int_equal(c.first_difference[1], 1);
    assert_int_equal(c.n_unscored, 1);
    assert_int_equal(c.n_logprobs, 4);
    assert_true(fabs(c.mean - -0.4375) < 1e-12 && fabs(c.mean_absolute - 0.4375) < 1e-12);
    assert_true(fabs(c.median_absolute - 0.375) < 1e-12 && fabs(c.max_absolute - 1) < 1e-12);
    assert_int_equal(c.max_request, 0);
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        json_decref(answers[i]);
    json_decref(recorded[0]);
    helm_run_close(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_normalised_as_python_does_it),
        cmocka_unit_test(an_answer_is_right_in_four_ways),
        cmocka_unit_test(what_only_python_calls_json_is_made_json),
        cmocka_unit_test(an_error_names_file_and_request),
        cmocka_unit_test(requests_can_be_chosen),
        cmocka_unit_test(a_directory_is_a_run_or_has_runs_in_it),
        cmocka_unit_test(statistics_are_those_of_helm),
        cmocka_unit_test(rows_that_differ_are_found),
        cmocka_unit_test(prompts_from_raw_rows_are_those_of_helm),
        cmocka_unit_test(shots_go_first_then_the_end_of_the_text),
        cmocka_unit_test(a_text_is_cut_at_a_whole_character),
        cmocka_unit_test(other_prompts_lose_their_beginning),
        cmocka_unit_test(a_comparison_counts_tokens_up_to_the_stop),
        cmocka_unit_test(an_estimate_is_what_was_measured_times_what_is_left),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
