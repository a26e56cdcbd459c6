// SPDX-License-Identifier: Apache-2.0
/* gptjt report: training runs as one HTML page. */
#include "cli/command.h"
#include "cli/common.h"
#include "train/report.h"

struct settings {
    struct common common;
    const char *out;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .out = "report.html"};

static const struct option options[] = {
    {.name = "out",
     .letter = 'o',
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, out),
     .meta = "FILE",
     .help = "where to write the page; - is standard output"},
    COMMON_LOG_OPTIONS,
    {0},
};

static enum status run(void *settings, const struct option_args *args)
{
    const struct settings *set = settings;
    if (!args->n_positional) return fail(E_ARG, "no run: give the directory of one or more");
    struct buf page = {0};
    enum status s = report_html(&page, args->positional, args->n_positional);
    if (s == OK) s = cli_write_page(&set->common, set->out, &page);
    buf_free(&page);
    return s;
}

const struct command command_report = {
    .name = "report",
    .summary = "show training runs as one HTML page",
    .usage = "RUN ... [-o FILE]",
    .about =
        "Reads metrics.jsonl and recipe.json of a run's directory and draws loss, learning rate, gradient norm, loss\n"
        "scale and throughput. Several runs are drawn over each other. The page needs nothing else.",
    .examples = "  gptjt report runs/finetune -o report.html\n"
                "  gptjt report runs/a runs/b -o compared.html",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = REPORT_MAX_RUNS,
    .run = run,
};
