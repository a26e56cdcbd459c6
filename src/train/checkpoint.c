// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "formats/safetensors.h"
#include "model/model_files.h"

#define PREFIX       "checkpoint-"
#define MAKING       "tmp-checkpoint-"
#define MODEL_FILE   "model.safetensors"
#define ADAPTER_FILE "adapter_model.safetensors"

enum { PATH_BYTES = 4096, MAX_STATE_BYTES = 1 << 30 };

/* The vectors of all parameters that a file holds, under the parameters' names behind a prefix. */
struct vector {
    const char *prefix;
    float *at; /* [n_values] on the device */
};

/* ---- Writing ---- */

static enum status declare_vectors(struct safetensors_writer *w, const struct params *p, const struct vector *v, int n)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < p->n; j++) {
            const struct param *x = &p->all[j];
            const struct tensor like = {.dtype = DTYPE_F32, .n_dims = x->n_dims, .shape = {x->shape[0], x->shape[1]}};
            char name[256];
            snprintf(name, sizeof name, "%s%s", v[i].prefix, x->name);
            TRY(safetensors_writer_declare(w, name, &like));
        }
    }
    return safetensors_writer_metadata(w, "format", "pt");
}

/* Through a piece of host memory. */
static enum status write_vector(struct safetensors_writer *w, const struct params *p, const float *at)
{
    enum { PIECE = 1 << 16 };
    float *host = malloc(PIECE * sizeof *host);
    if (!host) return fail(E_NOMEM, "out of memory");
    enum status s = OK;
    for (int j = 0; j < p->n; j++) {
        for (size_t i = 0; s == OK && i < p->all[j].n; i += PIECE) {
            const size_t left = p->all[j].n - i, n = left < PIECE ? left : PIECE;
            p->ops->fn->read(p->ops, host, at + p->all[j].at + i, n * sizeof *host);
            s = safetensors_writer_data(w, host, n * sizeof *host);
        }
    }
    free(host);
    return s;
}

static enum status write_vectors(const char *dir, const char *file, const struct params *p, const struct vector *v,
                                 int n)
{
    char path[PATH_BYTES];
    struct safetensors_writer *w = NULL;
    TRY(file_join(path, sizeof path, dir, file));
    enum status s = safetensors_writer_open(&w, path);
    if (s != OK) return s;
    s = declare_vectors(w, p, v, n);
    for (int i = 0; s == OK && i < n; i++)
        s = write_vector(w, p, v[i].at);
    if (s == OK) return safetensors_writer_commit(w);
    safetensors_writer_abort(w);
    return s;
}

static enum status write_json(const char *dir, const char *file, const json_t *value)
{
    char path[PATH_BYTES];
    TRY(file_join(path, sizeof path, dir, file));
    return json_write_file(value, path);
}

/* config.json and, from where the model comes, its tokenizer. */
static enum status write_small_files(const struct checkpoint *c, const char *dir)
{
    const struct model_files files = {.from = c->model, .also = model_files_tokenizer, .dir = dir};
    json_t *config = NULL;
    TRY(checkpoint_config_json(&config, c->config, "float32", c->mask));
    const enum status s = model_files_write(&files, config);
    json_decref(config);
    return s;
}

static enum status write_model(const struct checkpoint *c, const char *dir)
{
    const struct params *p = c->optimizer->params;
    const struct vector masters = {"", p->value};
    TRY(write_vectors(dir, MODEL_FILE, p, &masters, 1));
    return write_small_files(c, dir);
}

/* One of a target's two matrices, whose value is host's; NULL where there is no such target. */
static const struct param *adapter_matrix(struct tensor *out, const struct params *p, const float *host, int layer,
                                          enum peft_module m, bool is_b)
{
    char name[PEFT_NAME_BYTES];
    peft_tensor_name(name, sizeof name, layer, m, is_b);
    const struct param *x = params_find(p, name);
    if (x) *out = (struct tensor){host + x->at, DTYPE_F32, 2, {x->shape[0], x->shape[1]}};
    return x;
}

