// SPDX-License-Identifier: Apache-2.0
/* Sums values over instances and trials into HELM's rows; see helm_stats.h for what the rows are. Values of one request
 * are found in helm_values.c. */
#include "eval/helm_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "eval/helm_values.h"

/* Rows that no instance, split or trial has: of all requests together. */
enum total {
    TOTAL_PROMPT_TOKENS,
    TOTAL_COMPLETIONS,
    TOTAL_MAX_TOKENS,
    TOTAL_COMPLETION_TOKENS,
    TOTAL_REQUESTS,
    N_TOTALS
};
static const char *const total_names[N_TOTALS] = {"num_prompt_tokens", "num_completions", "max_num_output_tokens",
                                                  "num_completion_tokens", "num_requests"};

static const char *const metric_names[HELM_N_METRICS] = {
    [HELM_EXACT_MATCH] = "exact_match",
    [HELM_QUASI_EXACT_MATCH] = "quasi_exact_match",
    [HELM_PREFIX_EXACT_MATCH] = "prefix_exact_match",
    [HELM_QUASI_PREFIX_EXACT_MATCH] = "quasi_prefix_exact_match",
    [HELM_EXACT_MATCH_K] = "exact_match",
    [HELM_QUASI_EXACT_MATCH_K] = "quasi_exact_match",
    [HELM_PREFIX_EXACT_MATCH_K] = "prefix_exact_match",
    [HELM_QUASI_PREFIX_EXACT_MATCH_K] = "quasi_prefix_exact_match",
    [HELM_MAX_PROB] = "max_prob",
    [HELM_LOGPROB] = "logprob",
    [HELM_NUM_PERPLEXITY_TOKENS] = "num_perplexity_tokens",
    [HELM_NUM_BYTES] = "num_bytes",
    [HELM_NUM_PROMPT_TOKENS] = "num_prompt_tokens",
    [HELM_NUM_OUTPUT_TOKENS] = "num_output_tokens",
    [HELM_NUM_REFERENCES] = "num_references",
    [HELM_NUM_TRAIN_TRIALS] = "num_train_trials",
    [HELM_NUM_TRAIN_INSTANCES] = "num_train_instances",
    [HELM_PROMPT_TRUNCATED] = "prompt_truncated",
    [HELM_INFERENCE_RUNTIME] = "inference_runtime",
    [HELM_BATCH_SIZE] = "batch_size",
    [HELM_INFERENCE_DENOISED_RUNTIME] = "inference_denoised_runtime",
    [HELM_FINISH_REASON_LENGTH] = "finish_reason_length",
    [HELM_FINISH_REASON_STOP] = "finish_reason_stop",
    [HELM_FINISH_REASON_ENDOFTEXT] = "finish_reason_endoftext",
    [HELM_FINISH_REASON_UNKNOWN] = "finish_reason_unknown",
    [HELM_PERPLEXITY] = "perplexity",
    [HELM_BITS_PER_BYTE] = "bits_per_byte",
    [HELM_LOGPROB_PER_BYTE] = "logprob_per_byte",
    [HELM_NUM_INSTANCES] = "num_instances",
    [HELM_ECE_1_BIN] = "ece_1_bin",
    [HELM_SELECTIVE_COV_ACC_AREA] = "selective_cov_acc_area",
    [HELM_SELECTIVE_ACC_10] = "selective_acc@10",
};

const char *helm_metric_name(enum helm_metric m)
{
    return metric_names[m];
}

/* Views of one split: 0 is plain, 1..P perturbed by each of the P perturbations, then the smallest of robustness and of
 * fairness, then original and worst of each perturbation. */
enum { VIEW_PLAIN = 0 };

struct helm_stats {
    const struct helm_run *run;
    int n_splits, n_perturbations, n_views;
    int split;              /* of the headline */
    struct helm_stat *rows; /* [n_splits][n_views][HELM_N_METRICS] */
    struct helm_stat totals[N_TOTALS];
    double *trials; /* [HELM_N_METRICS][n_trials of the run] the headline of each */
    int n_unanswered, n_unlabelled;
};

struct computing {
    struct helm_stats *s;
    double (*values)[HELM_N_INSTANCE_METRICS]; /* [n_requests] NaN: has none */
    struct helm_stat *rows;                    /* as those of s, of the trial at hand */
    const struct helm_request **order;         /* [n_requests] by trial, instance, and place in the file */
    double (*calibration)[2];                  /* [n_requests] probability and whether it was right */
};

static int perturbed_view(int p)
{
    return 1 + p;
}

