// SPDX-License-Identifier: Apache-2.0
/* Prefix has the first colour everywhere, causal the second. */
#include "eval/task_page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "html/chart.h"
#include "html/page.h"
#include "html/plots.h"

static const char *const masks[HTML_BARS] = {"prefix", "causal"};

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static const json_t *under(const json_t *o, int mask)
{
    return json_object_get(json_object_get(o, "masks"), masks[mask]);
}

static void heading(struct buf *out, const char *level, const char *title)
{
    buf_printf(out, "<%s>", level);
    html_escape(out, title);
    buf_printf(out, "</%s>\n", level);
}

/* ---- Bars ---- */

static struct html_bar bar_of(const json_t *o)
{
    const json_t *interval = json_object_get(o, "interval");
    return (struct html_bar){.value = number(o, "accuracy"),
                             .low = json_number_value(json_array_get(interval, 0)),
                             .high = json_number_value(json_array_get(interval, 1)),
                             .shown = o != NULL};
}

/* Those masks that the results have. */
static void name_masks(const char **names, const json_t *task)
{
    for (int m = 0; m < HTML_BARS; m++)
        names[m] = under(task, m) ? masks[m] : NULL;
}

/* A row each of the tasks, and one for their mean. */
static enum status draw_tasks(struct buf *out, const json_t *results)
{
    const json_t *tasks = json_object_get(results, "tasks"), *mean = json_object_get(results, "mean");
    const size_t n = json_array_size(tasks);
    const char *names[HTML_BARS];
    struct html_bars *rows = calloc(n + 1, sizeof *rows);
    if (!rows) return fail(E_NOMEM, "page: out of memory");
    for (size_t i = 0; i <= n; i++) {
        const json_t *o = i < n ? json_array_get(tasks, i) : mean;
        rows[i].label = i < n ? text(o, "name") : "mean of all";
        rows[i].mark = i < n ? number(o, "majority") : NAN;
        for (int m = 0; m < HTML_BARS; m++)
            rows[i].bars[m] = bar_of(under(o, m));
    }
    name_masks(names, json_array_get(tasks, 0));
    heading(out, "h2", "Accuracy");
    html_bars(out, rows, mean ? n + 1 : n, names, "always the most frequent answer");
    free(rows);
    return OK;
}

static const json_t *groups_of(const json_t *task, int mask)
{
    return json_object_get(under(task, mask), "groups");
}

static enum status draw_groups(struct buf *out, const json_t *task)
{
    const json_t *some = groups_of(task, 0) ? groups_of(task, 0) : groups_of(task, 1);
    const size_t n = json_array_size(some);
    if (!n) return OK;
    const char *names[HTML_BARS];
    struct html_bars *rows = calloc(n, sizeof *rows);
    if (!rows) return fail(E_NOMEM, "page: out of memory");
    for (size_t i = 0; i < n; i++) {
        rows[i].label = text(json_array_get(some, i), "name");
        rows[i].mark = NAN;
        for (int m = 0; m < HTML_BARS; m++)
            rows[i].bars[m] = bar_of(json_array_get(groups_of(task, m), i));
    }
    name_masks(names, task);
    heading(out, "h3", "Accuracy by group");
    html_bars(out, rows, n, names, NULL);
    free(rows);
    return OK;
}

/* ---- Numbers ---- */

static void number_cell(struct buf *out, const json_t *value)
{
    buf_puts(out, "<td>");
    if (json_is_number(value))
        html_number(out, json_number_value(value));
    else
        buf_puts(out, "&ndash;");
    buf_puts(out, "</td>");
}

static void number_row(struct buf *out, const json_t *task, const char *key, const char *label)
{
    bool any = false;
    for (int m = 0; m < HTML_BARS; m++)
        any |= json_object_get(under(task, m), key) != NULL;
    if (!any) return;
    buf_printf(out, "<tr><th>%s</th>", label);
    for (int m = 0; m < HTML_BARS; m++)
        if (under(task, m)) number_cell(out, json_object_get(under(task, m), key));
    buf_puts(out, "</tr>\n");
}

