// SPDX-License-Identifier: Apache-2.0
/* YAML is read as its core schema says, or refused with the place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/yaml.h"

static json_t *yaml_of(const char *text)
{
    json_t *j = NULL;
    if (yaml_read_text(&j, text, strlen(text), "t.yaml") != OK) fail_msg("%s: %s", text, status_message());
    return j;
}

static void assert_reads(const char *yaml, const char *json)
{
    json_t *a = yaml_of(yaml), *b = NULL;
    assert_int_equal(json_read_text(&b, json, strlen(json), "json"), OK);
    if (!json_equal(a, b)) {
        char *shown = json_dumps(a, JSON_ENCODE_ANY);
        fail_msg("%s is %s, not %s", yaml, shown, json);
    }
    json_decref(b);
    json_decref(a);
}

static void plain_scalars_follow_the_core_schema(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        {"true", "true"},
        {"True", "true"},
        {"TRUE", "true"},
        {"false", "false"},
        {"False", "false"},
        {"FALSE", "false"},
        {"null", "null"},
        {"~", "null"},
        {"NULL", "null"},
        {"", "null"},
        {"# nothing", "null"},
        {"0", "0"},
        {"-17", "-17"},
        {"+17", "17"},
        {"007", "7"},
        {"0x1F", "31"},
        {"0o17", "15"},
        {"1.5", "1.5"},
        {"1e-5", "1e-5"},
        {"1E+5", "1e5"},
        {"1.", "1.0"},
        {".5", "0.5"},
        {"-.5e1", "-5.0"},
        {"1.0e-5", "1e-5"},
        {"tRue", "\"tRue\""},
        {"yes", "\"yes\""},
        {"no", "\"no\""},
        {"on", "\"on\""},
        {"nULL", "\"nULL\""},
        {"-", "[null]"},
        {"+", "\"+\""},
        {".", "\".\""},
        {"1e", "\"1e\""},
        {"e5", "\"e5\""},
        {"1e5x", "\"1e5x\""},
        {"1 2", "\"1 2\""},
        {"0x", "\"0x\""},
        {"-0x1", "\"-0x1\""},
        {"0o8", "\"0o8\""},
        {"0b11", "\"0b11\""},
        {"1_000", "\"1_000\""},
        {"12:30", "\"12:30\""},
        {"1.5.2", "\"1.5.2\""},
        {"2022-11-29", "\"2022-11-29\""},
        {"'1e-5'", "\"1e-5\""},
        {"\"5\"", "\"5\""},
        {"'true'", "\"true\""},
        {"'null'", "\"null\""},
        {"''", "\"\""},
        {"infinity", "\"infinity\""},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_reads(cases[i].yaml, cases[i].json);
}

static void collections_nest_in_both_styles(void **state)
{
    (void)state;
    assert_reads("a: 1\nb:\n  - x\n  - c: 2 # comment\n    d: [3, {e: 4}]\n\"f g\":\n",
                 "{\"a\": 1, \"b\": [\"x\", {\"c\": 2, \"d\": [3, {\"e\": 4}]}], \"f g\": null}");
    assert_reads("a: |\n  one\n  two\nb: >-\n  one\n  two\nc: \"\\u00e9\\n\"\nd: 'it''s'\n",
                 "{\"a\": \"one\\ntwo\\n\", \"b\": \"one two\", \"c\": \"\\u00e9\\n\", \"d\": \"it's\"}");
    assert_reads("{\"a\": [1e-05, true, \"x\\/y\"]}", "{\"a\": [1e-05, true, \"x/y\"]}");
    assert_reads("%YAML 1.2\n---\n1\n...\n", "1");
    assert_reads("a: \"x\\0y\"", "{\"a\": \"x\\u0000y\"}");
    assert_reads("true: 1", "{\"true\": 1}");
}

static void what_is_refused_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *message;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3:1: \"a\" is given twice"},
        {"a: &x [1]\n", "t.yaml:1:4: anchors (&name) are not read"},
        {"&x a: 1\n", "t.yaml:1:1: anchors (&name) are not read"},
        {"a: &x {b: 1}\n", "t.yaml:1:4: anchors (&name) are not read"},
        {"a: &x 1\n", "t.yaml:1:4: anchors (&name) are not read"},
        {"a: *x\n", "t.yaml:1:4: aliases (*name) are not read"},
        {"*x : 1\n", "t.yaml:1:1: a key that is not a word"},
        {"a: !!int \"5\"\n", "t.yaml:1:4: tags (!name) are not read"},
        {"a: !t {}\n", "t.yaml:1:4: tags (!name) are not read"},
        {"? [1]\n: 2\n", "t.yaml:1:3: a key that is not a word"},
        {"\"a\\0b\": 1\n", "t.yaml:1:1: a key with a NUL character in it"},
        {"a: 9223372036854775808\n", "t.yaml:1:4: a whole number beyond 64 bits"},
        {"a: 1e999\n", "t.yaml:1:4: a number too large"},
        {"a: .inf\n", "t.yaml:1:4: infinity and NaN are not numbers here"},
        {"a: -.INF\n", "t.yaml:1:4: infinity and NaN are not numbers here"},
        {"a: .nan\n", "t.yaml:1:4: infinity and NaN are not numbers here"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document"},
        {"a:\n\t- 1\n", "t.yaml:2:1: found character that cannot start any token while scanning for the next token"},
        {"a: 1\n  b: 2\n", "t.yaml:2:4: mapping values are not allowed in this context"},
        {"a: [1, 2\n", "t.yaml:2:1: did not find expected ',' or ']' while parsing a flow sequence"},
        {"a: 1\nb: \xff\n", "t.yaml:2:4: invalid leading UTF-8 octet"},
        {"a: 1\nb: \x01\n", "t.yaml:2:4: control characters are not allowed"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *j = NULL;
        if (yaml_read_text(&j, cases[i].yaml, strlen(cases[i].yaml), "t.yaml") != E_FORMAT)
            fail_msg("read: %s", cases[i].yaml);
        assert_null(j);
        assert_string_equal(status_message(), cases[i].message);
    }
}

static void depth_and_size_are_bounded(void **state)
{
    (void)state;
    char text[2 * YAML_MAX_DEPTH + 3];
    for (int depth = YAML_MAX_DEPTH; depth <= YAML_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        json_t *j = NULL;
        const enum status s = yaml_read_text(&j, text, (size_t)depth * 2, "t.yaml");
        assert_int_equal(s, depth > YAML_MAX_DEPTH ? E_FORMAT : OK);
        if (s != OK) assert_string_equal(status_message(), "t.yaml:1:65: nested too deep");
        json_decref(j);
    }
    char *big = calloc(1, YAML_MAX_BYTES + 1);
    assert_non_null(big);
    memset(big, ' ', YAML_MAX_BYTES + 1);
    json_t *j = NULL;
    assert_int_equal(yaml_read_text(&j, big, YAML_MAX_BYTES + 1, "t.yaml"), E_LIMIT);
    assert_int_equal(yaml_read_text(&j, big, YAML_MAX_BYTES, "t.yaml"), OK);
    assert_true(json_is_null(j));
    free(big);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    json_t *j = NULL;
    assert_int_equal(yaml_read_file(&j, "recipes/none.yaml"), E_IO);
    assert_string_equal(status_message(), "recipes/none.yaml: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_follow_the_core_schema),
        cmocka_unit_test(collections_nest_in_both_styles),
        cmocka_unit_test(what_is_refused_says_where),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
