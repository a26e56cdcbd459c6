// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "train/batch.h"
#include "train/checkpoint.h"
#include "train/data_shards.h"
#include "train/metrics.h"
#include "train/schedule.h"
#include "train/trainee.h"

enum { PATH_BYTES = 4096 };

struct trainer {
    const struct recipe *r;
    const struct trainer_options *o;
    struct team *team;
    struct trainee trainee;
    struct optimizer *optimizer;
    struct tokenizer *tokenizer;
    struct data_shards shards; /* of a first stage */
    json_t *data_before;       /* data_shards_state() before the last batch was drawn */
    struct train_batch batch, eval_batch;
    double *loss; /* [rows of a micro-batch] */
    struct metrics *metrics;
    int lock;                   /* of the run's directory; -1: none */
    struct loss_sum *by_source; /* [sources, or validation sources] */
    struct loss_scale scale;
    int64_t step, tokens; /* done so far */
    struct progress bar;  /* in tokens, which also move within a step */
    int64_t blocks;       /* of this step, forward and backward, done so far; negative between steps */
};

/* ---- State ---- */

static struct lora_shape lora_shape(const struct recipe *r)
{
    struct lora_shape shape = {0};
    if (r->adapter != ADAPTER_LORA) return shape;
    const struct option_strings targets = recipe_lora_targets(r);
    shape.r = (int)r->lora_rank;
    shape.scale = (float)(r->lora_alpha / (double)r->lora_rank);
    for (int i = 0; i < targets.n; i++) {
        enum peft_module module = PEFT_Q_PROJ;
        if (peft_module_from_name(&module, targets.items[i])) shape.modules |= 1u << module;
    }
    return shape;
}

/* data: a data_shards_state(), taken over. */
static json_t *state_json(const struct trainer *t, json_t *data)
{
    return json_pack("{s:i, s:i, s:I, s:I, s:I, s:{s:f, s:I, s:I}, s:o, s:o}", "version", 2, "replicas",
                     t->team->n_replicas, "step", (json_int_t)t->step, "tokens", (json_int_t)t->tokens, "updates",
                     (json_int_t)t->optimizer->updates, "loss_scale", "scale", t->scale.scale, "clean",
                     (json_int_t)t->scale.clean, "overflows", (json_int_t)t->scale.overflows, "team",
                     team_state(t->team), "data", data);
}

static struct checkpoint checkpoint_of(struct trainer *t, const json_t *state)
{
    const bool causal = t->r->data.objective == OBJECTIVE_CAUSAL;
    return (struct checkpoint){.team = t->team,
                               .config = &t->trainee.config.model,
                               .mask = causal ? CONFIG_MASK_CAUSAL : CONFIG_MASK_PREFIX,
                               .model = t->r->model,
                               .optimizer = t->optimizer,
                               .state = state,
                               .lora = lora_shape(t->r),
                               .lora_alpha = t->r->lora_alpha};
}

static enum status save(struct trainer *t, json_t *data)
{
    json_t *state = state_json(t, data);
    if (!state) return fail(E_NOMEM, "checkpoint of step %" PRId64 ": out of memory", t->step);
    const struct checkpoint c = checkpoint_of(t, state);
    const int64_t since = trace_now(t->o->trace);
    enum status s = t->metrics ? metrics_sync(t->metrics) : OK; /* what they tell must not be behind the state */
    if (s == OK) s = checkpoint_save(&c, t->r->output, t->step, t->r->save_total_limit);
    trace_add(t->o->trace, since, (struct trace_event){.kind = TRACE_CHECKPOINT});
    json_decref(state);
    return s;
}

