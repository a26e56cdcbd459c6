// SPDX-License-Identifier: Apache-2.0
#include "model/synth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/rng.h"
#include "formats/safetensors.h"
#include "model/gptj.h"
#include "model/induction.h"

/* 6b is GPT-J; the others have the layers of GPT-3's models of that name, and so somewhat more parameters for their
 * untied head. */
const struct synth_preset synth_presets[] = {
    {"tiny", 512, 256, 64, 2, 4, 8},
    {"125m", 50400, 2048, 768, 12, 12, 32},
    {"350m", 50400, 2048, 1024, 24, 16, 32},
    {"1.3b", 50400, 2048, 2048, 24, 16, 64},
    {"2.7b", 50400, 2048, 2560, 32, 20, 64},
    {"6b", 50400, 2048, 4096, 28, 16, 64},
    {0},
};

enum { END_OF_TEXT = 50256, BLOCK_VALUES = 1 << 17, ROUND_BLOCKS = 16 };

const struct synth_preset *synth_find_preset(const char *name)
{
    for (const struct synth_preset *p = synth_presets; p->name; p++)
        if (!strcmp(p->name, name)) return p;
    return NULL;
}

enum status synth_complete(struct gptj_config *c)
{
    struct gptj_config asked = *c;
    struct checkpoint_config complete;
    json_t *j = NULL;
    if (!asked.F) asked.F = 4 * asked.D;
    asked.eps = 1e-5;
    if (!asked.eos) asked.eos = asked.V > END_OF_TEXT ? END_OF_TEXT : asked.V - 1;
    asked.bos = asked.eos;
    TRY(checkpoint_config_json(&j, &asked, "float16", CONFIG_MASK_NONE));
    const enum status s = checkpoint_config_parse(&complete, j, NULL, "these sizes");
    json_decref(j);
    if (s != OK) {
        char why[400];
        snprintf(why, sizeof why, "%s", status_message());
        return fail(s == E_FORMAT ? E_ARG : s, "%s", why);
    }
    if (gptj_config_parameters(&complete.model) > INT64_MAX / (int64_t)sizeof(float))
        return fail(E_ARG, "these sizes: more than 2^63 bytes");
    *c = complete.model;
    return OK;
}

/* ---- Values ---- */

static uint64_t mix(uint64_t x) /* the finaliser of splitmix64, Steele et al. 2014 */
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* Nearly normal: the sum of the four 16-bit parts of a hash has mean 4 * 65535/2 and variance 4 * 65536^2/12, and no
 * value beyond 3.5 standard deviations. Costs a tenth of Philox, of which 6 billion would take minutes. */
static float value(uint64_t hash, double mean)
{
    static const double centre = 131070, scale = 0.02 / 37837.2270;
    const int sum = (uint16_t)hash + (uint16_t)(hash >> 16) + (uint16_t)(hash >> 32) + (uint16_t)(hash >> 48);
    return (float)(mean + scale * (sum - centre));
}

/* The hashes of a tensor's values: value i's is mix(first + i * HASH_STEP). */
static const uint64_t HASH_STEP = 0x9e3779b97f4a7c15;

static uint64_t first_hash(const struct synth *s, int tensor, int64_t begin)
{
    return rng_u64(s->seed, (uint64_t)tensor, 0) + (uint64_t)begin * HASH_STEP;
}

void synth_put(void *out, enum dtype dtype, int64_t i, float x)
{
    if (dtype == DTYPE_F32)
        ((float *)out)[i] = x;
    else
        ((uint16_t *)out)[i] = dtype == DTYPE_F16 ? f16_from_f32(x) : bf16_from_f32(x);
}

void synth_values(void *out, const struct synth *s, int tensor, double mean, int64_t begin, int64_t n)
{
    const uint64_t base = first_hash(s, tensor, begin);
    for (int64_t i = 0; i < n; i++)
        synth_put(out, s->dtype, i, value(mix(base + (uint64_t)i * HASH_STEP), mean));
}

/* Box and Muller 1958: the radius from one half of the hash, which is never 0 and so gives up to 6.7 standard
 * deviations, the angle from the other. */
static float normal(uint64_t hash)
{
    static const double two_pi = 6.283185307179586, unit = 0x1p-32;
    const double radius = sqrt(-2 * log(((double)(hash >> 32) + 0.5) * unit));
    return (float)(radius * cos(two_pi * unit * (double)(uint32_t)hash));
}

double synth_normal(const struct synth *s, int tensor, int64_t i)
{
    return normal(mix(first_hash(s, tensor, i)));
}

void synth_init_values(void *out, const struct synth *s, int tensor, int64_t begin, int64_t n)
{
    const uint64_t base = first_hash(s, tensor, begin);
    for (int64_t i = 0; i < n; i++)
        synth_put(out, s->dtype, i, (float)s->initializer_range * normal(mix(base + (uint64_t)i * HASH_STEP)));
}

static void fill_constant(void *out, const struct synth *s, double x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        synth_put(out, s->dtype, i, (float)x);
}

