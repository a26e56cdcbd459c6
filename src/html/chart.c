// SPDX-License-Identifier: Apache-2.0
/* Coordinates are those of the viewBox; the page scales it. Everything is clipped to nothing: axes are chosen so that
 * all points are inside. */
#include "html/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/amount.h"

enum { WIDTH = 480, HEIGHT = 230, LEFT = 50, RIGHT = 458, TOP = 10, BOTTOM = 204, MAX_POINTS = 300, MAX_TICKS = 7 };

struct axis {
    double from, to; /* of what is drawn: logarithms where logarithmic */
    double step;     /* between ticks, which are its multiples */
    bool logarithmic;
};

void html_escape(struct buf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': buf_puts(out, "&amp;"); break;
        case '<': buf_puts(out, "&lt;"); break;
        case '>': buf_puts(out, "&gt;"); break;
        case '"': buf_puts(out, "&quot;"); break;
        case '\'': buf_puts(out, "&#39;"); break;
        default: buf_append(out, text, 1);
        }
    }
}

void html_number(struct buf *out, double x)
{
    char text[64];
    if (fabs(x) < 1e-300) x = 0; /* and no -0 */
    if (fabs(x) >= 1000 && fabs(x) < 1e15) {
        buf_puts(out, amount_count(llround(x)).text);
        return;
    }
    const bool small = fabs(x) > 0 && fabs(x) < 1e-3;
    snprintf(text, sizeof text, small ? "%.3e" : "%.4g", x);
    char *e = strchr(text, 'e');
    if (!e) {
        buf_puts(out, text);
        return;
    }
    size_t n = (size_t)(e - text);
    while (small && n > 1 && (text[n - 1] == '0' || text[n - 1] == '.'))
        n--;
    const char *digits = e + 2 + strspn(e + 2, "0"); /* 2.500e-04 is 2.5e-4, 1e+15 is 1e15 */
    buf_printf(out, "%.*se%s%s", (int)n, text, e[1] == '-' ? "-" : "", digits);
}

/* ---- Axes ---- */

static double height_of(const struct axis *a, double y)
{
    return a->logarithmic ? log2(y) : y;
}

static bool shown(const struct html_curves *c, double y)
{
    return !c->logarithmic || y > 0;
}

/* 1, 2 or 5 times a power of ten, so that no more than MAX_TICKS lie in the range; whole for logarithms. */
static double nice_step(double range, bool whole)
{
    double step = pow(10, floor(log10(range / MAX_TICKS)));
    static const double factors[] = {1, 2, 5, 10};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        const double nice = step * factors[i];
        if (range / nice <= MAX_TICKS && (!whole || nice >= 1)) return nice;
    }
    return whole && step < 1 ? 1 : step * 10;
}

static struct axis axis_for(double from, double to, bool logarithmic, bool whole)
{
    const double least = logarithmic || whole ? 1 : fabs(to) * 0.05;
    if (to - from < least) { /* a flat curve lies in the middle */
        from -= least / 2;
        to += least / 2;
    }
    if (to - from <= 0) to = from + 1;
    struct axis a = {.step = nice_step(to - from, logarithmic || whole), .logarithmic = logarithmic};
    a.from = from;
    a.to = to;
    return a;
}

static bool ranges(struct axis *x, struct axis *y, const struct html_curves *c)
{
    double from = INFINITY, to = -INFINITY;
    const struct axis kind = {.logarithmic = c->logarithmic};
    for (int l = 0; l < c->n_lines; l++) {
        for (size_t i = 0; i < c->lines[l].n; i++) {
            if (!shown(c, c->lines[l].y[i])) continue;
            from = fmin(from, height_of(&kind, c->lines[l].y[i]));
            to = fmax(to, height_of(&kind, c->lines[l].y[i]));
        }
    }
    if (!(from <= to)) return false;
    *x = axis_for(c->first, c->last, false, true);
    *y = axis_for(from, to, c->logarithmic, false);
    const double air = (y->to - y->from) * 0.04;
    y->from -= air;
    y->to += air;
    return true;
}

static double across(const struct axis *x, double v)
{
    return LEFT + (v - x->from) / (x->to - x->from) * (RIGHT - LEFT);
}

static double down(const struct axis *y, double h)
{
    return BOTTOM - (h - y->from) / (y->to - y->from) * (BOTTOM - TOP);
}

static void draw_height(struct buf *out, const struct axis *y, double h)
{
    if (y->logarithmic && fabs(h) >= 10)
        buf_printf(out, "2<tspan class=\"up\" dy=\"-4\">%.0f</tspan>", h);
    else
        html_number(out, y->logarithmic ? exp2(h) : h);
}

static void draw_axes(struct buf *out, const struct axis *x, const struct axis *y)
{
    for (double k = ceil(y->from / y->step); k * y->step <= y->to; k++) {
        const double at = down(y, k * y->step);
        buf_printf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"y\" x=\"%d\" y=\"%.1f\">", LEFT, at,
                   RIGHT, LEFT - 6, at + 4);
        draw_height(out, y, k * y->step);
        buf_puts(out, "</text>");
    }
    for (double k = ceil(x->from / x->step); k * x->step <= x->to; k++) {
        const double at = across(x, k * x->step);
        buf_printf(out, "<path class=\"tick\" d=\"M%.1f %dv4\"/><text class=\"x\" x=\"%.1f\" y=\"%d\">", at, BOTTOM, at,
                   BOTTOM + 17);
        html_number(out, k * x->step);
        buf_puts(out, "</text>");
    }
    buf_printf(out, "<path class=\"axis\" d=\"M%d %dH%d\"/>", LEFT, BOTTOM, RIGHT);
}