static enum status read_state(struct trainer *t, const json_t *state, const char *where)
{
    const json_t *scale = json_object_get(state, "loss_scale");
    int64_t version = 0, replicas = 0;
    TRY(json_get_int(state, where, "version", 0, INT64_MAX, &version));
    if (version != 2)
        return fail(E_FORMAT, "%s: version %" PRId64 " of trainer_state.json is not known", where, version);
    TRY(json_get_int(state, where, "step", 0, INT64_MAX, &t->step));
    TRY(json_get_int(state, where, "tokens", 0, INT64_MAX, &t->tokens));
    TRY(json_get_int(state, where, "updates", 0, INT64_MAX, &t->optimizer->updates));
    TRY(json_get_int(state, where, "replicas", 1, INT32_MAX, &replicas));
    TRY(json_get_number(scale, where, "scale", &t->scale.scale));
    TRY(json_get_int(scale, where, "clean", 0, INT64_MAX, &t->scale.clean));
    TRY(json_get_int(scale, where, "overflows", 0, INT64_MAX, &t->scale.overflows));
    TRY(team_restore(t->team, replicas == t->team->n_replicas ? json_object_get(state, "team") : NULL));
    return data_shards_restore(&t->shards, json_object_get(state, "data"));
}

static enum status resume(struct trainer *t, const char *dir)
{
    const struct checkpoint c = checkpoint_of(t, NULL);
    json_t *state = NULL;
    enum status s = checkpoint_load(&c, &state, dir);
    if (s == OK) s = read_state(t, state, dir);
    json_decref(state);
    if (s == OK && team_leads(t->team))
        log_line(LOG_INFO, "resumed %s, step %" PRId64 " of %" PRId64, dir, t->step, t->r->steps);
    return s;
}

/* ---- Opening ---- */

static int64_t tokens_a_step(const struct recipe *r)
{
    return r->batch_size * r->data.seq_len;
}

static struct trainee_options trainee_options(const struct recipe *r, const struct trainer_options *o,
                                              const struct team *team, const struct gptj_config *c)
{
    struct trainee_options t = {.level = o->level,
                                .device = o->device,
                                .threads = o->threads,
                                .precision = (enum train_precision)r->precision,
                                .sequences = (int)r->micro_batch_size,
                                .seq_len = (int)r->data.seq_len,
                                .recompute = r->recompute,
                                .lora = lora_shape(r),
                                .seed = r->data.seed};
    team_layers(team, c, team->stage, &t.first, &t.last);
    team_slots(team, (int)(r->batch_size / team->n_replicas / r->micro_batch_size), &t.slots, &t.late);
    return t;
}

/* Behind each block of a step: a large model's may take minutes. */
static void on_block(void *user)
{
    struct trainer *t = user;
    team_progress(t->team);
    if (t->blocks < 0) return;
    const struct gptj *m = t->trainee.model;
    const int64_t micro_batches = t->batch.sequences / t->r->micro_batch_size;
    const double all = 2.0 * (double)micro_batches * (m->last - m->first);
    const double part = fmin((double)++t->blocks / all, 1); /* a backward pass in two halves has more of them */
    progress_update(&t->bar, (uint64_t)((double)t->tokens + part * (double)tokens_a_step(t->r)));
}

/* Better one line now than the kernel's choice of a process to kill later. */
static enum status check_memory(const struct recipe *r, const struct trainer_options *o)
{
    struct trainer_plan p;
    TRY(trainer_plan(&p, r, o));
    if (o->device == DEVICE_CUDA) return OK; /* what the device has is asked of it */
    const size_t all = p.weight_bytes + p.gradient_bytes + p.optimizer_bytes + p.activation_bytes + p.scratch_bytes;
    const int64_t available = memory_available();
    if ((int64_t)all <= available) return OK;
    return fail(E_NOMEM, "%s: training takes %.1f GB of memory, %.1f GB are available; --dry-run says what for",
                r->model, (double)all * 1e-9, (double)available * 1e-9);
}

