// SPDX-License-Identifier: Apache-2.0
/* Curves as inline SVG. A curve of many points is drawn as the mean of each of some hundred stretches, in a band from
 * their least to their largest. */
#ifndef GPTJT_TRAIN_REPORT_CHART_H
#define GPTJT_TRAIN_REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { REPORT_COLOURS = 8, REPORT_DASHES = 4 };

struct report_line {
    const char *label;   /* borrowed */
    const double *x, *y; /* borrowed, [n], x ascending */
    size_t n;
    int colour, dash; /* any number: taken modulo how many there are */
    bool dots;        /* few points, each of which counts */
};

struct report_chart {
    const char *title, *unit; /* unit "" for none */
    double first, last;       /* steps from and to which it goes */
    bool logarithmic;         /* to base 2; points that are not above 0 are left out */
    const struct report_line *lines;
    int n_lines;
    const double *marks; /* [n_marks]: steps at which something happened, or NULL */
    size_t n_marks;
    const char *mark_label;
};

/* Appends a <figure>; nothing if there is not a single point. */
void report_chart_draw(struct buf *out, const struct report_chart *c);

/* Appends text as HTML shows it. */
void report_chart_escape(struct buf *out, const char *text);

/* A number of four digits where it is small: "0.123", "2.5e-4", "32,768". */
void report_chart_number(struct buf *out, double x);

#endif
