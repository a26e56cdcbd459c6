// SPDX-License-Identifier: Apache-2.0
/* The tokenizer's files, given as text: which of them say what, which win, and what is wrong with the wrong ones. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "small_tokenizer.h"
#include "test.h"

#include "base/file.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

static void repeat(struct buf *out, const char *pattern, size_t len)
{
    while (out->len < len)
        buf_puts(out, pattern);
}

/* --- wrong files ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *vocab, *merges, *added;
    enum status status;
    const char *says;
} wrong_files[] = {
    {"", "", NULL, E_FORMAT, "vocab.json: line 1"},
    {"{\"a\": 0", "", NULL, E_FORMAT, "vocab.json: line 1"},
    {"[]", "", NULL, E_FORMAT, "not an object"},
    {"{}", "", NULL, E_FORMAT, "empty"},
    {"{\"a\": \"0\"}", "", NULL, E_FORMAT, "the id of \"a\" is not an integer"},
    {"{\"a\": 1.0}", "", NULL, E_FORMAT, "the id of \"a\" is not an integer"},
    {"{\"a\": -1}", "", NULL, E_FORMAT, "id -1"},
    {"{\"a\": 16777216}", "", NULL, E_FORMAT, "id 16777216"},
    {"{\"a\": 99999999999999999999}", "", NULL, E_FORMAT, "vocab.json: line 1"},
    {"{\"a\": 0, \"a\": 1}", "", NULL, E_FORMAT, "duplicate"},
    {"{\"a\": 0, \"b\": 0}", "", NULL, E_FORMAT, "id 0 is both \"a\" and \"b\""},
    {"{\"\": 0}", "", NULL, E_FORMAT, "id 0 is empty"},
    {"{\"a b\": 0}", "", NULL, E_FORMAT, "byte alphabet"},
    {"{\"\xe6\x97\xa5\": 0}", "", NULL, E_FORMAT, "byte alphabet"},
    {"{\"\xc2\xad\": 0}", "", NULL, E_FORMAT, "byte alphabet"},
    {"{\"\xc5\x84\": 0}", "", NULL, E_FORMAT, "byte alphabet"}, /* one past the last character */
    {"{\"a\\u0000b\": 0}", "", NULL, E_FORMAT, "vocab.json: line 1"},
    {"{\"\xff\": 0}", "", NULL, E_FORMAT, "vocab.json: line 1"},
    {LETTERS, "a", NULL, E_FORMAT, "merge 0 \"a\" is not two tokens"},
    {LETTERS, "a b c\n", NULL, E_FORMAT, "merge 0 \"a b c\" is not two tokens"},
    {LETTERS, "a b\na  b\n", NULL, E_FORMAT, "merge 1 \"a  b\" is not two tokens"},
    {LETTERS, " b\n", NULL, E_FORMAT, "merge 0 names \"\""},
    {LETTERS, "a \n", NULL, E_FORMAT, "merge 0 names \"\""},
    {LETTERS, "a x\n", NULL, E_FORMAT, "merge 0 names \"x\""},
    {LETTERS, "\xff b\n", NULL, E_FORMAT, "merge 0 names"},
    {LETTERS, "b a\n", NULL, E_FORMAT, "merge 0 makes \"ba\""},
    {LETTERS, "a b\n", "", E_FORMAT, "added_tokens.json: line 1"},
    {LETTERS, "a b\n", "[]", E_FORMAT, "added_tokens.json: is not an object"},
    {LETTERS, "a b\n", "{\"<x>\": \"9\"}", E_FORMAT, "the id of \"<x>\" is not an integer"},
    {LETTERS, "a b\n", "{\"<x>\": 0}", E_FORMAT, "id 0 is both \"a\" and \"<x>\""},
    {LETTERS, "a b\n", "{\"<x>\": -5}", E_FORMAT, "id -5"},
    {LETTERS, "a b\n", "{\"\": 9}", E_FORMAT, "empty"},
    {LETTERS, "a b\n", "{\"ab\": 9}", E_FORMAT, "has id 9 but id 3 in the vocabulary"},
};

static void wrong_files_are_one_clear_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong_files); i++) {
        struct tokenizer *t = NULL;
        const enum status s = open_three(&t, wrong_files[i].vocab, wrong_files[i].merges, wrong_files[i].added);
        if (s != wrong_files[i].status || t || !strstr(status_message(), wrong_files[i].says))
            fail_msg("case %zu (%s): status %d: %s", i, wrong_files[i].says, s, status_message());
    }
}

