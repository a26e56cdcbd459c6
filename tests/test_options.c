// SPDX-License-Identifier: Apache-2.0
/* The option table: whatever a user may type, on the command line or in JSON, is read right or refused by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/options.h"

struct settings {
    bool stream, color;
    int64_t max_new_tokens, threads, any;
    uint64_t seed;
    double temperature;
    const char *prompt;
    int mask;
    struct option_strings stop;
};

static const struct settings defaults = {
    .color = true, .max_new_tokens = 20, .threads = -1, .temperature = 1, .seed = 7, .mask = 1};

#define FIELD(name) offsetof(struct settings, name)

static const struct option table[] = {
    {"max-new-tokens", 'n', OPTION_INT, FIELD(max_new_tokens), 1, 100000, NULL, "N", "how many tokens to add at most"},
    {"temperature", 't', OPTION_NUMBER, FIELD(temperature), 0, 100, NULL, "X", "divides the logits before sampling"},
    {"seed", 0, OPTION_SEED, FIELD(seed), 0, 0, NULL, "N", "of the random numbers (default: a fresh one)"},
    {"stream", 's', OPTION_FLAG, FIELD(stream), 0, 0, NULL, NULL, "prints the text as it comes"},
    {"color", 0, OPTION_FLAG, FIELD(color), 0, 0, NULL, NULL, "colours"},
    {"prompt", 'p', OPTION_STRING, FIELD(prompt), 0, 0, NULL, "TEXT", "the text to continue"},
    {"mask", 0, OPTION_CHOICE, FIELD(mask), 0, 0, "auto|prefix|causal", NULL,
     "what a token of the prompt sees: the whole prompt or only what comes before it, as the model was trained"},
    {"stop", 0, OPTION_STRINGS, FIELD(stop), 0, 0, NULL, "TEXT", "ends the answer; may be repeated"},
    {"threads", 'j', OPTION_INT, FIELD(threads), -1, 4096, NULL, "N", "threads (default: as many as there are CPUs)"},
    {"any", 0, OPTION_INT, FIELD(any), -0x1p63, 0x1p63, NULL, "N", "anything"},
    {"num-beams", 'b', OPTION_REFUSED, 0, 0, 0, NULL, NULL, "beam search is not built"},
    {0},
};

enum { MAX_POSITIONAL = 2 };

struct parsed {
    struct settings settings;
    struct option_args args;
    const char *positional[MAX_POSITIONAL];
    char words[400];
    char *argv[16];
    enum status status;
};

/* Splits the line at single spaces; an empty word is written as ''. */
static void parse(struct parsed *p, const char *line)
{
    *p = (struct parsed){.settings = defaults};
    p->args = (struct option_args){.positional = p->positional, .max_positional = MAX_POSITIONAL};
    assert_true(strlen(line) < sizeof p->words);
    memcpy(p->words, line, strlen(line) + 1);
    int n = 0;
    char *rest = p->words;
    for (char *word; *line && (word = strsep(&rest, " "));)
        p->argv[n++] = strcmp(word, "''") ? word : word + 2;
    p->status = options_parse_args(table, &p->settings, "generate", n, p->argv, &p->args);
}

