// SPDX-License-Identifier: Apache-2.0
/* The option table for people: what help and the pages of the manual say of an option. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"

enum { HELP_WIDTH = 100, HELP_COLUMN_MAX = 34 };

bool options_is_on(const struct option *o, const void *defaults)
{
    return o->type == OPTION_FLAG && *(const bool *)((const char *)defaults + o->offset);
}

const char *options_value_name(const struct option *o)
{
    if (o->type == OPTION_FLAG) return "";
    return o->meta ? o->meta : o->choices ? o->choices : "VALUE";
}

void options_default(char *text, size_t bytes, const struct option *o, const void *defaults)
{
    const void *field = (const char *)defaults + o->offset;
    const char *string;
    text[0] = 0;
    if (strstr(o->help, "default")) return;
    switch (o->type) {
    case OPTION_FLAG: snprintf(text, bytes, "%s", *(const bool *)field ? "on" : ""); break;
    case OPTION_INT: snprintf(text, bytes, "%" PRId64, *(const int64_t *)field); break;
    case OPTION_SEED: snprintf(text, bytes, "%" PRIu64, *(const uint64_t *)field); break;
    case OPTION_NUMBER: snprintf(text, bytes, "%.9g", *(const double *)field); break;
    case OPTION_CHOICE: options_choice(text, bytes, o->choices, *(const int *)field); break;
    case OPTION_STRING:
        string = *(const char *const *)field;
        if (string) snprintf(text, bytes, "%s", string);
        break;
    case OPTION_STRINGS:
    case OPTION_JSON:
    case OPTION_REFUSED: break;
    }
}

/* "  -p, --prompt TEXT" into text; returns its length. */
static int format_option(char *text, size_t bytes, const struct option *o, const void *defaults)
{
    const char *meta = options_value_name(o);
    const char letter[] = {'-', o->letter, ',', ' ', 0};
    const int n = snprintf(text, bytes, "  %s--%s%s%s%s", o->letter ? letter : "    ",
                           options_is_on(o, defaults) ? "[no-]" : "", o->name, *meta ? " " : "", meta);
    return n < 0 ? 0 : n;
}

/* Prints the words of text from column on, starting new lines there. */
static void print_wrapped(FILE *f, const char *text, int column, int *at)
{
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        const int n = (int)strcspn(text, " ");
        if (*at > column && *at + 1 + n > HELP_WIDTH) {
            fprintf(f, "\n%*s", column, "");
            *at = column;
        }
        *at += fprintf(f, "%s%.*s", *at > column ? " " : "", n, text);
        text += n;
    }
}

void options_print_help(const struct option *table, const void *defaults, void *stdio_stream)
{
    FILE *f = stdio_stream;
    char left[160], value[160], note[200];
    int column = 0;
    for (const struct option *o = table; o->name; o++) {
        const int n = o->type == OPTION_REFUSED ? 0 : format_option(left, sizeof left, o, defaults) + 2;
        if (n > column && n <= HELP_COLUMN_MAX) column = n;
    }
    for (const struct option *o = table; o->name; o++) {
        if (o->type == OPTION_REFUSED) continue;
        int at = format_option(left, sizeof left, o, defaults);
        fputs(left, f);
        if (at + 2 > column) {
            fputs("\n", f);
            at = 0;
        }
        fprintf(f, "%*s", column - at, "");
        at = column;
        print_wrapped(f, o->help, column, &at);
        options_default(value, sizeof value, o, defaults);
        if (*value) {
            snprintf(note, sizeof note, "(default %s)", value);
            print_wrapped(f, note, column, &at);
        }
        fputs("\n", f);
    }
}
