// SPDX-License-Identifier: Apache-2.0
/* pytorch files put together by hand, zip and legacy, with one thing wrong in each. */
#include <inttypes.h>
#include <minizip/zip.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#include "base/file.h"
#include "formats/torchbin.h"

/* --- composing pickles --- */

static void put_text(struct buf *b, const char *text)
{
    const uint32_t n = (uint32_t)strlen(text);
    buf_append(b, "X", 1);
    buf_append(b, &n, sizeof n);
    buf_append(b, text, n);
}

static void put_int(struct buf *b, int64_t value)
{
    buf_append(b, "\x8a\10", 2); /* LONG1 of 8 bytes holds them all */
    buf_append(b, &value, sizeof value);
}

static void put_tuple(struct buf *b, const int64_t *values, int n)
{
    buf_puts(b, "(");
    for (int i = 0; i < n; i++)
        put_int(b, values[i]);
    buf_puts(b, "t");
}

/* One tensor of a state dict. */
struct made {
    const char *name, *type, *key;
    int64_t elements, offset;
    int n_dims, n_strides;
    int64_t shape[10], strides[10];
};

static void put_tensor(struct buf *b, const struct made *t, bool legacy)
{
    buf_puts(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(b, "storage");
    buf_printf(b, "ctorch\n%sStorage\n", t->type);
    put_text(b, t->key);
    put_text(b, "cuda:0");
    put_int(b, t->elements);
    buf_puts(b, legacy ? "NtQ" : "tQ");
    put_int(b, t->offset);
    put_tuple(b, t->shape, t->n_dims);
    put_tuple(b, t->strides, t->n_strides);
    buf_puts(b, "\x89"
                "ccollections\nOrderedDict\n)RtR");
}

static void put_state(struct buf *b, const struct made *tensors, int n, bool legacy)
{
    buf_puts(b, "\x80\2ccollections\nOrderedDict\n)R(");
    for (int i = 0; i < n; i++) {
        put_text(b, tensors[i].name);
        put_tensor(b, &tensors[i], legacy);
    }
    buf_puts(b, "u}");
    put_text(b, "_metadata");
    buf_puts(b, "}sb.");
}

/* --- composing zips --- */

struct member {
    const char *name; /* NULL ends a list */
    const void *data;
    size_t bytes;
    bool deflated, encrypted;
};

static void zip_members(struct buf *out, const struct member *members)
{
    char path[256];
    snprintf(path, sizeof path, "%s/gptjt-test-XXXXXX", P_tmpdir);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    zipFile z = zipOpen64(path, APPEND_STATUS_CREATE);
    assert_non_null(z);
    for (const struct member *m = members; m->name; m++) {
        const zip_fileinfo info = {0};
        const char *password = m->encrypted ? "secret" : NULL;
        assert_int_equal(zipOpenNewFileInZip3_64(z, m->name, &info, NULL, 0, NULL, 0, NULL,
                                                 m->deflated ? Z_DEFLATED : 0, 6, 0, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY,
                                                 password, 0, 0),
                         ZIP_OK);
        assert_int_equal(zipWriteInFileInZip(z, m->data, (unsigned)m->bytes), ZIP_OK);
        assert_int_equal(zipCloseFileInZip(z), ZIP_OK);
    }
    assert_int_equal(zipClose(z, NULL), ZIP_OK);
    assert_int_equal(file_read(out, path, 1 << 24), OK);
    unlink(path);
}

/* Opens a copy of exactly the bytes given, so that the sanitizer sees a read past their end; the copy is kept in *kept
 * while the source lives. */
static enum status open_bytes(struct source **s, void **kept, const void *data, size_t bytes)
{
    void *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    const enum status status = torchbin_open_memory(s, copy, bytes, "x.bin");
    if (status == OK)
        *kept = copy;
    else
        free(copy);
    return status;
}

static void expect_refused(const struct buf *file, enum status wanted, const char *fragment)
{
    struct source *s;
    void *kept = NULL;
    const enum status got = open_bytes(&s, &kept, file->data ? file->data : "", file->len);
    if (got != wanted || !strstr(status_message(), fragment))
        fail_msg("status %d, wanted %d: \"%s\" should have \"%s\"", (int)got, (int)wanted, status_message(), fragment);
}

static const uint8_t counting[64] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void zip_state(struct buf *out, const struct made *tensors, int n)
{
    struct buf pickle = {0};
    put_state(&pickle, tensors, n, false);
    zip_members(out, (const struct member[]){{"m/data.pkl", pickle.data, pickle.len},
                                             {"m/data/0", counting, 64},
                                             {"m/data/1", counting, 8},
                                             {"m/byteorder", "little", 6},
                                             {"elsewhere/data/0", "", 0},
                                             {NULL}});
    buf_free(&pickle);
}

/* The legacy file of one tensor whose storage is the 64 bytes above; tensors of the same key share it. */
static void legacy_state(struct buf *out, const struct made *tensors, int n, const char *key, uint64_t elements,
                         const char *endian, size_t data_bytes)
{
    buf_append(out, "\x80\2\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3.\x80\2}", 24);
    put_text(out, "little_endian");
    buf_puts(out, endian);
    buf_puts(out, "s.");
    put_state(out, tensors, n, true);
    buf_puts(out, "\x80\2](");
    put_text(out, key);
    buf_puts(out, "e.");
    buf_append(out, &elements, sizeof elements);
    buf_append(out, counting, data_bytes);
}

/* The same zip as a writer beyond 4 GB makes it: wide end record, numbers in extra fields (sizes and offset, or the
 * offset alone). */
static void widen_zip(struct buf *out, const struct buf *in, bool sizes)
{
    static const uint8_t ones[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const uint8_t *end = (const uint8_t *)in->data + in->len - 22;
    uint32_t begin, wide;
    memcpy(&begin, end + 16, 4);
    buf_append(out, in->data, begin);
    uint64_t n = 0;
    for (const uint8_t *p = (const uint8_t *)in->data + begin; p < end; n++) {
        const uint16_t name = (uint16_t)(p[28] | p[29] << 8), extra = (uint16_t)(sizes ? 28 : 12);
        const uint16_t field[2] = {1, (uint16_t)(extra - 4)};
        uint64_t number = 0;
        buf_append(out, p, 20);
        buf_append(out, sizes ? ones : p + 20, 8);
        buf_append(out, p + 28, 2);
        buf_append(out, &extra, 2);
        buf_append(out, p + 32, 10);
        buf_append(out, ones, 4);
        buf_append(out, p + 46, name);
        buf_append(out, field, 4);
        for (int k = sizes ? 0 : 2; k < 3; k++) {
            memcpy(&number, p + (const int[]){24, 20, 42}[k], 4);
            buf_append(out, &number, 8);
        }
        p += 46 + name;
    }
    wide = (uint32_t)out->len;
    const uint64_t sized = wide - begin, from = begin, at = wide, record = 44;
    buf_append(out, "PK\6\6", 4);
    buf_append(out, &record, 8);
    buf_append(out, "-\0-\0\0\0\0\0\0\0\0\0", 12);
    buf_append(out, &n, 8);
    buf_append(out, &n, 8);
    buf_append(out, &sized, 8);
    buf_append(out, &from, 8);
    buf_append(out, "PK\6\7\0\0\0\0", 8);
    buf_append(out, &at, 8);
    buf_append(out, "\1\0\0\0PK\5\6\0\0\0\0", 12);
    buf_append(out, ones, 8);
    buf_append(out, ones, 4);
    buf_append(out, "\0\0", 2);
}

static const struct made good = {"w", "Byte", "0", 64, 4, 2, 2, {2, 3}, {3, 1}};

static void both_formats_give_views_of_their_storages(void **state)
{
    (void)state;
    static const struct made tensors[] = {
        {"z.whole", "Byte", "0", 64, 0, 1, 1, {64}, {1}},
        {"part", "Byte", "0", 64, 4, 2, 2, {2, 3}, {3, 1}},
        {"odd strides of ones", "Byte", "0", 64, 1, 4, 4, {1, 2, 1, 2}, {99, 2, -7, 1}},
        {"scalar", "Byte", "0", 64, 63, 0, 0, {0}, {0}},
        {"none", "Byte", "0", 64, 64, 3, 3, {2, 0, 9}, {5, -5, 77}},
        {"at the end", "Byte", "0", 64, 62, 1, 1, {2}, {1}},
    };
    for (int legacy = 0; legacy < 2; legacy++) {
        struct buf file = {0};
        if (legacy)
            legacy_state(&file, tensors, COUNT_OF(tensors), "0", 64, "\x88", 64);
        else
            zip_state(&file, tensors, COUNT_OF(tensors));
        struct source *s = NULL;
        void *kept = NULL;
        if (open_bytes(&s, &kept, file.data, file.len) != OK) fail_msg("%s", status_message());
        assert_string_equal(s->ops->kind, legacy ? "pytorch legacy" : "pytorch zip");
        assert_int_equal(s->n_entries, COUNT_OF(tensors));
        for (size_t i = 0; i < COUNT_OF(tensors); i++) {
            const struct tensor *t = source_find(s, tensors[i].name);
            assert_non_null(t);
            assert_int_equal(t->dtype, DTYPE_U8);
            assert_int_equal(t->n_dims, tensors[i].n_dims);
            assert_int_equal(t->data != NULL, tensor_elements(t) > 0);
            for (int64_t k = 0; k < tensor_elements(t); k++)
                assert_true(tensor_value(t, k) == counting[tensors[i].offset + k]);
        }
        source_close(s);
        free(kept);
        buf_free(&file);
    }
}

static void every_storage_type_is_mapped(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        enum dtype dtype;
    } cases[] = {
        {"Float", DTYPE_F32}, {"Double", DTYPE_F64}, {"Half", DTYPE_F16}, {"BFloat16", DTYPE_BF16},
        {"Byte", DTYPE_U8},   {"Bool", DTYPE_BOOL},  {"Char", DTYPE_I8},  {"Short", DTYPE_I16},
        {"Int", DTYPE_I32},   {"Long", DTYPE_I64},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const int64_t n = 64 / (int64_t)dtype_bytes(cases[i].dtype);
        const struct made t = {"w", cases[i].type, "0", n, 0, 1, 1, {n}, {1}};
        struct buf file = {0};
        struct source *s = NULL;
        void *kept = NULL;
        zip_state(&file, &t, 1);
        if (open_bytes(&s, &kept, file.data, file.len) != OK) fail_msg("%s", status_message());
        assert_int_equal(source_find(s, "w")->dtype, cases[i].dtype);
        assert_int_equal(tensor_bytes(source_find(s, "w")), 64);
        source_close(s);
        free(kept);
        buf_free(&file);
    }
}

static void tensors_beyond_their_storage_are_refused(void **state)
{
    (void)state;
    const int64_t big = INT64_MAX;
    const struct {
        struct made t;
        enum status status;
        const char *message;
    } cases[] = {
        {{"w", "Byte", "7", 64, 0, 1, 1, {1}, {1}}, E_FORMAT, "tensor \"w\": its storage \"7\" is missing"},
        {{"w", "Byte", "0/", 64, 0, 1, 1, {1}, {1}}, E_FORMAT, "storage \"0/\" is missing"},
        {{"w", "Byte", "", 64, 0, 1, 1, {1}, {1}}, E_FORMAT, "storage \"\" is missing"},
        {{"w", "Byte", "0", 65, 0, 1, 1, {1}, {1}}, E_FORMAT, "storage \"0\" of 65 elements of U8 has only 64 bytes"},
        {{"w", "Long", "0", 9, 0, 1, 1, {1}, {1}}, E_FORMAT, "of 9 elements of I64 has only 64 bytes"},
        {{"w", "Long", "0", big, 0, 1, 1, {1}, {1}}, E_FORMAT, "has only 64 bytes"},
        {{"w", "Byte", "0", -1, 0, 1, 1, {1}, {1}}, E_FORMAT, "of -1 elements"},
        {{"w", "Byte", "1", 8, 0, 1, 1, {9}, {1}},
         E_FORMAT,
         "9 elements from 0 on reach beyond storage \"1\" of 8 elements"},
        {{"w", "Byte", "0", 64, 60, 1, 1, {5}, {1}}, E_FORMAT, "5 elements from 60 on reach beyond"},
        {{"w", "Byte", "0", 64, 65, 1, 1, {0}, {1}}, E_FORMAT, "reach beyond"},
        {{"w", "Byte", "0", 64, -1, 1, 1, {1}, {1}}, E_FORMAT, "from -1 on reach beyond"},
        {{"w", "Byte", "0", 64, big, 1, 1, {1}, {1}}, E_FORMAT, "reach beyond"},
        {{"w", "Byte", "0", 64, INT64_MIN, 1, 1, {1}, {1}}, E_FORMAT, "reach beyond"},
        {{"w", "Byte", "0", 64, 0, 1, 1, {-1}, {1}}, E_FORMAT, "tensor \"w\": dimension 0 is -1"},
        {{"w", "Byte", "0", 64, 0, 2, 2, {big, 2}, {2, 1}}, E_FORMAT, "tensor \"w\": shape overflows"},
        {{"w", "Double", "0", 8, 0, 1, 1, {big}, {1}}, E_FORMAT, "overflow"},
        {{"w", "Byte", "0", 64, 0, 2, 2, {2, 3}, {1, 2}},
         E_UNSUPPORTED,
         "x.bin: tensor \"w\": shape [2, 3] with strides [1, 2] is not contiguous"},
        {{"w", "Byte", "0", 64, 0, 2, 2, {2, 3}, {0, 1}}, E_UNSUPPORTED, "not contiguous"},
        {{"w", "Byte", "0", 64, 0, 1, 1, {2}, {-1}}, E_UNSUPPORTED, "not contiguous"},
        {{"w", "Byte", "0", 64, 0, 1, 1, {2}, {big}}, E_UNSUPPORTED, "not contiguous"},
        {{"w", "Byte", "0", 64, 0, 2, 1, {2, 3}, {3}}, E_FORMAT, "2 dimensions with 1 strides"},
        {{"w", "Byte", "0", 64, 0, 9, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
         E_UNSUPPORTED,
         "shape of 9 dimensions, more than 8"},
        {{"w\xff", "Byte", "0", 64, 0, 1, 1, {1}, {1}}, E_FORMAT, "holds a NUL or is not UTF-8"},
        {{"w", "ComplexFloat", "0", 8, 0, 1, 1, {1}, {1}}, E_UNSUPPORTED, "foreign global torch.ComplexFloatStorage"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf file = {0};
        zip_state(&file, &cases[i].t, 1);
        expect_refused(&file, cases[i].status, cases[i].message);
        buf_free(&file);
    }
}

static void a_tensor_listed_twice_is_refused(void **state)
{
    (void)state;
    struct buf file = {0};
    zip_state(&file, (const struct made[]){good, good}, 2);
    expect_refused(&file, E_FORMAT, "tensor \"w\" occurs twice");
    buf_free(&file);
}

static void roots_that_are_no_state_dict_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *before; /* the pickle is this, a tensor, and that */
        const char *after;
        enum status status;
        const char *message;
    } cases[] = {
        {"", ".", E_UNSUPPORTED, "holds one tensor, not a state dict"},
        {"](", "e.", E_UNSUPPORTED, "holds something else than a state dict"},
        {"}X\5\1\1\1model}X\1\1\1\1w", "ss.", E_UNSUPPORTED, "the weights sit inside \"model\""},
        {"}X\12\1\1\1state_dict}X\1\1\1\1w", "ss.", E_UNSUPPORTED, "the weights sit inside \"state_dict\""},
        {"}X\5\1\1\1other}X\1\1\1\1w", "ss.", E_UNSUPPORTED, "\"other\" in the state dict is not a tensor"},
        {"}X\1\1\1\1w", "sX\5\1\1\1epochK\3s.", E_UNSUPPORTED, "\"epoch\" in the state dict is not a tensor"},
        {"}K\1", "s.", E_FORMAT, "a key of the state dict is not text"},
        {"}X\3\1\1\1a\1b", "s.", E_FORMAT, "the tensor name \"a"},
        {"cos\nsystem\nX\2\1\1\1ls\x85R", ".", E_UNSUPPORTED, "x.bin: pickle names foreign global os.system"},
        {"", "\x81.", E_UNSUPPORTED, "opcode 0x81 is not supported"},
        {"", "00.", E_FORMAT, "stack underflow"},
        {"h\5", ".", E_FORMAT, "memo 5 is not set"},
        {"", "", E_FORMAT, "the pickle ends before its STOP"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf pickle = {0}, file = {0};
        buf_puts(&pickle, cases[i].before);
        for (size_t k = 1; k < pickle.len; k++) /* \1 stands for \0, which a C string cannot hold */
            if (pickle.data[k] == 1 && pickle.data[k - 1] != 'K' && pickle.data[k - 1] != 'X') pickle.data[k] = 0;
        put_tensor(&pickle, &good, false);
        buf_puts(&pickle, cases[i].after);
        for (size_t k = pickle.len - strlen(cases[i].after); k < pickle.len; k++)
            if (pickle.data[k] == 1) pickle.data[k] = 0;
        zip_members(&file, (const struct member[]){
                               {"m/data.pkl", pickle.data, pickle.len}, {"m/data/0", counting, 64}, {NULL}});
        expect_refused(&file, cases[i].status, cases[i].message);
        buf_free(&pickle);
        buf_free(&file);
    }
}

static void foreign_zips_are_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    put_state(&b, &good, 1, false);
    const struct {
        struct member members[5];
        enum status status;
        const char *message;
    } cases[] = {
        {{{"m/data.pkl", b.data, b.len}, {"m/data/0", counting, 64, .deflated = true}},
         E_UNSUPPORTED,
         "entry m/data/0 is compressed (method 8)"},
        {{{"m/data.pkl", b.data, b.len, .deflated = true}}, E_UNSUPPORTED, "entry m/data.pkl is compressed"},
        {{{"m/data.pkl", b.data, b.len, .encrypted = true}}, E_UNSUPPORTED, "entry m/data.pkl is encrypted"},
        {{{"m/data.pkl", b.data, b.len}, {"m/byteorder", "big", 3}, {"m/data/0", counting, 64}},
         E_UNSUPPORTED,
         "byte order \"big\" is not supported"},
        {{{"m/data.pkl", b.data, b.len}, {"m/data/0", counting, 64}, {"m/data/0", counting, 64}},
         E_FORMAT,
         "storage \"0\" occurs twice"},
        {{{"m/data.pkl", b.data, b.len}}, E_FORMAT, "its storage \"0\" is missing"},
        {{{"m/data.pkl", b.data, b.len}, {"n/data/0", counting, 64}}, E_FORMAT, "its storage \"0\" is missing"},
        {{{"m/data.pkl", b.data, b.len}, {"m/constants.pkl", b.data, b.len, .deflated = true}},
         E_UNSUPPORTED,
         "a TorchScript archive"},
        {{{"m/data/0", counting, 64}}, E_FORMAT, "a zip file without data.pkl"},
        {{{"data.pkl", b.data, b.len}}, E_FORMAT, "zip entry data.pkl is not in a folder"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf file = {0};
        zip_members(&file, cases[i].members);
        expect_refused(&file, cases[i].status, cases[i].message);
        buf_free(&file);
    }
    buf_free(&b);
}

static void wide_zips_are_read_and_their_cuts_refused(void **state)
{
    (void)state;
    for (int sizes = 0; sizes < 2; sizes++) {
        struct buf narrow = {0}, file = {0};
        struct source *s = NULL;
        void *kept = NULL;
        zip_state(&narrow, &good, 1);
        widen_zip(&file, &narrow, sizes);
        if (open_bytes(&s, &kept, file.data, file.len) != OK) fail_msg("%s", status_message());
        assert_memory_equal(source_find(s, "w")->data, counting + 4, 6);
        source_close(s);
        free(kept);
        for (size_t n = 4; n < file.len; n++)
            expect_refused(&(struct buf){.data = file.data, .len = n}, E_FORMAT, "truncated?");
        buf_free(&narrow);
        buf_free(&file);
    }
}

static void damaged_directories_are_refused(void **state)
{
    (void)state;
    static const struct {
        int at; /* from the end of the file when negative, else in the last directory record */
        uint8_t value;
        const char *message;
    } cases[] = {
        {-2, 1, "the zip directory at the end of the file is missing"}, /* a comment that is not there */
        {-12, 0xff, "missing or damaged"},                              /* more entries than fit */
        {-12, 3, "missing or damaged"},                                 /* fewer than are there */
        {-10, 0xff, "missing or damaged"},                              /* a longer directory */
        {-3, 0x80, "missing or damaged"},                               /* a directory beyond the file */
        {0, 'X', "missing or damaged"},                                 /* a record without its signature */
        {29, 0xff, "missing or damaged"},                               /* a name beyond the directory */
        {45, 0xff, "entry m/data/0 is not where the zip directory says"},
        {42, 0, "entry m/data/0 has another name at its place"},
        {27, 0x80, "reaches beyond the entries: truncated?"},
        {46, 'n', "storage \"0\" is missing"}, /* another folder */
        {47, 0, "a zip entry has an impossible name"},
    };
    struct buf pickle = {0};
    put_state(&pickle, &good, 1, false);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf file = {0};
        zip_members(&file, (const struct member[]){
                               {"m/data.pkl", pickle.data, pickle.len}, {"m/data/0", counting, 64}, {NULL}});
        const size_t last = file.len - 22 - 46 - strlen("m/data/0");
        file.data[cases[i].at < 0 ? file.len - (size_t)-cases[i].at : last + (size_t)cases[i].at] =
            (char)cases[i].value;
        if (cases[i].at == 27) memset(file.data + last + 20, 0x7f, 8); /* both sizes, or they differ */
        if (cases[i].at == 42) memset(file.data + last + 42, 0, 4);
        expect_refused(&file, E_FORMAT, cases[i].message);
        buf_free(&file);
    }
    buf_free(&pickle);
}

static void every_cut_of_a_good_zip_is_refused(void **state)
{
    (void)state;
    struct buf file = {0};
    zip_state(&file, &good, 1);
    for (size_t n = 4; n < file.len; n++)
        expect_refused(&(struct buf){.data = file.data, .len = n}, E_FORMAT, "truncated?");
    for (size_t n = 0; n < 4; n++)
        expect_refused(&(struct buf){.data = file.data, .len = n}, E_FORMAT, "not a pytorch file");
    buf_free(&file);
}

static void every_cut_of_a_good_legacy_file_is_refused(void **state)
{
    (void)state;
    struct buf file = {0};
    legacy_state(&file, &good, 1, "0", 64, "\x88", 64);
    for (size_t n = 2; n < file.len; n++)
        expect_refused(&(struct buf){.data = file.data, .len = n}, E_FORMAT, "truncated?");
    buf_free(&file);
}

static void bad_legacy_files_are_refused(void **state)
{
    (void)state;
    static const struct made other_type = {"v", "Half", "0", 32, 0, 1, 1, {32}, {1}};
    static const struct {
        const char *key, *endian;
        uint64_t elements;
        size_t data_bytes;
        bool two_types;
        enum status status;
        const char *message;
    } cases[] = {
        {"0", "\x89", 64, 64, false, E_UNSUPPORTED, "byte order \"big\""},
        {"1", "\x88", 64, 64, false, E_FORMAT, "storage \"1\" is not in the state dict"},
        {"0", "\x88", 63, 63, false, E_FORMAT, "storage \"0\" of 64 elements of U8 has only 63 bytes"},
        {"0", "\x88", 63, 64, false, E_FORMAT, "1 bytes after the last storage"},
        {"0", "\x88", 65, 64, false, E_FORMAT, "storage \"0\" of 65 elements reaches beyond the file: truncated?"},
        {"0", "\x88", UINT64_MAX, 64, false, E_FORMAT, "of 18446744073709551615 elements reaches beyond"},
        {"0", "\x88", 64, 64, true, E_FORMAT, "storage \"0\" is both"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf file = {0};
        legacy_state(&file, (const struct made[]){good, other_type}, cases[i].two_types ? 2 : 1, cases[i].key,
                     cases[i].elements, cases[i].endian, cases[i].data_bytes);
        expect_refused(&file, cases[i].status, cases[i].message);
        buf_free(&file);
    }
}

static void pickles_that_are_not_torch_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t bytes;
        enum status status;
        const char *message;
    } cases[] = {
        {"\x80\2K\1.", 5, E_FORMAT, "a pickle without torch's magic number"},
        {"\x80\2\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x18.", 15, E_FORMAT, "without torch's magic number"},
        {"\x80\2\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe8\3.", 21, E_UNSUPPORTED,
         "another version than 1001"},
        {"\x80\2\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3.\x80\2].", 25, E_FORMAT,
         "about the machine is not a dict"},
        {"\x80\2cnumpy\nload\n", 14, E_UNSUPPORTED, "foreign global numpy.load"},
        {"nonsense", 8, E_FORMAT, "neither a zip nor a pickle"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf file = {0};
        buf_append(&file, cases[i].data, cases[i].bytes);
        expect_refused(&file, cases[i].status, cases[i].message);
        buf_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_give_views_of_their_storages),
        cmocka_unit_test(every_storage_type_is_mapped),
        cmocka_unit_test(tensors_beyond_their_storage_are_refused),
        cmocka_unit_test(a_tensor_listed_twice_is_refused),
        cmocka_unit_test(roots_that_are_no_state_dict_are_refused),
        cmocka_unit_test(foreign_zips_are_refused),
        cmocka_unit_test(wide_zips_are_read_and_their_cuts_refused),
        cmocka_unit_test(damaged_directories_are_refused),
        cmocka_unit_test(every_cut_of_a_good_zip_is_refused),
        cmocka_unit_test(every_cut_of_a_good_legacy_file_is_refused),
        cmocka_unit_test(bad_legacy_files_are_refused),
        cmocka_unit_test(pickles_that_are_not_torch_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
