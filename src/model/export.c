// SPDX-License-Identifier: Apache-2.0
/* The tensors of a model form one list: the parameters in checkpoint order, then the buffers. It is cut greedily into
 * files, and each file is written in two walks over the list, one that declares and one that writes: nothing is held
 * but some megabytes of rows. */
#include "model/export.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "model/gptj.h"
#include "model/model_files.h"
#include "model/verify.h"

enum { ROUND_BYTES = 8 << 20, NAME_BYTES = 96 };

static const char index_name[] = "model.safetensors.index.json";

struct writing {
    const struct export *x;
    const char *dir;
    const struct kernels *kernels;
    struct pool *pool;
    struct safetensors_writer *file;
    uint8_t *round; /* [ROUND_BYTES] or one row of the widest matrix */
    size_t round_bytes;
    float *wide;   /* the same rows in fp32 and ...                        */
    double *a, *b; /* ... the adapter of the matrix, [r][I] and [O][r], and ... */
    double *room;  /* ... a row a thread: where something is merged       */
    json_t *map;   /* tensor: file name */
    progress_bytes_fn *progress;
    void *user;
    uint64_t bytes;
    int shard, n_shards; /* the one being written */
};

/* ---- The list ---- */

/* spec NULL: the tensor is a buffer. */
typedef enum status each_fn(void *user, const char *name, const struct tensor *like,
                            const struct gptj_tensor_spec *spec);

/* Where in the list a walk is. */
struct walk {
    const struct export *x;
    each_fn *each;
    void *user;
    int64_t shard_bytes, bytes;
    int shard, only; /* only the tensors of this shard; -1: all */
};

static enum status visit(struct walk *w, const char *name, const struct tensor *like,
                         const struct gptj_tensor_spec *spec)
{
    const int64_t bytes = tensor_bytes(like);
    if (w->shard_bytes && w->shard_bytes + bytes > w->x->max_shard_bytes) {
        w->shard++;
        w->shard_bytes = 0;
    }
    w->shard_bytes += bytes;
    w->bytes += bytes;
    return w->each && (w->only < 0 || w->only == w->shard) ? w->each(w->user, name, like, spec) : OK;
}

static enum status visit_parameter(void *user, const struct gptj_tensor_spec *spec)
{
    static const enum dtype dtypes[] = {[WEIGHT_F32] = DTYPE_F32, [WEIGHT_F16] = DTYPE_F16, [WEIGHT_BF16] = DTYPE_BF16};
    struct walk *w = user;
    const struct tensor like = {
        .dtype = dtypes[w->x->type], .n_dims = spec->n_dims, .shape = {spec->shape[0], spec->shape[1]}};
    return visit(w, spec->name, &like, spec);
}

static enum status walk_list(struct walk *w)
{
    const struct gptj_config *c = w->x->config;
    const struct tensor buffer = {.dtype = DTYPE_U8, .n_dims = 4, .shape = {1, 1, c->P, c->P}};
    TRY(gptj_each_tensor(c, visit_parameter, w));
    for (int l = 0; w->x->prompt_mask == CONFIG_MASK_PREFIX && l < c->L; l++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "transformer.h.%d.attn.bias", l);
        TRY(visit(w, name, &buffer, NULL));
    }
    return OK;
}

struct export_size export_size(const struct export *x)
{
    struct walk w = {.x = x, .only = -1};
    walk_list(&w);
    return (struct export_size){w.bytes, w.shard + 1};
}

/* ---- Merging ---- */

/* To fp32 so that rounding the result to a shorter type is rounding x: cut, and what was cut is told by the last bit
 * (rounding to odd; fp32 has the two bits more that this needs). */
static float to_odd(double x)
{
    const float nearest = (float)x;
    const double back = (double)nearest;
    if (!isfinite(nearest) || (back >= x && back <= x)) return nearest;
    const float cut = fabs(back) > fabs(x) ? nextafterf(nearest, 0) : nearest;
    return half_float_of(half_bits_of(cut) | 1);
}

void export_merge_row(void *to, enum weight_type type, const float *from, const double *a, const double *b, int r,
                      double scale, int I, double *room)
{
    for (int i = 0; i < I; i++)
        room[i] = 0;
    for (int k = 0; k < r; k++)
        for (int i = 0; i < I; i++)
            room[i] += b[k] * a[(size_t)k * (size_t)I + (size_t)i];
    for (int i = 0; i < I; i++) {
        const double sum = (double)from[i] + scale * room[i];
        if (type == WEIGHT_F32)
            ((float *)to)[i] = (float)sum;
        else
            ((uint16_t *)to)[i] = type == WEIGHT_F16 ? f16_from_f32(to_odd(sum)) : bf16_from_f32(to_odd(sum));
    }
}

struct merge_job {
    const struct writing *w;
    int r, I, first; /* rows of the block begin here in the matrix */
    double scale;
};