static int smallest_view(const struct helm_stats *s, bool fairness)
{
    return 1 + s->n_perturbations + fairness;
}

static int original_view(const struct helm_stats *s, int p)
{
    return 3 + s->n_perturbations + 2 * p;
}

static int worst_view(const struct helm_stats *s, int p)
{
    return original_view(s, p) + 1;
}

static size_t row_of(const struct helm_stats *s, int split, int view)
{
    return ((size_t)split * (size_t)s->n_views + (size_t)view) * HELM_N_METRICS;
}

/* ---- Sums ---- */

static void add(struct helm_stat *s, double x)
{
    if (isnan(x)) return;
    s->min = s->count && s->min < x ? s->min : x;
    s->max = s->count && s->max > x ? s->max : x;
    s->sum += x;
    s->sum_squared += x * x;
    s->count++;
}

double helm_stat_mean(const struct helm_stat *s)
{
    return s->count ? s->sum / (double)s->count : (double)NAN;
}

static const double *values_of(const struct computing *c, const struct helm_request *q)
{
    return c->values[q - c->s->run->requests];
}

static void add_values(struct helm_stat *row, const double *values)
{
    for (int m = 0; m < HELM_N_INSTANCE_METRICS; m++)
        add(&row[m], values[m]);
}

static void keep_smaller(double *smallest, const double *values)
{
    for (int m = 0; m < HELM_N_INSTANCE_METRICS; m++)
        if (isnan(smallest[m]) || values[m] < smallest[m]) smallest[m] = values[m];
}

static void none(double *values)
{
    for (int m = 0; m < HELM_N_INSTANCE_METRICS; m++)
        values[m] = (double)NAN;
}

/* The requests q [n] about one instance in one trial: as it is, perturbed, and the smallest over copies. */
static void add_instance(struct computing *c, const struct helm_request *const *q, int n)
{
    const struct helm_stats *s = c->s;
    double original[HELM_N_INSTANCE_METRICS], smallest[2][HELM_N_INSTANCE_METRICS];
    none(original);
    for (int i = 0; i < n; i++)
        if (q[i]->perturbation < 0) keep_smaller(original, values_of(c, q[i]));
    memcpy(smallest[0], original, sizeof original);
    memcpy(smallest[1], original, sizeof original);
    for (int i = 0; i < n; i++) {
        const double *values = values_of(c, q[i]);
        const int p = q[i]->perturbation;
        add_values(c->rows + row_of(s, q[i]->split, p < 0 ? VIEW_PLAIN : perturbed_view(p)), values);
        if (p < 0) continue;
        const json_t *perturbation = json_array_get(s->run->perturbations, (size_t)p);
        if (json_is_true(json_object_get(perturbation, "robustness"))) keep_smaller(smallest[0], values);
        if (json_is_true(json_object_get(perturbation, "fairness"))) keep_smaller(smallest[1], values);
        double worst[HELM_N_INSTANCE_METRICS];
        memcpy(worst, original, sizeof worst);
        keep_smaller(worst, values);
        add_values(c->rows + row_of(s, q[i]->split, original_view(s, p)), original);
        add_values(c->rows + row_of(s, q[i]->split, worst_view(s, p)), worst);
    }
    for (int fairness = 0; fairness < 2; fairness++)
        add_values(c->rows + row_of(s, q[0]->split, smallest_view(s, fairness)), smallest[fairness]);
}

/* ---- Metrics of all instances together ---- */

static int by_probability(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (x[0] < y[0]) - (x[0] > y[0]);
}

/* Accuracy over the surest k answers: its mean over k, and at a tenth of them. */
static void add_selective(struct computing *c, struct helm_stat *row, size_t n)
{
    if (!n) return;
    qsort(c->calibration, n, sizeof *c->calibration, by_probability);
    double right = 0, area = 0, tenth = 0;
    for (size_t i = 0; i < n; i++) {
        right += c->calibration[i][1];
        const double accuracy = right / (double)(i + 1);
        area += accuracy;
        if (i == (size_t)(0.1 * (double)n)) tenth = accuracy;
    }
    add(&row[HELM_SELECTIVE_COV_ACC_AREA], area / (double)n);
    add(&row[HELM_SELECTIVE_ACC_10], tenth);
}

