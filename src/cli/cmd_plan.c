// SPDX-License-Identifier: Apache-2.0
/* gptjt plan: which machine computes what in a run on several, how long a step of it will take, and what a pipeline's
 * schedule looks like. */
#include "base/compiler.h"
#include "cli/command.h"
#include "cli/plan.h"

static const struct plan_settings defaults = {.common = COMMON_DEFAULTS,
                                              .schedule = SCHEDULE_KINDS,
                                              .micro_batches = 8,
                                              .forward_s = 1,
                                              .backward_s = 2,
                                              .batch_size = 64,
                                              .micro_batch_size = 1,
                                              .recompute = true,
                                              .seed = 1,
                                              .restarts = 8,
                                              .moves = 1000000,
                                              .measure_s = 2};

#define FIELD(name) .offset = offsetof(struct plan_settings, name)

/* A picture is for looking at: what is larger is not one. */
enum { MAX_STAGES = 256, MAX_MICRO_BATCHES = 4096 };

static const struct option options[] = {
    {.name = "schedule",
     .type = OPTION_CHOICE,
     FIELD(schedule),
     .choices = SCHEDULE_NAMES "|all",
     .help = "of the pipeline; all: compare them"},
    {.name = "stages",
     .type = OPTION_INT,
     FIELD(stages),
     .min = 1,
     .max = MAX_STAGES,
     .meta = "P",
     .help = "of the pipeline (default with a cluster: what gives the shortest step of all that divide its devices)"},
    {.name = "replicas",
     .type = OPTION_INT,
     FIELD(replicas),
     .min = 1,
     .max = 4096,
     .meta = "D",
     .help = "of the pipeline (default: as many as there are devices for)"},
    {.name = "preset",
     .type = OPTION_STRING,
     FIELD(preset),
     .meta = "SIZE",
     .help = "train a model of this size: tiny, 125m, 350m, 1.3b, 2.7b or 6b (default, without -m: DT-FM's task, GPT-3 "
             "XL)"},
    {.name = "model",
     .letter = 'm',
     .type = OPTION_STRING,
     .offset = offsetof(struct common, model),
     .meta = "MODEL",
     .help = "train a model like this one: a Hugging Face directory of a gptj model, or OWNER/NAME in the cache; only "
             "its config.json is read"},
    {.name = "recipe",
     .type = OPTION_STRING,
     FIELD(recipe),
     .meta = "FILE",
     .help = "train by this recipe: its model, batch, wires between stages, synchronisation and steps, over which "
             "options here go"},
    {.name = "steps",
     .type = OPTION_INT,
     FIELD(steps),
     .min = 1,
     .max = 1e9,
     .meta = "N",
     .help = "of the run, for what is sent in all (default: the recipe's, or 10000)"},
    {.name = "batch-size",
     .type = OPTION_INT,
     FIELD(batch_size),
     .min = 1,
     .max = 1 << 24,
     .meta = "N",
     .help = "sequences of a step, of all replicas together; with a model or a recipe"},
    {.name = "micro-batch-size",
     .type = OPTION_INT,
     FIELD(micro_batch_size),
     .min = 1,
     .max = 1 << 16,
     .meta = "N",
     .help = "sequences of a micro-batch"},
    {.name = "seq-len",
     .type = OPTION_INT,
     FIELD(seq_len),
     .min = 1,
     .max = 1 << 24,
     .meta = "N",
     .help = "tokens of a sequence (default: the model's window)"},
    {.name = "recompute",
     .type = OPTION_FLAG,
     FIELD(recompute),
     .help = "keep only each block's input and compute the rest again in the backward pass"},
    {.name = "seed", .type = OPTION_SEED, FIELD(seed), .meta = "N", .help = "of the search: same seed, same placement"},
    {.name = "restarts",
     .type = OPTION_INT,
     FIELD(restarts),
     .min = 1,
     .max = 1e6,
     .meta = "N",
     .help = "take the best of so many searches"},
    {.name = "moves", .type = OPTION_INT, FIELD(moves), .min = 1, .max = 1e12, .meta = "N", .help = "tried in each"},
    {.name = "refine",
     .type = OPTION_NUMBER,
     FIELD(refine_s),
     .max = 1e6,
     .meta = "SECONDS",
     .help = "then swap devices for so long, keeping what makes the simulated step shorter; what that finds depends on "
             "how fast this machine is, unless it ends by itself"},
    {.name = "micro-batches",
     .type = OPTION_INT,
     FIELD(micro_batches),
     .min = 1,
     .max = MAX_MICRO_BATCHES,
     .meta = "M",
     .help = "in a picture of a schedule, for which the next four are, too"},
    {.name = "forward", .type = OPTION_NUMBER, FIELD(forward_s), .max = 1e9, .meta = "SECONDS", .help = "of a pass"},
    {.name = "backward",
     .type = OPTION_NUMBER,
     FIELD(backward_s),
     .max = 1e9,
     .meta = "SECONDS",
     .help = "of a pass; where it is split, one half for inputs and one for weights"},
    {.name = "latency",
     .type = OPTION_NUMBER,
     FIELD(latency_s),
     .max = 1e9,
     .meta = "SECONDS",
     .help = "of a message between stages"},
    {.name = "transfer",
     .type = OPTION_NUMBER,
     FIELD(transfer_s),
     .max = 1e9,
     .meta = "SECONDS",
     .help = "that a message occupies its link"},
    {.name = "measure",
     .type = OPTION_STRING,
     FIELD(measure),
     .meta = "FILE",
     .help = "under mpirun: measure the machines of all ranks and the links between them, and write them as a cluster "
             "file"},
    {.name = "measure-time",
     .type = OPTION_NUMBER,
     FIELD(measure_s),
     .min = 1e-3,
     .max = 3600,
     .meta = "SECONDS",
     .help = "--measure: for each link, each way, about; the links of different machines are measured at once"},
    {.name = "rankfile",
     .type = OPTION_STRING,
     FIELD(rankfile),
     .meta = "FILE",
     .help = "write the placement for mpirun --rankfile"},
    {.name = "hostfile",
     .type = OPTION_STRING,
     FIELD(hostfile),
     .meta = "FILE",
     .help = "write the machines for mpirun --hostfile"},
    {.name = "svg", .type = OPTION_STRING, FIELD(svg), .meta = "FILE", .help = "draw the placement, or the schedule"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "print one JSON object instead of text"},
    COMMON_LOG_OPTIONS,
    {0},
};