static void merge_task(void *user, int task, int thread)
{
    const struct merge_job *j = user;
    const size_t I = (size_t)j->I, row = (size_t)task;
    export_merge_row(j->w->round + weight_bytes(j->w->x->type, task, j->I), j->w->x->type, j->w->wide + row * I,
                     j->w->a, j->w->b + (size_t)(j->first + task) * (size_t)j->r, j->r, j->scale, j->I,
                     j->w->room + (size_t)thread * I);
}

static void widen(double *to, const struct tensor *t)
{
    const int64_t n = tensor_elements(t);
    for (int64_t i = 0; i < n; i++)
        to[i] = tensor_value(t, i);
}

/* ---- Writing ---- */

static enum status declare(void *user, const char *name, const struct tensor *like, const struct gptj_tensor_spec *spec)
{
    (void)spec;
    struct writing *w = user;
    return safetensors_writer_declare(w->file, name, like);
}

static enum status put(struct writing *w, size_t bytes)
{
    TRY(safetensors_writer_data(w->file, w->round, bytes));
    w->bytes += bytes;
    return w->progress(w->user, w->bytes) ? OK : fail(E_CANCELLED, "cancelled");
}

static enum status write_buffer(struct writing *w, const struct tensor *like)
{
    memset(w->round, 1, w->round_bytes);
    for (int64_t left = tensor_bytes(like); left > 0; left -= (int64_t)w->round_bytes)
        TRY(put(w, left < (int64_t)w->round_bytes ? (size_t)left : w->round_bytes));
    return OK;
}

/* The rows of from, which are those from `first` on of the matrix, into w->round. */
static enum status convert(struct writing *w, const struct weight *from, const struct peft_target *adapter, int first)
{
    if (!adapter) return ops_cpu_weight_convert(w->kernels, w->pool, w->round, from, w->x->type);
    TRY(ops_cpu_weight_convert(w->kernels, w->pool, w->wide, from, WEIGHT_F32));
    struct merge_job j = {w, w->x->adapter->config.r, from->I, first, peft_scale(&w->x->adapter->config)};
    pool_run(w->pool, from->O, merge_task, &j);
    return OK;
}

static int rows_of_round(const struct weight *whole)
{
    const size_t rows = ROUND_BYTES / ((size_t)whole->I * sizeof(float));
    return rows < 1 ? 1 : rows < (size_t)whole->O ? (int)rows : whole->O;
}

static enum status write_tensor(void *user, const char *name, const struct tensor *like,
                                const struct gptj_tensor_spec *spec)
{
    struct writing *w = user;
    struct weight whole;
    if (!spec) return write_buffer(w, like);
    if (!gptj_stored_weight(&whole, w->x->src, spec)) return fail(E_FORMAT, "%s is missing", name);
    const struct peft_target *adapter = w->x->adapter ? peft_find_parameter(w->x->adapter, name) : NULL;
    if (adapter) widen(w->a, &adapter->a);
    if (adapter) widen(w->b, &adapter->b);
    const int most = rows_of_round(&whole);
    for (int row = 0; row < whole.O; row += most) {
        const int rows = whole.O - row < most ? whole.O - row : most;
        const struct weight from = {
            .data = (const char *)whole.data + weight_bytes(whole.type, row, whole.I), whole.type, rows, whole.I};
        const struct weight made = {.data = w->round, w->x->type, rows, whole.I};
        TRY(convert(w, &from, adapter, row));
        TRY(verify_conversion(name, &from, &made, row, w->pool));
        TRY(put(w, weight_bytes(w->x->type, rows, whole.I)));
    }
    return OK;
}

static enum status shard_path(char *path, size_t bytes, const struct writing *w, int shard)
{
    char name[64] = "model.safetensors";
    if (w->n_shards > 1) snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", shard + 1, w->n_shards);
    return file_join(path, bytes, w->dir, name);
}

static enum status note_file(void *user, const char *name, const struct tensor *like,
                             const struct gptj_tensor_spec *spec)
{
    (void)like, (void)spec;
    struct writing *w = user;
    char path[PATH_MAX];
    TRY(shard_path(path, sizeof path, w, w->shard));
    if (json_object_set_new(w->map, name, json_string(strrchr(path, '/') + 1))) return fail(E_NOMEM, "out of memory");
    return OK;
}

static enum status each_of_shard(struct writing *w, int shard, each_fn *each)
{
    struct walk walk = {.x = w->x, .each = each, .user = w, .only = shard};
    w->shard = shard;
    return walk_list(&walk);
}

/* All of a file but its commit. */
static enum status write_shard(struct writing *w, int shard)
{
    char path[PATH_MAX];
    TRY(shard_path(path, sizeof path, w, shard));
    TRY(safetensors_writer_open(&w->file, path));
    enum status s = safetensors_writer_metadata(w->file, "format", "pt"); /* transformers insists on it */
    if (s == OK) s = each_of_shard(w, shard, note_file);
    if (s == OK) s = each_of_shard(w, shard, declare);
    if (s == OK) s = each_of_shard(w, shard, write_tensor);
    if (s != OK) safetensors_writer_abort(w->file);
    return s;
}

