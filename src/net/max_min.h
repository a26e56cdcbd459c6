// SPDX-License-Identifier: Apache-2.0
/* How fast messages leave that share network cards: max-min fair, as TCP streams come to be. Nobody's rate can be
 * raised without lowering one that is not higher (progressive filling; Bertsekas and Gallager 1992, "Data
 * networks", 6.5.2).
 *
 * A host's card carries as much out as in, each by itself. Messages within one host use none. */
#ifndef GPTJT_NET_MAX_MIN_H
#define GPTJT_NET_MAX_MIN_H

struct max_min_flow {
    int from, to; /* hosts */
    double most;  /* what its link carries; may be INFINITY */
};

struct max_min {
    int n_hosts;
    const double *cards;          /* [n_hosts]: bytes a second, each way; borrowed */
    double *spare_out, *spare_in; /* [n_hosts]: scratch, the caller's, as the next ones */
    int *users_out, *users_in;
};

/* rates [n] of flows [n]. n^2 at worst. */
void max_min_rates(double *rates, const struct max_min_flow *flows, int n, const struct max_min *m);

/* A message that leaves: what was left of it at since_s, its rate from there, and so when it will have left. */
struct max_min_leaving {
    double left, rate, since_s, until_s;
};

void max_min_leave(struct max_min_leaving *l, double bytes, double rate, double now_s);
void max_min_set_rate(struct max_min_leaving *l, double rate, double now_s);

#endif
