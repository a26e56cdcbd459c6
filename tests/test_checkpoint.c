// SPDX-License-Identifier: Apache-2.0
/* Weights against config.json, the mask a checkpoint records and the one it is run with, what a model takes in memory,
 * and synthetic and broken weights. */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "test.h"

#include "base/file.h"
#include "base/half.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "formats/safetensors.h"
#include "model/synth.h"
#include "model/verify.h"

static const struct gptj_config small = {
    .V = 10, .P = 6, .D = 8, .L = 2, .H = 2, .K = 4, .R = 2, .F = 12, .eps = 1e-5, .bos = -1, .eos = -1};

static char dir[sizeof P_tmpdir + 32], weights_path[sizeof dir + 32];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/gptjt-test-XXXXXX", P_tmpdir);
    if (!mkdtemp(dir)) return -1;
    snprintf(weights_path, sizeof weights_path, "%s/model.safetensors", dir);
    return 0;
}

static void drop_files(void)
{
    char path[sizeof dir + 32];
    unlink(weights_path);
    snprintf(path, sizeof path, "%s/config.json", dir);
    unlink(path);
}

static int drop_dir(void **state)
{
    (void)state;
    drop_files();
    return rmdir(dir);
}

/* ---- Files with one thing wrong ---- */

struct edit {
    const char *drop;    /* this tensor is not there                               */
    const char *reshape; /* this one is shape instead                              */
    int n_dims;
    int64_t shape[3];
    const char *retype; /* this one is dtype instead                               */
    enum dtype dtype;
    const char *extra;    /* and there is a one-byte tensor of this name              */
    const char *drop_all; /* and none with this in their names is there            */
};

struct building {
    struct safetensors_writer *file;
    const struct edit *edit;
    int64_t bytes;
};

static void declare(struct building *b, const char *name, const struct tensor *like)
{
    assert_int_equal(safetensors_writer_declare(b->file, name, like), OK);
    b->bytes += tensor_bytes(like);
}

static enum status declare_edited(void *user, const struct gptj_tensor_spec *spec)
{
    struct building *b = user;
    const struct edit *e = b->edit;
    struct tensor t = {.dtype = DTYPE_F16, .n_dims = spec->n_dims, .shape = {spec->shape[0], spec->shape[1]}};
    if (e->drop && !strcmp(e->drop, spec->name)) return OK;
    if (e->drop_all && strstr(spec->name, e->drop_all)) return OK;
    if (e->reshape && !strcmp(e->reshape, spec->name)) {
        t.n_dims = e->n_dims;
        memcpy(t.shape, e->shape, sizeof e->shape);
    }
    if (e->retype && !strcmp(e->retype, spec->name)) t.dtype = e->dtype;
    declare(b, spec->name, &t);
    return OK;
}

static struct source *open_edited(const struct gptj_config *c, const struct edit *e)
{
    struct building b = {.edit = e};
    struct source *src = NULL;
    assert_int_equal(safetensors_writer_open(&b.file, weights_path), OK);
    assert_int_equal(gptj_each_tensor(c, declare_edited, &b), OK);
    if (e->extra) declare(&b, e->extra, &(struct tensor){.dtype = DTYPE_U8, .n_dims = 1, .shape = {1}});
    char *zeros = calloc(1, (size_t)b.bytes);
    assert_non_null(zeros);
    assert_int_equal(safetensors_writer_data(b.file, zeros, (size_t)b.bytes), OK);
    free(zeros);
    assert_int_equal(safetensors_writer_commit(b.file), OK);
    assert_int_equal(safetensors_open(&src, weights_path), OK);
    return src;
}

