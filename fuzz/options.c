// SPDX-License-Identifier: Apache-2.0
/* The option table on hostile words: the bytes once as a command line (words end at NULs) and once as a JSON request.
 */
#include <stdlib.h>
#include <string.h>

#include "base/options.h"

struct settings {
    bool flag;
    int64_t integer;
    uint64_t seed;
    double number;
    const char *string;
    int choice;
    struct option_strings strings;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct option table[] = {
    {"flag", 'f', OPTION_FLAG, FIELD(flag), 0, 0, NULL, NULL, ""},
    {"max-tokens", 'i', OPTION_INT, FIELD(integer), -5, 1000, NULL, "N", ""},
    {"seed", 0, OPTION_SEED, FIELD(seed), 0, 0, NULL, "N", ""},
    {"number", 'n', OPTION_NUMBER, FIELD(number), 0, 100, NULL, "X", ""},
    {"prompt", 'p', OPTION_STRING, FIELD(string), 0, 0, NULL, "TEXT", ""},
    {"mask", 0, OPTION_CHOICE, FIELD(choice), 0, 0, "auto|prefix|causal", NULL, ""},
    {"stop", 's', OPTION_STRINGS, FIELD(strings), 0, 0, NULL, "TEXT", ""},
    {"num-beams", 0, OPTION_REFUSED, 0, 0, 0, NULL, NULL, "not built"},
    {0},
};

static void check(const struct settings *s)
{
    const bool ok = s->integer >= -5 && s->integer <= 1000 && s->number >= 0 && s->number <= 100 && s->choice >= 0 &&
                    s->choice <= 2;
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MAX_WORDS = 32 };
    char *text = malloc(size + 1), *words[MAX_WORDS];
    const char *positional[MAX_WORDS];
    if (!text) return 0;
    if (size) memcpy(text, data, size);
    text[size] = 0;
    int n = 0;
    for (size_t at = 0; at < size && n < MAX_WORDS; at += strlen(text + at) + 1)
        words[n++] = text + at;
    struct settings s = {0};
    struct option_args args = {.positional = positional, .max_positional = 3};
    options_parse_args(table, &s, "fuzz", n, words, &args);
    check(&s);
    options_free(table, &s);

    json_t *object = NULL;
    if (json_read_text(&object, text, size, "fuzz") == OK) {
        option_given given = 0;
        s = (struct settings){0};
        options_parse_json(table, &s, "fuzz", object, &given);
        check(&s);
        options_free(table, &s);
        json_decref(object);
    }
    free(text);
    return 0;
}