static void refused_command_lines_name_option_and_value(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"--max-new-token 3", "unknown option --max-new-token; did you mean --max-new-tokens?"},
        {"--max_new_token=3", "unknown option --max_new_token; did you mean --max-new-tokens?"},
        {"--max-tokens 3", "unknown option --max-tokens; did you mean --max-new-tokens?"},
        {"--Temprature 3", "unknown option --Temprature; did you mean --temperature?"},
        {"--xyzzy", "unknown option --xyzzy"},
        {"--", NULL},
        {"--=3", "unknown option --"},
        {"--no-temperature", "unknown option --no-temperature; did you mean --temperature?"},
        {"--no-", "unknown option --no-"},
        {"--num-beam 4", "unknown option --num-beam"}, /* what is refused is not suggested */
        {"-x", "unknown option -x"},
        {"--temperature -1", "--temperature is -1, not within 0..100"},
        {"--temperature 100.5", "--temperature is 100.5, not within 0..100"},
        {"--temperature nan", "--temperature is nan, not a finite number"},
        {"--temperature -inf", "--temperature is -inf, not a finite number"},
        {"--temperature 1e999", "--temperature is 1e999, not a finite number"},
        {"--temperature hot", "--temperature is hot, not a number"},
        {"--temperature 1.5x", "--temperature is 1.5x, not a number"},
        {"--temperature ''", "--temperature is , not a number"},
        {"--temperature=\t1", "--temperature is ?1, not a number"},
        {"--temperature", "--temperature needs a value"},
        {"-t", "--temperature needs a value"},
        {"--max-new-tokens 0", "--max-new-tokens is 0, not within 1..100000"},
        {"--max-new-tokens 100001", "--max-new-tokens is 100001, not within 1..100000"},
        {"-n 2.5", "--max-new-tokens is 2.5, not a whole number"},
        {"-n 1e3", "--max-new-tokens is 1e3, not a whole number"},
        {"-n 0x10", "--max-new-tokens is 0x10, not a whole number"},
        {"-n=5", "--max-new-tokens is =5, not a whole number"},
        {"-n ''", "--max-new-tokens is , not a whole number"},
        {"-n 99999999999999999999", "--max-new-tokens is 99999999999999999999, not within 1..100000"},
        {"--any 9223372036854775808",
         "--any is 9223372036854775808, not within -9.22337203685478e+18..9.22337203685478e+18"},
        {"--seed -1", "--seed is -1, not a whole number from 0 to 18446744073709551615"},
        {"--seed 18446744073709551616",
         "--seed is 18446744073709551616, not a whole number from 0 to 18446744073709551615"},
        {"--stream=yes", "--stream takes no value; there is also --no-stream"},
        {"-sx", "--stream takes no value; there is also --no-stream"},
        {"--mask both", "--mask is both, not one of auto|prefix|causal"},
        {"--mask pre", "--mask is pre, not one of auto|prefix|causal"},
        {"--mask ''", "--mask is , not one of auto|prefix|causal"},
        {"--num-beams 4", "--num-beams is refused: beam search is not built"},
        {"--num_beams=4", "--num-beams is refused: beam search is not built"},
        {"-b4", "--num-beams is refused: beam search is not built"},
        {"a b c", "unexpected argument 'c'"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct parsed p;
        char expected[300];
        parse(&p, cases[i].line);
        if (!cases[i].message) {
            assert_int_equal(p.status, OK);
            continue;
        }
        snprintf(expected, sizeof expected, "generate: %s", cases[i].message);
        assert_int_equal(p.status, E_ARG);
        assert_string_equal(status_message(), expected);
        options_free(table, &p.settings);
    }
}

static void every_type_is_read_from_the_command_line(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--max-new-tokens 32 --temperature=0.25 --seed 18446744073709551615 --stream --no-color --prompt hello "
              "--mask causal --stop a --stop=b --any -9223372036854775808");
    assert_int_equal(p.status, OK);
    assert_int_equal(p.settings.max_new_tokens, 32);
    assert_true(p.settings.temperature == 0.25);
    assert_true(p.settings.seed == UINT64_MAX);
    assert_true(p.settings.stream);
    assert_false(p.settings.color);
    assert_string_equal(p.settings.prompt, "hello");
    assert_int_equal(p.settings.mask, 2);
    assert_int_equal(p.settings.stop.n, 2);
    assert_string_equal(p.settings.stop.items[0], "a");
    assert_string_equal(p.settings.stop.items[1], "b");
    assert_true(p.settings.any == INT64_MIN);
    assert_int_equal(p.settings.threads, -1);
    for (const struct option *o = table; o->name; o++)
        assert_int_equal(options_given(table, p.args.given, o->name),
                         strcmp(o->name, "threads") && strcmp(o->name, "num-beams"));
    options_free(table, &p.settings);
    assert_null(p.settings.stop.items);
}

static void bounds_are_inclusive(void **state)
{
    (void)state;
    static const char *const lines[] = {"-n 1", "-n 100000", "-n +7", "-t 0", "-t 100", "-t 1e-300", "--seed 0"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct parsed p;
        parse(&p, lines[i]);
        assert_int_equal(p.status, OK);
    }
}

