// SPDX-License-Identifier: Apache-2.0
/* Learning a vocabulary: against what Hugging Face's trainer learned (tools/ref/make_bpe_training.py), and against the
 * definition followed word for word; then limits, cutting, and the files. `test_bpe_train --seed N` repeats a random
 * test. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scratch.h"
#include "scratch_directory.h"
#include "test.h"

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/bpe_train.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabfile_write.h"

#define DATA "tests/data/tokenizer/"

static uint64_t seed;

static struct bpe_trainer *create(struct bpe_train_options o)
{
    struct bpe_trainer *t;
    assert_int_equal(bpe_trainer_create(&t, &o), OK);
    return t;
}

static struct bpe_trained run(struct bpe_trainer *t)
{
    struct bpe_trained learned;
    if (bpe_trainer_run(&learned, t, NULL, NULL) != OK) fail_msg("%s", status_message());
    bpe_trainer_free(t);
    return learned;
}

static struct bpe_trained learn(struct bpe_train_options o, const char *text, size_t len)
{
    struct bpe_trainer *t = create(o);
    assert_int_equal(bpe_trainer_add(t, text, len), OK);
    return run(t);
}

static void append_token(struct buf *out, const struct bpe_trained *b, int32_t id)
{
    const struct vocab_token *token = vocab_token(&b->vocab, id);
    assert_non_null(token);
    alphabet_encode(out, vocab_bytes(&b->vocab, token), token->len);
}

/* As in merges.txt. */
static void append_merges(struct buf *out, const struct bpe_trained *b)
{
    for (int32_t i = 0; i < b->vocab.n_ids - BPE_TRAIN_BYTES; i++) {
        append_token(out, b, b->merges[i].left);
        buf_puts(out, " ");
        append_token(out, b, b->merges[i].right);
        buf_puts(out, "\n");
    }
}

/* ---- What is learned ---- */

static void add_cases(struct bpe_trainer *t, const char *path)
{
    struct buf lines = {0};
    assert_int_equal(file_read(&lines, path, 1 << 24), OK);
    for (char *line = lines.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *c;
        assert_int_equal(json_read_text(&c, line, (size_t)(end - line), path), OK);
        const json_t *text = json_object_get(c, "text");
        assert_int_equal(bpe_trainer_add(t, json_string_value(text), json_string_length(text)), OK);
        json_decref(c);
    }
    buf_free(&lines);
}

static void merges_are_those_that_hugging_face_learns(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        struct bpe_train_options options;
    } cases[] = {
        {DATA "learned-whole.txt", {.n_tokens = 1200, .min_frequency = 2}},
        {DATA "learned-lines.txt", {.n_tokens = 1200, .min_frequency = 2, .by_line = true}},
        {DATA "learned-digits.txt", {.n_tokens = 1200, .min_frequency = 2, .digits_apart = true}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf golden = {0}, got = {0};
        struct bpe_trainer *t = create(cases[i].options);
        add_cases(t, DATA "cases.jsonl");
        add_cases(t, DATA "cases_hf.jsonl");
        struct bpe_trained b = run(t);
        assert_int_equal(b.vocab.n_ids, 1200);
        append_merges(&got, &b);
        assert_int_equal(file_read(&golden, cases[i].file, 1 << 20), OK);
        assert_string_equal(got.data, strchr(golden.data, '\n') + 1);
        bpe_trained_free(&b);
        buf_free(&golden);
        buf_free(&got);
    }
}

/* The definition: every word of the text, every time it occurs, as a row of tokens, and everything counted anew for
 * every merge. */
enum { WORDS = 60, LETTERS = 10, TOKENS = 400 };

struct naive {
    int row[WORDS][LETTERS], len[WORDS];
    int count[TOKENS][TOKENS];
    int left, right, best;
};

static void find_best(struct naive *n, int n_tokens)
{
    memset(n->count, 0, sizeof n->count);
    for (int w = 0; w < WORDS; w++)
        for (int i = 1; i < n->len[w]; i++)
            n->count[n->row[w][i - 1]][n->row[w][i]]++;
    n->best = 0;
    for (int a = 0; a < n_tokens; a++)
        for (int b = 0; b < n_tokens; b++)
            if (n->count[a][b] > n->best) {
                n->best = n->count[a][b];
                n->left = a;
                n->right = b;
            }
}

static void replace(struct naive *n, int token)
{
    for (int w = 0; w < WORDS; w++) {
        int to = 0;
        for (int i = 0; i < n->len[w]; i++) {
            const int *at = &n->row[w][i];
            const bool here = i + 1 < n->len[w] && at[0] == n->left && at[1] == n->right;
            n->row[w][to++] = here ? token : at[0];
            i += here;
        }
        n->len[w] = to;
    }
}