#define MODEL            "\"model\": {\"type\": \"BPE\", \"vocab\": " LETTERS ", \"merges\": []}"
#define ROOT(more)       "{" PRE ", " MODEL ", " more "}"
#define MODEL_WITH(more) "{" PRE ", \"model\": {" more ", \"type\": \"BPE\", \"vocab\": " LETTERS ", \"merges\": []}}"

static const struct {
    const char *json;
    enum status status;
    const char *says;
} wrong_json[] = {
    {"", E_FORMAT, "tokenizer.json: line 1"},
    {"[]", E_FORMAT, "is not an object"},
    {"null", E_FORMAT, "is not an object"},
    {"{}", E_FORMAT, "has no \"model\""},
    {"{\"model\": []}", E_FORMAT, "has no \"model\""},
    {"{\"model\": {\"type\": \"Unigram\"}}", E_UNSUPPORTED, "model type \"Unigram\""},
    {"{\"model\": {\"type\": 1}}", E_FORMAT, "\"type\" is not a string"},
    {"{" MODEL "}", E_UNSUPPORTED, "pre_tokenizer"},
    {"{" PRE ", \"model\": {}}", E_FORMAT, "the vocabulary is not an object"},
    {"{" PRE ", \"model\": {\"vocab\": {\"a\": 0}}}", E_FORMAT, "\"merges\" is not an array"},
    {"{" PRE ", \"model\": {\"vocab\": {}, \"merges\": []}}", E_FORMAT, "empty"},
    {"{" PRE ", \"model\": {\"vocab\": {\"a\": 0}, \"merges\": [1]}}", E_FORMAT, "merge 0 is neither"},
    {"{" PRE ", \"model\": {\"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]}}", E_FORMAT, "merge 0 is neither"},
    {"{" PRE ", \"model\": {\"vocab\": {\"a\": 0}, \"merges\": [[\"a\", 1]]}}", E_FORMAT, "merge 0 is neither"},
    {"{" PRE ", \"model\": {\"vocab\": {\"a\": 0}, \"merges\": [[\"a\", \"\"]]}}", E_FORMAT, "merge 0 names \"\""},
    {"{" PRE ", \"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a a\"]}}", E_FORMAT, "merge 0 makes \"aa\""},
    {MODEL_WITH("\"dropout\": 0.1"), E_UNSUPPORTED, "dropout"},
    {MODEL_WITH("\"byte_fallback\": true"), E_UNSUPPORTED, "byte_fallback"},
    {MODEL_WITH("\"continuing_subword_prefix\": \"##\""), E_UNSUPPORTED, "continuing_subword_prefix"},
    {MODEL_WITH("\"end_of_word_suffix\": \"</w>\""), E_UNSUPPORTED, "end_of_word_suffix"},
    {MODEL_WITH("\"ignore_merges\": 1"), E_FORMAT, "ignore_merges"},
    {ROOT("\"normalizer\": {\"type\": \"NFC\"}"), E_UNSUPPORTED, "normalizer"},
    {ROOT("\"post_processor\": 1"), E_FORMAT, "\"post_processor\" is not an object"},
    {ROOT("\"post_processor\": {\"type\": \"BertProcessing\"}"), E_UNSUPPORTED, "BertProcessing"},
    {ROOT("\"post_processor\": {\"type\": \"TemplateProcessing\"}"), E_UNSUPPORTED, "adds tokens"},
    {ROOT("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\"}}, "
          "{\"Sequence\": {\"id\": \"A\"}}]}"),
     E_UNSUPPORTED, "adds tokens"},
    {ROOT("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\"}}]}"),
     E_UNSUPPORTED, "adds tokens"},
    {ROOT("\"decoder\": {\"type\": \"Metaspace\"}"), E_UNSUPPORTED, "Metaspace"},
    {"{\"pre_tokenizer\": {\"type\": \"Whitespace\"}, " MODEL "}", E_UNSUPPORTED, "Whitespace"},
    {"{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, " MODEL "}", E_UNSUPPORTED, "add_prefix_space"},
    {"{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true}, " MODEL "}", E_UNSUPPORTED,
     "add_prefix_space"},
    {"{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}, " MODEL "}",
     E_UNSUPPORTED, "use_regex"},
    {ROOT("\"added_tokens\": {}"), E_FORMAT, "\"added_tokens\" is not an array"},
    {ROOT("\"added_tokens\": [7]"), E_FORMAT, "added token 0 lacks \"id\""},
    {ROOT("\"added_tokens\": [{\"id\": 9}]"), E_FORMAT, "lacks \"content\""},
    {ROOT("\"added_tokens\": [" ADDED(9, "<x>", ", \"lstrip\": true") "]"), E_UNSUPPORTED, "\"<x>\" with lstrip"},
    {ROOT("\"added_tokens\": [" ADDED(9, "<x>", ", \"rstrip\": true") "]"), E_UNSUPPORTED, "\"<x>\" with rstrip"},
    {ROOT("\"added_tokens\": [" ADDED(9, "<x>", ", \"single_word\": true") "]"), E_UNSUPPORTED, "single_word"},
    {ROOT("\"added_tokens\": [" ADDED(9, "<x>", "") ", " ADDED(9, "<x>", "") "]"), E_FORMAT, "id 9 is both"},
    {ROOT("\"added_tokens\": [" ADDED(8, "<x>", "") ", " ADDED(9, "<x>", "") "]"), E_FORMAT, "\"<x>\" has ids 8 and"},
};