/* ---- Writing ---- */

struct writing {
    const struct synth *synth;
    struct safetensors_writer *file;
    struct pool *pool;
    char *block; /* [ROUND_BLOCKS][BLOCK_VALUES] of dtype */
    progress_bytes_fn *progress;
    void *user;
    uint64_t bytes;

    int tensor; /* the one being written: its number, shape, mean and size; begin of the round in it */
    const struct gptj_tensor_spec *spec;
    double mean;
    int64_t n, begin;
};

static int64_t block_values(const struct writing *w, int64_t at)
{
    return w->n - at < BLOCK_VALUES ? w->n - at : BLOCK_VALUES;
}

static void fill_block(void *user, int task, int thread)
{
    (void)thread;
    const struct writing *w = user;
    const int64_t offset = (int64_t)task * BLOCK_VALUES, at = w->begin + offset;
    char *out = w->block + (size_t)offset * dtype_bytes(w->synth->dtype);
    const int64_t n = block_values(w, at);
    if (!w->synth->init)
        synth_values(out, w->synth, w->tensor, w->mean, at, n);
    else if (w->synth->induction_heads && induction_values(out, w->synth, w->spec, w->tensor, at, n))
        return;
    else if (w->spec->n_dims == 2)
        synth_init_values(out, w->synth, w->tensor, at, n);
    else
        fill_constant(out, w->synth, w->mean, n);
}

static enum status declare(void *user, const struct gptj_tensor_spec *spec)
{
    struct writing *w = user;
    const struct tensor like = {
        .dtype = w->synth->dtype, .n_dims = spec->n_dims, .shape = {spec->shape[0], spec->shape[1]}};
    return safetensors_writer_declare(w->file, spec->name, &like);
}

double synth_mean(const char *name)
{
    const size_t n = strlen(name);
    const char *layer = "ln_1.weight", *last = "ln_f.weight";
    return n > strlen(layer) && (!strcmp(name + n - strlen(layer), layer) || !strcmp(name + n - strlen(last), last));
}

static enum status write_tensor(void *user, const struct gptj_tensor_spec *spec)
{
    struct writing *w = user;
    w->spec = spec;
    w->mean = synth_mean(spec->name);
    w->n = spec->shape[0] * (spec->n_dims == 2 ? spec->shape[1] : 1);
    const int64_t most = (int64_t)ROUND_BLOCKS * BLOCK_VALUES;
    for (w->begin = 0; w->begin < w->n; w->begin += most) {
        const int64_t n = w->n - w->begin < most ? w->n - w->begin : most;
        const size_t bytes = (size_t)n * dtype_bytes(w->synth->dtype);
        pool_run(w->pool, (int)((n + BLOCK_VALUES - 1) / BLOCK_VALUES), fill_block, w);
        TRY(safetensors_writer_data(w->file, w->block, bytes));
        w->bytes += bytes;
        if (!w->progress(w->user, w->bytes)) return fail(E_CANCELLED, "cancelled");
    }
    w->tensor++;
    return OK;
}

static const char *torch_dtype(enum dtype d)
{
    return d == DTYPE_F16 ? "float16" : d == DTYPE_BF16 ? "bfloat16" : "float32";
}

static enum status write_config(const struct synth *s, const char *path)
{
    json_t *j = NULL;
    TRY(checkpoint_config_json(&j, &s->config, torch_dtype(s->dtype), s->prompt_mask));
    const enum status st = json_write_file(j, path);
    json_decref(j);
    return st;
}

static enum status write_weights(struct writing *w, const char *path, const char *config_path)
{
    const struct gptj_config *c = &w->synth->config;
    TRY(safetensors_writer_open(&w->file, path));
    enum status s = safetensors_writer_metadata(w->file, "format", "pt"); /* transformers insists on it */
    if (s == OK) s = gptj_each_tensor(c, declare, w);
    if (s == OK) s = gptj_each_tensor(c, write_tensor, w);
    if (s == OK) s = write_config(w->synth, config_path); /* late: nothing of an older model is lost before */
    if (s == OK) return safetensors_writer_commit(w->file);
    safetensors_writer_abort(w->file);
    return s;
}

int64_t synth_bytes(const struct synth *s)
{
    return gptj_config_parameters(&s->config) * (int64_t)dtype_bytes(s->dtype);
}

enum status synth_write(const struct synth *s, const char *dir, struct pool *pool, progress_bytes_fn *progress,
                        void *user)
{
    char config[4096], weights[4096];
    TRY(file_join(config, sizeof config, dir, "config.json"));
    TRY(file_join(weights, sizeof weights, dir, "model.safetensors"));
    struct writing w = {.synth = s, .pool = pool, .progress = progress, .user = user};
    w.block = malloc((size_t)ROUND_BLOCKS * BLOCK_VALUES * dtype_bytes(s->dtype));
    if (!w.block) return fail(E_NOMEM, "synthetic model: out of memory");
    const enum status st = write_weights(&w, weights, config);
    free(w.block);
    return st;
}
