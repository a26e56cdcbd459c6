// SPDX-License-Identifier: Apache-2.0
/* Which device computes which stage of which replica, and what that costs by the model of DT-FM (Yuan et al. 2022,
 * "Decentralized training of foundation models in heterogeneous environments", arXiv:2206.01288, and its scheduler).
 *
 * The model counts communication only. Devices of one stage form a group, which averages that stage's gradients; the
 * groups are ordered, and each device of a group is paired with one of the next:
 *
 *   sync      = max over groups C, i in C, of  sum over j in C, j != i, of  2 (latency_ij + c_dp / (|C| rate_ij))
 *   pipeline  = sum over neighbouring groups of the slowest pair's  latency_ij + c_pp / rate_ij
 *   cost      = sync + 2 pipeline
 *
 * c_dp is what each replica of a stage has in gradients (each device owns a share and talks to the others one after the
 * other), c_pp the activations of a replica's whole batch at one boundary. There is no computation in it, no bubble, no
 * overlap, and pairs do not share a network card. DT-FM's links are the same both ways. Where they are not, what
 * travels i -> j and back is counted once each way: the 2 of sync becomes the sum of both directions, and a pair's
 * step in the pipeline is the mean of both. */
#ifndef GPTJT_DIST_PLACEMENT_H
#define GPTJT_DIST_PLACEMENT_H

#include "dist/cluster.h"

enum { PLACEMENT_MAX_STAGES = 256 };

struct placement_task {
    int stages, replicas;    /* >= 1; at most PLACEMENT_MAX_STAGES stages */
    double gradient_bytes;   /* c_dp */
    double activation_bytes; /* c_pp */
};

/* What DT-FM placed: GPT-3 XL in 8 stages of 3 layers, 8 replicas. Its numbers as they are: gradients of 1.3 * 4 * 3 /
 * 24 GB; activations of 1.25e5 / 2048 sequences of "2024" tokens, 2048 wide, in fp16, which is 0.4712 GiB and then
 * taken for as many 10^9 bytes. */
extern const struct placement_task placement_task_dtfm;

/* The task of a model of n_params parameters whose layers are cut into equal stages: each replica sends
 * tokens_per_replica times width activations a step through every boundary. */
struct placement_task placement_task_of(int stages, int replicas, double n_params, double bytes_per_gradient,
                                        double tokens_per_replica, double width, double bytes_per_activation);

/* An assignment. Rank replica * stages + stage is stage of replica, as in every run. */
struct placement {
    int stages, replicas;
    int *devices; /* [replicas][stages]: of each rank, all different; owned. Devices beyond them are idle */
};

/* E_ARG where there are fewer devices than ranks, or more stages than the maximum. */
enum status placement_check(const struct placement_task *task, int n_devices);

/* Ranks take the devices in their order. E_ARG as placement_check(), E_NOMEM. */
enum status placement_create(struct placement *out, const struct placement_task *task, int n_devices);
enum status placement_copy(struct placement *out, const struct placement *p);
void placement_free(struct placement *p); /* accepts a zeroed one */

static inline int placement_ranks(const struct placement *p)
{
    return p->stages * p->replicas;
}

static inline int placement_device(const struct placement *p, int stage, int replica)
{
    return p->devices[replica * p->stages + stage];
}

/* rank_of [n_devices]: the rank of each device, -1 where it is idle. */
void placement_invert(int *rank_of, const struct placement *p, int n_devices);

/* What two devices cost each other, and scratch to compute with; 16 bytes n^2. One thread at a time. */
struct placement_model;
enum status placement_model_create(struct placement_model **out, const struct placement_task *task,
                                   const struct cluster *c);
void placement_model_free(struct placement_model *m); /* accepts NULL */

/* Seconds, symmetric, [n_devices][n_devices], diagonal 0, borrowed from the model: what one round trip of a share of
 * the gradients takes, and what a pair's step in the pipeline takes. */
const double *placement_model_sync(const struct placement_model *m);
const double *placement_model_hop(const struct placement_model *m);
int placement_model_devices(const struct placement_model *m);

struct placement_cost {
    double sync_s, pipeline_s; /* above */
    double total_s;            /* sync_s + 2 pipeline_s */
};

/* Of a placement as it stands: its stages in their order, its replicas paired as they are. */
struct placement_cost placement_cost(const struct placement_model *m, const struct placement *p);

/* Keeps the groups, and gives them the order and the pairs that cost least, by exact bottleneck matching between every
 * two groups and the shortest route over all (exact up to ROUTE_MAX_EXACT stages, then a heuristic: dist/route.h).
 * Returns the cost: DT-FM's of an assignment. */
struct placement_cost placement_arrange(struct placement_model *m, struct placement *p);

#endif
