// SPDX-License-Identifier: Apache-2.0
/* gptjt eval --tasks: asks a model the questions of task files (eval/task.h) and says how often it is right. All files
 * are read before the model is opened, so that what is wrong in them is said at once. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/eval.h"
#include "cli/interrupt.h"
#include "eval/task_page.h"
#include "eval/task_results.h"

enum { MAX_TASKS = 1000, MAX_PATH = 4096, WRONG_ANSWERS = 50 };

struct job {
    const struct eval_settings *set;
    char **paths; /* [n] of task files */
    struct task *tasks;
    struct task_data *data;
    struct task_run *runs;
    char (*out_paths)[MAX_PATH];
    int n;
    struct buf model_text;
    struct cli_model model;
    struct progress progress;
    uint64_t done; /* answers of the tasks before the one that is being asked */
};

/* ---- Task files ---- */

static enum status add_path(struct job *j, const char *path)
{
    if (j->n == MAX_TASKS) return fail(E_LIMIT, "more than %d tasks", MAX_TASKS);
    j->paths[j->n] = strdup(path);
    return j->paths[j->n++] ? OK : fail(E_NOMEM, "out of memory");
}

static int is_task_file(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return dot && dot > e->d_name && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
}

/* Every task file in a directory, by name. */
static enum status add_directory(struct job *j, const char *dir)
{
    struct dirent **entries;
    const int n = scandir(dir, &entries, is_task_file, alphasort);
    if (n < 0) return fail(E_IO, "%s: %s", dir, strerror(errno));
    enum status s = n ? OK : fail(E_ARG, "%s: has no task files (*.yaml)", dir);
    for (int i = 0; i < n; i++) {
        char path[MAX_PATH];
        if (s == OK) s = file_join(path, sizeof path, dir, entries[i]->d_name);
        if (s == OK) s = add_path(j, path);
        free(entries[i]);
    }
    free(entries);
    return s;
}

static enum status find_tasks(struct job *j)
{
    j->paths = calloc(MAX_TASKS, sizeof *j->paths);
    if (!j->paths) return fail(E_NOMEM, "out of memory");
    for (int i = 0; i < j->set->tasks.n; i++) {
        const char *path = j->set->tasks.items[i];
        TRY(file_is_dir(path) ? add_directory(j, path) : add_path(j, path));
    }
    const size_t n = (size_t)j->n;
    j->tasks = calloc(n, sizeof *j->tasks);
    j->data = calloc(n, sizeof *j->data);
    j->runs = calloc(n, sizeof *j->runs);
    j->out_paths = calloc(n, sizeof *j->out_paths);
    return j->tasks && j->data && j->runs && j->out_paths ? OK : fail(E_NOMEM, "out of memory");
}

/* Names are keys of the report and names of files. */
static enum status check_name(const struct job *j, int i)
{
    const char *name = j->tasks[i].name;
    if (!*name || *name == '.' || strchr(name, '/'))
        return fail(E_ARG, "%s: \"name\" \"%s\" cannot be a file's name", j->paths[i], name);
    for (int k = 0; k < i; k++)
        if (!strcmp(j->tasks[k].name, name))
            return fail(E_ARG, "%s and %s are both called \"%s\"; give one another \"name\"", j->paths[k], j->paths[i],
                        name);
    return OK;
}

static enum status read_tasks(struct job *j)
{
    for (int i = 0; i < j->n; i++) {
        TRY(task_read(&j->tasks[i], j->paths[i]));
        if (j->set->shots >= 0) TRY(task_set_shots(&j->tasks[i], j->set->shots));
        TRY(check_name(j, i));
        TRY(task_load(&j->data[i], &j->tasks[i], j->set->limit));
        if (j->tasks[i].shots > j->data[i].train.n)
            log_line(LOG_WARN, "%s: %d rows for %" PRId64 " shots: there will be no more", j->tasks[i].train_path,
                     j->data[i].train.n, j->tasks[i].shots);
    }
    return OK;
}

/* ---- Answers ---- */

static bool on_progress(void *user, size_t n_done)
{
    struct job *j = user;
    progress_update(&j->progress, j->done + n_done);
    return !interrupt_seen();
}

static enum status out_path(struct job *j, int i)
{
    char name[MAX_PATH];
    const int n = snprintf(name, sizeof name, "%s.jsonl", j->tasks[i].name);
    if (n < 0 || (size_t)n >= sizeof name) return fail(E_LIMIT, "%.100s...: name too long", j->tasks[i].name);
    TRY(file_join(j->out_paths[i], sizeof j->out_paths[i], j->set->output, name));
    j->runs[i].out_path = j->out_paths[i];
    return OK;
}

