// SPDX-License-Identifier: Apache-2.0
/* gptjt train: a recipe, from its first step or from its last checkpoint, alone or on several ranks; or what it would
 * take. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/ranks.h"
#include "cli/train_plan.h"
#include "dist/grid.h"
#include "engine/engine.h"
#include "hub/model_path.h"
#include "train/recipe_options.h"
#include "train/trainer.h"

struct settings {
    struct common common; /* of it threads, cpu, log and quiet */
    struct recipe recipe;
    int64_t ranks;
    const char *trace, *trace_steps;
    bool resume, dry_run;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .recipe = RECIPE_DEFAULTS, .trace_steps = "20"};

#define FIELD(name) offsetof(struct settings, recipe.name)

static const struct option options[] = {
    {.name = "resume",
     .type = OPTION_FLAG,
     .offset = offsetof(struct settings, resume),
     .help = "go on from the last checkpoint in the output directory, if there is one"},
    {.name = "dry-run",
     .type = OPTION_FLAG,
     .offset = offsetof(struct settings, dry_run),
     .help = "print what the run would take and stop; with --ranks, what each of them would hold and send"},
    {.name = "ranks",
     .type = OPTION_INT,
     .offset = offsetof(struct settings, ranks),
     .min = 1,
     .max = 1024,
     .meta = "N",
     .help = "train on that many ranks, each some threads of this process; processes are mpirun's to start"},
    {.name = "trace",
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, trace),
     .meta = "FILE",
     .help = "write what every rank did when, for ui.perfetto.dev or chrome://tracing"},
    {.name = "trace-steps",
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, trace_steps),
     .meta = "N|A-B",
     .help = "of the first N steps that are made, or of steps A to B"},
    RECIPE_OPTIONS(FIELD),
    COMMON_DEVICE_OPTION,
    COMMON_THREAD_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

/* ---- The command ---- */

struct job {
    const struct recipe *recipe;
    struct trainer_options options;
    const char *trace;  /* NULL: there is none to be */
    struct trace steps; /* of which none has been made */
};

/* The run, and its trace, also if it was told to end before. */
static enum status trained(const struct job *job, const struct trainer_options *o)
{
    const enum status s = trainer_run(job->recipe, o);
    if (!o->trace || (s != OK && s != E_CANCELLED)) return s;
    TRY(o->team ? grid_trace(o->team, job->trace) : trace_write(o->trace, job->trace));
    return s;
}

static enum status on_a_team(const struct job *job, const struct trainer_options *o)
{
    struct buf traffic = {0};
    enum status s = trained(job, o);
    if (s == OK) s = grid_report(o->team, &traffic);
    if (s == OK && traffic.len && !o->quiet) fputs(traffic.data, stderr);
    buf_free(&traffic);
    return s;
}

/* The peak is this process's, so only who trains alone can be held against it; and to find it takes a second of all
 * cores. */
static enum status alone(const struct job *job, struct trainer_options *o)
{
    if (!o->quiet) TRY(train_peak_flops(&o->peak_flops, job->recipe, o));
    return trained(job, o);
}

static enum status one_rank(struct transport *t, void *user)
{
    const struct job *job = user;
    struct trainer_options o = job->options;
    struct trace trace = job->steps;
    if (job->trace) o.trace = &trace;
    if (job->trace && (!t || t->rank == 0)) TRY(trace_check(job->trace));
    if (t && o.device == DEVICE_CUDA)
        return fail(E_UNSUPPORTED, "--device cuda trains alone: what ranks exchange lies in the memory of the CPU");
    enum status s = OK;
    if (t) s = grid_open(&o.team, t, job->recipe);
    if (s == OK) s = t ? on_a_team(job, &o) : alone(job, &o);
    if (t && s != OK && s != E_CANCELLED) net_fail(t, s);
    grid_close(o.team);
    trace_close(&trace);
    return s;
}

static int threads_of(const struct settings *set)
{
    return set->common.threads ? (int)set->common.threads : ranks_default_threads((int)set->ranks);
}

static enum status execute(struct settings *set, struct recipe *r)
{
    struct model_path path;
    struct job job = {
        .recipe = r,
        .trace = set->trace,
        .options = {
            .threads = threads_of(set), .resume = set->resume, .quiet = set->common.quiet, .stop = interrupt_seen}};
    TRY(engine_choose_cpu(&job.options.level, set->common.cpu));
    TRY(ops_choose_device(&job.options.device, cli_device(&set->common)));
    if (set->trace) TRY(trace_open(&job.steps, set->trace_steps));
    TRY(recipe_check(r));
    TRY(model_path_resolve(&path, r->model));
    r->model = path.dir;
    if (set->dry_run) return train_plan_print(r, &job.options, (int)set->ranks);
    interrupt_catch();
    return ranks_run((int)set->ranks, one_rank, &job);
}

static enum status run(void *settings, const struct option_args *args)
{
    struct settings *set = settings, merged = {.trace_steps = set->trace_steps};
    if (!args->n_positional) return fail(E_ARG, "no recipe: give a YAML file");
    option_given given = 0;
    if (!set->trace && options_given(options, args->given, "trace-steps"))
        return fail(E_ARG, "--trace-steps needs --trace, which says where to");
    TRY(recipe_read(&merged.recipe, args->positional[0], &given));
    options_move(options, args->given, &merged, set);
    merged.common = set->common;
    const enum status s = execute(&merged, &merged.recipe);
    recipe_free(&merged.recipe);
    return s;
}

const struct command command_train = {
    .name = "train",
    .summary = "train or fine-tune a model as a recipe says",
    .usage = "RECIPE.yaml [options]",
    .about =
        "Trains with the settings of a recipe, which every option overrides; sources of data are in the recipe only.\n"
        "The output directory gets checkpoints (each one a model that every command takes), metrics.jsonl and the\n"
        "recipe with all defaults. Ctrl-C ends the step, writes a checkpoint and stops; --resume goes on, to the bit.\n"
        "\n"
        "Under mpirun or srun, or with --ranks, several ranks train together: replicas of the model, each of which "
        "may\n"
        "have its layers on several ranks (pipeline-stages), kept together as `sync` says. --trace shows what they do\n"
        "and what they wait for.",
    .examples = "  gptjt train recipes/finetune.yaml\n"
                "  gptjt train recipes/finetune.yaml --steps 400 --resume\n"
                "  gptjt train recipes/gpt-jt-6b-stage2.yaml --dry-run --ranks 8 --pipeline-stages 2 --sync proxskip\n"
                "  mpirun -n 4 gptjt train recipes/finetune.yaml --sync proxskip --batch-size 16",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