static const struct {
    struct edit edit;
    const char *message; /* after "weights do not fit config.json: "; NULL: fits */
} fits[] = {
    {{0}, NULL},
    {{.extra = "transformer.h.1.attn.bias"}, NULL},
    {{.extra = "transformer.h.0.attn.masked_bias"}, NULL},
    {{.retype = "lm_head.weight", .dtype = DTYPE_BF16}, NULL},
    {{.retype = "transformer.ln_f.bias", .dtype = DTYPE_F32}, NULL},
    {{.drop = "transformer.h.1.ln_1.weight"}, "transformer.h.1.ln_1.weight is missing"},
    {{.drop = "lm_head.bias"}, "lm_head.bias is missing"},
    {{.drop = "transformer.wte.weight"}, "transformer.wte.weight is missing"},
    {{.drop = "transformer.wte.weight", .extra = "wte.weight"},
     "the embedding is called wte.weight, not transformer.wte.weight: saved from something else than a "
     "GPTJForCausalLM, maybe from a GPTJModel, which has no head"},
    {{.drop = "transformer.wte.weight", .extra = "module.transformer.wte.weight"},
     "the embedding is called module.transformer.wte.weight, not transformer.wte.weight: saved from something else "
     "than a GPTJForCausalLM, maybe from a GPTJModel, which has no head"},
    {{.extra = "transformer.h.2.attn.bias"}, "transformer.h.2.attn.bias is not a tensor of this model"},
    {{.extra = "transformer.h.-1.attn.bias"}, "transformer.h.-1.attn.bias is not a tensor of this model"},
    {{.extra = "transformer.h.1.attn.q_proj.bias"}, "transformer.h.1.attn.q_proj.bias is not a tensor of this model"},
    {{.extra = "transformer.h.1."}, "transformer.h.1. is not a tensor of this model"},
    {{.extra = "model.layers.0"}, "model.layers.0 is not a tensor of this model"},
    {{.reshape = "transformer.wte.weight", .n_dims = 2, .shape = {11, 8}},
     "transformer.wte.weight is [11, 8], config.json says [10, 8]"},
    {{.reshape = "transformer.h.0.mlp.fc_in.weight", .n_dims = 2, .shape = {8, 12}},
     "transformer.h.0.mlp.fc_in.weight is [8, 12], config.json says [12, 8]"},
    {{.reshape = "transformer.ln_f.bias", .n_dims = 2, .shape = {8, 1}},
     "transformer.ln_f.bias is [8, 1], config.json says [8]"},
    {{.reshape = "transformer.h.1.attn.q_proj.weight", .n_dims = 1, .shape = {64}},
     "transformer.h.1.attn.q_proj.weight is [64], config.json says [8, 8]"},
    {{.reshape = "lm_head.bias", .n_dims = 0}, "lm_head.bias is [], config.json says [10]"},
    {{.retype = "transformer.h.1.attn.q_proj.weight", .dtype = DTYPE_F64},
     "transformer.h.1.attn.q_proj.weight is F64, not F32, F16 or BF16"},
    {{.retype = "lm_head.bias", .dtype = DTYPE_I8}, "lm_head.bias is I8, not F32, F16 or BF16"},
    {{.drop = "lm_head.weight", .retype = "lm_head.bias", .dtype = DTYPE_U8, .extra = "a"},
     "lm_head.weight is missing; lm_head.bias is U8, not F32, F16 or BF16; a is not a tensor of this model"},
    {{.drop_all = "transformer.h.1."},
     "transformer.h.1.ln_1.weight is missing; transformer.h.1.ln_1.bias is missing; "
     "transformer.h.1.attn.k_proj.weight is missing; transformer.h.1.attn.v_proj.weight is missing; "
     "transformer.h.1.attn.q_proj.weight is missing; transformer.h.1.attn.out_proj.weight is missing; and 4 more"},
};

static void weights_that_do_not_fit_are_named_in_one_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fits); i++) {
        struct source *src = open_edited(&small, &fits[i].edit);
        const enum status s = gptj_check(&small, src);
        if (!fits[i].message) {
            if (s != OK) fail_msg("case %zu: %s", i, status_message());
        } else {
            char want[900];
            snprintf(want, sizeof want, "weights do not fit config.json: %s", fits[i].message);
            assert_int_equal(s, E_FORMAT);
            assert_string_equal(status_message(), want);
        }
        source_close(src);
    }
}

static void a_tied_model_needs_no_head_and_may_have_one(void **state)
{
    (void)state;
    struct gptj_config tied = small;
    tied.tied = true;
    struct source *src = open_edited(&tied, &(struct edit){0});
    assert_null(source_find(src, "lm_head.weight"));
    assert_int_equal(gptj_check(&tied, src), OK);
    source_close(src);
    src = open_edited(&small, &(struct edit){0});
    assert_int_equal(gptj_check(&tied, src), OK);
    source_close(src);
}

/* ---- Masks ---- */

enum picture { ONES, TRIANGLE, ZEROS, ONE_HOLE, TRIANGLE_AND_ONE };

static bool shows(enum picture p, int row, int col)
{
    switch (p) {
    case ONES: return true;
    case TRIANGLE: return col <= row;
    case ZEROS: return false;
    case ONE_HOLE: return row != 5 || col != 5;
    case TRIANGLE_AND_ONE: return col <= row || (row == 0 && col == 5);
    }
    return false;
}

