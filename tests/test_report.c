// SPDX-License-Identifier: Apache-2.0
/* The report: every number of metrics.jsonl becomes a point once, a page shows what it should and nothing unescaped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch.h"
#include "scratch_directory.h"
#include "test.h"

#include "base/compiler.h"
#include "html/chart.h"
#include "train/report.h"
#include "train/report_metrics.h"

static struct report_metrics parsed(const char *text)
{
    struct report_metrics m = {0};
    if (report_metrics_parse(&m, text, strlen(text), "metrics.jsonl") != OK) fail_msg("%s", status_message());
    return m;
}

/* points: "1:2.5 2:2.25" */
static void assert_curve(const struct report_metrics *m, const char *name, const char *points)
{
    const struct report_curve *c = report_metrics_find(m, name);
    char text[512] = "";
    size_t len = 0;
    if (!c) fail_msg("no curve %s", name);
    for (size_t i = 0; i < c->n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%g:%g", i ? " " : "", c->x[i], c->y[i]);
    assert_string_equal(text, points);
}

static void every_number_is_a_point_of_its_curve(void **state)
{
    (void)state;
    struct report_metrics m = parsed(
        "{\"step\": 1, \"loss\": 2.5, \"loss_by_source\": {\"pile\": 3, \"ni\": 2}, "
        "\"skipped\": false, \"note\": \"x\"}\n\n"
        "{\"step\": 2, \"loss\": null, \"loss_by_source\": {\"ni\": 1}, \"skipped\": true}\n"
        "{\"step\": 2, \"validation_loss\": 2.75}\n"
        "{\"step\": 3, \"loss\": 2.25, \"skipped\": false}");
    assert_curve(&m, "loss", "1:2.5 3:2.25");
    assert_curve(&m, "loss_by_source/pile", "1:3");
    assert_curve(&m, "loss_by_source/ni", "1:2 2:1");
    assert_curve(&m, "validation_loss", "2:2.75");
    assert_curve(&m, "skipped", "2:1");
    assert_null(report_metrics_find(&m, "note"));
    assert_null(report_metrics_find(&m, "step"));
    assert_string_equal(report_metrics_member(report_metrics_find(&m, "loss_by_source/ni"), "loss_by_source"), "ni");
    assert_null(report_metrics_member(report_metrics_find(&m, "loss_by_source/ni"), "loss"));
    report_metrics_free(&m);
}

static void a_resumed_run_replaces_what_it_repeats(void **state)
{
    (void)state;
    struct report_metrics m = parsed("{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"loss\": 2}\n"
                                     "{\"step\": 2, \"validation_loss\": 20}\n{\"step\": 3, \"loss\": 3}\n"
                                     "{\"step\": 3, \"skipped\": true}\n{\"step\": 4, \"loss\": 4}\n"
                                     "{\"step\": 3, \"loss\": 30}\n{\"step\": 4, \"loss\": 40}\n");
    assert_curve(&m, "loss", "1:1 2:2 3:30 4:40");
    assert_curve(&m, "validation_loss", "2:20");
    assert_int_equal(report_metrics_find(&m, "skipped")->n, 0);
    report_metrics_free(&m);
}

static void a_line_cut_by_a_kill_is_ignored(void **state)
{
    (void)state;
    static const char whole[] = "{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"loss\": 2}\n";
    for (size_t len = 24; len <= strlen(whole); len++) {
        struct report_metrics m = {0};
        assert_int_equal(report_metrics_parse(&m, whole, len, "metrics.jsonl"), OK);
        assert_curve(&m, "loss", len >= strlen(whole) - 1 ? "1:1 2:2" : "1:1");
        report_metrics_free(&m);
    }
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"lo\n{\"step\": 3}\n", "metrics.jsonl:2: line 1: "},
        {"[1]\n", "metrics.jsonl:1: is not a JSON object"},
        {"{\"loss\": 1}\n", "metrics.jsonl:1: has no number \"step\""},
        {"{\"step\": \"1\"}\n", "metrics.jsonl:1: has no number \"step\""},
        {"{\"step\": -1}\n", "metrics.jsonl:1: \"step\" is -1"},
        {"", "metrics.jsonl: holds no numbers yet"},
        {"{\"step\": 1}\n", "metrics.jsonl: holds no numbers yet"},
        {"{\"ste", "metrics.jsonl: holds no numbers yet"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct report_metrics m = {0};
        assert_int_equal(report_metrics_parse(&m, cases[i].text, strlen(cases[i].text), "metrics.jsonl"), E_FORMAT);
        if (strncmp(status_message(), cases[i].message, strlen(cases[i].message)))
            fail_msg("%s, not %s", status_message(), cases[i].message);
        report_metrics_free(&m);
    }
}

