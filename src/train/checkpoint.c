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
#define ADAPTER_FILE "adapter_model.safetensors"
#define OPTIMIZER    "optimizer"
#define STATE        "trainer_state"
#define MASTER       "master."

enum { PATH_BYTES = 4096, NAME_BYTES = 320, MAX_STATE_BYTES = 1 << 30 };

/* ---- Names ---- */

/* Of a rank's file: the first rank's has no numbers. */
static void rank_file(char name[NAME_BYTES], const char *stem, int replica, int stage, const char *end)
{
    if (replica || stage)
        snprintf(name, NAME_BYTES, "%s-%05d-%05d%s", stem, replica, stage, end);
    else
        snprintf(name, NAME_BYTES, "%s%s", stem, end);
}

static void model_file(char name[NAME_BYTES], int stage, int n_stages)
{
    if (n_stages > 1)
        snprintf(name, NAME_BYTES, "model-%05d-of-%05d.safetensors", stage + 1, n_stages);
    else
        snprintf(name, NAME_BYTES, "model.safetensors");
}

/* ---- Vectors ---- */

/* One of the shape of params [first, last), under the parameters' names behind a prefix. */
struct vector {
    char prefix[64];
    float *at; /* its first value is that of params[first] */
    int first, last;
};

static size_t begin_of(const struct params *p, const struct vector *v)
{
    return v->first < v->last ? p->all[v->first].at : 0;
}

enum { MAX_VECTORS = 3 + TEAM_MAX_VECTORS };

/* What belongs to this rank besides the model: moments of what it updates, and, where replicas differ, its masters and
 * the team's vectors. */
static int rank_vectors(struct vector all[MAX_VECTORS], const struct checkpoint *c)
{
    const struct optimizer *o = c->optimizer;
    struct team_vector own[TEAM_MAX_VECTORS];
    int n = 0;
    all[n++] = (struct vector){"exp_avg.", o->m, o->first, o->last};
    all[n++] = (struct vector){"exp_avg_sq.", o->v, o->first, o->last};
    if (c->team->own_steps) all[n++] = (struct vector){MASTER, o->params->value, 0, o->params->n};
    const int n_own = team_vectors(c->team, own);
    for (int i = 0; i < n_own; i++, n++) {
        all[n] = (struct vector){.at = own[i].at, .last = o->params->n};
        snprintf(all[n].prefix, sizeof all[n].prefix, "%s.", own[i].name);
    }
    return n;
}

/* Whether the rank has vectors that no other rank has. */
static bool has_own(const struct checkpoint *c)
{
    struct team_vector own[TEAM_MAX_VECTORS];
    const struct optimizer *o = c->optimizer;
    return c->team->writes_stage || c->team->own_steps || o->first > 0 || o->last < o->params->n ||
           team_vectors(c->team, own) > 0;
}

/* ---- Writing ---- */

static enum status declare_vectors(struct safetensors_writer *w, const struct params *p, const struct vector *v, int n)
{
    for (int i = 0; i < n; i++) {
        for (int j = v[i].first; j < v[i].last; j++) {
            const struct param *x = &p->all[j];
            const struct tensor like = {.dtype = DTYPE_F32, .n_dims = x->n_dims, .shape = {x->shape[0], x->shape[1]}};
            char name[NAME_BYTES];
            snprintf(name, sizeof name, "%s%s", v[i].prefix, x->name);
            TRY(safetensors_writer_declare(w, name, &like));
        }
    }
    return safetensors_writer_metadata(w, "format", "pt");
}