static void write_mask(struct safetensors_writer *w, enum picture p, enum dtype dtype)
{
    for (int i = 0; i < 36; i++) {
        const uint8_t byte = shows(p, i / 6, i % 6);
        const float f = byte;
        const uint16_t half = f16_from_f32(f);
        const void *data = dtype == DTYPE_F32 ? (const void *)&f : dtype == DTYPE_F16 ? (const void *)&half : &byte;
        assert_int_equal(safetensors_writer_data(w, data, dtype_bytes(dtype)), OK);
    }
}

/* A source with nothing but attn.bias in layers 0 .. n-1 of two, the last as last, the ones before as first. */
static struct source *open_masks(int n, enum picture first, enum picture last, enum dtype dtype)
{
    struct safetensors_writer *w;
    struct source *src = NULL;
    const struct tensor like = {.dtype = dtype, .n_dims = 4, .shape = {1, 1, 6, 6}};
    assert_int_equal(safetensors_writer_open(&w, weights_path), OK);
    for (int l = 0; l < n; l++) {
        char name[64];
        snprintf(name, sizeof name, "transformer.h.%d.attn.bias", l);
        assert_int_equal(safetensors_writer_declare(w, name, &like), OK);
    }
    for (int l = 0; l < n; l++)
        write_mask(w, l == n - 1 ? last : first, dtype);
    assert_int_equal(safetensors_writer_commit(w), OK);
    assert_int_equal(safetensors_open(&src, weights_path), OK);
    return src;
}

static const struct {
    int n;
    enum picture first, last;
    enum stored_mask mask;
} masks[] = {
    {2, ONES, ONES, STORED_MASK_PREFIX},    {2, TRIANGLE, TRIANGLE, STORED_MASK_CAUSAL},
    {1, ONES, ONES, STORED_MASK_PREFIX},    {1, TRIANGLE, TRIANGLE, STORED_MASK_CAUSAL},
    {2, ONES, TRIANGLE, STORED_MASK_OTHER}, {2, TRIANGLE, ONES, STORED_MASK_OTHER},
    {2, ONES, ONE_HOLE, STORED_MASK_OTHER}, {2, TRIANGLE, TRIANGLE_AND_ONE, STORED_MASK_OTHER},
    {2, ZEROS, ZEROS, STORED_MASK_OTHER},   {1, ONE_HOLE, ONE_HOLE, STORED_MASK_OTHER},
    {0, ONES, ONES, STORED_MASK_ABSENT},
};

static void stored_masks_are_told_apart_in_every_dtype(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_U8, DTYPE_BOOL, DTYPE_F16, DTYPE_F32};
    for (size_t i = 0; i < COUNT_OF(masks); i++) {
        for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
            struct source *src = open_masks(masks[i].n, masks[i].first, masks[i].last, dtypes[d]);
            const enum stored_mask m = gptj_stored_mask(&small, src);
            if (m != masks[i].mask)
                fail_msg("case %zu as %s: %d, not %d", i, dtype_name(dtypes[d]), (int)m, (int)masks[i].mask);
            source_close(src);
        }
    }
}

static void a_mask_that_is_no_square_is_neither(void **state)
{
    (void)state;
    struct source *src = open_edited(&small, &(struct edit){.extra = "transformer.h.0.attn.bias"});
    assert_int_equal(gptj_stored_mask(&small, src), STORED_MASK_OTHER);
    source_close(src);
}

