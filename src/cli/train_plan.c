// SPDX-License-Identifier: Apache-2.0
#include "cli/train_plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/amount.h"
#include "bench/machine.h"
#include "dist/grid.h"
#include "dist/schedule.h"
#include "dist/traffic.h"
#include "formats/source.h"

enum status train_peak_flops(double *out, const struct recipe *r, const struct trainer_options *o)
{
    const enum probe_unit unit = r->precision == PRECISION_BF16 ? PROBE_BF16 : PROBE_F32;
    struct machine m = {0};
    enum status s = o->device == DEVICE_CUDA ? machine_open_cuda(&m, o->threads)
                                             : machine_open(&m, o->threads, o->level);
    if (s == OK) *out = m.peak_rate[unit] > 0 ? m.peak_rate[unit] : m.peak_rate[PROBE_F32];
    machine_close(&m);
    return s;
}

static void print_run(const struct recipe *r, const struct trainer_plan *p)
{
    printf("parameters     %s, of which %s are trained\n", amount_count(p->parameters).text,
           amount_count(p->trained).text);
    if (!source_dir_has_weights(r->model)) printf("weights        %s has none yet, only their sizes\n", r->model);
    printf("steps          %s of %s sequences of %s tokens\n", amount_count(r->steps).text,
           amount_count(r->batch_size).text, amount_count(r->data.seq_len).text);
    printf("tokens         %s, %s a step\n", amount_count(p->tokens).text, amount_count(p->tokens_a_step).text);
}

/* ---- Alone ---- */

static void print_bytes(const char *what, size_t bytes)
{
    printf("  %-28s %10s\n", what, amount_bytes(bytes).text);
}

static void print_time(double seconds)
{
    if (seconds < 120)
        printf("%.0f seconds", seconds);
    else if (seconds < 7200)
        printf("%.0f minutes", seconds / 60);
    else if (seconds < 48 * 3600)
        printf("%.1f hours", seconds / 3600);
    else
        printf("%.1f days", seconds / 86400);
}

static size_t sum_of(const struct trainer_plan *p)
{
    return p->mapped_bytes + p->weight_bytes + p->gradient_bytes + p->optimizer_bytes + p->activation_bytes +
           p->scratch_bytes;
}

static enum status print_alone(const struct recipe *r, const struct trainer_options *o)
{
    /* What `gptjt bench --train` reaches; docs/PERFORMANCE.md. */
    static const double usual = 0.6;
    struct trainer_plan p;
    double peak = 0;
    TRY(trainer_plan(&p, r, o));
    TRY(train_peak_flops(&peak, r, o));
    print_run(r, &p);
    printf("memory         %s\n", amount_bytes(sum_of(&p)).text);
    if (p.mapped_bytes) print_bytes("frozen weights, in the file", p.mapped_bytes);
    print_bytes("weights", p.weight_bytes);
    print_bytes("gradients", p.gradient_bytes);
    print_bytes("optimizer", p.optimizer_bytes);
    print_bytes("activations", p.activation_bytes);
    print_bytes("scratch", p.scratch_bytes);
    printf("operations     %.3g a step, of which products and attention are made\n", p.flops_a_step);
    printf("expected time  ");
    print_time(p.flops_a_step * (double)r->steps / (usual * peak));
    printf(", if steps reach %.0f %% of the %.0f GFLOP/s this machine does now\n", 100 * usual, peak * 1e-9);
    return OK;
}

/* ---- On ranks ---- */

/* What a rank of the first replica holds. */
static enum status print_stage(const struct recipe *r, const struct trainer_options *options,
                               const struct gptj_config *c, int n_ranks, int stage)
{
    struct team *team = NULL;
    struct trainer_options o = *options;
    struct trainer_plan p;
    int first, last;
    TRY(grid_sketch(&team, r, n_ranks, stage));
    o.team = team;
    const enum status s = trainer_plan(&p, r, &o);
    const struct grid_memory m = grid_memory(team, c);
    team_layers(team, c, stage, &first, &last);
    grid_close(team);
    TRY(s);
    if (stage == 0) print_run(r, &p);
    if (stage == 0)
        printf("ranks          %d: %d replicas of %" PRId64
               " stages, %s\nmemory a rank %12s %9s %9s %11s %9s %9s %9s %9s\n",
               n_ranks, n_ranks / (int)r->pipeline_stages, r->pipeline_stages,
               schedule_name((enum schedule_kind)r->pipeline_schedule), "weights", "gradients", "optimizer",
               "activations", "scratch", "messages", "sync", "total");
    printf("  stage %-3d layers %3d-%-3d %9s %9s %9s %11s %9s %9s %9s %9s\n", stage, first, last - 1,
           amount_bytes(p.weight_bytes + p.mapped_bytes).text, amount_bytes(p.gradient_bytes).text,
           amount_bytes(p.optimizer_bytes).text, amount_bytes(p.activation_bytes).text,
           amount_bytes(p.scratch_bytes).text, amount_bytes(m.messages).text, amount_bytes(m.sync).text,
           amount_bytes(sum_of(&p) + m.messages + m.sync).text);
    return OK;
}

static enum status print_traffic(const struct recipe *r, const struct gptj_config *c, int n_ranks)
{
    const struct traffic_layout l = {r, c, (int)r->pipeline_stages, n_ranks / (int)r->pipeline_stages};
    const double steps = (double)r->steps;
    struct traffic_kinds kinds;
    TRY(traffic_kinds_find(&kinds, &l, r->steps));
    const struct traffic t = traffic_sum(&l, &kinds);
    const size_t between = traffic_pipeline_most(&l);
    printf("sent by a rank at most\n  between stages %10s a step, %10s in all\n", amount_bytes(between).text,
           amount_bytes((uint64_t)((double)between * steps)).text);
    printf("  replicas       %10s a step, %10s in all; as copies of the model %s\n",
           amount_bytes((uint64_t)(t.rank_bytes / steps)).text, amount_bytes((uint64_t)t.rank_bytes).text,
           amount_bytes((uint64_t)t.copies_bytes).text);
    return OK;
}

static enum status print_ranks(const struct recipe *r, const struct trainer_options *o, int n_ranks)
{
    struct checkpoint_config config;
    TRY(checkpoint_config_read(&config, r->model));
    for (int stage = 0; stage < r->pipeline_stages; stage++)
        TRY(print_stage(r, o, &config.model, n_ranks, stage));
    TRY(print_traffic(r, &config.model, n_ranks));
    printf("expected time  gptjt plan CLUSTER.yaml --recipe tells\n");
    return OK;
}

enum status train_plan_print(const struct recipe *r, const struct trainer_options *o, int n_ranks)
{
    return n_ranks ? print_ranks(r, o, n_ranks) : print_alone(r, o);
}
