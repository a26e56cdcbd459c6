// SPDX-License-Identifier: Apache-2.0
/* Pipeline schedules for tests: of all sizes, written down, and random numbers to change them by. */
#ifndef GPTJT_TESTS_SCHEDULE_SAMPLES_H
#define GPTJT_TESTS_SCHEDULE_SAMPLES_H

#include <stdio.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/rng.h"
#include "dist/schedule.h"

/* All sizes that properties are checked for. */
static const int all_stages[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 64};
static const int all_micro_batches[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 64, 512};

typedef void size_fn(enum schedule_kind kind, int n_stages, int n_micro_batches);

static inline void for_all_sizes(size_fn *fn)
{
    for (int kind = 0; kind < SCHEDULE_KINDS; kind++)
        for (size_t p = 0; p < COUNT_OF(all_stages); p++)
            for (size_t m = 0; m < COUNT_OF(all_micro_batches); m++)
                fn((enum schedule_kind)kind, all_stages[p], all_micro_batches[m]);
}

static inline struct schedule create(enum schedule_kind kind, int n_stages, int n_micro_batches)
{
    struct schedule s;
    if (schedule_create(&s, kind, n_stages, n_micro_batches) != OK) fail_msg("%s", status_message());
    return s;
}

/* Random numbers, the same in every run. */
struct dice {
    uint64_t seed, n;
};

static inline int roll(struct dice *d, int sides) /* 0 .. sides - 1 */
{
    return (int)(rng_u64(d->seed, 0, d->n++) % (uint64_t)sides);
}

/* A list as text: "F0 F1 B0 B1". */
static inline int parse_list(struct schedule_action *out, int most, const char *text)
{
    char copy[256], *rest;
    int n = 0;
    assert_in_range(snprintf(copy, sizeof copy, "%s", text), 0, sizeof copy - 1);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(n < most);
        if (schedule_action_parse(&out[n++], word) != OK) fail_msg("%s", status_message());
    }
    return n;
}

/* Schedules of few lists that a test writes down. */
enum { ROOM = 64 };
struct written {
    struct schedule_action actions[4][ROOM];
    struct schedule_list lists[4];
    struct schedule s;
};

static inline void write_schedule(struct written *w, int n_micro_batches, int n_stages, const char *const *texts)
{
    for (int i = 0; i < n_stages; i++)
        w->lists[i] = (struct schedule_list){w->actions[i], parse_list(w->actions[i], ROOM, texts[i])};
    w->s = (struct schedule){n_stages, n_micro_batches, w->lists};
}

#endif