static void draw_difference(struct buf *out, const json_t *d)
{
    if (!d) return;
    const struct html_bar b = bar_of(d);
    buf_printf(
        out,
        "<p>prefix &minus; causal: %+.1f points <small>95 %% interval %+.1f &ndash; %+.1f, paired sign-flip test "
        "p = ",
        100 * b.value, 100 * b.low, 100 * b.high);
    html_number(out, number(d, "p"));
    buf_puts(out, "</small></p>\n");
}

static void draw_numbers(struct buf *out, const json_t *task)
{
    static const char *const rows[][2] = {
        {"accuracy", "accuracy"},
        {"macro_f1", "macro-F1"},
        {"exact_match", "exact match"},
        {"quasi_exact_match", "quasi-exact match"},
        {"ece", "expected calibration error"},
        {"prompt_tokens", "tokens of a prompt, mean"},
        {"fewer_shots", "prompts without room for all shots"},
        {"cut", "texts that were cut"},
    };
    buf_puts(out, "<div class=\"wide\"><table class=\"numbers\">\n<tr class=\"runs\"><th></th>");
    for (int m = 0; m < HTML_BARS; m++)
        if (under(task, m)) buf_printf(out, "<th>%s</th>", masks[m]);
    buf_puts(out, "</tr>\n");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        number_row(out, task, rows[i][0], rows[i][1]);
    buf_puts(out, "</table></div>\n");
    draw_difference(out, json_object_get(task, "difference"));
}

/* ---- Figures ---- */

static enum status draw_confusion(struct buf *out, const json_t *task, int mask)
{
    const json_t *counts = json_object_get(under(task, mask), "confusion"), *labels = json_object_get(task, "labels");
    const size_t n = json_array_size(counts);
    if (!n) return OK;
    const char **names = calloc(n + 1, sizeof *names);
    uint64_t *cells = calloc(n * (n + 1), sizeof *cells), no_label = 0;
    const enum status s = names && cells ? OK : fail(E_NOMEM, "page: out of memory");
    if (s == OK) {
        for (size_t i = 0; i < n; i++) {
            names[i] = json_string_value(json_array_get(labels, i));
            for (size_t k = 0; k <= n; k++)
                cells[i * (n + 1) + k] = (uint64_t)json_integer_value(json_array_get(json_array_get(counts, i), k));
            no_label += cells[i * (n + 1) + n];
        }
        names[n] = "none of them";
        struct buf title = {0};
        buf_printf(&title, "Right label (rows) and answer, %s", masks[mask]);
        for (size_t i = 1; !no_label && i < n; i++) /* the last column goes */
            memmove(cells + i * n, cells + i * (n + 1), n * sizeof *cells);
        html_matrix(out, title.len ? title.data : "", names, n, names, no_label ? n + 1 : n, cells);
        out->failed |= title.failed;
        buf_free(&title);
    }
    free(names);
    free(cells);
    return s;
}

enum { MAX_BINS = 100 };

static void draw_reliability(struct buf *out, const json_t *task)
{
    double x[HTML_BARS][MAX_BINS], y[HTML_BARS][MAX_BINS], weight[HTML_BARS][MAX_BINS];
    struct html_square_curve curves[HTML_BARS];
    size_t n = 0;
    for (int m = 0; m < HTML_BARS; m++) {
        const json_t *bins = json_object_get(under(task, m), "reliability"), *bin;
        size_t i;
        if (!bins) continue;
        json_array_foreach (bins, i, bin) {
            if (i == MAX_BINS) break;
            x[n][i] = number(bin, "probability");
            y[n][i] = number(bin, "accuracy");
            weight[n][i] = number(bin, "n");
        }
        curves[n] = (struct html_square_curve){masks[m], x[n], y[n], weight[n], i, m};
        n++;
    }
    if (n)
        html_square(out, "Reliability", "probability that the model gave its answer", "share of right answers", curves,
                    n);
}