static enum status write_adapter(const struct checkpoint *c, const char *dir)
{
    const struct params *p = c->optimizer->params;
    struct peft_config config = {.r = c->lora.r, .alpha = c->lora_alpha};
    struct peft_target *targets = calloc((size_t)p->n / 2, sizeof *targets);
    float *host = malloc(p->n_values * sizeof *host);
    enum status s = targets && host ? OK : fail(E_NOMEM, "out of memory");
    if (s == OK) {
        int n = 0;
        p->ops->fn->read(p->ops, host, p->value, p->n_values * sizeof *host);
        for (int layer = 0; layer < c->config->L; layer++) {
            for (enum peft_module m = 0; m < PEFT_MODULES; m++) {
                struct peft_target t = {.layer = layer, .module = m};
                if (adapter_matrix(&t.a, p, host, layer, m, false) && adapter_matrix(&t.b, p, host, layer, m, true))
                    targets[n++] = t;
            }
        }
        if (strlen(c->model) < sizeof config.base_model) strcpy(config.base_model, c->model);
        s = peft_write(dir, &config, targets, n);
    }
    free(host);
    free(targets);
    return s;
}

static enum status write_all(const struct checkpoint *c, const char *dir)
{
    const struct optimizer *o = c->optimizer;
    const struct vector moments[] = {{"exp_avg.", o->m}, {"exp_avg_sq.", o->v}};
    TRY(c->lora.r ? write_adapter(c, dir) : write_model(c, dir));
    TRY(write_vectors(dir, "optimizer.safetensors", o->params, moments, COUNT_OF(moments)));
    return write_json(dir, "trainer_state.json", c->state);
}

/* ---- Which there are ---- */

/* The step in a checkpoint's name; -1: it is no checkpoint's. */
static int64_t step_of(const char *name)
{
    char *end;
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) || name[sizeof PREFIX - 1] < '0' || name[sizeof PREFIX - 1] > '9')
        return -1;
    errno = 0;
    const int64_t step = strtoll(name + sizeof PREFIX - 1, &end, 10);
    return *end || errno ? -1 : step;
}

struct listing {
    int64_t first, last; /* steps; -1 without any */
    int n;
};

static enum status list(struct listing *out, const char *run)
{
    *out = (struct listing){-1, -1, 0};
    DIR *d = opendir(run);
    if (!d) return errno == ENOENT ? OK : fail(E_IO, "%s: %s", run, strerror(errno));
    for (const struct dirent *e; (e = readdir(d));) {
        const int64_t step = step_of(e->d_name);
        if (step < 0) continue;
        if (!out->n || step < out->first) out->first = step;
        if (!out->n || step > out->last) out->last = step;
        out->n++;
    }
    closedir(d);
    return OK;
}

static enum status name_step(char *out, size_t bytes, const char *run, const char *prefix, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "%s%" PRId64, prefix, step);
    return file_join(out, bytes, run, name);
}

enum status checkpoint_last(int64_t *step, char *dir, size_t dir_bytes, const char *run)
{
    struct listing l;
    TRY(list(&l, run));
    *step = l.last;
    return l.n ? name_step(dir, dir_bytes, run, PREFIX, l.last) : OK;
}

/* A checkpoint is renamed before it goes, so that what has its name is always whole. */
static enum status rotate(const char *run, int64_t keep)
{
    struct listing l;
    TRY(list(&l, run));
    while (keep > 0 && l.n > keep) {
        char whole[PATH_BYTES], going[PATH_BYTES];
        TRY(name_step(whole, sizeof whole, run, PREFIX, l.first));
        TRY(name_step(going, sizeof going, run, MAKING, l.first));
        TRY(file_remove_dir(going));
        if (rename(whole, going)) return fail(E_IO, "%s: %s", whole, strerror(errno));
        TRY(file_remove_dir(going));
        TRY(list(&l, run));
    }
    return OK;
}

