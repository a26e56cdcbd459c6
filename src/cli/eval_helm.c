// SPDX-License-Identifier: Apache-2.0
/* gptjt eval --helm: HELM's runs, scored as HELM scores them. What a run is, is in eval/helm.h, and what is computed of
 * it in eval/helm_stats.h; here is what people and programs see of that. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/eval.h"
#include "cli/model_path.h"
#include "eval/helm_json.h"
#include "eval/helm_stats.h"

struct job {
    const struct eval_settings *set;
    char **dirs; /* [n_dirs] one a run, owned */
    int n_dirs;
    struct gptjt_tokenizer *own_tokenizer; /* owned; NULL when it is the model's, or there is none */
    const struct gptjt_tokenizer *tokenizer;
    int name_width;
    json_t *runs; /* what --json prints of them */
    double sums[HELM_N_MATCHES];
};

/* One run while it is evaluated. */
struct one_run {
    struct helm_run *run;
    struct helm_answer *answers; /* [n_requests] */
    struct helm_stats *stats;
    json_t *rows, *different;
    bool compared; /* there is a stats.json */
    struct helm_agreement agreement;
};

/* ---- Output ---- */

static const enum helm_metric headline[] = {HELM_EXACT_MATCH, HELM_QUASI_EXACT_MATCH, HELM_PREFIX_EXACT_MATCH,
                                            HELM_QUASI_PREFIX_EXACT_MATCH};

static double headline_mean(const struct one_run *r, enum helm_metric m)
{
    return helm_stat_mean(helm_stats_headline(r->stats, m));
}

static void print_number(double x, int width)
{
    if (isnan(x))
        printf("  %*s", width, "-");
    else
        printf("  %*.4f", width, x);
}

static void print_header(const struct job *j)
{
    printf("%-*s  requests   exact   quasi  prefix  quasi prefix  quasi, trials   robust    fair  stats.json\n",
           j->name_width, "");
}

static void print_trials(const struct one_run *r)
{
    double least = (double)INFINITY, most = -(double)INFINITY;
    const double *trials = helm_stats_trials(r->stats, HELM_QUASI_EXACT_MATCH);
    for (int i = 0; i < r->run->n_trials; i++) {
        if (trials[i] < least) least = trials[i];
        if (trials[i] > most) most = trials[i];
    }
    if (most >= least)
        printf("  %.3f - %.3f", least, most);
    else
        printf("  %13s", "-");
}

static void print_row(const struct job *j, const struct one_run *r)
{
    printf("%-*s  %8d", j->name_width, r->run->name, r->run->n_requests);
    for (int m = 0; m < HELM_N_MATCHES; m++)
        print_number(headline_mean(r, headline[m]), m == HELM_QUASI_PREFIX ? 12 : 6);
    print_trials(r);
    print_number(helm_stat_mean(helm_stats_robustness(r->stats, HELM_QUASI_EXACT_MATCH)), 7);
    print_number(helm_stat_mean(helm_stats_fairness(r->stats, HELM_QUASI_EXACT_MATCH)), 6);
    if (r->compared) printf("  %d of %d", r->agreement.n_equal, r->agreement.n_computed);
    printf("\n");
    fflush(stdout);
}

static void print_mean(const struct job *j)
{
    printf("%-*s  %8s", j->name_width, "mean", "");
    for (int m = 0; m < HELM_N_MATCHES; m++)
        print_number(j->sums[m] / j->n_dirs, m == HELM_QUASI_PREFIX ? 12 : 6);
    printf("\n");
}

static json_t *headline_json(const struct one_run *r)
{
    json_t *metrics = json_object();
    for (int m = 0; metrics && m < HELM_N_METRICS; m++)
        if ((m < HELM_EXACT_MATCH_K || m > HELM_QUASI_PREFIX_EXACT_MATCH_K) &&
            !isnan(headline_mean(r, (enum helm_metric)m)))
            json_object_set_new(metrics, helm_metric_name((enum helm_metric)m),
                                json_real(headline_mean(r, (enum helm_metric)m)));
    return metrics;
}

static json_t *trials_json(const struct one_run *r)
{
    json_t *trials = json_object();
    for (int m = 0; m < HELM_N_MATCHES; m++) {
        json_t *list = json_array();
        const double *values = helm_stats_trials(r->stats, headline[m]);
        for (int i = 0; i < r->run->n_trials; i++)
            json_array_append_new(list, cli_json_number(values[i]));
        json_object_set_new(trials, helm_metric_name(headline[m]), list);
    }
    return trials;
}

static json_t *agreement_json(const struct one_run *r)
{
    if (!r->compared) return json_null();
    return json_pack("{si si si sO}", "rows", r->agreement.n_rows, "computed", r->agreement.n_computed, "equal",
                     r->agreement.n_equal, "different", r->different);
}

static enum status add_json(struct job *j, const struct one_run *r)
{
    json_t *one = json_pack("{ss so so si si si so sO}", "name", r->run->name, "metrics", headline_json(r), "trials",
                            trials_json(r), "requests", r->run->n_requests, "instances", r->run->n_instances,
                            "unanswered", helm_stats_unanswered(r->stats), "stats_json", agreement_json(r), "stats",
                            r->rows);
    if (json_array_append_new(j->runs, one)) return fail(E_NOMEM, "no memory for the JSON output");
    return OK;
}