/* ---- Wrong answers ---- */

static void answer_cell(struct buf *out, const json_t *answer)
{
    buf_puts(out, json_is_true(json_object_get(answer, "correct")) ? "<td>" : "<td class=\"wrong\">");
    html_escape(out, text(answer, "answer"));
    buf_puts(out, "</td>");
}

static void draw_wrong(struct buf *out, const json_t *task)
{
    const json_t *list = json_object_get(task, "wrong"), *wrong;
    size_t i;
    if (!json_array_size(list)) return;
    buf_printf(out, "<details><summary>Wrong answers of the first trial <small>%zu of %.0f</small></summary>\n",
               json_array_size(list), number(task, "n_wrong"));
    buf_puts(out, "<div class=\"wide\"><table><tr class=\"runs\"><th>row</th><th>text</th><th>right</th>");
    for (int m = 0; m < HTML_BARS; m++)
        if (under(task, m)) buf_printf(out, "<th>%s</th>", masks[m]);
    buf_puts(out, "</tr>\n");
    json_array_foreach (list, i, wrong) {
        buf_printf(out, "<tr><td>%.0f</td><td class=\"says\">", number(wrong, "instance") + 1);
        html_escape(out, text(wrong, "text"));
        buf_puts(out, "</td><td>");
        html_escape(out, text(wrong, "gold"));
        buf_puts(out, "</td>");
        for (int m = 0; m < HTML_BARS; m++)
            if (under(task, m)) answer_cell(out, json_object_get(wrong, masks[m]));
        buf_puts(out, "</tr>\n");
    }
    buf_puts(out, "</table></div></details>\n");
}

/* ---- The page ---- */

/* Members of an object that are no results. */
static void draw_settings(struct buf *out, const json_t *settings)
{
    const char *key;
    json_t *value;
    buf_puts(out, "<div class=\"wide\"><table>\n");
    json_object_foreach ((json_t *)(uintptr_t)settings, key, value) {
        if (!strcmp(key, "tasks") || !strcmp(key, "mean")) continue;
        buf_puts(out, "<tr><th>");
        html_escape(out, key);
        buf_puts(out, "</th><td class=\"says\">");
        html_json(out, value);
        buf_puts(out, "</td></tr>\n");
    }
    buf_puts(out, "</table></div>\n");
}

static enum status draw_task(struct buf *out, const json_t *task)
{
    heading(out, "h2", text(task, "name"));
    buf_printf(out, "<p>instances: %.0f, trials: %.0f, shots: %.0f</p>\n", number(task, "instances"),
               number(task, "trials"), number(task, "shots"));
    draw_numbers(out, task);
    TRY(draw_groups(out, task));
    buf_puts(out, "<div class=\"charts\">\n");
    for (int m = 0; m < HTML_BARS; m++)
        TRY(draw_confusion(out, task, m));
    draw_reliability(out, task);
    buf_puts(out, "</div>\n");
    draw_wrong(out, task);
    buf_puts(out, "<details><summary>Settings</summary>\n");
    draw_settings(out, json_object_get(task, "settings"));
    buf_puts(out, "</details>\n");
    return OK;
}

enum status task_page(struct buf *out, const json_t *results)
{
    const json_t *tasks = json_object_get(results, "tasks"), *task;
    struct buf title = {0};
    size_t i;
    buf_printf(&title, "Evaluation of %s", text(results, "model"));
    html_page_begin(out, title.len ? title.data : "");
    out->failed |= title.failed;
    buf_free(&title);
    TRY(draw_tasks(out, results));
    draw_difference(out, json_object_get(json_object_get(results, "mean"), "difference"));
    json_array_foreach (tasks, i, task) {
        TRY(draw_task(out, task));
    }
    heading(out, "h2", "Run");
    draw_settings(out, results);
    html_page_end(out, "");
    return buf_status(out);
}
