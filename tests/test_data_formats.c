// SPDX-License-Identifier: Apache-2.0
/* What records of each format become: prompts with their completions, instructions, chains of thought. */
#include "data_rows.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "data/data.h"

/* ---- Prompts ---- */

static void append_text(struct buf *out, const int32_t *ids, int n)
{
    assert_int_equal(tokenizer_decode(tokenizer, out, ids, (size_t)n), OK);
}

static void prompts_are_prefixes_and_completions_targets(void **state)
{
    (void)state;
    const struct data_settings set = one_source(&card[4], DOCUMENTS_ISOLATE, OBJECTIVE_UL2R);
    struct data *d = open_data(&set, 0, 1, 0);
    struct row r;
    int n_documents = 0;
    for (int i = 0; i < 12; i++) {
        next(d, &r);
        for (int begin = 0; begin < set.seq_len;) {
            int end = begin + 1;
            while (end < set.seq_len && r.lo[end] == begin)
                end++;
            if (end - begin > 1) {
                struct buf prompt = {0}, completion = {0};
                append_text(&prompt, r.token + begin, r.hi[begin] - begin);
                append_text(&completion, r.token + r.hi[begin], end - r.hi[begin]);
                assert_memory_equal(prompt.data, "Animal: ", 8);
                assert_string_equal(prompt.data + prompt.len - 7, "\nPlace:");
                assert_true(completion.data[0] == ' ' && completion.data[completion.len - 1] == '\n');
                assert_int_equal(r.target[r.hi[begin] - 1], r.token[r.hi[begin]]);
                for (int t = begin; t < r.hi[begin] - 1; t++)
                    assert_int_equal(r.target[t], DATA_NO_TARGET);
                assert_int_equal(r.target[end - 1], DATA_NO_TARGET);
                buf_free(&prompt);
                buf_free(&completion);
                n_documents++;
            }
            begin = end;
        }
    }
    assert_true(n_documents >= 12);
    data_close(d);
}

/* The same documents from members named otherwise, through templates. */
static void templates_make_prompts_of_any_records(void **state)
{
    (void)state;
    static const char *files[] = {P_tmpdir "/gptjt-test-rows.csv", P_tmpdir "/gptjt-test-rows.jsonl"};
    static const char *const rows[] = {"animal,place\notter,weir\nmole,meadow\nheron,\"reeds\"\n",
                                       "{\"prompt\": \"Animal {x}: otter\\nPlace:\", \"completion\": \" weir\\n\"}\n"
                                       "{\"prompt\": \"Animal {x}: mole\\nPlace:\", \"completion\": \" meadow\\n\"}\n"
                                       "{\"prompt\": \"Animal {x}: heron\\nPlace:\", \"completion\": \" reeds\\n\"}\n"};
    const struct data_source sources[] = {
        {.format = DATA_PROMPT,
         .paths = {&files[0], 1},
         .weight = 1,
         .field = "text",
         .prompt = "Animal {{x}: {animal}\nPlace:",
         .completion = " {place}\n"},
        {.format = DATA_PROMPT, .paths = {&files[1], 1}, .weight = 1, .field = "text"}};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        FILE *f = fopen(files[i], "w");
        assert_non_null(f);
        fputs(rows[i], f);
        fclose(f);
    }
    const struct data_settings from_csv = one_source(&sources[0], DOCUMENTS_ISOLATE, OBJECTIVE_PREFIX);
    const struct data_settings from_jsonl = one_source(&sources[1], DOCUMENTS_ISOLATE, OBJECTIVE_PREFIX);
    struct data *a = open_data(&from_csv, 0, 1, 0), *b = open_data(&from_jsonl, 0, 1, 0);
    for (int i = 0; i < 9; i++) {
        struct row x, y;
        next(a, &x);
        next(b, &y);
        assert_memory_equal(x.token, y.token, (size_t)from_csv.seq_len * sizeof *x.token);
        assert_memory_equal(x.target, y.target, (size_t)from_csv.seq_len * sizeof *x.target);
    }
    data_close(a);
    data_close(b);
    unlink(files[0]);
    unlink(files[1]);
}

