// SPDX-License-Identifier: Apache-2.0
/* Reading and writing csv and jsonl. A file's rows are compared as one text: "name=value" joined by '|', each row ended
 * by ';' and preceded by its line number; values that are no text have '~' for '='. */
#include "test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "eval/rows.h"
#include "eval/rows_write.h"

/* cmocka's fail_msg() needs its fail(), which test.h hides behind ours. */
#define give_up(...)                                                                                                   \
    do {                                                                                                               \
        print_error(__VA_ARGS__);                                                                                      \
        assert_true(false);                                                                                            \
    } while (0)

static FILE *stream_of(const char *text, size_t len)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    rewind(f);
    return f;
}

static enum status render(struct buf *out, const char *text, size_t len, enum rows_format format)
{
    struct rows *r;
    enum status s = rows_open_stream(&r, stream_of(text, len), "F", format);
    if (s != OK) return s;
    const struct row *row;
    while ((s = rows_next(r, &row)) == OK && row) {
        buf_printf(out, "%" PRIu64 ":", row->line);
        for (int i = 0; i < row->n; i++)
            buf_printf(out, "%s%s%c%s", i ? "|" : "", row->names[i], row->is_text[i] ? '=' : '~', row->values[i]);
        buf_puts(out, ";");
    }
    rows_close(r);
    return s;
}

struct reading {
    const char *text, *rows; /* rows NULL: an error */
    const char *error;       /* a part of its message */
    size_t len;              /* 0: strlen(text) */
};

static void check_readings(const struct reading *cases, size_t n, enum rows_format format)
{
    for (size_t i = 0; i < n; i++) {
        struct buf out = {0};
        const size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
        const enum status s = render(&out, cases[i].text, len, format);
        if (cases[i].error) {
            if (s == OK || !strstr(status_message(), cases[i].error))
                give_up("case %zu: status %d, message: %s", i, (int)s, status_message());
        } else {
            if (s != OK) give_up("case %zu: %s", i, status_message());
            assert_string_equal(out.data ? out.data : "", cases[i].rows);
        }
        buf_free(&out);
    }
}

static void csv_is_read_as_rfc_4180_says(void **state)
{
    (void)state;
    static const struct reading cases[] = {
        {"a,b\n1,2\n", "2:a=1|b=2;"},
        {"a,b\r\n1,2\r\n3,4\r\n", "2:a=1|b=2;3:a=3|b=4;"},
        {"a,b\r1,2\r", "2:a=1|b=2;"},
        {"a,b\n1,2", "2:a=1|b=2;"},
        {"\xef\xbb\xbf"
         "a,b\n1,2\n",
         "2:a=1|b=2;"},
        {"a,b\n\" x \", y \n", "2:a= x |b= y ;"},
        {"a,b\n\"say \"\"hi\"\"\",\"1,2\"\n", "2:a=say \"hi\"|b=1,2;"},
        {"a,b\n\"two\r\nlines\n\",x\n5,6\n", "2:a=two\r\nlines\n|b=x;5:a=5|b=6;"},
        {"a,b\n,\n", "2:a=|b=;"},
        {"a\n\"\"\nx\n", "2:a=;3:a=x;"},
        {"a\n\nx\n\r\n\ny\n\n", "3:a=x;6:a=y;"},
        {"\n\na\nx\n", "4:a=x;"},
        {",a\n0,x\n", "2:=0|a=x;"},
        {"a\n", ""},
        {"a\n\xc3\xa9\n", "2:a=\xc3\xa9;"},
    };
    check_readings(cases, COUNT_OF(cases), ROWS_CSV);
}

