// SPDX-License-Identifier: Apache-2.0
/* Weights are converted some megabytes at a time, all threads on the same ones, and written in this order: quantised
 * matrices first, so that they begin where the file's data is aligned and their sizes keep it so, then the rest. */
#include "model/quantize.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "kernels/quant.h"
#include "model/gptj.h"
#include "model/model_files.h"
#include "model/verify.h"

enum { ROUND_BYTES = 8 << 20 };

struct writing {
    const struct quantize *q;
    const struct kernels *kernels;
    struct pool *pool;
    struct safetensors_writer *file;
    void *round; /* [round_bytes] */
    size_t round_bytes;
    progress_bytes_fn *progress;
    void *user;
    uint64_t bytes;
    bool quantised; /* which tensors this pass is about */
};

/* ---- What becomes of a tensor ---- */

static enum weight_type type_of(const struct quantize *q, const struct gptj_tensor_spec *spec)
{
    struct weight w;
    if (spec->n_dims == 1) return WEIGHT_F32;
    const bool kept = (weight_quantised(q->type) && !gptj_can_quantise(spec)) || (q->keep_head && gptj_is_head(spec));
    return kept && gptj_stored_weight(&w, q->src, spec) ? w.type : gptj_type_for(spec, q->type);
}

static size_t bytes_of(enum weight_type t, const struct gptj_tensor_spec *spec, int64_t rows)
{
    return weight_bytes(t, (int)rows, spec->n_dims == 2 ? (int)spec->shape[1] : 1);
}

/* Rows of a round: whole strips, which vectors and floats do not mind. */
static int64_t round_rows(enum weight_type t, const struct gptj_tensor_spec *spec)
{
    const int64_t strips = (int64_t)(ROUND_BYTES / bytes_of(t, spec, QUANT_STRIP)), rows = strips * QUANT_STRIP;
    return rows < QUANT_STRIP ? QUANT_STRIP : rows < spec->shape[0] ? rows : spec->shape[0];
}

struct sizing {
    const struct quantize *q;
    int64_t bytes;
    size_t round_bytes;
};

static enum status add_size(void *user, const struct gptj_tensor_spec *spec)
{
    struct sizing *s = user;
    const enum weight_type t = type_of(s->q, spec);
    const size_t round = bytes_of(t, spec, round_rows(t, spec));
    s->bytes += (int64_t)bytes_of(t, spec, spec->shape[0]);
    if (round > s->round_bytes) s->round_bytes = round;
    return OK;
}

static struct sizing sizes(const struct quantize *q)
{
    struct sizing s = {.q = q};
    gptj_each_tensor(q->config, add_size, &s);
    return s;
}

int64_t quantize_bytes(const struct quantize *q)
{
    return sizes(q).bytes;
}

/* ---- Weights ---- */

static enum status declare(void *user, const struct gptj_tensor_spec *spec)
{
    static const enum dtype dtypes[WEIGHT_TYPES] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_U8, DTYPE_U8};
    struct writing *w = user;
    const enum weight_type t = type_of(w->q, spec);
    if (weight_quantised(t) != w->quantised) return OK;
    struct tensor like = {.dtype = dtypes[t], .n_dims = spec->n_dims};
    gptj_stored_shape(like.shape, spec, t);
    return safetensors_writer_declare(w->file, spec->name, &like);
}