/* The same tokens and targets, and nothing sees what comes after it. */
static void a_causal_models_prompts_are_causal(void **state)
{
    (void)state;
    const struct data_settings prefix = one_source(&card[4], DOCUMENTS_ISOLATE, OBJECTIVE_PREFIX);
    const struct data_settings causal = one_source(&card[4], DOCUMENTS_ISOLATE, OBJECTIVE_CAUSAL);
    struct data *a = open_data(&prefix, 0, 1, 0), *b = open_data(&causal, 0, 1, 0);
    const size_t bytes = (size_t)prefix.seq_len * sizeof(int32_t);
    for (int i = 0; i < 12; i++) {
        struct row x, y;
        next(a, &x);
        next(b, &y);
        assert_memory_equal(x.token, y.token, bytes);
        assert_memory_equal(x.target, y.target, bytes);
        assert_memory_equal(x.lo, y.lo, bytes);
        assert_true(x.hi[0] > 1);
        for (int t = 0; t < causal.seq_len; t++)
            assert_int_equal(y.hi[t], t + 1);
    }
    data_close(a);
    data_close(b);
}

static int count_tokens(const char *text)
{
    struct token_list ids = {0};
    assert_int_equal(tokenizer_encode(tokenizer, &ids, text, strlen(text), true), OK);
    const int n = (int)ids.n;
    token_list_free(&ids);
    return n;
}

/* Tokens of the shortest record of prompt.jsonl, and of the longest completion. */
static void measure_prompts(int *record, int *completion)
{
    FILE *f = fopen(prompt_path[0], "r");
    char line[4096];
    assert_non_null(f);
    *record = SEQ_MAX;
    *completion = 0;
    while (fgets(line, sizeof line, f)) {
        json_t *object;
        assert_int_equal(json_read_text(&object, line, strlen(line), "line"), OK);
        const int prompt = count_tokens(json_string_value(json_object_get(object, "prompt")));
        const int n = count_tokens(json_string_value(json_object_get(object, "completion")));
        if (prompt + n < *record) *record = prompt + n;
        if (n > *completion) *completion = n;
        json_decref(object);
    }
    fclose(f);
}

/* Rows are a token too short for every record, and long enough for every completion: what is left of a prompt is its
 * end. */
static void a_prompt_that_is_too_long_loses_its_left(void **state)
{
    (void)state;
    int record, completion;
    measure_prompts(&record, &completion);
    struct data_settings set = one_source(&card[4], DOCUMENTS_ISOLATE, OBJECTIVE_PREFIX);
    const int seq_len = record - 1;
    assert_true(completion < seq_len);
    set.seq_len = seq_len;
    struct data *d = open_data(&set, 0, 1, 0);
    struct row r;
    for (int i = 0; i < 24; i++) {
        struct buf text = {0};
        next(d, &r);
        append_text(&text, r.token, seq_len);
        assert_non_null(strstr(text.data, ": "));
        assert_null(strstr(text.data, "Animal"));
        assert_int_equal(text.data[text.len - 1], '\n');
        assert_int_equal(r.n_targets, seq_len - r.hi[0]);
        buf_free(&text);
    }
    set.seq_len = 2; /* shorter than every completion: one token of the prompt, one of the completion */
    struct data *shortest = open_data(&set, 0, 1, 0);
    for (int i = 0; i < 5; i++) {
        next(shortest, &r);
        assert_int_equal(r.n_targets, 1);
    }
    data_close(shortest);
    data_close(d);
}

/* ---- Instruction formats ---- */

static char *row_text(const struct row *r, int n)
{
    struct buf text = {0};
    append_text(&text, r->token, n);
    return text.data;
}

static bool has_suffix_before(const char *text, const char *line, const char *const *prefixes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char whole[256];
        snprintf(whole, sizeof whole, "%s%s", prefixes[i], line);
        if (strstr(text, whole)) return true;
    }
    return false;
}

