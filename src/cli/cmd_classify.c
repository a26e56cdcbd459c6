// SPDX-License-Identifier: Apache-2.0
/* gptjt classify: which label does the model expect? One text gives a table, a csv or jsonl file gives the same rows
 * with predictions. The prompt is made in eval/fewshot.h, the probabilities are explained in eval/classify.h, and how a
 * file is resumed in eval/classify_file.h; here are the options and what people see. */
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/progress.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/shared.h"
#include "eval/classify.h"
#include "eval/classify_file.h"
#include "eval/shots.h"

enum { INSTRUCTION_MAX_BYTES = 1 << 20, BAR_WIDTH = 20 };

struct settings {
    struct common common;
    const char *labels, *instruction, *shots, *text, *input, *output;
    struct option_strings label;
    const char *text_name, *label_name, *text_field, *fields, *label_field, *gold, *content_free;
    int normalize; /* enum classify_normalize */
    bool calibrate, list_labels, json, show_prompt;
};

static const struct settings defaults = {
    .common = COMMON_DEFAULTS, .text_name = "Text", .label_name = "Label", .content_free = "N/A", .list_labels = true};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "labels",
     .letter = 'l',
     .type = OPTION_STRING,
     FIELD(labels),
     .meta = "A,B,...",
     .help = "what to choose from (default: the labels of the shots)"},
    {.name = "label", .type = OPTION_STRINGS, FIELD(label), .meta = "A", .help = "one label, which may hold commas"},
    {.name = "instruction",
     .type = OPTION_STRING,
     FIELD(instruction),
     .meta = "TEXT",
     .help = "says what the task is, first in the prompt; @FILE reads it from a file"},
    {.name = "shots",
     .type = OPTION_STRING,
     FIELD(shots),
     .meta = "FILE",
     .help = "labelled examples for the prompt, csv or jsonl"},
    {.name = "prompt",
     .letter = 'p',
     .type = OPTION_STRING,
     FIELD(text),
     .meta = "TEXT",
     .help = "the text to classify"},
    {.name = "input",
     .letter = 'i',
     .type = OPTION_STRING,
     FIELD(input),
     .meta = "FILE",
     .help = "classify every row of a csv or jsonl file"},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_STRING,
     FIELD(output),
     .meta = "FILE",
     .help = "csv or jsonl file for the rows with their predictions; interrupted, the same command goes on where it "
             "stopped (default -: standard output, in the format of the input, and without that)"},
    {.name = "text-name",
     .type = OPTION_STRING,
     FIELD(text_name),
     .meta = "NAME",
     .help = "the prompt's word before a text"},
    {.name = "label-name",
     .type = OPTION_STRING,
     FIELD(label_name),
     .meta = "NAME",
     .help = "the prompt's word before a label"},
    {.name = "list-labels",
     .type = OPTION_FLAG,
     FIELD(list_labels),
     .help = "list the possible labels in the prompt; --no-list-labels leaves them out"},
    {.name = "text-field",
     .type = OPTION_STRING,
     FIELD(text_field),
     .meta = "FIELD",
     .help = "the field with the text, in input and shots (default \"text\", else the only one there is)"},
    {.name = "fields",
     .type = OPTION_STRING,
     FIELD(fields),
     .meta = "A,B,...",
     .help = "fields that make up the text, a line \"field: value\" each, instead of --text-field"},
    {.name = "label-field",
     .type = OPTION_STRING,
     FIELD(label_field),
     .meta = "FIELD",
     .help = "the field with the label in the shots (default: named as --label-name, or \"label\")"},
    {.name = "gold",
     .type = OPTION_STRING,
     FIELD(gold),
     .meta = "FIELD",
     .help = "the field with the right label in the input, to report the accuracy (default: as --label-field, if all "
             "its values are labels)"},
    {.name = "normalize",
     .type = OPTION_CHOICE,
     FIELD(normalize),
     .choices = "none|length",
     .help = "length: compare log-likelihoods per token, for labels of very different lengths"},
    {.name = "calibrate",
     .type = OPTION_FLAG,
     FIELD(calibrate),
     .help = "divide by each label's probability for a text without content"},
    {.name = "content-free",
     .type = OPTION_STRING,
     FIELD(content_free),
     .meta = "TEXT",
     .help = "the text without content of --calibrate"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "with -p: print one JSON object instead of a table"},
    {.name = "show-prompt",
     .type = OPTION_FLAG,
     FIELD(show_prompt),
     .help = "print the prompt (of the first row), and nothing else is done"},
    COMMON_ENGINE_OPTIONS,
    COMMON_RANKS_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

