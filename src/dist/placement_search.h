// SPDX-License-Identifier: Apache-2.0
/* Searches for placements (dist/placement.h): by DT-FM's cost, and from there on by any other. */
#ifndef GPTJT_DIST_PLACEMENT_SEARCH_H
#define GPTJT_DIST_PLACEMENT_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "dist/placement.h"

struct placement_search {
    uint64_t seed;
    int restarts;   /* >= 1: the best of so many searches */
    int64_t moves;  /* >= 1: tried in each                */
    double limit_s; /* no restart begins later; INFINITY: none, and then the seed alone decides the result */
    bool (*progress)(void *user, int restarts); /* called behind each with how many were made; false ends the search.
                                                   NULL: none */
    void *user;
};
extern const struct placement_search placement_search_defaults;

struct placement_found {
    struct placement_cost cost;
    int restarts; /* made */
    double seconds;
};

/* Simulated annealing over grids of devices, each time from a random one; the groups found are given their best order
 * and pairs (placement_arrange). What p holds, from placement_create() or elsewhere, is arranged and a candidate too,
 * so the result is never worse. found may be NULL. E_NOMEM leaves p as it was. */
enum status placement_search(struct placement *p, struct placement_model *m, const struct placement_search *search,
                             struct placement_found *found);

/* A cost of the caller's: seconds of a simulated step, say. Lower is better; INFINITY: impossible (out of memory). */
struct placement_objective {
    double (*cost)(const struct placement *p, void *user);
    void *user;
};

/* Local search from p over that cost: swaps two devices, or two stages, keeps what is better, until no swap is or
 * limit_s has passed (checked between two costs; 0: p is only evaluated) or max_costs were computed. Devices of one
 * machine are alike and never swapped. Pairs are tried in an order that the seed draws. Returns the cost through *cost.
 */
enum status placement_refine(struct placement *p, const struct cluster *c, const struct placement_objective *objective,
                             uint64_t seed, double limit_s, int64_t max_costs, double *cost);

#endif