static void instructions_are_drawn_as_published(void **state)
{
    (void)state;
    enum { N = 3000 };
    static const char *const answers[] = {"Output: ", "Ans: ", "A: ", "Answer: ", "Label: "};
    struct data_settings set = one_source(&card[2], DOCUMENTS_ISOLATE, OBJECTIVE_CAUSAL);
    set.seq_len = 200;
    struct data *d = open_data(&set, 0, 1, 0);
    int classification = 0, defined = 0, labelled = 0;
    for (int i = 0; i < N; i++) {
        struct row r;
        next(d, &r);
        char *text = row_text(&r, 200);
        const bool weather = !strstr(text, " lives ");
        classification += weather;
        defined += !strncmp(text, "Say whether", 11) || !strncmp(text, "Ask a question", 14);
        const bool list = strstr(text, "Possible labels:\n1. glad\n2. sad\n");
        labelled += list;
        if (!weather) assert_null(strstr(text, "Possible labels"));
        assert_true(text[0] != '\n');
        assert_true(weather ? has_suffix_before(text, "glad", answers, COUNT_OF(answers)) ||
                                  has_suffix_before(text, "sad", answers, COUNT_OF(answers))
                            : has_suffix_before(text, "W", answers, COUNT_OF(answers)));
        assert_int_equal(r.n_targets, 199);
        free(text);
    }
    assert_share(classification, N, .3 + .7 / 2); /* one of two tasks */
    assert_share(defined, N, 2. / 3);
    assert_share(labelled, classification, .5);
    data_close(d);
}

/* The text is one tokenization of itself: what was encoded bit by bit fits together. */
static void instructions_are_encoded_as_a_whole(void **state)
{
    (void)state;
    struct data_settings set = one_source(&card[2], DOCUMENTS_ISOLATE, OBJECTIVE_CAUSAL);
    set.seq_len = 400;
    struct data *d = open_data(&set, 0, 1, 0);
    for (int i = 0; i < 50; i++) {
        struct row r;
        struct token_list again = {0};
        next(d, &r);
        char *text = row_text(&r, 400);
        assert_int_equal(tokenizer_encode(tokenizer, &again, text, strlen(text), true), OK);
        assert_true(again.n >= 399 &&
                    !memcmp(again.ids, r.token, 390 * sizeof *r.token)); /* the end may be half a word */
        token_list_free(&again);
        free(text);
    }
    data_close(d);
}

static void p3_answers_follow_their_prompts(void **state)
{
    (void)state;
    struct data_settings set = one_source(&card[1], DOCUMENTS_JOIN, OBJECTIVE_CAUSAL);
    set.seq_len = 150;
    struct data *d = open_data(&set, 0, 1, 0);
    for (int i = 0; i < 50; i++) {
        struct row r;
        next(d, &r);
        char *text = row_text(&r, 150);
        const char *opposite = strstr(text, "opposite of cold:");
        if (opposite) assert_true(strlen(opposite) < 22 || !strncmp(opposite, "opposite of cold: hot\n", 22));
        assert_null(strstr(text, "feather?   ")); /* inputs are stripped */
        assert_null(strstr(text, "nothing"));     /* an empty prompt is passed over */
        assert_true(text[0] != '\n');
        free(text);
    }
    assert_true(data_skipped(d, 0) > 1);
    data_close(d);

    set.documents = DOCUMENTS_ISOLATE;
    d = open_data(&set, 0, 1, 0);
    struct row r;
    next(d, &r);
    for (int t = 1; t < 150; t++)
        if (r.lo[t] == t && r.lo[t - 1] != t - 1) { /* a document before this one: it ends in a line break */
            size_t len = 0;
            const char *last = tokenizer_token(tokenizer, r.token[t - 1], &len);
            assert_int_equal(last[len - 1], '\n');
        }
    data_close(d);
}

static void chains_of_thought_are_joined_by_blank_lines(void **state)
{
    (void)state;
    struct data_settings set = one_source(&card[0], DOCUMENTS_JOIN, OBJECTIVE_CAUSAL);
    set.seq_len = 300;
    struct data *d = open_data(&set, 0, 1, 0);
    struct row r;
    next(d, &r);
    char *text = row_text(&r, 300);
    const char *first = strstr(text, "\n\nQ: "), *second = first ? strstr(first + 1, "\n\nQ: ") : NULL;
    assert_non_null(second);
    assert_int_equal(second[-1], '.');
    free(text);
    data_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_are_prefixes_and_completions_targets),
        cmocka_unit_test(templates_make_prompts_of_any_records),
        cmocka_unit_test(a_causal_models_prompts_are_causal),
        cmocka_unit_test(a_prompt_that_is_too_long_loses_its_left),
        cmocka_unit_test(instructions_are_drawn_as_published),
        cmocka_unit_test(instructions_are_encoded_as_a_whole),
        cmocka_unit_test(p3_answers_follow_their_prompts),
        cmocka_unit_test(chains_of_thought_are_joined_by_blank_lines),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
