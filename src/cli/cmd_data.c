// SPDX-License-Identifier: Apache-2.0
/* gptjt data: what a recipe trains on, to look at and to count; and its sources as tokens files. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/amount.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/sequence_view.h"
#include "data/tokenize.h"
#include "data/tokens_file.h"
#include "hub/model_path.h"
#include "train/recipe.h"

struct settings {
    struct common common;
    int64_t show, count, rank, ranks, seq_len;
    int objective, documents;
    uint64_t seed;
    const char *source, *out;
    bool validation, tokenize, json, full;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .show = 3, .count = 200, .ranks = 1};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const struct option options[] = {
    {.name = "show", .type = OPTION_INT, FIELD(show), .max = 1e6, .meta = "N", .help = "sequences to print"},
    {.name = "count",
     .type = OPTION_INT,
     FIELD(count),
     .max = 1e9,
     .meta = "N",
     .help = "sequences to count for the statistics, those that are printed among them"},
    {.name = "full", .type = OPTION_FLAG, FIELD(full), .help = "print texts whole, however long"},
    {.name = "source", .type = OPTION_STRING, FIELD(source), .meta = "NAME", .help = "only this one of the sources"},
    {.name = "validation",
     .type = OPTION_FLAG,
     FIELD(validation),
     .help = "the recipe's `validation` instead of its `sources`"},
    {.name = "rank",
     .type = OPTION_INT,
     FIELD(rank),
     .max = 1e6,
     .meta = "N",
     .help = "what this process of --ranks would get"},
    {.name = "ranks", .type = OPTION_INT, FIELD(ranks), .min = 1, .max = 1e6, .meta = "N", .help = "processes in all"},
    {.name = "seq-len",
     .type = OPTION_INT,
     FIELD(seq_len),
     .min = 2,
     .max = 1 << 24,
     .meta = "N",
     .help = "tokens of a sequence (default: the recipe's, as for the next three)"},
    {.name = "objective",
     .type = OPTION_CHOICE,
     FIELD(objective),
     .choices = DATA_OBJECTIVE_NAMES,
     .help = "what is predicted (no default)"},
    {.name = "documents",
     .type = OPTION_CHOICE,
     FIELD(documents),
     .choices = DATA_DOCUMENTS_NAMES,
     .help = "whether documents in one sequence see each other (no default)"},
    {.name = "seed", .type = OPTION_SEED, FIELD(seed), .meta = "N", .help = "of all draws (no default)"},
    {.name = "tokenize",
     .type = OPTION_FLAG,
     FIELD(tokenize),
     .help = "write the sources' documents as token ids to -o, for sources of format `tokens`"},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_STRING,
     FIELD(out),
     .meta = "PATH",
     .help = "with --tokenize: a directory for NAME.tokens of each source, or a file name that ends in .tokens"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "print one object with samples and sources"},
    COMMON_MODEL_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

/* What the recipe says, and the command line over it. */
struct job {
    const struct settings *set;
    struct recipe recipe;
    struct data_settings data;
    struct tokenizer *tokenizer;
};

static enum status choose_sources(struct job *j)
{
    const struct settings *set = j->set;
    if (set->validation) {
        j->data.sources = j->recipe.validation;
        j->data.n_sources = j->recipe.n_validation;
    }
    if (!j->data.n_sources)
        return fail(E_ARG, "the recipe has no %s", set->validation ? "\"validation\"" : "\"sources\"");
    if (!set->source) return OK;
    const char *names[64];
    int n = 0;
    for (int i = 0; i < j->data.n_sources; i++) {
        const char *name = data_source_name(&j->data.sources[i]);
        if (n < 64) names[n++] = name;
        if (strcmp(name, set->source)) continue;
        j->data.sources += i;
        j->data.n_sources = 1;
        return OK;
    }
    const char *near = options_nearest(set->source, names, n);
    return fail(E_ARG, "the recipe has no source %s%s%s%s", set->source, near ? "; did you mean " : "",
                near ? near : "", near ? "?" : "");
}

static void override(struct job *j, option_given given)
{
    if (options_given(options, given, "seq-len")) j->data.seq_len = j->set->seq_len;
    if (options_given(options, given, "objective")) j->data.objective = j->set->objective;
    if (options_given(options, given, "documents")) j->data.documents = j->set->documents;
    if (options_given(options, given, "seed")) j->data.seed = j->set->seed;
}

static enum status open_job(struct job *j, const char *recipe, option_given given)
{
    option_given in_recipe = 0;
    TRY(recipe_read(&j->recipe, recipe, &in_recipe));
    j->data = j->recipe.data;
    override(j, given);
    TRY(choose_sources(j));
    struct model_path path;
    TRY(model_path_resolve(&path, j->set->common.model ? j->set->common.model : j->recipe.model));
    return tokenizer_open(&j->tokenizer, path.dir);
}

static void close_job(struct job *j)
{
    tokenizer_close(j->tokenizer);
    if (j->recipe.file) recipe_free(&j->recipe);
}

/* ---- Looking ---- */

struct look {
    struct data *data;
    struct data_sequence sequence;
    struct sequence_stats *stats; /* [n_sources] */
    json_t *samples;
};