/* Through a piece of host memory. */
static enum status write_vector(struct safetensors_writer *w, const struct params *p, const struct vector *v)
{
    enum { PIECE = 1 << 16 };
    float *host = malloc(PIECE * sizeof *host);
    if (!host) return fail(E_NOMEM, "out of memory");
    enum status s = OK;
    for (int j = v->first; j < v->last; j++) {
        for (size_t i = 0; s == OK && i < p->all[j].n; i += PIECE) {
            const size_t left = p->all[j].n - i, n = left < PIECE ? left : PIECE;
            p->ops->fn->read(p->ops, host, v->at + (p->all[j].at - begin_of(p, v)) + i, n * sizeof *host);
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
        s = write_vector(w, p, &v[i]);
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

/* config.json and, from where the model comes, its tokenizer and how it generates. */
static enum status write_small_files(const struct checkpoint *c, const char *dir)
{
    const struct model_files files = {.from = c->model, .dir = dir};
    json_t *config = NULL;
    TRY(checkpoint_config_json(&config, c->config, "float32", c->mask));
    const enum status s = model_files_write(&files, config);
    json_decref(config);
    return s;
}

/* ---- The index of a model in several files ---- */

struct index {
    const struct checkpoint *c;
    json_t *map;
    int64_t bytes;
};

static int stage_of(const struct checkpoint *c, const char *tensor)
{
    const struct team *t = c->team;
    int layer = -1, first, last, stage = 0;
    if (sscanf(tensor, "transformer.h.%d.", &layer) != 1)
        return strcmp(tensor, "transformer.wte.weight") ? t->n_stages - 1 : 0;
    for (; stage < t->n_stages - 1; stage++) {
        team_layers(t, c->config, stage, &first, &last);
        if (layer < last) break;
    }
    return stage;
}

static enum status add_to_index(void *user, const struct gptj_tensor_spec *spec)
{
    struct index *x = user;
    char name[NAME_BYTES];
    model_file(name, stage_of(x->c, spec->name), x->c->team->n_stages);
    x->bytes += spec->shape[0] * (spec->n_dims == 2 ? spec->shape[1] : 1) * (int64_t)sizeof(float);
    return json_object_set_new(x->map, spec->name, json_string(name)) ? fail(E_NOMEM, "out of memory") : OK;
}

static enum status write_index(const struct checkpoint *c, const char *dir)
{
    struct index x = {c, json_object(), 0};
    enum status s = x.map ? gptj_each_tensor(c->config, add_to_index, &x) : fail(E_NOMEM, "out of memory");
    json_t *index = s == OK ? json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)x.bytes, "weight_map",
                                        x.map)
                            : NULL;
    if (s == OK) s = index ? write_json(dir, "model.safetensors.index.json", index) : fail(E_NOMEM, "out of memory");
    json_decref(index);
    json_decref(x.map);
    return s;
}

/* ---- A rank's part of a checkpoint ---- */

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

static enum status write_adapter(const struct checkpoint *c, const float *values, const char *dir)
{
    const struct params *p = c->optimizer->params;
    struct peft_config config = {.r = c->lora.r, .alpha = c->lora_alpha};
    struct peft_target *targets = calloc((size_t)p->n / 2, sizeof *targets);
    float *host = malloc(p->n_values * sizeof *host);
    enum status s = targets && host ? OK : fail(E_NOMEM, "out of memory");
    if (s == OK) {
        int n = 0;
        p->ops->fn->read(p->ops, host, values, p->n_values * sizeof *host);
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

/* What the team agrees is the model, which may be something else than this rank's masters. */
static enum status write_model(const struct checkpoint *c, const char *dir)
{
    const struct params *p = c->optimizer->params;
    struct vector values = {.last = p->n};
    float *model;
    char name[NAME_BYTES];
    TRY(team_model(c->team, &model));
    if (!c->team->writes_stage) return OK;
    if (c->lora.r) return write_adapter(c, model, dir);
    if (stage_of(c, p->all[0].name) != c->team->stage) values.first = 1; /* an embedding that the first stage has */
    values.at = model + begin_of(p, &values);
    model_file(name, c->team->stage, c->team->n_stages);
    return write_vectors(dir, name, p, &values, 1);
}

static enum status write_all(const struct checkpoint *c, const char *dir)
{
    const struct team *t = c->team;
    const struct params *p = c->optimizer->params;
    struct vector vectors[MAX_VECTORS];
    char name[NAME_BYTES];
    TRY(write_model(c, dir));
    if (t->owns_output && !c->lora.r) TRY(write_small_files(c, dir));
    if (t->owns_output && t->n_stages > 1) TRY(write_index(c, dir));
    if (has_own(c)) {
        const int n = rank_vectors(vectors, c);
        rank_file(name, OPTIMIZER, t->replica, t->stage, ".safetensors");
        TRY(write_vectors(dir, name, p, vectors, n));
    }
    rank_file(name, STATE, t->replica, t->stage, ".json");
    return write_json(dir, name, c->state);
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

/* Up to a step. */
static enum status list(struct listing *out, const char *run, int64_t upto)
{
    *out = (struct listing){-1, -1, 0};
    DIR *d = opendir(run);
    if (!d) return errno == ENOENT ? OK : fail(E_IO, "%s: %s", run, strerror(errno));
    for (const struct dirent *e; (e = readdir(d));) {
        const int64_t step = step_of(e->d_name);
        if (step < 0 || step > upto) continue;
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

enum status checkpoint_name(char *dir, size_t dir_bytes, const char *run, int64_t step)
{
    return name_step(dir, dir_bytes, run, PREFIX, step);
}

enum status checkpoint_last(int64_t *step, const char *run, int64_t upto)
{
    struct listing l;
    TRY(list(&l, run, upto));
    *step = l.last;
    return OK;
}

/* A checkpoint is renamed before it goes, so that what has its name is always whole. */
static enum status rotate(const char *run, int64_t keep)
{
    struct listing l;
    TRY(list(&l, run, INT64_MAX));
    while (keep > 0 && l.n > keep) {
        char whole[PATH_BYTES], going[PATH_BYTES];
        TRY(name_step(whole, sizeof whole, run, PREFIX, l.first));
        TRY(name_step(going, sizeof going, run, MAKING, l.first));
        TRY(file_remove_dir(going));
        if (rename(whole, going)) return fail(E_IO, "%s: %s", whole, strerror(errno));
        TRY(file_remove_dir(going));
        TRY(list(&l, run, INT64_MAX));
    }
    return OK;
}

static enum status begin(const char *making)
{
    TRY(file_remove_dir(making));
    return mkdir(making, 0777) ? fail(E_IO, "%s: %s", making, strerror(errno)) : OK;
}

static enum status write_part(const struct checkpoint *c, const char *making, int64_t step)
{
    const enum status s = write_all(c, making);
    if (s == OK) return OK;
    char why[900];
    snprintf(why, sizeof why, "%s", status_message());
    if (c->team->owns_output) file_remove_dir(making);
    return fail(s, "checkpoint of step %" PRId64 ": %s", step, why);
}

static enum status finish(const char *making, const char *whole, const char *run)
{
    file_sync_dir(making);
    if (rename(making, whole)) return fail(E_IO, "%s: %s", whole, strerror(errno));
    file_sync_dir(run);
    return OK;
}

/* The directory's owner makes it, renames it when all ranks have written theirs, and removes an older one when
 * everybody's has been renamed. */
enum status checkpoint_save(const struct checkpoint *c, const char *run, int64_t step, int64_t keep)
{
    const bool owner = c->team->owns_output;
    char whole[PATH_BYTES], making[PATH_BYTES];
    TRY(name_step(whole, sizeof whole, run, PREFIX, step));
    TRY(name_step(making, sizeof making, run, MAKING, step));
    if (file_is_dir(whole)) return OK; /* where this run was resumed, and has not moved since */
    if (owner) TRY(begin(making));
    TRY(team_meet(c->team));
    TRY(write_part(c, making, step));
    TRY(team_meet(c->team));
    if (owner) TRY(finish(making, whole, run));
    TRY(team_meet(c->team));
    return owner ? rotate(run, keep) : OK;
}

/* Checkpoints under construction, and files that were about to replace others (base/file.h). */
static bool left_over(const char *name)
{
    static const char *const begin[] = {MAKING, "recipe.json.tmp.", "metrics.jsonl.tmp.", ".rank-"};
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

/* The tensor files of a checkpoint whose names begin alike. */
struct files {
    struct source **all; /* [n], owned; the rank's own first, then its replica's */
    int n;
};

static void files_close(struct files *f)
{
    for (int i = 0; i < f->n; i++)
        source_close(f->all[i]);
    free(f->all);
    *f = (struct files){0};
}

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* 0: the rank's own; 1: its replica's; 2: another's. */
static int distance(const struct team *t, const char *name, const char *stem)
{
    int replica = 0, stage = 0;
    sscanf(name + strlen(stem), "-%5d-%5d", &replica, &stage);
    return replica != t->replica ? 2 : stage != t->stage ? 1 : 0;
}

static enum status files_add(struct files *f, const char *dir, const char *name)
{
    char path[PATH_BYTES];
    struct source **grown = realloc(f->all, ((size_t)f->n + 1) * sizeof(struct source *));
    if (!grown) return fail(E_NOMEM, "%s: out of memory", dir);
    f->all = grown;
    f->all[f->n] = NULL;
    TRY(file_join(path, sizeof path, dir, name));
    TRY(safetensors_open(&f->all[f->n], path));
    f->n++;
    return OK;
}

/* t NULL: in no order. */
static enum status files_open(struct files *f, const char *dir, const char *stem, const struct team *t)
{
    enum status s = OK;
    for (int wanted = 0; s == OK && wanted < (t ? 3 : 1); wanted++) {
        DIR *d = opendir(dir);
        if (!d) return fail(E_IO, "%s: %s", dir, strerror(errno));
        for (const struct dirent *e; s == OK && (e = readdir(d));) {
            const size_t n = strlen(e->d_name), end = sizeof ".safetensors" - 1;
            if (!begins(e->d_name, stem) || n < end || strcmp(e->d_name + n - end, ".safetensors")) continue;
            if (!t || distance(t, e->d_name, stem) == wanted) s = files_add(f, dir, e->d_name);
        }
        closedir(d);
    }
    return s;
}

static const struct tensor *files_find(const struct files *f, const char *name)
{
    const struct tensor *t = NULL;
    for (int i = 0; !t && i < f->n; i++)
        t = source_find(f->all[i], name);
    return t;
}

static enum status read_vector(const struct files *f, const char *dir, const struct params *p, const struct vector *v)
{
    for (int j = v->first; j < v->last; j++) {
        const struct param *x = &p->all[j];
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s%s", v->prefix, x->name);
        const struct tensor *t = files_find(f, name);
        if (!t || t->dtype != DTYPE_F32 || tensor_elements(t) != (int64_t)x->n)
            return fail(E_FORMAT, "%s: %s is missing, not fp32, or not of this model", dir, name);
        p->ops->fn->write(p->ops, v->at + (x->at - begin_of(p, v)), t->data, x->n * sizeof(float));
    }
    return OK;
}

static enum status read_model(const struct checkpoint *c, const char *dir)
{
    const struct params *p = c->optimizer->params;
    const struct vector masters = {.at = p->value, .last = p->n};
    struct files f = {0};
    enum status s = files_open(&f, dir, c->lora.r ? ADAPTER_FILE : "model", NULL);
    if (s == OK) s = read_vector(&f, dir, p, &masters);
    files_close(&f);
    return s;
}

/* same: as many replicas as now wrote it. */
static enum status read_rank(const struct checkpoint *c, const char *dir, bool same)
{
    struct vector vectors[MAX_VECTORS];
    const int n = same ? rank_vectors(vectors, c) : 2;
    struct files f = {0};
    if (!same) {
        struct vector all[MAX_VECTORS];
        rank_vectors(all, c);
        memcpy(vectors, all, 2 * sizeof *vectors); /* the moments */
    }
    enum status s = files_open(&f, dir, OPTIMIZER, c->team);
    for (int i = 0; s == OK && i < n; i++)
        s = read_vector(&f, dir, c->optimizer->params, &vectors[i]);
    files_close(&f);
    return s;
}

/* The state of a rank's replica, as its first stage has written it, or the rank itself, where machines do not see each
 * other's files. */
static enum status read_state(json_t **state, const char *dir, const struct team *t)
{
    const int stages[] = {0, t->stage}, replicas[] = {t->replica, 0};
    char path[PATH_BYTES], name[NAME_BYTES];
    for (size_t r = 0; r < COUNT_OF(replicas); r++) {
        for (size_t i = 0; i < COUNT_OF(stages); i++) {
            rank_file(name, STATE, replicas[r], stages[i], ".json");
            TRY(file_join(path, sizeof path, dir, name));
            if (!access(path, F_OK)) return json_read_file(state, path, MAX_STATE_BYTES);
        }
    }
    return fail(E_FORMAT, "%s: has no " STATE ".json", dir);
}

/* The list of the data's shards, of which each replica's first stage has written some. */
static enum status gather_data(json_t *state, const char *dir, int64_t n_replicas)
{
    json_t *all = json_array();
    enum status s = all ? OK : fail(E_NOMEM, "%s: out of memory", dir);
    for (int r = 0; s == OK && r < n_replicas; r++) {
        char path[PATH_BYTES], name[NAME_BYTES];
        json_t *one = NULL;
        rank_file(name, STATE, r, 0, ".json");
        s = file_join(path, sizeof path, dir, name);
        if (s != OK || access(path, F_OK)) continue;
        s = json_read_file(&one, path, MAX_STATE_BYTES);
        if (s == OK && json_array_extend(all, json_object_get(one, "data")))
            s = fail(E_FORMAT, "%s: has no list \"data\"", path);
        json_decref(one);
    }
    if (s == OK && json_object_set(state, "data", all)) s = fail(E_NOMEM, "%s: out of memory", dir);
    json_decref(all);
    return s;
}

enum status checkpoint_load(const struct checkpoint *c, json_t **state, const char *dir)
{
    int64_t n_replicas = 1;
    TRY(read_state(state, dir, c->team));
    TRY(json_get_int(*state, dir, "replicas", 1, INT32_MAX, &n_replicas));
    const bool same = n_replicas == c->team->n_replicas;
    TRY(gather_data(*state, dir, n_replicas));
    if (!c->team->own_steps || !same) TRY(read_model(c, dir));
    TRY(read_rank(c, dir, same));
    params_changed(c->optimizer->params);
    return OK;
}
