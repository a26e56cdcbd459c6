// SPDX-License-Identifier: Apache-2.0
/* What gptjt eval --helm prints: a table for people, or JSON. */
#ifndef GPTJT_CLI_EVAL_HELM_SHOW_H
#define GPTJT_CLI_EVAL_HELM_SHOW_H

#include "cli/common.h"
#include "eval/helm_compare.h"
#include "eval/helm_run.h"

/* One run when it has been evaluated. */
struct helm_evaluated {
    struct helm_run *run;
    struct helm_stats *stats;
    json_t *rows;      /* of stats */
    json_t *different; /* names of metrics of which its stats.json has other values */
    bool agreement_known, comparison_known;
    struct helm_agreement agreement;   /* with its stats.json */
    struct helm_comparison comparison; /* with its recorded answers */
};

struct helm_show {
    bool json;
    int name_width;
    int n_shown;
    double sums[HELM_N_MATCHES];
    json_t *runs; /* for JSON; owned */
};

enum status helm_show_begin(struct helm_show *s, char *const *dirs, int n_dirs);
enum status helm_show_run(struct helm_show *s, const struct helm_evaluated *e);
/* model NULL: the answers were recorded ones. */
enum status helm_show_end(struct helm_show *s, const struct cli_model *model);
void helm_show_free(struct helm_show *s);

/* Everything that is to be done, and how long it takes. */
struct helm_work {
    int n_runs;
    uint64_t n_requests, n_prompt_tokens, n_new_tokens;
};
/* A line for people, or an object. */
void helm_show_estimate(FILE *to, const struct helm_work *w, const struct helm_pace *p);
enum status helm_show_estimate_json(const struct helm_work *w, const struct helm_pace *p);

#endif
