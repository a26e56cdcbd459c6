// SPDX-License-Identifier: Apache-2.0
/* What ranks do to show that two transports give the same bits: all collectives, in all groups of a layout, messages
 * beside them, and the counts of it all. */
#ifndef GPTJT_TESTS_NET_SCENARIO_H
#define GPTJT_TESTS_NET_SCENARIO_H

#include "net/transport.h"

/* On an even number of ranks. out, which rank 0 alone gets something in: a line of results for every rank. */
enum status net_scenario(struct transport *t, struct buf *out);

/* Element i of rank's data: of mixed magnitudes, so that the order of a sum can be seen in it. */
float net_scenario_value(int rank, size_t i);

#endif