static void add_calibration(struct computing *c, struct helm_stat *row, const struct helm_request *const *q, int n,
                            int split, int view)
{
    size_t known = 0;
    double probability = 0, right = 0;
    for (int i = 0; i < n; i++) {
        const double *v = values_of(c, q[i]);
        if (q[i]->split != split || perturbed_view(q[i]->perturbation) != view) continue;
        if (isnan(v[HELM_MAX_PROB]) || isnan(v[HELM_EXACT_MATCH])) continue;
        c->calibration[known][0] = v[HELM_MAX_PROB];
        c->calibration[known++][1] = v[HELM_EXACT_MATCH];
        probability += v[HELM_MAX_PROB];
        right += v[HELM_EXACT_MATCH];
    }
    if (known) add(&row[HELM_ECE_1_BIN], fabs(probability - right) / (double)known);
    add_selective(c, row, known);
}

static void add_perplexity(struct helm_stat *row)
{
    const double sum = row[HELM_LOGPROB].sum, tokens = row[HELM_NUM_PERPLEXITY_TOKENS].sum,
                 bytes = row[HELM_NUM_BYTES].sum;
    if (!row[HELM_LOGPROB].count) return;
    if (tokens > 0) add(&row[HELM_PERPLEXITY], exp(-sum / tokens));
    if (bytes > 0) add(&row[HELM_BITS_PER_BYTE], -sum / bytes / M_LN2);
    if (bytes > 0) add(&row[HELM_LOGPROB_PER_BYTE], sum / bytes);
}

static void add_together(struct computing *c, const struct helm_request *const *q, int n)
{
    const struct helm_stats *s = c->s;
    for (int split = 0; split < s->n_splits; split++) {
        for (int view = VIEW_PLAIN; view <= s->n_perturbations; view++) {
            struct helm_stat *row = c->rows + row_of(s, split, view);
            const int64_t instances = row[HELM_NUM_TRAIN_TRIALS].count; /* which every request has */
            if (!instances) continue;
            add(&row[HELM_NUM_INSTANCES], (double)instances);
            add_perplexity(row);
            add_calibration(c, row, q, n, split, view);
        }
    }
}

/* ---- Trials ---- */

static void add_trial(struct computing *c, const struct helm_request *const *q, int n)
{
    struct helm_stats *s = c->s;
    const size_t n_rows = row_of(s, s->n_splits, 0), headline = row_of(s, s->split, VIEW_PLAIN);
    memset(c->rows, 0, n_rows * sizeof *c->rows);
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && q[end]->instance == q[i]->instance;)
            end++;
        add_instance(c, q + i, end - i);
    }
    add_together(c, q, n);
    for (size_t i = 0; i < n_rows; i++)
        if (c->rows[i].count) add(&s->rows[i], helm_stat_mean(&c->rows[i]));
    for (int m = 0; m < HELM_N_METRICS; m++)
        s->trials[m * s->run->n_trials + q[0]->trial] = helm_stat_mean(&c->rows[headline + (size_t)m]);
}

static int by_trial(const void *a, const void *b)
{
    const struct helm_request *x = *(const struct helm_request *const *)a, *y = *(const struct helm_request *const *)b;
    if (x->trial != y->trial) return x->trial < y->trial ? -1 : 1;
    if (x->instance != y->instance) return x->instance < y->instance ? -1 : 1;
    return (x > y) - (x < y);
}

static void add_totals(struct helm_stats *s, const struct helm_answer *answers)
{
    for (int i = 0; i < s->run->n_requests; i++) {
        const struct helm_request *q = &s->run->requests[i];
        const json_t *completions = json_object_get(answers[i].result, "completions"), *one;
        size_t k, tokens = 0;
        json_array_foreach (completions, k, one)
            tokens += json_array_size(json_object_get(one, "tokens"));
        if (answers[i].prompt_tokens >= 0) add(&s->totals[TOTAL_PROMPT_TOKENS], (double)answers[i].prompt_tokens);
        add(&s->totals[TOTAL_COMPLETIONS], q->num_completions);
        add(&s->totals[TOTAL_MAX_TOKENS], (double)q->num_completions * q->max_tokens);
        add(&s->totals[TOTAL_COMPLETION_TOKENS], (double)tokens);
    }
    add(&s->totals[TOTAL_REQUESTS], s->run->n_requests);
}

static enum status find_values(struct computing *c, const struct helm_answer *answers)
{
    struct helm_stats *s = c->s;
    locale_t locale;
    TRY(helm_text_locale(&locale));
    enum status status = OK;
    for (int i = 0; status == OK && i < s->run->n_requests; i++) {
        const struct helm_request *q = &s->run->requests[i];
        c->order[i] = q;
        none(c->values[i]);
        status = helm_values(c->values[i], s->run, q, &answers[i], locale);
        s->n_unanswered += !answers[i].result;
        s->n_unlabelled += isnan(c->values[i][HELM_EXACT_MATCH]);
    }
    freelocale(locale);
    return status;
}

