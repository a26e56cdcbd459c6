// SPDX-License-Identifier: Apache-2.0
/* gptjt plan with a cluster: numbers of stages and replicas are tried, each is placed by DT-FM's cost and simulated
 * with each schedule, and the shortest step that fits into memory wins. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/amount.h"
#include "cli/interrupt.h"
#include "cli/plan.h"
#include "dist/placement_search.h"
#include "dist/placement_show.h"
#include "dist/placement_step.h"
#include "hub/model_path.h"
#include "model/synth.h"

/* One way to divide the devices, placed and simulated. */
struct candidate {
    int stages, replicas;
    struct placement placement;
    struct placement_cost cost;                          /* DT-FM's */
    struct placement_step_model *models[SCHEDULE_KINDS]; /* NULL where that schedule is not wanted */
    struct placement_step steps[SCHEDULE_KINDS];
    enum schedule_kind best;
};

struct planner {
    const struct plan_settings *set;
    struct cluster cluster;
    bool dtfm; /* the task is DT-FM's */
    const char *model;
    struct gptj_config config;
    struct step_task task;
    struct candidate *candidates; /* [n], owned */
    int n;
    struct candidate *best;
    struct progress bar;
    int restarts; /* of candidates that are done */
    struct plan_sync syncs[PLAN_SYNCS];
    int n_syncs;
};

/* ---- Task ---- */

static enum status read_preset(struct gptj_config *out, const char *name)
{
    const struct synth_preset *p = synth_find_preset(name);
    if (!p) return fail(E_ARG, "--preset is \"%.40s\", not one of tiny, 125m, 350m, 1.3b, 2.7b, 6b", name);
    *out = (struct gptj_config){.V = p->V, .P = p->P, .D = p->D, .L = p->L, .H = p->H, .R = p->R};
    return synth_complete(out);
}

static enum status read_model(struct gptj_config *out, const char *name)
{
    struct model_path path;
    struct checkpoint_config config;
    TRY(model_path_resolve(&path, name));
    TRY(checkpoint_config_read(&config, path.dir));
    *out = config.model;
    return OK;
}

static enum status read_task(struct planner *p, struct recipe *recipe)
{
    const struct plan_settings *set = p->set;
    const char *model = set->common.model ? set->common.model : recipe->model;
    p->dtfm = !set->preset && !model;
    p->model = set->preset ? set->preset : model;
    p->task = (struct step_task){&p->config, recipe};
    if (p->dtfm) {
        recipe->batch_size = 512;
        recipe->micro_batch_size = 1;
        recipe->data.seq_len = 2048;
        recipe->sync = SYNC_SHARDED; /* theirs is a parameter server that is */
        return read_preset(&p->config, "1.3b");
    }
    TRY(set->preset ? read_preset(&p->config, set->preset) : read_model(&p->config, model));
    if (!recipe->data.seq_len) recipe->data.seq_len = p->config.P;
    if (recipe->data.seq_len > p->config.P)
        return fail(E_ARG, "sequences of %" PRId64 " tokens are longer than the model's window of %d",
                    recipe->data.seq_len, p->config.P);
    return OK;
}

/* The same batch and model, however they are divided. */
static struct placement_task cost_task(const struct planner *p, int stages, int replicas)
{
    enum { FP32 = 4, FP16 = 2 };
    const struct placement_task *dtfm = &placement_task_dtfm;
    if (p->dtfm)
        return (struct placement_task){stages, replicas, dtfm->gradient_bytes * dtfm->stages / stages,
                                       dtfm->activation_bytes * dtfm->replicas / replicas};
    return placement_task_of(stages, replicas, (double)gptj_config_parameters(&p->config), FP32,
                             (double)(p->task.recipe->batch_size * p->task.recipe->data.seq_len) / replicas,
                             p->config.D, FP16);
}

/* ---- Candidates ---- */