static void broken_csv_is_an_error_with_its_line(void **state)
{
    (void)state;
    static const struct reading cases[] = {
        {"", NULL, "F: empty"},
        {"\n\n", NULL, "F: empty"},
        {"\xef\xbb\xbf", NULL, "F: empty"},
        {"a,a\n1,2\n", NULL, "line 1: two columns are named \"a\""},
        {"a,b\n1,2\n3\n", NULL, "line 3: 1 columns, the header has 2"},
        {"a,b\n1,2,3\n", NULL, "line 2: 3 columns"},
        {"a,b\n1,2\"3\n", NULL, "line 2: a quote inside"},
        {"a,b\n\"1\"2,3\n", NULL, "line 2: a quote inside"},
        {"a,b\n\"1\" ,3\n", NULL, "line 2: a quote inside"},
        {"a,b\nx,y\n\"1,2\n3,4\n", NULL, "line 3: a quote is opened and never closed"},
        {"a,b\n1,\0\n", NULL, "line 2: a NUL byte", 8},
        {"a\n\xe9\n", NULL, "line 2: column 1 is not UTF-8: byte 0xe9"},
    };
    check_readings(cases, COUNT_OF(cases), ROWS_CSV);
}

static void jsonl_values_become_texts(void **state)
{
    (void)state;
    static const struct reading cases[] = {
        {"{\"a\": \"x\"}\n", "1:a=x;"},
        {"\xef\xbb\xbf{\"a\": \"x\"}", "1:a=x;"},
        {"\n  \r\n{\"a\": \"x\"} \r\n\n {\"b\":\"\"}\n", "3:a=x;5:b=;"},
        {"{\"a\": 1, \"b\": -2.50, \"c\": 0.1, \"d\": 1e300, \"e\": true, \"f\": false}\n",
         "1:a=1|b=-2.5|c=0.1|d=1e300|e=true|f=false;"},
        {"{\"a\": null, \"b\": [1, \"x\"], \"c\": {}}\n", "1:a~null|b~[1, \"x\"]|c~{};"},
        {"{\"a\": \"line\\nbreak \\u00e9\"}\n", "1:a=line\nbreak \xc3\xa9;"},
        {"{}\n", "1:;"},
        {"", ""},
    };
    check_readings(cases, COUNT_OF(cases), ROWS_JSONL);
}

static void broken_jsonl_is_an_error_with_its_line(void **state)
{
    (void)state;
    static const struct reading cases[] = {
        {"{\"a\": 1}\n{\"a\": }\n", NULL, "F line 2"},
        {"[1]\n", NULL, "line 1: not a JSON object"},
        {"{\"a\": 1} {\"b\": 2}\n", NULL, "F line 1"},
        {"{\"a\": 1, \"a\": 2}\n", NULL, "F line 1"},
        {"{\"a\": \"\xff\"}\n", NULL, "F line 1"},
        {"{\"a\": \"\\u0000\"}\n", NULL, "line 1: a string with a NUL"},
        {"{\"a\": \"x\0y\"}\n", NULL, "line 1: a NUL byte", 13},
        {"{\"a\":\n1}\n", NULL, "F line 1"},
    };
    check_readings(cases, COUNT_OF(cases), ROWS_JSONL);
}

/* Blocks of the reader are 64 KiB: a cell, a line break and a quote must be able to lie on their border. */
static void rows_do_not_depend_on_where_blocks_end(void **state)
{
    (void)state;
    for (size_t pad = 65536 - 12; pad < 65536 + 4; pad++) {
        struct buf text = {0}, out = {0}, expected = {0};
        buf_puts(&text, "a,b\r\n");
        buf_puts(&expected, "2:a=");
        for (size_t i = 0; i < pad; i++) {
            buf_puts(&text, "x");
            buf_puts(&expected, "x");
        }
        buf_puts(&text, ",\"\"\"\r\n\"\r\nlast,row\r\n");
        buf_puts(&expected, "|b=\"\r\n;4:a=last|b=row;");
        assert_int_equal(render(&out, text.data, text.len, ROWS_CSV), OK);
        assert_string_equal(out.data, expected.data);
        buf_free(&text);
        buf_free(&out);
        buf_free(&expected);
    }
}