static enum status show_sequence(const struct job *j, struct look *l, int64_t index)
{
    const struct sequence_view view = {.tokenizer = j->tokenizer,
                                       .seq_len = (int)j->data.seq_len,
                                       .colours = cli_wants_colours(),
                                       .full = j->set->full};
    const char *source = data_source_name(&j->data.sources[l->sequence.source]);
    if (j->set->json) {
        json_t *sample = sequence_json(&view, &l->sequence);
        if (sample && json_object_set_new(sample, "source", json_string(source)) == 0 &&
            json_array_append_new(l->samples, sample) == 0)
            return OK;
        return fail(E_NOMEM, "no memory for the JSON output");
    }
    printf("sequence %" PRId64 ": %s, %d of %" PRId64 " tokens are targets\n", index, source, l->sequence.n_targets,
           j->data.seq_len);
    TRY(sequence_print(&view, &l->sequence));
    putchar('\n');
    return OK;
}

static enum status read_sequences(const struct job *j, struct look *l)
{
    const struct settings *set = j->set;
    const int64_t n = set->count > set->show ? set->count : set->show;
    struct progress bar;
    progress_begin(&bar, "count", "sequences", (uint64_t)n, set->common.quiet);
    enum status s = OK;
    for (int64_t i = 0; s == OK && i < n && !interrupt_seen(); i++) {
        s = data_next(l->data, &l->sequence);
        if (s == OK) sequence_count(&l->stats[l->sequence.source], &l->sequence, (int)j->data.seq_len);
        if (s == OK && i < set->show) s = show_sequence(j, l, i);
        progress_update(&bar, (uint64_t)i + 1);
    }
    progress_end(&bar);
    return s;
}

static double ratio(int64_t a, int64_t b)
{
    return b ? (double)a / (double)b : 0;
}

static void print_stats(const struct job *j, const struct look *l)
{
    struct sequence_stats all = {0};
    double weights = 0;
    for (int i = 0; i < j->data.n_sources; i++) {
        all.sequences += l->stats[i].sequences;
        all.tokens += l->stats[i].tokens;
        weights += j->data.sources[i].weight;
    }
    printf("%-12s %9s %7s %7s %11s %7s %11s %8s %7s %8s\n", "source", "sequences", "share", "weight", "tokens", "share",
           "targets", "padding", "prefix", "skipped");
    for (int i = 0; i < j->data.n_sources; i++) {
        const struct sequence_stats *s = &l->stats[i];
        printf("%-12.12s %9s %6.1f%% %6.1f%% %11s %6.1f%% %11s %7.1f%% %7.1f %8s\n",
               data_source_name(&j->data.sources[i]), amount_count(s->sequences).text,
               100 * ratio(s->sequences, all.sequences), 100 * j->data.sources[i].weight / weights,
               amount_count(s->tokens).text, 100 * ratio(s->tokens, all.tokens), amount_count(s->targets).text,
               100 * ratio(s->padding, s->padding + s->tokens), ratio(s->prefix_tokens, s->segments),
               amount_count(data_skipped(l->data, i)).text);
    }
    puts("prefix: given tokens of a document, on average; skipped: documents without text");
}

static json_t *stats_json(const struct job *j, const struct look *l)
{
    json_t *sources = json_array();
    for (int i = 0; sources && i < j->data.n_sources; i++) {
        const struct sequence_stats *s = &l->stats[i];
        json_t *source = json_pack(
            "{s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:I}", "name", data_source_name(&j->data.sources[i]), "weight",
            j->data.sources[i].weight, "sequences", (json_int_t)s->sequences, "tokens", (json_int_t)s->tokens,
            "targets", (json_int_t)s->targets, "padding", (json_int_t)s->padding, "segments", (json_int_t)s->segments,
            "mean_prefix", ratio(s->prefix_tokens, s->segments), "skipped", (json_int_t)data_skipped(l->data, i));
        if (json_array_append_new(sources, source) == 0) continue;
        json_decref(sources);
        sources = NULL;
    }
    return sources;
}

static enum status print_look(const struct job *j, struct look *l)
{
    if (interrupt_seen()) return fail(E_CANCELLED, "interrupted");
    if (j->set->json)
        return cli_json_print(json_pack("{s:I, s:O, s:o}", "seq_len", (json_int_t)j->data.seq_len, "samples",
                                        l->samples, "sources", stats_json(j, l)));
    print_stats(j, l);
    return OK;
}

static enum status open_look(struct look *l, const struct job *j)
{
    const struct settings *set = j->set;
    const size_t n = (size_t)j->data.seq_len;
    if (set->rank >= set->ranks) return fail(E_ARG, "--rank is %" PRId64 ", not below --ranks", set->rank);
    TRY(data_open(&l->data, &j->data, j->tokenizer, (int)set->rank, (int)set->ranks, 1));
    int32_t *rows = calloc(4 * n, sizeof *rows);
    l->sequence = (struct data_sequence){.token = rows, .lo = rows + n, .hi = rows + 2 * n, .target = rows + 3 * n};
    l->stats = calloc((size_t)j->data.n_sources, sizeof *l->stats);
    l->samples = json_array();
    return rows && l->stats && l->samples ? OK : fail(E_NOMEM, "out of memory");
}