static void letters_take_their_value_in_the_same_word_or_the_next(void **state)
{
    (void)state;
    static const char *const lines[] = {"-n5 -sphello", "-n 5 -p hello"};
    struct parsed p;
    parse(&p, "-n5 -phello -s");
    assert_int_equal(p.status, OK);
    assert_int_equal(p.settings.max_new_tokens, 5);
    assert_string_equal(p.settings.prompt, "hello");
    assert_true(p.settings.stream);
    parse(&p, lines[1]);
    assert_int_equal(p.status, OK);
    assert_int_equal(p.settings.max_new_tokens, 5);
    assert_string_equal(p.settings.prompt, "hello");
    parse(&p, lines[0]); /* letters do not cluster */
    assert_int_equal(p.status, E_ARG);
}

static void dash_and_underscore_are_equal(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--max_new-tokens=9 --no_color");
    assert_int_equal(p.status, OK);
    assert_int_equal(p.settings.max_new_tokens, 9);
    assert_false(p.settings.color);
}

static void the_last_of_a_repeated_option_counts(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "-n 3 --stream -n 4 --no-stream");
    assert_int_equal(p.status, OK);
    assert_int_equal(p.settings.max_new_tokens, 4);
    assert_false(p.settings.stream);
}

static void values_may_look_like_options(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--prompt --stream --stop - --stop -- x");
    assert_int_equal(p.status, OK);
    assert_string_equal(p.settings.prompt, "--stream");
    assert_false(p.settings.stream);
    assert_int_equal(p.settings.stop.n, 2);
    assert_string_equal(p.settings.stop.items[0], "-");
    assert_string_equal(p.settings.stop.items[1], "--");
    assert_int_equal(p.args.n_positional, 1);
    options_free(table, &p.settings);
    parse(&p, "--prompt= --mask=prefix");
    assert_string_equal(p.settings.prompt, "");
    parse(&p, "--prompt=a=b");
    assert_string_equal(p.settings.prompt, "a=b");
}

static void positional_words_stand_anywhere_and_a_double_dash_ends_options(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "- -n 2 file");
    assert_int_equal(p.status, OK);
    assert_int_equal(p.args.n_positional, 2);
    assert_string_equal(p.positional[0], "-");
    assert_string_equal(p.positional[1], "file");
    parse(&p, "-n 2 -- --stream --");
    assert_int_equal(p.status, OK);
    assert_int_equal(p.args.n_positional, 2);
    assert_string_equal(p.positional[0], "--stream");
    assert_string_equal(p.positional[1], "--");
    assert_false(p.settings.stream);
    parse(&p, "''");
    assert_int_equal(p.args.n_positional, 1);
    assert_string_equal(p.positional[0], "");
}

static void help_stops_the_reading(void **state)
{
    (void)state;
    static const char *const lines[] = {"--help", "-h", "-n 2 --help --unknown", "--help -t nan"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct parsed p;
        parse(&p, lines[i]);
        assert_int_equal(p.status, OK);
        assert_true(p.args.help);
    }
    struct parsed p;
    parse(&p, "--prompt --help");
    assert_false(p.args.help);
    assert_string_equal(p.settings.prompt, "--help");
}

static enum status parse_json(struct settings *s, option_given *given, json_t **object, const char *text)
{
    *object = NULL;
    assert_int_equal(json_read_text(object, text, strlen(text), "text"), OK);
    return options_parse_json(table, s, "request", *object, given);
}

static void every_type_is_read_from_json(void **state)
{
    (void)state;
    struct settings s = defaults;
    option_given given = 0;
    json_t *object;
    assert_int_equal(parse_json(&s, &given, &object,
                                "{\"max_new_tokens\": 32.0, \"temperature\": 2, \"seed\": 9223372036854775807,"
                                " \"stream\": true, \"color\": false, \"prompt\": \"h\\u00e9\", \"mask\": \"auto\","
                                " \"stop\": [\"a\", \"\"], \"threads\": null, \"num_beams\": null,"
                                " \"any\": -9223372036854775808}"),
                     OK);
    assert_int_equal(s.max_new_tokens, 32);
    assert_true(s.temperature == 2);
    assert_true(s.seed == INT64_MAX);
    assert_true(s.stream);
    assert_false(s.color);
    assert_string_equal(s.prompt, "h\xc3\xa9");
    assert_int_equal(s.mask, 0);
    assert_int_equal(s.stop.n, 2);
    assert_string_equal(s.stop.items[0], "a");
    assert_true(s.any == INT64_MIN);
    assert_int_equal(s.threads, -1);
    assert_false(options_given(table, given, "threads"));
    assert_true(options_given(table, given, "max-new-tokens"));
    assert_true(options_given(table, given, "max_new_tokens"));
    options_free(table, &s);
    json_decref(object);
}

