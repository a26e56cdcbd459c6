// SPDX-License-Identifier: Apache-2.0
/* Counts answers and makes the object of task_results.h. A JSON value that could not be made is NULL and makes NULL of
 * what it is put into, so memory is checked once, at the end. */
#include "eval/task_results.h"

#include <stdlib.h>
#include <string.h>

#include "eval/api.h"
#include "eval/metrics.h"

static const char *mask_name(const struct task_run *r, int mask)
{
    return api_mask_name(r->masks[mask]);
}

/* ---- Instances ---- */

/* Rows of test that are taken together. */
struct group {
    const char *name; /* borrowed */
    int *rows;        /* [n] */
    int n;
};

/* What is counted again and again for different groups. */
struct scratch {
    double *x;            /* [instances] */
    int *d;               /* [instances] */
    struct group all;     /* every row */
    struct group *groups; /* [n_groups], in order of first appearance */
    int n_groups;
};

static int right_answers(const struct task_run *r, int mask, int instance)
{
    int right = 0;
    for (int t = 0; t < r->task->trials; t++)
        right += task_run_answer(r, mask, t, instance)->correct;
    return right;
}

/* Into x [g->n]: the share of trials in which an instance was answered rightly. */
static struct metrics_sample accuracies(double *x, const struct task_run *r, int mask, const struct group *g)
{
    for (int i = 0; i < g->n; i++)
        x[i] = (double)right_answers(r, mask, g->rows[i]) / (double)r->task->trials;
    return (struct metrics_sample){x, (size_t)g->n};
}

/* Into x: those of mask 0 less those of mask 1. */
static struct metrics_sample differences(double *x, const struct task_run *r, const struct group *g)
{
    for (int i = 0; i < g->n; i++)
        x[i] = (double)(right_answers(r, 0, g->rows[i]) - right_answers(r, 1, g->rows[i])) / (double)r->task->trials;
    return (struct metrics_sample){x, (size_t)g->n};
}

static void put_interval(json_t **o, const struct metrics_interval *v)
{
    json_put(o, "accuracy", json_real(v->value));
    json_put(o, "interval", json_pack("[f, f]", v->low, v->high));
}

/* ---- Groups ---- */

static enum status make_group(struct group *g, const char *name, int n)
{
    *g = (struct group){.name = name, .rows = calloc((size_t)n + 1, sizeof *g->rows)};
    return g->rows ? OK : fail(E_NOMEM, "results: out of memory");
}

static enum status make_groups(struct scratch *s, const struct task_data *d)
{
    int *sizes = calloc((size_t)d->n_groups + 1, sizeof *sizes);
    s->groups = calloc((size_t)d->n_groups + 1, sizeof *s->groups);
    enum status st = sizes && s->groups ? OK : fail(E_NOMEM, "results: out of memory");
    for (int i = 0; st == OK && d->n_groups && i < d->test.n; i++)
        sizes[d->group_of[i]]++;
    for (int g = 0; st == OK && g < d->n_groups; g++, s->n_groups++)
        st = make_group(&s->groups[g], d->groups[g], sizes[g]);
    for (int i = 0; st == OK && d->n_groups && i < d->test.n; i++) {
        struct group *g = &s->groups[d->group_of[i]];
        g->rows[g->n++] = i;
    }
    free(sizes);
    return st;
}

static enum status make_scratch(struct scratch *s, const struct task_run *r)
{
    const int n = r->data->test.n;
    s->x = calloc((size_t)n, sizeof *s->x);
    s->d = calloc((size_t)n, sizeof *s->d);
    if (!s->x || !s->d) return fail(E_NOMEM, "%s: out of memory", r->task->name);
    TRY(make_group(&s->all, "", n));
    for (int i = 0; i < n; i++)
        s->all.rows[s->all.n++] = i;
    return make_groups(s, r->data);
}

static void free_scratch(struct scratch *s)
{
    for (int i = 0; i < s->n_groups; i++)
        free(s->groups[i].rows);
    free(s->groups);
    free(s->all.rows);
    free(s->x);
    free(s->d);
}

static void put_groups(json_t **o, const struct task_run *r, int mask, const struct scratch *s)
{
    if (!s->n_groups) return;
    json_t *list = json_array();
    for (int i = 0; i < s->n_groups; i++) {
        const struct metrics_sample x = accuracies(s->x, r, mask, &s->groups[i]);
        const struct metrics_interval v = metrics_accuracy(&x, r->task->seed);
        json_t *g = json_pack("{s:s, s:i}", "name", s->groups[i].name, "instances", s->groups[i].n);
        put_interval(&g, &v);
        json_append(&list, g);
    }
    json_put(o, "groups", list);
}