static enum status compute(struct computing *c, const struct helm_answer *answers)
{
    const int n = c->s->run->n_requests;
    TRY(find_values(c, answers));
    add_totals(c->s, answers);
    qsort(c->order, (size_t)n, sizeof *c->order, by_trial);
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && c->order[end]->trial == c->order[i]->trial;)
            end++;
        add_trial(c, c->order + i, end - i);
    }
    return OK;
}

/* The split named test, else the first. */
static int headline_split(const struct helm_run *run)
{
    size_t i;
    const json_t *split;
    json_array_foreach (run->splits, i, split) {
        const char *name = json_string_value(json_object_get(split, "split"));
        if (name && !strcmp(name, "test")) return (int)i;
    }
    return 0;
}

enum status helm_stats_compute(struct helm_stats **out, const struct helm_run *run, const struct helm_answer *answers)
{
    struct helm_stats *s = calloc(1, sizeof *s);
    if (!s) return fail(E_NOMEM, "%s: out of memory", run->path);
    s->run = run;
    s->n_splits = (int)json_array_size(run->splits);
    s->n_perturbations = (int)json_array_size(run->perturbations);
    s->n_views = 3 + 3 * s->n_perturbations;
    s->split = headline_split(run);
    const size_t n_rows = row_of(s, s->n_splits, 0), n = (size_t)run->n_requests;
    s->rows = calloc(n_rows, sizeof *s->rows);
    s->trials = calloc((size_t)HELM_N_METRICS * (size_t)run->n_trials, sizeof *s->trials);
    struct computing c = {.s = s,
                          .values = calloc(n, sizeof *c.values),
                          .rows = calloc(n_rows, sizeof *c.rows),
                          .order = calloc(n, sizeof *c.order),
                          .calibration = calloc(n, sizeof *c.calibration)};
    const bool room = s->rows && s->trials && c.values && c.rows && c.order && c.calibration;
    enum status status = room ? OK : fail(E_NOMEM, "%s: out of memory", run->path);
    if (room) {
        for (int i = 0; i < HELM_N_METRICS * run->n_trials; i++)
            s->trials[i] = (double)NAN;
        status = compute(&c, answers);
    }
    free(c.values);
    free(c.rows);
    free(c.order);
    free(c.calibration);
    if (status == OK)
        *out = s;
    else
        helm_stats_free(s);
    return status;
}

void helm_stats_free(struct helm_stats *s)
{
    if (!s) return;
    free(s->rows);
    free(s->trials);
    free(s);
}

/* ---- Reading them ---- */

int helm_stats_unanswered(const struct helm_stats *s)
{
    return s->n_unanswered;
}

int helm_stats_unlabelled(const struct helm_stats *s)
{
    return s->n_unlabelled;
}

const struct helm_stat *helm_stats_headline(const struct helm_stats *s, enum helm_metric m)
{
    return &s->rows[row_of(s, s->split, VIEW_PLAIN) + m];
}

const struct helm_stat *helm_stats_robustness(const struct helm_stats *s, enum helm_metric m)
{
    return &s->rows[row_of(s, s->split, smallest_view(s, false)) + m];
}

const struct helm_stat *helm_stats_fairness(const struct helm_stats *s, enum helm_metric m)
{
    return &s->rows[row_of(s, s->split, smallest_view(s, true)) + m];
}

const double *helm_stats_trials(const struct helm_stats *s, enum helm_metric m)
{
    return s->trials + (int)m * s->run->n_trials;
}

/* ---- JSON ---- */

/* What the name of a row says of its view; null for the plain one. New reference. */
static json_t *view_json(const struct helm_stats *s, int view)
{
    const int p = s->n_perturbations;
    if (view == VIEW_PLAIN) return json_null();
    if (view <= p) return json_deep_copy(json_array_get(s->run->perturbations, (size_t)view - 1));
    if (view <= p + 2)
        return json_pack("{ss sb sb ss}", "name", view == p + 1 ? "robustness" : "fairness", "robustness",
                         view == p + 1, "fairness", view == p + 2, "computed_on", "worst");
    json_t *copy = json_deep_copy(json_array_get(s->run->perturbations, (size_t)(view - p - 3) / 2));
    const char *on = view == worst_view(s, (view - p - 3) / 2) ? "worst" : "original";
    if (copy) json_object_set_new(copy, "computed_on", json_string(on));
    return copy;
}

