// SPDX-License-Identifier: Apache-2.0
/* The tokenizer against ids that OpenAI's and Hugging Face's gave, by every form of its files; then laws (what is
 * encoded decodes to itself), very long runs, and files that are wrong. Random tests print their seed when they fail;
 * `test_tokenizer --seed N` repeats one. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "small_tokenizer.h"
#include "test.h"

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tokenizer/pretok.h"
#include "tokenizer/tokenizer.h"

#define DATA "tests/data/tokenizer/"

enum { THREE_FILES, JSON_STRINGS, JSON_PAIRS, N_FORMS };

static const char *const form_names[N_FORMS] = {"three files", "tokenizer.json, strings", "tokenizer.json, pairs"};

static struct tokenizer *forms[N_FORMS];
static uint64_t seed;

/* --- the forms --------------------------------------------------------------------------------------------------- */

static json_t *merges_as_json(const char *text, bool pairs)
{
    json_t *merges = json_array();
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        if (line == text || end == line) continue; /* #version */
        const char *space = memchr(line, ' ', (size_t)(end - line));
        json_array_append_new(
            merges, pairs ? json_pack("[s%, s%]", line, (size_t)(space - line), space + 1, (size_t)(end - space - 1))
                          : json_stringn(line, (size_t)(end - line)));
    }
    return merges;
}

static json_t *added_as_json(void)
{
    json_t *added = json_pack("[{s:i, s:s, s:b, s:b}]", "id", 50256, "content", "<|endoftext|>", "normalized", 0,
                              "special", 1);
    json_t *object, *id;
    assert_int_equal(json_read_file(&object, DATA "added_tokens.json", 1 << 20), OK);
    const char *text;
    json_object_foreach (object, text, id) {
        json_array_append_new(added, json_pack("{s:O, s:s, s:b, s:b, s:b}", "id", id, "content", text, "normalized", 1,
                                               "special", 0, "lstrip", 0));
    }
    json_decref(object);
    return added;
}

static char *make_tokenizer_json(bool pairs)
{
    json_t *vocab;
    struct buf merges = {0};
    assert_int_equal(json_read_file(&vocab, DATA "vocab.json", 1 << 22), OK);
    assert_int_equal(file_read(&merges, DATA "merges.txt", 1 << 22), OK);
    json_t *model = json_pack("{s:s, s:n, s:s, s:b, s:o, s:o}", "type", "BPE", "dropout", "end_of_word_suffix", "",
                              "byte_fallback", 0, "vocab", vocab, "merges", merges_as_json(merges.data, pairs));
    json_t *root = json_pack("{s:o, s:n, s:{s:s, s:b, s:b}, s:{s:s}, s:{s:s}, s:o}", "added_tokens", added_as_json(),
                             "normalizer", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "use_regex", 1,
                             "post_processor", "type", "ByteLevel", "decoder", "type", "ByteLevel", "model", model);
    char *text = json_dumps(root, 0);
    json_decref(root);
    buf_free(&merges);
    assert_non_null(text);
    return text;
}

static int open_forms(void **state)
{
    (void)state;
    char dir[] = P_tmpdir "/tokenizer-XXXXXX";
    if (!mkdtemp(dir) || tokenizer_open(&forms[THREE_FILES], DATA) != OK) return -1;
    for (int i = JSON_STRINGS; i < N_FORMS; i++) {
        char *text = make_tokenizer_json(i == JSON_PAIRS);
        scratch_put(dir, "tokenizer.json", text);
        free(text);
        if (tokenizer_open(&forms[i], dir) != OK) fprintf(stderr, "%s\n", status_message());
        if (!forms[i]) return -1;
    }
    scratch_drop(dir, "tokenizer.json");
    return rmdir(dir);
}

static int close_forms(void **state)
{
    (void)state;
    for (int i = 0; i < N_FORMS; i++)
        tokenizer_close(forms[i]);
    return 0;
}

/* --- goldens ----------------------------------------------------------------------------------------------------- */

static bool same_ids(const json_t *want, const struct token_list *got)
{
    if (json_array_size(want) != got->n) return false;
    for (size_t i = 0; i < got->n; i++)
        if (json_integer_value(json_array_get(want, i)) != got->ids[i]) return false;
    return true;
}