static enum status look(const struct job *j)
{
    struct look l = {0};
    enum status s = open_look(&l, j);
    if (s == OK) s = read_sequences(j, &l);
    if (s == OK) s = print_look(j, &l);
    data_close(l.data);
    free(l.sequence.token);
    free(l.stats);
    json_decref(l.samples);
    return s;
}

/* ---- Writing tokens files ---- */

struct writing {
    struct progress bar;
    bool begun, quiet;
    const char *label;
};

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    struct writing *w = user;
    if (!w->begun) progress_begin(&w->bar, w->label, "B", total, w->quiet);
    w->begun = true;
    progress_update(&w->bar, done);
    return !interrupt_seen();
}

static bool ends_in_tokens(const char *path)
{
    const size_t n = strlen(path), e = strlen(TOKENS_FILE_EXTENSION);
    return n > e && !strcmp(path + n - e, TOKENS_FILE_EXTENSION);
}

static enum status write_source(const struct job *j, const struct data_source *source, const char *path)
{
    struct writing w = {.quiet = j->set->common.quiet, .label = data_source_name(source)};
    const struct tokenize_job job = {.source = source,
                                     .tokenizer = j->tokenizer,
                                     .documents = j->data.documents,
                                     .progress = on_progress,
                                     .user = &w};
    struct tokenize_result r;
    const enum status s = tokenize_write(&r, &job, path);
    if (w.begun) progress_end(&w.bar);
    TRY(s);
    if (j->set->json)
        return cli_json_print(json_pack("{s:s, s:s, s:I, s:I, s:I}", "source", w.label, "file", path, "documents",
                                        (json_int_t)r.n_documents, "tokens", (json_int_t)r.n_tokens, "skipped",
                                        (json_int_t)r.n_skipped));
    printf("%s: %s tokens in %s documents of source %s", path, amount_count((int64_t)r.n_tokens).text,
           amount_count((int64_t)r.n_documents).text, w.label);
    if (r.n_skipped) printf(", %s without text passed over", amount_count((int64_t)r.n_skipped).text);
    putchar('\n');
    return OK;
}

/* DIR/NAME.tokens of each source that can be written so; the others are named. */
static enum status write_directory(const struct job *j, const char *dir)
{
    if (mkdir(dir, 0777) && !file_is_dir(dir)) return fail(E_IO, "%s: cannot make this directory", dir);
    int n = 0;
    for (int i = 0; i < j->data.n_sources; i++) {
        const struct data_source *source = &j->data.sources[i];
        const char *name = data_source_name(source), *obstacle = tokenize_obstacle(source);
        if (obstacle) {
            if (!j->set->common.quiet) fprintf(stderr, "source %s is left out: %s\n", name, obstacle);
            continue;
        }
        char file[512], path[4096];
        if (strchr(name, '/')) return fail(E_ARG, "source %s: a name with '/' in it is no file name", name);
        snprintf(file, sizeof file, "%.400s%s", name, TOKENS_FILE_EXTENSION);
        TRY(file_join(path, sizeof path, dir, file));
        TRY(write_source(j, source, path));
        n++;
    }
    return n ? OK : fail(E_UNSUPPORTED, "none of the sources can be written as tokens");
}

static enum status write_tokens(const struct job *j)
{
    const char *out = j->set->out;
    if (!ends_in_tokens(out)) return write_directory(j, out);
    if (j->data.n_sources > 1)
        return fail(E_ARG, "%s is one file, and there are %d sources: name one with --source, or give a directory", out,
                    j->data.n_sources);
    return write_source(j, j->data.sources, out);
}

static enum status run(void *settings, const struct option_args *args)
{
    const struct settings *set = settings;
    if (!args->n_positional) return fail(E_ARG, "no recipe: give its path");
    if (set->tokenize && (!set->out || !*set->out)) return fail(E_ARG, "--tokenize needs -o DIR or -o FILE.tokens");
    if (!set->tokenize && set->out) return fail(E_ARG, "-o needs --tokenize");
    struct job j = {.set = set};
    interrupt_catch();
    enum status s = open_job(&j, args->positional[0], args->given);
    if (s == OK) s = set->tokenize ? write_tokens(&j) : look(&j);
    close_job(&j);
    return s;
}

const struct command command_data = {
    .name = "data",
    .summary = "look at what a recipe trains on, or tokenize it beforehand",
    .usage = "RECIPE [--show N] [options] | RECIPE --tokenize -o DIR",
    .about =
        "Prints sequences as training gets them: what is given and what is to be predicted, who sees whom, and then\n"
        "tokens per source. Needs the model's tokenizer files, none of its weights.",
    .examples = "  gptjt data recipes/gpt-jt-6b-stage2.yaml --show 20\n"
                "  gptjt data recipe.yaml --source p3 --objective ul2r --full\n"
                "  gptjt data recipe.yaml --show 0 --count 10000 --json\n"
                "  gptjt data recipe.yaml --tokenize -o tokens/",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