/* Of what is sure to fit. */
static void add_candidate(struct planner *p, int stages, int replicas)
{
    p->candidates[p->n++] = (struct candidate){.stages = stages, .replicas = replicas};
}

/* 0: neither the user nor the recipe says. */
static int given_stages(const struct planner *p)
{
    if (p->set->stages) return (int)p->set->stages;
    return p->task.recipe->pipeline_stages > 1 ? (int)p->task.recipe->pipeline_stages : 0;
}

static enum status add_given(struct planner *p)
{
    const int devices = p->cluster.n_devices, stages = given_stages(p), replicas = (int)p->set->replicas;
    const int given = stages ? stages : replicas, other = devices / given ? devices / given : 1;
    const struct placement_task task = {.stages = stages ? stages : other, .replicas = replicas ? replicas : other};
    TRY(placement_check(&task, devices));
    TRY(step_task_check(&p->task, task.stages, task.replicas));
    add_candidate(p, task.stages, task.replicas);
    return OK;
}

static enum status list_candidates(struct planner *p)
{
    const int devices = p->cluster.n_devices;
    p->candidates = calloc((size_t)devices, sizeof *p->candidates);
    if (!p->candidates) return fail(E_NOMEM, "out of memory for %d devices", devices);
    if (given_stages(p) || p->set->replicas) return add_given(p);
    for (int s = 1; s <= devices && s <= PLACEMENT_MAX_STAGES; s++)
        if (devices % s == 0 && step_task_check(&p->task, s, devices / s) == OK) add_candidate(p, s, devices / s);
    if (p->n) return OK;
    return fail(E_ARG,
                "%d devices cannot be divided for %d layers and a batch of %" PRId64 ": give --stages and --replicas",
                devices, p->config.L, p->task.recipe->batch_size);
}

static bool on_restart(void *user, int restarts)
{
    struct planner *p = user;
    progress_update(&p->bar, (uint64_t)p->restarts + (uint64_t)restarts);
    return !interrupt_seen();
}

static enum status search(struct planner *p, struct candidate *c)
{
    const struct placement_task task = cost_task(p, c->stages, c->replicas);
    const struct placement_search how = {.seed = p->set->seed,
                                         .restarts = (int)p->set->restarts,
                                         .moves = p->set->moves,
                                         .limit_s = INFINITY,
                                         .progress = on_restart,
                                         .user = p};
    struct placement_model *model;
    struct placement_found found;
    TRY(placement_create(&c->placement, &task, p->cluster.n_devices));
    TRY(placement_model_create(&model, &task, &p->cluster));
    const enum status s = placement_search(&c->placement, model, &how, &found);
    placement_model_free(model);
    TRY(s);
    c->cost = found.cost;
    p->restarts += found.restarts;
    return interrupt_seen() ? fail(E_CANCELLED, "interrupted") : OK;
}

/* Whether step a is to be preferred: one that fits, then the shorter. */
static bool is_better(const struct placement_step *a, const struct placement_step *b)
{
    const bool fits = a->short_rank < 0;
    if (fits != (b->short_rank < 0)) return fits;
    return a->step_s < b->step_s;
}

static const struct placement_step *best_step(const struct candidate *c)
{
    return &c->steps[c->best];
}

static enum status simulate(struct candidate *c)
{
    bool any = false;
    for (int k = 0; k < SCHEDULE_KINDS; k++) {
        if (!c->models[k]) continue;
        TRY(placement_step_simulate(&c->steps[k], c->models[k], &c->placement));
        if (!any || is_better(&c->steps[k], best_step(c))) c->best = (enum schedule_kind)k;
        any = true;
    }
    return OK;
}

static enum status try_candidate(struct planner *p, struct candidate *c)
{
    TRY(search(p, c));
    for (int k = 0; k < SCHEDULE_KINDS; k++) {
        if (!plan_wants(p->set, (enum schedule_kind)k)) continue;
        TRY(placement_step_model_create(&c->models[k], &p->task, c->stages, c->replicas, (enum schedule_kind)k,
                                        &p->cluster));
        c->best = (enum schedule_kind)k;
    }
    TRY(placement_step_order(c->models[c->best], &c->placement)); /* rings are the same with any schedule */
    TRY(simulate(c));
    if (!p->best || is_better(best_step(c), best_step(p->best))) p->best = c;
    return OK;
}

