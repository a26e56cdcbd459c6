// SPDX-License-Identifier: Apache-2.0
#include "dist/schedule_picture.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "html/chart.h"

/* ---- What both pictures share ---- */

static int digits(int n)
{
    return snprintf(NULL, 0, "%d", n);
}

/* Room a second so that the shortest action has room for `label`, but all together take no more than `most`. */
static double scale_for(const struct schedule *s, const struct schedule_timeline *t, double label, double most)
{
    double shortest_s = INFINITY;
    for (int i = 0; i < s->n_stages; i++) {
        for (int k = 0; k < s->lists[i].n; k++) {
            const struct schedule_span span = t->stages[i].spans[k];
            if (span.end_s > span.start_s) shortest_s = fmin(shortest_s, span.end_s - span.start_s);
        }
    }
    return t->makespan_s > 0 ? fmin(label / shortest_s, most / t->makespan_s) : 0;
}

/* The least of 1, 2 or 5 times a power of ten that is not less than x > 0. */
static double nice_step(double x)
{
    const double power = pow(10, floor(log10(x)));
    static const double factors[] = {1, 2, 5};
    for (int i = 0; i < 3; i++)
        if (factors[i] * power >= x) return factors[i] * power;
    return 10 * power;
}

static void find_passes(bool *used, const struct schedule *s)
{
    for (int i = 0; i < s->n_stages; i++)
        for (int k = 0; k < s->lists[i].n; k++)
            used[s->lists[i].actions[k].pass] = true;
}

static char letter_of(enum schedule_pass pass)
{
    return schedule_action_text((struct schedule_action){pass, 0}).text[0];
}

/* ---- Text ---- */

/* Backgrounds of blue, green, cyan and yellow; 60 more is the lighter one. Light text on blue only. */
static void put_colour(struct buf *out, struct schedule_action a)
{
    static const int backgrounds[PASSES] = {44, 42, 46, 43};
    const bool odd = a.micro_batch % 2;
    buf_printf(out, "\x1b[%d;%dm", backgrounds[a.pass] + (odd ? 60 : 0), a.pass == PASS_FORWARD && !odd ? 97 : 30);
}

static void put_columns(struct buf *out, char c, int n)
{
    for (int i = 0; i < n; i++)
        buf_append(out, &c, 1);
}

static void put_action(struct buf *out, struct schedule_action a, int columns, bool colours)
{
    if (columns < 1) return;
    struct schedule_action_text name = schedule_action_text(a);
    if (strlen(name.text) > (size_t)columns) name.text[1] = '\0';
    if (colours) put_colour(out, a);
    buf_puts(out, name.text);
    put_columns(out, colours ? ' ' : '-', columns - (int)strlen(name.text));
    if (colours) buf_puts(out, "\x1b[0m");
}

/* Of a moment, the column that begins there. */
static int column(double at_s, double scale)
{
    return (int)floor(at_s * scale + 0.5);
}

static void put_stage(struct buf *out, const struct schedule_list *l, const struct schedule_stage_run *run,
                      double scale, int columns, bool colours)
{
    int at = 0;
    for (int i = 0; i < l->n; i++) {
        const int start = column(run->spans[i].start_s, scale), end = column(run->spans[i].end_s, scale);
        put_columns(out, ' ', start - at);
        put_action(out, l->actions[i], end - start, colours);
        at = end;
    }
    put_columns(out, ' ', columns - at);
    buf_printf(out, "| %3.0f %%\n", 100 * run->busy);
}

static void put_axis(struct buf *out, const struct schedule_timeline *t, double scale, int width)
{
    enum { APART = 10 }; /* columns between ticks, at least */
    buf_printf(out, "%-*s ", width, "seconds");
    const double step_s = nice_step(scale > 0 ? APART / scale : 1);
    int at = 0;
    for (int k = 0; k * step_s <= t->makespan_s; k++) {
        char text[32];
        snprintf(text, sizeof text, "%.6g", k * step_s);
        const int start = column(k * step_s, scale);
        put_columns(out, ' ', start - at);
        buf_puts(out, text);
        at = start + (int)strlen(text);
    }
    buf_puts(out, "\n");
}

static void put_legend(struct buf *out, const struct schedule *s, const struct schedule_timeline *t, bool colours)
{
    bool used[PASSES] = {false};
    find_passes(used, s);
    const char *between = "";
    for (int p = 0; p < PASSES; p++) {
        if (!used[p]) continue;
        buf_puts(out, between);
        if (colours) put_colour(out, (struct schedule_action){(enum schedule_pass)p, 0});
        buf_printf(out, "%c%s %s", letter_of((enum schedule_pass)p), colours ? "\x1b[0m" : "",
                   schedule_pass_name((enum schedule_pass)p));
        between = ", ";
    }
    buf_printf(out, "; %.4g seconds, bubble %.1f %%\n", t->makespan_s, 100 * t->bubble);
}

void schedule_text(struct buf *out, const struct schedule *s, const struct schedule_timeline *t, int max_columns,
                   bool colours)
{
    assert(max_columns >= 1);
    const double scale = scale_for(s, t, 1 + digits(s->n_micro_batches - 1), max_columns);
    const int columns = column(t->makespan_s, scale), width = digits(s->n_stages - 1) + (int)strlen("stage  ");
    for (int i = 0; i < s->n_stages; i++) {
        buf_printf(out, "stage %*d |", width - (int)strlen("stage  "), i);
        put_stage(out, &s->lists[i], &t->stages[i], scale, columns, colours);
    }
    put_axis(out, t, scale, width);
    put_legend(out, s, t, colours);
}

/* ---- SVG ---- */

/* In pixels: a row is a stage, LETTER the width of a character, TITLE the height above the rows, LABEL and BUSY the
 * widths of what stands beside them. */