/* ---- Curves ---- */

/* A stretch of a curve. */
struct stretch {
    double x, mean, least, most;
};

/* The next stretch of `each` points that are shown, from *at on; false: there are none left. */
static bool next_stretch(struct stretch *s, size_t *at, size_t each, const struct html_curve *l,
                         const struct html_curves *c, const struct axis *y)
{
    double x = 0, sum = 0;
    size_t n = 0;
    *s = (struct stretch){.least = INFINITY, .most = -INFINITY};
    for (; *at < l->n && n < each; ++*at) {
        if (!shown(c, l->y[*at])) continue;
        const double h = height_of(y, l->y[*at]);
        x += l->x[*at];
        sum += h;
        s->least = fmin(s->least, h);
        s->most = fmax(s->most, h);
        n++;
    }
    if (!n) return false;
    s->x = x / (double)n;
    s->mean = sum / (double)n;
    return true;
}

/* Down the most, back along the least. */
static void draw_band(struct buf *out, const struct html_curve *l, size_t each, const struct html_curves *c,
                      const struct axis *x, const struct axis *y)
{
    struct stretch s, all[MAX_POINTS + 1];
    int n = 0;
    for (size_t at = 0; n <= MAX_POINTS && next_stretch(&s, &at, each, l, c, y);)
        all[n++] = s;
    buf_printf(out, "<polygon class=\"band c%d\" points=\"", l->colour % HTML_COLOURS);
    for (int i = 0; i < n; i++)
        buf_printf(out, "%.1f,%.1f ", across(x, all[i].x), down(y, all[i].most));
    for (int i = n - 1; i >= 0; i--)
        buf_printf(out, "%.1f,%.1f ", across(x, all[i].x), down(y, all[i].least));
    buf_puts(out, "\"/>");
}

static void draw_line(struct buf *out, const struct html_curve *l, const struct html_curves *c, const struct axis *x,
                      const struct axis *y)
{
    const size_t each = (l->n + MAX_POINTS - 1) / MAX_POINTS;
    if (each > 1) draw_band(out, l, each, c, x, y);
    struct stretch s;
    buf_printf(out, "<polyline class=\"line c%d d%d\" data-label=\"", l->colour % HTML_COLOURS, l->dash % HTML_DASHES);
    html_escape(out, l->label);
    buf_puts(out, "\" points=\"");
    for (size_t at = 0; next_stretch(&s, &at, each, l, c, y);)
        buf_printf(out, "%.1f,%.1f ", across(x, s.x), down(y, s.mean));
    buf_puts(out, "\"/>");
    for (size_t at = 0; (l->dots || l->n == 1) && each == 1 && next_stretch(&s, &at, each, l, c, y);)
        buf_printf(out, "<circle class=\"dot c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>", l->colour % HTML_COLOURS,
                   across(x, s.x), down(y, s.mean));
}

static void draw_marks(struct buf *out, const struct html_curves *c, const struct axis *x)
{
    double drawn = -1;
    for (size_t i = 0; i < c->n_marks; i++) {
        const double at = across(x, c->marks[i]);
        if (at < LEFT || at > RIGHT || at - drawn < 0.5) continue; /* more would be the same stroke */
        buf_printf(out, "<path class=\"mark\" d=\"M%.1f %dV%d\"/>", at, BOTTOM, BOTTOM - 12);
        drawn = at;
    }
}

static void draw_legend(struct buf *out, const struct html_curves *c)
{
    if (c->n_lines < 2 && !c->n_marks) return;
    buf_puts(out, "<figcaption>");
    for (int i = 0; i < c->n_lines; i++) {
        const struct html_curve *l = &c->lines[i];
        buf_printf(out,
                   "<span><svg class=\"key\" viewBox=\"0 0 22 8\"><path class=\"line c%d d%d\" d=\"M1 4h20\"/></svg>",
                   l->colour % HTML_COLOURS, l->dash % HTML_DASHES);
        html_escape(out, l->label);
        buf_puts(out, "</span> ");
    }
    if (c->n_marks) {
        buf_puts(out, "<span><svg class=\"key\" viewBox=\"0 0 22 8\"><path class=\"mark\" d=\"M11 0v8\"/></svg>");
        html_escape(out, c->mark_label);
        buf_printf(out, " (%zu)</span>", c->n_marks);
    }
    buf_puts(out, "</figcaption>");
}

void html_curves(struct buf *out, const struct html_curves *c)
{
    struct axis x, y;
    if (!ranges(&x, &y, c)) return;
    buf_puts(out, "<figure><h3>");
    html_escape(out, c->title);
    buf_puts(out, *c->unit ? " <small>" : "");
    html_escape(out, c->unit);
    buf_puts(out, *c->unit ? "</small></h3>\n" : "</h3>\n");
    buf_printf(out,
               "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 %d %d\" data-box=\"%d %d %d %d\" "
               "data-range=\"%.9g %.9g %.9g %.9g %d\" aria-label=\"",
               WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, x.from, x.to, y.from, y.to, y.logarithmic);
    html_escape(out, c->title);
    buf_puts(out, "\">");
    draw_axes(out, &x, &y);
    draw_marks(out, c, &x);
    for (int i = 0; i < c->n_lines; i++)
        draw_line(out, &c->lines[i], c, &x, &y);
    buf_puts(out, "</svg>");
    draw_legend(out, c);
    buf_puts(out, "</figure>\n");
}
