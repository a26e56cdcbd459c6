// SPDX-License-Identifier: Apache-2.0
/* Asks a model the questions of a task; what is asked and kept is in task_run.h. */
#include "eval/task_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "eval/classify.h"
#include "eval/normalize.h"
#include "eval/reply.h"
#include "eval/rows.h"
#include "eval/rows_write.h"

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

static const char *mask_name(enum gptjt_mask mask)
{
    return mask == GPTJT_MASK_PREFIX ? "prefix" : "causal";
}

/* ---- Right or wrong ---- */

static enum status quasi_label(int *label, bool *quasi, const struct task_data *d, const char *text, const char *gold)
{
    struct buf a = {0}, b = {0};
    normalize_text(&a, text);
    normalize_text(&b, gold);
    *quasi = *text && a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
    *label = shots_label_index(text, d->labels, d->n_labels);
    for (int i = 0; *label < 0 && i < d->n_labels; i++) {
        buf_clear(&b);
        normalize_text(&b, d->labels[i]);
        if (a.len && a.len == b.len && !memcmp(a.data, b.data, a.len)) *label = i;
    }
    enum status s = buf_status(&a);
    if (s == OK) s = buf_status(&b);
    buf_free(&a);
    buf_free(&b);
    return s;
}

/* Fills in what follows from the text. */
static enum status judge(struct task_answer *a, const struct task_run *r, const char *text, const char *gold)
{
    a->text = strdup(text);
    if (!a->text) return fail(E_NOMEM, "%s: out of memory", r->task->name);
    a->exact = normalize_exact_match(text, gold);
    TRY(quasi_label(&a->label, &a->quasi, r->data, text, gold));
    a->correct = r->task->answer == TASK_GENERATE ? a->quasi : a->exact;
    return OK;
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
        uint64_t h = part_file_hash(PART_FILE_HASH, gptjt_version());
        h = part_file_hash(h, r->settings);
        h = part_file_hash(h, text);
        for (int i = 0; i < r->n_masks; i++)
            h = part_file_hash(h, mask_name(r->masks[i]));
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
    json_t *line = json_pack("{s:s, s:i, s:i, s:s, s:s, s:b}", "mask", mask_name(r->masks[at->mask]), "trial",
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

static enum status take_up(struct task_run *r, const char *line, size_t len)
{
    const struct place at = place_of(r, r->n_done);
    struct task_answer *a = &r->answers[r->n_done];
    json_t *object;
    int64_t trial = -1, instance = -1, prompt_tokens = 0, shots = 0, cut = 0;
    const char *text = NULL, *where = r->part.path;
    TRY(json_read_text(&object, line, len, where));
    enum status s = json_get_string(object, where, "answer", &text);
    if (s == OK) s = json_get_int(object, where, "trial", 0, INT32_MAX, &trial);
    if (s == OK) s = json_get_int(object, where, "instance", 0, INT32_MAX, &instance);
    if (s == OK) s = json_get_int(object, where, "prompt_tokens", 0, INT32_MAX, &prompt_tokens);
    if (s == OK) s = json_get_int(object, where, "shots", 0, INT32_MAX, &shots);
    if (s == OK) s = json_get_int(object, where, "cut", 0, INT32_MAX, &cut);
    if (s == OK) s = json_get_number(object, where, "probability", &a->probability);
    if (s == OK && (!text || trial != at.trial || instance != at.instance))
        s = fail(E_FORMAT, "%s: line %zu is not the answer that was to be there; remove the file", where,
                 r->n_done + 1);
    if (s == OK) s = judge(a, r, text, r->data->test.items[at.instance].label);
    a->prompt_tokens = (size_t)prompt_tokens;
    a->n_shots = (int)shots;
    a->n_dropped = (size_t)cut;
    json_decref(object);
    return s;
}

static enum status resume(struct task_run *r)
{
    uint64_t hash = 0, n, bytes;
    TRY(fingerprint(&hash, r));
    TRY(part_file_open(&r->part, r->out_path, hash));
    TRY(rows_count_whole(r->part.path, ROWS_JSONL, &n, &bytes));
    if (n > r->n) return fail(E_FORMAT, "%s: has more answers than there are questions; remove it", r->part.path);
    TRY(part_file_cut(&r->part, bytes));
    FILE *f = fopen(r->part.path, "re");
    if (!f) return fail(E_IO, "%s: cannot be read", r->part.path);
    char *line = NULL;
    size_t cap = 0;
    enum status s = OK;
    while (s == OK && r->n_done < n) {
        const ssize_t len = getline(&line, &cap, f);
        s = len < 0 ? fail(E_IO, "%s: cannot be read", r->part.path) : take_up(r, line, (size_t)len);
        if (s == OK) r->n_done++;
    }
    free(line);
    fclose(f);
    r->n_resumed = r->n_done;
    return s;
}

enum status task_run_open(struct task_run *r)
{
    r->n = (size_t)r->n_masks * (size_t)r->task->trials * (size_t)r->data->test.n;
    r->answers = calloc(r->n, sizeof *r->answers);
    if (!r->answers) return fail(E_NOMEM, "%s: out of memory for %zu answers", r->task->name, r->n);
    return r->out_path ? resume(r) : OK;
}

/* ---- Asking ---- */

/* One trial under one mask. */
struct asker {
    struct fewshot_spec spec;
    struct fewshot_shot shots[TASK_MAX_SHOTS];
    struct classify *classify; /* choice */
    struct reply *reply;       /* generate, free */
};

static enum status asker_open(struct asker *a, struct gptjt_engine *engine, const struct task_run *r,
                              const struct place *at)
{
    const struct task *t = r->task;
    *a = (struct asker){.spec = {.instruction = t->instruction,
                                 .labels = r->data->labels,
                                 .n_labels = r->data->n_labels,
                                 .list_labels = t->list_labels && t->answer != TASK_FREE,
                                 .label_name = t->label_name,
                                 .names = t->names,
                                 .n_fields = t->fields.n}};
    TRY(task_draw(a->shots, &a->spec.n_shots, t, r->data, at->trial));
    a->spec.shots = a->shots;
    if (t->answer != TASK_CHOICE)
        return reply_create(&a->reply, engine, &a->spec, (int)t->max_tokens, r->masks[at->mask]);
    const struct classify_options o = {.normalize = (enum classify_normalize)t->normalize,
                                       .calibrate = t->calibrate,
                                       .prompt_mask = r->masks[at->mask]};
    return classify_create(&a->classify, engine, &a->spec, &o);
}

static void asker_close(struct asker *a)
{
    classify_free(a->classify);
    reply_free(a->reply);
}

static enum status ask_choice(struct asker *a, struct task_run *r, const struct place *at, struct task_answer *out)
{
    const struct fewshot_shot *question = &r->data->test.items[at->instance];
    struct classify_result result;
    TRY(classify_run(a->classify, question->values, &result));
    TRY(judge(out, r, r->data->labels[result.best], question->label));
    out->probability = result.probabilities[result.best];
    out->prompt_tokens = result.prompt_tokens;
    out->n_shots = result.n_shots;
    out->n_dropped = result.n_dropped;
    return write_answer(r, at, out, result.log_likelihoods);
}

static enum status ask_words(struct asker *a, struct task_run *r, const struct place *at, struct task_answer *out)
{
    const struct fewshot_shot *question = &r->data->test.items[at->instance];
    struct reply_result result;
    TRY(reply_run(a->reply, question->values, &result));
    TRY(judge(out, r, result.text, question->label));
    out->prompt_tokens = result.prompt_tokens;
    out->n_shots = result.n_shots;
    out->n_dropped = result.n_dropped;
    return write_answer(r, at, out, NULL);
}

/* What is left of a trial. */
static enum status ask_trial(struct task_run *r, struct asker *a, size_t end, task_progress_fn *progress, void *user)
{
    while (r->n_done < end) {
        if (!progress(user))
            return fail(E_CANCELLED, "%s: stopped after %zu of %zu answers", r->task->name, r->n_done, r->n);
        const struct place at = place_of(r, r->n_done);
        struct task_answer *out = &r->answers[r->n_done];
        const enum status s = a->classify ? ask_choice(a, r, &at, out) : ask_words(a, r, &at, out);
        if (s != OK) return fail(s, "%s row %d: %s", r->task->test_path, at.instance + 1, status_message());
        r->n_done++;
    }
    return OK;
}

enum status task_run_all(struct task_run *r, struct gptjt_engine *engine, task_progress_fn *progress, void *user)
{
    struct asker *a = malloc(sizeof *a);
    if (!a) return fail(E_NOMEM, "%s: out of memory", r->task->name);
    enum status s = OK;
    while (s == OK && r->n_done < r->n) {
        const struct place at = place_of(r, r->n_done);
        const size_t end = r->n_done + (size_t)(r->data->test.n - at.instance);
        s = asker_open(a, engine, r, &at);
        if (s == OK) s = ask_trial(r, a, end, progress, user);
        asker_close(a);
    }
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
}
