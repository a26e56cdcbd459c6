// SPDX-License-Identifier: Apache-2.0
/* gptjt eval: how good a model is at something. The kinds of evaluation are in eval_helm.c, eval_tasks.c and
 * eval_text.c, what they share is in eval.c; here is the command line. */
#include "cli/command.h"
#include "cli/eval.h"
#include "cli/shared.h"
#include "eval/task.h"

static const struct eval_settings defaults = {.common = COMMON_DEFAULTS, .perturbed = true, .shots = -1};

#define FIELD(name) .offset = offsetof(struct eval_settings, name)

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "helm",
     .type = OPTION_STRING,
     FIELD(helm),
     .meta = "DIR",
     .help = "a run that HELM wrote (scenario_state.json), or a directory of such"},
    {.name = "recorded",
     .type = OPTION_FLAG,
     FIELD(recorded),
     .help = "--helm: score the answers already in the files; no model is run"},
    {.name = "compare-recorded",
     .type = OPTION_FLAG,
     FIELD(compare_recorded),
     .help = "--helm: also say how far answers and log-probabilities agree with those in the files"},
    {.name = "perturbed",
     .type = OPTION_FLAG,
     FIELD(perturbed),
     .help = "--helm: also the perturbed copies of instances; --no-perturbed leaves out what only robustness and "
             "fairness need"},
    {.name = "dry-run",
     .type = OPTION_FLAG,
     FIELD(dry_run),
     .help = "--helm: measure a few requests, say how long all would take, and stop"},
    {.name = "tasks",
     .letter = 't',
     .type = OPTION_STRINGS,
     FIELD(tasks),
     .meta = "FILE",
     .help =
         "a task of your own: a small YAML file that names csv or jsonl files, or a directory of such; may be given "
         "again"},
    {.name = "shots",
     .type = OPTION_INT,
     FIELD(shots),
     .min = -1,
     .max = TASK_MAX_SHOTS,
     .meta = "N",
     .help = "--tasks: examples that a prompt shows (default: as the task file says)"},
    {.name = "compare-masks",
     .type = OPTION_FLAG,
     FIELD(compare_masks),
     .help = "run everything under both masks, prefix and causal, and test whether they differ"},
    {.name = "text",
     .type = OPTION_STRINGS,
     FIELD(text),
     .meta = "FILE",
     .help = "perplexity and bits per byte of a text file; may be given again"},
    {.name = "last-word",
     .type = OPTION_STRING,
     FIELD(last_word),
     .meta = "FILE",
     .help = "how often the last word of a text is foretold (LAMBADA): jsonl with \"text\""},
    {.name = "stride",
     .type = OPTION_INT,
     FIELD(stride),
     .max = 1e9,
     .meta = "N",
     .help = "--text: tokens scored in each window of the model's size, the rest being what they are predicted from "
             "(default 0: half of it)"},
    {.name = "limit",
     .type = OPTION_INT,
     FIELD(limit),
     .max = 1e9,
     .meta = "N",
     .help = "only the first N instances of each (default 0: all)"},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_STRING,
     FIELD(output),
     .meta = "DIR",
     .help = "write every answer there; interrupted, the same command goes on where it stopped"},
    {.name = "report", .type = OPTION_STRING, FIELD(report), .meta = "FILE", .help = "write a page with charts (HTML)"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "print one JSON object instead of a table"},
    COMMON_ENGINE_OPTIONS,
    COMMON_RANKS_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

static enum status check(const struct eval_settings *set)
{
    const bool text = set->text.n || set->last_word;
    const int kinds = !!set->helm + !!set->tasks.n + text;
    if (!kinds)
        return fail(E_ARG, "nothing to evaluate: give --helm DIR, --tasks FILE, --text FILE or --last-word FILE");
    if (kinds > 1)
        return fail(E_ARG, "--helm, --tasks, and --text or --last-word are runs of their own; give one of them");
    if (set->compare_masks && set->common.prompt_mask)
        return fail(E_ARG, "--compare-masks runs under both masks; leave --prompt-mask out");
    if (set->report && !set->tasks.n) return fail(E_ARG, "--report goes with --tasks");
    if (!set->helm && (set->recorded || set->compare_recorded || set->dry_run || !set->perturbed))
        return fail(E_ARG, "--recorded, --compare-recorded, --dry-run and --no-perturbed go with --helm");
    if (set->shots >= 0 && !set->tasks.n) return fail(E_ARG, "--shots goes with --tasks");
    if (set->stride && !set->text.n) return fail(E_ARG, "--stride goes with --text");
    return OK;
}

static enum status run_shared(void *settings)
{
    const struct eval_settings *set = settings;
    TRY(check(set));
    if (set->helm) return eval_helm(set);
    return set->tasks.n ? eval_tasks(set) : eval_text(set);
}

static enum status run(void *settings, const struct option_args *args)
{
    (void)args;
    return shared_run(run_shared, settings);
}

const struct command command_eval = {
    .name = "eval",
    .summary = "measure a model on HELM's runs, on tasks of your own, or on text",
    .usage = "[-m MODEL] (--helm DIR | --tasks FILE... | --text FILE... | --last-word FILE) [options]",
    .about = "Runs a model on labelled data and says how often it is right, with what certainty that is known, and\n"
             "under which mask.",
    .examples = "  gptjt eval --helm raft/ --recorded\n"
                "  gptjt eval -m GPT-JT-6B-v1 --helm raft/ -o results/\n"
                "  gptjt eval --tasks complaints.yaml --compare-masks --report complaints.html\n"
                "  gptjt eval --text book.txt --last-word lambada.jsonl\n"
                "  mpirun -n 4 gptjt eval --tasks complaints.yaml -o results/",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct eval_settings),
    .run = run,
};
