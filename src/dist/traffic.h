// SPDX-License-Identifier: Apache-2.0
/* What the ranks of a run will send and hold, before there are any: a recipe on replicas of so many stages. Every
 * number is a sum of the functions that runs count their bytes against (sync.h, pipeline.h).
 *
 * Two ways to count are in use, and they differ by a factor. What a rank sends is what goes through a machine's network
 * card: in a ring of D replicas 2 (D - 1) / D times the bytes of its stage. GPT-JT's authors say "633 TB per machine"
 * of a run that a sum of fp32 gradients in every step would have cost, and 12.7 TB of theirs, which is the whole model
 * once each time: not what any machine of theirs sent, but a measure of an algorithm that does not depend on how many
 * there are. Both are here; the second is what each of two replicas sends. */
#ifndef GPTJT_DIST_TRAFFIC_H
#define GPTJT_DIST_TRAFFIC_H

#include "dist/sync.h"
#include "formats/gptj_config.h"

/* A model cut into stages, its replicas, and how they are trained. Borrowed. */
struct traffic_layout {
    const struct recipe *recipe; /* of it pipeline_stages is not read */
    const struct gptj_config *config;
    int stages, replicas;
};

/* Layers [*first, *last) are that stage, in every run. */
void traffic_layers(const struct gptj_config *c, int stage, int stages, int *first, int *last);

/* What replica `member` of a stage synchronises. parts are left out: where `sharded` divides a vector at the ends of
 * parameters, ranks send up to a parameter more or less, and as much on average. l is borrowed. */
struct sync_shape traffic_shape(const struct traffic_layout *l, int stage, int member);

/* Steps that are alike: `steps` of them, of which `step` is the first. The steps of a run are a few kinds: dense ones,
 * those in which nothing is exchanged, ... */
struct traffic_kind {
    int64_t step, steps;
    size_t bytes;  /* that the first replica of some stage sends at most */
    uint64_t mark; /* of what those of all stages send */
};

enum { TRAFFIC_MAX_KINDS = 64 };

struct traffic_kinds {
    struct traffic_kind all[TRAFFIC_MAX_KINDS];
    int n;
};

/* Of steps [0, steps). E_LIMIT where there are too many kinds, E_NOMEM. */
enum status traffic_kinds_find(struct traffic_kinds *out, const struct traffic_layout *l, int64_t steps);

/* Bytes in all those steps. */
struct traffic {
    double rank_bytes;   /* for synchronisation, by the rank that sends most */
    double copies_bytes; /* the same, counted as the whole model's copies: above */
};
struct traffic traffic_sum(const struct traffic_layout *l, const struct traffic_kinds *kinds);

/* What a stage sends in a step to its neighbours, activations and gradients. */
size_t traffic_pipeline_bytes(const struct traffic_layout *l, int stage);
size_t traffic_pipeline_most(const struct traffic_layout *l); /* the busiest one */

#endif
