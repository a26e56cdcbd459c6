// SPDX-License-Identifier: Apache-2.0
/* Sources as their users see them: every layout of one checkpoint gives the same tensors, and directories and shard
 * sets that are not whole are refused. The goldens were written by PyTorch and the safetensors library. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "base/file.h"
#include "formats/safetensors.h"
#include "formats/source.h"
#include "formats/torchbin.h"

#define GOLDENS "tests/data/goldens/"

static struct source *open_golden(const char *dir)
{
    char path[256];
    struct source *s = NULL;
    snprintf(path, sizeof path, GOLDENS "%s", dir);
    if (source_open_dir(&s, path) != OK) fail_msg("%s", status_message());
    return s;
}

static bool is_mask(const char *name)
{
    const size_t n = strlen(name);
    return (n > 10 && !strcmp(name + n - 10, ".attn.bias")) || strstr(name, "masked_bias");
}

static int count_weights(const struct source *s)
{
    int n = 0;
    for (int i = 0; i < s->n_entries; i++)
        n += !is_mask(s->entries[i].name);
    return n;
}

static const char *const exact_layouts[] = {
    "micro-a/safetensors-fp16-prefix", "micro-a/safetensors-fp16-sharded", "micro-a/bin-fp16-prefix",
    "micro-a/bin-fp16-causal",         "micro-a/bin-fp16-legacy",          "micro-a/bin-fp32-prefix-sharded",
};

static void every_layout_gives_the_same_values(void **state)
{
    (void)state;
    struct source *truth = open_golden("micro-a/safetensors-fp32");
    for (size_t l = 0; l < COUNT_OF(exact_layouts); l++) {
        struct source *s = open_golden(exact_layouts[l]);
        assert_int_equal(count_weights(s), count_weights(truth));
        for (int i = 0; i < truth->n_entries; i++) {
            const struct source_entry *e = &truth->entries[i];
            if (is_mask(e->name)) continue;
            const struct tensor *t = source_find(s, e->name);
            if (!t) fail_msg("%s: no %s", exact_layouts[l], e->name);
            assert_int_equal(t->n_dims, e->tensor.n_dims);
            assert_memory_equal(t->shape, e->tensor.shape, (size_t)t->n_dims * sizeof t->shape[0]);
            for (int64_t k = 0; k < tensor_elements(t); k++) {
                if (tensor_value(t, k) != tensor_value(&e->tensor, k))
                    fail_msg("%s: %s differs at %lld", exact_layouts[l], e->name, (long long)k);
            }
        }
        source_close(s);
    }
    source_close(truth);
}

static void bf16_layout_is_the_same_rounded(void **state)
{
    (void)state;
    struct source *truth = open_golden("micro-a/safetensors-fp32"), *s = open_golden("micro-a/safetensors-bf16");
    int64_t different = 0;
    for (int i = 0; i < truth->n_entries; i++) {
        const struct tensor *a = &truth->entries[i].tensor, *b = source_find(s, truth->entries[i].name);
        if (is_mask(truth->entries[i].name)) continue;
        assert_non_null(b);
        assert_int_equal(b->dtype, DTYPE_BF16);
        for (int64_t k = 0; k < tensor_elements(a); k++) {
            const double x = tensor_value(a, k), y = tensor_value(b, k), off = x > y ? x - y : y - x;
            if (off > (x > 0 ? x : -x) / 256) fail_msg("%s[%lld]", truth->entries[i].name, (long long)k);
            different += off > 0;
        }
    }
    assert_true(different > 1000);
    source_close(s);
    source_close(truth);
}

static void dtypes_and_kinds_are_what_was_saved(void **state)
{
    (void)state;
    static const struct {
        const char *dir, *kind;
        enum dtype dtype;
    } cases[] = {
        {"micro-a/safetensors-fp32", "safetensors", DTYPE_F32},
        {"micro-a/safetensors-fp16-prefix", "safetensors", DTYPE_F16},
        {"micro-a/safetensors-fp16-sharded", "shards", DTYPE_F16},
        {"micro-a/bin-fp16-prefix", "pytorch zip", DTYPE_F16},
        {"micro-a/bin-fp16-legacy", "pytorch legacy", DTYPE_F16},
        {"micro-a/bin-fp32-prefix-sharded", "shards", DTYPE_F32},
        {"micro-b/bin-fp16-prefix", "pytorch zip", DTYPE_F16},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct source *s = open_golden(cases[i].dir);
        assert_string_equal(s->ops->kind, cases[i].kind);
        const struct tensor *t = source_find(s, "transformer.wte.weight");
        assert_non_null(t);
        assert_int_equal(t->dtype, cases[i].dtype);
        assert_true(s->file_bytes > (uint64_t)tensor_bytes(t));
        assert_null(source_find(s, "transformer.wte.weigh"));
        assert_null(source_find(s, ""));
        source_close(s);
    }
}

static void attention_mask_is_read_as_stored(void **state)
{
    (void)state;
    static const struct {
        const char *dir;
        bool causal, present;
    } cases[] = {
        {"micro-a/bin-fp16-prefix", false, true},         {"micro-a/bin-fp16-causal", true, true},
        {"micro-a/bin-fp16-legacy", false, true},         {"micro-a/bin-fp32-prefix-sharded", false, true},
        {"micro-a/safetensors-fp16-prefix", false, true}, {"micro-a/safetensors-fp16-sharded", false, false},
    };
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        struct source *s = open_golden(cases[c].dir);
        const struct tensor *t = source_find(s, "transformer.h.2.attn.bias");
        assert_int_equal(t != NULL, cases[c].present);
        for (int64_t i = 0; t && i < 128; i++) {
            for (int64_t j = 0; j < 128; j++)
                assert_true(tensor_value(t, i * 128 + j) == (!cases[c].causal || j <= i));
        }
        if (t) {
            char shape[64];
            assert_string_equal(tensor_shape_text(t, shape, sizeof shape), "[1, 1, 128, 128]");
        }
        source_close(s);
    }
}

static void tied_weights_are_views_of_one_storage(void **state)
{
    (void)state;
    struct source *s = open_golden("micro-c/bin-fp16-prefix");
    const struct tensor *head = source_find(s, "lm_head.weight"), *wte = source_find(s, "transformer.wte.weight");
    assert_non_null(head);
    assert_non_null(wte);
    assert_ptr_equal(head->data, wte->data);
    source_close(s);
}

/* --- directories and shards made up here --- */

