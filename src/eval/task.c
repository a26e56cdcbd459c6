// SPDX-License-Identifier: Apache-2.0
/* Task files and their rows; task.h has what they look like. */
#include "eval/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/yaml.h"
#include "eval/classify.h"

enum { MAX_TRIALS = 1000, MAX_TOKENS = 1 << 16 };

#define FIELD(name) .offset = offsetof(struct task, name)

const struct option task_options[] = {
    {.name = "name", .type = OPTION_STRING, FIELD(name), .help = "of the report (default: the file's name)"},
    {.name = "instruction", .type = OPTION_STRING, FIELD(instruction), .help = "what the task is, first in the prompt"},
    {.name = "fields", .type = OPTION_STRINGS, FIELD(fields), .help = "columns that make up the text"},
    {.name = "label", .type = OPTION_STRING, FIELD(label), .help = "the column with the right answer"},
    {.name = "label-name", .type = OPTION_STRING, FIELD(label_name), .help = "the prompt's word before the answer"},
    {.name = "labels",
     .type = OPTION_STRINGS,
     FIELD(labels),
     .help = "what to choose from (default: the labels of the train file)"},
    {.name = "answer",
     .type = OPTION_CHOICE,
     FIELD(answer),
     .choices = TASK_ANSWER_NAMES,
     .help = "the likeliest label, or what the model says, matched with the labels or as it is"},
    {.name = "normalize",
     .type = OPTION_CHOICE,
     FIELD(normalize),
     .choices = "none|length",
     .help = "choice: length compares log-likelihoods per token"},
    {.name = "calibrate",
     .type = OPTION_FLAG,
     FIELD(calibrate),
     .help = "choice: divide by each label's probability for a text without content"},
    {.name = "list-labels", .type = OPTION_FLAG, FIELD(list_labels), .help = "list the possible labels in the prompt"},
    {.name = "max-tokens",
     .type = OPTION_INT,
     FIELD(max_tokens),
     .min = 1,
     .max = MAX_TOKENS,
     .help = "generate, free: tokens of an answer"},
    {.name = "shots",
     .type = OPTION_INT,
     FIELD(shots),
     .max = TASK_MAX_SHOTS,
     .help = "examples in the prompt, from the train file"},
    {.name = "trials", .type = OPTION_INT, FIELD(trials), .min = 1, .max = MAX_TRIALS, .help = "draws of the examples"},
    {.name = "seed", .type = OPTION_SEED, FIELD(seed), .help = "of the draws"},
    {.name = "train",
     .type = OPTION_STRING,
     FIELD(train),
     .help = "csv or jsonl file of examples, relative to the task file"},
    {.name = "test",
     .type = OPTION_STRING,
     FIELD(test),
     .help = "csv or jsonl file of questions, relative to the task file"},
    {.name = "group", .type = OPTION_STRING, FIELD(group), .help = "a column: results also for each of its values"},
    {0},
};

static const struct task defaults = {
    .label = "label", .label_name = "Label", .list_labels = true, .max_tokens = 30, .shots = 5, .trials = 3, .seed = 1};

/* ---- The file ---- */

/* An entry of fields is a column, or {column: the name that the prompt shows}. Appends the column to columns. */
static enum status read_field(json_t *columns, const char **name, const json_t *entry, const char *path)
{
    const char *column = json_string_value(entry);
    *name = column;
    if (json_is_object(entry) && json_object_size(entry) == 1) {
        void *only = json_object_iter((json_t *)(uintptr_t)entry);
        column = json_object_iter_key(only);
        *name = json_string_value(json_object_iter_value(only));
    }
    if (!column || !*name)
        return fail(E_ARG, "%s: an entry of \"fields\" is neither a column nor \"column: name\"", path);
    return json_array_append_new(columns, json_string(column)) ? fail(E_NOMEM, "%s: out of memory", path) : OK;
}

/* In settings, the list of fields becomes a list of columns, which the option table knows how to read. */
static enum status read_fields(struct task *t, json_t *settings, const char *path)
{
    json_t *list = json_object_get(settings, "fields");
    t->fields_list = json_incref(list);
    if (!list || json_is_null(list))
        return fail(E_ARG, "%s: has no \"fields\", the columns that make up the text", path);
    const size_t n = json_is_array(list) ? json_array_size(list) : 1;
    if (!n || n >= ROWS_MAX_COLUMNS) return fail(E_ARG, "%s: \"fields\" has %zu columns", path, n);
    json_t *columns = json_array();
    t->names = calloc(n, sizeof *t->names);
    enum status s = columns && t->names ? OK : fail(E_NOMEM, "%s: out of memory", path);
    for (size_t i = 0; i < n && s == OK; i++)
        s = read_field(columns, &t->names[i], json_is_array(list) ? json_array_get(list, i) : list, path);
    if (s != OK)
        json_decref(columns);
    else if (json_object_set_new(settings, "fields", columns))
        s = fail(E_NOMEM, "%s: out of memory", path);
    return s;
}

/* The file's name without what is in front of and behind it. */
static char *name_of(const char *path)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    const char *dot = strrchr(base, '.');
    return strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

