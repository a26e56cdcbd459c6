// SPDX-License-Identifier: Apache-2.0
/* gptjt pull: a model from the Hugging Face Hub into the cache that -m OWNER/NAME and Python's libraries look into. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/amount.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/interrupt.h"
#include "hub/environment.h"
#include "hub/pull.h"

struct settings {
    struct common common;
    struct option_strings include, exclude;
    bool all, dry_run, json;
    int64_t tries;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS, .tries = 5};

#define FIELD(name) .offset = offsetof(struct settings, name)

static const struct option options[] = {
    {.name = "include",
     .type = OPTION_STRINGS,
     FIELD(include),
     .meta = "PATTERN",
     .help = "download the files that match instead of what is needed to run the model; may be repeated, * matches / "
             "too"},
    {.name = "exclude",
     .type = OPTION_STRINGS,
     FIELD(exclude),
     .meta = "PATTERN",
     .help = "leave out the files that match; may be repeated"},
    {.name = "all", .type = OPTION_FLAG, FIELD(all), .help = "download every file of the repository"},
    {.name = "dry-run", .type = OPTION_FLAG, FIELD(dry_run), .help = "only say what would be downloaded"},
    {.name = "tries",
     .type = OPTION_INT,
     FIELD(tries),
     .max = 1000,
     .meta = "N",
     .help = "how often to try again when a connection breaks or the server is busy, and nothing more comes"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json), .help = "print what there is as JSON instead of its directory"},
    {.name = "revision", .type = OPTION_REFUSED, .help = "write OWNER/NAME@REVISION"},
    {.name = "token",
     .type = OPTION_REFUSED,
     .help = "other users could read it in the list of processes; put it into HF_TOKEN"},
    COMMON_LOG_OPTIONS,
    {0},
};

/* ---- Looking on ---- */

struct looker {
    struct progress bar;
    bool begun, quiet;
};

static bool stop(void *user)
{
    (void)user;
    return interrupt_seen();
}

static void say(void *user, const char *line)
{
    struct looker *x = user;
    if (x->quiet) return;
    if (x->begun && x->bar.terminal) progress_end(&x->bar); /* the bar comes again with the next bytes */
    fprintf(stderr, "%s\n", line);
}

static void on_bytes(void *user, const char *file, uint64_t done)
{
    struct looker *x = user;
    snprintf(x->bar.note, sizeof x->bar.note, "%s", file);
    progress_update(&x->bar, done);
}

/* ---- What there is ---- */

static void print_head(const struct hub_pull *p)
{
    const bool commit = hub_name_is_commit(p->model.revision);
    fprintf(stderr, "%s at %s%s%.12s%s: %zu file%s, %s", p->model.name, commit ? "" : p->model.revision,
            commit ? "" : " (", p->listing.commit, commit ? "" : ")", p->n_wanted, p->n_wanted == 1 ? "" : "s",
            amount_bytes(p->bytes).text);
    if (!p->n_missing)
        fprintf(stderr, ", all there\n");
    else if (p->have)
        fprintf(stderr, ", %s of it there\n", amount_bytes(p->have).text);
    else
        fprintf(stderr, "\n");
}

/* The files that are to come, and what stays out. */
static void print_plan(const struct hub_pull *p)
{
    enum { MOST = 40 };
    uint64_t out_bytes = 0;
    size_t n_out = 0, n_shown = 0;
    print_head(p);
    for (size_t i = 0; i < p->listing.n; i++) {
        const struct hub_file *f = &p->listing.files[i];
        if (!f->wanted) {
            n_out++;
            out_bytes += f->bytes;
        } else if (!f->there && n_shown++ < MOST) {
            fprintf(stderr, "  %9s  %s%s%s%s\n", amount_bytes(f->bytes).text, f->name, f->have ? " (" : "",
                    f->have ? amount_bytes(f->have).text : "", f->have ? " there)" : "");
        }
    }
    if (n_shown > MOST) fprintf(stderr, "  and %zu more\n", n_shown - MOST);
    if (n_shown && n_out)
        fprintf(stderr, "  left out: %zu file%s, %s\n", n_out, n_out == 1 ? "" : "s", amount_bytes(out_bytes).text);
}

static json_t *files_json(const struct hub_pull *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->listing.n; i++) {
        const struct hub_file *f = &p->listing.files[i];
        if (!f->wanted) continue;
        json_append(&list,
                    json_pack("{s:s, s:I, s:s, s:b}", "name", f->name, "bytes", (json_int_t)f->bytes,
                              strlen(f->hash) == HUB_SHA256 ? "sha256" : "git_sha1", f->hash, "there", (int)f->there));
    }
    return list;
}