static void a_missing_or_unusable_field_is_named(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": null, \"b\": \"x\"}\n";
    struct rows *r;
    const struct row *row;
    const char *value;
    assert_int_equal(rows_open_stream(&r, stream_of(text, strlen(text)), "F", ROWS_JSONL), OK);
    assert_int_equal(rows_next(r, &row), OK);
    assert_int_equal(rows_text(r, row, "b", &value), OK);
    assert_string_equal(value, "x");
    assert_int_equal(rows_text(r, row, "c", &value), E_FORMAT);
    assert_string_equal(status_message(), "F line 1: no field \"c\" (there are: \"a\", \"b\")");
    assert_int_equal(rows_text(r, row, "a", &value), E_FORMAT);
    assert_string_equal(status_message(), "F line 1: field \"a\" is null, not text");
    rows_close(r);
}

static void the_text_column_is_found_or_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *header, *wanted, *but, *found;
    } cases[] = {
        {"id,text\n1,x\n", NULL, NULL, "text"}, {"id,text\n1,x\n", "id", NULL, "id"},
        {"post\nx\n", NULL, NULL, "post"},      {"post,label\nx,y\n", NULL, "label", "post"},
        {"post,id\nx,y\n", NULL, NULL, NULL},   {"post,id\nx,y\n", "text", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rows *r;
        const struct row *row;
        const char *found = NULL;
        assert_int_equal(rows_open_stream(&r, stream_of(cases[i].header, strlen(cases[i].header)), "F", ROWS_CSV), OK);
        assert_int_equal(rows_next(r, &row), OK);
        const enum status s = rows_text_column(r, row, cases[i].wanted, cases[i].but, &found);
        assert_int_equal(s == OK, cases[i].found != NULL);
        if (s == OK) assert_string_equal(found, cases[i].found);
        rows_close(r);
    }
}

static void formats_follow_the_file_name(void **state)
{
    (void)state;
    enum rows_format f;
    assert_int_equal(rows_format_of(&f, "dir.csv/a.jsonl"), OK);
    assert_int_equal(f, ROWS_JSONL);
    assert_int_equal(rows_format_of(&f, "A.CSV"), OK);
    assert_int_equal(f, ROWS_CSV);
    assert_int_equal(rows_format_of(&f, "dir.csv/a"), E_ARG);
    assert_int_equal(rows_format_of(&f, "csv"), E_ARG);
}

static void written(struct buf *out, const char *text, enum rows_format in, enum rows_format format,
                    const char *const *columns, int n_columns)
{
    static const char *const labels[] = {"yes, \"sir\"", "no"};
    static const double p[] = {0.75, 0.25};
    struct rows *r;
    struct rows_writer *w;
    const struct row *row;
    assert_int_equal(rows_open_stream(&r, stream_of(text, strlen(text)), "F", in), OK);
    assert_int_equal(rows_writer_create(&w, format, columns, n_columns, labels, 2), OK);
    assert_int_equal(rows_writer_header(w, out), OK);
    while (rows_next(r, &row) == OK && row)
        assert_int_equal(rows_writer_row(w, out, "F", row, 0, p), OK);
    rows_writer_free(w);
    rows_close(r);
}

