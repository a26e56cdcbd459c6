// SPDX-License-Identifier: Apache-2.0
/* The sum of all replicas' gradients, by rings over buckets, while the backward pass still goes on: what lies behind in
 * the vector is complete first. Buckets depend on the vector's size alone, so the sum's order of terms, and its bits,
 * do not depend on what overlaps. Li et al. 2020, "PyTorch distributed" (VLDB 13), section 3.2. */
#ifndef GPTJT_DIST_GRADIENT_SUM_H
#define GPTJT_DIST_GRADIENT_SUM_H

#include "net/collectives.h"
#include "train/trace.h"

struct gradient_sum {
    struct group *g; /* borrowed */
    float *x;        /* [n], borrowed */
    size_t n, bucket;
    size_t done; /* x [done, n) has been summed or is under way; n between steps */
    bool active; /* the ring that ends there is under way */

    struct trace *trace; /* NULL: none. Borrowed */
    int64_t since_ns;    /* the ring's beginning */
    size_t ring_bytes;   /* that it sends */
};

/* Values of a bucket for a vector of n: 4 MiB of them, or more where that would be more than 64 buckets: one follows
 * the other, and each takes 2 (D - 1) times the latency of a link. */
enum { GRADIENT_SUM_SMALLEST = 1 << 20, GRADIENT_SUM_MOST = 64 };
size_t gradient_sum_bucket(size_t n);

void gradient_sum_open(struct gradient_sum *d, struct group *g, float *x, size_t n, struct trace *trace);

/* x [from, n) is complete: sums what can be summed. A failure is the transport's to keep. */
void gradient_sum_progress(struct gradient_sum *d, size_t from);

/* All of x is: sums the rest. */
enum status gradient_sum_finish(struct gradient_sum *d);

/* Bytes that one of so many members sends in all that; and how many rings it is. */
size_t gradient_sum_bytes(int members, int me, size_t n);
size_t gradient_sum_rings(size_t n);

#endif
