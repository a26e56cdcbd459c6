// SPDX-License-Identifier: Apache-2.0
/* The classifier of gptjt.h: a spec from the options, and texts some at a time. What a prompt is and how labels are
 * scored is in fewshot.h and classify.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "eval/api.h"
#include "eval/classify.h"
#include "eval/shots.h"

struct gptjt_classifier {
    struct gptjt_classifier_options options;
    struct fewshot_spec spec;
    struct fewshot_shot *own_shots; /* [n_shots] of the options, or NULL */
    const char **own_labels;        /* those of them, or NULL */
    struct shots file;              /* shots_file's */
    struct classify *classify;
    size_t n_done, n_all; /* texts of the running call */
};

void gptjt_classifier_options_init(struct gptjt_classifier_options *o)
{
    *o = (struct gptjt_classifier_options){
        .list_labels = true, .label_name = "Label", .text_name = "Text", .content_free = "N/A"};
}

/* ---- From options to a spec ---- */

static enum status check_text(const char *text, const char *what)
{
    if (!text) return fail(E_ARG, "%s: is NULL", what);
    return utf8_valid(text, strlen(text)) ? OK : fail(E_ARG, "%s: is not UTF-8", what);
}

static enum status check_texts(const char *const *texts, int n, const char *what)
{
    if (n < 0 || (n && !texts)) return fail(E_ARG, "%s: %d of them", what, n);
    for (int i = 0; i < n; i++)
        TRY(check_text(texts[i], what));
    return OK;
}

static enum status check_options(const struct gptjt_classifier_options *o)
{
    TRY(check_texts(o->labels, o->n_labels, "labels"));
    TRY(check_texts(o->fields, o->n_fields, "fields"));
    if (o->instruction) TRY(check_text(o->instruction, "instruction"));
    TRY(check_text(o->label_name, "label_name"));
    TRY(check_text(o->text_name, "text_name"));
    TRY(check_text(o->content_free, "content_free"));
    if (o->n_shots < 0 || o->n_shots > SHOTS_MAX)
        return fail(E_LIMIT, "shots: %d of them, not 0 to %d", o->n_shots, SHOTS_MAX);
    if (o->n_shots && !o->shots) return fail(E_ARG, "shots: is NULL");
    if (o->n_shots && o->shots_file) return fail(E_ARG, "shots and a file of shots: give one of the two");
    if (!o->n_labels && !o->n_shots && !o->shots_file) return fail(E_ARG, "which labels? give labels or shots");
    return OK;
}

/* Without labels in the options the shots' are collected, [n_labels] in own_labels. */
static enum status take_label(struct gptjt_classifier *c, const char *label, int i)
{
    const struct gptjt_classifier_options *o = &c->options;
    if (shots_label_index(label, c->spec.labels, c->spec.n_labels) >= 0) return OK;
    if (o->n_labels) return fail(E_ARG, "shots: the label \"%s\" of number %d is not one of the labels", label, i + 1);
    if (c->spec.n_labels == SHOTS_MAX_LABELS) return fail(E_LIMIT, "shots: more than %d labels", SHOTS_MAX_LABELS);
    c->own_labels[c->spec.n_labels++] = label;
    return OK;
}

static enum status take_shots(struct gptjt_classifier *c)
{
    const struct gptjt_classifier_options *o = &c->options;
    const size_t n = (size_t)o->n_shots;
    c->own_shots = calloc(n, sizeof *c->own_shots);
    c->own_labels = calloc(n, sizeof *c->own_labels);
    if (!c->own_shots || !c->own_labels) return fail(E_NOMEM, "out of memory for %zu shots", n);
    if (!o->n_labels) c->spec.labels = c->own_labels;
    for (int i = 0; i < o->n_shots; i++) {
        const struct gptjt_shot *shot = &o->shots[i];
        TRY(check_texts(shot->values, c->spec.n_fields, "shots"));
        TRY(check_text(shot->label, "shots"));
        TRY(take_label(c, shot->label, i));
        c->own_shots[i] = (struct fewshot_shot){.values = shot->values, .label = shot->label};
    }
    c->spec.shots = c->own_shots;
    c->spec.n_shots = o->n_shots;
    return OK;
}

static enum status read_shots(struct gptjt_classifier *c)
{
    const struct gptjt_classifier_options *o = &c->options;
    const struct shots_query query = {.fields = o->fields, .n_fields = o->n_fields, .label_name = o->label_name};
    TRY(shots_load(&c->file, o->shots_file, &query, o->labels, o->n_labels));
    c->spec.shots = c->file.items;
    c->spec.n_shots = c->file.n;
    if (o->n_labels) return OK;
    c->spec.labels = c->file.labels;
    c->spec.n_labels = c->file.n_labels;
    return OK;
}

static enum status make_spec(struct gptjt_classifier *c)
{
    const struct gptjt_classifier_options *o = &c->options;
    TRY(check_options(o));
    c->spec = (struct fewshot_spec){.instruction = o->instruction,
                                    .labels = o->labels,
                                    .n_labels = o->n_labels,
                                    .list_labels = o->list_labels,
                                    .label_name = o->label_name,
                                    .names = o->n_fields ? o->fields : &c->options.text_name,
                                    .n_fields = o->n_fields ? o->n_fields : 1};
    if (o->shots_file) return read_shots(c);
    return o->n_shots ? take_shots(c) : OK;
}

