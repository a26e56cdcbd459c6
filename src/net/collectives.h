// SPDX-License-Identifier: Apache-2.0
/* Collective operations of a group of ranks, made of a transport's sends and receives only: the same bits over every
 * transport, whatever comes first, and bytes that formulas know beforehand.
 *
 * Rings (reduce-scatter, all-gather, all-reduce) are for what is large. x is cut into n chunks, chunk c being elements
 * [bounds[c], bounds[c+1]), by default as equal as can be. Reduce-scatter: chunk c starts at member c+1, goes round and
 * gathers every member's terms on its way, so that member c ends up with ((x_{c+1} + x_{c+2}) + ...) + x_c, in fp32,
 * the terms in that order. All-gather: chunk c goes round from member c. A chunk travels in segments, several at a time
 * under way; a member passes one on while the next arrives. With N bytes in n equal chunks, latency alpha and bandwidth
 * beta, a reduce-scatter or an all-gather sends (n - 1) / n N bytes from each member (group_ring_bytes() for chunks
 * that are not equal) and takes (n - 1) (alpha + N / (n beta)), if a chunk is one segment; an all-reduce is one after
 * the other, and twice both. No algorithm sends less (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms
 * for clusters of workstations", JPDC 69).
 *
 * The others are for what is small, where latency counts: a barrier takes ceil(log2 n) messages in a row
 * (dissemination; Hensgen, Finkel and Manber 1988), a broadcast as many (binomial tree; (n - 1) bytes in all), and sums
 * of scalars go from everybody to everybody directly: one latency, (n - 1) bytes sent, added up in the order of
 * members.
 *
 * All members call the same operations in the same order. One operation of a group at a time; groups that share two
 * ranks and are used at the same time need different tags. Errors are the transport's; a group is then only to be
 * closed. */
#ifndef GPTJT_NET_COLLECTIVES_H
#define GPTJT_NET_COLLECTIVES_H

#include "net/transport.h"

enum { GROUP_MAX_VALUES = 16 }; /* scalars in one sum */

/* How far something in a ring has come: it is before byte at of step's chunk. */
struct ring_cursor {
    int step; /* 0 .. n - 1, n - 1 being the end */
    size_t at;
};

struct ring {
    bool active, reduces, then_gathers;
    enum net_purpose purpose;
    char *x;
    size_t count, width;  /* elements and their bytes */
    const size_t *bounds; /* [n + 1] elements, or NULL. Borrowed */
    /* Segments to be received and sent next, and those that have been; in between they are under way. */
    struct ring_cursor next_in, next_out, done_in, done_out;
    unsigned long long started_in, started_out, ended_in, ended_out;
};

/* Members are ranks first, first + stride, ...: a pipeline of P stages is (replica P, 1, P), the replicas of a stage
 * are (stage, P, D). Fields are to be read only. */
struct group {
    struct transport *t; /* borrowed */
    int first, stride, n, me;
    int tag;
    size_t segment_bytes;
    int window;                   /* segments under way in one direction */
    char *scratch;                /* [window][segment_bytes]: received, not yet added */
    struct net_request *requests; /* [n_requests]; in a ring [window] receives, then sends */
    int n_requests;
    double *values; /* [n][GROUP_MAX_VALUES] */
    struct ring ring;
};

struct group_shape {
    int first, stride, n; /* this rank must be one of them */
    int tag;
    size_t segment_bytes; /* 0: 1 MiB; a multiple of 64 */
    int window;           /* 0: 8. window * segment_bytes should exceed bandwidth times latency */
};

/* What group_open() takes. */
size_t group_bytes(const struct group_shape *shape);
enum status group_open(struct group *g, struct transport *t, const struct group_shape *shape);
void group_close(struct group *g); /* accepts a zero-initialised one */

/* The element at which chunk c of n begins where there are no bounds: chunks differ by one element at most. */
size_t group_chunk(size_t count, int n, int c);

/* Bytes that member me sends in a reduce-scatter (which leaves chunk me out) or an all-gather (chunk me + 1). */
size_t group_ring_bytes(size_t count, size_t width, const size_t *bounds, int n, int me, bool reduces);

/* Bytes that member me of n sends in both, one after the other. */
size_t group_allreduce_bytes(int n, int me, size_t count, size_t width, const size_t *bounds);

/* x [count] += the other members' x: only chunk me, the rest is spoilt. bounds [n + 1] or NULL. */
enum status group_reduce_scatter(struct group *g, enum net_purpose purpose, float *x, size_t count,
                                 const size_t *bounds);

/* Chunk c of x [count][width] bytes, from member c, for all c. */
enum status group_allgather(struct group *g, enum net_purpose purpose, void *x, size_t count, size_t width,
                            const size_t *bounds);

/* x [count] = the sum of all members' x, the same bits everywhere. */
enum status group_allreduce(struct group *g, enum net_purpose purpose, float *x, size_t count);

/* The same three, only begun: they go on in group_test(), which does not wait, and group_wait(). x and bounds are
 * borrowed until one of these says done. */
enum status group_begin_reduce_scatter(struct group *g, enum net_purpose purpose, float *x, size_t count,
                                       const size_t *bounds);
enum status group_begin_allgather(struct group *g, enum net_purpose purpose, void *x, size_t count, size_t width,
                                  const size_t *bounds);
enum status group_begin_allreduce(struct group *g, enum net_purpose purpose, float *x, size_t count);
enum status group_test(struct group *g, bool *done);
enum status group_wait(struct group *g);

/* Small things, all of them NET_CONTROL. values [n_values <= GROUP_MAX_VALUES]: the same bits everywhere; a NaN wins.
 */
enum status group_barrier(struct group *g);
enum status group_sum(struct group *g, double *values, int n_values);
enum status group_max(struct group *g, double *values, int n_values);

/* all [n][bytes] = every member's one [bytes], by direct messages. */
enum status group_exchange(struct group *g, void *all, const void *one, size_t bytes);

/* The same, at member root only; all is unused elsewhere. */
enum status group_gather(struct group *g, int root, void *all, const void *one, size_t bytes);

/* data [bytes] = that of member root. */
enum status group_broadcast(struct group *g, enum net_purpose purpose, int root, void *data, size_t bytes);

#endif
