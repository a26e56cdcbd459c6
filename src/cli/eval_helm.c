// SPDX-License-Identifier: Apache-2.0
/* gptjt eval --helm: HELM's runs, with a model's answers or the recorded ones, scored as HELM scores them. What a run
 * is, is in eval/helm.h, how it is put to a model in eval/helm_run.h, what is computed in eval/helm_stats.h; here is
 * the order in which that is done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/eval.h"
#include "cli/eval_helm_show.h"
#include "cli/interrupt.h"
#include "eval/helm_json.h"
#include "eval/helm_write.h"
#include "hub/model_path.h"

struct job {
    const struct eval_settings *set;
    struct helm_filter filter;
    char **dirs; /* [n_dirs] one a run, owned */
    int n_dirs;
    struct cli_model model;                /* not with --recorded */
    struct gptjt_tokenizer *own_tokenizer; /* owned; with --recorded and a model's name */
    const struct gptjt_tokenizer *tokenizer;
    struct gptjt_session *session;
    struct buf settings; /* for fingerprints */
    struct helm_show show;
    struct helm_work work;
    struct helm_pace first, pace; /* over all runs */
    bool estimated;
    struct progress progress;
    uint64_t tokens_before; /* prompt tokens of runs that are through */
    char **parts;           /* [n_dirs] part files to remove when all is done, or NULL; owned */
};

/* ---- Scoring ---- */

/* The statistics beside HELM's own, if they are there and of the same requests. */
static enum status agree(const struct job *j, struct helm_evaluated *e, const char *dir)
{
    char path[HELM_PATH_MAX];
    TRY(file_join(path, sizeof path, dir, "stats.json"));
    if (j->filter.n_instances || j->filter.original || !file_exists(path)) return OK;
    json_t *theirs;
    TRY(helm_json_read_file(&theirs, path));
    enum status s = json_is_array(theirs) ? OK : fail(E_FORMAT, "%s: is no array of statistics", path);
    if (s == OK) s = helm_stats_compare(&e->agreement, e->different, e->rows, theirs);
    e->agreement_known = s == OK;
    json_decref(theirs);
    return s;
}

static enum status write_results(const struct job *j, const struct helm_evaluated *e, const struct helm_answer *answers)
{
    if (!j->set->output) return OK;
    char dir[HELM_PATH_MAX];
    TRY(helm_output_dir(dir, j->set->output, e->run));
    return helm_write(dir, e->run, answers, e->rows, j->model.name);
}

static enum status make_stats(struct helm_evaluated *e, const struct helm_answer *answers)
{
    TRY(helm_stats_compute(&e->stats, e->run, answers));
    return helm_stats_json(&e->rows, e->stats);
}

/* ---- Recorded answers ---- */

static enum status count_tokens(const struct job *j, const struct helm_request *q, int64_t *n)
{
    int32_t *ids;
    size_t n_ids;
    *n = -1;
    if (!j->tokenizer) return OK;
    TRY(cli_status(gptjt_encode(j->tokenizer, q->prompt.data, q->prompt.len, true, &ids, &n_ids)));
    gptjt_free(ids);
    *n = (int64_t)n_ids;
    return OK;
}

static enum status evaluate_recorded(struct job *j, struct helm_evaluated *e, const char *dir)
{
    struct helm_answer *answers = calloc((size_t)e->run->n_requests, sizeof *answers);
    enum status s = answers ? OK : fail(E_NOMEM, "%s: out of memory", dir);
    for (int i = 0; s == OK && i < e->run->n_requests; i++) {
        answers[i].result = e->run->requests[i].result;
        s = count_tokens(j, &e->run->requests[i], &answers[i].prompt_tokens);
    }
    if (s == OK) s = make_stats(e, answers);
    if (s == OK) s = agree(j, e, dir);
    if (s == OK) s = write_results(j, e, NULL);
    free(answers);
    return s;
}

/* ---- A model's answers ---- */

static bool on_progress(void *user, uint64_t n_prompt_tokens)
{
    struct job *j = user;
    progress_update(&j->progress, j->tokens_before + n_prompt_tokens);
    return !interrupt_seen();
}

/* Makes room for a line that is to stay. */
static void wipe_bar(struct job *j)
{
    if (j->progress.terminal) progress_end(&j->progress);
}

static void add_pace(struct helm_pace *sum, const struct helm_pace *p)
{
    sum->n_batches += p->n_batches;
    sum->n_requests += p->n_requests;
    sum->n_prompt_tokens += p->n_prompt_tokens;
    sum->n_new_tokens += p->n_new_tokens;
    sum->prompt_s += p->prompt_s;
    sum->new_s += p->new_s;
    sum->score_s += p->score_s;
}

/* Takes what the runner has measured. The first batch of all reads the weights from disk, and counts only as long as it
 * is the only one. */
static void take_pace(struct job *j, struct helm_runner *r)
{
    add_pace(j->first.n_batches ? &j->pace : &j->first, &r->pace);
    r->pace = (struct helm_pace){0};
}