static void wrong_tokenizer_json_is_one_clear_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong_json); i++) {
        struct tokenizer *t = NULL;
        const enum status s = open_json(&t, wrong_json[i].json);
        if (s != wrong_json[i].status || t || !strstr(status_message(), wrong_json[i].says))
            fail_msg("case %zu (%s): status %d: %s", i, wrong_json[i].says, s, status_message());
    }
}

static void deep_json_and_long_added_tokens_are_refused(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    struct buf text = {0};
    repeat(&text, "[", 1 << 20);
    assert_int_equal(open_json(&t, text.data), E_FORMAT);
    buf_clear(&text);
    buf_puts(&text, "{\"");
    repeat(&text, "x", 1027);
    buf_puts(&text, "\": 9}");
    assert_int_equal(open_three(&t, LETTERS, "", text.data), E_LIMIT);
    assert_null(t);
    buf_free(&text);
}

static void what_transformers_5_saves_opens(void **state)
{
    (void)state;
    struct tokenizer *t;
    assert_int_equal(open_json(&t, ROOT("\"post_processor\": {\"type\": \"TemplateProcessing\", "
                                        "\"single\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}]}")),
                     OK);
    tokenizer_close(t);
    assert_int_equal(open_json(&t, MODEL_WITH("\"unk_token\": \"<unk>\"")), OK);
    tokenizer_close(t);
}

