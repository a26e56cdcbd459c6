// SPDX-License-Identifier: Apache-2.0
/* A matching of the first k rows that is best for them stays a matching under every bound that k + 1 rows need, so it
 * only has to be augmented, along a path whose unmatched edges are as small as can be (Berge 1957). */
#include "dist/matching.h"

#include <math.h>

struct search {
    const double *cost; /* [n][n] */
    int n;
    int *row_of;       /* [n]: of a column; -1: free                             */
    int *before;       /* [n]: the row from which a column was reached           */
    double *reach;     /* [n]: the least edge to it; -1 once it has been visited */
    double bottleneck; /* the largest edge that is needed so far                */
};

size_t matching_ints(int n)
{
    return 2 * (size_t)n;
}

size_t matching_doubles(int n)
{
    return (size_t)n;
}

static void reach_from(struct search *s, int row)
{
    const double *edges = s->cost + (size_t)row * (size_t)s->n;
    for (int c = 0; c < s->n; c++) {
        if (edges[c] >= s->reach[c]) continue;
        s->reach[c] = edges[c];
        s->before[c] = row;
    }
}

/* The unvisited column with the least edge; of those within the bottleneck, which cost nothing, a free one if any. */
static int nearest_column(const struct search *s)
{
    int best = -1;
    for (int c = 0; c < s->n; c++) {
        if (s->reach[c] < 0) continue;
        if (s->reach[c] <= s->bottleneck && s->row_of[c] < 0) return c;
        if (best < 0 || s->reach[c] < s->reach[best]) best = c;
    }
    return best;
}

static void add_row(struct search *s, int *column_of, int row)
{
    for (int c = 0; c < s->n; c++)
        s->reach[c] = INFINITY;
    reach_from(s, row);
    int column = nearest_column(s);
    for (; s->row_of[column] >= 0; column = nearest_column(s)) {
        s->bottleneck = fmax(s->bottleneck, s->reach[column]);
        s->reach[column] = -1; /* no edge is less: costs are not negative */
        reach_from(s, s->row_of[column]);
    }
    s->bottleneck = fmax(s->bottleneck, s->reach[column]);
    while (column >= 0) { /* each row on the path takes the column by which it was left */
        const int taker = s->before[column], left = column_of[taker];
        s->row_of[column] = taker;
        column_of[taker] = column;
        column = left;
    }
}

double matching_bottleneck(int *column_of, const double *cost, int n, int *ints, double *doubles)
{
    struct search s = {.cost = cost, .n = n, .row_of = ints, .before = ints + n, .reach = doubles};
    for (int i = 0; i < n; i++)
        s.row_of[i] = column_of[i] = -1;
    for (int row = 0; row < n; row++)
        add_row(&s, column_of, row);
    return s.bottleneck;
}