/* Of whatever type, borrowed from the object; null is none. */
static void json_values_are_kept_as_they_are(void **state)
{
    (void)state;
    struct {
        const json_t *list, *number, *none;
    } s = {0};
    const struct option any[] = {{.name = "list", .type = OPTION_JSON, .offset = 0},
                                 {.name = "a-number", .type = OPTION_JSON, .offset = sizeof(json_t *)},
                                 {.name = "none", .type = OPTION_JSON, .offset = 2 * sizeof(json_t *)},
                                 {0}};
    static const char text[] = "{\"list\": [1, [2]], \"a_number\": 3, \"none\": null}";
    option_given given = 0;
    json_t *object = NULL;
    assert_int_equal(json_read_text(&object, text, strlen(text), "text"), OK);
    assert_int_equal(options_parse_json(any, &s, "request", object, &given), OK);
    assert_ptr_equal(s.list, json_object_get(object, "list"));
    assert_int_equal(json_integer_value(s.number), 3);
    assert_null(s.none);
    assert_true(options_given(any, given, "a-number") && !options_given(any, given, "none"));
    json_t *back = options_json(any, &s);
    assert_true(json_equal(back, object));
    json_decref(back);
    json_decref(object);
}

static void refused_json_names_field_and_value(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "is not a JSON object"},
        {"3", "is not a JSON object"},
        {"{\"max_new_token\": 3}", "unknown field \"max_new_token\"; did you mean \"max_new_tokens\"?"},
        {"{\"xyzzy\": null}", "unknown field \"xyzzy\""},
        {"{\"\": 1}", "unknown field \"\""},
        {"{\"no_stream\": true}", "unknown field \"no_stream\"; did you mean \"stream\"?"},
        {"{\"temperature\": \"1\"}", "\"temperature\" is \"1\", not a number"},
        {"{\"temperature\": true}", "\"temperature\" is true, not a number"},
        {"{\"temperature\": -0.5}", "\"temperature\" is -0.5, not within 0..100"},
        {"{\"max_new_tokens\": 2.5}", "\"max_new_tokens\" is 2.5, not a whole number"},
        {"{\"max_new_tokens\": \"2\"}", "\"max_new_tokens\" is \"2\", not a whole number"},
        {"{\"max_new_tokens\": 0}", "\"max_new_tokens\" is 0, not within 1..100000"},
        {"{\"any\": 1e300}", "\"any\" is 1e300, not within -9.22337203685478e+18..9.22337203685478e+18"},
        {"{\"seed\": -1}", "\"seed\" is -1, not a whole number of at least 0"},
        {"{\"seed\": 1.0}", "\"seed\" is 1.0, not a whole number of at least 0"},
        {"{\"stream\": 1}", "\"stream\" is 1, not true or false"},
        {"{\"stream\": \"true\"}", "\"stream\" is \"true\", not true or false"},
        {"{\"prompt\": [\"a\"]}", "\"prompt\" is [\"a\"], not a string"},
        {"{\"prompt\": \"a\\u0000b\"}", "\"prompt\" has a NUL character in it"},
        {"{\"stop\": [\"a\\u0000b\"]}", "\"stop\" has a NUL character in it"},
        {"{\"mask\": 1}", "\"mask\" is 1, not a string"},
        {"{\"mask\": \"both\"}", "\"mask\" is both, not one of auto|prefix|causal"},
        {"{\"stop\": {\"a\": 1}}", "\"stop\" is {\"a\":1}, not an array of strings"},
        {"{\"stop\": [\"a\", 1]}", "\"stop\" is [\"a\",1], not an array of strings"},
        {"{\"num_beams\": 1}", "\"num_beams\" is refused: beam search is not built"},
        {"{\"max-new-tokens\": 3, \"max_new_tokens\": 4}", "\"max_new_tokens\" is given twice"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct settings s = defaults;
        option_given given = 0;
        json_t *object;
        char expected[300];
        assert_int_equal(parse_json(&s, &given, &object, cases[i].text), E_ARG);
        snprintf(expected, sizeof expected, "request: %s", cases[i].message);
        assert_string_equal(status_message(), expected);
        options_free(table, &s);
        json_decref(object);
    }
}