/* Takes the reference to name. */
static json_t *row_json(json_t *name, const struct helm_stat *row)
{
    const double mean = helm_stat_mean(row), square = row->sum_squared / (double)row->count - mean * mean;
    const double variance = square > 0 ? square : 0;
    return json_pack("{so sI sf sf sf sf sf sf sf}", "name", name, "count", (json_int_t)row->count, "sum", row->sum,
                     "sum_squared", row->sum_squared, "min", row->min, "max", row->max, "mean", mean, "variance",
                     variance, "stddev", sqrt(variance));
}

static json_t *name_json(const struct helm_stats *s, enum helm_metric m, int split, int view)
{
    const bool of_k = m >= HELM_EXACT_MATCH_K && m <= HELM_QUASI_PREFIX_EXACT_MATCH_K;
    json_t *name = of_k ? json_pack("{so}", "name", json_sprintf("%s@%d", metric_names[m], s->run->num_outputs))
                        : json_pack("{ss}", "name", metric_names[m]);
    json_t *perturbation = view_json(s, view);
    if (name) json_object_update(name, json_array_get(s->run->splits, (size_t)split));
    if (name && view != VIEW_PLAIN) json_object_set(name, "perturbation", perturbation);
    json_decref(perturbation);
    return name;
}

enum status helm_stats_json(json_t **out, const struct helm_stats *s)
{
    json_t *array = json_array();
    bool room = array != NULL;
    for (int m = 0; m < HELM_N_METRICS; m++) {
        for (int split = 0; split < s->n_splits; split++) {
            for (int view = 0; view < s->n_views; view++) {
                const struct helm_stat *row = &s->rows[row_of(s, split, view) + (size_t)m];
                if (!row->count || !room) continue;
                json_t *name = name_json(s, (enum helm_metric)m, split, view);
                room = !json_array_append_new(array, row_json(name, row));
            }
        }
    }
    for (int t = 0; t < N_TOTALS; t++)
        if (s->totals[t].count && room)
            room = !json_array_append_new(array, row_json(json_pack("{ss}", "name", total_names[t]), &s->totals[t]));
    if (!room) {
        json_decref(array);
        return fail(E_NOMEM, "%s: no memory for its statistics", s->run->path);
    }
    *out = array;
    return OK;
}

/* ---- Agreement ---- */

static bool close_enough(const json_t *a, const json_t *b, const char *key)
{
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
    if (!json_is_number(x) || !json_is_number(y)) return false;
    const double p = json_number_value(x), q = json_number_value(y), size = fmax(1, fmax(fabs(p), fabs(q)));
    return fabs(p - q) <= 1e-9 * size;
}

static bool rows_agree(const json_t *ours, const json_t *theirs)
{
    static const char *const keys[] = {"count", "sum", "min", "max", "mean"};
    bool equal = true;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        equal = equal && close_enough(ours, theirs, keys[i]);
    return equal;
}

/* The row's name as a text that is the same whatever the order of its members. */
static char *row_key(const json_t *row)
{
    return json_dumps(json_object_get(row, "name"), JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
}

static const char *row_metric(const json_t *row)
{
    return json_string_value(json_object_get(json_object_get(row, "name"), "name"));
}

static void note(json_t *list, const char *name)
{
    size_t i;
    const json_t *known;
    json_array_foreach (list, i, known)
        if (!strcmp(json_string_value(known), name)) return;
    json_array_append_new(list, json_string(name));
}

static enum status index_rows(json_t *rows, json_t *metrics, const json_t *ours)
{
    size_t i;
    json_t *row;
    json_array_foreach (ours, i, row) {
        char *key = row_key(row);
        const bool room = key && !json_object_set(rows, key, row) && !json_object_set(metrics, row_metric(row), row);
        free(key);
        if (!room) return fail(E_NOMEM, "out of memory");
    }
    return OK;
}

enum status helm_stats_compare(struct helm_agreement *out, json_t *different, const json_t *ours, const json_t *theirs)
{
    *out = (struct helm_agreement){0};
    json_t *rows = json_object(), *metrics = json_object();
    enum status s = rows && metrics ? index_rows(rows, metrics, ours) : fail(E_NOMEM, "out of memory");
    size_t i;
    const json_t *row;
    json_array_foreach (theirs, i, row) {
        const char *metric = row_metric(row);
        if (s != OK || !metric) continue;
        out->n_rows++;
        if (!json_object_get(metrics, metric)) continue;
        out->n_computed++;
        char *key = row_key(row);
        const bool equal = key && rows_agree(json_object_get(rows, key), row);
        free(key);
        out->n_equal += equal;
        if (!equal) note(different, metric);
    }
    json_decref(rows);
    json_decref(metrics);
    return s;
}
