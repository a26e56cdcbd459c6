// SPDX-License-Identifier: Apache-2.0
/* Asks a model the questions of a task; what is asked and kept is in task_run.h. */
#include "eval/task_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "eval/api.h"
#include "eval/batching.h"
#include "eval/classify.h"
#include "eval/helm_text.h"
#include "eval/reply.h"

/* Which answer is the k-th: masks, in them trials, in them instances. */
struct place {
    int mask, trial, instance;
};

static struct place place_of(const struct task_run *r, size_t k)
{
    const size_t n = (size_t)r->data->test.n, trials = (size_t)r->task->trials;
    return (struct place){(int)(k / n / trials), (int)(k / n % trials), (int)(k % n)};
}

const struct task_answer *task_run_answer(const struct task_run *r, int mask, int trial, int instance)
{
    return &r->answers[((size_t)mask * (size_t)r->task->trials + (size_t)trial) * (size_t)r->data->test.n +
                       (size_t)instance];
}

/* ---- Right or wrong ---- */

static struct helm_text text_of(const char *text)
{
    return (struct helm_text){text, strlen(text)};
}

/* Which label an answer in the model's own words is: the same to the letter, or else the first that is the same when
 * both are normalised; -1: none. */
static enum status find_label(int *label, const struct task_run *r, const char *text)
{
    const struct task_data *d = r->data;
    *label = shots_label_index(text, d->labels, d->n_labels);
    enum status s = OK;
    for (int i = 0; s == OK && *label < 0 && i < d->n_labels; i++) {
        bool right[HELM_N_MATCHES];
        s = helm_match(right, text_of(d->labels[i]), text_of(text), r->locale);
        if (right[HELM_QUASI]) *label = i;
    }
    return s;
}

/* Fills in what follows from the text. */
static enum status judge(struct task_answer *a, const struct task_run *r, const char *text, const char *gold)
{
    bool right[HELM_N_MATCHES];
    free(a->text); /* of an attempt that failed behind here */
    a->text = strdup(text);
    if (!a->text) return fail(E_NOMEM, "%s: out of memory", r->task->name);
    TRY(helm_match(right, text_of(gold), text_of(text), r->locale));
    a->exact = right[HELM_EXACT];
    a->quasi = right[HELM_QUASI];
    a->correct = r->task->answer == TASK_GENERATE ? a->quasi : a->exact;
    return find_label(&a->label, r, text);
}

/* ---- The part file ---- */

static uint64_t hash_rows(uint64_t h, const struct shots *rows, int n_values)
{
    for (int i = 0; i < rows->n; i++) {
        for (int k = 0; k < n_values; k++)
            h = part_file_hash(h, rows->items[i].values[k]);
        h = part_file_hash(h, rows->items[i].label);
    }
    return h;
}

/* The rows themselves are hashed, not their files' times: a task that was copied goes on. */
static enum status fingerprint(uint64_t *out, const struct task_run *r)
{
    json_t *settings = options_json(task_options, r->task);
    char *text = settings ? json_dumps(settings, JSON_COMPACT) : NULL;
    if (text) {
        uint64_t h = part_file_hash(HASH_BEGIN, gptjt_version());
        h = part_file_hash(h, r->settings);
        h = part_file_hash(h, text);
        for (int i = 0; i < r->n_masks; i++)
            h = part_file_hash(h, api_mask_name(r->masks[i]));
        for (int i = 0; i < r->task->fields.n; i++)
            h = part_file_hash(h, r->task->names[i]);
        h = hash_rows(h, &r->data->train, r->task->fields.n);
        *out = hash_rows(h, &r->data->test, r->task->fields.n);
    }
    free(text);
    json_decref(settings);
    return text ? OK : fail(E_NOMEM, "%s: out of memory", r->task->name);
}

static enum status write_answer(struct task_run *r, const struct place *at, const struct task_answer *a,
                                const double *log_likelihoods)
{
    if (!r->out_path) return OK;
    const struct task_data *d = r->data;
    json_t *line = json_pack("{s:s, s:i, s:i, s:s, s:s, s:b}", "mask", api_mask_name(r->masks[at->mask]), "trial",
                             at->trial, "instance", at->instance, "gold", d->test.items[at->instance].label, "answer",
                             a->text, "correct", a->correct);
    bool ok = line != NULL;
    if (log_likelihoods) {
        json_t *by_label = json_object();
        for (int i = 0; i < d->n_labels; i++)
            ok = ok && !json_object_set_new(by_label, d->labels[i], json_real(log_likelihoods[i]));
        ok = ok && !json_object_set_new(line, "probability", json_real(a->probability));
        ok = !json_object_set_new(line, "log_likelihoods", by_label) && ok;
    }
    ok = ok && !json_object_set_new(line, "prompt_tokens", json_integer((json_int_t)a->prompt_tokens));
    ok = ok && !json_object_set_new(line, "shots", json_integer(a->n_shots));
    ok = ok && !json_object_set_new(line, "cut", json_integer((json_int_t)a->n_dropped));
    char *text = ok ? json_dumps(line, JSON_COMPACT) : NULL;
    struct buf out = {0};
    if (text) buf_printf(&out, "%s\n", text);
    const enum status s = text ? part_file_write(&r->part, &out) : fail(E_NOMEM, "%s: out of memory", r->task->name);
    buf_free(&out);
    free(text);
    json_decref(line);
    return s;
}