static void numbers_are_short(void **state)
{
    (void)state;
    static const struct {
        double x;
        const char *text;
    } cases[] = {
        {0, "0"},          {-0.0, "0"},          {1e-5, "1e-5"},     {2.5e-4, "2.5e-4"},      {-3e-10, "-3e-10"},
        {0.001, "0.001"},  {0.5, "0.5"},         {1.23456, "1.235"}, {999.96, "1000"},        {1000, "1,000"},
        {32768, "32,768"}, {-2e6, "-2,000,000"}, {1e20, "1e20"},     {1.2344e-7, "1.234e-7"}, {1e-4, "1e-4"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf b = {0};
        html_number(&b, cases[i].x);
        assert_string_equal(b.data, cases[i].text);
        buf_free(&b);
    }
}

/* The points="x,y ..." of the first polyline. */
static int points_of(double (*points)[2], int most, const char *svg)
{
    const char *at = strstr(svg, "<polyline");
    int n = 0, used;
    assert_non_null(at);
    at = strstr(at, "points=\"") + strlen("points=\"");
    while (n < most && sscanf(at, "%lf,%lf %n", &points[n][0], &points[n][1], &used) == 2) {
        at += used;
        n++;
    }
    return n;
}

static void a_chart_places_points_by_their_values(void **state)
{
    (void)state;
    static const double x[] = {10, 20, 30, 40}, linear[] = {1, 2, 3, 5}, powers[] = {1, 2, 4, 16};
    for (int logarithmic = 0; logarithmic < 2; logarithmic++) {
        const double *y = logarithmic ? powers : linear, h[] = {0, 1, 2, 4};
        const struct html_curve line = {.label = "a", .x = x, .y = y, .n = 4};
        struct buf b = {0};
        double p[8][2];
        html_curves(&b, &(struct html_curves){.title = "t",
                                              .unit = "u",
                                              .first = 0,
                                              .last = 40,
                                              .logarithmic = logarithmic,
                                              .lines = &line,
                                              .n_lines = 1});
        assert_int_equal(points_of(p, 8, b.data), 4);
        for (int i = 1; i < 4; i++) { /* coordinates have one decimal */
            const double across = (p[i][0] - p[0][0]) / (p[3][0] - p[0][0]) - (x[i] - x[0]) / (x[3] - x[0]);
            const double down = (p[i][1] - p[0][1]) / (p[3][1] - p[0][1]) - h[i] / h[3];
            assert_true(across > -0.002 && across < 0.002 && down > -0.002 && down < 0.002);
        }
        assert_true(p[3][1] < p[0][1]); /* up */
        buf_free(&b);
    }
}

static void a_long_curve_keeps_its_extremes_and_mean(void **state)
{
    (void)state;
    enum { N = 20000 };
    double *x = calloc(N, sizeof *x), *y = calloc(N, sizeof *y);
    assert_true(x && y);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = i % 2 ? 1 : 3;
    }
    y[N / 2] = 100;
    const struct html_curve line = {.label = "a", .x = x, .y = y, .n = N};
    struct buf b = {0};
    double p[512][2];
    html_curves(&b,
                &(struct html_curves){.title = "t", .unit = "", .first = 0, .last = N, .lines = &line, .n_lines = 1});
    const int n = points_of(p, 512, b.data);
    assert_true(n > 200 && n <= 300);
    assert_true(b.len < 20000);
    assert_true(p[0][1] - p[1][1] < 0.11 && p[1][1] - p[0][1] < 0.11); /* the mean of 1 and 3, all along */
    double highest = 1e9;
    const char *band = strstr(b.data, "points=\"") + strlen("points=\"");
    for (int used; n && *band != '"'; band += used) {
        double px, py;
        assert_int_equal(sscanf(band, "%lf,%lf %n", &px, &py, &used), 2);
        if (py < highest) highest = py;
    }
    assert_true(highest < 20); /* the one 100 is at the top of the band */
    buf_free(&b);
    free(x);
    free(y);
}

