// SPDX-License-Identifier: Apache-2.0
/* Files of training data: unpacking, records, globs; and everything that can be wrong with them. */
#include "data_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "base/compiler.h"
#include "data/bytes.h"
#include "data/data.h"
#include "data/paths.h"
#include "data/stream.h"

/* One gzip member; appended where add. */
static void put_gzip(const char *name, const char *text, size_t n, bool add)
{
    gzFile f = gzopen(path_of(name), add ? "ab" : "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, text, (unsigned)n), (int)n);
    assert_int_equal(gzclose(f), Z_OK);
}

static size_t zstd_frame(void *out, size_t cap, const char *text, size_t n)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    const size_t bytes = ZSTD_compress2(c, out, cap, text, n);
    assert_false(ZSTD_isError(bytes));
    ZSTD_freeCCtx(c);
    return bytes;
}

static void put_zstd(const char *name, const char *text, size_t n)
{
    const size_t cap = ZSTD_compressBound(n);
    void *packed = malloc(cap);
    put_bytes(name, packed, zstd_frame(packed, cap, text, n));
    free(packed);
}

/* Lines of different lengths, some longer than any block that is read at once. */
static char *make_lines(int n, size_t *len)
{
    struct buf b = {0};
    for (int i = 0; i < n; i++) {
        buf_printf(&b, "{\"text\": \"line %d ", i);
        for (int k = 0; k < (i % 100 == 50 ? 200000 : i * 7 % 50); k++)
            buf_puts(&b, k % 251 % 2 ? "x" : "y");
        buf_puts(&b, "\"}\n");
    }
    *len = b.len;
    return b.data;
}

/* ---- Bytes ---- */

static void check_bytes(const char *name, const char *text, size_t len)
{
    struct buf out = {0};
    if (bytes_read_file(&out, path_of(name), len + 1) != OK) fail_msg("%s", status_message());
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, text, len);
    buf_free(&out);
    assert_int_equal(bytes_read_file(&out, path_of(name), len - 1), E_LIMIT);
    buf_free(&out);

    for (size_t skip = 0; skip < len; skip += 1 + len / 7) {
        struct bytes *b;
        char block[100];
        size_t n;
        assert_int_equal(bytes_open(&b, path_of(name)), OK);
        assert_int_equal(bytes_skip(b, skip), OK);
        assert_int_equal(bytes_read(b, block, sizeof block, &n), OK);
        assert_true(n > 0);
        assert_memory_equal(block, text + skip, n);
        bytes_close(b);
    }
}

static void files_are_unpacked_by_their_names(void **state)
{
    (void)state;
    size_t len;
    char *text = make_lines(400, &len);
    put_bytes("a.jsonl", text, len);
    put_gzip("a.jsonl.gz", text, len / 3, false);
    put_gzip("a.jsonl.gz", text + len / 3, len - len / 3, true); /* two members */
    put_zstd("a.jsonl.zst", text, len);
    check_bytes("a.jsonl", text, len);
    check_bytes("a.jsonl.gz", text, len);
    check_bytes("a.jsonl.zst", text, len);

    char *two = malloc(2 * ZSTD_compressBound(len)); /* two frames */
    size_t n = zstd_frame(two, ZSTD_compressBound(len), text, len / 2);
    n += zstd_frame(two + n, ZSTD_compressBound(len), text + len / 2, len - len / 2);
    put_bytes("a.jsonl.zst", two, n);
    check_bytes("a.jsonl.zst", text, len);
    free(two);
    scratch_drop(directory, "a.jsonl");
    scratch_drop(directory, "a.jsonl.gz");
    scratch_drop(directory, "a.jsonl.zst");
    free(text);
}

/* ---- Records ---- */