static void check_case(const char *line, size_t len, bool added)
{
    json_t *c;
    assert_int_equal(json_read_text(&c, line, len, "case"), OK);
    const json_t *text = json_object_get(c, "text");
    for (int i = 0; i < N_FORMS; i++) {
        struct token_list got = {0};
        struct buf back = {0};
        assert_int_equal(tokenizer_encode(forms[i], &got, json_string_value(text), json_string_length(text), added),
                         OK);
        if (!same_ids(json_object_get(c, "ids"), &got)) fail_msg("%s: %.*s", form_names[i], (int)len, line);
        assert_int_equal(tokenizer_decode(forms[i], &back, got.ids, got.n), OK);
        assert_int_equal(back.len, json_string_length(text));
        if (back.len) assert_memory_equal(back.data, json_string_value(text), back.len);
        buf_free(&back);
        token_list_free(&got);
    }
    json_decref(c);
}

static void check_cases(const char *path, bool added, int n_expected)
{
    struct buf text = {0};
    int n = 0;
    assert_int_equal(file_read(&text, path, 1 << 22), OK);
    for (const char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1, n++)
        check_case(line, (size_t)(end - line), added);
    assert_int_equal(n, n_expected);
    buf_free(&text);
}

static void every_form_gives_the_ids_of_tiktoken(void **state)
{
    (void)state;
    check_cases(DATA "cases.jsonl", false, 1300);
}

static void every_form_gives_the_ids_of_hugging_face(void **state)
{
    (void)state;
    check_cases(DATA "cases_hf.jsonl", true, 708);
}

/* --- laws -------------------------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t stream, uint64_t *counter)
{
    return rng_u64(seed, stream, (*counter)++);
}

/* Bytes of all kinds: any byte, ASCII, fragments that the pattern and the added tokens care about. */
static void append_random(struct buf *out, uint64_t stream, uint64_t *counter)
{
    static const char *const fragments[] = {" ",
                                            "  ",
                                            "\n",
                                            "'ll",
                                            "'s",
                                            "\xc2\xa0",
                                            "\xe2\x80\xa8",
                                            "\xe6\x97\xa5",
                                            "<|endof",
                                            "text|>",
                                            "<|endoftext|>",
                                            "<|extratoken_1",
                                            "|>",
                                            "\xf0\x9f\x91\xa9",
                                            "\xf0\x9f"};
    const uint64_t r = draw(stream, counter);
    if (r % 3 == 0)
        buf_append(out, &(char){(char)(r >> 8)}, 1);
    else if (r % 3 == 1)
        buf_append(out, &(char){(char)(r >> 8 & 0x7f)}, 1);
    else
        buf_puts(out, fragments[(r >> 8) % COUNT_OF(fragments)]);
}

static void check_round_trip(const struct tokenizer *t, const struct buf *text, bool added)
{
    struct token_list ids = {0};
    struct buf back = {0};
    assert_int_equal(tokenizer_encode(t, &ids, text->data, text->len, added), OK);
    assert_int_equal(tokenizer_decode(t, &back, ids.ids, ids.n), OK);
    if (back.len != text->len || (text->len && memcmp(back.data, text->data, text->len)))
        fail_msg("not the same bytes; --seed %" PRIu64, seed);
    token_list_free(&ids);
    buf_free(&back);
}

static void decode_of_encode_is_identity_on_random_bytes(void **state)
{
    (void)state;
    for (uint64_t stream = 0; stream < 2000; stream++) {
        struct buf text = {0};
        uint64_t counter = 0;
        for (uint64_t n = draw(stream, &counter) % 60; n; n--)
            append_random(&text, stream, &counter);
        check_round_trip(forms[THREE_FILES], &text, false);
        check_round_trip(forms[THREE_FILES], &text, true);
        buf_free(&text);
    }
}

/* Mostly tokens of broken bytes (the first 256), which real text seldom has. */
static int32_t random_token(uint64_t stream, uint64_t *counter)
{
    const uint64_t r = draw(stream, counter);
    return (int32_t)((r >> 8) % (r % 4 ? 256 : 50400));
}

