// SPDX-License-Identifier: Apache-2.0
/* gptjt eval --text and --last-word: how well a model foretells text. The spans that are scored are in eval/text.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/eval.h"
#include "cli/interrupt.h"
#include "eval/api.h"
#include "eval/metrics.h"
#include "eval/text.h"

enum { MAX_PATH = 4096, SEED = 1 };

/* A file and what is scored of it. */
struct item {
    const char *path;
    bool last_word; /* else text */
    struct text_spans spans;
    struct span_run run;
    char out_path[MAX_PATH];
};

struct job {
    const struct eval_settings *set;
    struct item *items; /* [n] */
    int n;
    struct buf model_text;
    struct cli_model model;
    struct progress progress;
    uint64_t done; /* spans of the files before the one that is being scored */
};

/* ---- Scores ---- */

static enum status make_items(struct job *j)
{
    const struct eval_settings *set = j->set;
    j->items = calloc((size_t)set->text.n + 1, sizeof *j->items);
    if (!j->items) return fail(E_NOMEM, "out of memory");
    for (int i = 0; i < set->text.n; i++)
        j->items[j->n++].path = set->text.items[i];
    if (set->last_word) j->items[j->n++] = (struct item){.path = set->last_word, .last_word = true};
    return OK;
}

/* DIR/text-1.jsonl, ..., DIR/last-word.jsonl */
static enum status out_path(struct item *x, const struct job *j, int i)
{
    char name[64];
    if (x->last_word)
        strcpy(name, "last-word.jsonl");
    else
        snprintf(name, sizeof name, "text-%d.jsonl", i + 1);
    TRY(file_join(x->out_path, sizeof x->out_path, j->set->output, name));
    x->run.out_path = x->out_path;
    return OK;
}

static int64_t stride_of(const struct job *j)
{
    return j->set->stride ? j->set->stride : j->model.info.n_positions / 2;
}

static enum status open_item(struct job *j, int i)
{
    struct item *x = &j->items[i];
    const struct gptjt_engine *engine = j->model.engine;
    if (x->last_word)
        TRY(text_last_words(&x->spans, x->path, engine, j->set->limit));
    else
        TRY(text_windows(&x->spans, x->path, engine, stride_of(j), j->set->limit));
    struct span_run *r = &x->run;
    *r = (struct span_run){
        .ids = x->spans.ids, .spans = x->spans.spans, .n_spans = x->spans.n, .settings = j->model_text.data};
    r->n_masks = eval_masks(r->masks, j->set, x->last_word ? j->model.info.prompt_mask : GPTJT_MASK_CAUSAL);
    if (j->set->output) TRY(out_path(x, j, i));
    return span_run_open(r);
}

static bool on_progress(void *user, size_t n_done)
{
    struct job *j = user;
    progress_update(&j->progress, j->done + n_done);
    return !interrupt_seen();
}

static enum status score_all(struct job *j)
{
    uint64_t total = 0, resumed = 0;
    const bool quiet = j->set->common.quiet;
    TRY(cli_model_describe(&j->model_text, &j->model, &j->set->common));
    if (j->set->output) TRY(file_make_dirs(j->set->output));
    for (int i = 0; i < j->n; i++) {
        TRY(open_item(j, i));
        total += j->items[i].run.n;
        resumed += j->items[i].run.n_resumed;
    }
    if (resumed && !quiet) fprintf(stderr, "going on after %" PRIu64 " of %" PRIu64 " spans\n", resumed, total);
    interrupt_catch();
    progress_begin(&j->progress, "eval", "spans", total, quiet);
    j->progress.before = resumed;
    enum status s = OK;
    for (int i = 0; i < j->n && s == OK; i++) {
        s = span_run_all(&j->items[i].run, j->model.engine, on_progress, j);
        j->done += j->items[i].run.n_done;
    }
    progress_update(&j->progress, j->done);
    progress_end(&j->progress);
    if (s == E_CANCELLED)
        fprintf(stderr, "stopped after %" PRIu64 " of %" PRIu64 " spans%s\n", j->done, total,
                j->set->output ? "; they are kept, and the same command goes on from there" : "");
    for (int i = 0; i < j->n && s == OK; i++)
        s = span_run_finish(&j->items[i].run);
    return s;
}

/* ---- Results ---- */

static double log_likelihood(const struct item *x, int mask)
{
    double sum = 0;
    for (size_t i = 0; i < x->spans.n; i++)
        sum += x->run.scores[(size_t)mask * x->spans.n + i].log_likelihood;
    return sum;
}

static json_t *text_json(const struct job *j, const struct item *x)
{
    const double tokens = (double)x->spans.tokens, bytes = (double)x->spans.bytes;
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:i, s:I}", "file", x->path, "tokens", (json_int_t)x->spans.tokens,
                          "bytes", (json_int_t)x->spans.bytes, "windows", (json_int_t)x->spans.n, "window",
                          j->model.info.n_positions, "stride", (json_int_t)stride_of(j)),
           *masks = json_object();
    for (int m = 0; m < x->run.n_masks; m++) {
        const double sum = log_likelihood(x, m);
        json_put(&masks, api_mask_name(x->run.masks[m]),
                 json_pack("{s:f, s:f, s:f, s:f}", "log_likelihood", sum, "bits_per_byte", -sum / log(2) / bytes,
                           "bits_per_token", -sum / log(2) / tokens, "perplexity", exp(-sum / tokens)));
    }
    json_put(&o, "masks", masks);
    return o;
}

