// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_helm_show.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/amount.h"

static const enum helm_metric headline[] = {HELM_EXACT_MATCH, HELM_QUASI_EXACT_MATCH, HELM_PREFIX_EXACT_MATCH,
                                            HELM_QUASI_PREFIX_EXACT_MATCH};

static double headline_mean(const struct helm_evaluated *e, enum helm_metric m)
{
    return helm_stat_mean(helm_stats_headline(e->stats, m));
}

/* ---- The table ---- */

static void print_number(double x, int width)
{
    if (isnan(x))
        printf("  %*s", width, "-");
    else
        printf("  %*.4f", width, x);
}

static void print_trials(const struct helm_evaluated *e)
{
    double least = (double)INFINITY, most = -(double)INFINITY;
    const double *trials = helm_stats_trials(e->stats, HELM_QUASI_EXACT_MATCH);
    for (int i = 0; i < e->run->n_trials; i++) {
        if (trials[i] < least) least = trials[i];
        if (trials[i] > most) most = trials[i];
    }
    if (most >= least)
        printf("  %.3f - %.3f", least, most);
    else
        printf("  %13s", "-");
}

static void print_comparison(const struct helm_comparison *c)
{
    printf(
        "  recorded answers: same text %d of %d, same tokens up to the stop %d; tokens before the first that differs "
        "%" PRId64 " of %" PRId64 "\n",
        c->n_same_text, c->n_requests, c->n_same_tokens, c->n_agreeing, c->n_tokens);
    const char *before = "  first difference at token";
    for (int i = 0; i < HELM_FIRST_DIFFERENCES; i++) {
        if (!c->first_difference[i]) continue;
        printf("%s %d%s: %d", before, i + 1, i == HELM_FIRST_DIFFERENCES - 1 ? " or later" : "",
               c->first_difference[i]);
        before = ",";
    }
    if (before[0] == ',') printf("\n");
    if (c->n_logprobs)
        printf("  log-probabilities of %" PRId64 " recorded tokens, ours less theirs: mean %.3g; absolute: mean %.3g, "
               "median %.3g, largest %.3g (request %d)\n",
               c->n_logprobs, c->mean, c->mean_absolute, c->median_absolute, c->max_absolute, c->max_request);
    if (c->n_unscored) printf("  not scored: %d whose tokens this model does not have\n", c->n_unscored);
    if (c->n_cut) printf("  not compared: %d whose prompts had to be cut\n", c->n_cut);
}

static void print_row(const struct helm_show *s, const struct helm_evaluated *e)
{
    printf("%-*s  %8d", s->name_width, e->run->name, e->run->n_requests);
    for (int m = 0; m < HELM_N_MATCHES; m++)
        print_number(headline_mean(e, headline[m]), m == HELM_QUASI_PREFIX ? 12 : 6);
    print_trials(e);
    print_number(helm_stat_mean(helm_stats_robustness(e->stats, HELM_QUASI_EXACT_MATCH)), 7);
    print_number(helm_stat_mean(helm_stats_fairness(e->stats, HELM_QUASI_EXACT_MATCH)), 6);
    if (e->agreement_known) printf("  %d of %d", e->agreement.n_equal, e->agreement.n_computed);
    printf("\n");
    if (e->comparison_known) print_comparison(&e->comparison);
    fflush(stdout);
}

static void print_mean(const struct helm_show *s)
{
    printf("%-*s  %8s", s->name_width, "mean", "");
    for (int m = 0; m < HELM_N_MATCHES; m++)
        print_number(s->sums[m] / s->n_shown, m == HELM_QUASI_PREFIX ? 12 : 6);
    printf("\n");
}

/* ---- JSON ---- */

static json_t *headline_json(const struct helm_evaluated *e)
{
    json_t *metrics = json_object();
    for (int m = 0; m < HELM_N_METRICS; m++) {
        const double mean = headline_mean(e, (enum helm_metric)m);
        if (m >= HELM_EXACT_MATCH_K && m <= HELM_QUASI_PREFIX_EXACT_MATCH_K) continue; /* they are in "stats" */
        if (!isnan(mean)) json_object_set_new(metrics, helm_metric_name((enum helm_metric)m), json_real(mean));
    }
    return metrics;
}