static const struct {
    enum gptjt_mask asked;
    int n; /* layers with a mask */
    enum picture picture;
    enum config_mask recorded;
    const char *name, *name_or_path;
    enum gptjt_mask mask; /* AUTO: E_FORMAT */
    const char *reason;
    bool guessed;
} choices[] = {
    /* A request goes before all, even before what is broken. */
    {GPTJT_MASK_CAUSAL, 2, ONES, CONFIG_MASK_PREFIX, "GPT-JT-6B-v1", "", GPTJT_MASK_CAUSAL, "as requested", false},
    {GPTJT_MASK_PREFIX, 2, TRIANGLE, CONFIG_MASK_CAUSAL, "gpt-j", "", GPTJT_MASK_PREFIX, "as requested", false},
    {GPTJT_MASK_PREFIX, 2, ZEROS, CONFIG_MASK_NONE, "gpt-j", "", GPTJT_MASK_PREFIX, "as requested", false},
    /* Then the buffers, then config.json, then the name. */
    {GPTJT_MASK_AUTO, 2, ONES, CONFIG_MASK_CAUSAL, "gpt-j", "", GPTJT_MASK_PREFIX, "all ones", false},
    {GPTJT_MASK_AUTO, 2, TRIANGLE, CONFIG_MASK_PREFIX, "GPT-JT-6B-v1", "", GPTJT_MASK_CAUSAL, "triangular", false},
    {GPTJT_MASK_AUTO, 2, ZEROS, CONFIG_MASK_PREFIX, "gpt-j", "", GPTJT_MASK_AUTO, NULL, false},
    {GPTJT_MASK_AUTO, 0, ONES, CONFIG_MASK_PREFIX, "gpt-j", "", GPTJT_MASK_PREFIX, "prompt_mask", false},
    {GPTJT_MASK_AUTO, 0, ONES, CONFIG_MASK_CAUSAL, "GPT-JT-6B-v1", "", GPTJT_MASK_CAUSAL, "prompt_mask", false},
    {GPTJT_MASK_AUTO, 0, ONES, 0, "GPT-JT-6B-v1", "", GPTJT_MASK_PREFIX, "GPT-JT-6B-v1 is a GPT-JT release", true},
    {GPTJT_MASK_AUTO, 0, ONES, 0, "togethercomputer/GPT-JT-6B-v0", "", GPTJT_MASK_PREFIX, "v0 is a GPT-JT", true},
    {GPTJT_MASK_AUTO, 0, ONES, 0, "gpt-jt-6b", "", GPTJT_MASK_PREFIX, "gpt-jt-6b is a GPT-JT release", true},
    {GPTJT_MASK_AUTO, 0, ONES, 0, "mine", "/models/GPT-JT-6B-v1/", GPTJT_MASK_PREFIX, "is a GPT-JT release", true},
    {GPTJT_MASK_AUTO, 0, ONES, 0, "GPT-JT-tunes/gpt-j-6b", "", GPTJT_MASK_CAUSAL, "not named as", true},
    {GPTJT_MASK_AUTO, 0, ONES, 0, "gpt-j-6b", "EleutherAI/gpt-j-6b", GPTJT_MASK_CAUSAL, "not named as", true},
    {GPTJT_MASK_AUTO, 0, ONES, 0, "", "", GPTJT_MASK_CAUSAL, "not named as", true},
};

static void masks_are_chosen_by_request_buffer_config_and_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        struct checkpoint_config c = {.model = small, .prompt_mask = choices[i].recorded};
        snprintf(c.name_or_path, sizeof c.name_or_path, "%s", choices[i].name_or_path);
        struct source *src = open_masks(choices[i].n, choices[i].picture, choices[i].picture, DTYPE_U8);
        struct mask_choice got = {.mask = GPTJT_MASK_AUTO};
        const enum status s = engine_choose_mask(&got, choices[i].asked, &c, src, choices[i].name);
        source_close(src);
        const bool ok = choices[i].reason ? s == OK && strstr(got.reason, choices[i].reason)
                                          : s == E_FORMAT && strstr(status_message(), "--prompt-mask");
        if (!ok || got.mask != choices[i].mask || got.guessed != choices[i].guessed)
            fail_msg("case %zu: status %d, mask %d, guessed %d: %s", i, (int)s, (int)got.mask, got.guessed, got.reason);
    }
}

/* ---- Memory ---- */

static int64_t owned_by(const struct gptj *m)
{
    const struct weight *rest[] = {&m->wte, &m->ln_f_w, &m->ln_f_b, &m->head, &m->head_b};
    int64_t bytes = 0;
    for (size_t i = 0; i < COUNT_OF(rest); i++)
        bytes += (int64_t)rest[i]->owned_bytes;
    for (int l = m->first; l < m->last; l++) {
        const struct weight *w = (const struct weight *)&m->layers[l];
        for (size_t i = 0; i < sizeof m->layers[l] / sizeof *w; i++)
            bytes += (int64_t)w[i].owned_bytes;
    }
    return bytes;
}

