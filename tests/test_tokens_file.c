// SPDX-License-Identifier: Apache-2.0
/* Training data as tokens: what gptjt data --tokenize writes is what the texts give, and a damaged file is refused. */
#include "data_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/file.h"
#include "data/tokenize.h"
#include "data/tokens_file.h"

/* Sequences of a source until the n-th: their tokens, sorted, so that the order of documents does not matter. */
static int by_number(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Tokens of the longest document of a tokens file, in rows of which no two documents fit. */
static int one_document_a_row(const char *path)
{
    const struct tokens_file_vocab vocab = tokens_file_vocab_of(tokenizer);
    struct tokens_file f;
    struct token_list ids = {0};
    int64_t prefix;
    size_t longest = 0, shortest = SIZE_MAX;
    assert_int_equal(tokens_file_open(&f, path, &vocab), OK);
    for (uint64_t i = 0; i < f.n_documents; i++) {
        assert_int_equal(tokens_file_document(&f, i, &ids, &prefix), OK);
        longest = ids.n > longest ? ids.n : longest;
        shortest = ids.n < shortest ? ids.n : shortest;
    }
    assert_true(2 * shortest > longest);
    token_list_free(&ids);
    tokens_file_close(&f);
    return (int)longest;
}

static void tokens_files_hold_the_same_documents(void **state)
{
    (void)state;
    enum { N = 12, LONGEST = 64 };
    const char *jsonl = "tests/data/train/prompt.jsonl", *tokens = path_of("p.tokens");
    const struct data_source source = {.format = DATA_PROMPT, .paths = {&jsonl, 1}, .weight = 1, .field = "text"};
    const struct tokenize_job job = {.source = &source, .tokenizer = tokenizer};
    struct tokenize_result r;
    if (tokenize_write(&r, &job, tokens) != OK) fail_msg("%s", status_message());
    assert_int_equal(r.n_documents, N);

    const struct data_source again = {.format = DATA_TOKENS, .paths = {&tokens, 1}, .weight = 1, .field = "text"};
    struct data_settings sets[2] = {settings_of(&source), settings_of(&again)};
    const int seq_len = one_document_a_row(tokens); /* so twelve rows are an epoch */
    const size_t n = (size_t)(N * seq_len);
    int32_t all[2][N * LONGEST], targets[2] = {0};
    assert_true(seq_len <= LONGEST);
    for (int k = 0; k < 2; k++) {
        sets[k].seq_len = seq_len;
        struct data *d;
        if (data_open(&d, &sets[k], tokenizer, 0, 1, 0) != OK) fail_msg("%s", status_message());
        for (int i = 0; i < N; i++) {
            int32_t lo[LONGEST], hi[LONGEST], target[LONGEST];
            struct data_sequence s = {all[k] + seq_len * i, lo, hi, target, 0, 0};
            assert_int_equal(data_next(d, &s), OK);
            targets[k] += s.n_targets;
        }
        data_close(d);
        qsort(all[k], n, sizeof all[k][0], by_number);
    }
    assert_memory_equal(all[0], all[1], n * sizeof all[0][0]);
    assert_int_equal(targets[0], targets[1]);
    scratch_drop(directory, "p.tokens");
}

static void tokens_are_read_back_as_written(void **state)
{
    (void)state;
    const struct tokens_file_vocab narrow = {2048, 1}, wide = {70000, 2};
    for (int prefixes = 0; prefixes < 2; prefixes++)
        for (int k = 0; k < 2; k++) {
            const struct tokens_file_vocab *vocab = k ? &wide : &narrow;
            struct tokens_writer w;
            struct tokens_file f;
            struct token_list ids = {0};
            int64_t prefix;
            const int32_t top = (int32_t)vocab->n_ids - 1;
            assert_int_equal(tokens_writer_open(&w, path_of("t.tokens"), vocab, prefixes), OK);
            for (int i = 0; i < 20; i++) {
                const int32_t document[] = {i, top, 3, top - i, 5};
                assert_int_equal(tokens_writer_add(&w, document, (size_t)i % 6, i % 6 / 2), OK);
            }
            assert_int_equal(tokens_writer_commit(&w), OK);
            assert_int_equal(tokens_file_open(&f, path_of("t.tokens"), vocab), OK);
            assert_int_equal(f.n_documents, 20);
            for (int i = 19; i >= 0; i--) {
                const int32_t document[] = {i, top, 3, top - i, 5};
                assert_int_equal(tokens_file_document(&f, (uint64_t)i, &ids, &prefix), OK);
                assert_int_equal(ids.n, i % 6);
                assert_memory_equal(ids.n ? ids.ids : document, document, ids.n * sizeof *document);
                assert_int_equal(prefix, prefixes ? i % 6 / 2 : -1);
            }
            tokens_file_close(&f);
            token_list_free(&ids);
        }
    scratch_drop(directory, "t.tokens");
}

static void broken_tokens_files_are_refused(void **state)
{
    (void)state;
    const struct tokens_file_vocab vocab = {2048, 77};
    const int32_t ids[] = {1, 2, 3, 4, 5};
    struct tokens_writer w;
    struct tokens_file f;
    struct buf good = {0};
    assert_int_equal(tokens_writer_open(&w, path_of("t.tokens"), &vocab, true), OK);
    assert_int_equal(tokens_writer_add(&w, ids, 5, 2), OK);
    assert_int_equal(tokens_writer_add(&w, ids, 3, 0), OK);
    assert_int_equal(tokens_writer_commit(&w), OK);
    assert_int_equal(file_read(&good, path_of("t.tokens"), 1000), OK);

    /* Every header byte changed, every length. */
    for (size_t i = 0; i < 64; i++) {
        good.data[i] ^= 0x41;
        put_bytes("t.tokens", good.data, good.len);
        if (tokens_file_open(&f, path_of("t.tokens"), &vocab) == OK) fail_msg("byte %zu may be anything", i);
        good.data[i] ^= 0x41;
    }
    for (size_t n = 0; n < good.len; n++) {
        put_bytes("t.tokens", good.data, n);
        assert_int_equal(tokens_file_open(&f, path_of("t.tokens"), &vocab), E_FORMAT);
    }
    const struct tokens_file_vocab other = {2048, 78};
    put_bytes("t.tokens", good.data, good.len);
    assert_int_equal(tokens_file_open(&f, path_of("t.tokens"), &other), E_FORMAT);
    assert_non_null(strstr(status_message(), "another tokenizer"));

    /* What is behind the header is checked when it is read: an id, an end, a prompt. */
    static const struct {
        size_t at;
        const char *message;
    } bad[] = {{65, "token 0 is"}, {80, "document 0 is said to be"}, {96, "a prompt of"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct token_list list = {0};
        int64_t prefix;
        good.data[bad[i].at] = 0x7f;
        put_bytes("t.tokens", good.data, good.len);
        assert_int_equal(tokens_file_open(&f, path_of("t.tokens"), &vocab), OK);
        assert_int_equal(tokens_file_document(&f, 0, &list, &prefix), E_FORMAT);
        assert_non_null(strstr(status_message(), bad[i].message));
        tokens_file_close(&f);
        token_list_free(&list);
        good.data[bad[i].at] = 0;
    }
    buf_free(&good);
    scratch_drop(directory, "t.tokens");
}

static void sources_that_draw_their_texts_are_not_tokenized(void **state)
{
    (void)state;
    const char *path = "tests/data/train/ni";
    const struct data_source source = {.format = DATA_NI, .paths = {&path, 1}, .weight = 1, .field = "text"};
    const struct tokenize_job job = {.source = &source, .tokenizer = tokenizer};
    struct tokenize_result r;
    assert_int_equal(tokenize_write(&r, &job, path_of("n.tokens")), E_UNSUPPORTED);
    assert_false(file_exists(path_of("n.tokens")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_files_hold_the_same_documents),
        cmocka_unit_test(tokens_are_read_back_as_written),
        cmocka_unit_test(broken_tokens_files_are_refused),
        cmocka_unit_test(sources_that_draw_their_texts_are_not_tokenized),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
