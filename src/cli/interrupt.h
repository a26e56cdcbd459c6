// SPDX-License-Identifier: Apache-2.0
/* Ctrl-C, and SIGTERM, which is what kill and Slurm send, for commands that want to end cleanly: the first one is
 * noted, the second of its kind ends the program. */
#ifndef GPTJT_CLI_INTERRUPT_H
#define GPTJT_CLI_INTERRUPT_H

#include <stdbool.h>
#include <stddef.h>

/* From here on. Where whoever started us had it ignored, it stays ignored. */
void interrupt_catch(void);

bool interrupt_seen(void);

/* From here on an interrupt also prints what `what` writes into text (without a newline; nothing, if it returns 0): for
 * ranks, which may be waiting for one that is no more. Called in signal handlers. NULL: no longer. */
void interrupt_tell(size_t (*what)(char *text, size_t size));

#endif
