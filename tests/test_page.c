// SPDX-License-Identifier: Apache-2.0
/* The page in the binary: what is served with it, and when it need not be. What it does is tests/page/. */
#include "server/page.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

static const char *header(const char *name)
{
    for (int i = 0; i < PAGE_HEADERS; i++)
        if (!strcmp(page_index.headers[i].name, name)) return page_index.headers[i].value;
    fail_msg("no header %s", name);
    return "";
}

static bool holds(const char *text)
{
    return memmem(page_index.bytes, page_index.n_bytes, text, strlen(text)) != NULL;
}

static void page_is_one_file(void **state)
{
    (void)state;
    static const char begin[] = "<!doctype html>", end[] = "</html>\n";
    assert_memory_equal(page_index.bytes, begin, sizeof begin - 1);
    assert_memory_equal(page_index.bytes + page_index.n_bytes - (sizeof end - 1), end, sizeof end - 1);
    static const char *const outside[] = {" src=",   "@import", " url(", ":url(", "<link rel=\"stylesheet\"",
                                          "<iframe", "import("};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (holds(outside[i])) fail_msg("the page holds %s", outside[i]);
}

static void page_holds_the_examples(void **state)
{
    (void)state;
    static const char *const lines[] = {"Input: Peter Lee (510) 333-2429 email: peter@yahoo.com\nOutput:</template>",
                                        "Input: India\nOutput:</template>", "Vikash.\nEntities:</template>",
                                        "hysterical woman.\nLabel:</template>", "feeling festive.\nOutput:</template>"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!holds(lines[i])) fail_msg("the page lacks %s", lines[i]);
}

static void page_policy_allows_its_own_server_only(void **state)
{
    (void)state;
    const char *policy = header("Content-Security-Policy");
    assert_non_null(strstr(policy, "default-src 'none'; script-src 'sha256-"));
    assert_non_null(strstr(policy, "style-src 'sha256-"));
    assert_non_null(strstr(policy, "connect-src 'self'"));
    assert_null(strstr(policy, "unsafe"));
    assert_null(strstr(policy, "http"));
    assert_null(strchr(policy, '*'));
}

static void page_is_known_by_its_tag(void **state)
{
    (void)state;
    const char *tag = header("ETag");
    assert_int_equal(tag[0], '"');
    char list[256];
    static const struct {
        const char *before, *after;
        bool known;
    } cases[] = {{"", "", true},        {"W/", "", true}, {"\"a\", ", "", true},   {"\"a\",W/", ", ", true},
                 {"\"a,", "\"", false}, {"x", "", false}, {"\"\",, \t", "", true}, {"W/\"b\" ,", "x", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(list, sizeof list, "%s%s%s", cases[i].before, tag, cases[i].after);
        if (page_is_known(list) != cases[i].known) fail_msg("%s: known is not %d", list, cases[i].known);
    }
    static const char *const others[] = {NULL, "", "\"", "W/", "W/\"", "\"a\"", "abc", ",,,", "\"a\" \"b"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(page_is_known(others[i]));
    assert_true(page_is_known("*"));
    assert_true(page_is_known("\"a\", *"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_one_file),
        cmocka_unit_test(page_holds_the_examples),
        cmocka_unit_test(page_policy_allows_its_own_server_only),
        cmocka_unit_test(page_is_known_by_its_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
