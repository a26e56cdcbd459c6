// SPDX-License-Identifier: Apache-2.0
/* The safetensors reader on broken files, and the writer: what it writes is read back, and nothing is half-written. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#include "base/file.h"
#include "formats/safetensors.h"

/* A file of this header and data_bytes bytes counting up from 0, in a block of its exact size for the sanitizer. */
static uint8_t *compose(size_t *bytes, const char *header, size_t data_bytes)
{
    const size_t len = strlen(header);
    uint8_t *file = calloc(1, 8 + len + data_bytes);
    assert_non_null(file);
    file[0] = (uint8_t)len;
    file[1] = (uint8_t)(len >> 8);
    memcpy(file + 8, header, len);
    for (size_t i = 0; i < data_bytes; i++)
        file[8 + len + i] = (uint8_t)i;
    *bytes = 8 + len + data_bytes;
    return file;
}

#define A(dtype, shape, from, to)                                                                                      \
    "\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"
#define B(dtype, shape, from, to)                                                                                      \
    "\"b\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static void bad_files_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        enum status status;
        const char *message;
    } cases[] = {
        {"[]", 0, E_FORMAT, "x: the header is not a JSON object"},
        {"3", 0, E_FORMAT, "the header is not a JSON object"},
        {"", 0, E_FORMAT, "x: line 1"},
        {"{", 0, E_FORMAT, "x: line 1"},
        {"{\"a\":\"\xff\"}", 0, E_FORMAT, "x: line 1"},
        {"{} {}", 0, E_FORMAT, "x: line 1"},
        {"{}", 1, E_FORMAT, "1 bytes after the last tensor"},
        {"{\"a\":3}", 0, E_FORMAT, "tensor \"a\" is not an object"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, E_FORMAT, "tensor \"a\": \"dtype\" is not a string"},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, E_FORMAT, "\"dtype\" is not a string"},
        {"{" A("F8_E4M3", "[1]", 0, 1) "}", 1, E_UNSUPPORTED, "tensor \"a\": dtype \"F8_E4M3\" is not supported"},
        {"{" A("U8\\u0000", "[1]", 0, 1) "}", 1, E_UNSUPPORTED, "is not supported"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, E_FORMAT, "\"shape\" is not an array"},
        {"{" A("U8", "1", 0, 1) "}", 1, E_FORMAT, "\"shape\" is not an array"},
        {"{" A("U8", "[1.0]", 0, 1) "}", 1, E_FORMAT, "dimension 0 is not an integer"},
        {"{" A("U8", "[true]", 0, 1) "}", 1, E_FORMAT, "dimension 0 is not an integer"},
        {"{" A("U8", "[1,-1]", 0, 1) "}", 1, E_FORMAT, "tensor \"a\": dimension 1 is -1"},
        {"{" A("U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, E_UNSUPPORTED, "9 dimensions, more than 8"},
        {"{" A("U8", "[4294967296,4294967296]", 0, 1) "}", 1, E_FORMAT, "tensor \"a\": shape overflows"},
        {"{" A("F64", "[2305843009213693952]", 0, 1) "}", 1, E_FORMAT, "overflow"},
        {"{" A("U8", "[9223372036854775808]", 0, 1) "}", 1, E_FORMAT, "x: line 1: too big integer"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, E_FORMAT, "\"data_offsets\" is not a pair of integers"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, E_FORMAT, "is not a pair of integers"},
        {"{" A("U8", "[1]", "0", 1) "}", 1, E_FORMAT, "is not a pair of integers"},
        {"{" A("U8", "[1]", 0.0, 1) "}", 1, E_FORMAT, "is not a pair of integers"},
        {"{" A("U8", "[1]", -1, 0) "}", 1, E_FORMAT, "data offsets -1 to 0"},
        {"{" A("U8", "[1]", 1, 0) "}", 1, E_FORMAT, "data offsets 1 to 0"},
        {"{" A("U8", "[2]", 0, 2) "}", 1, E_FORMAT, "tensor \"a\" ends at byte 2 of the data, of which the file has 1"},
        {"{" A("F32", "[2]", 0, 7) "}", 7, E_FORMAT, "F32 of shape [2] is 8 bytes, data offsets give 7"},
        {"{" A("U8", "[2]", 0, 2) "," B("U8", "[2]", 1, 3) "}", 3, E_FORMAT, "tensors \"a\" and \"b\" overlap"},
        {"{" A("U8", "[2]", 0, 2) "," B("U8", "[2]", 0, 2) "}", 2, E_FORMAT, "overlap"},
        {"{" A("U8", "[4]", 0, 4) "," B("U8", "[0]", 2, 2) "}", 4, E_FORMAT, "overlap"},
        {"{" A("U8", "[1]", 0, 1) "," B("U8", "[1]", 2, 3) "}", 3, E_FORMAT, "hole of 1 bytes before tensor \"b\""},
        {"{" A("U8", "[1]", 1, 2) "}", 2, E_FORMAT, "hole of 1 bytes before tensor \"a\""},
        {"{" A("U8", "[1]", 0, 1) "}", 3, E_FORMAT, "2 bytes after the last tensor"},
        {"{" A("U8", "[1]", 0, 1) "," A("U8", "[1]", 1, 2) "}", 2, E_FORMAT, "duplicate"},
        {"{\"a\\u0000\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, E_FORMAT, "NUL"},
        {"{\"__metadata__\":[]}", 0, E_FORMAT, "\"__metadata__\" is not an object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, E_FORMAT, "\"__metadata__\": \"k\" is not a string"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct source *s = NULL;
        size_t bytes;
        uint8_t *file = compose(&bytes, cases[i].header, cases[i].data_bytes);
        const enum status got = safetensors_open_memory(&s, file, bytes, "x");
        if (got != cases[i].status || !strstr(status_message(), cases[i].message))
            fail_msg("case %zu: status %d, \"%s\" should have \"%s\"", i, (int)got, status_message(), cases[i].message);
        assert_null(s);
        free(file);
    }
}

static void good_files_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        int n;
    } cases[] = {
        {"{}", 0, 0},
        {"{\"__metadata__\":{\"format\":\"pt\"}}    ", 0, 0},
        {"{" B("U8", "[2]", 0, 2) "," A("F32", "[1,1]", 2, 6) "}", 6, 2},
        {"{" A("U8", "[]", 0, 1) "}", 1, 1},
        {"{" A("F64", "[0,9223372036854775807]", 0, 0) "," B("U8", "[1]", 0, 1) "}", 1, 2},
        {"{" A("U8", "[2]", 0, 2) "," B("U8", "[0]", 2, 2) "}", 2, 2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct source *s = NULL;
        size_t bytes;
        uint8_t *file = compose(&bytes, cases[i].header, cases[i].data_bytes);
        if (safetensors_open_memory(&s, file, bytes, "x") != OK) fail_msg("case %zu: %s", i, status_message());
        assert_int_equal(s->n_entries, cases[i].n);
        for (int k = 0; k < s->n_entries; k++) {
            const struct tensor *t = source_find(s, k ? "b" : "a");
            assert_ptr_equal(t, &s->entries[k].tensor);
            assert_int_equal(t->data != NULL, tensor_bytes(t) > 0);
        }
        source_close(s);
        free(file);
    }
}

static void headers_longer_than_the_file_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t n;
        const char *message;
    } cases[] = {
        {{0}, 0, "0 bytes are too few"},
        {{2, 0, 0, 0, 0, 0, 0}, 7, "7 bytes are too few"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '{'}, 9, "header of 2 bytes in a file of 9: truncated?"},
        {{0, 0, 0, 0, 0, 0, 0, 0x80, '{', '}'}, 10, "header of 9223372036854775808 bytes, more than"},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'}, 10, "header of 18446744073709551615 bytes"},
        {{0, 0, 0, 1, 0, 0, 0, 0, '{', '}'}, 10, "header of 16777216 bytes in a file of 10: truncated?"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct source *s;
        assert_int_equal(safetensors_open_memory(&s, cases[i].bytes, cases[i].n, "x"), E_FORMAT);
        if (!strstr(status_message(), cases[i].message)) fail_msg("case %zu: %s", i, status_message());
    }
}