static void memory_is_what_loading_takes(void **state)
{
    (void)state;
    static const char *const dirs[] = {"micro-a/safetensors-fp32", "micro-a/bin-fp16-prefix", "micro-a/bin-fp16-legacy",
                                       "micro-a/safetensors-bf16", "micro-c/bin-fp16-prefix"};
    for (size_t i = 0; i < COUNT_OF(dirs); i++) {
        char path[128];
        struct gptjt_engine e = {0};
        snprintf(path, sizeof path, "tests/data/goldens/%s", dirs[i]);
        assert_int_equal(checkpoint_config_read(&e.config, path), OK);
        assert_int_equal(source_open_dir(&e.source, path), OK);
        const struct gptj_config *c = &e.config.model;
        const struct ops_cpu_limits limits = {.head = c->K, .inputs = c->F > c->D ? c->F : c->D};
        for (enum weight_type type = 0; type <= WEIGHT_AS_STORED; type++) {
            struct ops *ops;
            struct gptj *m;
            assert_int_equal(ops_cpu_create(&ops, CPU_REF, COMPUTE_FP32, 1, limits), OK);
            assert_int_equal(gptj_load(&m, c, e.source, ops, 0, c->L, type), OK);
            const struct gptj_memory memory = gptj_memory(c, e.source, type);
            const int64_t rotary = 2 * (int64_t)sizeof(float) * c->P * (c->R / 2);
            assert_int_equal(memory.heap, owned_by(m) + rotary);
            if (type == WEIGHT_F32 || memory.mapped == 0)
                assert_int_equal(memory.mapped + memory.heap - rotary, gptj_weight_bytes(c, m->layers[0].q.type));
            gptj_free(m);
            ops->fn->close(ops);
        }
        source_close(e.source);
    }
}

static void only_what_cannot_be_read_in_place_is_copied(void **state)
{
    (void)state;
    static const float data[9];
    const char *unaligned = (const char *)data + 1;
    const struct weight vector = {.data = unaligned, .type = WEIGHT_F32, .O = 8, .I = 1};
    const struct weight matrix = {.data = unaligned, .type = WEIGHT_F32, .O = 4, .I = 2};
    assert_int_equal(ops_cpu_weight_bytes(&vector, WEIGHT_F32), 32);
    assert_int_equal(ops_cpu_weight_bytes(&matrix, WEIGHT_F32), 0);
    assert_int_equal(ops_cpu_weight_bytes(&matrix, WEIGHT_F16), 16);
}

/* ---- Synthetic models, and broken ones ---- */

static bool go_on(void *user, uint64_t bytes)
{
    int *calls = user;
    (void)bytes;
    return --*calls > 0;
}

static enum status write_synth(enum dtype dtype, uint64_t seed, int threads, int calls)
{
    struct synth s = {.config = {.V = 300, .P = 64, .D = 256, .L = 2, .H = 4, .R = 16}, .dtype = dtype, .seed = seed};
    struct pool *pool = NULL;
    assert_int_equal(synth_complete(&s.config), OK);
    assert_int_equal(pool_create(&pool, threads), OK);
    const enum status st = synth_write(&s, dir, pool, go_on, &calls);
    pool_free(pool);
    return st;
}

static void read_weights(struct buf *out)
{
    assert_int_equal(file_read(out, weights_path, 1 << 26), OK);
}

static void the_seed_alone_decides_a_synthetic_model(void **state)
{
    (void)state;
    struct buf one = {0}, three = {0}, other = {0};
    assert_int_equal(write_synth(DTYPE_F16, 5, 1, INT32_MAX), OK);
    read_weights(&one);
    assert_int_equal(write_synth(DTYPE_F16, 5, 3, INT32_MAX), OK);
    read_weights(&three);
    assert_int_equal(write_synth(DTYPE_F16, 6, 1, INT32_MAX), OK);
    read_weights(&other);
    assert_int_equal(one.len, three.len);
    assert_memory_equal(one.data, three.data, one.len);
    assert_memory_not_equal(one.data, other.data, one.len);
    buf_free(&one);
    buf_free(&three);
    buf_free(&other);
}

static void blocks_of_a_synthetic_tensor_fit_together(void **state)
{
    (void)state;
    const struct synth s = {.dtype = DTYPE_F32, .seed = 3};
    float whole[1000], part[300];
    synth_values(whole, &s, 4, 0, 100, 1000);
    synth_values(part, &s, 4, 0, 600, 300);
    assert_memory_equal(part, whole + 500, sizeof part);
    synth_values(part, &s, 5, 0, 600, 300);
    assert_memory_not_equal(part, whole + 500, sizeof part);
}