static const char *const for_clusters[] = {
    "replicas", "preset",   "model", "recipe", "batch-size", "micro-batch-size", "seq-len", "recompute",
    "seed",     "restarts", "moves", "refine", "rankfile",   "hostfile",         "steps"};
static const char *const for_pictures[] = {"micro-batches", "forward", "backward", "latency", "transfer"};
static const char *const for_models[] = {"batch-size", "micro-batch-size", "seq-len"};

/* The first of names that is given, or NULL. */
static const char *find_given(option_given given, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (options_given(options, given, names[i])) return names[i];
    return NULL;
}

static enum status run_schedules(const struct plan_settings *set, option_given given)
{
    const char *stray = find_given(given, for_clusters, COUNT_OF(for_clusters));
    if (stray) return fail(E_ARG, "--%s needs a CLUSTER.yaml", stray);
    if (!set->stages) return fail(E_ARG, "nothing to plan: give a CLUSTER.yaml, or --stages for pictures of schedules");
    if (set->svg && set->schedule == SCHEDULE_KINDS)
        return fail(E_ARG, "--svg draws one schedule: choose it with --schedule");
    return plan_schedules(set);
}

/* What the options say, and without a recipe their defaults, goes over what the recipe says. */
static enum status read_recipe(struct recipe *r, const struct plan_settings *set, option_given given)
{
    option_given in_recipe = 0;
    if (set->recipe)
        TRY(recipe_read(r, set->recipe, &in_recipe));
    else
        *r = recipe_defaults;
    const bool plain = !set->recipe;
    if (plain) r->wire_activations = r->wire_gradients = TRAIN_WIRE_FP16;
    if (plain || options_given(options, given, "batch-size")) r->batch_size = set->batch_size;
    if (plain || options_given(options, given, "micro-batch-size")) r->micro_batch_size = set->micro_batch_size;
    if (plain || options_given(options, given, "seq-len")) r->data.seq_len = set->seq_len;
    if (plain || options_given(options, given, "recompute")) r->recompute = set->recompute;
    if (plain || options_given(options, given, "steps")) r->steps = set->steps;
    return OK;
}