/* name, as seen from the directory that path is in. */
static enum status beside(char **out, const char *path, const char *name)
{
    const char *slash = *name == '/' ? NULL : strrchr(path, '/');
    const size_t dir = slash ? (size_t)(slash - path) + 1 : 0, len = strlen(name);
    *out = malloc(dir + len + 1);
    if (!*out) return fail(E_NOMEM, "%s: out of memory", path);
    memcpy(*out, path, dir);
    memcpy(*out + dir, name, len + 1);
    return OK;
}

static enum status check_columns(const struct task *t, const char *path)
{
    for (int i = 0; i < t->fields.n; i++) {
        if (!strcmp(t->fields.items[i], t->label))
            return fail(E_ARG, "%s: column \"%s\" is the right answer, so it cannot be part of the text", path,
                        t->label);
        for (int k = 0; k < i; k++)
            if (!strcmp(t->fields.items[i], t->fields.items[k]))
                return fail(E_ARG, "%s: column \"%s\" is in \"fields\" twice", path, t->fields.items[i]);
    }
    return OK;
}

static enum status check(const struct task *t, const char *path)
{
    const bool free_answer = t->answer == TASK_FREE;
    TRY(check_columns(t, path));
    if (!t->test) return fail(E_ARG, "%s: has no \"test\", the file of questions", path);
    if (t->shots && !t->train)
        return fail(E_ARG, "%s: \"shots\" is %lld, but there is no \"train\" file to take them from", path,
                    (long long)t->shots);
    if (!t->shots && t->trials > 1)
        return fail(E_ARG, "%s: \"trials\" is %lld, but trials differ by their shots and \"shots\" is 0", path,
                    (long long)t->trials);
    if (free_answer && t->labels.n)
        return fail(E_ARG, "%s: \"labels\" belong to answer choice or generate, not to free", path);
    if (!free_answer && !t->labels.n && !t->train)
        return fail(E_ARG, "%s: neither \"labels\" nor a \"train\" file that has them", path);
    if (t->answer != TASK_CHOICE && (t->calibrate || t->normalize))
        return fail(E_ARG, "%s: \"%s\" belongs to answer choice", path, t->calibrate ? "calibrate" : "normalize");
    if (t->labels.n && classify_check_labels(t->labels.items, t->labels.n) != OK)
        return fail(E_ARG, "%s: %s", path, status_message());
    return OK;
}

static enum status read_settings(struct task *t, const char *path)
{
    if (!json_is_object(t->file)) return fail(E_ARG, "%s: is not a task, a mapping of settings", path);
    option_given given = 0;
    TRY(read_fields(t, t->file, path));
    TRY(options_parse_json(task_options, t, path, t->file, &given));
    if (!t->shots && !options_given(task_options, given, "trials")) t->trials = 1;
    if (!t->name) t->name = t->own_name = name_of(path);
    if (!t->name) return fail(E_NOMEM, "%s: out of memory", path);
    TRY(check(t, path));
    if (t->train) TRY(beside(&t->train_path, path, t->train));
    return beside(&t->test_path, path, t->test);
}

static enum status read_task(struct task *out, json_t *file, const char *path)
{
    struct task t = defaults;
    t.file = file;
    const enum status s = read_settings(&t, path);
    if (s == OK)
        *out = t;
    else
        task_free(&t);
    return s;
}

enum status task_set_shots(struct task *t, int64_t shots)
{
    t->shots = shots;
    if (!shots) t->trials = 1;
    return check(t, t->name);
}

enum status task_read(struct task *out, const char *path)
{
    json_t *file;
    TRY(yaml_read_file(&file, path));
    return read_task(out, file, path);
}

enum status task_read_text(struct task *out, const char *text, size_t len, const char *path)
{
    json_t *file;
    TRY(yaml_read_text(&file, text, len, path));
    return read_task(out, file, path);
}

void task_free(struct task *t)
{
    options_free(task_options, t);
    free(t->names);
    free(t->train_path);
    free(t->test_path);
    free(t->own_name);
    json_decref(t->fields_list);
    json_decref(t->file);
    *t = (struct task){0};
}

/* ---- Its rows ---- */

static enum status load_rows(struct task_data *out, const struct task *t, const char **fields)
{
    struct shots_query query = {
        .fields = fields, .n_fields = t->fields.n, .label_field = t->label, .any_label = t->answer == TASK_FREE};
    if (t->train_path) TRY(shots_load(&out->train, t->train_path, &query, t->labels.items, t->labels.n));
    out->labels = t->labels.n ? t->labels.items : out->train.labels;
    out->n_labels = t->labels.n ? t->labels.n : out->train.n_labels;
    if (t->answer != TASK_FREE && classify_check_labels(out->labels, out->n_labels) != OK)
        return fail(E_FORMAT, "%s: %s", t->train_path, status_message());
    query.n_fields += t->group != NULL;
    query.any_label = true;
    return shots_load(&out->test, t->test_path, &query, out->labels, out->n_labels);
}