/* Every group counts the same, however many instances it has. */
static void put_group_mean(json_t **o, const struct task_run *r, int mask, const struct scratch *s)
{
    struct metrics_sample *samples = calloc((size_t)s->n_groups + 1, sizeof *samples);
    double *x = s->x;
    for (int i = 0; samples && i < s->n_groups; i++) {
        samples[i] = accuracies(x, r, mask, &s->groups[i]);
        x += s->groups[i].n;
    }
    if (s->n_groups) {
        json_t *mean = samples ? json_object() : NULL;
        if (samples) {
            const struct metrics_interval v = metrics_mean(samples, s->n_groups, r->task->seed);
            put_interval(&mean, &v);
        }
        json_put(o, "group_mean", mean);
    }
    free(samples);
}

/* ---- One mask ---- */

/* [n_labels][n_labels + 1] of one trial, or of all for trial -1. */
static void count_confusion(uint64_t *confusion, const struct task_run *r, int mask, int trial)
{
    const struct task_data *d = r->data;
    memset(confusion, 0, (size_t)d->n_labels * ((size_t)d->n_labels + 1) * sizeof *confusion);
    for (int t = trial < 0 ? 0 : trial; t < (trial < 0 ? (int)r->task->trials : trial + 1); t++) {
        for (int i = 0; i < d->test.n; i++) {
            const int gold = shots_label_index(d->test.items[i].label, d->labels, d->n_labels);
            const int said = task_run_answer(r, mask, t, i)->label;
            confusion[gold * (d->n_labels + 1) + (said < 0 ? d->n_labels : said)]++;
        }
    }
}

static json_t *confusion_json(const uint64_t *confusion, int n)
{
    json_t *rows = json_array();
    for (int i = 0; i < n; i++) {
        json_t *row = json_array();
        for (int k = 0; k <= n; k++)
            json_append(&row, json_integer((json_int_t)confusion[i * (n + 1) + k]));
        json_append(&rows, row);
    }
    return rows;
}

static void put_labels(json_t **o, const struct task_run *r, int mask)
{
    const int n = r->data->n_labels;
    if (!n) return;
    uint64_t *confusion = calloc((size_t)n * ((size_t)n + 1), sizeof *confusion);
    double f1 = 0;
    for (int t = 0; confusion && t < r->task->trials; t++) {
        count_confusion(confusion, r, mask, t);
        f1 += metrics_macro_f1(confusion, n);
    }
    json_put(o, "macro_f1", json_real(f1 / (double)r->task->trials));
    if (confusion) count_confusion(confusion, r, mask, -1);
    json_put(o, "confusion", confusion ? confusion_json(confusion, n) : NULL);
    free(confusion);
}

static void put_calibration(json_t **o, const struct task_run *r, int mask)
{
    struct metrics_bin bins[METRICS_BINS] = {0};
    if (r->task->answer != TASK_CHOICE) return;
    for (int t = 0; t < r->task->trials; t++) {
        for (int i = 0; i < r->data->test.n; i++) {
            const struct task_answer *a = task_run_answer(r, mask, t, i);
            metrics_bin_add(bins, a->probability, a->correct);
        }
    }
    json_t *list = json_array();
    for (int b = 0; b < METRICS_BINS; b++) {
        if (!bins[b].n) continue;
        const double n = (double)bins[b].n;
        json_append(&list, json_pack("{s:f, s:f, s:I, s:f, s:f}", "from", b / (double)METRICS_BINS, "to",
                                     (b + 1) / (double)METRICS_BINS, "n", (json_int_t)bins[b].n, "probability",
                                     bins[b].confidence / n, "accuracy", (double)bins[b].n_correct / n));
    }
    json_put(o, "ece", json_real(metrics_ece(bins)));
    json_put(o, "reliability", list);
}

static void put_trials(json_t **o, const struct task_run *r, int mask)
{
    json_t *by_trial = json_array();
    double exact = 0, quasi = 0;
    for (int t = 0; t < r->task->trials; t++) {
        int correct = 0;
        for (int i = 0; i < r->data->test.n; i++) {
            const struct task_answer *a = task_run_answer(r, mask, t, i);
            correct += a->correct;
            exact += a->exact;
            quasi += a->quasi;
        }
        json_append(&by_trial, json_real((double)correct / r->data->test.n));
    }
    const double n = (double)r->task->trials * r->data->test.n;
    json_put(o, "by_trial", by_trial);
    if (r->task->answer == TASK_CHOICE) return;
    json_put(o, "exact_match", json_real(exact / n));
    json_put(o, "quasi_exact_match", json_real(quasi / n));
}

