// SPDX-License-Identifier: Apache-2.0
/* gptjt train: a recipe, from its first step or from its last checkpoint, alone or on several ranks; or what it would
 * take. */
#include <stdio.h>
#include <string.h>

#include "base/pool.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/ranks.h"
#include "cli/train_plan.h"
#include "dist/grid.h"
#include "engine/engine.h"
#include "train/recipe_options.h"
#include "train/trainer.h"

struct settings {
    struct common common; /* of it threads, cpu, log and quiet */
    struct recipe recipe;
    int64_t ranks;
    bool resume, dry_run;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .recipe = RECIPE_DEFAULTS};

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
    RECIPE_OPTIONS(FIELD),
    COMMON_THREAD_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

/* ---- The command ---- */

struct job {
    const struct recipe *recipe;
    struct trainer_options options;
};

static enum status on_a_team(struct team *team, const struct job *job)
{
    struct buf traffic = {0};
    struct trainer_options o = job->options;
    o.team = team;
    enum status s = trainer_run(job->recipe, &o);
    if (s == OK) s = grid_report(team, &traffic);
    if (s == OK && traffic.len && !o.quiet) fputs(traffic.data, stderr);
    buf_free(&traffic);
    return s;
}

static enum status one_rank(struct transport *t, void *user)
{
    const struct job *job = user;
    struct team *team = NULL;
    if (!t) return trainer_run(job->recipe, &job->options);
    TRY(grid_open(&team, t, job->recipe));
    const enum status s = on_a_team(team, job);
    if (s != OK && s != E_CANCELLED) net_fail(t, s);
    grid_close(team);
    return s;
}

static int threads_of(const struct settings *set)
{
    if (set->common.threads) return (int)set->common.threads;
    const int all = pool_default_threads(), ranks = ranks_on_this_machine((int)set->ranks);
    return all > ranks ? all / ranks : 1;
}

static enum status execute(struct settings *set, struct recipe *r)
{
    struct model_path path;
    struct job job = {
        .recipe = r,
        .options = {
            .threads = threads_of(set), .resume = set->resume, .quiet = set->common.quiet, .stop = interrupt_seen}};
    TRY(engine_choose_cpu(&job.options.level, set->common.cpu));
    TRY(recipe_check(r));
    TRY(model_path_resolve(&path, r->model));
    r->model = path.dir;
    if (set->dry_run) return train_plan_print(r, &job.options, (int)set->ranks);
    if (!set->common.quiet) TRY(train_peak_flops(&job.options.peak_flops, r, &job.options));
    interrupt_catch();
    return ranks_run((int)set->ranks, one_rank, &job);
}

static enum status run(void *settings, const struct option_args *args)
{
    struct settings *set = settings, merged = {0};
    if (!args->n_positional) return fail(E_ARG, "no recipe: give a YAML file");
    option_given given = 0;
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
        "have its layers on several ranks (pipeline-stages), kept together as `sync` says.",
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