static enum status open_parts(struct trainer *t)
{
    const struct recipe *r = t->r;
    struct checkpoint_config config;
    TRY(check_memory(r, t->o));
    TRY(checkpoint_config_read(&config, r->model));
    struct trainee_options o = trainee_options(r, t->o, t->team, &config.model);
    const struct optimizer_settings set = {r->adam_beta1, r->adam_beta2, r->adam_epsilon, r->weight_decay,
                                           r->max_grad_norm};
    const int n_sources = r->data.n_sources > r->n_validation ? r->data.n_sources : r->n_validation;
    int first, last;
    o.between = on_block;
    o.user = t;
    TRY(tokenizer_open(&t->tokenizer, r->model));
    if (t->team->stage == 0) TRY(data_shards_open(&t->shards, r, t->tokenizer, t->team->replica, t->team->n_replicas));
    TRY(trainee_open(&t->trainee, r->model, &o));
    if (tokenizer_size(t->tokenizer) > t->trainee.config.model.V)
        return fail(E_FORMAT, "%s: the tokenizer has %d tokens, the model a vocabulary of %d", r->model,
                    tokenizer_size(t->tokenizer), t->trainee.config.model.V);
    team_updates(t->team, t->trainee.params, &first, &last);
    TRY(optimizer_create(&t->optimizer, t->trainee.params, first, last, &set));
    TRY(train_batch_create(&t->batch, (int)r->batch_size / t->team->n_replicas, o.seq_len));
    TRY(train_batch_create(&t->eval_batch, o.sequences, o.seq_len));
    t->loss = calloc((size_t)o.sequences * (size_t)o.seq_len, sizeof *t->loss);
    t->by_source = calloc((size_t)n_sources, sizeof *t->by_source);
    t->scale = loss_scale_begin(r);
    if (!t->loss || !t->by_source) return fail(E_NOMEM, "training: out of memory");
    return team_begin(t->team, &(struct team_parts){r, &t->trainee, t->optimizer, t->loss, t->o->trace});
}

static enum status write_recipe(const struct recipe *r)
{
    char path[PATH_BYTES];
    TRY(file_join(path, sizeof path, r->output, "recipe.json"));
    json_t *j = recipe_json(r);
    if (!j) return fail(E_NOMEM, "%s: out of memory", path);
    const enum status s = json_write_file(j, path);
    json_decref(j);
    return s;
}

/* Where the run had got to, *step -1 if it is a new one: the last checkpoint that all ranks can see. */
static enum status find_last(struct trainer *t, int64_t *step)
{
    const char *run = t->r->output;
    int64_t upto = INT64_MAX, all_have = 0;
    do {
        TRY(checkpoint_last(step, run, upto));
        int64_t least = *step;
        TRY(team_least(t->team, &least));
        all_have = least == *step;
        TRY(team_least(t->team, &all_have));
        upto = least;
    } while (!all_have);
    if (*step < 0 || t->o->resume) return OK;
    return fail(E_ARG,
                "%s: there is a run already, with a checkpoint of step %" PRId64 "; give --resume to go on, or another "
                "--output",
                run, *step);
}

/* The run's directory. Nothing is made of a run that cannot begin, and nothing else comes before the lock. */
static enum status open_run(struct trainer *t)
{
    char path[PATH_BYTES];
    int64_t step;
    TRY(find_last(t, &step));
    TRY(open_parts(t));
    TRY(file_make_dirs(t->r->output));
    if (t->team->owns_output) TRY(file_lock_dir(&t->lock, t->r->output));
    TRY(find_last(t, &step));
    if (t->team->owns_output) TRY(checkpoint_clean(t->r->output));
    TRY(team_meet(t->team));
    if (step >= 0) {
        TRY(checkpoint_name(path, sizeof path, t->r->output, step));
        TRY(resume(t, path));
    }
    if (t->team->owns_output) TRY(write_recipe(t->r));
    if (!team_leads(t->team)) return OK;
    TRY(file_join(path, sizeof path, t->r->output, "metrics.jsonl"));
    return metrics_open(&t->metrics, path, t->step);
}

static void close_all(struct trainer *t)
{
    metrics_close(t->metrics);
    if (t->lock >= 0) close(t->lock);
    json_decref(t->data_before);
    data_shards_close(&t->shards);
    optimizer_free(t->optimizer);
    trainee_close(&t->trainee);
    tokenizer_close(t->tokenizer);
    train_batch_free(&t->batch);
    train_batch_free(&t->eval_batch);
    free(t->loss);
    free(t->by_source);
}

/* ---- One step ---- */

/* Forward passes that a step is worth: one, one for the gradients of activations, one for those of weights. */
static int passes(const struct recipe *r)
{
    return r->adapter == ADAPTER_LORA ? 2 : 3;
}