static enum status write_tensor(void *user, const struct gptj_tensor_spec *spec)
{
    struct writing *w = user;
    struct weight whole;
    const enum weight_type t = type_of(w->q, spec);
    if (weight_quantised(t) != w->quantised) return OK;
    if (!gptj_stored_weight(&whole, w->q->src, spec)) return fail(E_FORMAT, "%s is missing", spec->name);
    const int64_t most = round_rows(t, spec);
    for (int64_t row = 0; row < whole.O; row += most) {
        const int rows = whole.O - row < most ? (int)(whole.O - row) : (int)most;
        const struct weight from = {
            .data = (const char *)whole.data + weight_bytes(whole.type, (int)row, whole.I), whole.type, rows, whole.I};
        const struct weight to = {.data = w->round, t, rows, whole.I};
        TRY(ops_cpu_weight_convert(w->kernels, w->pool, w->round, &from, t));
        TRY(verify_conversion(spec->name, &from, &to, row, w->pool));
        TRY(safetensors_writer_data(w->file, w->round, weight_bytes(t, rows, whole.I)));
        w->bytes += weight_bytes(t, rows, whole.I);
        if (!w->progress(w->user, w->bytes)) return fail(E_CANCELLED, "cancelled");
    }
    return OK;
}

static enum status both_passes(struct writing *w, gptj_tensor_fn *each)
{
    w->quantised = true;
    TRY(gptj_each_tensor(w->q->config, each, w));
    w->quantised = false;
    return gptj_each_tensor(w->q->config, each, w);
}

static enum status write_notes(struct writing *w)
{
    if (!weight_quantised(w->q->type))
        return safetensors_writer_metadata(w->file, "format", "pt"); /* transformers insists on it */
    TRY(safetensors_writer_metadata(w->file, "format", "gptjt"));
    const struct gptj_tensor_spec head = {.name = "lm_head.weight", .n_dims = 2};
    const enum weight_type type = w->q->type, head_type = gptj_type_for(&head, type);
    TRY(safetensors_writer_metadata(w->file, GPTJ_NOTE_TYPE, weight_type_name(type)));
    if (head_type != type) TRY(safetensors_writer_metadata(w->file, GPTJ_NOTE_HEAD, weight_type_name(head_type)));
    return safetensors_writer_metadata(w->file, GPTJ_NOTE_LAYOUT, GPTJ_LAYOUT);
}

/* ---- The other files ---- */

/* transformers names an unknown quant_method in its error. */
static enum status write_small_files(const struct quantize *q, const struct model_files *files)
{
    static const char *const torch[WEIGHT_TYPES] = {"float32", "float16", "bfloat16"};
    json_t *config = NULL;
    TRY(model_files_config(&config, files, q->prompt_mask, torch[q->type]));
    enum status s = OK;
    if (!torch[q->type] &&
        json_object_set_new(config, "quantization_config",
                            json_pack("{s:s, s:s}", "quant_method", "gptjt", "type", weight_type_name(q->type))))
        s = fail(E_NOMEM, "config.json: out of memory");
    if (s == OK) s = model_files_write(files, config);
    json_decref(config);
    return s;
}

/* ---- All of it ---- */

static enum status write_all(struct writing *w, const char *dir)
{
    char path[4096];
    TRY(file_join(path, sizeof path, dir, "model.safetensors"));
    TRY(safetensors_writer_open(&w->file, path));
    enum status s = write_notes(w);
    if (s == OK) s = both_passes(w, declare);
    if (s == OK) s = both_passes(w, write_tensor);
    if (s != OK) {
        safetensors_writer_abort(w->file);
        return s;
    }
    struct model_files files = {.from = w->q->from, .dir = dir};
    model_files_begin(&files);
    s = write_small_files(w->q, &files); /* late: nothing of an older model is lost before */
    if (s == OK)
        s = safetensors_writer_commit(w->file);
    else
        safetensors_writer_abort(w->file);
    if (s != OK) model_files_undo(&files);
    return s;
}

enum status quantize_write(const struct quantize *q, const char *dir, const struct kernels *k, struct pool *pool,
                           progress_bytes_fn *progress, void *user)
{
    struct writing w = {.q = q, .kernels = k, .pool = pool, .progress = progress, .user = user};
    w.round_bytes = sizes(q).round_bytes;
    w.round = malloc(w.round_bytes);
    if (!w.round) return fail(E_NOMEM, "quantize: out of memory for %zu bytes", w.round_bytes);
    const enum status s = write_all(&w, dir);
    free(w.round);
    return s;
}