static char *make_dir(void)
{
    char *dir = NULL;
    assert_true(asprintf(&dir, "%s/gptjt-test-XXXXXX", P_tmpdir) > 0);
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void put(const char *dir, const char *name, const void *data, size_t bytes)
{
    char path[512];
    struct file_writer w;
    assert_int_equal(file_join(path, sizeof path, dir, name), OK);
    assert_int_equal(file_writer_open(&w, path), OK);
    assert_int_equal(file_writer_write(&w, data, bytes), OK);
    assert_int_equal(file_writer_commit(&w), OK);
}

/* A safetensors file of one-byte tensors with the names given. */
static void put_shard(const char *dir, const char *file, const char *const *names)
{
    char path[512];
    struct safetensors_writer *w;
    const struct tensor byte = {.dtype = DTYPE_U8, .n_dims = 1, .shape = {1}};
    assert_int_equal(file_join(path, sizeof path, dir, file), OK);
    assert_int_equal(safetensors_writer_open(&w, path), OK);
    for (int i = 0; names[i]; i++)
        assert_int_equal(safetensors_writer_declare(w, names[i], &byte), OK);
    for (int i = 0; names[i]; i++)
        assert_int_equal(safetensors_writer_data(w, names[i], 1), OK);
    assert_int_equal(safetensors_writer_commit(w), OK);
}

static void remove_dir(char *dir, const char *const *files)
{
    char path[512];
    for (int i = 0; files[i]; i++) {
        assert_int_equal(file_join(path, sizeof path, dir, files[i]), OK);
        unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

static void expect(enum status got, enum status wanted, const char *fragment)
{
    if (got != wanted || (fragment && !strstr(status_message(), fragment)))
        fail_msg("status %d, wanted %d; \"%s\" should have \"%s\"", (int)got, (int)wanted, status_message(), fragment);
}

static void bad_shard_sets_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        enum status status;
        const char *message;
    } cases[] = {
        {"[]", E_FORMAT, "\"weight_map\" is missing"},
        {"{\"weight_map\": 3}", E_FORMAT, "\"weight_map\" is missing or not an object"},
        {"{\"weight_map\": {\"a\": 1}}", E_FORMAT, "the file of \"a\" is not a string"},
        {"{\"weight_map\": {\"a\": \"../one.safetensors\"}}", E_FORMAT, "not a plain file name"},
        {"{\"weight_map\": {\"a\": \"/one.safetensors\"}}", E_FORMAT, "not a plain file name"},
        {"{\"weight_map\": {\"a\": \"..\"}}", E_FORMAT, "not a plain file name"},
        {"{\"weight_map\": {\"a\": \"\"}}", E_FORMAT, "not a plain file name"},
        {"{\"weight_map\": {\"a\": \"one\\u0000\"}}", E_FORMAT, "not a plain file name"},
        {"{\"weight_map\": {\"a\": \"three.safetensors\"}}", E_IO, "three.safetensors: No such file"},
        {"{\"weight_map\": {\"a\": \"model.safetensors.index.json\"}}", E_UNSUPPORTED, "JSON, not weights"},
        {"{\"weight_map\": {\"a\": \"one\", \"a\": \"one\"}}", E_FORMAT, "duplicate"},
        {"{\"weight_map\": {\"a\": \"one\", \"b\": \"one\", \"x\": \"two\"}}", E_FORMAT, "tensor \"x\" is not in two"},
        {"{\"weight_map\": {\"a\": \"one\", \"b\": \"one\"}}", OK, NULL},
        {"{\"weight_map\": {\"a\": \"one\"}}", E_FORMAT, "does not list tensor \"b\", which is in one"},
        {"{\"weight_map\": {\"a\": \"one\", \"b\": \"two\", \"c\": \"two\"}}", E_FORMAT,
         "lists tensor \"b\" in two, but one has it too"},
    };
    char *dir = make_dir();
    put_shard(dir, "one", (const char *const[]){"a", "b", NULL});
    put_shard(dir, "two", (const char *const[]){"b", "c", NULL});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct source *s = NULL;
        put(dir, "model.safetensors.index.json", cases[i].index, strlen(cases[i].index));
        expect(source_open_dir(&s, dir), cases[i].status, cases[i].message);
        if (s) assert_int_equal(s->n_entries, 2);
        source_close(s);
    }
    remove_dir(dir, (const char *const[]){"one", "two", "model.safetensors.index.json", NULL});
}