/* vocab.json, merges.txt and these; the ids of "<s>abc<x>" and "<x>abc", or an error. */
static const struct {
    const char *added, *special, *config;
    enum status status;
    const char *says;
} added_files[] = {
    {NULL, NULL, NULL, OK, "8 9 10 0 1 2 8 11 10 | 8 11 10 0 1 2 "},
    {"{\"<x>\": 20}", NULL, NULL, OK, "8 9 10 0 1 2 20 | 20 0 1 2 "},
    {NULL, "{\"bos_token\": \"<s>\"}", NULL, OK, "12 0 1 2 8 11 10 | 8 11 10 0 1 2 "},
    {NULL, NULL, "{\"model_max_length\": 1000000000000000019884624838656, \"bos_token\": \"<s>\"}", OK,
     "12 0 1 2 8 11 10 | "},
    {NULL, NULL, "{\"bos_token\": \"<s>\", \"eos_token\": \"<s>\"}", OK, "12 0 1 2 8 11 10 | 8 11 10 0 1 2 "},
    {NULL, "{\"eos_token\": {\"content\": \"<s>\", \"normalized\": true}}", NULL, OK,
     "12 0 1 2 8 11 10 | 8 11 10 0 1 2 "},
    {NULL, "{\"bos_token\": \"<none>\"}", "{\"bos_token\": \"<s>\"}", OK, "8 9 10 0 1 2 8 11 10 | 8 11 10 0 1 2 "},
    {NULL, "{\"additional_special_tokens\": [\"<none>\", \"<s>\"]}", NULL, OK, "12 0 1 2 8 11 10 | 8 11 10 0 1 2 "},
    /* the special one is taken out first */
    {"{\"<x>\": 20, \"<x>a\": 21}", NULL, NULL, OK, "8 9 10 0 1 2 20 | 21 1 2 "},
    {"{\"<x>\": 20, \"<x>a\": 21}", "{\"pad_token\": \"<x>\"}", NULL, OK, "8 9 10 0 1 2 20 | 20 0 1 2 "},
    {"{\"<x>\": 20, \"<x>a\": 21}", "{\"pad_token\": {\"content\": \"<x>\", \"normalized\": true}}", NULL, OK,
     "8 9 10 0 1 2 20 | 21 1 2 "},
    /* with added_tokens_decoder the others are not asked for those it has not */
    {NULL, "{\"bos_token\": \"<s>\"}", "{\"added_tokens_decoder\": {\"20\": {\"content\": \"<x>\"}}}", OK,
     "8 9 10 0 1 2 20 | 20 0 1 2 "},
    {"{\"<x>\": 30}", NULL, "{\"added_tokens_decoder\": {\"12\": {\"content\": \"<s>\", \"special\": true}}}", OK,
     "12 0 1 2 8 11 10 | 8 11 10 0 1 2 "},
    {NULL, "[]", NULL, E_FORMAT, "special_tokens_map.json: is not an object"},
    {NULL, NULL, "7", E_FORMAT, "tokenizer_config.json: is not an object"},
    {NULL, NULL, "{\"add_prefix_space\": true}", E_UNSUPPORTED, "\"add_prefix_space\" is not supported"},
    {NULL, NULL, "{\"add_bos_token\": true}", E_UNSUPPORTED, "\"add_bos_token\" is not supported"},
    {NULL, "{\"mask_token\": {\"content\": \"<s>\", \"lstrip\": true}}", NULL, E_UNSUPPORTED, "\"<s>\" with lstrip"},
    {NULL, NULL, "{\"added_tokens_decoder\": {\"2x\": {\"content\": \"<x>\"}}}", E_FORMAT, "\"2x\" is not a number"},
    {NULL, NULL, "{\"added_tokens_decoder\": {\"20\": \"<x>\"}}", E_FORMAT, "lacks \"content\""},
    {NULL, NULL, "{\"added_tokens_decoder\": {\"0\": {\"content\": \"<x>\"}}}", E_FORMAT, "id 0 is both"},
    {NULL, NULL, "{\"added_tokens_decoder\": {\"99999999999999999999\": {\"content\": \"<x>\"}}}", E_FORMAT,
     "not within"},
};

static struct tokenizer_source source_of(const char *name, const char *text)
{
    return (struct tokenizer_source){name, text, text ? strlen(text) : 0};
}

static void print_ids(struct buf *out, const struct tokenizer *t, const char *text)
{
    struct token_list ids = {0};
    assert_int_equal(tokenizer_encode(t, &ids, text, strlen(text), true), OK);
    for (size_t i = 0; i < ids.n; i++)
        buf_printf(out, "%" PRId32 " ", ids.ids[i]);
    token_list_free(&ids);
}

static void added_tokens_are_found_in_every_file_that_may_name_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(added_files); i++) {
        const struct tokenizer_sources sources = {
            .vocab = source_of("vocab.json", "{\"a\": 0, \"b\": 1, \"c\": 2, \"<\": 8, \"s\": 9, \">\": 10, \"x\": 11, "
                                             "\"<s>\": 12}"),
            .merges = source_of("merges.txt", ""),
            .added = source_of("added_tokens.json", added_files[i].added),
            .special = source_of("special_tokens_map.json", added_files[i].special),
            .config = source_of("tokenizer_config.json", added_files[i].config)};
        struct tokenizer *t = NULL;
        struct buf got = {0};
        const enum status s = tokenizer_open_memory(&t, &sources);
        if (s == OK) {
            print_ids(&got, t, "<s>abc<x>");
            buf_puts(&got, "| ");
            print_ids(&got, t, "<x>abc");
        }
        const char *said = s == OK ? got.data : status_message();
        if (s != added_files[i].status || !strstr(said, added_files[i].says))
            fail_msg("case %zu: status %d: %s", i, (int)s, said);
        buf_free(&got);
        tokenizer_close(t);
    }
}

