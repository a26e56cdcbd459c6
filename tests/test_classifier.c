// SPDX-License-Identifier: Apache-2.0
/* The classifier of the public API, with the bundled model: prompts byte for byte, probabilities against scores of the
 * same continuations, and what it refuses. Also the public functions that find models and size sessions. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engines.h"

enum { N_TEXTS = 7 };

static const char *const labels[] = {"positive", "negative"};
static const char *const texts[N_TEXTS] = {"I love this!",       "I hate this.", "",     "The room was cold.",
                                           "What a lovely day!", "never again",  "so-so"};
static struct gptjt_engine *engine;

static int open_model(void **state)
{
    (void)state;
    engine = open_engine(TINY, NULL);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    gptjt_engine_close(engine);
    return 0;
}

static struct gptjt_classifier_options two_labels(void)
{
    struct gptjt_classifier_options o;
    gptjt_classifier_options_init(&o);
    o.labels = labels;
    o.n_labels = 2;
    return o;
}

static struct gptjt_classifier *open_classifier(const struct gptjt_classifier_options *o)
{
    struct gptjt_classifier *c;
    check(gptjt_classifier_open(&c, engine, o));
    return c;
}

static void prompt_is(const struct gptjt_classifier_options *o, const char *const *values, const char *expected)
{
    struct gptjt_classifier *c = open_classifier(o);
    char *prompt;
    size_t len;
    check(gptjt_classifier_prompt(c, values, &prompt, &len));
    assert_string_equal(prompt, expected);
    assert_int_equal(len, strlen(expected));
    gptjt_free(prompt);
    gptjt_classifier_close(c);
}

static void prompts_have_the_form_of_the_program(void **state)
{
    (void)state;
    struct gptjt_classifier_options o = two_labels();
    prompt_is(&o, &texts[0], "Possible labels:\n1. positive\n2. negative\n\nText: I love this!\nLabel:");

    static const char *const fields[] = {"Title", "Body"}, *const query[] = {"a", "b"}, *const shown[] = {"c", "d"};
    const struct gptjt_shot shot = {.values = shown, .label = "negative"};
    o.instruction = "Say how it sounds.";
    o.list_labels = false;
    o.label_name = "Mood";
    o.fields = fields;
    o.n_fields = 2;
    o.shots = &shot;
    o.n_shots = 1;
    prompt_is(&o, query, "Say how it sounds.\n\nTitle: c\nBody: d\nMood: negative\n\nTitle: a\nBody: b\nMood:");
}

static void labels_come_from_the_shots(void **state)
{
    (void)state;
    struct gptjt_classifier_options o;
    gptjt_classifier_options_init(&o);
    const struct gptjt_shot shots[] = {{&texts[0], "yes"}, {&texts[1], "no"}, {&texts[2], "yes"}};
    o.shots = shots;
    o.n_shots = 3;
    struct gptjt_classifier *c = open_classifier(&o);
    const char *const *found;
    assert_int_equal(gptjt_classifier_labels(c, &found), 2);
    assert_string_equal(found[0], "yes");
    assert_string_equal(found[1], "no");
    gptjt_classifier_close(c);
}

/* A file of shots and the same ones in memory. */
static void shots_of_a_file_are_those_in_memory(void **state)
{
    (void)state;
    char path[] = "/tmp/gptjt-shots-XXXXXX.csv";
    FILE *f = fdopen(mkstemps(path, 4), "w");
    fputs("text,label\nI love this!,yes\nI hate this.,no\n", f);
    fclose(f);
    struct gptjt_classifier_options o;
    gptjt_classifier_options_init(&o);
    o.shots_file = path;
    o.text_name = "Post";
    prompt_is(&o, &texts[3],
              "Possible labels:\n1. yes\n2. no\n\nPost: I love this!\nLabel: yes\n\nPost: I hate this.\nLabel: no\n\n"
              "Post: The room was cold.\nLabel:");
    unlink(path);
}

/* S of one label by gptjt_score(), the prompt and the continuation as they are documented. */
static double scored(const char *prompt, const char *label)
{
    const struct gptjt_tokenizer *t = gptjt_engine_tokenizer(engine);
    struct gptjt_session *s = open_session(engine, 0);
    struct gptjt_score score;
    char continuation[64];
    int32_t *before, *after;
    size_t n_before, n_after;
    snprintf(continuation, sizeof continuation, " %s\n", label);
    check(gptjt_encode(t, prompt, strlen(prompt), false, &before, &n_before));
    check(gptjt_encode(t, continuation, strlen(continuation), false, &after, &n_after));
    const struct gptjt_span span = {after, n_after};
    check(gptjt_score(s, (struct gptjt_span){before, n_before}, GPTJT_MASK_AUTO, &span, 1, &score));
    const double total = score.total;
    gptjt_scores_free(&score, 1);
    gptjt_free(before);
    gptjt_free(after);
    gptjt_session_close(s);
    return total;
}

