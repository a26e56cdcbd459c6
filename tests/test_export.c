// SPDX-License-Identifier: Apache-2.0
/* Exports: what the files hold is the source's weights, rounded once, with the adapter in them; and nothing is left of
 * one that could not be made. */
#include <dirent.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "scratch_directory.h"
#include "test.h"

#include "base/compiler.h"
#include "base/half.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "model/export.h"

static const char micro[] = "tests/data/goldens/micro-a/safetensors-fp32";

static void empty_directory(void)
{
    DIR *d = opendir(directory);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') scratch_drop(directory, e->d_name);
    closedir(d);
}

static int count_files(void)
{
    int n = 0;
    DIR *d = opendir(directory);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

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
    if (engine_read_checkpoint(e, from, GPTJT_MASK_AUTO) != OK) fail_msg("%s: %s", from, status_message());
    return e;
}

struct how {
    enum weight_type type;
    enum config_mask mask;
    int64_t max_shard_bytes;
    const struct peft *adapter;
    int threads;
};

static enum status write_export(const struct gptjt_engine *e, struct how how, int *calls)
{
    struct kernels k;
    struct pool *pool = NULL;
    kernels_init(&k, kernels_best_level());
    assert_int_equal(pool_create(&pool, how.threads ? how.threads : 2), OK);
    const struct export x = {.config = &e->config.model,
                             .src = e->source,
                             .from = micro,
                             .prompt_mask = how.mask ? how.mask : CONFIG_MASK_CAUSAL,
                             .type = how.type,
                             .max_shard_bytes = how.max_shard_bytes ? how.max_shard_bytes : 1 << 30,
                             .adapter = how.adapter};
    const enum status s = export_write(&x, directory, &k, pool, go_on, calls);
    pool_free(pool);
    return s;
}

struct pair {
    const struct source *from, *to;
    enum weight_type type;
    const struct peft *adapter; /* its targets are skipped */
    int n;
};

static float rounded(enum weight_type type, float x)
{
    return type == WEIGHT_F16 ? f16_to_f32(f16_from_f32(x)) : type == WEIGHT_BF16 ? bf16_to_f32(bf16_from_f32(x)) : x;
}

static enum status compare(void *user, const struct gptj_tensor_spec *spec)
{
    struct pair *p = user;
    const struct tensor *from = source_find(p->from, spec->name), *to = source_find(p->to, spec->name);
    assert_non_null(from);
    assert_non_null(to);
    assert_int_equal(to->dtype, p->type == WEIGHT_F16 ? DTYPE_F16 : p->type == WEIGHT_BF16 ? DTYPE_BF16 : DTYPE_F32);
    if (p->adapter && peft_find_parameter(p->adapter, spec->name)) return OK;
    const int64_t n = tensor_elements(from);
    assert_int_equal(n, tensor_elements(to));
    for (int64_t i = 0; i < n; i++) {
        const float want = rounded(p->type, (float)tensor_value(from, i)), got = (float)tensor_value(to, i);
        if (half_bits_of(want) != half_bits_of(got))
            fail_msg("%s[%lld] is %g, not %g", spec->name, (long long)i, (double)got, (double)want);
    }
    p->n++;
    return OK;
}

static void an_export_is_the_source_rounded(void **state)
{
    (void)state;
    static const struct {
        struct how how;
        int n_files; /* of weights */
    } cases[] = {
        {{.type = WEIGHT_F32}, 1},
        {{.type = WEIGHT_F16, .mask = CONFIG_MASK_PREFIX}, 1},
        {{.type = WEIGHT_BF16, .threads = 1}, 1},
        {{.type = WEIGHT_F16, .max_shard_bytes = 30000, .mask = CONFIG_MASK_PREFIX}, 0},
        {{.type = WEIGHT_F32, .max_shard_bytes = 1}, 0}, /* every tensor in a file of its own */
    };
    struct gptjt_engine *e = read_checkpoint(micro);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (write_export(e, cases[i].how, NULL) != OK) fail_msg("%s", status_message());
        struct gptjt_engine *made = read_checkpoint(directory);
        struct pair p = {e->source, made->source, cases[i].how.type, NULL, 0};
        assert_int_equal(gptj_each_tensor(&e->config.model, compare, &p), OK);
        assert_true(p.n > 10);
        const bool prefix = cases[i].how.mask == CONFIG_MASK_PREFIX;
        assert_int_equal(made->config.prompt_mask, prefix ? CONFIG_MASK_PREFIX : CONFIG_MASK_CAUSAL);
        assert_int_equal(gptj_stored_mask(&made->config.model, made->source),
                         prefix ? STORED_MASK_PREFIX : STORED_MASK_ABSENT);
        assert_int_equal(made->source->n_entries, p.n + (prefix ? e->config.model.L : 0));
        if (cases[i].n_files)
            assert_string_equal(made->source->ops->kind, "safetensors");
        else
            assert_string_equal(made->source->ops->kind, "shards");
        gptjt_engine_close(made);
        empty_directory();
    }
    gptjt_engine_close(e);
}