/* Strings cut from one text at its commas, without white space around them. */
struct list {
    char *text;         /* owned */
    const char **items; /* [n], borrowed from text or elsewhere */
    int n;
};

struct job {
    const struct settings *set;
    struct list labels, fields;
    struct buf instruction;
    struct shots shots;
    struct fewshot_spec spec;
    enum rows_format out_format;
    struct classify_input input;
    struct classify_survey survey;
    struct cli_model model;
    struct classify *classify;
    struct progress progress;
    bool progressing;
};

/* ---- Settings ---- */

static void list_free(struct list *l)
{
    free(l->text);
    free(l->items);
}

/* The parts of text (may be NULL) and then more. */
static enum status list_split(struct list *out, const char *text, const struct option_strings *more)
{
    size_t n = (size_t)more->n + 1;
    for (const char *c = text ? text : ""; *c; c++)
        n += *c == ',';
    out->text = text ? strdup(text) : NULL;
    out->items = calloc(n, sizeof *out->items);
    if (!out->items || (text && !out->text)) return fail(E_NOMEM, "out of memory");
    for (char *rest = out->text, *part; (part = strsep(&rest, ","));) {
        part += strspn(part, " \t");
        size_t len = strlen(part);
        while (len && strchr(" \t", part[len - 1]))
            part[--len] = 0;
        out->items[out->n++] = part;
    }
    for (int i = 0; i < more->n; i++)
        out->items[out->n++] = more->items[i];
    return OK;
}

static enum status check_settings(const struct settings *set)
{
    if (!set->text == !set->input) return fail(E_ARG, "give a text with -p or a file with -i, and not both");
    if (set->text && set->output) return fail(E_ARG, "-o goes with -i; a single text is printed");
    if (set->text && set->fields) return fail(E_ARG, "--fields goes with -i; -p gives one text");
    if (set->text && set->gold) return fail(E_ARG, "--gold goes with -i");
    if (set->input && set->json) return fail(E_ARG, "--json goes with -p; for a file, end the name after -o in .jsonl");
    if (set->fields && set->text_field) return fail(E_ARG, "give --fields or --text-field, not both");
    if (!set->labels && !set->label.n && !set->shots)
        return fail(E_ARG, "which labels? give --labels A,B or --shots FILE");
    return OK;
}

static enum status read_instruction(struct job *j)
{
    const char *text = j->set->instruction;
    if (!text) return OK;
    if (text[0] != '@') {
        buf_puts(&j->instruction, text);
        return buf_status(&j->instruction);
    }
    TRY(file_read(&j->instruction, text + 1, INSTRUCTION_MAX_BYTES));
    if (j->instruction.len && strlen(j->instruction.data) != j->instruction.len)
        return fail(E_FORMAT, "%s: a NUL byte; this is no text", text + 1);
    return OK;
}

static enum status make_spec(struct job *j)
{
    const struct settings *set = j->set;
    static const struct option_strings none;
    TRY(list_split(&j->labels, set->labels, &set->label));
    if (set->fields) TRY(list_split(&j->fields, set->fields, &none));
    TRY(read_instruction(j));
    if (set->shots) {
        const struct shots_query query = {.fields = j->fields.items,
                                          .n_fields = j->fields.n,
                                          .text_field = set->text_field,
                                          .label_field = set->label_field,
                                          .label_name = set->label_name};
        TRY(shots_load(&j->shots, set->shots, &query, j->labels.items, j->labels.n));
    }
    j->spec = (struct fewshot_spec){.instruction = j->instruction.data,
                                    .labels = j->labels.n ? j->labels.items : j->shots.labels,
                                    .n_labels = j->labels.n ? j->labels.n : j->shots.n_labels,
                                    .list_labels = set->list_labels,
                                    .label_name = set->label_name,
                                    .names = set->fields ? j->fields.items : (const char *const *)&set->text_name,
                                    .n_fields = set->fields ? j->fields.n : 1,
                                    .shots = j->shots.items,
                                    .n_shots = j->shots.n};
    return classify_check_labels(j->spec.labels, j->spec.n_labels);
}

