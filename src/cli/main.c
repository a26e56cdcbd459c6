// SPDX-License-Identifier: Apache-2.0
/* gptjt <command> [options]. Finds the command, reads its options, runs it, and turns the status into an exit code:
 * 0 done, 1 failed, 2 not understood, 130 interrupted. stdout carries the product, stderr everything else. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/manual.h"
#include "gptjt.h"

enum { MAX_COMMANDS = 64 };

static void log_to_stderr(void *user, int level, const char *line)
{
    (void)user;
    static const char *const prefixes[] = {"error: ", "warning: ", "", "debug: "};
    fprintf(stderr, "%s%s\n", prefixes[level], line);
}

static void print_help(FILE *f)
{
    fprintf(f,
            "gptjt %s: GPT-JT and other GPT-J models, with the prompt mask they were trained for\n\n"
            "usage: gptjt COMMAND [options]\n\n",
            gptjt_version());
    for (const struct command *const *c = commands; *c; c++)
        fprintf(f, "  %-10s %s\n", (*c)->name, (*c)->summary);
    fputs("\n'gptjt help COMMAND' shows what a command takes; 'gptjt --version' the version.\n", f);
}

static void print_command_help(const struct command *c)
{
    printf("usage: gptjt %s %s\n\n%s\n\noptions:\n", c->name, c->usage, c->about);
    options_print_help(c->options, c->defaults, stdout);
    printf("\nexamples:\n%s\n", c->examples);
}

static const struct command *find_command(const char *name)
{
    const char *names[MAX_COMMANDS];
    int n = 0;
    for (const struct command *const *c = commands; *c; c++) {
        if (!strcmp((*c)->name, name)) return *c;
        assert(n < MAX_COMMANDS);
        names[n++] = (*c)->name;
    }
    const char *near = options_nearest(name, names, n);
    if (near)
        fprintf(stderr, "gptjt: unknown command '%s'; did you mean %s?\n", name, near);
    else
        fprintf(stderr, "gptjt: unknown command '%s'; 'gptjt --help' lists them\n", name);
    return NULL;
}

static int exit_code(enum status s)
{
    switch (s) {
    case OK: return 0;
    case E_ARG: return 2;
    case E_CANCELLED: return 130;
    default: return 1;
    }
}

/* What stdio still holds goes out; a disk that is full is noticed here at the latest. */
static enum status finish_output(enum status s)
{
    if (!fflush(stdout) && !ferror(stdout)) return s;
    return fail(E_IO, "cannot write to standard output: %s", strerror(errno));
}

static int finish_help(void)
{
    const enum status s = finish_output(OK);
    if (s != OK) fprintf(stderr, "gptjt: %s\n", status_message());
    return exit_code(s);
}

/* where is in front of the message unless the option parser has put it there; positional has room for all of argv. */
static int run_with(const struct command *c, void *settings, const char *where, int argc, char **argv,
                    const char **positional)
{
    struct option_args args = {.positional = positional, .max_positional = c->max_positional};
    if (options_parse_args(c->options, settings, where, argc, argv, &args) != OK) {
        fprintf(stderr, "%s\n", status_message());
        return exit_code(E_ARG);
    }
    enum status s = OK;
    if (args.help) {
        print_command_help(c);
    } else {
        const struct common *common = settings;
        log_set_sink(log_to_stderr, NULL, common->quiet ? LOG_ERROR : (enum log_level)common->log);
        s = c->run(settings, &args);
    }
    s = finish_output(s);
    if (s != OK && s != E_CANCELLED) fprintf(stderr, "%s: %s\n", where, status_message());
    return exit_code(s);
}

static int run_command(const struct command *c, int argc, char **argv)
{
    char where[64];
    snprintf(where, sizeof where, "gptjt %s", c->name);
    void *settings = malloc(c->settings_bytes);
    const char **positional = calloc((size_t)argc + 1, sizeof *positional);
    int code = exit_code(E_NOMEM);
    if (settings && positional) {
        memcpy(settings, c->defaults, c->settings_bytes);
        code = run_with(c, settings, where, argc, argv, positional);
        options_free(c->options, settings);
    } else {
        fprintf(stderr, "%s: out of memory\n", where);
    }
    free(positional);
    free(settings);
    return code;
}

/* help [--man] [COMMAND] */
static int help(int argc, char **argv)
{
    const bool man = argc && !strcmp(*argv, "--man");
    const char *name = argc > man ? argv[man] : NULL;
    const struct command *c = name ? find_command(name) : NULL;
    if (name && !c) return exit_code(E_ARG);
    if (man)
        c ? manual_print_command(c) : manual_print_program();
    else
        c ? print_command_help(c) : print_help(stdout);
    return finish_help();
}

/* A file we open must not become descriptor 0, 1 or 2, or messages would go into it. What stands in for a descriptor
 * that was closed is opened the wrong way round, so that using it is still an error. */
static void occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* the lowest free */
}

int main(int argc, char **argv)
{
    occupy_standard_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a file beyond the shell's ulimit -f is an error like a full disk */
    if (argc < 2) {
        print_help(stderr);
        return exit_code(E_ARG);
    }
    const char *word = argv[1];
    if (!strcmp(word, "--version")) {
        printf("gptjt %s\n", gptjt_version());
        return finish_help();
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) return help(argc - 2, argv + 2);
    const struct command *c = find_command(word);
    return c ? run_command(c, argc - 2, argv + 2) : exit_code(E_ARG);
}
