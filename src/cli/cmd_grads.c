// SPDX-License-Identifier: Apache-2.0
/* gptjt grads: the loss and all its gradients for a batch of rows, for comparison with other implementations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "cli/command.h"
#include "cli/common.h"
#include "engine/engine.h"
#include "formats/safetensors.h"
#include "hub/model_path.h"
#include "train/trainee.h"

struct settings {
    struct common common;
    const char *batch, *out;
    int precision;
    bool recompute;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS};

static const struct option options[] = {
    COMMON_MODEL_OPTIONS,
    {.name = "batch",
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, batch),
     .meta = "FILE",
     .help = "the safetensors file with ids, lo, hi and target, each I32 [sequences][tokens]"},
    {.name = "out",
     .letter = 'o',
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, out),
     .meta = "FILE",
     .help = "the safetensors file to write"},
    {.name = "precision",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct settings, precision),
     .choices = TRAIN_PRECISION_NAMES,
     .help = "of products, and with fp16 of activations and their gradients"},
    {.name = "recompute",
     .type = OPTION_FLAG,
     .offset = offsetof(struct settings, recompute),
     .help = "keep only each block's input and compute the rest again"},
    COMMON_DEVICE_OPTION,
    COMMON_THREAD_OPTIONS,
    COMMON_LOG_OPTIONS,
    {0},
};

struct job {
    const struct settings *set;
    struct source *batch;
    struct train_rows rows;
    int32_t *arrays; /* [4][rows]: ids, lo, hi, target */
    struct trainee trainee;
    double loss;
};

/* One of the batch's tensors, whose shape must be like the first one's. */
static enum status read_rows(struct job *j, const char *name, int32_t *out, int sequences, int seq_len)
{
    const struct tensor *t = source_find(j->batch, name);
    if (!t) return fail(E_FORMAT, "%s has no tensor %s", j->set->batch, name);
    if (t->dtype != DTYPE_I32 || t->n_dims != 2 || t->shape[0] != sequences || t->shape[1] != seq_len)
        return fail(E_FORMAT, "%s: %s is not I32 [%d, %d] as ids is", j->set->batch, name, sequences, seq_len);
    memcpy(out, t->data, (size_t)sequences * (size_t)seq_len * sizeof *out);
    return OK;
}

/* Row t of a sequence, as the backward pass will trust it to be. */
static enum status check_row(const struct job *j, int V, size_t i, int t)
{
    const struct train_rows *r = &j->rows;
    const char *wrong = NULL;
    if (r->token[i] < 0 || r->token[i] >= V)
        wrong = "its id is not in the vocabulary";
    else if (r->target[i] >= V)
        wrong = "its target is not in the vocabulary";
    else if (r->lo[i] < 0 || r->lo[i] >= r->hi[i] || r->hi[i] > r->seq_len)
        wrong = "it sees no interval of its sequence";
    else if (t && (r->lo[i] < r->lo[i - 1] || r->hi[i] < r->hi[i - 1]))
        wrong = "lo or hi is less than in the row before";
    if (!wrong) return OK;
    return fail(E_FORMAT, "%s: row %d of sequence %zu: %s", j->set->batch, t, i / (size_t)r->seq_len, wrong);
}

static enum status read_batch(struct job *j)
{
    TRY(source_open_file(&j->batch, j->set->batch));
    const struct tensor *ids = source_find(j->batch, "ids");
    if (!ids || ids->n_dims != 2 || ids->shape[0] < 1 || ids->shape[1] < 1 || ids->shape[0] > 4096 ||
        ids->shape[1] > 1 << 20)
        return fail(E_FORMAT, "%s has no ids of [sequences, tokens]", j->set->batch);
    const int sequences = (int)ids->shape[0], seq_len = (int)ids->shape[1];
    const size_t n = (size_t)sequences * (size_t)seq_len;
    j->arrays = calloc(4 * n, sizeof *j->arrays);
    if (!j->arrays) return fail(E_NOMEM, "out of memory");
    int32_t *token = j->arrays, *lo = token + n, *hi = lo + n, *target = hi + n;
    TRY(read_rows(j, "ids", token, sequences, seq_len));
    TRY(read_rows(j, "lo", lo, sequences, seq_len));
    TRY(read_rows(j, "hi", hi, sequences, seq_len));
    TRY(read_rows(j, "target", target, sequences, seq_len));
    j->rows = (struct train_rows){sequences, seq_len, token, lo, hi, target};
    return OK;
}

