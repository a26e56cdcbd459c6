// SPDX-License-Identifier: Apache-2.0
/* Quantised weights: the layout that docs/FORMATS.md draws, quantised activations by definition, and checkpoints
 * written by gptjt quantize: the same logits as quantising at load, used from the mapping, and refused when something
 * is off. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#include "base/file.h"
#include "base/half.h"
#include "engine/engine.h"
#include "formats/safetensors.h"
#include "kernels/quant.h"
#include "model/quantize.h"
#include "model/verify.h"

static const enum weight_type quant_types[] = {WEIGHT_Q8, WEIGHT_Q4};
static const char *const goldens[] = {"micro-a/bin-fp16-prefix",  "micro-a/safetensors-fp32",
                                      "micro-a/safetensors-bf16", "micro-b/bin-fp16-prefix",
                                      "micro-c/bin-fp16-prefix",  "micro-a/safetensors-fp16-sharded",
                                      "micro-a/bin-fp16-legacy"};

static char dir[sizeof P_tmpdir + 32];

/* What may be in dir. */
static const char *const names[] = {"config.json",    "model.safetensors",     "vocab.json",
                                    "merges.txt",     "added_tokens.json",     "special_tokens_map.json",
                                    "tokenizer.json", "tokenizer_config.json", "generation_config.json"};

static void path_of(char *path, size_t bytes, const char *name)
{
    assert_int_equal(file_join(path, bytes, dir, name), OK);
}

static void drop_files(void)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[256];
        path_of(path, sizeof path, names[i]);
        unlink(path);
    }
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/gptjt-test-XXXXXX", P_tmpdir);
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    drop_files();
    return rmdir(dir);
}

static uint32_t random_bits(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 32);
}

static float random_float(uint64_t *s)
{
    return (float)((int)(random_bits(s) >> 8) - (1 << 23)) * 0x1p-23f;
}

/* ---- Layout ---- */

static void values_and_scales_are_where_the_drawing_has_them(void **state)
{
    (void)state;
    enum { I = 200, BLOCKS = 4 };
    static uint8_t strip[BLOCKS * (1024 + 32)];
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof strip; i++)
        strip[i] = (uint8_t)random_bits(&seed);
    assert_int_equal(quant_strip_bytes(WEIGHT_Q8, I), BLOCKS * (1024 + 32));
    assert_int_equal(quant_strip_bytes(WEIGHT_Q4, I), BLOCKS * (512 + 64));
    for (int o = 0; o < 16; o++) {
        for (int i = 0; i < BLOCKS * 64; i++) {
            const int block = i / 64, in = i % 64;
            const uint8_t q8 = strip[block * 1056 + in / 4 * 64 + o * 4 + in % 4];
            const uint8_t q4 = strip[block * 576 + in % 32 / 4 * 64 + o * 4 + in % 4];
            const uint8_t *scale8 = strip + block * 1056 + 1024 + o * 2;
            const uint8_t *scale4 = strip + block * 576 + 512 + (in / 32 * 16 + o) * 2;
            assert_int_equal(quant_value(strip, WEIGHT_Q8, o, i), q8 - 128);
            assert_int_equal(quant_value(strip, WEIGHT_Q4, o, i), (in < 32 ? q4 & 15 : q4 >> 4) - 8);
            const float s8 = f16_to_f32((f16)(scale8[0] | scale8[1] << 8));
            const float s4 = f16_to_f32((f16)(scale4[0] | scale4[1] << 8));
            const float have8 = quant_scale(strip, WEIGHT_Q8, o, i), have4 = quant_scale(strip, WEIGHT_Q4, o, i);
            assert_memory_equal(&have8, &s8, sizeof s8);
            assert_memory_equal(&have4, &s4, sizeof s4);
        }
    }
}