static enum status open_runs(struct job *j, uint64_t *total, uint64_t *resumed)
{
    TRY(cli_model_describe(&j->model_text, &j->model, &j->set->common));
    if (j->set->output) TRY(file_make_dirs(j->set->output));
    for (int i = 0; i < j->n; i++) {
        struct task_run *r = &j->runs[i];
        *r = (struct task_run){.task = &j->tasks[i], .data = &j->data[i], .settings = j->model_text.data};
        r->n_masks = eval_masks(r->masks, j->set, j->model.info.prompt_mask);
        if (j->set->output) TRY(out_path(j, i));
        TRY(task_run_open(r));
        *total += r->n;
        *resumed += r->n_resumed;
    }
    return OK;
}

static void note_stop(const struct job *j, uint64_t total)
{
    uint64_t done = 0;
    for (int i = 0; i < j->n; i++)
        done += j->runs[i].n_done;
    fprintf(stderr, "stopped after %" PRIu64 " of %" PRIu64 " answers%s\n", done, total,
            j->set->output ? "; they are kept, and the same command goes on from there" : "");
}

static enum status ask_all(struct job *j)
{
    uint64_t total = 0, resumed = 0;
    const bool quiet = j->set->common.quiet;
    TRY(open_runs(j, &total, &resumed));
    if (resumed && !quiet) fprintf(stderr, "going on after %" PRIu64 " of %" PRIu64 " answers\n", resumed, total);
    interrupt_catch();
    progress_begin(&j->progress, "eval", "answers", total, quiet);
    j->progress.before = resumed;
    enum status s = OK;
    for (int i = 0; i < j->n && s == OK; i++) {
        snprintf(j->progress.note, sizeof j->progress.note, "%.90s", j->tasks[i].name);
        s = task_run_all(&j->runs[i], j->model.engine, on_progress, j);
        j->done += j->runs[i].n_done;
    }
    if (s == OK) progress_update(&j->progress, j->done);
    progress_end(&j->progress);
    if (s == E_CANCELLED) note_stop(j, total);
    for (int i = 0; i < j->n && s == OK; i++)
        s = task_run_finish(&j->runs[i]);
    return s;
}

/* ---- What people see ---- */

static int columns_of(const char *text)
{
    return (int)utf8_characters(text, strlen(text));
}

static void print_name(const char *name, int width)
{
    printf("%s%*s", name, width - columns_of(name), "");
}

/* Columns that have no number are left out at the end of the line. */
static void print_row(const char *name, int width, const char *mask, const json_t *o, const json_t *task)
{
    const json_t *columns[] = {json_object_get(o, "macro_f1"), json_object_get(o, "exact_match"),
                               json_object_get(o, "ece"), json_object_get(task, "majority")};
    int missing = 0;
    print_name(name, width);
    printf("  %-6s  %8.3f  %6.3f .. %5.3f", mask, eval_number(o, "accuracy"), eval_bound(o, 0), eval_bound(o, 1));
    for (size_t i = 0; i < COUNT_OF(columns); i++) {
        if (columns[i]) printf("%*s  %8.3f", 10 * missing, "", json_number_value(columns[i]));
        missing = columns[i] ? 0 : missing + 1;
    }
    putchar('\n');
}

static void print_difference(const char *name, int width, const json_t *d)
{
    if (!d) return;
    print_name(name, width);
    printf("  %-6s  %+8.3f  %+6.3f .. %+.3f  p %.2g\n", "differ", eval_number(d, "accuracy"), eval_bound(d, 0),
           eval_bound(d, 1), eval_number(d, "p"));
}

static void print_masks(const char *name, int width, const json_t *o, const json_t *task)
{
    static const char *const masks[] = {"prefix", "causal"};
    const json_t *by_mask = json_object_get(o, "masks");
    for (size_t m = 0; m < 2; m++) {
        const json_t *one = json_object_get(by_mask, masks[m]);
        if (one) print_row(name, width, masks[m], one, task);
    }
    print_difference(name, width, json_object_get(o, "difference"));
}

static const json_t *find_group(const json_t *o, size_t g)
{
    return json_array_get(json_object_get(o, "groups"), g);
}

