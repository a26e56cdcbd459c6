// SPDX-License-Identifier: Apache-2.0
/* The parts of gptjt plan: pictures of schedules, and placements on a cluster. */
#ifndef GPTJT_CLI_PLAN_H
#define GPTJT_CLI_PLAN_H

#include "cli/common.h"
#include "dist/schedule.h"

struct plan_settings {
    struct common common;
    int schedule;             /* enum schedule_kind, or SCHEDULE_KINDS: all of them */
    int64_t stages, replicas; /* 0: not given */
    const char *svg, *preset; /* NULL: not given, as the next line */
    const char *rankfile, *hostfile;
    bool json;

    int64_t micro_batches; /* of a picture, as the rest of these */
    double forward_s, backward_s, latency_s, transfer_s;

    int64_t batch_size, micro_batch_size, seq_len; /* of a model; seq_len 0: its window */
    bool recompute;
    uint64_t seed;
    int64_t restarts, moves;
    double refine_s;
};

static inline bool plan_wants(const struct plan_settings *set, enum schedule_kind kind)
{
    return set->schedule == SCHEDULE_KINDS || set->schedule == (int)kind;
}

/* Each schedule asked for, one below the other. */
enum status plan_schedules(const struct plan_settings *set);

/* The placement on the machines of a cluster file. */
enum status plan_cluster(const struct plan_settings *set, const char *path);

#endif