static enum status read_answer(struct task_run *r, struct task_answer *a, const json_t *line)
{
    const struct place at = place_of(r, r->n_done);
    int64_t trial = -1, instance = -1, prompt_tokens = 0, shots = 0, cut = 0;
    const char *text = NULL, *where = r->part.path;
    TRY(json_get_string(line, where, "answer", &text));
    TRY(json_get_int(line, where, "trial", 0, INT32_MAX, &trial));
    TRY(json_get_int(line, where, "instance", 0, INT32_MAX, &instance));
    TRY(json_get_int(line, where, "prompt_tokens", 0, INT32_MAX, &prompt_tokens));
    TRY(json_get_int(line, where, "shots", 0, INT32_MAX, &shots));
    TRY(json_get_int(line, where, "cut", 0, INT32_MAX, &cut));
    TRY(json_get_number(line, where, "probability", &a->probability));
    if (!text || trial != at.trial || instance != at.instance)
        return fail(E_FORMAT, "%s: line %zu is not the answer that was to be there; remove the file", where,
                    r->n_done + 1);
    a->prompt_tokens = (size_t)prompt_tokens;
    a->n_shots = (int)shots;
    a->n_dropped = (size_t)cut;
    return judge(a, r, text, r->data->test.items[at.instance].label);
}

static enum status take_up(void *run, const char *line, size_t len)
{
    struct task_run *r = run;
    json_t *object;
    if (r->n_done == r->n)
        return fail(E_FORMAT, "%s: has more answers than there are questions; remove it", r->part.path);
    TRY(json_read_text(&object, line, len, r->part.path));
    const enum status s = read_answer(r, &r->answers[r->n_done], object);
    r->n_done += s == OK;
    json_decref(object);
    return s;
}

enum status task_run_open(struct task_run *r)
{
    uint64_t hash = 0;
    r->n = (size_t)r->n_masks * (size_t)r->task->trials * (size_t)r->data->test.n;
    r->answers = calloc(r->n, sizeof *r->answers);
    if (!r->answers) return fail(E_NOMEM, "%s: out of memory for %zu answers", r->task->name, r->n);
    TRY(helm_text_locale(&r->locale));
    if (!r->out_path) return OK;
    TRY(fingerprint(&hash, r));
    TRY(part_file_open(&r->part, r->out_path, hash));
    return part_file_resume(&r->part, take_up, r, &r->n_resumed);
}

/* ---- Asking ---- */

/* One trial under one mask. */
struct asker {
    struct task_run *run;
    task_progress_fn *progress;
    void *user;
    const char **values; /* [BATCHING_MOST][n_fields] of the questions of a batch */
    struct fewshot_shot shots[TASK_MAX_SHOTS];
    struct fewshot_spec spec;
    struct classify *classify; /* choice */
    struct reply *reply;       /* generate, free */
};

static bool go_on(void *asker, size_t done, size_t total)
{
    const struct asker *a = asker;
    (void)done;
    (void)total;
    return a->progress(a->user, a->run->n_done);
}

static enum status open_trial(struct asker *a, struct gptjt_engine *engine, const struct place *at)
{
    const struct task *t = a->run->task;
    const struct task_data *d = a->run->data;
    const enum gptjt_mask mask = a->run->masks[at->mask];
    a->spec = (struct fewshot_spec){.instruction = t->instruction,
                                    .labels = d->labels,
                                    .n_labels = d->n_labels,
                                    .list_labels = t->list_labels,
                                    .label_name = t->label_name,
                                    .names = t->names,
                                    .n_fields = t->fields.n,
                                    .shots = a->shots};
    TRY(task_draw(a->shots, &a->spec.n_shots, t, d, at->trial));
    if (t->answer != TASK_CHOICE) {
        const struct reply_options o = {
            .max_tokens = (int)t->max_tokens, .prompt_mask = mask, .progress = go_on, .user = a};
        return reply_create(&a->reply, engine, &a->spec, &o);
    }
    const struct classify_options o = {.normalize = (enum classify_normalize)t->normalize,
                                       .calibrate = t->calibrate,
                                       .prompt_mask = mask,
                                       .progress = go_on,
                                       .user = a};
    return classify_create(&a->classify, engine, &a->spec, &o);
}