static bool to_stdout(const struct settings *set)
{
    return !set->output || !strcmp(set->output, "-");
}

static enum status check_output(struct job *j)
{
    const struct settings *set = j->set;
    j->out_format = j->input.format;
    if (to_stdout(set)) return OK;
    TRY(rows_format_of(&j->out_format, set->output));
    struct stat in, out;
    if (stat(set->output, &out)) return OK;
    if (!S_ISREG(out.st_mode))
        return fail(E_ARG, "-o %s: is not a regular file; -o - writes to standard output", set->output);
    if (!stat(set->input, &in) && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return fail(E_ARG, "-o %s: is the input; it would be replaced", set->output);
    return OK;
}

/* All that can be wrong with the files, before the model is opened. */
static enum status check_files(struct job *j)
{
    const struct settings *set = j->set;
    j->input = (struct classify_input){.path = set->input,
                                       .fields = j->fields.items,
                                       .n_fields = j->fields.n,
                                       .text_field = set->text_field,
                                       .gold = set->gold,
                                       .label_name = set->label_field ? set->label_field : set->label_name,
                                       .labels = j->spec.labels,
                                       .n_labels = j->spec.n_labels};
    TRY(rows_format_of(&j->input.format, set->input));
    TRY(check_output(j));
    return classify_survey(&j->survey, &j->input);
}

/* ---- One text ---- */

static bool terminal_knows_utf8(void)
{
    const locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (!locale) return false;
    const bool utf8 = !strcmp(nl_langinfo_l(CODESET, locale), "UTF-8");
    freelocale(locale);
    return utf8;
}

static void print_bar(double p, bool utf8)
{
    if (lround(p * BAR_WIDTH * 8) == 0) return;
    fputs("  ", stdout);
    if (!utf8) {
        for (long i = lround(p * BAR_WIDTH); i > 0; i--)
            putchar('#');
        return;
    }
    static const char *const eighths[] = {"", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589"};
    const long n = lround(p * BAR_WIDTH * 8);
    for (long i = 0; i < n / 8; i++)
        fputs("\u2588", stdout);
    fputs(eighths[n % 8], stdout);
}

static int columns_of(const char *text)
{
    return (int)utf8_characters(text, strlen(text));
}

/* Each label's rank is how many are before it: those more probable, and of equals the ones named earlier. */
static enum status print_table(const struct fewshot_spec *spec, const double *p)
{
    int *order = calloc((size_t)spec->n_labels, sizeof *order), widest = 0;
    if (!order) return fail(E_NOMEM, "out of memory");
    for (int i = 0; i < spec->n_labels; i++) {
        int rank = 0;
        for (int k = 0; k < spec->n_labels; k++)
            rank += p[k] > p[i] || (p[k] == p[i] && k < i);
        order[rank] = i;
        const int columns = columns_of(spec->labels[i]);
        if (columns > widest) widest = columns;
    }
    const bool utf8 = terminal_knows_utf8();
    for (int k = 0; k < spec->n_labels; k++) {
        const char *label = spec->labels[order[k]];
        printf("%s%*s  %6.4f", label, widest - columns_of(label), "", p[order[k]]);
        print_bar(p[order[k]], utf8);
        putchar('\n');
    }
    free(order);
    return OK;
}

static json_t *numbers_by_label(const struct fewshot_spec *spec, const double *numbers)
{
    json_t *object = json_object();
    for (int i = 0; object && i < spec->n_labels; i++)
        if (json_object_set_new(object, spec->labels[i], cli_json_number(numbers[i]))) {
            json_decref(object);
            return NULL;
        }
    return object;
}

static enum status classify_text(struct job *j)
{
    struct classify_result r;
    TRY(classify_run(j->classify, &j->set->text, &r));
    if (r.n_shots < j->spec.n_shots)
        log_line(LOG_WARN, "the model's window has room for %d of the %d shots", r.n_shots, j->spec.n_shots);
    if (r.n_dropped) log_line(LOG_WARN, "the text is too long: its last %zu tokens are cut", r.n_dropped);
    if (!j->set->json) return print_table(&j->spec, r.probabilities);
    return cli_json_print(json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:I}", "model", j->model.name, "prompt_mask", cli_mask_name(&j->model), "label",
        j->spec.labels[r.best], "probabilities", numbers_by_label(&j->spec, r.probabilities), "log_likelihoods",
        numbers_by_label(&j->spec, r.log_likelihoods), "prompt_tokens", (json_int_t)r.prompt_tokens));
}