static void synthetic_values_are_spread_as_documented(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    const struct synth s = {.dtype = DTYPE_F32, .seed = 1};
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (int mean = 0; mean < 2; mean++) {
        double sum = 0, squares = 0;
        int beyond = 0; /* one standard deviation: 31.7 % of a normal, 33.1 % of four uniforms */
        synth_values(x, &s, 0, mean, 0, N);
        for (int i = 0; i < N; i++) {
            const double d = (double)x[i] - mean;
            sum += d;
            squares += d * d;
            beyond += d > 0.02 || d < -0.02;
        }
        /* five standard errors: 0.02/sqrt(N), 0.02/sqrt(2N), sqrt(0.32*0.68/N) */
        assert_true(sum / N < 2e-4 && sum / N > -2e-4);
        assert_true(squares / N > 0.0004 * 0.986 && squares / N < 0.0004 * 1.014);
        assert_true(beyond > N * 0.326 && beyond < N * 0.336);
    }
    free(x);
}

/* A normal's fourth moment is 3 times the square of its variance, with a standard error of sqrt(96/N). */
static void a_new_models_matrices_are_normal(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    const struct synth s = {.dtype = DTYPE_F32, .seed = 1, .init = true, .initializer_range = 0.06};
    float *x = malloc(N * sizeof *x), part[300];
    double sum = 0, squares = 0, fourths = 0;
    assert_non_null(x);
    synth_init_values(x, &s, 4, 0, N);
    for (int i = 0; i < N; i++) {
        const double d = (double)x[i] / 0.06;
        sum += d;
        squares += d * d;
        fourths += d * d * d * d;
    }
    assert_true(fabs(sum / N) < 5 / sqrt(N));
    assert_true(fabs(squares / N - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(fourths / N - 3) < 5 * sqrt(96.0 / N));
    synth_init_values(part, &s, 4, 1000, 300);
    assert_memory_equal(part, x + 1000, sizeof part);
    free(x);
}

static void check_vector(const struct source *source, const char *name, float want)
{
    const struct tensor *t = source_find(source, name);
    assert_non_null(t);
    for (int64_t i = 0; i < t->shape[0]; i++)
        assert_true(((const float *)t->data)[i] == want);
}

static void a_new_models_norms_are_1_and_biases_0(void **state)
{
    (void)state;
    struct synth s = {.config = {.V = 300, .P = 64, .D = 64, .L = 2, .H = 4, .R = 16, .eos = 7},
                      .dtype = DTYPE_F32,
                      .init = true,
                      .initializer_range = 0.02};
    struct pool *pool = NULL;
    struct source *source = NULL;
    struct checkpoint_config config;
    int calls = INT32_MAX;
    assert_int_equal(synth_complete(&s.config), OK);
    assert_int_equal(pool_create(&pool, 1), OK);
    assert_int_equal(synth_write(&s, dir, pool, go_on, &calls), OK);
    pool_free(pool);
    assert_int_equal(checkpoint_config_read(&config, dir), OK);
    assert_int_equal(config.model.eos, 7);
    assert_int_equal(config.model.bos, 7);
    assert_int_equal(source_open_dir(&source, dir), OK);
    check_vector(source, "transformer.h.1.ln_1.weight", 1);
    check_vector(source, "transformer.ln_f.weight", 1);
    check_vector(source, "transformer.h.0.ln_1.bias", 0);
    check_vector(source, "transformer.ln_f.bias", 0);
    check_vector(source, "transformer.h.1.mlp.fc_in.bias", 0);
    check_vector(source, "transformer.h.0.mlp.fc_out.bias", 0);
    check_vector(source, "lm_head.bias", 0);
    source_close(source);
}

static void synthetic_models_open_and_compute(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F32};
    for (size_t i = 0; i < COUNT_OF(dtypes); i++) {
        struct gptjt_engine *e = NULL;
        struct gptjt_session *session = NULL;
        struct gptjt_generate_request request;
        struct gptjt_generation g;
        const int32_t prompt[] = {1, 2, 3};
        assert_int_equal(write_synth(dtypes[i], 1, 1, INT32_MAX), OK);
        if (gptjt_engine_open(&e, dir, NULL) != GPTJT_OK) fail_msg("%s", status_message());
        assert_int_equal(gptjt_session_create(&session, e, 0), GPTJT_OK);
        gptjt_generate_init(&request);
        request.prompt = prompt;
        request.n_prompt = COUNT_OF(prompt);
        request.max_new_tokens = 4;
        assert_int_equal(gptjt_generate(session, &request, &g), GPTJT_OK);
        assert_int_equal(g.completions[0].n_tokens, 4);
        assert_true(g.completions[0].logprobs[0] < 0);
        gptjt_generation_free(&g);
        gptjt_session_close(session);
        gptjt_engine_close(e);
    }
}

