// SPDX-License-Identifier: Apache-2.0
/* Commands whose model's work several ranks can share (engine/crew.h). Rank 0 runs the command as if it were alone; the
 * others open the same model when it does, and help. */
#ifndef GPTJT_CLI_SHARED_H
#define GPTJT_CLI_SHARED_H

#include "cli/common.h"

/* A command's function: begins with a struct common in settings. */
typedef enum status shared_fn(void *settings);

/* Runs fn, alone or as rank 0, and returns what it did. On other ranks: OK when rank 0 is through, however that went,
 * and nothing is printed. A rank that fails, or is no more, ends the others too, and is named by them. */
enum status shared_run(shared_fn *fn, struct common *common);

/* gptjt_engine_open(), with whom common names. */
enum status shared_open(struct gptjt_engine **out, const char *dir, const struct gptjt_engine_options *options,
                        const struct common *common);

#endif