static void put_prompts(json_t **o, const struct task_run *r, int mask)
{
    uint64_t tokens = 0, fewer = 0, cut = 0, n = 0;
    const int shots = r->task->shots < r->data->train.n ? (int)r->task->shots : r->data->train.n;
    for (int t = 0; t < r->task->trials; t++) {
        for (int i = 0; i < r->data->test.n; i++, n++) {
            const struct task_answer *a = task_run_answer(r, mask, t, i);
            tokens += a->prompt_tokens;
            fewer += a->n_shots < shots;
            cut += a->n_dropped > 0;
        }
    }
    json_put(o, "prompt_tokens", json_real((double)tokens / (double)n));
    json_put(o, "fewer_shots", json_integer((json_int_t)fewer));
    json_put(o, "cut", json_integer((json_int_t)cut));
}

static json_t *mask_json(const struct task_run *r, int mask, const struct scratch *s)
{
    json_t *o = json_object();
    const struct metrics_sample x = accuracies(s->x, r, mask, &s->all);
    const struct metrics_interval v = metrics_accuracy(&x, r->task->seed);
    put_interval(&o, &v);
    put_trials(&o, r, mask);
    put_labels(&o, r, mask);
    put_calibration(&o, r, mask);
    put_groups(&o, r, mask, s);
    put_group_mean(&o, r, mask, s);
    put_prompts(&o, r, mask);
    return o;
}

/* ---- Both masks ---- */

static enum status put_difference(json_t **o, const struct task_run *r, const struct group *g, const struct scratch *s)
{
    const struct metrics_sample x = differences(s->x, r, g);
    const struct metrics_interval v = metrics_mean(&x, 1, r->task->seed);
    double p;
    for (int i = 0; i < g->n; i++)
        s->d[i] = right_answers(r, 0, g->rows[i]) - right_answers(r, 1, g->rows[i]);
    TRY(metrics_sign_flip(&p, s->d, (size_t)g->n, (int)r->task->trials));
    put_interval(o, &v);
    json_put(o, "p", json_real(p));
    return OK;
}

static enum status difference_json(json_t **out, const struct task_run *r, const struct scratch *s)
{
    json_t *o = json_object(), *list = json_array();
    enum status st = put_difference(&o, r, &s->all, s);
    for (int i = 0; st == OK && i < s->n_groups; i++) {
        json_t *g = json_pack("{s:s}", "name", s->groups[i].name);
        st = put_difference(&g, r, &s->groups[i], s);
        json_append(&list, g);
    }
    if (s->n_groups)
        json_put(&o, "groups", list);
    else
        json_decref(list);
    *out = o;
    return st;
}

/* ---- Wrong answers ---- */

static json_t *text_of(const struct task_run *r, int instance)
{
    json_t *text = json_string("");
    for (int i = 0; text && i < r->task->fields.n; i++) {
        json_t *longer = json_sprintf("%s%s%s", json_string_value(text), i ? "\n" : "",
                                      r->data->test.items[instance].values[i]);
        json_decref(text);
        text = longer;
    }
    return text;
}

static void put_wrong(json_t **out, const struct task_run *r, int n_wrong)
{
    json_t *list = json_array();
    int n = 0;
    for (int i = 0; i < r->data->test.n; i++) {
        bool wrong = false;
        for (int m = 0; m < r->n_masks; m++)
            wrong |= !task_run_answer(r, m, 0, i)->correct;
        if (!wrong || n++ >= n_wrong) continue;
        json_t *o = json_pack("{s:i, s:o, s:s}", "instance", i, "text", text_of(r, i), "gold",
                              r->data->test.items[i].label);
        for (int m = 0; m < r->n_masks; m++) {
            const struct task_answer *a = task_run_answer(r, m, 0, i);
            json_put(&o, mask_name(r, m), json_pack("{s:s, s:b}", "answer", a->text, "correct", a->correct));
        }
        json_append(&list, o);
    }
    json_put(out, "wrong", list);
    json_put(out, "n_wrong", json_integer(n));
}