/* Every record from every record on. */
static void check_records(const char *name, int n_expected)
{
    const struct stream_options options = {0};
    struct stream_place places[512] = {{0}};
    int n = 0;
    for (int start = 0; start <= n_expected; start += start < 5 ? 1 : 41) {
        struct stream *s;
        assert_int_equal(stream_open(&s, path_of(name), &options, &places[start]), OK);
        for (n = start;; n++) {
            struct stream_record record;
            bool got;
            char expected[64];
            if (stream_next(s, n % 3 != 1, &record, &got) != OK) fail_msg("%s", status_message());
            if (!got) break;
            places[n + 1] = stream_at(s);
            snprintf(expected, sizeof expected, "{\"text\": \"line %d ", n);
            if (n % 3 != 1) assert_memory_equal(record.data, expected, strlen(expected));
        }
        assert_int_equal(n, n_expected);
        stream_close(s);
    }
}

static void lines_are_records_whatever_packs_them(void **state)
{
    (void)state;
    size_t len;
    char *text = make_lines(300, &len);
    put_bytes("a.jsonl", text, len - 1); /* the last line break may be missing */
    put_gzip("a.jsonl.gz", text, len, false);
    put_zstd("a.jsonl.zst", text, len);
    check_records("a.jsonl", 300);
    check_records("a.jsonl.gz", 300);
    check_records("a.jsonl.zst", 300);
    scratch_drop(directory, "a.jsonl");
    scratch_drop(directory, "a.jsonl.gz");
    scratch_drop(directory, "a.jsonl.zst");
    free(text);
}