static enum status find_groups(struct task_data *d, const struct task *t)
{
    if (!t->group) return OK;
    d->groups = calloc(TASK_MAX_GROUPS, sizeof *d->groups);
    d->group_of = calloc((size_t)d->test.n, sizeof *d->group_of);
    if (!d->groups || !d->group_of) return fail(E_NOMEM, "%s: out of memory", t->name);
    for (int i = 0; i < d->test.n; i++) {
        const char *name = d->test.items[i].values[t->fields.n];
        int at = shots_label_index(name, d->groups, d->n_groups);
        if (at < 0 && d->n_groups == TASK_MAX_GROUPS)
            return fail(E_LIMIT, "%s: column \"%s\" has more than %d different values, too many for \"group\"",
                        t->test_path, t->group, TASK_MAX_GROUPS);
        if (at < 0) d->groups[at = d->n_groups++] = name;
        d->group_of[i] = at;
    }
    return OK;
}

enum status task_load(struct task_data *out, const struct task *t, int64_t limit)
{
    struct task_data d = {0};
    const char **fields = calloc((size_t)t->fields.n + 1, sizeof *fields);
    if (!fields) return fail(E_NOMEM, "%s: out of memory", t->name);
    memcpy(fields, t->fields.items, (size_t)t->fields.n * sizeof *fields);
    fields[t->fields.n] = t->group;
    enum status s = load_rows(&d, t, fields);
    if (s == OK && limit && d.test.n > limit) shots_keep(&d.test, (int)limit);
    if (s == OK) s = find_groups(&d, t);
    free(fields);
    if (s == OK)
        *out = d;
    else
        task_data_free(&d);
    return s;
}

void task_data_free(struct task_data *d)
{
    shots_free(&d->train);
    shots_free(&d->test);
    free(d->groups);
    free(d->group_of);
    *d = (struct task_data){0};
}

/* ---- Draws ---- */

/* A label's rows in train. */
struct class
{
    int label, n;
    double tie; /* random: orders labels of the same n */
    int next;   /* where in the shuffled rows to look on */
};

static int by_frequency(const void *a, const void *b)
{
    const struct class *x = a, *y = b;
    if (x->n != y->n) return x->n > y->n ? -1 : 1;
    return (x->tie > y->tie) - (x->tie < y->tie);
}

/* The rows of train in random order, each with its label's place (0 for free answers). */
struct shuffled {
    int *rows, *labels; /* [n] */
    int n;
    struct class *classes; /* [n_labels] */
};

static void shuffle(struct shuffled *x, uint64_t seed, uint64_t stream)
{
    for (int i = 0; i < x->n; i++)
        x->rows[i] = i;
    for (int i = x->n - 1; i > 0; i--) {
        const int k = (int)(rng_uniform(seed, stream, (uint64_t)i) * (i + 1));
        const int row = x->rows[i];
        x->rows[i] = x->rows[k];
        x->rows[k] = row;
    }
}

/* The next row of a class in shuffled order, -1 when there are no more. */
static int next_of(const struct shuffled *x, struct class *c)
{
    while (c->next < x->n && x->labels[c->next] != c->label)
        c->next++;
    return c->next < x->n ? x->rows[c->next++] : -1;
}

static void sort_classes(struct shuffled *x, const struct task_data *d, uint64_t seed, uint64_t stream)
{
    for (int i = 0; i < d->n_labels; i++)
        x->classes[i] = (struct class){.label = i, .tie = rng_uniform(seed, stream, UINT64_MAX - (uint64_t)i)};
    for (int i = 0; i < x->n; i++) {
        x->labels[i] = shots_label_index(d->train.items[x->rows[i]].label, d->labels, d->n_labels);
        x->classes[x->labels[i]].n++;
    }
    qsort(x->classes, (size_t)d->n_labels, sizeof *x->classes, by_frequency);
}

static int draw(struct fewshot_shot *shots, int n, struct shuffled *x, const struct task_data *d)
{
    int drawn = 0;
    for (int i = 0; !d->n_labels && i < n && i < x->n; i++)
        shots[drawn++] = d->train.items[x->rows[i]];
    while (d->n_labels && drawn < n && drawn < x->n) {
        for (int i = 0; i < d->n_labels && drawn < n; i++) {
            const int row = next_of(x, &x->classes[i]);
            if (row >= 0) shots[drawn++] = d->train.items[row];
        }
    }
    return drawn;
}

enum status task_draw(struct fewshot_shot *shots, int *n_shots, const struct task *t, const struct task_data *d,
                      int trial)
{
    struct shuffled x = {.n = d->train.n};
    x.rows = calloc((size_t)x.n + 1, sizeof *x.rows);
    x.labels = calloc((size_t)x.n + 1, sizeof *x.labels);
    x.classes = calloc((size_t)d->n_labels + 1, sizeof *x.classes);
    const bool made = x.rows && x.labels && x.classes;
    if (made) {
        shuffle(&x, t->seed, (uint64_t)trial);
        if (d->n_labels) sort_classes(&x, d, t->seed, (uint64_t)trial);
        *n_shots = draw(shots, (int)t->shots, &x, d);
    }
    free(x.rows);
    free(x.labels);
    free(x.classes);
    return made ? OK : fail(E_NOMEM, "%s: out of memory", t->name);
}
