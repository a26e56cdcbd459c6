// SPDX-License-Identifier: Apache-2.0
/* What a command of the program is. main.c reads the command line by the table, prints the help from it, and runs the
 * function; pages of the manual and the shell's completion are made from it as well. So a new command is one cmd_NAME.c
 * file with one of these in it and one line in commands.c. */
#ifndef GPTJT_CLI_COMMAND_H
#define GPTJT_CLI_COMMAND_H

#include <stddef.h>

#include "base/options.h"
#include "base/status.h"

struct command {
    const char *name;
    const char *summary;  /* one line, for the list of commands                                             */
    const char *usage;    /* what follows "gptjt NAME"                                                      */
    const char *about;    /* two sentences or so, lines broken by hand                                      */
    const char *examples; /* whole command lines, one a line                                                */
    const struct option *options;
    const void *defaults; /* [settings_bytes]: a settings struct that begins with a struct common (common.h) */
    size_t settings_bytes;
    int max_positional; /* INT_MAX: any number */

    /* OK: exit 0; E_ARG: 2; E_CANCELLED: 130, silently; anything else: 1. settings is a copy of defaults with what
     * the user gave, its arrays freed by the caller; args->positional holds what is not an option. */
    enum status (*run)(void *settings, const struct option_args *args);
};

extern const struct command command_bench, command_classify, command_completion, command_data, command_eval,
    command_export, command_generate, command_grads, command_inspect, command_logits, command_plan, command_pull,
    command_quantize, command_report, command_score, command_serve, command_synth, command_tokenize, command_tokenizer,
    command_train;

/* All of them, in the order in which help lists them, ended by NULL. */
extern const struct command *const commands[];

#endif