static void a_cancelled_synthetic_model_leaves_nothing(void **state)
{
    (void)state;
    char config[sizeof dir + 32];
    drop_files();
    assert_int_equal(write_synth(DTYPE_F32, 1, 1, 3), E_CANCELLED);
    assert_false(file_exists(weights_path));
    snprintf(config, sizeof config, "%s/config.json", dir);
    assert_false(file_exists(config));
}

static void sizes_that_make_no_model_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct gptj_config c;
        const char *message;
    } cases[] = {
        {{.V = 10, .P = 4, .D = 10, .L = 1, .H = 3, .R = 2}, "\"n_embd\" 10 is not a multiple of \"n_head\" 3"},
        {{.V = 10, .P = 4, .D = 12, .L = 1, .H = 3, .R = 3}, "\"rotary_dim\" 3 is not an even number"},
        {{.V = 10, .P = 4, .D = 12, .L = 1, .H = 3, .R = 6}, "\"rotary_dim\" 6 is not an even number up to"},
        {{.V = 10, .P = 4, .D = 12, .L = 5000, .H = 3, .R = 2}, "\"n_layer\" is 5000"},
        {{.V = 1 << 24, .P = 4, .D = 1 << 24, .L = 4096, .H = 1, .R = 2, .F = 1 << 24}, "more than 2^63 bytes"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct gptj_config c = cases[i].c;
        assert_int_equal(synth_complete(&c), E_ARG);
        if (!strstr(status_message(), cases[i].message)) fail_msg("%s", status_message());
    }
}

static void put_value(void *data, enum dtype dtype, int64_t i, float x)
{
    const uint16_t half = dtype == DTYPE_F16 ? f16_from_f32(x) : bf16_from_f32(x);
    if (dtype == DTYPE_F32)
        ((float *)data)[i] = x;
    else
        ((uint16_t *)data)[i] = half;
}

static void every_value_that_is_not_finite_is_found(void **state)
{
    (void)state;
    enum { N = (1 << 20) + 77 };
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const enum weight_type types[] = {WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16};
    static const int64_t at[] = {N - 1, 1 << 19, 0}; /* found in turn: each goes before the one already there */
    static const float values[] = {INFINITY, -INFINITY, NAN};
    struct pool *pool = NULL;
    assert_int_equal(pool_create(&pool, 2), OK);
    for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
        struct weight w = {.type = types[d], .O = N, .I = 1};
        struct progress bar;
        const size_t bytes = weight_bytes(types[d], N, 1);
        void *data = malloc(bytes);
        assert_non_null(data);
        const float largest = dtypes[d] == DTYPE_F16 ? 65504.0f : 0x1.fep127f;
        for (int64_t i = 0; i < N; i++)
            put_value(data, dtypes[d], i, i % 2 ? largest : -0.0f);
        w.data = data;
        for (size_t n = 0; n <= COUNT_OF(at); n++) {
            progress_begin(&bar, "verify", "B", bytes, true);
            const struct verify_result r = verify_weight(&w, pool, &bar);
            assert_int_equal(r.n_bad, n);
            assert_int_equal(r.first, n ? at[n - 1] : -1);
            assert_int_equal(bar.done, bytes);
            if (n < COUNT_OF(at)) put_value(data, dtypes[d], at[n], values[n]);
        }
        free(data);
    }
    pool_free(pool);
}