static void probabilities_are_the_softmax_of_scores(void **state)
{
    (void)state;
    const struct gptjt_classifier_options o = two_labels();
    struct gptjt_classifier *c = open_classifier(&o);
    struct gptjt_classification out[N_TEXTS];
    double p[N_TEXTS][2], S[N_TEXTS][2];
    check(gptjt_classify(c, texts, N_TEXTS, out, &p[0][0], &S[0][0]));
    for (int i = 0; i < N_TEXTS; i++) {
        char *prompt;
        size_t len;
        check(gptjt_classifier_prompt(c, &texts[i], &prompt, &len));
        for (int l = 0; l < 2; l++)
            assert_true(S[i][l] == scored(prompt, labels[l]));
        gptjt_free(prompt);
        assert_true(fabs(p[i][0] - 1 / (1 + exp(S[i][1] - S[i][0]))) < 1e-12);
        assert_true(fabs(p[i][0] + p[i][1] - 1) < 1e-12);
        assert_int_equal(out[i].best, p[i][1] > p[i][0]);
    }
    struct gptjt_classification alone;
    double q[2];
    check(gptjt_classify(c, &texts[4], 1, &alone, q, NULL));
    assert_memory_equal(q, p[4], sizeof q);
    check(gptjt_classify(c, texts, 0, NULL, NULL, NULL));
    gptjt_classifier_close(c);
}

struct watching {
    size_t calls, most, stop_at;
};

static bool watch(void *user, size_t done, size_t total)
{
    struct watching *w = user;
    w->calls++;
    if (done > w->most) w->most = done;
    return total == 0 || done < w->stop_at;
}

static void progress_is_told_and_can_stop(void **state)
{
    (void)state;
    struct watching w = {.stop_at = N_TEXTS + 1};
    struct gptjt_classifier_options o = two_labels();
    o.progress = watch;
    o.user = &w;
    struct gptjt_classifier *c = open_classifier(&o);
    struct gptjt_classification out[N_TEXTS];
    check(gptjt_classify(c, texts, N_TEXTS, out, NULL, NULL));
    assert_int_equal(w.most, N_TEXTS);
    w = (struct watching){.stop_at = 1};
    assert_int_equal(gptjt_classify(c, texts, N_TEXTS, out, NULL, NULL), GPTJT_E_CANCELLED);
    assert_true(w.most < N_TEXTS);
    check(gptjt_classify(c, texts, 0, out, NULL, NULL)); /* usable after */
    gptjt_classifier_close(c);
}

static void refuses(const struct gptjt_classifier_options *o, enum gptjt_status status, const char *message)
{
    struct gptjt_classifier *c = NULL;
    assert_int_equal(gptjt_classifier_open(&c, engine, o), status);
    assert_null(c);
    if (!strstr(gptjt_error(), message)) fail_msg("\"%s\" does not say \"%s\"", gptjt_error(), message);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct gptjt_classifier_options o;
    gptjt_classifier_options_init(&o);
    refuses(&o, GPTJT_E_ARG, "give labels or shots");
    o = two_labels();
    o.n_labels = 1;
    refuses(&o, GPTJT_E_ARG, "two or more");
    static const char *const broken[] = {"a", "\xff"}, *const null[] = {"a", NULL};
    o = two_labels();
    o.labels = broken;
    refuses(&o, GPTJT_E_ARG, "labels: is not UTF-8");
    o.labels = null;
    refuses(&o, GPTJT_E_ARG, "labels: is NULL");
    const struct gptjt_shot shot = {.values = texts, .label = "perhaps"};
    o = two_labels();
    o.shots = &shot;
    o.n_shots = 1;
    refuses(&o, GPTJT_E_ARG, "the label \"perhaps\" of number 1");
    o.shots_file = "shots.csv";
    refuses(&o, GPTJT_E_ARG, "one of the two");
    o.shots = NULL;
    o.n_shots = 0;
    o.shots_file = "/nonexistent/shots.csv";
    refuses(&o, GPTJT_E_IO, "/nonexistent/shots.csv");

    o = two_labels();
    struct gptjt_classifier *c = open_classifier(&o);
    struct gptjt_classification out[2];
    static const char *const bad[] = {"fine", "\xc3("};
    assert_int_equal(gptjt_classify(c, bad, 2, out, NULL, NULL), GPTJT_E_ARG);
    assert_non_null(strstr(gptjt_error(), "UTF-8"));
    gptjt_classifier_close(c);
}

static void the_shipped_model_is_found_and_a_wrong_one_named(void **state)
{
    (void)state;
    char *dir;
    unsetenv("GPTJT_MODEL");
    check(gptjt_find_model(&dir, TINY));
    assert_string_equal(dir, TINY);
    gptjt_free(dir);
    assert_int_equal(gptjt_find_model(&dir, "/nonexistent"), GPTJT_E_IO);
    assert_non_null(strstr(gptjt_error(), "/nonexistent: no such directory"));
    setenv("GPTJT_MODEL", MICRO_A, 1);
    check(gptjt_find_model(&dir, NULL));
    assert_string_equal(dir, MICRO_A);
    gptjt_free(dir);
    unsetenv("GPTJT_MODEL");
}

static void the_tokenizer_tells_its_tokens(void **state)
{
    (void)state;
    const struct gptjt_tokenizer *t = gptjt_engine_tokenizer(engine);
    assert_int_equal(gptjt_tokenizer_find(t, "<|endoftext|>"), 4031);
    assert_int_equal(gptjt_tokenizer_find(t, "no such token"), -1);
    assert_true(gptjt_tokenizer_size(t) > 4031);
}

static void many_have_more_room_than_one(void **state)
{
    (void)state;
    assert_true(gptjt_tokens_for_many(engine, 100) >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_have_the_form_of_the_program),
        cmocka_unit_test(labels_come_from_the_shots),
        cmocka_unit_test(shots_of_a_file_are_those_in_memory),
        cmocka_unit_test(probabilities_are_the_softmax_of_scores),
        cmocka_unit_test(progress_is_told_and_can_stop),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(the_shipped_model_is_found_and_a_wrong_one_named),
        cmocka_unit_test(the_tokenizer_tells_its_tokens),
        cmocka_unit_test(many_have_more_room_than_one),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
