// SPDX-License-Identifier: Apache-2.0
#include "cli/shared.h"

#include <stdio.h>

#include "cli/interrupt.h"
#include "cli/ranks.h"
#include "engine/crew.h"

struct shared {
    shared_fn *fn;
    struct common *common;
    struct common helpers; /* theirs */
    enum status status;    /* of fn, with its message */
    char message[1024];
};

/* What the command did is kept for whoever called shared_run(): only what is wrong with ranks is theirs to hear. */
static void run_command(struct shared *x)
{
    x->status = x->fn(x->common);
    snprintf(x->message, sizeof x->message, "%s", status_message());
}

static enum status lead(struct transport *t, struct shared *x)
{
    TRY(crew_open(&x->common->crew, t));
    run_command(x);
    const enum status s = crew_close(x->common->crew);
    x->common->crew = NULL;
    return s;
}

static enum status open_engine(struct gptjt_engine **out, void *common)
{
    struct cli_model m;
    TRY(cli_model_open(&m, common));
    *out = m.engine;
    return OK;
}

static enum status one_rank(struct transport *t, void *user)
{
    struct shared *x = user;
    if (t && t->rank > 0) return crew_help(t, open_engine, &x->helpers);
    if (t && t->size > 1) return lead(t, x);
    run_command(x);
    return OK;
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
    x.helpers = *common;
    TRY(ranks_run(n_threads, n_threads ? one_rank : one_process, &x));
    return x.status == OK ? OK : fail(x.status, "%s", x.message);
}

enum status shared_equip(const struct cli_model *m, const struct common *common)
{
    return crew_equip(common->crew, m->engine, ranks_on_this_machine((int)common->ranks));
}
