// SPDX-License-Identifier: Apache-2.0
/* The option table: one description of a setting for the command line, a JSON request and a YAML recipe, so that all
 * three share names, types, ranges, defaults, help and errors. "max-new-tokens" in the table is --max-new-tokens (or
 * --max_new_tokens) on the command line and "max_new_tokens" in JSON.
 *
 * A table is a static array ended by an entry without a name. Values go into fields of the caller's settings struct,
 * which the caller fills with the defaults first. An unknown name is E_ARG and the message gives the nearest known
 * one; a name listed as refused is E_ARG with the reason, so that nothing is ever ignored. */
#ifndef GPTJT_BASE_OPTIONS_H
#define GPTJT_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"

enum option_type {
    OPTION_FLAG,    /* bool field; --name sets, --no-name clears; JSON true or false */
    OPTION_INT,     /* int64_t field within [min, max]                               */
    OPTION_SEED,    /* uint64_t field                                                */
    OPTION_NUMBER,  /* double field within [min, max]; NaN and infinity are refused  */
    OPTION_STRING,  /* const char * field, borrowed from argv or the JSON value      */
    OPTION_CHOICE,  /* int field: index of the word in choices ("auto|prefix|causal") */
    OPTION_STRINGS, /* struct option_strings field; repeat the option, or a JSON array (or one string) */
    OPTION_JSON,    /* const json_t * field, borrowed: any value, only in JSON                 */
    OPTION_REFUSED, /* no field: a name users may try; help says why it is refused   */
};

struct option_strings {
    const char **items; /* [n], items borrowed, the array owned: options_free() */
    int n;
};

struct option {
    const char *name; /* with dashes                                                       */
    char letter;      /* 'p' for -p, 0 for none                                            */
    enum option_type type;
    size_t offset;       /* of the field in the settings struct: offsetof()                   */
    double min, max;     /* INT and NUMBER, inclusive                                         */
    const char *choices; /* CHOICE: words separated by '|', in enum order                     */
    const char *meta;    /* what help prints for the value: "FILE", "N", "TEXT"               */
    const char *help;    /* one sentence; where it says "default" itself, the field's value is not printed */
};

/* At most 128 entries a table, names of at most 64 bytes; bit i of given tells whether entry i was set by the user. The
 * parse functions add their bits to given, so that a file and then the command line can be read into one settings
 * struct; a list given in the later one replaces the list of the earlier. After an error the settings hold what was
 * read before it: options_free() them all the same. */
__extension__ typedef unsigned __int128 option_given;
bool options_given(const struct option *table, option_given given, const char *name);

/* Parses argv[0..argc) (without program and command names). Options may stand anywhere; "--" ends them; "--name=value"
 * works; a lone "-" is a value. positional[0..*n_positional) receives the rest, borrowed; more than max_positional is
 * E_ARG. "--help" or "-h" sets help and stops. where is the command's name for messages. */
struct option_args {
    const char **positional; /* room for max_positional */
    int max_positional, n_positional;
    bool help;
    option_given given;
};
enum status options_parse_args(const struct option *table, void *settings, const char *where, int argc, char **argv,
                               struct option_args *args);

/* Applies the members of a JSON object, which must outlive the settings. null leaves the default; a string with a NUL
 * in it is refused. */
enum status options_parse_json(const struct option *table, void *settings, const char *where, const json_t *object,
                               option_given *given);

/* The settings as the object that options_parse_json() reads, keys in the table's order; what has no value is null. New
 * reference, NULL without memory; seeds of 2^63 and more have no JSON integer. */
json_t *options_json(const struct option *table, const void *settings);

/* Gives to the fields that are given, taking them from another struct of the same type: what the command line says on
 * top of what a file says. Arrays change their owner. */
void options_move(const struct option *table, option_given given, void *to, void *from);

void options_free(const struct option *table, void *settings); /* arrays of STRINGS fields */

/* The word of choices ("a|b|c") at index, into text [bytes]. */
void options_choice(char *text, size_t bytes, const char *choices, int index);

/* What stands for an option's value in help: "FILE", "auto|prefix|causal"; "" for a flag. */
const char *options_value_name(const struct option *o);

bool options_is_on(const struct option *o, const void *defaults); /* a flag that --no-NAME turns off */

/* The value that the field has now, into text: what help shows as the default. "" where there is none to show, or where
 * the help says it. */
void options_default(char *text, size_t bytes, const struct option *o, const void *defaults);

/* Help for people: one aligned entry an option, wrapped at 100 columns, with the value the field has now as the
 * default. stdio_stream is a FILE *. */
void options_print_help(const struct option *table, const void *defaults, void *stdio_stream);

/* Of names[0..n), the one nearest to word in edit distance if it is near enough to suggest (about a third of the
 * letters may differ), else NULL. */
const char *options_nearest(const char *word, const char *const *names, int n);

#endif