static void a_directory_without_weights_names_what_was_tried(void **state)
{
    (void)state;
    struct source *s = NULL;
    char *dir = make_dir();
    put(dir, "config.json", "{}", 2);
    expect(source_open_dir(&s, dir), E_IO,
           "none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json");
    put(dir, "flax_model.msgpack", "x", 1);
    expect(source_open_dir(&s, dir), E_UNSUPPORTED, "flax_model.msgpack, which is not read");
    remove_dir(dir, (const char *const[]){"config.json", "flax_model.msgpack", NULL});
    expect(source_open_dir(&s, "tests/no-such-directory"), E_IO, "is not a directory");
}

static void a_file_is_known_by_its_content(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t bytes;
        enum status status;
        const char *message;
    } cases[] = {
        {"", 0, E_FORMAT, "the file is empty"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, E_UNSUPPORTED, "git lfs pull"},
        {"GGUF\3\0\0\0\0\0\0\0", 12, E_UNSUPPORTED, "GGUF"},
        {"lmgg\0\0\0\0\0\0\0", 12, E_UNSUPPORTED, "ggml"},
        {"\x89HDF\r\n\x1a\n\0", 10, E_UNSUPPORTED, "HDF5"},
        {"PK\3\4 and no more", 16, E_FORMAT, "truncated?"},
        {"\x80\2.", 3, E_FORMAT, "stack underflow"},
        {"\2\0\0\0\0\0\0\0{}", 10, OK, NULL},
        {"\3\0\0\0\0\0\0\0{}", 10, E_FORMAT, "truncated?"},
        {"hello, world", 12, E_FORMAT, "neither safetensors nor a pytorch file"},
    };
    char *dir = make_dir(), path[512];
    assert_int_equal(file_join(path, sizeof path, dir, "misleading.bin"), OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct source *s = NULL;
        put(dir, "misleading.bin", cases[i].data, cases[i].bytes);
        expect(source_open_file(&s, path), cases[i].status, cases[i].message);
        source_close(s);
    }
    remove_dir(dir, (const char *const[]){"misleading.bin", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_gives_the_same_values),
        cmocka_unit_test(bf16_layout_is_the_same_rounded),
        cmocka_unit_test(dtypes_and_kinds_are_what_was_saved),
        cmocka_unit_test(attention_mask_is_read_as_stored),
        cmocka_unit_test(tied_weights_are_views_of_one_storage),
        cmocka_unit_test(bad_shard_sets_are_refused),
        cmocka_unit_test(a_directory_without_weights_names_what_was_tried),
        cmocka_unit_test(a_file_is_known_by_its_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
