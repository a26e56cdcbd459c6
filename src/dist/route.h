// SPDX-License-Identifier: Apache-2.0
/* Orders in which the sum of the steps from each to the next is least: the travelling salesman's open path. */
#ifndef GPTJT_DIST_ROUTE_H
#define GPTJT_DIST_ROUTE_H

#include <stddef.h>

enum { ROUTE_MAX_EXACT = 12, ROUTE_MAX = 256 };

/* Doubles of scratch for n. */
size_t route_doubles(int n);

/* An order [n] of 0 .. n - 1 that visits all, from anywhere to anywhere, and the sum of its n - 1 steps. cost [n][n] is
 * symmetric, 1 <= n <= ROUTE_MAX. Up to ROUTE_MAX_EXACT nodes no order is better (dynamic programming over subsets,
 * Held and Karp 1962: O(2^n n^2)). Beyond, it is good but not proven best: 0, 1, 2,
 * ... and nearest neighbours from several starts, each improved by reversing and by moving stretches until neither
 * helps. So it is never worse than 0, 1, 2, ... */
double route_shortest(int *order, const double *cost, int n, double *doubles);

/* No order is shorter than this: the least tree that holds all. O(n^2). */
double route_lower_bound(const double *cost, int n, double *doubles);

#endif
