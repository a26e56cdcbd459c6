// SPDX-License-Identifier: Apache-2.0
/* Pages of the manual, section 1, as roff on stdout: what help says, from the same tables. The same program prints the
 * same bytes. */
#ifndef GPTJT_CLI_MANUAL_H
#define GPTJT_CLI_MANUAL_H

#include "cli/command.h"

void manual_print_program(void);
void manual_print_command(const struct command *c);

#endif