static void a_row_is_scale_times_value_from_any_input_on(void **state)
{
    (void)state;
    enum { I = 150 };
    float w[16 * I], y[I];
    uint64_t seed = 2;
    for (int i = 0; i < 16 * I; i++)
        w[i] = random_float(&seed);
    for (size_t t = 0; t < COUNT_OF(quant_types); t++) {
        const enum weight_type type = quant_types[t];
        uint8_t *strip = malloc(quant_strip_bytes(type, I));
        assert_non_null(strip);
        quant_strip(strip, type, w, I, 16, I);
        for (int at = 0; at < I; at += 7) {
            const int n = I - at < 100 ? I - at : 100;
            quant_row(y, strip, type, 5, at, n);
            for (int i = 0; i < n; i++)
                assert_true(y[i] == quant_scale(strip, type, 5, at + i) * (float)quant_value(strip, type, 5, at + i));
        }
        free(strip);
    }
}

/* What a scale can express comes back as it is: values of every size, both ends among them. */
static void numbers_that_fit_survive(void **state)
{
    (void)state;
    enum { I = 128 };
    float w[16 * I], y[I];
    for (size_t t = 0; t < COUNT_OF(quant_types); t++) {
        const enum weight_type type = quant_types[t];
        const int most = type == WEIGHT_Q8 ? 127 : 8, group = quant_group(type);
        uint8_t *strip = malloc(quant_strip_bytes(type, I));
        assert_non_null(strip);
        uint64_t seed = 3;
        for (int i = 0; i < 16 * I; i++) {
            const float scale = (i / group % 2 ? -1.0f : 1.0f) * ldexpf(1, i / group % 9 - 6);
            const int high = type == WEIGHT_Q8 ? 127 : 7,
                      v = (int)(random_bits(&seed) % (unsigned)(most + high + 1)) - most;
            w[i] = scale * (float)(i % group == 3 ? -most : v);
        }
        quant_strip(strip, type, w, I, 16, I);
        for (int o = 0; o < 16; o++) {
            quant_row(y, strip, type, o, 0, I);
            for (int i = 0; i < I; i++)
                if (y[i] != w[o * I + i])
                    fail_msg("type %d: %g came back as %g", (int)type, (double)w[o * I + i], (double)y[i]);
        }
        free(strip);
    }
}

static void what_is_missing_is_zero(void **state)
{
    (void)state;
    enum { I = 70, O = 3 };
    float w[O * I];
    uint64_t seed = 4;
    for (int i = 0; i < O * I; i++)
        w[i] = random_float(&seed);
    for (size_t t = 0; t < COUNT_OF(quant_types); t++) {
        const enum weight_type type = quant_types[t];
        uint8_t *strip = malloc(quant_strip_bytes(type, I));
        assert_non_null(strip);
        memset(strip, 0x5a, quant_strip_bytes(type, I));
        quant_strip(strip, type, w, I, O, I);
        for (int o = 0; o < 16; o++)
            for (int i = 0; i < 128; i++)
                if (o >= O || i >= I) assert_int_equal(quant_value(strip, type, o, i), 0);
        for (int i = 0; i < 128; i += quant_group(type))
            assert_true(quant_scale(strip, type, O, i) == 0);
        free(strip);
    }
}

/* ---- Activations ---- */