static void every_cut_of_a_good_file_is_refused(void **state)
{
    (void)state;
    size_t bytes;
    uint8_t *file = compose(&bytes, "{" A("U8", "[2]", 0, 2) "," B("F16", "[3]", 2, 8) "}", 8);
    for (size_t n = 0; n < bytes; n++) {
        struct source *s;
        uint8_t *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, file, n);
        assert_int_equal(safetensors_open_memory(&s, cut, n, "x"), E_FORMAT);
        free(cut);
    }
    free(file);
}

/* --- the writer --- */

struct place {
    char dir[256], path[300];
};

static struct place make_place(void)
{
    struct place p;
    snprintf(p.dir, sizeof p.dir, "%s/gptjt-test-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.path, sizeof p.path, "%s/w.safetensors", p.dir);
    return p;
}

static int count_files(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void remove_place(const struct place *p)
{
    unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0);
}

static const float floats[6] = {1, -2, 3.5f, 0, 1e-30f, 6};
static const struct tensor matrix = {.data = floats, .dtype = DTYPE_F32, .n_dims = 2, .shape = {2, 3}};
static const struct tensor byte = {.data = "\7", .dtype = DTYPE_BOOL, .n_dims = 0};
static const struct tensor nothing = {.dtype = DTYPE_BF16, .n_dims = 2, .shape = {0, 5}};

static void write_one(const char *path, float value)
{
    struct safetensors_writer *w;
    const struct tensor t = {.dtype = DTYPE_F32, .n_dims = 1, .shape = {1}};
    assert_int_equal(safetensors_writer_open(&w, path), OK);
    assert_int_equal(safetensors_writer_declare(w, "v", &t), OK);
    assert_int_equal(safetensors_writer_data(w, &value, sizeof value), OK);
    assert_int_equal(safetensors_writer_commit(w), OK);
}

static double read_one(const char *path)
{
    struct source *s;
    assert_int_equal(safetensors_open(&s, path), OK);
    const double v = tensor_value(source_find(s, "v"), 0);
    source_close(s);
    return v;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    struct place p = make_place();
    struct safetensors_writer *w;
    static const char *const strange = "z \"quoted\"\n\xc3\xa9\xe2\x82\xac/\\";
    assert_int_equal(safetensors_writer_open(&w, p.path), OK);
    assert_int_equal(safetensors_writer_declare(w, strange, &byte), OK);
    assert_int_equal(safetensors_writer_declare(w, "m", &matrix), OK);
    assert_int_equal(safetensors_writer_declare(w, "empty", &nothing), OK);
    assert_int_equal(safetensors_writer_metadata(w, "format", "pt"), OK);
    assert_int_equal(safetensors_writer_data(w, byte.data, 1), OK);
    for (size_t i = 0; i < sizeof floats; i++) /* in any pieces */
        assert_int_equal(safetensors_writer_data(w, (const char *)floats + i, 1), OK);
    assert_int_equal(count_files(p.dir), 1);
    assert_false(file_exists(p.path));
    assert_int_equal(safetensors_writer_commit(w), OK);
    assert_int_equal(count_files(p.dir), 1);

    struct source *s;
    if (safetensors_open(&s, p.path) != OK) fail_msg("%s", status_message());
    assert_int_equal(s->n_entries, 3);
    const struct tensor *t = source_find(s, strange), *m = source_find(s, "m"), *e = source_find(s, "empty");
    assert_true(t && t->dtype == DTYPE_BOOL && t->n_dims == 0 && tensor_value(t, 0) == 7);
    assert_int_equal((uintptr_t)t->data % 64, 0);
    assert_true(m && m->dtype == DTYPE_F32 && m->n_dims == 2 && m->shape[0] == 2 && m->shape[1] == 3);
    assert_memory_equal(m->data, floats, sizeof floats);
    assert_true(e && e->dtype == DTYPE_BF16 && e->shape[0] == 0 && e->shape[1] == 5 && !e->data);
    source_close(s);
    remove_place(&p);
}

static void abort_leaves_the_old_file(void **state)
{
    (void)state;
    struct place p = make_place();
    struct safetensors_writer *w;
    write_one(p.path, 42);
    assert_int_equal(safetensors_writer_open(&w, p.path), OK);
    assert_int_equal(safetensors_writer_declare(w, "m", &matrix), OK);
    assert_int_equal(safetensors_writer_data(w, floats, 8), OK);
    assert_true(read_one(p.path) == 42);
    safetensors_writer_abort(w);
    assert_true(read_one(p.path) == 42);
    assert_int_equal(count_files(p.dir), 1);
    write_one(p.path, 43);
    assert_true(read_one(p.path) == 43);
    safetensors_writer_abort(NULL);
    remove_place(&p);
}

static void commit_without_all_data_fails_and_leaves_nothing(void **state)
{
    (void)state;
    struct place p = make_place();
    struct safetensors_writer *w;
    assert_int_equal(safetensors_writer_open(&w, p.path), OK);
    assert_int_equal(safetensors_writer_declare(w, "m", &matrix), OK);
    assert_int_equal(safetensors_writer_data(w, floats, sizeof floats - 1), OK);
    assert_int_equal(safetensors_writer_commit(w), E_ARG);
    assert_non_null(strstr(status_message(), "1 bytes of data are missing"));
    assert_int_equal(count_files(p.dir), 0);
    remove_place(&p);
}

static void misuse_of_the_writer_is_refused(void **state)
{
    (void)state;
    struct place p = make_place();
    struct safetensors_writer *w;
    const struct tensor huge = {.dtype = DTYPE_U8, .n_dims = 1, .shape = {INT64_MAX}};
    assert_int_equal(safetensors_writer_open(&w, p.path), OK);
    assert_int_equal(safetensors_writer_declare(w, "m", &matrix), OK);
    assert_int_equal(safetensors_writer_declare(w, "m", &byte), E_ARG);
    assert_non_null(strstr(status_message(), "\"m\" is declared twice"));
    assert_int_equal(safetensors_writer_declare(w, "\xff", &byte), E_ARG);
    assert_int_equal(safetensors_writer_declare(w, "__metadata__", &byte), E_ARG);
    assert_int_equal(safetensors_writer_declare(w, "huge", &huge), E_LIMIT);
    assert_int_equal(safetensors_writer_metadata(w, "k", "\xff"), E_ARG);
    assert_int_equal(safetensors_writer_metadata(w, "k", "v"), OK);
    assert_int_equal(safetensors_writer_metadata(w, "k", "v"), E_ARG);
    assert_int_equal(safetensors_writer_data(w, floats, sizeof floats), OK);
    assert_int_equal(safetensors_writer_data(w, floats, 1), E_ARG);
    assert_int_equal(safetensors_writer_declare(w, "late", &byte), E_ARG);
    assert_int_equal(safetensors_writer_metadata(w, "late", "v"), E_ARG);
    assert_int_equal(safetensors_writer_commit(w), OK); /* what was refused left no trace */
    struct source *s;
    assert_int_equal(safetensors_open(&s, p.path), OK);
    assert_int_equal(s->n_entries, 1);
    source_close(s);
    assert_int_equal(safetensors_writer_open(&w, "tests/no-such-directory/w"), E_IO);
    remove_place(&p);
}

static void a_file_without_tensors_can_be_written(void **state)
{
    (void)state;
    struct place p = make_place();
    struct safetensors_writer *w;
    assert_int_equal(safetensors_writer_open(&w, p.path), OK);
    assert_int_equal(safetensors_writer_commit(w), OK);
    struct source *s;
    assert_int_equal(safetensors_open(&s, p.path), OK);
    assert_int_equal(s->n_entries, 0);
    assert_null(source_find(s, "m"));
    source_close(s);
    remove_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_refused_by_name),
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(headers_longer_than_the_file_are_refused),
        cmocka_unit_test(every_cut_of_a_good_file_is_refused),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(abort_leaves_the_old_file),
        cmocka_unit_test(commit_without_all_data_fails_and_leaves_nothing),
        cmocka_unit_test(misuse_of_the_writer_is_refused),
        cmocka_unit_test(a_file_without_tensors_can_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