static json_t *trials_json(const struct helm_evaluated *e)
{
    json_t *trials = json_object();
    for (int m = 0; m < HELM_N_MATCHES; m++) {
        json_t *list = json_array();
        const double *values = helm_stats_trials(e->stats, headline[m]);
        for (int i = 0; i < e->run->n_trials; i++)
            json_array_append_new(list, cli_json_number(values[i]));
        json_object_set_new(trials, helm_metric_name(headline[m]), list);
    }
    return trials;
}

static json_t *agreement_json(const struct helm_evaluated *e)
{
    const struct helm_agreement *a = &e->agreement;
    return json_pack("{si si si sO}", "rows", a->n_rows, "computed", a->n_computed, "equal", a->n_equal, "different",
                     e->different);
}

static json_t *comparison_json(const struct helm_comparison *c)
{
    json_t *first = json_array();
    for (int i = 0; i < HELM_FIRST_DIFFERENCES; i++)
        json_array_append_new(first, json_integer(c->first_difference[i]));
    return json_pack("{si si si si sI sI so si s{sI so so so so si}}", "requests", c->n_requests, "cut", c->n_cut,
                     "same_text", c->n_same_text, "same_tokens", c->n_same_tokens, "tokens", (json_int_t)c->n_tokens,
                     "tokens_before_difference", (json_int_t)c->n_agreeing, "first_difference", first, "unscored",
                     c->n_unscored, "logprobs", "tokens", (json_int_t)c->n_logprobs, "mean", cli_json_number(c->mean),
                     "mean_absolute", cli_json_number(c->mean_absolute), "median_absolute",
                     cli_json_number(c->median_absolute), "max_absolute", cli_json_number(c->max_absolute),
                     "max_request", c->max_request);
}

static enum status add_json(struct helm_show *s, const struct helm_evaluated *e)
{
    json_t *one = json_pack("{ss so so si si si sO}", "name", e->run->name, "metrics", headline_json(e), "trials",
                            trials_json(e), "requests", e->run->n_requests, "instances", e->run->n_instances,
                            "unanswered", helm_stats_unanswered(e->stats), "stats", e->rows);
    if (one && e->agreement_known) json_object_set_new(one, "stats_json", agreement_json(e));
    if (one && e->comparison_known) json_object_set_new(one, "compare_recorded", comparison_json(&e->comparison));
    if (json_array_append_new(s->runs, one)) return fail(E_NOMEM, "no memory for the JSON output");
    return OK;
}

/* ---- Both ---- */

/* What the numbers do not show. */
static void warn(const struct helm_evaluated *e)
{
    const int unanswered = helm_stats_unanswered(e->stats), unlabelled = helm_stats_unlabelled(e->stats);
    if (unanswered)
        log_line(LOG_WARN, "%s: %d of %d requests have no answer, which counts as wrong", e->run->name, unanswered,
                 e->run->n_requests);
    if (unlabelled)
        log_line(LOG_WARN, "%s: %d of %d requests have no right answer to compare with", e->run->name, unlabelled,
                 e->run->n_requests);
    size_t i;
    const json_t *metric;
    struct buf names = {0};
    json_array_foreach (e->different, i, metric)
        buf_printf(&names, "%s%s", i ? ", " : "", json_string_value(metric));
    if (names.len) log_line(LOG_WARN, "%s: its stats.json has other values of %s", e->run->name, names.data);
    buf_free(&names);
}

enum status helm_show_begin(struct helm_show *s, char *const *dirs, int n_dirs)
{
    s->name_width = 4;
    for (int i = 0; i < n_dirs; i++) {
        const char *slash = strrchr(dirs[i], '/');
        const int n = (int)strlen(slash ? slash + 1 : dirs[i]);
        if (n > s->name_width) s->name_width = n;
    }
    s->runs = json_array();
    return s->runs ? OK : fail(E_NOMEM, "no memory for the output");
}