static void shards_are_as_large_as_they_may_be(void **state)
{
    (void)state;
    struct gptjt_engine *e = read_checkpoint(micro);
    struct export x = {.config = &e->config.model, .type = WEIGHT_F32, .max_shard_bytes = INT64_MAX};
    const int64_t bytes = export_size(&x).bytes;
    assert_int_equal(bytes, 4 * gptj_config_parameters(&e->config.model));
    assert_int_equal(export_size(&x).n_files, 1);
    x.max_shard_bytes = bytes;
    assert_int_equal(export_size(&x).n_files, 1);
    x.max_shard_bytes = bytes - 1;
    assert_int_equal(export_size(&x).n_files, 2);
    x.prompt_mask = CONFIG_MASK_PREFIX;
    const int64_t P = e->config.model.P;
    assert_int_equal(export_size(&x).bytes, bytes + e->config.model.L * P * P);
    gptjt_engine_close(e);
}

static void nothing_is_left_of_a_failure(void **state)
{
    (void)state;
    struct gptjt_engine *e = read_checkpoint(micro);
    const struct how how = {.type = WEIGHT_F32, .max_shard_bytes = 30000};
    int most = 1 << 20;
    assert_int_equal(write_export(e, how, &most), OK);
    const int calls = (1 << 20) - most, files = count_files();
    assert_true(calls > 10 && files > 3);
    empty_directory();
    for (int stop = 1; stop <= calls; stop += 7) {
        int left = stop;
        assert_int_equal(write_export(e, how, &left), E_CANCELLED);
        assert_int_equal(count_files(), 0);
    }
    scratch_put(directory, "config.json", "mine");
    int left = 3;
    assert_int_equal(write_export(e, how, &left), E_CANCELLED);
    assert_int_equal(count_files(), 1);
    scratch_put(directory, "model.safetensors", "mine");
    assert_int_equal(write_export(e, how, NULL), E_ARG);
    assert_non_null(strstr(status_message(), "would be read instead of the shards"));
    empty_directory();
    gptjt_engine_close(e);
}

/* ---- Merging ---- */

static double random_number(uint64_t counter)
{
    return rng_uniform(42, 7, counter) * 2 - 1;
}

struct adapter {
    struct peft peft;
    struct peft_target targets[64];
    float *values;
};

/* All six maps of every second layer, numbers within -1 .. 1. */
static void make_adapter(struct adapter *a, const struct gptj_config *c, int r)
{
    *a = (struct adapter){.peft = {.config = {.r = r, .alpha = 3, .use_rslora = true}}};
    const size_t widest = (size_t)(c->F > c->D ? c->F : c->D), room = widest * (size_t)r;
    a->values = calloc(2 * room * 64, sizeof *a->values);
    assert_non_null(a->values);
    for (size_t i = 0; i < 2 * room * 64; i++)
        a->values[i] = (float)random_number(i);
    int n = 0;
    for (int l = 0; l < c->L; l += 2) {
        for (enum peft_module m = 0; m < PEFT_MODULES; m++, n++) {
            struct peft_target *t = &a->targets[n];
            *t = (struct peft_target){.layer = l, .module = m};
            t->a = (struct tensor){a->values + 2 * room * (size_t)n, DTYPE_F32, 2, {r, m == PEFT_FC_OUT ? c->F : c->D}};
            t->b = (struct tensor){
                a->values + 2 * room * (size_t)n + room, DTYPE_F32, 2, {m == PEFT_FC_IN ? c->F : c->D, r}};
        }
    }
    a->peft.targets = a->targets;
    a->peft.n_targets = n;
}

/* The largest distance of neighbours around x in the type: rounding is off by half of it at most. */
static double spacing(enum weight_type type, double x)
{
    const int digits = type == WEIGHT_F16 ? 11 : type == WEIGHT_BF16 ? 8 : 24;
    const int exponent = x != 0 ? ilogb(x) : -200;
    return ldexp(1, (type == WEIGHT_F16 && exponent < -14 ? -14 : exponent) + 1 - digits);
}

/* Every element of the merged matrix is the exact value, rounded to the type, but for the last bits of the sum in
 * double: r + 2 roundings of at most the sum of all magnitudes. */
