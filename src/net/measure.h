// SPDX-License-Identifier: Apache-2.0
/* How fast and how far away hosts are from each other, by messages between ranks: for cluster files of machines that
 * nobody has measured.
 *
 * A link is measured between the first ranks of two hosts, one way and then the other. An empty message that is
 * answered by another one takes T(0), both ways' latencies, of which each is taken to be half: clocks of two hosts
 * cannot be compared. A message of n bytes takes T(n), and n / (T(n) - T(0)) is the rate; n grows fourfold until T(n) -
 * T(0) is long enough, and the last one counts. All T are medians. Hosts are measured in rounds of pairs that share no
 * host (a round-robin tournament by the circle method), so nothing else is on their network cards.
 *
 * Then one host after the other sends to all others at once, as much to each as its link carries in that time. Where
 * that takes longer, its card is what limits it. */
#ifndef GPTJT_NET_MEASURE_H
#define GPTJT_NET_MEASURE_H

#include "net/transport.h"

struct net_measure {
    const int *hosts; /* [ranks], 0 .. n_hosts - 1, each with a rank; the same on all ranks */
    int n_hosts;
    double limit_s;    /* about how long a link may take, one way */
    size_t most_bytes; /* of a message */
};

struct net_measured_link {
    double latency_s, bytes_per_s;
};

/* On all ranks: links [hosts][hosts], from and to, where those on the diagonal are between the first two ranks of a
 * host (0 and INFINITY where it has one), and cards [hosts] in bytes a second, INFINITY where it seemed to have no
 * limit. All ranks call it, and nothing else is sent meanwhile. E_NOMEM, or the transport's failure. */
enum status net_measure(struct net_measured_link *links, double *cards, struct transport *t,
                        const struct net_measure *set);

#endif
