// SPDX-License-Identifier: Apache-2.0
#include "cli/manual.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/options.h"
#include "gptjt.h"

/* ---- Text as roff ---- */

/* Letters stand for themselves but for those that roff reads as commands or shows as typographic signs. */
static void put_char(char c)
{
    switch (c) {
    case '-': fputs("\\-", stdout); break;
    case '\\': fputs("\\e", stdout); break;
    case '\'': fputs("\\(aq", stdout); break;
    case '`': fputs("\\(ga", stdout); break;
    case '^': fputs("\\(ha", stdout); break;
    case '~': fputs("\\(ti", stdout); break;
    case '|': fputs("|\\:", stdout); break; /* a line may end there */
    default: putchar(c);
    }
}

static void put_part(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put_char(text[i]);
}

static void put(const char *text)
{
    put_part(text, strlen(text));
}

/* A line of its own, without the white space before it. */
static void put_line(const char *text, size_t len)
{
    for (; len && isspace((unsigned char)*text); len--)
        text++;
    if (len && *text == '.') fputs("\\&", stdout);
    put_part(text, len);
    putchar('\n');
}

/* Lines as they are broken in text; an empty one begins a paragraph. */
static void put_lines(const char *text)
{
    for (;;) {
        const size_t len = strcspn(text, "\n");
        if (len)
            put_line(text, len);
        else
            puts(".PP");
        if (!text[len]) return;
        text += len + 1;
    }
}

/* ---- Parts of a page ---- */

static void print_head(const char *page, const char *summary)
{
    fputs(".TH ", stdout);
    for (const char *c = page; *c; c++)
        put_char((char)toupper((unsigned char)*c));
    printf(" 1 \"\" \"gptjt %s\" \"User Commands\"\n.ad l\n.nh\n.SH NAME\n", gptjt_version());
    put(page);
    fputs(" \\- ", stdout);
    put_line(summary, strlen(summary));
}

/* One paragraph a line of usage; the first begins behind the command's name. */
static void print_synopsis(const struct command *c)
{
    fputs(".SH SYNOPSIS\n\\fBgptjt ", stdout);
    put(c->name);
    fputs("\\fR ", stdout);
    for (const char *line = c->usage;; line++) {
        const size_t len = strcspn(line, "\n");
        put_line(line, len);
        line += len;
        if (!*line) return;
        puts(".br");
    }
}

static void print_option(const struct option *o, const void *defaults)
{
    char value[160];
    puts(".TP");
    if (o->letter) printf("\\fB\\-%c\\fR, ", o->letter);
    printf("\\fB\\-\\-%s", options_is_on(o, defaults) ? "[no\\-]" : "");
    put(o->name);
    fputs("\\fR ", stdout);
    fputs(o->meta ? "\\fI" : "", stdout);
    put(options_value_name(o));
    puts(o->meta ? "\\fR" : "");
    options_default(value, sizeof value, o, defaults);
    put_line(o->help, strlen(o->help));
    if (!*value) return;
    fputs("(default ", stdout);
    put(value);
    puts(")");
}

static void print_options(const struct command *c)
{
    puts(".SH OPTIONS");
    for (const struct option *o = c->options; o->name; o++)
        if (o->type != OPTION_REFUSED) print_option(o, c->defaults);
}

static void print_exit_status(void)
{
    puts(".SH EXIT STATUS\n"
         "0: done; 1: failed; 2: the command line was not understood; 130: interrupted.");
}

void manual_print_command(const struct command *c)
{
    char page[64];
    snprintf(page, sizeof page, "gptjt-%s", c->name);
    print_head(page, c->summary);
    print_synopsis(c);
    puts(".SH DESCRIPTION");
    put_lines(c->about);
    print_options(c);
    puts(".SH EXAMPLES\n.EX");
    put_lines(c->examples);
    puts(".EE");
    print_exit_status();
    puts(".SH SEE ALSO\n.BR gptjt (1)");
}

/* ---- The program's own page ---- */

static const struct {
    const char *name, *text;
} variables[] = {
    {"GPTJT_MODEL", "the model where no option names one: a directory, or OWNER/NAME"},
    {"GPTJT_DEVICE", "what computes where --device does not say: cpu or cuda"},
    {"HF_HOME, HF_HUB_CACHE", "where the cache of downloaded models is, as for Hugging Face's libraries"},
    {"HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE", "what downloads use, see gptjt-pull(1)"},
    {"NO_COLOR", "no colours on a terminal"},
};

static void print_environment(void)
{
    puts(".SH ENVIRONMENT");
    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        printf(".TP\n.B %s\n", variables[i].name);
        put_line(variables[i].text, strlen(variables[i].text));
    }
}

void manual_print_program(void)
{
    print_head("gptjt", "GPT-JT and other GPT-J models, with the prompt mask they were trained for");
    puts(".SH SYNOPSIS\n"
         "\\fBgptjt\\fR \\fICOMMAND\\fR [options]\n.br\n"
         "\\fBgptjt help\\fR [\\fB\\-\\-man\\fR] [\\fICOMMAND\\fR]\n.br\n"
         "\\fBgptjt \\-\\-version\\fR\n"
         ".SH DESCRIPTION\n"
         "Each command has a page of its own; \\fBhelp\\fR prints what it takes, with \\fB\\-\\-man\\fR as a page like "
         "this.\n"
         "Standard output carries the product, standard error the rest.\n"
         ".SH COMMANDS");
    for (const struct command *const *c = commands; *c; c++) {
        printf(".TP\n.BR gptjt\\-%s (1)\n", (*c)->name);
        put_line((*c)->summary, strlen((*c)->summary));
    }
    print_environment();
    print_exit_status();
    puts(".SH EXAMPLES\nThe first one of each page:\n.PP\n.EX");
    for (const struct command *const *c = commands; *c; c++)
        put_line((*c)->examples, strcspn((*c)->examples, "\n"));
    puts(".EE");
}