/* What the numbers do not show. */
static void warn(const struct one_run *r)
{
    const int unanswered = helm_stats_unanswered(r->stats), unlabelled = helm_stats_unlabelled(r->stats);
    if (unanswered)
        log_line(LOG_WARN, "%s: %d of %d requests have no answer, which counts as wrong", r->run->name, unanswered,
                 r->run->n_requests);
    if (unlabelled)
        log_line(LOG_WARN, "%s: %d of %d requests have no right answer to compare with", r->run->name, unlabelled,
                 r->run->n_requests);
    size_t i;
    const json_t *metric;
    struct buf names = {0};
    json_array_foreach (r->different, i, metric)
        buf_printf(&names, "%s%s", i ? ", " : "", json_string_value(metric));
    if (names.len) log_line(LOG_WARN, "%s: its stats.json has other values of %s", r->run->name, names.data);
    buf_free(&names);
}

static enum status show(struct job *j, const struct one_run *r)
{
    for (int m = 0; m < HELM_N_MATCHES; m++)
        j->sums[m] += headline_mean(r, headline[m]);
    warn(r);
    if (j->set->json) return add_json(j, r);
    print_row(j, r);
    return OK;
}

/* ---- Runs ---- */

static enum status count_prompt_tokens(const struct job *j, struct one_run *r)
{
    for (int i = 0; i < r->run->n_requests; i++) {
        r->answers[i].prompt_tokens = -1;
        if (!j->tokenizer) continue;
        int32_t *ids;
        size_t n;
        const struct helm_text prompt = r->run->requests[i].prompt;
        TRY(cli_status(gptjt_encode(j->tokenizer, prompt.data, prompt.len, true, &ids, &n)));
        gptjt_free(ids);
        r->answers[i].prompt_tokens = (int64_t)n;
    }
    return OK;
}

/* The statistics beside HELM's own, if they are there and of the same requests. */
static enum status compare(const struct job *j, struct one_run *r, const char *dir)
{
    char path[HELM_PATH_MAX];
    TRY(file_join(path, sizeof path, dir, "stats.json"));
    if (j->set->limit || !file_exists(path)) return OK;
    json_t *theirs;
    TRY(helm_json_read_file(&theirs, path));
    enum status s = json_is_array(theirs) ? OK : fail(E_FORMAT, "%s: is no array of statistics", path);
    if (s == OK) s = helm_stats_compare(&r->agreement, r->different, r->rows, theirs);
    r->compared = s == OK;
    json_decref(theirs);
    return s;
}

static enum status recorded_answers(const struct job *j, struct one_run *r)
{
    for (int i = 0; i < r->run->n_requests; i++)
        r->answers[i].result = r->run->requests[i].result;
    return count_prompt_tokens(j, r);
}

static enum status evaluate(struct job *j, struct one_run *r, const char *dir)
{
    TRY(helm_run_open(&r->run, dir, (int)j->set->limit));
    r->answers = calloc((size_t)r->run->n_requests, sizeof *r->answers);
    r->different = json_array();
    if (!r->answers || !r->different) return fail(E_NOMEM, "%s: out of memory", dir);
    TRY(recorded_answers(j, r));
    TRY(helm_stats_compute(&r->stats, r->run, r->answers));
    TRY(helm_stats_json(&r->rows, r->stats));
    TRY(compare(j, r, dir));
    return show(j, r);
}

static enum status evaluate_all(struct job *j)
{
    if (!j->set->json) print_header(j);
    for (int i = 0; i < j->n_dirs; i++) {
        struct one_run r = {0};
        const enum status s = evaluate(j, &r, j->dirs[i]);
        helm_stats_free(r.stats);
        json_decref(r.rows);
        json_decref(r.different);
        free(r.answers);
        helm_run_close(r.run);
        TRY(s);
    }
    if (!j->set->json && j->n_dirs > 1) print_mean(j);
    return OK;
}

static enum status print_json(const struct job *j)
{
    json_t *all = json_pack("{sb sO}", "recorded", j->set->recorded, "runs", j->runs);
    if (!all) return fail(E_NOMEM, "no memory for the JSON output");
    const enum status s = json_write_stream_digits(all, stdout, false, 15);
    json_decref(all);
    return s;
}

/* ---- Settings ---- */

static void measure_names(struct job *j)
{
    j->name_width = 4;
    for (int i = 0; i < j->n_dirs; i++) {
        const char *slash = strrchr(j->dirs[i], '/');
        const int n = (int)strlen(slash ? slash + 1 : j->dirs[i]);
        if (n > j->name_width) j->name_width = n;
    }
}

/* Recorded answers need no model, but with one named its tokenizer counts the prompts' tokens. */
static enum status open_tokenizer(struct job *j)
{
    struct model_path path;
    if (!j->set->common.model) return OK;
    TRY(model_path_resolve(&path, j->set->common.model));
    TRY(cli_status(gptjt_tokenizer_open(&j->own_tokenizer, path.dir)));
    j->tokenizer = j->own_tokenizer;
    return OK;
}

static enum status run_job(struct job *j)
{
    TRY(helm_find_runs(&j->dirs, &j->n_dirs, j->set->helm));
    measure_names(j);
    j->runs = json_array();
    if (!j->runs) return fail(E_NOMEM, "out of memory");
    TRY(open_tokenizer(j));
    TRY(evaluate_all(j));
    return j->set->json ? print_json(j) : OK;
}

enum status eval_helm(const struct eval_settings *set)
{
    if (!set->recorded) return fail(E_UNSUPPORTED, "eval --helm without --recorded is being built");
    struct job j = {.set = set};
    const enum status s = run_job(&j);
    helm_free_list(j.dirs, j.n_dirs);
    json_decref(j.runs);
    gptjt_tokenizer_close(j.own_tokenizer);
    return s;
}