/* ---- A file ---- */

static bool not_interrupted(void *user, size_t done, size_t total)
{
    (void)user;
    (void)done;
    (void)total;
    return !interrupt_seen();
}

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    struct job *j = user;
    if (!j->progressing) {
        if (done && !j->set->common.quiet)
            fprintf(stderr, "going on after %" PRIu64 " of %" PRIu64 " rows\n", done, total);
        progress_begin(&j->progress, "classify", "rows", total, j->set->common.quiet);
        j->progressing = true;
    }
    progress_update(&j->progress, done);
    return !interrupt_seen();
}

static void put(struct buf *out, const char *text)
{
    buf_printf(out, "%zu:", strlen(text));
    buf_puts(out, text);
}

/* Everything that decides results but the input, its columns and the labels, each text with its length in front. */
static enum status describe(struct buf *out, const struct job *j)
{
    const struct settings *set = j->set;
    TRY(cli_model_describe(out, &j->model, &set->common));
    buf_printf(out, "%d %d %d ", set->normalize, set->calibrate, set->list_labels);
    put(out, set->calibrate ? set->content_free : "");
    put(out, j->instruction.len ? j->instruction.data : "");
    put(out, set->label_name);
    for (int i = 0; i < j->spec.n_fields; i++)
        put(out, j->spec.names[i]);
    for (int i = 0; i < j->shots.n; i++) {
        for (int k = 0; k < j->spec.n_fields; k++)
            put(out, j->shots.items[i].values[k]);
        put(out, j->shots.items[i].label);
    }
    return buf_status(out);
}

static void report(const struct job *j, enum status s, const struct classify_report *r)
{
    if (s == E_CANCELLED && r->part[0])
        fprintf(stderr,
                "stopped after %" PRIu64 " of %" PRIu64
                " rows; they are in %s, and the same command goes on from there\n",
                r->n_rows, j->survey.n_rows, r->part);
    else if (s == E_CANCELLED)
        fprintf(stderr, "stopped after %" PRIu64 " of %" PRIu64 " rows\n", r->n_rows, j->survey.n_rows);
    if (s != OK || j->set->common.quiet) return;
    if (r->n_fewer_shots)
        log_line(LOG_WARN, "%" PRIu64 " of %" PRIu64 " prompts had no room for all %d shots", r->n_fewer_shots,
                 r->n_rows - r->n_resumed, j->shots.n);
    if (r->n_cut)
        log_line(LOG_WARN, "%" PRIu64 " of %" PRIu64 " texts were too long for the window and lost their end", r->n_cut,
                 r->n_rows - r->n_resumed);
    if (r->n_gold)
        fprintf(stderr, "accuracy: %.4f (%" PRIu64 " of %" PRIu64 ", field \"%s\")\n",
                (double)r->n_correct / (double)r->n_gold, r->n_correct, r->n_gold, j->survey.gold);
}