static void streaming_equals_decoding_with_replacement_and_emits_whole_characters(void **state)
{
    (void)state;
    const struct tokenizer *t = forms[THREE_FILES];
    for (uint64_t stream = 0; stream < 3000; stream++) {
        struct buf streamed = {0}, whole = {0}, replaced = {0};
        struct token_stream s = {0};
        uint64_t counter = 0;
        for (uint64_t n = draw(stream, &counter) % 40; n; n--) {
            const int32_t id = random_token(stream, &counter);
            const size_t before = streamed.len;
            assert_int_equal(tokenizer_stream(t, &s, &streamed, id), OK);
            assert_int_equal(tokenizer_decode(t, &whole, &id, 1), OK);
            if (streamed.len > before && !utf8_valid(streamed.data + before, streamed.len - before))
                fail_msg("half a character; --seed %" PRIu64, seed);
        }
        tokenizer_stream_end(&s, &streamed);
        utf8_append_replaced(&replaced, whole.data, whole.len);
        if (streamed.len != replaced.len || (replaced.len && memcmp(streamed.data, replaced.data, replaced.len)))
            fail_msg("not what decoding the whole gives; --seed %" PRIu64, seed);
        buf_free(&streamed);
        buf_free(&whole);
        buf_free(&replaced);
    }
}

static void a_cut_character_waits_and_a_broken_one_does_not(void **state)
{
    (void)state;
    const struct tokenizer *t = forms[THREE_FILES];
    struct token_stream s = {0};
    struct buf out = {0};
    const char woman[] = "\xf0\x9f\x91\xa9";
    struct token_list ids = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(tokenizer_encode(t, &ids, woman + i, 1, false), OK);
    assert_int_equal(ids.n, 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tokenizer_stream(t, &s, &out, ids.ids[i]), OK);
        assert_int_equal(out.len, 0);
    }
    assert_int_equal(tokenizer_stream(t, &s, &out, ids.ids[3]), OK);
    assert_string_equal(out.data, woman);
    buf_clear(&out);
    assert_int_equal(tokenizer_stream(t, &s, &out, ids.ids[0]), OK);
    assert_int_equal(tokenizer_stream(t, &s, &out, 64), OK); /* "a" */
    assert_string_equal(out.data, "\xef\xbf\xbd"
                                  "a");
    assert_int_equal(tokenizer_stream(t, &s, &out, 50400), E_ARG);
    token_list_free(&ids);
    buf_free(&out);
}

/* --- long runs --------------------------------------------------------------------------------------------------- */

static const char *const run_patterns[] = {
    "a", " ", "\n", "!", "1", "\xe6\x97\xa5", "\xff", "<", "<|endoftext|>", "ab 12,\xc3\xa9\n  ", "aaaaaaaab"};

static void repeat(struct buf *out, const char *pattern, size_t len)
{
    while (out->len < len)
        buf_puts(out, pattern);
}

static void a_megabyte_of_one_kind_round_trips(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(run_patterns); i++) {
        struct buf text = {0};
        repeat(&text, run_patterns[i], 1 << 20);
        check_round_trip(forms[THREE_FILES], &text, true);
        buf_free(&text);
    }
}

static void pieces_are_the_same_with_and_without_jit_on_a_megabyte(void **state)
{
    (void)state;
    struct pretok *pretok[2];
    struct pretok_scan scan[2];
    for (int k = 0; k < 2; k++) {
        assert_int_equal(pretok_create(&pretok[k], k == 1), OK);
        assert_int_equal(pretok_scan_begin(&scan[k], pretok[k]), OK);
    }
    for (size_t i = 0; i < COUNT_OF(run_patterns); i++) {
        if (!utf8_valid(run_patterns[i], strlen(run_patterns[i]))) continue;
        struct buf text = {0};
        repeat(&text, run_patterns[i], 1 << 20);
        buf_puts(&text, "x"); /* so that the lookahead after white space has something to see */
        for (size_t at = 0, end[2]; at < text.len; at = end[0]) {
            for (int k = 0; k < 2; k++)
                assert_int_equal(pretok_next(&scan[k], text.data, text.len, at, &end[k]), OK);
            assert_int_equal(end[0], end[1]);
            assert_true(end[0] > at);
        }
        buf_free(&text);
    }
    for (int k = 0; k < 2; k++) {
        pretok_scan_end(&scan[k]);
        pretok_free(pretok[k]);
    }
}

