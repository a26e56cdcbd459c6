// SPDX-License-Identifier: Apache-2.0
#include "html/plots.h"

#include <inttypes.h>
#include <math.h>

#include "html/chart.h"

static void put_key(struct buf *out, int colour, const char *name)
{
    buf_printf(out, "<span><svg class=\"key\" viewBox=\"0 0 22 8\"><path class=\"line c%d\" d=\"M1 4h20\"/></svg>",
               colour);
    html_escape(out, name);
    buf_puts(out, "</span> ");
}

/* ---- Bars ---- */

enum { BAR_WIDTH = 300, BAR_HEIGHT = 14 };

static void draw_bar(struct buf *out, const struct html_bar *b, int colour, int row)
{
    const double middle = row * BAR_HEIGHT + BAR_HEIGHT / 2.0;
    buf_printf(out, "<rect class=\"bar c%d\" x=\"0\" y=\"%.1f\" width=\"%.1f\" height=\"8\"/>", colour, middle - 4,
               b->value * BAR_WIDTH);
    buf_printf(out, "<path class=\"whisker\" d=\"M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6\"/>", b->low * BAR_WIDTH,
               middle, b->high * BAR_WIDTH, b->low * BAR_WIDTH, middle - 3, b->high * BAR_WIDTH, middle - 3);
}

static void draw_row(struct buf *out, const struct html_bars *r)
{
    int n = 0;
    for (int i = 0; i < HTML_BARS; i++)
        n += r->bars[i].shown;
    buf_puts(out, "<tr><th>");
    html_escape(out, r->label);
    buf_printf(out, "</th><td class=\"plot\"><svg class=\"bars\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">",
               BAR_WIDTH, n * BAR_HEIGHT, BAR_WIDTH, n * BAR_HEIGHT);
    for (int i = 0; i <= 4; i++)
        buf_printf(out, "<path class=\"grid\" d=\"M%.1f 0V%d\"/>", i * BAR_WIDTH / 4.0, n * BAR_HEIGHT);
    for (int i = 0, row = 0; i < HTML_BARS; i++)
        if (r->bars[i].shown) draw_bar(out, &r->bars[i], i, row++);
    if (!isnan(r->mark))
        buf_printf(out, "<path class=\"mark\" d=\"M%.1f 0V%d\"/>", r->mark * BAR_WIDTH, n * BAR_HEIGHT);
    buf_puts(out, "</svg></td><td>");
    for (int i = 0; i < HTML_BARS; i++) {
        const struct html_bar *b = &r->bars[i];
        if (b->shown)
            buf_printf(out, "<div>%.1f %% <small>%.1f &ndash; %.1f</small></div>", 100 * b->value, 100 * b->low,
                       100 * b->high);
    }
    buf_puts(out, "</td></tr>\n");
}

void html_bars(struct buf *out, const struct html_bars *rows, size_t n, const char *const *names, const char *mark_name)
{
    buf_puts(out, "<div class=\"wide\"><table class=\"numbers\">\n");
    for (size_t i = 0; i < n; i++)
        draw_row(out, &rows[i]);
    buf_puts(out, "</table></div>\n<p class=\"legend\">");
    for (int i = 0; i < HTML_BARS; i++)
        if (names[i]) put_key(out, i, names[i]);
    if (mark_name) {
        buf_puts(out, "<span><svg class=\"key\" viewBox=\"0 0 22 8\"><path class=\"mark\" d=\"M11 0v8\"/></svg>");
        html_escape(out, mark_name);
        buf_puts(out, "</span>");
    }
    buf_puts(out, "</p>\n");
}

/* ---- A shaded table ---- */

static void matrix_row(struct buf *out, const char *name, const uint64_t *counts, size_t n, size_t own)
{
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += counts[i];
    buf_puts(out, "<tr><th>");
    html_escape(out, name);
    buf_puts(out, "</th>");
    for (size_t i = 0; i < n; i++) {
        const double share = all ? 80 * (double)counts[i] / (double)all : 0; /* 80 %: the number stays legible */
        buf_printf(out, "<td%s style=\"--v:%.1f%%\">%" PRIu64 "</td>", i == own ? " class=\"own\"" : "", share,
                   counts[i]);
    }
    buf_puts(out, "</tr>\n");
}

