// SPDX-License-Identifier: Apache-2.0
/* When things happen that wait for each other: ranks that compute, and messages between them over links that they
 * share. A discrete-event simulation of a graph of tasks, for planners. It has no ranks that act by themselves; what
 * has them is net/shaped.h, whose model of a network is the same:
 *
 *   A message of n bytes from i to j leaves when those before it from i to j have left, takes n / rate to do so, and
 *   arrives latency later. rate is the link's while nothing is shared. Where hosts have network cards, ranks of one
 *   host share its card for what they send to other hosts and, separately, for what they receive: max_min.h.
 *
 * Computing starts as soon as what it waits for has ended: who wants a rank to do one thing after the other says so.
 * Messages that one task makes ready leave in the order in which they were told to wait for it. */
#ifndef GPTJT_DIST_SIMULATION_H
#define GPTJT_DIST_SIMULATION_H

#include "base/status.h"
#include "net/shaped.h"

struct simulation;

/* net is borrowed, and not read where links fail. *out is owned. E_NOMEM. */
enum status simulation_create(struct simulation **out, const struct shaped_net *net);
void simulation_free(struct simulation *s); /* accepts NULL */

/* New tasks, numbered from 0: computing for some seconds; a message, whose latency is that of the link so many times,
 * for what is really that many messages one after the other. What fails is memory, which simulation_run() tells. */
int simulation_compute(struct simulation *s, int rank, double seconds);
int simulation_message(struct simulation *s, int from, int to, double bytes, double latencies);

/* task begins when before has ended, too; negative: there is none. */
void simulation_after(struct simulation *s, int task, int before);

/* Once. E_NOMEM; asserts that no task waits for itself. */
enum status simulation_run(struct simulation *s);

/* After that. A message begins when it could leave, and ends when it has arrived. */
double simulation_start(const struct simulation *s, int task);
double simulation_end(const struct simulation *s, int task);
double simulation_makespan(const struct simulation *s); /* the last task's end */

#endif
