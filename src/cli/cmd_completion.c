// SPDX-License-Identifier: Apache-2.0
/* gptjt completion bash: a script that completes command lines, made from the commands' option tables, so that it runs
 * no program when Tab is pressed. */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "cli/command.h"
#include "cli/common.h"

struct settings {
    struct common common;
};

static const struct settings defaults = {.common = COMMON_DEFAULTS};

static const struct option options[] = {COMMON_LOG_OPTIONS, {0}};

/* ---- The script, but for what comes from the tables ---- */

static const char functions[] =
    "_gptjt_paths() # -f or -d, the word\n"
    "{\n"
    "    compopt -o filenames\n"
    "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$2\")\n"
    "}\n"
    "\n"
    "_gptjt_models() # directories, and what the cache holds\n"
    "{\n"
    "    local home=${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface} path name\n"
    "    _gptjt_paths -d \"$1\"\n"
    "    for path in \"${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-$home/hub}}\"/models--*--*; do\n"
    "        name=${path##*/models--}\n"
    "        name=${name/--//}\n"
    "        if [[ -d $path && $name == \"$1\"* ]]; then COMPREPLY+=(\"$name\"); fi\n"
    "    done\n"
    "}\n"
    "\n"
    "_gptjt()\n"
    "{\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} kind='' words='' options=''\n"
    "    # --name=value comes as three words, --top_k is --top-k.\n"
    "    if [[ $word == = ]]; then\n"
    "        word=''\n"
    "    elif [[ $before == = ]]; then\n"
    "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    if [[ $before == --* ]]; then before=${before//_/-}; fi\n";

static const char ending[] = "    if [[ -n $options && ( -z $kind$words || $word == -* ) ]]; then\n"
                             "        kind='' words=$options\n"
                             "    fi\n"
                             "    COMPREPLY=()\n"
                             "    case $kind in\n"
                             "    file) _gptjt_paths -f \"$word\" ;;\n"
                             "    directory) _gptjt_paths -d \"$word\" ;;\n"
                             "    model) _gptjt_models \"$word\" ;;\n"
                             "    '') mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\") ;;\n"
                             "    esac\n"
                             "}\n"
                             "complete -F _gptjt gptjt\n";

/* ---- Made from the tables ---- */

/* What values are to the script. */
static const char *const kinds[] = {"file", "directory", "model", "other"};

/* NULL: there is no value, or it is one of the option's words. */
static const char *kind_of(const struct option *o)
{
    if (o->type == OPTION_FLAG || o->type == OPTION_REFUSED || o->type == OPTION_CHOICE) return NULL;
    const char *meta = options_value_name(o);
    if (!strcmp(meta, "FILE")) return "file";
    if (!strcmp(meta, "DIR")) return "directory";
    return strcmp(meta, "MODEL") ? "other" : "model";
}

static void print_pattern(const struct option *o, bool first)
{
    fputs(first ? "        " : " | ", stdout);
    if (o->letter) printf("-%c | ", o->letter);
    printf("--%s", o->name);
}

static void print_choice(const struct option *o)
{
    print_pattern(o, true);
    fputs(") words='", stdout);
    for (const char *c = o->choices; *c; c++)
        putchar(*c == '|' ? ' ' : *c);
    puts("' ;;");
}

static void print_kind(const struct command *c, const char *kind)
{
    bool first = true;
    for (const struct option *o = c->options; o->name; o++) {
        const char *its = kind_of(o);
        if (!its || strcmp(its, kind)) continue;
        print_pattern(o, first);
        first = false;
    }
    if (!first) printf(") kind='%s' ;;\n", kind);
}

static void print_options(const struct command *c)
{
    fputs("            options='", stdout);
    for (const struct option *o = c->options; o->name; o++) {
        if (o->type == OPTION_REFUSED) continue;
        if (o->letter) printf("-%c ", o->letter);
        printf("--%s ", o->name);
        if (options_is_on(o, c->defaults)) printf("--no-%s ", o->name);
    }
    puts("--help'");
}

/* What may stand where no option does, as the usage says: a word of the command's own, a model, or else files. */
static void print_positional(const struct command *c)
{
    const int own = (int)strspn(c->usage, "abcdefghijklmnopqrstuvwxyz");
    const bool model = strstr(c->usage, "MODEL") || strstr(c->usage, "OWNER/NAME");
    if (!c->max_positional) return;
    if (own)
        printf("            if [[ $COMP_CWORD == 2 ]]; then words='%.*s'; else kind='file'; fi\n", own, c->usage);
    else
        printf("            kind='%s'\n", model ? "model" : "file");
}

static void print_command(const struct command *c)
{
    printf("    %s)\n        case $before in\n", c->name);
    for (const struct option *o = c->options; o->name; o++)
        if (o->type == OPTION_CHOICE) print_choice(o);
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        print_kind(c, kinds[i]);
    puts("        *)");
    print_options(c);
    print_positional(c);
    puts("            ;;\n        esac\n        ;;");
}

static void print_names(void)
{
    for (const struct command *const *c = commands; *c; c++)
        printf("%s ", (*c)->name);
}

static void print_bash(void)
{
    printf("# bash completion for gptjt %s, made by 'gptjt completion bash'\n", gptjt_version());
    fputs(functions, stdout);
    fputs("    if [[ $COMP_CWORD == 1 ]]; then\n        words='", stdout);
    print_names();
    puts("help --help --version'\n    else case ${COMP_WORDS[1]} in");
    for (const struct command *const *c = commands; *c; c++)
        print_command(*c);
    fputs("    help) words='", stdout);
    print_names();
    puts("--man' ;;\n    esac; fi");
    fputs(ending, stdout);
}

static enum status run(void *settings, const struct option_args *args)
{
    (void)settings;
    if (!args->n_positional) return fail(E_ARG, "no shell: give bash");
    if (strcmp(args->positional[0], "bash"))
        return fail(E_ARG, "there is no completion for %.60s, only for bash", args->positional[0]);
    print_bash();
    return OK;
}

const struct command command_completion = {
    .name = "completion",
    .summary = "print a script that completes command lines in the shell",
    .usage = "bash",
    .about =
        "Prints a script for bash to read: it completes commands, options, their words, files, and models that are in\n"
        "the cache. Packages install it.",
    .examples = "  source <(gptjt completion bash)\n"
                "  gptjt completion bash > ~/.local/share/bash-completion/completions/gptjt",
    .options = options,
    .defaults = &defaults,
    .settings_bytes = sizeof(struct settings),
    .max_positional = 1,
    .run = run,
};