enum status checkpoint_save(const struct checkpoint *c, const char *run, int64_t step, int64_t keep)
{
    char whole[PATH_BYTES], making[PATH_BYTES];
    TRY(name_step(whole, sizeof whole, run, PREFIX, step));
    TRY(name_step(making, sizeof making, run, MAKING, step));
    if (file_is_dir(whole)) return OK; /* where this run was resumed, and has not moved since */
    TRY(file_remove_dir(making));
    if (mkdir(making, 0777)) return fail(E_IO, "%s: %s", making, strerror(errno));
    const enum status s = write_all(c, making);
    if (s != OK) {
        char why[900];
        snprintf(why, sizeof why, "%s", status_message());
        file_remove_dir(making);
        return fail(s, "checkpoint of step %" PRId64 ": %s", step, why);
    }
    file_sync_dir(making);
    if (rename(making, whole)) return fail(E_IO, "%s: %s", whole, strerror(errno));
    file_sync_dir(run);
    return rotate(run, keep);
}

/* Checkpoints under construction, and files that were about to replace others (base/file.h). */
static bool left_over(const char *name)
{
    static const char *const begin[] = {MAKING, "recipe.json.tmp.", "metrics.jsonl.tmp."};
    for (size_t i = 0; i < COUNT_OF(begin); i++)
        if (!strncmp(name, begin[i], strlen(begin[i]))) return true;
    return false;
}

enum status checkpoint_clean(const char *run)
{
    DIR *d = opendir(run);
    if (!d) return errno == ENOENT ? OK : fail(E_IO, "%s: %s", run, strerror(errno));
    enum status s = OK;
    for (const struct dirent *e; s == OK && (e = readdir(d));) {
        char path[PATH_BYTES];
        if (!left_over(e->d_name)) continue;
        s = file_join(path, sizeof path, run, e->d_name);
        if (s == OK && file_is_dir(path))
            s = file_remove_dir(path);
        else if (s == OK && unlink(path))
            s = fail(E_IO, "%s: %s", path, strerror(errno));
    }
    closedir(d);
    return s;
}

/* ---- Reading ---- */

static enum status read_vector(const struct source *src, const char *file, const struct params *p,
                               const struct vector *v)
{
    for (int j = 0; j < p->n; j++) {
        const struct param *x = &p->all[j];
        char name[256];
        snprintf(name, sizeof name, "%s%s", v->prefix, x->name);
        const struct tensor *t = source_find(src, name);
        if (!t || t->dtype != DTYPE_F32 || tensor_elements(t) != (int64_t)x->n)
            return fail(E_FORMAT, "%s: %s is missing, not fp32, or not of this model", file, name);
        p->ops->fn->write(p->ops, v->at + x->at, t->data, x->n * sizeof(float));
    }
    return OK;
}

static enum status read_vectors(const char *dir, const char *file, const struct params *p, const struct vector *v,
                                int n)
{
    char path[PATH_BYTES];
    struct source *src = NULL;
    TRY(file_join(path, sizeof path, dir, file));
    TRY(safetensors_open(&src, path));
    enum status s = OK;
    for (int i = 0; s == OK && i < n; i++)
        s = read_vector(src, path, p, &v[i]);
    source_close(src);
    return s;
}

enum status checkpoint_load(struct optimizer *o, json_t **state, const char *dir, bool adapter)
{
    const struct vector masters = {"", o->params->value};
    const struct vector moments[] = {{"exp_avg.", o->m}, {"exp_avg_sq.", o->v}};
    char path[PATH_BYTES];
    TRY(file_join(path, sizeof path, dir, "trainer_state.json"));
    TRY(read_vectors(dir, adapter ? ADAPTER_FILE : MODEL_FILE, o->params, &masters, 1));
    TRY(read_vectors(dir, "optimizer.safetensors", o->params, moments, COUNT_OF(moments)));
    params_changed(o->params);
    return json_read_file(state, path, MAX_STATE_BYTES);
}
