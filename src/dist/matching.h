// SPDX-License-Identifier: Apache-2.0
/* Perfect matchings whose worst edge is as good as can be: bottleneck assignment. */
#ifndef GPTJT_DIST_MATCHING_H
#define GPTJT_DIST_MATCHING_H

#include <stddef.h>

/* Ints and doubles of scratch for n. */
size_t matching_ints(int n);
size_t matching_doubles(int n);

/* Of all ways to give each row of cost [n][n] a column of its own, one whose largest cost is least; returns that cost.
 * column_of [n]: row -> column. n >= 1, costs finite. Exact: rows are added one by one along augmenting paths with the
 * least bottleneck (Derigs and Zimmermann 1978, "An augmenting path method for solving linear bottleneck assignment
 * problems"), O(n^3) without sorting an edge. */
double matching_bottleneck(int *column_of, const double *cost, int n, int *ints, double *doubles);

#endif