static void what_has_no_points_is_not_drawn(void **state)
{
    (void)state;
    const double x[] = {1}, zero[] = {0};
    const struct html_curve none = {.label = "a"}, not_positive = {.label = "a", .x = x, .y = zero, .n = 1};
    struct buf b = {0};
    html_curves(&b, &(struct html_curves){.title = "t", .unit = "", .last = 1, .lines = &none, .n_lines = 1});
    html_curves(&b,
                &(struct html_curves){
                    .title = "t", .unit = "", .last = 1, .logarithmic = true, .lines = &not_positive, .n_lines = 1});
    assert_int_equal(b.len, 0);
    html_curves(&b, &(struct html_curves){.title = "t", .unit = "", .last = 1, .lines = &not_positive, .n_lines = 1});
    assert_non_null(strstr(b.data, "<circle"));
    buf_free(&b);
}

/* ---- Pages ---- */

static struct buf page_of(const char *metrics, const char *recipe)
{
    struct buf page = {0};
    const char *dirs[] = {directory, directory};
    scratch_put(directory, "metrics.jsonl", metrics);
    if (recipe) scratch_put(directory, "recipe.json", recipe);
    const enum status s = report_html(&page, dirs, 2);
    scratch_drop(directory, "metrics.jsonl");
    scratch_drop(directory, "recipe.json");
    if (s != OK) fail_msg("%s", status_message());
    return page;
}

static void a_page_escapes_what_it_shows(void **state)
{
    (void)state;
    struct buf page = page_of(
        "{\"step\": 1, \"loss\": 1, \"loss_by_source\": {\"<script>&\\\"'\": 2}}\n",
        "{\"model\": \"<img src=x>\", \"<b>\": [\"</table>\"], \"sources\": [{\"name\": \"<i>\"}], "
        "\"steps\": 5}");
    assert_non_null(strstr(page.data, "&lt;script&gt;&amp;&quot;&#39;"));
    assert_non_null(strstr(page.data, "&lt;img src=x&gt;"));
    assert_non_null(strstr(page.data, "&lt;b&gt;"));
    assert_non_null(strstr(page.data, "&lt;/table&gt;"));
    assert_non_null(strstr(page.data, "&lt;i&gt;"));
    assert_null(strstr(page.data, "<img"));
    assert_null(strstr(page.data, "<i>"));
    assert_null(strstr(strstr(page.data, "<script>") + 1, "<script>")); /* our own only */
    assert_null(strstr(page.data, "http"));                             /* nothing from elsewhere */
    buf_free(&page);
}

static void a_line_stands_for_the_steps_since_the_last(void **state)
{
    (void)state;
    struct buf page = page_of("{\"step\": 10, \"tokens\": 5000, \"tokens_per_s\": 250, \"seconds\": 2}\n"
                              "{\"step\": 15, \"tokens\": 7500, \"tokens_per_s\": 50, \"seconds\": 10}\n",
                              NULL);
    assert_non_null(strstr(page.data, "<th>tokens</th><td>7,500</td>"));
    assert_non_null(strstr(page.data, "<th>duration</th><td>0:01:10</td>"));          /* 10 x 2 + 5 x 10 */
    assert_non_null(strstr(page.data, "<th>tokens/s on average</th><td>107.1</td>")); /* 7,500 in 70 s */
    buf_free(&page);
}

static void a_page_needs_a_run(void **state)
{
    (void)state;
    struct buf page = {0};
    const char *dir = directory, *none = "no/such/run";
    assert_int_equal(report_html(&page, &none, 1), E_IO);
    assert_string_equal(status_message(), "no/such/run: is not a run's directory");
    assert_int_equal(report_html(&page, &dir, 1), E_IO);
    assert_non_null(strstr(status_message(), "metrics.jsonl: No such file"));
    scratch_put(directory, "metrics.jsonl", "{\"step\": 1, \"loss\": 1}\n");
    scratch_put(directory, "recipe.json", "[]");
    assert_int_equal(report_html(&page, &dir, 1), E_FORMAT);
    assert_non_null(strstr(status_message(), "recipe.json: is not a JSON object"));
    scratch_drop(directory, "recipe.json");
    assert_int_equal(page.len, 0);
    assert_int_equal(report_html(&page, &dir, 1), OK);
    assert_non_null(strstr(page.data, "has no recipe.json"));
    scratch_drop(directory, "metrics.jsonl");
    buf_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_a_point_of_its_curve),
        cmocka_unit_test(a_resumed_run_replaces_what_it_repeats),
        cmocka_unit_test(a_line_cut_by_a_kill_is_ignored),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(a_chart_places_points_by_their_values),
        cmocka_unit_test(a_long_curve_keeps_its_extremes_and_mean),
        cmocka_unit_test(what_has_no_points_is_not_drawn),
        cmocka_unit_test(a_page_escapes_what_it_shows),
        cmocka_unit_test(a_line_stands_for_the_steps_since_the_last),
        cmocka_unit_test(a_page_needs_a_run),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
