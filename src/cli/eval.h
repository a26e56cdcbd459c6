// SPDX-License-Identifier: Apache-2.0
/* gptjt eval has one command line and a file for each kind of thing that is evaluated. */
#ifndef GPTJT_CLI_EVAL_H
#define GPTJT_CLI_EVAL_H

#include "cli/common.h"

struct eval_settings {
    struct common common;
    const char *helm;                /* a directory of HELM runs            */
    struct option_strings tasks;     /* task files                          */
    struct option_strings text;      /* files for perplexity                */
    const char *last_word;           /* jsonl for LAMBADA-like accuracy     */
    const char *output, *report;     /* directory of results; an HTML page  */
    bool recorded, compare_recorded; /* --helm: the answers already in the file */
    bool perturbed, dry_run;         /* --helm: also perturbed copies; measure only     */
    bool compare_masks, json;
    int64_t shots;  /* --tasks: examples in a prompt; -1: as the file says */
    int64_t limit;  /* instances of each run, task or file; 0: all */
    int64_t stride; /* --text: tokens scored in a window; 0: half of it */
};

/* The masks that everything runs under: the one given, else otherwise; or both. Returns how many. */
int eval_masks(enum gptjt_mask masks[2], const struct eval_settings *set, enum gptjt_mask otherwise);

/* The run's settings (model, weights, compute, cpu, limit), to put results into. New reference; NULL without memory. */
json_t *eval_describe(const struct cli_model *m, const struct eval_settings *set);

/* Of results, for tables: a member that is a number; an end, 0 or 1, of its "interval". */
double eval_number(const json_t *o, const char *key);
double eval_bound(const json_t *o, size_t end);

/* Writes results to OUTPUT/results.json if there is an output, and to stdout if --json asks for it. */
enum status eval_write_results(const struct eval_settings *set, const json_t *results);

/* What --helm, --tasks, and --text or --last-word do. */
enum status eval_helm(const struct eval_settings *set);
enum status eval_tasks(const struct eval_settings *set);
enum status eval_text(const struct eval_settings *set);

#endif