static enum status try_candidates(struct planner *p)
{
    progress_begin(&p->bar, "place", "searches", (uint64_t)(p->n * p->set->restarts), p->set->common.quiet);
    enum status s = OK;
    for (int i = 0; s == OK && i < p->n; i++)
        s = try_candidate(p, &p->candidates[i]);
    progress_end(&p->bar);
    return s;
}

/* ---- Refining ---- */

/* The shortest step of any schedule, as estimated. Once interrupted nothing is better any more, which ends the search
 * soon. */
static double step_cost(const struct placement *placement, void *user)
{
    struct planner *p = user;
    double least_s = INFINITY;
    progress_update(&p->bar, p->bar.done + 1);
    if (interrupt_seen()) return INFINITY;
    for (int k = 0; k < SCHEDULE_KINDS; k++) {
        if (!p->best->models[k]) continue;
        const struct placement_step step = placement_step_estimate(p->best->models[k], placement);
        if (step.short_rank < 0) least_s = fmin(least_s, step.step_s);
    }
    return least_s;
}

static enum status refine(struct planner *p)
{
    const struct placement_objective objective = {step_cost, p};
    double cost;
    progress_begin(&p->bar, "refine", "placements", 0, p->set->common.quiet);
    const enum status s = placement_refine(&p->best->placement, &p->cluster, &objective, p->set->seed, p->set->refine_s,
                                           INT64_MAX, &cost);
    progress_end(&p->bar);
    TRY(s);
    if (interrupt_seen()) return fail(E_CANCELLED, "interrupted");
    TRY(simulate(p->best));
    struct placement_model *model;
    const struct placement_task task = cost_task(p, p->best->stages, p->best->replicas);
    TRY(placement_model_create(&model, &task, &p->cluster));
    p->best->cost = placement_cost(model, &p->best->placement);
    placement_model_free(model);
    return OK;
}

/* ---- Text ---- */

static double tokens_per_s(const struct planner *p, const struct placement_step *s)
{
    return (double)(p->task.recipe->batch_size * p->task.recipe->data.seq_len) / s->step_s;
}

static void put_task(struct buf *out, const struct planner *p)
{
    const struct recipe *r = p->task.recipe;
    buf_printf(out, "%s: %d devices of %d machines\n", p->cluster.name, p->cluster.n_devices, p->cluster.n_machines);
    if (p->dtfm)
        buf_puts(out, "DT-FM's task; simulated as preset 1.3b, ");
    else
        buf_printf(out, "%s, ", p->model);
    buf_printf(out, "%" PRId64 " sequences of %" PRId64 " tokens a step in micro-batches of %" PRId64 "\n\n",
               r->batch_size, r->data.seq_len, r->micro_batch_size);
}

static void put_candidates(struct buf *out, const struct planner *p)
{
    buf_puts(out, "stages  replicas  DT-FM's cost   best step\n");
    for (int i = 0; i < p->n; i++) {
        const struct candidate *c = &p->candidates[i];
        buf_printf(out, "%6d  %8d  %10.3f s  %8.4g s, %s%s%s\n", c->stages, c->replicas, c->cost.total_s,
                   best_step(c)->step_s, schedule_name(c->best),
                   best_step(c)->short_rank < 0 ? "" : ", too large for a device's memory",
                   c == p->best ? "  <- chosen" : "");
    }
    buf_puts(out, "\n");
}

