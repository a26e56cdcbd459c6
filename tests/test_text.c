// SPDX-License-Identifier: Apache-2.0
/* Texts as spans, and scoring them, on a stand-in for the engine, whose tokens are bytes. */
#include "scratch_directory.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/file.h"
#include "eval/text.h"
#include "fake_gptjt.h"

static const char *put(char path[static 256], const char *name, const char *text, size_t len)
{
    snprintf(path, 256, "%s/%s", directory, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(text, 1, len, f);
    fclose(f);
    return path;
}

/* ---- Windows ---- */

/* Whatever the length and the stride: every byte is scored once, in order, from at least window - stride before it (or
 * all there is), in no more than a window. */
static void check_windows(int n_bytes, int window, int stride)
{
    char path[256], text[64];
    struct gptjt_engine *e = fake_engine(window);
    struct text_spans t;
    for (int i = 0; i < n_bytes; i++)
        text[i] = (char)('a' + i % 26);
    put(path, "t.txt", text, (size_t)n_bytes);
    assert_int_equal(text_windows(&t, path, e, stride, 0), OK);
    assert_int_equal(t.n_ids, n_bytes + 1); /* the end of text in front */
    assert_int_equal(t.tokens, n_bytes);
    assert_int_equal(t.bytes, n_bytes);
    size_t next = 1;
    for (size_t i = 0; i < t.n; i++) {
        const struct span *s = &t.spans[i];
        assert_int_equal(s->split, next);
        assert_true(s->begin < s->split && s->split < s->end && s->end - s->begin <= (size_t)window);
        assert_true(s->begin == 0 ||
                    (s->split - s->begin >= (size_t)(window - stride) && s->end - s->split <= (size_t)stride));
        next = s->end;
    }
    assert_int_equal(next, t.n_ids);
    text_free(&t);
    unlink(path);
    fake_engine_free(e);
}

static void windows_score_every_token_once(void **state)
{
    (void)state;
    for (int n = 1; n <= 40; n++)
        for (int stride = 1; stride < 8; stride++)
            check_windows(n, 8, stride);
}

static void a_limit_keeps_the_first_windows(void **state)
{
    (void)state;
    char path[256];
    struct gptjt_engine *e = fake_engine(8);
    struct text_spans t;
    put(path, "t.txt", "0123456789abcdefghij", 20);
    assert_int_equal(text_windows(&t, path, e, 4, 2), OK);
    assert_int_equal(t.n, 2);
    assert_int_equal(t.tokens, 7 + 4);
    assert_int_equal(t.bytes, 11);
    text_free(&t);
    unlink(path);
    fake_engine_free(e);
}

static void windows_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    char path[256];
    struct gptjt_engine *e = fake_engine(8);
    struct text_spans t;
    put(path, "t.txt", "", 0);
    assert_int_equal(text_windows(&t, path, e, 4, 0), E_FORMAT);
    assert_int_equal(text_windows(&t, path, e, 0, 0), E_ARG);
    assert_int_equal(text_windows(&t, path, e, 8, 0), E_ARG);
    assert_int_equal(text_windows(&t, "/nonexistent/t.txt", e, 4, 0), E_IO);
    e->has_tokenizer = false;
    assert_int_equal(text_windows(&t, path, e, 4, 0), E_UNSUPPORTED);
    unlink(path);
    fake_engine_free(e);
}

/* ---- Last words ---- */

static void is_span(const struct text_spans *t, size_t i, const char *given, const char *word)
{
    char text[64] = "";
    for (size_t k = t->spans[i].begin; k < t->spans[i].end; k++)
        text[k - t->spans[i].begin] = (char)t->ids[k];
    const size_t n = t->spans[i].split - t->spans[i].begin;
    if (n != strlen(given) || strncmp(text, given, n) || strcmp(text + n, word))
        fail_msg("span %zu: \"%.*s\" and \"%s\"", i, (int)n, text, text + n);
}

static void the_last_word_has_its_space_in_front(void **state)
{
    (void)state;
    static const char lines[] = "{\"text\": \"one two three\"}\n"
                                "{\"text\": \"with  white \\n \"}\n"
                                "{\"text\": \"a\\nb\"}\n"
                                "{\"text\": \"much that is too long\"}\n";
    char path[256];
    struct gptjt_engine *e = fake_engine(16);
    struct text_spans t;
    put(path, "t.jsonl", lines, strlen(lines));
    assert_int_equal(text_last_words(&t, path, e, 0), OK);
    assert_int_equal(t.n, 4);
    is_span(&t, 0, "one two", " three");
    is_span(&t, 1, "with", "  white");
    is_span(&t, 2, "a", "\nb");
    is_span(&t, 3, "that is too", " long"); /* 11 and 5 are 16 */
    assert_int_equal(t.tokens, 6 + 7 + 2 + 5);
    text_free(&t);
    assert_int_equal(text_last_words(&t, path, e, 2), OK);
    assert_int_equal(t.n, 2);
    text_free(&t);
    unlink(path);
    fake_engine_free(e);
}