/* Losses are multiplied by loss scale / rows of a micro-batch. The division by rows keeps the scale what it is
 * elsewhere, where a micro-batch's mean is scaled. */
static double unit_of(const struct trainer *t)
{
    return t->scale.scale / ((double)t->r->micro_batch_size * t->batch.seq_len);
}

/* all and by_source [n]: sums over a scope. */
static enum status sum_losses(struct trainer *t, enum team_scope scope, struct loss_sum *all, int n)
{
    enum { PIECE = 8 };
    struct loss_sum *sums[PIECE];
    for (int i = -1; i < n;) {
        double values[2 * PIECE];
        int k = 0;
        for (; k < PIECE && i < n; k++, i++) {
            sums[k] = i < 0 ? all : &t->by_source[i];
            values[2 * k] = sums[k]->sum;
            values[2 * k + 1] = (double)sums[k]->n;
        }
        TRY(team_sum(t->team, scope, values, 2 * k));
        for (int j = 0; j < k; j++)
            *sums[j] = (struct loss_sum){values[2 * j], (int64_t)values[2 * j + 1]};
    }
    return OK;
}

/* The gradient of unit * the sum of all losses of those who share the step, in the parameters; its norm's square, and
 * their losses. */
static enum status gradient(struct trainer *t, double unit, struct loss_sum *sum, double *squares)
{
    const struct team_losses losses = {sum, t->by_source};
    train_pass_zero_grad(t->trainee.pass);
    memset(t->by_source, 0, (size_t)t->r->data.n_sources * sizeof *t->by_source);
    TRY(team_gradient(t->team, &t->batch, unit, &losses));
    TRY(team_combine(t->team, squares));
    return sum_losses(t, TEAM_STEP, sum, t->r->data.n_sources);
}

/* Names of the sources in the batch, for an error. */
static const char *sources_of(const struct trainer *t, char *text, size_t bytes)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < t->r->data.n_sources && at < bytes; i++)
        if (t->by_source[i].n)
            at += (size_t)snprintf(text + at, bytes - at, "%s%s", at ? ", " : "", t->r->sources[i].name);
    return text;
}

/* The weights are still those before the step. They are kept with the place in the data from which the batch was drawn,
 * so that whoever looks for the cause gets the same step again. */
static enum status not_finite(struct trainer *t, const struct loss_sum *sum, double norm)
{
    char names[400], what[120];
    if (isfinite(sum->sum))
        snprintf(what, sizeof what, "the gradient is %g", norm);
    else
        snprintf(what, sizeof what, "the loss is %g", sum->sum / (double)sum->n);
    if (t->r->precision == PRECISION_FP16)
        snprintf(what + strlen(what), sizeof what - strlen(what), " at the least loss scale, %g", t->scale.scale);
    const enum status saved = save(t, json_incref(t->data_before));
    if (saved != OK) return saved;
    return fail(E_NUMERIC,
                "step %" PRId64 ": %s (sources of the batch: %s); the state before it is in %s/checkpoint-%" PRId64,
                t->step, what, sources_of(t, names, sizeof names), t->r->output, t->step);
}

static void show(struct trainer *t, const struct metrics_step *m)
{
    const double share = t->o->peak_flops > 0 ? m->flops_per_s / t->o->peak_flops : 0;
    char peak[32] = "";
    if (share > 0) snprintf(peak, sizeof peak, " (%.0f %% of peak)", 100 * share);
    snprintf(t->bar.note, sizeof t->bar.note, "step %" PRId64 " of %" PRId64 ", loss %.3f, %.3f TFLOP/s%s", m->step,
             t->r->steps, m->loss, m->flops_per_s * 1e-12, peak);
}

static bool due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

static enum status draw(struct trainer *t)
{
    json_decref(t->data_before);
    t->data_before = data_shards_state(&t->shards);
    if (t->team->stage == 0) {
        const int64_t since = trace_now(t->o->trace);
        if (due(t->step, t->r->epoch_steps)) TRY(data_shards_rewind(&t->shards));
        TRY(data_shards_draw(&t->shards, &t->batch));
        trace_add(t->o->trace, since, (struct trace_event){.kind = TRACE_DRAW});
    }
    return team_share(t->team, t->step, &t->batch);
}

