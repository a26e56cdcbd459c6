// SPDX-License-Identifier: Apache-2.0
/* The parts of gptjt plan: pictures of schedules, and placements on a cluster. */
#ifndef GPTJT_CLI_PLAN_H
#define GPTJT_CLI_PLAN_H

#include "cli/common.h"
#include "dist/placement_step.h"

struct plan_settings {
    struct common common;
    int schedule;                      /* enum schedule_kind, or SCHEDULE_KINDS: all of them */
    int64_t stages, replicas;          /* 0: not given */
    const char *svg, *preset, *recipe; /* NULL: not given, as the next line */
    const char *rankfile, *hostfile;
    bool json;

    int64_t micro_batches; /* of a picture, as the rest of these */
    double forward_s, backward_s, latency_s, transfer_s;

    int64_t batch_size, micro_batch_size, seq_len; /* of a model; seq_len 0: its window */
    int64_t steps;                                 /* of the run; 0: not given */
    bool recompute;
    uint64_t seed;
    int64_t restarts, moves;
    double refine_s;

    const char *measure; /* the file to write; NULL: nothing is measured */
    double measure_s;
};

static inline bool plan_wants(const struct plan_settings *set, enum schedule_kind kind)
{
    return set->schedule == SCHEDULE_KINDS || set->schedule == (int)kind;
}

/* Each schedule asked for, one below the other. */
enum status plan_schedules(const struct plan_settings *set);

/* The placement on the machines of a cluster file, of a run with this recipe: seq_len 0 is the model's window, and
 * without model, --preset and --model it is DT-FM's task. */
enum status plan_cluster(const struct plan_settings *set, struct recipe *recipe, const char *path);

/* All ranks that there are: measures them and writes set->measure. */
enum status plan_measure(struct plan_settings *set);

/* A way to keep replicas together, and what it costs on a placement. */
struct plan_sync {
    char name[48];
    bool own; /* it is what the recipe says */
    struct placement_step step;
    struct traffic traffic;
    int64_t steps;         /* that traffic is of */
    uint64_t memory_bytes; /* of the rank that needs most */
};
enum { PLAN_SYNCS = 9 };

/* The recipe's own way and others, with its settings: rows [PLAN_SYNCS], returns how many in *n. */
enum status plan_syncs(struct plan_sync *rows, int *n, const struct step_task *task, const struct placement *p,
                       enum schedule_kind kind, const struct cluster *c);
void plan_syncs_text(struct buf *out, const struct plan_sync *rows, int n);
json_t *plan_syncs_json(const struct plan_sync *rows, int n); /* new reference */

#endif