static void close_trial(struct asker *a)
{
    classify_free(a->classify);
    reply_free(a->reply);
    a->classify = NULL;
    a->reply = NULL;
}

static enum status ask_choice(const struct asker *a, int n, struct task_answer *out, const struct fewshot_shot *asked)
{
    struct classify_result results[CLASSIFY_MANY];
    struct task_run *r = a->run;
    TRY(classify_run_many(a->classify, a->values, n, results));
    for (int i = 0; i < n; i++) {
        const struct classify_result *x = &results[i];
        const struct place at = place_of(r, r->n_done);
        TRY(judge(&out[i], r, r->data->labels[x->best], asked[i].label));
        out[i].probability = x->probabilities[x->best];
        out[i].prompt_tokens = x->prompt_tokens;
        out[i].n_shots = x->n_shots;
        out[i].n_dropped = x->n_dropped;
        TRY(write_answer(r, &at, &out[i], x->log_likelihoods));
        r->n_done++;
    }
    return OK;
}

static enum status ask_words(const struct asker *a, int n, struct task_answer *out, const struct fewshot_shot *asked)
{
    struct reply_result results[REPLY_MANY];
    struct task_run *r = a->run;
    TRY(reply_run_many(a->reply, a->values, n, results));
    for (int i = 0; i < n; i++) {
        const struct reply_result *x = &results[i];
        const struct place at = place_of(r, r->n_done);
        TRY(judge(&out[i], r, x->text, asked[i].label));
        out[i].prompt_tokens = x->prompt_tokens;
        out[i].n_shots = x->n_shots;
        out[i].n_dropped = x->n_dropped;
        TRY(write_answer(r, &at, &out[i], NULL));
        r->n_done++;
    }
    return OK;
}

/* The next n questions of the trial. */
static enum status ask(struct asker *a, int n)
{
    struct task_run *r = a->run;
    struct task_answer *out = &r->answers[r->n_done];
    const struct fewshot_shot *asked = &r->data->test.items[place_of(r, r->n_done).instance];
    const size_t n_fields = (size_t)r->task->fields.n;
    for (int i = 0; i < n; i++)
        memcpy(a->values + (size_t)i * n_fields, asked[i].values, n_fields * sizeof *a->values);
    return a->classify ? ask_choice(a, n, out, asked) : ask_words(a, n, out, asked);
}

/* When questions fail together they are asked one by one, so that those before the culprit are kept and it is named. */
static enum status ask_batch(struct asker *a, int n)
{
    struct task_run *r = a->run;
    const size_t before = r->n_done;
    enum status s = ask(a, n);
    if (s == OK || s == E_CANCELLED || s == E_NOMEM || r->n_done != before) return s;
    for (int i = 0; i < n; i++) {
        const int row = place_of(r, r->n_done).instance + 1;
        s = ask(a, 1);
        if (s != OK) return fail(s, "%s row %d: %s", r->task->test_path, row, status_message());
    }
    return OK;
}

/* What is left of a trial. */
static enum status ask_trial(struct asker *a, struct gptjt_engine *engine)
{
    struct task_run *r = a->run;
    struct batching batching = batching_for(engine);
    const struct place at = place_of(r, r->n_done);
    const size_t end = r->n_done + (size_t)(r->data->test.n - at.instance);
    TRY(open_trial(a, engine, &at));
    while (r->n_done < end) {
        if (!a->progress(a->user, r->n_done)) return fail(E_CANCELLED, "%s: stopped", r->task->name);
        TRY(ask_batch(a, batching_next(&batching, end - r->n_done)));
    }
    return OK;
}

enum status task_run_all(struct task_run *r, struct gptjt_engine *engine, task_progress_fn *progress, void *user)
{
    struct asker *a = calloc(1, sizeof *a);
    const char **values = calloc(BATCHING_MOST * (size_t)r->task->fields.n, sizeof *values);
    enum status s = a && values ? OK : fail(E_NOMEM, "%s: out of memory", r->task->name);
    if (s == OK) *a = (struct asker){.run = r, .progress = progress, .user = user, .values = values};
    while (s == OK && r->n_done < r->n) {
        s = ask_trial(a, engine);
        close_trial(a);
    }
    free(values);
    free(a);
    return s;
}

enum status task_run_finish(struct task_run *r)
{
    return r->out_path ? part_file_finish(&r->part, r->out_path) : OK;
}

void task_run_free(struct task_run *r)
{
    part_file_close(&r->part);
    for (size_t i = 0; r->answers && i < r->n; i++)
        free(r->answers[i].text);
    free(r->answers);
    r->answers = NULL;
    if (r->locale) freelocale(r->locale);
    r->locale = (locale_t)0;
}