static void assert_merged(const struct tensor *made, const struct tensor *from, const struct peft_target *t,
                          const struct peft_config *c, enum weight_type type)
{
    const int64_t O = t->b.shape[0], I = t->a.shape[1], r = c->r;
    for (int64_t o = 0; o < O; o++) {
        for (int64_t i = 0; i < I; i++) {
            const long double scale = (long double)c->alpha / sqrtl((long double)r);
            long double truth = 0, size = 0;
            for (int64_t k = 0; k < r; k++) {
                const long double term = (long double)tensor_value(&t->b, o * r + k) * tensor_value(&t->a, k * I + i);
                truth += scale * term;
                size += scale * fabsl(term);
            }
            truth += (long double)tensor_value(from, o * I + i);
            size += fabsl((long double)tensor_value(from, o * I + i));
            const long double bound = spacing(type, (double)truth) / 2 +
                                      (long double)(r + 2) * (long double)DBL_EPSILON * size;
            const long double off = fabsl((long double)tensor_value(made, o * I + i) - truth);
            if (!(off <= bound))
                fail_msg("[%lld][%lld] is off by %Lg, bound %Lg", (long long)o, (long long)i, off, bound);
        }
    }
}

static void an_adapter_is_merged_and_rounded_once(void **state)
{
    (void)state;
    static const enum weight_type types[] = {WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16};
    struct gptjt_engine *e = read_checkpoint(micro);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct adapter a;
        make_adapter(&a, &e->config.model, 3);
        if (write_export(e, (struct how){.type = types[i], .adapter = &a.peft}, NULL) != OK)
            fail_msg("%s", status_message());
        struct gptjt_engine *made = read_checkpoint(directory);
        struct pair p = {e->source, made->source, types[i], &a.peft, 0};
        assert_int_equal(gptj_each_tensor(&e->config.model, compare, &p), OK);
        int n = 0;
        for (int k = 0; k < made->source->n_entries; k++) {
            const char *name = made->source->entries[k].name;
            const struct peft_target *t = peft_find_parameter(&a.peft, name);
            if (!t) continue;
            assert_merged(&made->source->entries[k].tensor, source_find(e->source, name), t, &a.peft.config, types[i]);
            n++;
        }
        assert_int_equal(n, a.peft.n_targets);
        gptjt_engine_close(made);
        empty_directory();
        free(a.values);
    }
    gptjt_engine_close(e);
}

/* A sum a hair beside the middle of two neighbours of the type rounds to the nearer one. By way of fp32, where the hair
 * is lost, it would round to the even one. */
static void a_merge_does_not_round_twice(void **state)
{
    (void)state;
    static const struct {
        enum weight_type type;
        uint16_t low; /* and its neighbour above */
    } cases[] = {
        {WEIGHT_F16, 0x3c00}, {WEIGHT_F16, 0x3c01}, {WEIGHT_F16, 0x7bfe},  {WEIGHT_F16, 0x0001},  {WEIGHT_F16, 0x0000},
        {WEIGHT_F16, 0xbc00}, {WEIGHT_F16, 0xbc01}, {WEIGHT_BF16, 0x3f80}, {WEIGHT_BF16, 0x3f81}, {WEIGHT_BF16, 0xbf81},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const bool half = cases[i].type == WEIGHT_F16;
        const uint16_t high = (uint16_t)(cases[i].low + 1);
        const double x = half ? (double)f16_to_f32(cases[i].low) : (double)bf16_to_f32(cases[i].low);
        const double y = half ? (double)f16_to_f32(high) : (double)bf16_to_f32(high);
        const float middle = (float)((x + y) / 2);
        for (int side = -1; side <= 1; side += 2) {
            const double a = side * (y - x), b = 1, scale = 0x1p-30;
            double room;
            uint16_t got;
            export_merge_row(&got, cases[i].type, &middle, &a, &b, 1, scale, 1, &room);
            assert_int_equal(got, side > 0 ? high : cases[i].low);
        }
        double room;
        uint16_t got;
        export_merge_row(&got, cases[i].type, &middle, &(double){0}, &(double){1}, 1, 1, 1, &room);
        assert_int_equal(got, cases[i].low % 2 ? high : cases[i].low);
    }
}

static void what_does_not_fit_the_type_is_refused(void **state)
{
    (void)state;
    struct gptjt_engine *e = read_checkpoint(micro);
    struct adapter a;
    make_adapter(&a, &e->config.model, 3);
    a.peft.config.alpha = 1e6;
    assert_int_equal(write_export(e, (struct how){.type = WEIGHT_F16, .adapter = &a.peft}, NULL), E_NUMERIC);
    assert_non_null(strstr(status_message(), "too large for fp16"));
    assert_int_equal(count_files(), 0);
    free(a.values);
    gptjt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_is_the_source_rounded), cmocka_unit_test(shards_are_as_large_as_they_may_be),
        cmocka_unit_test(nothing_is_left_of_a_failure),    cmocka_unit_test(an_adapter_is_merged_and_rounded_once),
        cmocka_unit_test(a_merge_does_not_round_twice),    cmocka_unit_test(what_does_not_fit_the_type_is_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