static void activations_are_quantised_by_definition(void **state)
{
    (void)state;
    enum { MOST_I = 64 * 6 + 9, MOST = 64 * 7 };
    static const int some_I[] = {1, 64, 65, 128, 129, 64 * 5 + 9, MOST_I};
    static const float special[] = {0,       -0.0f,    FLT_MIN / 8, 0x1p-101f, 0x1p-99f,
                                    FLT_MAX, -FLT_MAX, INFINITY,    -INFINITY, NAN};
    float x[MOST_I], scale[MOST / 64];
    int8_t value[MOST];
    uint64_t seed = 5;
    for (int round = 0; round < 1400; round++) {
        const enum weight_type type = quant_types[round % (int)COUNT_OF(quant_types)];
        const int I = some_I[round % (int)COUNT_OF(some_I)], padded = (int)quant_blocks(I) * QUANT_BLOCK;
        const int group = quant_x_group(type);
        for (int i = 0; i < I; i++)
            x[i] = ldexpf(random_float(&seed), i / 64 * 17 - 120);
        x[random_bits(&seed) % (unsigned)I] = special[random_bits(&seed) % COUNT_OF(special)];
        quant_activations(value, scale, type, x, I);
        for (int at = 0; at < padded; at += group) {
            const float unit = scale[at / group];
            float max = 0;
            bool finite = true;
            for (int i = at; i < at + group && i < I; i++) {
                finite &= isfinite(x[i]);
                max = fmaxf(max, fabsf(x[i]));
            }
            const bool zero = !finite || max <= QUANT_TINY;
            for (int i = at; i < at + group && i < padded; i++)
                assert_int_equal(value[i], zero || i >= I ? 0 : (int)rintf(x[i] * (127 / max)));
            assert_int_equal(isfinite(unit), finite);
            if (finite) assert_true(unit == (max <= QUANT_TINY ? 0 : max / 127));
        }
    }
}

/* ---- Checkpoints ---- */

static bool go_on(void *user, uint64_t bytes)
{
    int *calls = user;
    (void)bytes;
    return !calls || --*calls > 0;
}

static struct gptjt_engine *read_checkpoint(const char *from)
{
    struct gptjt_engine *e = calloc(1, sizeof *e);
    assert_non_null(e);
    if (engine_read_checkpoint(e, from, GPTJT_MASK_AUTO) != OK) fail_msg("%s", status_message());
    return e;
}

static enum status write_quantised(const char *from, enum weight_type type, bool keep_head, int threads, int *calls)
{
    struct gptjt_engine *e = read_checkpoint(from);
    struct kernels k;
    struct pool *pool = NULL;
    kernels_init(&k, kernels_best_level());
    assert_int_equal(pool_create(&pool, threads), OK);
    const struct quantize q = {.config = &e->config.model,
                               .src = e->source,
                               .from = from,
                               .prompt_mask = CONFIG_MASK_PREFIX,
                               .type = type,
                               .keep_head = keep_head};
    const enum status s = quantize_write(&q, dir, &k, pool, go_on, calls);
    pool_free(pool);
    gptjt_engine_close(e);
    return s;
}

static bool keep_logits(void *user, size_t position, const float *logits)
{
    struct buf *all = user;
    (void)position;
    buf_append(all, (const char *)logits, 300 * sizeof *logits); /* every micro model has more tokens */
    return true;
}