/* A checkpoint whose file is one hole of 34 GB: nothing may touch the weights before the memory has been counted. */
static void write_huge(const char *huge)
{
    static const char config[] =
        "{\"model_type\": \"gptj\", \"vocab_size\": 16777216, \"n_positions\": 64, \"n_embd\": 1024, "
        "\"n_layer\": 1, \"n_head\": 16, \"rotary_dim\": 64, \"tie_word_embeddings\": true}";
    static const struct {
        const char *name, *shape;
        int64_t n;
    } tensors[] = {
        {"transformer.wte.weight", "16777216,1024", (int64_t)16777216 * 1024},
        {"transformer.h.0.ln_1.weight", "1024", 1024},
        {"transformer.h.0.ln_1.bias", "1024", 1024},
        {"transformer.h.0.attn.k_proj.weight", "1024,1024", 1 << 20},
        {"transformer.h.0.attn.v_proj.weight", "1024,1024", 1 << 20},
        {"transformer.h.0.attn.q_proj.weight", "1024,1024", 1 << 20},
        {"transformer.h.0.attn.out_proj.weight", "1024,1024", 1 << 20},
        {"transformer.h.0.mlp.fc_in.weight", "4096,1024", 1 << 22},
        {"transformer.h.0.mlp.fc_in.bias", "4096", 4096},
        {"transformer.h.0.mlp.fc_out.weight", "1024,4096", 1 << 22},
        {"transformer.h.0.mlp.fc_out.bias", "1024", 1024},
        {"transformer.ln_f.weight", "1024", 1024},
        {"transformer.ln_f.bias", "1024", 1024},
        {"lm_head.bias", "16777216", 16777216},
    };
    struct buf header = {0};
    int64_t at = 0;
    for (size_t i = 0; i < COUNT_OF(tensors); at += 2 * tensors[i].n, i++)
        buf_printf(&header,
                   "%s\"%s\": {\"dtype\": \"F16\", \"shape\": [%s], \"data_offsets\": [%" PRId64 ", %" PRId64 "]}",
                   i ? ", " : "{", tensors[i].name, tensors[i].shape, at, at + 2 * tensors[i].n);
    buf_puts(&header, "}");
    char path[512];
    assert_int_equal(file_join(path, sizeof path, huge, "model.safetensors"), OK);
    FILE *f = fopen(path, "wb");
    const uint64_t len = header.len;
    assert_int_equal(fwrite(&len, sizeof len, 1, f), 1);
    assert_int_equal(fwrite(header.data, 1, header.len, f), header.len);
    fflush(f);
    assert_int_equal(ftruncate(fileno(f), (off_t)(8 + header.len) + at), 0);
    fclose(f);
    buf_free(&header);
    scratch_put(huge, "config.json", config);
}

static void weights_that_do_not_fit_in_memory_are_refused_before_they_are_read(void **state)
{
    (void)state;
    if (memory_available() > 60 * INT64_C(1000000000)) skip();
    char huge[] = P_tmpdir "/gptjt-test-XXXXXX";
    struct gptjt_engine *e = NULL;
    struct gptjt_engine_options o;
    assert_non_null(mkdtemp(huge));
    write_huge(huge);
    gptjt_engine_options_init(&o);
    o.weights = GPTJT_WEIGHTS_FP32;
    assert_int_equal(gptjt_engine_open(&e, huge, &o), GPTJT_E_NOMEM);
    assert_non_null(strstr(gptjt_error(), "take 68.8 GB of memory"));
    o.weights = GPTJT_WEIGHTS_FP16; /* as stored: nothing but vectors is copied */
    assert_int_equal(gptjt_engine_open(&e, huge, &o), GPTJT_OK);
    gptjt_engine_close(e);
    scratch_drop(huge, "config.json");
    scratch_drop(huge, "model.safetensors");
    assert_int_equal(rmdir(huge), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_that_do_not_fit_are_named_in_one_line),
        cmocka_unit_test(a_tied_model_needs_no_head_and_may_have_one),
        cmocka_unit_test(stored_masks_are_told_apart_in_every_dtype),
        cmocka_unit_test(a_mask_that_is_no_square_is_neither),
        cmocka_unit_test(masks_are_chosen_by_request_buffer_config_and_name),
        cmocka_unit_test(memory_is_what_loading_takes),
        cmocka_unit_test(only_what_cannot_be_read_in_place_is_copied),
        cmocka_unit_test(the_seed_alone_decides_a_synthetic_model),
        cmocka_unit_test(blocks_of_a_synthetic_tensor_fit_together),
        cmocka_unit_test(synthetic_values_are_spread_as_documented),
        cmocka_unit_test(a_new_models_matrices_are_normal),
        cmocka_unit_test(a_new_models_norms_are_1_and_biases_0),
        cmocka_unit_test(synthetic_models_open_and_compute),
        cmocka_unit_test(a_cancelled_synthetic_model_leaves_nothing),
        cmocka_unit_test(sizes_that_make_no_model_are_refused),
        cmocka_unit_test(every_value_that_is_not_finite_is_found),
        cmocka_unit_test(weights_that_do_not_fit_in_memory_are_refused_before_they_are_read),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
