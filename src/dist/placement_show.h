// SPDX-License-Identifier: Apache-2.0
/* A placement for people and for mpirun. All append to out; what fails is memory, which buf_status() tells. */
#ifndef GPTJT_DIST_PLACEMENT_SHOW_H
#define GPTJT_DIST_PLACEMENT_SHOW_H

#include "base/buf.h"
#include "dist/placement.h"

/* A line for each replica with the host of every stage ("node3:2" is its third device), then one for each stage with
 * the slowest link to the next. */
void placement_table(struct buf *out, const struct placement *p, const struct cluster *c);

/* Open MPI's rankfile (mpirun --rankfile, version 4): "rank 0=host slot=0". Where the file says how many "cores" a
 * machine has, each of its devices gets an equal share of them; else device k is bound to core k. */
void placement_rankfile(struct buf *out, const struct placement *p, const struct cluster *c);

/* Open MPI's hostfile: the machines that have ranks, and how many. */
void placement_hostfile(struct buf *out, const struct placement *p, const struct cluster *c);

/* An SVG file: machines in a box for each region, devices coloured by stage, each with its replica's number, the
 * pipelines' links as wide as they are fast. */
void placement_svg(struct buf *out, const struct placement *p, const struct cluster *c);

#endif
