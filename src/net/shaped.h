// SPDX-License-Identifier: Apache-2.0
/* Slow links on one machine: a transport around another one that carries the bytes, in virtual time. Nobody sleeps; a
 * planet of 64 ranks takes as long as its computation and memcpy()s.
 *
 * A rank's clock moves by net_compute(), by waiting, and by a microsecond with each test that finds nothing. A message
 * of n bytes from i to j leaves when those before it from i to j have left, takes n / rate seconds to do so, and
 * arrives latency_s later. Its send is done when it has left and the receive has been started, its receive when it has
 * arrived. rate is the link's bytes_per_s while nothing is shared. Where hosts have network cards, ranks of one host
 * share its card for what they send to other hosts and, separately, for what they receive: rates are max-min fair, as
 * of TCP streams (max_min.h).
 *
 * Everything happens in the order of clocks, of ranks where these are equal: a rank's operation is carried out once no
 * other rank can have an earlier one (conservative simulation; Chandy and Misra 1979). So times do not depend on how
 * threads are scheduled, not even those of net_test() and net_wait_any(). All ranks must therefore be threads of one
 * process. */
#ifndef GPTJT_NET_SHAPED_H
#define GPTJT_NET_SHAPED_H

#include "net/local.h"

struct shaped_link {
    double latency_s;
    double bytes_per_s; /* > 0; INFINITY: no limit */
    double fails_at_s;  /* what has not arrived by then never does; INFINITY: it holds */
};

struct shaped_net {
    int n;
    const struct shaped_link *links; /* [n][n]: from, to. Borrowed */
    const int *hosts;                /* [n]: the host of each rank, 0 .. n - 1. NULL: nothing is shared */
    const double *nic_bytes_per_s;   /* [hosts]: of a host's card, each way. NULL with hosts */
};

/* Fills links [n][n] with n * n times the same. */
void shaped_fill(struct shaped_link *links, int n, double latency_s, double bytes_per_s);

struct shaped; /* the simulated network */

enum status shaped_create(struct shaped **out, const struct shaped_net *net);
void shaped_free(struct shaped *s); /* after all handles were closed; accepts NULL */

/* The handle of inner's rank, around inner, which is borrowed. Every rank must get and close one, or all others wait
 * for it. */
struct transport *shaped_attach(struct shaped *s, struct transport *inner);

/* local_run() with a shaped transport. *seconds, unless NULL: the latest clock of all ranks at their end. */
enum status shaped_run(const struct shaped_net *net, local_rank_fn *fn, void *user, double *seconds);

#endif
