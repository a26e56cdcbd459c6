// SPDX-License-Identifier: Apache-2.0
/* The team of a run on several ranks: D replicas of P stages, rank = replica * P + stage, over a transport. It puts a
 * pipeline (pipeline.h) and a synchronisation (sync.h) behind the trainer's table. */
#ifndef GPTJT_DIST_GRID_H
#define GPTJT_DIST_GRID_H

#include "formats/gptj_config.h"
#include "net/transport.h"
#include "train/team.h"

/* All ranks call it. The recipe says how many stages there are; the replicas are what the number of ranks makes of it.
 * E_ARG, the same on all ranks, where batch, data or ranks cannot be divided so. *out is owned; t and recipe are
 * borrowed. */
enum status grid_open(struct team **out, struct transport *t, const struct recipe *recipe);
void grid_close(struct team *team); /* accepts NULL; after net_fail() if something failed */

/* That rank's team without any transport, to be asked for its layers and slots, and for the bytes below: for plans. The
 * same errors; *out is owned: grid_close(). */
enum status grid_sketch(struct team **out, const struct recipe *recipe, int n_ranks, int rank);

/* What a rank's team allocates, of a model. */
struct grid_memory {
    size_t messages, sync; /* between stages; of the synchronisation */
};
struct grid_memory grid_memory(const struct team *team, const struct gptj_config *c);

/* What was sent, for people, on rank 0: by purpose, on average and at most, by rank and step. All ranks call it. */
enum status grid_report(struct team *team, struct buf *out);

/* Writes the trace that the run has recorded, all ranks' as one file of rank 0's. All ranks call it, where
 * trainer_run() had a trace. */
enum status grid_trace(struct team *team, const char *path);

/* What this rank's synchronisation should send in a step. */
size_t grid_sync_bytes(const struct team *team, int64_t step);

#endif