static void compute(struct buf *out, const char *from, enum gptjt_weights weights, enum gptjt_compute compute,
                    const char *cpu)
{
    struct gptjt_engine_options o;
    struct gptjt_engine *e;
    struct gptjt_session *s;
    int32_t ids[24];
    for (int i = 0; i < 24; i++)
        ids[i] = i * 37 % 300;
    gptjt_engine_options_init(&o);
    o.weights = weights;
    o.compute = compute;
    o.cpu = cpu;
    o.threads = 2;
    if (gptjt_engine_open(&e, from, &o) != GPTJT_OK) fail_msg("%s", gptjt_error());
    assert_int_equal(gptjt_session_create(&s, e, 0), GPTJT_OK);
    assert_int_equal(gptjt_logits(s, (struct gptjt_span){ids, COUNT_OF(ids)}, 5, keep_logits, out), GPTJT_OK);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

static void a_quantised_checkpoint_computes_as_quantising_at_load_does(void **state)
{
    (void)state;
    static const enum gptjt_weights weights[] = {GPTJT_WEIGHTS_Q8, GPTJT_WEIGHTS_Q4};
    for (size_t g = 0; g < COUNT_OF(goldens); g++) {
        char from[128];
        snprintf(from, sizeof from, "tests/data/goldens/%s", goldens[g]);
        for (size_t t = 0; t < COUNT_OF(quant_types); t++) {
            if (write_quantised(from, quant_types[t], false, 2, NULL) != OK) fail_msg("%s", status_message());
            for (enum cpu_level level = 0; level <= kernels_best_level(); level++) {
                for (int c = GPTJT_COMPUTE_FP32; c <= GPTJT_COMPUTE_INT8; c++) {
                    struct buf stored = {0}, converted = {0};
                    compute(&stored, dir, GPTJT_WEIGHTS_AUTO, (enum gptjt_compute)c, kernels_level_name(level));
                    compute(&converted, from, weights[t], (enum gptjt_compute)c, kernels_level_name(level));
                    assert_int_equal(stored.len, converted.len);
                    assert_memory_equal(stored.data, converted.data, stored.len);
                    buf_free(&stored);
                    buf_free(&converted);
                }
            }
        }
    }
}

struct walk {
    const struct gptjt_engine *e;
    const struct gptjt_engine *original; /* may be NULL */
    enum weight_type type;
    int matrices;
};

/* Borrowed from the mapping, at an address that a cache line or (odd sizes) half of one divides; and as a conversion to
 * fp32, scale times value. */
static enum status look_at_tensor(void *user, const struct gptj_tensor_spec *spec)
{
    struct walk *w = user;
    struct weight host;
    assert_true(gptj_stored_weight(&host, w->e->source, spec));
    assert_int_equal(host.type, spec->n_dims == 1 ? WEIGHT_F32 : gptj_is_head(spec) ? WEIGHT_Q8 : w->type);
    assert_int_equal(ops_cpu_weight_bytes(&host, host.type), 0);
    if (spec->n_dims == 1) return OK;
    assert_int_equal((uintptr_t)host.data % 32, 0);
    w->matrices++;
    struct kernels k;
    struct pool *pool = NULL;
    kernels_init(&k, CPU_REF);
    assert_int_equal(pool_create(&pool, 2), OK);
    float *wide = malloc(weight_bytes(WEIGHT_F32, host.O, host.I));
    assert_non_null(wide);
    assert_int_equal(ops_cpu_weight_convert(&k, pool, wide, &host, WEIGHT_F32), OK);
    for (int o = 0; o < host.O; o++) {
        const char *strip = (const char *)host.data + (size_t)(o / 16) * quant_strip_bytes(host.type, host.I);
        for (int i = 0; i < host.I; i++)
            assert_true(wide[o * host.I + i] ==
                        quant_scale(strip, host.type, o % 16, i) * (float)quant_value(strip, host.type, o % 16, i));
    }
    free(wide);
    pool_free(pool);
    return OK;
}

static void quantised_matrices_are_borrowed_and_widen_by_definition(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(quant_types); t++) {
        assert_int_equal(write_quantised("tests/data/goldens/micro-b/bin-fp16-prefix", quant_types[t], false, 1, NULL),
                         OK);
        struct walk w = {.e = read_checkpoint(dir), .type = quant_types[t]};
        const struct gptj_config *c = &w.e->config.model;
        gptj_each_tensor(c, look_at_tensor, &w);
        assert_int_equal(w.matrices, 6 * c->L + 2);
        assert_int_equal(gptj_quantised_type(c, w.e->source), quant_types[t]);
        assert_int_equal(gptj_held_type(c, w.e->source, WEIGHT_AS_STORED), quant_types[t]);
        const int64_t rotary = gptj_memory(c, w.e->source, WEIGHT_AS_STORED).heap;
        assert_int_equal(rotary, 2 * (int64_t)sizeof(float) * c->P * (c->R / 2));
        gptjt_engine_close((struct gptjt_engine *)(uintptr_t)w.e);
    }
}

