// SPDX-License-Identifier: Apache-2.0
/* Traces (train/trace.h) of all ranks of a run in one file.
 *
 * Clocks. Machines' clocks begin anywhere and drift by seconds a day. Rank 0 compares each with its own, when the run
 * begins and when it ends, by messages to and fro: one that left at a and was answered at b (of the other clock) by
 * what came back at c says that the difference of the clocks is between b - c and b - a (Cristian 1989, "Probabilistic
 * clock synchronization", Distributed Computing 3). Of several such intervals it is in all, so the middle of what they
 * have in common is taken, half of its width being the error; and if 0 is in it, as it is between processes of one
 * machine, 0.
 *
 * Events travel as text, in pieces, so rank 0 never has more than one of them. */
#ifndef GPTJT_DIST_TRACE_RANKS_H
#define GPTJT_DIST_TRACE_RANKS_H

#include "net/collectives.h"
#include "train/team.h"

struct trace_ranks;

/* All members of the group, which is of all ranks, call both. tag: for messages of purpose NET_CONTROL that nothing
 * else has. group, team and trace are borrowed. */
enum status trace_ranks_open(struct trace_ranks **out, struct group *all, int tag, const struct team *team,
                             const struct trace *trace);
void trace_ranks_close(struct trace_ranks *t); /* accepts NULL */

/* Rank 0 writes the file; the others send it what they have. */
enum status trace_ranks_write(struct trace_ranks *t, const char *path);

/* How the clock of that rank differs from rank 0's: for tests with clocks of their own. Called by both. */
typedef int64_t trace_clock_fn(void *user);
enum status trace_ranks_compare_clocks(struct trace_clock *out, struct transport *t, int peer, int tag,
                                       trace_clock_fn *clock, void *user);

#endif