/* Words of a few letters with an exclamation mark, a piece of its own, behind each. Letter a has id 64. */
static void make_words(struct buf *text, struct naive *n, uint64_t stream)
{
    uint64_t k = 0;
    const uint64_t letters = 1 + rng_u64(seed, stream, k++) % 4;
    for (int w = 0; w < WORDS; w++) {
        n->len[w] = 1 + (int)(rng_u64(seed, stream, k++) % LETTERS);
        for (int i = 0; i < n->len[w]; i++) {
            const char c = (char)('a' + rng_u64(seed, stream, k++) % letters);
            buf_append(text, &c, 1);
            n->row[w][i] = 64 + c - 'a';
        }
        buf_puts(text, "!");
    }
}

static void merges_are_those_of_the_definition(void **state)
{
    (void)state;
    struct naive *n = malloc(sizeof *n);
    assert_non_null(n);
    for (uint64_t k = 0; k < 40; k++) {
        struct buf text = {0};
        make_words(&text, n, k);
        const int min = 1 + (int)(k % 3);
        struct bpe_trained b = learn((struct bpe_train_options){.n_tokens = TOKENS, .min_frequency = (uint64_t)min},
                                     text.data, text.len);
        int token = BPE_TRAIN_BYTES;
        for (; token < TOKENS; token++) {
            find_best(n, token);
            if (n->best < min) break;
            if (token >= b.vocab.n_ids || b.merges[token - BPE_TRAIN_BYTES].left != n->left ||
                b.merges[token - BPE_TRAIN_BYTES].right != n->right)
                fail_msg("seed %" PRIu64 ", text %" PRIu64 ": token %d is not %d + %d", seed, k, token, n->left,
                         n->right);
            replace(n, token);
        }
        assert_int_equal(b.vocab.n_ids, token);
        uint64_t n_tokens = WORDS; /* the exclamation marks */
        for (int w = 0; w < WORDS; w++)
            n_tokens += (uint64_t)n->len[w];
        assert_int_equal(b.n_tokens, n_tokens);
        bpe_trained_free(&b);
        buf_free(&text);
    }
    free(n);
}