static void the_command_line_replaces_what_a_file_said(void **state)
{
    (void)state;
    struct parsed p;
    struct settings s = defaults;
    option_given given = 0;
    json_t *object;
    assert_int_equal(parse_json(&s, &given, &object, "{\"stop\": [\"a\", \"b\"], \"threads\": 2, \"any\": 1}"), OK);
    parse(&p, "");
    char *argv[] = {(char[]){"--stop"}, (char[]){"c"}, (char[]){"--any=2"}};
    p.args.given = given;
    assert_int_equal(options_parse_args(table, &s, "generate", 3, argv, &p.args), OK);
    assert_int_equal(s.stop.n, 1);
    assert_string_equal(s.stop.items[0], "c");
    assert_int_equal(s.threads, 2);
    assert_int_equal(s.any, 2);
    assert_true(options_given(table, p.args.given, "threads"));
    json_decref(object);
    assert_int_equal(parse_json(&s, &given, &object, "{\"stop\": \"one\"}"), OK);
    assert_int_equal(s.stop.n, 1);
    assert_string_equal(s.stop.items[0], "one");
    options_free(table, &s);
    json_decref(object);
}

static void help_lists_options_with_their_defaults(void **state)
{
    (void)state;
    static const char expected[] =
        "  -n, --max-new-tokens N         how many tokens to add at most (default 20)\n"
        "  -t, --temperature X            divides the logits before sampling (default 1)\n"
        "      --seed N                   of the random numbers (default: a fresh one)\n"
        "  -s, --stream                   prints the text as it comes\n"
        "      --[no-]color               colours (default on)\n"
        "  -p, --prompt TEXT              the text to continue\n"
        "      --mask auto|prefix|causal  what a token of the prompt sees: the whole prompt or only what\n"
        "                                 comes before it, as the model was trained (default prefix)\n"
        "      --stop TEXT                ends the answer; may be repeated\n"
        "  -j, --threads N                threads (default: as many as there are CPUs)\n"
        "      --any N                    anything (default 0)\n";
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    assert_non_null(f);
    options_print_help(table, &defaults, f);
    fclose(f);
    assert_string_equal(text, expected);
    free(text);
}

static void nearest_name_is_near_or_none(void **state)
{
    (void)state;
    static const char *const names[] = {"top-k", "top-p", "temperature", "stop"};
    static const struct {
        const char *word, *name;
    } cases[] = {
        {"top_k", "top-k"},
        {"topp", "top-p"},
        {"Stop", "stop"},
        {"temp", NULL},
        {"temprature", "temperature"},
        {"zzzz", NULL},
        {"", NULL},
        {"stpo", "stop"},
        {"q", NULL},
        {"this-word-is-much-longer-than-any-name-of-an-option-could-be-expected-to-be", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *found = options_nearest(cases[i].word, names, (int)COUNT_OF(names));
        assert_string_equal(found ? found : "none", cases[i].name ? cases[i].name : "none");
    }
    assert_null(options_nearest("x", NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_command_lines_name_option_and_value),
        cmocka_unit_test(every_type_is_read_from_the_command_line),
        cmocka_unit_test(bounds_are_inclusive),
        cmocka_unit_test(letters_take_their_value_in_the_same_word_or_the_next),
        cmocka_unit_test(dash_and_underscore_are_equal),
        cmocka_unit_test(the_last_of_a_repeated_option_counts),
        cmocka_unit_test(values_may_look_like_options),
        cmocka_unit_test(positional_words_stand_anywhere_and_a_double_dash_ends_options),
        cmocka_unit_test(help_stops_the_reading),
        cmocka_unit_test(every_type_is_read_from_json),
        cmocka_unit_test(json_values_are_kept_as_they_are),
        cmocka_unit_test(refused_json_names_field_and_value),
        cmocka_unit_test(the_command_line_replaces_what_a_file_said),
        cmocka_unit_test(help_lists_options_with_their_defaults),
        cmocka_unit_test(nearest_name_is_near_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