static enum status run_cluster(const struct plan_settings *set, option_given given, const char *path)
{
    const bool model = set->preset || set->common.model || set->recipe;
    const char *stray = find_given(given, for_pictures, COUNT_OF(for_pictures));
    if (stray) return fail(E_ARG, "--%s is for pictures of schedules, which need no cluster", stray);
    stray = find_given(given, for_models, COUNT_OF(for_models));
    if (stray && !model) return fail(E_ARG, "--%s needs --preset, -m or --recipe: DT-FM's task has its own", stray);
    if (set->preset && set->common.model) return fail(E_ARG, "give --preset or -m, not both");
    struct recipe recipe = {0};
    enum status s = read_recipe(&recipe, set, given);
    if (s == OK) s = plan_cluster(set, &recipe, path);
    recipe_free(&recipe);
    return s;
}

static enum status run_measure(struct plan_settings *set, const struct option_args *args)
{
    const char *stray = find_given(args->given, for_clusters, COUNT_OF(for_clusters));
    if (!stray) stray = find_given(args->given, for_pictures, COUNT_OF(for_pictures));
    if (args->n_positional) return fail(E_ARG, "--measure writes a cluster file and plans nothing: give none");
    if (stray) return fail(E_ARG, "--%s is for planning, which --measure does not do", stray);
    return plan_measure(set);
}

static enum status run(void *settings, const struct option_args *args)
{
    struct plan_settings *set = settings;
    if (set->measure) return run_measure(set, args);
    if (!args->n_positional) return run_schedules(set, args->given);
    return run_cluster(set, args->given, args->positional[0]);
}

const struct command command_plan = {
    .name = "plan",
    .summary = "place stages and replicas on machines, predict a step's time, draw schedules",
    .usage = "CLUSTER.yaml [--stages P] [--replicas D] [options]\n"
             "       gptjt plan --stages P [--schedule NAME] [--micro-batches M] [options]\n"
             "       mpirun ... gptjt plan --measure CLUSTER.yaml",
    .about = "With a file that describes machines and the links between them (recipes/clusters has examples),\n"
             "decides which device computes which stage of which replica: first the placement that costs least by\n"
             "the model of DT-FM (Yuan et al. 2022), which counts communication only; then, for each schedule, the\n"
             "seconds of a step of it, by a simulation of every pass and message over links and network cards that\n"
             "they share, and the memory of each rank. Replicas are numbered so that neighbours in the rings are\n"
             "near each other, which DT-FM's cost does not see. DT-FM's task is simulated as preset 1.3b, 512\n"
             "sequences of 2048 tokens, sharded. At last, for each way to keep replicas together, the mean step,\n"
             "the part of all devices' time in which they compute, and what is sent: by the rank that sends most,\n"
             "and counted as whole copies of the model, as GPT-JT's authors did.\n"
             "Without a file, draws what each stage of a pipeline does when.\n"
             "With --measure, writes such a file: how many operations a second each rank reaches in training while\n"
             "all of them train, latency and rate of every link, each way, and what network cards carry.",
    .examples = "  gptjt plan recipes/clusters/dtfm-5-world.yaml --stages 8 --svg world.svg\n"
                "  gptjt plan recipes/clusters/gptjt.yaml --recipe recipes/gpt-jt-6b-stage1.yaml --stages 2\n"
                "  mpirun --hostfile hosts --bind-to none gptjt plan --measure home.yaml\n"
                "  gptjt plan home.yaml --preset 6b --batch-size 64 --rankfile ranks --hostfile hosts\n"
                "  mpirun --hostfile hosts --rankfile ranks gptjt train recipe.yaml\n"
                "  gptjt plan --stages 4 --micro-batches 8\n"
                "  gptjt plan --schedule 1f1b --stages 4 --latency 0.5 --svg 1f1b.svg",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct plan_settings),
    .max_positional = 1,
    .run = run,
};