static void *encode_in_a_thread(void *user)
{
    struct token_list *ids = user;
    for (int i = 0; i < 200; i++)
        if (tokenizer_encode(forms[THREE_FILES], ids, "It's 12 o'clock<|endoftext|>\n", 29, true) != OK) return user;
    return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
    (void)state;
    enum { N = 4 };
    pthread_t threads[N];
    struct token_list ids[N] = {0};
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_in_a_thread, &ids[i]), 0);
    for (int i = 0; i < N; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(ids[i].n, ids[0].n);
        assert_memory_equal(ids[i].ids, ids[0].ids, ids[0].n * sizeof(int32_t));
        if (i) token_list_free(&ids[i]);
    }
    token_list_free(&ids[0]);
}

/* --- single facts ------------------------------------------------------------------------------------------------ */

static void tokens_are_found_by_their_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < N_FORMS; i++) {
        size_t len = 0;
        assert_int_equal(tokenizer_size(forms[i]), 50400);
        assert_int_equal(tokenizer_find(forms[i], "<|endoftext|>"), 50256);
        assert_int_equal(tokenizer_find(forms[i], "<|extratoken_14|>"), 50270);
        assert_int_equal(tokenizer_find(forms[i], " the"), 262);
        assert_int_equal(tokenizer_find(forms[i], "no such token"), -1);
        assert_int_equal(tokenizer_find(forms[i], ""), -1);
        assert_true(tokenizer_is_special(forms[i], 50256));
        assert_true(tokenizer_is_special(forms[i], 50399));
        assert_false(tokenizer_is_special(forms[i], 262));
        assert_false(tokenizer_is_special(forms[i], -1));
        assert_false(tokenizer_is_special(forms[i], 50400));
        assert_string_equal(tokenizer_token(forms[i], 262, &len), " the");
        assert_int_equal(len, 4);
        assert_null(tokenizer_token(forms[i], 50400, &len));
        assert_null(tokenizer_token(forms[i], -1, &len));
    }
}

static void an_unknown_id_is_refused_and_nothing_is_decoded(void **state)
{
    (void)state;
    struct buf out = {0};
    const int32_t beyond[] = {64, 50400}, negative[] = {64, -1};
    assert_int_equal(tokenizer_decode(forms[0], &out, beyond, 2), E_ARG);
    assert_non_null(strstr(status_message(), "50400"));
    assert_int_equal(tokenizer_decode(forms[0], &out, negative, 2), E_ARG);
    assert_int_equal(out.len, 0);
}

static const struct {
    const char *text, *merges, *model, *added;
    bool match;
    const char *ids;
} small_cases[] = {
    {"abc", "\"a b\", \"ab c\"", "", "", true, "4 "},
    {"abc", "\"b c\", \"a b\"", "", "", true, "0 5 "},
    {"abc", "[\"b\", \"c\"], [\"a\", \"bc\"]", "", "", true, "4 "},
    {"abab", "\"a b\"", "", "", true, "3 3 "},
    {"aaa", "\"a a\"", "", "", true, "7 0 "},                   /* leftmost of equal ranks */
    {"abc", "\"b c\", \"a b\", \"b c\"", "", "", true, "3 2 "}, /* a repeated merge takes the later rank */
    {"abc", "\"a b\"", "\"ignore_merges\": true, ", "", true, "4 "},
    {"abc", "\"a b\"", "\"ignore_merges\": false, ", "", true, "3 2 "},
    {"xabcx", "", "", ADDED(8, "x", "") ", " ADDED(9, "xab", ""), true, "9 2 8 "}, /* longest at one place */
    {"cabc", "", "", ADDED(8, "bc", "") ", " ADDED(9, "ca", ""), true, "9 8 "},
    {"ababc", "", "", ADDED(8, "aba", "") ", " ADDED(9, "abc", ""), true, "8 1 2 "}, /* leftmost wins */
    {"abc", "", "", ADDED(8, "abc", ""), true, "8 "},
    {"abc", "", "", ADDED(8, "abc", ""), false, "0 1 2 "},
    /* tokens for the raw text come before those for normalized text, wherever they are */
    {"abcc", "", "", ADDED(8, "abc", ", \"normalized\": true") ", " ADDED(9, "cc", ""), true, "0 1 9 "},
    {"aaaa", "", "", ADDED(7, "aa", ""), true, "7 7 "},
};