void html_matrix(struct buf *out, const char *title, const char *const *rows, size_t n, const char *const *columns,
                 size_t n_columns, const uint64_t *counts)
{
    buf_puts(out, "<figure><h3>");
    html_escape(out, title);
    buf_puts(out, "</h3>\n<div class=\"wide\"><table class=\"heat\"><tr><th></th>");
    for (size_t i = 0; i < n_columns; i++) {
        buf_puts(out, "<th>");
        html_escape(out, columns[i]);
        buf_puts(out, "</th>");
    }
    buf_puts(out, "</tr>\n");
    for (size_t i = 0; i < n; i++)
        matrix_row(out, rows[i], counts + i * n_columns, n_columns, i);
    buf_puts(out, "</table></div></figure>\n");
}

/* ---- The unit square ---- */

enum { SQUARE = 240, SQUARE_LEFT = 54, SQUARE_TOP = 8 };

static double across(double x)
{
    return SQUARE_LEFT + x * SQUARE;
}

static double down(double y)
{
    return SQUARE_TOP + (1 - y) * SQUARE;
}

static void square_axes(struct buf *out, const char *x_name, const char *y_name)
{
    for (int i = 0; i <= 4; i++) {
        const double at = i / 4.0;
        buf_printf(
            out,
            "<path class=\"grid\" d=\"M%.1f %.1fH%.1fM%.1f %.1fV%.1f\"/><text class=\"y\" x=\"%d\" y=\"%.1f\">%g</text>"
            "<text class=\"x\" x=\"%.1f\" y=\"%.1f\">%g</text>",
            across(0), down(at), across(1), across(at), down(0), down(1), SQUARE_LEFT - 6, down(at) + 4, at, across(at),
            down(0) + 15, at);
    }
    buf_printf(out, "<path class=\"tick d1\" d=\"M%.1f %.1fL%.1f %.1f\"/><text class=\"x\" x=\"%.1f\" y=\"%.1f\">",
               across(0), down(0), across(1), down(1), across(0.5), down(0) + 31);
    html_escape(out, x_name);
    buf_printf(out, "</text><text class=\"x\" transform=\"translate(12 %.1f) rotate(-90)\">", down(0.5));
    html_escape(out, y_name);
    buf_puts(out, "</text>");
}

static void square_curve(struct buf *out, const struct html_square_curve *c)
{
    double most = 0;
    for (size_t i = 0; i < c->n; i++)
        most = fmax(most, c->weight[i]);
    buf_printf(out, "<polyline class=\"line c%d\" points=\"", c->colour % HTML_COLOURS);
    for (size_t i = 0; i < c->n; i++)
        buf_printf(out, "%.1f,%.1f ", across(c->x[i]), down(c->y[i]));
    buf_puts(out, "\"/>");
    for (size_t i = 0; i < c->n; i++)
        buf_printf(out, "<circle class=\"dot c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>%g</title></circle>",
                   c->colour % HTML_COLOURS, across(c->x[i]), down(c->y[i]), 2 + 4 * sqrt(c->weight[i] / most),
                   c->weight[i]);
}

void html_square(struct buf *out, const char *title, const char *x_name, const char *y_name,
                 const struct html_square_curve *curves, size_t n)
{
    buf_puts(out, "<figure class=\"square\"><h3>");
    html_escape(out, title);
    buf_printf(out, "</h3>\n<svg role=\"img\" viewBox=\"0 0 %d %d\" aria-label=\"", SQUARE_LEFT + SQUARE + 10,
               SQUARE_TOP + SQUARE + 38);
    html_escape(out, title);
    buf_puts(out, "\">");
    square_axes(out, x_name, y_name);
    for (size_t i = 0; i < n; i++)
        if (curves[i].n) square_curve(out, &curves[i]);
    buf_puts(out, "</svg><figcaption>");
    for (size_t i = 0; i < n; i++)
        put_key(out, curves[i].colour, curves[i].label);
    buf_puts(out, "</figcaption></figure>\n");
}