static void threads_do_not_matter_and_the_mask_is_written(void **state)
{
    (void)state;
    struct buf one = {0}, three = {0};
    char path[256];
    path_of(path, sizeof path, "model.safetensors");
    assert_int_equal(write_quantised("models/gpt-jt-tiny", WEIGHT_Q4, false, 1, NULL), OK);
    assert_int_equal(file_read(&one, path, 1 << 26), OK);
    assert_int_equal(write_quantised("models/gpt-jt-tiny", WEIGHT_Q4, false, 3, NULL), OK);
    assert_int_equal(file_read(&three, path, 1 << 26), OK);
    assert_int_equal(one.len, three.len);
    assert_memory_equal(one.data, three.data, one.len);
    buf_free(&one);
    buf_free(&three);
    struct gptjt_engine *e = read_checkpoint(dir);
    assert_int_equal(e->config.prompt_mask, CONFIG_MASK_PREFIX);
    assert_int_equal(e->mask.mask, GPTJT_MASK_PREFIX);
    assert_int_equal(e->config.generation.do_sample, true); /* from task_specific_params, which is kept */
    path_of(path, sizeof path, "vocab.json");
    assert_true(file_exists(path));
    gptjt_engine_close(e);
}

static void the_head_can_be_kept(void **state)
{
    (void)state;
    assert_int_equal(write_quantised("tests/data/goldens/micro-a/bin-fp16-prefix", WEIGHT_Q4, true, 2, NULL), OK);
    struct gptjt_engine *e = read_checkpoint(dir);
    assert_int_equal(source_find(e->source, "transformer.wte.weight")->dtype, DTYPE_F16);
    assert_int_equal(source_find(e->source, "lm_head.weight")->dtype, DTYPE_F16);
    assert_int_equal(source_find(e->source, "transformer.h.0.attn.q_proj.weight")->dtype, DTYPE_U8);
    assert_int_equal(source_find(e->source, "transformer.h.0.ln_1.weight")->dtype, DTYPE_F32);
    gptjt_engine_close(e);
    struct buf logits = {0};
    compute(&logits, dir, GPTJT_WEIGHTS_AUTO, GPTJT_COMPUTE_AUTO, NULL);
    buf_free(&logits);
}

/* Floats stay what they were where the type is wide enough. */
static void float_types_keep_every_value(void **state)
{
    (void)state;
    static const char from[] = "tests/data/goldens/micro-a/bin-fp16-prefix";
    static const enum weight_type types[] = {WEIGHT_F16, WEIGHT_F32};
    struct gptjt_engine *original = read_checkpoint(from);
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        assert_int_equal(write_quantised(from, types[t], false, 2, NULL), OK);
        struct gptjt_engine *e = read_checkpoint(dir);
        assert_int_equal(e->source->n_entries, original->source->n_entries - 2 * e->config.model.L); /* no buffers */
        for (int i = 0; i < e->source->n_entries; i++) {
            const struct tensor *have = &e->source->entries[i].tensor;
            const struct tensor *want = source_find(original->source, e->source->entries[i].name);
            assert_int_equal(have->dtype, have->n_dims == 1 || types[t] == WEIGHT_F32 ? DTYPE_F32 : DTYPE_F16);
            for (int64_t k = 0; k < tensor_elements(want); k++)
                assert_true(tensor_value(have, k) == tensor_value(want, k));
        }
        assert_string_equal(e->config.torch_dtype, types[t] == WEIGHT_F16 ? "float16" : "float32");
        gptjt_engine_close(e);
    }
    gptjt_engine_close(original);
}

/* ---- Weights that cannot be written ---- */