static void small_vocabularies_merge_and_match_as_specified(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(small_cases); i++) {
        struct buf json = {0}, got = {0};
        struct tokenizer *t = NULL;
        struct token_list ids = {0};
        buf_printf(&json, "{" PRE ", \"model\": {%s\"vocab\": %s, \"merges\": [%s]}, \"added_tokens\": [%s]}",
                   small_cases[i].model, *small_cases[i].added ? BARE : LETTERS, small_cases[i].merges,
                   small_cases[i].added);
        if (open_json(&t, json.data) != OK) fail_msg("case %zu: %s", i, status_message());
        const char *text = small_cases[i].text;
        if (tokenizer_encode(t, &ids, text, strlen(text), small_cases[i].match) != OK)
            fail_msg("case %zu: %s", i, status_message());
        for (size_t k = 0; k < ids.n; k++)
            buf_printf(&got, "%" PRId32 " ", ids.ids[k]);
        if (strcmp(got.data, small_cases[i].ids)) fail_msg("case %zu: %s", i, got.data);
        token_list_free(&ids);
        buf_free(&json);
        buf_free(&got);
        tokenizer_close(t);
    }
}

static void a_byte_without_a_token_is_one_error_and_no_ids(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct token_list ids = {0};
    assert_int_equal(open_three(&t, LETTERS, "a b\n", NULL), OK);
    assert_int_equal(tokenizer_encode(t, &ids, "ab x", 4, true), E_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "0x78"));
    assert_int_equal(ids.n, 0);
    assert_int_equal(tokenizer_encode(t, &ids, NULL, 0, true), OK);
    assert_int_equal(ids.n, 0);
    token_list_free(&ids);
    tokenizer_close(t);
}

static void merges_may_have_a_version_line_carriage_returns_or_no_last_newline(void **state)
{
    (void)state;
    static const char *const texts[] = {"a b\nab c\n", "#version: 0.2\na b\nab c", "#version: 0.2\r\na b\r\nab c\r\n",
                                        "a b\n\nab c\n\n"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct tokenizer *t;
        struct token_list ids = {0};
        assert_int_equal(open_three(&t, LETTERS, texts[i], NULL), OK);
        assert_int_equal(tokenizer_encode(t, &ids, "abc", 3, true), OK);
        assert_int_equal(ids.n, 1);
        assert_int_equal(ids.ids[0], 4);
        token_list_free(&ids);
        tokenizer_close(t);
    }
}

int main(int argc, char **argv)
{
    seed = argc == 3 && !strcmp(argv[1], "--seed") ? strtoull(argv[2], NULL, 10) : rng_fresh_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_gives_the_ids_of_tiktoken),
        cmocka_unit_test(every_form_gives_the_ids_of_hugging_face),
        cmocka_unit_test(decode_of_encode_is_identity_on_random_bytes),
        cmocka_unit_test(streaming_equals_decoding_with_replacement_and_emits_whole_characters),
        cmocka_unit_test(a_cut_character_waits_and_a_broken_one_does_not),
        cmocka_unit_test(a_megabyte_of_one_kind_round_trips),
        cmocka_unit_test(pieces_are_the_same_with_and_without_jit_on_a_megabyte),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(tokens_are_found_by_their_bytes),
        cmocka_unit_test(an_unknown_id_is_refused_and_nothing_is_decoded),
        cmocka_unit_test(small_vocabularies_merge_and_match_as_specified),
        cmocka_unit_test(a_byte_without_a_token_is_one_error_and_no_ids),
        cmocka_unit_test(merges_may_have_a_version_line_carriage_returns_or_no_last_newline),
    };
    return cmocka_run_group_tests(tests, open_forms, close_forms);
}
