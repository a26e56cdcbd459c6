// SPDX-License-Identifier: Apache-2.0
/* Curves as inline SVG. A curve of many points is drawn as the mean of each of some hundred stretches, in a band from
 * their least to their largest. */
#ifndef GPTJT_HTML_CHART_H
#define GPTJT_HTML_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { HTML_COLOURS = 8, HTML_DASHES = 4 };

struct html_curve {
    const char *label;   /* borrowed */
    const double *x, *y; /* borrowed, [n], x ascending */
    size_t n;
    int colour, dash; /* any number: taken modulo how many there are */
    bool dots;        /* few points, each of which counts */
};

struct html_curves {
    const char *title, *unit; /* unit "" for none */
    double first, last;       /* steps from and to which it goes */
    bool logarithmic;         /* to base 2; points that are not above 0 are left out */
    const struct html_curve *lines;
    int n_lines;
    const double *marks; /* [n_marks]: steps at which something happened, or NULL */
    size_t n_marks;
    const char *mark_label;
};

/* Appends a <figure>; nothing if there is not a single point. */
void html_curves(struct buf *out, const struct html_curves *c);

/* Appends text as HTML shows it. */
void html_escape(struct buf *out, const char *text);

/* A number of four digits where it is small: "0.123", "2.5e-4", "32,768". */
void html_number(struct buf *out, double x);

#endif