static enum status update(struct trainer *t, double mean, const struct metrics_step *m)
{
    double scale = optimizer_clip(t->optimizer, mean, m->grad_norm);
    TRY(team_before_update(t->team, &scale));
    const int64_t since = trace_now(t->o->trace);
    optimizer_update(t->optimizer, scale, m->learning_rate);
    trace_add(t->o->trace, since, (struct trace_event){.kind = TRACE_UPDATE});
    return OK;
}

static enum status one_step(struct trainer *t)
{
    const int64_t start = clock_ns();
    const struct recipe *r = t->r;
    struct loss_sum sum = {0};
    double squares;
    t->blocks = 0;
    trace_begin_step(t->o->trace, t->step + 1);
    TRY(draw(t));
    const double unit = unit_of(t);
    TRY(gradient(t, unit, &sum, &squares));
    if (!sum.n)
        return fail(E_FORMAT, "step %" PRId64 ": the data have no targets: prefixes fill whole sequences", t->step);
    const double mean = 1 / (unit * (double)sum.n);
    struct metrics_step m = {.step = t->step + 1,
                             .loss = sum.sum / (double)sum.n,
                             .targets = sum.n,
                             .learning_rate = schedule_learning_rate(r, t->step),
                             .grad_norm = sqrt(squares) * mean,
                             .loss_scale = t->scale.scale};
    m.skipped = !isfinite(sum.sum) || !isfinite(m.grad_norm);
    if (!loss_scale_update(&t->scale, r, m.skipped)) return not_finite(t, &sum, m.grad_norm);
    if (!m.skipped) TRY(update(t, mean, &m));
    TRY(team_after_update(t->team, m.learning_rate));
    t->step++;
    t->tokens += tokens_a_step(r);
    t->blocks = -1;
    m.tokens = t->tokens;
    m.seconds = clock_seconds(start, clock_ns());
    if (trace_is_on(t->o->trace)) trace_add(t->o->trace, start, (struct trace_event){.kind = TRACE_STEP});
    m.tokens_per_s = (double)tokens_a_step(r) / m.seconds;
    m.flops_per_s = passes(r) * t->team->n_replicas * train_batch_flops(&t->batch, &t->trainee.config.model) /
                    m.seconds;
    show(t, &m);
    if (!t->metrics || (t->step % r->logging_steps && t->step != r->steps)) return OK;
    return metrics_write_step(t->metrics, &m, r->precision == PRECISION_FP16, r->sources, t->by_source,
                              r->data.n_sources);
}

/* ---- Validation ---- */

/* Puts the model in the place of the rank's own parameters, and these there; and back. */
static void exchange(struct params *p, float *model)
{
    if (model == p->value) return;
    for (size_t i = 0; i < p->n_values; i++) {
        const float own = p->value[i];
        p->value[i] = model[i];
        model[i] = own;
    }
    params_changed(p);
}

/* The same sequences every time, whatever has been trained on, and the model that a checkpoint would have. Replicas
 * take turns. */
static enum status validate(struct trainer *t)
{
    const struct recipe *r = t->r;
    const int micro = t->eval_batch.sequences;
    struct data_settings set = r->data;
    struct data *data = NULL;
    struct loss_sum sum = {0};
    const struct team_losses losses = {&sum, t->by_source};
    float *model;
    set.sources = r->validation;
    set.n_sources = r->n_validation;
    TRY(team_model(t->team, &model));
    TRY(data_open(&data, &set, t->tokenizer, 0, 1, 0));
    exchange(t->trainee.params, model);
    memset(t->by_source, 0, (size_t)r->n_validation * sizeof *t->by_source);
    enum status s = OK;
    for (int64_t i = 0; s == OK && i < r->eval_sequences; i += micro) {
        const int n = r->eval_sequences - i < micro ? (int)(r->eval_sequences - i) : micro;
        s = train_batch_draw(&t->eval_batch, &data, 1);
        if (s == OK && i / micro % t->team->n_replicas == t->team->replica)
            s = team_losses(t->team, &t->eval_batch, n, &losses);
    }
    exchange(t->trainee.params, model);
    data_close(data);
    if (s == OK) s = sum_losses(t, TEAM_ALL, &sum, r->n_validation);
    if (s != OK || !t->metrics) return s;
    return metrics_write_validation(t->metrics, t->step, &sum, r->validation, t->by_source, r->n_validation);
}