static void print_groups(int width, const json_t *task)
{
    static const char *const masks[] = {"prefix", "causal"};
    const json_t *by_mask = json_object_get(task, "masks");
    for (size_t g = 0;; g++) {
        const char *name = NULL;
        for (size_t m = 0; m < 2; m++) {
            const json_t *one = find_group(json_object_get(by_mask, masks[m]), g);
            if (!one) continue;
            name = json_string_value(json_object_get(one, "name"));
            printf("  ");
            print_row(name, width - 2, masks[m], one, NULL);
        }
        if (!name) break;
        const json_t *d = find_group(json_object_get(task, "difference"), g);
        if (d) printf("  ");
        print_difference(name, width - 2, d);
    }
}

static int widest_name(const json_t *tasks)
{
    int width = 4;
    size_t i, g;
    const json_t *task, *group;
    json_array_foreach (tasks, i, task) {
        const int n = columns_of(json_string_value(json_object_get(task, "name")));
        width = n > width ? n : width;
        void *first = json_object_iter(json_object_get(task, "masks"));
        json_array_foreach (json_object_get(json_object_iter_value(first), "groups"), g, group) {
            const int m = columns_of(json_string_value(json_object_get(group, "name"))) + 2;
            width = m > width ? m : width;
        }
    }
    return width;
}

static void print_table(const json_t *results)
{
    const json_t *tasks = json_object_get(results, "tasks"), *task;
    const int width = widest_name(tasks);
    size_t i;
    printf("%-*s  mask    accuracy  95 %% interval    macro-F1     exact       ECE  majority\n", width, "task");
    json_array_foreach (tasks, i, task) {
        print_masks(json_string_value(json_object_get(task, "name")), width, task, task);
        print_groups(width, task);
    }
    const json_t *mean = json_object_get(results, "mean");
    if (mean) print_masks("mean", width, mean, NULL);
}

/* Prompts that are not what the task asks for. */
static void note_prompts(const struct job *j)
{
    for (int i = 0; i < j->n; i++) {
        const struct task_run *r = &j->runs[i];
        const int64_t train = j->data[i].train.n, shots = r->task->shots < train ? r->task->shots : train;
        size_t fewer = 0, cut = 0;
        for (size_t k = 0; k < r->n; k++) {
            fewer += r->answers[k].n_shots < shots;
            cut += r->answers[k].n_dropped > 0;
        }
        if (fewer)
            log_line(LOG_WARN, "%s: %zu of %zu prompts had no room for all %" PRId64 " shots", r->task->name, fewer,
                     r->n, shots);
        if (cut) log_line(LOG_WARN, "%s: %zu of %zu texts were too long and lost their end", r->task->name, cut, r->n);
    }
}

static enum status write_page(const struct job *j, const json_t *results)
{
    struct buf page = {0};
    enum status s = task_page(&page, results);
    if (s == OK) s = cli_write_page(&j->set->common, j->set->report, &page);
    buf_free(&page);
    return s;
}

static enum status show(struct job *j)
{
    json_t *results = NULL, *all = eval_describe(&j->model, j->set);
    enum status s = task_results(&results, j->runs, j->n, j->set->report ? WRONG_ANSWERS : 0);
    if (s == OK && (!all || json_object_update(all, results))) s = fail(E_NOMEM, "no memory for the results");
    if (s == OK) s = eval_write_results(j->set, all);
    if (s == OK) note_prompts(j);
    if (s == OK && !j->set->json) print_table(all);
    if (s == OK && j->set->report) s = write_page(j, all);
    json_decref(results);
    json_decref(all);
    return s;
}

static enum status run_job(struct job *j)
{
    TRY(find_tasks(j));
    TRY(read_tasks(j));
    TRY(cli_model_open(&j->model, &j->set->common));
    if (!j->set->compare_masks) cli_mask_note(&j->model, &j->set->common);
    TRY(ask_all(j));
    return show(j);
}

enum status eval_tasks(const struct eval_settings *set)
{
    struct job j = {.set = set};
    const enum status s = run_job(&j);
    for (int i = 0; i < j.n; i++) {
        if (j.runs) task_run_free(&j.runs[i]);
        if (j.data) task_data_free(&j.data[i]);
        if (j.tasks) task_free(&j.tasks[i]);
        free(j.paths[i]);
    }
    free(j.runs);
    free(j.data);
    free(j.tasks);
    free(j.paths);
    free(j.out_paths);
    buf_free(&j.model_text);
    cli_model_close(&j.model);
    return s;
}