static void predictions_are_added_without_touching_the_row(void **state)
{
    (void)state;
    static const char *const ab[] = {"a", "b"}, *const gold[] = {"text", "label", "predicted_label"};
    static const struct {
        const char *text;
        enum rows_format in, out;
        const char *const *columns;
        int n;
        const char *expected;
    } cases[] = {
        {"a,b\n\"x,\n\"\"y\"\"\",\n", ROWS_CSV, ROWS_CSV, ab, 2,
         "a,b,label,probability,\"p(yes, \"\"sir\"\")\",p(no)\n"
         "\"x,\n\"\"y\"\"\",\"\",\"yes, \"\"sir\"\"\",0.75,0.75,0.25\n"},
        {"a,b\n1,\"q\"\"\"\n", ROWS_CSV, ROWS_JSONL, ab, 2,
         "{\"a\": \"1\", \"b\": \"q\\\"\", \"label\": \"yes, \\\"sir\\\"\", \"probability\": 0.75, "
         "\"probabilities\": {\"yes, \\\"sir\\\"\": 0.75, \"no\": 0.25}}\n"},
        {"{\"b\": null, \"a\":0.10 }\n", ROWS_JSONL, ROWS_CSV, ab, 2,
         "a,b,label,probability,\"p(yes, \"\"sir\"\")\",p(no)\n0.1,\"\",\"yes, \"\"sir\"\"\",0.75,0.75,0.25\n"},
        {" {\"a\":0.10,\"b\":[ 1 ] } \r\n{}\n", ROWS_JSONL, ROWS_JSONL, ab, 2,
         "{\"a\":0.10,\"b\":[ 1 ] , \"label\": \"yes, \\\"sir\\\"\", \"probability\": 0.75, "
         "\"probabilities\": {\"yes, \\\"sir\\\"\": 0.75, \"no\": 0.25}}\n"
         "{\"label\": \"yes, \\\"sir\\\"\", \"probability\": 0.75, "
         "\"probabilities\": {\"yes, \\\"sir\\\"\": 0.75, \"no\": 0.25}}\n"},
        {"text,label,predicted_label\nx,no,?\n", ROWS_CSV, ROWS_CSV, gold, 3,
         "text,label,predicted_label,predicted_predicted_label,probability,\"p(yes, \"\"sir\"\")\",p(no)\n"
         "x,no,?,\"yes, \"\"sir\"\"\",0.75,0.75,0.25\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out = {0};
        written(&out, cases[i].text, cases[i].in, cases[i].out, cases[i].columns, cases[i].n);
        assert_string_equal(out.data, cases[i].expected);
        buf_free(&out);
    }
}

static void only_whole_rows_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum rows_format format;
        uint64_t rows, bytes;
    } cases[] = {
        {"", ROWS_CSV, 0, 0},
        {"a,b", ROWS_CSV, 0, 0},
        {"a,b\n", ROWS_CSV, 0, 4},
        {"a,b\n1,2\n3", ROWS_CSV, 1, 8},
        {"a,b\n\"1\n\",2\n", ROWS_CSV, 1, 11},
        {"a,b\n\"1\n", ROWS_CSV, 0, 4},
        {"a,b\n\"\"\"\n\",2\n\"\n", ROWS_CSV, 1, 12},
        {"{\"a\": 1}\n{\"b\"", ROWS_JSONL, 1, 9},
        {"{\"a\": \"\\\"\"}\n", ROWS_JSONL, 1, 12},
    };
    char path[] = P_tmpdir "/gptjt-test-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        FILE *f = fopen(path, "wb");
        fputs(cases[i].text, f);
        fclose(f);
        uint64_t rows, bytes;
        assert_int_equal(rows_count_whole(path, cases[i].format, &rows, &bytes), OK);
        assert_int_equal(rows, cases[i].rows);
        assert_int_equal(bytes, cases[i].bytes);
    }
    unlink(path);
    uint64_t rows, bytes;
    assert_int_equal(rows_count_whole(path, ROWS_CSV, &rows, &bytes), OK);
    assert_int_equal(rows, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_is_read_as_rfc_4180_says),
        cmocka_unit_test(broken_csv_is_an_error_with_its_line),
        cmocka_unit_test(jsonl_values_become_texts),
        cmocka_unit_test(broken_jsonl_is_an_error_with_its_line),
        cmocka_unit_test(rows_do_not_depend_on_where_blocks_end),
        cmocka_unit_test(a_missing_or_unusable_field_is_named),
        cmocka_unit_test(the_text_column_is_found_or_asked_for),
        cmocka_unit_test(formats_follow_the_file_name),
        cmocka_unit_test(predictions_are_added_without_touching_the_row),
        cmocka_unit_test(only_whole_rows_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