enum { ROW = 24, BOX = 20, LETTER = 7, TITLE = 52, LABEL = 80, BUSY = 60, AXIS = 44, LEAST = 560, MOST = 2000 };

/* Names begin with "schedule" or stand below it: a page may have others. */
static const char style[] =
    ".schedule{font:11px system-ui,sans-serif}.schedule text{fill:#1c1c1e}.schedule .page{fill:#fff}"
    ".schedule .name{fill:#fff;text-anchor:middle;pointer-events:none}.schedule .title{font-size:14px}"
    ".schedule .end{text-anchor:end}.schedule .tick{text-anchor:middle}.schedule .row{fill:#8883}"
    ".schedule path{stroke:#8886}.schedule .F{fill:#0b62c4}.schedule .B{fill:#1a7f46}.schedule .I{fill:#0b7f8a}"
    ".schedule .W{fill:#b8530d}.schedule .odd{fill-opacity:.85}"
    "@media(prefers-color-scheme:dark){.schedule text{fill:#ececee}.schedule .page{fill:#17181b}"
    ".schedule .name{fill:#fff}}";

static void draw_action(struct buf *out, struct schedule_action a, struct schedule_span span, int y, double scale)
{
    const struct schedule_action_text name = schedule_action_text(a);
    const double x = LABEL + span.start_s * scale, width = (span.end_s - span.start_s) * scale;
    const double gap = fmin(0.5, width / 10); /* so that neighbours are told apart */
    buf_printf(out, "<rect class=\"%c%s\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\"><title>%s: ", name.text[0],
               a.micro_batch % 2 ? " odd" : "", x + gap, y, width - 2 * gap, BOX, name.text);
    buf_printf(out, "%.6g to %.6g s</title></rect>\n", span.start_s, span.end_s);
    if (width >= (double)strlen(name.text) * LETTER)
        buf_printf(out, "<text class=\"name\" x=\"%.2f\" y=\"%d\">%s</text>\n", x + width / 2, y + 14, name.text);
}

static void draw_stage(struct buf *out, const struct schedule *s, const struct schedule_timeline *t, int stage,
                       double scale)
{
    const int y = TITLE + stage * ROW;
    const double end = LABEL + t->makespan_s * scale;
    buf_printf(out, "<text class=\"end\" x=\"%d\" y=\"%d\">stage %d</text>", LABEL - 8, y + 14, stage);
    buf_printf(out, "<text x=\"%.2f\" y=\"%d\">%.0f %%</text>", end + 8, y + 14, 100 * t->stages[stage].busy);
    buf_printf(out, "<rect class=\"row\" x=\"%d\" y=\"%d\" width=\"%.2f\" height=\"%d\"/>\n", LABEL, y, end - LABEL,
               BOX);
    for (int i = 0; i < s->lists[stage].n; i++)
        if (t->stages[stage].spans[i].end_s > t->stages[stage].spans[i].start_s)
            draw_action(out, s->lists[stage].actions[i], t->stages[stage].spans[i], y, scale);
}

static void draw_axis(struct buf *out, const struct schedule_timeline *t, double scale, int y)
{
    enum { APART = 80 };
    const double step_s = nice_step(scale > 0 ? APART / scale : 1);
    for (int k = 0; k * step_s <= t->makespan_s; k++) {
        const double x = LABEL + k * step_s * scale;
        buf_printf(out, "<path d=\"M%.2f %dV%d\"/><text class=\"tick\" x=\"%.2f\" y=\"%d\">%.6g%s</text>\n", x, TITLE,
                   y + 4, x, y + 16, k * step_s, k ? "" : " s");
    }
}

static void draw_legend(struct buf *out, const struct schedule *s)
{
    bool used[PASSES] = {false};
    find_passes(used, s);
    int x = LABEL;
    for (int p = 0; p < PASSES; p++) {
        if (!used[p]) continue;
        const char *name = schedule_pass_name((enum schedule_pass)p);
        const char letter = letter_of((enum schedule_pass)p);
        buf_printf(out, "<rect class=\"%c\" x=\"%d\" y=\"30\" width=\"14\" height=\"14\"/>", letter, x);
        buf_printf(out, "<text class=\"name\" x=\"%d\" y=\"41\">%c</text>", x + 7, letter);
        buf_printf(out, "<text x=\"%d\" y=\"41\">%s</text>\n", x + 20, name);
        x += 36 + (int)strlen(name) * LETTER;
    }
}

void schedule_svg(struct buf *out, const struct schedule *s, const struct schedule_timeline *t, const char *title)
{
    const double scale = scale_for(s, t, (2 + digits(s->n_micro_batches - 1)) * LETTER, MOST);
    const double drawn = LABEL + t->makespan_s * scale + BUSY, width = fmax(drawn, LEAST);
    const int bottom = TITLE + s->n_stages * ROW;
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"schedule\" role=\"img\" viewBox=\"0 0 %.0f %d\" "
               "width=\"%.0f\" height=\"%d\">\n<title>",
               width, bottom + AXIS, width, bottom + AXIS);
    html_escape(out, title);
    buf_printf(out, "</title>\n<style>%s</style>\n<rect class=\"page\" width=\"100%%\" height=\"100%%\"/>\n", style);
    buf_printf(out, "<text class=\"title\" x=\"%d\" y=\"20\">", LABEL);
    html_escape(out, title);
    buf_printf(out, ": %.4g s, bubble %.1f %%</text>\n", t->makespan_s, 100 * t->bubble);
    draw_legend(out, s);
    draw_axis(out, t, scale, bottom);
    for (int i = 0; i < s->n_stages; i++)
        draw_stage(out, s, t, i, scale);
    buf_puts(out, "</svg>\n");
}
