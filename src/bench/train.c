// SPDX-License-Identifier: Apache-2.0
#include "bench/train.h"

#include <stdlib.h>

#include "base/rng.h"
#include "bench/meter.h"
#include "train/batch.h"
#include "train/optimizer.h"

const char *const bench_train_phase_names[] = {"forward", "head", "backward", "update"};

enum { MAX_REPEATS = 100 };

struct run {
    double seconds, phase_s[BENCH_TRAIN_PHASES], could_compute, loss;
};

struct job {
    struct meter meter;
    struct trainee trainee;
    struct optimizer *optimizer;
    struct train_batch batch;
    double *loss;
};

static void look(void *user)
{
    struct job *j = user;
    if (j->meter.looked_ns) meter_look(&j->meter);
}

static void random_rows(struct train_batch *b, int V)
{
    const int n = b->sequences * b->seq_len;
    for (int i = 0; i < n; i++) {
        const int t = i % b->seq_len;
        b->token[i] = (int32_t)(rng_u64(0, 0, (uint64_t)i) % (uint64_t)V);
        b->lo[i] = 0;
        b->hi[i] = t + 1;
        b->target[i] = (int32_t)(rng_u64(0, 1, (uint64_t)i) % (uint64_t)V);
    }
    b->targets = n;
}

static enum status job_open(struct job *j, const struct bench_train *b, const char *name,
                            const struct gptj_config *config, const struct source *src)
{
    static const struct optimizer_settings adamw = {0.9, 0.999, 1e-6, 0.01, 1};
    const struct trainee_options o = {.level = b->level,
                                      .device = b->device,
                                      .threads = b->threads,
                                      .precision = b->precision,
                                      .sequences = b->sequences,
                                      .seq_len = b->seq_len,
                                      .recompute = b->recompute,
                                      .between = look,
                                      .user = j};
    TRY(trainee_open_source(&j->trainee, name, config, src, &o));
    TRY(optimizer_create(&j->optimizer, j->trainee.params, 0, j->trainee.params->n, &adamw));
    TRY(train_batch_create(&j->batch, b->sequences, b->seq_len));
    j->loss = calloc((size_t)b->sequences * (size_t)b->seq_len, sizeof *j->loss);
    if (!j->loss) return fail(E_NOMEM, "bench: out of memory");
    random_rows(&j->batch, config->V);
    return OK;
}

static void job_close(struct job *j)
{
    optimizer_free(j->optimizer);
    trainee_close(&j->trainee);
    train_batch_free(&j->batch);
    free(j->loss);
}

/* The meter's seconds so far, at a moment when it has just been looked at. A device may still be at work on what it was
 * told until something is read back. */
static double lap(struct job *j, double *last)
{
    const struct params *p = j->trainee.params;
    float any;
    p->ops->fn->read(p->ops, &any, p->value, sizeof any);
    meter_end(&j->meter);
    const double seconds = j->meter.seconds - *last;
    *last = j->meter.seconds;
    j->meter.from_ns = j->meter.looked_ns;
    return seconds;
}

static struct run one_step(struct job *j)
{
    const struct train_rows rows = train_batch_rows(&j->batch, 0, j->batch.sequences);
    struct train_pass *pass = j->trainee.pass;
    const double n = (double)j->batch.targets;
    double last = 0;
    struct run r = {0};
    meter_begin(&j->meter);
    train_pass_zero_grad(pass);
    train_pass_forward(pass, &rows);
    r.phase_s[BENCH_TRAIN_FORWARD] = lap(j, &last);
    train_pass_head(pass, (float)(1 / n), j->loss);
    r.phase_s[BENCH_TRAIN_HEAD] = lap(j, &last);
    train_pass_backward(pass);
    r.phase_s[BENCH_TRAIN_BACKWARD] = lap(j, &last);
    optimizer_update(j->optimizer, optimizer_clip(j->optimizer, 1, optimizer_grad_norm(j->optimizer, 1)), 1e-5);
    r.phase_s[BENCH_TRAIN_UPDATE] = lap(j, &last);
    r.seconds = j->meter.seconds;
    r.could_compute = j->meter.could_compute;
    for (int64_t i = 0; i < j->batch.targets; i++)
        r.loss += j->loss[i] / n;
    return r;
}

static int by_share(const void *a, const void *b)
{
    const double x = ((const struct run *)a)->could_compute, y = ((const struct run *)b)->could_compute;
    return (x > y) - (x < y);
}

static void measure(struct bench_train_row *out, struct job *j, const struct bench_train *b)
{
    struct run runs[MAX_REPEATS];
    const int repeats = b->repeats < MAX_REPEATS ? b->repeats : MAX_REPEATS;
    const double flop = 3 * train_batch_flops(&j->batch, &j->trainee.config.model), loss = one_step(j).loss;
    for (int i = 0; i < repeats; i++)
        runs[i] = one_step(j);
    qsort(runs, (size_t)repeats, sizeof *runs, by_share);
    const struct run *r = &runs[(repeats - 1) / 2];
    *out = (struct bench_train_row){.seconds = r->seconds,
                                    .tokens_per_s = (double)j->batch.targets / r->seconds,
                                    .flop_per_s = flop / r->seconds,
                                    .fraction = flop / r->could_compute,
                                    .peak_rate = r->could_compute / r->seconds,
                                    .loss = loss};
    for (int i = 0; i < BENCH_TRAIN_PHASES; i++)
        out->phase_s[i] = r->phase_s[i];
}

enum status bench_train(struct bench_train_row *out, const struct bench_train *b, const char *name,
                        const struct gptj_config *config, const struct source *src)
{
    struct job j = {.meter = {.m = b->machine, .unit = b->unit}};
    const enum status s = job_open(&j, b, name, config, src);
    if (s == OK) measure(out, &j, b);
    job_close(&j);
    return s;
}