/* A copy of a golden model in fp32 with one value of a matrix changed, in dir. */
static void write_with(float value, int64_t at)
{
    char path[256];
    struct buf file = {0};
    struct file_writer w;
    assert_int_equal(write_quantised("tests/data/goldens/micro-a/safetensors-fp32", WEIGHT_F32, false, 1, NULL), OK);
    struct gptjt_engine *e = read_checkpoint(dir);
    const struct tensor *t = source_find(e->source, "transformer.h.1.mlp.fc_in.weight"),
                        *first = &e->source->entries[0].tensor;
    assert_non_null(t);
    path_of(path, sizeof path, "model.safetensors");
    assert_int_equal(file_read(&file, path, 1 << 26), OK);
    const char *lowest = first->data;
    for (int i = 0; i < e->source->n_entries; i++)
        if ((const char *)e->source->entries[i].tensor.data < lowest) lowest = e->source->entries[i].tensor.data;
    uint64_t header;
    memcpy(&header, file.data, sizeof header);
    memcpy(file.data + 8 + header + ((const char *)t->data - lowest) + at * 4, &value, sizeof value);
    gptjt_engine_close(e);
    assert_int_equal(file_writer_open(&w, path), OK);
    assert_int_equal(file_writer_write(&w, file.data, file.len), OK);
    assert_int_equal(file_writer_commit(&w), OK);
    buf_free(&file);
}

static void a_weight_that_is_no_number_is_named(void **state)
{
    (void)state;
    static const struct {
        float value;
        enum weight_type type;
        const char *message;
    } cases[] = {
        {NAN, WEIGHT_Q8, "row 2, column 5 is NaN or infinity"},
        {-INFINITY, WEIGHT_Q4, "row 2, column 5 is NaN or infinity"},
        {NAN, WEIGHT_BF16, "row 2, column 5 is NaN or infinity"},
        {1e30f, WEIGHT_Q8, "values from row 2, column 0 on are too large for q8"},
        {-1e30f, WEIGHT_Q4, "values from row 2, column 0 on are too large for q4"},
        {1e30f, WEIGHT_F16, "values from row 2, column 5 on are too large for fp16"},
        {FLT_MAX, WEIGHT_BF16, "values from row 2, column 5 on are too large for bf16"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char from[sizeof dir + 16], back[sizeof dir];
        write_with(cases[i].value, 2 * 80 + 5);
        snprintf(from, sizeof from, "%s", dir);
        memcpy(back, dir, sizeof dir);
        assert_int_equal(strlen(dir), strlen(from));
        /* onto itself: the mapping of the old file stays, and a failure leaves the old file */
        const enum status s = write_quantised(from, cases[i].type, false, 2, NULL);
        assert_int_equal(s, E_NUMERIC);
        if (!strstr(status_message(), cases[i].message) ||
            !strstr(status_message(), "transformer.h.1.mlp.fc_in.weight: "))
            fail_msg("%s", status_message());
        struct gptjt_engine *e = read_checkpoint(dir);
        assert_int_equal(gptj_quantised_type(&e->config.model, e->source), WEIGHT_TYPES);
        gptjt_engine_close(e);
    }
}

static void after_a_cancellation_nothing_is_there(void **state)
{
    (void)state;
    drop_files();
    int calls = 7;
    assert_int_equal(write_quantised("models/gpt-jt-tiny", WEIGHT_Q8, false, 2, &calls), E_CANCELLED);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[256];
        path_of(path, sizeof path, names[i]);
        assert_false(file_exists(path));
    }
}

/* ---- Files with something off ---- */

struct edit {
    const char *type, *layout; /* NULL: not in the metadata */
    const char *head;
    const char *reshape; /* this tensor's shape is ... */
    int64_t shape[2];    /* ... this */
    const char *retype;  /* this one is U8 */
    const char *plain;   /* this one is F16 as in a model that is not quantised */
};

static const struct gptj_config small = {
    .V = 20, .P = 6, .D = 80, .L = 1, .H = 2, .K = 40, .R = 2, .F = 12, .eps = 1e-5, .bos = -1, .eos = -1};

struct building {
    struct safetensors_writer *file;
    const struct edit *edit;
    int64_t bytes;
};

