// SPDX-License-Identifier: Apache-2.0
/* Text from the engine through its public API: what ends it, who hears of it, which requests and models are refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"

struct shown {
    char text[4096];
    size_t len;
    int tokens, cancel_at;
};

static bool show(void *user, const struct gptjt_token *t)
{
    struct shown *s = user;
    memcpy(s->text + s->len, t->text, t->text_len);
    s->len += t->text_len;
    s->text[s->len] = 0;
    return ++s->tokens != s->cancel_at;
}

static const char CURRENCY[] =
    "Return the currency of the given country.\n\nInput: Switzerland\nOutput: Swiss Franc\n\nInput: India\nOutput:";

/* What the bundled model says to CURRENCY. */
static enum gptjt_status answer_of(struct gptjt_engine *e, struct gptjt_generate_request *r, struct gptjt_generation *g)
{
    struct gptjt_session *s = open_session(e, 0);
    int32_t *ids;
    check(gptjt_encode(gptjt_engine_tokenizer(e), CURRENCY, strlen(CURRENCY), true, &ids, &r->n_prompt));
    r->prompt = ids;
    const enum gptjt_status st = gptjt_generate(s, r, g);
    gptjt_free(ids);
    gptjt_session_close(s);
    return st;
}

static enum gptjt_status answer(struct gptjt_generate_request *r, struct gptjt_generation *g)
{
    struct gptjt_engine *e = open_in_fp32(TINY, 2, NULL);
    const enum gptjt_status st = answer_of(e, r, g);
    gptjt_engine_close(e);
    return st;
}

static void the_card_example_is_answered(void **state)
{
    (void)state;
    static const char *const newline[] = {"\n"};
    struct shown shown = {.cancel_at = -1};
    struct gptjt_generate_request r;
    struct gptjt_generation g;
    gptjt_generate_init(&r);
    r.stop = newline;
    r.n_stop = 1;
    r.on_token = show;
    r.user = &shown;
    check(answer(&r, &g));
    assert_string_equal(g.completions[0].text, " Indian Rupee");
    assert_string_equal(shown.text, " Indian Rupee");
    assert_int_equal(g.completions[0].finish, GPTJT_FINISH_STOP);
    assert_int_equal(shown.tokens, g.completions[0].n_tokens);
    gptjt_generation_free(&g);
}

/* With stop strings, of which the first to be complete is at `cut` of the whole answer. */
static void check_stopped(struct gptjt_engine *e, const char *const *stop, const char *whole, size_t cut)
{
    struct shown shown = {.cancel_at = -1};
    struct gptjt_generate_request r;
    struct gptjt_generation g;
    gptjt_generate_init(&r);
    r.max_new_tokens = 24;
    r.stop = stop;
    r.n_stop = 2;
    r.on_token = show;
    r.user = &shown;
    check(answer_of(e, &r, &g));
    const struct gptjt_completion *c = &g.completions[0];
    if (c->text_len != cut || memcmp(c->text, whole, cut) || c->text[cut])
        fail_msg("stopped at \"%s\" or \"%s\": \"%s\"", stop[0], stop[1], c->text);
    assert_string_equal(shown.text, c->text);
    assert_int_equal(c->finish, GPTJT_FINISH_STOP);
    gptjt_generation_free(&g);
}

/* Every third part of an answer, beside a string that is not in it or one that begins earlier and is complete later. */
static void stop_strings_of_any_length_end_the_text(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_in_fp32(TINY, 2, NULL);
    struct gptjt_generate_request r;
    struct gptjt_generation g;
    gptjt_generate_init(&r);
    r.max_new_tokens = 24;
    check(answer_of(e, &r, &g));
    const char *whole = g.completions[0].text;
    const size_t len = strlen(whole);
    assert_true(len > 12 && len < 256); /* or little is tried */
    for (size_t begin = 0; begin < len; begin += 3)
        for (size_t n = 1; begin + n <= len; n += 1 + n / 2) {
            char part[256];
            const char *other = begin + n <= len / 2 ? whole : "never", *stop[2] = {part, other};
            snprintf(part, sizeof part, "%.*s", (int)n, whole + begin);
            if (begin % 2) stop[0] = other, stop[1] = part;
            check_stopped(e, stop, whole, (size_t)(strstr(whole, part) - whole));
        }
    gptjt_generation_free(&g);
    gptjt_engine_close(e);
}

static void a_callback_can_cancel(void **state)
{
    (void)state;
    struct shown shown = {.cancel_at = 3};
    struct gptjt_generate_request r;
    struct gptjt_generation g = {0};
    gptjt_generate_init(&r);
    r.on_token = show;
    r.user = &shown;
    assert_int_equal(answer(&r, &g), GPTJT_E_CANCELLED);
    assert_int_equal(shown.tokens, 3);
    assert_null(g.completions);
}

static void no_new_tokens_is_an_empty_answer(void **state)
{
    (void)state;
    struct gptjt_generate_request r;
    struct gptjt_generation g;
    gptjt_generate_init(&r);
    r.max_new_tokens = 0;
    check(answer(&r, &g));
    assert_int_equal(g.completions[0].n_tokens, 0);
    assert_string_equal(g.completions[0].text, "");
    assert_int_equal(g.completions[0].finish, GPTJT_FINISH_LENGTH);
    gptjt_generation_free(&g);
}