enum status helm_show_run(struct helm_show *s, const struct helm_evaluated *e)
{
    for (int m = 0; m < HELM_N_MATCHES; m++)
        s->sums[m] += headline_mean(e, headline[m]);
    warn(e);
    if (!s->n_shown++ && !s->json)
        printf("%-*s  requests   exact   quasi  prefix  quasi prefix  quasi, trials   robust    fair%s\n",
               s->name_width, "", e->agreement_known ? "  stats.json" : "");
    if (s->json) return add_json(s, e);
    print_row(s, e);
    return OK;
}

enum status helm_show_end(struct helm_show *s, const struct cli_model *model)
{
    if (!s->json && s->n_shown > 1) print_mean(s);
    if (!s->json) return OK;
    json_t *all = model ? json_pack("{ss ss sb sO}", "model", model->name, "prompt_mask", cli_mask_name(model),
                                    "recorded", 0, "runs", s->runs)
                        : json_pack("{sb sO}", "recorded", 1, "runs", s->runs);
    if (!all) return fail(E_NOMEM, "no memory for the JSON output");
    const enum status status = json_write_stream_digits(all, stdout, false, 15);
    json_decref(all);
    return status;
}

void helm_show_free(struct helm_show *s)
{
    json_decref(s->runs);
}

/* ---- Estimates ---- */

struct duration {
    char text[48];
};

static struct duration duration(double seconds)
{
    struct duration d;
    const long long s = isnan(seconds) ? 0 : llround(seconds);
    if (isnan(seconds))
        snprintf(d.text, sizeof d.text, "unknown");
    else if (seconds < 10)
        snprintf(d.text, sizeof d.text, "%.1f s", seconds);
    else if (s < 120)
        snprintf(d.text, sizeof d.text, "%lld s", s);
    else if (s < 3600)
        snprintf(d.text, sizeof d.text, "%lld min %lld s", s / 60, s % 60);
    else
        snprintf(d.text, sizeof d.text, "%lld h %lld min", s / 3600, s / 60 % 60);
    return d;
}

static double per_second(uint64_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

static struct amount rate(uint64_t n, double seconds)
{
    const double r = per_second(n, seconds);
    struct amount a = amount_count(llround(r));
    if (r < 100) snprintf(a.text, sizeof a.text, "%.1f", r);
    return a;
}

void helm_show_estimate(FILE *to, const struct helm_work *w, const struct helm_pace *p)
{
    const struct helm_estimate e = helm_pace_estimate(p, w->n_requests, w->n_prompt_tokens, w->n_new_tokens);
    fprintf(to, "%s requests of %d run%s: %s prompt tokens, at most %s new ones\n",
            amount_count((int64_t)w->n_requests).text, w->n_runs, w->n_runs == 1 ? "" : "s",
            amount_count((int64_t)w->n_prompt_tokens).text, amount_count((int64_t)w->n_new_tokens).text);
    if (!p->n_requests) return;
    fprintf(to, "measured on %" PRIu64 " of them: %s prompt tokens/s, %s new tokens/s, %.1f new tokens an answer\n",
            p->n_requests, rate(p->n_prompt_tokens, p->prompt_s).text, rate(p->n_new_tokens, p->new_s).text,
            (double)p->n_new_tokens / (double)p->n_requests);
    fprintf(to, "estimate: %s, or %s if every answer is as long as it may be\n", duration(e.likely_s).text,
            duration(e.longest_s).text);
}

enum status helm_show_estimate_json(const struct helm_work *w, const struct helm_pace *p)
{
    const struct helm_estimate e = helm_pace_estimate(p, w->n_requests, w->n_prompt_tokens, w->n_new_tokens);
    return cli_json_print(json_pack(
        "{si sI sI sI sI so so so so}", "runs", w->n_runs, "requests", (json_int_t)w->n_requests, "prompt_tokens",
        (json_int_t)w->n_prompt_tokens, "max_new_tokens", (json_int_t)w->n_new_tokens, "measured_requests",
        (json_int_t)p->n_requests, "prompt_tokens_per_s", cli_json_number(per_second(p->n_prompt_tokens, p->prompt_s)),
        "new_tokens_per_s", cli_json_number(per_second(p->n_new_tokens, p->new_s)), "estimated_s",
        cli_json_number(e.likely_s), "longest_s", cli_json_number(e.longest_s)));
}
