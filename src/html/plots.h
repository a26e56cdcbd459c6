// SPDX-License-Identifier: Apache-2.0
/* Shares between 0 and 1 as pictures: bars with their intervals, a table whose cells are shaded, a square of predicted
 * against true shares. */
#ifndef GPTJT_HTML_PLOTS_H
#define GPTJT_HTML_PLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Bars of one label, one a colour, drawn under each other. */
enum { HTML_BARS = 2 };
struct html_bars {
    const char *label;
    struct html_bar {
        double value, low, high;
        bool shown;
    } bars[HTML_BARS];
    double mark; /* a stroke across, NAN for none */
};

/* Appends a table: label, bars, numbers. names [HTML_BARS] say what the colours are, mark_name what the stroke is; NULL
 * where there is none. */
void html_bars(struct buf *out, const struct html_bars *rows, size_t n, const char *const *names,
               const char *mark_name);

/* Appends a <figure>: n rows and columns of counts, each cell as dark as its share of its row. counts [n][n_columns].
 */
void html_matrix(struct buf *out, const char *title, const char *const *rows, size_t n, const char *const *columns,
                 size_t n_columns, const uint64_t *counts);

/* A curve within the unit square, its points as large as they weigh. */
struct html_square_curve {
    const char *label;
    const double *x, *y, *weight; /* [n] */
    size_t n;
    int colour;
};

/* Appends a <figure> with the diagonal, on which x is y. */
void html_square(struct buf *out, const char *title, const char *x_name, const char *y_name,
                 const struct html_square_curve *curves, size_t n);

#endif