static void put_steps(struct buf *out, const struct planner *p)
{
    const struct candidate *c = p->best;
    buf_puts(out, "simulated    step =  pipeline + averaging  bubble    tokens/s\n");
    for (int k = 0; k < SCHEDULE_KINDS; k++) {
        const struct placement_step *s = &c->steps[k];
        if (!c->models[k]) continue;
        buf_printf(out, "%-6s %8.4g s  %8.4g s  %8.4g s  %5.1f%%  %10s", schedule_name((enum schedule_kind)k),
                   s->step_s, s->pipeline_s, s->sync_s, 100 * s->bubble,
                   amount_count((int64_t)tokens_per_s(p, s)).text);
        if (s->short_rank >= 0) buf_printf(out, "  rank %d has too little memory", s->short_rank);
        buf_puts(out, k == (int)c->best ? "  <- best\n" : "\n");
    }
}

static void put_memory(struct buf *out, const struct planner *p)
{
    const struct candidate *c = p->best;
    const struct step_memory *memory = placement_step_model_memory(c->models[c->best]);
    buf_printf(out, "\nmemory a rank with %s\n%-9s %9s  %9s %9s %9s %9s %11s %9s\n", schedule_name(c->best), "",
               "total", "weights", "gradients", "moments", "sync", "activations", "messages");
    for (int s = 0; s < c->stages; s++) {
        const struct step_memory *m = &memory[s];
        buf_printf(out, "stage %-3d %9s  %9s %9s %9s %9s %11s %9s\n", s, amount_bytes(step_memory_bytes(m)).text,
                   amount_bytes(m->weights).text, amount_bytes(m->gradients).text, amount_bytes(m->moments).text,
                   amount_bytes(m->sync).text, amount_bytes(m->activations).text, amount_bytes(m->messages).text);
    }
}

static size_t message_bytes(const struct planner *p)
{
    const struct traffic_layout l = {p->task.recipe, &p->config, p->best->stages, p->best->replicas};
    return traffic_pipeline_most(&l);
}

static void put_messages(struct buf *out, const struct planner *p)
{
    const size_t bytes = message_bytes(p);
    if (bytes) buf_printf(out, "\nbetween stages a rank sends %s a step at most\n", amount_bytes(bytes).text);
}

static enum status print_text(const struct planner *p)
{
    struct buf out = {0};
    const struct candidate *c = p->best;
    put_task(&out, p);
    if (p->n > 1) put_candidates(&out, p);
    placement_table(&out, &c->placement, &p->cluster);
    buf_printf(&out, "\nDT-FM's cost: %.3f s = sync %.3f s + 2 x pipeline %.3f s\n\n", c->cost.total_s, c->cost.sync_s,
               c->cost.pipeline_s);
    put_steps(&out, p);
    put_memory(&out, p);
    put_messages(&out, p);
    if (p->n_syncs) plan_syncs_text(&out, p->syncs, p->n_syncs);
    const enum status s = buf_status(&out);
    if (s == OK) fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
    return s;
}

/* ---- JSON ---- */

static json_t *cost_json(const struct candidate *c)
{
    return json_pack("{s:o, s:o, s:o}", "total_s", cli_json_number(c->cost.total_s), "sync_s",
                     cli_json_number(c->cost.sync_s), "pipeline_s", cli_json_number(c->cost.pipeline_s));
}

static json_t *step_json(const struct planner *p, const struct candidate *c, enum schedule_kind kind)
{
    const struct placement_step *s = &c->steps[kind];
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "schedule", schedule_name(kind), "step_s",
                     cli_json_number(s->step_s), "pipeline_s", cli_json_number(s->pipeline_s), "sync_s",
                     cli_json_number(s->sync_s), "bubble", cli_json_number(s->bubble), "tokens_per_s",
                     cli_json_number(tokens_per_s(p, s)), "fits", s->short_rank < 0);
}

static json_t *candidate_json(const struct planner *p, const struct candidate *c)
{
    json_t *steps = json_array();
    for (int k = 0; k < SCHEDULE_KINDS; k++)
        if (c->models[k]) json_append(&steps, step_json(p, c, (enum schedule_kind)k));
    return json_pack("{s:i, s:i, s:o, s:s, s:o}", "stages", c->stages, "replicas", c->replicas, "dtfm_cost",
                     cost_json(c), "schedule", schedule_name(c->best), "steps", steps);
}