static enum status print_result(const struct settings *set, const struct hub_pull *p)
{
    if (!set->json) {
        if (!set->dry_run) printf("%s\n", p->snapshot);
        return OK;
    }
    return cli_json_print(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "model", p->model.name, "revision",
                                    p->model.revision, "commit", p->listing.commit, "directory", p->snapshot, "bytes",
                                    (json_int_t)p->bytes, "bytes_there", (json_int_t)p->have, "files", files_json(p)));
}

/* ---- Running ---- */

static enum status download(const struct settings *set, struct hub_pull *p, struct looker *x)
{
    const int64_t start = clock_ns();
    const uint64_t more = p->bytes - p->have;
    progress_begin(&x->bar, "pull", "B", p->bytes, set->common.quiet);
    x->bar.before = p->have;
    x->begun = true;
    const enum status s = hub_pull_run(p);
    progress_end(&x->bar);
    if (set->common.quiet) return s;
    if (s == E_CANCELLED) fprintf(stderr, "interrupted; the same command goes on from here\n");
    if (s == OK && more)
        fprintf(stderr, "downloaded %s in %.1f s\n", amount_bytes(more).text, clock_seconds(start, clock_ns()));
    return s;
}

static enum status pull(const struct settings *set, const struct hub_environment *e, const struct hub_model *m)
{
    struct looker looker = {.quiet = set->common.quiet};
    const struct hub_watch watch = {.user = &looker, .stop = stop, .say = say, .progress = on_bytes};
    const struct hub_settings hub = {
        .endpoint = e->endpoint.data,
        .cache = e->cache,
        .token = e->token.data,
        .token_file = e->token_file,
        .ca_file = e->ca_file,
        .tries = (int)set->tries,
    };
    const struct hub_choice choice = {
        .all = set->all,
        .include = set->include.items,
        .n_include = set->include.n,
        .exclude = set->exclude.items,
        .n_exclude = set->exclude.n,
    };
    struct hub_pull p;
    TRY(hub_pull_open(&p, &hub, m, &watch));
    enum status s = hub_pull_choose(&p, &choice);
    if (s == OK && !set->common.quiet) print_plan(&p);
    if (s == OK && !set->dry_run) s = download(set, &p, &looker);
    if (s == OK && !set->dry_run) s = hub_pull_choose(&p, &choice); /* what is there now */
    if (s == OK) s = print_result(set, &p);
    hub_pull_close(&p);
    return s;
}

/* Without a network: what was pulled before, if it was. */
static enum status find(const struct hub_environment *e, const struct hub_model *m)
{
    char dir[HUB_PATH_MAX];
    if (hub_cache_find(dir, e->cache, m) != OK)
        return fail(E_IO, "%s: HF_HUB_OFFLINE is set, and revision %s is not in the cache (%s)", m->name, m->revision,
                    e->cache);
    printf("%s\n", dir);
    return OK;
}

static enum status run(void *settings, const struct option_args *args)
{
    struct settings *set = settings;
    struct hub_model model;
    struct hub_environment e;
    if (!args->n_positional) return fail(E_ARG, "no model: give OWNER/NAME");
    TRY(hub_name_parse(&model, args->positional[0]));
    if (set->all && set->include.n) return fail(E_ARG, "give --all or --include, not both");
    interrupt_catch();
    enum status s = hub_environment_read(&e);
    if (s == OK) s = e.offline ? find(&e, &model) : pull(set, &e, &model);
    hub_environment_free(&e);
    return s;
}

const struct command command_pull = {
    .name = "pull",
    .summary = "download a model from the Hugging Face Hub",
    .usage = "OWNER/NAME[@REVISION] [--all | --include PATTERN ...] [--exclude PATTERN ...] [options]",
    .about = "Downloads what is needed to run a model into the Hugging Face cache, where -m OWNER/NAME finds it,\n"
             "and transformers too, and prints its directory. What was interrupted goes on when run again; sizes\n"
             "and hashes are checked. REVISION is a branch, a tag or a commit (main). Environment: HF_HOME or\n"
             "HF_HUB_CACHE (where the cache is), HF_TOKEN (for gated and private models; or the file\n"
             "HF_HOME/token), HF_ENDPOINT (another Hub), HF_HUB_OFFLINE, https_proxy. docs/PULL.md has the\n"
             "details.",
    .examples = "  gptjt pull togethercomputer/GPT-JT-6B-v1\n"
                "  gptjt pull EleutherAI/gpt-j-6b@float16 --dry-run\n"
                "  gptjt pull OWNER/NAME --include '*.json' --include '*.txt'\n"
                "  HF_TOKEN=$(cat token) gptjt pull OWNER/GATED && gptjt generate -m OWNER/GATED -p 'Hello'",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