static enum status traced_validation(struct trainer *t)
{
    const int64_t since = trace_now(t->o->trace);
    TRY(validate(t));
    trace_add(t->o->trace, since, (struct trace_event){.kind = TRACE_VALIDATION});
    return OK;
}

/* ---- The plan ---- */

static double flops_a_step(const struct recipe *r, const struct gptj_config *c)
{
    const double rows = (double)tokens_a_step(r);
    const double pairs = rows * ((double)r->data.seq_len + 1) / 2;
    const double targets = r->data.objective == OBJECTIVE_CAUSAL ? rows : rows / 2;
    return passes(r) * train_flops(c, rows, pairs, targets);
}

enum status trainer_plan(struct trainer_plan *out, const struct recipe *r, const struct trainer_options *o)
{
    struct checkpoint_config config;
    struct source *src = NULL;
    struct team_alone one;
    const struct team *team = o->team ? o->team : team_alone(&one);
    TRY(checkpoint_config_read(&config, r->model));
    const struct trainee_options set = trainee_options(r, o, team, &config.model);
    if (set.lora.r || source_dir_has_weights(r->model)) TRY(source_open_dir(&src, r->model));
    const enum status s = src ? gptj_check(&config.model, src) : OK;
    if (s == OK) {
        const struct gptj_config *c = &config.model;
        const struct trainee_memory m = trainee_memory(c, src, &set);
        const int64_t rows = tokens_a_step(r), all = gptj_config_parameters(c);
        *out = (struct trainer_plan){
            .parameters = all,
            .trained = set.lora.r ? (int64_t)m.values : all,
            .tokens_a_step = rows,
            .tokens = rows * r->steps,
            .flops_a_step = flops_a_step(r, c),
            .mapped_bytes = m.mapped_bytes,
            .weight_bytes = m.weight_bytes,
            .gradient_bytes = m.gradient_bytes,
            .optimizer_bytes = optimizer_bytes(m.values / (size_t)team->n_updaters),
            .activation_bytes = m.activation_bytes +
                                train_batch_bytes(r->batch_size / team->n_replicas, r->data.seq_len),
            .scratch_bytes = m.scratch_bytes};
    }
    source_close(src);
    return s;
}

/* ---- The run ---- */

static enum status go(struct trainer *t)
{
    const struct recipe *r = t->r;
    bool stopped = false;
    while (t->step < r->steps && !stopped) {
        TRY(one_step(t));
        progress_update(&t->bar, (uint64_t)t->tokens);
        if (r->n_validation && (due(t->step, r->eval_steps) || (r->eval_steps && t->step == r->steps)))
            TRY(traced_validation(t));
        stopped = t->o->stop && t->o->stop();
        TRY(team_stop(t->team, &stopped));
        if (stopped || t->step == r->steps || due(t->step, r->save_steps)) TRY(save(t, data_shards_state(&t->shards)));
    }
    if (!stopped) return OK;
    return fail(E_CANCELLED, "stopped after step %" PRId64 "; %s/checkpoint-%" PRId64 " has it", t->step, r->output,
                t->step);
}

enum status trainer_run(const struct recipe *recipe, const struct trainer_options *options)
{
    struct team_alone one;
    struct team *team = options->team ? options->team : team_alone(&one);
    struct trainer t = {.r = recipe, .o = options, .team = team, .lock = -1};
    enum status s = open_run(&t);
    if (s == OK) {
        progress_begin(&t.bar, "training", "tokens", (uint64_t)(recipe->steps * tokens_a_step(recipe)),
                       options->quiet || !team_leads(team));
        t.bar.before = (uint64_t)t.tokens;
        s = go(&t);
        progress_end(&t.bar);
    }
    close_all(&t);
    return s;
}