static enum status classify_rows(struct job *j)
{
    struct buf settings = {0};
    enum status s = describe(&settings, j);
    if (s == OK) {
        const struct classify_job job = {.input = &j->input,
                                         .survey = &j->survey,
                                         .out_path = to_stdout(j->set) ? "-" : j->set->output,
                                         .out_format = j->out_format,
                                         .settings = settings.data,
                                         .n_shots = j->shots.n,
                                         .progress = on_progress,
                                         .user = j};
        struct classify_report r;
        interrupt_catch();
        s = classify_file(j->classify, &job, &r);
        if (j->progressing) progress_end(&j->progress);
        report(j, s, &r);
    }
    buf_free(&settings);
    return s;
}

/* ---- Both ---- */

static enum status print_prompt(struct job *j, const char *const *values)
{
    const struct fewshot_prompt *p;
    TRY(classify_prompt(j->classify, values, &p));
    fwrite(p->text.data, 1, p->text.len, stdout);
    putchar('\n');
    return OK;
}

static enum status print_first_prompt(struct job *j)
{
    if (j->set->text) return print_prompt(j, &j->set->text);
    struct rows *rows;
    TRY(rows_open(&rows, j->set->input, j->input.format));
    const char **values = calloc((size_t)j->survey.n_fields, sizeof *values);
    const struct row *row = NULL;
    enum status s = values ? rows_next(rows, &row) : fail(E_NOMEM, "out of memory");
    if (s == OK && !row) s = fail(E_FORMAT, "%s: no rows in it", j->set->input);
    for (int i = 0; s == OK && i < j->survey.n_fields; i++)
        s = rows_text(rows, row, j->survey.fields[i], &values[i]);
    if (s == OK) s = print_prompt(j, values);
    free(values);
    rows_close(rows);
    return s;
}

static enum status run_job(struct job *j)
{
    const struct settings *set = j->set;
    TRY(make_spec(j));
    if (set->input) TRY(check_files(j));
    TRY(cli_model_open(&j->model, &set->common));
    if (!set->show_prompt) cli_mask_note(&j->model, &set->common);
    const struct classify_options o = {.normalize = (enum classify_normalize)set->normalize,
                                       .calibrate = set->calibrate && !set->show_prompt,
                                       .content_free = set->content_free,
                                       .progress = not_interrupted};
    TRY(classify_create(&j->classify, j->model.engine, &j->spec, &o));
    if (set->show_prompt) return print_first_prompt(j);
    return set->text ? classify_text(j) : classify_rows(j);
}

static enum status run_shared(void *settings)
{
    struct job j = {.set = settings};
    TRY(check_settings(j.set));
    const enum status s = run_job(&j);
    classify_free(j.classify);
    cli_model_close(&j.model);
    classify_survey_free(&j.survey);
    shots_free(&j.shots);
    buf_free(&j.instruction);
    list_free(&j.fields);
    list_free(&j.labels);
    return s;
}

static enum status run(void *settings, const struct option_args *args)
{
    (void)args;
    return shared_run(run_shared, settings);
}

const struct command command_classify = {
    .name = "classify",
    .summary = "choose the likeliest label for a text, or for every row of a file",
    .usage = "[-m MODEL] --labels A,B [--shots FILE] (-p TEXT | -i FILE [-o FILE]) [options]",
    .about = "Scores every label (with the newline that ends it) after a few-shot prompt in the form of HELM's RAFT\n"
             "tasks, and prints their probabilities. If the prompt is too long for the model's window, the last shots\n"
             "go first, then the end of the text. A file's rows get the columns label, probability and p(A), p(B), ...",
    .examples =
        "  gptjt classify --labels positive,negative -p 'What a lovely day!'\n"
        "  gptjt classify --shots shots.csv --instruction @task.txt -i posts.csv -o labelled.csv\n"
        "  gptjt classify --labels complaint,'no complaint' --text-name Tweet --calibrate -i in.jsonl -o out.jsonl\n"
        "  mpirun -n 4 gptjt classify --labels spam,ham -i posts.csv -o labelled.csv",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .run = run,
};