/* ---- A task, and all ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The share of the most frequent right answer. */
static enum status majority(double *share, const struct shots *test)
{
    const char **gold = calloc((size_t)test->n, sizeof *gold);
    if (!gold) return fail(E_NOMEM, "out of memory");
    for (int i = 0; i < test->n; i++)
        gold[i] = test->items[i].label;
    qsort(gold, (size_t)test->n, sizeof *gold, by_text);
    int most = 0;
    for (int i = 0, run = 0; i < test->n; i++) {
        run = i && !strcmp(gold[i], gold[i - 1]) ? run + 1 : 1;
        most = run > most ? run : most;
    }
    free(gold);
    *share = (double)most / test->n;
    return OK;
}

static json_t *labels_json(const struct task_data *d)
{
    json_t *list = json_array();
    for (int i = 0; i < d->n_labels; i++)
        json_append(&list, json_string(d->labels[i]));
    return list;
}

static enum status task_json(json_t **out, const struct task_run *r, const struct scratch *s, int n_wrong)
{
    static const char *const kinds[] = {"choice", "generate", "free"};
    double common = 0;
    TRY(majority(&common, &r->data->test));
    json_t *o = json_pack("{s:s, s:s, s:i, s:I, s:I}", "name", r->task->name, "answer", kinds[r->task->answer],
                          "instances", r->data->test.n, "trials", (json_int_t)r->task->trials, "shots",
                          (json_int_t)r->task->shots);
    json_t *masks = json_object();
    json_put(&o, "labels", labels_json(r->data));
    json_put(&o, "majority", json_real(common));
    for (int m = 0; m < r->n_masks; m++)
        json_put(&masks, mask_name(r, m), mask_json(r, m, s));
    json_put(&o, "masks", masks);
    enum status st = OK;
    if (r->n_masks == 2) {
        json_t *difference;
        st = difference_json(&difference, r, s);
        json_put(&o, "difference", difference);
    }
    if (n_wrong) put_wrong(&o, r, n_wrong);
    json_put(&o, "settings", options_json(task_options, r->task));
    *out = o;
    return st;
}

/* x [runs]: each [instances], of one mask, or for mask -1 the differences. */
static void mean_samples(struct metrics_sample *samples, double *x, const struct task_run *runs, int n, int mask,
                         const struct scratch *scratch)
{
    for (int i = 0; i < n; i++) {
        samples[i] = mask < 0 ? differences(x, &runs[i], &scratch[i].all)
                              : accuracies(x, &runs[i], mask, &scratch[i].all);
        x += samples[i].n;
    }
}

/* Every task counts the same. */
static json_t *mean_json(const struct task_run *runs, int n, const struct scratch *scratch)
{
    size_t rows = 0;
    for (int i = 0; i < n; i++)
        rows += (size_t)runs[i].data->test.n;
    double *x = calloc(rows, sizeof *x);
    struct metrics_sample *samples = calloc((size_t)n, sizeof *samples);
    json_t *o = x && samples ? json_object() : NULL, *masks = json_object();
    for (int m = 0; o && m < runs->n_masks; m++) {
        json_t *one = json_object();
        mean_samples(samples, x, runs, n, m, scratch);
        const struct metrics_interval v = metrics_mean(samples, n, 1);
        put_interval(&one, &v);
        json_put(&masks, mask_name(runs, m), one);
    }
    json_put(&o, "masks", masks);
    if (o && runs->n_masks == 2) {
        json_t *one = json_object();
        mean_samples(samples, x, runs, n, -1, scratch);
        const struct metrics_interval v = metrics_mean(samples, n, 1);
        put_interval(&one, &v);
        json_put(&one, "p", json_real(metrics_sign_flip_sampled(samples, n, 1)));
        json_put(&o, "difference", one);
    }
    free(x);
    free(samples);
    return o;
}

enum status task_results(json_t **out, const struct task_run *runs, int n_runs, int n_wrong)
{
    json_t *o = json_object(), *tasks = json_array();
    struct scratch *scratch = calloc((size_t)n_runs, sizeof *scratch);
    enum status s = scratch ? OK : fail(E_NOMEM, "results: out of memory");
    for (int i = 0; s == OK && i < n_runs; i++) {
        json_t *task = NULL;
        s = make_scratch(&scratch[i], &runs[i]);
        if (s == OK) s = task_json(&task, &runs[i], &scratch[i], n_wrong);
        json_append(&tasks, task);
    }
    json_put(&o, "tasks", tasks);
    if (s == OK && n_runs > 1) json_put(&o, "mean", mean_json(runs, n_runs, scratch));
    for (int i = 0; scratch && i < n_runs; i++)
        free_scratch(&scratch[i]);
    free(scratch);
    if (s == OK && !o) s = fail(E_NOMEM, "results: out of memory");
    if (s == OK)
        *out = o;
    else
        json_decref(o);
    return s;
}