static void texts_without_a_last_word_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{\"text\": \"a b\"}\n{\"text\": \"b\"}\n", "line 2: no word with another before it"},
        {"{\"text\": \" b \"}\n", "line 1: no word"},
        {"{\"text\": \"\"}\n", "line 1: no word"},
        {"{\"texts\": \"a b\"}\n", "\"text\""},
        {"", "no texts"},
        {"{\"text\": \"a bcdefghijklmnopq\"}\n", "line 1: its last word takes 17 tokens"},
    };
    char path[256];
    struct gptjt_engine *e = fake_engine(16);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text_spans t;
        put(path, "t.jsonl", cases[i].text, strlen(cases[i].text));
        assert_int_not_equal(text_last_words(&t, path, e, 0), OK);
        if (!strstr(status_message(), cases[i].error)) fail_msg("case %zu: %s", i, status_message());
    }
    unlink(path);
    fake_engine_free(e);
}

/* ---- Scores ---- */

static bool until(void *user, size_t n_done)
{
    return n_done < *(const size_t *)user;
}

struct setting {
    struct gptjt_engine *engine;
    struct text_spans spans;
    struct span_run run;
    char text[256], out[256];
};

static void set_up(struct setting *t)
{
    char text[60];
    *t = (struct setting){.engine = fake_engine(8)};
    for (int i = 0; i < 60; i++)
        text[i] = (char)('a' + i * i % 26);
    put(t->text, "t.txt", text, sizeof text);
    snprintf(t->out, sizeof t->out, "%s/out.jsonl", directory);
    assert_int_equal(text_windows(&t->spans, t->text, t->engine, 4, 0), OK);
    t->run = (struct span_run){.ids = t->spans.ids,
                               .spans = t->spans.spans,
                               .n_spans = t->spans.n,
                               .masks = {GPTJT_MASK_PREFIX, GPTJT_MASK_CAUSAL},
                               .n_masks = 2,
                               .out_path = t->out,
                               .settings = "these"};
}

static void tear_down(struct setting *t)
{
    span_run_free(&t->run);
    text_free(&t->spans);
    fake_engine_free(t->engine);
    unlink(t->text);
    unlink(t->out);
}

static void scores_are_the_engines(void **state)
{
    (void)state;
    struct setting t;
    size_t all = SIZE_MAX;
    struct gptjt_session *s;
    set_up(&t);
    assert_int_equal(span_run_open(&t.run), OK);
    assert_int_equal(span_run_all(&t.run, t.engine, until, &all), OK);
    assert_int_equal(gptjt_session_create(&s, t.engine, 1000), GPTJT_OK);
    for (size_t i = 0; i < t.run.n; i++) {
        const struct span *x = &t.spans.spans[i % t.spans.n];
        const struct gptjt_span prompt = {t.spans.ids + x->begin, x->split - x->begin};
        const struct gptjt_span word = {t.spans.ids + x->split, x->end - x->split};
        struct gptjt_score score;
        assert_int_equal(gptjt_score(s, prompt, GPTJT_MASK_CAUSAL, &word, 1, &score), GPTJT_OK);
        assert_true(score.total == t.run.scores[i].log_likelihood);
        gptjt_scores_free(&score, 1);
    }
    gptjt_session_close(s);
    assert_int_equal(span_run_finish(&t.run), OK);
    tear_down(&t);
}

static void a_resumed_run_has_the_same_scores(void **state)
{
    (void)state;
    struct setting t;
    size_t all = SIZE_MAX, some = 5;
    struct buf whole = {0}, got = {0};
    set_up(&t);
    assert_int_equal(span_run_open(&t.run), OK);
    assert_int_equal(span_run_all(&t.run, t.engine, until, &all), OK);
    assert_int_equal(span_run_finish(&t.run), OK);
    assert_int_equal(file_read(&whole, t.out, 1 << 20), OK);
    span_run_free(&t.run);

    t.run.n_done = 0;
    assert_int_equal(span_run_open(&t.run), OK);
    assert_int_equal(t.run.n_resumed, 0);
    assert_int_equal(span_run_all(&t.run, t.engine, until, &some), E_CANCELLED);
    const size_t done = t.run.n_done;
    assert_in_range(done, 5, t.run.n - 1);
    span_run_free(&t.run);

    t.run.n_done = 0;
    assert_int_equal(span_run_open(&t.run), OK);
    assert_int_equal(t.run.n_resumed, done);
    assert_int_equal(span_run_all(&t.run, t.engine, until, &all), OK);
    assert_int_equal(span_run_finish(&t.run), OK);
    assert_int_equal(file_read(&got, t.out, 1 << 20), OK);
    assert_string_equal(got.data, whole.data);
    buf_free(&whole);
    buf_free(&got);
    tear_down(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_score_every_token_once),
        cmocka_unit_test(a_limit_keeps_the_first_windows),
        cmocka_unit_test(windows_that_make_no_sense_are_refused),
        cmocka_unit_test(the_last_word_has_its_space_in_front),
        cmocka_unit_test(texts_without_a_last_word_are_refused),
        cmocka_unit_test(scores_are_the_engines),
        cmocka_unit_test(a_resumed_run_has_the_same_scores),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