static void blank_lines_and_byte_order_marks_are_no_records(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf{\"a\": 1}\r\n\r\n   \n\t\n{\"b\": 2}";
    const struct stream_options options = {0};
    const struct stream_place start = {0};
    struct stream *s;
    struct stream_record r;
    bool got;
    put_bytes("a.jsonl", text, sizeof text - 1);
    assert_int_equal(stream_open(&s, path_of("a.jsonl"), &options, &start), OK);
    assert_int_equal(stream_next(s, true, &r, &got), OK);
    assert_int_equal(r.data[0], '{');
    assert_int_equal(r.place.number, 0);
    assert_int_equal(stream_next(s, true, &r, &got), OK);
    assert_string_equal(r.data, "{\"b\": 2}");
    assert_int_equal(r.place.number, 4);
    assert_int_equal(stream_next(s, true, &r, &got), OK);
    assert_false(got);
    stream_close(s);
    scratch_drop(directory, "a.jsonl");
}

/* A field may have line breaks, commas and quotes in it; records begin anywhere, in packed files too. */
static void rows_are_objects_by_their_header(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbfid,text\r\n1,plain\r\n\r\n2,\"two\nlines, and \"\"quotes\"\"\"\n3,\n";
    static const char *const rows[] = {"{\"id\":\"1\",\"text\":\"plain\"}",
                                       "{\"id\":\"2\",\"text\":\"two\\nlines, and \\\"quotes\\\"\"}",
                                       "{\"id\":\"3\",\"text\":\"\"}"};
    static const char *const names[] = {"a.csv", "a.csv.gz"};
    put_bytes(names[0], text, sizeof text - 1);
    put_gzip(names[1], text, sizeof text - 1, false);
    for (size_t k = 0; k < COUNT_OF(names); k++) {
        struct stream_place place = {0};
        for (size_t first = 0; first <= COUNT_OF(rows); first++) {
            const struct stream_options options = {0};
            struct stream *s;
            struct stream_record r;
            bool got;
            if (stream_open(&s, path_of(names[k]), &options, &place) != OK) fail_msg("%s", status_message());
            for (size_t i = first; i < COUNT_OF(rows); i++) {
                if (stream_next(s, true, &r, &got) != OK) fail_msg("%s", status_message());
                assert_true(got && r.is_json);
                assert_string_equal(r.data, rows[i]);
                if (i == first) place = stream_at(s);
            }
            assert_int_equal(stream_next(s, true, &r, &got), OK);
            assert_false(got);
            stream_close(s);
        }
        scratch_drop(directory, names[k]);
    }
}

/* Text of 3 MB in parts: put together it is the file, and each part may be gone to. */
static void long_text_is_cut_between_paragraphs(void **state)
{
    (void)state;
    struct buf text = {0}, again = {0};
    for (int i = 0; text.len < 3 << 20; i++)
        buf_printf(&text, "paragraph %d: caf\xc3\xa9%s", i, i % 3 ? "\n" : "\n\n");
    put_bytes("a.txt", text.data, text.len);
    const struct stream_options options = {0};
    struct stream_place at = {0};
    int n = 0;
    for (;; n++) {
        struct stream *s;
        struct stream_record r;
        bool got;
        assert_int_equal(stream_open(&s, path_of("a.txt"), &options, &at), OK);
        assert_int_equal(stream_next(s, true, &r, &got), OK);
        if (got) {
            buf_append(&again, r.data, r.len);
            if (again.len < text.len) assert_memory_equal(r.data + r.len - 2, "\n\n", 2);
            at = stream_at(s);
        }
        stream_close(s);
        if (!got) break;
    }
    assert_in_range(n, 3, 5);
    assert_int_equal(again.len, text.len);
    assert_memory_equal(again.data, text.data, text.len);
    buf_free(&again);
    buf_free(&text);

    /* Without any line break: whole characters all the same. */
    for (int i = 0; i < 1 << 20; i++)
        buf_puts(&text, "\xe2\x82\xac");
    put_bytes("a.txt", text.data, text.len);
    struct stream *s;
    at = (struct stream_place){0};
    assert_int_equal(stream_open(&s, path_of("a.txt"), &options, &at), OK);
    for (bool got = true; got;) {
        struct stream_record r;
        assert_int_equal(stream_next(s, true, &r, &got), OK);
        if (got) assert_int_equal(r.len % 3, 0);
    }
    stream_close(s);
    buf_free(&text);
    scratch_drop(directory, "a.txt");
}

static void json_files_are_arrays_or_objects(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool members;
        int n;
        const char *second;
    } cases[] = {
        {"[1, {\"a\": 2}]", false, 2, "{\"a\":2}"},
        {"[]", false, 0, NULL},
        {"{\"a\": \"x\", \"b\": \"y\"}", false, 1, NULL},
        {"{\"a\": \"x\", \"b\": \"y\"}", true, 2, "\"y\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct stream_options options = {.members = cases[i].members};
        const struct stream_place start = {0};
        struct stream *s;
        struct stream_record r;
        bool got = true;
        int n = 0;
        scratch_put(directory, "a.json", cases[i].text);
        assert_int_equal(stream_open(&s, path_of("a.json"), &options, &start), OK);
        for (; got; n += got) {
            assert_int_equal(stream_next(s, true, &r, &got), OK);
            if (got && n == 1) assert_string_equal(r.data, cases[i].second);
        }
        assert_int_equal(n, cases[i].n);
        stream_close(s);
    }
    scratch_drop(directory, "a.json");
}

/* ---- Paths ---- */

static void directories_and_globs_give_each_file_once(void **state)
{
    (void)state;
    static const char *const names[] = {"b.jsonl", "a.jsonl.gz", "c.txt.zst", "d.xml", ".e.jsonl"};
    const char *all[] = {directory, path_of("*.jsonl"), path_of("b.jsonl")};
    struct option_strings paths = {.items = all, .n = 3};
    struct paths found;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        scratch_put(directory, names[i], "x");
    mkdir(path_of("f.jsonl"), 0777);
    assert_int_equal(paths_find(&found, &paths, stream_knows), OK);
    assert_int_equal(found.n, 3);
    assert_string_equal(found.items[0], path_of("a.jsonl.gz"));
    assert_string_equal(found.items[1], path_of("b.jsonl"));
    assert_string_equal(found.items[2], path_of("c.txt.zst"));
    paths_free(&found);

    static const struct {
        const char *name, *message;
    } bad[] = {
        {"nothing.jsonl", "No such file"}, {"*.tsv", "matches no file"}, {"f.jsonl", "no file in this directory"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *one = path_of(bad[i].name);
        paths = (struct option_strings){.items = &one, .n = 1};
        assert_int_equal(paths_find(&found, &paths, stream_knows), E_IO);
        assert_non_null(strstr(status_message(), bad[i].message));
        paths_free(&found);
    }
    rmdir(path_of("f.jsonl"));
    for (size_t i = 0; i < COUNT_OF(names); i++)
        scratch_drop(directory, names[i]);
}

/* As Natural-Instructions names the tasks to train on. */
static void lists_stand_for_the_files_they_name(void **state)
{
    (void)state;
    const char *list = path_of("splits/default/train_tasks.txt");
    struct option_strings given = {.items = &list, .n = 1};
    struct paths found;
    mkdir(path_of("splits"), 0777);
    mkdir(path_of("splits/default"), 0777);
    mkdir(path_of("tasks"), 0777);
    scratch_put(directory, "tasks/b.json", "{}");
    scratch_put(directory, "tasks/a.json", "{}");
    scratch_put(directory, "splits/default/c.json", "{}");
    scratch_put(directory, "splits/default/train_tasks.txt", "b\r\na\n\nc\nb");
    assert_int_equal(paths_find(&found, &given, stream_knows), OK);
    assert_int_equal(paths_read_lists(&found), OK);
    assert_int_equal(found.n, 3);
    assert_string_equal(found.items[0], path_of("splits/default/../../tasks/a.json"));
    assert_string_equal(found.items[1], path_of("splits/default/../../tasks/b.json"));
    assert_string_equal(found.items[2], path_of("splits/default/c.json"));
    paths_free(&found);

    scratch_put(directory, "splits/default/train_tasks.txt", "b\nx\n");
    assert_int_equal(paths_find(&found, &given, stream_knows), OK);
    assert_int_equal(paths_read_lists(&found), E_IO);
    assert_non_null(strstr(status_message(), "train_tasks.txt: line 2: there is no x.json"));
    scratch_put(directory, "splits/default/train_tasks.txt", "\n");
    assert_int_equal(paths_read_lists(&found), E_FORMAT);
    paths_free(&found);
    scratch_drop(directory, "tasks/a.json");
    scratch_drop(directory, "tasks/b.json");
    scratch_drop(directory, "splits/default/c.json");
    scratch_drop(directory, "splits/default/train_tasks.txt");
    rmdir(path_of("splits/default"));
    rmdir(path_of("splits"));
    rmdir(path_of("tasks"));
}

/* ---- Bad input ---- */

/* Opening or reading fails, in one line that has both parts: which file and where, and what. */
static void assert_refused(int format, const char *name, enum status expected, const char *where, const char *what)
{
    const char *path = path_of(name);
    const struct data_source source = {.format = format, .paths = {&path, 1}, .weight = 1, .field = "text"};
    const struct data_settings set = settings_of(&source);
    int32_t token[64], lo[64], hi[64], target[64];
    struct data_sequence s = {token, lo, hi, target, 0, 0};
    for (int n_workers = 0; n_workers < 2; n_workers++) {
        struct data *d = NULL;
        enum status status = data_open(&d, &set, tokenizer, 0, 1, n_workers);
        for (int i = 0; status == OK && i < 500; i++)
            status = data_next(d, &s);
        if (status != expected || !strstr(status_message(), where) || !strstr(status_message(), what))
            fail_msg("%s: status %d: %s", name, status, status_message());
        if (d) assert_int_equal(data_next(d, &s), expected); /* and stays so */
        data_close(d);
    }
}

static void bad_records_are_named_by_file_and_line(void **state)
{
    (void)state;
    static const struct {
        int format;
        const char *name, *text, *where, *what;
    } cases[] = {
        {DATA_PILE, "a.jsonl", "{\"text\": \"x\"}\n{\"text\": \n", "a.jsonl: line 2", "unexpected"},
        {DATA_PILE, "a.jsonl", "{\"text\": \"x\"}\n\n{\"txt\": 1}", "a.jsonl: line 3", "no \"text\""},
        {DATA_PILE, "a.jsonl", "{\"text\": 5}", "a.jsonl: line 1", "not a string"},
        {DATA_PILE, "a.jsonl", "[1]", "a.jsonl: line 1", "no object"},
        {DATA_PILE, "a.jsonl", "{\"text\": \"caf\xe9\"}", "a.jsonl: line 1", "UTF-8"},
        {DATA_PILE, "a.jsonl", "{\"text\": \"a\", \"text\": \"b\"}", "a.jsonl: line 1", "duplicate"},
        {DATA_PILE, "a.jsonl", "\n\n", "no record in", "a.jsonl"},
        {DATA_PILE, "a.jsonl", "{\"text\": \"\"}\n{\"text\": \"\"}", "all documents of", "empty"},
        {DATA_PILE, "a.txt", "", "no record in", "a.txt"},
        {DATA_PILE, "a.json", "[{\"text\": \"a\"}, {\"t\": 1}]", "a.json: element 2", "no \"text\""},
        {DATA_PILE, "a.json", "\"text\"", "a.json", "neither an array"},
        {DATA_PILE, "a.json", "[1,", "a.json: line 1", "expected near"},
        {DATA_P3, "a.jsonl", "{\"inputs\": \"a\"}", "a.jsonl: line 1", "no \"targets\""},
        {DATA_P3, "a.jsonl", "{\"inputs\": \"  \", \"targets\": \"x\"}", "all documents of", "empty"},
        {DATA_P3, "a.txt", "text", "a.txt: part 1", "JSON records"},
        {DATA_PROMPT, "a.jsonl", "{\"prompt\": \"a\", \"completion\": null}", "line 1", "not a string"},
        {DATA_PROMPT, "a.jsonl", "{\"prompt\": \"a\", \"completion\": \"\"}", "all documents of", "empty"},
        {DATA_PILE, "a.csv", "text,n\n\"a\",1\nb\n", "a.csv: row 3", "1 fields, where the header has 2"},
        {DATA_PILE, "a.csv", "text\na\"b\"\n", "a.csv: row 2", ""},
        {DATA_PILE, "a.csv", "text\n\"a\nb\n", "a.csv: row 2", "quotes are not closed"},
        {DATA_PILE, "a.csv", "text\ncaf\xe9\n", "a.csv: row 2", "field 1 is no UTF-8"},
        {DATA_PILE, "a.csv", "a,b,a\n1,2,3\n", "a.csv: row 1", "two columns are called \"a\""},
        {DATA_PILE, "a.csv", "\n", "a.csv: row 1", "no header"},
        {DATA_PILE, "a.csv", "text\n", "no record in", "a.csv"},
        {DATA_COT, "a.json", "{\"a\": \"x\", \"b\": [1]}", "a.json: element 2", "no \"text\""},
        {DATA_NI, "a.json", "{}", "a.json", "\"Definition\""},
        {DATA_NI, "a.json", "{\"Definition\": [\"d\"], \"Instances\": []}", "a.json", "\"Instances\""},
        {DATA_NI, "a.json", "{\"Definition\": [\"d\"], \"Instances\": [{\"input\": 1, \"output\": [\"a\"]}]}",
         "instance 0", "\"input\""},
        {DATA_NI, "a.json", "{\"Definition\": [\"d\"], \"Instances\": [{\"input\": \"a\", \"output\": []}]}",
         "instance 0", "\"output\""},
        {DATA_NI, "a.json", "{\"Definition\": [5], \"Instances\": [{\"input\": \"a\", \"output\": [\"a\"]}]}", "a.json",
         "\"Definition\""},
        {DATA_NI, "a.json", "{\"Definition\": [", "a.json: line 1", "expected near"},
        {DATA_TOKENS, "a.tokens", "GPTJTTOK", "a.tokens", "8 bytes"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        scratch_put(directory, cases[i].name, cases[i].text);
        assert_refused(cases[i].format, cases[i].name, E_FORMAT, cases[i].where, cases[i].what);
        scratch_drop(directory, cases[i].name);
    }
    scratch_put(directory, "a.xml", "a");
    assert_refused(DATA_PILE, "a.xml", E_ARG, "a.xml", "none of .jsonl");
    scratch_drop(directory, "a.xml");
    assert_refused(DATA_PILE, "missing.jsonl", E_IO, "missing.jsonl", "No such file");
}

static void damaged_packing_is_named_by_file_and_line(void **state)
{
    (void)state;
    size_t len;
    char *text = make_lines(3000, &len);
    struct buf packed = {0};
    put_zstd("a.jsonl.zst", text, len);
    assert_int_equal(file_read(&packed, path_of("a.jsonl.zst"), 1 << 26), OK);
    put_bytes("a.jsonl.zst", packed.data, packed.len - 9);
    assert_refused(DATA_PILE, "a.jsonl.zst", E_FORMAT, "a.jsonl.zst: line ", "cut short");
    packed.data[packed.len / 2] ^= 0x10;
    put_bytes("a.jsonl.zst", packed.data, packed.len);
    assert_refused(DATA_PILE, "a.jsonl.zst", E_FORMAT, "a.jsonl.zst: line ", "damaged zstd data");
    put_bytes("a.jsonl.zst", text, len);
    assert_refused(DATA_PILE, "a.jsonl.zst", E_FORMAT, "a.jsonl.zst: line 1", "damaged zstd data");
    put_bytes("a.jsonl.zst", text, 0);
    assert_refused(DATA_PILE, "a.jsonl.zst", E_FORMAT, "a.jsonl.zst: line 1", "empty file");
    buf_clear(&packed);

    put_gzip("a.jsonl.gz", text, len, false);
    assert_int_equal(file_read(&packed, path_of("a.jsonl.gz"), 1 << 26), OK);
    put_bytes("a.jsonl.gz", packed.data, packed.len - 9);
    assert_refused(DATA_PILE, "a.jsonl.gz", E_FORMAT, "a.jsonl.gz: line ", "cut short");
    packed.data[packed.len - 5] ^= 0x10; /* the checksum */
    put_bytes("a.jsonl.gz", packed.data, packed.len);
    assert_refused(DATA_PILE, "a.jsonl.gz", E_FORMAT, "a.jsonl.gz: line ", "damaged gzip data");
    packed.data[packed.len - 5] ^= 0x10;
    buf_puts(&packed, "garbage");
    put_bytes("a.jsonl.gz", packed.data, packed.len);
    assert_refused(DATA_PILE, "a.jsonl.gz", E_FORMAT, "a.jsonl.gz: line 3001", "something else after it");
    put_bytes("a.jsonl.gz", text, len);
    assert_refused(DATA_PILE, "a.jsonl.gz", E_FORMAT, "a.jsonl.gz: line 1", "damaged gzip data");
    scratch_drop(directory, "a.jsonl.gz");
    scratch_drop(directory, "a.jsonl.zst");
    buf_free(&packed);
    free(text);
}

/* A line that never ends, out of a few kilobytes of zstd: refused at the limit, before memory is. */
static void lines_have_a_limit(void **state)
{
    (void)state;
    const size_t len = STREAM_LINE_MAX + 100;
    char *text = malloc(len);
    memset(text, 'x', len);
    put_zstd("a.jsonl.zst", text, len);
    assert_refused(DATA_PILE, "a.jsonl.zst", E_LIMIT, "a.jsonl.zst: line 1", "more than 64 MiB");
    free(text);
    scratch_drop(directory, "a.jsonl.zst");
}

/* What is longer than rows, blocks and buffers is just many rows. */
static void documents_may_be_longer_than_any_buffer(void **state)
{
    (void)state;
    struct buf line = {0};
    buf_puts(&line, "{\"text\": \"");
    for (int i = 0; i < 300000; i++)
        buf_printf(&line, "%d ", i);
    buf_puts(&line, "\"}\n");
    scratch_put(directory, "a.jsonl", line.data);
    const char *path = path_of("a.jsonl");
    const struct data_source source = {.format = DATA_PILE, .paths = {&path, 1}, .weight = 1, .field = "text"};
    const struct data_settings set = settings_of(&source);
    struct data *d;
    struct buf text = {0};
    int32_t token[64], lo[64], hi[64], target[64];
    struct data_sequence s = {token, lo, hi, target, 0, 0};
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), OK);
    while (text.len < line.len - 13) {
        assert_int_equal(data_next(d, &s), OK);
        for (int t = 0; t < 64 && !(t && lo[t] == t); t++) /* up to the end of the document */
            assert_int_equal(tokenizer_decode(tokenizer, &text, token + t, 1), OK);
    }
    assert_int_equal(text.len, line.len - 13);
    assert_memory_equal(text.data, line.data + 10, text.len);
    buf_free(&text);
    buf_free(&line);
    data_close(d);
    scratch_drop(directory, "a.jsonl");
}

/* Text files are bytes; what is no UTF-8 in them goes through as it is. */
static void text_that_is_no_utf8_is_kept(void **state)
{
    (void)state;
    static const char bytes[] = "caf\xe9 \xff\xfe and\x80more";
    put_bytes("a.txt", bytes, sizeof bytes - 1);
    const char *path = path_of("a.txt");
    const struct data_source source = {.format = DATA_PILE, .paths = {&path, 1}, .weight = 1, .field = "text"};
    const struct data_settings set = settings_of(&source);
    struct data *d;
    struct buf text = {0};
    int32_t token[64], lo[64], hi[64], target[64];
    struct data_sequence s = {token, lo, hi, target, 0, 0};
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), OK);
    assert_int_equal(data_next(d, &s), OK);
    assert_int_equal(tokenizer_decode(tokenizer, &text, token, 40), OK);
    assert_memory_equal(text.data, bytes, sizeof bytes - 1);
    buf_free(&text);
    data_close(d);
    scratch_drop(directory, "a.txt");
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    const char *path = "tests/data/train/documents.jsonl";
    const struct data_source good = {.format = DATA_PILE, .paths = {&path, 1}, .weight = 1, .field = "text"};
    struct data_source source = good;
    struct data_settings set = settings_of(&source);
    struct data *d;
    set.n_sources = 0;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    set = settings_of(&source);
    source.weight = 0;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    source.weight = -1;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    source = good;
    source.format = -1;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    source = good;
    source.paths.n = 0;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    source = good;
    assert_int_equal(data_open(&d, &set, tokenizer, 2, 2, 0), E_ARG);
    set.seq_len = 1;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    set.seq_len = 9;
    set.objective = OBJECTIVE_UL2R;
    set.mode_tokens = true;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    assert_non_null(strstr(status_message(), "too short for ul2r"));
    set.seq_len = 64;
    set.sentinels = 1;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    set.sentinels = 80;
    set.sentinel_first = tokenizer_size(tokenizer) - 40;
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), E_ARG);
    char range[32];
    snprintf(range, sizeof range, "%" PRId64 " to %" PRId64, set.sentinel_first, set.sentinel_first + 79);
    assert_non_null(strstr(status_message(), range));
    set.sentinel_first = 1900; /* ordinary tokens, as GPT-JT's authors took */
    assert_int_equal(data_open(&d, &set, tokenizer, 0, 1, 0), OK);
    data_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_unpacked_by_their_names),
        cmocka_unit_test(lines_are_records_whatever_packs_them),
        cmocka_unit_test(blank_lines_and_byte_order_marks_are_no_records),
        cmocka_unit_test(rows_are_objects_by_their_header),
        cmocka_unit_test(long_text_is_cut_between_paragraphs),
        cmocka_unit_test(json_files_are_arrays_or_objects),
        cmocka_unit_test(directories_and_globs_give_each_file_once),
        cmocka_unit_test(lists_stand_for_the_files_they_name),
        cmocka_unit_test(bad_records_are_named_by_file_and_line),
        cmocka_unit_test(damaged_packing_is_named_by_file_and_line),
        cmocka_unit_test(lines_have_a_limit),
        cmocka_unit_test(documents_may_be_longer_than_any_buffer),
        cmocka_unit_test(text_that_is_no_utf8_is_kept),
        cmocka_unit_test(bad_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