static enum status declare(void *user, const struct gptj_tensor_spec *spec)
{
    struct building *b = user;
    const struct edit *e = b->edit;
    const bool plain = spec->n_dims == 1 || (e->plain && !strcmp(e->plain, spec->name));
    struct tensor t = {.dtype = plain ? DTYPE_F16 : DTYPE_U8, .n_dims = spec->n_dims};
    gptj_stored_shape(t.shape, spec, plain ? WEIGHT_F16 : WEIGHT_Q8);
    if (e->reshape && !strcmp(e->reshape, spec->name)) memcpy(t.shape, e->shape, sizeof e->shape);
    if (e->retype && !strcmp(e->retype, spec->name)) t.dtype = DTYPE_U8;
    assert_int_equal(safetensors_writer_declare(b->file, spec->name, &t), OK);
    b->bytes += tensor_bytes(&t);
    return OK;
}

static struct source *open_edited(const struct edit *e)
{
    char path[256];
    struct building b = {.edit = e};
    struct source *src = NULL;
    path_of(path, sizeof path, "model.safetensors");
    assert_int_equal(safetensors_writer_open(&b.file, path), OK);
    if (e->type) assert_int_equal(safetensors_writer_metadata(b.file, GPTJ_NOTE_TYPE, e->type), OK);
    if (e->head) assert_int_equal(safetensors_writer_metadata(b.file, GPTJ_NOTE_HEAD, e->head), OK);
    if (e->layout) assert_int_equal(safetensors_writer_metadata(b.file, GPTJ_NOTE_LAYOUT, e->layout), OK);
    assert_int_equal(gptj_each_tensor(&small, declare, &b), OK);
    char *zeros = calloc(1, (size_t)b.bytes);
    assert_non_null(zeros);
    assert_int_equal(safetensors_writer_data(b.file, zeros, (size_t)b.bytes), OK);
    free(zeros);
    assert_int_equal(safetensors_writer_commit(b.file), OK);
    assert_int_equal(safetensors_open(&src, path), OK);
    return src;
}