/* ---- Open and close ---- */

static bool go_on(void *classifier, size_t done, size_t total)
{
    const struct gptjt_classifier *c = classifier;
    (void)done; /* of the tokens in one pass */
    (void)total;
    return c->options.progress(c->options.user, c->n_done, c->n_all);
}

static enum status open_classifier(struct gptjt_classifier *c, struct gptjt_engine *e)
{
    TRY(make_spec(c));
    const struct classify_options o = {
        .normalize = c->options.normalize == GPTJT_NORMALIZE_LENGTH ? CLASSIFY_NORMALIZE_LENGTH
                                                                    : CLASSIFY_NORMALIZE_NONE,
        .calibrate = c->options.calibrate,
        .content_free = c->options.content_free,
        .prompt_mask = c->options.prompt_mask,
        .progress = c->options.progress ? go_on : NULL,
        .user = c,
    };
    return classify_create(&c->classify, e, &c->spec, &o);
}

enum gptjt_status gptjt_classifier_open(struct gptjt_classifier **out, struct gptjt_engine *e,
                                        const struct gptjt_classifier_options *o)
{
    struct gptjt_classifier *c = calloc(1, sizeof *c);
    if (!c) return (enum gptjt_status)fail(E_NOMEM, "classifier: out of memory");
    c->options = *o;
    const enum status s = open_classifier(c, e);
    if (s == OK)
        *out = c;
    else
        gptjt_classifier_close(c);
    return (enum gptjt_status)s;
}

void gptjt_classifier_close(struct gptjt_classifier *c)
{
    if (!c) return;
    classify_free(c->classify);
    shots_free(&c->file);
    free(c->own_labels);
    free(c->own_shots);
    free(c);
}

int gptjt_classifier_labels(const struct gptjt_classifier *c, const char *const **labels)
{
    *labels = c->spec.labels;
    return c->spec.n_labels;
}

/* ---- Texts ---- */

enum gptjt_status gptjt_classifier_prompt(struct gptjt_classifier *c, const char *const *values, char **prompt,
                                          size_t *len)
{
    const struct fewshot_prompt *p;
    enum status s = check_texts(values, c->spec.n_fields, "text");
    if (s == OK) s = classify_prompt(c->classify, values, &p);
    if (s != OK) return (enum gptjt_status)s;
    char *copy = malloc(p->text.len + 1);
    if (!copy) return (enum gptjt_status)fail(E_NOMEM, "out of memory for a prompt of %zu bytes", p->text.len);
    memcpy(copy, p->text.data, p->text.len + 1);
    *prompt = copy;
    *len = p->text.len;
    return GPTJT_OK;
}

/* Where the results of a call go. */
struct answers {
    struct gptjt_classification *out;
    double *probabilities, *log_likelihoods; /* may be NULL */
};

static void put_numbers(double *all, size_t i, const double *numbers, int n_labels)
{
    if (all) memcpy(all + i * (size_t)n_labels, numbers, (size_t)n_labels * sizeof *numbers);
}

/* The next n of the texts. */
static enum status ask(struct gptjt_classifier *c, const char *const *values, int n, const struct answers *a)
{
    struct classify_result results[CLASSIFY_MANY];
    TRY(classify_run_many(c->classify, values + c->n_done * (size_t)c->spec.n_fields, n, results));
    for (int i = 0; i < n; i++, c->n_done++) {
        const struct classify_result *r = &results[i];
        a->out[c->n_done] = (struct gptjt_classification){
            .best = r->best, .n_shots = r->n_shots, .prompt_tokens = r->prompt_tokens, .n_dropped = r->n_dropped};
        put_numbers(a->probabilities, c->n_done, r->probabilities, c->spec.n_labels);
        put_numbers(a->log_likelihoods, c->n_done, r->log_likelihoods, c->spec.n_labels);
    }
    return OK;
}

/* When texts fail together they are asked one by one, to name the culprit. */
static enum status ask_together(struct gptjt_classifier *c, const char *const *values, int n, const struct answers *a)
{
    const enum status together = ask(c, values, n, a);
    if (together == OK || together == E_CANCELLED || together == E_NOMEM) return together;
    for (int i = 0; i < n; i++) {
        const enum status s = ask(c, values, 1, a);
        if (s == OK) continue;
        char message[512];
        snprintf(message, sizeof message, "%s", status_message());
        return fail(s, "text %zu: %s", c->n_done + 1, message);
    }
    return OK;
}

enum gptjt_status gptjt_classify(struct gptjt_classifier *c, const char *const *values, size_t n,
                                 struct gptjt_classification *out, double *probabilities, double *log_likelihoods)
{
    const struct answers a = {out, probabilities, log_likelihoods};
    struct batching batching = classify_batching(c->classify);
    enum status s = OK;
    c->n_done = 0;
    c->n_all = n;
    for (size_t i = 0; i < n && s == OK; i++)
        s = check_texts(values + i * (size_t)c->spec.n_fields, c->spec.n_fields, "text");
    while (s == OK && c->n_done < n) {
        s = ask_together(c, values, batching_next(&batching, n - c->n_done), &a);
        if (s == OK && c->options.progress && !c->options.progress(c->options.user, c->n_done, n))
            s = fail(E_CANCELLED, "stopped after %zu of %zu texts", c->n_done, n);
    }
    return (enum gptjt_status)s;
}