static void learning_stops_at_its_limits(void **state)
{
    (void)state;
    static const char text[] = "abc!abc!abd!abd!abd!xy";
    static const struct {
        struct bpe_train_options options;
        const char *merges;
        uint64_t last_frequency;
    } cases[] = {
        {{.n_tokens = 256, .min_frequency = 1}, "", 0},
        {{.n_tokens = 257, .min_frequency = 1}, "a b\n", 5},
        {{.n_tokens = 999, .min_frequency = 3}, "a b\nab d\n", 3},
        {{.n_tokens = 999, .min_frequency = 2}, "a b\nab d\nab c\n", 2},
        {{.n_tokens = 999, .min_frequency = 1}, "a b\nab d\nab c\nx y\n", 1},
        {{.n_tokens = 999, .min_frequency = 6}, "", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf got = {0};
        struct bpe_trained b = learn(cases[i].options, text, sizeof text - 1);
        append_merges(&got, &b);
        assert_string_equal(got.data ? got.data : "", cases[i].merges);
        assert_int_equal(b.last_frequency, cases[i].last_frequency);
        assert_int_equal(b.n_bytes, sizeof text - 1);
        assert_int_equal(b.n_words, 4); /* abc abd ! xy */
        bpe_trained_free(&b);
        buf_free(&got);
    }
}

static void nothing_is_merged_over_an_end(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct bpe_train_options options;
        const char *merges;
    } cases[] = {
        {"\n\n\n\n", {.n_tokens = 999, .min_frequency = 1}, "\xc4\x8a \xc4\x8a\n\xc4\x8a\xc4\x8a \xc4\x8a\xc4\x8a\n"},
        {"\n\n\n\n", {.n_tokens = 999, .min_frequency = 1, .by_line = true}, ""},
        {"no\nno", {.n_tokens = 999, .min_frequency = 1, .by_line = true}, "n o\n"},
        {"a 12a", {.n_tokens = 999, .min_frequency = 1}, "1 2\n\xc4\xa0 12\n"},
        {"a 12a", {.n_tokens = 999, .min_frequency = 1, .digits_apart = true}, ""},
        {"\xff\xff\xff\xff", {.n_tokens = 999, .min_frequency = 1}, ""}, /* no UTF-8: each alone */
        {"", {.n_tokens = 999, .min_frequency = 1}, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf got = {0};
        struct bpe_trained b = learn(cases[i].options, cases[i].text, strlen(cases[i].text));
        append_merges(&got, &b);
        assert_string_equal(got.data ? got.data : "", cases[i].merges);
        bpe_trained_free(&b);
        buf_free(&got);
    }
}

static bool stop_at_300(void *user, int32_t n_tokens)
{
    *(int32_t *)user = n_tokens;
    return n_tokens < 300;
}

static void learning_stops_when_asked_to(void **state)
{
    (void)state;
    int32_t reached = 0;
    struct bpe_trained b;
    struct bpe_trainer *t = create((struct bpe_train_options){.n_tokens = 1200, .min_frequency = 2});
    add_cases(t, DATA "cases.jsonl");
    assert_int_equal(bpe_trainer_run(&b, t, stop_at_300, &reached), E_CANCELLED);
    assert_int_equal(reached, 300);
    bpe_trainer_free(t);
}

/* ---- The alphabet and the files ---- */

static void the_alphabet_is_one_to_one(void **state)
{
    (void)state;
    unsigned char order[BPE_TRAIN_BYTES];
    char all[BPE_TRAIN_BYTES];
    struct buf text = {0}, back = {0};
    alphabet_order(order);
    for (int i = 0; i < BPE_TRAIN_BYTES; i++)
        all[i] = (char)order[i];
    alphabet_encode(&text, all, sizeof all);
    assert_true(alphabet_decode(&back, text.data, text.len));
    assert_int_equal(back.len, sizeof all);
    assert_memory_equal(back.data, all, sizeof all);
    /* GPT-2's own order. */
    struct tokenizer *gpt2;
    assert_int_equal(tokenizer_open(&gpt2, DATA), OK);
    for (int i = 0; i < BPE_TRAIN_BYTES; i++) {
        size_t len;
        const char *token = tokenizer_token(gpt2, i, &len);
        assert_int_equal(len, 1);
        assert_int_equal((unsigned char)*token, order[i]);
    }
    tokenizer_close(gpt2);
    buf_free(&text);
    buf_free(&back);
}

static struct bpe_trained learn_cases(void)
{
    struct bpe_trainer *t = create((struct bpe_train_options){.n_tokens = 600, .min_frequency = 2});
    add_cases(t, DATA "cases.jsonl");
    return run(t);
}

static void check_written(const char *text, const int32_t *want, size_t n)
{
    struct tokenizer *t;
    struct token_list ids = {0};
    if (tokenizer_open(&t, directory) != OK) fail_msg("%s", status_message());
    assert_int_equal(tokenizer_size(t), 600 + 1 + 3);
    assert_int_equal(tokenizer_find(t, "<|end|>"), 600);
    assert_true(tokenizer_is_special(t, 600) && tokenizer_is_special(t, 603) && !tokenizer_is_special(t, 599));
    assert_int_equal(tokenizer_encode(t, &ids, text, strlen(text), true), OK);
    assert_int_equal(ids.n, n);
    assert_memory_equal(ids.ids, want, n * sizeof *want);
    token_list_free(&ids);
    tokenizer_close(t);
}

static void files_are_read_as_they_were_learned(void **state)
{
    (void)state;
    struct bpe_trained b = learn_cases();
    const struct vocabfile_new files = {&b, "<|end|>", 3};
    if (vocabfile_write(directory, &files) != OK) fail_msg("%s", status_message());

    /* The last token learned, and every added one, encode to themselves. */
    struct buf text = {0};
    const struct vocab_token *last = vocab_token(&b.vocab, 599);
    buf_puts(&text, "<|extratoken_3|>");
    buf_append(&text, vocab_bytes(&b.vocab, last), last->len);
    buf_puts(&text, "<|end|><|extratoken_1|><|extratoken_2|>");
    const int32_t want[] = {603, 599, 600, 601, 602};
    check_written(text.data, want, COUNT_OF(want));
    scratch_drop(directory, "tokenizer.json"); /* now from the other five */
    check_written(text.data, want, COUNT_OF(want));

    for (int i = 0; vocabfile_names[i]; i++)
        scratch_drop(directory, vocabfile_names[i]);
    buf_free(&text);
    bpe_trained_free(&b);
}

static void a_special_token_that_was_learned_is_refused(void **state)
{
    (void)state;
    struct bpe_trained b = learn((struct bpe_train_options){.n_tokens = 999, .min_frequency = 1}, "pad pad", 7);
    const struct vocabfile_new files = {&b, "pad", 0};
    assert_int_equal(vocabfile_write(directory, &files), E_ARG);
    assert_string_equal(status_message(), "\"pad\" is token 257 of what was learned");
    bpe_trained_free(&b);
}

int main(int argc, char **argv)
{
    seed = argc == 3 && !strcmp(argv[1], "--seed") ? strtoull(argv[2], NULL, 10) : rng_fresh_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_are_those_that_hugging_face_learns),
        cmocka_unit_test(merges_are_those_of_the_definition),
        cmocka_unit_test(learning_stops_at_its_limits),
        cmocka_unit_test(nothing_is_merged_over_an_end),
        cmocka_unit_test(learning_stops_when_asked_to),
        cmocka_unit_test(the_alphabet_is_one_to_one),
        cmocka_unit_test(files_are_read_as_they_were_learned),
        cmocka_unit_test(a_special_token_that_was_learned_is_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