static void a_quantised_file_that_is_off_is_refused(void **state)
{
    (void)state;
    static const char fc_in[] = "transformer.h.0.mlp.fc_in.weight";
    static const struct {
        struct edit edit;
        enum status status;
        const char *message;
    } cases[] = {
        {{"q8", GPTJ_LAYOUT}, OK, NULL},
        {{"q8", GPTJ_LAYOUT, .plain = "lm_head.weight"}, OK, NULL},
        {{"q8", GPTJ_LAYOUT, .head = "q8"}, OK, NULL},
        {{"q4", GPTJ_LAYOUT, .head = "q8"},
         E_FORMAT,
         "config.json: transformer.h.0.attn.k_proj.weight is [5, 2112], config.json says [5, 1152] in that "
         "quantization"},
        {{"q8", GPTJ_LAYOUT, .head = "q2"},
         E_UNSUPPORTED,
         "\"quantization_head\" in the file's metadata is \"q2\", this"},
        {{"q8", NULL, .head = "q8"}, E_FORMAT, "metadata has no \"quantization_layout\""},
        {{NULL, GPTJ_LAYOUT},
         E_FORMAT,
         "transformer.wte.weight is U8, and the file's metadata has no \"quantization\" to say"},
        {{"q8", NULL},
         E_FORMAT,
         "transformer.wte.weight is U8, and the file's metadata has no \"quantization_layout\""},
        {{"q5", GPTJ_LAYOUT},
         E_UNSUPPORTED,
         "\"quantization\" in the file's metadata is \"q5\", this program has q8 and q4"},
        {{"fp16", GPTJ_LAYOUT}, E_UNSUPPORTED, "\"quantization\" in the file's metadata is \"fp16\""},
        {{"q8", "gptjt-1"},
         E_UNSUPPORTED,
         "metadata is \"gptjt-1\", this program has gptjt-2: quantize the model again"},
        {{"q4", GPTJ_LAYOUT},
         E_FORMAT,
         "transformer.wte.weight is [2, 2112], config.json says [2, 1152] in that quantization"},
        {{"q8", GPTJ_LAYOUT, .reshape = fc_in, .shape = {1, 2111}},
         E_FORMAT,
         "mlp.fc_in.weight is [1, 2111], config.json says [1, 2112] in that quantization"},
        {{"q8", GPTJ_LAYOUT, .reshape = fc_in, .shape = {2, 2112}}, E_FORMAT, "mlp.fc_in.weight is [2, 2112]"},
        {{"q8", GPTJ_LAYOUT, .reshape = fc_in, .shape = {0, 2112}}, E_FORMAT, "mlp.fc_in.weight is [0, 2112]"},
        {{"q8", GPTJ_LAYOUT, .retype = "lm_head.bias"}, E_FORMAT, "lm_head.bias is U8, not F32, F16 or BF16"},
        {{"q8", GPTJ_LAYOUT, .retype = fc_in, .plain = fc_in},
         E_FORMAT,
         "fc_in.weight is [12, 80], config.json says [1, 2112]"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct source *src = open_edited(&cases[i].edit);
        assert_int_equal(gptj_check(&small, src), cases[i].status);
        if (cases[i].message && !strstr(status_message(), cases[i].message))
            fail_msg("case %zu: %s", i, status_message());
        source_close(src);
    }
}

static void scales_that_are_no_numbers_are_found(void **state)
{
    (void)state;
    enum { O = 19, I = 70 };
    struct pool *pool = NULL;
    assert_int_equal(pool_create(&pool, 2), OK);
    for (size_t t = 0; t < COUNT_OF(quant_types); t++) {
        const enum weight_type type = quant_types[t];
        const int group = quant_group(type), last = (I - 1) / group;
        char *data = calloc(1, weight_bytes(type, O, I));
        assert_non_null(data);
        const struct weight w = {.data = data, .type = type, .O = O, .I = I};
        assert_int_equal(verify_weight(&w, pool, NULL).n_bad, 0);
        const size_t scales = quant_values_bytes(type), last_block = (quant_blocks(I) - 1) * quant_block_bytes(type);
        const size_t of_last = last_block + scales + (size_t)(last % (QUANT_BLOCK / group) * 16) * 2;
        const f16 infinity = 0x7c00, nan = 0xfe01;
        memcpy(data + quant_strip_bytes(type, I) + of_last + 2 * 2, &infinity, 2); /* row 18 */
        memcpy(data + quant_strip_bytes(type, I) + of_last + 3 * 2, &nan, 2);      /* row 19: padding */
        struct verify_result r = verify_weight(&w, pool, NULL);
        assert_int_equal(r.n_bad, I - last * group);
        assert_int_equal(r.first, 18 * I + last * group);
        memcpy(data + scales + 5 * 2, &nan, 2); /* row 5, first group */
        r = verify_weight(&w, pool, NULL);
        assert_int_equal(r.n_bad, group + I - last * group);
        assert_int_equal(r.first, 5 * I);
        free(data);
    }
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_scales_are_where_the_drawing_has_them),
        cmocka_unit_test(a_row_is_scale_times_value_from_any_input_on),
        cmocka_unit_test(numbers_that_fit_survive),
        cmocka_unit_test(what_is_missing_is_zero),
        cmocka_unit_test(activations_are_quantised_by_definition),
        cmocka_unit_test(a_quantised_checkpoint_computes_as_quantising_at_load_does),
        cmocka_unit_test(quantised_matrices_are_borrowed_and_widen_by_definition),
        cmocka_unit_test(threads_do_not_matter_and_the_mask_is_written),
        cmocka_unit_test(the_head_can_be_kept),
        cmocka_unit_test(float_types_keep_every_value),
        cmocka_unit_test(a_weight_that_is_no_number_is_named),
        cmocka_unit_test(after_a_cancellation_nothing_is_there),
        cmocka_unit_test(a_quantised_file_that_is_off_is_refused),
        cmocka_unit_test(scales_that_are_no_numbers_are_found),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
