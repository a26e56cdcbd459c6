// SPDX-License-Identifier: Apache-2.0
#include "cli/shared.h"

#include <stdio.h>

#include "cli/interrupt.h"
#include "cli/ranks.h"
#include "engine/crew.h"
#include "engine/identity.h"
#include "hub/model_path.h"

struct shared {
    shared_fn *fn;
    struct common *common;
    struct common others; /* theirs */
    enum status status;   /* of fn, with its message */
    char message[1024];
};

/* What the command did is kept for whoever called shared_run(): only what is wrong with ranks is theirs to hear. */
static void keep(struct shared *x, enum status s)
{
    x->status = s;
    snprintf(x->message, sizeof x->message, "%s", status_message());
}

/* ---- Models ---- */

enum status shared_open(struct gptjt_engine **out, const char *dir, const struct gptjt_engine_options *options,
                        const struct common *common)
{
    struct gptjt_engine *e;
    const struct stage_ranks *ranks = common->stages ? stage_head_ranks(common->stages) : NULL;
    TRY(engine_open_stage(&e, dir, options, ranks));
    enum status s = ranks ? engine_form_stages(e, common->stages) : OK;
    if (s == OK && common->crew) s = crew_equip(common->crew, e, ranks_on_this_machine((int)common->ranks));
    if (s == OK)
        *out = e;
    else
        gptjt_engine_close(e);
    return s;
}

static enum status open_engine(struct gptjt_engine **out, void *common)
{
    struct cli_model m;
    TRY(cli_model_open(&m, common));
    *out = m.engine;
    return OK;
}

/* ---- Stages but the last ---- */

struct stage {
    const struct common *common;
    struct stage_ranks ranks;
    struct gptjt_engine *engine;
};

static enum status open_stage(const struct gptj **out, enum dtype *kv_dtype, void *user, const char *identity, size_t n)
{
    struct stage *x = user;
    struct model_path path;
    struct gptjt_engine_options options;
    struct buf mine = {0};
    TRY(model_path_resolve(&path, x->common->model));
    cli_engine_options(&options, x->common);
    TRY(engine_open_stage(&x->engine, path.dir, &options, &x->ranks));
    enum status s = identity_put(&mine, x->engine);
    if (s == OK) s = identity_compare(&mine, identity, n);
    buf_free(&mine);
    *out = x->engine->model;
    *kv_dtype = x->engine->kv_dtype;
    return s;
}

static enum status serve(const struct stage_ranks *ranks, const struct shared *x)
{
    struct stage stage = {.common = &x->others, .ranks = *ranks};
    const enum status s = stage_serve(ranks, open_stage, &stage);
    gptjt_engine_close(stage.engine);
    return s;
}

/* ---- Ranks ---- */

static enum status lead(struct transport *t, struct shared *x, int n_stages)
{
    if (t->size > n_stages) TRY(crew_open(&x->common->crew, t, n_stages));
    keep(x, x->fn(x->common));
    const enum status s = crew_close(x->common->crew);
    x->common->crew = NULL;
    return s;
}

static enum status help(struct transport *t, const struct shared *x, struct stage_head *stages)
{
    struct common mine = x->others;
    mine.stages = stages;
    return crew_help(t, open_engine, &mine);
}

static enum status work(struct transport *t, struct shared *x, int n_stages, struct stage_head *stages)
{
    if (t->rank > 0) return help(t, x, stages);
    x->common->stages = stages;
    return lead(t, x, n_stages);
}

/* Ranks r n .. r n + n - 1 have the r-th model; the first of them has its last stage, and works with it. */
static enum status one_of_a_pipeline(struct transport *t, struct shared *x, int n)
{
    const struct stage_ranks ranks = {.t = t, .first = t->rank / n * n, .n = n};
    struct stage_head *stages;
    if (t->rank > ranks.first) return serve(&ranks, x);
    TRY(stage_head_open(&stages, &ranks));
    const enum status s = work(t, x, n, stages), closed = stage_head_close(stages);
    return s == OK ? closed : s;
}

static enum status check(int size, int n_stages)
{
    if (n_stages > 1 && size == 1)
        return fail(E_ARG, "--pipeline-stages %d needs so many ranks: --ranks, or processes of mpirun", n_stages);
    if (size % n_stages)
        return fail(E_ARG, "%d ranks cannot be divided into models of %d --pipeline-stages", size, n_stages);
    return OK;
}

static enum status one_rank(struct transport *t, void *user)
{
    struct shared *x = user;
    const int n_stages = x->others.pipeline_stages ? (int)x->others.pipeline_stages : 1, size = t ? t->size : 1;
    const enum status s = check(size, n_stages);
    if (t && t->rank > 0 && s != OK) return OK; /* rank 0 says it */
    if (s != OK || size == 1) {
        keep(x, s == OK ? x->fn(x->common) : s);
        return OK;
    }
    return n_stages > 1 ? one_of_a_pipeline(t, x, n_stages) : work(t, x, 1, NULL);
}

/* A process that is one of many hears of Ctrl-C and SIGTERM like all of them, but that they end the run is rank 0's to
 * see to, and so is what there is to say. */
static enum status one_process(struct transport *t, void *user)
{
    if (t && t->rank > 0) {
        interrupt_catch();
        log_set_sink(NULL, NULL, LOG_ERROR);
    }
    return one_rank(t, user);
}

enum status shared_run(shared_fn *fn, struct common *common)
{
    struct shared x = {.fn = fn, .common = common};
    const int n_threads = (int)common->ranks;
    if (!common->threads && ranks_on_this_machine(n_threads) > 1) common->threads = ranks_default_threads(n_threads);
    x.others = *common;
    TRY(ranks_run(n_threads, n_threads ? one_rank : one_process, &x));
    return x.status == OK ? OK : fail(x.status, "%s", x.message);
}