static const struct helm_pace *known_pace(const struct job *j)
{
    return j->pace.n_batches ? &j->pace : &j->first;
}

/* What an earlier run has left is not to be done again. */
static struct helm_work work_left(const struct job *j, const struct helm_runner *r)
{
    struct helm_work left = j->work;
    const double share = 1 - (double)j->progress.before / (double)left.n_prompt_tokens;
    left.n_requests -= r->n_resumed;
    left.n_prompt_tokens -= j->progress.before;
    left.n_new_tokens = (uint64_t)((double)left.n_new_tokens * share);
    return left;
}

static void print_estimate(struct job *j, const struct helm_runner *r)
{
    if (j->estimated || !known_pace(j)->n_batches || j->set->common.quiet || j->set->dry_run) return;
    const struct helm_work left = work_left(j, r);
    j->estimated = true;
    wipe_bar(j);
    helm_show_estimate(stderr, &left, known_pace(j));
}

/* One request to warm up, a few to measure, or one where that takes long, and then the rest. */
static enum status run_requests(struct job *j, struct helm_runner *r)
{
    const double long_s = 20;
    for (int warm_up = 1; warm_up >= 0 && !j->pace.n_batches; warm_up--) {
        const bool is_slow = j->first.prompt_s + j->first.new_s > long_s;
        const enum status s = helm_runner_run(r, warm_up || is_slow ? 1 : r->batching.least);
        take_pace(j, r);
        TRY(s);
    }
    print_estimate(j, r);
    return j->set->dry_run ? OK : helm_runner_run(r, r->run->n_requests);
}

static void tell_stopped(const struct helm_runner *r)
{
    fprintf(stderr, "%s: stopped after %d of %d requests", r->run->name, r->n_done, r->run->n_requests);
    fprintf(stderr, r->out_path ? "; the same command goes on from there\n" : ", which are lost without -o\n");
}

static enum status finish_run(struct job *j, struct helm_evaluated *e, struct helm_runner *r)
{
    TRY(make_stats(e, r->answers));
    TRY(write_results(j, e, r->answers));
    if (!r->compare) return OK;
    e->comparison_known = true;
    return helm_compare(&e->comparison, e->run, r->answers, r->recorded);
}

/* Runs or resumes one run. The part file stays until all runs are through, since the same command looks for it. */
static enum status run_model(struct job *j, struct helm_evaluated *e, struct helm_runner *r, int index)
{
    char dir[HELM_PATH_MAX], path[HELM_PATH_MAX];
    if (j->set->output && !j->set->dry_run) {
        TRY(helm_output_dir(dir, j->set->output, e->run));
        TRY(file_join(path, sizeof path, dir, "scenario_state.json"));
        r->out_path = path;
    }
    TRY(helm_runner_open(r));
    j->parts[index] = strdup(r->part.path);
    if (r->n_resumed && !j->set->common.quiet)
        fprintf(stderr, "%s: going on after %zu of %d requests\n", e->run->name, r->n_resumed, e->run->n_requests);
    j->progress.before += r->tokens_done;
    const enum status s = run_requests(j, r);
    if (s == E_CANCELLED) {
        progress_end(&j->progress);
        tell_stopped(r);
    }
    TRY(s);
    j->tokens_before += r->tokens_done;
    r->out_path = NULL;
    return j->set->dry_run ? OK : finish_run(j, e, r);
}

static enum status evaluate_model(struct job *j, struct helm_evaluated *e, int index)
{
    struct helm_plan plan;
    TRY(helm_plan(&plan, e->run, j->tokenizer, j->model.info.n_positions));
    struct helm_runner r = {.run = e->run,
                            .plan = &plan,
                            .engine = j->model.engine,
                            .session = j->session,
                            .compare = j->set->compare_recorded,
                            .settings = j->settings.data,
                            .progress = on_progress,
                            .user = j};
    const enum status s = run_model(j, e, &r, index);
    helm_runner_free(&r);
    helm_plan_free(&plan);
    return s;
}

static void tell_cuts(const struct job *j, const char *name, const struct helm_plan *p, int n)
{
    static const char *const what[] = {[HELM_CUT_SHOTS] = "have fewer shots",
                                       [HELM_CUT_TEXT] = "have no shots and lost the end of their text",
                                       [HELM_CUT_LEFT] = "lost their beginning"};
    for (int cut = HELM_CUT_SHOTS; cut <= HELM_CUT_LEFT; cut++)
        if (p->n_cut[cut])
            log_line(LOG_WARN, "%s: %d of %d prompts %s, so that they fit the window of %d tokens", name, p->n_cut[cut],
                     n, what[cut], j->model.info.n_positions);
}