static json_t *interval_json(const struct metrics_interval *v)
{
    return json_pack("{s:f, s:[f, f]}", "accuracy", v->value, "interval", v->low, v->high);
}

static enum status put_difference(json_t **o, const struct span_run *r, double *x)
{
    int *d = calloc(r->n_spans, sizeof *d);
    if (!d) return fail(E_NOMEM, "out of memory");
    for (size_t i = 0; i < r->n_spans; i++)
        x[i] = d[i] = r->scores[i].greedy - r->scores[r->n_spans + i].greedy;
    double p = 1;
    const enum status s = metrics_sign_flip(&p, d, r->n_spans, 1);
    const struct metrics_interval v = metrics_mean(&(struct metrics_sample){x, r->n_spans}, 1, SEED);
    json_t *difference = interval_json(&v);
    json_put(&difference, "p", json_real(p));
    json_put(o, "difference", difference);
    free(d);
    return s;
}

static enum status last_word_json(json_t **out, const struct item *x)
{
    const struct span_run *r = &x->run;
    const size_t n = r->n_spans;
    json_t *o = json_pack("{s:s, s:I}", "file", x->path, "texts", (json_int_t)n), *masks = json_object();
    double *right = calloc(n, sizeof *right);
    enum status s = right ? OK : fail(E_NOMEM, "out of memory");
    for (int m = 0; s == OK && m < r->n_masks; m++) {
        for (size_t i = 0; i < n; i++)
            right[i] = r->scores[(size_t)m * n + i].greedy;
        const struct metrics_interval v = metrics_accuracy(&(struct metrics_sample){right, n}, SEED);
        json_t *one = interval_json(&v);
        json_put(&one, "perplexity", json_real(exp(-log_likelihood(x, m) / (double)n)));
        json_put(&masks, api_mask_name(r->masks[m]), one);
    }
    json_put(&o, "masks", masks);
    if (s == OK && r->n_masks == 2) s = put_difference(&o, r, right);
    free(right);
    *out = o;
    return s;
}

static enum status results_json(json_t **out, const struct job *j)
{
    json_t *o = eval_describe(&j->model, j->set), *texts = json_array();
    enum status s = OK;
    for (int i = 0; i < j->n && !j->items[i].last_word; i++)
        if (json_array_append_new(texts, text_json(j, &j->items[i]))) s = fail(E_NOMEM, "no memory for the results");
    json_put(&o, "texts", texts);
    if (s == OK && j->items[j->n - 1].last_word) {
        json_t *last = NULL;
        s = last_word_json(&last, &j->items[j->n - 1]);
        json_put(&o, "last_word", last);
    }
    if (s == OK && !o) s = fail(E_NOMEM, "no memory for the results");
    *out = o;
    return s;
}

static void print_texts(const json_t *texts)
{
    size_t i;
    const json_t *text, *one;
    const char *mask;
    if (json_array_size(texts)) puts("mask        tokens       bytes  bits/byte  bits/token  perplexity  file");
    json_array_foreach (texts, i, text) {
        json_object_foreach (json_object_get(text, "masks"), mask, one) {
            printf("%-6s  %10.0f  %10.0f  %9.4f  %10.4f  %10.4g  %s\n", mask, eval_number(text, "tokens"),
                   eval_number(text, "bytes"), eval_number(one, "bits_per_byte"), eval_number(one, "bits_per_token"),
                   eval_number(one, "perplexity"), json_string_value(json_object_get(text, "file")));
        }
    }
}

static void print_last_word(const json_t *last)
{
    const json_t *one, *d = json_object_get(last, "difference");
    const char *mask, *file = json_string_value(json_object_get(last, "file"));
    if (!last) return;
    puts("mask         texts  accuracy  95 % interval      perplexity  file");
    json_object_foreach (json_object_get(last, "masks"), mask, one) {
        printf("%-6s  %10.0f  %8.4f  %7.4f .. %6.4f  %10.4g  %s\n", mask, eval_number(last, "texts"),
               eval_number(one, "accuracy"), eval_bound(one, 0), eval_bound(one, 1), eval_number(one, "perplexity"),
               file);
    }
    if (d)
        printf("differ  %10.0f  %+8.4f  %+7.4f .. %+.4f  p %.2g\n", eval_number(last, "texts"),
               eval_number(d, "accuracy"), eval_bound(d, 0), eval_bound(d, 1), eval_number(d, "p"));
}

static enum status show(const struct job *j)
{
    json_t *results = NULL;
    enum status s = results_json(&results, j);
    if (s == OK) s = eval_write_results(j->set, results);
    if (s == OK && !j->set->json) {
        print_texts(json_object_get(results, "texts"));
        print_last_word(json_object_get(results, "last_word"));
    }
    json_decref(results);
    return s;
}

static enum status run_job(struct job *j)
{
    TRY(make_items(j));
    TRY(cli_model_open(&j->model, &j->set->common));
    if (j->set->last_word && !j->set->compare_masks) cli_mask_note(&j->model, &j->set->common);
    TRY(score_all(j));
    return show(j);
}

enum status eval_text(const struct eval_settings *set)
{
    struct job j = {.set = set};
    const enum status s = run_job(&j);
    for (int i = 0; i < j.n; i++) {
        span_run_free(&j.items[i].run);
        text_free(&j.items[i].spans);
    }
    free(j.items);
    buf_free(&j.model_text);
    cli_model_close(&j.model);
    return s;
}