static void temperature_zero_is_greedy(void **state)
{
    (void)state;
    struct gptjt_generate_request r;
    struct gptjt_generation zero, greedy;
    gptjt_generate_init(&r);
    check(answer(&r, &greedy));
    r.do_sample = true;
    r.temperature = 0;
    check(answer(&r, &zero));
    assert_string_equal(zero.completions[0].text, greedy.completions[0].text);
    gptjt_generation_free(&zero);
    gptjt_generation_free(&greedy);
}

/* One field wrong at a time: the status, and a word of the message. */
static void bad_requests_are_named(void **state)
{
    (void)state;
    static const char *const empty[] = {""}, *const broken[] = {"\xff"};
    int32_t ids[200] = {1, 2, 3}, outside[] = {1, 500}, negative[] = {-1};
    const struct gptjt_generate_request good = {.prompt = ids,
                                                .n_prompt = 3,
                                                .max_new_tokens = 5,
                                                .num_return_sequences = 1,
                                                .temperature = 1,
                                                .top_p = 1,
                                                .typical_p = 1,
                                                .repetition_penalty = 1};
    struct gptjt_generate_request r[17];
    static const struct {
        enum gptjt_status status;
        const char *word;
    } want[] = {
        {GPTJT_E_ARG, "prompt is empty"},
        {GPTJT_E_ARG, "max_new_tokens is -1"},
        {GPTJT_E_LIMIT, "window of 128"},
        {GPTJT_E_LIMIT, "window of 128"},
        {GPTJT_E_ARG, "temperature is -0.5"},
        {GPTJT_E_ARG, "temperature is nan"},
        {GPTJT_E_ARG, "top_k is -2"},
        {GPTJT_E_ARG, "top_p is 0"},
        {GPTJT_E_ARG, "top_p is 1.5"},
        {GPTJT_E_ARG, "repetition_penalty is 0"},
        {GPTJT_E_ARG, "num_return_sequences is 0"},
        {GPTJT_E_ARG, "greedy decoding has one answer"},
        {GPTJT_E_ARG, "token 1 is 500"},
        {GPTJT_E_ARG, "token 0 is -1"},
        {GPTJT_E_LIMIT, "session has room for"},
        {GPTJT_E_ARG, "tokenizer"},
        {GPTJT_E_LIMIT, "session has room for 192 tokens; 3 + 1000 x 5"},
    };
    for (int i = 0; i < 17; i++)
        r[i] = good;
    r[0].n_prompt = 0;
    r[1].max_new_tokens = -1;
    r[2].max_new_tokens = 126;
    r[3].max_new_tokens = INT32_MAX;
    r[4].temperature = -0.5;
    r[5].temperature = NAN;
    r[6].top_k = -2;
    r[7].top_p = 0;
    r[8].top_p = 1.5;
    r[9].repetition_penalty = 0;
    r[10].num_return_sequences = 0;
    r[11].num_return_sequences = 2;
    r[12].prompt = outside;
    r[12].n_prompt = 2;
    r[13].prompt = negative;
    r[13].n_prompt = 1;
    r[14].num_return_sequences = 100;
    r[14].do_sample = true;
    r[16].num_return_sequences = 1000;
    r[16].do_sample = true;
    r[15].stop = empty;
    r[15].n_stop = 1;
    struct gptjt_engine *e = open_in_fp32(MICRO_A, 1, NULL);
    struct gptjt_session *s = open_session(e, 0);
    for (int i = 0; i < 17; i++) {
        struct gptjt_generation g = {0};
        assert_int_equal(gptjt_generate(s, &r[i], &g), want[i].status);
        if (!strstr(gptjt_error(), want[i].word))
            fail_msg("case %d: \"%s\" lacks \"%s\"", i, gptjt_error(), want[i].word);
        assert_null(g.completions);
    }
    gptjt_session_close(s);
    gptjt_engine_close(e);

    struct gptjt_generate_request stops;
    struct gptjt_generation g = {0};
    gptjt_generate_init(&stops);
    stops.n_stop = 1;
    stops.stop = empty;
    assert_int_equal(answer(&stops, &g), GPTJT_E_ARG);
    stops.stop = broken;
    assert_int_equal(answer(&stops, &g), GPTJT_E_ARG);
}

static void bad_engines_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *dir, *cpu;
        int threads;
        enum gptjt_status status;
        const char *word;
    } cases[] = {
        {"no/such/place", NULL, 0, GPTJT_E_IO, "no/such/place"},
        {MICRO_A "/config.json", NULL, 0, GPTJT_E_IO, "directory"},
        {GOLDENS, NULL, 0, GPTJT_E_IO, "config.json"},
        {MICRO_A, "avx9000", 0, GPTJT_E_ARG, "avx9000"},
        {MICRO_A, NULL, -1, GPTJT_E_ARG, "threads is -1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gptjt_engine_options o;
        struct gptjt_engine *e = NULL;
        gptjt_engine_options_init(&o);
        o.cpu = cases[i].cpu;
        o.threads = cases[i].threads;
        assert_int_equal(gptjt_engine_open(&e, cases[i].dir, &o), cases[i].status);
        assert_null(e);
        if (!strstr(gptjt_error(), cases[i].word)) fail_msg("\"%s\" lacks \"%s\"", gptjt_error(), cases[i].word);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_card_example_is_answered), cmocka_unit_test(stop_strings_of_any_length_end_the_text),
        cmocka_unit_test(a_callback_can_cancel),        cmocka_unit_test(no_new_tokens_is_an_empty_answer),
        cmocka_unit_test(temperature_zero_is_greedy),   cmocka_unit_test(bad_requests_are_named),
        cmocka_unit_test(bad_engines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