/* Looks at all that is to be done before anything is. */
static enum status survey(struct job *j, size_t *session_tokens)
{
    j->work.n_runs = j->n_dirs;
    *session_tokens = 0;
    for (int i = 0; i < j->n_dirs; i++) {
        struct helm_run *run;
        struct helm_plan plan;
        TRY(helm_run_open(&run, j->dirs[i], j->filter));
        const enum status s = helm_plan(&plan, run, j->tokenizer, j->model.info.n_positions);
        if (s == OK) {
            j->work.n_requests += (uint64_t)run->n_requests;
            j->work.n_prompt_tokens += plan.n_prompt_tokens;
            j->work.n_new_tokens += plan.n_new_tokens;
            if (plan.session_tokens > *session_tokens) *session_tokens = plan.session_tokens;
            tell_cuts(j, run->name, &plan, run->n_requests);
            helm_plan_free(&plan);
        }
        helm_run_close(run);
        TRY(s);
    }
    return OK;
}

static enum status open_model(struct job *j)
{
    size_t session_tokens;
    TRY(cli_model_open(&j->model, &j->set->common));
    TRY(cli_tokenizer(&j->tokenizer, &j->model, "a model with one"));
    cli_mask_note(&j->model, &j->set->common);
    TRY(cli_model_describe(&j->settings, &j->model, &j->set->common));
    TRY(survey(j, &session_tokens));
    return cli_status(
        gptjt_session_create(&j->session, j->model.engine, batching_room(j->model.engine, session_tokens)));
}

/* ---- All runs ---- */

static enum status evaluate(struct job *j, int index)
{
    struct helm_evaluated e = {.different = json_array()};
    enum status s = helm_run_open(&e.run, j->dirs[index], j->filter);
    if (s == OK) s = j->set->recorded ? evaluate_recorded(j, &e, j->dirs[index]) : evaluate_model(j, &e, index);
    if (s == OK && !j->set->dry_run) {
        wipe_bar(j);
        s = helm_show_run(&j->show, &e);
    }
    helm_stats_free(e.stats);
    json_decref(e.rows);
    json_decref(e.different);
    helm_run_close(e.run);
    return s;
}

/* With --dry-run the runs end when there is something measured. */
static bool is_enough(const struct job *j)
{
    return j->set->dry_run && j->pace.n_batches;
}

static enum status evaluate_all(struct job *j)
{
    enum status s = OK;
    for (int i = 0; s == OK && i < j->n_dirs && !is_enough(j); i++)
        s = evaluate(j, i);
    progress_end(&j->progress);
    TRY(s);
    if (j->set->dry_run && j->set->json) return helm_show_estimate_json(&j->work, known_pace(j));
    if (j->set->dry_run) {
        helm_show_estimate(stdout, &j->work, known_pace(j));
        return OK;
    }
    for (int i = 0; i < j->n_dirs; i++)
        if (j->parts[i] && j->parts[i][0]) remove(j->parts[i]);
    return helm_show_end(&j->show, j->set->recorded ? NULL : &j->model);
}

/* Recorded answers need no model, but with one named its tokenizer counts the prompts' tokens. */
static enum status open_tokenizer(struct job *j)
{
    struct model_path path;
    if (!j->set->common.model) return OK;
    TRY(model_path_resolve(&path, j->set->common.model));
    TRY(cli_status(gptjt_tokenizer_open(&j->own_tokenizer, path.dir)));
    j->tokenizer = j->own_tokenizer;
    return OK;
}

static enum status check_settings(const struct eval_settings *set)
{
    if (set->recorded && set->compare_recorded)
        return fail(E_ARG, "--compare-recorded compares a model with the answers that --recorded takes; give one");
    if (set->recorded && set->dry_run) return fail(E_ARG, "--recorded runs nothing that --dry-run could leave out");
    return set->compare_masks ? fail(E_ARG, "--compare-masks goes with --tasks") : OK;
}

static enum status run_job(struct job *j)
{
    TRY(check_settings(j->set));
    TRY(helm_find_runs(&j->dirs, &j->n_dirs, j->set->helm));
    TRY(helm_show_begin(&j->show, j->dirs, j->n_dirs));
    j->parts = calloc((size_t)j->n_dirs, sizeof *j->parts);
    if (!j->parts) return fail(E_NOMEM, "out of memory");
    TRY(j->set->recorded ? open_tokenizer(j) : open_model(j));
    interrupt_catch();
    progress_begin(&j->progress, "eval", "tokens", j->work.n_prompt_tokens, j->set->common.quiet || j->set->recorded);
    return evaluate_all(j);
}

enum status eval_helm(const struct eval_settings *set)
{
    struct job j = {.set = set,
                    .filter = {.n_instances = (int)set->limit, .original = !set->perturbed},
                    .show = {.json = set->json}};
    const enum status s = run_job(&j);
    for (int i = 0; j.parts && i < j.n_dirs; i++)
        free(j.parts[i]);
    free(j.parts);
    helm_show_free(&j.show);
    helm_free_list(j.dirs, j.n_dirs);
    gptjt_session_close(j.session);
    cli_model_close(&j.model);
    gptjt_tokenizer_close(j.own_tokenizer);
    buf_free(&j.settings);
    return s;
}