static void an_error_about_half_a_character_is_utf_8(void **state)
{
    (void)state;
    struct tokenizer *t = NULL; /* as vocab.json writes it, U+00E9 is the byte 0xe9 */
    assert_int_equal(open_three(&t, "{\"\xc3\xa9\": 0}", "", "{\"\xc3\xa9\": 0}"), E_FORMAT);
    assert_true(utf8_valid(status_message(), strlen(status_message())));
}

static void an_entry_outside_the_alphabet_is_fine_when_it_is_added(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct token_list ids = {0};
    assert_int_equal(open_three(&t, "{\"a\": 0, \"\xe6\x97\xa5\": 1}", "", "{\"\xe6\x97\xa5\": 1}"), OK);
    assert_int_equal(tokenizer_encode(t, &ids, "a\xe6\x97\xa5", 4, true), OK);
    assert_int_equal(ids.n, 2);
    assert_int_equal(ids.ids[1], 1);
    token_list_free(&ids);
    tokenizer_close(t);
}

static void a_folder_needs_one_form_and_tokenizer_json_wins(void **state)
{
    (void)state;
    char dir[] = P_tmpdir "/tokenizer-XXXXXX";
    struct tokenizer *t = NULL;
    assert_non_null(mkdtemp(dir));
    assert_false(tokenizer_exists(dir));
    assert_int_equal(tokenizer_open(&t, dir), E_IO);
    assert_non_null(strstr(status_message(), "vocab.json"));
    assert_non_null(strstr(status_message(), "tokenizer.json"));
    assert_int_equal(tokenizer_open(&t, "no/such/folder"), E_IO);

    scratch_put(dir, "vocab.json", LETTERS); /* half a form is none */
    assert_false(tokenizer_exists(dir));
    assert_int_equal(tokenizer_open(&t, dir), E_IO);
    scratch_put(dir, "tokenizer.json", ROOT("\"added_tokens\": [" ADDED(20, "<x>", "") "]"));
    assert_true(tokenizer_exists(dir));
    assert_int_equal(tokenizer_open(&t, dir), OK);
    assert_int_equal(tokenizer_size(t), 21);
    tokenizer_close(t);

    scratch_put(dir, "merges.txt", "a b\n");
    assert_int_equal(tokenizer_open(&t, dir), OK);
    assert_int_equal(tokenizer_size(t), 21);
    tokenizer_close(t);
    scratch_put(dir, "tokenizer_config.json", "{\"add_prefix_space\": true}");
    assert_int_equal(tokenizer_open(&t, dir), E_UNSUPPORTED);
    scratch_put(dir, "tokenizer_config.json", "{\"added_tokens_decoder\": {\"30\": {\"content\": \"<y>\"}}}");

    scratch_put(dir, "tokenizer.json", "{}");
    assert_int_equal(tokenizer_open(&t, dir), E_FORMAT); /* and there is no falling back from a broken file */
    assert_non_null(strstr(status_message(), dir));
    scratch_drop(dir, "tokenizer.json");
    assert_int_equal(tokenizer_open(&t, dir), OK);
    assert_int_equal(tokenizer_size(t), 31);
    tokenizer_close(t);
    scratch_drop(dir, "tokenizer_config.json");
    scratch_put(dir, "added_tokens.json", "{\"<x>\": 20, \"<x>b\": 21}");
    scratch_put(dir, "special_tokens_map.json", "{\"pad_token\": \"<x>\"}");
    assert_int_equal(tokenizer_open(&t, dir), OK);
    assert_int_equal(tokenizer_size(t), 22);
    struct token_list ids = {0};
    assert_int_equal(tokenizer_encode(t, &ids, "<x>b", 4, true), OK);
    assert_int_equal(ids.n, 2);
    assert_int_equal(ids.ids[0], 20);
    token_list_free(&ids);
    tokenizer_close(t);
    static const char *const names[] = {"vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        scratch_drop(dir, names[i]);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_files_are_one_clear_error),
        cmocka_unit_test(wrong_tokenizer_json_is_one_clear_error),
        cmocka_unit_test(deep_json_and_long_added_tokens_are_refused),
        cmocka_unit_test(what_transformers_5_saves_opens),
        cmocka_unit_test(added_tokens_are_found_in_every_file_that_may_name_them),
        cmocka_unit_test(an_error_about_half_a_character_is_utf_8),
        cmocka_unit_test(an_entry_outside_the_alphabet_is_fine_when_it_is_added),
        cmocka_unit_test(a_folder_needs_one_form_and_tokenizer_json_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