static enum status open_model(struct job *j)
{
    const struct common *common = &j->set->common;
    struct model_path path;
    struct trainee_options o = {.threads = common->threads ? (int)common->threads : pool_default_threads(),
                                .precision = (enum train_precision)j->set->precision,
                                .sequences = j->rows.sequences,
                                .seq_len = j->rows.seq_len,
                                .recompute = j->set->recompute};
    TRY(model_path_resolve(&path, common->model));
    TRY(engine_choose_cpu(&o.level, common->cpu));
    TRY(ops_choose_device(&o.device, cli_device(common)));
    TRY(trainee_open(&j->trainee, path.dir, &o));
    const size_t n = (size_t)j->rows.sequences * (size_t)j->rows.seq_len;
    for (size_t i = 0; i < n; i++)
        TRY(check_row(j, j->trainee.config.model.V, i, (int)(i % (size_t)j->rows.seq_len)));
    return OK;
}

static enum status compute(struct job *j)
{
    const size_t n = (size_t)j->rows.sequences * (size_t)j->rows.seq_len;
    double *loss = malloc(n * sizeof *loss);
    if (!loss) return fail(E_NOMEM, "out of memory");
    int targets = 0;
    for (size_t i = 0; i < n; i++)
        targets += j->rows.target[i] >= 0;
    if (targets) {
        train_pass_forward(j->trainee.pass, &j->rows);
        train_pass_head(j->trainee.pass, (float)(1.0 / targets), loss);
        train_pass_backward(j->trainee.pass);
        for (int i = 0; i < targets; i++)
            j->loss += loss[i] / targets;
    }
    free(loss);
    return targets ? OK : fail(E_FORMAT, "%s: no row has a target", j->set->batch);
}

static enum status declare(struct safetensors_writer *w, const struct params *params)
{
    const struct tensor loss = {.dtype = DTYPE_F64, .n_dims = 1, .shape = {1}};
    TRY(safetensors_writer_declare(w, "loss", &loss));
    for (int i = 0; i < params->n; i++) {
        const struct param *p = &params->all[i];
        const struct tensor like = {.dtype = DTYPE_F32, .n_dims = p->n_dims, .shape = {p->shape[0], p->shape[1]}};
        char name[256];
        snprintf(name, sizeof name, "grad.%s", p->name);
        TRY(safetensors_writer_declare(w, name, &like));
    }
    return OK;
}

static enum status write_data(struct safetensors_writer *w, const struct job *j, float *host)
{
    const struct params *params = j->trainee.params;
    struct ops *o = j->trainee.ops;
    TRY(safetensors_writer_data(w, &j->loss, sizeof j->loss));
    for (int i = 0; i < params->n; i++) {
        const struct param *p = &params->all[i];
        o->fn->read(o, host, params->grad + p->at, p->n * sizeof *host);
        TRY(safetensors_writer_data(w, host, p->n * sizeof *host));
    }
    return OK;
}

static enum status write_gradients(const struct job *j)
{
    const struct params *params = j->trainee.params;
    size_t most = 0;
    for (int i = 0; i < params->n; i++)
        most = params->all[i].n > most ? params->all[i].n : most;
    float *host = malloc(most * sizeof *host);
    if (!host) return fail(E_NOMEM, "out of memory");
    struct safetensors_writer *w = NULL;
    enum status s = safetensors_writer_open(&w, j->set->out);
    if (s == OK) s = declare(w, params);
    if (s == OK) s = write_data(w, j, host);
    if (s == OK)
        s = safetensors_writer_commit(w);
    else
        safetensors_writer_abort(w);
    free(host);
    return s;
}

static enum status execute(struct job *j)
{
    TRY(read_batch(j));
    TRY(open_model(j));
    TRY(compute(j));
    TRY(write_gradients(j));
    printf("loss %.9g\n", j->loss);
    return OK;
}

static enum status run(void *settings, const struct option_args *args)
{
    struct settings *set = settings;
    TRY(cli_take_model(&set->common, args));
    if (!set->batch) return fail(E_ARG, "no rows: give --batch FILE");
    if (!set->out) return fail(E_ARG, "no output: give -o FILE");
    struct job j = {.set = set};
    const enum status s = execute(&j);
    trainee_close(&j.trainee);
    source_close(j.batch);
    free(j.arrays);
    return s;
}

const struct command command_grads = {
    .name = "grads",
    .summary = "write a loss and its gradients to a safetensors file",
    .usage = "[MODEL] --batch FILE -o FILE [options]",
    .about = "Computes the mean cross-entropy over all rows that have a target (not -100), and its gradient with "
             "respect to\n"
             "every parameter: \"loss\" and \"grad.NAME\" in fp32. Row t of a sequence sees rows lo <= s < hi of it.",
    .examples = "  gptjt grads MODEL --batch batch.safetensors -o gradients.safetensors\n"
                "  gptjt grads MODEL --batch batch.safetensors -o bf16.safetensors --precision bf16",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
