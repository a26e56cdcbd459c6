// SPDX-License-Identifier: Apache-2.0
/* The mean over the replicas of an outer optimizer's delta, a part at a time, which goes on while a rank computes:
 * dense, by a ring, or on a narrower wire by a compressed mean with feedback of what is left out (compressed_mean.h). A
 * member of D sends 2 (D - 1) / D of the part. */
#ifndef GPTJT_DIST_OUTER_MEAN_H
#define GPTJT_DIST_OUTER_MEAN_H

#include "dist/compressed_mean.h"
#include "dist/outer.h"

struct outer_mean {
    struct outer *o; /* borrowed */
    int part;        /* under way; -1: none */
    bool narrow;
    /* The rest is of a narrow wire. */
    struct compressed_mean mean;
    float *left, *error; /* [n_values]: what this replica's messages have left out; what its chunks' results have */
    float *owned;        /* [a largest part's chunk]: error of the part under way */
    size_t *bounds;      /* [parts][replicas + 1] */
};

/* As `sync_wire` says. */
enum status outer_mean_open(struct outer_mean *m, struct outer *o);
void outer_mean_close(struct outer_mean *m); /* accepts a zero-initialised one; after net_fail() if begun */

/* o->delta of a part, which is not to be touched until it is the mean. */
enum status outer_mean_begin(struct outer_mean *m, int part);
void outer_mean_progress(struct outer_mean *m); /* a failure is kept for finish() */
enum status outer_mean_finish(struct outer_mean *m);

/* What a replica sends for a part of that many values; whether it does so directly (sync.h); and what
 * outer_mean_open() allocates, where the largest part has `most`. */
size_t outer_mean_bytes(const struct sync_shape *s, size_t values);
bool outer_mean_is_direct(const struct recipe *r);
size_t outer_mean_memory(const struct sync_shape *s, size_t most);

/* What belongs to a checkpoint: at most 2. Returns how many. */
int outer_mean_vectors(const struct outer_mean *m, struct team_vector *out);

#endif