static json_t *ranks_json(const struct planner *p)
{
    const struct placement *placement = &p->best->placement;
    json_t *ranks = json_array();
    for (int rank = 0; rank < placement_ranks(placement); rank++) {
        const int device = placement->devices[rank];
        json_append(&ranks, json_pack("{s:i, s:i, s:i, s:s}", "stage", rank % placement->stages, "replica",
                                      rank / placement->stages, "device", device, "host",
                                      p->cluster.machines[p->cluster.hosts[device]].host));
    }
    return ranks;
}

static json_t *memory_json(const struct candidate *c)
{
    const struct step_memory *memory = placement_step_model_memory(c->models[c->best]);
    json_t *stages = json_array();
    for (int s = 0; s < c->stages; s++) {
        const struct step_memory *m = &memory[s];
        json_append(&stages,
                    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "weights", (json_int_t)m->weights, "gradients",
                              (json_int_t)m->gradients, "moments", (json_int_t)m->moments, "sync", (json_int_t)m->sync,
                              "activations", (json_int_t)m->activations, "messages", (json_int_t)m->messages));
    }
    return stages;
}

static enum status print_json(const struct planner *p)
{
    json_t *tried = json_array();
    for (int i = 0; i < p->n; i++)
        json_append(&tried, candidate_json(p, &p->candidates[i]));
    return cli_json_print(json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "cluster", p->cluster.name, "devices",
                                    p->cluster.n_devices, "best", candidate_json(p, p->best), "memory",
                                    memory_json(p->best), "ranks", ranks_json(p), "tried", tried,
                                    "between_stages_bytes", cli_json_number((double)message_bytes(p)),
                                    "synchronisations", plan_syncs_json(p->syncs, p->n_syncs)));
}

/* ---- Running ---- */

typedef void show_fn(struct buf *out, const struct placement *p, const struct cluster *c);

/* path NULL: not wanted. */
static enum status write_file(const struct planner *p, const char *path, show_fn *show)
{
    struct buf page = {0};
    if (!path) return OK;
    show(&page, &p->best->placement, &p->cluster);
    enum status s = buf_status(&page);
    if (s == OK) s = cli_write_page(&p->set->common, path, &page);
    buf_free(&page);
    return s;
}

static enum status compare_syncs(struct planner *p)
{
    const struct candidate *c = p->best;
    if (c->replicas == 1) return OK;
    return plan_syncs(p->syncs, &p->n_syncs, &p->task, &c->placement, c->best, &p->cluster);
}

static enum status execute(struct planner *p, struct recipe *recipe, const char *path)
{
    TRY(cluster_read(&p->cluster, path));
    TRY(read_task(p, recipe));
    TRY(list_candidates(p));
    interrupt_catch();
    TRY(try_candidates(p));
    if (p->set->refine_s > 0) TRY(refine(p));
    TRY(compare_syncs(p));
    TRY(write_file(p, p->set->rankfile, placement_rankfile));
    TRY(write_file(p, p->set->hostfile, placement_hostfile));
    TRY(write_file(p, p->set->svg, placement_svg));
    return p->set->json ? print_json(p) : print_text(p);
}

static void close_candidate(struct candidate *c)
{
    for (int k = 0; k < SCHEDULE_KINDS; k++)
        placement_step_model_free(c->models[k]);
    placement_free(&c->placement);
}

enum status plan_cluster(const struct plan_settings *set, struct recipe *recipe, const char *path)
{
    struct planner p = {.set = set};
    const enum status s = execute(&p, recipe, path);
    for (int i = 0; i < p.n; i++)
        close_candidate(&p.candidates[i]);
    free(p.candidates);
    cluster_free(&p.cluster);
    return s;
}