static enum status write_index(const struct writing *w)
{
    char path[PATH_MAX];
    struct file_writer file;
    TRY(file_join(path, sizeof path, w->dir, index_name));
    json_t *j = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)w->bytes, "weight_map", w->map);
    if (!j) return fail(E_NOMEM, "%s: out of memory", path);
    enum status s = file_writer_open(&file, path);
    if (s == OK) {
        s = json_write_stream(j, file.stream, true);
        if (s == OK)
            s = file_writer_commit(&file);
        else
            file_writer_abort(&file);
    }
    json_decref(j);
    return s;
}

static enum status write_small_files(const struct export *x, const struct model_files *files)
{
    static const char *const torch[] = {[WEIGHT_F32] = "float32", [WEIGHT_F16] = "float16", [WEIGHT_BF16] = "bfloat16"};
    json_t *config = NULL;
    TRY(model_files_config(&config, files, x->prompt_mask, torch[x->type]));
    const enum status s = model_files_write(files, config);
    json_decref(config);
    return s;
}

/* The file of the last shard is still open. */
static enum status finish(struct writing *w, struct model_files *files)
{
    model_files_begin(files); /* late: nothing of an older model is lost before */
    enum status s = write_small_files(w->x, files);
    if (s == OK)
        s = safetensors_writer_commit(w->file);
    else
        safetensors_writer_abort(w->file);
    if (s == OK && w->n_shards > 1) s = write_index(w);
    if (s != OK) model_files_undo(files);
    return s;
}

/* The shards that are there and were not. */
static void remove_shards(const struct writing *w, const bool *there)
{
    for (int i = 0; i < w->n_shards; i++) {
        char path[PATH_MAX];
        if (!there[i] && shard_path(path, sizeof path, w, i) == OK) unlink(path);
    }
}

static enum status write_all(struct writing *w)
{
    char path[PATH_MAX];
    bool *there = calloc((size_t)w->n_shards, sizeof *there);
    if (!there) return fail(E_NOMEM, "export: out of memory");
    enum status s = OK;
    for (int i = 0; s == OK && i < w->n_shards; i++) {
        s = shard_path(path, sizeof path, w, i);
        if (s == OK) there[i] = file_exists(path);
    }
    struct model_files files = {.from = w->x->from, .dir = w->dir};
    for (int i = 0; s == OK && i < w->n_shards; i++) {
        s = write_shard(w, i);
        if (s == OK) s = i + 1 < w->n_shards ? safetensors_writer_commit(w->file) : finish(w, &files);
    }
    if (s != OK) remove_shards(w, there);
    free(there);
    return s;
}

/* A file of another name must not be what readers, who prefer one file to an index, find first. */
static enum status check_dir(const struct export *x, const char *dir)
{
    char path[PATH_MAX];
    TRY(file_join(path, sizeof path, dir, "model.safetensors"));
    if (export_size(x).n_files > 1 && file_exists(path))
        return fail(E_ARG, "%s: is there and would be read instead of the shards; remove it or ask for larger shards",
                    path);
    return OK;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static enum status take_memory(struct writing *w)
{
    const struct gptj_config *c = w->x->config;
    const size_t widest = (size_t)larger(c->D, c->F), row = widest * sizeof(float);
    w->round_bytes = row > ROUND_BYTES ? row : ROUND_BYTES;
    w->round = malloc(w->round_bytes);
    w->map = json_object();
    if (!w->round || !w->map) return fail(E_NOMEM, "export: out of memory for %zu bytes", w->round_bytes);
    if (!w->x->adapter) return OK;
    const size_t r = (size_t)w->x->adapter->config.r, threads = (size_t)pool_threads(w->pool);
    w->wide = malloc(w->round_bytes);
    w->a = calloc(r * widest, sizeof *w->a);
    w->b = calloc(r * widest, sizeof *w->b);
    w->room = calloc(threads * widest, sizeof *w->room);
    if (!w->wide || !w->a || !w->b || !w->room) return fail(E_NOMEM, "export: out of memory for the adapter");
    return OK;
}

enum status export_write(const struct export *x, const char *dir, const struct kernels *k, struct pool *pool,
                         progress_bytes_fn *progress, void *user)
{
    struct writing w = {.x = x,
                        .dir = dir,
                        .kernels = k,
                        .pool = pool,
                        .progress = progress,
                        .user = user,
                        .n_shards = export_size(x).n_files};
    enum status s = check_dir(x, dir);
    if (s == OK) s = take_memory(&w);
    if (s == OK) s = write_all(&w);
    free(w.room);
    free(w.b);
    free(w.a);
    free(w.wide);
    free(w.round);
    json_decref(w.map);
    return s;
}
